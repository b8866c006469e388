//! YAML text in, a tree of typed nodes with their places out.
//!
//! Anchors and aliases are expanded within a budget, `<<` is merged, duplicate keys are refused, and
//! scalars are typed as go-yaml types them. Size, depth and expansion are bounded: no input makes it
//! overflow or hang.

mod build;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

pub use self::build::parse;
use super::scalar;
use crate::problem::Problem;

/// Longest line shown with a problem, in bytes.
const MAX_EXCERPT: usize = 400;
/// Tag of a value that removes what other files say at its place.
pub const RESET: &str = "!reset";
/// Tag of a value that stands instead of what other files say at its place.
pub const OVERRIDE: &str = "!override";

/// A text and the name a person knows it by.
#[derive(Debug)]
pub struct Source {
    /// Name of the file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Where each line starts, in bytes; looked for once there is a line to show.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), lines: OnceLock::new() }
    }

    /// A text that is no YAML, to point into. Of an empty one no line is ever shown.
    pub fn of(file: &str, text: &str) -> Arc<Self> {
        Arc::new(Self::new(file, text))
    }

    /// A line to show; nothing where it is too long to help.
    fn excerpt(&self, line: usize) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        let lines = self.lines.get_or_init(|| {
            let starts = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(starts).collect()
        });
        let start = *lines.get(line.checked_sub(1)?)?;
        let end = lines.get(line).map_or(self.text.len(), |next| next - 1);
        let text = self.text[start..end].trim_end_matches('\r');
        (text.len() <= MAX_EXCERPT).then(|| text.to_owned())
    }
}

/// Where a node starts.
#[derive(Clone)]
pub struct Span {
    /// The text it stands in.
    pub source: Arc<Source>,
    // Each node and each key has a span: numbers of 32 bits hold any place in a text that is read.
    line: u32,
    column: u32,
    /// Characters of the token there, within its line; at least 1.
    length: u32,
}

impl Span {
    fn new(source: Arc<Source>, line: usize, column: usize, length: usize) -> Self {
        let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { source, line: short(line), column: short(column), length: short(length) }
    }

    /// The beginning of a line.
    pub fn of_line(source: &Arc<Source>, line: usize) -> Self {
        Self::new(Arc::clone(source), line, 1, 1)
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.line as usize
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column as usize
    }

    /// A problem at this place, with its line as excerpt.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        // What has no text has no lines to name.
        let line = (!self.source.text.is_empty()).then_some(self.line());
        Problem {
            line,
            column: line.map(|_| self.column()),
            length: self.length as usize,
            excerpt: self.source.excerpt(self.line()),
            ..Problem::in_file(self.source.file.clone(), message)
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.source.file, self.line, self.column)
    }
}

