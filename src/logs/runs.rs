//! The output of one run in a file of its own, `runs/<job>/<run>.log`, and how long it is kept.
//!
//! Its lines are `TIME STREAM TEXT`: the time is UTC; a stream's name ends in `+` where the line goes on
//! in the next one of the stream, and in `~` where the line was overwritten by a later state of it.
//! `note` is Roadstead's own word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::job::Keep;
use crate::logs::is_file_name;
use crate::logs::text::Part;
use crate::run::RunId;
use crate::settings::LogSettings;

/// Directory below that of the logs.
const DIRECTORY: &str = "runs";

/// Stream of what is not output.
const NOTE: &str = "note";

/// The file of a run's output.
pub fn run_log_path(dir: &Path, job: &str, run: RunId) -> PathBuf {
    dir.join(format!("{}.log", name(job, run)))
}

/// What the worker calls the file of a run's output: its path without the ending.
pub(super) fn name(job: &str, run: RunId) -> String {
    format!("{DIRECTORY}/{job}/{run}")
}

/// True for what [`name`] made.
pub(super) fn is_of_run(name: &str) -> bool {
    name.contains('/')
}

/// A time as the lines of a run's file have it: all of one length, in the order of their texts.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Adds one line of a run's file, with its line feed.
pub(super) fn push_line(to: &mut String, stamp: &str, (stream, part): (&str, Part), text: &str) {
    let mark = match part {
        Part::Whole => " ",
        Part::Begun => "+ ",
        Part::State => "~ ",
    };
    for word in [stamp, " ", stream, mark, text, "\n"] {
        to.push_str(word);
    }
}

/// A line of Roadstead's own in a run's file, with its line feed.
pub(super) fn note(time: DateTime<Utc>, text: &str) -> String {
    let mut line = String::new();
    push_line(&mut line, &stamp(time), (NOTE, Part::Whole), text);
    line
}

/// One line of a run's output, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLine<'a> {
    /// When it came, UTC, RFC 3339 with milliseconds.
    pub time: &'a str,
    /// `out`, `err`, `remote`, or `note` for Roadstead's own words.
    pub stream: &'a str,
    /// What was written.
    pub text: &'a str,
    /// The line goes on in the next one of the stream.
    pub goes_on: bool,
    /// A later state of the line overwrote it.
    pub overwritten: bool,
}

impl<'a> RunLine<'a> {
    /// Reads a line of a run's file.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (time, mark, text) = (words.next()?, words.next()?, words.next()?);
        let stream = mark.trim_end_matches(['+', '~']);
        let (goes_on, overwritten) = (mark.ends_with('+'), mark.ends_with('~'));
        Some(Self { time, stream, text, goes_on, overwritten })
    }
}

/// Reads the file of a run's output from its start on, also while it grows.
#[derive(Debug)]
pub struct RunReader {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The part of a line that is there so far.
    begun: Vec<u8>,
}

impl RunReader {
    /// A reader of a run's file; `None` where there is none.
    pub fn open(dir: &Path, job: &str, run: RunId) -> Option<Self> {
        let path = run_log_path(dir, job, run);
        path.exists().then(|| Self { path, file: None, begun: Vec::new() })
    }

    /// Hands the lines that came since the last call to `sink`, one by one.
    ///
    /// # Errors
    ///
    /// Those of the file and of `sink`. A file that is gone has no more lines.
    pub fn read(&mut self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                opened => self.file.insert(BufReader::new(opened?)),
            },
        };
        while file.read_until(b'\n', &mut self.begun)? > 0 && self.begun.ends_with(b"\n") {
            sink(String::from_utf8_lossy(&self.begun).trim_end_matches('\n'))?;
            self.begun.clear();
        }
        Ok(())
    }
}

/// What a run's file held when its run was taken up again.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Lines of each stream since the time that was asked for, without states.
    pub(super) lines: BTreeMap<String, u64>,
    /// The note that the rest is left out is there.
    pub(super) is_full: bool,
}

