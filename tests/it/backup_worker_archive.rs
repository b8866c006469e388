//! The worker of backups on archives, beside the programs that read them without us: age, zstd and tar.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test drives programs, waits for them, and fails loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use roadstead::backup::protocol::{Access, Event, Failure, Frame, Operation, Summary, Tool};
use roadstead::job::work::{Keep, Location};
use serde_json::Value;

use crate::support::bucket::Bucket;
use crate::support::worker::{
    Worker, at, backup_of, directory, done, dump, failed, label, look, noise, restore_in_place,
    restore_to, set_modified, snapshots, tree_in,
};
use crate::support::{process, run, wait_for, write_files};

/// A directory of a test's own, a tree in it, and a place for archives.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        tree_in(self.directory.path())
    }

    /// Archives without encryption.
    fn plain(&self) -> Access {
        archives(directory(&self.path("archives")), "")
    }

    fn archives(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path("archives")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The only archive with this ending.
    #[track_caller]
    fn archive(&self, end: &str) -> PathBuf {
        let found: Vec<_> = self.archives().into_iter().filter(|it| it.ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        self.path("archives").join(&found[0])
    }

    /// Runs a line of a shell here, as a person would.
    #[track_caller]
    fn shell(&self, line: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-ec", line]).current_dir(self.directory.path());
        process::output(&mut command).ok()
    }

    /// A pair of keys: the secret ones, and the public one.
    fn keys(&self, name: &str) -> (String, String) {
        self.shell(&format!("age-keygen -o {name} 2>&1"));
        let secret = fs::read_to_string(self.path(name)).unwrap();
        let public = self.shell(&format!("age-keygen -y {name}")).trim().to_owned();
        (secret, public)
    }
}

fn archives(access: Access, password: &str) -> Access {
    let tool = Tool::Tar { recipients: Vec::new(), identities: None };
    Access { tool, password: password.to_owned(), ..access }
}

fn for_keys(access: &Access, public: &str, secret: Option<&str>) -> Access {
    let tool =
        Tool::Tar { recipients: vec![public.to_owned()], identities: secret.map(str::to_owned) };
    Access { tool, ..access.clone() }
}

fn files_of(access: &Access, path: Option<&str>) -> Vec<(String, String, u64)> {
    let operation = Operation::Files {
        snapshot: "latest".to_owned(),
        tags: Vec::new(),
        path: path.map(str::to_owned),
    };
    let entry = |event| match event {
        Event::Entry { path, kind, size, .. } => Some((path, kind, size)),
        _ => None,
    };
    done(access, &operation).1.into_iter().filter_map(entry).collect()
}

#[test]
fn tar_reads_what_was_written_and_we_restore_it_with_all_that_belongs_to_it() {
    let place = Place::new();
    let tree = place.tree();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.join("null"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    let deep = tree.join("x".repeat(90)).join("y".repeat(90)).join("z\n".repeat(60));
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    fs::write(&deep, "a long name").unwrap();
    fs::hard_link(&deep, tree.join("zz")).unwrap();
    std::os::unix::fs::symlink("t".repeat(300), tree.join("far")).unwrap();
    set_modified(&deep, -12_345);
    set_modified(&tree, 1_400_000_000);
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    set_modified(&tree, 1_400_000_000);
    let access = place.plain();
    let (summary, events) = done(&access, &backup_of(&[&tree]));
    assert!(summary.made && summary.troubles == 0, "{events:?}");
    let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
    assert!(at(&Event::Ready) < at(&Event::Read) && at(&Event::Read) < events.len() - 1);
    fs::remove_file(tree.join("socket")).unwrap();
    set_modified(&tree, 1_400_000_000);

    let archive = place.archive(".tar.zst");
    let record = fs::read(archive.with_extension("").with_extension("json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["size"], fs::metadata(&archive).unwrap().len());
    let sum = place.shell(&format!("sha256sum {}", archive.display()));
    assert_eq!(record["sha256"], sum.split(' ').next().unwrap());
    assert_eq!((&record["form"], &record["encryption"]), (&"tar".into(), &"none".into()));
    let snapshot = summary.snapshot.unwrap();
    assert_eq!(record["id"], snapshot.id);
    assert_eq!(snapshots(&access), [snapshot]);
    assert_eq!(place.archives().len(), 3, "{:?}", place.archives());

    place.shell(&format!(
        "mkdir by-tar && zstd --quiet -dc {} | tar --extract --xattrs --xattrs-include='*' \
         --numeric-owner --same-permissions --directory by-tar",
        archive.display()
    ));
    assert_eq!(look(&tree), look(&place.path("by-tar").join(tree.strip_prefix("/").unwrap())));

    let restored = place.path("restored");
    let (summary, events) = done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored), "{events:?}");
    assert_eq!(summary.troubles, 0, "{events:?}");
    let blocks = std::os::unix::fs::MetadataExt::blocks;
    let sparse = fs::metadata(restored.join("sparse.img")).unwrap();
    assert!(blocks(&sparse) * 512 < sparse.len(), "holes are filled");
    // Once more, into what is there; and all of it, with the way to it.
    done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored));
    let whole = place.path("whole");
    done(&access, &restore_to(&whole, None));
    assert_eq!(look(&tree), look(&whole.join(tree.strip_prefix("/").unwrap())));
    // A further name alone, whose content is elsewhere.
    let alone = place.path("alone");
    done(&access, &restore_to(&alone, Some(&tree.join("zz"))));
    assert_eq!(fs::read_to_string(alone.join("zz")).unwrap(), "a long name");
    let shown = tree.display().to_string();
    let listed = files_of(&access, Some(&shown));
    let has = |name: &str, kind: &str, size: u64| {
        listed.contains(&(format!("{shown}/{name}"), kind.to_owned(), size))
    };
    assert!(has("small.txt", "file", 6) && has("pipe", "fifo", 0) && has("null", "chardev", 0));
    assert!(has("links/two", "hardlink", 0) && has("deep", "dir", 0), "{listed:?}");
    assert!(!has("socket", "socket", 0));
}

