//! What `env.local` and the environment say, typed and validated: the only configuration the rest sees.
//!
//! Values only. `config` reads them; `env.local.example` documents each variable.

use crate::compose::hash::Dialect;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

/// All settings of one Roadstead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `AUTODEPLOY_EXTRA_REPOS`: checkouts on the host, updated in place.
    pub checkouts: Vec<PathBuf>,
    /// `COMPOSE_DIR`: directory of the platform's Compose project; defaults to the first checkout.
    pub compose_dir: Option<PathBuf>,
    /// `AUTODEPLOY_REPOS`: repositories that we clone and manage ourselves.
    pub repositories: Vec<ManagedRepository>,
    /// `AUTODEPLOY_PLATFORM_FREQUENCY`: schedule of the deploys made from variables, unparsed.
    pub platform_frequency: String,
    /// `AUTODEPLOY_TIMEZONE`: time zone of schedules that name none.
    pub timezone: Tz,
    /// How git reaches its remotes.
    pub git: GitSettings,
    /// `AUTODEPLOY_JOBS_DIR`: directory of job files.
    pub jobs_dir: PathBuf,
    /// Jobs in the forms of other schedulers.
    pub schedulers: SchedulerSettings,
    /// `AUTODEPLOY_STATE_DIR`: store, managed clones, control socket.
    pub state_dir: PathBuf,
    /// How logs are written.
    pub log: LogSettings,
    /// `DOCKER_HOST`: `unix://` or `tcp://` address; `None` is the local socket.
    pub docker_host: Option<String>,
    /// `AUTODEPLOY_COMPOSE_HASH`: release of docker compose whose hashes our containers carry.
    pub compose_hash: Dialect,
    /// Deploys: how long a new container must stay up before the old one goes, and how long it may
    /// take to become healthy.
    pub health: HealthGate,
    /// `AUTODEPLOY_LISTEN`: address of the webhooks; `None` is no server.
    pub listen: Option<SocketAddr>,
    /// `AUTODEPLOY_TOKENS_FILE`: who may call them, one token a line.
    pub tokens_file: Option<PathBuf>,
    /// `AUTODEPLOY_SHUTDOWN_GRACE`: how long running work may take to reach a step boundary.
    pub shutdown_grace: Duration,
    /// How much may go on at once.
    pub limits: RunLimits,
    /// `AUTODEPLOY_ALLOW_COMMANDS`: whether jobs may run programs in our own container.
    pub allow_commands: bool,
    /// Every variable of `env.local` and the environment, for interpolation in job and Compose files.
    pub variables: BTreeMap<String, String>,
}

/// A repository of `AUTODEPLOY_REPOS`, written `URL#ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedRepository {
    /// Remote URL without credentials.
    pub url: String,
    /// Branch or tag after `#`; `None` is the remote's default branch.
    pub reference: Option<String>,
}

/// Jobs in the forms of other schedulers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// `AUTODEPLOY_EXTRA_SCHEDULER_JOBS`: text of a list of jobs as birdhouse has it.
    pub extra_jobs: String,
    /// `AUTODEPLOY_SCHEDULER_JOBS_DIR`: directory of files with such lists.
    pub jobs_dir: PathBuf,
    /// `AUTODEPLOY_OFELIA_CONFIG`: an INI file of Ofelia.
    pub ofelia_config: Option<PathBuf>,
    /// `AUTODEPLOY_OFELIA_LABELS`: follows the labels of containers that Ofelia reads.
    pub ofelia_labels: bool,
    /// `AUTODEPLOY_OFELIA_DIALECT`: which Ofelia the schedules in labels and in that file were
    /// written for.
    pub ofelia_dialect: crate::job::ofelia::Dialect,
    /// `AUTODEPLOY_OFELIA_LABEL_JOBS`: which labels may hold jobs that reach beyond their container.
    pub ofelia_grants: Vec<crate::job::ofelia::Grant>,
}

/// How git reaches its remotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSettings {
    /// `AUTODEPLOY_DEPLOY_KEY_ROOT_DIR`: `<repo>_deploy_key`, else `id_rsa_git_ssh_read_only`.
    pub deploy_key_dir: PathBuf,
    /// `AUTODEPLOY_KNOWN_HOSTS`: OpenSSH `known_hosts`; defaults to `known_hosts` beside the keys.
    pub known_hosts: PathBuf,
    /// `AUTODEPLOY_GIT_TOKEN_DIR`: `<repo>_token`, else `<host>_token`: files holding `token` or
    /// `user:token` for https; defaults to the directory of the keys.
    pub token_dir: PathBuf,
    /// `AUTODEPLOY_GIT_TIMEOUT`: deadline of one network step with one remote.
    pub timeout: Duration,
}

/// How much may go on at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// `AUTODEPLOY_MAX_RUNS`: runs at once.
    pub runs: usize,
    /// `AUTODEPLOY_MAX_RUNS_OF_KIND`: runs at once of a kind of work, by its key in job files.
    pub runs_of_kind: BTreeMap<String, usize>,
    /// `AUTODEPLOY_MAX_RUNS_OF_SOURCE`: runs at once that come from the same repository or checkout;
    /// `None` is no limit.
    pub runs_of_source: Option<usize>,
    /// `AUTODEPLOY_START_RATE`: runs that work on the Docker Engine and start in one second; 0 is no
    /// limit.
    pub start_rate: u32,
}

impl Default for RunLimits {
    /// What holds where nothing is written.
    fn default() -> Self {
        Self { runs: 8, runs_of_kind: BTreeMap::new(), runs_of_source: None, start_rate: 10 }
    }
}

/// How long a deploy waits for its new containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthGate {
    /// `AUTODEPLOY_HEALTH_WITHIN`: the longest time to running and healthy.
    pub within: Duration,
    /// `AUTODEPLOY_HEALTH_STABLE_FOR`: how long a container without a health check must stay up.
    pub stable_for: Duration,
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `AUTODEPLOY_LOG_DIR`: one file a job, and `roadstead.log`.
    pub dir: PathBuf,
    /// `AUTODEPLOY_LOG_MAX_SIZE`: rotate when a file would grow beyond this many bytes.
    pub max_size_bytes: usize,
    /// `AUTODEPLOY_LOG_KEEP`: rotated files to keep for each log.
    pub keep: usize,
    /// `AUTODEPLOY_LOG_COMPRESS`: gzip rotated files.
    pub compress: bool,
    /// `AUTODEPLOY_LOG_FORMAT`: `text` or `json`.
    pub format: LogFormat,
    /// `AUTODEPLOY_LOG_LEVEL`: least severe level written, as `tracing` names them.
    pub level: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
