//! What a daemon takes of the machine, as the kernel counts it.

use super::support::Daemon;

/// User and system time of a process in ticks of 10 ms.
pub(super) fn processor_ticks(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<_> = text.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Resident memory of a process.
pub(super) fn resident_mib(daemon: &Daemon) -> u64 {
    status_mib(daemon, "VmRSS:")
}

/// The most memory that a process ever had resident.
pub(super) fn peak_mib(daemon: &Daemon) -> u64 {
    status_mib(daemon, "VmHWM:")
}

fn status_mib(daemon: &Daemon, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap().div_ceil(1024)
}
