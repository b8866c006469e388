//! One deploy from beginning to end: look at the sources, plan, apply, and say how it ended.
//!
//! Everything that can fail safely comes before anything that touches what runs.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{self, Journal, Left, Waiting, seconds};
use crate::compose::model::Project;
use crate::compose::{self, Files, Request};
use crate::docker::{Engine, is_unreachable};
use crate::git::{Git, Look, View};
use crate::job::{Deploy, Job, Reader};
use crate::plan::host_paths::HostPaths;
use crate::plan::observed::Observed;
use crate::plan::{self, Desired, Hashes, Options, Plan, Preparation, labels};
use crate::run::{Ending, Outcome, Reason, RunId, Trigger};
use crate::source::{CheckoutState, Commit, Revision, Source, SourceRevision, Verdict};
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
    /// Where our paths lie on the host, once the Engine told.
    host_paths: std::sync::Arc<tokio::sync::OnceCell<HostPaths>>,
}

impl World {
    /// A world of these systems.
    pub fn new(engine: Engine, git: Git, reader: Reader, now: fn() -> DateTime<Utc>) -> Self {
        Self { engine, git, reader, now, host_paths: std::sync::Arc::default() }
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
    /// History and applied revisions.
    pub store: &'a Store,
    /// Set where something could not be put back, so that the daemon looks after it.
    pub needs_recovery: &'a AtomicBool,
}

/// What a deploy would do, with everything that led to it.
pub struct Prospect {
    /// The commits it is made from.
    pub revision: Revision,
    /// What was applied last.
    pub applied: Option<Applied>,
    /// Sources to be moved: source, commit before, commit after.
    advances: Vec<(Source, Commit, Commit)>,
    /// The project as the host sees it.
    pub project: Project,
    hashes: Hashes,
    observed: Observed,
    /// What would be done.
    pub plan: Plan,
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

/// A deploy that ended before there was a plan.
#[derive(Debug)]
pub struct Stopped {
    /// The revision it was about, if it came so far.
    pub revision: Option<Revision>,
    /// How it ended.
    pub ending: Ending,
}

/// Looks at the sources, loads the project as it is at the newest revision, and plans. Touches nothing
/// but remote-tracking refs.
///
/// # Errors
///
/// How it ended, where there is nothing to plan from.
pub async fn prospect(
    world: &World,
    store: &Store,
    job: &Job,
    deploy: &Deploy,
    trigger: Trigger,
) -> Result<Prospect, Stopped> {
    let unknown = |ending| Stopped { revision: None, ending };
    let looks = look(world, &deploy.sources).await.map_err(unknown)?;
    let revision = revision_of(&deploy.sources, &looks);
    let about = |ending| Stopped { revision: Some(revision.clone()), ending };
    let internal = |error: anyhow::Error| {
        about(Ending::new(Outcome::Failed, Reason::Internal, format!("{error:#}")))
    };
    let applied = store.applied(&job.name).await.map_err(internal)?;
    if trigger != Trigger::Manual {
        let quarantine = store.quarantined(&job.name).await.map_err(internal)?;
        if let Some(quarantine) = quarantine.filter(|it| it.revision.same_commits(&revision)) {
            return Err(about(still_quarantined(&job.name, &quarantine)));
        }
    }
    tell_distance(world, deploy, &revision, applied.as_ref()).await;
    let (project, hashes) = load(world, deploy, &revision).await.map_err(about)?;
    let observed = world.engine.observe(&project.name).await;
    let observed = observed.map_err(|error| about(engine_ending(&error)))?;
    let plan = make_plan(&project, &hashes, deploy, &observed).map_err(about)?;
    let advances = advances_of(&deploy.sources, &looks, applied.as_ref());
    Ok(Prospect { revision, applied, advances, project, hashes, observed, plan })
}

async fn look(world: &World, sources: &[Source]) -> Result<Vec<Look>, Ending> {
    let looks = join_all(sources.iter().map(|source| world.git.look(source))).await;
    let mut stuck = Vec::new();
    for (source, look) in sources.iter().zip(&looks) {
        let took = format!("{:.1} s", look.took.as_secs_f64());
        match look.state.verdict() {
            Verdict::Stuck(reason) => {
                warn!("source {}: {} ({took})", source.name, look.message);
                stuck.push((reason, look.message.clone()));
            }
            Verdict::Current | Verdict::Advance => {
                info!("source {}: {} ({took})", source.name, look.message);
            }
        }
    }
    let Some((reason, _)) = stuck.first() else { return Ok(looks) };
    // A remote that is down comes back by itself; everything else waits for a person.
    let outcome =
        if *reason == Reason::RemoteUnreachable { Outcome::Failed } else { Outcome::Blocked };
    let messages: Vec<_> = stuck.iter().map(|(_, message)| message.as_str()).collect();
    Err(Ending::new(outcome, *reason, messages.join("; ")))
}

fn revision_of(sources: &[Source], looks: &[Look]) -> Revision {
    let entries = sources.iter().zip(looks).filter_map(|(source, look)| {
        let commit = match look.state.verdict() {
            Verdict::Advance => look.target.clone(),
            Verdict::Current | Verdict::Stuck(_) => look.head.clone(),
        };
        let reference = look.reference.clone();
        Some(SourceRevision { source: source.name.clone(), reference, commit: commit? })
    });
    Revision(entries.collect())
}

/// What moves, and so what goes back if the deploy fails. A checkout that was moved by a run that died,
/// or pulled by hand, is ahead of what was applied: it moves nowhere, but goes back all the same.
fn advances_of(
    sources: &[Source],
    looks: &[Look],
    applied: Option<&Applied>,
) -> Vec<(Source, Commit, Commit)> {
    let advance = |(source, look): (&Source, &Look)| {
        let head = look.head.clone()?;
        if look.state.verdict() == Verdict::Advance {
            return Some((source.clone(), head, look.target.clone()?));
        }
        let applied = applied.and_then(|applied| applied.revision.commit_of(&source.name));
        let applied =
            applied.filter(|commit| look.state == CheckoutState::Level && **commit != head);
        Some((source.clone(), applied?.clone(), head))
    };
    sources.iter().zip(looks).filter_map(advance).collect()
}

/// How far what runs is behind, measured from what was applied and not from the checkout.
async fn tell_distance(
    world: &World,
    deploy: &Deploy,
    revision: &Revision,
    applied: Option<&Applied>,
) {
    let Some(applied) = applied else {
        info!("nothing was applied before; {revision} is the first");
        return;
    };
    for source in &deploy.sources {
        let (from, to) =
            (applied.revision.commit_of(&source.name), revision.commit_of(&source.name));
        let Some(to) = to.filter(|to| from != Some(to)) else { continue };
        match world.git.changes(source, from, to).await {
            Ok(changes) => info!(
                "behind by {} in {}: {}..{to} \"{}\" by {}, {} files",
                commits(changes.commits),
                source.name,
                from.map_or("(nothing)", Commit::short),
                changes.subject,
                changes.author,
                changes.files.len()
            ),
            Err(error) => info!("behind in {}: now at {to} ({error:#})", source.name),
        }
    }
}

fn commits(count: Option<usize>) -> String {
    match count {
        Some(1) => "1 commit".to_owned(),
        Some(count) => format!("{count} commits"),
        None => "some commits".to_owned(),
    }
}

fn still_quarantined(job: &str, quarantine: &Quarantine) -> Ending {
    let message = format!(
        "{} is not tried again after run {} ({}): push a newer commit, or have it tried once more \
         with `roadstead deploy {job}`",
        quarantine.revision, quarantine.run, quarantine.reason
    );
    Ending::new(Outcome::Blocked, Reason::Quarantined, message)
}

/// The project at a revision, as the host sees it; git and disk are read on a blocking thread.
async fn load(
    world: &World,
    deploy: &Deploy,
    revision: &Revision,
) -> Result<(Project, Hashes), Ending> {
    let at: Vec<(Source, Commit)> = deploy
        .sources
        .iter()
        .filter_map(|source| Some((source.clone(), revision.commit_of(&source.name)?.clone())))
        .collect();
    let (reader, deploy) = (world.reader.clone(), deploy.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        let view = View::open(&at).map_err(|error| {
            Ending::new(Outcome::Failed, Reason::Internal, format!("read the revision: {error:#}"))
        })?;
        load_from(&view, &reader, &deploy)
    });
    let project = loaded.await.unwrap_or_else(|error| {
        Err(Ending::new(Outcome::Failed, Reason::Internal, format!("load the project: {error}")))
    })?;
    for warning in &project.warnings {
        warn!("{warning}");
    }
    let host_paths = world.host_paths().await.map_err(|error| engine_ending(&error))?;
    let project = host_paths.translate(project);
    let hashes = Hashes::of(&project);
    Ok((project, hashes))
}

fn load_from(files: &dyn Files, reader: &Reader, deploy: &Deploy) -> Result<Project, Ending> {
    let blocked = |reason, what: &str, problems: &dyn std::fmt::Display| {
        Ending::new(Outcome::Blocked, reason, format!("{what}:\n{problems}"))
    };
    let configuration = reader(files).map_err(|problems| {
        blocked(Reason::ConfigurationInvalid, "env.local of the new revision is broken", &problems)
    })?;
    let request = Request {
        directory: deploy.directory.clone(),
        files: deploy.files.clone(),
        env_files: deploy.env_files.clone(),
        profiles: deploy.profiles.clone(),
        project_name: deploy.project_name.clone(),
        variables: configuration.settings.variables,
    };
    compose::load::load(&request, files).map_err(|problems| {
        blocked(Reason::ComposeInvalid, "the Compose project cannot be loaded", &problems)
    })
}

fn make_plan(
    project: &Project,
    hashes: &Hashes,
    deploy: &Deploy,
    observed: &Observed,
) -> Result<Plan, Ending> {
    let options = Options { remove_orphans: deploy.remove_orphans, ..Options::default() };
    plan::plan(&Desired { project, hashes, options: &options }, observed)
        .map_err(|refusal| Ending::new(Outcome::Blocked, Reason::NeedsPerson, refusal.to_string()))
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
        if let Err(ending) = advance(world, &journal, prospect).await {
            return ending;
        }
        let applied = prospect.applied.as_ref();
        let is_new = !applied.is_some_and(|it| it.revision.same_commits(revision));
        let outcome = if is_new { Outcome::Succeeded } else { Outcome::Unchanged };
        let message = format!("{revision}: {} containers, nothing to do", prospect.plan.unchanged);
        return Ending::new(outcome, Reason::Converged, message);
    }
    info!("plan for {} at {revision}: {}", prospect.project.name, prospect.plan.summary());
    let (observed, plan) = match pull(world, run, prospect, &journal).await {
        Ok(pulled) => pulled,
        Err(ending) => return ending,
    };
    if let Err(ending) = advance(world, &journal, prospect).await {
        return ending;
    }
    let undo = || -> futures_util::future::BoxFuture<'_, Result<()>> {
        Box::pin(go_back(world, &journal, &prospect.advances))
    };
    let gate = run.deploy.health;
    let context = apply::Context {
        engine: &world.engine,
        project: &prospect.project,
        hashes: &prospect.hashes,
        observed: &observed,
        revision: &revision.to_string(),
        journal: &journal,
        wait: Waiting { within: gate.within, stable_for: gate.stable_for, healthy: true },
        cancel: run.cancel,
        undo: Some(&undo),
    };
    match apply::apply(&context, &plan).await {
        Ok(()) => {
            let message = format!("{revision} applied in {}: {}", seconds(started), plan.summary());
            Ending::new(Outcome::Succeeded, Reason::Applied, message)
        }
        Err(failure) => failed(run, revision, &failure),
    }
}

