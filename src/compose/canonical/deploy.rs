//! `deploy`.

use super::mounts::request_json;
use super::object::Object;
use crate::compose::model::{
    Deploy, GenericResource, Placement, Resources, RestartPolicy, UpdateConfig,
};

/// `deploy`, with the number of replicas or, as the hash wants it, without.
pub(super) fn deploy_json(deploy: &Deploy, with_replicas: bool) -> Object {
    let mut object = Object::new();
    object.text("mode", deploy.mode.as_ref());
    object.some("replicas", deploy.replicas.filter(|_| with_replicas));
    object.map("labels", &deploy.labels);
    object.some("update_config", deploy.update_config.as_ref().map(update_json));
    object.some("rollback_config", deploy.rollback_config.as_ref().map(update_json));
    let mut resources = Object::new();
    resources.some("limits", deploy.limits.as_ref().map(resources_json));
    resources.some("reservations", deploy.reservations.as_ref().map(resources_json));
    object.put("resources", resources);
    object.some("restart_policy", deploy.restart_policy.as_ref().map(restart_policy_json));
    object.put("placement", placement_json(&deploy.placement));
    object.text("endpoint_mode", deploy.endpoint_mode.as_ref());
    object
}

fn update_json(update: &UpdateConfig) -> Object {
    let mut object = Object::new();
    object.some("parallelism", update.parallelism);
    object.duration("delay", update.delay.filter(|delay| !delay.is_zero()));
    object.text("failure_action", update.failure_action.as_ref());
    object.duration("monitor", update.monitor.filter(|monitor| !monitor.is_zero()));
    object.float("max_failure_ratio", update.max_failure_ratio);
    object.text("order", update.order.as_ref());
    object
}

fn resources_json(resources: &Resources) -> Object {
    let mut object = Object::new();
    object.float("cpus", resources.cpus);
    object.bytes("memory", resources.memory);
    object.number("pids", resources.pids);
    object.values("devices", resources.devices.iter().map(request_json));
    object.values(
        "generic_resources",
        resources.generic_resources.iter().map(|it| generic_json(it.as_ref())),
    );
    object
}

fn generic_json(resource: Option<&GenericResource>) -> Object {
    let mut object = Object::new();
    if let Some(resource) = resource {
        let mut spec = Object::new();
        spec.put("kind", &resource.kind);
        spec.put("value", resource.value);
        object.put("discrete_resource_spec", spec);
    }
    object
}

fn restart_policy_json(policy: &RestartPolicy) -> Object {
    let mut object = Object::new();
    object.text("condition", policy.condition.as_ref());
    object.duration("delay", policy.delay);
    object.some("max_attempts", policy.max_attempts);
    object.duration("window", policy.window);
    object
}

fn placement_json(placement: &Placement) -> Object {
    let mut object = Object::new();
    object.list("constraints", &placement.constraints);
    let preferences = placement.preferences.iter().map(|spread| {
        let mut entry = Object::new();
        entry.text("spread", spread.as_ref());
        entry
    });
    object.values("preferences", preferences);
    object.some("max_replicas_per_node", placement.max_replicas_per_node);
    object
}
