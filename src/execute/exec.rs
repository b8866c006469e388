//! `exec`: a command in containers that run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::kill::{self, Marked};
use super::sink::{ERR, OUT, Tee};
use super::target::{self, Found};
use super::{Answer, Context, engine_ending, exited, failed, stopped};
use crate::apply::seconds;
use crate::docker::{Attached, Engine, ExecCommand, Stream, is_unreachable};
use crate::job::work::{Exec, Scope};
use crate::run::{Details, Ending, Outcome, Reason};

/// Pauses between two looks at a command whose streams are closed: the first and the longest.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

pub(super) async fn exec(context: Context<'_>, exec: &Exec) -> Answer {
    let engine = &context.world.engine;
    let found = match target::find(engine, &exec.target).await? {
        Ok(found) => found,
        Err(ending) => return Ok(ending),
    };
    let containers = match target::running(found, &exec.target, exec.scope) {
        Ok(containers) => containers,
        Err(ending) => return Ok(ending),
    };
    let mut environment = match target::environment_of(engine, &exec.env_from).await? {
        Ok(environment) => environment,
        Err(ending) => return Ok(ending),
    };
    environment.extend(exec.environment.clone());
    let mut tee = match Tee::open(&exec.redirect) {
        Ok(tee) => tee,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let made_of = |details: &mut Details| {
        details.command.clone_from(&exec.command);
        details.environment = environment.keys().cloned().collect();
        details.container = containers.first().map(|it| it.id.clone());
    };
    context.made_of(made_of).await;
    let mut ending = failed(Reason::Internal, "there was no container");
    for (index, container) in containers.iter().enumerate() {
        if context.cancel.is_cancelled() {
            return Ok(stopped(format!("stopped before its turn in `{}`", container.name)));
        }
        let step = format!("run the command in {}", container.name);
        let work = Box::pin(in_one(context, exec, container, &environment, (index, &mut tee)));
        ending = context.step(step, work).await?;
        if ending.outcome != Outcome::Succeeded {
            break;
        }
        if exec.scope == Scope::All {
            info!("{}", ending.message);
        }
    }
    if ending.outcome == Outcome::Succeeded && containers.len() > 1 {
        let count = containers.len();
        ending.message = format!("exited with 0 in each of {count} containers");
    }
    Ok(ending)
}

async fn in_one(
    context: Context<'_>,
    exec: &Exec,
    container: &Found,
    environment: &BTreeMap<String, String>,
    (index, tee): (usize, &mut Tee),
) -> Result<Ending> {
    let engine = &context.world.engine;
    let begun = Instant::now();
    let now = (context.world.now)();
    let token = format!(
        "{}-{}{}-{index}-{}",
        context.job.name,
        context.execution.run,
        context.suffix,
        now.timestamp_nanos_opt().unwrap_or_default()
    );
    let marked = Marked {
        container: &container.id,
        token: &token,
        user: exec.user.as_deref().unwrap_or_default(),
        privileged: exec.privileged,
    };
    let mut environment: Vec<String> =
        environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    environment.push(format!("{}={token}", kill::VARIABLE));
    let command = ExecCommand {
        command: exec.command.clone(),
        environment,
        user: exec.user.clone().unwrap_or_default(),
        working_dir: exec.working_dir.clone().unwrap_or_default(),
        privileged: exec.privileged,
        tty: exec.tty,
        stdin: false,
        attached: true,
    };
    let name = &container.name;
    let created = match engine.create_exec(&container.id, &command).await {
        Ok(created) => created,
        Err(error) if is_unreachable(&error) => return Err(error),
        // It ended, or was paused, since we looked.
        Err(error) => return Ok(failed(Reason::NoSuchContainer, format!("{error:#}"))),
    };
    let attached = match engine.start_exec(&created, exec.tty).await {
        Ok(attached) => attached,
        Err(error) if is_unreachable(&error) => return Err(error),
        Err(error) => {
            let message = format!("in container `{name}`: {error:#}");
            return Ok(failed(Reason::NotStarted, message));
        }
    };
    let ended = {
        let mut talk = Box::pin(talk(context, &created, attached, tee));
        tokio::select! {
            ended = &mut talk => ended,
            () = context.cancel.cancelled() => {
                let stop = &context.job.policy.stop;
                let mut end = std::pin::pin!(kill::end_exec(engine, &created, &marked, stop));
                // What it says while it ends is heard, too.
                let how = tokio::select! {
                    how = &mut end => how,
                    _ = &mut talk => end.await,
                };
                return Ok(match how {
                    Ok(how) => stopped(format!("in container `{name}`: {how}")),
                    Err(error) if is_unreachable(&error) => engine_ending(&error),
                    Err(error) => stopped(format!("in container `{name}`: {error:#}")),
                });
            }
        }
    };
    let who = format!("in container `{name}`: ");
    match ended {
        Ok(code) => Ok(exited(code, &who, &seconds(begun))),
        Err(error) if is_unreachable(&error) => Err(error),
        Err(error) => match engine.about(&container.id).await? {
            None => {
                let message = format!("{who}the container was removed while the command ran");
                Ok(Ending::new(Outcome::Lost, Reason::ContainerGone, message))
            }
            Some(_) => Err(error),
        },
    }
}

/// Passes the output on and returns the exit code.
async fn talk(
    context: Context<'_>,
    exec: &str,
    mut attached: Attached,
    tee: &mut Tee,
) -> Result<i64> {
    while let Some(chunk) = attached.output.next().await {
        match chunk.context("read the output of the command") {
            Ok(chunk) => {
                let stream = if chunk.stream == Stream::Err { ERR } else { OUT };
                tee.write(stream, &chunk.bytes);
                context.sink.write(stream, &chunk.bytes);
            }
            Err(error) => {
                warn!("{error:#}; the rest of the output is lost");
                break;
            }
        }
    }
    exit_code(&context.world.engine, exec).await
}

/// The streams close a moment before the Engine knows the exit code; a command that closes them
/// itself goes on.
pub(super) async fn exit_code(engine: &Engine, exec: &str) -> Result<i64> {
    let (mut pause, longest) = LOOK_AGAIN;
    loop {
        if let Some(code) = engine.exec_exit_code(exec).await? {
            return Ok(code);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
