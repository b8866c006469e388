//! What only one container can have at a time: a name, a port of the host, an address in a network.
//!
//! Where it goes from one container to another in one plan, the one that has it stops first. The one
//! that takes the place of a container that goes for good becomes its replacement, so that a failure,
//! even a crash, brings back what ran.

use std::collections::BTreeMap;

use serde::Serialize;

use super::observed::{Container, Observed, State};
use super::orphans::is_orphan;
use super::recovery::{ran_before, unfinished};
use super::{Action, Change, Desired, Kept, Plan, Preparation, Removal, name_beside};
use crate::compose::model::{Port, Project, Service};

/// Something that only one running container can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A port of the host.
    Port {
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
        /// Address of the host; empty for all.
        address: String,
        /// Its number.
        number: u16,
    },
    /// An address in a network.
    Address {
        /// Name of the network.
        network: String,
        /// The address.
        address: String,
    },
}

impl Claim {
    /// A port of the host; any way to write "all addresses" is the same one.
    pub fn port(protocol: &str, address: &str, number: u16) -> Self {
        let address = if matches!(address, "0.0.0.0" | "::") { "" } else { address };
        Self::Port { protocol: protocol.to_owned(), address: address.to_owned(), number }
    }

    fn meets(&self, other: &Self) -> bool {
        let (Self::Port { protocol, address, number }, Self::Port { .. }) = (self, other) else {
            return self == other;
        };
        let Self::Port { protocol: others, address: elsewhere, number: its } = other else {
            return false;
        };
        let overlaps = address == elsewhere || address.is_empty() || elsewhere.is_empty();
        protocol == others && number == its && overlaps
    }
}

/// A container that stops before another one starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// What the containers of a service claim; ranges and what the Engine chooses meet nothing.
fn claims(project: &Project, service: &Service) -> Vec<Claim> {
    let port = |port: &Port| {
        let number = port.published.as_ref()?.parse().ok()?;
        Some(Claim::port(&port.protocol, port.host_ip.as_deref().unwrap_or_default(), number))
    };
    let mut claims: Vec<Claim> = service.ports.iter().filter_map(port).collect();
    for (key, endpoint) in &service.networks {
        let (Some(network), Some(endpoint)) = (project.networks.get(key), endpoint) else {
            continue;
        };
        let addresses = [&endpoint.ipv4_address, &endpoint.ipv6_address].into_iter().flatten();
        claims.extend(addresses.map(|address| Claim::Address {
            network: network.name.clone(),
            address: address.clone(),
        }));
    }
    claims
}

fn holds_any(container: &Container, claims: &[Claim]) -> bool {
    is_running(container) && container.claims.iter().any(|it| claims.iter().any(|i| i.meets(it)))
}

fn is_running(container: &Container) -> bool {
    matches!(container.state, State::Running | State::Restarting | State::Paused)
}

/// Settles who has what, once everything else is planned.
pub(super) fn settle(
    desired: &Desired<'_>,
    observed: &Observed,
    plan: &mut Plan,
    refusals: &mut Vec<String>,
) {
    drop_removals_of_others(plan);
    keep_names_that_are_taken(observed, plan);
    for index in 0..plan.changes.len() {
        take_a_place(desired, observed, plan, index);
    }
    refuse_what_orphans_hold(desired, observed, plan, refusals);
    for index in 0..plan.changes.len() {
        plan.changes[index].rivals = rivals(desired, observed, plan, &plan.changes[index]);
    }
}

/// A change may be about a container that its own service gives up.
fn drop_removals_of_others(plan: &mut Plan) {
    let Plan { prepare, changes, removals, .. } = plan;
    removals.retain(|removal| {
        let is_leftover = |step: &Preparation| {
            matches!(step, Preparation::RemoveLeftover { id, .. } if *id == removal.id)
        };
        !changes.iter().any(|it| it.touches(&removal.id)) && !prepare.iter().any(is_leftover)
    });
}

/// A container under a temporary name keeps it while another one that stays has its own.
fn keep_names_that_are_taken(observed: &Observed, plan: &mut Plan) {
    let is_taken = |change: &Change| {
        let mut others = observed.containers.iter().filter(|it| !change.touches(&it.id));
        others
            .any(|it| it.name == change.name && it.state != State::Removing && !goes(plan, &it.id))
    };
    let is_hopeless = |it: &Change| matches!(it.action, Action::Rename { .. }) && is_taken(it);
    let hopeless: Vec<bool> = plan.changes.iter().map(is_hopeless).collect();
    let mut hopeless = hopeless.into_iter();
    plan.changes.retain(|_| !hopeless.next().unwrap_or_default());
}

/// Whether a container is gone once the plan is carried out.
pub fn goes(plan: &Plan, container: &str) -> bool {
    let is_old = |change: &Change| change.action.old().is_some_and(|old| old.id == container);
    let is_leftover = |step: &Preparation| matches!(step, Preparation::RemoveLeftover { id, .. } if id == container);
    plan.changes.iter().any(is_old)
        || plan.removals.iter().any(|it| it.id == container)
        || plan.prepare.iter().any(is_leftover)
}

/// Id of a container that goes in this plan and has the name that a change ends with.
pub fn holder<'a>(change: &Change, observed: &'a Observed, plan: &Plan) -> Option<&'a str> {
    let mut named = observed.containers.iter().filter(|it| it.name == change.name);
    named.find(|it| goes(plan, &it.id)).map(|it| it.id.as_str())
}

