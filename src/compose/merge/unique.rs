//! What stands twice in a merged list: the later one wins, in the place of the earlier.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::compose::yaml::{Node, Value};

/// What of an item tells it from others.
type Identity = fn(&Node) -> Option<String>;

/// Removes the earlier of equal items from every list whose items are unique.
pub fn deduplicate(root: &mut Node) {
    each(root, "services", |service| {
        entries(service, |key, node| match service_identity(key) {
            Some(identity) => unique(node, identity),
            None => match key {
                "build" => entries(node, |key, node| {
                    if matches!(key, "args" | "additional_contexts" | "tags" | "labels") {
                        unique(node, name);
                    }
                }),
                "deploy" => entries(node, |key, node| {
                    if key == "labels" {
                        unique(node, name);
                    }
                }),
                "networks" => entries(node, |_, network| {
                    entries(network, |key, node| {
                        if matches!(key, "aliases" | "link_local_ips") {
                            unique(node, name);
                        }
                    });
                }),
                _ => {}
            },
        });
    });
    each(root, "networks", |network| {
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
fn name(item: &Node) -> Option<String> {
    let text = item.as_str()?;
    Some(text.split_once('=').map_or(text, |(name, _)| name).to_owned())
}

fn text(item: &Node) -> Option<String> {
    item.value.scalar_text().map(std::borrow::Cow::into_owned)
}

fn path(item: &Node) -> Option<String> {
    item.as_str().or_else(|| item.get("path")?.as_str()).map(str::to_owned)
}

fn target(item: &Node) -> Option<String> {
    item.get("target")?.as_str().map(str::to_owned)
}

fn mounted(item: &Node, directory: &str) -> Option<String> {
    if let Some(target) = target(item) {
        return Some(target);
    }
    let source = item.as_str().or_else(|| item.get("source")?.as_str())?;
    Some(format!("{directory}/{source}"))
}

/// Address, published port, target and protocol of a long form; a short one is its own text.
fn port(item: &Node) -> Option<String> {
    if item.as_mapping().is_none() {
        return text(item);
    }
    let part = |key: &str| item.get(key).and_then(text);
    // To docker compose a number is another port than the same digits in quotes.
    let is_number = matches!(item.get("published"), Some(Node { value: Value::Int(_), .. }));
    let published = part("published").map(|port| if is_number { format!("#{port}") } else { port });
    Some(format!(
        "{}:{}:{}/{}",
        part("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned()),
        published.unwrap_or_default(),
        part("target")?,
        part("protocol").unwrap_or_else(|| "tcp".to_owned())
    ))
}

fn each(root: &mut Node, section: &str, mut visit: impl FnMut(&mut Node)) {
    if let Some(section) = root.get_mut(section) {
        entries(section, |_, node| visit(node));
    }
}

fn entries(node: &mut Node, mut visit: impl FnMut(&str, &mut Node)) {
    if let Value::Mapping(entries) = &mut node.value {
        for (key, node) in entries {
            visit(&key.name, node);
        }
    }
}

fn unique(list: &mut Node, identity: Identity) {
    let Value::Sequence(items) = &mut list.value else { return };
    if items.len() < 2 {
        return;
    }
    let mut slots: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let Some(identity) = identity(&item) else {
            // The decoder says what is wrong with it.
            kept.push(item);
            continue;
        };
        match slots.entry(identity) {
            Entry::Occupied(slot) => kept[*slot.get()] = item,
            Entry::Vacant(slot) => {
                slot.insert(kept.len());
                kept.push(item);
            }
        }
    }
    *items = kept;
}
