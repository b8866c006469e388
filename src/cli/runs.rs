//! Runs as a list, and one run with its steps.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::output::{Page, json};
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::text::{both, duration, moment};
use crate::run::{Details, Outcome, Run, StepRecord, Transition};

/// Prints runs as a list, in the order given.
pub fn runs(to: &mut dyn Write, page: &Page, runs: &[Run]) -> io::Result<()> {
    if page.output.json {
        return json(to, &runs);
    }
    let header = ["RUN", "JOB", "TRIGGER", "REVISION", "STARTED", "TOOK", "OUTCOME", "REASON"];
    let mut table = Table::new(&header);
    for run in runs {
        table.row([
            run.id.to_string().into(),
            run.job.as_str().into(),
            run.trigger.as_str().into(),
            run.revision.as_ref().map(ToString::to_string).unwrap_or_default().into(),
            moment(page, run.started).into(),
            took(page, run).into(),
            outcome(run),
            run.reason.map(|reason| reason.to_string()).unwrap_or_default().into(),
        ]);
    }
    table.write(to, page.output, "no runs yet")
}

/// All that is known of one run.
#[derive(Serialize)]
pub struct RunDetails {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// When it came into its states.
    pub transitions: Vec<Transition>,
    /// What it was made of.
    pub details: Option<Details>,
    /// Its steps.
    pub steps: Vec<StepRecord>,
}

/// Prints one run with all that is known of it.
pub fn run(to: &mut dyn Write, page: &Page, told: &RunDetails) -> io::Result<()> {
    if page.output.json {
        return json(to, &told);
    }
    let RunDetails { run, transitions, details, steps } = told;
    let reason = run.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    writeln!(to, "run       {} of {}", run.id, run.job)?;
    writeln!(to, "outcome   {}{reason}", run.outcome)?;
    if !run.message.is_empty() {
        writeln!(to, "message   {}", run.message.trim_end().replace('\n', "\n          "))?;
    }
    if let Some(code) = run.exit_code {
        writeln!(to, "exit code {code}")?;
    }
    if let Some(revision) = &run.revision {
        writeln!(to, "revision  {revision}")?;
    }
    writeln!(to, "trigger   {}", run.trigger)?;
    if let Some(slot) = run.slot {
        writeln!(to, "slot      {}", both(page, slot))?;
    }
    writeln!(to, "started   {}", both(page, run.started))?;
    writeln!(to, "took      {}", took(page, run))?;
    if let [first, rest @ ..] = transitions.as_slice()
        && !rest.is_empty()
    {
        let later = rest.iter().map(|it| format!("{} +{}", it.state, duration(it.at - first.at)));
        let later: Vec<String> = later.collect();
        writeln!(to, "states    {}, {}", first.state, later.join(", "))?;
    }
    if let Some(details) = details {
        write_details(to, details)?;
    }
    if steps.is_empty() {
        return Ok(());
    }
    writeln!(to)?;
    let mut table = Table::new(&["STEP", "TOOK", "RESULT", "WHAT"]);
    for step in steps {
        let took = step.ended.map(|ended| duration(ended - step.started)).unwrap_or_default();
        let number = (step.index + 1).to_string();
        table.row([number.into(), took.into(), result(run, step), step.name.as_str().into()]);
    }
    table.write(to, page.output, "")
}

fn write_details(to: &mut dyn Write, details: &Details) -> io::Result<()> {
    let lines = [
        ("image    ", details.image.clone()),
        ("digest   ", details.digest.clone()),
        ("command  ", (!details.command.is_empty()).then(|| shell_words::join(&details.command))),
        ("variables", (!details.environment.is_empty()).then(|| details.environment.join(" "))),
        ("container", details.container.clone()),
        ("job at   ", details.job_revision.clone()),
        ("results  ", details.results.as_ref().map(ToString::to_string)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            writeln!(to, "{name} {value}")?;
        }
    }
    Ok(())
}

/// A run's outcome with its tone.
pub fn outcome(run: &Run) -> Cell {
    let tone = match run.outcome {
        Outcome::Succeeded | Outcome::Unchanged => Tone::Good,
        Outcome::Queued | Outcome::Starting | Outcome::Running => Tone::Plain,
        Outcome::Degraded | Outcome::Skipped | Outcome::Missed | Outcome::Cancelled => {
            Tone::Warning
        }
        Outcome::Blocked | Outcome::Failed | Outcome::TimedOut | Outcome::Lost => Tone::Bad,
    };
    Cell::toned(run.outcome.as_str(), tone)
}

fn took(page: &Page, run: &Run) -> String {
    match run.ended {
        Some(ended) => duration(ended - run.started),
        None => format!("{} so far", duration(page.now - run.started)),
    }
}

