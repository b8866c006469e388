//! The plan: what to do so that observed becomes desired, or that there is nothing to do.
//!
//! Pure. A plan is so specific that `apply` has no choice left; it holds no client and no clock.

pub mod host_paths;
pub mod labels;
pub mod observed;
pub mod order;
pub mod teardown;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use self::observed::{Container, Observed, Resource, State, familiar};
use crate::compose::hash::{self, Dialect};
use crate::compose::model::{Condition, MountKind, Project, PullPolicy, Service};

/// What should be, with everything the decision needs besides the observed state.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// The project as the host sees it.
    pub project: &'a Project,
    /// Hashes that count as current.
    pub hashes: &'a Hashes,
    /// What the caller allows.
    pub options: &'a Options,
}

/// Hashes that count as current; the first of each is the one we write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// By service.
    pub services: BTreeMap<String, Vec<String>>,
    /// By key of the network.
    pub networks: BTreeMap<String, Vec<String>>,
    /// By key of the volume.
    pub volumes: BTreeMap<String, Vec<String>>,
}

impl Hashes {
    /// Hashes of a project as the host sees it, in every dialect of docker compose we know.
    pub fn of(project: &Project) -> Self {
        // The first is written: that of the docker compose our tests hold us against.
        const DIALECTS: [Dialect; 2] = [Dialect::V2_40, Dialect::V5];
        let services = project.services.iter().map(|(name, service)| {
            (name.clone(), DIALECTS.map(|it| hash::service_hash(service, it)).to_vec())
        });
        let networks = project.networks.iter();
        let volumes = project.volumes.iter();
        Self {
            services: services.collect(),
            networks: networks
                .map(|(key, it)| (key.clone(), vec![hash::network_hash(it)]))
                .collect(),
            volumes: volumes.map(|(key, it)| (key.clone(), vec![hash::volume_hash(it)])).collect(),
        }
    }

    fn service(&self, name: &str) -> &[String] {
        self.services.get(name).map_or(&[], Vec::as_slice)
    }
}

/// What the caller of a plan allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Removes containers of services that are gone from the project.
    pub remove_orphans: bool,
    /// Replaces every container, changed or not.
    pub force_recreate: bool,
    /// Looks at these services and what they depend on only; empty means all.
    pub services: BTreeSet<String>,
}

/// Ordered steps, in four phases. Empty where there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Project name.
    pub project: String,
    /// Before anything that runs is touched.
    pub prepare: Vec<Preparation>,
    /// Containers to create, replace or start, dependencies first.
    pub changes: Vec<Change>,
    /// Containers to remove once all changes are verified.
    pub removals: Vec<Removal>,
    /// Containers that are as they should be.
    pub unchanged: usize,
    /// What a person should know though it stops nothing.
    pub notes: Vec<String>,
}

/// A step that touches nothing that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Preparation {
    /// Creates a network.
    CreateNetwork {
        /// Key in the project.
        key: String,
        /// Name on the Engine.
        name: String,
    },
    /// Creates a volume.
    CreateVolume {
        /// Key in the project.
        key: String,
        /// Name on the Engine.
        name: String,
    },
    /// Pulls an image.
    PullImage {
        /// Reference as written.
        image: String,
    },
    /// Removes what an interrupted switch left.
    RemoveLeftover {
        /// Container id.
        id: String,
        /// Container name.
        name: String,
    },
}

/// One container that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Compose service.
    pub service: String,
    /// Number in the service, from 1.
    pub number: u32,
    /// The name it has in the end.
    pub name: String,
    /// What happens to it.
    pub action: Action,
    /// Why, for people.
    pub why: String,
    /// What it waits for before it starts.
    pub after: Vec<Wait>,
}

/// What happens to one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Made new.
    Create,
    /// Made new beside the old one, which is stopped, kept until the new one is well, then removed.
    Replace {
        /// The old one.
        old: Kept,
    },
    /// Started as it is.
    Start {
        /// Its id.
        id: String,
    },
    /// Given its final name: a crash came between the removal of the old one and the renaming.
    Rename {
        /// Its id.
        id: String,
    },
    /// An interrupted switch whose new container is well: the old one goes, the new one takes its name.
    Finish {
        /// The old one.
        old: Kept,
        /// Id of the new one.
        id: String,
    },
}

