//! Files that are looked at every few seconds: those that set jobs off, and those we were configured from.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::configuration::directories;
use super::{Daemon, Event};
use crate::compose::Files;
use crate::job::On;
use crate::run::Trigger;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the disk.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// What a file or directory looked like: changes when its time, size or identity does, or that of what
/// lies directly in it.
type Print = u64;

/// What was seen by one look.
pub(super) struct Look {
    configuration: Print,
    files: BTreeMap<PathBuf, Print>,
}

/// What was seen before.
#[derive(Default)]
pub(super) struct Watch {
    /// Files that our configuration was read from.
    configured_from: BTreeSet<PathBuf>,
    configuration: Option<Print>,
    files: BTreeMap<PathBuf, Seen>,
    last_look: Option<Instant>,
    is_looking: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    settled: Print,
    /// A change that the next look must find again: a file half written sets nothing off.
    fresh: Option<Print>,
}

impl Watch {
    /// Whether some job waits for a change of a file.
    pub(super) fn is_needed(&self) -> bool {
        !self.files.is_empty()
    }

    /// The files our configuration was read from.
    pub(super) fn known_files(&self) -> BTreeSet<PathBuf> {
        self.configured_from.clone()
    }

    /// Takes in from which files our configuration was read, and how they looked.
    pub(super) fn configured_from(&mut self, read: FilesRead) {
        self.configured_from = read.files;
        self.configuration = Some(read.print);
    }

    /// Takes a look in; returns the files that changed and came to rest.
    fn take_in(&mut self, files: BTreeMap<PathBuf, Print>) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        for (path, print) in files {
            let Some(seen) = self.files.get_mut(&path) else {
                self.files.insert(path, Seen { settled: print, fresh: None });
                continue;
            };
            if print == seen.settled {
                seen.fresh = None;
            } else if seen.fresh == Some(print) {
                *seen = Seen { settled: print, fresh: None };
                changed.insert(path);
            } else {
                seen.fresh = Some(print);
            }
        }
        changed
    }
}

impl Daemon {
    /// Notes how the files look that the configuration was just read from; blocks for the disk.
    pub(super) fn watch_what_was_read(&mut self, files: BTreeSet<PathBuf>) {
        let directories = directories(&self.configuration.settings);
        let files = files.into_iter().chain(directories).collect();
        self.watch.configured_from(FilesRead::look_at(files));
    }

    /// Starts a look, if it is time for one.
    pub(super) fn look_at_files(&mut self) {
        let is_time = self.watch.last_look.is_none_or(|last| last.elapsed() >= LOOK_EVERY);
        if self.watch.is_looking || !is_time {
            return;
        }
        self.watch.is_looking = true;
        self.watch.last_look = Some(Instant::now());
        let files: BTreeSet<PathBuf> = self.watched_files().collect();
        self.watch.files.retain(|path, _| files.contains(path));
        let configured_from = self.watch.configured_from.clone();
        self.tasks.spawn(async move {
            let look = tokio::task::spawn_blocking(move || Look {
                configuration: print_of_all(&configured_from),
                files: files.into_iter().map(|path| (path.clone(), print_of(&path))).collect(),
            });
            look.await.map_or(Event::Mumbled, Event::Looked)
        });
    }

    fn watched_files(&self) -> impl Iterator<Item = PathBuf> {
        self.jobs.listeners(&self.configuration).flat_map(|job| &job.on).filter_map(|on| match on {
            On::FileChanged(path) => Some(path.clone()),
            _ => None,
        })
    }

    /// Sets off what waits for the files that changed.
    pub(super) async fn heed_files(&mut self, look: Look) {
        self.watch.is_looking = false;
        let is_new = self.watch.configuration.is_some_and(|known| known != look.configuration);
        // What is still being read is neither read again nor waited for, and what was read is taken over.
        if self.reading.as_ref().map_or(is_new, JoinHandle::is_finished) {
            self.reload().await;
        }
        let changed = self.watch.take_in(look.files);
        let is_meant = |on: &On| matches!(on, On::FileChanged(path) if changed.contains(path));
        let wishes = self.wishes_of_listeners(Trigger::File, is_meant);
        self.enter(wishes).await;
    }

