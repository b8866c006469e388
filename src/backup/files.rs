//! Lists what a snapshot holds.

use std::path::{Component, Path, PathBuf};

use rustic_core::repofile::{Node, NodeType, SnapshotFile};
use rustic_core::{IndexedTree, LsOptions, Repository};

use super::protocol::{Event, Failure, Summary};
use super::repository::{Hold, Site, find};
use super::snapshots::told;
use super::talk::{Failed, Outcome};

/// Bits of a mode in a repository, which are Go's, and those of the system.
const SPECIAL_BITS: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];

/// Lists it.
///
/// # Errors
///
/// When there is no such snapshot or path.
pub(super) fn files(
    site: &Site,
    snapshot: (&str, &[String]),
    path: Option<&str>,
) -> Outcome<Summary> {
    let opened = site.open(Hold::Shared)?;
    let snapshot = find(site, &opened.repository, snapshot)?;
    let indexed = opened.repository.to_indexed_ids().map_err(|error| site.failed(&error))?;
    let top = node_at(site, &indexed, &snapshot, path)?;
    let above = Path::new("/").join(path.unwrap_or_default().trim_matches('/'));
    if top.is_dir() {
        let nodes = indexed.ls(&top, &LsOptions::default()).map_err(|error| site.failed(&error))?;
        for found in nodes {
            let (below, node) = found.map_err(|error| site.failed(&error))?;
            site.talk.say(&entry(&above.join(below), &node));
        }
    } else {
        site.talk.say(&entry(&above, &top));
    }
    Ok(Summary { snapshot: Some(told(&snapshot)), ..Summary::default() })
}

/// What a snapshot holds at `path`; all of it where there is none.
///
/// # Errors
///
/// When it holds nothing there.
pub(super) fn node_at<S: IndexedTree>(
    site: &Site,
    repository: &Repository<S>,
    snapshot: &SnapshotFile,
    path: Option<&str>,
) -> Outcome<Node> {
    let whole = repository.node_from_path(snapshot.tree, Path::new(""));
    let mut node = whole.map_err(|error| site.failed(&error))?;
    let path = PathBuf::from(path.unwrap_or_default());
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => {
                let what = format!("`{}` is no path in a snapshot: it has `..`", path.display());
                return Err(Failed::new(Failure::NotFound, what));
            }
        };
        let found = match node.subtree {
            Some(tree) => {
                let tree = repository.get_tree(&tree).map_err(|error| site.failed(&error))?;
                tree.nodes.into_iter().find(|node| node.name() == name)
            }
            None => None,
        };
        node = found.ok_or_else(|| {
            let id = snapshot.id.to_hex();
            let id = id.as_str().get(..8).unwrap_or_default().to_owned();
            let shown = path.display();
            Failed::new(
                Failure::NotFound,
                format!("snapshot {id} has no `{shown}`: list its files"),
            )
        })?;
    }
    Ok(node)
}

fn entry(path: &Path, node: &Node) -> Event {
    Event::Entry {
        path: path.display().to_string(),
        kind: kind(&node.node_type).to_owned(),
        size: node.meta.size,
        mode: plain_mode(node.meta.mode.unwrap_or_default()),
        uid: node.meta.uid.unwrap_or_default(),
        gid: node.meta.gid.unwrap_or_default(),
        modified: node.meta.mtime.map(|time| time.to_string()),
    }
}

/// The system's bits of a mode in a repository.
pub(super) fn plain_mode(go: u32) -> u32 {
    let special = SPECIAL_BITS.iter().filter(|(bit, _)| go & bit != 0).map(|(_, bit)| bit);
    special.fold(go & 0o777, |mode, bit| mode | bit)
}

fn kind(node: &NodeType) -> &'static str {
    match node {
        NodeType::File => "file",
        NodeType::Dir => "dir",
        NodeType::Symlink { .. } => "symlink",
        NodeType::Dev { .. } => "dev",
        NodeType::Chardev { .. } => "chardev",
        NodeType::Fifo => "fifo",
        NodeType::Socket => "socket",
    }
}
