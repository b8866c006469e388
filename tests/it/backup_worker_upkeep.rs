//! Locks, forgetting, pruning, checking and restoring in place by the worker of backups, beside restic.

#![expect(clippy::unwrap_used, reason = "a test drives programs, waits for them, and fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use roadstead::backup::protocol::{Event, Failure, Frame, Operation};
use roadstead::job::work::Keep;

use crate::support::worker::{
    Worker, backup_of, directory, done, dump, failed, label, look, noise, restic, restic_checks,
    restic_does, restore_in_place, restore_to, snapshots, tree_in,
};
use crate::support::{process, run, wait_for};

fn files_in(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

fn size_of(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).unwrap().map(|entry| size_of(&entry.unwrap().path())).sum()
}

#[test]
fn both_see_each_others_locks() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let (access, shown) = (directory(&path), path.display().to_string());
    dump(&access, "a.sql", b"a");

    // Restic adds, so we may add, and not prune.
    let mut writer = restic(&shown)
        .args(["backup", "--stdin", "--stdin-filename", "x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("restic's lock", Duration::from_mins(1), || files_in(&path.join("locks")) == 1);
    dump(&access, "b.sql", b"b");
    let (class, message) = failed(&access, &Operation::Prune { dry_run: false });
    assert_eq!(class, Failure::Locked);
    let pid = format!("process {} of", writer.id());
    assert!(message.contains(&pid) && message.contains("is passed over from"), "{message}");
    // Not stale yet.
    assert_eq!(done(&access, &Operation::Unlock { all: false }).0.unlocked, 0);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(done(&access, &Operation::Unlock { all: true }).0.unlocked, 1);
    done(&access, &Operation::Prune { dry_run: false });

    // We add, so restic may not prune.
    let operation = Operation::Dump { name: "c.sql".to_owned(), label: label("dump") };
    let mut worker = Worker::start(&access, &operation);
    worker.ready();
    let refused = process::output(restic(&shown).args(["prune"]));
    assert!(refused.stderr.contains("already locked"), "{refused:?}");
    assert!(refused.stderr.contains(&format!("PID {}", worker.child.id())), "{refused:?}");
    worker.send(Frame::Whole, b"");
    worker.end().unwrap();
    assert_eq!(files_in(&path.join("locks")), 0);
    restic_does(&shown, &["prune"]);
    restic_checks(&shown);
}

#[test]
fn the_lock_of_who_was_killed_stops_only_those_who_remove() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let access = directory(&path);
    let mut worker = Worker::start(&access, &backup_of(&[Path::new("/etc/hosts")]));
    worker.ready();
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    assert_eq!(files_in(&path.join("locks")), 1);
    dump(&access, "a.sql", b"a");
    let (class, _) = failed(&access, &Operation::Prune { dry_run: false });
    assert_eq!(class, Failure::Locked);

    assert_eq!(done(&access, &Operation::Unlock { all: true }).0.unlocked, 1);
    done(&access, &Operation::Prune { dry_run: false });
}

#[test]
fn who_hangs_up_or_says_stop_leaves_nothing_locked() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let access = directory(&path);
    for stop in [true, false] {
        let mut worker = Worker::start(&access, &backup_of(&[Path::new("/etc/hosts")]));
        worker.ready();
        if stop {
            worker.send(Frame::Stop, b"");
        } else {
            worker.hang_up();
        }
        let (class, _) = loop {
            if worker.next().is_none() {
                break match worker.events.pop() {
                    Some(Event::Failed { class, message }) => (class, message),
                    other => panic!("{other:?}"),
                };
            }
        };
        assert_eq!(class, Failure::Stopped);
        assert_eq!(worker.child.wait().unwrap().code(), Some(1));
        assert_eq!(files_in(&path.join("locks")), 0);
    }
    assert_eq!(snapshots(&access).len(), 0);
}

