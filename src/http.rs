//! Calls over HTTP for jobs: one client with a cookie jar, answers of bounded size, failures by class.
//!
//! Decides nothing: what is expected of an answer, and what is tried again, is said elsewhere.

mod download;

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use native_tls::{Protocol, TlsConnector};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Method};
use tokio::time::Instant;

use crate::compose::model::Hidden;
use crate::job::work::Connection;

pub use self::download::{Download, Downloaded};
pub use reqwest::Url;

/// Longest wait for a connection, where the call itself may take longer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read: what an expectation looks at, and more than a log wants.
pub const LARGEST_ANSWER: usize = 1024 * 1024;
/// Connections to one server that are kept open.
const IDLE_CONNECTIONS: usize = 64;

/// A client with a cookie jar of its own. Cheap to clone; clones share the jar.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Method, e.g. `GET`.
    pub method: &'a str,
    /// Address.
    pub url: &'a str,
    /// Headers, by name.
    pub headers: Vec<(&'a str, &'a str)>,
    /// Body.
    pub body: Option<Vec<u8>>,
    /// Longest time to the end of the answer.
    pub timeout: Duration,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers by lower-case name; the first of each.
    pub headers: IndexMap<String, String>,
    /// The body, or its first bytes, [`LARGEST_ANSWER`] unless said.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub is_cut: bool,
    /// Where it came from, after redirects.
    pub url: Url,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// Which of them.
    pub class: Class,
    /// The whole chain of causes, without the address: that may hold secrets.
    pub message: String,
}

/// The classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The two sides could not agree on TLS, or one does not trust the other's certificate.
    Tls,
    /// More redirects than are followed.
    Redirect,
    /// The connection broke off in the middle of the answer.
    Body,
    /// What is asked for cannot be said in HTTP.
    Invalid,
}

impl Class {
    /// The word in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Redirect => "redirect",
            Self::Body => "body",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.class {
            Class::Connect => "cannot connect",
            Class::Timeout => "no answer in time",
            Class::Tls => "TLS failed",
            Class::Redirect => "redirected too often",
            Class::Body => "the answer broke off",
            Class::Invalid => "the call is not valid",
        };
        write!(formatter, "{what}: {}", self.message)
    }
}

/// TLS with the authorities of the machine, set up once: reading them takes longer than a short call.
fn usual_tls() -> Result<TlsConnector> {
    static USUAL: OnceLock<TlsConnector> = OnceLock::new();
    if let Some(usual) = USUAL.get() {
        return Ok(usual.clone());
    }
    let made = TlsConnector::builder().min_protocol_version(Some(Protocol::Tlsv12)).build();
    let made = made.context("set up TLS")?;
    Ok(USUAL.get_or_init(|| made).clone())
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or does not hold what it is to hold.
    pub fn new(connection: &Connection) -> Result<Self> {
        let redirects = match connection.redirects {
            0 => Policy::none(),
            most => Policy::limited(most),
        };
        let mut builder = reqwest::Client::builder()
            .cookie_store(true)
            .connect_timeout(CONNECT_DEADLINE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(redirects)
            .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
            .tls_danger_accept_invalid_certs(connection.insecure);
        if let Connection { ca_file: None, client_certificate: None, insecure: false, .. } =
            connection
        {
            builder = builder.tls_backend_preconfigured(usual_tls()?);
        }
        if let Some(path) = &connection.ca_file {
            for certificate in authorities(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some(path) = &connection.client_certificate {
            builder = builder.identity(identity(path)?);
        }
        Ok(Self { client: builder.build().context("set up TLS")? })
    }

    /// Makes a call and reads its answer.
    ///
    /// # Errors
    ///
    /// When there is none; any status is an answer.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        self.call_within(call, LARGEST_ANSWER).await
    }

    /// The same, where so many bytes of the answer are read.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub async fn call_within(&self, call: &Call<'_>, most: usize) -> Result<Answer, Failure> {
        let started = Instant::now();
        let invalid = |message: String| Failure { class: Class::Invalid, message };
        let method = Method::from_bytes(call.method.as_bytes())
            .map_err(|_| invalid(format!("`{}` is no method", call.method)))?;
        let url = Url::parse(call.url).map_err(|error| invalid(format!("the address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("expected http:// or https://, not {}://", url.scheme())));
        }
        let mut request = self.client.request(method, url).timeout(call.timeout);
        for (name, value) in &call.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid(format!("`{name}` is no name of a header")))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| invalid(format!("header `{name}` has a value that none can have")))?;
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| failure(error, call.timeout))?;
        let mut body = Vec::new();
        let mut is_cut = false;
        loop {
            let chunk = response.chunk().await.map_err(|error| failure(error, call.timeout))?;
            let Some(chunk) = chunk else { break };
            let room = most - body.len();
            is_cut = chunk.len() > room;
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if is_cut {
                break;
            }
        }
        let mut headers = IndexMap::new();
        for (name, value) in response.headers() {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.entry(name.as_str().to_owned()).or_insert(text);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            headers,
            body,
            is_cut,
            url: response.url().clone(),
            took: started.elapsed(),
        })
    }
}

