//! What each key of a service becomes in the create call.

mod mounts;
mod peers;

use serde_json::{Value, json};

use super::*;
use crate::compose::model::{
    BlkioConfig, Deploy, Device, DeviceRate, DeviceRequest, DeviceWeight, Logging, Mount,
    MountKind, Network, Port, Resources, RestartPolicy as ModelPolicy, ServiceNetwork, Ulimit,
    Volume,
};

const OLD: ApiVersion = ApiVersion(1, 41);
const NEW: ApiVersion = ApiVersion(1, 44);

fn service() -> Service {
    Service { name: "web".to_owned(), image: "nginx".to_owned(), ..Service::default() }
}

fn project(service: &Service) -> Project {
    let network =
        |key: &str| (key.to_owned(), Network { name: format!("p_{key}"), ..Network::default() });
    let volume = Volume { name: "p_data".to_owned(), ..Volume::default() };
    Project {
        name: "p".to_owned(),
        services: [(service.name.clone(), service.clone())].into(),
        networks: [network("back"), network("default"), network("front")].into(),
        volumes: [("data".to_owned(), volume)].into(),
        ..Project::default()
    }
}

fn make(service: &Service, api: ApiVersion, anonymous: &[(&str, &str)]) -> Blueprint {
    make_beside(service, api, anonymous, &Surroundings::default()).unwrap()
}

fn make_beside(
    service: &Service,
    api: ApiVersion,
    anonymous: &[(&str, &str)],
    surroundings: &Surroundings,
) -> Result<Blueprint> {
    let project = project(service);
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let anonymous_volumes =
        anonymous.iter().map(|(target, name)| ((*target).to_owned(), (*name).to_owned())).collect();
    let new = NewContainer {
        project: &project,
        service,
        name: "0123456789ab_p-web-1",
        final_name: "p-web-1",
        labels: &labels,
        anonymous_volumes: &anonymous_volumes,
        surroundings,
    };
    blueprint(&new, api)
}

fn body(service: &Service, api: ApiVersion) -> Value {
    serde_json::to_value(make(service, api, &[]).body).unwrap()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "most keys are optional")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

type AbsentRow = (&'static str, fn(&mut Service), &'static str);
type Row = (&'static str, fn(&mut Service), &'static str, Value);

fn check(rows: &[Row]) {
    for (what, change, pointer, expected) in rows {
        let mut service = service();
        change(&mut service);
        let body = body(&service, OLD);
        assert_eq!(body.pointer(pointer), Some(expected), "{what}: {body:#}");
    }
}

/// Rows whose field must not be sent at all: the Engine's own default holds.
fn check_absent(rows: &[AbsentRow]) {
    for (what, change, pointer) in rows {
        let mut service = service();
        change(&mut service);
        let body = body(&service, OLD);
        assert_eq!(body.pointer(pointer), None, "{what}: {body:#}");
    }
}

