//! Repositories as the program `restic` reads and writes them: it runs as a child of the worker, and what
//! it says becomes events. 0.14 and later are understood; what snapshots mean is decided by the same code
//! as for our own engine.

mod program;
mod restore;
mod said;
mod save;

use std::path::{Component, Path};
use std::sync::Arc;

use rustic_core::jiff::Timestamp;
use rustic_core::repofile::SnapshotFile;
use serde::Deserialize;

use self::program::{Called, Program};
use super::files::plain_mode;
use super::forget::{decide, has_rule};
use super::frames::Told;
use super::protocol::{Access, Event, Failure, Operation, Summary};
use super::restore::What as WhatBack;
use super::snapshots::told as told_of;
use super::talk::{Failed, Outcome, Talk};
use super::tree::What;
use crate::job::work::{Keep, Location};

/// How many findings of a check are said.
const FINDINGS: usize = 3;
/// Snapshots that one call forgets.
const FORGOTTEN_AT_ONCE: usize = 500;
/// How much of a repository may stay although nothing needs it; as our own engine has it.
const MAY_BE_UNUSED: &str = "--max-unused=5%";

/// Does what is asked.
///
/// # Errors
///
/// When it could not be done.
pub(super) fn carry_out(
    access: &Access,
    operation: Operation,
    (talk, told): (&Arc<Talk>, Told),
) -> Outcome<Summary> {
    let site = Site { program: Program::new(access, talk)?, access, talk, what: operation.word() };
    let done = match operation {
        Operation::Backup { paths, exclude, exclude_caches, label, dry_run } => {
            let what = What { paths, exclude, exclude_caches, label, dry_run };
            save::backup(&site, &what, &told)
        }
        Operation::Dump { name, label } => save::dump(&site, &name, &label, told),
        Operation::Snapshots { tags } => site.snapshots(&tags),
        Operation::Files { snapshot, tags, path } => {
            site.files((&snapshot, &tags), path.as_deref())
        }
        Operation::Diff { from, to } => site.diff(&from, &to),
        Operation::Restore { snapshot, tags, path, to, delete, dry_run } => {
            let what = WhatBack { path, to, delete, dry_run };
            restore::restore(&site, (&snapshot, &tags), &what)
        }
        Operation::Forget { tags, keep, dry_run } => site.forget(&tags, &keep, dry_run),
        Operation::Prune { dry_run } => site.prune(dry_run),
        Operation::Check { number, of } => site.check(number, of),
        Operation::Unlock { all } => site.unlock(all),
    };
    done.map(|summary| Summary { troubles: talk.troubles(), ..summary })
}

/// A repository that is worked on, and who listens.
struct Site<'a> {
    program: Program,
    access: &'a Access,
    talk: &'a Arc<Talk>,
    what: &'static str,
}

/// One line of `ls`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    struct_type: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Option<String>,
}

