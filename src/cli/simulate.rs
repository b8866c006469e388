//! `simulate`: every run that would start in a stretch of time, and what is special about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde_json::json;

use super::arguments::instant;
use super::labels::configuration_with_labels;
use super::output::{Output, Page, print};
use super::setup::now;
use super::table::{Cell, Table, Tone};
use super::text::instant as in_full;
use super::{Usage, known_job};
use crate::clock::simulation::{Clash, Simulation, Stretch, Subject, simulate as simulate_jobs};

/// Other jobs that a list names before it counts them.
const NAMED: usize = 3;

// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// The jobs [default: all]
    jobs: Vec<String>,
    /// Start, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// End, RFC 3339 [default: a day after the start]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<DateTime<Utc>>,
    /// A time within when roadstead is down: what would be caught up?
    #[arg(long, value_name = "FROM..TO", value_parser = stretch)]
    down: Option<Down>,
    /// At most so many runs are listed
    #[arg(long, value_name = "RUNS", default_value_t = 10_000)]
    limit: usize,
}

type Down = (DateTime<Utc>, DateTime<Utc>);

fn stretch(text: &str) -> Result<Down, String> {
    let wanted = "expected two times, as `2026-03-01T00:00:00Z..2026-03-01T06:00:00Z`";
    let (from, to) = text.split_once("..").ok_or(wanted)?;
    let (from, to) = (instant(from)?, instant(to)?);
    if from < to { Ok((from, to)) } else { Err(format!("it ends before it starts; {wanted}")) }
}

/// `simulate`.
pub(super) async fn simulate(
    env_file: Option<&Path>,
    output: Output,
    asked: &Simulate,
) -> Result<u8> {
    let from = asked.from.unwrap_or_else(now);
    let to = asked.to.unwrap_or(from + TimeDelta::days(1));
    if to <= from {
        bail!(Usage("`--to` must be later than `--from`".to_owned()));
    }
    if asked.down.is_some_and(|(down, up)| down < from || up >= to) {
        bail!(Usage("`--down` must lie between `--from` and `--to`".to_owned()));
    }
    let configuration = configuration_with_labels(env_file).await?;
    let jobs = &configuration.jobs;
    let mut wanted = Vec::new();
    for name in &asked.jobs {
        wanted.push(known_job(name, jobs)?);
    }
    if asked.jobs.is_empty() {
        wanted.extend(jobs);
    }
    let subjects: Vec<Subject> = wanted.into_iter().map(Subject::of).collect();
    let simulated =
        simulate_jobs(&subjects, &Stretch { from, to, down: asked.down, most: asked.limit });
    let zones: BTreeMap<&str, Tz> =
        subjects.iter().map(|it| (&**it.timetable.key(), it.timetable.timezone())).collect();
    let page = Page { output, now: now(), timezone: configuration.settings.timezone };
    let told = Told { simulated: &simulated, zones };
    print(|to| if output.json { told.json(to) } else { told.table(to, &page, asked.down) })?;
    Ok(0)
}

struct Told<'a> {
    simulated: &'a Simulation,
    zones: BTreeMap<&'a str, Tz>,
}

/// A line of the list, to be put in order.
struct Line {
    at: DateTime<Utc>,
    job: String,
    what: Cell,
    note: String,
}

