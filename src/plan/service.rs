//! One service: what happens to each of its containers, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{Container, Health, Observed, State, familiar};
use super::recovery::{put_aside, ran_before, unfinished};
use super::references::{self, Parents};
use super::rivals::is_given_up;
use super::{
    Action, Change, Desired, Finished, Kept, Options, Plan, Preparation, PutAside, Recreate,
    Removal, Wait, labels,
};
use crate::compose::model::{Condition, MountKind, Service};

/// One service and what is known about it.
pub(super) struct Scope<'a> {
    desired: &'a Desired<'a>,
    observed: &'a Observed,
    sorted: &'a Sorted<'a>,
    service: &'a Service,
    parents: Parents<'a>,
    /// Hashes of a current container.
    hashes: Vec<String>,
    /// Why running containers of this one restart, where they do.
    restarts_because: Option<String>,
}

/// The containers of a project, sorted once for all its services: looking through all of them for each
/// was most of the work of a plan in which nothing changes.
pub(super) struct Sorted<'a> {
    /// By service, without those of `compose run` and those on their way out.
    of_service: BTreeMap<&'a str, Vec<&'a Container>>,
    /// Of services that are given up, without those of `compose run`.
    given_up: Vec<&'a Container>,
}

impl<'a> Sorted<'a> {
    /// Sorts what was observed.
    pub(super) fn new(desired: &Desired<'_>, observed: &'a Observed) -> Self {
        let mut sorted = Self { of_service: BTreeMap::new(), given_up: Vec::new() };
        for container in observed.containers.iter().filter(|it| !it.is_oneoff()) {
            if container.state != State::Removing {
                sorted.of_service.entry(container.service()).or_default().push(container);
            }
            if is_given_up(desired.project, container) {
                sorted.given_up.push(container);
            }
        }
        sorted
    }
}

/// What an existing container needs.
enum Verb {
    Replace,
    Start,
    Restart,
}

impl<'a> Scope<'a> {
    /// Looks at a service after those that it depends on were planned.
    pub(super) fn new(
        desired: &'a Desired<'a>,
        (observed, sorted): (&'a Observed, &'a Sorted<'a>),
        service: &'a Service,
        plan: &Plan,
    ) -> Self {
        let parents = references::parents(service, observed, plan);
        let none = BTreeMap::new();
        let ids = match &parents {
            Parents::Standing(ids) => ids,
            Parents::New(_) => &none,
        };
        let hashes = desired.hashes.referring(service, ids);
        let is_new = |name: &str| {
            let mut changes = plan.changes.iter().filter(|change| change.service == name);
            changes.any(|change| matches!(change.action, Action::Replace { .. }))
        };
        let restarting = service.depends_on.iter().filter(|(_, it)| it.restart);
        let replaced = restarting.map(|(name, _)| name.as_str()).find(|name| is_new(name));
        let restarts_because = replaced.map(|name| format!("{name} is replaced")).or_else(|| {
            let name = references::starts_anew(service, observed, plan)?;
            Some(format!("lives with a container of {name}, which starts anew"))
        });
        Self { desired, observed, sorted, service, parents, hashes, restarts_because }
    }

    /// Adds to the plan what happens to the containers of the service.
    pub(super) fn plan(&self, plan: &mut Plan) {
        let mut containers = self.containers();
        if let Some(own) = containers.iter().find(|it| it.is_ourselves) {
            plan.notes.push(format!(
                "container `{}` is the one roadstead runs in; replace it by hand where it changed",
                own.name
            ));
            plan.unchanged += containers.len();
            return;
        }
        let finishing = plan.changes.len();
        let stopped_by_us = self.resume(&mut containers, plan);
        let finished = plan.changes[finishing..].iter().map(|it| it.number);
        let numbers = containers.iter().map(|it| it.number()).chain(finished);
        let last_number = numbers.max().unwrap_or(0);
        let finishing = plan.changes.len() - finishing;
        self.drop_leftovers(&mut containers, plan);
        let wanted = (self.service.replicas() as usize).saturating_sub(finishing);
        self.remove_excess(&mut containers, wanted, plan);
        let missing = wanted - containers.len();
        for container in containers {
            let restart = stopped_by_us.contains(container.id.as_str());
            self.bring_up(container, restart, plan);
        }
        for number in (last_number + 1..).take(missing) {
            plan.changes.push(self.change(number, Action::Create, "missing"));
        }
    }

    fn containers(&self) -> Vec<&'a Container> {
        self.sorted.of_service.get(self.service.name.as_str()).cloned().unwrap_or_default()
    }

