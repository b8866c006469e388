//! `compose ls`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::Args;
use regex_lite::Regex;
use serde_json::json;

use super::Session;
use super::columns::WIDE;
use super::target::is_running;
use crate::cli::output::{json, print};
use crate::compose::render::compact_go_json;
use crate::docker::Listed;
use crate::plan::labels;

// Arguments of `ls`.
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Those without a running container, too
    #[arg(short, long)]
    all: bool,
    /// Prints names only
    #[arg(short, long)]
    quiet: bool,
    /// Only projects of which this is true: `name=PATTERN`, a regular expression
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the output
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

#[derive(Default)]
struct Row {
    states: BTreeMap<&'static str, usize>,
    /// In the order of the labels.
    files: Vec<String>,
}

/// Lists the projects on the Engine.
pub(super) async fn ls(session: &Session, arguments: &Ls) -> Result<u8> {
    let names = names(&arguments.filter)?;
    let mut listed = session.engine.listed(None).await?;
    listed.retain(|it| arguments.all || is_running(&it.container));
    let projects = projects(&listed);
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|it| it.is_match(name));
    let rows: Vec<[String; 3]> = projects
        .iter()
        .filter(|(name, _)| is_asked(name))
        .map(|(name, row)| [(*name).to_owned(), row.status(), row.files()])
        .collect();
    let object = |[name, status, files]: &[String; 3]| json!({ "Name": name, "Status": status, "ConfigFiles": files });
    let objects: Vec<_> = rows.iter().map(object).collect();
    print(|to| {
        if arguments.quiet {
            return rows.iter().try_for_each(|row| writeln!(to, "{}", row[0]));
        }
        if session.output.json {
            return json(to, &objects);
        }
        if arguments.format == "json" {
            return writeln!(to, "{}", compact_go_json(&json!(objects)));
        }
        let mut table = vec![["NAME", "STATUS", "CONFIG FILES"].map(str::to_owned).to_vec()];
        table.extend(rows.iter().map(|row| row.to_vec()));
        WIDE.write(to, &table)
    })?;
    Ok(0)
}

fn names(filters: &[String]) -> Result<Vec<Regex>> {
    let name = |filter: &String| match filter.split_once('=') {
        Some(("name", pattern)) => Regex::new(pattern)
            .with_context(|| format!("read the regular expression of filter '{filter}'")),
        _ => bail!("invalid filter '{filter}': expected `name=PATTERN`"),
    };
    filters.iter().map(name).collect()
}

fn projects(listed: &[Listed]) -> BTreeMap<&str, Row> {
    let mut projects: BTreeMap<&str, Row> = BTreeMap::new();
    for Listed { container, .. } in listed {
        let row = projects.entry(container.label(labels::PROJECT)).or_default();
        *row.states.entry(container.state.as_str()).or_default() += 1;
        for file in container.label(labels::CONFIG_FILES).split(',') {
            if !file.is_empty() && row.files.iter().all(|it| it != file) {
                row.files.push(file.to_owned());
            }
        }
    }
    projects
}

impl Row {
    fn status(&self) -> String {
        let counted = self.states.iter().map(|(state, count)| format!("{state}({count})"));
        counted.collect::<Vec<_>>().join(", ")
    }

    fn files(&self) -> String {
        if self.files.is_empty() {
            return "N/A".to_owned();
        }
        self.files.join(",")
    }
}
