//! `roadstead compose` on a real engine, as one who knows `docker compose` uses it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs and fails loudly"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Output;
use crate::support::{Engine, free_port, process, unique, write_files};

/// A directory with Compose files, whose project nobody else has.
struct Stack {
    directory: TempDir,
    name: String,
}

impl Stack {
    fn new(files: &[(&str, &str)]) -> Self {
        let stack = Self { directory: tempfile::tempdir().unwrap(), name: unique("stack") };
        write_files(&stack.path(), files);
        stack
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// Runs `roadstead compose ARGUMENTS` in the directory.
    #[track_caller]
    fn compose(&self, arguments: &[&str]) -> Output {
        self.compose_in(&self.path(), arguments)
    }

    #[track_caller]
    fn compose_in(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(crate::support::roadstead::program());
        let command = command
            .arg("compose")
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("DOCKER_HOST", Engine::shared().host());
        process::output(command)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.compose(arguments).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs a shell command in the only container of a service.
    fn exec(&self, service: &str, command: &str) -> String {
        let container = format!("{}-{service}-1", self.name);
        Engine::shared().docker(&["exec", &container, "sh", "-c", command])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        Engine::shared().remove_project(&self.name);
    }
}

const WEB: &str = "\
services:
  web:
    image: rs-test/app:${TAG:-1}
    environment: { A: a }
    volumes: [ 'data:/data', './page.txt:/page.txt:ro' ]
  neighbour:
    image: rs-test/app:1
  extra:
    image: rs-test/app:1
    profiles: [extra]
volumes: { data: {} }
";

#[test]
fn a_stack_goes_up_stays_changes_and_goes_down() {
    let engine = Engine::shared();
    let stack = Stack::new(&[("compose.yml", WEB), ("page.txt", "from the checkout\n")]);
    let name = &stack.name;

    // Looking first changes nothing.
    let dry = stack.compose(&["up", "--dry-run"]).ok();
    assert!(dry.contains(&format!("create container {name}-web-1")), "{dry}");
    assert!(engine.containers_of(name).is_empty());

    let up = stack.compose(&["up", "-d"]);
    assert_eq!(up.code, Some(0), "{up:?}");
    assert!(up.stderr.contains(&format!("{name}-web-1")), "{up:?}");
    let before = engine.containers_of(name);
    assert_eq!(before.len(), 2, "web and neighbour, not extra");
    assert_eq!(stack.exec("web", "cat /page.txt"), "from the checkout");

    let again = stack.compose(&["up", "-d"]);
    assert_eq!(again.code, Some(0));
    assert!(again.stderr.contains("nothing to do"), "{again:?}");
    assert_eq!(engine.containers_of(name), before, "a second look is free");

    // A change of one service replaces that one.
    let neighbour = engine.inspect(&format!("{name}-neighbour-1"), "{{.Id}}");
    write_files(&stack.path(), &[("more.yml", "services: { web: { environment: { B: b } } }\n")]);
    let both = ["-f", "compose.yml", "-f", "more.yml"];
    let dry = stack.compose(&[&both[..], &["up", "--dry-run"]].concat()).ok();
    assert!(dry.contains(&format!("replace container {name}-web-1")), "{dry}");
    assert!(!dry.contains("neighbour"), "{dry}");
    stack.compose(&[&both[..], &["up", "-d"]].concat()).ok();
    assert_eq!(stack.exec("web", "echo $A$B"), "ab");
    assert_eq!(engine.inspect(&format!("{name}-neighbour-1"), "{{.Id}}"), neighbour);
    stack.compose(&["up", "-d", "--force-recreate", "neighbour"]).ok();
    assert_ne!(engine.inspect(&format!("{name}-neighbour-1"), "{{.Id}}"), neighbour);

    // A profile brings its services, and --wait returns when they run.
    stack.compose(&["--profile", "extra", "up", "--wait"]).ok();
    let rows = stack.json(&["ps", "--json"]);
    let services: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["Service"].as_str().unwrap()).collect();
    assert_eq!(services, ["extra", "neighbour", "web"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["State"] == "running"), "{rows}");
    // Not the whole rows: how long each is up may have changed in between.
    let lines = stack.compose(&["ps", "--format", "json"]).ok();
    let ids = |rows: &[Value]| -> Vec<Value> { rows.iter().map(|row| row["ID"].clone()).collect() };
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&lines), ids(rows.as_array().unwrap()));
    let plain = stack.compose(&["ps"]).ok();
    assert!(plain.starts_with("NAME "), "{plain}");
    assert_eq!(stack.compose(&["ps", "-q"]).ok().lines().count(), 3);

    // By name, from anywhere, without the files.
    let elsewhere = stack.compose_in(Path::new("/"), &["-p", name, "ps", "-q"]).ok();
    assert_eq!(elsewhere.lines().count(), 3);

    stack.exec("web", "echo kept >/data/kept");
    stack.compose(&["--profile", "extra", "down"]).ok();
    assert!(engine.containers_of(name).is_empty());
    assert!(engine.inspect(&format!("{name}_data"), "{{.Name}}").is_some(), "data stays");
    stack.compose(&["up", "-d"]).ok();
    assert_eq!(stack.exec("web", "cat /data/kept"), "kept");
    let down = stack.json(&["down", "--volumes", "--json"]);
    assert_eq!(down["volumes"][0], format!("{name}_data"), "{down}");
    assert!(engine.inspect(&format!("{name}_data"), "{{.Name}}").is_none(), "asked to go");
    let nothing = stack.compose(&["down"]);
    assert!(nothing.code == Some(0) && nothing.stderr.contains("nothing to remove"), "{nothing:?}");
}

