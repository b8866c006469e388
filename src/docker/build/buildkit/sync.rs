//! Sends a directory to `BuildKit`: first what there is, then the content of what it does not have yet.
//!
//! The protocol is that of `fsutil`. The Engine keeps what it got for the next build from the same
//! directory, so that only what changed travels.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use http::HeaderMap;
use tokio::sync::mpsc;

use super::grpc::{Incoming, Outgoing};
use super::messages::{Packet, PacketKind, Stat};
use crate::docker::build::context::{Directory, named};

/// Bytes of content in one packet.
const CHUNK: usize = 64 * 1024;
/// Packets that may wait for the Engine.
const PACKETS: usize = 8;
/// Bits of a file's mode as Go writes them, beyond the nine that everybody knows.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_PIPE: u32 = 1 << 25;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// What may be sent.
#[derive(Debug)]
pub(super) enum Source {
    /// A directory of the project.
    Directory(Directory),
    /// A directory that holds nothing but a file of ours.
    File { name: String, content: Vec<u8> },
}

/// Which part of a directory is wanted; `None` is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(Option<Vec<PathBuf>>);

/// A directory on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) source: Arc<Source>,
    pub(super) wanted: Wanted,
}

/// A packet, or why there is none.
type Packets = mpsc::Sender<io::Result<Packet>>;

impl Transfer {
    /// Sends what is asked for until the other side has everything.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the other side gives up.
    pub(super) async fn run(self, incoming: &mut Incoming, outgoing: &mut Outgoing) -> Result<()> {
        let (sender, mut packets) = mpsc::channel(PACKETS);
        let (asks, asked) = mpsc::unbounded_channel();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = self.send(&sender, asked) {
                // Who does not listen any more has an error of its own.
                let _ = sender.blocking_send(Err(error));
            }
        });
        loop {
            tokio::select! {
                Some(packet) = packets.recv() => outgoing.send(&packet?).await?,
                received = incoming.next::<Packet>() => {
                    let Some(packet) = received? else { return Ok(()) };
                    match packet.kind() {
                        // Nobody reads it where the sender failed: that is told above.
                        PacketKind::Request => drop(asks.send(packet.id)),
                        PacketKind::Finish => {
                            return outgoing.send(&packet_of(PacketKind::Finish)).await;
                        }
                        PacketKind::Error => bail!(String::from_utf8_lossy(&packet.data).into_owned()),
                        PacketKind::Stat | PacketKind::Data => {}
                    }
                }
            }
        }
    }

    /// The thread that reads files.
    fn send(&self, packets: &Packets, mut asked: mpsc::UnboundedReceiver<u32>) -> io::Result<()> {
        let mut listing = Listing { packets, files: Vec::new(), directories: BTreeSet::new() };
        match &*self.source {
            Source::Directory(directory) => {
                let wanted = self.wanted.within(&directory.path);
                directory.walk(&mut |entry| {
                    if wanted.holds(&entry.path) {
                        listing.add(directory, &entry.path, &entry.metadata)?;
                    }
                    Ok(())
                })?;
            }
            Source::File { name, content } => listing.add_file(name, content)?,
        }
        put(packets, packet_of(PacketKind::Stat))?;
        let files = listing.files;
        while let Some(id) = asked.blocking_recv() {
            let index = usize::try_from(id).unwrap_or(usize::MAX);
            let Some(Some(path)) = files.get(index) else {
                return Err(io::Error::other(format!("there is no file number {id}")));
            };
            match &*self.source {
                Source::Directory(_) => {
                    let sent = File::open(path).and_then(|it| send_content(packets, id, it));
                    sent.map_err(|error| named(&error, path))?;
                }
                Source::File { content, .. } => send_content(packets, id, content.as_slice())?,
            }
        }
        Ok(())
    }
}

/// The list of files, while it is sent.
struct Listing<'a> {
    packets: &'a Packets,
    /// By number: where the content is, for what has some.
    files: Vec<Option<PathBuf>>,
    /// The directories that were sent.
    directories: BTreeSet<PathBuf>,
}

