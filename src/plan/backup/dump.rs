//! With which command a database writes its dump to its standard output.
//!
//! A shell of the container asks the variables of the image for what the job does not say; a password
//! never becomes an argument.

use crate::compose::model::Hidden;
use crate::job::work::{Database, Dump, is_variable};

/// The value of a variable, or of the file that `NAME_FILE` names, as images of databases have them.
const OF: &str = r#"of() { eval "v=\${$1:-} f=\${$1_FILE:-}"; [ -n "$v" ] || [ -z "$f" ] || v=$(cat "$f"); printf %s "$v"; }
given=$1 database=$2; shift 2
"#;

const POSTGRES: &str = r#"PGPASSWORD=${ROADSTEAD_PASSWORD:-${PGPASSWORD:-$(of POSTGRES_PASSWORD)}}; export PGPASSWORD
user=${given:-$(of POSTGRES_USER)}
[ -n "$database" ] || exec pg_dumpall -w -U "${user:-postgres}" "$@"
exec pg_dump -Fc -Z0 -w -U "${user:-postgres}" "$@" -d "$database"
"#;

/// `$tool` and `$other` are its names. Only `MySQL`'s own tool has the two options that are looked for. A
/// dump with GTIDs does not go into the server that it came from, and whoever is not root needs a privilege
/// more for it. Tablespaces and masking policies are the whole server's, as users are.
///
/// Of all databases `MySQL`'s tool writes none, and ends with 0, where it is not shown `mysql`: hence the
/// dump of nothing before that of all.
const MYSQL: &str = r#"user=${given:-root} MYSQL_PWD=${ROADSTEAD_PASSWORD:-${MYSQL_PWD:-}}
which=_; [ "$user" != root ] || which=_ROOT_
[ -n "$MYSQL_PWD" ] || MYSQL_PWD=$(of "MARIADB${which}PASSWORD")
[ -n "$MYSQL_PWD" ] || MYSQL_PWD=$(of "MYSQL${which}PASSWORD")
export MYSQL_PWD
command -v "$tool" >/dev/null || tool=$other
help=$("$tool" --no-defaults --help 2>/dev/null)
own() { case $help in *" $1"*) ;; *) false ;; esac; }
if [ "$user" != root ]; then
    [ -z "$database" ] || ! own --masking-policies || set -- --skip-masking-policies "$@"
    set -- --no-tablespaces "$@"
fi
! own --set-gtid-purged || set -- --set-gtid-purged=OFF "$@"
set -- --user="$user" --single-transaction --quick --routines --events "$@"
if [ "$user" != root ] && [ -z "$database" ] && own --set-gtid-purged; then
    "$tool" "$@" --no-data --no-create-info --databases mysql >/dev/null || {
        echo "$user could not dump mysql, which is one of all databases: name the one that is meant" >&2
        exit 1
    }
fi
exec "$tool" "$@" "${database:---all-databases}"
"#;

/// It reads the password from its standard input.
const MONGODB: &str = r#"user=${given:-$(of MONGO_INITDB_ROOT_USERNAME)}
[ -z "$database" ] || set -- --db "$database" "$@"
[ -n "$user" ] || exec mongodump --archive "$@"
password=${ROADSTEAD_PASSWORD:-$(of MONGO_INITDB_ROOT_PASSWORD)}
printf '%s\n' "$password" | mongodump --archive --username "$user" --authenticationDatabase admin "$@"
"#;

const REDIS: &str = r#"REDISCLI_AUTH=${ROADSTEAD_PASSWORD:-${REDISCLI_AUTH:-$(of REDIS_PASSWORD)}}
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; else unset REDISCLI_AUTH; fi
[ -z "$given" ] || set -- --user "$given" "$@"
tool=redis-cli; command -v "$tool" >/dev/null || tool=valkey-cli
exec "$tool" "$@" --rdb -
"#;

/// Without the first line it would make an empty database of a name that is wrong; and `.dump` ends with 0
/// where the file is damaged, and leaves out two numbers that programs know their own files by.
const SQLITE: &str = r#"[ -f "$database" ] || { echo "there is no file $database" >&2; exit 1; }
state=$(sqlite3 -cmd '.timeout 60000' "$database" 'PRAGMA quick_check')
[ "$state" = ok ] || { echo "$database is damaged: $state" >&2; exit 1; }
said() { echo "SELECT 'PRAGMA $1=' || $1 || ';' FROM pragma_$1"; }
exec sqlite3 -bail -cmd '.timeout 60000' "$@" "$database" BEGIN .dump "$(said user_version)" "$(said application_id)" COMMIT
"#;

/// The command, to be run in the container, and what is added to its environment. The dump is good only
/// where it ends with 0.
pub fn dump_command(dump: &Dump) -> (Vec<String>, Vec<(String, Hidden)>) {
    let script = match dump.kind {
        Database::Postgres => POSTGRES.to_owned(),
        Database::Mysql => format!("tool=mysqldump other=mariadb-dump\n{MYSQL}"),
        Database::Mariadb => format!("tool=mariadb-dump other=mysqldump\n{MYSQL}"),
        Database::Mongodb => MONGODB.to_owned(),
        Database::Redis => REDIS.to_owned(),
        Database::Sqlite => SQLITE.to_owned(),
    };
    let variable = dump.password_env.as_deref().filter(|it| is_variable(it));
    let password = match (&dump.password, variable) {
        (None, Some(name)) => format!("ROADSTEAD_PASSWORD=${{{name}:-}}\n"),
        _ => String::new(),
    };
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let mut command = ["sh", "-c"].map(str::to_owned).to_vec();
    command.extend([format!("{OF}{password}{script}"), dump.kind.as_str().to_owned()]);
    command.extend([text(&dump.user), text(&dump.database)]);
    command.extend(dump.arguments.iter().cloned());
    let environment = dump.password.iter().map(|it| ("ROADSTEAD_PASSWORD".to_owned(), it.clone()));
    (command, environment.collect())
}

/// The name of the file in the snapshot.
pub fn file_name(dump: &Dump, container: &str) -> String {
    if let Some(name) = &dump.name {
        return name.clone();
    }
    let database = dump.database.as_deref().map(|it| it.rsplit('/').next().unwrap_or(it));
    let database = database.map(|it| {
        let plain = |it: char| it.is_alphanumeric() || matches!(it, '.' | '-' | '_');
        let safe: String = it.chars().map(|it| if plain(it) { it } else { '_' }).collect();
        format!(".{safe}")
    });
    let ending = match dump.kind {
        Database::Postgres if dump.database.is_some() => "dump",
        Database::Postgres | Database::Mysql | Database::Mariadb | Database::Sqlite => "sql",
        Database::Mongodb => "archive",
        Database::Redis => "rdb",
    };
    let (kind, database) = (dump.kind.as_str(), database.unwrap_or_default());
    format!("{container}{database}.{kind}.{ending}")
}
