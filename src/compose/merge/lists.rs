//! Short and long forms brought to one shape, so that two documents can be merged.

use std::collections::HashSet;
use std::fmt;

use crate::compose::yaml::{Key, Node, Value};
use crate::problem::Problem;

/// A list: a mapping gives `KEY=VALUE` in order of that text, a single value is a list of one.
pub(super) fn items(node: Node, path: &dyn fmt::Display, problems: &mut Vec<Problem>) -> Vec<Node> {
    match node.value {
        Value::Null => Vec::new(),
        Value::Sequence(items) => items,
        Value::Mapping(entries) => {
            let mut items = Vec::with_capacity(entries.len());
            for (key, node) in entries {
                pairs((path, &key), node, &mut items, problems);
            }
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            items
        }
        _ => vec![node],
    }
}

fn pairs(
    (path, key): (&dyn fmt::Display, &Key),
    node: Node,
    items: &mut Vec<Node>,
    problems: &mut Vec<Problem>,
) {
    let text = match &node.value {
        Value::Null => key.name.clone(),
        Value::Sequence(_) => {
            let Value::Sequence(values) = node.value else { return };
            for value in values {
                pairs((path, key), value, items, problems);
            }
            return;
        }
        Value::Timestamp(_) | Value::Mapping(_) => {
            problems.push(node.problem(format!(
                "`{path}.{}` is {}: expected a string, a number or a boolean",
                key.name,
                node.value.kind()
            )));
            return;
        }
        value => format!("{}={}", key.name, value.scalar_text().unwrap_or_default()),
    };
    items.push(Node { value: Value::String(text), span: key.span.clone(), tag: None });
}

/// A list of names as a mapping; anything else as it is, for the decoder to judge.
pub(super) fn names(node: Node, value: fn(&Node) -> Value) -> Node {
    let Some(items) = node.as_sequence() else { return node };
    let mut seen = HashSet::new();
    // One that is listed twice would be gone before anyone could say so.
    if !items.iter().all(|item| item.as_str().is_some_and(|name| seen.insert(name))) {
        return node;
    }
    let entries = items.iter().map(|item| {
        let key = Key::implied(item.as_str().unwrap_or_default(), &item.span);
        (key, item.with_value(value(item)))
    });
    node.with_value(Value::Mapping(entries.collect()))
}

/// The short form of `gpus`: a request for all.
pub(super) fn gpus(node: Node) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let span = node.span.clone();
    let count = vec![(Key::implied("count", &span), node)];
    let request = Node { value: Value::Mapping(count), span: span.clone(), tag: None };
    Node { value: Value::Sequence(vec![request]), span, tag: None }
}

/// A build whose short form is its context.
pub(super) fn build(node: Node) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let key = Key::implied("context", &node.span);
    let mapping = node.with_value(Value::Null);
    Node { value: Value::Mapping(vec![(key, node)]), ..mapping }
}
