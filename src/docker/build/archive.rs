//! The context of a build as a tar archive, made while it is sent.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use futures_util::Stream;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::context::{DOCKERFILE, Directory, Entry, IGNORE_FILE, found};
use crate::compose::model::Build;

/// Bytes of one chunk on its way to the Engine.
const CHUNK: usize = 64 * 1024;
/// Chunks that may wait for the Engine.
const CHUNKS: usize = 8;

type Archive<'a> = tar::Builder<&'a mut Chunks>;

/// A directory to build from, with its Dockerfile.
#[derive(Debug)]
pub(super) struct Context {
    directory: Directory,
    /// Name of the Dockerfile in the archive.
    pub(super) dockerfile: String,
    /// Content of a Dockerfile that is not in the directory.
    added: Option<Vec<u8>>,
}

impl Context {
    /// Looks at the directory of a build.
    ///
    /// # Errors
    ///
    /// When there is none, when its Dockerfile is missing, or its `.dockerignore` is malformed.
    pub(super) fn open(build: &Build) -> Result<Self> {
        let mut directory = Directory::open(&build.context, None)?;
        let (dockerfile, added) = match &build.dockerfile_inline {
            Some(text) => (added_name(text.as_bytes()), Some(text.clone().into_bytes())),
            None => dockerfile(&directory.path, build.dockerfile.as_deref().unwrap_or(DOCKERFILE))?,
        };
        // The Engine needs both, whatever they say themselves.
        directory.keep(&dockerfile);
        directory.keep(IGNORE_FILE);
        Ok(Self { directory, dockerfile, added })
    }

    /// The archive, made by a thread that waits while the Engine is slower.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
        let (sender, mut receiver) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let mut chunks = Chunks { sender, pending: Vec::with_capacity(CHUNK) };
            if let Err(error) = self.write(&mut chunks) {
                // Who does not listen any more has an error of its own.
                let _ = chunks.sender.blocking_send(Err(error));
            }
        });
        futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))
    }

    fn write(&self, to: &mut Chunks) -> io::Result<()> {
        let mut archive = tar::Builder::new(&mut *to);
        self.directory.walk(&mut |entry| {
            // Ours stands in its place.
            let is_replaced = self.added.is_some() && entry.path == Path::new(IGNORE_FILE);
            if is_replaced { Ok(()) } else { add(&mut archive, entry) }
        })?;
        if let Some(content) = &self.added {
            add_bytes(&mut archive, &self.dockerfile, content)?;
            // The image must not get it: it is not the project's.
            let before = self.directory.ignore_text.as_deref().unwrap_or(IGNORE_FILE);
            let text = format!("{before}\n{}\n", self.dockerfile);
            add_bytes(&mut archive, IGNORE_FILE, text.as_bytes())?;
        }
        archive.into_inner()?.flush()
    }
}

/// Name in the archive, and content where the file is not in the context.
fn dockerfile(directory: &Path, name: &str) -> Result<(String, Option<Vec<u8>>)> {
    let path = directory.join(name);
    let real = found(&path)?;
    // A link that leads outside is no file of the context, either.
    let is_inside = real.starts_with(directory);
    if let Some(relative) = inside(directory, &path).filter(|_| is_inside) {
        return Ok((relative, None));
    }
    let content = fs::read(&real).with_context(|| format!("read `{}`", path.display()))?;
    Ok((added_name(&content), Some(content)))
}

/// The path relative to the directory, where it is in it.
fn inside(directory: &Path, path: &Path) -> Option<String> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    let parent = fs::canonicalize(clean.parent()?).ok()?;
    let real = parent.join(clean.file_name()?);
    Some(real.strip_prefix(directory).ok()?.to_str()?.to_owned())
}

/// The same content has the same name, so that the Engine's cache knows it again.
fn added_name(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let name: Vec<_> = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!(".dockerfile.{}", name.concat())
}

