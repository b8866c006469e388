//! `compose wait`.

use anyhow::{Result, bail};
use clap::{Args, Parser};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::arguments::Down;
use super::target::is_running;
use super::{Session, down};
use crate::cli::output::print;

// Arguments of `wait`.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Takes the project down when the first container ends
    #[arg(long)]
    down_project: bool,
    /// The services
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

/// The arguments of `down`, from words.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    down: Down,
}

/// Waits until all containers of the services have ended; with `--down-project`, until one has.
pub(super) async fn wait(session: &Session, arguments: &Wait) -> Result<u8> {
    let target = session.target_alone(&arguments.services)?;
    let mut containers = session.containers(&target, &arguments.services, true).await?;
    containers.retain(is_running);
    if containers.is_empty() {
        bail!(
            "no containers for project \"{}\": none of {} runs",
            target.name,
            arguments.services.join(", ")
        );
    }
    let ends = containers
        .iter()
        .map(|container| async move { (container, session.engine.wait(&container.id).await) });
    let mut ends: FuturesUnordered<_> = ends.collect();
    let mut code = 0;
    while let Some((container, ended)) = ends.next().await {
        code = ended?;
        print(|to| writeln!(to, "container \"{}\" exited with status code {code}", container.id))?;
        if arguments.down_project {
            break;
        }
    }
    drop(ends);
    if arguments.down_project {
        down::down(session, &Line::try_parse_from(["down", "--remove-orphans"])?.down).await?;
    }
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
