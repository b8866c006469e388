//! What one service says against what the rest of the project has: references, cycles, clashes.

use std::collections::{BTreeMap, BTreeSet};

use super::load::IMPLIED;
use super::model::{MountKind, Service};
use super::yaml::{Node, Span, Value};
use crate::problem::{Problem, nearest};

/// Problems after which no further one is looked for.
const MAX_PROBLEMS: usize = 100;

/// The names that services may refer to.
pub struct Names<'a> {
    /// Every service.
    pub services: BTreeSet<&'a str>,
    /// Services that an active profile enables.
    pub enabled: BTreeSet<&'a str>,
    /// Top-level networks.
    pub networks: BTreeSet<&'a str>,
    /// Top-level volumes.
    pub volumes: BTreeSet<&'a str>,
    /// Top-level secrets.
    pub secrets: BTreeSet<&'a str>,
    /// Top-level configs.
    pub configs: BTreeSet<&'a str>,
}

/// Checks the enabled services of a project; `root` is the merged tree, for the places.
pub fn check(
    root: &Node,
    services: &BTreeMap<String, Service>,
    names: &Names<'_>,
    problems: &mut Vec<Problem>,
) {
    for service in services.values() {
        // Each problem costs a walk to its place; nobody reads more of them.
        if problems.len() > MAX_PROBLEMS {
            break;
        }
        let mut checker = Checker { root, service, problems };
        checker.image();
        checker.build(services, names);
        checker.networks(names);
        checker.files(names);
        checker.volumes(names);
        checker.dependencies(names);
        checker.targets();
        checker.replicas();
        checker.limits();
    }
    if let Some(cycle) = cycle(services) {
        let span = place(root, &["services", cycle[0], "depends_on"], cycle[1 % cycle.len()]);
        let mut shown = cycle.clone();
        shown.push(cycle[0]);
        let path = shown.join(" -> ");
        problems.push(span.problem(format!("services wait for each other: {path}")));
    }
}

/// Refuses one `container_name` for two services.
pub fn container_names(
    root: &Node,
    services: &BTreeMap<String, Service>,
    problems: &mut Vec<Problem>,
) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for service in services.values() {
        let Some(name) = &service.container_name else { continue };
        if problems.len() > MAX_PROBLEMS {
            break;
        }
        if let Some(owner) = owners.insert(name, &service.name) {
            let path = format!("services.{}.container_name", service.name);
            let span = place(root, &["services", &service.name], "container_name");
            let message = format!("`{path}` is `{name}`, which `{owner}` has: expected another");
            problems.push(span.problem(message));
        }
    }
}

