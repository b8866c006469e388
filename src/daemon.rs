//! The daemon: the one loop that owns everything that changes, and the only writer of history.
//!
//! One `enum Event`, one `JoinSet`, one queue. What a run does is not decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, info_span, warn};

use crate::clock::{self, Agenda, Due};
use crate::control::{Conversation, Listener, Reply, Request as Asked};
use crate::execute::{Execution, execute};
use crate::git::View;
use crate::job::schedule::Schedule;
use crate::job::{Configuration, Job, Work};
use crate::logs;
use crate::queue::{Decision, Queue, Request};
use crate::reconcile::{self, World};
use crate::run::{Ending, Outcome, Reason, RunId, Trigger};
use crate::store::{NewRun, Store};

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
    EngineReady,
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
        info!("roadstead {} serves {count} jobs", env!("CARGO_PKG_VERSION"));
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
        let engine = self.world.engine.clone();
        self.tasks.spawn(async move {
            let (mut pause, longest) = ENGINE_RETRY;
            loop {
                let reached = async {
                    engine.ping().await?;
                    reconcile::recover(&engine).await
                };
                match reached.await {
                    Ok(_) => return Event::EngineReady,
                    Err(error) => {
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
            // A slot missed while we were down is due at once, the latest one only.
            let missed =
                last.and_then(|last| clock::missed(&job.schedule, job.timezone, last, now));
            let after = missed.map_or(now, |slot| slot - chrono::TimeDelta::seconds(1));
            self.agenda.insert(&job.name, job.schedule.clone(), job.timezone, after);
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

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Time => self.start_due().await,
            Event::Connected(stream) => {
                self.tasks.spawn(async move {
                    Conversation::open(stream).await.map_or(Event::Mumbled, Event::Asked)
                });
            }
            Event::Asked(conversation) => self.answer(conversation).await,
            Event::Mumbled | Event::Terminate => {}
            Event::Finished { job, run, ending } => self.finish(&job, run, &ending).await,
            Event::EngineReady => {
                self.engine_ready = true;
                info!("the Docker Engine at {} answers", self.world.engine.host());
                if !std::mem::replace(&mut self.looked_at_startup, true) {
                    self.start_at_startup().await;
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
                    let last = self.store.last_run(&job.name).await.ok().flatten();
                    let cut_off = last.is_some_and(|run| {
                        matches!(run.outcome, Outcome::Lost | Outcome::Cancelled)
                    });
                    applied.is_none() || cut_off
                }
                Work::Run(_) => false,
            };
            if unknown || matches!(job.schedule, Schedule::Startup) {
                due.push(request(job, Trigger::Startup, None, now));
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
        for Due { job, slot, missed } in due {
            if missed > 0 {
                warn!("{missed} earlier slots of {job} passed while nobody could run them");
            }
            let Some(job) = self.job(&job) else { continue };
            let request = request(job, Trigger::Schedule, Some(slot), now);
            self.enqueue(request, None).await;
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

    async fn enqueue(&mut self, request: Request, mut asker: Option<Conversation>) {
        let decision = self.queue.request(request.clone());
        let waits = decision != Decision::Start;
        if let Some(asker) = &mut asker {
            asker.reply(&Reply::Accepted { waits }).await;
        }
        match decision {
            Decision::Start => {
                self.waiting.entry(request.job.clone()).or_default().extend(asker);
                self.launch(request).await;
            }
            Decision::Queued => {
                info!("{} waits: it, or a job it shares something with, is running", request.job);
                self.waiting.entry(request.job).or_default().extend(asker);
            }
            Decision::Merged { superseded } => {
                self.waiting.entry(request.job.clone()).or_default().extend(asker);
                if let Some(slot) = superseded {
                    let message =
                        "an earlier run still went on; the one that waits looks at the same";
                    self.skip(&request.job, slot, Reason::Overlap, message).await;
                }
            }
            Decision::Refused => {}
        }
    }

    /// Accounts for a slot whose run another one stands for.
    async fn skip(&self, job: &str, slot: DateTime<Utc>, reason: Reason, message: &str) {
        let now = (self.world.now)();
        let run = NewRun {
            job: job.to_owned(),
            trigger: Trigger::Schedule,
            slot: Some(slot),
            started: now,
        };
        let ending = Ending::new(Outcome::Skipped, reason, message);
        let recorded = async {
            if let Some(run) = self.store.start_run(run).await? {
                self.store.finish_run(run, now, &ending).await?;
            }
            Ok::<(), anyhow::Error>(())
        };
        if let Err(error) = recorded.await {
            warn!("a skipped slot of {job} could not be recorded: {error:#}");
        }
    }

    /// Starts what the queue let through.
    async fn launch(&mut self, request: Request) {
        let mut pending = vec![request];
        while let Some(request) = pending.pop() {
            if !self.launch_one(&request).await {
                self.waiting.remove(&request.job);
                pending.extend(self.queue.finished(&request.job));
            }
        }
    }

    async fn launch_one(&mut self, request: &Request) -> bool {
        let Some(job) = self.job(&request.job).cloned() else { return false };
        let started = (self.world.now)();
        let new =
            NewRun { job: job.name.clone(), trigger: request.trigger, slot: request.slot, started };
        let run = match self.store.start_run(new).await {
            Ok(Some(run)) => run,
            // This slot had its run before a restart of ours.
            Ok(None) => return false,
            Err(error) => {
                error!("{} cannot run: {error:#}", job.name);
                return false;
            }
        };
        let span = info_span!("run", job = %job.name, run);
        let is_deploy = matches!(job.work, Work::Deploy(_));
        if is_deploy {
            logs::marker_start(&job.name, started);
        }
        span.in_scope(|| info!(target: logs::RUN, "started by {}", request.trigger));
        let mut askers = self.waiting.remove(&job.name).unwrap_or_default();
        for asker in &mut askers {
            asker.reply(&Reply::Started { run }).await;
        }
        let cancel = CancellationToken::new();
        let running = Running {
            run,
            started,
            begun: Instant::now(),
            cancel: cancel.clone(),
            is_deploy,
            span: span.clone(),
            askers,
        };
        self.running.insert(job.name.clone(), running);
        let (world, store) = (self.world.clone(), self.store.clone());
        let (needs_recovery, trigger) = (Arc::clone(&self.needs_recovery), request.trigger);
        let task = async move {
            let execution = Execution {
                job: &job,
                run,
                trigger,
                store: &store,
                cancel,
                needs_recovery: &needs_recovery,
            };
            let ending = execute(&world, &execution).await;
            Event::Finished { job: job.name, run, ending }
        };
        self.tasks.spawn(task.instrument(span));
        true
    }

    async fn finish(&mut self, job: &str, run: RunId, ending: &Ending) {
        let now = (self.world.now)();
        if let Err(error) = self.store.finish_run(run, now, ending).await {
            error!("the end of run {run} could not be recorded: {error:#}");
        }
        if let Some(mut running) = self.running.remove(job) {
            running.span.in_scope(|| tell_end(ending, running.begun));
            if running.is_deploy {
                logs::marker_end(job, running.started, now);
            }
            for asker in &mut running.askers {
                asker.reply(&Reply::Finished { run, ending: ending.clone() }).await;
            }
        }
        if ending.reason == Reason::EngineUnreachable
            || self.needs_recovery.swap(false, Ordering::Relaxed)
        {
            self.reach_engine();
        }
        for next in self.queue.finished(job) {
            self.launch(next).await;
        }
    }

    /// Reads `env.local` and the job files anew. What is broken is told once and changes nothing.
    async fn reload(&mut self) -> String {
        let reader = Arc::clone(&self.world.reader);
        let read = tokio::task::spawn_blocking(move || {
            View::open(&[]).map(|disk| reader(&disk)).context("read the configuration")
        });
        let configuration = match read.await.context("read the configuration") {
            Ok(Ok(Ok(configuration))) => configuration,
            Ok(Ok(Err(problems))) => {
                return self.tell_once(format!("the configuration stays as it was:\n{problems}"));
            }
            Ok(Err(error)) | Err(error) => return self.tell_once(format!("{error:#}")),
        };
        if !configuration.problems.0.is_empty() {
            self.tell_once(configuration.problems.to_string());
        }
        let changed = configuration.jobs != self.configuration.jobs;
        let before = std::mem::replace(&mut self.configuration, configuration);
        if changed {
            self.replan(&before.jobs);
        }
        format!(
            "{} jobs, {}",
            self.configuration.jobs.len(),
            if changed { "changed" } else { "unchanged" }
        )
    }

    /// Enters new and changed jobs into the agenda and takes out those that are gone.
    fn replan(&mut self, before: &[Job]) {
        let now = (self.world.now)();
        for job in before {
            if self.job(&job.name).is_none() {
                info!("job {} is gone", job.name);
                self.agenda.remove(&job.name);
            }
        }
        for job in &self.configuration.jobs {
            let old = before.iter().find(|old| old.name == job.name);
            let same =
                old.is_some_and(|old| old.schedule == job.schedule && old.timezone == job.timezone);
            if !same {
                info!("job {} ({}): {}", job.name, job.work.kind(), job.schedule);
                self.agenda.insert(&job.name, job.schedule.clone(), job.timezone, now);
            }
        }
    }

    fn tell_once(&mut self, problem: String) -> String {
        if self.told != problem {
            warn!("{problem}");
            self.told.clone_from(&problem);
        }
        problem
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
        for waiting in self.queue.close() {
            if let Some(slot) = waiting.slot {
                self.skip(&waiting.job, slot, Reason::Shutdown, shutdown).await;
            }
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

fn request(
    job: &Job,
    trigger: Trigger,
    slot: Option<DateTime<Utc>>,
    asked: DateTime<Utc>,
) -> Request {
    Request { job: job.name.clone(), locks: job.locks(), trigger, slot, asked }
}

/// The last line of a run's story.
fn tell_end(ending: &Ending, begun: Instant) {
    let took = crate::apply::seconds(begun);
    let line = format!("{} ({}) after {took}: {}", ending.outcome, ending.reason, ending.message);
    match ending.outcome {
        Outcome::Failed | Outcome::Blocked | Outcome::Lost => error!(target: logs::RUN, "{line}"),
        Outcome::Cancelled | Outcome::Skipped => warn!(target: logs::RUN, "{line}"),
        Outcome::Running | Outcome::Succeeded | Outcome::Unchanged => {
            info!(target: logs::RUN, "{line}");
        }
    }
}

/// Says which jobs there are.
pub fn unknown_job(name: &str, jobs: &[Job]) -> String {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    match crate::problem::nearest(name, names.iter().copied()) {
        Some(near) => format!("there is no job `{name}`; did you mean `{near}`?"),
        None => format!("there is no job `{name}`; there are: {}", names.join(", ")),
    }
}

/// Runs one job to its end where no daemon runs; the caller holds the right to change things.
///
/// # Errors
///
/// When the job does not exist, the Engine does not answer, or the store fails.
pub async fn run_once(
    world: &World,
    store: &Store,
    configuration: &Configuration,
    name: &str,
    cancel: CancellationToken,
) -> Result<(RunId, Ending)> {
    let Some(job) = configuration.jobs.iter().find(|job| job.name == name) else {
        bail!(unknown_job(name, &configuration.jobs));
    };
    store.lose_open_runs((world.now)()).await?;
    world.engine.ping().await?;
    reconcile::recover(&world.engine).await?;
    let started = (world.now)();
    let new = NewRun { job: job.name.clone(), trigger: Trigger::Manual, slot: None, started };
    let run = store.start_run(new).await?.context("a run without a slot is always new")?;
    let span = info_span!("run", job = %job.name, run);
    let begun = Instant::now();
    let needs_recovery = AtomicBool::new(false);
    let is_deploy = matches!(job.work, Work::Deploy(_));
    if is_deploy {
        logs::marker_start(&job.name, started);
    }
    span.in_scope(|| info!(target: logs::RUN, "started by {}", Trigger::Manual));
    let execution = Execution {
        job,
        run,
        trigger: Trigger::Manual,
        store,
        cancel,
        needs_recovery: &needs_recovery,
    };
    let ending = execute(world, &execution).instrument(span.clone()).await;
    let ended = (world.now)();
    store.finish_run(run, ended, &ending).await?;
    span.in_scope(|| tell_end(&ending, begun));
    if is_deploy {
        logs::marker_end(&job.name, started, ended);
    }
    Ok((run, ending))
}
