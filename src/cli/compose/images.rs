//! `compose images`.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::DateTime;
use clap::Args;
use serde_json::{Value, json};

use super::Session;
use super::columns::WIDE;
use super::human::{duration, size};
use crate::cli::output::{json, print};
use crate::cli::setup::now;
use crate::compose::render::compact_go_json;
use crate::docker::{ImageFacts, is_not_found};
use crate::plan::observed::Container;

// Arguments of `images`.
#[derive(Debug, Args)]
pub(super) struct Images {
    /// Prints ids only
    #[arg(short, long)]
    quiet: bool,
    /// Form of the output
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Lists the images that the project's containers were made from.
pub(super) async fn images(session: &Session, arguments: &Images) -> Result<u8> {
    let target = session.target_by_name()?;
    let containers = session.containers(&target, &arguments.services, true).await?;
    let facts = facts(session, &containers).await?;
    let rows: Vec<(&Container, &ImageFacts)> =
        containers.iter().filter_map(|it| Some((it, facts.get(it.image_id.as_str())?))).collect();
    let objects: Vec<Value> = rows.iter().map(|(it, facts)| object(it, facts)).collect();
    print(|to| {
        if arguments.quiet {
            let mut ids: Vec<&str> = rows.iter().map(|it| without_algorithm(&it.1.id)).collect();
            ids.sort_unstable();
            ids.dedup();
            return ids.iter().try_for_each(|id| writeln!(to, "{id}"));
        }
        if session.output.json {
            return json(to, &objects);
        }
        if arguments.format == "json" {
            return writeln!(to, "{}", compact_go_json(&json!(objects)));
        }
        let header = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
        let mut table = vec![header.map(str::to_owned).to_vec()];
        table.extend(rows.iter().map(|(it, facts)| row(it, facts)));
        WIDE.write(to, &table)
    })?;
    Ok(0)
}

/// Facts by image id; one that was removed under its containers has only its id.
async fn facts(
    session: &Session,
    containers: &[Container],
) -> Result<BTreeMap<String, ImageFacts>> {
    let mut facts = BTreeMap::new();
    for container in containers {
        let id = &container.image_id;
        if facts.contains_key(id) {
            continue;
        }
        let found = match session.engine.image_facts(id).await {
            Err(error) if is_not_found(&error) => {
                ImageFacts { id: id.clone(), ..ImageFacts::default() }
            }
            other => other?,
        };
        facts.insert(id.clone(), found);
    }
    Ok(facts)
}

fn without_algorithm(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, hex)| hex)
}

fn repository_and_tag(facts: &ImageFacts) -> (&str, &str) {
    facts.reference.rsplit_once(':').unwrap_or(("", ""))
}

fn row(container: &Container, facts: &ImageFacts) -> Vec<String> {
    let (repository, tag) = repository_and_tag(facts);
    let or_none = |text: &str| if text.is_empty() { "<none>" } else { text }.to_owned();
    let tagged = facts.tagged.as_deref().and_then(|it| DateTime::parse_from_rfc3339(it).ok());
    let age = tagged.map(|it| (now() - it.to_utc()).num_seconds());
    let id = without_algorithm(&facts.id);
    vec![
        container.name.clone(),
        or_none(repository),
        or_none(tag),
        facts.platform.clone(),
        id.get(..12).unwrap_or(id).to_owned(),
        size(facts.size, 3),
        age.map_or_else(|| "N/A".to_owned(), |it| format!("{} ago", duration(it))),
    ]
}

fn object(container: &Container, facts: &ImageFacts) -> Value {
    let (repository, tag) = repository_and_tag(facts);
    json!({
        "ID": facts.id,
        "ContainerName": container.name,
        "Repository": repository,
        "Tag": tag,
        "Platform": facts.platform,
        "Size": facts.size,
        "LastTagTime": facts.tagged,
    })
}
