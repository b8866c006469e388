//! Going on with a run that a crash of ours cut off: from what was written down, and from the containers
//! that are there.
//!
//! A container that lives, or ended meanwhile, is taken over; a job at a server is followed on; a work that
//! had not begun begins; what ended is not done again. Of what went on in our own process nobody knows how
//! far it came: it is lost.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::info;

use super::run::{remove, remove_ended, start_and_follow};
use super::sink::Tee;
use super::{
    Context, Execution, alone, and_then, backup, certificate, engine_ending, failed, follow, group,
    ogc, prepared, suffix_of, within_time,
};
use crate::docker::Container;
use crate::job::{Job, RunContainer, Work};
use crate::logs::Output;
use crate::plan::labels;
use crate::plan::observed::State;
use crate::reconcile::World;
use crate::run::{Details, Ending, Outcome, Reason};

/// The time that a run gets after all, when its own is over already: to say what its container said.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Goes on with a run; `containers` are those that were made for it, in every state. Never fails: how it
/// ended is the answer.
pub async fn adopt(world: &World, execution: &Execution<'_>, containers: &[Container]) -> Ending {
    let (job, run) = (execution.job, execution.run);
    let details = execution.store.details(run).await.ok().flatten().unwrap_or_default();
    let started = execution.store.run(run).await.ok().flatten().map(|run| run.started);
    // A container's output comes again from its start; nothing else does.
    let comes_again = match job.work {
        Work::Group(_) | Work::OgcProcess(_) => None,
        _ if details.ending.is_some() => None,
        _ => details
            .since
            .or_else(|| started.filter(|_| details.then == 0 && details.container.is_some())),
    };
    let output = Output::open_again(execution.log, &job.name, run, comes_again);
    let output = prepared(output, world, job);
    let limit = time_left(job, started, (world.now)());
    within_time(world, execution, (output, limit), Some(containers)).await
}

/// What is left of a job's time, which began when it started, not now.
pub(super) fn time_left(job: &Job, started: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    let spent = started.and_then(|started| (now - started).to_std().ok()).unwrap_or_default();
    job.timeout.saturating_sub(spent).max(LEAST_TIME)
}

/// Goes on with the work of a job where it was cut off, and with what follows it.
pub(super) fn go_on<'a>(
    context: Context<'a>,
    containers: &'a [Container],
) -> BoxFuture<'a, Ending> {
    Box::pin(async move {
        let known = context.record.known(context.member).await.unwrap_or_default();
        let works = context.job.work.then();
        let place = known.then.min(works.len());
        let ending = match (&known.ending, place) {
            (Some(ending), _) => {
                clear_away(context, context.job, &known, containers).await;
                ending.clone()
            }
            (None, 0) => cut_off(context, &context.job.work, &known, containers).await,
            (None, _) => {
                let (suffix, work) = (suffix_of(context, place), &works[place - 1]);
                let context = Context { suffix: &suffix, ..context };
                let ending = cut_off(context, work, &known, containers).await;
                and_then(context, ending, work.then(), 0).await
            }
        };
        and_then(context, ending, works, place).await
    })
}

/// Removes the container of the work of a job whose end was written down, where it is still there.
pub(super) async fn clear_away(
    context: Context<'_>,
    job: &Job,
    known: &Details,
    containers: &[Container],
) {
    let place = known.then.checked_sub(1);
    let work = place.and_then(|before| job.work.then().get(before)).unwrap_or(&job.work);
    let is_kept = match work {
        Work::Run(run) => {
            let run = run.container.unpack();
            run.keep || run.container.is_some()
        }
        _ => false,
    };
    let left = containers.iter().find(|it| known.container.as_ref() == Some(&it.id));
    if let Some(left) = left.filter(|_| !is_kept) {
        remove(context, &left.id, &left.name).await;
    }
}

