//! Registries: what opens them, and the digest behind a tag, asked by HEAD without pulling.
//!
//! A HEAD request does not count against the pulls that Docker Hub allows; a GET does, so there is none.

mod config;
mod context;
mod helper;

pub use self::config::ClientConfig;
pub use self::context::host_of_context;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::image::{Credentials, Reference};

/// Longest wait for one look-up, with all its questions.
const DEADLINE: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Every kind of manifest; without an index among them a registry names one platform's digest.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// The header that names the digest.
const DIGEST: &str = "docker-content-digest";

/// Asks registries. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    client: Client,
    config: ClientConfig,
}

impl fmt::Debug for Registries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registries").finish_non_exhaustive()
    }
}

/// What a registry wants to see before it answers.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

impl Registries {
    /// Makes a client that opens registries with this configuration.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let client = Client::builder().connect_timeout(CONNECT_DEADLINE).timeout(DEADLINE).build();
        Ok(Self { client: client.context("set up TLS")?, config })
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// What opens the registry of an image.
    ///
    /// # Errors
    ///
    /// When the text is no reference, or a credential helper fails.
    pub async fn credentials(&self, image: &str) -> Result<Option<Credentials>> {
        self.config.credentials(&Reference::parse(image)?).await
    }

    /// The digest that an image's tag stands for in its registry now; `None` where the registry does
    /// not say.
    ///
    /// # Errors
    ///
    /// When the registry does not have it, does not let us in, or does not answer in time.
    pub async fn digest(&self, image: &str) -> Result<Option<String>> {
        let reference = Reference::parse(image)?;
        let looked = tokio::time::timeout(DEADLINE, self.look_up(&reference)).await;
        match looked {
            Ok(found) => found.with_context(|| format!("look up image `{image}`")),
            Err(_) => bail!(
                "look up image `{image}`: `{}` did not answer in {} s",
                reference.host(),
                DEADLINE.as_secs()
            ),
        }
    }

