//! One service: every key that the model has, and a clear refusal of every other.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};

use super::{At, Decoder, mounts};
use crate::compose::model::{
    Condition, Dependency, Deploy, Healthcheck, Logging, PullPolicy, Resources, RestartPolicy,
    Service, ServiceNetwork, Ulimit,
};
use crate::compose::shortforms;
use crate::compose::yaml::{Span, Value};

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

const DEPLOY_KEYS: &[&str] = &["mode", "replicas", "labels", "resources", "restart_policy"];
const DEPLOY_LATER: &[&str] = &["update_config", "rollback_config", "placement", "endpoint_mode"];
const RESOURCE_KEYS: &[&str] = &["cpus", "memory", "pids"];
const RESOURCE_LATER: &[&str] = &["devices", "generic_resources"];
const RESTART_KEYS: &[&str] = &["condition", "delay", "max_attempts", "window"];
const DEPENDENCY_KEYS: &[&str] = &["condition", "restart", "required"];
const ENV_FILE_KEYS: &[&str] = &["path", "required", "format"];
const HEALTH_KEYS: &[&str] =
    &["test", "timeout", "interval", "retries", "start_period", "start_interval", "disable"];
const LOGGING_KEYS: &[&str] = &["driver", "options"];
const NETWORK_KEYS: &[&str] = &[
    "aliases",
    "driver_opts",
    "ipv4_address",
    "ipv6_address",
    "link_local_ips",
    "mac_address",
    "priority",
];
const NETWORK_LATER: &[&str] = &["interface_name", "gw_priority"];
const ULIMIT_KEYS: &[&str] = &["soft", "hard"];

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

fn depends_on(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Dependency> {
    let started = || Dependency { condition: Condition::Started, restart: false, required: true };
    let mut dependencies = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(_) => {
            dependencies
                .extend(decoder.unique_strings(at).into_iter().map(|name| (name, started())));
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let dependency = dependency(decoder, at.key(key, node), started());
                dependencies.insert(key.name.clone(), dependency);
            }
        }
        _ => decoder.wrong(at, "a list of services or a mapping"),
    }
    dependencies
}

fn dependency(decoder: &mut Decoder, at: At<'_>, mut dependency: Dependency) -> Dependency {
    let words: [(&str, Condition); 3] =
        [Condition::Started, Condition::Healthy, Condition::CompletedSuccessfully]
            .map(|condition| (condition.as_str(), condition));
    let entries = decoder.mapping(at);
    for (key, node) in entries {
        let field = at.key(key, node);
        match key.name.as_str() {
            "condition" => {
                let word = decoder.word(field, &words.map(|(word, _)| word));
                let found = words.iter().find(|(known, _)| word.as_deref() == Some(known));
                dependency.condition =
                    found.map_or(Condition::Started, |(_, condition)| *condition);
            }
            "restart" => dependency.restart = decoder.boolean(field).unwrap_or_default(),
            "required" => dependency.required = decoder.boolean(field).unwrap_or(true),
            _ => decoder.unknown(at, key, DEPENDENCY_KEYS, &[]),
        }
    }
    if at.node.as_mapping().is_some() && at.node.get("condition").is_none() {
        decoder.refuse(at, "has no `condition`: expected e.g. `service_started`");
    }
    dependency
}

fn deploy(decoder: &mut Decoder, at: At<'_>) -> Option<Deploy> {
    if at.node.is_null() {
        return None;
    }
    let mut deploy = Deploy::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "mode" => deploy.mode = decoder.word(field, &["replicated", "global"]),
            "replicas" => {
                deploy.replicas = decoder.integer_within(field, "a number of containers");
            }
            "labels" => deploy.labels = decoder.labels(field),
            "resources" => {
                for (key, node) in decoder.mapping(field) {
                    let side = field.key(key, node);
                    match key.name.as_str() {
                        "limits" => deploy.limits = Some(resources(decoder, side)),
                        "reservations" => deploy.reservations = Some(resources(decoder, side)),
                        _ => decoder.unknown(field, key, &["limits", "reservations"], &[]),
                    }
                }
            }
            "restart_policy" => deploy.restart_policy = Some(restart_policy(decoder, field)),
            _ => decoder.unknown(at, key, DEPLOY_KEYS, DEPLOY_LATER),
        }
    }
    Some(deploy)
}

