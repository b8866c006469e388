//! Schedules: when a job runs, parsed from the text a person wrote.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use croner::parser::CronParser;

use super::cron_fields;
use super::duration;
use crate::problem;

/// Every word that stands alone as a schedule.
const WORDS: [&str; 10] = [
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
    "@startup",
    "@reboot",
    "@manual",
];

/// The longest `@every`; longer ones are mistakes.
const LONGEST_EVERY: Duration = Duration::from_hours(366 * 24);

/// When a job runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// A cron expression of five fields, or six with seconds first.
    Cron(Expression),
    /// `@every 90s`: whole seconds, counted from the Unix epoch so that slots survive restarts.
    Every(Duration),
    /// `@startup`: once when the daemon starts.
    Startup,
    /// `@manual`: only when a person asks.
    Manual,
}

impl Schedule {
    /// Reads a schedule; the error says what is wrong and shows a valid one.
    ///
    /// Day of month and day of week, both restricted, mean either; a field that starts with `*` is not
    /// restricted (Vixie cron).
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the schedule is empty: write e.g. `*/5 * * * *` or `@daily`".to_owned());
        }
        if text.starts_with('@') {
            parse_word(text)
        } else {
            Expression::parse(text).map(Self::Cron)
        }
    }
}

/// As a person would write it; [`Schedule::parse`] reads it back.
impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(expression) => formatter.write_str(&expression.text),
            Self::Every(every) => write!(formatter, "@every {}", duration::format(*every)),
            Self::Startup => formatter.write_str("@startup"),
            Self::Manual => formatter.write_str("@manual"),
        }
    }
}

fn parse_word(text: &str) -> Result<Schedule, String> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if word == "@every" {
        return parse_every(rest.trim()).map(Schedule::Every);
    }
    if WORDS.contains(&word) && !rest.trim().is_empty() {
        return Err(format!("`{word}` takes nothing after it: write `{word}` alone"));
    }
    let fields = match word {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@startup" | "@reboot" => return Ok(Schedule::Startup),
        "@manual" => return Ok(Schedule::Manual),
        _ => {
            let lowered = word.to_lowercase();
            let known = WORDS.into_iter().chain(["@every"]);
            return Err(match problem::nearest(&lowered, known) {
                Some("@every") => format!("`{word}` is no schedule: did you mean `@every 90s`?"),
                Some(near) => format!("`{word}` is no schedule: did you mean `{near}`?"),
                None => format!("`{word}` is no schedule: write e.g. `@daily` or `@every 90s`"),
            });
        }
    };
    let mut expression = Expression::parse(fields)?;
    word.clone_into(&mut expression.text);
    Ok(Schedule::Cron(expression))
}

fn parse_every(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err(
            "`@every` needs a duration: write e.g. `@every 90s` or `@every 1h30m`".to_owned()
        );
    }
    let every = duration::parse(text)?;
    if every < Duration::from_secs(1) || every.subsec_nanos() != 0 {
        return Err(format!("`@every {text}` must be whole seconds, at least `@every 1s`"));
    }
    if every > LONGEST_EVERY {
        return Err(format!("`@every {text}` is longer than a year: at most `@every 366d`"));
    }
    Ok(every)
}

/// A cron expression, checked to come true some day.
#[derive(Clone)]
pub struct Expression {
    text: String,
    cron: Arc<croner::Cron>,
    follows_wall_clock: bool,
}

impl Expression {
    fn parse(text: &str) -> Result<Self, String> {
        let fields = cron_fields::read(text)?;
        let parser = CronParser::builder().dom_and_dow(fields.days_must_both_match).build();
        let cron = parser.parse(&fields.normalised).map_err(|error| {
            format!("`{text}` is no schedule: {error}; write e.g. `*/5 * * * *`")
        })?;
        let expression = Self {
            text: text.to_owned(),
            cron: Arc::new(cron),
            follows_wall_clock: fields.follows_wall_clock,
        };
        // A search for a date that never comes is long: it is made once, here, and from late in the
        // parser's range of years, with room for every weekday on a leap day.
        let late = NaiveDate::from_ymd_opt(croner::YEAR_UPPER_LIMIT - 100, 1, 1)
            .expect("the first of January exists in every year")
            .and_time(NaiveTime::MIN);
        if expression.next_wall_time(late).is_none() {
            return Err(format!(
                "`{text}` never comes true: no such day exists in these months; write e.g. `0 5 1 * *`"
            ));
        }
        Ok(expression)
    }

