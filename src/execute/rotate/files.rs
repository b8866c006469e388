//! The steps of a rotation on files: looking, renaming, copying, packing. All of it blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use flate2::write::GzEncoder;
use tokio_util::sync::CancellationToken;

use crate::execute::beneath::{Directory, parts};
use crate::job::work::{Compression, Create, FilesBelow, Rotate};
use crate::plan::housekeeping::Kind;
use crate::plan::housekeeping::rotate::{LogPlan, Look, PART, Step};

/// Bytes copied at once.
const PIECE: usize = 256 * 1024;
/// How often what is written meanwhile is copied, too, before a writer is taken for faster than we are.
const MOST_LOOKS: usize = 10_000;

/// What became of one file.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Whether the log was renamed or copied.
    pub(super) rotated: bool,
    /// Its bytes.
    pub(super) bytes: u64,
    /// Files packed.
    pub(super) compressed: usize,
    /// Files removed.
    pub(super) removed: usize,
    /// Between the last look at a copied file and its truncation: what is written then is lost.
    pub(super) window: Option<Duration>,
    /// It was gone before its turn.
    pub(super) vanished: bool,
    /// What could not be done.
    pub(super) error: Option<anyhow::Error>,
}

/// What was seen, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) looks: Vec<Look>,
    pub(super) troubles: Vec<String>,
}

/// Looks at the directories of all patterns. `log_dir` is where our own logs are, `jobs` whose they are.
pub(super) fn look(
    options: &Rotate,
    log_dir: &Path,
    jobs: &BTreeSet<String>,
    cancel: &CancellationToken,
) -> Seen {
    let mut seen = Seen::default();
    let mut directories: BTreeMap<PathBuf, Look> = BTreeMap::new();
    for files in &options.files {
        match Directory::open(&files.directory) {
            Ok(root) => {
                let mut walk = Walk { files, root: &root, directories: &mut directories, cancel };
                walk.walk(&PathBuf::new(), &mut seen.troubles);
            }
            Err(error) => {
                let path = files.directory.display();
                seen.troubles.push(format!("`{path}` cannot be read: {error}"));
            }
        }
    }
    for (path, look) in &mut directories {
        let excluded = |name: &OsString| {
            let file = path.join(name);
            options.exclude.iter().any(|it| {
                let relative = file.strip_prefix(&it.directory);
                relative.is_ok_and(|relative| it.pattern.matches(&parts(relative)))
            })
        };
        look.wanted.retain(|name| !excluded(name));
        if Directory::open(path).is_ok_and(|directory| directory.is(log_dir)) {
            let own = jobs.iter().map(String::as_str).chain(["roadstead"]);
            look.ours = own.map(|job| OsString::from(format!("{job}.log"))).collect();
        }
    }
    seen.looks = directories.into_values().collect();
    seen
}

struct Walk<'a> {
    files: &'a FilesBelow,
    root: &'a Directory,
    directories: &'a mut BTreeMap<PathBuf, Look>,
    cancel: &'a CancellationToken,
}

impl Walk<'_> {
    fn walk(&mut self, relative: &Path, troubles: &mut Vec<String>) {
        if self.cancel.is_cancelled() {
            return;
        }
        let read =
            self.root.below(relative).and_then(|it| Ok((it.path().to_owned(), it.entries()?)));
        let (path, entries) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let path = self.root.path().join(relative);
                troubles.push(format!("`{}` cannot be read: {error}", path.display()));
                return;
            }
        };
        let mut wanted = BTreeSet::new();
        for entry in &entries {
            let below = relative.join(&entry.name);
            match entry.kind {
                // A volume that is mounted there is meant, too.
                Kind::Directory | Kind::Mount => {
                    if self.files.pattern.reaches_below(&parts(&below)) {
                        self.walk(&below, troubles);
                    }
                }
                Kind::File | Kind::Link | Kind::Other => {
                    if self.files.pattern.matches(&parts(&below)) {
                        wanted.insert(entry.name.clone());
                    }
                }
            }
        }
        let look = self.directories.entry(path.clone()).or_insert_with(|| Look {
            directory: path,
            entries,
            wanted: BTreeSet::new(),
            ours: BTreeSet::new(),
        });
        look.wanted.extend(wanted);
    }
}

