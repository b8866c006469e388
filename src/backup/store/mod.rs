//! Where the files of a repository are kept: the same few operations on each kind of place.

mod directory;
mod http;
mod rest;
mod s3;
mod shelf;
mod upload;

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};

use self::directory::Directory;
use self::rest::Rest;
use self::s3::S3;
pub(super) use self::shelf::{Shelf, Writing, fault_in};
use super::protocol::{Access, Failure};
use super::talk::{Failed, Outcome, Talk, locked};
use crate::job::work::Location;

/// What a file of a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Config,
    Keys,
    Locks,
    Snapshots,
    Index,
    Data,
}

/// All that have a directory.
const WITH_DIRECTORY: [Kind; 5] =
    [Kind::Keys, Kind::Locks, Kind::Snapshots, Kind::Index, Kind::Data];

impl Kind {
    /// Its name in every kind of place.
    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Keys => "keys",
            Self::Locks => "locks",
            Self::Snapshots => "snapshots",
            Self::Index => "index",
            Self::Data => "data",
        }
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::Config => Self::Config,
            FileType::Index => Self::Index,
            FileType::Key => Self::Keys,
            FileType::Snapshot => Self::Snapshots,
            FileType::Pack => Self::Data,
        }
    }
}

/// Why a file could not be had or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not there.
    Missing,
    /// There is no room.
    Full(String),
    /// The place does not answer, or refuses us.
    Unreachable(String),
    /// Anything else.
    Other(String),
}

impl Fault {
    /// What it means to a person, of `file` in the place called `name`.
    pub(super) fn told(self, name: &str, file: &str) -> Failed {
        match self {
            Self::Missing => Failed::new(
                Failure::Damaged,
                format!("`{file}` is missing in {name}: check the repository"),
            ),
            Self::Full(what) => Failed::new(
                Failure::Full,
                format!(
                    "there is no room left in {name} ({what}): make room, or forget snapshots and \
                     prune; all that was there before is whole"
                ),
            ),
            Self::Unreachable(what) => Failed::new(
                Failure::Unreachable,
                format!("{name} cannot be reached: {what}; it is tried again with the next run"),
            ),
            Self::Other(what) => Failed::new(Failure::Other, format!("{name}: {what}")),
        }
    }
}

/// A part of a file: from where, and how much.
pub(super) type Part = (u64, u32);

/// A place with the files of a repository. The name of a config is empty.
pub(super) trait Store: Send + Sync {
    /// Names and sizes of all files of a kind; other names are left out.
    fn list(&self, kind: Kind) -> Result<Vec<(String, u64)>, Fault>;
    /// A file, or a part of it.
    fn read(&self, kind: Kind, name: &str, part: Option<Part>) -> Result<Bytes, Fault>;
    /// Writes a file: afterwards it is there and whole, or an error says it is not.
    fn write(&self, kind: Kind, name: &str, content: &[Bytes]) -> Result<(), Fault>;
    /// Writes the config where there is none; one that is there stays, as far as the place can tell.
    fn write_config(&self, content: &[Bytes]) -> Result<(), Fault>;
    /// Removes a file; one that is not there is no error.
    fn remove(&self, kind: Kind, name: &str) -> Result<(), Fault>;
    /// Makes the place ready for a new repository.
    fn create(&self) -> Result<(), Fault>;
    /// Size of the config, if there is one.
    fn config(&self) -> Result<Option<u64>, Fault>;
    /// Whether nothing can be written there, nor by others.
    fn is_read_only(&self) -> bool {
        false
    }
    /// Removes what interrupted writers left; only under an exclusive lock.
    fn sweep(&self) {}
}

/// A store as the library sees it. It remembers what failed: the library does not say it, and goes on
/// after some failures.
pub(super) struct Backend {
    pub(super) store: Arc<dyn Store>,
    /// For people and locks, without secrets.
    pub(super) name: String,
    talk: Arc<Talk>,
    failed_write: Mutex<Option<Fault>>,
    failed_read: Mutex<Option<(String, Fault)>>,
    last_snapshot: Mutex<Option<Id>>,
    begun: Mutex<Begun>,
}

/// What we wrote to make a repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    /// Name of the key.
    pub(super) key: Option<String>,
    pub(super) config: Option<Bytes>,
}

impl Backend {
    /// Opens what `access` says; nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// For an address or certificate that is none.
    pub(super) fn new(access: &Access, talk: &Arc<Talk>) -> Outcome<Arc<Self>> {
        let name = access.location.name();
        let store: Arc<dyn Store> = match &access.location {
            Location::Directory(path) => Arc::new(Directory::new(path.clone())),
            Location::Rest(url) => Arc::new(Rest::new(url, access)?),
            Location::S3 { endpoint, bucket, prefix } => {
                Arc::new(S3::new(endpoint, (bucket, prefix), access)?)
            }
            Location::Other(_) => {
                let what = format!("{name} is opened by restic only: write `engine: restic`");
                return Err(Failed::new(Failure::Other, what));
            }
        };
        Ok(Arc::new(Self {
            store,
            name,
            talk: Arc::clone(talk),
            failed_write: Mutex::default(),
            failed_read: Mutex::default(),
            last_snapshot: Mutex::default(),
            begun: Mutex::default(),
        }))
    }