#[test]
fn up_and_config_answer_in_json() {
    let stack = Stack::new(&[("compose.yml", "services: { web: { image: 'rs-test/app:1' } }\n")]);
    for arguments in [["up", "--dry-run"], ["up", "-d"], ["up", "-d"]] {
        assert!(stack.json(&[&arguments[..], &["--json"]].concat()).is_object(), "{arguments:?}");
    }
    let config = stack.compose(&["config", "--json"]).ok();
    assert_eq!(config, stack.compose(&["config", "--format", "json"]).ok());
}

#[test]
fn config_prints_the_project_as_it_is_understood() {
    let stack = Stack::new(&[
        ("compose.yml", WEB),
        ("page.txt", ""),
        ("compose.override.yml", "services: { web: { environment: { A: over } } }\n"),
        (".env", "TAG=2\n"),
        ("other.env", "TAG=9\n"),
    ]);
    let config = stack.compose(&["config"]).ok();
    assert!(config.starts_with(&format!("name: {}\n", stack.name)), "{config}");
    assert!(config.contains("A: over") && config.contains("image: rs-test/app:2"), "{config}");
    assert!(!config.contains("extra:"), "{config}");
    let rows: &[(&[&str], &str)] = &[
        (&["config", "--services"], "neighbour\nweb"),
        (&["--profile", "extra", "config", "--services"], "extra\nneighbour\nweb"),
        (&["config", "--volumes"], "data"),
        (&["config", "--quiet"], ""),
    ];
    for (arguments, wanted) in rows {
        let mut lines: Vec<_> = stack.compose(arguments).ok().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines.join("\n"), *wanted, "{arguments:?}");
    }
    let images = stack.compose(&["--env-file", "other.env", "config", "--images"]).ok();
    assert!(images.contains("rs-test/app:9"), "{images}");
    // What it prints is a Compose file that says the same.
    write_files(&stack.path(), &[("printed.yml", &config)]);
    assert_eq!(stack.compose(&["-f", "printed.yml", "config"]).ok(), config);
}

#[test]
fn an_environment_file_in_another_encoding_is_read() {
    let stack =
        Stack::new(&[("compose.yml", "services: {web: {image: \"i:$TAG\", env_file: e}}\n")]);
    std::fs::write(stack.path().join(".env"), b"# caf\xe9\nTAG=2\n").unwrap();
    std::fs::write(stack.path().join("e"), b"A=caf\xe9\nB=b\n").unwrap();
    let said = stack.compose(&["config"]);
    assert!(said.stderr.contains("`.env` is not UTF-8 text"), "{said:?}");
    let config = said.ok();
    for line in ["image: i:2", "A: caf\u{fffd}", "B: b"] {
        assert!(config.contains(line), "{config}");
    }
}

