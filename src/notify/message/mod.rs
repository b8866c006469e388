//! What is sent: addresses, headers and bodies. Pure.

pub(super) mod webhook;

use chrono::{DateTime, Utc};
use reqwest::Url;
use sha2::{Digest, Sha256};

use crate::job::Ping;
use crate::notify::Ended;
use crate::notify::decide::{Health, health, ping_ending};
use crate::run::RunId;

/// The longest body of a ping, where its server does not say otherwise.
/// <https://healthchecks.io/docs/attaching_logs/>
pub(super) const LONGEST_PING_BYTES: usize = 100_000;

/// What kind of receiver a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A check.
    Ping,
    /// Anybody.
    Webhook,
}

impl Kind {
    /// The word in the outbox.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Webhook => "webhook",
        }
    }

    /// The kind written as `word`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Ping, Self::Webhook].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One message to one receiver.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Row in the outbox; 0 before it is there.
    pub(super) id: i64,
    /// Address of the receiver, without what differs between messages: order is kept for each.
    pub(super) target: String,
    pub(super) kind: Kind,
    /// The job it tells of.
    pub(super) job: String,
    /// The whole address.
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// When what it tells happened.
    pub(super) created: DateTime<Utc>,
    /// Tries so far.
    pub(super) tries: u32,
    /// Others go first when there are too many.
    pub(super) is_dear: bool,
}

/// Who knows a check's address may ping it, so none is shown.
impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} of {}", self.kind.as_str(), self.id, self.job)
    }
}

/// The ping that a run started.
pub(super) fn ping_of_start(ping: &Ping, job: &str, rid: &str) -> Result<Message, String> {
    let url = ping_url(ping, "/start", rid)?;
    Ok(message(ping, job, url, Vec::new()))
}

/// The ping of a run's end.
pub(super) fn ping_of_end(ping: &Ping, rid: &str, ended: &Ended<'_>) -> Result<Message, String> {
    let url = ping_url(ping, &ping_ending(ended.ending), rid)?;
    let text = if ended.tail.is_empty() { &ended.ending.message } else { ended.tail };
    let body = if ping.log { last_bytes(text.as_bytes(), LONGEST_PING_BYTES) } else { &[] };
    let is_dear = health(ended.ending.outcome) == Some(Health::Ill);
    Ok(Message { is_dear, ..message(ping, &ended.job.name, url, body.to_vec()) })
}

fn message(ping: &Ping, job: &str, url: Url, body: Vec<u8>) -> Message {
    Message {
        id: 0,
        target: ping.url.expose().to_owned(),
        kind: Kind::Ping,
        job: job.to_owned(),
        url: url.into(),
        headers: vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())],
        body,
        created: DateTime::default(),
        tries: 0,
        is_dear: false,
    }
}

fn ping_url(ping: &Ping, ending: &str, rid: &str) -> Result<Url, String> {
    let wanted = "the address of the check (`notify: ping: url`) is none: write it as \
                  `https://hc-ping.com/UUID`";
    let mut url = Url::parse(ping.url.expose()).map_err(|_| wanted.to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wanted.to_owned());
    }
    let path = format!("{}{ending}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    let mut query = url.query_pairs_mut();
    if ping.create {
        query.append_pair("create", "1");
    }
    query.append_pair("rid", rid);
    drop(query);
    Ok(url)
}

/// The UUID of a run: the same for its start and its end, also after a restart; another one for any
/// other run on any host. Version 8 of RFC 9562: ours to fill, with a hash.
pub(super) fn run_uuid(host: &str, job: &str, run: RunId, started: DateTime<Utc>) -> String {
    let text = format!("{host}\0{job}\0{run}\0{}", started.timestamp_millis());
    let mut bytes: [u8; 16] = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The end of a text, from the start of a character on.
pub(super) fn last_bytes(text: &[u8], limit_bytes: usize) -> &[u8] {
    let mut from = text.len().saturating_sub(limit_bytes);
    while from < text.len() && text[from] & 0b1100_0000 == 0b1000_0000 {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Hidden;

    fn ping(url: &str, create: bool) -> Ping {
        Ping { url: Hidden::new(url.to_owned()), start: true, log: true, create }
    }

    #[test]
    fn addresses_of_checks_are_completed() {
        let rows = [
            ("https://hc-ping.com/abc", false, "/start", "https://hc-ping.com/abc/start?rid=R"),
            ("https://hc-ping.com/abc/", false, "", "https://hc-ping.com/abc?rid=R"),
            ("http://h:8/k/db-backup", true, "/7", "http://h:8/k/db-backup/7?create=1&rid=R"),
            ("https://h/x?team=a", false, "/fail", "https://h/x/fail?team=a&rid=R"),
        ];
        for (url, create, ending, expected) in rows {
            assert_eq!(ping_url(&ping(url, create), ending, "R").unwrap().as_str(), expected);
        }
        for url in ["", "hc-ping.com/abc", "file:///etc/passwd"] {
            assert!(ping_url(&ping(url, false), "", "R").unwrap_err().contains("hc-ping.com/UUID"));
        }
    }

    #[test]
    fn a_run_has_one_uuid() {
        let at = DateTime::from_timestamp(1_795_237_620, 0).unwrap();
        let uuid = run_uuid("host", "web", 42, at);
        assert_eq!(uuid, run_uuid("host", "web", 42, at));
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"));
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        for other in [
            run_uuid("other", "web", 42, at),
            run_uuid("host", "api", 42, at),
            run_uuid("host", "web", 43, at),
            run_uuid("host", "web", 42, at + chrono::TimeDelta::milliseconds(1)),
        ] {
            assert_ne!(uuid, other);
        }
    }

    #[test]
    fn a_body_that_is_too_long_keeps_its_end() {
        let rows =
            [("abc", 5, "abc"), ("abc", 2, "bc"), ("aéb", 2, "b"), ("aéb", 3, "éb"), ("a", 0, "")];
        for (text, limit_bytes, expected) in rows {
            assert_eq!(last_bytes(text.as_bytes(), limit_bytes), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn messages_do_not_show_their_address() {
        let message =
            ping_of_start(&ping("https://hc-ping.com/hunter2", false), "web", "R").unwrap();
        assert!(!format!("{message:?}").contains("hunter2"));
    }
}
