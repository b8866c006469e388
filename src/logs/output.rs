//! What one run's processes write: chunks of bytes in; out come lines in the job's log and in a file of
//! the run.
//!
//! Lines pass through the queue of the logs, whose worker writes both files. A process that writes
//! faster than the disk waits for it; nothing that goes wrong here ends a run: what cannot be written
//! is counted, and said.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::Level;

use crate::logs::layer::Sink;
use crate::logs::line::{Line, Named};
use crate::logs::mask::Secrets;
use crate::logs::runs;
use crate::logs::text::{Part, Splitter, readable};
use crate::logs::{is_file_name, now};
use crate::run::RunId;
use crate::settings::{LogFormat, LogSettings};

/// Bytes taken at once, so that a large chunk makes no large memory.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of text that may wait for the disk before who writes more waits, too.
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// Frames that may wait; the queue has room for those of many runs.
const WAITING_FRAMES: usize = 1024;

/// How long the disk is waited for. One that hangs longer loses lines, which are counted.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the note begins that there is more than is kept.
const FULL: &str = "the rest of the output is counted and left out: ";

/// The output of one try of a run.
#[derive(Debug)]
pub struct Output {
    voice: Voice,
    secrets: Secrets,
    pages: Pages,
}

/// One of those who write into a run's output: what each of its streams wrote since its last line end.
#[derive(Debug, Default)]
pub struct Voice {
    /// What stands before each line, where several speak.
    mark: String,
    streams: Vec<(&'static str, Splitter)>,
    /// How many of the next lines of a stream come again and are in the output already.
    passed_over: BTreeMap<String, u64>,
}

impl Voice {
    /// A voice whose lines begin with a name.
    pub fn of(name: &str) -> Self {
        Self { mark: format!("{name} | "), ..Self::default() }
    }

    /// Passes over so many lines of each stream; see [`super::lines_since`].
    pub fn passing_over(&mut self, lines: BTreeMap<String, u64>) {
        self.passed_over = lines;
    }

