//! A registry that is closed: looking up digests and pulling, with Docker's own credentials.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "starts itself with another PATH, and fails loudly"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use roadstead::docker::{Engine as Client, Progress, PullOptions};
use roadstead::registry::{ClientConfig, Registries};

use crate::support::process::output;
use crate::support::registry::{PASSWORD, USER};
use crate::support::{Engine, Registry, Scene, on_both_engines, unique, write_files};

on_both_engines!(an_image_that_is_always_pulled_is_followed_and_pulled_only_when_it_moved);

/// A client configured by the file in this directory.
fn registries(directory: &Path) -> Registries {
    let variables = [("DOCKER_CONFIG".to_owned(), directory.display().to_string())].into();
    Registries::new(ClientConfig::load(&variables).unwrap()).unwrap()
}

#[tokio::test]
async fn a_digest_is_looked_up_without_pulling() {
    let engine = Engine::shared();
    let registry = Registry::start_closed();
    let reference = registry.push(engine, "rs-test/app:1", "closed:1");
    let empty = tempfile::tempdir().unwrap();
    let config = registry.client_config();
    let opened = registries(Path::new(&config));
    let found = opened.digest(&reference).await.unwrap().unwrap();
    assert!(found.starts_with("sha256:"), "{found}");
    assert_eq!(engine.inspect(&reference, "{{.Id}}"), None, "nothing was pulled");
    // The same as the Engine finds when it does pull.
    let options =
        PullOptions { credentials: opened.credentials(&reference).await.unwrap(), platform: None };
    let client = Client::new(Some(&engine.host())).unwrap();
    let mut layers = Vec::new();
    let mut note = |progress: Progress| layers.push(progress);
    client.pull_image(&reference, &options, &mut note).await.unwrap();
    assert!(layers.iter().any(|it| matches!(it, Progress::Layer { .. })), "{layers:?}");
    let digests = engine.inspect(&reference, "{{json .RepoDigests}}").unwrap();
    assert!(digests.contains(&found), "{found} in {digests}");
    engine.docker(&["rmi", &reference]);
    // Without credentials, neither.
    let closed = registries(empty.path());
    let error = format!("{:#}", closed.digest(&reference).await.unwrap_err());
    assert!(error.contains("run `docker login`"), "{error}");
    let error = client.pull(&reference).await.unwrap_err();
    assert!(format!("{error:#}").contains("no basic auth credentials"), "{error:#}");
    // A tag that is not there is told as such.
    let error = format!("{:#}", opened.digest(&registry.reference("none:1")).await.unwrap_err());
    assert!(error.contains("has no `none:1`"), "{error}");
}

