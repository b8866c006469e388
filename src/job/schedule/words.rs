//! Schedules in plain words.

use super::expression::Expression;
use super::fields::Fields;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const NTH: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
const ALL_DAYS: u32 = 0xffff_fffe;
const ALL_MONTHS: u16 = 0x1ffe;
const ALL_WEEKDAYS: u8 = 0x7f;
/// More times of day than these are told by their hours and minutes.
const MOST_TIMES: u32 = 6;

/// When an expression runs, to follow on "runs": `at 05:07 every day`.
pub(super) fn of(expression: &Expression) -> String {
    if expression.never_comes() {
        return "never".to_owned();
    }
    let fields = expression.fields();
    let (times, repeats) = times(fields);
    match days(fields) {
        Some(days) => format!("{times} {days}"),
        None if repeats => times,
        None => format!("{times} every day"),
    }
}

/// The times of a day, and whether they repeat so that "every day" needs no saying.
fn times(fields: &Fields) -> (String, bool) {
    let Fields { seconds, minutes, hours, .. } = *fields;
    let hours = u64::from(hours);
    let count = seconds.count_ones() * minutes.count_ones() * hours.count_ones();
    if count <= MOST_TIMES {
        let mut times = Vec::new();
        for hour in set(hours) {
            for minute in set(minutes) {
                for second in set(seconds) {
                    times.push(match seconds {
                        1 => format!("{hour:02}:{minute:02}"),
                        _ => format!("{hour:02}:{minute:02}:{second:02}"),
                    });
                }
            }
        }
        return (format!("at {}", listed(&times, "and")), false);
    }
    let second = (seconds != 1).then(|| part(seconds, 60, "second"));
    let minute = part(minutes, 60, "minute");
    let every_hour = hours.count_ones() == 24;
    let hour = match hours_text(hours) {
        Some(text) => format!(" {text}"),
        None => String::new(),
    };
    let is_each = |text: &str| text.starts_with("every");
    let text = match second {
        None if is_each(&minute) => format!("{minute}{hour}"),
        None if every_hour => format!("at {minute} of every hour"),
        None => format!("at {minute}{}", of_hours(hours)),
        Some(second) if minutes.count_ones() == 60 && is_each(&second) => format!("{second}{hour}"),
        Some(second) if minutes.count_ones() == 60 => format!("at {second} of every minute{hour}"),
        Some(second) => {
            let at = if is_each(&second) { "" } else { "at " };
            let of = if every_hour { " of every hour".to_owned() } else { of_hours(hours) };
            format!("{at}{second} in {minute}{of}")
        }
    };
    (text, every_hour || step(hours, 24).is_some())
}

/// The values of a field of a clock: `every 5 minutes`, `minute 20`, `minutes 10 to 15`.
fn part(bits: u64, size: u32, unit: &str) -> String {
    if bits.count_ones() == size {
        return format!("every {unit}");
    }
    match step(bits, size) {
        Some((0, step)) => format!("every {step} {unit}s"),
        Some((first, step)) => format!("every {step} {unit}s from {unit} {first}"),
        None if bits.is_power_of_two() => format!("{unit} {}", bits.trailing_zeros()),
        None => format!("{unit}s {}", ranges(bits, |value| value.to_string())),
    }
}

/// Which hours, after something that repeats within them; nothing for all of them.
fn hours_text(hours: u64) -> Option<String> {
    if hours.count_ones() == 24 {
        return None;
    }
    let (first, last) = (hours.trailing_zeros(), hours.ilog2());
    Some(match step(hours, 24) {
        _ if is_range(hours) => format!("from {first:02}:00 to {last:02}:59"),
        Some((0, step)) => format!("in every {}hour", ordinal(step)),
        Some((first, step)) => format!("in every {}hour from {first:02}:00", ordinal(step)),
        None => format!("in the hours {}", ranges(hours, |hour| hour.to_string())),
    })
}

