//! The commands of `roadstead compose`, each beside docker compose 2.40 on the same project.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs and fails loudly"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::process::{Output, output};
use crate::support::stack::{COMPOSE, Stack, feed};
use crate::support::{Engine, oracle, unique, wait_for, write_files};

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_only_looks_says_what_docker_compose_says() {
    let stack = Stack::up();
    let fields = "{{.Name}}|{{.Names}}|{{.Image}}|{{.Command}}|{{.Service}}|{{.State}}|{{.Health}}|\
                  {{.ExitCode}}|{{.Ports}}|{{.Publishers}}|{{.ID}}|{{.CreatedAt}}|{{.Mounts}}|\
                  {{.Networks}}|{{.LocalVolumes}}|{{.Size}}|{{.Project}}|{{.Label \"version\"}}";
    let name = stack.name.clone();
    let filter = format!("name={name}");
    let rows: &[&[&str]] = &[
        &["ps", "-q"],
        &["ps", "-aq"],
        &["ps", "--services"],
        &["ps", "--services", "-a"],
        &["ps", "-a", "--format", fields],
        &["ps", "--no-trunc", "--format", fields, "web"],
        &["ps", "--format", "table {{.Name}}\t{{.Service}}\t{{.Ports}}"],
        &["ps", "--status", "exited", "--format", "{{.Service}}"],
        &["ps", "--filter", "status=running", "--format", "{{.Service}}"],
        &["ps", "--orphans=false", "-a", "--format", "{{.Service}}"],
        &["ps", "--status", "paused"],
        &["ps", "--format", "{{.Nope}}"],
        &["ps", "--filter", "foo=bar"],
        &["ps", "nosuch"],
        &["-p", &name, "ps", "-aq"],
        &["-p", "nosuch-project", "ps"],
        &["ls", "-q", "--filter", &filter],
        &["ls", "--filter", &filter],
        &["ls", "--all", "--format", "json", "--filter", &filter],
        &["ls", "--filter", "foo=1"],
        &["images", "-q"],
        &["images", "nosuch"],
        &["port", "web", "80"],
        &["port", "--protocol", "udp", "web", "53"],
        &["port", "web", "99"],
        &["port", "nosuch", "80"],
        &["port", "web", "abc"],
        &["top", "nosuch"],
        &["exec", "-T", "web", "echo", "hi"],
        &["exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7"],
        &[
            "exec",
            "-e",
            "A=1",
            "-e",
            "OURS",
            "-w",
            "/www",
            "-u",
            "1",
            "web",
            "sh",
            "-c",
            "echo $A $OURS; pwd; id -u",
        ],
        &["exec", "--index", "2", "db", "hostname"],
        &["exec", "--index", "9", "db", "hostname"],
        &["exec", "--privileged", "web", "true"],
        &["exec", "-d", "web", "true"],
        &["exec", "web", "nosuchprogram"],
        &["exec", "nosuch", "true"],
        &["exec", "once", "true"],
        &["exec", "web", "ls", "-d", "--", "/www"],
        &["logs", "--no-log-prefix", "--tail", "0"],
        &["logs", "nosuch"],
        &["stop", "nosuch"],
        &["start", "nosuch"],
        &["restart", "nosuch"],
        &["kill", "nosuch"],
        &["kill", "-s", "BOGUS", "db"],
        &["rm", "-f", "nosuch"],
        &["rm", "-f", "web"],
        &["pull", "nosuch"],
        &["run", "nosuch"],
        &["wait", "nosuch"],
        &["scale", "nosuch=1"],
        &["unpause", "web"],
        &["cp", "nosuch:/a", "."],
        &["cp", "web:/nosuch", "."],
        &["cp", "a", "b"],
        &["cp", "web:/a", "web:/b"],
        &["cp", "page.html", "web:/no/such/"],
        &["-p", "nosuch-project", "stop"],
        &["-p", "nosuch-project", "start"],
        &["-p", "nosuch-project", "rm", "-f"],
        &["-p", "nosuch-project", "logs"],
        &["-p", "nosuch-project", "exec", "web", "true"],
    ];
    let mut differences = Vec::new();
    for arguments in rows {
        let (ours, theirs) = (stack.ours(arguments), stack.theirs(arguments));
        // What a person wrote wrong is 2 here where it is not about the project.
        let same_code = ours.code == theirs.code || (ours.code, theirs.code) == (Some(2), Some(1));
        if !same_code || ours.stdout.trim_end() != theirs.stdout.trim_end() {
            differences.push(format!("{arguments:?}\nours: {ours:?}\ntheirs: {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn lists_have_the_columns_and_objects_of_docker_compose() {
    let stack = Stack::up();
    for arguments in [&["ps", "-a"][..], &["images"], &["top"], &["stats", "--no-stream"]] {
        let (ours, theirs) = (stack.ours(arguments).ok(), stack.theirs(arguments).ok());
        let header = |text: &str| {
            text.lines()
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(header(&ours), header(&theirs), "{arguments:?}");
        assert_eq!(ours.lines().count(), theirs.lines().count(), "{arguments:?}");
    }
    let names = |text: &str| -> Vec<Vec<String>> {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let values = values.flat_map(|it| match it.unwrap() {
            Value::Array(items) => items,
            other => vec![other],
        });
        let mut names: Vec<_> = values
            .map(|it| {
                let object = it.as_object().unwrap().clone();
                let mut keys: Vec<_> = object.keys().cloned().collect();
                keys.sort();
                keys.extend(
                    ["Name", "ContainerName", "Service", "Publishers", "Ports"]
                        .map(|key| object.get(key).map(Value::to_string).unwrap_or_default()),
                );
                keys
            })
            .collect();
        names.sort();
        names
    };
    for arguments in [&["ps", "-a", "--format", "json"][..], &["images", "--format", "json"]] {
        let (ours, theirs) = (stack.ours(arguments).ok(), stack.theirs(arguments).ok());
        assert_eq!(names(&ours), names(&theirs), "{arguments:?}");
    }
    let version: Value =
        serde_json::from_str(&stack.ours(&["version", "-f", "json"]).ok()).unwrap();
    let theirs = stack.theirs(&["version", "--short"]).ok();
    let spoken = version["version"].as_str().unwrap();
    assert!(theirs.trim_start_matches('v').starts_with(spoken), "{theirs}");
    assert_eq!(stack.ours(&["version", "--short"]).ok(), spoken);
    assert!(stack.ours(&["--version"]).ok().contains(spoken));
}

#[test]
fn logs_are_the_lines_of_docker_compose_in_the_order_of_time() {
    let stack = Stack::up();
    for arguments in [
        &["logs"][..],
        &["logs", "-t", "db"],
        &["logs", "--no-log-prefix", "--no-color"],
        &["logs", "-n", "1", "--timestamps", "--index", "2", "db"],
        &["logs", "--since", "1h", "--until", "0s"],
        &["logs", "--since", "2020-01-01T00:00:00Z", "db", "web"],
        &["logs", "--until", "2020-01-01"],
        &["-p", &stack.name, "logs", "db"],
    ] {
        let (ours, theirs) = (stack.ours(arguments).ok(), stack.theirs(arguments).ok());
        // docker compose aligns the names it has met, we all there are.
        let lines = |text: &str| -> Vec<Vec<String>> {
            let words = |line: String| line.split_whitespace().map(str::to_owned).collect();
            sorted(text).into_iter().map(words).collect()
        };
        let (mut ours, mut theirs) = (lines(&ours), lines(&theirs));
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{arguments:?}");
    }
    let text = stack.ours(&["logs", "-t", "--no-log-prefix"]).ok();
    let times: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times.is_sorted(), "{text}");
    let colored = stack.ours(&["--ansi", "always", "logs", "db"]).ok();
    assert!(colored.contains("\x1b[36mdb-1  | \x1b[0mone"), "{colored:?}");
    assert!(!stack.ours(&["--ansi", "always", "logs", "--no-color"]).ok().contains('\x1b'));
    assert!(stack.ours(&["logs", "--index", "1"]).fails_with(1).contains("--index"));
    assert!(stack.ours(&["logs", "--since", "soon"]).fails_with(2).contains("42m"));
}

#[test]
fn following_ends_with_the_last_container_and_sees_new_ones() {
    let stack = Stack::new(
        "services:\n  first: {image: 'rs-test/app:1', command: [sh, -c, 'echo begin; sleep 3']}\n  \
         late: {image: 'rs-test/app:1', command: [sh, -c, 'echo late; exit 4']}\n",
    );
    stack.theirs(&["up", "-d", "first"]).ok();
    let mut command = stack.program(&stack.path(), &["logs", "-f"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    stack.theirs(&["up", "-d", "late"]).ok();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut lines = sorted(&text);
    lines.dedup();
    let wanted = [
        "first-1  | begin",
        "first-1 exited with code 0",
        "late-1   | late",
        "late-1 exited with code 4",
    ];
    assert_eq!(lines, wanted, "{text}");
    // Nothing runs any more: what was written, and no waiting.
    assert_eq!(stack.ours(&["logs", "--follow", "--no-log-prefix", "first"]).ok(), "begin");
}

#[test]
fn services_stop_start_and_restart_in_order() {
    let stack = Stack::new(COMPOSE);
    stack.theirs(&["up", "-d"]).ok();
    let states = |web: &str, db: &str| {
        vec![format!("db 1 {db}"), format!("db 2 {db}"), format!("web 1 {web}")]
    };
    let position = |output: &Output, text: &str| {
        let at = output.stderr.find(&text.replace("NAME", &stack.name));
        at.unwrap_or_else(|| panic!("no `{text}` in {output:?}"))
    };
    // Dependents first; by labels alone, too.
    for arguments in [&["stop", "-t", "0"][..], &["-p", &stack.name, "stop", "--timeout", "0"]] {
        stack.ours(&["start"]).ok();
        assert_eq!(stack.states(), states("running", "running"));
        let stopped = stack.ours(arguments);
        assert!(
            position(&stopped, "NAME-web-1  Stopped") < position(&stopped, "NAME-db-1  Stopping")
        );
        assert_eq!(stack.states(), states("exited", "exited"));
    }
    let started = stack.ours(&["-p", &stack.name, "start", "web"]);
    assert!(position(&started, "NAME-db-2  Started") < position(&started, "NAME-web-1  Starting"));
    assert_eq!(stack.states(), states("running", "running"));
    stack.ours(&["stop", "-t", "0", "web"]).ok();
    assert_eq!(stack.states(), states("exited", "running"));
    stack.ours(&["start", "--wait"]).ok();

    let before = stack.inspect("db-1", "{{.State.StartedAt}}");
    let web = stack.inspect("web-1", "{{.State.StartedAt}}");
    stack.ours(&["restart", "-t", "0", "db"]).ok();
    assert_ne!(stack.inspect("db-1", "{{.State.StartedAt}}"), before);
    assert_eq!(stack.inspect("web-1", "{{.State.StartedAt}}"), web, "nobody said `restart: true`");

    stack.ours(&["pause", "web"]).ok();
    assert_eq!(stack.states(), states("paused", "running"));
    stack.ours(&["pause", "web"]).fails_with(1);
    stack.ours(&["unpause"]).fails_with(1);
    assert_eq!(stack.states(), states("running", "running"));
    stack.ours(&["kill", "-s", "KILL", "db"]).ok();
    assert_eq!(stack.states(), states("running", "exited"));
    assert!(stack.ours(&["kill", "db"]).stderr.contains("no container to kill"));

    // Nobody to ask is no consent.
    assert!(stack.ours(&["rm"]).ok().contains("Going to remove"));
    assert_eq!(stack.states(), states("running", "exited"));
    stack.ours(&["--dry-run", "rm", "-fs"]).ok();
    assert_eq!(stack.states(), states("running", "exited"));
    stack.ours(&["rm", "-f"]).ok();
    assert_eq!(stack.states(), ["web 1 running"]);
    let said = stack.ours(&["start", "db"]);
    assert!(said.code == Some(0) && said.stderr.contains("compose up"), "{said:?}");
    stack.ours(&["rm", "--stop", "--force", "-v", "web"]).ok();
    assert_eq!(stack.states(), Vec::<String>::new());
}

#[test]
fn a_restart_spreads_where_the_files_or_labels_say_so() {
    let compose = COMPOSE.replace(
        "depends_on: [db]",
        "depends_on: {db: {condition: service_started, restart: true}}",
    );
    let stack = Stack::new(&compose);
    stack.theirs(&["up", "-d"]).ok();
    let started = || stack.inspect("web-1", "{{.State.StartedAt}}");
    for (arguments, spreads) in [
        (&["restart", "-t", "0", "db"][..], true),
        (&["restart", "-t", "0", "--no-deps", "db"], false),
        (&["-p", &stack.name, "restart", "-t", "0", "db"], true),
    ] {
        let before = started();
        stack.ours(arguments).ok();
        assert_eq!(started() != before, spreads, "{arguments:?}");
    }
}

#[test]
fn scale_makes_as_many_containers_as_asked_for() {
    let stack = Stack::new(COMPOSE);
    stack.theirs(&["up", "-d"]).ok();
    let web = stack.inspect("web-1", "{{.Id}}");
    for (count, expected) in [("3", 3), ("1", 1), ("0", 0), ("2", 2)] {
        stack.ours(&["scale", &format!("db={count}")]).ok();
        let of_db = stack.states().iter().filter(|it| it.starts_with("db")).count();
        assert_eq!(of_db, expected);
    }
    assert_eq!(stack.inspect("web-1", "{{.Id}}"), web);
    assert!(stack.ours(&["scale", "db"]).fails_with(2).contains("SERVICE=N"));
    assert!(stack.ours(&["scale", "dbb=1"]).fails_with(2).contains("did you mean `db`?"));
    // Neither tool undoes it behind the other's back.
    assert_eq!(stack.theirs(&["ps", "-q", "db"]).ok().lines().count(), 2);
}

#[test]
fn run_makes_a_container_as_docker_compose_makes_it() {
    let stack = Stack::new(COMPOSE);
    write_files(&stack.path(), &[("some.env", "B='two words'\n")]);
    let shell = |script: &'static str| ["sh", "-c", script];
    let rows: &[(&[&str], &[&str])] = &[
        (&["--no-deps", "-e", "A=5", "-e", "OURS"], &shell("echo $A $OURS; exit 4")),
        (&["--no-deps", "--env-from-file", "some.env"], &shell("echo $B")),
        (
            &["--no-deps", "-u", "1", "-w", "/www", "-v", "./page.html:/p:ro"],
            &shell("id -u; pwd; cat /p"),
        ),
        (&["--no-deps", "--entrypoint", "echo ent"], &["x", "-y"]),
        (&["--no-deps", "--entrypoint", "echo alone"], &[]),
        (&["--no-deps"], &["nosuchprogram"]),
        (&["--no-deps"], &["echo", "--rm", "-d"]),
    ];
    for (flags, command) in rows {
        let arguments = [&["run", "--rm", "-T"], *flags, &["web"], *command].concat();
        let (ours, theirs) = (stack.ours(&arguments), stack.theirs(&arguments));
        let said = format!("{arguments:?}\nours: {ours:?}\ntheirs: {theirs:?}");
        assert_eq!(
            (ours.code, ours.stdout.trim_end()),
            (theirs.code, theirs.stdout.trim_end()),
            "{said}"
        );
    }
    // A start that failed leaves nothing of ours behind; docker compose leaves its container.
    stack.theirs(&["down", "--remove-orphans"]).ok();
    let fed = stack.fed(&["run", "--rm", "-T", "--no-deps", "web", "cat"], b"from stdin\n");
    assert_eq!(fed.ok(), "from stdin");
    assert_eq!(stack.states(), Vec::<String>::new());

    // What it depends on comes first; it does not itself.
    stack.ours(&["run", "--rm", "web", "true"]).ok();
    assert_eq!(stack.states(), ["db 1 running", "db 2 running"]);

    let facts = "{{.HostConfig.AutoRemove}} {{.Config.OpenStdin}} {{.Config.StdinOnce}} {{.Config.Tty}} \
                 {{index .Config.Labels \"com.docker.compose.oneoff\"}} \
                 {{index .Config.Labels \"com.docker.compose.service\"}} \
                 {{index .Config.Labels \"com.docker.compose.container-number\"}} \
                 {{index .Config.Labels \"org.example\"}} {{.HostConfig.PortBindings}} \
                 {{.Config.Cmd}} {{.HostConfig.CapDrop}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    let made = |tool: &str, flags: &[&str]| {
        let name = format!("{}-{tool}", stack.name);
        let arguments =
            [&["run", "-d", "--no-deps", "--name", &name], flags, &["db", "sleep", "1000"]]
                .concat();
        let output = if tool == "ours" { stack.ours(&arguments) } else { stack.theirs(&arguments) };
        let id = output.ok();
        let found = stack.inspect(tool, facts);
        let aliases = stack.inspect(tool, "{{range .NetworkSettings.Networks}}{{.Aliases}}{{end}}");
        let knows_service = aliases.trim_matches(['[', ']']).split(' ').any(|it| it == "db");
        assert_eq!(stack.inspect(tool, "{{.Id}}"), id, "the id is what is printed");
        Engine::shared().docker(&["rm", "-f", &id]);
        (found, knows_service)
    };
    for flags in [
        &[][..],
        &["--rm", "-l", "org.example=x", "--cap-drop", "CAP_NET_RAW"],
        &["-p", "127.0.0.1:0:81", "--use-aliases"],
        &["-i=false"],
    ] {
        assert_eq!(made("ours", flags), made("theirs", flags), "{flags:?}");
    }
    let id = stack.ours(&["run", "-d", "--no-deps", "db"]).ok();
    let name = Engine::shared().inspect(&id, "{{.Name}}").unwrap();
    let hex = name.strip_prefix(&format!("/{}-db-run-", stack.name)).unwrap();
    assert!(hex.len() == 12 && hex.bytes().all(|it| it.is_ascii_hexdigit()), "{name}");
    assert_eq!(stack.ours(&["ps", "-q", "db"]).ok().lines().count(), 2, "one-offs need --all");
    assert!(stack.theirs(&["ps", "-a"]).ok().contains(name.trim_start_matches('/')));
}

#[test]
fn run_takes_services_of_inactive_profiles_and_waits_for_conditions() {
    let stack = Stack::new(
        "services:\n  tool:\n    image: rs-test/app:1\n    profiles: [tools]\n    \
         depends_on: {init: {condition: service_completed_successfully}}\n  \
         init: {image: 'rs-test/app:1', command: [sh, -c, 'sleep 1; echo ready >/data/flag'], volumes: ['all:/data']}\n  \
         broken:\n    image: rs-test/app:1\n    depends_on: {fails: {condition: service_completed_successfully}}\n  \
         fails: {image: 'rs-test/app:1', command: [sh, -c, 'sleep 1; exit 9']}\nvolumes: {all: {}}\n",
    );
    let data = format!("{}_all:/data", stack.name);
    let read = stack.ours(&["run", "--rm", "-v", &data, "tool", "cat", "/data/flag"]);
    assert_eq!(read.ok(), "ready");
    let failed = stack.ours(&["run", "--rm", "broken", "true"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
}

#[test]
fn files_are_copied_both_ways() {
    let stack = Stack::new(COMPOSE);
    stack.theirs(&["up", "-d"]).ok();
    let here = stack.path();
    write_files(&here, &[("tree/a", "a\n"), ("tree/deep/b", "b\n")]);
    std::os::unix::fs::symlink("a", here.join("tree/link")).unwrap();
    let list = |path: &str| {
        stack.ours(&["exec", "-T", "web", "sh", "-c", &format!("cd {path} && find . | sort")]).ok()
    };
    for (number, source) in ["tree", "tree/", "tree/.", "page.html"].iter().enumerate() {
        for (to, tool) in [("ours", true), ("theirs", false)] {
            for destination in [format!("/new-{to}-{number}"), "/data".to_owned()] {
                let path = format!("web:{destination}");
                let copy = ["cp", source, &path];
                let output = if tool { stack.ours(&copy) } else { stack.theirs(&copy) };
                output.ok();
            }
        }
        if *source != "page.html" {
            assert_eq!(
                list(&format!("/new-ours-{number}")),
                list(&format!("/new-theirs-{number}")),
                "{source}"
            );
        }
    }
    assert_eq!(
        list("/data"),
        ".\n./a\n./deep\n./deep/b\n./link\n./page.html\n./tree\n./tree/a\n./tree/deep\n./tree/deep/b\n./tree/link"
    );
    assert_eq!(stack.ours(&["exec", "-T", "web", "readlink", "/data/link"]).ok(), "a");

    for source in ["web:/data", "web:/data/.", "web:/data/tree/", "web:/data/a", "web:/data/link"] {
        for flag in ["--archive", "-L"] {
            for existing in [true, false] {
                let found = ["ours", "theirs"].map(|tool| {
                    let to = here.join(unique(tool));
                    if existing {
                        std::fs::create_dir(&to).unwrap();
                    }
                    let copy = ["cp", flag, source, to.to_str().unwrap()];
                    let output =
                        if tool == "ours" { stack.ours(&copy) } else { stack.theirs(&copy) };
                    output.ok();
                    let found = output_of(&to, "find . -printf '%P %y %l %m %s\\n' | sort");
                    let _ = std::fs::remove_dir_all(&to).or_else(|_| std::fs::remove_file(&to));
                    found
                });
                assert_eq!(found[0], found[1], "{source} {flag} {existing}");
            }
        }
    }
    // Archives on stdin and stdout.
    let tar = output_of(&here, "tar -c -C tree . | base64");
    let bytes = output_of_bytes(&here, "tar -c -C tree .");
    assert!(!tar.is_empty());
    stack.fed(&["cp", "-", "web:/www"], &bytes).ok();
    assert_eq!(stack.ours(&["exec", "-T", "web", "cat", "/www/deep/b"]).ok(), "b");
    assert!(
        stack.fed(&["cp", "-", "web:/www/a"], &bytes).fails_with(1).contains("must be a directory")
    );
    let program = crate::support::roadstead::program();
    let mut listing = Command::new("sh");
    listing.args(["-c", &format!("{} compose cp web:/www/deep - | tar -t", program.display())]);
    assert_eq!(output(&mut stack.prepared(listing, &here)).ok(), "deep/\ndeep/b");
    // To each container of a service, or to one.
    stack.ours(&["cp", "page.html", "db:/p"]).ok();
    stack.ours(&["cp", "--index", "2", "page.html", "db:/q"]).ok();
    for (index, path, code) in [("1", "/p", 0), ("2", "/p", 0), ("1", "/q", 1), ("2", "/q", 0)] {
        let found = stack.ours(&["exec", "-T", "--index", index, "db", "test", "-e", path]);
        assert_eq!(found.code, Some(code), "{index} {path}");
    }
}

fn output_of(directory: &Path, script: &str) -> String {
    String::from_utf8(output_of_bytes(directory, script)).unwrap()
}

fn output_of_bytes(directory: &Path, script: &str) -> Vec<u8> {
    // A single file is told of where it lies.
    let (directory, script) = if directory.is_dir() {
        (directory.to_owned(), script.to_owned())
    } else {
        let name = directory.file_name().unwrap().to_str().unwrap();
        (
            directory.parent().unwrap().to_owned(),
            script.replace("find .", &format!("find ./{name}")).replace("%P ", ""),
        )
    };
    let output = Command::new("sh").args(["-c", &script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn waits_events_and_attach_end_with_the_containers() {
    let stack = Stack::new(
        "services:\n  short: {image: 'rs-test/app:1', command: [sh, -c, 'sleep 2; exit 5']}\n  \
         long: {image: 'rs-test/app:1', command: sleep 1000}\n  \
         cat: {image: 'rs-test/app:1', command: [sh, -c, 'read line; echo got $$line; exit 6'], stdin_open: true}\n",
    );
    stack.theirs(&["up", "-d"]).ok();
    let id = stack.inspect("short-1", "{{.Id}}");
    let waited = stack.ours(&["wait", "short"]).fails_with(5);
    assert!(waited.contains(&format!("container \"{id}\" exited with status code 5")), "{waited}");

    let attached = stack.fed(&["attach", "cat"], b"a line\n");
    assert_eq!(
        (attached.code, attached.stdout.as_str()),
        (Some(6), "got a line\n"),
        "{attached:?}"
    );

    // Of one project, of one service; the Engine replays what was.
    let (since, until) = ("2020-01-01T00:00:00Z", "0s");
    let events = ["events", "--json", "--since", since, "--until", until, "short"];
    // docker compose takes the end that it asked for as an error, and cuts off the last second.
    let (ours, theirs) = (stack.ours(&events).ok(), stack.theirs(&events).stdout);
    let parsed = |text: &str| -> Vec<Value> {
        text.lines()
            .filter(|it| !it.is_empty())
            .map(|it| serde_json::from_str(it).unwrap())
            .collect()
    };
    let (all, theirs) = (parsed(&ours), parsed(&theirs));
    assert!(!theirs.is_empty() && all.starts_with(&theirs), "{all:?}\n{theirs:?}");
    assert!(parsed(&ours).iter().any(|it| it["action"] == "die"), "{ours}");
    let plain = stack.ours(&["events", "--since", since, "--until", until]).ok();
    assert!(plain.contains(&format!("container die {id} (")), "{plain}");

    stack.ours(&["start", "short"]).ok();
    stack.ours(&["wait", "--down-project", "short", "long"]).fails_with(5);
    assert_eq!(stack.states(), Vec::<String>::new());
}

#[test]
fn pull_takes_each_image_once_and_says_what_failed() {
    let stack = Stack::new(COMPOSE);
    let rows: &[&[&str]] = &[
        &["pull", "--policy", "missing"],
        &["pull", "--ignore-pull-failures"],
        &["pull", "-q", "--include-deps", "web"],
        &["pull", "web"],
    ];
    for arguments in rows {
        let (ours, theirs) = (stack.ours(arguments), stack.theirs(arguments));
        assert_eq!(ours.code, theirs.code, "{arguments:?}\n{ours:?}\n{theirs:?}");
    }
    let said = stack.ours(&["pull", "--policy", "missing"]).stderr;
    assert!(said.contains("web Skipped - Image is already present locally"), "{said}");
    let said = stack.ours(&["pull", "--ignore-pull-failures"]).stderr;
    assert!(said.contains("web Skipped - Image is already being pulled by db"), "{said}");
}

#[test]
fn a_terminal_here_is_a_terminal_there() {
    let stack = Stack::new(COMPOSE);
    stack.theirs(&["up", "-d"]).ok();
    let program = crate::support::roadstead::program();
    let on_terminal = |script: &str, typed: &[u8]| {
        let mut command = Command::new("script");
        let script = script.replace("COMPOSE", &format!("{} compose", program.display()));
        command.args(["-q", "-e", "-c", &script, "/dev/null"]);
        feed(stack.prepared(command, &stack.path()), typed)
    };
    let sized = on_terminal(
        "stty rows 31 cols 101; COMPOSE exec web sh -c 'tty; sleep 0.5; stty size; exit 3'; echo code $?; stty -a",
        b"",
    );
    for wanted in ["/dev/pts/", "31 101", "code 3"] {
        assert!(sized.stdout.contains(wanted), "{wanted} in {sized:?}");
    }
    assert!(!sized.stdout.contains("-icanon") && !sized.stdout.contains("-echo "), "{sized:?}");
    let typed = on_terminal("COMPOSE exec web sh", b"echo typed $((40 + 2))\nexit 5\n");
    assert_eq!(typed.code, Some(5), "{typed:?}");
    assert!(typed.stdout.contains("typed 42"), "{typed:?}");
    let ran = on_terminal("COMPOSE run --rm --no-deps web sh -c 'tty; exit 8'", b"");
    assert_eq!(ran.code, Some(8), "{ran:?}");
    assert!(ran.stdout.contains("/dev/pts/"), "{ran:?}");
    let without = on_terminal("COMPOSE exec -T web tty", b"");
    assert!(without.stdout.contains("not a tty"), "{without:?}");
    // A pipe on one end is no terminal, and no error either.
    let piped = on_terminal("echo piped | COMPOSE exec web cat", b"");
    assert!(piped.code == Some(0) && piped.stdout.contains("piped"), "{piped:?}");
    let asked = on_terminal(
        "COMPOSE rm -fs db >/dev/null 2>&1; COMPOSE stop -t 0 2>/dev/null; COMPOSE rm",
        b"y\n",
    );
    assert!(asked.stdout.contains("Going to remove"), "{asked:?}");
    assert_eq!(stack.states(), Vec::<String>::new(), "a person said yes");
}

#[test]
fn ctrl_c_reaches_the_process_of_run() {
    let stack = Stack::new(COMPOSE);
    let trap = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done";
    let arguments = ["run", "--rm", "-T", "--no-deps", "web", "sh", "-c", trap];
    let mut command = stack.program(&stack.path(), &arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the container", Duration::from_secs(20), || {
        stack.states().iter().any(|it| it.contains("running"))
    });
    std::thread::sleep(Duration::from_millis(500));
    output(Command::new("kill").args(["-INT", &child.id().to_string()])).ok();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ready\ncaught\n");
    assert_eq!(stack.states(), Vec::<String>::new());
}

#[test]
fn mistakes_say_what_to_do() {
    let stack = Stack::up();
    let name = stack.name.clone();
    let rows: &[(&[&str], &str)] = &[
        (&["stop", "wbe"], "did you mean `web`?"),
        (&["-p", &name, "stop", "wbe"], "did you mean `web`?"),
        (&["exec", "wbe", "true"], "did you mean `web`?"),
        (&["exec", "once", "true"], "start it with `compose start once`"),
        (&["exec", "web"], "name a command"),
        (&["exec", "--index", "3", "db", "true"], "only 1, 2"),
        (&["cp", "wbe:/a", "."], "did you mean `web`?"),
        (&["ps", "--format", "{{.Nmae}}"], "did you mean `Name`?"),
        (&["run", "wbe"], "did you mean `web`?"),
        (&["exec", "--usr", "1", "web", "true"], "--user"),
    ];
    for (arguments, wanted) in rows {
        let said = stack.ours(arguments);
        assert!(said.stderr.contains(wanted), "{arguments:?}: {said:?}");
    }
    for arguments in [&["logs"][..], &["exec"], &["run"], &["cp"], &["ps"], &["kill"], &["wait"]] {
        let help = stack.ours(&[arguments, &["--help"]].concat()).ok();
        assert!(help.contains("Examples:\n  roadstead compose "), "{arguments:?}: {help}");
    }
}

/// Such as lies in many repositories: `DOCKER_COMPOSE` is a variable.
const SCRIPT: &str = r#"
set -eu
$DOCKER_COMPOSE up -d 2>/dev/null
$DOCKER_COMPOSE ps --services
test -n "$($DOCKER_COMPOSE ps -q web)"
$DOCKER_COMPOSE exec -T web sh -c 'echo in $0; exit 3' web || echo "exec: $?"
echo hello | $DOCKER_COMPOSE exec -T web tr a-z A-Z
while read -r line; do $DOCKER_COMPOSE exec -T web echo "line $line" </dev/null; done <<END
1
2
END
$DOCKER_COMPOSE run --rm -T -e A=1 web sh -c 'echo "run $A"' </dev/null 2>/dev/null
$DOCKER_COMPOSE cp page.html web:/www/page.html 2>/dev/null
$DOCKER_COMPOSE exec -T web cat /www/page.html
$DOCKER_COMPOSE cp web:/www/page.html - 2>/dev/null | tar -x -O
port=$($DOCKER_COMPOSE port web 80); test "${port#127.0.0.1:}" -gt 0
$DOCKER_COMPOSE logs --no-log-prefix --no-color db | sort
$DOCKER_COMPOSE pause web 2>/dev/null
$DOCKER_COMPOSE ps --format '{{.Service}} {{.State}}'
$DOCKER_COMPOSE unpause web 2>/dev/null
$DOCKER_COMPOSE stop -t 0 db 2>/dev/null
$DOCKER_COMPOSE ps -a --status exited --format '{{.Service}}'
$DOCKER_COMPOSE exec -T db true 2>/dev/null || echo "down: $?"
$DOCKER_COMPOSE start 2>/dev/null
$DOCKER_COMPOSE restart -t 0 web 2>/dev/null
$DOCKER_COMPOSE kill db 2>/dev/null
$DOCKER_COMPOSE rm -f db 2>/dev/null | tr ',' '\n' | wc -l
$DOCKER_COMPOSE images --format json | tr ',' '\n' | grep -c ContainerName
$DOCKER_COMPOSE top web | wc -l
$DOCKER_COMPOSE nosuchcommand >/dev/null 2>&1 || echo "no such command"
$DOCKER_COMPOSE down -v 2>/dev/null
$DOCKER_COMPOSE ps -aq | wc -l
"#;

#[test]
fn a_script_for_docker_compose_runs_unchanged() {
    let program = crate::support::roadstead::program();
    let tools = [oracle().display().to_string(), format!("{} compose", program.display())];
    let [theirs, ours] = tools.map(|tool| {
        let stack = Stack::new(COMPOSE);
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).env("DOCKER_COMPOSE", &tool);
        let mut command = stack.prepared(shell, &stack.path());
        command.env("DOCKER_COMPOSE", tool);
        let output = output(&mut command);
        (output.code, output.stdout.replace(&stack.name, "NAME"))
    });
    assert_eq!(ours, theirs);
    assert_eq!(ours.0, Some(0), "{ours:?}");
}

#[test]
fn names_have_underscores_where_compatibility_is_asked_for() {
    let text = "services:\n  web: {build: {context: img, dockerfile: Dockerfile}, command: sleep 100000, links: [db]}\n  \
                db: {image: 'rs-test/app:1', network_mode: bridge}\n";
    let text = text.replace("links: [db]", "links: [db], network_mode: bridge");
    let flag = &["--compatibility"][..];
    for (given, env) in [(flag, ""), (&[], "COMPOSE_COMPATIBILITY=true\n"), (&[], "")] {
        let found = [true, false].map(|ours| {
            let stack = Stack::new(&text);
            write_files(&stack.path(), &[(".env", env)]);
            write_files(&stack.path(), &[("img/Dockerfile", "FROM rs-test/app:1\n")]);
            let say = |arguments: &[&str]| {
                let all = [given, arguments].concat();
                if ours { stack.ours(&all) } else { stack.theirs(&all) }
            };
            let here = stack.path().display().to_string();
            let config = say(&["config"]).ok().replace(&here, "HERE").replace(&stack.name, "P");
            let images = say(&["config", "--images"]).ok();
            say(&["up", "-d"]).ok();
            say(&["run", "-d", "--rm", "db", "sleep", "1000"]).ok();
            let names = stack.engine().docker(&[
                "ps",
                "--filter",
                &format!("label=com.docker.compose.project={}", stack.name),
                "--format",
                "{{.Names}} {{.Image}}",
            ]);
            // A number of chance ends the name of a one-off.
            let shortened = |line: &str| {
                let cut = line.find("run").map_or(line, |at| &line[..at + "run-".len()]);
                cut.to_owned()
            };
            let mut names: Vec<_> = names.lines().map(shortened).collect();
            names.sort_unstable();
            let separator = if given.is_empty() && env.is_empty() { '-' } else { '_' };
            let web = format!("{0}{1}web{1}1", stack.name, separator);
            let links = stack.engine().inspect(&web, "{{json .HostConfig.Links}}").unwrap();
            let mut links: Vec<String> = serde_json::from_str(&links).unwrap();
            links.sort_unstable();
            say(&["down", "--rmi", "local"]).ok();
            assert_eq!(
                stack.engine().inspect(&format!("{}{separator}web", stack.name), "{{.Id}}"),
                None
            );
            let all = [names, links, sorted(&images)].concat().join("\n");
            (config, all.replace(&stack.name, "P"))
        });
        assert_eq!(found[0], found[1], "{given:?} {env}");
    }
}
