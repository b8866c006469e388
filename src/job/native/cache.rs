//! Reads `cache_sync` and `refresh`.

use std::path::PathBuf;
use std::time::Duration;

use super::Reader;
use super::fields::{self, Fields, scalar_of};
use super::housekeeping::each_word;
use super::http::{STEP_TIMEOUT, checked_url, connection, expect, login, step};
use super::tables_of_cache::{CACHE_SYNC, DIALECTS, REFRESH};
use super::tables_of_http::STEP;
use crate::compose::model::Hidden;
use crate::compose::yaml::Node;
use crate::job::work::{CacheDialect, CacheSync, Pools, Refresh, Step, Token};
use crate::problem::Problem;

/// Longest time of one call to a server of caches where nothing is said: it loads projects meanwhile.
const CALL_TIMEOUT: Duration = Duration::from_mins(5);
/// Requests that go on at once where nothing is said.
const PARALLEL: usize = 4;

/// Reads `cache_sync`.
pub(super) fn cache_sync(node: &Node, reader: &mut Reader<'_>) -> Option<CacheSync> {
    let fields = fields::open(node, &CACHE_SYNC, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let url = fields.required("url", node, "http://qjazz-admin:9871", problems);
    let url = url.and_then(|url| checked_url(&url, fields.node("url").unwrap_or(node), problems));
    let dialect = match fields.word("dialect", DIALECTS, problems) {
        Some("v1") => CacheDialect::V1,
        Some("map") => CacheDialect::Map,
        _ => CacheDialect::Auto,
    };
    let require_all_backends = fields.boolean("require_all_backends", problems);
    if let (CacheDialect::Map, Some(true), Some(place)) =
        (dialect, require_all_backends, fields.node("require_all_backends"))
    {
        let message = "the map server does not say which backend has what: that all have it cannot be \
                       proven, and runs say `in_sync: unknown`";
        problems.push(place.problem(message).as_warning());
    }
    Some(CacheSync {
        url: url?,
        pools: pools(&fields, problems),
        dialect,
        token: token(&fields, problems),
        rescan_backends: fields.boolean("rescan_backends", problems).unwrap_or(true),
        require_all_backends: require_all_backends.unwrap_or(true),
        pull: each_word("pull", &fields, problems, |word| Ok(word.to_owned())),
        timeout: fields.duration("timeout", problems).unwrap_or(CALL_TIMEOUT),
        ca_file: fields.plain("ca_file", problems).map(PathBuf::from),
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
}

fn pools(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Pools {
    let named = each_word("pools", fields, problems, |word| {
        let letters = word.chars().all(|it| it.is_ascii_alphanumeric() || "._~/-".contains(it));
        if letters && word.split('/').all(|part| !matches!(part, "." | "..")) {
            return Ok(word.to_owned());
        }
        Err(format!(
            "`{word}` is no label of a pool and no route: letters, digits, `.`, `_`, `-`, `/`"
        ))
    });
    if named.iter().any(|word| word == "all") {
        if named.len() > 1 {
            let place = fields.node("pools");
            let message = "`pools` is `all`, or names some, not both";
            problems.extend(place.map(|place| place.problem(message)));
        }
        return Pools::All;
    }
    if named.is_empty() { Pools::All } else { Pools::Named(named) }
}

fn token(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Token> {
    let value = fields.plain("token", problems).map(|it| Token::Value(Hidden::new(it)));
    let file = fields.plain("token_file", problems).map(|it| Token::File(PathBuf::from(it.trim())));
    if value.is_some()
        && file.is_some()
        && let Some(place) = fields.node("token_file")
    {
        problems.push(place.problem("there is a `token` or a `token_file`, not both"));
    }
    value.or(file)
}

/// Reads `refresh`.
pub(super) fn refresh(node: &Node, reader: &mut Reader<'_>) -> Option<Refresh> {
    let fields = fields::open(node, &REFRESH, &mut reader.problems)?;
    let problems = &mut reader.problems;
    let retries = fields.integer("retries", (0, 100), problems).unwrap_or(0);
    let usual = Step {
        name: None,
        method: "GET".to_owned(),
        url: Hidden::new(String::new()),
        headers: fields.hidden_mapping("headers", problems),
        body: None,
        timeout: fields.duration("timeout", problems).unwrap_or(STEP_TIMEOUT),
        expect: expect(&fields, problems),
        retries: u32::try_from(retries).unwrap_or(0),
        backoff: fields.duration("backoff", problems).unwrap_or(Duration::from_secs(1)),
    };
    let mut requests = Vec::new();
    let before = problems.len();
    for item in fields.items("requests") {
        if item.as_mapping().is_some() {
            requests.extend(request(item, &usual, problems));
            continue;
        }
        let text = scalar_of("requests", item, problems).unwrap_or_default();
        for word in text.split_whitespace() {
            let url = checked_url(word, item, problems);
            requests.extend(url.map(|url| Step { url, ..usual.clone() }));
        }
    }
    if requests.is_empty() && problems.len() == before {
        fields.lacks("requests", node, "https://maps.example/tiles", problems);
    }
    let (soft_ttl, hard_ttl) =
        (fields.duration("soft_ttl", problems), fields.duration("hard_ttl", problems));
    if let (Some(soft), Some(hard), Some(place)) = (soft_ttl, hard_ttl, fields.node("hard_ttl"))
        && hard < soft
    {
        problems.push(place.problem("`hard_ttl` is shorter than `soft_ttl`"));
    }
    Some(Refresh {
        login: login(&fields, problems),
        requests,
        parallel: fields.count("parallel", (1, 1000), problems).unwrap_or(PARALLEL),
        per_second: fields.count("per_second", (1, 10_000), problems),
        soft_ttl,
        hard_ttl,
        connection: connection(&fields, problems),
        dry_run: fields.boolean("dry_run", problems).unwrap_or(false),
    })
    .filter(|it| !it.requests.is_empty())
}

/// A request with keys of its own; what it does not say is as for all.
fn request(item: &Node, usual: &Step, problems: &mut Vec<Problem>) -> Option<Step> {
    let fields = fields::open(item, &STEP, problems)?;
    let own = step(item, &fields, problems)?;
    let says = |name: &str| fields.node(name).is_some();
    let mut headers = usual.headers.clone();
    headers.extend(own.headers);
    Some(Step {
        headers,
        timeout: if says("timeout") { own.timeout } else { usual.timeout },
        expect: if says("expect") { own.expect } else { usual.expect.clone() },
        retries: if says("retries") { own.retries } else { usual.retries },
        backoff: if says("backoff") { own.backoff } else { usual.backoff },
        ..own
    })
}
