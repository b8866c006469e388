//! Taking over a run whose container lives, or ended, while we were dead.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::run::{remove, start_and_follow};
use super::sink::Tee;
use super::{Context, Execution, and_then, engine_ending, failed, follow, prepared, within_time};
use crate::job::{RunContainer, Work};
use crate::logs::Output;
use crate::plan::observed::State;
use crate::reconcile::World;
use crate::run::{Ending, Outcome, Reason};

/// The time that a run gets after all, when its own is over already: to say what its container said.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Takes over a run whose container was left behind: its output from the container's start on, its
/// exit code, its removal, and what is to follow it. Never fails: how it ended is the answer.
pub async fn adopt(world: &World, execution: &Execution<'_>, container: &str) -> Ending {
    let output = Output::open_again(execution.log, &execution.job.name, execution.run);
    let output = prepared(output, world, execution.job);
    let limit = time_left(world, execution).await;
    within_time(world, execution, (output, limit), Some(container)).await
}

/// The run's time began when it started, not now.
async fn time_left(world: &World, execution: &Execution<'_>) -> Duration {
    let run = execution.store.run(execution.run).await.ok().flatten();
    let spent = run.and_then(|run| ((world.now)() - run.started).to_std().ok()).unwrap_or_default();
    execution.job.timeout.saturating_sub(spent).max(LEAST_TIME)
}

pub(super) async fn take_over(context: Context<'_>, container: &str) -> Ending {
    let engine = &context.world.engine;
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
    let none = RunContainer::default();
    let (run, is_ours) = match &context.job.work {
        Work::Run(run) => (run.as_ref(), run.container.is_none()),
        Work::ComposeRun(_) => (&none, true),
        // The others of the group cannot be told from it: those that ran, and those that did not.
        Work::Group(_) => return end_of_group(context, &about.id, &about.name).await,
        Work::Deploy(_)
        | Work::Exec(_)
        | Work::Container(_)
        | Work::Command(_)
        | Work::Http(_)
        | Work::OgcProcess(_) => {
            let message = "roadstead died during this run, which had no container of its own";
            return Ending::new(Outcome::Lost, Reason::Crashed, message);
        }
    };
    let keep = run.keep || !is_ours;
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
        let started = context.execution.store.run(context.execution.run).await.ok().flatten();
        let since = started.filter(|_| !is_ours).map_or(0, |run| run.started.timestamp());
        match follow::Source::again(engine, &about, since).await {
            Ok(source) => {
                follow::to_the_end(context, (&about, &run.service.pre_stop), source, tee, begun)
                    .await
            }
            Err(error) => engine_ending(&error),
        }
    };
    // Without the Engine nothing can be removed, and the container may live on.
    if !keep && ending.reason != Reason::EngineUnreachable {
        remove(context, &about.id, &about.name).await;
    }
    let message = format!("{}, taken over after a restart of roadstead", ending.message);
    and_then(context, Ending { message, ..ending }, &run.then).await
}

/// A group cannot go on where it was: its container is ended and removed.
async fn end_of_group(context: Context<'_>, id: &str, name: &str) -> Ending {
    let stop = &context.job.policy.stop;
    let ended = super::stop::end_container(&context.world.engine, id, stop).await;
    let how = match ended {
        Ok(how) => how,
        Err(error) => return engine_ending(&error),
    };
    remove(context, id, name).await;
    let message = format!(
        "roadstead died during this group; container `{name}` of one of its jobs was ended ({how})"
    );
    Ending::new(Outcome::Lost, Reason::Crashed, message)
}
