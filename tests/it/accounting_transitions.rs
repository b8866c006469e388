//! Kill -9 between any two writes of a run: one row a slot with the right end, each container started
//! once, what follows done once, and told.
//!
//! A trigger in the store never comes back from the write that it stands before; there the process is
//! killed. Nothing of the program is made for it.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::accounting::{pretend_slot, runs};
use crate::accounting_crash::{end_of, one_slot_owed};
use crate::support::receiver::Receiver;
use crate::support::scene::PATIENCE;
use crate::support::{Daemon, Engine, Roadstead, unique, wait_for};

const STORE: &str = "roadstead.db";
const OUTBOX: &str = "outbox.db";

/// A write before which we die: its name, its database, and the trigger's event; `JOB` is the job.
type Point = (&'static str, &'static str, &'static str);

const OF_JOB: &str = "(SELECT job FROM runs WHERE id = NEW.run) = 'JOB'";

/// The points of a run with a container that fails twice, of what follows it, and of those who are told.
const POINTS: [Point; 23] = [
    ("the slot is entered", STORE, "INSERT ON runs WHEN NEW.job = 'JOB'"),
    ("it starts", STORE, "INSERT ON transitions WHEN NEW.state = 'starting' AND OF_JOB"),
    ("a try begins", STORE, "INSERT ON steps WHEN NEW.name = 'try 1 of 2'"),
    ("a container is made", STORE, "INSERT ON steps WHEN NEW.name LIKE 'create container %'"),
    ("its id is written", STORE, "INSERT ON transitions WHEN NEW.state = 'running' AND OF_JOB"),
    ("it is started", STORE, "INSERT ON steps WHEN NEW.name LIKE 'start container %'"),
    ("its start is known", STORE, "UPDATE ON steps WHEN NEW.name LIKE 'start container %'"),
    ("its end is known", STORE, "UPDATE OF details ON runs WHEN NEW.details LIKE '%\"ending\"%'"),
    ("it is removed", STORE, "INSERT ON steps WHEN NEW.name LIKE 'remove container %'"),
    ("it is gone", STORE, "UPDATE ON steps WHEN NEW.name LIKE 'remove container %'"),
    ("the try has ended", STORE, "UPDATE ON steps WHEN NEW.name = 'try 1 of 2'"),
    ("the next try begins", STORE, "INSERT ON steps WHEN NEW.name = 'try 2 of 2'"),
    (
        "the next container is made",
        STORE,
        "INSERT ON steps WHEN NEW.name LIKE 'create container %' AND NEW.position > 4",
    ),
    (
        "its id is written, too",
        STORE,
        "UPDATE OF details ON runs WHEN NEW.details LIKE '%\"container\"%' AND \
         (SELECT count(*) FROM steps WHERE run = NEW.id AND name = 'try 2 of 2') = 1",
    ),
    (
        "it is removed, too",
        STORE,
        "INSERT ON steps WHEN NEW.name LIKE 'remove container %' AND NEW.position > 4",
    ),
    (
        "it is gone, too",
        STORE,
        "UPDATE ON steps WHEN NEW.name LIKE 'remove container %' AND NEW.position > 4",
    ),
    ("the last try has ended", STORE, "UPDATE ON steps WHEN NEW.name = 'try 2 of 2'"),
    ("the end is written", STORE, "INSERT ON transitions WHEN NEW.state = 'failed' AND OF_JOB"),
    ("what follows is entered", STORE, "INSERT ON runs WHEN NEW.job = 'JOB-after'"),
    ("what follows runs", STORE, "INSERT ON transitions WHEN NEW.state = 'running' AND NOT OF_JOB"),
    ("its end is written", STORE, "INSERT ON transitions WHEN NEW.state = 'succeeded'"),
    ("others are told", OUTBOX, "INSERT ON messages"),
    ("others were told", STORE, "DELETE ON untold"),
];

/// Puts something before a write that never comes back.
fn stand_before(database: &Path, event: &str, job: &str) {
    let event = event.replace("OF_JOB", OF_JOB).replace("JOB", job);
    let sql = format!(
        "CREATE VIEW forever AS WITH RECURSIVE more(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM more) \
         SELECT i FROM more;
         CREATE TRIGGER never BEFORE {event} BEGIN SELECT count(*) FROM forever; END;"
    );
    Connection::open(database).unwrap().execute_batch(&sql).unwrap();
}

fn step_aside(database: &Path) {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch("DROP TRIGGER never; DROP VIEW forever;").unwrap();
}

/// Waits until a write goes on and on, and works all the while: one that waits for a busy disk takes long,
/// too, and is no point of ours.
fn wait_until_it_stands(point: &str, database: &Path, daemon: &Daemon) {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    // Longer than a run waits for the outbox.
    let least = if database.ends_with(OUTBOX) { Duration::from_secs(3) } else { Duration::ZERO };
    let (mut before, mut since) = (worked(daemon), Instant::now());
    wait_for(&format!("death where {point}"), PATIENCE * 2, || {
        if connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;").is_ok() {
            (before, since) = (worked(daemon), Instant::now());
        }
        worked(daemon) - before > 50 && since.elapsed() > least
    });
}

