//! The keys of `backup`, `backup_prune`, `backup_check` and `restore_drill`.

use super::table::{Field, Form, Table, joined, key};
use super::tables_of_work::{ONE_TARGET, RUN, TARGET};
use crate::job::work::{Database, QuiesceHow, Tool};

/// The image of restic where none is written, birdhouse's.
pub(super) const DEFAULT_IMAGE: &str = "restic/restic:0.18.0";

/// How a repository is opened.
const REPOSITORY: [Field; 11] = [
    key(
        "repository",
        Form::Text,
        "`RESTIC_REPOSITORY` of `env_file`",
        "s3:https://s3.example.org/backup/host",
        "Where it is, as restic writes it: a directory as our own container sees it, `rest:URL`, or `s3:URL/BUCKET/PREFIX`; with restic whatever it opens, e.g. `sftp:backup@host:/srv`.",
    ),
    key(
        "engine",
        Form::Word(Tool::WORDS),
        "`rustic`, or `restic` where only that opens it",
        "restic",
        "Who reads and writes it: `rustic` is built in; `restic` runs in a container and opens more places; `tar` is built in and makes one archive a snapshot, in a directory or on S3, without what restic's format does against storing things twice.",
    ),
    key(
        "image",
        Form::Text,
        DEFAULT_IMAGE,
        "restic/restic:0.18.0",
        "With `engine: restic` the image that has it.",
    ),
    key(
        "ssh_dir",
        Form::Text,
        "–",
        "/etc/roadstead/ssh",
        "With `engine: restic` and `sftp:` the directory of its keys and `known_hosts`, as our own container sees it.",
    ),
    key(
        "recipients",
        Form::Texts,
        "–",
        "[age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]",
        "With `engine: tar` the public keys of age that archives are encrypted for, in place of a password; without both they are not encrypted.",
    ),
    key(
        "identity_file",
        Form::Text,
        "–",
        "/run/secrets/age.key",
        "With `engine: tar` and `recipients` the file of secret keys to restore by; a backup does not need it.",
    ),
    key(
        "password_file",
        Form::Text,
        "`RESTIC_PASSWORD_FILE` of `env_file`",
        "/run/secrets/backup",
        "File whose first line is its password.",
    ),
    key(
        "password",
        Form::Text,
        "`RESTIC_PASSWORD` of `env_file`",
        "${BACKUP_PASSWORD}",
        "Its password, in place of `password_file`.",
    ),
    key(
        "credentials",
        Form::Mapping,
        "those of `env_file`",
        "{ AWS_ACCESS_KEY_ID: \"${KEY_ID}\", AWS_SECRET_ACCESS_KEY: \"${KEY}\" }",
        "Who we are there, by the names of restic: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_DEFAULT_REGION`, `RESTIC_REST_USERNAME`, `RESTIC_REST_PASSWORD`.",
    ),
    key(
        "env_file",
        Form::Text,
        "–",
        "/etc/roadstead/restic.env",
        "File of restic's variables, `NAME=value` a line, as it is given to restic's container; what is written here goes before it.",
    ),
    key(
        "ca_file",
        Form::Text,
        "–",
        "/etc/ssl/ours.pem",
        "File of certificate authorities to trust besides the usual ones.",
    ),
];

const DRY_RUN: Field = key(
    "dry_run",
    Form::Boolean,
    "false",
    "true",
    "The run says what it would do, and does nothing.",
);

const fn count(name: &'static str, example: &'static str, meaning: &'static str) -> Field {
    key(name, Form::Integer(0, 100_000), "0", example, meaning)
}

pub(super) const KEEP: Table = Table {
    of: "`keep` of a backup",
    fields: &[
        count("last", "3", "The newest."),
        count("hourly", "24", "The newest of each of so many hours that have any."),
        count("daily", "7", "The newest of each of so many days."),
        count("weekly", "5", "The newest of each of so many weeks."),
        count("monthly", "12", "The newest of each of so many months."),
        count("yearly", "3", "The newest of each of so many years."),
        key(
            "within",
            Form::Duration,
            "–",
            "2w",
            "All that are at most so much older than the newest.",
        ),
        key("tags", Form::Texts, "–", "[release]", "All with one of these tags."),
    ],
    is_service: false,
    later: &[],
};

const KEPT: Field = key(
    "keep",
    Form::Either(&[Form::Text, Form::Object(&KEEP)]),
    "–",
    "{ daily: 7, weekly: 5, monthly: 12 }",
    "Which snapshots stay, each job's by themselves; one that any rule wants stays. A mapping, or in one text `daily=7 weekly=5`, or restic's `--keep-daily 7 --keep-weekly 5`.",
);

