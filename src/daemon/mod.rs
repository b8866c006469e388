//! The daemon: the one loop that owns everything that changes, and the only writer of history.
//!
//! One `enum Event`, one `JoinSet`, one queue. What a run does is not decided here.

mod configuration;
mod once;
mod runs;

pub use self::once::{run_once, unknown_job};
use self::runs::request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Span, error, info, warn};

use crate::clock::{Agenda, Timetable};
use crate::control::{Conversation, Listener, Reply, Request as Asked};
use crate::job::schedule::Schedule;
use crate::job::{Configuration, Job, Work};
use crate::queue::{Queue, Request};
use crate::reconcile::{self, World};
use crate::run::{Ending, Outcome, Reason, Run, RunId, Trigger};
use crate::store::{RunFilter, Store};

/// The longest sleep of the loop: a machine that slept or a clock that was set is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Jobs that run at once.
const PARALLEL_RUNS: usize = 8;
/// Runs of each job that history keeps.
const RUNS_KEPT: usize = 1000;
/// First and longest pause between two tries to reach the Engine.
const ENGINE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Everything that can wake the loop.
enum Event {
    /// Something may be due.
    Time,
    /// A command connected.
    Connected(UnixStream),
    /// A command's request was read.
    Asked(Conversation),
    /// A command connected and said nothing readable.
    Mumbled,
    /// A run ended.
    Finished { job: String, run: RunId, ending: Ending },
    /// The Engine answers and interrupted switches are repaired.
    EngineReady {
        /// True when it did not answer at first.
        was_down: bool,
    },
    /// Stop.
    Terminate,
    /// Read the configuration anew.
    Reload,
}

/// A run that goes on.
struct Running {
    run: RunId,
    started: DateTime<Utc>,
    begun: Instant,
    cancel: CancellationToken,
    is_deploy: bool,
    span: Span,
    askers: Vec<Conversation>,
}

struct Daemon {
    world: World,
    store: Store,
    configuration: Configuration,
    agenda: Agenda,
    queue: Queue,
    running: BTreeMap<String, Running>,
    /// Commands that wait for a queued run to start.
    waiting: BTreeMap<String, Vec<Conversation>>,
    tasks: JoinSet<Event>,
    needs_recovery: Arc<AtomicBool>,
    engine_ready: bool,
    /// What the queue let through while the Engine was not ready.
    held: Vec<Request>,
    /// True once jobs that need a look at startup had theirs.
    looked_at_startup: bool,
    /// Problems already told, so that each is told once.
    told: String,
}

/// Runs until a signal ends it.
///
/// # Errors
///
/// When signals cannot be listened for, or the store fails at the start.
pub async fn serve(
    world: World,
    store: Store,
    configuration: Configuration,
    listener: Listener,
) -> Result<()> {
    let grace = configuration.settings.shutdown_grace;
    let mut daemon = Daemon {
        world,
        store,
        configuration,
        agenda: Agenda::default(),
        queue: Queue::new(PARALLEL_RUNS),
        running: BTreeMap::new(),
        waiting: BTreeMap::new(),
        tasks: JoinSet::new(),
        needs_recovery: Arc::default(),
        engine_ready: false,
        held: Vec::new(),
        looked_at_startup: false,
        told: String::new(),
    };
    let mut signals = Signals::new()?;
    daemon.start().await?;
    loop {
        let event = daemon.next_event(&listener, &mut signals).await;
        if matches!(event, Event::Terminate) {
            return daemon.stop(grace, &listener, &mut signals).await;
        }
        daemon.handle(event).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// # Cancel safety
    ///
    /// Safe: `Signal::recv` is.
    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::Terminate,
            _ = self.interrupt.recv() => Event::Terminate,
            _ = self.hangup.recv() => Event::Reload,
        }
    }
}

impl Daemon {
    async fn start(&mut self) -> Result<()> {
        let now = (self.world.now)();
        for run in self.store.lose_open_runs(now).await? {
            warn!("run {} of {} was cut off when roadstead died", run.id, run.job);
        }
        self.store.prune_runs(RUNS_KEPT).await?;
        self.fill_agenda(now).await;
        let count = self.configuration.jobs.len();
        let jobs = if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
        info!("roadstead {} serves {jobs}", env!("CARGO_PKG_VERSION"));
        for job in &self.configuration.jobs {
            let next = self.agenda.next_of(&job.name);
            let next = next.map_or_else(|| "on request".to_owned(), |it| it.to_rfc3339());
            info!("job {} ({}): {}, next {next}", job.name, job.work.kind(), job.schedule);
        }
        self.reach_engine();
        Ok(())
    }

