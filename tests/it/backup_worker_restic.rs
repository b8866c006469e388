//! The worker of backups where restic does the work, beside our own engine on the same repository.

#![expect(clippy::unwrap_used, reason = "a test drives programs, waits for them, and fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use roadstead::backup::protocol::{Access, Event, Failure, Frame, Operation, Snapshot, Tool};
use roadstead::job::work::{Keep, Location};

use crate::support::worker::{
    Worker, at, backup_of, directory, done, dump, failed, label, look, noise, restic,
    restic_checks, restic_does, restore_in_place, restore_to, snapshots, tree_in,
};
use crate::support::{run, wait_for, write_files};

/// A repository that restic works on, and the same one for our own engine.
struct Place {
    directory: tempfile::TempDir,
    restic: Access,
    ours: Access,
}

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let ours = directory(&place.path().join("repository"));
        let restic = Access { tool: Tool::Restic, ..ours.clone() };
        Self { directory: place, restic, ours }
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

    fn locks(&self) -> usize {
        fs::read_dir(self.path("repository/locks")).unwrap().count()
    }
}

/// Has restic hold a lock until it is killed.
fn hold_lock(place: &Place) -> std::process::Child {
    let child = restic(&place.repository())
        .args(["backup", "--stdin", "--stdin-filename", "x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("restic's lock", Duration::from_mins(1), || place.locks() == 1);
    child
}

#[test]
fn each_reads_and_restores_what_the_other_wrote() {
    let place = Place::new();
    let tree = place.tree();
    for (number, (writer, reader)) in
        [(&place.restic, &place.ours), (&place.ours, &place.restic)].into_iter().enumerate()
    {
        let (summary, events) = done(writer, &backup_of(&[&tree]));
        assert_eq!(summary.made, number == 0);
        assert_eq!(summary.troubles, 0, "{events:?}");
        let position = |wanted: &Event| events.iter().position(|event| event == wanted).unwrap();
        assert!(position(&Event::Ready) < position(&Event::Read));
        let made = summary.snapshot.unwrap();
        assert_eq!(made.paths, [tree.display().to_string()]);
        assert_eq!((made.host.as_str(), &made.tags), ("test", &vec!["job:files".to_owned()]));

        // What it counted 0.14 neither writes nor shows.
        let listed = |access| {
            let uncounted = |it: Snapshot| Snapshot { files: None, bytes: None, added: None, ..it };
            snapshots(access).into_iter().map(uncounted).collect::<Vec<_>>()
        };
        let (own, other) = (listed(writer), listed(reader));
        assert_eq!(own, other);
        assert_eq!(own.last().unwrap().id, made.id);
        for (access, name) in [(writer, "own"), (reader, "other")] {
            let to = place.path(&format!("{name}-{number}"));
            let (summary, events) = done(access, &restore_to(&to, Some(&tree)));
            assert_eq!(look(&tree), look(&to), "{events:?}");
            assert_eq!(summary.troubles, 0, "{events:?}");
            assert_eq!(summary.snapshot.unwrap().id, made.id);
        }
    }
    restic_checks(&place.repository());
    assert_eq!(place.locks(), 0);
}

#[test]
fn both_list_the_same_files() {
    let place = Place::new();
    let tree = place.tree();
    done(&place.restic, &backup_of(&[&tree]));
    let list = |access: &Access, path: Option<PathBuf>| {
        let path = path.map(|it| it.display().to_string());
        let operation = Operation::Files { snapshot: "latest".to_owned(), tags: Vec::new(), path };
        let (_, events) = done(access, &operation);
        let entries = events.into_iter().filter(|it| matches!(it, Event::Entry { .. }));
        let mut entries: Vec<String> = entries.map(|it| format!("{it:?}")).collect();
        entries.sort();
        entries
    };
    let one = tree.join("bin/tool");
    for (path, count) in [(None, 20), (Some(tree.clone()), 20), (Some(one), 1)] {
        let found = list(&place.restic, path.clone());
        assert!(found.len() >= count, "{found:?}");
        assert_eq!(found, list(&place.ours, path));
    }
    let gone = Operation::Files {
        snapshot: "latest".to_owned(),
        tags: Vec::new(),
        path: Some("/no/such".to_owned()),
    };
    let (class, message) = failed(&place.restic, &gone);
    assert!(class == Failure::NotFound && message.contains("/no/such"), "{message}");
}

#[test]
fn a_whole_dump_comes_back_and_one_that_is_cut_leaves_nothing() {
    let place = Place::new();
    let content = noise(7, 5_000_000);
    let summary = dump(&place.restic, "a.sql", &content);
    assert_eq!(summary.bytes, content.len() as u64);
    assert!(summary.stored > 4_000_000, "{summary:?}");
    assert_eq!(summary.snapshot.unwrap().paths, ["/a.sql"]);
    for access in [&place.restic, &place.ours] {
        let to = place.path(if access.tool == Tool::Restic { "restic" } else { "ours" });
        done(access, &restore_to(&to, None));
        assert!(fs::read(to.join("a.sql")).unwrap() == content);
    }
    let operation = Operation::Dump { name: "a.sql".to_owned(), label: label("dump") };
    for how in ["cut", "end", "stop"] {
        let mut worker = Worker::start(&place.restic, &operation);
        worker.ready();
        for piece in noise(9, 20_000_000).chunks(1 << 20) {
            worker.send(Frame::Piece, piece);
        }
        wait_for("restic to read", Duration::from_mins(1), || place.locks() == 1);
        match how {
            "cut" => worker.send(Frame::Cut, b""),
            "stop" => worker.send(Frame::Stop, b""),
            _ => worker.hang_up(),
        }
        let (class, message) = worker.end().unwrap_err();
        let expected = if how == "stop" { Failure::Stopped } else { Failure::Cut };
        assert_eq!(class, expected, "{message}");
        assert_eq!(place.locks(), 0, "{how}");
        assert_eq!(snapshots(&place.restic).len(), 1, "{how}");
    }
    // Nothing came at all.
    let mut worker = Worker::start(&place.restic, &operation);
    worker.ready();
    worker.send(Frame::Whole, b"");
    let (_, message) = worker.end().unwrap_err();
    assert!(message.contains("empty"), "{message}");
    assert_eq!(snapshots(&place.restic).len(), 1);
    restic_checks(&place.repository());
}

#[test]
fn restic_does_not_take_the_death_of_a_worker_for_the_end_of_a_dump() {
    let place = Place::new();
    dump(&place.restic, "good.sql", b"good");
    let operation = Operation::Dump { name: "a.sql".to_owned(), label: label("dump") };
    let mut worker = Worker::start(&place.restic, &operation);
    worker.ready();
    worker.send(Frame::Piece, &noise(9, 1 << 20));
    wait_for("restic to read", Duration::from_mins(1), || place.locks() == 1);
    let children = format!("/proc/{0}/task/{0}/children", worker.child.id());
    let child = fs::read_to_string(children).unwrap().trim().to_owned();
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    // In a container it is killed with the worker; here it ends by itself, as nobody hears it.
    let program = format!("/proc/{child}/exe");
    wait_for("the end of restic", Duration::from_mins(1), || fs::read_link(&program).is_err());
    assert_eq!(snapshots(&place.restic).len(), 1);
    assert_eq!(done(&place.restic, &Operation::Unlock { all: true }).0.unlocked, 1);
}

#[test]
fn what_cannot_be_read_is_told_apart_and_what_is_excluded_is_left_out() {
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
            (".hidden", "5"),
        ],
    );
    let operation = |dry_run| Operation::Backup {
        // Of the kernel: one that may only be written.
        paths: vec![tree.clone(), "/sys/bus/platform/drivers_probe".into()],
        exclude: vec!["*.tmp".to_owned(), "tree/logs".to_owned()],
        exclude_caches: true,
        label: label("files"),
        dry_run,
    };
    done(&place.restic, &backup_of(&[&tree]));
    let (summary, _) = done(&place.restic, &operation(true));
    assert_eq!(summary.snapshot, None);
    assert_eq!(snapshots(&place.restic).len(), 1, "a dry run saves nothing");
    let (summary, events) = done(&place.restic, &operation(false));
    assert_eq!(summary.troubles, 1);
    let is_it = |event: &Event| {
        matches!(event, Event::Trouble { path, what, vanished: false }
            if path == "/sys/bus/platform/drivers_probe" && what.to_lowercase().contains("denied"))
    };
    assert!(events.iter().any(is_it), "{events:?}");
    let listed = restic_does(&place.repository(), &["ls", "latest"]);
    let names = listed.lines().filter_map(|line| line.rsplit_once("/tree/"));
    let mut names: Vec<_> = names.map(|(_, name)| name).collect();
    names.retain(|name| !name.starts_with("cache"));
    assert_eq!(names, [".hidden", "keep.txt"]);

    let (class, message) = failed(&place.restic, &backup_of(&[&place.path("gone")]));
    assert!(class == Failure::NotFound && message.contains("mounted"), "{message}");
}

