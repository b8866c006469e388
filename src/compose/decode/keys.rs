//! The keys of a service, and why some are refused.

/// Keys of a service.
pub(in crate::compose) const SERVICE: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
];

/// Keys that would need a program besides the Engine, or open it to the container.
const REFUSED: &[(&str, &str)] = &[
    (
        "provider",
        "is not supported: it runs a program of the host instead of a container; start that \
         program yourself, or use `docker compose` for this service",
    ),
    (
        "models",
        "is not supported: language models need Docker's Model Runner; run the model as a service \
         and pass its address in `environment`",
    ),
    (
        "use_api_socket",
        "is not supported: it gives the container the Engine and the registry credentials; mount \
         `/var/run/docker.sock` under `volumes` if that is wanted",
    ),
];

/// Keys of the first version of Compose files, and what stands for them today.
const LEGACY: &[(&str, &str)] = &[
    ("net", "network_mode"),
    ("log_driver", "logging.driver"),
    ("log_opt", "logging.options"),
    ("dockerfile", "build.dockerfile"),
    ("volume_driver", "driver` of a top-level volume, or `volumes[].volume"),
];

/// Why a key is refused though Compose files may have it.
pub(super) fn refusal(key: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(name, _)| *name == key).map(|(_, why)| *why)
}

/// What stands today for a key of old Compose files.
pub(super) fn successor(key: &str) -> Option<&'static str> {
    LEGACY.iter().find(|(name, _)| *name == key).map(|(_, now)| *now)
}
