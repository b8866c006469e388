//! `compose export`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::{Stream, StreamExt};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::progress::Standing;
use super::{Session, own_stdout};
use crate::cli::Usage;

// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// Writes to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The service
    service: String,
}

/// Writes the file system of a container as a tar archive.
pub(super) async fn export(session: &Session, arguments: &Export) -> Result<u8> {
    let Export { index, output, service } = arguments;
    if output.is_none() && std::io::stdout().is_terminal() {
        bail!(Usage(
            "an archive is not for a terminal: name a file, as in `-o web.tar`".to_owned()
        ));
    }
    let target = session.target(&[])?;
    let container = session.one_container(&target, service, *index).await?;
    let name = &container.name;
    let shown = output.as_deref().unwrap_or(Path::new("")).display();
    let what = format!("export {name} to {shown}");
    let progress = session.progress;
    progress.tell(name, Standing::Working, &what, "Exporting");
    if !session.dry_run {
        let pieces = session.engine.export(&container.id)?;
        let written = match output {
            None => write(pieces, File::from_std(own_stdout()?)).await.context("write to stdout"),
            Some(path) => {
                let written = write_file(pieces, path).await;
                written.with_context(|| format!("write `{}`", path.display()))
            }
        };
        if let Err(error) = written {
            progress.tell(name, Standing::Failed, &what, "Error");
            return Err(error);
        }
    }
    progress.tell(name, Standing::Done, &what, "Exported");
    Ok(0)
}

/// A file that was there stays as it is until all of the new one is.
async fn write_file(pieces: impl Stream<Item = Result<Vec<u8>>>, path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        return write(pieces, File::options().write(true).open(path).await?).await;
    }
    let mut beside = path.to_owned();
    beside.as_mut_os_string().push(format!(".{}.part", std::process::id()));
    let mut options = File::options();
    let unfinished = options.write(true).create_new(true).mode(0o600).open(&beside).await?;
    let written = match write(pieces, unfinished).await {
        Ok(()) => tokio::fs::rename(&beside, path).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    if written.is_err() {
        let _ = tokio::fs::remove_file(&beside).await;
    }
    written
}

async fn write(pieces: impl Stream<Item = Result<Vec<u8>>>, mut to: File) -> Result<()> {
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        to.write_all(&piece?).await?;
    }
    Ok(to.flush().await?)
}
