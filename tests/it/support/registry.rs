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
    data: TempDir,
}

/// The user of a registry that is not open to all.
pub(crate) const USER: &str = "ada";
/// The password; in ordinary base64 it has characters that addresses must not have.
pub(crate) const PASSWORD: &str = "??>~~p4ss";
/// The line of the registry's password file for both, by bcrypt.
const HTPASSWD: &str = "ada:$2y$05$abcdefghijklmnopqrstuu08bMblEMrszRghmdmZkV8X//QmU2Yke\n";

impl Registry {
    /// Starts a registry and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a registry that lets in [`USER`] with [`PASSWORD`] only.
    pub(crate) fn start_closed() -> Self {
        Self::start_with("auth: {htpasswd: {realm: closed, path: HTPASSWD}}\n")
    }

    fn start_with(more: &str) -> Self {
        let program = "/usr/bin/docker-registry";
        assert!(Path::new(program).exists(), "install docker-registry (scripts/setup.sh)");
        let data = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = data.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{}",
            data.path().display(),
            more.replace("HTPASSWD", &data.path().join("htpasswd").display().to_string())
        );
        std::fs::write(data.path().join("htpasswd"), HTPASSWD).unwrap();
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
        let registry = Self { port, child, data: data };
        wait_for("the registry", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        registry
    }

    /// Returns the full reference of `name` (`app:1`) in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Host and port, as credentials are kept by.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pushes an image that `engine` has, as `name`; the engine then has only the original.
    pub(crate) fn push(&self, engine: &Engine, image: &str, name: &str) -> String {
        let reference = self.reference(name);
        engine.docker(&["tag", image, &reference]);
        engine.docker(&["--config", &self.client_config(), "push", "--quiet", &reference]);
        engine.docker(&["rmi", &reference]);
        reference
    }
}

impl Registry {
    /// A directory with a docker client's configuration that opens this registry.
    pub(crate) fn client_config(&self) -> String {
        let directory = self.data.path().join("client");
        std::fs::create_dir_all(&directory).unwrap();
        let auth = base64(&format!("{USER}:{PASSWORD}"));
        let text = format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}", self.host());
        std::fs::write(directory.join("config.json"), text).unwrap();
        directory.display().to_string()
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
