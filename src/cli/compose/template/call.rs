//! The functions of templates, and how values are printed.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cli::compose::human::quoted;
use crate::cli::compose::target::did_you_mean;
use crate::compose::render::compact_go_json;

/// Every function, for messages.
const FUNCTIONS: [&str; 24] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "pad", "print", "printf", "println", "split", "title", "truncate", "upper", "html",
    "urlquery",
];

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    let argument =
        |at: usize| arguments.get(at).with_context(|| format!("--format: `{name}` needs a value"));
    let word = |at: usize| argument(at).map(text);
    let number = |at: usize| -> Result<usize> {
        let number = argument(at)?.as_i64().and_then(|it| usize::try_from(it).ok());
        number.with_context(|| format!("--format: `{name}` needs a number"))
    };
    Ok(match name {
        "json" => Value::from(compact_go_json(argument(0)?)),
        "upper" => Value::from(word(0)?.to_uppercase()),
        "lower" => Value::from(word(0)?.to_lowercase()),
        "title" => Value::from(title(&word(0)?)),
        "len" => Value::from(length(argument(0)?)),
        "truncate" => Value::from(word(0)?.chars().take(number(1)?).collect::<String>()),
        "pad" => {
            let padded = |count: usize| " ".repeat(count);
            let inner = word(0)?;
            if inner.is_empty() {
                return Ok(Value::from(""));
            }
            Value::from(format!("{}{inner}{}", padded(number(1)?), padded(number(2)?)))
        }
        "join" => {
            let parts = argument(0)?.as_array().cloned().unwrap_or_default();
            Value::from(parts.iter().map(text).collect::<Vec<_>>().join(&word(1)?))
        }
        "split" => {
            let (inner, separator) = (word(0)?, word(1)?);
            inner.split(separator.as_str()).map(Value::from).collect()
        }
        "index" => index(arguments)?,
        "print" => Value::from(arguments.iter().map(text).collect::<String>()),
        "println" => {
            let words: Vec<_> = arguments.iter().map(text).collect();
            Value::from(format!("{}\n", words.join(" ")))
        }
        "printf" => Value::from(printf(&word(0)?, arguments.get(1..).unwrap_or_default())),
        "not" => Value::from(!is_true(argument(0)?)),
        "and" => arguments
            .iter()
            .find(|it| !is_true(it))
            .or(arguments.last())
            .cloned()
            .unwrap_or_default(),
        "or" => arguments
            .iter()
            .find(|it| is_true(it))
            .or(arguments.last())
            .cloned()
            .unwrap_or_default(),
        "eq" => {
            let first = argument(0)?;
            Value::from(arguments.iter().skip(1).any(|it| it == first))
        }
        "ne" => Value::from(argument(0)? != argument(1)?),
        "lt" => Value::from(compare(argument(0)?, argument(1)?).is_lt()),
        "le" => Value::from(compare(argument(0)?, argument(1)?).is_le()),
        "gt" => Value::from(compare(argument(0)?, argument(1)?).is_gt()),
        "ge" => Value::from(compare(argument(0)?, argument(1)?).is_ge()),
        "html" => {
            Value::from(word(0)?.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
        }
        "urlquery" => Value::from(urlquery(&word(0)?)),
        "\0field" => {
            let path = word(0)?;
            let found = path.split('.').try_fold(argument(1)?, |value, name| value.get(name));
            found.cloned().with_context(|| format!("--format: there is no field `.{path}`"))?
        }
        _ => bail!("--format: there is no function `{name}`{}", did_you_mean(name, FUNCTIONS)),
    })
}

/// Prints a value as Go's `%v` does.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let values: Vec<_> = map.values().map(text).collect();
            format!("{{{}}}", values.join(" "))
        }
        other => other.to_string(),
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
        Value::Object(it) => !it.is_empty(),
    }
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

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

fn index(arguments: &[Value]) -> Result<Value> {
    let Some((list, keys)) = arguments.split_first() else { bail!("--format: `index` of what?") };
    let mut value = list;
    for key in keys {
        let found = match key {
            Value::String(name) => value.get(name),
            other => other.as_u64().and_then(|at| value.get(usize::try_from(at).ok()?)),
        };
        value = found.with_context(|| format!("--format: there is no item `{}`", text(key)))?;
    }
    Ok(value.clone())
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => text(a).cmp(&text(b)),
    }
}

/// `%s`, `%d`, `%v`, `%q`, `%t` with a width, and `%%`.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut printed = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format.chars().peekable();
    while let Some(one) = rest.next() {
        if one != '%' {
            printed.push(one);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = rest.next_if(|c| c.is_ascii_digit() || matches!(c, '-' | '.')) {
            flags.push(flag);
        }
        let verb = rest.next().unwrap_or('%');
        if verb == '%' {
            printed.push('%');
            continue;
        }
        let value = arguments.next().map_or_else(
            || "%!(MISSING)".to_owned(),
            |value| match verb {
                'q' => quoted(&text(value)),
                _ => text(value),
            },
        );
        let width = flags.split('.').next().unwrap_or_default();
        let count = width.trim_start_matches('-').parse().unwrap_or(0);
        let blanks = " ".repeat(usize::saturating_sub(count, value.chars().count()));
        let (before, after) =
            if width.starts_with('-') { ("", &blanks[..]) } else { (&blanks[..], "") };
        printed.extend([before, &value, after]);
    }
    printed
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