pub(super) const QUIESCE: Table = Table {
    of: "`quiesce`",
    fields: &[
        key(
            "how",
            Form::Word(QuiesceHow::WORDS),
            "`exec` with a command, else `none`",
            "pause",
            "`pause` freezes them, `stop` stops them and starts them again, `exec` runs the commands only.",
        ),
        key(
            "targets",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&ONE_TARGET)])),
            "who writes",
            "[{ project: shop, service: web }]",
            "To whom; without it to every running container that has what is read mounted for writing.",
        ),
        key(
            "before",
            Form::Arguments,
            "–",
            "[/usr/bin/flush, --wait]",
            "A command in each of them before that; no shell runs it.",
        ),
        key(
            "after",
            Form::Arguments,
            "–",
            "[/usr/bin/resume]",
            "A command in each of them after that.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const DUMP: Table = Table {
    of: "a dump",
    fields: &[
        key(
            "kind",
            Form::Word(Database::WORDS),
            "required",
            "postgres",
            "What it is: its own tool makes the dump, in its container.",
        ),
        TARGET[0],
        TARGET[1],
        TARGET[2],
        TARGET[3],
        key(
            "database",
            Form::Text,
            "all of them",
            "orders",
            "Which database; with `sqlite` the absolute path of the file in the container.",
        ),
        key("user", Form::Text, "the image's", "backup", "Whom it is asked as."),
        key(
            "password",
            Form::Text,
            "the image's",
            "${DB_PASSWORD}",
            "With which password; it is given in the environment, never as an argument.",
        ),
        key(
            "password_env",
            Form::Text,
            "–",
            "APP_DB_PASSWORD",
            "The variable of the container that holds the password, in place of `password`.",
        ),
        key(
            "name",
            Form::Text,
            "made of container, database and kind",
            "orders.dump",
            "Name of the file in the snapshot.",
        ),
        key(
            "arguments",
            Form::Arguments,
            "–",
            "--exclude-table=cache",
            "Further arguments of the tool.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const BACKUP: Table = Table {
    of: "`backup`",
    fields: &joined::<11, 13, 24>(
        REPOSITORY,
        [
            key(
                "init",
                Form::Boolean,
                "false",
                "true",
                "Makes the repository where there is none; without it a wrong address is a failure.",
            ),
            key("volumes", Form::Texts, "–", "[shop_data, shop_uploads]", "Named volumes."),
            key(
                "paths",
                Form::Texts,
                "–",
                "[/data/documents]",
                "Absolute directories or files, as our own container sees them.",
            ),
            key(
                "projects",
                Form::Texts,
                "–",
                "[shop]",
                "Compose projects: all named volumes of their containers, and those with their label.",
            ),
            key(
                "labels",
                Form::Boolean,
                "false",
                "true",
                "What the labels `roadstead.backup.*` of all containers ask for, see below.",
            ),
            key(
                "dumps",
                Form::OneOrMore(&Form::Object(&DUMP)),
                "–",
                "[{ kind: postgres, project: shop, service: db }]",
                "Databases that are dumped; each becomes a snapshot of its own, and one that is cut none at all.",
            ),
            key(
                "quiesce",
                Form::Either(&[Form::Word(QuiesceHow::WORDS), Form::Object(&QUIESCE)]),
                "none",
                "pause",
                "How those who write are kept still while their volumes and directories are read.",
            ),
            key(
                "exclude",
                Form::Texts,
                "–",
                "[\"*.tmp\", /volumes/shop_data/cache]",
                "Globs of what is left out, as restic's `--exclude`; volumes are at `/volumes/NAME`.",
            ),
            key(
                "exclude_caches",
                Form::Boolean,
                "true",
                "false",
                "Leaves out directories that a `CACHEDIR.TAG` marks.",
            ),
            key(
                "tags",
                Form::Texts,
                "–",
                "[nightly]",
                "Tags of the snapshots, besides `job:NAME`.",
            ),
            key("host", Form::Text, "the Engine's", "db1", "Name of the host in the snapshots."),
            KEPT,
            DRY_RUN,
        ],
    ),
    is_service: false,
    later: &[],
};

pub(super) const BACKUP_PRUNE: Table = Table {
    of: "`backup_prune`",
    fields: &joined::<11, 3, 14>(
        REPOSITORY,
        [
            KEPT,
            key(
                "of",
                Form::Texts,
                "all of the repository",
                "[backup]",
                "Names of the jobs whose snapshots `keep` is about.",
            ),
            DRY_RUN,
        ],
    ),
    is_service: false,
    later: &[],
};

pub(super) const BACKUP_CHECK: Table = Table {
    of: "`backup_check`",
    fields: &joined::<11, 2, 13>(
        REPOSITORY,
        [
            key(
                "read_in",
                Form::Integer(0, 366),
                "7",
                "30",
                "In how many runs all data is read once: 0 reads none, 1 all of it each time, 7 a seventh each run, in turn.",
            ),
            DRY_RUN,
        ],
    ),
    is_service: false,
    later: &[],
};

pub(super) const RESTORE_DRILL: Table = Table {
    of: "`restore_drill`",
    fields: &joined::<11, 4, 15>(
        REPOSITORY,
        [
            key(
                "of",
                Form::Text,
                "required",
                "backup",
                "The `backup` job whose newest snapshot is restored.",
            ),
            key(
                "path",
                Form::Text,
                "all of it",
                "/volumes/shop_data",
                "What of the snapshot; a directory's content is then right below `/restore`.",
            ),
            key(
                "check",
                Form::Object(&RUN),
                "required",
                "{ image: \"alpine:3.22\", command: \"test -s /restore/index.html\" }",
                "The container that looks, with the keys of `run`: it finds what was restored at `/restore`, and the drill is good when it ends with 0.",
            ),
            DRY_RUN,
        ],
    ),
    is_service: false,
    later: &[],
};