    /// Reads the configuration anew where one of its files changed since.
    pub(super) async fn reload_if_changed(&mut self) {
        // What takes long to read holds up no slot a second time.
        if self.reading.as_ref().is_some_and(|reading| !reading.is_finished()) {
            return;
        }
        let Some(known) = self.watch.configuration else {
            self.reload().await;
            return;
        };
        let files = self.watch.configured_from.clone();
        let look = tokio::task::spawn_blocking(move || print_of_all(&files));
        match tokio::time::timeout(LOOK_DEADLINE, look).await {
            Ok(Ok(print)) if print == known => {}
            Ok(_) => {
                self.reload().await;
            }
            Err(_) => warn!("the disk does not answer; the configuration stays as it was"),
        }
    }
}

/// Files that were read, and how they looked before.
pub(super) struct FilesRead {
    files: BTreeSet<PathBuf>,
    print: Print,
}

impl FilesRead {
    /// Looks at files; blocks for the disk.
    pub(super) fn look_at(files: BTreeSet<PathBuf>) -> Self {
        Self { print: print_of_all(&files), files }
    }

    /// Looks at other files if those are meant: one that is read for the first time is looked at after it
    /// was read, and a change in between is seen with the one after it.
    pub(super) fn or_look_at(self, files: BTreeSet<PathBuf>) -> Self {
        if self.files == files { self } else { Self::look_at(files) }
    }
}

/// Files that remember which of them were asked for.
pub struct Recorder<'a> {
    disk: &'a dyn Files,
    asked: Mutex<BTreeSet<PathBuf>>,
}

impl<'a> Recorder<'a> {
    /// Nothing was asked for yet.
    pub fn of(disk: &'a dyn Files) -> Self {
        Self { disk, asked: Mutex::default() }
    }

    /// What was asked for.
    pub fn asked(self) -> BTreeSet<PathBuf> {
        self.asked.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Recorder<'_> {
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        self.disk.read_bytes(path)
    }
}

fn print_of_all(files: &BTreeSet<PathBuf>) -> Print {
    let mut hasher = DefaultHasher::new();
    for path in files {
        print_of(path).hash(&mut hasher);
    }
    hasher.finish()
}

fn print_of(path: &Path) -> Print {
    let mut hasher = DefaultHasher::new();
    let is_directory = add(path, &mut hasher);
    if is_directory && let Ok(entries) = std::fs::read_dir(path) {
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for entry in entries {
            entry.hash(&mut hasher);
            add(&entry, &mut hasher);
        }
    }
    hasher.finish()
}

/// Adds what is known of one path; true for a directory.
fn add(path: &Path, hasher: &mut DefaultHasher) -> bool {
    let Ok(found) = std::fs::metadata(path) else {
        0_u8.hash(hasher);
        return false;
    };
    (found.dev(), found.ino(), found.size()).hash(hasher);
    (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()).hash(hasher);
    found.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_has_come_to_rest() {
        let mut watch = Watch::default();
        let path = PathBuf::from("/data/in.csv");
        // (what a look finds, whether that sets something off)
        let rows = [
            (1, false),
            (1, false),
            (2, false),
            (3, false),
            (3, true),
            (3, false),
            (4, false),
            (3, false),
            (5, false),
            (5, true),
        ];
        for (number, (print, expected)) in rows.into_iter().enumerate() {
            let changed = watch.take_in([(path.clone(), print)].into());
            assert_eq!(!changed.is_empty(), expected, "look {number}");
        }
    }

    #[test]
    fn a_print_changes_with_a_file_and_with_what_lies_in_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (root, file) = (directory.path(), directory.path().join("one"));
        let prints = || (print_of(root), print_of(&file));
        let missing = prints();
        std::fs::write(&file, "1").unwrap();
        let there = prints();
        assert_ne!(missing.0, there.0);
        assert_ne!(missing.1, there.1);
        assert_eq!(prints(), there);
        std::fs::write(&file, "12").unwrap();
        let longer = prints();
        assert_ne!(longer.0, there.0);
        assert_ne!(longer.1, there.1);
    }
}
