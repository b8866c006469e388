//! The project a command works on, and which of its containers.
//!
//! As with docker compose, the files are read unless a name was given and no file: then labels say
//! all there is to know.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use tracing::warn;

use super::{Session, load_project};
use crate::compose::Request;
use crate::compose::load::{name_in_environment, normalise_name};
use crate::compose::model::{Condition, Project};
use crate::docker::Listed;
use crate::git::View;
use crate::plan::labels;
use crate::plan::observed::Container;

/// The project of a command.
pub(super) struct Target {
    /// Its name.
    pub(super) name: String,
    /// What its files say, where there are any to read.
    pub(super) project: Option<Project>,
}

/// What one service waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The other service.
    pub(super) service: String,
    /// What it must have reached.
    pub(super) condition: Condition,
    /// Whether a restart of the other one restarts this one.
    pub(super) restart: bool,
    /// Whether it matters that it is not reached.
    pub(super) required: bool,
}

/// By service, what it waits for.
pub(super) type Edges = BTreeMap<String, Vec<Edge>>;

impl Session {
    /// The project of this command; refuses `services` that its files do not have.
    pub(super) fn target(&self, services: &[String]) -> Result<Target> {
        // What is named is meant, whatever its profiles.
        let enabled_services = services.to_vec();
        let request = Request { enabled_services, ..self.request_for_names() };
        let target = resolve(&request)?;
        target.refuse_unknown(services)?;
        Ok(target)
    }

    /// As [`Self::target`], also where what these services need is in no active profile: it may run
    /// all the same, and the command is not about it.
    pub(super) fn target_alone(&self, services: &[String]) -> Result<Target> {
        self.target(services).or_else(|_| {
            let target = self.target(&[])?;
            target.refuse_unknown(services)?;
            Ok(target)
        })
    }

    /// As [`Self::target`], with nothing in it but these services and what they depend on.
    pub(super) fn target_of(&self, services: &[String]) -> Result<Target> {
        let request = Request { services: services.to_vec(), ..self.request_for_names() };
        // The whole project knows which services there are.
        resolve(&request).or_else(|error| self.target(services).and(Err(error)))
    }

    /// The request of a command that makes no container: it needs no variables of services, and their
    /// file may be gone; nor does it matter that two services have one `container_name`.
    pub(super) fn request_for_names(&self) -> Request {
        let mut request = self.request.clone();
        request.skip.environment = true;
        request.skip.unique_names = true;
        request
    }

    /// The project of a command about the images of these services, all where none is named; a name
    /// alone says nothing of images, so that the files are needed.
    pub(super) fn project_of_images(&self, services: &[String]) -> Result<Project> {
        self.target(services)?;
        load_project(&Request { services: services.to_vec(), ..self.request_for_names() })
    }

    /// The project of this command, of which only the name matters: services that the files do not
    /// have may still have containers.
    pub(super) fn target_by_name(&self) -> Result<Target> {
        Ok(Target { project: None, ..self.target(&[])? })
    }

    /// The containers of a project that Compose lists, by name; those of `run` only if `one_offs`.
    pub(super) async fn listed(&self, target: &Target, one_offs: bool) -> Result<Vec<Listed>> {
        let mut listed = self.engine.listed(Some(&target.name)).await?;
        listed.retain(|it| one_offs || !it.container.is_oneoff());
        Ok(listed)
    }

    /// The containers of some services; of all of the project where none was named.
    pub(super) async fn containers(
        &self,
        target: &Target,
        services: &[String],
        one_offs: bool,
    ) -> Result<Vec<Container>> {
        let listed = self.listed(target, one_offs).await?;
        let found: Vec<Container> = listed.into_iter().map(|it| it.container).collect();
        target.note_absent(services, &found);
        Ok(found.into_iter().filter(|it| target.wants(services, it)).collect())
    }

