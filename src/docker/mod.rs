//! The Docker Engine, through its API: lists, changes, events. No policy.
//!
//! Every call has a deadline. Works on API 1.41 (Engine 20.10) and newer; [`Engine::api_version`] is
//! the one place that knows which.

mod archive;
mod attach;
mod auth;
mod build;
mod containers;
mod create;
mod endpoints;
mod events;
mod files;
mod follow;
mod gates;
mod images;
mod layers;
mod list;
mod listing;
mod log_lines;
mod mounts;
mod oneoff;
mod output;
mod own;
mod paths;
mod process;
mod prune;
mod raw;
mod resources;
mod restarts;
mod usage;

pub use self::archive::Ownership;
pub use self::attach::{Attached, Chunk, ExecCommand, MainProcess, TerminalSize};
pub use self::build::{BuildSurroundings, ImageBuild};
pub use self::containers::ContainerState;
pub use self::create::{Attachment, NewContainer, Peer, Surroundings, endpoints, profiles};
pub use self::endpoints::{Endpoint, NetworkDefinition};
pub use self::events::{ContainerEvent, NamedEvent, What};
pub use self::files::{Upload, digest, uploads};
pub use self::follow::About;
pub use self::gates::{ignored, ignored_of_network, unsupported};
pub use self::images::{Commit, Progress, PullOptions};
pub use self::layers::Layers;
pub use self::listing::{EngineEvent, ImageFacts, Listed, ListedVolume, PublishedPort};
pub use self::log_lines::LogRange;
pub use self::oneoff::OneOff;
pub use self::output::{OutputLine, Stream};
pub use self::paths::PathStat;
pub use self::process::Processes;
pub use self::prune::Removed;
pub use self::usage::Usage;
pub use crate::plan::observed::Container;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::errors::Error as BollardError;

/// Longest wait for the answer to an ordinary call.
const CALL_DEADLINE: Duration = Duration::from_mins(2);
/// Longest wait for the answer to a ping.
const PING_DEADLINE: Duration = Duration::from_secs(5);
/// Where the Engine listens unless `DOCKER_HOST` says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// One Docker Engine. Cheap to clone; connects at the first call, so that it may start after us.
#[derive(Clone, Debug)]
pub struct Engine {
    host: String,
    docker: Arc<OnceLock<Docker>>,
    api_version: Arc<OnceLock<ApiVersion>>,
    own_container: Arc<OnceLock<Option<String>>>,
    /// What it warned of; it says the same again with each container.
    warned_of: Arc<Mutex<BTreeSet<String>>>,
}

/// A version of the Engine API, e.g. 1.41.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32, pub u32);

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

impl Engine {
    /// The Engine at `host`, a `unix://` or `tcp://` address as in `DOCKER_HOST`.
    ///
    /// # Errors
    ///
    /// When the address is of a form we do not speak.
    pub fn new(host: Option<&str>) -> Result<Self> {
        let host = host.unwrap_or(DEFAULT_HOST).to_owned();
        let known = ["unix://", "tcp://", "http://"].iter().any(|scheme| host.starts_with(scheme));
        anyhow::ensure!(known, "DOCKER_HOST `{host}`: expected unix://PATH or tcp://HOST:PORT");
        Ok(Self {
            host,
            docker: Arc::default(),
            api_version: Arc::default(),
            own_container: Arc::default(),
            warned_of: Arc::default(),
        })
    }

    /// The address, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the socket where the Engine is a local one.
    pub fn socket(&self) -> Option<&str> {
        self.host.strip_prefix("unix://")
    }

