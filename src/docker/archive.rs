//! Files into a container, as a tar archive: what `cp`, secrets and configs stand on.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::query_parameters::UploadToContainerOptions;
use futures_util::{Stream, StreamExt};

use super::Engine;
use super::containers::short;

/// Longest wait for the Engine to take a whole archive: what a person copies may be large.
const UPLOAD_DEADLINE: Duration = Duration::from_hours(1);

/// An archive is made of blocks.
const BLOCK: usize = 512;

/// Who owns the files of an uploaded archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The owners the archive names.
    Archive,
    /// The user that the container runs as (`cp --archive`).
    Container,
}

impl Engine {
    /// Writes a program into a container that is not started yet, at a path in its root.
    ///
    /// # Errors
    ///
    /// When the container's root cannot be written to.
    pub async fn upload_program(&self, id: &str, path: &str, program: Vec<u8>) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path.trim_start_matches('/')).context("name a program")?;
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        // To the end of its block, and the two empty ones at the end of an archive.
        let end = vec![0; (BLOCK - program.len() % BLOCK) % BLOCK + 2 * BLOCK];
        let parts = [header.as_bytes().to_vec(), program, end];
        let parts = futures_util::stream::iter(parts.map(Ok));
        self.upload_archive(id, "/", Ownership::Archive, parts).await
    }

    /// Unpacks a tar archive into a directory of a container, running or not.
    ///
    /// # Errors
    ///
    /// When the directory does not exist, when its file system is read-only, or when the archive
    /// breaks off.
    pub async fn upload_archive(
        &self,
        id: &str,
        directory: &str,
        ownership: Ownership,
        archive: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
    ) -> Result<()> {
        let options = UploadToContainerOptions {
            path: directory.to_owned(),
            no_overwrite_dir_non_dir: Some("true".to_owned()),
            copy_uidgid: (ownership == Ownership::Container).then(|| "true".to_owned()),
        };
        let body = bollard::body_try_stream(archive.map(|chunk| chunk.map(Into::into)));
        let docker = self.docker()?.clone().with_timeout(UPLOAD_DEADLINE);
        let uploaded = docker.upload_to_container(id, Some(options), body).await;
        uploaded.with_context(|| format!("write `{directory}` in container `{}`", short(id)))
    }
}