fn result(run: &Run, step: &StepRecord) -> Cell {
    match (&step.error, step.ended) {
        (Some(error), _) => Cell::toned(error.as_str(), Tone::Bad),
        (None, Some(_)) => Cell::toned("done", Tone::Good),
        (None, None) if run.outcome.is_open() => "running".into(),
        (None, None) => Cell::toned("cut off", Tone::Bad),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::cli::output::Output;
    use crate::run::{Reason, Trigger};
    use crate::source::{Commit, Revision, SourceRevision};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_237_620 + second, 0).unwrap()
    }

    fn page(terminal: bool, json: bool) -> Page {
        let output = Output { terminal, json, color: false };
        Page { output, now: at(60), timezone: chrono_tz::UTC }
    }

    fn failed() -> Run {
        Run {
            id: 42,
            job: "web".to_owned(),
            trigger: Trigger::Schedule,
            slot: Some(at(0)),
            started: at(0),
            ended: Some(at(3) + TimeDelta::milliseconds(200)),
            revision: Some(Revision(vec![SourceRevision {
                source: "stack".to_owned(),
                reference: "main".to_owned(),
                commit: Commit("1a2b3c4d5e".to_owned()),
            }])),
            outcome: Outcome::Failed,
            reason: Some(Reason::RolledBack),
            message: "`web` did not become healthy".to_owned(),
            exit_code: None,
        }
    }

    fn running() -> Run {
        Run {
            id: 43,
            ended: None,
            revision: None,
            outcome: Outcome::Running,
            reason: None,
            message: String::new(),
            ..failed()
        }
    }

    fn told() -> RunDetails {
        let transition = |state, second| Transition { state, at: at(second) };
        let transitions = [
            (Outcome::Queued, -2),
            (Outcome::Starting, 0),
            (Outcome::Running, 0),
            (Outcome::Failed, 3),
        ];
        let details = Details {
            image: Some("nginx:2".to_owned()),
            command: ["sh", "-c", "echo it"].map(str::to_owned).to_vec(),
            environment: vec!["WHO".to_owned()],
            ..Details::default()
        };
        RunDetails {
            run: failed(),
            transitions: transitions.map(|(state, second)| transition(state, second)).to_vec(),
            details: Some(details),
            steps: steps().to_vec(),
        }
    }

    fn steps() -> [StepRecord; 2] {
        let step = |index, name: &str, ended, error: Option<&str>| StepRecord {
            index,
            name: name.to_owned(),
            started: at(0),
            ended,
            error: error.map(str::to_owned),
        };
        [
            step(0, "pull image nginx:2", Some(at(2)), None),
            step(1, "start container web-web-1", Some(at(3)), Some("unhealthy")),
        ]
    }

    fn check(wanted: &str, print: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut text = Vec::new();
        print(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }

    #[test]
    fn runs_are_listed() {
        let both = [running(), failed()];
        check(
            "RUN  JOB  TRIGGER   REVISION      STARTED  TOOK        OUTCOME  REASON\n\
             43   web  schedule  -             1 m ago  1 m so far  running  -\n\
             42   web  schedule  main@1a2b3c4  1 m ago  3.2 s       failed   rolled_back\n",
            |to| runs(to, &page(true, false), &both),
        );
        check(
            "RUN\tJOB\tTRIGGER\tREVISION\tSTARTED\tTOOK\tOUTCOME\tREASON\n\
             42\tweb\tschedule\tmain@1a2b3c4\t2026-11-21T05:07:00Z\t3.2 s\tfailed\trolled_back\n",
            |to| runs(to, &page(false, false), &[failed()]),
        );
        check("no runs yet\n", |to| runs(to, &page(true, false), &[]));
        check("[]\n", |to| runs(to, &page(true, true), &[]));
    }

    #[test]
    fn a_run_is_told_with_its_steps() {
        check(
            "run       42 of web\n\
             outcome   failed (rolled_back)\n\
             message   `web` did not become healthy\n\
             revision  main@1a2b3c4\n\
             trigger   schedule\n\
             slot      2026-11-21 05:07:00 UTC (1 m ago)\n\
             started   2026-11-21 05:07:00 UTC (1 m ago)\n\
             took      3.2 s\n\
             states    queued, starting +2.0 s, running +2.0 s, failed +5.0 s\n\
             image     nginx:2\n\
             command   sh -c 'echo it'\n\
             variables WHO\n\
             \n\
             STEP  TOOK   RESULT     WHAT\n\
             1     2.0 s  done       pull image nginx:2\n\
             2     3.0 s  unhealthy  start container web-web-1\n",
            |to| run(to, &page(true, false), &told()),
        );
    }

    #[test]
    fn json_of_a_run_holds_its_steps() {
        let mut text = Vec::new();
        run(&mut text, &page(false, true), &told()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["id"], 42);
        assert_eq!(value["outcome"], "failed");
        assert_eq!(value["started"], "2026-11-21T05:07:00Z");
        assert_eq!(value["steps"][1]["error"], "unhealthy");
        assert_eq!(value["transitions"][1]["state"], "starting");
        assert_eq!(value["details"]["image"], "nginx:2");
    }
}
