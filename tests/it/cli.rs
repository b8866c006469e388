//! Each command as a person types it: what it prints, what it says to wrong input, how it exits.

#![expect(clippy::disallowed_methods, reason = "a test drives programs")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Engine, Roadstead, process::output, wait_for};

/// No engine: for commands that must do without.
const NOWHERE: &str = "unix:///nonexistent/docker.sock";

const JOBS: &str = r#"
- name: hello
  schedule: "@daily"
  run: { image: "rs-test/app:1", command: [sh, -c, "echo hi there"] }
- name: report
  schedule: "30 2 * * *"
  timezone: America/Toronto
  run: { image: "rs-test/app:1", command: [sh, -c, "echo two lines; echo on err >&2; exit 7"] }
"#;

fn with_jobs(docker_host: &str) -> Roadstead {
    let roadstead = Roadstead::new(docker_host, "");
    roadstead.write_job("some.yml", JOBS);
    roadstead
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').filter(|word| !word.is_empty()).collect()
}

fn json(roadstead: &Roadstead, line: &str) -> Value {
    let text = roadstead.run(&words(line)).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
}

#[test]
fn every_command_has_help_with_examples() {
    let roadstead = Roadstead::new(NOWHERE, "");
    let commands = [
        "",
        "serve",
        "check",
        "status",
        "plan",
        "deploy",
        "run",
        "jobs",
        "next",
        "explain",
        "simulate",
        "runs",
        "logs",
        "health",
        "backup",
        "backup run",
        "backup plan",
        "backup list",
        "backup show",
        "backup diff",
        "backup restore",
        "backup verify",
        "backup verified",
        "backup prune",
        "backup unlock",
        "compose",
        "compose config",
        "compose up",
        "compose ps",
        "compose down",
        "completions",
    ];
    for command in commands {
        let mut arguments = words(command);
        arguments.push("--help");
        let help = roadstead.run(&arguments).ok();
        assert!(help.contains("Examples:\n  "), "{command}: {help}");
        assert!(help.contains("Usage: roadstead"), "{command}: {help}");
        let example = format!("roadstead {command}");
        assert!(help.split("Examples:").nth(1).unwrap().contains(&example), "{command}: {help}");
        assert!(!help.contains('\u{1b}'), "{command}: color in a pipe: {help}");
    }
    let version = roadstead.run(&["--version"]).ok();
    assert_eq!(version, format!("roadstead {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_the_documentation_names_exists() {
    let roadstead = Roadstead::new(NOWHERE, "");
    let root = crate::support::repository();
    let mut texts = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    for directory in ["docs", "docs/jobs"] {
        let pages = std::fs::read_dir(root.join(directory)).unwrap();
        let pages = pages.map(|entry| entry.unwrap().path());
        texts.extend(pages.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    let mut named = std::collections::BTreeSet::new();
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap();
        // `roadstead COMMAND` in a quotation or at the start of a line of an example.
        for start in ["`roadstead ", "/roadstead ", "\nroadstead "] {
            for found in text.split(start).skip(1) {
                let end = found.find(['`', '\n', '#']).unwrap_or(found.len());
                let words = found[..end].split(' ').filter(|it| !it.is_empty());
                let words = words.skip_while(|it| it.starts_with('-'));
                let count = if found.starts_with("compose") { 2 } else { 1 };
                let is_word = |it: &&str| it.chars().all(|c| c.is_ascii_lowercase());
                let command: Vec<_> = words.take_while(is_word).take(count).collect();
                named.insert((command.join(" "), path.display().to_string()));
            }
        }
    }
    assert!(named.iter().any(|(command, _)| command == "compose up"), "{named:?}");
    assert!(named.len() > 15, "{named:?}");
    for (command, path) in named {
        let mut arguments = words(&command);
        arguments.push("--help");
        assert_eq!(roadstead.run(&arguments).code, Some(0), "`{command}` in {path}");
    }
}

#[test]
fn wrong_input_is_answered_with_what_to_write_instead() {
    let roadstead = with_jobs(NOWHERE);
    // Command, exit code, what stderr says.
    let rows: &[(&str, i32, &str)] = &[
        ("", 2, "Usage: roadstead [OPTIONS] <COMMAND>"),
        ("jbos", 2, "a similar subcommand exists: 'jobs'"),
        ("jobs --jsno", 2, "'--json'"),
        ("run", 2, "<JOB>"),
        ("run helo", 2, "there is no job `helo`; did you mean `hello`?"),
        ("run zzzzzz", 2, "there is no job `zzzzzz`; there are: hello, report"),
        ("runs helo", 2, "there is no job `helo`; did you mean `hello`?"),
        ("runs 5", 2, "there is no run 5; `roadstead runs` lists them"),
        ("runs --outcome fail", 2, "expected one of queued, starting, running"),
        ("logs helo", 2, "there is no job `helo`; did you mean `hello`?"),
        ("logs 5", 2, "there is no run 5; `roadstead runs` lists them"),
        ("logs hello", 1, "there is no log"),
        ("logs -n many hello", 2, "invalid value 'many' for '--lines <LINES>'"),
        ("next helo", 2, "there is no job `helo`; did you mean `hello`?"),
        ("next hello --schedule @daily", 2, "'[JOB]' cannot be used with '--schedule <EXPR>'"),
        ("next --schedule @dayly", 2, "`--schedule @dayly`"),
        (
            "next --schedule @daily --timezone America/Torrento",
            2,
            "did you mean `America/Toronto`?",
        ),
        ("next --schedule @daily --timezone here", 2, "such as `America/Toronto`"),
        ("next --schedule @daily --after yesterday", 2, "as `2026-03-01T00:00:00Z`"),
        ("next --schedule @daily --count 0", 2, "1..=10000"),
        ("deploy", 2, "there is no deploy job: set AUTODEPLOY_EXTRA_REPOS or AUTODEPLOY_REPOS"),
        ("deploy hello", 2, "job `hello` deploys nothing; `roadstead run hello` runs it"),
        ("plan", 2, "there is no deploy job"),
        ("run hello", 1, "reach the Docker Engine at `unix:///nonexistent/docker.sock`"),
        ("compose halt", 2, "unrecognized subcommand 'halt'"),
        ("compose ps -p x", 2, "unexpected argument '-p'"),
        ("compose -f nowhere.yml config", 2, "nowhere.yml"),
        ("compose config", 2, "expected one of `compose.yaml`, `compose.yml`"),
        ("compose -p x ps", 1, "reach the Docker Engine at"),
        ("completions tcsh", 2, "[possible values: bash, elvish, fish, powershell, zsh]"),
        ("--env-file nowhere jobs", 2, "nowhere: read the file: No such file or directory"),
    ];
    for (line, code, wanted) in rows {
        let answer = roadstead.run(&words(line));
        assert_eq!(answer.code, Some(*code), "`{line}`: {answer:?}");
        assert!(answer.stderr.contains(wanted), "`{line}`: {wanted}: {}", answer.stderr);
        assert_eq!(answer.stdout, "", "`{line}`: errors belong to stderr");
    }
    // As with docker compose, no command is a question for the help.
    let help = roadstead.run(&["compose"]).ok();
    assert!(help.contains("Usage: roadstead compose"), "{help}");
    let schedule = roadstead.run(&["next", "--schedule", "61 2 * * *"]).fails_with(2);
    assert!(schedule.contains("values are 0 to 59"), "{schedule}");
}

#[test]
fn check_names_all_problems_at_once_with_file_and_line() {
    let roadstead = with_jobs(NOWHERE);
    assert_eq!(roadstead.run(&["check"]).ok(), "all is right: 2 jobs");
    roadstead.write_env_local(
        "AUTODEPLOY_EXTRA_REPO=/srv/stack\nAUTODEPLOY_LOG_KEEP=many\nAUTODEPLOY_TIMEZONE=Mars",
    );
    let report = roadstead.run(&["check"]).fails_with(2);
    let file = roadstead.path("env.local");
    let file = file.display();
    let wanted = [
        format!("error: {file}:6: unknown variable `AUTODEPLOY_EXTRA_REPO`"),
        "  hint: did you mean `AUTODEPLOY_EXTRA_REPOS`?".to_owned(),
        format!("error: {file}:7: `AUTODEPLOY_LOG_KEEP` is not valid: expected a whole number"),
        format!("error: {file}:8: `AUTODEPLOY_TIMEZONE` is not valid: expected an IANA time zone"),
        "3 errors".to_owned(),
    ];
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), wanted.len(), "{report}");
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert!(line.starts_with(wanted), "`{wanted}` in\n{report}");
    }
    // Other commands say the same and do nothing.
    assert!(roadstead.run(&["jobs"]).fails_with(2).contains("env.local:8: `AUTODEPLOY_TIMEZONE`"));

    roadstead.write_env_local("AUTODEPLOY_EXTRA_REPO=/srv/stack");
    roadstead.write_job("bad.yml", "name: web\nschedul: '@daily'\nrun: {imgae: x}\n");
    roadstead.write_job("worse.yml", "name: [\n");
    let report = roadstead.run(&["check"]).fails_with(2);
    for wanted in [
        "did you mean `AUTODEPLOY_EXTRA_REPOS`?",
        "jobs/bad.yml:2:",
        "did you mean `schedule`?",
        "jobs/bad.yml:3:",
        "did you mean `image`?",
        "jobs/worse.yml:",
    ] {
        assert!(report.contains(wanted), "{wanted} in\n{report}");
    }
    let value: Value = serde_json::from_str(&roadstead.run(&["check", "--json"]).stdout).unwrap();
    assert_eq!(value["ok"], false);
    assert_eq!(value["jobs"], 2, "the good file's jobs stay: {value}");
    let errors = value["errors"].as_array().unwrap();
    assert!(errors.len() >= 4, "{value}");
    assert!(errors.iter().all(|error| error["file"].is_string() && error["message"].is_string()));
    // A broken file keeps its jobs from nobody but itself.
    assert_eq!(json(&roadstead, "jobs --json").as_array().unwrap().len(), 2);
}

