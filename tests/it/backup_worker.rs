//! The worker of backups on a repository in a directory, beside restic.

#![expect(clippy::unwrap_used, reason = "a test drives programs, waits for them, and fails loudly")]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use roadstead::backup::protocol::{Event, Failure, Frame, Operation};
use tempfile::TempDir;

use crate::support::worker::{
    Worker, backup_of, directory, done, dump, failed, label, look, noise, restic_checks,
    restic_does, restore_to, snapshots, tree_in,
};

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A tree with one of everything.
    fn tree(&self) -> PathBuf {
        tree_in(self.directory.path())
    }

    fn repository(&self) -> String {
        self.path("repository").display().to_string()
    }
}

#[test]
fn restic_reads_and_restores_what_was_written() {
    let place = Place::new();
    let tree = place.tree();
    let access = directory(&place.path("repository"));
    let (summary, events) = done(&access, &backup_of(&[&tree]));

    assert!(summary.made && summary.troubles == 0, "{events:?}");
    let at = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
    assert!(at(&Event::Ready) < at(&Event::Read) && at(&Event::Read) < events.len() - 1);
    let snapshot = summary.snapshot.unwrap();
    assert_eq!(snapshot.paths, [tree.display().to_string()]);
    assert_eq!((snapshot.host.as_str(), snapshot.tags), ("test", vec!["job:files".to_owned()]));

    restic_checks(&place.repository());
    let listed = restic_does(&place.repository(), &["snapshots", "--json", "--tag", "job:files"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["id"], snapshot.id);
    let restored = place.path("restored");
    let to = restored.display().to_string();
    restic_does(&place.repository(), &["restore", "latest", "--target", &to]);
    let inner = restored.join(tree.strip_prefix("/").unwrap());
    assert_eq!(look(&tree), look(&inner));
}

#[test]
fn what_was_written_is_restored_with_all_that_belongs_to_it() {
    let place = Place::new();
    let tree = place.tree();
    // A target that is no Unicode: restic 0.14 does not bring it back.
    let odd = std::ffi::OsStr::from_bytes(b"\xfe");
    std::os::unix::fs::symlink(odd, tree.join("links/odd")).unwrap();
    let access = directory(&place.path("repository"));
    done(&access, &backup_of(&[&tree]));

    let restored = place.path("restored");
    let (summary, events) = done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored), "{events:?}");
    assert_eq!(summary.troubles, 0, "{events:?}");
    let blocks = std::os::unix::fs::MetadataExt::blocks;
    let sparse = fs::metadata(restored.join("sparse.img")).unwrap();
    assert!(blocks(&sparse) * 512 < sparse.len(), "holes are filled");
    // Once more, into what is there.
    let (summary, events) = done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored));
    assert_eq!(summary.troubles, 0, "{events:?}");
}

#[test]
fn what_restic_wrote_is_listed_and_restored() {
    let place = Place::new();
    let tree = place.tree();
    let access = directory(&place.path("repository"));
    restic_does(&place.repository(), &["init"]);
    let path = tree.display().to_string();
    restic_does(&place.repository(), &["backup", "--tag", "job:x", "--host", "h", &path]);

    let listed = snapshots(&access);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].tags, ["job:x"]);
    let (_, events) = done(
        &access,
        &Operation::Files {
            snapshot: listed[0].id[..8].to_owned(),
            tags: Vec::new(),
            path: Some(path.clone()),
        },
    );
    let has = |path: &Path, kind: &str| {
        let path = path.display().to_string();
        events.iter().any(|event| {
            matches!(event, Event::Entry { path: at, kind: of, .. } if *at == path && of == kind)
        })
    };
    assert!(has(&tree.join("links/to-one"), "symlink") && has(&tree.join("deep"), "dir"));
    assert!(has(&tree.join("pipe"), "fifo") && has(&tree.join("small.txt"), "file"));
    let restored = place.path("restored");
    done(&access, &restore_to(&restored, Some(&tree)));
    assert_eq!(look(&tree), look(&restored));
    // And on with it: what restic saved is not saved again.
    let (summary, _) = done(&access, &backup_of(&[&tree]));
    assert!(summary.stored < 100_000, "{summary:?}");
    restic_checks(&place.repository());
}

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let place = Place::new();
    let tree = place.tree();
    let access = directory(&place.path("repository"));
    let (first, _) = done(&access, &backup_of(&[&tree]));
    let (second, _) = done(&access, &backup_of(&[&tree]));
    assert!(first.stored > 3_000_000 && second.stored < 10_000, "{first:?} {second:?}");
    assert_eq!((second.files_changed, second.files), (0, first.files));

    fs::write(tree.join("small.txt"), "changed\n").unwrap();
    let (third, _) = done(&access, &backup_of(&[&tree]));
    assert_eq!(third.files_changed, 1);
    let other = Operation::Backup {
        paths: vec![tree],
        exclude: Vec::new(),
        exclude_caches: false,
        label: label("other"),
        dry_run: false,
    };
    let (other, _) = done(&access, &other);
    assert_eq!(other.files_changed, other.files, "another job has a parent of its own");
    restic_checks(&place.repository());
}

