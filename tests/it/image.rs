//! The image that ships: what is in it and what is not, and that it does what the README says.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test waits for programs and fails loudly"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Engine, TempProject, project::git, unique, wait_for};

/// Longest wait for something that a poll of two seconds and a deploy lead to.
const SOON: Duration = Duration::from_mins(1);

#[test]
fn image_has_the_program_and_nothing_to_break_in_with() {
    let engine = Engine::shared();
    let image = engine.roadstead_image();
    let rows = [
        ("{{json .Config.Entrypoint}}", r#"["/roadstead"]"#),
        ("{{json .Config.Cmd}}", r#"["serve"]"#),
        ("{{json .Config.Healthcheck.Test}}", r#"["CMD","/roadstead","health"]"#),
        ("{{.Config.StopSignal}}", "SIGTERM"),
    ];
    for (format, expected) in rows {
        assert_eq!(engine.inspect(image, format).as_deref(), Some(expected), "{format}");
    }
    let container = unique("image");
    engine.docker(&["create", "--name", &container, image]);
    let files = engine.docker(&["export", &container]);
    engine.docker(&["rm", "--volumes", &container]);
    for path in [
        "roadstead",
        "etc/ssl/certs/ca-certificates.crt",
        "jobs/autodeploy.yml",
        "NOTICE",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "tmp/",
    ] {
        assert!(files.contains(&format!("{path}\0")), "`{path}` is missing");
    }
    assert!(files.contains("-----BEGIN CERTIFICATE-----"), "certificate roots");
    for path in ["bin/", "bin/sh", "usr/bin/docker", "usr/bin/git", "bin/busybox"] {
        assert!(!files.contains(&format!("{path}\0")), "`{path}` is there");
    }
}

#[test]
fn program_in_the_image_runs_without_anything_around_it() {
    let engine = Engine::shared();
    let image = engine.roadstead_image();
    let run = |arguments: &[&str]| {
        engine.docker(&[&["run", "--rm", "--network", "none", image], arguments].concat())
    };
    assert_eq!(run(&["--version"]), format!("roadstead {}", env!("CARGO_PKG_VERSION")));
    // Time zones are inside the program.
    let next = ["next", "--schedule", "30 2 * * *", "--timezone", "America/Toronto"];
    let after = ["--after", "2026-03-08T00:00:00Z", "--count", "2"];
    let slots = run(&[&next[..], &after].concat());
    assert_eq!(slots, "SLOT\n2026-03-08T03:00:00-04:00\n2026-03-09T02:30:00-04:00");
    assert!(run(&["check"]).starts_with("all is right"), "the image's own configuration");
    let shell = engine.try_docker(&["run", "--rm", "--entrypoint", "sh", image]);
    assert_eq!(shell.code, Some(127), "no shell: {shell:?}");
}

/// A container of Roadstead, started as the README does. Dropped, it is gone with what it made.
struct Installed {
    engine: &'static Engine,
    name: String,
    project: String,
    directory: TempDir,
}

impl Installed {
    /// Starts it; `options` are further ones of `docker run`, before the image.
    fn start(env_local: &str, project: &str, options: &[&str]) -> Self {
        let (engine, directory) = (Engine::shared(), tempfile::tempdir().unwrap());
        let image = engine.roadstead_image();
        let name = unique("roadstead");
        let here = |path: &str| directory.path().join(path).display().to_string();
        std::fs::write(here("env.local"), env_local).unwrap();
        let socket = format!("{}:/var/run/docker.sock", engine.socket().display());
        let settings = format!("{}:/etc/roadstead/env.local:ro", here("env.local"));
        let state = format!("{name}:/var/lib/roadstead");
        let logs = format!("{}:/var/log/roadstead", here("log"));
        let run = ["run", "-d", "--name", &name, "--restart", "unless-stopped"];
        let volumes = ["-v", &socket, "-v", &settings, "-v", &state, "-v", &logs];
        // The image's own interval is too long to wait for.
        let health = ["--health-interval", "1s"];
        engine.docker(&[&run[..], &volumes, &health, options, &[image]].concat());
        Self { engine, name, project: project.to_owned(), directory }
    }

    fn log(&self) -> String {
        let file = |name: &str| {
            std::fs::read_to_string(self.directory.path().join("log").join(name))
                .unwrap_or_default()
        };
        file("autodeploy.log")
    }

    /// `docker exec NAME /roadstead ARGUMENTS`.
    fn roadstead(&self, arguments: &[&str]) -> String {
        self.engine.docker(&[&["exec", &self.name, "/roadstead"], arguments].concat())
    }

    fn id(&self, service: &str) -> Option<String> {
        let container = format!("{}-{service}-1", self.project);
        self.engine.inspect(&container, "{{.State.Running}} {{.Id}}")
    }

    /// What the service's container sees as `/page.txt`.
    fn page(&self, service: &str) -> String {
        let container = format!("{}-{service}-1", self.project);
        self.engine.try_docker(&["exec", &container, "cat", "/page.txt"]).stdout
    }

    #[track_caller]
    fn wait_for_page(&self, text: &str) {
        let start = Instant::now();
        while self.page("web").trim_end() != text {
            let console = || self.engine.try_docker(&["logs", &self.name]);
            assert!(start.elapsed() < SOON, "no page `{text}`: {:?}", console());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.engine.try_docker(&["rm", "--force", "--volumes", &self.name]);
        for id in self.engine.containers_of(&self.project) {
            self.engine.try_docker(&["rm", "--force", "--volumes", &id]);
        }
        self.engine.try_docker(&["network", "rm", &format!("{}_default", self.project)]);
        self.engine.try_docker(&["volume", "rm", &self.name]);
    }
}

fn compose(project: &str, greeting: &str) -> String {
    format!(
        "name: {project}
services:
  web:
    image: rs-test/app:1
    environment: {{ GREETING: {greeting} }}
    volumes: [ './www/page.txt:/page.txt:ro' ]
    healthcheck: {{ test: [CMD, test, -s, /page.txt], interval: 1s, retries: 5 }}
  neighbour:
    image: rs-test/app:1
    command: [sleep, '100000']
"
    )
}

const QUICK: &str =
    "AUTODEPLOY_PLATFORM_FREQUENCY=\"*/2 * * * * *\"\nAUTODEPLOY_HEALTH_STABLE_FOR=1s\n";

/// From the first deploy over a push to `docker stop`, with the checkout at `inside` in the container.
fn deploys_a_push(inside: impl FnOnce(&Path) -> PathBuf, options: &[&str]) {
    let project = unique("shipped");
    let sources = TempProject::new(&[
        ("compose.yml", &compose(&project, "first")),
        ("www/page.txt", "first\n"),
    ]);
    let checkout = sources.checkout();
    let inside = inside(&checkout).display().to_string();
    // As the container sees it: this is where it fetches from.
    git(&checkout, &["remote", "set-url", "origin", "/srv/remote.git"]);
    let env_local =
        format!("{QUICK}AUTODEPLOY_EXTRA_REPOS=\"{inside}\"\nCOMPOSE_DIR=\"{inside}\"\n");
    let stack = format!("{}:{inside}", checkout.display());
    let remote = format!("{}:/srv/remote.git:ro", sources.remote().display());
    let options = [&["-v", &stack, "-v", &remote], options].concat();
    let installed = Installed::start(&env_local, &project, &options);

    installed.wait_for_page("first");
    let neighbour = installed.id("neighbour");
    let web = installed.id("web");
    wait_for("the end of the first run", SOON, || installed.log().contains("END_TIME="));
    assert!(installed.log().contains("START_TIME="), "{}", installed.log());

    let commit = sources
        .push(&[("compose.yml", &compose(&project, "second")), ("www/page.txt", "second\n")]);
    installed.wait_for_page("second");
    wait_for("a new container of web", SOON, || installed.id("web") != web);
    wait_for("the end of the second run", SOON, || {
        let runs: Value = serde_json::from_str(&installed.roadstead(&["runs", "--json"])).unwrap();
        let done = |run: &&Value| run["outcome"] == "succeeded" && run["reason"] == "applied";
        runs.as_array().unwrap().iter().filter(done).count() == 2
    });
    assert_eq!(installed.id("neighbour"), neighbour, "nothing of it changed");
    let id = format!("{project}-web-1");
    let environment = installed.engine.inspect(&id, "{{.Config.Env}}").unwrap();
    assert!(environment.contains("GREETING=second"), "{environment}");
    assert_eq!(sources.checked_out(), commit);
    // The container sees the host's file, wherever we see it.
    let mounted = installed.engine.inspect(&id, "{{(index .Mounts 0).Source}}");
    assert_eq!(mounted, Some(checkout.join("www/page.txt").display().to_string()));

    let log = installed.log();
    for wanted in [&commit[..7], "succeeded", "web"] {
        assert!(log.contains(wanted), "{wanted} in\n{log}");
    }
    assert!(installed.roadstead(&["logs", "-n", "1000", "autodeploy"]).contains("succeeded"));
    assert!(installed.roadstead(&["check"]).starts_with("all is right"));
    assert!(installed.roadstead(&["status"]).contains("\tapplied\t"));
    installed.roadstead(&["plan"]);
    wait_for("HEALTHCHECK", SOON, || {
        let health = installed.engine.inspect(&installed.name, "{{.State.Health.Status}}");
        health.as_deref() == Some("healthy")
    });

    let start = Instant::now();
    installed.engine.docker(&["stop", &installed.name]);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    let code = installed.engine.inspect(&installed.name, "{{.State.ExitCode}}");
    assert_eq!(code.as_deref(), Some("0"));
    assert!(installed.id("web").unwrap().starts_with("true "), "what it deployed runs on");
}

#[test]
fn deploys_a_push_with_the_checkout_at_the_same_path() {
    deploys_a_push(Path::to_path_buf, &[]);
}

#[test]
fn deploys_a_push_with_the_checkout_at_another_path() {
    deploys_a_push(|_| PathBuf::from("/srv/stack"), &[]);
}

#[test]
fn deploys_a_push_on_a_read_only_root() {
    deploys_a_push(|_| PathBuf::from("/srv/stack"), &["--read-only", "--tmpfs", "/tmp"]);
}

#[test]
fn a_managed_clone_in_the_named_volume_mounts_its_files() {
    let project = unique("managed");
    let sources = TempProject::new(&[
        ("compose.yml", &compose(&project, "first")),
        ("www/page.txt", "first\n"),
    ]);
    let env_local = format!("{QUICK}AUTODEPLOY_REPOS=\"file:///srv/infra.git#main\"\n");
    let remote = format!("{}:/srv/infra.git:ro", sources.remote().display());
    let installed = Installed::start(&env_local, &project, &["-v", &remote]);
    installed.wait_for_page("first");
    sources.push(&[("www/page.txt", "second\n")]);
    installed.wait_for_page("second");
    let mount = "{{(index .Mounts 0).Source}}";
    let mounted = installed.engine.inspect(&format!("{project}-web-1"), mount).unwrap();
    let volume =
        installed.engine.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", &installed.name]);
    assert!(mounted.starts_with(&volume), "`{mounted}` in `{volume}`");
    let jobs: Value = serde_json::from_str(&installed.roadstead(&["jobs", "--json"])).unwrap();
    assert_eq!(jobs[0]["name"], "infra", "{jobs}");
    installed.engine.docker(&["stop", &installed.name]);
}
