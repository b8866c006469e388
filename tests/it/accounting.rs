//! Every slot ends as a run, as skipped or as missed: overlap, locks, deadlines, catch-up, pauses,
//! cancellation, retries, chains and events, with the real binary.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test's own clock and store, which fail the test where they are not as expected"
)]

use chrono::{Timelike, Utc};
use serde_json::Value;

use crate::support::scene::PATIENCE;
use crate::support::{Daemon, Engine, Roadstead, unique, wait_for};

/// An installation whose jobs are programs of this machine: no engine is there, and none is needed.
pub(crate) fn installed(jobs: &str) -> Roadstead {
    installed_with("", jobs)
}

pub(crate) fn installed_with(env_local: &str, jobs: &str) -> Roadstead {
    let roadstead = Roadstead::new("unix:///nonexistent/engine.sock", "");
    let all = format!("AUTODEPLOY_TIMEZONE=UTC\nAUTODEPLOY_ALLOW_COMMANDS=true\n{env_local}");
    roadstead.write_env_local(&all);
    roadstead.write_job("jobs.yml", jobs);
    roadstead
}

/// Starts the daemon and waits until it answers.
pub(crate) fn serve(roadstead: &Roadstead) -> Daemon {
    let daemon = roadstead.serve();
    // Without an engine it is alive, if not healthy.
    wait_for("the daemon", PATIENCE, || {
        roadstead.run(&["health"]).stdout.contains("does not answer")
    });
    daemon
}

/// The runs that `arguments` ask for, oldest first.
pub(crate) fn runs(roadstead: &Roadstead, arguments: &[&str]) -> Vec<Value> {
    let all: Vec<&str> =
        ["runs", "--json", "-n", "100000"].iter().chain(arguments).copied().collect();
    let text = roadstead.run(&all).ok();
    let mut runs: Vec<Value> = serde_json::from_str(&text).unwrap();
    runs.reverse();
    runs
}

/// Outcomes and reasons, e.g. `skipped overlap`, oldest first.
fn ends(roadstead: &Roadstead, job: &str) -> Vec<String> {
    runs(roadstead, &["--job", job])
        .iter()
        .map(|run| {
            let word = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("outcome"), word("reason")).trim().to_owned()
        })
        .collect()
}

