//! What waits for the worker that writes the files: how much was sent, and how much is done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::ErrorCounter;

/// How often a wait looks for frames that were dropped, of which nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The queue before the worker, in frames.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    sent: AtomicU64,
    done: Mutex<u64>,
    changed: Condvar,
    /// Frames the queue had no room for; set once the queue exists.
    dropped: OnceLock<ErrorCounter>,
}

impl Backlog {
    /// Tells which counter counts what the queue drops; only the first call does.
    pub(super) fn count_drops_with(&self, counter: ErrorCounter) {
        let _ = self.dropped.set(counter);
    }

    /// Frames dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get().map_or(0, |counter| counter.dropped_lines() as u64)
    }

    /// Counts a frame that is about to be sent; returns its number.
    pub(super) fn send(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Number of the last frame that was sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Counts a frame that the worker is done with.
    pub(super) fn finish(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until the worker is done with frame `number`; false when it is not after `limit`.
    ///
    /// Blocks the thread.
    pub(super) fn wait_for(&self, number: u64, limit: Duration) -> bool {
        let start = Instant::now();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while *done + self.dropped() < number {
            let Some(left) = limit.checked_sub(start.elapsed()) else { return false };
            let waited = self.changed.wait_timeout(done, left.min(LOOK_EVERY));
            done = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
