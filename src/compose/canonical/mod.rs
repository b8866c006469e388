//! A project as `docker compose config` prints it: JSON with its key order and forms, and YAML.

mod build;
mod deploy;
mod mounts;
pub(super) mod object;
pub(super) mod resources;
pub(super) mod service;
mod yaml;

use serde_json::Value;

use self::object::{Entries, Object};
use self::resources::{file_object_json, network_json, volume_json};
use self::service::service_json;
use super::emit;
use super::model::Project;
use super::render::{pretty, without_fractions};

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
pub fn config_text(project: &Project) -> String {
    pretty(&with_dollars_escaped(config_line(project)))
}

/// [`config_text`] as a value.
pub fn config_json(project: &Project) -> Value {
    let line = with_dollars_escaped(config_line(project));
    serde_json::from_str(&line).expect("what is written is JSON")
}

/// Only in strings, names among them, is there a `$`.
fn with_dollars_escaped(line: String) -> String {
    if line.as_bytes().contains(&b'$') { line.replace('$', "$$") } else { line }
}

fn config_line(project: &Project) -> String {
    let mut root = project_json(project);
    for (key, value) in &project.extensions {
        let mut value = value.clone();
        if key.starts_with("x-") {
            empty_as_null(&mut value);
        }
        without_fractions(&mut value);
        root.put(key, &value);
    }
    root.into_text()
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

/// All but the extensions.
fn project_json(project: &Project) -> Object {
    // Go sorts these keys, for they are those of a map.
    let mut root = Object::new();
    let configs = project.configs.iter();
    root.map("configs", configs.map(|(key, config)| (key, file_object_json(config))));
    root.put("name", &project.name);
    let networks = project.networks.iter();
    root.map("networks", networks.map(|(key, network)| (key, network_json(network))));
    let secrets = project.secrets.iter();
    root.map("secrets", secrets.map(|(key, secret)| (key, file_object_json(secret))));
    let services = project.services.iter();
    let services = services.map(|(key, service)| (key, service_json(service, Form::Config)));
    root.put("services", Entries(services));
    let volumes = project.volumes.iter();
    root.map("volumes", volumes.map(|(key, volume)| (key, volume_json(volume))));
    root
}

/// What `docker compose config` prints of it; it reads back as the same project.
pub fn config_yaml(project: &Project) -> String {
    config_yaml_with(project, |_| {})
}

/// The same, with what `finish` adds to it.
pub fn config_yaml_with(project: &Project, finish: impl FnOnce(&mut Value)) -> String {
    let line = project_json(project).into_text();
    let mut value: Value = serde_json::from_str(&line).expect("what is written is JSON");
    for (key, extension) in &project.extensions {
        value[key] = extension.clone();
    }
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