impl Answer {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as text where it says that it is some, or says nothing and is.
    pub fn text(&self) -> Option<String> {
        let kind = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_text = kind.is_empty()
            || kind.starts_with("text/")
            || kind.ends_with("json")
            || kind.ends_with("xml")
            || kind.ends_with("yaml")
            || kind.contains("javascript")
            || kind == "application/x-www-form-urlencoded";
        let text = String::from_utf8_lossy(&self.body);
        (is_text && !self.body.contains(&0)).then(|| text.into_owned())
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// An address without what may be secret in it: user, password, query.
pub fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "(no address)".to_owned() };
    // Both fail only for addresses that have no host, and so no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let had_query = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    if had_query { format!("{url}?…") } else { url.to_string() }
}

/// As [`shown`], for an address that is kept hidden.
pub fn shown_hidden(url: &Hidden) -> String {
    shown(url.expose())
}

fn failure(error: reqwest::Error, timeout: Duration) -> Failure {
    let error = error.without_url();
    let mut message = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(next) = cause {
        let text = next.to_string();
        if !message.contains(&text) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&text);
        }
        cause = next.source();
    }
    if message.is_empty() {
        message = error.to_string();
    }
    let lower = message.to_ascii_lowercase();
    let is_tls = ["certificate", "ssl", "tls", "handshake"].iter().any(|it| lower.contains(it));
    let class = if error.is_timeout() {
        message = format!("waited {} s", timeout.as_secs_f64());
        Class::Timeout
    } else if error.is_redirect() {
        Class::Redirect
    } else if error.is_builder() {
        Class::Invalid
    } else if is_tls {
        Class::Tls
    } else if error.is_connect() {
        Class::Connect
    } else if error.is_body() || error.is_decode() {
        Class::Body
    } else {
        Class::Connect
    };
    Failure { class, message }
}

/// The certificates of a file in PEM.
fn authorities(path: &Path) -> Result<Vec<Certificate>> {
    let place = || format!("read certificate authorities of `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let blocks = pem_blocks(&text, |label| label == "CERTIFICATE");
    if blocks.is_empty() {
        bail!("{}: expected `-----BEGIN CERTIFICATE-----`", place());
    }
    let read = |block: &String| Certificate::from_pem(block.as_bytes());
    blocks.iter().map(read).collect::<Result<_, _>>().with_context(place)
}

/// A certificate and its key, in one file in PEM.
fn identity(path: &Path) -> Result<Identity> {
    let place = || format!("read the client certificate of `{}`", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let certificates = pem_blocks(&text, |label| label == "CERTIFICATE");
    let keys = pem_blocks(&text, |label| label.ends_with("PRIVATE KEY"));
    let (false, Some(key)) = (certificates.is_empty(), keys.first()) else {
        bail!("{}: expected a certificate and its private key, both in PEM", place());
    };
    if !key.starts_with("-----BEGIN PRIVATE KEY-----") {
        bail!(
            "{}: expected a key in PKCS#8 (`-----BEGIN PRIVATE KEY-----`): convert it with \
             `openssl pkcs8 -topk8 -nocrypt`",
            place()
        );
    }
    Identity::from_pkcs8_pem(certificates.concat().as_bytes(), key.as_bytes()).with_context(place)
}

/// The blocks of a PEM file whose label is wanted, each with its frame.
fn pem_blocks(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let from = &rest[start..];
        let Some(label) = from["-----BEGIN ".len()..].split("-----").next() else { break };
        let end = format!("-----END {label}-----");
        let Some(at) = from.find(&end) else { break };
        if wanted(label) {
            blocks.push(format!("{}\n", &from[..at + end.len()]));
        }
        rest = &from[at + end.len()..];
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_what_may_be_secret() {
        for (url, expected) in [
            ("http://h/p", "http://h/p"),
            ("https://ada:pw@h:8443/p?key=1#f", "https://h:8443/p?…"),
            ("http://h", "http://h/"),
            ("nonsense", "(no address)"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn blocks_of_a_pem_file_are_told_apart() {
        let file = "text\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n\
                    -----BEGIN PRIVATE KEY-----\nBB\n-----END PRIVATE KEY-----\n\
                    -----BEGIN CERTIFICATE-----\nCC\n-----END CERTIFICATE-----";
        let certificates = pem_blocks(file, |label| label == "CERTIFICATE");
        assert_eq!(certificates.len(), 2);
        assert!(certificates[1].contains("CC"), "{certificates:?}");
        assert_eq!(pem_blocks(file, |label| label.ends_with("KEY")).len(), 1);
        assert!(pem_blocks("-----BEGIN CERTIFICATE-----\nAA", |_| true).is_empty());
    }
}
