//! A project that our program and docker compose work on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Output, output};
use super::{Engine, oracle, unique, wait_for, write_files};

/// Two services, one of them twice.
pub(crate) const COMPOSE: &str = "\
services:
  web:
    image: rs-test/app:1
    ports: ['127.0.0.1::80', '127.0.0.1::53/udp']
    depends_on: [db]
    volumes: ['data:/data']
  db:
    image: rs-test/app:1
    command: sh -c 'echo one; echo two >&2; exec sleep 100000'
    scale: 2
volumes: {data: {}}
";

/// A service that has ended, for those who want one.
const ENDED: &str =
    "services: {once: {image: 'rs-test/app:1', command: [sh, -c, 'echo done; exit 3']}}\n";

/// A project that both tools work on.
pub(crate) struct Stack {
    directory: TempDir,
    engine: &'static Engine,
    /// Its name.
    pub(crate) name: String,
}

impl Stack {
    /// On the machine's engine.
    pub(crate) fn new(compose: &str) -> Self {
        Self::on(Engine::shared(), compose)
    }

    /// On this engine.
    pub(crate) fn on(engine: &'static Engine, compose: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stack = Self { directory, engine, name: unique("verbs") };
        write_files(&stack.path(), &[("compose.yml", compose), ("page.html", "a page\n")]);
        stack
    }

    /// Both services run, and one has ended.
    pub(crate) fn up() -> Self {
        let stack = Self::new(COMPOSE);
        stack.theirs(&["up", "-d"]).ok();
        write_files(&stack.path(), &[("ended.yml", ENDED)]);
        stack.theirs(&["-f", "compose.yml", "-f", "ended.yml", "up", "-d", "once"]).ok();
        let once = format!("{}-once-1", stack.name);
        wait_for("the end of `once`", Duration::from_secs(20), || {
            stack.engine.inspect(&once, "{{.State.Status}}").as_deref() == Some("exited")
        });
        stack
    }

    /// The engine it is on.
    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// A command in a bare environment of the project.
    pub(crate) fn prepared(&self, mut command: Command, directory: &Path) -> Command {
        command
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.directory.path())
            .env("OURS", "from here")
            .env("DOCKER_HOST", self.engine.host());
        command
    }

    /// Our program with these arguments.
    pub(crate) fn program(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(super::roadstead::program());
        command.arg("compose").args(arguments);
        self.prepared(command, directory)
    }

    /// What our program says.
    #[track_caller]
    pub(crate) fn ours(&self, arguments: &[&str]) -> Output {
        output(&mut self.program(&self.path(), arguments))
    }

    /// What docker compose says.
    #[track_caller]
    pub(crate) fn theirs(&self, arguments: &[&str]) -> Output {
        output(&mut self.their_program(arguments))
    }

    /// Docker compose with these arguments.
    pub(crate) fn their_program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(oracle());
        command.args(arguments);
        self.prepared(command, &self.path())
    }

    /// Runs a command with text on stdin.
    pub(crate) fn fed(&self, arguments: &[&str], text: &[u8]) -> Output {
        feed(self.program(&self.path(), arguments), text)
    }

    /// `SERVICE NUMBER STATE` of each container, sorted; one-offs have no number.
    pub(crate) fn states(&self) -> Vec<String> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let format = "{{.Label \"com.docker.compose.service\"}} \
                      {{.Label \"com.docker.compose.container-number\"}} {{.State}}";
        let list = self.engine.docker(&["ps", "-a", "--filter", &label, "--format", format]);
        let mut states: Vec<_> = list.lines().map(str::to_owned).collect();
        states.sort();
        states
    }

    /// What the engine says of one of its containers.
    pub(crate) fn inspect(&self, container: &str, format: &str) -> String {
        self.engine.inspect(&format!("{}-{container}", self.name), format).unwrap_or_default()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.engine.remove_project(&self.name);
    }
}

/// Runs a command with text on stdin.
pub(crate) fn feed(mut command: Command, text: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
