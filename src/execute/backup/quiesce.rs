//! Keeping writers still: each is written down before it is touched.

use std::time::Duration;

use anyhow::{Result, bail};
use tracing::info;

use crate::docker::{Engine, is_unreachable};
use crate::execute::container::stop_one;
use crate::execute::kill::{self, Marked};
use crate::execute::put_back::Command;
use crate::execute::target::Found;
use crate::execute::{Context, engine_ending, failed, stopped};
use crate::job::work::QuiesceHow;
use crate::plan::backup::Still;
use crate::plan::observed::State;
use crate::run::{Details, Ending, Owed, Reason};

/// How often a container that the kernel does not freeze is paused.
const PAUSES: usize = 5;
const PAUSE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Looks whether all of them could be kept still as they are to be; touches nothing.
///
/// # Errors
///
/// When the Engine does not answer, or one would not come back.
pub(super) async fn refuse(context: Context<'_>, all: &[Still]) -> Result<()> {
    for it in all.iter().filter(|it| it.how == QuiesceHow::Stop) {
        let about = context.world.engine.about(&it.id).await?;
        if about.is_some_and(|about| about.auto_remove) {
            bail!(
                "container `{}` is removed by the Engine when it stops (`--rm`), and would not come \
                 back: have it paused, or run it without `--rm`",
                it.name
            );
        }
    }
    Ok(())
}

/// Keeps them still, in order. Whatever comes of it, [`crate::execute::put_back`] brings them back.
pub(super) async fn keep_still(context: Context<'_>, all: &[Still]) -> Result<(), Ending> {
    for it in all {
        if context.cancel.is_cancelled() {
            return Err(stopped(format!("stopped before `{}` was kept still", it.name)));
        }
        let written = context.record.try_change(context.member, |details| owe(details, it)).await;
        written.map_err(|error| {
            let message = format!("write down who is kept still: {error:#}");
            failed(Reason::NotStarted, message)
        })?;
        if !it.before.is_empty() {
            let step = format!("run {} in container {}", it.before[0], it.name);
            let before = context.journal.step(step, before(context, it)).await;
            before.map_err(|error| ending(context, &error))?;
        }
        let engine = &context.world.engine;
        let done = match it.how {
            QuiesceHow::Stop => {
                let (id, name) = (it.id.clone(), it.name.clone());
                let found = Found { id, name, state: State::Running };
                let stop = stop_one(engine, &found, &context.job.policy.stop);
                context.journal.step(format!("stop container {}", it.name), stop).await.map(drop)
            }
            QuiesceHow::Pause => {
                let step = format!("pause container {}", it.name);
                context.journal.step(step, pause(engine, &it.id)).await
            }
            QuiesceHow::Exec | QuiesceHow::None => Ok(()),
        };
        done.map_err(|error| ending(context, &error))?;
        info!("container {} is still", it.name);
    }
    Ok(())
}

/// Pauses a container; on a busy machine the kernel may not freeze it at the first try.
async fn pause(engine: &Engine, id: &str) -> Result<()> {
    for _ in 1..PAUSES {
        match engine.pause(id).await {
            Err(error) if format!("{error:#}").contains("unable to freeze") => {}
            paused => return paused,
        }
        tokio::time::sleep(PAUSE_AGAIN_AFTER).await;
    }
    engine.pause(id).await
}

/// Writes down what brings it back: the last to be kept still is the first to go on.
fn owe(details: &mut Details, still: &Still) {
    match still.how {
        QuiesceHow::Stop => details.stopped.insert(0, still.id.clone()),
        QuiesceHow::Pause => details.paused.insert(0, still.id.clone()),
        QuiesceHow::Exec | QuiesceHow::None => {}
    }
    if !still.after.is_empty() {
        let owed = Owed { container: still.id.clone(), command: still.after.clone() };
        details.owed.insert(0, owed);
    }
}

fn ending(context: Context<'_>, error: &anyhow::Error) -> Ending {
    if context.cancel.is_cancelled() {
        return stopped(format!("{error:#}"));
    }
    if is_unreachable(error) {
        return engine_ending(error);
    }
    failed(Reason::PrepareFailed, format!("{error:#}"))
}

/// The command before.
async fn before(context: Context<'_>, it: &Still) -> Result<()> {
    let engine = &context.world.engine;
    let token = token(context, &it.name);
    let mark = format!("{}={token}", kill::VARIABLE);
    let mut command = Command::start(engine, &it.id, &it.before, vec![mark]).await?;
    let exec = command.exec.clone();
    let ran = tokio::select! {
        ran = command.finish(engine) => ran?,
        () = context.cancel.cancelled() => {
            let marked =
                Marked { container: &it.id, token: &token, user: "", privileged: false };
            let how = kill::end_exec(engine, &exec, &marked, &context.job.policy.stop).await?;
            bail!("`{}` in container `{}`: {how}", it.before.join(" "), it.name);
        }
    };
    if ran.code != 0 {
        bail!(
            "`{}` in container `{}` exited with {}: {}",
            it.before.join(" "),
            it.name,
            ran.code,
            ran.last_words
        );
    }
    Ok(())
}

/// What a command of this run in a container is found by.
pub(super) fn token(context: Context<'_>, container: &str) -> String {
    let now = (context.world.now)().timestamp_nanos_opt().unwrap_or_default();
    let (job, run) = (&context.job.name, context.execution.run);
    format!("{job}-{run}{}-{container}-{now}", context.suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_be_still_is_the_first_to_go_on() {
        let still = |id: &str, how, after: &[&str]| Still {
            id: id.to_owned(),
            name: id.to_owned(),
            how,
            before: Vec::new(),
            after: after.iter().map(|it| (*it).to_owned()).collect(),
        };
        let mut details = Details::default();
        owe(&mut details, &still("web", QuiesceHow::Stop, &[]));
        owe(&mut details, &still("db", QuiesceHow::Stop, &["thaw"]));
        owe(&mut details, &still("queue", QuiesceHow::Pause, &[]));
        owe(&mut details, &still("cache", QuiesceHow::Exec, &["go", "on"]));
        assert_eq!(details.stopped, ["db", "web"]);
        assert_eq!(details.paused, ["queue"]);
        let owed: Vec<&str> = details.owed.iter().map(|it| it.container.as_str()).collect();
        assert_eq!(owed, ["cache", "db"]);
    }
}