#[test]
fn files_that_vanish_are_counted_as_such() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..3000 {
        fs::write(tree.join(format!("{number}")), noise(number, 3000)).unwrap();
    }
    let mut worker = Worker::start(&place.restic, &backup_of(&[&tree]));
    worker.ready();
    worker.send(Frame::Go, b"");
    wait_for("restic to work", Duration::from_mins(1), || place.locks() == 1);
    for number in (0..3000).rev() {
        fs::remove_file(tree.join(format!("{number}"))).unwrap();
    }
    let summary = worker.end().unwrap();
    let troubles = worker.events.iter().filter(|it| matches!(it, Event::Trouble { .. }));
    let troubles: Vec<_> = troubles.collect();
    assert_eq!(summary.troubles, troubles.len() as u64);
    // How many it is depends on who was faster; whatever is no trouble is stored.
    assert!(
        troubles.iter().all(|it| matches!(it, Event::Trouble { vanished: true, .. })),
        "{troubles:?}"
    );
    restic_checks(&place.repository());
}

#[test]
fn restoring_in_place_repairs_and_removes_and_stays_inside() {
    let place = Place::new();
    let (tree, outside) = (place.tree(), place.path("outside"));
    write_files(&outside, &[("er", "safe"), ("big.bin", "safe")]);
    done(&place.restic, &backup_of(&[&tree]));
    let before = look(&tree);

    // Other content; other kinds; links to elsewhere; what was not there.
    fs::write(tree.join("small.txt"), "HELLO\n").unwrap();
    fs::remove_dir_all(tree.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("deep")).unwrap();
    fs::remove_file(tree.join("sparse.img")).unwrap();
    fs::hard_link(outside.join("er"), tree.join("sparse.img")).unwrap();
    fs::remove_file(tree.join("pipe")).unwrap();
    write_files(&tree, &[("pipe/in", "x"), ("more", "x"), ("empty/and/more", "x")]);
    // Of a restore that was killed.
    write_files(&tree, &[(".roadstead-restore/left", "x")]);

    let in_place = |delete, dry_run| restore_in_place(&tree, delete, dry_run);
    let spoiled = look(&tree);
    let (summary, _) = done(&place.restic, &in_place(true, true));
    assert!(summary.files_changed > summary.files, "{summary:?}");
    assert_eq!(look(&tree), spoiled, "a dry run writes nothing");
    done(&place.restic, &in_place(false, false));
    assert!(tree.join("more").exists(), "what is not in the snapshot stays");
    assert!(tree.join("empty/and/more").exists());
    let (summary, events) = done(&place.restic, &in_place(true, false));
    assert_eq!(summary.troubles, 0, "{events:?}");
    assert_eq!(look(&tree), before);
    assert_eq!(fs::read_to_string(outside.join("er")).unwrap(), "safe");
    assert_eq!(fs::read_to_string(outside.join("big.bin")).unwrap(), "safe");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);

    // One file goes right into a directory, and what has letters of patterns is found.
    let to = place.path("one");
    done(&place.restic, &restore_to(&to, Some(&tree.join("deep/big.bin"))));
    assert!(fs::read(to.join("big.bin")).unwrap() == noise(1, 3_000_000));
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    let odd = place.path("odd");
    write_files(&odd, &[("a*[b]\\c/x", "right"), ("aZbc/x", "wrong")]);
    done(&place.restic, &backup_of(&[&odd]));
    done(&place.restic, &restore_to(&to, Some(&odd.join("a*[b]\\c"))));
    assert_eq!(fs::read_to_string(to.join("x")).unwrap(), "right");
    let (class, message) = failed(&place.restic, &restore_to(&to, Some(Path::new("/no/such"))));
    assert!(class == Failure::NotFound && message.contains("/no/such"), "{message}");
}

