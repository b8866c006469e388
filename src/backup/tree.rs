//! Backs up directories and files.

use std::path::PathBuf;

use rustic_core::{BackupOptions, ParentOptions, SnapshotGroupCriterion};

use super::frames::Told;
use super::protocol::{Event, Label, Summary};
use super::repository::{Hold, Site, all};
use super::snapshots::{Series, begin, told};
use super::source::Tree;
use super::talk::Outcome;

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
    let snapshot = begin(site, &what.label)?;
    let paths = what.paths.iter().map(|path| path.display().to_string()).collect();
    let series = Series::planned(&snapshot, paths);
    let earlier = all(site, &opened.repository, &[])?;
    let parent = earlier.iter().rfind(|snapshot| Series::of(snapshot) == series);
    let mut parents = ParentOptions::default();
    parents.group_by = Some(SnapshotGroupCriterion::new());
    match parent {
        Some(parent) => parents.parents = vec![parent.id.to_hex().as_str().to_owned()],
        None => parents.force = true,
    }
    let indexed = opened.repository.to_indexed_ids().map_err(|error| site.failed(&error))?;

    site.talk.say(&Event::Ready);
    told_to.wait_for_go();
    let source = Tree::new(&what.paths, &what.exclude, what.exclude_caches, &site.talk)?;
    let track = source.track();
    let mut options = BackupOptions::default();
    options.no_scan = true;
    options.dry_run = what.dry_run;
    options.parent_opts = parents;
    let saved = indexed.archive(&options, &source, snapshot, &what.paths);
    let saved = saved.map_err(|error| site.failed(&error))?;
    site.talk.all_read();

    let summary = saved.summary.clone().unwrap_or_default();
    let lost = track.found().saturating_sub(summary.total_files_processed);
    if lost > 0 {
        let what = format!("{lost} entries that were read are not in the snapshot");
        site.talk.trouble("", what, false);
    }
    Ok(Summary {
        snapshot: (!what.dry_run).then(|| told(&saved)),
        files_changed: summary.files_new + summary.files_changed,
        files: summary.total_files_processed,
        bytes: summary.total_bytes_processed,
        stored: summary.data_added_packed,
        made: opened.made,
        ..Summary::default()
    })
}
