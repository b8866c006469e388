//! Schedules: when a job runs, parsed from the text a person wrote.

use std::time::Duration;

/// When a job runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// A cron expression of five fields, or six with seconds first.
    Cron {
        /// As written.
        expression: String,
    },
    /// `@every 90s`: fixed distance from the epoch of the wall clock.
    Every(Duration),
    /// `@startup`: once when the daemon starts.
    Startup,
    /// `@manual`: only when a person asks.
    Manual,
}
