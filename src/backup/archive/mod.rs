//! Repositories of archives: each snapshot is one file that `age`, `zstd` and `tar` read without us, and
//! beside it a record that says what it is.
//!
//! Names are unique and nothing is ever changed, so there are no locks. The record is written last and
//! at once: what is cut before that never becomes a snapshot.

mod backup;
mod beneath;
mod item;
mod look;
mod record;
mod restore;
mod stream;
mod upkeep;

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::item::{Item, Items, Kind, Time};
use self::record::{Form, RECORD, Record, stem_of};
use self::stream::Content;
use super::frames::Told;
use super::protocol::{Access, Failure, Operation, Summary};
use super::restore as target;
use super::store::{Fault, Shelf, fault_in};
use super::talk::{Failed, Outcome, Talk};
use super::text_of;
use super::tree::What;

/// The file that marks a place as ours.
const MARK: &str = "roadstead-archives.json";
/// The version of places that we read and write.
const VERSION: u32 = 1;

/// What that file says.
#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
}

/// A place with archives that is worked on, and who listens.
struct Place {
    shelf: Shelf,
    /// For people, without secrets.
    name: String,
    access: Access,
    talk: Arc<Talk>,
}

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
    let place = Place {
        shelf: Shelf::new(access)?,
        name: access.location.name(),
        access: access.clone(),
        talk: Arc::clone(talk),
    };
    let done = catch_unwind(AssertUnwindSafe(|| place.dispatch(operation, told)));
    let done = done.unwrap_or_else(|panic| {
        let what = format!("the work broke off: {}", text_of(&*panic));
        Err(Failed::new(Failure::Other, what))
    });
    done.map(|summary| Summary { troubles: talk.troubles(), ..summary })
}

impl Place {
    fn dispatch(&self, operation: Operation, told: Told) -> Outcome<Summary> {
        let made = self.open()?;
        let summary = match operation {
            Operation::Backup { paths, exclude, exclude_caches, label, dry_run } => {
                let what = What { paths, exclude, exclude_caches, label, dry_run };
                backup::backup(self, &what, &told)
            }
            Operation::Dump { name, label } => backup::dump(self, &name, &label, told),
            Operation::Snapshots { tags } => look::snapshots(self, &tags),
            Operation::Files { snapshot, tags, path } => {
                look::files(self, (&snapshot, &tags), path.as_deref())
            }
            Operation::Diff { from, to } => look::diff(self, &from, &to),
            Operation::Restore { snapshot, tags, path, to, delete, dry_run } => {
                let what = target::What { path, to, delete, dry_run };
                restore::restore(self, (&snapshot, &tags), &what)
            }
            Operation::Forget { tags, keep, dry_run } => {
                upkeep::forget(self, &tags, &keep, dry_run)
            }
            Operation::Prune { dry_run } => upkeep::prune(self, dry_run),
            Operation::Check { number, of } => upkeep::check(self, number, of),
            // Nothing is ever locked.
            Operation::Unlock { .. } => Ok(Summary::default()),
        }?;
        Ok(Summary { made, ..summary })
    }

    /// Looks whether the place is ours, and makes it so where that is wanted; whether it did.
    fn open(&self) -> Outcome<bool> {
        let name = &self.name;
        let mark = match self.shelf.read(MARK) {
            Ok(mark) => mark,
            Err(Fault::Missing) if self.access.init => return self.make(),
            Err(Fault::Missing) => {
                return Err(Failed::new(
                    Failure::NoRepository,
                    format!(
                        "there are no archives of ours in {name}, and no `{MARK}`: correct where it \
                         is, or set `init: true` to begin there"
                    ),
                ));
            }
            Err(fault) => return Err(fault.told(name, MARK)),
        };
        let mark: Mark = serde_json::from_slice(&mark).map_err(|_| {
            let what =
                format!("`{MARK}` in {name} cannot be read: remove it with `init: true` set");
            Failed::new(Failure::Damaged, what)
        })?;
        if mark.version != VERSION {
            return Err(Failed::new(
                Failure::Other,
                format!(
                    "{name} is of version {}: expected {VERSION}; take a newer Roadstead",
                    mark.version
                ),
            ));
        }
        Ok(false)
    }

