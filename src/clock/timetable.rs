//! A job's slots: its schedule within its window, when each slot starts, and what a restart owes of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{NANOSECOND, count, next_after};
use crate::job::schedule::{Schedule, stable_hash};
use crate::job::{CatchUp, Job, Window, known};

/// A slot that starts by so much later is not late: `catch_up: none` runs it too. Longer than the
/// longest sleep of the daemon's loop, after which a suspended machine is noticed.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// Of the slots that are not run so many are named, the newest; the others are counted.
const MOST_NAMED: usize = 100;

/// No catch-up starts more runs than this, whatever `all(n)` says.
const MOST_CAUGHT_UP: usize = 10_000;

/// When a job runs. Small, and a copy shares its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    key: Arc<str>,
    when: Arc<When>,
}

/// What many jobs have alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct When {
    schedule: Schedule,
    timezone: Tz,
    /// `None` is the default: most jobs have no window.
    window: Option<Window>,
}

/// Times of jobs, each known once: of 100,000 jobs most share a few.
#[derive(Debug, Default)]
pub(super) struct Shared(HashSet<Arc<When>>);

impl Shared {
    /// Puts what is known in the place of what is equal.
    pub(super) fn share(&mut self, timetable: &mut Timetable) {
        known(&mut self.0, &mut timetable.when);
    }

    /// Forgets what no job has any more.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|when| Arc::strong_count(when) > 1);
    }
}

/// What becomes of the slots that passed: each is either run or recorded as missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// To run now, oldest first.
    pub run: Vec<DateTime<Utc>>,
    /// To be recorded as missed, oldest first: the newest ones, at most 100.
    pub missed: Vec<DateTime<Utc>>,
    /// How many further slots were missed, all of them before those named.
    pub missed_before: usize,
}

impl Owed {
    /// How many slots were missed, named or not.
    pub fn missed_count(&self) -> usize {
        self.missed.len() + self.missed_before
    }
}

impl Timetable {
    /// The timetable of the job called `key`, by which jitter and spread are drawn.
    pub fn new(key: &str, schedule: Schedule, timezone: Tz, window: &Window) -> Self {
        let window = (*window != Window::default()).then(|| window.clone());
        Self { key: Arc::from(key), when: Arc::new(When { schedule, timezone, window }) }
    }

    /// The timetable of a job.
    pub fn of(job: &Job) -> Self {
        Self::new(&job.name, job.schedule.clone(), job.timezone, &job.window)
    }

