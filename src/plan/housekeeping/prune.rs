//! What of images, containers, networks and volumes goes, and why the rest stays.
//!
//! Ours are containers with the label of a job of ours, one-off containers, networks and volumes of a
//! project that we deployed, and images that a run of ours used. Nothing else is looked at twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::bytes_text;
use crate::image::{Identity, name_and_tag};
use crate::job::work::{Prune, PruneImages, PruneVolumes};
use crate::plan::labels;
use crate::plan::observed::Container;
use crate::source::counted;

/// What the Engine has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stock {
    /// All images.
    pub images: Vec<Image>,
    /// All containers, in every state; of those that may go, when they ended.
    pub containers: Vec<(Container, Option<DateTime<Utc>>)>,
    /// All networks.
    pub networks: Vec<Aged>,
    /// All volumes.
    pub volumes: Vec<Aged>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its id, and the manifests that stand for it.
    pub identity: Identity,
    /// Its names with a tag, in familiar form.
    pub tags: Vec<String>,
    /// Its names with a digest, in familiar form.
    pub digests: Vec<String>,
    /// When it was made, or got a name here, whichever was later.
    pub since: DateTime<Utc>,
    /// Bytes, with the layers that others share.
    pub size: u64,
}

impl Image {
    /// For people: its first name, else the beginning of its id.
    fn name(&self) -> String {
        let name = self.tags.first().or(self.digests.first()).cloned();
        let id = self.identity.id.trim_start_matches("sha256:");
        name.unwrap_or_else(|| id.get(..12).unwrap_or(id).to_owned())
    }

    fn is_one_of(&self, ids: &BTreeMap<String, String>) -> Option<String> {
        let all = std::iter::once(&self.identity.id).chain(&self.identity.manifests);
        all.into_iter().find_map(|id| ids.get(id).cloned())
    }
}

/// A network or a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// Its id; the name again for volumes.
    pub id: String,
    /// Its name.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, where the Engine tells.
    pub made: Option<DateTime<Utc>>,
}

/// What is ours, and what of it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Names of jobs that we have or had.
    pub jobs: BTreeSet<String>,
    /// Names of the projects that we deployed or are to deploy.
    pub projects: BTreeSet<String>,
    /// Projects of these names cannot be read now, and why: all of theirs stays.
    pub unreadable: BTreeMap<String, String>,
    /// Ids of images that runs of ours used.
    pub used: BTreeSet<String>,
    /// Names that runs of ours used them by, in familiar form.
    pub references: BTreeSet<String>,
    /// Ids of images that stay, and why.
    pub images: BTreeMap<String, String>,
    /// Names of images that stay, in familiar form, and why.
    pub names: BTreeMap<String, String>,
    /// Names of networks that a project declares.
    pub networks: BTreeSet<String>,
    /// Names of volumes that a project declares.
    pub volumes: BTreeSet<String>,
}

/// What kind of thing goes; removed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl What {
    /// All, in the order of their removal.
    pub const ALL: [Self; 4] = [Self::Container, Self::Image, Self::Network, Self::Volume];

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Going {
    /// What it is.
    pub what: What,
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// All names of an image, each of which is removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What an image holds.
    pub bytes: u64,
}

/// Something of ours that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Staying {
    /// What it is.
    pub what: What,
    /// Its name for people.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What goes, and what of ours stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    /// What goes, in the order of its removal.
    pub going: Vec<Going>,
    /// What stays, with the reason.
    pub staying: Vec<Staying>,
    /// How many are not ours.
    pub foreign: usize,
    /// Why nothing goes, though something would.
    pub refused: Option<String>,
}

impl PrunePlan {
    /// How many of a kind go.
    pub fn count(&self, what: What) -> usize {
        self.going.iter().filter(|it| it.what == what).count()
    }

    /// What the images that go hold.
    pub fn bytes(&self) -> u64 {
        self.going.iter().map(|it| it.bytes).sum()
    }

    /// One sentence.
    pub fn summary(&self) -> String {
        let counts = What::ALL.map(|what| (self.count(what), what));
        let parts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| match what {
                What::Image => {
                    format!("{} ({})", counted(count, "image"), bytes_text(self.bytes()))
                }
                what => counted(count, what.as_str()),
            })
            .collect();
        let going = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        let refused = self.refused.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        format!(
            "{going} to remove, {} of ours stay, {} are not ours{refused}",
            self.staying.len(),
            self.foreign
        )
    }

    /// One line each: what goes, then what stays.
    pub fn lines(&self) -> Vec<String> {
        let going = self.going.iter().map(|it| match it.what {
            What::Image => format!("remove image {} ({})", it.name, bytes_text(it.bytes)),
            what => format!("remove {} {}", what.as_str(), it.name),
        });
        let staying = self
            .staying
            .iter()
            .map(|it| format!("keep {} {}: {}", it.what.as_str(), it.name, it.why));
        going.chain(staying).collect()
    }
}

