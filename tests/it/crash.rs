//! Roadstead dies at every step of a deploy, and the next start converges.

use std::time::Duration;

use crate::support::scene::PATIENCE;
use crate::support::{CountingProxy, Engine, Hold, Roadstead, Scene, wait_for};

const OLD: &str = "services:\n  web: {image: 'rs-test/app:1'}\n  other: {image: 'rs-test/app:1'}\n";

fn new() -> String {
    OLD.replacen("app:1", "app:2", 1)
}

/// A call of a deploy, and which side of it is cut off by the death.
#[derive(Clone, Copy, Debug)]
struct Death {
    method: &'static str,
    path_part: &'static str,
    hold: Hold,
    /// Which of the two versions runs after a restart that cannot reach git.
    survivor: &'static str,
}

const fn death(
    method: &'static str,
    path_part: &'static str,
    hold: Hold,
    survivor: &'static str,
) -> Death {
    Death { method, path_part, hold, survivor }
}

/// In the order of a deploy: create, stop old, start new, remove old, rename new.
const DEATHS: [Death; 10] = [
    death("POST", "/containers/create", Hold::Request, "rs-test/app:1"),
    death("POST", "/containers/create", Hold::Answer, "rs-test/app:1"),
    death("POST", "/stop", Hold::Request, "rs-test/app:1"),
    death("POST", "/stop", Hold::Answer, "rs-test/app:1"),
    death("POST", "/start", Hold::Request, "rs-test/app:1"),
    death("POST", "/start", Hold::Answer, "rs-test/app:2"),
    death("DELETE", "/containers/", Hold::Request, "rs-test/app:2"),
    death("DELETE", "/containers/", Hold::Answer, "rs-test/app:2"),
    death("POST", "/rename", Hold::Request, "rs-test/app:2"),
    death("POST", "/rename", Hold::Answer, "rs-test/app:2"),
];

/// A project whose deploy of the new version died at `death`.
fn die(death: Death) -> Scene<'static> {
    let engine = Engine::shared();
    let scene = Scene::new(&[("compose.yml", OLD)]);
    scene.deploy().ok();
    scene.project.push(&[("compose.yml", &new())]);
    let proxy = CountingProxy::new(engine.socket());
    let catch = proxy.catch(death.method, death.path_part, death.hold);
    let through = ["--env-file", "through", "deploy"];
    let text = std::fs::read_to_string(scene.roadstead.path("env.local")).expect("written");
    let text = text.replace(&engine.host(), &proxy.host());
    std::fs::write(scene.roadstead.path("through"), text).expect("writable");
    let mut deploy = scene.roadstead.command(&through);
    deploy.env("DOCKER_HOST", proxy.host());
    deploy.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut deploy = deploy.spawn().expect("the program starts");
    catch.wait(PATIENCE);
    deploy.kill().expect("it runs");
    deploy.wait().expect("it ends");
    scene
}

/// Checks each death on a thread of its own: most of the time is waiting.
fn at_every_step(check: fn(Death)) {
    // One engine for all, started before they race for it.
    Engine::shared();
    for deaths in DEATHS.chunks(5) {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                deaths.iter().map(|death| (death, scope.spawn(|| check(*death)))).collect();
            for (death, thread) in threads {
                assert!(thread.join().is_ok(), "{death:?}: see above");
            }
        });
    }
}

fn image_of_web(scene: &Scene<'_>) -> Option<String> {
    let state = scene.inspect("web", "{{.State.Status}} {{.Config.Image}}")?;
    state.strip_prefix("running ").map(str::to_owned)
}

#[test]
fn a_restart_after_kill_9_at_any_step_converges_on_the_new_version() {
    at_every_step(|death| {
        let scene = die(death);
        let other = scene.state("other");
        let daemon = scene.roadstead.serve();
        wait_for(&format!("convergence after {death:?}"), PATIENCE, || {
            image_of_web(&scene).as_deref() == Some("rs-test/app:2")
                && scene.names() == scene.names_of(&["other", "web"])
        });
        wait_for("the applied revision", PATIENCE, || {
            scene.applied().contains(&scene.project.checked_out())
        });
        // The run that died is told, and the next one does nothing more.
        assert_eq!(scene.runs_that("lost").len(), 1, "{death:?}");
        let settled = scene.id("web");
        let before = scene.runs_that("unchanged").len();
        scene.wait_for_run("unchanged", before + 1);
        assert_eq!(scene.state("web"), format!("{settled} running"), "{death:?}");
        assert_eq!(scene.state("other"), other, "{death:?}");
        assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
    });
}

#[test]
fn a_restart_that_cannot_reach_git_has_one_container_of_the_service_running() {
    at_every_step(|death| {
        let scene = die(death);
        let remote = scene.project.remote();
        std::fs::rename(&remote, remote.with_extension("gone")).expect("it is there");
        let daemon = scene.roadstead.serve();
        scene.wait_for_run("failed", 1);
        assert_eq!(running_of_web(&scene), [death.survivor], "{death:?}");

        // Git comes back, and so does order.
        std::fs::rename(remote.with_extension("gone"), &remote).expect("it is there");
        wait_for(&format!("convergence after {death:?}"), PATIENCE, || {
            image_of_web(&scene).as_deref() == Some("rs-test/app:2")
                && scene.names() == scene.names_of(&["other", "web"])
        });
        assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
    });
}

