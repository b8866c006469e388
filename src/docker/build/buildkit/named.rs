//! `additional_contexts`: what a `FROM` or `COPY --from` may name besides stages and images.

use crate::compose::model::Project;

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
pub(super) fn attribute(name: &str, value: &str, project: &Project) -> (String, String) {
    let value = match place(value) {
        Place::Directory(_) => format!("local:{}", local_name(name)),
        // The loader has seen that there is such a service.
        Place::Service(service) => {
            let image = project.services.get(service).map_or(service, |it| it.image.as_str());
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
    (format!("context:{name}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Service;

    #[test]
    fn contexts_are_directories_services_or_addresses() {
        let web = Service { image: "p-web".to_owned(), ..Service::default() };
        let project = Project { services: [("web".to_owned(), web)].into(), ..Project::default() };
        for (name, value, key, expected) in [
            ("a", "/srv/a", "context:a", "local:named-a"),
            ("a", "service:web", "context:a", "docker-image://p-web"),
            ("docker.io/library/b:latest", "docker-image://c:1", "context:b", "docker-image://c:1"),
            ("a", "github.com/o/r", "context:a", "https://github.com/o/r"),
            ("a", "git@h:o/r.git", "context:a", "git@h:o/r.git"),
        ] {
            let found = attribute(name, value, &project);
            assert_eq!((found.0.as_str(), found.1.as_str()), (key, expected));
        }
    }
}
