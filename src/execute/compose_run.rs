//! `compose_run`: a service of a project once, as `docker compose run --rm -T` runs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::run::{have_image, keep_container, record_service, remove_ended, start_and_follow};
use super::sink::Tee;
use super::{Answer, Context, engine_ending, failed, stopped};
use crate::apply::{self, OneOffContainer, OneOffModel, Waiting, Watch};
use crate::compose::model::{Condition, MountKind, Service};
use crate::compose::shortforms;
use crate::docker::{OneOff, is_unreachable};
use crate::job::work::ComposeRun;
use crate::job::{Deploy, Job, Work};
use crate::plan::observed::State;
use crate::plan::{self, Desired, Options, Recreate, labels};
use crate::reconcile::{self, Model};
use crate::run::{Ending, Reason};

/// Longest wait for what the service depends on.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) async fn compose_run(context: Context<'_>, run: &ComposeRun) -> Answer {
    let deploy = match deploy_of(&run.project, context.execution.jobs) {
        Ok(deploy) => deploy,
        Err(ending) => return Ok(ending),
    };
    let model = match reconcile::model(context.world, &deploy).await {
        Ok(model) => model,
        Err(ending) => return Ok(ending),
    };
    let service = match changed(&model, run) {
        Ok(service) => service,
        Err(ending) => return Ok(ending),
    };
    if let Some(ending) = others(context, &model.project.name).await? {
        return Ok(ending);
    }
    if let Err(ending) = have_image(context, &service).await {
        return Ok(ending);
    }
    if let Err(ending) = bring_up(context, &model, &run.service).await {
        return Ok(ending);
    }
    if context.cancel.is_cancelled() {
        return Ok(stopped("stopped before its container was made"));
    }
    let engine = &context.world.engine;
    let images = engine.images().await?;
    let one_off = OneOffModel {
        project: &model.project,
        hashes: &model.hashes,
        materials: &model.materials,
        images: &images,
    };
    record_service(context, &service).await?;
    let mut new = match OneOffContainer::new(engine, &one_off, service, None).await {
        Ok(new) => new,
        Err(error) if is_unreachable(&error) => return Err(error),
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    new.label(labels::JOB, context.job.name.clone());
    new.label(labels::RUN, context.execution.run.to_string());
    let name = new.name().to_owned();
    let manner = OneOff { stdin: false, auto_remove: false, aliases: false };
    let as_new = new.as_new();
    let create = engine.create_one_off(&as_new, manner);
    let id = match context.journal.step(format!("create container {name}"), create).await {
        Ok(id) => id,
        Err(error) if is_unreachable(&error) => return Err(error),
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    keep_container(context, &id).await;
    let uploads = model.materials.uploads.get(&run.service).map_or(&[][..], Vec::as_slice);
    let ended = match engine.upload_secrets(&id, uploads).await {
        Ok(()) => start_and_follow(context, (&id, &name), as_new.service, Tee::default()).await,
        Err(error) => Err(error),
    };
    remove_ended(context, (&id, &name), ended.as_ref().ok()).await;
    ended
}

/// The deploy whose project it is: that of a job, or one made up for a directory.
fn deploy_of(project: &str, jobs: &[Job]) -> Result<Deploy, Ending> {
    if Path::new(project).is_absolute() {
        return Ok(reconcile::deploy_of_directory(Path::new(project)));
    }
    let found = jobs.iter().find(|job| job.name == project);
    match found.map(|job| &job.work) {
        Some(Work::Deploy(deploy)) => Ok(Deploy::clone(deploy)),
        Some(other) => {
            let message = format!(
                "`project: {project}` is a job of the kind `{}`: name a deploy, or write the absolute \
                 directory of a project",
                other.kind()
            );
            Err(failed(Reason::ConfigurationInvalid, message))
        }
        None => {
            let message = format!(
                "`project: {project}` is no job: name a deploy, or write the absolute directory of a \
                 project"
            );
            Err(failed(Reason::ConfigurationInvalid, message))
        }
    }
}

/// The service with what the job changes in it.
fn changed(model: &Model, run: &ComposeRun) -> Result<Service, Ending> {
    let project = &model.project;
    let Some(service) = project.services.get(&run.service) else {
        let known = project.services.keys().map(String::as_str);
        let hint = crate::problem::nearest(&run.service, known)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let what = if project.disabled_services.contains(&run.service) {
            "takes no part in: activate one of its profiles"
        } else {
            "is not in"
        };
        let message = format!("service `{}` {what} project `{}`{hint}", run.service, project.name);
        return Err(failed(Reason::ComposeInvalid, message));
    };
    let mut service = service.clone();
    // A one-off does not come back, has no ports of its own, and there is one of it.
    service.restart_never();
    service.container_name = None;
    service.ports.clear();
    service.stdin_open = false;
    service.tty = false;
    if let Some(entrypoint) = &run.entrypoint {
        service.entrypoint = Some(entrypoint.clone());
        service.command = Some(Vec::new());
    }
    if let Some(command) = &run.command {
        service.command = Some(command.clone());
    }
    service.user = run.user.clone().or(service.user);
    service.working_dir = run.working_dir.clone().or(service.working_dir);
    let variables = run.environment.iter();
    service.environment.extend(variables.map(|(name, value)| (name.clone(), Some(value.clone()))));
    for text in &run.volumes {
        let mut mount = shortforms::mount(text).map_err(|what| {
            failed(Reason::ConfigurationInvalid, format!("volume `{text}`: {what}"))
        })?;
        if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
            // Relative to the project, which is written as the host sees it already.
            let path = if Path::new(source).is_absolute() {
                model.host_paths.on_host(Path::new(source))
            } else {
                project.working_dir.join(&source)
            };
            *source = path.display().to_string();
        }
        service.volumes.retain(|it| it.target != mount.target);
        service.volumes.push(mount);
    }
    Ok(service)
}

