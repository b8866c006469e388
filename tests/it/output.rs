//! What runs write, and whom they tell: the real binary, real containers, real receivers.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a file that cannot be read or mounted fails the test"
)]

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::process::output;
use crate::support::receiver::Receiver;
use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, unique, wait_for};

/// An installation with one job that runs a shell script.
fn installed(name: &str, env_local: &str, script: &str, more: &str) -> Roadstead {
    let env_local = format!("AUTODEPLOY_TIMEZONE=UTC\n{env_local}");
    let roadstead = Roadstead::new(&Engine::shared().host(), &env_local);
    let script: Vec<_> = script.lines().map(str::trim).collect();
    let script = script.join("\n        ");
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: {name}\n{more}run:\n  image: rs-test/app:1\n  environment: {{PW: '${{DB_PASSWORD:-}}'}}\n  \
             command:\n    - sh\n    - -c\n    - |\n        {script}\n"
        ),
    );
    roadstead
}

fn run_file(roadstead: &Roadstead, job: &str, run: u32) -> PathBuf {
    roadstead.path("log").join(format!("runs/{job}/{run}.log"))
}

/// Stream and text of each line of a run's file.
fn lines(roadstead: &Roadstead, job: &str, run: u32) -> Vec<String> {
    let text = std::fs::read_to_string(run_file(roadstead, job, run)).unwrap_or_default();
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

fn wait_until_healthy(roadstead: &Roadstead) {
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
}

#[test]
fn output_of_a_run_is_readable_and_keeps_its_secrets() {
    let name = unique("output");
    let script = r"echo one; sleep 0.2; echo two >&2; sleep 0.2
                   printf '\033[31mred\033[0m caf\351 \000.\n'
                   for i in 1 2 3 4 5; do printf '%s0%%\r' $$i; done; printf 'done\n'
                   echo $$PW; sleep 0.2; printf 'no end'";
    let roadstead = installed(&name, "DB_PASSWORD=hunter2-and-more", script, "");
    roadstead.run(&["run", &name]).ok();
    let wanted =
        ["out one", "err two", "out red caf\\xe9 \\x00.", "out done", "out ***", "out no end"];
    assert_eq!(lines(&roadstead, &name, 1), wanted);
    let job = roadstead.log(&name);
    let in_job: Vec<_> = job.lines().filter_map(|line| line.strip_prefix("run 1 | ")).collect();
    assert_eq!(in_job, wanted.map(|line| &line[4..]));
    for file in walk(&roadstead.path("log")).iter().chain(&walk(&roadstead.path("state"))) {
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(7).any(|it| it == b"hunter2");
        assert!(!found, "the secret is in {}", file.display());
    }
    // As they wrote it, and as a story with what happened around it.
    let plain = roadstead.run(&["logs", "--output", "1"]).ok();
    assert_eq!(plain, wanted.map(|line| &line[4..]).join("\n"));
    let story = roadstead.run(&["logs", "1"]).ok();
    let (began, ended) = (story.find("started from").unwrap(), story.find("succeeded (").unwrap());
    let (one, last) = (story.find("out | one").unwrap(), story.find("out | no end").unwrap());
    assert!(began < one && one < last && last < ended, "{story}");
    assert!(story.contains("err | two"), "{story}");
    let objects = roadstead.run(&["logs", "1", "--json", "--output"]).ok();
    let second: Value = serde_json::from_str(objects.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&second["stream"], &second["message"], &second["run"]),
        (&"err".into(), &"two".into(), &1.into())
    );
    assert_eq!(roadstead.run(&["logs", "1", "--output", "-n", "1"]).ok(), "no end");
    assert_eq!(roadstead.run(&["logs", "1", "--since", "2099-01-01T00:00:00Z"]).ok(), "");
    // Several at once, each line with its job.
    let both = roadstead.run(&["logs", &name, "roadstead"]).ok();
    assert!(both.contains(&format!("{name} | run 1 | one")), "{both}");
    assert!(both.contains("roadstead | "), "{both}");
}

/// The most memory that a process ever had, in kB.
fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

// As much as an unoptimised program writes soon; `make bench` has a gigabyte of each.
#[test]
fn a_flood_of_any_shape_passes_through_a_small_daemon() {
    // What is repeated, how often, and whether each ends a line.
    let rows = [
        ("long", "0123456789".repeat(100), 150_000, true),
        ("short", "a small line of thirty bytes..".to_owned(), 600_000, true),
        ("endless", "0123456789".repeat(100), 50_000, false),
    ];
    for (shape, text, count, ends_lines) in rows {
        let name = unique(shape);
        let pipe = if ends_lines { "" } else { " | tr -d '\\n'" };
        let script = format!("yes '{text}' | head -n {count}{pipe}; echo the end");
        let settings = "AUTODEPLOY_LOG_COMPRESS=false\nAUTODEPLOY_LOG_KEEP=1";
        let roadstead = installed(&name, settings, &script, "");
        let daemon = roadstead.serve();
        wait_until_healthy(&roadstead);
        // Pages of an unoptimised program count, too: what matters is by how much it grows.
        let before_kb = peak_kb(daemon.pid());
        roadstead.run(&["run", &name]).ok();
        let after_kb = peak_kb(daemon.pid());
        assert!(after_kb < before_kb + 40_000, "{shape}: from {before_kb} to {after_kb} kB");
        assert_eq!(daemon.stop(PATIENCE), Some(0));
        // Each byte is there, in order, and nothing else.
        let written = std::fs::read_to_string(run_file(&roadstead, &name, 1)).unwrap();
        let mut expected = std::iter::repeat_n(text.as_str(), count);
        let mut joined = String::new();
        for line in written.lines() {
            let (_, line) = line.split_once(' ').unwrap();
            if ends_lines && joined.is_empty() && !line.ends_with("the end") {
                assert_eq!(line.strip_prefix("out "), expected.next(), "{shape}");
            } else {
                joined.push_str(line.split_once(' ').unwrap().1);
            }
        }
        let rest: String = expected.collect();
        assert!(joined == format!("{rest}the end"), "{shape}: {} bytes of rest", joined.len());
    }
}

