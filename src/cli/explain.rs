//! `explain`: a schedule in plain words, its coming slots, and what to know about them.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;

use super::arguments::{dialect, instant, time_zone};
use super::labels::configuration_with_labels;
use super::output::{Output, Page, print};
use super::setup::{configuration, now};
use super::table::Table;
use super::text::{instant as in_full, moment};
use super::{Usage, known_job};
use crate::clock::Timetable;
use crate::clock::words::{Explanation, explain as explain_timetable};
use crate::job::schedule::{Dialect, Reading, Schedule};
use crate::job::{CatchUp, ContainerEvent, Job, On, When, Window};

/// Slots that are named.
const SLOTS: usize = 5;

// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["job", "schedule"])))]
pub(super) struct Explain {
    /// The job
    job: Option<String>,
    #[command(flatten)]
    tried: Tried,
    /// Slots after this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    after: Option<DateTime<Utc>>,
}

// A schedule that is tried out, without a job.
#[derive(Debug, Args)]
pub(super) struct Tried {
    /// A schedule to try out
    #[arg(long, value_name = "EXPR")]
    pub(super) schedule: Option<String>,
    /// Time zone of the schedule [default: that of its prefix `CRON_TZ=`, else `AUTODEPLOY_TIMEZONE`,
    /// else UTC]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    pub(super) timezone: Option<Tz>,
    /// Whose rules the schedule is read by: default, ofelia-0.3, ofelia, supercronic, dkron, quartz
    #[arg(long, value_name = "NAME", value_parser = dialect, default_value = "default", requires = "schedule")]
    pub(super) dialect: Dialect,
}

impl Tried {
    /// Reads the schedule; `name` is what `H` and `~` are drawn from.
    pub(super) fn read(&self, text: &str, default: Tz) -> Result<(Timetable, Reading)> {
        let wrong = |reason| Usage(format!("`--schedule {text}`: {reason}"));
        let reading = Schedule::parse_in(text, self.dialect, "").map_err(wrong)?;
        let timezone = reading.zone(self.timezone, default).map_err(wrong)?;
        let schedule = reading.schedule.clone();
        Ok((Timetable::new("", schedule, timezone, &Window::default()), reading))
    }
}

/// `explain`.
pub(super) async fn explain(
    env_file: Option<&Path>,
    output: Output,
    explain: &Explain,
) -> Result<u8> {
    let after = explain.after.unwrap_or_else(now);
    let (timetable, job, mut notes) = if let Some(text) = &explain.tried.schedule {
        // A schedule alone needs no configuration, so that it can be tried out anywhere.
        let default = configuration(env_file).map_or(chrono_tz::UTC, |it| it.settings.timezone);
        let (timetable, reading) = explain.tried.read(text, default)?;
        (timetable, None, other_readings(text, explain.tried.dialect, reading.warning))
    } else {
        let Some(name) = &explain.job else { bail!(Usage("name a job or a schedule".to_owned())) };
        let configuration = configuration_with_labels(env_file).await?;
        let job = known_job(name, &configuration.jobs)?.clone();
        (Timetable::of(&job), Some(job), Vec::new())
    };
    let explanation = explain_timetable(&timetable, after, SLOTS);
    let timezone = timetable.timezone();
    let page = Page { output, now: now(), timezone };
    notes.retain(|note| !explanation.notes.contains(note));
    notes.splice(0..0, explanation.notes.iter().cloned());
    let told = Told { timetable: &timetable, job: job.as_ref(), explanation: &explanation, notes };
    print(|to| told.print(to, &page))?;
    Ok(0)
}

/// What other programs make of the same text, after the warning that names the likeliest of them.
fn other_readings(text: &str, dialect: Dialect, warning: Option<String>) -> Vec<String> {
    let mut readings: Vec<(String, Vec<String>)> = Vec::new();
    for (other, words) in Schedule::other_readings(text, dialect, "") {
        match readings.iter_mut().find(|(known, _)| *known == words) {
            Some((_, dialects)) => dialects.push(other.to_string()),
            None => readings.push((words, vec![other.to_string()])),
        }
    }
    let others = readings
        .into_iter()
        .map(|(words, dialects)| format!("{} would run it {words}", dialects.join(", ")))
        // One that is alone with its reading may be the one the warning has named.
        .filter(|other| !warning.as_ref().is_some_and(|warning| warning.ends_with(other.as_str())));
    let others: Vec<String> = others.collect();
    warning.into_iter().chain(others).collect()
}

