//! `backup` and the kinds around it: what is stored comes back equal, and who was kept still runs again.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::support::scene::PATIENCE;
use crate::support::{Daemon, Engine, Output, Roadstead, unique, wait_for};

/// Makes `/data` of a volume worth a backup: modes, owners, links, a name that is not plain.
const FILL: &str = "umask 022; cd /data && mkdir -p deep/er && echo one > one && echo two > deep/er/two && \
                    head -c 300000 /dev/urandom > noise && ln -s one link && ln one hard && \
                    chmod 0640 one && chown 33:44 deep && chmod 1777 deep && touch 'a b'";
/// Says all that is to be equal.
const LIST: &str = "cd /data && find . -exec stat -c '%n %f %u %g %h %Y' {} + | \
                    grep -v '^\\. ' | sort && find . -type f -exec md5sum {} + | sort && readlink link";

/// A repository, a volume with data, and an installation.
pub(crate) struct Site {
    pub(crate) engine: &'static Engine,
    pub(crate) roadstead: Roadstead,
    pub(crate) job: String,
    pub(crate) volume: String,
    /// Containers and volumes that go with it.
    pub(crate) containers: Vec<String>,
    pub(crate) volumes: Vec<String>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::on(Engine::shared())
    }

    pub(crate) fn on(engine: &'static Engine) -> Self {
        let roadstead = Roadstead::new(&engine.host(), "");
        let volume = unique("data");
        engine.docker(&["volume", "create", &volume]);
        let site = Self {
            engine,
            roadstead,
            job: unique("keep"),
            volumes: vec![volume.clone()],
            volume,
            containers: Vec::new(),
        };
        site.in_volume(&site.volume, FILL);
        fs::write(site.roadstead.path("password"), "a good password\n").unwrap();
        site
    }

    /// Runs a command with a volume at `/data`.
    pub(crate) fn in_volume(&self, volume: &str, command: &str) -> String {
        let mount = format!("{volume}:/data");
        self.engine.docker(&[
            "run",
            "--rm",
            "--volume",
            &mount,
            "rs-test/app:1",
            "sh",
            "-c",
            command,
        ])
    }

    pub(crate) fn listing(&self, volume: &str) -> String {
        self.in_volume(volume, LIST)
    }

    /// The words of every job that say where the repository is.
    pub(crate) fn repository(&self) -> String {
        let root = self.roadstead.path("");
        format!(
            "  repository: {root}repository\n  password_file: {root}password\n",
            root = root.display()
        )
    }

    /// Writes the job: what is backed up, and what follows it at the margin.
    pub(crate) fn write_job(&self, what: &str, rest: &str) {
        let text =
            format!("name: {}\nbackup:\n{}  init: true\n{what}{rest}", self.job, self.repository());
        self.roadstead.write_job("job.yml", &text);
    }

    pub(crate) fn of_volume(&self) -> String {
        format!("  volumes: [{}]\n", self.volume)
    }

    pub(crate) fn run(&self) -> Output {
        self.roadstead.run(&["run", &self.job])
    }

    /// A container that lives, with the volume.
    pub(crate) fn container(&mut self, prefix: &str, options: &[&str]) -> String {
        let name = unique(prefix);
        let mount = format!("{}:/data", self.volume);
        let mut arguments = vec!["run", "--detach", "--name", &name, "--volume", &mount];
        arguments.extend(options);
        arguments.push("rs-test/app:1");
        self.engine.docker(&arguments);
        self.containers.push(name.clone());
        name
    }

    /// A container in which databases are dumped by a script of ours.
    pub(crate) fn database(&mut self, script: &str) -> String {
        let dockerfile = "FROM rs-test/app:1\nCOPY pg_dumpall /bin/pg_dumpall\n\
                          RUN [\"chmod\", \"0755\", \"/bin/pg_dumpall\"]\n";
        let image = format!("rs-test/{}", unique("db"));
        let script = format!("#!/bin/sh\n{script}\n");
        self.engine.build_image(&image, dockerfile, &[("pg_dumpall", script.as_bytes())]);
        let name = unique("db");
        self.engine.docker(&["run", "--detach", "--name", &name, &image]);
        self.containers.push(name.clone());
        name
    }

    pub(crate) fn state(&self, container: &str) -> String {
        self.engine.inspect(container, "{{.State.Status}}").unwrap_or_default()
    }

    pub(crate) fn started(&self, container: &str) -> String {
        self.engine.inspect(container, "{{.State.StartedAt}} {{.State.Status}}").unwrap_or_default()
    }

    /// What the last run of the job recorded.
    pub(crate) fn results(&self) -> Value {
        self.last_run()["details"]["results"].clone()
    }

    pub(crate) fn last_run(&self) -> Value {
        let runs = self.roadstead.run(&["runs", &self.job, "--json"]).ok();
        let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
        let run = self.roadstead.run(&["runs", &runs[0]["id"].to_string(), "--json"]).ok();
        serde_json::from_str(&run).unwrap()
    }

    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let list = self.roadstead.run(&["backup", "list", &self.job, "--json"]).ok();
        serde_json::from_str(&list).unwrap()
    }

    /// Workers of the job that are left, running or not.
    pub(crate) fn workers(&self) -> String {
        let of_job = format!("label=dev.roadstead.job={}", self.job);
        let filter = ["--filter", &of_job, "--filter", "label=dev.roadstead.backup-worker"];
        self.engine.docker(&[
            "ps",
            "--all",
            "--format",
            "{{.Names}} {{.State}}",
            filter[0],
            filter[1],
            filter[2],
            filter[3],
        ])
    }

    /// Starts a daemon and has it run the job.
    pub(crate) fn serve_and_run(&self) -> Daemon {
        let daemon = self.roadstead.serve();
        wait_for("the daemon", PATIENCE, || {
            self.roadstead.run(&["run", &self.job, "--no-wait"]).code == Some(0)
        });
        daemon
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.last_run()["ended"].is_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let left = self.workers();
        let left = left.lines().filter_map(|it| it.split(' ').next());
        let all = left.chain(self.containers.iter().map(String::as_str));
        all.for_each(|name| drop(self.engine.try_docker(&["rm", "--force", name])));
        for volume in &self.volumes {
            self.engine.try_docker(&["volume", "rm", "--force", volume]);
        }
    }
}

