//! Logs: one rotated file a job, `roadstead.log` for the rest, and the console.
//!
//! `tracing` -> a queue that never blocks -> one worker -> `file-rotate`. An event goes to the file of
//! the job it names, in a field `job` of itself or of an enclosing span; `run` is found the same way.
//! Nothing that goes wrong here reaches a caller: lines are lost, counted, and said later.

mod backlog;
mod files;
mod layer;
mod line;
mod mask;
mod output;
mod read;
mod rotate;
mod runs;
mod text;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::logs::files::Files;
use crate::logs::layer::{Lines, Sink};
use crate::logs::line::Form;
pub use crate::logs::mask::secrets_of;
pub use crate::logs::output::{Output, Voice};
pub use crate::logs::read::{JobLine, Since, follow, run_lines, tail};
use crate::logs::rotate::Limits;
pub use crate::logs::runs::{
    RunFile, RunLine, RunReader, Swept, lines_since, outdated, run_log_path, run_tail, sweep,
};
use crate::settings::{LogFormat, LogSettings};

/// Log of everything that is of no job: `roadstead.log`.
pub const MAIN: &str = "roadstead";

/// Target of the two events that start and end a run; they are copied to [`MAIN`].
///
/// `tracing::info!(target: logs::RUN, job, run, trigger, "started")`
pub const RUN: &str = "roadstead::run";

/// Target of the markers; use [`marker_start`] and [`marker_end`].
const MARKER: &str = "roadstead::marker";

/// Field of a marker: milliseconds since 1970, written behind its text.
const MARKER_TIME: &str = "at";

/// Lines that wait for the worker. The queue's memory is taken at start: about 40 bytes a line.
const QUEUE_LINES: usize = 8_192;

/// Writes what is queued when dropped, for a second at most. Keep it in `main`.
pub struct Guard {
    _files: WorkerGuard,
    _console: Option<WorkerGuard>,
    errors: Arc<AtomicU64>,
}

impl Guard {
    /// Errors of writing log files since the start.
    pub fn write_errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

/// Starts logging of the whole process; never fails.
///
/// A directory that cannot be written is said on stderr, and tried again later. With `console`, lines
/// go to stderr as well.
pub fn start(settings: &LogSettings, timezone: Tz, console: bool) -> Guard {
    let limits = limits(settings);
    let (subscriber, guard) = prepare(settings, limits, timezone, console);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        warn("logging was already started");
    }
    guard
}

/// The file of a job's log; of [`MAIN`], the main one.
pub fn log_path(dir: &Path, job: &str) -> PathBuf {
    dir.join(format!("{job}.log"))
}

/// Writes the marker of a run's start to the log of its job, as birdhouse's scripts do.
pub fn marker_start(job: &str, at: DateTime<Utc>) {
    tracing::info!(target: MARKER, job, "==========");
    mark(job, "autodeploy START_TIME=", at);
}

/// Writes the marker of a run's end to the log of its job, as birdhouse's scripts do.
pub fn marker_end(job: &str, start: DateTime<Utc>, end: DateTime<Utc>) {
    mark(job, "autodeploy finished START_TIME=", start);
    mark(job, "autodeploy finished   END_TIME=", end);
}

/// Waits until what was logged so far is in its files, for a second at most: for who reads them next.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn settled() {
    let Some(sink) = Sink::current() else { return };
    let number = sink.backlog.sent();
    let wait = move || sink.backlog.wait_for(number, Duration::from_secs(1));
    // One that died in there has nothing to tell.
    let _ = tokio::task::spawn_blocking(wait).await;
}

fn mark(job: &str, text: &str, at: DateTime<Utc>) {
    tracing::info!(target: MARKER, job, at = at.timestamp_millis(), "{text}");
}

fn limits(settings: &LogSettings) -> Limits {
    Limits {
        max_size_bytes: u64::try_from(settings.max_size_bytes).unwrap_or(u64::MAX),
        keep: settings.keep,
        compress: settings.compress,
        look_every: Duration::from_secs(1),
        rotate_again_after: Duration::from_mins(1),
    }
}

fn prepare(
    settings: &LogSettings,
    limits: Limits,
    timezone: Tz,
    console: bool,
) -> (impl Subscriber + Send + Sync + use<>, Guard) {
    let file_form = Form { timezone, format: settings.format, color: false };
    let mut writer = Files::new(settings.dir.clone(), limits, file_form);
    writer.probe();
    let (errors, backlog) = (writer.errors(), writer.backlog());
    let (files, files_guard) = queue(writer);
    backlog.count_drops_with(files.error_counter());
    let (console, console_guard) = if console {
        let (queue, guard) = queue(io::stderr());
        let color = settings.format == LogFormat::Text && wants_color();
        (Some((queue, Form { color, ..file_form })), Some(guard))
    } else {
        (None, None)
    };
    let lines = Lines { sink: Sink { files, form: file_form, backlog }, console };
    let subscriber = Registry::default().with(filter(&settings.level)).with(lines);
    (subscriber, Guard { _files: files_guard, _console: console_guard, errors })
}

fn queue(writer: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("logs")
        .finish(writer)
}

/// What is written: `level`, but the libraries below us only from warnings on, and always the
/// markers.
fn filter(level: &str) -> EnvFilter {
    const LIBRARIES: [&str; 6] = ["bollard", "h2", "hyper", "hyper_util", "rustls", "tower"];
    let limit =
        level.parse().map_or(LevelFilter::WARN, |level: LevelFilter| level.min(LevelFilter::WARN));
    let quiet: String = LIBRARIES.map(|library| format!("{library}={limit},")).concat();
    let raw = format!("{MARKER}=info");
    // A later word on the same library counts, so what a person wrote stands after ours.
    EnvFilter::builder().parse(format!("{quiet}{level},{raw}")).unwrap_or_else(|error| {
        warn(&format!("`AUTODEPLOY_LOG_LEVEL` is `{level}`: {error}; using `info`"));
        EnvFilter::new(format!("{quiet}info,{raw}"))
    })
}

/// True when a job of this name can have a file of its own.
fn is_file_name(job: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !job.is_empty() && !job.starts_with('.') && job.len() <= 200 && job.bytes().all(allowed)
}

fn warn(message: &str) {
    // Nobody is left to tell when stderr fails, too.
    let _ = writeln!(io::stderr(), "warning: {message}");
}

#[expect(clippy::disallowed_methods, reason = "a line carries the time it was made")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[expect(clippy::disallowed_methods, reason = "NO_COLOR is asked before there are settings")]
fn wants_color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests;
