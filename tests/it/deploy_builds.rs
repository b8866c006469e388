//! A push to what an image is built from becomes a running container; one that does not build does not.

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Scene, on_both_engines, wait_for};

on_both_engines!(a_push_that_does_not_build_leaves_what_runs_and_its_image);

const COMPOSE: &str = "\
services:
  web: {build: ./web}
  other: {image: 'rs-test/app:1'}
";

fn dockerfile(rest: &str) -> String {
    format!("FROM rs-test/app:1\nCOPY page /page\n{rest}\n")
}

// Each test has its own content: of two equal images made at once, the cache takes the younger.
fn scene(page: &str) -> Scene<'static> {
    scene_on(Engine::shared(), page)
}

fn scene_on<'e>(engine: &'e Engine, page: &str) -> Scene<'e> {
    let files = [
        ("compose.yml", COMPOSE),
        ("web/Dockerfile", &dockerfile("")),
        ("web/page", page),
        ("notes.txt", "nothing"),
    ];
    Scene::on(engine, &files)
}

fn page(scene: &Scene<'_>) -> String {
    scene.engine.docker(&["exec", &scene.container("web"), "cat", "/page"])
}

#[test]
fn a_push_to_a_context_is_built_and_replaces_only_its_service() {
    let scene = scene("one");
    let _daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    assert_eq!(page(&scene), "one");
    let (web, other) = (scene.state("web"), scene.state("other"));

    scene.project.push(&[("web/page", "two")]);
    let run = scene.wait_for_run("succeeded", 2);
    assert_eq!(page(&scene), "two");
    assert_ne!(scene.state("web"), web);
    assert_eq!(scene.state("other"), other);
    let steps = scene.roadstead.run(&["runs", "--json", &run["id"].to_string()]).ok();
    assert!(steps.contains("build image"), "{steps}");

    // The cache makes the same image of the same context.
    let web = scene.state("web");
    scene.project.push(&[("notes.txt", "something")]);
    let run = scene.wait_for_run("succeeded", 3);
    assert_eq!(run["reason"], "converged", "{run}\n{}", scene.roadstead.log("autodeploy"));
    assert_eq!(scene.state("web"), web);
}

fn a_push_that_does_not_build_leaves_what_runs_and_its_image(engine: &Engine) {
    let scene = scene_on(engine, "eins");
    let _daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let before = scene.project.checked_out();
    let (web, image) = (scene.state("web"), scene.inspect("web", "{{.Image}}"));

    // The first service builds, the second does not.
    let broken = dockerfile("RUN echo before the fall && exit 3");
    let compose = COMPOSE.replace("other: {image: 'rs-test/app:1'}", "worse: {build: ./worse}");
    scene.project.push(&[
        ("compose.yml", compose.as_str()),
        ("web/page", "zwei"),
        ("worse/Dockerfile", broken.as_str()),
        ("worse/page", ""),
    ]);
    let run = scene.wait_for_run("failed", 1);
    assert_eq!(run["reason"], "build_failed", "{run}");
    let message = run["message"].to_string();
    assert!(message.contains("nothing that ran was touched"), "{message}");
    wait_for("the checkout to go back", PATIENCE, || scene.project.checked_out() == before);
    assert_eq!(scene.state("web"), web);
    let name = scene.inspect("web", "{{.Config.Image}}").expect("the container is there");
    let named = scene.engine.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(Some(named.trim()), image.as_deref(), "the name is the running image's again");
    let log = scene.roadstead.run(&["logs", &run["id"].to_string()]).ok();
    assert!(log.contains("before the fall") && log.contains("[3/3] RUN"), "{log}");

    // It is not built again and again.
    let looked = scene.wait_for_run("blocked", 1);
    assert_eq!(looked["reason"], "quarantined", "{looked}");
    scene.project.push(&[("worse/Dockerfile", &dockerfile(""))]);
    scene.wait_for_run("succeeded", 2);
    assert_eq!(page(&scene), "zwei");
}

#[test]
fn a_service_that_is_built_by_name_needs_no_profile() {
    let scene = Scene::new(&[
        ("compose.yml", "services: {tool: {build: ./tool, profiles: [never]}}"),
        ("tool/Dockerfile", "FROM rs-test/app:1\n"),
    ]);
    let image = format!("{}-tool", scene.project.name());
    scene.compose(&["build", "--quiet"]).ok();
    assert_eq!(scene.engine.inspect(&image, "{{.Id}}"), None);
    let said = scene.compose(&["build", "--quiet", "tool"]).ok();
    assert!(!said.contains("FROM"), "{said}");
    assert_ne!(scene.engine.inspect(&image, "{{.Id}}"), None);
}