fn stored_comes_back_equal(engine: &'static Engine) {
    let mut site = Site::on(engine);
    let directory = site.roadstead.path("etc/app");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("app.conf"), "port=1\n").unwrap();
    fs::write(directory.join("cache.tmp"), "nothing\n").unwrap();
    let what = format!(
        "{}  paths: ['{}']\n  exclude: ['*.tmp', '{}/never']\n",
        site.of_volume(),
        directory.display(),
        directory.display()
    );
    fs::create_dir(directory.join("never")).unwrap();
    fs::write(directory.join("never/x"), "x\n").unwrap();
    site.write_job(&what, "");
    let plan = site.roadstead.run(&["plan", &site.job]).fails_with(3);
    assert!(plan.contains(&format!("read volume {}", site.volume)), "{plan}");
    assert!(!site.roadstead.path("repository").exists(), "a plan touches nothing");

    let said = site.run().ok();
    assert!(said.contains("stored: files"), "{said}");
    let first = site.results();
    assert_eq!(first["made"], true, "{first}");
    assert!(first["added"].as_u64().unwrap() > 250_000, "{first}");
    assert_eq!(site.workers(), "");

    // Nothing changed: next to nothing is added.
    site.run().ok();
    let second = site.results();
    assert!(second["added"].as_u64().unwrap() < 5_000, "{second}");
    let all = site.snapshots();
    assert_eq!(all.len(), 2);
    let tag = format!("job:{}", site.job);
    assert!(all[0]["tags"].as_array().unwrap().contains(&tag.into()), "{all:?}");

    let restored = format!("{}-restored", site.volume);
    site.volumes.push(restored.clone());
    let said = site.roadstead.run(&["backup", "restore", &site.job]).ok();
    assert!(said.contains(&restored), "{said}");
    assert_eq!(site.listing(&restored), site.listing(&site.volume));
    let said = site.roadstead.run(&["backup", "restore", &site.job]).fails_with(1);
    assert!(said.contains("is there already"), "{said}");

    // A path of the host, into a directory.
    let to = site.roadstead.path("out");
    let (path, to_text) = (directory.display().to_string(), to.display().to_string());
    let arguments = ["backup", "restore", &site.job, "--path", &path, "--to", &to_text];
    site.roadstead.run(&arguments).ok();
    assert_eq!(fs::read_to_string(to.join("app.conf")).unwrap(), "port=1\n");
    assert!(!to.join("cache.tmp").exists() && !to.join("never").exists(), "they are excluded");

    // What else there is to see.
    let shown = site.roadstead.run(&["backup", "show", &site.job, "latest", &site.volume]).ok();
    assert!(shown.contains("deep/er/two") && !shown.contains("app.conf"), "{shown}");
    site.in_volume(&site.volume, "echo changed > /data/one; rm /data/link");
    site.run().ok();
    let ids: Vec<String> =
        site.snapshots().iter().map(|it| it["id"].as_str().unwrap()[..12].to_owned()).collect();
    let differ = site.roadstead.run(&["backup", "diff", &site.job, &ids[1], &ids[2]]).ok();
    assert!(differ.contains("removed") && differ.contains("/link"), "{differ}");
    let whole = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
    assert!(whole.contains("is whole"), "{whole}");
    site.roadstead.run(&["backup", "unlock", &site.job]).ok();
}