#[test]
fn age_opens_what_was_encrypted_for_keys_and_nobody_else_does() {
    let place = Place::new();
    let tree = place.tree();
    let (secret, public) = place.keys("key");
    let writes = for_keys(&place.plain(), &public, None);
    done(&writes, &backup_of(&[&tree]));
    dump(&writes, "a.sql", b"select 1");
    let archive = place.archive(".tar.zst.age");
    place.shell(&format!(
        "mkdir by-age && age --decrypt --identity key {} | zstd --quiet -d | tar --extract \
         --xattrs --xattrs-include='*' --numeric-owner --same-permissions --directory by-age",
        archive.display()
    ));
    assert_eq!(look(&tree), look(&place.path("by-age").join(tree.strip_prefix("/").unwrap())));
    let dumped = place.archive(".a.sql.zst.age");
    let line = format!("age --decrypt --identity key {} | zstd --quiet -d", dumped.display());
    assert_eq!(place.shell(&line), "select 1");

    let restored = place.path("restored");
    let restore = restore_to(&restored, None);
    let (class, message) = failed(&writes, &restore);
    assert!(class == Failure::WrongPassword && message.contains("`identity_file`"), "{message}");
    let (other, _) = place.keys("other");
    for (identities, said) in [(other.as_str(), "none of the keys"), ("x", "AGE-SECRET-KEY-1")] {
        let (class, message) = failed(&for_keys(&writes, &public, Some(identities)), &restore);
        assert!(class == Failure::WrongPassword && message.contains(said), "{message}");
    }
    assert!(!restored.exists());
    done(&for_keys(&writes, &public, Some(&secret)), &restore);
    assert_eq!(fs::read_to_string(restored.join("a.sql")).unwrap(), "select 1");
    // Neither lists nor checks need a key.
    assert_eq!(snapshots(&writes).len(), 2);
    assert!(done(&writes, &Operation::Check { number: 0, of: 1 }).0.bytes > 3_000_000);
    let (class, message) = failed(&for_keys(&writes, "age1x", None), &backup_of(&[&tree]));
    assert!(class == Failure::Other && message.contains("`age1x`"), "{message}");
    assert_eq!(snapshots(&writes).len(), 2);
}

#[test]
fn a_password_opens_it_for_age_and_a_wrong_one_does_not() {
    let place = Place::new();
    let access = archives(directory(&place.path("archives")), "correct horse");
    let content = noise(3, 700_000);
    dump(&access, "a.sql", &content);
    let archive = place.archive(".a.sql.zst.age");
    fs::write(place.path("content"), &content).unwrap();
    // It asks a terminal.
    let line =
        format!("age -d -o opened {} && zstd -q -d < opened | cmp - content", archive.display());
    let script = "import os, pty, sys\n\
                  pid, fd = pty.fork()\n\
                  if pid == 0:\n    os.execvp('bash', ['bash', '-ec', sys.argv[1]])\n\
                  os.write(fd, b'correct horse\\n')\n\
                  try:\n    while os.read(fd, 1024): pass\n\
                  except OSError: pass\n\
                  sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let mut python = Command::new("python3");
    python.args(["-c", script, &line]).current_dir(place.directory.path());
    process::output(&mut python).ok();

    let restored = place.path("restored");
    for password in ["wrong", ""] {
        let wrong = archives(access.clone(), password);
        let (class, message) = failed(&wrong, &restore_to(&restored, None));
        assert!(class == Failure::WrongPassword && message.contains("password"), "{message}");
    }
    done(&access, &restore_to(&restored, None));
    assert!(fs::read(restored.join("a.sql")).unwrap() == content);
}

