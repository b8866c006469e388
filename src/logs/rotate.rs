//! One rotated file: `file-rotate` names, renames and removes; everything it cannot survive is here.
//!
//! `file-rotate` 0.8 panics when a rotated file was deleted, drops lines silently when it cannot open
//! its file, keeps writing to a file that was deleted or renamed, and removes a file after a gzip it
//! did not check. So it is only asked to rotate, never to decide: each rotation and each error starts
//! from a fresh look at the directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use file_rotate::compression::Compression;
use file_rotate::suffix::{AppendTimestamp, FileLimit};
use file_rotate::{ContentLimit, FileRotate};
use flate2::write::GzEncoder;

use crate::logs::read::rotated;

/// Bounds of one file and of the patience with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_size_bytes: u64,
    pub(super) keep: usize,
    pub(super) compress: bool,
    /// How often to look whether the file is still the one at its path, and to retry after an error.
    pub(super) look_every: Duration,
    /// How long to leave rotation alone after it failed.
    pub(super) rotate_again_after: Duration,
}

/// One log file with its rotated ones.
pub(super) struct RotatingFile {
    path: PathBuf,
    limits: Limits,
    open: Option<Open>,
    lost: Lost,
    retry_at: Option<Instant>,
    rotate_at: Option<Instant>,
    trouble: Option<io::Error>,
}

struct Open {
    file: FileRotate<AppendTimestamp>,
    identity: (u64, u64),
    size_bytes: u64,
    looked: Instant,
}

/// Lines that could not be written since the last one that could.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) why: String,
}

impl RotatingFile {
    pub(super) fn new(path: PathBuf, limits: Limits) -> Self {
        let lost = Lost::default();
        Self { path, limits, open: None, lost, retry_at: None, rotate_at: None, trouble: None }
    }

    /// Writes lines; before them, what `notice` says of lines lost.
    ///
    /// Lines that cannot be written are counted. The error is for stderr.
    pub(super) fn write_lines(
        &mut self,
        lines: &[u8],
        notice: impl Fn(&Lost) -> String,
    ) -> io::Result<()> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            self.lost.lines += count(lines);
            return Ok(());
        }
        let written = self.try_write(lines, now, notice);
        if let Err(error) = &written {
            // A disk takes the first lines of many, and fills with one of them.
            let taken = self.open.as_ref().map_or(0, |open| open.grown_to(&self.path));
            let taken = if self.lost.lines > 0 { 0 } else { taken.min(lines.len()) };
            // What is open may be half a line ahead of what we know: look again.
            self.open = None;
            self.retry_at = Some(now + self.limits.look_every);
            self.lost.lines += count(&lines[taken..]);
            self.lost.why = describe(error);
        }
        written.and(self.trouble.take().map_or(Ok(()), Err))
    }

    /// Says what was lost, where something was: there will be no more lines.
    pub(super) fn finish(&mut self, notice: impl Fn(&Lost) -> String) -> io::Result<()> {
        if self.lost.lines > 0 {
            let text = notice(&self.lost);
            self.opened(Instant::now())?.append(text.as_bytes())?;
        }
        Ok(())
    }

    /// Makes sure that the file can be written.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.opened(Instant::now()).map(drop)
    }

    /// Gives the file descriptor back; the next line opens the file again.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn try_write(
        &mut self,
        line: &[u8],
        now: Instant,
        notice: impl Fn(&Lost) -> String,
    ) -> io::Result<()> {
        let size_bytes = self.opened(now)?.size_bytes;
        let grown = size_bytes.saturating_add(line.len() as u64);
        let may_rotate = self.rotate_at.is_none_or(|at| now >= at);
        if size_bytes > 0 && grown > self.limits.max_size_bytes && may_rotate {
            self.rotate(now);
        }
        if self.lost.lines > 0 {
            let notice = notice(&self.lost);
            self.opened(now)?.append(notice.as_bytes())?;
            self.lost = Lost::default();
        }
        self.opened(now)?.append(line)
    }

    fn opened(&mut self, now: Instant) -> io::Result<&mut Open> {
        let look_every = self.limits.look_every;
        let open = match self.open.take() {
            Some(open) if now.duration_since(open.looked) < look_every => open,
            Some(open) if open.is_at(&self.path) => Open { looked: now, ..open },
            Some(_) | None => Open::new(&self.path, &self.limits, now)?,
        };
        Ok(self.open.insert(open))
    }

    /// Rotates. Where that fails the file grows on, and the next try waits.
    fn rotate(&mut self, now: Instant) {
        self.open = None;
        let rotated = fresh(&self.path, &self.limits)
            .and_then(|mut file| guarded(|| file.rotate())?)
            .and_then(|()| self.compress());
        self.rotate_at = None;
        if let Err(error) = rotated {
            self.rotate_at = Some(now + self.limits.rotate_again_after);
            let text = format!("rotate `{}`: {error}", self.path.display());
            self.trouble = Some(io::Error::new(error.kind(), text));
        }
    }

    fn compress(&self) -> io::Result<()> {
        if !self.limits.compress {
            return Ok(());
        }
        let plain = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "gz");
        rotated(&self.path)?.iter().filter(|path| plain(path)).try_for_each(|path| gzip(path))
    }
}