    async fn look_up(&self, reference: &Reference) -> Result<Option<String>> {
        let credentials = self.config.credentials(reference).await?;
        let (url, first) = self.first_answer(reference).await?;
        let answer = if first.status() == StatusCode::UNAUTHORIZED {
            let header = self.authorization(&first, &url, credentials.as_ref()).await?;
            self.head(&url).header(AUTHORIZATION, header.expose_secret()).send().await?
        } else {
            first
        };
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!(
                "`{}` does not let us in: run `docker login {}` where DOCKER_CONFIG points to",
                reference.registry,
                reference.registry
            ),
            StatusCode::NOT_FOUND => bail!(
                "`{}` has no `{}:{}`",
                reference.registry,
                reference.repository,
                reference.version()
            ),
            StatusCode::TOO_MANY_REQUESTS => {
                bail!("`{}` says that we ask too often: try later, or log in", reference.registry)
            }
            other => bail!("`{}` answered {other}", reference.registry),
        }
        let digest = answer.headers().get(DIGEST).and_then(|it| it.to_str().ok());
        Ok(digest.map(str::to_owned))
    }

    /// The first answer, over TLS, and from loopback also without, as the Engine does it.
    async fn first_answer(&self, reference: &Reference) -> Result<(Url, Response)> {
        let (host, path) = (reference.host(), &reference.repository);
        let url = |scheme: &str| {
            let text = format!("{scheme}://{host}/v2/{path}/manifests/{}", reference.version());
            Url::parse(&text).with_context(|| format!("make an address of `{host}`"))
        };
        let secure = url("https")?;
        match self.head(&secure).send().await {
            Ok(answer) => Ok((secure, answer)),
            Err(_) if is_loopback(&secure) => {
                let plain = url("http")?;
                let answer = self.head(&plain).send().await.map_err(reqwest::Error::without_url)?;
                Ok((plain, answer))
            }
            Err(error) => {
                Err(error.without_url()).with_context(|| format!("reach registry `{host}`"))
            }
        }
    }

    fn head(&self, url: &Url) -> RequestBuilder {
        self.client.head(url.clone()).header(ACCEPT, MANIFESTS)
    }

    async fn authorization(
        &self,
        refusal: &Response,
        url: &Url,
        credentials: Option<&Credentials>,
    ) -> Result<SecretString> {
        // A redirect may have led elsewhere; secrets go to whom they belong.
        if refusal.url().host_str() != url.host_str() {
            bail!("the registry sends us to another host, which wants to know who we are");
        }
        let mut challenges = refusal.headers().get_all(WWW_AUTHENTICATE).into_iter();
        match challenges.find_map(|it| challenge(it.to_str().ok()?)) {
            Some(Challenge::Basic) => {
                let credentials =
                    credentials.context("it wants a user and a password: run `docker login`")?;
                basic(credentials)
                    .context("it wants a user and a password, and we have an identity token")
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let realm =
                    Url::parse(&realm).context("it names no address to get a token from")?;
                let is_local = url.scheme() == "http" && is_loopback(&realm);
                if realm.scheme() != "https" && !is_local {
                    bail!("it wants us to get a token from `{realm}`, which is not https");
                }
                let asked = [("service", service), ("scope", scope)];
                let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
                token(self.token_request(realm, &asked.collect::<Vec<_>>(), credentials)?).await
            }
            None => bail!("it refuses us without saying what it wants"),
        }
    }

    /// A GET with user and password, or with neither; a POST with an identity token.
    fn token_request(
        &self,
        mut realm: Url,
        asked: &[(&str, String)],
        credentials: Option<&Credentials>,
    ) -> Result<RequestBuilder> {
        if let Some(Credentials::IdentityToken(token)) = credentials {
            // Only to encode the pairs.
            let mut form = Url::parse("form:///")?;
            form.query_pairs_mut()
                .extend_pairs(asked)
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "roadstead")
                .append_pair("refresh_token", token.expose_secret());
            let body = form.query().unwrap_or_default().to_owned();
            let request = self.client.post(realm).body(body);
            return Ok(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"));
        }
        realm.query_pairs_mut().extend_pairs(asked);
        let request = self.client.get(realm);
        Ok(match credentials.and_then(basic) {
            Some(header) => request.header(AUTHORIZATION, header.expose_secret()),
            None => request,
        })
    }
}

async fn token(request: RequestBuilder) -> Result<SecretString> {
    let answer =
        request.send().await.map_err(reqwest::Error::without_url).context("get a token")?;
    if !answer.status().is_success() {
        bail!("get a token: refused with {}: run `docker login`", answer.status());
    }
    let body = answer.bytes().await.map_err(reqwest::Error::without_url).context("get a token")?;
    let Ok(token) = serde_json::from_slice::<Token>(&body) else {
        bail!("get a token: the answer holds none");
    };
    let token = token.token.or(token.access_token).context("get a token: the answer holds none")?;
    Ok(format!("Bearer {}", token.expose_secret()).into())
}

fn basic(credentials: &Credentials) -> Option<SecretString> {
    match credentials {
        Credentials::Password { username, password } => {
            let pair = format!("{username}:{}", password.expose_secret());
            Some(format!("Basic {}", STANDARD.encode(pair)).into())
        }
        Credentials::IdentityToken(_) => None,
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Reads one `WWW-Authenticate` header; `None` for a scheme we do not speak.
fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        // A comma inside quotes is part of the value: `scope="repository:a:pull,push"`.
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            "scope" => scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_every_spelling() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        for (header, expected) in [
            ("Basic realm=\"basic-realm\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                 scope=\"repository:library/nginx:pull,push\"",
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull,push"),
                ),
            ),
            ("bearer  Realm=https://a , error=x", bearer("https://a ", None, None)),
            ("Bearer service=\"x\"", None),
            ("Bearer realm=\"open", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(challenge(header), expected, "{header}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, expected) in [
            ("https://127.0.0.1:5000/", true),
            ("https://127.9.9.9/", true),
            ("https://localhost/", true),
            ("https://[::1]:5000/", true),
            ("https://10.0.0.1/", false),
            ("https://localhost.example.org/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
