//! Real `MariaDB`, Redis and `SQLite`, written to all the time: what is dumped meanwhile comes back
//! elsewhere, and what is cut is never stored.

use std::path::Path;
use std::process::Child;

use crate::support::databases::{AS_REDIS, Keeper, LOOK, Server, end, image};
use crate::support::scene::PATIENCE;
use crate::support::{Engine, unique, wait_for};

/// Two books whose sums are equal in every transaction, and one of all else that a database has.
const SHOP: &str = r"CREATE DATABASE shop CHARACTER SET utf8mb4 // USE shop //
CREATE TABLE debit (n BIGINT PRIMARY KEY) ENGINE=InnoDB //
CREATE TABLE credit (n BIGINT PRIMARY KEY) ENGINE=InnoDB //
CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(100), raw BLOB) ENGINE=InnoDB //
INSERT INTO t SELECT seq, CONCAT('ü☂😀''\\', MD5(seq)), UNHEX(MD5(seq)) FROM seq_1_to_20000 //
CREATE TABLE zz (n INT) ENGINE=InnoDB //
CREATE VIEW v AS SELECT id FROM t //
CREATE TRIGGER r AFTER INSERT ON zz FOR EACH ROW UPDATE t SET text = 'x' WHERE id = -1 //
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM zz //
CREATE PROCEDURE fill() BEGIN
  DECLARE i INT DEFAULT 0;
  WHILE i < 10000000 DO
    START TRANSACTION; INSERT INTO debit VALUES (i); INSERT INTO credit VALUES (i); COMMIT; DO SLEEP(0.0005); SET i = i + 1;
  END WHILE;
END // GRANT ALL ON shop.* TO app@localhost // GRANT SELECT ON mysql.proc TO app@localhost //";

#[test]
fn a_mariadb_that_is_written_to_comes_back_elsewhere() {
    let variables =
        ["--env", "MARIADB_ROOT_PASSWORD=root s own", "--env", "MARIADB_PASSWORD=app s own"];
    let server = Server::start("mariadb", &variables);
    server.sql(SHOP);
    let other = Server::start("mariadb", &[]);
    let of = |kind: &str, rest: &str| {
        format!("    - {{kind: {kind}, container: {}, {rest}}}\n", server.name)
    };
    let first = format!(
        "  dumps:\n{}{}{}",
        of("mariadb", "name: all.sql"),
        of("mysql", "database: shop, name: one.sql"),
        of("mariadb", "database: shop, user: app, name: app.sql")
    );
    let by_socket = format!(
        "  dumps:\n    - {{kind: mysql, container: {}, database: shop, name: socket.sql}}\n",
        other.name
    );
    let wrong = format!("  dumps:\n{}", of("mariadb", "password: not his, name: no.sql"));
    let keeper = Keeper::serve(Engine::shared(), &[&first, &by_socket, &wrong]);
    let writer = server.sql_goes_on("CALL fill()");
    wait_for("the writer", PATIENCE, || {
        server.sql("SELECT COUNT(*) > 100 FROM shop.credit") == "1"
    });
    let said = keeper.run(0).ok();
    assert!(["all.sql", "one.sql", "app.sql"].iter().all(|it| said.contains(it)), "{said}");
    assert!(!said.contains("own"), "{said}");
    end(writer);
    let looks = server.sql(LOOK);
    assert!(looks.starts_with("1\t1\t20000\t") && looks.ends_with("\t1fill\tr\te"), "{looks}");

    // One database into a server that knows root by his socket, and from there on.
    other.sql("CREATE DATABASE shop CHARACTER SET utf8mb4");
    other.load(&keeper.restore(0, "one.sql"), "shop");
    assert_eq!(other.sql(LOOK), looks);
    keeper.run(1).ok();
    other.sql("DROP DATABASE shop // CREATE DATABASE shop");
    other.load(&keeper.restore(1, "socket.sql"), "shop");
    assert_eq!(other.sql(LOOK), looks);
    other.sql("DROP DATABASE shop // CREATE DATABASE shop // CREATE USER app@localhost");
    other.load(&keeper.restore(0, "app.sql"), "shop");
    assert_eq!(other.sql(LOOK), looks);
    // All of them, with who may use them.
    let third = Server::start("mariadb", &[]);
    third.load(&keeper.restore(0, "all.sql"), "");
    assert_eq!(third.sql(LOOK), looks);
    third.sql("FLUSH PRIVILEGES");
    third.sh("MYSQL_PWD='app s own' mariadb --user=app shop -e 'SELECT * FROM zz'");

    let said = keeper.run(2).fails_with(1);
    assert!(said.contains("Access denied") && !said.contains("not his"), "{said}");
    assert_eq!(keeper.snapshots(2), 0);
    keeper.is_clean(0);
}

