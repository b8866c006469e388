//! The body of `POST /containers/create` for a service: one line a key.
//!
//! The mapping is docker compose's (reference: compose-go model to moby API 1.41 and newer).

mod host;
mod networks;
mod peers;
mod ports;
mod security;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Result;
use bollard::models::{ContainerCreateBody, HealthConfig, NetworkingConfig};

use self::host::host_config;
pub(super) use self::networks::by_priority as networks_by_priority;
pub use self::networks::{Attachment, endpoints};
pub use self::peers::Peer;
pub use self::security::profiles;
use super::ApiVersion;
use super::gates::{ENDPOINT_MAC, SEVERAL_ENDPOINTS};
use crate::compose::model::{Healthcheck, Project, Service};

/// A body to create a container with, and the networks the Engine cannot take in that call.
pub(super) struct Blueprint {
    pub(super) body: ContainerCreateBody,
    /// The container's own hardware address, which only Engines before API 1.44 know.
    pub(super) mac_address: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

/// A container of a service that is to be created.
#[derive(Clone, Copy, Debug)]
pub struct NewContainer<'a> {
    /// The project as the host sees it.
    pub project: &'a Project,
    /// Its service.
    pub service: &'a Service,
    /// The name it is created under.
    pub name: &'a str,
    /// The name it has in the end, by which others on its networks know it.
    pub final_name: &'a str,
    /// All its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Anonymous volumes to take over: target to name.
    pub anonymous_volumes: &'a BTreeMap<String, String>,
    /// What is neither in the project nor in the service.
    pub surroundings: &'a Surroundings,
}

/// What the body of a new container is made from besides its project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Containers of the project by service, in the order of their numbers: what links, namespaces of
    /// other services and `volumes_from` mean.
    pub peers: BTreeMap<String, Vec<Peer>>,
    /// Proxy variables of the docker client's configuration; the service's own win.
    pub proxies: BTreeMap<String, String>,
    /// Seccomp profiles as JSON, by the path that `security_opt` names ([`profiles`]).
    pub profiles: BTreeMap<String, String>,
}

/// Builds the body for one container of a service.
///
/// # Errors
///
/// When the service needs a container of another one that is not there, or a profile that is none.
pub(super) fn blueprint(new: &NewContainer<'_>, api: ApiVersion) -> Result<Blueprint> {
    let service = new.service;
    let mut endpoints = endpoints(new.project, service, new.final_name, new.surroundings);
    let primary = endpoints.first().map(|it| it.network.clone());
    let mac_address =
        if api < ENDPOINT_MAC { container_mac(service, &mut endpoints) } else { None };
    let attachments = if api >= SEVERAL_ENDPOINTS || endpoints.is_empty() {
        Vec::new()
    } else {
        endpoints.split_off(1)
    };
    let in_create: HashMap<_, _> =
        endpoints.into_iter().map(|it| (it.network, it.endpoint)).collect();
    let body = ContainerCreateBody {
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: non_empty(ports::exposed(service)),
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        env: Some(environment(service, &new.surroundings.proxies)),
        cmd: service.command.clone(),
        healthcheck: service.healthcheck.as_deref().map(health),
        image: Some(service.image.clone()),
        working_dir: service.working_dir.clone(),
        entrypoint: service.entrypoint.clone(),
        network_disabled: (service.network_mode.as_deref() == Some("disabled")).then_some(true),
        labels: Some(new.labels.clone().into_iter().collect()),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(whole_seconds),
        host_config: Some(host_config(new, api, primary)?),
        networking_config: (!in_create.is_empty())
            .then_some(NetworkingConfig { endpoints_config: Some(in_create) }),
        ..Default::default()
    };
    Ok(Blueprint { body, mac_address, attachments })
}

/// Takes the hardware address out of the first endpoint, where an old Engine does not look for it.
fn container_mac(service: &Service, endpoints: &mut [Attachment]) -> Option<String> {
    let of_endpoint = endpoints.first_mut().and_then(|it| it.endpoint.mac_address.take());
    of_endpoint.or_else(|| service.mac_address.clone())
}

pub(super) fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn non_empty_map(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.clone().into_iter().collect())
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn environment(service: &Service, proxies: &BTreeMap<String, String>) -> Vec<String> {
    let proxies = proxies.iter().map(|(name, value)| (name, Some(value)));
    let own = service.environment.iter().map(|(name, value)| (name, value.as_ref()));
    let all: BTreeMap<&String, Option<&String>> = proxies.chain(own).collect();
    let entry = |(name, value): (&String, Option<&String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    all.into_iter().map(entry).collect()
}

fn health(check: &Healthcheck) -> HealthConfig {
    let test = if check.disable { vec!["NONE".to_owned()] } else { check.test.clone() };
    HealthConfig {
        test: non_empty(test),
        interval: check.interval.map(nanoseconds),
        timeout: check.timeout.map(nanoseconds),
        retries: check.retries.map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
        start_period: check.start_period.map(nanoseconds),
        start_interval: check.start_interval.map(nanoseconds),
    }
}

#[cfg(test)]
mod tests;