impl Listing<'_> {
    fn add(&mut self, directory: &Directory, path: &Path, metadata: &Metadata) -> io::Result<()> {
        // A directory that is left out is sent all the same before what is in it.
        let above: Vec<_> = path.ancestors().skip(1).filter(|it| *it != Path::new("")).collect();
        for parent in above.into_iter().rev() {
            if !self.directories.contains(parent) {
                let full = directory.path.join(parent);
                self.announce(parent, &full, &fs::symlink_metadata(&full)?)?;
            }
        }
        self.announce(path, &directory.path.join(path), metadata)
    }

    fn announce(&mut self, path: &Path, full: &Path, metadata: &Metadata) -> io::Result<()> {
        let Some(mode) = go_mode(metadata) else { return Ok(()) };
        let name = path.to_str().ok_or_else(|| {
            io::Error::other("its name is not UTF-8, which BuildKit needs: rename it, or ignore it")
        })?;
        let mut stat = Stat {
            path: name.to_owned(),
            mode,
            modified_nanoseconds: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
            ..Stat::default()
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.directories.insert(path.to_owned());
        } else if kind.is_symlink() {
            stat.link = fs::read_link(full)?.to_string_lossy().into_owned();
        } else if kind.is_file() {
            stat.size = i64::try_from(metadata.len()).unwrap_or(i64::MAX);
        }
        self.files.push(kind.is_file().then(|| full.to_owned()));
        put(self.packets, Packet { stat: Some(stat), ..packet_of(PacketKind::Stat) })
    }

    fn add_file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
        let stat = Stat { path: name.to_owned(), mode: 0o644, size, ..Stat::default() };
        self.files.push(Some(PathBuf::from(name)));
        put(self.packets, Packet { stat: Some(stat), ..packet_of(PacketKind::Stat) })
    }
}

fn packet_of(kind: PacketKind) -> Packet {
    Packet { kind: kind.into(), ..Packet::default() }
}

fn put(packets: &Packets, packet: Packet) -> io::Result<()> {
    let sent = packets.blocking_send(Ok(packet));
    sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "BuildKit stopped listening"))
}

fn send_content(packets: &Packets, id: u32, mut content: impl io::Read) -> io::Result<()> {
    let mut packet = || -> io::Result<bool> {
        let mut data = Vec::with_capacity(CHUNK);
        (&mut content).take(CHUNK as u64).read_to_end(&mut data)?;
        let is_last = data.is_empty();
        put(packets, Packet { id, data, ..packet_of(PacketKind::Data) })?;
        Ok(is_last)
    };
    while !packet()? {}
    Ok(())
}

/// `None` for what nobody builds from: sockets and devices.
fn go_mode(metadata: &Metadata) -> Option<u32> {
    let (mode, kind) = (metadata.permissions().mode(), metadata.file_type());
    let special = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];
    let set = special.iter().filter(|(unix, _)| mode & unix != 0).map(|(_, go)| go);
    let kind = match () {
        () if kind.is_dir() => GO_DIRECTORY,
        () if kind.is_symlink() => GO_LINK,
        () if kind.is_fifo() => GO_PIPE,
        () if kind.is_file() => 0,
        () => return None,
    };
    Some((mode & 0o777) | kind | set.fold(0, |all, bit| all | bit))
}

impl Wanted {
    /// What the Engine asks for. It may get more, never less: patterns are taken for everything.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        if headers.contains_key("followpaths-encoded") || headers.contains_key("include-patterns") {
            return Self(None);
        }
        let paths: Option<Vec<_>> =
            headers.get_all("followpaths").iter().map(|it| plain(it.to_str().ok()?)).collect();
        Self(paths.filter(|it| !it.is_empty()))
    }

    /// The same, as far as no link leads elsewhere.
    fn within(&self, directory: &Path) -> Self {
        let leads_on = |path: &Path| directory.join(path).is_symlink();
        let is_linked =
            |it: &Vec<PathBuf>| it.iter().flat_map(|path| path.ancestors()).any(leads_on);
        Self(self.0.clone().filter(|it| !is_linked(it)))
    }

    fn holds(&self, path: &Path) -> bool {
        let Some(wanted) = &self.0 else { return true };
        wanted.iter().any(|it| path.starts_with(it))
    }
}

