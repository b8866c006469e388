//! Typed access to the keys of a mapping; what is wrong is noted, and reading goes on.

use std::time::Duration;

use indexmap::IndexMap;

use super::table::Table;
use crate::compose::load::alone::SERVICE_KEYS;
use crate::compose::model::Hidden;
use crate::compose::yaml::{Key, Node, Value};
use crate::compose::{scalar, units};
use crate::job::duration;
use crate::problem::{self, Problem};

/// A mapping whose keys are all known.
pub(super) struct Fields<'a> {
    entries: &'a [(Key, Node)],
    /// What the mapping describes.
    of: &'static str,
}

/// Opens a mapping, and notes keys it should not have.
pub(super) fn open<'a>(
    node: &'a Node,
    table: &Table,
    problems: &mut Vec<Problem>,
) -> Option<Fields<'a>> {
    let Some(entries) = node.as_mapping() else {
        let kind = node.value.kind();
        problems.push(node.problem(format!("{} must be a mapping, not {kind}", table.of)));
        return None;
    };
    let known = |name: &str| {
        let of_service =
            table.is_service && (SERVICE_KEYS.contains(&name) || name.starts_with("x-"));
        of_service || table.names().any(|known| known == name)
    };
    for (key, _) in entries.iter().filter(|(key, _)| !known(&key.name)) {
        let name = key.name.as_str();
        if table.later.contains(&name) {
            problems.push(key.span.problem(format!("`{name}` is not supported yet")));
            continue;
        }
        let service: &[&str] = if table.is_service { SERVICE_KEYS } else { &[] };
        let all = table.names().chain(table.later.iter().copied()).chain(service.iter().copied());
        let hint = if let Some(near) = problem::nearest(name, all) {
            format!("did you mean `{near}`?")
        } else {
            let names: Vec<&str> = table.names().collect();
            let also = if table.is_service { ", and those of a Compose service" } else { "" };
            format!("{} has the keys `{}`{also}", table.of, names.join("`, `"))
        };
        let unknown = key.span.problem(format!("unknown key `{name}`"));
        problems.push(unknown.with_hint(hint));
    }
    Some(Fields { entries, of: table.of })
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
        arguments_of(name, self.node(name)?, problems)
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

    /// A text that must be there; `node` is what lacks it.
    pub(super) fn required(
        &self,
        name: &str,
        node: &Node,
        example: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<String> {
        let text = self.plain(name, problems);
        if text.is_none() && !problems.iter().any(|it| self.is_at(name, it)) {
            self.lacks(name, node, example, problems);
        }
        text
    }

    fn is_at(&self, name: &str, problem: &Problem) -> bool {
        self.node(name).is_some_and(|node| problem.line == Some(node.span.line()))
    }

    /// Notes that a key is missing.
    pub(super) fn lacks(
        &self,
        name: &str,
        node: &Node,
        example: &str,
        problems: &mut Vec<Problem>,
    ) {
        let article = if name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        let place = self.node(name).unwrap_or(node);
        let missing = place.problem(format!("{} needs {article} `{name}`", self.of));
        problems.push(missing.with_hint(format!("write e.g. `{name}: {example}`")));
    }

    /// A duration, zero too.
    pub(super) fn duration_or_zero(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Duration> {
        let (text, node) = self.text(name, problems)?;
        duration::parse(&text)
            .map_err(|reason| problems.push(node.problem(format!("`{name}`: {reason}"))))
            .ok()
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(
        &self,
        name: &str,
        bounds: (i64, i64),
        problems: &mut Vec<Problem>,
    ) -> Option<i64> {
        let node = self.node(name)?;
        integer_of(name, node, bounds, problems)
    }

    /// A whole number within bounds, which fit `T`; a variable that is not set says nothing.
    pub(super) fn count<T: TryFrom<i64>>(
        &self,
        name: &str,
        bounds: (i64, i64),
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        self.text(name, &mut Vec::new())?;
        T::try_from(self.integer(name, bounds, problems)?).ok()
    }

    /// A size in bytes.
    pub(super) fn size(&self, name: &str, problems: &mut Vec<Problem>) -> Option<u64> {
        let (text, node) = self.text(name, problems)?;
        let bytes = units::bytes(&text).ok().and_then(|bytes| u64::try_from(bytes).ok());
        if bytes.is_none_or(|bytes| bytes == 0) {
            let wrong = node.problem(format!("`{name}`: `{text}` is no size"));
            problems.push(wrong.with_hint("write a number of bytes or e.g. `512k`, `10m`, `2g`"));
        }
        bytes.filter(|bytes| *bytes > 0)
    }

    /// One of these words.
    pub(super) fn word(
        &self,
        name: &str,
        words: &[&'static str],
        problems: &mut Vec<Problem>,
    ) -> Option<&'static str> {
        let (text, node) = self.text(name, problems)?;
        let found = words.iter().copied().find(|word| *word == text.trim());
        if found.is_none() {
            let listed = words.join("`, `");
            let wrong = node.problem(format!("`{name}` is `{text}`: expected one of `{listed}`"));
            problems.push(match problem::nearest(&text, words.iter().copied()) {
                Some(near) => wrong.with_hint(format!("did you mean `{near}`?")),
                None => wrong,
            });
        }
        found
    }

    /// A mapping of texts.
    pub(super) fn mapping(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> IndexMap<String, String> {
        let Some(node) = self.node(name) else { return IndexMap::new() };
        let Some(entries) = node.as_mapping() else {
            let kind = node.value.kind();
            problems.push(node.problem(format!("`{name}` must be a mapping, not {kind}")));
            return IndexMap::new();
        };
        let texts = entries.iter().filter_map(|(key, value)| {
            let text = if value.is_null() {
                Some(String::new())
            } else {
                scalar_of(&key.name, value, problems)
            };
            Some((key.name.clone(), text?))
        });
        texts.collect()
    }

    /// A mapping of texts that no one shows.
    pub(super) fn hidden_mapping(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> IndexMap<String, Hidden> {
        let texts = self.mapping(name, problems).into_iter();
        texts.map(|(name, text)| (name, Hidden::new(text))).collect()
    }

    /// The items of a list, or the one that stands in its place.
    pub(super) fn items(&self, name: &str) -> &'a [Node] {
        self.node(name).map(items_of).unwrap_or_default()
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

/// The items of a list, or the one that stands in its place.
pub(super) fn items_of(node: &Node) -> &[Node] {
    node.as_sequence().unwrap_or(std::slice::from_ref(node))
}

/// A whole number within bounds, both included.
pub(super) fn integer_of(
    name: &str,
    node: &Node,
    (least, most): (i64, i64),
    problems: &mut Vec<Problem>,
) -> Option<i64> {
    let text = scalar_of(name, node, problems)?;
    let number = text.trim().parse::<i64>().ok().filter(|it| (least..=most).contains(it));
    if number.is_none() {
        let message = format!("`{name}` is `{text}`: expected a whole number, {least} to {most}");
        problems.push(node.problem(message));
    }
    number
}

/// A text split as a shell splits it, or a list of arguments.
pub(super) fn arguments_of(
    name: &str,
    node: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    if let Some(items) = node.as_sequence() {
        let arguments = items.iter().filter_map(|item| scalar_of(name, item, problems));
        return Some(arguments.collect());
    }
    let text = scalar_of(name, node, problems).filter(|text| !text.trim().is_empty())?;
    let Ok(arguments) = shell_words::split(&text) else {
        let unbalanced = node.problem(format!("the quotes in `{name}` do not close"));
        problems.push(unbalanced.with_hint("close the quote, or write a list of arguments"));
        return None;
    };
    Some(arguments)
}
