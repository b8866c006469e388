//! What a gigabyte of output of a job costs the daemon that writes it down: memory, time, and lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{megabytes, peak_bytes, resident_bytes};
use super::rounds::timed;
use super::support::{Engine, Roadstead, wait_for};
use super::table::{Row, Table};

/// Bytes that each job writes: a GiB.
const WRITTEN: u64 = 1 << 30;

/// Bytes that are enough for the rate of who only reads them.
const WRITTEN_BARELY: u64 = WRITTEN / 8;

/// By how much the daemon may grow at most.
const GROWTH_BYTES: u64 = 40_000_000;

/// Longest wait for one job.
const TIMEOUT: &str = "30m";

/// One who writes: its name, what it pipes into `head`, and the bytes of its line; 0 where no line ends.
type Writer = (&'static str, String, u64);

/// Adds the rows of this module.
pub(super) fn measure(engine: &Engine, table: &mut Table) {
    let long = "0123456789".repeat(100);
    let writers: [Writer; 3] = [
        ("long", format!("yes {long}"), 1001),
        ("short", "yes 'a line of exactly thirty bytes'".to_owned(), 31),
        ("endless", "yes 0123456789 | tr -d '\\n'".to_owned(), 0),
    ];
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_LOG_KEEP=1");
    for (name, pipe, _) in &writers {
        let text = format!(
            "name: {name}\ntimeout: {TIMEOUT}\nrun:\n  image: rs-test/app:1\n  command:\n    - sh\n    - -c\n    \
             - |\n      {pipe} | head -c {WRITTEN}\n"
        );
        roadstead.write_job(&format!("{name}.yml"), &text);
    }
    let daemon = roadstead.serve();
    wait_for("a daemon that answers", Duration::from_secs(30), || {
        roadstead.run(&["health"]).code == Some(0)
    });
    let idle = resident_bytes(&daemon);
    for (run, (name, pipe, line_bytes)) in (1..).zip(&writers) {
        let time = timed(|| drop(roadstead.run(&["run", name]).ok()));
        let bare = timed(|| read_barely(engine, &format!("{pipe} | head -c {WRITTEN_BARELY}")));
        let path = roadstead.path("log").join(format!("runs/{name}/{run}.log"));
        let (lines, bytes) = count(&path);
        let wanted_lines = WRITTEN
            .checked_div(*line_bytes)
            .map_or(1, |whole| whole + u64::from(!WRITTEN.is_multiple_of(*line_bytes)));
        let is_whole = bytes == WRITTEN && lines == wanted_lines;
        std::fs::remove_file(path).unwrap();
        let rate =
            |bytes, time: Duration| format!("{:.1} MB/s", to_f64(bytes) / 1e6 / time.as_secs_f64());
        let what = format!("1 GiB of {name} lines");
        let row = Row::new(&what, rate(WRITTEN, time)).bare(rate(WRITTEN_BARELY, bare));
        table.add(row.aim(&format!("{lines} of {wanted_lines} lines"), is_whole));
        let peak = peak_bytes(&daemon);
        let what = format!("peak after {name}, idle {}", megabytes(idle));
        let row = Row::new(&what, megabytes(peak));
        table.add(row.aim("grows <= 40 MB", peak <= idle + GROWTH_BYTES));
    }
}

/// The docker client runs the same, and throws away what it reads.
fn read_barely(engine: &Engine, command: &str) {
    let status = Command::new("docker")
        .args(["run", "--rm", "rs-test/app:1", "sh", "-c", command])
        .env("DOCKER_HOST", engine.host())
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

/// Lines in the file of a run, and the bytes that their processes wrote for them.
fn count(path: &std::path::Path) -> (u64, u64) {
    let (mut lines, mut bytes, mut is_begun) = (0, 0, false);
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (stream, text) = (words.nth(1).unwrap(), words.next().unwrap());
        is_begun = stream.ends_with(b"+");
        // What was cut has no line end of its own.
        bytes += text.len() as u64 - u64::from(is_begun);
        lines += u64::from(!is_begun);
        line.clear();
    }
    assert!(!is_begun, "the last line of {} has no end", path.display());
    // `head` cuts the last line before its end, which is then ours.
    (lines, bytes - u64::from(bytes > WRITTEN))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
