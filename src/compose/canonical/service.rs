//! A service, key by key in the order in which `docker compose` serialises them.

use std::collections::BTreeMap;

use super::Form;
use super::build::{build_json, develop_json, hook_json};
use super::deploy::deploy_json;
use super::mounts::{
    attachment_json, blkio_json, device_json, mount_json, port_json, reference_json, request_json,
};
use super::object::{Items, Json, Object};
use crate::compose::model::{CredentialSpec, Healthcheck, Logging, Service, Ulimit};

/// A service in a form: with everything, or as its hash sees it.
pub(in crate::compose) fn service_json(service: &Service, form: Form) -> Object {
    let shown = form == Form::Config;
    let dialect = form.dialect();
    let mut object = Object::new();
    if shown {
        object.list("profiles", &service.profiles);
    }
    object.map("annotations", &service.annotations);
    object.some("attach", service.attach);
    object.some("build", service.build.as_deref().filter(|_| shown).map(build_json));
    object.some("develop", service.develop.as_ref().map(develop_json));
    object.some("blkio_config", service.blkio_config.as_deref().map(blkio_json));
    object.list("cap_add", &service.cap_add);
    object.list("cap_drop", &service.cap_drop);
    object.text("cgroup_parent", service.cgroup_parent.as_ref());
    object.text("cgroup", service.cgroup.as_ref());
    object.number("cpu_count", service.cpu_count);
    object.float("cpu_percent", service.cpu_percent);
    object.number("cpu_period", service.cpu_period);
    object.number("cpu_quota", service.cpu_quota);
    object.number("cpu_rt_period", service.cpu_rt_period);
    object.number("cpu_rt_runtime", service.cpu_rt_runtime);
    object.float("cpus", service.cpus);
    object.text("cpuset", service.cpuset.as_ref());
    object.number("cpu_shares", service.cpu_shares);
    object.put("command", service.command.as_deref());
    object.values("configs", service.configs.iter().map(reference_json));
    object.text("container_name", service.container_name.as_ref());
    object.some("credential_spec", service.credential_spec.as_ref().map(credential_json));
    if shown {
        object.map("depends_on", dependencies(service));
    }
    object.some("deploy", service.deploy.as_ref().map(|deploy| deploy_json(deploy, shown)));
    object.list("device_cgroup_rules", &service.device_cgroup_rules);
    object.values("devices", service.devices.iter().map(device_json));
    object.list("dns", &service.dns);
    object.list("dns_opt", &service.dns_opt);
    object.list("dns_search", &service.dns_search);
    object.text("domainname", service.domainname.as_ref());
    object.put("entrypoint", service.entrypoint.as_deref());
    object.map("environment", service.environment.iter().map(|(k, v)| (k, v.as_ref())));
    object.list("expose", &service.expose);
    object.list("external_links", &service.external_links);
    object.some("extra_hosts", extra_hosts(&service.extra_hosts));
    object.list("group_add", &service.group_add);
    object.values("gpus", service.gpus.iter().map(request_json));
    object.text("hostname", service.hostname.as_ref());
    object.some("healthcheck", service.healthcheck.as_deref().map(healthcheck_json));
    object.text("image", Some(&service.image).filter(|_| !service.image_is_implied));
    object.some("init", service.init);
    object.text("ipc", service.ipc.as_ref());
    object.text("isolation", service.isolation.as_ref());
    object.map("labels", &service.labels);
    if !shown {
        // The hash of the label sees the files, too, though not that of `config --hash`.
        object.list("label_file", &service.label_files);
    }
    object.list("links", &service.links);
    object.some("logging", service.logging.as_ref().map(logging_json));
    object.bytes("mem_limit", service.mem_limit);
    object.bytes("mem_reservation", service.mem_reservation);
    object.bytes("memswap_limit", service.memswap_limit);
    object.bytes("mem_swappiness", service.mem_swappiness);
    object.text("mac_address", service.mac_address.as_ref());
    object.text("network_mode", service.network_mode.as_ref());
    let networks = service.networks.iter();
    object.map("networks", networks.map(|(k, it)| (k, it.as_ref().map(attachment_json))));
    object.flag("oom_kill_disable", service.oom_kill_disable.unwrap_or_default());
    object.number("oom_score_adj", service.oom_score_adj);
    object.text("pid", service.pid.as_ref());
    object.number("pids_limit", service.pids_limit);
    object.text("platform", service.platform.as_ref());
    object.values("ports", service.ports.iter().map(port_json));
    object.flag("privileged", service.privileged);
    if shown {
        object.some("pull_policy", service.pull_policy.text());
    }
    object.flag("read_only", service.read_only);
    object.text("restart", service.restart.as_ref());
    object.text("runtime", service.runtime.as_ref());
    object.some("scale", service.scale.filter(|_| shown));
    object.values("secrets", service.secrets.iter().map(reference_json));
    object.list("security_opt", &service.security_opt);
    object.bytes("shm_size", service.shm_size);
    object.flag("stdin_open", service.stdin_open);
    object.duration("stop_grace_period", service.stop_grace_period);
    object.text("stop_signal", service.stop_signal.as_ref());
    object.map("storage_opt", &service.storage_opt);
    object.map("sysctls", &service.sysctls);
    object.list("tmpfs", &service.tmpfs);
    object.flag("tty", service.tty);
    object.map("ulimits", ulimits(&service.ulimits));
    object.text("user", service.user.as_ref());
    object.text("userns_mode", service.userns_mode.as_ref());
    object.text("uts", service.uts.as_ref());
    object.values("volumes", service.volumes.iter().map(|mount| mount_json(mount, dialect)));
    object.list("volumes_from", &service.volumes_from);
    object.text("working_dir", service.working_dir.as_ref());
    object.values("pre_start", service.pre_start.iter().map(hook_json));
    object.values("post_start", service.post_start.iter().map(hook_json));
    object.values("pre_stop", service.pre_stop.iter().map(hook_json));
    object
}

