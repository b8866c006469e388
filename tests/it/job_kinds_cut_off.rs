//! Groups and remote jobs that a kill -9 of ours cuts off, and what the next start makes of them.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use tempfile::TempDir;

use crate::accounting::{installed as without_engine, runs, serve};
use crate::accounting_crash::end_of;
use crate::job_kinds::{details, installed};
use crate::job_kinds_calls::Server;
use crate::support::scene::PATIENCE;
use crate::support::{CountingProxy, Engine, Hold, Roadstead, Scene, unique, wait_for};

/// Lets each container tell itself that it was started: the Engine forgets all but the last 256 of its
/// events, and other tests make many.
struct Witness(TempDir);

impl Witness {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A `run` whose container tells that it started before it does what the script says.
    fn run(&self, who: &str, script: &str) -> String {
        let directory = self.0.path().display();
        format!(
            "run: {{image: 'rs-test/app:1', volumes: ['{directory}:/witness'], \
             command: [sh, -c, 'echo x >> /witness/{who}; {script}']}}"
        )
    }

    fn starts(&self, who: &str) -> usize {
        std::fs::read_to_string(self.0.path().join(who)).unwrap_or_default().lines().count()
    }
}

/// Waits until the only run has ended; its end and message.
fn end_of_only_run(roadstead: &Roadstead) -> (String, String) {
    let all = || runs(roadstead, &[]);
    wait_for("the end", PATIENCE, || all().iter().all(|run| !run["ended"].is_null()));
    let all = all();
    assert_eq!(all.len(), 1, "{all:?}");
    (end_of(&all[0]), all[0]["message"].as_str().unwrap().to_owned())
}

#[test]
fn a_group_goes_on_with_the_container_of_one_job_and_runs_no_other_twice() {
    for how in ["", ", parallel: 2"] {
        let witness = Witness::new();
        let [a, b, c, d] = [
            ("a", "echo from-a"),
            ("b", "echo before; while ! test -e /go; do sleep 0.1; done; echo after; exit 3"),
            ("c", "echo from-c"),
            ("d", "echo from-d"),
        ]
        .map(|(member, script)| witness.run(member, script));
        let (roadstead, name) = installed(&format!(
            "- name: NAME\n  group: {{jobs: [NAME-a, NAME-inner, NAME-c], keep_going: true{how}}}\n\
             - name: NAME-inner\n  group: [NAME-b, NAME-d]\n\
             - {{name: NAME-a, {a}}}\n- {{name: NAME-b, {b}}}\n\
             - {{name: NAME-c, {c}}}\n- {{name: NAME-d, {d}}}\n"
        ));
        let engine = Engine::shared();
        let daemon = roadstead.serve();
        wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
        roadstead.run(&["run", &name, "--no-wait"]).ok();
        wait_for("the first words", PATIENCE, || {
            let said = roadstead.run(&["logs", "1"]).stdout;
            said.contains("before") && said.contains("from-a")
        });
        // One container may just be on its way out; two at once may have come further.
        wait_for("the end of the first", PATIENCE, || {
            let members = &details(&roadstead)["results"]["members"];
            let others = if how.is_empty() { &["a"][..] } else { &["a", "c"] };
            others.iter().all(|it| !members[format!("{name}-{it}")]["ending"].is_null())
        });
        daemon.kill();
        let daemon = roadstead.serve();
        wait_for("the takeover", PATIENCE, || roadstead.log(&name).contains("taking over"));
        let filter = format!("label=dev.roadstead.job={name}-b");
        let container = engine.docker(&["ps", "--quiet", "--filter", &filter]);
        engine.docker(&["exec", &container, "touch", "/go"]);
        let (end, message) = end_of_only_run(&roadstead);
        assert_eq!(end, "failed member_failed", "{message}");
        let inner =
            format!("1 of 3 jobs failed: `{name}-inner` failed (1 of 2 jobs failed: `{name}-b`");
        assert!(message.contains(&inner) && message.contains("exited with 3"), "{message}");
        assert!(message.contains(&format!("not run: {name}-d")), "{message}");
        let output = roadstead.run(&["logs", "1"]).stdout;
        for (part, times) in [
            ("a | from-a", 1),
            ("b | before", 1),
            ("b | after", 1),
            ("c | from-c", 1),
            ("d | from-d", 0),
        ] {
            assert_eq!(output.matches(part).count(), times, "{part} in\n{output}");
        }
        assert_eq!(daemon.stop(PATIENCE), Some(0));
        for (member, times) in [("a", 1), ("b", 1), ("c", 1), ("d", 0)] {
            let label = format!("--filter=label=dev.roadstead.job={name}-{member}");
            assert_eq!(witness.starts(member), times, "{member}");
            let left = ["ps", "--all", "--quiet", &label];
            assert_eq!(engine.docker(&left), "", "{member}");
        }
    }
}

