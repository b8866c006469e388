//! `compose up`.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::arguments::Up;
use super::build::build_missing;
use super::{Session, load_project};
use crate::apply::{self, Failure, Journal, Left, Waiting};
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::cli::{FAILED, Usage};
use crate::compose::Request;
use crate::compose::model::Project;
use crate::docker::Engine;
use crate::plan::host_paths::HostPaths;
use crate::plan::observed::Observed;
use crate::plan::{self, Desired, Hashes, Options, Plan, Preparation};

/// The project as the host sees it, and what the Engine has of it.
pub(super) struct Found {
    pub(super) project: Project,
    pub(super) hashes: Hashes,
    pub(super) observed: Observed,
}

/// Makes the Engine have what the project says.
pub(super) async fn up(session: &Session, arguments: &Up) -> Result<u8> {
    let Session { engine, request, output, .. } = session;
    if !arguments.detach && !arguments.wait && !arguments.dry_run {
        bail!(Usage("`up` without `-d` is not supported yet: add `-d` (or `--wait`)".to_owned()));
    }
    let mut found = look(engine, request).await?;
    known_services(&found.project, &arguments.services)?;
    let options = Options {
        remove_orphans: arguments.remove_orphans,
        force_recreate: arguments.force_recreate,
        services: arguments.services.iter().cloned().collect::<BTreeSet<_>>(),
    };
    let mut plan = found.plan(&options)?;
    for note in &plan.notes {
        tracing::warn!("{note}");
    }
    if arguments.dry_run {
        print(|to| {
            if output.json {
                return writeln!(to, "{:#}", json!(plan));
            }
            writeln!(to, "{}: {}", plan.project, plan.summary())?;
            plan.lines().iter().try_for_each(|line| writeln!(to, "  {line}"))
        })?;
        return Ok(0);
    }
    if build_missing(session, &found.project, &options.services, &found.observed.images).await? {
        found.observed.images = engine.images().await?;
        plan = found.plan(&options)?;
    }
    if plan.pulls().next().is_some() {
        pull(engine, &plan).await?;
        found.observed.images = engine.images().await?;
        plan = found.plan(&options)?.without_pulls();
    }
    if plan.is_empty() {
        tracing::info!("{}: nothing to do, {}", plan.project, plan.summary());
    } else if let Err(failure) = apply(engine, arguments.waiting(), &found, &plan).await? {
        return report(&failure);
    }
    if output.json {
        print(|to| writeln!(to, "{:#}", json!(plan)))?;
    }
    Ok(0)
}

impl Up {
    fn waiting(&self) -> Waiting {
        Waiting {
            within: Duration::from_secs(self.wait_timeout),
            stable_for: Duration::ZERO,
            healthy: self.wait,
        }
    }
}

impl Found {
    pub(super) fn plan(&self, options: &Options) -> Result<Plan> {
        let desired = Desired { project: &self.project, hashes: &self.hashes, options };
        Ok(plan::plan(&desired, &self.observed)?)
    }
}

/// Loads the project while the Engine answers what does not depend on it. What is wrong with the
/// files is told before what is wrong with the Engine.
pub(super) async fn look(engine: &Engine, request: &Request) -> Result<Found> {
    // With a name that was given, even the containers need not wait for the files.
    let mut early = JoinSet::new();
    early.spawn(observe(engine.clone(), request.project_name.clone()));
    let loading = {
        let request = request.clone();
        tokio::task::spawn_blocking(move || load_project(&request))
    };
    let project = loading.await.context("load the project")??;
    let (host_paths, mut observed) = early.join_next().await.context("observe")???;
    let project = host_paths.translate(project);
    if request.project_name.as_ref() != Some(&project.name) {
        observed.containers = engine.containers_of(&project.name).await?;
    }
    Ok(Found { hashes: Hashes::of(&project), project, observed })
}

async fn observe(engine: Engine, project: Option<String>) -> Result<(HostPaths, Observed)> {
    let containers = async {
        match &project {
            Some(name) => engine.containers_of(name).await,
            None => Ok(Vec::new()),
        }
    };
    let (host_paths, surroundings, containers) =
        tokio::try_join!(engine.host_paths(), engine.surroundings(), containers)?;
    Ok((host_paths, Observed { containers, ..surroundings }))
}

fn known_services(project: &Project, wanted: &[String]) -> Result<()> {
    let Some(unknown) = wanted.iter().find(|name| !project.services.contains_key(*name)) else {
        return Ok(());
    };
    let known = project.services.keys().map(String::as_str);
    let hint = crate::problem::nearest(unknown, known)
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    bail!(Usage(format!("there is no service `{unknown}`{hint}")))
}

pub(super) async fn pull(engine: &Engine, plan: &Plan) -> Result<()> {
    for step in plan.pulls() {
        let Preparation::PullImage { image } = step else { continue };
        tracing::info!("{step}");
        engine.pull(image).await?;
    }
    Ok(())
}

/// Carries out the plan; a signal stops it at the next step boundary and puts back what was touched.
pub(super) async fn apply(
    engine: &Engine,
    wait: Waiting,
    found: &Found,
    plan: &Plan,
) -> Result<Result<(), Failure>> {
    let cancel = CancellationToken::new();
    let journal = Journal::none(now);
    let context = apply::Context {
        engine,
        project: &found.project,
        hashes: &found.hashes,
        observed: &found.observed,
        revision: "",
        journal: &journal,
        wait,
        cancel: &cancel,
        undo: None,
    };
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut work = std::pin::pin!(apply::apply(&context, plan));
    Ok(tokio::select! {
        applied = &mut work => applied,
        _ = interrupt.recv() => { cancel.cancel(); work.await }
        _ = terminate.recv() => { cancel.cancel(); work.await }
    })
}

pub(super) fn report(failure: &Failure) -> Result<u8> {
    let after = match failure.left {
        Left::Untouched => "nothing that ran was touched",
        Left::RolledBack => "rolled back, what ran before runs again",
        Left::Incomplete => "not everything could be put back, see above",
    };
    writeln!(std::io::stderr(), "roadstead: {:#}; {after}", failure.error)?;
    Ok(FAILED)
}
