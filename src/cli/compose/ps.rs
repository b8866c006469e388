//! `compose ps`.

use std::io::{self, Write};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Map, Value, json};

use super::Session;
use super::columns::NARROW;
use super::human::{duration, ellipsis, quoted};
use super::target::is_running;
use super::template::{LABELS, Template};
use crate::cli::output::{json, print};
use crate::cli::setup::now;
use crate::compose::render::compact_go_json;
use crate::docker::{Listed, PublishedPort};
use crate::plan::labels;
use crate::plan::observed::Health;

/// Longest command and longest mount in a table.
const COMMAND_WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;
/// The table where no template is given.
const TABLE: &str = "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t\
                     {{.Status}}\t{{.Ports}}";

// Arguments of `ps`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Ps {
    /// Stopped ones and those of `run`, too
    #[arg(short, long)]
    all: bool,
    /// Prints ids only
    #[arg(short, long)]
    quiet: bool,
    /// Prints names of services only
    #[arg(long)]
    services: bool,
    /// Only containers in this state; may be given several times
    #[arg(long, value_name = "STATE")]
    status: Vec<String>,
    /// Only containers of which this is true: `status=STATE`
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Form of the output: table, json, `table TEMPLATE` or a Go template
    #[arg(long, default_value = "table")]
    format: String,
    /// Prints ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Containers of services that the files do not have, too
    #[arg(
        long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    orphans: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services_named: Vec<String>,
}

/// Lists the containers of the project.
pub(super) async fn ps(session: &Session, arguments: &Ps) -> Result<u8> {
    let states = arguments.states()?;
    let target = session.target(&arguments.services_named)?;
    // Who asks for states is shown all that have them.
    let all = arguments.all || !states.is_empty();
    let mut listed = session.listed(&target, all).await?;
    listed.retain(|it| {
        let container = &it.container;
        let named = &arguments.services_named;
        let is_meant = if named.is_empty() && arguments.orphans {
            true
        } else {
            target.wants(named, container)
        };
        let state = container.state.as_str();
        is_meant
            && (all || is_running(container))
            && (states.is_empty() || states.iter().any(|it| it == state))
    });
    print_list(session, arguments, &listed)?;
    Ok(0)
}

impl Ps {
    fn states(&self) -> Result<Vec<String>> {
        let mut states = self.status.clone();
        // The last one counts, as with docker compose; several states are for `--status`.
        let filter = self.filter.as_deref().filter(|it| !it.is_empty());
        match filter.map(|it| it.split_once('=').ok_or(it)) {
            None => {}
            Some(Ok(("status", state))) => states.push(state.to_owned()),
            Some(Ok((name, _))) => bail!("unknown filter {name}: expected `status=STATE`"),
            Some(Err(filter)) => bail!("filter `{filter}`: expected `status=STATE`"),
        }
        Ok(states)
    }
}

fn print_list(session: &Session, arguments: &Ps, listed: &[Listed]) -> Result<()> {
    if arguments.quiet {
        return Ok(print(|to| {
            listed.iter().try_for_each(|it| writeln!(to, "{}", it.container.id))
        })?);
    }
    if arguments.services {
        let mut services: Vec<&str> = Vec::new();
        for service in listed.iter().map(|it| it.container.service()) {
            if !services.contains(&service) {
                services.push(service);
            }
        }
        // One line at least, as docker compose prints it.
        return Ok(print(|to| writeln!(to, "{}", services.join("\n")))?);
    }
    let time = now();
    let rows: Vec<Value> = listed.iter().map(|it| row(it, arguments.no_trunc, time)).collect();
    if session.output.json {
        return Ok(print(|to| json(to, &rows.iter().map(visible).collect::<Vec<_>>()))?);
    }
    let look = Look { format: &arguments.format, table: TABLE, name: "NAME" };
    print_rows(look, &empty_row(), &rows)
}

