//! `sync`: directories that follow a git repository or an archive.
//!
//! Source after source: get it, look at it and at its destinations, plan; write what is new aside; put it in
//! its place; tell the hooks. Whatever can fail comes before the first change of a destination, and hooks
//! that a crash kept from being told are told by the next run.

mod archive;
mod destination;
mod hooks;
mod source;
mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::source::Got;
use self::stage::{Content, Staged, Task};
use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::git::Reading;
use crate::job::work::{DataSync, SyncFrom, SyncMap, SyncSource};
use crate::plan::housekeeping::bytes_text;
use crate::plan::sync::tree::{Tree, select};
use crate::plan::sync::{Known, MapPlan, plan};
use crate::reconcile::World;
use crate::run::{Ending, Outcome, Reason};
use crate::store::Store;

/// What would be done with the destinations of one source.
pub struct SyncProspect {
    /// Name of the source.
    pub source: String,
    /// What it is at, for people.
    pub revision: String,
    /// One plan a destination.
    pub plans: Vec<MapPlan>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// One source and its destinations, looked at and planned.
struct Prepared {
    got: Got,
    known: Known,
    maps: Vec<Arc<Task>>,
}

/// Gets the sources of a job and plans; touches no destination. The ending says why that cannot be.
///
/// # Errors
///
/// When the store fails.
pub async fn sync_prospect(
    world: &World,
    store: &Store,
    (job, work): (&str, &DataSync),
    cancel: &CancellationToken,
) -> Result<Result<Vec<SyncProspect>, Ending>> {
    let mut prospects = Vec::new();
    for source in &work.sources {
        let known = store.synced(job, &source.name).await?;
        let prepared = match prepare(world, (work, source), known, false, cancel).await {
            Ok(prepared) => prepared,
            Err(ending) => return Ok(Err(ending)),
        };
        prospects.push(SyncProspect {
            source: source.name.clone(),
            revision: prepared.got.shown,
            plans: prepared.maps.iter().map(|it| it.plan.clone()).collect(),
            notes: prepared.got.notes,
        });
    }
    Ok(Ok(prospects))
}

/// What a run of this kind counts.
#[derive(Debug, Default)]
struct Counts {
    copied: usize,
    bytes: u64,
    removed: usize,
    changed: usize,
    unchanged: usize,
    kept: usize,
    hooks: usize,
    has_changed: bool,
    sources: Vec<Value>,
    shown: Vec<String>,
}

pub(super) async fn sync(context: Context<'_>, work: &DataSync) -> Answer {
    let mut counts = Counts::default();
    let mut stopped_by = None;
    for source in &work.sources {
        if context.cancel.is_cancelled() {
            stopped_by = Some(stopped(format!("stopped before `{}` was looked at", source.name)));
            break;
        }
        // What comes after a source that failed may need what it would have brought.
        if let Err(ending) = one(context, work, source, &mut counts).await? {
            let message = match work.sources.len() {
                1 => ending.message,
                _ => format!("{}: {}", source.name, ending.message),
            };
            stopped_by = Some(Ending { message, ..ending });
            break;
        }
    }
    let Counts { copied, bytes, removed, changed, unchanged, kept, hooks, .. } = counts;
    let mut results = json!({
        "copied": copied, "bytes": bytes, "removed": removed, "changed": changed,
        "unchanged": unchanged, "kept": kept, "hooks": hooks, "sources": counts.sources,
    });
    context
        .made_of(|details| {
            // Beside what hooks were made of.
            if let Some(members) = details.results.as_mut().and_then(|it| it.get_mut("members")) {
                results["members"] = members.take();
            }
            details.results = Some(results);
        })
        .await;
    if let Some(ending) = stopped_by {
        return Ok(ending);
    }
    let at = counts.shown.join(", ");
    if work.dry_run {
        let message = format!("dry run at {at}: {}; nothing was done", told(&counts));
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    if !counts.has_changed {
        let message = format!("{at}: nothing to do ({unchanged} files as they are to be)");
        return Ok(Ending::new(Outcome::Unchanged, Reason::Converged, message));
    }
    let message = format!("{at}: {}", told(&counts));
    Ok(Ending::new(Outcome::Succeeded, Reason::Done, message))
}

fn told(counts: &Counts) -> String {
    let mut told = format!("{} written ({})", counts.copied, bytes_text(counts.bytes));
    for (count, what) in [
        (counts.removed, "removed"),
        (counts.changed, "with other rights"),
        (counts.unchanged, "as they were"),
        (counts.hooks, "hooks run"),
    ] {
        if count > 0 {
            told = format!("{told}, {count} {what}");
        }
    }
    told
}

/// One source with its destinations and hooks; the inner error is the ending of the run.
async fn one(
    context: Context<'_>,
    work: &DataSync,
    source: &SyncSource,
    counts: &mut Counts,
) -> Result<Result<(), Ending>> {
    let (store, job) = (context.execution.store, context.job.name.as_str());
    let known = store.synced(job, &source.name).await?;
    let step = format!("get {} and look at its destinations", source.name);
    let preparing = prepare(context.world, (work, source), known, !work.dry_run, context.cancel);
    let prepared = match step_of(context, step, preparing).await {
        Ok(prepared) => prepared,
        Err(ending) => return Ok(Err(ending)),
    };
    let Prepared { got, known, maps } = prepared;
    for note in &got.notes {
        warn!("{note}");
    }
    info!("{} is at {}", source.name, got.shown);
    for map in &maps {
        info!("{}", map.plan.summary());
    }
    let lines = |context: Context<'_>| {
        for line in maps.iter().flat_map(|map| map.plan.lines()) {
            context.sink.line(OUT, &line);
        }
    };
    counts.shown.push(got.shown.clone());
    counts.sources.push(json!({
        "source": source.name, "revision": got.revision, "previous": known.revision,
    }));
    count(counts, &maps);
    if work.dry_run {
        lines(context);
        return Ok(Ok(()));
    }
    let mut untold = known.untold.clone().unwrap_or_default();
    let has_changed = maps.iter().any(|map| !map.plan.is_empty());
    let previous = known.revision.clone();
    let (revision, git) = (got.revision.clone(), got.commits(known.revision.as_deref()));
    if has_changed {
        untold.add(maps.iter().flat_map(|map| map.plan.changed_files().collect::<Vec<_>>()));
        // Written down before the first change: who dies in between tells it next time.
        let before = Known { revision: previous.clone(), untold: Some(untold.clone()) };
        if let Err(ending) = change(context, source, got, &maps, &before).await? {
            return Ok(Err(ending));
        }
        lines(context);
        counts.has_changed = true;
    }
    let is_due = source.always
        || has_changed
        || known.untold.is_some()
        || maps.is_empty() && previous.as_ref() != Some(&revision);
    if is_due && !source.hooks.is_empty() {
        let about = hooks::About {
            previous: previous.as_deref().unwrap_or_default(),
            revision: &revision,
            changed: &untold,
            git: git.as_ref(),
        };
        if let Err(ending) = hooks::run(context, source, &about).await? {
            let kept = Known { revision: previous, untold: Some(untold) };
            store.set_synced(job, &source.name, &kept).await?;
            return Ok(Err(ending));
        }
        counts.hooks += source.hooks.len();
        counts.has_changed = true;
    }
    let now = Known { revision: Some(revision), untold: None };
    if now != known {
        store.set_synced(job, &source.name, &now).await?;
    }
    Ok(Ok(()))
}

fn count(counts: &mut Counts, maps: &[Arc<Task>]) {
    for plan in maps.iter().map(|it| &it.plan) {
        counts.copied += plan.copy.len();
        counts.bytes += plan.bytes();
        counts.removed += plan.removed_files();
        counts.changed += plan.change.len();
        counts.unchanged += plan.unchanged;
        counts.kept += plan.kept;
    }
}

/// A step of the run whose error is an ending.
async fn step_of<T>(
    context: Context<'_>,
    name: String,
    work: impl Future<Output = Result<T, Ending>>,
) -> Result<T, Ending> {
    let mut ended = None;
    let taken = context.journal.step(name, async {
        match work.await {
            Ok(value) => Ok(value),
            Err(ending) => {
                let message = ending.message.clone();
                ended = Some(ending);
                anyhow::bail!(message)
            }
        }
    });
    let taken = taken.await;
    taken.map_err(|error| ended.unwrap_or_else(|| failed(Reason::Internal, format!("{error:#}"))))
}

/// Writes what is new aside, and puts it in its place.
async fn change(
    context: Context<'_>,
    source: &SyncSource,
    got: Got,
    maps: &[Arc<Task>],
    before: &Known,
) -> Result<Result<(), Ending>> {
    let (store, job) = (context.execution.store, context.job.name.as_str());
    let (run, cancel) = (context.execution.run, context.cancel.clone());
    let tasks: Vec<Arc<Task>> =
        maps.iter().filter(|map| !map.plan.is_empty()).map(Arc::clone).collect();
    let (from, directory) = (source.from.clone(), source.directory.clone());
    let writing = move || {
        let data = match (from, got.file) {
            (SyncFrom::Archive(options), Some(file)) => Content::Archive(file, options),
            _ => Content::Git(Reading::open(&directory)?),
        };
        stage::stage(&tasks, &data, run, &cancel)
    };
    let staging = async {
        let staged = tokio::task::spawn_blocking(writing).await.map_err(anyhow::Error::from);
        staged.and_then(|it| it).map_err(|error| not_done(&error, context.cancel))
    };
    let staged = match step_of(context, "write what is new aside".to_owned(), staging).await {
        Ok(staged) => staged,
        Err(ending) => return Ok(Err(ending)),
    };
    let is_stopped = context.cancel.is_cancelled();
    let noted = if is_stopped { Ok(()) } else { store.set_synced(job, &source.name, before).await };
    if is_stopped || noted.is_err() {
        let abandon = move || staged.iter().for_each(Staged::abandon);
        tokio::task::spawn_blocking(abandon).await?;
        noted?;
        return Ok(Err(stopped("stopped before anything was changed")));
    }
    let mut left = staged.into_iter();
    while let Some(staged) = left.next() {
        let to = staged.to().display().to_string();
        let switching = async {
            let troubles = tokio::task::spawn_blocking(move || staged.switch()).await;
            let ended =
                |error| failed(Reason::Internal, format!("the change ended unexpectedly: {error}"));
            let troubles = troubles.map_err(ended)?;
            for trouble in &troubles.named {
                warn!("{trouble}");
            }
            let Some(first) = troubles.named.first() else { return Ok(()) };
            let count = troubles.count;
            let message = format!(
                "{count} of the changes of `{to}` failed, the next run tries again: {first}"
            );
            Err(failed(Reason::Incomplete, message))
        };
        let name = format!("bring {to} to its new state");
        if let Err(ending) = step_of(context, name, switching).await {
            let abandon = move || left.for_each(|it| it.abandon());
            tokio::task::spawn_blocking(abandon).await?;
            return Ok(Err(ending));
        }
    }
    Ok(Ok(()))
}

/// The ending of what failed before anything was changed.
fn not_done(error: &anyhow::Error, cancel: &CancellationToken) -> Ending {
    let message = format!("{error:#}; nothing was changed");
    if cancel.is_cancelled() { stopped(message) } else { failed(Reason::PrepareFailed, message) }
}

/// Gets a source, looks at its destinations and plans; `clear` removes what runs left that were cut off.
async fn prepare(
    world: &World,
    (work, source): (&DataSync, &SyncSource),
    known: Known,
    clear: bool,
    cancel: &CancellationToken,
) -> Result<Prepared, Ending> {
    let mut got = source::get(world, source, cancel).await?;
    let tree = Arc::new(std::mem::take(&mut got.tree));
    // Destinations of other maps that lie in one are not its own.
    let all: Vec<PathBuf> =
        work.sources.iter().flat_map(|it| &it.maps).map(|it| it.to.clone()).collect();
    let mut maps = Vec::new();
    for map in source.maps.clone() {
        let (tree, cancel, protected) = (Arc::clone(&tree), cancel.clone(), work.protected.clone());
        let inner = |to: &PathBuf| Some(to.strip_prefix(&map.to).ok()?.to_owned());
        let others: BTreeSet<PathBuf> =
            all.iter().filter(|to| **to != map.to).filter_map(inner).collect();
        let look = move || prepare_map(map, &tree, (&protected, &others), clear, &cancel);
        let prepared = tokio::task::spawn_blocking(look).await;
        let ended =
            |error| failed(Reason::Internal, format!("the look ended unexpectedly: {error}"));
        maps.push(Arc::new(prepared.map_err(ended)??));
    }
    Ok(Prepared { got, known, maps })
}

fn prepare_map(
    map: SyncMap,
    tree: &Tree,
    (protected, others): (&[PathBuf], &BTreeSet<PathBuf>),
    clear: bool,
    cancel: &CancellationToken,
) -> Result<Task, Ending> {
    let desired = select(tree, &map)
        .map_err(|wrong| source::refusal(&wrong.message().unwrap_or_default()))?;
    let not_looked_at = |error: anyhow::Error| not_done(&error, cancel);
    let destination = destination::find(&map, protected).map_err(not_looked_at)?;
    if clear {
        destination::clear_left_over(&destination).map_err(not_looked_at)?;
    }
    let observed = destination::observe(&destination, (&map, &desired), others, cancel)
        .map_err(not_looked_at)?;
    let plan = plan(&map, &desired, &observed).map_err(|refusals| {
        let message = format!("{}; nothing was changed", refusals.join("; "));
        failed(Reason::NeedsPerson, message)
    })?;
    Ok(Task { map, desired, observed, plan, destination })
}