#[test]
fn what_follows_a_work_goes_on_where_it_was() {
    let witness = Witness::new();
    let [first, second, third, last] = [
        ("first", "echo first"),
        ("second", "echo second"),
        ("third", "echo before; while ! test -e /go; do sleep 0.1; done; echo after"),
        ("last", "echo last"),
    ]
    .map(|(step, script)| witness.run(step, script));
    let first = first.strip_suffix('}').unwrap();
    let (roadstead, name) = installed(&format!(
        "{{name: NAME, {first}, then: [{{{second}}}, {{{third}}}, {{{last}}}]}}}}\n"
    ));
    let engine = Engine::shared();
    let daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    roadstead.run(&["run", &name, "--no-wait"]).ok();
    let said = || roadstead.run(&["logs", "1"]).stdout;
    wait_for("the first words", PATIENCE, || said().contains("before"));
    daemon.kill();
    let daemon = roadstead.serve();
    wait_for("the takeover", PATIENCE, || roadstead.log(&name).contains("taking over"));
    let label = format!("--filter=label=dev.roadstead.job={name}");
    let container = engine.docker(&["ps", "--quiet", &label]);
    engine.docker(&["exec", &container, "touch", "/go"]);
    let (end, message) = end_of_only_run(&roadstead);
    assert_eq!(end, "succeeded exited_zero", "{message}");
    for part in ["first", "second", "before", "after", "last"] {
        assert_eq!(said().matches(&format!("out | {part}\n")).count(), 1, "{part} in\n{}", said());
    }
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    for step in ["first", "second", "third", "last"] {
        assert_eq!(witness.starts(step), 1, "{step}");
    }
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", &label]), "");
}

#[test]
fn a_program_of_a_group_is_lost_and_the_group_ends_or_goes_on_by_its_own_rule() {
    for (how, wanted, times_of_c) in [
        ("", "1 of 3 jobs failed: `b` lost", 0),
        (", keep_going: true", "1 of 3 jobs failed: `b` lost", 1),
    ] {
        let roadstead = without_engine("");
        let line = |job: &str| format!("echo {job} >> {}", roadstead.path(job).display());
        roadstead.write_job(
            "jobs.yml",
            &format!(
                "- {{name: all, group: {{jobs: [a, b, c]{how}}}}}\n\
                 - {{name: a, command: [sh, -c, '{}']}}\n\
                 - {{name: b, command: [sh, -c, '{}; sleep 100000']}}\n\
                 - {{name: c, command: [sh, -c, '{}']}}\n\
                 - {{name: told, after: {{job: all, on: failure}}, command: ['true']}}\n",
                line("a"),
                line("b"),
                line("c")
            ),
        );
        let daemon = serve(&roadstead);
        roadstead.run(&["run", "all", "--no-wait"]).ok();
        wait_for("the second", PATIENCE, || roadstead.path("b").exists());
        daemon.kill();
        let daemon = serve(&roadstead);
        wait_for("the ends", PATIENCE, || {
            let all = runs(&roadstead, &[]);
            all.len() == 2 && all.iter().all(|run| !run["ended"].is_null())
        });
        let all = runs(&roadstead, &[]);
        assert_eq!(end_of(&all[0]), "failed member_failed");
        let message = all[0]["message"].as_str().unwrap();
        assert!(message.starts_with(wanted), "{message}");
        assert_eq!(message.contains("not run: c"), times_of_c == 0, "{message}");
        assert_eq!(end_of(&all[1]), "succeeded exited_zero");
        for (job, times) in [("a", 1), ("b", 1), ("c", times_of_c)] {
            let written = std::fs::read_to_string(roadstead.path(job)).unwrap_or_default();
            assert_eq!(written.lines().count(), times, "{job}");
        }
        assert_eq!(daemon.stop(PATIENCE), Some(0));
    }
}