/// What says which fields there are, where there is no row.
fn empty_row() -> Value {
    row_of(&Listed::default(), false, DateTime::UNIX_EPOCH)
}

/// How rows are printed.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// What `--format` says.
    pub(super) format: &'a str,
    /// The template of `table`.
    pub(super) table: &'a str,
    /// Header of `.Name`.
    pub(super) name: &'a str,
}

/// Prints rows as `--format` says: `json` is one object a line. A row that is `empty` says which fields
/// there are.
pub(super) fn print_rows(look: Look<'_>, empty: &Value, rows: &[Value]) -> Result<()> {
    let Look { format, table, name } = look;
    match format.strip_prefix("table") {
        Some(template) => {
            let template = if template.trim().is_empty() { table } else { template.trim() };
            let template = Template::parse(template)?;
            let header = headers(empty, name);
            let mut lines = vec![template.fill_headings(&header)];
            for row in rows {
                lines.push(template.fill(row)?);
            }
            let cells = |line: &String| line.split('\t').map(str::to_owned).collect();
            let lines: Vec<Vec<String>> = lines.iter().map(cells).collect();
            print(|to| NARROW.write(to, &lines))?;
        }
        None if format == "json" => {
            print(|to| {
                rows.iter().try_for_each(|it| writeln!(to, "{}", compact_go_json(&visible(it))))
            })?;
        }
        None => {
            let template = Template::parse(format)?;
            let lines: Result<Vec<String>> = rows.iter().map(|row| template.fill(row)).collect();
            let lines = lines?;
            print(|to: &mut dyn Write| -> io::Result<()> {
                lines.iter().try_for_each(|line| writeln!(to, "{line}"))
            })?;
        }
    }
    Ok(())
}

/// The row without what only `.Label` reads.
fn visible(row: &Value) -> Value {
    let mut row = row.clone();
    if let Value::Object(map) = &mut row {
        map.retain(|name, _| name != LABELS);
    }
    row
}