crate::support::on_both_engines!(stored_comes_back_equal);

#[test]
fn what_none_of_the_rules_keeps_is_forgotten() {
    let site = Site::new();
    site.write_job(&format!("{}  keep: {{last: 1}}\n", site.of_volume()), "");
    site.run().ok();
    let first = site.snapshots()[0]["id"].clone();
    site.in_volume(&site.volume, "head -c 200000 /dev/urandom > /data/noise");
    let said = site.run().ok();
    assert!(said.contains("1 forgotten"), "{said}");
    let left = site.snapshots();
    assert_eq!(left.len(), 1);
    assert_ne!(left[0]["id"], first);
    let said = site.roadstead.run(&["backup", "prune", &site.job]).ok();
    assert!(said.contains("freed"), "{said}");
    site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
}

#[test]
fn who_was_kept_still_runs_again_and_nobody_else() {
    let mut site = Site::new();
    let (a, b) = (site.container("a", &[]), site.container("b", &[]));
    let reader = site.container("stopped", &[]);
    site.engine.docker(&["stop", &reader]);
    let mut before = (site.started(&a), site.started(&b), site.started(&reader));
    site.write_job(&format!("{}  quiesce: stop\n", site.of_volume()), "");
    let plan = site.roadstead.run(&["plan", &site.job]).fails_with(3);
    assert!(plan.contains(&format!("stop container {a}")), "{plan}");
    assert!(!plan.contains(&format!("stop container {reader}")), "{plan}");
    let said = site.run().ok();
    assert!(said.contains("writers were still"), "{said}");
    let after = (site.started(&a), site.started(&b), site.started(&reader));
    assert!(after.0 != before.0 && after.0.ends_with("running"), "{after:?}");
    assert!(after.1 != before.1 && after.1.ends_with("running"), "{after:?}");
    assert_eq!(after.2, before.2);
    assert!(site.results()["window_ms"].is_u64());

    // Paused: the same processes go on.
    before = after;
    site.write_job(&format!("{}  quiesce: pause\n", site.of_volume()), "");
    site.run().ok();
    assert_eq!((site.started(&a), site.started(&b), site.started(&reader)), before);
    let log = site.last_run()["steps"].to_string();
    assert!(log.contains(&format!("pause container {a}")), "{log}");

    // Commands before and after, in those that are named.
    let what = format!(
        "{}  quiesce:\n    how: exec\n    targets: [{a}]\n    before: [touch, /before]\n    \
         after: [sh, -c, 'test -e /before && touch /after']\n",
        site.of_volume()
    );
    site.write_job(&what, "");
    site.run().ok();
    site.engine.docker(&["exec", &a, "test", "-e", "/after"]);
    assert!(site.engine.try_docker(&["exec", &b, "test", "-e", "/before"]).code == Some(1));

    // A backup that fails in between, and a command that fails before.
    site.engine.docker(&["exec", &a, "rm", "/after"]);
    site.write_job(&what.replace("[touch, /before]", "[sh, -c, 'echo no room >&2; exit 4']"), "");
    let said = site.run().fails_with(1);
    assert!(said.contains("exited with 4") && said.contains("no room"), "{said}");
    site.engine.docker(&["exec", &a, "test", "-e", "/after"]);
    assert_eq!(site.workers(), "");
}

