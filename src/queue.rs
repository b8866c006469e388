//! The queue: which runs may start, which wait, and what starts when one ends.
//!
//! A state machine without clock or I/O. One run of a job at a time and one waiting: further requests
//! merge into the waiting one. Jobs that share a lock never run together.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::run::Trigger;

/// A wish to run a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the job.
    pub job: String,
    /// What it must have to itself while it runs, e.g. `project:web`; besides the job itself.
    pub locks: BTreeSet<String>,
    /// What said "look now".
    pub trigger: Trigger,
    /// The slot of the schedule that the run stands for.
    pub slot: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub asked: DateTime<Utc>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it now; it counts as running until [`Queue::finished`].
    Start,
    /// It waits.
    Queued,
    /// A request of this job was waiting already, and one run will serve both.
    Merged {
        /// The slot that gets no run of its own; whoever asked records it as skipped.
        superseded: Option<DateTime<Utc>>,
    },
    /// The queue is closed.
    Refused,
}

/// What runs and what waits.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    open: bool,
    running: BTreeMap<String, Request>,
    /// First come, first served.
    waiting: Vec<Request>,
}

impl Queue {
    /// An open queue that lets at most `limit` jobs run at once, at least one.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), open: true, running: BTreeMap::new(), waiting: Vec::new() }
    }

    /// Decides on a request.
    pub fn request(&mut self, request: Request) -> Decision {
        if !self.open {
            return Decision::Refused;
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.job == request.job) {
            return Decision::Merged { superseded: merge(waiting, request) };
        }
        self.waiting.push(request);
        // Only the newcomer can start: what waited before it waits for something that has not ended.
        if self.start_what_may().is_empty() { Decision::Queued } else { Decision::Start }
    }

    /// Ends a run, and returns what starts now in its place, in order.
    pub fn finished(&mut self, job: &str) -> Vec<Request> {
        self.running.remove(job);
        self.start_what_may()
    }

    /// Takes a waiting request out, because a person no longer wants it.
    pub fn withdraw(&mut self, job: &str) -> Option<Request> {
        let position = self.waiting.iter().position(|waiting| waiting.job == job)?;
        Some(self.waiting.remove(position))
    }

    /// Closes for good: nothing starts any more. Returns what waited, for the record.
    pub fn close(&mut self) -> Vec<Request> {
        self.open = false;
        std::mem::take(&mut self.waiting)
    }

    /// What runs, by job.
    pub fn running(&self) -> impl Iterator<Item = &Request> {
        self.running.values()
    }

    /// What waits, first come first.
    pub fn waiting(&self) -> impl Iterator<Item = &Request> {
        self.waiting.iter()
    }

    /// True when the job runs.
    pub fn is_running(&self, job: &str) -> bool {
        self.running.contains_key(job)
    }

    /// True when nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    fn start_what_may(&mut self) -> Vec<Request> {
        let mut taken: BTreeSet<String> =
            self.running.values().flat_map(|running| running.locks.iter().cloned()).collect();
        let mut started = Vec::new();
        let mut still_waiting = Vec::new();
        for request in std::mem::take(&mut self.waiting) {
            let free =
                !self.running.contains_key(&request.job) && request.locks.is_disjoint(&taken);
            // Locks are taken by those who wait too: a later request may not overtake an earlier one
            // that needs the same lock, or a busy lock would starve a job that needs two.
            taken.extend(request.locks.iter().cloned());
            if free && self.running.len() < self.limit {
                self.running.insert(request.job.clone(), request.clone());
                started.push(request);
            } else {
                still_waiting.push(request);
            }
        }
        self.waiting = still_waiting;
        started
    }
}

/// Merges a request into the waiting one of its job: the newest slot, the strongest trigger, the place in
/// the line kept. Returns the slot that lost.
fn merge(waiting: &mut Request, request: Request) -> Option<DateTime<Utc>> {
    if strength(request.trigger) > strength(waiting.trigger) {
        waiting.trigger = request.trigger;
    }
    waiting.locks = request.locks;
    let (one, other) = (waiting.slot, request.slot);
    waiting.slot = one.max(other);
    one.min(other).filter(|lost| Some(*lost) != waiting.slot)
}

