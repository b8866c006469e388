//! `compose volumes`.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::Session;
use super::ps::{Look, print_rows};
use super::template::LABELS;
use crate::cli::output::{json, print};
use crate::docker::ListedVolume;

/// The table where no template is given.
const TABLE: &str = "{{.Driver}}\t{{.Name}}";
/// What a list of volumes does not know.
const UNKNOWN: &str = "N/A";

// Arguments of `volumes`.
#[derive(Debug, Args)]
pub(super) struct Volumes {
    /// Prints names only
    #[arg(short, long)]
    quiet: bool,
    /// Form of the output: table, json, `table TEMPLATE` or a Go template
    #[arg(long, default_value = "table")]
    format: String,
    /// Only what the containers of these services mount
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Lists the volumes of the project.
pub(super) async fn volumes(session: &Session, arguments: &Volumes) -> Result<u8> {
    let services = &arguments.services;
    let target = session.target(services)?;
    let mut listed = session.engine.volumes_of(&target.name).await?;
    if !services.is_empty() {
        let containers = session.containers(&target, services, false).await?;
        let mounted: BTreeSet<&String> = containers.iter().flat_map(|it| &it.volumes).collect();
        listed.retain(|it| mounted.contains(&it.name));
    }
    if arguments.quiet {
        print(|to| listed.iter().try_for_each(|it| writeln!(to, "{}", it.name)))?;
        return Ok(0);
    }
    let rows: Vec<Value> = listed.iter().map(row).collect();
    if session.output.json {
        print(|to| json(to, &rows))?;
    } else {
        let with_labels = listed.iter().zip(rows).map(|(volume, mut row)| {
            row[LABELS] = json!(volume.labels);
            row
        });
        let look = Look { format: &arguments.format, table: TABLE, name: "VOLUME NAME" };
        let rows: Vec<Value> = with_labels.collect();
        print_rows(look, &row(&ListedVolume::default()), &rows)?;
    }
    Ok(0)
}

fn row(volume: &ListedVolume) -> Value {
    let labels: Vec<_> = volume.labels.iter().map(|(name, it)| format!("{name}={it}")).collect();
    json!({
        "Availability": UNKNOWN,
        "Driver": volume.driver,
        "Group": UNKNOWN,
        "Labels": labels.join(","),
        "Links": UNKNOWN,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": volume.scope,
        "Size": UNKNOWN,
        "Status": UNKNOWN,
    })
}
