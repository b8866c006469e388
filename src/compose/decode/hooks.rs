//! Hooks at turns of a container's life, and `develop`.

use super::{At, Decoder};
use crate::compose::model::{Develop, Hook, Watch};

pub(super) const HOOK_KEYS: &[&str] =
    &["command", "user", "privileged", "working_dir", "environment"];
pub(super) const PRE_START_KEYS: &[&str] =
    &["command", "image", "user", "privileged", "working_dir", "environment", "per_replica"];
const WATCH_KEYS: &[&str] =
    &["path", "action", "target", "exec", "include", "ignore", "initial_sync"];
const ACTIONS: &[&str] = &["rebuild", "sync", "restart", "sync+restart", "sync+exec"];

/// Reads a list of hooks that may have these keys.
pub(super) fn hooks(decoder: &mut Decoder, at: At<'_>, known: &[&str]) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        hooks.push(hook(decoder, at.item(index, item), known));
    }
    hooks
}

fn hook(decoder: &mut Decoder, at: At<'_>, known: &[&str]) -> Hook {
    let mut hook = Hook::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            name if !known.contains(&name) => decoder.unknown(at, key, known),
            "command" => hook.command = decoder.command(field),
            "image" => hook.image = decoder.text(field),
            "user" => hook.user = decoder.text(field),
            "privileged" => hook.privileged = decoder.flag(field),
            "working_dir" => hook.working_dir = decoder.text(field),
            "environment" => hook.environment = decoder.distinct_variables(field),
            _ => hook.per_replica = decoder.flag(field),
        }
    }
    if at.node.as_mapping().is_some() && at.node.get("command").is_none() {
        decoder.refuse(at, "has no `command`: expected what to run");
    }
    hook
}

/// Reads `develop`; null is as if it were not there.
pub(super) fn develop(decoder: &mut Decoder, at: At<'_>) -> Option<Develop> {
    if at.node.is_null() {
        return None;
    }
    let mut develop = Develop::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "watch" => {
                for (index, item) in decoder.sequence(field).iter().enumerate() {
                    develop.watch.push(watch(decoder, field.item(index, item)));
                }
            }
            _ => decoder.unknown(at, key, &["watch"]),
        }
    }
    Some(develop)
}

fn watch(decoder: &mut Decoder, at: At<'_>) -> Watch {
    let mut watch = Watch::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "path" => watch.path = decoder.string(field).unwrap_or_default(),
            "action" => watch.action = decoder.word(field, ACTIONS).unwrap_or_default(),
            "target" => watch.target = decoder.text(field),
            "exec" => watch.exec = hook(decoder, field, HOOK_KEYS),
            "include" => watch.include = string_or_distinct(decoder, field),
            "ignore" => watch.ignore = string_or_distinct(decoder, field),
            "initial_sync" => {
                watch.initial_sync = decoder.strict_boolean(field).unwrap_or_default();
            }
            _ => decoder.unknown(at, key, WATCH_KEYS),
        }
    }
    for key in ["path", "action"] {
        if at.node.as_mapping().is_some() && at.node.get(key).is_none() {
            decoder.refuse(at, format!("has no `{key}`"));
        }
    }
    if at.node.get("path").and_then(|path| path.as_str()) == Some("") {
        decoder.refuse(at, "has an empty `path`");
    }
    let needs_target = !matches!(watch.action.as_str(), "rebuild" | "restart" | "");
    if needs_target && watch.target.is_none() {
        decoder.refuse(at, format!("has no `target`, which `{}` needs", watch.action));
    }
    watch
}

fn string_or_distinct(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    decoder.refuse_repeated(at);
    decoder.string_or_strings(at)
}
