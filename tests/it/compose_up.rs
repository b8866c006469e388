//! Flags of `up`, `create` and `down`, and the hooks around a container's life.

use crate::support::Scene;

/// The log of a volume that all hooks write to.
fn told(scene: &Scene<'_>) -> Vec<String> {
    let volume = format!("{}_log:/log", scene.project.name());
    let script = "cat /log/* 2>/dev/null || true";
    let arguments = ["run", "--rm", "--volume", &volume, "rs-test/app:1", "sh", "-c", script];
    scene.engine.docker(&arguments).lines().map(str::to_owned).collect()
}

fn hooked(version: u32, pre_start: &str, post_start: &str) -> String {
    format!(
        "services:\n  web:\n    image: rs-test/app:1\n    environment: {{V: '{version}'}}\n    \
         volumes: ['log:/log']\n    \
         pre_start: [{{command: [sh, -c, '{pre_start}']}}]\n    \
         post_start: [{{command: [sh, -c, '{post_start}'], environment: {{WHO: me}}}}]\n    \
         pre_stop: [{{command: [sh, -c, 'echo stop $$V >> /log/a']}}]\nvolumes: {{log: {{}}}}\n"
    )
}

fn write(scene: &Scene<'_>, text: &str) {
    std::fs::write(scene.project.checkout().join("compose.yml"), text).expect("write the file");
}

#[test]
fn hooks_run_at_their_turns_and_a_failing_one_leaves_what_ran() {
    let (before, after) = ("echo first $$V >> /log/a", "echo $$WHO $$V >> /log/a");
    let scene = Scene::new(&[("compose.yml", &hooked(1, before, after))]);
    scene.compose(&["up", "--detach"]).ok();
    assert_eq!(told(&scene), ["first 1", "me 1"]);
    scene.compose(&["up", "--detach"]).ok();
    assert_eq!(told(&scene).len(), 2, "nothing changed, nothing ran");
    let id = scene.id("web");

    for (pre_start, post_start, said) in [
        ("exit 3", after, "pre_start hook `sh -c exit 3`"),
        (before, "echo no; exit 4", "post_start hook `sh -c echo no; exit 4`"),
    ] {
        write(&scene, &hooked(2, pre_start, post_start));
        let failed = scene.compose(&["up", "--detach"]).fails_with(1);
        assert!(failed.contains(said), "{failed}");
        assert!(failed.contains("what ran before runs again"), "{failed}");
        assert_eq!(scene.state("web"), format!("{id} running"));
        assert_eq!(scene.names(), scene.names_of(&["web"]), "helpers are gone");
    }
    write(&scene, &hooked(3, before, after));
    scene.compose(&["up", "--detach"]).ok();
    assert_eq!(told(&scene)[2..], ["first 2", "first 3", "me 3"]);

    scene.compose(&["down"]).ok();
    assert_eq!(told(&scene).last().map(String::as_str), Some("stop 3"));
}

const TWO: &str = "\
services:
  web: {image: 'rs-test/app:1', depends_on: [db], environment: {V: '${V:-1}'}}
  db: {image: 'rs-test/app:1', volumes: ['data:/data', '/anonymous'], environment: {V: '${V:-1}'}}
volumes: {data: {}}
";

#[test]
fn create_makes_containers_and_starts_none() {
    let scene = Scene::new(&[("compose.yml", TWO)]);
    scene.compose(&["create", "--scale", "web=2"]).ok();
    let state = |name: &str| scene.engine.inspect(name, "{{.State.Status}}").unwrap_or_default();
    assert_eq!(scene.names().len(), 3);
    assert!(scene.names().iter().all(|name| state(name) == "created"));
    let again = scene.compose(&["up", "--no-start", "--scale", "web=2"]);
    assert!(again.stderr.contains("nothing to do"), "{again:?}");
    scene.compose(&["up", "--detach", "--scale", "web=2"]).ok();
    assert!(scene.names().iter().all(|name| state(name) == "running"));

    scene.compose(&["up", "--detach"]).ok();
    assert_eq!(scene.names(), scene.names_of(&["db", "web"]), "back to one");
    let refused = scene.compose(&["up", "--detach", "--scale", "wbe=2"]).fails_with(2);
    assert!(refused.contains("did you mean `web`?"), "{refused}");
    let refused = scene.compose(&["up", "--detach", "--scale", "web"]).fails_with(2);
    assert!(refused.contains("SERVICE=NUMBER"), "{refused}");
}

