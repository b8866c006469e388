//! `backup` into servers, by a daemon: what happens where they are away, die, and come back; and that
//! nobody sees by what they are opened.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use serde_json::Value;

use crate::support::bucket::Bucket;
use crate::support::rest_server::RestServer;
use crate::support::scene::PATIENCE;
use crate::support::{Daemon, Engine, Roadstead, unique, wait_for};

/// What nobody is to see.
const SECRETS: [&str; 3] = ["horse-s3cret-battery", "rest-s3cret-pass", "aws-s3cret-key"];
const LIST: &str = "cd /data && find . -type f -exec md5sum {} + | sort";

/// A server that has the repository.
enum Place {
    Rest(RestServer),
    Bucket(Box<Bucket>),
}

impl Place {
    fn both() -> [Self; 2] {
        let server = RestServer::start();
        // ada:rest-s3cret-pass
        server.wants("YWRhOnJlc3QtczNjcmV0LXBhc3M=");
        [Self::Rest(server), Self::Bucket(Box::new(Bucket::start()))]
    }

    /// The file of variables that opens it.
    fn variables(&self) -> String {
        let password = format!("RESTIC_PASSWORD={}\n", SECRETS[0]);
        match self {
            Self::Rest(server) => format!(
                "{password}export RESTIC_REPOSITORY=rest:{}\nRESTIC_REST_USERNAME=ada\n\
                 RESTIC_REST_PASSWORD='{}'\n",
                server.url(""),
                SECRETS[1]
            ),
            Self::Bucket(bucket) => format!(
                "{password}RESTIC_REPOSITORY=s3:http://127.0.0.1:{}/bucket/some/where\n\
                 AWS_ACCESS_KEY_ID=AKIAKEEPER\nAWS_SECRET_ACCESS_KEY={}\n",
                bucket.proxy, SECRETS[2]
            ),
        }
    }

    fn die(&mut self) {
        match self {
            Self::Rest(server) => server.die(),
            Self::Bucket(bucket) => bucket.die(),
        }
    }

    fn come_back(&mut self) {
        match self {
            Self::Rest(server) => server.return_whole(),
            Self::Bucket(bucket) => bucket.return_empty(),
        }
    }

    /// While this is held, uploads of packs wait.
    fn hold(&self) -> MutexGuard<'_, ()> {
        match self {
            Self::Rest(server) => server.gate.lock().unwrap(),
            Self::Bucket(bucket) => bucket.gate.lock().unwrap(),
        }
    }

    /// How many packs were sent so far.
    fn packs(&self) -> usize {
        match self {
            Self::Rest(server) => server.asked("POST /repo/data/"),
            Self::Bucket(bucket) => bucket.packs().len(),
        }
    }
}

/// A job, two containers that write to what it keeps, and a daemon.
struct Site {
    engine: &'static Engine,
    roadstead: Roadstead,
    job: String,
    volume: String,
    writers: [String; 2],
    daemon: Option<Daemon>,
}

impl Site {
    /// `rest` stands at the margin of the job.
    fn serve(place: &Place, rest: &str) -> Self {
        let engine = Engine::shared();
        let (volume, job) = (unique("data"), unique("far"));
        let writers = [unique("a"), unique("b")];
        let mount = format!("{volume}:/data");
        for writer in &writers {
            let run = ["run", "--detach", "--name", writer, "--volume", &mount, "rs-test/app:1"];
            engine.docker(&run);
        }
        let fill = "mkdir /data/deep && head -c 3000000 /dev/urandom > /data/deep/noise && echo 1 > /data/one";
        engine.docker(&["exec", &writers[0], "sh", "-c", fill]);
        let roadstead = Roadstead::new(&engine.host(), "");
        fs::write(roadstead.path("restic.env"), place.variables()).unwrap();
        let text = format!(
            "name: {job}\nbackup:\n  env_file: {}\n  init: true\n  volumes: [{volume}]\n  \
             quiesce:\n    how: stop\n    before: [sh, -c, 'while test -e /hold; do sleep 0.1; done']\n{rest}",
            roadstead.path("restic.env").display()
        );
        roadstead.write_job("job.yml", &text);
        let daemon = Some(roadstead.serve());
        let site = Self { engine, roadstead, job, volume, writers, daemon };
        wait_for("the daemon", PATIENCE, || site.roadstead.run(&["health"]).code == Some(0));
        site
    }

