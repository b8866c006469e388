//! Convergence: a project as it is, a change, and what may move.
//!
//! A row is a world before, what happens to it, and what the next `up` does to each container,
//! network and volume; whatever a row does not name must stay as it is: same id, same start, same
//! aliases and addresses. After each row one more `up` must write nothing and move nothing.
//!
//! `CONVERGE_ROW=words` runs only the rows with these words in their name, and says what each did.
//! Rows about what the Engine's releases do differently run on both engines; with
//! `ROADSTEAD_ENGINE_BIN=target/oracle` the whole suite runs on Engine 28.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test drives programs and fails loudly"
)]

mod definition;
mod dependencies;
mod failures;
mod images;
mod interrupted;
mod jobs;
mod namespaces;
mod networks;
mod orphans;
mod ports;
mod releases;
mod scale;
mod selection;
mod states;
mod unchanged;
mod volumes;
pub(crate) mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use self::world::{Seen, World};
use crate::support::Engine;

/// Rows at once: most of a row is waiting for the Engine.
const AT_ONCE: usize = 3;
/// How long a world may take to come to rest after a command has ended.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// One scenario. In every text these words stand for something of the row's own:
/// `PROJECT` its project, `NET1` and `NET2` the first three numbers of two networks, `PORT1` and
/// `PORT2` free ports, `APP` an image that serves on port 80 until it is told to end, `APP2` another
/// one, `OWN` an image name that nobody else uses.
#[derive(Clone, Copy)]
struct Row {
    /// What it shows, as a sentence.
    name: &'static str,
    /// Files beside `compose.yml`.
    files: &'static [(&'static str, &'static str)],
    /// What happens before there is anything.
    first: &'static [Do],
    /// `compose.yml` that is brought up first; empty where the steps below do that.
    before: &'static str,
    /// What happens before the second `up`.
    meanwhile: &'static [Do],
    /// `compose.yml` that is brought up then; empty where it stays.
    after: &'static str,
    /// Further arguments of that `up`.
    up: &'static str,
    /// Part of what it says when it fails; empty where it succeeds.
    fails: &'static str,
    /// What moved, as [`World::moved`] tells it.
    moved: &'static str,
    /// A look at the result: a question and its answer, see [`World::ask`].
    ask: &'static [(&'static str, &'static str)],
    /// What one more `up` moves: nothing, hence no writing call either.
    again: &'static str,
}

/// A row that says nothing.
const ROW: Row = Row {
    name: "",
    files: &[],
    first: &[],
    before: "",
    meanwhile: &[],
    after: "",
    up: "",
    fails: "",
    moved: "",
    ask: &[],
    again: "",
};

/// Something that happens to a world. A failure fails the row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    /// The docker client with these arguments.
    Docker(&'static str),
    /// A shell in a container: its name, and the script.
    Exec(&'static str, &'static str),
    /// `roadstead compose` with these arguments.
    Compose(&'static str),
    /// `docker compose` with these arguments.
    Oracle(&'static str),
    /// A file of the project gets this text.
    Write(&'static str, &'static str),
    /// An image is built from `FROM APP` and this line; where another row builds the same one at the same
    /// time, the cache may give another image.
    Build(&'static str, &'static str),
    /// A container comes into this state.
    Await(&'static str, &'static str),
}

/// Runs the rows on the machine's engine; all that fail are told at the end.
#[track_caller]
fn check(rows: &[Row]) {
    check_on(&[Engine::shared()], rows);
}

/// Runs the rows on both engines.
#[track_caller]
fn check_on_both(rows: &[Row]) {
    check_on(&[Engine::shared(), Engine::newer()], rows);
}

#[track_caller]
fn check_on(engines: &[&'static Engine], rows: &[Row]) {
    let only = std::env::var("CONVERGE_ROW").ok();
    let mut chosen: Vec<&Row> = rows.iter().collect();
    chosen.retain(|row| only.as_ref().is_none_or(|words| row.name.contains(words.as_str())));
    chosen.reverse();
    let chosen = chosen.into_iter().flat_map(|row| engines.iter().map(move |it| (*it, row)));
    let chosen: Vec<_> = chosen.collect();
    let (left, failed) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some((engine, row)) = left.lock().unwrap().pop() else { return };
            let begun = Instant::now();
            if catch_unwind(AssertUnwindSafe(|| run(engine, row))).is_err() {
                failed.lock().unwrap().push(format!("{}: {}", engine.name(), row.name));
            }
            if only.is_some() {
                let seconds = begun.elapsed().as_secs_f64();
                eprintln!("{seconds:.1} s: {}: {}", engine.name(), row.name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} rows failed, see above: {failed:#?}", failed.len());
}

fn run(engine: &'static Engine, row: &Row) {
    let world = World::new(engine, row.files);
    row.first.iter().for_each(|step| world.make(step));
    if !row.before.is_empty() {
        world.write("compose.yml", row.before);
        world.up("").ok();
    }
    row.meanwhile.iter().for_each(|step| world.make(step));
    let before = world.see();
    if !row.after.is_empty() {
        world.write("compose.yml", row.after);
    }
    world.proxy.take();
    let output = world.up(row.up);
    let said = format!("{}{}", output.stdout, output.stderr);
    if row.fails.is_empty() {
        assert_eq!(output.code, Some(0), "{}: {said}", row.name);
    } else {
        assert_eq!(output.code, Some(1), "{}: {said}", row.name);
        assert!(said.contains(&world.text(row.fails)), "{}: {said}", row.name);
        // What was there is what there is, so its own file has nothing to add.
        world.write("compose.yml", row.before);
    }
    let after = settle(&world, row.name, &before, row.moved, &said);
    for (question, answer) in row.ask {
        let answered = world.ask(&after, question);
        assert_eq!(answered, world.text(answer), "{}: {question}\n{said}", row.name);
    }
    world.proxy.take();
    let once = ["--force-recreate", "--always-recreate-deps", "-V"];
    let again = world.up(&once.iter().fold(row.up.to_owned(), |up, flag| up.replace(flag, "")));
    let said = format!("{}{}", again.stdout, again.stderr);
    assert_eq!(again.code, Some(0), "{}: once more: {said}", row.name);
    settle(&world, &format!("{}: once more", row.name), &after, row.again, &said);
    if row.again.is_empty() {
        assert_eq!(world.proxy.writes(), [], "{}: once more: {said}", row.name);
    }
}

/// Waits until what moved since `before` is what was expected.
pub(crate) fn settle(world: &World, name: &str, before: &Seen, expected: &str, said: &str) -> Seen {
    let (expected, begun) = (world::items(&world.text(expected)), Instant::now());
    loop {
        let seen = world.see();
        let moved = World::moved(before, &seen);
        if moved == expected {
            return seen;
        }
        assert!(
            begun.elapsed() < SETTLES_WITHIN,
            "{name}\nmoved:    {moved:#?}\nexpected: {expected:#?}\n{said}\nbefore: {before:#?}\n\
             after: {seen:#?}",
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
