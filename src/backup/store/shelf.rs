//! Files of any size under names of ours, written and read as streams. They lie right in a directory, or
//! below the prefix of a bucket.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::jiff::Timestamp;
use rusty_s3::S3Action;
use rusty_s3::actions::ListObjectsV2;

use super::Fault;
use super::directory::{UNFINISHED, entries, fault, put_in_place, written};
use super::http::{body, ranged, send};
use super::s3::{S3, SIGNED_FOR};
use super::upload::{Begun, Upload, no_bucket};
use crate::backup::protocol::{Access, Failure};
use crate::backup::talk::{Failed, Leave, Outcome};
use crate::job::work::Location;

/// What is read of an object at once.
const PIECE: u32 = 8 << 20;
/// How often that is tried.
const TRIES: u32 = 3;

/// A place with files.
pub(in crate::backup) enum Shelf {
    Directory(PathBuf),
    Bucket(Arc<S3>),
}

/// A file that is there.
#[derive(Clone, Debug)]
pub(in crate::backup) struct Found {
    pub(in crate::backup) name: String,
    pub(in crate::backup) size: u64,
    /// When it was written, where that is known.
    pub(in crate::backup) modified: Option<Timestamp>,
}

impl Shelf {
    /// The place that `access` names; nothing is asked of it yet.
    pub(in crate::backup) fn new(access: &Access) -> Outcome<Self> {
        match &access.location {
            Location::Directory(path) => Ok(Self::Directory(path.clone())),
            Location::S3 { endpoint, bucket, prefix } => {
                Ok(Self::Bucket(Arc::new(S3::new(endpoint, (bucket, prefix), access)?)))
            }
            Location::Rest(_) | Location::Other(_) => Err(Failed::new(
                Failure::Other,
                format!(
                    "{} keeps no archives: expected a directory or a bucket, or another `engine`",
                    access.location.name()
                ),
            )),
        }
    }

    /// All files; a place that is not there has none.
    pub(in crate::backup) fn list(&self) -> Result<Vec<Found>, Fault> {
        match self {
            Self::Directory(root) => list_directory(root),
            Self::Bucket(s3) => s3.list_below(),
        }
    }

    /// A small file, whole.
    pub(in crate::backup) fn read(&self, name: &str) -> Result<Bytes, Fault> {
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                std::fs::read(&path).map(Bytes::from).map_err(|error| fault(&error, &path))
            }
            Self::Bucket(s3) => {
                let key = s3.key_of(name);
                let answer = send(|| {
                    let get = s3.bucket.get_object(s3.credentials(), &key);
                    s3.client.get(get.sign(SIGNED_FOR))
                })?;
                body(answer.ok_or(Fault::Missing)?, None)
            }
        }
    }

    /// Writes a small file: it is there and whole, or not there.
    pub(in crate::backup) fn put(&self, name: &str, content: Vec<u8>) -> Result<(), Fault> {
        let content = Bytes::from(content);
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                written(&path, &[content], |unfinished| std::fs::rename(unfinished, &path))
            }
            Self::Bucket(s3) => s3.put_at(&s3.key_of(name), &content),
        }
    }

    /// Removes a file; one that is not there is no error.
    pub(in crate::backup) fn remove(&self, name: &str) -> Result<(), Fault> {
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(&error, &path)),
                    _ => Ok(()),
                }
            }
            Self::Bucket(s3) => {
                let key = s3.key_of(name);
                let removed = send(|| {
                    let delete = s3.bucket.delete_object(s3.credentials(), &key);
                    s3.client.delete(delete.sign(SIGNED_FOR))
                });
                removed.map(|_| ())
            }
        }
    }

    /// Reads a file of `size` bytes as a stream.
    pub(in crate::backup) fn open(&self, name: &str, size: u64) -> Result<Box<dyn Read>, Fault> {
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                let file = File::open(&path).map_err(|error| fault(&error, &path))?;
                Ok(Box::new(file))
            }
            Self::Bucket(s3) => {
                let (s3, key) = (Arc::clone(s3), s3.key_of(name));
                Ok(Box::new(Object { s3, key, at: 0, size, piece: Cursor::default() }))
            }
        }
    }

    /// Begins a file; it has its name only once it is finished. Also what breaks it off.
    pub(in crate::backup) fn create(&self, name: &str) -> Result<(Writing, Arc<dyn Leave>), Fault> {
        match self {
            Self::Directory(root) => {
                let (path, unfinished) = (root.join(name), unfinished(root, name));
                let file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
                let file = file.map_err(|error| fault(&error, &unfinished))?;
                let leave = Arc::new(Cut::File(unfinished.clone()));
                Ok((Writing::File { file, unfinished, path }, leave))
            }
            Self::Bucket(s3) => {
                let upload = Upload::new(s3, s3.key_of(name));
                let leave = Cut::Object(Arc::clone(s3), s3.key_of(name), upload.begun());
                Ok((Writing::Object(upload), Arc::new(leave)))
            }
        }
    }
}

