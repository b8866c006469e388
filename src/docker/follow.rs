//! Following one container from its start to its end: what it writes, and how it stands.

use anyhow::{Context, Result};
use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{AttachContainerOptions, LogsOptions};
use futures_util::StreamExt;

use super::attach::attached;
use super::containers::short;
use super::{Attached, Engine, Stream, is_not_found};
use crate::plan::observed::State;

/// What one inspection says about a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Life cycle state.
    pub state: State,
    /// Exit code of the last process.
    pub exit_code: i64,
    /// Whether the kernel killed it for want of memory.
    pub out_of_memory: bool,
    /// The reference it was made from.
    pub image: String,
    /// Id of its image.
    pub image_id: String,
    /// Program and arguments: its entry point, then its command.
    pub command: Vec<String>,
    /// Whether it has a terminal, and so one stream.
    pub tty: bool,
    /// Whether the Engine removes it at its end.
    pub auto_remove: bool,
    /// Its logging driver.
    pub log_driver: String,
    /// Its stop signal, where it or its image names one.
    pub stop_signal: Option<String>,
    /// Seconds it has to stop, where it names them; negative is for ever.
    pub stop_timeout: Option<i64>,
}

impl Engine {
    /// Looks at a container by name or id; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn about(&self, container: &str) -> Result<Option<About>> {
        let inspected = self.docker()?.inspect_container(container, None).await;
        match inspected.with_context(|| format!("inspect container `{}`", short(container))) {
            Ok(inspected) => Ok(Some(about(inspected))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The variables that a container was made with; `None` when there is no such container. Their
    /// values may be secrets.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn environment_of(&self, container: &str) -> Result<Option<Vec<(String, String)>>> {
        let inspected = self.docker()?.inspect_container(container, None).await;
        match inspected.with_context(|| format!("inspect container `{}`", short(container))) {
            Ok(inspected) => {
                let written = inspected.config.and_then(|it| it.env).unwrap_or_default();
                let pairs = written.iter().filter_map(|pair| pair.split_once('='));
                Ok(Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Passes on what a container writes, from its start or from a time in seconds since the Unix
    /// epoch, to its end. Its log is read, so that this can begin at any time.
    ///
    /// # Errors
    ///
    /// When the Engine goes away while following, or its logging driver cannot be read.
    pub async fn follow_bytes(
        &self,
        id: &str,
        since: i64,
        sink: &mut (dyn FnMut(Stream, &[u8]) + Send),
    ) -> Result<()> {
        let options = LogsOptions {
            follow: true,
            stdout: true,
            stderr: true,
            since: i32::try_from(since).unwrap_or_default(),
            ..Default::default()
        };
        let mut stream = Box::pin(self.docker()?.logs(id, Some(options)));
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.with_context(|| format!("read the output of container `{}`", short(id)))?;
            let stream = match chunk {
                LogOutput::StdErr { .. } => Stream::Err,
                LogOutput::StdOut { .. } | LogOutput::Console { .. } | LogOutput::StdIn { .. } => {
                    Stream::Out
                }
            };
            sink(stream, &chunk.into_bytes());
        }
        Ok(())
    }

    /// Connects to the output of a container's main process, its input left alone. Before its start
    /// nothing is missed; with `so_far` all that its log has comes first.
    ///
    /// # Errors
    ///
    /// When there is no such container.
    pub async fn attach_output(&self, id: &str, so_far: bool) -> Result<Attached> {
        let options = AttachContainerOptions {
            logs: so_far,
            stream: true,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let connected = self.docker()?.attach_container(id, Some(options)).await;
        let connected =
            connected.with_context(|| format!("attach to container `{}`", short(id)))?;
        Ok(attached(connected.output, connected.input))
    }
}

fn about(inspected: ContainerInspectResponse) -> About {
    let state = inspected.state.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let word = state.status.map(|status| status.to_string()).unwrap_or_default();
    let host_config = inspected.host_config.unwrap_or_default();
    let log_config = host_config.log_config;
    let mut command = config.entrypoint.unwrap_or_default();
    command.extend(config.cmd.unwrap_or_default());
    About {
        id: inspected.id.unwrap_or_default(),
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        state: State::parse(&word).unwrap_or_default(),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        image_id: inspected.image.unwrap_or_default(),
        command,
        tty: config.tty.unwrap_or_default(),
        auto_remove: host_config.auto_remove.unwrap_or_default(),
        log_driver: log_config.and_then(|it| it.typ).unwrap_or_default(),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        stop_timeout: config.stop_timeout,
    }
}
