//! The agenda: which job is due next, for as many jobs as there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hashbrown::HashTable;

use super::timetable::{Owed, Shared, Timetable};
use crate::job::CatchUp;

/// A clock set back by more than this was wrong before; by less, it is waited for. As in Vixie cron.
const LONGEST_WAIT_AFTER_STEP_BACK: TimeDelta = TimeDelta::hours(3);

/// Which job is due next. Keeps one slot a job, the coming one, and wakes when its run is to start.
///
/// # Guarantees
///
/// A slot is handed out at most once, and every slot is handed out. After a clock was set back by up to
/// three hours nothing is due until it has caught up; after a longer step back the slots are computed
/// anew, and the store's one run a slot keeps old ones from running twice.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Some of them are out of date: those whose generation is not that of their entry.
    heap: BinaryHeap<Reverse<Wake>>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Places of entries by the names of their jobs, which only the entries hold.
    places: HashTable<u32>,
    hashes: RandomState,
    shared: Shared,
    generation: u32,
    latest_now: Option<DateTime<Utc>>,
}

/// When to look at an entry. Small: there is one for each of perhaps 100,000 jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wake {
    /// Milliseconds since the Unix epoch.
    at: i64,
    entry: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry {
    timetable: Timetable,
    /// Slots up to here are done with.
    done: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
    generation: u32,
}

/// A job that is due: one slot of it, or several that passed since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Its timetable.
    pub timetable: Timetable,
    /// Slots up to here had been handed out before.
    pub done: DateTime<Utc>,
    /// The earliest slot that is due.
    pub first: DateTime<Utc>,
    /// The latest slot that is due.
    pub latest: DateTime<Utc>,
}

impl Due {
    /// Name of the job.
    pub fn job(&self) -> &str {
        self.timetable.key()
    }

    /// Decides which of its slots run at `now` and which are recorded as missed: see
    /// [`Timetable::catch_up`].
    pub fn catch_up(
        &self,
        policy: CatchUp,
        now: DateTime<Utc>,
        start_deadline: Option<Duration>,
    ) -> Owed {
        self.timetable.catch_up(policy, self.done, now, start_deadline)
    }
}

impl Agenda {
    /// Enters a job whose slots up to `after` are done with; replaces an entry of the same name.
    pub fn insert(&mut self, mut timetable: Timetable, after: DateTime<Utc>) {
        self.shared.share(&mut timetable);
        let known = self.place(timetable.key());
        let place = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer than four billion jobs")
        });
        let hash = self.hashes.hash_one(Some(&**timetable.key()));
        self.entries[place as usize] =
            Some(Entry { timetable, done: after, next: None, generation: 0 });
        if known.is_none() {
            let hash_again = |place: &u32| self.hashes.hash_one(job_at(&self.entries, *place));
            self.places.insert_unique(hash, place, hash_again);
        }
        self.wake(place);
        self.settle();
    }

    /// Enters a job anew if its timetable is not what was entered before; else it keeps its place and
    /// what it is owed. Says whether it was entered.
    pub fn update(&mut self, timetable: Timetable, after: DateTime<Utc>) -> bool {
        let changed = self.entry(timetable.key()).is_none_or(|known| known.timetable != timetable);
        if changed {
            self.insert(timetable, after);
        }
        changed
    }

    /// Takes a job out.
    pub fn remove(&mut self, job: &str) {
        let is_it = |place: &u32| job_at(&self.entries, *place) == Some(job);
        if let Ok(found) = self.places.find_entry(self.hashes.hash_one(Some(job)), is_it) {
            let (place, _) = found.remove();
            self.entries[place as usize] = None;
            self.free.push(place);
            self.settle();
        }
    }

    /// How many jobs are entered.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no job is entered.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The next slot of a job.
    pub fn next_of(&self, job: &str) -> Option<DateTime<Utc>> {
        self.entry(job)?.next
    }

    /// When something is to start next.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        let Reverse(wake) = self.heap.peek()?;
        DateTime::from_timestamp_millis(wake.at)
    }

    /// Whether something is to start at `now`. Ask or take what is due whenever the loop wakes: this is how
    /// a clock that was set back is noticed.
    pub fn is_due(&mut self, now: DateTime<Utc>) -> bool {
        let before = self.latest_now.replace(now).unwrap_or(now);
        if before - now > LONGEST_WAIT_AFTER_STEP_BACK {
            self.start_again_from(now);
        } else {
            self.latest_now = Some(before.max(now));
        }
        self.next_due().is_some_and(|due| due <= now)
    }

    /// Takes what is to start at `now`, earliest slot first, then by name.
    pub fn due(&mut self, now: DateTime<Utc>) -> Vec<Due> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        while let Some(wake) = self.pop_until(now.timestamp_millis()) {
            let Some(entry) = &mut self.entries[wake.entry as usize] else { continue };
            let Some(first) = entry.next else { continue };
            let done = entry.done;
            let latest = entry.timetable.latest_to_start(done, now).unwrap_or(first);
            entry.done = latest;
            due.push(Due { timetable: entry.timetable.clone(), done, first, latest });
            self.wake(wake.entry);
        }
        self.settle();
        due.sort_by(|one, other| (one.latest, one.job()).cmp(&(other.latest, other.job())));
        due
    }

    fn entry(&self, job: &str) -> Option<&Entry> {
        self.entries[self.place(job)? as usize].as_ref()
    }

    fn place(&self, job: &str) -> Option<u32> {
        let is_it = |place: &u32| job_at(&self.entries, *place) == Some(job);
        self.places.find(self.hashes.hash_one(Some(job)), is_it).copied()
    }

    /// Computes the next slot of an entry and wakes for it.
    fn wake(&mut self, place: u32) {
        self.generation = self.generation.wrapping_add(1);
        let Some(entry) = &mut self.entries[place as usize] else { return };
        entry.generation = self.generation;
        entry.next = entry.timetable.next_after(entry.done);
        if let Some(next) = entry.next {
            let at = entry.timetable.start_time(next).timestamp_millis();
            self.heap.push(Reverse(Wake { at, entry: place, generation: self.generation }));
        }
    }

    fn is_current(&self, wake: Wake) -> bool {
        let entry = self.entries[wake.entry as usize].as_ref();
        entry.is_some_and(|entry| entry.generation == wake.generation)
    }

    fn pop_until(&mut self, now: i64) -> Option<Wake> {
        loop {
            let Reverse(wake) = self.heap.peek().copied().filter(|Reverse(wake)| wake.at <= now)?;
            self.heap.pop();
            if self.is_current(wake) {
                return Some(wake);
            }
        }
    }

    /// Drops what is out of date: always at the top, everywhere when it is more than what is not.
    fn settle(&mut self) {
        if self.heap.len() > 2 * self.places.len() + 64 {
            let mut wakes = std::mem::take(&mut self.heap).into_vec();
            wakes.retain(|Reverse(wake)| self.is_current(*wake));
            self.heap = wakes.into();
            self.shared.forget_unused();
        }
        while let Some(Reverse(wake)) = self.heap.peek().copied()
            && !self.is_current(wake)
        {
            self.heap.pop();
        }
    }

    fn start_again_from(&mut self, now: DateTime<Utc>) {
        self.heap.clear();
        for place in 0..self.entries.len() {
            if let Some(entry) = &mut self.entries[place] {
                entry.done = now;
            }
            self.wake(u32::try_from(place).expect("fewer than four billion jobs"));
        }
    }
}

