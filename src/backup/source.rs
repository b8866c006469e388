//! What a backup reads: directories and files with their metadata. What cannot be looked at is said.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind as Io, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, Walk, WalkBuilder};
use rustic_core::LocalSourceSaveOptions;
use rustic_core::repofile::Node;
use rustix::fs::OFlags;

use super::protocol::Failure;
use super::talk::{Failed, Outcome, Talk};

/// How the file `CACHEDIR.TAG` begins.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Goes through directories and files in the order of names, each directory before what is in it.
pub(super) struct Tree {
    roots: std::vec::IntoIter<PathBuf>,
    walk: Option<Walk>,
    excluded: Override,
    exclude_caches: bool,
    talk: Arc<Talk>,
}

impl Tree {
    /// What lies at `paths`, without what `exclude` says.
    ///
    /// # Errors
    ///
    /// For a path that is not there, and a glob that is none.
    pub(super) fn new(
        paths: &[PathBuf],
        exclude: &[String],
        exclude_caches: bool,
        talk: &Arc<Talk>,
    ) -> Outcome<Self> {
        let (excluded, talk) = (excluded(exclude)?, Arc::clone(talk));
        Ok(Self { roots: roots(paths)?.into_iter(), walk: None, excluded, exclude_caches, talk })
    }

    fn walk(&self, root: &Path) -> Walk {
        let mut builder = WalkBuilder::new(root);
        builder
            .standard_filters(false)
            .follow_links(false)
            .overrides(self.excluded.clone())
            .sort_by_file_name(std::ffi::OsStr::cmp);
        if self.exclude_caches {
            builder.filter_entry(|entry| !is_cache(entry));
        }
        builder.build()
    }

    fn trouble(&self, path: &Path, error: &(dyn std::error::Error + 'static)) {
        let vanished = is_not_found(error);
        self.talk.trouble(path.display().to_string(), plain(error), vanished);
    }
}

/// Sorted, and each once: also none that lies in another.
pub(super) fn roots(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut sorted = paths.to_vec();
    sorted.sort();
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in sorted {
        let shown = path.display();
        let is_plain = path.is_absolute()
            && path
                .components()
                .skip(1)
                .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_plain {
            let what =
                format!("`{shown}` cannot be backed up: expected an absolute path without `..`");
            return Err(Failed::new(Failure::Other, what));
        }
        path.symlink_metadata().map_err(|error| {
            Failed::new(
                Failure::NotFound,
                format!("`{shown}` cannot be backed up ({error}): is it there, and mounted?"),
            )
        })?;
        if !roots.last().is_some_and(|last| path.starts_with(last)) {
            roots.push(path);
        }
    }
    if roots.is_empty() {
        return Err(Failed::new(Failure::Other, "there is nothing to back up: name a path"));
    }
    Ok(roots)
}

/// As restic's `--exclude`: a glob with a slash inside means any place, too.
fn excluded(globs: &[String]) -> Outcome<Override> {
    let mut builder = OverrideBuilder::new("");
    for glob in globs {
        let bad = |what: &str| {
            let what = format!("`{glob}` is no glob of what to leave out: {what}");
            Failed::new(Failure::Other, what)
        };
        let inner = glob.trim_end_matches('/');
        if inner.is_empty() || inner.starts_with('!') {
            return Err(bad("expected e.g. `*.tmp`, `cache` or `/volumes/data/cache`"));
        }
        let floating = inner.contains('/') && !inner.starts_with('/') && !inner.starts_with("**/");
        let line = if floating { format!("!**/{inner}") } else { format!("!{inner}") };
        builder.add(&line).map_err(|error| bad(&error.to_string()))?;
    }
    builder.build().map_err(|error| {
        Failed::new(Failure::Other, format!("the globs of what to leave out: {error}"))
    })
}

impl Iterator for Tree {
    type Item = (PathBuf, Node);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(walk) = &mut self.walk else {
                let root = self.roots.next()?;
                self.walk = Some(self.walk(&root));
                continue;
            };
            match walk.next() {
                None => self.walk = None,
                Some(Ok(entry)) => {
                    let path = entry.path().to_path_buf();
                    // The root of all has no name.
                    if path.file_name().is_none() {
                        continue;
                    }
                    match LocalSourceSaveOptions::default().map_entry(entry) {
                        Ok(mapped) => return Some((path, mapped.node)),
                        Err(error) => self.trouble(&path, &error),
                    }
                }
                Some(Err(error)) => {
                    let path = path_in(&error).map(Path::to_path_buf).unwrap_or_default();
                    self.trouble(&path, &error);
                }
            }
        }
    }
}

