//! The keys of the kinds of work that keep a host tidy.

use super::table::{Field, Form, Table, key};
use super::tables_of_work::{ONE_TARGET, RUN, TARGET};

pub(super) const DRY_RUN: Field = key(
    "dry_run",
    Form::Boolean,
    "false",
    "true",
    "The run says what it would do, and does nothing.",
);

pub(super) const COMPRESSIONS: &[&str] = &["none", "gzip", "zstd"];
pub(super) const METHODS: &[&str] = &["rename", "copytruncate"];

pub(super) const CREATE: Table = Table {
    of: "`create`",
    fields: &[
        key("mode", Form::Pattern("^0?[0-7]{3}$"), "as before", "\"0640\"", "Its permissions."),
        key(
            "owner",
            Form::Pattern("^[0-9]+:[0-9]+$"),
            "as before",
            "\"101:4\"",
            "User and group, by their numbers.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const SIGNAL: Table = Table {
    of: "`signal`",
    fields: &[
        TARGET[0],
        TARGET[1],
        TARGET[2],
        TARGET[3],
        key(
            "signal",
            Form::Text,
            "SIGUSR1",
            "SIGHUP",
            "The signal that makes it open its files anew.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const ROTATE: Table = Table {
    of: "`rotate`",
    fields: &[
        key(
            "files",
            Form::Texts,
            "required",
            "/var/log/web/*.log",
            "Absolute paths or patterns (`*`, `?`, `[a-z]`, `**`), as our own container sees them; new files are covered by themselves.",
        ),
        key("exclude", Form::Texts, "–", "/var/log/web/audit.log", "Of these, none of these."),
        key(
            "size",
            Form::Size,
            "–",
            "20m",
            "Rotated as soon as it has so many bytes, whatever `every` says.",
        ),
        key(
            "every",
            Form::Duration,
            "–",
            "1w",
            "Rotated when the last rotation is so long ago; of a file that is new, when it was seen first.",
        ),
        key(
            "min_size",
            Form::Size,
            "1",
            "500k",
            "Never rotated with fewer bytes; an empty file is never rotated.",
        ),
        key("keep", Form::Integer(1, 10_000), "6", "50", "Rotated files kept of each."),
        key("max_age", Form::Duration, "–", "90d", "Rotated files older than this go."),
        key(
            "compress",
            Form::Word(COMPRESSIONS),
            "gzip",
            "zstd",
            "How rotated files are packed; with `rename` the newest is left for a turn, as the writer may still be in it.",
        ),
        key(
            "method",
            Form::Word(METHODS),
            "`rename` with `signal` or `create`, else `copytruncate`",
            "rename",
            "`rename` loses nothing, and needs a writer that opens its file anew; `copytruncate` suits any writer that appends, and loses what is written in the moment between.",
        ),
        key(
            "create",
            Form::Either(&[Form::Boolean, Form::Object(&CREATE)]),
            "true",
            "{ mode: \"0640\" }",
            "With `rename`: the new file, with mode and owner of the old one unless said; `false` leaves it to the writer.",
        ),
        key(
            "signal",
            Form::Object(&SIGNAL),
            "–",
            "{ container: proxy, signal: SIGUSR1 }",
            "With `rename`: the containers that are told to open their files anew.",
        ),
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};

pub(super) const TIMES: &[&str] = &["mtime", "atime", "ctime"];

pub(super) const CLEAN: Table = Table {
    of: "`clean`",
    fields: &[
        key(
            "directory",
            Form::Text,
            "required",
            "/data/wps_outputs",
            "Below which directory, as our own container sees it; it stays itself.",
        ),
        key("older_than", Form::Duration, "required", "30d", "Files that are older go."),
        key(
            "by",
            Form::Word(TIMES),
            "mtime",
            "atime",
            "Which of its times says how old a file is: written, read, or content, name or rights changed.",
        ),
        key(
            "include",
            Form::Texts,
            "all files",
            "\"*.nc\"",
            "Of all files only these; a pattern without `/` means names in any directory.",
        ),
        key(
            "exclude",
            Form::Texts,
            "–",
            "[\"*.keep\", \"public/**\"]",
            "None of these, nor anything below a directory of these.",
        ),
        key(
            "keep",
            Form::Integer(0, 1_000_000),
            "0",
            "10",
            "So many of the newest files stay, however old they are.",
        ),
        key(
            "empty_directories",
            Form::Boolean,
            "false",
            "true",
            "Directories that are empty then go, too, where they were not changed for as long.",
        ),
        key(
            "max_files",
            Form::Integer(1, 1_000_000_000),
            "–",
            "10000",
            "Where more files than this are to go, none does, and the run fails: somebody looks first.",
        ),
        key(
            "other_filesystems",
            Form::Boolean,
            "false",
            "true",
            "Goes into file systems that are mounted below the directory, too.",
        ),
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};

pub(super) const IMAGES: Table = Table {
    of: "`images`",
    fields: &[
        key(
            "older_than",
            Form::Duration,
            "7d",
            "30d",
            "Those that were made, and named last, so long ago.",
        ),
        key(
            "keep",
            Form::Integer(1, 1000),
            "3",
            "5",
            "So many revisions of each deploy keep their images (never less than two: the one that runs and the one before), and so many of the newest images of each repository stay.",
        ),
        key("dangling", Form::Boolean, "true", "false", "Those without a name go, too."),
        key(
            "all",
            Form::Boolean,
            "false",
            "true",
            "Those that no run of ours used go, too: all that no container uses and no job needs.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const AGED: Table = Table {
    of: "`containers` or `networks`",
    fields: &[key(
        "older_than",
        Form::Duration,
        "7d",
        "1d",
        "Containers that ended so long ago; networks that were made so long ago.",
    )],
    is_service: false,
    later: &[],
};

pub(super) const VOLUMES: Table = Table {
    of: "`volumes`",
    fields: &[
        key("older_than", Form::Duration, "30d", "90d", "Those that were made so long ago."),
        key(
            "labels",
            Form::Texts,
            "–",
            "[\"scratch=true\"]",
            "Only those with all these labels, `name` or `name=value`.",
        ),
    ],
    is_service: false,
    later: &[],
};

const OR_NOT: [Form; 3] = [
    Form::Either(&[Form::Boolean, Form::Object(&IMAGES)]),
    Form::Either(&[Form::Boolean, Form::Object(&AGED)]),
    Form::Either(&[Form::Boolean, Form::Object(&VOLUMES)]),
];

pub(super) const PRUNE: Table = Table {
    of: "`prune`",
    fields: &[
        key(
            "images",
            OR_NOT[0],
            "true",
            "{ older_than: 7d, keep: 3 }",
            "Images that runs of ours used; `false` leaves all of them.",
        ),
        key(
            "containers",
            OR_NOT[1],
            "true",
            "{ older_than: 1d }",
            "Containers of jobs and one-off containers of our projects that have ended; `false` leaves all of them.",
        ),
        key(
            "networks",
            OR_NOT[1],
            "true",
            "false",
            "Networks of our projects that nothing uses and no project declares; `false` leaves all of them.",
        ),
        key(
            "volumes",
            OR_NOT[2],
            "false",
            "{ older_than: 90d, labels: scratch }",
            "Volumes of our projects that nothing uses and no project declares, with all that is in them.",
        ),
        key(
            "max_removals",
            Form::Integer(1, 1_000_000),
            "–",
            "100",
            "Where more than this are to go, none does, and the run fails: somebody looks first.",
        ),
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};

pub(super) const TOLD: Table = Table {
    of: "`signal` of `certificate`",
    fields: &[
        TARGET[0],
        TARGET[1],
        TARGET[2],
        TARGET[3],
        key(
            "signal",
            Form::Text,
            "SIGHUP",
            "SIGUSR2",
            "The signal that makes it read the bundle anew.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const CERTIFICATE: Table = Table {
    of: "`certificate`",
    fields: &[
        key(
            "bundle",
            Form::Text,
            "required",
            "/data/certificates/bundle.pem",
            "The file of chain and key together, as our own container sees it: mount its directory.",
        ),
        key(
            "domains",
            Form::Texts,
            "required",
            "[example.org, www.example.org]",
            "The names it is for; the first one names it at certbot, too.",
        ),
        key("email", Form::Text, "–", "ops@example.org", "Whom the authority writes to."),
        key(
            "renew_before",
            Form::Duration,
            "30d",
            "20d",
            "Renewed when it ends within this time; until then nothing is touched.",
        ),
        key(
            "certbot",
            Form::Object(&RUN),
            "required",
            "{ image: \"certbot/certbot:v3.1.0\", network_mode: host, volumes: [\"/etc/letsencrypt:/etc/letsencrypt\"] }",
            "The container that it runs in, with the keys of `run`; its command is ours.",
        ),
        key("arguments", Form::Arguments, "–", "--test-cert", "Further arguments of certbot."),
        key(
            "stop",
            Form::Object(&ONE_TARGET),
            "–",
            "{ container: proxy }",
            "Who has its ports: stopped only when it is due, and started again whatever happened.",
        ),
        key(
            "signal",
            Form::Object(&TOLD),
            "–",
            "{ container: proxy, signal: SIGHUP }",
            "Who is told, only when the bundle is another one.",
        ),
        key(
            "restart",
            Form::Object(&ONE_TARGET),
            "–",
            "{ container: mail }",
            "Who is restarted, only when the bundle is another one.",
        ),
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};