#[test]
fn check_names_what_needs_a_shell() {
    let roadstead = Roadstead::new(NOWHERE, "A=$(date)\n");
    let report = roadstead.run(&["check"]).fails_with(2);
    assert!(report.contains("env.local:6:3: "), "{report}");
    assert!(report.contains("$("), "{report}");
}

#[test]
fn lists_are_plain_lines_in_a_pipe_and_json_on_request() {
    let roadstead = with_jobs(NOWHERE);
    let rows = [
        (
            "jobs",
            "JOB\tKIND\tSCHEDULE\tTIMEZONE\tSTATE\tNEXT\tLAST\tOUTCOME\nhello\trun\t@daily\tUTC\twaiting\t2",
        ),
        ("status", "JOB\tSTATE\tAPPLIED\tSINCE\tLAST\tOUTCOME\tNEXT\nhello\t-\t-\t-\t-\t-\t2"),
        ("runs", "RUN\tJOB\tTRIGGER\tREVISION\tSTARTED\tTOOK\tOUTCOME\tREASON"),
        ("next report --count 1", "JOB\tSLOT\nreport\t2"),
    ];
    for (line, wanted) in rows {
        let plain = roadstead.run(&words(line)).ok();
        assert!(plain.starts_with(wanted), "{line}: {plain:?}");
        assert!(!plain.contains('\u{1b}'), "{line}: {plain:?}");
        assert!(json(&roadstead, &format!("{line} --json")).is_array(), "{line}");
    }
    let jobs = json(&roadstead, "jobs --json");
    assert_eq!(jobs[1]["timezone"], "America/Toronto");
    assert!(jobs[1]["origin"].as_str().unwrap().contains("jobs/some.yml:5"), "{jobs}");
    let next = json(&roadstead, "next --json --count 3");
    assert_eq!(next.as_array().unwrap().len(), 3);
    assert!(next[0]["job"].is_string() && next[0]["at"].is_string(), "{next}");
    // Looking leaves no trace, not even an empty store.
    assert_eq!(std::fs::read_dir(roadstead.path("state")).unwrap().count(), 0);
}

