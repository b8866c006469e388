//! `backup_prune` and `backup_check`: what looks after a repository.

use serde_json::{Value, json};

use super::made::report;
use super::{Made, ask, desk, ending_of, keep_text, perform, sweep, tag};
use crate::backup::protocol::{Event, Operation, Summary};
use crate::execute::sink::ERR;
use crate::execute::{Answer, Context, stopped};
use crate::job::work::{BackupCheck, BackupPrune, Repository};
use crate::plan::housekeeping::bytes_text;
use crate::run::{Details, Ending, Outcome, Reason};
use crate::store::RunFilter;

/// How many runs before are looked through for the part that was read last.
const LOOK_BACK: usize = 50;

pub(in crate::execute) async fn prune(context: Context<'_>, work: &BackupPrune) -> Answer {
    sweep(context).await?;
    let mut results = json!({ "repository": work.repository.location.name() });
    let mut parts = Vec::new();
    if let Some(keep) = &work.keep {
        let mut summary = Summary::default();
        for tags in tags_to_prune(&work.of) {
            let operation = Operation::Forget { tags, keep: keep.clone(), dry_run: work.dry_run };
            match one(context, &work.repository, "forget", operation).await {
                Ok(of_job) => {
                    summary.kept += of_job.kept;
                    summary.forgotten.extend(of_job.forgotten);
                }
                Err(ending) => return Ok(ending),
            }
        }
        parts.push(format!(
            "{} snapshots forgotten and {} kept ({})",
            summary.forgotten.len(),
            summary.kept,
            keep_text(keep)
        ));
        results["forgotten"] = json!(summary.forgotten);
        results["kept"] = json!(summary.kept);
        let so_far = results.clone();
        context.made_of(|it| it.results = Some(so_far)).await;
    }
    if context.cancel.is_cancelled() {
        return Ok(stopped("stopped before data was removed"));
    }
    let operation = Operation::Prune { dry_run: work.dry_run };
    let summary = match one(context, &work.repository, "prune", operation).await {
        Ok(summary) => summary,
        Err(ending) if parts.is_empty() => return Ok(ending),
        Err(ending) => {
            let message = format!("{}; {}", ending.message, parts.join("; "));
            return Ok(Ending { message, ..ending });
        }
    };
    parts.push(format!("{} freed", bytes_text(summary.stored)));
    results["freed"] = json!(summary.stored);
    context.made_of(|it| it.results = Some(results)).await;
    let mut message = parts.join("; ");
    if work.dry_run {
        message = format!("dry run: {message}, if it were done; nothing was done");
    }
    Ok(Ending::new(Outcome::Succeeded, Reason::Done, message))
}

