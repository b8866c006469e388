//! Who takes part in an `up` that looks on: whose output is printed, and whose end counts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::cli::Usage;
use crate::cli::compose::arguments::LookingOn;
use crate::cli::compose::logs::lines::shortened;
use crate::cli::compose::target::did_you_mean;
use crate::cli::compose::up::Ready;
use crate::compose::model::Project;
use crate::docker::EngineEvent;
use crate::plan::observed::Container;
use crate::plan::order::selected;
use crate::plan::{Action, Change, labels};

/// Which end of a container ends everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cascade {
    None,
    AnyEnd,
    Failure,
}

/// The roles of services, as docker compose gives them.
pub(super) struct Cast {
    project: String,
    /// Services whose output is printed.
    shown: BTreeSet<String>,
    /// Services that we wait for; empty means all.
    watched: BTreeSet<String>,
    exit_code_from: Option<String>,
    cascade: Cascade,
    /// By service and number the name that a container has in the end.
    names: BTreeMap<(String, u32), String>,
}

impl Cast {
    /// Reads the flags.
    pub(super) fn new(looking_on: &LookingOn, asked: &[String], ready: &Ready) -> Result<Self> {
        let project = &ready.found.project;
        check_names(looking_on, project)?;
        let shown = shown(looking_on, asked, project);
        let watched =
            if asked.is_empty() { shown.clone() } else { asked.iter().cloned().collect() };
        let cascade = match looking_on {
            LookingOn { abort_on_container_failure: true, .. } => Cascade::Failure,
            LookingOn { abort_on_container_exit: true, .. }
            | LookingOn { exit_code_from: Some(_), .. } => Cascade::AnyEnd,
            _ => Cascade::None,
        };
        let changes = ready.plan.changes.iter();
        let by_number =
            changes.map(|it| ((it.service.clone(), it.number), it.name.clone())).collect();
        let exit_code_from = looking_on.exit_code_from.clone();
        Ok(Self {
            project: project.name.clone(),
            shown,
            watched,
            exit_code_from,
            cascade,
            names: by_number,
        })
    }

    pub(super) fn shows(&self, service: &str) -> bool {
        self.shown.contains(service)
    }

    /// Whether we go on as long as this service does.
    pub(super) fn waits_for(&self, service: &str) -> bool {
        self.watched.is_empty() || self.watched.contains(service)
    }

    /// Whether everything stops when a container of a service ends like that.
    pub(super) fn ends_with(&self, service: &str, code: i64) -> bool {
        self.waits_for(service)
            && match self.cascade {
                Cascade::None => false,
                Cascade::AnyEnd => true,
                Cascade::Failure => code != 0,
            }
    }

    /// Whether this service's exit code is ours.
    pub(super) fn answers(&self, service: &str) -> bool {
        self.exit_code_from.as_deref() == Some(service)
    }

    /// How lines of a container are introduced.
    pub(super) fn name(&self, service: &str, number: u32, current: &str) -> String {
        let known = self.names.get(&(service.to_owned(), number));
        shortened(known.map_or(current, String::as_str), &self.project, service, number)
    }

    /// Everybody who is printed, by the names of lines.
    pub(super) fn names(&self, ready: &Ready) -> Vec<String> {
        let removals = &ready.plan.removals;
        let stays = |it: &&Container| {
            !it.is_oneoff()
                && !ready.plan.changes.iter().any(|change| change.touches(&it.id))
                && !removals.iter().any(|removal| removal.id == it.id)
        };
        let standing = ready.found.observed.containers.iter().filter(stays);
        let standing = standing.map(|it| (it.service(), it.number(), it.name.as_str()));
        let changing = ready.plan.changes.iter();
        let changing = changing.map(|it| (it.service.as_str(), it.number, it.name.as_str()));
        let all = standing.chain(changing).filter(|it| self.shows(it.0));
        let names: BTreeSet<String> =
            all.map(|(service, number, name)| self.name(service, number, name)).collect();
        names.into_iter().collect()
    }
}