#[test]
fn every_key_has_its_field() {
    check(&[
        ("image", |_| {}, "/Image", json!("nginx")),
        ("labels", |_| {}, "/Labels", json!({"a": "b"})),
        ("hostname", |it| it.hostname = text("h"), "/Hostname", json!("h")),
        ("domainname", |it| it.domainname = text("d"), "/Domainname", json!("d")),
        ("user", |it| it.user = text("1:2"), "/User", json!("1:2")),
        ("working_dir", |it| it.working_dir = text("/w"), "/WorkingDir", json!("/w")),
        ("tty", |it| it.tty = true, "/Tty", json!(true)),
        ("stdin_open", |it| it.stdin_open = true, "/OpenStdin", json!(true)),
        ("command", |it| it.command = Some(texts(&["a", "b"])), "/Cmd", json!(["a", "b"])),
        ("empty command", |it| it.command = Some(Vec::new()), "/Cmd", json!([])),
        ("entrypoint", |it| it.entrypoint = Some(texts(&["e"])), "/Entrypoint", json!(["e"])),
        ("stop_signal", |it| it.stop_signal = text("SIGINT"), "/StopSignal", json!("SIGINT")),
        (
            "stop_grace_period is cut to seconds",
            |it| it.stop_grace_period = Some(Duration::from_millis(2900)),
            "/StopTimeout",
            json!(2),
        ),
        (
            "environment; without a value it takes one away",
            |it| {
                it.environment = [("A".to_owned(), text("1=2")), ("B".to_owned(), None)].into();
            },
            "/Env",
            json!(["A=1=2", "B"]),
        ),
        (
            "annotations",
            |it| it.annotations = pairs(&[("k", "v")]),
            "/HostConfig/Annotations",
            json!({"k": "v"}),
        ),
        ("cgroup", |it| it.cgroup = text("private"), "/HostConfig/CgroupnsMode", json!("private")),
        ("cpu_count", |it| it.cpu_count = Some(2), "/HostConfig/CpuCount", json!(2)),
        ("cpu_percent", |it| it.cpu_percent = Some(12.5), "/HostConfig/CpuPercent", json!(1250)),
        ("cpu_period", |it| it.cpu_period = Some(3), "/HostConfig/CpuPeriod", json!(3)),
        ("cpu_quota", |it| it.cpu_quota = Some(4), "/HostConfig/CpuQuota", json!(4)),
        (
            "cpu_rt_period",
            |it| it.cpu_rt_period = Some(5),
            "/HostConfig/CpuRealtimePeriod",
            json!(5),
        ),
        (
            "cpu_rt_runtime",
            |it| it.cpu_rt_runtime = Some(6),
            "/HostConfig/CpuRealtimeRuntime",
            json!(6),
        ),
        (
            "device_cgroup_rules",
            |it| it.device_cgroup_rules = texts(&["c 1:3 mr"]),
            "/HostConfig/DeviceCgroupRules",
            json!(["c 1:3 mr"]),
        ),
        (
            "devices with a name",
            |it| {
                it.devices = vec![Device {
                    source: "vendor.com/net=one".to_owned(),
                    target: "vendor.com/net=one".to_owned(),
                    permissions: "rwm".to_owned(),
                }];
            },
            "/HostConfig/DeviceRequests",
            json!([{"Driver": "cdi", "DeviceIDs": ["vendor.com/net=one"]}]),
        ),
        (
            "gpus",
            |it| {
                it.gpus = vec![DeviceRequest {
                    capabilities: texts(&["compute"]),
                    driver: text("nvidia"),
                    count: Some(-1),
                    device_ids: Vec::new(),
                    options: pairs(&[("o", "1")]),
                }];
            },
            "/HostConfig/DeviceRequests",
            json!([{
                "Driver": "nvidia", "Count": -1, "Capabilities": [["compute", "gpu"]],
                "Options": {"o": "1"},
            }]),
        ),
        (
            "reserved devices",
            |it| {
                let device = DeviceRequest {
                    capabilities: texts(&["tpu"]),
                    device_ids: texts(&["0"]),
                    ..DeviceRequest::default()
                };
                let reservations = Resources { devices: vec![device], ..Resources::default() };
                it.deploy =
                    Some(Deploy { reservations: Some(reservations), ..Deploy::default() }.into());
            },
            "/HostConfig/DeviceRequests",
            json!([{"DeviceIDs": ["0"], "Capabilities": [["tpu"]]}]),
        ),
        (
            "blkio_config",
            |it| {
                let rate = |rate| vec![DeviceRate { path: "/dev/a".to_owned(), rate }];
                it.blkio_config = Some(Box::new(BlkioConfig {
                    weight: Some(10),
                    weight_device: vec![DeviceWeight { path: "/dev/a".to_owned(), weight: 20 }],
                    device_read_bps: rate(1),
                    device_read_iops: rate(2),
                    device_write_bps: rate(3),
                    device_write_iops: rate(4),
                }));
            },
            "/HostConfig/BlkioDeviceWriteIOps",
            json!([{"Path": "/dev/a", "Rate": 4}]),
        ),
        ("isolation", |it| it.isolation = text("hyperv"), "/HostConfig/Isolation", json!("hyperv")),
        (
            "mem_swappiness",
            |it| it.mem_swappiness = Some(7),
            "/HostConfig/MemorySwappiness",
            json!(7),
        ),
        (
            "storage_opt",
            |it| it.storage_opt = pairs(&[("size", "1G")]),
            "/HostConfig/StorageOpt",
            json!({"size": "1G"}),
        ),
        (
            "security_opt that lifts the cover",
            |it| it.security_opt = texts(&["systempaths=unconfined"]),
            "/HostConfig/MaskedPaths",
            json!([]),
        ),
        (
            "network_mode that is none",
            |it| it.network_mode = text("disabled"),
            "/NetworkDisabled",
            json!(true),
        ),
        ("cap_add", |it| it.cap_add = texts(&["X"]), "/HostConfig/CapAdd", json!(["X"])),
        ("cap_drop", |it| it.cap_drop = texts(&["ALL"]), "/HostConfig/CapDrop", json!(["ALL"])),
        (
            "cgroup_parent",
            |it| it.cgroup_parent = text("/c"),
            "/HostConfig/CgroupParent",
            json!("/c"),
        ),
        (
            "cpus, single precision",
            |it| it.cpus = Some(0.1),
            "/HostConfig/NanoCpus",
            json!(100_000_000),
        ),
        ("cpus", |it| it.cpus = Some(1.5), "/HostConfig/NanoCpus", json!(1_500_000_000)),
        ("cpuset", |it| it.cpuset = text("0-1"), "/HostConfig/CpusetCpus", json!("0-1")),
        ("cpu_shares", |it| it.cpu_shares = Some(7), "/HostConfig/CpuShares", json!(7)),
        ("mem_limit", |it| it.mem_limit = Some(1), "/HostConfig/Memory", json!(1)),
        (
            "mem_reservation",
            |it| it.mem_reservation = Some(2),
            "/HostConfig/MemoryReservation",
            json!(2),
        ),
        ("memswap_limit", |it| it.memswap_limit = Some(-1), "/HostConfig/MemorySwap", json!(-1)),
        ("pids_limit", |it| it.pids_limit = Some(9), "/HostConfig/PidsLimit", json!(9)),
        (
            "devices",
            |it| {
                it.devices = vec![Device {
                    source: "/dev/a".to_owned(),
                    target: "/dev/b".to_owned(),
                    permissions: "rw".to_owned(),
                }];
            },
            "/HostConfig/Devices",
            json!([{
                "PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rw"
            }]),
        ),
        ("dns", |it| it.dns = texts(&["1.1.1.1"]), "/HostConfig/Dns", json!(["1.1.1.1"])),
        ("dns_opt", |it| it.dns_opt = texts(&["o"]), "/HostConfig/DnsOptions", json!(["o"])),
        ("dns_search", |it| it.dns_search = texts(&["s"]), "/HostConfig/DnsSearch", json!(["s"])),
        (
            "extra_hosts with several addresses",
            |it| {
                it.extra_hosts = [("h".to_owned(), texts(&["1.2.3.4", "::1"]))].into();
            },
            "/HostConfig/ExtraHosts",
            json!(["h:1.2.3.4", "h:::1"]),
        ),
        ("group_add", |it| it.group_add = texts(&["5"]), "/HostConfig/GroupAdd", json!(["5"])),
        ("init", |it| it.init = Some(false), "/HostConfig/Init", json!(false)),
        ("ipc", |it| it.ipc = text("host"), "/HostConfig/IpcMode", json!("host")),
        (
            "logging",
            |it| {
                let options = pairs(&[("max-size", "1m")]);
                it.logging = Some(Logging { driver: text("local"), options });
            },
            "/HostConfig/LogConfig",
            json!({"Type": "local", "Config": {"max-size": "1m"}}),
        ),
        (
            "oom_kill_disable",
            |it| it.oom_kill_disable = Some(true),
            "/HostConfig/OomKillDisable",
            json!(true),
        ),
        ("oom_score_adj", |it| it.oom_score_adj = Some(3), "/HostConfig/OomScoreAdj", json!(3)),
        ("pid", |it| it.pid = text("host"), "/HostConfig/PidMode", json!("host")),
        ("privileged", |it| it.privileged = true, "/HostConfig/Privileged", json!(true)),
        ("read_only", |it| it.read_only = true, "/HostConfig/ReadonlyRootfs", json!(true)),
        ("runtime", |it| it.runtime = text("runc"), "/HostConfig/Runtime", json!("runc")),
        (
            "security_opt",
            |it| it.security_opt = texts(&["label:disable"]),
            "/HostConfig/SecurityOpt",
            json!(["label:disable"]),
        ),
        ("shm_size", |it| it.shm_size = Some(64), "/HostConfig/ShmSize", json!(64)),
        (
            "sysctls",
            |it| it.sysctls = pairs(&[("net.x", "1")]),
            "/HostConfig/Sysctls",
            json!({"net.x": "1"}),
        ),
        (
            "tmpfs with and without options",
            |it| it.tmpfs = texts(&["/a", "/b:size=1m,mode=755"]),
            "/HostConfig/Tmpfs",
            json!({"/a": "", "/b": "size=1m,mode=755"}),
        ),
        (
            "ulimits",
            |it| {
                let limit = Ulimit { single: false, soft: 1, hard: 2 };
                it.ulimits = [("nofile".to_owned(), limit)].into();
            },
            "/HostConfig/Ulimits",
            json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]),
        ),
        (
            "userns_mode",
            |it| it.userns_mode = text("host"),
            "/HostConfig/UsernsMode",
            json!("host"),
        ),
        ("uts", |it| it.uts = text("host"), "/HostConfig/UTSMode", json!("host")),
        (
            "network_mode",
            |it| it.network_mode = text("host"),
            "/HostConfig/NetworkMode",
            json!("host"),
        ),
        ("no network at all", |_| {}, "/HostConfig/NetworkMode", json!("none")),
    ]);
}