fn resources(decoder: &mut Decoder, at: At<'_>) -> Resources {
    let mut resources = Resources::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "cpus" => resources.cpus = decoder.cpus(field),
            "memory" => resources.memory = decoder.bytes(field).filter(|bytes| *bytes != 0),
            "pids" => resources.pids = decoder.integer(field).filter(|pids| *pids != 0),
            _ => decoder.unknown(at, key, RESOURCE_KEYS, RESOURCE_LATER),
        }
    }
    resources
}

fn restart_policy(decoder: &mut Decoder, at: At<'_>) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "condition" => {
                policy.condition = decoder.word(field, &["none", "on-failure", "any"]);
            }
            "delay" => policy.delay = decoder.duration(field),
            "max_attempts" => {
                policy.max_attempts = decoder.integer_within(field, "a number of attempts");
            }
            "window" => policy.window = decoder.duration(field),
            _ => decoder.unknown(at, key, RESTART_KEYS, &[]),
        }
    }
    policy
}

fn env_files(decoder: &mut Decoder, at: At<'_>) -> Vec<EnvFile> {
    let plain = |path: &str, at: At<'_>| EnvFile {
        path: path.to_owned(),
        required: true,
        raw: false,
        span: at.node.span.clone(),
    };
    let mut files = IndexMap::new();
    let items = match &at.node.value {
        Value::String(path) => return vec![plain(path, at)],
        Value::Sequence(items) => items,
        _ => {
            decoder.wrong(at, "a string or a list of files");
            return Vec::new();
        }
    };
    for (index, item) in items.iter().enumerate() {
        let at = at.item(index, item);
        let file = match &item.value {
            Value::String(path) => plain(path, at),
            Value::Mapping(_) => long_env_file(decoder, at, plain("", at)),
            _ => {
                decoder.wrong(at, "a string, or a mapping with `path`");
                continue;
            }
        };
        files.insert(file.path.clone(), file);
    }
    files.into_values().collect()
}

fn long_env_file(decoder: &mut Decoder, at: At<'_>, mut file: EnvFile) -> EnvFile {
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "path" => file.path = decoder.string(field).unwrap_or_default(),
            "required" => file.required = decoder.boolean(field).unwrap_or(true),
            "format" => file.raw = decoder.word(field, &["raw"]).is_some(),
            _ => decoder.unknown(at, key, ENV_FILE_KEYS, &[]),
        }
    }
    if at.node.get("path").is_none() {
        decoder.refuse(at, "has no `path`");
    }
    file
}

fn environment(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Option<String>> {
    let is_list = at.node.as_sequence().is_some();
    let values = decoder.key_values(at);
    for name in values.keys().filter(|name| is_list && name.ends_with(char::is_whitespace)) {
        decoder.refuse(at, format!("names the variable `{name}` with a trailing space"));
    }
    values
}

fn expose(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    let mut ports = IndexSet::new();
    for (index, item) in decoder.sequence(at).iter().enumerate() {
        let at = at.item(index, item);
        let Some(port) = decoder.string_or_number(at) else { continue };
        if let Err(message) = shortforms::ports(&port) {
            decoder.refuse(at, format!("has a wrong value: {message}"));
        }
        ports.insert(port);
    }
    ports.into_iter().collect()
}

fn extra_hosts(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Vec<String>> {
    let mut hosts: BTreeMap<String, IndexSet<String>> = BTreeMap::new();
    let mut add = |host: String, address: String| {
        hosts.entry(host).or_default().insert(address);
    };
    match &at.node.value {
        Value::Sequence(_) => {
            for text in decoder.strings(at) {
                match shortforms::extra_host(&text) {
                    Ok((host, address)) => add(host, address),
                    Err(message) => decoder.refuse(at, format!("has a wrong value: {message}")),
                }
            }
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                for address in decoder.string_or_strings(at.key(key, node)) {
                    add(key.name.clone(), shortforms::bare_address(&address).to_owned());
                }
            }
        }
        _ => decoder.wrong(at, "a mapping or a list of `host=ip`"),
    }
    hosts.into_iter().map(|(host, addresses)| (host, addresses.into_iter().collect())).collect()
}

fn group_add(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    let items = decoder.sequence(at);
    let groups = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| decoder.string_or_number(at.item(index, item)));
    let groups = groups.collect();
    decoder.distinct(at, groups)
}

fn healthcheck(decoder: &mut Decoder, at: At<'_>) -> Healthcheck {
    let mut healthcheck = Healthcheck::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "test" => healthcheck.test = health_test(decoder, field),
            "timeout" => healthcheck.timeout = decoder.duration(field),
            "interval" => healthcheck.interval = decoder.duration(field),
            "retries" => {
                healthcheck.retries = decoder.integer_within(field, "a number of attempts");
            }
            "start_period" => healthcheck.start_period = decoder.duration(field),
            "start_interval" => healthcheck.start_interval = decoder.duration(field),
            "disable" => healthcheck.disable = decoder.boolean(field).unwrap_or_default(),
            _ => decoder.unknown(at, key, HEALTH_KEYS, &[]),
        }
    }
    healthcheck
}

