//! Kill -9 at every transition of a run: exactly one run a slot, and what lives is taken over.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test's own clock and store, which fail the test where they are not as expected"
)]

use std::process::{Child, Stdio};

use chrono::{Timelike, Utc};
use serde_json::Value;

use crate::accounting::{installed, installed_with, pretend_slot, runs, serve};
use crate::support::scene::PATIENCE;
use crate::support::{CountingProxy, Engine, Hold, Roadstead, unique, wait_for};

/// A call of a run, and which side of it is cut off by the death.
#[derive(Clone, Copy, Debug)]
struct Death {
    method: &'static str,
    path_part: &'static str,
    hold: Hold,
    /// How the run is to end after the restart.
    end: &'static str,
}

const fn death(
    method: &'static str,
    path_part: &'static str,
    hold: Hold,
    end: &'static str,
) -> Death {
    Death { method, path_part, hold, end }
}

/// In the order of a run: create, start, remove.
const DEATHS: [Death; 6] = [
    death("POST", "/containers/create", Hold::Request, "failed exited_non_zero"),
    death("POST", "/containers/create", Hold::Answer, "failed exited_non_zero"),
    death("POST", "/start", Hold::Request, "failed exited_non_zero"),
    death("POST", "/start", Hold::Answer, "failed exited_non_zero"),
    death("DELETE", "/containers/", Hold::Request, "failed exited_non_zero"),
    // Where the container is gone, what it ended with is written down already.
    death("DELETE", "/containers/", Hold::Answer, "failed exited_non_zero"),
];

/// A schedule with one slot half an hour ago, and the slot before that in milliseconds.
pub(crate) fn one_slot_owed() -> (String, i64) {
    let slot = (Utc::now() - chrono::TimeDelta::minutes(30)).with_second(0).unwrap();
    let before = slot.with_nanosecond(0).unwrap() - chrono::TimeDelta::hours(1);
    (format!("{} * * * *", slot.minute()), before.timestamp_millis())
}

fn started(roadstead: &Roadstead, docker_host: &str) -> Child {
    let mut command = roadstead.command(&["serve"]);
    command.env("DOCKER_HOST", docker_host).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

pub(crate) fn end_of(run: &Value) -> String {
    let word = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}", word("outcome"), word("reason"))
}

fn check(death: Death) {
    let engine = Engine::shared();
    let name = unique("crash");
    let (schedule, before) = one_slot_owed();
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_TIMEZONE=UTC");
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: {name}\nschedule: '{schedule}'\n\
             run: {{image: 'rs-test/app:1', command: [sh, -c, 'echo it ran; exit 7']}}\n"
        ),
    );
    // Makes the store.
    roadstead.run(&["pause", &name]).ok();
    roadstead.run(&["resume", &name]).ok();
    pretend_slot(&roadstead, &name, before);

    let proxy = CountingProxy::new(engine.socket());
    let catch = proxy.catch(death.method, death.path_part, death.hold);
    // The environment wins over the file.
    let mut first = started(&roadstead, &proxy.host());
    catch.wait(PATIENCE);
    first.kill().unwrap();
    first.wait().unwrap();
    drop(catch);

    let daemon = roadstead.serve();
    let of_slot =
        || -> Vec<Value> { runs(&roadstead, &["--job", &name]).into_iter().skip(1).collect() };
    wait_for(&format!("the end after {death:?}"), PATIENCE, || {
        of_slot().iter().all(|run| !run["ended"].is_null()) && !of_slot().is_empty()
    });
    let found = of_slot();
    assert_eq!(found.len(), 1, "{death:?}: {found:?}");
    let end = end_of(&found[0]);
    assert_eq!((end.as_str(), &found[0]["exit_code"]), (death.end, &7.into()), "{death:?}");
    let output = roadstead.run(&["logs", &found[0]["id"].to_string()]).stdout;
    assert_eq!(output.matches("it ran").count(), 1, "{death:?}:\n{output}");
    let filter = format!("label=dev.roadstead.job={name}");
    let log = roadstead.log(&name);
    let left = ["ps", "--all", "--quiet", "--filter", &filter];
    assert_eq!(engine.docker(&left), "", "{death:?}\n{log}");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_restart_after_kill_9_at_any_call_of_a_run_gives_the_slot_one_run() {
    Engine::shared();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            DEATHS.iter().map(|death| (death, scope.spawn(|| check(*death)))).collect();
        for (death, thread) in threads {
            assert!(thread.join().is_ok(), "{death:?}: see above");
        }
    });
}

