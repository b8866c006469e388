//! Jobs, their status, and coming slots as lists.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use crate::cli::output::{Page, json};
use crate::cli::runs::outcome;
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::text::{instant, moment};
use crate::job::Job;
use crate::run::{Outcome, Run};
use crate::source::Revision;
use crate::store::{Applied, Pause, Quarantine};

/// One job in the list of jobs.
#[derive(Clone, Debug, Serialize)]
pub struct JobRow {
    /// Name of the job.
    pub name: String,
    /// What it does: `deploy` or `run`.
    pub kind: &'static str,
    /// Its schedule as written.
    pub schedule: String,
    /// Time zone of the schedule.
    pub timezone: String,
    /// Where it was read from.
    pub origin: String,
    /// Its next slot.
    pub next: Option<DateTime<Utc>>,
    /// Its newest run, or slot that had none.
    pub last: Option<Run>,
    /// `paused`, `running`, `queued`, or `waiting` for its next slot or event.
    pub state: &'static str,
    /// Since when it is paused, and why.
    pub paused: Option<Pause>,
}

impl JobRow {
    /// The row of a job.
    pub fn new(
        job: &Job,
        next: Option<DateTime<Utc>>,
        last: Option<Run>,
        paused: Option<Pause>,
    ) -> Self {
        let state = match (&paused, last.as_ref().map(|run| run.outcome)) {
            (_, Some(Outcome::Starting | Outcome::Running)) => "running",
            (_, Some(Outcome::Queued)) => "queued",
            (Some(_), _) => "paused",
            (None, _) => "waiting",
        };
        Self {
            name: job.name.clone(),
            kind: job.work.kind(),
            schedule: job.schedule.to_string(),
            timezone: job.timezone.name().to_owned(),
            origin: job.origin.to_string(),
            next: next.filter(|_| paused.is_none()),
            last,
            state,
            paused,
        }
    }
}

/// How one job stands.
#[derive(Clone, Debug, Serialize)]
pub struct StatusRow {
    /// Name of the job.
    pub job: String,
    /// What it does: `deploy` or `run`.
    pub kind: &'static str,
    /// What its project is known to run.
    pub applied: Option<Applied>,
    /// The newer revision that waits, where one is known.
    pub behind: Option<Revision>,
    /// The revision that failed and is not tried again by itself.
    pub quarantine: Option<Quarantine>,
    /// Its newest run.
    pub last: Option<Run>,
    /// Its next slot.
    pub next: Option<DateTime<Utc>>,
}

/// One coming slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name of the job; `None` where a schedule alone was asked about.
    pub job: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// Time zone of the schedule.
    pub timezone: Tz,
}

/// Without a job it is just its time, with the offset of the schedule's time zone.
impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct OfJob<'a> {
            job: &'a str,
            at: String,
        }
        let at = self.at.with_timezone(&self.timezone).to_rfc3339_opts(SecondsFormat::Secs, true);
        match &self.job {
            Some(job) => OfJob { job, at }.serialize(serializer),
            None => at.serialize(serializer),
        }
    }
}

/// Prints jobs as a list, and where all are paused, a line that says so.
pub fn jobs(
    to: &mut dyn Write,
    page: &Page,
    jobs: &[JobRow],
    paused: Option<&Pause>,
) -> io::Result<()> {
    if page.output.json {
        return json(to, &jobs);
    }
    let header = ["JOB", "KIND", "SCHEDULE", "TIMEZONE", "STATE", "NEXT", "LAST", "OUTCOME"];
    let mut table = Table::new(&header);
    for job in jobs {
        table.row([
            job.name.as_str().into(),
            job.kind.into(),
            job.schedule.as_str().into(),
            job.timezone.as_str().into(),
            standing(job),
            optional(page, job.next),
            optional(page, job.last.as_ref().map(|run| run.started)),
            job.last.as_ref().map(outcome).unwrap_or_default(),
        ]);
    }
    table.write(to, page.output, "no jobs: see `roadstead check`")?;
    let Some(paused) = paused.filter(|_| page.output.terminal) else { return Ok(()) };
    let why = if paused.reason.is_empty() { "" } else { ": " };
    let since = moment(page, paused.since);
    writeln!(
        to,
        "\nall jobs are paused since {since}, also those that come later{why}{}\n  `roadstead resume \
         --all` ends that",
        paused.reason
    )
}

