//! Durations and sizes as Compose files write them and as Go prints them.

use std::time::Duration;

/// Reads `1h30m`, `1.5s`, `2d`, `1w`; a number needs a unit, except `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("invalid duration `{text}`: expected e.g. `90s`, `1m30s` or `2h`");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(format!("duration `{text}` is negative"));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| {
            format!(
                "duration `{text}` has no unit: expected e.g. `{text}s`, `{text}m` or `{text}h`"
            )
        })?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let nanos = unit_nanos(unit).ok_or_else(invalid)?;
        total =
            scaled(number, nanos).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
        rest = after;
    }
    // Go keeps durations in a signed 64-bit number of nanoseconds.
    let nanos = i64::try_from(total).map_err(|_| format!("duration `{text}` is too long"))?;
    Ok(Duration::from_nanos(nanos.unsigned_abs()))
}

/// Prints a duration as Go does: `1m30s`, `1h0m0s`, `1.5s`, `100µs`.
pub fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {}
    }
    let seconds = duration.as_secs();
    let last = decimal(nanos - u128::from(seconds / 60 * 60) * 1_000_000_000, 1_000_000_000);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{last}s"),
        (0, minutes) => format!("{minutes}m{last}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{last}s"),
    }
}

/// Reads `64m`, `1.5g`, `10 kb`, `2GiB`, `100`: units are powers of 1024.
pub fn bytes(text: &str) -> Result<i64, String> {
    let invalid =
        || format!("invalid size `{text}`: expected e.g. `512m`, `1.5g` or a number of bytes");
    let last =
        text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let power = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(invalid()),
    };
    let size = number_of(number).filter(|_| !number.starts_with('-')).ok_or_else(invalid)?;
    let size = size * 1024_f64.powi(power);
    if size >= 2_f64.powi(63) {
        return Err(format!("impossible size `{text}`: it is too large"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole bytes, as Docker truncates")]
    Ok(size as i64)
}

/// A decimal number as Go writes it: with an exponent, and with `_` between digits.
fn number_of(text: &str) -> Option<f64> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let fits = |(at, c): (usize, char)| match c {
        '_' => at > 0 && is_digit(at - 1) && is_digit(at + 1),
        _ => c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'),
    };
    text.char_indices().all(fits).then(|| text.replace('_', "").parse().ok())?
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => return None,
    })
}

/// A decimal number times a unit.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(fraction_of(fraction, unit))
}

/// Decimals times a unit, rounded as Go rounds: in a `float64`, of as many digits as 63 bits hold.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what Go does; the result is positive and less than the unit"
)]
fn fraction_of(digits: &str, unit: u128) -> u128 {
    let (mut value, mut scale) = (0_u64, 1_f64);
    for digit in digits.bytes() {
        let next = (value <= i64::MAX as u64 / 10).then(|| value * 10 + u64::from(digit - b'0'));
        let Some(next) = next.filter(|next| *next <= 1 << 63) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u128
}

/// `value / unit` with as many decimals as it needs.
fn decimal(value: u128, unit: u128) -> String {
    let width = unit.to_string().len() - 1;
    let fraction = format!("{:0width$}", value % unit);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        fraction => format!("{}.{fraction}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_durations_as_go_does() {
        for (text, expected) in [
            ("0", "0s"),
            ("0s", "0s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("1d", "24h0m0s"),
            ("1w2d", "216h0m0s"),
            ("1500ms", "1.5s"),
            ("1h0.5s", "1h0m0.5s"),
            ("100us", "100µs"),
            ("7ns", "7ns"),
            ("1.25ms", "1.25ms"),
            (".5s", "500ms"),
            (".592233720360092233720360d", "14h12m48.993439111s"),
            ("1.000000001s", "1.000000001s"),
            ("0.3h", "18m0s"),
        ] {
            assert_eq!(duration(text).map(duration_text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "10", "-5s", "s", "1x", "1.2.3s", ".s", "99999999w", "1é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("100", 100),
            ("1.5g", 1_610_612_736),
            ("1.5 GB", 1_610_612_736),
            ("10kib", 10_240),
            ("10 b", 10),
            ("64M", 67_108_864),
            ("+1_0e-1k", 1024),
            ("1e3 k", 1_024_000),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-1",
            "5x",
            "g",
            "1e",
            "1__0",
            "_1",
            "1_e3",
            "1..2",
            "10 kk",
            "é",
            "99999999p",
            "1e400",
            "inf",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
