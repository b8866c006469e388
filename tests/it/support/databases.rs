//! Real `MariaDB`, Redis and `SQLite` in containers, of Debian's packages.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::machine::Image;
use super::process::{Output, output};
use super::scene::PATIENCE;
use super::{Daemon, Engine, Roadstead, unique, wait_for};

/// The programs that are in the image.
const PROGRAMS: [&str; 6] = [
    "/usr/sbin/mariadbd",
    "/usr/bin/mariadb",
    "/usr/bin/mariadb-dump",
    "/usr/bin/redis-cli",
    "/usr/bin/redis-check-rdb",
    "/usr/bin/sqlite3",
];
/// Those that ask no disk to be patient.
const MARIADB: &str = "--no-defaults --user=root --datadir=/db --skip-networking \
                       --innodb-flush-log-at-trx-commit=0 --innodb-log-file-size=4M \
                       --innodb-buffer-pool-size=32M";
/// Root has a password where the image's variable says so, else he is known by his socket; `app` is
/// somebody else. The server is no first process: it can be killed alone.
const SERVE_MARIADB: &str = r#"[ -z "$MARIADB_ROOT_PASSWORD" ] ||
    echo "ALTER USER root@localhost IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';" > /init.sql
[ -z "$MARIADB_PASSWORD" ] ||
    echo "CREATE OR REPLACE USER app@localhost IDENTIFIED BY '$MARIADB_PASSWORD';" >> /init.sql
"#;
const SERVE_REDIS: &str = r#"redis-server --dir /redis --save "" --enable-debug-command local \
    ${REDIS_PASSWORD:+--requirepass "$REDIS_PASSWORD"}
exec sleep 100000
"#;

/// Before a command that asks Redis.
pub(crate) const AS_REDIS: &str =
    "[ -z \"$REDIS_PASSWORD\" ] || export REDISCLI_AUTH=\"$REDIS_PASSWORD\"; ";

/// Before a command that asks `MariaDB` or `MySQL`, as `$tool`, for root.
const AS_ROOT: &str = r#"tool=mariadb; command -v mariadb >/dev/null || tool=mysql
MYSQL_PWD=${MARIADB_ROOT_PASSWORD:-$(cat "${MYSQL_ROOT_PASSWORD_FILE:-/dev/null}")}; export MYSQL_PWD
"#;
/// Whether the books of a shop are equal, and what the rest of it is.
pub(crate) const LOOK: &str = "SELECT (SELECT COUNT(*) FROM shop.debit) = (SELECT COUNT(*) FROM shop.credit), \
    (SELECT COUNT(*) FROM shop.debit) > 0, \
    (SELECT COUNT(*) FROM shop.v), \
    (SELECT CONCAT(SUM(CRC32(CONCAT(id, text))), ' ', SUM(CRC32(raw))) FROM shop.t), \
    (SELECT CONCAT(COUNT(*), GROUP_CONCAT(routine_name)) FROM information_schema.routines \
        WHERE routine_schema = 'shop'), \
    (SELECT GROUP_CONCAT(trigger_name) FROM information_schema.triggers \
        WHERE trigger_schema = 'shop'), \
    (SELECT GROUP_CONCAT(event_name) FROM information_schema.events WHERE event_schema = 'shop')";

/// Ends a script that goes on; it has not ended by itself.
#[track_caller]
pub(crate) fn end(mut script: Child) {
    let is_running = script.try_wait().unwrap().is_none();
    script.kill().unwrap();
    script.wait().unwrap();
    assert!(is_running, "it went on all the time");
}

/// The image of all of them, on the Engine that tests share.
pub(crate) fn shared_image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| image(Engine::shared()))
}

