//! Reading logs back: the end of one, the lines of one run, and following as it grows.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::logs::log_path;
use crate::run::RunId;

/// How often [`follow`] looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where [`follow`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With so many lines that are already there.
    Last(usize),
    /// With what comes.
    Now,
}

/// The last lines of a job's log, over rotated files as well; oldest first.
pub fn tail(dir: &Path, job: &str, lines: usize) -> io::Result<Vec<String>> {
    let mut found = VecDeque::new();
    for path in existing(&log_path(dir, job))?.into_iter().rev() {
        let missing = lines - found.len();
        let text = text_of(&path)?;
        text.lines().rev().take(missing).for_each(|line| found.push_front(line.to_owned()));
        if found.len() >= lines {
            break;
        }
    }
    Ok(found.into())
}

/// The lines of one run, over rotated files as well; oldest first.
pub fn run_lines(dir: &Path, job: &str, run: RunId) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut within = false;
    for path in existing(&log_path(dir, job))? {
        for line in text_of(&path)?.lines() {
            // Further lines of a message are indented.
            within = JobLine::of(line).run == Some(run) || (within && line.starts_with("    "));
            if within {
                found.push(line.to_owned());
            }
        }
    }
    Ok(found)
}

/// Hands each line of a job's log to `sink` as it comes, until `sink` breaks. Survives rotation, also
/// of a file that does not exist yet.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn follow(
    dir: &Path,
    job: &str,
    since: Since,
    mut sink: impl FnMut(String) -> ControlFlow<()>,
) -> io::Result<()> {
    let (dir, job) = (dir.to_path_buf(), job.to_owned());
    let start = move || Follower::new(log_path(&dir, &job), since);
    let (mut follower, mut lines) = tokio::task::spawn_blocking(start).await??;
    loop {
        for line in lines {
            if sink(line).is_break() {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let look = move || follower.look().map(|lines| (follower, lines));
        (follower, lines) = tokio::task::spawn_blocking(look).await??;
    }
}

/// The rotated files of a log, oldest first.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str))
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let key = entry.file_name().to_str().and_then(|file| rotation(file, name));
        found.extend(key.map(|key| (key, entry.path())));
    }
    found.sort();
    // Both forms are there when the machine died between compressing and removing.
    found.dedup_by(|later, earlier| later.0 == earlier.0);
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What `file` is ordered by when it is a rotated file of the log `name`: its time, and its number
/// within the second. `web.log.20261121T050700.2.gz` is.
fn rotation(file: &str, name: &str) -> Option<(String, u32)> {
    let suffix = file.strip_prefix(name)?.strip_prefix('.')?;
    let suffix = suffix.strip_suffix(".gz").unwrap_or(suffix);
    let (time, number) = match suffix.split_once('.') {
        Some((time, number)) => (time, number.parse().ok()?),
        None => (suffix, 0),
    };
    let digit = |(index, byte): (usize, u8)| (index == 8 && byte == b'T') || byte.is_ascii_digit();
    (time.len() == 15 && time.bytes().enumerate().all(digit)).then(|| (time.to_owned(), number))
}

/// Rotated files and the active one, oldest first.
fn existing(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = rotated(path)?;
    if path.exists() {
        paths.push(path.to_path_buf());
    } else if paths.is_empty() {
        let text = format!("there is no log `{}` yet", path.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(paths)
}

/// The text of a log file, compressed meanwhile or not; empty when it was removed.
fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let is_compressed = |path: &Path| path.extension() == Some(OsStr::new("gz"));
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut compressed = path.to_owned();
            compressed.as_mut_os_string().push(".gz");
            let is_there = !is_compressed(path) && compressed.exists();
            return if is_there { text_of(&compressed) } else { Ok(String::new()) };
        }
        opened => opened?,
    };
    if is_compressed(path) {
        MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What can be told of a line of a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLine {
    /// When it was written; what processes wrote has no time in a log of text.
    pub time: Option<DateTime<Utc>>,
    /// A process wrote it.
    pub is_output: bool,
    /// The run it is of.
    pub run: Option<RunId>,
}

impl JobLine {
    /// Looks at a line of a job's log.
    pub fn of(line: &str) -> Self {
        if line.starts_with('{') {
            let object = serde_json::from_str::<Value>(line).unwrap_or_default();
            let text = |key| object.get(key).and_then(Value::as_str);
            let time = text("time").and_then(|it| DateTime::parse_from_rfc3339(it).ok());
            let run = object.get("run").and_then(Value::as_i64);
            let is_output = run.is_some() && text("stream").is_some();
            return Self { time: time.map(|time| time.to_utc()), is_output, run };
        }
        let number = |line: &str, end| {
            line.strip_prefix("run ")?.split_once(end).and_then(|(run, _)| run.parse().ok())
        };
        if let Some(run) = number(line, " | ") {
            return Self { time: None, is_output: true, run: Some(run) };
        }
        let time = line.get(..25).map(|it| DateTime::parse_from_str(it, "%Y-%m-%d %H:%M:%S%:z"));
        let time = time.and_then(Result::ok).map(|time| time.to_utc());
        let run = line.get(32..).filter(|_| time.is_some()).and_then(|rest| number(rest, ": "));
        Self { time, is_output: false, run }
    }
}

struct Follower {
    path: PathBuf,
    open: Option<(File, u64)>,
    position: u64,
    /// The part of a line that is there so far.
    begun: Vec<u8>,
    /// Rotated files that were there when the open one was opened.
    known: Vec<(String, u32)>,
}

impl Follower {
    fn new(path: PathBuf, since: Since) -> io::Result<(Self, Vec<String>)> {
        let known = Vec::new();
        let mut follower = Self { path, open: None, position: 0, begun: Vec::new(), known };
        let before = match since {
            Since::Now => Vec::new(),
            Since::Last(lines) => follower.lines_before(lines)?,
        };
        while !follower.reopen(&follower.rotated()?)? {}
        let mut lines = follower.read()?;
        match since {
            Since::Now => lines.clear(),
            Since::Last(count) => {
                lines.splice(0..0, before);
                lines.drain(..lines.len().saturating_sub(count));
            }
        }
        Ok((follower, lines))
    }

    /// The last lines of the rotated files.
    fn lines_before(&self, count: usize) -> io::Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        for path in self.rotated()?.iter().rev() {
            if found.len() >= count {
                break;
            }
            found.splice(0..0, text_of(path)?.lines().map(str::to_owned));
        }
        Ok(found)
    }

    fn look(&mut self) -> io::Result<Vec<String>> {
        let mut lines = self.read()?;
        let inode = self.open.as_ref().map(|(_, inode)| *inode);
        let found = fs::metadata(&self.path).ok().map(|metadata| metadata.ino());
        if found.is_some() && found != inode {
            // Written between our last read and the rename.
            lines.extend(self.read()?);
            lines.extend(self.catch_up()?);
            lines.extend(self.read()?);
        }
        Ok(lines)
    }

    /// Lines of files that came and went since the open one was rotated away; then the newest is open.
    fn catch_up(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        // Of the new ones, that which we have read to its end; under another name, maybe compressed.
        let mut read = self.whole()?;
        loop {
            let there = self.rotated()?;
            let is_new =
                |path: &&PathBuf| self.key(path).is_some_and(|it| !self.known.contains(&it));
            for path in there.iter().filter(is_new) {
                let text = text_of(path)?;
                if read.as_ref() == Some(&text) {
                    read = None;
                } else {
                    lines.extend(text.lines().map(str::to_owned));
                }
            }
            if self.reopen(&there)? {
                return Ok(lines);
            }
        }
    }

    /// Opens the newest file, where these were rotated away; false when it may have been rotated away
    /// itself meanwhile.
    fn reopen(&mut self, there: &[PathBuf]) -> io::Result<bool> {
        self.position = 0;
        self.begun.clear();
        self.known = there.iter().filter_map(|path| self.key(path)).collect();
        self.open = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => {
                let file = opened?;
                let inode = file.metadata()?.ino();
                Some((file, inode))
            }
        };
        let now = self.rotated()?;
        Ok(now.iter().filter_map(|path| self.key(path)).all(|key| self.known.contains(&key)))
    }

    /// All that is in the open file.
    fn whole(&mut self) -> io::Result<Option<String>> {
        let Some((file, _)) = &mut self.open else { return Ok(None) };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The rotated files, oldest first; none where there is no directory yet.
    fn rotated(&self) -> io::Result<Vec<PathBuf>> {
        if !self.path.parent().is_some_and(Path::exists) {
            return Ok(Vec::new());
        }
        // One that is renamed or compressed while the directory is read may be missing from the list.
        let mut found = rotated(&self.path)?;
        loop {
            let again = rotated(&self.path)?;
            if again == found {
                return Ok(found);
            }
            found = again;
        }
    }

    fn key(&self, path: &Path) -> Option<(String, u32)> {
        let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
        rotation(&name(path)?, &name(&self.path)?)
    }

    /// The complete lines that came since the last read.
    fn read(&mut self) -> io::Result<Vec<String>> {
        let Some((file, _)) = &mut self.open else { return Ok(Vec::new()) };
        if file.metadata()?.len() < self.position {
            // Truncated by somebody else's rotation.
            self.position = 0;
            self.begun.clear();
        }
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read_to_end(&mut self.begun)?;
        self.position += read as u64;
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.begun.split_off(end + 1);
        let complete = std::mem::replace(&mut self.begun, rest);
        Ok(String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect())
    }
}
