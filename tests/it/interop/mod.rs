//! docker compose 2.40 and Roadstead on one project, on both engines: what either brought up the
//! other one leaves alone, and each one's commands work on the other's containers.
//!
//! The projects are in [`projects`]. `INTEROP_PROJECT=words` runs only those with these words in their
//! name, and says how long each took.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test drives programs and fails loudly"
)]

mod differences;
mod projects;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::projects::{PROJECTS, Project};
use crate::converge::world::{Seen, World};
use crate::converge::{Do, settle};
use crate::support::{Engine, on_both_engines};

/// Projects at once: most of the time of one is waiting for the Engine.
const AT_ONCE: usize = 4;
/// How long the two may take to say the same of what has just been started.
const AGREES_WITHIN: Duration = Duration::from_secs(15);
/// docker compose 2.40 knows its own hash only.
const OLD_HASH: (&str, &str) = ("AUTODEPLOY_COMPOSE_HASH", "2.40");

/// Who runs a command.
#[derive(Clone, Copy, Debug)]
enum Who {
    Roadstead,
    DockerCompose,
}

on_both_engines!(
    what_docker_compose_brought_up_is_left_alone,
    docker_compose_leaves_alone_what_we_brought_up,
);

fn what_docker_compose_brought_up_is_left_alone(engine: &'static Engine) {
    each(
        engine,
        PROJECTS,
        |it| it.name,
        |project| {
            if project.api > engine.api() {
                return;
            }
            let (mut world, bare) = world(engine, project);
            by(&world, project, Who::DockerCompose, "up -d");
            let before = at_rest(&world, project);
            world.proxy.take();
            let said = by(&world, project, Who::Roadstead, "up -d --remove-orphans");
            assert_eq!(world.proxy.writes(), [], "{}: {said}", project.name);
            settle(&world, project.name, &before, "", &said);
            look(&world, project, Who::Roadstead);

            // What we make anew beside what it made is as good to it as its own.
            world.environment.push(OLD_HASH);
            by(&world, project, Who::Roadstead, "up -d --force-recreate --timeout 1");
            unchanged_by_docker_compose(&world, project);
            let said = by(&world, project, Who::Roadstead, "down --volumes --timeout 1");
            settle(&world, project.name, &bare, "", &format!("down: {said}"));
        },
    );
}

fn docker_compose_leaves_alone_what_we_brought_up(engine: &'static Engine) {
    each(
        engine,
        PROJECTS,
        |it| it.name,
        |project| {
            if project.api > engine.api() {
                return;
            }
            let (mut world, bare) = world(engine, project);
            world.environment.push(OLD_HASH);
            by(&world, project, Who::Roadstead, "up -d");
            unchanged_by_docker_compose(&world, project);
            look(&world, project, Who::DockerCompose);
            let said = by(&world, project, Who::DockerCompose, "down --volumes --timeout 1");
            settle(&world, project.name, &bare, "", &format!("down: {said}"));
        },
    );
}

/// `docker compose up` makes nothing new; what has ended it runs again, which we would not.
fn unchanged_by_docker_compose(world: &World, project: &Project) {
    let before = at_rest(world, project);
    let said = by(world, project, Who::DockerCompose, "up -d --remove-orphans");
    let ran: Vec<_> = project.ends.iter().map(|name| format!("{name} ran exited")).collect();
    settle(world, project.name, &before, &ran.join(", "), &said);
}

/// A world of the project's files, and what there is before its first `up`.
fn world(engine: &'static Engine, project: &Project) -> (World, Seen) {
    let mut world = World::new(engine, project.files);
    world.write("compose.yml", project.compose);
    world.environment.extend(project.environment);
    project.first.iter().for_each(|step| world.make(step));
    let bare = world.see();
    (world, bare)
}

/// Runs a command in a project's directory, which must succeed; returns what was said.
#[track_caller]
fn by(world: &World, project: &Project, who: Who, command: &str) -> String {
    let output = run(world, project, who, command);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert_eq!(output.code, Some(0), "{}: {who:?} {command}: {said}", project.name);
    said
}

fn run(world: &World, project: &Project, who: Who, command: &str) -> crate::support::Output {
    let arguments = format!("{} {command}", project.arguments);
    match who {
        Who::Roadstead => world.compose(&arguments),
        Who::DockerCompose => world.oracle(&arguments),
    }
}

/// What there is when the one-shots have ended.
fn at_rest(world: &World, project: &Project) -> Seen {
    project.ends.iter().for_each(|name| world.make(&Do::Await(name, "exited")));
    world.see()
}

