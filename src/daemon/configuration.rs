//! The configuration of a running daemon: read anew, compared, taken over. What is broken changes nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::{info, warn};

use super::Daemon;
use crate::clock::Timetable;
use crate::git::View;
use crate::job::{Configuration, Job};

/// Longest wait for the disk.
const READ_DEADLINE: Duration = Duration::from_secs(10);

impl Daemon {
    /// Reads `env.local` and the job files anew. What is broken is told once and changes nothing.
    pub(super) async fn reload(&mut self) -> String {
        let reader = Arc::clone(&self.world.reader);
        let read = tokio::task::spawn_blocking(move || {
            View::open(&[]).map(|disk| reader(&disk)).context("read the configuration")
        });
        // A network file system that hangs must not stop the clock.
        let Ok(read) = tokio::time::timeout(READ_DEADLINE, read).await else {
            let seconds = READ_DEADLINE.as_secs();
            return self.tell_once(format!(
                "the configuration stays as it was: reading it took longer than {seconds} s"
            ));
        };
        let mut configuration = match read.context("read the configuration") {
            Ok(Ok(Ok(configuration))) => configuration,
            Ok(Ok(Err(problems))) => {
                return self.tell_once(format!("the configuration stays as it was:\n{problems}"));
            }
            Ok(Err(error)) | Err(error) => return self.tell_once(format!("{error:#}")),
        };
        if !configuration.problems.0.is_empty() {
            self.tell_once(configuration.problems.to_string());
        }
        self.keep_jobs_of_broken_files(&mut configuration);
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

    /// A file that is broken now leaves its jobs as they were.
    fn keep_jobs_of_broken_files(&self, configuration: &mut Configuration) {
        let broken: Vec<String> =
            configuration.problems.0.iter().map(|problem| format!("{}:", problem.file)).collect();
        for job in &self.configuration.jobs {
            let is_gone = !configuration.jobs.iter().any(|it| it.name == job.name);
            if is_gone && broken.iter().any(|file| job.origin.starts_with(file)) {
                configuration.jobs.push(job.clone());
            }
        }
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
            if self.agenda.update(Timetable::of(job), now) {
                info!("job {} ({}): {}", job.name, job.work.kind(), job.schedule);
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
