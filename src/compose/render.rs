//! A merged tree as `docker compose config --no-interpolate` prints it, and the variables in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value, json};

use super::yaml::{self, Node};
use super::{emit, interpolate, scalar};

/// The tree as JSON, its keys sorted.
pub fn json(tree: &Node) -> Value {
    match &tree.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(value) => (*value).into(),
        yaml::Value::Int(value) => Number::from_i128(*value).map_or(Value::Null, Value::Number),
        yaml::Value::Float(value) => Number::from_f64(*value)
            .map_or_else(|| scalar::float_text(*value).into(), Value::Number),
        yaml::Value::Timestamp(text) | yaml::Value::String(text) => text.clone().into(),
        yaml::Value::Sequence(items) => items.iter().map(json).collect(),
        yaml::Value::Mapping(entries) => {
            let sorted: BTreeMap<&String, &Node> =
                entries.iter().map(|(key, node)| (&key.name, node)).collect();
            let entries = sorted.into_iter().map(|(name, node)| (name.clone(), json(node)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// The tree as YAML.
pub fn yaml(tree: &Node) -> String {
    let mut value = json(tree);
    sort(&mut value);
    emit::yaml(&value)
}

/// Brings the keys of every mapping into the order of go-yaml.
fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Object(entries) => {
            let mut sorted: Vec<(String, Value)> = std::mem::take(entries).into_iter().collect();
            sorted.sort_by(|left, right| emit::key_order(&left.0, &right.0));
            entries.extend(sorted);
            entries.values_mut().for_each(sort);
        }
        _ => {}
    }
}

/// JSON text as Go writes it: two blanks a level, and nothing that a browser could take for markup.
pub fn go_json(value: &mut Value) -> String {
    without_fractions(value);
    pretty(&compact_go_json(value))
}

/// As [`go_json`], in one line.
pub fn compact_go_json(value: &Value) -> String {
    let mut text = String::new();
    write_go_json(value, &mut text);
    text
}

pub(super) fn write_go_json(value: &Value, to: &mut String) {
    match value {
        Value::String(text) => go_string(text, to),
        Value::Array(items) => {
            to.push('[');
            separated(items, to, write_go_json);
            to.push(']');
        }
        Value::Object(entries) => {
            to.push('{');
            separated(entries, to, |(key, item), to| {
                go_string(key, to);
                to.push(':');
                write_go_json(item, to);
            });
            to.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            write!(to, "{value}").expect("a String takes any text");
        }
    }
}

/// Writes items with commas between them.
pub(super) fn separated<T>(
    items: impl IntoIterator<Item = T>,
    to: &mut String,
    mut write: impl FnMut(T, &mut String),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        write(item, to);
    }
}

/// A string as Go's `encoding/json` writes it, which escapes beyond what JSON asks for: `<`, `>`, `&`,
/// U+2028 and U+2029.
pub(super) fn go_string(text: &str, to: &mut String) {
    to.push('"');
    let mut rest = text;
    // Looked for by bytes: most texts have none of these.
    while let Some(at) = rest.bytes().position(|it| NEEDS_A_LOOK[usize::from(it)]) {
        to.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        match chars.next() {
            Some('"') => to.push_str("\\\""),
            Some('\\') => to.push_str("\\\\"),
            Some('\n') => to.push_str("\\n"),
            Some('\r') => to.push_str("\\r"),
            Some('\t') => to.push_str("\\t"),
            Some('\u{8}') => to.push_str("\\b"),
            Some('\u{c}') => to.push_str("\\f"),
            Some(c @ ('\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                write!(to, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
            }
            Some(c) => to.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    to.push_str(rest);
    to.push('"');
}

/// Bytes that may begin what is escaped; 0xe2 begins U+2028 and U+2029, among others.
const NEEDS_A_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

/// One line of JSON as Go indents it, with two blanks a level.
pub(super) fn pretty(line: &str) -> String {
    let bytes = line.as_bytes();
    let mut text = String::with_capacity(2 * line.len());
    // What is before `done` is in the text.
    let (mut depth, mut done, mut at) = (0, 0, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b':' => {
                text.push_str(&line[done..at]);
                text.push(' ');
                done = at;
            }
            b'{' | b'[' if matches!(bytes.get(at), Some(b'}' | b']')) => at += 1,
            b',' | b'{' | b'[' => {
                depth += usize::from(*byte != b',');
                text.push_str(&line[done..at]);
                new_line(&mut text, depth);
                done = at;
            }
            b'}' | b']' => {
                depth -= 1;
                text.push_str(&line[done..at - 1]);
                new_line(&mut text, depth);
                done = at - 1;
            }
            _ => {}
        }
    }
    text.push_str(&line[done..]);
    text
}

/// Where the string ends that goes on `from` there.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Begins a line of so many levels.
fn new_line(text: &mut String, depth: usize) {
    const BLANKS: &str = "                                ";
    text.push('\n');
    let mut left = 2 * depth;
    while left > 0 {
        let next = left.min(BLANKS.len());
        text.push_str(&BLANKS[..next]);
        left -= next;
    }
}

/// Prints whole numbers without a fraction, which Rust would give them.
pub(super) fn without_fractions(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_fractions),
        Value::Object(entries) => entries.values_mut().for_each(without_fractions),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15);
            if let Some(whole) = whole.and_then(|float| format!("{float:.0}").parse::<i64>().ok()) {
                *value = whole.into();
            }
        }
        _ => {}
    }
}

