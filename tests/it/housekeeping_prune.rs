//! `prune`: what nothing needs goes, and a deploy can go back all the same.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails; what is pruned must grow a second old"
)]

use std::time::Duration;

use serde_json::Value;

use crate::support::{Engine, Roadstead, Scene, on_both_engines, unique};

/// Waits until what is there is older than the `1s` of the jobs here.
fn grow_old() {
    std::thread::sleep(Duration::from_millis(1100));
}

fn results(roadstead: &Roadstead) -> Value {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let id = runs[0]["id"].to_string();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", &id, "--json"]).ok()).unwrap();
    run["details"]["results"].clone()
}

/// Builds an image of its own; returns its id.
fn build(engine: &Engine, name: &str, what: &str) -> String {
    let dockerfile = format!("FROM rs-test/app:1\nLABEL what={name}-{what}\n");
    engine.build_image(name, &dockerfile, &[]);
    engine.inspect(name, "{{.Id}}").unwrap()
}

fn is_there(engine: &Engine, image: &str) -> bool {
    engine.try_docker(&["image", "inspect", image]).code == Some(0)
}

fn never_an_image_that_a_rollback_needs(engine: &'static Engine) {
    let image = unique("rs-prune");
    let compose = |tag: &str| format!("services:\n  web: {{image: '{image}:{tag}'}}\n");
    let named = format!("{image}-named:1");
    let ids = ["1", "2", "3", "4"].map(|tag| {
        let id = build(engine, &format!("{image}:{tag}"), tag);
        if tag == "2" {
            engine.docker(&["tag", &id, &named]);
        }
        id
    });
    let scene = Scene::on(engine, &[("compose.yml", &compose("1"))]);
    scene.deploy().ok();
    for tag in ["2", "3", "4"] {
        scene.project.push(&[("compose.yml", &compose(tag))]);
        scene.deploy().ok();
    }
    // What revision 1 ran has lost its name to another image, which no run of ours used.
    build(engine, &format!("{image}:1"), "again");
    // Another job names what revision 2 ran, under a name of its own.
    let job = unique("names");
    let text = format!("name: {job}\nrun: {{image: '{named}', command: ['true']}}\n");
    scene.roadstead.write_job("names.yml", &text);
    let prune =
        "name: leftovers\nprune:\n  images: {older_than: 1s, keep: 1}\n  containers: false\n";
    scene.roadstead.write_job("prune.yml", prune);
    grow_old();

    let plan = scene.roadstead.run(&["plan", "leftovers"]).fails_with(3);
    assert!(
        plan.contains(&format!("keep image {image}:3: job autodeploy ran it before")),
        "{plan}"
    );
    assert!(plan.contains(&format!("keep image {image}:4: container")), "{plan}");
    assert!(plan.contains(&format!("job {job} names it")), "{plan}");
    scene.roadstead.run(&["run", "leftovers"]).ok();
    for (id, stays) in ids.iter().zip([false, true, true, true]) {
        assert_eq!(is_there(engine, id), stays, "{id}\n{plan}");
    }
    assert!(is_there(engine, &format!("{image}:1")), "of no run of ours");
    assert_eq!(results(&scene.roadstead)["images"], 1);

    // With the job gone, so does what it named.
    std::fs::remove_file(scene.roadstead.path("jobs/names.yml")).unwrap();
    engine.docker(&["rmi", &named]);
    scene.roadstead.run(&["run", "leftovers"]).ok();
    assert_eq!([1, 2, 3].map(|it| is_there(engine, &ids[it])), [false, true, true]);

    // A deploy that fails goes back to what runs, and a person to the revision before: no registry has
    // these images.
    let broken = compose("4").replace(&format!("{image}:4"), "rs-test/broken:1");
    scene.project.push(&[("compose.yml", &broken)]);
    let said = scene.deploy().fails_with(1);
    assert!(said.contains("rolled back"), "{said}");
    assert_eq!(scene.inspect("web", "{{.Image}}").as_ref(), Some(&ids[3]));
    scene.roadstead.run(&["run", "leftovers"]).ok();
    scene.project.push(&[("compose.yml", &compose("3"))]);
    scene.deploy().ok();
    assert_eq!(scene.inspect("web", "{{.Image}}").as_ref(), Some(&ids[2]));
    scene.roadstead.run(&["run", "leftovers"]).ok();
    assert!(is_there(engine, &ids[3]), "now this one is the one before");
}

on_both_engines!(never_an_image_that_a_rollback_needs);

