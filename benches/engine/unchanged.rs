//! `up` where nothing changed: what a look costs.

use super::bare::Calls;
use super::peers::{Peers, Project, services};
use super::rounds::{few, many, medians, timed};
use super::support::{CountingProxy, Roadstead};
use super::table::{Row, Table};

/// Sizes of the projects.
const SIZES: [usize; 3] = [5, 20, 50];

/// Containers, networks, volumes, images.
const LISTS: usize = 4;

/// Services of the chain.
const LINKS: usize = 6;

/// Adds the rows of this module.
pub(super) fn measure(peers: &Peers<'_>, table: &mut Table) {
    for size in SIZES {
        let what = format!("unchanged `up`, {size} services");
        let row = unchanged(peers, &what, &services(size, 0), many());
        table.add(row.at_most_bare(3.0).faster_than_oracle(8.0));
    }
    let what = format!("unchanged `up`, chain of {LINKS} healthy");
    // docker compose takes seconds for it.
    table.add(unchanged(peers, &what, &chain(), few()).faster_than_oracle(50.0));
}

fn unchanged(peers: &Peers<'_>, what: &str, text: &str, rounds: usize) -> Row {
    let project = Project::new(text);
    std::thread::scope(|scope| {
        scope.spawn(|| project.up_ours(peers));
        project.up_theirs(peers);
    });
    let calls = Calls::new(peers.engine);
    let size = peers.engine.containers_of(&project.ours).len();
    let [bare, ours, theirs] = medians(
        rounds,
        &mut [
            &mut |_| timed(|| calls.list(&project.ours, size)),
            &mut |_| project.up_ours(peers),
            &mut |_| project.up_theirs(peers),
        ],
    );
    let calls = count_calls(peers, &project);
    project.remove(peers);
    Row::times(what, ours, Some(theirs), Some(bare))
        .aim(&format!("{calls} calls (= {LISTS})"), calls == LISTS)
}

/// Requests of one look, besides the one for the Engine's version.
fn count_calls(peers: &Peers<'_>, project: &Project) -> usize {
    let proxy = CountingProxy::new(peers.engine.socket());
    project.up_by(&Roadstead::new(&proxy.host(), ""), &project.ours);
    proxy.take().iter().filter(|(_, path)| path != "/_ping").count()
}

/// Services of which each waits for the one before it to be healthy. A check costs the Engine more
/// than a look, so there must not be many of them meanwhile.
fn chain() -> String {
    let service = |number: usize| {
        let after = match number.checked_sub(1) {
            Some(before) => {
                format!("    depends_on: {{s{before}: {{condition: service_healthy}}}}\n")
            }
            None => String::new(),
        };
        format!(
            "  s{number}:\n    image: rs-test/app:1\n    healthcheck: {{test: [CMD, 'true'], \
             interval: 3s}}\n{after}"
        )
    };
    std::iter::once("services:\n".to_owned()).chain((0..LINKS).map(service)).collect()
}
