//! Ofelia: jobs as labels of containers and as an INI file, with the additions of its later forks.
//!
//! Their commands are split as Ofelia splits them; no shell is added.

mod ini;
mod labels;
mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use self::labels::{LabelledContainer, is_of_label, jobs_of_labels};
use super::foreign::{Imported, Names, TIMEOUT, literal, literals};
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

/// The types of jobs.
const TYPES: [&str; 5] = ["job-exec", "job-run", "job-local", "job-service-run", "job-compose"];

/// Parameters that are lists.
const LISTS: [&str; 8] = [
    "volume",
    "environment",
    "volumes-from",
    "depends-on",
    "on-success",
    "on-failure",
    "env-file",
    "annotations",
];

/// Parameters that we act on.
const KNOWN: [&str; 36] = [
    "schedule",
    "command",
    "container",
    "image",
    "user",
    "tty",
    "environment",
    "volume",
    "volumes-from",
    "network",
    "hostname",
    "delete",
    "pull",
    "dir",
    "no-overlap",
    "run-on-startup",
    "depends-on",
    "on-success",
    "on-failure",
    "max-retries",
    "retry-delay-ms",
    "retry-exponential",
    "retry-max-delay-ms",
    "history-limit",
    "max-runtime",
    "stop-signal",
    "stop-timeout",
    "working-dir",
    "privileged",
    "env-file",
    "entrypoint",
    "container-name",
    "annotations",
    "file",
    "service",
    "exec",
];

/// Parameters that mean nothing here, and why.
const PASSED_OVER: [(&str, &str); 20] = [
    ("save-folder", "output and history are kept by Roadstead: see `roadstead logs`"),
    ("save-only-on-error", "output and history are kept by Roadstead: see `roadstead logs`"),
    ("slack-webhook", "write `notify` in a native job file"),
    ("slack-only-on-error", "write `notify` in a native job file"),
    ("smtp-host", "mail is not sent: write `notify` in a native job file"),
    ("smtp-port", "mail is not sent"),
    ("smtp-user", "mail is not sent"),
    ("smtp-password", "mail is not sent"),
    ("smtp-tls-skip-verify", "mail is not sent"),
    ("email-to", "mail is not sent: write `notify` in a native job file"),
    ("email-from", "mail is not sent"),
    ("email-subject", "mail is not sent"),
    ("mail-only-on-error", "mail is not sent"),
    ("gotify-webhook", "write `notify` in a native job file"),
    ("gotify-only-on-error", "write `notify` in a native job file"),
    ("gotify-priority", "write `notify` in a native job file"),
    ("teams-webhook", "write `notify` in a native job file"),
    ("teams-only-on-error", "write `notify` in a native job file"),
    ("insecure-skip-verify", "write `notify` in a native job file"),
    ("env-from", "the environment of another container is not read: write `environment`"),
];

