//! `up` without `--detach`, beside docker compose 2.40 on the same files.

#![expect(clippy::disallowed_methods, reason = "a test drives programs")]

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::process::{Output, output};
use crate::support::{Engine, Scene, oracle, wait_for};

/// One fails, one goes on until it is stopped, one is done, one does not want to be seen.
const FOUR: &str = "\
services:
  web:
    image: rs-test/app:1
    command: [sh, -c, 'echo out; echo err >&2; sleep 1; exit 3']
    depends_on: [db]
  db: {image: 'rs-test/app:1', command: [sh, -c, 'echo one; exec sleep 100000']}
  done: {image: 'rs-test/app:1', command: [echo, done]}
  quiet: {image: 'rs-test/app:1', attach: false, command: [echo, hidden]}
";

fn theirs(scene: &Scene<'_>, arguments: &[&str]) -> Output {
    let mut command = Command::new(oracle());
    command
        .args(arguments)
        .current_dir(scene.project.checkout())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", scene.roadstead.path("."))
        .env("DOCKER_HOST", scene.engine.host());
    output(&mut command)
}

/// What was told of containers: by stream, without times, sorted.
fn lines(output: &Output) -> Vec<String> {
    let told = |line: &&str| line.contains(" | ") || line.contains("exited with");
    let out =
        output.stdout.lines().map(|it| it.trim_start_matches(['\r', '\u{1b}', '[', '2', 'K']));
    let out = out.filter(|line| told(line) || line.starts_with("Attaching"));
    let out = out.map(|it| format!("out {}", without_time(it)));
    let err = output.stderr.lines().filter(|line| told(line) && !line.contains("INFO"));
    let err = err.map(|it| format!("err {}", without_time(it)));
    let mut lines: Vec<String> = out.chain(err).collect();
    lines.sort();
    lines
}