/// Counts the lines of each stream that a part of a run wrote since `since`: one whose lines begin with
/// `mark | `.
///
/// Blocks for the disk as long as it takes to read the run's file once.
///
/// # Errors
///
/// When it cannot be read.
pub fn lines_since(
    dir: &Path,
    (job, run): (&str, RunId),
    mark: &str,
    since: DateTime<Utc>,
) -> io::Result<BTreeMap<String, u64>> {
    let mut lines = BTreeMap::new();
    let Some(mut reader) = RunReader::open(dir, job, run) else { return Ok(lines) };
    let since = stamp(since);
    reader.read(&mut |line| {
        let line = RunLine::parse(line).filter(|line| {
            let said = line.text.strip_prefix(mark).is_some_and(|rest| rest.starts_with(" | "));
            said && line.time >= since.as_str() && !line.overwritten && line.stream != NOTE
        });
        if let Some(line) = line {
            *lines.entry(line.stream.to_owned()).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(lines)
}

/// Counts what a run's file holds since a time, `None` for nothing; a torn last line is taken off.
pub(super) fn look(path: &Path, full: &str, since: Option<DateTime<Utc>>) -> io::Result<Found> {
    let since = since.map(stamp);
    let mut found = Found::default();
    let mut file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        opened => opened?,
    };
    let (mut whole_bytes, mut line) = (0, Vec::new());
    let mut reader = BufReader::new(&mut file);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            break;
        }
        whole_bytes += read as u64;
        let text = String::from_utf8_lossy(&line);
        let Some(line) = RunLine::parse(text.trim_end_matches('\n')) else { continue };
        if line.stream == NOTE {
            found.is_full |= line.text.starts_with(full);
        } else if !line.overwritten && since.as_deref().is_some_and(|since| line.time >= since) {
            *found.lines.entry(line.stream.to_owned()).or_default() += 1;
        }
    }
    if file.metadata()?.len() > whole_bytes {
        file.set_len(whole_bytes)?;
    }
    Ok(found)
}

/// The end of a run's output as its processes wrote it, at most so many bytes, from the start of a line
/// on; empty where the run wrote nothing.
///
/// Blocks for the disk. What was written in the last moment may still wait for it: see
/// [`super::settled`].
pub fn run_tail(dir: &Path, job: &str, run: RunId, max_bytes: usize) -> io::Result<String> {
    if !is_file_name(job) {
        return Ok(String::new());
    }
    let mut file = match File::open(run_log_path(dir, job, run)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    // Times and names of streams take their part of what is read.
    let wanted = (max_bytes as u64).saturating_mul(2).saturating_add(4096);
    let start = file.metadata()?.len().saturating_sub(wanted);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    let mut size_bytes = 0;
    for line in text.lines().skip(usize::from(start > 0)).collect::<Vec<_>>().into_iter().rev() {
        let Some(line) = RunLine::parse(line).filter(|line| !line.overwritten) else { continue };
        let feed = usize::from(!line.goes_on);
        let room = max_bytes.saturating_sub(size_bytes + feed);
        if line.text.len() > room {
            if lines.is_empty() {
                // One line longer than all that is wanted: its end.
                let from = (line.text.len() - room..=line.text.len())
                    .find(|at| line.text.is_char_boundary(*at));
                lines.push((&line.text[from.unwrap_or(line.text.len())..], feed));
            }
            break;
        }
        size_bytes += line.text.len() + feed;
        lines.push((line.text, feed));
    }
    let mut tail = String::with_capacity(size_bytes);
    for (text, feed) in lines.into_iter().rev() {
        tail.push_str(text);
        tail.push_str(&"\n"[..feed]);
    }
    Ok(tail)
}

/// The file of one run's output, as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The run.
    pub run: RunId,
    /// Size of its file.
    pub size_bytes: u64,
    /// When it was written last.
    pub written: DateTime<Utc>,
}

/// Which runs of a job lose their file. Those that go on never do, and the newest one only by its age
/// or when none is to be kept; of the others the oldest go first.
pub fn outdated(
    files: &[RunFile],
    keep: &Keep,
    now: DateTime<Utc>,
    going_on: &BTreeSet<RunId>,
) -> Vec<RunId> {
    let mut newest_first: Vec<_> = files.iter().collect();
    newest_first.sort_by_key(|file| std::cmp::Reverse(file.run));
    let mut size_bytes: u64 = 0;
    let mut is_over = false;
    let mut gone = Vec::new();
    for (index, file) in newest_first.into_iter().enumerate() {
        size_bytes = size_bytes.saturating_add(file.size_bytes);
        let is_old = keep.age.is_some_and(|age| {
            (now - file.written).to_std().is_ok_and(|written_ago| written_ago > age)
        });
        is_over |= index > 0 && keep.bytes.is_some_and(|limit| size_bytes > limit);
        if (index >= keep.runs || is_old || is_over) && !going_on.contains(&file.run) {
            gone.push(file.run);
        }
    }
    gone
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files removed.
    pub files: usize,
    /// Their bytes.
    pub size_bytes: u64,
}