#[test]
fn a_compose_file_of_powershell_is_read() {
    let text = "services: {web: {image: 'i', labels: {at: 'caf\u{e9}'}}}\n";
    let little = |unit: u16| unit.to_le_bytes();
    let big = |unit: u16| unit.to_be_bytes();
    let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
    for bytes in [
        units().flat_map(little).collect::<Vec<u8>>(),
        units().flat_map(big).collect(),
        text.as_bytes().to_vec(),
    ] {
        let stack = Stack::new(&[("compose.yml", "")]);
        std::fs::write(stack.path().join("compose.yml"), &bytes).unwrap();
        assert!(stack.compose(&["config"]).ok().contains("at: caf\u{e9}\n"));
        std::fs::write(stack.path().join("compose.yml"), [&bytes[..], b"\xff"].concat()).unwrap();
        let said = stack.compose(&["config"]).fails_with(2);
        assert!(said.contains("compose.yml` is not UTF-"), "{said}");
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let stack = Stack::new(&[]);
    std::fs::create_dir_all(stack.path()).unwrap();
    // The file, and what the answer holds.
    let rows: &[(&str, &[&str])] = &[
        (
            "services:\n  web:\n    imgae: x\n",
            &[
                "compose.yml:3:5: unknown key `services.web.imgae`",
                "3 |     imgae: x",
                "did you mean `image`?",
            ],
        ),
        (
            "services:\n  web:\n   image: a\n  b: [\n",
            &["compose.yml:4:6: invalid YAML", "4 |   b: ["],
        ),
        (
            "services:\n  web: { image: \"${MISSING:?set it}\" }\n",
            &["compose.yml:2:", "`MISSING`", "set it", "in the environment or in `.env`"],
        ),
        ("services:\n  web: { image: x, ports: ['eighty:80'] }\n", &["compose.yml:2:", "eighty"]),
        ("services:\n  web: { image: x, depends_on: [dba] }\n  db: { image: x }\n", &["`dba`"]),
        ("services:\n  web: { image: x, networks: [back] }\n", &["`back`"]),
    ];
    for (text, wanted) in rows {
        write_files(&stack.path(), &[("compose.yml", text)]);
        for command in [&["config"][..], &["up", "-d"]] {
            let answer = stack.compose(command);
            assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{text}: {answer:?}");
            for wanted in *wanted {
                assert!(answer.stderr.contains(wanted), "{wanted} in\n{}", answer.stderr);
            }
        }
    }
    write_files(
        &stack.path(),
        &[("compose.yml", "services: { web: { image: 'rs-test/app:1' } }\n")],
    );
    for (arguments, wanted) in [
        (&["up", "--watch"][..], "let a job follow the repository"),
        (&["up", "-d", "wbe"], "did you mean `web`?"),
        (&["-f", "nowhere.yml", "up", "-d"], "nowhere.yml: read Compose file"),
    ] {
        let answer = stack.compose(arguments).fails_with(2);
        assert!(answer.contains(wanted), "{arguments:?}: {answer}");
    }
    assert!(Engine::shared().containers_of(&stack.name).is_empty());
}

#[test]
fn what_ran_before_runs_again_when_up_fails() {
    let engine = Engine::shared();
    let port = free_port();
    let file = |image: &str, more: &str| {
        format!(
            "services: {{ web: {{ image: '{image}', ports: ['127.0.0.1:{port}:80'] {more} }} }}\n"
        )
    };
    let stack = Stack::new(&[("compose.yml", &file("rs-test/app:1", ""))]);
    stack.compose(&["up", "-d"]).ok();
    let before = engine.containers_of(&stack.name);
    let start = std::time::Instant::now();
    for (image, more, after) in [
        ("rs-test/none:1", "", "nothing that ran was touched"),
        ("rs-test/unhealthy:1", "", "what ran before runs again"),
        ("rs-test/broken:1", "", "what ran before runs again"),
    ] {
        write_files(&stack.path(), &[("compose.yml", &file(image, more))]);
        let answer = stack.compose(&["up", "--wait", "--wait-timeout", "20"]);
        assert_eq!(answer.code, Some(1), "{image}: {answer:?}");
        assert!(answer.stderr.contains(after) || image.contains("none"), "{image}: {answer:?}");
        assert_eq!(engine.containers_of(&stack.name), before, "{image}");
        let state = engine.inspect(&before[0], "{{.State.Status}}");
        assert_eq!(state.as_deref(), Some("running"), "{image}");
    }
    assert!(start.elapsed() < Duration::from_secs(100));
}

#[test]
fn a_file_is_laid_over_what_it_includes_unless_an_older_release_is_named() {
    let stack = Stack::new(&[
        ("compose.yml", "include: [more.yml]\nservices: {web: {command: [own]}}"),
        ("more.yml", "services: {web: {image: app}}"),
    ]);
    let merged = stack.compose(&["config"]).ok();
    assert!(merged.contains("own") && merged.contains("image: app"), "{merged}");
    let mut command = Command::new(crate::support::roadstead::program());
    let command = command.args(["compose", "config"]).current_dir(stack.path());
    let said = process::output(command.env("AUTODEPLOY_COMPOSE_HASH", "2.40")).fails_with(2);
    assert!(said.contains("`services.web` is defined in more.yml:1, too"), "{said}");
}
