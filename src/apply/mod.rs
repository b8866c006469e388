//! Applying a plan: prepare, switch, verify, then commit or roll back.
//!
//! No policy: what to do stands in the plan. Every step is idempotent and journaled, so that a crash
//! between any two is a normal case.

mod build;
mod deed;
mod hooks;
mod journal;
mod materials;
mod networks;
mod oneoff;
mod pull;
mod switch;
mod teardown;
mod watch;

pub use self::build::{Builder, buildable};
pub use self::deed::{Deed, Onlooker, Thing, Turn, Verb};
pub use self::hooks::{before as run_hooks_before, inside as run_hooks};
pub use self::journal::Journal;
pub use self::materials::Materials;
pub use self::oneoff::{OneOffContainer, OneOffModel};
pub use self::pull::{as_in_registry, due_by_age, due_by_platform, platform_of, pull};
use self::switch::Switch;
pub use self::teardown::{Stopping, tear_down};
pub use self::watch::{Gate, Watch};

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::compose::model::Project;
use crate::docker::{Engine, ignored, unsupported};
use crate::plan::observed::Observed;
use crate::plan::{Action, Change, Hashes, Plan, Preparation, PutAside, Removal, labels};

/// Everything the steps of one plan need.
pub struct Context<'a> {
    /// The Engine.
    pub engine: &'a Engine,
    /// The project as the host sees it.
    pub project: &'a Project,
    /// Hashes to write into labels.
    pub hashes: &'a Hashes,
    /// What was observed when the plan was made.
    pub observed: &'a Observed,
    /// What new containers are made from besides the project.
    pub materials: &'a Materials,
    /// The revision for labels; empty outside of git.
    pub revision: &'a str,
    /// Where steps are written down.
    pub journal: &'a Journal,
    /// How long to wait for new containers.
    pub wait: Waiting,
    /// False leaves new containers as they are made: not started.
    pub start: bool,
    /// Seconds a container gets to stop; `None` is its own grace.
    pub stop_timeout: Option<i32>,
    /// Asks to stop at the next step boundary and to put back what was touched.
    pub cancel: &'a CancellationToken,
    /// Puts back what the caller changed for this plan, e.g. checkouts that old containers mount;
    /// called after the new containers went and before the old ones start.
    pub undo: Option<&'a Undo<'a>>,
    /// Containers in nobody's place that were to be started stay after a failure, to be looked at.
    pub keep_new: bool,
}

impl Context<'_> {
    /// Stops a container within the time that was asked for, else within its own grace.
    async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        match self.stop_timeout {
            Some(seconds) => self.engine.stop_within(id, Some(seconds)).await,
            None => self.engine.stop(id, grace).await,
        }
    }
}

/// See [`Context::undo`].
pub type Undo<'a> = dyn Fn() -> BoxFuture<'a, Result<()>> + Send + Sync + 'a;

/// How long to wait for new containers.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Longest time to running and healthy.
    pub within: Duration,
    /// How long one without a health check must stay up.
    pub stable_for: Duration,
    /// Whether to wait for health checks.
    pub healthy: bool,
    /// What a container that was started has to show.
    pub proof: Proof,
}

/// What a container that was started has to show before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// That it is well, as [`Waiting`] says.
    Well,
    /// That it is well where it takes the place of another one, which runs again if it is not. One in
    /// nobody's place may end as it likes, and start again.
    WellInPlace,
    /// Nothing: somebody looks on.
    Started,
}

/// Why a plan was not carried out, and how the project stands now.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong first.
    pub error: anyhow::Error,
    /// How the project stands now.
    pub left: Left,
    /// True when the caller asked to stop.
    pub cancelled: bool,
}

/// How a project stands after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing that ran was touched.
    Untouched,
    /// What was touched is as it was before.
    RolledBack,
    /// Nothing ran before, and what was started stays, as [`Context::keep_new`] asks.
    Standing,
    /// Something could not be put back; the log says what.
    Incomplete,
}

/// Carries out a plan.
///
/// # Errors
///
/// A [`Failure`] that says how the project stands; what ran before runs again unless it says otherwise.
pub async fn apply(context: &Context<'_>, plan: &Plan) -> Result<(), Failure> {
    let watch = Watch::new(context.engine);
    let label = format!("{}={}", labels::PROJECT, context.project.name);
    let since = context.journal.now();
    tokio::select! {
        result = carry_out(context, plan, &watch) => result,
        () = watch.listen(&label, since) => unreachable!("listens until dropped"),
    }
}

async fn carry_out(context: &Context<'_>, plan: &Plan, watch: &Watch) -> Result<(), Failure> {
    let switch = Switch::new(context, plan, watch);
    let possible = ask_engine(context, plan).await;
    let prepared = match possible {
        Ok(()) => prepare_resources(context, plan).await,
        Err(error) => Err(error),
    };
    let prepared = match prepared {
        Ok(()) => switch.create_all().await,
        Err(error) => Err(error),
    };
    if let Err(error) = prepared {
        let cancelled = error.is::<StoppedOnRequest>();
        switch.discard_created().await;
        let undone = switch.undo().await;
        // What an interrupted run had stopped must not stay down.
        let restarted = switch.restart_old(&switch.stages()).await;
        let left = if undone && restarted { Left::Untouched } else { Left::Incomplete };
        remove_created_networks(context, plan).await;
        return Err(Failure { error, left, cancelled });
    }
    let switched = match switch.make_networks_anew(plan).await {
        Ok(()) => switch.run_all().await,
        Err(error) => Err(error),
    };
    if let Err(error) = switched {
        let cancelled = error.is::<StoppedOnRequest>();
        let left = switch.roll_back().await;
        // What stays to be looked at, and started again, needs them.
        if left != Left::Standing {
            remove_created_networks(context, plan).await;
        }
        return Err(Failure { error, left, cancelled });
    }
    switch.let_old_go().await;
    remove_all(context, plan).await;
    switch.give_names().await;
    Ok(())
}

