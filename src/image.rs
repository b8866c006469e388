//! References of images, and what opens the registry that has them.

use std::fmt;

use secrecy::SecretString;

/// The registry of a reference that names none.
pub const DOCKER_HUB: &str = "docker.io";
/// Under this name, and no other, Docker keeps the credentials of its Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Where the Hub's registry answers.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// An image reference in its parts (distribution/reference).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host of the registry with its port, [`DOCKER_HUB`] where none was written.
    pub registry: String,
    /// Path in the registry, `library/nginx` for `nginx`.
    pub repository: String,
    /// Tag; `None` where there is none or only a digest.
    pub tag: Option<String>,
    /// Digest, `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// Takes a reference apart.
    ///
    /// # Errors
    ///
    /// Says what a reference looks like.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |what: &'static str| InvalidReference { text: text.to_owned(), what };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        if digest.as_ref().is_some_and(|it| !is_digest(it)) {
            return Err(invalid("a digest is `sha256:` and 64 hexadecimal digits"));
        }
        let (name, tag) = name_and_tag(name);
        let tag = tag.map(str::to_owned);
        if tag.as_ref().is_some_and(|it| !is_tag(it)) {
            return Err(invalid("a tag has letters, digits, `_`, `.`, `-`, 128 at most"));
        }
        let (registry, path) = match name.split_once('/') {
            // Only a host has a dot, a port, or this name.
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, path)
            }
            _ => (DOCKER_HUB, name),
        };
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(invalid("a name has lower-case letters, digits and single `.`, `_`, `-`"));
        }
        let is_official = registry == DOCKER_HUB && !path.contains('/');
        let repository = if is_official { format!("library/{path}") } else { path.to_owned() };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// What names the version in the registry: the digest, else the tag, else `latest`.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// Host of the registry's API.
    pub fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_HOST } else { &self.registry }
    }

    /// The name under which Docker keeps the registry's credentials.
    pub fn credentials_key(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_KEY } else { &self.registry }
    }
}

/// The two parts of a name without a digest; a port is no tag.
pub fn name_and_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// A text that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no image reference: {what}")]
pub struct InvalidReference {
    text: String,
    what: &'static str,
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, digits)| {
        !algorithm.is_empty()
            && digits.len() >= 32
            && digits.bytes().all(|it| it.is_ascii_hexdigit())
    })
}

fn is_tag(text: &str) -> bool {
    let is_word = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    let rest = |it: u8| is_word(it) || it == b'.' || it == b'-';
    let mut bytes = text.bytes();
    text.len() <= 128 && bytes.next().is_some_and(is_word) && bytes.all(rest)
}

/// Words of lower-case letters and digits, between them `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    let is_separator =
        |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|b| b == b'-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_separator)
}

/// What an image is identical with. Engines name it by different digests, and the same Engine does
/// after a change of its store: an image is another one only if all that is known of it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The Engine's id: of the configuration, or of an index.
    pub id: String,
    /// Manifests of platforms that are here, where the Engine tells them.
    pub manifests: Vec<String>,
    /// The platforms of these.
    pub platforms: Vec<Platform>,
}

impl Identity {
    /// Whether a container that was made from an image with one of these names would be made from the
    /// same one today: its image label, its image id, its manifest. Empty names say nothing.
    pub fn is_one_of(&self, names: &[&str]) -> bool {
        let is_ours = |name: &str| name == self.id || self.manifests.iter().any(|it| it == name);
        names.iter().any(|name| !name.is_empty() && is_ours(name))
    }
}

/// What an image runs on, in the one form of all in which people write it (containerd's
/// `platforms.Normalize`): `linux/aarch64`, `arm64` and `linux/arm64/v8` are the same on Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

impl Platform {
    /// Reads `os/architecture[/variant]`, or one of the first two alone; what is missing is ours.
    pub fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let words: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match words[..] {
            [os @ ("linux" | "windows" | "darwin" | "macos" | "freebsd")] => {
                (os, std::env::consts::ARCH, "")
            }
            [architecture] => ("linux", architecture, ""),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant, ..] => (os, architecture, variant),
            [] => ("linux", std::env::consts::ARCH, ""),
        };
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "x86", _) => ("386", ""),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            other => other,
        };
        let os = if os == "macos" { "darwin" } else { os };
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }
}

/// What opens a registry. Cannot print its secret.
#[derive(Clone)]
pub enum Credentials {
    /// A user's name and password, or a token in its place.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// An identity token (`OAuth` refresh token) from an earlier login.
    IdentityToken(SecretString),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(formatter, "Password({username}, …)"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, registry, repository, version) in [
            ("nginx", "docker.io", "library/nginx", "latest"),
            ("nginx:1.27", "docker.io", "library/nginx", "1.27"),
            ("docker.io/nginx", "docker.io", "library/nginx", "latest"),
            ("index.docker.io/a/b:c", "docker.io", "a/b", "c"),
            ("grafana/loki:3", "docker.io", "grafana/loki", "3"),
            ("localhost/app", "localhost", "app", "latest"),
            ("localhost:5000/app:2", "localhost:5000", "app", "2"),
            ("127.0.0.1:5000/a/b__c/d--e", "127.0.0.1:5000", "a/b__c/d--e", "latest"),
            (&format!("ghcr.io/a/b:1@{digest}"), "ghcr.io", "a/b", &digest),
        ] {
            let found = Reference::parse(text).unwrap();
            let parts = (found.registry.as_str(), found.repository.as_str(), found.version());
            assert_eq!(parts, (registry, repository, version), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "Nginx",
            "a//b",
            "a:",
            "a:b c",
            "-a",
            "a_",
            "a..b",
            "a@sha256:12",
            "a:-x",
            "https://example.org/a",
            "example.org/",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_hub_answers_and_is_opened_under_other_names() {
        for (text, host, key) in [
            ("nginx", "registry-1.docker.io", "https://index.docker.io/v1/"),
            ("ghcr.io/a/b", "ghcr.io", "ghcr.io"),
            ("localhost:5000/b", "localhost:5000", "localhost:5000"),
        ] {
            let found = Reference::parse(text).unwrap();
            assert_eq!((found.host(), found.credentials_key()), (host, key), "{text}");
        }
    }

    #[test]
    fn an_image_is_another_one_only_if_all_names_differ() {
        let manifests = vec!["m".to_owned()];
        let identity = Identity { id: "i".to_owned(), manifests, ..Identity::default() };
        for (names, expected) in [
            (["i", "x"], true),
            (["x", "i"], true),
            (["", "m"], true),
            (["x", "y"], false),
            (["", ""], false),
        ] {
            assert_eq!(identity.is_one_of(&names), expected, "{names:?}");
        }
        assert!(!Identity::default().is_one_of(&[""]));
    }

    #[test]
    fn platforms_are_the_same_in_whatever_form_they_are_written() {
        for (one, other, expected) in [
            ("linux/amd64", "amd64", true),
            ("linux/amd64", "linux/x86_64", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/arm64", "linux/aarch64/v8", true),
            ("linux/arm64", "linux/amd64", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "armel", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/386", "i386", true),
            ("LINUX/AMD64", "linux/amd64", true),
            ("windows/amd64", "linux/amd64", false),
            ("linux", std::env::consts::ARCH, true),
        ] {
            assert_eq!(Platform::parse(one) == Platform::parse(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn credentials_do_not_print() {
        for credentials in [
            Credentials::Password { username: "ada".to_owned(), password: "s3cret".into() },
            Credentials::IdentityToken("s3cret".into()),
        ] {
            assert!(!format!("{credentials:?}").contains("s3cret"));
        }
    }
}
