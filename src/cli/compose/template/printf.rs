//! `printf` and how values are printed, as Go's `fmt` does.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::compose::human::quoted;

/// Prints a value as Go's `%v` does; nothing is `<nil>`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => shortest(float),
            None => number.to_string(),
        },
        Value::Bool(it) => it.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            format!("{{{}}}", map.values().map(text).collect::<Vec<_>>().join(" "))
        }
    }
}

/// A float as `%g`: with an exponent where it is very small or large.
fn shortest(float: f64) -> String {
    let scientific = format!("{float:e}");
    let exponent = scientific.split_once('e').and_then(|it| it.1.parse::<i32>().ok()).unwrap_or(0);
    if (-4..6).contains(&exponent) { float.to_string() } else { exponential(&scientific) }
}

/// Go writes two digits of an exponent at least, and its sign.
fn exponential(text: &str) -> String {
    let Some((digits, exponent)) = text.split_once('e') else { return text.to_owned() };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
struct Form {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Largest width and precision (`tooLarge` in Go's `fmt/print.go`).
const MOST: usize = 1_000_000;

/// Prints as a format says; a width or precision that is larger than any sense is none.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut printed = String::new();
    let mut rest = format.chars().peekable();
    let (mut next, mut reordered) = (0, false);
    while let Some(one) = rest.next() {
        if one != '%' {
            printed.push(one);
            continue;
        }
        let mut form = Form::default();
        while let Some(flag) = rest.next_if(|it| "-+# 0".contains(*it)) {
            match flag {
                '-' => form.minus = true,
                '+' => form.plus = true,
                '#' => form.sharp = true,
                ' ' => form.space = true,
                _ => form.zero = true,
            }
        }
        let mut number = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            if rest.next_if_eq(&'*').is_some() {
                let given = arguments.get(next).and_then(Value::as_u64);
                next += 1;
                return given.and_then(|it| usize::try_from(it).ok()).filter(|it| *it <= MOST);
            }
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse().ok().filter(|it| *it <= MOST)
        };
        form.width = number(&mut rest);
        if rest.next_if_eq(&'.').is_some() {
            form.precision = Some(number(&mut rest).unwrap_or(0));
        }
        if rest.next_if_eq(&'[').is_some() {
            let index: String = std::iter::from_fn(|| rest.next_if(|it| *it != ']')).collect();
            rest.next();
            reordered = true;
            next =
                index.parse::<usize>().ok().and_then(|it| it.checked_sub(1)).unwrap_or(usize::MAX);
        }
        match rest.next() {
            None => printed.push_str("%!(NOVERB)"),
            Some('%') => printed.push('%'),
            Some(verb) => {
                if let Some(value) = arguments.get(next) {
                    printed.push_str(&padded(&one_value(value, verb, form), form));
                } else {
                    let what = if reordered { "BADINDEX" } else { "MISSING" };
                    // Writing into a string cannot fail.
                    let _ = write!(printed, "%!{verb}({what})");
                }
                next = next.saturating_add(1);
            }
        }
    }
    if !reordered && next < arguments.len() {
        let extra = arguments[next..].iter().map(|it| format!("{}={}", kind(it), text(it)));
        let _ = write!(printed, "%!(EXTRA {})", extra.collect::<Vec<_>>().join(", "));
    }
    printed
}

/// The name of a value's type in Go.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(it) if it.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn padded(text: &str, form: Form) -> String {
    let missing = form.width.unwrap_or(0).saturating_sub(text.chars().count());
    if form.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    let is_number = text.starts_with(|it: char| it.is_ascii_digit() || "+-".contains(it));
    if !form.zero || !is_number {
        let fill = if form.zero { "0" } else { " " };
        return format!("{}{text}", fill.repeat(missing));
    }
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    format!("{sign}{}{digits}", "0".repeat(missing))
}

fn one_value(value: &Value, verb: char, form: Form) -> String {
    let whole = || value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    match (value, verb) {
        (_, 'T') => kind(value).to_owned(),
        (Value::Array(items), _) => {
            let items: Vec<_> = items.iter().map(|it| one_value(it, verb, form)).collect();
            format!("[{}]", items.join(" "))
        }
        (Value::Object(map), _) => {
            let field = |(name, value): (&String, &Value)| {
                let name =
                    if verb == 'v' && form.plus { format!("{name}:") } else { String::new() };
                // The names were all that it asks for.
                let form = if verb == 'v' { Form { plus: false, ..form } } else { form };
                name + &one_value(value, verb, form)
            };
            format!("{{{}}}", map.iter().map(field).collect::<Vec<_>>().join(" "))
        }
        (Value::Null, 'v') => "<nil>".to_owned(),
        (Value::Null, _) => format!("%!{verb}(<nil>)"),
        (Value::Bool(it), 'v' | 't') => it.to_string(),
        (Value::String(text), 's' | 'v') => cut(text, form).to_owned(),
        (Value::String(text), 'q') if form.sharp && !text.contains('`') => {
            format!("`{}`", cut(text, form))
        }
        (Value::String(text), 'q') => quoted(cut(text, form)),
        (Value::String(text), 'x' | 'X') => hexadecimal(text, verb, form),
        (Value::Number(it), _) if it.is_f64() => float(it.as_f64().unwrap_or_default(), verb, form),
        (Value::Number(_), _) => match whole().and_then(|it| integer(it, verb, form)) {
            Some(text) => text,
            None => wrong(value, verb),
        },
        _ => wrong(value, verb),
    }
}

fn wrong(value: &Value, verb: char) -> String {
    format!("%!{verb}({}={})", kind(value), text(value))
}

/// As many characters as the precision says.
fn cut(text: &str, form: Form) -> &str {
    let end = form.precision.and_then(|count| text.char_indices().nth(count));
    end.map_or(text, |(at, _)| &text[..at])
}

fn hexadecimal(text: &str, verb: char, form: Form) -> String {
    let mut printed = String::new();
    for byte in text.bytes().take(form.precision.unwrap_or(usize::MAX)) {
        // Writing into a string cannot fail.
        let _ =
            if verb == 'x' { write!(printed, "{byte:02x}") } else { write!(printed, "{byte:02X}") };
    }
    printed
}

fn integer(number: i128, verb: char, form: Form) -> Option<String> {
    let size = number.unsigned_abs();
    let character = || u32::try_from(size).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let (prefix, digits) = match verb {
        'd' | 'v' => ("", size.to_string()),
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        'o' => ("0", format!("{size:o}")),
        'O' => return Some(format!("0o{size:o}")),
        'b' => ("0b", format!("{size:b}")),
        'c' => return Some(character().to_string()),
        'q' => return Some(format!("'{}'", character())),
        'U' => return Some(format!("U+{size:04X}")),
        _ => return None,
    };
    let sign = match (number < 0, form.plus, form.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let prefix = if form.sharp { prefix } else { "" };
    let least = form.precision.unwrap_or(0);
    Some(format!("{sign}{prefix}{digits:0>least$}"))
}

fn float(number: f64, verb: char, form: Form) -> String {
    let printed = match (verb, form.precision) {
        ('v' | 'g', None) => shortest(number),
        ('f' | 'F', precision) => format!("{number:.*}", precision.unwrap_or(6)),
        ('e', precision) => exponential(&format!("{number:.*e}", precision.unwrap_or(6))),
        _ => return wrong(&Value::from(number), verb),
    };
    if form.plus && number >= 0.0 { format!("+{printed}") } else { printed }
}