    fn docker(&self) -> Result<&Docker> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let seconds = CALL_DEADLINE.as_secs();
        let version = bollard::API_DEFAULT_VERSION;
        let connected = match self.socket() {
            Some(path) => Docker::connect_with_unix(path, seconds, version),
            None => Docker::connect_with_http(&self.host, seconds, version),
        };
        let docker = connected.with_context(|| self.advice())?;
        Ok(self.docker.get_or_init(|| docker))
    }

    fn advice(&self) -> String {
        format!(
            "reach the Docker Engine at `{}` (is it running, is its socket mounted, may we use it?)",
            self.host
        )
    }

    /// Asks whether the Engine answers.
    ///
    /// # Errors
    ///
    /// When it does not, with what to check.
    pub async fn ping(&self) -> Result<()> {
        let answer = tokio::time::timeout(PING_DEADLINE, self.docker()?.ping()).await;
        answer
            .map_err(anyhow::Error::from)
            .and_then(|it| Ok(it?))
            .with_context(|| self.advice())?;
        Ok(())
    }

    /// The newest API version the Engine speaks; asked once.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer, or with something that is no version.
    pub async fn api_version(&self) -> Result<ApiVersion> {
        if let Some(version) = self.api_version.get() {
            return Ok(*version);
        }
        let pinged =
            raw::ping(&self.host, raw::API_VERSION).await.with_context(|| self.advice())?;
        let text = if let Some(text) = pinged {
            text
        } else {
            // A proxy may swallow the header; this answer takes the Engine much longer.
            let version = self.docker()?.version().await;
            version.context("ask the Engine for its version")?.api_version.unwrap_or_default()
        };
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some(ApiVersion(major.parse().ok()?, minor.parse().ok()?)));
        let parsed = parsed.with_context(|| format!("understand the API version `{text}`"))?;
        Ok(*self.api_version.get_or_init(|| parsed))
    }
}

/// True when the Engine said "no such object".
pub fn is_not_found(error: &anyhow::Error) -> bool {
    status_of(error) == Some(404)
}

/// True where something could not be removed because somebody uses it.
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(status_of(error), Some(403 | 409))
}

/// True when no connection to the Engine could be made or it broke off.
pub fn is_unreachable(error: &anyhow::Error) -> bool {
    let is_transport = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<tokio::time::error::Elapsed>()
            || matches!(
                cause.downcast_ref::<BollardError>(),
                Some(
                    BollardError::HyperLegacyError { .. }
                        | BollardError::HyperResponseError { .. }
                        | BollardError::IOError { .. }
                        | BollardError::RequestTimeoutError
                        | BollardError::SocketNotFoundError(_)
                )
            )
    };
    error.chain().any(is_transport)
}

/// The HTTP status of the Engine's refusal, if it was one.
fn status_of(error: &anyhow::Error) -> Option<u16> {
    error.chain().find_map(|cause| match cause.downcast_ref::<BollardError>() {
        Some(BollardError::DockerResponseServerError { status_code, .. }) => Some(*status_code),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_engine() {
        for (address, expected) in [
            (None, Ok(Some("/var/run/docker.sock"))),
            (Some("unix:///run/user/1/docker.sock"), Ok(Some("/run/user/1/docker.sock"))),
            (Some("tcp://10.0.0.1:2375"), Ok(None)),
            (Some("http://10.0.0.1:2375"), Ok(None)),
            (Some("ssh://host"), Err(())),
            (Some("/var/run/docker.sock"), Err(())),
            (Some(""), Err(())),
        ] {
            let engine = Engine::new(address).map_err(drop);
            let socket = engine.as_ref().map(Engine::socket);
            assert_eq!(socket, expected.as_ref().map(|it| *it), "{address:?}");
        }
    }

    #[test]
    fn api_versions_are_numbers_not_text() {
        assert!(ApiVersion(1, 41) < ApiVersion(1, 44));
        assert!(ApiVersion(1, 9) < ApiVersion(1, 41));
        assert!(ApiVersion(2, 0) > ApiVersion(1, 99));
    }

    #[test]
    fn refusals_and_broken_connections_are_told_apart() {
        let answer = |status_code| {
            let message = "no".to_owned();
            BollardError::DockerResponseServerError { status_code, message }
        };
        for (what, error, not_found, unreachable) in [
            ("404", answer(404), true, false),
            ("500", answer(500), false, false),
            ("timeout", BollardError::RequestTimeoutError, false, true),
            ("no socket", BollardError::SocketNotFoundError("/s".to_owned()), false, true),
            ("cut off", BollardError::IOError { err: std::io::Error::other("cut") }, false, true),
        ] {
            let error = anyhow::Error::from(error).context("do something");
            assert_eq!(is_not_found(&error), not_found, "{what}");
            assert_eq!(is_unreachable(&error), unreachable, "{what}");
        }
        assert!(!is_unreachable(&anyhow::anyhow!("something else")));
    }
}
