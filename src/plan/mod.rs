//! The plan: what to do so that observed becomes desired, or that there is nothing to do.
//!
//! Pure. A plan is so specific that `apply` has no choice left; it holds no client and no clock.

pub mod backup;
pub mod cache;
pub mod host_paths;
pub mod housekeeping;
pub mod labels;
pub mod observed;
pub mod order;
mod orphans;
mod print;
pub mod pull;
mod recovery;
pub mod references;
pub mod refresh;
mod resources;
pub mod rivals;
mod service;
pub mod sync;
pub mod teardown;
#[cfg(test)]
mod tests;

pub use self::recovery::{Rescue, recovery};
pub use self::resources::changed_volumes;
pub use self::service::{name_beside, restarts_after_success};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::observed::Observed;
use self::rivals::Rival;
use self::service::{Scope, Sorted};
use crate::compose::hash::{self, Dialect};
use crate::compose::model::{Condition, Project, Service};

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
    /// The dialect that new containers carry.
    pub to_write: Dialect,
    /// By service.
    pub services: BTreeMap<String, Vec<String>>,
    /// By key of the network.
    pub networks: BTreeMap<String, Vec<String>>,
    /// By key of the volume.
    pub volumes: BTreeMap<String, Vec<String>>,
    /// By service: digest of the secrets and configs that are written into its containers.
    pub contents: BTreeMap<String, String>,
}

impl Hashes {
    /// Hashes of a project as the host sees it, in every dialect of docker compose we know.
    pub fn of(project: &Project, to_write: Dialect) -> Self {
        let services = project.services.iter();
        let services =
            services.map(|(name, service)| (name.clone(), Self::of_service(service, to_write)));
        let networks = project.networks.iter();
        let volumes = project.volumes.iter();
        Self {
            to_write,
            services: services.collect(),
            networks: networks
                .map(|(key, it)| (key.clone(), vec![hash::network_hash(it)]))
                .collect(),
            volumes: volumes.map(|(key, it)| (key.clone(), vec![hash::volume_hash(it)])).collect(),
            contents: BTreeMap::new(),
        }
    }

    /// Hashes of one service, the one to write first.
    fn of_service(service: &Service, to_write: Dialect) -> Vec<String> {
        let dialects = match to_write {
            Dialect::V5 => [Dialect::V5, Dialect::V2_40],
            Dialect::V2_40 => [Dialect::V2_40, Dialect::V5],
        };
        dialects.map(|it| hash::service_hash(service, it)).to_vec()
    }

    /// Hashes of a service whose containers refer to those with these ids, by service.
    pub fn referring(&self, service: &Service, ids: &BTreeMap<String, String>) -> Vec<String> {
        if ids.is_empty() && service.volumes_from.is_empty() {
            return self.services.get(&service.name).cloned().unwrap_or_default();
        }
        Self::of_service(&references::hashed(service, ids), self.to_write)
    }
}

/// What the caller of a plan allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Removes containers of services that are gone from the project.
    pub remove_orphans: bool,
    /// Which containers are replaced.
    pub recreate: Recreate,
    /// Services that [`Recreate::Always`] is about; empty means all.
    pub by_force: BTreeSet<String>,
    /// Looks at these services and what they depend on only; empty means all.
    pub services: BTreeSet<String>,
    /// Leaves what they depend on alone.
    pub no_deps: bool,
    /// Images that are there, and old enough to be pulled again or of another platform.
    pub due: BTreeSet<String>,
    /// Images that are what their registry has: `pull_policy: always` has nothing to pull.
    pub as_in_registry: BTreeSet<String>,
    /// Services whose images are built first.
    pub builds: BTreeSet<String>,
    /// Gives replacements new anonymous volumes instead of those of the old containers.
    pub renew_anonymous_volumes: bool,
    /// Which containers that ended with exit code 0 are left as they are.
    pub finished: Finished,
}

/// Which containers that ended with exit code 0 by themselves are left as they are, where their service
/// is the same and not named; never those that their restart policy starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finished {
    /// Those that look like work that is done: somebody waits for their end, or they have neither ports
    /// nor a health check.
    #[default]
    LooksDone,
    /// Those whose end somebody waits for. Whoever looks on wants to see the others work.
    Awaited,
}

/// Which containers are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recreate {
    /// Those that differ from what is desired.
    #[default]
    Diverged,
    /// All of them.
    Always,
    /// None: what exists stays as it is.
    Never,
}

