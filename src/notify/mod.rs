//! Telling others how runs end: pings of checks as of healthchecks.io, and webhooks.
//!
//! What is to be told goes into an outbox on the disk and from there to its receivers, in order, until
//! each has it. Nothing here can fail a run, change its end or hold it up.

mod decide;
mod deliver;
mod message;
mod outbox;
mod send;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tracing::warn;

pub use self::decide::{Change, Health, change, health};
use self::message::{Message, ping_of_end, ping_of_start, webhook};
use self::outbox::Outbox;
use crate::job::Job;
use crate::run::{Ending, RunId};

/// The longest time that a run waits for the outbox.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells others; clones share one outbox.
#[derive(Clone, Debug)]
pub struct Notifier {
    outbox: Outbox,
    /// There is something new in the outbox.
    wake: Arc<Notify>,
    host: Arc<str>,
    now: fn() -> DateTime<Utc>,
}

/// How a run ended, for who is told.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The job.
    pub job: &'a Job,
    /// Number of the run.
    pub run: RunId,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// How.
    pub ending: &'a Ending,
    /// The end of its output, secrets masked.
    pub tail: &'a str,
}

impl Notifier {
    /// Opens the outbox of `state_dir`. One that cannot be used is said, and messages are then kept in
    /// memory until they are delivered or we end.
    pub async fn open(state_dir: &Path, now: fn() -> DateTime<Utc>) -> Self {
        let outbox = Outbox::open(state_dir).await;
        Self { outbox, wake: Arc::default(), host: host().into(), now }
    }

    /// True when a job tells anybody of its runs: of others nothing need be said here.
    pub fn concerns(job: &Job) -> bool {
        job.notify.ping.is_some() || !job.notify.webhooks.is_empty()
    }

    /// Tells that a run started; `at` is its time of start, and the same as for its end.
    ///
    /// Returns at once for jobs that tell nobody, and after two seconds at most.
    pub async fn started(&self, job: &Job, run: RunId, at: DateTime<Utc>) {
        let Some(ping) = job.notify.ping.as_ref().filter(|ping| ping.start) else { return };
        match ping_of_start(ping, &job.name, &self.identity(job, run, at)) {
            Ok(message) => {
                let put = self.put(&job.name, message_into(message, at));
                if tokio::time::timeout(PATIENCE, put).await.is_err() {
                    let job = &job.name;
                    warn!(job, "the disk is slow: who is told of this start is told late, or not");
                }
            }
            Err(error) => warn!(job = job.name, "{error}"),
        }
    }

    /// Tells how a run ended: its check always, webhooks where the job changed between well and ill.
    ///
    /// Returns once that is on the disk, however long it takes: who does not wait so long must not count
    /// the run as told.
    pub async fn ended(&self, ended: &Ended<'_>) {
        let job = ended.job;
        if let Some(ping) = &job.notify.ping {
            match ping_of_end(ping, &self.identity(job, ended.run, ended.started), ended) {
                Ok(message) => self.put(&job.name, message_into(message, ended.ended)).await,
                Err(error) => warn!(job = job.name, "{error}"),
            }
        }
        if !job.notify.webhooks.is_empty() {
            self.tell_change(ended).await;
        }
    }

    async fn tell_change(&self, ended: &Ended<'_>) {
        let outcome = ended.ending.outcome;
        let (name, host) = (ended.job.name.clone(), Arc::clone(&self.host));
        let facts = webhook::Facts::of(ended, &host);
        let webhooks = ended.job.notify.webhooks.clone();
        let created = ended.ended;
        let told = self.outbox.change_state(name.clone(), move |previous| {
            let before = previous.and_then(health);
            let told = change(before, outcome).map(|change| {
                let messages = webhooks.iter().map(|it| {
                    webhook::message(it, &facts.job, &facts.body(it.format, change, previous))
                });
                messages.map(|message| message_into(message, created)).collect()
            });
            (health(outcome).filter(|now| Some(*now) != before).map(|_| outcome), told)
        });
        self.finish(&name, told.await);
    }

    async fn put(&self, job: &str, message: Message) {
        self.finish(job, self.outbox.put(vec![message]).await);
    }

    fn finish(&self, job: &str, put: Result<usize>) {
        match put {
            Ok(0) => {}
            Ok(dropped) => {
                warn!(job, "{dropped} messages were dropped: their receiver takes too few of them");
            }
            Err(error) => warn!(job, "nobody is told of this run: {error:#}"),
        }
        self.wake.notify_one();
    }

    fn identity(&self, job: &Job, run: RunId, started: DateTime<Utc>) -> String {
        message::run_uuid(&self.host, &job.name, run, started)
    }
}

fn message_into(mut message: Message, created: DateTime<Utc>) -> Message {
    message.created = created;
    message
}

/// What the machine, or our container, calls itself.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests;
