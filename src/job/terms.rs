//! What many jobs have alike, and jobs that share what is equal.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::schedule::{Expression, Schedule};
use super::{Job, Keep, Notify, On, Policy, Window};

/// On which terms a job runs: what it says besides who it is, when it runs and what it does. Most jobs
/// share theirs with many others, and then its memory, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Time zone of the schedule.
    pub timezone: Tz,
    /// In what its slots differ from what the schedule says.
    pub window: Window,
    /// What besides the clock sets it off.
    pub on: Vec<On>,
    /// Within which limits it runs.
    pub policy: Policy,
    /// How much of its output and history is kept.
    pub keep: Keep,
    /// Whom it tells of its runs.
    pub notify: Notify,
    /// Longest time one run may take.
    pub timeout: Duration,
}

/// What jobs said so far, each once: of 100,000 jobs most share a few files, schedules and terms.
#[derive(Debug, Default)]
pub struct Shared {
    files: HashSet<Arc<str>>,
    schedules: HashSet<Expression>,
    terms: HashSet<Arc<Terms>>,
}

impl Shared {
    /// Puts what is known in the place of what is equal.
    pub fn share(&mut self, job: &mut Job) {
        known(&mut self.files, &mut job.origin.file);
        if let Schedule::Cron(expression) = &mut job.schedule {
            known(&mut self.schedules, expression);
        }
        known(&mut self.terms, &mut job.terms);
    }
}

/// Puts what is known in the place of an equal value, whose copies share its memory.
pub fn known<T: Clone + Eq + Hash>(all: &mut HashSet<T>, value: &mut T) {
    match all.get(value) {
        Some(known) => *value = known.clone(),
        None => {
            all.insert(value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native::parse;
    use crate::job::native::tests::settings;

    #[test]
    fn jobs_that_say_the_same_share_it() {
        let job = |name: &str, rest: &str| {
            let text = format!("{{name: {name}, schedule: '@daily', run: {{image: a}}, {rest}}}");
            parse(&text, "f.yml", &settings()).expect("a job").remove(0)
        };
        let mut jobs = [job("a", ""), job("b", ""), job("c", "timeout: 5m")];
        let before = jobs.clone();
        let mut shared = Shared::default();
        for job in &mut jobs {
            shared.share(job);
        }
        assert_eq!(jobs, before, "sharing changes no job");
        let [a, b, c] = &jobs;
        assert!(Arc::ptr_eq(&a.terms, &b.terms) && Arc::ptr_eq(&a.origin.file, &c.origin.file));
        assert!(!Arc::ptr_eq(&a.terms, &c.terms));
    }

    #[test]
    fn a_job_that_is_changed_leaves_the_others_as_they_were() {
        let job = parse("{name: a, run: {image: a}}", "f.yml", &settings()).expect("a job");
        let mut changed = job[0].clone();
        changed.timeout = Duration::from_secs(1);
        assert_ne!(changed.timeout, job[0].timeout);
    }
}