/// JSON text with four blanks a level.
pub fn wide_json(value: &Value) -> String {
    widened(&format!("{value:#}"))
}

/// YAML text with four blanks a level.
pub fn wide_yaml(value: &Value) -> String {
    widened(&emit::yaml(value))
}

/// Text whose lines are indented twice as far.
fn widened(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        " ".repeat(blanks) + line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Adds the `x-*` keys of a tree where docker compose prints them: behind the other keys.
pub fn add_extensions(tree: &Node, value: &mut Value) {
    add_beneath(tree, value, 0);
}

fn add_beneath(tree: &Node, value: &mut Value, depth: usize) {
    match (&tree.value, value) {
        (yaml::Value::Mapping(entries), Value::Object(object)) => {
            let mut extensions = BTreeMap::new();
            for (key, node) in entries {
                // Beneath a section stand names of resources, which may begin with anything.
                if key.name.starts_with("x-") && depth != 1 {
                    extensions.insert(&key.name, node);
                } else if let Some(value) = object.get_mut(&key.name) {
                    add_beneath(node, value, depth + 1);
                }
            }
            for (name, node) in extensions {
                object.insert(name.clone(), json(node));
            }
        }
        (yaml::Value::Sequence(items), Value::Array(values)) if items.len() == values.len() => {
            for (item, value) in items.iter().zip(values) {
                add_beneath(item, value, depth + 1);
            }
        }
        _ => {}
    }
}

/// How a variable is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// Loading fails without a value.
    pub required: bool,
    /// What stands for it where it has no value.
    pub default: String,
    /// What stands for it where it has one.
    pub alternate: String,
}

impl Variable {
    /// As docker compose names its parts in JSON.
    pub fn json(&self, name: &str) -> Value {
        json!({
            "Name": name,
            "DefaultValue": self.default,
            "PresenceValue": self.alternate,
            "Required": self.required,
        })
    }

    /// As docker compose names its parts in YAML.
    pub fn yaml(&self, name: &str) -> Value {
        json!({
            "name": name,
            "defaultvalue": self.default,
            "presencevalue": self.alternate,
            "required": self.required,
        })
    }
}

/// The variables that the values of a tree use; of several uses, the last one tells how.
pub fn variables(tree: &Node) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    collect(tree, &mut found);
    found
}

fn collect(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.value {
        yaml::Value::String(text) => {
            for used in interpolate::uses(text) {
                let interpolate::Use { name, operator, word } = used;
                let mut variable = Variable::default();
                match operator {
                    Some('?') => variable.required = true,
                    Some('-') => variable.default = word,
                    Some('+') => variable.alternate = word,
                    Some(_) | None => {}
                }
                found.insert(name, variable);
            }
        }
        yaml::Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        yaml::Value::Mapping(entries) => entries.iter().for_each(|(_, node)| collect(node, found)),
        yaml::Value::Null
        | yaml::Value::Bool(_)
        | yaml::Value::Int(_)
        | yaml::Value::Float(_)
        | yaml::Value::Timestamp(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_json_as_go_does() {
        let value = json!({
            "a": "<&>\u{2028}\u{1}\n\u{8}\"\\é\u{2026}",
            "<b>": [{}, [], "a: [b, {c}]\"", null, 1.5, true],
            "c": { "d": { "e": -1 } },
        });
        let line = r#"{"a":"\u003c\u0026\u003e\u2028\u0001\n\b\"\\é…","\u003cb\u003e":[{},[],"a: [b, {c}]\"",null,1.5,true],"c":{"d":{"e":-1}}}"#;
        assert_eq!(compact_go_json(&value), line);
        let expected = r#"{
  "a": "\u003c\u0026\u003e\u2028\u0001\n\b\"\\é…",
  "\u003cb\u003e": [
    {},
    [],
    "a: [b, {c}]\"",
    null,
    1.5,
    true
  ],
  "c": {
    "d": {
      "e": -1
    }
  }
}"#;
        assert_eq!(pretty(line), expected);
        assert_eq!(serde_json::from_str::<Value>(&pretty(line)).ok(), Some(value));
    }
}
