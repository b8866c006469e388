//! The rig works: a failure here says that the machine, not Roadstead, is at fault.

#![expect(clippy::disallowed_methods, reason = "tests of the rig itself")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::support::{
    self, CountingProxy, Engine, Registry, Roadstead, TempProject, free_port, project::git, unique,
    wait_for,
};

#[test]
fn shared_engine_answers_and_has_the_images() {
    let engine = Engine::shared();
    assert_eq!(engine.docker(&["version", "--format", "{{.Server.Os}}"]), "linux");
    let images = engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for image in ["rs-test/app:1", "rs-test/app:2", "rs-test/broken:1", "rs-test/slow:1"] {
        assert!(images.lines().any(|line| line == image), "{image} in\n{images}");
    }
}

#[test]
fn app_serves_its_page_on_a_published_port() {
    let engine = Engine::shared();
    let (name, port) = (unique("app"), free_port());
    let publish = format!("127.0.0.1:{port}:80");
    engine.docker(&["run", "--detach", "--name", &name, "--publish", &publish, "rs-test/app:2"]);
    wait_for("the page", Duration::from_secs(10), || {
        page(port).is_some_and(|it| it.contains("two"))
    });
    engine.docker(&["rm", "--force", &name]);
    assert_eq!(engine.inspect(&name, "{{.Id}}"), None);
}

#[test]
fn broken_exits_with_one() {
    let engine = Engine::shared();
    let output = engine.try_docker(&["run", "--rm", "rs-test/broken:1"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("broken by design"));
}

#[test]
fn an_engine_of_its_own_halts_and_resumes_with_its_containers() {
    let engine = Engine::own();
    engine.docker(&["run", "--detach", "--name", "kept", "rs-test/app:1"]);
    engine.halt();
    assert_ne!(engine.try_docker(&["ps"]).code, Some(0));
    engine.resume();
    assert_eq!(engine.inspect("kept", "{{.State.Status}}").as_deref(), Some("exited"));
}

#[test]
fn a_push_arrives_by_git_pull() {
    let project = TempProject::new(&[("compose.yml", "services: {}\n")]);
    let commit = project.push(&[("compose.yml", "services: {web: {image: x}}\n")]);
    assert_ne!(project.checked_out(), commit);
    git(&project.checkout(), &["pull", "--quiet", "--ff-only"]);
    assert_eq!(project.checked_out(), commit);
    let text = std::fs::read_to_string(project.checkout().join("compose.yml")).unwrap();
    assert!(text.contains("web"));
}

#[test]
fn proxy_counts_each_request_of_the_docker_client() {
    let engine = Engine::shared();
    let proxy = CountingProxy::new(engine.socket());
    let docker = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_HOST", proxy.host()).env("DOCKER_BUILDKIT", "0");
        support::process::output(&mut command).ok()
    };
    docker(&["ps"]);
    let lists = proxy.take();
    assert!(lists.iter().any(|(method, path)| method == "GET" && path == "/containers/json"));
    assert!(lists.iter().all(|(method, _)| method != "POST"), "{lists:?}");
    // A hijacked connection: attach, with output that arrives whole.
    assert_eq!(docker(&["run", "--rm", "rs-test/app:1", "echo", "through"]), "through");
    let writes: Vec<_> = proxy.writes().into_iter().map(|(_, path)| path).collect();
    assert!(writes.iter().any(|path| path.starts_with("/containers/create")), "{writes:?}");
    assert!(writes.iter().any(|path| path.contains("/attach")), "{writes:?}");
}

#[test]
fn proxy_sees_every_request_of_a_kept_connection() {
    let proxy = CountingProxy::new(Engine::shared().socket());
    let mut stream = UnixStream::connect(proxy.socket()).unwrap();
    let requests = "GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n\
        POST /v1.41/containers/prune HTTP/1.1\r\nHost: engine\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nGET\r\n0\r\n\r\n\
        POST /networks/prune?filters=%7B%22label%22%3A%5B%22no%22%5D%7D HTTP/1.1\r\nHost: engine\r\n\
        Content-Length: 5\r\n\r\nGET /\
        GET /v1.41/version HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n";
    // Label filters that match nothing keep other tests' containers alive.
    let requests = requests
        .replace("containers/prune", "containers/prune?filters=%7B%22label%22%3A%5B%22no%22%5D%7D");
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let seen: Vec<_> = proxy
        .requests()
        .into_iter()
        .map(|(method, path)| format!("{method} {}", path.split('?').next().unwrap()))
        .collect();
    let expected = ["GET /_ping", "POST /containers/prune", "POST /networks/prune", "GET /version"];
    assert_eq!(seen, expected, "{answers}");
    assert!(answers.contains("ApiVersion"), "{answers}");
}

#[test]
fn an_image_of_the_local_registry_can_be_pulled() {
    let engine = Engine::shared();
    let registry = Registry::start();
    let reference = registry.push(engine, "rs-test/app:1", "pulled:1");
    engine.docker(&["pull", "--quiet", &reference]);
    assert!(engine.inspect(&reference, "{{.Id}}").is_some());
    engine.docker(&["rmi", &reference]);
}

#[test]
fn the_program_under_test_starts() {
    let roadstead = Roadstead::new(&Engine::shared().host(), "");
    assert!(roadstead.path("env.local").exists());
    assert_eq!(roadstead.run(&["--version"]).code, Some(0));
}

fn page(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
