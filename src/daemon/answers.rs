//! What commands ask of the daemon, and what they are answered.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use tracing::info;

use super::Daemon;
use super::once::unknown_job;
use super::runs::{Wish, uses_engine};
use crate::control::{Conversation, Reply, Request as Asked};
use crate::job::Job;
use crate::problem::nearest;
use crate::run::{Ending, Outcome, Reason, Restore, RunId, Trigger};
use crate::store::{Change, Pause, Pauses};

impl Daemon {
    pub(super) async fn answer(&mut self, mut conversation: Conversation) {
        let answer = match conversation.request.clone() {
            Asked::Health => Ok(self.health()),
            Asked::Reload => Ok(Reply::Done { message: self.reload().await }),
            Asked::Run { job } => return self.run_now(&job, None, conversation).await,
            Asked::Restore { job, restore } => {
                return self.run_now(&job, Some(restore), conversation).await;
            }
            Asked::Progress { run } => Ok(self.progress_of(run)),
            Asked::Pause { jobs, reason } => self.pause(jobs, reason).await,
            Asked::Resume { jobs } => self.resume(jobs).await,
            Asked::Cancel { what } => self.cancel(&what).await,
            Asked::Event { name } => self.webhook(&name).await,
            Asked::Labels => Ok(self.labelled_containers()),
        };
        let reply = answer.unwrap_or_else(|message| Reply::Refused { message });
        conversation.reply(&reply).await;
    }

    fn health(&self) -> Reply {
        let (running, jobs) = (self.running.len(), self.configuration.jobs.len());
        let message = if !self.engine_ready {
            format!("the Docker Engine at {} does not answer", self.world.engine.host())
        } else if !self.unwritten.is_empty() || !self.owed.is_empty() {
            "history cannot be written: see roadstead's log".to_owned()
        } else {
            let waiting = self.queue.waiting().count();
            let waiting = if waiting > 0 { format!(", {waiting} waiting") } else { String::new() };
            let paused = match (&self.pauses.of_all, self.pauses.of_jobs.len()) {
                (Some(_), _) => ", all paused".to_owned(),
                (None, 0) => String::new(),
                (None, count) => format!(", {count} paused"),
            };
            format!("{jobs} jobs, {running} running{waiting}{paused}")
        };
        let healthy = self.engine_ready && self.unwritten.is_empty() && self.owed.is_empty();
        Reply::Health { healthy, message }
    }

