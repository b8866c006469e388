//! Real `MySQL` with its own tools, written to all the time: what is dumped meanwhile comes back elsewhere
//! and in place, and what is cut is never stored.

#![expect(clippy::disallowed_methods, reason = "its image is made by programs")]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::databases::{Keeper, LOOK, Server, end};
use crate::support::machine::Image;
use crate::support::process::output;
use crate::support::scene::PATIENCE;
use crate::support::{Engine, repository, unique, wait_for};

/// What is of use of the tree that `scripts/mysql.sh` makes. Libraries come with their links.
const PARTS: [&str; 9] = [
    "lib",
    "lib64",
    "usr/bin/mysql",
    "usr/bin/mysqldump",
    "usr/lib",
    "usr/lib64",
    "usr/sbin/mysqld",
    "usr/share/mysql/charsets",
    "usr/share/mysql/english",
];
/// A server that asks no disk to be patient. Binary log and GTIDs are as they are by default.
const MYSQLD: &str = "mysqld --no-defaults --user=root --datadir=/db --socket=/run/mysqld/mysqld.sock \
    --secure-file-priv= --skip-networking --mysqlx=0 --skip-performance-schema \
    --auto-generate-certs=0 --caching-sha2-password-auto-generate-rsa-keys=0 \
    --innodb-flush-method=nosync --innodb-doublewrite=0 --innodb-flush-log-at-trx-commit=0 \
    --sync-binlog=0 --innodb-redo-log-capacity=32M --innodb-buffer-pool-size=32M";
/// As the official image does it, with files of secrets as well. The server is no first process: it can
/// be killed alone.
const SERVE: &str = r#"of() { eval "v=\${$1:-} f=\${$1_FILE:-}"; [ -n "$v" ] || [ -z "$f" ] || v=$(cat "$f"); printf %s "$v"; }
root=$(of MYSQL_ROOT_PASSWORD) app=$(of MYSQL_PASSWORD)
[ -z "$root" ] || echo "ALTER USER root@localhost IDENTIFIED BY '$root';" > /init.sql
[ -z "$app" ] || echo "CREATE USER IF NOT EXISTS app@localhost IDENTIFIED BY '$app';" >> /init.sql
"#;

/// Two books whose sums are equal in every transaction, and one of all else that a database has.
const SHOP: &str = r"CREATE DATABASE shop // USE shop //
CREATE TABLE debit (n BIGINT PRIMARY KEY) //
CREATE TABLE credit (n BIGINT PRIMARY KEY) //
CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(100), raw BLOB) //
SET cte_max_recursion_depth = 100000 //
INSERT INTO t WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 20000)
  SELECT n, CONCAT('ü☂😀''\\', SHA2(n, 256)), UNHEX(SHA2(n, 256)) FROM g //
CREATE TABLE zz (n INT) //
CREATE VIEW v AS SELECT id FROM t //
CREATE TRIGGER r AFTER INSERT ON zz FOR EACH ROW UPDATE t SET text = 'x' WHERE id = -1 //
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM zz //
CREATE PROCEDURE fill() BEGIN
  DECLARE i INT DEFAULT 0;
  WHILE i < 10000000 DO
    START TRANSACTION; INSERT INTO debit VALUES (i); INSERT INTO credit VALUES (i); COMMIT; DO SLEEP(0.0005); SET i = i + 1;
  END WHILE;
END //";

/// An image with a server that is set up, made once.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let engine = Engine::shared();
        let script = repository().join("scripts/mysql.sh");
        let root = output(Command::new(script).current_dir(repository())).ok();
        let image = Image::new();
        image.put_tree(Path::new(&root), &PARTS);
        image.write("etc/passwd", "root:x:0:0::/:/bin/sh\n");
        image.write("etc/group", "root:x:0:\n");
        image.write("run/mysqld/empty", "");
        image.write("run/secrets/root", "root s own\n");
        image.write("init.sql", "");
        let serve = format!("{SERVE}{MYSQLD} --init-file=/init.sql\nexec sleep 100000\n");
        image.write("serve/mysql", &serve);
        let bare = image.import(engine, "mysql", "/bin:/usr/bin:/usr/sbin");
        let (container, name) = (unique("mysql-bare"), format!("rs-test/{}", unique("mysql")));
        // Without its name, so that each server is one of its own.
        let set_up = format!("{MYSQLD} --initialize-insecure && rm /db/auto.cnf");
        engine.docker(&["run", "--name", &container, &bare, "sh", "-c", &set_up]);
        engine.docker(&["commit", &container, &name]);
        engine.docker(&["rm", &container]);
        name
    })
}

