//! Snapshots as they are told, labelled, and grouped.

use std::collections::BTreeSet;

use rustic_core::repofile::{SnapshotFile, StringList};
use rustic_core::{OpenStatus, Repository, SnapshotOptions};

use super::protocol::{Event, Label, Snapshot, Summary};
use super::repository::{Hold, Site, all};
use super::talk::Outcome;

/// Beginning of the tag that names a job.
const JOB: &str = "job:";

/// Lists them.
///
/// # Errors
///
/// When they cannot be read.
pub(super) fn list(site: &Site, tags: &[String]) -> Outcome<Summary> {
    let opened = site.open(Hold::Nothing)?;
    for snapshot in all(site, &opened.repository, tags)? {
        site.talk.say(&Event::Snapshot(told(&snapshot)));
    }
    Ok(Summary { made: opened.made, ..Summary::default() })
}

/// A snapshot as it is told.
pub(super) fn told(snapshot: &SnapshotFile) -> Snapshot {
    let summary = snapshot.summary.as_ref();
    let strings = |list: &StringList| list.into_iter().cloned().collect();
    Snapshot {
        id: snapshot.id.to_hex().as_str().to_owned(),
        time: snapshot.time.timestamp().to_string(),
        host: snapshot.hostname.clone(),
        tags: strings(&snapshot.tags),
        paths: strings(&snapshot.paths),
        files: summary.map(|it| it.total_files_processed),
        bytes: summary.map(|it| it.total_bytes_processed),
        added: summary.map(|it| it.data_added_packed),
    }
}

/// Begins a snapshot.
pub(super) fn begin(site: &Site, label: &Label) -> Outcome<SnapshotFile> {
    let mut options = SnapshotOptions::default().command("roadstead".to_owned());
    options.host = Some(label.host.clone()).filter(|host| !host.is_empty());
    let mut snapshot = options.to_snapshot().map_err(|error| site.failed(&error))?;
    for tag in &label.tags {
        snapshot.tags.add(tag.clone());
    }
    snapshot.program_version = format!("roadstead {}", env!("CARGO_PKG_VERSION"));
    Ok(snapshot)
}

/// Writes a snapshot: from now on it is there.
///
/// # Errors
///
/// When it could not be written.
pub(super) fn save(
    site: &Site,
    repository: &Repository<OpenStatus>,
    mut snapshot: SnapshotFile,
) -> Outcome<Snapshot> {
    let written = repository.save_snapshots(vec![snapshot.clone()]);
    written.map_err(|error| site.failed(&error))?;
    if let Some(id) = site.backend.last_snapshot() {
        snapshot.id = id.into();
    }
    Ok(told(&snapshot))
}

/// What snapshots of the same thing have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    host: String,
    paths: BTreeSet<String>,
    jobs: BTreeSet<String>,
}

impl Series {
    /// The series that a snapshot belongs to.
    pub(super) fn of(snapshot: &SnapshotFile) -> Self {
        Self {
            host: snapshot.hostname.clone(),
            paths: snapshot.paths.into_iter().cloned().collect(),
            jobs: snapshot.tags.into_iter().filter(|tag| tag.starts_with(JOB)).cloned().collect(),
        }
    }
}
