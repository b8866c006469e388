//! `logs`: the logs of jobs, and the stories of runs.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};

use super::Usage;
use super::arguments::Logs;
use super::inspect::{find_run, no_run, run_number, time_or_ago};
use super::output::{Output, print};
use super::setup::configuration;
use crate::daemon::unknown_job;
use crate::logs::{self, JobLine, RunLine, RunReader, Since};
use crate::run::{Run, RunId};
use crate::store::Store;

/// How often `logs -f` looks whether somebody still reads.
const READER_LOOK: Duration = Duration::from_millis(500);
/// How often `logs -f RUN` looks for more, and for the end of the run.
const RUN_LOOK: Duration = Duration::from_millis(200);
/// Lines of a job's log that are shown where nothing else is asked for.
const LINES: usize = 100;

/// `logs`.
pub(super) async fn logs(env_file: Option<&Path>, output: Output, arguments: &Logs) -> Result<u8> {
    let configuration = configuration(env_file)?;
    let settings = &configuration.settings;
    let dir = &settings.log.dir;
    let since = arguments.since.as_deref().map(|text| time_or_ago("since", text)).transpose()?;
    let wanted = Wanted { output, since, only_output: arguments.output, lines: arguments.lines };
    let (mut jobs, mut runs) = (Vec::new(), Vec::new());
    for what in &arguments.what {
        if let Some(id) = run_number(what) {
            let store = Store::open_read_only(&settings.state_dir).await?;
            let Some(found) = find_run(store, id).await? else { bail!(no_run(id)) };
            runs.push(found);
            continue;
        }
        let is_known = what == logs::MAIN || configuration.jobs.iter().any(|job| job.name == *what);
        if !is_known && !logs::log_path(dir, what).exists() {
            bail!(Usage(unknown_job(what, &configuration.jobs)));
        }
        jobs.push(what.as_str());
    }
    if arguments.what.is_empty() {
        jobs.push(logs::MAIN);
    }
    if arguments.follow && !runs.is_empty() && arguments.what.len() > 1 {
        bail!(Usage("one run is followed at a time: `roadstead logs -f RUN`".to_owned()));
    }
    if !arguments.follow {
        for (_, run) in &runs {
            print_run(dir, run, &wanted)?;
        }
        if !jobs.is_empty() {
            print_jobs(dir, &jobs, &wanted)?;
        }
        return Ok(0);
    }
    let follow = async {
        match runs.pop() {
            Some((store, run)) => follow_run(dir, &store, run, &wanted).await,
            None => follow_jobs(dir, &jobs, &wanted).await,
        }
    };
    tokio::select! {
        followed = follow => match followed {
            Err(error) if is_closed_pipe(&error) => {}
            other => other?,
        },
        () = reader_gone() => {}
    }
    Ok(0)
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    output: Output,
    since: Option<DateTime<Utc>>,
    only_output: bool,
    lines: Option<usize>,
}

impl Wanted {
    /// How many of the last lines are shown at most.
    fn last(&self) -> usize {
        let all = self.since.is_some().then_some(usize::MAX);
        self.lines.or(all).unwrap_or(LINES)
    }

    fn is_wanted(&self, time: Option<DateTime<Utc>>) -> bool {
        self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
    }
}

/// Lines of one job's log pass by; what has no time of its own has that of the line before.
#[derive(Clone, Debug, Default)]
struct Passing {
    time: Option<DateTime<Utc>>,
}

impl Passing {
    /// Whether a line is shown.
    fn shows(&mut self, line: &str, wanted: &Wanted) -> bool {
        let about = JobLine::of(line);
        self.time = about.time.or(self.time);
        wanted.is_wanted(self.time) && (about.is_output || !wanted.only_output)
    }
}

fn print_jobs(dir: &Path, jobs: &[&str], wanted: &Wanted) -> Result<()> {
    let mut found = Vec::new();
    for job in jobs {
        let is_filtered = wanted.since.is_some() || wanted.only_output;
        let look_at = if is_filtered { usize::MAX } else { wanted.last() };
        let mut passing = Passing::default();
        let mut lines = Vec::new();
        for line in logs::tail(dir, job, look_at)? {
            if passing.shows(&line, wanted) {
                lines.push((passing.time, *job, line));
            }
        }
        lines.drain(..lines.len().saturating_sub(wanted.last()));
        found.extend(lines);
    }
    if jobs.len() > 1 {
        // Each log is in order already, and stays so.
        found.sort_by_key(|(time, ..)| *time);
    }
    print(|to| {
        found.iter().try_for_each(|(_, job, line)| {
            let job = Some(*job).filter(|_| jobs.len() > 1);
            writeln!(to, "{}", shape(wanted.output, job, line))
        })
    })?;
    Ok(())
}