/// Name of the job whose entry this is.
fn job_at(entries: &[Option<Entry>], place: u32) -> Option<&str> {
    entries[place as usize].as_ref().map(|entry| &**entry.timetable.key())
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::job::Window;
    use crate::job::schedule::Schedule;

    fn at(time: &str) -> DateTime<Utc> {
        let text = format!("2026-05-{time}Z");
        DateTime::parse_from_rfc3339(&text).expect("a time").to_utc()
    }

    fn timetable(name: &str, schedule: &str) -> Timetable {
        let schedule = Schedule::parse(schedule).expect("a schedule");
        Timetable::new(name, schedule, Tz::UTC, &Window::default())
    }

    fn agenda(jobs: &[(&str, &str)], after: &str) -> Agenda {
        let mut agenda = Agenda::default();
        for (name, schedule) in jobs {
            agenda.insert(timetable(name, schedule), at(after));
        }
        agenda
    }

    /// Rows of (now, what is due as `job slot missed`, what comes next).
    fn check(agenda: &mut Agenda, rows: &[(&str, &[&str], &str)]) {
        for (now, expected, next) in rows {
            let due: Vec<String> = agenda
                .due(at(now))
                .iter()
                .map(|due| {
                    let missed = due.timetable.count(due.done, due.latest) - 1;
                    format!("{} {} {missed}", due.job(), due.latest.format("%dT%H:%M:%S"))
                })
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
    fn a_long_step_back_is_noticed_also_by_who_only_asks() {
        let mut agenda = agenda(&[("a", "*/5 * * * *")], "01T00:00:00");
        let rows = [
            ("09T00:00:00", true, "01T00:05:00"),
            ("08T23:00:00", true, "01T00:05:00"),
            ("01T00:01:00", false, "01T00:05:00"),
            ("01T00:00:30", false, "01T00:05:00"),
            ("01T00:05:00", true, "01T00:05:00"),
        ];
        for (now, is_due, next) in rows {
            assert_eq!(
                (agenda.is_due(at(now)), agenda.next_due()),
                (is_due, Some(at(next))),
                "{now}"
            );
        }
    }

    #[test]
    fn replaces_and_removes() {
        let mut agenda = agenda(&[("a", "*/5 * * * *"), ("b", "@hourly")], "01T00:00:00");
        agenda.insert(timetable("a", "7 * * * *"), at("01T00:00:00"));
        check(&mut agenda, &[("01T00:06:00", &[], "01T00:07:00")]);
        assert_eq!(agenda.next_of("b"), Some(at("01T01:00:00")));
        agenda.remove("a");
        check(&mut agenda, &[("01T00:59:00", &[], "01T01:00:00")]);
        agenda.remove("b");
        assert_eq!(agenda.next_due(), None);
        assert_eq!(agenda.next_of("b"), None);
    }
}
