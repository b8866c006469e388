//! Schedules: when a job runs, parsed from the text a person wrote.

mod days;
mod expression;
mod fields;
mod stable;
mod words;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

pub use self::expression::Expression;
pub use self::stable::stable_hash;
use super::duration;
use crate::problem;

/// Every word that stands alone as a schedule, with what it stands for.
const WORDS: [(&str, Word); 15] = [
    ("@hourly", Word::Fields("0 * * * *")),
    ("@daily", Word::Fields("0 0 * * *")),
    ("@midnight", Word::Fields("0 0 * * *")),
    ("@weekly", Word::Fields("0 0 * * 0")),
    ("@monthly", Word::Fields("0 0 1 * *")),
    ("@yearly", Word::Fields("0 0 1 1 *")),
    ("@annually", Word::Fields("0 0 1 1 *")),
    ("@minutely", Word::Fields("* * * * *")),
    ("@startup", Word::Startup),
    ("@reboot", Word::Startup),
    ("@manual", Word::Manual),
    ("@manually", Word::Manual),
    ("@triggered", Word::Manual),
    ("@none", Word::Manual),
    // Takes something after it, and is here to be found when misspelled.
    ("@every", Word::Every),
];

#[derive(Clone, Copy)]
enum Word {
    Fields(&'static str),
    Startup,
    Manual,
    Every,
}

/// The longest `@every`; longer ones are mistakes.
const LONGEST_EVERY: Duration = Duration::from_hours(366 * 24);

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// A cron expression of five fields, six with seconds first, or seven with the year last.
    Cron(Expression),
    /// `@every 90s`: whole seconds, counted from the Unix epoch so that slots survive restarts.
    Every(Duration),
    /// `@at 2027-03-01T05:00:00-05:00`: once, at that whole second. One that is past never comes.
    At(DateTime<Utc>),
    /// `@startup`: once when the daemon starts.
    Startup,
    /// `@manual`: only when a person asks or something else sets it off.
    Manual,
}

/// Whose rules a cron expression is read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Ours: five fields, six with seconds first, seven with the year last. In the day fields a leading
    /// `*`, also with a step, is no restriction (as in Vixie cron).
    #[default]
    Default,
    /// Ofelia 0.3 (robfig/cron 1): seconds first, always; five fields leave out the day of the week.
    Ofelia03,
    /// Ofelia 0.4, netresearch/ofelia and chadburn (robfig/cron 3): five fields, or six with seconds
    /// first. `*/2` in a day field is a restriction.
    Ofelia,
    /// Supercronic: five fields, six with the year last, seven with seconds first and the year last.
    Supercronic,
    /// Dkron: six fields with seconds first; `~` by its own hash. `*/2` in a day field is a restriction.
    Dkron,
    /// Quartz: six fields with seconds first, seven with the year last; Sunday is 1, and one of the day
    /// fields is `?`.
    Quartz,
}

impl Dialect {
    /// Every dialect with its name, as commands take it.
    pub const ALL: [(&'static str, Self); 6] = [
        ("default", Self::Default),
        ("ofelia-0.3", Self::Ofelia03),
        ("ofelia", Self::Ofelia),
        ("supercronic", Self::Supercronic),
        ("dkron", Self::Dkron),
        ("quartz", Self::Quartz),
    ];

    /// Its name, as commands take it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, dialect)| *dialect == self).map_or("default", |(name, _)| *name)
    }

    /// Whose reading of the same text differs most easily.
    fn rival(self) -> Option<Self> {
        match self {
            Self::Default => None,
            Self::Ofelia03 => Some(Self::Ofelia),
            Self::Ofelia => Some(Self::Ofelia03),
            Self::Supercronic | Self::Dkron | Self::Quartz => Some(Self::Default),
        }
    }

    /// In robfig/cron 3 a star with a step restricts the days.
    fn a_step_restricts(self) -> bool {
        matches!(self, Self::Ofelia | Self::Dkron)
    }