/// Ordered steps, in four phases. Empty where there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Project name.
    pub project: String,
    /// Before anything that runs is touched.
    pub prepare: Vec<Preparation>,
    /// Networks to be made new, with everything that is attached to them moved along.
    pub networks: Vec<NetworkChange>,
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
    /// Builds the image of a service.
    BuildImage {
        /// The service.
        service: String,
        /// The name that the image gets.
        image: String,
    },
    /// Removes what an interrupted switch left.
    RemoveLeftover {
        /// Container id.
        id: String,
        /// Container name.
        name: String,
        /// What its removal would leave nobody to know.
        #[serde(skip_serializing_if = "Option::is_none")]
        put_aside: Option<PutAside>,
    },
}

/// The restart policy that a switch has put aside for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PutAside {
    /// Id of the old container that is without it.
    pub id: String,
    /// The policy as a Compose file writes it.
    pub policy: String,
}

/// A network whose definition changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkChange {
    /// Key in the project.
    pub key: String,
    /// Name on the Engine.
    pub name: String,
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
    /// Containers that stop before it starts, for they have what it needs and go in this plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Rival>,
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
    /// Stopped and started as it is, because what it depends on is made new.
    Restart {
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
    /// The restart policy that an interrupted switch has put aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
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

impl Plan {
    /// True when observed is what is desired.
    pub fn is_empty(&self) -> bool {
        self.prepare.is_empty()
            && self.networks.is_empty()
            && self.changes.is_empty()
            && self.removals.is_empty()
    }

    /// The images to pull first: what was pulled may change the rest of the plan.
    pub fn pulls(&self) -> impl Iterator<Item = &Preparation> {
        self.prepare.iter().filter(|step| matches!(step, Preparation::PullImage { .. }))
    }

    /// The images to build first, those that others may build on before them.
    pub fn builds(&self) -> impl Iterator<Item = &Preparation> {
        self.prepare.iter().filter(|step| matches!(step, Preparation::BuildImage { .. }))
    }

    /// The plan of somebody who only wants containers to exist.
    #[must_use]
    pub fn without_starts(mut self) -> Self {
        let only_starts = |it: &Action| matches!(it, Action::Start { .. } | Action::Restart { .. });
        self.changes.retain(|change| !only_starts(&change.action));
        self
    }

    /// The plan once its images are built.
    #[must_use]
    pub fn without_builds(mut self) -> Self {
        self.prepare.retain(|step| !matches!(step, Preparation::BuildImage { .. }));
        self
    }

    /// The plan once its images are pulled.
    #[must_use]
    pub fn without_pulls(mut self) -> Self {
        self.prepare.retain(|step| !matches!(step, Preparation::PullImage { .. }));
        self
    }
}

impl Action {
    /// The container whose place another one takes.
    pub fn old(&self) -> Option<&Kept> {
        match self {
            Self::Replace { old } | Self::Finish { old, .. } => Some(old),
            Self::Create | Self::Start { .. } | Self::Restart { .. } | Self::Rename { .. } => None,
        }
    }
}

impl Change {
    /// True when this change is about the existing container with this id.
    pub fn touches(&self, container: &str) -> bool {
        match &self.action {
            Action::Create => false,
            Action::Replace { old } => old.id == container,
            Action::Start { id } | Action::Restart { id } | Action::Rename { id } => {
                id == container
            }
            Action::Finish { old, id } => old.id == container || id == container,
        }
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
    let Options { services: named, no_deps, .. } = desired.options;
    let selected = order::selected(project, named, !no_deps);
    let services: Vec<_> = order::dependencies_first(project)
        .into_iter()
        .filter(|name| selected.contains(name))
        .map(|name| &project.services[name])
        .collect();
    resources::plan_networks(desired, observed, &services, &mut plan, &mut refusals);
    resources::plan_volumes(desired, observed, &services, &mut plan, &mut refusals);
    let sorted = Sorted::new(desired, observed);
    for service in services {
        resources::plan_images(desired, service, observed, &mut plan);
        Scope::new(desired, (observed, &sorted), service, &plan).plan(&mut plan);
    }
    orphans::plan_orphans(desired, observed, &mut plan);
    rivals::settle(desired, observed, &mut plan, &mut refusals);
    if refusals.is_empty() { Ok(plan) } else { Err(Refusal(refusals)) }
}
