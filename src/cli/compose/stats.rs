//! `compose stats`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Session;
use super::human::{binary_size, size};
use super::ps::{Look, print_rows};
use super::target::is_running;
use crate::cli::output::{json, print};
use crate::docker::Usage;
use crate::plan::observed::Container;

/// Pause between two measurements.
const EVERY: Duration = Duration::from_millis(500);
/// Moves to the upper left corner and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";
/// The table where no template is given.
const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t\
                     {{.BlockIO}}\t{{.PIDs}}";

// Arguments of `stats`.
#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Stopped ones, too
    #[arg(short, long)]
    all: bool,
    /// Form of the output: table, json, `table TEMPLATE` or a Go template
    #[arg(long, default_value = "table")]
    format: String,
    /// Measures once
    #[arg(long)]
    no_stream: bool,
    /// Prints ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Only this service
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
}

/// Prints what containers use, again and again on a terminal.
pub(super) async fn stats(session: &Session, arguments: &Stats) -> Result<u8> {
    let services: Vec<String> = arguments.service.iter().cloned().collect();
    let target = session.target_alone(&services)?;
    loop {
        let mut containers = session.containers(&target, &services, false).await?;
        containers.retain(|it| arguments.all || is_running(it));
        let measured = join_all(containers.iter().map(|it| measure(session, it))).await;
        let rows: Result<Vec<Value>> = containers
            .iter()
            .zip(measured)
            .map(|(it, usage)| Ok(row(it, &usage?, arguments.no_trunc)))
            .collect();
        let rows = rows?;
        let again = !arguments.no_stream && session.output.terminal && !session.output.json;
        if again {
            print(|to| write!(to, "{CLEAR}"))?;
        }
        if session.output.json {
            print(|to| json(to, &rows))?;
        } else {
            let empty = row(&Container::default(), &Usage::default(), false);
            let look = Look { format: &arguments.format, table: TABLE, name: "NAME" };
            print_rows(look, &empty, &rows)?;
        }
        if !again {
            return Ok(0);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What has just ended uses nothing.
async fn measure(session: &Session, container: &Container) -> Result<Usage> {
    if !is_running(container) {
        return Ok(Usage::default());
    }
    match session.engine.usage(&container.id).await {
        Err(error) if crate::docker::is_not_found(&error) => Ok(Usage::default()),
        other => other,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn row(container: &Container, usage: &Usage, full: bool) -> Value {
    let id = if full { &container.id[..] } else { container.id.get(..12).unwrap_or(&container.id) };
    let limit = usage.memory_limit.max(1) as f64;
    let bytes = |count: u64| size(i64::try_from(count).unwrap_or(i64::MAX), 3);
    json!({
        "BlockIO": format!("{} / {}", bytes(usage.read), bytes(usage.written)),
        "CPUPerc": format!("{:.2}%", usage.cpu_percent),
        "Container": id,
        "ID": id,
        "MemPerc": format!("{:.2}%", usage.memory as f64 / limit * 100.0),
        "MemUsage": format!("{} / {}", binary_size(usage.memory), binary_size(usage.memory_limit)),
        "Name": container.name,
        "NetIO": format!("{} / {}", bytes(usage.received), bytes(usage.sent)),
        "PIDs": usage.processes.to_string(),
    })
}
