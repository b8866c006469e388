//! `rotate`: files of a writer that goes on writing, and everything that may go wrong with them.

#![expect(
    clippy::disallowed_methods,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails; times and pauses are those of the writer"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Engine, Roadstead, unique, wait_for};

/// Bytes of a line, with its end.
const LINE: usize = 100;

/// An installation with one job `tidy` that rotates `*.log` of its directory `files`.
fn installed(rotate: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    fs::create_dir(roadstead.path("files")).unwrap();
    write_job(&roadstead, rotate);
    roadstead
}

fn write_job(roadstead: &Roadstead, rotate: &str) {
    let files = roadstead.path("files");
    let text = format!("name: tidy\nrotate:\n  files: '{}/*.log'\n{rotate}", files.display());
    roadstead.write_job("job.yml", &text);
}

fn file(roadstead: &Roadstead, name: &str) -> PathBuf {
    roadstead.path("files").join(name)
}

fn names(roadstead: &Roadstead) -> Vec<String> {
    let entries = fs::read_dir(roadstead.path("files")).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the newest run counted.
fn results(roadstead: &Roadstead) -> Value {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let id = runs[0]["id"].to_string();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", &id, "--json"]).ok()).unwrap();
    run["details"]["results"].clone()
}

/// The lines of a file and of all that was rotated of it, unpacked.
fn lines_of(directory: &Path, name: &str) -> (Vec<u64>, usize) {
    let (mut numbers, mut cut) = (Vec::new(), 0);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !found.starts_with(name) {
            continue;
        }
        let file = File::open(&path).unwrap();
        let reader: Box<dyn Read> = if found.ends_with(".gz") {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        } else if found.ends_with(".zst") {
            Box::new(zstd::Decoder::new(file).unwrap())
        } else {
            Box::new(file)
        };
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            if line.len() == LINE - 1 {
                numbers.push(line[..20].trim().parse().unwrap());
            } else {
                cut += 1;
            }
        }
    }
    numbers.sort_unstable();
    (numbers, cut)
}

/// Writes numbered lines at 50 MB/s until it is told to stop; opens its file anew when told.
fn write_lines(path: &Path, reopen: &AtomicBool, stop: &AtomicBool) -> u64 {
    let open = || OpenOptions::new().create(true).append(true).open(path).unwrap();
    let (mut file, mut number, begun) = (open(), 0_u64, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        if reopen.swap(false, Ordering::Relaxed) {
            file = open();
        }
        // 50 lines at once, as a buffered logger does.
        let mut piece = Vec::with_capacity(50 * LINE);
        for _ in 0..50 {
            writeln!(piece, "{number:>20} {:x<1$}", "", LINE - 22).unwrap();
            number += 1;
        }
        file.write_all(&piece).unwrap();
        let due = Duration::from_nanos(number * LINE as u64 * 1_000_000_000 / 50_000_000);
        if let Some(early) = due.checked_sub(begun.elapsed()) {
            std::thread::sleep(early);
        }
    }
    number
}

/// A container that writes a line each time it gets USR1, through a mount of the host.
fn signalled(name: &str, directory: &Path) {
    let mount = format!("{}:/told", directory.display());
    Engine::shared().docker(&[
        "run",
        "-d",
        "--name",
        name,
        "-v",
        &mount,
        "rs-test/app:1",
        "sh",
        "-c",
        "trap 'echo told >> /told/signals' USR1; echo up >> /told/signals; \
         while true; do sleep 0.05; done",
    ]);
    wait_for("the writer", Duration::from_secs(30), || {
        fs::read_to_string(directory.join("signals")).is_ok_and(|it| it.contains("up"))
    });
}

