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
use super::protocol::{Failure, Holder};
use super::seal::{Seal, name_of};
use super::store::{Backend, Fault, Kind};
use super::talk::{Failed, Leave, Outcome, Talk, locked};

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
    fn own(exclusive: bool, holder: &Holder) -> Self {
        let username = if holder.engine.is_empty() {
            "root".to_owned()
        } else {
            holder.user(&holder.container)
        };
        Self {
            time: Timestamp::now(),
            exclusive,
            hostname: host_name(),
            username,
            pid: std::process::id().into(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.time) > STALE
    }

    /// Whether nobody holds it any more.
    fn is_left(&self, holder: &Holder) -> bool {
        self.is_stale(Timestamp::now())
            || self.hostname == host_name()
                && !holder.engine.is_empty()
                && holder.is_gone(&self.username, self.time.as_millisecond())
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Where locks are, and who takes one.
pub(super) struct Locker {
    pub(super) backend: Arc<Backend>,
    pub(super) seal: Seal,
    pub(super) holder: Holder,
}

/// A lock of somebody else.
enum Other {
    Known(Lock),
    /// None of this repository's key.
    Unreadable,
}

/// A lock of ours.
pub(super) struct Held {
    locker: Locker,
    exclusive: bool,
    /// Its file. While one is written or removed nobody else does.
    file: Mutex<LockFile>,
    /// Dropped, it ends the thread that keeps it fresh.
    _fresh: Sender<()>,
}

/// The file of a lock.
#[derive(Debug, PartialEq, Eq)]
enum LockFile {
    NotYet,
    Named(String),
    GivenBack,
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
pub(super) fn take(locker: Locker, exclusive: bool, talk: &Arc<Talk>) -> Outcome<()> {
    let (sender, ended) = channel();
    let file = Mutex::new(LockFile::NotYet);
    let held = Arc::new(Held { locker, exclusive, file, _fresh: sender });
    // Before there is one: the process may be ended at any time.
    talk.hold(Arc::clone(&held) as _);
    held.win(Instant::now() + PATIENCE)?;
    let (weak, again) = (Arc::downgrade(&held), Arc::clone(talk));
    std::thread::spawn(move || keep_fresh(&weak, &ended, &again));
    Ok(())
}

fn keep_fresh(held: &Weak<Held>, ended: &Receiver<()>, talk: &Talk) {
    let mut written = Instant::now();
    while matches!(ended.recv_timeout(REFRESH), Err(RecvTimeoutError::Timeout)) {
        let Some(held) = held.upgrade() else { return };
        if held.write().is_ok() {
            written = Instant::now();
        } else if written.elapsed() > LOST {
            let what = "our lock could not be kept for 25 minutes, so others may not see it";
            let backend = &held.locker.backend;
            talk.end(Err(backend.failed(Fault::Unreachable(what.to_owned()), "locks")));
        }
    }
}

impl Leave for Held {
    fn leave(&self) {
        self.release();
    }
}

impl Held {
    /// Writes it, and looks for others before and after, until `last`.
    fn win(&self, last: Instant) -> Outcome<()> {
        let Self { locker, exclusive, .. } = self;
        let backend = &locker.backend;
        loop {
            let mut other = conflict(locker, *exclusive, None)?;
            if other.is_none() {
                let name = self.write()?;
                pause(SETTLE);
                other = conflict(locker, *exclusive, Some(&name))?;
                if other.is_none() {
                    return Ok(());
                }
                let mut file = locked(&self.file);
                let removed = backend.store.remove(Kind::Locks, &name);
                removed.map_err(|fault| backend.failed(fault, "locks"))?;
                *file = LockFile::NotYet;
            }
            if Instant::now() > last {
                return Err(refused(backend, other));
            }
            pause(BETWEEN_LOOKS);
        }
    }

    /// Writes its file, in place of the one before; its name.
    fn write(&self) -> Outcome<String> {
        let mut file = locked(&self.file);
        if *file == LockFile::GivenBack {
            return Err(Failed::new(Failure::Stopped, "stopped"));
        }
        let Locker { backend, seal, holder } = &self.locker;
        let new = write(backend, seal, &Lock::own(self.exclusive, holder))?;
        if let LockFile::Named(old) = &*file {
            // One too many is stale in half an hour.
            let _ = backend.store.remove(Kind::Locks, old);
        }
        *file = LockFile::Named(new.clone());
        Ok(new)
    }

    /// Gives it back; nobody takes it again.
    fn release(&self) {
        let mut file = locked(&self.file);
        if let LockFile::Named(name) = &*file {
            // One that stays is stale in half an hour.
            let _ = self.locker.backend.store.remove(Kind::Locks, name);
        }
        *file = LockFile::GivenBack;
    }
}

/// Removes locks: those that are stale, or all.
///
/// # Errors
///
/// When they cannot be read or removed.
pub(super) fn unlock(locker: &Locker, all: bool) -> Outcome<u64> {
    let Locker { backend, seal, holder } = locker;
    let mut removed = 0;
    for (name, lock) in read(backend, seal)? {
        if all || lock.is_some_and(|lock| lock.is_left(holder)) {
            let done = backend.store.remove(Kind::Locks, &name);
            done.map_err(|fault| backend.failed(fault, "locks"))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A lock of somebody else that ours cannot stand beside; those that nobody holds are removed.
fn conflict(locker: &Locker, exclusive: bool, own: Option<&str>) -> Outcome<Option<Other>> {
    let Locker { backend, seal, holder } = locker;
    for (name, lock) in read(backend, seal)? {
        if own == Some(&name) {
            continue;
        }
        match lock {
            Some(lock) if lock.is_left(holder) => {
                // Whoever wrote it is gone; another one may have removed it just now.
                let _ = backend.store.remove(Kind::Locks, &name);
            }
            Some(lock) if !exclusive && !lock.exclusive => {}
            Some(lock) => return Ok(Some(Other::Known(lock))),
            None => return Ok(Some(Other::Unreadable)),
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

fn write(backend: &Backend, seal: &Seal, lock: &Lock) -> Outcome<String> {
    let plain = serde_json::to_vec(lock).unwrap_or_default();
    let content = seal.close(&plain).unwrap_or_default();
    let name = name_of(&content);
    let written = backend.store.write(Kind::Locks, &name, &[Bytes::from(content)]);
    written.map_err(|fault| backend.failed(fault, "locks"))?;
    Ok(name)
}

fn refused(backend: &Backend, other: Option<Other>) -> Failed {
    let who = match other {
        Some(Other::Known(lock)) => {
            let what = if lock.exclusive { "exclusively " } else { "" };
            let Lock { hostname, pid, time, username, .. } = lock;
            let moment = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let (last, free) = (moment(time), moment(time + STALE));
            format!(
                "{what}by process {pid} of {username} on {hostname}, last heard of at {last}: wait for \
                 the end of that work; where it is not there any more, its lock is passed over from \
                 {free} on"
            )
        }
        Some(Other::Unreadable) | None => "by somebody whose lock cannot be read".to_owned(),
    };
    Failed::new(Failure::Locked, format!("{} is locked {who}", backend.name))
}

#[cfg(test)]
mod tests {
    use rustic_core::repofile::MasterKey;

    use super::*;
    use crate::backup::protocol::{Access, Tool};
    use crate::job::work::Location;

    /// A place for locks, and a key.
    fn place() -> (tempfile::TempDir, Arc<Backend>, Seal) {
        let directory = tempfile::tempdir().unwrap();
        let access = Access {
            tool: Tool::Rustic,
            location: Location::Directory(directory.path().to_path_buf()),
            password: String::new(),
            init: true,
            credentials: Vec::new(),
            certificates: None,
        };
        let backend = Backend::new(&access, &Arc::default()).unwrap();
        backend.store.create().unwrap();
        (directory, backend, Seal::new(&MasterKey::default()))
    }

    fn held(backend: &Arc<Backend>, seal: Seal, exclusive: bool) -> Held {
        held_by(backend, seal, exclusive, Holder::default())
    }

    fn held_by(backend: &Arc<Backend>, seal: Seal, exclusive: bool, holder: Holder) -> Held {
        let (backend, file) = (Arc::clone(backend), Mutex::new(LockFile::NotYet));
        Held { locker: Locker { backend, seal, holder }, exclusive, file, _fresh: channel().0 }
    }

    #[test]
    fn a_lock_of_a_worker_that_is_gone_is_none() {
        let asked = Timestamp::now().as_millisecond();
        let holder = |container: &str, others: &[&str]| Holder {
            engine: "e1".to_owned(),
            container: container.to_owned(),
            others: others.iter().map(|it| (*it).to_owned()).collect(),
            asked,
        };
        let now = Lock::own(true, &holder("w1", &[]));
        let before = |seconds| Timestamp::now() - SignedDuration::from_secs(seconds);
        let mine = holder("w2", &[]);
        for (name, lock, holder, is_won) in [
            ("gone", Lock { time: before(5), ..now.clone() }, mine.clone(), true),
            ("of a try before", Lock { time: before(5), ..now.clone() }, holder("w1", &[]), true),
            ("there", Lock { time: before(5), ..now.clone() }, holder("w2", &["w1"]), false),
            ("begun since", Lock { time: before(-5), ..now.clone() }, mine.clone(), false),
            (
                "of another Engine",
                Lock { time: before(5), username: "roadstead/e2/w1".to_owned(), ..now.clone() },
                mine.clone(),
                false,
            ),
            (
                "of another host",
                Lock { time: before(5), hostname: "elsewhere".to_owned(), ..now.clone() },
                mine.clone(),
                false,
            ),
            (
                "of restic",
                Lock { time: before(5), username: "root".to_owned(), ..now.clone() },
                mine,
                false,
            ),
            ("not asked", Lock { time: before(5), ..now }, Holder::default(), false),
        ] {
            let (_directory, backend, seal) = place();
            write(&backend, &seal, &lock).unwrap();
            let won = held_by(&backend, seal, true, holder).win(Instant::now());
            assert_eq!(won.is_ok(), is_won, "{name}");
        }
    }

    #[test]
    fn a_lock_is_one_file_that_is_written_anew_and_given_back() {
        let (_directory, backend, seal) = place();
        let mine = held(&backend, seal, false);
        mine.win(Instant::now()).unwrap();
        let names = |backend: &Backend| backend.store.list(Kind::Locks).unwrap();
        let first = names(&backend);
        mine.write().unwrap();
        let second = names(&backend);
        assert!(first.len() == 1 && second.len() == 1 && first != second);
        mine.release();
        assert_eq!(names(&backend), []);
        assert_eq!(mine.write().unwrap_err().class, Failure::Stopped, "given back is given back");
        assert_eq!(names(&backend), []);
    }

    #[test]
    fn a_lock_stands_beside_shared_ones_only_and_removes_stale_ones() {
        for (theirs, mine, age, is_won) in [
            (false, false, 1, true),
            (false, true, 1, false),
            (true, false, 1, false),
            (true, true, 1, false),
            (true, true, 31, true),
            (false, true, 31, true),
        ] {
            let (_directory, backend, seal) = place();
            let time = Timestamp::now() - SignedDuration::from_mins(age);
            write(&backend, &seal, &Lock { time, ..Lock::own(theirs, &Holder::default()) })
                .unwrap();
            let held = held(&backend, seal, mine);
            let won = held.win(Instant::now());
            assert_eq!(won.is_ok(), is_won, "{theirs} {mine} {age}");
            held.release();
            let left = backend.store.list(Kind::Locks).unwrap().len();
            assert_eq!(left, usize::from(age < 30), "{theirs} {mine} {age}");
        }
        let (_directory, backend, seal) = place();
        backend.store.write(Kind::Locks, &name_of(b"x"), &[Bytes::from_static(b"x")]).unwrap();
        let refused = held(&backend, seal, false).win(Instant::now()).unwrap_err();
        assert!(refused.message.contains("cannot be read"), "{}", refused.message);
    }

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
