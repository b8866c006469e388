//! What a plain YAML scalar means, and how Go prints it: exactly the rules of go-yaml.
//!
//! `docker compose` stringifies the *typed* value, so `A: 1.10` reaches a container as `1.1` and
//! `A: 0777` as `511`. Configuration hashes depend on it.

use super::yaml::Value;

/// The value of a plain scalar.
pub fn resolve(text: &str) -> Value {
    match text.as_bytes().first() {
        None => Value::Null,
        Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F') => word(text),
        Some(b'.') => dotted(text),
        Some(b'0'..=b'9' | b'+' | b'-') => number(text),
        Some(_) => Value::String(text.to_owned()),
    }
}

/// A boolean as Compose reads it from a string: `true`, `yes`, `on`, `y`, `1` and their opposites.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// An integer as Go's `strconv.ParseInt(text, 0, 64)` or `ParseUint` reads it.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = digits.len() != text.len();
    let lower = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (radix, digits) = match lower.as_str() {
        "0x" => (16, &digits[2..]),
        "0o" => (8, &digits[2..]),
        "0b" => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    let least = i128::from(i64::MIN);
    let most = if signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (least..=most).contains(&value).then_some(value)
}

/// A number as Go's `fmt.Sprint` prints a `float64`.
pub fn float_text(value: f64) -> String {
    go_float(value, &format!("{value:e}"))
}

/// A number as Go's `fmt.Sprint` prints a `float32`.
pub fn float32_text(value: f32) -> String {
    go_float(f64::from(value), &format!("{value:e}"))
}

/// A number as Go's `encoding/json` prints a `float32`.
pub fn float32_json(value: f32) -> String {
    let magnitude = value.abs();
    if value != 0.0 && !(1e-6..1e21_f32).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        return format!("{mantissa}e{exponent:+}");
    }
    format!("{value}")
}

/// Go's `%v`: shortest digits, an exponent below -4 or from 6 on.
fn go_float(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    plain_digits(mantissa, exponent)
}

/// `1.25` and exponent 1 as `12.5`.
fn plain_digits(mantissa: &str, exponent: i32) -> String {
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = unsigned.chars().filter(char::is_ascii_digit).collect();
    let point = exponent + 1;
    if point <= 0 {
        let zeros = "0".repeat(usize::try_from(-point).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let point = usize::try_from(point).unwrap_or(0);
    if digits.len() <= point {
        return format!("{sign}{digits}{}", "0".repeat(point - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..point], &digits[point..])
}

fn word(text: &str) -> Value {
    match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
}

fn dotted(text: &str) -> Value {
    match text {
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" => Value::Float(f64::INFINITY),
        _ if is_float(text) => float(text),
        _ => Value::String(text.to_owned()),
    }
}

fn number(text: &str) -> Value {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if is_timestamp(text) {
        return Value::Timestamp(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(value) = integer(&digits) {
        return Value::Int(value);
    }
    if is_float(&digits) {
        return float(&digits);
    }
    // go-yaml hands what follows these to a reader that takes a sign.
    let signed = [("0b", 2), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| i64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok());
    signed.map_or_else(|| Value::String(text.to_owned()), |value| Value::Int(value.into()))
}

fn float(text: &str) -> Value {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Value::Float(value),
        _ => Value::String(text.to_owned()),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, whole text.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let some_digits = |part: &str| !part.is_empty() && digits(part);
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => some_digits(fraction),
        Some((whole, fraction)) => some_digits(whole) && digits(fraction),
        None => some_digits(mantissa),
    };
    let exponent_fits = exponent
        .is_none_or(|exponent| some_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    mantissa_fits && exponent_fits
}

/// Whether go-yaml makes a time of it: `2006-1-2`, or that with a time of day.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let mut parts = text[..end].split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let part = |text: Option<&str>| {
        let text = text?;
        let fits =
            matches!(text.len(), 1 | 2 | 4) && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits { text.parse::<u32>().ok() } else { None }
    };
    let (Some(year), Some(month), Some(day)) = (part(year), part(month), part(day)) else {
        return false;
    };
    let date = i32::try_from(year).ok();
    let date = date.and_then(|year| chrono::NaiveDate::from_ymd_opt(year, month, day));
    if parts.next().is_some() || date.is_none() {
        return false;
    }
    end == text.len() || is_time_of_day(&text[end + 1..], !text[end..].starts_with(' '))
}

fn is_time_of_day(text: &str, zoned: bool) -> bool {
    let clock = if zoned {
        match text.strip_suffix(['Z']) {
            Some(clock) => clock,
            None => match text.rfind(['+', '-']) {
                Some(at) if text.len() - at == 6 => &text[..at],
                Some(_) | None => return false,
            },
        }
    } else {
        text
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next(), parts.next(), parts.next());
    let below = |text: Option<&str>, limit: u32| {
        text.is_some_and(|text| text.len() <= 2 && text.parse().is_ok_and(|n: u32| n < limit))
    };
    let second = second.map(|second| second.split('.').next().unwrap_or(second));
    below(hour, 24) && below(minute, 60) && below(second, 60) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(resolve(text).scalar_text().unwrap_or("null".into()), expected, "{text}");
    }

    #[test]
    fn types_and_prints_scalars_as_go_does() {
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nil", "nil"),
            ("yes", "yes"),
            ("True", "true"),
            ("0777", "511"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("0b11", "3"),
            ("-0b11", "-3"),
            ("0o-01", "-1"),
            ("0b+1_1", "3"),
            ("-0o-1", "-0o-1"),
            ("0x-1", "0x-1"),
            ("1_000", "1000"),
            ("0123456789", "1.23456789e+08"),
            ("1.10", "1.1"),
            ("1e3", "1000"),
            ("1234567.5", "1.2345675e+06"),
            ("123456.75", "123456.75"),
            ("1e300", "1e+300"),
            (".5", "0.5"),
            ("1.", "1"),
            ("0.00001", "1e-05"),
            ("60:30", "60:30"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("+12", "12"),
            ("-", "-"),
            ("1.2.3", "1.2.3"),
            ("2020-13-01", "2020-13-01"),
            ("100000000.5", "1.000000005e+08"),
        ] {
            check(text, expected);
        }
        assert!(matches!(resolve("2020-01-01"), Value::Timestamp(_)));
        assert!(matches!(resolve("2020-01-01T10:00:00Z"), Value::Timestamp(_)));
        assert!(matches!(resolve("2020-01-01 10:00:00"), Value::Timestamp(_)));
    }
}
