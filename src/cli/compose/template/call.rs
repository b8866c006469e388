//! The functions of templates.

use serde_json::Value;

use super::printf::{kind, printf, text};
use crate::compose::render::compact_go_json;

/// Every function.
pub(super) const FUNCTIONS: [&str; 27] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower",
    "lt", "ne", "not", "or", "pad", "print", "printf", "println", "slice", "split", "title",
    "truncate", "upper", "urlquery",
];

/// Calls a function. In the row of headers the functions that change words leave them alone.
pub(super) fn call(name: &str, given: &[Value], headings: bool) -> Result<Value, String> {
    let (least, most) = arity(name);
    if given.len() < least || given.len() > most {
        let wanted = match (least, most) {
            (least, usize::MAX) => format!("{least} or more"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        return Err(format!("`{name}` takes {wanted} values, not {}", given.len()));
    }
    if headings && CHANGES_WORDS.contains(&name) {
        return Ok(given[0].clone());
    }
    let word = |at: usize| match &given[at] {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("`{name}` takes a string, not {} `{}`", kind(other), text(other))),
    };
    let number = |at: usize| {
        let number = given[at].as_u64().and_then(|it| usize::try_from(it).ok());
        number.ok_or_else(|| format!("`{name}` takes a number, not `{}`", text(&given[at])))
    };
    Ok(match name {
        "json" => Value::from(compact_go_json(&given[0])),
        "upper" => Value::from(word(0)?.to_uppercase()),
        "lower" => Value::from(word(0)?.to_lowercase()),
        "title" => Value::from(title(word(0)?)),
        "truncate" => {
            let text = word(0)?.as_bytes();
            let kept = &text[..text.len().min(number(1)?)];
            Value::from(String::from_utf8_lossy(kept))
        }
        "pad" if word(0)?.is_empty() => Value::from(""),
        "pad" => {
            let (before, after) = (" ".repeat(number(1)?), " ".repeat(number(2)?));
            Value::from(format!("{before}{}{after}", word(0)?))
        }
        "join" => match &given[0] {
            Value::Array(parts) => {
                Value::from(parts.iter().map(text).collect::<Vec<_>>().join(word(1)?))
            }
            other => return Err(format!("`join` takes a list, not `{}`", text(other))),
        },
        "split" if word(1)?.is_empty() => {
            word(0)?.chars().map(|one| Value::from(one.to_string())).collect()
        }
        "split" => word(0)?.split(word(1)?).map(Value::from).collect(),
        "len" => match &given[0] {
            Value::String(text) => Value::from(text.len()),
            Value::Array(items) => Value::from(items.len()),
            other => return Err(format!("`{}` has no length", text(other))),
        },
        "index" => index(given)?,
        "slice" => slice(given)?,
        "print" => Value::from(print(given)),
        "println" => {
            let words: Vec<_> = given.iter().map(text).collect();
            Value::from(format!("{}\n", words.join(" ")))
        }
        "printf" => Value::from(printf(word(0)?, &given[1..])),
        "html" => Value::from(print(given).chars().map(html).collect::<String>()),
        "js" => Value::from(print(given).chars().map(js).collect::<String>()),
        "urlquery" => Value::from(urlquery(&print(given))),
        "not" => Value::from(!is_true(&given[0])),
        "and" => given.iter().find(|it| !is_true(it)).or(given.last()).cloned().unwrap_or_default(),
        "or" => given.iter().find(|it| is_true(it)).or(given.last()).cloned().unwrap_or_default(),
        "eq" => {
            let mut same = false;
            for other in &given[1..] {
                same |= is_same(&given[0], other)?;
            }
            Value::from(same)
        }
        "ne" => Value::from(!is_same(&given[0], &given[1])?),
        "lt" => Value::from(compare(&given[0], &given[1])?.is_lt()),
        "le" => Value::from(compare(&given[0], &given[1])?.is_le()),
        "gt" => Value::from(compare(&given[0], &given[1])?.is_gt()),
        "ge" => Value::from(compare(&given[0], &given[1])?.is_ge()),
        _ => return Err(format!("`{}` cannot be called", text(&given[0]))),
    })
}

/// Functions that leave headers as they are.
const CHANGES_WORDS: [&str; 7] = ["json", "split", "join", "title", "lower", "upper", "truncate"];

/// How many values a function takes.
fn arity(name: &str) -> (usize, usize) {
    match name {
        "json" | "upper" | "lower" | "title" | "len" | "not" => (1, 1),
        "truncate" | "join" | "split" | "ne" | "lt" | "le" | "gt" | "ge" => (2, 2),
        "pad" => (3, 3),
        "slice" => (1, 4),
        "eq" => (2, usize::MAX),
        "index" | "printf" | "and" | "or" | "call" => (1, usize::MAX),
        _ => (0, usize::MAX),
    }
}

/// What Go's templates take for true: anything but nothing.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => !it.is_empty(),
        Value::Array(it) => !it.is_empty(),
        Value::Object(_) => true,
    }
}

