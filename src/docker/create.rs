//! The body of `POST /containers/create` for a service: one line a key.
//!
//! The mapping is docker compose's (reference: compose-go model to moby API 1.41 and newer).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigLogConfig, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::ApiVersion;
use super::mounts::{anonymous_targets, volumes};
use crate::compose::model::{Device, Healthcheck, Project, Service, ServiceNetwork, Ulimit};

/// First API version that takes several networks in one create call.
const SEVERAL_ENDPOINTS: ApiVersion = ApiVersion(1, 44);
/// First API version that takes a health check's start interval.
const START_INTERVAL: ApiVersion = ApiVersion(1, 44);

/// A network that must be connected after creation, before the start.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Name of the network on the Engine.
    pub network: String,
    /// How the container stands in it.
    pub endpoint: EndpointSettings,
}

/// A body to create a container with, and the networks the Engine cannot take in that call.
pub(super) struct Blueprint {
    pub(super) body: ContainerCreateBody,
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
}

/// Builds the body for one container of a service.
pub(super) fn blueprint(new: &NewContainer<'_>, api: ApiVersion) -> Blueprint {
    let service = new.service;
    let mut endpoints = endpoints(new);
    let network_mode = match (&service.network_mode, endpoints.first()) {
        (Some(mode), _) => Some(mode.clone()),
        (None, Some(primary)) => Some(primary.network.clone()),
        (None, None) => Some("none".to_owned()),
    };
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
        exposed_ports: non_empty(exposed_ports(service)),
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        env: Some(environment(service)),
        cmd: service.command.clone(),
        healthcheck: service.healthcheck.as_ref().map(|it| health(it, api)),
        image: Some(service.image.clone()),
        volumes: non_empty(anonymous_targets(new)),
        working_dir: service.working_dir.clone(),
        entrypoint: service.entrypoint.clone(),
        labels: Some(new.labels.clone().into_iter().collect()),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(whole_seconds),
        host_config: Some(host_config(new, api, network_mode)),
        networking_config: (!in_create.is_empty())
            .then_some(NetworkingConfig { endpoints_config: Some(in_create) }),
        ..Default::default()
    };
    Blueprint { body, attachments }
}

fn host_config(
    new: &NewContainer<'_>,
    api: ApiVersion,
    network_mode: Option<String>,
) -> HostConfig {
    let service = new.service;
    let limits = service.deploy.as_ref().and_then(|it| it.limits.clone()).unwrap_or_default();
    let reservations =
        service.deploy.as_ref().and_then(|it| it.reservations.clone()).unwrap_or_default();
    let (binds, mounts) = volumes(new, api);
    HostConfig {
        binds: non_empty(binds),
        mounts: non_empty(mounts),
        cap_add: non_empty(service.cap_add.clone()),
        cap_drop: non_empty(service.cap_drop.clone()),
        cgroup_parent: service.cgroup_parent.clone(),
        cpu_shares: service.cpu_shares,
        cpuset_cpus: service.cpuset.clone(),
        nano_cpus: service.cpus.or(limits.cpus).map(nano_cpus),
        memory: service.mem_limit.or(limits.memory),
        memory_reservation: service.mem_reservation.or(reservations.memory),
        memory_swap: service.memswap_limit,
        pids_limit: service.pids_limit.or(limits.pids).filter(|it| *it != 0),
        devices: non_empty(service.devices.iter().map(device).collect()),
        dns: non_empty(service.dns.clone()),
        dns_options: non_empty(service.dns_opt.clone()),
        dns_search: non_empty(service.dns_search.clone()),
        extra_hosts: non_empty(extra_hosts(service)),
        group_add: non_empty(service.group_add.clone()),
        init: service.init,
        ipc_mode: service.ipc.clone(),
        log_config: service.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: logging.driver.clone(),
            config: Some(logging.options.clone().into_iter().collect()),
        }),
        network_mode,
        oom_kill_disable: service.oom_kill_disable,
        oom_score_adj: service.oom_score_adj,
        pid_mode: service.pid.clone(),
        port_bindings: Some(port_bindings(service)).filter(|map| !map.is_empty()),
        privileged: Some(service.privileged),
        readonly_rootfs: Some(service.read_only),
        restart_policy: Some(restart_policy(service)),
        runtime: service.runtime.clone(),
        security_opt: non_empty(service.security_opt.clone()),
        shm_size: service.shm_size,
        sysctls: non_empty_map(&service.sysctls),
        tmpfs: non_empty_map(&tmpfs(service)),
        ulimits: non_empty(ulimits(service)),
        userns_mode: service.userns_mode.clone(),
        uts_mode: service.uts.clone(),
        ..Default::default()
    }
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

/// CPUs are single precision in compose-go; the product is taken in that precision, too.
#[expect(clippy::cast_possible_truncation, reason = "no host has 9e9 CPUs")]
fn nano_cpus(cpus: f32) -> i64 {
    (cpus * 1e9) as i64
}