/// Takes steps with one log file, in order, up to the first that fails.
pub(super) fn carry_out(
    options: &Rotate,
    log: &LogPlan,
    steps: &[Step],
    cancel: &CancellationToken,
) -> Done {
    let mut done = Done::default();
    let root = options.files.iter().filter(|it| log.directory.starts_with(&it.directory));
    let mut opened = root.map(|it| {
        let relative = log.directory.strip_prefix(&it.directory).unwrap_or(Path::new(""));
        Directory::open(&it.directory).and_then(|root| root.below(relative))
    });
    let Some(Ok(directory)) = opened.next() else {
        done.vanished = true;
        return done;
    };
    for step in steps {
        // Once its name is another one, its writer is to find the old one again.
        if cancel.is_cancelled() && !done.rotated {
            break;
        }
        let took = take(options, (&directory, log), step, cancel, &mut done);
        if let Err(error) = took {
            let is_gone = |it: &io::Error| it.kind() == io::ErrorKind::NotFound;
            if error.downcast_ref::<io::Error>().is_some_and(is_gone) {
                done.vanished = true;
            } else {
                let path = log.path();
                done.error = Some(error.context(format!("`{}`: {}", path.display(), step.text())));
            }
            break;
        }
    }
    if done.rotated
        && let Err(error) = directory.sync()
    {
        done.error.get_or_insert(error.into());
    }
    done
}

fn take(
    options: &Rotate,
    (directory, log): (&Directory, &LogPlan),
    step: &Step,
    cancel: &CancellationToken,
    done: &mut Done,
) -> Result<()> {
    let name = OsStr::new;
    match step {
        Step::Remove(file) => {
            directory.remove(name(file))?;
            done.removed += 1;
        }
        Step::Rename(from, to) => {
            directory.rename(name(from), name(to))?;
            if *from == log.name {
                done.rotated = true;
                done.bytes = log.size;
            }
        }
        Step::Create(file, like) => create(directory, name(file), name(like), options.create)?,
        Step::CopyTruncate(from, to) => {
            let (bytes, window) = copy_and_truncate(directory, name(from), name(to), cancel)?;
            (done.rotated, done.bytes, done.window) = (true, bytes, Some(window));
        }
        Step::Compress(from, to) => {
            let compression = options.compress.unwrap_or(Compression::Gzip);
            compress(directory, name(from), name(to), (compression, cancel))?;
            done.compressed += 1;
        }
    }
    Ok(())
}

