//! Files as they are at given commits, whatever the work trees hold at the moment.
//!
//! Only what git does not track comes from the work tree; nothing named by a repository leads out of it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use git2::{FileMode, ObjectType, Oid, Repository};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::checkout;
use crate::compose::Files;
use crate::source::{Commit, Source};

/// Bytes beyond which a file is refused.
pub const LARGEST_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Symlinks followed for one path, as the kernel's limit.
const MOST_SYMLINKS: usize = 40;

/// Files of several sources, each at one commit; other paths are read from the disk.
pub struct View {
    roots: Vec<Root>,
    /// Whether pipes and devices are read, too, however long that takes.
    pipes: bool,
}

struct Root {
    directory: PathBuf,
    tree: Oid,
    repository: Mutex<Repository>,
}

/// Where a path leads in a tree.
enum InTree {
    /// To this blob.
    Blob(Oid),
    /// To nothing that the tree has, under this path.
    Absent(PathBuf),
    /// To something that is no file.
    NotAFile,
}

impl View {
    /// Opens a view of these sources at these commits.
    ///
    /// # Errors
    ///
    /// Fails when a source is no repository, or lacks its commit.
    pub fn open(revisions: &[(Source, Commit)]) -> Result<Self> {
        let mut roots = Vec::new();
        for (source, commit) in revisions {
            let repository = checkout::open(source)
                .with_context(|| format!("open `{}`", source.directory.display()))?;
            let tree = repository
                .find_commit(checkout::id(commit)?)
                .with_context(|| format!("find commit `{commit}` of `{}`", source.name))?
                .tree_id();
            let directory = checkout::root(source);
            roots.push(Root { directory, tree, repository: Mutex::new(repository) });
        }
        // A checkout inside another one is asked first.
        roots.sort_by_key(|root| std::cmp::Reverse(root.directory.components().count()));
        Ok(Self { roots, pipes: false })
    }

    /// Files of this machine as whoever typed a command sees them: a pipe is a file, too, as in
    /// `-f <(envsubst <compose.yml)`.
    pub fn of_this_machine() -> Self {
        Self { roots: Vec::new(), pipes: true }
    }

    /// The content of a file at this absolute path, within [`LARGEST_FILE_BYTES`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is none; otherwise says what is wrong with the file.
    pub fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = plain(path)?;
        for root in &self.roots {
            if let Ok(inside) = path.strip_prefix(&root.directory) {
                return root.read(inside).map_err(|error| named(&error, &path));
            }
        }
        let read = if self.pipes {
            File::open(&path).and_then(read_whole)
        } else {
            let opened = rustix::fs::open(&path, reading(), Mode::empty());
            opened.map_err(io::Error::from).and_then(read_file)
        };
        read.map_err(|error| named(&error, &path))
    }
}

impl Files for View {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        Self::read_bytes(self, path)
    }
}

impl Root {
    fn read(&self, inside: &Path) -> io::Result<Vec<u8>> {
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        match self.find(&repository, inside)? {
            InTree::Blob(id) => read_blob(&repository, id),
            InTree::NotAFile => Err(io::Error::new(ErrorKind::IsADirectory, "is no file")),
            InTree::Absent(resolved) => self.read_untracked(&repository, &resolved),
        }
    }

    /// Walks the tree by hand, because a path through a symlink is none to git.
    fn find(&self, repository: &Repository, inside: &Path) -> io::Result<InTree> {
        let mut names: VecDeque<OsString> = inside.iter().map(OsStr::to_owned).collect();
        let mut resolved = PathBuf::new();
        let mut symlinks = 0;
        while let Some(name) = names.pop_front() {
            if name == ".." {
                if !resolved.pop() {
                    return Err(leaves());
                }
                continue;
            }
            resolved.push(&name);
            let Some((id, kind, mode)) = self.entry(repository, &resolved)? else {
                resolved.extend(names);
                return Ok(InTree::Absent(plain_inside(&resolved)?));
            };
            if mode == i32::from(FileMode::Link) {
                symlinks += 1;
                if symlinks > MOST_SYMLINKS {
                    return Err(io::Error::new(ErrorKind::InvalidInput, "too many symlinks"));
                }
                let target = read_blob(repository, id)?;
                let target = Path::new(OsStr::from_bytes(&target));
                if target.is_absolute() {
                    return Err(leaves());
                }
                resolved.pop();
                let steps = target.components().filter(|one| !matches!(one, Component::CurDir));
                for step in steps.rev() {
                    names.push_front(step.as_os_str().to_owned());
                }
                continue;
            }
            match kind {
                Some(ObjectType::Tree) => {}
                Some(ObjectType::Blob) if names.is_empty() => return Ok(InTree::Blob(id)),
                // The content of a submodule is not in this tree.
                Some(ObjectType::Commit) => {
                    resolved.extend(names);
                    return Ok(InTree::Absent(plain_inside(&resolved)?));
                }
                _ => return Err(io::Error::new(ErrorKind::NotFound, "no such file")),
            }
        }
        Ok(InTree::NotAFile)
    }