    fn progress_of(&self, run: RunId) -> Reply {
        let live = self.running.get(&run).map(|it| &it.progress);
        let progress =
            live.and_then(|it| it.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Reply::Progress { progress }
    }

    async fn run_now(
        &mut self,
        name: &str,
        restore: Option<Restore>,
        mut conversation: Conversation,
    ) {
        // What a person just wrote into a file is to be what runs.
        self.reload().await;
        let message = match self.job(name) {
            None => unknown_job(name, &self.configuration.jobs),
            Some(job) if uses_engine(job) && !self.engine_ready => {
                let host = self.world.engine.host();
                format!("the Docker Engine at {host} does not answer yet")
            }
            Some(job) if restore.is_some() && job.work.repository().is_none() => {
                format!("job `{name}` has no repository")
            }
            Some(_) => {
                let wish = match &restore {
                    Some(_) => Wish::new(name, Trigger::Restore, None),
                    None => Wish::new(name, Trigger::Manual, None),
                };
                let is_promised = restore.is_some();
                let wish = Wish { asker: Some(conversation), restore, is_promised, ..wish };
                return self.enter(vec![wish]).await;
            }
        };
        conversation.reply(&Reply::Refused { message }).await;
    }

    async fn pause(&mut self, jobs: Vec<String>, reason: String) -> Result<Reply, String> {
        self.must_be_known(&jobs)?;
        let pause = Pause { since: (self.world.now)(), reason };
        self.store.pause(&jobs, &pause).await.map_err(|error| format!("{error:#}"))?;
        let message = Pauses::said_of(&jobs);
        if jobs.is_empty() {
            self.pauses.of_all.get_or_insert(pause);
        } else {
            for job in jobs {
                self.pauses.of_jobs.entry(job).or_insert_with(|| pause.clone());
            }
        }
        info!("{message}");
        Ok(Reply::Done { message })
    }

    async fn resume(&mut self, jobs: Vec<String>) -> Result<Reply, String> {
        // A job that is gone can still be paused.
        let is_paused = |job: &String| self.pauses.of_jobs.contains_key(job);
        let others: Vec<String> = jobs.iter().filter(|job| !is_paused(job)).cloned().collect();
        self.must_be_known(&others)?;
        let (all, jobs) = (jobs.is_empty(), self.pauses.to_resume(&jobs)?);
        self.store.resume(&jobs, all).await.map_err(|error| format!("{error:#}"))?;
        let was_all = all && self.pauses.of_all.take().is_some();
        for job in &jobs {
            self.pauses.of_jobs.remove(job);
        }
        let message = Pauses::said(&jobs, was_all);
        info!("{message}");
        let is_resumed = |job: &&Job| was_all || jobs.contains(&job.name);
        let resumed = self.configuration.jobs.iter().filter(is_resumed);
        let wishes = self.skipped_wishes(resumed).await;
        self.enter(wishes).await;
        Ok(Reply::Done { message })
    }

    fn must_be_known(&self, jobs: &[String]) -> Result<(), String> {
        match jobs.iter().find(|job| self.job(job).is_none()) {
            Some(unknown) => Err(unknown_job(unknown, &self.configuration.jobs)),
            None => Ok(()),
        }
    }

    async fn cancel(&mut self, what: &str) -> Result<Reply, String> {
        let runs: BTreeSet<RunId> = if let Ok(run) = what.parse::<RunId>() {
            [run].into()
        } else {
            let waiting = self.queue.waiting_of(what).map(|(_, request)| request.run);
            self.queue.running_of(what).chain(waiting).collect()
        };
        let mut told = Vec::new();
        let mut ended = Vec::new();
        for run in runs {
            if let Some(running) = self.running.get_mut(&run) {
                running.end(Reason::Requested);
                told.push(format!("run {run} of {} is being ended", running.job));
            } else if let Some(request) = self.queue.withdraw(run) {
                self.restores.remove(&run);
                let message = "a person cancelled it before it started";
                let ending = Ending::new(Outcome::Cancelled, Reason::Requested, message);
                for mut asker in self.waiting.remove(&run).unwrap_or_default() {
                    asker.reply(&Reply::Finished { run, ending: ending.clone() }).await;
                }
                ended.push(Change::Ended(run, ending));
                told.push(format!("run {run} of {} no longer waits", request.job));
            }
        }
        self.record(ended).await;
        self.start_what_may().await;
        if told.is_empty() {
            return Err(self.nothing_to_cancel(what).await);
        }
        for line in &told {
            info!("asked by a person: {line}");
        }
        Ok(Reply::Done { message: told.join("\n") })
    }

    async fn nothing_to_cancel(&self, what: &str) -> String {
        let Ok(run) = what.parse::<RunId>() else {
            return match self.job(what) {
                Some(_) => format!("no run of `{what}` goes on or waits"),
                None => unknown_job(what, &self.configuration.jobs),
            };
        };
        match self.store.run(run).await {
            Ok(Some(found)) if found.outcome.is_open() => {
                format!("run {run} was cut off when roadstead died, and is not settled yet")
            }
            Ok(Some(found)) => format!("run {run} has ended already: {}", found.outcome),
            Ok(None) => format!("there is no run {run}; `roadstead runs` lists them"),
            Err(error) => format!("{error:#}"),
        }
    }

    async fn webhook(&mut self, name: &str) -> Result<Reply, String> {
        let jobs: Vec<String> = self.heed_webhook(name).await.into_iter().collect();
        if !jobs.is_empty() {
            info!("webhook {name}: {}", jobs.join(", "));
            return Ok(Reply::Done { message: format!("set off: {}", jobs.join(", ")) });
        }
        let known = self.webhooks();
        Err(match nearest(name, known.iter().copied()) {
            Some(near) => format!("no job waits for webhook `{name}`; did you mean `{near}`?"),
            None if known.is_empty() => format!("no job waits for webhook `{name}`, nor any other"),
            None => {
                let known: Vec<&str> = known.into_iter().collect();
                format!("no job waits for webhook `{name}`; there are: {}", known.join(", "))
            }
        })
    }
}
