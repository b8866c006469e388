//! After a crash: projects that were left in mid-switch.

use anyhow::Result;
use tracing::{info, warn};

use crate::docker::Engine;
use crate::plan::observed::Observed;
use crate::plan::{self, labels};

/// Puts projects back on their feet that a crash left in mid-switch. Needs neither git nor registry.
///
/// # Errors
///
/// When the Engine does not answer, or a container cannot be brought back.
pub async fn recover(engine: &Engine) -> Result<usize> {
    let replaced = engine.containers_with(labels::REPLACES).await?;
    let mut projects: Vec<&str> = replaced.iter().map(|it| it.label(labels::PROJECT)).collect();
    projects.sort_unstable();
    projects.dedup();
    let mut rescued = 0;
    for project in projects {
        let containers = engine.containers_of(project).await?;
        let observed = Observed { containers, ..Observed::default() };
        for rescue in plan::recovery(&observed) {
            let (id, name) = &rescue.remove;
            engine.remove(id).await?;
            if let Some((id, old)) = &rescue.start {
                engine.start(id).await?;
                warn!("container {old} was stopped by an interrupted run; started it again");
            }
            info!("removed {name}, left by an interrupted run");
            rescued += 1;
        }
    }
    Ok(rescued)
}
