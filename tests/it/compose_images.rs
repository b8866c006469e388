//! Images that a command needs and the engine does not have: of services, of mounts, of other platforms.

#![expect(clippy::disallowed_methods, reason = "a test drives programs")]

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::process::output;
use crate::support::stack::Stack;
use crate::support::{Engine, Registry, on_both_engines, unique, wait_for, write_files};

on_both_engines!(
    a_run_pulls_what_is_missing,
    an_image_of_another_platform_is_pulled,
    an_image_that_was_built_for_another_platform_is_built_anew,
    down_removes_the_images_that_docker_compose_removes,
);

/// Built with and without a name of their own, in use by others, and not built at all.
fn down_removes_the_images_that_docker_compose_removes(engine: &'static Engine) {
    let stack = Stack::on(engine, "");
    let name = &stack.name;
    let [own, other] = ["own", "other"].map(|it| format!("{name}-{it}:1"));
    let build =
        |service: &str, image: &str| format!("  {service}: {{build: img, {image} scale: 0}}\n");
    let (a, b, c) = (build("a", ""), build("b", &format!("image: '{own}',")), build("c", ""));
    let d = format!("  d: {{image: '{other}', scale: 0}}\n");
    let head = format!("name: {name}\nservices:\n");
    write_files(
        &stack.path(),
        &[
            ("compose.yml", &[&head, &a, &b, &c, &d].map(String::as_str).concat()),
            ("less.yml", &[&head, &a, &d].map(String::as_str).concat()),
            ("img/Dockerfile", "FROM rs-test/app:1\nLABEL a=b\n"),
        ],
    );
    let left = || {
        let listed = engine.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut left: Vec<_> =
            listed.lines().filter(|it| it.starts_with(name)).map(str::to_owned).collect();
        left.sort();
        left
    };
    let down = |files: &[&str], more: &[&str], is_ours: bool| {
        stack.ours(&["build"]).ok();
        engine.docker(&["tag", "rs-test/app:1", &other]);
        // By labels alone, services are those that have containers.
        stack.ours(&["up", "-d", "--no-build", "--scale", "b=1", "--scale", "c=1"]).ok();
        assert_eq!(left().len(), 4);
        let words = [files, &["down", "-t", "0"], more].concat();
        let mut command = if is_ours {
            stack.program(&stack.path(), &words)
        } else {
            stack.their_program(&words)
        };
        if files == ["-p", name] {
            command.current_dir("/");
        }
        let said = output(&mut command);
        assert_eq!(said.code, Some(0), "{words:?} {said:?}");
        left()
    };
    for (files, more) in [
        (&[][..], &["--rmi", "local"][..]),
        (&[], &["--rmi", "all"]),
        (&[], &["--rmi", "local", "b"]),
        (&[], &[]),
        (&["-f", "less.yml"], &["--rmi", "local"]),
        (&["-f", "less.yml"], &["--rmi", "local", "--remove-orphans"]),
        (&["-f", "less.yml"], &["--rmi", "all"]),
        (&["-p", name.as_str()], &["--rmi", "local"]),
        (&["-p", name.as_str()], &["--rmi", "all"]),
    ] {
        let [theirs, ours] = [false, true].map(|is_ours| down(files, more, is_ours));
        assert_eq!(ours, theirs, "{files:?} {more:?}");
    }
}

fn a_run_pulls_what_is_missing(engine: &'static Engine) {
    let registry = Registry::start();
    let image = registry.push(engine, "rs-test/app:1", "alone:1");
    engine.try_docker(&["rmi", "--force", &image]);
    let text = format!(
        "services:\n  web: {{image: '{image}', scale: 0, depends_on: [other]}}\n  \
         other: {{image: '{image}-not-there'}}\n"
    );
    let stack = Stack::on(engine, &text);
    let run = ["run", "--rm", "-T", "--no-deps", "web", "cat", "/www/index.html"];
    let never = [&run[..1], &["--pull", "never"], &run[1..]].concat();
    let said = stack.ours(&never).fails_with(1);
    assert!(said.contains(&image), "{said}");
    assert_eq!(stack.ours(&run).ok(), stack.theirs(&run).ok());
    engine.try_docker(&["rmi", "--force", &image]);
}

#[test]
fn the_image_of_a_mount_is_pulled() {
    // Mounts of this kind came with API 1.48.
    let engine = Engine::newer();
    let registry = Registry::start();
    let image = registry.push(engine, "rs-test/app:2", "mounted:1");
    engine.try_docker(&["rmi", "--force", &image]);
    let text = format!(
        "services:\n  web:\n    image: 'rs-test/app:1'\n    \
         volumes: [{{type: image, source: '{image}', target: /other}}]\n"
    );
    let stack = Stack::on(engine, &text);
    let read = ["run", "--rm", "-T", "web", "cat", "/other/www/index.html"];
    let page = stack.ours(&read);
    assert_eq!(page.code, Some(0), "{page:?}");
    assert!(page.stdout.contains("two"), "{page:?}");
    engine.try_docker(&["rmi", "--force", &image]);
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(stack.states(), ["web 1 running"]);
    engine.try_docker(&["rmi", "--force", &image]);
}

