//! One run of one job, within its time: a deploy, or a container to completion.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{self, Journal, seconds};
use crate::docker::{NewContainer, Stream, Surroundings, is_unreachable};
use crate::job::{Job, RunContainer, Work};
use crate::logs;
use crate::plan::labels;
use crate::plan::observed::{State, familiar};
use crate::reconcile::{self, DeployRun, World};
use crate::registry::ClientConfig;
use crate::run::{Ending, Outcome, Reason, RunId, Trigger};
use crate::settings::LogSettings;
use crate::store::Store;

/// How long a run may take to put things back once its time is over.
const TIME_TO_PUT_BACK: Duration = Duration::from_mins(5);

/// One run of a job.
pub struct Execution<'a> {
    /// The job.
    pub job: &'a Job,
    /// Number of the run.
    pub run: RunId,
    /// What said "look now".
    pub trigger: Trigger,
    /// History.
    pub store: &'a Store,
    /// How output is written.
    pub log: &'a LogSettings,
    /// Asks to stop at the next step boundary.
    pub cancel: CancellationToken,
    /// Set where something could not be put back.
    pub needs_recovery: &'a AtomicBool,
}

/// Runs a job. Never fails: how it ended is the answer.
pub async fn execute(world: &World, execution: &Execution<'_>) -> Ending {
    let job = execution.job;
    let cancel = execution.cancel.child_token();
    let timed_out = AtomicBool::new(false);
    let work = async {
        match &job.work {
            Work::Deploy(deploy) => {
                let run = DeployRun {
                    job,
                    deploy,
                    run: execution.run,
                    trigger: execution.trigger,
                    cancel: &cancel,
                    timed_out: &timed_out,
                    store: execution.store,
                    needs_recovery: execution.needs_recovery,
                };
                reconcile::deploy(world, &run).await
            }
            Work::Run(run) => run_container(world, execution, run, &cancel).await,
            other => {
                let message =
                    format!("jobs of the kind `{}` are not carried out yet", other.kind());
                Ending::new(Outcome::Failed, Reason::Internal, message)
            }
        }
    };
    let mut work = std::pin::pin!(work);
    if let Ok(ending) = tokio::time::timeout(job.timeout, &mut work).await {
        return ending;
    }
    timed_out.store(true, Ordering::Relaxed);
    cancel.cancel();
    let limit = format!("the run took longer than its timeout of {} s", job.timeout.as_secs());
    match tokio::time::timeout(TIME_TO_PUT_BACK, &mut work).await {
        Ok(ending) if ending.outcome == Outcome::Cancelled || ending.reason == Reason::TimedOut => {
            let message = format!("{limit}: {}", ending.message);
            Ending { outcome: Outcome::Failed, reason: Reason::TimedOut, message, exit_code: None }
        }
        // It ended by itself in the last moment.
        Ok(ending) => ending,
        Err(_) => {
            execution.needs_recovery.store(true, Ordering::Relaxed);
            let message = format!(
                "{limit} and could not be brought to a step boundary; what is half done is repaired \
                 before anything else runs"
            );
            Ending::new(Outcome::Failed, Reason::TimedOut, message)
        }
    }
}

async fn run_container(
    world: &World,
    execution: &Execution<'_>,
    run: &RunContainer,
    cancel: &CancellationToken,
) -> Ending {
    match try_run_container(world, execution, run, cancel).await {
        Ok(ending) => ending,
        Err(error) => {
            let reason =
                if is_unreachable(&error) { Reason::EngineUnreachable } else { Reason::Internal };
            Ending::new(Outcome::Failed, reason, format!("{error:#}"))
        }
    }
}

async fn try_run_container(
    world: &World,
    execution: &Execution<'_>,
    run: &RunContainer,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let (engine, job) = (&world.engine, &execution.job.name);
    let journal = Journal::of_run(execution.store.clone(), execution.run, world.now);
    // Overlap is read from live containers: one may have outlived the daemon that started it.
    for container in engine.containers_with(&format!("{}={job}", labels::JOB)).await? {
        if matches!(container.state, State::Running | State::Paused | State::Restarting) {
            let message = format!("container `{}` of an earlier run still runs", container.name);
            return Ok(Ending::new(Outcome::Skipped, Reason::Overlap, message));
        }
        engine.remove(&container.id).await?;
    }
    let image = &run.service.image;
    if !engine.images().await?.contains_key(&familiar(image)) {
        let client = ClientConfig::load(&world.variables)?;
        let work = apply::pull(engine, &client, image, None);
        let pulled = journal.step(format!("pull image {image}"), work);
        if let Err(error) = pulled.await {
            let message = format!("{error:#}");
            return Ok(Ending::new(Outcome::Failed, Reason::ImageUnavailable, message));
        }
    }
    let project = world.host_paths().await?.translate(run.project(job));
    let service = project.services.get(job).context("a run has its own container")?;
    let name = format!("roadstead-{job}-{}", execution.run);
    let labels = BTreeMap::from([
        (labels::JOB.to_owned(), job.clone()),
        (labels::RUN.to_owned(), execution.run.to_string()),
    ]);
    let new = NewContainer {
        project: &project,
        service,
        name: &name,
        final_name: &name,
        labels: &labels,
        anonymous_volumes: &BTreeMap::new(),
        surroundings: &Surroundings::default(),
    };
    let created = engine.create_service(&new);
    let id = journal.step(format!("create container {name}"), created).await?;
    let started = Instant::now();
    let ended = async {
        journal.step(format!("start container {name}"), engine.start(&id)).await?;
        info!("container {name} started from {image}");
        attend(world, execution, &id, cancel).await
    };
    let ended = ended.await;
    let removed = journal.step(format!("remove container {name}"), engine.remove(&id)).await;
    if let Err(error) = removed {
        warn!("{error:#}; the next run removes it");
    }
    Ok(match ended? {
        None => Ending::new(Outcome::Cancelled, Reason::Shutdown, "stopped before it had ended"),
        Some(0) => {
            let message = format!("exited with 0 after {}", seconds(started));
            let ending = Ending::new(Outcome::Succeeded, Reason::ExitedZero, message);
            Ending { exit_code: Some(0), ..ending }
        }
        Some(code) => {
            let message = format!("exited with {code} after {}", seconds(started));
            let ending = Ending::new(Outcome::Failed, Reason::ExitedNonZero, message);
            Ending { exit_code: Some(code), ..ending }
        }
    })
}

/// Passes a container's output on until it ends; `None` when it was stopped on request.
async fn attend(
    world: &World,
    execution: &Execution<'_>,
    id: &str,
    cancel: &CancellationToken,
) -> Result<Option<i64>> {
    let (engine, job, run) = (&world.engine, execution.job.name.as_str(), execution.run);
    let mut sink = |line: crate::docker::OutputLine| {
        let stream = if line.stream == Stream::Out { "out" } else { "err" };
        logs::output_line(job, run, stream, &line.text);
    };
    let follow = async {
        if let Err(error) = engine.follow_output(id, &mut sink).await {
            warn!("{error:#}; the rest of the output is lost");
        }
        engine.wait(id).await
    };
    tokio::select! {
        code = follow => code.map(Some).context("wait for the end"),
        () = cancel.cancelled() => {
            engine.stop(id, None).await?;
            Ok(None)
        }
    }
}