    /// Tries until the Engine answers, then repairs what a crash left. Nothing runs before.
    fn reach_engine(&mut self) {
        self.engine_ready = false;
        let world = self.world.clone();
        // A run that goes on puts its own project back.
        let idle = self.configuration.jobs.iter().filter(|it| !self.running.contains_key(&it.name));
        let directories = reconcile::directories(idle);
        self.tasks.spawn(async move {
            let (mut pause, longest) = ENGINE_RETRY;
            let mut was_down = false;
            loop {
                let reached = async {
                    world.engine.ping().await?;
                    reconcile::recover(&world, &directories).await
                };
                match reached.await {
                    Ok(_) => return Event::EngineReady { was_down },
                    Err(error) => {
                        was_down = true;
                        warn!("{error:#}; trying again in {} s", pause.as_secs());
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(longest);
                    }
                }
            }
        });
    }

    async fn fill_agenda(&mut self, now: DateTime<Utc>) {
        for job in &self.configuration.jobs {
            let last = self.store.last_slot(&job.name).await.unwrap_or_default();
            // What passed while we were down is due at once, and the job's policy decides about it.
            self.agenda.insert(Timetable::of(job), last.unwrap_or(now));
        }
    }

    /// # Cancel safety
    ///
    /// Each arm is: a connection, a finished task and a signal are only taken when returned.
    async fn next_event(&mut self, listener: &Listener, signals: &mut Signals) -> Event {
        let sleep = self.time_to_sleep();
        tokio::select! {
            biased;
            event = signals.next() => event,
            Some(finished) = self.tasks.join_next() => finished.unwrap_or_else(|panic| {
                error!("a task of ours died: {panic}");
                Event::Time
            }),
            Ok(stream) = listener.accept() => Event::Connected(stream),
            () = tokio::time::sleep(sleep) => Event::Time,
        }
    }

    fn time_to_sleep(&self) -> Duration {
        let due = self.agenda.next_due().filter(|_| self.engine_ready);
        let until = due.map(|due| (due - (self.world.now)()).to_std().unwrap_or_default());
        until.map_or(LONGEST_SLEEP, |until| until.min(LONGEST_SLEEP))
    }

