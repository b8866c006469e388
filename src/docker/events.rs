//! The Engine's event stream, reduced to what a deploy waits for.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};

use super::Engine;
use crate::plan::labels;

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Full id.
    pub id: String,
    /// What happened.
    pub what: What,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its process runs.
    Started,
    /// Its process ended with this exit code.
    Died(i64),
    /// Its health check says well.
    Healthy,
    /// Its health check gave up.
    Unhealthy,
    /// It was removed.
    Destroyed,
}

/// Something happened to a container, told with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedEvent {
    /// Name of the container.
    pub name: String,
    /// Compose project it belongs to.
    pub project: Option<String>,
    /// Compose service it belongs to.
    pub service: Option<String>,
    /// What happened.
    pub what: What,
    /// When, in nanoseconds since the Unix epoch.
    pub nanoseconds: i64,
}

impl Engine {
    /// Events of all containers since a time; the Engine replays what happened since then. Ends when
    /// the Engine closes the stream.
    ///
    /// # Errors
    ///
    /// When the stream cannot be opened.
    pub fn all_events(
        &self,
        since: DateTime<Utc>,
    ) -> Result<impl Stream<Item = Result<NamedEvent>> + Send + use<>> {
        self.events_as(None, since, named_event)
    }

    /// Events of the containers that carry a label, written `name=value`, since a time.
    ///
    /// The Engine replays what happened since then, so that nothing falls between a look and the
    /// stream. Ends when the Engine closes the stream; the caller then looks at the containers afresh.
    ///
    /// # Errors
    ///
    /// When the stream cannot be opened.
    pub fn events(
        &self,
        label: &str,
        since: DateTime<Utc>,
    ) -> Result<impl Stream<Item = Result<ContainerEvent>> + Send + use<>> {
        self.events_as(Some(label), since, event)
    }

    /// Events of containers, of all or of those with a label, as `reduce` makes them.
    fn events_as<T: Send + 'static>(
        &self,
        label: Option<&str>,
        since: DateTime<Utc>,
        reduce: fn(EventMessage) -> Option<T>,
    ) -> Result<impl Stream<Item = Result<T>> + Send + use<T>> {
        let mut filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        filters.extend(label.map(|label| ("label".to_owned(), vec![label.to_owned()])));
        let options = EventsOptions {
            since: Some(since.timestamp().to_string()),
            filters: Some(filters),
            until: None,
        };
        let stream = self.docker()?.clone().events(Some(options));
        Ok(stream.filter_map(move |message| async move {
            message.context("read the Engine's events").map(reduce).transpose()
        }))
    }
}

fn named_event(message: EventMessage) -> Option<NamedEvent> {
    let nanoseconds = message.time_nano.unwrap_or_default();
    let attributes = message.actor.as_ref()?.attributes.clone().unwrap_or_default();
    let what = event(message)?.what;
    let value = |name: &str| attributes.get(name).cloned();
    Some(NamedEvent {
        name: value("name").unwrap_or_default(),
        project: value(labels::PROJECT),
        service: value(labels::SERVICE),
        what,
        nanoseconds,
    })
}

fn event(message: EventMessage) -> Option<ContainerEvent> {
    let actor = message.actor?;
    let action = message.action?;
    let what = match action.as_str() {
        "start" => What::Started,
        "destroy" => What::Destroyed,
        "health_status: healthy" => What::Healthy,
        "health_status: unhealthy" => What::Unhealthy,
        "die" => {
            let attributes = actor.attributes.unwrap_or_default();
            What::Died(attributes.get("exitCode").and_then(|it| it.parse().ok()).unwrap_or(-1))
        }
        _ => return None,
    };
    Some(ContainerEvent { id: actor.id?, what })
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn events_are_reduced_to_what_a_deploy_waits_for() {
        for (action, exit_code, expected) in [
            ("start", None, Some(What::Started)),
            ("die", Some("137"), Some(What::Died(137))),
            ("die", None, Some(What::Died(-1))),
            ("die", Some("?"), Some(What::Died(-1))),
            ("health_status: healthy", None, Some(What::Healthy)),
            ("health_status: unhealthy", None, Some(What::Unhealthy)),
            ("destroy", None, Some(What::Destroyed)),
            ("create", None, None),
            ("exec_create: /bin/sh", None, None),
            ("health_status: running", None, None),
        ] {
            let attributes = exit_code.map(|code| ("exitCode".to_owned(), code.to_owned()));
            let message = EventMessage {
                action: Some(action.to_owned()),
                actor: Some(EventActor {
                    id: Some("abc".to_owned()),
                    attributes: Some(attributes.into_iter().collect()),
                }),
                ..EventMessage::default()
            };
            let found = event(message);
            assert_eq!(found.as_ref().map(|it| it.what), expected, "{action} {exit_code:?}");
            assert!(found.is_none_or(|it| it.id == "abc"));
        }
        assert_eq!(event(EventMessage::default()), None);
    }
}
