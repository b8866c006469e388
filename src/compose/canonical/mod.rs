//! A project as `docker compose config` prints it: JSON with its key order and forms, and YAML.

mod build;
mod deploy;
mod mounts;
mod object;
pub(super) mod resources;
pub(super) mod service;
mod yaml;

use serde_json::{Map, Value, json};

use self::object::Object;
use self::resources::{file_object_json, network_json, volume_json};
use self::service::service_json;
use super::emit;
use super::model::Project;

/// Which compose release's forms to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 2.30 to 2.40.
    V2_40,
    /// From 5.0 on.
    #[default]
    V5,
}

/// What an object is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// To be shown, with everything.
    Config,
    /// To be hashed, without what changes no container.
    Hash(Dialect),
}

impl Form {
    fn dialect(self) -> Dialect {
        match self {
            Self::Config => Dialect::V2_40,
            Self::Hash(dialect) => dialect,
        }
    }
}

/// What `docker compose config --format json` prints of it, `$` escaped as `$$`.
pub fn config_json(project: &Project) -> Value {
    let mut value = project_json(project);
    for (key, value) in value.as_object_mut().into_iter().flatten() {
        if key.starts_with("x-") {
            empty_as_null(value);
        }
    }
    escape_values(&mut value);
    escape_keys(&mut value);
    value
}

/// An empty list of an extension is null, in JSON only.
fn empty_as_null(value: &mut Value) {
    match value {
        Value::Array(items) if items.is_empty() => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(empty_as_null),
        Value::Object(entries) => entries.values_mut().for_each(empty_as_null),
        _ => {}
    }
}

fn project_json(project: &Project) -> Value {
    // Go sorts these keys, for they are those of a map.
    let mut root = Object::new();
    let configs = project.configs.iter();
    root.map("configs", configs.map(|(key, config)| (key, file_object_json(config))));
    root.put("name", json!(project.name));
    let networks = project.networks.iter();
    root.map("networks", networks.map(|(key, network)| (key, network_json(network))));
    let secrets = project.secrets.iter();
    root.map("secrets", secrets.map(|(key, secret)| (key, file_object_json(secret))));
    let services = project.services.iter();
    let services: Map<_, _> = services
        .map(|(key, service)| (key.clone(), service_json(service, Form::Config).into()))
        .collect();
    root.put("services", services);
    let volumes = project.volumes.iter();
    root.map("volumes", volumes.map(|(key, volume)| (key, volume_json(volume))));
    for (key, value) in &project.extensions {
        root.put(key, value.clone());
    }
    root.into()
}

/// What `docker compose config` prints of it; it reads back as the same project.
pub fn config_yaml(project: &Project) -> String {
    config_yaml_with(project, |_| {})
}

/// The same, with what `finish` adds to it.
pub fn config_yaml_with(project: &Project, finish: impl FnOnce(&mut Value)) -> String {
    let mut value = project_json(project);
    finish(&mut value);
    // Keys are never interpolated, so escaped ones would read back as others.
    escape_values(&mut value);
    emit::yaml(&yaml::in_yaml_form(value))
}

fn escape_values(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(escape_values),
        Value::Object(entries) => entries.values_mut().for_each(escape_values),
        _ => {}
    }
}

/// `docker compose` escapes the whole text, keys too.
fn escape_keys(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(escape_keys),
        Value::Object(entries) => {
            entries.values_mut().for_each(escape_keys);
            if entries.keys().any(|key| key.contains('$')) {
                let escaped = std::mem::take(entries).into_iter();
                *entries = escaped.map(|(key, value)| (key.replace('$', "$$"), value)).collect();
            }
        }
        _ => {}
    }
}
