//! Observed state: what four list calls to the Engine said at the start of a run.

use std::collections::{BTreeMap, BTreeSet};

use super::labels;
use super::rivals::Claim;
use crate::image::Identity;

/// Everything the plan of one project looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Containers that carry the project's label, in every state.
    pub containers: Vec<Container>,
    /// All networks of the Engine.
    pub networks: Vec<Resource>,
    /// All volumes of the Engine.
    pub volumes: Vec<Resource>,
    /// Image id by every reference that names it, tags and digests, in familiar form.
    pub images: BTreeMap<String, Identity>,
}

/// A container of the project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Id of the image it was made from.
    pub image_id: String,
    /// Life cycle state.
    pub state: State,
    /// Health, where it has a health check.
    pub health: Option<Health>,
    /// Exit code, once it has exited.
    pub exit_code: Option<i64>,
    /// The Engine's own words, e.g. `Up 2 hours (healthy)`.
    pub status: String,
    /// Creation time, seconds since the Unix epoch.
    pub created: i64,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Networks it is attached to: name to id.
    pub networks: BTreeMap<String, String>,
    /// Names of volumes it mounts.
    pub volumes: BTreeSet<String>,
    /// Anonymous volumes it mounts: target to name.
    pub anonymous_volumes: BTreeMap<String, String>,
    /// What it mounts for writing: names of volumes, and paths of the host.
    pub writes: BTreeSet<String>,
    /// True for the container that we run in: no plan may take it away from under itself.
    pub is_ourselves: bool,
    /// True where it ended because somebody stopped it, as far as the Engine remembers.
    pub was_stopped: bool,
    /// What nobody else can have while it runs: ports of the host, addresses.
    pub claims: BTreeSet<Claim>,
    /// Published ports as people write them, e.g. `0.0.0.0:8080->80/tcp`.
    pub ports: Vec<String>,
}

impl Container {
    /// The Compose service it belongs to.
    pub fn service(&self) -> &str {
        self.label(labels::SERVICE)
    }

    /// Its number in the service, from 1; 0 where the label is missing.
    pub fn number(&self) -> u32 {
        self.label(labels::CONTAINER_NUMBER).parse().unwrap_or(0)
    }

    /// True for containers of `compose run`, which no plan touches.
    pub fn is_oneoff(&self) -> bool {
        self.label(labels::ONEOFF).eq_ignore_ascii_case("true")
    }

    /// Id of the container it was made to replace.
    pub fn replaces(&self) -> Option<&str> {
        self.labels.get(labels::REPLACES).map(String::as_str)
    }

    /// The value of a label; empty where it is missing.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// True when it runs and its health check, if any, has not given up on it.
    pub fn is_up(&self) -> bool {
        self.state == State::Running && self.health != Some(Health::Unhealthy)
    }

    /// True when it ended by itself with success and its restart policy leaves it there.
    pub fn is_done(&self) -> bool {
        self.state == State::Exited && self.exit_code == Some(0) && !self.was_stopped
    }
}

/// Life cycle state of a container, in the Engine's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Made, never started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Between two attempts of its restart policy.
    Restarting,
    /// Going away.
    Removing,
    /// Ended.
    Exited,
    /// Half removed by the Engine.
    Dead,
}

impl State {
    /// The state the Engine calls `word`; `None` for a word we do not know.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "created" => Self::Created,
            "running" | "stopping" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" => Self::Exited,
            "dead" => Self::Dead,
            _ => return None,
        })
    }

    /// Whether there is a process: one that runs, is frozen, or is about to be started again.
    pub fn lives(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    /// The Engine's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// Verdict of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No verdict yet.
    Starting,
    /// Well.
    Healthy,
    /// Failed too often in a row.
    Unhealthy,
}

impl Health {
    /// The word people know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The health in a list item's status text, which is where Engines before API 1.52 put it.
    pub fn from_status(status: &str) -> Option<Self> {
        let (_, rest) = status.rsplit_once('(')?;
        match rest.trim_end_matches(')') {
            "healthy" => Some(Self::Healthy),
            "unhealthy" => Some(Self::Unhealthy),
            "health: starting" => Some(Self::Starting),
            _ => None,
        }
    }
}

