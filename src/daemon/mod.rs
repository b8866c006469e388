//! The daemon: the one loop that owns everything that changes, and the only writer of history.
//!
//! One `enum Event`, one `JoinSet`, one queue. What a run does is not decided here.

mod answers;
mod attempt;
mod configuration;
mod events;
mod files;
mod labels;
mod late;
mod once;
mod restart;
mod runs;
mod slots;
mod upkeep;

pub use self::files::Recorder;
pub use self::once::{put_back_what_is_owed, run_once, unknown_job};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
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

use self::configuration::{Jobs, Reading};
use self::files::Watch;
use self::restart::Orphans;
use self::runs::Wish;
use crate::clock::{self, Agenda};
use crate::control::{Conversation, Listener, Reply};
use crate::docker::{Container, NamedEvent, What};
use crate::execute::members;
use crate::job::ofelia::LabelledContainer;
use crate::job::{Configuration, Job};
use crate::notify::Notifier;
use crate::plan::labels::RUN;
use crate::queue::{Limits, Queue};
use crate::reconcile::{self, World};
use crate::run::{Ending, Live, Outcome, Reason, Restore, RunId};
use crate::settings::Settings;
use crate::store::{Change, Pauses, Store};

/// The longest sleep of the loop: a machine that slept, a clock that was set, and a job file that was
/// changed are noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// The longest sleep while something waits to be written, or files are watched.
const SHORT_SLEEP: Duration = Duration::from_secs(2);
/// First and longest pause between two tries to reach the Engine.
const ENGINE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Ends of runs that are written together.
const MOST_ENDS_AT_ONCE: usize = 500;

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
    Finished { run: RunId, ending: Ending },
    /// The Engine answers and interrupted switches are repaired.
    EngineReady {
        /// True when it did not answer at first.
        was_down: bool,
        /// Containers that runs were made of, in every state.
        containers: Vec<Container>,
    },
    /// Something happened to a container.
    Container(NamedEvent),
    /// Labels of containers were looked at, if that could be done.
    Labelled(Option<Vec<LabelledContainer>>),
    /// Watched files and the files of our configuration were looked at.
    Looked(files::Look),
    /// Stop.
    Terminate,
    /// Read the configuration anew.
    Reload,
}

/// A run that goes on.
struct Running {
    job: String,
    started: DateTime<Utc>,
    begun: Instant,
    cancel: CancellationToken,
    /// Why it was asked to end, if not for our own end.
    cause: Option<Reason>,
    is_deploy: bool,
    /// Whether its container goes on without us, and is taken over after a restart.
    outlives_us: bool,
    /// It restores, and is none of the job's own work.
    restores: bool,
    /// How far it is.
    progress: Live,
    span: Span,
    askers: Vec<Conversation>,
}

impl Running {
    /// Asks it to end; the first to ask is the cause.
    fn end(&mut self, cause: Reason) {
        self.cause.get_or_insert(cause);
        self.cancel.cancel();
    }
}

struct Daemon {
    world: World,
    store: Store,
    configuration: Configuration,
    jobs: Jobs,
    agenda: Agenda,
    queue: Queue,
    running: BTreeMap<RunId, Running>,
    /// Commands that wait for a queued run to start.
    waiting: BTreeMap<RunId, Vec<Conversation>>,
    pauses: Pauses,
    /// What is to be restored by runs that wait.
    restores: BTreeMap<RunId, Restore>,
    /// What the store did not take, because the disk was full or a person held it.
    unwritten: Vec<Change>,
    /// What could not be entered for the same reason.
    owed: Vec<Wish>,
    /// Runs that were cut off, until the Engine tells what became of their containers.
    orphans: Orphans,
    tasks: JoinSet<Event>,
    /// Ends of runs on their way to the outbox.
    telling: JoinSet<()>,
    /// Events that were taken together with another.
    backlog: VecDeque<Event>,
    watch: Watch,
    /// The configuration, where reading it takes longer than is waited for.
    reading: Option<Reading>,
    looks: labels::Looks,
    container_news: Option<tokio::sync::mpsc::Receiver<NamedEvent>>,
    needs_recovery: Arc<AtomicBool>,
    engine_ready: bool,
    /// Compares the wall clock with one that is never set.
    clocks: clock::Watch,
    /// Why slots that passed unseen are missed.
    missed_because: Reason,
    /// Who tells others of runs.
    notifier: Option<Notifier>,
    /// When old output was looked for.
    swept: Option<Instant>,
    /// True once jobs that need a look at startup had theirs.
    looked_at_startup: bool,
    /// Jobs with ends since history was pruned.
    unpruned: BTreeSet<String>,
    ends_since_prune: usize,
    /// Problems already told, so that each is told once.
    told: String,
}