/// Two containers that write, of which the second is slow to be made still: the first is down by then.
fn slow(site: &mut Site, how: &str) -> (String, String) {
    let (first, second) = (site.container("a", &[]), site.container("b", &[]));
    site.engine.docker(&["exec", &second, "touch", "/slow"]);
    let what = format!(
        "{}  quiesce:\n    how: {how}\n    before: [sh, -c, 'if test -e /slow; then sleep 1000; fi']\n    \
         after: [touch, /after]\n",
        site.of_volume()
    );
    site.write_job(&what, "timeout: 10s\n");
    (first, second)
}

#[test]
fn a_run_that_takes_too_long_lets_writers_go_on() {
    for how in ["stop", "pause"] {
        let mut site = Site::new();
        // The repository is there: what takes long is the window.
        site.write_job(&site.of_volume(), "");
        site.run().ok();
        let (first, second) = slow(&mut site, how);
        let said = site.run().fails_with(1);
        assert!(said.contains("timed_out"), "{how}: {said}");
        assert_eq!((site.state(&first), site.state(&second)), ("running".into(), "running".into()));
        assert_eq!(site.snapshots().len(), 1, "{how}: {said}");
        assert_eq!(site.workers(), "");
    }
}

#[test]
fn who_is_started_by_somebody_else_meanwhile_is_told() {
    let mut site = Site::new();
    let first = site.container("a", &[]);
    let second = site.container("b", &[]);
    site.engine.docker(&["exec", &second, "touch", "/slow"]);
    let what = format!(
        "{}  quiesce: {{how: stop, before: [sh, -c, 'while test -e /slow; do sleep 1; done']}}\n  keep: {{last: 1}}\n",
        site.of_volume()
    );
    site.write_job(&what, "");
    let daemon = site.serve_and_run();
    wait_for("the window", PATIENCE, || site.state(&first) == "exited");
    site.engine.docker(&["start", &first]);
    site.engine.docker(&["exec", &second, "rm", "/slow"]);
    wait_for("the end of the run", PATIENCE, || site.has_ended());
    let run = site.last_run();
    assert_eq!((&run["outcome"], &run["reason"]), (&"degraded".into(), &"incomplete".into()));
    let named = format!("container {first} was started");
    assert!(run["message"].as_str().unwrap().contains(&named), "{run}");
    assert_eq!(run["details"]["results"]["disturbed_by"], serde_json::json!([first]));
    assert_eq!((site.state(&first), site.state(&second)), ("running".into(), "running".into()));
    assert_eq!(daemon.stop(PATIENCE), Some(0));
    // Undisturbed it is as any other.
    site.run().ok();
}

#[test]
fn killed_in_the_window_the_next_roadstead_lets_writers_go_on() {
    for (how, meanwhile) in [("stop", "exited"), ("pause", "paused")] {
        let mut site = Site::new();
        let (first, second) = slow(&mut site, how);
        let job = fs::read_to_string(site.roadstead.path("jobs/job.yml")).unwrap();
        let job = job.replace("timeout: 10s\n", "");
        site.roadstead.write_job("job.yml", &job);
        let daemon = site.serve_and_run();
        wait_for("the window", PATIENCE, || site.state(&first) == meanwhile);
        daemon.kill();
        wait_for("the end of the worker", PATIENCE, || !site.workers().contains("running"));
        assert_eq!(site.state(&first), meanwhile, "{how}");
        let daemon = site.roadstead.serve();
        wait_for("the first container", PATIENCE, || site.state(&first) == "running");
        wait_for("the end of the run", PATIENCE, || site.has_ended());
        assert_eq!(site.state(&second), "running");
        assert_eq!(site.last_run()["outcome"], "lost");
        site.engine.docker(&["exec", &first, "test", "-e", "/after"]);
        assert_eq!(daemon.stop(PATIENCE), Some(0));
        // Nothing is half stored, and the next run is as any other.
        site.engine.docker(&["exec", &second, "rm", "/slow"]);
        assert!(site.snapshots().is_empty());
        site.run().ok();
        assert_eq!(site.snapshots().len(), 1);
        assert_eq!(site.workers(), "");
    }
}

