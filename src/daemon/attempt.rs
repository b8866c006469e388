//! One run from its start to its end, with all its tries; a fault of ours ends this run alone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Event;
use super::runs::outlives_us;
use crate::docker::Container;
use crate::execute::{Execution, adopt, execute, pause_after};
use crate::job::{Job, Retry};
use crate::notify::Notifier;
use crate::reconcile::World;
use crate::run::{Details, Ending, Live, Outcome, Reason, Restore, RunId, Trigger};
use crate::settings::LogSettings;
use crate::store::{Change, Store};

/// How long a restore may take at least.
const TIME_TO_RESTORE: Duration = Duration::from_hours(7 * 24);

/// What a run needs.
pub(super) struct Attempt {
    pub world: World,
    pub store: Store,
    pub log: LogSettings,
    pub job: Job,
    pub run: RunId,
    pub trigger: Trigger,
    pub cancel: CancellationToken,
    pub needs_recovery: Arc<AtomicBool>,
    /// The other jobs that its work names.
    pub jobs: Vec<Job>,
    /// Whether jobs may run programs in our own container.
    pub allow_commands: bool,
    /// When the run started.
    pub started: DateTime<Utc>,
    /// Who tells others that it started.
    pub notifier: Option<Notifier>,
    /// The containers that were made for it, in every state, where the run started before us.
    pub adopted: Option<Vec<Container>>,
    /// What it restores in place, in place of the job's work.
    pub restore: Option<Restore>,
    /// Where it says how far it is.
    pub progress: Live,
}

/// Carries a run out.
pub(super) async fn attempt(attempt: Attempt) -> Event {
    Event::Finished { run: attempt.run, ending: attempt.to_its_end().await }
}

impl Attempt {
    /// Carries it out. A fault of ours ends this run, not the daemon's knowledge of it.
    pub(super) async fn to_its_end(&self) -> Ending {
        let ended = AssertUnwindSafe(self.carry_out()).catch_unwind().await;
        let ending = ended.unwrap_or_else(|_| {
            self.needs_recovery.store(true, Ordering::Relaxed);
            let message = "roadstead has a fault: the run panicked, see stderr; please report it";
            Ending::new(Outcome::Failed, Reason::Internal, message)
        });
        match (ending.outcome, ending.reason) {
            (Outcome::Failed, Reason::TimedOut) => Ending { outcome: Outcome::TimedOut, ..ending },
            _ => ending,
        }
    }

    async fn carry_out(&self) -> Ending {
        // What has a container of its own is running once that is there: before, nothing has begun.
        if (!outlives_us(&self.job) || self.adopted.is_some())
            && let Err(error) = self.say_running().await
        {
            let message = format!("it was not begun, because that cannot be recorded: {error:#}");
            return Ending::new(Outcome::Failed, Reason::Internal, message);
        }
        if let Some(notifier) = self.notifier.as_ref().filter(|_| self.adopted.is_none()) {
            notifier.started(&self.job, self.run, self.started).await;
        }
        // What was restored in part is for a person to look at.
        let retry = match &self.restore {
            Some(_) => Retry::default(),
            None => self.job.policy.retry,
        };
        let before = ((self.world.now)() - self.started).to_std().unwrap_or_default();
        let begun = Instant::now();
        let left = || self.time().saturating_sub(before + begun.elapsed());
        let mut number = self.tries_before().await.max(1);
        let mut adopted = self.adopted.as_deref();
        loop {
            let ending = self.one_try(number, left(), adopted.take()).await;
            if !retry.is_due_after(number, &ending) || self.cancel.is_cancelled() {
                return ending;
            }
            let pause = pause_after(&retry, number);
            if pause >= left() {
                warn!("no time is left for another try");
                return ending;
            }
            info!("trying again in {:.1} s: {}", pause.as_secs_f64(), ending.message);
            tokio::select! {
                () = tokio::time::sleep(pause) => number += 1,
                () = self.cancel.cancelled() => return ending,
            }
        }
    }

    /// How long it may take: how long a backup may says nothing of a restore.
    fn time(&self) -> Duration {
        self.restore.as_ref().map_or(self.job.timeout, |_| self.job.timeout.max(TIME_TO_RESTORE))
    }

    async fn say_running(&self) -> anyhow::Result<()> {
        let changes = vec![Change::Running(self.run)];
        self.store.record((self.world.now)(), changes).await.map(drop)
    }

    /// How many tries there were before we died.
    async fn tries_before(&self) -> u32 {
        if self.adopted.is_none() {
            return 0;
        }
        let steps = self.store.steps(self.run).await.unwrap_or_default();
        let tries = steps.iter().filter(|step| step.name.starts_with("try ")).count();
        u32::try_from(tries).unwrap_or(u32::MAX)
    }

    /// One try, as a step of its own where there may be several.
    async fn one_try(&self, number: u32, left: Duration, adopted: Option<&[Container]>) -> Ending {
        let now = || (self.world.now)();
        let most = if self.restore.is_some() { 1 } else { self.job.policy.retry.max + 1 };
        // Steps of this try come after those before it.
        let mut first = match number {
            1 if adopted.is_none() => 0,
            _ => self.store.steps(self.run).await.map_or(0, |steps| steps.len()),
        };
        let step = (most > 1 && adopted.is_none()).then_some(first);
        if let Some(step) = step {
            first += 1;
            let name = format!("try {number} of {most}");
            if let Err(error) = self.store.begin_try(self.run, step, &name, now()).await {
                warn!("the journal could not be written: {error:#}");
            }
        }
        let store = self.store.with_steps_from(first);
        // The first try has all of the time; what is taken over knows itself how much of it is spent.
        let is_first = number == 1 || adopted.is_some();
        let timeout = if is_first { self.time() } else { left };
        let mut job = self.job.clone();
        job.timeout = timeout;
        let execution = Execution {
            job: &job,
            run: self.run,
            trigger: self.trigger,
            store: &store,
            log: &self.log,
            cancel: self.cancel.clone(),
            needs_recovery: &self.needs_recovery,
            jobs: &self.jobs,
            allow_commands: self.allow_commands,
            restore: self.restore.as_ref(),
            progress: &self.progress,
        };
        let ending = match adopted {
            Some(containers) => Box::pin(adopt(&self.world, &execution, containers)).await,
            None => Box::pin(execute(&self.world, &execution)).await,
        };
        if most > 1 && ending.outcome == Outcome::Failed {
            self.keep(&ending).await;
        }
        if let Some(step) = step {
            let failure = (ending.outcome == Outcome::Failed).then_some(ending.message.as_str());
            if let Err(error) = self.store.end_step(self.run, step, now(), failure).await {
                error!("the journal could not be written: {error:#}");
            }
        }
        ending
    }

    /// Writes down how a try ended: what dies before the next one goes on with it.
    async fn keep(&self, ending: &Ending) {
        let known = self.store.details(self.run).await.ok().flatten().unwrap_or_default();
        let known = Details { ending: Some(ending.clone()), ..known };
        if let Err(error) = self.store.set_details(self.run, &known).await {
            warn!("the end of a try could not be written down: {error:#}");
        }
    }
}
