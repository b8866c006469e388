//! Backs up directories and files.
//!
//! What is found stands in a line, in the order in which it is found. What has to be read is given to
//! threads, many files ahead; once the first in the line is read, it goes into its directory, and a
//! directory that is left becomes a tree.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustic_core::TreeId;
use rustic_core::jiff::Zoned;
use rustic_core::repofile::{Metadata, Node, NodeType, SnapshotFile, SnapshotSummary};
use serde::Serialize;

use super::frames::Told;
use super::protocol::{Event, Failure, Label, Summary};
use super::repository::{Hold, Site, all};
use super::seal::Seal;
use super::snapshots::{Series, begin, save};
use super::source::Tree;
use super::talk::{Failed, Outcome};
use super::write::{Content, Known, Large, Name, Pieces, Pool, Reply, Small, Written};

/// How long the line may become: what stands in it is in memory.
const LINE: usize = 4096;
/// Small files that a thread is given at once: so many, or so many bytes.
const AT_ONCE: (usize, u64) = (64, 1 << 20);

/// What is backed up.
pub(super) struct What {
    pub(super) paths: Vec<PathBuf>,
    pub(super) exclude: Vec<String>,
    pub(super) exclude_caches: bool,
    pub(super) label: Label,
    pub(super) dry_run: bool,
}

/// Makes a snapshot.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn backup(site: &Site, what: &What, told_to: &Told) -> Outcome<Summary> {
    let hold = if what.dry_run { Hold::Nothing } else { Hold::Shared };
    let opened = site.open(hold)?;
    let begun = Instant::now();
    let mut snapshot = begin(site, &what.label)?;
    for path in &what.paths {
        snapshot.paths.add(path.display().to_string());
    }
    let series = Series::of(&snapshot);
    let parent = all(site, &opened.repository, &[])?;
    let parent = parent.into_iter().rfind(|snapshot| Series::of(snapshot) == series);
    let known = Arc::new(Known::read(site, &opened.repository)?);
    let seal = Arc::new(Seal::new(&opened.repository.key()));

    site.talk.say(&Event::Ready);
    told_to.wait_for_go();
    let tree = Tree::new(&what.paths, &what.exclude, what.exclude_caches, &site.talk)?;
    let pool = Pool::start(site, &opened.repository, (&known, &seal), what.dry_run)?;
    let earlier = parent.as_ref().and_then(|it| known.tree(site, &seal, it.tree.into_inner()));
    let line = Line::new(site, &pool, (&known, &seal), earlier);
    let (top, sums) = line.take_all(tree)?;
    let written = pool.finish()?;

    snapshot.tree = TreeId::from(top.id());
    snapshot.parent = parent.map(|it| it.id);
    let (files, bytes) = (sums.total_files_processed, sums.total_bytes_processed);
    let changed = sums.files_new + sums.files_changed;
    complete(&mut snapshot, sums, (&written, begun));
    let snapshot =
        if what.dry_run { None } else { Some(save(site, &opened.repository, snapshot)?) };
    Ok(Summary {
        snapshot,
        files_changed: changed,
        files,
        bytes,
        stored: written.data.2 + written.trees.2,
        made: opened.made,
        ..Summary::default()
    })
}

/// Writes into a snapshot what it cost.
pub(super) fn complete(
    snapshot: &mut SnapshotFile,
    mut sums: SnapshotSummary,
    (written, begun): (&Written, Instant),
) {
    let (data, trees) = (written.data, written.trees);
    sums.command = snapshot.summary.take().map(|it| it.command).unwrap_or_default();
    (sums.data_blobs, sums.data_added_files, sums.data_added_files_packed) = data;
    (sums.tree_blobs, sums.data_added_trees, sums.data_added_trees_packed) = trees;
    sums.data_added = data.1 + trees.1;
    sums.data_added_packed = data.2 + trees.2;
    sums.backup_end = Zoned::now();
    sums.backup_duration = begun.elapsed().as_secs_f64();
    sums.total_duration = sums.backup_duration;
    sums.backup_start = snapshot.time.clone();
    snapshot.summary = Some(sums);
}

/// A tree as it is stored.
pub(super) fn tree_of(nodes: &[Node]) -> Outcome<Vec<u8>> {
    #[derive(Serialize)]
    struct Tree<'a> {
        nodes: &'a [Node],
    }
    let unfit =
        |error| Failed::new(Failure::Other, format!("a directory cannot be written: {error}"));
    let mut plain = serde_json::to_vec(&Tree { nodes }).map_err(unfit)?;
    plain.push(b'\n');
    Ok(plain)
}

/// How something stands to the snapshot before.
#[derive(Clone, Copy)]
enum Since {
    New,
    Changed,
    Same,
}

