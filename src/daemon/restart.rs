//! After a restart: what becomes of runs that had not ended when we died.
//!
//! What waited waits again. What had not begun begins again, in the same row. A container that goes on, or
//! went on until its end, is taken over. The rest is lost: nobody knows how far it came.

use anyhow::Result;
use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::Daemon;
use super::runs::{Adopted, Wish, outlives_us};
use crate::docker::Container;
use crate::job::{Job, Work};
use crate::plan::labels;
use crate::plan::observed::State;
use crate::run::{Ending, Outcome, Reason, Run, RunId};
use crate::store::Change;

/// Runs that may have a container, until the Engine says whether they have.
#[derive(Default)]
pub(super) struct Orphans(Vec<Run>);

impl Daemon {
    /// Takes up what the last Roadstead left open, as far as that can be said without the Engine.
    pub(super) async fn take_back_open_runs(&mut self, now: DateTime<Utc>) -> Result<()> {
        let mut changes = Vec::new();
        let mut again = Vec::new();
        let (mut followers, mut cut_off) = (Vec::new(), Vec::new());
        for run in self.store.open_runs().await? {
            let Some(job) = self.job(&run.job) else {
                let ending = job_gone(&run);
                warn!("run {} of {}: {}", run.id, run.job, ending.message);
                changes.push(Change::Ended(run.id, ending));
                continue;
            };
            match run.outcome {
                Outcome::Queued => again.push(run),
                _ if has_containers(job) => self.orphans.0.push(run),
                Outcome::Starting => {
                    changes.push(Change::Requeued(run.id));
                    again.push(run);
                }
                _ => {
                    warn!("run {} of {} was cut off when roadstead died", run.id, run.job);
                    let ending = lost();
                    followers.extend(self.followers(&run.job, run.id, &ending));
                    changes.push(Change::Ended(run.id, ending));
                    cut_off.push(run);
                }
            }
        }
        self.store.record(now, changes).await?;
        for run in cut_off {
            self.tell_others(&run.job, run.id, run.started, &lost());
        }
        self.wait_again(again);
        self.enter(followers).await;
        Ok(())
    }

    /// Decides about runs that may have a container, now that the Engine told which there are.
    pub(super) async fn settle_orphans(&mut self, containers: Vec<Container>) {
        let mut changes = Vec::new();
        let mut again = Vec::new();
        let mut followers = Vec::new();
        let mut alive = Vec::new();
        for run in std::mem::take(&mut self.orphans.0) {
            if let Some(container) = self.container_of(&run, &containers).await {
                alive.push((run, container));
            } else if run.outcome == Outcome::Starting {
                info!("run {} of {} had not begun: it starts again", run.id, run.job);
                changes.push(Change::Requeued(run.id));
                again.push(run);
            } else {
                warn!("run {} of {} was cut off when roadstead died", run.id, run.job);
                let ending = lost();
                followers.extend(self.followers(&run.job, run.id, &ending));
                self.tell_others(&run.job, run.id, run.started, &ending);
                changes.push(Change::Ended(run.id, ending));
            }
        }
        self.record(changes).await;
        for (run, container) in alive {
            let Some(job) = self.job(&run.job) else {
                self.record(vec![Change::Ended(run.id, job_gone(&run))]).await;
                continue;
            };
            let wish = Wish { is_promised: true, ..Wish::new(&run.job, run.trigger, run.slot) };
            let request = self.request(job, run.id, &wish);
            self.queue.adopt(request.clone());
            let adopted = Adopted { container, started: run.started };
            self.launch_one(&request, Some(adopted)).await;
        }
        self.wait_again(again);
        self.enter(followers).await;
    }

    /// Id of the container that a run is or was in.
    async fn container_of(&self, run: &Run, containers: &[Container]) -> Option<String> {
        let job = self.job(&run.job);
        let own = containers.iter().filter(|it| is_of(it, run, job));
        // Of several the one that goes on, else the newest that was started.
        let best = own
            .max_by_key(|it| (it.state == State::Running, it.state != State::Created, it.created));
        if let Some(container) = best {
            return Some(container.id.clone());
        }
        // One that was there before is not ours to label.
        self.store.details(run.id).await.ok().flatten()?.container
    }

    /// Puts runs back into the line; each was promised a run of its own.
    fn wait_again(&mut self, runs: Vec<Run>) {
        for run in runs {
            let Some(job) = self.job(&run.job) else { continue };
            let wish = Wish { is_promised: true, ..Wish::new(&run.job, run.trigger, run.slot) };
            let request = self.request(job, run.id, &wish);
            self.queue.request(request);
        }
    }
}

/// Settles what a Roadstead that died left open, for a command on a host where none serves: what waited
/// goes on waiting for the next one, and so does what has a container.
///
/// # Errors
///
/// When the store or the Engine fails.
pub(super) async fn lose_what_is_cut_off(
    store: &crate::store::Store,
    engine: &crate::docker::Engine,
    now: DateTime<Utc>,
) -> Result<Vec<RunId>> {
    let open = store.open_runs().await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let containers = engine.containers_with(labels::RUN).await?;
    let has_container = |run: &Run| containers.iter().any(|it| is_of(it, run, None));
    let cut_off = open.into_iter().filter(|run| run.outcome == Outcome::Running);
    let cut_off: Vec<RunId> = cut_off.filter(|run| !has_container(run)).map(|run| run.id).collect();
    let changes = cut_off.iter().map(|run| Change::Ended(*run, lost())).collect();
    store.record(now, changes).await?;
    Ok(cut_off)
}

/// Whether a container was made for a run. Another Roadstead on the same Engine numbers its runs, too.
fn is_of(container: &Container, run: &Run, job: Option<&Job>) -> bool {
    let of_number = container.label(labels::RUN) == run.id.to_string();
    let label = container.label(labels::JOB);
    let of_member = match job.map(|job| &job.work) {
        Some(Work::Group(group)) => group.jobs.iter().any(|member| member == label),
        _ => false,
    };
    let of_job = label == run.job || of_member;
    of_number && of_job && container.created >= run.started.timestamp()
}

/// Whether a run of it may have left a container behind; a group's members have some of their own.
fn has_containers(job: &Job) -> bool {
    outlives_us(job) || matches!(job.work, Work::Group(_))
}

fn lost() -> Ending {
    let message = "roadstead died during this run; the next run of the job repairs";
    Ending::new(Outcome::Lost, Reason::Crashed, message)
}

fn job_gone(run: &Run) -> Ending {
    let message = format!("job `{}` is gone since it was entered", run.job);
    match run.outcome {
        Outcome::Queued | Outcome::Starting => {
            Ending::new(Outcome::Skipped, Reason::JobGone, message)
        }
        _ => Ending::new(Outcome::Lost, Reason::JobGone, message),
    }
}
