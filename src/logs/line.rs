//! One log line as a value, and its three forms: for people, coloured for a terminal, and JSON.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use tracing::Level;

use crate::run::RunId;
use crate::settings::LogFormat;

/// What a line says, before it has a form.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) time: DateTime<Utc>,
    pub(super) level: Level,
    pub(super) job: Option<String>,
    pub(super) run: Option<RunId>,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) timezone: Tz,
    pub(super) format: LogFormat,
    /// Only for a terminal.
    pub(super) color: bool,
}

/// Whether a line names its job: not in the job's own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Yes,
    No,
}

impl Form {
    /// The line with its line feed.
    pub(super) fn render(self, line: &Line, named: Named) -> String {
        match self.format {
            LogFormat::Json => self.json(line),
            LogFormat::Text => self.text(line, named),
        }
    }

    /// A time as markers and people write it.
    pub(super) fn iso(self, time: DateTime<Utc>) -> String {
        time.with_timezone(&self.timezone).to_rfc3339_opts(SecondsFormat::Secs, false)
    }

    fn text(self, line: &Line, named: Named) -> String {
        let time = line.time.with_timezone(&self.timezone).format("%Y-%m-%d %H:%M:%S%:z");
        let (start, end) = if self.color { (color(line.level), "\x1b[0m") } else { ("", "") };
        let mut text = format!("{time} {start}{:<5}{end} ", line.level);
        let job = line.job.as_deref().filter(|_| named == Named::Yes);
        let subject = match (job, line.run) {
            (Some(job), Some(run)) => format!("{job} run {run}: "),
            (Some(job), None) => format!("{job}: "),
            (None, Some(run)) => format!("run {run}: "),
            (None, None) => String::new(),
        };
        text.push_str(&subject);
        push_message(&mut text, &line.message);
        for (key, value) in &line.fields {
            let value = match value {
                Value::String(word) if is_plain(word) => word.clone(),
                Value::String(word) => format!("{word:?}"),
                other => other.to_string(),
            };
            // Writing to a `String` cannot fail.
            let _ = write!(text, " {key}={value}");
        }
        text.push('\n');
        text
    }

    fn json(self, line: &Line) -> String {
        let mut object = Map::new();
        let time = line.time.with_timezone(&self.timezone);
        object.insert("time".into(), json!(time.to_rfc3339_opts(SecondsFormat::Millis, false)));
        object.insert("level".into(), json!(line.level.as_str()));
        if let Some(job) = &line.job {
            object.insert("job".into(), json!(job));
        }
        if let Some(run) = line.run {
            object.insert("run".into(), json!(run));
        }
        object.insert("message".into(), json!(line.message));
        for (key, value) in &line.fields {
            object.entry(*key).or_insert_with(|| value.clone());
        }
        let mut text = Value::Object(object).to_string();
        text.push('\n');
        text
    }
}

/// Messages may quote what a repository or a server wrote: nothing in one can pass for another line
/// or command a terminal. Further lines of a message are indented.
fn push_message(text: &mut String, message: &str) {
    for character in message.trim_end().chars() {
        match character {
            '\n' => text.push_str("\n    "),
            '\t' => text.push('\t'),
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(other),
        }
    }
}

fn is_plain(word: &str) -> bool {
    let quoted = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '"' | '\\' | '=')
    };
    !word.is_empty() && !word.contains(quoted)
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[2m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: DateTime::from_timestamp(1_795_237_620, 0).unwrap(),
            level: Level::INFO,
            job: Some("web".to_owned()),
            run: Some(42),
            message: "started".to_owned(),
            fields: vec![("trigger", json!("schedule")), ("took", json!(3))],
        }
    }

    fn form(format: LogFormat) -> Form {
        Form { timezone: chrono_tz::America::Toronto, format, color: false }
    }

    #[test]
    fn lines_read_as_documented() {
        let bare = Line { job: None, run: None, fields: vec![], ..line() };
        let words = Line { fields: vec![("error", json!("no \"such\" image"))], ..bare.clone() };
        let forged = Line { message: "a\n2026 INFO b\x1b[2J".to_owned(), ..bare.clone() };
        let time = "2026-11-21 00:07:00-05:00";
        let rows = [
            (line(), Named::No, format!("{time} INFO  run 42: started trigger=schedule took=3\n")),
            (
                line(),
                Named::Yes,
                format!("{time} INFO  web run 42: started trigger=schedule took=3\n"),
            ),
            (bare, Named::Yes, format!("{time} INFO  started\n")),
            (words, Named::No, format!("{time} INFO  started error=\"no \\\"such\\\" image\"\n")),
            (forged, Named::No, format!("{time} INFO  a\n    2026 INFO b\\u{{1b}}[2J\n")),
        ];
        for (line, named, wanted) in rows {
            assert_eq!(form(LogFormat::Text).render(&line, named), wanted);
        }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = form(LogFormat::Json).render(&line(), Named::No);
        let wanted = json!({
            "time": "2026-11-21T00:07:00.000-05:00", "level": "INFO", "job": "web", "run": 42,
            "message": "started", "trigger": "schedule", "took": 3,
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), wanted);
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn a_terminal_gets_color() {
        let form = Form { color: true, ..form(LogFormat::Text) };
        assert!(form.render(&line(), Named::No).contains("\x1b[32mINFO \x1b[0m run 42: started"));
    }
}