#[test]
fn a_place_that_is_none_of_ours_is_only_made_ours_when_that_is_wanted() {
    let place = Place::new();
    let mut access = place.plain();
    access.init = false;
    let list = Operation::Snapshots { tags: Vec::new() };
    let (class, message) = failed(&access, &list);
    assert!(class == Failure::NoRepository && message.contains("init: true"), "{message}");
    assert!(!place.path("archives").exists());
    access.init = true;
    assert!(done(&access, &list).0.made);
    assert!(!done(&access, &list).0.made);
    assert_eq!(done(&access, &Operation::Unlock { all: true }).0, Summary::default());
    let restics = directory(&place.path("restics"));
    done(&restics, &list);
    let (class, message) = failed(&archives(restics, ""), &list);
    assert!(class == Failure::Other && message.contains("restic's format"), "{message}");
    let rest = archives(at(Location::Rest("http://127.0.0.1:1/".to_owned())), "");
    assert!(failed(&rest, &list).1.contains("a directory or a bucket"));
    fs::write(place.path("archives/roadstead-archives.json"), "{\"version\":2}").unwrap();
    assert!(failed(&access, &list).1.contains("version 2"));
}

#[test]
fn a_whole_dump_comes_back_and_one_that_is_cut_leaves_nothing() {
    let place = Place::new();
    let access = place.plain();
    for (name, content) in [("a.sql", noise(7, 5_000_000)), ("empty.sql", Vec::new())] {
        let summary = dump(&access, name, &content);
        assert_eq!(summary.bytes, content.len() as u64);
        assert_eq!(summary.snapshot.as_ref().unwrap().paths, [format!("/{name}")]);
        let to = place.path(name);
        done(&access, &restore_to(&to, None));
        assert!(fs::read(to.join(name)).unwrap() == content, "{name}");
        let expected = (format!("/{name}"), "file".to_owned(), content.len() as u64);
        assert_eq!(files_of(&access, None), [expected]);
    }
    let before = place.archives();
    let operation = Operation::Dump { name: "b.sql".to_owned(), label: label("dump") };
    for how in ["cut", "end", "stop", "kill"] {
        let mut worker = Worker::start(&access, &operation);
        worker.ready();
        for piece in noise(9, 20_000_000).chunks(1 << 20) {
            worker.send(Frame::Piece, piece);
        }
        match how {
            "cut" => worker.send(Frame::Cut, b""),
            "stop" => worker.send(Frame::Stop, b""),
            "kill" => worker.child.kill().unwrap(),
            _ => worker.hang_up(),
        }
        if how == "kill" {
            worker.child.wait().unwrap();
        } else {
            let (class, message) = worker.end().unwrap_err();
            let expected = if how == "stop" { Failure::Stopped } else { Failure::Cut };
            assert_eq!(class, expected, "{message}");
            assert_eq!(place.archives(), before, "{how}");
        }
        assert_eq!(snapshots(&access).len(), 2, "{how}");
    }
    let left: Vec<_> = place.archives().difference(&before).cloned().collect();
    assert_eq!(left.len(), 1, "who was killed cannot tidy up: {left:?}");
    // It may be somebody's yet; a day later it is nobody's.
    assert_eq!(done(&access, &Operation::Prune { dry_run: false }).0.stored, 0);
    let left = place.path("archives").join(&left[0]);
    let old = SystemTime::now() - Duration::from_hours(25);
    fs::File::options().append(true).open(&left).unwrap().set_modified(old).unwrap();
    fs::write(place.path("archives/notes.txt"), "somebody's").unwrap();
    let notes = fs::File::options().append(true).open(place.path("archives/notes.txt"));
    notes.unwrap().set_modified(old).unwrap();
    let size = fs::metadata(&left).unwrap().len();
    assert_eq!(done(&access, &Operation::Prune { dry_run: true }).0.stored, size);
    assert!(left.exists());
    assert_eq!(done(&access, &Operation::Prune { dry_run: false }).0.stored, size);
    assert!(!left.exists() && place.path("archives/notes.txt").exists());
    assert_eq!(snapshots(&access).len(), 2);
}

