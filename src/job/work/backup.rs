//! `backup` and the kinds around it: what is kept where, for how long, and how it is proven.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Target;
use crate::compose::model::Hidden;
use crate::job::{Packed, RunContainer};
use crate::problem;

/// Writes what changed of volumes, directories and databases into a repository of restic's format.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Where to.
    pub repository: Repository,
    /// What is read.
    pub what: Selection,
    /// Databases that are dumped; each becomes a snapshot of its own.
    pub dumps: Vec<Dump>,
    /// What is done to those who write while their volumes and directories are read.
    pub quiesce: Quiesce,
    /// Globs of what is left out, as restic's `--exclude`.
    pub exclude: Vec<String>,
    /// Leaves out directories that a `CACHEDIR.TAG` marks.
    pub exclude_caches: bool,
    /// Tags of the snapshots, besides `job:NAME`.
    pub tags: Vec<String>,
    /// Name of the host in snapshots; `None` is the Engine's.
    pub host: Option<String>,
    /// What is forgotten of the job's own snapshots after a good backup; `None` forgets nothing.
    pub keep: Option<Keep>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// Which volumes and directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Named volumes.
    pub volumes: Vec<String>,
    /// Absolute directories or files, as our own container sees them.
    pub paths: Vec<PathBuf>,
    /// Compose projects: all named volumes of their containers, and those with their label.
    pub projects: Vec<String>,
    /// What labels on containers ask for (`roadstead.backup.*`), of every container of the Engine.
    pub labels: bool,
}

/// A repository, and how it is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// Who reads and writes it.
    pub tool: Tool,
    /// Where it is.
    pub location: Location,
    /// Its password.
    pub password: Password,
    /// Makes it where there is none.
    pub init: bool,
    /// Who we are there, by the names of [`Self::CREDENTIALS`]; with [`Tool::Restic`] any variable.
    pub credentials: Vec<(String, Hidden)>,
    /// File of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// Who reads and writes a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// We do: restic's format, in directories, on REST servers and S3.
    #[default]
    Rustic,
    /// restic does, wherever it can.
    Restic {
        /// An image that has it.
        image: String,
        /// Directory with keys and `known_hosts` for `sftp:`, as our own container sees it.
        ssh_dir: Option<PathBuf>,
    },
    /// We do: one compressed tar archive a snapshot, in a directory or on S3. Encrypted as age does it
    /// where there is a password or a recipient.
    Tar {
        /// Whom it is encrypted for: public keys, `age1…`.
        recipients: Vec<String>,
        /// File with the secret keys to read it by.
        identity_file: Option<PathBuf>,
    },
}

/// Where a repository is. Shown by its name only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// A directory, as our own container sees it.
    Directory(PathBuf),
    /// A server of restic's REST protocol: its URL, which may hold a user and a password.
    Rest(String),
    /// A bucket of an S3-compatible server.
    S3 {
        /// Scheme, host and port, e.g. `https://s3.example.org`.
        endpoint: String,
        /// Name of the bucket.
        bucket: String,
        /// Below it, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// What only restic opens, e.g. `sftp:backup@host:/srv`.
    Other(String),
}

/// The password of a repository, or where it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Password {
    /// The password.
    Value(Hidden),
    /// A file whose first line it is.
    File(PathBuf),
    /// There is none: only [`Tool::Tar`] works without.
    None,
}

/// What a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// `pg_dump`, `pg_dumpall`.
    Postgres,
    /// `mysqldump`.
    Mysql,
    /// `mariadb-dump`.
    Mariadb,
    /// `mongodump --archive`.
    Mongodb,
    /// `redis-cli --rdb`.
    Redis,
    /// `sqlite3 FILE .dump`.
    Sqlite,
}

/// A database that is dumped by a command in its container.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Name of the file in the snapshot; `None` is made of container and kind.
    pub name: Option<String>,
    /// What it is.
    pub kind: Database,
    /// Where it runs.
    pub target: Target,
    /// Which database; `None` is all of them. A file in the container for sqlite.
    pub database: Option<String>,
    /// Whom it is asked as; `None` is what the image's variables say.
    pub user: Option<String>,
    /// With which password, given in the environment of the command.
    pub password: Option<Hidden>,
    /// The variable of the container that holds the password, in place of `password`.
    pub password_env: Option<String>,
    /// Further arguments of the command.
    pub arguments: Vec<String>,
}