fn check_names(looking_on: &LookingOn, project: &Project) -> Result<()> {
    let known = || project.services.keys().map(String::as_str);
    let unknown = |name: &&String| !project.services.contains_key(*name);
    if let Some(name) = looking_on.exit_code_from.as_ref().filter(unknown) {
        bail!(Usage(format!("no such service: {name}{}", did_you_mean(name, known()))));
    }
    if let Some(name) = looking_on.attach.iter().find(unknown) {
        let near = did_you_mean(name, known());
        bail!(Usage(format!("cannot attach to services not included in up: {name}{near}")));
    }
    Ok(())
}

fn shown(looking_on: &LookingOn, asked: &[String], project: &Project) -> BTreeSet<String> {
    let mut shown: BTreeSet<String> = if looking_on.attach.is_empty() {
        let asked = asked.iter().cloned().collect();
        let chosen = selected(project, &asked, looking_on.attach_dependencies);
        let services = chosen.into_iter().filter_map(|name| project.services.get(name));
        services.filter(|it| it.attach != Some(false)).map(|it| it.name.clone()).collect()
    } else {
        looking_on.attach.iter().cloned().collect()
    };
    shown.retain(|it| !looking_on.no_attach.contains(it));
    shown
}

/// Whether a change starts a container, however shortly it runs.
pub(super) fn starts(change: &Change) -> bool {
    match change.action {
        Action::Create | Action::Replace { .. } | Action::Start { .. } | Action::Restart { .. } => {
            true
        }
        Action::Rename { .. } | Action::Finish { .. } => false,
    }
}

/// What an event of the Engine means for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened<'a> {
    pub(super) id: &'a str,
    pub(super) service: &'a str,
    pub(super) number: u32,
    pub(super) name: &'a str,
    pub(super) what: What,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Started,
    Died(i64),
    Gone,
}

/// Reads an event; `None` where it is not about a lasting container of a service.
pub(super) fn happened(event: &EngineEvent) -> Option<Happened<'_>> {
    let attribute = |name: &str| event.attributes.get(name).map_or("", String::as_str);
    let what = match event.action.as_str() {
        "start" => What::Started,
        "die" => What::Died(attribute("exitCode").parse().unwrap_or(-1)),
        "destroy" => What::Gone,
        _ => return None,
    };
    let is_lasting = attribute(labels::ONEOFF).to_lowercase() != "true"
        && !attribute(labels::CONFIG_HASH).is_empty();
    is_lasting.then(|| Happened {
        id: &event.id,
        service: attribute(labels::SERVICE),
        number: attribute(labels::CONTAINER_NUMBER).parse().unwrap_or(0),
        name: attribute("name"),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_lasting_containers_count() {
        for (action, one_off, hash, code, expected) in [
            ("start", "False", "h", "", Some(What::Started)),
            ("die", "False", "h", "3", Some(What::Died(3))),
            ("die", "False", "h", "", Some(What::Died(-1))),
            ("destroy", "False", "h", "", Some(What::Gone)),
            ("create", "False", "h", "", None),
            ("start", "True", "h", "", None),
            // A container of a hook.
            ("start", "False", "", "", None),
        ] {
            let pairs = [
                (labels::ONEOFF, one_off),
                (labels::CONFIG_HASH, hash),
                (labels::SERVICE, "web"),
                (labels::CONTAINER_NUMBER, "2"),
                ("exitCode", code),
                ("name", "p-web-2"),
            ];
            let attributes = pairs.map(|(name, it)| (name.to_owned(), it.to_owned())).into();
            let (action, id) = (action.to_owned(), "i".to_owned());
            let event = EngineEvent { nanoseconds: 0, action, id, attributes };
            let found = happened(&event).map(|it| (it.id, it.service, it.number, it.what));
            assert_eq!(found, expected.map(|what| ("i", "web", 2, what)), "{event:?}");
        }
    }
}
