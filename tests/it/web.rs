//! The HTTP face: webhooks from outside, with and without a token.

#![expect(clippy::unwrap_used, reason = "a test drives programs and fails loudly")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Engine, Roadstead, free_port, wait_for};

const TOKEN: &str = "0123456789abcdef0123";

/// The status and the body that a request is answered with.
fn call(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_webhook_sets_a_job_off() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, format!("# forge\n{TOKEN}\n")).unwrap();
    let roadstead = Roadstead::new(
        &Engine::shared().host(),
        &format!("AUTODEPLOY_LISTEN=127.0.0.1:{port}\nAUTODEPLOY_TOKENS_FILE={}", tokens.display()),
    );
    let job =
        "name: hooked\non: [webhook:push]\nrun:\n  image: rs-test/app:1\n  command: ['true']\n";
    roadstead.write_job("hooked.yml", job);
    let _daemon = roadstead.serve();
    wait_for("a daemon that answers", Duration::from_secs(30), || {
        roadstead.run(&["health"]).code == Some(0)
    });
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let wrong = "Authorization: Bearer 0123456789abcdef0124\r\n";
    let body = "{\"ref\":\"refs/heads/main\"}";
    for (line, headers, expected, said) in [
        ("GET /healthz", "", 200, "\"healthy\":true"),
        ("GET /", "", 404, "POST /webhooks/NAME"),
        ("GET /webhooks/push", bearer.as_str(), 405, "use POST"),
        ("POST /webhooks/push", "", 401, "Authorization: Bearer TOKEN"),
        ("POST /webhooks/push", wrong, 401, "X-Gitlab-Token"),
        ("POST /webhooks/other", bearer.as_str(), 404, "other"),
    ] {
        let (status, answer) = call(port, &request(line, headers, body));
        assert_eq!(status, expected, "{line} {headers}: {answer}");
        assert!(answer.contains(said), "{line} {headers}: {answer}");
    }
    let runs = || roadstead.run(&["runs", "--json"]).ok();
    assert!(!runs().contains("hooked"), "{}", runs());
    let (status, answer) = call(port, &request("POST /webhooks/push", &bearer, body));
    assert_eq!(status, 202, "{answer}");
    wait_for("the run that was set off", Duration::from_mins(1), || {
        let runs = runs();
        runs.contains("hooked") && runs.contains("webhook") && runs.contains("succeeded")
    });

    // A token that was taken away no longer opens.
    std::fs::write(&tokens, "another-token-0123456\n").unwrap();
    assert_eq!(call(port, &request("POST /webhooks/push", &bearer, body)).0, 401);
    std::fs::remove_file(&tokens).unwrap();
    assert_eq!(call(port, &request("POST /webhooks/push", &bearer, body)).0, 503);
}