impl Open {
    fn new(path: &Path, limits: &Limits, now: Instant) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        // Opened once by ourselves, because `file-rotate` keeps errors of opening to itself.
        let mut probe = options().open(path)?;
        let metadata = probe.metadata()?;
        let torn = is_torn(&mut probe, metadata.len())?;
        let file = fresh(path, limits)?;
        let (identity, size_bytes) = (identity(&metadata), metadata.len());
        let mut open = Self { file, identity, size_bytes, looked: now };
        if torn {
            open.append(b"\n")?;
        }
        Ok(open)
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Bytes that are in the file beyond those we know of.
    fn grown_to(&self, path: &Path) -> usize {
        let found = fs::metadata(path).ok().filter(|found| identity(found) == self.identity);
        let grown = found.map_or(0, |found| found.len().saturating_sub(self.size_bytes));
        usize::try_from(grown).unwrap_or_default()
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let file = &mut self.file;
        guarded(|| file.write_all(text))??;
        self.size_bytes += text.len() as u64;
        Ok(())
    }
}

/// Lines in a text of whole ones.
fn count(lines: &[u8]) -> u64 {
    lines.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// True when the file ends within a line: the disk was full, or the power went.
fn is_torn(file: &mut File, size_bytes: u64) -> io::Result<bool> {
    if size_bytes == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true).mode(0o640);
    options
}

fn fresh(path: &Path, limits: &Limits) -> io::Result<FileRotate<AppendTimestamp>> {
    let names = AppendTimestamp::default(FileLimit::MaxFiles(limits.keep));
    let options = Some(options());
    guarded(|| FileRotate::new(path, names, ContentLimit::None, Compression::None, options))
}

/// Turns a panic of `file-rotate` into an error.
fn guarded<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| io::Error::other("the log directory changed while a file was rotated"))
}

/// Compresses `path` to `path.gz` and removes it once the copy is complete on disk.
fn gzip(path: &Path) -> io::Result<()> {
    let target = PathBuf::from(format!("{}.gz", path.display()));
    let unfinished = PathBuf::from(format!("{}.gz.part", path.display()));
    let compressed = (|| {
        let mut source = File::open(path)?;
        let mut options = OpenOptions::new();
        let copy = options.write(true).create(true).truncate(true).mode(0o640).open(&unfinished)?;
        let mut encoder = GzEncoder::new(copy, flate2::Compression::default());
        io::copy(&mut source, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        fs::rename(&unfinished, &target)
    })();
    match compressed {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "disk full".to_owned(),
        _ => error.to_string(),
    }
}
