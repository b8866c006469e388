//! Removes data that no snapshot needs.

use rustic_core::{LimitOption, PruneOptions};

use super::protocol::Summary;
use super::repository::{Hold, Site};
use super::talk::Outcome;

/// How much of a repository may stay although nothing needs it, in percent: less means more rewriting.
const MAY_BE_UNUSED: u64 = 5;

/// Removes it.
///
/// # Errors
///
/// When something that a snapshot needs is missing, or nothing can be written; no data of a snapshot is
/// lost then.
pub(super) fn prune(site: &Site, dry_run: bool) -> Outcome<Summary> {
    let hold = if dry_run { Hold::Shared } else { Hold::Exclusive };
    let opened = site.open(hold)?;
    let mut options = PruneOptions::default();
    // Nobody else writes: what is not needed now is not needed.
    options.instant_delete = true;
    options.max_repack = LimitOption::Unlimited;
    options.max_unused = LimitOption::Percentage(MAY_BE_UNUSED);
    let plan = opened.repository.prune_plan(&options).map_err(|error| site.failed(&error))?;
    let sizes = plan.stats.size_sum();
    let stored =
        sizes.remove + sizes.repackrm + plan.stats.size_unref + plan.stats.size_to_delete.remove;
    if !dry_run {
        opened.repository.prune(&options, plan).map_err(|error| site.failed(&error))?;
        site.backend.store.sweep();
    }
    Ok(Summary { stored, made: opened.made, ..Summary::default() })
}
