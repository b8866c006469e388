//! When jobs are due: the next slots of a schedule, the slots that were missed, jumps of the clock.
//!
//! Never reads a clock: the time is a parameter.

mod agenda;
mod count;
mod gap;
mod late;
pub mod shifts;
pub mod simulation;
mod timetable;
mod watch;
pub mod words;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

pub use self::agenda::{Agenda, Due};
pub use self::count::count;
pub use self::gap::{Gap, longest_gap};
pub use self::late::{Skipped, after_all, oldest_after_all};
pub use self::timetable::{ON_TIME, Owed, Timetable};
pub use self::watch::{Jump, Watch};
use crate::job::schedule::{Expression, Schedule};

/// The first slot of `schedule` strictly after `after`.
///
/// Where a zone changes its offset, a schedule of times of day (`30 2 * * *`) runs once on each day it
/// names: at the first valid instant if its time is skipped, the first time if it is repeated. A schedule
/// with `*`, a range or a step in its time follows the wall clock. See
/// [`Expression::follows_wall_clock`].
pub fn next_after(
    schedule: &Schedule,
    timezone: Tz,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match schedule {
        Schedule::Cron(expression) if expression.follows_wall_clock() => {
            next_on_wall_clock(expression, timezone, after)
        }
        Schedule::Cron(expression) => next_time_of_day(expression, timezone, after),
        Schedule::Every(every) => {
            let every = i64::try_from(every.as_secs()).ok().filter(|seconds| *seconds > 0)?;
            let slots = after.timestamp().div_euclid(every).checked_add(1)?;
            DateTime::from_timestamp(slots.checked_mul(every)?, 0)
        }
        Schedule::At(slot) => Some(*slot).filter(|slot| *slot > after),
        Schedule::Startup | Schedule::Manual => None,
    }
}

/// The next `count` slots of `schedule` after `after`; fewer where it has no more.
pub fn upcoming(
    schedule: &Schedule,
    timezone: Tz,
    after: DateTime<Utc>,
    count: usize,
) -> Vec<DateTime<Utc>> {
    let first = next_after(schedule, timezone, after);
    let later = |slot: &DateTime<Utc>| next_after(schedule, timezone, *slot);
    std::iter::successors(first, later).take(count).collect()
}

/// The latest slot after `last` and not after `now`, if there is one.
pub fn missed(
    schedule: &Schedule,
    timezone: Tz,
    last: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    count::latest(schedule, timezone, (last, now), 1).pop()
}

fn next_time_of_day(
    expression: &Expression,
    timezone: Tz,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let mut wall = wall_time(timezone, after);
    loop {
        wall = expression.next_wall_time(wall)?;
        let slot = first_instant(timezone, wall);
        // In the second half of a repeated hour the wall clock names instants that are over.
        if slot > after {
            return Some(slot);
        }
    }
}

fn next_on_wall_clock(
    expression: &Expression,
    timezone: Tz,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let wall = wall_time(timezone, after);
    let ahead = first_on_wall_clock(expression, timezone, wall, after);
    let Some(repeated) = later_instant(timezone, wall).filter(|later| *later > after) else {
        return ahead;
    };
    // Here the wall clock will go back and show again what it has shown: look there as well.
    let turned_back = offset_change(timezone, after, repeated);
    let just_before = wall_time(timezone, turned_back) - TimeDelta::seconds(1);
    let again = first_on_wall_clock(expression, timezone, just_before, turned_back - NANOSECOND);
    ahead.into_iter().chain(again).min()
}

const NANOSECOND: TimeDelta = TimeDelta::nanoseconds(1);

/// The first instant after `after` that shows a matching time later than `wall`.
fn first_on_wall_clock(
    expression: &Expression,
    timezone: Tz,
    mut wall: NaiveDateTime,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    loop {
        wall = expression.next_wall_time(wall)?;
        let shown = timezone.from_local_datetime(&wall);
        let instants = [shown.earliest(), shown.latest()];
        let instants = instants.into_iter().flatten().map(|instant| instant.to_utc());
        if let Some(slot) = instants.filter(|instant| *instant > after).min() {
            return Some(slot);
        }
    }
}

/// What the wall clock shows, without fractions of a second.
fn wall_time(timezone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    let local = instant.with_timezone(&timezone).naive_local();
    local.with_nanosecond(0).unwrap_or(local)
}

fn later_instant(timezone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    Some(timezone.from_local_datetime(&wall).latest()?.to_utc())
}

/// The first instant that shows `wall`; where it is skipped, the first instant after the gap.
fn first_instant(timezone: Tz, wall: NaiveDateTime) -> DateTime<Utc> {
    let instant = |seconds: i64| {
        let shown = timezone.from_local_datetime(&(wall + TimeDelta::seconds(seconds)));
        Some(shown.earliest()?.to_utc())
    };
    if let Some(slot) = instant(0) {
        return slot;
    }
    // The longest gap on record is a day (Pacific/Apia 2011); zones that never come back do not exist.
    let mut valid = 60;
    while instant(valid).is_none() && valid < 7 * 24 * 3600 {
        valid *= 2;
    }
    let mut skipped = 0;
    while valid - skipped > 1 {
        let middle = skipped + (valid - skipped) / 2;
        if instant(middle).is_some() { valid = middle } else { skipped = middle }
    }
    instant(valid).unwrap_or_else(|| wall.and_utc())
}

/// The offset of a zone at an instant.
fn offset_at(timezone: Tz, instant: DateTime<Utc>) -> TimeDelta {
    let offset = timezone.offset_from_utc_datetime(&instant.naive_utc()).fix();
    TimeDelta::seconds(i64::from(offset.local_minus_utc()))
}

/// The instant in `(from, until]` from which the zone has the offset it has at `until`.
fn offset_change(timezone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let offset = |seconds: i64| {
        let instant = DateTime::from_timestamp(seconds, 0).unwrap_or(until);
        timezone.offset_from_utc_datetime(&instant.naive_utc()).fix()
    };
    let (mut before, mut changed) = (from.timestamp(), until.timestamp());
    let new = offset(changed);
    while changed - before > 1 {
        let middle = before + (changed - before) / 2;
        if offset(middle) == new { changed = middle } else { before = middle }
    }
    DateTime::from_timestamp(changed, 0).unwrap_or(until)
}
