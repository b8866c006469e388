//! Jobs: what should run, when, with which limits.
//!
//! Values and the formats they are read from; nothing here starts anything.

mod cron_fields;
pub mod duration;
pub mod native;
pub mod platform;
pub mod schedule;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use indexmap::IndexMap;

use self::schedule::Schedule;
use crate::compose::Files;
use crate::compose::load::normalise_name;
use crate::problem::Problems;
use crate::settings::{HealthGate, Settings};
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
    /// Longest time one run may take.
    pub timeout: Duration,
    /// What it does.
    pub work: Work,
}

impl Job {
    /// What the job must have to itself while it runs: jobs that share one never run together.
    pub fn locks(&self) -> BTreeSet<String> {
        let Work::Deploy(deploy) = &self.work else { return BTreeSet::new() };
        let checkout = |source: &Source| format!("checkout:{}", source.directory.display());
        let mut locks: BTreeSet<String> = deploy.sources.iter().map(checkout).collect();
        // A `name:` in a file cannot be known before it is loaded; this is Compose's default.
        let base = deploy.directory.file_name().unwrap_or_default().to_string_lossy();
        let project = deploy.project_name.clone().unwrap_or_else(|| normalise_name(&base));
        locks.insert(format!("project:{project}"));
        locks.insert(format!("directory:{}", deploy.directory.display()));
        locks
    }
}

/// What a job does: exactly one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Keeps a Compose project equal to its sources.
    Deploy(Deploy),
    /// Runs a container to completion.
    Run(RunContainer),
}

impl Work {
    /// The word in lists: `deploy` or `run`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Run(_) => "run",
        }
    }
}

/// Keeps a Compose project equal to its sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// Checkouts it is made from; the first one's commit names the revision.
    pub sources: Vec<Source>,
    /// Directory of the Compose project, as we see it.
    pub directory: PathBuf,
    /// Compose files relative to `directory`; empty means found by name.
    pub files: Vec<PathBuf>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Files of variables for interpolation, relative to `directory`; empty means `.env`.
    pub env_files: Vec<PathBuf>,
    /// Project name; `None` follows Compose's rules.
    pub project_name: Option<String>,
    /// Removes containers of services that are gone.
    pub remove_orphans: bool,
    /// How long to wait for new containers.
    pub health: HealthGate,
}

/// Runs a container to completion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunContainer {
    /// Image reference; pulled if missing.
    pub image: String,
    /// Arguments; `None` is the image's own.
    pub command: Option<Vec<String>>,
    /// Entry point; `None` is the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// Environment; a value of `None` is inherited from ours when the file was read.
    pub environment: IndexMap<String, String>,
    /// Mounts in the short form `source:target[:options]`.
    pub volumes: Vec<String>,
    /// Networks to join; the first is the primary one.
    pub networks: Vec<String>,
    /// User, as `docker run --user`.
    pub user: Option<String>,
    /// Working directory in the container.
    pub working_dir: Option<String>,
}
