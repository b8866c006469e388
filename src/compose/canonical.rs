//! A project as `docker compose config` prints it: JSON with its key order and forms, and YAML.

use serde_json::{Map, Number, Value, json};

use super::model::{
    Deploy, Healthcheck, Ipam, Mount, MountKind, Network, Port, Project, Resources, RestartPolicy,
    Service, ServiceNetwork, Ulimit, Volume,
};
use super::scalar;
use super::units::duration_text;

/// Which compose release's forms to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 2.30 to 2.40.
    V2_40,
    /// From 5.0 on.
    #[default]
    V5,
}

/// What `docker compose config --format json` prints of it, `$` escaped as `$$`.
pub fn config_json(project: &Project) -> Value {
    let mut value = project_json(project);
    escape_values(&mut value);
    escape_keys(&mut value);
    value
}

fn project_json(project: &Project) -> Value {
    let mut root = Map::new();
    root.insert("name".to_owned(), json!(project.name));
    let networks = project.networks.iter();
    let networks: Map<_, _> =
        networks.map(|(key, network)| (key.clone(), network_json(network).into())).collect();
    if !networks.is_empty() {
        root.insert("networks".to_owned(), networks.into());
    }
    let services = project.services.iter();
    let services: Map<_, _> =
        services.map(|(key, service)| (key.clone(), full_service(service).into())).collect();
    root.insert("services".to_owned(), services.into());
    let volumes = project.volumes.iter();
    let volumes: Map<_, _> =
        volumes.map(|(key, volume)| (key.clone(), volume_json(volume).into())).collect();
    if !volumes.is_empty() {
        root.insert("volumes".to_owned(), volumes.into());
    }
    Value::Object(root)
}

/// The same as YAML, in the style of `docker compose config`; it reads back as the same project.
pub fn config_yaml(project: &Project) -> String {
    let mut value = project_json(project);
    // Keys are never interpolated, so escaped ones would read back as others.
    escape_values(&mut value);
    drop_unset(&mut value);
    super::emit::yaml(&value)
}

/// Removes what `docker compose` prints in JSON only.
fn drop_unset(value: &mut Value) {
    for service in value["services"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(service) = service.as_object_mut() else { continue };
        for key in ["command", "entrypoint"] {
            if service.get(key).is_some_and(Value::is_null) {
                service.shift_remove(key);
            }
        }
        // Compose leaves a limit of zero out, and could then not read its own text.
        for ulimit in
            service.get_mut("ulimits").and_then(Value::as_object_mut).into_iter().flatten()
        {
            match ulimit.1.as_object_mut() {
                Some(limits) if limits.is_empty() => *ulimit.1 = 0.into(),
                Some(limits) => {
                    for side in ["soft", "hard"] {
                        limits.entry(side).or_insert_with(|| 0.into());
                    }
                }
                None => {}
            }
        }
        if let Some(deploy) = service.get_mut("deploy").and_then(Value::as_object_mut) {
            deploy.retain(|_, part| part.as_object().is_none_or(|part| !part.is_empty()));
        }
    }
    for network in value["networks"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(network) = network.as_object_mut() {
            network.retain(|_, part| part.as_object().is_none_or(|part| !part.is_empty()));
        }
    }
}

fn escape_values(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(escape_values),
        Value::Object(entries) => entries.values_mut().for_each(escape_values),
        _ => {}
    }
}

/// `docker compose` escapes the whole text, keys too.
fn escape_keys(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(escape_keys),
        Value::Object(entries) => {
            entries.values_mut().for_each(escape_keys);
            if entries.keys().any(|key| key.contains('$')) {
                let escaped = std::mem::take(entries).into_iter();
                *entries = escaped.map(|(key, value)| (key.replace('$', "$$"), value)).collect();
            }
        }
        _ => {}
    }
}

/// An object under construction: what is unset is left out.
struct Object(Map<String, Value>);

impl Object {
    fn new() -> Self {
        Self(Map::new())
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.filter(|text| !text.is_empty()).cloned());
    }

    fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            self.put(key, items.to_vec());
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, true);
        }
    }

    fn bytes(&mut self, key: &str, value: Option<i64>) {
        self.some(key, value.filter(|bytes| *bytes != 0).map(|bytes| bytes.to_string()));
    }

    fn map<'a, V: Into<Value>>(
        &mut self,
        key: &str,
        entries: impl IntoIterator<Item = (&'a String, V)>,
    ) {
        let entries: Map<_, _> =
            entries.into_iter().map(|(name, value)| (name.clone(), value.into())).collect();
        if !entries.is_empty() {
            self.put(key, entries);
        }
    }
}

