//! Which log files are rotated, and by which steps.
//!
//! Names are logrotate's: `x.log.1` is the newest, `x.log.2.gz` the one before. Each step gives a file a
//! name that is free, so that a crash between two steps loses nothing, and the next run, which looks
//! anew, goes on: numbers are moved up only as far as the first that is free.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Entry, Kind, bytes_text};
use crate::job::work::{Compression, Rotate, RotateMethod};
use crate::source::counted;

/// The end of the name of a file that is not complete yet.
pub const PART: &str = ".roadstead-part";

/// How much too early a rotation by time may come: a job's own slots are no more exact.
const SLACK: Duration = Duration::from_hours(1);

/// What is known of a file that a job rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// When it was rotated last; when it was seen first, where it was not rotated yet.
    pub rotated: DateTime<Utc>,
    /// A rotation was begun, and its writer was not told of it: it may still write to the renamed file.
    pub is_open: bool,
}

/// A directory with log files.
#[derive(Clone, Debug)]
pub struct Look {
    /// The directory.
    pub directory: PathBuf,
    /// All that is in it.
    pub entries: Vec<Entry>,
    /// The names that are asked for.
    pub wanted: BTreeSet<OsString>,
    /// The names of logs that Roadstead writes and rotates itself.
    pub ours: BTreeSet<OsString>,
}

/// One step with names of one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Removes a rotated file that is too many or too old.
    Remove(String),
    /// Gives a file a name that is free.
    Rename(String, String),
    /// Makes the file anew, as the other one is.
    Create(String, String),
    /// Copies a file to a name that is free, and cuts it to nothing.
    CopyTruncate(String, String),
    /// Packs a file into a name that is free, and removes it.
    Compress(String, String),
}

/// Why a file is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is as large as `size`.
    Size,
    /// Its last rotation is `every` ago.
    Age,
    /// A rotation of it was cut off before its writer was told.
    CutOff,
    /// It is not rotated; what was rotated before is packed or removed.
    Leftovers,
}

/// What is done with one log file and those rotated of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogPlan {
    /// Its directory.
    pub directory: PathBuf,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: Why,
    /// Its bytes.
    pub size: u64,
    /// Steps before the writer is told, in order.
    pub steps: Vec<Step>,
    /// Steps after that.
    pub after: Vec<Step>,
}

impl LogPlan {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Whether its writer has to be told.
    pub fn concerns_writer(&self) -> bool {
        !matches!(self.why, Why::Leftovers)
    }
}

/// What is done with all log files of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RotatePlan {
    /// Those with something to do.
    pub logs: Vec<LogPlan>,
    /// Files that are asked for and left alone, and why.
    pub left: Vec<(PathBuf, &'static str)>,
    /// Whether a signal is sent.
    pub signal: bool,
    /// How many log files were looked at.
    pub looked_at: usize,
    /// Files seen for the first time.
    #[serde(skip)]
    pub new: Vec<PathBuf>,
    /// Files that were known and are not there any more.
    #[serde(skip)]
    pub gone: Vec<PathBuf>,
}

impl RotatePlan {
    /// One sentence.
    pub fn summary(&self) -> String {
        let rotated = self.logs.iter().filter(|it| matches!(it.why, Why::Size | Why::Age)).count();
        let looked_at = counted(self.looked_at, "file");
        if self.logs.is_empty() {
            return format!("nothing to do with {looked_at}");
        }
        format!("{rotated} of {looked_at} to rotate")
    }

    /// One line a step.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for log in &self.logs {
            let why = match log.why {
                Why::Size => "large enough",
                Why::Age => "old enough",
                Why::CutOff => "its rotation was cut off",
                Why::Leftovers => "not rotated now",
            };
            let path = log.path();
            lines.push(format!("{} ({}): {why}", path.display(), bytes_text(log.size)));
            lines.extend(
                log.steps.iter().chain(&log.after).map(|step| format!("  {}", step.text())),
            );
        }
        if self.signal {
            lines.push("signal the writer".to_owned());
        }
        let left = |(path, why): &(PathBuf, &str)| format!("leave {}: {why}", path.display());
        lines.extend(self.left.iter().map(left));
        lines
    }
}

impl Step {
    /// The step for people.
    pub fn text(&self) -> String {
        match self {
            Self::Remove(name) => format!("remove {name}"),
            Self::Rename(from, to) => format!("rename {from} to {to}"),
            Self::Create(name, _) => format!("create {name}"),
            Self::CopyTruncate(from, to) => format!("copy {from} to {to}, then truncate {from}"),
            Self::Compress(from, to) => format!("compress {from} to {to}"),
        }
    }
}

