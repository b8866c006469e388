//! The keys of each kind of work.

use super::table::{Field, Form, Table, key};

pub(super) const SOURCE: Table = Table {
    of: "`source`",
    fields: &[
        key(
            "repo",
            Form::Text,
            "required",
            "https://git.example/infra.git",
            "A URL, or the directory of a checkout.",
        ),
        key("ref", Form::Text, "the remote's default branch", "main", "A branch or a tag."),
    ],
    is_service: false,
    later: &["verify", "depth"],
};
const ONE_SOURCE: Form = Form::Either(&[Form::Text, Form::Object(&SOURCE)]);
pub(super) const HEALTH: Table = Table {
    of: "`health`",
    fields: &[
        key(
            "within",
            Form::Duration,
            "`AUTODEPLOY_HEALTH_WITHIN`",
            "2m",
            "Longest time until new containers run and are healthy.",
        ),
        key(
            "stable_for",
            Form::Duration,
            "`AUTODEPLOY_HEALTH_STABLE_FOR`",
            "10s",
            "How long a container without a health check must stay up.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const DEPLOY: Table = Table {
    of: "`deploy`",
    fields: &[
        key(
            "source",
            ONE_SOURCE,
            "required",
            "{ repo: \"https://git.example/infra.git\", ref: main }",
            "`{ repo, ref }`, or the same as one text: `URL#ref`, or a directory.",
        ),
        key(
            "sources",
            Form::OneOrMore(&ONE_SOURCE),
            "–",
            "[/srv/stack, /srv/conf]",
            "Several instead of one: a list, or one text separated by blanks; the first names the revision.",
        ),
        key(
            "path",
            Form::Text,
            "the first source",
            "stacks/web",
            "Directory of the Compose project, relative to the first source; absolute if it lies in one of them.",
        ),
        key(
            "files",
            Form::Texts,
            "found by name",
            "[compose.yml]",
            "Compose files, relative to `path`.",
        ),
        key("profiles", Form::Texts, "–", "[prod]", "Active profiles."),
        key(
            "env_file",
            Form::Texts,
            ".env",
            "[prod.env]",
            "Files of variables for interpolation, relative to `path`.",
        ),
        key("project", Form::Text, "Compose's rules", "web", "Name of the project."),
        key(
            "remove_orphans",
            Form::Boolean,
            "true",
            "false",
            "Removes containers of services that are gone.",
        ),
        key(
            "health",
            Form::Object(&HEALTH),
            "–",
            "{ within: 2m }",
            "How long it waits for new containers.",
        ),
    ],
    is_service: false,
    later: &["on_failure", "strategy", "hooks", "approve", "build"],
};

pub(super) const FILE: Table = Table {
    of: "a file of `redirect`",
    fields: &[
        key("file", Form::Text, "required", "/var/log/x.log", "Path in our own container."),
        key(
            "append",
            Form::Boolean,
            "true",
            "false",
            "Adds to the file; else it begins anew with each run.",
        ),
    ],
    is_service: false,
    later: &[],
};
const ONE_FILE: Form = Form::Either(&[Form::Text, Form::Object(&FILE)]);
pub(super) const REDIRECT: Table = Table {
    of: "`redirect`",
    fields: &[
        key(
            "stdout",
            ONE_FILE,
            "–",
            "/var/log/x.log",
            "File of the standard output: its path, or a mapping.",
        ),
        key(
            "stderr",
            ONE_FILE,
            "–",
            "/var/log/x.log",
            "File of the standard error; the same file is shared.",
        ),
    ],
    is_service: false,
    later: &[],
};
const REDIRECT_KEY: Field = key(
    "redirect",
    Form::Object(&REDIRECT),
    "–",
    "{ stdout: /var/log/x.log }",
    "Files in our own container that the output goes to, besides the log.",
);
const THEN_KEY: Field = key(
    "then",
    Form::List(&Form::Work),
    "–",
    "[{ exec: { container: proxy, command: reload } }]",
    "Work done after it succeeded, in order, up to the first failure.",
);
const ENVIRONMENT_KEY: Field = key(
    "environment",
    Form::Variables,
    "–",
    "{ MODE: fast }",
    "A mapping, or a list of `NAME=value`; a name without a value takes that of `env.local`.",
);

const ENV_FROM_KEY: Field = key(
    "env_from",
    Form::Texts,
    "–",
    "[web]",
    "Containers of the host whose environment it gets when it starts; what is written itself wins, and the last of several containers.",
);

pub(super) const RUN: Table = Table {
    of: "`run`",
    fields: &[
        key(
            "image",
            Form::Text,
            "required",
            "alpine:3.22",
            "The image; `pull_policy` says when it is pulled.",
        ),
        key(
            "container",
            Form::Text,
            "–",
            "importer",
            "An existing stopped container to start instead of a new one; it is kept.",
        ),
        key("keep", Form::Boolean, "false", "true", "Keeps the container at its end."),
        key(
            "volumes_from",
            Form::Texts,
            "–",
            "[database:ro]",
            "Containers of the host whose volumes it gets.",
        ),
        ENV_FROM_KEY,
        key(
            "pull_fallback",
            Form::Boolean,
            "false",
            "true",
            "Runs the image that is there when it cannot be pulled.",
        ),
        REDIRECT_KEY,
        THEN_KEY,
    ],
    is_service: true,
    later: &[],
};

/// Keys of a Compose service that mean nothing to a container alone, and what to do instead.
pub(super) const NOT_ALONE: &[(&str, &str)] = &[
    ("build", "a job runs an image that is there: build it in a deploy"),
    ("depends_on", "a job has no other services: use `after`, or `http.wait_for`"),
    ("links", "a job has no other services: join their network, or write `external_links`"),
    ("extends", "write the keys here, or use a YAML anchor"),
    ("secrets", "mount the file under `volumes`"),
    ("configs", "mount the file under `volumes`"),
    ("profiles", "write `enabled: false` for a job that the clock shall not start"),
    ("scale", "a job runs one container: write several jobs, or a `group`"),
    ("develop", "it means something to `docker compose watch` only"),
    ("restart", "a job runs its container once: use `retry`"),
];

pub(super) const TARGET: [Field; 4] = [
    key("container", Form::Text, "–", "web", "Name or id of a container."),
    key("project", Form::Text, "–", "shop", "Compose project; goes with `service`."),
    key("service", Form::Text, "–", "web", "Compose service; goes with `project`."),
    key(
        "labels",
        Form::Texts,
        "–",
        "[\"role=web\"]",
        "Containers with all these labels, `name` or `name=value`.",
    ),
];
pub(super) const ONE_TARGET: Table =
    Table { of: "a target", fields: &TARGET, is_service: false, later: &[] };

pub(super) const EXEC: Table = Table {
    of: "`exec`",
    fields: &[
        TARGET[0],
        TARGET[1],
        TARGET[2],
        TARGET[3],
        key(
            "scope",
            Form::Word(&["first", "all"]),
            "first",
            "all",
            "Which of several: the one with the lowest number, or all in turn up to the first failure.",
        ),
        key(
            "command",
            Form::Arguments,
            "required",
            "[nginx, -s, reload]",
            "A list of arguments, or a text split as a shell splits it; no shell runs it.",
        ),
        ENVIRONMENT_KEY,
        ENV_FROM_KEY,
        key("user", Form::Text, "the container's", "www-data", "User and group."),
        key("working_dir", Form::Text, "the container's", "/srv", "Directory in the container."),
        key("privileged", Form::Boolean, "false", "true", "With all privileges."),
        key("tty", Form::Boolean, "false", "true", "On a terminal of its own."),
        REDIRECT_KEY,
        THEN_KEY,
    ],
    is_service: false,
    later: &[],
};

pub(super) const COMPOSE_RUN: Table = Table {
    of: "`compose_run`",
    fields: &[
        key(
            "project",
            Form::Text,
            "required",
            "web",
            "Name of the deploy job whose project it is, or the absolute directory of a project.",
        ),
        key("service", Form::Text, "required", "migrate", "Name of the service."),
        key(
            "command",
            Form::Arguments,
            "the service's",
            "[migrate, --all]",
            "A list of arguments, or a text split as a shell splits it.",
        ),
        key("entrypoint", Form::Arguments, "the service's", "[/bin/sh]", "As `command`."),
        ENVIRONMENT_KEY,
        key("user", Form::Text, "the service's", "1000", "User and group."),
        key("working_dir", Form::Text, "the service's", "/srv", "Directory in the container."),
        key(
            "volumes",
            Form::Texts,
            "–",
            "[\"/srv/in:/in:ro\"]",
            "Further mounts in the short form.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const ACTIONS: &[&str] = &["start", "stop", "restart", "pause", "unpause", "signal"];

pub(super) const CONTAINER: Table = Table {
    of: "`container`",
    fields: &[
        key(
            "action",
            Form::Word(ACTIONS),
            "required",
            "restart",
            "What is done: `start`, `stop`, `restart`, `pause`, `unpause` or `signal`.",
        ),
        key("signal", Form::Text, "required for `signal`", "SIGUSR1", "The signal."),
        key(
            "targets",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&ONE_TARGET)])),
            "required",
            "[proxy, { project: shop, service: web }]",
            "To which containers, in order: names, `{ project, service }`, or `{ labels }`.",
        ),
    ],
    is_service: false,
    later: &[],
};

pub(super) const COMMAND: Table = Table {
    of: "`command`",
    fields: &[
        key(
            "argv",
            Form::Arguments,
            "required",
            "[/bin/busybox, date]",
            "Program and arguments: a list, or a text split as a shell splits it; no shell runs it.",
        ),
        ENVIRONMENT_KEY,
        key("working_dir", Form::Text, "/", "/srv", "Directory in our own container."),
        key("stdin", Form::Text, "–", "some text", "What it reads."),
        key("stdin_base64", Form::Text, "–", "c29tZSB0ZXh0", "The same, where it is no text."),
        REDIRECT_KEY,
        THEN_KEY,
    ],
    is_service: false,
    later: &[],
};

pub(super) const GROUP: Table = Table {
    of: "`group`",
    fields: &[
        key("jobs", Form::Texts, "required", "[extract, load]", "Names of the jobs, in order."),
        key(
            "parallel",
            Form::Integer(1, 1000),
            "1",
            "4",
            "How many at once; 1 is one after the other.",
        ),
        key(
            "keep_going",
            Form::Boolean,
            "false",
            "true",
            "Those after a failure run all the same.",
        ),
    ],
    is_service: false,
    later: &[],
};