#[test]
fn up_replaces_what_it_is_told_to() {
    let scene = Scene::new(&[("compose.yml", TWO)]);
    scene.compose(&["up", "--detach"]).ok();
    let volume = "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}";
    let mut now = (scene.id("web"), scene.id("db"), scene.inspect("db", volume));
    for (arguments, web_changes, db_changes, volume_changes) in [
        (&["--no-recreate"][..], false, false, false),
        (&["--force-recreate", "web"], true, false, false),
        (&["--force-recreate", "--always-recreate-deps", "web"], true, true, false),
        (&["--force-recreate", "--no-deps", "web"], true, false, false),
        (&["--force-recreate", "--renew-anon-volumes", "db"], false, true, true),
        (&["--force-recreate", "--timeout", "0"], true, true, false),
    ] {
        scene.compose(&[&["up", "--detach"], arguments].concat()).ok();
        let then = (scene.id("web"), scene.id("db"), scene.inspect("db", volume));
        let changes = (then.0 != now.0, then.1 != now.1, then.2 != now.2);
        assert_eq!(changes, (web_changes, db_changes, volume_changes), "{arguments:?}");
        now = then;
    }
    // What differs is left alone on demand.
    let changed = TWO.replace("V:-1", "V:-2");
    write(&scene, &changed);
    scene.compose(&["up", "--detach", "--no-recreate"]).ok();
    assert_eq!((scene.id("web"), scene.id("db")), (now.0, now.1));
}

#[test]
fn down_takes_what_it_is_told_to() {
    let scene = Scene::new(&[("compose.yml", TWO)]);
    scene.compose(&["up", "--detach"]).ok();
    let volume = "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}";
    let anonymous = scene.inspect("db", volume).expect("the container");
    let named = format!("{}_data", scene.project.name());
    let network = format!("{}_default", scene.project.name());
    let there = |kind: &str, name: &str| scene.engine.try_docker(&[kind, "inspect", name]).code;

    scene.compose(&["down", "--timeout", "1", "web"]).ok();
    assert_eq!(scene.names(), scene.names_of(&["db"]), "one service");
    assert_eq!(there("network", &network), Some(0), "others still need it");
    scene.compose(&["down"]).ok();
    assert!(scene.names().is_empty());
    assert_eq!(there("network", &network), Some(1));
    assert_eq!((there("volume", &named), there("volume", &anonymous)), (Some(0), Some(0)));

    scene.compose(&["up", "--detach"]).ok();
    let anonymous = scene.inspect("db", volume).expect("the container");
    scene.compose(&["down", "--volumes"]).ok();
    assert_eq!((there("volume", &named), there("volume", &anonymous)), (Some(1), Some(1)));

    // An image of the name that a build of this project would give.
    let built = format!("{}-tool", scene.project.name());
    scene.engine.docker(&["tag", "rs-test/app:1", &built]);
    write(&scene, "services:\n  tool: {build: .}\n  web: {image: 'rs-test/app:1'}\n");
    scene.compose(&["up", "--detach", "--no-build"]).ok();
    scene.compose(&["down", "--rmi", "local"]).ok();
    assert_eq!((there("image", &built), there("image", "rs-test/app:1")), (Some(1), Some(0)));
}

const HOOKED: &str = "\
services:
  web:
    image: rs-test/app:1
    volumes: ['log:/log']
    secrets: [word]
    post_start: [{command: [sh, -c, 'cat /run/secrets/word >> /log/a; echo >> /log/a']}]
    pre_stop: [{command: [sh, -c, 'echo stop >> /log/a']}]
  off: {image: 'rs-test/app:1', profiles: [more], depends_on: [web]}