struct Told<'a> {
    timetable: &'a Timetable,
    job: Option<&'a Job>,
    explanation: &'a Explanation,
    notes: Vec<String>,
}

impl Told<'_> {
    fn print(&self, to: &mut dyn Write, page: &Page) -> std::io::Result<()> {
        if page.output.json {
            return self.json(to, page);
        }
        let Explanation { words, slots, shifts, .. } = self.explanation;
        match self.job {
            Some(job) => writeln!(to, "{} runs {words}", job.name)?,
            None => writeln!(to, "runs {words}")?,
        }
        let schedule = self.timetable.schedule().to_string();
        writeln!(to, "schedule: {schedule}")?;
        if let Some(job) = self.job {
            for on in &job.on {
                writeln!(to, "also: {}", set_off(on))?;
            }
            writeln!(to, "catch-up: {}", catch_up(job.policy.catch_up))?;
        }
        for shift in shifts {
            writeln!(to, "clock: {}", shift.in_words())?;
        }
        for note in &self.notes {
            writeln!(to, "note: {note}")?;
        }
        if slots.is_empty() {
            return Ok(());
        }
        writeln!(to)?;
        let delayed = slots.iter().any(|(slot, starts)| slot != starts);
        let mut header = vec!["SLOT"];
        header.extend(delayed.then_some("STARTS"));
        header.extend(page.output.terminal.then_some("WHEN"));
        let mut table = Table::new(&header);
        for (slot, starts) in slots {
            let mut row = vec![in_full(page, *slot).into()];
            row.extend(delayed.then(|| in_full(page, *starts).into()));
            row.extend(page.output.terminal.then(|| moment(page, *starts).into()));
            table.row(row);
        }
        table.write(to, page.output, "no slot comes")
    }

    fn json(&self, to: &mut dyn Write, page: &Page) -> std::io::Result<()> {
        let local = |time: DateTime<Utc>| {
            time.with_timezone(&page.timezone).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        };
        let Explanation { words, slots, shifts, .. } = self.explanation;
        let slots: Vec<_> = slots
            .iter()
            .map(|(slot, starts)| json!({ "slot": local(*slot), "starts": local(*starts) }))
            .collect();
        let shifts: Vec<_> = shifts
            .iter()
            .map(|shift| {
                json!({ "at": local(shift.at), "effect": shift.effect.name(),
                        "first": shift.first.format("%Y-%m-%dT%H:%M:%S").to_string(),
                        "count": shift.count, "words": shift.in_words() })
            })
            .collect();
        let value = json!({
            "job": self.job.map(|job| &job.name),
            "schedule": self.timetable.schedule().to_string(),
            "timezone": self.timetable.timezone().name(),
            "words": words,
            "also": self.job.map(|job| job.on.iter().map(set_off).collect::<Vec<_>>()),
            "catch_up": self.job.map(|job| catch_up(job.policy.catch_up)),
            "slots": slots,
            "shifts": shifts,
            "notes": self.notes,
        });
        writeln!(to, "{value:#}")
    }
}

fn set_off(on: &On) -> String {
    let ended = |when: When| match when {
        When::Success => "succeeded",
        When::Failure => "failed",
        When::Finish => "ended",
    };
    match on {
        On::Ended { job, when } => format!("after a run of {job} {}", ended(*when)),
        On::Deployed { project, when } => format!("after a deploy of {project} {}", ended(*when)),
        On::Container { event, container } => {
            let event = match event {
                ContainerEvent::Started => "started",
                ContainerEvent::Died => "died",
                ContainerEvent::Unhealthy => "became unhealthy",
            };
            format!("after container {container} {event}")
        }
        On::Webhook(name) => format!("when webhook {name} is called"),
        On::FileChanged(path) => format!("after {} was changed", path.display()),
    }
}

fn catch_up(catch_up: CatchUp) -> String {
    match catch_up {
        CatchUp::None => "slots that pass while nobody is there do not run".to_owned(),
        CatchUp::Latest => "of slots that pass while nobody is there the latest runs".to_owned(),
        CatchUp::All(most) => {
            format!("slots that pass while nobody is there run, at most {most} of the latest")
        }
    }
}
