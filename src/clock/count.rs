//! How many slots lie between two instants, and which are the latest: without a walk over all of them.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::{next_after, offset_at, offset_change, wall_time};
use crate::job::schedule::{Expression, Schedule};

/// How many slots of `schedule` lie after `after` and not after `until`.
///
/// Counted by days and by changes of the zone's offset: ten years of a schedule of seconds take a few
/// milliseconds.
pub fn count(schedule: &Schedule, timezone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
    if until <= after {
        return 0;
    }
    match schedule {
        Schedule::Cron(expression) if expression.never_comes() => 0,
        Schedule::Cron(expression) if expression.follows_wall_clock() => {
            count_on_wall_clock(expression, timezone, after, until)
        }
        Schedule::Cron(expression) => count_times_of_day(expression, timezone, after, until),
        Schedule::Every(every) => {
            let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
            let until_now = |instant: DateTime<Utc>| instant.timestamp().div_euclid(every);
            u64::try_from(until_now(until) - until_now(after)).unwrap_or_default()
        }
        Schedule::At(slot) => u64::from(*slot > after && *slot <= until),
        Schedule::Startup | Schedule::Manual => 0,
    }
}

/// The latest `most` slots after `after` and not after `until`, oldest first.
pub(super) fn latest(
    schedule: &Schedule,
    timezone: Tz,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
    most: usize,
) -> Vec<DateTime<Utc>> {
    let wanted = u64::try_from(most).unwrap_or(u64::MAX);
    if until <= after || wanted == 0 {
        return Vec::new();
    }
    // Backwards in growing steps until there are enough, then to the instant where there are just enough.
    let enough = |from: DateTime<Utc>| count(schedule, timezone, from, until) >= wanted;
    let mut too_late = until;
    let mut from = after.max(until - TimeDelta::minutes(1));
    while from > after && !enough(from) {
        too_late = from;
        let step = (until - from) * 2;
        from = until.checked_sub_signed(step).map_or(after, |earlier| earlier.max(after));
    }
    while too_late - from > TimeDelta::seconds(1) && enough(from) {
        let middle = from + (too_late - from) / 2;
        if enough(middle) { from = middle } else { too_late = middle }
    }
    let later = |slot: &DateTime<Utc>| next_after(schedule, timezone, *slot);
    let slots = std::iter::successors(later(&from), later).take_while(|slot| *slot <= until);
    let slots: Vec<_> = slots.collect();
    slots[slots.len().saturating_sub(most)..].to_vec()
}

/// Each stretch of one offset is a wall clock that never jumps.
fn count_on_wall_clock(
    expression: &Expression,
    timezone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> u64 {
    let mut count = 0;
    let mut from = after;
    loop {
        // The first instant that counts says which offset the stretch has.
        let offset = offset_at(timezone, from + SECOND);
        let change = next_change(timezone, from + SECOND, until);
        let end = change.map_or(until, |change| change - SECOND);
        count += expression.count_wall_times(wall(from, offset), wall(end, offset));
        match change {
            Some(_) => from = end,
            None => return count,
        }
    }
}

/// Every time that the wall clock reached or jumped over counts once; those it jumped over are one slot.
fn count_times_of_day(
    expression: &Expression,
    timezone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> u64 {
    let (first, last) = (furthest_shown(timezone, after), furthest_shown(timezone, until));
    let mut count = expression.count_wall_times(first, last);
    let mut from = after;
    while let Some(change) = next_change(timezone, from, until) {
        let (old, new) = (offset_at(timezone, change - SECOND), offset_at(timezone, change));
        if new > old {
            let jumped_over =
                expression.count_wall_times(wall(change - SECOND, old), wall(change, new));
            count -= jumped_over.saturating_sub(1);
        }
        from = change;
    }
    count
}

pub(super) const SECOND: TimeDelta = TimeDelta::seconds(1);

pub(super) fn wall(instant: DateTime<Utc>, offset: TimeDelta) -> NaiveDateTime {
    let seconds = DateTime::from_timestamp(instant.timestamp(), 0).unwrap_or(instant);
    seconds.naive_utc() + offset
}

/// The latest time that the wall clock has shown until `instant`.
fn furthest_shown(timezone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    let now = wall_time(timezone, instant);
    let first = timezone.from_local_datetime(&now).earliest().map(|first| first.to_utc());
    let Some(first) = first.filter(|first| instant - *first >= SECOND) else { return now };
    let turned_back = offset_change(timezone, first, instant);
    wall(turned_back - SECOND, offset_at(timezone, turned_back - SECOND))
}

/// The first instant in `(from, until]` with another offset than the second before it.
pub(super) fn next_change(
    timezone: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // No zone has changed its offset twice in a day since 1970.
    const STRIDE: TimeDelta = TimeDelta::days(1);
    let old = offset_at(timezone, from);
    let mut before = from;
    while before < until {
        let next = (before + STRIDE).min(until);
        if offset_at(timezone, next) != old {
            return Some(offset_change(timezone, before, next));
        }
        before = next;
    }
    None
}
