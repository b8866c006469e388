//! Dkron's jobs as JSON: an array, one object a line, objects glued together, or lines of base64.
//!
//! What has no meaning here is kept in labels, so that an export gives it back.

mod write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

pub use self::write::{export, exported};
use super::foreign::{Imported, TIMEOUT, literal, literals};
use super::native::Context;
use crate::compose::yaml::{Source, Span};
use crate::problem::nearest;

/// Fields that become something of ours.
const READ: [&str; 15] = [
    "name",
    "displayname",
    "timezone",
    "schedule",
    "disabled",
    "retries",
    "parent_job",
    "concurrency",
    "executor",
    "executor_config",
    "starts_at",
    "expires_at",
    "id",
    "dependent_jobs",
    "cache_refresh",
];
/// Fields that are kept in labels.
const KEPT: [&str; 6] = ["owner", "owner_email", "tags", "metadata", "processors", "ephemeral"];
/// Keys of `executor_config` that become something of ours, by executor.
const CONFIGURED: [(&str, &[&str]); 2] = [
    (
        "http",
        &[
            "method",
            "url",
            "headers",
            "body",
            "timeout",
            "expectCode",
            "expectBody",
            "tlsNoVerifyPeer",
            "tlsCertificateFile",
            "tlsCertificateKeyFile",
            "tlsRootCAsFile",
        ],
    ),
    ("shell", &["shell", "command", "env", "cwd", "timeout", "mem_limit", "payload"]),
];
/// Fields of a job's state.
const STATE: [&str; 6] =
    ["status", "success_count", "error_count", "last_success", "last_error", "next"];
/// Before the names of labels that hold what has no meaning here.
const LABEL: &str = "dkron.";

/// Reads jobs, parents before children.
pub fn read(text: &str, file: &str, context: &Context<'_>) -> Imported {
    let mut imported = Imported::default();
    let source = Source::of(file, text);
    let objects = objects(text, &mut |line, message| {
        imported.problems.push(Span::of_line(&source, line).problem(message));
    });
    let mut jobs = Vec::new();
    for (line, value) in objects {
        let span = Span::of_line(&source, line);
        match value {
            Value::Object(object) => jobs.push((object, span)),
            other => imported.refuse(&span, format!("`{other}` is no job: expected an object")),
        }
    }
    for (object, span) in parents_first(jobs) {
        if let Some(job) = job(&object, &span, &mut imported) {
            imported.add(job, &span, context);
        }
    }
    imported
}

/// All objects of a text with their lines, whatever form it has.
fn objects(text: &str, refuse: &mut dyn FnMut(usize, String)) -> Vec<(usize, Value)> {
    let text = text.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    let trimmed = text.trim_start();
    if trimmed.starts_with(['[', '{']) || trimmed.is_empty() {
        stream(text, 1, &mut found, refuse);
        return found;
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let decoded =
            BASE64.decode(line.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded {
            Some(json) => stream(&json, index + 1, &mut found, refuse),
            None => refuse(index + 1, "this line is neither JSON nor base64 of it".to_owned()),
        }
    }
    found
}

/// Values that stand one behind the other, with or without anything between them.
fn stream(
    text: &str,
    first_line: usize,
    found: &mut Vec<(usize, Value)>,
    refuse: &mut dyn FnMut(usize, String),
) {
    let line_at = |offset: usize| {
        let blanks = text[offset..].len() - text[offset..].trim_start().len();
        first_line + text[..offset + blanks].matches('\n').count()
    };
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let line = line_at(values.byte_offset());
        match values.next() {
            None => return,
            Some(Ok(Value::Array(items))) => {
                // An element of an array has no place of its own.
                found.extend(items.into_iter().map(|item| (line, item)));
            }
            Some(Ok(value)) => found.push((line, value)),
            Some(Err(error)) => {
                return refuse(first_line + error.line() - 1, format!("this is no JSON: {error}"));
            }
        }
    }
}

type Object = (Map<String, Value>, Span);

