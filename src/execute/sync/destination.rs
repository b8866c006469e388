//! The directory that data goes to: opened once by its real name, looked at, and never left.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::super::beneath::Directory;
use crate::git::BlobId;
use crate::job::work::{SyncMap, destination_refusal};
use crate::plan::housekeeping::{Entry, Kind as EntryKind};
use crate::plan::sync::tree::{Checksum, Item, STAGING, Tree};
use crate::plan::sync::{Kind, Observed, Seen, parts};

/// Bytes read at once.
const AT_ONCE: usize = 64 * 1024;

/// Where a map leads.
#[derive(Debug)]
pub(super) struct Destination {
    /// Its real path.
    pub(super) path: PathBuf,
    /// The directory; `None` where it is not there yet.
    pub(super) top: Option<Directory>,
}

/// Finds the directory of a map, unless it is one that is needed otherwise, by whatever name.
pub(super) fn find(map: &SyncMap, protected: &[PathBuf]) -> Result<Destination> {
    let place = || format!("open `{}`", map.to.display());
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut nearest = map.to.as_path();
    let real = loop {
        match nearest.canonicalize() {
            Ok(real) => break real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere is no place to make a directory.
                ensure!(
                    !nearest.is_symlink(),
                    "`{}` is a link that leads nowhere",
                    nearest.display()
                );
                missing.extend(nearest.file_name());
                nearest = nearest.parent().ok_or_else(|| anyhow!(place()))?;
            }
            Err(error) => return Err(error).with_context(place),
        }
    };
    let path: PathBuf = missing.iter().rev().fold(real, |path, part| path.join(part));
    let protected: Vec<PathBuf> =
        protected.iter().map(|it| it.canonicalize().unwrap_or_else(|_| it.clone())).collect();
    if let Some(why) = destination_refusal(&path, &protected) {
        return Err(anyhow!(why));
    }
    let top =
        if missing.is_empty() { Some(Directory::open(&path).with_context(place)?) } else { None };
    if let Some(top) = &top
        && top.entry(OsStr::new(".git")).with_context(place)?.is_some()
    {
        let shown = path.display();
        return Err(anyhow!("`{shown}` is a checkout of git: name another directory"));
    }
    Ok(Destination { path, top })
}

/// Whether a name is of a directory that a run of ours filled.
pub(super) fn is_staging(name: &OsStr, prefix: &[u8]) -> bool {
    let number = name.as_bytes().strip_prefix(prefix);
    number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
}

/// Begins the names of directories that are to be exchanged with one of this name.
pub(super) fn beside(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".roadstead-");
    prefix
}

/// Removes what runs left that were cut off.
pub(super) fn clear_left_over(destination: &Destination) -> Result<()> {
    let remove = |directory: &Directory, prefix: &[u8]| -> Result<()> {
        for entry in directory.entries()? {
            if entry.kind == EntryKind::Directory && is_staging(&entry.name, prefix) {
                let place = directory.path().join(&entry.name);
                info!("remove `{}`, which a run left that was cut off", place.display());
                remove_tree(directory, &entry.name)
                    .with_context(|| format!("remove `{}`", place.display()))?;
            }
        }
        Ok(())
    };
    let Some(top) = &destination.top else { return Ok(()) };
    remove(top, STAGING.as_bytes())?;
    let (Some(parent), Some(name)) = (destination.path.parent(), destination.path.file_name())
    else {
        return Ok(());
    };
    remove(&Directory::open(parent)?, beside(name).as_bytes())
}

/// Removes a directory with all that is in it, but nothing of another file system.
pub(super) fn remove_tree(directory: &Directory, name: &OsStr) -> io::Result<()> {
    let mut open = vec![PathBuf::from(name)];
    let mut emptied = Vec::new();
    while let Some(path) = open.pop() {
        let inner = directory.below(&path)?;
        for entry in inner.entries()? {
            match entry.kind {
                EntryKind::Directory => open.push(path.join(&entry.name)),
                EntryKind::Mount => return Err(io::Error::other("a file system is mounted in it")),
                EntryKind::File | EntryKind::Link | EntryKind::Other => {
                    inner.remove(&entry.name)?;
                }
            }
        }
        emptied.push(path);
    }
    for path in emptied.iter().rev() {
        let parent = path.parent().unwrap_or(Path::new(""));
        directory.below(parent)?.remove_directory(path.file_name().unwrap_or_default())?;
    }
    Ok(())
}

/// Looks at all that is there; `others` are destinations of other maps that lie in it.
pub(super) fn observe(
    destination: &Destination,
    (map, desired): (&SyncMap, &Tree),
    others: &BTreeSet<PathBuf>,
    cancel: &CancellationToken,
) -> Result<Observed> {
    let Some(top) = &destination.top else { return Ok(Observed::default()) };
    let mut observed = Observed { top: Some(top.attributes()?), ..Observed::default() };
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        ensure!(!cancel.is_cancelled(), "stopped while it was looked around");
        let place = || format!("read `{}`", destination.path.join(&directory).display());
        let inner = top.below(&directory).with_context(place)?;
        for (entry, attributes) in inner.listing().with_context(place)? {
            let path = directory.join(&entry.name);
            let is_top = directory.as_os_str().is_empty();
            if is_top && is_staging(&entry.name, STAGING.as_bytes()) {
                continue;
            }
            let is_wanted = desired.directories.contains(&path);
            let is_kept = entry.name.eq_ignore_ascii_case(".git")
                || others.contains(&path)
                || !is_wanted && !map.selects(&parts(&path), true);
            let kind = match entry.kind {
                EntryKind::Directory if is_kept => Kind::Kept,
                EntryKind::Directory => {
                    open.push(path.clone());
                    Kind::Directory
                }
                EntryKind::Mount => Kind::Mount,
                EntryKind::File if entry.name.eq_ignore_ascii_case(".git") => Kind::Kept,
                EntryKind::File => Kind::File {
                    size: entry.size,
                    checksum: checksum_where_needed(&inner, &entry, desired.items.get(&path)),
                },
                EntryKind::Link => match inner.read_link(&entry.name) {
                    Ok(target) => Kind::Link(target),
                    Err(_) => Kind::Other,
                },
                EntryKind::Other => Kind::Other,
            };
            observed.entries.insert(path, Seen { kind, attributes });
        }
    }
    Ok(observed)
}

/// The checksum of a file that may be as it is to be. One that cannot be read is written anew.
fn checksum_where_needed(
    directory: &Directory,
    entry: &Entry,
    wanted: Option<&Item>,
) -> Option<Checksum> {
    let Some(Item::File(wanted)) = wanted else { return None };
    if wanted.size != entry.size {
        return None;
    }
    let mut file = directory.open_file(&entry.name, false).ok()?;
    let mut id = BlobId::of_size(entry.size);
    let mut buffer = vec![0; AT_ONCE];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(id.finish()),
            read => id.update(&buffer[..read]),
        }
    }
}
