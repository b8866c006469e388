//! `compose config`: the project as it is understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::mem::ManuallyDrop;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::arguments::{Config, What};
use super::{Session, digests};
use crate::cli::Usage;
use crate::cli::output::print;
use crate::compose::load::{Loaded, load_model, load_whole};
use crate::compose::model::{Project, Service};
use crate::compose::yaml::Node;
use crate::compose::{Request, Skip, canonical, hash, render};
use crate::git::View;

/// Narrowest column of the table of variables, and the least distance between columns.
const COLUMN: (usize, usize) = (20, 3);

/// Prints the project, or one kind of names in it.
pub(super) async fn config(session: &Session, arguments: &Config) -> Result<u8> {
    let text = text(session, arguments).await?;
    if text.is_empty() {
        return Ok(0);
    }
    match &arguments.output {
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("write `{}`", file.display()))?;
        }
        None => print(|to| to.write_all(text.as_bytes()))?,
    }
    Ok(0)
}

async fn text(session: &Session, arguments: &Config) -> Result<String> {
    let what = arguments.what();
    let is_list = matches!(
        what,
        What::Services | What::Volumes | What::Networks | What::Models | What::Profiles
    );
    // These are asked of a project that was read, be it with variables in its values.
    let is_read = matches!(
        what,
        What::Volumes | What::Networks | What::Hashes(_) | What::Images | What::Environment
    );
    let mut request = session.request.clone();
    request.skip = Skip {
        interpolation: arguments.no_interpolate || what == What::Variables,
        // So docker compose has it, though only for the flag.
        normalisation: arguments.no_normalize || request.underscores,
        path_resolution: arguments.no_path_resolution,
        consistency: arguments.no_consistency,
        unique_names: is_list || matches!(what, What::Images | What::Hashes(_) | What::Environment),
        environment: arguments.no_env_resolution || is_list || what == What::Images,
    };
    let json = session.output.json || arguments.format.as_deref() == Some("json");
    let is_whole = matches!(
        what,
        What::Services | What::Volumes | What::Networks | What::Models | What::Hashes(_)
    );
    if !is_whole {
        request.services.clone_from(&arguments.names);
    }
    if request.skip.interpolation && !is_read {
        return untyped(session, &request, arguments, json).await;
    }
    let Loaded { project, tree, environment } = load_whole(&request, &View::of_this_machine())?;
    // The command ends with this: the kernel takes memory back at once, and we node by node.
    let (mut project, tree) = (ManuallyDrop::new(project), ManuallyDrop::new(tree));
    for warning in &project.warnings {
        tracing::warn!("{warning}");
    }
    if what == What::Project && arguments.pins() {
        let pinned = digests::look_up(session, digests::of_project(&project)).await?;
        pinned.pin(&mut project, arguments.lock_image_digests);
    }
    let names: Vec<String> = match what {
        What::Services => in_order_of_dependency(&project),
        What::Volumes => project.volumes.keys().cloned().collect(),
        What::Networks => project.networks.keys().cloned().collect(),
        What::Models => names_of(&tree, "models"),
        What::Hashes(wanted) => return hashes(&project, wanted),
        What::Profiles => profiles(&tree),
        What::Images => project.services.values().map(|service| image(&project, service)).collect(),
        // Variables are read from a project without values.
        What::Variables | What::Nothing => Vec::new(),
        What::Environment => {
            environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        }
        What::Project if json => return Ok(canonical::config_text(&project)),
        What::Project => {
            let finish = |value: &mut Value| match value.as_object_mut() {
                // What is left has no name of its own.
                Some(root) if arguments.lock_image_digests => drop(root.remove("name")),
                _ => render::add_extensions(&tree, value),
            };
            return Ok(canonical::config_yaml_with(&project, finish));
        }
    };
    Ok(lines(&names))
}

fn lines(names: &[String]) -> String {
    names.iter().fold(String::new(), |text, name| text + name + "\n")
}

