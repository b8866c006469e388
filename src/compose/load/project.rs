//! From the complete tree to the typed project.

use std::collections::{BTreeMap, BTreeSet};

use super::select::Selection;
use super::{Loader, in_order};
use crate::compose::check::{self, Names};
use crate::compose::decode::service::{Draft, service};
use crate::compose::decode::{At, Decoder, resources};
use crate::compose::model::{MountKind, Project};
use crate::compose::yaml::{self, Node, Value};
use crate::problem::Problems;

const TOP_KEYS: &[&str] = &["name", "services", "networks", "volumes", "version", "include"];
const TOP_LATER: &[&str] = &["secrets", "configs", "models"];

impl Loader<'_> {
    /// Reads the tree; the environment files of enabled services are read into it first.
    pub(super) fn project(&mut self, name: String, tree: &mut Node) -> Result<Project, Problems> {
        // What references what can be told only of a whole project.
        let is_whole = self.problems.len() == self.wrong_values;
        let selection = self.selection(tree);
        if !self.request.skip.environment {
            self.read_files(tree, &selection.selected);
        }
        let mut decoder = Decoder::default();
        let mut project =
            Project { name, working_dir: self.directory.clone(), ..Project::default() };
        let drafts = read(&mut decoder, tree, &mut project, &selection.enabled);
        let declared: Vec<String> = drafts.keys().cloned().collect();
        for (name, draft) in drafts {
            if selection.selected.contains(&name) {
                project.services.insert(name, draft.service);
            } else {
                project.disabled_services.push(name);
            }
        }
        if is_whole && !self.request.skip.consistency {
            let names = Names {
                services: declared.iter().map(String::as_str).collect(),
                enabled: selection.enabled.iter().map(String::as_str).collect(),
                networks: project.networks.keys().map(String::as_str).collect(),
                volumes: project.volumes.keys().map(String::as_str).collect(),
            };
            check::check(tree, &project.services, &names, &mut decoder.problems);
        }
        self.refuse(decoder.problems)?;
        project.warnings = decoder.warnings;
        self.drop_what_is_off(&mut project, &selection);
        Ok(project)
    }

    fn read_files(&mut self, tree: &mut Node, selected: &BTreeSet<String>) {
        let Some(Node { value: Value::Mapping(services), .. }) = tree.get_mut("services") else {
            return;
        };
        for (key, service) in services {
            if selected.contains(&key.name) {
                self.read_service_files(service);
            }
        }
    }

    /// All problems, those of loading first: what is wrong at a place of theirs follows from them.
    fn refuse(&mut self, found: Vec<crate::problem::Problem>) -> Result<(), Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        let known: BTreeSet<_> = problems
            .iter()
            .map(|problem| (problem.file.clone(), problem.line, problem.column))
            .collect();
        problems.extend(found.into_iter().filter(|problem| {
            !known.contains(&(problem.file.clone(), problem.line, problem.column))
        }));
        in_order(problems).into_result()
    }

    /// Drops dependencies on services that are off, and resources that no service uses.
    fn drop_what_is_off(&self, project: &mut Project, selection: &Selection) {
        let Project { services, networks, volumes, .. } = project;
        for service in services.values_mut() {
            service.depends_on.retain(|other, _| selection.selected.contains(other));
            // Compose says the number in both places when there is a `deploy`.
            if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
                deploy.replicas = Some(scale);
            }
        }
        if self.request.all_resources {
            return;
        }
        let used: BTreeSet<&String> =
            services.values().flat_map(|service| service.networks.keys()).collect();
        networks.retain(|key, _| used.contains(key));
        let mounts = services.values().flat_map(|service| &service.volumes);
        let named = mounts.filter(|mount| matches!(mount.kind, MountKind::Volume { .. }));
        let used: BTreeSet<&String> = named.filter_map(|mount| mount.source.as_ref()).collect();
        volumes.retain(|key, _| used.contains(key));
    }
}

/// Reads every section.
fn read(
    decoder: &mut Decoder,
    tree: &Node,
    project: &mut Project,
    enabled: &BTreeSet<String>,
) -> BTreeMap<String, Draft> {
    let mut drafts = BTreeMap::new();
    let at = At::root(tree);
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => {}
            "services" => drafts = services(decoder, field, enabled),
            "networks" => project.networks = each(decoder, field, resources::network),
            "volumes" => project.volumes = each(decoder, field, resources::volume),
            _ => decoder.unknown(at, key, TOP_KEYS, TOP_LATER),
        }
    }
    drafts
}

fn services(
    decoder: &mut Decoder,
    at: At<'_>,
    enabled: &BTreeSet<String>,
) -> BTreeMap<String, Draft> {
    let mut drafts = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        refuse_name(decoder, at, key);
        let draft = service(decoder, at.key(key, node), &key.name, enabled.contains(&key.name));
        drafts.insert(key.name.clone(), draft);
    }
    drafts
}

/// Reads each entry of a top-level mapping; the mapping itself may be null.
fn each<T>(
    decoder: &mut Decoder,
    at: At<'_>,
    read: fn(&mut Decoder, At<'_>) -> T,
) -> BTreeMap<String, T> {
    let mut values = BTreeMap::new();
    if at.node.is_null() {
        return values;
    }
    for (key, node) in decoder.mapping(at) {
        refuse_name(decoder, at, key);
        values.insert(key.name.clone(), read(decoder, at.key(key, node)));
    }
    values
}

fn refuse_name(decoder: &mut Decoder, at: At<'_>, key: &yaml::Key) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if key.name.is_empty() || !key.name.chars().all(allowed) {
        let message =
            format!("`{at}` has the name `{}`: expected letters, digits, `.`, `_`, `-`", key.name);
        decoder.problems.push(key.span.problem(message));
    }
}
