//! `group`: other jobs as part of one run, in order or several at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use super::sink::Sink;
use super::{Answer, Context, carry_out, engine_ending, failed, is_good, limited, stopped};
use crate::apply::seconds;
use crate::job::work::{ComposeRun, Group};
use crate::job::{Job, Work};
use crate::run::{Details, Ending, Outcome, Reason};

/// The jobs that a job's work names, and those that theirs name: what [`super::Execution::jobs`] takes.
pub fn related(job: &Job, jobs: &[Job]) -> Vec<Job> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Work> = vec![&job.work];
    let mut related = Vec::new();
    while let Some(work) = open.pop() {
        let others: Vec<&str> = match work {
            Work::Group(Group { jobs, .. }) => jobs.iter().map(String::as_str).collect(),
            Work::ComposeRun(ComposeRun { project, .. }) => vec![project.as_str()],
            Work::Run(run) => {
                open.extend(&run.then);
                Vec::new()
            }
            Work::Exec(exec) => {
                open.extend(&exec.then);
                Vec::new()
            }
            Work::Command(command) => {
                open.extend(&command.then);
                Vec::new()
            }
            Work::Deploy(_) | Work::Container(_) | Work::Http(_) | Work::OgcProcess(_) => {
                Vec::new()
            }
        };
        for name in others {
            let Some(found) = jobs.iter().find(|it| it.name == name) else { continue };
            if names.insert(name.to_owned()) {
                related.push(found.clone());
                open.push(&found.work);
            }
        }
    }
    related
}

/// What a job must have to itself while it runs: its own, and for a group that of all its jobs.
pub fn locks(job: &Job, jobs: &[Job]) -> BTreeSet<String> {
    let mut locks = job.locks();
    if matches!(job.work, Work::Group(_)) {
        locks.extend(related(job, jobs).iter().flat_map(Job::locks));
    }
    locks
}

/// Groups inside groups beyond which they are taken for a circle.
const DEEPEST: usize = 16;

pub(super) async fn group(context: Context<'_>, group: &Group) -> Answer {
    let begun = Instant::now();
    if context.depth >= DEEPEST {
        let message = format!("groups inside groups, {DEEPEST} deep: do they name each other?");
        return Ok(failed(Reason::MemberFailed, message));
    }
    let record = |details: &mut Details| details.command.clone_from(&group.jobs);
    context.made_of(record).await;
    let mut members = Vec::new();
    for name in &group.jobs {
        let Some(member) = context.execution.jobs.iter().find(|it| it.name == *name) else {
            let message = format!("there is no job `{name}` to run in this group");
            return Ok(failed(Reason::MemberFailed, message));
        };
        members.push(member);
    }
    let has_failed = AtomicBool::new(false);
    let one = |(index, member): (usize, &Job)| {
        let (has_failed, member) = (&has_failed, member.clone());
        async move {
            // Those that run already when one fails come to their end; no further one starts.
            let is_over = has_failed.load(Ordering::Relaxed) && !group.keep_going;
            if is_over || context.cancel.is_cancelled() {
                return (index, None);
            }
            let ending = one(context, &member).await;
            if !is_good(&ending) {
                has_failed.store(true, Ordering::Relaxed);
            }
            (index, Some(ending))
        }
    };
    // In order as long as there is one at a time.
    let running = stream::iter(members.into_iter().enumerate().map(one));
    let mut ended: Vec<_> = running.buffer_unordered(group.parallel.max(1)).collect().await;
    ended.sort_by_key(|(index, _)| *index);
    let ended = group.jobs.iter().map(String::as_str).zip(ended.into_iter().map(|(_, it)| it));
    Ok(summary(&ended.collect::<Vec<_>>(), context.cancel.is_cancelled(), &seconds(begun)))
}

/// One job of the group, within its own time.
async fn one(context: Context<'_>, member: &Job) -> Ending {
    let name = member.name.as_str();
    let sink = Sink::new(context.output, Some(name));
    let cancel = context.cancel.child_token();
    let timed_out = AtomicBool::new(false);
    let inner = Context {
        job: member,
        sink: &sink,
        cancel: &cancel,
        timed_out: &timed_out,
        depth: context.depth + 1,
        ..context
    };
    let work = async {
        let work = carry_out(inner, &member.work);
        let limit = (member, member.timeout);
        Ok(limited(context.execution, limit, (&cancel, &timed_out), work).await)
    };
    let span = info_span!("member", member = name);
    let stepped = context.step(format!("run job {name}"), work.instrument(span)).await;
    let ending = stepped.unwrap_or_else(|error| engine_ending(&error));
    let line = format!("{name}: {} ({}): {}", ending.outcome, ending.reason, ending.message);
    if is_good(&ending) {
        info!("{line}");
    } else {
        warn!("{line}");
    }
    ending
}

