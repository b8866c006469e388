//! One document over another: which keys merge, append or replace.

use std::collections::HashMap;

use super::yaml::{Key, Node, Value};
use crate::problem::Problem;

/// Lays a document over what was read before it; `None` before the first.
pub fn merge(base: Option<Node>, over: Node, problems: &mut Vec<Problem>) -> Node {
    let has_tags = tagged(&over);
    let mut merged = match base {
        Some(base) => node(base, over, &mut Vec::new(), problems),
        None => over,
    };
    if has_tags {
        drop_reset(&mut merged);
    }
    merged
}

/// How a key merges.
enum Rule {
    /// Mappings deeply, lists appended, scalars replaced.
    Generic,
    /// The later one as a whole.
    Replace,
    /// Widened to a mapping of `KEY: VALUE`; the later value wins.
    KeyValues,
    /// A list of names widened to a mapping from name to this.
    Names(fn(&Node) -> Value),
    /// One string widened to a list; appended.
    Strings,
    /// A mapping or a list of hosts widened to a list; appended.
    Hosts,
    /// Options merge only when the drivers agree.
    Logging,
    /// Pools of one subnet merge, others are appended.
    Pools,
}

fn rule(path: &[String]) -> Rule {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["services", _, "command" | "entrypoint"]
        | ["services", _, "healthcheck", "test"]
        | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "environment" | "labels" | "annotations" | "sysctls"]
        | ["services", _, "deploy" | "build", "labels" | "args"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::KeyValues,
        ["services", _, "depends_on"] => Rule::Names(started),
        ["services", _, "networks"] => Rule::Names(|_| Value::Null),
        ["services", _, "dns" | "dns_search" | "tmpfs" | "env_file" | "label_file"] => {
            Rule::Strings
        }
        ["services", _, "extra_hosts"] => Rule::Hosts,
        ["services", _, "logging"] => Rule::Logging,
        ["networks", _, "ipam", "config"] => Rule::Pools,
        _ => Rule::Generic,
    }
}

/// What a short `depends_on` means.
fn started(name: &Node) -> Value {
    let key = Key { name: "condition".to_owned(), span: name.span.clone() };
    let condition = name.with_value(Value::String("service_started".to_owned()));
    Value::Mapping(vec![(key, condition)])
}

fn node(base: Node, over: Node, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Node {
    match over.tag.as_deref() {
        Some("!reset") => return over,
        Some("!override") => return Node { tag: None, ..over },
        _ => {}
    }
    match rule(path) {
        Rule::Replace => over,
        Rule::KeyValues => entries_replaced(key_values(base), key_values(over)),
        Rule::Names(value) => generic(names(base, value), names(over, value), path, problems),
        Rule::Strings => generic(strings(base), strings(over), path, problems),
        Rule::Hosts => generic(hosts(base), hosts(over), path, problems),
        Rule::Logging => {
            let (old, new) = (base.get("driver"), over.get("driver"));
            let agree = old.is_none() || new.is_none() || old == new;
            if agree { generic(base, over, path, problems) } else { over }
        }
        Rule::Pools => pools(base, over, path, problems),
        Rule::Generic => generic(base, over, path, problems),
    }
}

fn generic(base: Node, over: Node, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Node {
    let Node { value: base_value, span: base_span, tag } = base;
    match (base_value, over.value) {
        (value, Value::Null) => Node { value, span: base_span, tag },
        (Value::Null, value) => Node { value, span: over.span, tag: None },
        (Value::Mapping(mut entries), Value::Mapping(others)) => {
            let slots = slots(&entries);
            for (key, other) in others {
                let Some(slot) = slots.get(&key.name) else {
                    entries.push((key, other));
                    continue;
                };
                let (known, slot) = &mut entries[*slot];
                if key.name.starts_with("x-") {
                    *slot = other;
                    continue;
                }
                path.push(key.name.clone());
                let old = std::mem::replace(slot, other.with_value(Value::Null));
                *slot = node(old, other, path, problems);
                *known = key;
                path.pop();
            }
            Node { value: Value::Mapping(entries), span: base_span, tag }
        }
        (Value::Sequence(mut items), Value::Sequence(others)) => {
            items.extend(others);
            Node { value: Value::Sequence(items), span: base_span, tag }
        }
        (old @ (Value::Mapping(_) | Value::Sequence(_)), new) => {
            let file = &base_span.source.file;
            problems.push(over.span.problem(format!(
                "`{}` is {} here, but {} in {file}:{}: expected the same kind",
                path.join("."),
                new.kind(),
                old.kind(),
                base_span.line
            )));
            Node { value: old, span: base_span, tag }
        }
        (_, value) => Node { value, span: over.span, tag: over.tag },
    }
}

/// Where each key stands.
fn slots(entries: &[(Key, Node)]) -> HashMap<String, usize> {
    entries.iter().enumerate().map(|(slot, (key, _))| (key.name.clone(), slot)).collect()
}

fn entries_replaced(base: Node, over: Node) -> Node {
    let Node { value, span, tag } = base;
    match (value, over.value) {
        (Value::Mapping(mut entries), Value::Mapping(others)) => {
            let slots = slots(&entries);
            for (key, other) in others {
                match slots.get(&key.name) {
                    Some(slot) => entries[*slot] = (key, other),
                    None => entries.push((key, other)),
                }
            }
            Node { value: Value::Mapping(entries), span, tag }
        }
        (value, Value::Null) => Node { value, span, tag },
        (_, value) => Node { value, span: over.span, tag: over.tag },
    }
}

/// A list of `KEY=VALUE` as a mapping; anything else as it is, for the decoder to judge.
fn key_values(node: Node) -> Node {
    let Some(items) = node.as_sequence() else { return node };
    if items.iter().any(|item| item.as_str().is_none()) {
        return node;
    }
    let entries = items.iter().filter_map(|item| {
        let text = item.as_str()?;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Value::String(value.to_owned())),
            None => (text, Value::Null),
        };
        let key = Key { name: name.to_owned(), span: item.span.clone() };
        Some((key, item.with_value(value)))
    });
    let value = Value::Mapping(entries.collect());
    node.with_value(value)
}

