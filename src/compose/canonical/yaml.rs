//! The differences between the JSON and the YAML that `docker compose` prints.

use serde_json::{Map, Value};

use crate::compose::emit::key_order;

/// Keys of the top level, in order.
const SECTIONS: &[&str] = &["name", "services", "networks", "volumes", "secrets", "configs"];
/// Keys whose values are maps, printed in the order of their keys.
const MAPS: &[&str] = &[
    "additional_contexts",
    "annotations",
    "args",
    "aux_addresses",
    "configs",
    "depends_on",
    "driver_opts",
    "environment",
    "labels",
    "networks",
    "options",
    "secrets",
    "services",
    "storage_opt",
    "sysctls",
    "ulimits",
    "volumes",
];
/// Keys left out where they hold an empty mapping, as Go leaves out empty structures.
const STRUCTURES: &[&str] = &["resources", "placement", "ipam", "exec"];

/// The same as it is printed as YAML.
pub(super) fn in_yaml_form(value: Value) -> Value {
    let Value::Object(mut root) = value else { return value };
    for service in root.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(service) = service.1.as_object_mut() {
            service_form(service);
        }
    }
    let mut ordered = Map::new();
    for section in SECTIONS {
        ordered.extend(root.shift_remove_entry(*section));
    }
    let extensions = ordered.len();
    ordered.extend(root);
    for (index, (key, value)) in ordered.iter_mut().enumerate() {
        if index < extensions {
            arrange(value, MAPS.contains(&key.as_str()));
        } else {
            sort_all(value);
        }
    }
    ordered.into()
}

fn service_form(service: &mut Map<String, Value>) {
    for key in ["command", "entrypoint"] {
        drop_null(service, key);
    }
    // Hooks may have no command either.
    for hooks in ["pre_start", "post_start", "pre_stop"] {
        for hook in service.get_mut(hooks).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(hook) = hook.as_object_mut() {
                drop_null(hook, "command");
            }
        }
    }
    let watches = service.get_mut("develop").and_then(|develop| develop.get_mut("watch"));
    for watch in watches.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(exec) = watch.get_mut("exec").and_then(Value::as_object_mut) {
            drop_null(exec, "command");
        }
    }
    if let Some(blkio) = service.get_mut("blkio_config").and_then(Value::as_object_mut) {
        for entry in blkio.values_mut().filter_map(Value::as_array_mut).flatten() {
            lower_keys(entry);
        }
    }
    limits_form(service.get_mut("ulimits"));
    limits_form(service.get_mut("build").and_then(|build| build.get_mut("ulimits")));
}

fn drop_null(object: &mut Map<String, Value>, key: &str) {
    if object.get(key).is_some_and(Value::is_null) {
        object.shift_remove(key);
    }
}

fn lower_keys(value: &mut Value) {
    if let Value::Object(entries) = value {
        let lowered = std::mem::take(entries).into_iter();
        *entries = lowered.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
    }
}

/// A limit has both sides in YAML, even where one is zero.
fn limits_form(ulimits: Option<&mut Value>) {
    for (_, ulimit) in ulimits.and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(limits) = ulimit.as_object_mut() {
            let side = |side: &str| limits.get(side).cloned().unwrap_or_else(|| 0.into());
            let sides = ["soft", "hard"].map(|name| (name.to_owned(), side(name)));
            *limits = Map::from_iter(sides);
        }
    }
}

/// Sorts the maps in a value and drops empty structures.
fn arrange(value: &mut Value, is_map: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| arrange(item, false)),
        Value::Object(entries) if is_map => {
            sort(entries);
            entries.values_mut().for_each(|value| arrange(value, false));
        }
        Value::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                arrange(value, MAPS.contains(&key.as_str()));
            }
            let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
            entries.retain(|key, value| !STRUCTURES.contains(&key.as_str()) || !is_empty(value));
        }
        _ => {}
    }
}

fn sort_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_all),
        Value::Object(entries) => {
            sort(entries);
            entries.values_mut().for_each(sort_all);
        }
        _ => {}
    }
}

fn sort(entries: &mut Map<String, Value>) {
    let taken = std::mem::take(entries).into_iter().collect();
    entries.extend(merge_sorted(taken));
}

/// Sorts by merging: Go's order is not transitive for every text, at which the library's sort panics.
fn merge_sorted(mut entries: Vec<(String, Value)>) -> Vec<(String, Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = entries.split_off(entries.len() / 2);
    let mut left = merge_sorted(entries).into_iter().peekable();
    let mut right = merge_sorted(right).into_iter().peekable();
    let mut merged = Vec::new();
    while let (Some((first, _)), Some((second, _))) = (left.peek(), right.peek()) {
        let from_left = key_order(first, second).is_le();
        merged.extend(if from_left { left.next() } else { right.next() });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}
