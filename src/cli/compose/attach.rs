//! `compose attach`.

use anyhow::{Result, bail};
use clap::Args;
use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Session;
use super::terminal::{Manner, Resize, converse};
use crate::docker::Engine;

// Arguments of `attach`.
#[derive(Debug, Args)]
pub(super) struct Attach {
    /// Keys that leave the container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Does not pass stdin on
    #[arg(long)]
    no_stdin: bool,
    /// Passes signals on to the process
    #[arg(
        long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
    /// The service
    service: String,
}

/// Connects to the main process of a container until it ends; its exit code is ours.
pub(super) async fn attach(session: &Session, arguments: &Attach) -> Result<u8> {
    let index = (arguments.index > 0).then_some(arguments.index);
    let target = session.target(&[])?;
    let container = session.one_container(&target, &arguments.service, index).await?;
    if session.dry_run {
        bail!("attach is not supported in dry-run mode");
    }
    let engine = &session.engine;
    let process = engine.main_process(&container.id).await?;
    let stdin = process.stdin && !arguments.no_stdin;
    let manner = Manner { tty: process.tty, stdin, ends: process.stdin_once };
    let connected =
        engine.attach(&container.id, manner.stdin, arguments.detach_keys.clone()).await?;
    let resize = |size| engine.resize_container(&container.id, size).boxed();
    let resize: &Resize<'_> = &resize;
    let talk = converse(connected, manner, Some(resize));
    if arguments.sig_proxy && !manner.tty {
        with_signals(engine, &container.id, talk).await?;
    } else {
        talk.await?;
    }
    let state = engine.state(&container.id).await?;
    let code = if state.state.lives() { 0 } else { state.exit_code };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Passes the signals that ask us to end on to a container while something goes on.
pub(super) async fn with_signals<T>(
    engine: &Engine,
    container: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut listeners = Vec::new();
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::quit(), "SIGQUIT"),
    ] {
        listeners.push((signal(kind)?, name));
    }
    let pass_on = async {
        loop {
            let name = next(&mut listeners).await;
            if let Err(error) = engine.kill(container, name).await {
                // It may just have ended.
                tracing::debug!("{error:#}");
            }
        }
    };
    tokio::select! {
        ended = work => ended,
        never = pass_on => never,
    }
}

async fn next(listeners: &mut [(Signal, &'static str)]) -> &'static str {
    let waits = listeners.iter_mut().map(|(listener, name)| {
        async move {
            listener.recv().await;
            *name
        }
        .boxed()
    });
    futures_util::future::select_all(waits).await.0
}
