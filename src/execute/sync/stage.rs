//! How a destination changes: all that is new is written aside first, then put in its place by renames.
//!
//! Until the first rename nothing is touched; after it every file is whole, as it was or as it is to be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tokio_util::sync::CancellationToken;

use super::super::beneath::Directory;
use super::archive;
use super::destination::{Destination, beside, remove_tree};
use crate::git::Reading;
use crate::job::work::{SyncArchive, SyncMap};
use crate::plan::housekeeping::Kind as EntryKind;
use crate::plan::sync::tree::{Checksum, FileItem, Item, STAGING, Tree};
use crate::plan::sync::{Attributes, Change, Kind, MapPlan, Observed, Removal, parts};
use crate::run::RunId;

/// Troubles that are named; all are counted.
const NAMED: usize = 20;

/// Where contents come from.
pub(super) enum Content {
    /// The objects of a repository.
    Git(Reading),
    /// An archive in our own file.
    Archive(PathBuf, SyncArchive),
}

/// One destination and what is to be done with it.
pub(super) struct Task {
    pub(super) map: SyncMap,
    pub(super) desired: Tree,
    pub(super) observed: Observed,
    pub(super) plan: MapPlan,
    pub(super) destination: Destination,
}

/// A destination whose new files are written.
pub(super) struct Staged {
    task: Arc<Task>,
    /// What the staging directory lies in: the destination, or the directory that holds it.
    around: Directory,
    /// The name of the staging directory there.
    name: OsString,
}

/// What went wrong while a destination was changed.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) count: usize,
    pub(super) named: Vec<String>,
}

impl Troubles {
    fn note(&mut self, path: &Path, done: io::Result<()>) {
        if let Err(error) = done {
            self.count += 1;
            if self.named.len() < NAMED {
                self.named.push(format!("`{}`: {error}", path.display()));
            }
        }
    }
}

/// A file that is to be filled: in the staging directory of one of the tasks, by its path there.
struct Slot {
    task: usize,
    path: PathBuf,
    mode: u32,
    owner: Option<(u32, u32)>,
}

/// The files that are to be filled, by their contents.
type Wanted = BTreeMap<(usize, Checksum), (FileItem, Vec<Slot>)>;

/// Writes all that is new of these destinations aside.
///
/// # Errors
///
/// Where that cannot be done: what was written is removed again, and nothing was touched.
pub(super) fn stage(
    tasks: &[Arc<Task>],
    content: &Content,
    run: RunId,
    cancel: &CancellationToken,
) -> Result<Vec<Staged>> {
    let mut staged = Vec::new();
    let written = write_all(tasks, content, run, cancel, &mut staged);
    if let Err(error) = written {
        // The first error counts; what cannot be removed now is removed by the next run.
        for it in &staged {
            it.abandon();
        }
        return Err(error);
    }
    Ok(staged)
}

fn write_all(
    tasks: &[Arc<Task>],
    content: &Content,
    run: RunId,
    cancel: &CancellationToken,
    staged: &mut Vec<Staged>,
) -> Result<()> {
    let mut wanted = Wanted::new();
    for task in tasks {
        staged.push(begin(task, run)?);
        let at = staged.len() - 1;
        let this = &staged[at];
        let slots = if task.map.atomic { this.whole(cancel)? } else { this.single_files()? };
        for (item, slot) in slots {
            let key = (item.place, item.checksum);
            let (_, slots) = wanted.entry(key).or_insert_with(|| (item, Vec::new()));
            slots.push(Slot { task: at, ..slot });
        }
    }
    let parent = |slot: &Slot| {
        let of = &staged[slot.task];
        of.directory()?.below(slot.path.parent().unwrap_or(Path::new("")))
    };
    let places = Places {
        create: &|slot| parent(slot)?.create(name_of(&slot.path)),
        open: &|slot| parent(slot)?.open_file(name_of(&slot.path), false),
    };
    fill(&wanted, content, cancel, &places)?;
    for of in staged.iter() {
        of.around.sync_all().context("make what was written durable")?;
    }
    Ok(())
}

/// How a file that is to be filled is reached.
struct Places<'a> {
    create: &'a dyn Fn(&Slot) -> io::Result<File>,
    open: &'a dyn Fn(&Slot) -> io::Result<File>,
}

