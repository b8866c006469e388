//! `build`: how the image of a service is made.

use std::collections::BTreeMap;

use super::running::strict_ulimits;
use super::surroundings::extra_hosts;
use super::{At, Decoder, files};
use crate::compose::model::{Build, SshKey};
use crate::compose::yaml::Value;

const KEYS: &[&str] = &[
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "entitlements",
    "extra_hosts",
    "isolation",
    "labels",
    "network",
    "no_cache",
    "platforms",
    "privileged",
    "provenance",
    "pull",
    "sbom",
    "secrets",
    "shm_size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Reads `build`: a context, or a mapping.
pub(super) fn build(decoder: &mut Decoder, at: At<'_>) -> Build {
    let mut build = Build { context: ".".to_owned(), ..Build::default() };
    if let Value::String(context) = &at.node.value {
        build.context.clone_from(context);
        return build;
    }
    if at.node.as_mapping().is_none() {
        decoder.wrong(at, "a directory, or a mapping with `context`");
        return build;
    }
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "additional_contexts" => build.additional_contexts = contexts(decoder, field),
            "args" => build.args = decoder.variables(field),
            "cache_from" => build.cache_from = decoder.strings(field),
            "cache_to" => build.cache_to = decoder.strings(field),
            "context" => build.context = decoder.string(field).unwrap_or_default(),
            "dockerfile" => build.dockerfile = decoder.text(field),
            "dockerfile_inline" => build.dockerfile_inline = decoder.text(field),
            "entitlements" => build.entitlements = decoder.strings(field),
            "extra_hosts" => build.extra_hosts = extra_hosts(decoder, field),
            "isolation" => build.isolation = decoder.text(field),
            "labels" => build.labels = decoder.labels(field),
            "network" => build.network = decoder.text(field),
            "no_cache" => build.no_cache = decoder.flag(field),
            "platforms" => build.platforms = decoder.strings(field),
            "privileged" => build.privileged = decoder.flag(field),
            "provenance" => build.provenance = attestation(decoder, field),
            "pull" => build.pull = decoder.flag(field),
            "sbom" => build.sbom = attestation(decoder, field),
            "secrets" => build.secrets = files::repeatable_references(decoder, field),
            "shm_size" => build.shm_size = decoder.whole_bytes(field).filter(|bytes| *bytes != 0),
            "ssh" => build.ssh = ssh(decoder, field),
            "tags" => build.tags = decoder.keyed_strings(field),
            "target" => build.target = decoder.text(field),
            "ulimits" => build.ulimits = strict_ulimits(decoder, field),
            _ => decoder.unknown(at, key, KEYS),
        }
    }
    if build.dockerfile_inline.is_some() && build.dockerfile.is_some() {
        decoder.refuse(at, "has both `dockerfile` and `dockerfile_inline`: write one of them");
    }
    build
}

/// A boolean, or a text of options such as `mode=max`.
fn attestation(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    match &at.node.value {
        Value::Bool(value) => Some(value.to_string()),
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        _ => {
            decoder.wrong(at, "`true`, `false` or a string");
            None
        }
    }
}

fn contexts(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, String> {
    if at.node.as_mapping().is_some() {
        return decoder.texts(at);
    }
    let mut contexts = BTreeMap::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let Some(text) = decoder.string(at) else { continue };
        match text.split_once('=') {
            Some((name, context)) => {
                contexts.insert(name.to_owned(), context.to_owned());
            }
            None => decoder.refuse(at, format!("is `{text}`: expected `name=context`")),
        }
    }
    contexts
}

fn ssh(decoder: &mut Decoder, at: At<'_>) -> Vec<SshKey> {
    let mut keys = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = at.item(index, item);
                let Some(text) = decoder.string(at) else { continue };
                match text.split_once('=') {
                    Some((id, path)) => keys.insert(id.to_owned(), Some(path.to_owned())),
                    None if text == "default" => keys.insert(text, None),
                    None => {
                        decoder.refuse(at, format!("is `{text}`: expected `default` or `id=path`"));
                        None
                    }
                };
            }
        }
        Value::Mapping(_) => keys = decoder.key_values(at),
        _ => decoder.wrong(at, "a list of `id=path`, or a mapping"),
    }
    keys.into_iter().map(|(id, path)| SshKey { id, path }).collect()
}