#[test]
fn who_is_killed_in_the_middle_of_a_backup_leaves_no_snapshot() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    let mut big = fs::File::create(tree.join("big")).unwrap();
    let piece = noise(1, 1 << 20);
    for _ in 0..700 {
        big.write_all(&piece).unwrap();
    }
    let access = place.plain();
    dump(&access, "a.sql", b"before");
    let mut worker = Worker::start(&access, &backup_of(&[&tree]));
    worker.ready();
    worker.send(Frame::Go, b"");
    wait_for("some of the archive", Duration::from_mins(1), || {
        let entries = fs::read_dir(place.path("archives")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).max() > Some(1 << 20)
    });
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    assert!(!worker.events.iter().any(|event| matches!(event, Event::Done(_))), "it was too fast");
    assert_eq!(snapshots(&access).len(), 1);
    done(&access, &Operation::Check { number: 0, of: 1 });
    let to = place.path("to");
    done(&access, &restore_to(&to, None));
    assert_eq!(fs::read_to_string(to.join("a.sql")).unwrap(), "before");
}

#[test]
fn what_is_excluded_vanished_unreadable_or_short_is_told_apart() {
    let place = Place::new();
    let tree = place.path("tree");
    write_files(
        &tree,
        &[
            ("keep.txt", "1"),
            ("skip.tmp", "2"),
            ("logs/old.log", "3"),
            ("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
            ("cache/x", "4"),
            (".gitignore", "keep.txt\n"),
        ],
    );
    let access = place.plain();
    let operation = |dry_run| Operation::Backup {
        paths: vec![tree.clone()],
        exclude: vec!["*.tmp".to_owned(), "tree/logs".to_owned()],
        exclude_caches: true,
        label: label("files"),
        dry_run,
    };
    let (summary, _) = done(&access, &operation(true));
    assert_eq!((summary.snapshot, summary.files), (None, 2));
    assert_eq!(place.archives().len(), 1, "a dry run saves nothing");
    done(&access, &operation(false));
    let shown = tree.display().to_string();
    let names: Vec<_> = files_of(&access, Some(&shown)).into_iter().map(|it| it.0).collect();
    assert_eq!(names, [format!("{shown}/.gitignore"), format!("{shown}/keep.txt")]);
    let (class, message) = failed(&access, &backup_of(&[&place.path("gone")]));
    assert!(class == Failure::NotFound && message.contains("mounted"), "{message}");
    assert_eq!(place.archives().len(), 3, "what failed leaves nothing");

    // Of the kernel: one that may only be written, and one that is shorter than it says.
    let (closed, short) = ("/sys/bus/platform/drivers_probe", "/sys/kernel/mm/ksm/run");
    let paths = [Path::new(closed), Path::new(short), Path::new("/etc/group")];
    let (summary, events) = done(&access, &backup_of(&paths));
    let has = |wanted: &str, said: &str| {
        events.iter().any(|event| {
            matches!(event, Event::Trouble { path, what, vanished: false }
                if path == wanted && what.contains(said))
        })
    };
    assert!(has(closed, "denied") && has(short, "shrank"), "{events:?}");
    assert_eq!((summary.troubles, summary.files), (2, 2));
    let to = place.path("restored");
    done(&access, &restore_to(&to, Some(Path::new("/etc"))));
    assert_eq!(fs::read(to.join("group")).unwrap(), fs::read("/etc/group").unwrap());
}

#[test]
fn what_changes_while_it_is_read_does_not_spoil_the_archive() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..3000 {
        fs::write(tree.join(format!("{number:04}")), noise(number, 3000)).unwrap();
    }
    let access = place.plain();
    let mut worker = Worker::start(&access, &backup_of(&[&tree]));
    worker.ready();
    worker.send(Frame::Go, b"");
    for number in (0..3000).rev() {
        let path = tree.join(format!("{number:04}"));
        match number % 3 {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, b"short").unwrap(),
            _ => fs::write(path, noise(number, 9000)).unwrap(),
        }
    }
    let summary = worker.end().unwrap();
    let vanished = |event: &Event| matches!(event, Event::Trouble { path, vanished: true, .. } if path.contains("/tree/"));
    assert!(worker.events.iter().any(vanished) && summary.troubles > 0, "{summary:?}");
    let archive = place.archive(".tar.zst");
    let listed = place.shell(&format!("zstd --quiet -dc {} | tar -t | wc -l", archive.display()));
    assert_eq!(listed.trim(), (summary.files + 1).to_string());
    let (restored, _) = done(&access, &restore_to(&place.path("to"), Some(&tree)));
    assert_eq!(restored.files, summary.files);
}

