//! JSON values as YAML text that reads back as the same values, in the style of go-yaml.

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
                text.push_str(&key_text(key));
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
        Value::String(lines) if lines.contains('\n') && may_be_literal(lines) => {
            literal(lines, level, text);
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

/// A key: never in several lines, and never one that merges.
fn key_text(key: &str) -> String {
    if key == "<<" { double_quoted(key) } else { string(key) }
}

/// A string in one line, quoted when plain text would read as something else.
fn string(text: &str) -> String {
    let is_string = scalar::resolve(text) == yaml::Value::String(text.to_owned());
    if !is_string || is_old_boolean(text) || is_sexagesimal(text) || text.chars().any(is_special) {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Words that YAML 1.1 readers take for booleans.
fn is_old_boolean(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let capital = || text.chars().skip(1).all(|c| c.is_ascii_lowercase());
    let one_case = text == lower || text == text.to_ascii_uppercase() || capital();
    one_case && matches!(lower.as_str(), "y" | "yes" | "on" | "n" | "no" | "off")
}

/// Text that YAML 1.1 readers take for a number in base 60.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let mut rest = parts.peekable();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && rest.peek().is_some()
        && rest.all(|part| {
            let at_most_59 = part.len() == 1 || (part.len() == 2 && part < "60");
            at_most_59 && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Characters that only double quotes can hold.
fn is_special(c: char) -> bool {
    let is_printable = matches!(
        c,
        ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
            | '\u{ff00}'..='\u{fffd}'
    );
    !is_printable
}

/// Whether text reads as itself without quotes, in block style.
fn is_plain(text: &str) -> bool {
    let starts_free = match text.chars().next() {
        None => return false,
        Some(
            ' ' | '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
            | '%' | '@' | '`',
        ) => false,
        Some('?' | ':' | '-') => !matches!(text.chars().nth(1), None | Some(' ')),
        Some(_) => true,
    };
    starts_free
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if !is_special(c) => quoted.push(c),
            '\0' => quoted.push_str("\\0"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\u{1b}' => quoted.push_str("\\e"),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{2028}' => quoted.push_str("\\L"),
            '\u{2029}' => quoted.push_str("\\P"),
            c => {
                let code = u32::from(c);
                let written = match code {
                    0..=0xff => write!(quoted, "\\x{code:02X}"),
                    0x100..=0xffff => write!(quoted, "\\u{code:04X}"),
                    _ => write!(quoted, "\\U{code:08X}"),
                };
                written.expect("a String takes any text");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Whether lines can stand as they are in a literal block.
fn may_be_literal(text: &str) -> bool {
    !text.ends_with(' ')
        && !text.contains(" \n")
        && !text.chars().any(|c| c != '\n' && c != '\t' && is_special(c))
}

/// Lines beneath `|`, with the marks that keep their blanks and line ends.
fn literal(lines: &str, level: usize, text: &mut String) {
    text.push('|');
    if lines.starts_with([' ', '\n']) {
        text.push('2');
    }
    match lines.strip_suffix('\n') {
        None => text.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => text.push('+'),
        Some(_) => {}
    }
    text.push('\n');
    for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
        if !line.is_empty() {
            indent(level.max(1), text);
            text.push_str(line);
        }
        text.push('\n');
    }
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

    #[test]
    fn quotes_as_go_yaml_does() {
        for (text, expected) in [
            ("a && b < c", "a && b < c"),
            (" lead", "' lead'"),
            ("é\t", "\"é\\t\""),
            ("😀", "\"\\U0001F600\""),
            ("", "\"\""),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("#c", "'#c'"),
            ("a#c", "a#c"),
            ("[z", "'[z'"),
            ("-", "'-'"),
            ("-a", "-a"),
            ("1:30", "\"1:30\""),
            ("1:99", "1:99"),
            ("yes", "\"yes\""),
            ("yEs", "yEs"),
            ("0777", "\"0777\""),
            ("2020-01-01", "\"2020-01-01\""),
            ("it's", "it's"),
            ("it's: x", "'it''s: x'"),
            ("\u{85}", "\"\\N\""),
            ("---", "'---'"),
            ("~", "\"~\""),
            ("?x", "?x"),
            ("? x", "'? x'"),
        ] {
            assert_eq!(string(text), expected, "{text:?}");
        }
        let lines = json!({"a": ["x\ny", "x\n\n y\n", "\nx", "x \ny", "x\n\n"]});
        let expected = "a:\n  - |-\n    x\n    y\n  - |\n    x\n\n     y\n  - |2-\n\n    x\n  - \"x \\ny\"\n  - |+\n    x\n\n";
        assert_eq!(yaml(&lines), expected);
        check(&lines);
    }

    proptest::proptest! {
        #[test]
        fn reads_back(text in "\\PC{0,12}|[-a:#{}\\[\\],&*!|>'\"%@` ?0-9.xeT\\n\\t~+_é\u{85}\u{2028}]{0,12}") {
            check(&json!({ text.clone(): [text.clone(), {"k": text}] }));
        }
    }
}
