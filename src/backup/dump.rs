//! Backs up a stream as one file.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

use rustic_core::TreeId;
use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType, SnapshotSummary};

use super::frames::Told;
use super::protocol::{Event, Failure, Label, Summary};
use super::repository::{Hold, Site};
use super::seal::Seal;
use super::snapshots::{begin, save};
use super::talk::{Failed, Outcome};
use super::tree::{complete, tree_of};
use super::write::{Content, Known, Large, Pieces, Pool};

/// Makes a snapshot of a file called `name`.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn dump(site: &Site, name: &str, label: &Label, frames: Told) -> Outcome<Summary> {
    is_file_name(name)?;
    let opened = site.open(Hold::Shared)?;
    let begun = Instant::now();
    let mut snapshot = begin(site, label)?;
    snapshot.paths.add(format!("/{name}"));
    let known = Arc::new(Known::read(site, &opened.repository)?);
    let seal = Arc::new(Seal::new(&opened.repository.key()));

    site.talk.say(&Event::Ready);
    let pool = Pool::start(site, &opened.repository, (&known, &seal), false)?;
    // A stream that is cut is the end of the process, here.
    let content = Content::Stream(Box::new(frames.into_dump()));
    pool.large(Large { number: 0, content })?;
    let mut pieces = Pieces::default();
    while !pieces.are_complete() {
        if !pieces.hear(&pool.reply()?) {
            return Err(Failed::new(Failure::Other, "the dump could not be read"));
        }
    }
    site.talk.all_read();
    let length = pieces.bytes();

    let mut node = Node::new_node(OsStr::new(name), NodeType::File, metadata(length));
    node.content = Some(pieces.ids());
    let tree = pool.tree(tree_of(&[node])?)?;
    let written = pool.finish()?;
    snapshot.tree = TreeId::from(tree.id());
    let mut sums = SnapshotSummary::default();
    (sums.files_new, sums.total_files_processed, sums.total_bytes_processed) = (1, 1, length);
    complete(&mut snapshot, sums, (&written, begun));
    Ok(Summary {
        snapshot: Some(save(site, &opened.repository, snapshot)?),
        files_changed: 1,
        files: 1,
        bytes: length,
        stored: written.data.2 + written.trees.2,
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

fn metadata(length: u64) -> Metadata {
    let now = Some(Timestamp::now());
    Metadata {
        mode: Some(0o600),
        mtime: now,
        atime: now,
        ctime: now,
        uid: Some(0),
        gid: Some(0),
        links: 1,
        size: length,
        ..Metadata::default()
    }
}