/// A job behind the one it waits for; what waits in a circle stays last.
fn parents_first(mut jobs: Vec<Object>) -> Vec<Object> {
    let mut sorted: Vec<Object> = Vec::new();
    loop {
        let waiting: Vec<String> = jobs.iter().map(|(job, _)| text(job, "name")).collect();
        let (ready, rest): (Vec<Object>, Vec<Object>) =
            jobs.into_iter().partition(|(job, _)| !waiting.contains(&text(job, "parent_job")));
        let done = ready.is_empty();
        sorted.extend(ready);
        jobs = rest;
        if done || jobs.is_empty() {
            sorted.extend(jobs);
            return sorted;
        }
    }
}

fn text(object: &Map<String, Value>, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(value)) => value.to_string(),
        _ => String::new(),
    }
}

/// A job in our form.
fn job(
    object: &Map<String, Value>,
    span: &Span,
    imported: &mut Imported,
) -> Option<Map<String, Value>> {
    let name = text(object, "name");
    if name.is_empty() {
        imported.refuse(span, "a job has no `name`");
        return None;
    }
    for key in object.keys() {
        if ![READ.as_slice(), &KEPT, &STATE].iter().any(|keys| keys.contains(&key.as_str())) {
            let near = nearest(key, READ.into_iter().chain(KEPT));
            let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            imported.warn(span, format!("`{name}`: unknown field `{key}`{hint}"));
        }
    }
    let mut job = Map::new();
    let mut put = |key: &str, value: Value| drop(job.insert(key.to_owned(), value));
    put("name", name.clone().into());
    let title = text(object, "displayname");
    if !title.is_empty() {
        put("description", literal(&title).into());
    }
    let executor = text(object, "executor");
    let config =
        object.get("executor_config").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some((_, known)) = CONFIGURED.iter().find(|(it, _)| *it == executor) {
        for key in config.keys().filter(|key| !known.contains(&key.as_str())) {
            imported.warn(span, format!("`{name}`: `{key}` of `executor_config` has no effect"));
        }
    }
    let (mut work, runs) = work(&name, &executor, &config, (span, imported));
    if let Some(ttl) = object.get("cache_refresh").filter(|ttl| !ttl.is_null()) {
        match (work.remove("http"), ttl.as_object()) {
            (Some(Value::Object(http)), Some(ttl)) => {
                work.insert("refresh".to_owned(), refresh(http, ttl).into());
            }
            (http, _) => {
                work.extend(http.map(|http| ("http".to_owned(), http)));
                let message = format!(
                    "`{name}`: `cache_refresh` has no effect: it is a mapping of `soft_ttl` and `hard_ttl` \
                     on a job of the executor `http`"
                );
                imported.warn(span, message);
            }
        }
    }
    if !runs || text(object, "disabled") == "true" {
        put("enabled", false.into());
    }
    let schedule = text(object, "schedule");
    if !schedule.is_empty() {
        put("schedule", literal(&schedule).into());
        put("dialect", "dkron".into());
    }
    let timezone = text(object, "timezone");
    if timezone.is_empty() {
        if schedule.contains(' ') && !schedule.starts_with('@') {
            let message = format!(
                "`{name}` has no time zone: Dkron took that of its server, here it is `AUTODEPLOY_TIMEZONE`"
            );
            imported.warn(span, message);
        }
    } else {
        put("timezone", timezone.into());
    }
    for key in ["starts_at", "expires_at"] {
        let time = text(object, key);
        if !time.is_empty() {
            put(key, time.into());
        }
    }
    let parent = text(object, "parent_job");
    if !parent.is_empty() {
        put("after", json!({"job": parent, "on": "success"}));
    }
    let concurrency = text(object, "concurrency");
    if !matches!(concurrency.as_str(), "" | "allow" | "forbid") {
        let message =
            format!("`{name}`: `concurrency` is `{concurrency}`, which is read as `allow`");
        imported.warn(span, message);
    }
    put("overlap", if concurrency == "forbid" { "skip" } else { "allow" }.into());
    put("catch_up", "none".into());
    let timeout = if executor == "shell" { text(&config, "timeout") } else { String::new() };
    let is_duration = super::duration::parse(&timeout).is_ok();
    if !timeout.is_empty() && !is_duration {
        imported
            .warn(span, format!("`{name}`: `timeout` is no duration: `{TIMEOUT}` is in its place"));
    }
    put("timeout", if is_duration { timeout } else { TIMEOUT.to_owned() }.into());
    if let Ok(retries @ 1..) = text(object, "retries").parse::<u32>() {
        if retries > 100 {
            imported
                .warn(span, format!("`{name}` is tried again 100 times at most, not {retries}"));
        }
        put("retry", json!({"max": retries.min(100), "backoff": "500ms", "cap": "10m"}));
    }
    let labels = labels(&name, object, &executor, &config, (span, imported));
    if !labels.is_empty() {
        put("labels", Value::Object(labels));
    }
    job.extend(work);
    Some(job)
}