    /// True for schedules with `*`, a range or a step in seconds, minutes or hours: these follow the wall
    /// clock through a change of its offset (both times in a repeated hour, not at all in a skipped one).
    /// The others name times of day, and run once on each day they name.
    pub fn follows_wall_clock(&self) -> bool {
        self.follows_wall_clock
    }

    /// The first matching time on a wall clock that never jumps, strictly after `wall`.
    pub fn next_wall_time(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        // The search runs in UTC, which has no gaps: what zones do to it is decided in `clock`.
        let next = self.cron.find_next_occurrence(&wall.and_utc(), false).ok()?;
        Some(next.naive_utc())
    }
}

/// Equal when written alike.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Expression").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_documented_form_and_writes_it_back() {
        let rows = [
            ("*/5 * * * *", "*/5 * * * *"),
            ("7 5 * * *", "7 5 * * *"),
            ("  7 5 * * *  ", "7 5 * * *"),
            ("*/10 * * * * *", "*/10 * * * * *"),
            ("0 9 * jan-mar MON-fri", "0 9 * jan-mar MON-fri"),
            ("0 0 * * SAT-SUN", "0 0 * * SAT-SUN"),
            ("0 0 * * 5-7", "0 0 * * 5-7"),
            ("5/15 * * * *", "5/15 * * * *"),
            ("0 0 ? * MON", "0 0 ? * MON"),
            ("0 0 L * *", "0 0 L * *"),
            ("0 0 15W * *", "0 0 15W * *"),
            ("0 0 LW * *", "0 0 LW * *"),
            ("0 0 * * FRI#2", "0 0 * * FRI#2"),
            ("0 0 * * 5L", "0 0 * * 5L"),
            ("0 0 29 2 *", "0 0 29 2 *"),
            ("0 0 30 2 MON", "0 0 30 2 MON"),
            ("@hourly", "@hourly"),
            ("@daily", "@daily"),
            ("@midnight", "@midnight"),
            ("@weekly", "@weekly"),
            ("@monthly", "@monthly"),
            ("@yearly", "@yearly"),
            ("@annually", "@annually"),
            ("@every 90s", "@every 1m30s"),
            ("@every 1h30m", "@every 1h30m"),
            ("@every 2d", "@every 2d"),
            ("@startup", "@startup"),
            ("@reboot", "@startup"),
            ("@manual", "@manual"),
        ];
        for (text, written) in rows {
            let schedule = Schedule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(schedule.to_string(), written, "{text}");
            assert_eq!(Schedule::parse(written), Ok(schedule), "{text}");
        }
    }

    #[test]
    fn refuses_with_the_field_and_a_valid_form() {
        let rows = [
            ("", "is empty"),
            ("* * * *", "has 4 fields"),
            ("* * * * * * *", "has 7 fields"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * 32 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of week"),
            ("61 * * * * *", "second"),
            ("*/0 * * * *", "minute"),
            ("*/70 * * * *", "minute"),
            ("/30 * * * *", "minute"),
            ("1,,2 * * * *", "empty"),
            ("10-5 * * * *", "minute"),
            ("0 0 * * FRI-MON", "day of week"),
            ("* * * foo *", "month"),
            ("* * 1-15W * *", "day of month"),
            ("* * * * MON#6", "day of week"),
            ("0 0 31 2 *", "never"),
            ("0 0 31 4,6,9,11 *", "never"),
            ("@Daily", "`@daily`"),
            ("@dayly", "`@daily`"),
            ("@daily 0 0 * * *", "alone"),
            ("@every", "`@every 90s`"),
            ("@every 0s", "at least"),
            ("@every 500ms", "at least"),
            ("@every 1500ms", "whole seconds"),
            ("@every 5", "duration"),
            ("@every 400d", "366d"),
            ("@evry 5m", "`@every 90s`"),
            ("often", "fields"),
        ];
        for (text, expected) in rows {
            let message = Schedule::parse(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(message.contains('`'), "{text} shows no valid form: {message}");
        }
    }
}
