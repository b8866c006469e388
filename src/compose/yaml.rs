//! YAML text in, a tree of typed nodes with their places out.
//!
//! Anchors and aliases are expanded within a budget, `<<` is merged, duplicate keys are refused, and
//! scalars are typed as go-yaml types them. Size, depth and expansion are bounded: no input makes it
//! overflow or hang.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::scalar;
use crate::problem::{Problem, Problems};

/// Longest text read.
const MAX_BYTES: usize = 16 << 20;
/// Most nodes of one text, after aliases were expanded; far above any Compose file.
const MAX_NODES: usize = 250_000;
/// Longest line shown with a problem, in bytes.
const MAX_EXCERPT: usize = 400;
/// Deepest nesting, after aliases were expanded.
const MAX_DEPTH: usize = 100;

/// A text and the name a person knows it by.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { file: file.to_owned(), text: text.to_owned(), lines }
    }

    /// A line to show; nothing where it is too long to help.
    fn excerpt(&self, line: usize) -> Option<String> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        let text = self.text[start..end].trim_end_matches('\r');
        (text.len() <= MAX_EXCERPT).then(|| text.to_owned())
    }
}

/// Where a node starts.
#[derive(Clone)]
pub struct Span {
    /// The text it stands in.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Span {
    /// A problem at this place, with its line as excerpt.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem {
            line: Some(self.line),
            column: Some(self.column),
            excerpt: self.source.excerpt(self.line),
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
    pub tag: Option<String>,
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

/// Reads every document of a text; an empty text has none.
pub fn parse(text: &str, file: &str) -> Result<Vec<Node>, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        return Err(Problem::in_file(file, format!("file is larger than {limit} MiB")).into());
    }
    let source = Arc::new(Source::new(file, text));
    let mut builder = Builder::new(source);
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let mark = error.marker();
                let span = builder.span(mark.line(), mark.col());
                builder.problems.push(span.problem(format!("invalid YAML: {}", error.info())));
                break;
            }
        };
        let span = builder.span(span.start.line(), span.start.col());
        if let Err(problem) = builder.event(event, span) {
            builder.problems.push(*problem);
            break;
        }
    }
    Problems(builder.problems).into_result()?;
    Ok(builder.documents)
}

/// A finished node with what the budget needs to know of it.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    depth: usize,
    is_merge_key: bool,
}

enum Partial {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, merges: Vec<(Key, Node)>, key: PendingKey },
}

enum PendingKey {
    None,
    Named(Key),
    Merge(Span),
    /// A key that was refused: its value is dropped.
    Refused,
}

struct Frame {
    partial: Partial,
    span: Span,
    tag: Option<String>,
    anchor: usize,
    size: usize,
    depth: usize,
}

struct Builder {
    source: Arc<Source>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    documents: Vec<Node>,
    problems: Vec<Problem>,
}

