//! References: containers that live in a namespace, or with the volumes, of another service's container.
//!
//! The Engine knows them by container id only, so does docker compose's configuration hash, and a
//! container whose other one is made new must be made new, too.

use std::collections::BTreeMap;

use super::observed::{Container, Observed, State};
use super::rivals::goes;
use super::{Action, Change, Plan};
use crate::compose::model::Service;

/// Namespace modes that name a service begin with this.
const SERVICE: &str = "service:";
/// Modes and `volumes_from` that name a container, often one of somebody else, begin with this.
const CONTAINER: &str = "container:";

/// Services whose container must exist before one of this service can be made.
pub fn referred(service: &Service) -> Vec<&str> {
    let volumes = service.volumes_from.iter().filter_map(|from| volumes_service(from));
    let mut names: Vec<&str> = namespaces(service).chain(volumes).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Services whose containers are made first: those referred to by id, and those linked to, whose
/// names go into the links.
pub fn made_before(service: &Service) -> Vec<&str> {
    let linked = service.links.iter().filter_map(|link| link.split(':').next());
    referred(service).into_iter().chain(linked).collect()
}

/// Containers that a service names itself: the Engine wants them to exist when it makes one that refers
/// to them. They may be of the same project.
pub fn named_containers(service: &Service) -> impl Iterator<Item = &str> {
    let modes = modes(service).chain(service.volumes_from.iter().map(String::as_str));
    modes.filter_map(|mode| mode.strip_prefix(CONTAINER)?.split(':').next())
}

fn namespaces(service: &Service) -> impl Iterator<Item = &str> {
    modes(service).filter_map(|mode| mode.strip_prefix(SERVICE))
}

fn modes(service: &Service) -> impl Iterator<Item = &str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    modes.into_iter().filter_map(|mode| mode.as_deref())
}

fn volumes_service(from: &str) -> Option<&str> {
    (!from.starts_with(CONTAINER)).then(|| from.split(':').next())?
}

/// The service as docker compose hashes it: ids in place of the names of services, and the access mode
/// behind a container in `volumes_from` lost (compose `resolveVolumeFrom`). One whose container is
/// unknown keeps its name.
pub fn hashed(service: &Service, ids: &BTreeMap<String, String>) -> Service {
    let mut service = service.clone();
    for mode in [&mut service.network_mode, &mut service.ipc, &mut service.pid] {
        let id = mode.as_deref().and_then(|it| ids.get(it.strip_prefix(SERVICE)?));
        if let Some(id) = id {
            *mode = Some(format!("{CONTAINER}{id}"));
        }
    }
    for from in &mut service.volumes_from {
        let written = from.strip_prefix(CONTAINER);
        let named = written.unwrap_or(from).split(':').next().unwrap_or_default();
        let id = ids.get(named).filter(|_| written.is_none());
        *from = id.map_or(named, String::as_str).to_owned();
    }
    service
}

/// The container that others of the project mean by a service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands<'a> {
    /// One that exists and stays, by its id.
    Standing(&'a str),
    /// The one that this change of the plan ends with, by its place among the changes.
    Made(usize),
}

/// What stands for a service once a plan is carried out: the first by name, as docker compose chooses.
pub fn stands_for<'a>(service: &str, observed: &'a Observed, plan: &Plan) -> Option<Stands<'a>> {
    let of_service = |it: &&Container| it.service() == service && !it.is_oneoff();
    let existing = observed.containers.iter().filter(of_service);
    let existing = existing.filter(|it| it.state != State::Removing && !goes(plan, &it.id));
    // A container that only starts or gets its name stays the same one.
    let is_finished = |id: &str| {
        let ends = |it: &Change| matches!(&it.action, Action::Finish { id: new, .. } if new == id);
        plan.changes.iter().any(ends)
    };
    let standing = existing
        .filter(|it| !is_finished(&it.id))
        .map(|it| (it.name.as_str(), Stands::Standing(it.id.as_str())));
    let changes = plan.changes.iter().enumerate().filter(|(_, it)| it.service == service);
    let made = changes
        .filter(|(_, it)| is_made(&it.action))
        .map(|(index, it)| (it.name.as_str(), Stands::Made(index)));
    standing.chain(made).min_by_key(|(name, _)| *name).map(|(_, it)| it)
}

fn is_made(action: &Action) -> bool {
    match action {
        Action::Create | Action::Replace { .. } | Action::Finish { .. } => true,
        Action::Start { .. } | Action::Restart { .. } | Action::Rename { .. } => false,
    }
}

/// What the containers that a service refers to will be.
#[derive(Debug)]
pub(super) enum Parents<'a> {
    /// Those that exist, by service.
    Standing(BTreeMap<String, String>),
    /// One of them is about to be made.
    New(&'a str),
}

pub(super) fn parents<'a>(service: &'a Service, observed: &Observed, plan: &Plan) -> Parents<'a> {
    let mut ids = BTreeMap::new();
    for name in referred(service) {
        match stands_for(name, observed, plan) {
            Some(Stands::Standing(id)) => ids.insert(name.to_owned(), id.to_owned()),
            Some(Stands::Made(_)) | None => return Parents::New(name),
        };
    }
    Parents::Standing(ids)
}

/// The service whose container starts anew in this plan with a container of this one in its
/// namespaces, which it would otherwise stay behind in.
pub(super) fn starts_anew<'a>(
    service: &'a Service,
    observed: &Observed,
    plan: &Plan,
) -> Option<&'a str> {
    namespaces(service).find(|name| {
        let Some(Stands::Standing(id)) = stands_for(name, observed, plan) else { return false };
        let is_paused =
            observed.containers.iter().any(|it| it.id == id && it.state == State::Paused);
        let starts = |it: &Change| match &it.action {
            Action::Start { id: started } => started == id && !is_paused,
            Action::Restart { id: started } => started == id,
            Action::Create
            | Action::Replace { .. }
            | Action::Rename { .. }
            | Action::Finish { .. } => false,
        };
        plan.changes.iter().any(starts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(network_mode: &str, volumes_from: &[&str]) -> Service {
        Service {
            network_mode: Some(network_mode.to_owned()),
            volumes_from: volumes_from.iter().map(|it| (*it).to_owned()).collect(),
            ..Service::default()
        }
    }

    #[test]
    fn names_of_services_become_ids_of_containers() {
        let ids = [("vpn".to_owned(), "id1".to_owned()), ("data".to_owned(), "id2".to_owned())];
        let ids = BTreeMap::from(ids);
        let from = ["data:ro", "data", "container:other:ro", "gone"];
        let written = service("service:vpn", &from);
        assert_eq!(referred(&written), ["data", "gone", "vpn"]);
        assert!(named_containers(&written).eq(["other"]));
        assert!(named_containers(&service("container:one", &from)).eq(["one", "other"]));
        assert_eq!(
            hashed(&written, &ids),
            service("container:id1", &["id2", "id2", "other", "gone"])
        );
        let host = service("host", &[]);
        assert!(referred(&host).is_empty());
        assert_eq!(hashed(&host, &ids), host);
    }
}
