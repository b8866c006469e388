//! A job's slots in plain words: when it runs, which slots come, and what to know about them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Timetable;
use super::shifts::{Shift, shifts};
use crate::job::duration;
use crate::job::schedule::Schedule;

/// For so long ahead changes of the clock are told.
const A_YEAR: TimeDelta = TimeDelta::days(366);

/// A schedule, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// When it runs, to follow on "runs": `at 05:07 every day in America/Toronto`.
    pub words: String,
    /// The slots that come, each with the time its run starts.
    pub slots: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Changes of the clock within a year that touch slots.
    pub shifts: Vec<Shift>,
    /// What its window does, and what else a person should know.
    pub notes: Vec<String>,
}

/// Explains the slots after `now`, and names the next `count`.
pub fn explain(timetable: &Timetable, now: DateTime<Utc>, count: usize) -> Explanation {
    let upcoming = timetable.upcoming(now, count).into_iter();
    Explanation {
        words: words(timetable),
        slots: upcoming.map(|slot| (slot, timetable.start_time(slot))).collect(),
        shifts: shifts(timetable, now, now + A_YEAR),
        notes: warning(timetable, now).into_iter().chain(notes(timetable)).collect(),
    }
}

fn words(timetable: &Timetable) -> String {
    let words = timetable.schedule().in_words();
    match timetable.schedule() {
        Schedule::Cron(expression) if !expression.never_comes() => {
            format!("{words} in {}", timetable.timezone())
        }
        _ => words,
    }
}

/// What is odd about a timetable at `now`: no slot comes any more though its schedule has a time.
pub fn warning(timetable: &Timetable, now: DateTime<Utc>) -> Option<String> {
    let schedule = timetable.schedule();
    if timetable.next_after(now).is_some() {
        return None;
    }
    let ends = timetable.window().and_then(|window| window.ends);
    match schedule {
        Schedule::Startup | Schedule::Manual => None,
        Schedule::Cron(expression) if expression.never_comes() => {
            Some(format!("`{schedule}` never comes true: no such day exists in these months"))
        }
        Schedule::At(instant) if *instant <= now => {
            Some(format!("`{schedule}` is past: it never runs again"))
        }
        _ if ends.is_some() => {
            Some("its window is over, or holds no slot: it never runs again".to_owned())
        }
        Schedule::Cron(_) | Schedule::Every(_) | Schedule::At(_) => {
            Some(format!("`{schedule}` has no slot any more: its years are over"))
        }
    }
}

fn notes(timetable: &Timetable) -> Vec<String> {
    let mut notes = Vec::new();
    let instant = |instant: DateTime<Utc>| {
        let local = instant.with_timezone(&timetable.timezone());
        local.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    if let Some(window) = timetable.window() {
        notes.extend(window.starts.map(|starts| format!("no slot before {}", instant(starts))));
        notes.extend(window.ends.map(|ends| format!("no slot from {} on", instant(ends))));
        if !window.spread.is_zero() {
            let (all, part) = (duration::format(window.spread), text_of(timetable.spread()));
            notes
                .push(format!("runs start {part} after their slot: its part of a spread of {all}"));
        }
        if !window.jitter.is_zero() {
            let jitter = duration::format(window.jitter);
            notes.push(format!("each run starts up to {jitter} later, drawn for its slot"));
        }
    }
    let zone = timetable.timezone().name();
    if let Some(hours) = zone.strip_prefix("Etc/GMT+").filter(|_| has_a_zone(timetable)) {
        notes
            .push(format!("`{zone}` is {hours} hours behind UTC: the sign is the other way round"));
    } else if let Some(hours) = zone.strip_prefix("Etc/GMT-").filter(|_| has_a_zone(timetable)) {
        notes.push(format!(
            "`{zone}` is {hours} hours ahead of UTC: the sign is the other way round"
        ));
    }
    notes
}

fn has_a_zone(timetable: &Timetable) -> bool {
    matches!(timetable.schedule(), Schedule::Cron(_))
}

fn text_of(time: TimeDelta) -> String {
    duration::format(time.to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::Window;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect(text).to_utc()
    }

    #[test]
    fn explains_in_words() {
        let window = Window {
            starts: Some(at("2026-06-01T00:00:00Z")),
            ends: Some(at("2026-07-01T00:00:00Z")),
            jitter: Duration::from_mins(5),
            spread: Duration::ZERO,
        };
        let over = Window { ends: Some(at("2026-01-01T00:00:00Z")), ..Window::default() };
        let rows: Vec<(&str, &str, Window, &str, Vec<&str>)> = vec![
            (
                "7 5 * * *",
                "America/Toronto",
                Window::default(),
                "at 05:07 every day in America/Toronto",
                vec![],
            ),
            (
                "@every 90s",
                "America/Toronto",
                Window::default(),
                "every 1m30s, counted from the start of 1970",
                vec![],
            ),
            (
                "@manual",
                "UTC",
                Window::default(),
                "only when somebody or something else sets it off",
                vec![],
            ),
            (
                "0 5 * * *",
                "Etc/GMT+5",
                window,
                "at 05:00 every day in Etc/GMT+5",
                vec![
                    "no slot before 2026-05-31T19:00:00-05:00",
                    "no slot from 2026-06-30T19:00:00-05:00 on",
                    "each run starts up to 5m later, drawn for its slot",
                    "`Etc/GMT+5` is 5 hours behind UTC: the sign is the other way round",
                ],
            ),
            (
                "0 0 30 2 *",
                "UTC",
                Window::default(),
                "never",
                vec!["`0 0 30 2 *` never comes true: no such day exists in these months"],
            ),
            (
                "@at 2026-01-01T00:00:00Z",
                "UTC",
                Window::default(),
                "once, at 2026-01-01T00:00:00Z",
                vec!["`@at 2026-01-01T00:00:00Z` is past: it never runs again"],
            ),
            (
                "0 0 0 1 1 * 2025",
                "UTC",
                Window::default(),
                "at 00:00 on day 1 of the month in January in 2025 in UTC",
                vec!["`0 0 0 1 1 * 2025` has no slot any more: its years are over"],
            ),
            (
                "@daily",
                "UTC",
                over,
                "at 00:00 every day in UTC",
                vec![
                    "its window is over, or holds no slot: it never runs again",
                    "no slot from 2026-01-01T00:00:00Z on",
                ],
            ),
        ];
        for (text, zone, window, words, notes) in rows {
            let schedule = Schedule::parse(text).expect(text);
            let timetable = Timetable::new("web", schedule, zone.parse().expect(zone), &window);
            let explained = explain(&timetable, at("2026-05-01T00:00:00Z"), 3);
            assert_eq!(explained.words, words, "{text}");
            assert_eq!(explained.notes, notes, "{text}");
        }
    }
}
