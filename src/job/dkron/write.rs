//! Jobs as Dkron's JSON. What Dkron cannot do is refused with the reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::{KEPT, LABEL};
use crate::job::native::write::Written;
use crate::job::schedule::Schedule;
use crate::job::work::{Command, Http, Refresh, Work};
use crate::job::{Job, On, Overlap, When, duration};

/// Jobs as an array of which each line is one object.
pub fn exported(objects: &[Value]) -> String {
    let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// A job as Dkron has it, its keys sorted; the error says why Dkron cannot have it.
pub fn export(written: &Written) -> Result<Value, String> {
    let Written { job, tree } = written;
    let name = &job.name;
    let is_legal = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    if !is_legal {
        return Err("names in Dkron are lower-case letters, digits, `_` and `-`".to_owned());
    }
    let labels = super::super::native::write::json(tree);
    let labels = labels.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let label = |key: &str| {
        let text = labels.get(&format!("{LABEL}{key}")).and_then(Value::as_str);
        text.map(|text| text.replace("$$", "$"))
    };
    let (executor, config) = match label("executor") {
        Some(executor) => {
            let config = label("executor_config").and_then(|text| serde_json::from_str(&text).ok());
            (executor, config.unwrap_or_else(|| json!({})))
        }
        None => executor(job)?,
    };
    let written = |key: &str| tree.get(key).and_then(|node| node.value.scalar_text());
    let enabled = written("enabled").as_deref() != Some("false");
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    put(
        "concurrency",
        if job.policy.overlap == Overlap::Allow { "allow" } else { "forbid" }.into(),
    );
    put("disabled", (!enabled && label("executor").is_none()).into());
    put("displayname", job.description.as_deref().unwrap_or_default().into());
    put("executor", executor.into());
    put("executor_config", super::sorted(&config));
    put("name", name.clone().into());
    put("parent_job", parent(job)?.into());
    put("retries", job.policy.retry.max.into());
    put(
        "schedule",
        schedule(written("dialect").as_deref(), written("schedule").as_deref(), job)?.into(),
    );
    put("timezone", job.timezone.name().into());
    if let Work::Refresh(refresh) = &job.work {
        let ttl = [("hard_ttl", refresh.hard_ttl), ("soft_ttl", refresh.soft_ttl)];
        let ttl = ttl.map(|(key, ttl)| Some((key.to_owned(), duration::format(ttl?).into())));
        put("cache_refresh", Value::Object(ttl.into_iter().flatten().collect()));
    }
    for (key, time) in [("starts_at", job.window.starts), ("expires_at", job.window.ends)] {
        put(key, time.map_or(Value::Null, |time| time.to_rfc3339().into()));
    }
    for key in KEPT {
        let Some(text) = label(key) else { continue };
        let value = match key {
            "owner" | "owner_email" => Value::String(text),
            _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        put(key, value);
    }
    Ok(super::sorted(&Value::Object(object)))
}

fn parent(job: &Job) -> Result<String, String> {
    match job.on.as_slice() {
        [] => Ok(String::new()),
        [On::Ended { job, when: When::Success }] => Ok(job.clone()),
        _ => Err("Dkron knows no event but the success of one other job".to_owned()),
    }
}

/// The schedule as Dkron reads it: six fields, or one of its words.
fn schedule(dialect: Option<&str>, text: Option<&str>, job: &Job) -> Result<String, String> {
    let text = text.unwrap_or_default().trim().replace("$$", "$");
    if dialect == Some("dkron") {
        return Ok(text);
    }
    match &job.schedule {
        Schedule::Cron(_) => {
            let text = job.schedule.to_string();
            let fields = text.split_whitespace().count();
            match fields {
                1 | 6 => Ok(text),
                5 => Ok(format!("0 {text}")),
                _ => Err("Dkron knows no years in schedules".to_owned()),
            }
        }
        Schedule::Every(every) => Ok(format!("@every {}", go_duration(*every))),
        Schedule::Manual if !job.on.is_empty() => Ok(String::new()),
        Schedule::Manual => Ok("@manually".to_owned()),
        Schedule::Startup => Err("Dkron runs nothing when it starts".to_owned()),
        other @ Schedule::At(_) => Ok(other.to_string()),
    }
}

/// As Go reads it, which knows no days.
fn go_duration(every: std::time::Duration) -> String {
    let seconds = every.as_secs();
    if seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else {
        format!("{seconds}s")
    }
}

fn executor(job: &Job) -> Result<(String, Value), String> {
    match &job.work {
        Work::Http(http) => Ok(("http".to_owned(), http_config(http)?)),
        Work::Refresh(refresh) => Ok(("http".to_owned(), http_config(&call_of(refresh)?)?)),
        Work::Command(command) => Ok(("shell".to_owned(), shell_config(job, command)?)),
        Work::Deploy(_)
        | Work::Run(_)
        | Work::Exec(_)
        | Work::ComposeRun(_)
        | Work::Container(_)
        | Work::OgcProcess(_)
        | Work::Group(_)
        | Work::Rotate(_)
        | Work::Clean(_)
        | Work::CacheSync(_)
        | Work::Prune(_)
        | Work::Certificate(_)
        | Work::Sync(_)
        | Work::Backup(_)
        | Work::BackupPrune(_)
        | Work::BackupCheck(_)
        | Work::RestoreDrill(_) => {
            Err(format!("Dkron has no work of the kind `{}`", job.work.kind()))
        }
    }
}

/// What keeps a cache warm, as a call.
fn call_of(refresh: &Refresh) -> Result<Http, String> {
    if refresh.per_second.is_some() {
        return Err("Dkron knows no `per_second`".to_owned());
    }
    Ok(Http {
        wait_for: Vec::new(),
        login: refresh.login.clone(),
        steps: refresh.requests.clone(),
        parallel: 1,
        connection: refresh.connection.clone(),
    })
}

fn http_config(http: &Http) -> Result<Value, String> {
    let [step] = http.steps.as_slice() else {
        return Err("Dkron makes one call in a job".to_owned());
    };
    if http.login.is_some() || !http.wait_for.is_empty() || !step.expect.json.is_empty() {
        return Err("Dkron knows no `login`, `wait_for` and `expect.json`".to_owned());
    }
    let mut config = Map::new();
    let mut put = |key: &str, value: String| drop(config.insert(key.to_owned(), value.into()));
    put("method", step.method.clone());
    put("url", step.url.expose().to_owned());
    put("timeout", step.timeout.as_secs().max(1).to_string());
    if !step.headers.is_empty() {
        let lines = step.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose()));
        put("headers", lines.map(Value::String).collect::<Value>().to_string());
    }
    if let Some(body) = &step.body {
        put("body", body.expose().to_owned());
    }
    let codes: Result<Vec<String>, String> = match step.expect.status.as_slice() {
        [] => Ok(vec!["200".to_owned(), "201".to_owned(), "202".to_owned(), "204".to_owned()]),
        [(100, 599)] => Ok(Vec::new()),
        ranges => {
            let each = ranges.iter().flat_map(|(from, to)| *from..=*to);
            let codes: Vec<String> = each.map(|code| code.to_string()).collect();
            if codes.len() > 20 {
                Err("Dkron knows no ranges of statuses".to_owned())
            } else {
                Ok(codes)
            }
        }
    };
    let codes = codes?;
    if !codes.is_empty() {
        put("expectCode", codes.join(","));
    }
    if let Some(pattern) = &step.expect.body {
        put("expectBody", pattern.clone());
    }
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|it| it.display().to_string());
    if let Some(file) = path(&http.connection.ca_file) {
        put("tlsRootCAsFile", file);
    }
    if let Some(file) = path(&http.connection.client_certificate) {
        put("tlsCertificateFile", file.clone());
        put("tlsCertificateKeyFile", file);
    }
    if http.connection.insecure {
        put("tlsNoVerifyPeer", "true".to_owned());
    }
    Ok(Value::Object(config))
}

