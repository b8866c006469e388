//! The one table of keys: what the reader knows, the JSON Schema says and `docs/jobs.md` shows.

use crate::job::WebhookFormat;

use super::tables_of_backup::{BACKUP, BACKUP_CHECK, BACKUP_PRUNE, RESTORE_DRILL};
use super::tables_of_cache::{CACHE_SYNC, REFRESH};
use super::tables_of_housekeeping::{CERTIFICATE, CLEAN, PRUNE, ROTATE};
use super::tables_of_http::{HTTP, OGC_PROCESS};
use super::tables_of_sync::SYNC;
use super::tables_of_work::{COMMAND, COMPOSE_RUN, CONTAINER, DEPLOY, EXEC, GROUP, RUN};

/// What a value looks like.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Any text or number.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// `1h30m`.
    Duration,
    /// `10m`, a size in bytes.
    Size,
    /// A time with its offset, or without in the zone of the job.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text of this pattern.
    Pattern(&'static str),
    /// A text, or a list of them.
    Texts,
    /// A list of arguments, or a text split as a shell splits it.
    Arguments,
    /// A mapping of texts.
    Mapping,
    /// A mapping of texts, or a list of `NAME=value`.
    Variables,
    /// A mapping with these keys.
    Object(&'static Table),
    /// One of these.
    Either(&'static [Self]),
    /// One of this, or a list of them.
    OneOrMore(&'static Self),
    /// A list of this.
    List(&'static Self),
    /// A mapping whose values have any form.
    AnyMapping,
    /// A text, or a value that is sent as JSON.
    Body,
    /// Work of one kind: a mapping with exactly one of the keys of work.
    Work,
}

/// One key of a mapping.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What stands for it where it is not written; `required` where something must be.
    pub(super) default: &'static str,
    /// As one would write it.
    pub(super) example: &'static str,
    pub(super) meaning: &'static str,
}

/// The keys of a mapping.
pub(super) struct Table {
    /// What the mapping describes, e.g. `a job`.
    pub(super) of: &'static str,
    pub(super) fields: &'static [Field],
    /// Whether it has the keys of a Compose service, too.
    pub(super) is_service: bool,
    /// Keys that have a meaning we do not implement yet.
    pub(super) later: &'static [&'static str],
}

impl Table {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.fields.iter().map(|field| field.name)
    }
}

/// A key; `default` is `required` where it must be written.
pub(super) const fn key(
    name: &'static str,
    form: Form,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Field {
    Field { name, form, default, example, meaning }
}

/// Two lists of keys as one.
pub(super) const fn joined<const FIRST: usize, const SECOND: usize, const ALL: usize>(
    first: [Field; FIRST],
    second: [Field; SECOND],
) -> [Field; ALL] {
    assert!(FIRST + SECOND == ALL, "a list has the length of its parts");
    let mut all = [first[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < FIRST { first[at] } else { second[at - FIRST] };
        at += 1;
    }
    all
}

const ENDS: Form = Form::Word(&["success", "failure", "finish"]);
pub(super) const AFTER_ONE: Table = Table {
    of: "`after`",
    fields: &[
        key("job", Form::Text, "required", "web", "Name of the other job."),
        key(
            "on",
            ENDS,
            "success",
            "failure",
            "With which end of its run: `success`, `failure` (failed, timed out or lost) or `finish` (any).",
        ),
    ],
    is_service: false,
    later: &[],
};
pub(super) const RETRY: Table = Table {
    of: "`retry`",
    fields: &[
        key("max", Form::Integer(0, 100), "0", "3", "Tries after the first."),
        key(
            "backoff",
            Form::Duration,
            "10s",
            "5s",
            "Pause before the second try; doubled for each further one, then drawn from zero to that.",
        ),
        key("cap", Form::Duration, "6m", "10m", "The longest pause."),
    ],
    is_service: false,
    later: &[],
};
pub(super) const KEEP: Table = Table {
    of: "`keep`",
    fields: &[
        key(
            "runs",
            Form::Integer(1, 1_000_000),
            "1000",
            "100",
            "Runs kept, of every end; the oldest go first.",
        ),
        key("age", Form::Duration, "–", "30d", "Runs older than this go."),
        key("size", Form::Size, "–", "500m", "Output of all runs together; the oldest goes first."),
        key(
            "run_size",
            Form::Size,
            "–",
            "50m",
            "Output of one run; what comes after is counted and left out.",
        ),
    ],
    is_service: false,
    later: &[],
};
pub(super) const PING: Table = Table {
    of: "`ping`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required",
            "${PING_URL}",
            "Address of the check; whoever has it may ping.",
        ),
        key("start", Form::Boolean, "true", "false", "Starts are told, too."),
        key("log", Form::Boolean, "true", "false", "The tail of the output is sent."),
        key(
            "create",
            Form::Boolean,
            "false",
            "true",
            "A check that is not there is made (`?create=1`).",
        ),
    ],
    is_service: false,
    later: &[],
};
/// In whose form a webhook may be told.
pub(super) const FORMATS: &[&str] = &[
    WebhookFormat::Json.as_str(),
    WebhookFormat::Slack.as_str(),
    WebhookFormat::Teams.as_str(),
    WebhookFormat::Gotify.as_str(),
];

pub(super) const WEBHOOK: Table = Table {
    of: "`webhook`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required",
            "https://chat.example/hook",
            "Address that JSON is posted to.",
        ),
        key(
            "headers",
            Form::Mapping,
            "–",
            "{ Authorization: \"Bearer ${TOKEN}\" }",
            "Headers, by name.",
        ),
        key(
            "format",
            Form::Word(FORMATS),
            "json",
            "slack",
            "In whose form it is told: `json` has every fact, the others are for people who chat.",
        ),
    ],
    is_service: false,
    later: &[],
};
pub(super) const NOTIFY: Table = Table {
    of: "`notify`",
    fields: &[
        key(
            "ping",
            Form::Either(&[Form::Text, Form::Object(&PING)]),
            "–",
            "${PING_URL}",
            "A check as of healthchecks.io: told of each start and end. Its address, or a mapping.",
        ),
        key(
            "webhook",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&WEBHOOK)])),
            "–",
            "https://chat.example/hook",
            "Called when the job changes between well and ill. An address, a mapping, or a list of them.",
        ),
    ],
    is_service: false,
    later: &[],
};

