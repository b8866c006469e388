//! One deploy from beginning to end: look at the sources, plan, apply, and say how it ended.
//!
//! Everything that can fail safely comes before anything that touches what runs.

mod checkouts;
mod images;
mod prospect;
mod recover;

use self::checkouts::{advance, go_back};
use self::images::Images;
pub use self::prospect::{Model, Prospect, Stopped, deploy_of_directory, model, prospect};
pub use self::recover::{directories, recover};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{self, Journal, Left, Waiting, seconds};
use crate::docker::{Container, Engine, is_unreachable};
use crate::git::Git;
use crate::job::{Deploy, Job, Reader};
use crate::plan::Plan;
use crate::plan::host_paths::HostPaths;
use crate::plan::observed::familiar;
use crate::run::{Ending, Outcome, Reason, RunId, Trigger};
use crate::source::Revision;
use crate::store::{Applied, Quarantine, Store};

/// The outside systems a run works with.
#[derive(Clone)]
pub struct World {
    /// The Docker Engine.
    pub engine: Engine,
    /// Git.
    pub git: Git,
    /// Reads `env.local` and job files anew.
    pub reader: Reader,
    /// The time.
    pub now: fn() -> DateTime<Utc>,
    /// Variables that lead to the configuration of Docker's client.
    pub variables: std::sync::Arc<BTreeMap<String, String>>,
    /// Where our paths lie on the host, once the Engine told.
    host_paths: std::sync::Arc<tokio::sync::OnceCell<HostPaths>>,
}

impl World {
    /// A world of these systems.
    pub fn new(engine: Engine, git: Git, reader: Reader, now: fn() -> DateTime<Utc>) -> Self {
        let (variables, host_paths) = Default::default();
        Self { engine, git, reader, now, variables, host_paths }
    }

    /// Where our paths lie on the host; the Engine is asked once.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn host_paths(&self) -> Result<&HostPaths> {
        self.host_paths.get_or_try_init(|| self.engine.host_paths()).await
    }
}

/// One run of a deploy.
pub struct DeployRun<'a> {
    /// The job.
    pub job: &'a Job,
    /// Its work.
    pub deploy: &'a Deploy,
    /// Number of the run.
    pub run: RunId,
    /// What said "look now".
    pub trigger: Trigger,
    /// Asks to stop at the next step boundary.
    pub cancel: &'a CancellationToken,
    /// True when it was asked to stop because its time ran out.
    pub timed_out: &'a AtomicBool,
    /// History and applied revisions.
    pub store: &'a Store,
    /// Set where something could not be put back, so that the daemon looks after it.
    pub needs_recovery: &'a AtomicBool,
}

/// Runs one deploy. Never fails: how it ended is the answer.
pub async fn deploy(world: &World, run: &DeployRun<'_>) -> Ending {
    let prospect = match prospect(world, run.store, run.job, run.deploy, run.trigger).await {
        Ok(prospect) => prospect,
        Err(stopped) => {
            if let Some(revision) = &stopped.revision {
                keep_revision(run, revision).await;
            }
            return stopped.ending;
        }
    };
    keep_revision(run, &prospect.revision).await;
    let ending = carry_out(world, run, &prospect).await;
    record(world, run, &prospect, &ending).await;
    ending
}

async fn keep_revision(run: &DeployRun<'_>, revision: &Revision) {
    if let Err(error) = run.store.set_revision(run.run, revision).await {
        warn!("the revision could not be recorded: {error:#}");
    }
}

fn engine_ending(error: &anyhow::Error) -> Ending {
    let reason = if is_unreachable(error) { Reason::EngineUnreachable } else { Reason::Internal };
    Ending::new(Outcome::Failed, reason, format!("{error:#}"))
}

async fn carry_out(world: &World, run: &DeployRun<'_>, prospect: &Prospect) -> Ending {
    let journal = Journal::of_run(run.store.clone(), run.run, world.now);
    let started = Instant::now();
    let revision = &prospect.revision;
    for note in &prospect.plan.notes {
        warn!("{note}");
    }
    if prospect.plan.is_empty() {
        return nothing_to_do(world, &journal, prospect, &prospect.plan).await;
    }
    info!("plan for {} at {revision}: {}", prospect.project.name, prospect.plan.summary());
    let mut images = Images::new(world, run, prospect, &journal);
    if let Err(ending) = images.pull().await {
        return ending;
    }
    if images.plan.is_empty() {
        return nothing_to_do(world, &journal, prospect, &images.plan).await;
    }
    if let Err(ending) = advance(world, &journal, prospect).await {
        return ending;
    }
    if let Err(mut ending) = images.build().await {
        if let Err(error) = go_back(world, &journal, &prospect.advances).await {
            ending.message = format!("{}; {error:#}", ending.message);
        }
        return ending;
    }
    let Images { observed, plan, .. } = &images;
    if plan.is_empty() {
        return settled(prospect, plan);
    }
    let undo = || -> futures_util::future::BoxFuture<'_, Result<()>> {
        Box::pin(async {
            images.tag_back().await;
            go_back(world, &journal, &prospect.advances).await
        })
    };
    let gate = run.deploy.health;
    let context = apply::Context {
        engine: &world.engine,
        project: &prospect.project,
        hashes: &prospect.hashes,
        materials: &prospect.materials,
        observed,
        revision: &revision.to_string(),
        journal: &journal,
        wait: Waiting {
            within: gate.within,
            stable_for: gate.stable_for,
            healthy: true,
            proof: apply::Proof::Well,
        },
        start: true,
        stop_timeout: None,
        cancel: run.cancel,
        undo: Some(&undo),
        keep_new: false,
    };
    match apply::apply(&context, plan).await {
        Ok(()) => {
            let message = format!("{revision} applied in {}: {}", seconds(started), plan.summary());
            Ending::new(Outcome::Succeeded, Reason::Applied, message)
        }
        Err(failure) => failed(run, revision, &failure),
    }
}

