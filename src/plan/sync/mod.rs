//! What is to be done so that a directory is as its source: pure decisions over two trees.
//!
//! The same plan is printed by a dry run and carried out by a run.

pub mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::tree::{Checksum, Item, Tree};
use crate::job::work::SyncMap;
use crate::plan::housekeeping::bytes_text;
use crate::source::counted;

/// Permissions of files, of executable ones and of directories where nothing is said.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// Troubles that are named.
const NAMED: usize = 20;

/// What is at a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Permissions and owner of the directory itself; `None` where it is not there.
    pub top: Option<Attributes>,
    /// All that is below it, by relative path; nothing below what is [`Kind::Kept`].
    pub entries: BTreeMap<PathBuf, Seen>,
}

/// One entry of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Permissions and owner.
    pub attributes: Attributes,
}

/// Permissions and owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, in the lowest twelve bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
}

/// What an entry of a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file; its checksum where the source has one of the same name and size.
    File {
        /// Bytes.
        size: u64,
        /// Of its content.
        checksum: Option<Checksum>,
    },
    /// A symbolic link and where it leads.
    Link(Vec<u8>),
    /// A directory.
    Directory,
    /// A directory of another file system.
    Mount,
    /// A socket, a pipe, a device.
    Other,
    /// A directory that is not looked into: excluded, a checkout's `.git`, or another map's destination.
    Kept,
}

/// What is done with one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MapPlan {
    /// The directory.
    pub to: PathBuf,
    /// Removed before anything is put there: files where a directory is to be, and the contrary.
    pub clear: Vec<Removal>,
    /// Directories that are made, outer ones first; empty is the directory itself.
    pub create: Vec<PathBuf>,
    /// Files and links that are written.
    pub copy: Vec<Copy>,
    /// Files, links and directories that go, inner ones first.
    pub remove: Vec<Removal>,
    /// What gets other permissions or another owner.
    pub change: Vec<Change>,
    /// Files and links that are as they are to be.
    pub unchanged: usize,
    /// Entries that are not ours and stay.
    pub kept: usize,
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Relative path.
    pub path: PathBuf,
    /// A directory, which is empty then.
    pub is_directory: bool,
}

/// A file or link that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Relative path.
    pub path: PathBuf,
    /// Whether there was one before.
    pub is_new: bool,
    /// Bytes.
    pub size: u64,
    /// Permissions; none for a link.
    pub mode: Option<u32>,
    /// User and group, where they are said.
    pub owner: Option<(u32, u32)>,
}

/// Something that gets other permissions or another owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Relative path; empty is the directory itself.
    pub path: PathBuf,
    /// Permissions.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
}

/// What is known of a source from runs before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What the last run that succeeded left at the destinations.
    pub revision: Option<String>,
    /// What hooks have not been told since, because a run failed or was cut off in between.
    pub untold: Option<Changed>,
}

/// Files that changed at destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// How many.
    pub count: usize,
    /// Their paths; none where there are more than [`Changed::MOST`], or they are longer together than
    /// a variable may be.
    pub files: Vec<String>,
}

impl Changed {
    /// The most files that are named.
    pub const MOST: usize = 1000;
    /// The most bytes of all names, well below what Linux lets one variable hold.
    pub const MOST_BYTES: usize = 64 * 1024;

