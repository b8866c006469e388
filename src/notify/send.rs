//! One message over HTTP, and what its receiver made of it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};

use super::message::{Kind, Message, last_bytes};

/// The longest time one message may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The receiver has it, and takes bodies of so many bytes at most where it says so.
    Taken { limit_bytes: Option<usize> },
    /// It does not, and never will.
    Refused(String),
    /// Not now.
    Later {
        /// What went wrong.
        why: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
}

/// A client for messages, made for the first of them: the certificate authorities it reads take
/// megabytes, and most have nobody to tell.
#[derive(Debug, Default)]
pub(super) struct LazyClient(OnceLock<Client>);

impl LazyClient {
    fn get(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let made = Client::builder()
            .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::limited(5))
            .build()?;
        Ok(self.0.get_or_init(|| made))
    }
}

/// Sends a message whose receiver takes bodies of so many bytes.
pub(super) async fn send(client: &LazyClient, message: &Message, limit_bytes: usize) -> Answer {
    let body = match message.kind {
        Kind::Ping => last_bytes(&message.body, limit_bytes).to_vec(),
        Kind::Webhook => message.body.clone(),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let header = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = header else {
            return Answer::Refused(format!("`{name}` or its value is no HTTP header"));
        };
        headers.insert(name, value);
    }
    let client = match client.get() {
        Ok(client) => client,
        Err(error) => return Answer::Later { why: chain(&error), after: None },
    };
    match client.post(&message.url).headers(headers).body(body).send().await {
        Ok(answer) => judge(message.kind, answer.status(), answer.headers()),
        Err(error) if error.is_builder() => {
            Answer::Refused("its address is none: write it as `https://host/path`".to_owned())
        }
        Err(error) => Answer::Later { why: chain(&error.without_url()), after: None },
    }
}

fn judge(kind: Kind, status: StatusCode, headers: &HeaderMap) -> Answer {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    if status.is_success() {
        return Answer::Taken { limit_bytes: number("ping-body-limit") };
    }
    let refused = match (kind, status.as_u16()) {
        (Kind::Ping, 404) => "there is no such check: 404; is its address right?",
        (Kind::Ping, 409) => "its slug is that of several checks: 409; use the check's UUID",
        (_, 410) => "it is gone: 410",
        (_, 400) => "it does not understand us: 400",
        (_, 413) => "it is too large for it: 413",
        _ => {
            let after = number(RETRY_AFTER.as_str()).map(|seconds| seconds as u64);
            let after = after.map(Duration::from_secs);
            return Answer::Later { why: format!("it answered {status}"), after };
        }
    };
    Answer::Refused(refused.to_owned())
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let none = HeaderMap::new();
        let taken = |limit_bytes| Answer::Taken { limit_bytes };
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        let ping = |status: u16, headers: &HeaderMap| {
            judge(Kind::Ping, StatusCode::from_u16(status).unwrap(), headers)
        };
        assert_eq!(ping(200, &none), taken(None));
        assert_eq!(ping(201, &with("ping-body-limit", "10000")), taken(Some(10_000)));
        assert_eq!(ping(200, &with("ping-body-limit", "lots")), taken(None));
        for status in [400, 404, 409, 410, 413] {
            assert!(matches!(ping(status, &none), Answer::Refused(_)), "{status}");
        }
        for status in [301, 401, 403, 408, 429, 500, 502, 503] {
            assert!(matches!(ping(status, &none), Answer::Later { after: None, .. }), "{status}");
        }
        let after = Some(Duration::from_secs(7));
        let answer = ping(429, &with("retry-after", "7"));
        assert!(matches!(answer, Answer::Later { after: found, .. } if found == after));
        let answer = judge(Kind::Webhook, StatusCode::NOT_FOUND, &none);
        assert!(matches!(answer, Answer::Later { .. }), "a receiver may be away for a while");
    }
}
