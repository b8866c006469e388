//! What would happen in a stretch of time: every run that starts, who meets whom, what the clock does to
//! it, and what is owed after a time when nobody was there. Starts nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::shifts::{Shift, shifts};
use super::{NANOSECOND, Owed, Timetable};
use crate::job::{CatchUp, Job};

/// What the simulation knows of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// When it runs.
    pub timetable: Timetable,
    /// What it is owed.
    pub catch_up: CatchUp,
    /// A slot that could not start for so long does not run.
    pub start_deadline: Option<Duration>,
    /// What it has to itself while it runs.
    pub locks: BTreeSet<String>,
}

impl Subject {
    /// What of a job matters here.
    pub fn of(job: &Job) -> Self {
        Self {
            timetable: Timetable::of(job),
            catch_up: job.policy.catch_up,
            start_deadline: job.policy.start_deadline,
            locks: job.locks(),
        }
    }
}

/// The stretch of time that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// The instant after its last one.
    pub to: DateTime<Utc>,
    /// When nobody is there to start anything: from the first instant until the second, both within the
    /// stretch.
    pub down: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// When so many runs are named no further instant is.
    pub most: usize,
}

/// A run that would start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    /// When it starts.
    pub at: DateTime<Utc>,
    /// Name of its job.
    pub job: String,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// It is one that was owed.
    pub caught_up: bool,
}

/// Several jobs start at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// When.
    pub at: DateTime<Utc>,
    /// Their names.
    pub jobs: BTreeSet<String>,
    /// By lock, those of them that share it: they run one after the other.
    pub locks: BTreeMap<String, BTreeSet<String>>,
}

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// Runs, by the time they start, then by name.
    pub starts: Vec<Start>,
    /// Where several start at once.
    pub clashes: Vec<Clash>,
    /// What changes of the clock do to slots, by job.
    pub shifts: Vec<(String, Shift)>,
    /// What was decided, job by job, when somebody was there again.
    pub owed: Vec<(String, Owed)>,
    /// The first instant whose runs are not named any more.
    pub cut: Option<DateTime<Utc>>,
}

/// Says what would happen to `jobs`.
pub fn simulate(jobs: &[Subject], stretch: &Stretch) -> Simulation {
    let mut simulation = Simulation::default();
    let mut courses = Vec::new();
    let mut heap = BinaryHeap::new();
    for (place, job) in jobs.iter().enumerate() {
        let name = job.timetable.key().to_string();
        let (before, last) = (stretch.from - NANOSECOND, stretch.to - NANOSECOND);
        let found = shifts(&job.timetable, before, last).into_iter();
        simulation.shifts.extend(found.map(|shift| (name.clone(), shift)));
        let (owed, mut course) = course(job, stretch);
        simulation.owed.extend(owed.filter(|owed| *owed != Owed::default()).map(|it| (name, it)));
        heap.extend(course.next().map(|next| Reverse((next, place))));
        courses.push(course);
    }
    while let Some(Reverse((next, place))) = heap.pop() {
        let is_new_instant = simulation.starts.last().is_none_or(|last| last.at < next.at);
        if is_new_instant && simulation.starts.len() >= stretch.most {
            simulation.cut = Some(next.at);
            break;
        }
        simulation.starts.push(next);
        heap.extend(courses[place].next().map(|next| Reverse((next, place))));
    }
    simulation.clashes = clashes(jobs, &simulation.starts);
    simulation
}

/// The runs of one job in their order, and what was decided about those it was owed.
fn course<'a>(
    job: &'a Subject,
    stretch: &Stretch,
) -> (Option<Owed>, Box<dyn Iterator<Item = Start> + 'a>) {
    let Stretch { from, to, down, .. } = *stretch;
    let timetable = &job.timetable;
    let done = from - NANOSECOND;
    let Some((down, up)) = down else { return (None, Box::new(starting(timetable, done, to))) };
    let done_before = timetable.latest_to_start(done, down - NANOSECOND).unwrap_or(done);
    let owed = timetable.catch_up(job.catch_up, done_before, up, job.start_deadline);
    let done_after = timetable.latest_to_start(done_before, up).unwrap_or(done_before);
    // What is due right then is late for nobody.
    let late = owed.run.clone().into_iter().map(move |slot| Start {
        at: up,
        job: timetable.key().to_string(),
        slot,
        caught_up: timetable.start_time(slot) < up,
    });
    let course =
        starting(timetable, done, down).chain(late).chain(starting(timetable, done_after, to));
    (Some(owed), Box::new(course))
}

