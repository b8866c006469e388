//! Our clock beside tokio-cron-scheduler: N jobs, all due on the same second, for several ticks; ten
//! times as many through ours; and what a hundred times as many cost while they wait.
//!
//! `cargo bench --bench clock [-- N]`, about a minute. Every firing is noted with its job and its time; a
//! slot that no firing answers is lost, a second answer to one is a duplicate. What the jobs do is not
//! measured here: it is the clock that may lose or delay a slot.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use roadstead::clock::{Agenda, Timetable};
use roadstead::job::Window;
use roadstead::job::schedule::{Dialect, Schedule};
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler};

const EVERY: &str = "*/3 * * * * *";
const PERIOD_SECONDS: i64 = 3;
const TICKS: i64 = 4;
/// For so long 100 × N jobs wait.
const IDLE: Duration = Duration::from_secs(20);
/// The goals for 100,000 idle jobs: resident memory in MiB, and part of a core in percent.
const IDLE_GOALS: (f64, f64) = (60.0, 0.1);
/// Longest sleep of the daemon's loop, so that steps of the clock are noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Firings: which job, when.
type Firings = Arc<Mutex<Vec<(usize, DateTime<Utc>)>>>;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("clock: measures only under `cargo bench`");
        return Ok(());
    }
    let jobs = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    // First, while this process is small.
    runtime.block_on(measure_idle(100 * jobs))?;
    println!("\njobs on `{EVERY}`, {TICKS} ticks\n");
    println!(
        "{:<28} {:>6} {:>8} {:>9} {:>6} {:>10} {:>9} {:>9}",
        "clock", "jobs", "expected", "delivered", "lost", "duplicated", "p50 late", "p99 late"
    );
    runtime.block_on(async {
        print_row("roadstead", jobs, &measure_ours(jobs).await?);
        print_row("tokio-cron-scheduler 0.15.1", jobs, &measure_theirs(jobs).await?);
        print_row("roadstead", 10 * jobs, &measure_ours(10 * jobs).await?);
        Ok(())
    })
}

