//! Restores what a snapshot holds into a directory, and writes nothing outside of it.
//!
//! restic knows no other place for a path before 0.16, follows links in its way, and leaves what it wrote
//! where it fails. So it restores into a directory of ours inside the target, and what is there takes the
//! place of what was there only when all of it is.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use super::program::Called;
use super::said::{Said, class, hear};
use super::{Node, Site, path_in, told_of};
use crate::backup::protocol::{Failure, Summary};
use crate::backup::restore::{What, target};
use crate::backup::talk::{Failed, Outcome};

/// The directory of ours; what an interrupted restore left in it is removed.
const STAGE: &str = ".roadstead-restore";
/// Words of what could not be given back of a file that is there and whole.
const OF_METADATA: [&str; 9] = [
    "chown",
    "chmod",
    "xattr",
    "utime",
    "mknod",
    "mkfifo",
    "operation not supported",
    "not permitted",
    "timestamp",
];

/// Restores it.
///
/// # Errors
///
/// When there is no such snapshot or path, it is not whole, or it cannot be written.
pub(super) fn restore(
    site: &Site<'_>,
    snapshot: (&str, &[String]),
    what: &What,
) -> Outcome<Summary> {
    site.open(false)?;
    let snapshot = site.find(snapshot)?;
    let path = path_in(what.path.as_deref())?;
    let mut found = Found { is_directory: path == "/", ..Found::default() };
    let mut see = |node: &Node, is_top: bool| found.see(&path, node, is_top);
    site.walk(&snapshot, &path, &mut see)?;
    target(what)?;
    let mut summary = Summary {
        snapshot: Some(told_of(&snapshot)),
        files_changed: found.files,
        files: found.files,
        bytes: found.bytes,
        ..Summary::default()
    };
    if what.dry_run {
        if what.delete {
            summary.files_changed += found.others(&what.to, Path::new(""));
        }
        return Ok(summary);
    }
    let failed = |place: &Path, error: &io::Error| cannot_write(place, error);
    fs::create_dir_all(&what.to).map_err(|error| failed(&what.to, &error))?;
    let stage = what.to.join(STAGE);
    remove(&stage).map_err(|error| failed(&stage, &error))?;
    site.program.litter(&stage);
    let id = snapshot.id.to_hex();
    fetch(site, (id.as_str(), &path), &stage)?;

    let staged = stage.join(path.trim_start_matches('/'));
    let mut moving = Moving { delete: what.delete, removed: 0 };
    let moved = if found.is_directory {
        // Before its entries go; and given when ours is gone, too.
        let top = (path != "/").then(|| Metadata::of(&staged)).transpose();
        top.and_then(|top| {
            moving.directory(&staged, &what.to)?;
            fs::remove_dir_all(&stage)?;
            top.map_or(Ok(()), |top| top.give(&what.to))
        })
    } else {
        let name = staged.file_name().unwrap_or_default();
        moving.entry(&staged, &what.to.join(name)).and_then(|()| fs::remove_dir_all(&stage))
    };
    moved.map_err(|error| failed(&what.to, &error))?;
    summary.files_changed += moving.removed;
    Ok(summary)
}

/// Has restic restore into a directory that is not there.
fn fetch(site: &Site<'_>, (id, path): (&str, &str), stage: &Path) -> Outcome<()> {
    let target = format!("--target={}", stage.display());
    let include = format!("--include={}", literal(path));
    let mut arguments = vec!["restore", "--json", id, &target];
    if path != "/" {
        arguments.push(&include);
    }
    if has_sparse(&site.program.call(&["version"])?.good()?.out) {
        arguments.push("--sparse");
    }
    let mut troubles: Vec<(String, String)> = Vec::new();
    let mut heard = |line: &str| match hear(line) {
        Some(Said::Trouble { path, what, .. }) => troubles.push((path, what)),
        Some(said) => site.program.status(site.what, &said),
        None => {}
    };
    let called = site.program.follow(&site.reading(&arguments), None, &mut heard)?;
    judge(called, &troubles)?;
    for (path, what) in troubles {
        site.talk.trouble(path, what, false);
    }
    if fs::symlink_metadata(stage).is_ok_and(|it| it.is_dir()) {
        return Ok(());
    }
    // Nothing was in it.
    fs::create_dir(stage).map_err(|error| cannot_write(stage, &error))
}

/// What lacks only metadata is restored; what lacks content is not.
fn judge(called: Called, troubles: &[(String, String)]) -> Outcome<()> {
    let is_metadata = |what: &str| {
        let what = what.to_lowercase();
        OF_METADATA.iter().any(|words| what.contains(words))
    };
    let Some((path, what)) = troubles.iter().find(|(_, what)| !is_metadata(what)) else {
        return if troubles.is_empty() { called.good().map(|_| ()) } else { Ok(()) };
    };
    let class = match class(None, what) {
        Failure::Full => Failure::Full,
        Failure::Unreachable => Failure::Unreachable,
        _ => Failure::Damaged,
    };
    let message = format!(
        "`{path}` could not be restored: {what}; nothing was put in the place of what was there"
    );
    Err(Failed::new(class, message))
}

