//! Restores what a snapshot holds into a directory, and writes nothing outside of it.
//!
//! The library follows links in its way, writes over files that have other names elsewhere, and stops at
//! files where it makes links. So what is in its way is removed first, and names are looked at.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustic_core::repofile::{Node, NodeType};
use rustic_core::{
    IndexedTree, LocalDestination, LsOptions, Repository, RestoreOptions, RusticResult,
};

use super::files::node_at;
use super::protocol::{Failure, Summary};
use super::repository::{Hold, Site, find};
use super::snapshots::told;
use super::talk::{Failed, Outcome};

/// What is restored.
pub(super) struct What {
    pub(super) path: Option<String>,
    pub(super) to: PathBuf,
    pub(super) delete: bool,
    pub(super) dry_run: bool,
}

/// Restores it.
///
/// # Errors
///
/// When there is no such snapshot or path, it is not whole, or it cannot be written.
pub(super) fn restore(site: &Site, snapshot: (&str, &[String]), what: &What) -> Outcome<Summary> {
    let opened = site.open(Hold::Shared)?;
    let snapshot = find(site, &opened.repository, snapshot)?;
    let indexed = opened.repository.to_indexed().map_err(|error| site.failed(&error))?;
    let top = node_at(site, &indexed, &snapshot, what.path.as_deref())?;
    let (to, is_new) = target(what)?;

    let mut way = Way { site, repository: &indexed, what, linked: BTreeSet::new(), removed: 0 };
    let is_there = is_directory(&what.to);
    if top.is_dir() {
        way.clear(&what.to, &top, is_there)?;
    } else {
        way.clear_for(&what.to, std::slice::from_ref(&top), is_there)?;
    }
    let removed = way.removed;

    let mut options = RestoreOptions::default();
    options.numeric_id = true;
    options.verify_existing = true;
    // Zeros are not written where nothing can be.
    options.sparse = is_new.then(sparse).flatten();
    let everything = LsOptions::default();
    let nodes = || -> RusticResult<_> {
        let first = top.is_dir().then(|| Ok((PathBuf::new(), top.clone())));
        let below = indexed.ls(&top, &everything)?;
        Ok(first.into_iter().chain(below))
    };
    let failed = |error: Box<rustic_core::RusticError>| writing_failed(site, &error);
    let to = LocalDestination::new(&to, !what.dry_run, false).map_err(failed)?;
    let plan = nodes()
        .and_then(|nodes| indexed.prepare_restore(&options, nodes, &to, what.dry_run))
        .map_err(failed)?;
    let (files, bytes) = (plan.stats.files, plan.restore_size);
    if !what.dry_run {
        nodes().and_then(|nodes| indexed.restore(plan, &options, nodes, &to)).map_err(failed)?;
    }
    Ok(Summary {
        snapshot: Some(told(&snapshot)),
        files_changed: files.restore + files.modify + removed,
        files: files.restore + files.modify + files.unchanged + files.verified,
        bytes,
        ..Summary::default()
    })
}

/// The library has a name for it that it does not show.
fn sparse<T: serde::de::DeserializeOwned>() -> Option<T> {
    serde_json::from_str("\"ByContent\"").ok()
}

/// Where to, as text with a slash behind, and whether nothing is there.
pub(super) fn target(what: &What) -> Outcome<(String, bool)> {
    let shown = what.to.display();
    let bad = |why: String| {
        Failed::new(Failure::Other, format!("`{shown}` cannot be restored into: {why}"))
    };
    let text = what.to.to_str().filter(|_| what.to.is_absolute());
    let text = text.ok_or_else(|| bad("expected an absolute path".to_owned()))?;
    let is_empty = match fs::symlink_metadata(&what.to) {
        Ok(metadata) if !metadata.is_dir() => return Err(bad("it is no directory".to_owned())),
        Ok(_) => fs::read_dir(&what.to).is_ok_and(|mut entries| entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(bad(error.to_string())),
    };
    Ok((format!("{}/", text.trim_end_matches('/')), is_empty))
}

fn writing_failed(site: &Site, error: &rustic_core::RusticError) -> Failed {
    let failed = site.failed(error);
    let is_full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded]
        .iter()
        .any(|kind| failed.message.contains(&io::Error::from(*kind).to_string()));
    if is_full { Failed { class: Failure::Full, ..failed } } else { failed }
}