#[test]
fn a_whole_dump_comes_back_byte_for_byte() {
    let place = Place::new();
    let access = directory(&place.path("repository"));
    for (name, content) in [("a.sql", noise(7, 5_000_000)), ("empty.sql", Vec::new())] {
        let summary = dump(&access, name, &content);
        assert_eq!(summary.bytes, content.len() as u64);
        assert_eq!(summary.snapshot.as_ref().unwrap().paths, [format!("/{name}")]);
        restic_checks(&place.repository());
        for ours in [true, false] {
            let to = place.path(&format!("{name}-{ours}"));
            if ours {
                done(&access, &restore_to(&to, None));
            } else {
                let to = to.display().to_string();
                restic_does(&place.repository(), &["restore", "latest", "--target", &to]);
            }
            assert!(fs::read(to.join(name)).unwrap() == content, "{name} {ours}");
        }
        let listed = restic_does(&place.repository(), &["ls", "--long", "latest"]);
        assert!(listed.contains(&format!(" {} ", content.len())), "{listed}");
    }
    // Content that is there already is not stored again.
    assert!(dump(&access, "b.sql", &noise(7, 5_000_000)).stored < 10_000);
}

#[test]
fn a_dump_that_is_cut_leaves_no_snapshot() {
    let place = Place::new();
    let access = directory(&place.path("repository"));
    dump(&access, "good.sql", b"good");
    let operation = Operation::Dump { name: "a.sql".to_owned(), label: label("dump") };
    for how in ["cut", "end", "stop", "kill"] {
        let mut worker = Worker::start(&access, &operation);
        worker.ready();
        for piece in noise(9, 40_000_000).chunks(1 << 20) {
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
            restic_does(&place.repository(), &["unlock", "--remove-all"]);
        } else {
            let (class, message) = worker.end().unwrap_err();
            let expected = if how == "stop" { Failure::Stopped } else { Failure::Cut };
            assert_eq!(class, expected, "{message}");
        }
        assert_eq!(snapshots(&access).len(), 1, "{how}");
        assert_eq!(restic_does(&place.repository(), &["list", "locks"]), "", "{how}");
    }
    done(&access, &Operation::Prune { dry_run: false });
    restic_checks(&place.repository());
    let to = place.path("restored");
    done(&access, &restore_to(&to, None));
    assert_eq!(fs::read(to.join("good.sql")).unwrap(), b"good");
}

