//! One run without a daemon, for commands on a host where none serves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::attempt::Attempt;
use super::restart::lose_what_is_cut_off;
use super::runs::tell_end;
use super::upkeep::tail_of;
use crate::execute::at_hand;
use crate::job::{Configuration, Job, Work};
use crate::logs;
use crate::notify::{Ended, Notifier};
use crate::reconcile::{self, World};
use crate::run::{Ending, Live, Restore, RunId, Trigger};
use crate::store::{Change, NewRun, Store};

/// Longest wait for those who are told of the run.
const TIME_TO_TELL: Duration = Duration::from_secs(5);

/// Runs one job to its end where no daemon runs; the caller holds the right to change things.
///
/// # Errors
///
/// When the job does not exist, the Engine does not answer, or the store fails.
pub async fn run_once(
    world: &World,
    store: &Store,
    configuration: &Configuration,
    (name, restore, progress): (&str, Option<Restore>, Live),
    cancel: CancellationToken,
) -> Result<(RunId, Ending)> {
    let Some(job) = configuration.jobs.iter().find(|job| job.name == name) else {
        bail!(unknown_job(name, &configuration.jobs));
    };
    world.engine.ping().await?;
    let jobs = &configuration.jobs;
    lose_what_is_cut_off(store, &world.engine, jobs, (world.now)()).await?;
    let directories = reconcile::directories(configuration.jobs.iter());
    reconcile::recover(world, &directories).await?;
    let started = (world.now)();
    let trigger = if restore.is_some() { Trigger::Restore } else { Trigger::Manual };
    // What is restored is none of the job's own work.
    let is_told = restore.is_none() && Notifier::concerns(job);
    let new = NewRun { job: job.name.clone(), kind: job.work.kind(), trigger, slot: None, started };
    let run = store.start_run(new).await?.context("a run without a slot is always new")?;
    let span = info_span!("run", job = %job.name, run);
    let begun = Instant::now();
    let is_deploy = matches!(job.work, Work::Deploy(_));
    if is_deploy {
        logs::marker_start(&job.name, started);
    }
    span.in_scope(|| info!(target: logs::RUN, "started by {trigger}"));
    let jobs = at_hand(job, &configuration.jobs);
    let notifier = Notifier::open(&configuration.settings.state_dir, world.now).await;
    let attempt = Attempt {
        world: world.clone(),
        store: store.clone(),
        log: configuration.settings.log.clone(),
        job: job.clone(),
        run,
        trigger,
        cancel,
        needs_recovery: Arc::default(),
        started,
        notifier: Some(notifier.clone()),
        adopted: None,
        jobs,
        allow_commands: configuration.settings.allow_commands,
        restore,
        progress,
    };
    let ending = Box::pin(attempt.to_its_end()).instrument(span.clone()).await;
    let ended = (world.now)();
    if is_told {
        store.record(ended, vec![Change::Untold(run)]).await?;
    }
    store.finish_run(run, ended, &ending).await?;
    span.in_scope(|| tell_end(&ending, begun));
    if is_deploy {
        logs::marker_end(&job.name, started, ended);
    }
    if is_told {
        let tail = tail_of(configuration.settings.log.dir.clone(), &job.name, run).await;
        let ended = Ended { job, run, started, ended, ending: &ending, tail: &tail };
        if tokio::time::timeout(TIME_TO_TELL, notifier.ended(&ended)).await.is_ok() {
            store.told(run).await?;
            notifier.flush(TIME_TO_TELL).await;
        } else {
            warn!("the disk is slow: the next to start here tells of this run");
        }
    }
    Ok((run, ending))
}

/// Puts back what a Roadstead that died left open, where no daemon runs; the caller holds the right to
/// change things.
///
/// # Errors
///
/// When the Engine does not answer, or the store fails.
pub async fn put_back_what_is_owed(
    world: &World,
    store: &Store,
    configuration: &Configuration,
) -> Result<()> {
    lose_what_is_cut_off(store, &world.engine, &configuration.jobs, (world.now)()).await
}

/// Says which jobs there are.
pub fn unknown_job(name: &str, jobs: &[Job]) -> String {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    match crate::problem::nearest(name, names.iter().copied()) {
        Some(near) => format!("there is no job `{name}`; did you mean `{near}`?"),
        None if names.is_empty() => format!(
            "there is no job `{name}`, nor any other: set AUTODEPLOY_EXTRA_REPOS or AUTODEPLOY_REPOS \
             in env.local, or write a job file"
        ),
        None => format!("there is no job `{name}`; there are: {}", names.join(", ")),
    }
}
