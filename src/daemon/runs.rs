//! The life of a run in the daemon: entered, queued, started, ended; each slot accounted for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::attempt::{Attempt, attempt};
use super::{Daemon, Running};
use crate::control::{Conversation, Reply};
use crate::docker::Container;
use crate::execute::{at_hand, locks, sources};
use crate::job::{Job, Work};
use crate::logs;
use crate::notify::Notifier;
use crate::queue::{Refusal, Request};
use crate::run::{Ending, Live, Outcome, Reason, Restore, RunId, Trigger};
use crate::store::{Change, NewRun};

/// A run that somebody or something wants.
pub(super) struct Wish {
    /// Name of the job.
    pub job: String,
    /// What said "look now".
    pub trigger: Trigger,
    /// The slot of the schedule that the run stands for.
    pub slot: Option<DateTime<Utc>>,
    /// It gets a run of its own, whatever else waits: one of several slots to catch up with.
    pub is_promised: bool,
    /// Its run, where the slot was skipped and is to run after all.
    pub skipped: Option<RunId>,
    /// Its end, where it is entered only to be accounted for.
    pub ending: Option<Ending>,
    /// What is to be restored in place, in place of the job's work.
    pub restore: Option<Restore>,
    /// Who asked.
    pub asker: Option<Conversation>,
}

impl Wish {
    /// A wish of nobody in particular.
    pub(super) fn new(job: &str, trigger: Trigger, slot: Option<DateTime<Utc>>) -> Self {
        let job = job.to_owned();
        Self {
            job,
            trigger,
            slot,
            is_promised: false,
            skipped: None,
            ending: None,
            restore: None,
            asker: None,
        }
    }
}

impl Daemon {
    /// Enters runs in one transaction, and lets the queue decide about each.
    pub(super) async fn enter(&mut self, wishes: Vec<Wish>) {
        if !wishes.is_empty() {
            self.end_and_enter(Vec::new(), wishes).await;
        }
        self.start_what_may().await;
    }

    /// Records ends and enters runs in one transaction: what follows from an end is not lost with us.
    pub(super) async fn end_and_enter(&mut self, mut changes: Vec<Change>, wishes: Vec<Wish>) {
        let now = (self.world.now)();
        let before = changes.len();
        let (wishes, unknown): (Vec<Wish>, Vec<Wish>) =
            wishes.into_iter().partition(|wish| self.job(&wish.job).is_some());
        for wish in unknown {
            refuse(wish.asker, &format!("job `{}` is gone", wish.job)).await;
        }
        changes.extend(wishes.iter().map(|wish| self.entry(wish, now)));
        let Some(recorded) = self.record(changes).await else {
            for mut wish in wishes {
                let why = "the run cannot be recorded: see roadstead's log".to_owned();
                refuse(wish.asker.take(), &why).await;
                // A person asks again; a slot does not.
                if !wish.trigger.is_of_a_person() {
                    self.owed.push(wish);
                }
            }
            return;
        };
        let mut decided = Decided::default();
        for (wish, run) in wishes.into_iter().zip(recorded.into_iter().skip(before)) {
            let Some(run) = run else {
                refuse(wish.asker, "this slot had its run already; ask again").await;
                continue;
            };
            match wish.ending.clone().or_else(|| self.pause_of(&wish)) {
                Some(ending) => decided.tell(wish.asker, run, ending),
                None => self.admit(wish, run, &mut decided),
            }
        }
        self.record(decided.ended).await;
        for (mut asker, reply) in decided.replies {
            asker.reply(&reply).await;
        }
        let started = self.queue.start(now);
        for (mut asker, run) in decided.admitted {
            let waits = !started.iter().any(|request| request.run == run);
            asker.reply(&Reply::Accepted { run, waits }).await;
            self.waiting.entry(run).or_default().push(asker);
        }
        self.launch(started).await;
    }

    /// The entry of a wish in the ledger.
    fn entry(&self, wish: &Wish, now: DateTime<Utc>) -> Change {
        if let Some(run) = wish.skipped {
            return Change::Revived(run);
        }
        let kind = self.job(&wish.job).map_or("", |job| job.work.kind());
        let run = NewRun {
            job: wish.job.clone(),
            kind,
            trigger: wish.trigger,
            slot: wish.slot,
            started: now,
        };
        let ending = wish.ending.clone().or_else(|| self.pause_of(wish));
        Change::Entered { run, ending }
    }

    /// A paused job gets no run but what a person asks for, and what it was promised before.
    fn pause_of(&self, wish: &Wish) -> Option<Ending> {
        let is_new = !wish.trigger.is_of_a_person() && wish.skipped.is_none();
        let pause = self.pauses.of(&wish.job).filter(|_| is_new)?;
        let why = if pause.reason.is_empty() { "" } else { ": " };
        let message = format!("the job is paused{why}{}", pause.reason);
        Some(Ending::new(Outcome::Skipped, Reason::Paused, message))
    }