#[test]
fn a_mariadb_that_dies_in_the_middle_of_a_dump_leaves_no_snapshot() {
    let server = Server::start("mariadb", &[]);
    server.sql(&SHOP[..SHOP.find("GRANT").unwrap()]);
    let dump =
        format!("  dumps:\n    - {{kind: mariadb, container: {}, database: shop}}\n", server.name);
    let keeper = Keeper::serve(Engine::shared(), &[&dump]);
    keeper.stores_nothing_of_one_that_dies(&server, "mariadbd");
    keeper.is_clean(0);
}

/// One of each kind, and many.
const FILL_REDIS: &str = "printf '%s\\n' 'RPUSH list a b' 'HSET hash f v' 'ZADD zset 1 a' 'SADD set a b' \
    'XADD stream * f v' 'SET text \"\\xff\\x00\\xc3\\xbc\"' 'SET short x EX 100000' 'SELECT 3' 'SET b 3' \
    'SELECT 0' 'DEBUG POPULATE 20000 key 100' | redis-cli";
const WRITE_REDIS: &str = "while :; do echo MULTI; echo INCR debit; echo INCR credit; echo EXEC; sleep 0.005; done | redis-cli";

/// A server that starts with a dump.
fn redis_of(file: &Path) -> Server<'static> {
    let engine = Engine::shared();
    let server = Server::make(engine, (crate::support::databases::shared_image(), "redis"), &[]);
    server.copy(file, "/redis/dump.rdb");
    server.run();
    server
}

#[test]
fn a_redis_that_is_written_to_comes_back_elsewhere() {
    let open = Server::start("redis", &[]);
    let closed = Server::start("redis", &["--env", "REDIS_PASSWORD=redis s own"]);
    for server in [&open, &closed] {
        server.sh(&format!("{AS_REDIS}{FILL_REDIS}"));
    }
    closed.redis("ACL SETUSER keeper on '>keeper s' +psync +replconf +sync");
    let of = |server: &Server<'_>, rest: &str| {
        format!("    - {{kind: redis, container: {}, {rest}}}\n", server.name)
    };
    let jobs = [
        format!(
            "  dumps:\n{}{}{}",
            of(&open, "name: open.rdb"),
            of(&closed, "name: closed.rdb"),
            of(&closed, "name: keeper.rdb, user: keeper, password: keeper s")
        ),
        format!("  dumps:\n{}", of(&closed, "password: not its own")),
    ];
    let keeper = Keeper::serve(Engine::shared(), &[&jobs[0], &jobs[1]]);
    let said = keeper.run(1).fails_with(1);
    assert!(said.contains("WRONGPASS") && !said.contains("not its own"), "{said}");
    assert_eq!(keeper.snapshots(1), 0);

    let writers: Vec<Child> = [&open, &closed]
        .map(|server| {
            let writer = server.goes_on(&format!("{AS_REDIS}{WRITE_REDIS}"));
            let written = || server.redis("GET credit").parse().is_ok_and(|it: u64| it > 100);
            wait_for("the writer", PATIENCE, written);
            writer
        })
        .into();
    let said = keeper.run(0).ok();
    assert!(!said.contains("s own"), "{said}");
    writers.into_iter().for_each(end);
    for server in [&open, &closed] {
        server.sh("killall redis-cli");
        server.redis("DEL debit credit");
    }
    for (file, of) in [("open.rdb", &open), ("closed.rdb", &closed), ("keeper.rdb", &closed)] {
        let file = keeper.restore(0, file);
        let other = redis_of(&file);
        let (debit, credit) = (other.redis("GET debit"), other.redis("GET credit"));
        assert!(debit == credit && debit.parse::<u64>().unwrap() > 100, "{debit} {credit}");
        other.redis("DEL debit credit");
        assert_eq!(other.redis("DEBUG DIGEST"), of.redis("DEBUG DIGEST"), "{}", file.display());
        assert_eq!(other.redis("-n 3 GET b"), "3");
        let left: u64 = other.redis("TTL short").parse().unwrap();
        assert!(left > 90_000, "{left}");
    }

    // It dies in the middle.
    let before = keeper.snapshots(0);
    closed.redis("CONFIG SET rdb-key-save-delay 1000");
    let run = keeper.begin(0);
    wait_for("the middle", PATIENCE, || {
        closed.redis("INFO persistence").contains("rdb_bgsave_in_progress:1")
    });
    closed.sh("killall -9 redis-server");
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing of it is kept"), "{said}");
    // The one that lives is kept all the same.
    assert_eq!(keeper.snapshots(0), before + 1, "{said}");
    keeper.is_clean(0);
}

