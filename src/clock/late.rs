//! Slots that were skipped, because a run was in the way or the job was paused, and run after all.

use chrono::{DateTime, TimeDelta, Utc};

use super::timetable::most_caught_up;
use crate::job::{Overlap, Policy};
use crate::run::{Reason, RunId};

/// A slot that was skipped before its run could begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its run.
    pub run: RunId,
    /// The slot.
    pub slot: DateTime<Utc>,
    /// Why: [`Reason::Overlap`] or [`Reason::Paused`].
    pub reason: Reason,
}

/// The oldest slot of a job that may still run at `now` though it was skipped. `None` for jobs without
/// `start_deadline`, where a skip is the end of it, and for those that catch up with nothing.
pub fn oldest_after_all(policy: &Policy, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let deadline = policy.start_deadline.filter(|_| most_caught_up(policy.catch_up) > 0)?;
    let deadline = TimeDelta::from_std(deadline).ok();
    Some(deadline.and_then(|it| now.checked_sub_signed(it)).unwrap_or(DateTime::<Utc>::MIN_UTC))
}

/// Of a job's skipped slots, newest first, those that run after all now that nothing is in the way, oldest
/// first. None of them may be older than a slot that had its run, or is to have it.
///
/// As in Kubernetes, what `overlap: skip` left out counts as missed, and of what a pause left out only the
/// newest slot is eligible.
pub fn after_all(policy: &Policy, now: DateTime<Utc>, skipped: &[Skipped]) -> Vec<Skipped> {
    let Some(oldest) = oldest_after_all(policy, now) else { return Vec::new() };
    let newest_of_pause = skipped.iter().find(|it| it.reason == Reason::Paused);
    let is_eligible = |it: &&Skipped| match it.reason {
        Reason::Overlap => policy.overlap == Overlap::Skip,
        _ => newest_of_pause == Some(*it),
    };
    let in_time = skipped.iter().filter(|it| it.slot >= oldest);
    let mut chosen: Vec<Skipped> =
        in_time.filter(is_eligible).take(most_caught_up(policy.catch_up)).copied().collect();
    chosen.reverse();
    chosen
}
