//! From the parser's events to nodes: anchors expanded, `<<` merged, budgets kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};

use super::{Key, Node, OVERRIDE, RESET, Source, Span, Value};
use crate::compose::scalar;
use crate::problem::{Problem, Problems};

/// Longest text read.
const MAX_BYTES: usize = 16 << 20;
/// Most nodes of one text, after aliases were expanded; far above any Compose file.
const MAX_NODES: usize = 250_000;
/// So much text counts as a node more: aliases of a long text are as dear as those of many nodes.
const BYTES_PER_NODE: usize = 256;
/// Deepest nesting, after aliases were expanded.
const MAX_DEPTH: usize = 100;

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
                let span = builder.span(mark.line(), mark.col(), 1);
                builder.problems.push(span.problem(format!("invalid YAML: {}", error.info())));
                break;
            }
        };
        let one_line = span.start.line() == span.end.line();
        let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        let span = builder.span(span.start.line(), span.start.col(), length);
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

/// A collection that is not finished. What it holds so far is the end of [`Builder::items`] or
/// [`Builder::entries`], from `start` on.
enum Partial {
    Sequence { start: usize },
    Mapping { start: usize, merges: Vec<(Key, Node)>, key: PendingKey },
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
    /// Whether it stands in brackets or braces.
    is_flow: bool,
    tag: Option<Box<str>>,
    anchor: usize,
    size: usize,
    depth: usize,
}

