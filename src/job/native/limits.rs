//! Reads within which limits a job runs, what sets it off, and whom it tells.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::Reader;
use super::fields::{self, Fields, integer_of, scalar_of};
use super::http::checked_url;
use super::table::{AFTER_ONE, FORMATS, KEEP, NOTIFY, PING, RETRY, WEBHOOK};
use crate::compose::yaml::Node;
use crate::job::{
    CatchUp, ContainerEvent, Keep, Notify, On, Overlap, Ping, Policy, Retry, Stop, Webhook,
    WebhookFormat, When, Window,
};
use crate::problem::{Problem, nearest};

/// The kinds of events besides the clock, as they are written before a `:`.
const EVENTS: [&str; 7] = [
    "deploy",
    "deploy_failed",
    "container_started",
    "container_died",
    "container_unhealthy",
    "webhook",
    "file",
];

/// Reads the limits; `usual` is what happens to overlapping slots where nothing is said.
pub(super) fn policy(fields: &Fields<'_>, usual: Overlap, reader: &mut Reader<'_>) -> Policy {
    let problems = &mut reader.problems;
    let overlap = fields.word("overlap", &["skip", "queue", "replace", "allow"], problems);
    let priority = fields.integer("priority", (-1000, 1000), problems).unwrap_or(0);
    Policy {
        overlap: match overlap {
            Some("skip") => Overlap::Skip,
            Some("queue") => Overlap::Queue,
            Some("replace") => Overlap::Replace,
            Some("allow") => Overlap::Allow,
            _ => usual,
        },
        catch_up: catch_up(fields, problems),
        start_deadline: fields.duration("start_deadline", problems),
        retry: retry(fields, problems),
        stop: Stop {
            signal: fields.plain("stop_signal", problems),
            grace: fields.duration_or_zero("stop_grace", problems),
        },
        locks: fields.strings("locks", problems).into_iter().collect(),
        priority: i32::try_from(priority).unwrap_or(0),
    }
}

