//! Reads where a repository is and how it is opened: from the keys of a job, and from a file of restic's
//! variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::Reader;
use super::super::fields::Fields;
use super::super::tables_of_backup::DEFAULT_IMAGE;
use super::words;
use crate::compose::dotenv;
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::work::{Location, Password, Repository, Tool};
use crate::problem::{self, Problem};

/// Variables of restic's file that have a meaning of their own here.
const MEANT: [&str; 5] = [
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_CACERT",
];

/// The variable of restic that would run a command of ours.
const COMMAND: &str = "RESTIC_PASSWORD_COMMAND";

/// Schemes that only restic opens.
const OF_RESTIC: [&str; 6] = ["sftp", "b2", "azure", "gs", "swift", "rclone"];

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
    let tool = tool(text.as_deref(), fields, problems)?;
    tell_unknown(&variables, fields, (&tool, problems));
    let location = text.map(|text| {
        let found = location(&text, &tool);
        let message = found.as_ref().err().map(|reason| {
            if scheme(&text).is_some_and(|it| OF_RESTIC.contains(&it)) {
                "`repository` is of a kind that only restic opens: write `engine: restic`"
                    .to_owned()
            } else if text.contains('@') {
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
    let credentials = credentials(fields, (&variables, &tool), problems);
    let init = fields.boolean("init", problems).unwrap_or(false);
    let password = password(fields, &of_file, problems);
    let password = match (password, &tool) {
        (None, Tool::Tar { .. }) => Some(Password::None),
        (Some(_), Tool::Tar { recipients, .. }) if !recipients.is_empty() => {
            let problem = node.problem("archives have `recipients` or a password, not both");
            problems.push(problem.with_hint("leave one of them out"));
            None
        }
        (password, _) => password,
    };
    if password.is_none() && is_readable {
        fields.lacks("password_file", node, "/run/secrets/backup", problems);
    }
    Some(Repository {
        tool,
        location: location??,
        password: password?,
        init,
        credentials,
        ca_file: ca_file.map(|it| PathBuf::from(it.trim())),
    })
}

/// Who reads and writes what is at `location`. Keys of restic may stand there for when it is needed; who
/// wants encryption must get it. `None` for an engine that is none: what else is wrong depends on it.
fn tool(location: Option<&str>, fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Tool> {
    let usual = match location.and_then(scheme) {
        Some(scheme) if OF_RESTIC.contains(&scheme) => "restic",
        _ => "rustic",
    };
    let before = problems.len();
    let word = fields.word("engine", Tool::WORDS, problems).unwrap_or(usual);
    if problems.len() > before {
        return None;
    }
    let path = |name: &str, problems: &mut Vec<Problem>| {
        let (text, place) = fields.text(name, problems)?;
        let path = PathBuf::from(text.trim());
        if !path.is_absolute() {
            let message = format!("`{name}` must be absolute, not `{}`", path.display());
            problems.push(place.problem(message));
        }
        Some(path)
    };
    let image = fields.plain("image", problems).map(|it| it.trim().to_owned());
    let (ssh_dir, identity_file) = (path("ssh_dir", problems), path("identity_file", problems));
    let recipients = words("recipients", fields, problems);
    if let Some(wrong) = recipients.iter().find(|it| !it.starts_with("age1")) {
        let message = format!("`recipients` has `{wrong}`: expected a public key of age, `age1…`");
        problems.extend(fields.node("recipients").map(|it| it.problem(message)));
    }
    let others = [
        ("recipients", "tar", !recipients.is_empty()),
        ("identity_file", "tar", identity_file.is_some()),
    ];
    for (name, of, _) in others.into_iter().filter(|(_, of, is_there)| *is_there && *of != word) {
        let message = format!("`{name}` means nothing with `engine: {word}`");
        let problem = fields.node(name).map(|it| it.problem(message));
        problems.extend(problem.map(|it| it.with_hint(format!("write `engine: {of}`"))));
    }
    Some(match word {
        "restic" => {
            Tool::Restic { image: image.unwrap_or_else(|| DEFAULT_IMAGE.to_owned()), ssh_dir }
        }
        "tar" => Tool::Tar { recipients, identity_file },
        _ => Tool::Rustic,
    })
}

fn scheme(location: &str) -> Option<&str> {
    location.trim().split_once(':').map(|(scheme, _)| scheme)
}

/// Where it is, as its tool can open it.
fn location(text: &str, tool: &Tool) -> Result<Location, String> {
    let found = Location::parse(text);
    let text = text.trim();
    match (tool, found) {
        (Tool::Restic { .. }, Err(reason)) => match scheme(text) {
            Some("rest" | "s3" | "local") | None => Err(reason),
            Some(_) => Ok(Location::Other(text.to_owned())),
        },
        (Tool::Tar { .. }, Ok(Location::Rest(_))) => Err(format!(
            "`{text}`: a server of restic's protocol keeps no archives: expected an absolute path \
             or `s3:https://HOST/BUCKET/PREFIX`"
        )),
        (_, found) => found,
    }
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
    (variables, tool): (&BTreeMap<String, String>, &Tool),
    problems: &mut Vec<Problem>,
) -> Vec<(String, Hidden)> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let is_known = |name: &str| is_known(name, tool);
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

/// Whether a variable says who we are: restic takes more of them than we do.
fn is_known(name: &str, tool: &Tool) -> bool {
    match tool {
        Tool::Restic { .. } => !MEANT.contains(&name) && name != COMMAND,
        _ => Repository::CREDENTIALS.contains(&name),
    }
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

/// Says which variables of a file have no effect.
fn tell_unknown(
    variables: &BTreeMap<String, String>,
    fields: &Fields<'_>,
    (tool, problems): (&Tool, &mut Vec<Problem>),
) {
    let Some(place) = fields.node("env_file") else { return };
    let file = fields.plain("env_file", &mut Vec::new()).unwrap_or_default();
    for name in variables.keys().filter(|name| !MEANT.contains(&name.as_str())) {
        if name == COMMAND {
            let message = format!("`{}` has `{name}`, and we run no command", file.trim());
            problems.push(place.problem(message).with_hint("set `RESTIC_PASSWORD_FILE`"));
        } else if !is_known(name, tool) {
            let message = format!("`{}` has `{name}`, which has no effect here", file.trim());
            problems.push(place.problem(message).as_warning());
        }
    }
}