/// Makes the log anew; a writer that was faster has done so itself.
fn create(directory: &Directory, file: &OsStr, like: &OsStr, how: Option<Create>) -> Result<()> {
    let how = how.unwrap_or_default();
    let made = match directory.create(file) {
        Ok(made) => made,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let old = directory.open_file(like, false).and_then(|it| it.metadata()).ok();
    let owner = how.owner.or(old.as_ref().map(|it| (it.uid(), it.gid())));
    if let Some((user, group)) = owner {
        let own = made.metadata()?;
        if (own.uid(), own.gid()) != (user, group) {
            fchown(&made, Some(user), Some(group)).with_context(|| {
                format!("give it to {user}:{group}; the writer may not be able to write to it")
            })?;
        }
    }
    if let Some(mode) = how.mode.or(old.map(|it| it.mode() & 0o777)) {
        made.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Copies a file under another name and cuts it to nothing. The copy is complete and has its name before
/// anything is cut, and what was written meanwhile is copied, too: the answer tells how long it took from
/// the last look to the cut.
fn copy_and_truncate(
    directory: &Directory,
    from: &OsStr,
    to: &OsStr,
    cancel: &CancellationToken,
) -> Result<(u64, Duration)> {
    let mut source = directory.open_file(from, true)?;
    let part = part_of(to);
    let mut copy = directory.create(&part)?;
    let copied = copy_all(&mut source, &mut copy, cancel).and_then(|bytes| {
        as_before(&source, &copy)?;
        copy.sync_all()?;
        directory.rename(&part, to)?;
        Ok(bytes)
    });
    let mut bytes = match copied {
        Ok(bytes) => bytes,
        Err(error) => {
            let _ = directory.remove(&part);
            return Err(error);
        }
    };
    let mut piece = vec![0; PIECE];
    let mut looks = 0;
    let window = loop {
        let looked = Instant::now();
        let count = source.read(&mut piece)?;
        if count == 0 {
            source.set_len(0)?;
            break looked.elapsed();
        }
        copy.write_all(&piece[..count])?;
        bytes += count as u64;
        looks += 1;
        if looks > MOST_LOOKS {
            bail!("its writer is faster than we copy: use `method: rename`; nothing was truncated");
        }
    };
    copy.sync_all()?;
    Ok((bytes, window))
}

fn part_of(name: &OsStr) -> OsString {
    let mut part = name.to_owned();
    part.push(PART);
    part
}

fn copy_all(from: &mut File, to: &mut impl Write, cancel: &CancellationToken) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        if cancel.is_cancelled() {
            bail!("stopped");
        }
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(bytes);
        }
        to.write_all(&piece[..count])?;
        bytes += count as u64;
    }
}

/// Gives a file mode, owner and time of another. An owner that we may not give away stays ours.
fn as_before(old: &File, new: &File) -> Result<()> {
    let old = old.metadata()?;
    let _ = fchown(new, Some(old.uid()), Some(old.gid()));
    new.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
    Ok(new.set_modified(old.modified()?)?)
}

fn compress(
    directory: &Directory,
    from: &OsStr,
    to: &OsStr,
    (compression, cancel): (Compression, &CancellationToken),
) -> Result<()> {
    let mut source = directory.open_file(from, false)?;
    let part = part_of(to);
    let packed = directory.create(&part)?;
    let done = pack(&mut source, &packed, compression, cancel).and_then(|bytes| {
        packed.sync_all()?;
        as_before(&source, &packed)?;
        match directory.rename(&part, to) {
            // We died here once: what it holds must be the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                directory.remove(&part)?;
                let other = directory.open_file(to, false)?;
                if !holds_the_same(directory.open_file(from, false)?, other, compression)? {
                    bail!("it is there and holds something else: look at both, and remove one");
                }
            }
            renamed => renamed?,
        }
        Ok(bytes)
    });
    if done.is_err() {
        let _ = directory.remove(&part);
    }
    let bytes = done?;
    if source.metadata()?.len() != bytes {
        directory.remove(to)?;
        bail!("somebody still writes to it: it stays as it is");
    }
    Ok(directory.remove(from)?)
}

fn pack(
    source: &mut File,
    packed: &File,
    compression: Compression,
    cancel: &CancellationToken,
) -> Result<u64> {
    match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(packed, flate2::Compression::default());
            let bytes = copy_all(source, &mut encoder, cancel)?;
            encoder.finish()?;
            Ok(bytes)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(packed, 0)?;
            encoder.include_checksum(true)?;
            let bytes = copy_all(source, &mut encoder, cancel)?;
            encoder.finish()?;
            Ok(bytes)
        }
    }
}

fn holds_the_same(plain: File, packed: File, compression: Compression) -> Result<bool> {
    let mut unpacked: Box<dyn Read> = match compression {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Compression::Zstd => Box::new(zstd::Decoder::new(packed)?),
    };
    let mut plain = BufReader::with_capacity(PIECE, plain);
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = plain.read(&mut one)?;
        if count == 0 {
            return Ok(matches!(unpacked.read(&mut other), Ok(0)));
        }
        if unpacked.read_exact(&mut other[..count]).is_err() || one[..count] != other[..count] {
            return Ok(false);
        }
    }
}
