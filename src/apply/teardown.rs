//! Carrying out a teardown.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tracing::{info, warn};

use crate::docker::Engine;
use crate::plan::teardown::Teardown;

/// Takes a project down: containers wave by wave, then networks, then volumes if they were asked for.
///
/// # Errors
///
/// The Engine's first; what is left goes with the next try.
pub async fn tear_down(engine: &Engine, teardown: &Teardown) -> Result<()> {
    for wave in &teardown.waves {
        try_join_all(wave.iter().map(|container| async move {
            engine.stop(&container.id, Some(longest_grace())).await?;
            engine.remove(&container.id).await?;
            info!("removed container {}", container.name);
            anyhow::Ok(())
        }))
        .await?;
    }
    for name in &teardown.networks {
        // One that somebody else is attached to stays, as with docker compose.
        match engine.remove_network(name).await {
            Ok(()) => info!("removed network {name}"),
            Err(error) => warn!("{error:#}; it stays"),
        }
    }
    for name in &teardown.volumes {
        match engine.remove_volume(name).await {
            Ok(()) => info!("removed volume {name}"),
            Err(error) => warn!("{error:#}; it stays"),
        }
    }
    Ok(())
}

/// Each container brings its own grace; this only bounds how long we wait for the Engine's answer.
fn longest_grace() -> Duration {
    Duration::from_mins(10)
}
