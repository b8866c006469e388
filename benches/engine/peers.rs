//! Those who are compared, and the projects that they are given.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::rounds::timed;
use super::support::process::{Output, output};
use super::support::scene::PATIENCE;
use super::support::{self, Engine, Roadstead, unique, wait_for, write_files};

/// How often a network is asked to go.
const NETWORK_TRIES: usize = 10;

/// Ours and docker compose, on one engine.
pub(super) struct Peers<'a> {
    pub(super) engine: &'a Engine,
    pub(super) roadstead: Roadstead,
    oracle: PathBuf,
}

impl<'a> Peers<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        let oracle = std::env::var_os("ORACLE");
        Self {
            engine,
            roadstead: Roadstead::new(&engine.host(), ""),
            oracle: oracle.map_or_else(|| support::oracle().to_owned(), PathBuf::from),
        }
    }

    /// Runs docker compose, in the same bare environment as ours.
    pub(super) fn oracle(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.oracle);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.roadstead.path(""))
            .env("DOCKER_HOST", self.engine.host());
        output(&mut command)
    }

    /// Removes everything of a project. Engine 20.10 under load may keep an endpoint of a container
    /// that is gone; then the network stays until the engine ends.
    pub(super) fn remove(&self, project: &str) {
        let filter = format!("label=com.docker.compose.project={project}");
        wait_for("the end of a project's containers", PATIENCE, || {
            self.remove_listed(&["ps", "--all"], &["rm", "--force"], &filter)
        });
        for _ in 0..NETWORK_TRIES {
            if self.remove_listed(&["network", "ls"], &["network", "rm"], &filter) {
                break;
            }
        }
    }

    /// True when nothing is left.
    fn remove_listed(&self, list: &[&str], remove: &[&str], filter: &str) -> bool {
        let found = self.engine.docker(&[list, &["--quiet", "--filter", filter]].concat());
        let found: Vec<_> = found.lines().collect();
        found.is_empty() || self.engine.try_docker(&[remove, &found].concat()).code == Some(0)
    }
}

/// A Compose file in a directory of its own, and the names of its project with each peer.
pub(super) struct Project {
    directory: tempfile::TempDir,
    file: String,
    pub(super) ours: String,
    pub(super) theirs: String,
    pub(super) bare: String,
}

impl Project {
    pub(super) fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let project = Self {
            file: directory.path().join("compose.yml").display().to_string(),
            directory,
            ours: unique("ours"),
            theirs: unique("theirs"),
            bare: unique("bare"),
        };
        project.write(text);
        project
    }

    pub(super) fn write(&self, text: &str) {
        write_files(self.directory.path(), &[("compose.yml", text)]);
    }

    /// `up -d` as both understand it.
    pub(super) fn up<'b>(&'b self, name: &'b str) -> [&'b str; 6] {
        ["-f", &self.file, "-p", name, "up", "-d"]
    }

    pub(super) fn up_ours(&self, peers: &Peers<'_>) -> Duration {
        self.up_by(&peers.roadstead, &self.ours)
    }

    /// `up -d` by this installation of ours, under this name.
    pub(super) fn up_by(&self, roadstead: &Roadstead, name: &str) -> Duration {
        let arguments: Vec<_> = ["compose"].into_iter().chain(self.up(name)).collect();
        timed(|| drop(roadstead.run(&arguments).ok()))
    }

    pub(super) fn up_theirs(&self, peers: &Peers<'_>) -> Duration {
        timed(|| drop(peers.oracle(&self.up(&self.theirs)).ok()))
    }

    /// Removes what all of them made.
    pub(super) fn remove(&self, peers: &Peers<'_>) {
        for name in [&self.ours, &self.theirs, &self.bare] {
            peers.remove(name);
        }
    }
}

/// This many equal services; `change` is seen by the first one only.
pub(super) fn services(count: usize, change: usize) -> String {
    let service = |number: usize| {
        let value = if number == 0 { change } else { 0 };
        format!(
            "  s{number:02}:\n    image: rs-test/app:1\n    command: [sleep, '1000000']\n    \
             environment: {{CHANGE: '{value}'}}\n"
        )
    };
    std::iter::once("services:\n".to_owned()).chain((0..count).map(service)).collect()
}