async fn follow_jobs(dir: &Path, jobs: &[&str], wanted: &Wanted) -> Result<()> {
    let followed = jobs.iter().map(|job| {
        let label = Some(*job).filter(|_| jobs.len() > 1);
        let mut passing = Passing::default();
        logs::follow(dir, job, Since::Last(wanted.last()), move |line| {
            if !passing.shows(&line, wanted) {
                return ControlFlow::Continue(());
            }
            match say(&shape(wanted.output, label, &line)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
    });
    try_join_all(followed).await?;
    Ok(())
}

/// Prints a run's story: what its job's log says around its output, and the output itself.
fn print_run(dir: &Path, run: &Run, wanted: &Wanted) -> Result<()> {
    let story = Story::of(dir, run)?;
    let mut kept = VecDeque::new();
    let written = print(|to| {
        let mut put = |text: Cow<'_, str>| match wanted.lines {
            // Only the last ones are kept: a run may have written gigabytes.
            Some(lines) => {
                kept.push_back(text.into_owned());
                kept.drain(..kept.len().saturating_sub(lines));
                Ok(())
            }
            None => to.write_all(text.as_bytes()),
        };
        story.before(wanted).try_for_each(&mut put)?;
        if let Some(mut reader) = RunReader::open(dir, &run.job, run.id) {
            reader.read(&mut |line| run_line(run, wanted, line).map_or(Ok(()), &mut put))?;
        }
        story.after(wanted).try_for_each(&mut put)?;
        kept.iter().try_for_each(|text| to.write_all(text.as_bytes()))
    });
    Ok(written?)
}

/// The lines of a run in its job's log, beside its output in a file of its own.
struct Story {
    lines: Vec<String>,
    /// How many come before its output.
    before: usize,
    /// The output is in a file of its own.
    has_file: bool,
}

impl Story {
    fn of(dir: &Path, run: &Run) -> Result<Self> {
        let has_file = logs::run_log_path(dir, &run.job, run.id).exists();
        let mut lines = match logs::run_lines(dir, &run.job, run.id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_file => Vec::new(),
            read => read?,
        };
        let is_output = |line: &String| JobLine::of(line).is_output;
        let before = lines.iter().position(is_output).unwrap_or(lines.len());
        if has_file {
            lines.retain(|line| !is_output(line));
        }
        Ok(Self { lines, before, has_file })
    }

    fn before<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = Cow<'a, str>> {
        self.shown(0..self.before, wanted)
    }

    fn after<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = Cow<'a, str>> {
        self.shown(self.before..self.lines.len(), wanted)
    }

    fn shown<'a>(
        &'a self,
        range: std::ops::Range<usize>,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = Cow<'a, str>> {
        let mut passing = Passing::default();
        let lines = self.lines[range].iter();
        let lines = lines.filter(move |line| passing.shows(line, wanted));
        lines.map(|line| Cow::Owned(format!("{}\n", shape(wanted.output, None, line))))
    }
}

/// A line of a run's file as it is printed, with its end; `None` where it is not wanted.
fn run_line<'a>(run: &Run, wanted: &Wanted, line: &'a str) -> Option<Cow<'a, str>> {
    let parsed = RunLine::parse(line)?;
    if wanted.since.is_some() {
        let time = DateTime::parse_from_rfc3339(parsed.time).ok().map(|time| time.to_utc());
        if !wanted.is_wanted(time) {
            return None;
        }
    }
    let is_note = parsed.stream == "note";
    if wanted.only_output && (is_note || parsed.overwritten) {
        return None;
    }
    if wanted.output.json {
        let mut object = json!({
            "time": parsed.time, "job": run.job, "run": run.id,
            "stream": parsed.stream, "message": parsed.text,
        });
        for (key, holds) in [("goes_on", parsed.goes_on), ("overwritten", parsed.overwritten)] {
            if holds {
                object[key] = true.into();
            }
        }
        return Some(Cow::Owned(format!("{object}\n")));
    }
    let (start, end) = match parsed.stream {
        "err" if wanted.output.color => ("\x1b[31m", "\x1b[0m"),
        "note" if wanted.output.color => ("\x1b[33m", "\x1b[0m"),
        _ => ("", ""),
    };
    Some(Cow::Owned(if wanted.only_output {
        let feed = if parsed.goes_on { "" } else { "\n" };
        format!("{start}{}{end}{feed}", parsed.text)
    } else {
        let (time, mark) = line.split_at(parsed.time.len());
        let (mark, text) = mark[1..].split_once(' ').unwrap_or((mark, ""));
        format!("{time} {mark:<3} | {start}{text}{end}\n")
    }))
}

