//! `backup` where restic does the work, in a container of an image that has it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a fixture that fails is a test that fails, and one asks what restic is linked with"
)]

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::process::output;
use crate::support::roadstead::program;
use crate::support::{Engine, Roadstead, unique};

/// Has Debian's restic and what it is linked with.
const IMAGE: &str = "rs-test/restic:1";
/// Makes `/data` of a volume worth a backup.
const FILL: &str = "cd /data && mkdir -p deep/er && echo two > deep/er/two && \
                    head -c 300000 /dev/urandom > noise && ln -s noise link && ln noise hard && \
                    chmod 0640 noise && chown 33:44 deep && chmod 1777 deep && touch 'a b'";
/// Says all that is to be equal.
const LIST: &str = "cd /data && find . -exec stat -c '%n %f %u %g %h %Y' {} + | \
                    grep -v '^\\. ' | sort && find . -type f -exec md5sum {} + | sort && readlink link";

struct Site {
    engine: &'static Engine,
    roadstead: Roadstead,
    job: String,
    volume: String,
    container: String,
}

impl Site {
    /// A volume with data, and a container that writes to it and has a database of a kind.
    fn new() -> Self {
        let engine = Engine::shared();
        build_image(engine);
        let site = Self {
            engine,
            roadstead: Roadstead::new(&engine.host(), ""),
            job: unique("keep"),
            volume: unique("data"),
            container: unique("db"),
        };
        engine.docker(&["volume", "create", &site.volume]);
        site.in_volume(&site.volume, FILL);
        let script = "#!/bin/sh\\necho \"CREATE TABLE a;\"\\ntest ! -e /bad || exit 3\\n";
        let script = format!(
            "printf '{script}' > /bin/pg_dumpall && chmod 0755 /bin/pg_dumpall && exec sleep 100000"
        );
        let mount = format!("{}:/data", site.volume);
        let run = ["run", "--detach", "--name", &site.container, "--volume", &mount];
        engine.docker(&[&run[..], &["rs-test/app:1", "sh", "-c", &script]].concat());
        fs::write(site.roadstead.path("password"), "a good password\n").unwrap();
        site
    }

    fn in_volume(&self, volume: &str, command: &str) -> String {
        let mount = format!("{volume}:/data");
        let run = ["run", "--rm", "--volume", &mount, "rs-test/app:1", "sh", "-c", command];
        self.engine.docker(&run)
    }

    fn write_job(&self, engine: &str) {
        let root = self.roadstead.path("");
        let text = format!(
            "name: {}\nbackup:\n  repository: {root}repository\n  password_file: {root}password\n  \
             init: true\n  engine: {engine}\n  volumes: [{}]\n  quiesce: stop\n  keep: {{last: 2}}\n  \
             dumps: [{{kind: postgres, container: {}}}]\n",
            self.job,
            self.volume,
            self.container,
            root = root.display()
        );
        self.roadstead.write_job("job.yml", &text);
    }

    fn of_restic(&self) {
        self.write_job(&format!("restic\n  image: {IMAGE}"));
    }

    fn snapshots(&self) -> Vec<Value> {
        let list = self.roadstead.run(&["backup", "list", &self.job, "--json"]).ok();
        serde_json::from_str(&list).unwrap()
    }

    fn started(&self) -> String {
        let format = "{{.State.StartedAt}} {{.State.Status}}";
        self.engine.inspect(&self.container, format).unwrap_or_default()
    }

    /// Workers that are left, running or not.
    fn workers(&self) -> String {
        let of_job = format!("label=dev.roadstead.job={}", self.job);
        let filters = ["--filter", &of_job, "--filter", "label=dev.roadstead.backup-worker"];
        self.engine.docker(&[&["ps", "--all", "--quiet"], &filters[..]].concat())
    }

    fn locks(&self) -> usize {
        fs::read_dir(self.roadstead.path("repository/locks")).unwrap().count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let restored = format!("{}-restored", self.volume);
        self.engine.try_docker(&["rm", "--force", &self.container]);
        self.engine.try_docker(&["volume", "rm", "--force", &self.volume, &restored]);
    }
}

/// Of the machine's restic, each of its libraries at its own path.
fn build_image(engine: &Engine) {
    let restic = "/usr/bin/restic";
    let read = |path: &str| {
        fs::read(path)
            .unwrap_or_else(|_| panic!("the tests need {path} (scripts/setup.sh --tests)"))
    };
    // One that is static has none.
    let libraries = output(Command::new("ldd").arg(restic)).stdout;
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    let paths: Vec<&str> = std::iter::once(restic).chain(libraries).collect();
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| read(path)).collect();
    let names: Vec<String> = (0..paths.len()).map(|number| format!("file{number}")).collect();
    let mut dockerfile = "FROM rs-test/app:1\n".to_owned();
    for (name, path) in names.iter().zip(&paths) {
        write!(dockerfile, "COPY {name} {path}\nRUN [\"chmod\", \"0755\", \"{path}\"]\n").unwrap();
    }
    let files: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
    engine.build_image(IMAGE, &dockerfile, &files);
}

