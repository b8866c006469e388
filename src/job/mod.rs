//! Jobs: what should run, when, with which limits.
//!
//! Values and the formats they are read from; nothing here starts anything.

pub mod birdhouse;
pub mod crontab;
pub mod dkron;
pub mod duration;
pub mod foreign;
mod links;
pub mod native;
pub mod ofelia;
pub mod platform;
mod policy;
mod ready;
pub mod schedule;
pub mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

pub use self::policy::{
    CatchUp, ContainerEvent, Keep, Notify, On, Overlap, Ping, Policy, Retry, Stop, Webhook,
    WebhookFormat, When, Window,
};
use self::schedule::Schedule;
use self::work::FilesBelow;
pub use self::work::{Deploy, RunContainer, Work};
use crate::compose::Files;
use crate::problem::{Problem, Problems};
use crate::settings::Settings;
use crate::source::Source;

/// Everything a person wrote for us, read together.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `env.local` and the environment.
    pub settings: Settings,
    /// Shipped and own jobs.
    pub jobs: Vec<Job>,
    /// What is wrong with parts of it: the rest works.
    pub problems: Problems,
}

/// Reads the configuration anew. The files come from the disk, or from a revision about to be applied.
pub type Reader = Arc<dyn Fn(&dyn Files) -> Result<Configuration, Problems> + Send + Sync>;

/// What should run, when, with which limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique name: letters, digits, `.`, `_`, `-`; also the name of its log file.
    pub name: String,
    /// What it is for, in the words of its author.
    pub description: Option<String>,
    /// File and line it was read from, for messages, e.g. `jobs/web.yml:3`.
    pub origin: String,
    /// When it runs.
    pub schedule: Schedule,
    /// Time zone of the schedule.
    pub timezone: Tz,
    /// In what its slots differ from what the schedule says.
    pub window: Window,
    /// What besides the clock sets it off.
    pub on: Vec<On>,
    /// Within which limits it runs.
    pub policy: Policy,
    /// How much of its output and history is kept.
    pub keep: Keep,
    /// Whom it tells of its runs.
    pub notify: Notify,
    /// Longest time one run may take.
    pub timeout: Duration,
    /// What it does.
    pub work: Work,
}

impl Job {
    /// What it was read from, and the line there: what stands in [`Self::origin`].
    pub fn place(&self) -> (&str, Option<usize>) {
        let parts = self.origin.rsplit_once(':');
        let parts = parts.and_then(|(name, line)| Some((name, line.parse().ok()?)));
        parts.map_or((self.origin.as_str(), None), |(name, line)| (name, Some(line)))
    }

    /// The file it was read from, where that is one of the disk.
    pub fn file(&self) -> Option<&Path> {
        Some(Path::new(self.place().0)).filter(|path| path.is_absolute())
    }

    /// A problem at the place where it is written.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        let (name, line) = self.place();
        Problem { line, ..Problem::in_file(name, message) }
    }

    /// What the job must have to itself while it runs: jobs that share one never run together.
    pub fn locks(&self) -> BTreeSet<String> {
        let mut locks: BTreeSet<String> =
            self.policy.locks.iter().map(|name| format!("name:{name}")).collect();
        if let Work::Rotate(rotate) = &self.work {
            let directory = |it: &FilesBelow| format!("directory:{}", it.directory.display());
            locks.extend(rotate.files.iter().map(directory));
        }
        if let Work::Clean(clean) = &self.work {
            locks.insert(format!("directory:{}", clean.directory.display()));
        }
        let Work::Deploy(deploy) = &self.work else { return locks };
        let checkout = |source: &Source| format!("checkout:{}", source.directory.display());
        locks.extend(deploy.sources.iter().map(checkout));
        locks.insert(format!("project:{}", deploy.expected_project()));
        locks.insert(format!("directory:{}", deploy.directory.display()));
        locks
    }
}
