//! What a daemon takes of the machine, as the kernel counts it.

use super::support::Daemon;

/// User and system time of a process in ticks of 10 ms.
pub(super) fn processor_ticks(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields: Vec<_> = text.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Resident memory of a process.
pub(super) fn resident_bytes(daemon: &Daemon) -> u64 {
    status_bytes(daemon, "VmRSS:")
}

/// The most memory that a process ever had resident.
pub(super) fn peak_bytes(daemon: &Daemon) -> u64 {
    status_bytes(daemon, "VmHWM:")
}

/// A size as the table shows it.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

fn status_bytes(daemon: &Daemon, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
