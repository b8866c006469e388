//! A registry on loopback, by Debian's docker-registry.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Engine, free_port, wait_for};

/// A running registry; the private engines trust it without TLS. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    child: Child,
    _data: TempDir,
}

impl Registry {
    /// Starts a registry and waits until it answers.
    pub(crate) fn start() -> Self {
        let program = "/usr/bin/docker-registry";
        assert!(Path::new(program).exists(), "install docker-registry (scripts/setup.sh)");
        let data = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = data.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            data.path().display()
        );
        std::fs::write(&config, text).unwrap();
        // `setpriv` ends it with us, also when we are killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program, "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { port, child, _data: data };
        wait_for("the registry", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        registry
    }

    /// Returns the full reference of `name` (`app:1`) in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Pushes an image that `engine` has, as `name`; the engine then has only the original.
    pub(crate) fn push(&self, engine: &Engine, image: &str, name: &str) -> String {
        let reference = self.reference(name);
        engine.docker(&["tag", image, &reference]);
        engine.docker(&["push", "--quiet", &reference]);
        engine.docker(&["rmi", &reference]);
        reference
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