/// What has no meaning here, as labels.
fn labels(
    name: &str,
    object: &Map<String, Value>,
    executor: &str,
    config: &Map<String, Value>,
    (span, imported): (&Span, &mut Imported),
) -> Map<String, Value> {
    let mut labels = Map::new();
    for key in KEPT {
        let value = match object.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => continue,
            Some(Value::String(text)) if text.is_empty() => continue,
            Some(Value::Object(entries)) if entries.is_empty() => continue,
            Some(Value::String(text)) => text.clone(),
            Some(value) => sorted(value).to_string(),
        };
        labels.insert(format!("{LABEL}{key}"), literal(&value).into());
    }
    let counts = object.get("tags").and_then(Value::as_object).into_iter().flat_map(Map::values);
    for tag in counts.filter_map(Value::as_str) {
        if tag
            .rsplit_once(':')
            .is_some_and(|(_, count)| count.parse::<u32>().is_ok_and(|it| it > 1))
        {
            imported.warn(
                span,
                format!("`{name}` asks for several nodes (`{tag}`): there is one here"),
            );
        }
    }
    if object.get("ephemeral") == Some(&Value::Bool(true)) {
        imported.warn(span, format!("`{name}` was deleted after its first success: here it stays"));
    }
    if !text(object, "owner_email").is_empty() {
        let message = format!("`{name}`: nobody is mailed when it fails: write `notify` for that");
        imported.warn(span, message);
    }
    if object.get("processors").and_then(Value::as_object).is_some_and(|it| !it.is_empty()) {
        imported.warn(
            span,
            format!("`{name}`: its processors have no effect: output goes to the job's log"),
        );
    }
    if !matches!(executor, "http" | "shell") {
        labels.insert(format!("{LABEL}executor"), literal(executor).into());
        let config = sorted(&Value::Object(config.clone())).to_string();
        labels.insert(format!("{LABEL}executor_config"), literal(&config).into());
    }
    labels
}

/// The same value, its keys sorted.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<(String, Value)> =
                entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// What it does, and whether it may run.
fn work(
    name: &str,
    executor: &str,
    config: &Map<String, Value>,
    (span, imported): (&Span, &mut Imported),
) -> (Map<String, Value>, bool) {
    let (kind, keys, runs) = match executor {
        "http" => ("http", http(name, config, (span, imported)), true),
        "shell" => {
            let message = format!(
                "`{name}` runs inside Roadstead, which AUTODEPLOY_ALLOW_COMMANDS must allow; the programs \
                 of Dkron's host are not there"
            );
            imported.warn(span, message);
            ("command", shell(name, config, (span, imported)), true)
        }
        other => {
            let message = format!(
                "`{name}` is imported disabled: there is no executor `{other}` here; write what it does \
                 as `run`, `exec` or `http`"
            );
            imported.warn(span, message);
            let keys =
                Map::from_iter([("argv".to_owned(), json!([format!("dkron-executor-{other}")]))]);
            ("command", keys, false)
        }
    };
    (Map::from_iter([(kind.to_owned(), Value::Object(keys))]), runs)
}