    fn index_of(&mut self, stream: &'static str) -> usize {
        let known = self.streams.iter().position(|(name, _)| *name == stream);
        known.unwrap_or_else(|| {
            self.streams.push((stream, Splitter::default()));
            self.streams.len() - 1
        })
    }
}

/// Whether this line is one of those that come again, and counts it.
fn comes_again(left: &mut BTreeMap<String, u64>, stream: &str, part: Part) -> bool {
    match left.get_mut(stream) {
        Some(left @ 1..) if part != Part::State => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// A time, as a value and as the lines of a run's file have it.
struct Moment {
    time: DateTime<Utc>,
    stamp: String,
}

impl Moment {
    fn now() -> Self {
        let time = now();
        Self { time, stamp: runs::stamp(time) }
    }
}

/// A piece with its mark. Others write between the pieces of a long line, so each is a line then.
fn marked<'a>(mark: &str, part: Part, text: Cow<'a, str>) -> (Part, Cow<'a, str>) {
    match part {
        _ if mark.is_empty() => (part, text),
        Part::Whole | Part::Begun => (Part::Whole, format!("{mark}{text}").into()),
        Part::State => (Part::State, format!("{mark}{text}").into()),
    }
}

impl Output {
    /// Opens the output of a try of a run; the settings are those that logging was started with. What an
    /// earlier try wrote stays.
    pub fn open(_settings: &LogSettings, job: &str, run: RunId) -> Self {
        let sink = Sink::current().filter(|_| is_file_name(job));
        let pages = Pages {
            job: job.to_owned(),
            run,
            job_mark: format!("run {run} | "),
            sink,
            limit_bytes: None,
            size_bytes: 0,
            left_out: Count::default(),
            skip: BTreeMap::new(),
            run_text: String::new(),
            job_text: String::new(),
            lines: 0,
            waiting: Waiting::default(),
            lost_lines: 0,
        };
        Self { voice: Voice::default(), secrets: Secrets::default(), pages }
    }

    /// Opens the output of a run that goes on since before a restart of ours: what its processes wrote
    /// since `comes_again` comes again from there, and what the file of the run has of it already is
    /// written to neither file. `None`: nothing comes again.
    ///
    /// Blocks for the disk as long as it takes to read that file once.
    pub fn open_again(
        settings: &LogSettings,
        job: &str,
        run: RunId,
        comes_again: Option<DateTime<Utc>>,
    ) -> Self {
        let mut output = Self::open(settings, job, run);
        if output.pages.sink.is_some() {
            let path = runs::run_log_path(&settings.dir, job, run);
            match runs::look(&path, FULL, comes_again) {
                Ok(found) => {
                    output.pages.skip = found.lines;
                    output.pages.left_out.is_told = found.is_full;
                }
                Err(error) => tracing::warn!(
                    job,
                    run,
                    "what the run wrote before the restart cannot be read and is written again: {error}"
                ),
            }
        }
        output
    }

    /// Puts `***` in place of these values, wherever they are written; see [`super::secrets_of`].
    #[must_use]
    pub fn masking(mut self, secrets: &[String]) -> Self {
        self.secrets = Secrets::new(secrets.iter().cloned());
        self
    }

    /// Writes at most so many bytes ([`crate::job::Keep::run_bytes`]); what comes after is counted.
    #[must_use]
    pub fn limited_to(mut self, limit_bytes: Option<u64>) -> Self {
        self.pages.limit_bytes = limit_bytes;
        self
    }

    /// Takes what a stream (`out`, `err`, `remote`) wrote, cut anywhere.
    ///
    /// Waits for the disk where the lines before wait for it, ten seconds at most.
    pub fn write(&mut self, stream: &'static str, bytes: &[u8]) {
        let mut voice = std::mem::take(&mut self.voice);
        self.write_of(&mut voice, stream, bytes);
        self.voice = voice;
    }

    /// As [`Self::write`], for one of several who write into the output of a run.
    pub fn write_of(&mut self, voice: &mut Voice, stream: &'static str, bytes: &[u8]) {
        let Self { secrets, pages, .. } = self;
        let index = voice.index_of(stream);
        let Voice { mark, streams, passed_over } = voice;
        let splitter = &mut streams[index].1;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let now = Moment::now();
            splitter.take(chunk, now.time, secrets, &mut |part, raw| {
                let (part, text) = marked(mark, part, readable(raw, secrets));
                if !comes_again(passed_over, stream, part) {
                    pages.line(&now, stream, part, &text);
                }
            });
            pages.send();
        }
    }

    /// Writes what a voice has left: the last lines, which have no end.
    pub fn end_of(&mut self, mut voice: Voice) {
        let now = Moment::now();
        let Self { secrets, pages, .. } = self;
        let Voice { mark, streams, passed_over } = &mut voice;
        for (stream, splitter) in streams {
            splitter.finish(&mut |part, raw| {
                let (part, text) = marked(mark, part, readable(raw, secrets));
                if !comes_again(passed_over, stream, part) {
                    pages.line(&now, stream, part, &text);
                }
            });
        }
        pages.send();
    }

    /// Ends the output.
    pub fn finish(mut self) {
        let voice = std::mem::take(&mut self.voice);
        self.end_of(voice);
        self.pages.finish(&Moment::now());
    }
}

/// Where the lines of one run go.
#[derive(Debug)]
struct Pages {
    job: String,
    run: RunId,
    /// What stands before each line in the log of the job.
    job_mark: String,
    sink: Option<Sink>,
    limit_bytes: Option<u64>,
    /// Bytes of the text written so far, also before a restart.
    size_bytes: u64,
    left_out: Count,
    /// How many of the next lines of a stream are in the files already.
    skip: BTreeMap<String, u64>,
    /// Lines for the file of the run, and for the log of the job, that were not sent yet.
    run_text: String,
    job_text: String,
    lines: u64,
    waiting: Waiting,
    /// Lines that were not sent because the disk hangs.
    lost_lines: u64,
}

/// What is left out of a run's output because it is too much.
#[derive(Debug, Default)]
struct Count {
    lines: u64,
    bytes: u64,
    is_told: bool,
}

/// What was sent and may not be written yet.
#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    frames: usize,
    last_frame: u64,
    /// The disk was waited for in vain.
    hangs: bool,
}

