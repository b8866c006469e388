//! What scripts written for docker compose count on, beside docker compose 2.40 where both can be asked.

#![expect(clippy::disallowed_methods, reason = "a test drives programs and fails loudly")]

use std::process::Command;

use crate::support::process::{Output, output};
use crate::support::stack::Stack;
use crate::support::{Engine, on_both_engines, write_files};

on_both_engines!(
    a_server_that_was_stopped_comes_up_again,
    what_was_not_named_outlives_a_down,
    a_first_up_that_fails_leaves_what_it_started,
);

/// What `script` says, with the tool under `DC`.
fn script(stack: &Stack, is_ours: bool, script: &str) -> Output {
    let tool = if is_ours {
        format!("{} compose", crate::support::roadstead::program().display())
    } else {
        crate::support::oracle().display().to_string()
    };
    let mut command = Command::new("bash");
    command.args(["-c", &script.replace("DC", &tool)]);
    output(&mut stack.prepared(command, &stack.path()))
}

/// `SERVICE STATE` of each container.
fn states(stack: &Stack) -> Vec<String> {
    let listed = script(stack, true, "DC ps -a --format '{{.Service}} {{.State}}'").ok();
    let mut states: Vec<_> = listed.lines().map(str::to_owned).collect();
    states.sort();
    states
}

fn a_server_that_was_stopped_comes_up_again(engine: &'static Engine) {
    let command = "[sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.1; done']";
    let text = format!(
        "services:\n  polite: {{image: 'rs-test/app:1', stop_signal: SIGTERM, command: {command}}}\n  \
         once: {{image: 'rs-test/app:1', command: 'true'}}\n"
    );
    let stack = Stack::on(engine, &text);
    stack.ours(&["up", "-d"]).ok();
    stack.ours(&["stop"]).ok();
    assert_eq!(states(&stack), ["once exited", "polite exited"]);
    assert_eq!(stack.inspect("polite-1", "{{.State.ExitCode}}"), "0");
    let ran = stack.inspect("once-1", "{{.State.StartedAt}}");
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(states(&stack), ["once exited", "polite running"]);
    assert_eq!(stack.inspect("once-1", "{{.State.StartedAt}}"), ran, "it has done its work");
    // Who names it, or looks on, wants to see it work.
    stack.ours(&["up", "-d", "once"]).ok();
    let again = stack.inspect("once-1", "{{.State.StartedAt}}");
    assert_ne!(again, ran);
    stack.ours(&["up", "--exit-code-from", "once", "--abort-on-container-exit"]).ok();
    assert_ne!(stack.inspect("once-1", "{{.State.StartedAt}}"), again);
}

fn what_was_not_named_outlives_a_down(engine: &'static Engine) {
    let text = "services:\n  web: {image: 'rs-test/app:1'}\n  \
                debug: {image: 'rs-test/app:1', profiles: [debug]}\n";
    let stack = Stack::on(engine, text);
    stack.ours(&["--profile", "debug", "up", "-d"]).ok();
    stack.ours(&["run", "-d", "web", "sleep", "1000"]).ok();
    stack.ours(&["down"]).ok();
    assert_eq!(states(&stack), ["debug running", "web running"], "the second one is of `run`");
    stack.ours(&["down", "--remove-orphans"]).ok();
    assert_eq!(states(&stack), ["debug running"]);
    // The same project from another directory.
    let elsewhere = stack.path().join("release/2");
    write_files(&elsewhere, &[("compose.yml", text)]);
    let down = ["-p", &stack.name, "--profile", "debug", "down"];
    output(&mut stack.program(&elsewhere, &down)).ok();
    assert_eq!(states(&stack), [""; 0]);
}

fn a_first_up_that_fails_leaves_what_it_started(engine: &'static Engine) {
    let text = "services:\n  sick: {image: 'rs-test/app:1', command: \"sh -c 'echo look at me; sleep \
                1000'\", healthcheck: {test: 'false', interval: 1s, retries: 1}}\n";
    let stack = Stack::on(engine, text);
    let said = stack.ours(&["up", "-d", "--wait"]).fails_with(1);
    assert!(said.contains("what was started stays"), "{said}");
    assert_eq!(states(&stack), ["sick running"]);
    assert!(stack.ours(&["logs", "sick"]).ok().contains("look at me"));
    // What ends, or starts again and again, came up all the same.
    let text = "services:\n  ends: {image: 'rs-test/app:1', command: 'false'}\n  \
                again: {image: 'rs-test/app:1', restart: always, command: 'false'}\n";
    let stack = Stack::on(engine, text);
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(states(&stack).len(), 2);
}

#[test]
fn words_are_read_as_docker_compose_reads_them() {
    let text =
        "services:\n  web: {image: 'rs-test/app:1', command: sleep 100000, env_file: web.env}\n";
    let scripts = [
        "DC up --detach=true --build=false --menu=0",
        "DC -p other -p $(basename $PWD) ps -q -q | wc -l",
        "DC exec -it web echo hello </dev/null",
        "echo in | DC exec -it -T=true web cat",
        "DC logs --since '' --tail -1 web | wc -l",
        "DC exec --index=0 web true",
        "COMPOSE_PROGRESS=quiet COMPOSE_ANSI=never DC restart -t 0 2>&1",
        "DC ls --filter \"name=^$(basename $PWD)$\" -q",
        "rm web.env; DC ps --services; DC stop -t -1 web; DC start web; DC config --services",
        "DC -f <(echo 'services: {x: {image: y}}') config --services",
        "DC -f compose.yml -f /dev/null config --services",
        "touch web.env; DOCKER_HOST= DC config -q",
        "DC -H $DOCKER_HOST ps -q | wc -l",
        "docker context create eng --docker host=$DOCKER_HOST >&2; unset DOCKER_HOST; \
         DOCKER_CONTEXT=eng DC ps -q | wc -l; DC --context eng ps -q | wc -l",
        "DC down --volumes=true --remove-orphans=false -t -1",
    ];
    let said = [true, false].map(|is_ours| {
        let stack = Stack::new(text);
        write_files(&stack.path(), &[("web.env", "A=b\n")]);
        scripts.map(|it| {
            let said = script(&stack, is_ours, it);
            (it, said.code, said.stdout.replace(&stack.name, "P"))
        })
    });
    let [ours, theirs] = said;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
        assert_eq!(ours.1, Some(0), "{ours:?}");
    }
}
