//! What changes of a zone's offset do to a job: slots that are shifted, skipped, or shown twice.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::count::{SECOND, next_change, wall};
use super::{Timetable, offset_at};
use crate::job::schedule::Schedule;

/// What a change of offset does to slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Times of day that are skipped: they run together at the first valid instant.
    Shifted,
    /// The wall clock is followed, and does not show these.
    Skipped,
    /// Times of day that are shown twice: they run the first time.
    Once,
    /// The wall clock is followed, and shows these twice: they run both times.
    Twice,
}

impl Effect {
    /// Its name, for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shifted => "shifted",
            Self::Skipped => "skipped",
            Self::Once => "once",
            Self::Twice => "twice",
        }
    }
}

/// One change of offset that touches slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The first instant with the new offset.
    pub at: DateTime<Utc>,
    /// What the wall clock shows then.
    pub shown: NaiveDateTime,
    /// What happens.
    pub effect: Effect,
    /// The first of the times on the wall clock that it happens to.
    pub first: NaiveDateTime,
    /// How many they are.
    pub count: u64,
}

impl Shift {
    /// The whole in one sentence.
    pub fn in_words(&self) -> String {
        let Self { shown, first, count, .. } = self;
        let (date, shown) = (first.format("%Y-%m-%d"), shown.format("%H:%M"));
        let times = match count {
            1 => format!("{}", first.format("%H:%M")),
            _ => format!("{} and {} more", first.format("%H:%M"), count - 1),
        };
        let many = *count > 1;
        match self.effect {
            Effect::Shifted => {
                let (do_not, run) = if many {
                    ("do not exist", "run together")
                } else {
                    ("does not exist", "runs")
                };
                let when = if first.date() == self.shown.date() {
                    format!("at {shown}")
                } else {
                    format!("on {} at {shown}", self.shown.format("%Y-%m-%d"))
                };
                format!("on {date} {times} {do_not} (clocks go forward): {run} {when}")
            }
            Effect::Skipped => {
                let do_not = if many { "do not exist" } else { "does not exist" };
                format!("on {date} {times} {do_not} (clocks go forward): no run")
            }
            Effect::Once => {
                let (come, run) = if many { ("come", "run") } else { ("comes", "runs") };
                format!(
                    "on {date} {times} {come} twice (clocks go back): {run} the first time only"
                )
            }
            Effect::Twice => {
                let (come, run) = if many { ("come", "run") } else { ("comes", "runs") };
                format!("on {date} {times} {come} twice (clocks go back): {run} both times")
            }
        }
    }
}

/// The changes of offset after `after` and not after `until` that touch slots of `timetable`.
pub fn shifts(timetable: &Timetable, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Shift> {
    let Schedule::Cron(expression) = timetable.schedule() else { return Vec::new() };
    let (timezone, (after, until)) = (timetable.timezone(), timetable.within(after, until));
    let mut shifts = Vec::new();
    let mut from = after;
    while let Some(at) = next_change(timezone, from, until) {
        let (old, new) = (offset_at(timezone, at - SECOND), offset_at(timezone, at));
        // Walls from the earlier one are jumped over, or shown again, until before the later one.
        let (before, shown) = (wall(at - SECOND, old), wall(at, new));
        let (start, end) =
            if new > old { (before, shown - SECOND) } else { (shown - SECOND, before) };
        if let Some(first) = expression.next_wall_time(start).filter(|first| *first <= end) {
            let effect = match (expression.follows_wall_clock(), new > old) {
                (false, true) => Effect::Shifted,
                (true, true) => Effect::Skipped,
                (false, false) => Effect::Once,
                (true, false) => Effect::Twice,
            };
            let count = expression.count_wall_times(start, end);
            shifts.push(Shift { at, shown, effect, first, count });
        }
        from = at;
    }
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Window;

    #[test]
    fn says_what_a_change_of_offset_does() {
        let new_york = "America/New_York";
        let rows = [
            (
                "30 2 * * *",
                new_york,
                vec!["on 2026-03-08 02:30 does not exist (clocks go forward): runs at 03:00"],
            ),
            (
                "0,30 2 * * *",
                new_york,
                vec![
                    "on 2026-03-08 02:00 and 1 more do not exist (clocks go forward): run \
                     together at 03:00",
                ],
            ),
            (
                "*/30 * * * *",
                new_york,
                vec![
                    "on 2026-03-08 02:00 and 1 more do not exist (clocks go forward): no run",
                    "on 2026-11-01 01:00 and 1 more come twice (clocks go back): run both times",
                ],
            ),
            (
                "30 1 * * *",
                new_york,
                vec!["on 2026-11-01 01:30 comes twice (clocks go back): runs the first time only"],
            ),
            ("0 2 * * *", "America/Regina", vec![]),
            ("0 12 * * *", new_york, vec![]),
            ("@every 10m", new_york, vec![]),
            ("30 2 8 4 *", new_york, vec![]),
        ];
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect(text).to_utc();
        for (text, zone, expected) in rows {
            let schedule = Schedule::parse(text).expect(text);
            let timetable =
                Timetable::new("web", schedule, zone.parse().expect(zone), &Window::default());
            let found = shifts(&timetable, at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
            let words: Vec<String> = found.iter().map(Shift::in_words).collect();
            assert_eq!(words, expected, "{text} in {zone}");
        }
    }
}