fn dependencies(service: &Service) -> impl Iterator<Item = (&String, Object)> {
    service.depends_on.iter().map(|(name, dependency)| {
        let mut entry = Object::new();
        entry.put("condition", dependency.condition.as_str());
        entry.flag("restart", dependency.restart);
        entry.put("required", dependency.required);
        (name, entry)
    })
}

pub(super) fn ulimits(
    ulimits: &BTreeMap<String, Ulimit>,
) -> impl Iterator<Item = (&String, Limit)> {
    ulimits.iter().map(|(name, ulimit)| (name, Limit(*ulimit)))
}

/// A limit: a number where both sides are one.
pub(super) struct Limit(Ulimit);

impl Json for Limit {
    fn write(self, to: &mut String) {
        let Self(limit) = self;
        if limit.single && limit.soft != 0 {
            return limit.soft.write(to);
        }
        let mut object = Object::new();
        object.number("soft", Some(limit.soft));
        object.number("hard", Some(limit.hard));
        object.write(to);
    }
}

/// Hosts with their addresses; an empty list where no host has one.
pub(super) fn extra_hosts(
    hosts: &BTreeMap<String, Vec<String>>,
) -> Option<Items<impl Iterator<Item = String> + use<>>> {
    let mut lines: Vec<String> = hosts
        .iter()
        .flat_map(|(host, addresses)| addresses.iter().map(move |ip| format!("{host}={ip}")))
        .collect();
    lines.sort();
    (!hosts.is_empty()).then(|| Items(lines.into_iter()))
}

fn credential_json(spec: &CredentialSpec) -> Object {
    let mut object = Object::new();
    object.text("config", spec.config.as_ref());
    object.text("file", spec.file.as_ref());
    object.text("registry", spec.registry.as_ref());
    object
}

fn logging_json(logging: &Logging) -> Object {
    let mut object = Object::new();
    object.text("driver", logging.driver.as_ref());
    object.map("options", &logging.options);
    object
}

fn healthcheck_json(healthcheck: &Healthcheck) -> Object {
    let mut object = Object::new();
    object.list("test", &healthcheck.test);
    object.duration("timeout", healthcheck.timeout);
    object.duration("interval", healthcheck.interval);
    object.some("retries", healthcheck.retries);
    object.duration("start_period", healthcheck.start_period);
    object.duration("start_interval", healthcheck.start_interval);
    object.flag("disable", healthcheck.disable);
    object
}