/// Whether it can leave holes in files: 0.15 and later.
fn has_sparse(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("restic ").split(['.', ' ', '-']);
    let mut number = || numbers.next().and_then(|it| it.parse::<u32>().ok()).unwrap_or_default();
    (number(), number()) >= (0, 15)
}

/// A path as a pattern that fits nothing else.
fn literal(path: &str) -> String {
    let mut pattern = String::new();
    for letter in path.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// What is restored.
#[derive(Default)]
struct Found {
    is_directory: bool,
    files: u64,
    bytes: u64,
    /// Below the top.
    paths: BTreeSet<PathBuf>,
}

impl Found {
    fn see(&mut self, top: &str, node: &Node, is_top: bool) {
        if node.kind != "dir" {
            self.files += 1;
            self.bytes += node.size;
        }
        if is_top {
            self.is_directory = node.kind == "dir";
        } else if let Ok(below) = Path::new(&node.path).strip_prefix(top) {
            self.paths.insert(below.to_owned());
        }
    }

    /// How many entries of a directory are not in the snapshot.
    fn others(&self, root: &Path, below: &Path) -> u64 {
        let entries = fs::read_dir(root.join(below)).into_iter().flatten().flatten();
        let count = |entry: fs::DirEntry| {
            let path = below.join(entry.file_name());
            let is_directory = entry.file_type().is_ok_and(|it| it.is_dir());
            match (self.paths.contains(&path), is_directory) {
                (false, _) => 1,
                (true, true) => self.others(root, &path),
                (true, false) => 0,
            }
        };
        if self.is_directory { entries.map(count).sum() } else { 0 }
    }
}

/// Puts what was restored in the place of what was there.
struct Moving {
    delete: bool,
    removed: u64,
}

impl Moving {
    fn directory(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = BTreeSet::new();
        for entry in entries(from)? {
            let name = entry.file_name();
            if name == STAGE {
                continue;
            }
            self.entry(&entry.path(), &to.join(&name))?;
            names.insert(name);
        }
        for entry in entries(to)?.into_iter().filter(|_| self.delete) {
            let name = entry.file_name();
            if name != STAGE && !names.contains(&name) {
                self.removed += 1;
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let is_directory = |path| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
        if is_directory(from) && is_directory(to) {
            let metadata = Metadata::of(from)?;
            self.directory(from, to)?;
            return metadata.give(to);
        }
        remove(to)?;
        fs::rename(from, to)
    }
}

/// What belongs to a directory besides its entries.
struct Metadata {
    mode: u32,
    owner: (u32, u32),
    times: Timestamps,
    attributes: Vec<(CString, Vec<u8>)>,
}

impl Metadata {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            times: Timestamps {
                last_access: Timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() },
                last_modification: Timespec {
                    tv_sec: metadata.mtime(),
                    tv_nsec: metadata.mtime_nsec(),
                },
            },
            attributes: attributes(path)?,
        })
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        for (name, _) in attributes(path)? {
            if !self.attributes.iter().any(|(other, _)| *other == name) {
                rustix::fs::lremovexattr(path, &name)?;
            }
        }
        for (name, value) in &self.attributes {
            rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())?;
        }
        std::os::unix::fs::lchown(path, Some(self.owner.0), Some(self.owner.1))?;
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))?;
        Ok(rustix::fs::utimensat(CWD, path, &self.times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Extended attributes, without those that the system gives by itself; none where there cannot be any.
fn attributes(path: &Path) -> io::Result<Vec<(CString, Vec<u8>)>> {
    /// The longest that Linux has.
    const LONGEST: usize = 64 * 1024;
    let mut names = vec![0; LONGEST];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        listed => listed?,
    };
    names.truncate(length);
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"security.") {
            continue;
        }
        let name = CString::new(name)?;
        let mut value = vec![0; LONGEST];
        let length = rustix::fs::lgetxattr(path, &name, &mut value)?;
        value.truncate(length);
        found.push((name, value));
    }
    Ok(found)
}

fn entries(path: &Path) -> io::Result<Vec<fs::DirEntry>> {
    fs::read_dir(path)?.collect()
}

/// Removes whatever is there, and follows no link.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn cannot_write(place: &Path, error: &io::Error) -> Failed {
    let class = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::Full,
        _ => Failure::Other,
    };
    Failed::new(class, format!("`{}` cannot be restored into: {error}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_holes_are_known() {
        for (version, expected) in [
            ("restic 0.14.0 compiled with go1.19.8 on linux/amd64", false),
            ("restic 0.15.2 compiled with go1.20", true),
            ("restic 0.18.0-dev (compiled manually)", true),
            ("restic 1.0.0", true),
            ("", false),
        ] {
            assert_eq!(has_sparse(version), expected, "{version}");
        }
    }

    #[test]
    fn a_path_is_no_pattern() {
        assert_eq!(literal("/a*[b]?\\c d"), "/a\\*\\[b\\]\\?\\\\c d");
    }
}
