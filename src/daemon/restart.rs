//! After a restart: what becomes of runs that had not ended when we died.
//!
//! What waited waits again. What had not begun begins again, in the same row. What can be gone on with is:
//! a container that lives, or lived until its end, a job at a server, the jobs of a group that are left, a
//! further try. The rest is lost: nobody knows how far it came.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tracing::{error, info, warn};

use super::Daemon;
use super::runs::Wish;
use crate::docker::Container;
use crate::execute::{bring_back, related};
use crate::job::{Job, Work};
use crate::notify::Notifier;
use crate::plan::labels;
use crate::run::{Details, Ending, Outcome, Reason, Run, Trigger};
use crate::store::Change;

/// Runs that may have a container, until the Engine says whether they have; and those of jobs that
/// nobody knows, until all files and the labels of containers are read.
#[derive(Default)]
pub(super) struct Orphans {
    runs: Vec<Run>,
    /// What the Engine said, once it did.
    containers: Option<Vec<Container>>,
}

impl Orphans {
    /// Whether there are such runs of a job.
    pub(super) fn are_of(&self, job: &str) -> bool {
        self.runs.iter().any(|run| run.job == job)
    }
}

impl Daemon {
    /// Takes up what the last Roadstead left open, as far as that can be said without the Engine.
    pub(super) async fn take_back_open_runs(&mut self) -> Result<()> {
        let open = self.store.open_runs().await?;
        let mut owing = BTreeSet::new();
        for run in &open {
            let details = self.store.details(run.id).await.ok().flatten().unwrap_or_default();
            owing.extend(details.owes().then_some(run.id));
        }
        let (runs, others) = open.into_iter().partition(|run| match self.job(&run.job) {
            // Only by the Engine can it be put back.
            _ if owing.contains(&run.id) => true,
            None => self.may_be_found(run),
            Some(job) => run.outcome != Outcome::Queued && self.may_have_containers(job),
        });
        self.orphans.runs = runs;
        self.settle(others, &[]).await;
        Ok(())
    }

    /// Decides about runs that may have a container, now that the Engine told which there are.
    pub(super) async fn settle_orphans(&mut self, containers: Vec<Container>) {
        let orphans = std::mem::take(&mut self.orphans.runs);
        let (unknown, known): (Vec<Run>, Vec<Run>) =
            orphans.into_iter().partition(|run| self.may_be_found(run));
        for run in &unknown {
            warn!("run {} of {} waits: its job may stand in what cannot be read", run.id, run.job);
        }
        self.settle(known, &containers).await;
        self.orphans = Orphans { runs: unknown, containers: Some(containers) };
    }

    /// Decides about runs of jobs that nobody knew, now that more was read.
    pub(super) async fn settle_those_found(&mut self) {
        // Else it is decided when the Engine answers.
        if self.orphans.containers.is_some() && !self.orphans.runs.is_empty() {
            let containers = self.orphans.containers.take().unwrap_or_default();
            self.settle_orphans(containers).await;
        }
    }

    /// Whether a run is of a job that nobody knows, and that may yet be found: in labels, or in a file
    /// that is broken.
    fn may_be_found(&self, run: &Run) -> bool {
        let mut problems = self.configuration.problems.0.iter();
        // What was restored is never gone on with.
        run.trigger != Trigger::Restore
            && self.job(&run.job).is_none()
            && (self.waits_for_labels() || problems.any(|problem| !problem.is_warning()))
    }

    async fn settle(&mut self, runs: Vec<Run>, containers: &[Container]) {
        let (mut changes, mut followers, mut lost_runs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut again, mut going_on) = (Vec::new(), Vec::new());
        for run in runs {
            let details = self.store.details(run.id).await.ok().flatten().unwrap_or_default();
            if run.trigger == Trigger::Restore && run.outcome != Outcome::Running {
                warn!("run {} of {}: what was to be restored is not", run.id, run.job);
                changes.push(Change::Ended(run.id, not_restored()));
                continue;
            }
            let Some(job) = self.job(&run.job) else {
                start_again(&self.world.engine, &run, &details).await;
                let ending = job_gone(&run);
                warn!("run {} of {}: {}", run.id, run.job, ending.message);
                changes.push(Change::Ended(run.id, ending));
                continue;
            };
            let members = related(job, &self.configuration.jobs);
            let own = containers.iter().filter(|it| is_of(it, &run, &members));
            let own: Vec<Container> = own.cloned().collect();
            if run.outcome != Outcome::Queued && goes_on(job, &run, &own, &details) {
                going_on.push((run, own));
            } else if run.outcome == Outcome::Running {
                start_again(&self.world.engine, &run, &details).await;
                warn!("run {} of {} was cut off when roadstead died", run.id, run.job);
                if run.trigger == Trigger::Restore {
                    changes.push(Change::Ended(run.id, lost_restore()));
                    continue;
                }
                followers.extend(self.followers(&run.job, &lost()));
                changes.extend(self.end_of(&run.job, run.id, &lost()));
                lost_runs.push(run);
            } else {
                if run.outcome == Outcome::Starting {
                    info!("run {} of {} had not begun: it starts again", run.id, run.job);
                    changes.push(Change::Requeued(run.id));
                }
                again.push(run);
            }
        }
        // Those that go on first: what waits sees them.
        let going_on = going_on.into_iter().filter_map(|(run, containers)| {
            let request = self.promised(&run)?;
            self.queue.adopt(request.clone());
            Some((request, run.started, containers))
        });
        for (request, started, containers) in going_on.collect::<Vec<_>>() {
            self.launch_one(&request, started, Some(containers)).await;
        }
        for run in again {
            if let Some(request) = self.promised(&run) {
                self.queue.request(request);
            }
        }
        self.end_and_enter(changes, followers).await;
        for run in lost_runs {
            self.tell_others(&run.job, run.id, run.started, &lost());
        }
    }

