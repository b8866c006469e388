//! What a job does: one type a kind.

mod backup;
mod cache;
mod certificate;
mod clean;
mod http;
mod ogc;
mod pattern;
mod prune;
mod refresh;
mod rotate;
mod sync;

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use self::backup::{
    Backup, BackupCheck, BackupPrune, Database, Dump, Keep, Location, Password, Quiesce,
    QuiesceHow, Repository, RestoreDrill, Selection, Tool, is_glob, is_variable,
};
pub use self::cache::{CacheDialect, CacheSync, Pools, Token};
pub use self::certificate::Certificate;
pub use self::clean::{AgeBy, Clean, refusal as clean_refusal};
pub use self::http::{Connection, Expect, Http, Step, WaitFor};
pub use self::ogc::{OgcMode, OgcProcess, OnTimeout};
pub use self::pattern::{FilesBelow, Pattern};
pub use self::prune::{
    AGE, AGE_OF_VOLUMES, KEEP, LEAST_REVISIONS, Prune, PruneImages, PruneVolumes,
};
pub use self::refresh::Refresh;
pub use self::rotate::{Compression, Create, Rotate, RotateMethod, SignalTo};
pub use self::sync::{
    DataSync, RuleOf, SyncArchive, SyncFrom, SyncMap, SyncRule, SyncSource, destination_refusal,
    rules_of,
};
use crate::compose::load::normalise_name;
use crate::compose::model::{Mount, MountKind, Network, Project, Service, Volume};
use crate::job::Packed;
use crate::settings::HealthGate;
use crate::source::Source;

/// What a job does: exactly one kind. Small, as [`crate::job::Job`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Keeps a Compose project equal to its sources.
    Deploy(Box<Deploy>),
    /// Runs a new container to completion.
    Run(PackedRun),
    /// Runs a command in running containers.
    Exec(Box<Exec>),
    /// Runs a service of a managed project once, as `docker compose run`.
    ComposeRun(Box<ComposeRun>),
    /// Starts, stops or signals containers that are there.
    Container(Box<ContainerAction>),
    /// Runs a program in our own container.
    Command(Box<Command>),
    /// Calls over HTTP.
    Http(Box<Http>),
    /// A process of an OGC API Processes server.
    OgcProcess(Box<OgcProcess>),
    /// Runs other jobs.
    Group(Box<Group>),
    /// Rotates log files that somebody else writes.
    Rotate(Box<Rotate>),
    /// Removes old files of a directory.
    Clean(Box<Clean>),
    /// Makes the caches of a pool of QGIS servers equal.
    CacheSync(Box<CacheSync>),
    /// Keeps the cache of a web server warm.
    Refresh(Box<Refresh>),
    /// Removes what runs of ours left on the Engine.
    Prune(Box<Prune>),
    /// Renews a certificate.
    Certificate(Box<Certificate>),
    /// Keeps directories equal to parts of git repositories or archives.
    Sync(Box<DataSync>),
    /// Keeps volumes, directories and databases in a repository.
    Backup(Box<Backup>),
    /// Removes what a repository need not keep.
    BackupPrune(Box<BackupPrune>),
    /// Looks whether a repository is whole.
    BackupCheck(Box<BackupCheck>),
    /// Proves that a backup can be restored.
    RestoreDrill(Box<RestoreDrill>),
}

impl Work {
    /// All kinds, by their words.
    pub const KINDS: [&'static str; 20] = [
        "deploy",
        "run",
        "exec",
        "compose_run",
        "container",
        "command",
        "http",
        "ogc_process",
        "group",
        "rotate",
        "clean",
        "cache_sync",
        "refresh",
        "prune",
        "certificate",
        "sync",
        "backup",
        "backup_prune",
        "backup_check",
        "restore_drill",
    ];

