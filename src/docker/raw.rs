//! What bollard cannot say: fields that its types have lost, headers it encodes wrongly, a bare ping.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::errors::Error as BollardError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// Longest wait for the answer to a ping.
const DEADLINE: Duration = Duration::from_secs(5);
/// The question: no body is wanted, the answer is in a header.
const PING: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
/// The header that names the newest API version.
pub(super) const API_VERSION: &str = "api-version";
/// Bytes beyond which an answer to a ping is none.
const LARGEST_ANSWER: u64 = 16 * 1024;

/// What a request says beyond or instead of what bollard makes of it.
#[derive(Default)]
pub(super) struct Change {
    /// The body, in the place of bollard's.
    pub(super) body: Option<Vec<u8>>,
    /// The query, in the place of bollard's.
    pub(super) query: Option<String>,
    /// A further header, whose value is a secret.
    pub(super) header: Option<(&'static str, SecretString)>,
}

/// A client that makes its requests with this change; meant for one request.
pub(super) fn changed(docker: &Docker, change: Change) -> Docker {
    docker.clone().with_request_modifier(move |mut request| {
        if let Some(query) = &change.query {
            let whole = request.uri().to_string();
            let before = whole.split('?').next().unwrap_or_default();
            // It was an address before, and a query of encoded pairs keeps it one.
            if let Ok(uri) = format!("{before}?{query}").parse() {
                *request.uri_mut() = uri;
            }
        }
        if let Some((name, value)) = &change.header
            // Base64 is always a valid header.
            && let Ok(value) = value.expose_secret().parse()
        {
            request.headers_mut().insert(*name, value);
        }
        match &change.body {
            Some(body) => request.map(|_| bollard::body_full(body.clone().into())),
            None => request,
        }
    })
}

/// A client whose request carries `body` with `extra` fields.
///
/// # Errors
///
/// When the body is no JSON object.
pub(super) fn with_fields(
    docker: &Docker,
    body: &impl Serialize,
    extra: &[(&str, Value)],
) -> Result<Docker> {
    let mut body = serde_json::to_value(body).context("write a request")?;
    let fields = body.as_object_mut().context("write a request that is an object")?;
    fields.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let bytes = serde_json::to_vec(&body).context("write a request")?;
    Ok(changed(docker, Change { body: Some(bytes), ..Change::default() }))
}

/// Pairs as a query; every byte that might mean something is encoded.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    let encode = |text: &str| {
        text.bytes().fold(String::new(), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
    };
    let pair = |(name, value): &(&str, String)| format!("{name}={}", encode(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A connection of our own to an Engine.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to an Engine.
///
/// # Errors
///
/// When it cannot be reached.
pub(super) async fn connect(host: &str) -> std::io::Result<Box<dyn Duplex>> {
    if let Some(path) = host.strip_prefix("unix://") {
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    let address = host.split_once("://").map_or(host, |(_, address)| address);
    Ok(Box::new(TcpStream::connect(address.trim_end_matches('/')).await?))
}

/// Asks an Engine by ping, which costs it nothing, for what this header says; `None` where it does not
/// say.
///
/// # Errors
///
/// When it cannot be reached.
pub(super) async fn ping(host: &str, name: &str) -> Result<Option<String>> {
    let asked = async { ask(connect(host).await?).await };
    let answer = tokio::time::timeout(DEADLINE, asked).await?;
    let answer = answer.map_err(|err| BollardError::IOError { err })?;
    Ok(header(&answer, name))
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<String> {
    stream.write_all(PING).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn header(answer: &str, wanted: &str) -> Option<String> {
    let mut lines = answer.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let pairs = [("t", "a/b:1".to_owned()), ("x", "{\"ü\":\" &\"}".to_owned())];
        assert_eq!(query(&pairs), "t=a%2Fb%3A1&x=%7B%22%C3%BC%22%3A%22%20%26%22%7D");
    }

    #[test]
    fn the_version_is_in_a_header() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: x\r\n\r\n", Some("1.41")),
            ("HTTP/1.1 200 OK\r\napi-version:1.51\r\n\r\n", Some("1.51")),
            ("HTTP/1.1 200 OK\r\n\r\nApi-Version: 1.41", None),
            ("", None),
        ] {
            assert_eq!(header(answer, API_VERSION).as_deref(), expected, "{answer:?}");
        }
    }
}
