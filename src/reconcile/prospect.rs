//! What a deploy would do: sources looked at, project loaded at the newest revision, plan made.
//!
//! Touches nothing but remote-tracking refs; `plan` shows it and `deploy` carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::{info, warn};

use super::{World, engine_ending};
use crate::apply::{self, Materials};
use crate::compose::model::Project;
use crate::compose::{self, Conflicts, Files, Request};
use crate::git::{Look, View};
use crate::job::{Deploy, Job, Reader};
use crate::plan::host_paths::HostPaths;
use crate::plan::observed::{Container, Health, Observed, State};
use crate::plan::pull::builds_due;
use crate::plan::{self, Desired, Hashes, Options, Plan};
use crate::registry::ClientConfig;
use crate::run::{Ending, Outcome, Reason, Trigger};
use crate::settings::{HealthGate, Settings};
use crate::source::{CheckoutState, Commit, Revision, Source, SourceRevision, Verdict};
use crate::store::{Applied, Quarantine, Store};

/// A deploy that ended before there was a plan.
#[derive(Debug)]
pub struct Stopped {
    /// The revision it was about, if it came so far.
    pub revision: Option<Revision>,
    /// How it ended.
    pub ending: Ending,
}

/// What a deploy would do, with everything that led to it.
pub struct Prospect {
    /// The commits it is made from.
    pub revision: Revision,
    /// What was applied last.
    pub applied: Option<Applied>,
    /// Sources to be moved: source, commit before, commit after.
    pub(super) advances: Vec<(Source, Commit, Commit)>,
    /// The project as the host sees it.
    pub project: Project,
    pub(super) hashes: Hashes,
    pub(super) materials: Materials,
    pub(super) observed: Observed,
    /// Images that are there only for another platform than a service asks for.
    pub(super) elsewhere: BTreeSet<String>,
    /// What would be done.
    pub plan: Plan,
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
    let (project, hashes, materials) = load(world, deploy, &revision).await.map_err(about)?;
    let observed = world.engine.observe(&project.name).await;
    let mut observed = observed.map_err(|error| about(engine_ending(&error)))?;
    let containers = &mut observed.containers;
    let marked = world.engine.mark_stopped(&project.name, containers, (world.now)()).await;
    marked.map_err(|error| about(engine_ending(&error)))?;
    let pulls = apply::due_by_age(&world.engine, &project, &observed, (world.now)().timestamp());
    let mut pulls = pulls.await.map_err(|error| about(engine_ending(&error)))?;
    let elsewhere = apply::due_by_platform(&world.engine, &project, None, &observed).await;
    let elsewhere = elsewhere.map_err(|error| about(engine_ending(&error)))?;
    pulls.extend(elsewhere.iter().cloned());
    let is_new = is_new(applied.as_ref(), &revision);
    let due = Due {
        pulls,
        as_in_registry: apply::as_in_registry(&materials.client, &project, &observed).await,
        builds: builds_due(&project, &observed.images, &elsewhere, is_new, false),
    };
    let plan = make_plan(&project, &hashes, deploy, (&observed, due)).map_err(about)?;
    let advances = advances_of(&deploy.sources, &looks, applied.as_ref());
    Ok(Prospect {
        revision,
        applied,
        advances,
        project,
        hashes,
        materials,
        observed,
        elsewhere,
        plan,
    })
}

/// Whether a revision differs from what was applied last.
fn is_new(applied: Option<&Applied>, revision: &Revision) -> bool {
    !applied.is_some_and(|it| it.revision.same_commits(revision))
}

impl Prospect {
    /// Whether the revision differs from what was applied last.
    pub(super) fn is_new(&self) -> bool {
        is_new(self.applied.as_ref(), &self.revision)
    }