fn catch_up(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> CatchUp {
    let Some((text, node)) = fields.text("catch_up", problems) else { return CatchUp::default() };
    let number = text.trim().strip_prefix("all(").and_then(|rest| rest.strip_suffix(')'));
    match (text.trim(), number.and_then(|number| number.trim().parse().ok())) {
        ("none", _) => CatchUp::None,
        ("latest", _) => CatchUp::Latest,
        (_, Some(number)) if number > 0 => CatchUp::All(number),
        _ => {
            let problem = node.problem(format!("`catch_up` is `{text}`"));
            problems.push(problem.with_hint("write `none`, `latest` or `all(10)`"));
            CatchUp::default()
        }
    }
}

fn retry(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Retry {
    let mut retry = Retry::default();
    let Some(node) = fields.node("retry") else { return retry };
    let max = if node.as_mapping().is_some() {
        let Some(fields) = fields::open(node, &RETRY, problems) else { return retry };
        retry.backoff = fields.duration_or_zero("backoff", problems).unwrap_or(retry.backoff);
        let cap = fields.duration_or_zero("cap", problems);
        retry.cap = cap.unwrap_or(retry.cap.max(retry.backoff));
        if retry.cap < retry.backoff {
            problems.push(node.problem("`cap` is shorter than `backoff`"));
        }
        fields.integer("max", (0, 100), problems)
    } else {
        integer_of("retry", node, (0, 100), problems)
    };
    retry.max = max.and_then(|max| u32::try_from(max).ok()).unwrap_or(0);
    retry
}

/// Reads in what the slots differ from the schedule.
pub(super) fn window(fields: &Fields<'_>, timezone: Tz, reader: &mut Reader<'_>) -> Window {
    let problems = &mut reader.problems;
    let mut time = |name: &str| {
        let (text, node) = fields.text(name, problems)?;
        let instant = instant(text.trim(), timezone);
        if instant.is_none() {
            let problem = node.problem(format!("`{name}` is `{text}`, which is no time"));
            problems.push(problem.with_hint("write e.g. `2026-03-01T00:00:00Z` or `2026-03-01`"));
        }
        instant
    };
    let (starts, ends) = (time("starts_at"), time("expires_at"));
    if let (Some(starts), Some(ends), Some(node)) = (starts, ends, fields.node("expires_at"))
        && starts >= ends
    {
        problems.push(node.problem("`expires_at` is not after `starts_at`: no slot is left"));
    }
    Window {
        starts,
        ends,
        jitter: fields.duration_or_zero("jitter", problems).unwrap_or_default(),
        spread: fields.duration_or_zero("spread", problems).unwrap_or_default(),
    }
}

/// A time with its offset, or a wall time of the zone; of a repeated one the first is meant, of a
/// skipped one the instant after the gap.
fn instant(text: &str, timezone: Tz) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let wall = time.or_else(|| date().map(|date| date.and_time(NaiveTime::MIN)))?;
    (0..180).find_map(|minutes| {
        let wall = wall + chrono::Duration::minutes(minutes);
        timezone.from_local_datetime(&wall).earliest().map(|time| time.to_utc())
    })
}

/// Reads what besides the clock sets a job off.
pub(super) fn on(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Vec<On> {
    let problems = &mut reader.problems;
    let mut on = Vec::new();
    for item in fields.items("after") {
        if item.as_mapping().is_some() {
            let Some(fields) = fields::open(item, &AFTER_ONE, problems) else { continue };
            let when = match fields.word("on", &["success", "failure", "finish"], problems) {
                Some("failure") => When::Failure,
                Some("finish") => When::Finish,
                _ => When::Success,
            };
            let job = fields.required("job", item, "web", problems);
            on.extend(job.map(|job| On::Ended { job, when }));
        } else if let Some(job) = scalar_of("after", item, problems) {
            on.push(On::Ended { job, when: When::Success });
        }
    }
    for item in fields.items("on") {
        let Some(text) = scalar_of("on", item, problems) else { continue };
        if text.trim().is_empty() {
            continue;
        }
        on.extend(event(text.trim(), item, problems));
    }
    on
}

fn event(text: &str, node: &Node, problems: &mut Vec<Problem>) -> Option<On> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let container = |event| Some(On::Container { event, container: name.to_owned() });
    let deployed = |when| Some(On::Deployed { project: name.to_owned(), when });
    let hint = "write e.g. `deploy:web`, `container_died:web`, `webhook:refresh` or `file:/srv/in`";
    if EVENTS.contains(&kind) && name.is_empty() {
        let problem = node.problem(format!("`{text}` names nothing: write `{kind}:NAME`"));
        problems.push(problem.with_hint(hint));
        return None;
    }
    match kind {
        "deploy" => deployed(When::Success),
        "deploy_failed" => deployed(When::Failure),
        "container_started" => container(ContainerEvent::Started),
        "container_died" => container(ContainerEvent::Died),
        "container_unhealthy" => container(ContainerEvent::Unhealthy),
        "webhook" => Some(On::Webhook(name.to_owned())),
        "file" if name.starts_with('/') => Some(On::FileChanged(PathBuf::from(name))),
        "file" => {
            problems.push(node.problem(format!("`{text}` must name an absolute path")));
            None
        }
        "push" => {
            let problem = node.problem("`push` is not supported yet");
            problems.push(problem.with_hint("write `webhook:NAME`, and let the forge call it"));
            None
        }
        _ => {
            let problem = node.problem(format!("`{text}` is no event"));
            problems.push(match nearest(kind, EVENTS) {
                Some(near) => problem.with_hint(format!("did you mean `{near}:NAME`?")),
                None => problem.with_hint(hint),
            });
            None
        }
    }
}

/// Reads how much of output and history is kept.
pub(super) fn keep(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Keep {
    let problems = &mut reader.problems;
    let default = Keep::default();
    let Some(node) = fields.node("keep") else { return default };
    let Some(fields) = fields::open(node, &KEEP, problems) else { return default };
    let runs = fields.integer("runs", (1, 1_000_000), problems);
    Keep {
        runs: runs.and_then(|runs| usize::try_from(runs).ok()).unwrap_or(default.runs),
        age: fields.duration("age", problems),
        bytes: fields.size("size", problems),
        run_bytes: fields.size("run_size", problems),
    }
}

/// Reads whom a job tells.
pub(super) fn notify(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Notify {
    let problems = &mut reader.problems;
    let Some(node) = fields.node("notify") else { return Notify::default() };
    let Some(fields) = fields::open(node, &NOTIFY, problems) else { return Notify::default() };
    let ping = fields.node("ping").and_then(|node| ping(node, problems));
    let webhooks = fields.items("webhook").iter().filter_map(|item| webhook(item, problems));
    Notify { ping, webhooks: webhooks.collect() }
}

fn ping(node: &Node, problems: &mut Vec<Problem>) -> Option<Ping> {
    let usual = |url| Ping { url, start: true, log: true, create: false };
    if node.as_mapping().is_none() {
        // An empty address is one that is not set: nobody is told.
        let text = scalar_of("ping", node, problems).filter(|text| !text.trim().is_empty())?;
        return checked_url(&text, node, problems).map(usual);
    }
    let fields = fields::open(node, &PING, problems)?;
    let url = fields.required("url", node, "https://hc-ping.com/UUID", problems)?;
    let url = checked_url(&url, fields.node("url")?, problems)?;
    Some(Ping {
        url,
        start: fields.boolean("start", problems).unwrap_or(true),
        log: fields.boolean("log", problems).unwrap_or(true),
        create: fields.boolean("create", problems).unwrap_or(false),
    })
}

fn webhook(node: &Node, problems: &mut Vec<Problem>) -> Option<Webhook> {
    if node.as_mapping().is_none() {
        let text = scalar_of("webhook", node, problems).filter(|text| !text.trim().is_empty())?;
        let url = checked_url(&text, node, problems)?;
        return Some(Webhook { url, headers: Vec::new(), format: WebhookFormat::default() });
    }
    let fields = fields::open(node, &WEBHOOK, problems)?;
    let url = fields.required("url", node, "https://chat.example/hook", problems)?;
    let url = checked_url(&url, fields.node("url")?, problems)?;
    let headers = fields.hidden_mapping("headers", problems).into_iter().collect();
    let format = fields.word("format", FORMATS, problems);
    let format = WebhookFormat::ALL.into_iter().find(|it| Some(it.as_str()) == format);
    Some(Webhook { url, headers, format: format.unwrap_or_default() })
}