/// The row of headers, for templates.
fn headers(row: &Value, name: &str) -> Value {
    let known = [
        ("Name", name),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("ID", "CONTAINER ID"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("ExitCode", "EXIT CODE"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
    ];
    let names = match row {
        Value::Object(map) => map.keys().cloned().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let header = |name: String| {
        let found = known.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        let text = found.unwrap_or_else(|| name.to_uppercase());
        (name, Value::from(text))
    };
    let names = names.into_iter().filter(|name| name != LABELS);
    Value::Object(names.map(header).collect())
}

fn row(listed: &Listed, full: bool, now: DateTime<Utc>) -> Value {
    let mut row = row_of(listed, full, now);
    row[LABELS] = json!(listed.container.labels);
    row
}

/// One row, in the words and the order of docker compose.
fn row_of(listed: &Listed, full: bool, now: DateTime<Utc>) -> Value {
    let container = &listed.container;
    let cut = |text: &str, width| if full { text.to_owned() } else { ellipsis(text, width) };
    let id = if full { &container.id[..] } else { container.id.get(..12).unwrap_or(&container.id) };
    let label = |(name, value): (&String, &String)| format!("{name}={value}");
    let labels: Vec<_> = container.labels.iter().map(label).collect();
    let networks: Vec<_> = container.networks.keys().cloned().collect();
    let mounts: Vec<_> = listed.mounts.iter().map(|it| cut(it, MOUNT_WIDTH)).collect();
    let created = DateTime::from_timestamp(container.created, 0).unwrap_or_default();
    let publisher = |port: &PublishedPort| {
        json!({ "URL": port.address, "TargetPort": port.target,
                "PublishedPort": port.published, "Protocol": port.protocol })
    };
    let mut row = Map::new();
    for (name, value) in [
        ("Command", json!(quoted(&cut(&listed.command, COMMAND_WIDTH)))),
        ("CreatedAt", json!(created.format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())),
        ("ExitCode", json!(container.exit_code.unwrap_or_default())),
        ("Health", json!(container.health.map_or("", Health::as_str))),
        ("ID", json!(id)),
        ("Image", json!(listed.image)),
        ("Labels", json!(labels.join(","))),
        ("LocalVolumes", json!(listed.local_volumes.to_string())),
        ("Mounts", json!(mounts.join(","))),
        ("Name", json!(container.name)),
        ("Names", json!(container.name)),
        ("Networks", json!(networks.join(","))),
        ("Ports", json!(ports(&listed.ports))),
        ("Project", json!(container.label(labels::PROJECT))),
        ("Publishers", listed.ports.iter().map(publisher).collect()),
        ("RunningFor", json!(format!("{} ago", duration((now - created).num_seconds())))),
        ("Service", json!(container.service())),
        ("Size", json!("0B")),
        ("State", json!(container.state.as_str())),
        ("Status", json!(container.status)),
    ] {
        row.insert(name.to_owned(), value);
    }
    Value::Object(row)
}

/// Ports in one line: neighbours that are published under their own number are one range.
fn ports(ports: &[PublishedPort]) -> String {
    let mut groups: Vec<(String, u16, u16)> = Vec::new();
    let mut closed = Vec::new();
    let mut mapped = Vec::new();
    for port in ports {
        let PublishedPort { target, address, published, protocol } = port;
        if !address.is_empty() && published != target {
            mapped
                .push(format!("{}->{target}/{protocol}", joined(address, &published.to_string())));
            continue;
        }
        let key = format!("{address}/{protocol}");
        match groups.iter_mut().find(|it| it.0 == key) {
            None => groups.push((key, *target, *target)),
            Some(group) if group.2.checked_add(1) == Some(*target) => group.2 = *target,
            Some(group) => {
                closed.push(range(group));
                (group.1, group.2) = (*target, *target);
            }
        }
    }
    closed.extend(groups.iter().map(range));
    closed.extend(mapped);
    closed.join(", ")
}

fn range((key, first, last): &(String, u16, u16)) -> String {
    let (address, protocol) = key.split_once('/').unwrap_or(("", key));
    let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if address.is_empty() {
        return format!("{numbers}/{protocol}");
    }
    format!("{}->{numbers}/{protocol}", joined(address, &numbers))
}

fn joined(address: &str, port: &str) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stand_in_one_line() {
        let port = |address: &str, published, target, protocol: &str| PublishedPort {
            target,
            address: address.to_owned(),
            published,
            protocol: protocol.to_owned(),
        };
        for (list, expected) in [
            (vec![], ""),
            (vec![port("", 0, 80, "tcp")], "80/tcp"),
            (
                vec![port("", 0, 80, "tcp"), port("", 0, 81, "tcp"), port("", 0, 90, "tcp")],
                "80-81/tcp, 90/tcp",
            ),
            (vec![port("0.0.0.0", 8080, 80, "tcp")], "0.0.0.0:8080->80/tcp"),
            (vec![port("::", 8080, 80, "tcp")], "[::]:8080->80/tcp"),
            (
                vec![port("127.0.0.1", 80, 80, "tcp"), port("127.0.0.1", 81, 81, "tcp")],
                "127.0.0.1:80-81->80-81/tcp",
            ),
            (
                vec![port("127.0.0.1", 9, 53, "udp"), port("", 0, 80, "tcp")],
                "80/tcp, 127.0.0.1:9->53/udp",
            ),
        ] {
            assert_eq!(ports(&list), expected);
        }
    }

    #[test]
    fn each_column_of_the_table_has_a_header() {
        let header = Template::parse(TABLE).unwrap().fill_headings(&headers(&empty_row(), "NAME"));
        assert_eq!(header, "NAME\tIMAGE\tCOMMAND\tSERVICE\tCREATED\tSTATUS\tPORTS");
    }
}
