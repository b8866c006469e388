//! Backs up a stream as one file.
//!
//! The size of a file stands in the tree that holds it, restic believes it, and here it is known only at
//! the end. So the library saves the content, its snapshot is kept back, and the tree is written anew with
//! the right size before the snapshot is.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{IndexFile, Metadata, Node, NodeType, SnapshotFile};
use rustic_core::{
    BackupOptions, Id, IndexedTree, ReadSource, ReadSourceEntry, Repository, RusticResult, TreeId,
};
use serde_json::json;

use super::frames::{Dump, Told};
use super::protocol::{Event, Failure, Label, Summary};
use super::repository::{Hold, Site};
use super::seal::{Seal, name_of};
use super::snapshots::{begin, told};
use super::store::Kind;
use super::talk::{Failed, Outcome, locked};

/// One file; its content can be taken once.
struct Source {
    path: PathBuf,
    content: std::sync::Mutex<Option<Dump>>,
}

impl ReadSource for Source {
    type Open = Dump;
    type Iter = std::iter::Once<RusticResult<ReadSourceEntry<Dump>>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let name = self.path.file_name().unwrap_or_default();
        let now = Some(Timestamp::now());
        let metadata = Metadata {
            mode: Some(0o600),
            mtime: now,
            atime: now,
            ctime: now,
            uid: Some(0),
            gid: Some(0),
            links: 1,
            ..Metadata::default()
        };
        let node = Node::new_node(name, NodeType::File, metadata);
        let open = locked(&self.content).take();
        std::iter::once(Ok(ReadSourceEntry { path: self.path.clone(), node, open }))
    }
}

/// Makes a snapshot of a file called `name`.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn dump(site: &Site, name: &str, label: &Label, frames: Told) -> Outcome<Summary> {
    is_file_name(name)?;
    let opened = site.open(Hold::Shared)?;
    let snapshot = begin(site, label)?;
    let key = opened.repository.key();
    let again = site.again(&opened.repository)?;
    let indexed = opened.repository.to_indexed_ids().map_err(|error| site.failed(&error))?;

    let path = Path::new("/").join(name);
    site.talk.say(&Event::Ready);
    let content = std::sync::Mutex::new(Some(frames.into_dump()));
    let source = Source { path: path.clone(), content };
    let mut options = BackupOptions::default();
    options.no_scan = true;
    options.parent_opts.force = true;
    site.backend.keep_snapshots_back(true);
    let saved = indexed.archive(&options, &source, snapshot, &[path]);
    let mut saved = saved.map_err(|error| site.failed(&error))?;
    site.talk.all_read();
    drop(indexed);

    let length = saved.summary.as_ref().map_or(0, |summary| summary.total_bytes_processed);
    let indexed = again.to_indexed_ids().map_err(|error| site.failed(&error))?;
    let nodes = with_size(site, &indexed, &saved, length)?;
    saved.tree = write_tree(site, &Seal::new(&key), &nodes)?;
    site.backend.keep_snapshots_back(false);
    let written = indexed.save_snapshots(vec![saved.clone()]);
    written.map_err(|error| site.failed(&error))?;
    if let Some(id) = site.backend.last_snapshot() {
        saved.id = id.into();
    }
    let summary = saved.summary.clone().unwrap_or_default();
    Ok(Summary {
        snapshot: Some(told(&saved)),
        files_changed: 1,
        files: 1,
        bytes: length,
        stored: summary.data_added_packed,
        made: opened.made,
        ..Summary::default()
    })
}

/// Looks at the name of a dump.
///
/// # Errors
///
/// For one that is none.
pub(super) fn is_file_name(name: &str) -> Outcome<()> {
    if !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) {
        return Ok(());
    }
    let what = format!("`{name}` is no name of a file: expected one without slashes, e.g. `a.sql`");
    Err(Failed::new(Failure::Other, what))
}

/// The tree of a dump as it should be.
fn with_size<S: IndexedTree>(
    site: &Site,
    repository: &Repository<S>,
    saved: &SnapshotFile,
    length: u64,
) -> Outcome<Vec<Node>> {
    let tree = repository.get_tree(&saved.tree).map_err(|error| site.failed(&error))?;
    let mut nodes = tree.nodes;
    match nodes.as_mut_slice() {
        [node] if node.content.is_some() => node.meta.size = length,
        _ => {
            let what = "the dump is not in the repository, although no error was seen";
            return Err(Failed::new(Failure::Other, what));
        }
    }
    Ok(nodes)
}

/// Writes a tree in a pack of its own, and an index of that.
fn write_tree(site: &Site, seal: &Seal, nodes: &[Node]) -> Outcome<TreeId> {
    let unfit = || Failed::new(Failure::Other, "the tree of the dump cannot be written");
    let mut tree = serde_json::to_vec(&json!({ "nodes": nodes })).map_err(|_| unfit())?;
    tree.push(b'\n');
    let id = name_of(&tree);
    let (pack, length) = pack_of(seal, &tree).ok_or_else(unfit)?;
    let pack_name = name_of(&pack);
    let index: IndexFile = serde_json::from_value(json!({ "packs": [{
        "id": pack_name,
        "blobs": [{ "id": id, "type": "tree", "offset": 0, "length": length }],
    }]}))
    .map_err(|_| unfit())?;
    let index = serde_json::to_vec(&index).ok().and_then(|plain| seal.close(&plain));
    let index = index.ok_or_else(unfit)?;
    let index_name = name_of(&index);
    for (kind, name, content) in [(Kind::Data, pack_name, pack), (Kind::Index, index_name, index)] {
        let written = site.backend.store.write(kind, &name, &[Bytes::from(content)]);
        written.map_err(|fault| site.backend.failed(fault, &name))?;
    }
    let id: Id = id.parse().map_err(|_| unfit())?;
    Ok(id.into())
}

/// A pack with one tree: the tree, a table of what is in it, and the length of the table; and the length
/// of the tree in it.
fn pack_of(seal: &Seal, tree: &[u8]) -> Option<(Vec<u8>, u32)> {
    /// What in a table says "a tree, not compressed".
    const TREE: u8 = 1;
    let mut pack = seal.close(tree)?;
    let length = u32::try_from(pack.len()).ok()?;
    let mut table = vec![TREE];
    table.extend_from_slice(&length.to_le_bytes());
    let id = name_of(tree);
    for at in (0..id.len()).step_by(2) {
        table.push(u8::from_str_radix(&id[at..at + 2], 16).ok()?);
    }
    let table = seal.close(&table)?;
    pack.extend_from_slice(&table);
    pack.extend_from_slice(&u32::try_from(table.len()).ok()?.to_le_bytes());
    Some((pack, length))
}
