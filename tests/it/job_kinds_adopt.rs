//! Runs taken over whose containers live, or ended, while nobody looked.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test stands for a daemon with its clock, and fails loudly"
)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use roadstead::config::{self, Environment};
use roadstead::docker;
use roadstead::execute::{Execution, adopt};
use roadstead::git::Git;
use roadstead::job::{Job, native};
use roadstead::problem::Problems;
use roadstead::reconcile::World;
use roadstead::run::{Details, Ending, Live, Outcome, Reason, Trigger};
use roadstead::settings::Settings;
use roadstead::store::{NewRun, Store};
use tokio_util::sync::CancellationToken;

use crate::support::{Engine, unique};

fn now() -> DateTime<Utc> {
    Utc::now()
}

/// What a daemon left behind: a run in the store, and a container of it.
struct LeftBehind {
    job: Job,
    settings: Settings,
    container: String,
    directory: tempfile::TempDir,
    is_started: bool,
}

impl LeftBehind {
    /// A job of this work, whose container was made, and started unless `created`, with this command.
    fn new(text: &str, command: &str, created: bool) -> Self {
        let name = unique("left");
        let directory = tempfile::tempdir().unwrap();
        let mut settings = config::load(None, &Environment::default()).unwrap().settings;
        settings.log.dir = directory.path().join("log");
        let text = format!(
            "name: {name}\n{}",
            text.replace("DIR", &directory.path().display().to_string())
        );
        let job = native::parse(&text, "job.yml", &settings).unwrap().pop().unwrap();
        let verb = if created { "create" } else { "run" };
        let mut words = vec![verb.to_owned()];
        words.extend((!created).then(|| "--detach".to_owned()));
        for label in [format!("dev.roadstead.job={name}"), "dev.roadstead.run=1".to_owned()] {
            words.extend(["--label".to_owned(), label]);
        }
        words.extend(["rs-test/app:1", "sh", "-c", command].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let container = Engine::shared().docker(&words);
        Self { job, settings, container, directory, is_started: !created }
    }

    /// Takes it over, `ago` after its run started.
    fn adopt(&self, ago: Duration) -> Ending {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::open(self.directory.path()).await.unwrap();
            let new = NewRun {
                job: self.job.name.clone(),
                kind: self.job.work.kind(),
                trigger: Trigger::Manual,
                slot: None,
                started: now() - ago,
            };
            let run = store.start_run(new).await.unwrap().unwrap();
            // A container that was started had its id written down before.
            if self.is_started {
                let container = Some(self.container.clone());
                let details = Details { container, ..Details::default() };
                store.set_details(run, &details).await.unwrap();
            }
            let engine = docker::Engine::new(Some(&Engine::shared().host())).unwrap();
            let reader = Arc::new(|_: &dyn roadstead::compose::Files| Err(Problems(Vec::new())));
            let world = World::new(engine, Git::new(&self.settings.git), reader, now);
            let needs_recovery = AtomicBool::new(false);
            let execution = Execution {
                job: &self.job,
                run,
                trigger: Trigger::Manual,
                store: &store,
                log: &self.settings.log,
                cancel: CancellationToken::new(),
                needs_recovery: &needs_recovery,
                jobs: &[],
                allow_commands: false,
                restore: None,
                progress: &Live::default(),
            };
            let run = format!("{RUN_LABEL}=1");
            let mut containers = world.engine.containers_with(&run).await.unwrap();
            containers.retain(|it| it.label("dev.roadstead.job") == self.job.name);
            adopt(&world, &execution, &containers).await
        })
    }

    fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn is_gone(&self) -> bool {
        Engine::shared().inspect(&self.container, "{{.Id}}").is_none()
    }
}

const RUN_LABEL: &str = "dev.roadstead.run";
const RUN: &str = "run:\n  image: rs-test/app:1\n  redirect: {stdout: {file: DIR/out, append: false}}\n  \
                   then: [{run: {image: 'rs-test/app:1', command: [echo, afterwards], redirect: {stdout: DIR/then}}}]\n";

#[test]
fn a_container_that_lives_or_ended_gives_its_output_and_its_exit_code() {
    for (command, created, outcome, code, output) in [
        ("echo before; sleep 2; echo after; exit 7", false, Outcome::Failed, 7, "before\nafter\n"),
        ("echo all; exit 0", false, Outcome::Succeeded, 0, "all\n"),
        ("echo started-late; exit 0", true, Outcome::Succeeded, 0, "started-late\n"),
    ] {
        let left = LeftBehind::new(RUN, command, created);
        let ending = left.adopt(Duration::from_secs(5));
        assert_eq!((ending.outcome, ending.exit_code), (outcome, Some(code)), "{ending:?}");
        assert!(ending.message.contains("taken over"), "{ending:?}");
        assert_eq!(left.written("out"), output);
        // What is to follow it does, after success.
        let follows = if code == 0 { "afterwards\n" } else { "" };
        assert_eq!(left.written("then"), follows);
        assert!(left.is_gone());
    }
}

#[test]
fn a_run_whose_time_is_over_is_ended_and_one_whose_container_is_gone_is_lost() {
    let left = LeftBehind::new(&format!("timeout: 1m\n{RUN}"), "sleep 100000", false);
    let ending = left.adopt(Duration::from_hours(1));
    assert_eq!(ending.reason, Reason::TimedOut, "{ending:?}");
    assert!(left.is_gone());
    let left = LeftBehind::new(RUN, "true", false);
    Engine::shared().docker(&["rm", "--force", &left.container]);
    let ending = left.adopt(Duration::ZERO);
    assert_eq!((ending.outcome, ending.reason), (Outcome::Lost, Reason::ContainerGone));
}

#[test]
fn what_has_no_container_of_its_own_is_lost() {
    let left = LeftBehind::new("http: {url: 'http://127.0.0.1:1/'}\n", "true", false);
    let ending = left.adopt(Duration::ZERO);
    assert_eq!((ending.outcome, ending.reason), (Outcome::Lost, Reason::Crashed), "{ending:?}");
    Engine::shared().docker(&["rm", "--force", &left.container]);
}