#[test]
fn a_writer_at_50_mb_a_second_loses_no_line_with_rename_and_signal() {
    let (engine, name) = (Engine::shared(), unique("writer"));
    let roadstead = installed(&format!(
        "  size: 1m\n  keep: 100\n  compress: zstd\n  signal: {{ container: {name} }}\n"
    ));
    let told = tempfile::tempdir().unwrap();
    signalled(&name, told.path());
    let path = file(&roadstead, "x.log");
    let (reopen, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (path, reopen, stop) = (path.clone(), Arc::clone(&reopen), Arc::clone(&stop));
        std::thread::spawn(move || write_lines(&path, &reopen, &stop))
    };
    let signals = || {
        let text = fs::read_to_string(told.path().join("signals")).unwrap();
        text.lines().filter(|line| *line == "told").count()
    };
    for round in 1..=5 {
        wait_for("a megabyte", Duration::from_secs(30), || {
            fs::metadata(&path).is_ok_and(|it| it.len() > 2 << 20)
        });
        roadstead.run(&["run", "tidy"]).ok();
        // The container stands for the writer, which lives in this process.
        wait_for("the signal", Duration::from_secs(30), || signals() == round);
        reopen.store(true, Ordering::Relaxed);
        assert_eq!(results(&roadstead)["signals"], 1);
    }
    wait_for("the last file", Duration::from_secs(30), || {
        fs::metadata(&path).is_ok_and(|it| it.len() > 0)
    });
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    engine.docker(&["rm", "-f", &name]);
    let (found, cut) = lines_of(&roadstead.path("files"), "x.log");
    assert_eq!((found.len() as u64, cut), (written, 0), "each line once");
    assert!(found.iter().zip(0..).all(|(found, expected)| *found == expected));
    let expected = ["x.log", "x.log.1", "x.log.2.zst", "x.log.3.zst", "x.log.4.zst", "x.log.5.zst"];
    assert_eq!(names(&roadstead), expected);
}

#[test]
fn copytruncate_loses_only_what_is_written_in_its_window_and_tells_how_long_that_was() {
    let roadstead = installed("  size: 1m\n  keep: 100\n  method: copytruncate\n");
    let path = file(&roadstead, "x.log");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || write_lines(&path, &AtomicBool::new(false), &stop))
    };
    let mut window = 0;
    for _ in 0..5 {
        wait_for("a megabyte", Duration::from_secs(30), || {
            fs::metadata(&path).is_ok_and(|it| it.len() > 2 << 20)
        });
        roadstead.run(&["run", "tidy"]).ok();
        let results = results(&roadstead);
        assert_eq!((&results["rotated"], &results["compressed"]), (&1.into(), &1.into()));
        window += results["longest_window_us"].as_u64().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    let (found, cut) = lines_of(&roadstead.path("files"), "x.log");
    let lost = written - found.len() as u64;
    println!("{lost} of {written} lines lost, {cut} cut, in windows of {window} us together");
    // What is lost was written in one stretch a rotation, whose first and last line may be cut; how many
    // lines that are is a matter of the machine.
    let stretches = found.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(stretches <= 5 && cut <= 10, "{stretches} stretches, {cut} lines cut");
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "no line is there twice");
}