pub(in crate::execute) async fn check(context: Context<'_>, work: &BackupCheck) -> Answer {
    let number = next_part(context, work.read_in).await;
    let what = match work.read_in {
        0 => "all of its structure, and none of the data".to_owned(),
        1 => "all of its data".to_owned(),
        of => format!("part {} of {of} of its data", number + 1),
    };
    if work.dry_run {
        let message = format!("dry run: would look at {what}; nothing was done");
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    sweep(context).await?;
    let operation = Operation::Check { number, of: work.read_in };
    let mut troubles = Vec::new();
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let end = {
        let desk = desk(context, "check", &said);
        let mut heard = |event: &Event| {
            report(context.execution.progress, event);
            if let Event::Trouble { path, what, .. } = event {
                troubles.push(format!("{path}: {what}"));
            }
        };
        let seen = (&super::Seen::default(), operation);
        ask(&desk, &work.repository, seen, &mut heard).await
    };
    let is_good = matches!(&end, super::End::Done(_)) && troubles.is_empty();
    let mut results = json!({
        "repository": work.repository.location.name(), "good": is_good,
        "troubles": troubles.iter().take(20).collect::<Vec<_>>(),
    });
    if let super::End::Done(summary) = &end {
        // restic does not say it.
        if summary.bytes > 0 || work.read_in == 0 {
            results["bytes"] = json!(summary.bytes);
        }
        // Only a part that was read counts as one.
        if work.read_in > 0 {
            results["part"] = json!({ "number": number, "of": work.read_in });
        }
    }
    context.made_of(|it| it.results = Some(results)).await;
    Ok(match end {
        super::End::Done(summary) if is_good => {
            let read = match summary.bytes {
                0 if work.read_in > 0 => String::new(),
                bytes => format!(", {} read", bytes_text(bytes)),
            };
            let message = format!("it is whole: {what}{read}");
            Ending::new(Outcome::Succeeded, Reason::Done, message)
        }
        super::End::Done(_) => {
            let message = format!(
                "repository `{}` is damaged, {} troubles: {}",
                work.repository.location.name(),
                troubles.len(),
                troubles.iter().take(3).cloned().collect::<Vec<_>>().join("; ")
            );
            super::failed(Reason::RemoteFailed, message)
        }
        end => ending_of(&end, &work.repository, &context.job.name, "check"),
    })
}

/// What is forgotten of: the snapshots with all tags of one of these; no tags are all snapshots.
pub fn tags_to_prune(of: &[String]) -> Vec<Vec<String>> {
    if of.is_empty() { vec![Vec::new()] } else { of.iter().map(|job| vec![tag(job)]).collect() }
}

/// One operation that needs nothing but the repository, as a step.
async fn one(
    context: Context<'_>,
    repository: &Repository,
    what: &str,
    operation: Operation,
) -> Result<Summary, Ending> {
    let said = |bytes: &[u8]| context.sink.write(ERR, bytes);
    let desk = desk(context, what, &said);
    let live = context.execution.progress;
    let (mut failure, mut made) = (None, Made::new("", live));
    let step = context.journal.step(what, async {
        perform(&desk, repository, operation, &mut made).await.map_err(|end| {
            let ending = ending_of(&end, repository, &context.job.name, what);
            let error = anyhow::anyhow!(ending.message.clone());
            failure = Some(ending);
            error
        })
    });
    let done = step.await;
    done.map_err(|error| {
        failure.unwrap_or_else(|| super::failed(Reason::Internal, format!("{error:#}")))
    })
}

/// The part of the data that is to be read: the one after that of the run before.
async fn next_part(context: Context<'_>, of: u32) -> u32 {
    if of <= 1 {
        return 0;
    }
    let store = context.execution.store;
    let filter = RunFilter {
        job: Some(context.execution.job.name.clone()),
        limit: LOOK_BACK,
        ..RunFilter::default()
    };
    for run in store.runs(&filter).await.unwrap_or_default() {
        let details = store.details(run.id).await.ok().flatten();
        if let Some(part) = details.as_ref().and_then(|it| part_of(it, context.member)) {
            return after(part, of);
        }
    }
    0
}

/// The part that a run read; of one job of a group where `member` names it.
fn part_of(details: &Details, member: Option<&str>) -> Option<u64> {
    let results = details.results.as_ref()?;
    let own: &Value = match member {
        None => results,
        Some(member) => results.get("members")?.get(member)?.get("results")?,
    };
    own.get("part")?.get("number")?.as_u64()
}

fn after(part: u64, of: u32) -> u32 {
    u32::try_from((part + 1) % u64::from(of)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_reads_the_next_part() {
        let parts: Vec<u32> = (0..4).map(|part| after(part, 3)).collect();
        assert_eq!(parts, [1, 2, 0, 1]);
        let own = Details {
            results: Some(json!({ "part": { "number": 4, "of": 7 } })),
            ..Details::default()
        };
        assert_eq!(part_of(&own, None), Some(4));
        let in_group = json!({ "members": { "look": { "results": own.results } } });
        let group = Details { results: Some(in_group), ..Details::default() };
        assert_eq!((part_of(&group, Some("look")), part_of(&group, None)), (Some(4), None));
    }
}
