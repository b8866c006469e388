//! `compose events`.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::DateTime;
use clap::Args;
use futures_util::StreamExt;
use serde_json::json;

use super::Session;
use super::moment::{Moment, moment};
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::compose::render::compact_go_json;
use crate::docker::EngineEvent;
use crate::plan::labels;

/// What Compose's own labels begin with; they say nothing about the event.
const OWN_LABELS: &str = "com.docker.compose.";

// Arguments of `events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// From this time on: a time, or how long ago, e.g. 42m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Up to this time: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Prints what happens to the project's containers until the Engine or the reader ends it.
pub(super) async fn events(session: &Session, arguments: &Events) -> Result<u8> {
    let target = session.target_alone(&arguments.services)?;
    let json = session.output.json;
    let now = now();
    let time = |moment: Option<Moment>| moment.map(|it| it.from(now).format("%s%.9f").to_string());
    let (since, until) = (time(arguments.since), time(arguments.until));
    let events = session.engine.project_events(&target.name, since, until)?;
    let mut events = Box::pin(events);
    while let Some(event) = events.next().await {
        let event = event?;
        let attribute = |name: &str| event.attributes.get(name).map_or("", String::as_str);
        let service = attribute(labels::SERVICE).to_owned();
        let is_asked = arguments.services.is_empty() || arguments.services.contains(&service);
        if is_asked && !attribute(labels::ONEOFF).eq_ignore_ascii_case("true") {
            print(|to| writeln!(to, "{}", line(&event, &service, json)))?;
        }
    }
    Ok(0)
}

fn line(event: &EngineEvent, service: &str, as_json: bool) -> String {
    let time = DateTime::from_timestamp_nanos(event.nanoseconds);
    let attributes: BTreeMap<_, _> =
        event.attributes.iter().filter(|it| !it.0.starts_with(OWN_LABELS)).collect();
    if as_json {
        // Go leaves out zeros at the end of a fraction.
        let time = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
        let time = format!("{}Z", time.trim_end_matches('0').trim_end_matches('.'));
        return compact_go_json(&json!({
            "action": event.action, "attributes": attributes, "id": event.id,
            "service": service, "time": time, "type": "container",
        }));
    }
    let attributes: Vec<_> =
        attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let time = time.format("%Y-%m-%d %H:%M:%S%.6f");
    format!("{time} container {} {} ({})", event.action, event.id, attributes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_printed_as_docker_compose_prints_them() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let event = EngineEvent {
            nanoseconds: 1_795_241_271_715_836_241,
            action: "die".to_owned(),
            id: "380b".to_owned(),
            attributes: [
                pair("exitCode", "137"),
                pair("image", "app:1"),
                pair("com.docker.compose.service", "web"),
            ]
            .into(),
        };
        assert_eq!(
            line(&event, "web", true),
            "{\"action\":\"die\",\"attributes\":{\"exitCode\":\"137\",\"image\":\"app:1\"},\
             \"id\":\"380b\",\"service\":\"web\",\"time\":\"2026-11-21T06:07:51.715836241Z\",\
             \"type\":\"container\"}"
        );
        assert_eq!(
            line(&event, "web", false),
            "2026-11-21 06:07:51.715836 container die 380b (exitCode=137, image=app:1)"
        );
    }
}
