//! What dumps are called, and how the tools of databases are.

use super::*;

#[test]
fn dumps_have_a_name_that_says_what_they_are() {
    for (kind, database, expected) in [
        (Database::Postgres, None, "shop-db-1.postgres.sql"),
        (Database::Postgres, Some("a/b c"), "shop-db-1.b_c.postgres.dump"),
        (Database::Mysql, Some("x"), "shop-db-1.x.mysql.sql"),
        (Database::Mariadb, None, "shop-db-1.mariadb.sql"),
        (Database::Mongodb, None, "shop-db-1.mongodb.archive"),
        (Database::Redis, None, "shop-db-1.redis.rdb"),
        (Database::Sqlite, Some("/data/app.db"), "shop-db-1.app.db.sqlite.sql"),
    ] {
        assert_eq!(file_name(&dump(kind, database), "shop-db-1"), expected);
    }
}

/// It knows the options of `HELP`; where `DENIED` is set, `mysql` cannot be dumped.
const MYSQLDUMP: &str = r#"case "$*" in
"--no-defaults --help") echo "$HELP"; exit ;;
*"--databases mysql") [ -z "$DENIED" ] || { echo "mysql: $DENIED" >&2; exit 2; } ;;
esac
"#;

/// Runs the command of a dump where each tool only says how it was called.
fn called(dump: &Dump, variables: &[(&str, &str)]) -> (bool, String) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let says = "#!/bin/sh\nfor it in \"$@\"; do printf '[%s]' \"$it\"; done\n\
                printf ' %s%s%s' \"$PGPASSWORD\" \"$MYSQL_PWD\" \"$REDISCLI_AUTH\"\n";
    let tools = [
        ("pg_dump", says.to_owned()),
        ("pg_dumpall", says.to_owned()),
        ("mysqldump", format!("{MYSQLDUMP}{says}")),
        ("mongodump", format!("{says}[ $# -lt 4 ] || cat\n")),
        ("valkey-cli", says.to_owned()),
        (
            "sqlite3",
            "#!/bin/sh\n[ \"$4\" != 'PRAGMA quick_check' ] || { cat \"$3\"; exit; }\necho dumped\n"
                .to_owned(),
        ),
    ];
    for (name, text) in tools {
        let path = directory.path().join(name);
        let said = text.replacen("#!/bin/sh\n", &format!("printf {name}\n"), 1);
        let said = format!("#!/bin/sh\n{said}");
        let said = if name == "sqlite3" { text } else { said };
        std::fs::write(&path, said).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // And nothing else: the machine may have these tools, too.
    for name in ["sh", "cat"] {
        let program = std::path::Path::new("/bin").join(name);
        std::os::unix::fs::symlink(program, directory.path().join(name)).unwrap();
    }
    std::fs::write(directory.path().join("good"), "ok").unwrap();
    std::fs::write(directory.path().join("bad"), "row 1 missing").unwrap();
    std::fs::write(directory.path().join("secret"), "from a file\n").unwrap();
    let here = directory.path().display().to_string();
    let mut dump = dump.clone();
    dump.database = dump.database.map(|it| it.replace("HERE", &here));
    let (argv, environment) = dump_command(&dump);
    assert!(!argv.iter().any(|it| it.contains("s3cret")), "{argv:?}");
    #[expect(clippy::disallowed_methods, reason = "the command of a container, looked at here")]
    let mut command = std::process::Command::new(&argv[0]);
    command.args(&argv[1..]).env_clear().env("PATH", &here);
    command.envs(variables.iter().map(|(name, value)| (*name, value.replace("HERE", &here))));
    command.envs(environment.iter().map(|(name, value)| (name, value.expose())));
    let output = command.output().unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text.trim().replace(&here, "HERE"))
}

/// Of what `MySQL`'s `mysqldump` says of itself.
const MYSQL_8: &str = "  -q, --quick\n  --set-gtid-purged[=name]";
const MYSQL_9: &str = "  --set-gtid-purged[=name]\n  --masking-policies";