/// Decides what is done with the log files of these directories.
pub fn plan(
    options: &Rotate,
    looks: &[Look],
    known: &BTreeMap<PathBuf, Rotation>,
    now: DateTime<Utc>,
) -> RotatePlan {
    let mut plan = RotatePlan::default();
    let mut seen = BTreeSet::new();
    for look in looks {
        let open = known.iter().filter(|(path, it)| it.is_open && is_in(path, &look.directory));
        let open = open.filter_map(|(path, _)| path.file_name().map(OsStr::to_owned));
        let logs: BTreeSet<OsString> = look.wanted.iter().cloned().chain(open).collect();
        for name in logs.iter().filter(|name| !is_of_rotation(name)) {
            let path = look.directory.join(name);
            let entry = look.entries.iter().find(|entry| entry.name == *name);
            let Some(text) = name.to_str() else {
                plan.left.push((path, "its name is no text"));
                continue;
            };
            if let Some(why) = entry.and_then(|entry| refusal(entry, &look.ours)) {
                plan.left.push((path, why));
                continue;
            }
            seen.insert(path.clone());
            plan.looked_at += 1;
            let rotation = known.get(&path).copied();
            if rotation.is_none() {
                plan.new.push(path);
            }
            let one = Log { options, look, name: text, entry, rotation, now };
            plan.logs.extend(one.plan());
        }
    }
    plan.signal = options.signal.is_some() && plan.logs.iter().any(LogPlan::concerns_writer);
    let gone = known.keys().filter(|path| !seen.contains(*path));
    plan.gone = gone.cloned().collect();
    plan
}

fn is_in(path: &Path, directory: &Path) -> bool {
    path.parent() == Some(directory)
}

/// Why a file is not rotated, whatever it holds.
fn refusal(entry: &Entry, ours: &BTreeSet<OsString>) -> Option<&'static str> {
    match entry.kind {
        Kind::Link => return Some("it is a symbolic link: name the file it leads to"),
        Kind::Directory | Kind::Mount | Kind::Other => return Some("it is no plain file"),
        Kind::File => {}
    }
    if ours.contains(&entry.name) {
        return Some("it is a log of Roadstead's own, which rotates it itself (AUTODEPLOY_LOG_…)");
    }
    (entry.names > 1).then_some("it has several names (hard links)")
}

/// Whether a name is one that a rotation makes, or a packed file: no log that somebody writes.
fn is_of_rotation(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let packed = |suffix: &str| name.ends_with(suffix.as_bytes());
    if packed(".gz") || packed(".zst") || packed(PART) {
        return true;
    }
    let digits = name.iter().rev().take_while(|letter| letter.is_ascii_digit()).count();
    digits > 0 && name.len() > digits + 1 && name[name.len() - digits - 1] == b'.'
}

/// One log file, with all that is known of it.
struct Log<'a> {
    options: &'a Rotate,
    look: &'a Look,
    name: &'a str,
    /// `None` where it is not there.
    entry: Option<&'a Entry>,
    rotation: Option<Rotation>,
    now: DateTime<Utc>,
}

/// The rotated files of a log by number: end of the name after it, and when it was written.
type Rotated = BTreeMap<u32, BTreeMap<&'static str, DateTime<Utc>>>;

