//! `compose down`.

use anyhow::Result;
use serde_json::json;

use super::arguments::Down;
use super::{Session, load_project};
use crate::apply;
use crate::cli::output::print;
use crate::plan::teardown::{Extent, teardown};

/// Removes what the project has on the Engine. Works by labels; the files only give the name.
pub(super) async fn down(session: &Session, arguments: &Down) -> Result<u8> {
    let Session { engine, request, output, .. } = session;
    let Down { volumes, remove_orphans: orphans } = *arguments;
    // With a name and no files there are only labels to go by.
    let loaded = match (load_project(request), &request.project_name) {
        (Ok(project), _) => Some(engine.host_paths().await?.translate(project)),
        (Err(_), Some(_)) if request.files.is_empty() => None,
        (Err(error), _) => return Err(error),
    };
    let name = loaded.as_ref().map(|project| project.name.clone());
    let project = &name.or_else(|| request.project_name.clone()).unwrap_or_default();
    let observed = engine.observe(project).await?;
    let extent = Extent { project: loaded.as_ref(), orphans, volumes };
    let planned = teardown(project, &observed, &extent);
    let containers: Vec<&str> =
        planned.waves.iter().flatten().map(|container| container.name.as_str()).collect();
    if containers.is_empty() && planned.networks.is_empty() && planned.volumes.is_empty() {
        tracing::info!("{project}: nothing to remove");
    }
    apply::tear_down(engine, &planned).await?;
    if output.json {
        let removed = json!({ "project": project, "containers": containers,
                              "networks": planned.networks, "volumes": planned.volumes });
        print(|to| writeln!(to, "{removed:#}"))?;
    }
    Ok(0)
}
