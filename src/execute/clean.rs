//! `clean`: old files of a directory.
//!
//! The directory is opened once and never left. Each file is looked at again before it goes: one that was
//! written or read since the plan stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};
use rustix::io::Errno;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::beneath::Directory;
use super::sink::OUT;
use super::{Answer, Context, failed, stopped};
use crate::job::work::{AgeBy, Clean, clean_refusal};
use crate::plan::housekeeping::clean::{self as plan, CleanPlan, Item, limit, time_of};
use crate::plan::housekeeping::{Kind, bytes_text};
use crate::run::{Ending, Outcome, Reason};
use crate::source::counted;

/// Files removed before somebody is told.
const AT_ONCE: usize = 500;
/// Troubles that are named; all are counted.
const NAMED: usize = 20;

/// What would go, and what could not be looked at.
pub struct CleanProspect {
    /// The plan.
    pub plan: CleanPlan,
    /// Directories that cannot be read.
    pub troubles: Vec<String>,
    /// Directories that are not looked into, and why.
    pub left: Vec<String>,
    /// The directory, which stays open.
    root: Arc<Directory>,
}

#[derive(Debug, Default)]
struct Counts {
    files: usize,
    bytes: u64,
    directories: usize,
    vanished: usize,
    changed: usize,
    failed: usize,
    troubles: Vec<String>,
}

impl Counts {
    fn trouble(&mut self, text: String) {
        self.failed += 1;
        if self.troubles.len() < NAMED {
            self.troubles.push(text);
        }
    }
}

/// Looks at all that is below the directory and plans; touches nothing.
///
/// # Errors
///
/// When the directory cannot be read, or is one that nobody cleans.
pub async fn clean_prospect(
    work: &Clean,
    now: DateTime<Utc>,
    cancel: &CancellationToken,
) -> Result<CleanProspect> {
    let (options, cancel) = (work.clone(), cancel.clone());
    tokio::task::spawn_blocking(move || {
        let root = open(&options)?;
        let (mut troubles, mut left) = (Vec::new(), Vec::new());
        let items = items_of(&root, &options, &cancel, (&mut troubles, &mut left))?;
        let plan = plan::plan(&options, &items, now);
        Ok(CleanProspect { plan, troubles, left, root: Arc::new(root) })
    })
    .await?
}

/// Opens the directory, unless it is one that nobody cleans, by whatever name.
fn open(options: &Clean) -> Result<Directory> {
    let directory = &options.directory;
    let place = || format!("open `{}`", directory.display());
    let real = directory.canonicalize().with_context(place)?;
    let protected: Vec<PathBuf> = options
        .protected
        .iter()
        .map(|it| it.canonicalize().unwrap_or_else(|_| it.clone()))
        .collect();
    if let Some(why) = clean_refusal(&real, &protected) {
        return Err(anyhow!(why));
    }
    if let Some(checkout) = real.ancestors().find(|it| it.join(".git").exists()) {
        let (real, checkout) = (real.display(), checkout.display());
        return Err(anyhow!("`{real}` is in the checkout `{checkout}`: name another directory"));
    }
    Directory::open(&real).with_context(place)
}

fn items_of(
    root: &Directory,
    options: &Clean,
    cancel: &CancellationToken,
    (troubles, left): (&mut Vec<String>, &mut Vec<String>),
) -> Result<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    let mut open: Vec<(PathBuf, Option<usize>)> = vec![(PathBuf::new(), None)];
    while let Some((relative, place)) = open.pop() {
        anyhow::ensure!(!cancel.is_cancelled(), "stopped while it was looked around");
        let entries = match root.below(&relative).and_then(|it| it.entries()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                close(&mut items, place);
                troubles.push(format!("`{}` cannot be read: {error}", shown(root, &relative)));
                continue;
            }
        };
        if place.is_some() && entries.iter().any(|it| it.name == ".git") {
            close(&mut items, place);
            left.push(format!("leave `{}`: it is a checkout", shown(root, &relative)));
            continue;
        }
        for mut entry in entries {
            let path = relative.join(&entry.name);
            let is_mount = entry.kind == Kind::Mount;
            if is_mount && !options.other_filesystems {
                left.push(format!("leave `{}`: another file system", shown(root, &path)));
            } else if is_mount || entry.kind == Kind::Directory {
                open.push((path.clone(), Some(items.len())));
            }
            if is_mount {
                entry.kind = Kind::Directory;
            }
            // A mount point stays, whatever is in it.
            items.push(Item { path, entry, is_closed: is_mount });
        }
    }
    Ok(items)
}

fn close(items: &mut [Item], place: Option<usize>) {
    if let Some(item) = place.and_then(|place| items.get_mut(place)) {
        item.is_closed = true;
    }
}

fn shown(root: &Directory, relative: &Path) -> String {
    root.path().join(relative).display().to_string()
}

