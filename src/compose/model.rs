//! The typed, normalised Compose project: the desired state of containers, networks and volumes.
//!
//! Field order is the order in which `docker compose` serialises them, because its configuration hash
//! is taken over that text (compose-go `types.ServiceConfig`); a new key goes where it stands there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A Compose project: merged, interpolated, normalised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// Project name.
    pub name: String,
    /// Project directory, absolute, as we see it.
    pub working_dir: PathBuf,
    /// The files it was loaded from, absolute, as we see them, in order.
    pub files: Vec<PathBuf>,
    /// Services of active profiles by name.
    pub services: BTreeMap<String, Service>,
    /// Names of services that no active profile enables: their containers are not orphans.
    pub disabled_services: Vec<String>,
    /// Networks by key; only those that a service uses.
    pub networks: BTreeMap<String, Network>,
    /// Named volumes by key; only those that a service uses.
    pub volumes: BTreeMap<String, Volume>,
    /// What a person should know though it stops nothing, e.g. an unset variable.
    pub warnings: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the keys of a Compose service")]
pub struct Service {
    /// Name (the key).
    pub name: String,
    /// `cap_add`.
    pub cap_add: Vec<String>,
    /// `cap_drop`.
    pub cap_drop: Vec<String>,
    /// `cgroup_parent`.
    pub cgroup_parent: Option<String>,
    /// `cpus`: number of CPUs; single precision, as compose-go keeps it.
    pub cpus: Option<f32>,
    /// `cpuset`.
    pub cpuset: Option<String>,
    /// `cpu_shares`.
    pub cpu_shares: Option<i64>,
    /// `command`: `None` is the image's own, an empty list clears it.
    pub command: Option<Vec<String>>,
    /// `container_name`.
    pub container_name: Option<String>,
    /// `depends_on`, by service.
    pub depends_on: BTreeMap<String, Dependency>,
    /// `deploy`.
    pub deploy: Option<Deploy>,
    /// `devices`.
    pub devices: Vec<Device>,
    /// `dns`.
    pub dns: Vec<String>,
    /// `dns_opt`.
    pub dns_opt: Vec<String>,
    /// `dns_search`.
    pub dns_search: Vec<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `entrypoint`: `None` is the image's own, an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `environment` over `env_file`: `None` is a bare `KEY`, which removes an image's variable.
    pub environment: BTreeMap<String, Option<String>>,
    /// `expose`: `port[/protocol]`.
    pub expose: Vec<String>,
    /// `extra_hosts`: host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// `group_add`.
    pub group_add: Vec<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `healthcheck`.
    pub healthcheck: Option<Healthcheck>,
    /// `image`.
    pub image: String,
    /// `init`.
    pub init: Option<bool>,
    /// `ipc`.
    pub ipc: Option<String>,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `logging`.
    pub logging: Option<Logging>,
    /// `mem_limit`, bytes.
    pub mem_limit: Option<i64>,
    /// `mem_reservation`, bytes.
    pub mem_reservation: Option<i64>,
    /// `memswap_limit`, bytes; -1 is unlimited.
    pub memswap_limit: Option<i64>,
    /// `network_mode`; excludes `networks`.
    pub network_mode: Option<String>,
    /// `networks`, by key, in order of the file; `default` where nothing was said.
    pub networks: BTreeMap<String, Option<ServiceNetwork>>,
    /// `oom_kill_disable`.
    pub oom_kill_disable: Option<bool>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i64>,
    /// `pid`.
    pub pid: Option<String>,
    /// `pids_limit`.
    pub pids_limit: Option<i64>,
    /// `platform`.
    pub platform: Option<String>,
    /// `ports`, ranges expanded.
    pub ports: Vec<Port>,
    /// `privileged`.
    pub privileged: bool,
    /// `profiles`.
    pub profiles: Vec<String>,
    /// `pull_policy`.
    pub pull_policy: PullPolicy,
    /// `read_only`.
    pub read_only: bool,
    /// `restart`, as written: `no`, `always`, `on-failure:3`, `unless-stopped`.
    pub restart: Option<String>,
    /// `runtime`.
    pub runtime: Option<String>,
    /// `scale`.
    pub scale: Option<u32>,
    /// `security_opt`.
    pub security_opt: Vec<String>,
    /// `shm_size`, bytes.
    pub shm_size: Option<i64>,
    /// `stdin_open`.
    pub stdin_open: bool,
    /// `stop_grace_period`.
    pub stop_grace_period: Option<Duration>,
    /// `stop_signal`.
    pub stop_signal: Option<String>,
    /// `sysctls`.
    pub sysctls: BTreeMap<String, String>,
    /// `tmpfs`: `path[:options]`.
    pub tmpfs: Vec<String>,
    /// `tty`.
    pub tty: bool,
    /// `ulimits`, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `user`.
    pub user: Option<String>,
    /// `userns_mode`.
    pub userns_mode: Option<String>,
    /// `uts`.
    pub uts: Option<String>,
    /// `volumes`.
    pub volumes: Vec<Mount>,
    /// `volumes_from`: `service[:mode]` or `container:name[:mode]`.
    pub volumes_from: Vec<String>,
    /// `working_dir`.
    pub working_dir: Option<String>,
}

impl Service {
    /// How many containers it asks for: `scale`, else `deploy.replicas`, else 1.
    pub fn replicas(&self) -> u32 {
        let deployed = self.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.scale.or(deployed).unwrap_or(1)
    }

    /// Name of its container with this number (from 1).
    pub fn container_name(&self, project: &str, number: u32) -> String {
        match &self.container_name {
            Some(name) => name.clone(),
            None => format!("{project}-{}-{number}", self.name),
        }
    }
}