    /// Takes more files in.
    pub fn add(&mut self, files: impl Iterator<Item = PathBuf>) {
        if self.files.len() != self.count {
            // Without the names of those before, one may be counted twice.
            self.count += files.count();
            return;
        }
        let mut all: BTreeSet<String> = std::mem::take(&mut self.files).into_iter().collect();
        all.extend(files.map(|file| file.to_string_lossy().into_owned()));
        self.count = all.len();
        let bytes: usize = all.iter().map(|it| it.len() + 1).sum();
        if self.count <= Self::MOST && bytes <= Self::MOST_BYTES {
            self.files = all.into_iter().collect();
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Reasons why nothing can be done with a destination.
pub type Refusals = Vec<String>;

/// Plans what makes a destination as `desired`, which is what [`tree::select`] selects for the map.
///
/// # Errors
///
/// Where something that is not ours is in the way: nothing is to be touched then.
pub fn plan(map: &SyncMap, desired: &Tree, observed: &Observed) -> Result<MapPlan, Refusals> {
    let mut planning = Planning {
        map,
        desired,
        observed,
        plan: MapPlan { to: map.to.clone(), ..MapPlan::default() },
        cleared: BTreeSet::new(),
        refusals: Vec::new(),
    };
    planning.directories();
    planning.items();
    planning.removals();
    let Planning { plan, mut refusals, .. } = planning;
    if desired.items.is_empty() && plan.remove.iter().any(|it| !it.is_directory) {
        let count = plan.remove.iter().filter(|it| !it.is_directory).count();
        refusals.push(format!(
            "the source has nothing for `{}`, and {} would be removed there: empty it by hand if that \
             is meant",
            map.to.display(),
            counted(count, "file"),
        ));
    }
    if map.atomic && observed.entries.values().any(|it| matches!(it.kind, Kind::Mount)) {
        refusals.push(format!(
            "a file system is mounted in `{}`, which cannot be exchanged as a whole: leave out `atomic`",
            map.to.display()
        ));
    }
    refusals.truncate(NAMED);
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

struct Planning<'a> {
    map: &'a SyncMap,
    desired: &'a Tree,
    observed: &'a Observed,
    plan: MapPlan,
    /// What is removed to make way.
    cleared: BTreeSet<PathBuf>,
    refusals: Refusals,
}

impl Planning<'_> {
    fn refuse(&mut self, path: &Path, why: &str) {
        self.refusals.push(format!("`{}`: {why}", self.map.to.join(path).display()));
    }

    /// What the destination has at a path, once the way is clear.
    fn seen(&self, path: &Path) -> Option<&Seen> {
        let entry = self.observed.entries.get(path)?;
        (!self.cleared.contains(path)).then_some(entry)
    }

    fn directories(&mut self) {
        if let Some(top) = self.observed.top {
            self.directory_as_it_is(Path::new(""), top);
        } else {
            self.plan.create.push(PathBuf::new());
        }
        for directory in &self.desired.directories {
            let Some(seen) = self.seen(directory) else {
                self.plan.create.push(directory.clone());
                continue;
            };
            match seen.kind {
                Kind::Directory => self.directory_as_it_is(directory, seen.attributes),
                Kind::File { .. } | Kind::Link(_) => {
                    if self.is_ours(directory, false) {
                        self.clear(directory, false);
                        self.plan.create.push(directory.clone());
                    } else {
                        self.refuse(directory, "a file that is not ours is where a directory is to be");
                    }
                }
                Kind::Mount => self.refuse(
                    directory,
                    "another file system is mounted there: make it the destination of a map of its own",
                ),
                Kind::Other | Kind::Kept => {
                    self.refuse(directory, "something that is not ours is where a directory is to be");
                }
            }
        }
    }

    fn directory_as_it_is(&mut self, path: &Path, attributes: Attributes) {
        let wanted = self.map.dir_mode.filter(|mode| *mode != attributes.mode & 0o777);
        // Bits such as the group's for new files stay.
        let mode = wanted.map(|mode| mode | attributes.mode & 0o7000);
        let owner = self.map.owner.filter(|owner| *owner != attributes.owner);
        if mode.is_some() || owner.is_some() {
            self.plan.change.push(Change { path: path.to_owned(), mode, owner });
        }
    }

    /// Whether something that is not to be there may go.
    fn is_ours(&self, path: &Path, is_directory: bool) -> bool {
        self.map.delete && self.map.selects(&parts(path), is_directory)
    }

    fn clear(&mut self, path: &Path, is_directory: bool) {
        self.cleared.insert(path.to_owned());
        self.plan.clear.push(Removal { path: path.to_owned(), is_directory });
    }

    fn items(&mut self) {
        for (path, item) in &self.desired.items {
            let (mode, size) = match item {
                Item::File(file) => (Some(self.mode_of(file.is_executable)), file.size),
                Item::Link(target) => (None, target.len() as u64),
            };
            let copy = |is_new: bool| Copy {
                path: path.clone(),
                is_new,
                size,
                mode,
                owner: self.map.owner,
            };
            let Some(seen) = self.seen(path) else {
                self.plan.copy.push(copy(true));
                continue;
            };
            match (&seen.kind, item) {
                (Kind::File { size, checksum }, Item::File(file))
                    if *size == file.size && *checksum == Some(file.checksum) =>
                {
                    let change = self.change_of(path, file.is_executable, seen.attributes);
                    self.plan.change.extend(change);
                    self.plan.unchanged += 1;
                }
                (Kind::Link(to), Item::Link(target)) if to == target => {
                    let owner = self.map.owner.filter(|owner| *owner != seen.attributes.owner);
                    let path = path.clone();
                    self.plan.change.extend(owner.map(|owner| Change {
                        path,
                        mode: None,
                        owner: Some(owner),
                    }));
                    self.plan.unchanged += 1;
                }
                (Kind::File { .. } | Kind::Link(_), _) => self.plan.copy.push(copy(false)),
                (Kind::Directory, _) => {
                    let copy = copy(true);
                    if self.clear_directory(path) {
                        self.plan.copy.push(copy);
                    } else {
                        self.refuse(
                            path,
                            "a directory with what is not ours is where a file is to be",
                        );
                    }
                }
                (Kind::Mount | Kind::Other | Kind::Kept, _) => {
                    self.refuse(path, "something that is not ours is where a file is to be");
                }
            }
        }
    }

    /// Clears a directory with all that is in it; false where something of it stays.
    fn clear_directory(&mut self, path: &Path) -> bool {
        let within: Vec<(PathBuf, bool)> = self
            .observed
            .entries
            .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
            .take_while(|(it, _)| it.starts_with(path))
            .map(|(it, seen)| (it.clone(), matches!(seen.kind, Kind::Directory)))
            .collect();
        let may_go = |(it, is_directory): &(PathBuf, bool)| {
            let is_plain = self.observed.entries.get(it).is_some_and(|seen| {
                matches!(seen.kind, Kind::File { .. } | Kind::Link(_) | Kind::Directory)
            });
            is_plain && self.is_ours(it, *is_directory)
        };
        if !within.iter().all(may_go) {
            return false;
        }
        for (it, is_directory) in within.into_iter().rev() {
            self.clear(&it, is_directory);
        }
        true
    }

    fn mode_of(&self, is_executable: bool) -> u32 {
        let mode = self.map.mode.unwrap_or(FILE_MODE);
        if is_executable { mode | (mode & 0o444) >> 2 } else { mode }
    }

    fn change_of(&self, path: &Path, is_executable: bool, is: Attributes) -> Option<Change> {
        let wanted = self.mode_of(is_executable);
        let is_wrong = match self.map.mode {
            Some(_) => is.mode & 0o7777 != wanted,
            // Whoever may read it is not our matter then.
            None => (is.mode & 0o100 != 0) != is_executable,
        };
        let mode = is_wrong.then_some(wanted);
        let owner = self.map.owner.filter(|owner| *owner != is.owner);
        let path = path.to_owned();
        (mode.is_some() || owner.is_some()).then_some(Change { path, mode, owner })
    }

    /// What the source does not have, inner entries first.
    fn removals(&mut self) {
        // How many entries each directory keeps, and whether it lost any.
        let mut stays: BTreeSet<&Path> = BTreeSet::new();
        let mut lost: BTreeSet<&Path> = BTreeSet::new();
        let (observed, desired) = (self.observed, self.desired);
        for (path, seen) in observed.entries.iter().rev() {
            let parent = path.parent().unwrap_or(Path::new(""));
            if self.cleared.contains(path) {
                lost.insert(parent);
                continue;
            }
            let is_wanted = desired.items.contains_key(path) || desired.directories.contains(path);
            let goes = !is_wanted
                && match seen.kind {
                    Kind::File { .. } | Kind::Link(_) => self.is_ours(path, false),
                    Kind::Directory => {
                        // With rules, one that was empty may be somebody else's.
                        let may_be_empty = self.map.rules.is_empty();
                        !stays.contains(path.as_path())
                            && self.is_ours(path, true)
                            && (may_be_empty || lost.contains(path.as_path()))
                    }
                    Kind::Mount | Kind::Other | Kind::Kept => false,
                };
            if goes {
                lost.insert(parent);
                let is_directory = matches!(seen.kind, Kind::Directory);
                self.plan.remove.push(Removal { path: path.clone(), is_directory });
            } else {
                stays.insert(parent);
                self.plan.kept += usize::from(!is_wanted);
            }
        }
    }
}

impl MapPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { clear, create, copy, remove, change, .. } = self;
        [clear.is_empty(), create.is_empty(), copy.is_empty(), remove.is_empty(), change.is_empty()]
            .into_iter()
            .all(|it| it)
    }

