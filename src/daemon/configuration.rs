//! The configuration of a running daemon: read anew, compared, taken over. What is broken changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::files::{FilesRead, Recorder};
use super::{Daemon, limits};
use crate::clock::Timetable;
use crate::git::View;
use crate::job::{Configuration, Job};
use crate::problem::Problems;
use crate::settings::Settings;

/// Longest wait for the disk.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// The configuration while it is read, with the files it is read from.
pub(super) type Reading = JoinHandle<Result<(Result<Configuration, Problems>, FilesRead)>>;

/// Where jobs are found in the list of all: small, since there may be 100,000 of them.
#[derive(Default)]
pub(super) struct Jobs {
    /// Places in the order of the names.
    by_name: Vec<u32>,
    /// Places of jobs that something besides the clock sets off.
    listeners: Vec<u32>,
}

impl Jobs {
    pub(super) fn of(configuration: &Configuration) -> Self {
        let jobs = &configuration.jobs;
        let places = 0..u32::try_from(jobs.len()).expect("fewer than four billion jobs");
        let job = |place: u32| &jobs[place as usize];
        let mut by_name: Vec<u32> = places.clone().collect();
        by_name.sort_by(|one, other| job(*one).name.cmp(&job(*other).name));
        let listeners = places.filter(|place| !job(*place).on.is_empty()).collect();
        Self { by_name, listeners }
    }

    pub(super) fn find<'a>(&self, configuration: &'a Configuration, name: &str) -> Option<&'a Job> {
        let jobs = &configuration.jobs;
        let job = |place: &u32| &jobs[*place as usize];
        let place = self.by_name.binary_search_by(|place| job(place).name.as_str().cmp(name));
        Some(job(&self.by_name[place.ok()?]))
    }

    pub(super) fn listeners<'a>(
        &'a self,
        configuration: &'a Configuration,
    ) -> impl Iterator<Item = &'a Job> {
        self.listeners.iter().map(|place| &configuration.jobs[*place as usize])
    }
}

impl Daemon {
    /// Reads `env.local` and the job files anew. What is broken is told once and changes nothing.
    pub(super) async fn reload(&mut self) -> String {
        // One that took too long goes on; a second beside it would take as long, and as much memory.
        let mut reading = self.reading.take().unwrap_or_else(|| self.read_anew());
        // A network file system that hangs must not stop the clock.
        let Ok(read) = tokio::time::timeout(READ_DEADLINE, &mut reading).await else {
            self.reading = Some(reading);
            let seconds = READ_DEADLINE.as_secs();
            return self.tell_once(format!(
                "the configuration stays as it was: reading it takes longer than {seconds} s"
            ));
        };
        let mut configuration = match read.context("read the configuration") {
            Ok(Ok((configuration, files))) => {
                self.watch.configured_from(files);
                match configuration {
                    Ok(configuration) => configuration,
                    Err(problems) => {
                        let told = format!("the configuration stays as it was:\n{problems}");
                        return self.tell_once(told);
                    }
                }
            }
            Ok(Err(error)) | Err(error) => return self.tell_once(format!("{error:#}")),
        };
        let has_problems = !configuration.problems.0.is_empty();
        if has_problems {
            self.tell_once(configuration.problems.to_string());
        }
        self.keep_jobs_of_broken_files(&mut configuration);
        self.keep_jobs_of_labels(&mut configuration);
        let changed = configuration.jobs != self.configuration.jobs;
        if !changed {
            // The agenda shares memory with those that are there.
            configuration.jobs = std::mem::take(&mut self.configuration.jobs);
        }
        let before = std::mem::replace(&mut self.configuration, configuration);
        self.queue.set_limits(limits(&self.configuration.settings));
        if changed {
            self.jobs = Jobs::of(&self.configuration);
            self.replan(&before.jobs);
            self.listen_to_containers();
            self.look_at_files();
        }
        self.look_at_labels();
        self.settle_those_found().await;
        format!(
            "{} jobs, {}{}",
            self.configuration.jobs.len(),
            if changed { "changed" } else { "unchanged" },
            if has_problems { "; problems: see the log or `roadstead check`" } else { "" }
        )
    }

    /// Reads the configuration on a thread of its own.
    fn read_anew(&self) -> Reading {
        let reader = Arc::clone(&self.world.reader);
        let directories = directories(&self.configuration.settings);
        let known = self.watch.known_files();
        tokio::task::spawn_blocking(move || {
            // Before it is read: what changes meanwhile is then seen as a change.
            let before = FilesRead::look_at(known);
            let disk = View::open(&[]).context("read the configuration")?;
            let recorder = Recorder::of(&disk);
            let configuration = reader(&recorder);
            let files =
                before.or_look_at(recorder.asked().into_iter().chain(directories).collect());
            Ok((configuration, files))
        })
    }

    /// A file that is broken now leaves its jobs as they were.
    fn keep_jobs_of_broken_files(&self, configuration: &mut Configuration) {
        let problems = configuration.problems.0.iter().filter(|problem| !problem.is_warning());
        let broken: BTreeSet<String> = problems.map(|problem| problem.file.clone()).collect();
        if broken.is_empty() {
            return;
        }
        let known: BTreeSet<String> =
            configuration.jobs.iter().map(|job| job.name.clone()).collect();
        for job in &self.configuration.jobs {
            let is_gone = !known.contains(&job.name);
            if is_gone && broken.contains(job.origin.file()) {
                configuration.jobs.push(job.clone());
            }
        }
    }

    /// Enters new and changed jobs into the agenda and takes out those that are gone.
    pub(super) fn replan(&mut self, before: &[Job]) {
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

/// Directories and files that jobs are read from.
pub(super) fn directories(settings: &Settings) -> BTreeSet<PathBuf> {
    let schedulers = &settings.schedulers;
    let directories = [settings.jobs_dir.clone(), schedulers.jobs_dir.clone()];
    directories.into_iter().chain(schedulers.ofelia_config.clone()).collect()
}