#[test]
fn credentials_come_from_a_helper_and_a_helper_that_hangs_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let helper = |name: &str, script: &str| {
        let path = directory.path().join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let answer = format!("{{\"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}");
    helper("good", &format!("grep -q '^h:1$' && echo '{answer}'"));
    helper("empty", "echo 'credentials not found in native keychain'; exit 1");
    helper("broken", "echo 'the keychain is locked'; exit 3");
    helper("odd", "echo hello");
    helper("hangs", "exec sleep 1000");
    for (config, expected) in [
        (r#"{"credHelpers": {"h:1": "good"}, "auths": {"h:1": {"auth": "YTpi"}}}"#, "Password(ada"),
        (r#"{"credsStore": "good"}"#, "Password(ada"),
        (r#"{"credsStore": "empty", "auths": {"h:1": {"auth": "YTpi"}}}"#, "Password(a,"),
        (r#"{"credsStore": "empty"}"#, "None"),
        (r#"{"credsStore": "broken"}"#, "the keychain is locked"),
        (r#"{"credsStore": "odd"}"#, "something else than a user"),
        (r#"{"credsStore": "missing"}"#, "is it installed"),
        (r#"{"credsStore": "hangs"}"#, "did not answer"),
    ] {
        write_files(directory.path(), &[("config.json", config)]);
        let started = Instant::now();
        let found = in_own_process(directory.path());
        assert!(found.contains(expected), "{config}: {found}");
        assert!(!found.contains(PASSWORD), "{config}: {found}");
        assert!(started.elapsed() < Duration::from_secs(20), "{config}");
    }
}

/// Asks in a process whose PATH leads to the helpers; the test of the other name does the asking.
fn in_own_process(directory: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "registry::asks_a_helper", "--nocapture"]);
    command.env("ROADSTEAD_TEST_HELPERS", directory);
    let path = format!("{}:/usr/bin:/bin", directory.display());
    let output = command.env("PATH", path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Does nothing unless the test above runs it.
#[tokio::test]
async fn asks_a_helper() {
    let Ok(directory) = std::env::var("ROADSTEAD_TEST_HELPERS") else { return };
    let variables = BTreeMap::from([("DOCKER_CONFIG".to_owned(), directory)]);
    let config = ClientConfig::load(&variables).unwrap();
    let reference = roadstead::image::Reference::parse("h:1/app").unwrap();
    let found = config.credentials(&reference).await;
    let text = match found {
        Ok(found) => format!("{found:?}"),
        Err(error) => format!("{error:#}"),
    };
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).unwrap();
}

fn an_image_that_is_always_pulled_is_followed_and_pulled_only_when_it_moved(engine: &Engine) {
    let registry = Registry::start_closed();
    let reference = registry.push(engine, "rs-test/app:1", "followed:1");
    let compose = format!("services: {{web: {{image: '{reference}', pull_policy: always}}}}");
    let scene = Scene::on(engine, &[("compose.yml", &compose)]);
    scene.set_env_local(&format!("DOCKER_CONFIG={}", registry.client_config()));
    scene.deploy().ok();
    let web = scene.state("web");
    let run = || {
        scene.deploy().ok();
        let number = scene.runs()[0]["id"].to_string();
        scene.roadstead.run(&["runs", "--json", &number]).ok()
    };
    let looked = run();
    assert!(looked.contains("\"unchanged\"") && !looked.contains("pull image"), "{looked}");
    assert_eq!(scene.state("web"), web);

    // The tag moves, and no commit says so.
    registry.push(engine, "rs-test/app:2", "followed:1");
    let pulled = run();
    assert!(pulled.contains("pull image"), "{pulled}");
    let image = engine.inspect("rs-test/app:2", "{{.Id}}");
    assert_eq!(scene.inspect("web", "{{.Image}}"), image);
    let looked = run();
    assert!(looked.contains("\"unchanged\"") && !looked.contains("pull image"), "{looked}");
}

#[test]
fn what_was_built_is_pushed_with_the_credentials_of_the_client() {
    let registry = Registry::start_closed();
    let reference = registry.reference("built:1");
    let (directory, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let compose = format!(
        "name: {}\nservices: {{web: {{image: '{reference}', build: {{context: ., tags: ['{}']}}}}}}",
        unique("pushed"),
        registry.reference("built:other"),
    );
    let files = [("compose.yml", compose.as_str()), ("Dockerfile", "FROM rs-test/app:1\n")];
    write_files(directory.path(), &files);
    let push = |config: &str| {
        let mut command = Command::new(crate::support::roadstead::program());
        command.args(["compose", "build", "--push", "--provenance=true", "--memory", "64m"]);
        command.current_dir(directory.path()).env_clear().env("DOCKER_CONFIG", config);
        output(command.env("DOCKER_HOST", Engine::shared().host()))
    };
    let refused = push(&empty.path().display().to_string()).fails_with(1);
    assert!(refused.contains("push image") && refused.contains("no basic auth"), "{refused}");
    let config = registry.client_config();
    let told = push(&config);
    assert!(told.stderr.contains("keeps no attestation"), "{told:?}");
    told.ok();
    let engine = Engine::shared();
    for name in [reference, registry.reference("built:other")] {
        engine.docker(&["rmi", &name]);
        engine.docker(&["--config", &config, "pull", "--quiet", &name]);
        engine.docker(&["rmi", &name]);
    }
}
