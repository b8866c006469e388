//! What a backup of many small files and one large one costs, beside restic in the same run.
//!
//! ```text
//! BENCH=backup scripts/bench.sh                  a million files and 5 GB: a quarter of an hour
//! BENCH_FILES=10000 BENCH_BIG_MB=500 BENCH=...   less of it
//! BENCH_COLD=1 BENCH=...                         nothing is in memory when either begins; as root
//! ```
//!
//! Both read the same directory and write repositories beside it, in turns; who begins changes. The first
//! backup is made once by each (`BENCH_ROUNDS` times where it is set), the unchanged one three times.
//! restic is the machine's: Debian 12's is 0.14, which does not compress unless told, and is told here.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench drives programs, prints a table, and stops at the first surprise"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roadstead::backup::protocol::{Access, Event, Frame, Label, Operation, Request, Tool};
use roadstead::job::work::Location;

const PASSWORD: &str = "a password of a bench";
/// Files in a directory.
const FILES_A_DIRECTORY: u64 = 1000;
/// How often the unchanged backup is made by each.
const UNCHANGED: usize = 3;

/// Time, and the most memory that was resident.
type Cost = (Duration, u64);

fn main() -> ExitCode {
    let number = |name: &str, usual: u64| {
        let set = std::env::var(name).ok();
        set.map_or(usual, |text| text.parse().expect("a number in the environment"))
    };
    let (files, big) = (number("BENCH_FILES", 1_000_000), number("BENCH_BIG_MB", 5000));
    let rounds = usize::try_from(number("BENCH_ROUNDS", 1)).unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
    let tree = place.path().join("tree");
    make_tree(&tree, files, big);
    println!("{files} small files and one of {big} MB");
    println!(
        "{:<12} {:>12} {:>12} {:>7} {:>12} {:>12}",
        "", "roadstead", "restic", "ratio", "peak", "peak"
    );

    let (ours, theirs) = (place.path().join("ours"), place.path().join("theirs"));
    let mut first = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for who in [round % 2, 1 - round % 2] {
            let repository = if who == 0 { &ours } else { &theirs };
            let _ = fs::remove_dir_all(repository);
            first[who].push(if who == 0 {
                our_backup(repository, &tree)
            } else {
                restic(repository, &["init"]);
                their_backup(repository, &tree)
            });
        }
    }
    let is_first_good = tell("first", &mut first);
    let mut again = [Vec::new(), Vec::new()];
    for round in 0..UNCHANGED {
        for who in [round % 2, 1 - round % 2] {
            again[who].push(if who == 0 {
                our_backup(&ours, &tree)
            } else {
                their_backup(&theirs, &tree)
            });
        }
    }
    let is_again_good = tell("unchanged", &mut again);
    if is_first_good && is_again_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints medians; whether ours is no slower.
fn tell(what: &str, costs: &mut [Vec<Cost>; 2]) -> bool {
    let [ours, theirs] = costs.each_mut().map(|costs| {
        costs.sort();
        let peak = costs.iter().map(|cost| cost.1).max().unwrap();
        (costs[costs.len() / 2].0.as_secs_f64(), peak)
    });
    let ratio = ours.0 / theirs.0;
    let missed = if ratio <= 1.0 { "" } else { "   MISSED: no slower than restic" };
    println!(
        "{what:<12} {:>10.1} s {:>10.1} s {ratio:>7.2} {:>9} MB {:>9} MB{missed}",
        ours.0,
        theirs.0,
        ours.1 / 1_000_000,
        theirs.1 / 1_000_000
    );
    ratio <= 1.0
}

/// Small files of 100 to 2147 bytes, and a large one; none of it can be packed smaller.
fn make_tree(tree: &Path, files: u64, megabytes: u64) {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for file in 0..files {
        let directory = tree.join(format!("d{:05}", file / FILES_A_DIRECTORY));
        if file % FILES_A_DIRECTORY == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        let length = usize::try_from(100 + noise.next() % 2048).unwrap();
        fs::write(directory.join(format!("f{file:07}")), noise.bytes(length)).unwrap();
    }
    fs::create_dir_all(tree).unwrap();
    let mut big = fs::File::create(tree.join("large")).unwrap();
    for _ in 0..megabytes {
        big.write_all(&noise.bytes(1_000_000)).unwrap();
    }
    big.sync_all().unwrap();
}

/// Xorshift: the same bytes on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

fn our_backup(repository: &Path, tree: &Path) -> Cost {
    let request = Request {
        repository: Access {
            tool: Tool::Rustic,
            location: Location::Directory(repository.to_owned()),
            password: PASSWORD.to_owned(),
            init: true,
            credentials: Vec::new(),
            certificates: None,
        },
        operation: Operation::Backup {
            paths: vec![tree.to_owned()],
            exclude: Vec::new(),
            exclude_caches: false,
            label: Label { host: "bench".to_owned(), tags: vec!["job:bench".to_owned()] },
            dry_run: false,
        },
        holder: None,
    };
    let program =
        PathBuf::from(std::env::var("ROADSTEAD_BIN").expect("ROADSTEAD_BIN is the binary"));
    let mut command = Command::new(program);
    command.arg("backup-worker").stdin(Stdio::piped()).stdout(Stdio::piped());
    measured(&mut command, |child| {
        let mut input = child.stdin.take().unwrap();
        let mut frame = |kind: Frame, body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap();
            let head = [&[kind as u8][..], &length.to_be_bytes()].concat();
            input.write_all(&[&head, body].concat()).unwrap();
        };
        frame(Frame::Request, &serde_json::to_vec(&request).unwrap());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            match serde_json::from_str(&line.unwrap()).unwrap() {
                Event::Ready => frame(Frame::Go, &[]),
                Event::Done(summary) => assert_eq!(summary.troubles, 0),
                Event::Failed { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    })
}

fn their_backup(repository: &Path, tree: &Path) -> Cost {
    let path = tree.display().to_string();
    let arguments = ["--compression", "auto", "--no-cache", "backup", "--quiet", "--host", "bench"];
    let mut command = restic_command(repository, &[&arguments[..], &[path.as_str()]].concat());
    measured(&mut command, |_| ())
}

fn restic(repository: &Path, arguments: &[&str]) {
    let status = restic_command(repository, arguments).stdout(Stdio::null()).status();
    assert!(status.expect("restic: scripts/setup.sh --tests installs it").success());
}

fn restic_command(repository: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("restic");
    command.args(arguments).env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", PASSWORD);
    command
}

/// Has the kernel forget what it keeps in memory of files: else who comes first finds the tree there, and on a
/// machine that frees idle memory the other does not.
fn begin_cold() {
    if std::env::var_os("BENCH_COLD").is_some() {
        assert!(Command::new("sync").status().unwrap().success());
        fs::write("/proc/sys/vm/drop_caches", "3").expect("BENCH_COLD is for root");
    }
}

/// Runs a program to its end, and looks at its memory meanwhile.
fn measured(command: &mut Command, talk: impl FnOnce(&mut Child)) -> Cost {
    begin_cold();
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let (status, has_ended, peak) =
        (format!("/proc/{}/status", child.id()), AtomicBool::new(false), AtomicU64::new(0));
    let time = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kilobytes = line.and_then(|it| it.split_whitespace().next()?.parse().ok());
                peak.fetch_max(kilobytes.unwrap_or(0) * 1024, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        talk(&mut child);
        assert!(child.wait().unwrap().success());
        let time = begun.elapsed();
        has_ended.store(true, Ordering::Relaxed);
        time
    });
    (time, peak.load(Ordering::Relaxed))
}
