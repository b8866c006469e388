//! How far a work is, on one line of a terminal that is written anew; on a pipe nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::output::Output;
use crate::plan::housekeeping::bytes_text;
use crate::run::Progress;

/// Takes away what is on the terminal's line.
const CLEAR: &str = "\r\x1b[2K";
/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// How long is watched before a rate means something.
const SETTLES: Duration = Duration::from_secs(2);

/// The line.
pub(super) struct Bar {
    is_shown: bool,
    /// What is being done, since when, and what was done by then.
    since: Option<(String, Instant, u64)>,
    written: Option<Instant>,
}

impl Bar {
    /// Nothing yet; shown where a person looks.
    pub(super) fn new(output: Output) -> Self {
        let is_shown = !output.json && std::io::stderr().is_terminal();
        Self { is_shown, since: None, written: None }
    }

    /// Whether somebody sees it.
    pub(super) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, progress: &Progress) {
        if !self.is_shown || self.written.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        let now = Instant::now();
        let (_, begun, before) = match &self.since {
            Some(since) if since.0 == progress.what && since.2 <= progress.done => since,
            _ => self.since.insert((progress.what.clone(), now, progress.done)),
        };
        let line = line(progress, now - *begun, *before);
        self.written = Some(now);
        // What is written next begins at its start. Nobody to tell is no reason to stop.
        let _ = write!(std::io::stderr(), "{CLEAR}{line}\r");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.written.is_some() {
            let _ = write!(std::io::stderr(), "{CLEAR}");
        }
    }
}

/// E.g. `backup  1.2 GiB of 4.0 GiB (30 %), 52.1 MiB/s, 54 s left`; watched for so long, since so much was
/// done.
fn line(progress: &Progress, watched: Duration, before: u64) -> String {
    let Progress { what, done, all } = progress;
    let mut text = format!("{what}  {}", bytes_text(*done));
    if let Some(percent) = done.saturating_mul(100).checked_div(*all) {
        text = format!("{text} of {} ({} %)", bytes_text(*all), percent.min(100));
    }
    let more = done.saturating_sub(before);
    let millis = u64::try_from(watched.as_millis()).unwrap_or(u64::MAX);
    if watched < SETTLES || more == 0 {
        return text;
    }
    let rate = (more.saturating_mul(1000) / millis.max(1)).max(1);
    text = format!("{text}, {}/s", bytes_text(rate));
    if all > done {
        text = format!("{text}, {} left", time_text((all - done) / rate));
    }
    text
}

fn time_text(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        const MIB: u64 = 1024 * 1024;
        for (done, all, watched, before, expected) in [
            (MIB, 0, 0, 0, "backup  1.0 MiB"),
            (MIB, 4 * MIB, 1, 0, "backup  1.0 MiB of 4.0 MiB (25 %)"),
            (6 * MIB, 0, 4, 2 * MIB, "backup  6.0 MiB, 1.0 MiB/s"),
            (
                6 * MIB,
                100 * MIB,
                4,
                2 * MIB,
                "backup  6.0 MiB of 100.0 MiB (6 %), 1.0 MiB/s, 1 min left",
            ),
            (5 * MIB, 4 * MIB, 5, 0, "backup  5.0 MiB of 4.0 MiB (100 %), 1.0 MiB/s"),
            (MIB, 8000 * MIB, 1000, 0, "backup  1.0 MiB of 7.8 GiB (0 %), 1.0 KiB/s, 2223 h 9 min"),
        ] {
            let progress = Progress { what: "backup".to_owned(), done, all };
            let said = line(&progress, Duration::from_secs(watched), before);
            assert!(said.starts_with(expected), "{said}, not {expected}");
        }
        assert_eq!(time_text(59), "59 s");
        assert_eq!(time_text(7325), "2 h 2 min");
    }
}
