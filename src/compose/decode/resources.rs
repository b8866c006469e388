//! Top-level networks, volumes and models.

use super::{At, Decoder};
use crate::compose::model::{Ipam, IpamPool, Model, Network, Volume};
use crate::compose::yaml::{Key, Node, Value};

const NETWORK_KEYS: &[&str] = &[
    "name",
    "driver",
    "driver_opts",
    "ipam",
    "external",
    "internal",
    "attachable",
    "labels",
    "enable_ipv4",
    "enable_ipv6",
];
const VOLUME_KEYS: &[&str] = &["name", "driver", "driver_opts", "external", "labels"];
const MODEL_KEYS: &[&str] = &["name", "model", "context_size", "runtime_flags"];
const IPAM_KEYS: &[&str] = &["driver", "config", "options"];
const POOL_KEYS: &[&str] = &["subnet", "gateway", "ip_range", "aux_addresses"];

/// Reads a network; its name is the one written, else empty.
pub fn network(decoder: &mut Decoder, at: At<'_>) -> Network {
    let mut network = Network::default();
    if at.node.is_null() {
        return network;
    }
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => network.name = decoder.string(field).unwrap_or_default(),
            "driver" => network.driver = decoder.text(field),
            "driver_opts" => network.driver_opts = decoder.options(field),
            "ipam" => network.ipam = ipam(decoder, field),
            "external" => external(decoder, field, &mut network.external, &mut network.name),
            "internal" => network.internal = decoder.boolean(field).unwrap_or_default(),
            "attachable" => network.attachable = decoder.boolean(field).unwrap_or_default(),
            "labels" => network.labels = decoder.labels(field),
            "enable_ipv4" => network.enable_ipv4 = decoder.boolean(field),
            "enable_ipv6" => network.enable_ipv6 = decoder.boolean(field),
            _ => decoder.unknown(at, key, NETWORK_KEYS),
        }
    }
    if network.external && (network.driver.is_some() || !network.driver_opts.is_empty()) {
        let span = &at.node.span;
        decoder.warnings.push(format!(
            "{}:{}: `{at}` is external: what is written of its driver is ignored",
            span.source.file,
            span.line()
        ));
    }
    network
}

/// Reads a volume; its name is the one written, else empty.
pub fn volume(decoder: &mut Decoder, at: At<'_>) -> Volume {
    let mut volume = Volume::default();
    if at.node.is_null() {
        return volume;
    }
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => volume.name = decoder.string(field).unwrap_or_default(),
            "driver" => volume.driver = decoder.text(field),
            "driver_opts" => volume.driver_opts = decoder.options(field),
            "external" => external(decoder, field, &mut volume.external, &mut volume.name),
            "labels" => volume.labels = decoder.labels(field),
            _ => decoder.unknown(at, key, VOLUME_KEYS),
        }
    }
    if volume.external && !decoder.kinds_only {
        refuse_beside_external(decoder, at);
    }
    volume
}

/// Reads a language model.
pub fn model(decoder: &mut Decoder, at: At<'_>) -> Model {
    let mut model = Model::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => model.name = decoder.text(field),
            "model" => model.model = decoder.string(field).unwrap_or_default(),
            "context_size" => model.context_size = decoder.strict_integer(field),
            "runtime_flags" => model.runtime_flags = decoder.strings(field),
            _ => decoder.unknown(at, key, MODEL_KEYS),
        }
    }
    if at.node.as_mapping().is_some() && at.node.get("model").is_none() {
        decoder.refuse(at, "has no `model`: expected the name of one");
    }
    model
}

/// `true`, or the old form `{name: …}`, whose name may not differ from the one beside it.
pub(super) fn external(decoder: &mut Decoder, at: At<'_>, external: &mut bool, name: &mut String) {
    let Value::Mapping(entries) = &at.node.value else {
        *external = decoder.flag(at);
        return;
    };
    *external = true;
    for (key, node) in entries {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => {
                decoder.warn(field, "is an old form: write `external: true` and `name` beside it");
                *name = decoder.string(field).unwrap_or_default();
                let beside = at.parent.and_then(|parent| parent.node.get("name"));
                if beside.and_then(Node::as_str).is_some_and(|beside| beside != name) {
                    decoder.refuse(field, "differs from the `name` beside `external`");
                }
            }
            _ => decoder.unknown(at, key, &["name"]),
        }
    }
}

fn refuse_beside_external(decoder: &mut Decoder, at: At<'_>) {
    let entries = at.node.as_mapping().unwrap_or_default();
    let allowed =
        |key: &Key| matches!(key.name.as_str(), "name" | "external") || key.name.starts_with("x-");
    for (key, _) in entries.iter().filter(|(key, _)| !allowed(key)) {
        decoder.problems.push(key.span.problem(format!(
            "`{at}.{}` cannot stand beside `external`: it was made by somebody else",
            key.name
        )));
    }
}

fn ipam(decoder: &mut Decoder, at: At<'_>) -> Ipam {
    let mut ipam = Ipam::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "driver" => ipam.driver = decoder.text(field),
            "options" => ipam.options = decoder.texts(field),
            "config" => {
                for (index, item) in decoder.sequence(field).iter().enumerate() {
                    ipam.config.push(pool(decoder, field.item(index, item)));
                }
            }
            _ => decoder.unknown(at, key, IPAM_KEYS),
        }
    }
    ipam
}

fn pool(decoder: &mut Decoder, at: At<'_>) -> IpamPool {
    let mut pool = IpamPool::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "subnet" => pool.subnet = decoder.text(field),
            "gateway" => pool.gateway = decoder.text(field),
            "ip_range" => pool.ip_range = decoder.text(field),
            "aux_addresses" => pool.aux_addresses = decoder.texts(field),
            _ => decoder.unknown(at, key, POOL_KEYS),
        }
    }
    pool
}