/// The time a process has had of the processors, in hundredths of a second (`proc_pid_stat(5)`).
fn worked(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn lines(path: &PathBuf) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// An installation whose job `NAME` has one slot to catch up with, fails at each of two tries, and is
/// followed by `NAME-after`, which writes a line into `followed`.
fn owing_one_slot(name: &str, work: &str, told: &Receiver) -> Roadstead {
    let (schedule, before) = one_slot_owed();
    let roadstead = Roadstead::new(
        &Engine::shared().host(),
        "AUTODEPLOY_TIMEZONE=UTC\nAUTODEPLOY_ALLOW_COMMANDS=true",
    );
    // Makes both databases.
    roadstead.write_job("make.yml", "name: make\ncommand: ['true']\n");
    roadstead.run(&["run", "make"]).ok();
    let (ping, followed) = (told.url("/check"), roadstead.path("followed"));
    roadstead.write_job(
        "job.yml",
        &format!(
            "- name: {name}\n  schedule: '{schedule}'\n  notify: {{ping: {{url: '{ping}', start: false}}}}\n  \
             {work}\n\
             - name: {name}-after\n  after: {{job: {name}, on: failure}}\n  \
             command: [sh, -c, 'echo x >> {}']\n",
            followed.display()
        ),
    );
    pretend_slot(&roadstead, name, before);
    roadstead
}

/// Dies before the write, starts again, and waits until all has ended; the run of the slot, and those
/// that follow from it.
fn die_and_return(
    (point, database, event): Point,
    name: &str,
    (roadstead, told): (&Roadstead, &Receiver),
) -> [Vec<Value>; 2] {
    let database = roadstead.path("state").join(database);
    stand_before(&database, event, name);
    let daemon = roadstead.serve();
    wait_until_it_stands(point, &database, &daemon);
    daemon.kill();
    step_aside(&database);
    let daemon = roadstead.serve();
    let of_slot = || runs(roadstead, &["--job", name]).split_off(1);
    let after = || runs(roadstead, &["--job", &format!("{name}-after")]);
    wait_for(&format!("the ends after death where {point}"), PATIENCE * 2, || {
        let all = [of_slot(), after()];
        let have_ended = |all: &Vec<Value>| all.iter().all(|run| !run["ended"].is_null());
        all.iter().all(|all| !all.is_empty() && have_ended(all))
    });
    wait_for(&format!("the ping after death where {point}"), PATIENCE, || !told.told().is_empty());
    // Before it listens to signals there may be nothing left to wait for.
    wait_for("a daemon that answers", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    assert_eq!(daemon.stop(PATIENCE), Some(0), "{point}");
    [of_slot(), after()]
}

fn check(point: Point) {
    let (engine, told, name) = (Engine::shared(), Receiver::start(), unique("point"));
    let witness = tempfile::tempdir().unwrap();
    let work = format!(
        "retry: {{max: 1, backoff: 10ms}}\n  \
         run: {{image: 'rs-test/app:1', volumes: ['{}:/witness'],\n        \
         command: [sh, -c, 'echo x >> /witness/started; echo it ran; exit 7']}}",
        witness.path().display()
    );
    let roadstead = owing_one_slot(&name, &work, &told);
    let [of_slot, after] = die_and_return(point, &name, (&roadstead, &told));
    let point = point.0;
    assert_eq!(of_slot.len(), 1, "{point}: {of_slot:?}");
    let end = (end_of(&of_slot[0]), of_slot[0]["exit_code"].clone());
    assert_eq!(end, ("failed exited_non_zero".to_owned(), 7.into()), "{point}: {of_slot:?}");
    // Two tries, two containers, each started once and heard once.
    // The Engine's own events are no witness: it forgets all but the last 256.
    let started = lines(&witness.path().join("started"));
    let output = roadstead.run(&["logs", &of_slot[0]["id"].to_string()]).stdout;
    let log = roadstead.log(&name);
    assert_eq!(started, 2, "{point}:\n{log}");
    assert_eq!(output.matches("it ran").count(), 2, "{point}:\n{output}\n{log}");
    let left = ["ps", "--all", "--quiet", "--filter", &format!("label=dev.roadstead.job={name}")];
    assert_eq!(engine.docker(&left), "", "{point}");
    // What follows was done once. Of a program that had run when we died nobody knows that it had.
    let ends: Vec<String> = after.iter().map(end_of).collect();
    // Where it is while others were told cannot be known either.
    let (done, lost) = (("succeeded exited_zero", 1), "lost crashed");
    let times = lines(&roadstead.path("followed"));
    let is_right = match point {
        "its end is written" => ends == [lost] && times == 1,
        "others were told" => ends == [done.0] && times == done.1 || ends == [lost] && times <= 1,
        _ => ends == [done.0] && times == done.1,
    };
    assert!(is_right, "{point}: {ends:?} {times}");
    // Told, and where it was told twice, it was the same.
    let mut pings: Vec<String> = told.told().into_iter().map(|told| told.line).collect();
    pings.dedup();
    assert!(pings.len() == 1 && pings[0].contains("/check/7"), "{point}: {pings:?}");
}

#[test]
fn a_death_before_any_write_of_a_run_leaves_one_run_a_slot_with_its_own_end() {
    Engine::shared();
    for points in POINTS.chunks(6) {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                points.iter().map(|point| (point, scope.spawn(|| check(*point)))).collect();
            for (point, thread) in threads {
                assert!(thread.join().is_ok(), "{point:?}: see above");
            }
        });
    }
}

