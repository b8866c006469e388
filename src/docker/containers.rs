//! Containers: the calls that change one, and a look at its process.

use std::time::Duration;

use anyhow::{Context, Result};
use bollard::models::{ContainerCreateBody, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptions, RenameContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use tracing::warn;

use super::create::{Attachment, Blueprint, NewContainer, blueprint};
use super::{Engine, is_not_found, raw};
use crate::plan::observed::{Health, State};

/// The Engine's own grace when a container names none.
const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(10);
/// What the Engine may take beyond a container's grace to answer a stop.
const STOP_SLACK: Duration = Duration::from_mins(1);

/// What an inspection says about one container's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Life cycle state.
    pub state: State,
    /// Health, where it has a health check.
    pub health: Option<Health>,
    /// Exit code of the last process.
    pub exit_code: i64,
    /// The Engine's own error, e.g. why a start failed.
    pub error: String,
    /// How often the restart policy has started it again.
    pub restarts: i64,
    /// The last output of its health check.
    pub last_check: Option<String>,
}

impl Engine {
    /// Creates a container of a service, with all its networks, and returns its id.
    ///
    /// # Errors
    ///
    /// When the Engine refuses; a container half made is removed again.
    pub async fn create_service(&self, new: &NewContainer<'_>) -> Result<String> {
        let blueprint = blueprint(new, self.api_version().await?)?;
        // Boxed: the body of a create call is large.
        Box::pin(self.create_from(new, blueprint)).await
    }

