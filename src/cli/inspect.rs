//! Commands that only look: at what was written, at history, at logs, at the clock.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::arguments::{Next, Runs};
use super::labels::configuration_with_labels;
use super::output::{Output, Page, print};
use super::runs::RunDetails;
use super::setup::{configuration, now, read_disk};
use super::views::{self, JobRow, Slot, StatusRow};
use super::{USAGE, Usage, known_job};
use crate::clock::{Timetable, words};
use crate::daemon::unknown_job;
use crate::job::schedule::Schedule;
use crate::job::{Configuration, Job, Work};
use crate::problem::{Problem, Problems, nearest};
use crate::run::{Outcome, RunId, Trigger};
use crate::settings::Settings;
use crate::store::{RunFilter, Store};

/// `check`.
pub(super) fn check(env_file: Option<&Path>, output: Output) -> Result<u8> {
    let everything = match read_disk(env_file) {
        Ok(everything) => everything,
        Err(error) => {
            let Some(problems) = error.downcast_ref::<Problems>() else {
                return Err(error);
            };
            let problems = problems.clone().in_order();
            print(|to| tell_problems(to, output, &problems.0, &[], 0))?;
            return Ok(USAGE);
        }
    };
    let errors = everything.unknown.0.into_iter().chain(everything.broken_jobs.0).collect();
    let errors = Problems(errors).in_order().0;
    let jobs = &everything.configuration.jobs;
    let mut warnings = everything.warnings.0;
    warnings.extend(jobs.iter().filter_map(never_runs));
    print(|to| tell_problems(to, output, &errors, &warnings, jobs.len()))?;
    Ok(if errors.is_empty() { 0 } else { USAGE })
}

/// A job whose schedule has no slot any more. Of dates that do not exist its reader has warned.
fn never_runs(job: &Job) -> Option<Problem> {
    if matches!(&job.schedule, Schedule::Cron(expression) if expression.never_comes()) {
        return None;
    }
    let warning = words::warning(&Timetable::of(job), now())?;
    Some(job.problem(format!("job `{}`: {warning}", job.name)))
}

fn tell_problems(
    to: &mut dyn Write,
    output: Output,
    errors: &[Problem],
    warnings: &[Problem],
    jobs: usize,
) -> std::io::Result<()> {
    if output.json {
        let value = |it: &Problem| {
            json!({ "file": it.file, "line": it.line, "column": it.column,
                    "message": it.message, "hint": it.hint })
        };
        let list = |all: &[Problem]| all.iter().map(value).collect::<Vec<_>>();
        let value = json!({ "ok": errors.is_empty(), "jobs": jobs,
                            "errors": list(errors), "warnings": list(warnings) });
        return writeln!(to, "{value:#}");
    }
    for error in errors {
        writeln!(to, "error: {error}")?;
    }
    for warning in warnings {
        writeln!(to, "warning: {warning}")?;
    }
    match errors.len() {
        0 if jobs == 0 => {
            let hint = "set AUTODEPLOY_EXTRA_REPOS or AUTODEPLOY_REPOS, or write a job file";
            writeln!(to, "all is right, but there is no job: {hint}")
        }
        0 if jobs == 1 => writeln!(to, "all is right: 1 job"),
        0 => writeln!(to, "all is right: {jobs} jobs"),
        1 => writeln!(to, "1 error"),
        count => writeln!(to, "{count} errors"),
    }
}

fn page(output: Output, settings: &Settings) -> Page {
    Page { output, now: now(), timezone: settings.timezone }
}

/// `jobs`.
pub(super) async fn jobs(env_file: Option<&Path>, output: Output) -> Result<u8> {
    let configuration = configuration_with_labels(env_file).await?;
    let store = Store::open_read_only(&configuration.settings.state_dir).await?;
    let (mut last, pauses) = match &store {
        Some(store) => (store.last_runs().await?, store.pauses().await?),
        None => Default::default(),
    };
    let now = now();
    let rows = configuration.jobs.iter().map(|job| {
        let next = Timetable::of(job).next_after(now);
        JobRow::new(job, next, last.remove(&job.name), pauses.of(&job.name).cloned())
    });
    let rows: Vec<JobRow> = rows.collect();
    print(|to| {
        views::jobs(to, &page(output, &configuration.settings), &rows, pauses.of_all.as_ref())
    })?;
    Ok(0)
}

/// `status`.
pub(super) async fn status(env_file: Option<&Path>, output: Output) -> Result<u8> {
    let configuration = configuration_with_labels(env_file).await?;
    let store = Store::open_read_only(&configuration.settings.state_dir).await?;
    let mut rows = Vec::new();
    for job in &configuration.jobs {
        let next = Timetable::of(job).next_after(now());
        let mut row = StatusRow {
            job: job.name.clone(),
            kind: job.work.kind(),
            applied: None,
            behind: None,
            quarantine: None,
            last: None,
            next,
        };
        if let Some(store) = &store {
            row.applied = store.applied(&job.name).await?;
            row.quarantine = store.quarantined(&job.name).await?;
            row.last = store.last_run(&job.name).await?;
        }
        let seen = row.last.as_ref().and_then(|run| run.revision.clone());
        let applied = row.applied.as_ref().map(|applied| &applied.revision);
        row.behind = seen.filter(|seen| applied.is_some_and(|it| !it.same_commits(seen)));
        rows.push(row);
    }
    print(|to| views::status(to, &page(output, &configuration.settings), &rows))?;
    Ok(0)
}

