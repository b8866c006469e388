//! Typed access to the keys of a mapping; what is wrong is noted, and reading goes on.

use std::time::Duration;

use crate::compose::scalar;
use crate::compose::yaml::{Key, Node, Value};
use crate::job::duration;
use crate::problem::{self, Problem};

/// A mapping whose keys are all known.
pub(super) struct Fields<'a> {
    entries: &'a [(Key, Node)],
}

/// Which keys a mapping may have.
pub(super) struct Keys {
    /// What the mapping describes, e.g. `a job`.
    pub(super) of: &'static str,
    /// Keys that are read.
    pub(super) known: &'static [&'static str],
    /// Keys that have a meaning we do not implement yet.
    pub(super) later: &'static [&'static str],
}

/// Opens a mapping, and notes keys it should not have.
pub(super) fn open<'a>(
    node: &'a Node,
    keys: &Keys,
    problems: &mut Vec<Problem>,
) -> Option<Fields<'a>> {
    let Some(entries) = node.as_mapping() else {
        let kind = node.value.kind();
        problems.push(node.problem(format!("{} must be a mapping, not {kind}", keys.of)));
        return None;
    };
    for (key, _) in entries {
        let name = key.name.as_str();
        if keys.known.contains(&name) {
            continue;
        }
        if keys.later.contains(&name) {
            problems.push(key.span.problem(format!("`{name}` is not supported yet")));
            continue;
        }
        let all = keys.known.iter().chain(keys.later).copied();
        let hint = match problem::nearest(name, all) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{} has the keys `{}`", keys.of, keys.known.join("`, `")),
        };
        let unknown = key.span.problem(format!("unknown key `{name}`"));
        problems.push(unknown.with_hint(hint));
    }
    Some(Fields { entries })
}

impl<'a> Fields<'a> {
    /// The value of a key; null counts as absent.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        (!node.is_null()).then_some(node)
    }

    /// A scalar and its place; empty counts as absent.
    pub(super) fn text(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<(String, &'a Node)> {
        let node = self.node(name)?;
        let text = scalar_of(name, node, problems)?;
        (!text.trim().is_empty()).then_some((text, node))
    }

    /// A scalar, without its place.
    pub(super) fn plain(&self, name: &str, problems: &mut Vec<Problem>) -> Option<String> {
        Some(self.text(name, problems)?.0)
    }

    /// A scalar as a list of one, or a list of scalars; empty items are left out.
    pub(super) fn strings(&self, name: &str, problems: &mut Vec<Problem>) -> Vec<String> {
        let Some(node) = self.node(name) else { return Vec::new() };
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        let texts = items.iter().filter_map(|item| scalar_of(name, item, problems));
        texts.filter(|text| !text.trim().is_empty()).collect()
    }

    /// A text split as a shell splits it, or a list of arguments.
    pub(super) fn arguments(&self, name: &str, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
        let node = self.node(name)?;
        if let Some(items) = node.as_sequence() {
            let arguments = items.iter().filter_map(|item| scalar_of(name, item, problems));
            return Some(arguments.collect());
        }
        let (text, node) = self.text(name, problems)?;
        let Ok(arguments) = shell_words::split(&text) else {
            let unbalanced = node.problem(format!("the quotes in `{name}` do not close"));
            problems.push(unbalanced.with_hint("close the quote, or write a list of arguments"));
            return None;
        };
        Some(arguments)
    }

    /// A duration above zero.
    pub(super) fn duration(&self, name: &str, problems: &mut Vec<Problem>) -> Option<Duration> {
        let (text, node) = self.text(name, problems)?;
        match duration::parse(&text) {
            Ok(duration) if duration.is_zero() => {
                problems.push(node.problem(format!("`{name}` must be longer than zero")));
                None
            }
            Ok(duration) => Some(duration),
            Err(reason) => {
                problems.push(node.problem(format!("`{name}`: {reason}")));
                None
            }
        }
    }

    /// `true` or `false`, as a value or, from a variable, as text.
    pub(super) fn boolean(&self, name: &str, problems: &mut Vec<Problem>) -> Option<bool> {
        let (text, node) = self.text(name, problems)?;
        let value = scalar::boolean(&text);
        if value.is_none() {
            problems
                .push(node.problem(format!("`{name}` must be `true` or `false`, not `{text}`")));
        }
        value
    }
}

/// The text of a scalar; anything else is noted.
pub(super) fn scalar_of(name: &str, node: &Node, problems: &mut Vec<Problem>) -> Option<String> {
    if let Some(text) = node.value.scalar_text() {
        return Some(text.into_owned());
    }
    let kind = node.value.kind();
    let allowed = if matches!(node.value, Value::Null) { "a value" } else { "a string" };
    problems.push(node.problem(format!("`{name}` must hold {allowed}, not {kind}")));
    None
}
