//! `rotate` on a bad day: a disk that is full, and a Roadstead that is killed in the middle.

#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails; the disk is mounted by the machine's own program"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, wait_for};

/// A small file system of its own; it goes with the test.
struct Disk(PathBuf);

impl Disk {
    fn of(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &path);
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) {
    let status = Command::new("mount").args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "mounting a small disk needs root, as a private Engine does");
}

fn installed() -> Roadstead {
    Roadstead::new(&Engine::shared().host(), "")
}

fn job(roadstead: &Roadstead, directory: &Path, rotate: &str) {
    let text = format!("name: tidy\nrotate:\n  files: '{}/*.log'\n{rotate}", directory.display());
    roadstead.write_job("job.yml", &text);
}

/// Lines that cannot be packed into much less.
fn lines(from: u64, count: u64) -> String {
    let mut state = from.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for number in from..from + count {
        write!(text, "{number:010} ").unwrap();
        for _ in 0..5 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            write!(text, "{state:016x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|it| it == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        (&file).read_to_string(&mut text).unwrap();
    }
    text
}

/// All numbers of lines in the files of a directory whose names begin so, in order.
fn numbers(directory: &Path, name: &str) -> Vec<u64> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with(name) {
            let text = unpacked(&path);
            found.extend(text.lines().map(|line| line[..10].parse::<u64>().unwrap()));
        }
    }
    found.sort_unstable();
    found
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_costs_a_rotation_and_no_line() {
    let roadstead = installed();
    let disk = Disk::of(roadstead.path("files"), "2m");
    let log = disk.0.join("a.log");
    // More than half of the disk: neither a copy nor a packed one has room.
    fs::write(&log, lines(0, 18_500)).unwrap();
    let all: Vec<u64> = (0..18_500).collect();
    for (method, rotated) in [("copytruncate", "a.log"), ("rename", "a.log.1")] {
        job(&roadstead, &disk.0, &format!("  size: 1k\n  method: {method}\n"));
        let said = roadstead.run(&["run", "tidy"]);
        if method == "copytruncate" {
            assert_eq!(said.code, Some(1), "{}", said.stdout);
            assert!(said.stdout.contains("incomplete"), "{}", said.stdout);
            assert!(said.stdout.contains("No space left"), "{}", said.stdout);
        }
        assert_eq!(numbers(&disk.0, "a.log"), all, "{method}");
        assert!(disk.0.join(rotated).exists(), "{:?}", names(&disk.0));
        assert!(!names(&disk.0).iter().any(|it| it.contains("part")), "{:?}", names(&disk.0));
    }
    // The next turn packs it, for which there is no room either.
    fs::write(&log, lines(18_500, 100)).unwrap();
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("incomplete") && said.contains("No space left"), "{said}");
    let all: Vec<u64> = (0..18_600).collect();
    assert_eq!(numbers(&disk.0, "a.log"), all);
    assert!(!names(&disk.0).iter().any(|it| it.contains("part")), "{:?}", names(&disk.0));
    // Somebody makes room.
    mount(&["-o", "remount,size=16m"], &disk.0);
    fs::write(&log, lines(18_600, 100)).unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    let all: Vec<u64> = (0..18_700).collect();
    assert_eq!(numbers(&disk.0, "a.log"), all);
    assert!(names(&disk.0).iter().any(|it| it.ends_with(".gz")), "{:?}", names(&disk.0));
}

/// Starts a run, and kills it as soon as something can be seen.
fn kill_when(roadstead: &Roadstead, what: &str, mut seen: impl FnMut() -> bool) {
    let mut command = roadstead.command(&["run", "tidy"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(what, PATIENCE, || seen() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_between_renames_no_line_is_lost_and_the_next_run_goes_on() {
    const FILES: u64 = 150;
    let roadstead = installed();
    let directory = roadstead.path("files");
    fs::create_dir(&directory).unwrap();
    job(&roadstead, &directory, "  size: 1k\n  method: rename\n  create: true\n");
    let write = |from: u64| {
        for file in 0..FILES {
            let path = directory.join(format!("f{file:03}.log"));
            let mut text = unpacked_or_empty(&path);
            text.push_str(&lines(from, 50));
            fs::write(path, text).unwrap();
        }
    };
    write(0);
    let renamed = || names(&directory).iter().filter(|it| it.ends_with(".log.1")).count();
    kill_when(&roadstead, "some renames", || renamed() >= 20);
    assert!(renamed() >= 20);
    write(50);
    roadstead.run(&["run", "tidy"]).ok();
    write(100);
    roadstead.run(&["run", "tidy"]).ok();
    let all: Vec<u64> = (0..150).collect();
    for file in 0..FILES {
        assert_eq!(numbers(&directory, &format!("f{file:03}.log")), all, "{file}");
    }
}

fn unpacked_or_empty(path: &Path) -> String {
    if path.exists() { unpacked(path) } else { String::new() }
}

#[test]
fn killed_while_it_packs_or_copies_the_next_run_goes_on() {
    let roadstead = installed();
    let directory = roadstead.path("files");
    fs::create_dir(&directory).unwrap();
    let log = directory.join("a.log");
    let part = || names(&directory).iter().any(|it| it.contains("part"));
    // Packing: the second turn packs what the first one renamed.
    job(&roadstead, &directory, "  size: 1k\n  method: rename\n");
    fs::write(&log, lines(0, 150_000)).unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    fs::write(&log, lines(150_000, 100)).unwrap();
    kill_when(&roadstead, "a part of the packed file", part);
    assert!(part(), "it was killed in the middle: {:?}", names(&directory));
    fs::write(&log, lines(150_100, 100)).unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    let all: Vec<u64> = (0..150_200).collect();
    assert_eq!(numbers(&directory, "a.log"), all);
    assert!(!part(), "{:?}", names(&directory));
    assert!(names(&directory).iter().any(|it| it.ends_with(".gz")), "{:?}", names(&directory));

    // Copying: at worst lines are there twice.
    job(&roadstead, &directory, "  size: 1k\n  method: copytruncate\n  compress: none\n");
    let copied = directory.join("b.log");
    fs::write(&copied, lines(0, 150_000)).unwrap();
    kill_when(&roadstead, "a part of the copy", || {
        names(&directory).iter().any(|it| it.starts_with("b.log."))
    });
    roadstead.run(&["run", "tidy"]).ok();
    let mut found = numbers(&directory, "b.log");
    found.dedup();
    assert_eq!(found, (0..150_000).collect::<Vec<u64>>());
}
