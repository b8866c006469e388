//! libgit2's process-wide state: time limits, where it looks for configuration, trusted directories.
//!
//! Nobody's own git configuration is read: neither the user's nor the system's decides what we do.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use git2::ConfigLevel;

/// A private directory that libgit2 takes for the user's home, and what is written there.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` where no directory can be written; what needs one then says so.
    home: Option<PathBuf>,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    timeout: Duration,
    trusted: BTreeSet<PathBuf>,
    known_hosts: BTreeMap<String, Vec<String>>,
}

/// The one state of this process; libgit2 has no smaller scope for it.
pub(super) fn process() -> &'static Process {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    PROCESS.get_or_init(|| {
        let home = private_directory();
        let searched = home.as_deref().unwrap_or(Path::new("/nonexistent"));
        isolate(searched);
        Process { home, written: Mutex::default() }
    })
}

impl Process {
    /// Lets no network step wait longer than this for the next byte; the longest one asked for holds.
    pub(super) fn limit_waiting(&self, timeout: Duration) {
        let mut written = self.written();
        if timeout > written.timeout {
            written.timeout = timeout;
            set_timeouts(timeout);
        }
    }

    /// Makes libgit2 work in a checkout that belongs to another user, and in no other one.
    pub(super) fn trust(&self, directory: &Path) -> io::Result<()> {
        let mut written = self.written();
        let real = fs::canonicalize(directory)?;
        if !written.trusted.insert(real.clone()) {
            return Ok(());
        }
        let mut text = "[safe]\n".to_owned();
        for directory in &written.trusted {
            let escaped = directory.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\tdirectory = \"{}\"", escaped.replace('\n', "\\n"));
        }
        let result = self.write(".gitconfig", &text);
        if result.is_err() {
            written.trusted.remove(&real);
        }
        result
    }

    /// Tells libgit2 which types of key of a host we can check, so that it asks the host for one of them.
    pub(super) fn prefer_host_keys(&self, name: &str, lines: Vec<String>) -> io::Result<()> {
        let mut written = self.written();
        if lines.is_empty() || written.known_hosts.get(name) == Some(&lines) {
            return Ok(());
        }
        written.known_hosts.insert(name.to_owned(), lines);
        let lines: Vec<&str> = written.known_hosts.values().flatten().map(String::as_str).collect();
        self.write(".ssh/known_hosts", &format!("{}\n", lines.join("\n")))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let home = self.home.as_ref().ok_or_else(|| {
            io::Error::other("no private directory can be made: mount a writable /tmp or /dev/shm")
        })?;
        let new = home.join(format!("{name}.new"));
        fs::write(&new, text)?;
        fs::rename(new, home.join(name))
    }
}

/// A new directory only we can read, in the first place that has room for one.
fn private_directory() -> Option<PathBuf> {
    let places = [std::env::temp_dir(), PathBuf::from("/dev/shm"), PathBuf::from("/run")];
    places.into_iter().find_map(|place| {
        remove_left_over(&place);
        let directory = place.join(format!("{PREFIX}{}", std::process::id()));
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        // The first one fails where a directory of that name exists, whoever made it.
        fs::create_dir_all(&place).and_then(|()| builder.create(&directory)).ok()?;
        builder.create(directory.join(".ssh")).ok()?;
        Some(directory)
    })
}

const PREFIX: &str = "roadstead-git-";

/// Removes the directories of processes that ended.
fn remove_left_over(place: &Path) {
    let us = std::process::id();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        let gone = |owner: u32| owner == us || !Path::new(&format!("/proc/{owner}")).exists();
        if owner.is_some_and(gone) {
            // Best effort: another user's is not ours to remove, and the next start tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[expect(
    unsafe_code,
    reason = "libgit2's search paths and home directory are process-wide globals"
)]
fn isolate(home: &Path) {
    let Ok(path) = CString::new(home.as_os_str().as_bytes()) else { return };
    let nowhere = home.join("none");
    let levels = [
        (ConfigLevel::Global, home),
        (ConfigLevel::System, nowhere.as_path()),
        (ConfigLevel::XDG, nowhere.as_path()),
        (ConfigLevel::ProgramData, nowhere.as_path()),
    ];
    // SAFETY: called once, from the initialisation that every use of libgit2 in this crate waits for,
    // so that nothing reads these globals meanwhile. The string outlives the call, which copies it.
    unsafe {
        for (level, path) in levels {
            // Fails only for paths that hold a zero byte.
            let _ = git2::opts::set_search_path(level, path);
        }
        libgit2_sys::git_libgit2_opts(
            libgit2_sys::GIT_OPT_SET_HOMEDIR.cast_signed(),
            path.as_ptr(),
        );
    }
}

#[expect(unsafe_code, reason = "libgit2's network time limits are process-wide globals")]
fn set_timeouts(timeout: Duration) {
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: these are plain integers that libgit2 reads once a connection is made; the lock of the
    // caller keeps writers apart, and there is one writer unless tests make several adapters.
    unsafe {
        let _ = git2::opts::set_server_connect_timeout_in_milliseconds(milliseconds);
        let _ = git2::opts::set_server_timeout_in_milliseconds(milliseconds);
    }
}
