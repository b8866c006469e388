//! Docker's own client configuration: credentials of registries, helpers that keep them, proxies.
//!
//! `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, as the docker client writes it. Keys we
//! have no use for are not ours to judge.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

use super::helper;
use crate::image::{Credentials, Reference};

/// What `config.json` says, as far as we use it.
#[derive(Clone, Debug, Default)]
pub struct ClientConfig {
    file: PathBuf,
    text: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Text {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
    proxies: BTreeMap<String, Proxy>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    #[serde(rename = "auth")]
    pair: SecretString,
    username: String,
    password: SecretString,
    identitytoken: SecretString,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Proxy {
    #[serde(rename = "httpProxy")]
    http: String,
    #[serde(rename = "httpsProxy")]
    https: String,
    #[serde(rename = "noProxy")]
    no: String,
    #[serde(rename = "ftpProxy")]
    ftp: String,
    #[serde(rename = "allProxy")]
    all: String,
}

/// The directory that `DOCKER_CONFIG` or `HOME` lead to.
pub(super) fn directory(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = |name: &str| variables.get(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    named("DOCKER_CONFIG").or_else(|| Some(named("HOME")?.join(".docker")))
}

impl ClientConfig {
    /// Reads the configuration that `DOCKER_CONFIG` or `HOME` lead to; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read, with the place of the mistake.
    pub fn load(variables: &BTreeMap<String, String>) -> Result<Self> {
        let found = directory(variables);
        found.map_or_else(|| Ok(Self::default()), |it| Self::read(&it.join("config.json")))
    }

    fn read(file: &Path) -> Result<Self> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("read `{}`: let us read it, or set DOCKER_CONFIG", file.display())
                });
            }
        };
        let text = serde_json::from_slice(&bytes).with_context(|| {
            format!("read `{}`: it is not what `docker login` writes", file.display())
        })?;
        Ok(Self { file: file.to_owned(), text })
    }

    /// What opens the registry of an image: its own helper, else the common one, else what is written.
    ///
    /// # Errors
    ///
    /// When a helper is missing, fails, or does not answer in time.
    pub async fn credentials(&self, reference: &Reference) -> Result<Option<Credentials>> {
        self.credentials_for(reference.credentials_key()).await
    }

    /// What opens every registry that the file names, by the name it has there: a build may pull from
    /// any of them. A helper that fails for one is told and does not stop the rest.
    pub async fn all_credentials(&self) -> BTreeMap<String, Credentials> {
        let keys = self.text.auths.keys().chain(self.text.cred_helpers.keys());
        let mut all = BTreeMap::new();
        for key in keys {
            match self.credentials_for(key).await {
                Ok(found) => all.extend(found.map(|it| (key.clone(), it))),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        all
    }

    async fn credentials_for(&self, key: &str) -> Result<Option<Credentials>> {
        let own = self.text.cred_helpers.iter().find(|(name, _)| host_of(name) == host_of(key));
        let common = Some(&self.text.creds_store).filter(|it| !it.is_empty());
        if let Some(name) = own.map(|(_, helper)| helper).or(common)
            && let Some(found) = helper::get(name, key).await?
        {
            return Ok(Some(found));
        }
        let exact = self.text.auths.get(key);
        let similar = || self.text.auths.iter().find(|(name, _)| host_of(name) == host_of(key));
        match exact.or_else(|| similar().map(|(_, auth)| auth)) {
            Some(auth) => auth.credentials().with_context(|| {
                format!("read the credentials of `{key}` in `{}`", self.file.display())
            }),
            None => Ok(None),
        }
    }

    /// Variables for every container and build, as the docker client sets them from `proxies`: those of
    /// this Engine's address, else the default ones, in both spellings.
    pub fn proxy_variables(&self, engine_host: &str) -> BTreeMap<String, String> {
        let proxies = &self.text.proxies;
        let Some(proxy) = proxies.get(engine_host).or_else(|| proxies.get("default")) else {
            return BTreeMap::new();
        };
        let set = [
            ("HTTP_PROXY", &proxy.http),
            ("HTTPS_PROXY", &proxy.https),
            ("NO_PROXY", &proxy.no),
            ("FTP_PROXY", &proxy.ftp),
            ("ALL_PROXY", &proxy.all),
        ];
        let both = |(name, value): (&str, &String)| {
            [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())]
        };
        set.into_iter().filter(|(_, value)| !value.is_empty()).flat_map(both).collect()
    }
}

