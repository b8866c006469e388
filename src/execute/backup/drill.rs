//! `restore_drill`: a backup that was never restored is none.

use chrono::{DateTime, Utc};
use serde_json::json;
use tracing::warn;

use super::made::report;
use super::restore::{choose, restore, snapshots};
use super::session::{End, Target};
use super::{desk, ending_of, own_labels, sweep, tag};
use crate::compose::model::{Mount, MountKind, Volume};
use crate::execute::put_back::put_back;
use crate::execute::sink::ERR;
use crate::execute::{Answer, Context, failed, run, stopped};
use crate::job::work::RestoreDrill;
use crate::plan::housekeeping::bytes_text;
use crate::plan::labels;
use crate::run::{Details, Ending, Outcome, Reason, Run, RunId};
use crate::source::counted;

/// Where the check finds what was restored.
const RESTORED: &str = "/restore";
/// What marks a volume that is only for a drill.
const DRILL: &str = "dev.roadstead.drill";

/// A drill that found a backup good.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// The run.
    pub run: RunId,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// The snapshot.
    pub snapshot: String,
    /// When that was made (RFC 3339).
    pub made: String,
}

/// The newest drill since a time that found a backup of a job good.
pub fn verified(
    runs: &[(Run, Option<Details>)],
    of: &str,
    since: DateTime<Utc>,
) -> Option<Verified> {
    let good = runs.iter().filter_map(|(run, details)| {
        let at = run.ended.filter(|at| *at >= since && run.outcome == Outcome::Succeeded)?;
        let results = details.as_ref()?.results.as_ref()?;
        let text = |key: &str| results[key].as_str().map(str::to_owned);
        if text("drill_of")? != of || results["verified"] != true {
            return None;
        }
        Some(Verified { run: run.id, at, snapshot: text("snapshot")?, made: text("made")? })
    });
    good.max_by_key(|it| it.at)
}