/// Jobs that run once a day, each at its own minute: what the agenda holds for them, and what it costs to
/// wait.
async fn measure_idle(jobs: usize) -> Result<()> {
    let before = resident()?;
    let begun = std::time::Instant::now();
    let mut agenda = Agenda::default();
    for job in 0..jobs {
        let name = format!("job-{job}");
        let reading = Schedule::parse_in("H H * * *", Dialect::Default, &name);
        let schedule = reading.map_err(anyhow::Error::msg)?.schedule;
        agenda.insert(Timetable::new(&name, schedule, Tz::UTC, &Window::default()), Utc::now());
    }
    let entered = begun.elapsed();
    let held = resident()? - before;
    let (used, end) = (processor_time()?, std::time::Instant::now() + IDLE);
    let mut started = 0;
    while let Some(rest) = end.checked_duration_since(std::time::Instant::now()) {
        let next = agenda.next_due().map_or(LONGEST_SLEEP, until);
        tokio::time::sleep(next.min(LONGEST_SLEEP).min(rest)).await;
        started += agenda.due(Utc::now()).len();
    }
    let used = processor_time()?.checked_sub(used).unwrap_or_default();
    let mebibytes = to_f64(held) / 1024.0 / 1024.0;
    let percent = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let (most_memory, most_time) = IDLE_GOALS;
    println!("{jobs} jobs, once a day each, {started} of them due in {} s\n", IDLE.as_secs());
    println!("entered in      {:>8.2} s", entered.as_secs_f64());
    println!(
        "resident memory {mebibytes:>8.1} MiB ({} bytes a job), goal {most_memory} MiB",
        held / jobs
    );
    println!("processor       {percent:>8.3} % of a core, goal {most_time} %");
    println!("this process    {:>8.1} MiB in all", to_f64(resident()?) / 1024.0 / 1024.0);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes of memory, printed with a digit")]
fn to_f64(bytes: usize) -> f64 {
    bytes as f64
}

/// Resident memory of this process in bytes.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kibibytes: usize = kibibytes.context("find VmRSS")?.trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Time that all threads of this process have had on a processor.
fn processor_time() -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir("/proc/self/task").context("list threads")? {
        // A thread may end in between.
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// What was fired in the measured ticks.
struct Measured {
    first: DateTime<Utc>,
    firings: Vec<(usize, DateTime<Utc>)>,
}

/// The first tick that is at least a second away.
fn first_tick() -> DateTime<Utc> {
    let soonest = Utc::now().timestamp() + 1;
    let tick = (soonest.div_euclid(PERIOD_SECONDS) + 1) * PERIOD_SECONDS;
    DateTime::from_timestamp(tick, 0).expect("the present is in range")
}

/// The end of the measured ticks: just before the next one.
fn end_of(first: DateTime<Utc>) -> DateTime<Utc> {
    first + TimeDelta::seconds(TICKS * PERIOD_SECONDS) - TimeDelta::milliseconds(200)
}

fn until(instant: DateTime<Utc>) -> Duration {
    (instant - Utc::now()).to_std().unwrap_or_default()
}

fn note(firings: &Firings, job: usize) {
    firings.lock().expect("nobody panics with the lock").push((job, Utc::now()));
}

fn taken(first: DateTime<Utc>, firings: &Firings) -> Measured {
    let firings = std::mem::take(&mut *firings.lock().expect("nobody panics with the lock"));
    Measured { first, firings }
}

/// The daemon's loop: sleep to the next slot, take what is due, start it on a `JoinSet`.
async fn measure_ours(jobs: usize) -> Result<Measured> {
    let schedule = Schedule::parse(EVERY).map_err(anyhow::Error::msg)?;
    let firings = Firings::default();
    let mut agenda = Agenda::default();
    let mut running = JoinSet::new();
    for job in 0..jobs {
        let timetable =
            Timetable::new(&job.to_string(), schedule.clone(), Tz::UTC, &Window::default());
        agenda.insert(timetable, Utc::now());
    }
    let first = first_tick();
    let end = end_of(first);
    while let Some(next) = agenda.next_due().filter(|next| *next < end) {
        tokio::time::sleep(until(next).min(LONGEST_SLEEP)).await;
        for due in agenda.due(Utc::now()) {
            let firings = Arc::clone(&firings);
            let job = due.job().parse().context("read the number of a job")?;
            running.spawn(async move { note(&firings, job) });
        }
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
    Ok(taken(first, &firings))
}

async fn measure_theirs(jobs: usize) -> Result<Measured> {
    let firings = Firings::default();
    let mut scheduler = JobScheduler::new().await.context("make the scheduler")?;
    for job in 0..jobs {
        let firings = Arc::clone(&firings);
        let one = Job::new_async(EVERY, move |_, _| {
            let firings = Arc::clone(&firings);
            Box::pin(async move { note(&firings, job) })
        });
        scheduler.add(one.context("make a job")?).await.context("add a job")?;
    }
    scheduler.start().await.context("start the scheduler")?;
    let first = first_tick();
    tokio::time::sleep(until(end_of(first))).await;
    let measured = taken(first, &firings);
    scheduler.shutdown().await.context("stop the scheduler")?;
    Ok(measured)
}

fn print_row(name: &str, jobs: usize, measured: &Measured) {
    let mut answers: BTreeMap<(usize, i64), usize> = BTreeMap::new();
    let mut late: Vec<i64> = Vec::new();
    for (job, fired) in &measured.firings {
        let slot = fired.timestamp().div_euclid(PERIOD_SECONDS) * PERIOD_SECONDS;
        if slot >= measured.first.timestamp() {
            *answers.entry((*job, slot)).or_default() += 1;
            late.push(fired.timestamp_millis() - slot * 1000);
        }
    }
    late.sort_unstable();
    let percentile = |percent: usize| {
        let milliseconds = late.get((late.len() * percent / 100).min(late.len().saturating_sub(1)));
        milliseconds.map_or_else(|| "-".to_owned(), |milliseconds| format!("{milliseconds} ms"))
    };
    let expected = jobs * usize::try_from(TICKS).expect("a small number");
    let delivered = answers.len();
    let duplicated: usize = answers.values().map(|count| count - 1).sum();
    let lost = expected.saturating_sub(delivered);
    println!(
        "{name:<28} {jobs:>6} {expected:>8} {delivered:>9} {lost:>6} {duplicated:>10} {:>9} {:>9}",
        percentile(50),
        percentile(99),
    );
}
