//! A tar archive that a stranger packed: read twice from our own file, never unpacked as a whole.
//!
//! The first time tells what is in it, the second writes what is wanted. Names and sizes are its author's
//! word: each is checked, and all that is read is counted.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use flate2::read::MultiGzDecoder;
use tar::{EntryType, PaxExtensions};
use tokio_util::sync::CancellationToken;

use crate::git::BlobId;
use crate::job::work::SyncArchive;
use crate::plan::sync::tree::{FileItem, Item, Tree, Wrong, joined};

/// The most bytes of a long name or of the extensions of an entry.
const LARGEST_EXTENSION: u64 = 1 << 20;
/// Bytes read at once.
const AT_ONCE: usize = 64 * 1024;

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tree: Tree,
    pub(super) wrong: Wrong,
}

/// Reads what an archive holds.
pub(super) fn contents(
    file: &Path,
    options: &SyncArchive,
    cancel: &CancellationToken,
) -> Result<Contents> {
    let mut contents = Contents::default();
    each(file, options, cancel, |entry| {
        let Contents { tree, wrong } = &mut contents;
        let Some(path) = path_of(&entry.name, options.strip_components, wrong) else {
            return Ok(());
        };
        let item = match entry.kind {
            EntryType::Directory => return Ok(()),
            EntryType::Regular | EntryType::Continuous => {
                let mut id = BlobId::of_size(entry.size);
                copy(entry.content, entry.size, |part| {
                    id.update(part);
                    Ok(())
                })?;
                let (size, checksum) = (entry.size, id.finish());
                let is_executable = entry.mode & 0o100 != 0;
                Item::File(FileItem { size, checksum, is_executable, place: entry.place })
            }
            EntryType::Symlink => Item::Link(entry.link),
            // One more name of a file before it: the same file.
            EntryType::Link => {
                let other = path_of(&entry.link, options.strip_components, wrong);
                let Some(item) = other.and_then(|other| tree.items.get(&other)) else {
                    wrong.add(&path, "is a second name of what is not before it");
                    return Ok(());
                };
                item.clone()
            }
            _ => {
                wrong.add(&path, "is neither file, link nor directory");
                return Ok(());
            }
        };
        tree.insert(path, item);
        Ok(())
    })?;
    contents.tree.check(&mut contents.wrong);
    Ok(contents)
}

