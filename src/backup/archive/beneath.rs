//! Writing below a directory and nowhere else: every call is about one name in a directory that is open,
//! so no link in the way is ever followed.

use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, flistxattr, fremovexattr, fsetxattr, futimens, linkat, lsetxattr, makedev,
    mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};

use super::item::{Item, Kind, Time};

/// Names of the attributes of a file take at most this.
const NAMES: usize = 64 << 10;
/// What is written at once. One that is all zeros is left out of the file.
const BUFFER: usize = 64 << 10;

/// What could not be set of an entry that was made.
pub(super) type Unset = Vec<(&'static str, io::Error)>;

/// A directory below another.
pub(super) fn open(above: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(above, name, flags, Mode::empty())?)
}

/// What a name is; `None` where nothing is.
pub(super) fn kind_of(above: impl AsFd, name: &OsStr) -> io::Result<Option<FileType>> {
    match statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a directory; its mode is set when it is left.
pub(super) fn make_directory(above: impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(mkdirat(above, name, Mode::from_raw_mode(mode))?)
}

/// The names in a directory.
pub(super) fn names(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a name, and all below it.
pub(super) fn remove(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let directory = open(above, name)?;
    for inner in names(&directory)? {
        remove(directory.as_fd(), &inner)?;
    }
    Ok(unlinkat(above, name, AtFlags::REMOVEDIR)?)
}

/// Makes a file of `content`; nothing has that name.
pub(super) fn write_file(
    above: impl AsFd,
    (name, item): (&OsStr, &Item),
    (content, wrote): (&mut impl Read, &dyn Fn(u64)),
) -> Result<Unset, Unwritten> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(above, name, flags, Mode::RUSR | Mode::WUSR);
    let mut file = std::fs::File::from(made.map_err(|error| Unwritten::Target(error.into()))?);
    let mut buffer = vec![0; BUFFER];
    let mut left = item.size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
        let piece = &mut buffer[..most];
        content.read_exact(piece).map_err(Unwritten::Source)?;
        let written = if piece.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(i64::try_from(most).unwrap_or_default())).map(drop)
        } else {
            file.write_all(piece)
        };
        written.map_err(Unwritten::Target)?;
        left -= most as u64;
        wrote(most as u64);
    }
    file.set_len(item.size).map_err(Unwritten::Target)?;
    Ok(set(&file, item))
}

/// Whose error it is.
pub(super) enum Unwritten {
    /// What is read.
    Source(io::Error),
    /// What is written.
    Target(io::Error),
}

/// Makes what is no directory, has no content and is no further name; nothing has that name.
pub(super) fn make(above: BorrowedFd<'_>, name: &OsStr, item: &Item) -> io::Result<Unset> {
    let mode = Mode::from_raw_mode(item.mode & 0o7777);
    let node = |kind: FileType, device: u64| mknodat(above, name, kind, mode, device);
    let result = match &item.kind {
        Kind::Link(target) => symlinkat(target, above, name),
        Kind::Character(major, minor) => node(FileType::CharacterDevice, makedev(*major, *minor)),
        Kind::Block(major, minor) => node(FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Pipe => node(FileType::Fifo, 0),
        Kind::File | Kind::Again(_) | Kind::Directory => return Err(ErrorKind::InvalidInput.into()),
    };
    match result {
        // Not everybody may make devices; the rest is of use without.
        Err(rustix::io::Errno::PERM) => return Ok(vec![("it", rustix::io::Errno::PERM.into())]),
        other => other?,
    }
    let mut unset = Unset::new();
    let mut look = |what, result: rustix::io::Result<()>| {
        unset.extend(result.err().map(|error| (what, error.into())));
    };
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    look("its owner", chownat(above, name, owner(item), group(item), nofollow));
    if !matches!(item.kind, Kind::Link(_)) {
        // Nobody but us writes here, and it was made just now: it is no link.
        look("its mode", rustix::fs::chmodat(above, name, mode, AtFlags::empty()));
    }
    for (attribute, value) in &item.attributes {
        // There is no call for a name in a directory.
        let mut path = format!("/proc/self/fd/{}/", above.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.as_bytes());
        let set = lsetxattr(OsStr::from_bytes(&path), attribute, value, XattrFlags::empty());
        look("an extended attribute", set);
    }
    look("its time", utimensat(above, name, &times(item.modified), nofollow));
    Ok(unset)
}

/// Gives a file below `root` one more name; nothing has that name.
pub(super) fn link(
    root: BorrowedFd<'_>,
    file: &[OsString],
    (above, name): (BorrowedFd<'_>, &OsStr),
) -> io::Result<()> {
    let (last, directories) = file.split_last().ok_or(ErrorKind::NotFound)?;
    let mut directory = root.try_clone_to_owned()?;
    for part in directories {
        directory = open(&directory, part)?;
    }
    if kind_of(&directory, last)? != Some(FileType::RegularFile) {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(linkat(&directory, last, above, name, AtFlags::empty())?)
}

/// Sets what belongs to an open file or directory, the time last.
pub(super) fn set(file: impl AsFd, item: &Item) -> Unset {
    let mut unset = Unset::new();
    let mut look = |what, result: rustix::io::Result<()>| {
        unset.extend(result.err().map(|error| (what, error.into())));
    };
    look("its owner", fchown(&file, owner(item), group(item)));
    look("its mode", fchmod(&file, Mode::from_raw_mode(item.mode & 0o7777)));
    let mut there = vec![0_u8; NAMES];
    // Where there are none at all, nothing is to be removed.
    let length = flistxattr(&file, there.as_mut_slice()).unwrap_or_default();
    let there = there[..length].split_inclusive(|byte| *byte == 0);
    for name in there.filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        if !item.attributes.iter().any(|(wanted, _)| wanted.as_bytes() == name.to_bytes()) {
            look("an extended attribute", fremovexattr(&file, name));
        }
    }
    for (name, value) in &item.attributes {
        look("an extended attribute", fsetxattr(&file, name, value, XattrFlags::empty()));
    }
    look("its time", futimens(&file, &times(item.modified)));
    unset
}

fn owner(item: &Item) -> Option<Uid> {
    (item.uid != u32::MAX).then(|| Uid::from_raw(item.uid))
}

fn group(item: &Item) -> Option<Gid> {
    (item.gid != u32::MAX).then(|| Gid::from_raw(item.gid))
}

fn times(modified: Time) -> Timestamps {
    let time = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
