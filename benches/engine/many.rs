//! What a whole daemon costs that has 100,000 jobs and nothing to do.

use std::fmt::Write as _;
use std::time::Duration;

use super::process::{megabytes, peak_bytes, processor_ticks, resident_bytes};
use super::rounds::timed;
use super::support::{Engine, Roadstead, wait_for};
use super::table::{Row, Table};

/// How many jobs there are, and how many of them a file has.
const JOBS: usize = 100_000;
const JOBS_OF_A_FILE: usize = 1000;

/// The goals: resident memory in bytes, and ticks of 10 ms in [`WATCH`], which are 0.1 % of a core.
const RESIDENT_BYTES: u64 = 60_000_000;
const TICKS: u64 = 6;

/// How long the idle daemon is watched.
const WATCH: Duration = Duration::from_mins(1);

/// Adds the rows of this module.
pub(super) fn measure(engine: &Engine, table: &mut Table) {
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_TIMEZONE=UTC");
    // Days away, so that nothing is due.
    let now = chrono::Utc::now();
    for file in 0..JOBS / JOBS_OF_A_FILE {
        let mut text = String::new();
        for job in file * JOBS_OF_A_FILE..(file + 1) * JOBS_OF_A_FILE {
            let (minute, hour) = (job % 60, job / 60 % 24);
            let day = (now + chrono::TimeDelta::days(7)).format("%-d %-m");
            let _ = write!(
                text,
                "- name: job-{job}\n  schedule: '{minute} {hour} {day} *'\n  run:\n    \
                 image: rs-test/app:1\n    command: [echo, 'job {job}']\n"
            );
        }
        roadstead.write_job(&format!("{file:03}.yml"), &text);
    }
    let daemon = roadstead.serve();
    let start = timed(|| {
        wait_for("a daemon that answers", Duration::from_mins(5), || {
            roadstead.run(&["health"]).code == Some(0)
        });
    });
    std::thread::sleep(Duration::from_secs(10));
    let before = processor_ticks(&daemon);
    std::thread::sleep(WATCH);
    let ticks = processor_ticks(&daemon) - before;
    let (resident, peak) = (resident_bytes(&daemon), peak_bytes(&daemon));
    table.add(Row::times("start with 100,000 jobs", start, None, None));
    let row = Row::new("resident, idle, 100,000 jobs", megabytes(resident));
    table.add(row.aim("<= 60 MB", resident <= RESIDENT_BYTES));
    table.add(Row::new("peak since its start", megabytes(peak)));
    let what = format!("processor, idle, {} s", WATCH.as_secs());
    let row = Row::new(&what, format!("{} ms", ticks * 10));
    table.add(row.aim("<= 60 ms (0.1 %)", ticks <= TICKS));
}
