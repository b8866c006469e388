//! Taking a project down: what goes, in which order, from labels alone.
//!
//! The Compose files may be gone or broken, so the order comes from the containers' own labels.

use std::collections::BTreeSet;

use super::labels;
use super::observed::{Container, Observed, Resource, familiar};
use crate::compose::model::{Project, Service};

/// What goes when a project goes down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// Containers in waves: those of one wave go together, dependents before what they depend on.
    pub waves: Vec<Vec<Container>>,
    /// Names of networks made for the project.
    pub networks: Vec<String>,
    /// Names of networks that stay, since others of the project are attached.
    pub in_use: Vec<String>,
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
    /// What was built for the project, where images go.
    pub built: &'a [Built],
    /// Containers of these services only, with their networks, volumes and images; empty means all. Then
    /// the project is one of these services and what they depend on.
    pub services: &'a [String],
}

/// Images that go with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Those that were built here.
    Local,
    /// All.
    All,
}

/// An image that its labels say was built for a service of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// The service.
    pub service: String,
    /// The names it has, in familiar form.
    pub names: Vec<String>,
}

/// Plans to take a project down.
pub fn teardown(name: &str, observed: &Observed, extent: &Extent<'_>) -> Teardown {
    let mine =
        |resource: &&Resource| resource.labels.get(labels::PROJECT).is_some_and(|it| it == name);
    let names = |resources: &[Resource]| -> Vec<String> {
        resources.iter().filter(mine).map(|resource| resource.name.clone()).collect()
    };
    let mut networks = names(&observed.networks);
    let mut volumes = if extent.volumes { names(&observed.volumes) } else { Vec::new() };
    if let Some(project) = extent.project {
        // Others may use what the files do not name, and a volume may be the only copy of something.
        networks.retain(|name| project.networks.values().any(|network| network.name == *name));
        volumes.retain(|name| project.volumes.values().any(|volume| volume.name == *name));
    }
    let asked = asked_for(&observed.containers, extent);
    if asked.as_ref().is_some_and(BTreeSet::is_empty) {
        return Teardown::default();
    }
    let goes = |container: &&Container| {
        !container.is_ourselves && belongs(container, extent, asked.as_ref())
    };
    let (containers, stay): (Vec<&Container>, Vec<&Container>) =
        observed.containers.iter().partition(goes);
    // The Engine would let go of a network whose containers are only stopped; they could not start again.
    let (in_use, networks) =
        networks.into_iter().partition(|name| stay.iter().any(|it| it.networks.contains_key(name)));
    let containers: Vec<Container> = containers.into_iter().cloned().collect();
    Teardown {
        with_anonymous_volumes: extent.volumes,
        networks,
        in_use,
        volumes,
        images: images(&containers, observed, extent),
        waves: waves(&containers),
    }
}

/// The services that were named, as far as they are known; `None` where none was named. By labels alone,
/// what depends on them goes along.
fn asked_for<'a>(containers: &'a [Container], extent: &'a Extent<'_>) -> Option<BTreeSet<&'a str>> {
    if extent.services.is_empty() {
        return None;
    }
    let mut named: BTreeSet<&str> = extent.services.iter().map(String::as_str).collect();
    if extent.project.is_some() {
        return Some(named);
    }
    named.retain(|name| containers.iter().any(|it| it.service() == *name));
    loop {
        let depends = |it: &&Container| dependencies(it).any(|name| named.contains(name));
        let more: Vec<&str> = containers.iter().filter(depends).map(Container::service).collect();
        let before = named.len();
        named.extend(more);
        if named.len() == before {
            return Some(named);
        }
    }
}