struct Checker<'a> {
    root: &'a Node,
    service: &'a Service,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    /// Whether nobody would read another problem; to find its place takes a walk.
    fn has_enough(&self) -> bool {
        self.problems.len() > MAX_PROBLEMS
    }

    /// A problem at a key of the service, or at an entry of what the key holds.
    fn refuse(&mut self, key: &str, entry: &str, message: &str) {
        if self.has_enough() {
            return;
        }
        let span = place(self.root, &["services", &self.service.name, key], entry);
        let path = format!("services.{}.{key}", self.service.name);
        self.problems.push(span.problem(format!("`{path}` {message}")));
    }

    /// A problem with a name that the project does not have.
    fn undefined(&mut self, key: &str, entry: &str, name: &str, of: (&str, &BTreeSet<&str>)) {
        let (what, known) = of;
        if self.has_enough() {
            return;
        }
        self.refuse(key, entry, &format!("names the undefined {what} `{name}`"));
        if let Some(near) = nearest(name, known.iter().copied())
            && let Some(problem) = self.problems.pop()
        {
            self.problems.push(problem.with_hint(format!("did you mean `{near}`?")));
        }
    }

    fn image(&mut self) {
        if self.service.image.is_empty() && self.service.build.is_none() {
            let name = &self.service.name;
            let span = place(self.root, &["services"], name);
            let service = at(self.root, &["services", name]);
            // A key that is refused by itself explains enough.
            let has = |key: &str| service.and_then(|service| service.get(key));
            let refused = service.is_none_or(|service| service.as_mapping().is_none())
                || has("image").is_some_and(|image| image.as_str().is_none())
                || has("provider").is_some();
            if !refused {
                let message = format!("`services.{name}` has no `image` and no `build`");
                self.problems.push(span.problem(message));
            }
        }
    }

    fn build(&mut self, services: &BTreeMap<String, Service>, names: &Names<'_>) {
        let Some(build) = &self.service.build else { return };
        // What names nothing was refused where it stands.
        for secret in build.secrets.iter().filter(|secret| !secret.source.is_empty()) {
            if !names.secrets.contains(secret.source.as_str()) {
                self.undefined("build", "secrets", &secret.source, ("secret", &names.secrets));
            }
        }
        for (key, context) in &build.additional_contexts {
            let Some(name) = context.strip_prefix("service:") else { continue };
            match services.get(name) {
                None => {
                    self.undefined(
                        "build",
                        "additional_contexts",
                        name,
                        ("service", &names.enabled),
                    );
                }
                Some(other) if other.build.is_none() => {
                    let message =
                        format!("takes the context `{key}` of `{name}`, which has no `build`");
                    self.refuse("build", "additional_contexts", &message);
                }
                Some(_) => {}
            }
        }
        if let Some(platform) = &self.service.platform
            && !build.platforms.is_empty()
            && !build.platforms.contains(platform)
        {
            let message = format!("has `platforms` without `{platform}`, the service's `platform`");
            self.refuse("build", "platforms", &message);
        }
    }

    fn files(&mut self, names: &Names<'_>) {
        for secret in self.service.secrets.iter().filter(|secret| !secret.source.is_empty()) {
            if !names.secrets.contains(secret.source.as_str()) {
                let source = &secret.source;
                self.undefined("secrets", source, source, ("secret", &names.secrets));
            }
        }
        for config in self.service.configs.iter().filter(|config| !config.source.is_empty()) {
            if !names.configs.contains(config.source.as_str()) {
                let source = &config.source;
                self.undefined("configs", source, source, ("config", &names.configs));
            }
        }
    }

    fn networks(&mut self, names: &Names<'_>) {
        for name in self.service.networks.keys() {
            if name != "default" && !names.networks.contains(name.as_str()) {
                self.undefined("networks", name, name, ("network", &names.networks));
            }
        }
        if self.service.network_mode.is_some() && !self.service.networks.is_empty() {
            self.refuse("network_mode", "", "cannot stand beside `networks`");
        }
    }

    fn volumes(&mut self, names: &Names<'_>) {
        for mount in &self.service.volumes {
            let MountKind::Volume { .. } = mount.kind else { continue };
            let Some(source) = &mount.source else { continue };
            if !names.volumes.contains(source.as_str()) {
                self.undefined("volumes", source, source, ("volume", &names.volumes));
            }
        }
    }

    fn dependencies(&mut self, names: &Names<'_>) {
        for (name, dependency) in &self.service.depends_on {
            if self.has_enough() {
                break;
            }
            if !names.services.contains(name.as_str()) {
                let written = self.has_key("depends_on", name);
                let key = if written { "depends_on" } else { self.namespace_key(name) };
                self.undefined(key, name, name, ("service", &names.services));
            } else if dependency.required && !names.enabled.contains(name.as_str()) {
                let message = format!("needs `{name}`, which no active profile enables");
                self.refuse("depends_on", name, &message);
            }
        }
    }

    fn has_key(&self, key: &str, entry: &str) -> bool {
        let node = at(self.root, &["services", &self.service.name, key]);
        node.is_some_and(|node| match &node.value {
            Value::Sequence(items) => items.iter().any(|item| item.as_str() == Some(entry)),
            _ => node.get(entry).is_some_and(|node| node.tag.as_deref() != Some(IMPLIED)),
        })
    }

    /// The key that implies a dependency on a service.
    fn namespace_key(&self, name: &str) -> &'static str {
        let named = |value: &Option<String>| {
            value.as_deref().and_then(|value| value.strip_prefix("service:")) == Some(name)
        };
        let keys = [
            ("network_mode", &self.service.network_mode),
            ("ipc", &self.service.ipc),
            ("pid", &self.service.pid),
            ("uts", &self.service.uts),
        ];
        let mode = keys.iter().find(|(_, value)| named(value)).map(|(key, _)| *key);
        let first = |text: &String| text.split(':').next() == Some(name);
        if mode.is_none() && self.service.links.iter().any(first) {
            return "links";
        }
        if mode.is_none() && self.service.volumes_from.iter().any(first) {
            return "volumes_from";
        }
        mode.unwrap_or("depends_on")
    }

    fn targets(&mut self) {
        let mut seen: BTreeSet<String> =
            self.service.volumes.iter().map(|mount| mount.target.clone()).collect();
        for entry in &self.service.tmpfs {
            let target = entry.split(':').next().unwrap_or(entry);
            if !seen.insert(super::decode::service::clean_path(target)) {
                let message = format!("mounts `{target}`, where something else is mounted already");
                self.refuse("tmpfs", entry, &message);
            }
        }
    }

    fn replicas(&mut self) {
        let deployed = self.service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (self.service.scale, deployed)
            && scale != replicas
        {
            let message =
                format!("is {scale}, but `deploy.replicas` is {replicas}: set one of them");
            self.refuse("scale", "", &message);
        }
        if let Some(name) = &self.service.container_name
            && self.service.replicas() > 1
        {
            let count = self.service.replicas();
            let message =
                format!("is `{name}`, but the service has {count} containers: names are unique");
            self.refuse("container_name", "", &message);
        }
    }

    /// A limit may be written in two places, which then must agree.
    fn limits(&mut self) {
        let Some(deploy) = &self.service.deploy else { return };
        let service = self.service;
        let mut differing = Vec::new();
        if let Some(limits) = &deploy.limits {
            let differ = service.cpus.is_some() && service.cpus != limits.cpus;
            differing.push((differ, "cpus", "limits.cpus"));
            let differ = service.mem_limit.is_some() && service.mem_limit != limits.memory;
            differing.push((differ, "mem_limit", "limits.memory"));
            let differ = service.pids_limit.is_some() && service.pids_limit != limits.pids;
            differing.push((differ, "pids_limit", "limits.pids"));
        }
        if let Some(reservations) = &deploy.reservations {
            let set = service.mem_reservation.is_some();
            let differ = set && service.mem_reservation != reservations.memory;
            differing.push((differ, "mem_reservation", "reservations.memory"));
        }
        for (_, key, path) in differing.into_iter().filter(|(differ, _, _)| *differ) {
            let message = format!("differs from `deploy.resources.{path}`: write the same in both");
            self.refuse(key, "", &message);
        }
    }
}

