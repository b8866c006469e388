//! Durations, sizes and quoted text as docker prints them (`docker/go-units`, Go's `strconv.Quote`).

use std::fmt::Write;

/// A duration in one unit: `Less than a second`, `3 minutes`, `About an hour`.
pub(super) fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, all else is cut off.
    let hours = (seconds + 1_800) / 3_600;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3_600 / 24 / 365),
    }
}

/// A size with decimal units and this many digits: `1.99MB`.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn size(bytes: i64, digits: usize) -> String {
    scaled(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], digits)
}

/// A size with binary units and four digits: `1.89MiB`.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn binary_size(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn scaled(mut number: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    format!("{}{}", significant(number, digits), units[unit])
}

/// Go's `%.Ng`: so many significant digits, without zeros at the end.
fn significant(number: f64, digits: usize) -> String {
    let before = if number < 1.0 { 1 } else { format!("{}", number.trunc()).len() };
    let text = format!("{number:.*}", digits.saturating_sub(before));
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// At most `width` characters, the last one an ellipsis where some were cut.
pub(super) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Text in double quotes, with Go's escapes.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for one in text.chars() {
        match one {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            one if one.is_ascii_control() => {
                // Writing into a string cannot fail.
                let _ = write!(quoted, "\\x{:02x}", one as u32);
            }
            one => quoted.push(one),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_docker_prints_them() {
        for (seconds, expected) in [
            (-1, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (3_600, "About an hour"),
            (5_400, "2 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_184_000, "2 months"),
            (63_072_000, "2 years"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1_985_476, "1.99MB"),
            (12_300_000, "12.3MB"),
            (100_000_000, "100MB"),
            (4_000, "4kB"),
        ] {
            assert_eq!(size(bytes, 3), expected, "{bytes}");
        }
        assert_eq!(binary_size(1_982_464), "1.891MiB");
        assert_eq!(binary_size(512), "512B");
    }

    #[test]
    fn commands_are_cut_and_quoted() {
        assert_eq!(ellipsis("sh -c 'echo one; echo two'", 20), "sh -c 'echo one; ec…");
        assert_eq!(ellipsis("short", 20), "short");
        assert_eq!(quoted("a \"b\"\n\x1b\\"), r#""a \"b\"\n\x1b\\""#);
    }
}