/// Fills files with their contents.
fn fill(
    wanted: &Wanted,
    content: &Content,
    cancel: &CancellationToken,
    places: &Places<'_>,
) -> Result<()> {
    let put = |slot: &Slot, write: &mut dyn FnMut(&mut File) -> Result<()>| -> Result<()> {
        let place = || format!("write `{}` aside", slot.path.display());
        let mut file = (places.create)(slot).with_context(place)?;
        write(&mut file).with_context(place)?;
        set_rights(&file, slot.mode, slot.owner).with_context(place)
    };
    match content {
        Content::Git(reading) => {
            for (item, slots) in wanted.values() {
                ensure!(!cancel.is_cancelled(), "stopped while files were written aside");
                for slot in slots {
                    put(slot, &mut |file| reading.write(&item.checksum, file))?;
                }
            }
        }
        Content::Archive(file, options) => {
            // Places are unique in an archive.
            let by_place: BTreeMap<usize, &(FileItem, Vec<Slot>)> =
                wanted.values().map(|it| (it.0.place, it)).collect();
            let mut filled = 0;
            archive::each_file(file, options, cancel, |number, size, from| {
                let Some((item, slots)) = by_place.get(&number) else { return Ok(()) };
                let [first, others @ ..] = slots.as_slice() else { return Ok(()) };
                ensure!(item.size == size, CHANGED);
                put(first, &mut |file| archive::copy(from, size, |part| file.write_all(part)))?;
                // An entry can be read once; a second name of it is a copy of the first.
                for slot in others {
                    let mut first = (places.open)(first)?;
                    put(slot, &mut |file| {
                        archive::copy(&mut first, size, |part| file.write_all(part))
                    })?;
                }
                filled += 1;
                Ok(())
            })?;
            ensure!(filled == wanted.len(), CHANGED);
        }
    }
    Ok(())
}

const CHANGED: &str = "the archive changed while it was read";

fn set_rights(file: &File, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    // The owner first: a change of it takes bits away.
    if let Some((user, group)) = owner {
        std::os::unix::fs::fchown(file, Some(user), Some(group))?;
    }
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// Makes the directory that a destination's new files are written to.
fn begin(task: &Arc<Task>, run: RunId) -> Result<Staged> {
    let path = &task.destination.path;
    let place = || format!("make a directory for what is new of `{}`", path.display());
    let parent = path.parent().with_context(place)?;
    if task.destination.top.is_none() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(place)?;
    }
    let (around, name) = if task.map.atomic {
        let mut name = beside(name_of(path));
        name.push(run.to_string());
        (Directory::open(parent).with_context(place)?, name)
    } else {
        let around = if let Some(top) = &task.destination.top {
            top.below(Path::new("")).with_context(place)?
        } else {
            let parent = Directory::open(parent).with_context(place)?;
            parent.make_directory(name_of(path)).with_context(place)?;
            let top = parent.below(Path::new(name_of(path))).with_context(place)?;
            let mode = MapPlan::new_directory_mode(&task.map);
            top.set_own(Some(mode), task.map.owner).with_context(place)?;
            top
        };
        (around, OsString::from(format!("{STAGING}{run}")))
    };
    around.make_directory(&name).with_context(place)?;
    Ok(Staged { task: Arc::clone(task), around, name })
}

impl Staged {
    /// The staging directory.
    fn directory(&self) -> io::Result<Directory> {
        self.around.below(Path::new(&self.name))
    }

    /// The files that are written on their own, under numbers; links are made at once.
    fn single_files(&self) -> Result<Vec<(FileItem, Slot)>> {
        let directory = self.directory()?;
        let mut slots = Vec::new();
        for (number, copy) in self.task.plan.copy.iter().enumerate() {
            let name = number.to_string();
            match self.task.desired.items.get(&copy.path) {
                Some(Item::File(item)) => {
                    let (mode, owner) = (copy.mode.unwrap_or(0o644), copy.owner);
                    slots.push((*item, Slot { task: 0, path: name.into(), mode, owner }));
                }
                Some(Item::Link(target)) => {
                    self.link(&directory, target, OsStr::new(&name), copy.owner)?;
                }
                None => {}
            }
        }
        Ok(slots)
    }

    fn link(
        &self,
        directory: &Directory,
        target: &[u8],
        name: &OsStr,
        owner: Option<(u32, u32)>,
    ) -> Result<()> {
        let done = directory
            .make_link(target, name)
            .and_then(|()| owner.map_or(Ok(()), |owner| directory.set_owner(name, owner)));
        let to = self.task.map.to.display();
        done.with_context(|| format!("make a link aside for `{to}`"))
    }

