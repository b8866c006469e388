//! Durations as people write them: `90s`, `1h30m`, `2d`.

use std::time::Duration;

/// Units by the letters after a number, with their length in milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads `text` as a sum of numbers with units, e.g. `1h30m`; the error says what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is no duration: write a number and a unit, e.g. `90s` or `1h30m`");
    let mut rest = text.trim();
    let mut milliseconds = 0_u64;
    if rest.is_empty() {
        return Err(expected());
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(expected)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let amount: u64 = number.parse().map_err(|_| expected())?;
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| {
            format!("`{text}` is no duration: the units are `w`, `d`, `h`, `m`, `s` and `ms`")
        })?;
        milliseconds = amount
            .checked_mul(*length)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = next;
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Writes a duration so that [`parse`] reads it back, without weeks: `1h30m`; below a millisecond
/// nothing is kept.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS.into_iter().skip(1) {
        if rest >= length {
            text.push_str(&(rest / length).to_string());
            text.push_str(unit);
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sums_and_writes_them_back() {
        let rows = [
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("2d", 172_800_000, "2d"),
            ("1w", 604_800_000, "7d"),
            ("500ms", 500, "500ms"),
            (" 1m ", 60_000, "1m"),
            ("0s", 0, "0s"),
        ];
        for (text, milliseconds, written) in rows {
            let duration = parse(text).expect(text);
            assert_eq!(duration, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(format(duration), written, "{text}");
            assert_eq!(parse(written), Ok(duration), "{written}");
        }
    }

    #[test]
    fn names_what_it_cannot_read() {
        for text in ["", "90", "s", "1y", "-1s", "1.5h", "1h 30m", "1h30", "99999999999999999w"] {
            let message = parse(text).expect_err(text);
            assert!(message.contains('`'), "{text}: {message}");
        }
    }
}