/// Nothing to change. That is success only if what runs is well: a container that crashes again and
/// again has the right configuration, too.
async fn nothing_to_do(
    world: &World,
    journal: &Journal,
    prospect: &Prospect,
    plan: &Plan,
) -> Ending {
    if let Err(ending) = advance(world, journal, prospect).await {
        return ending;
    }
    settled(prospect, plan)
}

fn settled(prospect: &Prospect, plan: &Plan) -> Ending {
    let revision = &prospect.revision;
    let sick: Vec<&str> = prospect.sick().collect();
    if !sick.is_empty() {
        let message = format!(
            "{revision}: nothing to change, yet not well: {}; see `docker logs` of them",
            sick.join(", ")
        );
        return Ending::new(Outcome::Failed, Reason::Unhealthy, message);
    }
    let outcome = if prospect.is_new() { Outcome::Succeeded } else { Outcome::Unchanged };
    let message = format!("{revision}: {} containers, nothing to do", plan.unchanged);
    Ending::new(outcome, Reason::Converged, message)
}

fn failed(run: &DeployRun<'_>, revision: &Revision, failure: &apply::Failure) -> Ending {
    let error = &failure.error;
    let after = match failure.left {
        Left::Untouched => "nothing that ran was touched",
        Left::RolledBack | Left::Standing => "rolled back, what ran before runs again",
        Left::Incomplete => "not everything could be put back, see the log",
    };
    if failure.left == Left::Incomplete {
        run.needs_recovery.store(true, Ordering::Relaxed);
    }
    let (outcome, reason) = match failure.left {
        _ if is_unreachable(error) => (Outcome::Failed, Reason::EngineUnreachable),
        Left::Incomplete => (Outcome::Failed, Reason::RollbackIncomplete),
        _ if failure.cancelled && run.timed_out.load(Ordering::Relaxed) => {
            (Outcome::Failed, Reason::TimedOut)
        }
        _ if failure.cancelled => (Outcome::Cancelled, Reason::Shutdown),
        Left::Untouched => (Outcome::Failed, Reason::PrepareFailed),
        Left::RolledBack | Left::Standing => (Outcome::Failed, Reason::RolledBack),
    };
    Ending::new(outcome, reason, format!("{revision} failed: {error:#}; {after}"))
}

/// Writes down what follows from an ending: the applied revision, or a quarantine.
async fn record(world: &World, run: &DeployRun<'_>, prospect: &Prospect, ending: &Ending) {
    let job = &run.job.name;
    // A revision that ran well before is not to blame for a failure to bring it back; and where
    // nothing was touched, another try costs nothing.
    let recorded = match (ending.outcome, ending.reason) {
        (Outcome::Succeeded, _) => {
            let applied = Applied {
                project: prospect.project.name.clone(),
                revision: prospect.revision.clone(),
                run: run.run,
                at: (world.now)(),
            };
            match run.store.set_applied(job, &applied).await {
                Ok(()) => run.store.lift_quarantine(job).await,
                Err(error) => Err(error),
            }
        }
        (Outcome::Unchanged, _) => run.store.lift_quarantine(job).await,
        (
            Outcome::Failed,
            Reason::RolledBack
            | Reason::RollbackIncomplete
            | Reason::BuildFailed
            | Reason::TimedOut,
        ) if prospect.is_new() => {
            let quarantine = Quarantine {
                revision: prospect.revision.clone(),
                run: run.run,
                reason: ending.reason,
                message: ending.message.clone(),
                since: (world.now)(),
            };
            run.store.quarantine(job, &quarantine).await
        }
        _ => Ok(()),
    };
    if let Err(error) = recorded {
        warn!("what follows from this run could not be recorded: {error:#}");
    }
    if let Err(error) = record_images(world, run, prospect, ending.outcome).await {
        warn!("which images this revision runs could not be recorded: {error:#}");
    }
}

/// Writes down the images of a revision that runs: one day it may be the one to go back to.
async fn record_images(
    world: &World,
    run: &DeployRun<'_>,
    prospect: &Prospect,
    outcome: Outcome,
) -> Result<()> {
    let (job, revision, project) = (&run.job.name, &prospect.revision, &prospect.project);
    let listed;
    let containers = match outcome {
        Outcome::Succeeded => {
            listed = world.engine.containers_of(&project.name).await?;
            &listed
        }
        // Applied before images were written down.
        Outcome::Unchanged if !run.store.knows_images(job, revision).await? => {
            &prospect.observed.containers
        }
        _ => return Ok(()),
    };
    let image = |it: &Container| {
        let service = project.services.get(it.service()).filter(|_| !it.is_oneoff())?;
        Some((familiar(&service.image), it.image_id.clone()))
    };
    let images: BTreeSet<(String, String)> = containers.iter().filter_map(image).collect();
    if images.is_empty() {
        return Ok(());
    }
    run.store.set_images((job, run.run), revision, images, (world.now)()).await
}
