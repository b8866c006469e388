//! Jobs that run a container to completion, and limits on time.

use std::process::Stdio;
use std::time::Duration;

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Registry, Roadstead, Scene, unique, wait_for};

/// An installation with one job of this name, whose file is `text` below the name.
fn installed(name: &str, text: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "AUTODEPLOY_TIMEZONE=UTC");
    roadstead.write_job("job.yml", &format!("name: {name}\n{text}"));
    roadstead
}

/// Containers of a job, running or not.
fn containers(name: &str) -> String {
    let filter = format!("name=roadstead-{name}");
    Engine::shared().docker(&["ps", "--all", "--quiet", "--filter", &filter])
}

#[test]
fn output_is_kept_in_the_log_of_the_job_and_the_exit_code_is_returned() {
    let name = unique("job");
    let roadstead = installed(
        &name,
        "run:\n  image: rs-test/app:1\n  command: sh -c 'echo to out; echo to err >&2; echo $$WHO; exit 7'\n  \
         environment: {WHO: it-is-me}\n",
    );
    let said = roadstead.run(&["run", &name]).fails_with(7);
    assert!(said.contains("exited with 7"), "{said}");
    let log = roadstead.log(&name);
    for part in ["to out", "to err", "it-is-me", "failed (exited_non_zero)"] {
        assert!(log.contains(part), "`{part}` is missing in\n{log}");
    }
    assert_eq!(containers(&name), "");
    let run = roadstead.run(&["runs", "1", "--json"]).ok();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    assert_eq!((&run["exit_code"], &run["outcome"]), (&7.into(), &"failed".into()));
}

#[test]
fn a_job_that_ends_well_says_so_and_exits_with_zero() {
    let name = unique("job");
    let roadstead = installed(&name, "run: {image: 'rs-test/app:1', command: ['true']}\n");
    let said = roadstead.run(&["run", &name]).ok();
    assert!(said.contains("succeeded (exited_zero)"), "{said}");
}

#[test]
fn a_job_on_the_clock_runs_at_its_slots_and_each_slot_once() {
    let name = unique("job");
    let roadstead = installed(
        &name,
        "schedule: '*/1 * * * * *'\nrun: {image: 'rs-test/app:1', command: [echo, tick]}\n",
    );
    let daemon = roadstead.serve();
    let runs = || -> Vec<serde_json::Value> {
        serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap()
    };
    wait_for("three runs", PATIENCE, || {
        runs().iter().filter(|run| run["outcome"] == "succeeded").count() >= 3
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    let mut slots: Vec<_> = runs().iter().map(|run| run["slot"].to_string()).collect();
    let count = slots.len();
    slots.sort();
    slots.dedup();
    assert_eq!(slots.len(), count);
    assert!(slots.iter().all(|slot| slot != "null"));
}

#[test]
fn a_missing_image_is_pulled_and_one_that_cannot_be_is_named() {
    let engine = Engine::shared();
    let registry = Registry::start();
    let (name, image) = (unique("job"), unique("tool"));
    let reference = registry.reference(&format!("{image}:1"));
    let roadstead =
        installed(&name, &format!("run: {{image: '{reference}', command: [echo, here]}}\n"));
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("image_unavailable") && said.contains(&reference), "{said}");
    registry.push(engine, "rs-test/app:1", &format!("{image}:1"));
    roadstead.run(&["run", &name]).ok();
    assert!(roadstead.log(&name).contains("here"));
}

#[test]
fn a_job_does_not_overlap_with_a_container_that_outlived_its_daemon() {
    let name = unique("job");
    let roadstead = installed(&name, "run: {image: 'rs-test/app:1', command: [sleep, '100000']}\n");
    let daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    let mut asked = roadstead.command(&["run", &name]);
    let mut asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the container", PATIENCE, || !containers(&name).is_empty());
    wait_for("its start", PATIENCE, || roadstead.log(&name).contains("started from"));
    daemon.kill();
    asked.kill().unwrap();
    asked.wait().unwrap();
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("skipped (overlap)") && said.contains("still runs"), "{said}");
    // Ended, it is in nobody's way.
    let id = containers(&name);
    Engine::shared().docker(&["kill", &id]);
    roadstead.write_job(
        "job.yml",
        &format!("name: {name}\nrun: {{image: 'rs-test/app:1', command: ['true']}}\n"),
    );
    roadstead.run(&["run", &name]).ok();
    assert_eq!(containers(&name), "");
}

#[test]
fn a_job_that_takes_too_long_is_stopped_and_says_so() {
    let name = unique("job");
    let roadstead = installed(
        &name,
        "timeout: 1s\nrun: {image: 'rs-test/app:1', command: [sleep, '100000']}\n",
    );
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("timed_out") && said.contains("timeout of 1 s"), "{said}");
    assert_eq!(containers(&name), "");
}

#[test]
fn a_deploy_that_takes_too_long_is_put_back() {
    let compose = |healthy: &str| {
        format!(
            "services:\n  web:\n    image: rs-test/app:1\n    \
             healthcheck: {{test: [CMD, '{healthy}'], interval: 500ms, retries: 1000, start_period: 100s}}\n"
        )
    };
    let scene = Scene::new(&[("compose.yml", &compose("true"))]);
    let checkout = scene.project.checkout();
    scene.roadstead.write_job(
        "own.yml",
        &format!(
            "name: own\ntimeout: 4s\ndeploy: {{sources: ['{}'], health: {{within: 100s}}}}\n",
            checkout.display()
        ),
    );
    let deploy = || scene.roadstead.run(&["deploy", "own"]);
    deploy().ok();
    let (old, at) = (scene.id("web"), scene.project.checked_out());
    scene.project.push(&[("compose.yml", &compose("false"))]);
    let said = deploy().fails_with(1);
    assert!(said.contains("timed_out") && said.contains("timeout of 4 s"), "{said}");
    assert_eq!(scene.state("web"), format!("{old} running"));
    assert_eq!(scene.project.checked_out(), at);
}

#[test]
fn two_roadsteads_never_share_a_state_directory() {
    let name = unique("job");
    let roadstead = installed(&name, "run: {image: 'rs-test/app:1', command: ['true']}\n");
    let mut first = roadstead.serve();
    wait_for("the first", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    let said = roadstead.run(&["serve"]).fails_with(1);
    assert!(said.contains("another roadstead already uses"), "{said}");
    assert!(first.is_running());
    // A command does not compete: it asks the one that runs.
    roadstead.run(&["run", &name]).ok();
    assert_eq!(first.stop(Duration::from_secs(30)), Some(0));
}