#[test]
fn coming_slots_follow_the_clocks_of_their_zone() {
    let roadstead = Roadstead::new(NOWHERE, "");
    let rows: &[(&str, &str, &str, &[&str])] = &[
        (
            "30 2 * * *",
            "America/Toronto",
            "2026-03-07T00:00:00Z",
            &[
                "2026-03-07T02:30:00-05:00",
                "2026-03-08T03:00:00-04:00",
                "2026-03-09T02:30:00-04:00",
            ],
        ),
        (
            "30 1 * * *",
            "America/Toronto",
            "2026-10-31T12:00:00-04:00",
            &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"],
        ),
        (
            "*/30 * * * *",
            "America/Toronto",
            "2026-11-01T00:50:00-04:00",
            &[
                "2026-11-01T01:00:00-04:00",
                "2026-11-01T01:30:00-04:00",
                "2026-11-01T01:00:00-05:00",
                "2026-11-01T01:30:00-05:00",
            ],
        ),
        (
            "0 12 1 * MON",
            "UTC",
            "2026-05-30T00:00:00Z",
            &["2026-06-01T12:00:00Z", "2026-06-08T12:00:00Z"],
        ),
        ("@every 90s", "UTC", "1970-01-01T00:00:00Z", &["1970-01-01T00:01:30Z"]),
        ("*/20 0 0 1 1 *", "UTC", "2026-06-01T00:00:00Z", &["2027-01-01T00:00:00Z"]),
    ];
    for (schedule, zone, after, wanted) in rows {
        let count = wanted.len().to_string();
        let arguments = [
            "next",
            "--schedule",
            schedule,
            "--timezone",
            zone,
            "--after",
            after,
            "--count",
            &count,
        ];
        let plain = roadstead.run(&arguments).ok();
        assert_eq!(plain, format!("SLOT\n{}", wanted.join("\n")), "{schedule}");
        let text = roadstead.run(&[&arguments[..], &["--json"]].concat()).ok();
        let value: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(value, *wanted, "{schedule}");
    }
    assert_eq!(json(&roadstead, "next --json --schedule @manual"), Value::Array(Vec::new()));
    // A schedule can be tried out where there is no configuration at all, or a broken one.
    roadstead.write_env_local("if true; then");
    roadstead.run(&["next", "--schedule", "@daily"]).ok();
}

