//! Reads `exec`, `compose_run`, `container`, `command` and `group`, and what several kinds share.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use indexmap::IndexMap;

use super::Reader;
use super::fields::{self, Fields, scalar_of};
use super::tables_of_work::{
    ACTIONS, COMMAND, COMPOSE_RUN, CONTAINER, EXEC, FILE, GROUP, ONE_TARGET, REDIRECT,
};
use crate::compose::yaml::Node;
use crate::job::work::{
    Action, Command, ComposeRun, ContainerAction, Exec, Group, Redirect, RedirectFile, Scope,
    Target, Work,
};

/// Reads `exec`.
pub(super) fn exec(node: &Node, reader: &mut Reader<'_>) -> Option<Exec> {
    let fields = fields::open(node, &EXEC, &mut reader.problems)?;
    let target = target(node, &fields, reader);
    let environment = environment(&fields, reader);
    let (redirect, then) = (redirect(&fields, reader), then(&fields, reader));
    let problems = &mut reader.problems;
    let scope = fields.word("scope", &["first", "all"], problems);
    let command = fields.arguments("command", problems).filter(|command| !command.is_empty());
    if command.is_none() && fields.node("command").is_none() {
        fields.lacks("command", node, "[nginx, -s, reload]", problems);
    }
    Some(Exec {
        target: target?,
        scope: if scope == Some("all") { Scope::All } else { Scope::First },
        command: command?,
        environment,
        env_from: fields.strings("env_from", problems),
        user: fields.plain("user", problems),
        working_dir: fields.plain("working_dir", problems),
        privileged: fields.boolean("privileged", problems).unwrap_or(false),
        tty: fields.boolean("tty", problems).unwrap_or(false),
        redirect,
        then,
    })
}

/// Which containers a mapping means.
pub(super) fn target(node: &Node, fields: &Fields<'_>, reader: &mut Reader<'_>) -> Option<Target> {
    let problems = &mut reader.problems;
    let container = fields.plain("container", problems);
    let project = fields.plain("project", problems);
    let service = fields.plain("service", problems);
    let labels = fields.strings("labels", problems);
    match (container, project, service, labels.is_empty()) {
        (Some(name), None, None, true) => Some(Target::Name(name)),
        (None, Some(project), Some(service), true) => Some(Target::Service { project, service }),
        (None, None, None, false) => Some(Target::Labels(labels)),
        _ => {
            let message = "which container is meant must be said in exactly one way";
            let hint = "write `container`, or `project` and `service`, or `labels`";
            problems.push(node.problem(message).with_hint(hint));
            None
        }
    }
}

/// Reads `compose_run`.
pub(super) fn compose_run(node: &Node, reader: &mut Reader<'_>) -> Option<ComposeRun> {
    let fields = fields::open(node, &COMPOSE_RUN, &mut reader.problems)?;
    let environment = environment(&fields, reader);
    let problems = &mut reader.problems;
    let project = fields.required("project", node, "web", problems);
    let service = fields.required("service", node, "migrate", problems);
    Some(ComposeRun {
        project: project?,
        service: service?,
        command: fields.arguments("command", problems),
        entrypoint: fields.arguments("entrypoint", problems),
        environment,
        user: fields.plain("user", problems),
        working_dir: fields.plain("working_dir", problems),
        volumes: fields.strings("volumes", problems),
    })
}

