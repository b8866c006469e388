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
mod packed;
mod place;
pub mod platform;
mod policy;
mod ready;
pub mod schedule;
mod terms;
pub mod work;

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

pub use self::packed::Packed;
pub use self::place::Place;
pub use self::policy::{
    CatchUp, ContainerEvent, Keep, Notify, On, Overlap, Ping, Policy, Retry, Stop, Webhook,
    WebhookFormat, When, Window,
};
use self::schedule::Schedule;
pub use self::terms::{Shared, Terms, known};
pub use self::work::{Deploy, PackedRun, RunContainer, Work};
use self::work::{FilesBelow, Target};
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
///
/// Small, because there may be 100,000 of them: what most jobs have alike is in [`Terms`], which they share,
/// and read and written as if they were fields of the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique name: letters, digits, `.`, `_`, `-`; also the name of its log file.
    pub name: String,
    /// What it is for, in the words of its author.
    pub description: Option<Box<str>>,
    /// Where it was read from.
    pub origin: Place,
    /// When it runs.
    pub schedule: Schedule,
    /// On which terms.
    pub terms: Arc<Terms>,
    /// What it does.
    pub work: Work,
}

impl Deref for Job {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// A job that is changed no longer shares its terms.
impl DerefMut for Job {
    fn deref_mut(&mut self) -> &mut Terms {
        Arc::make_mut(&mut self.terms)
    }
}

impl Job {
    /// The file it was read from, where that is one of the disk.
    pub fn file(&self) -> Option<&Path> {
        Some(Path::new(self.origin.file())).filter(|path| path.is_absolute())
    }

    /// A problem at the place where it is written.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { line: self.origin.line(), ..Problem::in_file(self.origin.file(), message) }
    }

    /// What the job must have to itself while it runs: jobs that share one never run together, nor do
    /// those of which one has a directory in the other's.
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
        if let Work::CacheSync(sync) = &self.work {
            locks.insert(format!("server:{}", sync.server()));
        }
        if let Work::Certificate(certificate) = &self.work {
            locks.insert(format!("file:{}", certificate.bundle.display()));
            if let Some(Target::Service { project, .. }) = &certificate.stop {
                locks.insert(format!("project:{project}"));
            }
        }
        if let Work::Prune(_) = &self.work {
            locks.insert("prune".to_owned());
        }
        if let Some(repository) = self.work.repository() {
            locks.insert(format!("repository:{}", repository.location.name()));
        }
        if let Work::Sync(sync) = &self.work {
            let maps = sync.sources.iter().flat_map(|source| &source.maps);
            locks.extend(maps.map(|map| format!("directory:{}", map.to.display())));
        }
        let Work::Deploy(deploy) = &self.work else { return locks };
        let checkout = |source: &Source| format!("checkout:{}", source.directory.display());
        locks.extend(deploy.sources.iter().map(checkout));
        locks.insert(format!("project:{}", deploy.expected_project()));
        locks.insert(format!("directory:{}", deploy.directory.display()));
        locks
    }
}