    /// Deals with switches that were cut short, and takes what needs no further look out of
    /// `containers`. Returns the ids of old containers that are to run again.
    fn resume(&self, containers: &mut Vec<&'a Container>, plan: &mut Plan) -> BTreeSet<&'a str> {
        let mut stopped_by_us = BTreeSet::new();
        let mut finishing = 0;
        for (old, new) in self.interrupted(containers) {
            let is_current = self.difference(new).is_none();
            if is_current && (new.is_up() || self.ended_well(new)) && finishing < self.wanted() {
                let restart_policy = put_aside(old, new).map(|it| it.policy);
                let kept = Kept { restart_policy, ..self.kept(old, ran_before(new)) };
                let action = Action::Finish { old: kept, id: new.id.clone() };
                plan.changes.push(self.change(
                    new.number(),
                    action,
                    "an interrupted run had started it",
                ));
                containers.retain(|it| it.id != old.id && it.id != new.id);
                finishing += 1;
            } else if self.is_well(new) && !is_running(old) {
                // The new one is what runs now; what follows must not take it away before its own
                // replacement is there.
                plan.prepare.push(leftover(old, None));
                containers.retain(|it| it.id != old.id);
            } else {
                plan.prepare.push(leftover(new, put_aside(old, new)));
                containers.retain(|it| it.id != new.id);
                if ran_before(new) {
                    stopped_by_us.insert(old.id.as_str());
                }
            }
        }
        stopped_by_us
    }

    /// Pairs of (old, new) of an interrupted switch to a container of this service. The old one may be
    /// of another service that is given up.
    fn interrupted(&self, containers: &[&'a Container]) -> Vec<(&'a Container, &'a Container)> {
        let others = self.sorted.given_up.iter().filter(|it| it.service() != self.service.name);
        let all: Vec<&Container> = containers.iter().chain(others).copied().collect();
        let mut pairs = unfinished(&all);
        pairs.retain(|(_, new)| new.service() == self.service.name);
        pairs
    }

    /// New containers that docker compose had made beside the old ones when it was cut short: it
    /// starts them only once the old ones are gone.
    fn drop_leftovers(&self, containers: &mut Vec<&'a Container>, plan: &mut Plan) {
        let is_leftover = |it: &&Container| {
            let others = &self.observed.containers;
            let has_other = |name: &str| others.iter().any(|other| other.name == name);
            it.state == State::Created && temporary_name(it).is_some_and(has_other)
        };
        for leftover_of_others in containers.extract_if(.., |it| is_leftover(&&**it)) {
            plan.prepare.push(leftover(leftover_of_others, None));
        }
    }

    /// Current ones and low numbers stay when there are too many.
    fn remove_excess(&self, containers: &mut Vec<&'a Container>, wanted: usize, plan: &mut Plan) {
        containers.sort_by_key(|it| {
            (self.difference(it).is_some(), temporary_name(it).is_some(), it.number())
        });
        for excess in containers.split_off(containers.len().min(wanted)) {
            let why = format!("{} replicas wanted", self.service.replicas());
            plan.removals.push(Removal { id: excess.id.clone(), name: excess.name.clone(), why });
        }
    }

    fn bring_up(&self, container: &Container, restart: bool, plan: &mut Plan) {
        let number = container.number();
        let next = self.next_action(container);
        if let Some((Verb::Replace, why)) = next {
            let action = Action::Replace { old: self.kept(container, restart) };
            plan.changes.push(self.change(number, action, &why));
            return;
        }
        let is_misnamed =
            temporary_name(container).is_some_and(|final_name| final_name == self.name(number));
        if is_misnamed {
            let action = Action::Rename { id: container.id.clone() };
            let why = "an interrupted run left it under a temporary name";
            // A name waits for nothing.
            plan.changes.push(Change { after: Vec::new(), ..self.change(number, action, why) });
        }
        if let Some((verb @ (Verb::Start | Verb::Restart), why)) = &next {
            let id = container.id.clone();
            let action = match verb {
                Verb::Restart => Action::Restart { id },
                Verb::Replace | Verb::Start => Action::Start { id },
            };
            let change = self.change(number, action, why);
            let name = if is_misnamed { change.name.clone() } else { container.name.clone() };
            plan.changes.push(Change { name, ..change });
        }
        if next.is_none() && !is_misnamed {
            plan.unchanged += 1;
        }
    }

    fn change(&self, number: u32, action: Action, why: &str) -> Change {
        let services = &self.desired.project.services;
        let depends_on = self.service.depends_on.iter();
        // What is not required may be off; there is nothing to wait for then.
        let on = depends_on.filter(|(name, _)| services.contains_key(*name));
        let after = on.map(|(name, dependency)| Wait {
            service: name.clone(),
            condition: dependency.condition,
            required: dependency.required,
        });
        Change {
            service: self.service.name.clone(),
            number,
            name: self.name(number),
            action,
            why: why.to_owned(),
            after: after.collect(),
            rivals: Vec::new(),
        }
    }

    fn name(&self, number: u32) -> String {
        self.desired.project.container_name(self.service, number)
    }

    fn wanted(&self) -> usize {
        self.service.replicas() as usize
    }

    fn ended_well(&self, container: &Container) -> bool {
        container.is_done() && !restarts_after_success(self.service)
    }

    /// Ended well by itself, and was meant to: somebody waits for its end, or nothing speaks against it.
    /// A service that is named is asked for anew.
    fn has_done_its_work(&self, container: &Container) -> bool {
        let name = &self.service.name;
        let Options { finished, services, .. } = self.desired.options;
        let end_is_awaited = self.desired.project.services.values().any(|it| {
            let on = it.depends_on.get(name);
            on.is_some_and(|on| on.condition == Condition::CompletedSuccessfully)
        });
        let looks_done = *finished == Finished::LooksDone && !serves(self.service);
        self.ended_well(container) && (end_is_awaited || looks_done) && !services.contains(name)
    }

    /// Runs, and its health check, if it has one, says so; or was to end, and did.
    fn is_well(&self, container: &Container) -> bool {
        container.is_up() && container.health != Some(Health::Starting)
            || self.ended_well(container)
    }

    /// What must happen to an existing container, and why; `None` where it is as it should be.
    fn next_action(&self, container: &Container) -> Option<(Verb, String)> {
        if let Some(why) = self.difference(container) {
            return Some((Verb::Replace, why));
        }
        match container.state {
            State::Running | State::Restarting => {
                Some((Verb::Restart, self.restarts_because.clone()?))
            }
            State::Dead | State::Removing => Some((Verb::Replace, "half removed".to_owned())),
            State::Created => Some((Verb::Start, "never started".to_owned())),
            State::Paused => Some((Verb::Start, "paused".to_owned())),
            // A one-shot that ended well is what was asked for; running it again is not.
            State::Exited if self.has_done_its_work(container) => None,
            State::Exited => {
                let code =
                    container.exit_code.map_or_else(String::new, |code| format!(" with {code}"));
                Some((Verb::Start, format!("exited{code}")))
            }
        }
    }

    fn kept(&self, container: &Container, was_running: bool) -> Kept {
        let running = is_running(container);
        let renew = self.desired.options.renew_anonymous_volumes;
        let anonymous_volumes =
            if renew { BTreeMap::new() } else { container.anonymous_volumes.clone() };
        Kept {
            id: container.id.clone(),
            name: container.name.clone(),
            restart: running || was_running,
            running,
            anonymous_volumes,
            restart_policy: None,
        }
    }

    /// In what a container differs from its service; `None` where it is current.
    fn difference(&self, container: &Container) -> Option<String> {
        let Options { recreate, by_force, .. } = self.desired.options;
        match recreate {
            Recreate::Always if by_force.is_empty() || by_force.contains(&self.service.name) => {
                return Some("asked for".to_owned());
            }
            Recreate::Never => return None,
            Recreate::Always | Recreate::Diverged => {}
        }
        if let Parents::New(name) = self.parents {
            return Some(format!("lives with a container of {name}, which is made new"));
        }
        let hash = container.label(labels::CONFIG_HASH);
        if !self.hashes.iter().any(|it| it == hash) {
            return Some("configuration changed".to_owned());
        }
        // One that docker compose made carries no digest, and nobody knows what it was made from.
        let content = self.desired.hashes.contents.get(&self.service.name);
        let written = container.labels.get(labels::CONTENT);
        if content.is_some_and(|it| written.is_some_and(|written| written != it)) {
            return Some("content of a secret or config changed".to_owned());
        }
        let image = self.observed.images.get(&familiar(&self.service.image));
        let made_from = [container.image_id.as_str(), container.label(labels::IMAGE)];
        if image.is_some_and(|image| !image.is_one_of(&made_from)) {
            return Some(format!("image {} changed", self.service.image));
        }
        if let Some(name) = self.detached_network(container) {
            return Some(format!("not attached to network {name}"));
        }
        self.unmounted_volume(container).map(|name| format!("volume {name} is not mounted"))
    }

    fn detached_network(&self, container: &Container) -> Option<&'a str> {
        let networks = &self.desired.project.networks;
        let names =
            self.service.networks.keys().filter_map(|key| Some(networks.get(key)?.name.as_str()));
        let is_attached = |name: &str| {
            let mut existing = self.observed.networks.iter().filter(|it| it.name == name);
            container.networks.get(name).is_some_and(|id| {
                // The Engine reports no network id for a container that was never started.
                existing.any(|it| id.is_empty() || *id == it.id)
            })
        };
        names.into_iter().find(|name| !is_attached(name))
    }

    fn unmounted_volume(&self, container: &Container) -> Option<&'a str> {
        let volumes = &self.desired.project.volumes;
        let mounted = self.service.volumes.iter().filter_map(|mount| match mount.kind {
            MountKind::Volume { .. } => Some(volumes.get(mount.source.as_ref()?)?.name.as_str()),
            MountKind::Bind { .. }
            | MountKind::Tmpfs { .. }
            | MountKind::Image { .. }
            | MountKind::NamedPipe
            | MountKind::Cluster => None,
        });
        mounted.into_iter().find(|name| !container.volumes.contains(*name))
    }
}

