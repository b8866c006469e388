//! A small world of git: a bare remote, a work tree that pushes, a checkout that follows, and servers.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use roadstead::git::{Git, Look};
use roadstead::settings::GitSettings;
use roadstead::source::{Commit, Origin, Source};
use tempfile::TempDir;

/// Runs a program; a missing one is a failure that names it.
fn start(program: &str, arguments: &[&str], directory: Option<&Path>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_AUTHOR_NAME", "Ann"),
        ("GIT_AUTHOR_EMAIL", "ann@example.org"),
        ("GIT_COMMITTER_NAME", "Ann"),
        ("GIT_COMMITTER_EMAIL", "ann@example.org"),
    ] {
        command.env(name, value);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("these tests need `{program}`: install it ({error})"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    output
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    start(program, arguments, None);
}

pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(start(program, arguments, None).stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) {
    start("git", arguments, Some(directory));
}

pub(crate) fn git_output(directory: &Path, arguments: &[&str]) -> String {
    let output = start("git", arguments, Some(directory));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A bare remote with one commit, a work tree that pushes to it, and a checkout that follows it.
pub(crate) struct Repositories {
    root: TempDir,
    pub(crate) remote: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) checkout: PathBuf,
}

impl Repositories {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().canonicalize().unwrap().join(name);
        let (remote, work, checkout) = (at("remote.git"), at("work"), at("checkout"));
        fs::create_dir(at("keys")).unwrap();
        git(root.path(), &["init", "-q", "--bare", "-b", "main", remote.to_str().unwrap()]);
        git(root.path(), &["clone", "-q", remote.to_str().unwrap(), work.to_str().unwrap()]);
        git(&work, &["switch", "-qC", "main"]);
        let world = Self { root, remote, work, checkout };
        world.push("a.txt", "one");
        let checkout = world.checkout.to_str().unwrap();
        git(world.root.path(), &["clone", "-q", &world.url(), checkout]);
        world
    }

    /// Commits a file with this text, and whatever else was changed, and pushes it.
    pub(crate) fn push(&self, name: &str, text: &str) -> Commit {
        let file = self.work.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        git(&self.work, &["add", "-Af"]);
        git(&self.work, &["commit", "-qm", &format!("change {name}")]);
        git(&self.work, &["push", "-q", "origin", "main"]);
        Commit(git_output(&self.work, &["rev-parse", "HEAD"]))
    }

    pub(crate) fn head(&self) -> Commit {
        let trust = format!("safe.directory={}", self.checkout.display());
        Commit(git_output(&self.checkout, &["-c", &trust, "rev-parse", "HEAD"]))
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.path("keys")
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.remote.display())
    }

    pub(crate) fn settings(&self, timeout: Duration) -> GitSettings {
        GitSettings {
            deploy_key_dir: self.keys(),
            known_hosts: self.keys().join("known_hosts"),
            token_dir: self.keys(),
            timeout,
        }
    }

    pub(crate) fn adapter(&self) -> Git {
        Git::new(&self.settings(Duration::from_secs(20)))
    }

    pub(crate) fn source(&self) -> Source {
        Source {
            name: "checkout".to_owned(),
            directory: self.checkout.clone(),
            origin: Origin::InPlace,
        }
    }

    pub(crate) async fn look(&self) -> Look {
        self.adapter().look(&self.source()).await
    }

    /// Names, sizes and times of everything in `.git`.
    pub(crate) fn git_directory_listing(&self) -> String {
        let directory = self.checkout.join(".git");
        output("find", &[directory.to_str().unwrap(), "-type", "f", "-printf", "%p %s %T@\n"])
    }
}

/// Stops a server when the test ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(program: &str, arguments: &[&str], port: u16) -> Server {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("these tests need `{program}`: install it ({error})"));
    let server = Server(child);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "`{program}` does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// lighttpd in front of `git http-backend`, with a password.
pub(crate) struct HttpServer {
    port: u16,
    _server: Server,
}

impl HttpServer {
    pub(crate) fn start(directory: &Path, user: &str, password: &str) -> Self {
        let port = free_port();
        let backend = format!("{}/git-http-backend", output("git", &["--exec-path"]));
        assert!(Path::new(&backend).exists(), "these tests need `{backend}`: install git");
        let root = directory.display();
        fs::write(directory.join("passwords"), format!("{user}:{password}\n")).unwrap();
        let configuration = format!(
            r#"
server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{root}"
server.modules = ( "mod_auth", "mod_authn_file", "mod_alias", "mod_setenv", "mod_cgi" )
alias.url = ( "/git" => "{backend}" )
cgi.assign = ( "" => "" )
setenv.add-environment = ( "GIT_PROJECT_ROOT" => "{root}", "GIT_HTTP_EXPORT_ALL" => "1",
  "GIT_CONFIG_COUNT" => "1", "GIT_CONFIG_KEY_0" => "safe.directory", "GIT_CONFIG_VALUE_0" => "*" )
auth.backend = "plain"
auth.backend.plain.userfile = "{root}/passwords"
auth.require = ( "/git" => ( "method" => "basic", "realm" => "git", "require" => "valid-user" ) )
"#
        );
        let file = directory.join("lighttpd.conf");
        fs::write(&file, configuration).unwrap();
        let server = serve("lighttpd", &["-D", "-f", file.to_str().unwrap()], port);
        Self { port, _server: server }
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/git/{repository}", self.port)
    }
}

/// Debian's sshd with keys of its own, which lets the key `client` in.
pub(crate) struct SshServer {
    port: u16,
    directory: PathBuf,
    _server: Server,
}

impl SshServer {
    pub(crate) fn start(directory: &Path) -> Self {
        let directory = directory.join("ssh");
        fs::create_dir(&directory).unwrap();
        let at = |name: &str| directory.join(name).display().to_string();
        for name in ["host", "client", "other"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &at(name)]);
        }
        fs::copy(directory.join("client.pub"), directory.join("authorized")).unwrap();
        run("chmod", &["600", &at("authorized")]);
        // Debian's sshd wants its directory for unprivileged work, which only the service makes.
        fs::create_dir_all("/run/sshd").unwrap();
        let port = free_port();
        let configuration = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             StrictModes no\nPidFile none\nPermitRootLogin yes\n",
            at("host"),
            at("authorized"),
        );
        fs::write(directory.join("sshd_config"), configuration).unwrap();
        let arguments = ["-D", "-e", "-f", &at("sshd_config")];
        let server = serve("/usr/sbin/sshd", &arguments, port);
        Self { port, directory, _server: server }
    }

    pub(crate) fn url(&self, repository: &Path) -> String {
        let user = output("id", &["-un"]);
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, repository.display())
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn known_host(&self) -> String {
        self.known_host_with(&self.key("host"))
    }

    pub(crate) fn known_host_with(&self, key: &Path) -> String {
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        format!("[127.0.0.1]:{} {public}", self.port)
    }
}

/// A server that accepts and never says a word.
pub(crate) fn silent_server() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}
