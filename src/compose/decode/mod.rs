//! From the merged tree to the typed model: every key, its forms, and what was expected instead.
//!
//! Nothing stops at the first problem: a reader that cannot read returns a default and leaves a
//! [`Problem`] behind.

mod build;
mod collections;
mod deploy;
mod devices;
pub mod files;
mod hooks;
pub(in crate::compose) mod keys;
pub(in crate::compose) mod mounts;
pub mod resources;
mod running;
pub mod service;
mod surroundings;

use std::fmt;

use super::scalar;
use super::units;
use super::yaml::{Key, Node, Value};
use crate::problem::{self, Problem};

/// What a size looks like.
const SIZE: &str = "a size, e.g. `512m` or a whole number of bytes";

/// Problems after which none looks for the nearest key: it takes time, and nobody reads it.
const MOST_HINTS: usize = 100;

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
    /// How many ports the short forms made.
    ports: usize,
    /// Whether only kinds, words and keys are looked at, and not what a value means.
    kinds_only: bool,
}

impl Decoder {
    /// A decoder that looks only at what a schema tells: kinds, words and keys.
    pub fn of_kinds() -> Self {
        Self { kinds_only: true, ..Self::default() }
    }

    /// Notes a problem with what a node means.
    pub fn refuse(&mut self, at: At<'_>, message: impl fmt::Display) {
        if !self.kinds_only {
            self.problems.push(at.problem(message));
        }
    }