#[test]
fn what_was_not_said_is_not_sent() {
    check_absent(&[
        ("command", |_| {}, "/Cmd"),
        ("entrypoint", |_| {}, "/Entrypoint"),
        ("health check", |_| {}, "/Healthcheck"),
        ("stop_grace_period", |_| {}, "/StopTimeout"),
        ("init", |_| {}, "/HostConfig/Init"),
        ("logging", |_| {}, "/HostConfig/LogConfig"),
        ("mem_swappiness 0", |it| it.mem_swappiness = Some(0), "/HostConfig/MemorySwappiness"),
        ("pids_limit 0", |it| it.pids_limit = Some(0), "/HostConfig/PidsLimit"),
        ("memory", |_| {}, "/HostConfig/Memory"),
        ("binds", |_| {}, "/HostConfig/Binds"),
        ("mounts", |_| {}, "/HostConfig/Mounts"),
        ("ports", |_| {}, "/HostConfig/PortBindings"),
        ("exposed ports", |_| {}, "/ExposedPorts"),
        ("volumes", |_| {}, "/Volumes"),
        ("endpoints", |it| it.network_mode = text("host"), "/NetworkingConfig"),
    ]);
}

#[test]
fn deploy_resources_win_over_the_short_keys() {
    fn limits(it: &mut Service) {
        let limits =
            Resources { cpus: Some(2.0), memory: Some(10), pids: Some(20), ..Resources::default() };
        let reservations = Resources { memory: Some(5), ..Resources::default() };
        (it.mem_limit, it.mem_reservation) = (Some(11), Some(6));
        it.deploy = Some(Box::new(Deploy {
            limits: Some(limits),
            reservations: Some(reservations),
            ..Deploy::default()
        }));
    }
    check(&[
        ("cpus", limits, "/HostConfig/NanoCpus", json!(2_000_000_000)),
        ("memory", limits, "/HostConfig/Memory", json!(10)),
        ("pids", limits, "/HostConfig/PidsLimit", json!(20)),
        ("reservation", limits, "/HostConfig/MemoryReservation", json!(5)),
    ]);
}