    /// One container of a service: the one with this number, else the first; one of `run` only
    /// where there is no other.
    pub(super) async fn one_container(
        &self,
        target: &Target,
        service: &str,
        index: Option<u32>,
    ) -> Result<Container> {
        // 0 is none in particular.
        let index = index.filter(|it| *it > 0);
        let listed = self.listed(target, true).await?;
        let all: Vec<Container> = listed.into_iter().map(|it| it.container).collect();
        let mut of_service: Vec<_> = all.iter().filter(|it| it.service() == service).collect();
        of_service.sort_by_key(|it| (it.is_oneoff(), it.number()));
        let is_asked =
            |it: &&&Container| index.is_none_or(|number| it.number() == number) && is_running(it);
        match of_service.iter().find(is_asked) {
            Some(container) => Ok((*container).clone()),
            None => Err(target.not_running(service, index, &all)),
        }
    }
}

/// The project that a request is about.
fn resolve(request: &Request) -> Result<Target> {
    match &request.project_name {
        Some(name) if request.files.is_empty() => {
            Ok(Target { name: normalise_name(name), project: None })
        }
        _ => match load_project(request) {
            Ok(project) => Ok(Target { name: project.name.clone(), project: Some(project) }),
            Err(error) => name_in_environment(request, &View::of_this_machine())
                .map(|name| {
                    warn!("{name}: its files cannot be read, labels must do: {error:#}");
                    Target { name, project: None }
                })
                .ok_or(error),
        },
    }
}

impl Target {
    fn refuse_unknown(&self, services: &[String]) -> Result<()> {
        let Some(project) = &self.project else { return Ok(()) };
        let known = || {
            let active = project.services.keys().map(String::as_str);
            active.chain(project.disabled_services.iter().map(String::as_str))
        };
        match services.iter().find(|name| known().all(|it| it != **name)) {
            Some(unknown) => bail!("no such service: {unknown}{}", did_you_mean(unknown, known())),
            None => Ok(()),
        }
    }

    /// Without files nobody can say that a service does not exist; a typo should still not go by
    /// in silence.
    fn note_absent(&self, services: &[String], containers: &[Container]) {
        if self.project.is_some() {
            return;
        }
        for name in services {
            if containers.iter().all(|it| it.service() != name) {
                let near = did_you_mean(name, containers.iter().map(Container::service));
                tracing::warn!("project `{}` has no container of `{name}`{near}", self.name);
            }
        }
    }

    /// Whether a container is meant: of one of these services, or of any that the files have.
    pub(super) fn wants(&self, services: &[String], container: &Container) -> bool {
        let service = container.service();
        if !services.is_empty() {
            return services.iter().any(|it| it == service);
        }
        self.project.as_ref().is_none_or(|it| it.services.contains_key(service))
    }

    /// Leaves out the services with `attach: false`, whose output is for those who name them.
    pub(super) fn leave_out_detached(&mut self) {
        if let Some(project) = &mut self.project
            && project.services.values().any(|it| it.attach != Some(false))
        {
            project.services.retain(|_, it| it.attach != Some(false));
        }
    }

    fn not_running(&self, service: &str, index: Option<u32>, all: &[Container]) -> anyhow::Error {
        let same: Vec<_> = all.iter().filter(|it| it.service() == service).collect();
        let number = index.map_or_else(String::new, |it| format!(" container #{it}"));
        let advice = if let (Some(index), true) = (index, same.iter().any(|it| is_running(it))) {
            let numbers: Vec<_> = same.iter().map(|it| it.number().to_string()).collect();
            format!("it has no #{index}, only {}", numbers.join(", "))
        } else if let Some(container) = same.first() {
            format!(
                "`{}` is {}; start it with `compose start {service}`",
                container.name,
                container.state.as_str()
            )
        } else {
            let known = self.project.iter().flat_map(|it| it.services.keys().map(String::as_str));
            let known: BTreeSet<&str> = known.chain(all.iter().map(Container::service)).collect();
            if known.contains(service) {
                format!("create and start it with `compose up -d {service}`")
            } else {
                format!(
                    "project `{}` has no such service{}",
                    self.name,
                    did_you_mean(service, known)
                )
            }
        };
        anyhow::anyhow!("service \"{service}\" is not running{number}: {advice}")
    }

