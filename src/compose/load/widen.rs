//! Short forms made long, in the tree: what paths, names and dependencies are looked for in.

use crate::compose::decode::mounts::MOST_PORTS;
use crate::compose::decode::service::clean_path;
use crate::compose::merge;
use crate::compose::model::{Mount, MountKind};
use crate::compose::shortforms;
use crate::compose::yaml::{Key, Node, Span, Value};

/// Widens what loading itself looks into. What cannot be read stays, for the decoder to refuse.
pub(super) fn widen(root: &mut Node) {
    each_service(root, |key, node| match key {
        "build" => *node = merge::build(take(node)),
        "depends_on" => *node = merge::dependencies(take(node)),
        "gpus" => *node = merge::gpus(take(node)),
        "networks" => *node = merge::network_names(take(node)),
        "env_file" => env_files(node),
        "volumes" => {
            each_item(node, |item| {
                let mount = item.as_str().and_then(|text| shortforms::mount(text).ok());
                mount.and_then(|mount| mount_node(&mount, &item.span))
            });
            each_mapping(node, |mount| {
                if let Some(Node { value: Value::String(target), .. }) = mount.get_mut("target") {
                    *target = clean_path(target);
                }
            });
        }
        "dns" | "label_file" if node.as_str().is_some() => listed(node),
        _ => {}
    });
}

/// Widens the rest as well, and fills in what is meant by what is not said.
pub(super) fn widen_all(root: &mut Node) {
    widen(root);
    for section in ["networks", "volumes", "secrets", "configs"] {
        if let Some(resources) = root.get_mut(section) {
            each_entry(resources, external_name);
        }
    }
    let mut ports_left = MOST_PORTS;
    each_service(root, |key, node| match key {
        "ports" => {
            ports(node, &mut ports_left);
            each_mapping(node, |port| {
                or_else(port, "mode", "ingress");
                or_else(port, "protocol", "tcp");
            });
        }
        "build" => {
            if let Some(contexts) = node.get_mut("additional_contexts") {
                key_values(contexts);
            }
            if let Some(keys) = node.get_mut("ssh") {
                key_values(keys);
            }
            if let Some(secrets) = node.get_mut("secrets") {
                sources(secrets);
            }
        }
        "depends_on" => each_entry(node, |dependency| {
            if dependency.get("required").is_none() {
                let yes = dependency.with_value(Value::Bool(true));
                dependency.insert(Key::implied("required", &yes.span), yes);
            }
        }),
        "devices" => each_item(node, |item| {
            let device = shortforms::device(item.as_str()?).ok()?;
            let parts = [
                ("source", device.source),
                ("target", device.target),
                ("permissions", device.permissions),
            ];
            Some(texts(parts, &item.span))
        }),
        "secrets" => {
            sources(node);
            each_mapping(node, secret_target);
        }
        "configs" => sources(node),
        "volumes" => each_mapping(node, |mount| {
            let span = mount.span.clone();
            if let Some(bind) = mount.get_mut("bind")
                && bind.get("create_host_path").is_none()
            {
                let yes = Node { value: Value::Bool(true), span: span.clone(), tag: None };
                bind.insert(Key::implied("create_host_path", &span), yes);
            }
        }),
        _ => {}
    });
}

/// Names of secrets or configs in their long form.
fn sources(node: &mut Node) {
    each_item(node, |item| Some(texts([("source", item.as_str()?.to_owned())], &item.span)));
}

/// The name that the old form has within `external`, beside it.
fn external_name(resource: &mut Node) {
    let Some(external) = resource.get_mut("external").filter(|it| it.as_mapping().is_some()) else {
        return;
    };
    let name = external.remove("name");
    external.value = Value::Bool(true);
    if let Some(name) = name {
        resource.remove("name");
        resource.insert(Key::implied("name", &name.span.clone()), name);
    }
}

fn secret_target(secret: &mut Node) {
    if let Some(source) = secret.get("source").and_then(Node::as_str) {
        let target = format!("/run/secrets/{source}");
        or_else(secret, "target", &target);
    }
}

/// Puts a text at a key that is not there.
fn or_else(mapping: &mut Node, key: &str, text: &str) {
    if mapping.get(key).is_none() {
        let node = mapping.with_value(Value::String(text.to_owned()));
        mapping.insert(Key::implied(key, &mapping.span.clone()), node);
    }
}

/// A list of `KEY=VALUE` as a mapping; `KEY` alone has no value.
fn key_values(node: &mut Node) {
    let Value::Sequence(items) = &node.value else { return };
    let texts = items.iter().map(|item| Some((item.as_str()?, &item.span)));
    let Some(texts) = texts.collect::<Option<Vec<_>>>() else { return };
    let entries = texts.into_iter().map(|(text, span)| {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Value::String(value.to_owned())),
            None => (text, Value::Null),
        };
        (Key::implied(name, span), Node { value, span: span.clone(), tag: None })
    });
    node.value = Value::Mapping(entries.collect());
}