#[test]
fn health_checks_are_given_in_nanoseconds() {
    let full = Healthcheck {
        test: texts(&["CMD", "true"]),
        interval: Some(Duration::from_millis(1500)),
        timeout: Some(Duration::from_secs(2)),
        retries: Some(4),
        start_period: Some(Duration::from_secs(5)),
        start_interval: Some(Duration::from_secs(1)),
        disable: false,
    };
    let expected = json!({
        "Test": ["CMD", "true"], "Interval": 1_500_000_000_i64, "Timeout": 2_000_000_000_i64,
        "Retries": 4, "StartPeriod": 5_000_000_000_i64, "StartInterval": 1_000_000_000,
    });
    let disabled = Healthcheck { disable: true, ..Healthcheck::default() };
    let inherited = Healthcheck { retries: Some(9), ..Healthcheck::default() };
    for (check, api, expected) in [
        (&full, NEW, &expected),
        (&disabled, OLD, &json!({"Test": ["NONE"]})),
        (&inherited, OLD, &json!({"Retries": 9})),
    ] {
        let service = Service { healthcheck: Some(Box::new(check.clone())), ..service() };
        assert_eq!(&body(&service, api)["Healthcheck"], expected, "{check:?} {api:?}");
    }
}

#[test]
fn restart_policies() {
    let deployed = |condition: Option<&str>, max_attempts| {
        let condition = condition.map(str::to_owned);
        let policy = ModelPolicy { condition, max_attempts, ..ModelPolicy::default() };
        Some(Box::new(Deploy { restart_policy: Some(policy), ..Deploy::default() }))
    };
    for (restart, deploy, expected) in [
        (None, None, json!({"Name": "no"})),
        (Some("no"), None, json!({"Name": "no"})),
        (Some("always"), None, json!({"Name": "always"})),
        (Some("unless-stopped"), None, json!({"Name": "unless-stopped"})),
        (Some("on-failure"), None, json!({"Name": "on-failure"})),
        (Some("on-failure:3"), None, json!({"Name": "on-failure", "MaximumRetryCount": 3})),
        (Some("always"), deployed(Some("none"), None), json!({"Name": "no"})),
        (Some("no"), deployed(Some("any"), None), json!({"Name": "always"})),
        // The Engine refuses a count beside `always`.
        (None, deployed(Some("any"), Some(3)), json!({"Name": "always"})),
        (Some("always"), deployed(None, None), json!({"Name": ""})),
        (
            None,
            deployed(Some("on-failure"), Some(2)),
            json!({"Name": "on-failure", "MaximumRetryCount": 2}),
        ),
    ] {
        let service = Service { restart: restart.map(str::to_owned), deploy, ..service() };
        let found = &body(&service, OLD)["HostConfig"]["RestartPolicy"];
        assert_eq!(found, &expected, "{restart:?} {:?}", service.deploy);
        // What counts as done in a plan must be what the Engine leaves alone.
        let restarts = matches!(expected["Name"].as_str(), Some("always" | "unless-stopped"));
        assert_eq!(crate::plan::restarts_after_success(&service), restarts, "{expected}");
    }
}

