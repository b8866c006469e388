//! `rotate`: log files that somebody else writes.
//!
//! Look, plan, then file after file: what is begun is written down before a file gets another name, and
//! the writer is told once, after all of them. A crash in between is seen by the next run, which tells
//! the writer first. Packing comes last.

mod files;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::files::Done;
use super::target::{self, Found};
use super::{Answer, Context, failed, stopped};
use crate::job::work::{Rotate, SignalTo};
use crate::plan::housekeeping::bytes_text;
use crate::plan::housekeeping::rotate::{self as plan, LogPlan, RotatePlan, Rotation, Step};
use crate::plan::observed::State;
use crate::reconcile::World;
use crate::run::{Ending, Outcome, Reason};
use crate::settings::LogSettings;
use crate::source::counted;
use crate::store::Store;

/// What a run of this kind counts.
#[derive(Debug, Default)]
struct Counts {
    rotated: usize,
    bytes: u64,
    compressed: usize,
    removed: usize,
    vanished: usize,
    signals: usize,
    window: Duration,
    troubles: Vec<String>,
}

impl Counts {
    fn add(&mut self, done: Done) -> bool {
        self.rotated += usize::from(done.rotated);
        self.bytes += done.bytes;
        self.compressed += done.compressed;
        self.removed += done.removed;
        self.vanished += usize::from(done.vanished);
        self.window = self.window.max(done.window.unwrap_or_default());
        self.troubles.extend(done.error.map(|error| format!("{error:#}")));
        done.rotated
    }
}

/// What would be done, and what could not be looked at.
pub struct RotateProspect {
    /// The plan.
    pub plan: RotatePlan,
    /// Directories that cannot be read.
    pub troubles: Vec<String>,
    /// What the store knows of the files.
    known: BTreeMap<PathBuf, Rotation>,
}

/// Looks at the files of a job and plans; touches nothing.
///
/// # Errors
///
/// When the store fails.
pub async fn rotate_prospect(
    world: &World,
    (store, log): (&Store, &LogSettings),
    (job, work): (&str, &Rotate),
    cancel: &CancellationToken,
) -> Result<RotateProspect> {
    let known = store.rotations(job).await?;
    let jobs = store.jobs_with_runs().await?;
    let (options, log_dir, cancel) = (work.clone(), log.dir.clone(), cancel.clone());
    let look = move || files::look(&options, &log_dir, &jobs, &cancel);
    let seen = tokio::task::spawn_blocking(look).await?;
    let plan = plan::plan(work, &seen.looks, &known, (world.now)());
    Ok(RotateProspect { plan, troubles: seen.troubles, known })
}