#[test]
fn a_restore_that_lacks_data_changes_nothing() {
    let place = Place::new();
    let tree = place.path("tree");
    write_files(&tree, &[("a", "old")]);
    fs::write(tree.join("big"), noise(3, 3_000_000)).unwrap();
    done(&place.restic, &backup_of(&[&tree]));
    write_files(&tree, &[("a", "new")]);
    let entries = || {
        let mut entries = look(&tree);
        // That something was in it meanwhile is seen at its time.
        entries.remove(std::ffi::OsStr::new(""));
        entries
    };
    let before = entries();
    let packs = fs::read_dir(place.path("repository/data")).unwrap();
    let packs = packs.flat_map(|it| fs::read_dir(it.unwrap().path()).unwrap());
    let largest = packs.map(|it| it.unwrap()).max_by_key(|it| it.metadata().unwrap().len());
    let largest = largest.unwrap().path();
    let content = fs::read(&largest).unwrap();
    fs::remove_file(&largest).unwrap();

    let (class, message) = failed(&place.restic, &restore_to(&tree, Some(&tree)));
    assert_eq!(class, Failure::Damaged, "{message}");
    assert_eq!(entries(), before);
    let check = |number, of| Operation::Check { number, of };
    let (class, message) = failed(&place.restic, &check(0, 0));
    assert!(class == Failure::Damaged && message.contains("findings"), "{message}");
    let mut changed = content.clone();
    changed[1000] ^= 1;
    fs::write(&largest, &changed).unwrap();
    done(&place.restic, &check(0, 0));
    assert_eq!(failed(&place.restic, &check(0, 1)).0, Failure::Damaged);
    fs::write(&largest, &content).unwrap();
    for part in 0..3 {
        done(&place.restic, &check(part, 3));
    }
}