    /// The key in job files, and the word in lists.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deploy(_) => "deploy",
            Self::Run(_) => "run",
            Self::Exec(_) => "exec",
            Self::ComposeRun(_) => "compose_run",
            Self::Container(_) => "container",
            Self::Command(_) => "command",
            Self::Http(_) => "http",
            Self::OgcProcess(_) => "ogc_process",
            Self::Group(_) => "group",
            Self::Rotate(_) => "rotate",
            Self::Clean(_) => "clean",
            Self::CacheSync(_) => "cache_sync",
            Self::Refresh(_) => "refresh",
            Self::Prune(_) => "prune",
            Self::Certificate(_) => "certificate",
            Self::Sync(_) => "sync",
            Self::Backup(_) => "backup",
            Self::BackupPrune(_) => "backup_prune",
            Self::BackupCheck(_) => "backup_check",
            Self::RestoreDrill(_) => "restore_drill",
        }
    }

    /// What runs after it succeeded, in order, up to the first failure.
    pub fn then(&self) -> &[Self] {
        match self {
            Self::Run(run) => &run.then,
            Self::Exec(exec) => &exec.then,
            Self::Command(command) => &command.then,
            Self::Deploy(_)
            | Self::ComposeRun(_)
            | Self::Container(_)
            | Self::Http(_)
            | Self::OgcProcess(_)
            | Self::Group(_)
            | Self::Rotate(_)
            | Self::Clean(_)
            | Self::CacheSync(_)
            | Self::Refresh(_)
            | Self::Prune(_)
            | Self::Certificate(_)
            | Self::Sync(_)
            | Self::Backup(_)
            | Self::BackupPrune(_)
            | Self::BackupCheck(_)
            | Self::RestoreDrill(_) => &[],
        }
    }

    /// The repository of backups that it needs to itself.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Backup(work) => Some(&work.repository),
            Self::BackupPrune(work) => Some(&work.repository),
            Self::BackupCheck(work) => Some(&work.repository),
            Self::RestoreDrill(work) => Some(&work.repository),
            _ => None,
        }
    }

    /// The images that it names itself, and what follows it; those of a project's services stand in the
    /// project.
    pub fn images(&self) -> Vec<String> {
        let own = match self {
            Self::Run(run) => vec![run.container.unpack().service.image],
            Self::Certificate(certificate) => vec![certificate.certbot.unpack().service.image],
            Self::Sync(sync) => sync.images(),
            Self::RestoreDrill(drill) => vec![drill.check.unpack().service.image],
            Self::Deploy(_)
            | Self::Exec(_)
            | Self::ComposeRun(_)
            | Self::Container(_)
            | Self::Command(_)
            | Self::Http(_)
            | Self::OgcProcess(_)
            | Self::Group(_)
            | Self::Rotate(_)
            | Self::Clean(_)
            | Self::CacheSync(_)
            | Self::Refresh(_)
            | Self::Prune(_)
            | Self::Backup(_)
            | Self::BackupPrune(_)
            | Self::BackupCheck(_) => Vec::new(),
        };
        let own = own.into_iter().filter(|image| !image.is_empty());
        own.chain(self.then().iter().flat_map(Self::images)).collect()
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

impl Deploy {
    /// The name that its project is expected to have: Compose's default, unless it is given one. A `name:`
    /// in a file cannot be known before it is loaded.
    pub fn expected_project(&self) -> String {
        let base = self.directory.file_name().unwrap_or_default().to_string_lossy();
        self.project_name.clone().unwrap_or_else(|| normalise_name(&base))
    }
}

/// Runs a new container to completion: what most of many jobs do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedRun {
    /// The container.
    pub container: Packed<RunContainer>,
    /// Jobs run after it succeeded, in order, up to the first failure (birdhouse's `trigger`).
    pub then: Vec<Work>,
}

/// A container that is run to completion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunContainer {
    /// The container, with every option of a Compose service. Its `networks` are names of networks of
    /// the host, its named volumes those of the host; its `environment` has no bare names left.
    pub service: Service,
    /// An existing stopped container to start instead of a new one, kept at its end (Ofelia's `container`).
    pub container: Option<String>,
    /// Keeps the container at its end.
    pub keep: bool,
    /// Containers of the host whose volumes it gets, `name[:ro]`.
    pub volumes_from: Vec<String>,
    /// Containers of the host whose environment it gets when it starts, below its own.
    pub env_from: Vec<String>,
    /// Runs the image that is there when it cannot be pulled.
    pub pull_fallback: bool,
    /// Files in our own container that its standard output and error are appended to, as a redirection
    /// of the birdhouse form names them.
    pub redirect: Redirect,
}

