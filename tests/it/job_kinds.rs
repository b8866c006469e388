//! Jobs of the kinds that work with containers, on a real engine: `run`, `exec`, `compose_run`,
//! `container`, `group`.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::process::Stdio;

use serde_json::Value;

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Registry, Roadstead, Scene, unique, wait_for};

/// An installation with these jobs; `NAME` in the text stands for the name of the first, which is
/// returned.
pub(crate) fn installed(text: &str) -> (Roadstead, String) {
    let name = unique("kind");
    let roadstead = Roadstead::new(&Engine::shared().host(), "AUTODEPLOY_TIMEZONE=UTC");
    roadstead.write_job("job.yml", &text.replace("NAME", &name));
    (roadstead, name)
}

/// What was recorded of the newest run.
pub(crate) fn details(roadstead: &Roadstead) -> Value {
    let path = roadstead.path("state/roadstead.db");
    let store = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT details FROM runs WHERE details IS NOT NULL ORDER BY id DESC LIMIT 1";
    let text: String = store.query_row(sql, [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A container of a test's own. Dropped, it is gone.
struct Container(String);

impl Container {
    fn run(name: &str, arguments: &[&str], command: &[&str]) -> Self {
        let mut all = vec!["run", "--detach", "--name", name];
        all.extend(arguments);
        all.push("rs-test/app:1");
        all.extend(command);
        Engine::shared().docker(&all);
        Self(name.to_owned())
    }

    fn state(&self) -> String {
        Engine::shared().inspect(&self.0, "{{.State.Status}}").unwrap_or_default()
    }

    /// The processes in it, by their arguments.
    fn processes(&self) -> String {
        Engine::shared().docker(&["top", &self.0, "-eo", "pid,args"])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        Engine::shared().try_docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

/// Containers that the jobs of this name made.
fn left(name: &str) -> String {
    let filter = format!("label=dev.roadstead.job={name}");
    Engine::shared().docker(&["ps", "--all", "--quiet", "--filter", &filter])
}

#[test]
fn a_run_has_the_options_of_a_service_and_is_written_down() {
    let data = unique("data");
    let engine = Engine::shared();
    let source = Container::run(&data, &["--volume", "/shared"], &["sleep", "1000"]);
    engine.docker(&["exec", &source.0, "sh", "-c", "echo from-elsewhere > /shared/file"]);
    let volume = unique("volume");
    engine.docker(&["volume", "create", &volume]);
    let (roadstead, name) = installed(&format!(
        "name: NAME\nrun:\n  image: rs-test/app:1\n  \
         command: [sh, -c, 'id -u; hostname; cat /shared/file; touch /mine/new; ls /mine; \
         cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n; pwd; echo $$SECRET_WORD']\n  \
         environment: {{SECRET_WORD: abcdefgh, OTHER: x}}\n  user: '1234'\n  hostname: here\n  \
         working_dir: /www\n  volumes_from: ['{data}:ro']\n  volumes: ['{volume}:/mine']\n  \
         sysctls: {{net.ipv4.ip_unprivileged_port_start: 77}}\n  ulimits: {{nofile: 4321}}\n  \
         tmpfs: /scratch\n  labels: {{mine: '1'}}\n  mem_limit: 64m\n"
    ));
    // The volume belongs to root, and the job runs as somebody else.
    engine.docker(&[
        "run",
        "--rm",
        "--volume",
        &format!("{volume}:/mine"),
        "rs-test/app:1",
        "chmod",
        "777",
        "/mine",
    ]);
    roadstead.run(&["run", &name]).ok();
    let log = roadstead.log(&name);
    for part in ["1234", "here", "from-elsewhere", "new", "77", "4321", "/www"] {
        assert!(log.contains(part), "`{part}` is missing in\n{log}");
    }
    assert!(!log.contains("abcdefgh"), "{log}");
    let details = details(&roadstead);
    let id = engine.inspect("rs-test/app:1", "{{.Id}}").unwrap();
    assert_eq!(details["image"], "rs-test/app:1");
    assert_eq!(details["digest"], id.as_str());
    assert_eq!(details["command"][0], "sh");
    assert_eq!(details["environment"], serde_json::json!(["OTHER", "SECRET_WORD"]));
    assert_eq!(details["container"].as_str().map(str::len), Some(64));
    assert_eq!(left(&name), "");
    engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn an_image_of_a_registry_is_recorded_by_its_digest_and_pulled_as_its_policy_says() {
    let (engine, registry) = (Engine::shared(), Registry::start());
    let image = unique("tool");
    let reference = registry.push(engine, "rs-test/app:1", &format!("{image}:1"));
    let job = |policy: &str| {
        format!(
            "name: NAME\nrun: {{image: '{reference}', pull_policy: {policy}, command: [cat, /www/index.html]}}\n"
        )
    };
    let (roadstead, name) = installed(&job("never"));
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("image_unavailable") && said.contains("forbids"), "{said}");
    roadstead.write_job("job.yml", &job("missing").replace("NAME", &name));
    roadstead.run(&["run", &name]).ok();
    let digest = details(&roadstead)["digest"].as_str().unwrap().to_owned();
    let known = engine.inspect(&reference, "{{index .RepoDigests 0}}").unwrap();
    assert!(known.ends_with(&digest), "{known} {digest}");
    // The tag moves on: `missing` does not look, `always` does.
    registry.push(engine, "rs-test/app:2", &format!("{image}:1"));
    engine.docker(&["pull", "--quiet", &known]);
    engine.docker(&["tag", &known, &reference]);
    roadstead.run(&["run", &name]).ok();
    assert!(!roadstead.log(&name).contains("| two"), "{}", roadstead.log(&name));
    roadstead.write_job("job.yml", &job("always").replace("NAME", &name));
    roadstead.run(&["run", &name]).ok();
    assert!(roadstead.log(&name).contains("| two"), "{}", roadstead.log(&name));
    assert_ne!(details(&roadstead)["digest"], digest.as_str());
}

#[test]
fn a_run_over_its_time_is_ended_by_its_signal_and_killed_after_its_grace() {
    // Handles its signal; ignores it.
    for (trap, expected) in [
        ("trap 'echo good-bye; exit 3' USR1", "ended by SIGUSR1, exited with 3"),
        ("trap 'echo not-yet' USR1", "killed, as SIGUSR1 did not end it within 1 s"),
    ] {
        let (roadstead, name) = installed(&format!(
            "name: NAME\ntimeout: 2s\nstop_signal: SIGUSR1\nstop_grace: 1s\nrun:\n  image: rs-test/app:1\n  \
             command: [sh, -c, \"{trap}; while :; do sleep 0.1; done\"]\n"
        ));
        let said = roadstead.run(&["run", &name]).fails_with(1);
        assert!(said.contains("timed_out") && said.contains("timeout of 2 s"), "{said}");
        assert!(said.contains(expected), "{said}");
        let log = roadstead.log(&name);
        let words = trap.split(['\'', ';', ' ']).find(|word| word.contains('-')).unwrap();
        assert!(log.contains(words), "its last words are missing in\n{log}");
        assert_eq!(left(&name), "");
    }
}

#[test]
fn what_cannot_run_says_why() {
    let taken = unique("taken");
    let other = Container::run(&taken, &[], &["sleep", "1000"]);
    for (work, reason, words) in [
        (
            "run: {image: 'rs-test/app:1', command: [no-such-program]}",
            "not_started",
            "no-such-program",
        ),
        (
            &format!("run: {{image: 'rs-test/app:1', container_name: {taken}, command: ['true']}}"),
            "name_taken",
            "and is running",
        ),
        (
            "run: {image: 'rs-test/app:1', networks: [no-such-network], command: ['true']}",
            "not_started",
            "no-such-network",
        ),
        (
            "run: {image: 'rs-test/app:1', redirect: {stdout: /proc/no/file}}",
            "prepare_failed",
            "/proc/no/file",
        ),
        ("run: {container: no-such-one}", "no_such_container", "create it first"),
        ("exec: {container: no-such-one, command: ls}", "no_such_container", "no-such-one"),
        (
            "exec: {project: nobody, service: web, command: ls}",
            "no_such_container",
            "service `web` of project `nobody`",
        ),
        (&format!("exec: {{container: {taken}, command: no-such-program}}"), "", "in container"),
        ("container: {action: stop, targets: [no-such-one]}", "no_such_container", "no-such-one"),
        (
            "compose_run: {project: /no/such/directory, service: web}",
            "compose_invalid",
            "/no/such/directory",
        ),
        ("compose_run: {project: /, service: web}", "compose_invalid", ""),
        ("command: ['true']", "commands_disabled", "AUTODEPLOY_ALLOW_COMMANDS=true"),
    ] {
        let (roadstead, name) = installed(&format!("name: NAME\n{work}\n"));
        let output = roadstead.run(&["run", &name]);
        assert_ne!(output.code, Some(0), "{work}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(reason) && said.contains(words), "{work}: {said}");
        assert_eq!(left(&name), "", "{work}");
    }
    assert_eq!(other.state(), "running");
}

#[test]
fn an_existing_container_is_started_once_more_and_stays() {
    let container = Container::run(&unique("again"), &[], &["sh", "-c", "echo once; exit 4"]);
    wait_for("its end", PATIENCE, || container.state() == "exited");
    let (roadstead, name) =
        installed(&format!("name: NAME\nrun: {{container: {}}}\n", container.0));
    for _ in 0..2 {
        roadstead.run(&["run", &name]).fails_with(4);
    }
    let log = roadstead.log(&name);
    assert_eq!(log.matches("once").count(), 2, "{log}");
    assert_eq!(container.state(), "exited");
    assert_eq!(details(&roadstead)["image"], "rs-test/app:1");
}

#[test]
fn a_terminal_has_one_stream_and_a_kept_container_stays() {
    let (roadstead, name) = installed(
        "name: NAME\nrun: {image: 'rs-test/app:1', tty: true, keep: true, \
         command: [sh, -c, 'tty; echo to-out; echo to-err >&2; printf unfinished']}\n",
    );
    for count in 1..=2 {
        roadstead.run(&["run", &name]).ok();
        assert_eq!(left(&name).lines().count(), count);
    }
    let log = roadstead.log(&name);
    for part in ["/dev/", "to-out", "to-err", "unfinished"] {
        assert!(log.contains(part), "`{part}` is missing in\n{log}");
    }
    for id in left(&name).lines() {
        Engine::shared().docker(&["rm", id]);
    }
}

#[test]
fn output_goes_to_files_besides_and_what_follows_runs_after_success_only() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    let name = unique("kind");
    let file = roadstead.path("deep/er/out.log");
    let job = |code: u8| {
        format!(
            "name: {name}\nrun:\n  image: rs-test/app:1\n  \
             command: [sh, -c, 'echo to-out; sleep 0.3; echo to-err >&2; exit {code}']\n  \
             redirect: {{stdout: '{0}', stderr: '{0}'}}\n  then:\n    \
             - run: {{image: 'rs-test/app:1', command: [echo, first-after]}}\n    \
             - run: {{image: 'rs-test/app:1', command: [sh, -c, exit 5]}}\n    \
             - run: {{image: 'rs-test/app:1', command: [echo, never-reached]}}\n",
            file.display()
        )
    };
    for (code, expected, after) in [(1, 1, false), (0, 5, true)] {
        roadstead.write_job("job.yml", &job(code));
        let said = roadstead.run(&["run", &name]).fails_with(expected);
        assert_eq!(said.contains("then 2 of 3"), after, "{said}");
        assert_eq!(roadstead.log(&name).contains("first-after"), after);
    }
    assert!(!roadstead.log(&name).contains("never-reached"));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, "to-out\nto-err\nto-out\nto-err\n");
    assert_eq!(left(&name), "");
}

#[test]
fn overlap_is_read_from_live_containers_and_follows_the_policy() {
    for (policy, outcome) in [("skip", "skipped"), ("replace", "succeeded"), ("allow", "succeeded")]
    {
        let (roadstead, name) = installed(&format!(
            "name: NAME\noverlap: {policy}\nrun: {{image: 'rs-test/app:1', command: [echo, here]}}\n"
        ));
        let label = format!("dev.roadstead.job={name}");
        let arguments = ["--label", &label, "--label", "dev.roadstead.run=999"];
        let earlier = Container::run(&unique("earlier"), &arguments, &["sleep", "1000"]);
        let output = roadstead.run(&["run", &name]);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(outcome), "{policy}: {said}");
        let state = if policy == "replace" { "" } else { "running" };
        assert_eq!(earlier.state(), state, "{policy}");
    }
}

#[test]
fn an_exec_finds_its_containers_and_their_users_and_returns_the_exit_code() {
    let project = unique("shop");
    let label = |what: &str| format!("com.docker.compose.{what}");
    let of = |number: &str| {
        let pairs = [
            (label("project"), project.clone()),
            (label("service"), "web".to_owned()),
            (label("container-number"), number.to_owned()),
        ];
        let mut arguments = Vec::new();
        for (name, value) in pairs {
            arguments.extend(["--label".to_owned(), format!("{name}={value}")]);
        }
        arguments.extend(["--label".to_owned(), format!("role={project}")]);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let name = format!("{project}-web-{number}");
        Container::run(&name, &words, &["sleep", "1000"])
    };
    let (second, first) = (of("2"), of("1"));
    for (target, scope, containers) in [
        (format!("container: {}", first.0), "first", 1),
        (format!("project: {project}, service: web"), "first", 1),
        (format!("project: {project}, service: web"), "all", 2),
        (format!("labels: ['role={project}']"), "all", 2),
    ] {
        let (roadstead, name) = installed(&format!(
            "name: NAME\nexec:\n  {}\n  scope: {scope}\n  user: '77'\n  working_dir: /www\n  \
             environment: {{MODE: fast}}\n  command: [sh, -c, 'hostname; id -u; pwd; echo $$MODE; echo oops >&2']\n",
            target.replace(", ", "\n  ")
        ));
        roadstead.run(&["run", &name]).ok();
        let log = roadstead.log(&name);
        for part in ["77", "/www", "fast", "oops"] {
            let line = format!("| {part}\n");
            assert_eq!(log.matches(&line).count(), containers, "{target}: `{part}`\n{log}");
        }
        let id = |it: &Container| Engine::shared().inspect(&it.0, "{{.Config.Hostname}}").unwrap();
        assert!(log.contains(&id(&first)), "{target}\n{log}");
        assert_eq!(log.contains(&id(&second)), containers == 2, "{target}\n{log}");
        assert_eq!(details(&roadstead)["environment"], serde_json::json!(["MODE"]));
    }
    let (roadstead, name) = installed(&format!(
        "name: NAME\nexec: {{project: {project}, service: web, scope: all, command: [sh, -c, 'echo mark; exit 9']}}\n"
    ));
    let said = roadstead.run(&["run", &name]).fails_with(9);
    assert!(said.contains(&first.0) && said.contains("exited with 9"), "{said}");
    // The first failure ends it.
    assert_eq!(roadstead.log(&name).matches("mark").count(), 1);
}

#[test]
fn an_exec_over_its_time_is_ended_with_all_that_it_started() {
    let container = Container::run(&unique("busy"), &[], &["sleep", "100123"]);
    // A tree: a child, one in a session of its own, one of another user, one that hears no SIGTERM.
    let script = "trap '' TERM; sleep 100001 & setsid sleep 100002 & \
                  env -i sleep 100003 & (exec sh -c 'trap \"\" TERM; while :; do sleep 100004; done') & \
                  echo started; while :; do sleep 100005; done";
    for user in ["", "  user: '1000'\n"] {
        let (roadstead, name) = installed(&format!(
            "name: NAME\ntimeout: 2s\nstop_grace: 1s\nexec:\n  container: {}\n{user}  command: [sh, -c, {script:?}]\n",
            container.0
        ));
        // A second exec beside it, which is nobody's business.
        Engine::shared().docker(&["exec", "--detach", &container.0, "sleep", "100777"]);
        let said = roadstead.run(&["run", &name]).fails_with(1);
        assert!(said.contains("timed_out") && said.contains("killed"), "{said}");
        let processes = container.processes();
        for number in 100_001..=100_005 {
            assert!(!processes.contains(&format!("sleep {number}")), "{said}\n{processes}");
        }
        assert!(
            processes.contains("sleep 100123") && processes.contains("sleep 100777"),
            "{processes}"
        );
        assert!(roadstead.log(&name).contains("started"));
    }
}

#[test]
fn an_exec_in_a_container_without_a_shell_says_that_it_may_still_run() {
    let image = unique("bare");
    Engine::shared().build_image(
        &image,
        "FROM scratch\nCOPY busybox /sleep\nENTRYPOINT [\"/sleep\", \"100000\"]\n",
        &[],
    );
    let name = unique("bare");
    Engine::shared().docker(&["run", "--detach", "--name", &name, &image]);
    let container = Container(name);
    let (roadstead, job) = installed(&format!(
        "name: NAME\ntimeout: 1s\nexec: {{container: {}, command: [/sleep, '100009']}}\n",
        container.0
    ));
    let said = roadstead.run(&["run", &job]).fails_with(1);
    assert!(said.contains("may still run") && said.contains("no shell"), "{said}");
}

#[test]
fn containers_are_moved_in_order_and_what_is_so_already_is_fine() {
    let container = Container::run(
        &unique("moved"),
        &["--stop-signal", "SIGTERM"],
        &["sh", "-c", "trap 'echo got-usr1' USR1; trap 'exit 0' TERM; while :; do sleep 0.1; done"],
    );
    let other = Container::run(&unique("moved"), &["--stop-signal", "SIGKILL"], &["sleep", "1000"]);
    for (action, expected, words) in [
        ("action: stop", "exited", "exited with 0"),
        ("action: stop", "exited", "was stopped already"),
        ("action: start", "running", "started"),
        ("action: start", "running", "ran already"),
        ("action: pause", "paused", "paused"),
        ("action: pause", "paused", "was paused already"),
        ("action: unpause", "running", "unpaused"),
        ("action: unpause", "running", "was not paused"),
        ("action: restart", "running", "restarted"),
        ("action: signal, signal: USR1", "running", "got USR1"),
    ] {
        let (roadstead, name) = installed(&format!(
            "name: NAME\ncontainer: {{{action}, targets: [{}, {}]}}\n",
            container.0, other.0
        ));
        let output = roadstead.run(&["run", &name]);
        assert_eq!(output.code, Some(0), "{action}: {output:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(words), "{action}: {said}");
        assert_eq!(container.state(), expected, "{action}");
        if action.contains("signal") {
            wait_for("the signal", PATIENCE, || {
                Engine::shared().docker(&["logs", &container.0]).contains("got-usr1")
            });
        }
        let steps = roadstead.run(&["runs", "1"]).ok();
        let verb = action.split([' ', ',']).nth(1).unwrap().replace("signal", "send");
        assert!(steps.contains(&verb), "{steps}");
    }
}

#[test]
fn a_group_runs_its_jobs_in_order_marks_their_output_and_says_who_failed() {
    let group = |how: &str| {
        let (roadstead, name) = installed(&format!(
            "- name: NAME\n  group: {{jobs: [NAME-a, NAME-b, NAME-c]{how}}}\n\
             - name: NAME-a\n  run: {{image: 'rs-test/app:1', command: [echo, from-a]}}\n\
             - name: NAME-b\n  run: {{image: 'rs-test/app:1', command: [sh, -c, 'echo from-b; exit 3']}}\n\
             - name: NAME-c\n  run: {{image: 'rs-test/app:1', command: [echo, from-c]}}\n"
        ));
        let said = roadstead.run(&["run", &name]).fails_with(3);
        assert!(said.contains("member_failed") && said.contains(&format!("`{name}-b`")), "{said}");
        let log = roadstead.log(&name);
        assert!(log.contains(&format!("{name}-a | from-a")), "{log}");
        (said, log, details(&roadstead), name)
    };
    let (said, log, details, name) = group("");
    assert!(said.contains(&format!("not run: {name}-c")) && !log.contains("from-c"), "{said}");
    assert_eq!(details["results"]["members"][format!("{name}-a")]["image"], "rs-test/app:1");
    for how in [", keep_going: true", ", keep_going: true, parallel: 3"] {
        let (said, log, ..) = group(how);
        assert!(log.contains("from-c") && said.contains("1 of 3 jobs failed"), "{said}\n{log}");
    }
}

#[test]
fn a_service_of_a_managed_project_runs_once_beside_its_own_container() {
    let scene = Scene::new(&[(
        "compose.yml",
        "services:\n  db:\n    image: rs-test/app:1\n    stop_grace_period: 0s\n  web:\n    image: rs-test/app:1\n    \
         depends_on: [db]\n    ports: ['0:80']\n    environment: {FROM: file, KEPT: file}\n    volumes: ['data:/data']\n    \
         stop_grace_period: 0s\nvolumes: {data: {}}\n",
    )]);
    scene.deploy().ok();
    let lasting = scene.id("web");
    let directory = scene.project.checkout();
    for project in ["autodeploy".to_owned(), directory.display().to_string()] {
        let name = unique("once");
        scene.roadstead.write_job(
            "once.yml",
            &format!(
                "name: {name}\ncompose_run:\n  project: {project}\n  service: web\n  \
                 command: [sh, -c, 'echo $$FROM $$KEPT; ls -d /data /more; nslookup db >/dev/null && echo found-db; exit 6']\n  \
                 environment: {{FROM: job}}\n  volumes: ['/tmp:/more:ro']\n"
            ),
        );
        scene.engine.docker(&["stop", &scene.container("db")]);
        let said = scene.roadstead.run(&["run", &name]).fails_with(6);
        let log = scene.roadstead.log(&name);
        for part in ["job file", "/data", "/more", "found-db"] {
            assert!(log.contains(part), "`{part}` is missing in\n{log}\n{said}");
        }
        assert_eq!(left(&name), "");
        assert_eq!(scene.id("web"), lasting);
        assert_eq!(scene.inspect("db", "{{.State.Status}}").as_deref(), Some("running"));
        assert_eq!(details(&scene.roadstead)["image"], "rs-test/app:1");
    }
}

#[test]
fn a_cancelled_run_ends_its_container() {
    let (roadstead, name) =
        installed("name: NAME\nrun: {image: 'rs-test/app:1', command: [sleep, '100000']}\n");
    let daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    let mut asked = roadstead.command(&["run", &name]);
    let mut asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("its start", PATIENCE, || roadstead.log(&name).contains("started from"));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    asked.wait().unwrap();
    assert!(roadstead.log(&name).contains("cancelled"), "{}", roadstead.log(&name));
    assert_eq!(left(&name), "");
}

#[test]
fn hooks_run_around_the_container_as_those_of_a_service() {
    let (roadstead, name) = installed(
        "name: NAME\ntimeout: 3s\nrun:\n  image: rs-test/app:1\n  \
         command: [sh, -c, 'echo main; sleep 100000']\n  \
         pre_start: [{command: [echo, hook-before]}]\n  \
         post_start: [{command: [echo, hook-after]}]\n  \
         pre_stop: [{command: [echo, hook-at-the-end]}]\n",
    );
    roadstead.run(&["run", &name]).fails_with(1);
    let log = roadstead.log(&name);
    for part in ["hook-before", "main", "hook-after", "hook-at-the-end"] {
        assert!(log.contains(part), "`{part}` is missing in\n{log}");
    }
    let (roadstead, name) = installed(
        "name: NAME\nrun:\n  image: rs-test/app:1\n  command: [sleep, '100000']\n  \
         post_start: [{command: [sh, -c, exit 3]}]\n",
    );
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("prepare_failed") && said.contains("post_start"), "{said}");
    assert_eq!(left(&name), "");
}

#[test]
fn an_engine_that_goes_away_in_the_middle_of_a_run_is_waited_for() {
    let engine = Engine::own();
    let name = unique("kind");
    let roadstead = Roadstead::new(&engine.host(), "");
    roadstead.write_job(
        "job.yml",
        &format!(
            "name: {name}\nrun: {{image: 'rs-test/app:1', command: [sh, -c, 'echo before; sleep 100000']}}\n"
        ),
    );
    let mut asked = roadstead.command(&["run", &name]);
    let mut asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("its output", PATIENCE, || roadstead.log(&name).contains("before"));
    engine.halt();
    wait_for("the loss", PATIENCE, || roadstead.log(&name).contains("waiting for the Engine"));
    engine.resume();
    // The engine stopped its containers when it was stopped: that is an ending like any other.
    wait_for("the end", PATIENCE, || asked.try_wait().unwrap().is_some());
    let log = roadstead.log(&name);
    assert!(log.contains("exited with") || log.contains("container_gone"), "{log}");
    assert_eq!(log.matches("| before").count(), 1, "{log}");
}
