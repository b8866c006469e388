//! Private Docker Engines, by `scripts/engine.sh`: they end with the test process, even a killed one.
//!
//! Two releases are tested: the machine's own (Debian 12's is 20.10, API 1.41), and a newer one (28.x)
//! that `scripts/oracle.sh engine` puts beside it, with the image store of containerd, as a newly
//! installed Engine 29 has it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::process::{Output, output};
use super::{repository, unique};

/// The smallest useful image: busybox with a web server, a shell and `/www/index.html`.
/// A shell as process 1 does not listen to SIGTERM, so it is killed at once.
const APP: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY index.html /www/index.html
STOPSIGNAL SIGKILL
";

/// The images every engine has, each `FROM scratch`: name, `index.html`, last lines.
const IMAGES: [(&str, &str, &str); 5] = [
    (
        "rs-test/app:1",
        "one\n",
        "LABEL version=1\nCMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n",
    ),
    (
        "rs-test/app:2",
        "two\n",
        "LABEL version=2\nCMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n",
    ),
    ("rs-test/broken:1", "", "ENTRYPOINT [\"sh\", \"-c\", \"echo broken by design; exit 1\"]\n"),
    (
        "rs-test/slow:1",
        "",
        "STOPSIGNAL SIGTERM\nCMD [\"sh\", \"-c\", \"trap 'sleep 3; exit 0' TERM; while :; do sleep 0.1; done\"]\n",
    ),
    (
        "rs-test/unhealthy:1",
        "",
        "HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD [\"false\"]\nCMD [\"sleep\", \"100000\"]\n",
    ),
];

/// A running private engine. Dropped, it is removed with all it holds; the shared ones are removed by
/// their supervisors when the test process has ended.
#[derive(Debug)]
pub(crate) struct Engine {
    name: String,
    socket: PathBuf,
    docker: PathBuf,
    subnets: AtomicU32,
    range: OnceLock<String>,
}