#[test]
fn an_archive_that_leads_outside_is_refused() {
    let place = Place::new();
    let access = place.plain();
    let (tree, outside) = (place.path("tree"), place.path("outside"));
    write_files(&tree, &[("a", "1")]);
    write_files(&outside, &[("secret", "safe")]);
    let snapshot = done(&access, &backup_of(&[&tree])).0.snapshot.unwrap();
    let archive = place.archive(".tar.zst");
    let whole = fs::read(&archive).unwrap();
    let json = archive.with_extension("").with_extension("json");
    let script = "import io, sys, tarfile\n\
                  out = tarfile.open(sys.argv[1], 'w')\n\
                  def add(name, kind=tarfile.REGTYPE, link='', text=b''):\n    \
                      info = tarfile.TarInfo(name)\n    \
                      info.type, info.linkname, info.size = kind, link, len(text)\n    \
                      out.addfile(info, io.BytesIO(text))\n\
                  D, S, L = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE\n\
                  o = sys.argv[2]\n\
                  exec(sys.argv[3])\n\
                  out.close()\n";
    let shown = outside.display().to_string();
    for (how, said) in [
        ("add('../outside/new', text=b'x')", "outside"),
        ("add('a/../../outside/new', text=b'x')", "outside"),
        ("add(o + '/new', text=b'x')", "outside"),
        ("add('//new', text=b'x')", "outside"),
        ("add('./new', text=b'x')", "outside"),
        ("add('..', D)", "outside"),
        ("add('a', S, o); add('a/new', text=b'x')", "twice"),
        ("add('a', S, o); add('a', D); add('a/new', text=b'x')", "twice"),
        ("add('a', L, o + '/secret')", "outside"),
        ("add('a', L, '../outside/secret')", "outside"),
        ("add('a', S, o); add('b', L, 'a/secret')", "no file of it"),
        ("add('a', S, o + '/secret'); add('b', L, 'a')", "no file of it"),
        ("add('b', text=b'x'); add('a', text=b'x')", "no order"),
        ("add('x', L, 'there/secret')", "no file of it"),
        ("add('a', b'Z')", "no known kind"),
        ("add('there/new', text=b'x')", ""),
        ("add('there', D); add('there/new', text=b'x')", ""),
    ] {
        let made = place.path("made.tar");
        let mut python = Command::new("python3");
        python.args(["-c", script, &made.display().to_string(), &shown, how]);
        process::output(&mut python).ok();
        let archive = archive.display();
        place.shell(&format!("zstd --quiet --force made.tar -o {archive}"));
        let mut record: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        record["size"] = fs::metadata(archive.to_string()).unwrap().len().into();
        fs::write(&json, record.to_string()).unwrap();

        let to = place.path("to");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).unwrap();
        // A link that is in the way already.
        std::os::unix::fs::symlink(&outside, to.join("there")).unwrap();
        let restore = restore_to(&to, None);
        if said.is_empty() {
            done(&access, &restore);
            assert_eq!(fs::read_to_string(to.join("there/new")).unwrap(), "x", "{how}");
            assert!(!to.join("there").is_symlink());
        } else {
            let (class, message) = failed(&access, &restore);
            assert!(class == Failure::Damaged && message.contains(said), "{how}: {message}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{how}");
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "safe", "{how}");
        let metadata = fs::metadata(outside.join("secret")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&metadata), 1, "{how}");
        assert!(!place.path("new").exists());
    }
    // Cut off, or with something else in it.
    let bits = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    for bytes in [whole[..whole.len() / 2].to_vec(), bits(whole.len() / 2), Vec::new()] {
        fs::write(&archive, bytes).unwrap();
        let (class, message) = failed(&access, &restore_to(&place.path("to"), None));
        assert_eq!(class, Failure::Damaged, "{message}");
    }
    fs::remove_file(&archive).unwrap();
    assert_eq!(failed(&access, &restore_to(&place.path("to"), None)).0, Failure::Damaged);
    fs::write(&json, "{").unwrap();
    let latest = Operation::Snapshots { tags: Vec::new() };
    assert_eq!(failed(&access, &latest).0, Failure::Damaged);
    assert_eq!(snapshot.paths.len(), 1);
}

