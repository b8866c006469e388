//! What stands twice in a merged list: the later one wins, in the place of the earlier.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Notes, Replaced};
use crate::compose::yaml::{Node, Value};

/// So few items are compared with each other; more are looked up.
const FEW: usize = 8;

/// What of an item tells it from others.
type Identity = fn(&Node) -> Option<Cow<'_, str>>;

/// Removes the earlier of equal items from every list whose items are unique; notes the long forms
/// that an item of another file removes.
pub fn deduplicate(root: &mut Node, notes: &mut Notes) {
    each(root, "services", |name, service| {
        entries(service, |key, node| match service_identity(key) {
            Some(identity) => {
                for item in unique(node, identity) {
                    let keys = ["services", name, key].map(str::to_owned).into();
                    let key_span = item.span.clone();
                    let span = item.span.clone();
                    let node = Node { value: Value::Sequence(vec![item]), span, tag: None };
                    notes.replaced.push(Replaced { keys, key_span, node });
                }
            }
            None => match key {
                "build" => entries(node, |key, node| {
                    if matches!(key, "args" | "additional_contexts" | "tags" | "labels") {
                        unique(node, self::name);
                    }
                }),
                "deploy" => entries(node, |key, node| {
                    if key == "labels" {
                        unique(node, self::name);
                    }
                }),
                "networks" => entries(node, |_, network| {
                    entries(network, |key, node| {
                        if matches!(key, "aliases" | "link_local_ips") {
                            unique(node, self::name);
                        }
                    });
                }),
                _ => {}
            },
        });
    });
    each(root, "networks", |_, network| {
        entries(network, |key, node| {
            if key == "labels" {
                unique(node, name);
            }
        });
    });
}

fn service_identity(key: &str) -> Option<Identity> {
    Some(match key {
        "annotations" | "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search"
        | "environment" | "labels" | "links" | "profiles" | "sysctls" | "tmpfs" => name,
        "env_file" => path,
        "expose" => text,
        "volumes" | "devices" => target,
        "secrets" => |item| mounted(item, "/run/secrets"),
        "configs" => |item| mounted(item, ""),
        "ports" => port,
        _ => return None,
    })
}

/// What stands before the first `=`.
fn name(item: &Node) -> Option<Cow<'_, str>> {
    let text = item.as_str()?;
    Some(text.split_once('=').map_or(text, |(name, _)| name).into())
}

fn text(item: &Node) -> Option<Cow<'_, str>> {
    item.value.scalar_text()
}

fn path(item: &Node) -> Option<Cow<'_, str>> {
    item.as_str().or_else(|| item.get("path")?.as_str()).map(Cow::from)
}

fn target(item: &Node) -> Option<Cow<'_, str>> {
    item.get("target")?.as_str().map(Cow::from)
}

fn mounted<'a>(item: &'a Node, directory: &str) -> Option<Cow<'a, str>> {
    if let Some(target) = target(item) {
        return Some(target);
    }
    let source = item.as_str().or_else(|| item.get("source")?.as_str())?;
    Some(format!("{directory}/{source}").into())
}

/// Address, published port, target and protocol of a long form; a short one is its own text.
fn port(item: &Node) -> Option<Cow<'_, str>> {
    if item.as_mapping().is_none() {
        return text(item);
    }
    let part = |key: &str| item.get(key).and_then(text);
    // To docker compose a number is another port than the same digits in quotes.
    let is_number = matches!(item.get("published"), Some(Node { value: Value::Int(_), .. }));
    let number = if is_number { "#" } else { "" };
    let published = part("published").map(|port| format!("{number}{port}"));
    let identity = format!(
        "{}:{}:{}/{}",
        part("host_ip").unwrap_or("0.0.0.0".into()),
        published.unwrap_or_default(),
        part("target")?,
        part("protocol").unwrap_or("tcp".into())
    );
    Some(identity.into())
}

fn each(root: &mut Node, section: &str, visit: impl FnMut(&str, &mut Node)) {
    if let Some(section) = root.get_mut(section) {
        entries(section, visit);
    }
}

fn entries(node: &mut Node, mut visit: impl FnMut(&str, &mut Node)) {
    if let Value::Mapping(entries) = &mut node.value {
        for (key, node) in entries {
            visit(&key.name, node);
        }
    }
}

/// Removes earlier items, and hands back the mappings among them that another file removes.
fn unique(list: &mut Node, identity: Identity) -> Vec<Node> {
    let mut removed = Vec::new();
    let Value::Sequence(items) = &mut list.value else { return removed };
    let Some(places) = places(items, identity) else { return removed };
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    for (place, item) in places.into_iter().zip(items.drain(..)) {
        if place < kept.len() {
            let file = item.span.source.file.clone();
            let old = std::mem::replace(&mut kept[place], item);
            if old.as_mapping().is_some() && old.span.source.file != file {
                removed.push(old);
            }
        } else {
            kept.push(item);
        }
    }
    *items = kept;
    removed
}

/// Which place each item gets: a new one, or that of an earlier item that is equal. `None` where a short
/// list has no equal ones, as most.
fn places(items: &[Node], identity: Identity) -> Option<Vec<usize>> {
    // The decoder says what is wrong with an item that has no identity.
    let identities: Vec<Option<Cow<'_, str>>> = items.iter().map(identity).collect();
    let is_new = |index: usize| {
        identities[index].is_none() || !identities[..index].contains(&identities[index])
    };
    if items.len() <= FEW && (0..items.len()).all(is_new) {
        return None;
    }
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let mut places = Vec::with_capacity(items.len());
    let mut next = 0;
    for identity in &identities {
        let place = identity.as_deref().map_or(next, |it| *taken.entry(it).or_insert(next));
        next += usize::from(place == next);
        places.push(place);
    }
    Some(places)
}