impl Auth {
    fn credentials(&self) -> Result<Option<Credentials>> {
        use secrecy::ExposeSecret as _;
        if !self.identitytoken.expose_secret().is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken.clone())));
        }
        let encoded = self.pair.expose_secret();
        if !encoded.is_empty() {
            let decoded = STANDARD.decode(encoded).ok().and_then(|it| String::from_utf8(it).ok());
            let decoded = decoded.context("`auth` is not base64: run `docker login` again")?;
            let (username, password) = decoded
                .split_once(':')
                .context("`auth` is not `user:password`: run `docker login` again")?;
            // The docker client has padded with zero bytes.
            let password = password.trim_matches('\0').into();
            return Ok(Some(Credentials::Password { username: username.to_owned(), password }));
        }
        let is_there = !self.username.is_empty();
        Ok(is_there.then(|| Credentials::Password {
            username: self.username.clone(),
            password: self.password.clone(),
        }))
    }
}

/// The host in a key of `auths`, which may be a whole address.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn config(text: &str) -> ClientConfig {
        let text = serde_json::from_str(text).unwrap();
        ClientConfig { file: PathBuf::from("config.json"), text }
    }

    fn shown(credentials: Option<Credentials>) -> String {
        match credentials {
            Some(Credentials::Password { username, password }) => {
                format!("{username}:{}", password.expose_secret())
            }
            Some(Credentials::IdentityToken(token)) => format!("token {}", token.expose_secret()),
            None => String::new(),
        }
    }

    #[tokio::test]
    async fn credentials_are_found_under_every_name_a_registry_has() {
        // YTpi is a:b.
        for (text, image, expected) in [
            ("{}", "nginx", Ok("")),
            (r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}}}"#, "nginx", Ok("a:b")),
            (r#"{"auths": {"ghcr.io": {"auth": "YTpi"}}}"#, "ghcr.io/x/y:1", Ok("a:b")),
            (r#"{"auths": {"https://ghcr.io/v2/": {"auth": "YTpi"}}}"#, "ghcr.io/x/y:1", Ok("a:b")),
            (r#"{"auths": {"ghcr.io": {"auth": "YTpi"}}}"#, "quay.io/x/y", Ok("")),
            (r#"{"auths": {"ghcr.io": {}}}"#, "ghcr.io/x/y", Ok("")),
            (r#"{"auths": {"h:5": {"username": "u", "password": "p"}}}"#, "h:5/x", Ok("u:p")),
            (
                r#"{"auths": {"h:5": {"auth": "YTpi", "identitytoken": "t"}}}"#,
                "h:5/x",
                Ok("token t"),
            ),
            (r#"{"auths": {"h:5": {"auth": "YTpiAAA="}}}"#, "h:5/x", Ok("a:b")),
            (r#"{"auths": {"h:5": {"auth": "%"}}}"#, "h:5/x", Err("not base64")),
            (r#"{"auths": {"h:5": {"auth": "YWI="}}}"#, "h:5/x", Err("user:password")),
            (r#"{"credsStore": "no/such"}"#, "h:5/x", Err("no/such")),
        ] {
            let found = config(text).credentials(&Reference::parse(image).unwrap()).await;
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(shown(found), expected, "{text}"),
                (Err(found), Err(part)) => {
                    assert!(format!("{found:#}").contains(part), "{text}: {found:#}");
                }
                (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn proxies_become_variables_in_both_spellings() {
        let text = r#"{"proxies": {
            "default": {"httpProxy": "http://p:3128", "noProxy": "localhost"},
            "tcp://far:2375": {"httpsProxy": "https://q"}}}"#;
        for (host, expected) in [
            (
                "unix:///var/run/docker.sock",
                "HTTP_PROXY=http://p:3128 NO_PROXY=localhost http_proxy=http://p:3128 no_proxy=localhost",
            ),
            ("tcp://far:2375", "HTTPS_PROXY=https://q https_proxy=https://q"),
        ] {
            let found = config(text).proxy_variables(host);
            let found: Vec<_> =
                found.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(found.join(" "), expected, "{host}");
        }
        assert!(config("{}").proxy_variables("any").is_empty());
    }

    #[test]
    fn the_file_is_looked_for_where_docker_does() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display().to_string();
        std::fs::create_dir(directory.path().join(".docker")).unwrap();
        std::fs::write(directory.path().join(".docker/config.json"), "{\"credsStore\": 1}")
            .unwrap();
        for (variable, value, fails) in [
            ("HOME", root.clone(), true),
            ("DOCKER_CONFIG", format!("{root}/.docker"), true),
            ("DOCKER_CONFIG", root, false),
            ("OTHER", String::new(), false),
        ] {
            let found = ClientConfig::load(&[(variable.to_owned(), value)].into());
            assert_eq!(found.is_err(), fails, "{variable}");
        }
    }
}
