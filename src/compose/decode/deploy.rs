//! `deploy`: replicas, resources, restarts; what only Swarm acts on is read for the hash.

use super::devices;
use super::{At, Decoder};
use crate::compose::model::{
    Deploy, GenericResource, Placement, Resources, RestartPolicy, UpdateConfig,
};

const KEYS: &[&str] = &[
    "mode",
    "endpoint_mode",
    "replicas",
    "labels",
    "update_config",
    "rollback_config",
    "resources",
    "restart_policy",
    "placement",
];
const UPDATE_KEYS: &[&str] =
    &["parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"];
const LIMIT_KEYS: &[&str] = &["cpus", "memory", "pids"];
const RESERVATION_KEYS: &[&str] = &["cpus", "memory", "devices", "generic_resources"];
const RESTART_KEYS: &[&str] = &["condition", "delay", "max_attempts", "window"];
const PLACEMENT_KEYS: &[&str] = &["constraints", "preferences", "max_replicas_per_node"];
/// Words that mean something as a restart condition; any other means `any`.
const CONDITIONS: &[&str] = &["none", "no", "on-failure", "unless-stopped", "any", "always", ""];

pub(super) fn deploy(decoder: &mut Decoder, at: At<'_>) -> Option<Deploy> {
    if at.node.is_null() {
        return None;
    }
    let mut deploy = Deploy::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "mode" => deploy.mode = decoder.text(field),
            "endpoint_mode" => deploy.endpoint_mode = decoder.text(field),
            "replicas" => {
                deploy.replicas = decoder.integer_within(field, "a number of containers");
            }
            "labels" => deploy.labels = decoder.labels(field),
            "update_config" => deploy.update_config = Some(update_config(decoder, field)),
            "rollback_config" => deploy.rollback_config = Some(update_config(decoder, field)),
            "resources" => sides(decoder, field, &mut deploy),
            "restart_policy" => deploy.restart_policy = Some(restart_policy(decoder, field)),
            "placement" => deploy.placement = placement(decoder, field),
            _ => decoder.unknown(at, key, KEYS),
        }
    }
    Some(deploy)
}

fn sides(decoder: &mut Decoder, at: At<'_>, deploy: &mut Deploy) {
    for (key, node) in decoder.mapping(at) {
        let side = at.key(key, node);
        match key.name.as_str() {
            "limits" => deploy.limits = Some(resources(decoder, side, LIMIT_KEYS)),
            "reservations" => {
                deploy.reservations = Some(resources(decoder, side, RESERVATION_KEYS));
            }
            _ => decoder.unknown(at, key, &["limits", "reservations"]),
        }
    }
}

fn resources(decoder: &mut Decoder, at: At<'_>, known: &[&str]) -> Resources {
    let mut resources = Resources::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            name if !known.contains(&name) => decoder.unknown(at, key, known),
            "cpus" => resources.cpus = decoder.cpus(field),
            "memory" => resources.memory = decoder.size_text(field).filter(|bytes| *bytes != 0),
            "pids" => resources.pids = decoder.integer(field).filter(|pids| *pids != 0),
            "devices" => resources.devices = devices::reserved(decoder, field),
            _ => resources.generic_resources = generic_resources(decoder, field),
        }
    }
    resources
}

fn generic_resources(decoder: &mut Decoder, at: At<'_>) -> Vec<Option<GenericResource>> {
    let mut resources = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let item_at = at.item(index, item);
        let mut resource = None;
        for (key, node) in decoder.mapping(item_at) {
            let field = item_at.key(key, node);
            match key.name.as_str() {
                "discrete_resource_spec" => resource = Some(discrete(decoder, field)),
                _ => decoder.unknown(item_at, key, &["discrete_resource_spec"]),
            }
        }
        resources.push(resource);
    }
    resources
}

