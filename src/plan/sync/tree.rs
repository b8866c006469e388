//! A tree of files that a stranger made: what of it may be put into a directory, and what never is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::parts;
use crate::job::work::SyncMap;

/// What git calls a blob's id: SHA-1 over `blob SIZE`, a zero byte and the content.
pub type Checksum = [u8; 20];

/// Longest name, as Linux has it.
const LONGEST_NAME: usize = 255;
/// Longest path, below what Linux has, so that there is room for where it goes.
const LONGEST_PATH: usize = 3072;
/// Links followed for one path, as the kernel's limit.
const MOST_LINKS: usize = 40;
/// Troubles that are named.
const NAMED: usize = 20;

/// Begins the names of directories that we fill before anything is renamed from them.
pub const STAGING: &str = ".roadstead-sync-";

/// Files and links by their relative paths, and the directories that they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Files and links.
    pub items: BTreeMap<PathBuf, Item>,
    /// Directories above them, without the top.
    pub directories: BTreeSet<PathBuf>,
}

/// One file or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A plain file.
    File(FileItem),
    /// A symbolic link and where it leads.
    Link(Vec<u8>),
}

/// One plain file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileItem {
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub checksum: Checksum,
    /// Whether its owner may execute it.
    pub is_executable: bool,
    /// Which entry of its archive it is; 0 in a repository, where the checksum leads to it.
    pub place: usize,
}

/// Why a tree is refused as a whole: of each entry that is wrong its name and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// The first of them.
    pub named: Vec<String>,
    /// How many there are.
    pub count: usize,
}

impl Wrong {
    /// Notes one.
    pub fn add(&mut self, path: &Path, why: &str) {
        self.count += 1;
        if self.named.len() < NAMED {
            // What a stranger named may hold anything, also what moves a terminal's cursor.
            let shown = path.to_string_lossy().escape_debug().to_string();
            self.named.push(format!("`{shown}` {why}"));
        }
    }

    /// All of them in one line; `None` where there is none.
    pub fn message(&self) -> Option<String> {
        let first = self.named.first()?;
        Some(match self.count {
            1 => first.clone(),
            count => format!("{first}, and {} more", count - 1),
        })
    }
}

/// Why no file or directory may have this name; `None` where it may.
pub fn name_refusal(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        return Some("is no name");
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Some("has a `/` or a zero byte in its name");
    }
    if name.eq_ignore_ascii_case(b".git") {
        return Some("is git's own name: a checkout would be made or broken by it");
    }
    if name.starts_with(STAGING.as_bytes()) {
        return Some("has a name that we use ourselves");
    }
    (name.len() > LONGEST_NAME).then_some("has a name that is too long")
}

/// The relative path below a directory; what is wrong with the name is noted.
pub fn joined(directory: &Path, name: &[u8], wrong: &mut Wrong) -> Option<PathBuf> {
    let path = directory.join(OsStr::from_bytes(name));
    if let Some(why) = name_refusal(name) {
        // Joined with an absolute name it would be that name alone.
        let mut shown = directory.as_os_str().to_owned();
        shown.push("/");
        shown.push(OsStr::from_bytes(name));
        wrong.add(Path::new(&shown), why);
        return None;
    }
    if path.as_os_str().len() > LONGEST_PATH {
        wrong.add(&path, "is too long a path");
        return None;
    }
    Some(path)
}

impl Tree {
    /// Puts in a file or link, with the directories that it needs.
    pub fn insert(&mut self, path: PathBuf, item: Item) -> Option<Item> {
        for directory in path.ancestors().skip(1) {
            if directory.as_os_str().is_empty() || self.directories.contains(directory) {
                break;
            }
            self.directories.insert(directory.to_owned());
        }
        self.items.insert(path, item)
    }

    /// Notes files and links that are where a directory is, too.
    pub fn check(&self, wrong: &mut Wrong) {
        for path in self.items.keys().filter(|path| self.directories.contains(*path)) {
            wrong.add(path, "is a file or link, and a directory at once");
        }
    }
}

/// What of a source a map selects, by paths below its directory.
///
/// # Errors
///
/// What is wrong: nothing may be written then.
pub fn select(source: &Tree, map: &SyncMap) -> Result<Tree, Wrong> {
    let mut wrong = Wrong::default();
    if !map.from.as_os_str().is_empty() && !source.directories.contains(&map.from) {
        wrong.add(&map.from, "is no directory of the source");
        return Err(wrong);
    }
    let mut tree = Tree::default();
    for (path, item) in &source.items {
        let Ok(path) = path.strip_prefix(&map.from) else { continue };
        if map.selects(&parts(path), false) {
            tree.insert(path.to_owned(), item.clone());
        }
    }
    for (path, item) in &tree.items {
        if let Item::Link(target) = item
            && let Err(why) = stays_inside(&tree, path, target)
        {
            let target = String::from_utf8_lossy(target).escape_debug().to_string();
            wrong.add(&map.from.join(path), &format!("is a link to `{target}`, which {why}"));
        }
    }
    if wrong.count == 0 { Ok(tree) } else { Err(wrong) }
}

/// Whether a link leads to a place below the top, by way of whatever other links.
fn stays_inside(tree: &Tree, link: &Path, target: &[u8]) -> Result<(), &'static str> {
    let mut at: PathBuf = link.parent().map(Path::to_owned).unwrap_or_default();
    let mut steps: VecDeque<OsString> = VecDeque::new();
    let mut links = 0;
    let mut is_known = true;
    follow(target, &mut steps)?;
    while let Some(step) = steps.pop_front() {
        if step == ".." {
            // Where what is not there would lead is known to nobody.
            if !is_known {
                return Err("goes up from what is not there");
            }
            if !at.pop() {
                return Err("leads out of the directory");
            }
            continue;
        }
        at.push(&step);
        match tree.items.get(&at) {
            Some(Item::Link(target)) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err("goes round in a circle");
                }
                at.pop();
                follow(target, &mut steps)?;
            }
            Some(Item::File(_)) => is_known = false,
            None => is_known &= tree.directories.contains(&at),
        }
    }
    Ok(())
}

/// Puts the steps of a link's target before those that follow.
fn follow(target: &[u8], steps: &mut VecDeque<OsString>) -> Result<(), &'static str> {
    if target.is_empty() || target.contains(&0) {
        return Err("is no path");
    }
    if target.starts_with(b"/") {
        return Err("is an absolute path");
    }
    if target.len() > LONGEST_PATH {
        return Err("is too long a path");
    }
    let parts = target.split(|it| *it == b'/').filter(|it| !it.is_empty() && *it != b".");
    for part in parts.collect::<Vec<_>>().into_iter().rev() {
        steps.push_front(OsString::from_vec(part.to_vec()));
    }
    Ok(())
}