impl Engine {
    /// Returns the engine that all tests of this process share, with the test images.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("shared", None))
    }

    /// Returns the engine of the newer release that all tests of this process share, with the test
    /// images; panics where its programs cannot be had.
    pub(crate) fn newer() -> &'static Self {
        static NEWER: OnceLock<Engine> = OnceLock::new();
        NEWER.get_or_init(|| Self::start("newer", Some(newer_programs())))
    }

    /// Starts an engine of a test's own, which it may halt and resume.
    pub(crate) fn own() -> Self {
        Self::start("own", None)
    }

    /// Starts the engine of these programs, or the machine's.
    fn start(prefix: &str, programs: Option<&Path>) -> Self {
        assert!(
            programs.is_some()
                || ["/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd"]
                    .iter()
                    .any(|path| Path::new(path).exists()),
            "the tests need a Docker Engine: install docker.io (scripts/setup.sh)"
        );
        let name = unique(prefix);
        let parent = std::process::id().to_string();
        let mut start = script(&["start", &name, "--parent", &parent]);
        if let Some(programs) = programs {
            start.env("ROADSTEAD_ENGINE_BIN", programs);
            start.env(
                "ROADSTEAD_ENGINE_CONFIG",
                r#"{"features": {"containerd-snapshotter": true}}"#,
            );
        }
        let line = output(&mut start).ok();
        let socket = line.split("unix://").nth(1).expect("the script prints DOCKER_HOST");
        let engine = Self {
            name,
            socket: PathBuf::from(socket.trim()),
            docker: programs.map_or_else(docker_client, |programs| programs.join("docker")),
            subnets: AtomicU32::new(1),
            range: OnceLock::new(),
        };
        for (image, index, rest) in IMAGES {
            engine.build_image(image, &format!("{APP}{rest}"), &[("index.html", index.as_bytes())]);
        }
        engine
    }

    /// Its name, which begins with `shared`, `newer` or `own`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its API version.
    pub(crate) fn api(&self) -> (u32, u32) {
        let text = self.docker(&["version", "--format", "{{.Server.APIVersion}}"]);
        let (major, minor) = text.split_once('.').expect("a version has a dot");
        (major.parse().unwrap(), minor.parse().unwrap())
    }

    /// Returns the first three numbers of a network that nobody has: in the engine's own range, below
    /// its pools.
    pub(crate) fn subnet(&self) -> String {
        let range = self.range.get_or_init(|| {
            let gateway = "{{(index .IPAM.Config 0).Gateway}}";
            let gateway = self.docker(&["network", "inspect", "--format", gateway, "bridge"]);
            gateway.split('.').take(2).collect::<Vec<_>>().join(".")
        });
        // The first one is the bridge's, the upper half the pools'; users of long ago are gone.
        let third = self.subnets.fetch_add(1, Ordering::Relaxed) % 126 + 1;
        format!("{range}.{third}")
    }

    /// Path of the engine's socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The value of `DOCKER_HOST` for this engine.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the docker client with these arguments; returns its output, panics if it fails.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.try_docker(arguments).ok()
    }

    /// Runs the docker client with these arguments.
    #[track_caller]
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        output(self.client().args(arguments))
    }

    /// Returns one value of `docker inspect --format`, or nothing when the object does not exist.
    pub(crate) fn inspect(&self, object: &str, format: &str) -> Option<String> {
        let output = self.try_docker(&["inspect", "--format", format, object]);
        (output.code == Some(0)).then(|| output.stdout.trim_end().to_owned())
    }

    /// Returns the ids of the containers of a Compose project, running or not, sorted.
    pub(crate) fn containers_of(&self, project: &str) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={project}");
        let list = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        let mut ids: Vec<_> = list.lines().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// Removes all that a Compose project has, as far as it can be removed.
    pub(crate) fn remove_project(&self, project: &str) {
        for id in self.containers_of(project) {
            self.try_docker(&["rm", "--force", "--volumes", &id]);
        }
        let label = format!("label=com.docker.compose.project={project}");
        for kind in ["network", "volume"] {
            let found = self.docker(&[kind, "ls", "--quiet", "--filter", &label]);
            found.lines().for_each(|name| drop(self.try_docker(&[kind, "rm", name])));
        }
    }

    /// Builds an image; the context holds busybox, `Dockerfile` and `files`.
    pub(crate) fn build_image(&self, tag: &str, dockerfile: &str, files: &[(&str, &[u8])]) {
        let busybox = std::fs::read("/bin/busybox")
            .expect("the tests need busybox-static (scripts/setup.sh)");
        let mut context = Vec::new();
        append(&mut context, "Dockerfile", 0o644, dockerfile.as_bytes());
        append(&mut context, "busybox", 0o755, &busybox);
        for (path, content) in files {
            append(&mut context, path, 0o644, content);
        }
        context.extend([0; 1024]);
        let mut child = self
            .client()
            .args(["build", "--quiet", "--tag", tag, "-"])
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&context).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "build `{tag}`: {error}");
    }

    /// Builds the image that ships, from the context of `scripts/image.sh`; returns its name.
    pub(crate) fn roadstead_image(&self) -> &'static str {
        let context = repository().join("target/image");
        let built = modified(&context.join("rootfs/roadstead"));
        assert!(
            built.is_some_and(|built| built >= newest_source()),
            "the image's binary is missing or older than src/: run `make test`, or \
             `PROFILE=ci scripts/image.sh context` and then the tests"
        );
        let mut command = self.client();
        command.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", "roadstead"]);
        output(command.arg(&context)).ok();
        "roadstead"
    }

    /// Stops the daemon and its containers; data stays.
    pub(crate) fn halt(&self) {
        output(&mut script(&["halt", &self.name])).ok();
    }

    /// Starts the daemon again after [`Self::halt`].
    pub(crate) fn resume(&self) {
        output(&mut script(&["resume", &self.name])).ok();
    }

    fn client(&self) -> Command {
        let mut command = Command::new(&self.docker);
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
        command.env("DOCKER_HOST", self.host());
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        output(&mut script(&["stop", &self.name]));
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Time of the last change to the program's sources.
fn newest_source() -> SystemTime {
    let (mut directories, mut newest) = (vec![repository().join("src")], SystemTime::UNIX_EPOCH);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(time) = modified(&path) {
                newest = newest.max(time);
            }
        }
    }
    newest
}

fn script(arguments: &[&str]) -> Command {
    let mut script = Command::new(repository().join("scripts/engine.sh"));
    script.args(arguments);
    script
}

/// Directory of the newer release's programs. What cannot be fetched is asked for once only.
fn newer_programs() -> &'static Path {
    static PROGRAMS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let script = repository().join("scripts/oracle.sh");
        let output = output(Command::new(script).arg("engine").current_dir(repository()));
        if output.code == Some(0) {
            Ok(Path::new(output.stdout.trim()).parent().unwrap().to_owned())
        } else {
            Err(output.stderr)
        }
    });
    programs.as_ref().unwrap_or_else(|error| {
        panic!(
            "the tests need Docker Engine 28 beside the machine's own, and `scripts/oracle.sh \
             engine` could not fetch it from the Debian mirrors of this machine: {error}"
        )
    })
}

/// The client of Debian's docker.io where it is, because it speaks the engine's own version.
fn docker_client() -> PathBuf {
    let debian = "/usr/bin/docker";
    PathBuf::from(if Path::new(debian).exists() { debian } else { "docker" })
}

/// Appends one file in ustar form; a build context needs no more, so no crate is worth it.
fn append(archive: &mut Vec<u8>, path: &str, mode: u32, content: &[u8]) {
    let mut header = [0_u8; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