    /// Name of the job.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Its schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.when.schedule
    }

    /// Time zone of the schedule.
    pub fn timezone(&self) -> Tz {
        self.when.timezone
    }

    /// In what its slots differ from the schedule; `None` is in nothing.
    pub fn window(&self) -> Option<&Window> {
        self.when.window.as_ref()
    }

    /// The first slot strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (after, until) = self.within(after, DateTime::<Utc>::MAX_UTC);
        next_after(self.schedule(), self.timezone(), after).filter(|slot| *slot <= until)
    }

    /// The next `count` slots after `after`; fewer where it has no more.
    pub fn upcoming(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        let later = |slot: &DateTime<Utc>| self.next_after(*slot);
        std::iter::successors(self.next_after(after), later).take(count).collect()
    }

    /// How many slots lie after `after` and not after `until`.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let (after, until) = self.within(after, until);
        count::count(self.schedule(), self.timezone(), after, until)
    }

    /// The latest `most` slots after `after` and not after `until`, oldest first.
    pub fn latest(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        most: usize,
    ) -> Vec<DateTime<Utc>> {
        count::latest(self.schedule(), self.timezone(), self.within(after, until), most)
    }

    /// The part of the time after `after` and not after `until` that lies in the window.
    pub(super) fn within(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        let Some(window) = self.window() else { return (after, until) };
        // The start is a possible slot, the end is none.
        let starts = window.starts.map_or(after, |starts| starts - NANOSECOND);
        let ends = window.ends.map_or(until, |ends| ends - NANOSECOND);
        (after.max(starts), until.min(ends))
    }

    /// When the run of a slot starts: later than the slot by the job's part of `spread` and the slot's
    /// part of `jitter`. Always the same for the same job and slot.
    pub fn start_time(&self, slot: DateTime<Utc>) -> DateTime<Utc> {
        let Some(window) = self.window() else { return slot };
        if window.jitter.is_zero() {
            return slot + self.spread();
        }
        let drawn = stable_hash(&["jitter", &self.key, &slot.timestamp().to_string()]);
        slot + self.spread() + part_of(window.jitter, drawn)
    }

    /// By how much all runs of the job start later.
    pub(super) fn spread(&self) -> TimeDelta {
        match self.window() {
            Some(window) if !window.spread.is_zero() => {
                part_of(window.spread, stable_hash(&["spread", &self.key]))
            }
            _ => TimeDelta::zero(),
        }
    }

    /// The latest slot after `last_slot` that is to start until `now`. A slot never starts before an
    /// earlier one of its job: where jitter would have it so, both start together.
    pub(super) fn latest_to_start(
        &self,
        last_slot: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let latest = |until: DateTime<Utc>| {
            let passed = |after| self.next_after(after).filter(|slot| *slot <= until);
            let first = passed(last_slot)?;
            // Nearly always there is just one.
            if passed(first).is_none() { Some(first) } else { self.latest(first, until, 1).pop() }
        };
        let jitter = self.window().map_or(Duration::ZERO, |window| window.jitter);
        let on_schedule = now - self.spread();
        if jitter.is_zero() {
            return latest(on_schedule);
        }
        let surely = TimeDelta::from_std(jitter).ok();
        let surely = surely.and_then(|jitter| on_schedule.checked_sub_signed(jitter));
        let mut found = surely.and_then(latest);
        while let Some(next) = self.next_after(found.unwrap_or(last_slot))
            && next <= on_schedule
            && self.start_time(next) <= now
        {
            found = Some(next);
        }
        found
    }

    /// Decides about the slots after `last_slot` that were to start until `now`, which were none's business
    /// so far: since the clock jumped, the machine slept, or nobody was there.
    ///
    /// What is no later than [`ON_TIME`] runs whatever the policy, if it is the latest; what could not
    /// start for longer than `start_deadline` does not run.
    pub fn catch_up(
        &self,
        policy: CatchUp,
        last_slot: DateTime<Utc>,
        now: DateTime<Utc>,
        start_deadline: Option<Duration>,
    ) -> Owed {
        let Some(latest) = self.latest_to_start(last_slot, now) else { return Owed::default() };
        let deadline = start_deadline.unwrap_or(Duration::MAX);
        let (most, limit) = match most_caught_up(policy) {
            0 => (1, deadline.min(ON_TIME)),
            most => (most, deadline),
        };
        let in_time = |slot: &DateTime<Utc>| {
            (now - self.start_time(*slot)).to_std().unwrap_or_default() <= limit
        };
        let newest = self.latest(last_slot, latest, most + MOST_NAMED);
        let candidates = newest.len().saturating_sub(most);
        let (older, candidates) = newest.split_at(candidates);
        let (run, late): (Vec<_>, Vec<_>) = candidates.iter().copied().partition(in_time);
        let mut missed = [older, &late].concat();
        missed.drain(..missed.len().saturating_sub(MOST_NAMED));
        let all = usize::try_from(self.count(last_slot, latest)).unwrap_or(usize::MAX);
        let missed_before = all.saturating_sub(run.len() + missed.len());
        Owed { run, missed, missed_before }
    }
}

/// The part of `whole` that `drawn` stands for, in whole milliseconds and less than all of it.
fn part_of(whole: Duration, drawn: u64) -> TimeDelta {
    let milliseconds = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX).max(1);
    let part = i64::try_from(drawn % milliseconds).unwrap_or(i64::MAX);
    TimeDelta::try_milliseconds(part).unwrap_or_default()
}

/// How many slots that are late run after all.
pub(super) fn most_caught_up(policy: CatchUp) -> usize {
    match policy {
        CatchUp::None => 0,
        CatchUp::Latest => 1,
        CatchUp::All(most) => most.min(MOST_CAUGHT_UP),
    }
}