    /// What the queue is asked for a run that was entered before: it was promised a run of its own.
    fn promised(&self, run: &Run) -> Option<crate::queue::Request> {
        let wish = Wish { is_promised: true, ..Wish::new(&run.job, run.trigger, run.slot) };
        Some(self.request(self.job(&run.job)?, run.id, &wish))
    }

    /// Whether only the Engine can say what became of a run of it.
    fn may_have_containers(&self, job: &Job) -> bool {
        let has_own = |work: &Work| {
            matches!(work, Work::Run(_) | Work::ComposeRun(_) | Work::Certificate(_))
                || work.repository().is_some()
        };
        let has = |job: &Job| has_own(&job.work) || job.work.then().iter().any(has_own);
        let needs_engine =
            |job: &Job| matches!(job.work, Work::Deploy(_) | Work::Exec(_) | Work::Container(_));
        let members = || related(job, &self.configuration.jobs);
        has(job)
            || matches!(job.work, Work::Group(_))
                && members().iter().any(|member| has(member) || needs_engine(member))
    }
}

/// Whether a run that was starting or running can be gone on with.
fn goes_on(job: &Job, run: &Run, containers: &[Container], details: &Details) -> bool {
    if run.trigger == Trigger::Restore {
        return false;
    }
    match &job.work {
        // The next one looks at what is really there.
        Work::Deploy(_)
        | Work::Sync(_)
        | Work::Backup(_)
        | Work::BackupPrune(_)
        | Work::BackupCheck(_)
        | Work::RestoreDrill(_) => false,
        _ if !containers.is_empty() => true,
        _ if run.outcome == Outcome::Starting => false,
        Work::Run(_) | Work::ComposeRun(_) | Work::Certificate(_) | Work::Group(_) => true,
        Work::Exec(_)
        | Work::Container(_)
        | Work::Command(_)
        | Work::Http(_)
        | Work::OgcProcess(_)
        | Work::Rotate(_)
        | Work::Clean(_)
        | Work::CacheSync(_)
        | Work::Refresh(_)
        | Work::Prune(_) => {
            details.ending.is_some() || details.then > 0 || details.remote.is_some()
        }
    }
}

/// Settles what a Roadstead that died left open, for a command on a host where none serves: what waited
/// goes on waiting for the next one, and so does what can be gone on with.
///
/// # Errors
///
/// When the store or the Engine fails.
pub(super) async fn lose_what_is_cut_off(
    store: &crate::store::Store,
    engine: &crate::docker::Engine,
    jobs: &[Job],
    now: DateTime<Utc>,
) -> Result<()> {
    let open = store.open_runs().await?;
    let open: Vec<Run> = open.into_iter().filter(|run| run.outcome == Outcome::Running).collect();
    if open.is_empty() {
        return Ok(());
    }
    let containers = engine.containers_with(labels::RUN).await?;
    let mut changes = Vec::new();
    for run in open {
        let details = store.details(run.id).await?.unwrap_or_default();
        // Nobody may serve here for a while: what it stopped is not left until then.
        let is_left = !start_again(engine, &run, &details).await
            && jobs.iter().find(|job| job.name == run.job).is_some_and(|job| {
                let members = related(job, jobs);
                let own = containers.iter().filter(|it| is_of(it, &run, &members));
                goes_on(job, &run, &own.cloned().collect::<Vec<_>>(), &details)
            });
        if !is_left {
            let is_restore = run.trigger == Trigger::Restore;
            let ending = if is_restore { lost_restore() } else { lost() };
            changes.push(Change::Ended(run.id, ending));
            let is_told = !is_restore
                && jobs.iter().any(|job| job.name == run.job && Notifier::concerns(job));
            changes.extend(is_told.then_some(Change::Untold(run.id)));
        }
    }
    store.record(now, changes).await.map(drop)
}

/// Puts back what a run owes that nobody goes on with; whether there was something.
async fn start_again(engine: &crate::docker::Engine, run: &Run, details: &Details) -> bool {
    if let Err(error) = bring_back(engine, details).await {
        error!(
            "what run {} of {} had stopped, paused or made is not put back: {error:#}: do it by hand",
            run.id, run.job
        );
    }
    details.owes()
}

/// Whether a container was made for a run. Another Roadstead on the same Engine numbers its runs, too.
fn is_of(container: &Container, run: &Run, members: &[Job]) -> bool {
    let of_number = container.label(labels::RUN) == run.id.to_string();
    let label = container.label(labels::JOB);
    let of_job = label == run.job || members.iter().any(|member| member.name == label);
    of_number && of_job && container.created >= run.started.timestamp()
}

fn lost() -> Ending {
    let message = "roadstead died during this run; the next run of the job repairs";
    Ending::new(Outcome::Lost, Reason::Crashed, message)
}

fn lost_restore() -> Ending {
    let message = "roadstead died while it restored, and a volume may be restored in part: restore it once \
                   more; what it had stopped was started again";
    Ending::new(Outcome::Lost, Reason::Crashed, message)
}

fn not_restored() -> Ending {
    let message = "roadstead stopped before it began to restore: nothing was touched, ask again";
    Ending::new(Outcome::Cancelled, Reason::Shutdown, message)
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
