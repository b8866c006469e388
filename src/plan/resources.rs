//! Networks, volumes and images: what must be there before a container is made.

use std::collections::BTreeSet;

use super::observed::{Observed, Resource, familiar};
use super::pull::pull_due;
use super::{Desired, Hashes, NetworkChange, Plan, Preparation, labels};
use crate::compose::model::{MountKind, Project, PullPolicy, Service, Volume};

pub(super) fn plan_networks(
    desired: &Desired<'_>,
    observed: &Observed,
    services: &[&Service],
    plan: &mut Plan,
    refusals: &mut Vec<String>,
) {
    let used: BTreeSet<&String> = services.iter().flat_map(|it| it.networks.keys()).collect();
    for (key, network) in desired.project.networks.iter().filter(|(key, _)| used.contains(key)) {
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
                Definition::Changed => {
                    let (key, name) = (key.clone(), network.name.clone());
                    plan.networks.push(NetworkChange { key, name });
                }
            },
        }
    }
}

pub(super) fn plan_volumes(
    desired: &Desired<'_>,
    observed: &Observed,
    services: &[&Service],
    plan: &mut Plan,
    refusals: &mut Vec<String>,
) {
    let mounts = services.iter().flat_map(|it| &it.volumes);
    let used: BTreeSet<&String> = mounts
        .filter(|it| matches!(it.kind, MountKind::Volume { .. }))
        .filter_map(|it| it.source.as_ref())
        .collect();
    for (key, volume) in desired.project.volumes.iter().filter(|(key, _)| used.contains(key)) {
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
                     `roadstead compose up -d -y` makes it new, without the data",
                    volume.name
                )),
            },
        }
    }
}

/// Keys of the project's volumes that exist under another definition.
pub fn changed_volumes<'a>(
    project: &'a Project,
    hashes: &Hashes,
    observed: &Observed,
) -> Vec<&'a str> {
    let is_changed = |(key, volume): &(&'a String, &'a Volume)| {
        let existing = observed.volumes.iter().find(|it| it.name == volume.name);
        let definition = |it| definition(it, labels::VOLUME, hashes.volumes.get(*key));
        !volume.external && matches!(existing.map(definition), Some(Definition::Changed))
    };
    project.volumes.iter().filter(is_changed).map(|(key, _)| key.as_str()).collect()
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

/// Builds what the caller found to be due, pulls what is missing or old; images that are mounted, too,
/// whatever the policy is, as docker compose does.
pub(super) fn plan_images(
    desired: &Desired<'_>,
    service: &Service,
    observed: &Observed,
    plan: &mut Plan,
) {
    let is_here = |image: &str| observed.images.contains_key(&familiar(image));
    let mounts = service.volumes.iter().filter(|it| matches!(it.kind, MountKind::Image { .. }));
    let mounted = mounts.filter_map(|it| it.source.as_deref()).filter(|image| !is_here(image));
    let pull = |image: &str| Preparation::PullImage { image: image.to_owned() };
    let mut steps: Vec<Preparation> = mounted.map(pull).collect();
    let image = service.image.clone();
    let is_due = desired.options.due.contains(&image);
    let present = is_here(&image);
    let is_built = desired.options.builds.contains(&service.name);
    let is_pulled = match &service.pull_policy {
        // What can be built is built.
        PullPolicy::Unset if service.build.is_some() => false,
        PullPolicy::Always => !present || !desired.options.as_in_registry.contains(&image),
        // Time is not ours to read: the caller has looked.
        PullPolicy::Daily | PullPolicy::Weekly | PullPolicy::Every { .. } => !present || is_due,
        policy => pull_due(policy, present && !is_due, None, 0),
    };
    if is_built {
        steps.push(Preparation::BuildImage { service: service.name.clone(), image });
    } else if is_pulled {
        steps.push(pull(&image));
    }
    for step in steps {
        if service.replicas() > 0 && !plan.prepare.contains(&step) {
            plan.prepare.push(step);
        }
    }
}