/// `next`.
pub(super) async fn next(env_file: Option<&Path>, output: Output, next: &Next) -> Result<u8> {
    let count = usize::from(next.count);
    let after = next.after.unwrap_or_else(now);
    // A schedule alone needs no configuration, so that it can be tried out anywhere.
    let slots: Vec<Slot> = if let Some(text) = &next.tried.schedule {
        let default = configuration(env_file).map_or(chrono_tz::UTC, |it| it.settings.timezone);
        let (timetable, reading) = next.tried.read(text, default)?;
        if let Some(warning) = reading.warning {
            let _ = writeln!(std::io::stderr(), "roadstead: {warning}");
        }
        let slots = timetable.upcoming(after, count).into_iter();
        slots.map(|at| Slot { job: None, at, timezone: timetable.timezone() }).collect()
    } else {
        slots_of_jobs(&configuration_with_labels(env_file).await?, next, after, count)?
    };
    let timezone = next.tried.timezone.unwrap_or(chrono_tz::UTC);
    print(|to| views::slots(to, &Page { output, now: now(), timezone }, &slots))?;
    Ok(0)
}

fn slots_of_jobs(
    configuration: &Configuration,
    next: &Next,
    after: chrono::DateTime<chrono::Utc>,
    count: usize,
) -> Result<Vec<Slot>> {
    let jobs = &configuration.jobs;
    let wanted = match &next.job {
        Some(name) => vec![known_job(name, jobs)?],
        None => jobs.iter().collect(),
    };
    let mut slots: Vec<Slot> = wanted
        .into_iter()
        .flat_map(|job| {
            let timezone = next.tried.timezone.unwrap_or(job.timezone);
            let times = Timetable::of(job).upcoming(after, count);
            times.into_iter().map(move |at| Slot { job: Some(job.name.clone()), at, timezone })
        })
        .collect();
    slots.sort_by_key(|slot| slot.at);
    slots.truncate(count);
    Ok(slots)
}

/// `runs`.
pub(super) async fn runs(env_file: Option<&Path>, output: Output, runs: &Runs) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let settings = &configuration.settings;
    let page = page(output, settings);
    let store = Store::open_read_only(&settings.state_dir).await?;
    if let Some(id) = runs.what.as_deref().and_then(run_number) {
        let Some((store, run)) = find_run(store, id).await? else { bail!(no_run(id)) };
        let told = RunDetails {
            steps: store.steps(id).await?,
            transitions: store.transitions(id).await?,
            details: store.details(id).await?,
            run,
        };
        print(|to| super::runs::run(to, &page, &told))?;
        return Ok(0);
    }
    let wanted = runs.what.as_ref().or(runs.job.as_ref());
    let filter = RunFilter {
        job: wanted.cloned(),
        outcomes: words("state", &runs.state, &Outcome::ALL, Outcome::as_str)?,
        triggers: words("trigger", &runs.trigger, &Trigger::ALL, Trigger::as_str)?,
        kinds: words("kind", &runs.kind, &Work::KINDS, |kind| kind)?
            .into_iter()
            .map(str::to_owned)
            .collect(),
        since: runs.since.as_deref().map(|text| time_or_ago("since", text)).transpose()?,
        until: runs.until.as_deref().map(|text| time_or_ago("until", text)).transpose()?,
        limit: runs.limit,
    };
    let found = match &store {
        Some(store) => store.runs(&filter).await?,
        None => Vec::new(),
    };
    // Of a job that is gone history still tells; of one that never was there is nothing to tell.
    if let Some(name) = wanted
        && found.is_empty()
        && !configuration.jobs.iter().any(|job| job.name == *name)
    {
        let known = match &store {
            Some(store) => store.last_run(name).await?.is_some(),
            None => false,
        };
        let jobs = configuration_with_labels(env_file).await?.jobs;
        if !known && !jobs.iter().any(|job| job.name == *name) {
            bail!(Usage(unknown_job(name, &jobs)));
        }
    }
    print(|to| super::runs::runs(to, &page, &found))?;
    Ok(0)
}

/// Values of a closed list, by their words.
fn words<T: Copy>(
    option: &str,
    given: &[String],
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<Vec<T>> {
    let known = || all.iter().map(|it| word(*it));
    let found = given.iter().map(|text| {
        let found = all.iter().copied().find(|it| word(*it) == text);
        found.ok_or_else(|| {
            let hint = nearest(text, known()).map(|near| format!("; did you mean `{near}`?"));
            let all = known().collect::<Vec<_>>().join(", ");
            let hint = hint.unwrap_or_default();
            Usage(format!("`--{option} {text}`: expected one of {all}{hint}"))
        })
    });
    Ok(found.collect::<Result<Vec<T>, Usage>>()?)
}

/// A time, or how long ago it was.
pub(super) fn time_or_ago(option: &str, text: &str) -> Result<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let ago = crate::job::duration::parse(text).ok();
    let ago = ago.and_then(|ago| chrono::TimeDelta::from_std(ago).ok());
    let time = ago.and_then(|ago| now().checked_sub_signed(ago));
    Ok(time.ok_or_else(|| {
        Usage(format!(
            "`--{option} {text}`: expected a time with its offset, as `2026-03-01T00:00:00Z`, or how \
             long ago, as `2h` or `3d`"
        ))
    })?)
}

pub(super) async fn find_run(
    store: Option<Store>,
    id: RunId,
) -> Result<Option<(Store, crate::run::Run)>> {
    let Some(store) = store else { return Ok(None) };
    Ok(store.run(id).await?.map(|run| (store, run)))
}

pub(super) fn run_number(text: &str) -> Option<RunId> {
    text.parse().ok()
}

pub(super) fn no_run(id: RunId) -> Usage {
    Usage(format!("there is no run {id}; `roadstead runs` lists them"))
}