/// The form of an event besides the clock.
const EVENT: &str =
    "^(deploy|deploy_failed|container_started|container_died|container_unhealthy|webhook|file):.+$";

/// What a job's name looks like.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";

/// The keys of a job.
pub(super) const JOB: Table = Table {
    of: "a job",
    fields: &[
        key(
            "name",
            Form::Pattern(NAME),
            "required",
            "web",
            "Letters, digits, `.`, `_`, `-`, starting with a letter or digit; unique; also the name of the log file.",
        ),
        key("description", Form::Text, "–", "The public web site.", "What the job is for."),
        key(
            "enabled",
            Form::Boolean,
            "true",
            "false",
            "`false`: neither the clock nor an event starts it; a person still can.",
        ),
        key("schedule", Form::Text, "@manual", "\"*/5 * * * *\"", "When it runs, see below."),
        key(
            "dialect",
            Form::Word(&["default", "ofelia-0.3", "ofelia", "supercronic", "dkron", "quartz"]),
            "default",
            "supercronic",
            "Whose rules the schedule is read by: `ofelia-0.3` has seconds first in five fields, `ofelia` is 0.4 and later, `supercronic` has the year last in six fields, `dkron` wants six and has `~` for a stable value of its own, `quartz` has Sunday as 1.",
        ),
        key(
            "timezone",
            Form::Text,
            "`AUTODEPLOY_TIMEZONE`",
            "America/Toronto",
            "IANA name; the zone of the schedule.",
        ),
        key(
            "starts_at",
            Form::Time,
            "–",
            "2026-03-01T00:00:00Z",
            "No slot before this instant; without an offset in the zone of the job.",
        ),
        key("expires_at", Form::Time, "–", "2026-12-31", "No slot at or after this instant."),
        key(
            "jitter",
            Form::Duration,
            "0s",
            "30s",
            "Each run starts by up to so much later than its slot; the draw is stable for a slot.",
        ),
        key(
            "spread",
            Form::Duration,
            "0s",
            "10m",
            "All runs start by the same part of this later, so that jobs of one schedule do not start together.",
        ),
        key(
            "after",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&AFTER_ONE)])),
            "–",
            "{ job: backup, on: success }",
            "Runs when another job ended: its name, a mapping of `job` and `on`, or a list of them.",
        ),
        key(
            "on",
            Form::OneOrMore(&Form::Pattern(EVENT)),
            "–",
            "[\"deploy:web\", \"webhook:refresh\"]",
            "Runs on an event, see below.",
        ),
        key(
            "overlap",
            Form::Word(&["skip", "queue", "replace", "allow"]),
            "`queue` deploy, else `skip`",
            "replace",
            "What happens to a slot while an earlier run goes on: it is skipped, one waits, the earlier run is stopped, or both run.",
        ),
        key(
            "catch_up",
            Form::Pattern("^(none|latest|all\\([0-9]+\\))$"),
            "latest",
            "all(10)",
            "What a restart owes of the slots that passed: `none`, `latest`, or `all(n)`, at most so many of the latest.",
        ),
        key(
            "start_deadline",
            Form::Duration,
            "–",
            "5m",
            "A slot that could not start for so long is recorded as missed.",
        ),
        key(
            "timeout",
            Form::Duration,
            "`30m` deploy, else `1h`",
            "10m",
            "Longest time of one run, all its tries together.",
        ),
        key(
            "stop_signal",
            Form::Text,
            "the container's, else `SIGTERM`",
            "SIGINT",
            "First signal to a run that is to end before its time.",
        ),
        key(
            "stop_grace",
            Form::Duration,
            "the container's, else `10s`",
            "1m",
            "How long it has before it is killed.",
        ),
        key(
            "retry",
            Form::Either(&[Form::Integer(0, 100), Form::Object(&RETRY)]),
            "0",
            "{ max: 3, backoff: 10s }",
            "Further tries of a run that failed: a number, or a mapping.",
        ),
        key(
            "locks",
            Form::Texts,
            "–",
            "[database]",
            "Names shared with other jobs: two that share one never run together.",
        ),
        key(
            "priority",
            Form::Integer(-1000, 1000),
            "0",
            "10",
            "Higher ones start first where several wait.",
        ),
        key(
            "keep",
            Form::Object(&KEEP),
            "–",
            "{ runs: 100, age: 30d }",
            "How much of its output and history is kept.",
        ),
        key(
            "notify",
            Form::Object(&NOTIFY),
            "–",
            "{ ping: \"${PING_URL}\" }",
            "Whom it tells of its runs.",
        ),
        key(
            "labels",
            Form::Mapping,
            "–",
            "{ team: data }",
            "Words of yours; nothing acts on them.",
        ),
        key(
            "deploy",
            Form::Object(&DEPLOY),
            "–",
            "{ source: /srv/stack }",
            "Keeps a Compose project equal to its sources.",
        ),
        key(
            "run",
            Form::Object(&RUN),
            "–",
            "{ image: \"alpine:3.22\" }",
            "Runs a new container to completion.",
        ),
        key(
            "exec",
            Form::Object(&EXEC),
            "–",
            "{ container: web, command: reload }",
            "Runs a command in running containers.",
        ),
        key(
            "compose_run",
            Form::Object(&COMPOSE_RUN),
            "–",
            "{ project: web, service: migrate }",
            "Runs a service of a managed project once.",
        ),
        key(
            "container",
            Form::Object(&CONTAINER),
            "–",
            "{ action: restart, targets: web }",
            "Starts, stops or signals containers.",
        ),
        key(
            "command",
            Form::Either(&[Form::Arguments, Form::Object(&COMMAND)]),
            "–",
            "[/bin/busybox, date]",
            "Runs a program in our own container; off unless `AUTODEPLOY_ALLOW_COMMANDS` says otherwise.",
        ),
        key(
            "http",
            Form::Object(&HTTP),
            "–",
            "{ url: \"https://api.example/refresh\", method: POST }",
            "Calls over HTTP.",
        ),
        key(
            "ogc_process",
            Form::Object(&OGC_PROCESS),
            "–",
            "{ url: \"https://ogc.example\", process: buffer }",
            "A process of an OGC API Processes server.",
        ),
        key(
            "group",
            Form::Either(&[Form::Texts, Form::Object(&GROUP)]),
            "–",
            "[extract, load]",
            "Runs other jobs as part of its own run.",
        ),
        key(
            "rotate",
            Form::Object(&ROTATE),
            "–",
            "{ files: /var/log/web/*.log, size: 20m, signal: { container: proxy } }",
            "Rotates log files that somebody else writes.",
        ),
        key(
            "clean",
            Form::Object(&CLEAN),
            "–",
            "{ directory: /data/wps_outputs, older_than: 30d }",
            "Removes old files of a directory.",
        ),
        key(
            "cache_sync",
            Form::Object(&CACHE_SYNC),
            "–",
            "{ url: \"http://qjazz-admin:9871\", pools: all }",
            "Makes the caches of pools of QGIS servers equal, and proves it.",
        ),
        key(
            "refresh",
            Form::Object(&REFRESH),
            "–",
            "{ requests: [\"https://maps.example/tiles\"], soft_ttl: 12h }",
            "Keeps the cache of a web server warm.",
        ),
        key(
            "prune",
            Form::Object(&PRUNE),
            "–",
            "{ images: { older_than: 7d, keep: 3 } }",
            "Removes what runs of ours left on the Engine.",
        ),
        key(
            "certificate",
            Form::Object(&CERTIFICATE),
            "–",
            "{ bundle: /data/bundle.pem, domains: example.org, certbot: { image: certbot/certbot }, stop: { container: proxy } }",
            "Renews a certificate when that is due.",
        ),
        key(
            "sync",
            Form::Object(&SYNC),
            "–",
            "{ source: \"https://git.example/data.git#main\", maps: [{ to: /data/sets }] }",
            "Keeps directories equal to parts of a git repository or an archive.",
        ),
        key(
            "backup",
            Form::Object(&BACKUP),
            "–",
            "{ repository: /backup, password_file: /run/secrets/backup, projects: [shop], keep: { daily: 7 } }",
            "Keeps what changed of volumes, directories and databases in a repository.",
        ),
        key(
            "backup_prune",
            Form::Object(&BACKUP_PRUNE),
            "–",
            "{ repository: /backup, password_file: /run/secrets/backup }",
            "Removes data from a repository that no snapshot needs.",
        ),
        key(
            "backup_check",
            Form::Object(&BACKUP_CHECK),
            "–",
            "{ repository: /backup, password_file: /run/secrets/backup, read_in: 7 }",
            "Looks whether a repository is whole.",
        ),
        key(
            "restore_drill",
            Form::Object(&RESTORE_DRILL),
            "–",
            "{ repository: /backup, password_file: /run/secrets/backup, of: backup, check: { image: \"alpine:3.22\", command: ls /restore } }",
            "Restores the newest snapshot aside, and has a container say whether it is good.",
        ),
    ],
    is_service: false,
    later: &[],
};