/// One node; equal to another when value and tag are, wherever they stand.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it starts.
    pub span: Span,
    /// A tag that YAML itself does not define, e.g. `!reset`.
    pub tag: Option<Box<str>>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.tag == other.tag
    }
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// Where it starts.
    pub span: Span,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Key {
    /// A key at a place where no one wrote it.
    pub fn implied(name: impl Into<String>, span: &Span) -> Self {
        Self { name: name.into(), span: span.clone() }
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Empty, `~`, `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// Any integer of 64 bits, signed or not.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A date or a time, unquoted.
    Timestamp(String),
    /// Anything else, and everything quoted.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in order of the text.
    Mapping(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for a person.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Timestamp(_) => "a date",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// A scalar as Go prints the typed value; `None` for null and collections.
    pub fn scalar_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Int(value) => Some(Cow::Owned(value.to_string())),
            Self::Float(value) => Some(Cow::Owned(scalar::float_text(*value))),
            Self::Timestamp(text) | Self::String(text) => Some(Cow::Borrowed(text)),
            Self::Null | Self::Sequence(_) | Self::Mapping(_) => None,
        }
    }
}

impl Node {
    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_mapping(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value at this key, if it is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let entries = self.as_mapping()?;
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The value at this key, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Mapping(entries) => {
                entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Puts a value at a key, in place of the one there was; nothing happens to what is no mapping.
    pub fn insert(&mut self, key: Key, node: Self) {
        let Value::Mapping(entries) = &mut self.value else { return };
        match entries.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => *entry = (key, node),
            None => entries.push((key, node)),
        }
    }

    /// Takes the value at a key out, if it is a mapping that has it.
    pub fn remove(&mut self, name: &str) -> Option<Self> {
        self.remove_entry(name).map(|(_, node)| node)
    }

    /// Takes a key and its value out, if it is a mapping that has it.
    pub fn remove_entry(&mut self, name: &str) -> Option<(Key, Self)> {
        let Value::Mapping(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|(key, _)| key.name == name)?;
        Some(entries.remove(at))
    }

    /// Calls `visit` with every string value beneath; keys are no values.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&Span, &mut String)) {
        match &mut self.value {
            Value::String(text) => visit(&self.span, text),
            Value::Sequence(items) => items.iter_mut().for_each(|item| item.each_text(visit)),
            Value::Mapping(entries) => {
                for (_, node) in entries {
                    node.each_text(visit);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Timestamp(_) => {}
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// A problem with this node.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        self.span.problem(message)
    }

    /// A node of this value at the same place.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, span: self.span.clone(), tag: None }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The tree as JSON-like text, to compare.
    fn render(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::String(text) => format!("{text:?}"),
            Value::Sequence(items) => {
                format!("[{}]", items.iter().map(render).collect::<Vec<_>>().join(","))
            }
            Value::Mapping(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, node)| format!("{}:{}", key.name, render(node)))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            value => value.scalar_text().unwrap_or_default().into_owned(),
        }
    }

    fn check(text: &str, expected: &str) {
        let documents =
            parse(text, "f.yml").unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let rendered: Vec<_> = documents.iter().map(render).collect();
        assert_eq!(rendered.join("|"), expected, "{text}");
    }

    fn check_refused(text: &str, expected: &str) {
        let problems = parse(text, "f.yml").expect_err(text);
        let problem = &problems.0[0];
        let place = format!("{}:{}", problem.line.unwrap(), problem.column.unwrap());
        assert_eq!(format!("{place} {}", problem.message), expected, "{text}");
    }

    #[test]
    fn reads_documents_scalars_and_collections() {
        check("", "");
        check("---\n", "null");
        check("a: 1\n---\nb: '1'\n", "{a:1}|{b:\"1\"}");
        check("[yes, true, 0777, 1.10, ~, 0b11]", "[\"yes\",true,511,1.1,null,3]");
        check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a:\"x\\ny\\n\",b:\"x y\"}");
        check("[!!str 1, !!int '2', !reset x]", "[\"1\",2,\"x\"]");
        check("\u{feff}a: b\r\nc: d\r\n", "{a:\"b\",c:\"d\"}");
    }

    #[test]
    fn expands_anchors_and_merge_keys() {
        check("a: &x {k: 1}\nb: *x\n", "{a:{k:1},b:{k:1}}");
        check("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", "{a:{k:1,l:2},b:{l:3,k:1}}");
        check(
            "a: &x {k: 1}\nb: &y {k: 2, m: 4}\nc:\n  <<: [*x, *y]\n",
            "{a:{k:1},b:{k:2,m:4},c:{k:1,m:4}}",
        );
        check("a: {'<<': 1}", "{a:{<<:1}}");
    }

    #[test]
    fn refuses_with_the_place() {
        check_refused("a: 1\nb: 2\na: 3\n", "3:1 key `a` is already defined on line 1");
        check_refused("a: &x [*x]\n", "1:8 alias refers to the node it stands in");
        for text in ["a: [:b]\n", "a: {b: [{c: ::1}]}\n", "a: [b: :c]\n"] {
            let problems = parse(text, "f.yml").expect_err(text);
            assert_eq!(problems.0[0].message, "within brackets nothing begins with `:`");
        }
        check("a: :b\nc: [a:b, ':c']", "{a:\":b\",c:[\"a:b\",\":c\"]}");
        check_refused("a: *x\n", "1:4 alias `*x` has no anchor before it");
        check_refused("a:\n  1: b\n", "2:3 key `1` is a number: expected a string");
        check_refused(
            "a: {<<: 3}\n",
            "1:5 `<<` is a number: expected a mapping or a list of mappings",
        );
    }

    #[test]
    fn keeps_tags_it_does_not_know() {
        let documents = parse("a: !reset null\nb: !!str x\n", "f.yml").unwrap();
        assert_eq!(documents[0].get("a").unwrap().tag.as_deref(), Some("!reset"));
        assert_eq!(documents[0].get("b").unwrap().tag, None);
    }

    #[test]
    fn stops_at_bombs_and_depth() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 9].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
        }
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for level in 1..5000 {
            writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        let block: String = (0..5000).map(|depth| " ".repeat(depth) + "a:\n").collect();
        for text in [
            bomb,
            chain,
            long,
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            block,
            "- ".repeat(100_000),
        ] {
            parse(&text, "f.yml").expect_err("refused");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-a:\\[\\]{}&*!|>'\"#%@?, \\n\\t0-9.~<$é]{0,200}") {
            let _ = parse(&text, "f.yml");
        }
    }
}