pub(super) async fn rotate(context: Context<'_>, work: &Rotate) -> Answer {
    let (execution, name) = (context.execution, context.job.name.as_str());
    let at = (execution.store, execution.log);
    let prospect = rotate_prospect(context.world, at, (name, work), context.cancel).await?;
    let RotateProspect { plan, troubles, mut known } = prospect;
    for line in plan.lines() {
        info!("{line}");
    }
    if work.dry_run {
        let message = format!("dry run: {}; nothing was done", plan.summary());
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    // Before anything gets another name: who cannot be told goes on writing to the old file.
    let writers = match writers(context, work, &plan).await? {
        Ok(writers) => writers,
        Err(ending) => return Ok(ending),
    };
    let now = (context.world.now)();
    let first =
        plan.new.iter().cloned().map(|path| (path, Rotation { rotated: now, is_open: false }));
    let first: Vec<(PathBuf, Rotation)> = first.collect();
    known.extend(first.iter().cloned());
    execution.store.set_rotations(name, first).await?;
    execution.store.forget_rotations(name, plan.gone.clone()).await?;
    let mut counts = Counts { troubles, ..Counts::default() };
    let told = rename_all(context, work, (&plan, &known), &mut counts).await?;
    let signalled = tell(context, work.signal.as_ref(), &writers, &mut counts).await;
    if signalled {
        execution.store.set_rotations(name, told).await?;
    }
    for log in plan.logs.iter().filter(|log| !log.after.is_empty()) {
        let step = format!("compress what was rotated of {}", log.path().display());
        one(context, work, (log, &log.after, step), &mut counts).await?;
    }
    Ok(ending(context, &plan, counts).await)
}

/// Renames or copies what is due; answers what is to be written down once the writer was told.
async fn rename_all(
    context: Context<'_>,
    work: &Rotate,
    (plan, known): (&RotatePlan, &BTreeMap<PathBuf, Rotation>),
    counts: &mut Counts,
) -> Result<Vec<(PathBuf, Rotation)>> {
    let (store, name) = (context.execution.store, context.job.name.as_str());
    let mut told = Vec::new();
    for log in &plan.logs {
        if context.cancel.is_cancelled() {
            break;
        }
        let (path, now) = (log.path(), (context.world.now)());
        let before = known.get(&path).map_or(now, |it| it.rotated);
        let is_due = log.steps.iter().any(|it| is_rotation(log, it));
        if is_due {
            let begun = Rotation { rotated: before, is_open: true };
            store.set_rotations(name, vec![(path.clone(), begun)]).await?;
        }
        let step = format!("rotate {}", path.display());
        let rotated = one(context, work, (log, &log.steps, step), counts).await?;
        let rotated_at = if rotated { now } else { before };
        let closed = (path, Rotation { rotated: rotated_at, is_open: false });
        if rotated || log.why == plan::Why::CutOff {
            told.push(closed);
        } else if is_due {
            store.set_rotations(name, vec![closed]).await?;
        }
    }
    Ok(told)
}

fn is_rotation(log: &LogPlan, step: &Step) -> bool {
    matches!(step, Step::Rename(from, _) | Step::CopyTruncate(from, _) if *from == log.name)
}

/// Takes steps with one file, as one step of the run; whether it was rotated.
async fn one(
    context: Context<'_>,
    work: &Rotate,
    (log, steps, name): (&LogPlan, &[Step], String),
    counts: &mut Counts,
) -> Result<bool> {
    if steps.is_empty() || context.cancel.is_cancelled() {
        return Ok(false);
    }
    let (options, log, steps) = (Arc::new(work.clone()), log.clone(), steps.to_vec());
    let cancel = context.cancel.clone();
    let mut answer = Done::default();
    let taken = context.journal.step(name, async {
        let work = move || files::carry_out(&options, &log, &steps, &cancel);
        answer = tokio::task::spawn_blocking(work).await?;
        match &answer.error {
            Some(error) => anyhow::bail!("{error:#}"),
            None => Ok(()),
        }
    });
    if let Err(error) = taken.await {
        warn!("{error:#}");
    }
    Ok(counts.add(answer))
}

/// The containers that are to be told. One that does not run holds no file open; one that cannot be told
/// now is a reason to touch nothing.
async fn writers(
    context: Context<'_>,
    work: &Rotate,
    plan: &RotatePlan,
) -> Result<Result<Vec<Found>, Ending>> {
    let Some(signal) = work.signal.as_ref().filter(|_| plan.signal) else {
        return Ok(Ok(Vec::new()));
    };
    let found = match target::find(&context.world.engine, &signal.target).await? {
        Ok(found) => found,
        Err(ending) => {
            let message = format!("{}: nothing was rotated", ending.message);
            return Ok(Err(Ending { message, ..ending }));
        }
    };
    let stuck = found.iter().find(|it| matches!(it.state, State::Paused | State::Restarting));
    if let Some(stuck) = stuck {
        let state = stuck.state.as_str();
        let message = format!(
            "container `{}` is {state} and cannot be told to open its file anew: nothing was rotated",
            stuck.name
        );
        return Ok(Err(failed(Reason::NoSuchContainer, message)));
    }
    for idle in found.iter().filter(|it| it.state != State::Running) {
        info!("container {} is {}: it needs no signal", idle.name, idle.state.as_str());
    }
    Ok(Ok(found.into_iter().filter(|it| it.state == State::Running).collect()))
}

/// Tells the writers, also where the run is to end: they write to renamed files. Whether all know.
async fn tell(
    context: Context<'_>,
    signal: Option<&SignalTo>,
    writers: &[Found],
    counts: &mut Counts,
) -> bool {
    let Some(SignalTo { signal, .. }) = signal else { return true };
    let engine = &context.world.engine;
    let mut all = true;
    for writer in writers {
        let step = format!("send {signal} to container {}", writer.name);
        let sent = context.journal.step(step, engine.kill(&writer.id, signal)).await;
        match sent {
            Ok(()) => counts.signals += 1,
            Err(error) => {
                // It may have ended meanwhile, and then holds nothing open.
                let about = engine.about(&writer.id).await;
                if about.is_ok_and(|it| it.is_none_or(|it| !it.state.lives())) {
                    info!("container {} ended meanwhile: it needs no signal", writer.name);
                    continue;
                }
                all = false;
                counts.troubles.push(format!(
                    "container `{}` was not told, and still writes to the renamed file; the next run \
                     tells it: {error:#}",
                    writer.name
                ));
            }
        }
    }
    all
}

async fn ending(context: Context<'_>, plan: &RotatePlan, counts: Counts) -> Ending {
    let results = json!({
        "looked_at": plan.looked_at, "rotated": counts.rotated, "bytes": counts.bytes,
        "compressed": counts.compressed, "removed": counts.removed, "signals": counts.signals,
        "left_alone": plan.left.len(), "vanished": counts.vanished,
        "failed": counts.troubles.len(),
        "longest_window_us": u64::try_from(counts.window.as_micros()).unwrap_or(u64::MAX),
    });
    context.made_of(|details| details.results = Some(results)).await;
    let mut parts = vec![match counts.rotated {
        0 => format!("none of {} rotated", counted(plan.looked_at, "file")),
        rotated => format!(
            "{rotated} of {} rotated ({})",
            counted(plan.looked_at, "file"),
            bytes_text(counts.bytes)
        ),
    }];
    for (count, what) in [
        (counts.compressed, "compressed"),
        (counts.removed, "removed"),
        (plan.left.len(), "left alone"),
        (counts.vanished, "vanished"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !counts.window.is_zero() {
        parts.push(format!("longest time between copy and truncation {:?}", counts.window));
    }
    let done = parts.join(", ");
    if context.cancel.is_cancelled() {
        return stopped(format!("stopped; {done}; the next run goes on"));
    }
    if counts.troubles.is_empty() {
        return Ending::new(Outcome::Succeeded, Reason::Done, done);
    }
    for trouble in &counts.troubles {
        warn!("{trouble}");
    }
    let message = format!("{done}; {} failed: {}", counts.troubles.len(), counts.troubles[0]);
    failed(Reason::Incomplete, message)
}
