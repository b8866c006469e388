//! Where `up` differs from docker compose 2.40's on purpose; each name has its reason in
//! `docs/compose.md`.

use super::{OLD_HASH, Who, each};
use crate::converge::world::World;
use crate::converge::{Do, settle};
use crate::support::{Engine, on_both_engines};

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
        name: "network_change",
        before: "services: {web: {image: APP, networks: {a: {aliases: [www]}}}}\nnetworks: {a: {}}",
        after: "services: {web: {image: APP, networks: {a: {aliases: [www]}}}}\nnetworks: {a: {labels: {x: y}}}",
        ours: "net a anew",
        theirs: "net a anew, web-1 restarted",
        ask: &[("aliases a of web-1", "web web-1 www", "")],
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

#[test]
fn each_has_its_reason() {
    for Difference { name, .. } in DIFFERENCES {
        assert!(
            PAGE.contains(&format!("`{name}`")),
            "docs/compose.md gives no reason for `{name}`"
        );
    }
}