fn discrete(decoder: &mut Decoder, at: At<'_>) -> GenericResource {
    let mut resource = GenericResource::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "kind" => resource.kind = decoder.string(field).unwrap_or_default(),
            "value" => resource.value = decoder.number(field).unwrap_or_default(),
            _ => decoder.unknown(at, key, &["kind", "value"]),
        }
    }
    resource
}

fn update_config(decoder: &mut Decoder, at: At<'_>) -> UpdateConfig {
    let mut update = UpdateConfig::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "parallelism" => {
                update.parallelism = decoder.integer_within(field, "a number of containers");
            }
            "delay" => update.delay = decoder.duration(field),
            "failure_action" => update.failure_action = decoder.text(field),
            "monitor" => update.monitor = decoder.duration(field),
            "max_failure_ratio" => {
                update.max_failure_ratio = decoder.single_float(field, "a ratio, e.g. `0.1`");
            }
            "order" => update.order = decoder.word(field, &["start-first", "stop-first"]),
            _ => decoder.unknown(at, key, UPDATE_KEYS),
        }
    }
    update
}

fn restart_policy(decoder: &mut Decoder, at: At<'_>) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    let mut counted = None;
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "condition" => {
                let condition = decoder.string(field);
                if let Some(word) = condition.as_deref().filter(|it| !CONDITIONS.contains(it)) {
                    decoder.warn(field, format!("is `{word}`, which compose reads as `any`"));
                }
                policy.condition = condition.filter(|condition| !condition.is_empty());
            }
            "delay" => policy.delay = decoder.duration(field),
            "max_attempts" => {
                policy.max_attempts = decoder.integer_within(field, "a number of attempts");
                counted = policy.max_attempts.filter(|attempts| *attempts > 0).map(|_| field);
            }
            "window" => policy.window = decoder.duration(field),
            _ => decoder.unknown(at, key, RESTART_KEYS),
        }
    }
    // It refuses a container that has one; so does docker compose then.
    if let Some(field) = counted.filter(|_| policy.condition.as_deref() != Some("on-failure")) {
        decoder.warn(field, "is left out: the Engine counts attempts only of `on-failure`");
    }
    policy
}

fn placement(decoder: &mut Decoder, at: At<'_>) -> Placement {
    let mut placement = Placement::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "constraints" => placement.constraints = decoder.strings(field),
            "preferences" => placement.preferences = preferences(decoder, field),
            "max_replicas_per_node" => {
                let count: Option<u64> = decoder.integer_within(field, "a number of containers");
                placement.max_replicas_per_node = count.filter(|count| *count != 0);
            }
            _ => decoder.unknown(at, key, PLACEMENT_KEYS),
        }
    }
    placement
}

fn preferences(decoder: &mut Decoder, at: At<'_>) -> Vec<Option<String>> {
    let mut preferences = Vec::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let item_at = at.item(index, item);
        let mut spread = None;
        for (key, node) in decoder.mapping(item_at) {
            match key.name.as_str() {
                "spread" => spread = decoder.text(item_at.key(key, node)),
                _ => decoder.unknown(item_at, key, &["spread"]),
            }
        }
        preferences.push(spread);
    }
    preferences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::yaml;

    #[test]
    fn warns_of_what_the_engine_does_not_count() {
        let left_out =
            "f:1: `max_attempts` is left out: the Engine counts attempts only of `on-failure`";
        for (text, warning) in [
            ("{condition: on-failure, max_attempts: 3}", None),
            ("{max_attempts: 3, condition: on-failure}", None),
            ("{condition: any, max_attempts: 0}", None),
            ("{condition: any, max_attempts: 3}", Some(left_out)),
            ("{max_attempts: 3}", Some(left_out)),
        ] {
            let documents = yaml::parse(text, "f").unwrap();
            let mut decoder = Decoder::default();
            restart_policy(&mut decoder, At::root(&documents[0]));
            assert_eq!(decoder.warnings.first().map(String::as_str), warning, "{text}");
        }
    }
}