#[test]
fn forgetting_and_pruning_free_room_and_leave_a_whole_repository() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let (access, shown) = (directory(&path), path.display().to_string());
    for number in 0..4 {
        dump(&access, "a.sql", &noise(number, 2_000_000));
    }
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("x"), noise(99, 100_000)).unwrap();
    done(&access, &backup_of(&[&other]));
    let before = size_of(&path);

    let forget = |keep: Keep, dry_run| Operation::Forget { tags: Vec::new(), keep, dry_run };
    let (class, _) = failed(&access, &forget(Keep::default(), false));
    assert_eq!(class, Failure::Other);
    let last = Keep { last: 1, ..Keep::default() };
    let (summary, _) = done(&access, &forget(last.clone(), true));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 3));
    assert_eq!(snapshots(&access).len(), 5);
    let (summary, _) = done(&access, &forget(last, false));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 3));
    // Of a series that no rule wants the newest stays.
    let tagged = Keep { tags: vec!["none".to_owned()], ..Keep::default() };
    let (summary, _) = done(&access, &forget(tagged, false));
    assert_eq!((summary.kept, summary.forgotten.len()), (2, 0));
    let within = Keep { within: Some(Duration::from_hours(1)), ..Keep::default() };
    assert_eq!(done(&access, &forget(within, false)).0.kept, 2);

    let full = size_of(&path);
    let (dry, _) = done(&access, &Operation::Prune { dry_run: true });
    assert_eq!(size_of(&path), full, "a dry run removes nothing");
    let (summary, _) = done(&access, &Operation::Prune { dry_run: false });
    assert!(dry.stored == summary.stored && summary.stored > 6_000_000, "{summary:?}");
    assert!(size_of(&path) < before - 6_000_000);
    restic_checks(&shown);
    let (summary, _) = done(&access, &Operation::Prune { dry_run: false });
    assert_eq!(summary.stored, 0, "a second time there is nothing to do");
    let to = place.path().join("restored");
    let operation = Operation::Restore {
        snapshot: "latest".to_owned(),
        tags: vec!["job:dump".to_owned()],
        path: None,
        to: to.clone(),
        delete: false,
        dry_run: false,
    };
    done(&access, &operation);
    assert!(fs::read(to.join("a.sql")).unwrap() == noise(3, 2_000_000));
}

#[test]
fn a_check_finds_what_is_missing_or_changed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let access = directory(&path);
    dump(&access, "a.sql", &noise(1, 3_000_000));
    let check = |number, of| Operation::Check { number, of };
    assert_eq!(done(&access, &check(0, 0)).0.bytes, 0);
    assert!(done(&access, &check(0, 1)).0.bytes > 3_000_000);
    let parts: u64 = (0..3).map(|part| done(&access, &check(part, 3)).0.bytes).sum();
    assert!(parts > 3_000_000, "{parts}");

    let pack = largest(&path.join("data"));
    let content = fs::read(&pack).unwrap();
    let mut changed = content.clone();
    changed[1000] ^= 1;
    fs::write(&pack, &changed).unwrap();
    done(&access, &check(0, 0));
    let (class, message) = failed(&access, &check(0, 1));
    assert!(class == Failure::Damaged && message.contains("1 findings"), "{message}");
    fs::remove_file(&pack).unwrap();
    let (class, _) = failed(&access, &check(0, 0));
    assert_eq!(class, Failure::Damaged);
    let (class, message) = failed(&access, &restore_to(&place.path().join("to"), None));
    assert_eq!(class, Failure::Damaged, "{message}");
    fs::write(&pack, &content).unwrap();
    done(&access, &check(0, 1));
}

fn largest(path: &Path) -> PathBuf {
    let directories = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let files = directories.flat_map(|it| fs::read_dir(it).unwrap().map(|it| it.unwrap().path()));
    files.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
}

#[test]
fn restoring_in_place_repairs_and_removes_and_stays_inside() {
    let place = tempfile::tempdir().unwrap();
    let (tree, outside) = (tree_in(place.path()), place.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("er"), "safe").unwrap();
    fs::write(outside.join("big.bin"), "safe").unwrap();
    let access = directory(&place.path().join("repository"));
    done(&access, &backup_of(&[&tree]));
    let before = look(&tree);

    // Same length and time, other content; other kinds; links to elsewhere; what was not there.
    let text = tree.join("small.txt");
    fs::write(&text, "HELLO\n").unwrap();
    crate::support::worker::set_modified(&text, 1_000_000_000);
    fs::remove_dir_all(tree.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("deep")).unwrap();
    fs::remove_file(tree.join("sparse.img")).unwrap();
    fs::hard_link(outside.join("er"), tree.join("sparse.img")).unwrap();
    fs::remove_file(tree.join("pipe")).unwrap();
    fs::create_dir(tree.join("pipe")).unwrap();
    fs::write(tree.join("pipe/in"), "x").unwrap();
    fs::write(tree.join("more"), "x").unwrap();
    fs::create_dir_all(tree.join("empty/and/more")).unwrap();

    let in_place = |delete, dry_run| restore_in_place(&tree, delete, dry_run);
    let spoiled = look(&tree);
    let (summary, _) = done(&access, &in_place(true, true));
    assert!(summary.files_changed > 0, "{summary:?}");
    assert_eq!(look(&tree), spoiled, "a dry run writes nothing");
    done(&access, &in_place(false, false));
    assert!(tree.join("more").exists(), "what is not in the snapshot stays");
    let (summary, events) = done(&access, &in_place(true, false));
    assert_eq!(summary.troubles, 0, "{events:?}");
    assert_eq!(look(&tree), before);
    assert_eq!(fs::read_to_string(outside.join("er")).unwrap(), "safe");
    assert_eq!(fs::read_to_string(outside.join("big.bin")).unwrap(), "safe");
    assert_eq!(files_in(&outside), 2);

    // One file goes right into a directory.
    let to = place.path().join("one");
    let mut dry = restore_to(&to, Some(&tree));
    if let Operation::Restore { dry_run, .. } = &mut dry {
        *dry_run = true;
    }
    let (summary, events) = done(&access, &dry);
    assert!(summary.troubles == 0 && summary.files_changed > 10, "{events:?}");
    assert!(!to.exists(), "a dry run makes nothing");
    done(&access, &restore_to(&to, Some(&tree.join("deep/big.bin"))));
    assert!(fs::read(to.join("big.bin")).unwrap() == noise(1, 3_000_000));
    let (class, message) = failed(&access, &restore_to(&to, Some(Path::new("/no/such"))));
    assert!(class == Failure::NotFound && message.contains("/no/such"), "{message}");
}