    fn listen_to(&mut self, stream: UnixStream) {
        let opened =
            async move { Conversation::open(stream).await.map_or(Event::Mumbled, Event::Asked) };
        self.tasks.spawn(opened);
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Time => self.start_due().await,
            Event::Connected(stream) => self.listen_to(stream),
            Event::Asked(conversation) => self.answer(conversation).await,
            Event::Mumbled | Event::Terminate => {}
            Event::Finished { job, run, ending } => self.finish(&job, run, &ending).await,
            // Another run ended badly in the meantime.
            Event::EngineReady { .. } if self.needs_recovery.swap(false, Ordering::Relaxed) => {
                self.reach_engine();
            }
            Event::EngineReady { was_down } => {
                self.engine_ready = true;
                info!("the Docker Engine at {} answers", self.world.engine.host());
                for request in std::mem::take(&mut self.held) {
                    self.launch(request).await;
                }
                if !std::mem::replace(&mut self.looked_at_startup, true) {
                    self.start_at_startup().await;
                } else if was_down {
                    self.retry_what_missed_the_engine().await;
                }
                self.start_due().await;
            }
            Event::Reload => {
                let message = self.reload().await;
                info!("asked to reload: {message}");
            }
        }
    }

    /// Looks at once where nobody knows how things stand: never applied, or cut off.
    async fn start_at_startup(&mut self) {
        let now = (self.world.now)();
        let mut due = Vec::new();
        for job in &self.configuration.jobs {
            let unknown = match &job.work {
                Work::Deploy(_) => {
                    let applied = self.store.applied(&job.name).await.ok().flatten();
                    let cut_off = self.last_that_ran(&job.name).await.is_some_and(|run| {
                        matches!(run.outcome, Outcome::Lost | Outcome::Cancelled)
                    });
                    // What a person starts by hand waits for that person the first time, too.
                    cut_off || applied.is_none() && job.schedule != Schedule::Manual
                }
                _ => false,
            };
            if unknown || matches!(job.schedule, Schedule::Startup) {
                due.push(request(job, Trigger::Startup, None, now));
            }
        }
        for request in due {
            self.enqueue(request, None).await;
        }
    }

    /// The newest run that did something; a skipped slot says nothing about how things stand.
    async fn last_that_ran(&self, job: &str) -> Option<Run> {
        let filter = RunFilter { job: Some(job.to_owned()), outcomes: Vec::new(), limit: 20 };
        let runs = self.store.runs(&filter).await.unwrap_or_default();
        runs.into_iter().find(|run| run.outcome != Outcome::Skipped)
    }

    /// Deploys that failed for want of the Engine are tried again when it is back, once.
    async fn retry_what_missed_the_engine(&mut self) {
        let now = (self.world.now)();
        let mut due = Vec::new();
        for job in &self.configuration.jobs {
            let last = self.last_that_ran(&job.name).await;
            let missed = last.is_some_and(|run| run.reason == Some(Reason::EngineUnreachable));
            if missed && matches!(job.work, Work::Deploy(_)) {
                due.push(request(job, Trigger::Retry, None, now));
            }
        }
        for request in due {
            self.enqueue(request, None).await;
        }
    }

    async fn start_due(&mut self) {
        if !self.engine_ready {
            return;
        }
        let now = (self.world.now)();
        let due = self.agenda.due(now);
        if !due.is_empty() {
            self.reload().await;
        }
        for due in due {
            let Some(job) = self.job(due.job()) else { continue };
            let owed = due.catch_up(job.policy.catch_up, now, job.policy.start_deadline);
            let missed = owed.missed_count();
            if missed > 0 {
                let name = &job.name;
                warn!("{missed} earlier slots of {name} passed while nobody could run them");
            }
            let run = owed.run.into_iter();
            let requests: Vec<_> =
                run.map(|slot| request(job, Trigger::Schedule, Some(slot), now)).collect();
            for request in requests {
                self.enqueue(request, None).await;
            }
        }
    }

    fn job(&self, name: &str) -> Option<&Job> {
        self.configuration.jobs.iter().find(|job| job.name == name)
    }

    async fn answer(&mut self, mut conversation: Conversation) {
        let reply = match &conversation.request {
            Asked::Health => self.health(),
            Asked::Reload => Reply::Done { message: self.reload().await },
            Asked::Run { job } => {
                let job = job.clone();
                return self.run_now(&job, conversation).await;
            }
        };
        conversation.reply(&reply).await;
    }

    fn health(&self) -> Reply {
        let (running, jobs) = (self.running.len(), self.configuration.jobs.len());
        let message = if self.engine_ready {
            format!("{jobs} jobs, {running} running")
        } else {
            format!("the Docker Engine at {} does not answer", self.world.engine.host())
        };
        Reply::Health { healthy: self.engine_ready, message }
    }

    async fn run_now(&mut self, name: &str, mut conversation: Conversation) {
        // What a person just wrote into a file is to be what runs.
        self.reload().await;
        let refusal = match self.job(name) {
            None => Some(unknown_job(name, &self.configuration.jobs)),
            Some(_) if !self.engine_ready => {
                let host = self.world.engine.host();
                Some(format!("the Docker Engine at {host} does not answer yet"))
            }
            Some(job) => {
                let request = request(job, Trigger::Manual, None, (self.world.now)());
                return self.enqueue(request, Some(conversation)).await;
            }
        };
        let message = refusal.unwrap_or_default();
        conversation.reply(&Reply::Refused { message }).await;
    }

    /// Takes nothing more in, lets runs come to a step boundary, waits the grace, records the rest. A
    /// second signal ends it at once.
    async fn stop(
        mut self,
        grace: Duration,
        listener: &Listener,
        signals: &mut Signals,
    ) -> Result<()> {
        let shutdown = "roadstead stopped before it started";
        let held = std::mem::take(&mut self.held);
        for waiting in self.queue.close().into_iter().chain(held) {
            if let Some(slot) = waiting.slot {
                self.skip(&waiting.job, slot, Reason::Shutdown, shutdown).await;
            }
        }
        self.agenda = Agenda::default();
        for mut asker in std::mem::take(&mut self.waiting).into_values().flatten() {
            asker.reply(&Reply::Refused { message: shutdown.to_owned() }).await;
        }
        info!("stopping: {} runs come to a step boundary", self.running.len());
        for running in self.running.values() {
            running.cancel.cancel();
        }
        let deadline = Instant::now() + grace;
        while !self.running.is_empty() {
            let event = tokio::time::timeout_at(deadline, self.next_event(listener, signals));
            match event.await {
                Ok(Event::Finished { job, run, ending }) => self.finish(&job, run, &ending).await,
                Ok(Event::Terminate) => {
                    warn!("asked again: stopping now");
                    break;
                }
                Ok(Event::Asked(mut asker)) => {
                    let message = "roadstead is stopping".to_owned();
                    asker.reply(&Reply::Refused { message }).await;
                }
                Ok(Event::Connected(stream)) => self.listen_to(stream),
                Ok(_) => {}
                Err(_) => {
                    warn!("{} s are over: stopping now", grace.as_secs());
                    break;
                }
            }
        }
        let message =
            "roadstead stopped before the run came to a step boundary; the next start repairs";
        let ending = Ending::new(Outcome::Lost, Reason::Shutdown, message);
        let left: Vec<_> = self.running.iter().map(|(job, it)| (job.clone(), it.run)).collect();
        for (job, run) in left {
            self.finish(&job, run, &ending).await;
        }
        info!("stopped");
        Ok(())
    }
}
