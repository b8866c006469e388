//! Containers and images with everything that lists for people show.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use bollard::models::{ContainerSummary, EventMessage, PortSummary};
use bollard::query_parameters::{EventsOptions, ListContainersOptions, ListVolumesOptions};
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};

use super::Engine;
use super::list::container;
use crate::plan::labels;
use crate::plan::observed::Container;

/// A container with what only lists show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The container.
    pub container: Container,
    /// Its image as it was asked for.
    pub image: String,
    /// Entry point and command in one line.
    pub command: String,
    /// Its ports, by number in the container.
    pub ports: Vec<PublishedPort>,
    /// Names of volumes, sources of binds.
    pub mounts: Vec<String>,
    /// How many of them are volumes of this host.
    pub local_volumes: usize,
}

/// A port of a container, published or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// Port in the container.
    pub target: u16,
    /// Address on the host; empty where it is not published.
    pub address: String,
    /// Port on the host; 0 where it is not published.
    pub published: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A volume with what only lists show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedVolume {
    /// Its name on the Engine.
    pub name: String,
    /// What keeps it.
    pub driver: String,
    /// Where it lies on the host.
    pub mountpoint: String,
    /// `local`, or `global` where all nodes of a swarm have it.
    pub scope: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What an image is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageFacts {
    /// Full id.
    pub id: String,
    /// `repository:tag` of its first name; empty where it has none.
    pub reference: String,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// Size in bytes.
    pub size: i64,
    /// When it last got a name, RFC 3339.
    pub tagged: Option<String>,
}

/// Something that happened on the Engine, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineEvent {
    /// When, nanoseconds since the Unix epoch.
    pub nanoseconds: i64,
    /// What, e.g. `die`.
    pub action: String,
    /// Id of the container.
    pub id: String,
    /// Labels of the container, and what belongs to the action.
    pub attributes: BTreeMap<String, String>,
}

impl Engine {
    /// Containers of one project, or of all projects, in every state, by name.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn listed(&self, project: Option<&str>) -> Result<Vec<Listed>> {
        // Containers without the hash are nobody's that Compose knows.
        let label = match project {
            Some(name) => format!("{}={name}", labels::PROJECT),
            None => labels::PROJECT.to_owned(),
        };
        let wanted = vec![label, labels::CONFIG_HASH.to_owned()];
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let found = self.docker()?.list_containers(Some(options)).await;
        let mut all: Vec<_> = found.context("list containers")?.into_iter().map(listed).collect();
        all.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        Ok(all)
    }

    /// Volumes of one project, by name.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn volumes_of(&self, project: &str) -> Result<Vec<ListedVolume>> {
        let label = format!("{}={project}", labels::PROJECT);
        let filters = Some(HashMap::from([("label".to_owned(), vec![label])]));
        let found = self.docker()?.list_volumes(Some(ListVolumesOptions { filters })).await;
        let volume = |it: bollard::models::Volume| ListedVolume {
            name: it.name,
            driver: it.driver,
            mountpoint: it.mountpoint,
            scope: it.scope.map(|it| it.to_string()).unwrap_or_default(),
            labels: it.labels.into_iter().collect(),
        };
        let found = found.context("list volumes")?.volumes.unwrap_or_default();
        let mut all: Vec<_> = found.into_iter().map(volume).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Looks at an image.
    ///
    /// # Errors
    ///
    /// When there is no such image.
    pub async fn image_facts(&self, id: &str) -> Result<ImageFacts> {
        let image = self.docker()?.inspect_image(id).await;
        let image = image.with_context(|| format!("inspect image `{id}`"))?;
        let platform = [image.os, image.architecture, image.variant];
        let platform: Vec<String> =
            platform.into_iter().flatten().filter(|it| !it.is_empty()).collect();
        Ok(ImageFacts {
            id: image.id.unwrap_or_default(),
            reference: image.repo_tags.unwrap_or_default().into_iter().next().unwrap_or_default(),
            platform: platform.join("/"),
            size: image.size.unwrap_or_default(),
            tagged: image.metadata.and_then(|it| it.last_tag_time),
        })
    }

    /// Marks those of a project's containers that ended with exit code 0 because they were stopped, and
    /// not by themselves. The Engine remembers its last 256 events, and none from before its start.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn mark_stopped(
        &self,
        project: &str,
        containers: &mut [Container],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let ended = containers.iter().filter(|it| it.is_done() && !it.is_oneoff());
        let Some(since) = ended.map(|it| it.created).min() else { return Ok(()) };
        // To the nanosecond: what happened in this second counts, and nobody waits for its end.
        let until = Some(format!("{}.{:09}", now.timestamp(), now.timestamp_subsec_nanos()));
        let events = self.project_events(project, Some(since.to_string()), until)?;
        let mut events = std::pin::pin!(events);
        let mut stopped = BTreeSet::new();
        while let Some(event) = events.next().await {
            let EngineEvent { action, id, .. } = event?;
            match action.as_str() {
                "stop" => drop(stopped.insert(id)),
                "start" => drop(stopped.remove(&id)),
                _ => {}
            }
        }
        for container in containers {
            container.was_stopped = stopped.contains(&container.id);
        }
        Ok(())
    }

    /// What happens to the containers of a project: from `since` on, up to `until`, both in seconds
    /// since the Unix epoch, with or without a fraction.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached; what it refuses comes in the stream.
    pub fn project_events(
        &self,
        project: &str,
        since: Option<String>,
        until: Option<String>,
    ) -> Result<impl Stream<Item = Result<EngineEvent>> + Send + use<>> {
        let label = format!("{}={project}", labels::PROJECT);
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![label]),
        ]);
        let options = EventsOptions { since, until, filters: Some(filters) };
        let stream = self.docker()?.clone().events(Some(options));
        Ok(stream.map(|message| Ok(event(message.context("read the Engine's events")?))))
    }
}

fn event(message: EventMessage) -> EngineEvent {
    let actor = message.actor.unwrap_or_default();
    EngineEvent {
        nanoseconds: message.time_nano.unwrap_or_default(),
        action: message.action.unwrap_or_default(),
        id: actor.id.unwrap_or_default(),
        attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
    }
}

fn listed(summary: ContainerSummary) -> Listed {
    let mounts = summary.mounts.clone().unwrap_or_default();
    let name = |mount: &bollard::models::MountPoint| {
        mount.name.clone().filter(|it| !it.is_empty()).or_else(|| mount.source.clone())
    };
    let mut ports: Vec<_> = summary.ports.iter().flatten().map(port).collect();
    ports.sort();
    Listed {
        image: summary.image.clone().unwrap_or_default(),
        command: summary.command.clone().unwrap_or_default(),
        ports,
        local_volumes: mounts.iter().filter(|it| it.driver.as_deref() == Some("local")).count(),
        mounts: mounts.iter().filter_map(name).collect(),
        container: container(summary),
    }
}

fn port(port: &PortSummary) -> PublishedPort {
    PublishedPort {
        target: port.private_port,
        address: port.ip.clone().unwrap_or_default(),
        published: port.public_port.unwrap_or_default(),
        protocol: port.typ.map(|it| it.to_string()).unwrap_or_default(),
    }
}
