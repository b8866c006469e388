//! Bad days of the machine: the Engine is away, a disk refuses, somebody stops us.

use std::time::Duration;

use crate::support::scene::PATIENCE;
use crate::support::{CountingProxy, Engine, Hold, Roadstead, Scene, wait_for};

const GOOD: &str = "services:\n  web: {image: 'rs-test/app:1'}\n";

fn two() -> String {
    GOOD.replace("app:1", "app:2")
}

#[test]
fn an_engine_that_is_not_there_yet_is_waited_for_and_one_that_restarts_is_found_again() {
    let engine = Engine::own();
    let scene = Scene::on(&engine, &[("compose.yml", &GOOD.replace('}', ", restart: always}"))]);
    engine.halt();
    let said = scene.deploy().fails_with(1);
    assert!(said.contains("docker.sock"), "{said}");
    assert!(scene.roadstead.run(&["compose", "ps"]).code.is_some_and(|code| code > 0));

    let mut daemon = scene.roadstead.serve();
    wait_for("a word about the Engine", PATIENCE, || daemon.console().contains("trying again in"));
    let health = scene.roadstead.run(&["health"]).fails_with(1);
    assert!(health.contains("does not answer"), "{health}");
    assert!(daemon.is_running());
    engine.resume();
    scene.wait_for_run("succeeded", 1);
    // It waited in growing pauses, not in a hot loop.
    let tries = daemon.console().matches("trying again in").count();
    assert!(tries < 12, "{tries} tries\n{}", daemon.console());
    assert_eq!(scene.roadstead.run(&["health"]).code, Some(0));
    let web = scene.id("web");

    engine.halt();
    wait_for("a word about the Engine", PATIENCE, || {
        daemon.console().matches("trying again in").count() > tries
    });
    assert!(daemon.is_running());
    engine.resume();
    scene.project.push(&[("README.md", "A commit while all was well again.\n")]);
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.state("web"), format!("{web} running"));
    let failed = scene.runs_that("failed").len();
    assert!(failed <= 3, "{failed} failed runs");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn an_engine_that_dies_in_mid_deploy_costs_time_and_nothing_else() {
    let engine = Engine::own();
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(&engine, &proxy.host(), &[("compose.yml", GOOD)]);
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let catch = proxy.catch("POST", "/start", Hold::Request);
    scene.project.push(&[("compose.yml", &two())]);
    catch.wait(PATIENCE);
    // The old one is stopped, the new one not started, and now the Engine goes.
    engine.halt();
    drop(catch);
    scene.wait_for_run("failed", 1);
    engine.resume();
    wait_for("the new version", PATIENCE, || {
        let state = scene.inspect("web", "{{.State.Status}} {{.Config.Image}}");
        state.as_deref() == Some("running rs-test/app:2") && scene.names().len() == 1
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named_at_the_start() {
    let roadstead =
        Roadstead::new(&Engine::shared().host(), "AUTODEPLOY_STATE_DIR=/proc/roadstead");
    for command in [["serve"].as_slice(), &["deploy"]] {
        let project = Scene::new(&[("compose.yml", GOOD)]);
        let checkout = project.project.checkout();
        roadstead.write_env_local(&format!(
            "AUTODEPLOY_STATE_DIR=/proc/roadstead\nAUTODEPLOY_EXTRA_REPOS={}",
            checkout.display()
        ));
        let output = roadstead.run(command);
        assert!(output.code.is_some_and(|code| code == 1 || code == 2), "{output:?}");
        assert!(output.stderr.contains("/proc/roadstead"), "{}", output.stderr);
        assert_eq!(project.names(), Vec::<String>::new());
    }
}

#[test]
fn a_log_directory_that_cannot_be_written_stops_no_deploy() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_LOG_DIR=/proc/roadstead");
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    assert_eq!(scene.names(), scene.names_of(&["web"]));
    let console = daemon.console();
    assert!(console.contains("/proc/roadstead"), "{console}");
    assert!(console.contains("succeeded (applied)"), "{console}");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn sigterm_in_mid_deploy_puts_the_old_container_back_and_a_restart_converges() {
    let engine = Engine::shared();
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(engine, &proxy.host(), &[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_SHUTDOWN_GRACE=30s");
    let mut daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let (old, at) = (scene.id("web"), scene.project.checked_out());
    let catch = proxy.catch("POST", "/stop", Hold::Answer);
    scene.project.push(&[("compose.yml", &two())]);
    catch.wait(PATIENCE);
    daemon.terminate();
    wait_for("the word that it stops", PATIENCE, || daemon.console().contains("stopping: "));
    catch.release();
    // A second signal would end it at once.
    assert_eq!(daemon.wait(PATIENCE), Some(0));
    assert_eq!(scene.state("web"), format!("{old} running"));
    assert_eq!(scene.names(), scene.names_of(&["web"]));
    assert_eq!(scene.project.checked_out(), at);
    let run = &scene.runs()[0];
    assert_eq!((&run["outcome"], &run["reason"]), (&"cancelled".into(), &"shutdown".into()));

    // A stop is no failure of the revision: the next start applies it.
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert_eq!(scene.names(), scene.names_of(&["web"]));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_run_that_does_not_end_within_the_grace_is_left_to_the_next_start() {
    let engine = Engine::shared();
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(engine, &proxy.host(), &[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_SHUTDOWN_GRACE=1s");
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let catch = proxy.catch("POST", "/stop", Hold::Answer);
    scene.project.push(&[("compose.yml", &two())]);
    catch.wait(PATIENCE);
    assert_eq!(daemon.stop(Duration::from_secs(20)), Some(0));
    drop(catch);
    let lost = scene.runs_that("lost");
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["reason"], "shutdown");
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.names(), scene.names_of(&["web"]));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn sigterm_at_rest_ends_at_once_and_leaves_containers_alone() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_PLATFORM_FREQUENCY=@daily");
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let web = scene.state("web");
    assert_eq!(daemon.stop(Duration::from_secs(10)), Some(0));
    assert_eq!(scene.state("web"), web);
    let again = scene.roadstead.serve();
    wait_for("the second start", PATIENCE, || scene.roadstead.run(&["health"]).code == Some(0));
    assert_eq!(scene.state("web"), web);
    assert_eq!(again.stop(Duration::from_secs(10)), Some(0));
    assert!(scene.roadstead.log("roadstead").contains("stopped"));
}

#[test]
fn hangup_reads_the_configuration_anew() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_PLATFORM_FREQUENCY=@daily");
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    scene.roadstead.write_job("more.yml", "name: more\nrun: {image: 'rs-test/app:1'}\n");
    daemon.signal("HUP");
    wait_for("the new job", PATIENCE, || daemon.console().contains("2 jobs, changed"));
    std::fs::remove_file(scene.roadstead.path("jobs").join("more.yml")).unwrap();
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}