async fn follow_run(dir: &Path, store: &Store, run: Run, wanted: &Wanted) -> Result<()> {
    let is_over = run.ended.is_some();
    if is_over {
        return print_run(dir, &run, wanted);
    }
    let so_far = Story::of(dir, &run).ok();
    match so_far.filter(|so_far| so_far.has_file) {
        Some(so_far) => follow_file(dir, store, &run, (&so_far, wanted)).await,
        None => follow_story(dir, store, &run, wanted).await,
    }
}

/// Follows the file of a run's output to the end of the run.
async fn follow_file(
    dir: &Path,
    store: &Store,
    run: &Run,
    (so_far, wanted): (&Story, &Wanted),
) -> Result<()> {
    so_far.before(wanted).try_for_each(|text| put(&text))?;
    let mut reader = RunReader::open(dir, &run.job, run.id);
    loop {
        // Asked first: what was written before the end is there after it.
        let is_over = has_ended(store, run.id).await?;
        if is_over {
            tokio::time::sleep(RUN_LOOK).await;
        }
        if let Some(reader) = &mut reader {
            reader.read(&mut |line| run_line(run, wanted, line).map_or(Ok(()), |it| put(&it)))?;
        }
        if is_over {
            // The end itself is told by the job's log.
            let ended = Story::of(dir, run)?;
            let known = so_far.lines.len();
            return Ok(ended
                .shown(known.min(ended.lines.len())..ended.lines.len(), wanted)
                .try_for_each(|text| put(&text))?);
        }
        tokio::time::sleep(RUN_LOOK).await;
    }
}

/// Follows a run that has no file of its own (yet) in the log of its job.
async fn follow_story(dir: &Path, store: &Store, run: &Run, wanted: &Wanted) -> Result<()> {
    let printed = AtomicU64::new(0);
    let mut passing = Passing::default();
    let mut within = false;
    let follow = logs::follow(dir, &run.job, Since::Last(usize::MAX), |line| {
        let about = JobLine::of(&line);
        // Further lines of a message are indented.
        within = about.run == Some(run.id) || (within && line.starts_with("    "));
        if !within || !passing.shows(&line, wanted) {
            return ControlFlow::Continue(());
        }
        printed.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("run {} | ", run.id);
        let text = shape(wanted.output, None, &line);
        let text = text.strip_prefix(&prefix).filter(|_| wanted.only_output).unwrap_or(&text);
        match say(text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let until_it_ended = async {
        while !has_ended(store, run.id).await? {
            tokio::time::sleep(RUN_LOOK).await;
        }
        // The last lines are on their way until none came for a while.
        loop {
            let before = printed.load(Ordering::Relaxed);
            tokio::time::sleep(RUN_LOOK * 5).await;
            if printed.load(Ordering::Relaxed) == before {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        followed = follow => followed?,
        ended = until_it_ended => ended?,
    }
    Ok(())
}

async fn has_ended(store: &Store, run: RunId) -> Result<bool> {
    Ok(store.run(run).await?.is_none_or(|run| run.ended.is_some()))
}

/// A line as it is printed: in JSON one object, also where the log is text; with the job's name where
/// there are several.
fn shape<'a>(output: Output, job: Option<&str>, line: &'a str) -> Cow<'a, str> {
    if !output.json {
        return match job {
            Some(job) => Cow::Owned(format!("{job} | {line}")),
            None => Cow::Borrowed(line),
        };
    }
    let object = serde_json::from_str::<Map<String, Value>>(line);
    if object.is_ok() && job.is_none() {
        return Cow::Borrowed(line);
    }
    let mut object = object.unwrap_or_else(|_| Map::from_iter([("line".to_owned(), json!(line))]));
    if let Some(job) = job {
        object.insert("job".to_owned(), json!(job));
    }
    Cow::Owned(Value::Object(object).to_string())
}

fn say(line: &str) -> io::Result<()> {
    put(&format!("{line}\n"))
}

fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Waits until nobody reads stdout any more; a log may be silent for days before a write says so.
async fn reader_gone() {
    let stdout = io::stdout();
    let at_once = Timespec::default();
    loop {
        tokio::time::sleep(READER_LOOK).await;
        let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
        let answer = poll(&mut asked, Some(&at_once));
        if answer.is_ok() && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
    }
}
