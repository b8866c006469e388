//! From the merged tree to the typed model: every key, its forms, and what was expected instead.
//!
//! Nothing stops at the first problem: a reader that cannot read returns a default and leaves a
//! [`Problem`] behind.

pub mod resources;
mod running;
pub mod service;
mod surroundings;

mod mounts;

use std::collections::BTreeMap;
use std::fmt;

use super::scalar;
use super::units;
use super::yaml::{Key, Node, Value};
use crate::problem::{self, Problem};

/// A node and the way to it.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The node.
    pub node: &'a Node,
    step: Step<'a>,
    parent: Option<&'a Self>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a Key),
    Index(usize),
}

impl<'a> At<'a> {
    /// The root of a document.
    pub fn root(node: &'a Node) -> Self {
        Self { node, step: Step::Root, parent: None }
    }

    /// The value at a key of this mapping.
    #[must_use]
    pub fn key(&'a self, key: &'a Key, node: &'a Node) -> Self {
        Self { node, step: Step::Key(key), parent: Some(self) }
    }

    /// An item of this list.
    #[must_use]
    pub fn item(&'a self, index: usize, node: &'a Node) -> Self {
        Self { node, step: Step::Index(index), parent: Some(self) }
    }

    /// A problem here: the path in backticks, then `message`.
    pub fn problem(&self, message: impl fmt::Display) -> Problem {
        // An empty value has no place of its own; its key has.
        let span = match self.step {
            Step::Key(key) if self.node.is_null() => &key.span,
            Step::Root | Step::Key(_) | Step::Index(_) => &self.node.span,
        };
        span.problem(format!("`{self}` {message}"))
    }
}

/// The path: `services.web.ports[0]`.
impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.parent.filter(|parent| !matches!(parent.step, Step::Root));
        if let Some(parent) = inner {
            write!(formatter, "{parent}")?;
        }
        match self.step {
            Step::Root => formatter.write_str("file"),
            Step::Key(key) if inner.is_some() => write!(formatter, ".{}", key.name),
            Step::Key(key) => formatter.write_str(&key.name),
            Step::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// Collects problems while it reads scalars and collections.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What was wrong so far.
    pub problems: Vec<Problem>,
    /// What a person should know though it stops nothing.
    pub warnings: Vec<String>,
}

impl Decoder {
    /// Notes a problem at a node.
    pub fn refuse(&mut self, at: At<'_>, message: impl fmt::Display) {
        self.problems.push(at.problem(message));
    }

    fn wrong(&mut self, at: At<'_>, expected: &str) {
        let kind = at.node.value.kind();
        let mut problem = at.problem(format!("is {kind}: expected {expected}"));
        let scalar = at.node.value.scalar_text().is_some();
        if scalar && expected.starts_with("a string") {
            problem = problem.with_hint("put the value in quotes");
        }
        self.problems.push(problem);
    }

    /// Notes a key that this mapping does not have.
    pub fn unknown(&mut self, at: At<'_>, key: &Key, known: &[&str], later: &[&str]) {
        if key.name.starts_with("x-") {
            return;
        }
        let place = match at.step {
            Step::Root => key.name.clone(),
            Step::Key(_) | Step::Index(_) => format!("{at}.{}", key.name),
        };
        if later.contains(&key.name.as_str()) {
            self.problems.push(key.span.problem(format!("`{place}` is not supported yet")));
            return;
        }
        let problem = key.span.problem(format!("unknown key `{place}`"));
        let names = known.iter().chain(later).copied();
        self.problems.push(match problem::nearest(&key.name, names) {
            Some(name) => problem.with_hint(format!("did you mean `{name}`?")),
            None => problem.with_hint("remove it, or start its name with `x-`"),
        });
    }