    /// Creates a container and connects it to what the create call could not take.
    pub(super) async fn create_from(
        &self,
        new: &NewContainer<'_>,
        blueprint: Blueprint,
    ) -> Result<String> {
        let name = new.name;
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            platform: new.service.platform.clone().unwrap_or_default(),
        };
        let id = self.create(options, blueprint.body, blueprint.mac_address).await?;
        for attachment in blueprint.attachments {
            if let Err(error) = self.connect(&id, attachment).await {
                // The first error is the one that matters.
                let _ = self.remove(&id).await;
                return Err(error).with_context(|| format!("create container `{name}`"));
            }
        }
        Ok(id)
    }

    pub(super) async fn create(
        &self,
        options: CreateContainerOptions,
        body: ContainerCreateBody,
        mac_address: Option<String>,
    ) -> Result<String> {
        let name = options.name.clone().unwrap_or_default();
        let docker = match mac_address {
            Some(address) => {
                raw::with_fields(self.docker()?, &body, &[("MacAddress", address.into())])?
            }
            None => self.docker()?.clone(),
        };
        let created = Box::pin(docker.create_container(Some(options), body)).await;
        let created = created.with_context(|| format!("create container `{name}`"))?;
        for warning in created.warnings {
            let mut warned_of = self.warned_of.lock().expect("no holder of this lock panics");
            if warned_of.insert(warning.clone()) {
                warn!("the Engine says of container {name}: {warning}");
            }
        }
        Ok(created.id)
    }

    /// Connects a container to a network, with the same settings as at its creation.
    ///
    /// # Errors
    ///
    /// When the network does not exist, or an address is taken.
    async fn connect(&self, id: &str, attachment: Attachment) -> Result<()> {
        let Attachment { network, endpoint, .. } = attachment;
        let request =
            NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint) };
        let connected = self.docker()?.connect_network(&network, request).await;
        connected
            .with_context(|| format!("connect container `{}` to network `{network}`", short(id)))
    }

    /// Starts a container; one that runs is left alone, a paused one is unpaused.
    ///
    /// # Errors
    ///
    /// When the Engine cannot start it, e.g. because a port is taken.
    pub async fn start(&self, id: &str) -> Result<()> {
        let docker = self.docker()?;
        match docker.start_container(id, None).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = anyhow::Error::from(error);
                let is_paused = format!("{error:#}").contains("paused");
                if is_paused && docker.unpause_container(id).await.is_ok() {
                    return Ok(());
                }
                let name = self.name_of(id).await;
                Err(error).with_context(|| format!("start container `{name}`"))
            }
        }
    }

    /// The name of a container, for a message; the beginning of its id where it cannot be looked up.
    async fn name_of(&self, id: &str) -> String {
        let Ok(docker) = self.docker() else { return short(id).to_owned() };
        let inspected = docker.inspect_container(id, None).await;
        let name = inspected.ok().and_then(|it| it.name);
        name.map_or_else(|| short(id).to_owned(), |name| name.trim_start_matches('/').to_owned())
    }

    /// Stops a container with its own signal and grace; one that is stopped or gone is left alone.
    ///
    /// # Errors
    ///
    /// When the Engine cannot stop it.
    pub async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let wait = grace.unwrap_or(DEFAULT_STOP_GRACE) + STOP_SLACK;
        let docker = self.docker()?.clone().with_timeout(wait.max(super::CALL_DEADLINE));
        let stopped = docker.stop_container(id, None::<StopContainerOptions>).await;
        let stopped = stopped.with_context(|| format!("stop container `{}`", short(id)));
        ignore(stopped, is_not_found)
    }

    /// Removes a container, running or not; its volumes stay. One that is gone is fine.
    ///
    /// # Errors
    ///
    /// When the Engine cannot remove it.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.discard(id, false).await
    }

    /// Id of the container with a name, of whatever project; `None` where nobody has it.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn id_of(&self, name: &str) -> Result<Option<String>> {
        let inspected = self.docker()?.inspect_container(name, None).await;
        match inspected.with_context(|| format!("inspect container `{name}`")) {
            Ok(inspected) => Ok(inspected.id),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    ///
    /// When the name is taken.
    pub async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let options = RenameContainerOptions { name: name.to_owned() };
        let renamed = self.docker()?.rename_container(id, options).await;
        renamed.with_context(|| format!("rename container `{}` to `{name}`", short(id)))
    }

    /// Looks at one container's process.
    ///
    /// # Errors
    ///
    /// When there is no such container.
    pub async fn state(&self, id: &str) -> Result<ContainerState> {
        let inspected = self.docker()?.inspect_container(id, None).await;
        let container = inspected.with_context(|| format!("inspect container `{}`", short(id)))?;
        let state = container.state.unwrap_or_default();
        let word = state.status.map(|status| status.to_string()).unwrap_or_default();
        let health = state.health.unwrap_or_default();
        let verdict = match health.status.map(|status| status.to_string()).as_deref() {
            Some("starting") => Some(Health::Starting),
            Some("healthy") => Some(Health::Healthy),
            Some("unhealthy") => Some(Health::Unhealthy),
            _ => None,
        };
        let last_check = health.log.unwrap_or_default().pop().and_then(|check| check.output);
        Ok(ContainerState {
            state: State::parse(&word).unwrap_or_default(),
            health: verdict,
            exit_code: state.exit_code.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            restarts: container.restart_count.unwrap_or_default(),
            last_check: last_check.map(|text| text.trim().to_owned()).filter(|it| !it.is_empty()),
        })
    }

    /// Waits until a container has ended and returns its exit code.
    ///
    /// # Errors
    ///
    /// When the Engine goes away while waiting.
    pub async fn wait(&self, id: &str) -> Result<i64> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut stream = Box::pin(self.docker()?.wait_container(id, Some(options)));
        let first = stream.next().await.context("wait for the container: no answer")?;
        match first {
            Ok(answer) => Ok(answer.status_code),
            Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => Ok(code),
            Err(error) => Err(error).with_context(|| format!("wait for container `{}`", short(id))),
        }
    }
}

pub(super) fn ignore(result: Result<()>, harmless: impl Fn(&anyhow::Error) -> bool) -> Result<()> {
    match result {
        Err(error) if harmless(&error) => Ok(()),
        other => other,
    }
}

pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