pub(super) async fn clean(context: Context<'_>, work: &Clean) -> Answer {
    let now = (context.world.now)();
    let prospect = match clean_prospect(work, now, context.cancel).await {
        Ok(prospect) => prospect,
        Err(error) if context.cancel.is_cancelled() => return Ok(stopped(format!("{error:#}"))),
        Err(error) => return Ok(failed(Reason::NotStarted, format!("{error:#}"))),
    };
    let CleanProspect { plan, troubles, left, root } = prospect;
    info!("{}", plan.summary());
    for line in &left {
        info!("{line}");
    }
    if let Some(why) = &plan.refused {
        let message = format!("{} files are old enough to go; {why}", plan.files.len());
        return Ok(failed(Reason::NeedsPerson, message));
    }
    if work.dry_run {
        for line in plan.lines() {
            context.sink.line(OUT, &line);
        }
        let message = format!("dry run: {}; nothing was done", plan.summary());
        return Ok(Ending::new(Outcome::Succeeded, Reason::Done, message));
    }
    let mut counts = Counts::default();
    for trouble in troubles {
        counts.trouble(trouble);
    }
    let (by, limit) = (work.by, limit(work, now));
    let files = plan.files.iter().map(|it| (it, false));
    let all: Vec<(&PathBuf, bool)> =
        files.chain(plan.directories.iter().map(|it| (it, true))).collect();
    let step = format!("remove old files below {}", work.directory.display());
    let removing = async {
        for some in all.chunks(AT_ONCE) {
            if context.cancel.is_cancelled() {
                break;
            }
            let some: Vec<(PathBuf, bool)> =
                some.iter().map(|(it, of)| ((*it).clone(), *of)).collect();
            let (root, cancel) = (Arc::clone(&root), context.cancel.clone());
            let work = move || remove(&root, &some, (by, limit), &cancel, counts);
            let (lines, now) = tokio::task::spawn_blocking(work).await?;
            counts = now;
            for line in lines {
                context.sink.line(OUT, &line);
            }
        }
        Ok(counts)
    };
    match context.journal.step(step, removing).await {
        Ok(counts) => Ok(ending(context, &plan, counts).await),
        Err(error) => Ok(failed(Reason::Incomplete, format!("{error:#}"))),
    }
}

/// Removes files and directories; answers what is told, and what was counted.
fn remove(
    root: &Directory,
    paths: &[(PathBuf, bool)],
    (by, limit): (AgeBy, DateTime<Utc>),
    cancel: &CancellationToken,
    mut counts: Counts,
) -> (Vec<String>, Counts) {
    let mut lines = Vec::new();
    for (path, is_directory) in paths {
        if cancel.is_cancelled() {
            break;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let done = root.below(parent).and_then(|parent| {
            if *is_directory {
                parent.remove_directory(name)?;
                return Ok(Some(None));
            }
            let entry = parent.entry(name)?.ok_or(io::ErrorKind::NotFound)?;
            if entry.kind != Kind::File || time_of(&entry, by) >= limit {
                return Ok(None);
            }
            parent.remove(name)?;
            Ok(Some(Some(entry.size)))
        });
        let not_empty = [Errno::NOTEMPTY, Errno::EXIST].map(Errno::raw_os_error);
        if matches!(done, Ok(Some(_))) {
            lines.push(format!("removed {}", path.display()));
        }
        match done {
            Ok(Some(None)) => counts.directories += 1,
            Ok(Some(Some(size))) => {
                counts.files += 1;
                counts.bytes += size;
            }
            Ok(None) => counts.changed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => counts.vanished += 1,
            // Somebody put something into it, or a file of it could not be removed.
            Err(error) if error.raw_os_error().is_some_and(|it| not_empty.contains(&it)) => {
                counts.changed += 1;
            }
            Err(error) => counts.trouble(format!("`{}`: {error}", shown(root, path))),
        }
    }
    (lines, counts)
}

async fn ending(context: Context<'_>, plan: &CleanPlan, counts: Counts) -> Ending {
    let results = json!({
        "looked_at": plan.looked_at, "removed": counts.files, "bytes": counts.bytes,
        "directories": counts.directories, "kept": plan.kept, "changed": counts.changed,
        "vanished": counts.vanished, "failed": counts.failed,
    });
    context.made_of(|details| details.results = Some(results)).await;
    let mut done = format!(
        "{} of {} removed ({})",
        counts.files,
        counted(plan.looked_at, "file"),
        bytes_text(counts.bytes)
    );
    for (count, what) in [
        (counts.directories, "empty directories removed"),
        (plan.kept, "old ones kept as the newest"),
        (counts.changed, "in use again"),
        (counts.vanished, "vanished"),
    ] {
        if count > 0 {
            done = format!("{done}, {count} {what}");
        }
    }
    if context.cancel.is_cancelled() {
        return stopped(format!("stopped; {done}"));
    }
    for trouble in &counts.troubles {
        warn!("{trouble}");
    }
    match counts.troubles.first() {
        None => Ending::new(Outcome::Succeeded, Reason::Done, done),
        Some(first) => {
            failed(Reason::Incomplete, format!("{done}; {} failed: {first}", counts.failed))
        }
    }
}