pub(in crate::execute) async fn drill(context: Context<'_>, work: &RestoreDrill) -> Answer {
    let what = work.path.as_deref().map_or_else(String::new, |path| format!(" of `{path}`"));
    if work.dry_run {
        let message = format!(
            "dry run: would restore the newest snapshot{what} of job `{}` into a volume of its own \
             and look at it; nothing was done",
            work.of
        );
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    sweep(context).await?;
    remove_left(context).await?;
    let check = work.check.unpack();
    if let Err(ending) = run::have_image(context, &check.service).await {
        return Ok(ending);
    }
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let of_end = |end: &End, what: &str| ending_of(end, &work.repository, &context.job.name, what);
    let list = desk(context, "list", &said);
    let all = match snapshots(&list, &work.repository, vec![tag(&work.of)]).await {
        Ok(all) => all,
        Err(end) => return Ok(of_end(&end, "list snapshots")),
    };
    let chosen = match choose(&all, None, work.path.as_deref()) {
        Ok(chosen) => chosen,
        Err(why) => {
            let message = format!("job `{}`: {why}", work.of);
            return Ok(failed(Reason::ExpectationFailed, message));
        }
    };
    let now = (context.world.now)();
    let snapshot = &chosen.snapshot;
    let age = DateTime::parse_from_rfc3339(&snapshot.time).ok();
    let age = age.map(|it| (now - it.to_utc()).num_seconds().max(0));
    let mut results = json!({
        "drill_of": work.of, "snapshot": snapshot.id, "made": snapshot.time, "age_s": age,
        "verified": false,
    });
    let so_far = results.clone();
    context.made_of(|it| it.results = Some(so_far)).await;
    let volume = format!("roadstead-drill-{}{}", context.execution.run, context.suffix);
    let owed = volume.clone();
    if let Err(error) =
        context.record.try_change(context.member, |it| it.scratch = Some(owed)).await
    {
        let message = format!("write down that volume `{volume}` is made: {error:#}");
        return Ok(failed(Reason::NotStarted, message));
    }
    let ended = in_volume(context, work, (&chosen, &volume), &mut results).await;
    let ending = ended.unwrap_or_else(|error| crate::execute::engine_ending(&error));
    let is_good = ending.outcome == Outcome::Succeeded;
    results["verified"] = json!(is_good);
    context.made_of(|it| it.results = Some(results)).await;
    let id = snapshot.id.get(..8).unwrap_or(&snapshot.id);
    let message =
        format!("snapshot {id} of {} of job `{}`: {}", snapshot.time, work.of, ending.message);
    Ok(put_back(context, Ending { message, ..ending }).await)
}

/// Restores into a volume of its own, and has the check look.
async fn in_volume(
    context: Context<'_>,
    work: &RestoreDrill,
    (chosen, name): (&super::Chosen, &str),
    results: &mut serde_json::Value,
) -> Answer {
    let engine = &context.world.engine;
    let volume = Volume { name: name.to_owned(), ..Volume::default() };
    let mut labels = own_labels(context);
    labels.insert(DRILL.to_owned(), labels::YES.to_owned());
    let step = format!("create volume {name}");
    context.journal.step(step, engine.create_volume(&volume, &labels)).await?;
    let mut troubles = Vec::new();
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let end = {
        let desk = desk(context, "restore", &said);
        let target = (Target::Volume(name.to_owned()), false);
        let mut heard = |event: &crate::backup::protocol::Event| {
            report(context.execution.progress, event);
            if let crate::backup::protocol::Event::Trouble { path, what, .. } = event {
                troubles.push(format!("{path}: {what}"));
            }
        };
        restore(&desk, &work.repository, chosen, target, &mut heard).await
    };
    let summary = match end {
        End::Done(summary) => summary,
        end => return Ok(ending_of(&end, &work.repository, &context.job.name, "restore")),
    };
    results["files"] = json!(summary.files);
    results["bytes"] = json!(summary.bytes);
    if let Some(first) = troubles.first() {
        let message = format!("{} not restored, first {first}", counted(troubles.len(), "file"));
        return Ok(failed(Reason::Incomplete, message));
    }
    if context.cancel.is_cancelled() {
        return Ok(stopped("stopped before the check"));
    }
    let mut check = work.check.unpack();
    check.service.volumes.retain(|it| it.target != RESTORED);
    check.service.volumes.push(mount(name));
    // Removed here with its volume, and not left to a person.
    check.keep = false;
    let ended = run::run(context, &check).await?;
    let restored = format!("{} restored, check ", bytes_text(summary.bytes));
    let message = format!("{restored}{}", ended.message);
    Ok(Ending { message, ..ended })
}

fn mount(name: &str) -> Mount {
    Mount {
        kind: MountKind::Volume {
            nocopy: true,
            subpath: None,
            labels: std::collections::BTreeMap::new(),
        },
        source: Some(name.to_owned()),
        target: RESTORED.to_owned(),
        read_only: false,
        consistency: None,
        options_given: true,
        other_blocks: Vec::new(),
    }
}

/// Removes volumes of drills of this job that nobody could remove.
async fn remove_left(context: Context<'_>) -> anyhow::Result<()> {
    for volume in context.world.engine.all_volumes().await? {
        let label = |name: &str| volume.labels.get(name).map(String::as_str);
        let is_left = label(DRILL).is_some() && label(labels::JOB) == Some(&context.job.name);
        if is_left && let Err(error) = context.world.engine.drop_volume(&volume.name).await {
            warn!("volume {} of a drill before: {error:#}", volume.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Trigger;

    #[test]
    fn only_a_good_drill_of_the_job_within_the_time_verifies() {
        let at = |hour: u32| {
            DateTime::parse_from_rfc3339(&format!("2026-03-01T{hour:02}:00:00Z")).unwrap().to_utc()
        };
        let run = |id: RunId, hour: u32, outcome: Outcome, of: &str, verified: bool| {
            let results = json!({
                "drill_of": of, "verified": verified, "snapshot": format!("s{id}"), "made": "then",
            });
            let run = Run {
                id,
                job: "drill".to_owned(),
                trigger: Trigger::Schedule,
                slot: None,
                started: at(hour),
                ended: Some(at(hour)),
                revision: None,
                outcome,
                reason: None,
                message: String::new(),
                exit_code: None,
            };
            (run, Some(Details { results: Some(results), ..Details::default() }))
        };
        let mut runs = vec![
            run(1, 1, Outcome::Succeeded, "db", true),
            run(2, 3, Outcome::Succeeded, "db", true),
            run(3, 5, Outcome::Failed, "db", true),
            run(4, 6, Outcome::Succeeded, "db", false),
            run(5, 7, Outcome::Succeeded, "web", true),
        ];
        let (mut open, details) = run(6, 8, Outcome::Running, "db", true);
        open.ended = None;
        runs.push((open, details));
        for (of, since, expected) in [
            ("db", 0, Some(2)),
            ("db", 3, Some(2)),
            ("db", 4, None),
            ("web", 7, Some(5)),
            ("x", 0, None),
        ] {
            let found = verified(&runs, of, at(since)).map(|it| it.run);
            assert_eq!(found, expected, "{of} since {since}");
        }
    }
}