    /// The whole directory as it is to be. What does not change gets a second name here; what is to be
    /// written is answered.
    fn whole(&self, cancel: &CancellationToken) -> Result<Vec<(FileItem, Slot)>> {
        let Task { map, desired, observed, plan, destination } = &*self.task;
        let place = |path: &Path| format!("make `{}` anew", map.to.join(path).display());
        let staging = self.directory()?;
        let changes: BTreeMap<&Path, &Change> =
            plan.change.iter().map(|it| (it.path.as_path(), it)).collect();
        let rights = |path: &Path, is: Option<Attributes>| {
            let change = changes.get(path);
            let fresh = MapPlan::new_directory_mode(map);
            let mode = change.and_then(|it| it.mode).or(is.map(|it| it.mode)).unwrap_or(fresh);
            (mode, change.and_then(|it| it.owner).or(is.map(|it| it.owner)).or(map.owner))
        };
        let going: BTreeSet<&Path> =
            plan.remove.iter().chain(&plan.clear).map(|it| it.path.as_path()).collect();
        // Directories: those wanted, and those that stay though nobody wants them.
        let mut directories: BTreeMap<PathBuf, Option<Attributes>> =
            desired.directories.iter().map(|it| (it.clone(), None)).collect();
        for (path, seen) in &observed.entries {
            if matches!(seen.kind, Kind::Directory) && !going.contains(path.as_path()) {
                directories.insert(path.clone(), Some(seen.attributes));
            }
        }
        for path in directories.keys() {
            let parent = staging.below(path.parent().unwrap_or(Path::new("")));
            parent.and_then(|it| it.make_directory(name_of(path))).with_context(|| place(path))?;
        }
        let mut slots = Vec::new();
        let copies: BTreeMap<&Path, _> =
            plan.copy.iter().map(|it| (it.path.as_path(), it)).collect();
        for (path, item) in &desired.items {
            ensure!(!cancel.is_cancelled(), "stopped while the directory was made anew");
            let seen = observed.entries.get(path).map(|it| it.attributes);
            let copy = copies.get(path.as_path());
            let change = changes.get(path.as_path());
            match item {
                Item::Link(target) => {
                    let owner = map.owner.or(seen.filter(|_| copy.is_none()).map(|it| it.owner));
                    let parent = staging.below(path.parent().unwrap_or(Path::new("")))?;
                    self.link(&parent, target, name_of(path), owner)?;
                }
                Item::File(item) if copy.is_some() || change.is_some() => {
                    let is = seen.unwrap_or_default();
                    let (mode, owner) = match copy {
                        Some(copy) => (copy.mode.unwrap_or(0o644), copy.owner),
                        // The same file keeps its old rights until the exchange.
                        None => (
                            change.and_then(|it| it.mode).unwrap_or(is.mode),
                            change.and_then(|it| it.owner).or(Some(is.owner)),
                        ),
                    };
                    slots.push((*item, Slot { task: 0, path: path.clone(), mode, owner }));
                }
                Item::File(_) => self.carry(&staging, path).with_context(|| place(path))?,
            }
        }
        for (path, seen) in &observed.entries {
            let is_ours = desired.items.contains_key(path) || going.contains(path.as_path());
            match seen.kind {
                Kind::Directory => {}
                _ if is_ours => {}
                Kind::Kept => self.carry_all(&staging, path).with_context(|| place(path))?,
                Kind::File { .. } | Kind::Link(_) | Kind::Other | Kind::Mount => {
                    self.carry(&staging, path).with_context(|| place(path))?;
                }
            }
        }
        // Last, as nothing can be made in a directory that nobody may write.
        for (path, is) in directories.iter().rev() {
            let (mode, owner) = rights(path, *is);
            let done = staging.below(path).and_then(|it| it.set_own(Some(mode), owner));
            done.with_context(|| place(path))?;
        }
        let (mode, owner) = rights(Path::new(""), destination.top.as_ref().and(observed.top));
        staging.set_own(Some(mode), owner).with_context(|| place(Path::new("")))?;
        Ok(slots)
    }

    /// Gives what is at a path of the destination a second name at the same path here.
    fn carry(&self, staging: &Directory, path: &Path) -> io::Result<()> {
        let Some(top) = &self.task.destination.top else { return Ok(()) };
        let parent = path.parent().unwrap_or(Path::new(""));
        let (from, into) = (top.below(parent)?, staging.below(parent)?);
        from.also_name(name_of(path), &into, name_of(path))
    }

