//! One service: every key that the model has, and a clear refusal of every other.

use super::running::{depends_on, healthcheck, logging, pull_policy, restart, ulimits};
use super::surroundings::{env_files, expose, extra_hosts, group_add, networks};
use super::{At, Decoder, build, deploy, devices, files, hooks, keys, mounts};
use crate::compose::model::Service;
use crate::compose::yaml::{Key, Node, Span, Value};

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

/// Reads a service; keys that are refused on purpose are so only where it is `enabled`.
pub fn service(decoder: &mut Decoder, at: At<'_>, name: &str, enabled: bool) -> Draft {
    let mut draft = Draft {
        service: Service { name: name.to_owned(), ..Service::default() },
        env_files: Vec::new(),
    };
    // Zero is how compose says "unset".
    let set = |value: &i64| *value != 0;
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        let service = &mut draft.service;
        match key.name.as_str() {
            // The schema takes any options.
            "storage_opt" if decoder.kinds_only => {
                decoder.mapping(field);
            }
            "annotations" => service.annotations = decoder.labels(field),
            "attach" => service.attach = decoder.boolean(field),
            "blkio_config" => service.blkio_config = Some(devices::blkio(decoder, field).into()),
            "build" => service.build = Some(build::build(decoder, field).into()),
            "cap_add" => service.cap_add = decoder.keyed_strings(field),
            "cap_drop" => service.cap_drop = decoder.keyed_strings(field),
            "cgroup" => service.cgroup = decoder.word(field, &["host", "private"]),
            "cgroup_parent" => service.cgroup_parent = decoder.text(field),
            "command" => service.command = decoder.command(field),
            "configs" => service.configs = files::references(decoder, field, ""),
            "container_name" => service.container_name = container_name(decoder, field),
            "cpu_count" => service.cpu_count = cpu_count(decoder, field),
            "cpu_percent" => service.cpu_percent = cpu_percent(decoder, field),
            "cpu_period" => service.cpu_period = decoder.number(field).filter(set),
            "cpu_quota" => service.cpu_quota = decoder.number(field).filter(set),
            "cpu_rt_period" => service.cpu_rt_period = decoder.number(field).filter(set),
            "cpu_rt_runtime" => service.cpu_rt_runtime = decoder.number(field).filter(set),
            "cpu_shares" => service.cpu_shares = decoder.number(field).filter(set),
            "cpus" => service.cpus = decoder.cpus(field),
            "cpuset" => service.cpuset = decoder.text(field),
            "credential_spec" => {
                service.credential_spec = Some(files::credential_spec(decoder, field));
            }
            "depends_on" => service.depends_on = depends_on(decoder, field),
            "deploy" => service.deploy = deploy::deploy(decoder, field).map(Box::new),
            "develop" => service.develop = hooks::develop(decoder, field),
            "device_cgroup_rules" => service.device_cgroup_rules = decoder.distinct_strings(field),
            "devices" => service.devices = devices::devices(decoder, field),
            "dns" => service.dns = dns(decoder, field),
            "dns_opt" => service.dns_opt = decoder.keyed_strings(field),
            "dns_search" => service.dns_search = decoder.string_or_keyed(field),
            "domainname" => service.domainname = decoder.text(field),
            "entrypoint" => service.entrypoint = decoder.command(field),
            "env_file" => draft.env_files = env_files(decoder, field),
            "environment" => service.environment = decoder.variables(field),
            "expose" => service.expose = expose(decoder, field),
            "external_links" => service.external_links = decoder.distinct_strings(field),
            "extra_hosts" => service.extra_hosts = extra_hosts(decoder, field),
            "gpus" => service.gpus = devices::gpus(decoder, field),
            "group_add" => service.group_add = group_add(decoder, field),
            "healthcheck" => service.healthcheck = Some(healthcheck(decoder, field).into()),
            "hostname" => service.hostname = decoder.text(field),
            "image" => service.image = decoder.string(field).unwrap_or_default(),
            "init" => service.init = decoder.boolean(field),
            "ipc" => service.ipc = decoder.text(field),
            "isolation" => service.isolation = decoder.text(field),
            "label_file" => service.label_files = decoder.string_or_strings(field),
            "labels" => service.labels = decoder.labels(field),
            "links" => service.links = decoder.keyed_strings(field),
            "logging" => service.logging = Some(logging(decoder, field)),
            "mac_address" => service.mac_address = decoder.text(field),
            "mem_limit" => service.mem_limit = decoder.bytes(field).filter(set),
            "mem_reservation" => service.mem_reservation = decoder.whole_bytes(field).filter(set),
            "mem_swappiness" => service.mem_swappiness = decoder.whole_bytes(field).filter(set),
            "memswap_limit" => service.memswap_limit = memswap_limit(decoder, field),
            "network_mode" => service.network_mode = decoder.text(field),
            "networks" => service.networks = networks(decoder, field),
            "oom_kill_disable" => service.oom_kill_disable = decoder.boolean(field),
            "oom_score_adj" => service.oom_score_adj = oom_score_adj(decoder, field),
            "pid" => service.pid = if node.is_null() { None } else { decoder.text(field) },
            "pids_limit" => service.pids_limit = decoder.number(field).filter(set),
            "platform" => service.platform = decoder.text(field),
            "ports" => service.ports = mounts::ports(decoder, field),
            "post_start" => service.post_start = hooks::hooks(decoder, field, hooks::HOOK_KEYS),
            "pre_start" => service.pre_start = hooks::hooks(decoder, field, hooks::PRE_START_KEYS),
            "pre_stop" => service.pre_stop = hooks::hooks(decoder, field, hooks::HOOK_KEYS),
            "privileged" => service.privileged = decoder.flag(field),
            "profiles" => service.profiles = decoder.keyed_strings(field),
            "pull_policy" => service.pull_policy = pull_policy(decoder, field),
            "pull_refresh_after" => service.pull_refresh_after = decoder.text(field),
            "read_only" => service.read_only = decoder.flag(field),
            "restart" => service.restart = restart(decoder, field),
            "runtime" => service.runtime = decoder.text(field),
            "scale" => service.scale = decoder.integer_within(field, "a number of containers"),
            "secrets" => service.secrets = files::secrets(decoder, field),
            "security_opt" => service.security_opt = decoder.distinct_strings(field),
            "shm_size" => service.shm_size = decoder.bytes(field).filter(set),
            "stdin_open" => service.stdin_open = decoder.flag(field),
            "stop_grace_period" => service.stop_grace_period = decoder.duration(field),
            "stop_signal" => service.stop_signal = decoder.text(field),
            "storage_opt" => service.storage_opt = decoder.plain_options(field),
            "sysctls" => service.sysctls = decoder.labels(field),
            "tmpfs" => service.tmpfs = decoder.string_or_keyed(field),
            "tty" => service.tty = decoder.flag(field),
            "ulimits" => service.ulimits = ulimits(decoder, field),
            "user" => service.user = decoder.text(field),
            "userns_mode" => service.userns_mode = decoder.text(field),
            "uts" => service.uts = decoder.text(field),
            "volumes" => service.volumes = mounts::mounts(decoder, field),
            "volumes_from" => service.volumes_from = decoder.distinct_strings(field),
            "working_dir" => service.working_dir = decoder.text(field),
            // None of them is nothing that is not supported.
            "models" if is_empty(node) => {}
            "use_api_socket" if decoder.strict_boolean(field) != Some(true) => {}
            // The loader uses this key up; one that is left would change the service unseen.
            "extends" => decoder.refuse(field, "is not supported in this place"),
            other => refuse(decoder, at, key, other, enabled),
        }
    }
    draft
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(entries) => entries.is_empty(),
        _ => false,
    }
}