/// What can be told without values for variables.
async fn untyped(
    session: &Session,
    request: &Request,
    arguments: &Config,
    json: bool,
) -> Result<String> {
    let mut model = load_model(request, &View::of_this_machine())?;
    for warning in &model.warnings {
        tracing::warn!("{warning}");
    }
    let what = arguments.what();
    if what == What::Project && arguments.pins() {
        let pinned = digests::look_up(session, digests::of_tree(&model.tree)).await?;
        pinned.pin_tree(&mut model.tree, arguments.lock_image_digests);
    }
    let tree = &model.tree;
    Ok(match what {
        What::Services => lines(&names_of(tree, "services")),
        What::Models => lines(&names_of(tree, "models")),
        What::Profiles => lines(&profiles(tree)),
        What::Variables => variables(&render::variables(tree), arguments.format.as_deref(), json),
        // All but the last are asked of a project that was read.
        What::Volumes
        | What::Networks
        | What::Hashes(_)
        | What::Images
        | What::Environment
        | What::Nothing => String::new(),
        What::Project if json => render::go_json(&mut render::json(tree)),
        What::Project => render::yaml(tree),
    })
}

fn variables(
    found: &BTreeMap<String, render::Variable>,
    format: Option<&str>,
    json: bool,
) -> String {
    if json {
        let all: Map<_, _> =
            found.iter().map(|(name, variable)| (name.clone(), variable.json(name))).collect();
        return render::wide_json(&Value::Object(all)) + "\n\n";
    }
    if format == Some("yaml") {
        let all: Map<_, _> =
            found.iter().map(|(name, variable)| (name.clone(), variable.yaml(name))).collect();
        return render::wide_yaml(&Value::Object(all));
    }
    let header = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let rows = found.iter().map(|(name, variable)| {
        let render::Variable { required, default, alternate } = variable.clone();
        [name.clone(), required.to_string(), default, alternate]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// Rows in columns; the last one is not filled up.
fn table(rows: &[[String; 4]]) -> String {
    let (least, between) = COLUMN;
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        least.max(widest + between)
    };
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, required, default, alternate] in rows {
        let [first, second, third] = widths;
        let line = writeln!(text, "{name:first$}{required:second$}{default:third$}{alternate}");
        line.expect("a String takes any text");
    }
    text
}

fn hashes(project: &Project, wanted: &str) -> Result<String> {
    let mut names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        list => list.split(',').collect(),
    };
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        let Some(service) = project.services.get(name) else {
            bail!(Usage(format!("there is no service `{name}`")));
        };
        let hash = hash::service_hash(service, hash::Dialect::V2_40);
        writeln!(text, "{name} {hash}").expect("a String takes any text");
    }
    Ok(text)
}

/// Each service after what it depends on.
fn in_order_of_dependency(project: &Project) -> Vec<String> {
    let mut names = Vec::with_capacity(project.services.len());
    let mut seen = BTreeSet::new();
    for name in project.services.keys() {
        visit(project, name, &mut seen, &mut names);
    }
    names
}

fn visit(project: &Project, name: &str, seen: &mut BTreeSet<String>, names: &mut Vec<String>) {
    let Some(service) = project.services.get(name) else { return };
    if !seen.insert(name.to_owned()) {
        return;
    }
    for other in service.depends_on.keys() {
        visit(project, other, seen, names);
    }
    names.push(name.to_owned());
}

fn names_of(tree: &Node, section: &str) -> Vec<String> {
    let entries = tree.get(section).and_then(|section| section.as_mapping()).unwrap_or_default();
    let mut names: Vec<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
    names.sort_unstable();
    names
}

/// Every profile of every service.
fn profiles(tree: &Node) -> Vec<String> {
    let services =
        tree.get("services").and_then(|section| section.as_mapping()).unwrap_or_default();
    let listed = services.iter().filter_map(|(_, service)| service.get("profiles")?.as_sequence());
    let mut names: Vec<String> =
        listed.flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The image of a service; one that is built has a name made of the project's.
fn image(project: &Project, service: &Service) -> String {
    if service.image.is_empty() {
        project.implied_image(&service.name)
    } else {
        service.image.clone()
    }
}
