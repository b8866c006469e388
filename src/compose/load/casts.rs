//! Strings where a number or a boolean belongs, as variables leave them: read as such.

use crate::compose::yaml::{Node, RESET, Value};
use crate::problem::Problem;

/// What a string is read as.
#[derive(Clone, Copy)]
enum Cast {
    Integer,
    Float,
    Boolean,
}

/// A path of keys beneath a service key; `*` is any key or item.
type Rule = (&'static [&'static str], Cast);

/// Reads the strings of a document that stand where something else belongs.
pub(super) fn cast(document: &mut Node, problems: &mut Vec<Problem>) {
    let Value::Mapping(sections) = &mut document.value else { return };
    for (section, node) in sections {
        let Value::Mapping(resources) = &mut node.value else { continue };
        let is_services = section.name == "services";
        for (name, resource) in resources {
            let Value::Mapping(entries) = &mut resource.value else { continue };
            for (key, value) in entries {
                let rules = if is_services {
                    of_service(&key.name)
                } else {
                    of_resource(&section.name, &key.name)
                };
                for (path, to) in rules {
                    let place = || format!("{}.{}.{}", section.name, name.name, key.name);
                    apply(value, path, *to, &place, problems);
                }
            }
        }
    }
}

/// The rules of a key of a service.
fn of_service(key: &str) -> &'static [Rule] {
    use Cast::{Boolean, Float, Integer};
    match key {
        "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime"
        | "cpu_shares" | "oom_score_adj" | "pids_limit" | "scale" => &[(&[], Integer)],
        "cpu_percent" | "cpus" => &[(&[], Float)],
        "init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty" => {
            &[(&[], Boolean)]
        }
        "deploy" => &[
            (&["replicas"], Integer),
            (&["update_config", "parallelism"], Integer),
            (&["update_config", "max_failure_ratio"], Float),
            (&["rollback_config", "parallelism"], Integer),
            (&["rollback_config", "max_failure_ratio"], Float),
            (&["restart_policy", "max_attempts"], Integer),
            (&["placement", "max_replicas_per_node"], Integer),
        ],
        "healthcheck" => &[(&["retries"], Integer), (&["disable"], Boolean)],
        "ports" => &[(&["*", "target"], Integer)],
        "ulimits" => &[(&["*"], Integer), (&["*", "hard"], Integer), (&["*", "soft"], Integer)],
        "volumes" => &[(&["*", "read_only"], Boolean), (&["*", "volume", "nocopy"], Boolean)],
        _ => &[],
    }
}

/// The rules of a key of a network, volume, secret or config.
fn of_resource(section: &str, key: &str) -> &'static [Rule] {
    match (section, key) {
        ("networks" | "volumes" | "secrets" | "configs", "external")
        | ("networks", "internal" | "attachable" | "enable_ipv4" | "enable_ipv6") => {
            &[(&[], Cast::Boolean)]
        }
        _ => &[],
    }
}

fn apply(
    node: &mut Node,
    path: &[&str],
    to: Cast,
    place: &dyn Fn() -> String,
    problems: &mut Vec<Problem>,
) {
    // What is reset may stand there as anything.
    if node.tag.as_deref() == Some(RESET) {
        return;
    }
    let [first, rest @ ..] = path else { return read(node, to, place, problems) };
    match &mut node.value {
        Value::Sequence(items) if *first == "*" => {
            for (index, item) in items.iter_mut().enumerate() {
                apply(item, rest, to, &|| format!("{}[{index}]", place()), problems);
            }
        }
        Value::Mapping(entries) => {
            for (key, item) in entries {
                if *first == "*" || *first == key.name {
                    apply(item, rest, to, &|| format!("{}.{}", place(), key.name), problems);
                }
            }
        }
        _ => {}
    }
}

fn read(node: &mut Node, to: Cast, place: &dyn Fn() -> String, problems: &mut Vec<Problem>) {
    let Value::String(text) = &node.value else { return };
    let (value, expected) = match to {
        Cast::Integer => {
            (text.parse().ok().map(|value: i64| Value::Int(value.into())), "a whole number")
        }
        Cast::Float => (text.parse().ok().map(Value::Float), "a number"),
        Cast::Boolean => (boolean(text).map(Value::Bool), "`true` or `false`"),
    };
    if let Some(value) = value {
        node.value = value;
    } else {
        let message = format!("`{}` is `{text}`: expected {expected}", place());
        problems.push(node.problem(message));
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" => Some(true),
        "false" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}
