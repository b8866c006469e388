//! How a service runs: order, replicas, resources, restarts, health, logging.

use std::collections::BTreeMap;

use super::{At, Decoder};
use crate::compose::model::{
    Condition, Dependency, Deploy, Healthcheck, Logging, PullPolicy, Resources, RestartPolicy,
    Ulimit,
};
use crate::compose::yaml::Value;

const ULIMIT_KEYS: &[&str] = &["soft", "hard"];

const LOGGING_KEYS: &[&str] = &["driver", "options"];

const HEALTH_KEYS: &[&str] =
    &["test", "timeout", "interval", "retries", "start_period", "start_interval", "disable"];

const DEPENDENCY_KEYS: &[&str] = &["condition", "restart", "required"];

const RESTART_KEYS: &[&str] = &["condition", "delay", "max_attempts", "window"];

const RESOURCE_LATER: &[&str] = &["devices", "generic_resources"];

const RESOURCE_KEYS: &[&str] = &["cpus", "memory", "pids"];

const DEPLOY_LATER: &[&str] = &["update_config", "rollback_config", "placement", "endpoint_mode"];

const DEPLOY_KEYS: &[&str] = &["mode", "replicas", "labels", "resources", "restart_policy"];

pub(super) fn depends_on(decoder: &mut Decoder, at: At<'_>) -> BTreeMap<String, Dependency> {
    let started = || Dependency { condition: Condition::Started, restart: false, required: true };
    let mut dependencies = BTreeMap::new();
    match &at.node.value {
        Value::Sequence(_) => {
            dependencies
                .extend(decoder.unique_strings(at).into_iter().map(|name| (name, started())));
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
            "required" => dependency.required = decoder.boolean(field).unwrap_or(true),
            _ => decoder.unknown(at, key, DEPENDENCY_KEYS, &[]),
        }
    }
    if at.node.as_mapping().is_some() && at.node.get("condition").is_none() {
        decoder.refuse(at, "has no `condition`: expected e.g. `service_started`");
    }
    dependency
}

pub(super) fn deploy(decoder: &mut Decoder, at: At<'_>) -> Option<Deploy> {
    if at.node.is_null() {
        return None;
    }
    let mut deploy = Deploy::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "mode" => deploy.mode = decoder.word(field, &["replicated", "global"]),
            "replicas" => {
                deploy.replicas = decoder.integer_within(field, "a number of containers");
            }
            "labels" => deploy.labels = decoder.labels(field),
            "resources" => {
                for (key, node) in decoder.mapping(field) {
                    let side = field.key(key, node);
                    match key.name.as_str() {
                        "limits" => deploy.limits = Some(resources(decoder, side)),
                        "reservations" => deploy.reservations = Some(resources(decoder, side)),
                        _ => decoder.unknown(field, key, &["limits", "reservations"], &[]),
                    }
                }
            }
            "restart_policy" => deploy.restart_policy = Some(restart_policy(decoder, field)),
            _ => decoder.unknown(at, key, DEPLOY_KEYS, DEPLOY_LATER),
        }
    }
    Some(deploy)
}

pub(super) fn resources(decoder: &mut Decoder, at: At<'_>) -> Resources {
    let mut resources = Resources::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "cpus" => resources.cpus = decoder.cpus(field),
            "memory" => resources.memory = decoder.bytes(field).filter(|bytes| *bytes != 0),
            "pids" => resources.pids = decoder.integer(field).filter(|pids| *pids != 0),
            _ => decoder.unknown(at, key, RESOURCE_KEYS, RESOURCE_LATER),
        }
    }
    resources
}

pub(super) fn restart_policy(decoder: &mut Decoder, at: At<'_>) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "condition" => {
                policy.condition = decoder.word(field, &["none", "on-failure", "any"]);
            }
            "delay" => policy.delay = decoder.duration(field),
            "max_attempts" => {
                policy.max_attempts = decoder.integer_within(field, "a number of attempts");
            }
            "window" => policy.window = decoder.duration(field),
            _ => decoder.unknown(at, key, RESTART_KEYS, &[]),
        }
    }
    policy
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
                healthcheck.retries = decoder.integer_within(field, "a number of attempts");
            }
            "start_period" => healthcheck.start_period = decoder.duration(field),
            "start_interval" => healthcheck.start_interval = decoder.duration(field),
            "disable" => healthcheck.disable = decoder.boolean(field).unwrap_or_default(),
            _ => decoder.unknown(at, key, HEALTH_KEYS, &[]),
        }
    }
    healthcheck
}

pub(super) fn health_test(decoder: &mut Decoder, at: At<'_>) -> Vec<String> {
    match &at.node.value {
        Value::Null => Vec::new(),
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
            "options" => logging.options = decoder.options(field),
            _ => decoder.unknown(at, key, LOGGING_KEYS, &[]),
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
    let mut ulimits = BTreeMap::new();
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        let ulimit = match &node.value {
            Value::Mapping(_) => ulimit(decoder, field),
            _ => decoder.integer(field).map(|limit| Ulimit {
                single: true,
                soft: limit,
                hard: limit,
            }),
        };
        ulimits.extend(ulimit.map(|ulimit| (key.name.clone(), ulimit)));
    }
    ulimits
}

pub(super) fn ulimit(decoder: &mut Decoder, at: At<'_>) -> Option<Ulimit> {
    let (mut soft, mut hard) = (None, None);
    for (key, node) in decoder.mapping(at) {
        let field = at.key(key, node);
        match key.name.as_str() {
            "soft" => soft = Some(decoder.integer(field)?),
            "hard" => hard = Some(decoder.integer(field)?),
            _ => decoder.unknown(at, key, ULIMIT_KEYS, &[]),
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
    let timed = matches!(text, "build" | "refresh" | "daily" | "weekly");
    if timed || text.starts_with("every_") {
        decoder.refuse(at, format!("is `{text}`, which is not supported yet"));
        return PullPolicy::Missing;
    }
    match decoder.word(at, &["always", "never", "missing", "if_not_present"]).as_deref() {
        Some("always") => PullPolicy::Always,
        Some("never") => PullPolicy::Never,
        Some(_) => PullPolicy::Missing,
        None => PullPolicy::Unset,
    }
}
