//! `additional_contexts`: what a `FROM` or `COPY --from` may name besides stages and images.

use anyhow::{Context as _, Result};

use crate::docker::BuildSurroundings;

/// Where a context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A directory of ours.
    Directory(&'a str),
    /// The image of another service of the project.
    Service(&'a str),
    /// Something the Engine finds itself: an image, a repository, an archive.
    Address(&'a str),
}

/// Reads a value of `additional_contexts`.
pub(super) fn place(value: &str) -> Place<'_> {
    let addresses = ["git@", "github.com/"];
    if let Some(name) = value.strip_prefix("service:") {
        Place::Service(name)
    } else if value.contains("://") || addresses.iter().any(|it| value.starts_with(it)) {
        Place::Address(value)
    } else {
        Place::Directory(value)
    }
}

/// The name under which the Engine asks for a directory.
pub(super) fn local_name(name: &str) -> String {
    format!("named-{name}")
}

/// The attribute of a context: its key and its value.
///
/// # Errors
///
/// When it is a service that the project does not have.
pub(super) fn attribute(
    name: &str,
    value: &str,
    surroundings: &BuildSurroundings,
) -> Result<(String, String)> {
    let value = match place(value) {
        Place::Directory(_) => format!("local:{}", local_name(name)),
        Place::Service(service) => {
            let image = surroundings.images.get(service).with_context(|| {
                format!("additional context `{name}`: there is no active service `{service}`")
            })?;
            format!("docker-image://{image}")
        }
        Place::Address(address) if address.starts_with("github.com/") => {
            format!("https://{address}")
        }
        Place::Address(address) => address.to_owned(),
    };
    // Dockerfiles may name an image in several ways; this is the one that is looked up.
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    Ok((format!("context:{name}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_directories_services_or_addresses() {
        let images = [("web".to_owned(), "p-web".to_owned())].into();
        let surroundings = BuildSurroundings { images, ..BuildSurroundings::default() };
        for (name, value, key, expected) in [
            ("a", "/srv/a", "context:a", "local:named-a"),
            ("a", "service:web", "context:a", "docker-image://p-web"),
            ("docker.io/library/b:latest", "docker-image://c:1", "context:b", "docker-image://c:1"),
            ("a", "github.com/o/r", "context:a", "https://github.com/o/r"),
            ("a", "git@h:o/r.git", "context:a", "git@h:o/r.git"),
        ] {
            let found = attribute(name, value, &surroundings).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), (key, expected));
        }
        assert!(attribute("a", "service:none", &surroundings).is_err());
    }
}