fn add(archive: &mut Archive<'_>, entry: &Entry) -> io::Result<()> {
    let Entry { path, full, metadata } = entry;
    let kind = metadata.file_type();
    let mut header = tar::Header::new_gnu();
    // Everything belongs to root, as with the docker client.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
    header.set_size(0);
    if kind.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, path, io::empty())
    } else if kind.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut header, path, fs::read_link(full)?)
    } else if kind.is_file() {
        header.set_size(metadata.len());
        // One that grows meanwhile is cut; one that shrinks must not break the archive.
        let mut content = File::open(full)?.take(metadata.len());
        archive.append_data(&mut header, path, &mut content)?;
        match content.limit() {
            0 => Ok(()),
            _ => Err(io::Error::other("it changed while it was read: build again")),
        }
    } else if kind.is_fifo() {
        header.set_entry_type(tar::EntryType::Fifo);
        archive.append_data(&mut header, path, io::empty())
    } else {
        // Sockets and devices are nothing to build from.
        Ok(())
    }
}

fn add_bytes(archive: &mut Archive<'_>, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o600);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// Sends what is written, in chunks.
struct Chunks {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    pending: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
        if chunk.is_empty() {
            return Ok(());
        }
        let sent = self.sender.blocking_send(Ok(chunk));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the Engine stopped listening"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    /// Entries of the archive: path and content, or where it leads.
    async fn listed(build: &Build) -> Vec<String> {
        let chunks: Vec<_> = Context::open(build).unwrap().stream().collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
            let path = entry.path().unwrap().display().to_string();
            if let Some(link) = entry.link_name().unwrap() {
                return format!("{path} -> {}", link.display());
            }
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            format!("{path} {text:?}")
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    }

    fn world(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn build(directory: &Path) -> Build {
        Build { context: directory.display().to_string(), ..Build::default() }
    }

    #[tokio::test]
    async fn a_context_is_what_dockerignore_leaves() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let world = world(&[
            ("Dockerfile", "FROM a"),
            (".dockerignore", "*.log\nDockerfile\nout\n!out/in"),
            ("a.log", ""),
            ("out/x", ""),
            ("out/in/y", "y"),
            (&long, "z"),
        ]);
        std::os::unix::fs::symlink("nowhere", world.path().join("link")).unwrap();
        let found = listed(&build(world.path())).await;
        let expected = [
            ".dockerignore \"*.log\\nDockerfile\\nout\\n!out/in\"".to_owned(),
            "Dockerfile \"FROM a\"".to_owned(),
            format!("{}/ \"\"", "d".repeat(90)),
            format!("{long} \"z\""),
            "link -> nowhere".to_owned(),
            "out/in/ \"\"".to_owned(),
            "out/in/y \"y\"".to_owned(),
        ];
        let plain = |it: &String| it.replace("/ \"", " \"");
        assert_eq!(
            found.iter().map(plain).collect::<Vec<_>>(),
            expected.iter().map(plain).collect::<Vec<_>>()
        );
    }

    #[tokio::test]
    async fn a_dockerfile_from_elsewhere_is_sent_and_kept_out_of_the_image() {
        let world = world(&[("ctx/a", "a"), ("other.df", "FROM b"), ("ctx/sub/df", "FROM c")]);
        let context = world.path().join("ctx");
        let named = |name: &str| Build { dockerfile: Some(name.to_owned()), ..build(&context) };
        let inline = Build { dockerfile_inline: Some("FROM d".to_owned()), ..build(&context) };
        for (build, expected) in [
            (named("../other.df"), Some("FROM b")),
            (inline, Some("FROM d")),
            (named("sub/df"), None),
            (named("./sub/../sub/df"), None),
        ] {
            let name = Context::open(&build).unwrap().dockerfile;
            let found = listed(&build).await.join("\n");
            match expected {
                Some(text) => {
                    assert!(found.contains(&format!("{name} {text:?}")), "{found}");
                    assert!(found.contains(&format!(".dockerignore\\n{name}\\n")), "{found}");
                }
                None => assert_eq!(name, "sub/df"),
            }
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let world = world(&[("ctx/a", "a"), ("bad/Dockerfile", ""), ("bad/.dockerignore", "[")]);
        for (directory, expected) in [
            ("none", "there is no directory"),
            ("ctx", "name another with `dockerfile`"),
            ("bad", "line 1"),
        ] {
            let error = Context::open(&build(&world.path().join(directory))).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
    }
}
