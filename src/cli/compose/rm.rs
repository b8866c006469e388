//! `compose rm`.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use super::Session;
use super::ask::{Answer, answered};
use super::lifecycle::{Stop, each, stop_services};
use super::target::is_running;
use crate::cli::output::print;

// Arguments of `rm`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Rm {
    /// Does not ask
    #[arg(short, long)]
    force: bool,
    /// Stops containers first
    #[arg(short, long)]
    stop: bool,
    /// Removes anonymous volumes, too
    #[arg(short, long)]
    volumes: bool,
    /// Accepted for old scripts
    #[arg(short, long, hide = true)]
    all: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Removes the project's stopped containers.
pub(super) async fn rm(session: &Session, arguments: &Rm) -> Result<u8> {
    let Rm { force, stop, volumes, services, .. } = arguments;
    let target = session.target(services)?;
    if *stop {
        let stop = Stop { timeout: None, services: services.clone() };
        stop_services(session, &target, &stop).await?;
    }
    let mut containers = session.containers(&target, services, false).await?;
    // In a dry run they were not really stopped.
    containers.retain(|it| !is_running(it) || *stop && session.dry_run);
    if containers.is_empty() {
        writeln!(std::io::stderr(), "No stopped containers")?;
        return Ok(0);
    }
    let names: Vec<&str> = containers.iter().map(|it| it.name.as_str()).collect();
    let question = format!("Going to remove {}", names.join(", "));
    match if *force { Answer::Yes } else { answered(&question)? } {
        Answer::Yes if *force => print(|to| writeln!(to, "{question}"))?,
        Answer::Yes => {}
        Answer::No => return Ok(0),
        Answer::Nobody => {
            writeln!(
                std::io::stderr(),
                "nobody here to ask: nothing was removed; `--force` does not ask"
            )?;
            return Ok(0);
        }
    }
    each(session, &containers, ["Removing", "Removed"], |it| {
        session.engine.discard(&it.id, *volumes)
    })
    .await?;
    Ok(0)
}
