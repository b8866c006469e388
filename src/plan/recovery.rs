//! Interrupted switches: pairs of an old container and the new one that was to replace it.

use super::PutAside;
use super::labels;
use super::observed::{Container, Observed, State};

/// One container to bring back after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// Id and name of the old container to start; `None` where it runs, or did not run before.
    pub start: Option<(String, String)>,
    /// What the old one has to get back.
    pub put_aside: Option<PutAside>,
    /// Id and name of the new one to remove first, so that ports are free.
    pub remove: (String, String),
}

/// What puts a project back on its feet after a crash in mid-switch, without knowing what is desired.
///
/// Where the new container does not run, the old one is started again; everything else waits for the
/// next plan. Comes before any look at git, which may be unreachable.
pub fn recovery(observed: &Observed) -> Vec<Rescue> {
    let containers: Vec<&Container> = observed.containers.iter().collect();
    unfinished(&containers)
        .into_iter()
        // An old one that is going away cannot be started; the next plan replaces it.
        .filter(|(old, new)| is_startable(old) && !new.is_up() && !has_ended_in_place(old, new))
        .map(|(old, new)| Rescue {
            start: (old.state != State::Running && ran_before(new))
                .then(|| (old.id.clone(), old.name.clone())),
            put_aside: put_aside(old, new),
            remove: (new.id.clone(), new.name.clone()),
        })
        .collect()
}

/// Pairs of (old, new) where a switch was cut short: both still exist.
pub(super) fn unfinished<'a>(containers: &[&'a Container]) -> Vec<(&'a Container, &'a Container)> {
    let old_of = |new: &Container| {
        let id = new.replaces()?;
        containers.iter().find(|it| it.id == id).copied()
    };
    containers.iter().filter_map(|new| Some((old_of(new)?, *new))).collect()
}

/// The restart policy that the old container is without since the switch to this new one.
pub(super) fn put_aside(old: &Container, new: &Container) -> Option<PutAside> {
    let policy = new.labels.get(labels::REPLACES_RESTART)?.clone();
    Some(PutAside { id: old.id.clone(), policy })
}

/// Whether the old container ran when the switch to this new one began. One-shots did not: to start
/// an old one again would, say, migrate a database with last week's program.
pub(super) fn ran_before(new: &Container) -> bool {
    new.label(labels::REPLACES_RUNNING) != labels::NO
}

fn is_startable(container: &Container) -> bool {
    !matches!(container.state, State::Removing | State::Dead)
}

/// A new one-shot that ended well in the place of an ended one: the next plan says what becomes of it.
fn has_ended_in_place(old: &Container, new: &Container) -> bool {
    new.is_done() && old.state == State::Exited && !ran_before(new)
}
