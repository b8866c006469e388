//! A followed project on an engine, with a Roadstead that deploys it: what most tests begin with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::process::{Output, output};
use super::{Engine, Roadstead, TempProject, repository, wait_for};

/// Longest wait for one deploy; generous, since machines differ.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One project and its installation. Dropped, the project's containers, networks and volumes go.
pub(crate) struct Scene<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) project: TempProject,
    pub(crate) roadstead: Roadstead,
}

impl Scene<'static> {
    /// A project of these files, on the shared engine, looked at each second.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::on(Engine::shared(), files)
    }
}

impl<'e> Scene<'e> {
    /// A project of these files, on this engine.
    pub(crate) fn on(engine: &'e Engine, files: &[(&str, &str)]) -> Self {
        Self::through(engine, &engine.host(), files)
    }

    /// A project of these files; Roadstead reaches the engine through `docker_host`.
    pub(crate) fn through(engine: &'e Engine, docker_host: &str, files: &[(&str, &str)]) -> Self {
        let project = TempProject::new(files);
        let roadstead = Roadstead::new(docker_host, "");
        let scene = Self { engine, project, roadstead };
        scene.set_env_local("");
        scene
    }

    /// Writes `env.local`: what every scene has, then `text`.
    pub(crate) fn set_env_local(&self, text: &str) {
        let checkout = self.project.checkout();
        self.roadstead.write_env_local(&format!(
            "AUTODEPLOY_EXTRA_REPOS={}\nAUTODEPLOY_PLATFORM_FREQUENCY='*/1 * * * * *'\n\
             AUTODEPLOY_HEALTH_STABLE_FOR=1s\nAUTODEPLOY_HEALTH_WITHIN=20s\n{text}",
            checkout.display()
        ));
    }

    /// Writes `env.local` from nothing but the lines that isolate the installation.
    pub(crate) fn replace_env_local(&self, text: &str) {
        self.roadstead.write_env_local(text);
    }

    /// Runs `roadstead deploy`.
    #[track_caller]
    pub(crate) fn deploy(&self) -> Output {
        self.roadstead.run(&["deploy"])
    }

    /// Runs `roadstead compose ARGUMENTS` in the checkout.
    #[track_caller]
    pub(crate) fn compose(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["compose"];
        all.extend(arguments);
        output(self.roadstead.command(&all).current_dir(self.project.checkout()))
    }

    /// Name of the first container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project.name())
    }

    /// One value of the first container of a service, by `docker inspect --format`.
    pub(crate) fn inspect(&self, service: &str, format: &str) -> Option<String> {
        self.engine.inspect(&self.container(service), format)
    }

    /// Id of the first container of a service; panics where there is none.
    #[track_caller]
    pub(crate) fn id(&self, service: &str) -> String {
        self.inspect(service, "{{.Id}}").unwrap_or_else(|| panic!("no container of `{service}`"))
    }

    /// Id and state of the first container of a service, `ID running`.
    pub(crate) fn state(&self, service: &str) -> String {
        self.inspect(service, "{{.Id}} {{.State.Status}}").unwrap_or_else(|| "gone".to_owned())
    }

    /// Names of the project's containers, running or not, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.project.name());
        let list =
            self.engine.docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &filter]);
        let mut names: Vec<_> = list.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// `names` of services as [`Self::names`] lists their first containers.
    pub(crate) fn names_of(&self, services: &[&str]) -> Vec<String> {
        let mut names: Vec<_> = services.iter().map(|it| self.container(it)).collect();
        names.sort();
        names
    }

    /// Every run so far, newest first.
    #[track_caller]
    pub(crate) fn runs(&self) -> Vec<Value> {
        let text = self.roadstead.run(&["runs", "--json", "--limit", "1000"]).ok();
        serde_json::from_str(&text).unwrap()
    }

    /// Runs that ended with this outcome, newest first.
    #[track_caller]
    pub(crate) fn runs_that(&self, outcome: &str) -> Vec<Value> {
        let mut runs = self.runs();
        runs.retain(|run| run["outcome"] == outcome);
        runs
    }

    /// Waits until `count` runs have ended with this outcome; returns the newest of them.
    #[track_caller]
    pub(crate) fn wait_for_run(&self, outcome: &str, count: usize) -> Value {
        let what = format!("{count} runs that {outcome}");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&what, PATIENCE, || self.runs_that(outcome).len() >= count);
        }));
        assert!(
            found.is_ok(),
            "no {what}\n{}\n{}",
            self.roadstead.log("autodeploy"),
            self.roadstead.log("roadstead")
        );
        self.runs_that(outcome).swap_remove(0)
    }

    /// The revision that was applied last, as `status --json` tells it.
    #[track_caller]
    pub(crate) fn applied(&self) -> String {
        let text = self.roadstead.run(&["status", "--json"]).stdout;
        let rows: Value = serde_json::from_str(&text).unwrap();
        rows[0]["applied"].to_string()
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let filter = format!("label=com.docker.compose.project={}", self.project.name());
        let ids = |arguments: &[&str]| -> Vec<String> {
            let mut all = arguments.to_vec();
            all.extend(["--quiet", "--filter", &filter]);
            self.engine.try_docker(&all).stdout.lines().map(str::to_owned).collect()
        };
        for (list, remove) in [
            (["ps", "--all"], vec!["rm", "--force", "--volumes"]),
            (["network", "ls"], vec!["network", "rm"]),
            (["volume", "ls"], vec!["volume", "rm"]),
        ] {
            let found = ids(&list);
            if !found.is_empty() {
                let mut arguments = remove;
                arguments.extend(found.iter().map(String::as_str));
                self.engine.try_docker(&arguments);
            }
        }
    }
}

/// docker compose 2.40, fetched by `scripts/oracle.sh`; the tests fail without it.
pub(crate) fn oracle() -> &'static Path {
    static ORACLE: OnceLock<PathBuf> = OnceLock::new();
    ORACLE.get_or_init(|| {
        let script = repository().join("scripts/oracle.sh");
        PathBuf::from(output(Command::new(script).current_dir(repository())).ok())
    })
}