impl Pages {
    fn line(&mut self, now: &Moment, stream: &str, part: Part, text: &str) {
        let size_bytes = text.len() as u64 + 1;
        if comes_again(&mut self.skip, stream, part) {
            self.size_bytes += size_bytes;
            return;
        }
        // A state is not written a second time after a restart, so the limit must not count it.
        let counted_bytes = if part == Part::State { 0 } else { size_bytes };
        let grown_bytes = self.size_bytes + counted_bytes;
        if let Some(limit) = self.limit_bytes
            && (self.left_out.is_told || grown_bytes > limit)
        {
            if !self.left_out.is_told {
                self.left_out.is_told = true;
                self.note(now, &format!("{FULL}the job keeps {limit} bytes of a run"));
            }
            self.left_out.lines += 1;
            self.left_out.bytes += size_bytes;
            return;
        }
        self.size_bytes = grown_bytes;
        self.put(now, stream, part, text);
    }

    fn put(&mut self, now: &Moment, stream: &str, part: Part, text: &str) {
        let Some(sink) = &self.sink else { return };
        runs::push_line(&mut self.run_text, &now.stamp, (stream, part), text);
        let goes_on = if part == Part::Begun { "…" } else { "" };
        match sink.form.format {
            LogFormat::Text => {
                for word in [&self.job_mark, text, goes_on, "\n"] {
                    self.job_text.push_str(word);
                }
            }
            LogFormat::Json => {
                let line = Line {
                    time: now.time,
                    level: Level::INFO,
                    job: Some(self.job.clone()),
                    run: Some(self.run),
                    message: format!("{text}{goes_on}"),
                    fields: vec![("stream", json!(stream))],
                };
                self.job_text.push_str(&sink.form.render(&line, Named::No));
            }
        }
        self.lines += 1;
    }

    /// Says something about the output, in both files.
    fn note(&mut self, now: &Moment, text: &str) {
        let Some(sink) = &self.sink else { return };
        self.run_text.push_str(&runs::note(now.time, text));
        let line = Line {
            time: now.time,
            level: Level::WARN,
            job: Some(self.job.clone()),
            run: Some(self.run),
            message: text.to_owned(),
            fields: Vec::new(),
        };
        self.job_text.push_str(&sink.form.render(&line, Named::No));
    }

    /// Sends what there is, once there is room for it.
    fn send(&mut self) {
        if self.run_text.is_empty() {
            return;
        }
        let Some(sink) = self.sink.clone() else { return };
        if !self.has_room(&sink) {
            self.lost_lines += std::mem::take(&mut self.lines);
            self.run_text.clear();
            self.job_text.clear();
            return;
        }
        if self.lost_lines > 0 {
            let lost = std::mem::take(&mut self.lost_lines);
            let (run_text, job_text) =
                (std::mem::take(&mut self.run_text), std::mem::take(&mut self.job_text));
            self.note(
                &Moment::now(),
                &format!("lost {lost} lines: the disk did not take them in time"),
            );
            self.run_text.push_str(&run_text);
            self.job_text.push_str(&job_text);
        }
        self.waiting.bytes += self.run_text.len() + self.job_text.len();
        self.waiting.frames += 2;
        sink.send(&runs::name(&self.job, self.run), &self.run_text);
        self.waiting.last_frame = sink.send(&self.job, &self.job_text);
        self.lines = 0;
        self.run_text.clear();
        self.job_text.clear();
    }