/// The exit code in a list item's status text, e.g. `Exited (137) 2 hours ago`.
pub fn exit_code_from_status(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (")?;
    rest.split_once(')')?.0.parse().ok()
}

/// A network or a volume of the Engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Id; the name again for volumes.
    pub id: String,
    /// Name.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// An image reference in familiar form with a tag: `docker.io/library/nginx` is `nginx:latest`.
///
impl Observed {
    /// Whether an image is the one with this digest in its registry.
    pub fn has_digest(&self, image: &str, digest: &str) -> bool {
        let repository = familiar(image);
        let name = repository.split_once('@').map_or(without_tag(&repository), |(name, _)| name);
        let Some(here) = self.images.get(&repository) else { return false };
        // The containerd store names an image by its digest, and of two repositories it may tell one only.
        here.id == digest || self.images.get(&format!("{name}@{digest}")) == Some(here)
    }
}

/// The Engine lists images this way (distribution/reference `FamiliarName`).
pub fn familiar(reference: &str) -> String {
    let short = reference
        .strip_prefix("docker.io/")
        .or_else(|| reference.strip_prefix("index.docker.io/"))
        .unwrap_or(reference);
    let short = short.strip_prefix("library/").unwrap_or(short);
    if short.contains('@') || short.starts_with("sha256:") {
        // `name:tag@digest` is listed as `name@digest`.
        let Some((name, digest)) = short.split_once('@') else { return short.to_owned() };
        return format!("{}@{digest}", without_tag(name));
    }
    if without_tag(short).len() < short.len() {
        short.to_owned()
    } else {
        format!("{short}:latest")
    }
}

/// The reference before its tag; a colon left of the last slash is a registry's port.
fn without_tag(reference: &str) -> &str {
    crate::image::name_and_tag(reference).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_one_familiar_form() {
        for (reference, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("docker.io/library/nginx", "nginx:latest"),
            ("docker.io/grafana/loki:3", "grafana/loki:3"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("localhost:5000/app:2", "localhost:5000/app:2"),
            ("app:1@sha256:abc", "app@sha256:abc"),
            ("sha256:abc", "sha256:abc"),
        ] {
            assert_eq!(familiar(reference), expected, "{reference}");
        }
    }

    #[test]
    fn an_image_has_the_digest_it_was_pulled_by() {
        let identity = |id: &str| Identity { id: id.to_owned(), ..Identity::default() };
        let images = [
            ("app:1", "new"),
            ("app@sha256:a", "old"),
            ("app@sha256:b", "new"),
            ("h:5/app:latest", "new"),
            ("h:5/app@sha256:c", "new"),
        ];
        let images = images.map(|(name, id)| (name.to_owned(), identity(id))).into();
        let observed = Observed { images, ..Observed::default() };
        for (image, digest, expected) in [
            ("app:1", "sha256:b", true),
            ("docker.io/library/app:1", "sha256:b", true),
            ("app:1", "sha256:a", false),
            ("app:1", "sha256:c", false),
            ("app:2", "sha256:b", false),
            ("h:5/app", "sha256:c", true),
            ("app:1@sha256:b", "sha256:b", true),
            ("app:1", "new", true),
        ] {
            assert_eq!(observed.has_digest(image, digest), expected, "{image} {digest}");
        }
    }

    #[test]
    fn health_and_exit_code_are_read_from_the_status_text() {
        for (status, health, exit_code) in [
            ("Up 2 hours", None, None),
            ("Up 2 hours (healthy)", Some(Health::Healthy), None),
            ("Up 1 second (health: starting)", Some(Health::Starting), None),
            ("Up 2 minutes (unhealthy)", Some(Health::Unhealthy), None),
            ("Up 2 minutes (Paused)", None, None),
            ("Exited (137) 4 seconds ago", None, Some(137)),
            ("Exited (0) 4 seconds ago", None, Some(0)),
            ("Created", None, None),
        ] {
            assert_eq!(Health::from_status(status), health, "{status}");
            assert_eq!(exit_code_from_status(status), exit_code, "{status}");
        }
    }
}