fn of_hours(hours: u64) -> String {
    match (step(hours, 24), is_range(hours)) {
        (_, true) if hours.count_ones() > 1 => {
            let (first, last) = (hours.trailing_zeros(), hours.ilog2());
            format!(" of every hour from {first:02}:00 to {last:02}:59")
        }
        (Some((0, step)), _) => format!(" of every {}hour", ordinal(step)),
        (Some((first, step)), _) => format!(" of every {}hour from {first:02}:00", ordinal(step)),
        (None, _) if hours.is_power_of_two() => format!(" of hour {}", hours.trailing_zeros()),
        (None, _) => format!(" of the hours {}", ranges(hours, |hour| hour.to_string())),
    }
}

fn ordinal(step: u32) -> String {
    match step {
        2 => "second ".to_owned(),
        3 => "third ".to_owned(),
        other => format!("{other}th "),
    }
}

/// Which days, or nothing for all of them.
fn days(fields: &Fields) -> Option<String> {
    let days = &fields.days;
    let any_day = days.dates == ALL_DAYS;
    let any_weekday = days.weekdays == ALL_WEEKDAYS;
    let mut of_month = Vec::new();
    if days.dates != 0 && !any_day {
        let one = days.dates.is_power_of_two();
        let list = if let Some((first, step)) = step(u64::from(days.dates) >> 1, 31) {
            format!("every {}day from day {}", ordinal(step), first + 1)
        } else {
            let list = ranges(u64::from(days.dates), |day| day.to_string());
            format!("on {} {list}", if one { "day" } else { "days" })
        };
        of_month.push(format!("{list} of the month"));
    }
    for before in set(u64::from(days.before_last)) {
        of_month.push(match before {
            0 => "on the last day of the month".to_owned(),
            1 => "on the day before the last of the month".to_owned(),
            _ => format!("{before} days before the last of the month"),
        });
    }
    if days.last_working_day {
        of_month.push("on the last working day of the month".to_owned());
    }
    for day in set(u64::from(days.nearest)) {
        of_month.push(format!("on the working day nearest to day {day} of the month"));
    }
    let mut of_week = Vec::new();
    let weekday = |day: u32| WEEKDAYS[day as usize].to_owned();
    if days.weekdays != 0 && !any_weekday {
        of_week.push(format!("on {}", ranges(u64::from(days.weekdays), weekday)));
    }
    for (nth, set_of_days) in NTH.iter().zip(days.nth) {
        for day in set(u64::from(set_of_days)) {
            of_week.push(format!("on the {nth} {} of the month", weekday(day)));
        }
    }
    for day in set(u64::from(days.last_weekdays)) {
        of_week.push(format!("on the last {} of the month", weekday(day)));
    }
    let joined = if days.both { "if it is also" } else { "and" };
    let mut text = match (of_month.is_empty(), of_week.is_empty()) {
        // Either of them is enough, and one of them is always so.
        _ if !days.both && (any_day || any_weekday) => String::new(),
        (true, true) => String::new(),
        (false, true) => listed(&of_month, "and"),
        (true, false) => listed(&of_week, "and"),
        (false, false) => {
            let (month, week) = (listed(&of_month, "or"), listed(&of_week, "or"));
            format!("{month} {joined} {week}")
        }
    };
    let mut add = |more: String| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&more);
    };
    if days.months != ALL_MONTHS {
        let name = |month: u32| MONTHS[month as usize - 1].to_owned();
        if add_every_day(&of_month, &of_week) {
            add("every day".to_owned());
        }
        add(format!("in {}", ranges(u64::from(days.months), name)));
    }
    if let Some(years) = &days.years {
        let (start, end) = (years.first()?, years.last()?);
        let whole = usize::from(end - start) + 1 == years.len();
        let list: Vec<String> = years.iter().map(ToString::to_string).collect();
        add(if whole && list.len() > 2 {
            format!("in {start} to {end}")
        } else {
            format!("in {}", listed(&list, "and"))
        });
    }
    (!text.is_empty()).then_some(text)
}