#[track_caller]
fn wait_for_ends(roadstead: &Roadstead, job: &str, wanted: &[&str]) {
    let place = std::panic::Location::caller();
    let is_so = || ends(roadstead, job) == wanted;
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        let found = ends(roadstead, job);
        assert!(std::time::Instant::now() < deadline, "{place}: {job}: {found:?}, not {wanted:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

const LONG: &str = "command: [sleep, '100000']\n";

#[test]
fn each_overlap_policy_accounts_for_each_run() {
    let roadstead = installed(&format!(
        "- {{name: skip, overlap: skip, {long}}}\n- {{name: queue, overlap: queue, {long}}}\n\
         - {{name: replace, overlap: replace, {long}}}\n- {{name: allow, overlap: allow, {long}}}\n",
        long = LONG.trim()
    ));
    let daemon = serve(&roadstead);
    let ask = |job: &str| roadstead.run(&["run", job, "--no-wait"]);
    for job in ["skip", "queue", "replace", "allow"] {
        ask(job).ok();
        wait_for_ends(&roadstead, job, &["running"]);
    }
    let said = ask("skip").fails_with(1);
    assert!(said.contains("skipped (overlap)") && said.contains("run 1"), "{said}");
    ask("allow").ok();
    ask("queue").ok();
    assert!(ask("queue").ok().contains("is queued"));
    ask("replace").ok();
    wait_for_ends(&roadstead, "skip", &["running", "skipped overlap"]);
    wait_for_ends(&roadstead, "queue", &["running", "skipped overlap", "queued"]);
    wait_for_ends(&roadstead, "replace", &["cancelled replaced", "running"]);
    wait_for_ends(&roadstead, "allow", &["running", "running"]);

    // One that runs is ended; the one that waits starts in its place, or is ended, too.
    roadstead.run(&["cancel", "2"]).ok();
    wait_for_ends(&roadstead, "queue", &["cancelled requested", "skipped overlap", "running"]);
    ask("queue").ok();
    let said = roadstead.run(&["cancel", "queue"]).ok();
    assert!(said.contains("being ended") && said.contains("no longer waits"), "{said}");
    let cancelled = "cancelled requested";
    wait_for_ends(&roadstead, "queue", &[cancelled, "skipped overlap", cancelled, cancelled]);
    let said = roadstead.run(&["cancel", "queue"]).fails_with(1);
    assert!(said.contains("no run of `queue` goes on or waits"), "{said}");
    let said = roadstead.run(&["cancel", "2"]).fails_with(1);
    assert!(said.contains("has ended already"), "{said}");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    wait_for_ends(&roadstead, "allow", &["cancelled shutdown", "cancelled shutdown"]);
}

#[test]
fn jobs_that_share_a_lock_wait_for_each_other_and_limits_hold() {
    let roadstead = installed_with(
        "AUTODEPLOY_MAX_RUNS_OF_KIND='command=2'",
        &format!(
            "- {{name: one, locks: [db], {long}}}\n- {{name: two, locks: [db], {long}}}\n\
             - {{name: three, {long}}}\n- {{name: four, {long}}}\n",
            long = LONG.trim()
        ),
    );
    let _daemon = serve(&roadstead);
    for job in ["one", "two", "three", "four"] {
        roadstead.run(&["run", job, "--no-wait"]).ok();
    }
    wait_for_ends(&roadstead, "three", &["running"]);
    assert_eq!(ends(&roadstead, "one"), ["running"]);
    assert_eq!(ends(&roadstead, "two"), ["queued"]);
    assert_eq!(ends(&roadstead, "four"), ["queued"]);
    roadstead.run(&["cancel", "one"]).ok();
    wait_for_ends(&roadstead, "two", &["running"]);
    assert_eq!(ends(&roadstead, "four"), ["queued"]);
}

#[test]
fn a_slot_that_cannot_start_in_time_is_missed() {
    let roadstead = installed(&format!(
        "- {{name: holder, locks: [db], {long}}}\n\
         - {{name: late, locks: [db], schedule: '* * * * * *', start_deadline: 1s, overlap: queue, \
         command: ['true']}}\n",
        long = LONG.trim()
    ));
    roadstead.run(&["pause", "late"]).ok();
    let _daemon = serve(&roadstead);
    roadstead.run(&["run", "holder", "--no-wait"]).ok();
    wait_for_ends(&roadstead, "holder", &["running"]);
    roadstead.run(&["resume", "late"]).ok();
    wait_for("a missed slot", PATIENCE, || {
        ends(&roadstead, "late")
            .iter()
            .any(|end| end == "missed deadline" || end == "skipped overlap")
    });
    roadstead.run(&["cancel", "holder"]).ok();
    wait_for("a run in time", PATIENCE, || {
        ends(&roadstead, "late").contains(&"succeeded exited_zero".to_owned())
    });
}

#[test]
fn a_slot_skipped_for_a_run_has_its_own_after_it_within_its_deadline() {
    let job = |name: &str, more: &str| {
        format!(
            "- {{name: {name}, schedule: '* * * * * *', overlap: skip, {more}{}}}\n",
            LONG.trim()
        )
    };
    let roadstead = installed(&format!(
        "{}{}{}",
        job("latest", "start_deadline: 1h, "),
        job("all", "start_deadline: 1h, catch_up: all(2), "),
        job("never", ""),
    ));
    let _daemon = serve(&roadstead);
    for (name, waiting) in [("latest", 0), ("all", 1), ("never", 0)] {
        wait_for("three skipped slots", PATIENCE, || {
            let ends = ends(&roadstead, name);
            ends.iter().filter(|end| *end == "skipped overlap").count() >= 3
        });
        roadstead.run(&["cancel", name]).ok();
        let with = |state: &str| runs(&roadstead, &["--job", name, "--state", state]);
        wait_for("the next run", PATIENCE, || {
            with("cancelled").len() == 1 && with("running").len() == 1
        });
        let (cancelled, running) = (with("cancelled"), with("running"));
        let trigger = if name == "never" { "schedule" } else { "catch_up" };
        assert_eq!(running[0]["trigger"], trigger, "{name}: {running:?}");
        assert_eq!(with("queued").len(), waiting, "{name}");
        // What runs after all is the newest of those skipped before the end; the others stay skipped.
        let at = |run: &Value, key: &str| {
            chrono::DateTime::parse_from_rfc3339(run[key].as_str().unwrap()).unwrap()
        };
        let ended = at(&cancelled[0], "ended");
        let of_job = runs(&roadstead, &["--job", name]);
        let before: Vec<&Value> =
            of_job.iter().filter(|it| it["ended"].is_null() || at(it, "ended") <= ended).collect();
        let states: Vec<&str> = before.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
        let expected: &[&str] = match name {
            "latest" => &["skipped", "running"],
            "all" => &["skipped", "running", "queued"],
            _ => &["skipped", "skipped", "skipped", "running"],
        };
        assert!(states.ends_with(expected), "{name}: {states:?}");
        assert_eq!(states[0], "cancelled", "{name}");
        assert!(states[1..=states.len() - expected.len()].iter().all(|it| *it == "skipped"));
        let slots: std::collections::BTreeSet<_> = of_job.iter().map(|it| at(it, "slot")).collect();
        assert_eq!(slots.len(), of_job.len(), "{name}: one row a slot");
    }
}

#[test]
fn a_group_has_the_locks_of_its_members() {
    let roadstead = installed(&format!(
        "- {{name: holder, locks: [db], {long}}}\n- {{name: member, locks: [db], command: ['true']}}\n\
         - {{name: all, group: [member]}}\n",
        long = LONG.trim()
    ));
    let _daemon = serve(&roadstead);
    roadstead.run(&["run", "holder", "--no-wait"]).ok();
    wait_for_ends(&roadstead, "holder", &["running"]);
    assert!(roadstead.run(&["run", "all", "--no-wait"]).ok().contains("is queued"));
    roadstead.run(&["cancel", "holder"]).ok();
    wait_for("the group", PATIENCE, || {
        ends(&roadstead, "all").first().is_some_and(|end| end.starts_with("succeeded"))
    });
}

/// Hourly, last due half an hour ago: no slot comes while the test runs.
fn half_an_hour_ago() -> (String, i64) {
    let now = Utc::now();
    let slot = (now - chrono::TimeDelta::minutes(30)).with_second(0).unwrap();
    let slot = slot.with_nanosecond(0).unwrap();
    (format!("{} * * * *", slot.minute()), slot.timestamp_millis())
}

/// Makes the store say that the job's newest slot is this one.
pub(crate) fn pretend_slot(roadstead: &Roadstead, job: &str, slot: i64) {
    let store = rusqlite::Connection::open(roadstead.path("state/roadstead.db")).unwrap();
    let sql = "INSERT INTO runs (job, trigger, slot, started, ended, outcome, reason) \
               VALUES (?1, 'schedule', ?2, ?2, ?2, 'succeeded', 'exited_zero')";
    store.execute(sql, rusqlite::params![job, slot]).unwrap();
}

#[test]
fn downtime_is_caught_up_with_as_each_job_says() {
    let (schedule, slot) = half_an_hour_ago();
    let job = |name: &str, catch_up: &str| {
        format!(
            "- {{name: {name}, schedule: '{schedule}', catch_up: {catch_up}, command: ['true']}}\n"
        )
    };
    let all = ["none", "latest", "all(3)"].map(|it| job(it.split('(').next().unwrap(), it));
    let roadstead = installed(&all.concat());
    // Makes the store.
    roadstead.run(&["pause", "none"]).ok();
    roadstead.run(&["resume", "none"]).ok();
    let hour = 3_600_000;
    for job in ["none", "latest", "all"] {
        pretend_slot(&roadstead, job, slot - 5 * hour);
    }
    let daemon = serve(&roadstead);
    let (ran, missed) = ("succeeded exited_zero", "missed not_serving");
    wait_for_ends(&roadstead, "none", &[ran, missed, missed, missed, missed, missed]);
    wait_for_ends(&roadstead, "latest", &[ran, missed, missed, missed, missed, ran]);
    wait_for_ends(&roadstead, "all", &[ran, missed, missed, ran, ran, ran]);
    for job in ["none", "latest", "all"] {
        let runs = runs(&roadstead, &["--job", job]);
        let slots: Vec<&str> = runs.iter().map(|run| run["slot"].as_str().unwrap()).collect();
        assert!(slots.is_sorted() && slots.len() == 6, "{slots:?}");
        let started: Vec<&str> = runs.iter().map(|run| run["started"].as_str().unwrap()).collect();
        assert!(started.is_sorted(), "{started:?}");
    }
    let caught_up = runs(&roadstead, &["--trigger", "catch_up"]);
    assert_eq!(caught_up.len(), 4);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // Once is enough.
    let daemon = serve(&roadstead);
    assert_eq!(runs(&roadstead, &[]).len(), 18);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn many_missed_slots_are_counted_in_one_row() {
    let roadstead =
        installed("- {name: tick, schedule: '@every 1m', catch_up: none, command: ['true']}\n");
    roadstead.run(&["pause", "tick"]).ok();
    roadstead.run(&["resume", "tick"]).ok();
    let days_ago = Utc::now().timestamp() / 60 * 60 - 10 * 86_400;
    pretend_slot(&roadstead, "tick", days_ago * 1000);
    let _daemon = serve(&roadstead);
    let missed = runs(&roadstead, &["--job", "tick", "--state", "missed"]);
    assert_eq!(missed.len(), 100);
    let message = missed[0]["message"].as_str().unwrap();
    assert!(message.contains("so were 14") && message.contains("slots before it"), "{message}");
}

#[test]
fn a_pause_holds_over_a_restart_and_a_person_still_runs_the_job() {
    let roadstead = installed(
        "- {name: tick, schedule: '@every 1s', command: ['true']}\n- {name: other, command: ['true']}\n",
    );
    // Nobody serves: it is written for the one who will.
    let said = roadstead.run(&["pause", "tick", "--reason", "disk is full"]).ok();
    assert!(said.contains("paused: tick"), "{said}");
    roadstead.run(&["pause", "nothing"]).fails_with(2);
    let daemon = roadstead.serve();
    wait_for("a skipped slot", PATIENCE, || {
        ends(&roadstead, "tick").contains(&"skipped paused".to_owned())
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    let before = ends(&roadstead, "tick").len();
    let daemon = roadstead.serve();
    wait_for("another skipped slot", PATIENCE, || ends(&roadstead, "tick").len() > before);
    assert!(ends(&roadstead, "tick").iter().all(|end| end == "skipped paused"));
    let jobs: Vec<Value> = serde_json::from_str(&roadstead.run(&["jobs", "--json"]).ok()).unwrap();
    let tick = jobs.iter().find(|job| job["name"] == "tick").unwrap();
    assert_eq!(
        (&tick["state"], &tick["paused"]["reason"]),
        (&"paused".into(), &"disk is full".into())
    );
    let said = roadstead.run(&["run", "tick"]).ok();
    assert!(said.contains("succeeded"), "{said}");
    roadstead.run(&["resume", "tick"]).ok();
    wait_for("a run", PATIENCE, || {
        !runs(&roadstead, &["--job", "tick", "--state", "succeeded", "--trigger", "schedule"])
            .is_empty()
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn the_newest_slot_of_a_pause_runs_after_it_within_its_deadline() {
    let (schedule, slot) = half_an_hour_ago();
    let job = |name: &str, more: &str| {
        format!("- {{name: {name}, schedule: '{schedule}', {more}, command: ['true']}}\n")
    };
    let roadstead = installed(&format!(
        "{}{}{}{}",
        job("latest", "start_deadline: 1h"),
        job("all", "start_deadline: 3h, catch_up: all(3)"),
        job("none", "start_deadline: 1h, catch_up: none"),
        job("never", "catch_up: latest"),
    ));
    roadstead.run(&["pause", "--all"]).ok();
    let hour = 3_600_000;
    for job in ["latest", "all", "none", "never"] {
        pretend_slot(&roadstead, job, slot - 4 * hour);
    }
    let daemon = serve(&roadstead);
    let (ran, missed, paused) = ("succeeded exited_zero", "missed not_serving", "skipped paused");
    wait_for_ends(&roadstead, "latest", &[ran, missed, missed, missed, paused]);
    wait_for_ends(&roadstead, "all", &[ran, missed, paused, paused, paused]);
    wait_for_ends(&roadstead, "none", &[ran, missed, missed, missed, missed]);
    wait_for_ends(&roadstead, "never", &[ran, missed, missed, missed, paused]);
    roadstead.run(&["resume", "--all"]).ok();
    wait_for_ends(&roadstead, "latest", &[ran, missed, missed, missed, ran]);
    wait_for_ends(&roadstead, "all", &[ran, missed, paused, paused, ran]);
    assert_eq!(runs(&roadstead, &["--trigger", "catch_up", "--state", "succeeded"]).len(), 2);
    // Once is enough, and nothing of the others is owed.
    roadstead.run(&["pause", "--all"]).ok();
    roadstead.run(&["resume", "--all"]).ok();
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // Nobody serves: the next start does what the resumption is due.
    let sql =
        "UPDATE runs SET outcome = 'skipped', reason = 'paused' WHERE job = 'latest' AND slot = ?1";
    let store = rusqlite::Connection::open(roadstead.path("state/roadstead.db")).unwrap();
    store.execute(sql, [slot]).unwrap();
    let sql = "DELETE FROM transitions WHERE state IN ('starting', 'running')";
    store.execute(sql, []).unwrap();
    drop(store);
    let daemon = serve(&roadstead);
    wait_for_ends(&roadstead, "latest", &[ran, missed, missed, missed, ran]);
    wait_for_ends(&roadstead, "never", &[ran, missed, missed, missed, paused]);
    assert_eq!(runs(&roadstead, &["--trigger", "catch_up", "--state", "succeeded"]).len(), 2);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_pause_of_all_jobs_holds_for_those_that_come_later() {
    let roadstead = installed("- {name: other, command: ['true']}\n");
    let daemon = serve(&roadstead);
    roadstead.run(&["pause", "--all", "--reason", "a move"]).ok();
    let tick = "- {name: tick, schedule: '@every 1s', command: ['true']}\n";
    roadstead.write_job("later.yml", tick);
    wait_for("a skipped slot", PATIENCE, || {
        ends(&roadstead, "tick").contains(&"skipped paused".to_owned())
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    let before = ends(&roadstead, "tick").len();
    let daemon = serve(&roadstead);
    wait_for("another skipped slot", PATIENCE, || ends(&roadstead, "tick").len() > before);
    assert!(ends(&roadstead, "tick").iter().all(|end| end == "skipped paused"));
    let jobs: Vec<Value> = serde_json::from_str(&roadstead.run(&["jobs", "--json"]).ok()).unwrap();
    assert!(jobs.iter().all(|job| job["paused"]["reason"] == "a move"), "{jobs:?}");
    // For one of them alone it does not end; a person still runs it.
    let said = roadstead.run(&["resume", "tick"]).fails_with(1);
    assert!(said.contains("resume --all"), "{said}");
    roadstead.run(&["run", "other"]).ok();
    // The pause of one outlives nothing: `--all` ends it, too.
    roadstead.run(&["pause", "other"]).ok();
    let said = roadstead.run(&["resume", "--all"]).ok();
    assert!(said.contains("all jobs") && said.contains("other"), "{said}");
    wait_for("a run", PATIENCE, || {
        ends(&roadstead, "tick").contains(&"succeeded exited_zero".to_owned())
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // Nobody serves: it is written for the one who will.
    roadstead.run(&["pause", "--all"]).ok();
    let said = roadstead.run(&["jobs"]).ok();
    assert_eq!(said.matches("paused").count(), 2, "{said}");
    let said = roadstead.run(&["resume", "--all"]).ok();
    assert_eq!(said.trim(), "resumed: all jobs");
    let said = roadstead.run(&["resume", "--all"]).ok();
    assert_eq!(said.trim(), "nothing was paused");
}

#[test]
fn tries_belong_to_one_run_and_a_timeout_covers_them_all() {
    let roadstead = installed("");
    let count = roadstead.path("count");
    let script = format!("echo x >> {0}; test $(wc -l < {0}) -ge 3", count.display());
    roadstead.write_job(
        "jobs.yml",
        &format!(
            "- {{name: third, retry: {{max: 3, backoff: 10ms}}, command: [sh, -c, '{}']}}\n\
             - {{name: never, retry: {{max: 1, backoff: 10ms}}, command: ['false']}}\n\
             - {{name: slow, timeout: 1s, retry: {{max: 5, backoff: 10ms}}, command: [sleep, '100000']}}\n",
            script.replace('$', "$$")
        ),
    );
    let _daemon = serve(&roadstead);
    roadstead.run(&["run", "third"]).ok();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", "1", "--json"]).ok()).unwrap();
    let steps = run["steps"].as_array().unwrap();
    let tries: Vec<_> = steps
        .iter()
        .filter(|step| step["name"].as_str().unwrap().starts_with("try "))
        .map(|step| (step["name"].as_str().unwrap(), step["error"].is_null()))
        .collect();
    assert_eq!(tries, [("try 1 of 4", false), ("try 2 of 4", false), ("try 3 of 4", true)]);
    let states: Vec<_> = run["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["queued", "starting", "running", "succeeded"]);
    roadstead.run(&["run", "never"]).fails_with(1);
    let said = roadstead.run(&["run", "slow"]).stdout;
    assert!(said.contains("timed_out (timed_out)"), "{said}");
    assert_eq!(ends(&roadstead, "never"), ["failed exited_non_zero"]);
    assert_eq!(ends(&roadstead, "slow"), ["timed_out timed_out"]);

    // As a job of a group, too; the group itself has one try.
    std::fs::remove_file(&count).unwrap();
    let text = std::fs::read_to_string(roadstead.path("jobs/jobs.yml")).unwrap();
    let groups = "- {name: good, group: [third]}\n- {name: bad, group: [inner, third]}\n\
                  - {name: inner, retry: {max: 1, backoff: 10ms}, group: [never]}\n";
    roadstead.write_job("jobs.yml", &format!("{text}{groups}"));
    roadstead.run(&["run", "good"]).ok();
    let log = roadstead.run(&["logs", "good"]).ok();
    assert!(log.contains("try 3 of 4") && !log.contains("try 4 of 4"), "{log}");
    assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 3);
    let said = roadstead.run(&["run", "bad"]).fails_with(1);
    assert!(said.contains("not run: third"), "{said}");
    let log = roadstead.run(&["logs", "bad"]).ok();
    assert_eq!(log.matches("never: try 2 of 2").count(), 2, "{log}");
    assert_eq!(log.matches("inner: try 2 of 2").count(), 1, "{log}");
}

#[test]
fn one_run_follows_from_another_unless_it_is_paused() {
    let roadstead = installed(
        "- {name: good, command: ['true']}\n- {name: bad, command: ['false']}\n\
         - {name: after-good, after: good, command: ['true']}\n\
         - {name: after-bad, after: {job: bad, on: failure}, command: ['true']}\n\
         - {name: not-after-bad, after: bad, command: ['true']}\n\
         - {name: after-all, overlap: allow, after: [{job: after-good, on: finish}, {job: bad, on: finish}], command: ['true']}\n\
         - {name: paused, after: good, command: ['true']}\n",
    );
    roadstead.run(&["pause", "paused"]).ok();
    let _daemon = serve(&roadstead);
    roadstead.run(&["run", "good"]).ok();
    roadstead.run(&["run", "bad"]).fails_with(1);
    let ran = "succeeded exited_zero";
    wait_for_ends(&roadstead, "after-good", &[ran]);
    wait_for_ends(&roadstead, "after-bad", &[ran]);
    wait_for_ends(&roadstead, "after-all", &[ran, ran]);
    wait_for_ends(&roadstead, "paused", &["skipped paused"]);
    assert_eq!(ends(&roadstead, "not-after-bad").len(), 0);
    let after = runs(&roadstead, &["--trigger", "after"]);
    assert_eq!(after.len(), 5);
}

#[test]
fn webhooks_and_files_set_jobs_off() {
    let roadstead = installed("");
    let file = roadstead.path("arrived.csv");
    roadstead.write_job(
        "jobs.yml",
        &format!(
            "- {{name: hooked, on: ['webhook:data-arrived'], command: ['true']}}\n\
             - {{name: watching, on: ['file:{}'], command: ['true']}}\n",
            file.display()
        ),
    );
    let _daemon = serve(&roadstead);
    let said = roadstead.run(&["event", "data-arrived"]).ok();
    assert!(said.contains("hooked"), "{said}");
    wait_for_ends(&roadstead, "hooked", &["succeeded exited_zero"]);
    let said = roadstead.run(&["event", "data-arived"]).fails_with(1);
    assert!(said.contains("did you mean `data-arrived`"), "{said}");
    // The first look is what later ones are compared with.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(ends(&roadstead, "watching").len(), 0);
    std::fs::write(&file, "one,two\n").unwrap();
    wait_for_ends(&roadstead, "watching", &["succeeded exited_zero"]);
    assert_eq!(runs(&roadstead, &["--trigger", "file"]).len(), 1);
    assert_eq!(runs(&roadstead, &["--trigger", "webhook", "--kind", "command"]).len(), 1);
}

#[test]
fn what_happens_to_a_container_sets_jobs_off() {
    let engine = Engine::shared();
    let name = unique("watched");
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_ALLOW_COMMANDS=true");
    roadstead.write_job(
        "jobs.yml",
        &format!(
            "- {{name: on-start, on: ['container_started:{name}'], command: ['true']}}\n\
             - {{name: on-end, on: ['container_died:{name}'], command: ['true']}}\n"
        ),
    );
    let _daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    engine.docker(&["run", "--detach", "--name", &name, "rs-test/app:1", "sleep", "100000"]);
    wait_for_ends(&roadstead, "on-start", &["succeeded exited_zero"]);
    assert_eq!(ends(&roadstead, "on-end").len(), 0);
    engine.docker(&["rm", "--force", &name]);
    wait_for_ends(&roadstead, "on-end", &["succeeded exited_zero"]);
    assert_eq!(runs(&roadstead, &["--trigger", "container"]).len(), 2);
}

#[test]
fn a_changed_job_file_is_taken_over_and_a_broken_one_changes_nothing() {
    let roadstead = installed("- {name: first, schedule: '@every 1s', command: ['true']}\n");
    let daemon = serve(&roadstead);
    wait_for("the first", PATIENCE, || !ends(&roadstead, "first").is_empty());
    roadstead.write_job("jobs.yml", "- {name: first, schedule: '@every 1s', command: ['tr");
    wait_for("the complaint", PATIENCE, || daemon.console().contains("jobs.yml"));
    let before = ends(&roadstead, "first").len();
    wait_for("the old job", PATIENCE, || ends(&roadstead, "first").len() > before);
    roadstead.write_job("jobs.yml", "- {name: second, schedule: '@every 1s', command: ['true']}\n");
    wait_for("the second", PATIENCE, || {
        !runs(&roadstead, &["--state", "succeeded"]).iter().all(|run| run["job"] == "first")
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_configuration_that_takes_long_to_read_is_taken_over_when_it_is_read() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let roadstead = installed("- {name: first, schedule: '@every 1s', command: ['true']}\n");
    let daemon = serve(&roadstead);
    wait_for("the first", PATIENCE, || daemon.console().contains("job first"));
    // A file whose reader waits until somebody writes.
    let slow = roadstead.path("jobs/slow.yml");
    mknodat(CWD, &slow, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    wait_for("the complaint", PATIENCE, || daemon.console().contains("takes longer than 10 s"));
    let log = || roadstead.log("first").matches("succeeded").count();
    let before = log();
    wait_for("jobs to go on meanwhile", PATIENCE, || log() > before + 1);
    std::fs::write(&slow, "{name: late, command: ['true']}\n").unwrap();
    wait_for("the second", PATIENCE, || daemon.console().contains("job late (command)"));
    // It may wait for somebody to write again.
    daemon.kill();
}

#[test]
fn wrong_words_are_answered_with_the_right_ones() {
    let roadstead = installed("- {name: web, command: ['true']}\n");
    for (arguments, code, wanted) in [
        (&["runs", "--state", "faild"][..], 2, "did you mean `failed`?"),
        (&["runs", "--trigger", "x"], 2, "expected one of schedule, startup"),
        (&["runs", "--kind", "comand"], 2, "did you mean `command`?"),
        (&["runs", "--since", "yesterday"], 2, "how long ago"),
        (&["pause", "wep"], 2, "did you mean `web`?"),
        (&["resume", "wep"], 2, "did you mean `web`?"),
        (&["cancel", "web"], 1, "there is nobody to ask"),
        (&["event", "x"], 1, "there is nobody to ask"),
        (&["run", "web", "--no-wait"], 1, "leave out --no-wait"),
    ] {
        let said = roadstead.run(arguments).fails_with(code);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}
