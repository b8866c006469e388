//! What Roadstead costs while nothing happens: memory, processor, and looks at unchanged sources.

use std::fmt::Write as _;
use std::time::Duration;

use super::process::{megabytes, processor_ticks, resident_bytes};
use super::rounds::{few, medians, timed};
use super::support::{Engine, Roadstead, TempProject, wait_for};
use super::table::{Row, Table};

/// Projects that the idle daemon keeps.
const PROJECTS: usize = 10;

/// Checkouts that one look covers.
const CHECKOUTS: usize = 30;

/// Largest resident memory of an idle daemon, in bytes: 20 MB.
const RESIDENT_BYTES: u64 = 20_000_000;

/// Longest look at [`CHECKOUTS`] unchanged checkouts.
const LOOK: Duration = Duration::from_secs(1);

/// How long the idle daemon is watched.
const WATCH: Duration = Duration::from_secs(20);

const COMPOSE: &str =
    "services:\n  app:\n    image: rs-test/app:1\n    command: [sleep, '1000000']\n";

/// Adds the rows of this module.
pub(super) fn measure(engine: &Engine, table: &mut Table) {
    idle_daemon(engine, table);
    look_at_checkouts(engine, table);
}

fn idle_daemon(engine: &Engine, table: &mut Table) {
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_HEALTH_STABLE_FOR=0s");
    let projects: Vec<_> =
        (0..PROJECTS).map(|_| TempProject::new(&[("compose.yml", COMPOSE)])).collect();
    for project in &projects {
        let text = format!(
            "name: {}\nschedule: '@every 1h'\ndeploy:\n  source: {{repo: 'file://{}', ref: main}}\n",
            project.name(),
            project.remote().display()
        );
        roadstead.write_job(&format!("{}.yml", project.name()), &text);
    }
    for project in &projects {
        roadstead.run(&["deploy", project.name()]).ok();
    }
    let daemon = roadstead.serve();
    wait_for("a daemon that answers", Duration::from_secs(30), || {
        roadstead.run(&["health"]).code == Some(0)
    });
    std::thread::sleep(Duration::from_secs(3));
    let before = processor_ticks(&daemon);
    std::thread::sleep(WATCH);
    let ticks = processor_ticks(&daemon) - before;
    let resident = resident_bytes(&daemon);
    let what = format!("resident, idle, {PROJECTS} projects");
    table.add(Row::new(&what, megabytes(resident)).aim("<= 20 MB", resident <= RESIDENT_BYTES));
    let what = format!("processor, idle, {} s", WATCH.as_secs());
    table.add(Row::new(&what, format!("{} ms", ticks * 10)).aim("<= 20 ms", ticks <= 2));
}

fn look_at_checkouts(engine: &Engine, table: &mut Table) {
    let projects: Vec<_> =
        (0..CHECKOUTS).map(|_| TempProject::new(&[("compose.yml", COMPOSE)])).collect();
    let mut paths = String::new();
    for project in &projects {
        let _ = write!(paths, "{} ", project.checkout().display());
    }
    let env_local = format!(
        "AUTODEPLOY_EXTRA_REPOS=\"{}\"\nAUTODEPLOY_HEALTH_STABLE_FOR=0s\n\
         AUTODEPLOY_PLATFORM_FREQUENCY=@manual",
        paths.trim_end()
    );
    let roadstead = Roadstead::new(&engine.host(), &env_local);
    roadstead.run(&["deploy", "autodeploy"]).ok();
    let [time] =
        medians(few(), &mut [&mut |_| timed(|| drop(roadstead.run(&["plan", "autodeploy"]).ok()))]);
    let what = format!("look at {CHECKOUTS} unchanged checkouts");
    table.add(Row::times(&what, time, None, None).aim("< 1 s", time < LOOK));
}