/// Reads `container`.
pub(super) fn container(node: &Node, reader: &mut Reader<'_>) -> Option<ContainerAction> {
    let fields = fields::open(node, &CONTAINER, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let word = fields.word("action", ACTIONS, problems);
    if word.is_none() && fields.node("action").is_none() {
        fields.lacks("action", node, "restart", problems);
    }
    let signal = fields.plain("signal", problems);
    if let (Some(word), Some(_)) = (word.filter(|word| *word != "signal"), &signal) {
        let place = fields.node("signal").unwrap_or(node);
        let problem = place.problem(format!("`signal` does not go with `action: {word}`"));
        problems.push(problem.with_hint("write `action: signal`, or leave `signal` out"));
    }
    let action = match word? {
        "start" => Some(Action::Start),
        "stop" => Some(Action::Stop),
        "restart" => Some(Action::Restart),
        "pause" => Some(Action::Pause),
        "unpause" => Some(Action::Unpause),
        _ => {
            if signal.is_none() {
                fields.lacks("signal", node, "SIGUSR1", problems);
            }
            signal.map(Action::Signal)
        }
    };
    let targets = targets(&fields, reader);
    if targets.is_empty() && fields.node("targets").is_none() {
        fields.lacks("targets", node, "[proxy]", &mut reader.problems);
    }
    Some(ContainerAction { action: action?, targets }).filter(|it| !it.targets.is_empty())
}

/// Reads `targets`: names, or mappings that each mean containers.
pub(super) fn targets(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    for item in fields.items("targets") {
        if item.as_mapping().is_none() {
            let name = scalar_of("targets", item, &mut reader.problems);
            targets.extend(name.filter(|name| !name.trim().is_empty()).map(Target::Name));
        } else if let Some(fields) = fields::open(item, &ONE_TARGET, &mut reader.problems) {
            targets.extend(target(item, &fields, reader));
        }
    }
    targets
}

/// Reads `command`.
pub(super) fn command(node: &Node, reader: &mut Reader<'_>) -> Option<Command> {
    if node.as_mapping().is_none() {
        let argv = fields::arguments_of("command", node, &mut reader.problems)?;
        return Some(Command { argv, ..Command::default() });
    }
    let fields = fields::open(node, &COMMAND, &mut reader.problems)?;
    let environment = environment(&fields, reader);
    let (redirect, then) = (redirect(&fields, reader), then(&fields, reader));
    let problems = &mut reader.problems;
    let argv = fields.arguments("argv", problems).filter(|argv| !argv.is_empty());
    if argv.is_none() && fields.node("argv").is_none() {
        fields.lacks("argv", node, "[/bin/busybox, date]", problems);
    }
    let text = fields.node("stdin").and_then(|text| scalar_of("stdin", text, problems));
    let encoded = fields.text("stdin_base64", problems).and_then(|(text, place)| {
        let bytes = BASE64.decode(text.trim()).ok();
        if bytes.is_none() {
            problems.push(place.problem("`stdin_base64` is no base64"));
        }
        bytes
    });
    Some(Command {
        argv: argv?,
        environment,
        working_dir: fields.plain("working_dir", problems).map(PathBuf::from),
        stdin: encoded.or_else(|| text.map(String::into_bytes)),
        redirect,
        then,
    })
}

/// Reads `group`.
pub(super) fn group(node: &Node, reader: &mut Reader<'_>) -> Option<Group> {
    let problems = &mut reader.problems;
    if node.as_mapping().is_none() {
        let jobs = fields::items_of(node).iter();
        let jobs: Vec<String> = jobs.filter_map(|job| scalar_of("group", job, problems)).collect();
        return Some(Group { jobs, parallel: 1, keep_going: false });
    }
    let fields = fields::open(node, &GROUP, problems)?;
    let jobs = fields.strings("jobs", problems);
    if jobs.is_empty() {
        fields.lacks("jobs", node, "[extract, load]", problems);
        return None;
    }
    let parallel = fields.integer("parallel", (1, 1000), problems).unwrap_or(1);
    Some(Group {
        jobs,
        parallel: usize::try_from(parallel).unwrap_or(1),
        keep_going: fields.boolean("keep_going", problems).unwrap_or(false),
    })
}

/// A mapping, or a list of `NAME=value`; a name alone takes its value from `env.local`.
fn environment(fields: &Fields<'_>, reader: &mut Reader<'_>) -> IndexMap<String, String> {
    let mut environment = IndexMap::new();
    let Some(node) = fields.node("environment") else { return environment };
    if let Some(entries) = node.as_mapping() {
        for (key, value) in entries {
            let value = if value.is_null() {
                reader.variables.get(&key.name).cloned()
            } else {
                scalar_of(&key.name, value, &mut reader.problems)
            };
            environment.extend(value.map(|value| (key.name.clone(), value)));
        }
    } else if let Some(items) = node.as_sequence() {
        for item in items {
            let Some(text) = scalar_of("environment", item, &mut reader.problems) else { continue };
            if let Some((name, value)) = text.split_once('=') {
                environment.insert(name.to_owned(), value.to_owned());
            } else {
                let value = reader.variables.get(&text).cloned();
                environment.extend(value.map(|value| (text, value)));
            }
        }
    } else {
        let kind = node.value.kind();
        let message = format!("`environment` must be a mapping or a list, not {kind}");
        reader.problems.push(node.problem(message));
    }
    environment
}

/// Reads `redirect`.
pub(super) fn redirect(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Redirect {
    let Some(node) = fields.node("redirect") else { return Redirect::default() };
    let Some(fields) = fields::open(node, &REDIRECT, &mut reader.problems) else {
        return Redirect::default();
    };
    let mut file = |name: &str| {
        let node = fields.node(name)?;
        let problems = &mut reader.problems;
        let (path, append) = if node.as_mapping().is_some() {
            let fields = fields::open(node, &FILE, problems)?;
            let path = fields.required("file", node, "/var/log/x.log", problems)?;
            (path, fields.boolean("append", problems).unwrap_or(true))
        } else {
            (scalar_of(name, node, problems)?, true)
        };
        if !path.starts_with('/') {
            problems.push(node.problem(format!("`{name}` must be absolute, not `{path}`")));
        }
        Some(RedirectFile { path: PathBuf::from(path), append })
    };
    Redirect { stdout: file("stdout"), stderr: file("stderr") }
}

/// Reads `then`: works in order, each a mapping with one kind.
pub(super) fn then(fields: &Fields<'_>, reader: &mut Reader<'_>) -> Vec<Work> {
    let Some(node) = fields.node("then") else { return Vec::new() };
    let Some(items) = node.as_sequence() else {
        let kind = node.value.kind();
        reader.problems.push(node.problem(format!("`then` must be a list, not {kind}")));
        return Vec::new();
    };
    let mut works = Vec::new();
    for item in items {
        let entries = item.as_mapping().unwrap_or_default();
        match entries {
            [(key, _)] if key.name == "deploy" || key.name == "group" => {
                let message = format!("`{}` does not stand in `then`", key.name);
                let hint = "make a job of it that runs `after` this one";
                reader.problems.push(key.span.problem(message).with_hint(hint));
            }
            [(key, work)] if Work::KINDS.contains(&key.name.as_str()) => {
                works.extend(reader.work(&key.name, work, ""));
            }
            _ => {
                let message = "an item of `then` is a mapping with exactly one kind of work";
                let hint = "write e.g. `exec: { container: proxy, command: reload }`";
                reader.problems.push(item.problem(message).with_hint(hint));
            }
        }
    }
    works
}