    /// Names of the project's containers that run and are not well.
    pub(super) fn sick(&self) -> impl Iterator<Item = &str> {
        let ours =
            |it: &&Container| self.project.services.contains_key(it.service()) && !it.is_oneoff();
        let is_sick =
            |it: &&Container| it.state == State::Restarting || it.health == Some(Health::Unhealthy);
        self.observed.containers.iter().filter(ours).filter(is_sick).map(|it| it.name.as_str())
    }
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
) -> Result<(Project, Hashes, Materials), Ending> {
    let at: Vec<(Source, Commit)> = deploy
        .sources
        .iter()
        .filter_map(|source| Some((source.clone(), revision.commit_of(&source.name)?.clone())))
        .collect();
    let (reader, deploy) = (Reader::clone(&world.reader), deploy.clone());
    let host = world.engine.host().to_owned();
    let loaded = tokio::task::spawn_blocking(move || {
        let view = View::open(&at).map_err(|error| {
            Ending::new(Outcome::Failed, Reason::Internal, format!("read the revision: {error:#}"))
        })?;
        let (project, settings) = load_from(&view, &reader, &deploy)?;
        let materials = gather(&view, &project, &settings.variables, &host)?;
        Ok((project, materials, settings.compose_hash))
    });
    let (project, materials, to_write) = loaded.await.unwrap_or_else(|error| {
        Err(Ending::new(Outcome::Failed, Reason::Internal, format!("load the project: {error}")))
    })?;
    for warning in &project.warnings {
        warn!("{warning}");
    }
    let host_paths = world.host_paths().await.map_err(|error| engine_ending(&error))?;
    let project = host_paths.translate(project);
    let hashes = Hashes { contents: materials.contents(), ..Hashes::of(&project, to_write) };
    Ok((project, hashes, materials))
}

/// A project as it lies on the disk, with what was read for it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The project as the host sees it.
    pub project: Project,
    /// Its hashes.
    pub hashes: Hashes,
    /// Secrets, configs, profiles.
    pub materials: Materials,
    /// Where our paths lie on the host.
    pub host_paths: HostPaths,
}

/// Loads the project of a deploy as its directory has it now; looks at no source and changes nothing.
///
/// # Errors
///
/// How a run ends that needs it, where it cannot be loaded.
pub async fn model(world: &World, deploy: &Deploy) -> Result<Model, Ending> {
    let (project, hashes, materials) = load(world, deploy, &Revision(Vec::new())).await?;
    let host_paths = world.host_paths().await.map_err(|error| engine_ending(&error))?.clone();
    Ok(Model { project, hashes, materials, host_paths })
}

/// The deploy that a project's directory alone would be.
pub fn deploy_of_directory(directory: &Path) -> Deploy {
    Deploy {
        sources: Vec::new(),
        directory: directory.to_owned(),
        files: Vec::new(),
        profiles: Vec::new(),
        env_files: Vec::new(),
        project_name: None,
        remove_orphans: false,
        health: HealthGate { within: Duration::ZERO, stable_for: Duration::ZERO },
    }
}

/// Secrets, configs and profiles as they are at the revision.
fn gather(
    view: &View,
    project: &Project,
    variables: &BTreeMap<String, String>,
    engine_host: &str,
) -> Result<Materials, Ending> {
    let blocked = |error: anyhow::Error| {
        Ending::new(Outcome::Blocked, Reason::ComposeInvalid, format!("{error:#}"))
    };
    let client = ClientConfig::load(variables).map_err(blocked)?;
    let read = |path: &str| view.read_bytes(Path::new(path));
    Materials::gather(project, (variables, client), engine_host, &read).map_err(blocked)
}

/// The project, and the settings it was loaded with.
fn load_from(
    files: &dyn Files,
    reader: &Reader,
    deploy: &Deploy,
) -> Result<(Project, Settings), Ending> {
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
        variables: configuration.settings.variables.clone(),
        conflicts: Conflicts::of(configuration.settings.compose_hash),
        ..Request::default()
    };
    let project = compose::load::load(&request, files).map_err(|problems| {
        blocked(Reason::ComposeInvalid, "the Compose project cannot be loaded", &problems)
    })?;
    Ok((project, configuration.settings))
}

/// Images that are to be had anew though they may be there.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Images to pull.
    pub(super) pulls: BTreeSet<String>,
    /// Images that need no pull: see [`Options::as_in_registry`].
    pub(super) as_in_registry: BTreeSet<String>,
    /// Services to build.
    pub(super) builds: BTreeSet<String>,
}

pub(super) fn make_plan(
    project: &Project,
    hashes: &Hashes,
    deploy: &Deploy,
    (observed, due): (&Observed, Due),
) -> Result<Plan, Ending> {
    let remove_orphans = deploy.remove_orphans;
    let Due { pulls, as_in_registry, builds } = due;
    let options =
        Options { remove_orphans, due: pulls, as_in_registry, builds, ..Options::default() };
    plan::plan(&Desired { project, hashes, options: &options }, observed)
        .map_err(|refusal| Ending::new(Outcome::Blocked, Reason::NeedsPerson, refusal.to_string()))
}