/// The name a new container is made under: not its own yet while another one has that.
pub fn first_name(change: &Change, observed: &Observed, plan: &Plan) -> String {
    let beside = match &change.action {
        Action::Replace { old } | Action::Finish { old, .. } => Some(old.id.as_str()),
        Action::Create => holder(change, observed, plan),
        Action::Start { .. } | Action::Restart { .. } | Action::Rename { .. } => None,
    };
    beside.map_or_else(|| change.name.clone(), |id| name_beside(id, &change.name))
}

/// Makes a new container the replacement of one that goes for good and has what it needs.
fn take_a_place(desired: &Desired<'_>, observed: &Observed, plan: &mut Plan, index: usize) {
    let change = &plan.changes[index];
    let Some(service) = desired.project.services.get(&change.service) else { return };
    if change.action != Action::Create {
        return;
    }
    let claims = claims(desired.project, service);
    let all: Vec<&Container> = observed.containers.iter().collect();
    let interrupted = |old: &Container| {
        let pairs = unfinished(&all).into_iter();
        let mut mine = pairs.filter(|(it, new)| it.id == old.id && new.service() == change.service);
        mine.find(|(_, new)| ran_before(new)).is_some()
    };
    let leaving = |removal: &&Removal| {
        let container = all.iter().find(|it| it.id == removal.id)?;
        is_given_up(desired.project, container).then_some(*container)
    };
    let mut candidates: Vec<&Container> =
        plan.removals.iter().filter_map(|it| leaving(&it)).collect();
    // A name comes before a port: without it the new one cannot even be made.
    candidates.sort_by_key(|it| it.name != change.name);
    let found = candidates
        .into_iter()
        .find(|it| it.name == change.name || holds_any(it, &claims) || interrupted(it));
    let Some(old) = found else { return };
    let kept = Kept {
        id: old.id.clone(),
        name: old.name.clone(),
        restart: is_running(old) || interrupted(old),
        running: is_running(old),
        // Another service's data is no business of this one.
        anonymous_volumes: BTreeMap::new(),
        restart_policy: None,
    };
    plan.removals.retain(|it| it.id != kept.id);
    let change = &mut plan.changes[index];
    change.why = format!("takes the place of {}", kept.name);
    change.action = Action::Replace { old: kept };
}

/// Whether no service wants a container any more.
pub(super) fn is_given_up(project: &Project, container: &Container) -> bool {
    match project.services.get(container.service()) {
        Some(service) => service.replicas() == 0,
        None => is_orphan(project, container),
    }
}

fn refuse_what_orphans_hold(
    desired: &Desired<'_>,
    observed: &Observed,
    plan: &Plan,
    refusals: &mut Vec<String>,
) {
    let project = desired.project;
    let orphans = observed
        .containers
        .iter()
        .filter(|it| is_orphan(project, it) && !it.is_oneoff() && !goes(plan, &it.id));
    let orphans: Vec<&Container> = orphans.collect();
    for change in &plan.changes {
        let Some(service) = project.services.get(&change.service) else { continue };
        if !matches!(change.action, Action::Create | Action::Replace { .. }) {
            continue;
        }
        let claims = claims(project, service);
        for orphan in &orphans {
            let what = if orphan.name == change.name {
                "name"
            } else if holds_any(orphan, &claims) {
                "port or address"
            } else {
                continue;
            };
            refusals.push(format!(
                "`{}` needs the {what} of container `{}`, which belongs to no service any more: \
                 let orphans be removed (`--remove-orphans`)",
                change.service, orphan.name
            ));
        }
    }
}

/// Running containers that go in this plan and have what a change needs.
fn rivals(desired: &Desired<'_>, observed: &Observed, plan: &Plan, change: &Change) -> Vec<Rival> {
    let starts = match &change.action {
        Action::Create | Action::Replace { .. } | Action::Start { .. } => true,
        Action::Restart { .. } | Action::Rename { .. } | Action::Finish { .. } => false,
    };
    let Some(service) = desired.project.services.get(&change.service).filter(|_| starts) else {
        return Vec::new();
    };
    let claims = claims(desired.project, service);
    let going = observed.containers.iter().filter(|it| goes(plan, &it.id));
    going
        .filter(|it| !change.touches(&it.id) && holds_any(it, &claims))
        .map(|it| Rival { id: it.id.clone(), name: it.name.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_meet_on_the_same_address_or_on_all() {
        let port = Claim::port;
        let address = |network: &str, address: &str| Claim::Address {
            network: network.to_owned(),
            address: address.to_owned(),
        };
        for (one, other, expected) in [
            (port("tcp", "", 80), port("tcp", "127.0.0.1", 80), true),
            (port("tcp", "0.0.0.0", 80), port("tcp", "::", 80), true),
            (port("tcp", "127.0.0.1", 80), port("tcp", "127.0.0.1", 80), true),
            (port("tcp", "127.0.0.1", 80), port("tcp", "127.0.0.2", 80), false),
            (port("tcp", "", 80), port("udp", "", 80), false),
            (port("tcp", "", 80), port("tcp", "", 81), false),
            (address("n", "10.0.0.1"), address("n", "10.0.0.1"), true),
            (address("n", "10.0.0.1"), address("m", "10.0.0.1"), false),
            (port("tcp", "", 80), address("n", "10.0.0.1"), false),
        ] {
            assert_eq!(one.meets(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.meets(&one), expected, "{other:?} {one:?}");
        }
    }
}
