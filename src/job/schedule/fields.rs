//! The fields of a cron expression, read one by one so that an error can name the bad one.

use std::sync::Arc;

use super::Dialect;
use super::days::Days;
use super::stable::{dkron_hash, stable_hash, within};

/// A cron expression, read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fields {
    /// Bits of the seconds.
    pub(super) seconds: u64,
    /// Bits of the minutes.
    pub(super) minutes: u64,
    /// Bits of the hours.
    pub(super) hours: u32,
    pub(super) days: Days,
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

const SECOND: Field = Field { name: "second", lowest: 0, highest: 59, names: &[], valid: "*/10" };
const MINUTE: Field = Field { name: "minute", lowest: 0, highest: 59, names: &[], valid: "*/5" };
const HOUR: Field = Field { name: "hour", lowest: 0, highest: 23, names: &[], valid: "9-17" };
const DAY: Field =
    Field { name: "day of month", lowest: 1, highest: 31, names: &[], valid: "1,15" };
const MONTH: Field = Field { name: "month", lowest: 1, highest: 12, names: &MONTHS, valid: "1-6" };
// 7 is Sunday too, so that `5-7` and `SAT-SUN` are ranges.
const WEEKDAY: Field =
    Field { name: "day of week", lowest: 0, highest: 7, names: &WEEKDAYS, valid: "MON-FRI" };
/// Quartz counts from 1, Sunday.
const QUARTZ_WEEKDAY: Field = Field { lowest: 1, ..WEEKDAY };
const YEAR: Field =
    Field { name: "year", lowest: 1970, highest: 2199, names: &[], valid: "2027-2029" };

/// What stands between the blanks, each in its place. What an expression leaves out is as if written so.
struct Parts<'a> {
    second: &'a str,
    minute: &'a str,
    hour: &'a str,
    day: &'a str,
    month: &'a str,
    weekday: &'a str,
    year: &'a str,
}

/// One item of a list: a range with a step.
#[derive(Clone, Copy)]
struct Item {
    first: u32,
    last: u32,
    step: u32,
}

impl Item {
    fn values(self) -> impl Iterator<Item = u32> {
        (self.first..=self.last).step_by(self.step as usize)
    }
}

/// What the fields of `text` mean in `dialect`, and the same text in our own. The error names the bad field.
pub(super) fn read(
    text: &str,
    dialect: Dialect,
    name: Option<&str>,
) -> Result<(Fields, String), String> {
    let written: Vec<&str> = text.split_whitespace().collect();
    let parts = place(&written, dialect).ok_or_else(|| {
        let count = written.len();
        let fields = if count == 1 { "field" } else { "fields" };
        format!("`{text}` has {count} {fields}: {}", dialect.expected())
    })?;
    let reader = Reader { text, dialect, name };
    reader.read(&parts)
}

fn place<'a>(written: &[&'a str], dialect: Dialect) -> Option<Parts<'a>> {
    let seconds_last = matches!(dialect, Dialect::Supercronic);
    Some(match *written {
        [second, minute, hour, day, month] if dialect == Dialect::Ofelia03 => {
            Parts { second, minute, hour, day, month, weekday: "*", year: "*" }
        }
        [minute, hour, day, month, weekday]
            if !matches!(dialect, Dialect::Dkron | Dialect::Quartz) =>
        {
            Parts { second: "0", minute, hour, day, month, weekday, year: "*" }
        }
        [minute, hour, day, month, weekday, year] if seconds_last => {
            Parts { second: "0", minute, hour, day, month, weekday, year }
        }
        [second, minute, hour, day, month, weekday] => {
            Parts { second, minute, hour, day, month, weekday, year: "*" }
        }
        [second, minute, hour, day, month, weekday, year]
            if matches!(dialect, Dialect::Default | Dialect::Supercronic | Dialect::Quartz) =>
        {
            Parts { second, minute, hour, day, month, weekday, year }
        }
        _ => return None,
    })
}

struct Reader<'a> {
    text: &'a str,
    dialect: Dialect,
    name: Option<&'a str>,
}

