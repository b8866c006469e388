//! Tables: which files are there, and what is done.

use super::*;
use crate::job::work::{Create, FilesBelow};

const DAY: i64 = 24 * 3600;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn options() -> Rotate {
    Rotate {
        files: vec![FilesBelow::parse("/logs/*").unwrap()],
        exclude: Vec::new(),
        size: Some(100),
        every: None,
        min_size: 1,
        keep: 3,
        max_age: None,
        compress: Some(Compression::Gzip),
        method: RotateMethod::Rename,
        create: Some(Create::default()),
        signal: None,
        dry_run: false,
    }
}

fn entry(name: &str, size: u64, modified: i64) -> Entry {
    let at = at(modified);
    let (kind, names) = (Kind::File, 1);
    Entry { name: name.into(), kind, size, modified: at, accessed: at, changed: at, names }
}

fn look(entries: Vec<Entry>) -> Look {
    let wanted = entries.iter().map(|it| it.name.clone()).collect();
    Look { directory: "/logs".into(), entries, wanted, ours: BTreeSet::new() }
}

/// The steps with files of these names; `x.log` has 100 bytes, the others are of now.
fn steps(options: &Rotate, names: &[&str]) -> Vec<String> {
    let entries = names.iter().map(|name| entry(name, 100, 0)).collect();
    shown(&plan(options, &[look(entries)], &BTreeMap::new(), at(0)))
}

fn shown(plan: &RotatePlan) -> Vec<String> {
    let steps = |log: &LogPlan| -> Vec<String> {
        log.steps.iter().chain(&log.after).map(Step::text).collect()
    };
    plan.logs.iter().flat_map(steps).collect()
}

#[test]
fn numbers_move_up_to_the_first_that_is_free() {
    let rows: [(&[&str], &[&str]); 7] = [
        (&["x.log"], &["rename x.log to x.log.1", "create x.log"]),
        (
            &["x.log", "x.log.1"],
            &[
                "rename x.log.1 to x.log.2",
                "rename x.log to x.log.1",
                "create x.log",
                "compress x.log.2 to x.log.2.gz",
            ],
        ),
        (
            &["x.log", "x.log.1", "x.log.2.gz", "x.log.3.gz"],
            &[
                "remove x.log.3.gz",
                "rename x.log.2.gz to x.log.3.gz",
                "rename x.log.1 to x.log.2",
                "rename x.log to x.log.1",
                "create x.log",
                "compress x.log.2 to x.log.2.gz",
            ],
        ),
        // Cut off between two renames: 2 is free, so 3 stays where it is.
        (
            &["x.log", "x.log.1", "x.log.3.gz"],
            &[
                "rename x.log.1 to x.log.2",
                "rename x.log to x.log.1",
                "create x.log",
                "compress x.log.2 to x.log.2.gz",
            ],
        ),
        // Cut off while packing: what is not complete goes, and the packing comes again.
        (
            &["x.log.1", "x.log.2", "x.log.2.gz.roadstead-part", "x.log"],
            &[
                "remove x.log.2.gz.roadstead-part",
                "rename x.log.2 to x.log.3",
                "rename x.log.1 to x.log.2",
                "rename x.log to x.log.1",
                "create x.log",
                "compress x.log.2 to x.log.2.gz",
                "compress x.log.3 to x.log.3.gz",
            ],
        ),
        // Cut off between packing and removing: both move on together.
        (
            &["x.log", "x.log.1", "x.log.2", "x.log.2.gz"],
            &[
                "rename x.log.2 to x.log.3",
                "rename x.log.2.gz to x.log.3.gz",
                "rename x.log.1 to x.log.2",
                "rename x.log to x.log.1",
                "create x.log",
                "compress x.log.2 to x.log.2.gz",
                "compress x.log.3 to x.log.3.gz",
            ],
        ),
        // What a rotation makes is no log, and neither is what others packed.
        (&["x.log.1", "x.log.2.gz", "y.1", "z-20240101.gz", "a.roadstead-part"], &[]),
    ];
    for (names, expected) in rows {
        assert_eq!(steps(&options(), names), expected, "{names:?}");
    }
}

