//! Slots that were skipped and run after all: when the run that was in the way ends, when the job is resumed,
//! and after a restart that came in between.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::Daemon;
use super::runs::Wish;
use crate::clock::{after_all, oldest_after_all};
use crate::job::Job;
use crate::run::Trigger;

impl Daemon {
    /// What is wished for skipped slots of these jobs that may run after all, now that nothing of the job
    /// runs or waits. Asked twice it is the same: a slot that is no longer skipped is not found.
    pub(super) async fn skipped_wishes(&self, jobs: impl Iterator<Item = &Job>) -> Vec<Wish> {
        let now = (self.world.now)();
        let mut policies = BTreeMap::new();
        let mut asked = Vec::new();
        for job in jobs.filter(|job| self.is_idle(&job.name)) {
            if let Some(oldest) = oldest_after_all(&job.policy, now) {
                policies.insert(&job.name, &job.policy);
                asked.push((job.name.clone(), oldest));
            }
        }
        if asked.is_empty() {
            return Vec::new();
        }
        let found = self.store.skipped(asked).await.unwrap_or_else(|error| {
            warn!("slots that were skipped cannot be read, and stay skipped: {error:#}");
            Vec::new()
        });
        let mut wishes = Vec::new();
        for (job, skipped) in found {
            let Some(policy) = policies.get(&job) else { continue };
            for it in after_all(policy, now, &skipped) {
                let (slot, reason) = (it.slot.to_rfc3339(), it.reason);
                info!("slot {slot} of {job} was skipped ({reason}) and runs after all");
                let wish = Wish::new(&job, Trigger::CatchUp, Some(it.slot));
                wishes.push(Wish { is_promised: true, skipped: Some(it.run), ..wish });
            }
        }
        wishes
    }

    /// As [`Self::skipped_wishes`], of all jobs, after a start.
    pub(super) async fn enter_skipped(&mut self) {
        let wishes = self.skipped_wishes(self.configuration.jobs.iter()).await;
        if !wishes.is_empty() {
            self.enter(wishes).await;
        }
    }

    /// Whether nothing of a job that may run by itself runs, waits, or has an end that is not known yet.
    fn is_idle(&self, job: &str) -> bool {
        self.pauses.of(job).is_none()
            && self.queue.running_of(job).next().is_none()
            && self.queue.waiting_of(job).next().is_none()
            && !self.orphans.are_of(job)
    }
}
