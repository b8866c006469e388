//! Jobs in labels of containers, followed while containers come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;
use tracing::warn;

use super::configuration::Jobs;
use super::{Daemon, Event};
use crate::control::Reply;
use crate::docker::Engine;
use crate::git;
use crate::job::native::write::Written;
use crate::job::native::{Context, NoFiles};
use crate::job::ofelia::{LabelledContainer, is_of_label, jobs_of_labels, without_taken};
use crate::job::{Configuration, Job};
use crate::plan::labels;
use crate::plan::observed::{Container, State};

/// Labels of containers whose other labels are read.
const ENABLED: [&str; 2] = ["ofelia.enabled=true", "chadburn.enabled=true"];
/// Longest wait for the lists of containers.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two looks that no event asked for.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where the looks at labels stand.
#[derive(Default)]
pub(super) struct Looks {
    /// One is on its way.
    is_looking: bool,
    /// Something happened since it began.
    again: bool,
    /// When the last one began.
    last: Option<Instant>,
    /// Problems already told.
    told: String,
    /// What the last one saw.
    seen: Vec<LabelledContainer>,
    /// They were read since our start: a job that nobody knows by now is gone.
    were_read: bool,
}

impl Daemon {
    /// Looks at the labels of containers, if they are followed and the last look is long ago.
    pub(super) fn look_at_labels_again(&mut self) {
        if self.looks.last.is_none_or(|last| last.elapsed() >= LOOK_EVERY) {
            self.look_at_labels();
        }
    }

    /// Looks at the labels of containers, if they are followed; once more behind a look that is going on.
    pub(super) fn look_at_labels(&mut self) {
        if !self.configuration.settings.schedulers.ofelia_labels || !self.engine_ready {
            return;
        }
        if self.looks.is_looking {
            self.looks.again = true;
            return;
        }
        self.looks.is_looking = true;
        self.looks.last = Some(Instant::now());
        let engine = self.world.engine.clone();
        self.tasks.spawn(async move {
            match tokio::time::timeout(LOOK_DEADLINE, labelled(&engine)).await {
                Ok(Ok(containers)) => Event::Labelled(Some(containers)),
                Ok(Err(error)) => {
                    warn!("{error:#}; jobs in labels stay as they were");
                    Event::Labelled(None)
                }
                Err(_) => {
                    warn!("listing containers took too long; jobs in labels stay as they were");
                    Event::Labelled(None)
                }
            }
        });
    }

    /// Takes the jobs over that containers carry; without a list they stay as they were.
    pub(super) async fn heed_labels(&mut self, containers: Option<Vec<LabelledContainer>>) {
        self.looks.is_looking = false;
        if let Some(containers) = containers {
            let settings = &self.configuration.settings;
            let context = Context {
                settings,
                variables: &settings.variables,
                toplevel: &git::toplevel,
                files: &NoFiles,
            };
            let (jobs, problems) = jobs_of_labels(&containers, &context);
            let told = problems.plain();
            if !told.is_empty() && told != self.looks.told {
                warn!("labels of containers:\n{told}");
            }
            self.looks.told = told;
            self.looks.seen = containers;
            self.take_jobs_of_labels(jobs);
            self.looks.were_read = true;
            self.settle_those_found().await;
        }
        if std::mem::take(&mut self.looks.again) {
            self.look_at_labels();
        }
    }

    /// What a command needs to know the jobs of labels, too.
    pub(super) fn labelled_containers(&self) -> Reply {
        Reply::Labels { containers: self.looks.seen.clone() }
    }

    /// Whether jobs of labels are still to be found.
    pub(super) fn waits_for_labels(&self) -> bool {
        self.configuration.settings.schedulers.ofelia_labels && !self.looks.were_read
    }

    /// A job of a file wins over one of a label.
    fn take_jobs_of_labels(&mut self, jobs: Vec<Written>) {
        let configured = &self.configuration.jobs;
        let jobs = without_taken(jobs, configured).into_iter().map(|it| it.job);
        let jobs: Vec<Job> = jobs.collect();
        if configured.iter().filter(|job| is_of_label(job)).eq(jobs.iter()) {
            return;
        }
        let before = self.configuration.jobs.extract_if(.., |job| is_of_label(job));
        let before: Vec<Job> = before.collect();
        self.configuration.jobs.extend(jobs);
        self.jobs = Jobs::of(&self.configuration);
        self.replan(&before);
    }

    /// Keeps the jobs of labels through a reload of files, which do not hold them.
    pub(super) fn keep_jobs_of_labels(&self, configuration: &mut Configuration) {
        if !configuration.settings.schedulers.ofelia_labels {
            return;
        }
        let known: BTreeSet<String> =
            configuration.jobs.iter().map(|job| job.name.clone()).collect();
        let of_labels = self.configuration.jobs.iter().filter(|job| is_of_label(job));
        let kept: Vec<Job> = of_labels.filter(|job| !known.contains(&job.name)).cloned().collect();
        configuration.jobs.extend(kept);
    }
}

/// The containers whose labels are read.
async fn labelled(engine: &Engine) -> Result<Vec<LabelledContainer>> {
    let mut found: BTreeMap<String, Container> = BTreeMap::new();
    let mut see = |containers: Vec<Container>| {
        found.extend(containers.into_iter().map(|container| (container.id.clone(), container)));
    };
    see(engine.ourselves().await?.into_iter().collect());
    for label in ENABLED {
        see(engine.containers_with(label).await?);
    }
    Ok(found.into_values().map(of_labels).collect())
}

fn of_labels(container: Container) -> LabelledContainer {
    let of = |label: &str| container.labels.get(label).cloned();
    let labelled = LabelledContainer {
        project: of(labels::PROJECT),
        service: of(labels::SERVICE),
        running: container.state == State::Running,
        is_ours: container.is_ourselves,
        name: container.name,
        labels: container.labels.into_iter().collect(),
    };
    labelled.of_labels()
}
