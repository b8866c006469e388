//! What is made of a project and kept elsewhere: `push`, `commit`, `export`; and the list of `volumes`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs and fails loudly"
)]

use std::process::Command;

use crate::support::process::{Output, output};
use crate::support::stack::{COMPOSE, Stack};
use crate::support::{Engine, Registry, on_both_engines, write_files};

on_both_engines!(a_container_becomes_an_image, a_container_becomes_an_archive);

#[test]
fn volumes_are_listed_as_docker_compose_lists_them() {
    let stack = Stack::up();
    let all = "table {{.Name}}\t{{.Driver}}\t{{.Scope}}\t{{.Mountpoint}}\t{{.Status}}\t\
               {{.Label \"com.docker.compose.volume\"}}";
    let rows: &[&[&str]] = &[
        &["volumes"],
        &["volumes", "-q"],
        &["volumes", "web"],
        &["volumes", "db"],
        &["volumes", "--format", "{{.Name}} {{.Driver}} {{.Size}}"],
        &["volumes", "--format", all],
        &["-p", "nobody", "volumes"],
        &["volumes", "nix"],
        &["volumes", "--format", "{{.Nix}}"],
    ];
    for arguments in rows {
        let (ours, theirs) = (stack.ours(arguments), stack.theirs(arguments));
        assert_eq!(ours.code.map(|it| it != 0), theirs.code.map(|it| it != 0), "{arguments:?}");
        assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
    }
    let sorted = |output: Output| {
        let mut parsed: serde_json::Value = serde_json::from_str(&output.ok()).unwrap();
        // Their order is another one each time.
        let mut labels: Vec<_> = parsed["Labels"].as_str().unwrap().split(',').collect();
        labels.sort_unstable();
        parsed["Labels"] = labels.join(",").into();
        parsed
    };
    let arguments = ["volumes", "--format", "json"];
    assert_eq!(sorted(stack.ours(&arguments)), sorted(stack.theirs(&arguments)));
}

const BUILT: &str = "\
services:
  web: {image: 'HOST/kept:1', build: {context: img, tags: ['HOST/kept:2']}, depends_on: [base]}
  base: {image: 'HOST/base:1', build: img}
  local: {build: img}
  pulled: {image: 'rs-test/app:1'}
";

#[test]
fn what_was_built_is_pushed_under_all_its_names() {
    let registry = Registry::start_closed();
    let stack = Stack::new(&BUILT.replace("HOST", &registry.host()));
    write_files(&stack.path(), &[("img/Dockerfile", "FROM rs-test/app:1\nLABEL kept=yes\n")]);
    let config = registry.client_config();
    let push = |arguments: &[&str], config: &str| {
        let mut command = stack.program(&stack.path(), arguments);
        output(command.env("DOCKER_CONFIG", config))
    };
    let said = push(&["push", "web"], &config).fails_with(1);
    assert!(said.contains("run `roadstead compose build`"), "{said}");
    stack.ours(&["build"]).ok();
    let said = push(&["push", "base"], "/nowhere").fails_with(1);
    assert!(said.contains(&format!("run `docker login {}`", registry.host())), "{said}");
    assert!(said.contains("service `base`"), "{said}");
    push(&["push", "--ignore-push-failures", "base"], "/nowhere").ok();
    push(&["--dry-run", "push"], "/nowhere").ok();

    let said = push(&["push", "web", "local", "pulled"], &config);
    assert_eq!(said.code, Some(0), "{said:?}");
    for line in ["local Skipped", "pulled Skipped", "web Pushing", "web Pushed"] {
        assert!(said.stderr.contains(line), "{line} in {}", said.stderr);
    }
    assert!(!said.stderr.contains("base"), "{}", said.stderr);
    // In turn: registries fail where two names of one repository come together.
    let of_web = said.stderr.lines().filter_map(|it| it.trim().strip_prefix("web "));
    let steps: Vec<&str> = of_web.filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(steps, ["Pushing", "Pushed", "Pushing", "Pushed"], "{}", said.stderr);
    let said = push(&["push", "-q", "--include-deps", "web"], &config);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    // They are there: gone here, they come back from there.
    let engine = Engine::shared();
    for name in ["kept:1", "kept:2", "base:1"] {
        let reference = registry.reference(name);
        engine.docker(&["rmi", "--force", &reference]);
        let mut docker = Command::new("docker");
        docker.args(["pull", "--quiet", &reference]).env("DOCKER_CONFIG", &config);
        output(docker.env("DOCKER_HOST", engine.host())).ok();
        assert_eq!(engine.inspect(&reference, "{{.Config.Labels.kept}}").as_deref(), Some("yes"));
        engine.docker(&["rmi", "--force", &reference]);
    }
    engine.try_docker(&["rmi", "--force", &format!("{}-local", stack.name)]);
}

