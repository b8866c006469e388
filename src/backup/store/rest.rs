//! A repository on a server of restic's REST protocol, version 2.

use bytes::Bytes;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{ACCEPT, CONTENT_LENGTH};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::http::{body, client, credential, joined, ranged, send};
use super::{Fault, Kind, Part, Store, is_name, path_of};
use crate::backup::protocol::{Access, Failure};
use crate::backup::talk::{Failed, Outcome};

/// What lists with sizes are called.
const VERSION_2: &str = "application/vnd.x.restic.rest.v2";

/// A server.
pub(super) struct Rest {
    client: Client,
    base: Url,
    user: Option<(String, Option<String>)>,
}

/// One file in a list.
#[derive(Deserialize)]
struct Listed {
    name: String,
    size: u64,
}

impl Rest {
    pub(super) fn new(url: &str, access: &Access) -> Outcome<Self> {
        let bad = || {
            let name = access.location.name();
            Failed::new(
                Failure::Other,
                format!("{name} is no URL: expected `rest:http://HOST:8000/`"),
            )
        };
        let mut base: Url = format!("{}/", url.trim_end_matches('/')).parse().map_err(|_| bad())?;
        let named = |name: &str| credential(access, name).map(str::to_owned);
        let user = if base.username().is_empty() {
            let password = named("RESTIC_REST_PASSWORD");
            named("RESTIC_REST_USERNAME").map(|user| (user, password))
        } else {
            Some((decoded(base.username()), base.password().map(decoded)))
        };
        base.set_username("").and_then(|()| base.set_password(None)).map_err(|()| bad())?;
        Ok(Self { client: client(access)?, base, user })
    }

    fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let request = self.client.request(method.clone(), url);
        match &self.user {
            Some((user, password)) => request.basic_auth(user, password.as_ref()),
            None => request,
        }
    }
}

/// `%40` as `@`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.filter(|_| first == b'%');
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Store for Rest {
    fn list(&self, kind: Kind) -> Result<Vec<(String, u64)>, Fault> {
        let path = format!("{}/", kind.directory());
        let answer = send(|| self.request(&Method::GET, &path).header(ACCEPT, VERSION_2))?;
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let bytes = body(answer, None)?;
        let listed: Vec<Listed> = serde_json::from_slice(&bytes).map_err(|_| {
            Fault::Other("its list has no sizes: expected restic's REST protocol 2".to_owned())
        })?;
        let files = listed.into_iter().map(|Listed { name, size }| (name, size));
        Ok(files.filter(|(name, _)| is_name(name)).collect())
    }

    fn read(&self, kind: Kind, name: &str, part: Option<Part>) -> Result<Bytes, Fault> {
        let path = path_of(kind, name);
        let answer = send(|| ranged(self.request(&Method::GET, &path), part))?;
        body(answer.ok_or(Fault::Missing)?, part)
    }

    fn write(&self, kind: Kind, name: &str, content: &[Bytes]) -> Result<(), Fault> {
        let (path, content) = (path_of(kind, name), joined(content));
        let sent = send(|| self.request(&Method::POST, &path).body(content.clone()))?;
        sent.map(|_| ()).ok_or_else(|| Fault::Other(format!("it has no place for `{path}`")))
    }

    fn write_config(&self, content: &[Bytes]) -> Result<(), Fault> {
        // The server refuses a second one.
        self.write(Kind::Config, "", content)
    }

    fn remove(&self, kind: Kind, name: &str) -> Result<(), Fault> {
        let path = path_of(kind, name);
        send(|| self.request(&Method::DELETE, &path)).map(|_| ())
    }

    fn create(&self) -> Result<(), Fault> {
        let made = send(|| self.request(&Method::POST, "?create=true"))?;
        made.map(|_| ()).ok_or_else(|| Fault::Other("it makes no repository there".to_owned()))
    }

    fn config(&self) -> Result<Option<u64>, Fault> {
        let answer = send(|| self.request(&Method::HEAD, "config"))?;
        Ok(answer.map(|answer| {
            let length = answer.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            length.unwrap_or_default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_a_url_hides_of_a_password_is_shown_to_the_server() {
        for (text, expected) in [("a%40b", "a@b"), ("%", "%"), ("a%4", "a%4"), ("é%C3%A9", "éé")]
        {
            assert_eq!(decoded(text), expected);
        }
    }
}