#[test]
fn ended_containers_networks_and_volumes_of_ours_go_and_those_of_others_stay() {
    let engine = Engine::shared();
    let job = unique("kept");
    let full = "services:\n  web:\n    image: 'rs-test/app:1'\n    networks: [front, back]\n    \
                volumes: ['data:/data', 'scratch:/scratch']\nnetworks: {front: {}, back: {}}\n\
                volumes: {data: {}, scratch: {}}\n";
    let less = "services:\n  web:\n    image: 'rs-test/app:1'\n    networks: [front]\n    \
                volumes: ['data:/data']\nnetworks: {front: {}}\nvolumes: {data: {}}\n";
    let scene = Scene::new(&[("compose.yml", full)]);
    scene.deploy().ok();
    scene.project.push(&[("compose.yml", less)]);
    scene.deploy().ok();
    let text =
        format!("name: {job}\nrun: {{image: 'rs-test/app:1', command: ['true'], keep: true}}\n");
    scene.roadstead.write_job("kept.yml", &text);
    scene.roadstead.run(&["run", &job]).ok();
    let foreign = unique("foreign");
    engine.docker(&["run", "--name", &foreign, "rs-test/app:1", "true"]);
    engine.docker(&["network", "create", &foreign]);
    engine.docker(&["volume", "create", &foreign]);
    let prune = |rest: &str| {
        let text = format!(
            "name: leftovers\nprune:\n  images: false\n  containers: {{older_than: 1s}}\n  \
             networks: {{older_than: 1s}}\n{rest}"
        );
        scene.roadstead.write_job("prune.yml", &text);
    };
    let name = scene.project.name();
    let list = |what: &[&str]| engine.docker(what);
    let networks = || list(&["network", "ls", "--format", "{{.Name}}"]);
    let volumes = || list(&["volume", "ls", "--format", "{{.Name}}"]);
    let filter = format!("label=dev.roadstead.job={job}");
    let kept = || list(&["ps", "--all", "--quiet", "--filter", &filter]);
    grow_old();

    prune("  max_removals: 1\n");
    let said = scene.roadstead.run(&["run", "leftovers"]).fails_with(1);
    assert!(said.contains("needs_person") && said.contains("max_removals: 1"), "{said}");
    prune("  dry_run: true\n");
    let said = scene.roadstead.run(&["run", "leftovers"]).ok();
    assert!(said.contains("dry run"), "{said}");
    assert!(!kept().is_empty() && networks().contains(&format!("{name}_back")));

    prune("");
    scene.roadstead.run(&["run", "leftovers"]).ok();
    let found = results(&scene.roadstead);
    assert_eq!((&found["containers"], &found["networks"]), (&1.into(), &1.into()), "{found}");
    assert_eq!(kept(), "");
    assert!(!networks().contains(&format!("{name}_back")), "{}", networks());
    assert!(networks().contains(&format!("{name}_front")), "{}", networks());
    assert!(volumes().contains(&format!("{name}_scratch")), "volumes are off: {}", volumes());
    prune("  volumes: {older_than: 1s, labels: 'no=such'}\n");
    scene.roadstead.run(&["run", "leftovers"]).ok();
    assert!(volumes().contains(&format!("{name}_scratch")));
    prune("  volumes: {older_than: 1s}\n");
    scene.roadstead.run(&["run", "leftovers"]).ok();
    assert!(!volumes().contains(&format!("{name}_scratch")), "{}", volumes());
    assert!(volumes().contains(&format!("{name}_data")), "{}", volumes());

    assert!(engine.inspect(&foreign, "{{.State.Status}}").is_some());
    assert!(networks().contains(&foreign) && volumes().contains(&foreign));
    engine.docker(&["rm", &foreign]);
    engine.docker(&["network", "rm", &foreign]);
    engine.docker(&["volume", "rm", &foreign]);
    scene.roadstead.run(&["plan", "leftovers"]).ok();
}

#[test]
fn nothing_goes_of_a_project_that_cannot_be_read() {
    let scene = Scene::new(&[(
        "compose.yml",
        "services: {web: {image: 'rs-test/app:1', networks: [a, b]}}\nnetworks: {a: {}, b: {}}\n",
    )]);
    scene.deploy().ok();
    scene.project.push(&[(
        "compose.yml",
        "services: {web: {image: 'rs-test/app:1', networks: [a]}}\nnetworks: {a: {}}\n",
    )]);
    scene.deploy().ok();
    std::fs::write(scene.project.checkout().join("compose.yml"), "services: [").unwrap();
    let prune = "name: leftovers\nprune: {images: false, networks: {older_than: 1s}}\n";
    scene.roadstead.write_job("prune.yml", prune);
    grow_old();
    let plan = scene.roadstead.run(&["plan", "leftovers"]).ok();
    assert!(plan.contains("cannot be read") && plan.contains("trouble"), "{plan}");
}

#[test]
fn the_ready_job_is_there_when_it_has_a_schedule() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    assert!(!roadstead.run(&["jobs"]).ok().contains("prune"));
    roadstead.write_env_local("AUTODEPLOY_PRUNE_SCHEDULE=@weekly\nAUTODEPLOY_PRUNE_VOLUMES=true");
    let said = roadstead.run(&["run", "prune"]).ok();
    assert!(said.contains("nothing removed"), "{said}");
}
