//! Ending a container before its time: signal, grace, kill, and waiting until it has really ended.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::docker::Engine;
use crate::job::Stop;

/// What ends a process that names nothing else.
pub(super) const TERM: &str = "SIGTERM";
/// What no process can refuse.
pub(super) const KILL: &str = "SIGKILL";
/// The grace of processes that name none.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long the kernel may take to end what was killed: it may hang in a disk.
const KILLED_WITHIN: Duration = Duration::from_mins(1);

/// Ends a container and says how; one that has ended or is gone is left as it is.
///
/// # Errors
///
/// When it cannot be ended, or the Engine does not answer.
pub(super) async fn end_container(engine: &Engine, id: &str, stop: &Stop) -> Result<String> {
    let Some(about) = engine.about(id).await? else { return Ok("it was gone".to_owned()) };
    if !about.state.lives() {
        return Ok(format!("it had ended with {}", about.exit_code));
    }
    let signal = stop.signal.clone().or(about.stop_signal).unwrap_or_else(|| TERM.to_owned());
    let own_grace = about.stop_timeout.and_then(|it| u64::try_from(it).ok());
    let grace = stop.grace.or(own_grace.map(Duration::from_secs)).unwrap_or(GRACE);
    if send(engine, id, &signal).await? {
        match tokio::time::timeout(grace, engine.wait(id)).await {
            Ok(code) => return Ok(format!("ended by {signal}, exited with {}", code?)),
            Err(_) => drop(send(engine, id, KILL).await?),
        }
    }
    match tokio::time::timeout(KILLED_WITHIN, engine.wait(id)).await {
        Ok(_) if is_kill(&signal) => Ok("killed".to_owned()),
        Ok(_) => {
            let seconds = grace.as_secs_f64();
            Ok(format!("killed, as {signal} did not end it within {seconds} s"))
        }
        Err(_) => bail!(
            "container `{}` does not end, not even by {KILL}: look at its processes on the host",
            about.name
        ),
    }
}

fn is_kill(signal: &str) -> bool {
    matches!(signal.trim_start_matches("SIG"), "KILL" | "9")
}

/// False where there was nobody left to get it.
async fn send(engine: &Engine, id: &str, signal: &str) -> Result<bool> {
    let sent = engine.kill(id, signal).await;
    let Err(error) = sent else { return Ok(true) };
    // It may have ended by itself in between.
    match engine.about(id).await.context("look at what was to be ended")? {
        Some(about) if about.state.lives() => Err(error),
        _ => Ok(false),
    }
}