#[test]
fn each_round_moves_packs_and_removes_and_new_files_are_covered() {
    let roadstead = installed(
        "  size: 4\n  keep: 2\n  compress: gzip\n  method: rename\n  exclude: /nowhere/*\n",
    );
    let write = |name: &str, text: &str| fs::write(file(&roadstead, name), text).unwrap();
    let rounds: [(&str, &str, &[&str]); 4] = [
        ("a.log", "first", &["a.log", "a.log.1"]),
        ("a.log", "second", &["a.log", "a.log.1", "a.log.2.gz"]),
        ("b.log", "other", &["a.log", "a.log.1", "a.log.2.gz", "b.log", "b.log.1"]),
        ("a.log", "third", &["a.log", "a.log.1", "a.log.2.gz", "b.log", "b.log.1"]),
    ];
    for (name, text, expected) in rounds {
        write(name, text);
        fs::set_permissions(file(&roadstead, name), fs::Permissions::from_mode(0o640)).unwrap();
        roadstead.run(&["run", "tidy"]).ok();
        assert_eq!(names(&roadstead), expected, "{text}");
    }
    let mode = fs::metadata(file(&roadstead, "a.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let mut packed = String::new();
    let gz = File::open(file(&roadstead, "a.log.2.gz")).unwrap();
    flate2::read::GzDecoder::new(gz).read_to_string(&mut packed).unwrap();
    assert_eq!(packed, "second");
    // Nothing is large enough now: nothing is done, and a plan says so.
    roadstead.run(&["plan", "tidy"]).ok();
    write("a.log", "fourth");
    let plan = roadstead.run(&["plan", "tidy"]).fails_with(3);
    assert!(plan.contains("rename a.log.1 to a.log.2"), "{plan}");
    let plan = roadstead.run(&["plan", "tidy", "--json"]).fails_with(3);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["plan"]["logs"][0]["why"], "size");
    assert_eq!(fs::read_to_string(file(&roadstead, "a.log")).unwrap(), "fourth");
}

#[test]
fn a_rotation_by_time_counts_from_when_the_file_was_seen_first() {
    let roadstead = installed("  every: 1s\n  compress: none\n");
    fs::write(file(&roadstead, "x.log"), "old").unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    assert_eq!(names(&roadstead), ["x.log"]);
    wait_for("its time", Duration::from_secs(30), || {
        roadstead.run(&["run", "tidy"]).ok();
        names(&roadstead).len() == 2
    });
}

#[test]
fn what_cannot_be_done_is_named_and_counted_and_the_rest_is_done() {
    let roadstead = installed("  size: 1\n  compress: gzip\n  method: rename\n");
    // A directory stands where the rotated file would be packed, and links lead elsewhere.
    for name in ["a.log", "b.log", "b.log.1"] {
        fs::write(file(&roadstead, name), name).unwrap();
    }
    fs::create_dir(file(&roadstead, "b.log.2.gz.roadstead-part")).unwrap();
    std::os::unix::fs::symlink(roadstead.path("env.local"), file(&roadstead, "link.log")).unwrap();
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("failed (incomplete)") && said.contains("b.log"), "{said}");
    let results = results(&roadstead);
    assert_eq!((&results["rotated"], &results["failed"]), (&1.into(), &1.into()), "{results}");
    assert_eq!(results["left_alone"], 1);
    assert_eq!(fs::read_to_string(file(&roadstead, "a.log.1")).unwrap(), "a.log");
    assert_eq!(fs::read_to_string(file(&roadstead, "b.log")).unwrap(), "b.log");
    // A directory that is not there.
    fs::remove_dir_all(roadstead.path("files")).unwrap();
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn our_own_logs_are_left_to_us_and_those_of_others_beside_them_are_rotated() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    let log = roadstead.path("log");
    let text = format!("name: tidy\nrotate: {{ files: '{}/*.log', size: 1 }}\n", log.display());
    roadstead.write_job("job.yml", &text);
    roadstead.run(&["run", "tidy"]).ok();
    fs::write(log.join("theirs.log"), "theirs").unwrap();
    roadstead.run(&["run", "tidy"]).ok();
    assert!(log.join("theirs.log.1.gz").exists());
    assert!(!log.join("tidy.log.1.gz").exists() && !log.join("roadstead.log.1.gz").exists());
}

#[test]
fn a_writer_that_is_not_there_cannot_be_told_and_one_that_is_stopped_need_not() {
    let (engine, name) = (Engine::shared(), unique("writer"));
    let roadstead = installed(&format!("  size: 1\n  signal: {{ container: {name} }}\n"));
    fs::write(file(&roadstead, "x.log"), "text").unwrap();
    let said = roadstead.run(&["run", "tidy"]).fails_with(1);
    assert!(said.contains("no_such_container") && said.contains("nothing was rotated"), "{said}");
    assert_eq!(names(&roadstead), ["x.log"]);
    engine.docker(&["create", "--name", &name, "rs-test/app:1", "true"]);
    roadstead.run(&["run", "tidy"]).ok();
    assert_eq!(names(&roadstead), ["x.log", "x.log.1"]);
    assert_eq!(results(&roadstead)["signals"], 0);
    engine.docker(&["rm", "-f", &name]);
}

#[test]
fn the_ready_job_rotates_what_its_variables_name() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    assert!(!roadstead.run(&["jobs"]).ok().contains("logrotate"));
    fs::create_dir(roadstead.path("files")).unwrap();
    fs::write(file(&roadstead, "x.log"), "x".repeat(2000)).unwrap();
    let files = roadstead.path("files");
    roadstead.write_env_local(&format!(
        "AUTODEPLOY_LOGROTATE_FILES={}/*.log\nAUTODEPLOY_LOGROTATE_SIZE=1k\n\
         AUTODEPLOY_LOGROTATE_MIN_SIZE=1\nAUTODEPLOY_LOGROTATE_COMPRESS=zstd",
        files.display()
    ));
    roadstead.run(&["run", "logrotate"]).ok();
    assert_eq!(names(&roadstead), ["x.log", "x.log.1.zst"]);
    roadstead.write_env_local("AUTODEPLOY_LOGROTATE_FILES=/x/*\nAUTODEPLOY_LOGROTATE_KEEP=none");
    let said = roadstead.run(&["check"]).fails_with(2);
    assert!(said.contains("AUTODEPLOY_LOGROTATE_"), "{said}");
}