fn is_cache(entry: &DirEntry) -> bool {
    if !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return false;
    }
    let mut start = [0; CACHE_SIGNATURE.len()];
    let tag = entry.path().join("CACHEDIR.TAG");
    tag.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && File::open(tag).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == CACHE_SIGNATURE
}

fn path_in(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            path_in(err)
        }
        _ => None,
    }
}

/// The innermost reason, which needs no names of our parts.
fn plain(error: &(dyn std::error::Error + 'static)) -> String {
    io_in(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn is_not_found(error: &(dyn std::error::Error + 'static)) -> bool {
    io_in(error).is_some_and(|error| error.kind() == Io::NotFound)
}

fn io_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error);
    }
    if let Some(error) = error.downcast_ref::<ignore::Error>() {
        return match error {
            ignore::Error::Io(error) => Some(error),
            ignore::Error::WithPath { err, .. }
            | ignore::Error::WithDepth { err, .. }
            | ignore::Error::WithLineNumber { err, .. } => io_in(&**err),
            _ => None,
        };
    }
    error.source().and_then(io_in)
}

/// Says that a file cannot be read.
pub(super) fn unreadable(talk: &Talk, path: &Path, error: &io::Error) {
    talk.trouble(path.display().to_string(), error.to_string(), error.kind() == Io::NotFound);
}

/// The content of a file, exactly as long as the file was when it was found: its size is in the snapshot,
/// and restic believes it.
pub(super) struct Exactly {
    file: File,
    path: PathBuf,
    left: u64,
    has_ended: bool,
    talk: Arc<Talk>,
}

impl Exactly {
    /// Opens it: neither a link that took its place nor a pipe that nobody writes to is followed.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn open(path: &Path, size: u64, talk: &Arc<Talk>) -> io::Result<Self> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let (path, talk) = (path.to_path_buf(), Arc::clone(talk));
        Ok(Self { file, path, left: size, has_ended: false, talk })
    }
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut count = 0;
        if !self.has_ended {
            count = self.file.read(buffer)?;
            if count == 0 {
                self.has_ended = true;
                let what = format!("shrank while it was read: its last {} B are zeros", self.left);
                self.talk.trouble(self.path.display().to_string(), what, false);
            }
        }
        if self.has_ended {
            buffer.fill(0);
            count = buffer.len();
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_leave_out_what_restics_do() {
        for (glob, path, is_dir, expected) in [
            ("*.tmp", "/volumes/a/x.tmp", false, true),
            ("*.tmp", "/volumes/a/x.txt", false, false),
            ("cache", "/volumes/a/cache", true, true),
            ("cache/", "/volumes/a/cache", true, true),
            ("/volumes/a/cache", "/volumes/a/cache", true, true),
            ("/volumes/a/cache", "/volumes/b/volumes/a/cache", true, false),
            ("a/cache", "/volumes/a/cache", true, true),
            ("/volumes/*/log", "/volumes/b/log", true, true),
        ] {
            let matcher = excluded(&[glob.to_owned()]).unwrap();
            let is_out = matcher.matched(Path::new(path), is_dir).is_ignore();
            assert_eq!(is_out, expected, "{glob} {path}");
        }
        assert!(excluded(&["!x".to_owned()]).is_err());
        assert!(excluded(&["a[".to_owned()]).is_err());
    }

    #[test]
    fn paths_are_taken_once_and_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("a/b"));
        std::fs::create_dir_all(&b).unwrap();
        assert_eq!(roots(&[b.clone(), a.clone()]).unwrap(), std::slice::from_ref(&a));
        assert_eq!(roots(&[a.join("c")]).unwrap_err().class, Failure::NotFound);
        assert_eq!(roots(&[a.join("../a")]).unwrap_err().class, Failure::Other);
        assert_eq!(roots(&[]).unwrap_err().class, Failure::Other);
    }
}
