//! After a crash: projects that were left in mid-switch.

use std::path::PathBuf;

use anyhow::Result;
use tracing::{error, info, warn};

use super::World;
use crate::docker::{Engine, is_unreachable};
use crate::job::{Job, Work};
use crate::plan::observed::Observed;
use crate::plan::{self, PutAside, Rescue, labels};

/// Directories of the projects of these jobs, as we see them.
pub fn directories<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<PathBuf> {
    let directory = |job: &Job| match &job.work {
        Work::Deploy(deploy) => Some(deploy.directory.clone()),
        _ => None,
    };
    jobs.filter_map(directory).collect()
}

/// Puts the projects of these directories back on their feet where a crash left them in mid-switch.
/// Needs neither git nor registry.
///
/// Another project's switch may be going on right now: by another of our runs, by `compose up`, by a
/// Roadstead with a state of its own. From outside it looks as one that was interrupted.
///
/// A container that cannot be brought back is told and left as it is, for the next look.
///
/// # Errors
///
/// When the Engine does not answer.
pub async fn recover(world: &World, directories: &[PathBuf]) -> Result<usize> {
    let engine = &world.engine;
    let mut replaced = engine.containers_with(labels::REPLACES).await?;
    if replaced.is_empty() {
        return Ok(0);
    }
    let host_paths = world.host_paths().await?;
    let ours: Vec<String> =
        directories.iter().map(|it| host_paths.on_host(it).display().to_string()).collect();
    replaced.retain(|it| ours.iter().any(|directory| it.label(labels::WORKING_DIR) == directory));
    let mut projects: Vec<&str> = replaced.iter().map(|it| it.label(labels::PROJECT)).collect();
    projects.sort_unstable();
    projects.dedup();
    let mut rescued = 0;
    for project in projects {
        let containers = engine.containers_of(project).await?;
        let observed = Observed { containers, ..Observed::default() };
        for rescue in plan::recovery(&observed) {
            match bring_back(engine, &rescue).await {
                Ok(()) => rescued += 1,
                Err(error) if is_unreachable(&error) => return Err(error),
                Err(error) => error!("an interrupted run cannot be undone: {error:#}"),
            }
        }
    }
    Ok(rescued)
}

/// The new container goes last: as long as both exist, a crash in here is seen by the next recovery.
async fn bring_back(engine: &Engine, rescue: &Rescue) -> Result<()> {
    let (new, name) = &rescue.remove;
    engine.stop(new, None).await?;
    if let Some(PutAside { id, policy }) = &rescue.put_aside {
        engine.set_restart_policy(id, policy).await?;
    }
    if let Some((old, old_name)) = &rescue.start {
        engine.start(old).await?;
        warn!("container {old_name} was stopped by an interrupted run; started it again");
    }
    engine.remove(new).await?;
    info!("removed {name}, left by an interrupted run");
    Ok(())
}
