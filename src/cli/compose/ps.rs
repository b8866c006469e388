//! `compose ps`.

use anyhow::Result;
use serde_json::json;

use super::arguments::Ps;
use super::{Session, project_name};
use crate::cli::output::{Output, print};
use crate::cli::table::{Cell, Table};
use crate::plan::observed::{Container, Health, State};

/// Lists the containers of the project.
pub(super) async fn ps(session: &Session, arguments: &Ps) -> Result<u8> {
    let Ps { all, quiet, ref format } = *arguments;
    let json = session.output.json || format == "json";
    let output = Output { json, ..session.output };
    let mut containers = session.engine.containers_of(&project_name(&session.request)?).await?;
    containers.retain(|it| all || it.state == State::Running || it.state == State::Paused);
    containers.sort_by(|a, b| (a.service(), a.number()).cmp(&(b.service(), b.number())));
    print(|to| {
        if quiet {
            return containers.iter().try_for_each(|it| writeln!(to, "{}", it.id));
        }
        if output.json {
            let rows: Vec<_> = containers.iter().map(ps_json).collect();
            return writeln!(to, "{:#}", json!(rows));
        }
        let mut table = Table::new(&["NAME", "SERVICE", "STATE", "STATUS", "PORTS"]);
        for container in &containers {
            let cells = [
                container.name.clone(),
                container.service().to_owned(),
                container.state.as_str().to_owned(),
                container.status.clone(),
                container.ports.join(", "),
            ];
            table.row(cells.map(Cell::from));
        }
        table.write(to, output, "no containers")
    })?;
    Ok(0)
}

fn ps_json(container: &Container) -> serde_json::Value {
    json!({
        "id": container.id,
        "name": container.name,
        "service": container.service(),
        "number": container.number(),
        "state": container.state.as_str(),
        "health": container.health.map(Health::as_str),
        "status": container.status,
        "exit_code": container.exit_code,
        "ports": container.ports,
    })
}