fn without_time(line: &str) -> String {
    let is_time = |word: &&str| word.ends_with('Z') && word.contains('T') && word.len() > 20;
    let words: Vec<&str> =
        line.split(' ').map(|it| if is_time(&it) { "TIME" } else { it }).collect();
    // It aligns names with those it has met so far.
    words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_told_and_the_exit_code_are_those_of_docker_compose() {
    for arguments in [
        // Named, `quiet` would be shown by docker compose, or not: it does not always keep its word.
        &["done"][..],
        &["--abort-on-container-exit", "web"],
        &["--abort-on-container-failure"],
        &["--exit-code-from", "web", "web", "db"],
        &["--exit-code-from", "db", "web", "db"],
        &["--abort-on-container-failure", "--timestamps", "web", "db"],
        &["--abort-on-container-exit", "--attach-dependencies", "web"],
        &["--no-log-prefix", "done"],
    ] {
        let scene = Scene::new(&[("compose.yml", FOUR)]);
        let all = [&["up"], arguments].concat();
        let running = || scene.compose(&["ps", "--services"]).ok();
        let (theirs, left) = {
            let told = (theirs(&scene, &all), running());
            scene.compose(&["down", "--timeout", "0"]).ok();
            told
        };
        let ours = scene.compose(&all);
        assert_eq!(running(), left, "{arguments:?} {ours:?} {theirs:?}");
        assert_eq!(ours.code, theirs.code, "{arguments:?} {ours:?} {theirs:?}");
        assert_eq!(lines(&ours), lines(&theirs), "{arguments:?} {ours:?} {theirs:?}");
    }
}

#[test]
fn services_that_are_not_asked_for_are_not_shown() {
    let scene = Scene::new(&[("compose.yml", FOUR)]);
    // docker compose 2.40 forgets about them once they have started.
    for arguments in [&["--attach", "web"], &["--no-attach", "db"]] {
        let all = [&["up", "--abort-on-container-exit"], &arguments[..], &["web", "db"]].concat();
        let told = scene.compose(&all);
        assert_eq!(told.code, Some(3), "{told:?}");
        let (out, err) = (told.stdout.as_str(), told.stderr.as_str());
        assert!(out.contains("web-1  | out") && err.contains("web-1  | err"), "{told:?}");
        assert!(!out.contains("| one"), "{told:?}");
        assert_eq!(scene.compose(&["ps", "--services"]).ok(), "", "all stopped before it ended");
        scene.compose(&["down"]).ok();
    }
}

#[test]
fn wrong_names_and_flags_that_exclude_each_other_are_refused() {
    let scene = Scene::new(&[("compose.yml", FOUR)]);
    for (arguments, wanted) in [
        (&["--exit-code-from", "wbe"][..], "no such service: wbe; did you mean `web`?"),
        (&["--attach", "wbe"], "cannot attach to services not included in up: wbe"),
        (&["--attach", "web", "done"], "cannot attach to services not included in up: web"),
        (&["--attach", "web", "--attach-dependencies"], "cannot be used with"),
        (&["--detach", "--abort-on-container-exit"], "cannot be used with"),
        (&["--abort-on-container-failure", "--abort-on-container-exit"], "cannot be used with"),
        (&["--wait", "--attach", "web"], "cannot be used with"),
    ] {
        let answer = scene.compose(&[&["up"], arguments].concat()).fails_with(2);
        assert!(answer.contains(wanted), "{arguments:?}: {answer}");
    }
    assert!(scene.names().is_empty(), "nothing was touched");
}

/// Takes its time to end, or does not listen at all.
fn stubborn(trap: &str) -> String {
    format!(
        "services:\n  web:\n    image: rs-test/app:1\n    stop_signal: SIGTERM\n    \
         stop_grace_period: 60s\n    restart: always\n    \
         command: [sh, -c, \"trap '{trap}' TERM; echo ready; while :; do sleep 0.1; done\"]\n    \
         volumes: ['log:/log']\n    \
         pre_stop: [{{command: [sh, -c, 'echo stop >> /log/a']}}]\nvolumes: {{log: {{}}}}\n"
    )
}

#[test]
fn a_signal_stops_and_a_second_one_kills() {
    for (name, trap, signals, code) in
        [("INT", "exit 5", 1, "5"), ("TERM", "exit 5", 1, "5"), ("INT", "echo no", 2, "137")]
    {
        let scene = Scene::new(&[("compose.yml", &stubborn(trap))]);
        let told = scene.roadstead.path("told");
        let file = std::fs::File::create(&told).unwrap();
        let mut child = scene
            .roadstead
            .command(&["compose", "up"])
            .current_dir(scene.project.checkout())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let told = || std::fs::read_to_string(&told).unwrap();
        let patience = Duration::from_secs(30);
        wait_for("the first line", patience, || told().contains("web-1  | ready"));
        for nth in 1..=signals {
            let pid = child.id().to_string();
            output(Command::new("kill").args([&format!("-{name}"), &pid])).ok();
            let word = if nth == 1 { "Stopping" } else { "web-1  | no" };
            wait_for("an answer to the signal", patience, || {
                told().contains(word) || child.try_wait().unwrap().is_some()
            });
            if nth < signals {
                // The container must have been asked before it is killed.
                wait_for("its refusal", patience, || told().contains("web-1  | no"));
            }
        }
        let ended = child.wait().unwrap().code();
        assert_eq!(ended, Some(130), "{}", told());
        assert!(
            told().contains("Gracefully Stopping... press Ctrl+C again to force"),
            "{}",
            told()
        );
        let state = scene.inspect("web", "{{.State.Status}} {{.State.ExitCode}}");
        assert_eq!(state, Some(format!("exited {code}")), "{}", told());
        let volume = format!("{}_log:/log", scene.project.name());
        let hook = ["run", "--rm", "--volume", &volume, "rs-test/app:1", "cat", "/log/a"];
        assert_eq!(Engine::shared().docker(&hook), "stop");
    }
}

#[test]
fn what_runs_already_is_shown_from_now_on_and_what_comes_back_goes_on() {
    let text = "services: {web: {image: 'rs-test/app:1', restart: 'on-failure:2', \
                command: [sh, -c, 'echo hello; sleep 1; exit 4']}, \
                db: {image: 'rs-test/app:1', command: [sh, -c, 'echo old; sleep 3; echo new']}}\n";
    let scene = Scene::new(&[("compose.yml", text)]);
    scene.compose(&["up", "--detach", "db"]).ok();
    std::thread::sleep(Duration::from_millis(1200));
    let told = scene.compose(&["up"]);
    let count = |what: &str| told.stdout.lines().filter(|line| line.contains(what)).count();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!((count("| old"), count("| new")), (0, 1), "{told:?}");
    assert_eq!((count("| hello"), count("web-1 exited with code 4")), (3, 3), "{told:?}");
    assert_eq!(count("(restarting)"), 2, "{told:?}");
}
