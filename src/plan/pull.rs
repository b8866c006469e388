//! When an image is pulled, or built.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::familiar;
use crate::compose::model::{Project, PullPolicy};
use crate::image::Identity;

/// Services whose images are to be built now: those that are not there, or only for another platform
/// (`elsewhere`), and all that are only ever built where the revision is a new one. What did not change
/// comes out of the builder's cache as the same image. Where the policy names a registry, it is asked
/// first: `has_pulled`.
pub fn builds_due(
    project: &Project,
    present: &BTreeMap<String, Identity>,
    elsewhere: &BTreeSet<String>,
    is_new_revision: bool,
    has_pulled: bool,
) -> BTreeSet<String> {
    let buildable = project.services.values().filter(|it| it.build.is_some());
    let due = buildable.filter(|service| {
        let is_missing = !present.contains_key(&familiar(&service.image));
        let is_useless = is_missing || elsewhere.contains(&service.image);
        match service.pull_policy {
            PullPolicy::Unset | PullPolicy::Build => is_new_revision || is_useless,
            PullPolicy::Never => is_useless,
            PullPolicy::Always
            | PullPolicy::Missing
            | PullPolicy::IfNotPresent
            | PullPolicy::Refresh
            | PullPolicy::Daily
            | PullPolicy::Weekly
            | PullPolicy::Every { .. } => has_pulled && is_missing,
        }
    });
    due.map(|it| it.name.clone()).collect()
}

/// Whether an image is to be pulled now. `last_tagged` and `now` are seconds since the Unix epoch; an
/// image whose last tag nobody knows counts as old.
pub fn pull_due(policy: &PullPolicy, is_present: bool, last_tagged: Option<i64>, now: i64) -> bool {
    match policy {
        PullPolicy::Always => true,
        PullPolicy::Never | PullPolicy::Build => false,
        PullPolicy::Unset
        | PullPolicy::Missing
        | PullPolicy::IfNotPresent
        | PullPolicy::Refresh => !is_present,
        PullPolicy::Daily | PullPolicy::Weekly | PullPolicy::Every { .. } => {
            let interval = policy.interval().unwrap_or_default().as_secs();
            let is_old = |tagged: i64| now.saturating_sub(tagged).unsigned_abs() >= interval;
            !is_present || last_tagged.is_none_or(is_old)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compose::model::Service;

    #[test]
    fn what_only_a_build_makes_is_built_with_each_revision() {
        // Expected: as it is; at a new revision; absent; absent after a pull.
        for (policy, expected) in [
            (PullPolicy::Unset, [false, true, true, true, true]),
            (PullPolicy::Build, [false, true, true, true, true]),
            (PullPolicy::Never, [false, false, true, true, true]),
            (PullPolicy::Missing, [false, false, false, true, false]),
            (PullPolicy::Always, [false, false, false, true, false]),
            (PullPolicy::Daily, [false, false, false, true, false]),
        ] {
            let service = Service {
                name: "web".to_owned(),
                image: "app".to_owned(),
                build: Some(Box::default()),
                pull_policy: policy.clone(),
                ..Service::default()
            };
            let mut project = Project::default();
            project.services.insert("web".to_owned(), service);
            let there = [("app:latest".to_owned(), Identity::default())].into();
            let (gone, nothing) = (BTreeMap::new(), BTreeSet::new());
            let elsewhere = BTreeSet::from(["app".to_owned()]);
            let found = [
                (&there, &nothing, false, false),
                (&there, &nothing, true, false),
                (&gone, &nothing, false, false),
                (&gone, &nothing, false, true),
                (&there, &elsewhere, false, true),
            ]
            .map(|(present, elsewhere, is_new, has_pulled)| {
                !builds_due(&project, present, elsewhere, is_new, has_pulled).is_empty()
            });
            assert_eq!(found, expected, "{policy:?}");
        }
    }

    #[test]
    fn every_policy_has_its_time() {
        const NOW: i64 = 1_800_000_000;
        let hour = 3600;
        let every =
            || PullPolicy::Every { written: "12h".to_owned(), interval: Duration::from_hours(12) };
        for (policy, is_present, last_tagged, expected) in [
            (PullPolicy::Unset, false, None, true),
            (PullPolicy::Unset, true, Some(0), false),
            (PullPolicy::Missing, false, None, true),
            (PullPolicy::Missing, true, None, false),
            (PullPolicy::Refresh, true, None, false),
            (PullPolicy::Always, true, Some(NOW), true),
            (PullPolicy::Never, false, None, false),
            (PullPolicy::Build, false, None, false),
            (PullPolicy::Daily, false, None, true),
            (PullPolicy::Daily, true, None, true),
            (PullPolicy::Daily, true, Some(NOW - 23 * hour), false),
            (PullPolicy::Daily, true, Some(NOW - 24 * hour), true),
            (PullPolicy::Weekly, true, Some(NOW - 6 * 24 * hour), false),
            (PullPolicy::Weekly, true, Some(NOW - 8 * 24 * hour), true),
            (every(), true, Some(NOW - 11 * hour), false),
            (every(), true, Some(NOW - 12 * hour), true),
            // A clock that jumped back must not hold a pull up for ever.
            (PullPolicy::Daily, true, Some(NOW + 48 * hour), true),
            (PullPolicy::Daily, true, Some(NOW + hour), false),
        ] {
            let found = pull_due(&policy, is_present, last_tagged, NOW);
            assert_eq!(found, expected, "{policy:?} {is_present} {last_tagged:?}");
        }
    }
}
