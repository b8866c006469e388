//! Reads `run:`, a container to completion.

use indexmap::IndexMap;

use super::Reader;
use super::fields::{self, Keys, scalar_of};
use crate::compose::model::Service;
use crate::compose::shortforms;
use crate::compose::yaml::Node;
use crate::job::RunContainer;

pub(super) const KEYS: Keys = Keys {
    of: "`run`",
    known: &[
        "image",
        "command",
        "entrypoint",
        "environment",
        "volumes",
        "networks",
        "user",
        "working_dir",
    ],
    later: &["pull", "memory", "cpus", "network_mode", "env_file"],
};

/// Reads the work of a `run:` job.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<RunContainer> {
    let fields = fields::open(node, &KEYS, &mut reader.problems)?;
    let environment = match fields.node("environment") {
        Some(environment) => read_environment(environment, reader),
        None => IndexMap::new(),
    };
    let problems = &mut reader.problems;
    let volumes = fields.strings("volumes", problems);
    if let Some(place) = fields.node("volumes") {
        for volume in &volumes {
            if !is_mount(volume) {
                let message = format!("`{volume}` is no volume");
                let hint = "write `source:/target` or `source:/target:ro`";
                problems.push(place.problem(message).with_hint(hint));
            }
        }
    }
    let working_dir = fields.text("working_dir", problems);
    if let Some((directory, place)) = &working_dir
        && !directory.starts_with('/')
    {
        problems.push(place.problem(format!("`working_dir` must be absolute, not `{directory}`")));
    }
    let environment = environment.into_iter().map(|(name, value)| (name, Some(value)));
    let networks = fields.strings("networks", problems).into_iter();
    let service = Service {
        image: fields.plain("image", problems).unwrap_or_default(),
        command: fields.arguments("command", problems),
        entrypoint: fields.arguments("entrypoint", problems),
        environment: environment.collect(),
        volumes: volumes.iter().filter_map(|volume| shortforms::mount(volume).ok()).collect(),
        networks: networks.map(|network| (network, None)).collect(),
        user: fields.plain("user", problems),
        working_dir: working_dir.map(|(directory, _)| directory),
        ..Service::default()
    };
    if service.image.is_empty() {
        let place = fields.node("image").unwrap_or(node);
        let missing = place.problem("`run` needs an `image`");
        problems.push(missing.with_hint("write e.g. `image: alpine:3.22`"));
        return None;
    }
    Some(RunContainer { service, ..RunContainer::default() })
}

/// True for `source:/target[:options]`.
fn is_mount(text: &str) -> bool {
    let mut parts = text.split(':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let _options = parts.next();
    !source.is_empty() && target.starts_with('/') && parts.next().is_none()
}

/// A mapping, or a list of `NAME=value`; a name alone takes its value from `env.local`.
fn read_environment(node: &Node, reader: &mut Reader<'_>) -> IndexMap<String, String> {
    let mut environment = IndexMap::new();
    if let Some(entries) = node.as_mapping() {
        for (key, value) in entries {
            let value = if value.is_null() {
                reader.variables.get(&key.name).cloned()
            } else {
                scalar_of(&key.name, value, &mut reader.problems)
            };
            environment.extend(value.map(|value| (key.name.clone(), value)));
        }
    } else if let Some(items) = node.as_sequence() {
        for item in items {
            let Some(text) = scalar_of("environment", item, &mut reader.problems) else { continue };
            if let Some((name, value)) = text.split_once('=') {
                environment.insert(name.to_owned(), value.to_owned());
            } else {
                let value = reader.variables.get(&text).cloned();
                environment.extend(value.map(|value| (text, value)));
            }
        }
    } else {
        let kind = node.value.kind();
        let message = format!("`environment` must be a mapping or a list, not {kind}");
        reader.problems.push(node.problem(message));
    }
    environment
}
