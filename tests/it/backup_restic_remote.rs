//! `backup` where restic opens what is elsewhere: a directory by sftp, a REST server, a bucket behind a
//! private authority.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails, and one drives a server"
)]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::bucket::SafeServer;
use crate::support::machine::Image;
use crate::support::rest_server::RestServer;
use crate::support::scene::PATIENCE;
use crate::support::worker::{PASSWORD, restic_checks};
use crate::support::{Engine, Roadstead, free_port, run, unique, wait_for};

const LIST: &str = "cd /data && find . -type f -exec md5sum {} + | sort";

/// Has Debian's restic and ssh.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let image = Image::new();
        image.programs(&["/usr/bin/restic", "/usr/bin/ssh"].map(PathBuf::from));
        image.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        image.write("root/empty", "");
        image.import(Engine::shared(), "restic-ssh", "/bin:/usr/bin")
    })
}

/// A volume with data, and a job that keeps it.
struct Site {
    engine: &'static Engine,
    roadstead: Roadstead,
    job: String,
    volume: String,
}

impl Site {
    fn new() -> Self {
        let engine = Engine::shared();
        let roadstead = Roadstead::new(&engine.host(), "");
        let site = Self { engine, roadstead, job: unique("far"), volume: unique("data") };
        engine.docker(&["volume", "create", &site.volume]);
        let fill = "mkdir /data/deep && head -c 3000000 /dev/urandom > /data/deep/noise && echo 1 > /data/one";
        site.in_volume(&site.volume, fill);
        site
    }

    fn in_volume(&self, volume: &str, command: &str) -> String {
        let mount = format!("{volume}:/data");
        let run = ["run", "--rm", "--volume", &mount, "rs-test/app:1", "sh", "-c", command];
        self.engine.docker(&run)
    }

    /// Writes the job; `variables` open the repository.
    fn write_job(&self, repository: &str, variables: &str, rest: &str) {
        let file = self.roadstead.path("restic.env");
        fs::write(&file, format!("RESTIC_PASSWORD={PASSWORD}\n{variables}")).unwrap();
        let text = format!(
            "name: {}\nbackup:\n  repository: {repository}\n  env_file: {}\n  init: true\n  \
             image: {}\n  volumes: [{}]\n{rest}",
            self.job,
            file.display(),
            image(),
            self.volume
        );
        self.roadstead.write_job("job.yml", &text);
    }

    /// Stores, looks whether all is whole, and restores.
    #[track_caller]
    fn goes_there_and_back(&self) {
        let said = self.roadstead.run(&["run", &self.job]).ok();
        assert!(said.contains("stored: files"), "{said}");
        let whole = self.roadstead.run(&["backup", "verify", &self.job, "--all"]).ok();
        assert!(whole.contains("is whole"), "{whole}");
        self.roadstead.run(&["backup", "restore", &self.job]).ok();
        let restored = format!("{}-restored", self.volume);
        assert_eq!(self.in_volume(&restored, LIST), self.in_volume(&self.volume, LIST));
        self.engine.docker(&["volume", "rm", &restored]);
        assert_eq!(self.snapshots(), 1);
    }

    /// A run that fails for a reason.
    #[track_caller]
    fn fails(&self, reason: &str) -> String {
        let said = self.roadstead.run(&["run", &self.job]).fails_with(1);
        assert!(said.contains(reason), "{said}");
        said
    }

    fn snapshots(&self) -> usize {
        let list = self.roadstead.run(&["backup", "list", &self.job, "--json"]).ok();
        serde_json::from_str::<Vec<Value>>(&list).unwrap().len()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let restored = format!("{}-restored", self.volume);
        self.engine.try_docker(&["volume", "rm", "--force", &self.volume, &restored]);
    }
}

/// An sshd that lets one key in. Dropped, it ends.
struct Sshd {
    server: Child,
    port: u16,
}