#[test]
fn completions_are_scripts_of_their_shell() {
    let roadstead = Roadstead::new(NOWHERE, "");
    for (shell, wanted) in [
        ("bash", "complete -F _roadstead"),
        ("zsh", "#compdef roadstead"),
        ("fish", "complete -c roadstead"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = roadstead.run(&["completions", shell]).ok();
        assert!(script.contains(wanted), "{shell}");
        assert!(script.contains("compose"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let roadstead = with_jobs(NOWHERE);
    for line in ["next --schedule @hourly --count 10000", "completions bash", "jobs --json"] {
        let mut child = roadstead
            .command(&words(line))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{line}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{line}");
    }
}

#[test]
fn logs_follow_until_nobody_reads_or_somebody_ends_it() {
    let roadstead = with_jobs(NOWHERE);
    let path = roadstead.path("log").join("hello.log");
    let line = |text: &str| {
        let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        writeln!(file, "{text}").unwrap();
    };
    line("an old line");
    line("the last old line");
    let follow = |arguments: &[&str]| {
        let mut command = roadstead.command(arguments);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut child = follow(&["logs", "-f", "-n", "1", "hello"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let next = |reader: &mut BufReader<_>| {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        text
    };
    assert_eq!(next(&mut reader), "the last old line\n");
    line("a new line");
    assert_eq!(next(&mut reader), "a new line\n");
    // The log is silent, and still the end of the reader is noticed.
    drop(reader);
    wait_for("the end of logs -f", Duration::from_secs(10), || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut child = follow(&["logs", "-f", "--json", "hello"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(next(&mut reader), "{\"line\":\"an old line\"}\n");
    output(std::process::Command::new("kill").arg(child.id().to_string())).ok();
    wait_for("the end by SIGTERM", Duration::from_secs(10), || child.try_wait().unwrap().is_some());

    // A log that is not there yet is waited for.
    let mut child = follow(&["logs", "-f", "report"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    std::fs::write(roadstead.path("log").join("report.log"), "at last\n").unwrap();
    assert_eq!(next(&mut reader), "at last\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn run_returns_the_exit_code_and_history_tells_it() {
    let engine = Engine::shared();
    let roadstead = Roadstead::new(&engine.host(), "");
    let (fine, fails) = (crate::support::unique("fine"), crate::support::unique("fails"));
    let jobs = JOBS.replace("name: hello", &format!("name: {fine}"));
    roadstead.write_job("some.yml", &jobs.replace("name: report", &format!("name: {fails}")));

    let text = roadstead.run(&["run", &fine]).ok();
    assert!(text.starts_with("run 1 succeeded (exited_zero): exited with 0"), "{text}");
    let ended = roadstead.run(&["run", &fails, "--json"]);
    assert_eq!(ended.code, Some(7), "{ended:?}");
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&value["run"], &value["exit_code"]), (&2.into(), &7.into()), "{value}");

    let runs = json(&roadstead, "runs --json");
    assert_eq!((&runs[0]["id"], &runs[0]["outcome"]), (&2.into(), &"failed".into()), "{runs}");
    assert_eq!(runs[1]["reason"], "exited_zero", "newest first: {runs}");
    let failed = json(&roadstead, "runs --json --outcome failed");
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(json(&roadstead, &format!("runs {fine} --json -n 5")).as_array().unwrap().len(), 1);
    let one = json(&roadstead, "runs 2 --json");
    let steps: Vec<&str> =
        one["steps"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(steps.iter().any(|name| name.starts_with("start container")), "{steps:?}");
    let story = roadstead.run(&["runs", "2"]).ok();
    assert!(story.starts_with(&format!("run       2 of {fails}\noutcome   failed")), "{story}");

    let lines = roadstead.run(&["logs", "2"]).ok();
    assert!(lines.contains("out | two lines"), "{lines}");
    assert!(lines.contains("err | on err"), "{lines}");
    assert!(!lines.contains("hi there"), "{lines}");
    let objects = roadstead.run(&["logs", "2", "--json"]).ok();
    for line in objects.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(object["line"].is_string() || object["message"].is_string(), "{line}");
    }
    assert!(roadstead.run(&["logs", &fine]).ok().contains("hi there"));
    assert!(roadstead.run(&["logs"]).ok().contains(&fails), "one line each in roadstead.log");
    assert_eq!(roadstead.run(&["logs", "-f", "2"]).ok(), lines, "it is over");
    let refused = roadstead.run(&["logs", "-f", "2", &fails]).fails_with(2);
    assert!(refused.contains("one run is followed at a time"), "{refused}");
    // Gone from the files, not from history.
    roadstead.write_job("some.yml", "[]\n");
    assert_eq!(json(&roadstead, &format!("runs {fine} --json")).as_array().unwrap().len(), 1);
}

#[test]
fn a_daemon_has_no_huge_pages() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    let daemon = roadstead.serve();
    wait_for("the daemon", Duration::from_secs(20), || roadstead.run(&["health"]).code == Some(0));
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(status.lines().any(|line| line == "THP_enabled:\t0"), "{status}");
}

#[test]
fn health_tells_whether_someone_serves() {
    let roadstead = with_jobs(&Engine::shared().host());
    let none = roadstead.run(&["health"]).fails_with(1);
    assert!(none.starts_with("unhealthy: no `roadstead serve` is at work in `"), "{none}");
    let daemon = roadstead.serve();
    wait_for("a healthy daemon", Duration::from_secs(20), || {
        roadstead.run(&["health"]).code == Some(0)
    });
    let health = json(&roadstead, "health --json");
    assert_eq!(health["healthy"], true);
    assert_eq!(roadstead.run(&["health"]).ok(), "healthy: 2 jobs, 0 running");
    // A run asked for while it serves is the daemon's, and its end is the command's.
    let ran = roadstead.run(&["run", "report"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stderr.contains("run 1 started"), "{ran:?}");
    assert_eq!(daemon.stop(Duration::from_secs(20)), Some(0));
    roadstead.run(&["health"]).fails_with(1);

    let alone = with_jobs(NOWHERE);
    let daemon = alone.serve();
    wait_for("an answer", Duration::from_secs(20), || {
        alone.run(&["health"]).stdout.contains("does not answer")
    });
    alone.run(&["health"]).fails_with(1);
    assert_eq!(daemon.stop(Duration::from_secs(20)), Some(0));
}