#[test]
fn each_option_changes_the_steps() {
    let names = ["x.log", "x.log.1"];
    let copied = Rotate { method: RotateMethod::CopyTruncate, create: None, ..options() };
    let plain = Rotate { compress: None, ..options() };
    let left_to_writer = Rotate { create: None, compress: None, ..options() };
    let one = Rotate { keep: 1, compress: Some(Compression::Zstd), ..options() };
    let rows: [(&Rotate, &[&str]); 4] = [
        (
            &copied,
            &[
                "rename x.log.1 to x.log.2",
                "copy x.log to x.log.1, then truncate x.log",
                "compress x.log.1 to x.log.1.gz",
                "compress x.log.2 to x.log.2.gz",
            ],
        ),
        (&plain, &["rename x.log.1 to x.log.2", "rename x.log to x.log.1", "create x.log"]),
        (&left_to_writer, &["rename x.log.1 to x.log.2", "rename x.log to x.log.1"]),
        (&one, &["remove x.log.1", "rename x.log to x.log.1", "create x.log"]),
    ];
    for (options, expected) in rows {
        assert_eq!(steps(options, &names), expected, "{options:?}");
    }
}

#[test]
fn a_file_is_due_by_its_size_or_by_its_last_rotation() {
    let week = Some(Duration::from_hours(7 * 24));
    let by_size = options();
    let by_age = Rotate { size: None, every: week, ..options() };
    let either = Rotate { every: week, ..options() };
    let but_small = Rotate { min_size: 50, ..by_age.clone() };
    // Options, bytes, days since the last rotation, why.
    for (options, size, days, expected) in [
        (&by_size, 99, Some(1000), None),
        (&by_size, 100, None, Some(Why::Size)),
        (&by_age, 1, Some(6), None),
        (&by_age, 1, Some(7), Some(Why::Age)),
        // Never rotated, and seen for the first time now.
        (&by_age, 1000, None, None),
        (&by_age, 0, Some(100), None),
        (&either, 100, Some(0), Some(Why::Size)),
        (&either, 1, Some(7), Some(Why::Age)),
        (&but_small, 49, Some(8), None),
        (&but_small, 50, Some(8), Some(Why::Age)),
    ] {
        let rotation =
            days.map(|days| (PathBuf::from("/logs/x.log"), rotation(-days * DAY, false)));
        let known = rotation.into_iter().collect();
        // A minute early: slots are no more exact than that.
        let found = plan(options, &[look(vec![entry("x.log", size, 0)])], &known, at(-60));
        assert_eq!(found.logs.first().map(|it| it.why), expected, "{size} {days:?} {options:?}");
        assert_eq!(found.new.is_empty(), days.is_some());
    }
}

fn rotation(seconds: i64, is_open: bool) -> Rotation {
    Rotation { rotated: at(seconds), is_open }
}

#[test]
fn a_writer_that_was_not_told_is_told_first() {
    let options = Rotate { every: Some(Duration::from_secs(1)), ..options() };
    let known = BTreeMap::from([(PathBuf::from("/logs/x.log"), rotation(-DAY, true))]);
    let rows: [(&[&str], &[&str]); 2] = [
        // Nothing is renamed nor packed before: the writer may be in any of them.
        (&["x.log", "x.log.1", "x.log.2"], &[]),
        (&["x.log.1", "x.log.2"], &["create x.log"]),
    ];
    for (names, expected) in rows {
        let entries = names.iter().map(|name| entry(name, 100, 0)).collect();
        let found = plan(&options, &[look(entries)], &known, at(0));
        assert_eq!(shown(&found), expected, "{names:?}");
        assert_eq!(found.logs[0].why, Why::CutOff);
        assert!(found.logs[0].concerns_writer() && found.gone.is_empty());
    }
}

#[test]
fn what_is_too_old_or_too_many_goes_without_a_rotation_too() {
    let entries = vec![
        entry("x.log", 1, 0),
        entry("x.log.1", 1, 0),
        entry("x.log.2.gz", 1, -9 * DAY),
        entry("x.log.9.gz", 1, 0),
    ];
    let options = Rotate { max_age: Some(Duration::from_hours(7 * 24)), ..options() };
    let found = plan(&options, &[look(entries)], &BTreeMap::new(), at(0));
    assert_eq!(shown(&found), ["remove x.log.9.gz", "remove x.log.2.gz"]);
    assert_eq!(found.logs[0].why, Why::Leftovers);
}

#[test]
fn what_is_no_log_of_somebody_else_is_left_alone() {
    let mut entries: Vec<Entry> =
        ["web.log", "link.log", "two.log", "dir.log"].map(|name| entry(name, 100, 0)).into();
    (entries[1].kind, entries[2].names, entries[3].kind) = (Kind::Link, 2, Kind::Directory);
    let mut look = look(entries);
    look.ours.insert("web.log".into());
    let known = BTreeMap::from([(PathBuf::from("/logs/gone.log"), rotation(0, false))]);
    let found = plan(&options(), &[look], &known, at(0));
    assert_eq!((found.logs.len(), found.left.len()), (0, 4), "{:?}", found.left);
    assert_eq!(found.gone, [PathBuf::from("/logs/gone.log")]);
}