/// Makes the image of all of them.
pub(crate) fn image(engine: &Engine) -> String {
    let image = Image::new();
    image.programs(&PROGRAMS.map(PathBuf::from));
    for part in ["english", "charsets"] {
        image.put(&Path::new("/usr/share/mysql").join(part));
    }
    // The same programs under the names that others call them by.
    image.put_as(Path::new("/usr/bin/mariadb-dump"), Path::new("/usr/bin/mysqldump"));
    image.put_as(Path::new("/usr/bin/redis-check-rdb"), Path::new("/usr/bin/redis-server"));
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("db");
    // What a server starts with, made where perl and the like are.
    output(
        Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--skip-test-db", "--skip-name-resolve"])
            .args(["--auth-root-authentication-method=socket", "--auth-root-socket-user=root"])
            .args(["--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0"])
            .arg(format!("--datadir={}", data.display())),
    )
    .ok();
    image.put_as(&data, Path::new("/db"));
    image.write("etc/passwd", "root:x:0:0::/:/bin/sh\n");
    image.write("etc/group", "root:x:0:\n");
    image.write("run/mysqld/empty", "");
    image.write("redis/empty", "");
    image.write("data/empty", "");
    image.write("init.sql", "");
    let mariadb = format!(
        "{SERVE_MARIADB}mariadbd {MARIADB} --socket=/run/mysqld/mysqld.sock --init-file=/init.sql\n\
         exec sleep 100000\n"
    );
    image.write("serve/mariadb", &mariadb);
    image.write("serve/redis", SERVE_REDIS);
    image.write("serve/sqlite", "exec sleep 100000\n");
    image.import(engine, "databases", "/bin:/usr/bin:/usr/sbin")
}

/// A container with a database. Dropped, it is removed.
pub(crate) struct Server<'e> {
    engine: &'e Engine,
    pub(crate) name: String,
}

impl<'e> Server<'e> {
    /// Makes one that does not run yet: `mariadb`, `mysql`, `redis` or `sqlite`.
    pub(crate) fn make(engine: &'e Engine, (image, kind): (&str, &str), options: &[&str]) -> Self {
        let server = Self { engine, name: unique(kind) };
        let create = ["create", "--name", &server.name, "--stop-signal", "SIGKILL"];
        let serve = format!("/serve/{kind}");
        engine.docker(&[&create[..], options, &[image, "sh", &serve]].concat());
        server
    }

    /// Starts one that is on the shared Engine.
    pub(crate) fn start(kind: &str, options: &[&str]) -> Server<'static> {
        let server = Server::make(Engine::shared(), (shared_image(), kind), options);
        server.run();
        server
    }

    /// Runs it until it answers.
    pub(crate) fn run(&self) {
        self.engine.docker(&["start", &self.name]);
        let redis = format!("{AS_REDIS}test \"$(redis-cli ping 2>/dev/null)\" = PONG");
        let root = format!("{AS_ROOT}$tool --user=root -e 'SELECT 1' >/dev/null");
        let asks = match self.name.split('-').next() {
            // The init file is through before anybody is let in.
            Some("mariadb" | "mysql") => &root,
            Some("redis") => &redis,
            _ => "true",
        };
        wait_for(&self.name, PATIENCE, || self.try_sh(asks).code == Some(0));
    }

    /// Runs a script in it.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.try_sh(script).ok()
    }

    pub(crate) fn try_sh(&self, script: &str) -> Output {
        self.engine.try_docker(&["exec", &self.name, "sh", "-c", script])
    }

    /// Runs statements, each ended by `//`, as root.
    #[track_caller]
    pub(crate) fn sql(&self, text: &str) -> String {
        let call = format!(
            "{AS_ROOT}exec $tool --user=root --batch --skip-column-names --delimiter=// \
             --default-character-set=utf8mb4 -e \"$1\""
        );
        self.engine.docker(&["exec", &self.name, "sh", "-c", &call, "-", text])
    }

    /// Asks Redis.
    #[track_caller]
    pub(crate) fn redis(&self, command: &str) -> String {
        self.sh(&format!("{AS_REDIS}redis-cli {command}"))
    }

    /// Has root's client read a file of the machine; `options` may name a database.
    #[track_caller]
    pub(crate) fn load(&self, file: &Path, options: &str) {
        self.copy(file, "/dump.sql");
        self.sh(&format!("{AS_ROOT}$tool --user=root {options} < /dump.sql"));
    }

    /// Statements that go on in it until they are killed.
    pub(crate) fn sql_goes_on(&self, text: &str) -> Child {
        self.goes_on(&format!("{AS_ROOT}exec $tool --user=root shop -e '{text}'"))
    }

    /// A script that goes on in it until it is killed.
    pub(crate) fn goes_on(&self, script: &str) -> Child {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.engine.host());
        command.args(["exec", &self.name, "sh", "-c", script]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Copies a file into it.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        let from = from.display().to_string();
        self.engine.docker(&["cp", &from, &format!("{}:{to}", self.name)]);
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.engine.try_docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// A daemon with backup jobs into a directory.
pub(crate) struct Keeper<'e> {
    roadstead: Roadstead,
    engine: &'e Engine,
    jobs: Vec<String>,
    daemon: Option<Daemon>,
}

