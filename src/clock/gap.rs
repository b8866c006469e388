//! The longest time between two slots of a job, as far as somebody minds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Timetable;
use crate::job::schedule::Schedule;

/// How far it looks: every schedule but one with years has come round by then.
const YEAR: TimeDelta = TimeDelta::days(366);
/// Looks at the timetable beyond which the rest of the year is taken for more of the same. With one each 25
/// minutes the whole year is seen.
const MOST_LOOKS: usize = 20_000;

/// Two slots with none between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: DateTime<Utc>,
    /// The second.
    pub until: DateTime<Utc>,
}

impl Gap {
    /// How long it is.
    pub fn length(self) -> Duration {
        (self.until - self.from).to_std().unwrap_or_default()
    }
}

/// The longest gap of more than `above` among the slots of the year after `from`, the first of several.
///
/// Leaps from slot to slot by as much as nobody minds, and so looks twice a leap, not once a slot.
pub fn longest_gap(timetable: &Timetable, from: DateTime<Utc>, above: Duration) -> Option<Gap> {
    let mut here = timetable.next_after(from)?;
    if let Schedule::Every(every) = timetable.schedule() {
        let gap = Gap { from: here, until: timetable.next_after(here)? };
        return Some(gap).filter(|_| *every > above);
    }
    let end = from + YEAR;
    let (mut longest, mut found) = (TimeDelta::from_std(above).ok()?, None);
    for _ in 0..MOST_LOOKS {
        if here >= end {
            break;
        }
        // All that lies between two slots so near has no longer gap.
        if let Some(near) = timetable.latest(here, here + longest, 1).pop() {
            here = near;
            continue;
        }
        let Some(next) = timetable.next_after(here) else { break };
        let gap = Gap { from: here, until: next };
        if next - here > longest {
            (longest, found) = (next - here, Some(gap));
        }
        here = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::job::Window;

    #[test]
    fn the_longest_gap_of_a_year_is_found() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a time").to_utc();
        let hours = |count: u64| Duration::from_secs(count * 3600);
        // Schedule, zone, above so many hours, the hours found and from when.
        for (schedule, zone, above, expected) in [
            ("0 */6 * * *", Tz::UTC, 5, Some((6, "2026-01-01T06:00:00Z"))),
            ("0 */6 * * *", Tz::UTC, 6, None),
            ("@every 8h", Tz::UTC, 6, Some((8, "2026-01-01T08:00:00Z"))),
            ("@every 8h", Tz::UTC, 8, None),
            ("* * * * *", Tz::UTC, 1, None),
            ("0 8-18 * * *", Tz::UTC, 6, Some((14, "2026-01-01T18:00:00Z"))),
            ("0 8-18 * * 1-5", Tz::UTC, 6, Some((62, "2026-01-02T18:00:00Z"))),
            ("*/5 * * 1-11 *", Tz::UTC, 6, Some((744, "2026-11-30T23:55:00Z"))),
            // The longest night of the year.
            ("0 0 * * *", Tz::America__Toronto, 24, Some((25, "2026-11-01T04:00:00Z"))),
            ("0 0 30 2 *", Tz::UTC, 1, None),
            ("@manual", Tz::UTC, 1, None),
        ] {
            let parsed = Schedule::parse(schedule).expect("a schedule");
            let timetable = Timetable::new("x", parsed, zone, &Window::default());
            let gap = longest_gap(&timetable, at("2026-01-01T03:00:00Z"), hours(above));
            let found = gap.map(|gap| (gap.length().as_secs() / 3600, gap.from));
            let expected = expected.map(|(hours, from): (u64, &str)| (hours, at(from)));
            assert_eq!(found, expected, "{schedule}");
        }
    }
}
