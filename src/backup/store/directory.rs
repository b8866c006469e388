//! A repository in a directory, laid out as restic does.

use std::collections::hash_map::RandomState;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Fault, Kind, Part, Store, WITH_DIRECTORY, is_name};

/// Between the name of a file and a number while it is written.
pub(super) const UNFINISHED: &str = "-tmp-";

/// A directory.
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, kind: Kind, name: &str) -> PathBuf {
        let directory = self.root.join(kind.directory());
        match kind {
            Kind::Config => directory,
            Kind::Data => directory.join(&name[..2]).join(name),
            _ => directory.join(name),
        }
    }

    /// Directories with files of a kind.
    fn directories(&self, kind: Kind) -> Result<Vec<PathBuf>, Fault> {
        let directory = self.root.join(kind.directory());
        if kind != Kind::Data {
            return Ok(vec![directory]);
        }
        let mut all = Vec::new();
        for entry in entries(&directory)? {
            let entry = entry.map_err(|error| fault(&error, &directory))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                all.push(entry.path());
            }
        }
        Ok(all)
    }
}

impl Store for Directory {
    fn list(&self, kind: Kind) -> Result<Vec<(String, u64)>, Fault> {
        let mut files = Vec::new();
        for directory in self.directories(kind)? {
            for entry in entries(&directory)? {
                let entry = entry.map_err(|error| fault(&error, &directory))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if !is_name(&name) {
                    continue;
                }
                match entry.metadata() {
                    Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(fault(&error, &entry.path())),
                }
            }
        }
        Ok(files)
    }

    fn read(&self, kind: Kind, name: &str, part: Option<Part>) -> Result<Bytes, Fault> {
        let path = self.path(kind, name);
        let read = || {
            let mut file = File::open(&path)?;
            let mut content = Vec::new();
            match part {
                None => file.read_to_end(&mut content)?,
                Some((from, length)) => {
                    file.seek(SeekFrom::Start(from))?;
                    content.reserve_exact(length as usize);
                    file.take(length.into()).read_to_end(&mut content)?
                }
            };
            Ok(content.into())
        };
        read().map_err(|error| fault(&error, &path))
    }

    fn write(&self, kind: Kind, name: &str, content: &[Bytes]) -> Result<(), Fault> {
        let path = self.path(kind, name);
        written(&path, content, |unfinished| std::fs::rename(unfinished, &path))
    }

    fn write_config(&self, content: &[Bytes]) -> Result<(), Fault> {
        let path = self.path(Kind::Config, "");
        // Unlike a rename it does not take the place of one that is there.
        written(&path, content, |unfinished| match std::fs::hard_link(unfinished, &path) {
            Ok(()) => std::fs::remove_file(unfinished),
            Err(error) if error.kind() == ErrorKind::AlreadyExists || path.exists() => Err(error),
            // A file system without links.
            Err(_) => std::fs::rename(unfinished, &path),
        })
    }

    fn remove(&self, kind: Kind, name: &str) -> Result<(), Fault> {
        let path = self.path(kind, name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(&error, &path)),
            _ => Ok(()),
        }
    }

    fn create(&self) -> Result<(), Fault> {
        let make = |path: PathBuf| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|error| fault(&error, &path))
        };
        for kind in WITH_DIRECTORY {
            make(self.root.join(kind.directory()))?;
        }
        for number in 0..=u8::MAX {
            make(self.root.join(Kind::Data.directory()).join(format!("{number:02x}")))?;
        }
        Ok(())
    }

    fn config(&self) -> Result<Option<u64>, Fault> {
        let path = self.path(Kind::Config, "");
        match path.metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(&error, &path)),
        }
    }

    fn is_read_only(&self) -> bool {
        rustix::fs::statvfs(&self.root)
            .is_ok_and(|status| status.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    }

    fn sweep(&self) {
        for kind in WITH_DIRECTORY {
            for directory in self.directories(kind).unwrap_or_default() {
                for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                    let name = entry.file_name();
                    if name.to_string_lossy().contains(UNFINISHED) {
                        // What cannot be removed is only in the way of room.
                        let _ = std::fs::remove_file(entry.path());
                    }
                }
            }
        }
    }
}

/// What is in a directory; one that is not there is empty.
pub(super) fn entries(
    path: &Path,
) -> Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>, Fault> {
    match std::fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(fault(&error, path)),
    }
}

/// Writes beside, and has it put in place when it is safe.
pub(super) fn written(
    path: &Path,
    content: &[Bytes],
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), Fault> {
    // Each worker is process 1 of its container: the number of the process tells none apart.
    let number = RandomState::new().build_hasher().finish();
    let unfinished = PathBuf::from(format!("{}{UNFINISHED}{number}", path.display()));
    let written = write(path, &unfinished, content, put);
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written.map_err(|error| fault(&error, path))
}

fn write(
    path: &Path,
    unfinished: &Path,
    content: &[Bytes],
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let open =
        || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            open()?
        }
        other => other?,
    };
    for piece in content {
        file.write_all(piece)?;
    }
    file.sync_all()?;
    drop(file);
    put(unfinished)?;
    sync_directory_of(path)
}

/// Gives a file that is safe on the disk its name, so that it has that after a crash, too.
pub(super) fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(unfinished, path)?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    match File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all() {
        // Some network file systems cannot do this for a directory.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

pub(super) fn fault(error: &io::Error, path: &Path) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::Missing,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Fault::Full(error.to_string())
        }
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotConnected
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::TimedOut => Fault::Unreachable(format!("`{}`: {error}", path.display())),
        _ => Fault::Other(format!("`{}`: {error}", path.display())),
    }
}