/// A container that stays until its replacement is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether it is to run again if the replacement fails.
    pub restart: bool,
    /// Whether it is running now.
    pub running: bool,
    /// Anonymous volumes that its replacement takes over: target to name.
    pub anonymous_volumes: BTreeMap<String, String>,
}

/// A condition on another service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The other service.
    pub service: String,
    /// What it must reach.
    #[serde(serialize_with = "condition_word")]
    pub condition: Condition,
    /// False turns a failure into a warning.
    pub required: bool,
}

fn condition_word<S: serde::Serializer>(it: &Condition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(it.as_str())
}

/// One container that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Why, for people.
    pub why: String,
}

/// The plan asks for something only a person may decide; nothing was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Vec<String>);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Refusal {}

impl Plan {
    /// True when observed is what is desired.
    pub fn is_empty(&self) -> bool {
        self.prepare.is_empty() && self.changes.is_empty() && self.removals.is_empty()
    }

    /// The images to pull first: what was pulled may change the rest of the plan.
    pub fn pulls(&self) -> impl Iterator<Item = &Preparation> {
        self.prepare.iter().filter(|step| matches!(step, Preparation::PullImage { .. }))
    }

    /// The plan once its images are there.
    #[must_use]
    pub fn without_pulls(mut self) -> Self {
        self.prepare.retain(|step| !matches!(step, Preparation::PullImage { .. }));
        self
    }

    /// One line for each thing that will happen, in order.
    pub fn lines(&self) -> Vec<String> {
        let prepare = self.prepare.iter().map(ToString::to_string);
        let changes = self.changes.iter().map(ToString::to_string);
        let removals = self.removals.iter().map(ToString::to_string);
        prepare.chain(changes).chain(removals).collect()
    }

    /// Counts in a sentence: `1 to replace, 1 to create, 48 unchanged`.
    pub fn summary(&self) -> String {
        let count = |wanted: fn(&Action) -> bool| {
            self.changes.iter().filter(|change| wanted(&change.action)).count()
        };
        let counts = [
            (count(|it| matches!(it, Action::Create)), "to create"),
            (count(|it| matches!(it, Action::Replace { .. })), "to replace"),
            (count(|it| matches!(it, Action::Start { .. })), "to start"),
            (count(|it| matches!(it, Action::Finish { .. } | Action::Rename { .. })), "to finish"),
            (self.removals.len(), "to remove"),
            (self.prepare.len(), "to prepare"),
            (self.unchanged, "unchanged"),
        ];
        let parts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let text = parts.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing to run".to_owned() } else { text }
    }
}

impl Change {
    /// True when this change is about the existing container with this id.
    pub fn touches(&self, container: &str) -> bool {
        match &self.action {
            Action::Create => false,
            Action::Replace { old } => old.id == container,
            Action::Start { id } | Action::Rename { id } => id == container,
            Action::Finish { old, id } => old.id == container || id == container,
        }
    }
}

impl fmt::Display for Preparation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork { name, .. } => write!(formatter, "create network {name}"),
            Self::CreateVolume { name, .. } => write!(formatter, "create volume {name}"),
            Self::PullImage { image } => write!(formatter, "pull image {image}"),
            Self::RemoveLeftover { name, .. } => {
                write!(formatter, "remove container {name} (left by an interrupted run)")
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match &self.action {
            Action::Create => "create",
            Action::Replace { .. } => "replace",
            Action::Start { .. } => "start",
            Action::Rename { .. } => "rename",
            Action::Finish { .. } => "finish replacing",
        };
        write!(formatter, "{verb} container {} ({})", self.name, self.why)
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "remove container {} ({})", self.name, self.why)
    }
}

/// Plans one project.
///
/// # Errors
///
/// A [`Refusal`] where going on would need a decision that only a person may take.
pub fn plan(desired: &Desired<'_>, observed: &Observed) -> Result<Plan, Refusal> {
    let project = desired.project;
    let mut plan = Plan { project: project.name.clone(), ..Plan::default() };
    let mut refusals = Vec::new();
    let selected = order::selected(project, &desired.options.services);
    plan_networks(desired, observed, &mut plan, &mut refusals);
    plan_volumes(desired, observed, &mut plan, &mut refusals);
    for name in order::dependencies_first(project) {
        if selected.contains(name) {
            let service = &project.services[name];
            plan_image(service, observed, &mut plan);
            plan_service(desired, observed, service, &mut plan);
        }
    }
    plan_orphans(desired, observed, &mut plan);
    if refusals.is_empty() { Ok(plan) } else { Err(Refusal(refusals)) }
}