/// How a group ended, from how each of its jobs did; `None` for those that were not started.
fn summary(ended: &[(&str, Option<Ending>)], is_cancelled: bool, took: &str) -> Ending {
    let failures: Vec<String> = ended
        .iter()
        .filter_map(|(name, ending)| Some((name, ending.as_ref().filter(|it| !is_good(it))?)))
        .map(|(name, ending)| format!("`{name}` {} ({})", ending.outcome, ending.message))
        .collect();
    let left: Vec<&str> =
        ended.iter().filter(|(_, ending)| ending.is_none()).map(|(name, _)| *name).collect();
    let not_run = match left.len() {
        0 => String::new(),
        _ => format!("; not run: {}", left.join(", ")),
    };
    let count = ended.len();
    if is_cancelled {
        let good = count - left.len() - failures.len();
        return stopped(format!("stopped after {good} of {count} jobs{not_run}"));
    }
    if failures.is_empty() {
        let skipped = ended.iter().filter_map(|(_, it)| it.as_ref());
        let skipped = skipped.filter(|it| it.outcome == Outcome::Skipped).count();
        let skipped =
            if skipped > 0 { format!(", {skipped} of them skipped") } else { String::new() };
        let message = format!("{count} jobs done in {took}{skipped}");
        return Ending::new(Outcome::Succeeded, Reason::Done, message);
    }
    let message =
        format!("{} of {count} jobs failed: {}{not_run}", failures.len(), failures.join("; "));
    let first = ended.iter().filter_map(|(_, it)| it.as_ref()).find(|it| !is_good(it));
    let exit_code = first.and_then(|it| it.exit_code);
    Ending { exit_code, ..failed(Reason::MemberFailed, message) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::schedule::Schedule;
    use crate::job::work::Command;
    use crate::job::{Keep, Notify, Policy, Window};

    fn job(name: &str, lock: &str, work: Work) -> Job {
        Job {
            name: name.to_owned(),
            description: None,
            origin: String::new(),
            schedule: Schedule::Manual,
            timezone: chrono_tz::UTC,
            window: Window::default(),
            on: Vec::new(),
            policy: Policy { locks: [lock.to_owned()].into(), ..Policy::default() },
            keep: Keep::default(),
            notify: Notify::default(),
            timeout: Duration::from_mins(1),
            work,
        }
    }

    #[test]
    fn a_group_has_to_itself_what_its_jobs_have() {
        let group = |jobs: &[&str]| {
            let jobs = jobs.iter().map(|it| (*it).to_owned()).collect();
            Work::Group(Group { jobs, parallel: 1, keep_going: false })
        };
        let command = || Work::Command(Command::default());
        let jobs = [
            job("outer", "a", group(&["inner", "x"])),
            job("inner", "e", group(&["x", "y"])),
            job("x", "b", command()),
            job("y", "c", command()),
            job("z", "d", command()),
        ];
        let names: Vec<String> = related(&jobs[0], &jobs).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["inner", "x", "y"]);
        let locks = |index: usize| locks(&jobs[index], &jobs).into_iter().collect::<Vec<_>>();
        assert_eq!(locks(0), ["name:a", "name:b", "name:c", "name:e"]);
        assert_eq!(locks(2), ["name:b"]);
    }

    #[test]
    fn a_group_says_who_failed_and_who_was_not_run() {
        let good = || Some(Ending::new(Outcome::Succeeded, Reason::Done, "fine"));
        let bad = || {
            Some(Ending { exit_code: Some(3), ..failed(Reason::ExitedNonZero, "exited with 3") })
        };
        let skipped = || Some(Ending::new(Outcome::Skipped, Reason::Overlap, "runs"));
        for (ended, is_cancelled, outcome, message) in [
            (vec![("a", good()), ("b", good())], false, Outcome::Succeeded, "2 jobs done in 1 s"),
            (
                vec![("a", good()), ("b", skipped())],
                false,
                Outcome::Succeeded,
                "2 jobs done in 1 s, 1 of them skipped",
            ),
            (
                vec![("a", bad()), ("b", None)],
                false,
                Outcome::Failed,
                "1 of 2 jobs failed: `a` failed (exited with 3); not run: b",
            ),
            (
                vec![("a", good()), ("b", None)],
                true,
                Outcome::Cancelled,
                "stopped after 1 of 2 jobs; not run: b",
            ),
        ] {
            let ending = summary(&ended, is_cancelled, "1 s");
            assert_eq!((ending.outcome, ending.message.as_str()), (outcome, message));
        }
    }
}