/// A service with everything `config` shows.
fn full_service(service: &Service) -> Map<String, Value> {
    let mut object = Object::new();
    object.list("profiles", &service.profiles);
    object.0.extend(service_json(service, Dialect::V2_40));
    let shown = &mut object.0;
    if !service.depends_on.is_empty() {
        let entries = service.depends_on.iter().map(|(name, dependency)| {
            let mut entry = Object::new();
            entry.put("condition", dependency.condition.as_str());
            entry.flag("restart", dependency.restart);
            entry.put("required", dependency.required);
            (name.clone(), Value::Object(entry.0))
        });
        let entries: Map<_, _> = entries.collect();
        insert_before(shown, "depends_on", entries.into(), after_depends_on);
    }
    if let Some(replicas) = service.deploy.as_ref().and_then(|deploy| deploy.replicas)
        && let Some(deploy) = shown.get_mut("deploy").and_then(Value::as_object_mut)
    {
        insert_before(deploy, "replicas", replicas.into(), |key| key != "mode");
    }
    if let Some(policy) = service.pull_policy.text() {
        insert_before(shown, "pull_policy", policy.into(), after_pull_policy);
    }
    if let Some(scale) = service.scale {
        insert_before(shown, "scale", scale.into(), after_scale);
    }
    object.0
}

/// Keys that stand behind `depends_on`.
fn after_depends_on(key: &str) -> bool {
    !matches!(
        key,
        "profiles"
            | "cap_add"
            | "cap_drop"
            | "cgroup_parent"
            | "cpus"
            | "cpuset"
            | "cpu_shares"
            | "command"
            | "container_name"
    )
}

fn after_pull_policy(key: &str) -> bool {
    matches!(key, "read_only" | "restart" | "runtime") || after_scale(key)
}

fn after_scale(key: &str) -> bool {
    matches!(
        key,
        "security_opt"
            | "shm_size"
            | "stdin_open"
            | "stop_grace_period"
            | "stop_signal"
            | "sysctls"
            | "tmpfs"
            | "tty"
            | "ulimits"
            | "user"
            | "userns_mode"
            | "uts"
            | "volumes"
            | "working_dir"
    )
}

fn insert_before(
    map: &mut Map<String, Value>,
    key: &str,
    value: Value,
    behind: impl Fn(&str) -> bool,
) {
    let at = map.keys().position(|key| behind(key)).unwrap_or(map.len());
    map.shift_insert(at, key.to_owned(), value);
}

/// A service as its configuration hash sees it.
pub(super) fn service_json(service: &Service, dialect: Dialect) -> Map<String, Value> {
    let mut object = Object::new();
    object.list("cap_add", &service.cap_add);
    object.list("cap_drop", &service.cap_drop);
    object.text("cgroup_parent", service.cgroup_parent.as_ref());
    object.some("cpus", service.cpus.map(float));
    object.text("cpuset", service.cpuset.as_ref());
    object.some("cpu_shares", service.cpu_shares);
    object.put("command", service.command.clone());
    object.text("container_name", service.container_name.as_ref());
    object.some("deploy", service.deploy.as_ref().map(deploy_json));
    let devices = service.devices.iter().map(|device| {
        let mut entry = Object::new();
        entry.text("source", Some(&device.source));
        entry.text("target", Some(&device.target));
        entry.text("permissions", Some(&device.permissions));
        Value::Object(entry.0)
    });
    some_list(&mut object, "devices", devices.collect());
    object.list("dns", &service.dns);
    object.list("dns_opt", &service.dns_opt);
    object.list("dns_search", &service.dns_search);
    object.text("domainname", service.domainname.as_ref());
    object.put("entrypoint", service.entrypoint.clone());
    object.map("environment", service.environment.iter().map(|(k, v)| (k, v.clone())));
    object.list("expose", &service.expose);
    object.list("extra_hosts", &extra_hosts(service));
    object.list("group_add", &service.group_add);
    object.text("hostname", service.hostname.as_ref());
    object.some("healthcheck", service.healthcheck.as_ref().map(healthcheck_json));
    object.text("image", Some(&service.image));
    object.some("init", service.init);
    object.text("ipc", service.ipc.as_ref());
    object.map("labels", service.labels.iter().map(|(k, v)| (k, v.clone())));
    if let Some(logging) = &service.logging {
        let mut entry = Object::new();
        entry.text("driver", logging.driver.as_ref());
        entry.map("options", logging.options.iter().map(|(k, v)| (k, v.clone())));
        object.put("logging", entry.0);
    }
    object.bytes("mem_limit", service.mem_limit);
    object.bytes("mem_reservation", service.mem_reservation);
    object.bytes("memswap_limit", service.memswap_limit);
    object.text("network_mode", service.network_mode.as_ref());
    let networks = service.networks.iter();
    let networks = networks.map(|(k, network)| (k, network.as_ref().map(attachment_json)));
    object.map("networks", networks);
    object.flag("oom_kill_disable", service.oom_kill_disable.unwrap_or_default());
    object.some("oom_score_adj", service.oom_score_adj);
    object.text("pid", service.pid.as_ref());
    object.some("pids_limit", service.pids_limit);
    object.text("platform", service.platform.as_ref());
    some_list(&mut object, "ports", service.ports.iter().map(port_json).collect());
    object.flag("privileged", service.privileged);
    object.flag("read_only", service.read_only);
    object.text("restart", service.restart.as_ref());
    object.text("runtime", service.runtime.as_ref());
    object.list("security_opt", &service.security_opt);
    object.bytes("shm_size", service.shm_size);
    object.flag("stdin_open", service.stdin_open);
    object.some("stop_grace_period", service.stop_grace_period.map(duration_text));
    object.text("stop_signal", service.stop_signal.as_ref());
    object.map("sysctls", service.sysctls.iter().map(|(k, v)| (k, v.clone())));
    object.list("tmpfs", &service.tmpfs);
    object.flag("tty", service.tty);
    object.map("ulimits", service.ulimits.iter().map(|(k, v)| (k, ulimit_json(*v))));
    object.text("user", service.user.as_ref());
    object.text("userns_mode", service.userns_mode.as_ref());
    object.text("uts", service.uts.as_ref());
    let volumes = service.volumes.iter().map(|mount| mount_json(mount, dialect));
    some_list(&mut object, "volumes", volumes.collect());
    object.text("working_dir", service.working_dir.as_ref());
    object.0
}

