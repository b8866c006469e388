//! Entries of a tar archive: headers as POSIX has them, with PAX records for what these cannot hold.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustic_core::repofile::{Node, NodeType};
use tar::{EntryType, Header};

use super::super::files::plain_mode;

/// The unit of an archive.
const BLOCK: usize = 512;
/// Bytes of a name or of a link that a header holds.
const NAME: usize = 100;
/// Above this, records of one entry are none of ours: attributes of a file have 64 KiB.
const LONGEST_RECORDS: u64 = 16 << 20;
/// The last second that a header can say: 11 octal digits.
const LAST_SECOND: i64 = 0o777_7777_7777;
/// What a record of an extended attribute begins with.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where, without a slash in front.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Bytes of content; only a file has any.
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Time,
    /// Names and values.
    pub(super) attributes: Vec<(OsString, Vec<u8>)>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// One more name of a file before it.
    Again(PathBuf),
    Link(PathBuf),
    Directory,
    /// Major and minor number.
    Character(u32, u32),
    /// Major and minor number.
    Block(u32, u32),
    Pipe,
}

/// Seconds since 1970, rounded down, and the nanoseconds after these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Item {
    /// What was found at `path`; `None` for a socket, which nobody can bring back.
    pub(super) fn found(path: &Path, node: &Node) -> Option<Self> {
        let numbers = |device: u64| (rustix::fs::major(device), rustix::fs::minor(device));
        let kind = match &node.node_type {
            NodeType::File => Kind::File,
            NodeType::Dir => Kind::Directory,
            NodeType::Symlink { .. } => Kind::Link(node.node_type.to_link().to_path_buf()),
            NodeType::Dev { device } => {
                let (major, minor) = numbers(*device);
                Kind::Block(major, minor)
            }
            NodeType::Chardev { device } => {
                let (major, minor) = numbers(*device);
                Kind::Character(major, minor)
            }
            NodeType::Fifo => Kind::Pipe,
            NodeType::Socket => return None,
        };
        let meta = &node.meta;
        let attributes = meta
            .extended_attributes
            .iter()
            .map(|it| (OsString::from(&it.name), it.value.clone().unwrap_or_default()));
        Some(Self {
            path: path.strip_prefix("/").unwrap_or(path).to_path_buf(),
            size: if kind == Kind::File { meta.size } else { 0 },
            kind,
            mode: plain_mode(node.meta.mode.unwrap_or_default()),
            uid: meta.uid.unwrap_or_default(),
            gid: meta.gid.unwrap_or_default(),
            modified: meta.mtime.map(|time| Time::of(time.as_nanosecond())).unwrap_or_default(),
            attributes: attributes.collect(),
        })
    }

    /// Writes all but its content, which follows.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut name = self.path.as_os_str().as_bytes().to_vec();
        if self.kind == Kind::Directory {
            name.push(b'/');
        }
        let (letter, target) = match &self.kind {
            Kind::File => (EntryType::Regular, None),
            Kind::Again(target) => (EntryType::Link, Some(target)),
            Kind::Link(target) => (EntryType::Symlink, Some(target)),
            Kind::Directory => (EntryType::Directory, None),
            Kind::Character(..) => (EntryType::Char, None),
            Kind::Block(..) => (EntryType::Block, None),
            Kind::Pipe => (EntryType::Fifo, None),
        };
        let target = target.map(|target| target.as_os_str().as_bytes()).unwrap_or_default();

        let mut records = Vec::new();
        if name.len() > NAME {
            record(&mut records, b"path", &name);
        }
        if target.len() > NAME {
            record(&mut records, b"linkpath", target);
        }
        let Time { seconds, nanoseconds } = self.modified;
        if nanoseconds != 0 || !(0..=LAST_SECOND).contains(&seconds) {
            record(&mut records, b"mtime", self.modified.to_string().as_bytes());
        }
        for (attribute, value) in &self.attributes {
            let name = [ATTRIBUTE, &quoted(attribute.as_bytes())].concat();
            record(&mut records, &name, value);
        }
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            cut_into(&mut header.as_old_mut().name, b"././@PaxHeader");
            header.set_entry_type(EntryType::XHeader);
            header.set_mode(0o644);
            header.set_size(records.len() as u64);
            header.set_cksum();
            out.write_all(header.as_bytes())?;
            out.write_all(&records)?;
            pad(out, records.len() as u64)?;
        }

        let mut header = Header::new_ustar();
        cut_into(&mut header.as_old_mut().name, &name);
        cut_into(&mut header.as_old_mut().linkname, target);
        header.set_entry_type(letter);
        header.set_mode(self.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_size(self.size);
        header.set_mtime(u64::try_from(seconds.clamp(0, LAST_SECOND)).unwrap_or_default());
        if let Kind::Character(major, minor) | Kind::Block(major, minor) = self.kind {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        header.set_cksum();
        out.write_all(header.as_bytes())
    }
}

