//! `!reset` and `!override`: what a document removes from those before it.

use super::{Notes, Replaced};
use crate::compose::yaml::{Key, Node, OVERRIDE, RESET, Value};

/// Places that a document removes from what was read before it, each a path of keys.
#[derive(Clone, Debug, Default)]
pub struct Resets(Vec<Vec<String>>);

/// Takes the tags out of a document: what is reset leaves it, what overrides stays.
pub fn take_resets(document: &mut Node) -> Resets {
    let mut resets = Resets::default();
    // Most documents have no tags; those cost one walk and nothing else.
    if is_tagged(document) {
        collect(document, &mut Vec::new(), &mut resets.0);
    }
    resets
}

impl Resets {
    /// Removes those places from a document.
    pub fn apply(&self, document: &mut Node, notes: &mut Notes) {
        for path in &self.0 {
            if let Some((key, node)) = remove(document, path) {
                let keys = path.clone();
                notes.replaced.push(Replaced { keys, key_span: key.span, node });
            }
        }
    }

    /// Removes from a resource what the document says of that resource.
    pub fn apply_to(&self, section: &str, name: &str, resource: &mut Node) {
        for path in &self.0 {
            if let [first, second, inner @ ..] = path.as_slice()
                && (first.as_str(), second.as_str()) == (section, name)
            {
                remove(resource, inner);
            }
        }
    }

    /// Adds those of another document.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

fn remove(node: &mut Node, path: &[String]) -> Option<(Key, Node)> {
    match path {
        [] => None,
        [last] => node.remove_entry(last),
        [first, rest @ ..] => remove(node.get_mut(first)?, rest),
    }
}

fn is_tagged(node: &Node) -> bool {
    let inside = match &node.value {
        Value::Sequence(items) => items.iter().any(is_tagged),
        Value::Mapping(entries) => entries.iter().any(|(_, node)| is_tagged(node)),
        _ => false,
    };
    node.tag.is_some() || inside
}

fn is_reset(node: &Node) -> bool {
    node.tag.as_deref() == Some(RESET)
}

fn collect(node: &mut Node, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if matches!(node.tag.take().as_deref(), Some(RESET | OVERRIDE)) {
        found.push(path.clone());
    }
    match &mut node.value {
        // Single items cannot be removed from what was before, only from this list.
        Value::Sequence(items) => {
            items.retain(|item| !is_reset(item));
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                collect(item, path, found);
                path.pop();
            }
        }
        Value::Mapping(entries) => {
            entries.retain_mut(|(key, node)| {
                path.push(key.name.clone());
                let stays = !is_reset(node);
                if stays {
                    collect(node, path, found);
                } else {
                    found.push(path.clone());
                }
                path.pop();
                stays
            });
        }
        _ => {}
    }
}
