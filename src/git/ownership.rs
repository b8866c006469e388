//! Keeps the files of a person's checkout that person's, though we may run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use git2::Repository;

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
    let owner = Owner { us, user: about.uid(), group: about.gid() };
    owner.take_tree(repository.path());
    for path in paths {
        let inside = path.ancestors().filter(|one| !one.as_os_str().is_empty());
        for ancestor in inside {
            owner.take(&root.join(ancestor));
        }
    }
}

struct Owner {
    us: u32,
    user: u32,
    group: u32,
}

impl Owner {
    /// Changes the owner of one entry that is ours; never follows a symlink.
    fn take(&self, path: &Path) {
        if fs::symlink_metadata(path).is_ok_and(|about| about.uid() == self.us) {
            let _ = lchown(path, Some(self.user), Some(self.group));
        }
    }

    fn take_tree(&self, directory: &Path) {
        self.take(directory);
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.take_tree(&entry.path());
            } else {
                self.take(&entry.path());
            }
        }
    }
}