/// Writes what follows content of this length.
///
/// # Errors
///
/// Those of `out`.
pub(super) fn pad(out: &mut impl Write, length: u64) -> io::Result<()> {
    out.write_all(&[0; BLOCK][..padding(length)])
}

/// Writes the end of an archive.
///
/// # Errors
///
/// Those of `out`.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or_default();
    (BLOCK - over) % BLOCK
}

fn cut_into(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// `LENGTH KEY=VALUE`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Names of attributes without what ends them, as GNU tar has them.
fn quoted(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => text.extend_from_slice(b"%25"),
            b'=' => text.extend_from_slice(b"%3D"),
            _ => text.push(*byte),
        }
    }
    text
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            [b'%', b'3', b'D', after @ ..] => (b'=', after),
            _ => (first, after),
        };
        name.push(byte);
        rest = after;
    }
    name
}

impl Time {
    /// Of nanoseconds since 1970.
    pub(super) fn of(nanoseconds: i128) -> Self {
        const SECOND: i128 = 1_000_000_000;
        let seconds = i64::try_from(nanoseconds.div_euclid(SECOND)).unwrap_or_default();
        let nanoseconds = u32::try_from(nanoseconds.rem_euclid(SECOND)).unwrap_or_default();
        Self { seconds, nanoseconds }
    }

    /// `12.5` and the like.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let whole: u64 = whole.parse().ok()?;
        let part: u64 = format!("{:0<9}", part.get(..9).unwrap_or(part)).parse().ok()?;
        Some(Self::of(sign * (i128::from(whole) * 1_000_000_000 + i128::from(part))))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds);
        let sign = if all < 0 { "-" } else { "" };
        let all = all.unsigned_abs();
        write!(formatter, "{sign}{}", all / 1_000_000_000)?;
        let part = format!("{:09}", all % 1_000_000_000);
        match part.trim_end_matches('0') {
            "" => Ok(()),
            part => write!(formatter, ".{part}"),
        }
    }
}

/// Reads entries one after the other, and the content of the last one.
pub(super) struct Items<R> {
    input: R,
    /// Of the content of the last entry.
    left: u64,
    padding: usize,
    is_over: bool,
    /// The only entry of what is no archive.
    alone: Option<Item>,
}

/// What records say of the entry after them.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    modified: Option<Time>,
    attributes: Vec<(OsString, Vec<u8>)>,
    size: Option<u64>,
}