fn shell_config(job: &Job, command: &Command) -> Result<Value, String> {
    if !command.then.is_empty()
        || command.redirect.stdout.is_some()
        || command.redirect.stderr.is_some()
    {
        return Err("Dkron knows no `then` and `redirect`".to_owned());
    }
    let mut config = Map::new();
    let mut put = |key: &str, value: String| drop(config.insert(key.to_owned(), value.into()));
    match command.argv.as_slice() {
        [shell, flag, line] if (shell == "sh" || shell == "/bin/sh") && flag == "-c" => {
            put("shell", "true".to_owned());
            put("command", line.clone());
        }
        argv => {
            put("shell", "false".to_owned());
            put("command", shell_words::join(argv));
        }
    }
    if !command.environment.is_empty() {
        let pairs: Vec<String> =
            command.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.iter().any(|pair| pair.contains(',')) {
            return Err("Dkron's `env` takes no commas".to_owned());
        }
        put("env", pairs.join(","));
    }
    if let Some(directory) = &command.working_dir {
        put("cwd", directory.display().to_string());
    }
    if let Some(stdin) = &command.stdin {
        put("payload", BASE64.encode(stdin));
    }
    // Go knows no days.
    let timeout = duration::format(job.timeout);
    put("timeout", if timeout.contains('d') { go_duration(job.timeout) } else { timeout });
    Ok(Value::Object(config))
}
