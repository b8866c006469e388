//! Slots of the clock: each becomes a run, or is recorded as missed; and the first look after a start.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::Daemon;
use super::runs::Wish;
use crate::clock::{Jump, ON_TIME, Owed, Timetable};
use crate::job::schedule::Schedule;
use crate::job::{Job, Work};
use crate::run::{Ending, Outcome, Reason, Run, Trigger};
use crate::store::RunFilter;

impl Daemon {
    /// Enters all jobs into the agenda. What passed while we were not there is due at once, and each
    /// job's policy decides about it.
    pub(super) async fn fill_agenda(&mut self, now: DateTime<Utc>) -> Result<()> {
        let last = self.store.last_slots().await?;
        for job in &self.configuration.jobs {
            let after = last.get(&job.name).copied().unwrap_or(now).min(now);
            self.agenda.insert(Timetable::of(job), after);
        }
        self.missed_because = Reason::NotServing;
        self.enter_slots(now).await;
        self.missed_because = Reason::ClockJump;
        Ok(())
    }

    /// Enters what the clock says is due.
    pub(super) async fn enter_due(&mut self) {
        let now = (self.world.now)();
        match self.clocks.look(now, std::time::Instant::now()) {
            Jump::None => {}
            Jump::Forward(by) => {
                warn!("the clock went forward by {}, or the machine slept", seconds(by));
            }
            Jump::Back(by) => {
                warn!(
                    "the clock went back by {}; slots that had their run get no other",
                    seconds(by)
                );
            }
        }
        if self.agenda.is_due(now) {
            self.reload_if_changed().await;
            self.enter_slots(now).await;
        }
    }

    async fn enter_slots(&mut self, now: DateTime<Utc>) {
        let mut wishes = Vec::new();
        for due in self.agenda.due(now) {
            let Some(job) = self.job(due.job()) else { continue };
            let owed = due.catch_up(job.policy.catch_up, now, job.policy.start_deadline);
            let missed = owed.missed_count();
            if missed > 0 {
                warn!("{missed} slots of {} are missed ({})", job.name, self.missed_because);
            }
            let is_late = |slot: DateTime<Utc>| {
                (now - due.timetable.start_time(slot)).to_std().is_ok_and(|by| by > ON_TIME)
            };
            wishes.extend(missed_wishes(job, &owed, self.missed_because));
            let several = owed.run.len() > 1;
            wishes.extend(owed.run.iter().map(|slot| {
                let is_caught_up = several || is_late(*slot);
                let trigger = if is_caught_up { Trigger::CatchUp } else { Trigger::Schedule };
                Wish { is_promised: several, ..Wish::new(&job.name, trigger, Some(*slot)) }
            }));
        }
        self.enter(wishes).await;
    }

    /// Looks at once where nobody knows how things stand: never applied, or cut off.
    pub(super) async fn start_at_startup(&mut self) {
        let mut due = Vec::new();
        for job in &self.configuration.jobs {
            let unknown = match &job.work {
                Work::Deploy(_) => {
                    let applied = self.store.applied(&job.name).await.ok().flatten();
                    let cut_off = self.last_that_ran(&job.name).await.is_some_and(|run| {
                        matches!(run.outcome, Outcome::Lost | Outcome::Cancelled)
                    });
                    // What a person starts by hand waits for that person the first time, too.
                    cut_off || applied.is_none() && job.schedule != Schedule::Manual
                }
                _ => false,
            };
            let waits_already = self.queue.waiting_of(&job.name).next().is_some();
            if !waits_already && (unknown || matches!(job.schedule, Schedule::Startup)) {
                due.push(Wish::new(&job.name, Trigger::Startup, None));
            }
        }
        self.enter(due).await;
    }

    /// The newest run that did something; a skipped slot says nothing about how things stand.
    async fn last_that_ran(&self, job: &str) -> Option<Run> {
        let ran = Outcome::ALL.into_iter().filter(|outcome| {
            !matches!(outcome, Outcome::Skipped | Outcome::Missed | Outcome::Queued)
        });
        let filter = RunFilter {
            job: Some(job.to_owned()),
            outcomes: ran.collect(),
            limit: 1,
            ..RunFilter::default()
        };
        self.store.runs(&filter).await.unwrap_or_default().pop()
    }

    /// Deploys that failed for want of the Engine are tried again when it is back, once.
    pub(super) async fn retry_what_missed_the_engine(&mut self) {
        let mut due = Vec::new();
        for job in &self.configuration.jobs {
            if !matches!(job.work, Work::Deploy(_)) {
                continue;
            }
            let last = self.last_that_ran(&job.name).await;
            if last.is_some_and(|run| run.reason == Some(Reason::EngineUnreachable)) {
                due.push(Wish::new(&job.name, Trigger::Retry, None));
            }
        }
        self.enter(due).await;
    }

    /// Tells what is served, and when it runs next.
    pub(super) fn tell_jobs(&self) {
        for job in &self.configuration.jobs {
            let next = self.agenda.next_of(&job.name);
            let next = next.map_or_else(|| "on request".to_owned(), |it| it.to_rfc3339());
            let paused = if self.pauses.of(&job.name).is_some() { ", paused" } else { "" };
            let kind = job.work.kind();
            info!("job {} ({kind}): {}, next {next}{paused}", job.name, job.schedule);
        }
    }
}

/// Slots that are only accounted for: the newest one by one, the others by their number.
fn missed_wishes<'a>(
    job: &'a Job,
    owed: &'a Owed,
    because: Reason,
) -> impl Iterator<Item = Wish> + 'a {
    let why = match because {
        Reason::NotServing => "roadstead was not running",
        _ => "the clock jumped over it, or the machine slept",
    };
    let uncounted = owed.missed_before;
    owed.missed.iter().enumerate().map(move |(index, slot)| {
        let before = match (index, uncounted) {
            (0, 1..) => format!("; so were {uncounted} slots before it"),
            _ => String::new(),
        };
        let ending = Ending::new(Outcome::Missed, because, format!("{why}{before}"));
        let wish = Wish::new(&job.name, Trigger::Schedule, Some(*slot));
        Wish { ending: Some(ending), ..wish }
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}
