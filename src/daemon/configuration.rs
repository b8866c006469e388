//! The configuration of a running daemon: read anew, compared, taken over. What is broken changes nothing.

use std::sync::Arc;

use anyhow::Context;
use tracing::{info, warn};

use super::Daemon;
use crate::git::View;
use crate::job::Job;

impl Daemon {
    /// Reads `env.local` and the job files anew. What is broken is told once and changes nothing.
    pub(super) async fn reload(&mut self) -> String {
        let reader = Arc::clone(&self.world.reader);
        let read = tokio::task::spawn_blocking(move || {
            View::open(&[]).map(|disk| reader(&disk)).context("read the configuration")
        });
        let configuration = match read.await.context("read the configuration") {
            Ok(Ok(Ok(configuration))) => configuration,
            Ok(Ok(Err(problems))) => {
                return self.tell_once(format!("the configuration stays as it was:\n{problems}"));
            }
            Ok(Err(error)) | Err(error) => return self.tell_once(format!("{error:#}")),
        };
        if !configuration.problems.0.is_empty() {
            self.tell_once(configuration.problems.to_string());
        }
        let changed = configuration.jobs != self.configuration.jobs;
        let before = std::mem::replace(&mut self.configuration, configuration);
        if changed {
            self.replan(&before.jobs);
        }
        format!(
            "{} jobs, {}",
            self.configuration.jobs.len(),
            if changed { "changed" } else { "unchanged" }
        )
    }

    /// Enters new and changed jobs into the agenda and takes out those that are gone.
    fn replan(&mut self, before: &[Job]) {
        let now = (self.world.now)();
        for job in before {
            if self.job(&job.name).is_none() {
                info!("job {} is gone", job.name);
                self.agenda.remove(&job.name);
            }
        }
        for job in &self.configuration.jobs {
            let old = before.iter().find(|old| old.name == job.name);
            let same =
                old.is_some_and(|old| old.schedule == job.schedule && old.timezone == job.timezone);
            if !same {
                info!("job {} ({}): {}", job.name, job.work.kind(), job.schedule);
                self.agenda.insert(&job.name, job.schedule.clone(), job.timezone, now);
            }
        }
    }

    fn tell_once(&mut self, problem: String) -> String {
        if self.told != problem {
            warn!("{problem}");
            self.told.clone_from(&problem);
        }
        problem
    }
}