fn start(options: &[&str]) -> Server<'static> {
    let server = Server::make(Engine::shared(), (image(), "mysql"), options);
    server.run();
    server
}

#[test]
fn a_mysql_that_is_written_to_comes_back_elsewhere() {
    let variables =
        ["--env=MYSQL_ROOT_PASSWORD_FILE=/run/secrets/root", "--env=MYSQL_PASSWORD=app s own"];
    let server = start(&variables);
    server.sql(SHOP);
    server.sql("GRANT ALL ON shop.* TO app@localhost");
    let of = |rest: &str| format!("    - {{kind: mysql, container: {}, {rest}}}\n", server.name);
    let one = of("database: shop, name: one.sql");
    let app = of("database: shop, user: app, name: app.sql");
    let wrong = of("password: not his, name: no.sql");
    let little = of("user: app, name: little.sql");
    let good = format!("  dumps:\n{}{one}{app}", of("name: all.sql"));
    let keeper =
        Keeper::serve(Engine::shared(), &[&good, &format!("  dumps:\n{app}{wrong}{little}")]);
    let refused = keeper.run(1).fails_with(1);
    let expected = [
        // One privilege that `ALL` of a database does not have.
        "insufficient privileges to SHOW CREATE PROCEDURE",
        "Access denied for user 'root'",
        "app could not dump mysql, which is one of all databases",
    ];
    assert!(expected.iter().all(|it| refused.contains(it)), "{refused}");
    assert_eq!(keeper.snapshots(1), 0);

    server.sql("GRANT SHOW_ROUTINE ON *.* TO app@localhost");
    let writer = server.sql_goes_on("CALL fill()");
    wait_for("the writer", PATIENCE, || {
        server.sql("SELECT COUNT(*) > 100 FROM shop.credit") == "1"
    });
    let said = keeper.run(0).ok();
    assert!(["all.sql", "one.sql", "app.sql"].iter().all(|it| said.contains(it)), "{said}");
    assert!(!said.contains("rror:"), "{said}");
    for secret in ["s own", "not his"] {
        assert!(!said.contains(secret) && !refused.contains(secret), "{said}{refused}");
    }
    end(writer);
    let looks = server.sql(LOOK);
    assert!(looks.starts_with("1\t1\t20000\t") && looks.ends_with("\t1fill\tr\te"), "{looks}");

    let other = start(&[]);
    other.sql("CREATE USER app@localhost");
    let [one, app, all] = ["one.sql", "app.sql", "all.sql"].map(|it| keeper.restore(0, it));
    for file in [&one, &app] {
        other.sql("DROP DATABASE IF EXISTS shop // CREATE DATABASE shop");
        other.load(file, "shop");
        assert_eq!(other.sql(LOOK), looks, "{}", file.display());
    }
    // Into the server that it came from, which knows its own GTIDs.
    server.sql("TRUNCATE TABLE shop.t");
    server.load(&one, "shop");
    assert_eq!(server.sql(LOOK), looks);
    // All of them, with who may use them.
    other.sql("DROP DATABASE shop // DROP USER app@localhost");
    other.load(&all, "");
    assert_eq!(other.sql(LOOK), looks);
    other.sql("FLUSH PRIVILEGES");
    other.sh("MYSQL_PWD='app s own' mysql --user=app shop -e 'SELECT * FROM zz'");
    keeper.is_clean(0);
}

#[test]
fn a_mysql_that_dies_in_the_middle_of_a_dump_leaves_no_snapshot() {
    // Root has no password here.
    let server = start(&[]);
    server.sql(SHOP);
    let dump =
        format!("  dumps:\n    - {{kind: mysql, container: {}, database: shop}}\n", server.name);
    let keeper = Keeper::serve(Engine::shared(), &[&dump]);
    keeper.stores_nothing_of_one_that_dies(&server, "mysqld");
    let other = start(&[]);
    other.sql("CREATE DATABASE shop");
    other.load(&keeper.restore(0, &format!("{}.shop.mysql.sql", server.name)), "shop");
    assert_eq!(other.sql(LOOK), server.sql(LOOK));
    keeper.is_clean(0);
}