/// What is done to those who write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quiesce {
    /// How.
    pub how: QuiesceHow,
    /// To whom; empty is every running container that has what is read mounted for writing.
    pub targets: Vec<Target>,
    /// The command in each target before it is made still; with `exec` all that is done.
    pub before: Vec<String>,
    /// The command in each target once it goes on; with `exec` all that is done.
    pub after: Vec<String>,
}

/// How writers are kept still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuiesceHow {
    /// Not at all.
    #[default]
    None,
    /// By a command before and one after.
    Exec,
    /// They are frozen.
    Pause,
    /// They are stopped.
    Stop,
}

impl QuiesceHow {
    /// Whether nothing of them runs meanwhile.
    pub fn halts(self) -> bool {
        matches!(self, Self::Pause | Self::Stop)
    }
}

/// Which snapshots stay; one that any rule wants stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The newest.
    pub last: u32,
    /// One an hour, of the newest hours that have any.
    pub hourly: u32,
    /// One a day.
    pub daily: u32,
    /// One a week.
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
    /// All that are at most so much older than the newest.
    pub within: Option<Duration>,
    /// All with one of these tags.
    pub tags: Vec<String>,
}

/// Removes data that no snapshot needs, and before that the snapshots that no rule wants.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupPrune {
    /// Where.
    pub repository: Repository,
    /// Which snapshots stay; `None` keeps all. Applied to each job's snapshots by themselves.
    pub keep: Option<Keep>,
    /// Of which jobs; empty is all of the repository.
    pub of: Vec<String>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// Looks whether a repository is whole.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupCheck {
    /// Which.
    pub repository: Repository,
    /// In how many runs all data is read once: 0 reads none, 1 all of it, 7 a seventh each run, in turn.
    pub read_in: u32,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// Restores the newest snapshot into a scratch volume and has a container say whether it is good.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreDrill {
    /// From where.
    pub repository: Repository,
    /// The job whose snapshots are meant.
    pub of: String,
    /// What of the snapshot, e.g. `/volumes/data`; `None` is all of it.
    pub path: Option<String>,
    /// The container that looks; it finds what was restored at `/restore`.
    pub check: Packed<RunContainer>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

impl Location {
    /// As restic writes it: a path, `rest:URL` or `s3:URL/BUCKET[/PREFIX]`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let expected = "expected an absolute path, `rest:http://HOST:8000/NAME` or \
                        `s3:https://HOST/BUCKET/PREFIX`";
        if let Some(url) = text.strip_prefix("rest:") {
            if !is_url(url) {
                return Err(format!("`{text}` has no http URL: {expected}"));
            }
            return Ok(Self::Rest(format!("{}/", url.trim_end_matches('/'))));
        }
        if let Some(rest) = text.strip_prefix("s3:") {
            let url = match rest {
                _ if is_url(rest) => rest.to_owned(),
                _ if rest.contains("://") => return Err(format!("`{text}`: {expected}")),
                _ => format!("https://{}", rest.trim_start_matches('/')),
            };
            let (scheme, rest) = url.split_once("://").unwrap_or_default();
            let mut parts = rest.trim_matches('/').splitn(3, '/');
            let mut part = || parts.next().unwrap_or_default().to_owned();
            let (host, bucket, prefix) = (part(), part(), part());
            if host.is_empty() || bucket.is_empty() {
                return Err(format!("`{text}` has no bucket: {expected}"));
            }
            return Ok(Self::S3 { endpoint: format!("{scheme}://{host}"), bucket, prefix });
        }
        if let Some(path) =
            text.strip_prefix("local:").or(Some(text)).filter(|it| it.starts_with('/'))
        {
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        Err(format!("`{text}` is no repository that we can open: {expected}"))
    }

    /// Its name for people and locks, without what may be secret.
    pub fn name(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Rest(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or_default();
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("rest:{scheme}://{host}/{path}")
            }
            Self::S3 { endpoint, bucket, prefix } => {
                format!("s3:{endpoint}/{bucket}/{prefix}").trim_end_matches('/').to_owned()
            }
            Self::Other(text) => text.clone(),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())
    }
}

impl Repository {
    /// The names of credentials that we open a repository with.
    pub const CREDENTIALS: [&'static str; 6] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "RESTIC_REST_USERNAME",
        "RESTIC_REST_PASSWORD",
    ];
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.trim_matches('/').is_empty())
}

impl Tool {
    /// All, by their words.
    pub const WORDS: &'static [&'static str] = &["rustic", "restic", "tar"];

    /// The word in job files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rustic => "rustic",
            Self::Restic { .. } => "restic",
            Self::Tar { .. } => "tar",
        }
    }
}