impl Sshd {
    /// Starts it with keys of its own in `ssh`, and leaves there what a client needs.
    fn start(ssh: &std::path::Path) -> Self {
        fs::create_dir(ssh).unwrap();
        for name in ["host", "other", "id_ed25519"] {
            run(ssh, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
        }
        fs::copy(ssh.join("id_ed25519.pub"), ssh.join("authorized")).unwrap();
        // Debian's sshd wants its directory for unprivileged work, which only the service makes.
        fs::create_dir_all("/run/sshd").unwrap();
        let port = free_port();
        let at = |name: &str| ssh.join(name).display().to_string();
        let configuration = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n\
             PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
            at("host"),
            at("authorized")
        );
        fs::write(ssh.join("sshd_config"), configuration).unwrap();
        let server = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests need sshd (scripts/setup.sh)");
        wait_for("sshd", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let sshd = Self { server, port };
        sshd.is_known_by(ssh, "host");
        sshd
    }

    fn is_known_by(&self, ssh: &std::path::Path, key: &str) {
        let public = fs::read_to_string(ssh.join(format!("{key}.pub"))).unwrap();
        let line = format!("[127.0.0.1]:{} {public}", self.port);
        fs::write(ssh.join("known_hosts"), line).unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_directory_elsewhere_is_reached_by_sftp() {
    let site = Site::new();
    let ssh = site.roadstead.path("ssh");
    let sshd = Sshd::start(&ssh);
    let place = site.roadstead.path("elsewhere");
    let repository = format!("sftp://root@127.0.0.1:{}/{}", sshd.port, place.display());
    site.write_job(&repository, "", &format!("  ssh_dir: {}\n", ssh.display()));
    site.goes_there_and_back();
    restic_checks(&place.display().to_string());

    // A host that is not who it was, and one that does not know us.
    sshd.is_known_by(&ssh, "other");
    let said = site.fails("remote_unreachable");
    // The words of ssh itself are not always there: restic does not wait for them.
    assert!(said.contains("`known_hosts`"), "{said}");
    sshd.is_known_by(&ssh, "host");
    fs::rename(ssh.join("other"), ssh.join("id_ed25519")).unwrap();
    let said = site.fails("remote_unreachable");
    assert!(said.contains("a key that is let in"), "{said}");
    assert_eq!(fs::read_dir(place.join("snapshots")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(place.join("locks")).unwrap().count(), 0);
}

#[test]
fn a_rest_server_asks_who_we_are() {
    let site = Site::new();
    let server = RestServer::start();
    // ada:rest-s3cret-pass
    server.wants("YWRhOnJlc3QtczNjcmV0LXBhc3M=");
    let repository = format!("rest:{}", server.url(""));
    let credentials =
        |password: &str| format!("RESTIC_REST_USERNAME=ada\nRESTIC_REST_PASSWORD={password}\n");
    let url = server.url("ada:rest-s3cret-pass");
    for (address, variables) in
        [(&repository, credentials("rest-s3cret-pass")), (&format!("rest:{url}"), String::new())]
    {
        site.write_job(address, &variables, "  engine: restic\n  keep: {last: 1}\n");
        site.goes_there_and_back();
    }
    site.write_job(&repository, &credentials("rest-s3cret-fail"), "  engine: restic\n");
    let said = site.fails("remote_unreachable");
    assert!(said.contains("401") && !said.contains("s3cret"), "{said}");
    server.die();
    site.fails("remote_unreachable");
}

#[test]
fn a_bucket_is_reached_by_an_authority_of_ours() {
    let site = Site::new();
    let authority = Authority::new();
    let server = SafeServer::start(&authority);
    let repository = format!("s3:https://127.0.0.1:{}/bucket/some/where", server.port);
    let variables = "AWS_ACCESS_KEY_ID=AKIAKEEPER\nAWS_SECRET_ACCESS_KEY=aws-s3cret-key\n";
    site.write_job(&repository, variables, "  engine: restic\n");
    let said = site.fails("remote_unreachable");
    assert!(said.contains("certificate") && !said.contains("s3cret"), "{said}");
    let trusted = format!("  ca_file: {}\n", authority.path("ca.pem").display());
    site.write_job(&repository, variables, &format!("  engine: restic\n{trusted}"));
    site.goes_there_and_back();
    // Our own engine goes on with it.
    site.write_job(&repository, variables, &trusted);
    let whole = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
    assert!(whole.contains("is whole"), "{whole}");
    assert_eq!(site.snapshots(), 1);
}