/// The images of services that are there, and those built for them. One that was built for a service
/// that is gone counts as an orphan.
fn images(containers: &[Container], observed: &Observed, extent: &Extent<'_>) -> Vec<String> {
    let Some(which) = extent.images else { return Vec::new() };
    let mut images = BTreeSet::new();
    if let Some(project) = extent.project {
        let has_no_name =
            |it: &&Service| it.build.is_some() && it.image == project.implied_image(&it.name);
        let services = project.services.values();
        let services = services.filter(|it| which == Images::All || has_no_name(it));
        images.extend(services.map(|it| familiar(&it.image)));
    }
    let is_known = |service: &str| match extent.project {
        Some(project) => project.services.contains_key(service),
        None => containers.iter().any(|it| it.service() == service),
    };
    for built in extent.built.iter().filter(|it| extent.orphans || is_known(&it.service)) {
        let service = extent.project.and_then(|it| it.services.get(&built.service));
        let own = service.map(|it| familiar(&it.image)).filter(|own| built.names.contains(own));
        // A person may have given it more names.
        images.extend(own.or_else(|| built.names.first().cloned()));
    }
    images.retain(|image| observed.images.contains_key(image));
    images.into_iter().collect()
}

fn belongs(container: &Container, extent: &Extent<'_>, asked: Option<&BTreeSet<&str>>) -> bool {
    let service = container.service();
    let is_asked = asked.is_none_or(|it| it.contains(service));
    let is_known = extent.project.is_none_or(|it| it.services.contains_key(service));
    // What `run` made goes with its service, for those who want no orphans.
    if is_known || container.is_oneoff() {
        return is_known && is_asked && (extent.orphans || !container.is_oneoff());
    }
    // Services of inactive profiles are left to those who name them.
    let inactive = extent.project.into_iter().flat_map(|it| &it.disabled_services);
    extent.orphans && inactive.into_iter().all(|it| it != service)
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
            (true, true, &named, &["gone", "web", "web run"]),
            (false, false, &[], &["db", "debug", "gone", "web"]),
            (false, true, &[], &["db", "debug", "gone", "web", "web run"]),
            (false, false, &named, &["web"]),
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

    #[test]
    fn images_go_with_the_services_they_were_built_for() {
        let service = |name: &str, image: &str, is_built: bool| {
            let build = is_built.then(Default::default);
            let (name, image) = (name.to_owned(), image.to_owned());
            (name.clone(), Service { name, build, image, ..Service::default() })
        };
        let services = [
            service("plain", "p-plain", true),
            service("named", "own", true),
            service("pulled", "other:2", false),
        ];
        let name = "p".to_owned();
        let project = Project { name, services: services.into(), ..Project::default() };
        let built = |service: &str, names: &[&str]| Built {
            service: service.to_owned(),
            names: names.iter().map(|&it| it.to_owned()).collect(),
        };
        let built = [
            built("named", &["by-hand:1", "own:latest"]),
            built("gone", &["gone:1", "gone:2"]),
            built("nameless", &[]),
        ];
        let present = ["p-plain:latest", "own:latest", "other:2", "by-hand:1", "gone:1", "gone:2"];
        let images = present.map(|it| (it.to_owned(), crate::image::Identity::default())).into();
        let observed =
            Observed { containers: vec![container("gone", "")], images, ..Observed::default() };
        for (has_files, images, orphans, expected) in [
            (true, None, true, &[][..]),
            (true, Some(Images::Local), false, &["own:latest", "p-plain:latest"]),
            (true, Some(Images::Local), true, &["gone:1", "own:latest", "p-plain:latest"]),
            (true, Some(Images::All), false, &["other:2", "own:latest", "p-plain:latest"]),
            (false, Some(Images::Local), false, &["gone:1"]),
            (false, Some(Images::Local), true, &["by-hand:1", "gone:1"]),
        ] {
            let project = has_files.then_some(&project);
            let extent = Extent { project, orphans, images, built: &built, ..Extent::default() };
            let planned = teardown("p", &observed, &extent);
            assert_eq!(planned.images, expected, "{has_files} {images:?} {orphans}");
        }
    }

    fn container(service: &str, depends_on: &str) -> Container {
        let pairs = [(labels::SERVICE, service), (labels::DEPENDS_ON, depends_on)];
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Container { labels, ..Container::default() }
    }
}