fn plan_networks(
    desired: &Desired<'_>,
    observed: &Observed,
    plan: &mut Plan,
    refusals: &mut Vec<String>,
) {
    for (key, network) in &desired.project.networks {
        let existing = observed.networks.iter().find(|it| it.name == network.name);
        let missing =
            || Preparation::CreateNetwork { key: key.clone(), name: network.name.clone() };
        match existing {
            None if network.external => refusals.push(format!(
                "external network `{}` does not exist: create it with `docker network create {}`",
                network.name, network.name
            )),
            None => plan.prepare.push(missing()),
            Some(_) if network.external => {}
            Some(it) => match definition(it, labels::NETWORK, desired.hashes.networks.get(key)) {
                Definition::Same => {}
                Definition::Foreign => plan.notes.push(format!(
                    "network `{}` was not made for this project; using it as it is",
                    network.name
                )),
                Definition::Changed => refusals.push(format!(
                    "the definition of network `{}` changed and containers are attached to it: \
                     take the project down once (`roadstead compose down`), the next look makes it new",
                    network.name
                )),
            },
        }
    }
}

fn plan_volumes(
    desired: &Desired<'_>,
    observed: &Observed,
    plan: &mut Plan,
    refusals: &mut Vec<String>,
) {
    for (key, volume) in &desired.project.volumes {
        let existing = observed.volumes.iter().find(|it| it.name == volume.name);
        match existing {
            None if volume.external => refusals.push(format!(
                "external volume `{}` does not exist: create it with `docker volume create {}`",
                volume.name, volume.name
            )),
            None => plan
                .prepare
                .push(Preparation::CreateVolume { key: key.clone(), name: volume.name.clone() }),
            Some(_) if volume.external => {}
            Some(it) => match definition(it, labels::VOLUME, desired.hashes.volumes.get(key)) {
                Definition::Same => {}
                Definition::Foreign => plan.notes.push(format!(
                    "volume `{}` was not made for this project; using it as it is",
                    volume.name
                )),
                Definition::Changed => plan.notes.push(format!(
                    "the definition of volume `{}` changed; its data is kept under the old one: \
                     remove the volume by hand to have it made new",
                    volume.name
                )),
            },
        }
    }
}

/// How an existing network or volume relates to the project's definition.
enum Definition {
    Same,
    Foreign,
    Changed,
}

fn definition(it: &Resource, key_label: &str, current: Option<&Vec<String>>) -> Definition {
    if !it.labels.contains_key(key_label) {
        return Definition::Foreign;
    }
    // Versions of docker compose before 2.32 wrote no hash on networks and volumes.
    let Some(hash) = it.labels.get(labels::CONFIG_HASH) else { return Definition::Same };
    let is_current = current.is_some_and(|hashes| hashes.contains(hash));
    if is_current { Definition::Same } else { Definition::Changed }
}

fn plan_image(service: &Service, observed: &Observed, plan: &mut Plan) {
    let present = observed.images.contains_key(&familiar(&service.image));
    let wanted = match service.pull_policy {
        PullPolicy::Always => true,
        PullPolicy::Missing => !present,
        PullPolicy::Never => false,
    };
    let step = Preparation::PullImage { image: service.image.clone() };
    if wanted && service.replicas() > 0 && !plan.prepare.contains(&step) {
        plan.prepare.push(step);
    }
}

