//! Watching containers while they change: events wake, an inspection tells the truth.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::compose::model::Condition;
use crate::docker::{ContainerState, Engine};
use crate::plan::observed::{Health, State};

/// Pause before the event stream is opened again after the Engine closed it.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// How often each container was heard of; a change means "look again".
#[derive(Debug, Default)]
struct Heard {
    times: HashMap<String, u64>,
    /// Grows when the stream was cut: anything may have happened.
    reopened: u64,
}

/// Listens to one project's events and lets many wait for its containers.
pub struct Watch {
    engine: Engine,
    heard: watch::Sender<Heard>,
}

impl Watch {
    /// A watch that hears nothing until [`Watch::listen`] runs.
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), heard: watch::Sender::default() }
    }

    /// Listens until dropped; opens the stream again when the Engine closes it.
    ///
    /// # Cancel safety
    ///
    /// Holds nothing: dropping it only stops the waking.
    pub async fn listen(&self, label: &str, since: DateTime<Utc>) {
        loop {
            if let Ok(events) = self.engine.events(label, since) {
                let mut events = Box::pin(events);
                while let Some(Ok(event)) = events.next().await {
                    debug!(container = %event.id, what = ?event.what, "event");
                    self.heard.send_modify(|heard| {
                        *heard.times.entry(event.id).or_default() += 1;
                    });
                }
            }
            self.heard.send_modify(|heard| heard.reopened += 1);
            tokio::time::sleep(REOPEN_AFTER).await;
        }
    }

    /// Waits until `verdict` says how it stands with a container; asked again at each of its events and
    /// at the times it names. `None` past the deadline.
    async fn until<T>(
        &self,
        id: &str,
        deadline: Instant,
        mut verdict: impl FnMut(&ContainerState) -> Verdict<T>,
    ) -> Result<Option<T>> {
        let mut heard = self.heard.subscribe();
        loop {
            let before = Self::count(&heard.borrow_and_update(), id);
            let state = self.engine.state(id).await?;
            let again_at = match verdict(&state) {
                Verdict::Is(value) => return Ok(Some(value)),
                Verdict::NotYet => deadline,
                Verdict::AskAgainAt(time) => time.min(deadline),
            };
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let news = heard.wait_for(|now| Self::count(now, id) != before);
            // Elapsed is no error here: it is the time to ask again.
            let _ = tokio::time::timeout_at(again_at, news).await;
        }
    }

    fn count(heard: &Heard, id: &str) -> (u64, u64) {
        (heard.times.get(id).copied().unwrap_or_default(), heard.reopened)
    }

    /// Waits for a container to reach the condition a dependent set.
    ///
    /// # Errors
    ///
    /// When it cannot reach it any more, or not before the deadline.
    pub async fn reach(
        &self,
        id: &str,
        name: &str,
        condition: Condition,
        deadline: Instant,
    ) -> Result<()> {
        let reached = self.until(id, deadline, |state| match condition {
            Condition::Started => Verdict::Is(Ok(())),
            Condition::Healthy => match (state.state, state.health) {
                (State::Running, Some(Health::Healthy)) => Verdict::Is(Ok(())),
                (State::Running | State::Created, Some(Health::Starting))
                | (State::Restarting | State::Created, _) => Verdict::NotYet,
                (State::Running, None) => {
                    Verdict::Is(Err("has no health check to become healthy by".to_owned()))
                }
                (State::Running, Some(Health::Unhealthy)) => {
                    Verdict::Is(Err(format!("is unhealthy{}", last_check(state))))
                }
                (other, _) => Verdict::Is(Err(format!("is {}", other.as_str()))),
            },
            Condition::CompletedSuccessfully => match (state.state, state.exit_code) {
                (State::Exited, 0) => Verdict::Is(Ok(())),
                (State::Exited, code) => Verdict::Is(Err(format!("exited with {code}"))),
                (State::Dead | State::Removing, _) => Verdict::Is(Err("is gone".to_owned())),
                _ => Verdict::NotYet,
            },
        });
        match reached.await? {
            Some(Ok(())) => Ok(()),
            Some(Err(what)) => bail!("container `{name}` {what}"),
            None => bail!("container `{name}` did not become `{}` in time", condition.as_str()),
        }
    }

    /// Waits until a new container is well: healthy where it has a health check and `gate` asks for
    /// it, else running for [`Gate::stable_for`] without a restart, or done with exit code 0.
    ///
    /// # Errors
    ///
    /// When it is not: what happened, with the last words of its health check.
    pub async fn well(&self, id: &str, name: &str, gate: &Gate) -> Result<&'static str> {
        let started = Instant::now();
        let deadline = started + gate.within.max(gate.stable_for);
        let stable_at = started + gate.stable_for;
        let reached = self.until(id, deadline, |state| match state.state {
            State::Exited if state.exit_code == 0 && !gate.restarts => Verdict::Is(Ok("done")),
            State::Exited | State::Restarting => Verdict::Is(Err(format!(
                "exited with code {} right after its start",
                state.exit_code
            ))),
            State::Running if state.restarts > 0 => Verdict::Is(Err(format!(
                "keeps exiting with code {} and being restarted",
                state.exit_code
            ))),
            State::Running => match state.health {
                Some(Health::Unhealthy) => {
                    Verdict::Is(Err(format!("is unhealthy{}", last_check(state))))
                }
                Some(Health::Starting) if gate.healthy => Verdict::NotYet,
                Some(Health::Healthy) if gate.healthy => Verdict::Is(Ok("healthy")),
                _ if Instant::now() >= stable_at => Verdict::Is(Ok("running")),
                _ => Verdict::AskAgainAt(stable_at),
            },
            State::Created | State::Paused => Verdict::NotYet,
            State::Dead | State::Removing => Verdict::Is(Err("was removed".to_owned())),
        });
        match reached.await.with_context(|| format!("watch container `{name}`"))? {
            Some(Ok(word)) => Ok(word),
            Some(Err(what)) => bail!("container `{name}` {what}"),
            None => bail!(
                "container `{name}` did not become healthy within {} s",
                gate.within.as_secs()
            ),
        }
    }
}

fn last_check(state: &ContainerState) -> String {
    state.last_check.as_ref().map_or_else(String::new, |text| format!(": {text}"))
}

/// What a look at a container means for somebody who waits.
enum Verdict<T> {
    Is(T),
    NotYet,
    AskAgainAt(Instant),
}

/// When a new container counts as well.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Longest time to wait.
    pub within: Duration,
    /// How long one without a health check must stay up.
    pub stable_for: Duration,
    /// Whether to wait for its health check, where it has one.
    pub healthy: bool,
    /// Whether its restart policy starts it again after exit code 0: then exiting is never right.
    pub restarts: bool,
}
