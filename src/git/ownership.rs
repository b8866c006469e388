//! Keeps the files of a person's checkout that person's, though we may run as root.
//!
//! Whoever owns the checkout may be changing it meanwhile, so each entry is opened beneath the root and
//! without following a symlink, and what was opened is what changes hands.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use git2::Repository;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};

/// Gives what we wrote to whom the checkout belongs: all of `.git`, and these paths of the work tree.
///
/// Best effort: an unprivileged process writes as the owner, or cannot give away.
pub(super) fn give_back(repository: &Repository, paths: &[PathBuf]) {
    let Some(root) = repository.workdir() else { return };
    let Ok(about) = fs::symlink_metadata(root) else { return };
    let us = rustix::process::geteuid().as_raw();
    if us != 0 || about.uid() == us {
        return;
    }
    let to = |directory: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty()).ok()?;
        let (user, group) = (Uid::from_raw(about.uid()), Gid::from_raw(about.gid()));
        Some(Owner { root, us, user, group })
    };
    if let Some(owner) = to(repository.path()) {
        owner.take_tree(repository.path(), Path::new(""));
    }
    if let Some(owner) = to(root) {
        for path in paths {
            for ancestor in path.ancestors().filter(|one| !one.as_os_str().is_empty()) {
                owner.take(ancestor);
            }
        }
    }
}

struct Owner {
    root: OwnedFd,
    us: u32,
    user: Uid,
    group: Gid,
}

impl Owner {
    /// Changes the owner of one entry that is ours.
    fn take(&self, path: &Path) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The last part may be a symlink, which `NOFOLLOW` opens itself; none before it may be one.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (Some(name), Some(directory)) = (path.file_name(), self.directory(parent)) else {
            return;
        };
        let Ok(entry) = rustix::fs::openat(&directory, name, flags, Mode::empty()) else { return };
        let Ok(about) = rustix::fs::fstat(&entry) else { return };
        // A file with a second name may be one that is none of the checkout's.
        let is_directory = FileType::from_raw_mode(about.st_mode) == FileType::Directory;
        if about.st_uid == self.us && (is_directory || about.st_nlink == 1) {
            let (user, group) = (Some(self.user), Some(self.group));
            let _ = rustix::fs::chownat(&entry, "", user, group, AtFlags::EMPTY_PATH);
        }
    }

    fn directory(&self, path: Option<&Path>) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = path.unwrap_or(Path::new("."));
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve).ok()
    }

    /// Walks by names; each entry is opened anew beneath the root, so a swapped name gains nothing.
    fn take_tree(&self, root: &Path, inside: &Path) {
        for entry in fs::read_dir(root.join(inside)).into_iter().flatten().flatten() {
            let path = inside.join(entry.file_name());
            self.take(&path);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.take_tree(root, &path);
            }
        }
    }
}
