//! Every flag of docker compose is one of ours, so that scripts run unchanged.

#![expect(clippy::disallowed_methods, reason = "a test drives programs")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::process::{Output, output};
use crate::support::{Roadstead, oracle, write_files};

/// Verbs that we have; the empty one is `compose` itself.
const VERBS: [&str; 33] = [
    "", "attach", "build", "commit", "config", "cp", "create", "down", "events", "exec", "export",
    "images", "kill", "logs", "ls", "pause", "port", "ps", "pull", "push", "restart", "rm", "run",
    "scale", "start", "stats", "stop", "top", "unpause", "up", "version", "volumes", "wait",
];

/// The long and short flags that a help text lists.
fn flags(help: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
        for word in line.split([',', ' ']).filter(|it| !it.is_empty()).take(2) {
            // A line of a description may begin with a flag, which then ends a sentence.
            if word.starts_with('-') && !word.ends_with('.') {
                flags.insert(word.to_owned());
            }
        }
    }
    flags
}

#[test]
fn every_flag_of_docker_compose_is_known() {
    let roadstead = Roadstead::new("unix:///nowhere", "");
    let mut unknown = Vec::new();
    for verb in VERBS {
        let words: Vec<&str> = [verb].into_iter().filter(|it| !it.is_empty()).collect();
        let help = output(Command::new(oracle()).args(&words).arg("--help"));
        let flags = flags(&format!("{}{}", help.stdout, help.stderr));
        assert!(flags.contains("--dry-run"), "{verb}: {help:?}");
        for flag in flags {
            let ours = [&["compose"], &words[..], &[flag.as_str(), "--help"]].concat();
            let answer = roadstead.run(&ours).stderr;
            let name = format!("{verb} {flag}");
            let is_missing =
                answer.contains("unexpected argument") || answer.contains("unrecognized");
            if is_missing {
                unknown.push(name);
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn what_is_refused_says_why() {
    let roadstead = Roadstead::new("unix:///nowhere", "");
    for (arguments, wanted) in [
        (&["compose", "up", "--watch"][..], "let a job follow the repository"),
        (&["compose", "build", "--print"], "a matter of docker buildx"),
        (&["compose", "build", "--check"], "docker build --check"),
        (&["compose", "build", "--builder", "mine"], "the only one"),
    ] {
        let answer = roadstead.run(arguments).fails_with(2);
        assert!(answer.contains(wanted), "{arguments:?}: {answer}");
    }
}

/// A project that has something for each flag of `config`.
const EVERYTHING: &str = r#"
x-common: &common
  labels: {team: "${TEAM:-ops}"}
services:
  web:
    <<: *common
    image: "app:${TAG}"
    pull_policy: if_not_present
    build: {context: ./sub, args: {A: "${TAG}", B: }}
    env_file: [web.env, {path: none.env, required: false}]
    environment: {HOME: , MODE: "${MODE-fast}", UNSET: }
    ports: ["8080:80", "${PORT:-9000}-9001:9000-9001/udp"]
    volumes: ["./sub:/sub:ro", "data:/data", "/anonymous"]
    depends_on: [db]
    links: [db]
    secrets: [token]
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64M}}}
  db:
    image: db:1
    command: sh -c "echo $$X ${Y:-y}"
    healthcheck: {test: [CMD, "true"], interval: 1m30s}
    networks: {back: {aliases: [base]}}
    configs: [{source: conf, target: /conf}]
  tool: {image: tool, profiles: [extra, more], network_mode: "service:db"}
volumes: {data: {}, unused: {}}
networks: {back: {driver_opts: {a: 1}}, spare: }
secrets: {token: {file: ./token}}
configs: {conf: {content: "a=${TAG}"}}
"#;
/// Flags of `config`.
const CONFIG: [&[&str]; 15] = [
    &[],
    &["--format", "json"],
    &["--services"],
    &["--volumes"],
    &["--networks"],
    &["--models"],
    &["--images"],
    &["--profiles"],
    &["--environment"],
    &["--variables"],
    &["--quiet"],
    &["--no-normalize"],
    &["--no-interpolate"],
    &["--no-path-resolution"],
    &["--no-consistency"],
];

/// What a program prints in a directory, with lines in order where docker compose has them in none;
/// `None` where it fails.
fn printed(command: &mut Command, directory: &Path, flags: &[&str]) -> Option<String> {
    command.args(flags).current_dir(directory).env_clear().env("HOME", "/home/someone");
    let Output { code: Some(0), stdout: text, .. } = output(command) else { return None };
    let in_no_order =
        ["--variables", "--services", "--volumes", "--networks", "--images", "--profiles"];
    if !flags.iter().any(|flag| in_no_order.contains(flag)) {
        return Some(text);
    }
    let mut lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    Some(lines.join("\n"))
}

#[test]
fn flags_of_config_work_together_as_in_docker_compose() {
    let roadstead = Roadstead::new("unix:///nowhere", "");
    let scratch = tempfile::tempdir().unwrap();
    let project = scratch.path().join("shop");
    write_files(
        &project,
        &[
            ("compose.yml", EVERYTHING),
            (".env", "TAG=2\n"),
            ("web.env", "A=1\nB=${TAG}\nHOME\n"),
            ("token", "t"),
            ("sub/Dockerfile", "FROM scratch\n"),
        ],
    );
    let pairs = CONFIG.iter().enumerate();
    let pairs =
        pairs.flat_map(|(at, one)| CONFIG[at + 1..].iter().map(move |other| [*one, *other]));
    for pair in pairs {
        let flags = pair.concat();
        // docker compose reads no short form of a port then, which no profile and no model needs.
        let is_refused = |flag: &&str| ["--profiles", "--models"].contains(flag);
        if flags.contains(&"--no-interpolate") && flags.iter().any(is_refused) {
            continue;
        }
        for profile in [&[][..], &["--profile", "extra"]] {
            let words = [profile, &["config"], &flags].concat();
            let theirs = printed(&mut Command::new(oracle()), &project, &words);
            let ours = printed(&mut roadstead.command(&["compose"]), &project, &words);
            assert_eq!(ours, theirs, "{words:?}");
        }
    }
}