    fn make(&self) -> Outcome<bool> {
        let name = &self.name;
        let files = self.shelf.list().map_err(|fault| fault.told(name, MARK))?;
        if files.iter().any(|file| file.name == "config") {
            return Err(Failed::new(
                Failure::Other,
                format!(
                    "{name} is a repository of restic's format (it has `config`): leave out \
                     `engine: tar`, or name another place"
                ),
            ));
        }
        let mark = serde_json::to_vec(&Mark { version: VERSION }).unwrap_or_default();
        self.shelf.put(MARK, mark).map_err(|fault| fault.told(name, MARK))?;
        Ok(true)
    }

    /// All snapshots with all of `tags`, oldest first.
    fn all(&self, tags: &[String]) -> Outcome<Vec<Record>> {
        let files = self.shelf.list().map_err(|fault| fault.told(&self.name, "its list"))?;
        let mut all = Vec::new();
        for file in files {
            if !is_record(&file.name) {
                continue;
            }
            let text = match self.shelf.read(&file.name) {
                Ok(text) => text,
                // Forgotten just now.
                Err(Fault::Missing) => continue,
                Err(fault) => return Err(fault.told(&self.name, &file.name)),
            };
            let record = Record::read(&file.name, &text).map_err(|what| {
                let (file, name) = (&file.name, &self.name);
                Failed::new(
                    Failure::Damaged,
                    format!(
                        "`{file}` in {name} cannot be read ({what}): bring it back, or move it away"
                    ),
                )
            })?;
            if tags.iter().all(|tag| record.snapshot.tags.contains(tag)) {
                all.push(record);
            }
        }
        all.sort_by_key(Record::time);
        Ok(all)
    }

    /// The snapshot called `name`: by its id, the beginning of one, or `latest` of those with all `tags`.
    fn find(&self, (name, tags): (&str, &[String])) -> Outcome<Record> {
        let missing = |what: String| {
            let place = &self.name;
            Failed::new(Failure::NotFound, format!("{what} in {place}: list the snapshots"))
        };
        if name == "latest" {
            return self.all(tags)?.pop().ok_or_else(|| {
                let with = if tags.is_empty() { String::new() } else { format!(" with {tags:?}") };
                missing(format!("there is no snapshot{with}"))
            });
        }
        let all = self.all(&[])?.into_iter();
        let mut all = all.filter(|it| !name.is_empty() && it.snapshot.id.starts_with(name));
        match (all.next(), all.next()) {
            (Some(record), None) => Ok(record),
            (Some(_), Some(_)) => Err(missing(format!("`{name}` begins more than one snapshot"))),
            (None, _) => Err(missing(format!("there is no snapshot `{name}`"))),
        }
    }

    /// What a snapshot holds, one after the other.
    fn items(&self, record: &Record) -> Outcome<Items<Content>> {
        let name = &record.archive;
        let stored = self.shelf.open(name, record.size);
        let stored = stored.map_err(|fault| fault.told(&self.name, name))?;
        let shown = format!("`{name}` in {}", self.name);
        let content = stream::open(stored, &record.encryption, (&self.access, &shown))?;
        Ok(match record.form {
            Form::Tar => Items::new(content),
            Form::File => Items::of_file(content, dumped(record)),
        })
    }

    /// What it means that an archive cannot be read.
    fn unread(&self, record: &Record, error: &io::Error) -> Failed {
        reading_failed(error, &record.archive, &self.name)
    }
}

/// Whether a file is a record, by its name.
fn is_record(name: &str) -> bool {
    stem_of(name).is_some_and(|stem| name.strip_prefix(stem) == Some(RECORD))
}

/// The only file of a dump.
fn dumped(record: &Record) -> Item {
    let path = record.snapshot.paths.first().map(String::as_str).unwrap_or_default();
    Item {
        path: path.trim_start_matches('/').into(),
        kind: Kind::File,
        size: record.snapshot.bytes.unwrap_or_default(),
        mode: 0o600,
        uid: 0,
        gid: 0,
        modified: Time::of(record.time().as_nanosecond()),
        attributes: Vec::new(),
    }
}

fn reading_failed(error: &io::Error, archive: &str, place: &str) -> Failed {
    if let Some(fault) = fault_in(error) {
        return fault.told(place, archive);
    }
    let what = match error.kind() {
        ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => error.to_string(),
    };
    Failed::new(
        Failure::Damaged,
        format!("`{archive}` in {place} seems to be damaged ({what}): run a check of it"),
    )
}

fn writing_failed(error: &io::Error, archive: &str, place: &str) -> Failed {
    match fault_in(error) {
        Some(fault) => fault.told(place, archive),
        None => Failed::new(Failure::Other, format!("`{archive}` in {place}: {error}")),
    }
}
