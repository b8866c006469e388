//! `refresh`: all requests are made, within bounds, and what failed is counted and named.

#![expect(clippy::unwrap_used, reason = "a test drives servers and fails loudly")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::job_kinds_calls::Server;
use crate::support::{Engine, Roadstead, free_port, run};

fn installed(head: &str, keys: &str) -> Roadstead {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    roadstead.write_job("job.yml", &format!("name: warm\n{head}\nrefresh:\n{keys}"));
    roadstead
}

/// What is kept of the newest run.
fn results(roadstead: &Roadstead) -> Value {
    let runs: Vec<Value> = serde_json::from_str(&roadstead.run(&["runs", "--json"]).ok()).unwrap();
    let id = runs[0]["id"].to_string();
    let run: Value = serde_json::from_str(&roadstead.run(&["runs", &id, "--json"]).ok()).unwrap();
    run["details"]["results"].clone()
}

fn seen(server: &Server) -> Value {
    serde_json::from_str(&run(Path::new("/"), "curl", &["-s", &format!("{}/seen", server.url)]))
        .unwrap()
}

#[test]
fn a_sick_address_does_not_stop_the_others_and_is_named() {
    let server = Server::web(&[]);
    let (url, closed) = (&server.url, free_port());
    let roadstead = installed(
        "",
        &format!(
            "  parallel: 3\n  timeout: 500ms\n  requests:\n    - {url}/ok\n    - {url}/status/500\n    \
             - {{name: lazy, url: '{url}/slow/30'}}\n    - http://127.0.0.1:{closed}/\n    \
             - {url}/broken\n    - {{url: '{url}/status/404', expect: {{status: 404}}}}\n    \
             - {{url: '{url}/flaky/a/2', retries: 2, backoff: 10ms, timeout: 5s}}\n    \
             - {{url: '{url}/ok', expect: {{json: {{/fine: false}}}}, timeout: 5s}}\n    - {url}/ok\n"
        ),
    );
    let output = roadstead.run(&["run", "warm"]);
    let said = output.stdout.clone();
    output.fails_with(1);
    assert!(said.contains("5 of 9 requests failed"), "{said}");
    for named in ["/status/500", "lazy", "cannot connect", "broke off", "`/fine`"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let results = results(&roadstead);
    assert_eq!(results["requests"], 9);
    assert_eq!((&results["ok"], &results["failed"]), (&json!(4), &json!(5)), "{results:#}");
    let classes = json!({"body": 1, "connect": 1, "timeout": 1, "unexpected": 2});
    assert_eq!(results["classes"], classes, "{results:#}");
    assert_eq!(results["failures"].as_array().unwrap().len(), 5);
    assert!(results["slowest"]["seconds"].is_number(), "{results:#}");
}

#[test]
fn requests_go_on_side_by_side_with_a_login_and_no_faster_than_they_may() {
    let server = Server::web(&[]);
    let url = &server.url;
    let login = format!(
        "  login: {{url: '{url}/signin', body: {{user_name: ada, password: open sesame}}, \
         expect: {{json: {{/authenticated: true}}}}}}\n"
    );
    let slow = format!("    - {url}/slow/0.1\n").repeat(30);
    let keys = format!("{login}  parallel: 5\n  requests:\n    - {url}/secret\n{slow}");
    let roadstead = installed("", &keys);
    let said = roadstead.run(&["run", "warm"]).ok();
    assert!(said.contains("31 requests answered as expected"), "{said}");
    // The look at what was seen is one of them.
    let most = seen(&server)["most"].as_u64().unwrap();
    assert!((2..=5).contains(&most), "{most} at once");
    assert_eq!(results(&roadstead)["ok"], 31);
    let log = roadstead.log("warm");
    assert!(!log.contains("open sesame") && !log.contains("let-me-in"), "{log}");
    // Twenty-one of them, twenty a second: the last begins a second after the first.
    let keys = format!(
        "  parallel: 50\n  per_second: 20\n  requests: '{}'\n",
        format!("{url}/ok ").repeat(21)
    );
    roadstead.write_job("job.yml", &format!("name: warm\nrefresh:\n{keys}"));
    let begun = Instant::now();
    roadstead.run(&["run", "warm"]).ok();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(results(&roadstead)["ok"], 21);
    // A login that fails ends it before anything is asked for.
    let before = seen(&server)["total"].as_u64().unwrap();
    let wrong = login.replace("open sesame", "wrong");
    let keys = format!("{wrong}  requests: {url}/ok\n");
    roadstead.write_job("job.yml", &format!("name: warm\nrefresh:\n{keys}"));
    let said = roadstead.run(&["run", "warm"]).fails_with(1);
    assert!(said.contains("log in"), "{said}");
    assert_eq!(seen(&server)["total"].as_u64().unwrap(), before + 2);
}

#[test]
fn plan_and_dry_run_ask_for_nothing() {
    let server = Server::web(&[]);
    let url = &server.url;
    let keys = format!("  dry_run: true\n  requests: ['{url}/a?key=hidden', '{url}/b']\n");
    let roadstead = installed("", &keys);
    let plan = roadstead.run(&["plan", "warm"]).fails_with(3);
    assert!(plan.contains("2 requests") && plan.contains(&format!("GET {url}/b")), "{plan}");
    assert!(!plan.contains("hidden"), "{plan}");
    roadstead.run(&["run", "warm"]).ok();
    assert!(roadstead.log("warm").contains(&format!("GET {url}/b")));
    assert_eq!(seen(&server)["total"], 1);
}

#[test]
fn check_warns_of_a_schedule_that_comes_too_seldom() {
    for (head, ttl, warning) in [
        ("schedule: '0 */6 * * *'", "soft_ttl: 12h", None),
        ("schedule: '0 8-18 * * 1-5'", "soft_ttl: 12h", Some("up to 2d14h apart")),
        ("schedule: '0 8-18 * * 1-5'", "soft_ttl: 12h, hard_ttl: 24h", None),
        ("schedule: '@every 8h'", "soft_ttl: 12h, hard_ttl: 23h", Some("every 6h or more often")),
    ] {
        let roadstead = Roadstead::new(&Engine::shared().host(), "");
        let text = format!("{{name: warm, {head}, refresh: {{requests: 'http://h/', {ttl}}}}}\n");
        roadstead.write_job("job.yml", &text);
        let output = roadstead.run(&["check"]);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(0), "{said}");
        match warning {
            Some(warning) => assert!(said.contains(warning), "{text}: {said}"),
            None => assert!(!said.contains("apart"), "{text}: {said}"),
        }
    }
}

#[test]
fn the_ready_job_asks_for_what_its_variable_names() {
    let server = Server::web(&[]);
    let url = &server.url;
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    roadstead.write_env_local(&format!(
        "AUTODEPLOY_CACHE_REFRESH_URLS='{url}/ok {url}/status/304'\n\
         AUTODEPLOY_CACHE_REFRESH_STATUS=200,304\nAUTODEPLOY_CACHE_REFRESH_PER_SECOND=50\n"
    ));
    let said = roadstead.run(&["run", "cache-refresh"]).ok();
    assert!(said.contains("2 requests answered as expected"), "{said}");
}
