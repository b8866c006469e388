//! A deploy that does not become well is rolled back, and not tried again until something is new.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::scene::PATIENCE;
use crate::support::{Scene, wait_for};

const GOOD: &str =
    "services:\n  web: {image: 'rs-test/app:1'}\n  other: {image: 'rs-test/app:1'}\n";

/// A new version that is never well, and what the reason says of it.
struct Bad {
    compose: String,
    says: &'static str,
}

fn web(line: &str) -> String {
    GOOD.replacen("web: {image: 'rs-test/app:1'}", &format!("web: {{{line}}}"), 1)
}

#[track_caller]
fn check(bad: &Bad) {
    let scene = Scene::new(&[("compose.yml", GOOD), ("page", "old\n")]);
    scene.deploy().ok();
    let at = scene.project.checked_out();
    let (old, other) = (scene.id("web"), scene.state("other"));

    let commit = scene.project.push(&[("compose.yml", &bad.compose), ("page", "new\n")]);
    let said = scene.deploy().fails_with(1);
    assert!(said.contains(bad.says), "`{}` in\n{said}", bad.says);
    assert!(said.contains("rolled back, what ran before runs again"), "{said}");
    assert_eq!(scene.state("web"), format!("{old} running"), "the old container runs again");
    assert_eq!(scene.state("other"), other);
    assert_eq!(scene.names(), scene.names_of(&["other", "web"]));
    assert_eq!(scene.project.checked_out(), at, "the checkout is what the old containers knew");
    assert!(!scene.applied().contains(&commit));
    let run = &scene.runs()[0];
    assert_eq!((&run["outcome"], &run["reason"]), (&"failed".into(), &"rolled_back".into()));
}

#[test]
fn a_version_that_exits_at_once_is_rolled_back() {
    check(&Bad { compose: web("image: 'rs-test/broken:1'"), says: "exited with code 1" });
}

#[test]
fn a_version_that_keeps_restarting_is_rolled_back() {
    check(&Bad { compose: web("image: 'rs-test/broken:1', restart: always"), says: "exit" });
}

#[test]
fn a_version_that_is_unhealthy_is_rolled_back() {
    check(&Bad { compose: web("image: 'rs-test/unhealthy:1'"), says: "is unhealthy" });
}

#[test]
fn a_version_whose_command_does_not_exist_is_rolled_back() {
    check(&Bad {
        compose: web("image: 'rs-test/app:1', command: [/no/such/program]"),
        says: "/no/such/program",
    });
}

#[test]
fn a_version_whose_port_is_taken_is_rolled_back() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    check(&Bad {
        compose: web(&format!("image: 'rs-test/app:1', ports: ['127.0.0.1:{port}:80']")),
        says: "address already in use",
    });
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing_behind() {
    let scene = Scene::new(&[("compose.yml", &web("image: 'rs-test/broken:1'"))]);
    scene.deploy().fails_with(1);
    let running = scene.names().into_iter().filter(|name| {
        scene.engine.inspect(name, "{{.State.Status}}").as_deref() == Some("running")
    });
    assert_eq!(running.collect::<Vec<_>>(), Vec::<String>::new());
    assert!(scene.applied().contains("null"), "{}", scene.applied());
}

#[test]
fn a_failed_revision_waits_for_a_newer_one_or_a_person() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let old = scene.id("web");
    let broken = web("image: 'rs-test/broken:1'");
    scene.project.push(&[("compose.yml", &broken)]);
    scene.wait_for_run("failed", 1);

    // The next polls look and leave it alone.
    let run = scene.wait_for_run("blocked", 3);
    assert_eq!(run["reason"], "quarantined");
    let message = run["message"].to_string();
    assert!(message.contains("push a newer commit"), "{message}");
    assert!(message.contains("roadstead deploy autodeploy"), "{message}");
    assert_eq!(scene.runs_that("failed").len(), 1, "tried once");
    assert_eq!(scene.state("web"), format!("{old} running"));

    // A person may insist.
    let said = scene.deploy().fails_with(1);
    assert!(said.contains("rolled back"), "{said}");
    assert_eq!(scene.runs_that("failed").len(), 2);
    assert_eq!(scene.state("web"), format!("{old} running"));

    // A newer commit goes through by itself.
    scene.project.push(&[("compose.yml", &web("image: 'rs-test/app:2'"))]);
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert_eq!(scene.runs_that("failed").len(), 2);
    assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
}

#[test]
fn a_cause_outside_of_the_revision_is_over_once_a_person_says_deploy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.deploy().ok();
    let publish = format!("image: 'rs-test/app:2', ports: ['127.0.0.1:{port}:80']");
    let commit = scene.project.push(&[("compose.yml", &web(&publish))]);
    scene.deploy().fails_with(1);
    drop(taken);
    scene.deploy().ok();
    assert_eq!(scene.project.checked_out(), commit);
    assert_eq!(scene.names(), scene.names_of(&["other", "web"]));
    wait_for("the new version", PATIENCE, || {
        scene.inspect("web", "{{.Config.Image}}").as_deref() == Some("rs-test/app:2")
    });
}

#[test]
fn what_was_stopped_before_stays_stopped_and_a_mounted_page_goes_back() {
    let compose = |image: &str| {
        format!("services:\n  web: {{image: '{image}', volumes: ['./page:/www/index.html:ro']}}\n")
    };
    let scene = Scene::new(&[("compose.yml", &compose("rs-test/app:1")), ("page", "old\n")]);
    scene.deploy().ok();
    scene.project.push(&[("compose.yml", &compose("rs-test/broken:1")), ("page", "new\n")]);
    scene.deploy().fails_with(1);
    let shown = scene.engine.docker(&["exec", &scene.container("web"), "cat", "/www/index.html"]);
    assert_eq!(shown, "old");
}