#[test]
fn differences_are_told_by_kind() {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    crate::support::write_files(
        &tree,
        &[("same", "1"), ("edited", "1"), ("gone/a", "1"), ("mode", "1"), ("kind", "1")],
    );
    let access = directory(&place.path().join("repository"));
    let first = done(&access, &backup_of(&[&tree])).0.snapshot.unwrap();
    fs::write(tree.join("edited"), "22").unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    crate::support::write_files(&tree, &[("new/b", "1")]);
    fs::remove_file(tree.join("kind")).unwrap();
    fs::create_dir(tree.join("kind")).unwrap();
    run(&tree, "chmod", &["600", "mode"]);
    let second = done(&access, &backup_of(&[&tree])).0.snapshot.unwrap();
    let (_, events) =
        done(&access, &Operation::Diff { from: first.id, to: second.id[..10].to_owned() });
    let below = tree.display().to_string();
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Difference { path, how } => {
                Some(format!("{} {how}", path.strip_prefix(&below).unwrap()))
            }
            _ => None,
        })
        .collect();
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
    assert_eq!(told, expected);
}

#[test]
fn what_is_mounted_for_reading_only_is_read() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("repository");
    let access = directory(&path);
    dump(&access, "a.sql", b"a");
    let shown = path.display().to_string();
    run(place.path(), "mount", &["--bind", &shown, &shown]);
    run(place.path(), "mount", &["-o", "remount,bind,ro", &shown]);
    let result = std::panic::catch_unwind(|| {
        done(&access, &Operation::Check { number: 0, of: 1 });
        let to = place.path().join("to");
        done(&access, &restore_to(&to, None));
        assert_eq!(fs::read(to.join("a.sql")).unwrap(), b"a");
        let (class, message) = failed(&access, &backup_of(&[Path::new("/etc/hosts")]));
        assert!(class == Failure::Unreachable && message.contains("ead-only"), "{message}");
    });
    run(place.path(), "umount", &["--lazy", &shown]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    assert_eq!(snapshots(&access).len(), 1);
}

#[test]
fn a_full_disk_loses_nothing_that_was_there() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let shown = disk.display().to_string();
    run(place.path(), "mount", &["-t", "tmpfs", "-o", "size=12m", "tmpfs", &shown]);
    let result = std::panic::catch_unwind(|| {
        let path = disk.join("repository");
        let access = directory(&path);
        dump(&access, "small.sql", &noise(1, 2_000_000));
        let operation = Operation::Dump { name: "big.sql".to_owned(), label: label("dump") };
        let mut worker = Worker::start(&access, &operation);
        worker.ready();
        for piece in noise(2, 60_000_000).chunks(1 << 20) {
            worker.send(Frame::Piece, piece);
        }
        worker.send(Frame::Whole, b"");
        let (class, message) = worker.end().unwrap_err();
        assert!(class == Failure::Full && message.contains("prune"), "{message}");
        let tree = place.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("big"), noise(3, 60_000_000)).unwrap();
        assert_eq!(failed(&access, &backup_of(&[&tree])).0, Failure::Full);

        assert_eq!(snapshots(&access).len(), 1);
        done(&access, &Operation::Check { number: 0, of: 1 });
        let to = place.path().join("restored");
        done(&access, &restore_to(&to, None));
        assert!(fs::read(to.join("small.sql")).unwrap() == noise(1, 2_000_000));
        done(&access, &Operation::Prune { dry_run: false });
        dump(&access, "again.sql", &noise(4, 2_000_000));
        restic_checks(&path.display().to_string());
        // A restore onto a full disk says so, too.
        let big = directory(&place.path().join("elsewhere"));
        done(&big, &backup_of(&[&tree]));
        let (class, message) = failed(&big, &restore_to(&disk.join("to"), Some(&tree)));
        assert_eq!(class, Failure::Full, "{message}");
    });
    run(place.path(), "umount", &["--lazy", &shown]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