#[test]
fn a_program_of_our_own_container_runs_once_whenever_we_die_and_is_lost_where_nobody_knows() {
    Engine::shared();
    for (point, end, times) in [
        ("INSERT ON runs WHEN NEW.job = 'JOB'", "failed exited_non_zero", 2),
        (
            "INSERT ON transitions WHEN NEW.state = 'starting' AND OF_JOB",
            "failed exited_non_zero",
            2,
        ),
        (
            "INSERT ON transitions WHEN NEW.state = 'running' AND OF_JOB",
            "failed exited_non_zero",
            2,
        ),
        ("INSERT ON steps WHEN NEW.name = 'try 1 of 2'", "lost crashed", 0),
        ("UPDATE ON steps WHEN NEW.name = 'run sh'", "lost crashed", 1),
        ("UPDATE ON steps WHEN NEW.name = 'try 1 of 2'", "failed exited_non_zero", 2),
        ("INSERT ON steps WHEN NEW.name = 'try 2 of 2'", "failed exited_non_zero", 2),
        ("UPDATE ON steps WHEN NEW.name = 'try 2 of 2'", "failed exited_non_zero", 2),
        ("INSERT ON transitions WHEN NEW.state = 'failed' AND OF_JOB", "failed exited_non_zero", 2),
    ] {
        let (told, name) = (Receiver::start(), unique("point"));
        let count = tempfile::tempdir().unwrap();
        let count = count.path().join("count");
        let work = format!(
            "retry: {{max: 1, backoff: 10ms}}\n  command: [sh, -c, 'echo x >> {}; exit 7']",
            count.display()
        );
        let roadstead = owing_one_slot(&name, &work, &told);
        let [of_slot, after] = die_and_return((point, STORE, point), &name, (&roadstead, &told));
        let ends: Vec<String> = of_slot.iter().map(end_of).collect();
        assert_eq!(ends, [end], "{point}: {}", roadstead.log(&name));
        assert_eq!(lines(&count), times, "{point}");
        let ends: Vec<String> = after.iter().map(end_of).collect();
        assert_eq!(ends, ["succeeded exited_zero"], "{point}");
        assert_eq!(lines(&roadstead.path("followed")), 1, "{point}");
    }
}