impl Site<'_> {
    /// Opens it, makes it where it is to be made, and says whether it did. Who writes is stopped here by
    /// the lock of somebody else, and not when writers are still.
    ///
    /// # Errors
    ///
    /// When it is not there, not ours, locked or cannot be reached.
    fn open(&self, writes: bool) -> Outcome<bool> {
        let probe: &[&str] =
            if writes { &["key", "list", "--json"] } else { &["cat", "config", "--no-lock"] };
        let Err(failed) = self.program.probe(probe)?.good() else { return Ok(false) };
        if failed.class != Failure::NoRepository || !self.access.init {
            return Err(failed);
        }
        if let Location::Directory(path) = &self.access.location
            && ["snapshots", "index"].iter().any(|it| has_entries(&path.join(it)))
        {
            return Err(Failed::new(
                Failure::Damaged,
                format!(
                    "{} has files of a repository and no `config`: bring that back; no new one is made \
                     over them",
                    self.access.location.name()
                ),
            ));
        }
        self.program.call(&["init"])?.good()?;
        Ok(true)
    }

    /// All snapshots with all of `tags`, oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn all(&self, tags: &[String]) -> Outcome<Vec<SnapshotFile>> {
        let listed = self.program.call(&["snapshots", "--json", "--no-lock"])?.good()?;
        let found: Option<Vec<SnapshotFile>> =
            serde_json::from_str(&listed.out).map_err(|error| {
                let what = format!("restic lists snapshots in a form that we do not know: {error}");
                Failed::new(Failure::Other, what)
            })?;
        let mut found = found.unwrap_or_default();
        found.retain(|snapshot| tags.iter().all(|tag| snapshot.tags.contains(tag)));
        found.sort_by_key(|snapshot| snapshot.time.timestamp());
        Ok(found)
    }

    /// The snapshot called `name`: by its id, the beginning of one, or `latest` of those with all `tags`.
    ///
    /// # Errors
    ///
    /// When there is none or more than one.
    fn find(&self, (name, tags): (&str, &[String])) -> Outcome<SnapshotFile> {
        let place = self.access.location.name();
        let missing = |what: String| {
            Failed::new(Failure::NotFound, format!("{what} in {place}: list the snapshots"))
        };
        if name == "latest" {
            return self.all(tags)?.pop().ok_or_else(|| {
                let with = if tags.is_empty() { String::new() } else { format!(" with {tags:?}") };
                missing(format!("there is no snapshot{with}"))
            });
        }
        let mut found = self.all(&[])?;
        found.retain(|it| !name.is_empty() && it.id.to_hex().as_str().starts_with(name));
        match (found.pop(), found.is_empty()) {
            (Some(snapshot), true) => Ok(snapshot),
            (Some(_), false) => Err(missing(format!("`{name}` begins more than one snapshot"))),
            (None, _) => Err(missing(format!("there is no snapshot `{name}`"))),
        }
    }

    fn snapshots(&self, tags: &[String]) -> Outcome<Summary> {
        let made = self.open(false)?;
        for snapshot in self.all(tags)? {
            self.talk.say(&Event::Snapshot(told_of(&snapshot)));
        }
        Ok(Summary { made, ..Summary::default() })
    }

    fn files(&self, snapshot: (&str, &[String]), path: Option<&str>) -> Outcome<Summary> {
        self.open(false)?;
        let snapshot = self.find(snapshot)?;
        let mut say = |node: &Node, is_top: bool| {
            if is_top && node.kind == "dir" {
                return;
            }
            self.talk.say(&Event::Entry {
                path: node.path.clone(),
                kind: node.kind.clone(),
                size: node.size,
                mode: plain_mode(node.mode),
                uid: node.uid,
                gid: node.gid,
                modified: node.mtime.as_deref().map(in_utc),
            });
        };
        self.walk(&snapshot, &path_in(path)?, &mut say)?;
        Ok(Summary { snapshot: Some(told_of(&snapshot)), ..Summary::default() })
    }

    /// Looks at all that a snapshot holds at `path` and below; what lies at `path` itself is the top.
    ///
    /// # Errors
    ///
    /// When it holds nothing there.
    fn walk(
        &self,
        snapshot: &SnapshotFile,
        path: &str,
        see: &mut dyn FnMut(&Node, bool),
    ) -> Outcome<()> {
        let id = snapshot.id.to_hex().as_str().to_owned();
        let mut arguments = vec!["ls", "--json", &id];
        if path != "/" {
            arguments.extend(["--recursive", path]);
        }
        let mut is_there = path == "/";
        let mut heard = |line: &str| {
            if let Ok(node) = serde_json::from_str::<Node>(line)
                && node.struct_type == "node"
            {
                let is_top = node.path == path;
                is_there |= is_top;
                see(&node, is_top);
            }
        };
        self.program.follow(&self.reading(&arguments), None, &mut heard)?.good()?;
        if is_there {
            return Ok(());
        }
        let id = id.get(..8).unwrap_or_default();
        let what = format!("snapshot {id} has no `{path}`: list its files");
        Err(Failed::new(Failure::NotFound, what))
    }

    /// Arguments of who only reads, which can be done where no lock can be written.
    fn reading<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = arguments.to_vec();
        if let Location::Directory(path) = &self.access.location {
            let read_only = rustix::fs::StatVfsMountFlags::RDONLY;
            if rustix::fs::statvfs(path).is_ok_and(|it| it.f_flag.contains(read_only)) {
                arguments.insert(0, "--no-lock");
            }
        }
        arguments
    }

    fn diff(&self, from: &str, to: &str) -> Outcome<Summary> {
        self.open(false)?;
        let (from, to) = (self.find((from, &[]))?, self.find((to, &[]))?);
        let (old, new) = (from.id.to_hex(), to.id.to_hex());
        let arguments = ["diff", "--json", "--metadata", old.as_str(), new.as_str()];
        let mut heard = |line: &str| {
            if let Some((path, how)) = said::difference(line) {
                self.talk.say(&Event::Difference { path, how: how.to_owned() });
            }
        };
        self.program.follow(&self.reading(&arguments), None, &mut heard)?.good()?;
        Ok(Summary { snapshot: Some(told_of(&to)), ..Summary::default() })
    }

    fn forget(&self, tags: &[String], keep: &Keep, dry_run: bool) -> Outcome<Summary> {
        has_rule(keep)?;
        let made = self.open(!dry_run)?;
        let (kept, gone) = decide(self.all(tags)?, keep)
            .map_err(|error| Failed::new(Failure::Other, error.display_log()))?;
        let forgotten: Vec<String> =
            gone.iter().map(|id| id.to_hex().as_str().to_owned()).collect();
        let parts = forgotten.chunks(FORGOTTEN_AT_ONCE).filter(|_| !dry_run);
        for ids in parts {
            let arguments: Vec<&str> =
                std::iter::once("forget").chain(ids.iter().map(String::as_str)).collect();
            self.program.call(&arguments)?.good()?;
        }
        Ok(Summary { kept, forgotten, made, ..Summary::default() })
    }

    fn prune(&self, dry_run: bool) -> Outcome<Summary> {
        let made = self.open(!dry_run)?;
        let mut arguments = vec!["prune", MAY_BE_UNUSED];
        if dry_run {
            arguments.push("--dry-run");
        }
        let said = self.program.call(&arguments)?.good()?;
        let total = said.out.lines().find_map(|line| line.trim().strip_prefix("total prune:"));
        let stored = total.and_then(|it| said::bytes_of(it.split_once('/')?.1)).unwrap_or_default();
        Ok(Summary { stored, made, ..Summary::default() })
    }

    /// How many bytes were read restic does not say.
    fn check(&self, number: u32, of: u32) -> Outcome<Summary> {
        let made = self.open(false)?;
        let part = format!("--read-data-subset={}/{of}", number % of.max(1) + 1);
        let mut arguments = vec!["check"];
        match of {
            0 => {}
            1 => arguments.push("--read-data"),
            _ => arguments.push(&part),
        }
        let called = self.program.call(&self.reading(&arguments))?;
        let findings = called.findings();
        called.good().map_err(|failed| {
            if !matches!(failed.class, Failure::Other | Failure::Damaged) {
                return failed;
            }
            let shown = findings.iter().take(FINDINGS).cloned().collect::<Vec<_>>().join("; ");
            Failed::new(
                Failure::Damaged,
                format!(
                    "{} is damaged, {} findings: {shown}; keep it as it is, and see `restic repair`",
                    self.access.location.name(),
                    findings.len()
                ),
            )
        })?;
        Ok(Summary { made, ..Summary::default() })
    }

    fn unlock(&self, all: bool) -> Outcome<Summary> {
        self.open(false)?;
        let count = || -> Outcome<u64> {
            let listed = self.program.call(&["list", "locks", "--no-lock"])?.good()?;
            Ok(listed.out.lines().filter(|line| line.len() == 64).count() as u64)
        };
        let before = count()?;
        let arguments: &[&str] = if all { &["unlock", "--remove-all"] } else { &["unlock"] };
        self.program.call(arguments)?.good()?;
        Ok(Summary { unlocked: before.saturating_sub(count()?), ..Summary::default() })
    }
}