/// A person's wish beats the others: it lifts a quarantine, and must not lose that by merging.
fn strength(trigger: Trigger) -> u8 {
    match trigger {
        Trigger::Startup => 0,
        Trigger::Schedule => 1,
        Trigger::Retry => 2,
        Trigger::Manual => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).expect("in range")
    }

    /// `job`, or `job+lock+lock`.
    fn request(text: &str, trigger: Trigger, slot: Option<i64>) -> Request {
        let mut words = text.split('+');
        Request {
            job: words.next().unwrap_or_default().to_owned(),
            locks: words.map(str::to_owned).collect(),
            trigger,
            slot: slot.map(minute),
            asked: minute(0),
        }
    }

    enum Do {
        Ask(&'static str, Decision),
        End(&'static str, &'static [&'static str]),
        Close(&'static [&'static str]),
    }
    use Do::{Ask, Close, End};

    const MERGED: Decision = Decision::Merged { superseded: None };

    fn check(limit: usize, rows: &[Do]) {
        let mut queue = Queue::new(limit);
        let names = |requests: Vec<Request>| -> Vec<String> {
            requests.into_iter().map(|request| request.job).collect()
        };
        for (number, row) in rows.iter().enumerate() {
            match row {
                Ask(text, expected) => {
                    let decision = queue.request(request(text, Trigger::Manual, None));
                    assert_eq!(decision, *expected, "row {number}: ask {text}");
                }
                End(job, expected) => {
                    assert_eq!(names(queue.finished(job)), *expected, "row {number}: end {job}");
                }
                Close(expected) => {
                    assert_eq!(names(queue.close()), *expected, "row {number}: close");
                }
            }
        }
    }

    #[test]
    fn runs_a_job_once_and_keeps_one_waiting() {
        check(
            4,
            &[
                Ask("a", Decision::Start),
                Ask("a", Decision::Queued),
                Ask("a", MERGED),
                Ask("b", Decision::Start),
                End("a", &["a"]),
                End("a", &[]),
                End("b", &[]),
                Ask("a", Decision::Start),
            ],
        );
    }

    #[test]
    fn keeps_the_limit_and_the_order() {
        check(
            2,
            &[
                Ask("a", Decision::Start),
                Ask("b", Decision::Start),
                Ask("c", Decision::Queued),
                Ask("d", Decision::Queued),
                End("b", &["c"]),
                End("a", &["d"]),
                End("x", &[]),
                Ask("e", Decision::Queued),
            ],
        );
        check(0, &[Ask("a", Decision::Start), Ask("b", Decision::Queued)]);
    }

    #[test]
    fn never_runs_two_jobs_that_share_a_lock() {
        check(
            4,
            &[
                Ask("a+web", Decision::Start),
                Ask("b+web+db", Decision::Queued),
                // It could start, but would then hold up the one that came before.
                Ask("c+db", Decision::Queued),
                Ask("d+mail", Decision::Start),
                End("d", &[]),
                End("a", &["b"]),
                End("b", &["c"]),
            ],
        );
        check(
            4,
            &[
                Ask("a+web+db", Decision::Start),
                Ask("b+web", Decision::Queued),
                Ask("c+db", Decision::Queued),
                End("a", &["b", "c"]),
            ],
        );
    }

    #[test]
    fn a_waiting_run_of_a_running_job_holds_up_nobody_else() {
        check(
            2,
            &[
                Ask("a", Decision::Start),
                Ask("a", Decision::Queued),
                Ask("b", Decision::Start),
                End("b", &[]),
            ],
        );
    }

    #[test]
    fn starts_nothing_once_closed() {
        check(
            1,
            &[
                Ask("a", Decision::Start),
                Ask("b", Decision::Queued),
                Close(&["b"]),
                Ask("c", Decision::Refused),
                End("a", &[]),
            ],
        );
    }

    #[test]
    fn merging_keeps_the_newest_slot_and_the_strongest_trigger() {
        use Trigger::{Manual, Retry, Schedule, Startup};
        // (waiting, newcomer, merged, superseded slot)
        let rows = [
            ((Schedule, Some(1)), (Schedule, Some(2)), (Schedule, Some(2)), Some(1)),
            ((Schedule, Some(1)), (Manual, None), (Manual, Some(1)), None),
            ((Manual, None), (Schedule, Some(1)), (Manual, Some(1)), None),
            ((Startup, None), (Retry, None), (Retry, None), None),
            ((Schedule, Some(1)), (Schedule, Some(1)), (Schedule, Some(1)), None),
        ];
        for ((trigger, slot), (newer, newer_slot), (merged, merged_slot), superseded) in rows {
            let mut queue = Queue::new(1);
            queue.request(request("a", Manual, None));
            queue.request(request("a", trigger, slot));
            let decision = queue.request(request("a", newer, newer_slot));
            assert_eq!(decision, Decision::Merged { superseded: superseded.map(minute) });
            let waiting = queue.withdraw("a").expect("it waits");
            assert_eq!((waiting.trigger, waiting.slot), (merged, merged_slot.map(minute)));
            assert!(queue.is_running("a") && queue.waiting().next().is_none());
        }
    }
}