/// Decides what goes.
pub fn plan(work: &Prune, stock: &Stock, needed: &Needed, now: DateTime<Utc>) -> PrunePlan {
    let mut look = Look { stock, needed, now, plan: PrunePlan::default() };
    let gone = look.containers(work.containers);
    if let Some(images) = &work.images {
        look.images(images, &gone);
    }
    if let Some(age) = work.networks {
        look.networks(age, &gone);
    }
    if let Some(volumes) = &work.volumes {
        look.volumes(volumes, &gone);
    }
    let mut plan = look.plan;
    if let Some(most) = work.max_removals.filter(|most| plan.going.len() > *most) {
        plan.refused =
            Some(format!("that is more than `max_removals: {most}`, so nothing is removed"));
    }
    plan
}

struct Look<'a> {
    stock: &'a Stock,
    needed: &'a Needed,
    now: DateTime<Utc>,
    plan: PrunePlan,
}

impl<'a> Look<'a> {
    fn stays(&mut self, what: What, name: &str, why: impl Into<String>) {
        self.plan.staying.push(Staying { what, name: name.to_owned(), why: why.into() });
    }

    fn goes(&mut self, what: What, id: &str, name: &str) {
        let (id, name) = (id.to_owned(), name.to_owned());
        self.plan.going.push(Going { what, id, name, names: Vec::new(), bytes: 0 });
    }

    /// Why something is too young to go.
    fn too_young(&self, since: Option<DateTime<Utc>>, age: Duration) -> Option<String> {
        let Some(since) = since else { return Some("nobody knows how old it is".to_owned()) };
        let limit = chrono::Duration::from_std(age).ok();
        let limit = limit.and_then(|age| self.now.checked_sub_signed(age));
        let is_young = limit.is_none_or(|limit| since >= limit);
        is_young.then(|| format!("not old enough, of {}", since.format("%Y-%m-%d %H:%M:%S UTC")))
    }

