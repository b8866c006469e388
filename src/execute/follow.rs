//! Staying with a container from its start to its end, through a restart of the Engine as well.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::sink::{ERR, OUT, Tee};
use super::stop::end_container;
use super::{Context, engine_ending, exited, failed, stopped};
use crate::apply::{run_hooks, seconds};
use crate::compose::model::Hook;
use crate::docker::{About, Attached, Chunk, Engine, Stream, is_not_found, is_unreachable};
use crate::run::{Ending, Outcome, Reason};

/// A logging driver that keeps nothing.
const NO_LOG: &str = "none";
/// Pause between two tries to find the Engine again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long the last words of a container that has ended may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Where a container's output is read.
pub(super) enum Source {
    /// In its log, from this time on, in seconds since the Unix epoch.
    Log(i64),
    /// From a connection made before the start, or to a terminal, whose log has no frames, or where
    /// there is no log at all.
    Live(Attached),
}

impl Source {
    /// The source for a container that is about to start. Its log would do, but the Engine (20.10)
    /// may end following it before the last lines, and has no invalid UTF-8 in it.
    pub(super) async fn of(engine: &Engine, about: &About) -> Result<Self> {
        Ok(Self::Live(engine.attach_output(&about.id, false).await?))
    }

    /// The source for a container that started earlier.
    pub(super) async fn again(engine: &Engine, about: &About, since: i64) -> Result<Self> {
        if !about.state.lives() {
            return Ok(Self::Log(since));
        }
        if about.tty && about.log_driver != NO_LOG && since == 0 {
            return Ok(Self::Live(engine.attach_output(&about.id, true).await?));
        }
        if about.log_driver == NO_LOG {
            return Ok(Self::Live(engine.attach_output(&about.id, false).await?));
        }
        Ok(Self::Log(since))
    }
}

/// Takes the bytes of both streams; counts them, so that a log read anew is not written twice.
struct Listener<'a> {
    context: Context<'a>,
    tee: Tee,
    heard: [u64; 2],
    /// What is still to be passed over.
    skip: [u64; 2],
}

impl Listener<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let index = usize::from(stream == Stream::Err);
        let length = bytes.len() as u64;
        let over = self.skip[index].min(length);
        self.skip[index] -= over;
        self.heard[index] += length;
        let rest = bytes.get(usize::try_from(over).unwrap_or(usize::MAX)..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let name = if stream == Stream::Err { ERR } else { OUT };
        self.tee.write(name, rest);
        self.context.sink.write(name, rest);
    }
}

/// Passes a container's output on until it has ended or is asked to stop, and says how it ended.
pub(super) async fn to_the_end(
    context: Context<'_>,
    (about, pre_stop): (&About, &[Hook]),
    source: Source,
    tee: Tee,
    begun: Instant,
) -> Ending {
    let (engine, id) = (&context.world.engine, about.id.as_str());
    let ended = {
        let mut listener = Listener { context, tee, heard: [0; 2], skip: [0; 2] };
        let mut follow = Box::pin(follow(engine, about, source, &mut listener));
        tokio::select! {
            ended = &mut follow => ended,
            () = context.cancel.cancelled() => {
                let end = async {
                    if let Err(error) = run_hooks(engine, (id, &about.name), pre_stop, "pre_stop").await {
                        warn!("{error:#}");
                    }
                    end_container(engine, id, &context.job.policy.stop).await
                };
                let mut end = std::pin::pin!(context.journal.step(format!("end container {}", about.name), end));
                // What it says while it ends is heard, too.
                let how = tokio::select! {
                    how = &mut end => {
                        let _ = tokio::time::timeout(LAST_WORDS, &mut follow).await;
                        how
                    }
                    _ = &mut follow => end.await,
                };
                return match how {
                    Ok(how) => stopped(how),
                    Err(error) => engine_ending(&error),
                };
            }
        }
    };
    match ended {
        Ok(Some(end)) if end.out_of_memory => {
            let ending = exited(end.exit_code, "", &seconds(begun));
            let message = format!("{}: killed for want of memory, see its limit", ending.message);
            Ending { message, ..ending }
        }
        Ok(Some(end)) => exited(end.exit_code, "", &seconds(begun)),
        Ok(None) => {
            let message = format!(
                "container `{}` was removed while it ran, so nobody knows how it ended",
                about.name
            );
            Ending::new(Outcome::Lost, Reason::ContainerGone, message)
        }
        Err(error) if is_unreachable(&error) => engine_ending(&error),
        Err(error) => failed(Reason::Internal, format!("{error:#}")),
    }
}

/// Follows to the end; `None` where the container is gone. An Engine that goes away is waited for: its
/// containers may live on without it.
async fn follow(
    engine: &Engine,
    about: &About,
    source: Source,
    listener: &mut Listener<'_>,
) -> Result<Option<About>> {
    let id = about.id.as_str();
    let mut source = Some(source);
    let mut was_away = false;
    let mut log_since = None;
    loop {
        if let Some(Source::Log(since)) = source {
            log_since = Some(since);
        }
        let followed = match source.take() {
            Some(Source::Live(attached)) => hear(attached, listener).await,
            Some(Source::Log(since)) => {
                let mut take = |stream, bytes: &[u8]| listener.take(stream, bytes);
                engine.follow_bytes(id, since, &mut take).await
            }
            None => Ok(()),
        };
        if let Err(error) = &followed
            && !is_unreachable(error)
            && !is_not_found(error)
        {
            warn!("{error:#}; the rest of the output is lost");
        }
        let waited = match followed {
            Err(error) if is_unreachable(&error) => Err(error),
            _ => engine.wait(id).await.map(drop),
        };
        let looked = match waited {
            Err(error) if is_unreachable(&error) => Err(error),
            // Whatever the wait said, an inspection tells the truth.
            _ => engine.about(id).await,
        };
        match looked {
            Ok(None) => return Ok(None),
            Ok(Some(now)) if !now.state.lives() => {
                if let Some(since) = log_since {
                    // Following may have ended before the last lines; now they are all there.
                    listener.skip = listener.heard;
                    let mut take = |stream, bytes: &[u8]| listener.take(stream, bytes);
                    if let Err(error) = engine.follow_bytes(id, since, &mut take).await {
                        warn!("{error:#}; the last of the output may be lost");
                    }
                }
                return Ok(Some(now));
            }
            Ok(Some(now)) if was_away => {
                was_away = false;
                info!("the Engine is back, and container {} lives", about.name);
                listener.skip = listener.heard;
                listener.heard = [0; 2];
                source = Some(Source::again(engine, &now, 0).await.unwrap_or(Source::Log(0)));
                continue;
            }
            Ok(Some(_)) => {}
            Err(error) if is_unreachable(&error) => {
                if !was_away {
                    warn!("{error:#}; waiting for the Engine while {} may live on", about.name);
                }
                was_away = true;
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn hear(mut attached: Attached, listener: &mut Listener<'_>) -> Result<()> {
    while let Some(chunk) = attached.output.next().await {
        let Chunk { stream, bytes } = chunk.context("read the output")?;
        listener.take(stream, &bytes);
    }
    Ok(())
}