    /// Files and links that are written or go, by their paths.
    pub fn changed_files(&self) -> impl Iterator<Item = PathBuf> {
        let removed = self.clear.iter().chain(&self.remove).filter(|it| !it.is_directory);
        let paths = self.copy.iter().map(|it| &it.path).chain(removed.map(|it| &it.path));
        let all: BTreeSet<PathBuf> = paths.map(|path| self.to.join(path)).collect();
        all.into_iter()
    }

    /// Bytes that are written.
    pub fn bytes(&self) -> u64 {
        self.copy.iter().map(|it| it.size).sum()
    }

    /// Files and links that go.
    pub fn removed_files(&self) -> usize {
        self.clear.iter().chain(&self.remove).filter(|it| !it.is_directory).count()
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        let new = self.copy.iter().filter(|it| it.is_new).count();
        for (count, what) in [
            (new, "new"),
            (self.copy.len() - new, "changed"),
            (self.removed_files(), "removed"),
            (self.change.len(), "with other rights"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let to = self.to.display();
        if parts.is_empty() && self.is_empty() {
            return format!("{to}: nothing to do ({} as they are to be)", self.unchanged);
        }
        if parts.is_empty() {
            parts.push("directories only".to_owned());
        }
        format!("{to}: {} ({})", parts.join(", "), bytes_text(self.bytes()))
    }

    /// What is done, one line each.
    pub fn lines(&self) -> Vec<String> {
        let shown = |path: &Path| self.to.join(path).display().to_string();
        let removal = |it: &Removal| {
            let slash = if it.is_directory { "/" } else { "" };
            format!("remove {}{slash}", shown(&it.path))
        };
        let mut lines: Vec<String> = self.clear.iter().map(removal).collect();
        lines.extend(self.copy.iter().map(|it| {
            let what = if it.is_new { "new" } else { "changed" };
            format!("copy {} ({what}, {})", shown(&it.path), bytes_text(it.size))
        }));
        lines.extend(self.remove.iter().map(removal));
        lines.extend(self.change.iter().map(|it| {
            let mode = it.mode.map(|mode| format!(" mode {mode:04o}"));
            let owner = it.owner.map(|(user, group)| format!(" owner {user}:{group}"));
            let (mode, owner) = (mode.unwrap_or_default(), owner.unwrap_or_default());
            format!("set{mode}{owner} of {}", shown(&it.path))
        }));
        lines
    }

    /// Permissions of a directory that is made.
    pub fn new_directory_mode(map: &SyncMap) -> u32 {
        map.dir_mode.unwrap_or(DIRECTORY_MODE)
    }
}

/// The parts of a relative path.
pub fn parts(path: &Path) -> Vec<&OsStr> {
    path.iter().collect()
}

#[cfg(test)]
mod tests;