const FILL_SQLITE: &str = r"PRAGMA user_version = 42; PRAGMA application_id = 7;
CREATE TABLE debit (n INTEGER PRIMARY KEY); CREATE TABLE credit (n INTEGER PRIMARY KEY);
CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT, raw BLOB, number REAL);
WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 20000)
INSERT INTO t SELECT n, 'ü☂' || char(10) || ''' ' || n, randomblob(50), n / 3.0 FROM g;
CREATE VIEW v AS SELECT id FROM t; CREATE INDEX i ON t (text);
CREATE TRIGGER r AFTER DELETE ON t BEGIN SELECT 1; END;";
const LOOK_SQLITE: &str = "PRAGMA user_version; PRAGMA application_id; \
    SELECT (SELECT count(*) FROM debit) = (SELECT count(*) FROM credit), (SELECT count(*) FROM debit) > 0; \
    SELECT group_concat(name) FROM sqlite_master; PRAGMA integrity_check;";

#[test]
fn an_sqlite_that_is_written_to_comes_back_elsewhere() {
    let server = Server::start("sqlite", &[]);
    let files = [("/data/plain.db", "delete"), ("/data/ahead.db", "wal")];
    for (file, journal) in files {
        let fill =
            format!("cat > /fill <<'E'\nPRAGMA journal_mode = {journal};\n{FILL_SQLITE}\nE\n");
        server.sh(&format!("{fill}sqlite3 {file} < /fill"));
    }
    let of = |file: &str| {
        format!("    - {{kind: sqlite, container: {}, database: {file}}}\n", server.name)
    };
    let job = |dumps: &[String]| format!("  dumps:\n{}", dumps.concat());
    let good = job(&files.map(|(file, _)| of(file)));
    let (bad, missing) = (job(&[of("/data/bad.db")]), job(&[of("/data/no.db")]));
    let keeper = Keeper::serve(Engine::shared(), &[&good, &bad, &missing]);
    let writers = files.map(|(file, _)| {
        server.goes_on(&format!(
            "while :; do sqlite3 -cmd '.timeout 5000' {file} 'BEGIN; INSERT INTO debit VALUES (NULL); \
             INSERT INTO credit VALUES (NULL); COMMIT'; sleep 0.02; done"
        ))
    });
    for (file, _) in files {
        let count =
            format!("sqlite3 -cmd '.timeout 5000' {file} 'SELECT count(*) > 5 FROM credit'");
        wait_for("the writer", PATIENCE, || server.sh(&count) == "1");
    }
    keeper.run(0).ok();
    writers.into_iter().for_each(end);
    for (file, _) in files {
        let name = format!("{}{}.sqlite.sql", server.name, file.replace("/data/", "."));
        let dump = keeper.restore(0, &name);
        let other = Server::start("sqlite", &[]);
        other.copy(&dump, "/dump.sql");
        other.sh("sqlite3 -bail /data/new.db < /dump.sql");
        let looks = other.sh(&format!("sqlite3 /data/new.db '{LOOK_SQLITE}'"));
        assert_eq!(looks, "42\n7\n1|1\ndebit,credit,t,v,i,r\nok", "{file}");
        let all = |server: &Server<'_>, file: &str| {
            server.sh(&format!(
                "sqlite3 -cmd '.timeout 5000' {file} 'SELECT quote(id), quote(text), quote(raw), \
                 quote(number) FROM t ORDER BY id'"
            ))
        };
        assert!(all(&other, "/data/new.db") == all(&server, file), "{file}");
    }

    // One that is damaged in the middle, and one that is not there.
    server.sh("sqlite3 -cmd '.timeout 5000' /data/plain.db 'VACUUM INTO \"/data/bad.db\"'; \
         dd if=/dev/zero of=/data/bad.db bs=4096 seek=20 count=5 conv=notrunc");
    let said = keeper.run(1).fails_with(1);
    assert!(said.contains("/data/bad.db is damaged"), "{said}");
    let said = keeper.run(2).fails_with(1);
    assert!(said.contains("there is no file /data/no.db"), "{said}");
    server.sh("test ! -e /data/no.db");
    assert_eq!((keeper.snapshots(1), keeper.snapshots(2)), (0, 0));
    keeper.is_clean(0);
}

/// What offen's users write: a dump by a command of their own into a volume, and the volume.
const OFFEN: [(&str, &str); 3] = [
    (
        "docker-volume-backup.archive-pre",
        "mariadb-dump --user=root --single-transaction shop > /dumps/shop.sql",
    ),
    ("docker-volume-backup.archive-post", "rm /dumps/shop.sql"),
    ("roadstead.backup.volumes", "all"),
];

#[test]
fn labels_say_how_a_database_is_kept() {
    // All containers of an Engine are asked.
    let engine = &Engine::own();
    let image = image(engine);
    let volume = unique("dumps");
    let mount = format!("{volume}:/dumps");
    let mut options = vec!["--volume".to_owned(), mount];
    options.extend(
        OFFEN.iter().flat_map(|(name, value)| ["--label".into(), format!("{name}={value}")]),
    );
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let of_offen = Server::make(engine, (&image, "mariadb"), &options);
    let ours = [
        "--env=APP_SECRET=app s own",
        "--env=MARIADB_ROOT_PASSWORD=root s own",
        "--label=roadstead.backup.database=mariadb",
        "--label=roadstead.backup.database.name=shop",
        "--label=roadstead.backup.database.user=app",
        "--label=roadstead.backup.database.password_env=APP_SECRET",
    ];
    let ours = Server::make(engine, (&image, "mariadb"), &ours);
    for server in [&of_offen, &ours] {
        server.run();
    }
    ours.sql("CREATE USER app@localhost IDENTIFIED BY 'app s own'");
    of_offen.sql("CREATE USER app@localhost");
    for server in [&of_offen, &ours] {
        server.sql(SHOP);
        server.sql("INSERT INTO shop.debit VALUES (1) // INSERT INTO shop.credit VALUES (1)");
    }
    let keeper = Keeper::serve(engine, &["  labels: true\n"]);
    let said = keeper.run(0).ok();
    assert!(said.contains(&format!("{}.shop.mariadb.sql", ours.name)), "{said}");
    assert!(!said.contains("s own"), "{said}");
    assert_eq!(keeper.snapshots(0), 2);
    of_offen.sh("test ! -e /dumps/shop.sql");
    let dump = keeper.restore(0, &format!("{}.shop.mariadb.sql", ours.name));
    let of_volume = keeper.restore(0, &format!("/volumes/{volume}/shop.sql"));
    for (dump, of) in [(dump, &ours), (of_volume, &of_offen)] {
        let other = Server::make(engine, (&image, "mariadb"), &[]);
        other.run();
        other.sql("CREATE DATABASE shop");
        other.load(&dump, "shop");
        // Only the first one asks for routines and events.
        let of_tables =
            |server: &Server<'_>| server.sql(&LOOK[..LOOK.find(", (SELECT CONCAT(COUNT").unwrap()]);
        assert_eq!(of_tables(&other), of_tables(of));
    }
    keeper.is_clean(0);
}