fn environment(service: &Service) -> Vec<String> {
    let entry = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    service.environment.iter().map(entry).collect()
}

fn exposed_ports(service: &Service) -> Vec<String> {
    let published = service.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol));
    let exposed = service.expose.iter().flat_map(|text| ports_of_range(text));
    let mut ports: Vec<String> = exposed.chain(published).collect();
    ports.sort();
    ports.dedup();
    ports
}

/// Each port of `first[-last][/protocol]`; the Engine takes no ranges here. The loader has refused
/// what is no port.
fn ports_of_range(text: &str) -> Vec<String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return Vec::new();
    };
    (first..=last).map(|port| format!("{port}/{protocol}")).collect()
}

fn port_bindings(service: &Service) -> PortMap {
    let mut bindings = PortMap::new();
    for port in &service.ports {
        let key = format!("{}/{}", port.target, port.protocol);
        let binding =
            PortBinding { host_ip: port.host_ip.clone(), host_port: port.published.clone() };
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn health(check: &Healthcheck, api: ApiVersion) -> HealthConfig {
    let test = if check.disable { vec!["NONE".to_owned()] } else { check.test.clone() };
    HealthConfig {
        test: non_empty(test),
        interval: check.interval.map(nanoseconds),
        timeout: check.timeout.map(nanoseconds),
        retries: check.retries.map(|it| i64::try_from(it).unwrap_or(i64::MAX)),
        start_period: check.start_period.map(nanoseconds),
        start_interval: check.start_interval.filter(|_| api >= START_INTERVAL).map(nanoseconds),
    }
}

fn extra_hosts(service: &Service) -> Vec<String> {
    let pairs = service.extra_hosts.iter();
    pairs.flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}:{ip}"))).collect()
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

fn ulimits(service: &Service) -> Vec<ResourcesUlimits> {
    let entry = |(name, limit): (&String, &Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    service.ulimits.iter().map(entry).collect()
}

fn tmpfs(service: &Service) -> BTreeMap<String, String> {
    let entry = |text: &String| match text.split_once(':') {
        Some((path, options)) => (path.to_owned(), options.to_owned()),
        None => (text.clone(), String::new()),
    };
    service.tmpfs.iter().map(entry).collect()
}

/// `deploy.restart_policy` wins over `restart`.
fn restart_policy(service: &Service) -> RestartPolicy {
    let deployed = service.deploy.as_ref().and_then(|it| it.restart_policy.as_ref());
    if let Some(policy) = deployed {
        let name = match policy.condition.as_deref() {
            Some("none" | "no") => RestartPolicyNameEnum::NO,
            Some("on-failure") => RestartPolicyNameEnum::ON_FAILURE,
            Some("unless-stopped") => RestartPolicyNameEnum::UNLESS_STOPPED,
            _ => RestartPolicyNameEnum::ALWAYS,
        };
        let attempts = policy.max_attempts.and_then(|it| i64::try_from(it).ok());
        let maximum_retry_count = attempts.filter(|_| name == RestartPolicyNameEnum::ON_FAILURE);
        return RestartPolicy { name: Some(name), maximum_retry_count };
    }
    let written = service.restart.as_deref().unwrap_or("no");
    let (word, count) = written.split_once(':').unwrap_or((written, ""));
    let name = match word {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: count.parse().ok() }
}

/// Networks of a service in docker compose's order: priority first, then name.
fn endpoints(new: &NewContainer<'_>) -> Vec<Attachment> {
    let service = new.service;
    if service.network_mode.is_some() {
        return Vec::new();
    }
    let mut keys: Vec<(&String, &Option<ServiceNetwork>)> = service.networks.iter().collect();
    let priority = |it: &Option<ServiceNetwork>| it.as_ref().and_then(|it| it.priority);
    keys.sort_by_key(|(_, it)| std::cmp::Reverse(priority(it).unwrap_or(0)));
    let attachment = |(key, settings): (&String, &Option<ServiceNetwork>)| {
        let network = new.project.networks.get(key)?.name.clone();
        let settings = settings.clone().unwrap_or_default();
        let mut aliases = vec![new.final_name.to_owned(), service.name.clone()];
        aliases.extend(settings.aliases);
        let has_address = settings.ipv4_address.is_some()
            || settings.ipv6_address.is_some()
            || !settings.link_local_ips.is_empty();
        let ipam = EndpointIpamConfig {
            ipv4_address: settings.ipv4_address,
            ipv6_address: settings.ipv6_address,
            link_local_ips: non_empty(settings.link_local_ips),
        };
        let endpoint = EndpointSettings {
            aliases: Some(aliases),
            ipam_config: has_address.then_some(ipam),
            mac_address: settings.mac_address,
            driver_opts: non_empty_map(&settings.driver_opts),
            ..Default::default()
        };
        Some(Attachment { network, endpoint })
    };
    keys.into_iter().filter_map(attachment).collect()
}

#[cfg(test)]
mod tests;
