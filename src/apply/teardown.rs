//! Carrying out a teardown.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use tracing::{info, warn};

use super::{Deed, Journal, Thing, Verb, hooks};
use crate::compose::model::Project;
use crate::docker::Engine;
use crate::plan::observed::{Container, State};
use crate::plan::teardown::Teardown;

/// How containers are stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopping<'a> {
    /// Seconds a container gets; `None` is its own grace.
    pub timeout: Option<i32>,
    /// Knows the `pre_stop` hooks; `None` where there are only labels to go by.
    pub project: Option<&'a Project>,
}

/// Takes a project down: containers wave by wave, then networks, then volumes and images if they were
/// asked for.
///
/// # Errors
///
/// The Engine's first; what is left goes with the next try.
pub async fn tear_down(
    engine: &Engine,
    journal: &Journal,
    teardown: &Teardown,
    stopping: Stopping<'_>,
) -> Result<()> {
    for wave in &teardown.waves {
        try_join_all(wave.iter().map(|container| async move {
            let deed = |verb| Deed::container(verb, &container.name);
            journal.deed(deed(Verb::Stop), stop(engine, container, stopping)).await?;
            let removing = engine.discard(&container.id, teardown.with_anonymous_volumes);
            journal.deed(deed(Verb::Remove), removing).await?;
            info!("removed container {}", container.name);
            anyhow::Ok(())
        }))
        .await?;
    }
    for name in &teardown.networks {
        // One that somebody else is attached to stays, as with docker compose.
        let deed = Deed { verb: Verb::Remove, thing: Thing::Network, name };
        tell("network", name, journal.deed(deed, engine.remove_network(name)).await);
    }
    for name in &teardown.volumes {
        let deed = Deed { verb: Verb::Remove, thing: Thing::Volume, name };
        tell("volume", name, journal.deed(deed, engine.remove_volume(name)).await);
    }
    for name in &teardown.images {
        let deed = Deed { verb: Verb::Remove, thing: Thing::Image, name };
        tell("image", name, journal.deed(deed, engine.remove_image(name)).await);
    }
    Ok(())
}

fn tell(kind: &str, name: &str, removed: Result<()>) {
    match removed {
        Ok(()) => info!("removed {kind} {name}"),
        Err(error) => warn!("{error:#}; it stays"),
    }
}

async fn stop(engine: &Engine, container: &Container, stopping: Stopping<'_>) -> Result<()> {
    let service = stopping.project.and_then(|it| it.services.get(container.service()));
    if let Some(service) = service.filter(|_| container.state == State::Running) {
        let it = (container.id.as_str(), container.name.as_str());
        hooks::inside(engine, it, &service.pre_stop, "pre_stop").await?;
    }
    match stopping.timeout {
        Some(seconds) => engine.stop_within(&container.id, Some(seconds)).await,
        None => engine.stop(&container.id, Some(longest_grace())).await,
    }
}

/// Each container brings its own grace; this only bounds how long we wait for the Engine's answer.
fn longest_grace() -> Duration {
    Duration::from_mins(10)
}