#[test]
fn a_container_that_goes_on_is_taken_over_with_all_it_says() {
    let engine = Engine::shared();
    let name = unique("crash");
    let roadstead = Roadstead::new(&engine.host(), "");
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: {name}\noverlap: queue\nrun:\n  image: rs-test/app:1\n  \
             command: [sh, -c, 'echo before; while ! test -e /go; do sleep 0.1; done; echo after; exit 3']\n"
        ),
    );
    let daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    roadstead.run(&["run", &name, "--no-wait"]).ok();
    // A second one waits meanwhile, and goes on waiting.
    roadstead.run(&["run", &name, "--no-wait"]).ok();
    wait_for("output", PATIENCE, || roadstead.run(&["logs", "1"]).stdout.contains("before"));
    daemon.kill();
    let daemon = roadstead.serve();
    wait_for("the takeover", PATIENCE, || {
        roadstead.log(&name).contains("takes its container over")
    });
    assert_eq!(runs(&roadstead, &["--state", "running"]).len(), 1);
    assert_eq!(runs(&roadstead, &["--state", "queued"]).len(), 1);
    let filter = "label=dev.roadstead.run=1".to_owned();
    let job = format!("label=dev.roadstead.job={name}");
    let list = ["ps", "--quiet", "--filter", &filter, "--filter", &job];
    let container = engine.docker(&list);
    engine.docker(&["exec", &container, "touch", "/go"]);
    wait_for("its end", PATIENCE, || runs(&roadstead, &["--state", "failed"]).len() == 1);
    let run = &runs(&roadstead, &["--state", "failed"])[0];
    assert_eq!((&run["id"], &run["exit_code"]), (&1.into(), &3.into()));
    let output = roadstead.run(&["logs", "1"]).stdout;
    for part in ["| before", "| after"] {
        assert_eq!(output.matches(part).count(), 1, "{part} in\n{output}");
    }
    wait_for("the second", PATIENCE, || runs(&roadstead, &["--state", "running"]).len() == 1);
    roadstead.run(&["cancel", &name]).ok();
    wait_for("its end", PATIENCE, || runs(&roadstead, &["--state", "cancelled"]).len() == 1);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn what_waited_waits_again_and_what_has_no_container_is_lost() {
    let long = "command: [sleep, '100000']";
    let roadstead = installed(&format!(
        "- {{name: holder, locks: [db], {long}}}\n- {{name: next, locks: [db], command: ['true']}}\n\
         - {{name: told, after: {{job: holder, on: failure}}, command: ['true']}}\n"
    ));
    let daemon = serve(&roadstead);
    roadstead.run(&["run", "holder", "--no-wait"]).ok();
    roadstead.run(&["run", "next", "--no-wait"]).ok();
    wait_for("the holder", PATIENCE, || runs(&roadstead, &["--state", "running"]).len() == 1);
    assert_eq!(runs(&roadstead, &["--state", "queued"]).len(), 1);
    daemon.kill();
    // Also where nobody serves for a while.
    let daemon = serve(&roadstead);
    wait_for("all ends", PATIENCE, || {
        let all = runs(&roadstead, &[]);
        all.len() == 3 && all.iter().all(|run| !run["ended"].is_null())
    });
    let all: Vec<String> =
        runs(&roadstead, &[]).iter().map(|run| format!("{} {}", run["job"], end_of(run))).collect();
    let wanted = [
        "\"holder\" lost crashed",
        "\"next\" succeeded exited_zero",
        "\"told\" succeeded exited_zero",
    ];
    assert_eq!(all, wanted);
    // A clean end leaves what waits to the next start, too.
    roadstead.run(&["run", "holder", "--no-wait"]).ok();
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn ten_thousand_jobs_on_one_slot_each_have_one_run_though_we_die_in_the_middle() {
    const JOBS: i64 = 10_000;
    let (schedule, before) = one_slot_owed();
    let roadstead = installed_with("AUTODEPLOY_MAX_RUNS=32\nAUTODEPLOY_LOG_LEVEL=warn", "");
    let jobs: Vec<String> = (0..JOBS)
        .map(|job| format!("- {{name: job{job}, schedule: '{schedule}', command: ['true']}}\n"))
        .collect();
    // Makes the store.
    roadstead.run(&["pause", "--all"]).ok();
    roadstead.run(&["resume", "--all"]).ok();
    roadstead.write_job("jobs.yml", &jobs.concat());
    {
        let mut store = rusqlite::Connection::open(roadstead.path("state/roadstead.db")).unwrap();
        let transaction = store.transaction().unwrap();
        for job in 0..JOBS {
            let sql = "INSERT INTO runs (job, trigger, slot, started, ended, outcome, reason) \
                       VALUES (?1, 'schedule', ?2, ?2, ?2, 'succeeded', 'exited_zero')";
            let values = rusqlite::params![format!("job{job}"), before];
            transaction.execute(sql, values).unwrap();
        }
        transaction.commit().unwrap();
    }
    let count = |condition: &str| -> i64 {
        let store = rusqlite::Connection::open(roadstead.path("state/roadstead.db")).unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        let sql = format!("SELECT count(*) FROM runs WHERE slot > {before} AND {condition}");
        store.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let daemon = roadstead.serve();
    wait_for("a third of the runs", PATIENCE * 5, || count("ended IS NOT NULL") > JOBS / 3);
    daemon.kill();
    // All were entered together, before the first began.
    assert_eq!(count("1"), JOBS);
    assert!(count("ended IS NULL") > 0, "it was too fast to be killed in the middle");
    let daemon = roadstead.serve();
    wait_for("the rest", PATIENCE * 5, || count("ended IS NULL") == 0);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    assert_eq!(count("1"), JOBS);
    let store = rusqlite::Connection::open(roadstead.path("state/roadstead.db")).unwrap();
    let sql = "SELECT count(DISTINCT job) FROM runs WHERE slot > ?1";
    let jobs: i64 = store.query_row(sql, [before], |row| row.get(0)).unwrap();
    assert_eq!(jobs, JOBS);
    // Those that were cut off are told as such; no more of them than could run at once.
    let lost = count("outcome = 'lost'");
    assert!(lost <= 32, "{lost}");
    assert_eq!(count("outcome = 'succeeded'"), JOBS - lost);
}
