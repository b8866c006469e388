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

/// Who owns the files of an uploaded archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The owners the archive names.
    Archive,
    /// The user that the container runs as (`cp --archive`).
    Container,
}

impl Engine {
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