/// Removes what is in the way.
struct Way<'a, S: IndexedTree> {
    site: &'a Site,
    repository: &'a Repository<S>,
    what: &'a What,
    /// Files of several names that were seen once.
    linked: BTreeSet<(u64, u64)>,
    removed: u64,
}

impl<S: IndexedTree> Way<'_, S> {
    /// Looks at a directory and all below. Behind a link, which goes, nothing is there.
    fn clear(&mut self, path: &Path, directory: &Node, is_there: bool) -> Outcome<()> {
        let Some(tree) = directory.subtree else { return Ok(()) };
        let tree = self.repository.get_tree(&tree).map_err(|error| self.site.failed(&error))?;
        self.clear_for(path, &tree.nodes, is_there)?;
        if is_there && self.what.delete {
            self.remove_others(path, &tree.nodes)?;
        }
        for node in tree.nodes.iter().filter(|node| node.is_dir()) {
            let below = path.join(&*node.name());
            let is_there = is_there && is_directory(&below);
            self.clear(&below, node, is_there)?;
        }
        Ok(())
    }

    /// Looks at the places that `nodes` get in a directory.
    fn clear_for(&mut self, path: &Path, nodes: &[Node], is_there: bool) -> Outcome<()> {
        for node in nodes {
            let name = node.name();
            if !is_inside(name.as_bytes()) {
                return Err(Failed::new(
                    Failure::Damaged,
                    format!(
                        "the snapshot names something `{}` below `{}`, which would be outside: \
                         nothing of it is restored",
                        name.display(),
                        path.display()
                    ),
                ));
            }
            if !is_there {
                continue;
            }
            let place = path.join(&*name);
            let has_other_names = node.meta.links > 1 && node.is_file();
            let is_again =
                has_other_names && !self.linked.insert((node.meta.device_id, node.meta.inode));
            match fs::symlink_metadata(&place) {
                Ok(metadata) if is_again || !is_fit(&metadata, &node.node_type) => {
                    self.remove(&place, &metadata)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn remove_others(&mut self, path: &Path, nodes: &[Node]) -> Outcome<()> {
        let names: BTreeSet<OsString> = nodes.iter().map(|node| node.name().into_owned()).collect();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(in_the_way(path, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| in_the_way(path, &error))?;
            if !names.contains(&entry.file_name()) {
                let place = entry.path();
                let metadata =
                    fs::symlink_metadata(&place).map_err(|error| in_the_way(&place, &error))?;
                self.remove(&place, &metadata)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, place: &Path, metadata: &Metadata) -> Outcome<()> {
        self.removed += 1;
        if self.what.dry_run {
            return Ok(());
        }
        let removed =
            if metadata.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) };
        removed.map_err(|error| in_the_way(place, &error))
    }
}

/// Whether the library may write into what is there: a directory, or a file without other names.
fn is_fit(metadata: &Metadata, node: &NodeType) -> bool {
    match node {
        NodeType::Dir => metadata.is_dir(),
        NodeType::File => {
            let kind = metadata.file_type();
            kind.is_file() && !kind.is_fifo() && metadata.nlink() == 1
        }
        _ => false,
    }
}

/// Whether a name is one, and no way out.
pub(super) fn is_inside(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn in_the_way(place: &Path, error: &io::Error) -> Failed {
    let what = format!("`{}` is in the way and cannot be removed: {error}", place.display());
    Failed::new(Failure::Other, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_outside_is_none() {
        for (name, expected) in [
            ("a", true),
            ("..a", true),
            ("\\xff", true),
            ("", false),
            (".", false),
            ("..", false),
            ("../a", false),
            ("/etc", false),
            ("\\x2fetc", false),
            ("a\\x00", false),
        ] {
            let node = Node { name: name.to_owned(), ..Node::default() };
            assert_eq!(is_inside(node.name().as_bytes()), expected, "{name}");
        }
    }
}