fn a_container_becomes_an_image(engine: &'static Engine) {
    let stack = Stack::on(engine, COMPOSE);
    stack.ours(&["up", "-d", "--scale", "db=2"]).ok();
    stack.ours(&["exec", "-T", "--index", "2", "db", "sh", "-c", "echo new >/file"]).ok();
    let name = format!("{}:kept", stack.name);
    let changes = ["-c", "ENV K=v", "-c", "CMD [\"x\"]"];
    let by = ["commit", "-a", "ada", "-m", "by hand", "--index", "2"];
    let said = stack.ours(&[&by[..], &changes, &["db", &name]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let id = engine.inspect(&name, "{{.Id}}").unwrap();
    assert!(said.stderr.contains(&format!("Committed as {id}")), "{said:?}");
    let found = engine.inspect(&name, "{{.Author}} {{.Comment}} {{json .Config.Cmd}}").unwrap();
    assert_eq!(found, "ada by hand [\"x\"]");
    assert!(engine.inspect(&name, "{{.Config.Env}}").unwrap().contains("K=v"));
    assert_eq!(engine.docker(&["run", "--rm", "--entrypoint", "cat", &name, "/file"]), "new");
    for (arguments, wanted) in [
        (&["commit", "nix"][..], "not running"),
        (&["commit", "--index", "9", "db"], "not running"),
        (&["commit", "-c", "ENV=1", "db"], "not a valid change"),
        (&["commit"], "SERVICE"),
    ] {
        let said = stack.ours(arguments);
        assert!(said.code != Some(0) && said.stderr.contains(wanted), "{arguments:?}: {said:?}");
    }
    let said = stack.ours(&["--dry-run", "commit", "--pause=false", "web", "nobody:1"]);
    assert_eq!((said.code, engine.inspect("nobody:1", "{{.Id}}")), (Some(0), None));
    engine.docker(&["rmi", &name]);
}

fn a_container_becomes_an_archive(engine: &'static Engine) {
    let stack = Stack::on(engine, COMPOSE);
    stack.ours(&["up", "-d"]).ok();
    stack.ours(&["exec", "-T", "web", "sh", "-c", "echo new >/file"]).ok();
    let here = stack.path();
    let program = crate::support::roadstead::program();
    let listed = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &script.replace("OURS", &format!("{} compose", program.display()))]);
        output(&mut stack.prepared(command, &here))
    };
    assert_eq!(listed("OURS export web | tar -xO file").ok(), "new");
    write_files(&here, &[("web.tar", "old")]);
    stack.ours(&["export", "-o", "web.tar", "web"]).ok();
    assert_eq!(listed("tar -xOf web.tar file; stat -c %a web.tar").ok(), "new\n600");
    stack.ours(&["export", "-o", "/dev/null", "web"]).ok();
    // What cannot be written leaves what was there, and nothing beside it.
    write_files(&here, &[("web.tar", "old")]);
    let said = listed("OURS export web >/dev/full").fails_with(1);
    assert!(said.contains("write to stdout"), "{said}");
    let said = stack.ours(&["export", "-o", "none/web.tar", "web"]).fails_with(1);
    assert!(said.contains("none/web.tar"), "{said}");
    let said = listed("ulimit -f 100; trap '' XFSZ; OURS export -o web.tar web").fails_with(1);
    assert!(said.contains("write `web.tar`"), "{said}");
    assert_eq!(listed("cat web.tar; ls -A | grep -c part").stdout, "old0\n");
    stack.ours(&["--dry-run", "export", "-o", "none/web.tar", "web"]).ok();
    stack.ours(&["export", "nix"]).fails_with(1);
}
