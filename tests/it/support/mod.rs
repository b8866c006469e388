//! The rig: everything a test needs from outside, with names that never meet another test's.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs, waits for them, and fails loudly"
)]
#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    clippy::allow_attributes,
    reason = "each part serves some test modules, and the rig comes before them"
)]

pub(crate) mod authority;
pub(crate) mod bucket;
pub(crate) mod databases;
pub(crate) mod engine;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod project;
pub(crate) mod proxy;
pub(crate) mod qjazz;
pub(crate) mod receiver;
pub(crate) mod registry;
pub(crate) mod rest_server;
pub(crate) mod roadstead;
pub(crate) mod scene;
pub(crate) mod stack;
pub(crate) mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) use engine::Engine;
pub(crate) use process::{Output, run};
pub(crate) use project::TempProject;
pub(crate) use proxy::{Body, CountingProxy, Hold};
pub(crate) use registry::Registry;
pub(crate) use roadstead::{Daemon, Roadstead};
pub(crate) use scene::{Scene, oracle};

/// Makes a test of each function that takes an engine, once for the machine's engine and once for
/// the newer one.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod on_the_machines_engine {
            $(#[test] fn $name() { super::$name($crate::support::Engine::shared()); })+
        }
        mod on_the_newer_engine {
            $(#[test] fn $name() { super::$name($crate::support::Engine::newer()); })+
        }
    };
}
pub(crate) use on_both_engines;

/// The repository's directory.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns `PREFIX-PID-N`: fit for containers, projects and directories, and used once.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns a TCP port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `condition` holds, looking often; panics with `what` after `timeout`.
#[track_caller]
pub(crate) fn wait_for(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < timeout, "waited {timeout:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes `files` (path relative to `directory`, content), making directories.
pub(crate) fn write_files(directory: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
