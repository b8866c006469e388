//! JSON values as YAML text that reads back as the same values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::scalar;
use super::yaml;

/// Prints a value in block style, two spaces a level.
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// A node as JSON, its keys sorted as Go sorts those of a map.
pub fn json(node: &yaml::Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(value) => (*value).into(),
        yaml::Value::Int(value) => serde_json::Number::from_i128(*value).into(),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number")]
        yaml::Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
            (*value as i64).into()
        }
        yaml::Value::Float(value) => (*value).into(),
        yaml::Value::Timestamp(text) | yaml::Value::String(text) => text.clone().into(),
        yaml::Value::Sequence(items) => items.iter().map(json).collect(),
        yaml::Value::Mapping(entries) => {
            let sorted: BTreeMap<&String, &yaml::Node> =
                entries.iter().map(|(key, node)| (&key.name, node)).collect();
            sorted.into_iter().map(|(name, node)| (name.clone(), json(node))).collect()
        }
    }
}

fn block(value: &Value, level: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                indent(level, text);
                text.push_str(&string(key));
                text.push(':');
                nested(value, level + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(level, text);
                text.push('-');
                let start = text.len();
                nested(item, level + 1, text);
                compact(start, level + 1, text);
            }
        }
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
}

/// What stands after `key:` or `-`.
fn nested(value: &Value, level: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    text.push(if is_block { '\n' } else { ' ' });
    block(value, level, text);
}

/// Pulls the first line of a block up beside its `-`.
fn compact(start: usize, level: usize, text: &mut String) {
    if text[start..].starts_with('\n') {
        text.replace_range(start..=start + level * 2, " ");
    }
}

fn indent(level: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", level));
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// A string, quoted when plain text would read as something else.
fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // A JSON string is a double-quoted YAML scalar but for these, which YAML does not print raw.
    let quoted = Value::from(text).to_string();
    let mut safe = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                write!(safe, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
            }
            c => safe.push(c),
        }
    }
    safe
}

fn is_plain(text: &str) -> bool {
    let middle = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | '=' | '+' | '$' | '(' | ')' | ';')
            || matches!(
                c,
                ':' | ' ' | ',' | '@' | '%' | '{' | '}' | '<' | '>' | '~' | '*' | '!' | '&'
            )
    };
    let starts =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '$' | '(' | '+' | '<');
    let words = ["y", "n", "yes", "no", "on", "off"];
    text.starts_with(starts)
        && text.chars().all(middle)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && text.len() < 512
        && !words.contains(&text.to_ascii_lowercase().as_str())
        && scalar::resolve(text) == yaml::Value::String(text.to_owned())
        && !looks_numeric(text)
}

/// Text that YAML 1.1 readers take for a number in base 60.
fn looks_numeric(text: &str) -> bool {
    text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | '_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn back(node: &yaml::Node) -> Value {
        match &node.value {
            yaml::Value::Null => Value::Null,
            yaml::Value::Bool(value) => json!(value),
            yaml::Value::Int(value) => json!(i64::try_from(*value).unwrap()),
            yaml::Value::Float(value) => json!(value),
            yaml::Value::Timestamp(text) => panic!("date {text}"),
            yaml::Value::String(text) => json!(text),
            yaml::Value::Sequence(items) => items.iter().map(back).collect(),
            yaml::Value::Mapping(entries) => {
                entries.iter().map(|(key, node)| (key.name.clone(), back(node))).collect()
            }
        }
    }

    fn check(value: &Value) {
        let text = yaml(value);
        let documents = yaml::parse(&text, "f").unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert_eq!(&back(&documents[0]), value, "{text}");
    }

    #[test]
    fn prints_blocks() {
        let value = json!({"a": {"b": [{"c": 1, "d": [true, null]}, "x"]}, "e": {}, "f": []});
        let expected = "a:\n  b:\n    - c: 1\n      d:\n        - true\n        - null\n    - x\ne: {}\nf: []\n";
        assert_eq!(yaml(&value), expected);
        check(&value);
        check(&json!({"a": [[1, 2], [[3]], {}]}));
    }

    proptest::proptest! {
        #[test]
        fn reads_back(text in "\\PC{0,12}|[-a:#{}\\[\\],&*!|>'\"%@` ?0-9.xeT\\n\\t~+_é\u{85}\u{2028}]{0,12}") {
            check(&json!({ text.clone(): [text.clone(), {"k": text}] }));
        }
    }
}