fn failed(run: &DeployRun<'_>, revision: &Revision, failure: &apply::Failure) -> Ending {
    let error = &failure.error;
    let after = match failure.left {
        Left::Untouched => "nothing that ran was touched",
        Left::RolledBack => "rolled back, what ran before runs again",
        Left::Incomplete => "not everything could be put back, see the log",
    };
    if failure.left == Left::Incomplete {
        run.needs_recovery.store(true, Ordering::Relaxed);
    }
    let (outcome, reason) = match failure.left {
        _ if failure.cancelled => (Outcome::Cancelled, Reason::Shutdown),
        _ if is_unreachable(error) => (Outcome::Failed, Reason::EngineUnreachable),
        Left::Untouched => (Outcome::Failed, Reason::PrepareFailed),
        Left::RolledBack => (Outcome::Failed, Reason::RolledBack),
        Left::Incomplete => (Outcome::Failed, Reason::RollbackIncomplete),
    };
    Ending::new(outcome, reason, format!("{revision} failed: {error:#}; {after}"))
}

/// Pulls what is missing and plans again: what was pulled may be another image than the one that runs.
async fn pull(
    world: &World,
    run: &DeployRun<'_>,
    prospect: &Prospect,
    journal: &Journal,
) -> Result<(Observed, Plan), Ending> {
    let pulls: Vec<&Preparation> = prospect.plan.pulls().collect();
    if pulls.is_empty() {
        return Ok((prospect.observed.clone(), prospect.plan.clone()));
    }
    let pulled = join_all(pulls.into_iter().map(|step| pull_one(world, journal, step)));
    // A pull can take an hour; nothing is touched yet, so it may be dropped at once.
    let pulled = tokio::select! {
        pulled = pulled => pulled.into_iter().collect::<Result<()>>(),
        () = run.cancel.cancelled() => {
            let message = "stopped while pulling images; nothing was touched";
            return Err(Ending::new(Outcome::Cancelled, Reason::Shutdown, message));
        }
    };
    pulled.map_err(|error| {
        let reason = if is_unreachable(&error) {
            Reason::EngineUnreachable
        } else {
            Reason::ImageUnavailable
        };
        let message = format!("{error:#}; nothing that ran was touched");
        Ending::new(Outcome::Failed, reason, message)
    })?;
    let mut observed = prospect.observed.clone();
    observed.images = world.engine.images().await.map_err(|error| engine_ending(&error))?;
    let plan = make_plan(&prospect.project, &prospect.hashes, run.deploy, &observed)?;
    Ok((observed, plan.without_pulls()))
}

