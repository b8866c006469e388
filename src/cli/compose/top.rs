//! `compose top`.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::Session;
use super::columns::TIGHT;
use super::target::is_running;
use crate::cli::output::{json, print};

// Arguments of `top`.
#[derive(Debug, Args)]
pub(super) struct Top {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Lists the processes in the project's running containers.
pub(super) async fn top(session: &Session, arguments: &Top) -> Result<u8> {
    let target = session.target_by_name()?;
    let mut containers = session.containers(&target, &arguments.services, true).await?;
    containers.retain(is_running);
    let mut titles: Vec<String> = Vec::new();
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for container in &containers {
        let processes = session.engine.processes(&container.id).await?;
        for title in &processes.titles {
            if !titles.contains(title) {
                titles.push(title.clone());
            }
        }
        let number =
            if container.is_oneoff() { "-".to_owned() } else { container.number().to_string() };
        for row in processes.rows {
            let mut object = Map::new();
            object.insert("SERVICE".to_owned(), json!(container.service()));
            object.insert("#".to_owned(), json!(number));
            let cells = processes.titles.iter().cloned().zip(row);
            object.extend(cells.map(|(title, cell)| (title, json!(cell))));
            rows.push(object);
        }
    }
    print(|to| {
        if session.output.json {
            return json(to, &rows);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut header = vec!["SERVICE".to_owned(), "#".to_owned()];
        header.extend(titles);
        let cells = |row: &Map<String, Value>| {
            let cell = |title: &String| row.get(title).and_then(Value::as_str).unwrap_or("-");
            header.iter().map(|title| cell(title).to_owned()).collect()
        };
        let body: Vec<Vec<String>> = rows.iter().map(cells).collect();
        let table = [vec![header.clone()], body].concat();
        TIGHT.write(to, &table)
    })?;
    Ok(0)
}
