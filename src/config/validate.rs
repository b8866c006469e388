//! From text to [`Settings`]; every variable is looked at before any problem is returned.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::layers::Found;
use super::values::{self, Refusal};
use super::variables::find;
use crate::problem::Problem;
use crate::settings::{
    GitSettings, HealthGate, LogSettings, RunLimits, SchedulerSettings, Settings,
};

/// The variables as text. `envy` fills it by name from what was found, never from the process: it
/// stops at the first value it cannot read and prints it, so all reading is left to [`values`].
#[derive(Deserialize)]
struct Raw {
    autodeploy_extra_repos: Option<String>,
    compose_dir: Option<String>,
    autodeploy_repos: Option<String>,
    autodeploy_platform_frequency: Option<String>,
    autodeploy_timezone: Option<String>,
    autodeploy_deploy_key_root_dir: Option<String>,
    autodeploy_known_hosts: Option<String>,
    autodeploy_git_token_dir: Option<String>,
    autodeploy_git_timeout: Option<String>,
    autodeploy_jobs_dir: Option<String>,
    autodeploy_scheduler_jobs_dir: Option<String>,
    autodeploy_ofelia_config: Option<String>,
    autodeploy_ofelia_labels: Option<String>,
    autodeploy_ofelia_dialect: Option<String>,
    autodeploy_ofelia_label_jobs: Option<String>,
    autodeploy_state_dir: Option<String>,
    autodeploy_log_dir: Option<String>,
    autodeploy_log_max_size: Option<String>,
    autodeploy_log_keep: Option<String>,
    autodeploy_log_compress: Option<String>,
    autodeploy_log_format: Option<String>,
    autodeploy_log_level: Option<String>,
    autodeploy_health_within: Option<String>,
    autodeploy_health_stable_for: Option<String>,
    autodeploy_shutdown_grace: Option<String>,
    autodeploy_max_runs: Option<String>,
    autodeploy_max_runs_of_kind: Option<String>,
    autodeploy_max_runs_of_source: Option<String>,
    autodeploy_start_rate: Option<String>,
    autodeploy_allow_commands: Option<String>,
    autodeploy_compose_hash: Option<String>,
    autodeploy_listen: Option<String>,
    autodeploy_tokens_file: Option<String>,
    docker_host: Option<String>,
}

