//! JSON values as YAML text, in the style of Go's yaml library, which `docker compose` prints with.
//!
//! What it prints reads back as the same values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::scalar;
use super::yaml;

/// Words that old YAML readers take for booleans.
const OLD_BOOLEANS: &[&str] = &[
    "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
    "OFF",
];

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

/// The order in which Go's yaml library prints the keys of a map: numbers in them by their value.
pub fn key_order(left: &str, right: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let Some(at) = left.iter().zip(&right).position(|(l, r)| l != r) else {
        return left.len().cmp(&right.len());
    };
    let after_digit = at > 0 && left[at - 1].is_numeric();
    match (left[at].is_alphabetic(), right[at].is_alphabetic()) {
        (true, true) => return left[at].cmp(&right[at]),
        (true, false) => return if after_digit { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if after_digit { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    let before = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let is_inside = (left[at] == '0' || right[at] == '0') && before.into_iter().any(|c| *c != '0');
    let (left_number, left_end) = number(&left, at, is_inside);
    let (right_number, right_end) = number(&right, at, is_inside);
    left_number.cmp(&right_number).then(left_end.cmp(&right_end)).then(left[at].cmp(&right[at]))
}

/// The digits from a place on as a number, and where they end.
fn number(text: &[char], at: usize, is_inside: bool) -> (u64, usize) {
    let digits = text[at..].iter().map_while(|c| c.to_digit(10));
    digits.fold((u64::from(is_inside), at), |(number, end), digit| {
        (number.wrapping_mul(10).wrapping_add(digit.into()), end + 1)
    })
}

fn block(value: &Value, level: usize, text: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                indent(level, text);
                if is_simple_key(key) {
                    text.push_str(&one_line(key));
                    text.push(':');
                    nested(value, level + 1, text);
                    continue;
                }
                text.push_str("? ");
                string(key, level + 1, text);
                indent(level, text);
                text.push(':');
                beside(value, level + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(level, text);
                text.push('-');
                beside(item, level + 1, text);
            }
        }
        Value::String(value) => string(value, level, text),
        Value::Number(number) if number.is_f64() => {
            text.push_str(&number.as_f64().map_or_else(String::new, scalar::float_text));
            text.push('\n');
        }
        scalar => {
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

fn string(value: &str, level: usize, text: &mut String) {
    if is_literal(value) {
        literal(value, level.max(1), text);
    } else {
        text.push_str(&one_line(value));
        text.push('\n');
    }
}

/// Whether a key stands before its `:` on the same line. YAML wants that within 1024 characters, Go's
/// library within 128 bytes (`yaml_emitter_check_simple_key`).
fn is_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// What stands after `key:`.
fn nested(value: &Value, level: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    text.push(if is_block { '\n' } else { ' ' });
    block(value, level, text);
}

/// What stands after `-`, or after the `:` of a key on lines of its own: the first line of a block, too.
fn beside(value: &Value, level: usize, text: &mut String) {
    let start = text.len();
    nested(value, level, text);
    if text[start..].starts_with('\n') {
        text.replace_range(start..=start + level * 2, " ");
    }
}

fn indent(level: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", level));
}

/// Whether a string of several lines can stand as a block of its own.
fn is_literal(string: &str) -> bool {
    let only_plain_breaks = !string.contains(['\u{2028}', '\u{2029}']);
    let whole_lines = !string.contains(" \n") && !string.ends_with(' ');
    let printable = string.chars().all(|c| c == '\t' || c == '\n' || is_printable(c));
    string.contains('\n') && only_plain_breaks && whole_lines && printable
}

fn literal(string: &str, level: usize, text: &mut String) {
    text.push('|');
    // A reader would take blanks of the first lines for indentation.
    if string.starts_with([' ', '\n']) {
        text.push('2');
    }
    if !string.ends_with('\n') {
        text.push('-');
    } else if string == "\n" || string.ends_with("\n\n") {
        text.push('+');
    }
    text.push('\n');
    for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
        if !line.is_empty() {
            indent(level, text);
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// A string on one line: plain where it reads back as itself, else in quotes.
fn one_line(string: &str) -> String {
    let reads_as_string = scalar::resolve(string) == yaml::Value::String(string.to_owned());
    let is_ambiguous = OLD_BOOLEANS.contains(&string) || string == "<<" || is_base_60(string);
    let is_special =
        string.chars().any(|c| !is_printable(c) || matches!(c, '\u{2028}' | '\u{2029}'));
    if !reads_as_string || is_ambiguous || is_special {
        return double_quoted(string);
    }
    if is_plain(string) { string.to_owned() } else { format!("'{}'", string.replace('\'', "''")) }
}

/// Whether a text, which is no other value, needs no quotes.
fn is_plain(string: &str) -> bool {
    let characters: Vec<char> = string.chars().collect();
    let is_indicator = |(at, c): (usize, &char)| {
        let before_blank = characters.get(at + 1).is_none_or(|next| *next == ' ');
        let after_blank = at == 0 || characters[at - 1] == ' ';
        match c {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => at == 0,
            '#' => after_blank,
            '?' | '-' => at == 0 && before_blank,
            ':' => before_blank,
            _ => false,
        }
    };
    !string.starts_with(' ')
        && !string.ends_with(' ')
        && !string.starts_with("---")
        && !string.starts_with("...")
        && !characters.iter().enumerate().any(is_indicator)
}

/// What Go's yaml library prints without an escape.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{fffd}') && c != '\u{feff}'
}

fn double_quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            c if is_printable(c) => {
                text.push(c);
                continue;
            }
            c => {
                let code = u32::from(c);
                let written = match code {
                    0..=0xff => write!(text, "\\x{code:02X}"),
                    0x100..=0xffff => write!(text, "\\u{code:04X}"),
                    _ => write!(text, "\\U{code:08X}"),
                };
                written.expect("a String takes any text");
                continue;
            }
        };
        text.push_str(escape);
    }
    text.push('"');
    text
}

/// Text that YAML 1.1 readers take for a number in base 60, e.g. `22:22`.
fn is_base_60(string: &str) -> bool {
    let unsigned = string.strip_prefix(['-', '+']).unwrap_or(string);
    let mut parts = unsigned.split(':');
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == '_');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, ""));
    let sixty = |part: &str| {
        let short = matches!(part.len(), 1 | 2) && part.chars().all(|c| c.is_ascii_digit());
        short && (part.len() == 1 || part.starts_with(['0', '1', '2', '3', '4', '5']))
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && middle.iter().all(|part| sixty(part))
        && sixty(seconds)
        && digits(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value) {
        let text = yaml(value);
        let documents = yaml::parse(&text, "f").unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert_eq!(&json(&documents[0]), value, "{text}");
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
    fn long_keys_stand_alone() {
        let long = "k".repeat(129);
        let value = json!({&long: {"a": 1, "b": [1, 2]}, &long[1..]: [1], "x\ny": "two\nlines"});
        let expected = format!(
            "? {long}\n: a: 1\n  b:\n    - 1\n    - 2\n{}:\n  - 1\n\
             ? |-\n  x\n  y\n: |-\n  two\n  lines\n",
            &long[1..]
        );
        assert_eq!(yaml(&value), expected);
        check(&value);
        check(&json!({"a": {"k".repeat(2000): [{"é".repeat(600): {"b": "x\n"}}]}}));
    }

    #[test]
    fn prints_strings_as_go_does() {
        for (text, expected) in [
            ("a b", "a b"),
            ("1", "\"1\""),
            ("yes", "\"yes\""),
            ("", "\"\""),
            ("x: y", "'x: y'"),
            ("it's", "it's"),
            ("'q", "'''q'"),
            ("#x", "'#x'"),
            ("a #x", "'a #x'"),
            ("a#x", "a#x"),
            ("- x", "'- x'"),
            ("-x", "-x"),
            (" x", "' x'"),
            ("a,b", "a,b"),
            ("[a", "'[a'"),
            ("22:22", "\"22:22\""),
            ("2020-01-01", "\"2020-01-01\""),
            ("\t", "\"\\t\""),
            ("😀", "\"\\U0001F600\""),
            ("é", "é"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\nb\n", "|\n  a\n  b"),
            ("a\n\n", "|+\n  a\n"),
        ] {
            assert_eq!(yaml(&text.into()), format!("{expected}\n"), "{text}");
        }
    }

    #[test]
    fn sorts_keys_as_go_does() {
        let mut keys = ["s10", "s2", "S1", "s1", "s_a", "sa", "s1a", "s01", "s"];
        keys.sort_by(|left, right| key_order(left, right));
        assert_eq!(keys, ["S1", "s", "s_a", "s1", "s1a", "s01", "s2", "s10", "sa"]);
    }

    proptest::proptest! {
        #[test]
        fn reads_back(text in "\\PC{0,12}|[-a:#{}\\[\\],&*!|>'\"%@` ?0-9.xeT\\n\\t~+_é\u{85}\u{2028}]{0,12}") {
            check(&json!({ text.clone(): [text.clone(), {"k": text}] }));
        }
    }
}