fn env_files(node: &mut Node) {
    if node.as_str().is_some() {
        listed(node);
    }
    let Value::Sequence(items) = &mut node.value else { return };
    for item in items {
        let span = item.span.clone();
        if let Some(path) = item.as_str() {
            *item = texts([("path", path.to_owned())], &span);
        }
        if item.as_mapping().is_some() && item.get("required").is_none() {
            let required = item.with_value(Value::Bool(true));
            item.insert(Key::implied("required", &span), required);
        }
    }
}

/// All ports or none: one that cannot be read, e.g. because of a variable, leaves all as written, and
/// so do too many.
fn ports(node: &mut Node, left: &mut usize) {
    let Value::Sequence(items) = &node.value else { return };
    let mut wide = Vec::with_capacity(items.len());
    for item in items {
        if item.as_mapping().is_some() {
            wide.push(item.clone());
            continue;
        }
        let Some(text) = item.value.scalar_text() else { return };
        let Ok(ranges) = shortforms::port_ranges(&text) else { return };
        let Some(rest) = left.checked_sub(ranges.count()) else { return };
        *left = rest;
        for port in ranges.expand() {
            let mut mapping = texts([], &item.span);
            let mut put = |key: &str, value: Value| {
                mapping.insert(Key::implied(key, &item.span), item.with_value(value));
            };
            let texts =
                [("mode", port.mode), ("host_ip", port.host_ip), ("published", port.published)];
            for (key, text) in texts {
                if let Some(text) = text {
                    put(key, Value::String(text));
                }
            }
            put("target", Value::Int(port.target.into()));
            put("protocol", Value::String(port.protocol));
            wide.push(mapping);
        }
    }
    node.value = Value::Sequence(wide);
}

/// The long form of a mount that was written short.
fn mount_node(mount: &Mount, span: &Span) -> Option<Node> {
    let options = mount_options(&mount.kind, span)?;
    let mut long = texts([("type", mount.kind.name().to_owned())], span);
    put_text(&mut long, "source", mount.source.as_deref());
    put_text(&mut long, "target", Some(&mount.target));
    if mount.read_only {
        put_true(&mut long, "read_only");
    }
    for other in &mount.other_blocks {
        if let Some(block) = mount_options(other, span) {
            long.insert(Key::implied(other.name(), span), block);
        }
    }
    if mount.options_given {
        long.insert(Key::implied(mount.kind.name(), span), options);
    }
    Some(long)
}

/// The block of options that a short form can give; only binds and volumes are written short.
fn mount_options(kind: &MountKind, span: &Span) -> Option<Node> {
    let mut options = texts([], span);
    if let MountKind::Bind { selinux, propagation, create_host_path, .. } = kind {
        put_text(&mut options, "selinux", selinux.as_deref());
        put_text(&mut options, "propagation", propagation.as_deref());
        if *create_host_path == Some(true) {
            put_true(&mut options, "create_host_path");
        }
    } else if let MountKind::Volume { nocopy, .. } = kind {
        if *nocopy {
            put_true(&mut options, "nocopy");
        }
    } else {
        return None;
    }
    Some(options)
}

fn put_true(mapping: &mut Node, key: &str) {
    let node = mapping.with_value(Value::Bool(true));
    mapping.insert(Key::implied(key, &mapping.span.clone()), node);
}

fn put_text(mapping: &mut Node, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        let node = mapping.with_value(Value::String(text.to_owned()));
        mapping.insert(Key::implied(key, &mapping.span.clone()), node);
    }
}

/// A mapping of strings.
fn texts<const N: usize>(entries: [(&str, String); N], span: &Span) -> Node {
    let entries = entries.into_iter().map(|(key, text)| {
        let node = Node { value: Value::String(text), span: span.clone(), tag: None };
        (Key::implied(key, span), node)
    });
    Node { value: Value::Mapping(entries.collect()), span: span.clone(), tag: None }
}

/// Takes a node to make another of it.
fn take(node: &mut Node) -> Node {
    let empty = node.with_value(Value::Null);
    std::mem::replace(node, empty)
}

/// One value as a list of one.
fn listed(node: &mut Node) {
    let one = take(node);
    node.value = Value::Sequence(vec![one]);
}

fn each_service(root: &mut Node, mut visit: impl FnMut(&str, &mut Node)) {
    let Some(Node { value: Value::Mapping(services), .. }) = root.get_mut("services") else {
        return;
    };
    for (_, service) in services {
        if let Value::Mapping(entries) = &mut service.value {
            for (key, node) in entries {
                visit(&key.name, node);
            }
        }
    }
}

fn each_item(node: &mut Node, widened: impl Fn(&Node) -> Option<Node>) {
    if let Value::Sequence(items) = &mut node.value {
        for item in items {
            if let Some(wide) = widened(item) {
                *item = wide;
            }
        }
    }
}

fn each_entry(node: &mut Node, visit: impl FnMut(&mut Node)) {
    if let Value::Mapping(entries) = &mut node.value {
        entries.iter_mut().map(|(_, entry)| entry).for_each(visit);
    }
}

fn each_mapping(node: &mut Node, visit: impl FnMut(&mut Node)) {
    if let Value::Sequence(items) = &mut node.value {
        items.iter_mut().filter(|item| item.as_mapping().is_some()).for_each(visit);
    }
}