/// Validates what was found; `None` when a problem was added.
pub(super) fn settings(
    found: &Found,
    mut variables: BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<Settings> {
    let pairs = found.iter().map(|(name, one)| ((*name).to_owned(), one.value.trim().to_owned()));
    let raw: Raw = envy::from_iter(pairs).expect("every field is text and may be missing");
    let home = variables.get("HOME").cloned();
    let home = home.as_deref();
    let mut reader = Reader { found, problems };

    let path = |text: &str| values::path(text, home);
    let checkouts = reader.given("AUTODEPLOY_EXTRA_REPOS", raw.autodeploy_extra_repos, |text| {
        values::paths(text, home)
    });
    let compose_dir = reader.given("COMPOSE_DIR", raw.compose_dir, path);
    let repositories = reader.given("AUTODEPLOY_REPOS", raw.autodeploy_repos, values::repositories);
    let docker_host = reader.given("DOCKER_HOST", raw.docker_host, values::docker_host);
    let listen = reader.given("AUTODEPLOY_LISTEN", raw.autodeploy_listen, values::socket_address);
    let tokens_file = reader.given("AUTODEPLOY_TOKENS_FILE", raw.autodeploy_tokens_file, path);
    let known_hosts = reader.given("AUTODEPLOY_KNOWN_HOSTS", raw.autodeploy_known_hosts, path);
    let token_dir = reader.given("AUTODEPLOY_GIT_TOKEN_DIR", raw.autodeploy_git_token_dir, path);
    let key_dir = reader.or_default(
        "AUTODEPLOY_DEPLOY_KEY_ROOT_DIR",
        raw.autodeploy_deploy_key_root_dir.or_else(|| default_key_dir(home)),
        path,
    );
    let timeout = reader.or_default(
        "AUTODEPLOY_GIT_TIMEOUT",
        raw.autodeploy_git_timeout,
        values::positive_duration,
    );
    let platform_frequency = reader.or_default(
        "AUTODEPLOY_PLATFORM_FREQUENCY",
        raw.autodeploy_platform_frequency,
        |text| Ok(text.to_owned()),
    );
    let timezone =
        reader.or_default("AUTODEPLOY_TIMEZONE", raw.autodeploy_timezone, values::timezone);
    let jobs_dir = reader.or_default("AUTODEPLOY_JOBS_DIR", raw.autodeploy_jobs_dir, path);
    let scheduler_jobs_dir =
        reader.or_default("AUTODEPLOY_SCHEDULER_JOBS_DIR", raw.autodeploy_scheduler_jobs_dir, path);
    let ofelia_config =
        reader.given("AUTODEPLOY_OFELIA_CONFIG", raw.autodeploy_ofelia_config, path);
    let ofelia_labels = reader.or_default(
        "AUTODEPLOY_OFELIA_LABELS",
        raw.autodeploy_ofelia_labels,
        values::boolean,
    );
    let ofelia_dialect = reader.or_default(
        "AUTODEPLOY_OFELIA_DIALECT",
        raw.autodeploy_ofelia_dialect,
        values::ofelia_dialect,
    );
    let ofelia_grants = reader.given(
        "AUTODEPLOY_OFELIA_LABEL_JOBS",
        raw.autodeploy_ofelia_label_jobs,
        values::ofelia_grants,
    );
    // As it was written: the blanks before its first line count.
    let extra_jobs = found.get("AUTODEPLOY_EXTRA_SCHEDULER_JOBS");
    let extra_jobs = extra_jobs.map(|one| one.value.clone()).unwrap_or_default();
    let state_dir = reader.or_default("AUTODEPLOY_STATE_DIR", raw.autodeploy_state_dir, path);
    let log_dir = reader.or_default("AUTODEPLOY_LOG_DIR", raw.autodeploy_log_dir, path);
    let max_size_bytes =
        reader.or_default("AUTODEPLOY_LOG_MAX_SIZE", raw.autodeploy_log_max_size, values::size);
    let keep = reader.or_default("AUTODEPLOY_LOG_KEEP", raw.autodeploy_log_keep, values::count);
    let compress =
        reader.or_default("AUTODEPLOY_LOG_COMPRESS", raw.autodeploy_log_compress, values::boolean);
    let format =
        reader.or_default("AUTODEPLOY_LOG_FORMAT", raw.autodeploy_log_format, values::log_format);
    let level =
        reader.or_default("AUTODEPLOY_LOG_LEVEL", raw.autodeploy_log_level, values::log_level);
    let within = reader.or_default(
        "AUTODEPLOY_HEALTH_WITHIN",
        raw.autodeploy_health_within,
        values::positive_duration,
    );
    let stable_for = reader.or_default(
        "AUTODEPLOY_HEALTH_STABLE_FOR",
        raw.autodeploy_health_stable_for,
        values::duration,
    );
    let shutdown_grace = reader.or_default(
        "AUTODEPLOY_SHUTDOWN_GRACE",
        raw.autodeploy_shutdown_grace,
        values::duration,
    );
    let runs = reader.or_default("AUTODEPLOY_MAX_RUNS", raw.autodeploy_max_runs, values::count);
    let runs_of_kind = reader.given(
        "AUTODEPLOY_MAX_RUNS_OF_KIND",
        raw.autodeploy_max_runs_of_kind,
        values::counts_of_kinds,
    );
    let runs_of_source = reader.given(
        "AUTODEPLOY_MAX_RUNS_OF_SOURCE",
        raw.autodeploy_max_runs_of_source,
        values::count,
    );
    let start_rate =
        reader.or_default("AUTODEPLOY_START_RATE", raw.autodeploy_start_rate, values::rate);
    let allow_commands = reader.or_default(
        "AUTODEPLOY_ALLOW_COMMANDS",
        raw.autodeploy_allow_commands,
        values::boolean,
    );
    let compose_hash = reader.or_default(
        "AUTODEPLOY_COMPOSE_HASH",
        raw.autodeploy_compose_hash,
        values::compose_hash,
    );
    if let (Some(within), Some(stable_for)) = (within, stable_for)
        && stable_for > within
    {
        reader.refuse(
            "AUTODEPLOY_HEALTH_STABLE_FOR",
            Refusal {
                expected: "a duration of at most `AUTODEPLOY_HEALTH_WITHIN`".into(),
                hint: None,
            },
        );
        return None;
    }

    let (listen, tokens_file) = (listen.ok()?, tokens_file.ok()?);
    if listen.is_some_and(|address| !address.ip().is_loopback()) && tokens_file.is_none() {
        reader.refuse(
            "AUTODEPLOY_LISTEN",
            Refusal {
                expected: "an address of this machine alone, e.g. `127.0.0.1:8080`, as long as \
                           `AUTODEPLOY_TOKENS_FILE` is not set"
                    .into(),
                hint: Some(
                    "name a file of tokens, one a line, to be reached from elsewhere".into(),
                ),
            },
        );
        return None;
    }
    let checkouts = checkouts.ok()?.unwrap_or_default();
    let compose_dir = compose_dir.ok()?.or_else(|| checkouts.first().cloned());
    let deploy_key_dir = key_dir?;
    let git = GitSettings {
        known_hosts: known_hosts.ok()?.unwrap_or_else(|| deploy_key_dir.join("known_hosts")),
        token_dir: token_dir.ok()?.unwrap_or_else(|| deploy_key_dir.clone()),
        deploy_key_dir,
        timeout: timeout?,
    };
    fill(&mut variables, "COMPOSE_DIR", compose_dir.as_ref());
    fill(&mut variables, "AUTODEPLOY_DEPLOY_KEY_ROOT_DIR", Some(&git.deploy_key_dir));
    fill(&mut variables, "AUTODEPLOY_KNOWN_HOSTS", Some(&git.known_hosts));
    fill(&mut variables, "AUTODEPLOY_GIT_TOKEN_DIR", Some(&git.token_dir));
    Some(Settings {
        checkouts,
        compose_dir,
        repositories: repositories.ok()?.unwrap_or_default(),
        platform_frequency: platform_frequency?,
        timezone: timezone?,
        git,
        jobs_dir: jobs_dir?,
        schedulers: SchedulerSettings {
            extra_jobs,
            jobs_dir: scheduler_jobs_dir?,
            ofelia_config: ofelia_config.ok()?,
            ofelia_labels: ofelia_labels?,
            ofelia_dialect: ofelia_dialect?,
            ofelia_grants: ofelia_grants.ok()?.unwrap_or_default(),
        },
        state_dir: state_dir?,
        log: LogSettings {
            dir: log_dir?,
            max_size_bytes: max_size_bytes?,
            keep: keep?,
            compress: compress?,
            format: format?,
            level: level?,
        },
        docker_host: docker_host.ok()?,
        compose_hash: compose_hash?,
        health: HealthGate { within: within?, stable_for: stable_for? },
        listen,
        tokens_file,
        shutdown_grace: shutdown_grace?,
        limits: RunLimits {
            runs: runs?,
            runs_of_kind: runs_of_kind.ok()?.unwrap_or_default(),
            runs_of_source: runs_of_source.ok()?,
            start_rate: start_rate?,
        },
        allow_commands: allow_commands?,
        variables,
    })
}

/// A container may have no `HOME`; its user is root then.
fn default_key_dir(home: Option<&str>) -> Option<String> {
    let is_usable = home.is_some_and(|home| home.starts_with('/'));
    (!is_usable).then(|| "/root/.ssh".to_owned())
}

/// Writes the path a variable came to, so that job files can refer to it.
fn fill(variables: &mut BTreeMap<String, String>, name: &str, path: Option<&PathBuf>) {
    if let Some(path) = path {
        variables.insert(name.to_owned(), path.to_string_lossy().into_owned());
    }
}

/// A problem was added for the value.
struct Refused;

struct Reader<'a> {
    found: &'a Found,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Reads a variable that has no default of its own.
    fn given<T>(
        &mut self,
        name: &'static str,
        value: Option<String>,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refused> {
        let Some(value) = value else { return Ok(None) };
        read(&value).map(Some).map_err(|refusal| self.refuse(name, refusal))
    }

    /// Reads a variable or the default that the table gives.
    fn or_default<T>(
        &mut self,
        name: &'static str,
        value: Option<String>,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let value = value.or_else(|| find(name).map(|variable| variable.default.to_owned()));
        self.given(name, value, read).ok().flatten()
    }

    fn refuse(&mut self, name: &'static str, refusal: Refusal) -> Refused {
        let Refusal { expected, hint } = refusal;
        let mut problem = match self.found.get(name) {
            Some(one) if one.name != name => one.problem(format!(
                "`{}` (read as `{name}`) is not valid: expected {expected}",
                one.name
            )),
            Some(one) => one.problem(format!("`{name}` is not valid: expected {expected}")),
            None => Problem::in_file("environment", format!("`{name}`: expected {expected}")),
        };
        problem.hint = hint;
        self.problems.push(problem);
        Refused
    }
}