/// A path in a snapshot, from its top.
fn path_in(path: Option<&str>) -> Outcome<String> {
    let mut found = String::new();
    for part in Path::new(path.unwrap_or_default()).components() {
        match part {
            Component::Normal(name) => found.extend(["/", &name.to_string_lossy()]),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let shown = path.unwrap_or_default();
                let what = format!("`{shown}` is no path in a snapshot: it has `..`");
                return Err(Failed::new(Failure::NotFound, what));
            }
        }
    }
    Ok(if found.is_empty() { "/".to_owned() } else { found })
}

fn in_utc(time: &str) -> String {
    time.parse::<Timestamp>().map_or_else(|_| time.to_owned(), |it| it.to_string())
}

fn has_entries(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_snapshot_begins_at_its_top() {
        for (path, expected) in [
            (None, Some("/")),
            (Some(""), Some("/")),
            (Some("a/b/"), Some("/a/b")),
            (Some("/a//./b"), Some("/a/b")),
            (Some("/a/../b"), None),
        ] {
            assert_eq!(path_in(path).ok().as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn snapshots_of_all_versions_are_read() {
        let tree = "ab".repeat(32);
        // 0.14 and 0.18.
        for (more, files) in [
            (String::new(), None),
            (
                r#","program_version":"restic 0.18.0","summary":{"backup_start":"2025-04-01T10:00:00.5+02:00",
                "backup_end":"2025-04-01T10:00:01.5+02:00","files_new":1,"files_changed":0,
                "files_unmodified":0,"dirs_new":2,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":1,
                "tree_blobs":3,"data_added":2000,"data_added_packed":1000,"total_files_processed":7,
                "total_bytes_processed":9}"#
                    .to_owned(),
                Some(7),
            ),
        ] {
            let text = format!(
                r#"{{"time":"2025-04-01T10:00:00.123456789+02:00","tree":"{tree}","paths":["/a"],
                "hostname":"h","username":"root","tags":["job:x"],"id":"{tree}","short_id":"abababab"{more}}}"#
            );
            let snapshot: SnapshotFile = serde_json::from_str(&text).unwrap();
            let told = told_of(&snapshot);
            assert_eq!((told.id.as_str(), told.files), (tree.as_str(), files));
            assert_eq!(told.time, "2025-04-01T08:00:00.123456789Z");
            assert_eq!((told.host.as_str(), told.tags), ("h", vec!["job:x".to_owned()]));
        }
    }
}
