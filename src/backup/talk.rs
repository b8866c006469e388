//! What a worker says, and how it ends: one event a line, the last one once, and nothing left locked.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustic_core::{Progress, ProgressBars, ProgressType, RusticProgress};

use super::protocol::{Event, Failure, Summary};

/// Time between two reports of progress.
const BETWEEN_REPORTS: Duration = Duration::from_millis(500);

/// Why something was not done, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) class: Failure,
    pub(super) message: String,
}

impl Failed {
    pub(super) fn new(class: Failure, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// What an operation ends in.
pub(super) type Outcome<T> = Result<T, Failed>;

/// What the end of the process gives back or takes away.
pub(super) trait Leave: std::fmt::Debug + Send + Sync {
    /// Does it; called once.
    fn leave(&self);
}

/// The way out: events, and the end of the process.
#[derive(Debug, Default)]
pub(super) struct Talk {
    held: Mutex<Option<Arc<dyn Leave>>>,
    ending: AtomicBool,
    troubles: AtomicU64,
    reading_said: AtomicBool,
    done: AtomicU64,
    all: AtomicU64,
    reported: Mutex<Option<Instant>>,
}

/// What a thread that panicked left is as good as what others leave: one value.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Talk {
    /// Says one event; nobody listening is the end of input, too, and seen there.
    pub(super) fn say(&self, event: &Event) {
        if !self.is_ending() {
            write(event);
        }
    }

    /// Says and counts one thing that could not be read or written.
    pub(super) fn trouble(&self, path: impl Into<String>, what: impl Into<String>, vanished: bool) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        self.say(&Event::Trouble { path: path.into(), what: what.into(), vanished });
    }

    /// How many of those there were.
    pub(super) fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }

    /// Says, once, that all data was read.
    pub(super) fn all_read(&self) {
        if !self.reading_said.swap(true, Ordering::SeqCst) {
            self.say(&Event::Read);
        }
    }

    /// How many bytes were done.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether the process is about to end.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Remembers what the end of the process gives back, e.g. a lock.
    pub(super) fn hold(&self, held: Arc<dyn Leave>) {
        *locked(&self.held) = Some(held);
    }

    /// Forgets it. When the process is ending already it waits for that.
    pub(super) fn let_go(&self) {
        if locked(&self.held).take().is_none() {
            loop {
                std::thread::park();
            }
        }
    }

    /// Gives the lock back, says how it went, and ends the process: threads of the library cannot be
    /// asked to stop. Whoever comes second waits for that end.
    pub(super) fn end(&self, outcome: Outcome<Summary>) -> ! {
        if self.ending.swap(true, Ordering::SeqCst) {
            loop {
                std::thread::park();
            }
        }
        let held = locked(&self.held).take();
        if let Some(held) = held {
            held.leave();
        }
        let code = i32::from(outcome.is_err());
        write(&match outcome {
            Ok(summary) => Event::Done(summary),
            Err(Failed { class, message }) => Event::Failed { class, message },
        });
        std::process::exit(code)
    }

    /// Says how far it is, when that was not said just now.
    pub(super) fn reached(&self, what: &str, done: u64, all: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
        self.progress(what, 0);
    }

    /// Reports, now and then, how far it is.
    pub(super) fn progress(&self, what: &str, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        let mut reported = locked(&self.reported);
        if reported.is_some_and(|at| at.elapsed() < BETWEEN_REPORTS) {
            return;
        }
        *reported = Some(Instant::now());
        drop(reported);
        let all = self.all.load(Ordering::Relaxed);
        self.say(&Event::Progress { what: what.to_owned(), done, all });
    }
}

/// Makes events of what the library only warns of: metadata that could not be read or restored.
pub(super) fn warn_by(talk: &Arc<Talk>) {
    let warnings = Warnings(Arc::clone(talk));
    // There is no other logger: this is the first thing that a worker does.
    if log::set_boxed_logger(Box::new(warnings)).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

/// How warnings begin that nothing else says. Others are counted where they arise, or are no trouble: e.g.
/// that a user has no name where there is no list of users.
const SAID_NOWHERE_ELSE: [&str; 4] =
    ["ignoring error obtaining", "restore ", "error removing", "Error during collection"];

struct Warnings(Arc<Talk>);

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("rustic_core")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            // A directory that a dry run would make.
            let is_to_come = text.contains("NotFound");
            if !is_to_come && SAID_NOWHERE_ELSE.iter().any(|start| text.starts_with(start)) {
                self.0.trouble("", text, false);
            }
        }
    }

    fn flush(&self) {}
}

fn write(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // Who asked is gone: the end of input says so.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

/// Turns the library's progress in bytes into events.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) talk: Arc<Talk>,
    pub(super) what: &'static str,
}

impl ProgressBars for Bars {
    fn progress(&self, kind: ProgressType, _: &str) -> Progress {
        match kind {
            ProgressType::Bytes => {
                Progress::new(Bar { talk: Arc::clone(&self.talk), what: self.what })
            }
            ProgressType::Spinner | ProgressType::Counter => Progress::hidden(),
        }
    }
}

#[derive(Debug)]
struct Bar {
    talk: Arc<Talk>,
    what: &'static str,
}

impl RusticProgress for Bar {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, all: u64) {
        self.talk.all.store(all, Ordering::Relaxed);
    }

    fn set_title(&self, _: &str) {}

    fn inc(&self, more: u64) {
        self.talk.progress(self.what, more);
    }

    fn finish(&self) {}
}