    /// What each service waits for: as the files say, else as the labels do.
    pub(super) fn edges(&self, containers: &[Container]) -> Edges {
        if let Some(project) = &self.project {
            let edges = |service: &crate::compose::model::Service| {
                let edge = |(name, it): (&String, &crate::compose::model::Dependency)| Edge {
                    service: name.clone(),
                    condition: it.condition,
                    restart: it.restart,
                    required: it.required,
                };
                service.depends_on.iter().map(edge).collect()
            };
            return project.services.iter().map(|(name, it)| (name.clone(), edges(it))).collect();
        }
        let label = |it: &Container| (it.service().to_owned(), edges_of_label(it));
        containers.iter().map(label).collect()
    }
}

/// Reads `service:condition:restart`, separated by commas.
fn edges_of_label(container: &Container) -> Vec<Edge> {
    let entry = |text: &str| {
        let mut parts = text.split(':');
        let service = parts.next().filter(|it| !it.is_empty())?.to_owned();
        let condition = match parts.next() {
            Some("service_healthy") => Condition::Healthy,
            Some("service_completed_successfully") => Condition::CompletedSuccessfully,
            _ => Condition::Started,
        };
        let restart = parts.next() == Some("true");
        Some(Edge { service, condition, restart, required: true })
    };
    container.label(labels::DEPENDS_ON).split(',').filter_map(entry).collect()
}

/// Services in waves, each after what it waits for; cycles, which only labels can have, go together.
pub(super) fn waves(services: &BTreeSet<String>, edges: &Edges) -> Vec<BTreeSet<String>> {
    let mut left = services.clone();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let waits = |name: &String| {
            let needs = edges.get(name).into_iter().flatten();
            needs.into_iter().any(|edge| edge.service != *name && left.contains(&edge.service))
        };
        let ready: BTreeSet<String> = left.iter().filter(|it| !waits(it)).cloned().collect();
        let wave = if ready.is_empty() { left.clone() } else { ready };
        left.retain(|it| !wave.contains(it));
        waves.push(wave);
    }
    waves
}

/// True for what the Engine lists without being asked for all.
pub(super) fn is_running(container: &Container) -> bool {
    container.state.lives()
}

/// `; did you mean X?`, where there is something near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = crate::problem::nearest(word, known);
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Services with what they wait for, and the waves they make.
    type Row<'a> = (&'a [(&'a str, &'a [&'a str])], &'a [&'a [&'a str]]);

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn services_come_after_what_they_wait_for() {
        let rows: &[Row<'_>] = &[
            (&[("a", &[]), ("b", &[])], &[&["a", "b"]]),
            (&[("a", &["b"]), ("b", &[])], &[&["b"], &["a"]]),
            (&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])], &[&["c"], &["b"], &["a"]]),
            (&[("a", &["gone"])], &[&["a"]]),
            (&[("a", &["b"]), ("b", &["a"])], &[&["a", "b"]]),
            (&[("a", &["a"])], &[&["a"]]),
        ];
        for (services, expected) in rows {
            let edge = |name: &&str| Edge {
                service: (*name).to_owned(),
                condition: Condition::Started,
                restart: false,
                required: true,
            };
            let edges = services.iter().map(|(name, needs)| {
                ((*name).to_owned(), needs.iter().map(edge).collect::<Vec<_>>())
            });
            let names: Vec<&str> = services.iter().map(|it| it.0).collect();
            let found = waves(&set(&names), &edges.collect());
            let expected: Vec<_> = expected.iter().map(|it| set(it)).collect();
            assert_eq!(found, expected, "{services:?}");
        }
    }

    #[test]
    fn labels_tell_what_a_service_waits_for() {
        for (label, expected) in [
            ("", vec![]),
            ("db:service_healthy:true", vec![("db", Condition::Healthy, true)]),
            (
                "db:service_started:false,init:service_completed_successfully:false",
                vec![
                    ("db", Condition::Started, false),
                    ("init", Condition::CompletedSuccessfully, false),
                ],
            ),
            ("db", vec![("db", Condition::Started, false)]),
        ] {
            let labels = [(labels::DEPENDS_ON.to_owned(), label.to_owned())].into();
            let container = Container { labels, ..Container::default() };
            let found = edges_of_label(&container);
            let found: Vec<_> =
                found.iter().map(|it| (it.service.as_str(), it.condition, it.restart)).collect();
            assert_eq!(found, expected, "{label}");
        }
    }
}
