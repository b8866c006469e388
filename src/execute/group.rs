//! `group`: other jobs as part of one run, in order or several at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use super::adopt::{clear_away, go_on, time_left};
use super::sink::Sink;
use super::{
    Answer, Context, carry_out, engine_ending, failed, is_good, limited, pause_after, stopped,
};
use crate::apply::seconds;
use crate::docker::Container;
use crate::job::work::{Group, Target};
use crate::job::{Job, Work};
use crate::logs;
use crate::run::{Details, Ending, Outcome, Reason, Trigger};
use crate::source::{Origin, Source};

/// The jobs that a job's work is about: what [`super::Execution::jobs`] takes. For one that looks at what
/// all others need that is all of them.
pub fn at_hand(job: &Job, jobs: &[Job]) -> Vec<Job> {
    if contains(job, jobs, |work| matches!(work, Work::Prune(_))) {
        return jobs.to_vec();
    }
    related(job, jobs)
}

/// Whether a job, what follows it, or one of its group is of a kind.
fn contains(job: &Job, jobs: &[Job], is_it: impl Fn(&Work) -> bool) -> bool {
    let of_it = |job: &&Job| is_it(&job.work) || job.work.then().iter().any(&is_it);
    members(job, jobs).iter().any(of_it)
}

/// The jobs that a job's work names, and those that theirs name.
pub fn related(job: &Job, jobs: &[Job]) -> Vec<Job> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&Work> = vec![&job.work];
    let mut related = Vec::new();
    while let Some(work) = open.pop() {
        let others: Vec<&str> = match work {
            Work::Group(group) => group.jobs.iter().map(String::as_str).collect(),
            Work::ComposeRun(run) => vec![run.project.as_str()],
            Work::Deploy(_)
            | Work::Run(_)
            | Work::Exec(_)
            | Work::Container(_)
            | Work::Command(_)
            | Work::Http(_)
            | Work::OgcProcess(_)
            | Work::Rotate(_)
            | Work::Clean(_)
            | Work::CacheSync(_)
            | Work::Refresh(_)
            | Work::Prune(_)
            | Work::Certificate(_)
            | Work::Sync(_)
            | Work::Backup(_)
            | Work::BackupPrune(_)
            | Work::BackupCheck(_)
            | Work::RestoreDrill(_) => Vec::new(),
        };
        open.extend(work.then());
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

/// A job, and for a group all jobs that it runs, also those of groups in it.
pub fn members<'a>(job: &'a Job, jobs: &'a [Job]) -> Vec<&'a Job> {
    let mut members = vec![job];
    let mut place = 0;
    while let Some(job) = members.get(place) {
        if let Work::Group(group) = &job.work {
            let of_it = jobs.iter().filter(|it| group.jobs.contains(&it.name));
            let is_new = |it: &&Job| !members.iter().any(|known| known.name == it.name);
            let new: Vec<&Job> = of_it.filter(is_new).collect();
            members.extend(new);
        }
        place += 1;
    }
    members
}

/// What a run of a job must have to itself: the job's own, and for a group that of all its jobs.
pub fn locks(job: &Job, jobs: &[Job], trigger: Trigger) -> BTreeSet<String> {
    let mut locks = job.locks();
    // Its writers are stopped, and are of projects that show only on the Engine.
    let is_restore = trigger == Trigger::Restore;
    if matches!(job.work, Work::Group(_)) {
        locks.extend(related(job, jobs).iter().flat_map(Job::locks));
    }
    // A deploy needs what it has just pulled, and starts what it finds stopped.
    if is_restore || contains(job, jobs, concerns_every_project) {
        let deploys = jobs.iter().filter(|it| matches!(it.work, Work::Deploy(_)));
        let of_projects = deploys.flat_map(Job::locks).filter(|it| it.starts_with("project:"));
        locks.extend(of_projects);
    }
    // Whom one has stopped, another takes for stopped by a person, and does not look after.
    if is_restore || contains(job, jobs, stops_others) {
        locks.insert("stopped containers".to_owned());
    }
    locks
}

/// Whether it stops or pauses what runs, to let it go on later.
fn stops_others(work: &Work) -> bool {
    match work {
        Work::Certificate(work) => work.stop.is_some(),
        // Labels may ask for it.
        Work::Backup(work) => work.what.labels || work.quiesce.how.halts(),
        _ => false,
    }
}

/// Whether no deploy may go on beside it.
fn concerns_every_project(work: &Work) -> bool {
    match work {
        Work::Prune(_) => true,
        // Of which project a container is shows only on the Engine.
        Work::Certificate(work) => {
            matches!(work.stop, Some(Target::Name(_) | Target::Labels(_)))
        }
        // Who is stopped, or in the middle of being read, is not replaced.
        Work::Backup(work) => work.quiesce.how.halts(),
        _ => false,
    }
}

/// The sources that a job's work comes from, by the URL of the repository or the directory of the checkout:
/// its own, and those of the jobs that it names.
pub fn sources(job: &Job, jobs: &[Job]) -> BTreeSet<String> {
    let own = |job: &Job| match &job.work {
        Work::Deploy(deploy) => deploy.sources.iter().map(repository).collect(),
        Work::Sync(sync) => sync.repositories(),
        _ => Vec::new(),
    };
    let names_others = |work: &Work| matches!(work, Work::Group(_) | Work::ComposeRun(_));
    let mut sources: BTreeSet<String> = own(job).into_iter().collect();
    if names_others(&job.work) || job.work.then().iter().any(names_others) {
        sources.extend(related(job, jobs).iter().flat_map(own));
    }
    sources
}

fn repository(source: &Source) -> String {
    match &source.origin {
        Origin::InPlace => source.directory.display().to_string(),
        Origin::Managed { url, .. } => url.clone(),
    }
}

/// Groups inside groups beyond which they are taken for a circle.
const DEEPEST: usize = 16;

/// Runs the jobs of a group. `left` are the containers of one that a crash cut off: what ended is not run
/// again, and what was begun is gone on with, as far as that can be.
pub(super) async fn group(
    context: Context<'_>,
    group: &Group,
    left: Option<&[Container]>,
) -> Answer {
    let begun = Instant::now();
    if context.depth >= DEEPEST {
        let message = format!("groups inside groups, {DEEPEST} deep: do they name each other?");
        return Ok(failed(Reason::MemberFailed, message));
    }
    let record = |details: &mut Details| details.command.clone_from(&group.jobs);
    context.made_of(record).await;
    let mut members = Vec::new();
    for (index, name) in group.jobs.iter().enumerate() {
        let Some(job) = context.execution.jobs.iter().find(|it| it.name == *name) else {
            let message = format!("there is no job `{name}` to run in this group");
            return Ok(failed(Reason::MemberFailed, message));
        };
        let key = key_of(context.member, &group.jobs, index);
        let known = match left {
            Some(_) => context.record.known(Some(&key)).await,
            None => None,
        };
        members.push(Member { job: job.clone(), key, known });
    }
    let has_failed = AtomicBool::new(false);
    let one = |(index, member): (usize, Member)| {
        let has_failed = &has_failed;
        async move {
            // Those that run already when one fails come to their end; no further one starts.
            let is_over = has_failed.load(Ordering::Relaxed) && !group.keep_going;
            if member.known.is_none() && (is_over || context.cancel.is_cancelled()) {
                return (index, None);
            }
            let ending = one(context, &member, left.unwrap_or_default()).await;
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

/// A job of a group.
struct Member {
    job: Job,
    /// What its part of the record is called.
    key: String,
    /// What is known of it, where it was begun before a crash.
    known: Option<Details>,
}

/// What the record calls the job at this place of a group: its name, after that of an inner group, and with
/// a number where the group has it more than once.
fn key_of(of_group: Option<&str>, jobs: &[String], index: usize) -> String {
    let name = &jobs[index];
    let outer = of_group.map_or_else(String::new, |group| format!("{group}/"));
    match jobs[..index].iter().filter(|before| *before == name).count() {
        0 => format!("{outer}{name}"),
        before => format!("{outer}{name}#{}", before + 1),
    }
}

/// One job of the group, within its own time; one that was begun before a crash is gone on with.
async fn one(context: Context<'_>, member: &Member, left: &[Container]) -> Ending {
    let Member { job, key, known } = member;
    let name = job.name.as_str();
    if let Some(known) = known
        && let Some(ending) = end_of(known, job)
    {
        info!("{name} had ended before roadstead died: {}", ending.message);
        clear_away(context, job, known, left).await;
        return ending;
    }
    let (mut limit, mut written) = (job.timeout, BTreeMap::new());
    match known {
        None => context.record.change(Some(key), |_| {}).await,
        Some(known) => {
            info!("{name} was cut off when roadstead died");
            limit = time_left(job, known.since, (context.world.now)());
            written = written_since(context, name, known.since);
        }
    }
    let sink = Sink::new(context.output, Some(name)).passing_over(written);
    let cancel = context.cancel.child_token();
    let timed_out = AtomicBool::new(false);
    let inner = Context {
        job,
        member: Some(key),
        sink: &sink,
        cancel: &cancel,
        timed_out: &timed_out,
        depth: context.depth + 1,
        ..context
    };
    let work = async {
        let work = Box::pin(tries(inner, member, limit, left));
        let limit = (job, limit);
        let ending = limited(context.execution, limit, (&cancel, &timed_out), work).await;
        let ended = ending.clone();
        context.record.change(Some(key), |details| details.ending = Some(ended)).await;
        Ok(ending)
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

/// All tries of a job of a group, within its time.
async fn tries(
    context: Context<'_>,
    member: &Member,
    limit: Duration,
    left: &[Container],
) -> Ending {
    let Member { job, key, known } = member;
    let (begun, retry, name) = (Instant::now(), job.policy.retry, job.name.as_str());
    let mut before = known.as_ref().map_or(0, |known| known.tries_before);
    let mut ending = match known {
        None => carry_out(context, &job.work).await,
        Some(_) => go_on(context, left).await,
    };
    while retry.is_due_after(before + 1, &ending) && !context.cancel.is_cancelled() {
        let pause = pause_after(&retry, before + 1);
        if pause >= limit.saturating_sub(begun.elapsed()) {
            warn!("{name}: no time is left for another try");
            break;
        }
        let (number, most) = (before + 2, retry.max + 1);
        let seconds = pause.as_secs_f64();
        info!("{name}: try {number} of {most} in {seconds:.1} s: {}", ending.message);
        tokio::select! {
            () = tokio::time::sleep(pause) => before += 1,
            () = context.cancel.cancelled() => break,
        }
        context.record.try_again(key, before).await;
        ending = carry_out(context, &job.work).await;
    }
    ending
}

/// How a job of a group ended, where all of its work had ended.
fn end_of(known: &Details, job: &Job) -> Option<Ending> {
    let is_all = |ending: &Ending| match ending.outcome {
        Outcome::Succeeded => known.then >= job.work.then().len(),
        _ => !job.policy.retry.is_due_after(known.tries_before + 1, ending),
    };
    known.ending.clone().filter(is_all)
}

/// How much of what a container says from its start on is in the output already.
fn written_since(
    context: Context<'_>,
    name: &str,
    since: Option<DateTime<Utc>>,
) -> BTreeMap<String, u64> {
    let Some(since) = since else { return BTreeMap::new() };
    let execution = context.execution;
    let run = (execution.job.name.as_str(), execution.run);
    logs::lines_since(&execution.log.dir, run, name, since).unwrap_or_else(|error| {
        warn!("what {name} wrote before the restart cannot be read and is written again: {error}");
        BTreeMap::new()
    })
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
        let degraded = ended.iter().filter_map(|(name, it)| Some((name, it.as_ref()?)));
        let degraded = degraded.filter(|(_, it)| it.outcome == Outcome::Degraded);
        let degraded: Vec<String> =
            degraded.map(|(name, it)| format!("`{name}` degraded ({})", it.message)).collect();
        if degraded.is_empty() {
            return Ending::new(Outcome::Succeeded, Reason::Done, message);
        }
        let message = format!("{message}: {}", degraded.join("; "));
        return Ending::new(Outcome::Degraded, Reason::Incomplete, message);
    }
    let message =
        format!("{} of {count} jobs failed: {}{not_run}", failures.len(), failures.join("; "));
    let first = ended.iter().filter_map(|(_, it)| it.as_ref()).find(|it| !is_good(it));
    let exit_code = first.and_then(|it| it.exit_code);
    Ending { exit_code, ..failed(Reason::MemberFailed, message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native;
    use crate::job::schedule::Schedule;
    use std::sync::Arc;

    use crate::job::work::{Command, ComposeRun};
    use crate::job::{Keep, Notify, Place, Policy, Terms, Window};

    fn job(name: &str, lock: &str, work: Work) -> Job {
        Job {
            name: name.to_owned(),
            description: None,
            origin: Place::default(),
            schedule: Schedule::Manual,
            terms: Arc::new(Terms {
                timezone: chrono_tz::UTC,
                window: Window::default(),
                on: Vec::new(),
                policy: Policy { locks: [lock.to_owned()].into(), ..Policy::default() },
                keep: Keep::default(),
                notify: Notify::default(),
                timeout: Duration::from_mins(1),
            }),
            work,
        }
    }

    #[test]
    fn a_group_has_to_itself_what_its_jobs_have() {
        let group = |jobs: &[&str]| {
            let jobs = jobs.iter().map(|it| (*it).to_owned()).collect();
            Work::Group(Box::new(Group { jobs, parallel: 1, keep_going: false }))
        };
        let command = || Work::Command(Box::default());
        let jobs = [
            job("outer", "a", group(&["inner", "x"])),
            job("inner", "e", group(&["x", "y"])),
            job("x", "b", command()),
            job("y", "c", command()),
            job("z", "d", command()),
        ];
        let names: Vec<&str> = members(&jobs[0], &jobs).iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["outer", "inner", "x", "y"]);
        let names: Vec<String> = related(&jobs[0], &jobs).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["inner", "x", "y"]);
        let locks = |index: usize| {
            locks(&jobs[index], &jobs, Trigger::Manual).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(locks(0), ["name:a", "name:b", "name:c", "name:e"]);
        assert_eq!(locks(2), ["name:b"]);
    }

    #[test]
    fn what_looks_at_all_projects_excludes_every_deploy() {
        let text = "\
- {name: web, deploy: {sources: [/srv/web]}}
- {name: shop, deploy: {sources: [/srv/shop]}}
- {name: prune, prune: {images: true}}
- {name: plain, run: {image: a}}
- name: tls
  certificate: {bundle: /b.pem, domains: a, certbot: {image: c}, stop: {container: proxy}}
- name: tls-of-shop
  certificate: {bundle: /c.pem, domains: a, certbot: {image: c}, stop: {project: shop, service: p}}
- {name: cold, backup: {repository: /r1, password: x, volumes: a, quiesce: stop}}
- {name: asked, backup: {repository: /r2, password: x, labels: true}}
- {name: hot, backup: {repository: /r3, password: x, volumes: a}}
- {name: back, backup: {repository: /r4, password: x, volumes: a}}
";
        let jobs = native::parse(text, "f.yml", &native::tests::settings()).unwrap();
        let of = |name: &str| {
            let job = jobs.iter().find(|it| it.name == name).unwrap();
            let trigger = if name == "back" { Trigger::Restore } else { Trigger::Schedule };
            locks(job, &jobs, trigger)
        };
        for (one, other, excluded) in [
            ("prune", "web", true),
            ("prune", "shop", true),
            ("prune", "plain", false),
            ("prune", "tls", true),
            ("tls", "web", true),
            ("tls-of-shop", "shop", true),
            ("tls-of-shop", "web", false),
            ("web", "shop", false),
            ("cold", "web", true),
            ("cold", "asked", true),
            ("cold", "tls", true),
            ("cold", "hot", false),
            ("asked", "web", false),
            ("hot", "web", false),
            ("back", "web", true),
            ("back", "asked", true),
            ("back", "hot", false),
        ] {
            let is_excluded = !of(one).is_disjoint(&of(other));
            assert_eq!(is_excluded, excluded, "{one} and {other}");
        }
        assert_eq!(at_hand(&jobs[2], &jobs).len(), jobs.len());
        assert_eq!(at_hand(&jobs[3], &jobs), []);
    }

    #[test]
    fn a_job_comes_from_its_own_sources_and_those_of_the_jobs_it_names() {
        let source = |directory: &str, url: Option<&str>| Source {
            name: directory.to_owned(),
            directory: directory.into(),
            origin: url.map_or(Origin::InPlace, |url| Origin::Managed {
                url: url.to_owned(),
                reference: Some(directory.to_owned()),
            }),
        };
        let deploy = |sources: Vec<Source>| {
            let minute = Duration::from_mins(1);
            Work::Deploy(Box::new(crate::job::Deploy {
                directory: sources[0].directory.clone(),
                sources,
                files: Vec::new(),
                profiles: Vec::new(),
                env_files: Vec::new(),
                project_name: None,
                remove_orphans: true,
                health: crate::settings::HealthGate { within: minute, stable_for: minute },
            }))
        };
        let once = || {
            Work::ComposeRun(Box::new(ComposeRun {
                project: "checkout".to_owned(),
                service: "web".to_owned(),
                command: None,
                entrypoint: None,
                environment: indexmap::IndexMap::new(),
                user: None,
                working_dir: None,
                volumes: Vec::new(),
            }))
        };
        let then = Work::Command(Box::new(Command { then: vec![once()], ..Command::default() }));
        let both = ["main", "old"].map(str::to_owned).to_vec();
        let both = Work::Group(Box::new(Group { jobs: both, parallel: 1, keep_going: false }));
        let url = Some("https://git.example/web.git");
        let jobs = [
            job("checkout", "", deploy(vec![source("/srv/stack", None)])),
            // Two branches of one repository, each in a clone of its own.
            job("main", "", deploy(vec![source("main", url)])),
            job("old", "", deploy(vec![source("old", url), source("/srv/data", None)])),
            job("once", "", once()),
            job("then", "", then),
            job("both", "", both),
            job("none", "", Work::Command(Box::default())),
        ];
        for (index, expected) in [
            (0, &["/srv/stack"][..]),
            (1, &["https://git.example/web.git"]),
            (2, &["/srv/data", "https://git.example/web.git"]),
            (3, &["/srv/stack"]),
            (4, &["/srv/stack"]),
            (5, &["/srv/data", "https://git.example/web.git"]),
            (6, &[]),
        ] {
            let found: Vec<String> = sources(&jobs[index], &jobs).into_iter().collect();
            assert_eq!(found, expected, "{}", jobs[index].name);
        }
    }

    #[test]
    fn jobs_of_groups_have_each_a_place_of_their_own_in_the_record() {
        let jobs = ["a", "b", "a", "a"].map(str::to_owned);
        for (of_group, index, expected) in [
            (None, 0, "a"),
            (None, 1, "b"),
            (None, 2, "a#2"),
            (None, 3, "a#3"),
            (Some("inner"), 0, "inner/a"),
            (Some("inner/most"), 2, "inner/most/a#2"),
        ] {
            assert_eq!(key_of(of_group, &jobs, index), expected);
        }
    }

    #[test]
    fn a_job_of_a_group_has_ended_when_all_that_follows_it_has() {
        let follower = Work::Command(Box::default());
        let then = vec![follower.clone(), follower];
        let two = Work::Command(Box::new(Command { then, ..Command::default() }));
        let job = job("a", "a", two);
        let good = Some(Ending::new(Outcome::Succeeded, Reason::Done, "fine"));
        let bad = Some(failed(Reason::ExitedNonZero, "exited with 3"));
        for (ending, then, has_ended) in [
            (None, 0, false),
            (good.clone(), 0, false),
            (good.clone(), 1, false),
            (good, 2, true),
            (None, 2, false),
            (bad.clone(), 0, true),
            (bad.clone(), 1, true),
        ] {
            let known = Details { then, ending, ..Details::default() };
            assert_eq!(end_of(&known, &job).is_some(), has_ended, "{known:?}");
        }
        let retry = crate::job::Retry { max: 2, ..crate::job::Retry::default() };
        let mut job = job;
        job.policy = Policy { retry, ..Policy::default() };
        let timed_out = Some(failed(Reason::TimedOut, "out of time"));
        for (ending, tries_before, has_ended) in
            [(bad.clone(), 0, false), (bad.clone(), 1, false), (bad, 2, true), (timed_out, 0, true)]
        {
            let known = Details { ending, tries_before, ..Details::default() };
            assert_eq!(end_of(&known, &job).is_some(), has_ended, "{known:?}");
        }
    }

    #[test]
    fn a_group_says_who_failed_and_who_was_not_run() {
        let good = || Some(Ending::new(Outcome::Succeeded, Reason::Done, "fine"));
        let bad = || {
            Some(Ending { exit_code: Some(3), ..failed(Reason::ExitedNonZero, "exited with 3") })
        };
        let skipped = || Some(Ending::new(Outcome::Skipped, Reason::Overlap, "runs"));
        let degraded =
            || Some(Ending::new(Outcome::Degraded, Reason::Incomplete, "1 of 3 is down"));
        for (ended, is_cancelled, outcome, message) in [
            (vec![("a", good()), ("b", good())], false, Outcome::Succeeded, "2 jobs done in 1 s"),
            (
                vec![("a", good()), ("b", skipped())],
                false,
                Outcome::Succeeded,
                "2 jobs done in 1 s, 1 of them skipped",
            ),
            (
                vec![("a", good()), ("b", degraded())],
                false,
                Outcome::Degraded,
                "2 jobs done in 1 s: `b` degraded (1 of 3 is down)",
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
