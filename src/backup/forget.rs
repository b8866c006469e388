//! Forgets snapshots that no rule wants.

use std::collections::BTreeMap;

use rustic_core::jiff::{SignedDuration, Span, Zoned};
use rustic_core::repofile::{SnapshotFile, SnapshotId, StringList};
use rustic_core::{ForgetSnapshot, KeepOptions, RusticResult};

use super::protocol::{Failure, Summary};
use super::repository::{Hold, Site, all};
use super::snapshots::Series;
use super::talk::{Failed, Outcome};
use crate::job::work::Keep;

/// Forgets them.
///
/// # Errors
///
/// Without a rule, and when snapshots cannot be read or removed.
pub(super) fn forget(site: &Site, tags: &[String], keep: &Keep, dry_run: bool) -> Outcome<Summary> {
    has_rule(keep)?;
    let hold = if dry_run { Hold::Shared } else { Hold::Exclusive };
    let opened = site.open(hold)?;
    let snapshots = all(site, &opened.repository, tags)?;
    let (kept, gone) = decide(snapshots, keep).map_err(|error| site.failed(&error))?;
    if !dry_run && !gone.is_empty() {
        opened.repository.delete_snapshots(&gone).map_err(|error| site.failed(&error))?;
    }
    let forgotten = gone.iter().map(|id| id.to_hex().as_str().to_owned()).collect();
    Ok(Summary { kept, forgotten, made: opened.made, ..Summary::default() })
}

/// Refuses to forget everything.
///
/// # Errors
///
/// Without a rule.
pub(super) fn has_rule(keep: &Keep) -> Outcome<()> {
    if keep.has_rule() {
        return Ok(());
    }
    let what = "no rule says what to keep, and all would go: name one, e.g. `last: 7`";
    Err(Failed::new(Failure::Other, what))
}

/// How many stay, and which go; each series is counted by itself.
///
/// # Errors
///
/// For rules that cannot be applied.
pub(super) fn decide(
    snapshots: Vec<SnapshotFile>,
    keep: &Keep,
) -> RusticResult<(u64, Vec<SnapshotId>)> {
    let mut series: BTreeMap<Series, Vec<SnapshotFile>> = BTreeMap::new();
    for snapshot in snapshots {
        series.entry(Series::of(&snapshot)).or_default().push(snapshot);
    }
    let (mut kept, mut gone) = (0, Vec::new());
    for snapshots in series.into_values() {
        let now = Zoned::now();
        let decided = options(keep).apply(snapshots, &now)?;
        let (stay, mut go): (Vec<_>, Vec<ForgetSnapshot>) =
            decided.into_iter().partition(|snapshot| snapshot.keep);
        kept += stay.len() as u64;
        if stay.is_empty() {
            // A rule that wants nothing of a series was not meant to remove all of it.
            go.sort_by_key(|it| it.snapshot.time.timestamp());
            kept += u64::from(go.pop().is_some());
        }
        gone.extend(go.into_iter().map(|it| it.snapshot.id));
    }
    Ok((kept, gone))
}

fn options(keep: &Keep) -> KeepOptions {
    let count = |number: u32| (number > 0).then(|| i32::try_from(number).unwrap_or(i32::MAX));
    let mut options = KeepOptions::default();
    options.keep_last = count(keep.last);
    options.keep_hourly = count(keep.hourly);
    options.keep_daily = count(keep.daily);
    options.keep_weekly = count(keep.weekly);
    options.keep_monthly = count(keep.monthly);
    options.keep_yearly = count(keep.yearly);
    options.keep_within = keep.within.map(|within| {
        let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
        Span::new().try_seconds(within.as_secs()).unwrap_or_else(|_| Span::new().years(9999))
    });
    let one = |tag: &String| {
        let mut list = StringList::default();
        list.add(tag.clone());
        list
    };
    options.keep_tags = keep.tags.iter().map(one).collect();
    options
}
