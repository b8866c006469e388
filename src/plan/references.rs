//! References: containers that live in a namespace, or with the volumes, of another service's container.
//!
//! The Engine knows them by container id only, so does docker compose's configuration hash, and a
//! container whose other one is made new must be made new, too.

use std::collections::BTreeMap;

use super::observed::{Container, Observed};
use super::{Action, Change};
use crate::compose::model::Service;

/// Namespace modes that name a service begin with this.
const SERVICE: &str = "service:";
/// `volumes_from` of a container of somebody else begins with this.
const CONTAINER: &str = "container:";

/// Services whose container must exist before one of this service can be made.
pub fn referred(service: &Service) -> Vec<&str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let modes = modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix(SERVICE));
    let volumes = service.volumes_from.iter().filter_map(|from| volumes_service(from));
    let mut names: Vec<&str> = modes.chain(volumes).collect();
    names.sort_unstable();
    names.dedup();
    names
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

/// The container that stands for a service: the first by name, as docker compose chooses.
pub fn first_of<'a>(observed: &'a Observed, service: &str) -> Option<&'a Container> {
    let containers = observed.containers.iter();
    let mine = containers.filter(|it| it.service() == service && !it.is_oneoff());
    mine.min_by_key(|it| it.name.as_str())
}

/// What the containers that a service refers to will be.
#[derive(Debug)]
pub(super) enum Parents<'a> {
    /// Those that exist, by service.
    Standing(BTreeMap<String, String>),
    /// One of them is about to be made.
    New(&'a str),
}

pub(super) fn parents<'a>(
    service: &'a Service,
    observed: &Observed,
    changes: &[Change],
) -> Parents<'a> {
    let mut ids = BTreeMap::new();
    for name in referred(service) {
        let is_new = |change: &Change| {
            change.service == name && !matches!(change.action, Action::Start { .. })
        };
        match first_of(observed, name).filter(|_| !changes.iter().any(is_new)) {
            Some(container) => ids.insert(name.to_owned(), container.id.clone()),
            None => return Parents::New(name),
        };
    }
    Parents::Standing(ids)
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
        assert_eq!(
            hashed(&written, &ids),
            service("container:id1", &["id2", "id2", "other", "gone"])
        );
        let host = service("host", &[]);
        assert!(referred(&host).is_empty());
        assert_eq!(hashed(&host, &ids), host);
    }
}
