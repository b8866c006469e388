//! A service's ports and mounts.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::{At, Decoder};
use crate::compose::model::{Mount, MountKind, Port};
use crate::compose::shortforms;
use crate::compose::yaml::{Key, Node, Value};

/// Most ports of a project that are written short: ranges make many of a few signs.
pub(in crate::compose) const MOST_PORTS: usize = 100_000;

const PORT_KEYS: &[&str] =
    &["name", "mode", "host_ip", "target", "published", "protocol", "app_protocol"];
const MOUNT_KEYS: &[&str] =
    &["type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image"];
const BIND_KEYS: &[&str] = &["selinux", "propagation", "create_host_path", "recursive"];
const VOLUME_KEYS: &[&str] = &["labels", "nocopy", "subpath"];
const TMPFS_KEYS: &[&str] = &["size", "mode"];
const IMAGE_KEYS: &[&str] = &["subpath"];
const KINDS: &[&str] = &["bind", "volume", "tmpfs", "image", "npipe", "cluster"];

/// Reads `ports`; of two that publish the same, the later wins in the earlier's place.
pub(super) fn ports(decoder: &mut Decoder, at: At<'_>) -> Vec<Port> {
    let mut ports = IndexMap::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let read = match &item.value {
            Value::String(text) => short_ports(decoder, at, text),
            Value::Int(number) => short_ports(decoder, at, &number.to_string()),
            Value::Mapping(_) => long_port(decoder, at).into_iter().collect(),
            _ => {
                decoder.wrong(at, "a port such as `8080:80`, or a mapping");
                continue;
            }
        };
        for port in read {
            let host = port.host_ip.clone().unwrap_or_else(|| "0.0.0.0".to_owned());
            // To compose, a number and the same number as text publish different ports.
            let number = item.get("published").is_some_and(|it| it.as_str().is_none());
            let key = (host, port.target, port.published.clone(), number, port.protocol.clone());
            ports.insert(key, port);
        }
    }
    ports.into_values().collect()
}

fn short_ports(decoder: &mut Decoder, at: At<'_>, text: &str) -> Vec<Port> {
    let ranges = match shortforms::port_ranges(text) {
        Ok(ranges) => ranges,
        Err(message) => {
            // To tell equal ports, compose reads them in each file.
            decoder.refuse_form(at, format!("has a wrong value: {message}"));
            return Vec::new();
        }
    };
    let before = decoder.ports;
    decoder.ports += ranges.count();
    if decoder.ports <= MOST_PORTS {
        return ranges.expand();
    }
    if before <= MOST_PORTS {
        decoder.refuse(at, format!("makes more than {MOST_PORTS} ports of the project"));
    }
    Vec::new()
}

pub(super) fn short<T>(decoder: &mut Decoder, at: At<'_>, read: Result<T, String>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(message) => {
            decoder.refuse(at, format!("has a wrong value: {message}"));
            None
        }
    }
}

fn long_port(decoder: &mut Decoder, at: At<'_>) -> Option<Port> {
    let mut port =
        Port { mode: Some("ingress".to_owned()), protocol: "tcp".to_owned(), ..Port::default() };
    let mut has_target = false;
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "name" => port.name = decoder.text(field),
            "mode" => port.mode = decoder.text(field),
            "host_ip" => port.host_ip = host_ip(decoder, field),
            "target" => {
                has_target = true;
                port.target = decoder.integer_within(field, "a port number").unwrap_or_default();
            }
            "published" => {
                let published = decoder.string_or_whole_number(field);
                port.published = published.filter(|published| !published.is_empty());
            }
            "protocol" => port.protocol = decoder.string(field).unwrap_or_default(),
            "app_protocol" => port.app_protocol = decoder.text(field),
            _ => decoder.unknown(at, key, PORT_KEYS),
        }
    }
    if !has_target {
        decoder.refuse(at, "has no `target`: expected the port in the container");
    }
    has_target.then_some(port)
}

fn host_ip(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    let address = decoder.string(at)?;
    if address.parse::<IpAddr>().is_err() {
        decoder.refuse(at, format!("is `{address}`: expected an IP address"));
        return None;
    }
    Some(address)
}

/// Reads `volumes`; of two with one target, the later wins in the earlier's place.
pub(super) fn mounts(decoder: &mut Decoder, at: At<'_>) -> Vec<Mount> {
    let mut mounts = IndexMap::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let read = match &item.value {
            Value::String(text) => short(decoder, at, shortforms::mount(text)),
            Value::Mapping(_) => long_mount(decoder, at),
            _ => {
                decoder.wrong(at, "a volume such as `./data:/data`, or a mapping");
                None
            }
        };
        let Some(mut mount) = read else { continue };
        mount.target = super::service::clean_path(&mount.target);
        mounts.insert(mount.target.clone(), mount);
    }
    mounts.into_values().collect()
}