    fn begin(&self) {
        self.roadstead.run(&["run", &self.job, "--no-wait"]).ok();
    }

    fn last_run(&self) -> Value {
        let runs = self.roadstead.run(&["runs", &self.job, "--json"]).ok();
        let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
        let run = self.roadstead.run(&["runs", &runs[0]["id"].to_string(), "--json"]).ok();
        serde_json::from_str(&run).unwrap()
    }

    /// Waits for the end of the last run; says all of it.
    #[track_caller]
    fn end(&self) -> Value {
        wait_for("the end of the run", PATIENCE, || self.last_run()["ended"].is_string());
        self.last_run()
    }

    /// Waits until the second try is due.
    #[track_caller]
    fn first_try_fails(&self) {
        let is_first =
            |step: &Value| step["name"].as_str().is_some_and(|it| it.starts_with("try 1 "));
        let has_ended = |step: &Value| is_first(step) && step["ended"].is_string();
        wait_for("the first try to fail", PATIENCE, || {
            self.last_run()["steps"].as_array().is_some_and(|steps| steps.iter().any(has_ended))
        });
    }

    fn snapshots(&self) -> usize {
        let list = self.roadstead.run(&["backup", "list", &self.job, "--json"]).ok();
        serde_json::from_str::<Vec<Value>>(&list).unwrap().len()
    }

    /// Since when the writers are in which state.
    fn writers(&self) -> [String; 2] {
        self.writers.each_ref().map(|name| {
            let format = "{{.State.StartedAt}} {{.State.Status}}";
            self.engine.inspect(name, format).unwrap_or_default()
        })
    }

    /// Ids of workers of the job that are left, running or not.
    fn workers(&self) -> String {
        let of_job = format!("label=dev.roadstead.job={}", self.job);
        let worker = "label=dev.roadstead.backup-worker";
        self.engine.docker(&["ps", "--all", "--quiet", "--filter", &of_job, "--filter", worker])
    }

    /// Both run, since other times than `before`, or since the same.
    #[track_caller]
    fn writers_run(&self, before: &[String; 2], have_been_still: bool) {
        for (now, before) in self.writers().iter().zip(before) {
            assert!(now.ends_with(" running"), "{now}");
            assert_eq!(now != before, have_been_still, "{now}, before {before}");
        }
        assert_eq!(self.workers(), "");
    }

    /// A fresh volume with what was stored is equal to what is there.
    #[track_caller]
    fn comes_back(&self) {
        let name = format!("{}-restored", self.volume);
        self.roadstead.run(&["backup", "restore", &self.job]).ok();
        let look = |volume: &str| {
            let mount = format!("{volume}:/data");
            let run = ["run", "--rm", "--volume", &mount, "rs-test/app:1", "sh", "-c", LIST];
            self.engine.docker(&run)
        };
        let (restored, there) = (look(&name), look(&self.volume));
        self.engine.docker(&["volume", "rm", &name]);
        assert_eq!(restored, there);
    }

    /// No secret is in any log, and in nothing that is remembered.
    #[track_caller]
    fn has_told_nobody(&self) {
        let mut files = vec![self.roadstead.path("console")];
        let mut open = vec![self.roadstead.path("log"), self.roadstead.path("state")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { files.push(path) }
            }
        }
        assert!(files.len() > 3, "{files:?}");
        // Sockets are no files to read.
        let texts = files.iter().filter_map(|path| Some((path, fs::read(path).ok()?)));
        for (path, text) in texts {
            tells_nothing(&path.display().to_string(), &text);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        for name in self.workers().lines().chain(self.writers.iter().map(String::as_str)) {
            self.engine.try_docker(&["rm", "--force", name]);
        }
        self.engine.try_docker(&["volume", "rm", "--force", &self.volume]);
    }
}

#[track_caller]
fn tells_nothing(what: &str, text: &[u8]) {
    for secret in SECRETS {
        let is_there = text.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!is_there, "{what} has {secret}");
    }
}

