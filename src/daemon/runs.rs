//! The life of a run in the daemon: queued, started, ended; each slot accounted for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::{Daemon, Event, RUNS_KEPT, Running};
use crate::control::{Conversation, Reply};
use crate::execute::{Execution, execute, related};
use crate::job::{Job, Work};
use crate::logs;
use crate::queue::{Decision, Request};
use crate::run::{Ending, Outcome, Reason, RunId, Trigger};
use crate::store::NewRun;

/// History is pruned once in so many runs.
const PRUNE_EVERY: RunId = 256;

impl Daemon {
    pub(super) async fn enqueue(&mut self, request: Request, mut asker: Option<Conversation>) {
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
    pub(super) async fn skip(&self, job: &str, slot: DateTime<Utc>, reason: Reason, message: &str) {
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

    /// Starts what the queue let through, once the Engine is ready.
    pub(super) async fn launch(&mut self, request: Request) {
        if !self.engine_ready {
            // What repairs an interrupted switch must not meet a new one.
            self.held.push(request);
            return;
        }
        let mut pending = vec![request];
        while let Some(request) = pending.pop() {
            if let Err(why) = self.launch_one(&request).await {
                for asker in self.waiting.remove(&request.job).iter_mut().flatten() {
                    asker.reply(&Reply::Refused { message: why.clone() }).await;
                }
                pending.extend(self.queue.finished(&request.job));
            }
        }
    }

    /// Starts one run; the error says why there is none.
    async fn launch_one(&mut self, request: &Request) -> Result<(), String> {
        let Some(job) = self.job(&request.job).cloned() else {
            return Err(format!("job `{}` is gone", request.job));
        };
        let started = (self.world.now)();
        let new =
            NewRun { job: job.name.clone(), trigger: request.trigger, slot: request.slot, started };
        let run = match self.store.start_run(new).await {
            Ok(Some(run)) => run,
            // This slot had its run before a restart of ours.
            Ok(None) => return Err("this slot had its run already; ask again".to_owned()),
            Err(error) => {
                error!("{} cannot run: {error:#}", job.name);
                return Err(format!("the run cannot be recorded: {error:#}"));
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
        let log = self.configuration.settings.log.clone();
        let allow_commands = self.configuration.settings.allow_commands;
        let jobs = related(&job, &self.configuration.jobs);
        let (needs_recovery, trigger) = (Arc::clone(&self.needs_recovery), request.trigger);
        let task = async move {
            let execution = Execution {
                job: &job,
                run,
                trigger,
                store: &store,
                log: &log,
                cancel,
                needs_recovery: &needs_recovery,
                jobs: &jobs,
                allow_commands,
            };
            // A fault of ours ends this run, not the daemon's knowledge of it.
            let executed = AssertUnwindSafe(execute(&world, &execution)).catch_unwind().await;
            let ending = executed.unwrap_or_else(|_| {
                needs_recovery.store(true, Ordering::Relaxed);
                let message =
                    "roadstead has a fault: the run panicked, see stderr; please report it";
                Ending::new(Outcome::Failed, Reason::Internal, message)
            });
            Event::Finished { job: job.name, run, ending }
        };
        self.tasks.spawn(task.instrument(span));
        Ok(())
    }

    pub(super) async fn finish(&mut self, job: &str, run: RunId, ending: &Ending) {
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
        // A poll a second for a year must not fill the disk.
        if run % PRUNE_EVERY == 0
            && let Err(error) = self.store.prune_runs(RUNS_KEPT).await
        {
            warn!("old runs could not be pruned: {error:#}");
        }
        if ending.reason == Reason::EngineUnreachable {
            self.needs_recovery.store(true, Ordering::Relaxed);
        }
        // Where it is being reached already, what is needed is looked at once more afterwards.
        if self.engine_ready && self.needs_recovery.swap(false, Ordering::Relaxed) {
            self.reach_engine();
        }
        for next in self.queue.finished(job) {
            self.launch(next).await;
        }
    }
}

pub(super) fn request(
    job: &Job,
    trigger: Trigger,
    slot: Option<DateTime<Utc>>,
    asked: DateTime<Utc>,
) -> Request {
    Request { job: job.name.clone(), locks: job.locks(), trigger, slot, asked }
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
        Outcome::Failed | Outcome::Blocked | Outcome::Lost => error!(target: logs::RUN, "{line}"),
        Outcome::Cancelled | Outcome::Skipped => warn!(target: logs::RUN, "{line}"),
        Outcome::Running | Outcome::Succeeded | Outcome::Unchanged => {
            info!(target: logs::RUN, "{line}");
        }
    }
}