/// Runs until a signal ends it. `read_from` are the files that the configuration was read from.
///
/// # Errors
///
/// When signals cannot be listened for, or the store fails at the start.
pub async fn serve(
    world: World,
    store: Store,
    (configuration, read_from): (Configuration, BTreeSet<PathBuf>),
    listener: Listener,
) -> Result<()> {
    let grace = configuration.settings.shutdown_grace;
    let mut daemon = Daemon::new(world, store, configuration);
    daemon.watch_what_was_read(read_from);
    let mut signals = Signals::new()?;
    daemon.begin().await?;
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

fn limits(settings: &Settings) -> Limits {
    Limits {
        runs: settings.limits.runs,
        of_kind: settings.limits.runs_of_kind.clone(),
        of_source: settings.limits.runs_of_source,
        starts_per_second: settings.limits.start_rate,
    }
}

impl Daemon {
    fn new(world: World, store: Store, configuration: Configuration) -> Self {
        Self {
            world,
            store,
            jobs: Jobs::of(&configuration),
            agenda: Agenda::default(),
            queue: Queue::new(limits(&configuration.settings)),
            configuration,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            pauses: Pauses::default(),
            restores: BTreeMap::new(),
            unwritten: Vec::new(),
            owed: Vec::new(),
            orphans: Orphans::default(),
            tasks: JoinSet::new(),
            telling: JoinSet::new(),
            backlog: VecDeque::new(),
            watch: Watch::default(),
            reading: None,
            looks: labels::Looks::default(),
            container_news: None,
            needs_recovery: Arc::default(),
            engine_ready: false,
            clocks: clock::Watch::default(),
            missed_because: Reason::NotServing,
            notifier: None,
            swept: None,
            looked_at_startup: false,
            unpruned: BTreeSet::new(),
            ends_since_prune: 0,
            told: String::new(),
        }
    }

    async fn begin(&mut self) -> Result<()> {
        let now = (self.world.now)();
        let state_dir = self.configuration.settings.state_dir.clone();
        let notifier = Notifier::open(&state_dir, self.world.now).await;
        self.notifier = Some(notifier.clone());
        self.tasks.spawn(async move {
            // Ends with the set of tasks; what is not told by then stays in the outbox.
            notifier.deliver(&CancellationToken::new()).await;
            Event::Mumbled
        });
        self.pauses = self.store.pauses().await?;
        self.tell_what_is_untold().await?;
        self.take_back_open_runs().await?;
        self.prune_all(now).await?;
        self.fill_agenda(now).await?;
        self.enter_skipped().await;
        let count = self.configuration.jobs.len();
        let jobs = if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") };
        info!("roadstead {} serves {jobs}", env!("CARGO_PKG_VERSION"));
        self.tell_jobs();
        self.listen_to_containers();
        // What files look like now is what later looks are compared with.
        self.look_at_files();
        self.start_what_may().await;
        self.reach_engine();
        Ok(())
    }

    /// Tries until the Engine answers, then repairs what a crash left. Nothing of it runs before.
    fn reach_engine(&mut self) {
        self.engine_ready = false;
        self.queue.engine_answers(false);
        let world = self.world.clone();
        // A run that goes on puts its own project back, also as a job of a group.
        let jobs = &self.configuration.jobs;
        let running = self.queue.running().filter_map(|request| self.job(&request.job));
        let busy = running.flat_map(|job| members(job, jobs)).map(|job| &job.name);
        let busy: BTreeSet<&String> = busy.collect();
        let idle = jobs.iter().filter(|job| !busy.contains(&job.name));
        let directories = reconcile::directories(idle);
        self.tasks.spawn(async move {
            let (mut pause, longest) = ENGINE_RETRY;
            let mut was_down = false;
            loop {
                let reached = async {
                    world.engine.ping().await?;
                    reconcile::recover(&world, &directories).await?;
                    world.engine.containers_with(RUN).await
                };
                match reached.await {
                    Ok(containers) => return Event::EngineReady { was_down, containers },
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

    /// # Cancel safety
    ///
    /// Each arm is: a connection, a finished task, a container's news and a signal are only taken when
    /// returned.
    async fn next_event(&mut self, listener: &Listener, signals: &mut Signals) -> Event {
        if let Some(event) = self.backlog.pop_front() {
            return event;
        }
        let sleep = self.time_to_sleep();
        let news = async {
            match &mut self.container_news {
                Some(news) => news.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = signals.next() => event,
            Some(finished) = self.tasks.join_next() => finished.unwrap_or_else(|panic| {
                error!("a task of ours died: {panic}");
                Event::Time
            }),
            Ok(stream) = listener.accept() => Event::Connected(stream),
            Some(news) = news => Event::Container(news),
            () = tokio::time::sleep(sleep) => Event::Time,
        }
    }

    fn time_to_sleep(&self) -> Duration {
        let now = (self.world.now)();
        let due = self.agenda.next_due();
        let next = due.into_iter().chain(self.queue.next_look(now)).min();
        let until = next.map(|next| (next - now).to_std().unwrap_or_default());
        let is_busy = !self.unwritten.is_empty() || !self.owed.is_empty() || self.watch.is_needed();
        let longest = if is_busy { SHORT_SLEEP } else { LONGEST_SLEEP };
        until.map_or(longest, |until| until.min(longest))
    }

    fn listen_to(&mut self, stream: UnixStream) {
        let opened =
            async move { Conversation::open(stream).await.map_or(Event::Mumbled, Event::Asked) };
        self.tasks.spawn(opened);
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Time => self.look_at_the_time().await,
            Event::Connected(stream) => self.listen_to(stream),
            Event::Asked(conversation) => self.answer(conversation).await,
            Event::Mumbled | Event::Terminate => {}
            Event::Finished { run, ending } => {
                let ended = self.all_that_finished(run, ending);
                self.finish(ended).await;
            }
            // Another run ended badly in the meantime.
            Event::EngineReady { .. } if self.needs_recovery.swap(false, Ordering::Relaxed) => {
                self.reach_engine();
            }
            Event::EngineReady { was_down, containers } => {
                self.engine_ready = true;
                info!("the Docker Engine at {} answers", self.world.engine.host());
                self.settle_orphans(containers).await;
                self.enter_skipped().await;
                self.queue.engine_answers(true);
                self.look_at_labels();
                if !std::mem::replace(&mut self.looked_at_startup, true) {
                    self.start_at_startup().await;
                } else if was_down {
                    self.retry_what_missed_the_engine().await;
                }
                self.look_at_the_time().await;
            }
            Event::Container(news) => {
                if matches!(news.what, What::Started | What::Died(_)) {
                    self.look_at_labels();
                }
                self.heed_container(&news).await;
            }
            Event::Labelled(containers) => self.heed_labels(containers).await,
            Event::Looked(look) => self.heed_files(look).await,
            Event::Reload => {
                let message = self.reload().await;
                info!("asked to reload: {message}");
            }
        }
    }

    /// Does what the clock says: slots, deadlines, starts that were held back, and what is owed.
    async fn look_at_the_time(&mut self) {
        self.look_at_files();
        self.look_at_labels_again();
        self.sweep();
        self.pay_what_is_owed().await;
        self.enter_due().await;
        self.give_up_overdue().await;
        self.start_what_may().await;
    }

    /// Takes the ends that came together with this one, to write all of them at once.
    fn all_that_finished(&mut self, run: RunId, ending: Ending) -> Vec<(RunId, Ending)> {
        let mut ended = vec![(run, ending)];
        while ended.len() < MOST_ENDS_AT_ONCE {
            match self.tasks.try_join_next() {
                Some(Ok(Event::Finished { run, ending })) => ended.push((run, ending)),
                Some(Ok(event)) => self.backlog.push_back(event),
                Some(Err(panic)) => error!("a task of ours died: {panic}"),
                None => break,
            }
        }
        ended
    }

    fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.find(&self.configuration, name)
    }

    /// Takes nothing more in, lets runs come to a step boundary, waits the grace, records the rest. A
    /// second signal ends it at once. What waits goes on waiting in the store, for the next start.
    async fn stop(
        mut self,
        grace: Duration,
        listener: &Listener,
        signals: &mut Signals,
    ) -> Result<()> {
        let shutdown = "roadstead stopped before it started";
        let mut unwanted = Vec::new();
        for waiting in self.queue.close() {
            let askers = self.waiting.remove(&waiting.run).unwrap_or_default();
            if waiting.trigger.is_of_a_person() {
                let ending = Ending::new(Outcome::Cancelled, Reason::Shutdown, shutdown);
                unwanted.push(Change::Ended(waiting.run, ending));
            }
            for mut asker in askers {
                asker.reply(&Reply::Refused { message: shutdown.to_owned() }).await;
            }
        }
        self.record(unwanted).await;
        self.agenda = Agenda::default();
        info!("stopping: {} runs come to a step boundary", self.running.len());
        for running in self.running.values() {
            running.cancel.cancel();
        }
        let deadline = Instant::now() + grace;
        while !self.running.is_empty() {
            let event = tokio::time::timeout_at(deadline, self.next_event(listener, signals));
            match event.await {
                Ok(Event::Finished { run, ending }) => self.finish(vec![(run, ending)]).await,
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
        // A container that goes on is taken over by the next start, if its run is still open then.
        let left = self.running.iter().filter(|(_, running)| !running.outlives_us);
        let left: Vec<RunId> = left.map(|(run, _)| *run).collect();
        let mut lost = Vec::new();
        for run in left {
            let details = self.store.details(run).await.ok().flatten().unwrap_or_default();
            // One that owes something stays open: the next start puts it back.
            if !details.owes() {
                lost.push((run, ending.clone()));
            }
        }
        self.finish(lost).await;
        self.have_told().await;
        info!("stopped");
        Ok(())
    }
}
