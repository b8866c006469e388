//! More of backups: two that make one repository at once, a worker that is told to end or killed, and runs
//! of the daemon that a person ends, that are in a group, or that somebody watches.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives programs, waits for them, and fails loudly"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use roadstead::backup::protocol::{Access, Failure, Frame, Holder, Operation, Request};
use roadstead::control::{Call, Reply, Request as Asked};
use serde_json::Value;

use crate::backup::Site;
use crate::support::rest_server::RestServer;
use crate::support::scene::PATIENCE;
use crate::support::worker::{
    Worker, at, backup_of, directory, done, failed, label, noise, restic_checks, snapshots,
};
use crate::support::{process, unique, wait_for};

/// How often two begin at once.
const ROUNDS: usize = 12;

/// Has two workers make a repository at once; both store a snapshot in the one that there is then.
fn two_make(access: &Access, tree: &Path) {
    let start = || Worker::start(access, &backup_of(&[tree]));
    let mut workers = [start(), start()];
    for worker in &mut workers {
        worker.ready();
        worker.send(Frame::Go, b"");
    }
    let ends: Vec<_> = workers.iter_mut().map(Worker::end).collect();
    let made = ends.iter().filter(|end| end.as_ref().is_ok_and(|it| it.made)).count();
    assert_eq!(made, 1, "{ends:?}");
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    assert_eq!(snapshots(access).len(), 2);
}

#[test]
fn two_that_make_one_repository_at_once_make_one() {
    let place = tempfile::tempdir().unwrap();
    let tree = place.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), noise(1, 10_000)).unwrap();
    for round in 0..ROUNDS {
        let repository = place.path().join(round.to_string());
        two_make(&directory(&repository), &tree);
        assert_eq!(fs::read_dir(repository.join("keys")).unwrap().count(), 1);
        let top = fs::read_dir(&repository).unwrap().map(|it| it.unwrap().file_name());
        assert!(!top.into_iter().any(|it| it.to_string_lossy().contains("tmp")));
        if round % 4 == 0 {
            restic_checks(&repository.display().to_string());
        }
    }
    for _ in 0..ROUNDS / 2 {
        let server = RestServer::start();
        let access = at(roadstead::job::work::Location::Rest(server.url("")));
        two_make(&access, &tree);
        assert_eq!(server.files("keys"), 1);
    }
}

#[test]
fn a_worker_that_is_told_to_terminate_gives_its_lock_back() {
    let place = tempfile::tempdir().unwrap();
    let access = directory(&place.path().join("repository"));
    let tree = place.path().join("tree");
    fs::create_dir(&tree).unwrap();
    done(&access, &backup_of(&[&tree]));
    let locks = || fs::read_dir(place.path().join("repository/locks")).unwrap().count();
    let mut worker = Worker::start(&access, &backup_of(&[&tree]));
    worker.ready();
    assert_eq!(locks(), 1);
    let pid = worker.child.id().to_string();
    process::output(Command::new("kill").args(["-TERM", &pid])).ok();
    let (class, message) = worker.end().unwrap_err();
    assert_eq!(class, Failure::Stopped, "{message}");
    assert_eq!(locks(), 0);

    // One that is killed leaves it, and what is said names the way out.
    let mut worker = Worker::start(&access, &backup_of(&[&tree]));
    worker.ready();
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    assert_eq!(locks(), 1);
    let (class, message) = failed(&access, &Operation::Prune { dry_run: false });
    assert_eq!(class, Failure::Locked);
    assert!(message.contains("is passed over from"), "{message}");
    done(&access, &Operation::Unlock { all: true });
    done(&access, &Operation::Prune { dry_run: false });
}

#[test]
fn who_knows_that_a_worker_is_gone_is_not_kept_out_by_its_lock() {
    let place = tempfile::tempdir().unwrap();
    let access = directory(&place.path().join("repository"));
    let tree = place.path().join("tree");
    fs::create_dir(&tree).unwrap();
    done(&access, &backup_of(&[&tree]));
    let now = || chrono::Utc::now().timestamp_millis();
    let holder = |container: &str, others: &[&str]| Holder {
        engine: "engine".to_owned(),
        container: container.to_owned(),
        others: others.iter().map(|it| (*it).to_owned()).collect(),
        asked: now(),
    };
    let with = |operation: Operation, holder: Holder| {
        Worker::ask(&Request { repository: access.clone(), operation, holder: Some(holder) })
    };
    let mut worker = with(backup_of(&[&tree]), holder("first", &[]));
    worker.ready();
    let prune = || Operation::Prune { dry_run: false };
    let (class, message) = with(prune(), holder("second", &["first"])).end().unwrap_err();
    assert_eq!(class, Failure::Locked, "{message}");
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    with(prune(), holder("second", &[])).end().unwrap();
    assert_eq!(fs::read_dir(place.path().join("repository/locks")).unwrap().count(), 0);
}

