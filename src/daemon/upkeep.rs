//! What is done besides running jobs: history and output are kept short, and others are told of ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::warn;

use super::{Daemon, Event};
use crate::job::Keep;
use crate::logs;
use crate::notify::{Ended, Notifier};
use crate::run::{Ending, RunId};

/// History is pruned once in so many ends.
const PRUNE_EVERY: usize = 256;
/// Between two sweeps of the files of runs.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// Longest wait for the disk at our end.
const TIME_TO_TELL: Duration = Duration::from_secs(2);
/// Bytes of the end of a run's output that are told.
const TAIL_BYTES: usize = 64 * 1024;

impl Daemon {
    /// Deletes history beyond what each job keeps.
    pub(super) async fn prune_all(&mut self, now: DateTime<Utc>) -> Result<()> {
        // Of jobs that are gone, too.
        self.store.prune_runs(Keep::default().runs).await?;
        let own = self.configuration.jobs.iter().filter(|job| job.keep != Keep::default());
        let own = own.map(|job| (job.name.clone(), job.keep.clone())).collect();
        self.store.prune_jobs(now, own).await
    }

    /// Deletes history of jobs that had ends, once there were many.
    pub(super) async fn prune(&mut self, now: DateTime<Utc>) {
        if self.ends_since_prune < PRUNE_EVERY {
            return;
        }
        self.ends_since_prune = 0;
        let names = std::mem::take(&mut self.unpruned);
        let jobs = names.into_iter().filter_map(|name| {
            let keep = self.job(&name)?.keep.clone();
            Some((name, keep))
        });
        let jobs = jobs.collect();
        if let Err(error) = self.store.prune_jobs(now, jobs).await {
            warn!("old runs could not be pruned: {error:#}");
        }
    }

    /// Removes the output of runs that is no longer kept, now and then.
    pub(super) fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(Instant::now());
        let own = self.configuration.jobs.iter().filter(|job| job.keep != Keep::default());
        let keeps: BTreeMap<String, Keep> =
            own.map(|job| (job.name.clone(), job.keep.clone())).collect();
        let going_on: BTreeSet<RunId> = self.running.keys().copied().collect();
        let (settings, now) = (self.configuration.settings.log.clone(), (self.world.now)());
        self.tasks.spawn(async move {
            let sweep = move || logs::sweep(&settings, &keeps, &going_on, now);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(sweep).await {
                warn!("old output could not be removed: {error}");
            }
            Event::Mumbled
        });
    }

    /// Tells others how a run of a job ended, if the job has anybody to tell.
    pub(super) fn tell_others(
        &mut self,
        job: &str,
        run: RunId,
        started: DateTime<Utc>,
        ending: &Ending,
    ) {
        let Some(notifier) = self.notifier.clone() else { return };
        let Some(job) = self.job(job).filter(|job| Notifier::concerns(job)).cloned() else {
            return;
        };
        let (directory, ended) = (self.configuration.settings.log.dir.clone(), (self.world.now)());
        let (ending, store) = (ending.clone(), self.store.clone());
        while self.telling.try_join_next().is_some() {}
        self.telling.spawn(async move {
            let tail = tail_of(directory, &job.name, run).await;
            let ended = Ended { job: &job, run, started, ended, ending: &ending, tail: &tail };
            notifier.ended(&ended).await;
            if let Err(error) = store.told(run).await {
                warn!("others may be told of run {run} of {} again: {error:#}", job.name);
            }
        });
    }

    /// Tells of ends that the last Roadstead wrote down and told nobody.
    pub(super) async fn tell_what_is_untold(&mut self) -> Result<()> {
        for run in self.store.untold().await? {
            if let Some(ending) = run.ending() {
                self.tell_others(&run.job, run.id, run.started, &ending);
            }
        }
        Ok(())
    }

    /// Waits until what is to be told is written down, though not yet delivered.
    pub(super) async fn have_told(&mut self) {
        let all = async { while self.telling.join_next().await.is_some() {} };
        if tokio::time::timeout(TIME_TO_TELL, all).await.is_err() {
            warn!("the disk is slow: not everybody is told of the last runs");
        }
    }
}

/// The end of a run's output, once all of it is on the disk; nothing where it cannot be read.
pub(super) async fn tail_of(directory: PathBuf, job: &str, run: RunId) -> String {
    logs::settled().await;
    let name = job.to_owned();
    let tail = move || logs::run_tail(&directory, &name, run, TAIL_BYTES);
    tokio::task::spawn_blocking(tail).await.ok().and_then(Result::ok).unwrap_or_default()
}