async fn pull_one(world: &World, journal: &Journal, step: &Preparation) -> Result<()> {
    let Preparation::PullImage { image } = step else { return Ok(()) };
    let started = Instant::now();
    journal.step(step, world.engine.pull(image)).await?;
    info!("{step}: done in {}", seconds(started));
    Ok(())
}

/// Moves the checkouts to the new revision; if one cannot be moved, the others go back.
async fn advance(world: &World, journal: &Journal, prospect: &Prospect) -> Result<(), Ending> {
    for (index, (source, _, to)) in prospect.advances.iter().enumerate() {
        let name = format!("fast-forward {} to {to}", source.name);
        let moved = journal.step(&name, world.git.fast_forward(source, to)).await;
        if let Err(error) = moved {
            let mut message = format!("{error:#}; nothing that ran was touched");
            let back = go_back(world, journal, &prospect.advances[..index]).await;
            if let Err(error) = back {
                message = format!("{message}; {error:#}");
            }
            return Err(Ending::new(Outcome::Blocked, Reason::FastForwardFailed, message));
        }
        info!("{name}: done");
    }
    Ok(())
}

/// Moves checkouts back to where they were: old containers may mount them.
async fn go_back(
    world: &World,
    journal: &Journal,
    advances: &[(Source, Commit, Commit)],
) -> Result<()> {
    let mut result = Ok(());
    for (source, before, after) in advances {
        let name = format!("move {} back to {before}", source.name);
        let moved = journal.step(&name, world.git.restore(source, after, before)).await;
        match moved {
            Ok(()) => info!("{name}: done"),
            Err(error) => result = Err(error).context(name),
        }
    }
    result
}