#[test]
fn failures_have_their_class() {
    let place = Place::new();
    let strict = Access { init: false, ..place.restic.clone() };
    let backup = backup_of(&[Path::new("/etc/hosts")]);
    for operation in [&backup, &Operation::Snapshots { tags: Vec::new() }] {
        let (class, message) = failed(&strict, operation);
        assert!(class == Failure::NoRepository && message.contains("init: true"), "{message}");
    }
    assert!(done(&place.restic, &backup).0.made);
    let wrong = Access { password: "no such".to_owned(), ..place.restic.clone() };
    for operation in [&backup, &Operation::Snapshots { tags: Vec::new() }] {
        let (class, message) = failed(&wrong, operation);
        assert!(class == Failure::WrongPassword && !message.contains("no such"), "{message}");
    }
    let nowhere = Location::Rest("http://ada:hush-hush@127.0.0.1:9/x/".to_owned());
    let nowhere = Access { tool: Tool::Restic, ..at(nowhere) };
    let (class, message) = failed(&nowhere, &backup);
    assert!(class == Failure::Unreachable && !message.contains("hush-hush"), "{message}");
    let (class, message) =
        failed(&place.restic, &Operation::Diff { from: "latest".to_owned(), to: "zz".to_owned() });
    assert!(class == Failure::NotFound && message.contains("`zz`"), "{message}");
    // A repository is never made over the data of one.
    fs::remove_file(place.path("repository/config")).unwrap();
    let (class, message) = failed(&place.restic, &backup);
    assert!(class == Failure::Damaged && message.contains("config"), "{message}");
}

#[test]
fn locks_are_seen_kept_and_removed() {
    let place = Place::new();
    dump(&place.restic, "a.sql", b"a");
    let mut writer = hold_lock(&place);
    dump(&place.restic, "b.sql", b"b");
    let prune = Operation::Prune { dry_run: false };
    let (class, message) = failed(&place.restic, &prune);
    assert!(class == Failure::Locked && message.contains("roadstead backup unlock"), "{message}");
    assert!(message.contains(&format!("PID {}", writer.id())), "{message}");
    assert_eq!(done(&place.restic, &Operation::Unlock { all: false }).0.unlocked, 0);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(done(&place.restic, &Operation::Unlock { all: true }).0.unlocked, 1);
    done(&place.restic, &prune);

    // Who waits for writers holds nothing yet, and who is stopped leaves nothing.
    let mut worker = Worker::start(&place.restic, &backup_of(&[Path::new("/etc/hosts")]));
    worker.ready();
    worker.send(Frame::Stop, b"");
    assert_eq!(worker.end().unwrap_err().0, Failure::Stopped);
    assert_eq!((place.locks(), snapshots(&place.restic).len()), (0, 2));
}

