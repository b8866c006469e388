//! Where `up` differs from docker compose 2.40's on purpose; each name has its reason in
//! `docs/compose.md`.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::{OLD_HASH, Who, each};
use crate::converge::world::World;
use crate::converge::{Do, settle};
use crate::support::process::output;
use crate::support::stack::Stack;
use crate::support::{Engine, on_both_engines, wait_for, write_files};

const PAGE: &str = include_str!("../../../docs/compose.md");

/// One difference, with the words of [`crate::converge`].
struct Difference {
    /// Its name in `docs/compose.md`.
    name: &'static str,
    /// Whose containers are there.
    of: Who,
    /// `compose.yml` that they were made from.
    before: &'static str,
    /// What happens to them.
    meanwhile: &'static [Do],
    /// `compose.yml` that is brought up then; empty where it stays.
    after: &'static str,
    /// What `up` moves.
    ours: &'static str,
    /// What docker compose's `up` moves.
    theirs: &'static str,
    /// A look at the result: a question of [`World::ask`], our answer and theirs.
    ask: &'static [(&'static str, &'static str, &'static str)],
}

/// A difference that says nothing.
const DIFFERENCE: Difference = Difference {
    name: "",
    of: Who::DockerCompose,
    before: "",
    meanwhile: &[],
    after: "",
    ours: "",
    theirs: "",
    ask: &[],
};

const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "one_shots",
        before: "services: {web: {image: APP}, once: {image: APP, command: 'true'}}",
        meanwhile: &[Do::Await("once-1", "exited")],
        theirs: "once-1 ran exited",
        ..DIFFERENCE
    },
    Difference {
        name: "newer_hash",
        of: Who::Roadstead,
        before: "services: {web: {image: APP, volumes: ['.:/here:ro']}, db: {image: APP}}",
        theirs: "web-1 replaced",
        ..DIFFERENCE
    },
    Difference {
        name: "failed_start",
        before: "services: {web: {image: APP}}",
        after: "services: {web: {image: APP, command: [/nowhere]}}",
        ours: "web-1 restarted",
        theirs: "web-1 replaced created",
        ..DIFFERENCE
    },
    Difference {
        name: "hook_start",
        before: "services: {web: {image: APP}}",
        after: "services: {web: {image: APP, post_start: [{command: [/nowhere]}]}}",
        ours: "web-1 restarted",
        theirs: "web-1 replaced",
        ..DIFFERENCE
    },
    Difference {
        name: "linked_replicas",
        before: "services: {db: {image: APP, scale: 2}}",
        after: "services: {db: {image: APP, scale: 2}, web: {image: APP, links: [db]}}",
        ours: "web-1 created",
        theirs: "web-1 created",
        ask: &[(
            "in web-1 nslookup db-2 > /dev/null 2>&1 && echo found || echo none",
            "found",
            "none",
        )],
        ..DIFFERENCE
    },
    Difference {
        name: "network_change",
        before: "services: {web: {image: APP, networks: {a: {aliases: [www]}}}}\nnetworks: {a: {}}",
        after: "services: {web: {image: APP, networks: {a: {aliases: [www]}}}}\nnetworks: {a: {labels: {x: y}}}",
        ours: "net a anew",
        theirs: "net a anew, web-1 restarted",
        ask: &[("aliases a of web-1", "web web-1 www", "")],
        ..DIFFERENCE
    },
    Difference {
        name: "bind_block",
        before: "services: {web: {image: APP}}",
        after: "services: {web: {image: APP, volumes: [{type: bind, source: ./new, target: /new, bind: {propagation: rprivate}}]}}",
        ours: "web-1 replaced",
        ..DIFFERENCE
    },
    Difference {
        name: "config_content",
        of: Who::Roadstead,
        before: "services: {web: {image: APP, configs: [c]}}\nconfigs: {c: {content: one}}",
        after: "services: {web: {image: APP, configs: [c]}}\nconfigs: {c: {content: two}}",
        ours: "web-1 replaced",
        ask: &[("in web-1 cat /c", "two", "one")],
        ..DIFFERENCE
    },
    Difference {
        name: "secret_owner",
        before: "services: {web: {image: APP}}",
        after: "services: {web: {image: APP, secrets: [{source: s, uid: '5', mode: 0400}]}}\nsecrets: {s: {file: ./compose.yml}}",
        ours: "web-1 replaced",
        theirs: "web-1 replaced",
        ask: &[("in web-1 stat -c '%u %a' /run/secrets/s", "5 400", "0 644")],
        ..DIFFERENCE
    },
    Difference {
        name: "volumes_from_mode",
        before: "services: {db: {image: APP, volumes: ['data:/data']}, web: {image: APP}}\nvolumes: {data: {}}",
        after: "services: {db: {image: APP, volumes: ['data:/data']}, web: {image: APP, volumes_from: ['db:ro']}}\nvolumes: {data: {}}",
        ours: "web-1 replaced",
        theirs: "web-1 replaced",
        ask: &[("in web-1 touch /data/x 2> /dev/null || echo refused", "refused", "")],
        ..DIFFERENCE
    },
];

