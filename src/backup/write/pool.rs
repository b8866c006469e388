//! The threads that read files and make blobs of them.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustic_core::{OpenStatus, Repository};
use zstd::bulk::{Compressor, Decompressor};

use super::chunks::{Chunks, Cuts};
use super::known::Known;
use super::packs::{First, Packs, Sealed, Written, note};
use super::{Blob, Name, internal};
use crate::backup::repository::Site;
use crate::backup::seal::Seal;
use crate::backup::source::{Exactly, unreadable};
use crate::backup::talk::{Failed, Outcome, Talk, locked};

/// Tasks that wait for a thread; the largest holds a chunk, of 8 MiB at most.
const TASKS_AHEAD: usize = 4;
/// Results that wait for the thread that gathers them.
const RESULTS_AHEAD: usize = 4;
/// Above this, threads wait for the disk and for each other.
const MOST_THREADS: usize = 8;

/// A file of one chunk.
pub(in crate::backup) struct Small {
    /// The number that it is answered by.
    pub(in crate::backup) number: u64,
    pub(in crate::backup) path: PathBuf,
    /// Its bytes, when it was found.
    pub(in crate::backup) size: u64,
}

/// Content of more than one chunk, or of nobody knows how many.
pub(in crate::backup) struct Large {
    /// The number that it is answered by.
    pub(in crate::backup) number: u64,
    pub(in crate::backup) content: Content,
}

/// Where content is.
pub(in crate::backup) enum Content {
    /// In a file of so many bytes.
    File(PathBuf, u64),
    /// It comes.
    Stream(Box<dyn Read + Send>),
}

/// What came of reading.
#[derive(Debug)]
pub(in crate::backup) enum Reply {
    /// A small file has this piece, or is empty, and so many bytes; `None` when it could not be read,
    /// which is said.
    Whole(u64, Option<(Option<Name>, u64)>),
    /// Piece so and so of something large.
    Piece(u64, usize, Name),
    /// Something large has so many pieces and bytes; `None` as before.
    Pieces(u64, Option<(usize, u64)>),
    /// Nothing more can be done.
    Broken,
}

enum Task {
    Files(Vec<Small>),
    Chunk { number: u64, at: usize, plain: Vec<u8> },
    Tree { name: Name, plain: Vec<u8> },
}

/// The threads.
pub(in crate::backup) struct Pool {
    tasks: SyncSender<Task>,
    large: Sender<Large>,
    replies: Receiver<Reply>,
    threads: Vec<JoinHandle<()>>,
    packs: Packs,
    first: First,
    known: Arc<Known>,
    talk: Arc<Talk>,
    /// How the repository cuts content.
    pub(in crate::backup) cuts: Cuts,
}

/// What every thread has.
#[derive(Clone)]
struct Tools {
    seal: Arc<Seal>,
    known: Arc<Known>,
    talk: Arc<Talk>,
    first: First,
    replies: Sender<Reply>,
    /// How much blobs are packed; `None` in repositories of restic's first version.
    level: Option<i32>,
    /// Whether blobs are read again before they are written: what a fault of the memory makes of them
    /// would be found only when they are restored.
    verifies: bool,
    word: &'static str,
}

impl Pool {
    /// Starts them; with `tries` nothing is written.
    ///
    /// # Errors
    ///
    /// When the repository is of a kind that we do not know.
    pub(in crate::backup) fn start(
        site: &Site,
        repository: &Repository<OpenStatus>,
        (known, seal): (&Arc<Known>, &Arc<Seal>),
        tries: bool,
    ) -> Outcome<Self> {
        let config = repository.config();
        let cuts = Cuts::of(config)?;
        let level = config.zstd().map_err(|error| site.failed(&error))?;
        let first = First::default();
        let (results, gathered) = sync_channel(RESULTS_AHEAD);
        let store = (&site.backend, seal);
        let packs = Packs::start(store, gathered, (&first, level), tries);
        let (replies, answers) = channel();
        let tools = Tools {
            seal: Arc::clone(seal),
            known: Arc::clone(known),
            talk: Arc::clone(&site.talk),
            first: Arc::clone(&first),
            replies,
            level,
            verifies: config.extra_verify(),
            word: site.word(),
        };
        let (tasks, waiting) = sync_channel(TASKS_AHEAD);
        let waiting = Arc::new(Mutex::new(waiting));
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let mut threads: Vec<JoinHandle<()>> = (0..processors.min(MOST_THREADS))
            .map(|_| {
                let (tools, waiting, results) =
                    (tools.clone(), Arc::clone(&waiting), results.clone());
                std::thread::spawn(move || tools.work(&waiting, &results))
            })
            .collect();
        let (large, larges) = channel();
        let to = tasks.clone();
        threads.push(std::thread::spawn(move || tools.cut(&larges, &to, cuts)));
        let (known, talk) = (Arc::clone(known), Arc::clone(&site.talk));
        Ok(Self { tasks, large, replies: answers, threads, packs, first, known, talk, cuts })
    }