/// The last run of any job, as it is recorded.
fn last_run_of(site: &Site, job: &str) -> Value {
    let runs = site.roadstead.run(&["runs", job, "--json"]).ok();
    let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
    let run = site.roadstead.run(&["runs", &runs[0]["id"].to_string(), "--json"]).ok();
    serde_json::from_str(&run).unwrap()
}

fn locks(site: &Site) -> usize {
    fs::read_dir(site.roadstead.path("repository/locks")).unwrap().count()
}

#[test]
fn a_worker_that_is_killed_does_not_lock_out_the_next_run() {
    let mut site = Site::new();
    site.write_job(&site.of_volume(), "");
    site.run().ok();
    let slow = site.container("slow", &[]);
    let what = format!(
        "{}  quiesce: {{how: exec, targets: [{slow}], before: [sh, -c, 'touch /still; sleep 1000']}}\n",
        site.of_volume()
    );
    site.write_job(&what, "");
    let daemon = site.serve_and_run();
    // A worker that dies before it has said that it is ready ends the run by itself.
    wait_for("the window", PATIENCE, || {
        site.engine.try_docker(&["exec", &slow, "test", "-e", "/still"]).code == Some(0)
    });
    assert_eq!(locks(&site), 1);
    let worker = site.workers().split(' ').next().unwrap().to_owned();
    site.engine.docker(&["kill", "--signal", "KILL", &worker]);
    // The command before is ended with the run.
    site.roadstead.run(&["cancel", &site.job]).ok();
    wait_for("the end of the run", PATIENCE, || site.has_ended());
    assert_eq!(locks(&site), 1, "a killed worker leaves its lock");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // One that needs the repository to itself.
    let said = site.roadstead.run(&["backup", "prune", &site.job]).ok();
    assert!(said.contains("freed"), "{said}");
    assert_eq!(locks(&site), 0);
}

#[test]
fn a_person_cancels_a_backup_and_writers_run_again() {
    for how in ["stop", "pause"] {
        let mut site = Site::new();
        site.write_job(&site.of_volume(), "");
        site.run().ok();
        let (first, second) = (site.container("a", &[]), site.container("b", &[]));
        site.engine.docker(&["exec", &second, "touch", "/slow"]);
        let what = format!(
            "{}  quiesce:\n    how: {how}\n    before: [sh, -c, 'if test -e /slow; then sleep 1000; fi']\n",
            site.of_volume()
        );
        site.write_job(&what, "");
        let meanwhile = if how == "stop" { "exited" } else { "paused" };
        let daemon = site.serve_and_run();
        wait_for("the window", PATIENCE, || site.state(&first) == meanwhile);
        site.roadstead.run(&["cancel", &site.job]).ok();
        wait_for("the end of the run", PATIENCE, || site.has_ended());
        let run = site.last_run();
        assert_eq!((&run["outcome"], &run["reason"]), (&"cancelled".into(), &"requested".into()));
        assert_eq!((site.state(&first), site.state(&second)), ("running".into(), "running".into()));
        assert_eq!((locks(&site), site.workers()), (0, String::new()), "{how}");
        assert_eq!(site.snapshots().len(), 1);
        assert_eq!(daemon.stop(PATIENCE), Some(0));
    }
}