#[test]
fn both_forget_the_same_and_what_nothing_needs_is_pruned() {
    let place = Place::new();
    for number in 0..4 {
        dump(&place.restic, "a.sql", &noise(number, 2_000_000));
    }
    done(&place.restic, &backup_of(&[Path::new("/etc/hosts")]));
    let forget = |keep: Keep, dry_run| Operation::Forget { tags: Vec::new(), keep, dry_run };
    assert_eq!(failed(&place.restic, &forget(Keep::default(), false)).0, Failure::Other);
    for keep in [
        Keep { last: 1, ..Keep::default() },
        Keep { daily: 2, ..Keep::default() },
        Keep { within: Some(Duration::from_hours(1)), ..Keep::default() },
        Keep { tags: vec!["none".to_owned()], ..Keep::default() },
    ] {
        let said = |access| {
            let summary = done(access, &forget(keep.clone(), true)).0;
            (summary.kept, summary.forgotten)
        };
        assert_eq!(said(&place.restic), said(&place.ours));
    }
    assert_eq!(snapshots(&place.restic).len(), 5);
    let last = Keep { last: 1, ..Keep::default() };
    let (summary, _) = done(&place.restic, &forget(last, false));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 3));
    assert_eq!(snapshots(&place.restic).len(), 2);

    let (dry, _) = done(&place.restic, &Operation::Prune { dry_run: true });
    let (summary, _) = done(&place.restic, &Operation::Prune { dry_run: false });
    assert!(dry.stored == summary.stored && summary.stored > 6_000_000, "{summary:?}");
    assert_eq!(done(&place.restic, &Operation::Prune { dry_run: false }).0.stored, 0);
    let to = place.path("restored");
    let operation = Operation::Restore {
        snapshot: "latest".to_owned(),
        tags: vec!["job:dump".to_owned()],
        path: None,
        to: to.clone(),
        delete: false,
        dry_run: false,
    };
    done(&place.restic, &operation);
    assert!(fs::read(to.join("a.sql")).unwrap() == noise(3, 2_000_000));
    restic_checks(&place.repository());
}

#[test]
fn differences_are_told_by_kind() {
    let place = Place::new();
    let tree = place.path("tree");
    write_files(
        &tree,
        &[("same", "1"), ("edited", "1"), ("gone/a", "1"), ("mode", "1"), ("kind", "1")],
    );
    let first = done(&place.restic, &backup_of(&[&tree])).0.snapshot.unwrap();
    fs::write(tree.join("edited"), "22").unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    write_files(&tree, &[("new/b", "1")]);
    fs::remove_file(tree.join("kind")).unwrap();
    fs::create_dir(tree.join("kind")).unwrap();
    run(&tree, "chmod", &["600", "mode"]);
    let second = done(&place.restic, &backup_of(&[&tree])).0.snapshot.unwrap();
    let (_, events) =
        done(&place.restic, &Operation::Diff { from: first.id, to: second.id[..10].to_owned() });
    let below = format!("{}/", tree.display());
    let mut told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Difference { path, how } => {
                Some(format!("{} {how}", path.strip_prefix(&below)?))
            }
            _ => None,
        })
        .collect();
    told.sort();
    let expected = [
        "edited changed",
        "gone removed",
        "gone/a removed",
        "kind changed",
        "mode metadata",
        "new added",
        "new/b added",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let place = Place::new();
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let shown = disk.display().to_string();
    run(place.directory.path(), "mount", &["-t", "tmpfs", "-o", "size=12m", "tmpfs", &shown]);
    let result = std::panic::catch_unwind(|| {
        let access = Access { tool: Tool::Restic, ..directory(&disk.join("repository")) };
        dump(&access, "small.sql", &noise(1, 2_000_000));
        let tree = place.path("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("big"), noise(3, 60_000_000)).unwrap();
        let (class, message) = failed(&access, &backup_of(&[&tree]));
        assert!(class == Failure::Full && message.contains("prune"), "{message}");
        assert_eq!(snapshots(&access).len(), 1);
        // A restore onto a full disk says so, too.
        done(&place.restic, &backup_of(&[&tree]));
        let to = disk.join("to");
        let (class, message) = failed(&place.restic, &restore_to(&to, Some(&tree)));
        assert_eq!(class, Failure::Full, "{message}");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    });
    run(place.directory.path(), "umount", &["--lazy", &shown]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
