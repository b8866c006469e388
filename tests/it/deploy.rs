//! A push becomes a running container, and only what it changed moves.

#![expect(clippy::unwrap_used, reason = "a test fails at the first surprise")]

use std::time::Duration;

use serde_json::Value;

use crate::support::scene::PATIENCE;
use crate::support::{Scene, TempProject, wait_for};

const ONE: &str = "\
services:
  web: {image: 'rs-test/app:1'}
  other: {image: 'rs-test/app:1'}
";

fn two() -> String {
    ONE.replacen("app:1", "app:2", 1)
}

#[test]
fn a_push_replaces_what_changed_within_a_poll_and_the_log_tells_it() {
    let scene = Scene::new(&[("compose.yml", ONE)]);
    let mut daemon = scene.roadstead.serve();
    let first = scene.wait_for_run("succeeded", 1);
    let (web, other) = (scene.id("web"), scene.state("other"));

    let commit = scene.project.push(&[("compose.yml", &two())]);
    let run = scene.wait_for_run("succeeded", 2);

    assert_ne!(scene.id("web"), web);
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert_eq!(scene.state("other"), other, "a service that did not change keeps its container");
    assert_eq!(scene.names(), scene.names_of(&["other", "web"]));
    assert_eq!(scene.project.checked_out(), commit);
    assert!(scene.applied().contains(&commit), "{}", scene.applied());
    assert_eq!(run["reason"], "applied");
    assert!(run["revision"].to_string().contains(&commit), "{run}");

    let number = run["id"].to_string();
    wait_for("the end marker", PATIENCE, || story(&scene, &run).contains("END_TIME="));
    let story = story(&scene, &run);
    let short = &commit[..7];
    let told = [
        "autodeploy START_TIME=",
        "started by schedule",
        &format!("source {}: ", scene.project.name()),
        &format!("behind by 1 commit in {}: ", scene.project.name()),
        "\"Change compose.yml\" by Ada, 1 files",
        &format!("plan for {} at main@{short}: 1 to replace, 1 unchanged", scene.project.name()),
        &format!("fast-forward {} to {short}: done", scene.project.name()),
        &format!(
            "replace container {} (configuration changed): running after",
            scene.container("web")
        ),
        "succeeded (applied) after",
        "autodeploy finished START_TIME=",
        "autodeploy finished   END_TIME=",
    ];
    let mut rest = story.as_str();
    for line in told {
        let Some((_, after)) = rest.split_once(line) else {
            panic!("`{line}` is missing, or comes too early, in\n{story}")
        };
        rest = after;
    }
    let lines = story.lines().filter(|line| !line.trim().is_empty()).count();
    assert!((8..=16).contains(&lines), "{lines} lines\n{story}");

    let logged = scene.roadstead.run(&["logs", &number]).ok();
    assert!(logged.contains("plan for") && logged.contains("succeeded (applied)"), "{logged}");
    assert!(!logged.contains(&format!("run {}:", first["id"])), "{logged}");
    let steps = scene.roadstead.run(&["runs", "--json", &number]).ok();
    let steps: Value = serde_json::from_str(&steps).unwrap();
    let names: Vec<_> = steps["steps"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    let wanted = ["create container", "stop container", "start container", "remove old container"];
    for wanted in wanted {
        assert!(names.iter().any(|it| it.to_string().contains(wanted)), "{wanted} in {names:?}");
    }
    assert!(scene.roadstead.run(&["runs"]).ok().contains(short));
    assert_eq!(scene.roadstead.run(&["health"]).code, Some(0));
    assert!(daemon.is_running());
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

/// The lines of the log from the start marker of a run to the end.
fn story(scene: &Scene<'_>, run: &Value) -> String {
    let log = scene.roadstead.log("autodeploy");
    let begin = log.find(&format!("run {}: ", run["id"])).unwrap_or(0);
    let begin = log[..begin].rfind("==========").unwrap_or(0);
    let text = &log[begin..];
    let end = text.find("END_TIME=").and_then(|at| Some(at + text[at..].find('\n')?));
    text[..end.unwrap_or(text.len())].to_owned()
}

#[test]
fn a_commit_that_changes_no_service_is_applied_and_touches_no_container() {
    let scene = Scene::new(&[("compose.yml", ONE)]);
    scene.deploy().ok();
    let before = [scene.state("web"), scene.state("other")];
    let commit = scene.project.push(&[("README.md", "Read me.\n")]);
    let said = scene.deploy().ok();
    assert!(said.contains("2 containers, nothing to do"), "{said}");
    assert_eq!([scene.state("web"), scene.state("other")], before);
    assert_eq!(scene.project.checked_out(), commit);
    assert!(scene.applied().contains(&commit));
    assert_eq!(scene.runs_that("succeeded").len(), 2);
    scene.deploy().ok();
    assert_eq!(scene.runs_that("unchanged").len(), 1);
}

#[test]
fn plan_tells_what_would_change_and_changes_nothing() {
    let scene = Scene::new(&[("compose.yml", ONE)]);
    scene.deploy().ok();
    assert_eq!(scene.roadstead.run(&["plan"]).code, Some(0));
    let (before, at) = (scene.state("web"), scene.project.checked_out());
    scene.project.push(&[("compose.yml", &two())]);
    let plan = scene.roadstead.run(&["plan"]);
    assert_eq!(plan.code, Some(3), "{}", plan.stderr);
    let wanted = format!("replace container {} (configuration changed)", scene.container("web"));
    assert!(plan.stdout.contains(&wanted), "{}", plan.stdout);
    assert_eq!((scene.state("web"), scene.project.checked_out()), (before, at));
}

#[test]
fn a_variable_in_a_second_repository_moves_only_the_service_that_uses_it() {
    let compose = "\
services:
  web: {image: 'rs-test/app:1', environment: {GREETING: '${GREETING:?set it}'}}
  other: {image: 'rs-test/app:1'}
";
    let scene = Scene::new(&[("compose.yml", compose)]);
    let second = TempProject::new(&[("env.local", "")]);
    let file = second.checkout().join("env.local");
    // The isolating lines of the rig, and what the second repository says.
    let write = |greeting: &str| {
        let checkouts =
            format!("{} {}", scene.project.checkout().display(), second.checkout().display());
        scene.set_env_local(&format!(
            "AUTODEPLOY_EXTRA_REPOS='{checkouts}'\nexport GREETING=\"{greeting}\""
        ));
        let text = std::fs::read_to_string(scene.roadstead.path("env.local")).unwrap();
        second.push(&[("env.local", &text)])
    };
    write("good morning");
    crate::support::project::git(&second.checkout(), &["pull", "--quiet"]);
    // From now on the program reads the file of the checkout.
    std::fs::remove_file(scene.roadstead.path("env.local")).unwrap();
    std::os::unix::fs::symlink(&file, scene.roadstead.path("env.local")).unwrap();
    scene.deploy().ok();
    let (web, other) = (scene.id("web"), scene.id("other"));

    std::fs::remove_file(scene.roadstead.path("env.local")).unwrap();
    let commit = write("good evening");
    std::fs::remove_file(scene.roadstead.path("env.local")).unwrap();
    std::os::unix::fs::symlink(&file, scene.roadstead.path("env.local")).unwrap();
    scene.deploy().ok();

    assert_ne!(scene.id("web"), web);
    assert_eq!(scene.id("other"), other);
    assert!(scene.inspect("web", "{{.Config.Env}}").unwrap().contains("GREETING=good evening"));
    assert_eq!(second.checked_out(), commit);
    assert!(scene.applied().contains(&commit));
}

#[test]
fn a_changed_env_file_makes_the_container_new() {
    let compose = "services:\n  web: {image: 'rs-test/app:1', env_file: [web.env]}\n  other: {image: 'rs-test/app:1'}\n";
    let scene = Scene::new(&[("compose.yml", compose), ("web.env", "COLOR=red\n")]);
    scene.deploy().ok();
    let (web, other) = (scene.id("web"), scene.id("other"));
    scene.project.push(&[("web.env", "COLOR=blue\n")]);
    scene.deploy().ok();
    assert_ne!(scene.id("web"), web);
    assert_eq!(scene.id("other"), other);
    assert!(scene.inspect("web", "{{.Config.Env}}").unwrap().contains("COLOR=blue"));
}

#[test]
fn services_start_when_what_they_depend_on_is_ready() {
    let compose = "\
services:
  web:
    image: rs-test/app:1
    depends_on:
      migrate: {condition: service_completed_successfully}
      db: {condition: service_healthy}
  migrate:
    image: rs-test/app:1
    command: [sh, -c, sleep 1]
    depends_on: {db: {condition: service_healthy}}
  db:
    image: rs-test/app:1
    command: [sh, -c, 'sleep 1; touch /ready; sleep 100000']
    healthcheck: {test: [CMD, test, -e, /ready], interval: 300ms, retries: 50}
";
    let scene = Scene::new(&[("compose.yml", compose)]);
    scene.deploy().ok();
    let time = |service: &str, what: &str| scene.inspect(service, what).unwrap();
    let healthy = time("db", "{{(index .State.Health.Log 0).Start}}");
    assert!(!healthy.is_empty());
    // RFC 3339 in UTC compares as text.
    let (db, migrate) =
        (time("db", "{{.State.StartedAt}}"), time("migrate", "{{.State.StartedAt}}"));
    let (done, web) =
        (time("migrate", "{{.State.FinishedAt}}"), time("web", "{{.State.StartedAt}}"));
    assert!(db < migrate && migrate < done && done <= web, "{db} {migrate} {done} {web}");
    // The database says it is ready a second after its start, and not before.
    let seconds = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    assert!(seconds(&migrate) - seconds(&db) >= chrono::TimeDelta::milliseconds(900));

    // A one-shot that ended well is not run again.
    let (migrated, database) = (scene.state("migrate"), scene.state("db"));
    scene.project.push(&[("compose.yml", &compose.replacen("app:1", "app:2", 1))]);
    scene.deploy().ok();
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert_eq!(scene.state("migrate"), migrated);
    assert_eq!(time("migrate", "{{.State.FinishedAt}}"), done);
    assert_eq!(scene.state("db"), database);
}

#[test]
fn services_that_are_gone_lose_their_containers_and_replicas_follow_their_number() {
    let scale = |count: u8| {
        format!("services:\n  web: {{image: 'rs-test/app:1', deploy: {{replicas: {count}}}}}\n")
    };
    let with_other = format!("{}  other: {{image: 'rs-test/app:1'}}\n", scale(3));
    let scene = Scene::new(&[("compose.yml", &with_other)]);
    scene.deploy().ok();
    let name = scene.project.name();
    let web = |numbers: &[u8]| -> Vec<String> {
        numbers.iter().map(|number| format!("{name}-web-{number}")).collect()
    };
    let mut all = vec![scene.container("other")];
    all.extend(web(&[1, 2, 3]));
    assert_eq!(scene.names(), all);
    let first = scene.id("web");

    scene.project.push(&[("compose.yml", &scale(2))]);
    let said = scene.deploy().ok();
    assert!(said.contains("2 to remove"), "{said}");
    assert_eq!(scene.names(), web(&[1, 2]));

    scene.project.push(&[("compose.yml", &scale(4))]);
    scene.deploy().ok();
    assert_eq!(scene.names(), web(&[1, 2, 3, 4]));
    assert_eq!(scene.id("web"), first, "a change of the number alone makes nothing new");
}

#[test]
fn a_project_of_our_own_clone_is_deployed_and_followed() {
    let scene = Scene::new(&[("compose.yml", ONE)]);
    let project = scene.project.name();
    let url = format!("file://{}", scene.project.remote().display());
    scene.replace_env_local(&format!(
        "AUTODEPLOY_REPOS={url}#main\nAUTODEPLOY_PLATFORM_FREQUENCY='*/1 * * * * *'\n\
         AUTODEPLOY_HEALTH_STABLE_FOR=1s"
    ));
    // The name is the repository's, and that of every test's remote; a job file gives another.
    scene.roadstead.write_job(
        "remote.yml",
        &format!(
            "name: remote\nschedule: '*/1 * * * * *'\ndeploy:\n  source: {{repo: '{url}', ref: main}}\n  \
             project: {project}\n  health: {{stable_for: 1s}}\n"
        ),
    );
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let other = scene.id("other");
    scene.project.push(&[("compose.yml", &two())]);
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some("rs-test/app:2"));
    assert_eq!(scene.id("other"), other);
    assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
}