    /// Reads small files.
    ///
    /// # Errors
    ///
    /// When something failed that ends all.
    pub(in crate::backup) fn files(&self, files: Vec<Small>) -> Outcome<()> {
        self.task(Task::Files(files))
    }

    /// Reads something large.
    ///
    /// # Errors
    ///
    /// When something failed that ends all.
    pub(in crate::backup) fn large(&self, large: Large) -> Outcome<()> {
        self.large.send(large).map_err(|_| self.failed())
    }

    /// Stores a tree, where it is new; returns its name.
    ///
    /// # Errors
    ///
    /// When something failed that ends all.
    pub(in crate::backup) fn tree(&self, plain: Vec<u8>) -> Outcome<Name> {
        let name = Name::of(&plain);
        if self.known.claim(Blob::Tree, name) {
            self.task(Task::Tree { name, plain })?;
        }
        Ok(name)
    }

    /// Waits for what came of reading.
    ///
    /// # Errors
    ///
    /// When something failed that ends all.
    pub(in crate::backup) fn reply(&self) -> Outcome<Reply> {
        match self.replies.recv() {
            Ok(reply) if locked(&self.first).is_none() => Ok(reply),
            _ => Err(self.failed()),
        }
    }

    /// What came of reading so far.
    pub(in crate::backup) fn reply_at_hand(&self) -> Option<Reply> {
        self.replies.try_recv().ok()
    }

    /// Waits until all is written, with its index.
    ///
    /// # Errors
    ///
    /// When not all could be written.
    pub(in crate::backup) fn finish(self) -> Outcome<Written> {
        let Self { tasks, large, threads, packs, first, .. } = self;
        drop((tasks, large));
        for thread in threads {
            thread.join().map_err(|_| internal("a thread that makes blobs broke off"))?;
        }
        let written = packs.finish()?;
        let failed = locked(&first).take();
        failed.map_or(Ok(written), Err)
    }

    fn task(&self, task: Task) -> Outcome<()> {
        if locked(&self.first).is_some() || self.talk.is_ending() {
            return Err(self.failed());
        }
        self.tasks.send(task).map_err(|_| self.failed())
    }

    /// What failed.
    pub(in crate::backup) fn failed(&self) -> Failed {
        locked(&self.first).clone().unwrap_or_else(|| internal("the threads ended early"))
    }
}

impl Tools {
    /// Does tasks until there are no more.
    fn work(&self, tasks: &Mutex<Receiver<Task>>, results: &SyncSender<Vec<Sealed>>) {
        let mut press = match Press::new(self.level, self.verifies) {
            Ok(press) => press,
            Err(error) => return self.broken(internal(error)),
        };
        loop {
            let task = locked(tasks).recv();
            let Ok(task) = task else { return };
            let sealed = catch_unwind(AssertUnwindSafe(|| self.carry_out(task, &mut press)));
            match sealed {
                Ok(Ok(sealed)) if sealed.is_empty() => {}
                // Where nobody gathers any more, it is said why.
                Ok(Ok(sealed)) => drop(results.send(sealed)),
                Ok(Err(failed)) => self.broken(failed),
                Err(_) => self.broken(internal("a thread that makes blobs broke off")),
            }
        }
    }

    fn broken(&self, failed: Failed) {
        note(&self.first, Err(failed));
        self.reply(Reply::Broken);
    }

    fn reply(&self, reply: Reply) {
        // Who asked may be gone, with all that it asked for.
        let _ = self.replies.send(reply);
    }

