//! A merged tree as `docker compose config --no-interpolate` prints it, and the variables in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value, json};

use super::yaml::{self, Node};
use super::{emit, interpolate, scalar};

/// Room for the JSON of a large project, in bytes: a text that grows is copied time and again, and room
/// that is not needed costs nothing.
const JSON_ROOM: usize = 512 * 1024;

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
    let mut text = Vec::with_capacity(JSON_ROOM);
    // Not by way of `format!`, which takes much longer: it sees the text in tiny pieces.
    serde_json::to_writer_pretty(&mut text, value).expect("a Value is always JSON");
    escape_markup(String::from_utf8(text).expect("JSON is UTF-8"))
}

/// As [`go_json`], in one line.
pub fn compact_go_json(value: &Value) -> String {
    escape_markup(serde_json::to_string(value).expect("a Value is always JSON"))
}

/// Escapes what Go's `encoding/json` escapes beyond what JSON asks for: `<`, `>`, `&`, U+2028, U+2029.
fn escape_markup(plain: String) -> String {
    // Looked for by bytes, of which most texts have none: this is done for every service's hash.
    let may_be_one = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    let Some(first) = plain.bytes().position(may_be_one) else { return plain };
    let mut text = String::with_capacity(plain.len() + 16);
    text.push_str(&plain[..first]);
    for c in plain[first..].chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(text, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
            }
            _ => text.push(c),
        }
    }
    text
}

/// Prints whole numbers without a fraction, which Rust would give them.
fn without_fractions(value: &mut Value) {
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
