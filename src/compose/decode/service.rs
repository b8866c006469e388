//! One service: every key that the model has, and a clear refusal of every other.

use super::running::{depends_on, deploy, healthcheck, logging, pull_policy, restart, ulimits};
use super::surroundings::{env_files, environment, expose, extra_hosts, group_add, networks};
use super::{At, Decoder, mounts};
use crate::compose::model::Service;
use crate::compose::yaml::Span;

/// Keys of a service that the model has.
const KEYS: &[&str] = &[
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "command",
    "container_name",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "deploy",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "labels",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "working_dir",
];

/// Keys of a service in the Compose specification that the model does not have yet.
const LATER: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cgroup",
    "configs",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "credential_spec",
    "develop",
    "device_cgroup_rules",
    "extends",
    "external_links",
    "gpus",
    "isolation",
    "label_file",
    "links",
    "mac_address",
    "mem_swappiness",
    "models",
    "post_start",
    "pre_start",
    "pre_stop",
    "provider",
    "pull_refresh_after",
    "secrets",
    "storage_opt",
    "use_api_socket",
    "volumes_from",
];

/// A service whose `env_file`s are not read yet.
#[derive(Debug)]
pub struct Draft {
    /// The service.
    pub service: Service,
    /// Its `env_file`s, in order.
    pub env_files: Vec<EnvFile>,
}

/// One `env_file`.
#[derive(Clone, Debug)]
pub struct EnvFile {
    /// As written.
    pub path: String,
    /// A missing file is an error.
    pub required: bool,
    /// `format: raw`.
    pub raw: bool,
    /// Where it is named.
    pub span: Span,
}

/// Reads a service; keys that are not supported yet are refused only where it is `enabled`.
pub fn service(decoder: &mut Decoder, at: At<'_>, name: &str, enabled: bool) -> Draft {
    let mut draft = Draft {
        service: Service { name: name.to_owned(), ..Service::default() },
        env_files: Vec::new(),
    };
    let draft_service = &mut draft.service;
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "depends_on" => draft_service.depends_on = depends_on(decoder, field),
            "deploy" => draft_service.deploy = deploy(decoder, field),
            "devices" => draft_service.devices = mounts::devices(decoder, field),
            "env_file" => draft.env_files = env_files(decoder, field),
            "environment" => draft_service.environment = environment(decoder, field),
            "expose" => draft_service.expose = expose(decoder, field),
            "extra_hosts" => draft_service.extra_hosts = extra_hosts(decoder, field),
            "group_add" => draft_service.group_add = group_add(decoder, field),
            "healthcheck" => draft_service.healthcheck = Some(healthcheck(decoder, field)),
            "logging" => draft_service.logging = Some(logging(decoder, field)),
            "networks" => draft_service.networks = networks(decoder, field),
            "ports" => draft_service.ports = mounts::ports(decoder, field),
            "pull_policy" => draft_service.pull_policy = pull_policy(decoder, field),
            "restart" => draft_service.restart = restart(decoder, field),
            "ulimits" => draft_service.ulimits = ulimits(decoder, field),
            "volumes" => draft_service.volumes = mounts::mounts(decoder, field),
            known if is_list(known) => list(decoder, field, known, draft_service),
            known if is_number(known) => number(decoder, field, known, draft_service),
            known if KEYS.contains(&known) => scalar(decoder, field, known, draft_service),
            later if LATER.contains(&later) && !enabled => {}
            _ => decoder.unknown(at, key, KEYS, LATER),
        }
    }
    draft
}

fn is_list(key: &str) -> bool {
    matches!(
        key,
        "cap_add"
            | "cap_drop"
            | "dns"
            | "dns_opt"
            | "dns_search"
            | "profiles"
            | "security_opt"
            | "tmpfs"
            | "command"
            | "entrypoint"
            | "labels"
            | "sysctls"
    )
}

fn list(decoder: &mut Decoder, at: At<'_>, key: &str, service: &mut Service) {
    match key {
        "cap_add" => service.cap_add = decoder.unique_strings(at),
        "cap_drop" => service.cap_drop = decoder.unique_strings(at),
        "dns" => {
            service.dns = decoder.string_or_strings(at);
            service.dns.retain(|server| !server.is_empty());
        }
        "dns_opt" => service.dns_opt = decoder.unique_strings(at),
        "dns_search" => service.dns_search = decoder.string_or_strings(at),
        "profiles" => service.profiles = decoder.unique_strings(at),
        "security_opt" => {
            let options = decoder.strings(at);
            service.security_opt = decoder.distinct(at, options);
        }
        "tmpfs" => service.tmpfs = decoder.string_or_strings(at),
        "command" => service.command = decoder.command(at),
        "entrypoint" => service.entrypoint = decoder.command(at),
        "labels" => service.labels = decoder.labels(at),
        _ => service.sysctls = decoder.labels(at),
    }
}

