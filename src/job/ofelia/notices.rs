//! Whom jobs of Ofelia tell: addresses of chats, and the `[webhook "name"]` sections of its forks.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Raw, is_true, list_of};
use crate::job::foreign::literal;

/// Sections by their names, each with its keys.
pub(super) type Webhooks = BTreeMap<String, BTreeMap<String, String>>;

/// Where the address stands, whether only errors are told, and the form of the message.
const CHATS: [(&str, &str, &str); 3] = [
    ("slack-webhook", "slack-only-on-error", "slack"),
    ("gotify-webhook", "gotify-only-on-error", "gotify"),
    ("teams-webhook", "teams-only-on-error", "teams"),
];

/// Whether a key of `[global]` says something about notices.
pub(super) fn is_of_all(key: &str) -> bool {
    key == "webhooks" || CHATS.iter().any(|(address, only, _)| key == *address || key == *only)
}

/// Keys of a section that say something here; the outbox of Roadstead has its own patience.
const KEYS: [&str; 8] =
    ["preset", "id", "secret", "url", "trigger", "timeout", "retry-count", "retry-delay"];

/// What is to be said of a job's notices besides what they are.
pub(super) const TELLS_CHANGES: &str = "webhooks are told when a job begins to fail and when it has \
    recovered: not of each run, as Ofelia tells them without `…-only-on-error` or `trigger = error`";

/// Whom a job tells.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// `notify` of our form; `None` for nobody.
    pub(super) notify: Option<Value>,
    /// What is left out, and why.
    pub(super) left_out: Vec<String>,
    /// Somebody was told of each run.
    pub(super) of_each_run: bool,
}

/// Reads whom a job tells: what it says itself, else what `global` says.
pub(super) fn read(raw: &Raw, global: &BTreeMap<String, String>, sections: &Webhooks) -> Notices {
    let value = |key: &str| {
        let of_all = || global.get(key).map(String::as_str).filter(|text| !text.is_empty());
        raw.text(key).or_else(of_all)
    };
    let mut notices = Notices::default();
    let mut webhooks = Vec::new();
    let mut ping = None;
    for (address, only_on_error, format) in CHATS {
        if let Some(url) = value(address) {
            notices.of_each_run |= !value(only_on_error).is_some_and(is_true);
            webhooks.push(json!({"url": literal(url), "format": format}));
        }
    }
    let names: Vec<String> = [raw.text("webhooks"), global.get("webhooks").map(String::as_str)]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    let mut names = list_of(&names);
    names.sort();
    names.dedup();
    for name in names {
        let Some(section) = sections.get(&name) else {
            notices.left_out.push(format!("there is no webhook `{name}`"));
            continue;
        };
        match receiver(section) {
            Ok(Receiver::Webhook(webhook)) => webhooks.push(webhook),
            Ok(Receiver::Ping(url)) => ping = Some(url),
            Err(why) => {
                notices.left_out.push(format!("webhook `{name}` is left out: {why}"));
                continue;
            }
        }
        let others = section.keys().filter(|key| !KEYS.contains(&key.as_str()));
        let others = others.map(|key| format!("`{key}` of webhook `{name}` has no effect"));
        notices.left_out.extend(others);
        notices.of_each_run |= section.get("trigger").is_some_and(|it| it == "always");
    }
    let mut notify = Map::new();
    if let Some(url) = ping {
        notify.insert("ping".to_owned(), url.into());
    }
    if !webhooks.is_empty() {
        notify.insert("webhook".to_owned(), webhooks.into());
    }
    notices.notify = (!notify.is_empty()).then_some(Value::Object(notify));
    notices
}

/// Who is told.
enum Receiver {
    /// An entry of `notify.webhook`.
    Webhook(Value),
    /// The address of a check.
    Ping(String),
}

/// Who a section means; the error says why that is nobody of ours.
fn receiver(section: &BTreeMap<String, String>) -> Result<Receiver, String> {
    let value = |key: &str| {
        section.get(key).map(String::as_str).filter(|text| !text.is_empty()).map(literal)
    };
    if let Some(trigger @ ("success" | "skipped")) = section.get("trigger").map(String::as_str) {
        return Err(format!("it is told of `{trigger}` only, and nobody is told of that here"));
    }
    let lacks = |key: &str| format!("it has no `{key}`");
    let plain = |url: String, format: &str| json!({"url": url, "format": format});
    let url = value("url");
    Ok(Receiver::Webhook(match value("preset").as_deref() {
        None => plain(url.ok_or_else(|| lacks("url"))?, "json"),
        Some("teams") => plain(url.ok_or_else(|| lacks("url"))?, "teams"),
        Some("slack") => match (url, value("id"), value("secret")) {
            (Some(url), _, _) => plain(url, "slack"),
            (None, Some(id), Some(secret)) => {
                plain(format!("https://hooks.slack.com/services/{id}/{secret}"), "slack")
            }
            (None, None, _) => return Err(lacks("id")),
            (None, Some(_), None) => return Err(lacks("secret")),
        },
        Some("gotify") => {
            let url = url.ok_or_else(|| lacks("url"))?;
            let url = url.trim_end_matches('/');
            let mut webhook =
                plain(format!("{}/message", url.trim_end_matches("/message")), "gotify");
            if let Some(secret) = value("secret") {
                webhook["headers"] = json!({"X-Gotify-Key": secret});
            }
            webhook
        }
        Some(preset @ ("healthchecks" | "healthchecks-selfhosted")) => {
            let of_service = |id| format!("https://hc-ping.com/{id}");
            let url = match (preset, url) {
                (_, Some(url)) => url,
                ("healthchecks", None) => of_service(value("id").ok_or_else(|| lacks("id"))?),
                (_, None) => return Err(lacks("url")),
            };
            // Ours says how a run ended behind the address.
            return Ok(Receiver::Ping(url.trim_end_matches("/fail").to_owned()));
        }
        Some(other) => {
            return Err(format!(
                "messages in the form of `{other}` are not sent: `slack`, `teams`, `gotify` and \
                 `healthchecks` are, or plain JSON with `url` alone"
            ));
        }
    }))
}
