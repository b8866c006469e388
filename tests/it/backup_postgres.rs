//! A real `PostgreSQL`, written to all the time: what is dumped meanwhile comes back elsewhere.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a fixture that fails is a test that fails, and is made by programs"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::machine::Image;
use crate::support::scene::PATIENCE;
use crate::support::{Engine, Roadstead, unique, wait_for};

/// Where Debian puts the releases of `PostgreSQL`.
const RELEASES: &str = "/usr/lib/postgresql";
/// Programs of it that are needed.
const PROGRAMS: [&str; 7] =
    ["initdb", "pg_dump", "pg_dumpall", "pg_isready", "pg_restore", "postgres", "psql"];
/// Starts a server whose administrator has no password, and stays.
const SERVE: &str = "mkdir -p /db /var/run/postgresql && chown postgres /db /var/run/postgresql && \
                     su postgres -s /bin/sh -c 'initdb -D /db -A trust --no-sync >/dev/null && \
                     exec postgres -D /db -c fsync=off'";
/// Two books whose sums are equal in every transaction.
const BOOKS: &str = "CREATE TABLE debit (n bigint); CREATE TABLE credit (n bigint); \
                     CREATE TABLE t AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 20000) g;";
const WRITE: &str = "DO $$ BEGIN FOR i IN 1..1000000 LOOP INSERT INTO debit VALUES (i); \
                     INSERT INTO credit VALUES (i); COMMIT; END LOOP; END $$;";
const BALANCE: &str = "SELECT (SELECT count(*) FROM debit) = (SELECT count(*) FROM credit), \
                       (SELECT count(*) FROM debit) > 0, \
                       (SELECT md5(string_agg(text, '' ORDER BY id)) FROM t)";

/// An image of the machine's own `PostgreSQL`, with busybox around it.
fn image(engine: &Engine) -> String {
    let release = fs::read_dir(RELEASES).map(|all| all.map(|it| it.unwrap().path()).max());
    let release = release.ok().flatten();
    let release = release.expect("the test needs PostgreSQL (scripts/setup.sh)");
    let image = Image::new();
    let library = ["plpgsql.so", "dict_snowball.so", "libpqwalreceiver.so"];
    let programs = PROGRAMS.map(|name| release.join("bin").join(name));
    image.programs(&[&programs[..], &library.map(|name| release.join("lib").join(name))].concat());
    image.put(&Path::new("/usr/share/postgresql").join(release.file_name().unwrap()));
    image.put(Path::new("/usr/lib/locale/C.utf8"));
    image.write("etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n");
    image.write("etc/group", "root:x:0:\npostgres:x:999:\n");
    image.import(engine, "postgres", &format!("/bin:{}", release.join("bin").display()))
}

struct Server {
    engine: &'static Engine,
    name: String,
}

impl Server {
    fn start(engine: &'static Engine, image: &str) -> Self {
        let server = Self { engine, name: unique("pg") };
        let run = ["run", "--detach", "--name", &server.name, "--stop-signal", "SIGKILL", image];
        engine.docker(&[&run[..], &["sh", "-c", SERVE]].concat());
        // The one that initdb starts listens to nobody.
        wait_for("PostgreSQL", PATIENCE, || {
            server.engine.try_docker(&["exec", &server.name, "pg_isready", "-U", "postgres"]).code
                == Some(0)
        });
        server
    }

    fn sql(&self, text: &str) -> String {
        let psql = ["exec", &self.name, "psql", "-U", "postgres", "-Atq", "-v", "ON_ERROR_STOP=1"];
        self.engine.docker(&[&psql[..], &["-c", text]].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.engine.try_docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

#[test]
fn a_database_that_is_written_to_comes_back_elsewhere() {
    let engine = Engine::shared();
    let image = image(engine);
    let server = Server::start(engine, &image);
    server.sql(BOOKS);
    let roadstead = Roadstead::new(&engine.host(), "");
    fs::write(roadstead.path("password"), "a good password\n").unwrap();
    let job = unique("db");
    let root = roadstead.path("").display().to_string();
    let text = format!(
        "name: {job}\nbackup:\n  repository: {root}repository\n  password_file: {root}password\n  \
         init: true\n  dumps:\n    - {{kind: postgres, container: {0}, name: all.sql}}\n    \
         - {{kind: postgres, container: {0}, database: postgres, name: one.dump}}\n",
        server.name
    );
    roadstead.write_job("job.yml", &text);
    let mut writer = Command::new("docker");
    writer.env("DOCKER_HOST", engine.host());
    writer.args(["exec", &server.name, "psql", "-U", "postgres", "-c", WRITE]);
    let mut writer = writer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the writer", PATIENCE, || server.sql("SELECT count(*) > 100 FROM credit") == "t");
    let said = roadstead.run(&["run", &job]).ok();
    assert!(said.contains("all.sql") && said.contains("one.dump"), "{said}");
    let is_writing = writer.try_wait().unwrap().is_none();
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(is_writing, "it wrote all the time");

    let content = server.sql("SELECT md5(string_agg(text, '' ORDER BY id)) FROM t");
    let to = roadstead.path("out").display().to_string();
    for (file, restore) in [
        ("all.sql", "psql -U postgres -q -d postgres -f /restore/all.sql"),
        (
            "one.dump",
            "pg_restore -U postgres --exit-on-error --clean --if-exists -d postgres /restore/one.dump",
        ),
    ] {
        let arguments = ["backup", "restore", &job, "--path", file, "--to", &to];
        roadstead.run(&arguments).ok();
        let other = Server::start(engine, &image);
        other.engine.docker(&["cp", &to, &format!("{}:/restore", other.name)]);
        other.engine.docker(&[
            "exec",
            &other.name,
            "sh",
            "-c",
            &format!("{restore} >/dev/null 2>&1 || true"),
        ]);
        assert_eq!(other.sql(BALANCE), format!("t|t|{content}"), "{file}");
    }
}
