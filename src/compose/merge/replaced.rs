//! Values that a later document replaces or removes.

use crate::compose::yaml::{Key, Node, Span, Value};

/// A value that is in no result, and the way to it.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// Names of keys, from the outside in.
    pub(super) keys: Vec<String>,
    /// Where the last of the keys stands.
    pub(super) key_span: Span,
    /// The value.
    pub(super) node: Node,
}

impl Replaced {
    /// A document with this value and nothing else.
    pub fn into_document(self) -> Node {
        let Self { keys, key_span, node } = self;
        keys.into_iter().rev().fold(node, |node, name| Node {
            value: Value::Mapping(vec![(Key::implied(name, &key_span), node)]),
            span: key_span.clone(),
            tag: None,
        })
    }
}