on_both_engines!(up_differs_where_the_page_says_so);

fn up_differs_where_the_page_says_so(engine: &'static Engine) {
    each(
        engine,
        DIFFERENCES,
        |it| it.name,
        |it| {
            check(engine, it, Who::Roadstead);
            check(engine, it, Who::DockerCompose);
        },
    );
}

fn check(engine: &'static Engine, difference: &Difference, who: Who) {
    let mut world = World::new(engine, &[("compose.yml", difference.before)]);
    let by = |world: &World, who| match who {
        Who::Roadstead => world.compose("up -d -y"),
        Who::DockerCompose => world.oracle("up -d -y"),
    };
    by(&world, difference.of).ok();
    difference.meanwhile.iter().for_each(|step| world.make(step));
    let before = world.see();
    if !difference.after.is_empty() {
        world.write("compose.yml", difference.after);
    }
    world.environment.push(OLD_HASH);
    let output = by(&world, who);
    let moved = match who {
        Who::Roadstead => difference.ours,
        Who::DockerCompose => difference.theirs,
    };
    let what = format!("{}: {who:?}", difference.name);
    let after = settle(&world, &what, &before, moved, &output.stderr);
    for (question, ours, theirs) in difference.ask {
        let expected = match who {
            Who::Roadstead => ours,
            Who::DockerCompose => theirs,
        };
        assert_eq!(world.ask(&after, question), *expected, "{what}: {question}");
    }
}

/// A service that does not listen when it is asked to end.
fn stubborn(label: &str) -> String {
    format!(
        "services:\n  web:\n    image: rs-test/app:1\n    labels: [{label}]\n    stop_signal: TERM\n    \
         stop_grace_period: 4s\n    command: [sh, -c, \"trap '' TERM; while :; do sleep 0.1; done\"]\n"
    )
}

/// The difference `interrupted_up`, which no row can tell.
#[test]
fn an_interrupted_up_gives_back_what_it_was_replacing() {
    for (who, expected) in
        [(Who::Roadstead, &["running"][..]), (Who::DockerCompose, &["created", "exited"])]
    {
        let stack = Stack::new(&stubborn("one"));
        stack.theirs(&["up", "-d"]).ok();
        let before = stack.inspect("web-1", "{{.Id}}");
        write_files(&stack.path(), &[("compose.yml", &stubborn("two"))]);
        let mut command = match who {
            Who::Roadstead => stack.program(&stack.path(), &["up", "-d"]),
            Who::DockerCompose => stack.their_program(&["up", "-d"]),
        };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Duration::from_secs(30);
        wait_for("the new container", patience, || stack.states().len() == 2);
        // The old one is being stopped now, which takes its time.
        std::thread::sleep(Duration::from_millis(500));
        output(Command::new("kill").args(["-s", "INT", &child.id().to_string()])).ok();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let states = || {
            let states = stack.states();
            states.iter().map(|it| it.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        wait_for("what is left", patience, || states() == expected);
        let is_back = stack.engine().inspect(&before, "{{.Name}} {{.State.Running}}");
        let running = format!("/{}-web-1 true", stack.name);
        assert_eq!(is_back == Some(running), matches!(who, Who::Roadstead));
    }
}

/// The difference `wait_one_shot`: it is in the exit code.
#[test]
fn a_wait_for_work_that_is_done_succeeds() {
    let stack = Stack::new("services: {once: {image: 'rs-test/app:1', command: 'true'}}\n");
    stack.ours(&["up", "-d", "--wait"]).ok();
    stack.ours(&["down"]).ok();
    let said = stack.theirs(&["up", "-d", "--wait"]).fails_with(1);
    assert!(said.contains("exited (0)"), "{said}");
}

#[test]
fn each_has_its_reason() {
    let rows = DIFFERENCES.iter().map(|it| it.name);
    for name in rows.chain(["interrupted_up", "wait_one_shot"]) {
        assert!(
            PAGE.contains(&format!("`{name}`")),
            "docs/compose.md gives no reason for `{name}`"
        );
    }
}
