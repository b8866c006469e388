//! `HostConfig` of a new container: how the host runs it.

use std::collections::BTreeMap;

use anyhow::Result;
use bollard::models::{
    DeviceMapping, DeviceRequest as ApiDeviceRequest, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigIsolationEnum, HostConfigLogConfig, ResourcesBlkioWeightDevice, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum, ThrottleDevice,
};

use super::security::security_options;
use super::{NewContainer, non_empty, non_empty_map, peers, ports};
use crate::compose::model::{
    BlkioConfig, Device, DeviceRate, DeviceRequest, DeviceWeight, Service, Ulimit,
};
use crate::docker::mounts::volumes;
use crate::docker::{ApiVersion, restarts};

/// The driver of devices that have names instead of paths.
const CDI: &str = "cdi";
/// What every entry of `gpus` asks for besides its own capabilities.
const GPU: &str = "gpu";

pub(super) fn host_config(
    new: &NewContainer<'_>,
    api: ApiVersion,
    primary_network: Option<String>,
) -> Result<HostConfig> {
    let service = new.service;
    let mode = |key: &str, mode: &Option<String>| {
        mode.as_ref().map(|it| peers::mode(new, key, it)).transpose()
    };
    let network_mode = match mode("network_mode", &service.network_mode)? {
        Some(mode) => mode,
        None => primary_network.unwrap_or_else(|| "none".to_owned()),
    };
    let (binds, mounts) = volumes(new, api);
    let security = security_options(service, &new.surroundings.profiles)?;
    let covered = || security.uncovered.then(Vec::new);
    Ok(HostConfig {
        annotations: non_empty_map(&service.annotations),
        binds: non_empty(binds),
        mounts: non_empty(mounts),
        cap_add: non_empty(service.cap_add.clone()),
        cap_drop: non_empty(service.cap_drop.clone()),
        cgroupns_mode: service.cgroup.as_deref().and_then(cgroup_mode),
        dns: non_empty(service.dns.clone()),
        dns_options: non_empty(service.dns_opt.clone()),
        dns_search: non_empty(service.dns_search.clone()),
        extra_hosts: non_empty(extra_hosts(service)),
        group_add: non_empty(service.group_add.clone()),
        init: service.init,
        ipc_mode: mode("ipc", &service.ipc)?,
        isolation: service.isolation.as_deref().and_then(isolation),
        links: non_empty(peers::links(new.project, service, new.surroundings)),
        log_config: service.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: logging.driver.clone(),
            config: Some(logging.options.clone().into_iter().collect()),
        }),
        network_mode: Some(network_mode),
        oom_score_adj: service.oom_score_adj,
        pid_mode: mode("pid", &service.pid)?,
        port_bindings: Some(ports::bindings(service)).filter(|map| !map.is_empty()),
        privileged: Some(service.privileged),
        readonly_rootfs: Some(service.read_only),
        restart_policy: Some(restart_policy(service)),
        runtime: service.runtime.clone(),
        masked_paths: covered(),
        readonly_paths: covered(),
        security_opt: non_empty(security.options),
        shm_size: service.shm_size,
        storage_opt: non_empty_map(&service.storage_opt),
        sysctls: non_empty_map(&service.sysctls),
        tmpfs: non_empty_map(&tmpfs(service)),
        userns_mode: service.userns_mode.clone(),
        uts_mode: service.uts.clone(),
        volumes_from: non_empty(peers::volumes_from(new)?),
        ..resources(service)
    })
}

/// What a container may use of the host. What `deploy` says wins over the short keys.
fn resources(service: &Service) -> HostConfig {
    let deploy = service.deploy.as_ref();
    let limits = deploy.and_then(|it| it.limits.clone()).unwrap_or_default();
    let reservations = deploy.and_then(|it| it.reservations.clone()).unwrap_or_default();
    let positive = |it: &i64| *it > 0;
    let (provided, devices): (Vec<_>, Vec<_>) = service.devices.iter().partition(|it| it.is_cdi());
    HostConfig {
        cgroup_parent: service.cgroup_parent.clone(),
        cpu_count: service.cpu_count,
        cpu_percent: service.cpu_percent.map(hundredths),
        cpu_period: service.cpu_period,
        cpu_quota: service.cpu_quota,
        cpu_realtime_period: service.cpu_rt_period,
        cpu_realtime_runtime: service.cpu_rt_runtime,
        cpu_shares: service.cpu_shares,
        cpuset_cpus: service.cpuset.clone(),
        device_cgroup_rules: non_empty(service.device_cgroup_rules.clone()),
        device_requests: non_empty(device_requests(service, &provided, &reservations.devices)),
        devices: non_empty(devices.into_iter().map(device).collect()),
        memory: limits.memory.filter(positive).or(service.mem_limit),
        memory_reservation: reservations.memory.filter(positive).or(service.mem_reservation),
        memory_swap: service.memswap_limit,
        // Compose has no way to say zero.
        memory_swappiness: service.mem_swappiness.filter(|it| *it != 0),
        nano_cpus: limits.cpus.filter(|it| *it > 0.0).or(service.cpus).map(nano_cpus),
        oom_kill_disable: service.oom_kill_disable,
        pids_limit: limits.pids.filter(positive).or(service.pids_limit).filter(|it| *it != 0),
        ulimits: non_empty(ulimits(service)),
        ..service.blkio_config.as_deref().map(blkio).unwrap_or_default()
    }
}