/// `exec`, `logs`, `ps` and `ls` of one program, which see what the other one's see.
fn look(world: &World, project: &Project, who: Who) {
    let script = "sh -c 'echo said by exec > /proc/1/fd/1; echo done; exit 3'";
    let output = run(world, project, who, &format!("exec -T web {script}"));
    assert_eq!((output.code, output.stdout.trim()), (Some(3), "done"), "{}", output.stderr);
    let logs = agree(world, project, "logs --no-color", lines);
    assert!(
        logs.iter().any(|line| line.ends_with("| said by exec")),
        "{}: {logs:#?}",
        project.name
    );
    let listed = agree(world, project, "ps --all --no-trunc --format json", records);
    assert!(!listed.is_empty(), "{}: ps", project.name);
    let listed =
        agree(world, project, &world.text("ls --all --filter name=PROJECT --format json"), records);
    assert_eq!(listed.len(), 1, "{}: ls", project.name);
}

/// What both programs answer, read by `read`; a state may need a moment.
#[track_caller]
fn agree(
    world: &World,
    project: &Project,
    command: &str,
    read: fn(&str) -> Vec<String>,
) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let answer = |who| {
            let output = run(world, project, who, command);
            assert_eq!(output.code, Some(0), "{}: {command}: {}", project.name, output.stderr);
            read(&output.stdout)
        };
        let (ours, theirs) = (answer(Who::Roadstead), answer(Who::DockerCompose));
        if ours == theirs {
            return ours;
        }
        let only = |these: &[String], others: &[String]| {
            let only = these.iter().filter(|it| !others.contains(it));
            only.cloned().collect::<Vec<_>>()
        };
        assert!(
            begun.elapsed() < AGREES_WITHIN,
            "{}: {command}\nonly ours:   {:#?}\nonly theirs: {:#?}",
            project.name,
            only(&ours, &theirs),
            only(&theirs, &ours)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Lines in one order: that of two containers' is chance, and so is how far docker compose indents.
fn lines(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = text.lines().map(words).collect();
    lines.sort();
    lines
}

/// The JSON records of a list, or of one a line.
fn records(text: &str) -> Vec<String> {
    let stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut records: Vec<_> = stream
        .map(Result::unwrap)
        .flat_map(|value| match value {
            Value::Array(records) => records,
            record => vec![record],
        })
        .map(|record| comparable(record).to_string())
        .collect();
    records.sort();
    records
}

/// A record without ages, which grow between two looks, and with its sets in one order; docker
/// compose's is chance.
fn comparable(mut record: Value) -> Value {
    if let Some(fields) = record.as_object_mut() {
        fields.remove("RunningFor");
    }
    for key in ["Labels", "Mounts", "Networks"] {
        if let Some(text) = record[key].as_str() {
            let mut items: Vec<_> = text.split(',').collect();
            items.sort_unstable();
            record[key] = items.join(",").into();
        }
    }
    if let Some(status) = record["Status"].as_str() {
        // `Up 3 seconds (healthy)` is `Up (healthy)`, `Exited (0) 5 seconds ago` is `Exited (0)`.
        let is_age = |word: &str| word.chars().all(|it| it.is_ascii_alphanumeric());
        let mut words: Vec<_> = status.split_whitespace().collect();
        let first = words.remove(0);
        words.retain(|word| !is_age(word));
        record["Status"] = format!("{first} {}", words.join(" ")).into();
    }
    record
}

/// Runs a check on each row; all that fail are told at the end.
#[track_caller]
fn each<R: Sync>(
    engine: &Engine,
    rows: &[R],
    name: fn(&R) -> &'static str,
    check: impl Fn(&R) + Sync,
) {
    let only = std::env::var("INTEROP_PROJECT").ok();
    let mut chosen: Vec<_> = rows.iter().collect();
    chosen.retain(|it| only.as_ref().is_none_or(|words| name(it).contains(words.as_str())));
    chosen.reverse();
    let (left, failed) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(row) = left.lock().unwrap().pop() else { return };
            let begun = Instant::now();
            if catch_unwind(AssertUnwindSafe(|| check(row))).is_err() {
                failed.lock().unwrap().push(name(row));
            }
            if only.is_some() {
                let seconds = begun.elapsed().as_secs_f64();
                eprintln!("{seconds:.1} s: {}: {}", engine.name(), name(row));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{}: {} failed, see above: {failed:#?}",
        engine.name(),
        failed.len()
    );
}
