//! `up` where nothing is there yet, beside the same calls made by nobody in particular.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::peers::{Peers, Project, services};
use super::rounds::{few, medians, timed};
use super::support::{CountingProxy, Roadstead, unique};
use super::table::{Row, Table};
use super::wire::Wire;

/// Sizes of the projects.
const SIZES: [usize; 2] = [20, 50];

/// Bare calls at once. On two cores four to eight are the quickest, for creating and for starting.
const AT_ONCE: usize = 8;

/// Adds the rows of this module.
pub(super) fn measure(peers: &Peers<'_>, table: &mut Table) {
    for size in SIZES {
        table.add(cold(peers, size));
    }
}

fn cold(peers: &Peers<'_>, size: usize) -> Row {
    let project = Project::new(&services(size, 0));
    let calls = Calls::of(peers, &project);
    let afterwards = |time: Duration, name: &str| {
        peers.remove(name);
        time
    };
    let fresh = || {
        let name = unique("bare");
        (calls.for_project(&project.bare, &name), name)
    };
    let [phased, piped, ours] = medians(
        few(),
        &mut [
            &mut |_| {
                let (calls, name) = fresh();
                afterwards(calls.make_in_phases(), &name)
            },
            &mut |_| {
                let (calls, name) = fresh();
                afterwards(calls.make_one_by_one(), &name)
            },
            &mut |_| {
                let name = unique("ours");
                afterwards(project.up_by(&peers.roadstead, &name), &name)
            },
        ],
    );
    // Nothing is wanted of this figure, and it takes long.
    let [theirs] =
        medians(1, &mut [&mut |_| afterwards(project.up_theirs(peers), &project.theirs)]);
    let what = format!("cold `up`, {size} services");
    Row::times(&what, ours, Some(theirs), Some(phased.min(piped))).at_most_bare(1.05)
}

/// What our own `up` of a project asks for, to be asked for again.
struct Calls<'a> {
    socket: &'a Path,
    network: Creation,
    containers: Vec<Creation>,
}

/// One thing to create, and to start where it is a container.
struct Creation {
    path: String,
    body: String,
    start: String,
}

impl<'a> Calls<'a> {
    /// Listens to our own `up`.
    fn of(peers: &Peers<'a>, project: &Project) -> Self {
        let proxy = CountingProxy::new(peers.engine.socket());
        project.up_by(&Roadstead::new(&proxy.host(), ""), &project.bare);
        peers.remove(&project.bare);
        let creations = proxy.take_bodies().into_iter().filter_map(|request| {
            let (_, name) = request.path.split_once("/create?name=").unwrap_or_default();
            let name = name.split('&').next().unwrap_or_default();
            let start = format!("/containers/{name}/start");
            let is_creation = request.path.contains("/create");
            is_creation.then(|| Creation {
                body: request.json.to_string(),
                path: request.path,
                start,
            })
        });
        let is_network = |it: &Creation| it.path.starts_with("/networks/");
        let (mut networks, containers): (Vec<_>, Vec<_>) = creations.partition(is_network);
        assert_eq!(networks.len(), 1, "networks of `{}`", project.bare);
        Self { socket: peers.engine.socket(), network: networks.swap_remove(0), containers }
    }

    /// The same calls for a project of another name.
    fn for_project(&self, old: &str, new: &str) -> Self {
        let renamed = |it: &Creation| Creation {
            path: it.path.replace(old, new),
            body: it.body.replace(old, new),
            start: it.start.replace(old, new),
        };
        let containers = self.containers.iter().map(renamed).collect();
        Self { socket: self.socket, network: renamed(&self.network), containers }
    }

    /// The network, then all containers, then all starts.
    fn make_in_phases(&self) -> Duration {
        timed(|| {
            self.make_network();
            self.each(|wire, it| wire.post(&it.path, &it.body));
            self.each(|wire, it| wire.post(&it.start, ""));
        })
    }

    /// The network, then each container and its start.
    fn make_one_by_one(&self) -> Duration {
        timed(|| {
            self.make_network();
            self.each(|wire, it| {
                wire.post(&it.path, &it.body);
                wire.post(&it.start, "");
            });
        })
    }

    fn make_network(&self) {
        Wire::new(self.socket).post(&self.network.path, &self.network.body);
    }

    /// Makes calls for each container, [`AT_ONCE`].
    fn each(&self, call: impl Fn(&mut Wire, &Creation) + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let mut wire = Wire::new(self.socket);
                    while let Some(it) = self.containers.get(next.fetch_add(1, Ordering::Relaxed)) {
                        call(&mut wire, it);
                    }
                });
            }
        });
    }
}
