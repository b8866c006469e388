//! The typed, normalised Compose project: the desired state of containers, networks and volumes.
//!
//! Field order is the order in which `docker compose` serialises them, because its configuration hash
//! is taken over that text (compose-go `types.ServiceConfig`); a new key goes where it stands there.

mod build;
mod deploy;
mod files;
mod hooks;
mod mount;
mod network;
mod pull;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

// One name for the whole model: which file a type stands in is no concern of its users.
pub use build::{Build, SshKey};
pub use deploy::{
    Deploy, DeviceRequest, GenericResource, Placement, Resources, RestartPolicy, UpdateConfig,
};
pub use files::{CredentialSpec, FileObject, FileReference, FileSource, Hidden};
pub use hooks::{Develop, Hook, Watch};
pub use mount::{Mount, MountKind, Volume};
pub use network::{Ipam, IpamPool, Network, Port, ServiceNetwork};
pub use pull::PullPolicy;

/// A Compose project: merged, interpolated, normalised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// Project name.
    pub name: String,
    /// Project directory, absolute, as we see it.
    pub working_dir: PathBuf,
    /// The files it was loaded from, absolute, as we see them, in order.
    pub files: Vec<PathBuf>,
    /// The environment files that were named, absolute, as we see them, in order.
    pub env_files: Vec<PathBuf>,
    /// `--compatibility`: `_` stands in names where `-` does otherwise, as docker-compose 1 had it.
    pub underscores: bool,
    /// Services of active profiles by name.
    pub services: BTreeMap<String, Service>,
    /// Names of services that no active profile enables: their containers are not orphans.
    pub disabled_services: Vec<String>,
    /// Networks by key; only those that a service uses.
    pub networks: BTreeMap<String, Network>,
    /// Named volumes by key; only those that a service uses.
    pub volumes: BTreeMap<String, Volume>,
    /// Secrets by key; only those that a service uses.
    pub secrets: BTreeMap<String, FileObject>,
    /// Configs by key; only those that a service uses.
    pub configs: BTreeMap<String, FileObject>,
    /// Language models by key: read, and used by nothing here.
    pub models: BTreeMap<String, Model>,
    /// The top-level `x-*` keys.
    pub extensions: BTreeMap<String, serde_json::Value>,
    /// What a person should know though it stops nothing, e.g. an unset variable.
    pub warnings: Vec<String>,
}

impl Project {
    /// What stands between the parts of a name.
    pub fn separator(&self) -> char {
        if self.underscores { '_' } else { '-' }
    }

    /// Name of a service's container with this number (from 1).
    pub fn container_name(&self, service: &Service, number: u32) -> String {
        let (project, name, between) = (&self.name, &service.name, self.separator());
        let usual = || format!("{project}{between}{name}{between}{number}");
        service.container_name.clone().unwrap_or_else(usual)
    }

    /// The image of a service that is built and names none.
    pub fn implied_image(&self, service: &str) -> String {
        format!("{}{}{service}", self.name, self.separator())
    }

