//! Taking a project down: what goes, in which order, from labels alone.
//!
//! The Compose files may be gone or broken, so the order comes from the containers' own labels.

use std::collections::BTreeSet;

use super::labels;
use super::observed::{Container, Observed, Resource};
use crate::compose::model::{Project, Service};

/// What goes when a project goes down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// Containers in waves: those of one wave go together, dependents before what they depend on.
    pub waves: Vec<Vec<Container>>,
    /// Names of networks made for the project.
    pub networks: Vec<String>,
    /// Names of volumes made for the project; empty unless asked for.
    pub volumes: Vec<String>,
    /// Whether the anonymous volumes of the containers go with them.
    pub with_anonymous_volumes: bool,
    /// References of images; empty unless asked for.
    pub images: Vec<String>,
}

/// Which part of a project goes down.
#[derive(Clone, Debug, Default)]
pub struct Extent<'a> {
    /// The project as the host sees it; `None` takes everything that carries the project's label.
    pub project: Option<&'a Project>,
    /// Containers of services that are gone from the project, too.
    pub orphans: bool,
    /// The project's volumes and their data, too.
    pub volumes: bool,
    /// The images of its services, too.
    pub images: Option<Images>,
    /// Containers of these services only, and nothing but containers; empty means all.
    pub services: &'a [String],
}

/// Images that go with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Those that were built here and have no name of their own.
    Local,
    /// All.
    All,
}

/// Plans to take a project down.
pub fn teardown(name: &str, observed: &Observed, extent: &Extent<'_>) -> Teardown {
    let mine =
        |resource: &&Resource| resource.labels.get(labels::PROJECT).is_some_and(|it| it == name);
    let names = |resources: &[Resource]| -> Vec<String> {
        resources.iter().filter(mine).map(|resource| resource.name.clone()).collect()
    };
    let mut volumes = if extent.volumes { names(&observed.volumes) } else { Vec::new() };
    if let Some(project) = extent.project {
        // What the files no longer name may be the only copy of something.
        volumes.retain(|name| project.volumes.values().any(|volume| volume.name == *name));
    }
    let goes = |container: &&Container| !container.is_ourselves && belongs(container, extent);
    let containers: Vec<Container> = observed.containers.iter().filter(goes).cloned().collect();
    let teardown = Teardown {
        waves: waves(&containers),
        with_anonymous_volumes: extent.volumes,
        ..Teardown::default()
    };
    if !extent.services.is_empty() {
        return teardown;
    }
    Teardown { networks: names(&observed.networks), volumes, images: images(extent), ..teardown }
}

fn images(extent: &Extent<'_>) -> Vec<String> {
    let (Some(project), Some(which)) = (extent.project, extent.images) else { return Vec::new() };
    let is_local = |service: &&Service| {
        service.build.is_some() && service.image == project.implied_image(&service.name)
    };
    let services = project.services.values().filter(|it| which == Images::All || is_local(it));
    let images: BTreeSet<&String> = services.map(|it| &it.image).collect();
    images.into_iter().cloned().collect()
}

fn belongs(container: &Container, extent: &Extent<'_>) -> bool {
    let named = |name: &String| name == container.service();
    if !extent.services.is_empty() && !extent.services.iter().any(named) {
        return false;
    }
    let Some(project) = extent.project else { return true };
    // Services of inactive profiles, and what `run` made, are left to those who name them.
    let service = container.service();
    let is_inactive = project.disabled_services.iter().any(|it| it == service);
    let is_known = project.services.contains_key(service) && !container.is_oneoff();
    is_known || extent.orphans && !is_inactive
}

/// A container goes once no other one that is left depends on its service.
fn waves(containers: &[Container]) -> Vec<Vec<Container>> {
    let mut left: Vec<&Container> = containers.iter().collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let needed: BTreeSet<&str> = left.iter().flat_map(|it| dependencies(it)).collect();
        let (stays, goes): (Vec<_>, Vec<_>) =
            left.iter().partition::<Vec<&Container>, _>(|it| needed.contains(it.service()));
        // Labels may lie; a cycle goes down together.
        let (stays, goes) = if goes.is_empty() { (Vec::new(), left) } else { (stays, goes) };
        waves.push(goes.into_iter().cloned().collect());
        left = stays;
    }
    waves
}

fn dependencies(container: &Container) -> impl Iterator<Item = &str> {
    let written = container.label(labels::DEPENDS_ON).split(',');
    let names = written.filter_map(|entry| entry.split(':').next());
    names.filter(|name| !name.is_empty() && *name != container.service())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependents_go_first_and_cycles_together() {
        for (services, expected) in [
            (&[("db", ""), ("web", "db:service_started:false")][..], &[&["web"][..], &["db"]][..]),
            (&[("a", "b:x:false"), ("b", "a:x:false")], &[&["a", "b"]]),
            (&[("a", ""), ("b", "gone:x:false")], &[&["a", "b"]]),
            (&[], &[]),
        ] {
            let containers: Vec<_> = services.iter().map(|it| container(it.0, it.1)).collect();
            let names: Vec<Vec<&str>> = Vec::new();
            let waves = waves(&containers);
            let names = waves.iter().fold(names, |mut names, wave| {
                names.push(wave.iter().map(Container::service).collect());
                names
            });
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn what_nobody_named_stays() {
        let services = ["web", "db"].map(|name| {
            let name = name.to_owned();
            (name.clone(), Service { name, ..Service::default() })
        });
        let project = Project {
            name: "p".to_owned(),
            services: services.into(),
            disabled_services: vec!["debug".to_owned()],
            ..Project::default()
        };
        let mut one_off = container("web", "");
        one_off.labels.insert(labels::ONEOFF.to_owned(), "True".to_owned());
        one_off.name = "p-web-run-1".to_owned();
        // Another directory does not make it another project.
        let mut elsewhere = container("db", "");
        elsewhere.labels.insert(labels::WORKING_DIR.to_owned(), "/elsewhere".to_owned());
        let others = ["web", "debug", "gone"].map(|it| container(it, ""));
        let containers = others.into_iter().chain([one_off, elsewhere]).collect();
        let observed = Observed { containers, ..Observed::default() };
        let named = ["web".to_owned()];
        for (has_files, orphans, services, expected) in [
            (true, false, &[][..], &["db", "web"][..]),
            (true, true, &[], &["db", "gone", "web", "web run"]),
            (true, false, &named, &["web"]),
            (true, true, &named, &["web", "web run"]),
            (false, false, &[], &["db", "debug", "gone", "web", "web run"]),
        ] {
            let project = has_files.then_some(&project);
            let extent = Extent { project, orphans, services, ..Extent::default() };
            let planned = teardown("p", &observed, &extent);
            let name = |it: &Container| {
                let run = if it.is_oneoff() { " run" } else { "" };
                format!("{}{run}", it.service())
            };
            let mut found: Vec<String> = planned.waves.iter().flatten().map(name).collect();
            found.sort();
            assert_eq!(found, expected, "{has_files} {orphans} {services:?}");
        }
    }

    fn container(service: &str, depends_on: &str) -> Container {
        let pairs = [(labels::SERVICE, service), (labels::DEPENDS_ON, depends_on)];
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Container { labels, ..Container::default() }
    }
}