impl<'e> Keeper<'e> {
    /// Serves one job each text, which says below `backup:` what is kept.
    pub(crate) fn serve(engine: &'e Engine, jobs: &[&str]) -> Self {
        let roadstead = Roadstead::new(&engine.host(), "");
        std::fs::write(roadstead.path("password"), "a good password\n").unwrap();
        let root = roadstead.path("").display().to_string();
        let mut names = Vec::new();
        for text in jobs {
            let name = unique("db");
            let text = format!(
                "name: {name}\nbackup:\n  repository: {root}repository\n  \
                 password_file: {root}password\n  init: true\n{text}"
            );
            roadstead.write_job(&format!("{name}.yml"), &text);
            names.push(name);
        }
        let daemon = Some(roadstead.serve());
        let keeper = Self { roadstead, engine, jobs: names, daemon };
        wait_for("the daemon", PATIENCE, || keeper.roadstead.run(&["health"]).code == Some(0));
        keeper
    }

    pub(crate) fn run(&self, job: usize) -> Output {
        self.roadstead.run(&["run", &self.jobs[job]])
    }

    /// Runs a job in the background.
    pub(crate) fn begin(&self, job: usize) -> Child {
        let mut run = self.roadstead.command(&["run", &self.jobs[job]]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The files of a job's snapshots, which are dumps.
    #[track_caller]
    pub(crate) fn snapshots(&self, job: usize) -> usize {
        let list = self.roadstead.run(&["backup", "list", &self.jobs[job], "--json"]).ok();
        serde_json::from_str::<Vec<serde_json::Value>>(&list).unwrap().len()
    }

    /// Restores what is at `path` of the newest snapshot that has it.
    #[track_caller]
    pub(crate) fn restore(&self, job: usize, path: &str) -> PathBuf {
        let to = self.roadstead.path(&unique("out"));
        let shown = to.display().to_string();
        self.roadstead
            .run(&["backup", "restore", &self.jobs[job], "--path", path, "--to", &shown])
            .ok();
        if to.is_dir() { to.join(Path::new(path).file_name().unwrap()) } else { to }
    }

    /// Kills a server of `MariaDB` or `MySQL` in the middle of the first job's dump of its `shop`, alone and with
    /// its container: nothing is stored, and of the next dump all is.
    #[track_caller]
    pub(crate) fn stores_nothing_of_one_that_dies(&self, server: &Server<'_>, program: &str) {
        let shows = |state: &str| server.sql("SHOW PROCESSLIST").contains(state);
        for death in [&format!("killall -9 {program}"), "the whole container"] {
            // All but the last table is dumped by then.
            let lock = server.sql_goes_on("LOCK TABLES zz WRITE; SELECT SLEEP(1000)");
            wait_for("the lock", PATIENCE, || shows("User sleep"));
            let run = self.begin(0);
            wait_for("the middle", PATIENCE, || shows("Waiting for table metadata lock"));
            if death.starts_with("killall") {
                server.sh(death);
            } else {
                server.engine.docker(&["kill", &server.name]);
            }
            let ended = run.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            assert_eq!(ended.status.code(), Some(1), "{death}: {said}");
            assert!(said.contains("nothing of it is kept"), "{death}: {said}");
            assert_eq!(self.snapshots(0), 0, "{death}: {said}");
            drop(lock.wait_with_output());
            server.engine.docker(&["restart", &server.name]);
            server.run();
        }
        self.run(0).ok();
        assert_eq!(self.snapshots(0), 1);
    }

    /// Nothing is left, and the repository is whole.
    #[track_caller]
    pub(crate) fn is_clean(&self, job: usize) {
        let of_job = format!("label=dev.roadstead.job={}", self.jobs[job]);
        let left = self.engine.docker(&["ps", "--all", "--quiet", "--filter", &of_job]);
        assert_eq!(left, "");
        self.roadstead.run(&["backup", "verify", &self.jobs[job], "--all"]).ok();
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
    }
}