/// What starts before `until` of the slots after `done`.
fn starting(
    timetable: &Timetable,
    done: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = Start> {
    let slots =
        std::iter::successors(timetable.next_after(done), |slot| timetable.next_after(*slot));
    let in_order = slots.scan(None, |latest: &mut Option<DateTime<Utc>>, slot| {
        // None starts before an earlier one of its job.
        let at = (*latest).max(Some(timetable.start_time(slot)));
        *latest = at;
        Some((at?, slot))
    });
    let in_time = in_order.take_while(move |(at, _)| *at < until);
    in_time.map(|(at, slot)| Start { at, job: timetable.key().to_string(), slot, caught_up: false })
}

fn clashes(jobs: &[Subject], starts: &[Start]) -> Vec<Clash> {
    let locks: BTreeMap<&str, &BTreeSet<String>> =
        jobs.iter().map(|job| (&**job.timetable.key(), &job.locks)).collect();
    let mut clashes = Vec::new();
    for together in starts.chunk_by(|one, other| one.at == other.at) {
        let jobs: BTreeSet<String> = together.iter().map(|start| start.job.clone()).collect();
        if jobs.len() < 2 {
            continue;
        }
        let mut by_lock: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for job in &jobs {
            for lock in locks.get(job.as_str()).copied().into_iter().flatten() {
                by_lock.entry(lock.clone()).or_default().insert(job.clone());
            }
        }
        by_lock.retain(|_, jobs| jobs.len() > 1);
        clashes.push(Clash { at: together[0].at, jobs, locks: by_lock });
    }
    clashes
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::job::Window;
    use crate::job::schedule::Schedule;

    fn at(time: &str) -> DateTime<Utc> {
        let text = format!("2026-03-{time}:00Z");
        DateTime::parse_from_rfc3339(&text).expect("a time").to_utc()
    }

    fn subject(name: &str, schedule: &str, catch_up: CatchUp, locks: &[&str]) -> Subject {
        let schedule = Schedule::parse(schedule).expect("a schedule");
        let zone: Tz = "America/New_York".parse().expect("a zone");
        Subject {
            timetable: Timetable::new(name, schedule, zone, &Window::default()),
            catch_up,
            start_deadline: None,
            locks: locks.iter().map(|lock| (*lock).to_owned()).collect(),
        }
    }

    fn stretch(from: &str, to: &str) -> Stretch {
        Stretch { from: at(from), to: at(to), down: None, most: 100 }
    }

    /// `time job`, with the slot where it is another, and a star where it was owed.
    fn told(simulation: &Simulation) -> Vec<String> {
        let starts = simulation.starts.iter().map(|start| {
            let Start { at, job, slot, caught_up } = start;
            let of = if slot == at { String::new() } else { slot.format(" of %H:%M").to_string() };
            format!("{} {job}{of}{}", at.format("%H:%M"), if *caught_up { " *" } else { "" })
        });
        starts.collect()
    }

    #[test]
    fn names_every_run_and_who_starts_together() {
        let jobs = [
            subject("b", "*/30 * * * *", CatchUp::Latest, &["name:x", "name:y"]),
            subject("a", "0 * * * *", CatchUp::Latest, &["name:x"]),
            subject("c", "0 11 * * *", CatchUp::Latest, &[]),
            subject("m", "@manual", CatchUp::Latest, &["name:x"]),
        ];
        let simulation = simulate(&jobs, &stretch("02T15:00", "02T16:30"));
        let expected = ["15:00 a", "15:00 b", "15:30 b", "16:00 a", "16:00 b", "16:00 c"];
        assert_eq!(told(&simulation), expected);
        let clashes: Vec<_> = simulation
            .clashes
            .iter()
            .map(|clash| {
                (clash.jobs.len(), clash.locks.keys().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(clashes, [(2, vec!["name:x"]), (3, vec!["name:x"])]);
        assert_eq!((simulation.cut, simulation.owed.len()), (None, 0));
        // An instant is named whole or not at all.
        let cut = simulate(&jobs, &Stretch { most: 1, ..stretch("02T15:00", "02T16:30") });
        assert_eq!((told(&cut).len(), cut.cut), (2, Some(at("02T15:30"))));
    }

    #[test]
    fn decides_what_is_owed_when_somebody_is_there_again() {
        let rows: &[(&str, CatchUp, &[&str], usize)] = &[
            ("*/15 * * * *", CatchUp::Latest, &["15:00 j", "16:05 j of 16:00 *", "16:15 j"], 3),
            ("*/15 * * * *", CatchUp::None, &["15:00 j", "16:15 j"], 4),
            (
                "*/15 * * * *",
                CatchUp::All(2),
                &["15:00 j", "16:05 j of 15:45 *", "16:05 j of 16:00 *", "16:15 j"],
                2,
            ),
            // Due just then: not late.
            ("5 * * * *", CatchUp::None, &["15:05 j", "16:05 j"], 0),
            ("0 15 * * *", CatchUp::Latest, &[], 0),
        ];
        for (schedule, catch_up, expected, missed) in rows {
            let jobs = [subject("j", schedule, *catch_up, &[])];
            let down = Some((at("02T15:10"), at("02T16:05")));
            let simulation = simulate(&jobs, &Stretch { down, ..stretch("02T15:00", "02T16:20") });
            assert_eq!(told(&simulation), *expected, "{schedule} {catch_up:?}");
            let owed: usize = simulation.owed.iter().map(|(_, owed)| owed.missed_count()).sum();
            assert_eq!(owed, *missed, "{schedule} {catch_up:?}");
        }
    }

    #[test]
    fn tells_what_the_clock_does() {
        let jobs = [
            subject("fixed", "30 2 * * *", CatchUp::Latest, &[]),
            subject("often", "*/30 * * * *", CatchUp::Latest, &[]),
        ];
        let simulation = simulate(&jobs, &stretch("08T06:00", "08T08:00"));
        let expected = ["06:00 often", "06:30 often", "07:00 fixed", "07:00 often", "07:30 often"];
        assert_eq!(told(&simulation), expected);
        let shifts: Vec<_> = simulation
            .shifts
            .iter()
            .map(|(job, shift)| format!("{job} {} {}", shift.effect.name(), shift.count))
            .collect();
        assert_eq!(shifts, ["fixed shifted 1", "often skipped 2"]);
    }
}
