//! `compose exec`.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::FutureExt;

use super::Session;
use super::terminal::{Manner, Resize, converse, wants_terminal};
use crate::cli::Usage;
use crate::docker::ExecCommand;

/// Pause between two looks at a command whose streams have closed, and how many looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;
/// Exit code of a command that the container could not start.
const NOT_STARTED: u8 = 126;

// Arguments of `exec`.
#[derive(Debug, Args)]
#[command(override_usage = "roadstead compose exec [OPTIONS] SERVICE COMMAND [ARGS]...")]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Exec {
    /// Leaves the command alone once it runs
    #[arg(short, long)]
    detach: bool,
    /// Sets a variable; NAME alone takes ours
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// Gives the command no terminal [default: one, where this is one]
    #[arg(short = 'T', long, visible_alias = "no-TTY")]
    no_tty: bool,
    /// Accepted for old scripts: the command gets a terminal where this is one
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Passes stdin on, which is the default
    #[arg(
        short, long, hide = true, num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    interactive: bool,
    /// With all privileges
    #[arg(long)]
    privileged: bool,
    /// As this user
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// In this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The service, and the command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    words: Vec<String>,
}

/// Runs a command in a running container; its exit code is ours.
pub(super) async fn exec(session: &Session, arguments: &Exec) -> Result<u8> {
    let Some((service, command)) = arguments.words.split_first() else {
        bail!(Usage("name a service and a command".to_owned()));
    };
    if command.is_empty() {
        bail!(Usage(format!("name a command to run in `{service}`, e.g. `exec {service} sh`")));
    }
    let target = session.target(&[])?;
    let container = session.one_container(&target, service, arguments.index).await?;
    if session.dry_run {
        bail!("interactive exec is not supported in dry-run mode");
    }
    let attached = !arguments.detach;
    let stdin = arguments.interactive && attached;
    let tty = attached && wants_terminal(false, arguments.no_tty, stdin)?;
    let request = ExecCommand {
        command: command.to_vec(),
        environment: environment(session, &arguments.env),
        user: arguments.user.clone().unwrap_or_default(),
        working_dir: arguments.workdir.clone().unwrap_or_default(),
        privileged: arguments.privileged,
        tty,
        stdin,
        attached,
    };
    let engine = &session.engine;
    let exec = engine.create_exec(&container.id, &request).await?;
    if arguments.detach {
        engine.start_exec_detached(&exec, tty).await?;
        return Ok(0);
    }
    let connected = match engine.start_exec(&exec, tty).await {
        Ok(connected) => connected,
        // Newer Engines refuse what older ones let end with a code: the code is known either way.
        Err(error) => return not_started(session, &exec, error).await,
    };
    let resize = |size| engine.resize_exec(&exec, size).boxed();
    let resize: &Resize<'_> = &resize;
    converse(connected, Manner { tty, stdin, ends: true }, Some(resize)).await?;
    let code = exit_code(session, &exec).await?;
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// A variable without a value takes ours, or goes where we have none.
pub(super) fn environment(session: &Session, given: &[String]) -> Vec<String> {
    let ours = &session.request.variables;
    let entry = |text: &String| match text.split_once('=') {
        Some(_) => Some(text.clone()),
        None => ours.get(text).map(|value| format!("{text}={value}")),
    };
    given.iter().filter_map(entry).collect()
}

async fn not_started(session: &Session, exec: &str, error: anyhow::Error) -> Result<u8> {
    let code = session.engine.exec_exit_code(exec).await.ok().flatten().unwrap_or_default();
    let code = u8::try_from(code).ok().filter(|it| *it != 0);
    let chain = format!("{error:#}");
    if code.is_none() && !chain.contains("OCI runtime exec failed") {
        return Err(error);
    }
    writeln!(std::io::stderr(), "roadstead: {chain}")?;
    Ok(code.unwrap_or(NOT_STARTED))
}

/// The streams close a moment before the Engine knows the exit code.
async fn exit_code(session: &Session, exec: &str) -> Result<i64> {
    for _ in 0..LOOKS {
        if let Some(code) = session.engine.exec_exit_code(exec).await? {
            return Ok(code);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    None.context("learn the exit code: the command closed its streams and goes on")
}
