//! `compose down`.

use anyhow::Result;
use serde_json::json;

use super::arguments::Down;
use super::progress::Standing;
use super::target::Target;
use super::{Session, flag};
use crate::apply::{self, Deed, Journal, Stopping, Thing, Turn, Verb};
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::plan::observed::familiar;
use crate::plan::teardown::{Extent, Images, Teardown, teardown};

/// Removes what the project has on the Engine. Works by labels; the files only give the name, and
/// what only they know: images and hooks.
pub(super) async fn down(session: &Session, arguments: &Down) -> Result<u8> {
    let Session { engine, output, .. } = session;
    let Target { name: project, project: loaded } = session.target_of(&arguments.services)?;
    let project = &project;
    let loaded = match loaded {
        Some(project) => Some(engine.host_paths().await?.translate(project)),
        None => None,
    };
    let observed = engine.observe(project).await?;
    let images = match arguments.rmi.as_deref() {
        Some("all") => Some(Images::All),
        Some(_) => Some(Images::Local),
        None => None,
    };
    let built = match images {
        Some(_) => engine.built_for(project).await?,
        None => Vec::new(),
    };
    let extent = Extent {
        project: loaded.as_ref(),
        orphans: arguments.remove_orphans || flag(&session.request, "COMPOSE_REMOVE_ORPHANS"),
        volumes: arguments.volumes,
        images,
        built: &built,
        services: &arguments.services,
    };
    let mut planned = teardown(project, &observed, &extent);
    if loaded.is_none() && extent.images == Some(Images::All) {
        planned.images.extend(images_of(session, project, &planned).await?);
        planned.images.sort();
        planned.images.dedup();
    }
    let containers: Vec<&str> =
        planned.waves.iter().flatten().map(|container| container.name.as_str()).collect();
    if containers.is_empty() && planned.networks.is_empty() && planned.volumes.is_empty() {
        tracing::info!("{project}: nothing to remove");
    }
    if session.dry_run {
        pretend(session, &planned);
        return Ok(0);
    }
    let timeout = arguments.timeout.map(super::stop_timeout);
    let stopping = Stopping { timeout, project: loaded.as_ref() };
    let journal = Journal::none(now).with_onlooker(session.progress.onlooker());
    apply::tear_down(engine, &journal, &planned, stopping).await?;
    tell_kept(session, &planned);
    if output.json {
        let removed = json!({ "project": project, "containers": containers,
                              "networks": planned.networks, "volumes": planned.volumes,
                              "images": planned.images });
        print(|to| writeln!(to, "{removed:#}"))?;
    }
    Ok(0)
}

/// Tells a program of networks that stay.
fn tell_kept(session: &Session, planned: &Teardown) {
    for name in planned.in_use.iter().filter(|_| session.progress.is_json()) {
        let id = format!("Network {name}");
        session.progress.tell(&id, Standing::Working, "", "Removing");
        session.progress.tell(&id, Standing::Failed, "", "Resource is still in use");
    }
}

/// What the containers that go were made from, where no file says it.
async fn images_of(session: &Session, project: &str, planned: &Teardown) -> Result<Vec<String>> {
    let mut listed = session.engine.listed(Some(project)).await?;
    listed.retain(|it| planned.waves.iter().flatten().any(|gone| gone.id == it.container.id));
    Ok(listed.into_iter().map(|it| familiar(&it.image)).collect())
}

/// Tells what would be done.
fn pretend(session: &Session, planned: &Teardown) {
    let tell = |verb, thing, name: &str| {
        for turn in [Turn::Begins, Turn::Ends] {
            session.progress.deed(&Deed { verb, thing, name }, turn);
        }
    };
    for container in planned.waves.iter().flatten() {
        for verb in [Verb::Stop, Verb::Remove] {
            tell(verb, Thing::Container, &container.name);
        }
    }
    for (thing, names) in [
        (Thing::Network, &planned.networks),
        (Thing::Volume, &planned.volumes),
        (Thing::Image, &planned.images),
    ] {
        for name in names {
            tell(Verb::Remove, thing, name);
        }
    }
}