fn names(node: Node, value: fn(&Node) -> Value) -> Node {
    let Some(items) = node.as_sequence() else { return node };
    if items.iter().any(|item| item.as_str().is_none()) {
        return node;
    }
    let entries = items.iter().filter_map(|item| {
        let key = Key { name: item.as_str()?.to_owned(), span: item.span.clone() };
        Some((key, item.with_value(value(item))))
    });
    let value = Value::Mapping(entries.collect());
    node.with_value(value)
}

fn strings(node: Node) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let list = node.with_value(Value::Null);
    Node { value: Value::Sequence(vec![node]), ..list }
}

fn hosts(node: Node) -> Node {
    let Some(entries) = node.as_mapping() else { return node };
    let mut items = Vec::new();
    for (key, addresses) in entries {
        let list = match &addresses.value {
            Value::Sequence(list) => list.as_slice(),
            _ => std::slice::from_ref(addresses),
        };
        for address in list {
            let Some(text) = address.as_str() else { return node };
            items.push(address.with_value(Value::String(format!("{}={text}", key.name))));
        }
    }
    node.with_value(Value::Sequence(items))
}

fn pools(base: Node, over: Node, path: &mut Vec<String>, problems: &mut Vec<Problem>) -> Node {
    let Node { value, span, tag } = base;
    match (value, over.value) {
        (Value::Sequence(mut items), Value::Sequence(others)) => {
            for other in others {
                let subnet = other.get("subnet");
                let same = |item: &&mut Node| subnet.is_some() && item.get("subnet") == subnet;
                match items.iter_mut().find(same) {
                    Some(item) => {
                        let old = std::mem::replace(item, other.with_value(Value::Null));
                        *item = generic(old, other, path, problems);
                    }
                    None => items.push(other),
                }
            }
            Node { value: Value::Sequence(items), span, tag }
        }
        (value, other) => {
            let over = Node { value: other, span: over.span, tag: over.tag };
            generic(Node { value, span, tag }, over, path, problems)
        }
    }
}

fn tagged(node: &Node) -> bool {
    let inside = match &node.value {
        Value::Sequence(items) => items.iter().any(tagged),
        Value::Mapping(entries) => entries.iter().any(|(_, node)| tagged(node)),
        _ => false,
    };
    node.tag.is_some() || inside
}

fn drop_reset(node: &mut Node) {
    let reset = |node: &Node| node.tag.as_deref() == Some("!reset");
    match &mut node.value {
        Value::Sequence(items) => {
            items.retain(|item| !reset(item));
            items.iter_mut().for_each(drop_reset);
        }
        Value::Mapping(entries) => {
            entries.retain(|(_, node)| !reset(node));
            for (_, node) in entries {
                drop_reset(node);
            }
        }
        _ => {}
    }
    node.tag = None;
}