fn plan_service(desired: &Desired<'_>, observed: &Observed, service: &Service, plan: &mut Plan) {
    let mut containers: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|it| it.service() == service.name && !it.is_oneoff() && it.state != State::Removing)
        .collect();
    let after: Vec<Wait> = service
        .depends_on
        .iter()
        .map(|(name, dependency)| Wait {
            service: name.clone(),
            condition: dependency.condition,
            required: dependency.required,
        })
        .collect();
    let change = |number, name: String, action, why: String| Change {
        service: service.name.clone(),
        number,
        name,
        action,
        why,
        after: after.clone(),
    };

    let interrupted = unfinished(&containers);
    for (old, new) in &interrupted {
        if new.is_up() && difference(desired, observed, service, new).is_none() {
            let action = Action::Finish { old: kept(old, true), id: new.id.clone() };
            let why = "an interrupted run had started it".to_owned();
            plan.changes.push(change(old.number(), old.name.clone(), action, why));
            containers.retain(|it| it.id != old.id && it.id != new.id);
        } else {
            let (id, name) = (new.id.clone(), new.name.clone());
            plan.prepare.push(Preparation::RemoveLeftover { id, name });
            containers.retain(|it| it.id != new.id);
        }
    }
    let finishing = plan.changes.iter().filter(|it| it.service == service.name).count();
    let stopped_by_us: BTreeSet<&str> =
        interrupted.iter().map(|(old, _)| old.id.as_str()).collect();

    // Current ones and low numbers stay when there are too many.
    containers
        .sort_by_key(|it| (difference(desired, observed, service, it).is_some(), it.number()));
    let wanted = (service.replicas() as usize).saturating_sub(finishing);
    for excess in containers.split_off(containers.len().min(wanted)) {
        let why = format!("{} replicas wanted", service.replicas());
        plan.removals.push(Removal { id: excess.id.clone(), name: excess.name.clone(), why });
    }
    let mut last_number = containers.iter().map(|it| it.number()).max().unwrap_or(0);
    let missing = wanted - containers.len();
    for container in containers {
        let was_running = stopped_by_us.contains(container.id.as_str());
        let name = service.container_name(&desired.project.name, container.number());
        match next_action(desired, observed, service, container) {
            Some((Verb::Replace, why)) => {
                let action = Action::Replace { old: kept(container, was_running) };
                plan.changes.push(change(container.number(), name, action, why));
            }
            Some((Verb::Start, why)) => {
                let action = Action::Start { id: container.id.clone() };
                plan.changes.push(change(container.number(), container.name.clone(), action, why));
            }
            None if temporary_name(container).is_some_and(|it| it == name) => {
                let action = Action::Rename { id: container.id.clone() };
                let why = "an interrupted run left it under a temporary name".to_owned();
                plan.changes.push(change(container.number(), name, action, why));
            }
            None => plan.unchanged += 1,
        }
    }
    for _ in 0..missing {
        last_number += 1;
        let name = service.container_name(&desired.project.name, last_number);
        plan.changes.push(change(last_number, name, Action::Create, "missing".to_owned()));
    }
}

/// Pairs of (old, new) where a switch was cut short: both still exist.
fn unfinished<'a>(containers: &[&'a Container]) -> Vec<(&'a Container, &'a Container)> {
    let old_of = |new: &Container| {
        let id = new.replaces()?;
        containers.iter().find(|it| it.id == id).copied()
    };
    containers.iter().filter_map(|new| Some((old_of(new)?, *new))).collect()
}

fn kept(container: &Container, was_running: bool) -> Kept {
    let running = matches!(container.state, State::Running | State::Restarting | State::Paused);
    Kept {
        id: container.id.clone(),
        name: container.name.clone(),
        restart: running || was_running,
        running,
        anonymous_volumes: container.anonymous_volumes.clone(),
    }
}

/// The name a container has while the one it replaces still exists, as docker compose makes it.
pub fn name_beside(old_id: &str, name: &str) -> String {
    format!("{}_{name}", old_id.get(..12).unwrap_or(old_id))
}

/// The final name in a [`name_beside`]; `None` where the container has none of that kind.
fn temporary_name(container: &Container) -> Option<&str> {
    let (id, name) = container.name.split_once('_')?;
    (container.replaces()?.starts_with(id) && id.len() == 12).then_some(name)
}

enum Verb {
    Replace,
    Start,
}

/// What must happen to an existing container, and why; `None` where it is as it should be.
fn next_action(
    desired: &Desired<'_>,
    observed: &Observed,
    service: &Service,
    container: &Container,
) -> Option<(Verb, String)> {
    if let Some(why) = difference(desired, observed, service, container) {
        return Some((Verb::Replace, why));
    }
    match container.state {
        State::Running | State::Restarting => None,
        State::Dead | State::Removing => Some((Verb::Replace, "half removed".to_owned())),
        State::Created => Some((Verb::Start, "never started".to_owned())),
        State::Paused => Some((Verb::Start, "paused".to_owned())),
        // A one-shot that ended well is what was asked for; running it again is not.
        State::Exited if container.is_done() && !restarts_after_success(service) => None,
        State::Exited => {
            let code = container.exit_code.map_or_else(String::new, |code| format!(" with {code}"));
            Some((Verb::Start, format!("exited{code}")))
        }
    }
}