#[test]
fn a_dump_is_made_by_the_tools_of_the_image() {
    // How, what the image says, what is called.
    type Row<'a> = (Dump, &'a [(&'a str, &'a str)], String);
    let plain = dump;
    let of_user = |kind, database| {
        let (user, password) = (Some("ada".to_owned()), Some(Hidden::new("s3cret x".to_owned())));
        Dump { user, password, arguments: texts(&["--x", "a b"]), ..plain(kind, database) }
    };
    let by_variable = |kind| Dump { password_env: Some("DB_PW".to_owned()), ..plain(kind, None) };
    let all = "[--single-transaction][--quick][--routines][--events]";
    let off = "[--set-gtid-purged=OFF]";
    let (pg, my, mongo, redis) =
        (Database::Postgres, Database::Mysql, Database::Mongodb, Database::Redis);
    let rows: Vec<Row<'_>> = vec![
        (plain(pg, None), &[], "pg_dumpall[-w][-U][postgres]".to_owned()),
        (
            plain(pg, Some("o")),
            &[("POSTGRES_USER", "u"), ("POSTGRES_PASSWORD_FILE", "HERE/secret")],
            "pg_dump[-Fc][-Z0][-w][-U][u][-d][o] from a file".to_owned(),
        ),
        (
            of_user(pg, Some("o")),
            &[("POSTGRES_USER", "u"), ("POSTGRES_PASSWORD", "p")],
            "pg_dump[-Fc][-Z0][-w][-U][ada][--x][a b][-d][o] s3cret x".to_owned(),
        ),
        (
            by_variable(pg),
            &[("DB_PW", "v"), ("POSTGRES_PASSWORD", "p")],
            "pg_dumpall[-w][-U][postgres] v".to_owned(),
        ),
        (
            plain(my, None),
            &[("MYSQL_ROOT_PASSWORD", "r"), ("MYSQL_PASSWORD", "p")],
            format!("mysqldump[--user=root]{all}[--all-databases] r"),
        ),
        // An image without `mariadb-dump`.
        (
            plain(Database::Mariadb, Some("o")),
            &[("MARIADB_ROOT_PASSWORD_FILE", "HERE/secret")],
            format!("mysqldump[--user=root]{all}[o] from a file"),
        ),
        (
            Dump { user: Some("ada".to_owned()), ..plain(my, Some("o")) },
            &[("MYSQL_ROOT_PASSWORD", "r"), ("MYSQL_PASSWORD", "p")],
            format!("mysqldump[--user=ada]{all}[--no-tablespaces][o] p"),
        ),
        (
            of_user(my, None),
            &[("DENIED", "no")],
            format!("mysqldump[--user=ada]{all}[--no-tablespaces][--x][a b][--all-databases] s3cret x"),
        ),
        // MySQL's own tool, of old and new.
        (
            plain(my, None),
            &[("HELP", MYSQL_8), ("DENIED", "no")],
            format!("mysqldump[--user=root]{all}[--set-gtid-purged=OFF][--all-databases]"),
        ),
        (
            plain(Database::Mariadb, Some("o")),
            &[("HELP", MYSQL_9)],
            format!("mysqldump[--user=root]{all}[--set-gtid-purged=OFF][o]"),
        ),
        (
            of_user(my, None),
            &[("HELP", MYSQL_9)],
            format!("mysqldump[--user=ada]{all}{off}[--no-tablespaces][--x][a b][--all-databases] s3cret x"),
        ),
        (
            of_user(my, Some("o")),
            &[("HELP", MYSQL_8), ("DENIED", "no")],
            format!("mysqldump[--user=ada]{all}{off}[--no-tablespaces][--x][a b][o] s3cret x"),
        ),
        (
            of_user(my, Some("o")),
            &[("HELP", MYSQL_9)],
            format!("mysqldump[--user=ada]{all}{off}[--no-tablespaces][--skip-masking-policies][--x][a b][o] s3cret x"),
        ),
        (plain(mongo, None), &[], "mongodump[--archive]".to_owned()),
        (plain(mongo, Some("o")), &[], "mongodump[--archive][--db][o]".to_owned()),
        (
            of_user(mongo, None),
            &[],
            "mongodump[--archive][--username][ada][--authenticationDatabase][admin][--x][a b] s3cret x".to_owned(),
        ),
        (
            plain(mongo, None),
            &[("MONGO_INITDB_ROOT_USERNAME", "u"), ("MONGO_INITDB_ROOT_PASSWORD", "p")],
            "mongodump[--archive][--username][u][--authenticationDatabase][admin] p".to_owned(),
        ),
        (plain(redis, None), &[], "valkey-cli[--rdb][-]".to_owned()),
        (of_user(redis, None), &[], "valkey-cli[--user][ada][--x][a b][--rdb][-] s3cret x".to_owned()),
        (plain(redis, None), &[("REDIS_PASSWORD", "p")], "valkey-cli[--rdb][-] p".to_owned()),
        (plain(Database::Sqlite, Some("HERE/good")), &[], "dumped".to_owned()),
    ];
    for (dump, variables, expected) in rows {
        let found = called(&dump, variables);
        assert_eq!(found, (true, expected), "{dump:?} {variables:?}");
    }
}

#[test]
fn a_database_that_is_missing_or_damaged_is_no_dump() {
    for (file, expected) in [
        ("HERE/none", "there is no file HERE/none"),
        ("HERE/bad", "HERE/bad is damaged: row 1 missing"),
    ] {
        let found = called(&dump(Database::Sqlite, Some(file)), &[]);
        assert_eq!(found, (false, expected.to_owned()));
    }
}

/// `MySQL`'s own tool would end with 0, and the dump of them all would hold none.
#[test]
fn all_databases_without_those_that_are_not_shown_are_no_dump() {
    let of_user = Dump { user: Some("ada".to_owned()), ..dump(Database::Mysql, None) };
    let (is_whole, said) = called(&of_user, &[("HELP", MYSQL_8), ("DENIED", "no")]);
    assert!(!is_whole);
    let said = said.split_once('\n').unwrap();
    assert_eq!(said.0, "mysql: no");
    assert!(said.1.starts_with("ada could not dump mysql, which is one of all"), "{}", said.1);
}
