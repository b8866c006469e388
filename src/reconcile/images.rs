//! The images of a deploy: pulled and built before anything that runs is touched.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::{info, warn};

use super::prospect::{Due, make_plan};
use super::{DeployRun, Prospect, World, engine_ending};
use crate::apply::{self, Builder, Journal, Materials, seconds};
use crate::compose::model::Service;
use crate::docker::is_unreachable;
use crate::image::{Identity, name_and_tag};
use crate::plan::observed::{Observed, familiar};
use crate::plan::pull::builds_due;
use crate::plan::{Plan, Preparation};
use crate::run::{Ending, Outcome, Reason};

/// What is observed and planned while images come: a new one may be another than the one that runs.
pub(super) struct Images<'a> {
    world: &'a World,
    run: &'a DeployRun<'a>,
    prospect: &'a Prospect,
    journal: &'a Journal,
    /// What is there now.
    pub(super) observed: Observed,
    /// What is left to do.
    pub(super) plan: Plan,
    /// The names that were given to built images, with what they named before.
    named_before: BTreeMap<String, Option<Identity>>,
}

impl<'a> Images<'a> {
    pub(super) fn new(
        world: &'a World,
        run: &'a DeployRun<'a>,
        prospect: &'a Prospect,
        journal: &'a Journal,
    ) -> Self {
        let (observed, plan) = (prospect.observed.clone(), prospect.plan.clone());
        Self { world, run, prospect, journal, observed, plan, named_before: BTreeMap::new() }
    }

    /// Pulls what the plan asks for, and plans again. Tells, too, what cannot be built here.
    pub(super) async fn pull(&mut self) -> Result<(), Ending> {
        if self.plan.pulls().next().is_some() {
            let pulled = join_all(self.plan.pulls().map(|step| self.pull_one(step)));
            // A pull can take an hour; nothing is touched yet, so it may be dropped at once.
            let pulled = tokio::select! {
                pulled = pulled => pulled.into_iter().collect::<Result<()>>(),
                () = self.run.cancel.cancelled() => return Err(self.stopped("pulling", Reason::PrepareFailed)),
            };
            pulled.map_err(|error| untouched(&error, Reason::ImageUnavailable))?;
            self.plan_again(self.prospect.is_new()).await?;
            self.plan = std::mem::take(&mut self.plan).without_pulls();
        }
        let (services, builds) = (self.services_to_build(), &self.prospect.materials.builds);
        let refused = self.world.engine.unbuildable(&services, builds).await;
        let refused = refused.map_err(|error| engine_ending(&error))?;
        if refused.is_empty() {
            return Ok(());
        }
        Err(Ending::new(Outcome::Blocked, Reason::ComposeInvalid, refused.join("\n")))
    }

    /// Builds what the plan asks for, and plans again. Contexts are read from the checkouts.
    pub(super) async fn build(&mut self) -> Result<(), Ending> {
        let services = self.services_to_build();
        if services.is_empty() {
            return Ok(());
        }
        for service in &services {
            let name = familiar(&service.image);
            let before = self.observed.images.get(&name).cloned();
            self.named_before.insert(name, before);
        }
        self.hold().await;
        let built = tokio::select! {
            built = self.build_all(&services) => built,
            () = self.run.cancel.cancelled() => {
                self.tag_back().await;
                return Err(self.stopped("building", Reason::TimedOut));
            }
        };
        if let Err(error) = built {
            self.tag_back().await;
            return Err(untouched(&error, Reason::BuildFailed));
        }
        self.plan_again(false).await?;
        self.plan = std::mem::take(&mut self.plan).without_pulls().without_builds();
        Ok(())
    }

    /// Gives a second name to each image that is about to lose its only one. `BuildKit` over the containerd
    /// store, the default of Engine 29, drops such an image, even below a running container, and there
    /// would be nothing to give the name back to (measured with 28.5). It stands until the next build.
    async fn hold(&self) {
        for (name, before) in &self.named_before {
            let Some(before) = before else { continue };
            let second = held_name(name);
            if let Err(error) = self.world.engine.tag(&before.id, &second).await {
                warn!("the image before the build may not be kept as {second}: {error:#}");
            }
        }
    }

    /// Gives names back to the images that had them: what runs was made from those.
    pub(super) async fn tag_back(&self) {
        for (name, before) in &self.named_before {
            let Some(before) = before else { continue };
            if let Err(error) = self.world.engine.tag(&before.id, name).await {
                warn!("image {name} still names what was built: {error:#}");
            }
        }
    }

    async fn build_all(&self, services: &[&Service]) -> Result<()> {
        let Materials { client, builds, .. } = &self.prospect.materials;
        let builder = Builder::new(&self.world.engine, client, builds).await;
        for service in services {
            let (started, name) = (Instant::now(), format!("build image {}", service.image));
            self.journal.step(&name, builder.build_told(service)).await?;
            info!("{name}: done in {}", seconds(started));
        }
        Ok(())
    }

    fn services_to_build(&self) -> Vec<&'a Service> {
        let services = &self.prospect.project.services;
        let service = |step: &Preparation| match step {
            Preparation::BuildImage { service, .. } => services.get(service),
            _ => None,
        };
        self.plan.builds().filter_map(service).collect()
    }

    async fn pull_one(&self, step: &Preparation) -> Result<()> {
        let Preparation::PullImage { image } = step else { return Ok(()) };
        let (started, prospect) = (Instant::now(), self.prospect);
        let platform = apply::platform_of(&prospect.project, image);
        let client = &prospect.materials.client;
        let work = apply::pull(&self.world.engine, client, image, platform);
        let pulled = self.journal.step(step, work).await;
        let mut services = prospect.project.services.values();
        match pulled {
            Ok(()) => info!("{step}: done in {}", seconds(started)),
            Err(error) if services.any(|it| it.image == *image && it.build.is_some()) => {
                warn!("{error:#}; it is built if it is not there");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn plan_again(&mut self, is_new: bool) -> Result<(), Ending> {
        let images = self.world.engine.images().await;
        self.observed.images = images.map_err(|error| engine_ending(&error))?;
        let Prospect { project, hashes, elsewhere, .. } = self.prospect;
        let builds = builds_due(project, &self.observed.images, elsewhere, is_new, true);
        let due = Due { builds, ..Due::default() };
        self.plan = make_plan(project, hashes, self.run.deploy, (&self.observed, due))?;
        Ok(())
    }

    fn stopped(&self, doing: &str, reason: Reason) -> Ending {
        if self.run.timed_out.load(Ordering::Relaxed) {
            let message = format!("out of time while {doing} images; nothing that ran was touched");
            return Ending::new(Outcome::Failed, reason, message);
        }
        let message = format!("stopped while {doing} images; nothing that ran was touched");
        Ending::new(Outcome::Cancelled, Reason::Shutdown, message)
    }
}

/// Under which name an image stays that was built before.
fn held_name(name: &str) -> String {
    let (repository, tag) = name_and_tag(name);
    format!("{repository}:{}-before", tag.unwrap_or("latest"))
}

fn untouched(error: &anyhow::Error, reason: Reason) -> Ending {
    let reason = if is_unreachable(error) { Reason::EngineUnreachable } else { reason };
    let message = format!("{error:#}; nothing that ran was touched");
    Ending::new(Outcome::Failed, reason, message)
}
