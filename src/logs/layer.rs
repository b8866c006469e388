//! From `tracing` events to lines, and which file each goes to.

use std::fmt::Debug;
use std::io::Write;
use std::sync::Arc;

use chrono::DateTime;
use serde_json::{Value, json};
use tracing::dispatcher;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::logs::backlog::Backlog;
use crate::logs::files::frame;
use crate::logs::line::{Form, Line, Named};
use crate::logs::{MAIN, MARKER, MARKER_TIME, RUN, is_file_name, now};
use crate::run::RunId;
use crate::settings::LogFormat;

/// Writes events to the files, and to the console where there is one.
pub(super) struct Lines {
    pub(super) sink: Sink,
    pub(super) console: Option<(NonBlocking, Form)>,
}

/// The way to the files.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) files: NonBlocking,
    pub(super) form: Form,
    pub(super) backlog: Arc<Backlog>,
}

impl Sink {
    /// The way to the files of whoever logs here; `None` where nobody does.
    pub(super) fn current() -> Option<Self> {
        dispatcher::get_default(|current| {
            current.downcast_ref::<Lines>().map(|lines| lines.sink.clone())
        })
    }

    /// Sends whole lines to a file, or that it is done with; returns the frame's number.
    pub(super) fn send(&self, file: &str, text: &str) -> u64 {
        let number = self.backlog.send();
        send(&self.files, &frame(file, text));
        number
    }
}

impl Lines {
    fn write(&self, target: &str, line: &Line) {
        let is_marker = target == MARKER;
        if let Some((console, form)) = self.console.as_ref().filter(|_| !is_marker) {
            send(console, form.render(line, Named::Yes).as_bytes());
        }
        let Some(job) = line.job.as_deref().filter(|job| is_file_name(job)) else {
            self.sink.send(MAIN, &self.sink.form.render(line, Named::Yes));
            return;
        };
        if target == RUN {
            self.sink.send(MAIN, &self.sink.form.render(line, Named::Yes));
        }
        let text = match self.sink.form.format {
            LogFormat::Text if is_marker => format!("{}\n", line.message),
            LogFormat::Text | LogFormat::Json => self.sink.form.render(line, Named::No),
        };
        self.sink.send(job, &text);
    }
}

/// The queue's writer takes whole messages, and counts by itself what it has no room for.
fn send(queue: &NonBlocking, message: &[u8]) {
    let _ = queue.clone().write_all(message);
}

/// A marker's text, with its time behind it where it has one.
fn marker(line: &Line, form: Form) -> String {
    let at = line.fields.iter().find(|(name, _)| *name == MARKER_TIME);
    let at = at.and_then(|(_, at)| DateTime::from_timestamp_millis(at.as_i64()?));
    format!("{}{}", line.message, at.map(|at| form.iso(at)).unwrap_or_default())
}

/// What spans and events say, by the names that lines have a place for.
#[derive(Clone, Default)]
struct Said {
    job: Option<String>,
    run: Option<RunId>,
    message: Option<String>,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn put(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = Some(text(value)),
            "job" => self.job = Some(text(value)),
            "run" if value.is_i64() => self.run = value.as_i64(),
            // The zone and file of `log` records, which say nothing to a person.
            name if name.starts_with("log.") => {}
            name => {
                self.fields.retain(|(known, _)| *known != name);
                self.fields.push((name, value));
            }
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut said = Said::default();
            attributes.record(&mut said);
            span.extensions_mut().insert(said);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(said) = span.extensions_mut().get_mut::<Said>()
        {
            values.record(said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let Some(outer) = extensions.get::<Said>() else { continue };
            said.job = said.job.or_else(|| outer.job.clone());
            said.run = said.run.or(outer.run);
            for (name, value) in &outer.fields {
                if said.fields.iter().all(|(known, _)| known != name) {
                    said.fields.push((name, value.clone()));
                }
            }
        }
        let target = event.metadata().target();
        let mut line = Line {
            time: now(),
            level: *event.metadata().level(),
            job: said.job,
            run: said.run,
            message: said.message.unwrap_or_default(),
            fields: said.fields,
        };
        if target == MARKER {
            line.message = marker(&line, self.sink.form);
            line.fields.clear();
        }
        self.write(target, &line);
    }
}
