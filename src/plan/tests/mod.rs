//! Plans as tables: what is changed about a converged world, and the lines of the plan that follows.
//! Here is that world; the tables are in the files beside.

mod containers;
mod convergence;
mod finished;
mod interrupted;
mod rivals;
mod surroundings;

use std::collections::BTreeMap;

use super::observed::{Container, Health, Observed, Resource, State};
use super::{Desired, Hashes, Options, Recreate, labels, plan};
use crate::compose::model::{
    Condition, Dependency, Deploy, Mount, MountKind, Network, Project, PullPolicy, RestartPolicy,
    Service, ServiceNetwork, Volume,
};
use crate::image::Identity;

/// A project `p` with one service `web`, and the Engine as it is when nothing is to do.
#[derive(Clone, Debug)]
struct Case {
    project: Project,
    hashes: Hashes,
    observed: Observed,
    options: Options,
}

impl Case {
    fn converged() -> Self {
        let mut case = Self::empty();
        let container = case.container_of("web", 1);
        case.observed.containers.push(container);
        case
    }

    /// Everything is there except containers.
    fn empty() -> Self {
        let web = Service {
            name: "web".to_owned(),
            image: "nginx".to_owned(),
            restart: Some("always".to_owned()),
            networks: [("default".to_owned(), None)].into(),
            ..Service::default()
        };
        let network = Network { name: "p_default".to_owned(), ..Network::default() };
        let project = Project {
            name: "p".to_owned(),
            working_dir: "/srv/p".into(),
            services: [("web".to_owned(), web)].into(),
            networks: [("default".to_owned(), network)].into(),
            ..Project::default()
        };
        let both = || vec!["new-dialect".to_owned(), "old-dialect".to_owned()];
        let hashes = Hashes {
            to_write: crate::compose::hash::Dialect::V5,
            services: [("web".to_owned(), both())].into(),
            networks: [("default".to_owned(), vec!["network-hash".to_owned()])].into(),
            volumes: [("data".to_owned(), vec!["volume-hash".to_owned()])].into(),
            contents: BTreeMap::new(),
        };
        let observed = Observed {
            networks: vec![resource("p_default", labels::NETWORK, "network-hash")],
            images: [("nginx:latest".to_owned(), identity("sha256:one"))].into(),
            ..Observed::default()
        };
        Self { project, hashes, observed, options: Options::default() }
    }

    fn service(&mut self) -> &mut Service {
        self.project.services.get_mut("web").unwrap()
    }

    fn container(&mut self) -> &mut Container {
        &mut self.observed.containers[0]
    }

    /// Adds a service like `web`.
    fn add_service(&mut self, name: &str) -> &mut Service {
        let service = Service { name: name.to_owned(), ..self.project.services["web"].clone() };
        self.hashes.services.insert(name.to_owned(), self.hashes.services["web"].clone());
        self.project.services.entry(name.to_owned()).or_insert(service)
    }

    /// Adds a running, current container.
    fn add(&mut self, service: &str, number: u32) -> &mut Container {
        let container = self.container_of(service, number);
        self.observed.containers.push(container);
        self.observed.containers.last_mut().unwrap()
    }

    fn container_of(&self, service: &str, number: u32) -> Container {
        let number_text = number.to_string();
        let pairs = [
            (labels::PROJECT, "p"),
            (labels::SERVICE, service),
            (labels::CONFIG_HASH, "new-dialect"),
            (labels::ONEOFF, "False"),
            (labels::CONTAINER_NUMBER, &number_text),
            (labels::WORKING_DIR, "/srv/p"),
        ];
        Container {
            id: id(&format!("{service}{number}")),
            name: format!("p-{service}-{number}"),
            image_id: self
                .observed
                .images
                .get("nginx:latest")
                .map(|it| it.id.clone())
                .unwrap_or_default(),
            state: State::Running,
            labels: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            networks: [("p_default".to_owned(), id("p_default"))].into(),
            ..Container::default()
        }
    }

    fn add_volume(&mut self, is_external: bool) {
        let volume =
            Volume { name: "p_data".to_owned(), external: is_external, ..Volume::default() };
        self.project.volumes.insert("data".to_owned(), volume);
        self.service().volumes.push(mount(Some("data"), "/data"));
    }

    fn plan(&self) -> Result<super::Plan, super::Refusal> {
        let desired =
            Desired { project: &self.project, hashes: &self.hashes, options: &self.options };
        plan(&desired, &self.observed)
    }

    /// The plan as lines; notes and refusals too.
    fn lines(&self) -> Vec<String> {
        match self.plan() {
            Ok(plan) => {
                let notes = plan.notes.iter().map(|note| format!("note: {note}"));
                plan.lines().into_iter().chain(notes).collect()
            }
            Err(refusal) => refusal.0.iter().map(|what| format!("refused: {what}")).collect(),
        }
    }
}

/// An id as long as the Engine's that begins with `seed`.
fn identity(id: &str) -> Identity {
    Identity { id: id.to_owned(), ..Identity::default() }
}

fn id(seed: &str) -> String {
    format!("{seed:0<64}")
}

fn resource(name: &str, key_label: &str, hash: &str) -> Resource {
    let pairs = [(key_label, "key"), (labels::CONFIG_HASH, hash), (labels::PROJECT, "p")];
    let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Resource { id: id(name), name: name.to_owned(), labels }
}

fn mount(source: Option<&str>, target: &str) -> Mount {
    Mount {
        kind: MountKind::Volume { nocopy: false, subpath: None, labels: BTreeMap::new() },
        source: source.map(str::to_owned),
        target: target.to_owned(),
        read_only: false,
        consistency: None,
        options_given: false,
        other_blocks: Vec::new(),
    }
}

fn set(container: &mut Container, label: &str, value: &str) {
    container.labels.insert(label.to_owned(), value.to_owned());
}

fn depends_on(service: &str) -> (String, Dependency) {
    let dependency = Dependency { condition: Condition::Healthy, restart: false, required: true };
    (service.to_owned(), dependency)
}

type Row<'a> = (&'a str, fn(&mut Case), &'a [&'a str]);

fn check(rows: &[Row<'_>]) {
    for (what, change, expected) in rows {
        let mut case = Case::converged();
        change(&mut case);
        assert_eq!(case.lines(), *expected, "{what}");
    }
}
