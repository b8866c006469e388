//! Gathers blobs into packs, writes them, and then the index that says where each is.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use openssl::sha::Sha256;
use serde::Serialize;

use super::{Blob, Name, internal};
use crate::backup::protocol::Failure;
use crate::backup::seal::{Seal, name_of};
use crate::backup::store::{Backend, Kind};
use crate::backup::talk::{Failed, Outcome, locked};

/// Bytes from which on a pack is written, as restic's.
const FULL: usize = 16 << 20;
/// Blobs in one file of the index, as restic's.
const INDEXED: usize = 50_000;
/// Packs that wait to be written.
const AHEAD: usize = 1;

/// A blob as it is stored.
pub(super) struct Sealed {
    pub(super) blob: Blob,
    pub(super) name: Name,
    /// Bytes before it was packed; `None` where it is not.
    pub(super) unpacked: Option<u32>,
    /// How many bytes it holds.
    pub(super) plain: u64,
    pub(super) bytes: Vec<u8>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::backup) struct Written {
    /// Pieces of files: how many, their bytes, and those of them in the repository.
    pub(in crate::backup) data: (u64, u64, u64),
    /// The same of directories.
    pub(in crate::backup) trees: (u64, u64, u64),
}

/// What failed first.
pub(super) type First = Arc<Mutex<Option<Failed>>>;

/// The thread that gathers.
pub(super) struct Packs {
    thread: JoinHandle<Written>,
}

/// A pack that is begun.
struct Begun {
    blob: Blob,
    blobs: Vec<Entry>,
    parts: Vec<Bytes>,
    length: usize,
    hash: Sha256,
}

/// A blob in a file of the index.
#[derive(Serialize)]
struct Entry {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    offset: u32,
    length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    uncompressed_length: Option<u32>,
    #[serde(skip)]
    name: [u8; 32],
}

/// A pack in a file of the index.
#[derive(Serialize)]
struct Pack {
    id: String,
    blobs: Vec<Entry>,
}

#[derive(Default, Serialize)]
struct Index {
    packs: Vec<Pack>,
}

impl Packs {
    /// Gathers what comes by `from`; writes nothing where it only tries.
    pub(super) fn start(
        (backend, seal): (&Arc<Backend>, &Arc<Seal>),
        from: Receiver<Vec<Sealed>>,
        (first, level): (&First, Option<i32>),
        tries: bool,
    ) -> Self {
        let (backend, seal, first) = (Arc::clone(backend), Arc::clone(seal), Arc::clone(first));
        let gather = move || {
            let (to, packs) = sync_channel(AHEAD);
            let writer = {
                let (seal, first) = (Arc::clone(&seal), Arc::clone(&first));
                std::thread::spawn(move || {
                    let written =
                        if tries { Ok(()) } else { write(&backend, (&seal, level), &packs) };
                    note(&first, written);
                    // Who still sends is not kept waiting.
                    for _ in packs {}
                })
            };
            let written = gather(&seal, &from, &to, &first);
            drop(to);
            if writer.join().is_err() {
                note(&first, Err(internal("the thread that writes packs broke off")));
            }
            written
        };
        Self { thread: std::thread::spawn(gather) }
    }

    /// Waits until all is written.
    pub(super) fn finish(self) -> Outcome<Written> {
        self.thread.join().map_err(|_| internal("the thread that makes packs broke off"))
    }
}

/// Keeps an error, if it is the first.
pub(super) fn note(first: &First, outcome: Outcome<()>) {
    if let Err(failed) = outcome {
        locked(first).get_or_insert(failed);
    }
}

