//! What a deploy costs, beside `docker compose` 2.40 and beside the bare calls of the Engine.
//!
//! Run it by `make bench`, which gives `ROADSTEAD_BIN` (the binary that ships) and `ORACLE`
//! (docker-compose). Times are medians; a figure that misses its aim is marked and fails the run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench drives programs, prints a table, and stops at the first surprise"
)]

mod bare;
mod idle;
mod table;

#[path = "../../tests/it/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use support::process::output;
use support::{Engine, Roadstead, unique, write_files};
use table::{Row, Table};

/// Services of the project that is looked at and changed.
const SERVICES: usize = 50;

/// Rounds of an unchanged `up`, and of a changed one.
const ROUNDS: usize = 15;

/// Largest binary that we want to ship, in MiB.
const BINARY_MIB: f64 = 30.0;

fn main() -> ExitCode {
    let engine = Engine::own();
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_HEALTH_STABLE_FOR=0s");
    let mut table = Table::default();
    table.add(binary_size());
    let world = World::new(&engine, &roadstead);
    world.unchanged(&mut table);
    world.changed(&mut table);
    world.remove();
    idle::measure(&engine, &mut table);
    println!("\n{table}");
    if table.misses() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the median time of `rounds` calls; each gets its number.
fn median(rounds: usize, mut call: impl FnMut(usize)) -> Duration {
    let mut times: Vec<_> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            call(round);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn binary_size() -> Row {
    let bytes = std::fs::metadata(support::roadstead::program()).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let mib = bytes as f64 / f64::from(1 << 20);
    Row::new("binary", format!("{mib:.1} MiB")).aim("<= 30 MiB", mib <= BINARY_MIB)
}

/// Three equal projects: ours, the oracle's, and one for the bare calls.
struct World<'a> {
    engine: &'a Engine,
    roadstead: &'a Roadstead,
    oracle: Option<PathBuf>,
    directory: tempfile::TempDir,
    file: String,
    ours: String,
    theirs: String,
    bare: String,
}

impl<'a> World<'a> {
    fn new(engine: &'a Engine, roadstead: &'a Roadstead) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = Self {
            engine,
            roadstead,
            oracle: oracle(),
            file: directory.path().join("compose.yml").display().to_string(),
            directory,
            ours: unique("ours"),
            theirs: unique("theirs"),
            bare: unique("bare"),
        };
        world.write(0);
        world.up_ours();
        world.up_theirs();
        // Made by our own `up`: what is compared is how it is changed.
        world.roadstead.run(&world.arguments(&world.bare)).ok();
        world
    }

    /// Writes the Compose file; `change` is seen by the first service only.
    fn write(&self, change: usize) {
        let mut text = String::from("services:\n");
        for number in 0..SERVICES {
            let value = if number == 0 { change } else { 0 };
            let _ = write!(
                text,
                "  s{number:02}:\n    image: rs-test/app:1\n    command: [sleep, '1000000']\n    \
                 environment: {{CHANGE: '{value}'}}\n"
            );
        }
        write_files(self.directory.path(), &[("compose.yml", &text)]);
    }

    fn arguments<'b>(&'b self, project: &'b str) -> [&'b str; 7] {
        ["compose", "-f", &self.file, "-p", project, "up", "-d"]
    }

    fn up_ours(&self) {
        self.roadstead.run(&self.arguments(&self.ours)).ok();
    }

    fn up_theirs(&self) {
        let Some(oracle) = &self.oracle else { return };
        let mut command = Command::new(oracle);
        command.args(&self.arguments(&self.theirs)[1..]);
        output(command.env("DOCKER_HOST", self.engine.host())).ok();
    }

    fn unchanged(&self, table: &mut Table) {
        let calls = bare::Calls::new(self.engine);
        let bare = median(ROUNDS, |_| calls.list(&self.ours));
        let ours = median(ROUNDS, |_| self.up_ours());
        let theirs = self.oracle.is_some().then(|| median(ROUNDS, |_| self.up_theirs()));
        let what = format!("unchanged `up`, {SERVICES} services");
        table.add(
            Row::times(&what, ours, theirs, Some(bare)).at_most_bare(3.0).faster_than_oracle(5.0),
        );
    }

    fn changed(&self, table: &mut Table) {
        let calls = bare::Calls::new(self.engine);
        let container = format!("{}-s00-1", self.bare);
        let bare = median(ROUNDS, |round| calls.replace(&container, round));
        let ours = median(ROUNDS, |round| {
            self.write(round + 1);
            self.up_ours();
        });
        let theirs = self.oracle.is_some().then(|| {
            median(ROUNDS, |round| {
                self.write(round + 1);
                self.up_theirs();
            })
        });
        let what = format!("one changed of {SERVICES} services");
        table.add(Row::times(&what, ours, theirs, Some(bare)).at_most_bare(1.2));
    }

    fn remove(&self) {
        for project in [&self.ours, &self.theirs, &self.bare] {
            let containers = self.engine.containers_of(project);
            if !containers.is_empty() {
                let mut arguments = vec!["rm", "--force"];
                arguments.extend(containers.iter().map(String::as_str));
                self.engine.docker(&arguments);
            }
        }
    }
}

/// docker-compose from `ORACLE` or from `scripts/oracle.sh`; without it its column stays empty.
fn oracle() -> Option<PathBuf> {
    let fetched = support::repository().join("target/oracle/docker-compose");
    let path = std::env::var_os("ORACLE").map_or(fetched, PathBuf::from);
    path.exists().then_some(path)
}