#[test]
fn a_dump_is_stored_whole_or_not_at_all() {
    let mut site = Site::new();
    let script = "if test -e /hang; then head -c 100000 /dev/zero; echo $$ > /pid; exec sleep 1000; fi\n\
                  echo 'CREATE TABLE a;'; test ! -e /bad || { echo 'no such role' >&2; exit 3; }\n\
                  echo 'COPY a;'";
    let database = site.database(script);
    let dumps = format!("  dumps:\n    - kind: postgres\n      container: {database}\n");
    site.write_job(&dumps, "");
    let said = site.run().ok();
    assert!(said.contains("stored"), "{said}");
    let to = site.roadstead.path("dump");
    let restore = ["backup", "restore", &site.job, "--to", &to.display().to_string()];
    site.roadstead.run(&restore).ok();
    let file = fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_to_string(file).unwrap(), "CREATE TABLE a;\nCOPY a;\n");
    assert_eq!(site.snapshots().len(), 1);

    // It ends badly.
    site.engine.docker(&["exec", &database, "touch", "/bad"]);
    let said = site.run().fails_with(1);
    assert!(said.contains("exited with 3") && said.contains("no such role"), "{said}");
    assert_eq!(site.snapshots().len(), 1);

    // It is killed in the middle.
    site.engine.docker(&["exec", &database, "touch", "/hang"]);
    let mut run = site.roadstead.command(&["run", &site.job]);
    let run = run.stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the middle", PATIENCE, || {
        site.engine.try_docker(&["exec", &database, "test", "-s", "/pid"]).code == Some(0)
    });
    site.engine.docker(&["exec", &database, "sh", "-c", "kill -9 $(cat /pid)"]);
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("exited with 137"));
    assert_eq!(site.snapshots().len(), 1);
    assert_eq!(site.workers(), "");

    // A volume beside it is stored all the same; the run fails.
    site.engine.docker(&["exec", &database, "rm", "/hang"]);
    site.write_job(&format!("{dumps}{}", site.of_volume()), "");
    let said = site.run().fails_with(1);
    assert!(said.contains("no such role") && said.contains("stored: files"), "{said}");
    assert_eq!(site.snapshots().len(), 2);
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_touched() {
    let mut site = Site::new();
    let writer = site.container("writer", &[]);
    let stopped = site.container("down", &[]);
    site.engine.docker(&["stop", &stopped]);
    let before = site.started(&writer);
    let good = format!("{}  quiesce: stop\n", site.of_volume());
    let missing = unique("missing");
    for (name, what, says) in [
        ("volume", good.replace(&site.volume, &missing), format!("there is no volume `{missing}`")),
        (
            "container",
            format!("{good}  dumps: [{{kind: postgres, container: {stopped}}}]\n"),
            format!("`{stopped}` is exited"),
        ),
        ("path", format!("{good}  paths: [/srv/{missing}]\n"), format!("/srv/{missing}")),
    ] {
        site.write_job(&what, "");
        let said = site.run().fails_with(1);
        assert!(said.contains(&says) && said.contains("nothing was touched"), "{name}: {said}");
        assert!(!site.roadstead.path("repository").exists(), "{name}");
        assert_eq!(site.started(&writer), before, "{name}");
        assert_eq!(site.engine.try_docker(&["volume", "inspect", &missing]).code, Some(1));
    }
    // No repository, and none is to be made.
    site.write_job(&good, "");
    let text = fs::read_to_string(site.roadstead.path("jobs/job.yml")).unwrap();
    site.roadstead.write_job("job.yml", &text.replace("  init: true\n", ""));
    let said = site.run().fails_with(1);
    assert!(said.contains("init"), "{said}");
    fs::create_dir(site.roadstead.path("repository")).unwrap();
    let said = site.run().fails_with(1);
    assert!(said.contains("init"), "{said}");
    assert_eq!(site.started(&writer), before);

    // A wrong password.
    site.write_job(&good, "");
    site.run().ok();
    let before = site.started(&writer);
    fs::write(site.roadstead.path("password"), "another one\n").unwrap();
    let said = site.run().fails_with(1);
    assert!(said.contains("password") && said.contains("unauthorized"), "{said}");
    assert!(!said.contains("another one"), "{said}");
    assert_eq!(site.started(&writer), before);
    fs::remove_file(site.roadstead.path("password")).unwrap();
    let said = site.run().fails_with(1);
    assert!(said.contains("read the password"), "{said}");
    assert_eq!(site.workers(), "");
}