/// What was found, in its order.
enum Step {
    /// A directory begins, which had this tree.
    Enter(Box<Node>, Option<TreeId>),
    /// Something that is complete.
    Leaf(Box<Node>, Since),
    /// A file that is being read.
    Reading { node: Box<Node>, since: Since, pieces: Pieces },
    /// A file that could not be read.
    Lost,
    /// The directory ends.
    Leave,
}

/// A directory that we go through.
struct Directory {
    path: PathBuf,
    /// What it held in the snapshot before.
    earlier: Peekable<std::vec::IntoIter<Node>>,
}

/// A directory that is being made.
struct Making {
    node: Node,
    earlier: Option<TreeId>,
    nodes: Vec<Node>,
}

/// One backup at work.
struct Line<'a> {
    site: &'a Site,
    pool: &'a Pool,
    known: &'a Known,
    seal: &'a Seal,
    directories: Vec<Directory>,
    steps: VecDeque<Step>,
    /// Number of the first step.
    first: u64,
    reading: u64,
    batch: Vec<Small>,
    batch_bytes: u64,
    making: Vec<Making>,
    sums: SnapshotSummary,
}

impl<'a> Line<'a> {
    fn new(
        site: &'a Site,
        pool: &'a Pool,
        (known, seal): (&'a Known, &'a Seal),
        earlier: Option<Vec<Node>>,
    ) -> Self {
        let earlier = earlier.unwrap_or_default().into_iter().peekable();
        let top = Node::new_node(OsStr::new(""), NodeType::Dir, Metadata::default());
        Self {
            site,
            pool,
            known,
            seal,
            directories: vec![Directory { path: PathBuf::from("/"), earlier }],
            steps: VecDeque::new(),
            first: 0,
            reading: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            making: vec![Making { node: top, earlier: None, nodes: Vec::new() }],
            sums: SnapshotSummary::default(),
        }
    }

    /// Takes all that is found; returns the uppermost tree, and the sums.
    fn take_all(mut self, tree: Tree) -> Outcome<(Name, SnapshotSummary)> {
        for (path, node) in tree {
            self.go_to(path.parent().unwrap_or(&path))?;
            if node.is_dir() {
                self.enter(path, node)?;
            } else {
                self.leaf(path, node)?;
            }
        }
        while self.directories.len() > 1 {
            self.directories.pop();
            self.push(Step::Leave)?;
        }
        self.hand_on()?;
        while self.reading > 0 {
            let reply = self.pool.reply()?;
            self.hear(&reply)?;
        }
        // Writers may go on.
        self.site.talk.all_read();
        self.settle()?;
        let top = self.making.pop().map(|it| it.nodes).unwrap_or_default();
        Ok((self.pool.tree(tree_of(&top)?)?, self.sums))
    }

    /// Leaves and enters directories until we are in this one.
    fn go_to(&mut self, path: &Path) -> Outcome<()> {
        while self.directories.last().is_some_and(|last| !path.starts_with(&last.path)) {
            self.directories.pop();
            self.push(Step::Leave)?;
        }
        let Some(last) = self.directories.last() else { return Ok(()) };
        let mut at = last.path.clone();
        let below = path.strip_prefix(&at).unwrap_or(path).to_path_buf();
        for name in &below {
            at.push(name);
            // Only on the way to what is backed up: what others do there is no change of ours.
            let node = Node::new_node(name, NodeType::Dir, Metadata::default());
            self.enter(at.clone(), node)?;
        }
        Ok(())
    }

    /// What the directory that we are in held by this name.
    fn earlier(&mut self, name: &OsStr) -> Option<Node> {
        let earlier = &mut self.directories.last_mut()?.earlier;
        while earlier.next_if(|node| *node.name() < *name).is_some() {}
        earlier.next_if(|node| *node.name() == *name)
    }

    fn enter(&mut self, path: PathBuf, node: Node) -> Outcome<()> {
        let subtree = self.earlier(&node.name()).and_then(|earlier| earlier.subtree);
        let nodes = subtree.and_then(|id| self.known.tree(self.site, self.seal, id.into_inner()));
        let earlier = nodes.unwrap_or_default().into_iter().peekable();
        self.directories.push(Directory { path, earlier });
        self.push(Step::Enter(Box::new(node), subtree))
    }