/// Images of the running containers of `web`, whatever their names.
fn running_of_web(scene: &Scene<'_>) -> Vec<String> {
    let project = format!("label=com.docker.compose.project={}", scene.project.name());
    let web = "label=com.docker.compose.service=web";
    let list = ["ps", "--format", "{{.Image}}", "--filter", &project, "--filter", web];
    scene.engine.docker(&list).lines().map(str::to_owned).collect()
}

#[test]
fn a_crash_between_stop_and_start_of_a_bad_version_ends_with_the_old_one() {
    let engine = Engine::shared();
    let scene = Scene::new(&[("compose.yml", OLD)]);
    scene.deploy().ok();
    let (old, at) = (scene.id("web"), scene.project.checked_out());
    scene.project.push(&[("compose.yml", &OLD.replacen("app:1", "broken:1", 1))]);
    let proxy = CountingProxy::new(engine.socket());
    let catch = proxy.catch("POST", "/start", Hold::Request);
    let text = std::fs::read_to_string(scene.roadstead.path("env.local")).expect("written");
    std::fs::write(scene.roadstead.path("env.local"), text.replace(&engine.host(), &proxy.host()))
        .expect("writable");
    let through: &Roadstead = &scene.roadstead;
    let mut command = through.command(&["serve"]);
    command.env("DOCKER_HOST", proxy.host());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut first = command.spawn().expect("the program starts");
    catch.wait(PATIENCE);
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    drop(catch);

    let daemon = scene.roadstead.serve();
    scene.wait_for_run("failed", 1);
    wait_for("the old container", PATIENCE, || scene.state("web") == format!("{old} running"));
    scene.wait_for_run("blocked", 2);
    assert_eq!(scene.names(), scene.names_of(&["other", "web"]));
    assert_eq!(scene.project.checked_out(), at);
    assert_eq!(scene.runs_that("failed").len(), 1);
    assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
}

#[test]
fn a_switch_that_goes_on_is_not_taken_for_an_interrupted_one_by_another_roadstead() {
    let engine = Engine::shared();
    let proxy = CountingProxy::new(engine.socket());
    let scene = Scene::through(engine, &proxy.host(), &[("compose.yml", OLD)]);
    let daemon = scene.roadstead.serve();
    scene.wait_for_run("succeeded", 1);
    let catch = proxy.catch("POST", "/start", Hold::Request);
    scene.project.push(&[("compose.yml", &new())]);
    catch.wait(PATIENCE);
    // The old one is stopped, the new one is made: another one starts now, and looks around.
    let beside = Scene::new(&[("compose.yml", OLD)]);
    let mut other = beside.roadstead.serve();
    beside.wait_for_run("succeeded", 1);
    assert_eq!(scene.names().len(), 3);
    catch.release();
    scene.wait_for_run("succeeded", 2);
    assert_eq!(scene.names(), scene.names_of(&["other", "web"]));
    assert_eq!(scene.runs_that("failed").len(), 0);
    assert!(other.is_running());
    assert_eq!(daemon.stop(Duration::from_secs(30)), Some(0));
}

/// Two that share a volume with whoever takes their place, and that the Engine starts when it starts.
fn lasting(image: &str, more: &str) -> String {
    let service = |name: &str, restart: &str| {
        format!(
            "  {name}: {{image: 'rs-test/app:{image}', restart: '{restart}', volumes: ['data:/data']{more}}}\n"
        )
    };
    let (db, web) = (service("db", "always"), service("web", "on-failure:3"));
    format!("services:\n{db}{web}volumes: {{data: {{}}}}\n")
}

#[test]
fn an_engine_that_restarts_in_mid_switch_starts_one_of_old_and_new() {
    const STATE: &str = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}} \
                         {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    const WELL: [&str; 2] = ["running always 0", "running on-failure 3"];
    let engine = Engine::own();
    let scene = Scene::on(&engine, &[("compose.yml", &lasting("1", ""))]);
    scene.deploy().ok();
    let ids = || [scene.id("db"), scene.id("web")];
    let states = || ["db", "web"].map(|it| scene.inspect(it, STATE).unwrap_or_default());
    let old = ids();
    assert_eq!(states(), WELL);

    // Taken back, they are as they were.
    scene.project.push(&[("compose.yml", &lasting("2", ", command: ['false']"))]);
    scene.deploy().fails_with(1);
    assert_eq!((ids(), states()), (old.clone(), WELL.map(str::to_owned)));

    let undecided = ", healthcheck: {test: [CMD, 'false'], interval: 1s, start_period: 1h}";
    scene.project.push(&[("compose.yml", &lasting("2", undecided))]);
    let daemon = scene.roadstead.serve();
    let running = || {
        let all = engine.docker(&["ps", "--format", "{{.Image}} {{.Names}}"]);
        let mut images: Vec<_> =
            all.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        images.sort_unstable();
        images
    };
    let new = ["rs-test/app:2", "rs-test/app:2"];
    wait_for("the new ones", PATIENCE, || running() == new);
    daemon.kill();
    assert_eq!(scene.names().len(), 4);
    engine.halt();
    engine.resume();
    wait_for("the new ones again", PATIENCE, || running().len() >= 2);
    assert_eq!(running(), new);

    // The old ones are wanted again, and have what they had.
    scene.project.push(&[("compose.yml", &lasting("1", ""))]);
    scene.deploy().ok();
    assert_eq!((ids(), states()), (old, WELL.map(str::to_owned)));
    assert_eq!(scene.names().len(), 2);
}