    /// What the queue is asked for a run.
    pub(super) fn request(&self, job: &Job, run: RunId, wish: &Wish) -> Request {
        let deadline = job.policy.start_deadline.and_then(|it| TimeDelta::from_std(it).ok());
        Request {
            run,
            job: job.name.clone(),
            kind: job.work.kind(),
            locks: locks(job, &self.configuration.jobs, wish.trigger),
            sources: sources(job, &self.configuration.jobs),
            trigger: wish.trigger,
            overlap: job.policy.overlap,
            is_promised: wish.is_promised,
            priority: job.policy.priority,
            start_by: wish.slot.zip(deadline).and_then(|(slot, it)| slot.checked_add_signed(it)),
            uses_engine: uses_engine(job),
        }
    }

    /// The end of a run, and where somebody is to be told of it, that nobody was yet.
    pub(super) fn end_of(
        &self,
        job: &str,
        run: RunId,
        ending: &Ending,
    ) -> impl Iterator<Item = Change> + use<> {
        let is_told = self.job(job).is_some_and(Notifier::concerns);
        let ended = Change::Ended(run, ending.clone());
        [Some(ended), is_told.then_some(Change::Untold(run))].into_iter().flatten()
    }

    /// Lets the queue decide about an entered run.
    fn admit(&mut self, wish: Wish, run: RunId, decided: &mut Decided) {
        let Some(job) = self.job(&wish.job) else { return };
        let request = self.request(job, run, &wish);
        if let Some(restore) = &wish.restore {
            self.restores.insert(run, restore.clone());
        }
        let admission = self.queue.request(request);
        if let Some(refusal) = admission.refused {
            let ending = match refusal {
                // It waits in the store, for the next start.
                Refusal::Closed if wish.skipped.is_some() => return,
                Refusal::Overlap(other) => overlap(&format!(
                    "run {other} of the job still goes on, or waits and looks at the same"
                )),
                Refusal::Closed => {
                    Ending::new(Outcome::Cancelled, Reason::Shutdown, "roadstead is stopping")
                }
            };
            decided.ended.push(Change::Ended(run, ending.clone()));
            return decided.tell(wish.asker, run, ending);
        }
        if let Some(superseded) = admission.superseded {
            let ending = overlap(&format!("run {run} took its place before it could start"));
            decided.ended.push(Change::Ended(superseded, ending));
            // Who waited for that one gets this one.
            let askers = self.waiting.remove(&superseded).unwrap_or_default();
            self.waiting.entry(run).or_default().extend(askers);
        }
        for replaced in admission.replaced {
            // Half of a volume is worse than a backup that waits.
            let running = self.running.get_mut(&replaced).filter(|it| !it.restores);
            if let Some(running) = running {
                running.end(Reason::Replaced);
            }
        }
        decided.admitted.extend(wish.asker.map(|asker| (asker, run)));
    }

    /// Starts what the queue lets through now.
    pub(super) async fn start_what_may(&mut self) {
        let started = self.queue.start((self.world.now)());
        self.launch(started).await;
    }

    /// Records waiting runs whose time is over.
    pub(super) async fn give_up_overdue(&mut self) {
        let overdue = self.queue.overdue((self.world.now)());
        let mut changes = Vec::new();
        for request in overdue {
            let message = "it could not start before its start deadline";
            let ending = Ending::new(Outcome::Missed, Reason::Deadline, message);
            warn!("a slot of {} is missed: {message}", request.job);
            for mut asker in self.waiting.remove(&request.run).unwrap_or_default() {
                let reply = Reply::Finished { run: request.run, ending: ending.clone() };
                asker.reply(&reply).await;
            }
            changes.push(Change::Ended(request.run, ending));
        }
        self.record(changes).await;
    }

    async fn launch(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        // As history has it, also for those who are told of the run: a restart reads it there.
        let started = (self.world.now)().trunc_subsecs(3);
        let changes = requests.iter().map(|request| Change::Starting(request.run)).collect();
        if self.record_at(started, changes).await.is_none() {
            // Nothing starts that history would not know; they wait for the next look.
            for request in requests {
                self.queue.finished(request.run);
                self.queue.request(Request { is_promised: true, ..request });
            }
            return;
        }
        for request in requests {
            self.launch_one(&request, started, None).await;
        }
    }

