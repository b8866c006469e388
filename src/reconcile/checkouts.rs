//! Moving checkouts to a new revision, and back when it turns out bad.

use anyhow::{Context as _, Result};
use tracing::info;

use super::World;
use super::prospect::Prospect;
use crate::apply::Journal;
use crate::run::{Ending, Outcome, Reason};
use crate::source::{Commit, Source};

/// Moves the checkouts to the new revision; if one cannot be moved, the others go back.
pub(super) async fn advance(
    world: &World,
    journal: &Journal,
    prospect: &Prospect,
) -> Result<(), Ending> {
    for (index, (source, _, to)) in prospect.advances.iter().enumerate() {
        let name = format!("fast-forward {} to {to}", source.name);
        let moved = journal.step(&name, world.git.fast_forward(source, to)).await;
        if let Err(error) = moved {
            let mut message = format!("{error:#}; nothing that ran was touched");
            let back = go_back(world, journal, &prospect.advances[..index]).await;
            if let Err(error) = back {
                message = format!("{message}; {error:#}");
            }
            return Err(Ending::new(Outcome::Blocked, Reason::FastForwardFailed, message));
        }
        info!("{name}: done");
    }
    Ok(())
}

/// Moves checkouts back to where they were: old containers may mount them.
pub(super) async fn go_back(
    world: &World,
    journal: &Journal,
    advances: &[(Source, Commit, Commit)],
) -> Result<()> {
    let mut result = Ok(());
    for (source, before, after) in advances {
        let name = format!("move {} back to {before}", source.name);
        let moved = journal.step(&name, world.git.restore(source, after, before)).await;
        match moved {
            Ok(()) => info!("{name}: done"),
            Err(error) => result = Err(error).context(name),
        }
    }
    result
}