fn gather(
    seal: &Seal,
    from: &Receiver<Vec<Sealed>>,
    to: &SyncSender<(Begun, Vec<u8>)>,
    first: &First,
) -> Written {
    let mut written = Written::default();
    let mut begun = [Begun::new(Blob::Data), Begun::new(Blob::Tree)];
    let hand_on = |pack: &mut Begun| {
        let whole = std::mem::replace(pack, Begun::new(pack.blob));
        match whole.table(seal) {
            // Who writes says why it does not any more.
            Some(table) => drop(to.send((whole, table))),
            None => note(first, Err(internal("a pack cannot be encrypted"))),
        }
    };
    for sealed in from.iter().flatten() {
        let (pack, sums) = match sealed.blob {
            Blob::Data => (&mut begun[0], &mut written.data),
            Blob::Tree => (&mut begun[1], &mut written.trees),
        };
        *sums = (sums.0 + 1, sums.1 + sealed.plain, sums.2 + sealed.bytes.len() as u64);
        pack.add(sealed);
        if pack.length >= FULL {
            hand_on(pack);
        }
    }
    for pack in begun.iter_mut().filter(|pack| !pack.blobs.is_empty()) {
        hand_on(pack);
    }
    written
}

impl Begun {
    fn new(blob: Blob) -> Self {
        Self { blob, blobs: Vec::new(), parts: Vec::new(), length: 0, hash: Sha256::new() }
    }

    fn add(&mut self, sealed: Sealed) {
        let of_u32 = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        self.blobs.push(Entry {
            id: sealed.name.to_string(),
            kind: sealed.blob.word(),
            offset: of_u32(self.length),
            length: of_u32(sealed.bytes.len()),
            uncompressed_length: sealed.unpacked,
            name: sealed.name.0,
        });
        self.hash.update(&sealed.bytes);
        self.length += sealed.bytes.len();
        self.parts.push(sealed.bytes.into());
    }

    /// The table of what is in it, which stands at its end, and the length of that.
    fn table(&self, seal: &Seal) -> Option<Vec<u8>> {
        let mut table = Vec::new();
        for entry in &self.blobs {
            let is_tree = u8::from(self.blob == Blob::Tree);
            match entry.uncompressed_length {
                None => table.push(is_tree),
                Some(_) => table.push(2 + is_tree),
            }
            table.extend_from_slice(&entry.length.to_le_bytes());
            table.extend(entry.uncompressed_length.into_iter().flat_map(u32::to_le_bytes));
            table.extend_from_slice(&entry.name);
        }
        let mut table = seal.close(&table)?;
        let length = u32::try_from(table.len()).ok()?;
        table.extend_from_slice(&length.to_le_bytes());
        Some(table)
    }
}

/// Writes packs, and after so many blobs the index of those that are there.
fn write(
    backend: &Backend,
    seal: (&Seal, Option<i32>),
    packs: &Receiver<(Begun, Vec<u8>)>,
) -> Outcome<()> {
    let mut index = Index::default();
    let mut blobs = 0;
    for (mut pack, table) in packs {
        pack.hash.update(&table);
        let id = Name(pack.hash.finish()).to_string();
        pack.parts.push(table.into());
        put(backend, Kind::Data, &id, &pack.parts)?;
        blobs += pack.blobs.len();
        index.packs.push(Pack { id, blobs: pack.blobs });
        if blobs >= INDEXED {
            write_index(backend, seal, &std::mem::take(&mut index))?;
            blobs = 0;
        }
    }
    if index.packs.is_empty() { Ok(()) } else { write_index(backend, seal, &index) }
}

fn write_index(
    backend: &Backend,
    (seal, level): (&Seal, Option<i32>),
    index: &Index,
) -> Outcome<()> {
    let plain = serde_json::to_vec(index).map_err(internal)?;
    let sealed = match level {
        Some(level) => seal.close_packed(&plain, level),
        None => seal.close(&plain),
    };
    let sealed = sealed.ok_or_else(|| internal("an index cannot be encrypted"))?;
    put(backend, Kind::Index, &name_of(&sealed), &[Bytes::from(sealed)])
}

/// Writes a file, unless we are about to end: then our lock is given back.
fn put(backend: &Backend, kind: Kind, name: &str, content: &[Bytes]) -> Outcome<()> {
    if backend.is_ending() {
        return Err(Failed::new(Failure::Stopped, "stopped"));
    }
    let written = backend.store.write(kind, name, content);
    written.map_err(|fault| backend.failed(fault, name))
}