/// Gives the contents of all files in their order: of each its place, its size and a reader.
pub(super) fn each_file(
    file: &Path,
    options: &SyncArchive,
    cancel: &CancellationToken,
    mut take: impl FnMut(usize, u64, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    each(file, options, cancel, |entry| match entry.kind {
        EntryType::Regular | EntryType::Continuous => take(entry.place, entry.size, entry.content),
        _ => Ok(()),
    })
}

/// Reads so many bytes, and no fewer.
pub(super) fn copy(
    from: &mut dyn Read,
    bytes: u64,
    mut to: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    let (mut left, mut buffer) = (bytes, vec![0; AT_ONCE]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(AT_ONCE).min(AT_ONCE);
        let read = from.read(&mut buffer[..most]).map_err(|error| explain(&error))?;
        ensure!(read > 0, "the archive is cut off in the middle of a file");
        to(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(())
}

/// The path of an entry once its leading parts are dropped; `None` where nothing of it is left, or it is
/// wrong, which is noted.
fn path_of(name: &[u8], strip: usize, wrong: &mut Wrong) -> Option<PathBuf> {
    let shown = String::from_utf8_lossy(name).into_owned();
    if name.starts_with(b"/") {
        wrong.add(Path::new(&shown), "is an absolute path");
        return None;
    }
    let parts = name.split(|it| *it == b'/').filter(|it| !it.is_empty() && *it != b".");
    let mut path = PathBuf::new();
    let mut count = 0;
    for part in parts {
        count += 1;
        // What is dropped is looked at, too: nobody means `..` there.
        let next = joined(&path, part, wrong)?;
        if count > strip {
            path = next;
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// One entry, its long names put in.
struct Entry<'a> {
    place: usize,
    name: Vec<u8>,
    link: Vec<u8>,
    kind: EntryType,
    mode: u32,
    size: u64,
    content: &'a mut dyn Read,
}

/// Calls for each entry of an archive.
fn each(
    file: &Path,
    options: &SyncArchive,
    cancel: &CancellationToken,
    mut visit: impl FnMut(Entry<'_>) -> Result<()>,
) -> Result<()> {
    let unpacked = open(file).context("read the archive")?;
    let mut counted = Counted { inner: unpacked, left: options.max_unpacked, has_ended: false };
    let mut archive = tar::Archive::new(&mut counted);
    let (mut name, mut link) = (None, None);
    let mut place = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.map_err(|error| explain(&error))?;
        ensure!(!cancel.is_cancelled(), "stopped while the archive was read");
        place += 1;
        let most = options.max_entries;
        ensure!(
            place <= most,
            "the archive has more than {most} entries: raise `max_entries` if that is right"
        );
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => name = Some(text(&mut entry)?),
            EntryType::GNULongLink => link = Some(text(&mut entry)?),
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => {
                let text = extension(&mut entry)?;
                for pair in PaxExtensions::new(&text) {
                    let pair = pair.map_err(|error| explain(&error))?;
                    match pair.key_bytes() {
                        b"path" => name = Some(pair.value_bytes().to_vec()),
                        b"linkpath" => link = Some(pair.value_bytes().to_vec()),
                        b"size" => bail!("the archive holds a file of more than 8 GiB"),
                        key if key.starts_with(b"GNU.sparse") => bail!(SPARSE),
                        _ => {}
                    }
                }
            }
            EntryType::GNUSparse => bail!(SPARSE),
            _ => {
                let name = name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let link = link.take().or_else(|| entry.link_name_bytes().map(Into::into));
                // Old archives tell directories by the slash.
                let is_directory = kind.is_file() && name.ends_with(b"/");
                visit(Entry {
                    place,
                    link: link.unwrap_or_default(),
                    kind: if is_directory { EntryType::Directory } else { kind },
                    mode: entry.header().mode().map_err(|error| explain(&error))?,
                    size: entry.header().entry_size().map_err(|error| explain(&error))?,
                    content: &mut entry,
                    name,
                })?;
            }
        }
    }
    ensure!(
        place > 0,
        "there is no archive, or an empty one: expected tar, packed by gzip or zstd or not"
    );
    ensure!(!counted.has_ended, "the archive is cut off: it lacks its end");
    // The checksum of what it is packed with comes last.
    io::copy(&mut counted, &mut io::sink()).map_err(|error| explain(&error))?;
    Ok(())
}

const SPARSE: &str = "the archive holds a sparse file: pack it without `--sparse`";

fn explain(error: &io::Error) -> anyhow::Error {
    // Readers of tar and gzip have several words for it, and one kind for all their errors.
    let text = error.to_string();
    let is_cut = ["unexpected EOF", "failed to read entire block", "incomplete frame"];
    if error.kind() == io::ErrorKind::UnexpectedEof || is_cut.iter().any(|it| text.contains(it)) {
        return anyhow!("the archive is cut off");
    }
    anyhow!("the archive cannot be read: {text}")
}

fn extension(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(LARGEST_EXTENSION + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    ensure!(bytes.len() as u64 <= LARGEST_EXTENSION, "the archive has a name of more than a MiB");
    Ok(bytes)
}

/// A long name, which a zero byte ends.
fn text(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = extension(entry)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// The archive as tar, by what its first bytes say of how it is packed.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic)?;
    let file = BufReader::with_capacity(AT_ONCE, File::open(path)?);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

/// A reader that gives so many bytes and no more.
struct Counted<R> {
    inner: R,
    left: u64,
    /// Whether the last read found nothing more.
    has_ended: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.has_ended = read == 0 && !buffer.is_empty();
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let why = "unpacked it is larger than `max_unpacked`: raise that if it is right";
            io::Error::other(why)
        })?;
        Ok(read)
    }
}