impl Reader<'_> {
    fn read(&self, parts: &Parts<'_>) -> Result<(Fields, String), String> {
        let weekday_field = match self.dialect {
            Dialect::Quartz => &QUARTZ_WEEKDAY,
            _ => &WEEKDAY,
        };
        if self.dialect == Dialect::Quartz && (parts.day == "?") == (parts.weekday == "?") {
            return Err(format!(
                "`{}`: Quartz wants `?` in exactly one of day of month and day of week, e.g. \
                 `0 0 5 ? * MON`",
                self.text
            ));
        }
        let second = self.resolve(parts.second, &SECOND)?;
        let minute = self.resolve(parts.minute, &MINUTE)?;
        let hour = self.resolve(parts.hour, &HOUR)?;
        let mut day = self.resolve(parts.day, &DAY)?;
        let month = self.resolve(parts.month, &MONTH)?;
        let mut weekday = self.resolve(parts.weekday, weekday_field)?;
        if self.dialect.a_step_restricts() {
            restrict(&mut day, &DAY);
            restrict(&mut weekday, &Field { highest: 6, ..WEEKDAY });
        }
        let mut days = Days { months: bits16(&self.set(&month, &MONTH)?), ..Days::default() };
        self.read_days(&day, &mut days)?;
        let weekday = self.read_weekdays(&weekday, weekday_field, &mut days)?;
        let is_star = |part: &str| part.starts_with(['*', '?']);
        days.both |= is_star(&day) || is_star(&weekday);
        if parts.year != "*" {
            let years = self.set(parts.year, &YEAR)?;
            let mut years: Vec<u16> = years
                .iter()
                .flat_map(|item| item.values())
                .filter_map(|it| it.try_into().ok())
                .collect();
            years.sort_unstable();
            years.dedup();
            days.years = Some(Arc::from(years));
        }
        let clock_fields = [&second, &minute, &hour];
        let fields = Fields {
            seconds: bits(&self.set(&second, &SECOND)?),
            minutes: bits(&self.set(&minute, &MINUTE)?),
            hours: bits32(&self.set(&hour, &HOUR)?),
            days,
            follows_wall_clock: clock_fields.iter().any(|part| part.contains(['*', '-', '/'])),
        };
        let mut text = Vec::new();
        // What was written in our dialect stays as it was: `0 0 5 * * *` is not shortened.
        let written = match self.dialect {
            Dialect::Default => self.text.split_whitespace().count(),
            _ => 5,
        };
        let with_year = parts.year != "*" || written == 7;
        if second != "0" || with_year || written == 6 {
            text.push(second.as_str());
        }
        text.extend([&minute, &hour, &day, &month, &weekday].map(String::as_str));
        text.extend(with_year.then_some(parts.year));
        Ok((fields, text.join(" ")))
    }

    /// Names the field in an error.
    fn wrong(&self, part: &str, field: &Field, reason: &str) -> String {
        let Field { name, valid, .. } = field;
        format!("`{part}` is no {name} in `{}`: {reason}, e.g. `{valid}`", self.text)
    }

    /// Writes out what `H` and `~` stand for.
    fn resolve(&self, part: &str, field: &Field) -> Result<String, String> {
        let wrong = |reason: String| self.wrong(part, field, &reason);
        if self.dialect == Dialect::Dkron && part.contains('~') {
            let name = self.name.ok_or_else(|| wrong(NEEDS_A_NAME.to_owned()))?;
            return Ok(part.replace('~', &dkron_value(name, field).to_string()));
        }
        let items: Result<Vec<String>, String> =
            part.split(',').map(|item| self.resolve_item(item, field)).collect();
        items.map(|items| items.join(",")).map_err(wrong)
    }

    fn resolve_item(&self, item: &str, field: &Field) -> Result<String, String> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (item, None),
        };
        // Months have fewer days than 31, and 7 is Sunday a second time.
        let highest = match field.name {
            "day of month" => 28,
            "day of week" => field.lowest + 6,
            _ => field.highest,
        };
        let (lowest, highest, is_hash) = if base == "H" {
            (field.lowest, highest, true)
        } else if let Some(range) = base.strip_prefix("H(").and_then(|it| it.strip_suffix(')')) {
            let (first, last) =
                range.split_once('-').ok_or_else(|| "`H` takes a range; write one".to_owned())?;
            let range = read_range(first, last, field)?;
            (range.0, range.1, true)
        } else if let Some((first, last)) = base.split_once('~') {
            let bound = |text: &str, default| {
                if text.is_empty() { Ok(default) } else { read_value(&text.to_uppercase(), field) }
            };
            (bound(first, field.lowest)?, bound(last, highest)?, false)
        } else {
            return Ok(item.to_owned());
        };
        if lowest > highest {
            return Err("the range ends before it starts; write it the other way round".to_owned());
        }
        let name = self.name.ok_or_else(|| NEEDS_A_NAME.to_owned())?;
        let hash = stable_hash(&[name, field.name]);
        match step {
            None => Ok(within(hash, lowest, highest).to_string()),
            // `H/15`: every 15, from a place within the first 15.
            Some(step) if is_hash => {
                let step = read_step(step, field)?;
                let first = within(hash, lowest, highest.min(lowest + step - 1));
                Ok(format!("{first}-{highest}/{step}"))
            }
            Some(_) => Err("`~` draws one value and takes no step; write `H/15`".to_owned()),
        }
    }

    fn set(&self, part: &str, field: &Field) -> Result<Vec<Item>, String> {
        let items: Result<Vec<Item>, String> = part
            .split(',')
            .map(|item| read_item(&item.to_uppercase(), field, self.dialect))
            .collect();
        items.map_err(|reason| self.wrong(part, field, &reason))
    }

    fn read_days(&self, part: &str, days: &mut Days) -> Result<(), String> {
        let wrong = |reason: String| self.wrong(part, &DAY, &reason);
        if part == "?" {
            days.dates = bits32(&[Item { first: 1, last: 31, step: 1 }]);
            return Ok(());
        }
        for item in part.split(',') {
            let item = item.to_uppercase();
            if item == "LW" || item == "WL" {
                days.last_working_day = true;
            } else if let Some(before) = item.strip_prefix('L') {
                let before = match before.strip_prefix('-').map(str::parse::<u32>) {
                    None if before.is_empty() => 0,
                    Some(Ok(before)) if (1..=30).contains(&before) => before,
                    _ => {
                        let reason =
                            "`L` is the last day and `L-3` three days before it; write one";
                        return Err(wrong(reason.to_owned()));
                    }
                };
                days.before_last |= 1 << before;
            } else if let Some(day) = item.strip_suffix('W') {
                days.nearest |= 1 << read_value(day, &DAY).map_err(wrong)?;
            } else {
                let item = read_item(&item, &DAY, self.dialect).map_err(wrong)?;
                days.dates |= bits32(&[item]);
            }
        }
        Ok(())
    }

    /// Returns the field as it reads in our dialect.
    fn read_weekdays(&self, part: &str, field: &Field, days: &mut Days) -> Result<String, String> {
        let wrong = |reason: String| self.wrong(part, field, &reason);
        if part == "?" {
            days.weekdays = 0x7f;
            return Ok(part.to_owned());
        }
        // `+MON`: this day of the week and that day of the month (Open Cron Pattern Specification 1.4).
        let list = part.strip_prefix('+').unwrap_or(part);
        days.both |= list.len() < part.len();
        let mut read = Vec::new();
        for written in list.split(',') {
            let item = written.to_uppercase();
            let (day, nth) = match item.split_once('#') {
                Some((day, nth)) => (day, Some(nth)),
                // A lone `L` is no day, and `JUL` no weekday.
                None => match item.strip_suffix('L') {
                    Some(day) if !day.is_empty() => (day, Some("L")),
                    _ => (item.as_str(), None),
                },
            };
            let Some(nth) = nth else {
                let item = read_item(&item, field, self.dialect).map_err(wrong)?;
                for value in item.values() {
                    days.weekdays |= 1 << self.weekday(value);
                }
                read.push(self.weekday_text(written, item));
                continue;
            };
            let day = self.weekday(read_value(day, field).map_err(wrong)?);
            match nth {
                "L" => days.last_weekdays |= 1 << day,
                "1" | "2" | "3" | "4" | "5" => {
                    days.nth[nth.parse::<usize>().expect("a digit") - 1] |= 1 << day;
                }
                _ => {
                    let reason = "after `#` stands 1 to 5, or `L` for the last; write one";
                    return Err(wrong(reason.to_owned()));
                }
            }
            read.push(match self.dialect {
                Dialect::Quartz => format!("{day}#{nth}"),
                _ => written.to_owned(),
            });
        }
        Ok(format!("{}{}", &part[..part.len() - list.len()], read.join(",")))
    }

    /// Sunday is 0.
    fn weekday(&self, value: u32) -> u32 {
        match self.dialect {
            Dialect::Quartz => (value - 1) % 7,
            _ => value % 7,
        }
    }

    fn weekday_text(&self, written: &str, item: Item) -> String {
        if self.dialect != Dialect::Quartz || written.starts_with('*') {
            return written.to_owned();
        }
        let days: Vec<String> = item.values().map(|it| self.weekday(it).to_string()).collect();
        days.join(",")
    }
}

