//! What containers use of the host.

use anyhow::{Context, Result};
use bollard::models::{ContainerCpuStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptions;
use futures_util::StreamExt;

use super::Engine;
use super::containers::short;

/// What one container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Percent of one CPU.
    pub cpu_percent: f64,
    /// Bytes of memory, without what only caches files.
    pub memory: u64,
    /// Most bytes of memory it may use.
    pub memory_limit: u64,
    /// Bytes received over networks.
    pub received: u64,
    /// Bytes sent over networks.
    pub sent: u64,
    /// Bytes read from devices.
    pub read: u64,
    /// Bytes written to devices.
    pub written: u64,
    /// Processes and threads.
    pub processes: u64,
}

impl Engine {
    /// Measures what a running container uses; takes the Engine about a second.
    ///
    /// # Errors
    ///
    /// When there is no such container.
    pub async fn usage(&self, id: &str) -> Result<Usage> {
        let options = StatsOptions { stream: false, one_shot: false };
        let mut stream = Box::pin(self.docker()?.stats(id, Some(options)));
        let what = || format!("measure container `{}`", short(id));
        let stats = stream.next().await.with_context(what)?.with_context(what)?;
        Ok(usage(&stats))
    }
}

fn usage(stats: &ContainerStatsResponse) -> Usage {
    let memory = stats.memory_stats.clone().unwrap_or_default();
    let details = memory.stats.unwrap_or_default();
    // cgroup 1 and cgroup 2 have different names for it.
    let cached = details.get("total_inactive_file").or_else(|| details.get("inactive_file"));
    let networks = stats.networks.iter().flat_map(|it| it.values());
    let (received, sent) = networks.fold((0, 0), |(received, sent), it| {
        (received + it.rx_bytes.unwrap_or_default(), sent + it.tx_bytes.unwrap_or_default())
    });
    let blocks = stats.blkio_stats.as_ref().and_then(|it| it.io_service_bytes_recursive.as_ref());
    let moved = |operation: &str| -> u64 {
        let same = blocks.into_iter().flatten().filter(|entry| {
            entry.op.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(operation))
        });
        same.filter_map(|entry| entry.value).sum()
    };
    Usage {
        cpu_percent: cpu_percent(stats),
        memory: memory
            .usage
            .unwrap_or_default()
            .saturating_sub(cached.copied().unwrap_or_default()),
        memory_limit: memory.limit.unwrap_or_default(),
        received,
        sent,
        read: moved("read"),
        written: moved("write"),
        processes: stats.pids_stats.as_ref().and_then(|it| it.current).unwrap_or_default(),
    }
}

/// What it used between two measurements, as part of what all CPUs had.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn cpu_percent(stats: &ContainerStatsResponse) -> f64 {
    let total = |cpu: &Option<ContainerCpuStats>| {
        cpu.as_ref().and_then(|it| it.cpu_usage.as_ref()?.total_usage).unwrap_or_default()
    };
    let system = |cpu: &Option<ContainerCpuStats>| {
        cpu.as_ref().and_then(|it| it.system_cpu_usage).unwrap_or_default()
    };
    let used = total(&stats.cpu_stats).saturating_sub(total(&stats.precpu_stats));
    let had = system(&stats.cpu_stats).saturating_sub(system(&stats.precpu_stats));
    if had == 0 {
        return 0.0;
    }
    let cpus = stats.cpu_stats.as_ref().and_then(|it| it.online_cpus).unwrap_or(1);
    used as f64 / had as f64 * f64::from(cpus) * 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_counted_as_docker_stats_counts_it() {
        let stats = json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 5000, "limit": 10000, "stats": {"inactive_file": 1000}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 3, "tx_bytes": 4}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": 5}, {"op": "write", "value": 6}, {"op": "read", "value": 7},
            ]},
            "pids_stats": {"current": 8},
        });
        let expected = Usage {
            cpu_percent: 40.0,
            memory: 4000,
            memory_limit: 10000,
            received: 4,
            sent: 6,
            read: 12,
            written: 6,
            processes: 8,
        };
        assert_eq!(usage(&serde_json::from_value(stats).unwrap()), expected);
        assert_eq!(usage(&ContainerStatsResponse::default()), Usage::default());
    }
}
