//! Requests to a server that keeps files: patient with what passes, plain about what does not.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Certificate;
use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::RANGE;

use super::{Fault, Part};
use crate::backup::pause;
use crate::backup::protocol::{Access, Failure};
use crate::backup::talk::{Failed, Outcome};

/// How long a server may take to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request may take: a pack of 64 MB over a slow line.
const REQUEST: Duration = Duration::from_mins(15);
/// What is waited for before each further try.
const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// A client that trusts what `access` says.
///
/// # Errors
///
/// For a certificate that is none.
pub(super) fn client(access: &Access) -> Outcome<Client> {
    let bad = |error: reqwest::Error| {
        Failed::new(Failure::Other, format!("the certificates of authorities: {error}"))
    };
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = &access.certificates {
        for certificate in Certificate::from_pem_bundle(pem.as_bytes()).map_err(bad)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(bad)
}

/// One of `access`'s credentials.
pub(super) fn credential<'a>(access: &'a Access, name: &str) -> Option<&'a str> {
    let found = access.credentials.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// Sends a request, and again when the server was not there or in trouble. `None` is "not found".
pub(super) fn send(request: impl Fn() -> RequestBuilder) -> Result<Option<Response>, Fault> {
    let mut waits = WAITS.iter();
    loop {
        let fault = match request().send() {
            Ok(response) => match response.status() {
                status if status.is_success() => return Ok(Some(response)),
                StatusCode::NOT_FOUND => return Ok(None),
                status => (status.is_server_error(), refused(status, response)),
            },
            Err(error) => (!error.is_timeout(), unreachable(&error)),
        };
        match (fault, waits.next()) {
            ((true, Fault::Unreachable(_)), Some(wait)) => pause(*wait),
            ((_, fault), _) => return Err(fault),
        }
    }
}

/// Asks for a part of a file.
pub(super) fn ranged(request: RequestBuilder, part: Option<Part>) -> RequestBuilder {
    match part {
        Some((from, length)) if length > 0 => {
            let last = from + u64::from(length) - 1;
            request.header(RANGE, format!("bytes={from}-{last}"))
        }
        _ => request,
    }
}

/// The body of an answer to [`ranged`]; a server that sends all has it cut here.
pub(super) fn body(response: Response, part: Option<Part>) -> Result<Bytes, Fault> {
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    let body = response.bytes().map_err(|error| unreachable(&error))?;
    match part {
        Some((from, length)) if !is_part => {
            let from = usize::try_from(from).ok();
            let to = from.and_then(|from| from.checked_add(length as usize));
            match from.zip(to) {
                Some((from, to)) if to <= body.len() => Ok(body.slice(from..to)),
                _ => Err(Fault::Other("the server sent too little".to_owned())),
            }
        }
        _ => Ok(body),
    }
}

/// All of a file as one body.
pub(super) fn joined(content: &[Bytes]) -> Bytes {
    match content {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}

fn refused(status: StatusCode, response: Response) -> Fault {
    let text = response.text().unwrap_or_default();
    let is_full = status == StatusCode::INSUFFICIENT_STORAGE
        || ["QuotaExceeded", "StorageFull", "EntityTooLarge"].iter().any(|it| text.contains(it));
    let first: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    let what = format!("it answers {status} {first}").trim_end().to_owned();
    match status {
        _ if is_full => Fault::Full(what),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::Unreachable(format!("{what}: correct the credentials"))
        }
        _ if status.is_server_error() || status.is_redirection() => Fault::Unreachable(what),
        _ => Fault::Other(what),
    }
}

/// Without the URL, which may hold a signature.
fn unreachable(error: &reqwest::Error) -> Fault {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    let what = if error.is_timeout() { "it does not answer in time" } else { "no connection" };
    Fault::Unreachable(format!("{what} ({reason})"))
}
