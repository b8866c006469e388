//! A second look is free: what an unchanged world costs, counted on the Engine's socket.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::proxy::Request;
use crate::support::{CountingProxy, Engine, Scene};

const SERVICES: usize = 50;

/// Fifty services; those in `changed` get another command.
fn fifty(changed: Option<usize>) -> String {
    let mut text = "services:\n".to_owned();
    for number in 1..=SERVICES {
        let seconds = if changed == Some(number) { 200_000 } else { 100_000 };
        let _ = writeln!(
            text,
            "  s{number}: {{image: 'rs-test/app:1', network_mode: none, command: [sleep, '{seconds}']}}"
        );
    }
    text
}

/// Exactly the four lists, besides asking for the Engine's version.
pub(crate) fn assert_only_looked(what: &str, requests: &[Request]) {
    let mut lists = BTreeMap::new();
    for (method, path) in requests {
        let path = path.split('?').next().unwrap_or_default();
        if matches!(path, "/_ping" | "/version") {
            continue;
        }
        *lists.entry(format!("{method} {path}")).or_insert(0) += 1;
    }
    let expected = ["containers", "images", "networks", "volumes"].map(|kind| match kind {
        "networks" | "volumes" => (format!("GET /{kind}"), 1),
        _ => (format!("GET /{kind}/json"), 1),
    });
    assert_eq!(lists, BTreeMap::from(expected), "{what}");
}

fn ids(scene: &Scene<'_>) -> BTreeMap<String, String> {
    let filter = format!("label=com.docker.compose.project={}", scene.project.name());
    let format = "{{.Names}} {{.ID}}";
    let list = ["ps", "--all", "--no-trunc", "--format", format, "--filter", &filter];
    let text = scene.engine.docker(&list);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
}

#[test]
fn fifty_unchanged_services_cost_four_lists_and_no_write_and_one_changed_moves_alone() {
    let engine = Engine::shared();
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(engine, &proxy.host(), &[("compose.yml", &fifty(None))]);
    scene.compose(&["up", "--detach"]).ok();
    let first = ids(&scene);
    assert_eq!(first.len(), SERVICES);

    proxy.take();
    scene.compose(&["up", "--detach"]).ok();
    assert_only_looked("compose up", &proxy.take());

    // The daemon adopts what compose made, and then looks each second.
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    assert_eq!(proxy.writes(), []);
    scene.wait_for_run("unchanged", 3);
    daemon.stop(crate::support::scene::PATIENCE);
    assert_eq!(proxy.writes(), []);
    assert_eq!(ids(&scene), first);

    // Beside recovery's own look for interrupted switches, one run is four lists.
    proxy.take();
    scene.deploy().ok();
    let requests: Vec<Request> = proxy.take();
    let is_recovery = |path: &str| path.contains("roadstead") && path.contains("replaces");
    let run: Vec<_> = requests.into_iter().filter(|(_, path)| !is_recovery(path)).collect();
    assert_only_looked("deploy", &run);

    scene.project.push(&[("compose.yml", &fifty(Some(17)))]);
    scene.deploy().ok();
    let after = ids(&scene);
    let moved: Vec<_> =
        first.iter().filter(|(name, id)| after.get(*name) != Some(id)).map(|it| it.0).collect();
    assert_eq!(moved, [&scene.container("s17")]);
    assert_eq!(after.len(), SERVICES);
    let written: Vec<_> = proxy.writes();
    // Create, stop, start, remove, rename: nothing else is written.
    assert_eq!(written.len(), 5, "{written:?}");
}