volumes: {log: {}}
secrets: {word: {file: word}}
";

#[test]
fn hooks_and_secrets_are_there_at_every_start_and_stop() {
    let scene = Scene::new(&[("compose.yml", HOOKED), ("word", "hello")]);
    let name = scene.project.name().to_owned();
    let mut so_far = 0;
    for (arguments, expected) in [
        (&["create"][..], &[][..]),
        (&["start"], &["hello"]),
        (&["restart"], &["stop", "hello"]),
        (&["restart", "web"], &["stop", "hello"]),
        (&["stop"], &["stop"]),
        (&["stop"], &[]),
        (&["up", "--detach"], &["hello"]),
        // With nothing but labels there are no hooks to know of.
        (&["--project-name", &name, "stop"], &[]),
        (&["start", "web"], &["hello"]),
        (&["kill"], &[]),
        (&["start"], &["hello"]),
        (&["rm", "--force", "--stop"], &["stop"]),
        (&["up", "--detach", "off"], &["hello"]),
        (&["stop", "off"], &[]),
        (&["down", "web"], &["stop"]),
    ] {
        scene.compose(arguments).ok();
        let log = told(&scene);
        assert_eq!(log[so_far..], *expected, "{arguments:?}");
        so_far = log.len();
    }
}

#[test]
fn run_and_create_take_a_service_whatever_its_profiles() {
    let text = "services:\n  web: {image: 'rs-test/app:1'}\n  \
                tool: {image: 'rs-test/app:1', profiles: [more], depends_on: [helper]}\n  \
                helper: {image: 'rs-test/app:1', profiles: [more]}\n";
    let scene = Scene::new(&[("compose.yml", text)]);
    let said = scene.compose(&["run", "--rm", "-T", "tool", "echo", "hello"]).ok();
    assert_eq!(said, "hello");
    assert_eq!(scene.names(), scene.names_of(&["helper"]), "what it depends on");
    scene.compose(&["create", "tool"]).ok();
    assert_eq!(scene.names(), scene.names_of(&["helper", "tool"]));
    scene.compose(&["restart", "tool"]).ok();
    scene.compose(&["pull", "--dry-run", "tool"]).ok();
    let refused = scene.compose(&["up", "--detach", "--scale", "web=2", "tool"]).fails_with(2);
    assert!(refused.contains("`web` takes no part"), "{refused}");
    let refused = scene.compose(&["create", "toll"]).fails_with(2);
    assert!(refused.contains("there is no service `toll`"), "{refused}");
}

#[test]
fn a_changed_volume_is_kept_where_nobody_can_be_asked() {
    let text = |label: &str| {
        format!(
            "services: {{web: {{image: 'rs-test/app:1', volumes: ['data:/data']}}}}\n\
             volumes: {{data: {{labels: {{a: '{label}'}}}}}}\n"
        )
    };
    let scene = Scene::new(&[("compose.yml", &text("1"))]);
    scene.compose(&["up", "--detach"]).ok();
    let id = scene.id("web");
    write(&scene, &text("2"));
    let kept = scene.compose(&["up", "--detach"]);
    assert!(kept.stderr.contains("up -d -y"), "{kept:?}");
    assert_eq!((kept.code, scene.id("web")), (Some(0), id));
}

#[test]
fn the_hash_that_config_tells_is_that_of_the_label() {
    let text = "services: {web: {image: 'rs-test/app:1', env_file: [e]}}\n";
    let scene = Scene::new(&[("compose.yml", text), ("e", "A=1\n")]);
    let mut command = scene.roadstead.command(&["compose", "create"]);
    command.current_dir(scene.project.checkout()).env("AUTODEPLOY_COMPOSE_HASH", "2.40");
    crate::support::process::output(&mut command).ok();
    let label = "{{index .Config.Labels \"com.docker.compose.config-hash\"}}";
    let label = scene.inspect("web", label).expect("the container");
    for wanted in ["web", "*"] {
        assert_eq!(scene.compose(&["config", "--hash", wanted]).ok(), format!("web {label}"));
    }
}
