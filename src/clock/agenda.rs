//! The agenda: which job is due next, for as many jobs as there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{missed, next_after};
use crate::job::schedule::Schedule;

/// A clock set back by more than this was wrong before; by less, it is waited for. As in Vixie cron.
const LONGEST_WAIT_AFTER_STEP_BACK: TimeDelta = TimeDelta::hours(3);

/// Counting missed slots stops here: only a schedule of seconds over days gets so far.
const MOST_COUNTED: usize = 100_000;

/// Which job is due next. Keeps one slot a job, the coming one.
///
/// # Guarantees
///
/// A slot is reported at most once, and every slot is either reported or counted in [`Due::missed`]. After
/// a clock was set back by up to three hours nothing is due until it has caught up; after a longer step
/// back the slots are computed anew, and the store's one run a slot keeps old ones from running twice.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(DateTime<Utc>, Arc<str>)>>,
    entries: BTreeMap<Arc<str>, Entry>,
    latest_now: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    timezone: Tz,
    next: Option<DateTime<Utc>>,
}

/// A job that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Name of the job.
    pub job: String,
    /// The latest of its slots that are due.
    pub slot: DateTime<Utc>,
    /// How many earlier slots were passed over, because the clock jumped or the machine slept.
    pub missed: usize,
}

impl Agenda {
    /// Enters a job whose slots up to `after` are done with; replaces an entry of the same name.
    pub fn insert(&mut self, job: &str, schedule: Schedule, timezone: Tz, after: DateTime<Utc>) {
        self.remove(job);
        let name: Arc<str> = Arc::from(job);
        let next = next_after(&schedule, timezone, after);
        self.entries.insert(Arc::clone(&name), Entry { schedule, timezone, next });
        self.heap.extend(next.map(|next| Reverse((next, name))));
    }

    /// Takes a job out.
    pub fn remove(&mut self, job: &str) {
        if self.entries.remove(job).is_some() {
            self.heap.retain(|Reverse((_, name))| **name != *job);
        }
    }

    /// The next slot of a job.
    pub fn next_of(&self, job: &str) -> Option<DateTime<Utc>> {
        self.entries.get(job)?.next
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.heap.peek().map(|Reverse((slot, _))| *slot)
    }

    /// Takes what is due at `now`, earliest slot first, then by name.
    pub fn due(&mut self, now: DateTime<Utc>) -> Vec<Due> {
        let before = self.latest_now.replace(now).unwrap_or(now);
        if before - now > LONGEST_WAIT_AFTER_STEP_BACK {
            self.start_again_from(now);
        } else {
            self.latest_now = Some(before.max(now));
        }
        let mut due = Vec::new();
        while let Some(Reverse((slot, _))) = self.heap.peek() {
            if *slot > now {
                break;
            }
            let Some(Reverse((first, name))) = self.heap.pop() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let just_before = first - TimeDelta::seconds(1);
            let latest = missed(&entry.schedule, entry.timezone, just_before, now).unwrap_or(first);
            let passed_over = count_between(entry, first, latest);
            entry.next = next_after(&entry.schedule, entry.timezone, latest);
            due.push(Due { job: name.to_string(), slot: latest, missed: passed_over });
            self.heap.extend(entry.next.map(|next| Reverse((next, name))));
        }
        due.sort_by(|one, other| (one.slot, &one.job).cmp(&(other.slot, &other.job)));
        due
    }

    fn start_again_from(&mut self, now: DateTime<Utc>) {
        self.heap.clear();
        for (name, entry) in &mut self.entries {
            entry.next = next_after(&entry.schedule, entry.timezone, now);
            self.heap.extend(entry.next.map(|next| Reverse((next, Arc::clone(name)))));
        }
    }
}

