//! In which order containers are made still: those that depend on others before these.

use std::collections::{BTreeMap, BTreeSet};

use super::super::labels::{DEPENDS_ON, PROJECT};
use super::super::observed::Container;
use super::Still;

/// A service: its project and its name. A container of none stands for itself.
type Service<'a> = (&'a str, &'a str);

/// Brings dependents before what they depend on, by the labels of Compose, otherwise by name.
pub(super) fn dependents_first(mut still: Vec<Still>, containers: &[Container]) -> Vec<Still> {
    let mut needs: BTreeMap<Service<'_>, BTreeSet<Service<'_>>> = BTreeMap::new();
    for container in containers {
        let (project, _) = service_of(container);
        let entries = container.label(DEPENDS_ON).split(',').filter_map(|it| it.split(':').next());
        let of_service = needs.entry(service_of(container)).or_default();
        of_service.extend(entries.filter(|it| !it.is_empty()).map(|name| (project, name)));
    }
    let mut depths = BTreeMap::new();
    for service in needs.keys() {
        depth(*service, &needs, &mut depths);
    }
    let by_id: BTreeMap<&str, usize> = containers
        .iter()
        .map(|it| (it.id.as_str(), depths.get(&service_of(it)).copied().unwrap_or_default()))
        .collect();
    let depth_of = |it: &Still| by_id.get(it.id.as_str()).copied().unwrap_or_default();
    still.sort_by(|a, b| depth_of(b).cmp(&depth_of(a)).then_with(|| a.name.cmp(&b.name)));
    still
}

fn service_of(container: &Container) -> Service<'_> {
    match (container.label(PROJECT), container.service()) {
        ("", _) | (_, "") => ("", &container.name),
        service => service,
    }
}

/// How long the longest chain of what a service needs is: more than that of any it needs. A circle ends
/// where it begins.
fn depth<'a>(
    service: Service<'a>,
    needs: &BTreeMap<Service<'a>, BTreeSet<Service<'a>>>,
    depths: &mut BTreeMap<Service<'a>, usize>,
) -> usize {
    if let Some(known) = depths.get(&service) {
        return *known;
    }
    depths.insert(service, 0);
    let below = needs.get(&service).into_iter().flatten();
    let found = below.map(|it| depth(*it, needs, depths) + 1).max().unwrap_or_default();
    depths.insert(service, found);
    found
}