fn refuse(decoder: &mut Decoder, at: At<'_>, key: &Key, name: &str, enabled: bool) {
    if let Some(why) = keys::refusal(name) {
        if enabled {
            decoder.problems.push(key.span.problem(format!("`{at}.{name}` {why}")));
        }
    } else if let Some(now) = keys::successor(name) {
        let problem = key.span.problem(format!("`{at}.{name}` is a key of old Compose files"));
        decoder.problems.push(problem.with_hint(format!("write `{now}` instead")));
    } else {
        decoder.unknown(at, key, keys::SERVICE);
    }
}

fn dns(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    let mut servers = decoder.string_or_keyed(at);
    servers.retain(|server| !server.is_empty());
    servers
}

fn cpu_count(decoder: &mut Decoder, at: At<'_>) -> Option<i64> {
    let count = decoder.integer(at)?;
    if count < 0 {
        decoder.refuse_form(at, format!("is {count}: expected a number of CPUs"));
    }
    (count != 0).then_some(count)
}

fn cpu_percent(decoder: &mut Decoder, at: At<'_>) -> Option<f32> {
    if let Value::Int(percent) = at.node.value
        && percent < 0
    {
        decoder.refuse_form(at, format!("is {percent}: expected a percentage from 0 to 100"));
        return None;
    }
    let percent = decoder.single_float(at, "a percentage from 0 to 100")?;
    if percent > 100.0 || percent.fract() != 0.0 {
        decoder.refuse_form(at, format!("is {percent}: expected a whole percentage from 0 to 100"));
    }
    (percent != 0.0).then_some(percent)
}

fn memswap_limit(decoder: &mut Decoder, at: At<'_>) -> Option<i64> {
    // What `config` prints for "unlimited" must read back.
    if at.node.as_str() == Some("-1") {
        return Some(-1);
    }
    decoder.bytes(at).filter(|bytes| *bytes != 0)
}

fn oom_score_adj(decoder: &mut Decoder, at: At<'_>) -> Option<i64> {
    let value = decoder.integer(at)?;
    if !(-1000..=1000).contains(&value) {
        decoder.refuse_form(at, format!("is {value}: expected a number from -1000 to 1000"));
    }
    (value != 0).then_some(value)
}

fn container_name(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    let name = decoder.string(at)?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.len() < 2 || !starts || !name.chars().all(rest) {
        decoder.refuse_form(
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
    // Most paths are absolute and clean.
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    if path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_name)) {
        return path.to_owned();
    }
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
            ("/a/b", "/a/b"),
            ("/", "/"),
            ("/a/", "/a"),
            ("/a/.", "/a"),
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
