//! What snapshots there are, what they hold, and in what two of them differ.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Component, Path};

use openssl::sha::Sha256;
use rustic_core::jiff::Timestamp;

use super::super::protocol::{Event, Failure, Summary};
use super::super::talk::{Failed, Outcome};
use super::Place;
use super::item::{Item, Items, Kind};
use super::record::Record;
use super::stream::Content;

/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Lists them.
///
/// # Errors
///
/// When they cannot be read.
pub(super) fn snapshots(place: &Place, tags: &[String]) -> Outcome<Summary> {
    for record in place.all(tags)? {
        place.talk.say(&Event::Snapshot(record.snapshot));
    }
    Ok(Summary::default())
}

/// Lists what a snapshot holds.
///
/// # Errors
///
/// When there is no such snapshot or path.
pub(super) fn files(
    place: &Place,
    snapshot: (&str, &[String]),
    path: Option<&str>,
) -> Outcome<Summary> {
    let record = place.find(snapshot)?;
    let below = selected(path)?;
    let mut items = place.items(&record)?;
    let mut is_found = below.is_empty();
    while let Some(item) = items.next().map_err(|error| place.unread(&record, &error))? {
        let parts: Vec<_> = item.path.iter().collect();
        let is_wanted = parts.len() >= below.len() && below.iter().zip(&parts).all(|(a, b)| a == b);
        if !is_wanted {
            continue;
        }
        is_found = true;
        // Of a directory what is in it.
        if item.kind != Kind::Directory || parts.len() > below.len() {
            place.talk.say(&entry(&item));
        }
    }
    if !is_found {
        return Err(no_such_path(&record, path));
    }
    Ok(Summary { snapshot: Some(record.snapshot), ..Summary::default() })
}

/// The names of a path in a snapshot.
///
/// # Errors
///
/// For one with `..`.
pub(super) fn selected(path: Option<&str>) -> Outcome<Vec<OsString>> {
    let path = Path::new(path.unwrap_or_default());
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let what = format!("`{}` is no path in a snapshot: it has `..`", path.display());
                return Err(Failed::new(Failure::NotFound, what));
            }
        }
    }
    Ok(parts)
}

/// What is said where a snapshot has nothing of what was asked for.
pub(super) fn no_such_path(record: &Record, path: Option<&str>) -> Failed {
    let (id, shown) = (record.short(), path.unwrap_or_default());
    let what = format!("snapshot {id} has no `{shown}`: list its files");
    Failed::new(Failure::NotFound, what)
}

fn shown(path: &Path) -> String {
    Path::new("/").join(path).display().to_string()
}

fn entry(item: &Item) -> Event {
    let kind = match item.kind {
        Kind::File => "file",
        Kind::Again(_) => "hardlink",
        Kind::Link(_) => "symlink",
        Kind::Directory => "dir",
        Kind::Character(..) => "chardev",
        Kind::Block(..) => "dev",
        Kind::Pipe => "fifo",
    };
    let nanoseconds = i32::try_from(item.modified.nanoseconds).unwrap_or_default();
    let modified = Timestamp::new(item.modified.seconds, nanoseconds);
    Event::Entry {
        path: shown(&item.path),
        kind: kind.to_owned(),
        size: item.size,
        mode: item.mode,
        uid: item.uid,
        gid: item.gid,
        modified: modified.ok().map(|time| time.to_string()),
    }
}

/// Says in what two snapshots differ: both are read side by side.
///
/// # Errors
///
/// When there is no such snapshot, or one cannot be read.
pub(super) fn diff(place: &Place, from: &str, to: &str) -> Outcome<Summary> {
    let (from, to) = (place.find((from, &[]))?, place.find((to, &[]))?);
    let mut old = Side::new(place, &from)?;
    let mut new = Side::new(place, &to)?;
    loop {
        let order = match (&old.now, &new.now) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.path.cmp(&new.path),
        };
        let before = if order.is_le() { old.take()? } else { None };
        let after = if order.is_ge() { new.take()? } else { None };
        let how = match (&before, &after) {
            (Some((before, old)), Some((after, new))) => {
                if (&before.kind, before.size, old) != (&after.kind, after.size, new) {
                    Some("changed")
                } else if before != after {
                    Some("metadata")
                } else {
                    None
                }
            }
            (Some(_), None) => Some("removed"),
            _ => Some("added"),
        };
        if let (Some(how), Some((item, _))) = (how, before.or(after)) {
            let (path, how) = (shown(&item.path), how.to_owned());
            place.talk.say(&Event::Difference { path, how });
        }
    }
    Ok(Summary { snapshot: Some(to.snapshot), ..Summary::default() })
}

/// An entry, and the hash of its content.
type Seen = (Item, [u8; 32]);

/// One of two archives that are compared.
struct Side<'a> {
    place: &'a Place,
    record: &'a Record,
    items: Items<Content>,
    buffer: Vec<u8>,
    now: Option<Seen>,
}

impl<'a> Side<'a> {
    fn new(place: &'a Place, record: &'a Record) -> Outcome<Self> {
        let (items, buffer) = (place.items(record)?, vec![0; BUFFER]);
        let mut side = Self { place, record, items, buffer, now: None };
        side.take()?;
        Ok(side)
    }

    /// The present entry; goes on to the next.
    fn take(&mut self) -> Outcome<Option<Seen>> {
        let next = self.read().map_err(|error| self.place.unread(self.record, &error))?;
        Ok(std::mem::replace(&mut self.now, next))
    }

    fn read(&mut self) -> io::Result<Option<Seen>> {
        let Some(item) = self.items.next()? else { return Ok(None) };
        let mut hash = Sha256::new();
        loop {
            let count = self.items.read(&mut self.buffer)?;
            if count == 0 {
                return Ok(Some((item, hash.finish())));
            }
            hash.update(&self.buffer[..count]);
            self.place.talk.progress("diff", count as u64);
        }
    }
}