/// Values one after another, with a blank between two of which neither is a string.
fn print(values: &[Value]) -> String {
    let mut printed = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            printed.push(' ');
        }
        printed.push_str(&text(value));
    }
    printed
}

fn title(text: &str) -> String {
    let mut starts = true;
    let one = |c: char| {
        let upper = starts;
        starts = !c.is_alphanumeric() && c != '_';
        if upper { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    text.chars().map(one).collect()
}

fn index(given: &[Value]) -> Result<Value, String> {
    let mut value = given[0].clone();
    for key in &given[1..] {
        let Some(at) = key.as_u64().and_then(|at| usize::try_from(at).ok()) else {
            return Err(format!("`{}` is no place in a list", text(key)));
        };
        let found = match &value {
            Value::Array(items) => items.get(at).cloned(),
            Value::String(text) => text.as_bytes().get(at).map(|byte| Value::from(*byte)),
            other => return Err(format!("`{}` is no list", text(other))),
        };
        value = found.ok_or_else(|| format!("there is no item {at}: the list is shorter"))?;
    }
    Ok(value)
}

fn slice(given: &[Value]) -> Result<Value, String> {
    let length = match &given[0] {
        Value::Array(items) => items.len(),
        Value::String(_) if given.len() == 4 => {
            return Err("`slice` of a string takes two places at most".to_owned());
        }
        Value::String(text) => text.len(),
        other => return Err(format!("`{}` cannot be sliced", text(other))),
    };
    let place = |at: usize, otherwise: usize| match given.get(at) {
        None => Ok(otherwise),
        Some(key) => {
            let at = key.as_u64().and_then(|it| usize::try_from(it).ok());
            let at = at.filter(|it| *it <= length);
            at.ok_or_else(|| format!("there is no place {}: the length is {length}", text(key)))
        }
    };
    let (from, to) = (place(1, 0)?, place(2, length)?);
    place(3, length)?;
    if from > to {
        return Err(format!("a slice from {from} to {to} ends before it begins"));
    }
    Ok(match &given[0] {
        Value::Array(items) => Value::from(items[from..to].to_vec()),
        other => Value::from(String::from_utf8_lossy(&text(other).as_bytes()[from..to])),
    })
}

fn is_same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Array(_), _) | (_, Value::Array(_)) => Err("lists cannot be compared".to_owned()),
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        _ if kind(a) == kind(b) => Ok(a == b),
        _ => Err(incompatible(a, b)),
    }
}

fn compare(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Number(x), Value::Number(y)) if kind(a) == kind(b) => {
            let whole = x.as_i64().zip(y.as_i64()).map(|(x, y)| x.cmp(&y));
            let float = x.as_f64().zip(y.as_f64()).map(|(x, y)| x.total_cmp(&y));
            whole.or(float).ok_or_else(|| incompatible(a, b))
        }
        _ => Err(incompatible(a, b)),
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("{} `{}` and {} `{}` cannot be compared", kind(a), text(a), kind(b), text(b))
}

fn html(one: char) -> String {
    match one {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        '\0' => "\u{fffd}".to_owned(),
        other => other.to_string(),
    }
}

fn js(one: char) -> String {
    match one {
        '\\' | '\'' | '"' => format!("\\{one}"),
        '<' | '>' | '&' | '=' => format!("\\u{:04X}", u32::from(one)),
        control if control.is_control() => format!("\\u{:04X}", u32::from(control)),
        other => other.to_string(),
    }
}

fn urlquery(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}
