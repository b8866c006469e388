//! How a service runs: order, limits, restarts, health, logging.

use std::collections::BTreeMap;

use super::{At, Decoder};
use crate::compose::model::{Condition, Dependency, Healthcheck, Logging, PullPolicy, Ulimit};
use crate::compose::units;
use crate::compose::yaml::Value;

const ULIMIT_KEYS: &[&str] = &["soft", "hard"];

const LOGGING_KEYS: &[&str] = &["driver", "options"];

const HEALTH_KEYS: &[&str] =
    &["test", "timeout", "interval", "retries", "start_period", "start_interval", "disable"];

const PULL_POLICIES: &[&str] =
    &["always", "never", "missing", "if_not_present", "build", "refresh", "daily", "weekly"];

const DEPENDENCY_KEYS: &[&str] = &["condition", "restart", "required"];

pub(super) fn depends_on(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Dependency> {
    let started = || Dependency { condition: Condition::Started, restart: false, required: true };
    let mut dependencies = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(_) => {
            dependencies
                .extend(decoder.distinct_strings(at).into_iter().map(|name| (name, started())));
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let dependency = dependency(decoder, at.key(key, node), started());
                dependencies.insert(key.name.clone(), dependency);
            }
        }
        _ => decoder.wrong(at, "a list of services or a mapping"),
    }
    dependencies
}

pub(super) fn dependency(
    decoder: &mut Decoder,
    at: At<'_>,
    mut dependency: Dependency,
) -> Dependency {
    let words: [(&str, Condition); 3] =
        [Condition::Started, Condition::Healthy, Condition::CompletedSuccessfully]
            .map(|condition| (condition.as_str(), condition));
    let entries = decoder.mapping(at);
    for (key, node) in entries {
        let field = at.key(key, node);
        match key.name.as_str() {
            "condition" => {
                let word = decoder.word(field, &words.map(|(word, _)| word));
                let found = words.iter().find(|(known, _)| word.as_deref() == Some(known));
                dependency.condition =
                    found.map_or(Condition::Started, |(_, condition)| *condition);
            }
            "restart" => dependency.restart = decoder.boolean(field).unwrap_or_default(),
            "required" => dependency.required = decoder.strict_boolean(field).unwrap_or(true),
            _ => decoder.unknown(at, key, DEPENDENCY_KEYS),
        }
    }
    if at.node.as_mapping().is_some() && at.node.get("condition").is_none() {
        decoder.refuse(at, "has no `condition`: expected e.g. `service_started`");
    }
    dependency
}

pub(super) fn healthcheck(decoder: &mut Decoder, at: At<'_>) -> Healthcheck {
    let mut healthcheck = Healthcheck::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "test" => healthcheck.test = health_test(decoder, field),
            "timeout" => healthcheck.timeout = decoder.duration(field),
            "interval" => healthcheck.interval = decoder.duration(field),
            "retries" => {
                let retries = decoder.number(field);
                healthcheck.retries =
                    retries.and_then(|it| decoder.within(field, it, "a number of attempts"));
            }
            "start_period" => healthcheck.start_period = decoder.duration(field),
            "start_interval" => healthcheck.start_interval = decoder.duration(field),
            "disable" => healthcheck.disable = decoder.boolean(field).unwrap_or_default(),
            _ => decoder.unknown(at, key, HEALTH_KEYS),
        }
    }
    healthcheck
}

pub(super) fn health_test(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    match &at.node.value {
        Value::String(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
        Value::Sequence(_) => {
            let test = decoder.strings(at);
            let known = |word: &String| matches!(word.as_str(), "CMD" | "CMD-SHELL" | "NONE");
            if let Some(first) = test.first().filter(|first| !known(first)) {
                decoder.refuse(
                    at,
                    format!("starts with `{first}`: expected `CMD`, `CMD-SHELL` or `NONE`"),
                );
            }
            test
        }
        _ => {
            decoder.wrong(at, "a string or a list of strings");
            Vec::new()
        }
    }
}

pub(super) fn logging(decoder: &mut Decoder, at: At<'_>) -> Logging {
    let mut logging = Logging::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "driver" => logging.driver = decoder.text(field),
            "options" => logging.options = decoder.nullable_options(field),
            _ => decoder.unknown(at, key, LOGGING_KEYS),
        }
    }
    logging
}

