//! The keys of the kinds of work that call over HTTP.

use super::table::{Field, Form, Table, key};

pub(super) const EXPECT: Table = Table {
    of: "`expect`",
    fields: &[
        key(
            "status",
            Form::OneOrMore(&Form::Either(&[
                Form::Integer(100, 599),
                Form::Pattern("^[1-5]([0-9]{2}|xx)(-[1-5][0-9]{2})?$"),
            ])),
            "200-299",
            "[200, 404]",
            "Accepted statuses: `200`, `200-299`, `2xx`, or a list of them.",
        ),
        key(
            "body",
            Form::Text,
            "–",
            "\"ok\"",
            "A regular expression that must match somewhere in the body.",
        ),
        key(
            "json",
            Form::AnyMapping,
            "–",
            "{ /status: done }",
            "JSON pointers and the values that must be there.",
        ),
    ],
    is_service: false,
    later: &[],
};
const URL: Field = key(
    "url",
    Form::Text,
    "required",
    "https://api.example/refresh",
    "Address, `http://` or `https://`.",
);
const METHOD: Field =
    key("method", Form::Pattern("^[A-Za-z]+$"), "`GET`, with a body `POST`", "POST", "Method.");
pub(super) const HEADERS: Field =
    key("headers", Form::Mapping, "–", "{ Accept: application/json }", "Headers, by name.");
const BODY: Field = key(
    "body",
    Form::Body,
    "–",
    "{\"all\": true}",
    "Body: a text; a mapping or a list is sent as JSON.",
);
pub(super) const STEP_TIMEOUT: Field =
    key("timeout", Form::Duration, "30s", "5s", "Longest time of one try.");
pub(super) const STEP_EXPECT: Field = key(
    "expect",
    Form::Object(&EXPECT),
    "–",
    "{ status: 200 }",
    "What must be true of the answer.",
);
pub(super) const RETRIES: Field =
    key("retries", Form::Integer(0, 100), "0", "3", "Further tries of this call alone.");
pub(super) const BACKOFF: Field = key(
    "backoff",
    Form::Duration,
    "1s",
    "500ms",
    "Pause before the second try; doubled each time.",
);
pub(super) const STEP: Table = Table {
    of: "a call",
    fields: &[
        key("name", Form::Text, "method and address", "refresh", "What it is, for the log."),
        URL,
        METHOD,
        HEADERS,
        BODY,
        STEP_TIMEOUT,
        STEP_EXPECT,
        RETRIES,
        BACKOFF,
    ],
    is_service: false,
    later: &[],
};
pub(super) const WAIT_FOR: Table = Table {
    of: "`wait_for`",
    fields: &[
        URL,
        STEP_EXPECT,
        key("timeout", Form::Duration, "1m", "5m", "Longest wait."),
        key("every", Form::Duration, "2s", "5s", "Pause between tries."),
    ],
    is_service: false,
    later: &[],
};
pub(super) const LOGIN: Field = key(
    "login",
    Form::Object(&STEP),
    "–",
    "{ url: \"https://api.example/login\", method: POST }",
    "A call made first; its cookies go with all later ones.",
);
pub(super) const CA_FILE: Field = key(
    "ca_file",
    Form::Text,
    "–",
    "/etc/ssl/ours.pem",
    "File of certificate authorities to trust besides the usual ones.",
);
pub(super) const CLIENT_CERTIFICATE: Field = key(
    "client_certificate",
    Form::Text,
    "–",
    "/etc/ssl/me.pem",
    "File of our certificate and key.",
);
pub(super) const INSECURE: Field =
    key("insecure", Form::Boolean, "false", "true", "Accepts every certificate.");
pub(super) const REDIRECTS: Field =
    key("redirects", Form::Integer(0, 100), "10", "0", "How many redirects are followed.");

pub(super) const HTTP: Table = Table {
    of: "`http`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required, or `steps`",
            "https://api.example/refresh",
            "Address of a single call, whose keys stand here.",
        ),
        METHOD,
        HEADERS,
        BODY,
        STEP_TIMEOUT,
        STEP_EXPECT,
        RETRIES,
        BACKOFF,
        key(
            "steps",
            Form::List(&Form::Object(&STEP)),
            "–",
            "[{ url: \"https://api.example/a\" }]",
            "Several calls instead, in order, up to the first failure; each with `name` and the keys of a single call.",
        ),
        LOGIN,
        key(
            "wait_for",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&WAIT_FOR)])),
            "–",
            "{ url: \"https://api.example/health\", timeout: 5m }",
            "What must answer before anything is called: an address, `{ url, expect, timeout, every }`, or a list of them.",
        ),
        key("parallel", Form::Integer(1, 1000), "1", "8", "How many steps go on at once."),
        CA_FILE,
        CLIENT_CERTIFICATE,
        INSECURE,
        REDIRECTS,
    ],
    is_service: false,
    later: &[],
};

pub(super) const POLL: Table = Table {
    of: "`poll`",
    fields: &[
        key("min", Form::Duration, "1s", "5s", "Shortest pause between two looks."),
        key("max", Form::Duration, "30s", "1m", "Longest pause."),
    ],
    is_service: false,
    later: &[],
};

pub(super) const OGC_PROCESS: Table = Table {
    of: "`ogc_process`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required",
            "https://ogc.example",
            "Base address of the server, without `/processes`.",
        ),
        key("process", Form::Text, "required", "buffer", "Id of the process."),
        key(
            "provider",
            Form::Text,
            "–",
            "finch",
            "Id of the provider the process belongs to (Weaver).",
        ),
        key(
            "inputs",
            Form::AnyMapping,
            "{}",
            "{ distance: 5 }",
            "The inputs of the execution request.",
        ),
        key(
            "outputs",
            Form::AnyMapping,
            "–",
            "{ out: { transmissionMode: value } }",
            "The outputs of the execution request.",
        ),
        key(
            "mode",
            Form::Word(&["async", "sync", "auto"]),
            "async",
            "sync",
            "How it is executed; `auto` is as the server likes.",
        ),
        LOGIN,
        HEADERS,
        key(
            "poll",
            Form::Object(&POLL),
            "–",
            "{ min: 5s, max: 1m }",
            "How often its status is looked at; a `Retry-After` of the server wins.",
        ),
        key(
            "on_timeout",
            Form::Word(&["dismiss", "leave"]),
            "dismiss",
            "leave",
            "What becomes of the remote job when our time is over.",
        ),
        CA_FILE,
    ],
    is_service: false,
    later: &[],
};
