//! The limits a job runs within: overlap, catch-up, retries, deadlines, locks, and what sets it off.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::compose::model::Hidden;
use crate::run::{Ending, Outcome};

/// What happens to a slot while an earlier run of the job still goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The slot is recorded as skipped.
    Skip,
    /// One run waits; a further slot takes its place, and the one before is recorded as skipped.
    #[default]
    Queue,
    /// The earlier run is stopped, and this one runs.
    Replace,
    /// Both run.
    Allow,
}

/// What a restart, a suspended machine or a clock set forward owes of the slots that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// Nothing: all are recorded as missed.
    None,
    /// The latest; the others are recorded as missed.
    #[default]
    Latest,
    /// All, oldest first, at most so many of the latest.
    All(usize),
}

/// Further tries of a run that failed. They belong to the same run, and its timeout covers them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    /// Tries after the first.
    pub max: u32,
    /// Pause before the second try; doubled for each further one, then drawn from zero to that ("full
    /// jitter").
    pub backoff: Duration,
    /// The longest pause.
    pub cap: Duration,
}

impl Default for Retry {
    /// None; where only `max` is written, pauses as of Kubernetes' jobs: 10 s, doubled, at most 6 min.
    fn default() -> Self {
        Self { max: 0, backoff: Duration::from_secs(10), cap: Duration::from_mins(6) }
    }
}

impl Retry {
    /// The pause after so many tries: a part, drawn evenly, of the backoff doubled for each try before the
    /// last. `drawn` is any number.
    pub fn pause_after(&self, tries: u32, drawn: u64) -> Duration {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
        let longest = u64::try_from(doubled.min(self.cap).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(drawn % longest.saturating_add(1).max(1))
    }

    /// Whether a try that ended so, the last of so many, is followed by another one.
    pub fn is_due_after(&self, tries: u32, ending: &Ending) -> bool {
        tries <= self.max && ending.outcome == Outcome::Failed && !ending.reason.is_final()
    }
}

/// When a run's process is to end, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    /// The first signal; `None` is the container's own, for other processes `SIGTERM`.
    pub signal: Option<String>,
    /// How long it has before it is killed; `None` is the container's own, for others 10 s.
    pub grace: Option<Duration>,
}

/// Within which limits a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What happens to a slot while the job runs.
    pub overlap: Overlap,
    /// What a restart owes.
    pub catch_up: CatchUp,
    /// A slot that could not start for so long is recorded as missed.
    pub start_deadline: Option<Duration>,
    /// Further tries.
    pub retry: Retry,
    /// How a run is ended before its time.
    pub stop: Stop,
    /// Names of what it shares with other jobs: two that share one never run together.
    pub locks: BTreeSet<String>,
    /// Higher ones start first where several wait.
    pub priority: i32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            start_deadline: None,
            retry: Retry::default(),
            stop: Stop { signal: None, grace: None },
            locks: BTreeSet::new(),
            priority: 0,
        }
    }
}

/// In what a job's slots differ from what its schedule says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Window {
    /// No slot before this instant.
    pub starts: Option<DateTime<Utc>>,
    /// No slot at or after this instant.
    pub ends: Option<DateTime<Utc>>,
    /// Each run starts by up to so much later than its slot, drawn anew for each slot; the slot stays
    /// what it was. The draw is a hash of job and slot, so a restart draws the same.
    pub jitter: Duration,
    /// All runs start by the same part of this later, a hash of the job's name: jobs of one schedule do
    /// not start together.
    pub spread: Duration,
}

/// What besides the clock sets a job off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// Another job's run ended.
    Ended {
        /// Name of that job.
        job: String,
        /// With which end.
        when: When,
    },
    /// A deploy of a Compose project, by the name of its job or of the project, changed something and
    /// ended. A look that found nothing to do is no deploy.
    Deployed {
        /// Job or project.
        project: String,
        /// With which end.
        when: When,
    },
    /// Something happened to a container.
    Container {
        /// What.
        event: ContainerEvent,
        /// Of which container: a name, or `project/service`.
        container: String,
    },
    /// A person or a system called the webhook of this name.
    Webhook(String),
    /// A file or a directory, as we see it, was changed.
    FileChanged(std::path::PathBuf),
}

/// With which end of another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// It did what was asked.
    Success,
    /// It failed, ran out of time or was lost.
    Failure,
    /// Whatever it was.
    Finish,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerEvent {
    /// It started.
    Started,
    /// Its process ended.
    Died,
    /// Its health check went from good to bad.
    Unhealthy,
}

/// How much of a job's output and history is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Runs kept, of every end; the oldest go first.
    pub runs: usize,
    /// Runs older than this go.
    pub age: Option<Duration>,
    /// Output of all runs together in bytes; the oldest goes first.
    pub bytes: Option<u64>,
    /// Output of one run in bytes; what comes after is counted and left out.
    pub run_bytes: Option<u64>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { runs: 1000, age: None, bytes: None, run_bytes: None }
    }
}

/// Whom a job tells of its runs; nothing of it can change how a run ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notify {
    /// A check as of healthchecks.io: told of each start and end.
    pub ping: Option<Ping>,
    /// Called with JSON when a job changes between well and ill.
    pub webhooks: Vec<Webhook>,
}

/// A check as of healthchecks.io.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ping {
    /// Address of the check, e.g. `https://hc-ping.com/UUID`; who has it may ping.
    pub url: Hidden,
    /// Whether starts are told.
    pub start: bool,
    /// Whether the tail of the output is sent.
    pub log: bool,
    /// Whether a check that is not there is made (`?create=1`, with slug addresses).
    pub create: bool,
}

/// Where a change of state is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Webhook {
    /// Address.
    pub url: Hidden,
    /// Headers, by name.
    pub headers: Vec<(String, Hidden)>,
    /// In whose form it is told.
    pub format: WebhookFormat,
}

/// In whose form a webhook is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WebhookFormat {
    /// Our own JSON, with every fact.
    #[default]
    Json,
    /// Incoming webhooks of Slack, and of Mattermost and Rocket.Chat, which take the same.
    Slack,
    /// Incoming webhooks of Microsoft Teams.
    Teams,
    /// Messages of Gotify.
    Gotify,
}

impl WebhookFormat {
    /// All forms, in the order of their words in the table of keys.
    pub const ALL: [Self; 4] = [Self::Json, Self::Slack, Self::Teams, Self::Gotify];

    /// The word in job files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Gotify => "gotify",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_are_drawn_from_zero() {
        let seconds = Duration::from_secs;
        let retry = Retry { max: 9, backoff: seconds(10), cap: seconds(60) };
        // (tries so far, longest pause in seconds)
        for (tries, longest) in [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (64, 60), (1000, 60)]
        {
            let longest = seconds(longest);
            let all = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            assert_eq!(retry.pause_after(tries, 0), Duration::ZERO, "{tries}");
            assert_eq!(retry.pause_after(tries, all), longest, "{tries}");
            assert_eq!(retry.pause_after(tries, all + 1), Duration::ZERO, "{tries}");
        }
        let none = Retry { max: 1, backoff: Duration::ZERO, cap: Duration::ZERO };
        assert_eq!(none.pause_after(1, u64::MAX), Duration::ZERO);
    }
}
