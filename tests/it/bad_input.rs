//! Bad input: nothing that ran is touched, the message says what to do, the exit code is right.

#![expect(clippy::unwrap_used, reason = "a test fails at the first surprise")]

use crate::support::scene::PATIENCE;
use crate::support::{Engine, Registry, Roadstead, Scene, project::git, unique, wait_for};

const GOOD: &str = "services:\n  web: {image: 'rs-test/app:1'}\n";

/// Something a person gets wrong after a good deploy, and what the next deploy says.
struct Mistake<'a> {
    make: &'a dyn Fn(&Scene<'_>),
    code: i32,
    /// Reason in the store; empty where no run can begin.
    reason: &'a str,
    says: &'a [&'a str],
}

#[track_caller]
fn check(mistake: &Mistake<'_>) {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.deploy().ok();
    let (web, at) = (scene.state("web"), scene.project.checked_out());
    (mistake.make)(&scene);
    let said = scene.deploy().fails_with(mistake.code);
    for part in mistake.says {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
    assert_eq!(scene.state("web"), web, "what ran still runs\n{said}");
    assert_eq!(scene.names(), scene.names_of(&["web"]));
    if scene.project.checkout().join(".git").exists() {
        let head = git(&scene.project.checkout(), &["rev-parse", "HEAD"]);
        let unmoved = head == at || mistake.reason == "diverged" || mistake.reason == "dirty";
        assert!(unmoved, "the checkout was moved\n{said}");
    }
    if !mistake.reason.is_empty() {
        let run = &scene.runs()[0];
        assert_eq!(run["reason"], mistake.reason, "{run}");
        assert_ne!(run["outcome"], "succeeded");
    }
}

#[test]
fn a_broken_env_local_stops_a_deploy_before_it_begins() {
    let make = |scene: &Scene<'_>| {
        scene.set_env_local(
            "GREETING='never closed\nexport NOW=$(date)\nAUTODEPLOY_GIT_TIMEOUT=soon",
        );
    };
    check(&Mistake { make: &make, code: 2, reason: "", says: &["env.local", "quote"] });
}

#[test]
fn everything_wrong_with_env_local_is_said_at_once_with_its_line() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    roadstead.write_env_local(
        "NOW=$(date)\nAUTODEPLOY_GIT_TIMEOUT=soon\nAUTODEPLOY_LOG_KEEP=many\nCOMPOSE_DIR=relative/path",
    );
    let said = roadstead.run(&["check"]).fails_with(2);
    for part in ["env.local:6", "AUTODEPLOY_GIT_TIMEOUT", "AUTODEPLOY_LOG_KEEP", "COMPOSE_DIR"] {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
}

#[test]
fn an_unknown_variable_fails_check_and_only_warns_serve() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.set_env_local("AUTODEPLOY_EXTRA_REPO=/srv/stack");
    let said = scene.roadstead.run(&["check"]).fails_with(2);
    assert!(said.contains("AUTODEPLOY_EXTRA_REPO`"), "{said}");
    assert!(said.contains("did you mean `AUTODEPLOY_EXTRA_REPOS`"), "{said}");

    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let console = daemon.console();
    assert!(console.contains("WARN"), "{console}");
    assert!(console.contains("AUTODEPLOY_EXTRA_REPO`"), "{console}");
    assert!(scene.roadstead.log("roadstead").contains("AUTODEPLOY_EXTRA_REPO`"));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_configuration_that_breaks_while_serving_is_told_once_and_changes_nothing() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let web = scene.state("web");
    scene.set_env_local("AUTODEPLOY_GIT_TIMEOUT=soon");
    scene.wait_for_run("blocked", 3);
    assert_eq!(scene.state("web"), web);
    let told = daemon.console().matches("the configuration stays as it was").count();
    assert_eq!(told, 1, "{}", daemon.console());
    scene.set_env_local("");
    let before = scene.runs_that("unchanged").len();
    scene.wait_for_run("unchanged", before + 1);
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_missing_directory_is_named() {
    let make = |scene: &Scene<'_>| {
        let checkout = scene.project.checkout();
        std::fs::rename(&checkout, checkout.with_extension("gone")).unwrap();
    };
    let says = ["does not exist"];
    check(&Mistake { make: &make, code: 1, reason: "directory_missing", says: &says });
}

#[test]
fn a_directory_that_is_no_repository_is_named() {
    let make = |scene: &Scene<'_>| {
        let directory = scene.project.checkout().join(".git");
        std::fs::rename(&directory, scene.project.remote().with_extension("away")).unwrap();
    };
    let says = ["git repository"];
    check(&Mistake { make: &make, code: 1, reason: "not_a_repository", says: &says });
}

#[test]
fn a_branch_without_upstream_is_named_with_the_command_that_sets_it() {
    let make = |scene: &Scene<'_>| {
        git(&scene.project.checkout(), &["branch", "--unset-upstream"]);
    };
    let says = ["upstream", "git"];
    check(&Mistake { make: &make, code: 1, reason: "no_upstream", says: &says });
}

#[test]
fn a_diverged_checkout_is_left_to_a_person() {
    let make = |scene: &Scene<'_>| {
        git(
            &scene.project.checkout(),
            &["commit", "--quiet", "--allow-empty", "--message", "mine"],
        );
        scene.project.push(&[("compose.yml", &GOOD.replace("app:1", "app:2"))]);
    };
    let says = ["diverged"];
    check(&Mistake { make: &make, code: 1, reason: "diverged", says: &says });
}

#[test]
fn a_dirty_checkout_is_left_to_a_person() {
    let make = |scene: &Scene<'_>| {
        let file = scene.project.checkout().join("compose.yml");
        std::fs::write(file, GOOD.replace("app:1", "app:1  ")).unwrap();
        scene.project.push(&[("compose.yml", &GOOD.replace("app:1", "app:2"))]);
    };
    let says = ["compose.yml"];
    check(&Mistake { make: &make, code: 1, reason: "dirty", says: &says });
}