    /// Ended containers of jobs, and one-off containers of projects; answers the ids of those that go.
    fn containers(&mut self, age: Option<Duration>) -> BTreeSet<&'a str> {
        let mut gone = BTreeSet::new();
        let Some(age) = age else { return gone };
        for (container, ended) in &self.stock.containers {
            let name = container.name.as_str();
            if !is_candidate(container, self.needed) {
                let is_ours = self.is_ours(container.label(labels::PROJECT));
                self.plan.foreign += usize::from(!is_ours);
                continue;
            }
            let why = if container.state.lives() {
                Some("it runs".to_owned())
            } else {
                self.too_young(*ended, age)
            };
            if let Some(why) = why {
                self.stays(What::Container, name, why);
            } else {
                gone.insert(container.id.as_str());
                self.goes(What::Container, &container.id, name);
            }
        }
        gone
    }

    fn is_ours(&self, project: &str) -> bool {
        !project.is_empty() && self.needed.projects.contains(project)
    }

    /// Containers that are still there once the plan is carried out.
    fn left(&self, gone: &BTreeSet<&'a str>) -> Vec<&'a Container> {
        let containers = self.stock.containers.iter().map(|(container, _)| container);
        containers.filter(|it| !gone.contains(it.id.as_str())).collect()
    }

    fn images(&mut self, rules: &PruneImages, gone: &BTreeSet<&'a str>) {
        let left = self.left(gone).into_iter();
        let in_use: BTreeMap<String, String> =
            left.map(|it| (it.image_id.clone(), it.name.clone())).collect();
        let repositories: BTreeSet<&str> =
            self.needed.references.iter().map(|it| repository(it)).collect();
        let newest = self.newest(rules, &repositories);
        for image in &self.stock.images {
            if !rules.all && !self.was_used(image) {
                self.plan.foreign += 1;
                continue;
            }
            let why = self.needs(image, &in_use).or_else(|| {
                let names = image.tags.iter().chain(&image.digests);
                let foreign = names.into_iter().find(|it| !repositories.contains(repository(it)));
                if let Some(name) = foreign.filter(|_| !rules.all) {
                    return Some(format!("somebody else calls it {name}"));
                }
                if image.tags.is_empty() && !rules.dangling {
                    return Some("`dangling: false`".to_owned());
                }
                if newest.contains(image.identity.id.as_str()) {
                    return Some(format!("one of the newest {} of its repository", rules.keep));
                }
                self.too_young(Some(image.since), rules.older_than)
            });
            match why {
                Some(why) => self.stays(What::Image, &image.name(), why),
                None => self.plan.going.push(Going {
                    what: What::Image,
                    id: image.identity.id.clone(),
                    name: image.name(),
                    names: image.tags.iter().chain(&image.digests).cloned().collect(),
                    bytes: image.size,
                }),
            }
        }
    }

    fn was_used(&self, image: &Image) -> bool {
        let mut ids = std::iter::once(&image.identity.id).chain(&image.identity.manifests);
        ids.any(|id| self.needed.used.contains(id))
    }

    /// Why an image is needed, if it is.
    fn needs(&self, image: &Image, in_use: &BTreeMap<String, String>) -> Option<String> {
        if let Some(container) = image.is_one_of(in_use) {
            return Some(format!("container {container} uses it"));
        }
        let names = image.tags.iter().chain(&image.digests);
        let by_name = names.into_iter().find_map(|it| self.needed.names.get(it));
        image.is_one_of(&self.needed.images).or_else(|| by_name.cloned())
    }

    /// Ids of the newest images of each repository, among those with a tag that the rules are about.
    fn newest(&self, rules: &PruneImages, repositories: &BTreeSet<&str>) -> BTreeSet<&'a str> {
        let mut of_repository: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
        for image in self.stock.images.iter().filter(|it| rules.all || self.was_used(it)) {
            let own: BTreeSet<&str> = image.tags.iter().map(|it| repository(it)).collect();
            for name in own.into_iter().filter(|it| rules.all || repositories.contains(it)) {
                of_repository.entry(name).or_default().push(image);
            }
        }
        let mut newest = BTreeSet::new();
        for images in of_repository.values_mut() {
            images.sort_by_key(|it| (std::cmp::Reverse(it.since), &it.identity.id));
            newest.extend(images.iter().take(rules.keep).map(|it| it.identity.id.as_str()));
        }
        newest
    }

    fn networks(&mut self, age: Duration, gone: &BTreeSet<&'a str>) {
        let mut used: BTreeMap<&str, &str> = BTreeMap::new();
        for container in self.left(gone) {
            for (name, id) in &container.networks {
                used.insert(name, &container.name);
                used.insert(id, &container.name);
            }
        }
        for network in &self.stock.networks {
            let by = [&network.name, &network.id].into_iter().find_map(|it| used.get(it.as_str()));
            self.resource(What::Network, network, (by.copied(), age));
        }
    }

    fn volumes(&mut self, rules: &PruneVolumes, gone: &BTreeSet<&'a str>) {
        let mut used: BTreeMap<&str, &str> = BTreeMap::new();
        for container in self.left(gone) {
            used.extend(container.volumes.iter().map(|it| (it.as_str(), container.name.as_str())));
        }
        for volume in &self.stock.volumes {
            let wants = |wanted: &String| match wanted.split_once('=') {
                Some((name, value)) => volume.labels.get(name).is_some_and(|it| it == value),
                None => volume.labels.contains_key(wanted),
            };
            let is_ours = self.is_ours(volume.labels.get(labels::PROJECT).map_or("", |it| it));
            if is_ours && !rules.labels.iter().all(wants) {
                self.stays(What::Volume, &volume.name, "it lacks the labels of `volumes`");
                continue;
            }
            let by = used.get(volume.name.as_str()).copied();
            self.resource(What::Volume, volume, (by, rules.older_than));
        }
    }

    fn resource(&mut self, what: What, it: &Aged, (by, age): (Option<&str>, Duration)) {
        let project = it.labels.get(labels::PROJECT).map_or("", String::as_str);
        if !self.is_ours(project) {
            self.plan.foreign += 1;
            return;
        }
        let declared = match what {
            What::Volume => &self.needed.volumes,
            _ => &self.needed.networks,
        };
        let why = if let Some(container) = by {
            Some(format!("container {container} uses it"))
        } else if declared.contains(&it.name) {
            Some(format!("project {project} declares it"))
        } else if let Some(why) = self.needed.unreadable.get(project) {
            Some(format!("project {project} cannot be read: {why}"))
        } else {
            self.too_young(it.made, age)
        };
        match why {
            Some(why) => self.stays(what, &it.name, why),
            None => self.goes(what, &it.id, &it.name),
        }
    }
}

/// Whether a container is of those that go once they have ended: of a job, or a one-off container of a
/// project of ours. Those of services are the deploys' own; another Roadstead has jobs of its own.
pub fn is_candidate(container: &Container, needed: &Needed) -> bool {
    let of_job = needed.jobs.contains(container.label(labels::JOB));
    let of_project = needed.projects.contains(container.label(labels::PROJECT));
    (of_job || of_project && container.is_oneoff()) && !container.is_ourselves
}

/// A name without tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    name_and_tag(name).0
}

#[cfg(test)]
mod tests;
