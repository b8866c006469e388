//! `compose commit`.

use anyhow::Result;
use clap::Args;

use super::Session;
use super::progress::Standing;
use crate::docker::Commit as Request;

// Arguments of `commit`.
#[derive(Debug, Args)]
pub(super) struct Commit {
    /// Who made it, e.g. `Ada <ada@example.org>`
    #[arg(short, long, value_name = "AUTHOR", default_value = "")]
    author: String,
    /// Instruction of a Dockerfile that the image gets as well, e.g. `ENV DEBUG=1`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Number of the container, where the service has several
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// What was done
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Freezes the container meanwhile
    #[arg(
        short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pause: bool,
    /// The service
    service: String,
    /// Name of the image, `REPOSITORY[:TAG]`; without one it has only its id
    #[arg(value_name = "IMAGE", default_value = "")]
    image: String,
}

/// Makes an image of what a container has become.
pub(super) async fn commit(session: &Session, arguments: &Commit) -> Result<u8> {
    let target = session.target(&[])?;
    let index = arguments.index;
    let container = session.one_container(&target, &arguments.service, index).await?;
    let name = &container.name;
    let what = format!("Commit {name}");
    let progress = session.progress;
    progress.tell(name, Standing::Working, &what, "Committing");
    if session.dry_run {
        progress.tell(name, Standing::Done, &what, "Committed");
        return Ok(0);
    }
    let request = Request {
        image: arguments.image.clone(),
        author: arguments.author.clone(),
        message: arguments.message.clone(),
        changes: arguments.change.clone(),
        pause: arguments.pause,
    };
    match session.engine.commit(&container.id, &request).await {
        Ok(id) => {
            progress.tell(name, Standing::Done, &what, &format!("Committed as {id}"));
            Ok(0)
        }
        Err(error) => {
            progress.tell(name, Standing::Failed, &what, "Error");
            Err(error)
        }
    }
}