fn health_test(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    match &at.node.value {
        Value::Null => Vec::new(),
        Value::String(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
        Value::Sequence(_) => {
            let test = decoder.strings(at);
            let known = |word: &String| matches!(word.as_str(), "CMD" | "CMD-SHELL" | "NONE");
            if let Some(first) = test.first().filter(|first| !known(first)) {
                decoder.refuse(
                    at,
                    format!("starts with `{first}`: expected `CMD`, `CMD-SHELL` or `NONE`"),
                );
            }
            test
        }
        _ => {
            decoder.wrong(at, "a string or a list of strings");
            Vec::new()
        }
    }
}

fn logging(decoder: &mut Decoder, at: At<'_>) -> Logging {
    let mut logging = Logging::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "driver" => logging.driver = decoder.text(field),
            "options" => logging.options = decoder.options(field),
            _ => decoder.unknown(at, key, LOGGING_KEYS, &[]),
        }
    }
    logging
}

fn networks(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Option<ServiceNetwork>> {
    let mut networks = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(_) => {
            networks.extend(decoder.unique_strings(at).into_iter().map(|name| (name, None)));
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let attachment = (!node.is_null()).then(|| attachment(decoder, at.key(key, node)));
                networks.insert(key.name.clone(), attachment);
            }
        }
        _ => decoder.wrong(at, "a list of networks or a mapping"),
    }
    networks
}

fn attachment(decoder: &mut Decoder, at: At<'_>) -> ServiceNetwork {
    let mut network = ServiceNetwork::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "aliases" => network.aliases = decoder.unique_strings(field),
            "driver_opts" => network.driver_opts = decoder.options(field),
            "ipv4_address" => network.ipv4_address = decoder.text(field),
            "ipv6_address" => network.ipv6_address = decoder.text(field),
            "link_local_ips" => network.link_local_ips = decoder.unique_strings(field),
            "mac_address" => network.mac_address = decoder.text(field),
            "priority" => network.priority = decoder.integer(field),
            _ => decoder.unknown(at, key, NETWORK_KEYS, NETWORK_LATER),
        }
    }
    network
}

fn pull_policy(decoder: &mut Decoder, at: At<'_>) -> PullPolicy {
    let text = at.node.as_str().unwrap_or_default();
    let timed = matches!(text, "build" | "refresh" | "daily" | "weekly");
    if timed || text.starts_with("every_") {
        decoder.refuse(at, format!("is `{text}`, which is not supported yet"));
        return PullPolicy::Missing;
    }
    match decoder.word(at, &["always", "never", "missing", "if_not_present"]).as_deref() {
        Some("always") => PullPolicy::Always,
        Some("never") => PullPolicy::Never,
        Some(_) | None => PullPolicy::Missing,
    }
}

fn restart(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    let text = decoder.text(at)?;
    let attempts = text.strip_prefix("on-failure:");
    let counted = attempts.is_some_and(|attempts| attempts.parse::<u32>().is_ok());
    if counted || matches!(text.as_str(), "no" | "always" | "on-failure" | "unless-stopped") {
        return Some(text);
    }
    decoder.refuse(
        at,
        format!(
            "is `{text}`: expected `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`"
        ),
    );
    None
}

fn ulimits(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Ulimit> {
    let mut ulimits = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        let ulimit = match &node.value {
            Value::Mapping(_) => ulimit(decoder, field),
            _ => decoder.integer(field).map(|limit| Ulimit {
                single: true,
                soft: limit,
                hard: limit,
            }),
        };
        ulimits.extend(ulimit.map(|ulimit| (key.name.clone(), ulimit)));
    }
    ulimits
}

fn ulimit(decoder: &mut Decoder, at: At<'_>) -> Option<Ulimit> {
    let (mut soft, mut hard) = (None, None);
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "soft" => soft = Some(decoder.integer(field)?),
            "hard" => hard = Some(decoder.integer(field)?),
            _ => decoder.unknown(at, key, ULIMIT_KEYS, &[]),
        }
    }
    let (Some(soft), Some(hard)) = (soft, hard) else {
        decoder.refuse(at, "needs both `soft` and `hard`");
        return None;
    };
    Some(Ulimit { single: false, soft, hard })
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
