//! Writes an archive of directories and files, or of a stream.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::repofile::Node;

use super::super::dump::is_file_name;
use super::super::frames::Told;
use super::super::protocol::{Event, Label, Summary};
use super::super::source::{Exactly, Tree, unreadable};
use super::super::store::{Fault, Writing};
use super::super::talk::{Outcome, Talk};
use super::super::tree::What;
use super::item::{Item, Kind, end, pad};
use super::record::{Form, Planned, RECORD, Record, VERSION};
use super::stream::{Sink, Written, encryption};
use super::{Place, writing_failed};

/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Makes a snapshot.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn backup(place: &Place, what: &What, told: &Told) -> Outcome<Summary> {
    let paths = what.paths.iter().map(|path| path.display().to_string()).collect();
    // Before writers are made still: it may be that nothing can be written.
    let begun = Begun::new(place, (&what.label, paths), (None, what.dry_run))?;
    place.talk.say(&Event::Ready);
    told.wait_for_go();
    let source = Tree::new(&what.paths, &what.exclude, what.exclude_caches, &place.talk)?;
    let mut packing = Packing {
        place,
        begun,
        first_names: HashMap::new(),
        buffer: vec![0; BUFFER],
        files: 0,
        bytes: 0,
    };
    for (path, node) in source {
        packing.add(path, &node).map_err(|error| packing.begun.failed(place, &error))?;
    }
    place.talk.all_read();
    let Packing { mut begun, files, bytes, .. } = packing;
    end(&mut begun.sink).map_err(|error| begun.failed(place, &error))?;
    begun.save(place, Form::Tar, (files, bytes))
}

/// Makes a snapshot of a file called `name`, whose content comes in frames.
///
/// # Errors
///
/// When nothing was saved; there is no snapshot then.
pub(super) fn dump(place: &Place, name: &str, label: &Label, told: Told) -> Outcome<Summary> {
    is_file_name(name)?;
    let mut begun = Begun::new(place, (label, vec![format!("/{name}")]), (Some(name), false))?;
    place.talk.say(&Event::Ready);
    let mut content = told.into_dump();
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        let copied = content.read(&mut buffer).and_then(|count| {
            begun.sink.write_all(&buffer[..count])?;
            Ok(count as u64)
        });
        match copied.map_err(|error| begun.failed(place, &error))? {
            0 => break,
            count => {
                bytes += count;
                place.talk.progress("dump", count);
            }
        }
    }
    place.talk.all_read();
    begun.save(place, Form::File, (1, bytes))
}

/// A snapshot that is being written.
struct Begun {
    planned: Planned,
    archive: String,
    sink: Sink,
    dry_run: bool,
}

impl Begun {
    fn new(
        place: &Place,
        (label, paths): (&Label, Vec<String>),
        (file, dry_run): (Option<&str>, bool),
    ) -> Outcome<Self> {
        let planned = Planned::new(label, paths)?;
        let archive = planned.archive(file, &encryption(&place.access));
        let writing = if dry_run {
            Writing::Nowhere
        } else {
            let created = place.shelf.create(&archive);
            let (writing, leave) = created.map_err(|fault| fault.told(&place.name, &archive))?;
            place.talk.hold(leave);
            writing
        };
        let sink = Sink::new(writing, &place.access);
        let sink = sink.map_err(|error| writing_failed(&error, &archive, &place.name))?;
        Ok(Self { planned, archive, sink, dry_run })
    }

    fn failed(&self, place: &Place, error: &io::Error) -> super::Failed {
        writing_failed(error, &self.archive, &place.name)
    }

    /// Puts the archive in place, and then the record.
    fn save(self, place: &Place, form: Form, (files, bytes): (u64, u64)) -> Outcome<Summary> {
        let Self { planned: Planned { mut snapshot, stem }, archive, sink, dry_run } = self;
        let written = sink.finish();
        let Written { writing, size, sha256 } =
            written.map_err(|error| writing_failed(&error, &archive, &place.name))?;
        snapshot.files = Some(files);
        snapshot.bytes = Some(bytes);
        snapshot.added = Some(size);
        if !dry_run {
            writing.finish().map_err(|fault| fault.told(&place.name, &archive))?;
            place.talk.let_go();
            let record = Record {
                version: VERSION,
                snapshot: snapshot.clone(),
                archive,
                size,
                sha256,
                form,
                encryption: encryption(&place.access),
            };
            write_record(place, &record, &format!("{stem}{RECORD}"))?;
        }
        Ok(Summary {
            snapshot: (!dry_run).then_some(snapshot),
            files_changed: files,
            files,
            bytes,
            stored: size,
            ..Summary::default()
        })
    }
}

fn write_record(place: &Place, record: &Record, name: &str) -> Outcome<()> {
    let text = serde_json::to_vec_pretty(record).unwrap_or_default();
    place.shelf.put(name, text).map_err(|fault| {
        if matches!(fault, Fault::Full(_)) {
            // Else it takes the room until a prune; and there is surely no record.
            let _ = place.shelf.remove(&record.archive);
        }
        fault.told(&place.name, name)
    })
}

/// Writes what was found, entry by entry.
struct Packing<'a> {
    place: &'a Place,
    begun: Begun,
    /// Of files that have more than one name: the first.
    first_names: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
    files: u64,
    bytes: u64,
}

impl Packing<'_> {
    fn add(&mut self, path: PathBuf, node: &Node) -> io::Result<()> {
        let Some(mut item) = Item::found(&path, node) else { return Ok(()) };
        let file = (node.meta.device_id, node.meta.inode);
        let has_names = node.meta.links > 1 && item.kind == Kind::File;
        if let Some(first) = self.first_names.get(&file).filter(|_| has_names) {
            item = Item { kind: Kind::Again(first.clone()), size: 0, ..item };
        }
        let is_directory = item.kind == Kind::Directory;
        match item.kind {
            Kind::File => {
                let talk = Arc::clone(&self.place.talk);
                let content = Exactly::open(&path, item.size, &talk);
                let content = content.inspect_err(|error| unreadable(&talk, &path, error));
                let Ok(content) = content else { return Ok(()) };
                let mut content = Filled { content, path, talk, has_failed: false };
                let mut left = item.size;
                // What cannot be read at all is left out, so it is tried first.
                let mut count = content.read_up_to(&mut self.buffer, left);
                if content.has_failed {
                    return Ok(());
                }
                item.write(&mut self.begun.sink)?;
                while count > 0 {
                    self.begun.sink.write_all(&self.buffer[..count])?;
                    left -= count as u64;
                    self.place.talk.progress("backup", count as u64);
                    count = content.read_up_to(&mut self.buffer, left);
                }
                pad(&mut self.begun.sink, item.size)?;
                if has_names {
                    self.first_names.insert(file, item.path.clone());
                }
            }
            _ => item.write(&mut self.begun.sink)?,
        }
        self.files += u64::from(!is_directory);
        self.bytes += item.size;
        Ok(())
    }
}

/// The content of a file, as long as its header says: with zeros for what cannot be read. That is said
/// where it arises.
struct Filled {
    content: Exactly,
    path: PathBuf,
    talk: Arc<Talk>,
    has_failed: bool,
}

impl Filled {
    fn read_up_to(&mut self, buffer: &mut [u8], left: u64) -> usize {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        while !self.has_failed {
            match self.content.read(&mut buffer[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    unreadable(&self.talk, &self.path, &error);
                    self.has_failed = true;
                }
                Ok(count) => return count,
            }
        }
        buffer[..most].fill(0);
        most
    }
}