/// What an earlier run left, as far as this job's policy of overlap is about it.
async fn others(context: Context<'_>, project: &str) -> Result<Option<Ending>, anyhow::Error> {
    let ending = super::run::make_way(context).await?;
    if let Some(ending) = &ending {
        info!("project {project}: {}", ending.message);
    }
    Ok(ending)
}

/// Starts what the service depends on and is not there. What is there stays as it is, whatever its
/// files say by now: changing it is the business of a deploy.
async fn bring_up(context: Context<'_>, model: &Model, service: &str) -> Result<(), Ending> {
    let engine = &context.world.engine;
    let problem = |error: anyhow::Error| engine_ending(&error);
    let mut project = model.project.clone();
    let Some(own) = project.services.get_mut(service) else { return Ok(()) };
    if own.depends_on.is_empty() && own.networks.is_empty() && own.volumes.is_empty() {
        return Ok(());
    }
    let edges = own.depends_on.clone();
    own.scale = Some(0);
    let mut observed = engine.observe(&project.name).await.map_err(problem)?;
    observed.containers.retain(|it| it.service() != service);
    let options = Options {
        services: BTreeSet::from([service.to_owned()]),
        recreate: Recreate::Never,
        ..Options::default()
    };
    let desired = Desired { project: &project, hashes: &model.hashes, options: &options };
    let plan = plan::plan(&desired, &observed)
        .map_err(|refusal| failed(Reason::NeedsPerson, refusal.to_string()))?;
    if let Some(step) = plan.pulls().next() {
        let message = format!("what `{service}` depends on was never deployed: {step}");
        return Err(failed(Reason::ImageUnavailable, message));
    }
    if !plan.is_empty() {
        let wait = Waiting {
            within: PATIENCE,
            stable_for: Duration::ZERO,
            healthy: false,
            proof: apply::Proof::Well,
        };
        let apply = apply::Context {
            engine,
            project: &project,
            hashes: &model.hashes,
            materials: &model.materials,
            observed: &observed,
            revision: "",
            journal: context.journal,
            wait,
            start: true,
            stop_timeout: None,
            cancel: context.cancel,
            undo: None,
            keep_new: false,
        };
        // Boxed: it keeps much across its waits.
        if let Err(failure) = Box::pin(apply::apply(&apply, &plan)).await {
            if failure.cancelled {
                return Err(stopped("stopped before its container was made"));
            }
            let message = format!("start what `{service}` depends on: {:#}", failure.error);
            return Err(failed(Reason::PrepareFailed, message));
        }
    }
    let watch = Watch::new(engine);
    let label = format!("{}={}", labels::PROJECT, project.name);
    let waiting = async {
        let containers = engine.containers_of(&project.name).await?;
        let deadline = Instant::now() + PATIENCE;
        for (name, edge) in edges.iter().filter(|(_, it)| it.condition != Condition::Started) {
            let of_it = containers.iter().filter(|it| it.service() == name && !it.is_oneoff());
            for it in of_it.filter(|it| it.state != State::Removing) {
                match watch.reach(&it.id, &it.name, edge.condition, deadline).await {
                    Err(error) if !edge.required => tracing::warn!("{error:#}; it is not required"),
                    other => other?,
                }
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        waited = waiting => waited.map_err(|error| {
            failed(Reason::PrepareFailed, format!("wait for what `{service}` depends on: {error:#}"))
        }),
        () = watch.listen(&label, (context.world.now)()) => unreachable!("listens until dropped"),
        () = context.cancel.cancelled() => Err(stopped("stopped while it waited for what it depends on")),
    }
}
