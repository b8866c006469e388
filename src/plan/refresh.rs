//! Whether a job that keeps a cache warm comes often enough.

use chrono::{DateTime, Utc};

use crate::clock::{Timetable, longest_gap};
use crate::job::schedule::Schedule;
use crate::job::{Job, Work, duration};
use crate::problem::Problem;

/// What is to be said where the longest gap of a job's schedule is more than half of the soft TTL that it
/// names, and no hard TTL of at least twice the soft one forgives that.
pub fn comes_too_seldom(job: &Job, now: DateTime<Utc>) -> Option<Problem> {
    let Work::Refresh(refresh) = &job.work else { return None };
    let (soft, most) = (refresh.soft_ttl?, refresh.longest_gap()?);
    let name = &job.name;
    let hint = format!(
        "run it every {} or more often, or give the cache a `hard_ttl` of {} or more",
        duration::format(most),
        duration::format(soft * 2)
    );
    let told = match &job.schedule {
        Schedule::Manual | Schedule::Startup | Schedule::At(_) if job.on.is_empty() => {
            format!(
                "`{name}` keeps a cache of soft TTL {} warm and has no schedule",
                duration::format(soft)
            )
        }
        Schedule::Manual | Schedule::Startup | Schedule::At(_) => return None,
        Schedule::Every(_) | Schedule::Cron(_) => {
            let gap = longest_gap(&Timetable::of(job), now, most)?;
            format!(
                "runs of `{name}` are up to {} apart (from {} on), more than half of its soft TTL of {}: \
                 what is cached goes stale in between",
                duration::format(gap.length()),
                gap.from.with_timezone(&job.timezone).format("%Y-%m-%d %H:%M %Z"),
                duration::format(soft)
            )
        }
    };
    Some(job.problem(told).with_hint(hint).as_warning())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::job::work::{Connection, Refresh};
    use crate::job::{Keep, Notify, On, Place, Policy, Terms, Window};

    fn job(schedule: &str, on: Vec<On>, ttl: (Option<Duration>, Option<Duration>)) -> Job {
        Job {
            name: "warm".to_owned(),
            description: None,
            origin: Place::default(),
            schedule: Schedule::parse(schedule).expect("a schedule"),
            terms: Arc::new(Terms {
                timezone: chrono_tz::UTC,
                window: Window::default(),
                on,
                policy: Policy::default(),
                keep: Keep::default(),
                notify: Notify::default(),
                timeout: Duration::from_mins(1),
            }),
            work: Work::Refresh(Box::new(Refresh {
                login: None,
                requests: Vec::new(),
                parallel: 1,
                per_second: None,
                soft_ttl: ttl.0,
                hard_ttl: ttl.1,
                connection: Connection::default(),
                dry_run: false,
            })),
        }
    }

    #[test]
    fn gaps_are_held_against_half_of_the_soft_ttl() {
        let now = DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").expect("a time").to_utc();
        let event = || vec![On::Webhook("x".to_owned())];
        // Schedule, events, soft and hard TTL in hours, what is told.
        for (schedule, on, soft, hard, expected) in [
            ("@every 6h", vec![], 12, 0, None),
            ("@every 7h", vec![], 12, 0, Some("up to 7h apart")),
            ("@every 7h", vec![], 12, 24, None),
            ("@every 7h", vec![], 12, 23, Some("every 6h or more often")),
            ("0 8-18 * * 1-5", vec![], 72, 0, Some("up to 2d14h apart")),
            ("0 8-18 * * 1-5", vec![], 144, 0, None),
            ("0 0 1 1 *", vec![], 0, 0, None),
            ("@manual", vec![], 24, 0, Some("has no schedule")),
            ("@manual", event(), 24, 0, None),
        ] {
            let hours = |count: u64| (count > 0).then(|| Duration::from_hours(count));
            let job = job(schedule, on, (hours(soft), hours(hard)));
            let told = comes_too_seldom(&job, now);
            assert!(told.iter().all(Problem::is_warning));
            let told = told.map(|problem| problem.plain());
            assert_eq!(told.is_some(), expected.is_some(), "{schedule}: {told:?}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{schedule}");
        }
    }
}