#[test]
fn a_remote_job_is_looked_at_again_and_not_asked_for_twice() {
    let server = Server::web(&[]);
    let roadstead = without_engine(&format!(
        "- name: remote\n  ogc_process:\n    url: {0}/weaver\n    provider: finch\n    process: heat\n    \
         inputs: {{x: 42}}\n    login: {{url: '{0}/weaver/signin', method: POST}}\n    \
         poll: {{min: 2s, max: 2s}}\n\
         - {{name: all, group: [remote]}}\n",
        server.url
    ));
    let daemon = serve(&roadstead);
    for (run, job) in [("1", "remote"), ("2", "all")] {
        roadstead.run(&["run", job, "--no-wait"]).ok();
        let said = || roadstead.run(&["logs", run]).stdout;
        wait_for("the first look", PATIENCE, || said().contains("remote line 1"));
    }
    daemon.kill();
    let daemon = serve(&roadstead);
    wait_for("the ends", PATIENCE, || {
        runs(&roadstead, &[]).iter().all(|run| !run["ended"].is_null())
    });
    for (index, end) in [(0, "succeeded done"), (1, "succeeded done")] {
        let run = &runs(&roadstead, &[])[index];
        assert_eq!(end_of(run), end, "{run}");
        let said = roadstead.run(&["logs", &run["id"].to_string()]).stdout;
        let is_same = said.contains(&format!("/weaver/jobs/job-{}\n", index + 1));
        assert!(is_same && said.matches("| job http").count() == 1, "{said}");
        for line in 1..=4 {
            let line = format!("remote line {line}");
            assert_eq!(said.matches(&line).count(), 1, "{line}: {said}");
        }
    }
    let found = details(&roadstead)["results"]["members"]["remote"]["results"].clone();
    assert_eq!(found, serde_json::json!({"answer": 42, "list": [1, 2]}));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

/// One that is cancelled after a restart is dismissed there.
#[test]
fn a_remote_job_is_dismissed_also_by_the_one_who_came_later() {
    let server = Server::web(&[]);
    let roadstead = without_engine(&format!(
        "name: remote\nogc_process:\n  url: {0}/weaver\n  provider: finch\n  process: heat\n  \
         inputs: {{ends: never}}\n  login: {{url: '{0}/weaver/signin', method: POST}}\n  \
         poll: {{min: 100ms, max: 1s}}\n",
        server.url
    ));
    let daemon = serve(&roadstead);
    roadstead.run(&["run", "remote", "--no-wait"]).ok();
    let said = || roadstead.run(&["logs", "1"]).stdout;
    wait_for("the first look", PATIENCE, || said().contains("remote line 1"));
    daemon.kill();
    let daemon = serve(&roadstead);
    wait_for("a look", PATIENCE, || roadstead.log("remote").contains("looks on at"));
    roadstead.run(&["cancel", "remote"]).ok();
    let (end, message) = end_of_only_run(&roadstead);
    assert_eq!(end, "cancelled requested", "{message}");
    assert!(message.contains("was dismissed"), "{message}");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_run_of_a_job_in_labels_waits_until_they_are_read() {
    let engine = Engine::shared();
    let name = unique("labels");
    let label = |rest: &str| format!("--label=ofelia.job-exec.{name}.{rest}");
    engine.docker(&[
        "run",
        "--detach",
        "--name",
        &name,
        "--label=ofelia.enabled=true",
        &label("schedule=@every 1s"),
        &label("no-overlap=true"),
        &label("command=sleep 600"),
        &label("user=0"),
        "rs-test/app:1",
        "sleep",
        "600",
    ]);
    let roadstead = Roadstead::new(&engine.host(), "AUTODEPLOY_OFELIA_LABELS=true");
    let daemon = roadstead.serve();
    let first = || runs(&roadstead, &[]).into_iter().next();
    wait_for("a run", PATIENCE, || first().is_some_and(|run| run["outcome"] == "running"));
    daemon.kill();
    let daemon = roadstead.serve();
    wait_for("its end", PATIENCE, || first().is_some_and(|run| !run["ended"].is_null()));
    // Not `job_gone`.
    assert_eq!(end_of(&first().unwrap()), "lost crashed");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    engine.docker(&["rm", "--force", &name]);
}

#[test]
fn a_deploy_inside_a_group_is_left_alone_while_another_run_is_repaired() {
    let engine = Engine::shared();
    let compose = |image: &str| format!("services:\n  web: {{image: 'rs-test/{image}'}}\n");
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(engine, &proxy.host(), &[("compose.yml", &compose("app:1"))]);
    scene.set_env_local("AUTODEPLOY_PLATFORM_FREQUENCY=@manual");
    scene.deploy().ok();
    let other = unique("other");
    scene.roadstead.write_job(
        "jobs.yml",
        &format!(
            "- {{name: all, group: [autodeploy]}}\n\
             - {{name: {other}, run: {{image: 'rs-test/app:1', command: ['true']}}}}\n"
        ),
    );
    scene.project.push(&[("compose.yml", &compose("app:2"))]);
    let daemon = scene.roadstead.serve();
    wait_for("the daemon", PATIENCE, || scene.roadstead.run(&["health"]).code == Some(0));
    // The new container is there, the old one stands still.
    let start = proxy.catch("POST", "/start", Hold::Request);
    scene.roadstead.run(&["run", "all", "--no-wait"]).ok();
    start.wait(PATIENCE);
    // Another run loses the Engine, and what is half done is looked for.
    let create = proxy.catch("POST", "/containers/create", Hold::Request);
    scene.roadstead.run(&["run", &other, "--no-wait"]).ok();
    create.wait(PATIENCE);
    drop(create);
    let answers = || daemon.console().matches("answers").count() >= 2;
    wait_for("another look at the Engine", PATIENCE, answers);
    start.release();
    wait_for("the end of the group", PATIENCE, || {
        scene.runs().iter().any(|run| run["job"] == "all" && !run["ended"].is_null())
    });
    let of_group = scene.runs().into_iter().find(|run| run["job"] == "all").unwrap();
    assert_eq!(of_group["outcome"], "succeeded", "{of_group}\n{}", daemon.console());
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert!(!daemon.console().contains("interrupted run"), "{}", daemon.console());
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_run_whose_file_is_broken_at_the_restart_waits_until_it_is_mended() {
    let witness = Witness::new();
    let work = witness.run("it", "while ! test -e /go; do sleep 0.1; done; echo after; exit 3");
    let text = format!("{{name: NAME, {work}}}\n");
    let (roadstead, name) = installed(&text);
    let text = text.replace("NAME", &name);
    let engine = Engine::shared();
    let daemon = roadstead.serve();
    wait_for("the daemon", PATIENCE, || roadstead.run(&["health"]).code == Some(0));
    roadstead.run(&["run", &name, "--no-wait"]).ok();
    wait_for("the container", PATIENCE, || witness.starts("it") == 1);
    daemon.kill();
    roadstead.write_job("job.yml", &text.replace("run:", "runn:"));
    let daemon = roadstead.serve();
    wait_for("the warning", PATIENCE, || daemon.console().contains("cannot be read"));
    assert_eq!(runs(&roadstead, &[])[0]["outcome"], "running");
    roadstead.write_job("job.yml", &text);
    wait_for("the takeover", PATIENCE, || roadstead.log(&name).contains("taking over"));
    let label = format!("--filter=label=dev.roadstead.job={name}");
    let container = engine.docker(&["ps", "--quiet", &label]);
    engine.docker(&["exec", &container, "touch", "/go"]);
    let (end, message) = end_of_only_run(&roadstead);
    assert_eq!(end, "failed exited_non_zero", "{message}");
    assert_eq!(witness.starts("it"), 1);
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", &label]), "");
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}
