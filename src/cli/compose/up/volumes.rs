//! Volumes whose definition changed: made anew where a person says so, for their data goes with them.

use anyhow::Result;

use super::Found;
use crate::cli::compose::Session;
use crate::cli::compose::ask::{Answer, confirmed};
use crate::cli::compose::lifecycle::{each, stop_container};
use crate::cli::compose::progress::Standing;
use crate::compose::model::{MountKind, Project};
use crate::plan::changed_volumes;
use crate::plan::observed::Container;

/// Removes volumes that have another definition than the project says, with the containers of the
/// services that mount them; `yes` says so for all. Tells whether there was one.
pub(super) async fn make_way(session: &Session, found: &mut Found, yes: bool) -> Result<bool> {
    let changed = changed_volumes(&found.project, &found.hashes, &found.observed);
    let mut gone = Vec::new();
    for key in changed {
        let name = found.project.volumes[key].name.clone();
        let question = format!(
            "Volume \"{name}\" exists but doesn't match configuration in compose file. Recreate \
             (data will be lost)?"
        );
        // Where nobody can be asked the plan says what to do.
        if yes || !session.dry_run && confirmed(&question)? == Answer::Yes {
            remove(session, found, key).await?;
            gone.push((key.to_owned(), name));
        }
    }
    for (key, name) in &gone {
        let mounting = mounting(&found.project, key, &found.observed.containers);
        found.observed.containers.retain(|it| mounting.iter().all(|other| other.id != it.id));
        found.observed.volumes.retain(|it| it.name != *name);
    }
    Ok(!gone.is_empty())
}

async fn remove(session: &Session, found: &Found, key: &str) -> Result<()> {
    let Session { engine, progress, .. } = session;
    let project = Some(&found.project);
    let containers = mounting(&found.project, key, &found.observed.containers);
    each(session, &containers, ["Stopping", "Stopped"], |it| {
        stop_container(engine, project, it, None)
    })
    .await?;
    each(session, &containers, ["Removing", "Removed"], |it| engine.discard(&it.id, false)).await?;
    let name = &found.project.volumes[key].name;
    if !session.dry_run {
        engine.remove_volume(name).await?;
    }
    progress.tell(&format!("Volume {name}"), Standing::Done, "", "Removed");
    Ok(())
}

/// Containers of the services that mount a volume of the project.
fn mounting(project: &Project, key: &str, containers: &[Container]) -> Vec<Container> {
    let mounts = |container: &Container| {
        let service = project.services.get(container.service());
        service.is_some_and(|it| {
            let mut volumes = it.volumes.iter();
            volumes.any(|mount| {
                matches!(mount.kind, MountKind::Volume { .. })
                    && mount.source.as_deref() == Some(key)
            })
        })
    };
    containers.iter().filter(|it| !it.is_oneoff() && mounts(it)).cloned().collect()
}
