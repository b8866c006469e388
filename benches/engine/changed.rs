//! One of many services changed: what its replacement costs.

use super::bare::Calls;
use super::peers::{Peers, Project, services};
use super::rounds::{many, medians, timed};
use super::table::{Row, Table};

/// Services of the project.
const SERVICES: usize = 50;

/// Adds the row of this module.
pub(super) fn measure(peers: &Peers<'_>, table: &mut Table) {
    let project = Project::new(&services(SERVICES, 0));
    project.up_ours(peers);
    project.up_theirs(peers);
    // Made by our own `up`: what is compared is how it is changed.
    project.up_by(&peers.roadstead, &project.bare);
    let container = format!("{}-s00-1", project.bare);
    let calls = Calls::new(peers.engine);
    let write = |round: usize| project.write(&services(SERVICES, round + 1));
    let [bare, ours, theirs] = medians(
        many(),
        &mut [
            &mut |round| timed(|| calls.replace(&container, round)),
            &mut |round| {
                write(round);
                project.up_ours(peers)
            },
            &mut |round| {
                write(round);
                project.up_theirs(peers)
            },
        ],
    );
    project.remove(peers);
    let what = format!("one changed of {SERVICES} services");
    table.add(Row::times(&what, ours, Some(theirs), Some(bare)).at_most_bare(1.2));
}
