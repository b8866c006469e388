//! Reads where a repository is and how it is opened: from the keys of a job, and from a file of restic's
//! variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::Reader;
use super::super::fields::Fields;
use crate::compose::dotenv;
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::work::{Location, Password, Repository};
use crate::problem::{self, Problem};

/// Variables of restic's file that have a meaning of their own here.
const MEANT: [&str; 5] = [
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_CACERT",
];

/// Reads the keys that all kinds of backup have.
pub(super) fn repository(
    node: &Node,
    fields: &Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<Repository> {
    let before = reader.problems.len();
    let read = read(node, fields, reader);
    // The lines may show a password.
    for problem in &mut reader.problems[before..] {
        problem.excerpt = None;
    }
    read
}

fn read(node: &Node, fields: &Fields<'_>, reader: &mut Reader<'_>) -> Option<Repository> {
    let before = reader.problems.len();
    let variables = fields
        .text("env_file", &mut reader.problems)
        .and_then(|(text, place)| env_file(Path::new(text.trim()), place, reader))
        .unwrap_or_default();
    let is_readable = reader.problems[before..].iter().all(Problem::is_warning);
    let problems = &mut reader.problems;
    let of_file = |name: &str| variables.get(name).cloned().filter(|it| !it.trim().is_empty());

    let written = fields.text("repository", problems);
    let place = written.as_ref().map_or_else(|| fields.node("env_file"), |(_, place)| Some(place));
    let text = written.as_ref().map(|(text, _)| text.clone()).or_else(|| of_file(MEANT[0]));
    let location = text.map(|text| {
        let found = Location::parse(&text);
        let message = found.as_ref().err().map(|reason| {
            if text.contains('@') {
                "`repository` has a form that we do not know: expected an absolute path, \
                 `rest:http://HOST:8000/NAME` or `s3:https://HOST/BUCKET/PREFIX`"
                    .to_owned()
            } else {
                format!("`repository`: {reason}")
            }
        });
        problems.extend(message.map(|it| place.unwrap_or(node).problem(it)));
        found.ok()
    });
    if location.is_none() && is_readable {
        fields.lacks("repository", node, "/backup", problems);
    }

    let ca_file = fields.plain("ca_file", problems).or_else(|| of_file("RESTIC_CACERT"));
    let credentials = credentials(fields, &variables, problems);
    let init = fields.boolean("init", problems).unwrap_or(false);
    let password = password(fields, &of_file, problems);
    if password.is_none() && is_readable {
        fields.lacks("password_file", node, "/run/secrets/backup", problems);
    }
    Some(Repository {
        location: location??,
        password: password?,
        init,
        credentials,
        ca_file: ca_file.map(|it| PathBuf::from(it.trim())),
    })
}

/// What is written in the job, else what the file says; a file of a password must be absolute.
fn password(
    fields: &Fields<'_>,
    of_file: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<Password> {
    let value = fields.plain("password", problems);
    let file = fields.text("password_file", problems);
    if let (Some(_), Some((_, place))) = (&value, &file) {
        let problem = place.problem("a repository has `password` or `password_file`, not both");
        problems.push(problem.with_hint("leave one of them out"));
    }
    let place = file.as_ref().map(|(_, place)| *place).or_else(|| fields.node("env_file"));
    let file = file.map(|(text, _)| text);
    if let Some(value) = value {
        return Some(Password::Value(Hidden::new(value)));
    }
    if file.is_none()
        && let Some(value) = of_file("RESTIC_PASSWORD")
    {
        return Some(Password::Value(Hidden::new(value)));
    }
    let path = PathBuf::from(file.or_else(|| of_file("RESTIC_PASSWORD_FILE"))?.trim());
    if !path.is_absolute() {
        let message = format!("`password_file` must be absolute, not `{}`", path.display());
        problems.extend(place.map(|it| it.problem(message)));
    }
    Some(Password::File(path))
}

fn credentials(
    fields: &Fields<'_>,
    variables: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Hidden)> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let is_known = |name: &str| Repository::CREDENTIALS.contains(&name);
    all.extend(
        variables.iter().filter(|(name, _)| is_known(name)).map(|(a, b)| (a.clone(), b.clone())),
    );
    for (name, value) in fields.mapping("credentials", problems) {
        if is_known(&name) {
            all.insert(name, value);
            continue;
        }
        let hint = match problem::nearest(&name, Repository::CREDENTIALS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are `{}`", Repository::CREDENTIALS.join("`, `")),
        };
        let message = format!("`credentials` has `{name}`, which we do not know");
        let place = fields.node("credentials");
        problems.extend(place.map(|it| it.problem(message).with_hint(hint)));
    }
    all.retain(|_, value| !value.is_empty());
    all.into_iter().map(|(name, value)| (name, Hidden::new(value))).collect()
}

/// The variables of a file that is given to restic: nothing in it is expanded; quotes around a whole value
/// and `export` are a shell's, and left out.
fn env_file(
    path: &Path,
    place: &Node,
    reader: &mut Reader<'_>,
) -> Option<BTreeMap<String, String>> {
    let shown = path.display();
    let problems = &mut reader.problems;
    if !path.is_absolute() {
        problems.push(place.problem(format!("`env_file` must be absolute, not `{shown}`")));
        return None;
    }
    let text = match reader.files.read(path) {
        Ok(text) => text,
        Err(error) => {
            let problem = place.problem(format!("`env_file`: read `{shown}`: {error}"));
            problems
                .push(problem.with_hint("mount the file into our container, or correct its path"));
            return None;
        }
    };
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("export ").unwrap_or(line)
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut variables = match dotenv::parse_raw(&text, &shown.to_string(), &|_| None) {
        Ok(variables) => variables,
        Err(found) => {
            problems.extend(found.0);
            return None;
        }
    };
    for value in variables.values_mut() {
        let bare = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote).map(str::to_owned));
        *value = bare.unwrap_or_else(|| std::mem::take(value));
    }
    for name in variables.keys() {
        if MEANT.contains(&name.as_str()) || Repository::CREDENTIALS.contains(&name.as_str()) {
            continue;
        }
        if name == "RESTIC_PASSWORD_COMMAND" {
            let problem = place.problem(format!("`{shown}` has `{name}`, and we run no command"));
            problems.push(problem.with_hint("set `RESTIC_PASSWORD_FILE`"));
            continue;
        }
        let message = format!("`{shown}` has `{name}`, which has no effect here");
        problems.push(place.problem(message).as_warning());
    }
    if let Some(file) = variables.remove("RESTIC_REPOSITORY_FILE") {
        match reader.files.read(Path::new(&file)) {
            Ok(text) => {
                let first = text.lines().next().unwrap_or_default().to_owned();
                variables.entry("RESTIC_REPOSITORY".to_owned()).or_insert(first);
            }
            Err(error) => {
                let message = format!("`RESTIC_REPOSITORY_FILE`: read `{file}`: {error}");
                problems.push(place.problem(message));
            }
        }
    }
    Some(variables)
}