    /// The same with a directory and all that is in it.
    fn carry_all(&self, staging: &Directory, path: &Path) -> io::Result<()> {
        let Some(top) = &self.task.destination.top else { return Ok(()) };
        let parent = top.below(path.parent().unwrap_or(Path::new("")))?;
        if parent.entry(name_of(path))?.is_some_and(|it| it.kind != EntryKind::Directory) {
            return self.carry(staging, path);
        }
        let mut open = vec![path.to_owned()];
        let mut made = Vec::new();
        while let Some(directory) = open.pop() {
            let inner = top.below(&directory)?;
            let parent = staging.below(directory.parent().unwrap_or(Path::new("")))?;
            parent.make_directory(name_of(&directory))?;
            for entry in inner.entries()? {
                let path = directory.join(&entry.name);
                match entry.kind {
                    EntryKind::Directory => open.push(path),
                    EntryKind::Mount => {
                        return Err(io::Error::other("a file system is mounted in it"));
                    }
                    EntryKind::File | EntryKind::Link | EntryKind::Other => {
                        self.carry(staging, &path)?;
                    }
                }
            }
            made.push((directory, inner.attributes()?));
        }
        for (directory, is) in made.iter().rev() {
            staging.below(directory)?.set_own(Some(is.mode), Some(is.owner))?;
        }
        Ok(())
    }

    /// Where it leads.
    pub(super) fn to(&self) -> &Path {
        &self.task.map.to
    }

    /// Removes what was written aside, because it is not wanted.
    pub(super) fn abandon(&self) {
        // The next run tries again.
        drop(remove_tree(&self.around, &self.name));
    }

    /// Puts what was written in its place; what goes wrong is noted, and the rest is done.
    pub(super) fn switch(&self) -> Troubles {
        let mut troubles = Troubles::default();
        let path = &self.task.destination.path;
        if self.task.map.atomic {
            troubles.note(path, self.exchange());
        } else {
            self.put_in_place(&mut troubles);
        }
        let staging = path.with_file_name(&self.name);
        troubles.note(&staging, remove_tree(&self.around, &self.name).or_else(is_gone));
        troubles
    }

    fn exchange(&self) -> io::Result<()> {
        let name = name_of(&self.task.destination.path);
        if self.task.destination.top.is_none() {
            return self.around.rename(&self.name, name);
        }
        self.around.exchange(&self.name, name).map_err(|error| {
            let why = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::BUSY) => "a file system is mounted there: mount its parent",
                Some(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    "this file system cannot exchange directories"
                }
                _ => return error,
            };
            io::Error::other(format!("{why}, or leave out `atomic`"))
        })
    }

    fn put_in_place(&self, troubles: &mut Troubles) {
        let Task { map, plan, .. } = &*self.task;
        let top = &self.around;
        let parent = |path: &Path| top.below(path.parent().unwrap_or(Path::new("")));
        let remove = |it: &Removal| {
            let name = name_of(&it.path);
            let removed = parent(&it.path).and_then(|parent| {
                if it.is_directory { parent.remove_directory(name) } else { parent.remove(name) }
            });
            removed.or_else(is_gone)
        };
        let shown = |path: &Path| map.to.join(path);
        for it in &plan.clear {
            troubles.note(&shown(&it.path), remove(it));
        }
        for path in plan.create.iter().filter(|it| !it.as_os_str().is_empty()) {
            let made = parent(path).and_then(|parent| {
                parent.make_directory(name_of(path))?;
                let made = parent.below(Path::new(name_of(path)))?;
                made.set_own(Some(MapPlan::new_directory_mode(map)), map.owner)
            });
            troubles.note(&shown(path), made);
        }
        match self.directory() {
            Err(error) => troubles.note(&shown(Path::new(&self.name)), Err(error)),
            Ok(staging) => {
                for (number, copy) in plan.copy.iter().enumerate() {
                    let name = number.to_string();
                    let put = parent(&copy.path).and_then(|parent| {
                        staging.put(OsStr::new(&name), &parent, name_of(&copy.path))
                    });
                    troubles.note(&shown(&copy.path), put);
                }
            }
        }
        for it in &plan.remove {
            let done = remove(it).or_else(|error| match error.kind() {
                // Somebody put something into it meanwhile.
                io::ErrorKind::DirectoryNotEmpty => Ok(()),
                _ => Err(error),
            });
            troubles.note(&shown(&it.path), done);
        }
        for change in &plan.change {
            let path = &change.path;
            let changed = match parts(path).last() {
                None => top.set_own(change.mode, change.owner),
                Some(name) => parent(path).and_then(|parent| {
                    if let Some(owner) = change.owner {
                        parent.set_owner(name, owner)?;
                    }
                    change.mode.map_or(Ok(()), |mode| parent.set_mode(name, mode))
                }),
            };
            troubles.note(&shown(path), changed);
        }
    }
}

fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