impl<R: Read> Items<R> {
    /// Of an archive.
    pub(super) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, is_over: false, alone: None }
    }

    /// Of a stream that is the content of one file.
    pub(super) fn of_file(input: R, file: Item) -> Self {
        Self { alone: Some(file), is_over: true, ..Self::new(input) }
    }

    /// The next entry; what was not read of the last one is passed over.
    ///
    /// # Errors
    ///
    /// When the archive is cut or is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        self.pass(self.left)?;
        self.left = 0;
        self.pass(self.padding as u64)?;
        self.padding = 0;
        if let Some(file) = self.alone.take() {
            self.left = file.size;
            return Ok(Some(file));
        }
        let mut said = Said::default();
        loop {
            if self.is_over {
                // To the very end: there it shows whether it is whole.
                io::copy(&mut self.input, &mut io::sink())?;
                return Ok(None);
            }
            let mut header = Header::new_old();
            self.input.read_exact(header.as_mut_bytes())?;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                self.is_over = true;
                continue;
            }
            if header.cksum()? != checksum(header.as_bytes()) {
                return Err(bad("a header is not as it was written"));
            }
            match header.entry_type() {
                EntryType::XHeader => said.read(&self.records(&header)?)?,
                EntryType::GNULongName => said.path = Some(self.text(&header)?),
                EntryType::GNULongLink => said.target = Some(self.text(&header)?),
                EntryType::XGlobalHeader => drop(self.records(&header)?),
                _ => return self.item(&header, said).map(Some),
            }
        }
    }

    fn item(&mut self, header: &Header, said: Said) -> io::Result<Item> {
        let numbers = || -> io::Result<(u32, u32)> {
            let (major, minor) = (header.device_major()?, header.device_minor()?);
            Ok((major.unwrap_or_default(), minor.unwrap_or_default()))
        };
        let target = said.target.or_else(|| header.link_name_bytes().map(|it| it.to_vec()));
        let target = PathBuf::from(OsString::from_vec(target.unwrap_or_default()));
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link => Kind::Again(target),
            EntryType::Symlink => Kind::Link(target),
            EntryType::Directory => Kind::Directory,
            EntryType::Char => numbers().map(|(major, minor)| Kind::Character(major, minor))?,
            EntryType::Block => numbers().map(|(major, minor)| Kind::Block(major, minor))?,
            EntryType::Fifo => Kind::Pipe,
            other => return Err(bad(&format!("an entry is of no known kind ({other:?})"))),
        };
        let mut path = said.path.unwrap_or_else(|| header.path_bytes().into_owned());
        if kind == Kind::Directory && path.last() == Some(&b'/') {
            path.pop();
        }
        let size = match kind {
            Kind::File => said.size.map_or_else(|| header.entry_size(), Ok)?,
            _ => 0,
        };
        (self.left, self.padding) = (size, padding(size));
        let of_u32 = |number: u64| u32::try_from(number).map_err(|_| bad("an owner is no number"));
        let modified = match said.modified {
            Some(modified) => modified,
            None => Time::of(i128::from(header.mtime()?) * 1_000_000_000),
        };
        Ok(Item {
            path: PathBuf::from(OsString::from_vec(path)),
            kind,
            size,
            mode: header.mode()? & 0o7777,
            uid: of_u32(header.uid()?)?,
            gid: of_u32(header.gid()?)?,
            modified,
            attributes: said.attributes,
        })
    }

    fn records(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        if size > LONGEST_RECORDS {
            return Err(bad("the records of an entry are too long"));
        }
        let mut records = Vec::new();
        let count = (&mut self.input).take(size).read_to_end(&mut records)?;
        if count as u64 != size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.pass(padding(size) as u64)?;
        Ok(records)
    }

    /// A name of its own, with a zero behind.
    fn text(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut text = self.records(header)?;
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

/// The content of the last entry.
impl<R: Read> Read for Items<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl Said {
    fn read(&mut self, records: &[u8]) -> io::Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            let (key, value, after) =
                next_record(rest).ok_or_else(|| bad("a record of an entry cannot be read"))?;
            rest = after;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"mtime" => self.modified = Time::parse(value),
                b"size" => {
                    self.size = std::str::from_utf8(value).ok().and_then(|it| it.parse().ok());
                }
                _ => {
                    if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                        let name = OsString::from_vec(unquoted(name));
                        self.attributes.push((name, value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Key and value of the first record, and what is after it.
fn next_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

/// The sum of a header's bytes, with blanks where it stands itself.
fn checksum(header: &[u8]) -> u32 {
    let bytes = header.iter().enumerate();
    bytes.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, kind: Kind) -> Item {
        Item {
            path: path.into(),
            kind,
            size: 0,
            mode: 0o4755,
            uid: 3_000_000,
            gid: 7,
            modified: Time { seconds: 1_300_000_000, nanoseconds: 123_456_789 },
            attributes: Vec::new(),
        }
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let long = "d/".repeat(120);
        let far = "x".repeat(200);
        let rows = [
            (item("a", Kind::Directory), ""),
            (Item { size: 5, ..item("a/b", Kind::File) }, "hello"),
            (item("a/c", Kind::Again("a/b".into())), ""),
            (item("a/d", Kind::Link(far.clone().into())), ""),
            (item("a/e", Kind::Character(5, 1)), ""),
            (item("a/f", Kind::Block(300, 70_000)), ""),
            (item("a/g", Kind::Pipe), ""),
            (item(&format!("{long}with\nline"), Kind::Again(far.into())), ""),
            (
                Item {
                    size: 512,
                    modified: Time::of(-1_500_000_000),
                    attributes: vec![
                        ("user.a=%b".into(), b"1\n2\0\xff".to_vec()),
                        ("user.c".into(), vec![b'x'; 5000]),
                    ],
                    ..item("z", Kind::File)
                },
                &"y".repeat(512),
            ),
        ];
        let mut bytes = Vec::new();
        for (item, content) in &rows {
            item.write(&mut bytes).unwrap();
            bytes.extend_from_slice(content.as_bytes());
            pad(&mut bytes, content.len() as u64).unwrap();
        }
        end(&mut bytes).unwrap();
        for reads_content in [true, false] {
            let mut items = Items::new(bytes.as_slice());
            for (item, content) in &rows {
                assert_eq!(items.next().unwrap().as_ref(), Some(item));
                if reads_content {
                    let mut text = String::new();
                    items.read_to_string(&mut text).unwrap();
                    assert_eq!(text, *content);
                }
            }
            assert_eq!(items.next().unwrap(), None);
        }
        // Cut anywhere, it is never whole.
        for length in (0..bytes.len() - 600).step_by(97) {
            let mut items = Items::new(&bytes[..length]);
            let whole = loop {
                match items.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            assert!(!whole, "{length}");
        }
        let mut spoiled = bytes.clone();
        spoiled[0] ^= 1;
        assert!(Items::new(spoiled.as_slice()).next().is_err());
    }

    #[test]
    fn times_keep_their_fraction_before_and_after_1970() {
        for (nanoseconds, text) in [
            (0, "0"),
            (1_500_000_000, "1.5"),
            (1_000_000_001, "1.000000001"),
            (-1, "-0.000000001"),
            (-1_500_000_000, "-1.5"),
            (-2_000_000_000, "-2"),
        ] {
            let time = Time::of(nanoseconds);
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text.as_bytes()), Some(time));
        }
        assert_eq!(Time::parse(b"1.1234567891"), Some(Time::of(1_123_456_789)));
        for text in ["", "x", "1.x", "--1"] {
            assert_eq!(Time::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn records_count_themselves() {
        for length in [1, 90, 91, 92, 93, 94, 95, 990, 991, 992, 993, 994] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'a'; length]);
            let (key, value, rest) = next_record(&records).unwrap();
            assert_eq!((key, value.len(), rest.len()), (&b"path"[..], length, 0));
        }
        for text in [&b"5 a=b"[..], b"6 a=b", b"x a=b\n", b"99 a=b\n", b"1 \n", b"4 a\n"] {
            assert!(next_record(text).is_none(), "{text:?}");
        }
    }
}