    /// Whether the process is about to end: nothing is to be written any more.
    pub(super) fn is_ending(&self) -> bool {
        self.talk.is_ending()
    }

    /// The last snapshot that was written.
    pub(super) fn last_snapshot(&self) -> Option<Id> {
        *locked(&self.last_snapshot)
    }

    /// What we wrote to make a repository. What failed of it is forgotten: another made it.
    pub(super) fn begun(&self) -> Begun {
        *locked(&self.failed_write) = None;
        *locked(&self.failed_read) = None;
        locked(&self.begun).clone()
    }

    /// What a fault means to a person.
    pub(super) fn failed(&self, fault: Fault, file: &str) -> Failed {
        fault.told(&self.name, file)
    }

    /// What really failed when the library or its panic says `what`.
    pub(super) fn cause(&self, what: impl FnOnce() -> Failed) -> Failed {
        let write = locked(&self.failed_write).clone();
        if let Some(fault) = write {
            return self.failed(fault, "a file");
        }
        let read = locked(&self.failed_read).clone();
        match read {
            Some((file, fault)) => self.failed(fault, &file),
            None => what(),
        }
    }

    fn error(&self, kind: Kind, name: &str, fault: Fault) -> Box<RusticError> {
        let file = path_of(kind, name);
        let error = RusticError::new(ErrorKind::Backend, format!("`{file}`: {fault:?}"));
        let mut failed = locked(&self.failed_read);
        failed.get_or_insert((file, fault));
        error
    }

    /// Writes, unless a write failed before: what refers to something lost is never written.
    fn write(&self, kind: Kind, name: &str, content: &[Bytes]) -> RusticResult<()> {
        if let Some(fault) = &*locked(&self.failed_write) {
            return Err(RusticError::new(ErrorKind::Backend, format!("given up: {fault:?}")));
        }
        if self.talk.is_ending() {
            // Our lock is given back, or about to be.
            return Err(RusticError::new(ErrorKind::Backend, "the process ends"));
        }
        let written = match kind {
            Kind::Config => {
                locked(&self.begun).config = Some(content.concat().into());
                self.store.write_config(content)
            }
            _ => self.store.write(kind, name, content),
        };
        if kind == Kind::Keys {
            locked(&self.begun).key = Some(name.to_owned());
        }
        match written {
            Ok(()) => Ok(()),
            Err(fault) => {
                let error = RusticError::new(ErrorKind::Backend, format!("`{name}`: {fault:?}"));
                locked(&self.failed_write).get_or_insert(fault);
                Err(error)
            }
        }
    }
}

/// Path of a file in a repository, for people and servers.
fn path_of(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Config => "config".to_owned(),
        _ => format!("{}/{name}", kind.directory()),
    }
}

fn name_of(kind: FileType, id: &Id) -> String {
    match kind {
        FileType::Config => String::new(),
        _ => id.to_hex().as_str().to_owned(),
    }
}

/// Whether a file is named as those of a repository: by the hash of its content.
fn is_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.name.clone()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let of_u32 = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        let fault = |fault| self.error(kind.into(), "", fault);
        if matches!(kind, FileType::Config) {
            let size = self.store.config().map_err(fault)?;
            return Ok(size.map(|size| (Id::default(), of_u32(size))).into_iter().collect());
        }
        let files = self.store.list(kind.into()).map_err(fault)?;
        files.into_iter().map(|(name, size)| Ok((name.parse()?, of_u32(size)))).collect()
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let name = name_of(kind, id);
        let read = self.store.read(kind.into(), &name, None);
        read.map_err(|fault| self.error(kind.into(), &name, fault))
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let name = name_of(kind, id);
        let read = self.store.read(kind.into(), &name, Some((offset.into(), length)));
        let whole = read.and_then(|bytes| {
            if bytes.len() == length as usize {
                return Ok(bytes);
            }
            Err(Fault::Other(format!("`{}` is cut off", path_of(kind.into(), &name))))
        });
        whole.map_err(|fault| self.error(kind.into(), &name, fault))
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        path_of(kind.into(), &name_of(kind, id))
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        self.store.create().map_err(|fault| self.error(Kind::Config, "", fault))
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let is_snapshot = matches!(kind, FileType::Snapshot);
        self.write(kind.into(), &name_of(kind, id), content.slice())?;
        if is_snapshot {
            *locked(&self.last_snapshot) = Some(*id);
        }
        Ok(())
    }

    fn remove(&self, kind: FileType, id: &Id, _: bool) -> RusticResult<()> {
        let name = name_of(kind, id);
        let removed = self.store.remove(kind.into(), &name);
        removed.map_err(|fault| self.error(kind.into(), &name, fault))
    }
}
