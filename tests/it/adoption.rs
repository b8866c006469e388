//! docker compose 2.40 and Roadstead on the same project: neither makes new what the other made.

#![expect(clippy::disallowed_methods, reason = "drives docker compose")]

use std::process::Command;

use crate::support::process::output;
use crate::support::{Scene, oracle};

const COMPOSE: &str = "\
services:
  web:
    image: rs-test/app:1
    environment: {GREETING: '${GREETING:-hello}', EMPTY: ''}
    env_file: [web.env]
    volumes: ['data:/data', './conf:/conf:ro']
    networks: {front: {aliases: [www]}, default: {}}
    healthcheck: {test: [CMD, 'true'], interval: 1s}
    labels: {org.example.role: web}
    restart: unless-stopped
    stop_grace_period: 3s
    ulimits: {nofile: {soft: 1024, hard: 2048}}
    logging: {driver: json-file, options: {max-size: 1m}}
    depends_on: {db: {condition: service_started}}
    ports: ['127.0.0.1::80']
  db:
    image: rs-test/app:1
    command: sleep 100000
    init: true
    cap_drop: [NET_RAW]
    tmpfs: [/tmp]
    extra_hosts: ['one:10.0.0.1']
    deploy: {resources: {limits: {memory: 64M}}}
  once: {image: 'rs-test/app:1', command: ['true']}
networks: {front: {}}
volumes: {data: {}}
";

fn scene() -> Scene<'static> {
    let files = [("compose.yml", COMPOSE), ("web.env", "COLOR=red\n"), ("conf/a", "a\n")];
    let scene = Scene::new(&files);
    scene.set_env_local("AUTODEPLOY_COMPOSE_HASH=2.40\n");
    scene
}

fn docker_compose(scene: &Scene<'_>, arguments: &[&str]) -> String {
    let mut command = Command::new(oracle());
    command.args(arguments).current_dir(scene.project.checkout());
    command.env("DOCKER_HOST", scene.engine.host()).env("GREETING", "hello");
    let output = output(&mut command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stderr
}

fn states(scene: &Scene<'_>) -> Vec<(String, String)> {
    let started = "{{.Id}} {{.State.StartedAt}} {{.Created}}";
    scene
        .names()
        .into_iter()
        .map(|name| {
            let state = scene.engine.inspect(&name, started).unwrap_or_default();
            (name, state)
        })
        .collect()
}

#[test]
fn a_project_of_docker_compose_is_adopted_without_a_restart() {
    let scene = scene();
    docker_compose(&scene, &["up", "--detach", "--wait", "db", "web"]);
    docker_compose(&scene, &["up", "--detach"]);
    let before = states(&scene);
    assert_eq!(before.len(), 3);
    let said = scene.deploy().ok();
    assert!(said.contains("3 containers, nothing to do"), "{said}");
    assert_eq!(states(&scene), before);
    scene.compose(&["up", "--detach"]).ok();
    assert_eq!(states(&scene), before);
}

#[test]
fn docker_compose_changes_nothing_after_us() {
    let scene = scene();
    scene.deploy().ok();
    let before = states(&scene);
    assert_eq!(before.len(), 3);
    let listed = docker_compose(&scene, &["ps", "--all"]);
    assert!(!listed.contains("error"), "{listed}");
    let said = docker_compose(&scene, &["up", "--detach"]);
    assert!(!said.contains("Recreate"), "{said}");
    // A one-shot runs again each time docker compose is asked to; all others are left alone.
    let lasting = |states: Vec<(String, String)>| -> Vec<_> {
        states.into_iter().filter(|(name, _)| !name.contains("-once-")).collect()
    };
    assert_eq!(lasting(states(&scene)), lasting(before));
    docker_compose(&scene, &["down", "--volumes"]);
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn docker_compose_changes_nothing_after_we_replaced_a_container() {
    let scene = scene();
    docker_compose(&scene, &["up", "--detach"]);
    scene.project.push(&[("web.env", "COLOR=blue\n")]);
    scene.deploy().ok();
    let before = states(&scene);
    let said = docker_compose(&scene, &["up", "--detach"]);
    assert!(!said.contains("Recreate"), "{said}");
    let web = |states: &[(String, String)]| {
        states.iter().find(|(name, _)| name.contains("-web-")).cloned()
    };
    assert_eq!(web(&states(&scene)), web(&before));
}
