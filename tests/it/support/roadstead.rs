//! The program under test, with a world of its own: state, logs, keys, `env.local`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Output, output};
use super::{wait_for, write_files};

/// The program: `ROADSTEAD_BIN` (the benches measure the binary that ships), else Cargo's.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("ROADSTEAD_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_roadstead")), PathBuf::from)
}

/// One isolated installation: a directory with `env.local`, `state`, `log`, `jobs` and `keys`.
#[derive(Debug)]
pub(crate) struct Roadstead {
    directory: TempDir,
    docker_host: String,
}

impl Roadstead {
    /// Makes an installation that talks to the engine at `docker_host`; `env_local` is appended to
    /// the lines that isolate it.
    pub(crate) fn new(docker_host: &str, env_local: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["state", "log", "jobs", "keys"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let roadstead = Self { directory, docker_host: docker_host.to_owned() };
        roadstead.write_env_local(env_local);
        roadstead
    }

    /// Directory of everything below.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Rewrites `env.local`: the isolating lines, then `text`.
    pub(crate) fn write_env_local(&self, text: &str) {
        let root = self.directory.path().display();
        let isolated = format!(
            "AUTODEPLOY_STATE_DIR={root}/state\nAUTODEPLOY_LOG_DIR={root}/log\n\
             AUTODEPLOY_JOBS_DIR={root}/jobs\nAUTODEPLOY_DEPLOY_KEY_ROOT_DIR={root}/keys\n\
             DOCKER_HOST={}\n{text}\n",
            self.docker_host
        );
        std::fs::write(self.path("env.local"), isolated).unwrap();
    }

    /// Writes a job file into the jobs directory.
    pub(crate) fn write_job(&self, name: &str, text: &str) {
        write_files(&self.path("jobs"), &[(name, text)]);
    }

    /// Returns a command of the built program, in an environment that holds nothing of the caller's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("ROADSTEAD_ENV_FILE", self.path("env.local"))
            .env("DOCKER_HOST", &self.docker_host);
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        output(&mut self.command(arguments))
    }

    /// Starts `serve` in the background.
    pub(crate) fn serve(&self) -> Daemon {
        let console = self.path("console");
        let file = std::fs::File::options().create(true).append(true).open(&console).unwrap();
        let child = self
            .command(&["serve"])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Daemon { child, console }
    }

    /// Returns the text of one log file (`autodeploy` for `autodeploy.log`), or nothing.
    pub(crate) fn log(&self, name: &str) -> String {
        read_or_empty(&self.path("log").join(format!("{name}.log")))
    }
}

/// A running `serve`. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    console: PathBuf,
}

impl Daemon {
    /// Returns what it wrote to its terminal so far.
    pub(crate) fn console(&self) -> String {
        read_or_empty(&self.console)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends any signal by its name (`HUP`, `STOP`).
    pub(crate) fn signal(&self, name: &str) {
        output(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()])).ok();
    }

    /// Ends it by SIGKILL, at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and returns the exit code; panics if it does not end within `timeout`.
    #[track_caller]
    pub(crate) fn stop(mut self, timeout: Duration) -> Option<i32> {
        self.terminate();
        self.wait(timeout)
    }

    /// Returns the exit code; panics if it does not end within `timeout`.
    #[track_caller]
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<i32> {
        wait_for("the end of serve", timeout, || !self.is_running());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_or_empty(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