    /// The entries of a mapping; none where it is something else.
    pub fn mapping<'a>(&mut self, at: At<'a>) -> &'a [(Key, Node)] {
        if let Value::Mapping(entries) = &at.node.value {
            return entries;
        }
        self.wrong(at, "a mapping");
        &[]
    }

    /// The items of a list; none where it is something else.
    pub fn sequence<'a>(&mut self, at: At<'a>) -> &'a [Node] {
        if let Value::Sequence(items) = &at.node.value {
            return items;
        }
        self.wrong(at, "a list");
        &[]
    }

    /// A string.
    pub fn string(&mut self, at: At<'_>) -> Option<String> {
        let text = at.node.as_str();
        if text.is_none() {
            self.wrong(at, "a string");
        }
        text.map(str::to_owned)
    }

    /// A string that is not empty; an empty one is as if unset.
    pub fn text(&mut self, at: At<'_>) -> Option<String> {
        self.string(at).filter(|text| !text.is_empty())
    }

    /// One of these words.
    pub fn word(&mut self, at: At<'_>, words: &[&str]) -> Option<String> {
        let text = self.string(at)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let expected = words.join("`, `");
        let problem = at.problem(format!("is `{text}`: expected one of `{expected}`"));
        let near = problem::nearest(&text, words.iter().copied());
        self.problems.push(match near {
            Some(word) => problem.with_hint(format!("did you mean `{word}`?")),
            None => problem,
        });
        None
    }

    /// A string or a number, as text.
    pub fn string_or_number(&mut self, at: At<'_>) -> Option<String> {
        match &at.node.value {
            Value::String(_) | Value::Int(_) | Value::Float(_) => {
                at.node.value.scalar_text().map(std::borrow::Cow::into_owned)
            }
            _ => {
                self.wrong(at, "a string or a number");
                None
            }
        }
    }

    /// A boolean, or a string that reads as one.
    pub fn boolean(&mut self, at: At<'_>) -> Option<bool> {
        match &at.node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => {
                let value = scalar::boolean(text);
                if value.is_none() {
                    self.refuse(at, format!("is `{text}`: expected `true` or `false`"));
                }
                value
            }
            _ => {
                self.wrong(at, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number, or a string that reads as one.
    pub fn integer(&mut self, at: At<'_>) -> Option<i64> {
        let value = match &at.node.value {
            Value::Int(value) => i64::try_from(*value).ok(),
            Value::String(text) => {
                scalar::integer(text).and_then(|value| i64::try_from(value).ok())
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number")]
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(*value as i64)
            }
            _ => None,
        };
        if value.is_none() {
            match at.node.value.scalar_text() {
                Some(text) => self.refuse(at, format!("is `{text}`: expected a whole number")),
                None => self.wrong(at, "a whole number"),
            }
        }
        value
    }

    /// A whole number within bounds.
    pub fn integer_within<T: TryFrom<i64>>(&mut self, at: At<'_>, expected: &str) -> Option<T> {
        let value = self.integer(at)?;
        let converted = T::try_from(value).ok();
        if converted.is_none() {
            self.refuse(at, format!("is {value}: expected {expected}"));
        }
        converted
    }

    /// A number of CPUs.
    pub fn cpus(&mut self, at: At<'_>) -> Option<f32> {
        let value: Option<f32> = match &at.node.value {
            Value::Int(_) | Value::Float(_) | Value::String(_) => {
                at.node.value.scalar_text().and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        let value = value.filter(|value| value.is_finite() && *value >= 0.0);
        if value.is_none() {
            self.wrong(at, "a number of CPUs, e.g. `0.5`");
        }
        value.filter(|value| *value != 0.0)
    }

    /// A size in bytes: a whole number or a string with a unit.
    pub fn bytes(&mut self, at: At<'_>) -> Option<i64> {
        match &at.node.value {
            Value::Int(value) => {
                let value = i64::try_from(*value).ok();
                if value.is_none() {
                    self.refuse(at, "is too large");
                }
                value
            }
            Value::String(text) => match units::bytes(text) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.refuse(at, format!("has an {message}"));
                    None
                }
            },
            _ => {
                self.wrong(at, "a size, e.g. `512m` or a whole number of bytes");
                None
            }
        }
    }

    /// A duration.
    pub fn duration(&mut self, at: At<'_>) -> Option<std::time::Duration> {
        let text = match &at.node.value {
            Value::String(text) => text.as_str(),
            Value::Int(_) => {
                self.wrong(at, "a duration with a unit, e.g. `10s`");
                return None;
            }
            _ => {
                self.wrong(at, "a duration, e.g. `1m30s`");
                return None;
            }
        };
        match units::duration(text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.refuse(at, format!("has a wrong value: {message}"));
                None
            }
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, at: At<'_>) -> Vec<String> {
        let items = self.sequence(at);
        let mut strings = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            strings.extend(self.string(at.item(index, item)));
        }
        strings
    }

    /// A list of strings, each once, in order of first appearance.
    pub fn unique_strings(&mut self, at: At<'_>) -> Vec<String> {
        let mut strings = self.strings(at);
        deduplicate(&mut strings);
        strings
    }

    /// A list of strings that may not repeat, as in compose's schema.
    pub fn distinct(&mut self, at: At<'_>, mut strings: Vec<String>) -> Vec<String> {
        let mut sorted: Vec<&String> = strings.iter().collect();
        sorted.sort();
        let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
        if let Some((twice, _)) = pairs.find(|(one, other)| one == other) {
            self.refuse(at, format!("lists `{twice}` twice"));
        }
        deduplicate(&mut strings);
        strings
    }

    /// One string or a list of strings.
    pub fn string_or_strings(&mut self, at: At<'_>) -> Vec<String> {
        match &at.node.value {
            Value::String(text) => vec![text.clone()],
            Value::Sequence(_) => self.unique_strings(at),
            _ => {
                self.wrong(at, "a string or a list of strings");
                Vec::new()
            }
        }
    }

    /// A mapping, or a list of `KEY=VALUE`; `None` where a key has no value.
    pub fn key_values(&mut self, at: At<'_>) -> BTreeMap<String, Option<String>> {
        let mut values = BTreeMap::new();
        match &at.node.value {
            Value::Mapping(entries) => {
                for (key, node) in entries {
                    values.insert(key.name.clone(), self.scalar(at.key(key, node)));
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(text) = self.string(at.item(index, item)) else { continue };
                    match text.split_once('=') {
                        Some((key, value)) => values.insert(key.to_owned(), Some(value.to_owned())),
                        None => values.insert(text, None),
                    };
                }
            }
            _ => self.wrong(at, "a mapping or a list of `KEY=VALUE`"),
        }
        values
    }

    /// As [`Self::key_values`], no value being an empty one.
    pub fn labels(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let values = self.key_values(at);
        values.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// A mapping of scalars.
    pub fn options(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        let entries = self.mapping(at);
        let mut options = BTreeMap::new();
        for (key, node) in entries {
            options.insert(key.name.clone(), self.scalar(at.key(key, node)).unwrap_or_default());
        }
        options
    }

    /// Any scalar as Go prints it; `None` for null.
    fn scalar(&mut self, at: At<'_>) -> Option<String> {
        match &at.node.value {
            Value::Null => None,
            Value::Timestamp(_) | Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong(at, "a string, a number or a boolean");
                None
            }
            value => value.scalar_text().map(std::borrow::Cow::into_owned),
        }
    }

    /// A command: a list, or one string split as a shell splits words; `None` for null.
    pub fn command(&mut self, at: At<'_>) -> Option<Vec<String>> {
        match &at.node.value {
            Value::Null => None,
            Value::Sequence(_) => Some(self.strings(at)),
            Value::String(text) => {
                let words = shell_words::split(text).ok();
                if words.is_none() {
                    self.refuse(at, "has a quote that is never closed");
                }
                words
            }
            _ => {
                self.wrong(at, "a string or a list of strings");
                None
            }
        }
    }
}

fn deduplicate(strings: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    strings.retain(|text| seen.insert(text.clone()));
}
