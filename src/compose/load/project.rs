//! From the complete tree to the typed project.

use std::collections::{BTreeMap, BTreeSet};

use super::select::Selection;
use super::{Loader, in_order, place};
use crate::compose::check::{self, Names};
use crate::compose::decode::service::{Draft, service};
use crate::compose::decode::{At, Decoder, files, resources};
use crate::compose::emit;
use crate::compose::model::{FileObject, FileSource, Hidden, MountKind, Project};
use crate::compose::yaml::{self, Node, Value};
use crate::problem::Problems;

const TOP_KEYS: &[&str] = &[
    "name", "services", "networks", "volumes", "secrets", "configs", "models", "include", "version",
];

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
        let mut project = Project {
            name,
            working_dir: self.directory.clone(),
            underscores: self.request.underscores || self.says_yes("COMPOSE_COMPATIBILITY"),
            ..Project::default()
        };
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
                secrets: project.secrets.keys().map(String::as_str).collect(),
                configs: project.configs.keys().map(String::as_str).collect(),
            };
            check::check(tree, &project.services, &names, &mut decoder.problems);
            if !self.request.skip.unique_names {
                check::container_names(tree, &project.services, &mut decoder.problems);
            }
        }
        self.refuse(decoder.problems)?;
        project.warnings = decoder.warnings;
        self.fill_in(&mut project);
        self.drop_what_is_off(&mut project, &selection);
        Ok(project)
    }

    /// Whether a variable, of the environment or of `.env`, says yes.
    fn says_yes(&self, variable: &str) -> bool {
        let value = self.environment.get(variable);
        value.and_then(|it| crate::compose::scalar::boolean(it)).unwrap_or(false)
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
        let known: BTreeSet<_> = problems.iter().map(place).collect();
        problems.extend(found.into_iter().filter(|problem| !known.contains(&place(problem))));
        in_order(problems).into_result()
    }

    /// Fills in what comes from the environment, and what two places say.
    fn fill_in(&self, project: &mut Project) {
        project.imply_images();
        let Project { services, secrets, configs, .. } = project;
        for service in services.values_mut() {
            // Compose says the number in both places when there is a `deploy`.
            if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy)
                && !self.request.skip.consistency
            {
                deploy.replicas = Some(scale);
            }
        }
        for (section, files) in [("secrets", secrets), ("configs", configs)] {
            for (key, file) in files {
                self.fill_in_file(section, key, file);
            }
        }
    }

    fn fill_in_file(&self, section: &'static str, key: &str, file: &mut FileObject) {
        if let FileSource::Environment { variable, value } = &mut file.source {
            let included = self.file_values.get(&(section, key.to_owned()));
            *value = included.or_else(|| self.environment.get(variable)).cloned().map(Hidden::new);
        }
    }

    /// Drops dependencies on services that are off, and resources that no service uses.
    fn drop_what_is_off(&self, project: &mut Project, selection: &Selection) {
        let Project { services, networks, volumes, secrets, configs, .. } = project;
        for service in services.values_mut() {
            // What is not required and off stays written, here as in the label of a container.
            service.depends_on.retain(|other, dependency| {
                !dependency.required || selection.selected.contains(other)
            });
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
        let secrets_of = services.values().flat_map(|service| {
            let built = service.build.iter().flat_map(|build| &build.secrets);
            service.secrets.iter().chain(built)
        });
        let used: BTreeSet<&String> = secrets_of.map(|secret| &secret.source).collect();
        secrets.retain(|key, _| used.contains(key));
        let configs_of = services.values().flat_map(|service| &service.configs);
        let used: BTreeSet<&String> = configs_of.map(|config| &config.source).collect();
        configs.retain(|key, _| used.contains(key));
    }
}

/// Reads every section.
pub(super) fn read(
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
            "secrets" => project.secrets = each(decoder, field, files::secret),
            "configs" => project.configs = each(decoder, field, files::config),
            "models" => project.models = each(decoder, field, resources::model),
            extension if extension.starts_with("x-") => {
                project.extensions.insert(key.name.clone(), emit::json(node));
            }
            _ => decoder.unknown(at, key, TOP_KEYS),
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

/// Reads each entry of a top-level mapping.
fn each<T>(
    decoder: &mut Decoder,
    at: At<'_>,
    read: fn(&mut Decoder, At<'_>) -> T,
) -> BTreeMap<String, T> {
    // Those of networks are names of the Engine, which takes any.
    let any_name = at.to_string() == "networks";
    let mut values = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        if !any_name {
            refuse_name(decoder, at, key);
        }
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