#[test]
fn ports_are_exposed_and_published() {
    fn port(host_ip: Option<&str>, published: Option<&str>, target: u16, protocol: &str) -> Port {
        Port {
            host_ip: host_ip.map(str::to_owned),
            published: published.map(str::to_owned),
            target,
            protocol: protocol.to_owned(),
            ..Port::default()
        }
    }
    let service = Service {
        expose: texts(&["9000", "53/udp", "80", "7000-7002", "6000-6001/udp"]),
        ports: vec![
            port(None, Some("8080"), 80, "tcp"),
            port(Some("127.0.0.1"), Some("8081"), 80, "tcp"),
            port(None, None, 443, "tcp"),
            port(None, Some("5000-5010"), 53, "udp"),
        ],
        ..service()
    };
    let body = body(&service, OLD);
    assert_eq!(
        body["ExposedPorts"],
        json!({
            "443/tcp": {}, "53/udp": {}, "6000/udp": {}, "6001/udp": {}, "7000/tcp": {},
            "7001/tcp": {}, "7002/tcp": {}, "80/tcp": {}, "9000/tcp": {},
        })
    );
    assert_eq!(
        body["HostConfig"]["PortBindings"],
        json!({
            "80/tcp": [{"HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}],
            "443/tcp": [{}],
            "53/udp": [{"HostPort": "5000-5010"}],
        })
    );
}

#[test]
fn networks_are_joined_in_order_of_priority() {
    let settings = ServiceNetwork {
        aliases: texts(&["www"]),
        ipv4_address: text("10.0.0.2"),
        link_local_ips: texts(&["169.254.0.9"]),
        mac_address: text("02:00:00:00:00:01"),
        driver_opts: pairs(&[("x", "y")]),
        priority: Some(5),
        ..ServiceNetwork::default()
    };
    let service = Service {
        networks: [
            ("back".to_owned(), None),
            ("default".to_owned(), None),
            ("front".to_owned(), Some(settings)),
        ]
        .into(),
        ..service()
    };
    let mut front = json!({
        // The final name, not the one it is created under while the old container has it.
        "Aliases": ["p-web-1", "web", "www"],
        "IPAMConfig": {"IPv4Address": "10.0.0.2", "LinkLocalIPs": ["169.254.0.9"]},
        "MacAddress": "02:00:00:00:00:01",
        "DriverOpts": {"x": "y"},
    });
    let plain = json!({"Aliases": ["p-web-1", "web"]});
    let mut all = json!({"p_front": front, "p_back": plain, "p_default": plain});
    let with_address = all.clone();
    // An old Engine knows one address for the container.
    front.as_object_mut().unwrap().remove("MacAddress");
    all["p_front"] = front;
    let names: &[&str] = &["p_back", "p_default"];
    for (api, in_create, attached) in [
        (OLD, json!({"p_front": all["p_front"]}), names),
        (ApiVersion(1, 43), json!({"p_front": all["p_front"]}), names),
        (NEW, with_address.clone(), &[]),
        (ApiVersion(1, 51), with_address.clone(), &[]),
        (ApiVersion(2, 0), with_address.clone(), &[]),
    ] {
        let blueprint = make(&service, api, &[]);
        let is_old = blueprint.attachments.len() == 2;
        assert_eq!(blueprint.mac_address.is_some(), is_old, "{api:?}");
        let body = serde_json::to_value(blueprint.body).unwrap();
        assert_eq!(body["HostConfig"]["NetworkMode"], "p_front", "{api:?}");
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], in_create, "{api:?}");
        let found: Vec<_> = blueprint.attachments.iter().map(|it| it.network.as_str()).collect();
        assert_eq!(found, attached, "{api:?}");
        for attachment in &blueprint.attachments {
            let endpoint = serde_json::to_value(&attachment.endpoint).unwrap();
            assert_eq!(endpoint, all[&attachment.network], "{api:?}");
        }
    }
}