#[test]
fn a_server_is_opened_by_what_nobody_sees() {
    for place in Place::both() {
        let site = Site::serve(&place, "");
        let before = site.writers();
        let hold = place.hold();
        site.begin();
        wait_for("a pack on its way", PATIENCE, || place.packs() > 0);
        let worker = site.workers();
        assert_eq!(worker.lines().count(), 1, "{worker}");
        tells_nothing("inspect", site.engine.docker(&["inspect", &worker]).as_bytes());
        let pid = site.engine.inspect(&worker, "{{.State.Pid}}").unwrap();
        let process = Path::new("/proc").join(pid);
        for file in ["environ", "cmdline"].map(|file: &str| -> PathBuf { process.join(file) }) {
            let text = fs::read(&file).unwrap();
            assert!(!text.is_empty() || file.ends_with("environ"));
            tells_nothing(&file.display().to_string(), &text);
        }
        drop(hold);
        let run = site.end();
        assert_eq!(run["outcome"], "succeeded", "{run}");
        site.writers_run(&before, true);
        assert_eq!(site.snapshots(), 1);
        site.comes_back();
        tells_nothing("the run", run.to_string().as_bytes());
        if let Place::Bucket(bucket) = &place {
            let packs = bucket.packs().join("\n");
            assert!(packs.contains("AKIAKEEPER"), "{packs}");
            tells_nothing("the request", packs.as_bytes());
        }
        // Who is refused says by whom, and not by what.
        let other = place.variables().replace("ada", "eve");
        fs::write(site.roadstead.path("restic.env"), other).unwrap();
        let said = site.roadstead.run(&["backup", "verify", &site.job]);
        tells_nothing("a refusal", format!("{}{}", said.stdout, said.stderr).as_bytes());
        assert_eq!(said.code == Some(0), matches!(place, Place::Bucket(_)), "{}", said.stderr);
        site.has_told_nobody();
    }
}

#[test]
fn a_server_that_is_away_touches_nobody() {
    for mut place in Place::both() {
        place.die();
        let site = Site::serve(&place, "");
        let before = site.writers();
        let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
        assert!(said.contains("remote_unreachable") && said.contains("no connection"), "{said}");
        site.writers_run(&before, false);
        site.has_told_nobody();
    }
}

#[test]
fn a_further_try_finds_a_server_that_was_away() {
    let [_, mut place] = Place::both();
    place.die();
    let site = Site::serve(&place, "retry: {max: 9, backoff: 1s}\n");
    let before = site.writers();
    site.begin();
    site.first_try_fails();
    place.come_back();
    let run = site.end();
    assert_eq!(run["outcome"], "succeeded", "{run}");
    site.writers_run(&before, true);
    assert_eq!(site.snapshots(), 1);
    site.comes_back();
}

#[test]
fn a_server_that_dies_while_writers_are_still_costs_a_try_and_nothing_else() {
    // Without further tries.
    let [mut place, _] = Place::both();
    let site = Site::serve(&place, "");
    let second = &site.writers[1];
    let before = site.writers();
    site.engine.docker(&["exec", second, "touch", "/hold"]);
    site.begin();
    wait_for("the window", PATIENCE, || site.writers()[0].ends_with("exited"));
    place.die();
    site.engine.docker(&["exec", second, "rm", "/hold"]);
    let run = site.end();
    assert_eq!(
        (&run["outcome"], &run["reason"]),
        (&"failed".into(), &"remote_unreachable".into()),
        "{run}"
    );
    site.writers_run(&before, true);
    place.come_back();
    assert_eq!(site.snapshots(), 0);

    // In the middle of a pack; and the server is there again for another try.
    drop(site);
    let site = Site::serve(&place, "retry: {max: 5, backoff: 1s}\n");
    let before = site.writers();
    let packs = place.packs();
    let hold = place.hold();
    site.begin();
    wait_for("a pack on its way", PATIENCE, || place.packs() > packs);
    let Place::Rest(server) = &place else { panic!("the first is a server of restic's protocol") };
    server.die();
    drop(hold);
    site.first_try_fails();
    server.return_whole();
    let run = site.end();
    assert_eq!(run["outcome"], "succeeded", "{run}");
    site.writers_run(&before, true);
    assert_eq!(site.snapshots(), 1);
    site.comes_back();
    site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
    site.has_told_nobody();
}
