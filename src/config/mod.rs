//! Reads `env.local` and the process environment into [`Settings`], all problems at once.
//!
//! The environment wins over the file. This is the only module that reads the process environment.

pub mod env_local;
pub mod job_files;
pub mod variables;

mod layers;
mod validate;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use self::layers::Layers;
use self::variables::PREFIX;
use crate::problem::{Problem, Problems};
use crate::settings::Settings;

/// Where `env.local` is looked for when nothing else is said.
pub const DEFAULT_ENV_FILE: &str = "/etc/roadstead/env.local";

/// The variables of a process, whatever bytes they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(pub BTreeMap<OsString, OsString>);

/// What was read, and what is odd about it without being wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Contradicting names, and variables that are not supported yet.
    pub warnings: Problems,
    /// `AUTODEPLOY_*` names that do not exist: an error in `check`, a warning in `serve`.
    pub unknown: Problems,
}

/// Reads the process environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> Environment {
    Environment(std::env::vars_os().collect())
}

/// Reads the file that [`read_env_file`] finds, and the process environment.
pub fn read(env_file: Option<&Path>) -> Result<Loaded, Problems> {
    let environment = environment();
    let file = read_env_file(env_file, &environment)?;
    load(file.as_ref().map(|(path, text)| (path.as_path(), text.as_str())), &environment)
}

/// Reads the text of `env.local`: `flag`, else `ROADSTEAD_ENV_FILE`, else `BIRDHOUSE_LOCAL_ENV`, which
/// must exist then; else [`DEFAULT_ENV_FILE`], which may be missing.
pub fn read_env_file(
    flag: Option<&Path>,
    environment: &Environment,
) -> Result<Option<(PathBuf, String)>, Problems> {
    let named = |name: &str| {
        let value = environment.0.get(std::ffi::OsStr::new(name))?;
        (!value.is_empty()).then(|| (PathBuf::from(value), format!("`{name}` names it")))
    };
    let asked = flag.map(|path| (path.to_path_buf(), "`--env-file` names it".to_owned()));
    let asked =
        asked.or_else(|| named("ROADSTEAD_ENV_FILE").or_else(|| named("BIRDHOUSE_LOCAL_ENV")));
    let (path, why) = asked
        .clone()
        .unwrap_or_else(|| (DEFAULT_ENV_FILE.into(), "it is the default `env.local`".to_owned()));
    let problem = |message: String| Problem::in_file(path.display().to_string(), message);
    match std::fs::read(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) => Err(not_utf8(&path, &error).into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && asked.is_none() => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(problem(format!(
            "expected a file, found a directory; {why}"
        ))
        .with_hint(
            "Docker makes a directory where the file to mount does not exist: create the file \
                 on the host, remove the directory, and start the container anew",
        )
        .into()),
        Err(error) => Err(problem(format!("read the file: {error}; {why}"))
            .with_hint("correct the path, or let the user we run as read it")
            .into()),
    }
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Problem {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = valid.split(|byte| *byte == b'\n').count();
    Problem::in_file(path.display().to_string(), "expected UTF-8 text, found other bytes")
        .at_line(line)
        .with_hint("save the file as UTF-8")
}

/// Merges the file and the environment, and validates every variable we read.
pub fn load(
    env_file: Option<(&Path, &str)>,
    environment: &Environment,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let environment = as_text(environment, &mut problems);
    let mut layers = Layers { file: String::new(), assigned: IndexMap::new(), environment };
    if let Some((path, text)) = env_file {
        layers.file = path.display().to_string();
        let (assigned, found) = env_local::parse_partly(text, &layers.file, &layers.environment);
        layers.assigned = assigned;
        problems.extend(found.0);
    }
    let mut warnings = Vec::new();
    let found = layers.resolve(&mut warnings);
    let settings = validate::settings(&found, layers.variables(&found), &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(Loaded {
            settings,
            warnings: Problems(warnings),
            unknown: Problems(layers.unknown()),
        }),
        _ => {
            problems.extend(layers.unknown());
            Err(Problems(problems))
        }
    }
}

/// Keeps what is text. Bytes that are not concern us only in our own variables.
fn as_text(environment: &Environment, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut text = BTreeMap::new();
    for (name, value) in &environment.0 {
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => {
                text.insert(name.to_owned(), value.to_owned());
            }
            (Some(name), None) if name.starts_with(PREFIX) || variables::find(name).is_some() => {
                problems.push(Problem::in_file(
                    "environment",
                    format!("`{name}` is not valid: expected UTF-8 text"),
                ));
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests;

/// Reads `AUTODEPLOY_COMPOSE_HASH`; `None` where it is no release that we know.
pub fn compose_hash(text: &str) -> Option<crate::compose::hash::Dialect> {
    values::compose_hash(text).ok()
}
