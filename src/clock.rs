//! When jobs are due: the next slots of a schedule, the slots that were missed, jumps of the clock.
//!
//! Never reads a clock: the time is a parameter.

mod agenda;
mod count;
mod timetable;
mod watch;

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

pub use self::agenda::{Agenda, Due};
pub use self::count::count;
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

/// The latest slot after `last` and not after `now`, if there is one: what a restart owes.
pub fn missed(
    schedule: &Schedule,
    timezone: Tz,
    last: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let due = |after: i64| {
        let after = DateTime::from_timestamp(after, 0)?;
        next_after(schedule, timezone, after).filter(|slot| *slot <= now)
    };
    let mut latest = due(last.timestamp())?;
    // Whether a slot lies between an instant and `now` changes once, from yes to no, as the instant
    // approaches `now`: halving finds where, at a price that does not depend on how much was missed.
    let mut no_slot_after = now.timestamp();
    while no_slot_after - latest.timestamp() > 1 {
        let middle = latest.timestamp() + (no_slot_after - latest.timestamp()) / 2;
        match due(middle) {
            Some(slot) => latest = slot,
            None => no_slot_after = middle,
        }
    }
    due(latest.timestamp()).or(Some(latest))
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

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect(text).to_utc()
    }

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Slots as the wall clock shows them, with their offset from UTC.
    fn shown(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let timezone: Tz = zone.parse().expect(zone);
        upcoming(&schedule(text), timezone, at(after), count)
            .into_iter()
            .map(|slot| slot.with_timezone(&timezone).format("%m-%d %H:%M:%S%z").to_string())
            .collect()
    }

    #[test]
    fn finds_slots_across_calendar_and_offset_changes() {
        let new_york = "America/New_York";
        let rows: &[(&str, &str, &str, &[&str])] = &[
            ("7 5 * * *", "UTC", "2026-01-31T05:07:00Z", &["02-01 05:07:00+0000"]),
            ("7 5 * * *", "UTC", "2026-01-31T05:06:59.5Z", &["01-31 05:07:00+0000"]),
            ("*/20 * * * * *", "UTC", "2026-12-31T23:59:40Z", &["01-01 00:00:00+0000"]),
            // Day of month or day of week; a leading star is no restriction.
            ("0 12 1 * MON", "UTC", "2026-06-01T12:00:00Z", &["06-08 12:00:00+0000"]),
            ("0 12 13 * FRI", "UTC", "2026-03-13T12:00:00Z", &["03-20 12:00:00+0000"]),
            ("0 0 */2 * MON", "UTC", "2026-06-01T00:00:00Z", &["06-15 00:00:00+0000"]),
            (
                "0 0 * * SAT-SUN",
                "UTC",
                "2026-06-05T00:00:00Z",
                &["06-06 00:00:00+0000", "06-07 00:00:00+0000", "06-13 00:00:00+0000"],
            ),
            ("0 0 LW * *", "UTC", "2026-05-01T00:00:00Z", &["05-29 00:00:00+0000"]),
            ("0 0 * * FRI#2", "UTC", "2026-05-01T00:00:00Z", &["05-08 00:00:00+0000"]),
            ("0 0 * * 5L", "UTC", "2026-05-01T00:00:00Z", &["05-29 00:00:00+0000"]),
            (
                "5/20 * * * *",
                "UTC",
                "2026-05-01T00:00:00Z",
                &["05-01 00:05:00+0000", "05-01 00:25:00+0000", "05-01 00:45:00+0000"],
            ),
            // Skipped hour.
            (
                "30 2 * * *",
                new_york,
                "2026-03-07T12:00:00Z",
                &["03-08 03:00:00-0400", "03-09 02:30:00-0400"],
            ),
            (
                "0,30 2 * * *",
                new_york,
                "2026-03-07T12:00:00Z",
                &["03-08 03:00:00-0400", "03-09 02:00:00-0400"],
            ),
            ("0 1 * * *", new_york, "2026-03-08T06:00:00Z", &["03-09 01:00:00-0400"]),
            (
                "30 1,2,3 * * *",
                new_york,
                "2026-03-08T06:00:00Z",
                &["03-08 01:30:00-0500", "03-08 03:00:00-0400", "03-08 03:30:00-0400"],
            ),
            ("*/30 * * * *", new_york, "2026-03-08T06:30:00Z", &["03-08 03:00:00-0400"]),
            ("0 */2 * * *", new_york, "2026-03-08T05:00:00Z", &["03-08 04:00:00-0400"]),
            // Repeated hour.
            (
                "30 1 * * *",
                new_york,
                "2026-11-01T05:00:00Z",
                &["11-01 01:30:00-0400", "11-02 01:30:00-0500"],
            ),
            (
                "0,30 1 * * *",
                new_york,
                "2026-11-01T05:00:00Z",
                &["11-01 01:30:00-0400", "11-02 01:00:00-0500"],
            ),
            (
                "*/30 * * * *",
                new_york,
                "2026-11-01T04:45:00Z",
                &[
                    "11-01 01:00:00-0400",
                    "11-01 01:30:00-0400",
                    "11-01 01:00:00-0500",
                    "11-01 01:30:00-0500",
                    "11-01 02:00:00-0500",
                ],
            ),
            // Half an hour, midnight, and a whole day.
            (
                "45 1 * * *",
                "Australia/Lord_Howe",
                "2026-04-04T10:00:00Z",
                &["04-05 01:45:00+1100", "04-06 01:45:00+1030"],
            ),
            ("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", &["09-06 01:00:00-0300"]),
            (
                "0 12 * * *",
                "Pacific/Apia",
                "2011-12-29T22:00:00Z",
                &["12-31 00:00:00+1400", "12-31 12:00:00+1400"],
            ),
            // From the epoch.
            (
                "@every 90s",
                "UTC",
                "1970-01-01T00:00:00Z",
                &["01-01 00:01:30+0000", "01-01 00:03:00+0000"],
            ),
            ("@every 2h", "UTC", "2026-05-01T01:59:59Z", &["05-01 02:00:00+0000"]),
            ("@weekly", "UTC", "2026-06-01T00:00:00Z", &["06-07 00:00:00+0000"]),
            ("@manual", "UTC", "2026-06-01T00:00:00Z", &[]),
            ("@startup", "UTC", "2026-06-01T00:00:00Z", &[]),
        ];
        for (text, zone, after, expected) in rows {
            let count = expected.len().max(1);
            assert_eq!(
                shown(text, zone, after, count),
                *expected,
                "{text} in {zone} after {after}"
            );
        }
        let leap = next_after(&schedule("0 0 29 2 *"), Tz::UTC, at("2096-03-01T00:00:00Z"));
        assert_eq!(leap, Some(at("2104-02-29T00:00:00Z")));
    }

    /// Sets of minutes, hours, days of the month and of the week (empty: any), written twice: for the
    /// parser and for the oracle.
    struct Row {
        text: &'static str,
        minutes: &'static [u32],
        hours: &'static [u32],
        days: &'static [u32],
        weekdays: &'static [u32],
        wall_clock: bool,
    }

    const fn row(
        text: &'static str,
        minutes: &'static [u32],
        hours: &'static [u32],
        wall_clock: bool,
    ) -> Row {
        Row { text, minutes, hours, days: &[], weekdays: &[], wall_clock }
    }

    impl Row {
        fn matches(&self, wall: NaiveDateTime) -> bool {
            let any = |set: &[u32], value| set.is_empty() || set.contains(&value);
            let day = self.days.contains(&wall.day());
            let weekday = self.weekdays.contains(&wall.weekday().num_days_from_sunday());
            let free = self.days.is_empty() && self.weekdays.is_empty();
            any(self.minutes, wall.minute())
                && any(self.hours, wall.hour())
                && (free || day || weekday)
        }
    }

    /// Walks every minute of the range and says at which instants the row runs.
    fn oracle(row: &Row, minutes: &[(DateTime<Utc>, NaiveDateTime)]) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::new();
        let mut latest_wall: Option<NaiveDateTime> = None;
        for (instant, wall) in minutes {
            // Times that the wall clock jumped over belong to this instant.
            let mut skipped = false;
            if let Some(latest) = latest_wall.filter(|_| !row.wall_clock) {
                let mut between = latest + TimeDelta::minutes(1);
                while between < *wall {
                    skipped |= row.matches(between);
                    between += TimeDelta::minutes(1);
                }
            }
            let repeated = latest_wall.is_some_and(|latest| *wall <= latest) && !row.wall_clock;
            if skipped || (row.matches(*wall) && !repeated) {
                slots.push(*instant);
            }
            latest_wall = latest_wall.max(Some(*wall));
        }
        slots
    }

    #[test]
    fn agrees_with_a_walk_over_every_minute() {
        let rows = [
            row("30 2 * * *", &[30], &[2], false),
            row("0 1 * * *", &[0], &[1], false),
            row("59 1 * * *", &[59], &[1], false),
            row("0 0 * * *", &[0], &[0], false),
            row("30 23 * * *", &[30], &[23], false),
            row("0,30 1,2,3 * * *", &[0, 30], &[1, 2, 3], false),
            row("0 3 * * *", &[0], &[3], false),
            row("15 * * * *", &[15], &[], true),
            row("*/30 * * * *", &[0, 30], &[], true),
            row("45 0-3 * * *", &[45], &[0, 1, 2, 3], true),
            row("0 */2 * * *", &[0], &[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22], true),
            Row { days: &[1, 15], weekdays: &[0], ..row("10 2 1,15 * SUN", &[10], &[2], false) },
        ];
        // Each window holds one change of offset, and days without one on both sides.
        let windows = [
            ("America/New_York", (2026, 3, 7)),
            ("America/New_York", (2025, 11, 1)),
            ("Europe/Berlin", (2027, 3, 27)),
            ("Europe/Berlin", (2026, 10, 24)),
            ("Europe/Dublin", (2024, 10, 26)),
            ("Australia/Lord_Howe", (2026, 4, 4)),
            ("Australia/Lord_Howe", (2026, 10, 3)),
            ("America/Santiago", (2026, 9, 5)),
            ("America/Santiago", (2026, 4, 4)),
            ("Africa/Cairo", (2025, 4, 24)),
            ("Africa/Cairo", (2025, 10, 30)),
            ("Africa/Casablanca", (2026, 2, 14)),
            ("Pacific/Apia", (2011, 12, 29)),
            ("Asia/Kathmandu", (2026, 3, 7)),
            ("America/St_Johns", (2026, 3, 7)),
            ("UTC", (2024, 2, 28)),
        ];
        for (zone, (year, month, day)) in windows {
            let timezone: Tz = zone.parse().expect(zone);
            let start = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
            let start = start.and_time(chrono::NaiveTime::MIN).and_utc();
            let minutes: Vec<_> = (0..4 * 24 * 60)
                .map(|minute| start + TimeDelta::minutes(minute))
                .map(|instant| (instant, wall_time(timezone, instant)))
                .collect();
            let (first, last) = (minutes[0].0, minutes[minutes.len() - 1].0);
            for row in &rows {
                let expected = oracle(row, &minutes);
                let schedule = schedule(row.text);
                let after = first - TimeDelta::seconds(1);
                let slots: Vec<_> = upcoming(&schedule, timezone, after, expected.len() + 1)
                    .into_iter()
                    .filter(|slot| *slot <= last)
                    .collect();
                assert_eq!(slots, expected, "{} in {zone} from {start}", row.text);
                // From any instant, the answer is the first slot after it, and the last one before it.
                for (instant, _) in minutes.iter().step_by(197) {
                    let position = slots.partition_point(|slot| slot <= instant);
                    if let Some(next) = slots.get(position) {
                        let found = next_after(&schedule, timezone, *instant);
                        assert_eq!(found, Some(*next), "{} in {zone} after {instant}", row.text);
                    }
                    let owed = missed(&schedule, timezone, after, *instant);
                    let latest = slots[..position].last().copied();
                    assert_eq!(owed, latest, "{} in {zone} until {instant}", row.text);
                }
            }
        }
    }

    #[test]
    fn owes_the_latest_slot_after_the_last_one() {
        let rows = [
            ("*/5 * * * *", "2026-05-01T00:00:00Z", "2026-05-01T00:04:59Z", None),
            (
                "*/5 * * * *",
                "2026-05-01T00:00:00Z",
                "2026-05-01T00:05:00Z",
                Some("2026-05-01T00:05:00Z"),
            ),
            (
                "*/5 * * * *",
                "2026-05-01T00:00:00Z",
                "2026-06-01T00:07:00Z",
                Some("2026-06-01T00:05:00Z"),
            ),
            (
                "* * * * * *",
                "2016-05-01T00:00:00Z",
                "2026-05-01T00:07:00Z",
                Some("2026-05-01T00:07:00Z"),
            ),
            (
                "@every 1h",
                "2026-05-01T00:00:00Z",
                "2026-05-02T00:07:00.5Z",
                Some("2026-05-02T00:00:00Z"),
            ),
            (
                "@yearly",
                "2020-05-01T00:00:00Z",
                "2026-05-02T00:07:00Z",
                Some("2026-01-01T00:00:00Z"),
            ),
            ("@daily", "2026-05-02T00:00:00Z", "2026-05-01T12:00:00Z", None),
            ("@manual", "2026-05-01T00:00:00Z", "2026-05-02T00:07:00Z", None),
        ];
        for (text, last, now, expected) in rows {
            let slot = missed(&schedule(text), Tz::UTC, at(last), at(now));
            assert_eq!(slot, expected.map(at), "{text} from {last} to {now}");
        }
    }
}