#[test]
fn a_drill_says_whether_a_backup_is_good() {
    let mut site = Site::new();
    site.write_job(&site.of_volume(), "");
    let drill = unique("drill");
    let write = |check: &str| {
        let text = format!(
            "name: {drill}\nrestore_drill:\n{}  of: {}\n  path: /volumes/{}\n  check:\n    image: rs-test/app:1\n    \
             command: [sh, -c, '{check}']\n",
            site.repository(),
            site.job,
            site.volume
        );
        site.roadstead.write_job("drill.yml", &text);
    };
    write("grep one /restore/one");
    let verified = ["backup", "verified", &site.job, "--within", "24h"];
    let said = site.roadstead.run(&["run", &drill]).fails_with(1);
    assert!(said.contains("no repository") || said.contains("no snapshot"), "{said}");
    site.run().ok();
    site.roadstead.run(&verified).fails_with(1);
    let said = site.roadstead.run(&["run", &drill]).ok();
    assert!(said.contains("exited with 0"), "{said}");
    let said = site.roadstead.run(&verified).ok();
    assert!(said.contains("proved snapshot"), "{said}");
    // One that is bad does not take back what was proven; it fails.
    write("grep two /restore/one");
    let said = site.roadstead.run(&["run", &drill]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stdout.contains("exited with 1"), "{}", said.stdout);
    site.roadstead.run(&verified).ok();
    let left =
        site.engine.docker(&["volume", "ls", "--filter", "label=dev.roadstead.drill", "--quiet"]);
    assert_eq!(left, "");
    let filter = format!("label=dev.roadstead.job={drill}");
    assert_eq!(site.engine.docker(&["ps", "--all", "--quiet", "--filter", &filter]), "");
    site.containers.clear();
}

#[test]
fn a_volume_in_use_is_not_restored_in_place() {
    let mut site = Site::new();
    site.write_job(&site.of_volume(), "");
    site.run().ok();
    let good = site.listing(&site.volume);
    site.in_volume(&site.volume, "cd /data; rm one hard; echo bad > link2; echo bad > deep/er/two");
    let user = site.container("user", &[]);
    let before = site.started(&user);
    let bad = site.listing(&site.volume);
    let arguments = ["backup", "restore", &site.job, "--in-place"];
    let said = site.roadstead.run(&arguments).fails_with(1);
    assert!(said.contains(&user) && said.contains("--stop"), "{said}");
    assert_eq!(site.started(&user), before);
    assert_eq!(site.listing(&site.volume), bad);
    let said = site.roadstead.run(&[&arguments[..], &["--stop"]].concat()).ok();
    assert!(said.contains(&site.volume), "{said}");
    assert_eq!(site.listing(&site.volume), good);
    let after = site.started(&user);
    assert!(after != before && after.ends_with("running"), "{after}");
}

#[test]
fn a_repository_is_looked_after() {
    let site = Site::new();
    site.write_job(&site.of_volume(), "");
    let (check, prune) = (unique("check"), unique("prune"));
    let repository = site.repository();
    site.roadstead.write_job(
        "check.yml",
        &format!("name: {check}\nbackup_check:\n{repository}  read_in: 3\n"),
    );
    site.roadstead.write_job(
        "prune.yml",
        &format!("name: {prune}\nbackup_prune:\n{repository}  keep: {{last: 1}}\n"),
    );
    let said = site.roadstead.run(&["run", &check]).fails_with(1);
    assert!(said.contains("init"), "{said}");
    site.run().ok();
    site.run().ok();
    for part in ["part 1 of 3", "part 2 of 3", "part 3 of 3", "part 1 of 3"] {
        let said = site.roadstead.run(&["run", &check]).ok();
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = site.roadstead.run(&["run", &prune]).ok();
    assert!(said.contains("1 snapshots forgotten and 1 kept"), "{said}");
    assert_eq!(site.snapshots().len(), 1);

    // A pack that is damaged is found by a check that reads all.
    let mut packs = Vec::new();
    let mut open = vec![site.roadstead.path("repository/data")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { packs.push(path) }
        }
    }
    for pack in packs {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    let said = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).fails_with(1);
    assert!(said.contains("damaged"), "{said}");
}
