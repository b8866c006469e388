//! The fields of a cron expression, checked one by one so that an error can name the bad one.

/// A cron expression whose fields are each valid.
pub(super) struct Fields {
    /// The same expression in numbers, for the parser.
    pub(super) normalised: String,
    /// One of the two day fields starts with `*`: a day must match both, else either.
    pub(super) days_must_both_match: bool,
    /// Seconds, minutes or hours hold a `*`, a range or a step.
    pub(super) follows_wall_clock: bool,
}

struct Field {
    name: &'static str,
    lowest: u32,
    highest: u32,
    /// Names of values, the first for `lowest`.
    names: &'static [&'static str],
    valid: &'static str,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field { name: "second", lowest: 0, highest: 59, names: &[], valid: "*/10" },
    Field { name: "minute", lowest: 0, highest: 59, names: &[], valid: "*/5" },
    Field { name: "hour", lowest: 0, highest: 23, names: &[], valid: "9-17" },
    Field { name: "day of month", lowest: 1, highest: 31, names: &[], valid: "1,15" },
    Field { name: "month", lowest: 1, highest: 12, names: &MONTHS, valid: "1-6" },
    // 7 is Sunday too, so that `5-7` and `SAT-SUN` are ranges.
    Field { name: "day of week", lowest: 0, highest: 7, names: &WEEKDAYS, valid: "MON-FRI" },
];
const DAY_OF_MONTH: &str = "day of month";
const DAY_OF_WEEK: &str = "day of week";

/// Reads the fields of `text`; the error names the bad one.
pub(super) fn read(text: &str) -> Result<Fields, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let skipped = match parts.len() {
        6 => 0,
        5 => 1,
        count => {
            return Err(format!(
                "`{text}` has {count} fields: write five (minute hour day-of-month month \
                 day-of-week) or six with seconds first, e.g. `*/5 * * * *`"
            ));
        }
    };
    let mut normalised = Vec::new();
    for (part, field) in parts.iter().zip(&FIELDS[skipped..]) {
        let read = read_field(part, field).map_err(|reason| {
            let Field { name, valid, .. } = field;
            format!("`{part}` is no {name} in `{text}`: {reason}, e.g. `{valid}`")
        })?;
        normalised.push(read);
    }
    let days = &normalised[3 - skipped..];
    let days_must_both_match = days[0].starts_with('*') || days[2].starts_with('*');
    let clock_fields = &parts[..3 - skipped];
    let follows_wall_clock = clock_fields.iter().any(|part| part.contains(['*', '-', '/']));
    Ok(Fields { normalised: normalised.join(" "), days_must_both_match, follows_wall_clock })
}

fn read_field(text: &str, field: &Field) -> Result<String, String> {
    if text == "?" && (field.name == DAY_OF_MONTH || field.name == DAY_OF_WEEK) {
        return Ok("*".to_owned());
    }
    let items: Result<Vec<String>, String> =
        text.split(',').map(|item| read_item(&item.to_uppercase(), field)).collect();
    Ok(items?.join(","))
}

fn read_item(item: &str, field: &Field) -> Result<String, String> {
    if item.is_empty() {
        return Err("an item of the list is empty; write values".to_owned());
    }
    if let Some(day) = read_special_day(item, field) {
        return day;
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(read_step(step, field)?)),
        None => (item, None),
    };
    let range = if base == "*" {
        "*".to_owned()
    } else if let Some((first, last)) = base.split_once('-') {
        read_range(first, last, field)?
    } else {
        let first = read_value(base, field)?;
        // `5/15` is what people mean by `5-59/15`.
        if step.is_some() { format!("{first}-{}", field.highest) } else { first.to_string() }
    };
    Ok(match step {
        Some(step) => format!("{range}/{step}"),
        None => range,
    })
}

/// `L`, `LW` and `15W` in days of the month; `5L` and `FRI#2` in days of the week.
fn read_special_day(item: &str, field: &Field) -> Option<Result<String, String>> {
    if field.name == DAY_OF_MONTH {
        if item == "L" || item == "LW" {
            return Some(Ok(item.to_owned()));
        }
        let day = item.strip_suffix('W')?;
        return Some(read_value(day, field).map(|day| format!("{day}W")));
    }
    if field.name != DAY_OF_WEEK {
        return None;
    }
    let (day, nth) = match item.split_once('#') {
        Some((day, nth)) => (day, nth),
        None => (item.strip_suffix('L')?, "L"),
    };
    if !matches!(nth, "1" | "2" | "3" | "4" | "5" | "L") {
        return Some(Err("after `#` stands 1 to 5, or `L` for the last; write one".to_owned()));
    }
    Some(read_value(day, field).map(|day| format!("{}#{nth}", day % 7)))
}

fn read_range(first: &str, last: &str, field: &Field) -> Result<String, String> {
    let start = read_value(first, field)?;
    let mut end = read_value(last, field)?;
    if field.name == DAY_OF_WEEK && end == 0 && start > 0 {
        end = 7;
    }
    if start > end {
        return Err(format!(
            "the range ends before it starts; write two, `{first}-{}` and `{}-{last}`",
            field.highest, field.lowest
        ));
    }
    Ok(format!("{start}-{end}"))
}

fn read_step(step: &str, field: &Field) -> Result<u32, String> {
    let value = step.parse().unwrap_or(0);
    if value == 0 || value > field.highest {
        return Err(format!("a step is 1 to {}; write one", field.highest));
    }
    Ok(value)
}

fn read_value(text: &str, field: &Field) -> Result<u32, String> {
    if let Some(position) = field.names.iter().position(|name| *name == text) {
        let position = u32::try_from(position).expect("there are at most twelve names");
        return Ok(position + field.lowest);
    }
    let number =
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match number {
        Some(value) if (field.lowest..=field.highest).contains(&value) => Ok(value),
        _ => Err(format!("values are {} to {}; write them", field.lowest, field.highest)),
    }
}