const NEEDS_A_NAME: &str =
    "what is drawn from the job's name needs that name, which is not known here; write a value";

/// In robfig/cron version 3 only a step of one leaves a star a star.
fn restrict(part: &mut String, field: &Field) {
    if let Some(step) = part.strip_prefix("*/")
        && step != "1"
    {
        *part = format!("{}-{}/{step}", field.lowest, field.highest);
    }
}

/// Dkron's `~`: <https://dkron.io/docs/usage/cron-spec>.
fn dkron_value(name: &str, field: &Field) -> u32 {
    let (lowest, highest) = match field.name {
        "hour" => (0, 23),
        "day of month" => (1, 28),
        "month" => (1, 12),
        "day of week" => (0, 6),
        _ => (0, 59),
    };
    within(dkron_hash(name), lowest, highest)
}

fn bits(items: &[Item]) -> u64 {
    items.iter().flat_map(|item| item.values()).fold(0, |bits, value| bits | 1 << value)
}

fn bits32(items: &[Item]) -> u32 {
    u32::try_from(bits(items)).expect("values below 32")
}

fn bits16(items: &[Item]) -> u16 {
    u16::try_from(bits(items)).expect("values below 16")
}

fn read_item(item: &str, field: &Field, dialect: Dialect) -> Result<Item, String> {
    if item.is_empty() {
        return Err("an item of the list is empty; write values".to_owned());
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(read_step(step, field)?)),
        None => (item, None),
    };
    // A star over 0 to 7 would name Sunday twice, and with a step other days than 0 to 6.
    let highest =
        if field.name == WEEKDAY.name && dialect != Dialect::Quartz { 6 } else { field.highest };
    let (first, last) = if base == "*" {
        (field.lowest, highest)
    } else if let Some((first, last)) = base.split_once('-') {
        read_range(first, last, field)?
    } else {
        let first = read_value(base, field)?;
        // `5/15` is what people mean by `5-59/15`.
        (first, if step.is_some() { highest.max(first) } else { first })
    };
    Ok(Item { first, last, step: step.unwrap_or(1) })
}

fn read_range(first: &str, last: &str, field: &Field) -> Result<(u32, u32), String> {
    let start = read_value(first, field)?;
    let mut end = read_value(last, field)?;
    if field.name == WEEKDAY.name && field.lowest == 0 && end == 0 && start > 0 {
        end = 7;
    }
    if start > end {
        return Err(format!(
            "the range ends before it starts; write two, `{first}-{}` and `{}-{last}`",
            field.highest, field.lowest
        ));
    }
    Ok((start, end))
}

fn read_step(step: &str, field: &Field) -> Result<u32, String> {
    let highest = if field.name == YEAR.name { 100 } else { field.highest };
    let value = step.parse().unwrap_or(0);
    if value == 0 || value > highest {
        return Err(format!("a step is 1 to {highest}; write one"));
    }
    Ok(value)
}

fn read_value(text: &str, field: &Field) -> Result<u32, String> {
    if let Some(position) = field.names.iter().position(|name| *name == text.to_uppercase()) {
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