/// Why and how a service waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What to wait for.
    pub condition: Condition,
    /// `restart`: restart us when the other one is recreated.
    pub restart: bool,
    /// `required`: false turns a failure into a warning.
    pub required: bool,
}

/// What a dependent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `service_started`.
    Started,
    /// `service_healthy`.
    Healthy,
    /// `service_completed_successfully`.
    CompletedSuccessfully,
}

impl Condition {
    /// The word in Compose files and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// `deploy`, as far as it means something on one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deploy {
    /// `mode`: `replicated` or `global`.
    pub mode: Option<String>,
    /// `replicas`.
    pub replicas: Option<u32>,
    /// `labels`: of a Swarm service, unused here, but part of the hash.
    pub labels: BTreeMap<String, String>,
    /// `resources.limits`.
    pub limits: Option<Resources>,
    /// `resources.reservations`.
    pub reservations: Option<Resources>,
    /// `restart_policy`; wins over `restart`.
    pub restart_policy: Option<RestartPolicy>,
}

/// One side of `deploy.resources`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// `cpus`.
    pub cpus: Option<f32>,
    /// `memory`, bytes.
    pub memory: Option<i64>,
    /// `pids`.
    pub pids: Option<i64>,
}

/// `deploy.restart_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// One entry of `devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// `healthcheck`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `test`: starts with `CMD`, `CMD-SHELL` or `NONE`; empty inherits the image's.
    pub test: Vec<String>,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `retries`.
    pub retries: Option<u64>,
    /// `start_period`.
    pub start_period: Option<Duration>,
    /// `start_interval`.
    pub start_interval: Option<Duration>,
    /// `disable`.
    pub disable: bool,
}

/// `logging`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// `driver`.
    pub driver: Option<String>,
    /// `options`.
    pub options: BTreeMap<String, String>,
}

/// A service's attachment to a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceNetwork {
    /// `aliases`.
    pub aliases: Vec<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `ipv4_address`.
    pub ipv4_address: Option<String>,
    /// `ipv6_address`.
    pub ipv6_address: Option<String>,
    /// `link_local_ips`.
    pub link_local_ips: Vec<String>,
    /// `mac_address`.
    pub mac_address: Option<String>,
    /// `priority`: the highest is the primary network.
    pub priority: Option<i64>,
}

/// One published or exposed port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// `name`.
    pub name: Option<String>,
    /// `mode`: `ingress` unless said otherwise.
    pub mode: Option<String>,
    /// `host_ip`.
    pub host_ip: Option<String>,
    /// `target`: port in the container.
    pub target: u16,
    /// `published`: port or range on the host; `None` lets the Engine choose.
    pub published: Option<String>,
    /// `protocol`: `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// `app_protocol`.
    pub app_protocol: Option<String>,
}

/// `pull_policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Pull when absent.
    #[default]
    Missing,
    /// Pull each time.
    Always,
    /// Never pull.
    Never,
}

/// A `ulimits` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Written as one number, which is both limits.
    pub single: bool,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// One entry of a service's `volumes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// Kind of mount, with the options only that kind has.
    pub kind: MountKind,
    /// `source`: host path for a bind (absolute, as we see it), key for a volume; `None` is anonymous.
    pub source: Option<String>,
    /// `target`: cleaned absolute path in the container.
    pub target: String,
    /// `read_only`.
    pub read_only: bool,
    /// `consistency`.
    pub consistency: Option<String>,
    /// The block of options that belongs to its kind was written, maybe empty; the configuration hash
    /// tells the difference. A short form counts as written.
    pub options_given: bool,
}

/// Kind of a mount, with the options only that kind has.
#[derive(Clone, Debug, PartialEq)]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// `selinux`: `z` or `Z`.
        selinux: Option<String>,
        /// `propagation`.
        propagation: Option<String>,
        /// `create_host_path`: `None` where no `bind` block said anything.
        create_host_path: Option<bool>,
        /// `recursive`.
        recursive: Option<String>,
    },
    /// A named or anonymous volume.
    Volume {
        /// `selinux`: `z` or `Z`, from a short form.
        selinux: Option<String>,
        /// `propagation`, from a short form.
        propagation: Option<String>,
        /// `nocopy`.
        nocopy: bool,
        /// `subpath`.
        subpath: Option<String>,
        /// `labels`.
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        /// `size`, bytes.
        size: Option<i64>,
        /// `mode`.
        mode: Option<u32>,
    },
}

/// A top-level network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// `name`: as the Engine knows it.
    pub name: String,
    /// `driver`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `ipam`.
    pub ipam: Ipam,
    /// `external`: made by somebody else, must exist.
    pub external: bool,
    /// `internal`.
    pub internal: bool,
    /// `attachable`.
    pub attachable: bool,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `enable_ipv4`.
    pub enable_ipv4: Option<bool>,
    /// `enable_ipv6`.
    pub enable_ipv6: Option<bool>,
}

/// `ipam` of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipam {
    /// `driver`.
    pub driver: Option<String>,
    /// `config`.
    pub config: Vec<IpamPool>,
    /// `options`.
    pub options: BTreeMap<String, String>,
}

/// One entry of `ipam.config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpamPool {
    /// `subnet`.
    pub subnet: Option<String>,
    /// `gateway`.
    pub gateway: Option<String>,
    /// `ip_range`.
    pub ip_range: Option<String>,
    /// `aux_addresses`.
    pub aux_addresses: BTreeMap<String, String>,
}

/// A top-level named volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// `name`: as the Engine knows it.
    pub name: String,
    /// `driver`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `external`: made by somebody else, must exist.
    pub external: bool,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
}