    /// What to write where the number of fields is wrong.
    fn expected(self) -> &'static str {
        match self {
            Self::Default => {
                "write five (minute hour day-of-month month day-of-week), six with seconds first or \
                 seven with the year last, e.g. `*/5 * * * *`"
            }
            Self::Ofelia03 => {
                "Ofelia 0.3 takes five (second minute hour day-of-month month) or six \
                 with the day of the week last, e.g. `0 */5 * * *`"
            }
            Self::Ofelia => {
                "Ofelia takes five (minute hour day-of-month month day-of-week) or six with seconds \
                 first, e.g. `*/5 * * * *`"
            }
            Self::Supercronic => {
                "Supercronic takes five (minute hour day-of-month month day-of-week), six with the \
                 year last or seven with seconds first, e.g. `*/5 * * * *`"
            }
            Self::Dkron => {
                "Dkron takes six (second minute hour day-of-month month day-of-week), e.g. \
                 `0 */5 * * * *`"
            }
            Self::Quartz => {
                "Quartz takes six (second minute hour day-of-month month day-of-week) or seven with \
                 the year last, e.g. `0 */5 * * * ?`"
            }
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Default => "roadstead",
            Self::Ofelia03 => "Ofelia 0.3",
            Self::Ofelia => "Ofelia 0.4",
            Self::Supercronic => "Supercronic",
            Self::Dkron => "Dkron",
            Self::Quartz => "Quartz",
        })
    }
}

/// A schedule as it was read, with what else its text said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When.
    pub schedule: Schedule,
    /// The zone of a prefix `CRON_TZ=` or `TZ=`.
    pub timezone: Option<Tz>,
    /// What a person should know though nothing is wrong: it never comes true, or another program reads
    /// the same text differently, with both readings spelled out.
    pub warning: Option<String>,
}

impl Reading {
    /// The zone of the schedule: that of its prefix, or of a field of its own, or `default`.
    ///
    /// # Errors
    ///
    /// When there is both a prefix and a field: as in Kubernetes, nobody guesses which one is meant.
    pub fn zone(&self, field: Option<Tz>, default: Tz) -> Result<Tz, String> {
        match (self.timezone, field) {
            (Some(prefix), Some(field)) => Err(format!(
                "the schedule says `CRON_TZ={prefix}` and its job `timezone: {field}`: write one of them"
            )),
            (prefix, field) => Ok(prefix.or(field).unwrap_or(default)),
        }
    }
}

impl Schedule {
    /// Reads a schedule in our own dialect; the error says what is wrong and shows a valid one.
    ///
    /// Day of month and day of week, both restricted, mean either; a field that starts with `*` is not
    /// restricted (Vixie cron). A date that does not exist is no error: it never comes. What is drawn
    /// from the job's name (`H`, `~`) and a prefix with a zone need [`Schedule::parse_in`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, zone, rest)) = prefix(text) {
            return Err(format!(
                "`{text}` names a time zone, which is not taken here: write `{rest}` and \
                 `timezone: {zone}`"
            ));
        }
        parse(text, Dialect::Default, None)
    }

    /// Reads a schedule in a dialect, for the job called `name`.
    ///
    /// What comes out is in our own dialect, with `H` and `~` resolved: it is written and read again
    /// without dialect and name.
    pub fn parse_in(text: &str, dialect: Dialect, name: &str) -> Result<Reading, String> {
        let text = text.trim();
        let (timezone, rest) = match prefix(text) {
            Some((key, zone, rest)) => {
                let zone =
                    parse_timezone(zone).map_err(|reason| format!("`{key}{zone}`: {reason}"))?;
                (Some(zone), rest)
            }
            None => (None, text),
        };
        let schedule = parse(rest, dialect, Some(name))?;
        let warning = schedule.never().or_else(|| other_reading(rest, &schedule, dialect, name));
        Ok(Reading { schedule, timezone, warning })
    }

    /// When it runs in plain words, to follow on "runs": `at 05:07 every day`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Cron(expression) => words::of(expression),
            Self::Every(every) => {
                format!("every {}, counted from the start of 1970", duration::format(*every))
            }
            Self::At(instant) => {
                format!("once, at {}", instant.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            Self::Startup => "once when roadstead starts".to_owned(),
            Self::Manual => "only when somebody or something else sets it off".to_owned(),
        }
    }

    /// How other programs would run what is written as `text` in `dialect`, where that differs.
    pub fn other_readings(text: &str, dialect: Dialect, name: &str) -> Vec<(Dialect, String)> {
        let text = prefix(text.trim()).map_or(text.trim(), |(_, _, rest)| rest);
        let Ok(Self::Cron(ours)) = parse(text, dialect, Some(name)) else { return Vec::new() };
        let others = Dialect::ALL.iter().filter(|(_, other)| *other != dialect);
        let differing = others.filter_map(|(_, other)| match parse(text, *other, Some(name)) {
            Ok(Self::Cron(theirs)) if theirs.fields() != ours.fields() => {
                Some((*other, words::of(&theirs)))
            }
            _ => None,
        });
        differing.collect()
    }

    /// Says it where a schedule never comes true.
    fn never(&self) -> Option<String> {
        match self {
            Self::Cron(expression) if expression.never_comes() => Some(format!(
                "`{expression}` never comes true: no such day exists in these months",
                expression = expression.text()
            )),
            Self::Cron(_) | Self::Every(_) | Self::At(_) | Self::Startup | Self::Manual => None,
        }
    }
}