fn is_number(key: &str) -> bool {
    matches!(
        key,
        "cpus"
            | "cpu_shares"
            | "mem_limit"
            | "mem_reservation"
            | "memswap_limit"
            | "shm_size"
            | "oom_score_adj"
            | "pids_limit"
            | "scale"
            | "stop_grace_period"
    )
}

fn number(decoder: &mut Decoder, at: At<'_>, key: &str, service: &mut Service) {
    // Zero is how compose says "unset" for all of these but `scale`.
    let set = |value: &i64| *value != 0;
    match key {
        "cpus" => service.cpus = decoder.cpus(at),
        "cpu_shares" => service.cpu_shares = decoder.integer(at).filter(set),
        "mem_limit" => service.mem_limit = decoder.bytes(at).filter(set),
        "mem_reservation" => service.mem_reservation = decoder.bytes(at).filter(set),
        // What `config` prints for "unlimited" must read back.
        "memswap_limit" if at.node.as_str() == Some("-1") => service.memswap_limit = Some(-1),
        "memswap_limit" => service.memswap_limit = decoder.bytes(at).filter(set),
        "shm_size" => service.shm_size = decoder.bytes(at).filter(set),
        "oom_score_adj" => {
            let value = decoder.integer(at);
            if let Some(value) = value.filter(|value| !(-1000..=1000).contains(value)) {
                decoder.refuse(at, format!("is {value}: expected a number from -1000 to 1000"));
            }
            service.oom_score_adj = value.filter(set);
        }
        "pids_limit" => service.pids_limit = decoder.integer(at).filter(set),
        "scale" => service.scale = decoder.integer_within(at, "a number of containers"),
        _ => service.stop_grace_period = decoder.duration(at),
    }
}

fn scalar(decoder: &mut Decoder, at: At<'_>, key: &str, service: &mut Service) {
    match key {
        "cgroup_parent" => service.cgroup_parent = decoder.text(at),
        "container_name" => service.container_name = container_name(decoder, at),
        "cpuset" => service.cpuset = decoder.text(at),
        "domainname" => service.domainname = decoder.text(at),
        "hostname" => service.hostname = decoder.text(at),
        "image" => service.image = decoder.string(at).unwrap_or_default(),
        "init" => service.init = decoder.boolean(at),
        "ipc" => service.ipc = decoder.text(at),
        "network_mode" => service.network_mode = decoder.text(at),
        "oom_kill_disable" => service.oom_kill_disable = decoder.boolean(at),
        "pid" => service.pid = if at.node.is_null() { None } else { decoder.text(at) },
        "platform" => service.platform = decoder.text(at),
        "privileged" => service.privileged = decoder.boolean(at).unwrap_or_default(),
        "read_only" => service.read_only = decoder.boolean(at).unwrap_or_default(),
        "runtime" => service.runtime = decoder.text(at),
        "stdin_open" => service.stdin_open = decoder.boolean(at).unwrap_or_default(),
        "stop_signal" => service.stop_signal = decoder.text(at),
        "tty" => service.tty = decoder.boolean(at).unwrap_or_default(),
        "user" => service.user = decoder.text(at),
        "userns_mode" => service.userns_mode = decoder.text(at),
        "uts" => service.uts = decoder.text(at),
        _ => service.working_dir = decoder.text(at),
    }
}

fn container_name(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    let name = decoder.string(at)?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.len() < 2 || !starts || !name.chars().all(rest) {
        decoder.refuse(
            at,
            format!(
                "is `{name}`: expected two or more letters, digits, `_`, `.`, `-`, first a letter \
                 or digit"
            ),
        );
        return None;
    }
    Some(name)
}

/// A path without `.`, `..`, doubled and trailing slashes, as Go's `path.Clean` makes it.
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if matches!(parts.last(), Some(last) if *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths_as_go_does() {
        for (path, expected) in [
            ("/a/", "/a"),
            ("/a/../z", "/z"),
            ("/..", "/"),
            ("a//b/./c", "a/b/c"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            (".", "."),
            ("", "."),
        ] {
            assert_eq!(clean_path(path), expected, "{path}");
        }
    }
}