fn blkio(config: &BlkioConfig) -> HostConfig {
    let rates = |rates: &[DeviceRate]| {
        let rate =
            |it: &DeviceRate| ThrottleDevice { path: Some(it.path.clone()), rate: Some(it.rate) };
        non_empty(rates.iter().map(rate).collect())
    };
    let weight = |it: &DeviceWeight| ResourcesBlkioWeightDevice {
        path: Some(it.path.clone()),
        weight: Some(usize::from(it.weight)),
    };
    HostConfig {
        blkio_weight: config.weight,
        blkio_weight_device: non_empty(config.weight_device.iter().map(weight).collect()),
        blkio_device_read_bps: rates(&config.device_read_bps),
        blkio_device_read_iops: rates(&config.device_read_iops),
        blkio_device_write_bps: rates(&config.device_write_bps),
        blkio_device_write_iops: rates(&config.device_write_iops),
        ..Default::default()
    }
}

/// Reserved devices, then devices with a name, then GPUs: docker compose's order.
fn device_requests(
    service: &Service,
    provided: &[&Device],
    reserved: &[DeviceRequest],
) -> Vec<ApiDeviceRequest> {
    let request = |it: &DeviceRequest, capabilities: Vec<String>| ApiDeviceRequest {
        driver: it.driver.clone(),
        count: it.count,
        device_ids: non_empty(it.device_ids.clone()),
        capabilities: Some(vec![capabilities]),
        options: non_empty_map(&it.options),
    };
    let mut requests: Vec<_> =
        reserved.iter().map(|it| request(it, it.capabilities.clone())).collect();
    if !provided.is_empty() {
        requests.push(ApiDeviceRequest {
            driver: Some(CDI.to_owned()),
            device_ids: Some(provided.iter().map(|it| it.source.clone()).collect()),
            ..Default::default()
        });
    }
    requests.extend(service.gpus.iter().map(|it| {
        let mut capabilities = it.capabilities.clone();
        capabilities.push(GPU.to_owned());
        request(it, capabilities)
    }));
    requests
}

fn cgroup_mode(word: &str) -> Option<HostConfigCgroupnsModeEnum> {
    match word {
        "host" => Some(HostConfigCgroupnsModeEnum::HOST),
        "private" => Some(HostConfigCgroupnsModeEnum::PRIVATE),
        _ => None,
    }
}

fn isolation(word: &str) -> Option<HostConfigIsolationEnum> {
    match word {
        "default" => Some(HostConfigIsolationEnum::DEFAULT),
        "process" => Some(HostConfigIsolationEnum::PROCESS),
        "hyperv" => Some(HostConfigIsolationEnum::HYPERV),
        _ => None,
    }
}

/// CPUs are single precision in compose-go; the product is taken in that precision, too.
#[expect(clippy::cast_possible_truncation, reason = "no host has 9e9 CPUs")]
fn nano_cpus(cpus: f32) -> i64 {
    (cpus * 1e9) as i64
}

#[expect(clippy::cast_possible_truncation, reason = "a percentage")]
fn hundredths(percent: f32) -> i64 {
    (percent * 100.0) as i64
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
            Some("any" | "always") => RestartPolicyNameEnum::ALWAYS,
            // The specification means `any`; docker compose sends the Engine no word, which is none.
            _ => RestartPolicyNameEnum::EMPTY,
        };
        let attempts = policy.max_attempts.and_then(|it| i64::try_from(it).ok());
        // The Engine refuses a count beside any other.
        let maximum_retry_count = attempts.filter(|_| name == RestartPolicyNameEnum::ON_FAILURE);
        return RestartPolicy { name: Some(name), maximum_retry_count };
    }
    restarts::parse(service.restart.as_deref().unwrap_or("no"))
}