/// Work was given up because somebody asked for it, not because it failed.
#[derive(Debug, thiserror::Error)]
#[error("stopped at a step boundary")]
struct StoppedOnRequest;

fn stopped() -> anyhow::Error {
    anyhow::Error::new(StoppedOnRequest)
}

/// Refuses what this Engine cannot do, and tells what it leaves out, before anything is touched.
async fn ask_engine(context: &Context<'_>, plan: &Plan) -> Result<()> {
    let makes = |it: &&Change| matches!(it.action, Action::Create | Action::Replace { .. });
    let made: BTreeSet<&String> =
        plan.changes.iter().filter(makes).map(|change| &change.service).collect();
    if made.is_empty() {
        return Ok(());
    }
    let api = context.engine.api_version().await?;
    let services = made.into_iter().filter_map(|name| context.project.services.get(name));
    let mut refused = Vec::new();
    for service in services {
        refused.extend(unsupported(context.project, service, api));
        for what in ignored(service, api) {
            warn!("{what}");
        }
    }
    anyhow::ensure!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}

/// Networks, volumes and leftovers. Images were pulled before the plan was made.
async fn prepare_resources(context: &Context<'_>, plan: &Plan) -> Result<()> {
    for step in &plan.prepare {
        if context.cancel.is_cancelled() {
            return Err(stopped());
        }
        let started = Instant::now();
        match deed_of(step) {
            Some(deed) => {
                let work = prepare(context, step);
                context.journal.watched(deed, context.journal.step(step, work)).await?;
            }
            None => context.journal.step(step, prepare(context, step)).await?,
        }
        info!("{step}: done in {}", seconds(started));
    }
    Ok(())
}

/// What a preparation does, where somebody may look on.
fn deed_of(step: &Preparation) -> Option<Deed<'_>> {
    let (thing, name) = match step {
        Preparation::CreateNetwork { name, .. } => (Thing::Network, name),
        Preparation::CreateVolume { name, .. } => (Thing::Volume, name),
        Preparation::PullImage { .. }
        | Preparation::BuildImage { .. }
        | Preparation::RemoveLeftover { .. } => return None,
    };
    Some(Deed { verb: Verb::Create, thing, name })
}

/// Removes the networks that a failed plan had created; volumes may hold data by now and stay.
async fn remove_created_networks(context: &Context<'_>, plan: &Plan) {
    for step in &plan.prepare {
        let Preparation::CreateNetwork { name, .. } = step else { continue };
        if let Err(error) = context.engine.remove_network(name).await {
            tracing::debug!("{error:#}; the next plan uses it");
        }
    }
}

async fn prepare(context: &Context<'_>, step: &Preparation) -> Result<()> {
    let (engine, project) = (context.engine, context.project);
    match step {
        Preparation::CreateNetwork { key, .. } => create_network(context, key).await,
        Preparation::CreateVolume { key, .. } => {
            let hash = to_write(context.hashes.volumes.get(key));
            let labels = labels::of_volume(project, key, &hash);
            engine.create_volume(&project.volumes[key], &labels).await
        }
        Preparation::PullImage { image } => {
            let platform = platform_of(project, image);
            pull(engine, &context.materials.client, image, platform).await
        }
        Preparation::BuildImage { service, .. } => {
            let builder =
                Builder::new(engine, &context.materials.client, &context.materials.builds).await;
            builder.build_told(&project.services[service]).await
        }
        Preparation::RemoveLeftover { id, put_aside, .. } => {
            if let Some(PutAside { id, policy }) = put_aside
                && let Err(error) = engine.set_restart_policy(id, policy).await
            {
                warn!("{error:#}: it was `{policy}`");
            }
            engine.remove(id).await
        }
    }
}

async fn create_network(context: &Context<'_>, key: &str) -> Result<()> {
    let hash = to_write(context.hashes.networks.get(key));
    let labels = labels::of_network(context.project, key, &hash);
    context.engine.create_network(&context.project.networks[key], &labels).await
}

/// The hash that goes into a label.
fn to_write(hashes: Option<&Vec<String>>) -> String {
    hashes.and_then(|it| it.first()).cloned().unwrap_or_default()
}

/// Orphans and replicas too many: last, when everything else is well.
async fn remove_all(context: &Context<'_>, plan: &Plan) {
    join_all(plan.removals.iter().map(|removal| remove_one(context, removal))).await;
}

async fn remove_one(context: &Context<'_>, removal: &Removal) {
    let started = Instant::now();
    let deed = |verb| Deed::container(verb, &removal.name);
    let work = async {
        let stopping = context.stop(&removal.id, None);
        context.journal.watched(deed(Verb::Stop), stopping).await?;
        let removing = context.engine.remove(&removal.id);
        context.journal.watched(deed(Verb::Remove), removing).await
    };
    match context.journal.step(removal, work).await {
        Ok(()) => info!("{removal}: done in {}", seconds(started)),
        Err(error) => warn!("{removal}: {error:#}; the next look tries again"),
    }
}

/// Seconds since a moment, as the log tells them.
pub fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