/// Prints how each job stands; what a person must act on follows the list.
pub fn status(to: &mut dyn Write, page: &Page, rows: &[StatusRow]) -> io::Result<()> {
    if page.output.json {
        return json(to, &rows);
    }
    let mut table = Table::new(&["JOB", "STATE", "APPLIED", "SINCE", "LAST", "OUTCOME", "NEXT"]);
    for row in rows {
        let applied = row.applied.as_ref();
        table.row([
            row.job.as_str().into(),
            state(row),
            applied.map(|applied| applied.revision.to_string()).unwrap_or_default().into(),
            optional(page, applied.map(|applied| applied.at)),
            optional(page, row.last.as_ref().map(|run| run.started)),
            row.last.as_ref().map(outcome).unwrap_or_default(),
            optional(page, row.next),
        ]);
    }
    table.write(to, page.output, "no jobs: see `roadstead check`")?;
    if !page.output.terminal {
        return Ok(());
    }
    let quarantined = |row: &StatusRow| {
        let held = row.quarantine.as_ref()?;
        let (job, revision, run) = (&row.job, &held.revision, held.run);
        let text =
            format!("{job}: {revision} failed in run {run} ({}): {}", held.reason, held.message);
        Some(format!(
            "{text}\n  a newer revision is tried by itself; `roadstead run {job}` tries this one again"
        ))
    };
    for note in rows.iter().filter_map(quarantined) {
        writeln!(to, "\n{note}")?;
    }
    Ok(())
}

/// Prints coming slots.
pub fn slots(to: &mut dyn Write, page: &Page, slots: &[Slot]) -> io::Result<()> {
    if page.output.json {
        return json(to, &slots);
    }
    let named = slots.iter().any(|slot| slot.job.is_some());
    // How far off a slot is, is for people only.
    let all = ["JOB", "SLOT", "WHEN"];
    let terminal = page.output.terminal;
    let mut table = Table::new(&all[usize::from(!named)..2 + usize::from(terminal)]);
    for slot in slots {
        let local = Page { timezone: slot.timezone, ..*page };
        let job = slot.job.clone().map(Cell::from);
        let when = terminal.then(|| moment(page, slot.at).into());
        table.row(job.into_iter().chain([instant(&local, slot.at).into()]).chain(when));
    }
    table.write(to, page.output, "no slot comes")
}

fn optional(page: &Page, time: Option<DateTime<Utc>>) -> Cell {
    time.map(|time| moment(page, time)).unwrap_or_default().into()
}

fn standing(job: &JobRow) -> Cell {
    let tone = if job.paused.is_some() { Tone::Warning } else { Tone::Plain };
    Cell::toned(job.state, tone)
}

fn state(row: &StatusRow) -> Cell {
    match (&row.quarantine, &row.behind, &row.applied) {
        (Some(held), _, _) => Cell::toned(format!("quarantined {}", held.revision), Tone::Bad),
        (None, Some(newer), _) => Cell::toned(format!("behind {newer}"), Tone::Warning),
        (None, None, Some(_)) => Cell::toned("applied", Tone::Good),
        (None, None, None) => Cell::default(),
    }
}

#[cfg(test)]
mod tests {

    use chrono::TimeDelta;

