//! What a project means without saying it: the default network, names, implied dependencies.

use std::collections::{BTreeMap, HashSet};

use crate::compose::yaml::{Key, Node, Span, Value};

/// Tag of what no one wrote.
pub(in crate::compose) const IMPLIED: &str = "!implied";

/// Fills in what is implied; `name` is the project's.
pub(super) fn normalise(root: &mut Node, name: &str, environment: &BTreeMap<String, String>) {
    let span = root.span.clone();
    root.insert(Key::implied("name", &span), text(name, &span));
    let mut uses_default = false;
    if let Some(Node { value: Value::Mapping(services), .. }) = root.get_mut("services") {
        for (key, service) in services {
            if service.as_mapping().is_some() {
                uses_default |= attach(service, &key.span);
                fill(service, environment);
                depend(service);
            }
        }
    }
    if uses_default {
        if root.get("networks").is_none() {
            let none = Node { value: Value::Mapping(Vec::new()), span: span.clone(), tag: None };
            root.insert(Key::implied("networks", &span), none);
        }
        if let Some(networks) = root.get_mut("networks")
            && networks.as_mapping().is_some()
            && networks.get("default").is_none()
        {
            networks.insert(Key::implied("default", &span), null(&span));
        }
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        if let Some(section) = root.get_mut(section) {
            name_resources(section, name);
        }
    }
}

/// Attaches a service that says nothing of networks to `default`; whether it is attached to it.
fn attach(service: &mut Node, span: &Span) -> bool {
    if service.get("provider").is_some() || service.get("network_mode").is_some() {
        return false;
    }
    if let Some(networks) = service.get("networks")
        && networks.as_mapping().is_none_or(|networks| !networks.is_empty())
    {
        return networks.get("default").is_some();
    }
    let default = (Key::implied("default", span), null(span));
    let networks = Node { value: Value::Mapping(vec![default]), span: span.clone(), tag: None };
    service.insert(Key::implied("networks", span), networks);
    true
}

fn fill(service: &mut Node, environment: &BTreeMap<String, String>) {
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_str() == Some("if_not_present")
    {
        policy.value = Value::String("missing".to_owned());
    }
    if let Some(build) = service.get_mut("build")
        && build.as_mapping().is_some()
    {
        if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
            let span = build.span.clone();
            build.insert(Key::implied("dockerfile", &span), text("Dockerfile", &span));
        }
        if let Some(arguments) = build.get_mut("args") {
            inherit(arguments, environment);
            drop_unset(arguments);
        }
    }
}

/// Gives variables of services the values that the environment has.
pub(super) fn inherit_all(tree: &mut Node, environment: &BTreeMap<String, String>) {
    let services = tree.get_mut("services");
    let Some(Node { value: Value::Mapping(services), .. }) = services else { return };
    for (_, service) in services {
        if let Some(values) = service.get_mut("environment") {
            inherit(values, environment);
        }
    }
}

/// Gives names without a value the value that the environment has.
fn inherit(values: &mut Node, environment: &BTreeMap<String, String>) {
    match &mut values.value {
        Value::Sequence(items) => {
            for item in items {
                if let Value::String(text) = &mut item.value
                    && !text.contains('=')
                    && let Some(value) = environment.get(text.as_str())
                {
                    *text = format!("{text}={value}");
                }
            }
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                if node.is_null()
                    && let Some(value) = environment.get(&key.name)
                {
                    node.value = Value::String(value.clone());
                }
            }
        }
        _ => {}
    }
}

/// Removes names that got no value: a build argument without one is none.
fn drop_unset(values: &mut Node) {
    match &mut values.value {
        Value::Sequence(items) => {
            items.retain(|item| item.as_str().is_none_or(|text| text.contains('=')));
        }
        Value::Mapping(entries) => entries.retain(|(_, node)| !node.is_null()),
        _ => {}
    }
}

/// Sharing a namespace, a link or the volumes of a service means starting after it.
fn depend(service: &mut Node) {
    let mut implied: Vec<(String, bool, Span)> = Vec::new();
    let strings = |key: &str| {
        let items = service.get(key).and_then(Node::as_sequence).unwrap_or_default();
        items.iter().filter_map(|item| Some((item.as_str()?, &item.span)))
    };
    for (link, span) in strings("links") {
        let (name, alias) = link.split_once(':').unwrap_or((link, ""));
        let name = if alias.contains(':') { link } else { name };
        implied.push((name.to_owned(), true, span.clone()));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        let Some(node) = service.get(key) else { continue };
        if let Some(name) = node.as_str().and_then(|mode| mode.strip_prefix("service:")) {
            implied.push((name.to_owned(), true, node.span.clone()));
        }
    }
    for (from, span) in strings("volumes_from") {
        if !from.starts_with("container:") {
            implied.push((from.split(':').next().unwrap_or(from).to_owned(), false, span.clone()));
        }
    }
    if implied.is_empty() {
        return;
    }
    let span = service.span.clone();
    if service.get("depends_on").is_none_or(Node::is_null) {
        let none = Node { value: Value::Mapping(Vec::new()), span: span.clone(), tag: None };
        service.insert(Key::implied("depends_on", &span), none);
    }
    let Some(Node { value: Value::Mapping(dependencies), .. }) = service.get_mut("depends_on")
    else {
        return;
    };
    let mut known: HashSet<String> = dependencies.iter().map(|(key, _)| key.name.clone()).collect();
    for (name, restart, span) in implied {
        if !known.insert(name.clone()) {
            continue;
        }
        let boolean = |value| Node { value: Value::Bool(value), span: span.clone(), tag: None };
        let entries = vec![
            (Key::implied("condition", &span), text("service_started", &span)),
            (Key::implied("restart", &span), boolean(restart)),
            (Key::implied("required", &span), boolean(true)),
        ];
        let node =
            Node { value: Value::Mapping(entries), span: span.clone(), tag: Some(IMPLIED.into()) };
        dependencies.push((Key::implied(name, &span), node));
    }
}

fn name_resources(section: &mut Node, project: &str) {
    let Value::Mapping(resources) = &mut section.value else { return };
    for (key, resource) in resources {
        if resource.is_null() {
            resource.value = Value::Mapping(Vec::new());
        }
        if resource.as_mapping().is_none() || resource.get("name").is_some() {
            continue;
        }
        // The old form names an external resource within `external`.
        let external = resource.get("external");
        if external.is_some_and(|external| external.get("name").is_some()) {
            continue;
        }
        let is_external = external.is_some_and(|external| {
            external.value == Value::Bool(true) || external.as_mapping().is_some()
        });
        let name = if is_external { key.name.clone() } else { format!("{project}_{}", key.name) };
        let node = text(&name, &key.span);
        resource.insert(Key::implied("name", &key.span), node);
    }
}

fn text(text: &str, span: &Span) -> Node {
    Node { value: Value::String(text.to_owned()), span: span.clone(), tag: None }
}

fn null(span: &Span) -> Node {
    Node { value: Value::Null, span: span.clone(), tag: None }
}