impl QuiesceHow {
    /// All, by their words.
    pub const WORDS: &'static [&'static str] = &["none", "exec", "pause", "stop"];

    /// The way of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "exec" => Self::Exec,
            "pause" => Self::Pause,
            "stop" => Self::Stop,
            _ => return None,
        })
    }

    /// The word in job files and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Exec => "exec",
            Self::Pause => "pause",
            Self::Stop => "stop",
        }
    }
}

/// Whether a text can be the name of a variable.
pub fn is_variable(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(known) && !name.starts_with(|it: char| it.is_ascii_digit())
}

/// Whether a text may be a glob of what is left out: `!` takes nothing back in, and brackets close.
pub fn is_glob(text: &str) -> bool {
    let pairs = [('[', ']'), ('{', '}')];
    !text.trim_matches('/').is_empty()
        && !text.starts_with('!')
        && pairs.iter().all(|(a, b)| text.matches(*a).count() == text.matches(*b).count())
}

impl Keep {
    /// Whether there is a rule at all: without one everything would go.
    pub fn has_rule(&self) -> bool {
        self.last + self.hourly + self.daily + self.weekly + self.monthly + self.yearly > 0
            || self.within.is_some()
            || !self.tags.is_empty()
    }
}

impl Selection {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.paths.is_empty() && self.projects.is_empty() && !self.labels
    }
}

impl Database {
    /// All that we know.
    pub const ALL: [Self; 6] =
        [Self::Postgres, Self::Mysql, Self::Mariadb, Self::Mongodb, Self::Redis, Self::Sqlite];

    /// The words of [`Self::ALL`].
    pub const WORDS: &'static [&'static str] =
        &["postgres", "mysql", "mariadb", "mongodb", "redis", "sqlite"];

    /// The database of this word; what is known otherwise.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn parse(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == word.trim());
        found.ok_or_else(|| {
            let known = Self::WORDS.join("`, `");
            let near = problem::nearest(word.trim(), Self::WORDS.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("`{word}` is no database that we can dump: expected one of `{known}`{near}")
        })
    }

    /// What is wrong with a dump of this kind; a reader tells it at its place.
    pub fn refusal(self, database: Option<&str>) -> Option<&'static str> {
        match (self, database) {
            (Self::Sqlite, Some(file)) if file.starts_with('/') => None,
            (Self::Sqlite, _) => {
                Some("a dump of sqlite needs the absolute path of the file in its container")
            }
            (Self::Redis, Some(_)) => Some("redis is dumped as a whole, with all its databases"),
            _ => None,
        }
    }

    /// The word in job files and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_restic_writes_them() {
        for (text, name) in [
            ("/srv/backup", Some("/srv/backup")),
            ("local:/srv/backup", Some("/srv/backup")),
            ("rest:http://ada:pw@h:8000/x", Some("rest:http://h:8000/x/")),
            ("s3:https://h:9000/bucket", Some("s3:https://h:9000/bucket")),
            ("s3:s3.example.org/bucket/a/b/", Some("s3:https://s3.example.org/bucket/a/b")),
            ("s3:http://h", None),
            ("rest:ftp://h", None),
            ("sftp:me@h:/x", None),
            ("backup", None),
        ] {
            let location = Location::parse(text);
            assert_eq!(location.as_ref().ok().map(Location::name).as_deref(), name, "{text}");
            assert!(!format!("{location:?}").contains("pw@"), "{text}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in Database::ALL {
            assert_eq!(Database::parse(kind.as_str()), Ok(kind));
        }
        let near = Database::parse("postgre").unwrap_err();
        assert!(near.contains("`redis`") && near.ends_with("did you mean `postgres`?"), "{near}");
        for word in QuiesceHow::WORDS {
            assert_eq!(QuiesceHow::parse(word).map(QuiesceHow::as_str), Some(*word));
        }
        assert_eq!(QuiesceHow::parse("freeze"), None);
        for (name, expected) in [("A_1", true), ("1A", false), ("", false), ("A-B", false)] {
            assert_eq!(is_variable(name), expected, "{name}");
        }
        for (glob, expected) in
            [("*.tmp", true), ("/a/[bc]/{d,e}", true), ("!a", false), ("a[", false), ("/", false)]
        {
            assert_eq!(is_glob(glob), expected, "{glob}");
        }
    }

    #[test]
    fn a_rule_is_one_that_keeps_something() {
        assert!(!Keep::default().has_rule());
        assert!(Keep { tags: vec!["x".to_owned()], ..Keep::default() }.has_rule());
        assert!(Keep { weekly: 1, ..Keep::default() }.has_rule());
    }
}
