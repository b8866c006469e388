//! What a job of Ofelia does, in our form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parameters::{COMPOSE, EXEC, LOCAL, RUN};
use super::{Raw, is_true, words};
use crate::job::foreign::{literal, literals};

/// A kind of work and its keys; the error says why there is none.
pub(super) type Work = Result<(&'static str, Map<String, Value>), String>;

/// What a job does, in our form; the error says why it is none of ours.
pub(super) fn work(raw: &Raw, global: &BTreeMap<String, String>) -> Work {
    let on_event = raw.parameters.contains_key("depends-on");
    if raw.text("schedule").is_none() && !on_event {
        return Err("it has no `schedule`".to_owned());
    }
    let command = raw.text("command").map(words::split).unwrap_or_default();
    let user = raw.text("user").or_else(|| global.get("default-user").map(String::as_str));
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    if !raw.list("environment").is_empty() {
        put("environment", literals(raw.list("environment")));
    }
    match raw.kind.as_str() {
        EXEC => {
            let container = raw.text("container").ok_or("it names no `container`")?;
            put("container", literal(container).into());
            put("command", literals(&command));
            put("user", literal(exec_user(user)).into());
            for (from, to) in [("tty", "tty"), ("privileged", "privileged")] {
                if raw.flag(from) {
                    put(to, true.into());
                }
            }
            if let Some(directory) = raw.text("working-dir") {
                put("working_dir", literal(directory).into());
            }
            if !raw.list("env-from").is_empty() {
                put("env_from", literals(raw.list("env-from")));
            }
            if command.is_empty() {
                return Err("it has no `command`".to_owned());
            }
            Ok(("exec", keys))
        }
        RUN => run(raw, user, &command, keys),
        LOCAL => {
            if command.is_empty() {
                return Err("it has no `command`".to_owned());
            }
            put("argv", literals(&command));
            if let Some(directory) = raw.text("dir") {
                put("working_dir", literal(directory).into());
            }
            Ok(("command", keys))
        }
        COMPOSE => {
            let service = raw.text("service").ok_or("it names no `service`")?;
            let file = raw.text("file").unwrap_or_default();
            let directory = file.rsplit_once('/').map(|(directory, _)| directory);
            let directory = directory.filter(|directory| directory.starts_with('/'));
            let directory =
                directory.ok_or("its `file` is no absolute path: the project cannot be told")?;
            if raw.flag("exec") {
                let project = directory.rsplit('/').next().unwrap_or_default();
                put("project", crate::compose::load::normalise_name(project).into());
                put("service", literal(service).into());
            } else {
                put("project", literal(directory).into());
                put("service", literal(service).into());
            }
            if !command.is_empty() {
                put("command", literals(&command));
            }
            Ok((if raw.flag("exec") { "exec" } else { "compose_run" }, keys))
        }
        _ => Err("a `job-service-run` makes a service of Swarm, and there is no Swarm here: a `job-run` \
                  of the same image and command does the same on one host"
            .to_owned()),
    }
}

/// Ofelia runs as root; `default` of its forks is the container's own user.
fn exec_user(user: Option<&str>) -> &str {
    match user {
        Some("default") => "",
        Some(user) => user,
        None => "root",
    }
}

fn run(raw: &Raw, user: Option<&str>, command: &[String], mut keys: Map<String, Value>) -> Work {
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    if let Some(container) = raw.text("container") {
        // An existing container is started as it is.
        let keys = Map::from_iter([("container".to_owned(), literal(container).into())]);
        return Ok(("run", keys));
    }
    let image = raw.text("image").ok_or("it has neither `image` nor `container`")?;
    put("image", literal(image).into());
    let is_false = |key: &str| raw.text(key).is_some_and(|text| !is_true(text));
    if is_false("pull") {
        put("pull_policy", "missing".into());
    } else {
        // Ofelia pulls, and runs the image that is there when it cannot.
        put("pull_policy", "always".into());
        put("pull_fallback", true.into());
    }
    if !command.is_empty() {
        put("command", literals(command));
    }
    let user = exec_user(user);
    if !user.is_empty() {
        put("user", literal(user).into());
    }
    for (from, to) in [("tty", "tty"), ("privileged", "privileged")] {
        if raw.flag(from) {
            put(to, true.into());
        }
    }
    for (from, to) in [
        ("hostname", "hostname"),
        ("working-dir", "working_dir"),
        ("container-name", "container_name"),
    ] {
        if let Some(text) = raw.text(from) {
            put(to, literal(text).into());
        }
    }
    if let Some(entrypoint) = raw.text("entrypoint") {
        put("entrypoint", literals(words::split(entrypoint)));
    }
    match raw.text("network") {
        Some(mode @ ("host" | "none" | "bridge")) => put("network_mode", mode.into()),
        Some(network) => put("networks", json!([literal(network)])),
        None => {}
    }
    for (from, to) in [
        ("volume", "volumes"),
        ("volumes-from", "volumes_from"),
        ("annotations", "annotations"),
        ("env-file", "env_file"),
        ("env-from", "env_from"),
    ] {
        if !raw.list(from).is_empty() {
            put(to, literals(raw.list(from)));
        }
    }
    if is_false("delete") {
        put("keep", true.into());
    }
    Ok(("run", keys))
}