    /// Gives services that are only built the images `docker compose` would build for them.
    pub fn imply_images(&mut self) {
        let unnamed = |it: &&Service| it.image.is_empty() && it.build.is_some();
        let names: Vec<String> =
            self.services.values().filter(unnamed).map(|it| it.name.clone()).collect();
        for name in names {
            let image = self.implied_image(&name);
            if let Some(service) = self.services.get_mut(&name) {
                (service.image, service.image_is_implied) = (image, true);
            }
        }
    }
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the keys of a Compose service")]
pub struct Service {
    /// Name (the key).
    pub name: String,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `attach`: false leaves its output out of what `up` shows.
    pub attach: Option<bool>,
    /// `build`; no part of the configuration hash.
    pub build: Option<Box<Build>>,
    /// `develop`: part of the hash, otherwise without effect here.
    pub develop: Option<Develop>,
    /// `blkio_config`.
    pub blkio_config: Option<Box<BlkioConfig>>,
    /// `cap_add`.
    pub cap_add: Vec<String>,
    /// `cap_drop`.
    pub cap_drop: Vec<String>,
    /// `cgroup_parent`.
    pub cgroup_parent: Option<String>,
    /// `cgroup`: `host` or `private`.
    pub cgroup: Option<String>,
    /// `cpu_count`: Windows only.
    pub cpu_count: Option<i64>,
    /// `cpu_percent`: Windows only.
    pub cpu_percent: Option<f32>,
    /// `cpu_period`, microseconds.
    pub cpu_period: Option<i64>,
    /// `cpu_quota`, microseconds.
    pub cpu_quota: Option<i64>,
    /// `cpu_rt_period`, microseconds.
    pub cpu_rt_period: Option<i64>,
    /// `cpu_rt_runtime`, microseconds.
    pub cpu_rt_runtime: Option<i64>,
    /// `cpus`: number of CPUs; single precision, as compose-go keeps it.
    pub cpus: Option<f32>,
    /// `cpuset`.
    pub cpuset: Option<String>,
    /// `cpu_shares`.
    pub cpu_shares: Option<i64>,
    /// `command`: `None` is the image's own, an empty list clears it.
    pub command: Option<Vec<String>>,
    /// `configs`: files of the top-level `configs`.
    pub configs: Vec<FileReference>,
    /// `container_name`.
    pub container_name: Option<String>,
    /// `credential_spec`: Windows only, and never sent by `docker compose`.
    pub credential_spec: Option<CredentialSpec>,
    /// `depends_on`, by service.
    pub depends_on: BTreeMap<String, Dependency>,
    /// `deploy`.
    pub deploy: Option<Box<Deploy>>,
    /// `device_cgroup_rules`.
    pub device_cgroup_rules: Vec<String>,
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
    /// `external_links`: `container[:alias]`.
    pub external_links: Vec<String>,
    /// `extra_hosts`: host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// `group_add`.
    pub group_add: Vec<String>,
    /// `gpus`; a capability `gpu` is meant besides those written.
    pub gpus: Vec<DeviceRequest>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `healthcheck`.
    pub healthcheck: Option<Box<Healthcheck>>,
    /// `image`; where only `build` is written, the name its image gets.
    pub image: String,
    /// Nobody wrote `image`: it is left out of the canonical text and of the hash.
    pub image_is_implied: bool,
    /// `init`.
    pub init: Option<bool>,
    /// `ipc`.
    pub ipc: Option<String>,
    /// `isolation`: Windows only.
    pub isolation: Option<String>,
    /// `labels` over `label_file`.
    pub labels: BTreeMap<String, String>,
    /// `label_file`, absolute; what they say is in `labels`, but their names are part of the hash.
    pub label_files: Vec<String>,
    /// `links`: `service[:alias]`.
    pub links: Vec<String>,
    /// `logging`.
    pub logging: Option<Logging>,
    /// `mem_limit`, bytes.
    pub mem_limit: Option<i64>,
    /// `mem_reservation`, bytes.
    pub mem_reservation: Option<i64>,
    /// `memswap_limit`, bytes; -1 is unlimited.
    pub memswap_limit: Option<i64>,
    /// `mem_swappiness`, 0 to 100.
    pub mem_swappiness: Option<i64>,
    /// `mac_address` on the first network.
    pub mac_address: Option<String>,
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
    /// `pull_refresh_after`: read, and ignored as by `docker compose` 2.40.
    pub pull_refresh_after: Option<String>,
    /// `read_only`.
    pub read_only: bool,
    /// `restart`, as written: `no`, `always`, `on-failure:3`, `unless-stopped`.
    pub restart: Option<String>,
    /// `runtime`.
    pub runtime: Option<String>,
    /// `scale`.
    pub scale: Option<u32>,
    /// `secrets`: files of the top-level `secrets`.
    pub secrets: Vec<FileReference>,
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
    /// `storage_opt`.
    pub storage_opt: BTreeMap<String, String>,
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
    /// `volumes_from`: `service[:ro]` or `container:name`.
    pub volumes_from: Vec<String>,
    /// `working_dir`.
    pub working_dir: Option<String>,
    /// `pre_start`: containers that run to their end before the first start.
    pub pre_start: Vec<Hook>,
    /// `post_start`: commands run in the started container.
    pub post_start: Vec<Hook>,
    /// `pre_stop`: commands run in the container before it is stopped.
    pub pre_stop: Vec<Hook>,
}

impl Service {
    /// How many containers it asks for: `scale`, else `deploy.replicas`, else 1.
    pub fn replicas(&self) -> u32 {
        let deployed = self.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.scale.or(deployed).unwrap_or(1)
    }

