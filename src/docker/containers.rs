//! Containers, networks and volumes: the calls that change something.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateBody, HostConfig, Ipam as ApiIpam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, LogsOptions, RemoveContainerOptions,
    RemoveVolumeOptions, RenameContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::create::{Particulars, blueprint};
use super::{Engine, is_not_found, status_of};
use crate::compose::model::{Network, Project, Service, Volume};
use crate::job::RunContainer;
use crate::plan::observed::{Health, State};

/// The Engine's own grace when a container names none.
const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(10);
/// What the Engine may take beyond a container's grace to answer a stop.
const STOP_SLACK: Duration = Duration::from_secs(60);

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

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it was written.
    pub stream: Stream,
    /// The line without its end; invalid UTF-8 replaced.
    pub text: String,
}

/// One of a container's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Engine {
    /// Creates a container of a service, with all its networks, and returns its id.
    ///
    /// # Errors
    ///
    /// When the Engine refuses; a container half made is removed again.
    pub async fn create_service(
        &self,
        project: &Project,
        service: &Service,
        name: &str,
        labels: &BTreeMap<String, String>,
        anonymous_volumes: &BTreeMap<String, String>,
    ) -> Result<String> {
        let api = self.api_version().await?;
        let particulars = Particulars { name, labels, anonymous_volumes, api };
        let blueprint = blueprint(project, service, &particulars);
        let platform = service.platform.clone().unwrap_or_default();
        let id = self.create(name, platform, blueprint.body).await?;
        for attachment in blueprint.attachments {
            let request = NetworkConnectRequest {
                container: id.clone(),
                endpoint_config: Some(attachment.endpoint),
            };
            let network = attachment.network;
            let connected = self.docker()?.connect_network(&network, request).await;
            if let Err(error) = connected {
                // The first error is the one that matters.
                let _ = self.remove(&id).await;
                return Err(error)
                    .with_context(|| format!("connect container `{name}` to network `{network}`"));
            }
        }
        Ok(id)
    }

    /// Creates the container of a `run:` job and returns its id.
    ///
    /// # Errors
    ///
    /// When the Engine refuses.
    pub async fn create_run(
        &self,
        run: &RunContainer,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<String> {
        let environment = run.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let body = ContainerCreateBody {
            image: Some(run.image.clone()),
            cmd: run.command.clone(),
            entrypoint: run.entrypoint.clone(),
            env: Some(environment.collect()),
            user: run.user.clone(),
            working_dir: run.working_dir.clone(),
            labels: Some(labels.clone().into_iter().collect()),
            host_config: Some(HostConfig {
                binds: Some(run.volumes.clone()),
                network_mode: run.networks.first().cloned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let id = self.create(name, String::new(), body).await?;
        for network in run.networks.iter().skip(1) {
            let request = NetworkConnectRequest { container: id.clone(), endpoint_config: None };
            if let Err(error) = self.docker()?.connect_network(network, request).await {
                let _ = self.remove(&id).await;
                return Err(error)
                    .with_context(|| format!("connect container `{name}` to network `{network}`"));
            }
        }
        Ok(id)
    }

    async fn create(
        &self,
        name: &str,
        platform: String,
        body: ContainerCreateBody,
    ) -> Result<String> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), platform };
        let created = self.docker()?.create_container(Some(options), body).await;
        Ok(created.with_context(|| format!("create container `{name}`"))?.id)
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
                Err(error).with_context(|| format!("start container `{}`", short(id)))
            }
        }
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
        ignore(stopped, |error| is_not_found(error))
    }

    /// Kills a container's process.
    ///
    /// # Errors
    ///
    /// When the Engine cannot reach it; one that does not run is left alone.
    pub async fn kill(&self, id: &str) -> Result<()> {
        let killed = self.docker()?.kill_container(id, None::<KillContainerOptions>).await;
        let killed = killed.with_context(|| format!("kill container `{}`", short(id)));
        ignore(killed, |error| matches!(status_of(error), Some(404 | 409)))
    }

    /// Removes a container, running or not; its volumes stay. One that is gone is fine.
    ///
    /// # Errors
    ///
    /// When the Engine cannot remove it.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        let removed = self.docker()?.remove_container(id, Some(options)).await;
        let removed = removed.with_context(|| format!("remove container `{}`", short(id)));
        // 409: another removal is in progress.
        ignore(removed, |error| matches!(status_of(error), Some(404 | 409)))
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

    /// The last lines a container wrote.
    ///
    /// # Errors
    ///
    /// When its logging driver cannot be read.
    pub async fn last_lines(&self, id: &str, count: usize) -> Result<Vec<OutputLine>> {
        let mut lines = Vec::new();
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: count.to_string(),
            ..Default::default()
        };
        self.read_output(id, options, &mut |line| lines.push(line)).await?;
        Ok(lines)
    }

    /// Follows a container's output from its start to its end.
    ///
    /// # Errors
    ///
    /// When the Engine goes away while following.
    pub async fn follow_output(
        &self,
        id: &str,
        sink: &mut (dyn FnMut(OutputLine) + Send),
    ) -> Result<()> {
        let options =
            LogsOptions { follow: true, stdout: true, stderr: true, ..Default::default() };
        self.read_output(id, options, sink).await
    }

    async fn read_output(
        &self,
        id: &str,
        options: LogsOptions,
        sink: &mut (dyn FnMut(OutputLine) + Send),
    ) -> Result<()> {
        let mut stream = Box::pin(self.docker()?.logs(id, Some(options)));
        let mut pending = [Vec::new(), Vec::new()];
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.with_context(|| format!("read the output of container `{}`", short(id)))?;
            let (stream, bytes) = match chunk {
                LogOutput::StdErr { message } => (Stream::Err, message),
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => (Stream::Out, message),
            };
            split_lines(&mut pending[usize::from(stream == Stream::Err)], &bytes, stream, sink);
        }
        for (rest, stream) in pending.into_iter().zip([Stream::Out, Stream::Err]) {
            if !rest.is_empty() {
                sink(line(&rest, stream));
            }
        }
        Ok(())
    }

    /// Creates a network.
    ///
    /// # Errors
    ///
    /// When the Engine refuses, e.g. because subnets overlap.
    pub async fn create_network(
        &self,
        network: &Network,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let pool = |pool: &crate::compose::model::IpamPool| IpamConfig {
            subnet: pool.subnet.clone(),
            ip_range: pool.ip_range.clone(),
            gateway: pool.gateway.clone(),
            auxiliary_addresses: (!pool.aux_addresses.is_empty())
                .then(|| pool.aux_addresses.clone().into_iter().collect()),
        };
        let ipam = &network.ipam;
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: network.driver.clone(),
            internal: Some(network.internal),
            attachable: Some(network.attachable),
            enable_ipv4: network.enable_ipv4,
            enable_ipv6: network.enable_ipv6,
            options: Some(network.driver_opts.clone().into_iter().collect()),
            labels: Some(labels.clone().into_iter().collect()),
            ipam: (*ipam != crate::compose::model::Ipam::default()).then(|| ApiIpam {
                driver: ipam.driver.clone(),
                config: Some(ipam.config.iter().map(pool).collect()),
                options: Some(ipam.options.clone().into_iter().collect()),
            }),
            ..Default::default()
        };
        let created = self.docker()?.create_network(request).await;
        let created = created.with_context(|| format!("create network `{}`", network.name));
        // 409: made meanwhile by somebody else, which is what we wanted.
        ignore(created.map(drop), |error| status_of(error) == Some(409))
    }

    /// Removes a network; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// When containers are attached.
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        let removed = self.docker()?.remove_network(name).await;
        ignore(removed.with_context(|| format!("remove network `{name}`")), |it| is_not_found(it))
    }

    /// Creates a volume; one that exists is left alone.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub async fn create_volume(
        &self,
        volume: &Volume,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: volume.driver.clone(),
            driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
            labels: Some(labels.clone().into_iter().collect()),
            ..Default::default()
        };
        let created = self.docker()?.create_volume(request).await;
        created.map(drop).with_context(|| format!("create volume `{}`", volume.name))
    }

    /// Removes a volume and its data; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// When a container mounts it.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        let removed = self.docker()?.remove_volume(name, None::<RemoveVolumeOptions>).await;
        ignore(removed.with_context(|| format!("remove volume `{name}`")), |it| is_not_found(it))
    }
}

fn ignore(result: Result<()>, harmless: impl Fn(&anyhow::Error) -> bool) -> Result<()> {
    match result {
        Err(error) if harmless(&error) => Ok(()),
        other => other,
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Longest line kept whole: a stream without line ends must not fill our memory.
const LONGEST_LINE_BYTES: usize = 64 * 1024;

fn split_lines(
    pending: &mut Vec<u8>,
    bytes: &[u8],
    stream: Stream,
    sink: &mut (dyn FnMut(OutputLine) + Send),
) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        pending.extend_from_slice(piece);
        if pending.ends_with(b"\n") || pending.len() >= LONGEST_LINE_BYTES {
            sink(line(pending, stream));
            pending.clear();
        }
    }
}

fn line(bytes: &[u8], stream: Stream) -> OutputLine {
    let text = String::from_utf8_lossy(bytes);
    OutputLine { stream, text: text.trim_end_matches(['\n', '\r']).to_owned() }
}