    fn leaf(&mut self, path: PathBuf, mut node: Node) -> Outcome<()> {
        let earlier = self.earlier(&node.name());
        let since = match &earlier {
            None => Since::New,
            Some(earlier) if is_same(earlier, &node) => Since::Same,
            Some(_) => Since::Changed,
        };
        if !node.is_file() {
            return self.push(Step::Leaf(Box::new(node), since));
        }
        let pieces = earlier.and_then(|it| it.content);
        if let (Since::Same, Some(pieces)) = (since, pieces)
            && self.known.has_all(pieces.iter().map(|id| id.into_inner()))
        {
            self.site.talk.progress(self.site.word(), node.meta.size);
            node.content = Some(pieces);
            return self.push(Step::Leaf(Box::new(node), since));
        }
        let since = if matches!(since, Since::Same) { Since::Changed } else { since };
        let (size, number) = (node.meta.size, self.first + self.steps.len() as u64);
        let reading = Step::Reading { node: Box::new(node), since, pieces: Pieces::default() };
        self.reading += 1;
        if size > self.pool.cuts.shortest as u64 {
            self.pool.large(Large { number, content: Content::File(path, size) })?;
        } else {
            self.batch.push(Small { number, path, size });
            self.batch_bytes += size;
            if self.batch.len() >= AT_ONCE.0 || self.batch_bytes >= AT_ONCE.1 {
                self.hand_on()?;
            }
        }
        self.push(reading)
    }

    /// Gives the small files that were found to a thread.
    fn hand_on(&mut self) -> Outcome<()> {
        self.batch_bytes = 0;
        if self.batch.is_empty() {
            return Ok(());
        }
        self.pool.files(std::mem::take(&mut self.batch))
    }

    fn push(&mut self, step: Step) -> Outcome<()> {
        self.steps.push_back(step);
        while let Some(reply) = self.pool.reply_at_hand() {
            self.hear(&reply)?;
        }
        self.settle()?;
        while self.steps.len() >= LINE {
            self.hand_on()?;
            let reply = self.pool.reply()?;
            self.hear(&reply)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Keeps what came of reading at its place.
    fn hear(&mut self, reply: &Reply) -> Outcome<()> {
        let number = match *reply {
            Reply::Whole(number, _) | Reply::Piece(number, ..) | Reply::Pieces(number, _) => number,
            Reply::Broken => return Err(self.pool.failed()),
        };
        // Pieces of a file that was lost may still come.
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let step = at.and_then(|at| self.steps.get_mut(at));
        let Some(step) = step else { return Ok(()) };
        let Step::Reading { pieces, .. } = step else { return Ok(()) };
        if !pieces.hear(reply) {
            *step = Step::Lost;
            self.reading -= 1;
        } else if pieces.are_complete() {
            self.reading -= 1;
        }
        Ok(())
    }

    /// Puts what is complete into its directory.
    fn settle(&mut self) -> Outcome<()> {
        loop {
            match self.steps.front() {
                None => return Ok(()),
                Some(Step::Reading { pieces, .. }) if !pieces.are_complete() => return Ok(()),
                Some(_) => {}
            }
            let step = self.steps.pop_front();
            self.first += 1;
            match step {
                Some(Step::Enter(node, earlier)) => {
                    self.making.push(Making { node: *node, earlier, nodes: Vec::new() });
                }
                Some(Step::Leaf(node, since)) => self.put(*node, since),
                Some(Step::Reading { mut node, since, pieces }) => {
                    node.content = Some(pieces.ids());
                    self.put(*node, since);
                }
                Some(Step::Leave) => self.leave()?,
                Some(Step::Lost) | None => {}
            }
        }
    }

    fn put(&mut self, node: Node, since: Since) {
        let sums = &mut self.sums;
        *match since {
            Since::New => &mut sums.files_new,
            Since::Changed => &mut sums.files_changed,
            Since::Same => &mut sums.files_unmodified,
        } += 1;
        sums.total_files_processed += 1;
        if node.is_file() {
            sums.total_bytes_processed += node.meta.size;
        }
        if let Some(directory) = self.making.last_mut() {
            directory.nodes.push(node);
        }
    }

    fn leave(&mut self) -> Outcome<()> {
        let Some(Making { mut node, earlier, nodes }) = self.making.pop() else { return Ok(()) };
        let plain = tree_of(&nodes)?;
        let sums = &mut self.sums;
        sums.total_dirsize_processed += plain.len() as u64;
        sums.total_dirs_processed += 1;
        let tree = TreeId::from(self.pool.tree(plain)?.id());
        *match earlier {
            None => &mut sums.dirs_new,
            Some(earlier) if earlier == tree => &mut sums.dirs_unmodified,
            Some(_) => &mut sums.dirs_changed,
        } += 1;
        node.subtree = Some(tree);
        if let Some(above) = self.making.last_mut() {
            above.nodes.push(node);
        }
        Ok(())
    }
}

/// Whether a file is as it was, by what restic goes by.
fn is_same(earlier: &Node, node: &Node) -> bool {
    let (then, now) = (&earlier.meta, &node.meta);
    earlier.node_type == node.node_type
        && then.size == now.size
        && then.mtime == now.mtime
        && then.ctime.zip(now.ctime).is_none_or(|(then, now)| then == now)
        && (then.inode == 0 || now.inode == 0 || then.inode == now.inode)
}