    /// Has its containers stay where they ended: those of a one-off do not come back by themselves.
    pub fn restart_never(&mut self) {
        self.restart = None;
        if let Some(deploy) = &mut self.deploy {
            deploy.restart_policy = None;
        }
    }
}

/// Why and how a service waits for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What to wait for.
    pub condition: Condition,
    /// `restart`: restart us when the other one is recreated.
    pub restart: bool,
    /// `required`: false turns a failure into a warning.
    pub required: bool,
}

/// What a dependent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A language model of the top level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// `name`.
    pub name: Option<String>,
    /// `model`.
    pub model: String,
    /// `context_size`.
    pub context_size: Option<i64>,
    /// `runtime_flags`.
    pub runtime_flags: Vec<String>,
}

/// `blkio_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioConfig {
    /// `weight`.
    pub weight: Option<u16>,
    /// `weight_device`.
    pub weight_device: Vec<DeviceWeight>,
    /// `device_read_bps`, bytes a second.
    pub device_read_bps: Vec<DeviceRate>,
    /// `device_read_iops`, operations a second.
    pub device_read_iops: Vec<DeviceRate>,
    /// `device_write_bps`, bytes a second.
    pub device_write_bps: Vec<DeviceRate>,
    /// `device_write_iops`, operations a second.
    pub device_write_iops: Vec<DeviceRate>,
}

/// An entry of `blkio_config.weight_device`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// `path`.
    pub path: String,
    /// `weight`.
    pub weight: u16,
}

/// An entry of a rate list of `blkio_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// `path`.
    pub path: String,
    /// `rate`.
    pub rate: i64,
}

/// One entry of `devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

impl Device {
    /// Whether it names a CDI device, `vendor/class=name`, rather than a path of the host.
    pub fn is_cdi(&self) -> bool {
        self.source == self.target && is_cdi_name(&self.source)
    }
}

/// The grammar of the Container Device Interface for a fully qualified name.
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let ends = |part: &str, starts: fn(char) -> bool| {
        part.starts_with(starts) && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let word = |part: &str, marks: &str| {
        part.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
    };
    let letter = |c: char| c.is_ascii_alphabetic();
    let digit_too = |c: char| c.is_ascii_alphanumeric();
    ends(vendor, letter)
        && word(vendor, "_-.")
        && ends(class, letter)
        && word(class, "_-")
        && ends(name, digit_too)
        && word(name, "_-.:")
}

/// `healthcheck`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `driver`.
    pub driver: Option<String>,
    /// `options`.
    pub options: BTreeMap<String, String>,
}

/// A `ulimits` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Written as one number, which is both limits.
    pub single: bool,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_devices_from_paths() {
        for (name, expected) in [
            ("nvidia.com/gpu=all", true),
            ("vendor.com/class_1=a:b.c-d", true),
            ("/dev/sda", false),
            ("vendor/class", false),
            ("vendor/=x", false),
            ("1vendor/class=x", false),
            ("vendor/class=x_", false),
        ] {
            let device = Device {
                source: name.to_owned(),
                target: name.to_owned(),
                permissions: "rwm".to_owned(),
            };
            assert_eq!(device.is_cdi(), expected, "{name}");
        }
    }

    #[test]
    fn names_are_made_of_the_projects_and_the_services() {
        let service = |name: &str, image: &str| {
            let (name, image) = (name.to_owned(), image.to_owned());
            Service { name, image, build: Some(Box::default()), ..Service::default() }
        };
        let services = [service("web", ""), service("named", "mine")];
        let services = services.map(|it| (it.name.clone(), it)).into();
        let plain = Project { name: "shop".to_owned(), services, ..Project::default() };
        let old = Project { underscores: true, ..plain.clone() };
        for (mut project, image, container) in
            [(plain, "shop-web", "shop-web-2"), (old, "shop_web", "shop_web_2")]
        {
            project.imply_images();
            let web = &project.services["web"];
            assert_eq!((web.image.as_str(), web.image_is_implied), (image, true));
            assert_eq!(project.container_name(web, 2), container);
            let own = Service { container_name: Some("own".to_owned()), ..web.clone() };
            assert_eq!(project.container_name(&own, 1), "own");
            let named = &project.services["named"];
            assert_eq!((named.image.as_str(), named.image_is_implied), ("mine", false));
        }
    }
}