impl RunContainer {
    /// The container as the only service of a project whose networks and volumes are the host's.
    pub fn project(&self, name: &str) -> Project {
        let service = Service { name: name.to_owned(), ..self.service.clone() };
        let network = |key: &String| {
            (key.clone(), Network { name: key.clone(), external: true, ..Network::default() })
        };
        let volume = |mount: &Mount| {
            let name =
                mount.source.clone().filter(|_| matches!(mount.kind, MountKind::Volume { .. }))?;
            Some((name.clone(), Volume { name, external: true, ..Volume::default() }))
        };
        Project {
            name: name.to_owned(),
            networks: service.networks.keys().map(network).collect(),
            volumes: service.volumes.iter().filter_map(volume).collect(),
            services: [(name.to_owned(), service)].into(),
            ..Project::default()
        }
    }
}

/// Where output goes besides the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// File of the standard output.
    pub stdout: Option<RedirectFile>,
    /// File of the standard error; equal to `stdout` for `2>&1`.
    pub stderr: Option<RedirectFile>,
}

/// A file that output goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectFile {
    /// Path in our own container.
    pub path: PathBuf,
    /// `>>`, else `>`.
    pub append: bool,
}

/// Which containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one of this name or id.
    Name(String),
    /// Those of a Compose service.
    Service {
        /// Name of the project.
        project: String,
        /// Name of the service.
        service: String,
    },
    /// Those with all these labels, `name` or `name=value`.
    Labels(Vec<String>),
}

/// Which of several matching containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The one with the lowest number.
    #[default]
    First,
    /// All in turn, up to the first failure.
    All,
}

/// Runs a command in running containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// Which containers.
    pub target: Target,
    /// Which of several.
    pub scope: Scope,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment on top of the container's.
    pub environment: IndexMap<String, String>,
    /// Containers of the host whose environment it gets, below its own.
    pub env_from: Vec<String>,
    /// User; `None` is the container's.
    pub user: Option<String>,
    /// Working directory; `None` is the container's.
    pub working_dir: Option<String>,
    /// With all privileges.
    pub privileged: bool,
    /// On a terminal of its own.
    pub tty: bool,
    /// Output to files besides.
    pub redirect: Redirect,
    /// Run after it succeeded, in order, up to the first failure.
    pub then: Vec<Work>,
}

/// Runs a service of a project once.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposeRun {
    /// Name of the deploy job whose project it is, or an absolute directory of a project.
    pub project: String,
    /// Name of the service.
    pub service: String,
    /// Program and arguments; `None` is the service's.
    pub command: Option<Vec<String>>,
    /// Entry point; `None` is the service's.
    pub entrypoint: Option<Vec<String>>,
    /// Environment on top of the service's.
    pub environment: IndexMap<String, String>,
    /// User; `None` is the service's.
    pub user: Option<String>,
    /// Working directory; `None` is the service's.
    pub working_dir: Option<String>,
    /// Further mounts in the short form.
    pub volumes: Vec<String>,
}

/// Starts, stops or signals containers that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerAction {
    /// What to do.
    pub action: Action,
    /// To which containers, in order.
    pub targets: Vec<Target>,
}

/// What is done to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts it.
    Start,
    /// Stops it.
    Stop,
    /// Stops and starts it.
    Restart,
    /// Freezes it.
    Pause,
    /// Lets it go on.
    Unpause,
    /// Sends a signal by name, e.g. `SIGUSR1`.
    Signal(String),
}

/// Runs a program in our own container; off unless `AUTODEPLOY_ALLOW_COMMANDS` says otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment; ours is not passed on, but for `PATH`, `HOME`, `LANG` and `TZ`.
    pub environment: IndexMap<String, String>,
    /// Working directory; `None` is `/`.
    pub working_dir: Option<PathBuf>,
    /// What it reads.
    pub stdin: Option<Vec<u8>>,
    /// Output to files besides.
    pub redirect: Redirect,
    /// Run after it succeeded, in order, up to the first failure.
    pub then: Vec<Work>,
}

/// Runs other jobs as part of its own run.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Names of the jobs, in order.
    pub jobs: Vec<String>,
    /// How many at once; 1 is one after the other.
    pub parallel: usize,
    /// Whether those after a failure run all the same.
    pub keep_going: bool,
}

/// Longest wait that a file may name: anything longer is a mistake.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24 * 366);