struct Builder {
    source: Arc<Source>,
    stack: Vec<Frame>,
    /// Items of all open lists, and entries of all open mappings: each collection takes its own off the
    /// end once it knows how many they are, and has no room to spare.
    items: Vec<Node>,
    entries: Vec<(Key, Node)>,
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
            items: Vec::new(),
            entries: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// A span of the parser, whose columns count from 0.
    fn span(&self, line: usize, column: usize, length: usize) -> Span {
        let source = Arc::clone(&self.source);
        Span::new(source, line.max(1), column + 1, length.max(1))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && text.starts_with(':') && self.is_in_flow() {
                    let problem = span.problem("within brackets nothing begins with `:`");
                    return Err(Box::new(problem.with_hint("put the value in quotes")));
                }
                let is_merge_key = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
                let value = typed(&text, style, tag.as_deref()).map_err(|asked| {
                    let message = format!("`{text}` is not what its tag `!!{asked}` says");
                    span.problem(message).with_hint("leave the tag away, or write such a value")
                })?;
                let node = Node { value, span, tag: foreign_tag(tag) };
                let tag_bytes = node.tag.as_ref().map_or(0, |tag| tag.len());
                let more = (text.len() + tag_bytes) / BYTES_PER_NODE;
                self.nodes += more;
                self.finish(Built { node, size: 1 + more, depth: 1, is_merge_key }, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, &span),
            Event::UnresolvedAlias(name) => {
                Err(Box::new(span.problem(format!("alias `*{name}` has no anchor before it"))))
            }
            Event::SequenceStart(style, anchor, tag) => {
                let partial = Partial::Sequence { start: self.items.len() };
                self.open(partial, (span, style), anchor, foreign_tag(tag))
            }
            Event::MappingStart(style, anchor, tag) => {
                let (start, merges) = (self.entries.len(), Vec::new());
                let partial = Partial::Mapping { start, merges, key: PendingKey::None };
                self.open(partial, (span, style), anchor, foreign_tag(tag))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            // Starts and ends of streams and documents.
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        partial: Partial,
        (span, style): (Span, StructureStyle),
        anchor: usize,
        tag: Option<Box<str>>,
    ) -> Result<(), Box<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(&span)));
        }
        let is_flow = style == StructureStyle::Flow;
        self.stack.push(Frame { partial, span, is_flow, tag, anchor, size: 1, depth: 1 });
        Ok(())
    }

    /// Whether brackets or braces are open: go-yaml takes a colon there for that of a mapping.
    fn is_in_flow(&self) -> bool {
        self.stack.iter().any(|frame| frame.is_flow)
    }

    fn close(&mut self) -> Result<(), Box<Problem>> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.partial {
            Partial::Sequence { start } => Value::Sequence(self.items.split_off(start)),
            Partial::Mapping { start, merges, key: _ } => {
                let entries = self.entries.split_off(start);
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
            let mut copy = built.clone();
            drop_resets(&mut copy.node);
            self.anchors.insert(anchor, copy);
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
            Partial::Sequence { start: _ } => self.items.push(built.node),
            Partial::Mapping { start: _, merges, key } => {
                match std::mem::replace(key, PendingKey::None) {
                    PendingKey::None if built.is_merge_key => {
                        *key = PendingKey::Merge(built.node.span);
                    }
                    PendingKey::None => *key = pending_key(built.node, &mut self.problems),
                    PendingKey::Named(name) => self.entries.push((name, built.node)),
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

/// A scalar by its style and its tag, which is told where it asks for something else.
fn typed<'t>(text: &str, style: ScalarStyle, tag: Option<&'t Tag>) -> Result<Value, &'t str> {
    let is_binary = tag.is_some_and(|tag| tag.to_string().ends_with(":binary"));
    let asked = match tag.map(|tag| tag.core_suffix()) {
        None if style == ScalarStyle::Plain => return Ok(scalar::resolve(text)),
        Some(None) if is_binary => {
            let bytes = BASE64.decode(text.trim_ascii()).map_err(|_| "binary")?;
            let decoded = String::from_utf8(bytes);
            return Ok(Value::String(decoded.unwrap_or_else(|_| text.to_owned())));
        }
        None | Some(None | Some("str")) => return Ok(Value::String(text.to_owned())),
        Some(Some(asked)) => asked,
    };
    let value = scalar::resolve(text);
    let fits = match (asked, &value) {
        #[expect(clippy::cast_precision_loss, reason = "what the tag asks for")]
        ("float", Value::Int(value)) => return Ok(Value::Float(*value as f64)),
        ("float", value) => matches!(value, Value::Float(_)),
        ("int", value) => matches!(value, Value::Int(_)),
        ("bool", value) => matches!(value, Value::Bool(_)),
        ("null", value) => matches!(value, Value::Null),
        // A scalar with the tag of a collection is taken as it is, as go-yaml does.
        _ => true,
    };
    if fits { Ok(value) } else { Err(asked) }
}

/// Removes what is reset within a node: it is reset where the anchor stands, not at each alias.
fn drop_resets(node: &mut Node) {
    let stays = |node: &Node| node.tag.as_deref() != Some(super::RESET);
    match &mut node.value {
        Value::Sequence(items) => {
            items.retain(stays);
            items.iter_mut().for_each(drop_resets);
        }
        Value::Mapping(entries) => {
            entries.retain(|(_, node)| stays(node));
            for (_, node) in entries {
                drop_resets(node);
            }
        }
        _ => {}
    }
}

fn foreign_tag(tag: Option<Cow<'_, Tag>>) -> Option<Box<str>> {
    let tag = tag?;
    tag.core_suffix().is_none().then(|| tag.to_string().into())
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
                second.name,
                first.span.line()
            )));
        }
    }
}

/// Tags the value at a key, so that nothing of what other files say there is left.
fn replace_what_was_before(entries: &mut [(Key, Node)], key: &Key) {
    if let Some((_, node)) = entries.iter_mut().find(|(known, _)| known == key) {
        node.tag.get_or_insert_with(|| OVERRIDE.into());
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
                } else if node.tag.as_deref().is_some_and(|tag| matches!(tag, RESET | OVERRIDE)) {
                    // The tag counts here, too, though the value beside it wins.
                    replace_what_was_before(&mut entries, &key);
                }
            }
        }
    }
    entries
}