fn http(
    name: &str,
    config: &Map<String, Value>,
    (span, imported): (&Span, &mut Imported),
) -> Map<String, Value> {
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("url", literal(&text(config, "url")).into());
    let method = text(config, "method");
    put("method", if method.is_empty() { "GET".to_owned() } else { method }.into());
    let headers = text(config, "headers");
    if !headers.is_empty() {
        match serde_json::from_str::<Vec<String>>(&headers) {
            Ok(lines) => {
                let pairs = lines.iter().filter_map(|line| line.split_once(':'));
                let pairs =
                    pairs.map(|(key, value)| (key.trim().to_owned(), literal(value.trim()).into()));
                put("headers", Value::Object(pairs.collect()));
            }
            Err(_) => {
                imported
                    .warn(span, format!("`{name}`: `headers` is no list in JSON, and left out"));
            }
        }
    }
    let body = text(config, "body");
    if !body.is_empty() {
        put("body", literal(&body).into());
    }
    let seconds = text(config, "timeout").parse::<u32>().ok().filter(|seconds| *seconds > 0);
    put("timeout", format!("{}s", seconds.unwrap_or(30)).into());
    let mut expect = Map::new();
    let codes = text(config, "expectCode");
    if codes.is_empty() {
        imported.warn(
            span,
            format!("`{name}` has no `expectCode`: every status counts as a success, as in Dkron"),
        );
        expect.insert("status".to_owned(), "100-599".into());
    } else {
        let digits = codes.split(|c: char| !c.is_ascii_digit());
        let codes: Vec<&str> = digits.filter(|code| code.len() == 3).collect();
        if codes.is_empty() {
            imported.warn(
                span,
                format!("`{name}`: `expectCode` holds no status: every one counts as a success"),
            );
            expect.insert("status".to_owned(), "100-599".into());
        } else {
            let message = format!(
                "`{name}`: Dkron looks for the status within the text of `expectCode`; here it must be one of `{}`",
                codes.join("`, `")
            );
            imported.warn(span, message);
            expect.insert("status".to_owned(), codes.join(",").into());
        }
    }
    let pattern = text(config, "expectBody");
    if !pattern.is_empty() {
        expect.insert("body".to_owned(), literal(&pattern).into());
    }
    put("expect", Value::Object(expect));
    for (from, to) in [("tlsRootCAsFile", "ca_file"), ("tlsCertificateFile", "client_certificate")]
    {
        let file = text(config, from);
        if !file.is_empty() {
            put(to, literal(&file).into());
        }
    }
    let key_file = text(config, "tlsCertificateKeyFile");
    if !key_file.is_empty() && key_file != text(config, "tlsCertificateFile") {
        imported.warn(span, format!("`{name}`: certificate and key are one file here: put `{key_file}` behind the certificate"));
    }
    if text(config, "tlsNoVerifyPeer") == "true" {
        put("insecure", true.into());
    }
    keys
}

/// A call that keeps a cache of these TTLs warm.
fn refresh(mut http: Map<String, Value>, ttl: &Map<String, Value>) -> Map<String, Value> {
    let of_all = ["ca_file", "client_certificate", "insecure"];
    let of_all = of_all.map(|key| Some((key.to_owned(), http.remove(key)?)));
    let mut keys: Map<String, Value> = of_all.into_iter().flatten().collect();
    keys.insert("requests".to_owned(), json!([http]));
    for key in ["soft_ttl", "hard_ttl"] {
        let time = text(ttl, key);
        if !time.is_empty() {
            keys.insert(key.to_owned(), literal(&time).into());
        }
    }
    keys
}

fn shell(
    name: &str,
    config: &Map<String, Value>,
    (span, imported): (&Span, &mut Imported),
) -> Map<String, Value> {
    let mut keys = Map::new();
    let command = text(config, "command");
    let argv = if text(config, "shell") == "true" {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), command]
    } else {
        shell_words::split(&command).unwrap_or_else(|_| vec![command])
    };
    keys.insert("argv".to_owned(), literals(argv));
    let environment = text(config, "env");
    let pairs: Vec<&str> = environment.split(',').filter(|pair| pair.contains('=')).collect();
    if !pairs.is_empty() {
        keys.insert("environment".to_owned(), literals(pairs));
    }
    let directory = text(config, "cwd");
    if !directory.is_empty() {
        keys.insert("working_dir".to_owned(), literal(&directory).into());
    }
    let payload = text(config, "payload");
    if !payload.is_empty() {
        keys.insert("stdin_base64".to_owned(), literal(&payload).into());
    }
    if !text(config, "mem_limit").is_empty() {
        imported.warn(
            span,
            format!("`{name}`: `mem_limit` has no effect on a program inside Roadstead"),
        );
    }
    keys
}

#[cfg(test)]
mod tests;
