//! Where a copy ends up, by the rules of `docker cp`. Pure.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Its last name; `None` where only its content is meant (`dir/.`).
    name: Option<String>,
    is_directory: bool,
}

/// Where it is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    path: String,
    exists: bool,
    is_directory: bool,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// An existing directory.
    pub(super) directory: PathBuf,
    /// The name in it; `None` where the content of the source goes there as it is.
    pub(super) name: Option<String>,
}

impl Source {
    /// A source as it was written.
    pub(super) fn new(path: &str, is_directory: bool) -> Self {
        let is_content = is_directory && (path.ends_with("/.") || path == ".");
        let name = (!is_content).then(|| last_name(path));
        // The root has no name, only content.
        Self { name: name.filter(|it| !it.is_empty()), is_directory }
    }
}

impl Destination {
    /// A destination as it was found.
    pub(super) fn new(path: &str, exists: bool, is_directory: bool) -> Self {
        Self { path: path.to_owned(), exists, is_directory }
    }
}

/// Finds the spot: into a directory that exists, else under the name that was given.
pub(super) fn place(source: &Source, destination: &Destination) -> Result<Spot> {
    let Destination { path, exists, is_directory } = destination;
    if *is_directory {
        return Ok(Spot { directory: PathBuf::from(path), name: source.name.clone() });
    }
    let asserts_directory = path.ends_with('/') || path.ends_with("/.");
    if *exists && asserts_directory {
        bail!("`{path}` is not a directory");
    }
    if *exists && source.is_directory {
        bail!("cannot copy a directory to the file `{path}`");
    }
    if asserts_directory && !source.is_directory {
        bail!("no such directory: `{path}`");
    }
    let trimmed = path.trim_end_matches("/.").trim_end_matches('/');
    let parent = Path::new(trimmed).parent().unwrap_or(Path::new("/"));
    Ok(Spot { directory: parent.to_owned(), name: Some(last_name(trimmed)) })
}

fn last_name(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_where_docker_puts_them() {
        const FILE: bool = false;
        const DIRECTORY: bool = true;
        for (source, destination, exists, is_directory, expected) in [
            (("a", FILE), "/t", true, true, Some(("/t", Some("a")))),
            (("x/a", FILE), "/t/", true, true, Some(("/t/", Some("a")))),
            (("a", FILE), "/t/b", false, false, Some(("/t", Some("b")))),
            (("a", FILE), "/t/b", true, false, Some(("/t", Some("b")))),
            (("a", FILE), "/t/b/", false, false, None),
            (("a", FILE), "/t/b/", true, false, None),
            (("d", DIRECTORY), "/t", true, true, Some(("/t", Some("d")))),
            (("d/", DIRECTORY), "/t", true, true, Some(("/t", Some("d")))),
            (("d/.", DIRECTORY), "/t", true, true, Some(("/t", None))),
            ((".", DIRECTORY), "/t", true, true, Some(("/t", None))),
            (("/", DIRECTORY), "/t", true, true, Some(("/t", None))),
            (("d", DIRECTORY), "/t/b", false, false, Some(("/t", Some("b")))),
            (("d/.", DIRECTORY), "/t/b", false, false, Some(("/t", Some("b")))),
            (("d", DIRECTORY), "/t/b/", false, false, Some(("/t", Some("b")))),
            (("d", DIRECTORY), "/t/b", true, false, None),
        ] {
            let found = place(
                &Source::new(source.0, source.1),
                &Destination::new(destination, exists, is_directory),
            );
            let expected = expected.map(|(directory, name): (&str, Option<&str>)| Spot {
                directory: PathBuf::from(directory),
                name: name.map(str::to_owned),
            });
            assert_eq!(found.ok(), expected, "{source:?} {destination}");
        }
    }
}
