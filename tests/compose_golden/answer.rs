//! What is made of a case, in the form of `*.oracle.txt`, and how two of them differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roadstead::compose::canonical::{config_json, config_yaml};
use roadstead::compose::hash::{Dialect, network_hash, service_hash, volume_hash};
use roadstead::compose::model::Project;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Kinds of objects that have a line each, by their key in a Compose file.
const KINDS: [(&str, &str); 6] = [
    ("services", "service"),
    ("networks", "network"),
    ("volumes", "volume"),
    ("secrets", "secret"),
    ("configs", "config"),
    ("models", "model"),
];

/// A project, one line for each part: `service NAME HASH JSON`, `name TEXT`, `yaml HASH`.
pub(crate) fn answer(project: &Project) -> String {
    let mut text = String::new();
    let value = config_json(project);
    let top = value.as_object().unwrap();
    writeln!(text, "name {}", top["name"].as_str().unwrap()).unwrap();
    let mut unset: Vec<&str> = project.warnings.iter().filter_map(|it| unset(it)).collect();
    unset.sort_unstable();
    unset.dedup();
    if !unset.is_empty() {
        writeln!(text, "unset {}", unset.join(" ")).unwrap();
    }
    writeln!(text, "yaml {}", sha256(&config_yaml(project))).unwrap();
    for (key, value) in top.iter().filter(|(key, _)| *key != "name") {
        let Some((_, kind)) = KINDS.iter().find(|(plural, _)| plural == key) else {
            writeln!(text, "{key} {value}").unwrap();
            continue;
        };
        for (name, value) in value.as_object().unwrap() {
            let hash = hash(project, kind, name).unwrap_or_else(|| "-".to_owned());
            writeln!(text, "{kind} {name} {hash} {value}").unwrap();
        }
    }
    text
}

fn sha256(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The variable of a warning that it is not set.
fn unset(warning: &str) -> Option<&str> {
    warning.strip_prefix("variable `")?.split_once("` is not set").map(|(name, _)| name)
}

fn hash(project: &Project, kind: &str, name: &str) -> Option<String> {
    match kind {
        "service" => project.services.get(name).map(|service| {
            let hash = service_hash(service, Dialect::V2_40);
            let newer = service_hash(service, Dialect::V5);
            if newer == hash { hash } else { format!("{hash}/{newer}") }
        }),
        "network" => {
            project.networks.get(name).filter(|network| !network.external).map(network_hash)
        }
        "volume" => project.volumes.get(name).filter(|volume| !volume.external).map(volume_hash),
        _ => None,
    }
}

/// Each difference in a line; hashes are compared where docker compose gave one.
pub(crate) fn differences(ours: &str, theirs: &str) -> Vec<String> {
    if theirs.starts_with("refused") {
        return vec![format!("we accept it; docker compose: {}", theirs.trim_end())];
    }
    let (ours, theirs) = (lines(ours), lines(theirs));
    let mut found = Vec::new();
    for (key, (hash, value)) in &theirs {
        let Some((our_hash, our_value)) = ours.get(key) else {
            found.push(format!("{key}: missing; expected {value}"));
            continue;
        };
        let before = found.len();
        compare(key, our_value, value, &mut found);
        let equal = match hash.strip_suffix("/-") {
            Some(known) => our_hash.split('/').next() == Some(known),
            None => hash == our_hash || hash == "-",
        };
        if !equal && found.len() == before {
            found.push(format!("{key}: hash is {our_hash}, expected {hash}"));
        }
    }
    let more = ours.iter().filter(|(key, _)| !theirs.contains_key(*key) && *key != "yaml");
    found.extend(more.map(|(key, (_, value))| format!("{key}: got {value}, expected nothing")));
    found
}

/// Hash and value by `kind name`.
fn lines(text: &str) -> BTreeMap<String, (String, Value)> {
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').unwrap();
        let parts: Vec<&str> = rest.splitn(3, ' ').collect();
        let (key, hash, value) = match parts[..] {
            [name, hash, value] if KINDS.iter().any(|(_, it)| *it == kind) => {
                (format!("{kind} {name}"), hash, value)
            }
            _ => (kind.to_owned(), "-", rest),
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        lines.insert(key, (hash.to_owned(), value));
    }
    lines
}

fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, theirs) in right {
                let ours = left.get(key).unwrap_or(&Value::Null);
                if left.contains_key(key) || theirs.is_null() {
                    compare(&format!("{path}.{key}"), ours, theirs, found);
                } else {
                    found.push(format!("{path}.{key}: missing, expected {theirs}"));
                }
            }
            let more = left.iter().filter(|(key, _)| !right.contains_key(*key));
            found.extend(more.map(|(key, value)| format!("{path}.{key}: got {value} too much")));
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (ours, theirs)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), ours, theirs, found);
            }
        }
        // Go prints a whole number without a point, whatever type it has.
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (left, right) if left == right => {}
        (left, right) => found.push(format!("{path}: got {left}, expected {right}")),
    }
}