/// How many slots lie from `first` until before `latest`.
fn count_between(entry: &Entry, first: DateTime<Utc>, latest: DateTime<Utc>) -> usize {
    let later = |slot: &DateTime<Utc>| next_after(&entry.schedule, entry.timezone, *slot);
    std::iter::successors(Some(first), later)
        .take_while(|slot| *slot < latest)
        .take(MOST_COUNTED)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        let text = format!("2026-05-{time}Z");
        DateTime::parse_from_rfc3339(&text).expect("a time").to_utc()
    }

    fn agenda(jobs: &[(&str, &str)], after: &str) -> Agenda {
        let mut agenda = Agenda::default();
        for (name, schedule) in jobs {
            let schedule = Schedule::parse(schedule).expect("a schedule");
            agenda.insert(name, schedule, Tz::UTC, at(after));
        }
        agenda
    }

    /// Rows of (now, what is due as `job slot missed`, what comes next).
    fn check(agenda: &mut Agenda, rows: &[(&str, &[&str], &str)]) {
        for (now, expected, next) in rows {
            let due: Vec<String> = agenda
                .due(at(now))
                .iter()
                .map(|due| format!("{} {} {}", due.job, due.slot.format("%dT%H:%M:%S"), due.missed))
                .collect();
            assert_eq!(due, *expected, "at {now}");
            assert_eq!(agenda.next_due(), Some(at(next)), "after {now}");
        }
    }

    #[test]
    fn takes_each_slot_once_in_order() {
        let jobs =
            [("b", "*/5 * * * *"), ("a", "*/5 * * * *"), ("c", "3 * * * *"), ("m", "@manual")];
        check(
            &mut agenda(&jobs, "01T00:00:00"),
            &[
                ("01T00:00:00", &[], "01T00:03:00"),
                ("01T00:03:00.2", &["c 01T00:03:00 0"], "01T00:05:00"),
                ("01T00:03:00.4", &[], "01T00:05:00"),
                ("01T00:05:01", &["a 01T00:05:00 0", "b 01T00:05:00 0"], "01T00:10:00"),
                ("01T00:05:02", &[], "01T00:10:00"),
            ],
        );
    }

    #[test]
    fn runs_the_latest_slot_after_a_jump_forward_and_counts_the_rest() {
        let jobs = [("a", "*/5 * * * *"), ("d", "@daily"), ("s", "* * * * * *")];
        check(
            &mut agenda(&jobs, "01T00:00:00"),
            &[("01T08:01:00", &["a 01T08:00:00 95", "s 01T08:01:00 28859"], "01T08:01:01")],
        );
    }

    #[test]
    fn waits_after_a_short_step_back() {
        check(
            &mut agenda(&[("a", "*/5 * * * *")], "01T00:00:00"),
            &[
                ("01T02:00:00", &["a 01T02:00:00 23"], "01T02:05:00"),
                ("01T01:00:00", &[], "01T02:05:00"),
                ("01T02:04:59", &[], "01T02:05:00"),
                ("01T02:05:00", &["a 01T02:05:00 0"], "01T02:10:00"),
            ],
        );
    }

    #[test]
    fn starts_again_after_a_long_step_back() {
        check(
            &mut agenda(&[("a", "*/5 * * * *")], "01T00:00:00"),
            &[
                ("09T00:00:00", &["a 09T00:00:00 2303"], "09T00:05:00"),
                ("01T00:01:00", &[], "01T00:05:00"),
                ("01T00:05:00", &["a 01T00:05:00 0"], "01T00:10:00"),
            ],
        );
    }

    #[test]
    fn replaces_and_removes() {
        let mut agenda = agenda(&[("a", "*/5 * * * *"), ("b", "@hourly")], "01T00:00:00");
        agenda.insert(
            "a",
            Schedule::parse("7 * * * *").expect("valid"),
            Tz::UTC,
            at("01T00:00:00"),
        );
        check(&mut agenda, &[("01T00:06:00", &[], "01T00:07:00")]);
        assert_eq!(agenda.next_of("b"), Some(at("01T01:00:00")));
        agenda.remove("a");
        check(&mut agenda, &[("01T00:59:00", &[], "01T01:00:00")]);
        agenda.remove("b");
        assert_eq!(agenda.next_due(), None);
        assert_eq!(agenda.next_of("b"), None);
    }
}