#[test]
fn restic_stores_and_restores_and_our_own_engine_goes_on_with_it() {
    let site = Site::new();
    site.of_restic();
    let before = site.started();
    let said = site.roadstead.run(&["run", &site.job]).ok();
    assert!(said.contains("stored: ") && said.contains("; files "), "{said}");
    let after = site.started();
    assert!(after != before && after.ends_with("running"), "{after}");
    assert_eq!((site.workers().as_str(), site.locks()), ("", 0));
    let made = site.snapshots();
    assert_eq!(made.len(), 2);
    let tag = format!("job:{}", site.job);
    assert!(made.iter().all(|it| it["tags"].as_array().unwrap().contains(&tag.clone().into())));

    let restored = format!("{}-restored", site.volume);
    let equal = |engine: &str| {
        let said = site.roadstead.run(&["backup", "restore", &site.job]).ok();
        assert!(said.contains(&restored), "{engine}: {said}");
        assert_eq!(site.in_volume(&restored, LIST), site.in_volume(&site.volume, LIST), "{engine}");
        site.engine.docker(&["volume", "rm", &restored]);
        let to = site.roadstead.path(engine);
        let dump = made.iter().find(|it| it["paths"][0].as_str().unwrap().contains(".postgres."));
        let id = dump.unwrap()["id"].as_str().unwrap();
        let to_text = to.display().to_string();
        site.roadstead.run(&["backup", "restore", &site.job, id, "--to", &to_text]).ok();
        let file = fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read_to_string(file).unwrap(), "CREATE TABLE a;\n");
        let whole = site.roadstead.run(&["backup", "verify", &site.job, "--all"]).ok();
        assert!(whole.contains("is whole"), "{whole}");
        let shown = site.roadstead.run(&["backup", "show", &site.job, "latest", &site.volume]).ok();
        assert!(shown.contains("deep/er/two"), "{shown}");
        let ids = |all: &[Value]| all.iter().map(|it| it["id"].to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&site.snapshots()), ids(&made));
    };
    equal("restic");
    site.write_job("rustic");
    equal("rustic");

    // A dump that is cut is in no repository of either.
    site.of_restic();
    site.engine.docker(&["exec", &site.container, "touch", "/bad"]);
    let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert!(said.contains("exited with 3"), "{said}");
    let dumps = |all: &[Value]| {
        all.iter().filter(|it| it["paths"][0].as_str().unwrap().contains(".postgres.")).count()
    };
    assert_eq!((dumps(&site.snapshots()), site.locks()), (1, 0));
    assert!(site.started().ends_with("running"));
    assert_eq!(site.workers(), "");
}

#[test]
fn in_a_container_our_program_is_put_beside_restic() {
    let site = Site::new();
    site.of_restic();
    let (root, socket) = (site.roadstead.path(""), site.engine.socket().display().to_string());
    let root = root.display().to_string();
    let program = program().display().to_string();
    let mounts =
        [format!("{root}:{root}"), format!("{socket}:{socket}"), format!("{program}:/program:ro")];
    let variable = format!("ROADSTEAD_ENV_FILE={root}env.local");
    let mut arguments = vec!["run", "--rm", "--env", &variable, "--entrypoint", "/program"];
    for mount in &mounts {
        arguments.extend(["--volume", mount]);
    }
    arguments.extend(["rs-test/app:1", "run", &site.job]);
    let said = site.engine.docker(&arguments);
    assert!(said.contains("stored: ") && said.contains("; files "), "{said}");
    assert_eq!(site.snapshots().len(), 2);
    assert_eq!(site.workers(), "");
}

#[test]
fn without_its_image_nothing_is_touched() {
    let site = Site::new();
    site.write_job("restic\n  image: 127.0.0.1:9/no/restic:1");
    let before = site.started();
    let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert!(said.contains("127.0.0.1:9/no/restic:1"), "{said}");
    // One without the program says so.
    site.write_job("restic\n  image: rs-test/app:1");
    let said = site.roadstead.run(&["run", &site.job]).fails_with(1);
    assert!(said.contains("set `image` to one that has it"), "{said}");
    assert_eq!(site.started(), before);
    assert_eq!(site.workers(), "");
}
