//! `deploy`: replicas, resources, restarts, and what only Swarm acts on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `deploy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// `mode`: `replicated` or `global`.
    pub mode: Option<String>,
    /// `replicas`.
    pub replicas: Option<u32>,
    /// `labels`: of a Swarm service, unused here, but part of the hash.
    pub labels: BTreeMap<String, String>,
    /// `update_config`: of Swarm, unused here.
    pub update_config: Option<UpdateConfig>,
    /// `rollback_config`: of Swarm, unused here.
    pub rollback_config: Option<UpdateConfig>,
    /// `resources.limits`.
    pub limits: Option<Resources>,
    /// `resources.reservations`.
    pub reservations: Option<Resources>,
    /// `restart_policy`; wins over `restart`.
    pub restart_policy: Option<RestartPolicy>,
    /// `placement`: of Swarm, unused here.
    pub placement: Placement,
    /// `endpoint_mode`: of Swarm, unused here.
    pub endpoint_mode: Option<String>,
}

/// One side of `deploy.resources`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// `cpus`.
    pub cpus: Option<f32>,
    /// `memory`, bytes.
    pub memory: Option<i64>,
    /// `pids`.
    pub pids: Option<i64>,
    /// `devices`, of reservations only.
    pub devices: Vec<DeviceRequest>,
    /// `generic_resources`: of Swarm, unused here.
    pub generic_resources: Vec<Option<GenericResource>>,
}

/// `deploy.restart_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `condition`: `none`, `on-failure` or `any`.
    pub condition: Option<String>,
    /// `delay`.
    pub delay: Option<Duration>,
    /// `max_attempts`.
    pub max_attempts: Option<u64>,
    /// `window`.
    pub window: Option<Duration>,
}

/// `deploy.update_config` and `deploy.rollback_config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// `parallelism`.
    pub parallelism: Option<u64>,
    /// `delay`.
    pub delay: Option<Duration>,
    /// `failure_action`.
    pub failure_action: Option<String>,
    /// `monitor`.
    pub monitor: Option<Duration>,
    /// `max_failure_ratio`.
    pub max_failure_ratio: Option<f32>,
    /// `order`: `start-first` or `stop-first`.
    pub order: Option<String>,
}

/// `deploy.placement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// `constraints`.
    pub constraints: Vec<String>,
    /// `preferences`: the `spread` of each.
    pub preferences: Vec<Option<String>>,
    /// `max_replicas_per_node`.
    pub max_replicas_per_node: Option<u64>,
}

/// A request for devices: an entry of `gpus` or of `deploy.resources.reservations.devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// `capabilities`: all of them must be there.
    pub capabilities: Vec<String>,
    /// `driver`.
    pub driver: Option<String>,
    /// `count`: -1 is all, and filled in where neither it nor `device_ids` was written.
    pub count: Option<i64>,
    /// `device_ids`.
    pub device_ids: Vec<String>,
    /// `options`.
    pub options: BTreeMap<String, String>,
}

/// The `discrete_resource_spec` of an entry of `generic_resources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenericResource {
    /// `kind`.
    pub kind: String,
    /// `value`.
    pub value: i64,
}
