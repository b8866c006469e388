//! Restores what an archive holds, in the order in which it lies there, and writes nothing outside of the
//! directory that is meant.
//!
//! Entries come sorted as they were written, so only the directories on the way to the present one are
//! known at a time; an archive in another order is not ours and is refused.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Timestamps, fstat, futimens};

use super::super::protocol::{Failure, Summary};
use super::super::restore::{What, is_inside, target};
use super::super::talk::{Failed, Outcome};
use super::Place;
use super::beneath::{self, Unset, Unwritten};
use super::item::{Item, Items, Kind};
use super::look::selected;
use super::record::Record;
use super::stream::Content;

/// The mode of directories that the archive says nothing of, and of others until they are left.
const MODES: (u32, u32) = (0o755, 0o700);

/// Names on the way to something.
type Parts = Vec<OsString>;

/// Restores it.
///
/// # Errors
///
/// When there is no such snapshot or path, it is not whole, or it cannot be written.
pub(super) fn restore(place: &Place, snapshot: (&str, &[String]), what: &What) -> Outcome<Summary> {
    let record = place.find(snapshot)?;
    let below = selected(what.path.as_deref())?;
    target(what)?;
    let mut way = Way {
        place,
        record: &record,
        what,
        below,
        has_directory: what.path.is_none(),
        levels: Vec::new(),
        later: BTreeMap::new(),
        files: 0,
        bytes: 0,
        removed: 0,
    };
    let mut items = place.items(&record)?;
    while let Some(item) = items.next().map_err(|error| place.unread(&record, &error))? {
        let parts = way.parts(&item.path)?;
        if let Some(parts) = way.relative(&parts, item.kind == Kind::Directory) {
            way.put(&mut items, &item, &parts)?;
        }
    }
    if way.levels.is_empty() && what.path.is_some() {
        return Err(super::look::no_such_path(&record, what.path.as_deref()));
    }
    way.copy_later()?;
    way.leave(0)?;
    let Way { files, bytes, removed, .. } = way;
    Ok(Summary {
        snapshot: Some(record.snapshot.clone()),
        files_changed: files + removed,
        files,
        bytes,
        ..Summary::default()
    })
}

/// A directory that is being filled.
struct Level {
    /// Its name in the one above.
    name: OsString,
    /// In a dry run it may not be there.
    directory: Option<OwnedFd>,
    /// The last name that was put there.
    last: Option<OsString>,
    /// All of them, where others are removed.
    names: HashSet<OsString>,
    /// What is set when it is left.
    item: Option<Item>,
}

/// Where the restore is.
struct Way<'a> {
    place: &'a Place,
    record: &'a Record,
    what: &'a What,
    /// What is wanted of the snapshot.
    below: Parts,
    /// That is a directory, as far as it is known.
    has_directory: bool,
    /// From `to` down to the present directory.
    levels: Vec<Level>,
    /// Files that are not restored themselves, but under other names: these.
    later: BTreeMap<Parts, Vec<Parts>>,
    files: u64,
    bytes: u64,
    removed: u64,
}