    use super::*;
    use crate::cli::output::Output;
    use crate::run::{Reason, Trigger};
    use crate::source::{Commit, SourceRevision};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_237_620, 0).unwrap()
    }

    fn page(terminal: bool, json: bool) -> Page {
        let output = Output { terminal, json, color: false };
        Page { output, now: now(), timezone: chrono_tz::UTC }
    }

    fn revision(commit: &str) -> Revision {
        Revision(vec![SourceRevision {
            source: "stack".to_owned(),
            reference: "main".to_owned(),
            commit: Commit(commit.to_owned()),
        }])
    }

    fn last() -> Run {
        Run {
            id: 7,
            job: "web".to_owned(),
            trigger: Trigger::Manual,
            slot: None,
            started: now() - TimeDelta::minutes(5),
            ended: Some(now()),
            revision: None,
            outcome: Outcome::Unchanged,
            reason: Some(Reason::Converged),
            message: String::new(),
            exit_code: None,
        }
    }

    fn check(wanted: &str, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut text = Vec::new();
        print(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }

    #[test]
    fn jobs_are_listed() {
        let row = JobRow {
            name: "web".to_owned(),
            kind: "deploy",
            schedule: "*/5 * * * *".to_owned(),
            timezone: "UTC".to_owned(),
            origin: "jobs/web.yml:3".to_owned(),
            next: Some(now() + TimeDelta::minutes(3)),
            last: Some(last()),
            state: "waiting",
            paused: None,
        };
        let since = now() - TimeDelta::hours(2);
        let pause = Pause { since, reason: "by hand".to_owned() };
        let fresh = JobRow {
            name: "new".to_owned(),
            next: None,
            last: None,
            state: "paused",
            paused: Some(pause),
            ..row.clone()
        };
        check(
            "JOB  KIND    SCHEDULE     TIMEZONE  STATE    NEXT    LAST     OUTCOME\n\
             web  deploy  */5 * * * *  UTC       waiting  in 3 m  5 m ago  unchanged\n\
             new  deploy  */5 * * * *  UTC       paused   -       -        -\n",
            |to| jobs(to, &page(true, false), &[row, fresh.clone()], None),
        );
        let pause = fresh.paused.clone();
        check(
            "JOB  KIND    SCHEDULE     TIMEZONE  STATE   NEXT  LAST  OUTCOME\n\
             new  deploy  */5 * * * *  UTC       paused  -     -     -\n\n\
             all jobs are paused since 2 h ago, also those that come later: by hand\n  \
             `roadstead resume --all` ends that\n",
            |to| jobs(to, &page(true, false), &[fresh], pause.as_ref()),
        );
    }

    #[test]
    fn status_says_what_to_act_on() {
        let at = now() - TimeDelta::hours(2);
        let applied =
            Applied { project: "stack".to_owned(), revision: revision("1a2b3c4d"), run: 3, at };
        let quarantine = Quarantine {
            revision: revision("9f8e7d6c"),
            run: 6,
            reason: Reason::RolledBack,
            message: "`web` did not become healthy".to_owned(),
            since: now(),
        };
        let good = StatusRow {
            job: "web".to_owned(),
            kind: "deploy",
            applied: Some(applied),
            behind: None,
            quarantine: None,
            last: Some(last()),
            next: None,
        };
        let behind = StatusRow { behind: Some(revision("9f8e7d6c")), ..good.clone() };
        let held = StatusRow { quarantine: Some(quarantine), ..behind.clone() };
        check(
            "JOB  STATE                     APPLIED       SINCE    LAST     OUTCOME    NEXT\n\
             web  applied                   main@1a2b3c4  2 h ago  5 m ago  unchanged  -\n\
             web  behind main@9f8e7d6       main@1a2b3c4  2 h ago  5 m ago  unchanged  -\n\
             web  quarantined main@9f8e7d6  main@1a2b3c4  2 h ago  5 m ago  unchanged  -\n\
             \n\
             web: main@9f8e7d6 failed in run 6 (rolled_back): `web` did not become healthy\n  \
             a newer revision is tried by itself; `roadstead run web` tries this one again\n",
            |to| status(to, &page(true, false), &[good, behind, held]),
        );
    }

    #[test]
    fn slots_keep_the_offset_of_their_schedule() {
        let timezone = chrono_tz::America::Toronto;
        let slot = Slot { job: None, at: now(), timezone };
        let of_job = Slot { job: Some("web".to_owned()), ..slot.clone() };
        check("[\n  \"2026-11-21T00:07:00-05:00\"\n]\n", |to| {
            slots(to, &page(false, true), std::slice::from_ref(&slot))
        });
        check("SLOT                       WHEN\n2026-11-21T00:07:00-05:00  now\n", |to| {
            slots(to, &page(true, false), std::slice::from_ref(&slot))
        });
        check(
            "[\n  {\n    \"job\": \"web\",\n    \"at\": \"2026-11-21T00:07:00-05:00\"\n  }\n]\n",
            |to| slots(to, &page(false, true), &[of_job]),
        );
    }
}