fn some_list(object: &mut Object, key: &str, items: Vec<Value>) {
    if !items.is_empty() {
        object.put(key, items);
    }
}

/// A single-precision number with the digits Go prints.
fn float(value: f32) -> Value {
    let text = scalar::float32_json(value);
    match text.parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
    }
}

fn extra_hosts(service: &Service) -> Vec<String> {
    let hosts = service.extra_hosts.iter();
    let mut lines: Vec<String> = hosts
        .flat_map(|(host, addresses)| addresses.iter().map(move |ip| format!("{host}={ip}")))
        .collect();
    lines.sort();
    lines
}

fn deploy_json(deploy: &Deploy) -> Map<String, Value> {
    let mut object = Object::new();
    object.text("mode", deploy.mode.as_ref());
    object.map("labels", deploy.labels.iter().map(|(k, v)| (k, v.clone())));
    let mut resources = Object::new();
    resources.some("limits", deploy.limits.as_ref().map(resources_json));
    resources.some("reservations", deploy.reservations.as_ref().map(resources_json));
    object.put("resources", resources.0);
    object.some("restart_policy", deploy.restart_policy.as_ref().map(restart_policy_json));
    object.put("placement", Map::new());
    object.0
}

fn resources_json(resources: &Resources) -> Map<String, Value> {
    let mut object = Object::new();
    object.some("cpus", resources.cpus.map(float));
    object.bytes("memory", resources.memory);
    object.some("pids", resources.pids);
    object.0
}

fn restart_policy_json(policy: &RestartPolicy) -> Map<String, Value> {
    let mut object = Object::new();
    object.text("condition", policy.condition.as_ref());
    object.some("delay", policy.delay.map(duration_text));
    object.some("max_attempts", policy.max_attempts);
    object.some("window", policy.window.map(duration_text));
    object.0
}

fn healthcheck_json(healthcheck: &Healthcheck) -> Map<String, Value> {
    let mut object = Object::new();
    object.list("test", &healthcheck.test);
    object.some("timeout", healthcheck.timeout.map(duration_text));
    object.some("interval", healthcheck.interval.map(duration_text));
    object.some("retries", healthcheck.retries);
    object.some("start_period", healthcheck.start_period.map(duration_text));
    object.some("start_interval", healthcheck.start_interval.map(duration_text));
    object.flag("disable", healthcheck.disable);
    object.0
}

fn attachment_json(network: &ServiceNetwork) -> Map<String, Value> {
    let mut object = Object::new();
    object.list("aliases", &network.aliases);
    object.map("driver_opts", network.driver_opts.iter().map(|(k, v)| (k, v.clone())));
    object.text("ipv4_address", network.ipv4_address.as_ref());
    object.text("ipv6_address", network.ipv6_address.as_ref());
    object.list("link_local_ips", &network.link_local_ips);
    object.text("mac_address", network.mac_address.as_ref());
    object.some("priority", network.priority.filter(|priority| *priority != 0));
    object.0
}

fn port_json(port: &Port) -> Value {
    let mut object = Object::new();
    object.text("name", port.name.as_ref());
    object.text("mode", port.mode.as_ref());
    object.text("host_ip", port.host_ip.as_ref());
    object.some("target", (port.target != 0).then_some(port.target));
    object.text("published", port.published.as_ref());
    object.text("protocol", Some(&port.protocol));
    object.text("app_protocol", port.app_protocol.as_ref());
    Value::Object(object.0)
}

