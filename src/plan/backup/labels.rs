//! What the labels of a container ask a backup for: our own, and those of offen/docker-volume-backup.

use super::super::labels::YES;
use super::super::observed::Container;
use crate::job::work::{Database, Dump, QuiesceHow, Target, is_glob, is_variable};
use crate::problem;

/// What our labels begin with.
const OURS: &str = "roadstead.backup";
/// What follows, with a dot.
const KNOWN: [&str; 9] = [
    "volumes",
    "exclude",
    "quiesce",
    "before",
    "after",
    "database",
    "database.name",
    "database.user",
    "database.password_env",
];
/// What offen's labels begin with.
const OFFEN: &str = "docker-volume-backup.";

/// What one container asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) volumes: Volumes,
    pub(super) exclude: Vec<String>,
    /// How it is kept still; `None` leaves that to the job.
    pub(super) how: Option<QuiesceHow>,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) dumps: Vec<Dump>,
}

/// Which of its volumes.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Volumes {
    #[default]
    None,
    All,
    Named(Vec<String>),
}

/// Reads the labels of a container; what is wrong with them is noted, the rest holds.
pub(super) fn asked(
    container: &Container,
    tags: &[String],
    problems: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Asked {
    let mut wrong = Vec::new();
    let mut asked = Asked::default();
    for name in container.labels.keys() {
        let Some(rest) = name.strip_prefix(OURS) else { continue };
        let rest = rest.strip_prefix('.');
        if rest.is_some_and(|it| KNOWN.contains(&it)) {
            continue;
        }
        let near = rest.and_then(|it| problem::nearest(it, KNOWN));
        let hint = match near {
            Some(near) => format!("did you mean `{OURS}.{near}`?"),
            None => format!("known are `{OURS}.` with `{}`", KNOWN.join("`, `")),
        };
        wrong.push(format!("unknown label `{name}`: {hint}"));
    }
    let value = |name: &str| container.label(&format!("{OURS}.{name}")).trim();
    asked.volumes = match list(value("volumes")).as_slice() {
        [] => Volumes::None,
        [all] if all == "all" || all == YES => Volumes::All,
        names => Volumes::Named(names.to_vec()),
    };
    let (globs, bad): (Vec<_>, Vec<_>) =
        list(value("exclude")).into_iter().partition(|it| is_glob(it));
    asked.exclude = globs;
    wrong.extend(
        bad.iter().map(|it| format!("`{OURS}.exclude` has `{it}`: that is no glob of ours")),
    );
    asked.how = QuiesceHow::parse(value("quiesce"));
    if asked.how.is_none() && !value("quiesce").is_empty() {
        let text = value("quiesce");
        let near = problem::nearest(text, QuiesceHow::WORDS.iter().copied());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let known = QuiesceHow::WORDS.join("`, `");
        wrong.push(format!("`{OURS}.quiesce` is `{text}`: expected one of `{known}`{near}"));
    }
    for (name, command) in [("before", &mut asked.before), ("after", &mut asked.after)] {
        match shell_words::split(value(name)) {
            Ok(words) => *command = words,
            Err(_) => wrong.push(format!("the quotes in `{OURS}.{name}` do not close")),
        }
    }
    asked.dumps = dumps(container, &mut wrong);
    offen(container, tags, &mut asked, notes);
    let commands = !asked.before.is_empty() || !asked.after.is_empty();
    match asked.how {
        None if commands => asked.how = Some(QuiesceHow::Exec),
        Some(QuiesceHow::None) if commands => {
            wrong.push(format!("`{OURS}.before` and `.after` do nothing with `quiesce: none`"));
        }
        Some(QuiesceHow::Exec) if !commands => {
            let hint = format!("set `{OURS}.before` or `{OURS}.after`");
            wrong.push(format!("`{OURS}.quiesce` is `exec`, and there is no command: {hint}"));
        }
        _ => {}
    }
    problems.extend(wrong.into_iter().map(|it| format!("container `{}`: {it}", container.name)));
    asked
}

/// Words that commas or white space part.
fn list(text: &str) -> Vec<String> {
    let words = text.split(|it: char| it == ',' || it.is_whitespace());
    words.filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The databases that are dumped: one, or as many as `database.name` has.
fn dumps(container: &Container, wrong: &mut Vec<String>) -> Vec<Dump> {
    let value = |name: &str| container.label(&format!("{OURS}.{name}")).trim();
    let some = |name: &str| Some(value(name).to_owned()).filter(|it| !it.is_empty());
    let Some(word) = some("database") else {
        let alone = KNOWN.iter().find(|it| it.starts_with("database.") && !value(it).is_empty());
        let alone = alone.map(|it| format!("`{OURS}.{it}` goes with `{OURS}.database`"));
        wrong.extend(alone);
        return Vec::new();
    };
    let kind = match Database::parse(&word) {
        Ok(kind) => kind,
        Err(reason) => {
            wrong.push(format!("`{OURS}.database`: {reason}"));
            return Vec::new();
        }
    };
    let password_env = some("database.password_env");
    if let Some(name) = password_env.as_ref().filter(|it| !is_variable(it)) {
        wrong.push(format!("`{OURS}.database.password_env` is `{name}`: that is no variable"));
        return Vec::new();
    }
    let names = value("database.name").split(',').map(str::trim).filter(|it| !it.is_empty());
    let mut databases: Vec<Option<String>> = names.map(|it| Some(it.to_owned())).collect();
    if databases.is_empty() {
        databases.push(None);
    }
    let mut dumps = Vec::new();
    for database in databases {
        if let Some(reason) = kind.refusal(database.as_deref()) {
            wrong.push(format!("`{OURS}.database.name`: {reason}"));
            continue;
        }
        dumps.push(Dump {
            name: None,
            kind,
            target: Target::Name(container.id.clone()),
            database,
            user: some("database.user"),
            password: None,
            password_env: password_env.clone(),
            arguments: Vec::new(),
        });
    }
    dumps
}

/// Labels of offen/docker-volume-backup, where ours say nothing.
fn offen(container: &Container, tags: &[String], asked: &mut Asked, notes: &mut Vec<String>) {
    for (label, value) in &container.labels {
        let Some(name) = label.strip_prefix(OFFEN).filter(|_| !value.trim().is_empty()) else {
            continue;
        };
        let shell = || ["/bin/sh", "-c", value].map(str::to_owned).to_vec();
        match name {
            // Else the name of a group: the backups that are configured for it have it as a tag.
            "stop-during-backup"
                if value.trim() == YES || tags.iter().any(|it| it == value.trim()) =>
            {
                asked.how = asked.how.or(Some(QuiesceHow::Stop));
            }
            "stop-during-backup" if value.trim() != "false" => {
                let (who, group) = (&container.name, value.trim());
                notes.push(format!(
                    "container `{who}`: `{label}` is `{group}`, and only a backup with that among its \
                     `tags` stops it"
                ));
            }
            "archive-pre" if asked.before.is_empty() => asked.before = shell(),
            "archive-post" if asked.after.is_empty() => asked.after = shell(),
            // Which of several configurations is meant: here a job.
            "stop-during-backup" | "archive-pre" | "archive-post" | "exec-label" => {}
            _ => {
                let (who, known) = (&container.name, "stop-during-backup`, `archive-pre");
                notes.push(format!(
                    "container `{who}`: the label `{label}` has no effect here; known are \
                     `{known}` and `archive-post`"
                ));
            }
        }
    }
}
