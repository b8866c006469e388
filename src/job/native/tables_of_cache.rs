//! The keys of the kinds of work that look after caches.

use super::table::{Form, Table, key};
use super::tables_of_housekeeping::DRY_RUN;
use super::tables_of_http::{
    BACKOFF, CA_FILE, CLIENT_CERTIFICATE, HEADERS, INSECURE, LOGIN, REDIRECTS, RETRIES, STEP,
    STEP_EXPECT, STEP_TIMEOUT,
};

pub(super) const DIALECTS: &[&str] = &["auto", "v1", "map"];

pub(super) const CACHE_SYNC: Table = Table {
    of: "`cache_sync`",
    fields: &[
        key(
            "url",
            Form::Text,
            "required",
            "http://qjazz-admin:9871",
            "Address of the admin service or of the map server, without `/v1`.",
        ),
        key(
            "pools",
            Form::Texts,
            "all",
            "[maps, features]",
            "Labels of pools, or with the map server routes of channels (`/` is the only one of a server that has one); `all` are those that the server lists.",
        ),
        key(
            "dialect",
            Form::Word(DIALECTS),
            "auto",
            "v1",
            "How it is spoken to: `v1` is the admin service of qjazz until 0.6, `map` the map server from 0.7 on, `auto` is as it answers at `/`.",
        ),
        key(
            "token",
            Form::Text,
            "–",
            "${QJAZZ_TOKEN}",
            "Bearer token. Without one no header is sent: a server that expects none refuses every one.",
        ),
        key(
            "token_file",
            Form::Text,
            "–",
            "/run/secrets/qjazz",
            "The same, in a file, which is read by each run.",
        ),
        key(
            "rescan_backends",
            Form::Boolean,
            "true",
            "false",
            "The server first looks again which backends there are; the map server does so by itself.",
        ),
        key(
            "require_all_backends",
            Form::Boolean,
            "true",
            "false",
            "A backend that does not answer is a failure; else the run ends `degraded` where the others are equal.",
        ),
        key(
            "pull",
            Form::Texts,
            "–",
            "[\"/maps/roads.qgs\"]",
            "Projects that every backend is to have, whether one has them already or not.",
        ),
        key("timeout", Form::Duration, "5m", "10m", "Longest time of one call."),
        CA_FILE,
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};

pub(super) const REFRESH: Table = Table {
    of: "`refresh`",
    fields: &[
        key(
            "requests",
            Form::OneOrMore(&Form::Either(&[Form::Text, Form::Object(&STEP)])),
            "required",
            "[\"https://maps.example/a\", { url: \"https://maps.example/b\", retries: 2 }]",
            "Addresses, or calls with the keys of a step of `http`; one text holds several addresses, separated by blanks.",
        ),
        LOGIN,
        HEADERS,
        STEP_TIMEOUT,
        STEP_EXPECT,
        RETRIES,
        BACKOFF,
        key("parallel", Form::Integer(1, 1000), "4", "16", "How many requests go on at once."),
        key(
            "per_second",
            Form::Integer(1, 10_000),
            "–",
            "5",
            "How many requests begin in a second at most, further tries included.",
        ),
        key(
            "soft_ttl",
            Form::Duration,
            "–",
            "12h",
            "From this age on an entry of the cache is stale. The schedule is held against it when the file is read.",
        ),
        key(
            "hard_ttl",
            Form::Duration,
            "–",
            "24h",
            "At this age an entry is gone; twice `soft_ttl` or more forgives a schedule with longer gaps.",
        ),
        CA_FILE,
        CLIENT_CERTIFICATE,
        INSECURE,
        REDIRECTS,
        DRY_RUN,
    ],
    is_service: false,
    later: &[],
};