/// Writes down what follows from an ending: the applied revision, or a quarantine.
async fn record(world: &World, run: &DeployRun<'_>, prospect: &Prospect, ending: &Ending) {
    let job = &run.job.name;
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
        (
            Outcome::Failed,
            Reason::PrepareFailed | Reason::RolledBack | Reason::RollbackIncomplete,
        ) => {
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
}

/// Puts projects back on their feet that a crash left in mid-switch. Needs neither git nor registry.
///
/// # Errors
///
/// When the Engine does not answer, or a container cannot be brought back.
pub async fn recover(engine: &Engine) -> Result<usize> {
    let replaced = engine.containers_with(labels::REPLACES).await?;
    let mut projects: Vec<&str> = replaced.iter().map(|it| it.label(labels::PROJECT)).collect();
    projects.sort_unstable();
    projects.dedup();
    let mut rescued = 0;
    for project in projects {
        let containers = engine.containers_of(project).await?;
        let observed = Observed { containers, ..Observed::default() };
        for rescue in plan::recovery(&observed) {
            let (id, name) = &rescue.remove;
            engine.remove(id).await?;
            if let Some((id, old)) = &rescue.start {
                engine.start(id).await?;
                warn!("container {old} was stopped by an interrupted run; started it again");
            }
            info!("removed {name}, left by an interrupted run");
            rescued += 1;
        }
    }
    Ok(rescued)
}
