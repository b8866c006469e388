//! `cache_sync`: what a server in either dialect answers, and what a run says about it.

#![expect(clippy::unwrap_used, reason = "a test drives servers and fails loudly")]

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::qjazz::{Fault, Qjazz, State, pools};
use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, Scene, wait_for};

/// An installation whose job `sync` synchronises the pools of a server.
fn installed(server: &Qjazz, keys: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    write(&roadstead, server, keys);
    roadstead
}

fn write(roadstead: &Roadstead, server: &Qjazz, keys: &str) {
    let url = server.url();
    roadstead.write_job("job.yml", &format!("name: sync\ncache_sync: {{url: '{url}', {keys}}}\n"));
}

/// The newest run: outcome, reason, message, and what it kept.
fn newest(roadstead: &Roadstead) -> (String, String, String, Value) {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let run = roadstead.run(&["runs", &runs[0]["id"].to_string(), "--json"]).ok();
    let run: Value = serde_json::from_str(&run).unwrap();
    let word = |key: &str| runs[0][key].as_str().unwrap_or_default().to_owned();
    (word("outcome"), word("reason"), word("message"), run["details"]["results"].clone())
}

/// What a row expects: outcome and reason, words of the message, and values of the results by pointer.
struct Expected<'a>(&'a str, &'a str, &'a [(&'a str, Value)]);

/// Runs the job against such a server, once.
#[track_caller]
fn check(what: &str, state: State, keys: &str, expected: &Expected<'_>) {
    let server = Qjazz::start(state);
    let roadstead = installed(&server, keys);
    let output = roadstead.run(&["run", "sync", "--wait"]);
    let (outcome, reason, message, results) = newest(&roadstead);
    let ended = format!("{outcome} ({reason})");
    assert_eq!(ended, expected.0, "{what}: {message} {results:#}");
    assert!(message.contains(expected.1), "{what}: {message}");
    for (pointer, value) in expected.2 {
        assert_eq!(results.pointer(pointer), Some(value), "{what}: {pointer} in {results:#}");
    }
    let code = i32::from(outcome == "failed");
    assert_eq!(output.code, Some(code), "{what}: {}", output.stderr);
}

fn admin(rows: &[&str]) -> State {
    State { pools: pools(rows), ..State::default() }
}

fn map(rows: &[&str]) -> State {
    State { is_map: true, ..admin(rows) }
}

fn faulty(state: State, at: &'static str, fault: Fault) -> State {
    State { faults: vec![(at, fault, usize::MAX)], ..state }
}

#[test]
fn every_backend_gets_what_one_of_them_has_and_that_is_proven() {
    let good = &["maps a x=UNCHANGED y=NEEDUPDATE", "maps b"];
    check(
        "two projects from one to the other",
        admin(good),
        "pools: maps",
        &Expected(
            "succeeded (done)",
            "maps: 2 projects on 2 backends",
            &[
                ("/dialect", json!("v1")),
                ("/pools/0/pool", json!("maps")),
                ("/pools/0/in_sync", json!(true)),
                ("/pools/0/uris", json!(2)),
                ("/pools/0/backends", json!(2)),
                ("/pools/0/missing", json!([])),
                ("/pools/0/unavailable", json!([])),
                ("/pools/0/changed", json!({"NEW": 2, "UNCHANGED": 1, "UPDATED": 1})),
            ],
        ),
    );
    check(
        "all pools, one of them empty",
        admin(&["maps a x=NEW", "maps b", "none a", "none b"]),
        "",
        &Expected(
            "succeeded (done)",
            "none: 0 projects on 2 backends",
            &[("/pools/1/in_sync", json!(true)), ("/pools/1/uris", json!(0))],
        ),
    );
    check(
        "a backend that was not known before",
        State { found_later: pools(&["maps c"]), ..admin(good) },
        "pools: maps",
        &Expected("succeeded (done)", "2 projects on 3 backends", &[]),
    );
    check(
        "what nobody has is pulled",
        admin(&["maps a", "maps b"]),
        "pools: maps, pull: /p/q.qgs",
        &Expected("succeeded (done)", "1 project on 2", &[("/pools/0/uris", json!(1))]),
    );
    check(
        "one that needs a second time",
        admin(&["maps a x=UNCHANGED", "maps b*1"]),
        "pools: maps",
        &Expected("succeeded (done)", "1 project on 2 backends", &[]),
    );
    check(
        "a project whose file is gone",
        State { gone: ["x".to_owned()].into(), ..admin(good) },
        "pools: maps",
        &Expected("succeeded (done)", "that is no more", &[("/pools/0/removed", json!(["x"]))]),
    );
}

#[test]
fn what_is_missing_is_named() {
    let lagging = || admin(&["maps a x=UNCHANGED", "maps b*9"]);
    check(
        "200 with a missing backend",
        lagging(),
        "pools: maps",
        &Expected(
            "failed (out_of_sync)",
            "x on b",
            &[
                ("/pools/0/in_sync", json!(false)),
                ("/pools/0/missing", json!([{"uri": "x", "address": "b", "status": null}])),
            ],
        ),
    );
    let down = || admin(&["maps a x=UNCHANGED", "maps !b"]);
    check(
        "a backend that must answer does not",
        down(),
        "pools: maps",
        &Expected(
            "failed (out_of_sync)",
            "no answer from b",
            &[("/pools/0/unavailable", json!(["b"])), ("/pools/0/missing", json!([]))],
        ),
    );
    check(
        "one that need not",
        down(),
        "pools: maps, require_all_backends: false",
        &Expected(
            "degraded (incomplete)",
            "no answer from b",
            &[("/pools/0/in_sync", json!(false)), ("/pools/0/unavailable", json!(["b"]))],
        ),
    );
    check(
        "what is missing on one that answers is a failure all the same",
        lagging(),
        "pools: maps, require_all_backends: false",
        &Expected("failed (out_of_sync)", "x on b", &[]),
    );
    check(
        "empty for nobody answers",
        admin(&["maps !a x=UNCHANGED", "maps !b"]),
        "pools: maps, require_all_backends: false",
        &Expected(
            "failed (no_backends)",
            "none of 2 backends answers",
            &[("/pools/0/error/class", json!("no_backends"))],
        ),
    );
    check(
        "a pool without backends",
        admin(&["maps"]),
        "pools: maps",
        &Expected("failed (no_backends)", "there is no backend", &[]),
    );
    check(
        "one pool of two",
        admin(&["good a x=NEW", "maps a x=UNCHANGED", "maps b*9"]),
        "",
        &Expected(
            "failed (out_of_sync)",
            "1 of 2 pools failed",
            &[("/pools/0/in_sync", json!(true)), ("/pools/1/missing_count", json!(1))],
        ),
    );
}

#[test]
fn each_fault_of_the_admin_service_has_its_class() {
    let cache = "PATCH /v1/pools/maps/cache";
    for (at, fault, ended, words, class) in [
        (cache, Fault::Status(401), "failed (unauthorized)", "set `token_file`", "unauthorized"),
        (cache, Fault::Status(403), "failed (unauthorized)", "fault 403", "unauthorized"),
        (cache, Fault::Status(404), "failed (unknown_pool)", "no `maps`", "unknown_pool"),
        (cache, Fault::Status(502), "failed (no_backends)", "fault 502", "no_backends"),
        (cache, Fault::Status(500), "failed (expectation_failed)", "answered 500", "status"),
        (cache, Fault::Slow, "failed (http_failed)", "no answer in time", "timeout"),
        (cache, Fault::Cut, "failed (http_failed)", "broke off", "body"),
        (cache, Fault::CutSilently, "failed (http_failed)", "broke off", "body"),
        (cache, Fault::Empty, "failed (expectation_failed)", "without a word", "empty"),
        (cache, Fault::Page, "failed (expectation_failed)", "no JSON", "answer"),
        (cache, Fault::Huge, "failed (expectation_failed)", "larger than", "too_large"),
        (cache, Fault::Redirect, "failed (expectation_failed)", "it leads to", "redirect"),
        ("GET /v1/pools/maps/b", Fault::Slow, "failed (http_failed)", "in time", "timeout"),
    ] {
        check(
            &format!("{at} {fault:?}"),
            faulty(admin(&["maps a x=NEW", "maps b"]), at, fault),
            // The largest answer takes longer than nothing.
            if matches!(fault, Fault::Slow) {
                "pools: maps, timeout: 400ms"
            } else {
                "pools: maps"
            },
            &Expected(ended, words, &[("/pools/0/error/class", json!(class))]),
        );
    }
    for (at, fault, ended) in [
        ("GET /", Fault::Status(401), "failed (unauthorized)"),
        ("GET /", Fault::Cut, "failed (http_failed)"),
        ("GET /", Fault::Status(503), "failed (no_backends)"),
        ("PATCH /v1/pools", Fault::Status(401), "failed (unauthorized)"),
    ] {
        let state = faulty(admin(&["maps a x=NEW"]), at, fault);
        check(&format!("{at} {fault:?}"), state, "pools: maps", &Expected(ended, "", &[]));
    }
    check(
        "an unknown pool does not stop the next",
        admin(&["maps a x=NEW"]),
        "pools: [nowhere, maps]",
        &Expected(
            "failed (unknown_pool)",
            "Unknown pool 'nowhere'",
            &[("/pools/1/in_sync", json!(true))],
        ),
    );
    let server = Qjazz::start(admin(&[]));
    let roadstead = installed(&server, "dialect: v1, pools: maps");
    drop(server);
    roadstead.run(&["run", "sync", "--wait"]).fails_with(1);
    let (_, reason, message, _) = newest(&roadstead);
    assert!(reason == "http_failed" && message.contains("cannot connect"), "{reason} {message}");
}

#[test]
fn the_map_server_proves_less_and_an_answer_without_a_word_is_a_failure() {
    let good = || map(&["/maps a x=UNCHANGED y=NEEDUPDATE", "/maps b"]);
    for (what, state, keys, ended, words, value) in [
        ("all", good(), "", "succeeded (done)", "unknown", ("/pools/0/in_sync", json!("unknown"))),
        (
            "one by its route",
            good(),
            "pools: maps, pull: /p/q.qgs",
            "succeeded (done)",
            "3 projects",
            ("/pools/0/changed", json!({"UNCHANGED": 2, "UPDATED": 1})),
        ),
        (
            "what is not loaded",
            map(&["/maps a*9 x=NEEDUPDATE"]),
            "pools: /maps",
            "failed (out_of_sync)",
            "x (NEEDUPDATE)",
            ("/pools/0/in_sync", json!(false)),
        ),
        (
            "no backend",
            map(&["/maps !a"]),
            "pools: /maps",
            "failed (no_backends)",
            "answered 503",
            ("/pools/0/error/class", json!("no_backends")),
        ),
        (
            "no such route",
            good(),
            "pools: /other",
            "failed (unknown_pool)",
            "no `/other`",
            ("/pools/0/error/class", json!("unknown_pool")),
        ),
    ] {
        check(what, state, keys, &Expected(ended, words, &[("/dialect", json!("map")), value]));
    }
    for (fault, ended, class) in [
        (Fault::Empty, "failed (expectation_failed)", "empty"),
        (Fault::Status(401), "failed (unauthorized)", "unauthorized"),
        (Fault::Status(404), "failed (unknown_pool)", "unknown_pool"),
        (Fault::Status(502), "failed (no_backends)", "no_backends"),
        (Fault::Status(504), "failed (http_failed)", "timeout"),
        (Fault::Slow, "failed (http_failed)", "timeout"),
        (Fault::Cut, "failed (http_failed)", "body"),
    ] {
        check(
            &format!("{fault:?}"),
            faulty(good(), "POST /maps/admin/projects", fault),
            "dialect: map, pools: /maps, timeout: 2s",
            &Expected(ended, "", &[("/pools/0/error/class", json!(class))]),
        );
    }
}

#[test]
fn a_token_is_sent_when_there_is_one_and_shown_to_nobody() {
    let secret = "s3cret-t0ken";
    let wants = || State {
        tokens: [secret.to_owned()].into(),
        wants_token: true,
        ..admin(&["maps a x=NEW", "maps b"])
    };
    let server = Qjazz::start(admin(&["maps a x=NEW", "maps b"]));
    let roadstead = installed(&server, "");
    roadstead.run(&["run", "sync"]).ok();
    assert!(
        server.authorizations().iter().all(Option::is_none),
        "no header where there is no token"
    );
    // A server that has no tokens refuses every one.
    write(&roadstead, &server, &format!("token: {secret}"));
    roadstead.run(&["run", "sync"]).fails_with(1);
    assert_eq!(newest(&roadstead).1, "unauthorized");
    let server = Qjazz::start(wants());
    std::fs::write(roadstead.path("token"), format!("{secret}\n")).unwrap();
    let file = roadstead.path("token");
    write(&roadstead, &server, &format!("token_file: '{}'", file.display()));
    roadstead.run(&["run", "sync"]).ok();
    let sent = server.authorizations();
    assert!(sent.iter().all(|it| it.as_deref() == Some("Bearer s3cret-t0ken")), "{sent:?}");
    write(&roadstead, &server, "");
    roadstead.run(&["run", "sync"]).fails_with(1);
    let (_, reason, message, _) = newest(&roadstead);
    assert!(reason == "unauthorized" && message.contains("token_file"), "{reason} {message}");
    std::fs::write(&file, "\n").unwrap();
    write(&roadstead, &server, &format!("token_file: '{}'", file.display()));
    roadstead.run(&["run", "sync"]).fails_with(1);
    assert_eq!(newest(&roadstead).1, "prepare_failed");
    let said = format!("{}{}", roadstead.log("sync"), roadstead.run(&["runs", "--json"]).ok());
    assert!(!said.contains(secret), "{said}");
}

#[test]
fn what_may_be_mended_is_tried_again_and_nothing_else() {
    for (fault, ended, tries) in [
        (Fault::Status(502), "succeeded", 3),
        (Fault::Status(404), "failed", 1),
        (Fault::Status(401), "failed", 1),
        (Fault::Cut, "succeeded", 3),
    ] {
        let cache = "PATCH /v1/pools/maps/cache";
        let state = State { faults: vec![(cache, fault, 2)], ..admin(&["maps a x=NEW", "maps b"]) };
        let server = Qjazz::start(state);
        let roadstead = Roadstead::new(&Engine::shared().host(), "");
        let text = format!(
            "name: sync\nretry: {{max: 4, backoff: 10ms}}\ncache_sync: {{url: '{}', pools: maps}}\n",
            server.url()
        );
        roadstead.write_job("job.yml", &text);
        roadstead.run(&["run", "sync"]);
        assert_eq!(newest(&roadstead).0, ended, "{fault:?}");
        let asked = server.asked().iter().filter(|it| *it == cache).count();
        assert_eq!(asked, tries, "{fault:?}");
    }
}

#[test]
fn plan_and_dry_run_only_read() {
    for state in [
        admin(&["maps a x=UNCHANGED y=UNCHANGED", "maps b y=NEEDUPDATE"]),
        map(&["/maps a x=UNCHANGED y=NEEDUPDATE"]),
    ] {
        let is_map = state.is_map;
        let server = Qjazz::start(state);
        let roadstead = installed(&server, "dry_run: true, pull: z");
        let plan = roadstead.run(&["plan", "sync"]).fails_with(3);
        let expected = if is_map {
            &["missing: y (NEEDUPDATE)", "missing: z"][..]
        } else {
            &["missing: x on b", "missing: y on b (NEEDUPDATE)", "missing: z on a"]
        };
        for line in expected {
            assert!(plan.contains(line), "{plan}");
        }
        let told = roadstead.run(&["plan", "sync", "--json"]).fails_with(3);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["plan"]["pools"][0]["in_sync"], false, "{told:#}");
        roadstead.run(&["run", "sync"]).ok();
        assert!(roadstead.log("sync").contains(expected[0]), "{}", roadstead.log("sync"));
        assert!(newest(&roadstead).2.contains("nothing was done"));
        assert!(server.asked().iter().all(|it| it.starts_with("GET ")), "{:?}", server.asked());
        // Once it is done there is nothing more to do.
        write(&roadstead, &server, "pull: z");
        roadstead.run(&["run", "sync"]).ok();
        roadstead.run(&["plan", "sync"]).ok();
    }
    let server = Qjazz::start(admin(&["maps a x=NEW", "maps !b"]));
    let roadstead = installed(&server, "");
    let plan = roadstead.run(&["plan", "sync"]).ok();
    assert!(plan.contains("trouble: maps: no answer from b"), "{plan}");
}

#[test]
fn a_cancelled_run_says_how_far_it_came() {
    let slow =
        faulty(admin(&["good a x=NEW", "maps a"]), "PATCH /v1/pools/maps/cache", Fault::Slow);
    let server = Qjazz::start(slow);
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    let text = format!("name: sync\ntimeout: 1s\ncache_sync: {{url: '{}'}}\n", server.url());
    roadstead.write_job("job.yml", &text);
    roadstead.run(&["run", "sync"]).fails_with(1);
    let (outcome, _, message, results) = newest(&roadstead);
    assert!(
        outcome == "timed_out" && message.contains("stopped after 1 pool"),
        "{outcome} {message}"
    );
    assert_eq!(results["pools"][0]["in_sync"], true, "{results:#}");
}

/// The ready job, set off by a deploy that scales the service and by the containers that start.
#[test]
fn the_ready_job_runs_after_a_scale_up() {
    let compose = |count: usize| {
        format!("services:\n  web: {{image: 'rs-test/app:1', deploy: {{replicas: {count}}}}}\n")
    };
    let scene = Scene::new(&[("compose.yml", &compose(1))]);
    let server = Qjazz::start(admin(&["maps a x=UNCHANGED"]));
    let project = scene.project.name().to_owned();
    scene.set_env_local(&format!(
        "AUTODEPLOY_CACHE_SYNC_URL={}\nAUTODEPLOY_CACHE_SYNC_SCHEDULE=@manual\n\
         AUTODEPLOY_CACHE_SYNC_DEPLOY=autodeploy\nAUTODEPLOY_CACHE_SYNC_SERVICE={project}/web\n\
         AUTODEPLOY_CACHE_SYNC_POOLS=maps",
        server.url()
    ));
    let daemon = scene.roadstead.serve();
    let runs = |trigger: &str| {
        let of_sync = scene.runs().into_iter().filter(|run| {
            run["job"] == "cache-sync" && run["trigger"] == trigger && run["outcome"] == "succeeded"
        });
        of_sync.count()
    };
    wait_for("a run after the first deploy", PATIENCE, || runs("deploy") >= 1);
    let before = (runs("deploy"), runs("container"));
    server.change(|state| state.found_later = pools(&["maps b"]));
    scene.project.push(&[("compose.yml", &compose(2))]);
    wait_for("a run after the scale-up", PATIENCE, || {
        runs("deploy") > before.0 && runs("container") > before.1
    });
    let (.., message, results) = newest_of(&scene, "cache-sync");
    assert_eq!(results["pools"][0]["backends"], 2, "{message}");
    daemon.stop(Duration::from_secs(30));
}

/// Message and results of the newest run of a job that has ended.
fn newest_of(scene: &Scene<'_>, job: &str) -> (String, Value) {
    let run = scene.runs().into_iter().find(|run| run["job"] == job && !run["ended"].is_null());
    let run = run.unwrap();
    let whole = scene.roadstead.run(&["runs", &run["id"].to_string(), "--json"]).ok();
    let whole: Value = serde_json::from_str(&whole).unwrap();
    (run["message"].to_string(), whole["details"]["results"].clone())
}