    fn has_room(&mut self, sink: &Sink) -> bool {
        let is_little = self.waiting.bytes < WAITING_BYTES && self.waiting.frames < WAITING_FRAMES;
        if is_little && !self.waiting.hangs {
            return true;
        }
        let last_frame = self.waiting.last_frame;
        let patience = if self.waiting.hangs { Duration::ZERO } else { PATIENCE };
        let wait = || sink.backlog.wait_for(last_frame, patience);
        let is_written = match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            // Others run on while this thread waits.
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            // A command with one run; the worker is a thread of its own.
            _ => wait(),
        };
        self.waiting.hangs = !is_written;
        if is_written {
            (self.waiting.bytes, self.waiting.frames) = (0, 0);
        }
        is_written
    }

    fn finish(&mut self, now: &Moment) {
        if self.left_out.lines > 0 {
            let Count { lines, bytes, .. } = self.left_out;
            self.note(now, &format!("left out {lines} lines of {bytes} bytes"));
        }
        self.send();
        if self.lost_lines > 0 {
            let (job, run, lost) = (&self.job, self.run, self.lost_lines);
            tracing::warn!(job, run, "lost {lost} lines of output: the disk did not take them");
        }
        if let Some(sink) = &self.sink {
            sink.send(&runs::name(&self.job, self.run), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::logs::run_log_path;
    use crate::logs::tests::{Mount, logged, messages, settings, text, wait_until};

    /// The lines of a run's file without their times.
    fn run_lines(dir: &Path, job: &str, run: RunId) -> Vec<String> {
        let text = fs::read_to_string(run_log_path(dir, job, run)).unwrap_or_default();
        // Without a blank in it, a line is torn.
        text.lines().map(|it| it.split_once(' ').map_or(it, |(_, it)| it).to_owned()).collect()
    }

    #[test]
    fn both_streams_are_in_both_files_in_the_order_they_came() {
        let dir = TempDir::new().unwrap();
        let settings = settings(dir.path());
        logged(&settings, |_| {
            tracing::info!(job = "web", run = 7, "before");
            let mut output = Output::open(&settings, "web", 7);
            output.write("out", b"one\ntw");
            output.write("err", b"\x1b[31mthree\x1b[0m\n");
            output.write("out", b"o\n\xff\nfour");
            output.finish();
            tracing::info!(job = "web", run = 7, "after");
        });
        let wanted = ["out one", "err three", "out two", "out \\xff", "out four"];
        assert_eq!(run_lines(dir.path(), "web", 7), wanted);
        let mut job_lines: Vec<String> =
            wanted.iter().map(|line| format!("run 7 | {}", &line[4..])).collect();
        let whole = text(dir.path(), "web");
        let found: Vec<_> = whole.lines().collect();
        assert!(found[0].ends_with("run 7: before") && found[6].ends_with("run 7: after"));
        job_lines.retain(|line| !found.contains(&line.as_str()));
        assert_eq!(job_lines, Vec::<String>::new());
        assert_eq!(found.len(), 7);
        assert_eq!(
            crate::logs::run_tail(dir.path(), "web", 7, 100).unwrap(),
            "one\nthree\ntwo\n\\xff\nfour\n"
        );
        assert_eq!(crate::logs::run_tail(dir.path(), "web", 7, 12).unwrap(), "\\xff\nfour\n");
        assert_eq!(crate::logs::run_tail(dir.path(), "web", 7, 3).unwrap(), "ur\n");
        assert_eq!(crate::logs::run_tail(dir.path(), "web", 8, 100).unwrap(), "");
    }

    #[test]
    fn a_secret_is_in_no_file_however_it_is_cut() {
        let dir = TempDir::new().unwrap();
        let settings = LogSettings { max_size_bytes: 1_000_000, ..settings(dir.path()) };
        logged(&settings, |_| {
            let mut output = Output::open(&settings, "web", 1).masking(&["hunter2".to_owned()]);
            for byte in b"password=hunter2 ok\n" {
                output.write("out", std::slice::from_ref(byte));
            }
            let long = format!("{}hunter2{}", "x".repeat(64 * 1024 - 3), "y".repeat(1000));
            output.write("err", long.as_bytes());
            output.finish();
        });
        let job = text(dir.path(), "web");
        let run = run_lines(dir.path(), "web", 1).join("\n");
        for text in [job, run] {
            assert!(text.contains("password=*** ok") && text.contains('y'), "{text}");
            assert!(!text.contains("hunt") && !text.contains("ter2"), "{text}");
        }
    }

    #[test]
    fn beyond_its_limit_output_is_counted() {
        let dir = TempDir::new().unwrap();
        let settings = settings(dir.path());
        logged(&settings, |_| {
            let mut output = Output::open(&settings, "web", 1).limited_to(Some(30));
            (0..10).for_each(|it| output.write("out", format!("line {it}\n").as_bytes()));
            output.finish();
        });
        let run = run_lines(dir.path(), "web", 1);
        let wanted = [
            "out line 0",
            "out line 1",
            "out line 2",
            "out line 3",
            "note the rest of the output is counted and left out: the job keeps 30 bytes of a run",
            "note left out 6 lines of 42 bytes",
        ];
        assert_eq!(run, wanted);
        assert_eq!(messages(dir.path(), "web").len(), 6);
    }

    /// What a process writes: its streams as they come.
    const STORY: [(&str, &[u8]); 7] = [
        ("out", b"one\n"),
        ("err", b"two\nthr"),
        ("out", b"10%\r20%\rdone\n"),
        ("err", b"ee\n\n"),
        ("out", b"caf\xe9\r\n"),
        ("out", b"\n"),
        ("err", b"last"),
    ];

    #[test]
    fn a_run_taken_up_again_has_no_line_twice() {
        for (limit_bytes, expected_lines) in [(None, 8), (Some(12), 5)] {
            for written_before_the_crash in 0..=STORY.len() {
                for torn in ["", "2026-11-21T05:07:00.000Z out do"] {
                    let dir = TempDir::new().unwrap();
                    let settings = settings(dir.path());
                    logged(&settings, |_| {
                        let mut output = Output::open(&settings, "web", 1).limited_to(limit_bytes);
                        for (stream, bytes) in &STORY[..written_before_the_crash] {
                            output.write(stream, bytes);
                        }
                    });
                    let path = run_log_path(dir.path(), "web", 1);
                    if let Ok(mut text) = fs::read_to_string(&path) {
                        text.push_str(torn);
                        fs::write(&path, text).unwrap();
                    }
                    logged(&settings, |_| {
                        let mut output =
                            Output::open_again(&settings, "web", 1, DateTime::from_timestamp(0, 0))
                                .limited_to(limit_bytes);
                        for (stream, bytes) in &STORY {
                            output.write(stream, bytes);
                        }
                        output.finish();
                    });
                    let lines = run_lines(dir.path(), "web", 1);
                    let what = format!("{written_before_the_crash} {limit_bytes:?} {lines:#?}");
                    let output = lines.iter().filter(|line| !line.starts_with("note")).count();
                    let notes =
                        lines.iter().filter(|line| line.starts_with("note the rest")).count();
                    assert_eq!(notes, usize::from(limit_bytes.is_some()), "{what}");
                    if limit_bytes.is_none() {
                        assert_eq!(output, expected_lines, "{what}");
                        let whole = text(dir.path(), "web");
                        assert_eq!(whole.lines().count(), expected_lines, "{what}");
                    } else {
                        assert!(output <= expected_lines, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_further_try_that_is_taken_up_again_loses_no_line_to_the_one_before() {
        let first: &[u8] = b"one\ntwo\nthree\n";
        // What the second try wrote, and how much of it before the crash.
        let second = b"ONE\nTWO\n10%\rTHREE\nFOUR\n";
        for before in 0..=second.len() {
            let dir = TempDir::new().unwrap();
            let settings = settings(dir.path());
            logged(&settings, |_| {
                let mut output = Output::open(&settings, "web", 1).limited_to(Some(40));
                output.write("out", first);
                output.finish();
            });
            let ended = now();
            wait_until(|| now() > ended + chrono::TimeDelta::milliseconds(2));
            let second_try = now();
            logged(&settings, |_| {
                let mut output = Output::open(&settings, "web", 1).limited_to(Some(40));
                output.write("out", &second[..before]);
            });
            logged(&settings, |_| {
                let output = Output::open_again(&settings, "web", 1, Some(second_try));
                let mut output = output.limited_to(Some(40));
                output.write("out", second);
                output.finish();
            });
            let wanted =
                ["out one", "out two", "out three", "out ONE", "out TWO", "out THREE", "out FOUR"];
            assert_eq!(run_lines(dir.path(), "web", 1), wanted, "{before} bytes before the crash");
        }
    }

    #[test]
    fn voices_have_their_marks_and_no_secret_in_parts() {
        let dir = TempDir::new().unwrap();
        let settings = LogSettings { max_size_bytes: 10_000_000, ..settings(dir.path()) };
        let secret = "hunter2-and-more";
        // The lengths at which a line was or is cut, and those around them.
        let cuts = [16 * 1024, 64 * 1024];
        let fillers = cuts.into_iter().flat_map(|cut| (cut - secret.len() - 9)..(cut + 2));
        logged(&settings, |_| {
            let mut output = Output::open(&settings, "web", 1).masking(&[secret.to_owned()]);
            let (mut one, mut other) = (Voice::of("one"), Voice::of("other"));
            output.write_of(&mut one, "out", b"a");
            output.write_of(&mut other, "out", b"b\nc");
            output.write_of(&mut one, "out", b"d\n");
            for filler in fillers.clone() {
                let line = format!("{}{secret}{}\n", "x".repeat(filler), "y".repeat(70_000));
                line.as_bytes().chunks(4096).for_each(|it| output.write_of(&mut one, "err", it));
            }
            output.end_of(one);
            output.end_of(other);
            output.finish();
        });
        let lines = run_lines(dir.path(), "web", 1);
        assert_eq!(lines[..2], ["out other | b", "out one | ad"]);
        assert_eq!(lines.last().unwrap(), "out other | c");
        let long = &lines[2..lines.len() - 1];
        assert!(long.iter().all(|line| line.starts_with("err one | ")));
        let pieces = ["hunter", "unter2", "nd-more", "-and-"];
        assert!(long.iter().all(|line| pieces.iter().all(|piece| !line.contains(piece))));
        let masked = long.iter().filter(|line| line.contains("***")).count();
        assert_eq!(masked, fillers.count());
    }

    #[test]
    fn output_that_comes_faster_than_the_disk_takes_it_loses_nothing() {
        let dir = TempDir::new().unwrap();
        let settings =
            LogSettings { compress: false, max_size_bytes: 100_000_000, ..settings(dir.path()) };
        let errors = logged(&settings, |_| {
            let mut output = Output::open(&settings, "web", 1);
            for number in 0..40_000 {
                output.write("out", format!("line {number:06}\n").as_bytes());
            }
            output.finish();
        });
        assert_eq!(errors, 0);
        let run = run_lines(dir.path(), "web", 1);
        assert_eq!(run.len(), 40_000);
        assert!(run.iter().zip(0..).all(|(line, at)| *line == format!("out line {at:06}")));
        assert_eq!(text(dir.path(), "web").lines().count(), 40_000);
    }

    #[test]
    fn a_full_disk_is_counted_and_said_later() {
        let dir = TempDir::new().unwrap();
        let disk = Mount::small(dir.path());
        let settings = LogSettings { max_size_bytes: 10_000_000, ..settings(disk.0) };
        let filler = disk.0.join("filler");
        fs::write(&filler, vec![0; 40_000]).unwrap();
        logged(&settings, |errors| {
            let mut output = Output::open(&settings, "web", 1);
            (0..2_000).for_each(|it| output.write("out", format!("line {it:05}\n").as_bytes()));
            wait_until(|| errors.load(std::sync::atomic::Ordering::Relaxed) > 1);
            fs::remove_file(&filler).unwrap();
            wait_until(|| {
                output.write("out", b"again\n");
                run_lines(disk.0, "web", 1).last().is_some_and(|line| line == "out again")
            });
            output.finish();
        });
        let run = run_lines(disk.0, "web", 1);
        let whole = |line: &&String| line.starts_with("out line ") && line.len() == 14;
        let whole = run.iter().filter(whole).count();
        let again = run.iter().filter(|line| *line == "out again").count();
        let lost = run.iter().find_map(|line| line.strip_prefix("note lost ")).unwrap();
        let (lost, why) = lost.split_once(' ').unwrap();
        assert_eq!(why, "lines: disk full");
        assert!(whole < 2_000 && again > 0 && lost.parse::<usize>().unwrap() >= 2_000 - whole);
    }
}