impl Builder {
    fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// A span of the parser, whose columns count from 0.
    fn span(&self, line: usize, column: usize) -> Span {
        Span { source: Arc::clone(&self.source), line: line.max(1), column: column + 1 }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge_key = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
                let value = typed(&text, style, tag.as_deref());
                let node = Node { value, span, tag: foreign_tag(tag) };
                self.finish(Built { node, size: 1, depth: 1, is_merge_key }, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, &span),
            Event::UnresolvedAlias(name) => {
                Err(Box::new(span.problem(format!("alias `*{name}` has no anchor before it"))))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Partial::Sequence(Vec::new()), span, anchor, foreign_tag(tag))
            }
            Event::MappingStart(_, anchor, tag) => {
                let (entries, merges) = (Vec::new(), Vec::new());
                let partial = Partial::Mapping { entries, merges, key: PendingKey::None };
                self.open(partial, span, anchor, foreign_tag(tag))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            // Starts and ends of streams and documents.
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        partial: Partial,
        span: Span,
        anchor: usize,
        tag: Option<String>,
    ) -> Result<(), Box<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(&span)));
        }
        self.stack.push(Frame { partial, span, tag, anchor, size: 1, depth: 1 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Box<Problem>> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.partial {
            Partial::Sequence(items) => Value::Sequence(items),
            Partial::Mapping { entries, merges, key: _ } => {
                refuse_duplicates(&entries, &mut self.problems);
                let entries = merge_into(entries, merges, &mut self.problems);
                Value::Mapping(entries)
            }
        };
        let node = Node { value, span: frame.span, tag: frame.tag };
        let (size, depth) = (frame.size, frame.depth);
        self.finish(Built { node, size, depth, is_merge_key: false }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), Box<Problem>> {
        let Some(built) = self.anchors.get(&anchor) else {
            return Err(Box::new(span.problem("alias refers to the node it stands in")));
        };
        // Checked before the copy: a bomb costs nothing.
        if self.nodes + built.size > MAX_NODES {
            return Err(Box::new(span.problem(format!(
                "aliases expand to more than {MAX_NODES} nodes: expected far less"
            ))));
        }
        let mut built = built.clone();
        built.is_merge_key = false;
        self.nodes += built.size;
        self.add(built)
    }

    fn finish(&mut self, built: Built, anchor: usize) -> Result<(), Box<Problem>> {
        self.nodes += 1;
        if anchor != 0 {
            // The copy for later aliases is counted too: nested anchors copy again at each level.
            self.nodes += built.size;
        }
        if self.nodes > MAX_NODES {
            let span = &built.node.span;
            return Err(Box::new(span.problem(format!("file has more than {MAX_NODES} nodes"))));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        self.add(built)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, built: Built) -> Result<(), Box<Problem>> {
        let depth_here = self.stack.len() + built.depth;
        if depth_here > MAX_DEPTH {
            return Err(Box::new(too_deep(&built.node.span)));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.documents.push(built.node);
            return Ok(());
        };
        frame.size += built.size;
        frame.depth = frame.depth.max(built.depth + 1);
        match &mut frame.partial {
            Partial::Sequence(items) => items.push(built.node),
            Partial::Mapping { entries, merges, key } => {
                match std::mem::replace(key, PendingKey::None) {
                    PendingKey::None if built.is_merge_key => {
                        *key = PendingKey::Merge(built.node.span);
                    }
                    PendingKey::None => *key = pending_key(built.node, &mut self.problems),
                    PendingKey::Named(name) => entries.push((name, built.node)),
                    PendingKey::Merge(span) => {
                        let name = Key { name: "<<".to_owned(), span };
                        merges.push((name, built.node));
                    }
                    PendingKey::Refused => {}
                }
            }
        }
        Ok(())
    }
}

fn too_deep(span: &Span) -> Problem {
    span.problem(format!("nested deeper than {MAX_DEPTH} levels"))
}

fn typed(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag.map(|tag| tag.core_suffix()) {
        None if style == ScalarStyle::Plain => scalar::resolve(text),
        None | Some(None | Some("str")) => Value::String(text.to_owned()),
        Some(Some("float")) => match scalar::resolve(text) {
            #[expect(clippy::cast_precision_loss, reason = "what the tag asks for")]
            Value::Int(value) => Value::Float(value as f64),
            value => value,
        },
        Some(Some(_)) => scalar::resolve(text),
    }
}

fn foreign_tag(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    let tag = tag?;
    if tag.core_suffix().is_some() { None } else { Some(tag.to_string()) }
}

fn pending_key(node: Node, problems: &mut Vec<Problem>) -> PendingKey {
    match node.value {
        Value::String(name) => PendingKey::Named(Key { name, span: node.span }),
        value => {
            let message = match value.scalar_text() {
                Some(text) => format!("key `{text}` is {}: expected a string", value.kind()),
                None => format!("key is {}: expected a string", value.kind()),
            };
            problems.push(node.span.problem(message).with_hint("put the key in quotes"));
            PendingKey::Refused
        }
    }
}

fn refuse_duplicates(entries: &[(Key, Node)], problems: &mut Vec<Problem>) {
    let mut keys: Vec<&Key> = entries.iter().map(|(key, _)| key).collect();
    // Stable: of equal names the first in the text stays first.
    keys.sort_by(|left, right| left.name.cmp(&right.name));
    for pair in keys.windows(2) {
        let [first, second] = pair else { continue };
        if first.name == second.name {
            problems.push(second.span.problem(format!(
                "key `{}` is already defined on line {}",
                second.name, first.span.line
            )));
        }
    }
}

/// Adds what `<<` brings: explicit keys win, and of a list the earlier mapping wins.
fn merge_into(
    mut entries: Vec<(Key, Node)>,
    merges: Vec<(Key, Node)>,
    problems: &mut Vec<Problem>,
) -> Vec<(Key, Node)> {
    refuse_duplicates(&merges, problems);
    if merges.is_empty() {
        return entries;
    }
    let mut known: HashSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
    for (key, merged) in merges {
        let sources = match merged.value {
            Value::Sequence(items) => items,
            Value::Mapping(_) => vec![merged],
            _ => {
                let kind = merged.value.kind();
                let message = format!("`<<` is {kind}: expected a mapping or a list of mappings");
                problems.push(key.span.problem(message));
                continue;
            }
        };
        for source in sources {
            let Value::Mapping(brought) = source.value else {
                let kind = source.value.kind();
                problems.push(key.span.problem(format!("`<<` lists {kind}: expected a mapping")));
                continue;
            };
            for (key, node) in brought {
                if known.insert(key.name.clone()) {
                    entries.push((key, node));
                }
            }
        }
    }
    entries
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
        let block: String = (0..5000).map(|depth| " ".repeat(depth) + "a:\n").collect();
        for text in
            [bomb, chain, "[".repeat(100_000), "{a: ".repeat(100_000), block, "- ".repeat(100_000)]
        {
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