    /// Notes a problem with the form of a node, which a schema tells.
    pub fn refuse_form(&mut self, at: At<'_>, message: impl fmt::Display) {
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

    /// Notes something at a node that stops nothing.
    pub fn warn(&mut self, at: At<'_>, message: impl fmt::Display) {
        let Problem { file, line, message, .. } = at.problem(message);
        self.warnings.push(format!("{file}:{}: {message}", line.unwrap_or_default()));
    }

    /// Notes a key that this mapping does not have; `x-*` is free.
    pub fn unknown(&mut self, at: At<'_>, key: &Key, known: &[&str]) {
        if !key.name.starts_with("x-") {
            self.stray(at, key, known);
        }
    }

    /// Notes a key that this mapping does not have, even one that starts with `x-`.
    pub fn stray(&mut self, at: At<'_>, key: &Key, known: &[&str]) {
        let place = match at.step {
            Step::Root => key.name.clone(),
            Step::Key(_) | Step::Index(_) => format!("{at}.{}", key.name),
        };
        let problem = key.span.problem(format!("unknown key `{place}`"));
        if self.problems.len() > MOST_HINTS {
            return self.problems.push(problem);
        }
        self.problems.push(match problem::nearest(&key.name, known.iter().copied()) {
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
            Value::String(_) | Value::Int(_) | Value::Float(_) => self.plain_text(at),
            _ => {
                self.wrong(at, "a string or a number");
                None
            }
        }
    }

    /// A string or a whole number, as text.
    pub fn string_or_whole_number(&mut self, at: At<'_>) -> Option<String> {
        if matches!(at.node.value, Value::String(_) | Value::Int(_)) {
            return self.plain_text(at);
        }
        self.wrong(at, "a string or a whole number");
        None
    }

    /// Any scalar as Go prints its value; says so where that is not what was written.
    fn plain_text(&mut self, at: At<'_>) -> Option<String> {
        let text = at.node.value.scalar_text()?.into_owned();
        if !matches!(at.node.value, Value::String(_))
            && let Some(written) = lossy_text(at.node, &text)
        {
            self.warn(
                at,
                format!("is `{written}`, which is the number {text}: quote it to keep it"),
            );
        }
        Some(text)
    }

    /// A boolean, or a string that reads as one.
    pub fn boolean(&mut self, at: At<'_>) -> Option<bool> {
        match &at.node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => {
                // Compose reads the words of YAML 1.1, but no numbers.
                let value = scalar::boolean(text).filter(|_| !matches!(text.as_str(), "0" | "1"));
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

    /// A boolean, `false` where it is none.
    pub fn flag(&mut self, at: At<'_>) -> bool {
        self.boolean(at).unwrap_or_default()
    }

    /// A boolean where compose takes no string.
    pub fn strict_boolean(&mut self, at: At<'_>) -> Option<bool> {
        if let Value::Bool(value) = &at.node.value {
            return Some(*value);
        }
        self.wrong(at, "`true` or `false` without quotes");
        None
    }

    /// A whole number, or a string of decimal digits.
    pub fn integer(&mut self, at: At<'_>) -> Option<i64> {
        let value = whole_number(&at.node.value);
        if value.is_none() {
            match at.node.value.scalar_text() {
                Some(text) => self.refuse_form(at, format!("is `{text}`: expected a whole number")),
                None => self.wrong(at, "a whole number"),
            }
        }
        value
    }

    /// A whole number where compose takes no string.
    pub fn strict_integer(&mut self, at: At<'_>) -> Option<i64> {
        if matches!(at.node.value, Value::String(_)) {
            self.wrong(at, "a whole number without quotes");
            return None;
        }
        self.integer(at)
    }

    /// A number of which compose drops the fraction, or a string of decimal digits.
    pub fn number(&mut self, at: At<'_>) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "as Go converts it")]
        match at.node.value {
            Value::Float(value) if value.fract() != 0.0 && value.abs() < 9e15 => {
                let whole = value as i64;
                self.warn(at, format!("is {value}, which compose reads as {whole}"));
                Some(whole)
            }
            _ => self.integer(at),
        }
    }

    /// A whole number within bounds.
    pub fn integer_within<T: TryFrom<i64>>(&mut self, at: At<'_>, expected: &str) -> Option<T> {
        let value = self.integer(at)?;
        self.within(at, value, expected)
    }

    fn within<T: TryFrom<i64>>(&mut self, at: At<'_>, value: i64, expected: &str) -> Option<T> {
        let converted = T::try_from(value).ok();
        if converted.is_none() {
            self.refuse(at, format!("is {value}: expected {expected}"));
        }
        converted
    }

    /// A number of CPUs; zero is as if unset.
    pub fn cpus(&mut self, at: At<'_>) -> Option<f32> {
        self.single_float(at, "a number of CPUs, e.g. `0.5`").filter(|value| *value != 0.0)
    }

    /// A number of single precision that is not negative.
    pub fn single_float(&mut self, at: At<'_>, expected: &str) -> Option<f32> {
        let value: Option<f32> = match &at.node.value {
            Value::Int(_) | Value::Float(_) | Value::String(_) => {
                at.node.value.scalar_text().and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        let fits = |value: &f32| value.is_finite() && *value >= 0.0;
        match value {
            Some(value) if !fits(&value) => {
                let written = at.node.value.scalar_text().unwrap_or_default();
                self.refuse(at, format!("is {written}: expected {expected}"));
            }
            None => self.wrong(at, expected),
            Some(_) => {}
        }
        value.filter(fits)
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
            Value::String(_) => self.size_text(at),
            Value::Float(value) => {
                let message = format!("is {value}, which compose ignores: write e.g. `512m`");
                self.warn(at, message);
                None
            }
            _ => {
                self.wrong(at, SIZE);
                None
            }
        }
    }

    /// A size in bytes where compose takes no fraction.
    pub fn whole_bytes(&mut self, at: At<'_>) -> Option<i64> {
        match at.node.value {
            Value::Float(value) if value.fract() != 0.0 => {
                self.wrong(at, SIZE);
                None
            }
            _ => self.bytes(at),
        }
    }

    /// A size in bytes where compose takes a string only.
    pub fn size_text(&mut self, at: At<'_>) -> Option<i64> {
        let text = self.string(at)?;
        match units::bytes(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(at, format!("has an {message}"));
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
}

/// What was written where a number reads as another text.
fn lossy_text(node: &Node, text: &str) -> Option<String> {
    if !matches!(node.value, Value::Int(_) | Value::Float(_)) {
        return None;
    }
    // The tree keeps values only; the place says what they were made of.
    let line = node.span.problem("").excerpt?;
    let rest = line.chars().skip(node.span.column().saturating_sub(1));
    let ends = |c: &char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
    let written: String = rest.take_while(|c| !ends(c)).collect();
    (written != text && scalar::resolve(&written) == node.value).then_some(written)
}

fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => i64::try_from(*value).ok(),
        Value::String(text) => text.parse().ok(),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number")]
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => None,
    }
}
