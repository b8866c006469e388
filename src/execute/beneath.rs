//! Files below a directory that is opened once: the kernel keeps us from leaving it, by a link, by `..`
//! or by a directory that is exchanged while we look.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use crate::plan::housekeeping::{Entry, Kind};
use crate::plan::sync::Attributes;

/// A directory that is open.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    /// What it was opened as, for messages.
    path: PathBuf,
    device: u64,
}

impl Directory {
    /// Opens a directory where somebody said it is; links on the way to it are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, FOR_DIRECTORIES, Mode::empty())?;
        Self::of(fd, path.to_owned())
    }

    /// Opens a directory below this one; nothing on the way may be a link.
    pub(super) fn below(&self, relative: &Path) -> io::Result<Self> {
        if relative.as_os_str().is_empty() {
            return Self::of(self.fd.try_clone()?, self.path.clone());
        }
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.fd, relative, FOR_DIRECTORIES, Mode::empty(), beneath)
            .map_err(explain)?;
        Self::of(fd, self.path.join(relative))
    }

    fn of(fd: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let device = rustix::fs::fstat(&fd)?.st_dev;
        Ok(Self { fd, path, device })
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a path leads to this directory.
    pub(super) fn is(&self, path: &Path) -> bool {
        let (Ok(own), Ok(other)) = (rustix::fs::fstat(&self.fd), rustix::fs::stat(path)) else {
            return false;
        };
        (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
    }

    /// What is in it, by name. What vanishes while it is read is left out.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = self.listing()?.into_iter().map(|(it, _)| it).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// One name in it; `None` where it is not there.
    pub(super) fn entry(&self, name: &OsStr) -> io::Result<Option<Entry>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(self.described(name, &stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in it, with permissions and owner, in no order.
    pub(super) fn listing(&self) -> io::Result<Vec<(Entry, Attributes)>> {
        let mut listing = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsString::from_vec(name.to_vec());
            match rustix::fs::statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => listing.push((self.described(&name, &stat), attributes(&stat))),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(listing)
    }

    /// Its own permissions and owner.
    pub(super) fn attributes(&self) -> io::Result<Attributes> {
        Ok(attributes(&rustix::fs::fstat(&self.fd)?))
    }

    fn described(&self, name: &OsStr, stat: &Stat) -> Entry {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory if stat.st_dev != self.device => Kind::Mount,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let time = |seconds: i64, nanoseconds: u64| {
            let nanoseconds = u32::try_from(nanoseconds).unwrap_or_default();
            DateTime::<Utc>::from_timestamp(seconds, nanoseconds).unwrap_or_default()
        };
        Entry {
            name: name.to_owned(),
            kind,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            names: stat.st_nlink,
        }
    }

    /// Opens a plain file in it for reading; with `write` also for changing its length.
    pub(super) fn open_file(&self, name: &OsStr, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(file)
    }

    /// Makes a file with nobody else's rights; one that is there already is an error.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::APPEND;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(rustix::fs::openat(&self.fd, name, flags, mode)?))
    }

    /// Gives a file another name, which must be free.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // A file system that cannot: the name is looked for first.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if self.entry(to)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
            }
            done => Ok(done?),
        }
    }

    /// Gives a file the name of another one, which is gone then.
    pub(super) fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.put(from, self, to)
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub(super) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Where a link leads.
    pub(super) fn read_link(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// Makes a link.
    pub(super) fn make_link(&self, target: &[u8], name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(OsStr::from_bytes(target), &self.fd, name)?)
    }

    /// Makes a directory that only we may enter.
    pub(super) fn make_directory(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)?)
    }

    /// Puts a file or link of this directory into another one, in place of one that is there.
    pub(super) fn put(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &into.fd, to)?)
    }

    /// Exchanges two names in one step.
    pub(super) fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        let flags = RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(&self.fd, one, &self.fd, other, flags)?)
    }

    /// Gives a file of this directory a second name in another one.
    pub(super) fn also_name(&self, from: &OsStr, into: &Self, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.fd, from, &into.fd, to, AtFlags::empty())?)
    }

    /// Sets permissions of a file or directory; a link is not followed.
    pub(super) fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?)
    }

    /// Sets the owner of whatever has this name; a link is not followed.
    pub(super) fn set_owner(&self, name: &OsStr, (user, group): (u32, u32)) -> io::Result<()> {
        let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        Ok(rustix::fs::chownat(&self.fd, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets its own permissions and owner.
    pub(super) fn set_own(&self, mode: Option<u32>, owner: Option<(u32, u32)>) -> io::Result<()> {
        if let Some((user, group)) = owner {
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            rustix::fs::fchown(&self.fd, user, group)?;
        }
        if let Some(mode) = mode {
            rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode))?;
        }
        Ok(())
    }

    /// Makes all durable that was written to its file system.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd)?)
    }

    /// Makes names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

const FOR_DIRECTORIES: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn explain(error: Errno) -> io::Error {
    match error {
        Errno::NOSYS => io::Error::other("this kernel lacks openat2 (Linux 5.6)"),
        Errno::LOOP => {
            io::Error::other("there is a symbolic link on the way, which is not followed")
        }
        error => error.into(),
    }
}

fn attributes(stat: &Stat) -> Attributes {
    Attributes { mode: stat.st_mode & 0o7777, owner: (stat.st_uid, stat.st_gid) }
}

/// The parts of a relative path.
pub(super) fn parts(path: &Path) -> Vec<&OsStr> {
    path.as_os_str()
        .as_bytes()
        .split(|it| *it == b'/')
        .filter(|it| !it.is_empty())
        .map(OsStr::from_bytes)
        .collect()
}