    fn entry(
        &self,
        repository: &Repository,
        path: &Path,
    ) -> io::Result<Option<(Oid, Option<ObjectType>, i32)>> {
        let tree = repository.find_tree(self.tree).map_err(|error| from_git(&error))?;
        match tree.get_path(path) {
            Ok(entry) => Ok(Some((entry.id(), entry.kind(), entry.filemode()))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(from_git(&error)),
        }
    }

    /// Reads a file that git does not track. One it tracks now but not at the commit does not exist.
    fn read_untracked(&self, repository: &Repository, resolved: &Path) -> io::Result<Vec<u8>> {
        let first = resolved.components().next();
        if first.is_some_and(|name| name.as_os_str().eq_ignore_ascii_case(".git")) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "is git's own"));
        }
        let index = repository.index().map_err(|error| from_git(&error))?;
        if index.get_path(resolved, 0).is_some() {
            return Err(io::Error::new(ErrorKind::NotFound, "no such file at this commit"));
        }
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.directory, directory, Mode::empty())?;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, resolved, reading(), Mode::empty(), beneath) {
            Ok(file) => read_file(file),
            Err(rustix::io::Errno::XDEV) => Err(leaves()),
            Err(rustix::io::Errno::NOSYS) => {
                let message = "cannot be opened safely: this kernel lacks openat2 (Linux 5.6)";
                Err(io::Error::new(ErrorKind::Unsupported, message))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Never waits for a pipe or becomes the owner of a terminal.
fn reading() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

fn read_file(file: OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(file);
    let about = file.metadata()?;
    if !about.is_file() && !about.is_dir() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "is no regular file"));
    }
    read_whole(file)
}

fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "is a directory"));
    }
    let size = about.len().min(LARGEST_FILE_BYTES);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    file.take(LARGEST_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    check_size(bytes.len() as u64)?;
    Ok(bytes)
}

fn read_blob(repository: &Repository, id: Oid) -> io::Result<Vec<u8>> {
    // The header tells the size, so that a huge blob is never unpacked.
    let database = repository.odb().map_err(|error| from_git(&error))?;
    let (size, _) = database.read_header(id).map_err(|error| from_git(&error))?;
    check_size(size as u64)?;
    let blob = repository.find_blob(id).map_err(|error| from_git(&error))?;
    Ok(blob.content().to_owned())
}

fn check_size(bytes: u64) -> io::Result<()> {
    if bytes <= LARGEST_FILE_BYTES {
        return Ok(());
    }
    let limit = LARGEST_FILE_BYTES / (1024 * 1024);
    Err(io::Error::new(ErrorKind::FileTooLarge, format!("is larger than {limit} MiB")))
}

/// The path without `.` and `..`, which for an absolute path is decided by its text.
fn plain(path: &Path) -> io::Result<PathBuf> {
    if !path.is_absolute() {
        let message = format!("`{}` is no absolute path", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Normal(_) | Component::Prefix(_) => {
                plain.push(component);
            }
        }
    }
    Ok(plain)
}

fn plain_inside(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(leaves());
            }
        }
    }
    Ok(plain)
}

fn leaves() -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, "leads out of the repository")
}

fn from_git(error: &git2::Error) -> io::Error {
    io::Error::other(error.message().to_owned())
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
