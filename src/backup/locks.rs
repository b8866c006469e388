//! Locks as restic writes and heeds them, so that both can work on one repository.
//!
//! A lock is a small encrypted file. Whoever takes one looks for others, writes its own, and looks
//! again. It is written anew every few minutes; one that was not for long is of somebody who is gone.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustic_core::jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::pause;
use super::protocol::Failure;
use super::seal::{Seal, name_of};
use super::store::{Backend, Fault, Kind};
use super::talk::{Failed, Outcome, Talk, locked};

/// How often a lock is written anew.
const REFRESH: Duration = Duration::from_mins(5);
/// After this restic takes a lock for forgotten.
const STALE: SignedDuration = SignedDuration::from_mins(30);
/// A lock that could not be written anew for so long may soon be taken for forgotten.
const LOST: Duration = Duration::from_mins(25);
/// How long somebody else's lock is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Between writing a lock and looking for others that were written at the same time.
const SETTLE: Duration = Duration::from_millis(200);

/// Who has a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lock {
    time: Timestamp,
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Lock {
    fn own(exclusive: bool, user: &str) -> Self {
        Self {
            time: Timestamp::now(),
            exclusive,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            username: user.to_owned(),
            pid: std::process::id().into(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.time) > STALE
    }
}

/// A lock of ours.
pub(super) struct Held {
    backend: Arc<Backend>,
    seal: Seal,
    exclusive: bool,
    /// Its file; `None` once it is given back.
    name: Mutex<Option<String>>,
    /// Dropped, it ends the thread that keeps it fresh.
    _fresh: Sender<()>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Held").field("exclusive", &self.exclusive).finish_non_exhaustive()
    }
}

/// Takes a lock, and keeps it fresh until the process ends.
///
/// # Errors
///
/// When somebody else has it, or it cannot be written.
pub(super) fn take(
    backend: &Arc<Backend>,
    seal: Seal,
    exclusive: bool,
    talk: &Arc<Talk>,
) -> Outcome<()> {
    let start = Instant::now();
    let name = loop {
        let mut other = conflict(backend, &seal, exclusive, None)?;
        if other.is_none() {
            let name = write(backend, &seal, exclusive)?;
            pause(SETTLE);
            other = conflict(backend, &seal, exclusive, Some(&name))?;
            if other.is_none() {
                break name;
            }
            let removed = backend.store.remove(Kind::Locks, &name);
            removed.map_err(|fault| backend.failed(fault, "locks"))?;
        }
        if start.elapsed() > PATIENCE {
            return Err(refused(backend, other));
        }
        pause(BETWEEN_LOOKS);
    };
    let (sender, ended) = channel();
    let held = Arc::new(Held {
        backend: Arc::clone(backend),
        seal,
        exclusive,
        name: Mutex::new(Some(name)),
        _fresh: sender,
    });
    let (weak, again) = (Arc::downgrade(&held), Arc::clone(talk));
    talk.hold(held);
    std::thread::spawn(move || keep_fresh(&weak, &ended, &again));
    Ok(())
}

fn keep_fresh(held: &Weak<Held>, ended: &Receiver<()>, talk: &Talk) {
    let mut written = Instant::now();
    while matches!(ended.recv_timeout(REFRESH), Err(RecvTimeoutError::Timeout)) {
        let Some(held) = held.upgrade() else { return };
        if held.refresh() {
            written = Instant::now();
        } else if written.elapsed() > LOST {
            let what = "our lock could not be kept for 25 minutes, so others may not see it";
            talk.end(Err(held.backend.failed(Fault::Unreachable(what.to_owned()), "locks")));
        }
    }
}

impl Held {
    /// Writes it anew, and then removes the old file.
    fn refresh(&self) -> bool {
        let mut name = locked(&self.name);
        let Some(old) = &*name else { return true };
        let Ok(new) = write(&self.backend, &self.seal, self.exclusive) else { return false };
        // One too many is stale in half an hour.
        let _ = self.backend.store.remove(Kind::Locks, old);
        *name = Some(new);
        true
    }