    fn carry_out(&self, task: Task, press: &mut Press) -> Outcome<Vec<Sealed>> {
        let mut sealed = Vec::new();
        match task {
            Task::Files(files) => {
                let mut plain = Vec::new();
                for Small { number, path, size } in files {
                    plain.clear();
                    let read = Exactly::open(&path, size, &self.talk)
                        .and_then(|mut content| content.read_to_end(&mut plain));
                    if let Err(error) = read {
                        unreadable(&self.talk, &path, &error);
                        self.reply(Reply::Whole(number, None));
                        continue;
                    }
                    let name = (!plain.is_empty()).then(|| Name::of(&plain));
                    if let Some(name) = name {
                        sealed.extend(self.blob((Blob::Data, name), &plain, press)?);
                    }
                    let bytes = plain.len() as u64;
                    self.talk.progress(self.word, bytes);
                    self.reply(Reply::Whole(number, Some((name, bytes))));
                }
            }
            Task::Chunk { number, at, plain } => {
                let name = Name::of(&plain);
                sealed.extend(self.blob((Blob::Data, name), &plain, press)?);
                self.talk.progress(self.word, plain.len() as u64);
                self.reply(Reply::Piece(number, at, name));
            }
            Task::Tree { name, plain } => {
                sealed.push(press.seal((Blob::Tree, name), &plain, &self.seal)?);
            }
        }
        Ok(sealed)
    }

    /// A blob, where it is new.
    fn blob(&self, blob: (Blob, Name), plain: &[u8], press: &mut Press) -> Outcome<Option<Sealed>> {
        let is_new = self.known.claim(blob.0, blob.1);
        is_new.then(|| press.seal(blob, plain, &self.seal)).transpose()
    }

    /// Cuts what is large, one after the other.
    fn cut(&self, larges: &Receiver<Large>, tasks: &SyncSender<Task>, cuts: Cuts) {
        for Large { number, content } in larges {
            let path = match &content {
                Content::File(path, _) => path.clone(),
                Content::Stream(_) => PathBuf::new(),
            };
            let from: io::Result<Box<dyn Read + Send>> = match content {
                Content::File(path, size) => Exactly::open(&path, size, &self.talk)
                    .map(|content| -> Box<dyn Read + Send> { Box::new(content) }),
                Content::Stream(stream) => Ok(stream),
            };
            let mut send = |at, plain| tasks.send(Task::Chunk { number, at, plain }).is_ok();
            let pieces = from.and_then(|from| pieces(from, cuts, &mut send));
            let pieces = pieces.inspect_err(|error| unreadable(&self.talk, &path, error)).ok();
            self.reply(Reply::Pieces(number, pieces));
        }
    }
}

/// Cuts content; returns the number of pieces, and of bytes.
fn pieces(
    from: impl Read,
    cuts: Cuts,
    send: &mut dyn FnMut(usize, Vec<u8>) -> bool,
) -> io::Result<(usize, u64)> {
    let (mut count, mut bytes) = (0, 0);
    let mut chunks = Chunks::new(from, cuts);
    while let Some(chunk) = chunks.next()? {
        bytes += chunk.len() as u64;
        if !send(count, chunk) {
            break;
        }
        count += 1;
    }
    Ok((count, bytes))
}

/// What packs and encrypts.
struct Press {
    packs: Option<Compressor<'static>>,
    unpacks: Option<Decompressor<'static>>,
    verifies: bool,
}

impl Press {
    fn new(level: Option<i32>, verifies: bool) -> io::Result<Self> {
        let packs = level.map(Compressor::new).transpose()?;
        let unpacks = (verifies && level.is_some()).then(Decompressor::new).transpose()?;
        Ok(Self { packs, unpacks, verifies })
    }

    fn seal(&mut self, (blob, name): (Blob, Name), plain: &[u8], seal: &Seal) -> Outcome<Sealed> {
        let packed =
            self.packs.as_mut().map(|it| it.compress(plain)).transpose().map_err(internal)?;
        let unpacked = u32::try_from(plain.len()).map_err(internal)?;
        let bytes = seal.close(packed.as_deref().unwrap_or(plain));
        let bytes = bytes.ok_or_else(|| internal("a blob cannot be encrypted"))?;
        if self.verifies {
            self.verify(&bytes, plain, seal)?;
        }
        let unpacked = packed.is_some().then_some(unpacked);
        Ok(Sealed { blob, name, unpacked, plain: plain.len() as u64, bytes })
    }

    fn verify(&mut self, sealed: &[u8], plain: &[u8], seal: &Seal) -> Outcome<()> {
        let opened = seal.decrypt(sealed);
        let opened = match &mut self.unpacks {
            Some(unpacks) => opened.and_then(|it| unpacks.decompress(&it, plain.len()).ok()),
            None => opened,
        };
        if opened.as_deref() == Some(plain) {
            return Ok(());
        }
        let what = "what was to be stored could not be read back: the memory of this machine may be \
                    faulty, test it";
        Err(internal(what))
    }
}