fn long_mount(decoder: &mut Decoder, at: At<'_>) -> Option<Mount> {
    let entries = decoder.mapping(at);
    let Some((kind_key, kind_node)) = entries.iter().find(|(key, _)| key.name == "type") else {
        decoder.refuse(at, "has no `type`: expected `bind`, `volume` or `tmpfs`");
        return None;
    };
    let kind_at = at.key(kind_key, kind_node);
    let kind_name = decoder.word(kind_at, KINDS)?;
    let mut mount = Mount {
        kind: MountKind::named(&kind_name),
        source: None,
        target: String::new(),
        read_only: false,
        consistency: None,
        options_given: false,
        other_blocks: Vec::new(),
    };
    for (key, node) in entries {
        let field = at.key(key, node);
        match key.name.as_str() {
            "type" => {}
            "source" => mount.source = decoder.text(field),
            "target" => mount.target = decoder.string(field).unwrap_or_default(),
            "read_only" => mount.read_only = decoder.boolean(field).unwrap_or_default(),
            "consistency" => mount.consistency = decoder.text(field),
            block @ ("bind" | "volume" | "tmpfs" | "image") if block == kind_name => {
                mount.options_given = true;
                mount_options(decoder, field, &mut mount.kind);
            }
            block @ ("bind" | "volume" | "tmpfs" | "image") => {
                other_block(decoder, field, block, &mut mount);
            }
            _ => decoder.unknown(at, key, MOUNT_KEYS),
        }
    }
    if mount.target.is_empty() {
        decoder.refuse(at, "has no `target`: expected the path in the container");
        return None;
    }
    if matches!(mount.kind, MountKind::Bind { .. }) && mount.source.is_none() {
        decoder.refuse(at, "has no `source`: expected the path on the host");
        return None;
    }
    Some(mount)
}

/// Reads a block of options that belongs to another kind than the mount's.
fn other_block(decoder: &mut Decoder, at: At<'_>, block: &str, mount: &mut Mount) {
    let mut other = MountKind::named(block);
    mount_options(decoder, at, &mut other);
    // What a short form such as `data:/data:z` means.
    let is_sharing = |(key, _): &(Key, Node)| matches!(&*key.name, "selinux" | "propagation");
    let is_used =
        matches!((&mount.kind, &other), (MountKind::Volume { .. }, MountKind::Bind { .. }))
            && at.node.as_mapping().is_some_and(|entries| entries.iter().all(is_sharing));
    if !is_used {
        let kind = mount.kind.name();
        decoder.warn(at, format!("is ignored, since the mount is of type `{kind}`: remove it"));
    }
    mount.other_blocks.push(other);
}

fn mount_options(decoder: &mut Decoder, at: At<'_>, kind: &mut MountKind) {
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match (&mut *kind, key.name.as_str()) {
            (MountKind::Bind { selinux, .. }, "selinux") => {
                *selinux = decoder.word(field, &["z", "Z"]);
            }
            (MountKind::Bind { propagation, .. }, "propagation") => {
                *propagation = decoder.text(field);
            }
            (MountKind::Bind { create_host_path, .. }, "create_host_path") => {
                *create_host_path = decoder.boolean(field);
            }
            (MountKind::Bind { recursive, .. }, "recursive") => {
                let words = &["enabled", "disabled", "writable", "readonly"];
                *recursive = decoder.word(field, words);
            }
            (MountKind::Volume { nocopy, .. }, "nocopy") => {
                *nocopy = decoder.boolean(field).unwrap_or_default();
            }
            (MountKind::Volume { subpath, .. } | MountKind::Image { subpath }, "subpath") => {
                *subpath = decoder.text(field);
            }
            (MountKind::Volume { labels, .. }, "labels") => {
                *labels = decoder.distinct_labels(field);
            }
            (MountKind::Tmpfs { size, .. }, "size") => {
                *size = decoder.whole_bytes(field);
                if size.is_some_and(i64::is_negative) {
                    decoder.refuse(field, "is negative");
                }
            }
            (MountKind::Tmpfs { mode, .. }, "mode") => {
                let value = decoder.strict_integer(field);
                *mode =
                    value.and_then(|it| decoder.within(field, it, "a file mode such as `0755`"));
            }
            (MountKind::Bind { .. }, _) => decoder.unknown(at, key, BIND_KEYS),
            (MountKind::Volume { .. }, _) => decoder.unknown(at, key, VOLUME_KEYS),
            (MountKind::Tmpfs { .. }, _) => decoder.unknown(at, key, TMPFS_KEYS),
            (MountKind::Image { .. }, _) => decoder.unknown(at, key, IMAGE_KEYS),
            // These have no block of their own.
            (MountKind::NamedPipe | MountKind::Cluster, _) => {}
        }
    }
}