pub(super) fn restart(decoder: &mut Decoder, at: At<'_>) -> Option<String> {
    let text = decoder.text(at)?;
    let attempts = text.strip_prefix("on-failure:");
    let counted = attempts.is_some_and(|attempts| attempts.parse::<u32>().is_ok());
    if counted || matches!(text.as_str(), "no" | "always" | "on-failure" | "unless-stopped") {
        return Some(text);
    }
    decoder.refuse(
        at,
        format!(
            "is `{text}`: expected `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`"
        ),
    );
    None
}

pub(super) fn ulimits(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Ulimit> {
    limits(decoder, at, Decoder::integer)
}

/// Reads the `ulimits` of a build, where compose takes no strings.
pub(super) fn strict_ulimits(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Ulimit> {
    limits(decoder, at, Decoder::strict_integer)
}

type ReadLimit = fn(&mut Decoder, At<'_>) -> Option<i64>;

fn limits(decoder: &mut Decoder, at: At<'_>, read: ReadLimit) -> BTreeMap<String, Ulimit> {
    let mut ulimits = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        let ulimit = match &node.value {
            Value::Mapping(_) => ulimit(decoder, field, read),
            _ => limit(decoder, field, read).map(|limit| Ulimit {
                single: true,
                soft: limit,
                hard: limit,
            }),
        };
        ulimits.extend(ulimit.map(|ulimit| (key.name.clone(), ulimit)));
    }
    ulimits
}

/// A limit; compose takes no number with a point or an exponent, not even a whole one.
fn limit(decoder: &mut Decoder, at: At<'_>, read: ReadLimit) -> Option<i64> {
    if let Value::Float(value) = at.node.value {
        decoder.refuse_form(at, format!("is `{value}`: expected a whole number"));
        return None;
    }
    read(decoder, at)
}

fn ulimit(decoder: &mut Decoder, at: At<'_>, read: ReadLimit) -> Option<Ulimit> {
    let (mut soft, mut hard) = (None, None);
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            // The schema takes any text.
            "soft" | "hard" if decoder.kinds_only && node.as_str().is_some() => {}
            "soft" => soft = Some(limit(decoder, field, read)?),
            "hard" => hard = Some(limit(decoder, field, read)?),
            _ => decoder.unknown(at, key, ULIMIT_KEYS),
        }
    }
    let (Some(soft), Some(hard)) = (soft, hard) else {
        decoder.refuse(at, "needs both `soft` and `hard`");
        return None;
    };
    Some(Ulimit { single: false, soft, hard })
}

pub(super) fn pull_policy(decoder: &mut Decoder, at: At<'_>) -> PullPolicy {
    let text = at.node.as_str().unwrap_or_default();
    if let Some(written) = text.strip_prefix("every_") {
        return every(decoder, at, written);
    }
    let word = decoder.word(at, PULL_POLICIES);
    match word.as_deref() {
        Some("always") => PullPolicy::Always,
        Some("never") => PullPolicy::Never,
        Some("build") => PullPolicy::Build,
        Some("refresh") => PullPolicy::Refresh,
        Some("daily") => PullPolicy::Daily,
        Some("weekly") => PullPolicy::Weekly,
        Some("if_not_present") => PullPolicy::IfNotPresent,
        Some(_) => PullPolicy::Missing,
        None => PullPolicy::Unset,
    }
}

/// Compose wants a number without a fraction first.
fn starts_whole(written: &str) -> bool {
    let rest = written.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < written.len() && rest.starts_with(['w', 'd', 'h', 'm', 's'])
}

fn every(decoder: &mut Decoder, at: At<'_>, written: &str) -> PullPolicy {
    match units::duration(written) {
        Ok(interval) if starts_whole(written) => {
            PullPolicy::Every { written: written.to_owned(), interval }
        }
        _ => {
            decoder.refuse_form(
                at,
                format!(
                    "is `every_{written}`: expected a duration, e.g. `every_12h` or `every_3d`"
                ),
            );
            PullPolicy::Unset
        }
    }
}