/// Removes the files of runs that are no longer kept. `keeps` has the limits of each job; jobs that are
/// gone, and limits that a job does not set, are as of [`Keep::default`], and all files of a job
/// together take no more than its log may, where it says nothing else.
///
/// Blocks for the disk; files that cannot be removed are left for the next sweep.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn sweep(
    settings: &LogSettings,
    keeps: &BTreeMap<String, Keep>,
    going_on: &BTreeSet<RunId>,
    now: DateTime<Utc>,
) -> io::Result<Swept> {
    let mut swept = Swept::default();
    let directory = settings.dir.join(DIRECTORY);
    let jobs = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(swept),
        read => read?,
    };
    let of_a_log = (settings.max_size_bytes as u64).saturating_mul(settings.keep as u64 + 1);
    for job in jobs {
        let job = job?;
        let mut keep = keeps.get(&*job.file_name().to_string_lossy()).cloned().unwrap_or_default();
        keep.bytes.get_or_insert(of_a_log);
        let Ok(files) = files_of(&job.path()) else { continue };
        let count = files.len();
        let gone = outdated(&files, &keep, now, going_on);
        let mut removed = 0;
        for run in &gone {
            if fs::remove_file(job.path().join(format!("{run}.log"))).is_ok() {
                removed += 1;
                let file = files.iter().find(|file| file.run == *run);
                swept.size_bytes += file.map_or(0, |file| file.size_bytes);
            }
        }
        swept.files += removed;
        if removed == count {
            // Only works where it is empty.
            let _ = fs::remove_dir(job.path());
        }
    }
    Ok(swept)
}

fn files_of(directory: &Path) -> io::Result<Vec<RunFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        // One that is gone meanwhile needs no decision.
        let (Some(run), Ok(metadata)) = (run, entry.metadata()) else { continue };
        let written = metadata.modified()?.into();
        files.push(RunFile { run, size_bytes: metadata.len(), written });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_237_620, 0).unwrap()
    }

    #[test]
    fn the_oldest_runs_go_first_and_those_that_go_on_stay() {
        // Run 1 is nine days old and has 100 bytes, run 9 one day and 900.
        let files: Vec<_> = (1..=9)
            .map(|run| RunFile {
                run,
                size_bytes: 100 * u64::try_from(run).unwrap(),
                written: now() - DAY * u32::try_from(10 - run).unwrap(),
            })
            .collect();
        let all = Keep::default();
        let rows: &[(&str, Keep, &[RunId], &[RunId])] = &[
            ("no limits", all.clone(), &[], &[]),
            ("count", Keep { runs: 3, ..all.clone() }, &[], &[6, 5, 4, 3, 2, 1]),
            ("count, one goes on", Keep { runs: 3, ..all.clone() }, &[2], &[6, 5, 4, 3, 1]),
            ("none", Keep { runs: 0, ..all.clone() }, &[9], &[8, 7, 6, 5, 4, 3, 2, 1]),
            ("age", Keep { age: Some(DAY * 7), ..all.clone() }, &[], &[2, 1]),
            (
                "age of all",
                Keep { age: Some(DAY / 2), ..all.clone() },
                &[7],
                &[9, 8, 6, 5, 4, 3, 2, 1],
            ),
            ("bytes", Keep { bytes: Some(2_400), ..all.clone() }, &[], &[6, 5, 4, 3, 2, 1]),
            (
                "bytes, small ones after a large one",
                Keep { bytes: Some(1_750), ..all.clone() },
                &[],
                &[7, 6, 5, 4, 3, 2, 1],
            ),
            (
                "bytes, the newest stays",
                Keep { bytes: Some(10), ..all.clone() },
                &[],
                &[8, 7, 6, 5, 4, 3, 2, 1],
            ),
            (
                "all of it",
                Keep { runs: 8, age: Some(DAY * 7), bytes: Some(4_400), run_bytes: None },
                &[1],
                &[2],
            ),
        ];
        for (what, keep, going_on, expected) in rows {
            let going_on = going_on.iter().copied().collect();
            assert_eq!(outdated(&files, keep, now(), &going_on), *expected, "{what}");
        }
    }

    #[test]
    fn lines_are_read_back_as_they_were_written() {
        let rows = [
            ("out", Part::Whole, "hello  world", false, false),
            ("err", Part::Begun, "", true, false),
            ("remote", Part::State, "10 %", false, true),
        ];
        for (stream, part, text, goes_on, overwritten) in rows {
            let mut written = String::new();
            push_line(&mut written, &stamp(now()), (stream, part), text);
            let expected =
                RunLine { time: "2026-11-21T05:07:00.000Z", stream, text, goes_on, overwritten };
            assert_eq!(RunLine::parse(written.trim_end_matches('\n')), Some(expected));
        }
        assert_eq!(RunLine::parse("torn"), None);
    }
}