    /// Starts one run, or goes on with one that started before us: with the containers that were made for
    /// it, in every state.
    pub(super) async fn launch_one(
        &mut self,
        request: &Request,
        started: DateTime<Utc>,
        adopted: Option<Vec<Container>>,
    ) {
        let run = request.run;
        let Some(job) = self.job(&request.job).cloned() else {
            let ending = Ending::new(
                Outcome::Skipped,
                Reason::JobGone,
                format!("job `{}` is gone since it was entered", request.job),
            );
            return self.end_at_once(run, ending).await;
        };
        let restore = self.restores.remove(&run);
        let span = info_span!("run", job = %job.name, run);
        let is_deploy = matches!(job.work, Work::Deploy(_));
        if is_deploy {
            logs::marker_start(&job.name, started);
        }
        span.in_scope(|| match &adopted {
            Some(containers) if !containers.is_empty() => {
                info!(target: logs::RUN, "roadstead is back and takes its container over");
            }
            Some(_) => info!(target: logs::RUN, "roadstead is back and goes on with this run"),
            None => info!(target: logs::RUN, "started by {}", request.trigger),
        });
        let mut askers = self.waiting.remove(&run).unwrap_or_default();
        for asker in &mut askers {
            asker.reply(&Reply::Started { run }).await;
        }
        let (cancel, progress) = (CancellationToken::new(), Live::default());
        let running = Running {
            job: job.name.clone(),
            started,
            begun: Instant::now(),
            cancel: cancel.clone(),
            cause: None,
            is_deploy,
            outlives_us: outlives_us(&job),
            restores: restore.is_some(),
            progress: Arc::clone(&progress),
            span: span.clone(),
            askers,
        };
        self.running.insert(run, running);
        let jobs = at_hand(&job, &self.configuration.jobs);
        let task = attempt(Attempt {
            jobs,
            allow_commands: self.configuration.settings.allow_commands,
            started,
            notifier: self.notifier.clone(),
            world: self.world.clone(),
            store: self.store.clone(),
            log: self.configuration.settings.log.clone(),
            job,
            run,
            trigger: request.trigger,
            cancel,
            needs_recovery: Arc::clone(&self.needs_recovery),
            adopted,
            restore,
            progress,
        });
        self.tasks.spawn(task.instrument(span));
    }

    /// Ends a run that the queue counts as running and that did nothing.
    async fn end_at_once(&mut self, run: RunId, ending: Ending) {
        self.queue.finished(run);
        for mut asker in self.waiting.remove(&run).unwrap_or_default() {
            asker.reply(&Reply::Finished { run, ending: ending.clone() }).await;
        }
        self.record(vec![Change::Ended(run, ending)]).await;
    }

    /// Records ends together with what follows from them, and starts what waited for them.
    pub(super) async fn finish(&mut self, ended: Vec<(RunId, Ending)>) {
        let now = (self.world.now)();
        let mut changes = Vec::new();
        let (mut wishes, mut replies, mut told) = (Vec::new(), Vec::new(), Vec::new());
        let mut was_in_the_way = BTreeSet::new();
        for (run, ending) in ended {
            let Some(mut running) = self.running.remove(&run) else { continue };
            let ending = honest(ending, running.cause);
            self.queue.finished(run);
            running.span.in_scope(|| tell_end(&ending, running.begun));
            if running.is_deploy {
                logs::marker_end(&running.job, running.started, now);
            }
            let own = (!running.restores).then_some(&running.job);
            wishes.extend(own.into_iter().flat_map(|job| self.followers(job, &ending)));
            if ending.reason == Reason::EngineUnreachable {
                self.needs_recovery.store(true, Ordering::Relaxed);
            }
            match own {
                Some(job) => changes.extend(self.end_of(job, run, &ending)),
                None => changes.push(Change::Ended(run, ending.clone())),
            }
            // One that gave way to a container would have the others do the same, again and again.
            if ending.outcome != Outcome::Skipped {
                was_in_the_way.insert(running.job.clone());
            }
            told.extend(own.map(|job| (job.clone(), run, running.started, ending.clone())));
            self.unpruned.insert(running.job);
            self.ends_since_prune += 1;
            for asker in running.askers.drain(..) {
                replies.push((asker, Reply::Finished { run, ending: ending.clone() }));
            }
        }
        let free = was_in_the_way.iter().filter_map(|job| self.job(job));
        wishes.extend(self.skipped_wishes(free).await);
        self.end_and_enter(changes, wishes).await;
        // History knows before anybody else does.
        for (job, run, started, ending) in told {
            self.tell_others(&job, run, started, &ending);
        }
        for (mut asker, reply) in replies {
            asker.reply(&reply).await;
        }
        // A poll a second for a year must not fill the disk.
        self.prune(now).await;
        // Where it is being reached already, what is needed is looked at once more afterwards.
        if self.engine_ready && self.needs_recovery.swap(false, Ordering::Relaxed) {
            self.reach_engine();
        }
        self.start_what_may().await;
    }

