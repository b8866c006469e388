//! Every flag of docker compose is one of ours, so that scripts run unchanged.

#![expect(clippy::disallowed_methods, reason = "a test drives programs")]

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::process::output;
use crate::support::{Roadstead, oracle};

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
