//! Short and long forms brought to one shape, so that two documents can be merged.

use crate::compose::yaml::{Key, Node, Value};
use crate::problem::Problem;

/// A list: a mapping gives `KEY=VALUE` in order of that text, a single value is a list of one.
pub(super) fn items(node: Node, problems: &mut Vec<Problem>) -> Vec<Node> {
    match node.value {
        Value::Null => Vec::new(),
        Value::Sequence(items) => items,
        Value::Mapping(entries) => {
            let mut items = Vec::with_capacity(entries.len());
            for (key, node) in entries {
                pairs(&key, node, &mut items, problems);
            }
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            items
        }
        _ => vec![node],
    }
}

fn pairs(key: &Key, node: Node, items: &mut Vec<Node>, problems: &mut Vec<Problem>) {
    let text = match &node.value {
        Value::Null => key.name.clone(),
        Value::Sequence(_) => {
            let Value::Sequence(values) = node.value else { return };
            for value in values {
                pairs(key, value, items, problems);
            }
            return;
        }
        Value::Timestamp(_) | Value::Mapping(_) => {
            problems.push(node.problem(format!(
                "`{}` is {}: expected a string, a number or a boolean",
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
    if items.iter().any(|item| item.as_str().is_none()) {
        return node;
    }
    let mut mapping = node.with_value(Value::Mapping(Vec::new()));
    for item in items {
        let key = Key::implied(item.as_str().unwrap_or_default(), &item.span);
        mapping.insert(key, item.with_value(value(item)));
    }
    mapping
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
