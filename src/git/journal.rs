//! A note in `.git` that a work tree is being moved, by which a killed move is told from a person's edits.
//!
//! Only paths that differ between both commits and hold what one of them (or a cut-off write of the
//! newer) has are ours to put back; everything else was edited by someone and stays.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use git2::build::CheckoutBuilder;
use git2::{DiffOptions, Oid, Repository, Tree};
use rustix::fs::{FlockOperation, flock};

use super::{checkout, ownership};

const NAME: &str = "roadstead-update";

/// A move that goes on; other processes see by its lock that nobody died.
pub(super) struct Moving {
    _locked: File,
}

/// Notes that the work tree is about to move. On disk before this returns.
pub(super) fn begin(repository: &Repository, from: Option<Oid>, to: Oid) -> Result<Moving> {
    let from = from.map_or_else(|| "none".to_owned(), |from| from.to_string());
    let write = || -> io::Result<Moving> {
        let new = repository.path().join(format!("{NAME}.new"));
        let mut file = File::create(&new)?;
        writeln!(file, "{from} {to}")?;
        file.sync_all()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(new, path(repository))?;
        File::open(repository.path())?.sync_all()?;
        Ok(Moving { _locked: file })
    };
    write().with_context(|| format!("write `{}`", path(repository).display()))
}

/// Takes the note away: the move is complete, or did not begin.
pub(super) fn end(repository: &Repository) -> Result<()> {
    match fs::remove_file(path(repository)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", path(repository).display()))
        }
        _ => Ok(()),
    }
}

/// Puts back what a move that was cut short has written; nothing to do without a note.
///
/// # Errors
///
/// Also while another process, e.g. the daemon beside a `plan`, is moving the work tree.
pub(super) fn recover(repository: &Repository) -> Result<()> {
    let Ok(note) = File::open(path(repository)) else { return Ok(()) };
    // Held to the end, so that two do not repair the same.
    if flock(&note, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another roadstead is moving it right now: try again in a moment");
    }
    let Ok(text) = io::read_to_string(&note) else { return Ok(()) };
    let Some((from, to)) = parse(&text) else { return end(repository) };
    // A killed move leaves its locks behind, and git would refuse every later change.
    remove_lock(repository, "index.lock");
    if let checkout::Head::Branch { name, .. } = checkout::head(repository)? {
        remove_lock(repository, &format!("refs/heads/{name}.lock"));
    }
    if checkout::head_commit(repository)? == from
        && let Ok(to) = repository.find_commit(to)
    {
        let from = from.map(|from| repository.find_commit(from)?.tree()).transpose()?;
        let paths = undo(repository, from.as_ref(), &to.tree()?)?;
        ownership::give_back(repository, &paths);
    }
    end(repository)
}

/// The paths that differ between two trees.
pub(super) fn changed_paths(
    repository: &Repository,
    from: Option<&Tree<'_>>,
    to: &Tree<'_>,
) -> Result<Vec<PathBuf>> {
    let mut options = DiffOptions::new();
    options.include_typechange(true).ignore_submodules(true);
    let difference = repository.diff_tree_to_tree(from, Some(to), Some(&mut options))?;
    let path = |delta: git2::DiffDelta<'_>| {
        delta.new_file().path().or_else(|| delta.old_file().path()).map(Path::to_owned)
    };
    let mut paths: Vec<PathBuf> = difference.deltas().filter_map(path).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn undo(repository: &Repository, from: Option<&Tree<'_>>, to: &Tree<'_>) -> Result<Vec<PathBuf>> {
    let root = repository.workdir().context("there is no work tree")?;
    let mut index = repository.index()?;
    let mut restore = CheckoutBuilder::new();
    restore.force().disable_pathspec_match(true);
    let mut restores = false;
    let paths = changed_paths(repository, from, to)?;
    for path in &paths {
        let old = from.and_then(|tree| content(repository, tree, path));
        let new = content(repository, to, path);
        if leads_through_symlink(root, path)
            || !is_ours(&root.join(path), old.as_deref(), new.as_deref())?
        {
            continue;
        }
        if from.is_some_and(|tree| tree.get_path(path).is_ok()) {
            restore.path(path.as_os_str().as_bytes());
            restores = true;
        } else {
            remove(root, path)?;
            // Absent from the index where the move had not come that far.
            let _ = index.remove_path(path);
        }
    }
    index.write().context("write the index")?;
    if let Some(tree) = from.filter(|_| restores) {
        repository.checkout_tree(tree.as_object(), Some(&mut restore))?;
    }
    Ok(paths)
}

fn content(repository: &Repository, tree: &Tree<'_>, path: &Path) -> Option<Vec<u8>> {
    let entry = tree.get_path(path).ok()?;
    Some(repository.find_blob(entry.id()).ok()?.content().to_owned())
}

fn is_ours(path: &Path, old: Option<&[u8]>, new: Option<&[u8]>) -> io::Result<bool> {
    let actual = match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(true);
        }
        Err(error) => return Err(error),
        Ok(about) if about.is_symlink() => fs::read_link(path)?.as_os_str().as_bytes().to_owned(),
        Ok(about) if about.is_file() => fs::read(path)?,
        Ok(_) => return Ok(false),
    };
    let cut_off = new.is_some_and(|new| new.starts_with(&actual));
    Ok(cut_off || old == Some(&actual))
}

/// A path through a symlink of the work tree is a place outside of what either commit wrote.
fn leads_through_symlink(root: &Path, path: &Path) -> bool {
    let mut parents = path.ancestors().skip(1).filter(|parent| *parent != OsStr::new(""));
    parents.any(|parent| fs::symlink_metadata(root.join(parent)).is_ok_and(|one| one.is_symlink()))
}

/// Removes a file of the work tree and the directories that become empty by it.
fn remove(root: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(root.join(path)) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(error);
        }
        _ => {}
    }
    let parents = path.ancestors().skip(1).filter(|parent| *parent != OsStr::new(""));
    for parent in parents {
        if fs::remove_dir(root.join(parent)).is_err() {
            break;
        }
    }
    Ok(())
}

fn parse(text: &str) -> Option<(Option<Oid>, Oid)> {
    let (from, to) = text.trim().split_once(' ')?;
    let from = match from {
        "none" => None,
        from => Some(Oid::from_str(from).ok()?),
    };
    Some((from, Oid::from_str(to).ok()?))
}

fn remove_lock(repository: &Repository, name: &str) {
    let lock = repository.path().join(name);
    let modified = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    // One that is older than the note is not of this move.
    if modified(&lock) >= modified(&path(repository)) {
        let _ = fs::remove_file(lock);
    }
}

fn path(repository: &Repository) -> PathBuf {
    repository.path().join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_that_goes_on_is_not_repaired_and_one_that_was_killed_is() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::init(directory.path()).unwrap();
        let to = Oid::from_str(&"ab".repeat(20)).unwrap();
        let moving = begin(&repository, None, to).unwrap();
        let refused = recover(&repository).unwrap_err().to_string();
        assert!(refused.contains("another roadstead"), "{refused}");
        assert!(path(&repository).exists());
        drop(moving);
        recover(&repository).unwrap();
        assert!(!path(&repository).exists());
    }
}