#[test]
fn what_is_excluded_vanished_or_unreadable_is_told_apart() {
    let place = Place::new();
    let tree = place.path("tree");
    crate::support::write_files(
        &tree,
        &[
            ("keep.txt", "1"),
            ("skip.tmp", "2"),
            ("logs/old.log", "3"),
            ("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
            ("cache/x", "4"),
            (".gitignore", "keep.txt\n"),
            (".hidden", "5"),
        ],
    );
    let access = directory(&place.path("repository"));
    let operation = |exclude: &[&str], dry_run| Operation::Backup {
        paths: vec![tree.clone()],
        exclude: exclude.iter().map(|&glob| glob.to_owned()).collect(),
        exclude_caches: true,
        label: label("files"),
        dry_run,
    };
    done(&access, &operation(&[], false));
    let (summary, _) = done(&access, &operation(&["*.tmp", "tree/logs"], true));
    assert_eq!((summary.snapshot, summary.files), (None, 3));
    assert_eq!(snapshots(&access).len(), 1, "a dry run saves nothing");
    done(&access, &operation(&["*.tmp", "tree/logs"], false));
    let listed = restic_does(&place.repository(), &["ls", "latest"]);
    let names: Vec<_> = listed.lines().filter_map(|line| line.rsplit_once("/tree/")).collect();
    let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, [".gitignore", ".hidden", "keep.txt"]);

    let (class, message) = failed(&access, &operation(&["!x"], false));
    assert!(class == Failure::Other && message.contains("`!x`"), "{message}");
    let gone = place.path("gone");
    let (class, message) = failed(&access, &backup_of(&[&gone]));
    assert!(class == Failure::NotFound && message.contains("mounted"), "{message}");
    assert_eq!(snapshots(&access).len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_a_trouble_and_the_rest_is_saved() {
    let place = Place::new();
    let access = directory(&place.path("repository"));
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
    restic_checks(&place.repository());
}

#[test]
fn what_changes_while_it_is_read_does_not_spoil_the_snapshot() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..3000 {
        fs::write(tree.join(format!("{number}")), noise(number, 3000)).unwrap();
    }
    let access = directory(&place.path("repository"));
    let mut worker = Worker::start(&access, &backup_of(&[&tree]));
    worker.ready();
    worker.send(Frame::Go, b"");
    for number in (0..3000).rev() {
        let path = tree.join(format!("{number}"));
        match number % 3 {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, b"short").unwrap(),
            _ => fs::write(path, noise(number, 9000)).unwrap(),
        }
    }
    let summary = worker.end().unwrap();
    let vanished = worker.events.iter().any(
        |event| matches!(event, Event::Trouble { path, vanished: true, .. } if path.contains("/tree/")),
    );
    assert!(vanished && summary.troubles > 0, "{summary:?}");
    restic_checks(&place.repository());
    let to = place.path("restored").display().to_string();
    restic_does(&place.repository(), &["restore", "latest", "--target", &to, "--verify"]);
}

#[test]
fn a_repository_that_was_only_begun_is_made_and_never_over_data() {
    let place = Place::new();
    let access = directory(&place.path("repository"));
    let config = place.path("repository/config");
    assert!(done(&access, &Operation::Snapshots { tags: Vec::new() }).0.made);
    fs::remove_file(&config).unwrap();
    assert!(done(&access, &Operation::Snapshots { tags: Vec::new() }).0.made);
    dump(&access, "a.sql", b"a");
    let content = fs::read(&config).unwrap();
    fs::remove_file(&config).unwrap();
    let (class, message) = failed(&access, &Operation::Snapshots { tags: Vec::new() });
    assert!(class == Failure::Damaged && message.contains("`config`"), "{message}");
    fs::write(&config, content).unwrap();
    assert_eq!(snapshots(&access).len(), 1);
    restic_checks(&place.repository());
}

#[test]
fn it_works_where_nothing_else_is() {
    let place = Place::new();
    let root = place.path("root");
    crate::support::write_files(&root, &[("volumes/data/sub/x", "hi")]);
    let data = root.join("volumes/data");
    std::os::unix::fs::chown(&data, Some(4321), Some(4321)).unwrap();
    let access = directory(Path::new("/repository"));
    let backup = backup_of(&[Path::new("/volumes/data")]);
    let restore = restore_to(Path::new("/restored"), Some(Path::new("/volumes/data")));
    for operation in [backup, restore] {
        let mut worker = Worker::start_in(&root, &access, &operation);
        let summary = worker.end().unwrap();
        assert_eq!(summary.troubles, 0, "{:?}", worker.events);
    }
    assert_eq!(look(&data), look(&root.join("restored")));
    restic_checks(&root.join("repository").display().to_string());
}

#[test]
fn a_wrong_password_and_a_missing_repository_say_what_to_do() {
    let place = Place::new();
    let mut access = directory(&place.path("repository"));
    access.init = false;
    let list = Operation::Snapshots { tags: Vec::new() };
    let (class, message) = failed(&access, &list);
    assert!(class == Failure::NoRepository && message.contains("init: true"), "{message}");
    assert!(!place.path("repository").exists());
    access.init = true;
    assert!(done(&access, &list).0.made);
    assert!(!done(&access, &list).0.made);
    access.password = "wrong".to_owned();
    let (class, message) = failed(&access, &list);
    assert!(class == Failure::WrongPassword && message.contains("correct it"), "{message}");
    assert!(!message.contains("wrong"), "{message}");
    access.password = crate::support::worker::PASSWORD.to_owned();
    let (class, _) = failed(&access, &restore_to(&place.path("to"), None));
    assert_eq!(class, Failure::NotFound);
    let config = fs::read_to_string(place.path("repository/keys")).is_err();
    assert!(
        config && restic_does(&place.repository(), &["cat", "config"]).contains("\"version\": 2")
    );
}