fn an_image_of_another_platform_is_pulled(engine: &'static Engine) {
    let registry = Registry::start();
    let image = registry.push(engine, "rs-test/app:1", "platform:1");
    engine.try_docker(&["rmi", "--force", &image]);
    let ours = engine.docker(&["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]);
    let other = if ours.ends_with("s390x") { "linux/amd64" } else { "linux/s390x" };
    let built = format!(
        "services:\n  web:\n    image: '{image}'\n    \
         build: {{platforms: [{other}], dockerfile_inline: \"FROM scratch\\nLABEL a=b\"}}\n"
    );
    let stack = Stack::on(engine, &built);
    stack.ours(&["build"]).ok();
    let text = format!("services: {{web: {{image: '{image}', platform: {ours}}}}}\n");
    write_files(&stack.path(), &[("compose.yml", &text)]);
    stack.ours(&["up", "-d"]).ok();
    assert_eq!(stack.states(), ["web 1 running"]);
    let id = stack.inspect("web-1", "{{.Id}}");
    stack.ours(&["up", "-d"]).ok();
    stack.theirs(&["up", "-d"]).ok();
    assert_eq!(stack.inspect("web-1", "{{.Id}}"), id);
    stack.ours(&["down"]).ok();
    engine.try_docker(&["rmi", "--force", &image]);
}

fn an_image_that_was_built_for_another_platform_is_built_anew(engine: &'static Engine) {
    let image = unique("rs-test/built");
    let ours = engine.docker(&["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]);
    let other = if ours.ends_with("s390x") { "linux/amd64" } else { "linux/s390x" };
    let text = |platform: &str, more: &str| {
        format!(
            "services:\n  web:\n    image: '{image}'\n    command: sleep 1000\n    {more}\n    \
             build: {{platforms: [{platform}], dockerfile_inline: \"FROM rs-test/app:1\"}}\n"
        )
    };
    for verb in [&["up", "-d"][..], &["run", "--rm", "-T", "web", "true"]] {
        // It has nothing in it: nothing of the other platform could be run here.
        let empty = text(other, "").replace("FROM rs-test/app:1", "FROM scratch\\nLABEL a=b");
        let stack = Stack::on(engine, &empty);
        stack.ours(&["build"]).ok();
        assert_ne!(engine.docker(&["image", "inspect", "--format", PLATFORM, &image]), ours);
        let wanted = text(&ours, &format!("platform: {ours}"));
        write_files(&stack.path(), &[("compose.yml", &wanted)]);
        stack.ours(verb).ok();
        assert_eq!(engine.docker(&["image", "inspect", "--format", PLATFORM, &image]), ours);
        stack.ours(&["down"]).ok();
        engine.try_docker(&["rmi", "--force", &image]);
    }
}

/// What an image was built for, as templates of Docker have it.
const PLATFORM: &str = "{{.Os}}/{{.Architecture}}";

/// Waits for a service that never becomes healthy.
const WAITING: &str = "\
services:
  web: {image: 'rs-test/app:1', depends_on: {db: {condition: service_healthy}}}
  db: {image: 'rs-test/app:1', healthcheck: {test: [CMD, 'false'], interval: 1s, start_period: 1h}}
";

#[test]
fn a_wait_ends_when_somebody_interrupts_it() {
    for arguments in [&["run", "--rm", "-T", "web", "true"][..], &["up", "-d"]] {
        for signal in ["INT", "TERM"] {
            let stack = Stack::new(WAITING);
            let mut command = stack.program(&stack.path(), arguments);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            wait_for("the dependency", Duration::from_secs(30), || {
                stack.states().contains(&"db 1 running".to_owned())
            });
            // It may still be on its way from the start to the wait.
            wait_for("the end", Duration::from_secs(30), || {
                let pid = child.id().to_string();
                output(Command::new("kill").args(["-s", signal, &pid]));
                std::thread::sleep(Duration::from_millis(300));
                child.try_wait().unwrap().is_some()
            });
            assert_eq!(child.wait().unwrap().code(), Some(130), "{arguments:?} {signal}");
        }
    }
}

#[test]
fn config_pins_images_to_their_digests() {
    let registry = Registry::start();
    let image = registry.push(Engine::shared(), "rs-test/app:1", "pinned:1");
    let text = format!(
        "name: ${{NAME:-pins}}\nservices:\n  web: {{image: '{image}', ports: ['80'], depends_on: [made]}}\n  \
         fixed: {{image: '{}@sha256:{}'}}\n  made: {{build: .}}\nx-a: b\n",
        registry.reference("pinned"),
        "0".repeat(64)
    );
    let stack = Stack::new(&text);
    for flag in ["--resolve-image-digests", "--lock-image-digests"] {
        for more in [
            &[][..],
            &["--format", "json"],
            &["--hash", "*"],
            &["--networks"],
            &["web"],
            &["-q"],
            &["--no-interpolate"],
            &["--no-interpolate", "--format", "json"],
        ] {
            let arguments = [&["config", flag], more].concat();
            let ours = stack.ours(&arguments).ok();
            assert_eq!(ours, stack.theirs(&arguments).ok(), "{arguments:?}");
        }
        assert!(stack.ours(&["config", flag]).ok().contains(&format!("{image}@sha256:")));
        write_files(&stack.path(), &[("other.yml", &text.replace("pinned:1", "pinned:2"))]);
        let said = stack.ours(&["-f", "other.yml", "config", flag]).fails_with(1);
        assert!(said.contains("has no `pinned:2`"), "{said}");
    }
}

#[test]
fn what_does_not_start_is_told_by_its_name() {
    let stack = Stack::new("services: {web: {image: 'rs-test/app:1', command: [nix]}}\n");
    let said = stack.ours(&["up", "-d"]).fails_with(1);
    assert!(said.contains(&format!("start container `{}-web-1`", stack.name)), "{said}");
    let secret = "services: {web: {image: 'rs-test/app:1', secrets: [key]}}\n\
                  secrets: {key: {environment: OURS}}\n";
    write_files(&stack.path(), &[("compose.yml", secret)]);
    stack.ours(&["up", "-d"]).ok();
    let year = stack.ours(&["exec", "-T", "web", "date", "-r", "/run/secrets/key", "+%Y"]).ok();
    assert!(year.trim().parse::<u32>().unwrap() > 2000, "{year}");
}