/// Whether its restart policy starts a container again that ended with exit code 0.
pub fn restarts_after_success(service: &Service) -> bool {
    let deployed = service.deploy.as_ref().and_then(|it| it.restart_policy.as_ref());
    match deployed.and_then(|policy| policy.condition.as_deref()) {
        Some(condition) => condition == "any",
        None => matches!(service.restart.as_deref(), Some("always" | "unless-stopped")),
    }
}

/// In what a container differs from its service; `None` where it is current.
fn difference(
    desired: &Desired<'_>,
    observed: &Observed,
    service: &Service,
    container: &Container,
) -> Option<String> {
    if desired.options.force_recreate {
        return Some("asked for".to_owned());
    }
    let hash = container.label(labels::CONFIG_HASH);
    if !desired.hashes.service(&service.name).iter().any(|it| it == hash) {
        return Some("configuration changed".to_owned());
    }
    let image = observed.images.get(&familiar(&service.image));
    if image.is_some_and(|id| *id != container.image_id) {
        return Some(format!("image {} changed", service.image));
    }
    for key in service.networks.keys() {
        let Some(network) = desired.project.networks.get(key) else { continue };
        let existing = observed.networks.iter().find(|it| it.name == network.name);
        let attached = container.networks.get(&network.name);
        // The Engine reports no network id for a container that was never started.
        let same = match (existing, attached) {
            (Some(existing), Some(id)) => id.is_empty() || *id == existing.id,
            _ => false,
        };
        if !same {
            return Some(format!("not attached to network {}", network.name));
        }
    }
    for mount in &service.volumes {
        let (MountKind::Volume { .. }, Some(key)) = (&mount.kind, &mount.source) else { continue };
        let Some(volume) = desired.project.volumes.get(key) else { continue };
        if !container.volumes.contains(&volume.name) {
            return Some(format!("volume {} is not mounted", volume.name));
        }
    }
    None
}

fn plan_orphans(desired: &Desired<'_>, observed: &Observed, plan: &mut Plan) {
    let project = desired.project;
    if !desired.options.services.is_empty() {
        return;
    }
    let directory = project.working_dir.display().to_string();
    for container in &observed.containers {
        let service = container.service();
        let known = project.services.contains_key(service)
            || project.disabled_services.iter().any(|it| it == service);
        if known || container.is_oneoff() || container.state == State::Removing {
            continue;
        }
        // Two projects in directories of the same name share a project name; the other one's
        // containers are not ours to remove.
        let elsewhere = container.label(labels::WORKING_DIR);
        if !elsewhere.is_empty() && elsewhere != directory {
            plan.notes.push(format!(
                "container `{}` belongs to project `{}` in `{elsewhere}`, not in `{directory}`; left alone",
                container.name, project.name
            ));
        } else if desired.options.remove_orphans {
            let why = format!("service {service} is gone");
            let (id, name) = (container.id.clone(), container.name.clone());
            plan.removals.push(Removal { id, name, why });
        } else {
            plan.notes.push(format!(
                "container `{}` belongs to no service any more (orphan)",
                container.name
            ));
        }
    }
}

/// What puts a project back on its feet after a crash in mid-switch, without knowing what is desired.
///
/// Where the new container does not run, the old one is started again; everything else waits for the
/// next plan. Comes before any look at git, which may be unreachable.
pub fn recovery(observed: &Observed) -> Vec<Rescue> {
    let containers: Vec<&Container> = observed.containers.iter().collect();
    unfinished(&containers)
        .into_iter()
        .filter(|(_, new)| !new.is_up())
        .map(|(old, new)| Rescue {
            start: (old.state != State::Running).then(|| (old.id.clone(), old.name.clone())),
            remove: (new.id.clone(), new.name.clone()),
        })
        .collect()
}

/// One container to bring back after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// Id and name of the old container to start; `None` where it runs.
    pub start: Option<(String, String)>,
    /// Id and name of the new one to remove first, so that ports are free.
    pub remove: (String, String),
}
