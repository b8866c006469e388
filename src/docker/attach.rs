//! Live connections to a container's process: its streams, its input, the size of its terminal.

use std::pin::Pin;

use anyhow::{Context, Result};
use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{AttachContainerOptions, ResizeContainerTTYOptions};
use futures_util::{Stream as Streaming, StreamExt};
use tokio::io::AsyncWrite;

use super::containers::short;
use super::{Engine, Stream};

/// A process we are connected to.
pub struct Attached {
    /// What it writes, until its streams are closed.
    pub output: Pin<Box<dyn Streaming<Item = Result<Chunk>> + Send>>,
    /// What it reads; shutting it down is the end of its input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Some bytes of one stream, cut anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where they were written; a terminal has only [`Stream::Out`].
    pub stream: Stream,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Lines.
    pub lines: u16,
}

/// How a container's main process is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MainProcess {
    /// It has a terminal.
    pub tty: bool,
    /// It has an open stdin.
    pub stdin: bool,
    /// Its stdin ends with the first who is attached to it.
    pub stdin_once: bool,
}

/// A command to run in a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "what the API asks for")]
pub struct ExecCommand {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=value`, on top of the container's.
    pub environment: Vec<String>,
    /// User; empty is the container's.
    pub user: String,
    /// Working directory; empty is the container's.
    pub working_dir: String,
    /// With all privileges.
    pub privileged: bool,
    /// On a terminal of its own.
    pub tty: bool,
    /// Whether it reads from us.
    pub stdin: bool,
    /// Whether somebody looks at its output.
    pub attached: bool,
}

impl Engine {
    /// Prepares a command in a running container and returns the id of the exec.
    ///
    /// # Errors
    ///
    /// When the container does not run.
    pub async fn create_exec(&self, container: &str, exec: &ExecCommand) -> Result<String> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let options = CreateExecOptions {
            attach_stdin: Some(exec.stdin && exec.attached),
            attach_stdout: Some(exec.attached),
            attach_stderr: Some(exec.attached),
            tty: Some(exec.tty),
            env: (!exec.environment.is_empty()).then(|| exec.environment.clone()),
            cmd: Some(exec.command.clone()),
            privileged: Some(exec.privileged),
            user: given(&exec.user),
            working_dir: given(&exec.working_dir),
            detach_keys: None,
        };
        let created = self.docker()?.create_exec(container, options).await;
        Ok(created.with_context(|| format!("prepare a command in `{}`", short(container)))?.id)
    }

    /// Starts a prepared command and connects to it.
    ///
    /// # Errors
    ///
    /// When it cannot be started, e.g. because there is no such program.
    pub async fn start_exec(&self, exec: &str, tty: bool) -> Result<Attached> {
        let options = StartExecOptions { detach: false, tty, output_capacity: None };
        let started = self.docker()?.start_exec(exec, Some(options)).await;
        match started.context("start the command")? {
            StartExecResults::Attached { output, input } => Ok(attached(output, input)),
            StartExecResults::Detached => anyhow::bail!("start the command: the Engine detached"),
        }
    }

    /// Starts a prepared command and leaves it alone.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn start_exec_detached(&self, exec: &str, tty: bool) -> Result<()> {
        let options = StartExecOptions { detach: true, tty, output_capacity: None };
        let started = self.docker()?.start_exec(exec, Some(options)).await;
        started.context("start the command")?;
        Ok(())
    }

    /// The exit code of a command; `None` while it runs.
    ///
    /// # Errors
    ///
    /// When the container is gone.
    pub async fn exec_exit_code(&self, exec: &str) -> Result<Option<i64>> {
        let inspected = self.docker()?.inspect_exec(exec).await.context("inspect the command")?;
        let running = inspected.running.unwrap_or_default();
        Ok(inspected.exit_code.filter(|_| !running))
    }

    /// Tells a command the size of its terminal.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub async fn resize_exec(&self, exec: &str, size: TerminalSize) -> Result<()> {
        let options = ResizeExecOptions { height: size.lines, width: size.columns };
        self.docker()?.resize_exec(exec, options).await.context("resize the terminal")
    }

    /// Connects to a container's main process; before its start nothing of its output is missed.
    ///
    /// # Errors
    ///
    /// When there is no such container.
    pub async fn attach(
        &self,
        container: &str,
        stdin: bool,
        detach_keys: Option<String>,
    ) -> Result<Attached> {
        let options = AttachContainerOptions {
            detach_keys,
            stream: true,
            stdin,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let connected = self.docker()?.attach_container(container, Some(options)).await;
        let connected =
            connected.with_context(|| format!("attach to container `{}`", short(container)))?;
        Ok(attached(connected.output, connected.input))
    }

    /// Looks at how a container's main process is connected.
    ///
    /// # Errors
    ///
    /// When there is no such container.
    pub async fn main_process(&self, container: &str) -> Result<MainProcess> {
        let inspected = self.docker()?.inspect_container(container, None).await;
        let inspected =
            inspected.with_context(|| format!("inspect container `{}`", short(container)))?;
        let config = inspected.config.unwrap_or_default();
        Ok(MainProcess {
            tty: config.tty.unwrap_or_default(),
            stdin: config.open_stdin.unwrap_or_default(),
            stdin_once: config.stdin_once.unwrap_or_default(),
        })
    }

    /// Tells a container the size of its terminal.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn resize_container(&self, container: &str, size: TerminalSize) -> Result<()> {
        let options =
            ResizeContainerTTYOptions { h: i32::from(size.lines), w: i32::from(size.columns) };
        let resized = self.docker()?.resize_container_tty(container, options).await;
        resized.context("resize the terminal")
    }
}

pub(super) fn attached(
    output: impl Streaming<Item = Result<LogOutput, BollardError>> + Send + 'static,
    input: Pin<Box<dyn AsyncWrite + Send>>,
) -> Attached {
    let output = output.map(|piece| piece.map(chunk).context("read what the process writes"));
    Attached { output: Box::pin(output), input }
}

fn chunk(piece: LogOutput) -> Chunk {
    let stream = match piece {
        LogOutput::StdErr { .. } => Stream::Err,
        LogOutput::StdOut { .. } | LogOutput::Console { .. } | LogOutput::StdIn { .. } => {
            Stream::Out
        }
    };
    Chunk { stream, bytes: piece.into_bytes().to_vec() }
}