    /// Writes changes, and before them those that could not be written. `None` when the store fails: ends
    /// are kept for another try.
    pub(super) async fn record(&mut self, changes: Vec<Change>) -> Option<Vec<Option<RunId>>> {
        self.record_at((self.world.now)(), changes).await
    }

    async fn record_at(
        &mut self,
        at: DateTime<Utc>,
        changes: Vec<Change>,
    ) -> Option<Vec<Option<RunId>>> {
        if changes.is_empty() && self.unwritten.is_empty() {
            return Some(Vec::new());
        }
        let before = self.unwritten.len();
        let all: Vec<Change> = self.unwritten.iter().cloned().chain(changes).collect();
        match self.store.record(at, all.clone()).await {
            Ok(mut recorded) => {
                self.unwritten.clear();
                Some(recorded.split_off(before))
            }
            Err(error) => {
                error!("history could not be written: {error:#}");
                let is_kept = |it: &Change| matches!(it, Change::Ended(..) | Change::Untold(_));
                self.unwritten = all.into_iter().filter(is_kept).collect();
                None
            }
        }
    }

    /// Tries once more what the store did not take.
    pub(super) async fn pay_what_is_owed(&mut self) {
        if !self.unwritten.is_empty() {
            self.record(Vec::new()).await;
        }
        if self.unwritten.is_empty() && !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed);
            self.enter(owed).await;
        }
    }
}

/// What became of wishes, before anybody is told.
#[derive(Default)]
struct Decided {
    ended: Vec<Change>,
    replies: Vec<(Conversation, Reply)>,
    admitted: Vec<(Conversation, RunId)>,
}

impl Decided {
    fn tell(&mut self, asker: Option<Conversation>, run: RunId, ending: Ending) {
        self.replies.extend(asker.map(|asker| (asker, Reply::Finished { run, ending })));
    }
}

/// Whether the work goes on in a container without us, and can be taken over after a restart.
pub(super) fn outlives_us(job: &Job) -> bool {
    matches!(job.work, Work::Run(_) | Work::ComposeRun(_))
}

/// Whether the work is done by the Docker Engine, which is to start only so many containers a second.
pub(super) fn uses_engine(job: &Job) -> bool {
    match &job.work {
        Work::Http(_)
        | Work::OgcProcess(_)
        | Work::Command(_)
        | Work::Group(_)
        | Work::Rotate(_)
        | Work::Clean(_)
        | Work::CacheSync(_)
        | Work::Refresh(_)
        | Work::Prune(_) => false,
        Work::Sync(sync) => sync.has_hooks(),
        _ => true,
    }
}

fn overlap(message: &str) -> Ending {
    Ending::new(Outcome::Skipped, Reason::Overlap, message)
}

/// The end as history tells it: one that somebody asked for says who.
fn honest(ending: Ending, cause: Option<Reason>) -> Ending {
    match (ending.outcome, cause) {
        (Outcome::Cancelled, Some(Reason::Replaced)) => {
            let message = format!("a newer run took its place: {}", ending.message);
            Ending { reason: Reason::Replaced, message, ..ending }
        }
        (Outcome::Cancelled, Some(reason)) => {
            let message = format!("a person asked for its end: {}", ending.message);
            Ending { reason, message, ..ending }
        }
        _ => ending,
    }
}

async fn refuse(asker: Option<Conversation>, message: &str) {
    reply(asker, &Reply::Refused { message: message.to_owned() }).await;
}

async fn reply(asker: Option<Conversation>, reply: &Reply) {
    if let Some(mut asker) = asker {
        asker.reply(reply).await;
    }
}

/// The last line of a run's story.
pub(super) fn tell_end(ending: &Ending, begun: Instant) {
    let took = crate::apply::seconds(begun);
    let line = format!("{} ({}) after {took}: {}", ending.outcome, ending.reason, ending.message);
    match ending.outcome {
        // Told as an error by the run that failed; each look after it only reminds.
        Outcome::Blocked if ending.reason == Reason::Quarantined => {
            warn!(target: logs::RUN, "{line}");
        }
        Outcome::Failed | Outcome::TimedOut | Outcome::Blocked | Outcome::Lost => {
            error!(target: logs::RUN, "{line}");
        }
        Outcome::Cancelled | Outcome::Skipped | Outcome::Missed | Outcome::Degraded => {
            warn!(target: logs::RUN, "{line}");
        }
        Outcome::Queued
        | Outcome::Starting
        | Outcome::Running
        | Outcome::Succeeded
        | Outcome::Unchanged => info!(target: logs::RUN, "{line}"),
    }
}