impl Told<'_> {
    fn zone(&self, job: &str) -> Tz {
        self.zones.get(job).copied().unwrap_or_default()
    }

    fn table(&self, to: &mut dyn Write, page: &Page, down: Option<Down>) -> std::io::Result<()> {
        let mut table = Table::new(&["TIME", "JOB", "WHAT", "NOTE"]);
        let lines = self.lines(page, down);
        for Line { at, job, what, note } in lines {
            let local = Page { timezone: self.zone(&job), ..*page };
            table.row([in_full(&local, at).into(), job.into(), what, note.into()]);
        }
        table.write(to, page.output, "no run starts")?;
        if let Some(cut) = self.simulated.cut {
            writeln!(to, "runs from {} on are left out: raise `--limit`", in_full(page, cut))?;
        }
        if !page.output.terminal {
            return Ok(());
        }
        let Simulation { starts, clashes, shifts, .. } = self.simulated;
        let waiting = clashes.iter().filter(|clash| !clash.locks.is_empty()).count();
        writeln!(
            to,
            "\n{}, {} with several jobs ({waiting} of them with a shared lock), {} of the clock",
            counted(starts.len(), "run"),
            counted(clashes.len(), "instant"),
            counted(shifts.len(), "change"),
        )
    }

    fn lines(&self, page: &Page, down: Option<Down>) -> Vec<Line> {
        let Simulation { starts, clashes, shifts, owed, .. } = self.simulated;
        let clashes: BTreeMap<DateTime<Utc>, &Clash> =
            clashes.iter().map(|clash| (clash.at, clash)).collect();
        let mut lines = Vec::new();
        for start in starts {
            let what =
                if start.caught_up { Cell::toned("late run", Tone::Warning) } else { "run".into() };
            let local = Page { timezone: self.zone(&start.job), ..*page };
            let mut note = String::new();
            if start.slot != start.at {
                let _ = write!(note, "slot {}", in_full(&local, start.slot));
            }
            if let Some(clash) = clashes.get(&start.at) {
                add(&mut note, &meets(clash, &start.job));
            }
            lines.push(Line { at: start.at, job: start.job.clone(), what, note });
        }
        for (job, shift) in shifts {
            let what = Cell::toned("clock change", Tone::Warning);
            lines.push(Line { at: shift.at, job: job.clone(), what, note: shift.in_words() });
        }
        let up = down.map_or(page.now, |(_, up)| up);
        for (job, owed) in owed.iter().filter(|(_, owed)| owed.missed_count() > 0) {
            let local = Page { timezone: self.zone(job), ..*page };
            let slots: Vec<_> = owed.missed.iter().rev().take(NAMED).rev().collect();
            let more = owed.missed_count() - slots.len();
            let slots: Vec<_> = slots.into_iter().map(|slot| in_full(&local, *slot)).collect();
            let mut note = format!("{}: ", counted(owed.missed_count(), "slot"));
            if more > 0 {
                let _ = write!(note, "{more} earlier ones, ");
            }
            note.push_str(&slots.join(", "));
            let what = Cell::toned("missed", Tone::Bad);
            lines.push(Line { at: up, job: job.clone(), what, note });
        }
        lines.sort_by_key(|line| line.at);
        lines
    }

    fn json(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let local = |job: &str, time: DateTime<Utc>| {
            time.with_timezone(&self.zone(job)).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        };
        let Simulation { starts, clashes, shifts, owed, cut } = self.simulated;
        let utc = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let starts = starts.iter().map(|start| {
            let job = &start.job;
            json!({ "at": local(job, start.at), "job": job, "slot": local(job, start.slot),
                    "caught_up": start.caught_up })
        });
        let clashes = clashes
            .iter()
            .map(|clash| json!({ "at": utc(clash.at), "jobs": clash.jobs, "locks": clash.locks }));
        let shifts = shifts.iter().map(|(job, shift)| {
            json!({ "at": local(job, shift.at), "job": job, "effect": shift.effect.name(),
                    "count": shift.count, "words": shift.in_words() })
        });
        let owed = owed.iter().map(|(job, owed)| {
            let list = |slots: &[DateTime<Utc>]| -> Vec<String> {
                slots.iter().map(|slot| local(job, *slot)).collect()
            };
            json!({ "job": job, "run": list(&owed.run), "missed": list(&owed.missed),
                    "missed_before": owed.missed_before })
        });
        let value = json!({
            "runs": starts.collect::<Vec<_>>(),
            "clashes": clashes.collect::<Vec<_>>(),
            "shifts": shifts.collect::<Vec<_>>(),
            "caught_up": owed.collect::<Vec<_>>(),
            "cut": cut.map(utc),
        });
        writeln!(to, "{value:#}")
    }
}

/// Whom a job meets, and what they share.
fn meets(clash: &Clash, job: &str) -> String {
    let others: Vec<&str> =
        clash.jobs.iter().map(String::as_str).filter(|other| *other != job).collect();
    let mut text = format!("with {}", named(&others));
    let shared = clash.locks.iter().filter(|(_, jobs)| jobs.contains(job));
    let shared: Vec<&str> = shared.map(|(lock, _)| lock.as_str()).collect();
    if !shared.is_empty() {
        let _ = write!(text, "; one after the other: they share {}", named(&shared));
    }
    text
}

fn named(all: &[&str]) -> String {
    let more = all.len().saturating_sub(NAMED);
    let list = all[..all.len() - more].join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn add(note: &mut String, more: &str) {
    if !note.is_empty() {
        note.push_str("; ");
    }
    note.push_str(more);
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