/// A path that is no pattern; the whole directory is no path.
fn plain(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    let is_plain = !path.contains(['*', '?', '[', '\\']) && clean != Path::new("");
    is_plain.then_some(clean)
}

/// Reads a whole directory without an Engine, for tests.
#[cfg(test)]
mod tests {
    use super::*;

    fn listed(source: Source, wanted: &[&str]) -> Vec<(String, u32, String)> {
        let mut headers = HeaderMap::new();
        for path in wanted {
            headers.append("followpaths", path.parse().unwrap());
        }
        let (sender, mut packets) = mpsc::channel(100);
        let (asks, asked) = mpsc::unbounded_channel();
        drop(asks);
        let transfer = Transfer { source: Arc::new(source), wanted: Wanted::read(&headers) };
        transfer.send(&sender, asked).unwrap();
        drop(sender);
        let mut found = Vec::new();
        while let Some(packet) = packets.blocking_recv() {
            match packet.unwrap().stat {
                Some(stat) => found.push((stat.path, stat.mode, stat.link)),
                None => found.push(("end".to_owned(), 0, String::new())),
            }
        }
        found
    }

    #[test]
    fn a_directory_is_listed_parents_first() {
        let world = tempfile::tempdir().unwrap();
        for (path, text) in [
            (".dockerignore", "*.log\nout\n!out/in"),
            ("a/b", "b"),
            ("a.txt", "a"),
            ("no.log", ""),
            ("out/in/y", "y"),
        ] {
            let path = world.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        for directory in ["a", "out", "out/in"] {
            let mode = fs::Permissions::from_mode(0o2750);
            fs::set_permissions(world.path().join(directory), mode).unwrap();
        }
        std::os::unix::fs::symlink("a", world.path().join("link")).unwrap();
        let directory = |path: &str, link: &str| {
            let mode =
                if link.is_empty() { GO_DIRECTORY | GO_SETGID | 0o750 } else { GO_LINK | 0o777 };
            (path.to_owned(), mode, link.to_owned())
        };
        let file = |path: &str| (path.to_owned(), 0o640, String::new());
        let end = || ("end".to_owned(), 0, String::new());
        let all = vec![
            file(".dockerignore"),
            directory("a", ""),
            file("a/b"),
            file("a.txt"),
            directory("link", "a"),
            directory("out", ""),
            directory("out/in", ""),
            file("out/in/y"),
            end(),
        ];
        let part = vec![directory("out", ""), directory("out/in", ""), file("out/in/y"), end()];
        for (wanted, expected) in [
            (&[][..], all.clone()),
            (&["/"][..], all.clone()),
            (&["a*"][..], all.clone()),
            (&["link"][..], all.clone()),
            (&["/out/in/y"][..], part),
            (&["none"][..], vec![end()]),
            (&["a.txt", "a/b"][..], vec![directory("a", ""), file("a/b"), file("a.txt"), end()]),
        ] {
            let path = world.path().display().to_string();
            let source = Source::Directory(Directory::open(&path, None).unwrap());
            assert_eq!(listed(source, wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_file_of_ours_is_a_directory_of_its_own() {
        let source = Source::File { name: "Dockerfile".to_owned(), content: b"FROM a".to_vec() };
        let found = listed(source, &["Dockerfile", "Dockerfile.dockerignore"]);
        assert_eq!(found[0], ("Dockerfile".to_owned(), 0o644, String::new()));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn content_is_sent_in_pieces_and_ends_with_an_empty_one() {
        let (sender, mut packets) = mpsc::channel(100);
        let content = vec![7; CHUNK + 1];
        send_content(&sender, 3, content.as_slice()).unwrap();
        drop(sender);
        let mut sizes = Vec::new();
        while let Some(packet) = packets.blocking_recv() {
            let packet = packet.unwrap();
            assert_eq!((packet.id, packet.kind()), (3, PacketKind::Data));
            sizes.push(packet.data.len());
        }
        assert_eq!(sizes, [CHUNK, 1, 0]);
    }
}