/// Where a file lies until it is whole.
fn unfinished(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}{UNFINISHED}{}", std::process::id()))
}

fn list_directory(root: &Path) -> Result<Vec<Found>, Fault> {
    let mut all = Vec::new();
    for entry in entries(root)? {
        let entry = entry.map_err(|error| fault(&error, root))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => {
                let modified = metadata.modified().ok().and_then(|it| it.try_into().ok());
                all.push(Found { name, size: metadata.len(), modified });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fault(&error, &entry.path())),
        }
    }
    Ok(all)
}

impl S3 {
    fn key_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn list_below(&self) -> Result<Vec<Found>, Fault> {
        let (mut files, mut next) = (Vec::new(), None::<String>);
        loop {
            let answer = send(|| {
                let mut list = self.bucket.list_objects_v2(self.credentials());
                list.with_prefix(self.prefix.as_str());
                list.with_delimiter("/");
                if let Some(next) = &next {
                    list.with_continuation_token(next.as_str());
                }
                self.client.get(list.sign(SIGNED_FOR))
            })?;
            let listed = ListObjectsV2::parse_response(body(answer.ok_or_else(no_bucket)?, None)?)
                .map_err(|error| Fault::Other(format!("its list cannot be read: {error}")))?;
            files.extend(listed.contents.into_iter().filter_map(|object| {
                let name = object.key.strip_prefix(&self.prefix)?.to_owned();
                let modified = object.last_modified.parse().ok();
                Some(Found { name, size: object.size, modified })
            }));
            next = listed.next_continuation_token;
            if next.is_none() {
                return Ok(files);
            }
        }
    }
}

/// A file that is being written.
pub(in crate::backup) enum Writing {
    File {
        file: File,
        unfinished: PathBuf,
        path: PathBuf,
    },
    Object(Upload),
    /// Nothing is written.
    Nowhere,
}

impl Writing {
    /// Puts it in place.
    pub(in crate::backup) fn finish(self) -> Result<(), Fault> {
        match self {
            Self::File { file, unfinished, path } => {
                let done = file.sync_all().and_then(|()| put_in_place(&unfinished, &path));
                done.map_err(|error| fault(&error, &path))
            }
            Self::Object(upload) => upload.finish(),
            Self::Nowhere => Ok(()),
        }
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, path, .. } => match file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
                other => other.map_err(|error| broken(fault(&error, path))),
            },
            Self::Object(upload) => upload.write(bytes).map_err(broken),
            Self::Nowhere => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is removed when a file is not finished.
enum Cut {
    File(PathBuf),
    Object(Arc<S3>, String, Arc<Begun>),
}

impl Leave for Cut {
    fn leave(&self) {
        match self {
            // What cannot be removed now is removed by a prune.
            Self::File(path) => drop(std::fs::remove_file(path)),
            Self::Object(s3, key, begun) => s3.abort(key, begun),
        }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::File(_) => "a file",
            Self::Object(..) => "an object",
        })
    }
}

/// An object that is read piece by piece, so that no answer has to last as long as all of it.
struct Object {
    s3: Arc<S3>,
    key: String,
    at: u64,
    size: u64,
    piece: Cursor<Bytes>,
}

impl Object {
    fn next_piece(&self, length: u32) -> Result<Bytes, Fault> {
        let Self { s3, key, at, .. } = self;
        let mut tries = 1;
        loop {
            let part = Some((*at, length));
            let answer = send(|| {
                let get = s3.bucket.get_object(s3.credentials(), key);
                ranged(s3.client.get(get.sign(SIGNED_FOR)), part)
            })?;
            match body(answer.ok_or(Fault::Missing)?, part) {
                Err(Fault::Unreachable(_)) if tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.read(buffer)?;
        if count > 0 || buffer.is_empty() || self.at >= self.size {
            return Ok(count);
        }
        let length = u32::try_from(self.size - self.at).unwrap_or(u32::MAX).min(PIECE);
        let piece = self.next_piece(length).map_err(broken)?;
        if piece.len() != length as usize {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += u64::from(length);
        self.piece = Cursor::new(piece);
        self.piece.read(buffer)
    }
}

/// A fault on its way through others' readers and writers.
#[derive(Debug)]
struct Broken(Fault);

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

impl std::error::Error for Broken {}

fn broken(fault: Fault) -> io::Error {
    io::Error::other(Broken(fault))
}

/// The fault that an error is about.
pub(in crate::backup) fn fault_in(error: &io::Error) -> Option<Fault> {
    error.get_ref()?.downcast_ref::<Broken>().map(|broken| broken.0.clone())
}