/// One work that had not ended.
async fn cut_off(
    context: Context<'_>,
    work: &Work,
    known: &Details,
    containers: &[Container],
) -> Ending {
    let answer = match (work, &known.remote) {
        (Work::Run(_) | Work::ComposeRun(_), _) => {
            return in_container(context, work, known, containers).await;
        }
        (Work::Certificate(work), _) => certificate::go_on(context, work, known, containers).await,
        (Work::Group(group), _) => group::group(context, group, Some(containers)).await,
        (work, _) if work.repository().is_some() => {
            return backup::cut_off(context, known, containers).await;
        }
        (Work::OgcProcess(process), Some(remote)) => {
            ogc::go_on(context, process, remote.clone()).await
        }
        _ => {
            let message = "roadstead died during this work, and nobody knows how far it came";
            return Ending::new(Outcome::Lost, Reason::Crashed, message);
        }
    };
    answer.unwrap_or_else(|error| engine_ending(&error))
}

/// A work that has a container of its own, unless that was not made yet.
pub(super) async fn in_container(
    context: Context<'_>,
    work: &Work,
    known: &Details,
    containers: &[Container],
) -> Ending {
    let engine = &context.world.engine;
    let is_first = known.then == 0;
    let recorded = known.container.as_deref().filter(|_| is_first || known.since.is_some());
    let own = containers.iter().filter(|it| it.label(labels::JOB) == context.job.name);
    // One whose id could not be written down was not started; one that has ended may be of a work before.
    let of_work = own.filter(|it| {
        Some(it.id.as_str()) == recorded
            || recorded.is_none() && (is_first || it.state.lives() || it.state == State::Created)
    });
    let found = of_work.max_by_key(|it| (it.state.lives(), it.created)).map(|it| it.id.as_str());
    let Some(container) = found.or(recorded) else {
        info!("nothing of it had begun: it begins now");
        return alone(context, work).await;
    };
    let about = match engine.about(container).await {
        Ok(Some(about)) => about,
        Ok(None) => {
            let message = format!(
                "container `{}` was removed while nobody looked, so nobody knows how it ended",
                container.get(..12).unwrap_or(container)
            );
            return Ending::new(Outcome::Lost, Reason::ContainerGone, message);
        }
        Err(error) => return engine_ending(&error),
    };
    let run = match work {
        Work::Run(run) => run.container.unpack(),
        _ => RunContainer::default(),
    };
    let is_ours = run.container.is_none();
    let begun = Instant::now();
    let ending = if about.state == State::Created && is_ours {
        info!("container {} was made and not started before roadstead died", about.name);
        let tee = match Tee::open(&run.redirect) {
            Ok(tee) => tee,
            Err(error) => return failed(Reason::PrepareFailed, format!("{error:#}")),
        };
        match start_and_follow(context, (&about.id, &about.name), &run.service, tee).await {
            Ok(ending) => ending,
            Err(error) => engine_ending(&error),
        }
    } else {
        info!("container {} of this run is {}: taking over", about.name, about.state.as_str());
        let tee = match Tee::open_again(&run.redirect) {
            Ok(tee) => tee,
            Err(error) => return failed(Reason::PrepareFailed, format!("{error:#}")),
        };
        // What an existing container wrote in earlier runs is not this one's.
        let since = known.since.filter(|_| !is_ours).map_or(0, |since| since.timestamp());
        match follow::Source::again(engine, &about, since).await {
            Ok(source) => {
                follow::to_the_end(context, (&about, &run.service.pre_stop), source, tee, begun)
                    .await
            }
            Err(error) => engine_ending(&error),
        }
    };
    let message = format!("{}, taken over after a restart of roadstead", ending.message);
    let ending = Ending { message, ..ending };
    // Without the Engine nothing can be removed, and the container may live on.
    if !run.keep && is_ours && ending.reason != Reason::EngineUnreachable {
        remove_ended(context, (&about.id, &about.name), Some(&ending)).await;
    }
    ending
}