/// Reads Ofelia's INI file.
pub fn read_ini(text: &str, file: &str, dialect: Dialect, context: &Context<'_>) -> Imported {
    let mut imported = Imported::default();
    let parsed = match ini::parse(text, file) {
        Ok(parsed) => parsed,
        Err(problems) => {
            imported.problems = problems;
            return imported;
        }
    };
    let global: BTreeMap<String, String> = parsed.global.into_iter().collect();
    let place = ini::place(file);
    for name in global.keys().filter(|name| *name != "default-user") {
        imported.warn(&place, format!("`{name}` of `[global]` has no effect"));
    }
    let mut names = Names::default();
    let mut drafts = Vec::new();
    for raw in parsed.jobs {
        if names.has(&raw.name) {
            let message = format!(
                "there is a job `{}` of another type already: this one gets a number",
                raw.name
            );
            imported.warn(&raw.span, message);
        }
        let name = names.give(&raw.name);
        drafts.push((raw, name));
    }
    add_all(&drafts, &global, dialect, &mut imported, (context, &mut names));
    imported
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
        let passed = PASSED_OVER.iter().map(|(name, _)| *name);
        if !KNOWN.contains(&name) && !passed.clone().any(|it| it == name) {
            let problem = span.problem(format!("unknown key `{name}` of `{}`", self.kind));
            let near = nearest(name, KNOWN.into_iter().chain(passed));
            return Err(Box::new(match near {
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
}

/// As gcfg and Go read truth.
fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1" | "t")
}

/// Brings jobs, each with its name of ours, into our form.
fn add_all(
    drafts: &[(Raw, String)],
    global: &BTreeMap<String, String>,
    dialect: Dialect,
    imported: &mut Imported,
    (context, names): (&Context<'_>, &mut Names),
) {
    // What names another job names it as its author did.
    let ours: Vec<(String, String)> =
        drafts.iter().map(|(raw, name)| (raw.name.clone(), name.clone())).collect();
    let known = |name: &str| ours.iter().find(|(raw, _)| raw == name).map(|(_, ours)| ours.clone());
    let mut jobs: Vec<(Map<String, Value>, &Raw, &String)> = Vec::new();
    let mut edges: Vec<(String, String, &str)> = Vec::new();
    for (raw, name) in drafts {
        for (passed, why) in PASSED_OVER.iter().filter(|(name, _)| raw.text(name).is_some()) {
            imported.warn(&raw.span, format!("`{passed}` of `{}` has no effect: {why}", raw.name));
        }
        let work = match work(raw, global) {
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
        jobs.push((job(raw, name, dialect, work), raw, name));
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

type Work<'a> = Result<(&'a str, Map<String, Value>), String>;

/// What a job does, in our form; the error says why it is none of ours.
fn work(raw: &Raw, global: &BTreeMap<String, String>) -> Work<'static> {
    let on_event = raw.parameters.contains_key("depends-on");
    if raw.text("schedule").is_none() && !on_event {
        return Err("it has no `schedule`".to_owned());
    }
    let command = raw.text("command").map(words::split).unwrap_or_default();
    let user = raw.text("user").or_else(|| global.get("default-user").map(String::as_str));
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    if !raw.list("environment").is_empty() {
        put("environment", literals(raw.list("environment")));
    }
    match raw.kind.as_str() {
        "job-exec" => {
            let container = raw.text("container").ok_or("it names no `container`")?;
            put("container", literal(container).into());
            put("command", literals(&command));
            put("user", literal(exec_user(user)).into());
            for (from, to) in [("tty", "tty"), ("privileged", "privileged")] {
                if raw.flag(from) {
                    put(to, true.into());
                }
            }
            if let Some(directory) = raw.text("working-dir") {
                put("working_dir", literal(directory).into());
            }
            if command.is_empty() {
                return Err("it has no `command`".to_owned());
            }
            Ok(("exec", keys))
        }
        "job-run" => run(raw, user, &command, keys),
        "job-local" => {
            if command.is_empty() {
                return Err("it has no `command`".to_owned());
            }
            put("argv", literals(&command));
            if let Some(directory) = raw.text("dir") {
                put("working_dir", literal(directory).into());
            }
            Ok(("command", keys))
        }
        "job-compose" => {
            let service = raw.text("service").ok_or("it names no `service`")?;
            let file = raw.text("file").unwrap_or_default();
            let directory = file.rsplit_once('/').map(|(directory, _)| directory);
            let directory = directory.filter(|directory| directory.starts_with('/'));
            let directory =
                directory.ok_or("its `file` is no absolute path: the project cannot be told")?;
            if raw.flag("exec") {
                let project = directory.rsplit('/').next().unwrap_or_default();
                put("project", crate::compose::load::normalise_name(project).into());
                put("service", literal(service).into());
            } else {
                put("project", literal(directory).into());
                put("service", literal(service).into());
            }
            if !command.is_empty() {
                put("command", literals(&command));
            }
            Ok((if raw.flag("exec") { "exec" } else { "compose_run" }, keys))
        }
        _ => Err("services of Swarm are not run here: make a `job-run` of it".to_owned()),
    }
}

/// Ofelia runs as root; `default` of its forks is the container's own user.
fn exec_user(user: Option<&str>) -> &str {
    match user {
        Some("default") => "",
        Some(user) => user,
        None => "root",
    }
}

fn run(
    raw: &Raw,
    user: Option<&str>,
    command: &[String],
    mut keys: Map<String, Value>,
) -> Work<'static> {
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    if let Some(container) = raw.text("container") {
        // An existing container is started as it is.
        let keys = Map::from_iter([("container".to_owned(), literal(container).into())]);
        return Ok(("run", keys));
    }
    let image = raw.text("image").ok_or("it has neither `image` nor `container`")?;
    put("image", literal(image).into());
    let is_false = |key: &str| raw.text(key).is_some_and(|text| !is_true(text));
    put("pull_policy", if is_false("pull") { "missing" } else { "always" }.into());
    if !command.is_empty() {
        put("command", literals(command));
    }
    let user = exec_user(user);
    if !user.is_empty() {
        put("user", literal(user).into());
    }
    for (from, to) in [("tty", "tty"), ("privileged", "privileged")] {
        if raw.flag(from) {
            put(to, true.into());
        }
    }
    for (from, to) in [
        ("hostname", "hostname"),
        ("working-dir", "working_dir"),
        ("container-name", "container_name"),
    ] {
        if let Some(text) = raw.text(from) {
            put(to, literal(text).into());
        }
    }
    if let Some(entrypoint) = raw.text("entrypoint") {
        put("entrypoint", literals(words::split(entrypoint)));
    }
    match raw.text("network") {
        Some(mode @ ("host" | "none" | "bridge")) => put("network_mode", mode.into()),
        Some(network) => put("networks", json!([literal(network)])),
        None => {}
    }
    for (from, to) in [
        ("volume", "volumes"),
        ("volumes-from", "volumes_from"),
        ("annotations", "annotations"),
        ("env-file", "env_file"),
    ] {
        if !raw.list(from).is_empty() {
            put(to, literals(raw.list(from)));
        }
    }
    if is_false("delete") {
        put("keep", true.into());
    }
    Ok(("run", keys))
}

#[cfg(test)]
mod tests;