#[test]
fn restoring_in_place_repairs_and_removes_and_stays_inside() {
    let place = Place::new();
    let tree = place.tree();
    let outside = place.path("outside");
    write_files(&outside, &[("er", "safe"), ("big.bin", "safe")]);
    let access = place.plain();
    done(&access, &backup_of(&[&tree]));
    let before = look(&tree);

    fs::write(tree.join("small.txt"), "HELLO\n").unwrap();
    fs::remove_dir_all(tree.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("deep")).unwrap();
    fs::remove_file(tree.join("sparse.img")).unwrap();
    fs::hard_link(outside.join("er"), tree.join("sparse.img")).unwrap();
    fs::remove_file(tree.join("pipe")).unwrap();
    write_files(&tree, &[("pipe/in", "x"), ("more", "x"), ("empty/and/more", "x")]);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(tree.join("empty"), "user.color", b"red", flags).unwrap();

    let in_place = |delete, dry_run| restore_in_place(&tree, delete, dry_run);
    let spoiled = look(&tree);
    let (dry, _) = done(&access, &in_place(true, true));
    assert!(dry.files_changed > 10, "{dry:?}");
    assert_eq!(look(&tree), spoiled, "a dry run writes nothing");
    done(&access, &in_place(false, false));
    assert!(tree.join("more").exists(), "what is not in the snapshot stays");
    let (summary, events) = done(&access, &in_place(true, false));
    assert_eq!(summary.troubles, 0, "{events:?}");
    assert_eq!(look(&tree), before);
    assert_eq!(fs::read_to_string(outside.join("er")).unwrap(), "safe");
    assert_eq!(fs::read_to_string(outside.join("big.bin")).unwrap(), "safe");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);

    let to = place.path("one");
    let mut dry = restore_to(&to, Some(&tree));
    if let Operation::Restore { dry_run, .. } = &mut dry {
        *dry_run = true;
    }
    done(&access, &dry);
    assert!(!to.exists(), "a dry run makes nothing");
    // One file goes right into a directory, beside what is there.
    write_files(&to, &[("beside", "x")]);
    let mut one = restore_to(&to, Some(&tree.join("deep/big.bin")));
    if let Operation::Restore { delete, .. } = &mut one {
        *delete = true;
    }
    done(&access, &one);
    assert!(fs::read(to.join("big.bin")).unwrap() == noise(1, 3_000_000));
    assert!(to.join("beside").exists());
    let (class, message) = failed(&access, &restore_to(&to, Some(Path::new("/no/such"))));
    assert!(class == Failure::NotFound && message.contains("/no/such"), "{message}");
}

#[test]
fn differences_are_told_by_kind() {
    let place = Place::new();
    let tree = place.path("tree");
    write_files(
        &tree,
        &[("same", "1"), ("edited", "1"), ("gone/a", "1"), ("mode", "1"), ("kind", "1")],
    );
    let access = place.plain();
    let first = done(&access, &backup_of(&[&tree])).0.snapshot.unwrap();
    fs::write(tree.join("edited"), "2").unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    write_files(&tree, &[("new/b", "1")]);
    fs::remove_file(tree.join("kind")).unwrap();
    fs::create_dir(tree.join("kind")).unwrap();
    run(&tree, "chmod", &["600", "mode"]);
    let second = done(&access, &backup_of(&[&tree])).0.snapshot.unwrap();
    let diff = Operation::Diff { from: first.id, to: second.id[..10].to_owned() };
    let below = tree.display().to_string();
    let (_, events) = done(&access, &diff);
    let told = events.iter().filter_map(|event| match event {
        Event::Difference { path, how } => {
            Some(format!("{} {how}", path.strip_prefix(&below).unwrap()))
        }
        _ => None,
    });
    let expected = [
        " metadata",
        "/edited changed",
        "/gone removed",
        "/gone/a removed",
        "/kind changed",
        "/mode metadata",
        "/new added",
        "/new/b added",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let unknown = Operation::Diff { from: "ffff".to_owned(), to: second.id };
    assert_eq!(failed(&access, &unknown).0, Failure::NotFound);
}

#[test]
fn forgetting_removes_archives_and_a_check_finds_what_is_missing_or_changed() {
    let place = Place::new();
    let access = place.plain();
    for number in 0..4 {
        dump(&access, "a.sql", &noise(number, 100_000));
    }
    write_files(&place.path("other"), &[("x", "1")]);
    done(&access, &backup_of(&[&place.path("other")]));
    let forget = |keep: Keep, dry_run| Operation::Forget { tags: Vec::new(), keep, dry_run };
    assert_eq!(failed(&access, &forget(Keep::default(), false)).0, Failure::Other);
    let last = Keep { last: 1, ..Keep::default() };
    let newest = snapshots(&access)[3].id.clone();
    let (summary, _) = done(&access, &forget(last.clone(), true));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 3));
    assert_eq!(snapshots(&access).len(), 5);
    let (summary, _) = done(&access, &forget(last, false));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 3));
    assert_eq!(snapshots(&access)[0].id, newest);
    assert_eq!(place.archives().len(), 5, "{:?}", place.archives());
    let tagged = Keep { tags: vec!["none".to_owned()], ..Keep::default() };
    assert_eq!(done(&access, &forget(tagged, false)).0.kept, 2, "the newest of a series stays");

    let check = |number, of| Operation::Check { number, of };
    assert_eq!(done(&access, &check(0, 0)).0.bytes, 0);
    let all = done(&access, &check(0, 1)).0.bytes;
    let parts: u64 = (0..3).map(|part| done(&access, &check(part, 3)).0.bytes).sum();
    assert!(all > 100_000 && parts == all, "{parts} {all}");
    let archive = place.archive(".a.sql.zst");
    let content = fs::read(&archive).unwrap();
    let mut changed = content.clone();
    changed[1000] ^= 1;
    fs::write(&archive, &changed).unwrap();
    done(&access, &check(0, 0));
    let (class, message) = failed(&access, &check(0, 1));
    assert!(class == Failure::Damaged && message.contains("not as it was written"), "{message}");
    fs::write(&archive, &content[1..]).unwrap();
    assert_eq!(failed(&access, &check(0, 0)).0, Failure::Damaged);
    fs::remove_file(&archive).unwrap();
    let (class, message) = failed(&access, &check(0, 0));
    assert!(class == Failure::Damaged && message.contains("is missing"), "{message}");
    fs::write(&archive, &content).unwrap();
    done(&access, &check(0, 1));
}

