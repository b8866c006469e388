//! What surrounds a service: environment, hosts, groups, exposed ports, networks.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};

use super::service::EnvFile;
use super::{At, Decoder};
use crate::compose::model::ServiceNetwork;
use crate::compose::shortforms;
use crate::compose::yaml::Value;

const NETWORK_KEYS: &[&str] = &[
    "aliases",
    "driver_opts",
    "gw_priority",
    "interface_name",
    "ipv4_address",
    "ipv6_address",
    "link_local_ips",
    "mac_address",
    "priority",
];

const ENV_FILE_KEYS: &[&str] = &["path", "required", "format"];

pub(super) fn env_files(decoder: &mut Decoder, at: At<'_>) -> Vec<EnvFile> {
    let plain = |path: &str, at: At<'_>| EnvFile {
        path: path.to_owned(),
        required: true,
        raw: false,
        span: at.node.span.clone(),
    };
    let mut files = IndexMap::new();
    let items = match &at.node.value {
        Value::String(path) => return vec![plain(path, at)],
        Value::Sequence(items) => items,
        _ => {
            decoder.wrong(at, "a string or a list of files");
            return Vec::new();
        }
    };
    for (index, item) in items.iter().enumerate() {
        let at = at.item(index, item);
        let file = match &item.value {
            Value::String(path) => plain(path, at),
            Value::Mapping(_) => long_env_file(decoder, at, plain("", at)),
            _ => {
                decoder.wrong(at, "a string, or a mapping with `path`");
                continue;
            }
        };
        files.insert(file.path.clone(), file);
    }
    files.into_values().collect()
}

pub(super) fn long_env_file(decoder: &mut Decoder, at: At<'_>, mut file: EnvFile) -> EnvFile {
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "path" => file.path = decoder.string(field).unwrap_or_default(),
            "required" => file.required = decoder.boolean(field).unwrap_or(true),
            "format" => {
                // Nothing is as good as `.env`, but no word to propose.
                if node.as_str() != Some("") {
                    file.raw = decoder.word(field, &["raw", ".env"]).as_deref() == Some("raw");
                }
            }
            _ => decoder.stray(at, key, ENV_FILE_KEYS),
        }
    }
    if at.node.get("path").is_none() {
        decoder.refuse(at, "has no `path`");
    }
    file
}

pub(super) fn expose(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    let mut ports = IndexSet::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let Some(port) = decoder.string_or_whole_number(at) else { continue };
        if let Err(message) = shortforms::port_ranges(&port) {
            decoder.refuse(at, format!("has a wrong value: {message}"));
        }
        ports.insert(port);
    }
    ports.into_iter().collect()
}

pub(super) fn extra_hosts(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Vec<String>> {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |host: &str, addresses: Vec<String>| {
        hosts.entry(host.to_owned()).or_default().extend(addresses);
    };
    match &at.node.value {
        Value::Sequence(_) => {
            decoder.refuse_repeated(at);
            for text in decoder.strings(at) {
                match shortforms::extra_host(&text) {
                    Ok((host, addresses)) => add(&host, addresses),
                    Err(message) => decoder.refuse(at, format!("has a wrong value: {message}")),
                }
            }
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let field = at.key(key, node);
                if let Err(message) = shortforms::check_host(&key.name) {
                    decoder.refuse(field, format!("has a wrong name: {message}"));
                }
                let addresses = match &node.value {
                    Value::Sequence(_) => decoder.strings(field),
                    _ => decoder.string_or_strings(field),
                };
                let bare = addresses.iter().map(|it| shortforms::bare_address(it).to_owned());
                add(&key.name, bare.collect());
            }
        }
        _ => decoder.wrong(at, "a mapping or a list of `host=ip`"),
    }
    hosts
}

pub(super) fn group_add(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    let items = decoder.sequence(at);
    let groups = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| decoder.string_or_whole_number(at.item(index, item)));
    let groups = groups.collect();
    decoder.distinct(at, groups)
}

pub(super) fn networks(
    decoder: &mut Decoder,
    at: At<'_>,
) -> BTreeMap<String, Option<ServiceNetwork>> {
    let mut networks = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(_) => {
            networks.extend(decoder.distinct_strings(at).into_iter().map(|name| (name, None)));
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let attachment = (!node.is_null()).then(|| attachment(decoder, at.key(key, node)));
                networks.insert(key.name.clone(), attachment);
            }
        }
        _ => decoder.wrong(at, "a list of networks or a mapping"),
    }
    networks
}

pub(super) fn attachment(decoder: &mut Decoder, at: At<'_>) -> ServiceNetwork {
    let mut network = ServiceNetwork::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "aliases" => network.aliases = decoder.keyed_strings(field),
            "driver_opts" => network.driver_opts = decoder.options(field),
            "ipv4_address" => network.ipv4_address = decoder.text(field),
            "ipv6_address" => network.ipv6_address = decoder.text(field),
            "link_local_ips" => network.link_local_ips = decoder.keyed_strings(field),
            "mac_address" => network.mac_address = decoder.text(field),
            "gw_priority" => network.gw_priority = number(decoder, field),
            "interface_name" => network.interface_name = decoder.text(field),
            "priority" => network.priority = number(decoder, field),
            _ => decoder.unknown(at, key, NETWORK_KEYS),
        }
    }
    network
}

/// A number where compose takes no string; zero is as if unset.
fn number(decoder: &mut Decoder, at: At<'_>) -> Option<i64> {
    if matches!(at.node.value, Value::String(_)) {
        return decoder.strict_integer(at);
    }
    decoder.number(at).filter(|value| *value != 0)
}
