//! `compose down`.

use anyhow::Result;
use serde_json::json;

use super::arguments::Down;
use super::{Session, flag, load_project};
use crate::apply::{self, Stopping};
use crate::cli::output::print;
use crate::compose::Request;
use crate::plan::teardown::{Extent, Images, teardown};

/// Removes what the project has on the Engine. Works by labels; the files only give the name, and
/// what only they know: images and hooks.
pub(super) async fn down(session: &Session, arguments: &Down) -> Result<u8> {
    let Session { engine, output, .. } = session;
    // What is named has its hooks, whatever its profiles.
    let enabled_services = arguments.services.clone();
    let request = &Request { enabled_services, ..session.request_for_names() };
    // With a name and no files there are only labels to go by.
    let loaded = match (load_project(request), &request.project_name) {
        (Ok(project), _) => Some(engine.host_paths().await?.translate(project)),
        (Err(_), Some(_)) if request.files.is_empty() => None,
        (Err(error), _) => return Err(error),
    };
    let name = loaded.as_ref().map(|project| project.name.clone());
    let project = &name.or_else(|| request.project_name.clone()).unwrap_or_default();
    let observed = engine.observe(project).await?;
    let extent = Extent {
        project: loaded.as_ref(),
        orphans: arguments.remove_orphans || flag(request, "COMPOSE_REMOVE_ORPHANS"),
        volumes: arguments.volumes,
        images: match arguments.rmi.as_deref() {
            Some("all") => Some(Images::All),
            Some(_) => Some(Images::Local),
            None => None,
        },
        services: &arguments.services,
    };
    let planned = teardown(project, &observed, &extent);
    let containers: Vec<&str> =
        planned.waves.iter().flatten().map(|container| container.name.as_str()).collect();
    if containers.is_empty() && planned.networks.is_empty() && planned.volumes.is_empty() {
        tracing::info!("{project}: nothing to remove");
    }
    let timeout = arguments.timeout.map(super::stop_timeout);
    let stopping = Stopping { timeout, project: loaded.as_ref() };
    apply::tear_down(engine, &planned, stopping).await?;
    if output.json {
        let removed = json!({ "project": project, "containers": containers,
                              "networks": planned.networks, "volumes": planned.volumes,
                              "images": planned.images });
        print(|to| writeln!(to, "{removed:#}"))?;
    }
    Ok(0)
}
