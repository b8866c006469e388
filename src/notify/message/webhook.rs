//! The JSON that webhooks are told.

mod chat;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{Kind, Message, last_bytes};
use crate::job::{Webhook, WebhookFormat};
use crate::notify::{Change, Ended};
use crate::run::{Ending, Outcome, RunId};

/// Bytes of the output's end that a message quotes.
const TAIL_BYTES: usize = 4096;

/// What a message tells of a run.
#[derive(Clone, Debug)]
pub(in crate::notify) struct Facts {
    pub(in crate::notify) job: String,
    run: RunId,
    started: DateTime<Utc>,
    ended: DateTime<Utc>,
    ending: Ending,
    tail: String,
    host: String,
}

impl Facts {
    /// What is told of a run that ended on this host.
    pub(in crate::notify) fn of(ended: &Ended<'_>, host: &str) -> Self {
        let tail = last_bytes(ended.tail.as_bytes(), TAIL_BYTES);
        Self {
            job: ended.job.name.clone(),
            run: ended.run,
            started: ended.started,
            ended: ended.ended,
            ending: ended.ending.clone(),
            tail: String::from_utf8_lossy(tail).into_owned(),
            host: host.to_owned(),
        }
    }

    /// The body, in JSON of the receiver's form.
    pub(in crate::notify) fn body(
        &self,
        format: WebhookFormat,
        change: Change,
        previous: Option<Outcome>,
    ) -> String {
        match format {
            WebhookFormat::Json => self.json(change, previous),
            WebhookFormat::Slack => chat::slack(self, change),
            WebhookFormat::Teams => chat::teams(self, change),
            WebhookFormat::Gotify => chat::gotify(self, change),
        }
    }

    fn json(&self, change: Change, previous: Option<Outcome>) -> String {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = json!({
            "job": self.job,
            "run": self.run,
            "state": change.as_str(),
            "outcome": self.ending.outcome,
            "reason": self.ending.reason,
            "message": self.ending.message,
            "previous": previous,
            "started": time(self.started),
            "ended": time(self.ended),
            "exit_code": self.ending.exit_code,
            "host": self.host,
            "log_tail": self.tail,
        });
        body.to_string()
    }
}

/// The message to one webhook.
pub(in crate::notify) fn message(webhook: &Webhook, job: &str, body: &str) -> Message {
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let own = webhook.headers.iter();
    let own = own.map(|(name, value)| (name.to_ascii_lowercase(), value.expose().to_owned()));
    Message {
        id: 0,
        target: webhook.url.expose().to_owned(),
        kind: Kind::Webhook,
        job: job.to_owned(),
        url: webhook.url.expose().to_owned(),
        // One of the job's own stands after ours, and counts.
        headers: std::iter::once(json).chain(own).collect(),
        body: body.as_bytes().to_vec(),
        created: DateTime::default(),
        tries: 0,
        is_dear: true,
    }
}