/// A name of the IANA database; the error says what to write.
pub fn parse_timezone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        match problem::nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(near) => format!("`{text}` is no time zone: did you mean `{near}`?"),
            None => {
                format!("`{text}` is no time zone: write an IANA name such as `America/Toronto`")
            }
        }
    })
}

/// `CRON_TZ=`, the zone, and the schedule after it.
fn prefix(text: &str) -> Option<(&str, &str, &str)> {
    let key = ["CRON_TZ=", "TZ="].into_iter().find(|key| text.starts_with(key))?;
    let (zone, rest) =
        text[key.len()..].split_once(char::is_whitespace).unwrap_or((&text[key.len()..], ""));
    Some((key, zone, rest.trim()))
}

/// Spells out both readings where the dialect most easily mistaken for this one reads differently.
fn other_reading(text: &str, schedule: &Schedule, dialect: Dialect, name: &str) -> Option<String> {
    let rival = dialect.rival()?;
    let Schedule::Cron(ours) = schedule else { return None };
    let Ok(Schedule::Cron(theirs)) = parse(text, rival, Some(name)) else { return None };
    if ours.fields() == theirs.fields() {
        return None;
    }
    let (ours, theirs) = (words::of(ours), words::of(&theirs));
    Some(format!("`{text}` is read as {dialect} reads it: {ours}. {rival} would run it {theirs}"))
}

fn parse(text: &str, dialect: Dialect, name: Option<&str>) -> Result<Schedule, String> {
    if text.is_empty() {
        return Err("the schedule is empty: write e.g. `*/5 * * * *` or `@daily`".to_owned());
    }
    if text.starts_with('@') {
        parse_word(text)
    } else {
        Expression::read(text, dialect, name).map(Schedule::Cron)
    }
}

/// As a person would write it; [`Schedule::parse`] reads it back.
impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(expression) => formatter.write_str(expression.text()),
            Self::Every(every) => write!(formatter, "@every {}", duration::format(*every)),
            Self::At(instant) => {
                let instant = instant.to_rfc3339_opts(SecondsFormat::Secs, true);
                write!(formatter, "@at {instant}")
            }
            Self::Startup => formatter.write_str("@startup"),
            Self::Manual => formatter.write_str("@manual"),
        }
    }
}

fn parse_word(text: &str) -> Result<Schedule, String> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    if word == "@every" {
        return parse_every(rest).map(Schedule::Every);
    }
    if word == "@at" {
        return parse_at(rest).map(Schedule::At);
    }
    let Some((_, meaning)) = WORDS.into_iter().find(|(known, _)| *known == word) else {
        let lowered = word.to_lowercase();
        return Err(match problem::nearest(&lowered, WORDS.into_iter().map(|(known, _)| known)) {
            Some("@every") => format!("`{word}` is no schedule: did you mean `@every 90s`?"),
            Some(near) => format!("`{word}` is no schedule: did you mean `{near}`?"),
            None => format!("`{word}` is no schedule: write e.g. `@daily` or `@every 90s`"),
        });
    };
    if !rest.is_empty() {
        return Err(format!("`{word}` takes nothing after it: write `{word}` alone"));
    }
    match meaning {
        Word::Fields(fields) => {
            let expression = Expression::read(fields, Dialect::Default, None)?;
            Ok(Schedule::Cron(expression.named(word)))
        }
        Word::Startup => Ok(Schedule::Startup),
        Word::Manual => Ok(Schedule::Manual),
        Word::Every => parse_every(rest).map(Schedule::Every),
    }
}

fn parse_at(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| {
        format!(
            "`@at {text}` needs a time with its offset: write e.g. `@at 2027-03-01T05:00:00-05:00`"
        )
    })?;
    Ok(instant.to_utc().trunc_subsecs(0))
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
            ("@none", "@manual"),
            ("@triggered", "@manual"),
            ("@manually", "@manual"),
            ("@minutely", "@minutely"),
            ("@at 2027-03-01T05:00:00-05:00", "@at 2027-03-01T10:00:00Z"),
            ("0 0 12 * * MON 2027", "0 0 12 * * MON 2027"),
            ("* * * * * * *", "* * * * * * *"),
            ("0 0 31 2 *", "0 0 31 2 *"),
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
            ("* * * * * * * *", "has 8 fields"),
            ("* * * * * * 1969", "year"),
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
            ("often", "1 field"),
        ];
        for (text, expected) in rows {
            let message = Schedule::parse(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(message.contains('`'), "{text} shows no valid form: {message}");
        }
    }
}