fn add_every_day(of_month: &[String], of_week: &[String]) -> bool {
    of_month.is_empty() && of_week.is_empty()
}

fn set(bits: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| bits >> bit & 1 == 1)
}

/// First value and step, where the values go on in equal steps to the end of the field. Two values are
/// told by themselves.
fn step(bits: u64, size: u32) -> Option<(u32, u32)> {
    let values: Vec<u32> = set(bits).collect();
    let [first, second, _, ..] = *values else { return None };
    let step = second - first;
    let whole = (first..size).step_by(step as usize).eq(values.iter().copied());
    (whole && step > 1 && first < step).then_some((first, step))
}

fn is_range(bits: u64) -> bool {
    bits != 0 && (bits >> bits.trailing_zeros()).trailing_ones() == bits.count_ones()
}

/// `1, 3 to 5 and 9`.
fn ranges(bits: u64, name: impl Fn(u32) -> String) -> String {
    let mut list = Vec::new();
    let mut rest = bits;
    while rest != 0 {
        let first = rest.trailing_zeros();
        let length = (rest >> first).trailing_ones();
        let end = first + length - 1;
        match length {
            1 => list.push(name(first)),
            2 => list.extend([name(first), name(end)]),
            _ => list.push(format!("{} to {}", name(first), name(end))),
        }
        rest = if end >= 63 { 0 } else { rest >> (end + 1) << (end + 1) };
    }
    listed(&list, "and")
}

/// `a, b and c`.
fn listed(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    #[test]
    fn says_when_a_job_runs() {
        let rows = [
            ("7 5 * * *", "at 05:07 every day"),
            ("0 20 * * *", "at 20:00 every day"),
            ("20 * * * *", "at minute 20 of every hour"),
            ("* * * * *", "every minute"),
            ("* * * * * *", "every second"),
            ("*/5 * * * *", "every 5 minutes"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("3/20 * * * *", "every 20 minutes from minute 3"),
            ("0 */2 * * *", "at minute 0 of every second hour"),
            ("0 1/6 * * *", "at 01:00, 07:00, 13:00 and 19:00 every day"),
            ("*/15 9-17 * * MON-FRI", "every 15 minutes from 09:00 to 17:59 on Monday to Friday"),
            (
                "15 9-17 * * 1-5",
                "at minute 15 of every hour from 09:00 to 17:59 on Monday to Friday",
            ),
            ("1,2,3 * * * *", "at minutes 1 to 3 of every hour"),
            ("30 0 12 * * *", "at 12:00:30 every day"),
            ("30 * * * * *", "at second 30 of every minute"),
            ("30 20 * * * *", "at second 30 in minute 20 of every hour"),
            ("0 12 1 * MON", "at 12:00 on day 1 of the month and on Monday"),
            ("0 12 13 * +FRI", "at 12:00 on day 13 of the month if it is also on Friday"),
            ("0 0 */2 * *", "at 00:00 every second day from day 1 of the month"),
            (
                "0 0 1,15,16,17 1-3 *",
                "at 00:00 on days 1 and 15 to 17 of the month in January to March",
            ),
            ("0 0 * 12 *", "at 00:00 every day in December"),
            ("0 0 LW * *", "at 00:00 on the last working day of the month"),
            ("0 0 L-3 * *", "at 00:00 3 days before the last of the month"),
            ("0 0 15W * *", "at 00:00 on the working day nearest to day 15 of the month"),
            ("0 0 * * FRI#2", "at 00:00 on the second Friday of the month"),
            ("0 0 * * 5L", "at 00:00 on the last Friday of the month"),
            ("0 0 0 1 1 * 2027-2029", "at 00:00 on day 1 of the month in January in 2027 to 2029"),
            ("0 0 1-31 * MON", "at 00:00 every day"),
            ("0 0 30 2 *", "never"),
        ];
        for (text, expected) in rows {
            let expression = Expression::read(text, Dialect::Default, None).expect(text);
            assert_eq!(of(&expression), expected, "{text}");
        }
    }
}
