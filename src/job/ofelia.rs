//! Ofelia: jobs as labels of containers and as an INI file, with the additions of its later forks.
//!
//! Their commands are split as Ofelia splits them; no shell is added.

mod ini;
mod labels;
mod notices;
mod parameters;
mod words;
mod work;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use self::labels::{
    Grant, GrantError, LabelledContainer, is_of_label, jobs_of_labels, without_taken,
};
use self::notices::Webhooks;
use self::parameters::{LISTS, Meaning};
use super::foreign::{Imported, Names, TIMEOUT, literal};
use super::native::Context;
use crate::compose::yaml::Span;
use crate::problem::{Problem, nearest};

/// Which Ofelia a schedule was written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As 0.4 reads it; where 0.3 reads it otherwise, both readings are told.
    #[default]
    Auto,
    /// 0.3: seconds first.
    V1,
    /// 0.4 and its forks.
    V3,
}

/// Reads Ofelia's INI file; `taken` are the names of jobs read before.
pub fn read_ini(
    text: &str,
    file: &str,
    dialect: Dialect,
    context: &Context<'_>,
    taken: &[String],
) -> Imported {
    let mut imported = Imported::default();
    let parsed = match ini::parse(text, file) {
        Ok(parsed) => parsed,
        Err(problems) => {
            imported.problems = problems;
            return imported;
        }
    };
    let place = ini::place(file);
    for name in parsed.common.without_effect() {
        imported.warn(&place, format!("`{name}` of `[global]` has no effect"));
    }
    let mut names = Names::default();
    for name in taken {
        names.give(name);
    }
    let mut drafts = Vec::new();
    for raw in parsed.jobs {
        if names.has(&raw.name) {
            let message = format!("there is a job `{}` already: this one gets a number", raw.name);
            imported.warn(&raw.span, message);
        }
        let name = names.give(&raw.name);
        drafts.push((raw, name));
    }
    add_all(&drafts, (&parsed.common, dialect), &mut imported, (context, &mut names));
    imported
}

/// What holds for all jobs of a file, or of the labels.
#[derive(Debug, Default)]
struct Common {
    /// Keys of `[global]`.
    global: BTreeMap<String, String>,
    /// The sections `[webhook "name"]`.
    webhooks: Webhooks,
}

impl Common {
    /// Keys of `[global]` that mean nothing here.
    fn without_effect(&self) -> impl Iterator<Item = &str> {
        let names = self.global.keys().map(String::as_str);
        names.filter(|name| *name != "default-user" && !notices::is_of_all(name))
    }
}

/// A job as it is written, before it is understood.
#[derive(Clone, Debug)]
struct Raw {
    kind: String,
    name: String,
    parameters: BTreeMap<String, Vec<String>>,
    span: Span,
}

impl Raw {
    fn new(kind: &str, name: &str, span: &Span) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            parameters: BTreeMap::new(),
            span: span.clone(),
        }
    }

    /// Sets a parameter; a list grows, anything else is replaced.
    fn set(&mut self, name: &str, value: String, span: &Span) -> Result<(), Box<Problem>> {
        if parameters::meaning(name).is_none() {
            let problem = span.problem(format!("unknown key `{name}` of `{}`", self.kind));
            return Err(Box::new(match nearest(name, parameters::names()) {
                Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                None => problem,
            }));
        }
        let values = self.parameters.entry(name.to_owned()).or_default();
        if !LISTS.contains(&name) {
            values.clear();
        }
        values.push(value);
        Ok(())
    }

    /// A parameter; an empty one is as if it were not there.
    fn text(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(name)?.last()?.as_str();
        (!value.is_empty()).then_some(value)
    }

    fn list(&self, name: &str) -> &[String] {
        self.parameters.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(is_true)
    }

    /// Parameters that say nothing to a job of this type, each with what is to be said about that.
    fn without_effect(&self) -> Vec<String> {
        let (kind, name) = (&self.kind, &self.name);
        let told = self.parameters.keys().filter(|it| self.text(it).is_some()).filter_map(|it| {
            match parameters::meaning(it)? {
                Meaning::Of(kinds) if kinds.contains(&kind.as_str()) => None,
                Meaning::Of(_) => Some(format!("`{it}` of `{name}` means nothing to a `{kind}`")),
                Meaning::None(why) => Some(format!("`{it}` of `{name}` has no effect: {why}")),
            }
        });
        told.collect()
    }
}

/// As gcfg and Go read truth.
fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1" | "t")
}