#[test]
fn a_full_disk_loses_nothing_that_was_there() {
    let place = Place::new();
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let shown = disk.display().to_string();
    run(&disk, "mount", &["-t", "tmpfs", "-o", "size=12m", "tmpfs", &shown]);
    let result = std::panic::catch_unwind(|| {
        let access = archives(directory(&disk.join("archives")), "");
        dump(&access, "small.sql", &noise(1, 2_000_000));
        let operation = Operation::Dump { name: "big.sql".to_owned(), label: label("dump") };
        let mut worker = Worker::start(&access, &operation);
        worker.ready();
        for piece in noise(2, 60_000_000).chunks(1 << 20) {
            worker.send(Frame::Piece, piece);
        }
        worker.send(Frame::Whole, b"");
        let (class, message) = worker.end().unwrap_err();
        assert!(class == Failure::Full && message.contains("make room"), "{message}");
        let tree = place.path("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("big"), noise(3, 60_000_000)).unwrap();
        assert_eq!(failed(&access, &backup_of(&[&tree])).0, Failure::Full);
        assert_eq!(fs::read_dir(disk.join("archives")).unwrap().count(), 3, "what failed is gone");

        assert_eq!(snapshots(&access).len(), 1);
        done(&access, &Operation::Check { number: 0, of: 1 });
        dump(&access, "again.sql", &noise(4, 2_000_000));
        // A restore onto a full disk says so, too.
        let elsewhere = place.plain();
        done(&elsewhere, &backup_of(&[&tree]));
        let (class, message) = failed(&elsewhere, &restore_to(&disk.join("to"), Some(&tree)));
        assert_eq!(class, Failure::Full, "{message}");
        // And a place that is mounted for reading only is read.
        fs::remove_dir_all(disk.join("to")).unwrap();
        run(place.directory.path(), "mount", &["-o", "remount,ro", &shown]);
        done(&access, &Operation::Check { number: 0, of: 1 });
        let (class, message) = failed(&access, &backup_of(&[&tree]));
        assert!(class == Failure::Unreachable && message.contains("ead-only"), "{message}");
    });
    run(place.directory.path(), "umount", &["--lazy", &shown]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn it_works_where_nothing_else_is_and_in_little_memory() {
    let place = Place::new();
    let root = place.path("root");
    write_files(&root, &[("volumes/data/sub/x", "hi")]);
    let data = root.join("volumes/data");
    std::os::unix::fs::chown(&data, Some(4321), Some(4321)).unwrap();
    let access = archives(directory(Path::new("/archives")), "a password");
    for operation in [
        backup_of(&[Path::new("/volumes/data")]),
        restore_to(Path::new("/restored"), Some(Path::new("/volumes/data"))),
    ] {
        let mut worker = Worker::start_in(&root, &access, &operation);
        let summary = worker.end().unwrap();
        assert_eq!(summary.troubles, 0, "{:?}", worker.events);
    }
    assert_eq!(look(&data), look(&root.join("restored")));

    let access = place.plain();
    let operation = Operation::Dump { name: "big.sql".to_owned(), label: label("dump") };
    let mut worker = Worker::start(&access, &operation);
    worker.ready();
    let piece = noise(5, 1 << 20);
    for _ in 0..300 {
        worker.send(Frame::Piece, &piece);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", worker.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100_000, "{peak} kB for 300 MiB");
    worker.send(Frame::Whole, b"");
    assert_eq!(worker.end().unwrap().bytes, 300 << 20);
    let quiet = Stdio::null();
    let line = format!("zstd -t {}", place.archive(".big.sql.zst").display());
    assert!(Command::new("bash").args(["-c", &line]).stderr(quiet).status().unwrap().success());
}

#[test]
fn a_bucket_keeps_archives_of_any_size() {
    let bucket = Bucket::start();
    let place = Place::new();
    let tree = place.tree();
    let access = archives(Bucket::access(bucket.port), "");
    let uploads = || bucket.ask("GET", "/bucket?uploads").contains("<UploadId>");
    let content = noise(5, 40_000_000);
    let big = dump(&access, "big.sql", &content);
    assert!(big.made && big.stored > 40_000_000);
    done(&access, &backup_of(&[&tree]));
    assert!(!uploads(), "three parts are one archive");
    let listed = bucket.ask("GET", "/bucket?list-type=2");
    assert_eq!(listed.matches("<Key>some/where/2").count(), 4, "{listed}");

    let to = place.path("to");
    let mut restore = restore_to(&to, None);
    if let Operation::Restore { tags, .. } = &mut restore {
        *tags = vec!["job:dump".to_owned()];
    }
    done(&access, &restore);
    assert!(fs::read(to.join("big.sql")).unwrap() == content);
    let restored = place.path("restored");
    done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored));
    assert!(done(&access, &Operation::Check { number: 0, of: 1 }).0.bytes > 40_000_000);
    let keep = Keep { last: 1, ..Keep::default() };
    dump(&access, "big.sql", b"small");
    let forget = Operation::Forget { tags: Vec::new(), keep, dry_run: false };
    assert_eq!(done(&access, &forget).0.forgotten.len(), 1);
    assert_eq!(snapshots(&access).len(), 2);
    // Somebody else's, and more than fit into one page of a list: 1000.
    for number in 0..1001 {
        bucket.ask("PUT", &format!("/bucket/some/where/{number:04}"));
    }
    assert_eq!(snapshots(&access).len(), 2);
    assert_eq!(done(&access, &Operation::Prune { dry_run: false }).0.stored, 0);
}

#[test]
fn a_bucket_that_hangs_up_in_a_part_is_asked_again_and_nothing_is_left_of_what_fails() {
    let bucket = Bucket::start();
    let access = archives(Bucket::access(bucket.proxy), "a password");
    let uploads = || bucket.ask("GET", "/bucket?uploads").contains("<UploadId>");
    let content = noise(1, 40_000_000);
    bucket.cuts.store(2, Ordering::SeqCst);
    dump(&access, "a.sql", &content);
    assert_eq!(bucket.cuts.load(Ordering::SeqCst), 0, "nothing was cut");
    let to = tempfile::tempdir().unwrap();
    done(&access, &restore_to(&to.path().join("to"), None));
    assert!(fs::read(to.path().join("to/a.sql")).unwrap() == content);

    let operation = Operation::Dump { name: "b.sql".to_owned(), label: label("dump") };
    for (cuts, end, expected) in
        [(u64::MAX, Frame::Whole, Failure::Unreachable), (0, Frame::Cut, Failure::Cut)]
    {
        bucket.cuts.store(cuts, Ordering::SeqCst);
        let mut worker = Worker::start(&access, &operation);
        worker.ready();
        for piece in content.chunks(1 << 20) {
            worker.send(Frame::Piece, piece);
        }
        if end == Frame::Cut {
            wait_for("an upload that was begun", Duration::from_mins(1), uploads);
        }
        worker.send(end, b"");
        let (class, message) = worker.end().unwrap_err();
        assert_eq!(class, expected, "{message}");
        bucket.cuts.store(0, Ordering::SeqCst);
        assert!(!uploads(), "{class:?}");
        assert_eq!(snapshots(&access).len(), 1);
        let listed = bucket.ask("GET", "/bucket?list-type=2");
        assert_eq!(listed.matches("<Key>").count(), 3, "{listed}");
    }
}
