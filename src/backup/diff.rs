//! Says in what two snapshots differ.

use std::cmp::Ordering;
use std::path::Path;

use rustic_core::repofile::Node;
use rustic_core::{IndexedTree, Repository, TreeId};

use super::protocol::{Event, Summary};
use super::repository::{Hold, Site, find};
use super::snapshots::told;
use super::talk::Outcome;

/// Says it.
///
/// # Errors
///
/// When there is no such snapshot.
pub(super) fn diff(site: &Site, from: &str, to: &str) -> Outcome<Summary> {
    let opened = site.open(Hold::Shared)?;
    let from = find(site, &opened.repository, (from, &[]))?;
    let to = find(site, &opened.repository, (to, &[]))?;
    let indexed = opened.repository.to_indexed_ids().map_err(|error| site.failed(&error))?;
    let pair = Pair { site, repository: &indexed };
    pair.trees(Path::new("/"), Some(from.tree), Some(to.tree))?;
    Ok(Summary { snapshot: Some(told(&to)), ..Summary::default() })
}

struct Pair<'a, S: IndexedTree> {
    site: &'a Site,
    repository: &'a Repository<S>,
}

impl<S: IndexedTree> Pair<'_, S> {
    fn trees(&self, path: &Path, old: Option<TreeId>, new: Option<TreeId>) -> Outcome<()> {
        if old == new {
            return Ok(());
        }
        let (old, new) = (self.nodes(old)?, self.nodes(new)?);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.name().cmp(&new.name()),
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            let Some(name) = before.or(after).map(Node::name) else { return Ok(()) };
            let path = path.join(&*name);
            match (before, after) {
                (Some(before), Some(after)) => self.nodes_differ(&path, before, after)?,
                (Some(before), None) => {
                    self.say(&path, "removed");
                    self.trees(&path, before.subtree, None)?;
                }
                (_, after) => {
                    self.say(&path, "added");
                    self.trees(&path, None, after.and_then(|node| node.subtree))?;
                }
            }
        }
    }

    fn nodes_differ(&self, path: &Path, old: &Node, new: &Node) -> Outcome<()> {
        let is_same = old.node_type == new.node_type && old.content == new.content;
        if !is_same {
            self.say(path, "changed");
        } else if !has_same_metadata(old, new) {
            self.say(path, "metadata");
        }
        self.trees(path, old.subtree, new.subtree)
    }

    /// Nodes by name.
    fn nodes(&self, tree: Option<TreeId>) -> Outcome<Vec<Node>> {
        let Some(tree) = tree else { return Ok(Vec::new()) };
        let tree = self.repository.get_tree(&tree).map_err(|error| self.site.failed(&error))?;
        let mut nodes = tree.nodes;
        nodes.sort_by(|one, other| one.name().cmp(&other.name()));
        Ok(nodes)
    }

    fn say(&self, path: &Path, how: &str) {
        let path = path.display().to_string();
        self.site.talk.say(&Event::Difference { path, how: how.to_owned() });
    }
}

/// Whether a person would call it the same: inodes and the time of a change of these do not count.
fn has_same_metadata(old: &Node, new: &Node) -> bool {
    let (old, new) = (&old.meta, &new.meta);
    (old.mode, old.mtime, old.uid, old.gid) == (new.mode, new.mtime, new.uid, new.gid)
        && old.extended_attributes == new.extended_attributes
}