/// Brings jobs, each with its name of ours, into our form.
fn add_all(
    drafts: &[(Raw, String)],
    (common, dialect): (&Common, Dialect),
    imported: &mut Imported,
    (context, names): (&Context<'_>, &mut Names),
) {
    // What names another job names it as its author did.
    let ours: Vec<(String, String)> =
        drafts.iter().map(|(raw, name)| (raw.name.clone(), name.clone())).collect();
    let known = |name: &str| ours.iter().find(|(raw, _)| raw == name).map(|(_, ours)| ours.clone());
    let mut jobs: Vec<(Map<String, Value>, &Raw, &String)> = Vec::new();
    let mut tells_each = false;
    let mut edges: Vec<(String, String, &str)> = Vec::new();
    for (raw, name) in drafts {
        for told in raw.without_effect() {
            imported.warn(&raw.span, told);
        }
        let work = match work::work(raw, &common.global) {
            Ok(work) => work,
            Err(why) => {
                imported.refuse(&raw.span, format!("`{}` is refused: {why}", raw.name));
                continue;
            }
        };
        for (key, end) in [("on-success", "success"), ("on-failure", "failure")] {
            for other in list_of(raw.list(key)) {
                match known(&other) {
                    Some(other) => edges.push((other, name.clone(), end)),
                    None => imported.warn(&raw.span, format!("`{key}` names no job: `{other}`")),
                }
            }
        }
        for other in list_of(raw.list("depends-on")) {
            match known(&other) {
                Some(other) => edges.push((name.clone(), other, "success")),
                None => imported.warn(&raw.span, format!("`depends-on` names no job: `{other}`")),
            }
        }
        let mut job = job(raw, name, dialect, work);
        let notices = notices::read(raw, &common.global, &common.webhooks);
        for told in notices.left_out {
            imported.warn(&raw.span, format!("`{}`: {told}", raw.name));
        }
        tells_each |= notices.of_each_run;
        job.extend(notices.notify.map(|notify| ("notify".to_owned(), notify)));
        jobs.push((job, raw, name));
    }
    if let Some((raw, _)) = drafts.first().filter(|_| tells_each) {
        imported.warn(&raw.span, notices::TELLS_CHANGES);
    }
    for (mut job, raw, name) in jobs {
        let mine = edges.iter().filter(|(after, _, _)| after == name);
        let after: Vec<Value> =
            mine.map(|(_, before, end)| json!({"job": before, "on": end})).collect();
        if !after.is_empty() {
            job.insert("after".to_owned(), after.into());
        }
        imported.add(job, &raw.span, context);
        if raw.flag("run-on-startup") {
            imported.add_start(name, names, &raw.span, context);
        }
    }
}

/// Items of a list, each of which may be several behind commas.
fn list_of(items: &[String]) -> Vec<String> {
    let parts = items.iter().flat_map(|item| item.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn job(
    raw: &Raw,
    name: &str,
    dialect: Dialect,
    work: (&str, Map<String, Value>),
) -> Map<String, Value> {
    let mut job = Map::new();
    let mut put = |key: &str, value: Value| drop(job.insert(key.to_owned(), value));
    put("name", name.into());
    if let Some(schedule) = raw.text("schedule") {
        put("schedule", literal(schedule).into());
        put("dialect", if dialect == Dialect::V1 { "ofelia-0.3" } else { "ofelia" }.into());
    }
    put("overlap", if raw.flag("no-overlap") { "skip" } else { "allow" }.into());
    put("catch_up", "none".into());
    let runtime = raw.text("max-runtime").filter(|text| super::duration::parse(text).is_ok());
    put("timeout", runtime.unwrap_or(TIMEOUT).into());
    if let Some(signal) = raw.text("stop-signal") {
        put("stop_signal", signal.into());
    }
    if let Some(grace) = raw.text("stop-timeout") {
        let has_unit = !grace.chars().all(|c| c.is_ascii_digit());
        put("stop_grace", if has_unit { grace.into() } else { format!("{grace}s").into() });
    }
    if let Some(max) = raw.text("max-retries").and_then(|max| max.parse::<u32>().ok()) {
        let milliseconds = |key: &str, usual: &str| {
            let text = raw.text(key).filter(|text| text.parse::<u64>().is_ok()).unwrap_or(usual);
            format!("{text}ms")
        };
        let backoff = milliseconds("retry-delay-ms", "1000");
        let grows = raw.text("retry-exponential").is_none_or(is_true);
        let cap = if grows { milliseconds("retry-max-delay-ms", "60000") } else { backoff.clone() };
        put("retry", json!({"max": max, "backoff": backoff, "cap": cap}));
    }
    if let Some(runs) = raw.text("history-limit").and_then(|runs| runs.parse::<u32>().ok()) {
        put("keep", json!({"runs": runs.max(1)}));
    }
    let (kind, keys) = work;
    put(kind, Value::Object(keys));
    job
}

#[cfg(test)]
mod tests;
