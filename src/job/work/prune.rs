//! `prune`: what runs of ours left on the Engine.

use std::time::Duration;

/// Removes images, containers, networks and volumes of ours that nothing needs any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// Images; `None` leaves all of them.
    pub images: Option<PruneImages>,
    /// Containers that have ended; `None` leaves all of them.
    pub containers: Option<Duration>,
    /// Networks, by the age they must have; `None` leaves all of them.
    pub networks: Option<Duration>,
    /// Volumes; `None` leaves all of them.
    pub volumes: Option<PruneVolumes>,
    /// Where more than this are to go, none does.
    pub max_removals: Option<usize>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// Which images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneImages {
    /// Made, and named last, so long ago.
    pub older_than: Duration,
    /// So many revisions of each deploy keep their images, and so many of the newest images of each
    /// repository stay.
    pub keep: usize,
    /// Those without a name go, too.
    pub dangling: bool,
    /// Those that no run of ours used go, too.
    pub all: bool,
}

impl Default for PruneImages {
    fn default() -> Self {
        Self { older_than: AGE, keep: KEEP, dangling: true, all: false }
    }
}

/// Which volumes go, with all that is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneVolumes {
    /// Made so long ago.
    pub older_than: Duration,
    /// Only those with all these labels, `name` or `name=value`.
    pub labels: Vec<String>,
}

/// The age from which something goes unless the job says another.
pub const AGE: Duration = Duration::from_hours(7 * 24);
/// Volumes hold what people made.
pub const AGE_OF_VOLUMES: Duration = Duration::from_hours(30 * 24);
/// Revisions whose images stay unless the job says another number.
pub const KEEP: usize = 3;
/// A deploy goes back to the revision before the one that runs: these two always stay.
pub const LEAST_REVISIONS: usize = 2;
