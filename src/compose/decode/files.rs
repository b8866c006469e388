//! Secrets and configs: what the top level declares, and what services use of it.

use indexmap::IndexMap;

use super::resources::external;
use super::{At, Decoder};
use crate::compose::model::{CredentialSpec, FileObject, FileReference, FileSource};
use crate::compose::yaml::Value;

const REFERENCE_KEYS: &[&str] = &["source", "target", "uid", "gid", "mode"];
const CREDENTIAL_KEYS: &[&str] = &["config", "file", "registry"];
const SECRET_KEYS: &[&str] = &[
    "name",
    "environment",
    "file",
    "external",
    "labels",
    "driver",
    "driver_opts",
    "template_driver",
];
const CONFIG_KEYS: &[&str] =
    &["name", "content", "environment", "file", "external", "labels", "template_driver"];

/// Where compose puts the secrets of a container.
const SECRETS: &str = "/run/secrets";

/// Reads a service's `secrets`, each with its target.
pub(super) fn secrets(decoder: &mut Decoder, at: At<'_>) -> Vec<FileReference> {
    let mut secrets = references(decoder, at, SECRETS);
    for secret in &mut secrets {
        let source = &secret.source;
        secret.target.get_or_insert_with(|| format!("{SECRETS}/{source}"));
    }
    secrets
}

/// Reads a list of references; of two with one target, the later wins in the earlier's place.
pub(super) fn references(decoder: &mut Decoder, at: At<'_>, base: &str) -> Vec<FileReference> {
    let mut references = IndexMap::new();
    for reference in repeatable_references(decoder, at) {
        let default = || format!("{base}/{}", reference.source);
        references.insert(reference.target.clone().unwrap_or_else(default), reference);
    }
    references.into_values().collect()
}

/// Reads a list of references as they stand.
pub(super) fn repeatable_references(decoder: &mut Decoder, at: At<'_>) -> Vec<FileReference> {
    let mut references = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        match &item.value {
            Value::String(source) => {
                if source.is_empty() {
                    decoder.refuse(at, "is empty: expected a name of the top level");
                }
                references.push(FileReference { source: source.clone(), ..Default::default() });
            }
            Value::Mapping(_) => references.push(reference(decoder, at)),
            _ => decoder.wrong(at, "a name, or a mapping with `source`"),
        }
    }
    references
}

fn reference(decoder: &mut Decoder, at: At<'_>) -> FileReference {
    let mut reference = FileReference::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "source" => reference.source = decoder.string(field).unwrap_or_default(),
            "target" => reference.target = decoder.string(field),
            "uid" => reference.uid = decoder.text(field),
            "gid" => reference.gid = decoder.text(field),
            "mode" => reference.mode = mode(decoder, field),
            _ => decoder.unknown(at, key, REFERENCE_KEYS),
        }
    }
    if reference.source.is_empty() {
        decoder.refuse(at, "has no `source`: expected a name of the top level");
    }
    reference
}

/// A file mode: a number as it is, a string in base eight.
fn mode(decoder: &mut Decoder, at: At<'_>) -> Option<u32> {
    let mode = match &at.node.value {
        Value::Int(mode) => u32::try_from(*mode).ok(),
        Value::String(text) => u32::from_str_radix(text, 8).ok(),
        _ => None,
    };
    if mode.is_none() {
        decoder.wrong(at, "a file mode such as `0440`");
    }
    mode
}

/// Reads `credential_spec`.
pub(super) fn credential_spec(decoder: &mut Decoder, at: At<'_>) -> CredentialSpec {
    let mut spec = CredentialSpec::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "config" => spec.config = decoder.text(field),
            "file" => spec.file = decoder.text(field),
            "registry" => spec.registry = decoder.text(field),
            _ => decoder.unknown(at, key, CREDENTIAL_KEYS),
        }
    }
    spec
}

/// Reads a top-level secret; its name is the one written, else empty.
pub fn secret(decoder: &mut Decoder, at: At<'_>) -> FileObject {
    let object = file_object(decoder, at, SECRET_KEYS);
    one_source(decoder, at, &["file", "environment"]);
    let has = |key: &str| at.node.get(key).is_some();
    let is_elsewhere = object.source == FileSource::Elsewhere && !object.external;
    if is_elsewhere && (has("driver") || has("external")) {
        decoder.refuse(at, "needs a `file` or an `environment`: no store but these is supported");
    }
    if matches!(&object.source, FileSource::Environment { variable, .. } if variable.is_empty()) {
        decoder.refuse(at, "has an `environment` that names no variable");
    }
    object
}

/// Reads a top-level config; its name is the one written, else empty.
pub fn config(decoder: &mut Decoder, at: At<'_>) -> FileObject {
    let object = file_object(decoder, at, CONFIG_KEYS);
    one_source(decoder, at, &["file", "environment", "content"]);
    object
}

fn file_object(decoder: &mut Decoder, at: At<'_>, known: &[&str]) -> FileObject {
    let mut object = FileObject::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            name if !known.contains(&name) => decoder.unknown(at, key, known),
            "name" => object.name = decoder.string(field).unwrap_or_default(),
            "file" => object.source = FileSource::File(decoder.string(field).unwrap_or_default()),
            "environment" => {
                let variable = decoder.string(field).unwrap_or_default();
                object.source = FileSource::Environment { variable, value: None };
            }
            "content" => {
                object.source = FileSource::Content(decoder.string(field).unwrap_or_default());
            }
            "external" => external(decoder, field, &mut object.external, &mut object.name),
            "labels" => object.labels = decoder.distinct_labels(field),
            "driver" => object.driver = decoder.text(field),
            "driver_opts" => object.driver_opts = decoder.whole_options(field),
            _ => object.template_driver = decoder.text(field),
        }
    }
    object
}

fn one_source(decoder: &mut Decoder, at: At<'_>, keys: &[&str]) {
    let has = |key: &str| at.node.get(key).is_some();
    let given: Vec<&str> = keys.iter().copied().filter(|key| has(key)).collect();
    let elsewhere = has("driver") || has("external");
    if given.len() > 1 {
        let given = given.join("` and `");
        decoder.refuse(at, format!("has `{given}`: write one of them"));
    } else if given.is_empty() && !elsewhere && at.node.as_mapping().is_some() {
        let keys = keys.join("`, `");
        decoder.refuse(at, format!("has no content: expected one of `{keys}`"));
    }
}