/// The node at a path of keys.
fn at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, key| node.get(key))
}

/// Where an entry of a mapping or list stands; else the nearest place around it.
fn place(root: &Node, path: &[&str], entry: &str) -> Span {
    let mut span = root.span.clone();
    let mut node = root;
    for name in path.iter().copied().chain([entry]) {
        match &node.value {
            Value::Mapping(entries) => {
                let Some((key, next)) = entries.iter().find(|(key, _)| key.name == name) else {
                    break;
                };
                span = key.span.clone();
                node = next;
            }
            Value::Sequence(items) => {
                let names = |item: &&Node| {
                    let text = item.get("source").unwrap_or(item).as_str();
                    let rest = text.and_then(|text| text.strip_prefix(name));
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                };
                if let Some(item) = items.iter().find(names) {
                    span = item.span.clone();
                }
                break;
            }
            _ => break,
        }
    }
    span
}

/// Services that wait for each other in a circle, if any do.
fn cycle(services: &BTreeMap<String, Service>) -> Option<Vec<&str>> {
    let dependencies = |name: &str| {
        let service = services.get(name);
        service.into_iter().flat_map(|service| service.depends_on.keys().map(String::as_str))
    };
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in services.keys() {
        let known = dependencies(name).filter(|other| services.contains_key(*other));
        for other in known {
            *waiting.entry(name).or_default() += 1;
            dependents.entry(other).or_default().push(name);
        }
    }
    let mut free: Vec<&str> =
        services.keys().map(String::as_str).filter(|name| !waiting.contains_key(name)).collect();
    while let Some(name) = free.pop() {
        for dependent in dependents.get(name).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(dependent);
                    free.push(dependent);
                }
            }
        }
    }
    // Everything left waits for something left, so following it must come back.
    let mut path: Vec<&str> = vec![waiting.keys().next()?];
    loop {
        let last = path[path.len() - 1];
        let next = dependencies(last).find(|other| waiting.contains_key(other))?;
        if let Some(start) = path.iter().position(|name| *name == next) {
            return Some(path.split_off(start));
        }
        path.push(next);
    }
}
