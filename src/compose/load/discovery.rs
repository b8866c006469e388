//! Which files a project is made of, and which directory is its own.

use std::io;
use std::path::{Path, PathBuf};

use super::Loader;
use crate::compose::decode::service::clean_path;
use crate::problem::{Problem, Problems};

/// Names of Compose files, in order of preference.
const NAMES: &[&str] =
    &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file laid over it, in order of preference.
const OVERRIDE_NAMES: &[&str] = &[
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Name of the file whose text comes from standard input.
pub(super) const STDIN: &str = "-";

impl Loader<'_> {
    /// The Compose files, absolute, in order; moves to the directory of those that were found.
    pub(super) fn find_files(&mut self) -> Result<Vec<PathBuf>, Problems> {
        if !self.request.files.is_empty() {
            let files = self.request.files.iter();
            return Ok(files.map(|path| self.absolute_file(path)).collect());
        }
        let listed = self.environment.get("COMPOSE_FILE").filter(|list| !list.is_empty()).cloned();
        let found = match listed {
            Some(list) => self.listed(&list),
            None => self.by_name()?,
        };
        let parent = found.iter().find(|path| !is_stdin(path)).and_then(|path| path.parent());
        if let (true, Some(parent)) = (self.request.follow_files, parent) {
            parent.clone_into(&mut self.directory);
        }
        Ok(found)
    }

    /// The files of `COMPOSE_FILE`.
    fn listed(&self, list: &str) -> Vec<PathBuf> {
        let separator = self.environment.get("COMPOSE_PATH_SEPARATOR");
        let separator = separator.filter(|text| !text.is_empty()).map_or(":", String::as_str);
        let current = self.environment.get("PWD").filter(|_| self.request.upwards);
        let start = current.map_or(self.directory.as_path(), Path::new);
        let absolute = |path: &str| {
            if path == STDIN { PathBuf::from(path) } else { cleaned(&start.join(path)) }
        };
        list.split(separator).map(absolute).collect()
    }

    fn by_name(&mut self) -> Result<Vec<PathBuf>, Problems> {
        let mut directory = self.directory.clone();
        loop {
            if let Some(main) = self.first_of(&directory, NAMES)? {
                let mut paths = vec![main];
                paths.extend(self.first_of(&directory, OVERRIDE_NAMES)?);
                return Ok(paths);
            }
            if !self.request.upwards || !directory.pop() {
                break;
            }
        }
        let place = self.directory.display().to_string();
        let names = NAMES.join("`, `");
        let parents = if self.request.upwards { " or above" } else { "" };
        let message =
            format!("no Compose file in this directory{parents}: expected one of `{names}`");
        Err(Problem::in_file(place, message).into())
    }

    /// The first of these names that the directory has; a warning where it has several.
    fn first_of(&mut self, directory: &Path, names: &[&str]) -> Result<Option<PathBuf>, Problems> {
        let mut found: Vec<PathBuf> = Vec::new();
        for name in names {
            let path = directory.join(name);
            match self.files.read_bytes(&path) {
                Ok(_) => found.push(path),
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    let message = format!("read Compose file: {}", why(&error));
                    return Err(Problem::in_file(self.shown(&path), message).into());
                }
            }
        }
        if let [first, second, ..] = found.as_slice() {
            let (first, second) = (self.shown(first), self.shown(second));
            self.warnings.push(format!("`{second}` is ignored: `{first}` stands beside it"));
        }
        Ok(found.into_iter().next())
    }

    /// A path as a person knows it: beneath the directory without the directory.
    pub(super) fn shown(&self, path: &Path) -> String {
        if is_stdin(path) {
            return "stdin".to_owned();
        }
        path.strip_prefix(&self.directory).unwrap_or(path).display().to_string()
    }

    /// A path beneath the directory.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        cleaned(&self.directory.join(path))
    }

    fn absolute_file(&self, path: &Path) -> PathBuf {
        if is_stdin(path) { path.to_owned() } else { self.absolute(path) }
    }

    /// The text of a Compose file.
    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        if !is_stdin(path) {
            return self.files.read(path);
        }
        self.request.stdin.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// Whether there is no such file; a directory of that name is none.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// Why a file cannot be read, for a person who knows which file.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// A path without `.` and `..`.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    PathBuf::from(clean_path(&path.to_string_lossy()))
}