#[test]
fn an_unreachable_remote_is_named() {
    let make = |scene: &Scene<'_>| {
        let remote = scene.project.remote();
        std::fs::rename(&remote, remote.with_extension("gone")).unwrap();
    };
    check(&Mistake { make: &make, code: 1, reason: "remote_unreachable", says: &["remote.git"] });
}

/// A compose file nobody can load: what is pushed, and what is said.
#[test]
fn a_compose_file_that_cannot_be_loaded_is_told_with_its_line() {
    let rows: [(&str, &[&str]); 5] = [
        ("services:\n  web:\n    image: 'rs-test/app:1\n", &["compose.yml:3"]),
        ("services:\n  web:\n\timage: x\n", &["compose.yml:3"]),
        (
            "services:\n  web:\n    image: rs-test/app:1\n    prots: ['80']\n",
            &["compose.yml:4", "prots", "ports"],
        ),
        (
            "services:\n  web:\n    image: 'rs-test/app:${VERSION:?set the version}'\n",
            &["VERSION", "set the version", "compose.yml:3"],
        ),
        ("services:\n  web: {image: 'rs-test/app:1', env_file: [missing.env]}\n", &["missing.env"]),
    ];
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.deploy().ok();
    let (web, at) = (scene.state("web"), scene.project.checked_out());
    for (text, says) in rows {
        scene.project.push(&[("compose.yml", text)]);
        let said = scene.deploy().fails_with(1);
        for part in says {
            assert!(said.contains(part), "`{part}` is missing in\n{said}");
        }
        assert_eq!(scene.runs()[0]["reason"], "compose_invalid");
        assert_eq!(scene.runs()[0]["outcome"], "blocked");
        assert_eq!((scene.state("web"), scene.project.checked_out()), (web.clone(), at.clone()));
    }
    // `compose config` finds the same, and says it is the input's fault.
    let said = scene.compose(&["-f", "missing.yml", "config"]).fails_with(2);
    assert!(said.contains("missing.yml"), "{said}");
    scene.project.push(&[("compose.yml", &GOOD.replace("app:1", "app:2"))]);
    scene.deploy().ok();
}

#[test]
fn an_image_the_registry_does_not_have_is_named_and_nothing_is_touched() {
    let registry = Registry::start();
    let reference = registry.reference("nothing:1");
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.deploy().ok();
    let (web, at) = (scene.state("web"), scene.project.checked_out());
    scene.project.push(&[("compose.yml", &GOOD.replace("rs-test/app:1", &reference))]);
    let said = scene.deploy().fails_with(1);
    assert!(said.contains(&reference) && said.contains("nothing that ran was touched"), "{said}");
    assert_eq!(scene.runs()[0]["reason"], "image_unavailable");
    assert_eq!((scene.state("web"), scene.project.checked_out()), (web, at));

    // Once it is there, the same commit goes through without a person.
    let daemon = scene.roadstead.serve();
    let pushed = registry.push(scene.engine, "rs-test/app:2", "nothing:1");
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.inspect("web", "{{.Config.Image}}").as_deref(), Some(pushed.as_str()));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}

#[test]
fn a_registry_that_is_down_is_named_and_nothing_is_touched() {
    let port = crate::support::free_port();
    let image = format!("127.0.0.1:{port}/{}:1", unique("app"));
    let push = GOOD.replace("rs-test/app:1", &image);
    let make = |scene: &Scene<'_>| {
        // The checkout stays where it was: the image comes first.
        scene.project.push(&[("compose.yml", &push)]);
    };
    check(&Mistake { make: &make, code: 1, reason: "image_unavailable", says: &[&image] });
}

#[test]
fn a_broken_job_file_loses_its_jobs_only() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    scene.roadstead.write_job("broken.yml", "name: broken\nschedlue: '@daily'\nrun: {image: x}\n");
    let said = scene.roadstead.run(&["check"]).fails_with(2);
    assert!(said.contains("broken.yml:2") && said.contains("`schedule`"), "{said}");
    scene.deploy().ok();
}

#[test]
fn a_job_nobody_wrote_is_named_with_the_nearest() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    let said = scene.roadstead.run(&["run", "autodepoly"]).fails_with(2);
    assert!(said.contains("did you mean `autodeploy`"), "{said}");
    scene.roadstead.run(&["deploy", "nothing"]).fails_with(2);
    scene.roadstead.run(&["no-such-command"]).fails_with(2);
    scene.replace_env_local("");
    let said = scene.deploy().fails_with(2);
    assert!(said.contains("AUTODEPLOY_EXTRA_REPOS"), "{said}");
}

#[test]
fn a_remote_that_is_down_is_looked_at_again_with_the_next_poll() {
    let scene = Scene::new(&[("compose.yml", GOOD)]);
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let web = scene.state("web");
    let (remote, gone) = (scene.project.remote(), scene.project.remote().with_extension("gone"));
    std::fs::rename(&remote, &gone).unwrap();
    let run = scene.wait_for_run("failed", 2);
    assert_eq!(run["reason"], "remote_unreachable");
    assert_eq!(scene.state("web"), web);
    std::fs::rename(&gone, &remote).unwrap();
    scene.project.push(&[("compose.yml", &GOOD.replace("app:1", "app:2"))]);
    scene.wait_for_run("succeeded", 2);
    wait_for("the new version", PATIENCE, || {
        scene.inspect("web", "{{.Config.Image}}").as_deref() == Some("rs-test/app:2")
    });
    assert_eq!(daemon.stop(PATIENCE), Some(0));
}