impl Log<'_> {
    fn plan(&self) -> Option<LogPlan> {
        let mut rotated = self.rotated();
        let mut steps = self.unfinished_parts();
        let is_cut_off = self.rotation.is_some_and(|it| it.is_open);
        let due = if is_cut_off { None } else { self.due() };
        self.remove(due.is_some(), &mut rotated, &mut steps);
        if due.is_some() {
            self.rotate(&mut rotated, &mut steps);
        }
        if is_cut_off && self.entry.is_none() && self.options.create.is_some() {
            let like = self.numbered(1, "");
            steps.push(Step::Create(self.name.to_owned(), like));
        }
        // The writer may still be in the one that it was not told of.
        let after = if is_cut_off { Vec::new() } else { self.compress(&rotated) };
        let why = match due {
            Some(why) => why,
            None if is_cut_off => Why::CutOff,
            None if steps.is_empty() && after.is_empty() => return None,
            None => Why::Leftovers,
        };
        Some(LogPlan {
            directory: self.look.directory.clone(),
            name: self.name.to_owned(),
            why,
            size: self.entry.map_or(0, |entry| entry.size),
            steps,
            after,
        })
    }

    fn due(&self) -> Option<Why> {
        let entry = self.entry?;
        if entry.size < self.options.min_size.max(1) {
            return None;
        }
        if self.options.size.is_some_and(|size| entry.size >= size) {
            return Some(Why::Size);
        }
        let (every, last) = (self.options.every?, self.rotation?.rotated);
        let wait = every.saturating_sub(SLACK.min(every / 20));
        (self.now - last).to_std().is_ok_and(|passed| passed >= wait).then_some(Why::Age)
    }

    fn numbered(&self, number: u32, suffix: &str) -> String {
        format!("{}.{number}{suffix}", self.name)
    }

    fn rotated(&self) -> Rotated {
        let mut rotated = Rotated::new();
        for entry in self.look.entries.iter().filter(|entry| entry.kind == Kind::File) {
            let rest = entry.name.to_str().and_then(|name| name.strip_prefix(self.name));
            let Some(rest) = rest.and_then(|rest| rest.strip_prefix('.')) else { continue };
            let suffixes = Compression::ALL.map(Compression::suffix);
            let suffix = suffixes.into_iter().find(|suffix| rest.ends_with(suffix)).unwrap_or("");
            let number = &rest[..rest.len() - suffix.len()];
            let is_plain = !number.starts_with('0') && number.bytes().all(|it| it.is_ascii_digit());
            let Some(number) = number.parse::<u32>().ok().filter(|_| is_plain) else { continue };
            rotated.entry(number).or_default().insert(suffix, entry.modified);
        }
        rotated
    }

    /// What a crash left of files that were being made.
    fn unfinished_parts(&self) -> Vec<Step> {
        let names = self.look.entries.iter().filter_map(|entry| entry.name.to_str());
        let is_part = |name: &&str| {
            let rest = name.strip_prefix(self.name).and_then(|rest| rest.strip_suffix(PART));
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        names.filter(is_part).map(|name| Step::Remove(name.to_owned())).collect()
    }

    fn remove(&self, is_due: bool, rotated: &mut Rotated, steps: &mut Vec<Step>) {
        let keep = u32::try_from(self.options.keep.max(1)).unwrap_or(u32::MAX);
        let free = first_free(rotated);
        let oldest = self
            .options
            .max_age
            .and_then(|age| self.now.checked_sub_signed(chrono::Duration::from_std(age).ok()?));
        let numbers: Vec<u32> = rotated.keys().rev().copied().collect();
        for number in numbers {
            let later = if is_due && number < free { number.saturating_add(1) } else { number };
            let Some(files) = rotated.get_mut(&number) else { continue };
            files.retain(|suffix, modified| {
                let goes = later > keep || oldest.is_some_and(|oldest| *modified < oldest);
                if goes {
                    steps.push(Step::Remove(self.numbered(number, suffix)));
                }
                !goes
            });
        }
        rotated.retain(|_, files| !files.is_empty());
    }

    fn rotate(&self, rotated: &mut Rotated, steps: &mut Vec<Step>) {
        for number in (1..first_free(rotated)).rev() {
            let Some(files) = rotated.remove(&number) else { continue };
            for suffix in files.keys() {
                let (from, to) = (self.numbered(number, suffix), self.numbered(number + 1, suffix));
                steps.push(Step::Rename(from, to));
            }
            rotated.insert(number + 1, files);
        }
        let (name, first) = (self.name.to_owned(), self.numbered(1, ""));
        match self.options.method {
            RotateMethod::CopyTruncate => steps.push(Step::CopyTruncate(name, first)),
            RotateMethod::Rename => {
                steps.push(Step::Rename(name.clone(), first.clone()));
                if self.options.create.is_some() {
                    steps.push(Step::Create(name, first));
                }
            }
        }
        rotated.insert(1, BTreeMap::from([("", self.now)]));
    }

    fn compress(&self, rotated: &Rotated) -> Vec<Step> {
        let Some(compression) = self.options.compress else { return Vec::new() };
        let newest = match self.options.method {
            RotateMethod::Rename => 2,
            RotateMethod::CopyTruncate => 1,
        };
        let plain = rotated.range(newest..).filter(|(_, files)| files.contains_key(""));
        let step = |(number, _): (&u32, _)| {
            let packed = self.numbered(*number, compression.suffix());
            Step::Compress(self.numbered(*number, ""), packed)
        };
        plain.map(step).collect()
    }
}

/// The smallest number that no rotated file has.
fn first_free(rotated: &Rotated) -> u32 {
    (1..u32::MAX).find(|number| !rotated.contains_key(number)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