    /// Gives it back.
    pub(super) fn release(&self) {
        if let Some(name) = locked(&self.name).take() {
            // One that stays is stale in half an hour.
            let _ = self.backend.store.remove(Kind::Locks, &name);
        }
    }
}

/// Removes locks: those that are stale, or all.
///
/// # Errors
///
/// When they cannot be read or removed.
pub(super) fn unlock(backend: &Backend, seal: &Seal, all: bool) -> Outcome<u64> {
    let mut removed = 0;
    for (name, lock) in read(backend, seal)? {
        if all || lock.is_some_and(|lock| lock.is_stale(Timestamp::now())) {
            let done = backend.store.remove(Kind::Locks, &name);
            done.map_err(|fault| backend.failed(fault, "locks"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A lock of somebody else that ours cannot stand beside; stale ones are removed. The inner `None` is one
/// that cannot be read.
fn conflict(
    backend: &Backend,
    seal: &Seal,
    exclusive: bool,
    own: Option<&str>,
) -> Outcome<Option<Option<Lock>>> {
    let now = Timestamp::now();
    for (name, lock) in read(backend, seal)? {
        if own == Some(&name) {
            continue;
        }
        match lock {
            Some(lock) if lock.is_stale(now) => {
                // Whoever wrote it is gone; another one may have removed it just now.
                let _ = backend.store.remove(Kind::Locks, &name);
            }
            Some(lock) if !exclusive && !lock.exclusive => {}
            other => return Ok(Some(other)),
        }
    }
    Ok(None)
}

fn read(backend: &Backend, seal: &Seal) -> Outcome<Vec<(String, Option<Lock>)>> {
    let failed = |fault| backend.failed(fault, "locks");
    let mut locks = Vec::new();
    for (name, _) in backend.store.list(Kind::Locks).map_err(failed)? {
        match backend.store.read(Kind::Locks, &name, None) {
            Ok(content) => {
                let plain = seal.open(&content);
                let lock = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
                locks.push((name, lock));
            }
            Err(Fault::Missing) => {}
            Err(fault) => return Err(failed(fault)),
        }
    }
    Ok(locks)
}

fn write(backend: &Backend, seal: &Seal, exclusive: bool) -> Outcome<String> {
    let plain = serde_json::to_vec(&Lock::own(exclusive, "root")).unwrap_or_default();
    let content = seal.close(&plain).unwrap_or_default();
    let name = name_of(&content);
    let written = backend.store.write(Kind::Locks, &name, &[Bytes::from(content)]);
    written.map_err(|fault| backend.failed(fault, "locks"))?;
    Ok(name)
}

fn refused(backend: &Backend, other: Option<Option<Lock>>) -> Failed {
    let who = match other.flatten() {
        Some(lock) => {
            let what = if lock.exclusive { "exclusively " } else { "" };
            let Lock { hostname, pid, time, username, .. } = lock;
            let since = time.strftime("%Y-%m-%dT%H:%M:%SZ");
            format!("{what}by process {pid} of {username} on {hostname} since {since}")
        }
        None => "by somebody whose lock cannot be read".to_owned(),
    };
    Failed::new(
        Failure::Locked,
        format!(
            "{} is locked {who}: wait for the end of that work; if it is not there any more, run \
             `roadstead backup unlock`",
            backend.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_reads_as_restic_writes_it_and_grows_stale() {
        let text = r#"{"time":"2026-03-01T10:00:00.5+01:00","exclusive":true,"hostname":"h",
                       "username":"ada","pid":7,"uid":1000,"gid":1000}"#;
        let lock: Lock = serde_json::from_str(text).unwrap();
        assert!(lock.exclusive && lock.pid == 7 && lock.hostname == "h");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(!lock.is_stale(at("2026-03-01T09:29:00Z")));
        assert!(lock.is_stale(at("2026-03-01T09:31:00Z")));
    }
}
