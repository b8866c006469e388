//! When an image is pulled.

use crate::compose::model::PullPolicy;

/// Whether an image is to be pulled now. `last_tagged` and `now` are seconds since the Unix epoch; an
/// image whose last tag nobody knows counts as old.
pub fn pull_due(policy: &PullPolicy, is_present: bool, last_tagged: Option<i64>, now: i64) -> bool {
    match policy {
        PullPolicy::Always => true,
        PullPolicy::Never | PullPolicy::Build => false,
        PullPolicy::Unset | PullPolicy::Missing | PullPolicy::Refresh => !is_present,
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
