//! Which services are on: by profile, and by what the command line names.

use std::collections::BTreeSet;

use super::Loader;
use crate::compose::yaml::{Node, Value};
use crate::problem::{Problem, nearest};

/// Names of services.
pub(super) struct Selection {
    /// Those that a profile enables.
    pub enabled: BTreeSet<String>,
    /// Of these, the ones that are asked for and what they depend on.
    pub selected: BTreeSet<String>,
}

impl Loader<'_> {
    /// What of a project's services is asked for.
    pub(super) fn selection(&mut self, tree: &Node) -> Selection {
        let services = tree.get("services").and_then(Node::as_mapping).unwrap_or_default();
        let mut active = self.active_profiles();
        for name in &self.request.services {
            match services.iter().find(|(key, _)| key.name == *name) {
                Some((_, service)) if !is_enabled(service, &active) => {
                    active.extend(profiles(service));
                }
                Some(_) => {}
                None => {
                    let known = services.iter().map(|(key, _)| key.name.as_str());
                    let problem =
                        Problem::in_file("command line", format!("there is no service `{name}`"));
                    self.problems.push(match nearest(name, known) {
                        Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                        None => problem,
                    });
                }
            }
        }
        for name in &self.request.enabled_services {
            let named = services.iter().find(|(key, _)| key.name == *name);
            if let Some((_, service)) = named.filter(|it| !is_enabled(&it.1, &active)) {
                active.extend(profiles(service));
            }
        }
        let enabled: BTreeSet<String> = services
            .iter()
            .filter(|(_, service)| is_enabled(service, &active))
            .map(|(key, _)| key.name.clone())
            .collect();
        let selected = if self.request.services.is_empty() {
            enabled.clone()
        } else {
            self.with_dependencies(tree, &enabled)
        };
        Selection { enabled, selected }
    }

    fn with_dependencies(&self, tree: &Node, enabled: &BTreeSet<String>) -> BTreeSet<String> {
        let mut selected = BTreeSet::new();
        let mut waiting: Vec<&str> = self.request.services.iter().map(String::as_str).collect();
        while let Some(name) = waiting.pop() {
            if !enabled.contains(name) || !selected.insert(name.to_owned()) {
                continue;
            }
            if self.request.without_dependencies {
                continue;
            }
            let service = tree.get("services").and_then(|services| services.get(name));
            let dependencies = service.and_then(|service| service.get("depends_on"));
            let dependencies = dependencies.and_then(Node::as_mapping).unwrap_or_default();
            waiting.extend(dependencies.iter().map(|(key, _)| key.name.as_str()));
        }
        selected
    }

    fn active_profiles(&self) -> Vec<String> {
        if !self.request.profiles.is_empty() {
            return self.request.profiles.clone();
        }
        // Of no profiles the list holds one without a name, which a service may have.
        let list = self.environment.get("COMPOSE_PROFILES").map_or("", String::as_str);
        list.split(',').map(|name| name.trim().to_owned()).collect()
    }
}

/// The profiles of a service, as far as they can be read.
pub(super) fn profiles(service: &Node) -> Vec<String> {
    match service.get("profiles").map(|profiles| &profiles.value) {
        Some(Value::Sequence(items)) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn is_enabled(service: &Node, active: &[String]) -> bool {
    let profiles = profiles(service);
    profiles.is_empty()
        || active.iter().any(|name| name == "*")
        || profiles.iter().any(|profile| active.contains(profile))
}
