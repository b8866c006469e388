//! Files in containers: what stands at a path, and reading it as a tar archive.

use anyhow::{Context, Result};
use bollard::query_parameters::{ContainerArchiveInfoOptions, DownloadFromContainerOptions};
use futures_util::{Stream, StreamExt};

use super::containers::short;
use super::{Engine, is_not_found};

/// Go's bits of a file mode that say what a path is (`io/fs.ModeDir`, `io/fs.ModeSymlink`).
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;

/// What stands at a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Where it points, if it is a symbolic link.
    pub link_target: Option<String>,
}

impl Engine {
    /// Looks at a path in a container; `None` where there is nothing.
    ///
    /// # Errors
    ///
    /// When the Engine cannot look.
    pub async fn stat_path(&self, container: &str, path: &str) -> Result<Option<PathStat>> {
        let options = ContainerArchiveInfoOptions { path: path.to_owned() };
        let found = self.docker()?.get_container_archive_info(container, Some(options)).await;
        match found.with_context(|| format!("look at `{path}` in `{}`", short(container))) {
            Ok(stat) => Ok(Some(PathStat {
                is_directory: stat.file_mode & MODE_DIRECTORY != 0,
                link_target: (stat.file_mode & MODE_SYMLINK != 0).then_some(stat.link_target),
            })),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a path of a container as a tar archive, whose entries begin with the path's last name.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached; what it refuses comes in the stream.
    pub fn download(
        &self,
        container: &str,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>>> + Send + use<>> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let docker = self.docker()?.clone();
        let what = format!("read `{path}` of container `{}`", short(container));
        let pieces = docker.download_from_container(container, Some(options));
        Ok(pieces.map(move |piece| Ok(piece.with_context(|| what.clone())?.to_vec())))
    }

    /// Reads all of a container's file system as a tar archive, without its volumes.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached; what it refuses comes in the stream.
    pub fn export(
        &self,
        container: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>>> + Send + use<>> {
        // The stream borrows the name of the container while it asks.
        let (docker, id) = (self.docker()?.clone(), container.to_owned());
        let what = format!("read the file system of container `{}`", short(container));
        let pieces = docker.export_container(&id).boxed();
        Ok(pieces.map(move |piece| Ok(piece.with_context(|| what.clone())?.to_vec())))
    }
}