#[test]
fn a_full_disk_costs_lines_and_no_run() {
    let name = unique("full");
    let script = "yes 0123456789 | head -n 100000; exit 3";
    let roadstead = installed(&name, "", script, "");
    let log = roadstead.path("log");
    let path = log.to_str().unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", path];
    output(Command::new("mount").args(mount)).ok();
    let ended = roadstead.run(&["run", &name]);
    let written = std::fs::metadata(run_file(&roadstead, &name, 1)).map(|it| it.len());
    output(Command::new("umount").args(["--lazy", path])).ok();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("write logs in"), "{}", ended.stderr);
    assert!(written.is_ok_and(|bytes| bytes > 0));
}

#[test]
fn a_run_is_followed_to_its_end() {
    let name = unique("follow");
    let script = "echo first; sleep 3; echo second >&2; exit 4";
    let roadstead = installed(&name, "", script, "");
    let daemon = roadstead.serve();
    wait_until_healthy(&roadstead);
    let mut asked = roadstead.command(&["run", &name]);
    let mut asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("its output", PATIENCE, || lines(&roadstead, &name, 1) == ["out first"]);
    // One from the file of the run, and one without waiting for it.
    let follow =
        |arguments: &[&str]| roadstead.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut children = [follow(&["logs", "-f", "1"]), follow(&["logs", "-f", "1", "--output"])];
    for (child, is_plain) in children.iter_mut().zip([false, true]) {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        if is_plain {
            assert_eq!(text, "first\nsecond\n");
        } else {
            assert!(text.contains("out | first") && text.contains("err | second"), "{text}");
            assert!(text.contains("exited with 4"), "{text}");
        }
    }
    assert_eq!(asked.wait().unwrap().code(), Some(4));
    // It is over: the same is printed at once.
    let again = roadstead.run(&["logs", "-f", "1", "--output"]).ok();
    assert_eq!(again, "first\nsecond");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn others_are_told_of_runs_and_of_changes() {
    let name = unique("told");
    let (check, hook) = (Receiver::start(), Receiver::start());
    let whom = |script: &str| {
        let notify = format!(
            "notify: {{ping: '{}', webhook: '{}'}}\n",
            check.url("/abc"),
            hook.url("/hook")
        );
        installed(&name, "", script, &notify)
    };
    let roadstead = whom("echo well");
    let daemon = roadstead.serve();
    wait_until_healthy(&roadstead);
    roadstead.run(&["run", &name]).ok();
    wait_for("two pings", PATIENCE, || check.told().len() == 2);
    let ill = whom("echo ill; exit 7");
    std::fs::copy(ill.path("jobs/job.yml"), roadstead.path("jobs/job.yml")).unwrap();
    daemon.signal("HUP");
    wait_for("the new job", PATIENCE, || {
        daemon.console().contains("1 jobs, changed") || daemon.console().contains("2 jobs, changed")
    });
    roadstead.run(&["run", &name]).fails_with(7);
    wait_for("four pings", PATIENCE, || check.told().len() == 4);
    wait_for("a message", PATIENCE, || hook.told().len() == 1);
    assert_eq!(check.paths(), ["/abc/start", "/abc", "/abc/start", "/abc/7"]);
    let told = check.told();
    let rids: Vec<_> = told.iter().map(|told| told.query("rid").unwrap()).collect();
    assert!(rids[0] == rids[1] && rids[2] == rids[3] && rids[0] != rids[2], "{rids:?}");
    assert_eq!((told[1].body.as_str(), told[3].body.as_str()), ("well\n", "ill\n"));
    let body: Value = serde_json::from_str(&hook.told()[0].body).unwrap();
    assert_eq!((&body["job"], &body["state"]), (&name.as_str().into(), &"failing".into()));
    assert_eq!((&body["exit_code"], &body["log_tail"]), (&7.into(), &"ill\n".into()));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn who_is_away_is_told_after_a_restart_and_who_hangs_delays_nobody() {
    let name = unique("away");
    let (check, hung) = (Receiver::start(), Receiver::start());
    check.go_away();
    hung.hang();
    let ping = check.url("/abc");
    let notify = format!("notify: {{ping: '{ping}', webhook: '{}'}}\n", hung.url("/hook"));
    let roadstead = installed(&name, "", "exit 5", &notify);
    let daemon = roadstead.serve();
    wait_until_healthy(&roadstead);
    // Both are kept waiting, and the runs are not.
    for _ in 0..3 {
        roadstead.run(&["run", &name]).fails_with(5);
    }
    wait_for("the hanging one", PATIENCE, || !hung.told().is_empty());
    daemon.kill();
    check.answer("200 OK");
    let daemon = roadstead.serve();
    wait_for("all that was to be told", PATIENCE, || check.told().len() >= 5);
    let expected = ["/abc/start", "/abc/5", "/abc/start", "/abc/5", "/abc/start"];
    assert_eq!(check.paths()[..5], expected);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

/// All files below a directory.
fn walk(directory: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