impl Way<'_> {
    /// The names of a path in an archive; none of them leads outside.
    fn parts(&self, path: &Path) -> Outcome<Parts> {
        let bytes = path.as_os_str().as_bytes();
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
        if parts.iter().all(|part| is_inside(part)) {
            return Ok(parts.into_iter().map(|part| OsStr::from_bytes(part).to_owned()).collect());
        }
        Err(self.damaged(&format!("names `{}`, which would be outside", path.display())))
    }

    /// Where in `to` something belongs; `None` where it is not wanted.
    fn relative(&mut self, parts: &[OsString], is_directory: bool) -> Option<Parts> {
        let rest = parts.strip_prefix(self.below.as_slice())?;
        self.has_directory |= is_directory || !rest.is_empty();
        match parts.last() {
            Some(name) if rest.is_empty() && !is_directory => Some(vec![name.clone()]),
            _ => Some(rest.to_vec()),
        }
    }

    fn put(&mut self, items: &mut Items<Content>, item: &Item, parts: &[OsString]) -> Outcome<()> {
        if self.levels.is_empty() {
            self.enter_top()?;
        }
        let Some((name, above)) = parts.split_last() else {
            let is_first = |top: &&mut Level| top.item.is_none() && top.last.is_none();
            let top = self.levels.first_mut().filter(is_first).map(|top| &mut top.item);
            return match top {
                Some(top) => {
                    *top = Some(item.clone());
                    Ok(())
                }
                None => Err(self.damaged("names the same directory twice")),
            };
        };
        let inside = self.levels.iter().skip(1).zip(above);
        let common = inside.take_while(|(level, name)| level.name == **name).count();
        self.leave(common + 1)?;
        for name in &above[common..] {
            self.claim(name)?;
            self.enter(name, None)?;
        }
        self.claim(name)?;
        if item.kind == Kind::Directory {
            return self.enter(name, Some(item));
        }
        self.files += 1;
        self.bytes += item.size;
        if self.what.dry_run {
            return Ok(());
        }
        let path = self.path(name);
        let unset = self.make(items, (item, name), parts)?;
        self.tell(&path, unset);
        Ok(())
    }

    /// Makes what is no directory.
    fn make(
        &mut self,
        items: &mut Items<Content>,
        (item, name): (&Item, &OsStr),
        parts: &[OsString],
    ) -> Outcome<Unset> {
        let Some(directory) = self.levels.last().and_then(|level| level.directory.as_ref()) else {
            return Ok(Unset::new());
        };
        let failed = |error: io::Error| self.failed(name, &error);
        beneath::remove(directory.as_fd(), name).map_err(failed)?;
        match &item.kind {
            Kind::File => {
                let wrote = |count| self.place.talk.progress("restore", count);
                beneath::write_file(directory, (name, item), (items, &wrote)).map_err(|error| {
                    match error {
                        Unwritten::Source(error) => self.place.unread(self.record, &error),
                        Unwritten::Target(error) => failed(error),
                    }
                })
            }
            Kind::Again(file) => {
                let file = self.parts(file)?;
                let is_linked = match file.strip_prefix(self.below.as_slice()) {
                    Some([]) | None => false,
                    Some(file) => match beneath::link(self.top()?, file, (directory.as_fd(), name))
                    {
                        Ok(()) => true,
                        Err(error) if error.kind() == ErrorKind::CrossesDevices => false,
                        Err(error) if is_no_file(&error) => {
                            let what = format!("`{}`, which is no file of it", item.path.display());
                            return Err(self.damaged(&format!("has a further name {what}")));
                        }
                        Err(error) => return Err(failed(error)),
                    },
                };
                if !is_linked {
                    self.later.entry(file).or_default().push(parts.to_vec());
                }
                Ok(Unset::new())
            }
            _ => beneath::make(directory.as_fd(), name, item).map_err(failed),
        }
    }

    /// Files that are wanted under a further name only are read in a second pass.
    fn copy_later(&mut self) -> Outcome<()> {
        if self.later.is_empty() {
            return Ok(());
        }
        let mut items = self.place.items(self.record)?;
        while let Some(item) =
            items.next().map_err(|error| self.place.unread(self.record, &error))?
        {
            let parts = self.parts(&item.path)?;
            let wanted = if item.kind == Kind::File { self.later.remove(&parts) } else { None };
            let Some((first, others)) = wanted.as_deref().and_then(<[Parts]>::split_first) else {
                continue;
            };
            let unset = self.copy(&mut items, (&item, first))?;
            self.tell(&self.what.to.join(first.iter().collect::<PathBuf>()), unset);
            for other in others {
                self.within(other, |directory, name| {
                    beneath::link(self.top()?, first, (directory, name))
                        .map_err(|error| self.failed(name, &error))
                })?;
            }
            self.bytes += item.size;
        }
        match self.later.keys().next() {
            None => Ok(()),
            Some(file) => {
                let shown = file.iter().collect::<PathBuf>();
                Err(self.damaged(&format!("has no file `{}`", shown.display())))
            }
        }
    }

    fn copy(&self, items: &mut Items<Content>, (item, to): (&Item, &[OsString])) -> Outcome<Unset> {
        let wrote = |count| self.place.talk.progress("restore", count);
        self.within(to, |directory, name| {
            beneath::write_file(directory, (name, item), (&mut *items, &wrote)).map_err(|error| {
                match error {
                    Unwritten::Source(error) => self.place.unread(self.record, &error),
                    Unwritten::Target(error) => self.failed(name, &error),
                }
            })
        })
    }

    /// Does something in a directory that was left already, and leaves its time as it was.
    fn within<T>(
        &self,
        parts: &[OsString],
        act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> Outcome<T>,
    ) -> Outcome<T> {
        let (name, above) = parts.split_last().ok_or_else(|| self.damaged("has no name"))?;
        let failed = |error: io::Error| self.failed(name, &error);
        let mut directory = self.top()?.try_clone_to_owned().map_err(failed)?;
        for part in above {
            directory = beneath::open(&directory, part).map_err(failed)?;
        }
        let before = fstat(&directory).map_err(|error| failed(error.into()))?;
        let done = act(directory.as_fd(), name)?;
        let times = Timestamps {
            last_access: rustix::fs::Timespec {
                tv_sec: before.st_atime,
                tv_nsec: i64::try_from(before.st_atime_nsec).unwrap_or_default(),
            },
            last_modification: rustix::fs::Timespec {
                tv_sec: before.st_mtime,
                tv_nsec: i64::try_from(before.st_mtime_nsec).unwrap_or_default(),
            },
        };
        futimens(&directory, &times).map_err(|error| failed(error.into()))?;
        Ok(done)
    }

    /// Takes a name in the present directory: each comes once, and in order.
    fn claim(&mut self, name: &OsStr) -> Outcome<()> {
        let keeps_names = self.what.delete;
        if let Some(level) = self.levels.last_mut()
            && level.last.as_deref().is_none_or(|last| last < name)
        {
            level.last = Some(name.to_owned());
            if keeps_names {
                level.names.insert(name.to_owned());
            }
            return Ok(());
        }
        let shown = self.path(name);
        Err(self.damaged(&format!("names `{}` twice, or in no order", shown.display())))
    }

    fn enter_top(&mut self) -> Outcome<()> {
        let to = self.what.to.as_path();
        let opened = if self.what.dry_run {
            Ok(beneath::open(CWD, to.as_os_str()).ok())
        } else {
            fs::create_dir_all(to).and_then(|()| beneath::open(CWD, to.as_os_str())).map(Some)
        };
        let directory = opened.map_err(|error| self.failed(OsStr::new(""), &error))?;
        self.push(OsStr::new(""), directory, None);
        Ok(())
    }

    /// Goes down into a directory; what is there and is none is removed.
    fn enter(&mut self, name: &OsStr, item: Option<&Item>) -> Outcome<()> {
        let above = self.levels.last().and_then(|level| level.directory.as_ref());
        let mut is_removed = false;
        let opened = match above {
            None => Ok(None),
            Some(above) if self.what.dry_run => Ok(beneath::open(above, name).ok()),
            Some(above) => beneath::kind_of(above, name)
                .and_then(|kind| {
                    if kind == Some(FileType::Directory) {
                        return Ok(());
                    }
                    if kind.is_some() {
                        is_removed = true;
                        beneath::remove(above.as_fd(), name)?;
                    }
                    let mode = if item.is_some() { MODES.1 } else { MODES.0 };
                    beneath::make_directory(above, name, mode)
                })
                .and_then(|()| beneath::open(above, name))
                .map(Some),
        };
        let directory = opened.map_err(|error| self.failed(name, &error))?;
        self.removed += u64::from(is_removed);
        self.push(name, directory, item.cloned());
        Ok(())
    }

    fn push(&mut self, name: &OsStr, directory: Option<OwnedFd>, item: Option<Item>) {
        let names = HashSet::new();
        self.levels.push(Level { name: name.to_owned(), directory, last: None, names, item });
    }

    /// Goes up until so many levels are left: removes what else is in each directory, and sets what
    /// belongs to it.
    fn leave(&mut self, depth: usize) -> Outcome<()> {
        while self.levels.len() > depth {
            let path = self.path(OsStr::new(""));
            let Some(level) = self.levels.pop() else { return Ok(()) };
            let Some(directory) = level.directory else { continue };
            if self.what.delete && self.has_directory {
                let failed = |error: io::Error| writing_failed(&path, &error);
                for name in beneath::names(&directory).map_err(failed)? {
                    if level.names.contains(&name) {
                        continue;
                    }
                    self.removed += 1;
                    if !self.what.dry_run {
                        beneath::remove(directory.as_fd(), &name).map_err(failed)?;
                    }
                }
            }
            if let Some(item) = level.item.filter(|_| !self.what.dry_run) {
                self.tell(&path, beneath::set(&directory, &item));
            }
        }
        Ok(())
    }

    fn top(&self) -> Outcome<BorrowedFd<'_>> {
        let top = self.levels.first().and_then(|top| top.directory.as_ref());
        top.map(AsFd::as_fd).ok_or_else(|| self.damaged("has nothing that is wanted"))
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        let names = self.levels.iter().skip(1).map(|level| level.name.as_os_str());
        names.chain(Some(name)).fold(self.what.to.clone(), |mut path, name| {
            if !name.is_empty() {
                path.push(name);
            }
            path
        })
    }

    fn tell(&self, path: &Path, unset: Unset) {
        for (what, error) in unset {
            let what = format!("{what} cannot be restored: {error}");
            self.place.talk.trouble(path.display().to_string(), what, false);
        }
    }

    fn failed(&self, name: &OsStr, error: &io::Error) -> Failed {
        writing_failed(&self.path(name), error)
    }

    fn damaged(&self, what: &str) -> Failed {
        let (archive, place) = (&self.record.archive, &self.place.name);
        Failed::new(
            Failure::Damaged,
            format!(
                "`{archive}` in {place} {what}: it is none of ours, and nothing more of it is restored"
            ),
        )
    }
}

fn writing_failed(path: &Path, error: &io::Error) -> Failed {
    let class = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::Full,
        _ => Failure::Other,
    };
    Failed::new(class, format!("`{}` cannot be restored: {error}", path.display()))
}

/// Whether a link failed because of what it names.
fn is_no_file(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
