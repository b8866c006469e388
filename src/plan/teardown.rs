//! Taking a project down: what goes, in which order, from labels alone.
//!
//! The Compose files may be gone or broken, so the order comes from the containers' own labels.

use std::collections::BTreeSet;

use super::labels;
use super::observed::{Container, Observed, Resource};

/// What goes when a project goes down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teardown {
    /// Containers in waves: those of one wave go together, dependents before what they depend on.
    pub waves: Vec<Vec<Container>>,
    /// Names of networks made for the project.
    pub networks: Vec<String>,
    /// Names of volumes made for the project; empty unless asked for.
    pub volumes: Vec<String>,
}

/// Plans to take a project down.
pub fn teardown(project: &str, observed: &Observed, with_volumes: bool) -> Teardown {
    let mine = |resource: &&Resource| {
        resource.labels.get(labels::PROJECT).is_some_and(|name| name == project)
    };
    let names = |resources: &[Resource]| {
        resources.iter().filter(mine).map(|resource| resource.name.clone()).collect()
    };
    Teardown {
        waves: waves(&observed.containers),
        networks: names(&observed.networks),
        volumes: if with_volumes { names(&observed.volumes) } else { Vec::new() },
    }
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

    fn container(service: &str, depends_on: &str) -> Container {
        let pairs = [(labels::SERVICE, service), (labels::DEPENDS_ON, depends_on)];
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Container { labels, ..Container::default() }
    }
}