fn ulimit_json(ulimit: Ulimit) -> Value {
    let some = |limit: i64| (limit != 0).then_some(limit);
    if ulimit.single && ulimit.soft != 0 {
        return ulimit.soft.into();
    }
    let mut object = Object::new();
    object.some("soft", some(ulimit.soft));
    object.some("hard", some(ulimit.hard));
    Value::Object(object.0)
}

fn mount_json(mount: &Mount, dialect: Dialect) -> Value {
    let mut object = Object::new();
    object.put(
        "type",
        match mount.kind {
            MountKind::Bind { .. } => "bind",
            MountKind::Volume { .. } => "volume",
            MountKind::Tmpfs { .. } => "tmpfs",
            MountKind::Image { .. } => "image",
            MountKind::NamedPipe => "npipe",
            MountKind::Cluster => "cluster",
        },
    );
    object.text("source", mount.source.as_ref());
    object.text("target", Some(&mount.target));
    object.flag("read_only", mount.read_only);
    object.text("consistency", mount.consistency.as_ref());
    let mut bind = Object::new();
    let mut options = Object::new();
    let block = match &mount.kind {
        MountKind::Bind { selinux, propagation, create_host_path, recursive } => {
            options.text("selinux", selinux.as_ref());
            options.text("propagation", propagation.as_ref());
            match (dialect, create_host_path) {
                (Dialect::V2_40, Some(true)) => options.put("create_host_path", true),
                (Dialect::V5, Some(false)) => options.put("create_host_path", false),
                (Dialect::V2_40 | Dialect::V5, _) => {}
            }
            options.text("recursive", recursive.as_ref());
            "bind"
        }
        MountKind::Volume { selinux, propagation, nocopy, subpath, labels } => {
            bind.text("selinux", selinux.as_ref());
            bind.text("propagation", propagation.as_ref());
            options.map("labels", labels.iter().map(|(k, v)| (k, v.clone())));
            options.flag("nocopy", *nocopy);
            options.text("subpath", subpath.as_ref());
            "volume"
        }
        MountKind::Tmpfs { size, mode } => {
            options.bytes("size", *size);
            options.some("mode", mode.filter(|mode| *mode != 0));
            "tmpfs"
        }
        MountKind::Image { subpath } => {
            options.text("subpath", subpath.as_ref());
            "image"
        }
        MountKind::NamedPipe | MountKind::Cluster => "volume",
    };
    if !bind.0.is_empty() {
        // A short form with `z` on a named volume: the block of a bind on a volume.
        if dialect == Dialect::V5 {
            bind.put("create_host_path", false);
        }
        object.put("bind", bind.0);
    }
    if mount.options_given || !options.0.is_empty() {
        object.put(block, options.0);
    }
    Value::Object(object.0)
}

/// A network as `config` and its hash see it.
pub(super) fn network_json(network: &Network) -> Map<String, Value> {
    let mut object = Object::new();
    object.text("name", Some(&network.name));
    object.text("driver", network.driver.as_ref());
    object.map("driver_opts", network.driver_opts.iter().map(|(k, v)| (k, v.clone())));
    object.put("ipam", ipam_json(&network.ipam));
    object.flag("external", network.external);
    object.flag("internal", network.internal);
    object.flag("attachable", network.attachable);
    object.map("labels", network.labels.iter().map(|(k, v)| (k, v.clone())));
    object.some("enable_ipv4", network.enable_ipv4);
    object.some("enable_ipv6", network.enable_ipv6);
    object.0
}

fn ipam_json(ipam: &Ipam) -> Map<String, Value> {
    let mut object = Object::new();
    object.text("driver", ipam.driver.as_ref());
    let pools = ipam.config.iter().map(|pool| {
        let mut entry = Object::new();
        entry.text("subnet", pool.subnet.as_ref());
        entry.text("gateway", pool.gateway.as_ref());
        entry.text("ip_range", pool.ip_range.as_ref());
        entry.map("aux_addresses", pool.aux_addresses.iter().map(|(k, v)| (k, v.clone())));
        Value::Object(entry.0)
    });
    some_list(&mut object, "config", pools.collect());
    // `options` is no field of compose-go: neither its text nor its hash knows them.
    object.0
}

/// A volume as `config` and its hash see it.
pub(super) fn volume_json(volume: &Volume) -> Map<String, Value> {
    let mut object = Object::new();
    object.text("name", Some(&volume.name));
    object.text("driver", volume.driver.as_ref());
    object.map("driver_opts", volume.driver_opts.iter().map(|(k, v)| (k, v.clone())));
    object.flag("external", volume.external);
    object.map("labels", volume.labels.iter().map(|(k, v)| (k, v.clone())));
    object.0
}
