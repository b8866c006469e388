//! Jobs of the kinds that need no container of their own: `http` and `ogc_process` against real
//! servers, and `command`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test drives servers and fails loudly"
)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::job_kinds::{details, installed};
use crate::support::authority::Authority;
use crate::support::process::output;
use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, free_port, repository, run, unique, wait_for};

/// A server of `tests/peers`. Dropped, it ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// The web server, over TLS where there is a certificate.
    pub(crate) fn web(tls: &[PathBuf]) -> Self {
        let mut child = Command::new("python3")
            .arg(repository().join("tests/peers/web_server.py"))
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need python3 (scripts/setup.sh)");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let scheme = if tls.is_empty() { "http" } else { "https" };
        Self { child, url: format!("{scheme}://127.0.0.1:{}", port.trim()) }
    }

    fn seen(&self) -> Value {
        serde_json::from_str(&run(Path::new("/"), "curl", &["-s", &format!("{}/seen", self.url)]))
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a job of this work to its end: exit code, all that was said, its log.
fn outcome(work: &str) -> (Option<i32>, String, Roadstead, String) {
    let (roadstead, name) = installed(&format!("name: NAME\n{work}"));
    let output = roadstead.run(&["run", &name]);
    let log = roadstead.log(&name);
    (output.code, format!("{}{}\n{log}", output.stdout, output.stderr), roadstead, name)
}

#[test]
fn a_login_by_cookie_opens_all_later_calls_and_is_told_to_nobody() {
    let server = Server::web(&[]);
    let url = &server.url;
    let steps = |password: &str| {
        format!(
            "http:\n  wait_for: {{url: '{url}/ready?after=1', timeout: 30s, every: 200ms}}\n  \
             login:\n    url: {url}/signin\n    body: {{user_name: ada, password: {password}}}\n    \
             expect: {{json: {{/authenticated: true}}}}\n  \
             steps:\n    - {{url: '{url}/secret', expect: {{body: 'secret is'}}}}\n    \
             - name: list\n      url: {url}/ok\n      expect: {{json: {{/list/1/deep: value}}}}\n"
        )
    };
    let (code, said, roadstead, _) = outcome(&steps("open sesame"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 calls as expected") && said.contains("the secret is out"), "{said}");
    for hidden in ["let-me-in", "open sesame", "tell-nobody"] {
        assert!(!said.contains(hidden), "{said}");
    }
    assert_eq!(
        details(&roadstead)["command"],
        serde_json::json!(["POST", format!("{url}/signin")])
    );
    let (code, said, ..) = outcome(&steps("wrong"));
    assert_eq!(code, Some(1));
    assert!(said.contains("expectation_failed") && said.contains("wrong user"), "{said}");
}

#[test]
fn what_goes_wrong_with_a_call_has_a_name() {
    let server = Server::web(&[]);
    let (url, closed) = (&server.url, free_port());
    for (work, reason, words) in [
        (
            format!("{{url: '{url}/status/404'}}"),
            "expectation_failed",
            "answered 404, expected 200-299",
        ),
        (
            format!("{{url: '{url}/status/404', expect: {{status: [404, 5xx]}}}}"),
            "succeeded",
            "1 call",
        ),
        (
            format!("{{url: '{url}/ok', expect: {{body: 'not there'}}}}"),
            "expectation_failed",
            "`not there`",
        ),
        (
            format!("{{url: '{url}/ok', expect: {{json: {{/fine: false}}}}}}"),
            "expectation_failed",
            "`/fine` is true, expected false",
        ),
        (format!("{{url: '{url}/slow/30', timeout: 300ms}}"), "http_failed", "no answer in time"),
        (format!("{{url: 'http://127.0.0.1:{closed}/'}}"), "http_failed", "cannot connect"),
        ("{url: 'http://no.such.host.invalid/'}".to_owned(), "http_failed", "cannot connect"),
        (format!("{{url: '{url}/broken'}}"), "http_failed", "broke off"),
        (format!("{{url: '{url}/redirect/3'}}"), "succeeded", "200"),
        (
            format!("{{url: '{url}/redirect/3', redirects: 2}}"),
            "http_failed",
            "redirected too often",
        ),
        (
            format!("{{url: '{url}/redirect/3', redirects: 0, expect: {{status: 302}}}}"),
            "succeeded",
            "-> 302",
        ),
        (
            format!("{{wait_for: '{url}/status/503', url: '{url}/ok'}}"),
            "timed_out",
            "stopped between or in its calls",
        ),
        (
            format!(
                "{{wait_for: {{url: '{url}/status/503', timeout: 500ms, every: 100ms}}, url: '{url}/ok'}}"
            ),
            "http_failed",
            "was not there within 0.5 s: answered 503",
        ),
        (format!("{{url: '{url}/flaky/a/2', retries: 2, backoff: 100ms}}"), "succeeded", "try 3"),
        (
            format!("{{url: '{url}/flaky/b/9', retries: 2, backoff: 100ms}}"),
            "expectation_failed",
            "try 3 of 3",
        ),
        (format!("{{url: '{url}/ok', ca_file: /no/such/file}}"), "prepare_failed", "/no/such/file"),
    ] {
        let (_, said, ..) = outcome(&format!("timeout: 5s\nhttp: {work}\n"));
        assert!(said.contains(reason) && said.contains(words), "{work}: {said}");
    }
}

#[test]
fn bodies_and_headers_go_out_and_answers_come_back_within_bounds() {
    let server = Server::web(&[]);
    let url = &server.url;
    let (code, said, ..) = outcome(&format!(
        "http:\n  steps:\n    - {{url: '{url}/echo', method: PUT, headers: {{X-Token: abc-secret}}, body: {{all: true}}}}\n    \
         - {{url: '{url}/big', expect: {{body: '^0123'}}}}\n    - url: {url}/binary\n"
    ));
    assert_eq!(code, Some(0), "{said}");
    let seen = server.seen();
    assert_eq!(seen["headers"][0]["x-token"], "abc-secret");
    assert_eq!(
        serde_json::from_str::<Value>(seen["bodies"][0].as_str().unwrap()).unwrap()["all"],
        true
    );
    assert!(!said.contains("abc-secret") && said.contains("and more bytes"), "{said}");
    assert!(
        said.matches("0123456789abcdef").count() <= 256,
        "too much of a large answer is logged"
    );
    assert!(!said.contains('\u{0}'));
}

#[test]
fn a_thousand_calls_go_fifty_at_once() {
    let server = Server::web(&[]);
    let steps = format!("    - url: {}/slow/0.02\n", server.url).repeat(1000);
    let (code, said, ..) = outcome(&format!("http:\n  parallel: 50\n  steps:\n{steps}"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1000 calls as expected"), "{}", said.lines().last().unwrap_or_default());
    let seen = server.seen();
    assert_eq!(seen["total"], 1001);
    let most = seen["most"].as_u64().unwrap();
    assert!((10..=50).contains(&most), "{most} at once");
    // The first failure ends it.
    let steps = format!("    - url: {}/status/500\n", server.url).repeat(20);
    let (code, ..) = outcome(&format!("http:\n  steps:\n{steps}"));
    assert_eq!(code, Some(1));
    assert_eq!(server.seen()["total"], 1003);
}

#[test]
fn tls_with_a_private_authority_and_a_certificate_of_ours() {
    let authority = Authority::new();
    let tls = [authority.path("server.pem"), authority.path("server.key")];
    let server = Server::web(&tls);
    let strict = Server::web(&[&tls[..], &[authority.path("ca.pem")]].concat());
    let ca = format!("ca_file: '{}'", authority.path("ca.pem").display());
    let ours = format!("{ca}, client_certificate: '{}'", authority.path("both.pem").display());
    let key_alone =
        format!("{ca}, client_certificate: '{}'", authority.path("client.pem").display());
    for (url, how, words) in [
        (&server.url, "insecure: false", "TLS failed"),
        (&server.url, "insecure: true", "1 call as expected"),
        (&server.url, &ca, "1 call as expected"),
        (&strict.url, &ca, "http_failed"),
        (&strict.url, &ours, "1 call as expected"),
        (&strict.url, &key_alone, "expected a certificate and its private key"),
    ] {
        let (_, said, ..) = outcome(&format!("http: {{url: '{url}/ok', {how}}}\n"));
        assert!(said.contains(words), "{how}: {said}");
    }
}

/// A pygeoapi of a test's own.
fn pygeoapi(directory: &Path) -> Server {
    let found = output(&mut Command::new(repository().join("scripts/pygeoapi.sh"))).ok();
    let port = free_port();
    let peers = repository().join("tests/peers");
    let text = std::fs::read_to_string(peers.join("pygeoapi.yml")).unwrap();
    let text = text
        .replace("PORT", &port.to_string())
        .replace("DIRECTORY", &directory.display().to_string());
    std::fs::write(directory.join("config.yml"), text).unwrap();
    let openapi = r#"{"openapi": "3.0.2", "info": {"title": "t", "version": "1"}, "paths": {}}"#;
    std::fs::write(directory.join("openapi.yml"), openapi).unwrap();
    let script = format!(
        "from pygeoapi.flask_app import APP; APP.run(host='127.0.0.1', port={port}, threaded=True)"
    );
    // `setpriv` ends it with us, also when we are killed.
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(Path::new(found.lines().last().unwrap()).join("bin/python"))
        .args(["-c", &script])
        .current_dir(directory)
        .env("PYTHONPATH", peers)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYGEOAPI_CONFIG", directory.join("config.yml"))
        .env("PYGEOAPI_OPENAPI", directory.join("openapi.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It takes itself for `localhost`.
    let server = Server { child, url: format!("http://127.0.0.1:{port}") };
    wait_for("pygeoapi", PATIENCE * 2, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    server
}

#[test]
fn a_process_of_a_real_server_is_followed_to_its_results_its_failure_or_its_dismissal() {
    let directory = tempfile::tempdir().unwrap();
    let server = pygeoapi(directory.path());
    let job = |process: &str, inputs: &str, more: &str| {
        format!(
            "{more}ogc_process:\n  url: {}\n  process: {process}\n  inputs: {inputs}\n  poll: {{min: 200ms, max: 1s}}\n",
            server.url
        )
    };
    // Asynchronous, with progress and results.
    let (code, said, roadstead, _) = outcome(&job("slow", "{seconds: 2}", ""));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("accepted, 5 %") && said.contains("successful, 100 %"), "{said}");
    let recorded = details(&roadstead);
    assert_eq!(recorded["results"], serde_json::json!({"id": "slept", "value": 2}));
    assert_eq!(recorded["command"][1], format!("{}/processes/slow/execution", server.url));
    // A failure says why.
    let (code, said, ..) = outcome(&job("slow", "{seconds: 0.5, fails: no luck today}", ""));
    assert_eq!(code, Some(1));
    assert!(said.contains("remote_failed") && said.contains("no luck today"), "{said}");
    // Synchronous, well and badly.
    for (inputs, code, words) in
        [("{seconds: 0}", 0, "succeeded after"), ("{fails: not now}", 1, "not now")]
    {
        let work = job("slow", inputs, "") + "  mode: sync\n";
        let (found, said, ..) = outcome(&work);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let (_, said, ..) = outcome(&job("nobody-has-it", "{}", ""));
    assert!(said.contains("remote_failed") && said.contains("identifier not found"), "{said}");
    // Out of time, it is dismissed, or left alone.
    for (on_timeout, words, is_there) in
        [("dismiss", "was dismissed", false), ("leave", "goes on, as", true)]
    {
        let work = job("slow", "{seconds: 20}", "timeout: 2s\n")
            + &format!("  on_timeout: {on_timeout}\n");
        let (code, said, ..) = outcome(&work);
        assert_eq!(code, Some(1));
        assert!(said.contains("timed_out") && said.contains(words), "{said}");
        let at = said.split_whitespace().find(|word| word.contains("/jobs/")).unwrap().to_owned();
        let status =
            run(Path::new("/"), "curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", &at]);
        assert_eq!(status == "200", is_there, "{at}");
    }
}

#[test]
fn a_process_of_a_provider_is_followed_with_progress_and_remote_log() {
    let server = Server::web(&[]);
    let job = |inputs: &str, more: &str| {
        format!(
            "{more}ogc_process:\n  url: {0}/weaver\n  provider: finch\n  process: heat\n  inputs: {inputs}\n  \
             login: {{url: '{0}/weaver/signin', method: POST}}\n  poll: {{min: 100ms, max: 1s}}\n",
            server.url
        )
    };
    let (code, said, roadstead, _) = outcome(&job("{x: 42, ends: hiccup}", ""));
    assert_eq!(code, Some(0), "{said}");
    for line in ["accepted, 25 %: step 1", "running, 75 %: step 3", "remote line 3"] {
        assert!(said.contains(line), "`{line}` is missing in\n{said}");
    }
    assert_eq!(said.matches("remote line 2").count(), 1, "{said}");
    assert_eq!(details(&roadstead)["results"], serde_json::json!({"answer": 42, "list": [1, 2]}));
    for (ends, more, reason, words) in [
        ("failure", "", "remote_failed", "the reason of it all"),
        ("dismissal", "", "dismissed", "was dismissed there"),
        ("never", "timeout: 2s\n", "timed_out", "was dismissed"),
    ] {
        let (_, said, ..) = outcome(&job(&format!("{{ends: {ends}}}"), more));
        assert!(said.contains(reason) && said.contains(words), "{ends}: {said}");
    }
}

#[test]
fn a_command_runs_in_an_environment_and_a_group_of_its_own() {
    let name = unique("command");
    let roadstead = Roadstead::new(&Engine::shared().host(), "AUTODEPLOY_ALLOW_COMMANDS=true");
    let job = |text: &str| roadstead.write_job("job.yml", &format!("name: {name}\n{text}"));
    job("command:\n  argv: [sh, -c, 'cat; pwd; env | sort; echo to-err >&2; exit 7']\n  \
         environment: {MODE: fast}\n  working_dir: /tmp\n  stdin: \"from stdin\\n\"\n");
    let said = roadstead.run(&["run", &name]).fails_with(7);
    assert!(said.contains("exited_non_zero"), "{said}");
    let log = roadstead.log(&name);
    for part in ["from stdin", "/tmp", "MODE=fast", "PATH=", "to-err"] {
        assert!(log.contains(part), "`{part}` is missing in\n{log}");
    }
    assert!(!log.contains("DOCKER_HOST"), "{log}");
    job("command: [no-such-program]\n");
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("not_started") && said.contains("no-such-program"), "{said}");
    // Out of time, all of its group ends, also those who hear no SIGTERM.
    let mark = std::process::id() % 10_000 + 340_000;
    job(&format!(
        "timeout: 1s\nstop_grace: 1s\ncommand: [sh, -c, \"trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}\"]\n"
    ));
    let said = roadstead.run(&["run", &name]).fails_with(1);
    assert!(said.contains("timed_out") && said.contains("killed"), "{said}");
    let alive =
        || output(Command::new("pgrep").args(["-f", &format!("^sleep {mark}")])).code == Some(0);
    wait_for("the end of the group", Duration::from_secs(5), || !alive());
    // What it leaves behind does not hold the run up.
    job(&format!("command: [sh, -c, 'sleep {mark} & echo done']\n"));
    roadstead.run(&["run", &name]).ok();
    assert!(!alive());
}