/// The name a container has while the one it replaces still exists, as docker compose makes it.
pub fn name_beside(old_id: &str, name: &str) -> String {
    format!("{}_{name}", old_id.get(..12).unwrap_or(old_id))
}

/// The final name in a [`name_beside`]; `None` where the container has none of that kind.
fn temporary_name(container: &Container) -> Option<&str> {
    let (id, name) = container.name.split_once('_')?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id || container.replaces().is_some_and(|old| old.get(..12) == Some(id))).then_some(name)
}

/// Whether its restart policy starts a container again that ended with exit code 0.
pub fn restarts_after_success(service: &Service) -> bool {
    let deployed = service.deploy.as_ref().and_then(|it| it.restart_policy.as_ref());
    match deployed {
        // Without a condition, docker compose sends the Engine no word, and it starts nothing again.
        Some(policy) => {
            matches!(policy.condition.as_deref(), Some("any" | "always" | "unless-stopped"))
        }
        None => matches!(service.restart.as_deref(), Some("always" | "unless-stopped")),
    }
}

/// Whether others are to find a service while it runs: it has ports, or a health check.
fn serves(service: &Service) -> bool {
    let is_checked = service
        .healthcheck
        .as_ref()
        .is_some_and(|it| it.test.first().is_none_or(|word| word != "NONE"));
    !service.ports.is_empty() || is_checked
}

fn is_running(container: &Container) -> bool {
    matches!(container.state, State::Running | State::Restarting | State::Paused)
}

fn leftover(container: &Container, put_aside: Option<PutAside>) -> Preparation {
    let (id, name) = (container.id.clone(), container.name.clone());
    Preparation::RemoveLeftover { id, name, put_aside }
}