#[test]
fn a_backup_in_a_group_is_accounted_for_in_its_run() {
    let mut site = Site::new();
    let writer = site.container("writer", &[]);
    site.write_job(&format!("{}  quiesce: stop\n", site.of_volume()), "");
    let (group, prune) = (unique("group"), unique("prune"));
    let keep = format!(
        "name: {prune}\nbackup_prune:\n{}  keep: {{last: 1}}\n  of: [{}]\n",
        site.repository(),
        site.job
    );
    site.roadstead.write_job("prune.yml", &keep);
    let text = format!("name: {group}\ngroup: [{}, {prune}]\n", site.job);
    site.roadstead.write_job("group.yml", &text);
    let before = site.started(&writer);
    let daemon = site.roadstead.serve();
    wait_for("the daemon", PATIENCE, || site.roadstead.run(&["health"]).code == Some(0));
    for _ in 0..2 {
        site.roadstead.run(&["run", &group]).ok();
    }
    assert!(site.started(&writer) != before && site.state(&writer) == "running");
    let run = last_run_of(&site, &group);
    assert_eq!(run["outcome"], "succeeded", "{run}");
    let members = &run["details"]["results"]["members"];
    let of_backup = &members[&site.job]["results"];
    assert_eq!(of_backup["snapshots"][0]["id"], site.snapshots()[0]["id"], "{run}");
    assert_eq!(members[&prune]["results"]["forgotten"].as_array().map(Vec::len), Some(1), "{run}");
    assert_eq!((site.snapshots().len(), locks(&site), site.workers()), (1, 0, String::new()));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn only_the_snapshots_of_the_jobs_that_are_named_are_forgotten() {
    let site = Site::new();
    site.write_job(&site.of_volume(), "");
    let access = directory(&site.roadstead.path("repository"));
    let access = Access { password: "a good password".to_owned(), ..access };
    site.run().ok();
    site.run().ok();
    // Those of somebody else.
    for _ in 0..2 {
        let operation = backup_of(&[&site.roadstead.path("password")]);
        let Operation::Backup { paths, exclude, exclude_caches, dry_run, .. } = operation else {
            panic!("a backup");
        };
        let label = label("other");
        done(&access, &Operation::Backup { paths, exclude, exclude_caches, label, dry_run });
    }
    let prune = unique("prune");
    let write = |of: &str| {
        let text =
            format!("name: {prune}\nbackup_prune:\n{}  keep: {{last: 1}}\n{of}", site.repository());
        site.roadstead.write_job("prune.yml", &text);
    };
    write(&format!("  of: [{}, gone]\n", site.job));
    let plan = site.roadstead.run(&["plan", &prune]).fails_with(3);
    assert!(plan.contains(&format!("of {}, gone", site.job)), "{plan}");
    let said = site.roadstead.run(&["run", &prune]).ok();
    assert!(said.contains("1 snapshots forgotten and 1 kept"), "{said}");
    assert_eq!((site.snapshots().len(), snapshots(&access).len()), (1, 3));
    write("");
    let said = site.roadstead.run(&["backup", "prune", &prune]).ok();
    assert!(said.contains("1 snapshots forgotten"), "{said}");
    assert_eq!(snapshots(&access).len(), 2);
}

#[test]
fn how_far_a_run_is_is_told_to_who_asks_and_shown_on_a_terminal() {
    let site = Site::new();
    site.in_volume(&site.volume, "head -c 150000000 /dev/urandom > /data/large");
    site.write_job(&site.of_volume(), "");
    let daemon = site.roadstead.serve();
    wait_for("the daemon", PATIENCE, || site.roadstead.run(&["health"]).code == Some(0));
    let command = site.roadstead.command(&["run", &site.job]);
    let quoted: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|it| format!("'{}'", it.to_string_lossy()))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &quoted.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        terminal.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        terminal.current_dir(directory);
    }
    let terminal = terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = site.roadstead.path("state");
    let ask = |asked: Asked| {
        runtime.block_on(async {
            let mut call = Call::place(&state, &asked).await.unwrap().unwrap();
            call.next().await.unwrap()
        })
    };
    wait_for("the run", PATIENCE, || {
        site.roadstead.run(&["runs", &site.job, "--json"]).ok().contains("running")
    });
    let run = site.last_run()["id"].as_i64().unwrap();
    wait_for("progress", PATIENCE, || match ask(Asked::Progress { run }) {
        Reply::Progress { progress: Some(progress) } => {
            progress.what == "backup" && progress.done > 0
        }
        Reply::Progress { progress: None } => false,
        other => panic!("{other:?}"),
    });
    let ended = terminal.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{shown}");
    assert!(shown.contains("\x1b[2Kbackup  "), "{shown}");
    assert_eq!(ask(Asked::Progress { run }), Reply::Progress { progress: None });
    // On a pipe there is nothing of it.
    let piped = site.run();
    assert!(!piped.stderr.contains("\x1b[2K") && !piped.stdout.contains("\x1b[2K"));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn check_tells_what_is_wrong_with_every_job_file() {
    let site = Site::new();
    site.write_job(&site.of_volume(), "");
    let repository = site.repository();
    for (file, text) in [
        ("a.yml", format!("name: a\nbackup:\n{repository}  volume: [x]\n  quiesce: halt\n")),
        ("b.yml", format!("name: b\nbackup_check:\n{repository}  read_in: often\n")),
    ] {
        site.roadstead.write_job(file, &text);
    }
    let said = site.roadstead.run(&["check"]).fails_with(2);
    for says in ["a.yml:5", "`volume`", "a.yml:6", "halt", "b.yml:5", "often"] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(!said.contains("job.yml"), "{said}");
}
