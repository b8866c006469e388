//! `container`: starts, stops or signals containers that are there, in order.

use anyhow::Result;
use tracing::info;

use super::stop::end_container;
use super::target::{self, Found};
use super::{Answer, Context, engine_ending, failed, stopped};
use crate::docker::{Engine, is_unreachable};
use crate::job::Stop;
use crate::job::work::{Action, ContainerAction};
use crate::plan::observed::State;
use crate::run::{Ending, Outcome, Reason};

pub(super) async fn act(context: Context<'_>, work: &ContainerAction) -> Answer {
    let engine = &context.world.engine;
    let names = work.targets.iter().map(target::described);
    let command: Vec<String> = std::iter::once(verb(&work.action)).chain(names).collect();
    context.made_of(|details| details.command = command).await;
    let mut done = Vec::new();
    for wanted in &work.targets {
        let found = match target::find(engine, wanted).await? {
            Ok(found) => found,
            Err(ending) => return Ok(after(&done, ending)),
        };
        for container in found {
            if context.cancel.is_cancelled() {
                return Ok(after(&done, stopped(format!("stopped before `{}`", container.name))));
            }
            let step = format!("{} container {}", verb(&work.action), container.name);
            let work = one(engine, &work.action, &container, &context.job.policy.stop);
            match context.journal.step(&step, work).await {
                Ok(what) => {
                    info!("container {}: {what}", container.name);
                    done.push(format!("`{}` {what}", container.name));
                }
                Err(error) if is_unreachable(&error) => {
                    return Ok(after(&done, engine_ending(&error)));
                }
                Err(error) => {
                    return Ok(after(&done, failed(Reason::NotStarted, format!("{error:#}"))));
                }
            }
        }
    }
    Ok(Ending::new(Outcome::Succeeded, Reason::Done, done.join(", ")))
}

/// An ending that says what was done before it.
fn after(done: &[String], ending: Ending) -> Ending {
    if done.is_empty() {
        return ending;
    }
    let message = format!("{}; before that: {}", ending.message, done.join(", "));
    Ending { message, ..ending }
}

fn verb(action: &Action) -> String {
    match action {
        Action::Start => "start".to_owned(),
        Action::Stop => "stop".to_owned(),
        Action::Restart => "restart".to_owned(),
        Action::Pause => "pause".to_owned(),
        Action::Unpause => "unpause".to_owned(),
        Action::Signal(signal) => format!("send {signal} to"),
    }
}

/// Does it to one container; what is so already is left alone.
async fn one(engine: &Engine, action: &Action, it: &Found, stop: &Stop) -> Result<String> {
    let said = |text: &str| Ok(text.to_owned());
    match action {
        Action::Start if it.state == State::Running => said("ran already"),
        Action::Start => engine.start(&it.id).await.map(|()| "started".to_owned()),
        Action::Stop if !it.state.lives() => said("was stopped already"),
        // Signal and grace of the job, where it names them; the Engine then keeps it stopped all the
        // same: what somebody stopped is not started by its restart policy.
        Action::Stop => stop_one(engine, it, stop).await.map(|how| format!("stopped: {how}")),
        Action::Restart => restart(engine, it, stop).await.map(|()| "restarted".to_owned()),
        Action::Pause if it.state == State::Paused => said("was paused already"),
        Action::Pause => engine.pause(&it.id).await.map(|()| "paused".to_owned()),
        Action::Unpause if it.state == State::Running => said("was not paused"),
        Action::Unpause => engine.unpause(&it.id).await.map(|()| "unpaused".to_owned()),
        Action::Signal(signal) => {
            engine.kill(&it.id, signal).await.map(|()| format!("got {signal}"))
        }
    }
}

pub(super) async fn stop_one(engine: &Engine, it: &Found, stop: &Stop) -> Result<String> {
    if stop.signal.is_none() {
        engine.stop_within(&it.id, grace(stop)).await?;
        let ended = engine.about(&it.id).await?;
        return Ok(ended.map_or_else(
            || "and removed by itself".to_owned(),
            |ended| format!("exited with {}", ended.exit_code),
        ));
    }
    let how = end_container(engine, &it.id, stop).await?;
    // A signal alone leaves its restart policy in force.
    engine.stop_within(&it.id, grace(stop)).await?;
    Ok(how)
}

pub(super) async fn restart(engine: &Engine, it: &Found, stop: &Stop) -> Result<()> {
    if stop.signal.is_none() {
        return engine.restart(&it.id, grace(stop)).await;
    }
    stop_one(engine, it, stop).await?;
    engine.start(&it.id).await
}

fn grace(stop: &Stop) -> Option<i32> {
    stop.grace.map(|grace| i32::try_from(grace.as_secs()).unwrap_or(i32::MAX))
}
