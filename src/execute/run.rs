//! `run`: a new container to completion, or an existing one that is started once more.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tokio::time::Instant;
use tracing::{info, warn};

use super::sink::Tee;
use super::stop::end_container;
use super::target::environment_of;
use super::{Answer, Context, engine_ending, failed, follow, stopped};
use crate::apply::{self, seconds};
use crate::compose::model::{PullPolicy, Service};
use crate::docker::{NewContainer, Surroundings, is_unreachable};
use crate::image::{Identity, name_and_tag};
use crate::job::{Overlap, RunContainer};
use crate::plan::labels;
use crate::plan::observed::{Observed, familiar};
use crate::plan::pull::pull_due;
use crate::registry::ClientConfig;
use crate::run::{Details, Ending, Outcome, Reason};

/// Label of a container that its run leaves where it is.
const KEEP: &str = "dev.roadstead.keep";

pub(super) async fn run(context: Context<'_>, run: &RunContainer) -> Answer {
    match &run.container {
        Some(name) => existing(context, run, name).await,
        None => new(context, run).await,
    }
}

async fn new(context: Context<'_>, run: &RunContainer) -> Answer {
    let engine = &context.world.engine;
    if let Some(ending) = make_way(context).await? {
        return Ok(ending);
    }
    let mut service = as_one_off(&run.service, run);
    if let Err(ending) = have_image(context, &service).await
        && !may_fall_back(context, run, &ending).await?
    {
        return Ok(ending);
    }
    match environment_of(engine, &run.env_from).await? {
        Ok(variables) => {
            for (name, value) in variables {
                service.environment.entry(name).or_insert(Some(value));
            }
        }
        Err(ending) => return Ok(ending),
    }
    let tee = match Tee::open(&run.redirect) {
        Ok(tee) => tee,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let (job, number) = (&context.job.name, context.execution.run);
    let name = service.container_name.clone();
    let name = name.unwrap_or_else(|| format!("roadstead-{job}-{number}{}", context.suffix));
    let mut labels = service.labels.clone();
    labels.insert(labels::JOB.to_owned(), job.clone());
    labels.insert(labels::RUN.to_owned(), number.to_string());
    if run.keep {
        labels.insert(KEEP.to_owned(), labels::YES.to_owned());
    }
    let project = RunContainer { service, ..run.clone() }.project(job);
    let project = context.world.host_paths().await?.translate(project);
    let service = project.services.get(job).context("a run has its own container")?;
    record_service(context, service).await?;
    let client = ClientConfig::load(&context.world.variables)?;
    let surroundings =
        Surroundings { proxies: client.proxy_variables(engine.host()), ..Surroundings::default() };
    let new = NewContainer {
        project: &project,
        service,
        name: &name,
        final_name: &name,
        labels: &labels,
        anonymous_volumes: &BTreeMap::new(),
        surroundings: &surroundings,
    };
    if context.cancel.is_cancelled() {
        return Ok(stopped("stopped before its container was made"));
    }
    let created =
        context.journal.step(format!("create container {name}"), engine.create_service(&new));
    let id = match created.await {
        Ok(id) => id,
        Err(error) => return not_created(context, &name, error).await,
    };
    keep_container(context, &id).await;
    let around = (&project, &surroundings);
    let before = apply::run_hooks_before(engine, around, service, (&id, &name)).await;
    let ended = match before {
        Ok(()) => start_and_follow(context, (&id, &name), service, tee).await,
        Err(error) if is_unreachable(&error) => Err(error),
        Err(error) => Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    if !run.keep {
        remove_ended(context, (&id, &name), ended.as_ref().ok()).await;
    }
    ended
}

/// Removes a container of ours that ended so. How it ended is written down before: it is nowhere else.
pub(super) async fn remove_ended(
    context: Context<'_>,
    (id, name): (&str, &str),
    ending: Option<&Ending>,
) {
    // One that was stopped is told with who asked for it, which is known when the run ends.
    if let Some(ending) = ending.filter(|ending| ending.outcome != Outcome::Cancelled) {
        context.made_of(|details| details.ending = Some(ending.clone())).await;
    }
    remove(context, id, name).await;
}

/// Removes a container of ours with its anonymous volumes.
pub(super) async fn remove(context: Context<'_>, id: &str, name: &str) {
    let removal = context.world.engine.discard(id, true);
    if let Err(error) = context.journal.step(format!("remove container {name}"), removal).await {
        warn!("{error:#}; the next run removes it");
    }
}

pub(super) async fn keep_container(context: Context<'_>, id: &str) {
    let (id, now) = (id.to_owned(), (context.world.now)());
    let is_made = |details: &mut Details| {
        details.container = Some(id);
        details.since = Some(now);
    };
    context.made_of(is_made).await;
}

/// Starts a container that is made and stays with it to its end.
pub(super) async fn start_and_follow(
    context: Context<'_>,
    (id, name): (&str, &str),
    service: &Service,
    tee: Tee,
) -> Answer {
    let engine = &context.world.engine;
    let about = engine.about(id).await?.context("the container was removed before its start")?;
    let begun = Instant::now();
    // Connected before the start, or its log read after it: nothing is missed either way.
    let source = follow::Source::of(engine, &about).await?;
    let started = context.journal.step(format!("start container {name}"), engine.start(id)).await;
    if let Err(error) = started {
        if is_unreachable(&error) {
            return Err(error);
        }
        return Ok(failed(Reason::NotStarted, format!("{error:#}")));
    }
    info!("container {name} started from {}", about.image);
    let hooks = async {
        match apply::run_hooks(engine, (id, name), &service.post_start, "post_start").await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let error = tokio::select! {
        ending = follow::to_the_end(context, (&about, &service.pre_stop), source, tee, begun) => {
            return Ok(ending);
        }
        error = hooks => error,
    };
    let how = end_container(engine, id, &context.job.policy.stop).await?;
    Ok(failed(Reason::PrepareFailed, format!("{error:#}; the container was ended: {how}")))
}

async fn not_created(context: Context<'_>, name: &str, error: anyhow::Error) -> Answer {
    if is_unreachable(&error) {
        return Err(error);
    }
    let text = format!("{error:#}");
    let holder = context.world.engine.about(name).await?;
    let Some(holder) = holder.filter(|_| text.contains("is already in use")) else {
        return Ok(failed(Reason::PrepareFailed, text));
    };
    let message = format!(
        "another container has the name `{name}` and is {}: let it end or remove it, or give this job \
         no container name",
        holder.state.as_str()
    );
    Ok(failed(Reason::NameTaken, message))
}

/// The service as one container that does not come back by itself.
fn as_one_off(service: &Service, run: &RunContainer) -> Service {
    let mut service = service.clone();
    service.restart_never();
    let volumes_from = run.volumes_from.iter().map(|name| format!("container:{name}"));
    service.volumes_from.extend(volumes_from);
    // Names that Docker knows as modes, and no network at all, which is Docker's own bridge.
    let mode = match service.networks.keys().next().map(String::as_str) {
        None => Some("bridge"),
        Some(name @ ("host" | "none" | "bridge")) if service.networks.len() == 1 => Some(name),
        Some(_) => None,
    };
    if let (None, Some(mode)) = (&service.network_mode, mode) {
        service.network_mode = Some(mode.to_owned());
        service.networks.clear();
    }
    service
}

/// Overlap is read from live containers: one may have outlived the daemon that started it. What has
/// ended and nobody keeps goes.
pub(super) async fn make_way(context: Context<'_>) -> Result<Option<Ending>> {
    let (engine, job) = (&context.world.engine, context.job);
    let own = context.execution.run.to_string();
    let overlap = job.policy.overlap;
    for container in engine.containers_with(&format!("{}={}", labels::JOB, job.name)).await? {
        let is_own = container.label(labels::RUN) == own;
        let lives = container.state.lives();
        let is_kept = container.label(KEEP) == labels::YES;
        let name = &container.name;
        match overlap {
            // Works of one run follow each other, unless an earlier try of it left something.
            _ if is_own && is_kept && !lives && !context.suffix.is_empty() => continue,
            Overlap::Allow if !is_own => continue,
            Overlap::Skip | Overlap::Queue if lives && !is_own => {
                let message = format!("container `{name}` of an earlier run still runs");
                return Ok(Some(Ending::new(Outcome::Skipped, Reason::Overlap, message)));
            }
            _ if lives => {
                let end = end_container(engine, &container.id, &job.policy.stop);
                let how = context.journal.step(format!("end container {name}"), end).await?;
                info!("container {name} of an earlier run makes way: {how}");
            }
            Overlap::Skip | Overlap::Queue | Overlap::Replace | Overlap::Allow => {}
        }
        if !is_kept || is_own {
            engine.discard(&container.id, true).await?;
        }
    }
    Ok(None)
}

/// Has the image be there, as its policy of pulling wants it.
pub(super) async fn have_image(context: Context<'_>, service: &Service) -> Result<(), Ending> {
    let engine = &context.world.engine;
    let image = service.image.as_str();
    let problem = |error: anyhow::Error| engine_ending(&error);
    let images = engine.images().await.map_err(problem)?;
    let is_present = images.contains_key(&familiar(image));
    let tagged = match service.pull_policy.interval() {
        Some(_) if is_present => engine.last_tagged(image).await.map_err(problem)?,
        _ => None,
    };
    let now = (context.world.now)().timestamp();
    let unavailable = |text: String| failed(Reason::ImageUnavailable, text);
    if !pull_due(&service.pull_policy, is_present, tagged, now) {
        if is_present {
            return Ok(());
        }
        let message = format!("image `{image}` is not there, and `pull_policy` forbids to pull it");
        return Err(unavailable(message));
    }
    let client = ClientConfig::load(&context.world.variables);
    let client = client.map_err(|error| unavailable(format!("{error:#}")))?;
    if is_present && service.pull_policy == PullPolicy::Always && service.platform.is_none() {
        let project = RunContainer { service: service.clone(), ..RunContainer::default() };
        let observed = Observed { images, ..Observed::default() };
        let same = apply::as_in_registry(&client, &project.project("job"), &observed).await;
        if same.contains(image) {
            return Ok(());
        }
    }
    let work = apply::pull(engine, &client, image, service.platform.as_deref());
    let pulled = tokio::select! {
        pulled = context.journal.step(format!("pull image {image}"), work) => pulled,
        () = context.cancel.cancelled() => return Err(stopped(format!("stopped while pulling image `{image}`"))),
    };
    pulled.map_err(|error| {
        if is_unreachable(&error) {
            engine_ending(&error)
        } else {
            unavailable(format!("{error:#}"))
        }
    })
}

/// Whether the image that is there does, in place of one that could not be pulled.
async fn may_fall_back(context: Context<'_>, run: &RunContainer, ending: &Ending) -> Result<bool> {
    if !run.pull_fallback || ending.reason != Reason::ImageUnavailable {
        return Ok(false);
    }
    let image = familiar(&run.service.image);
    let is_present = context.world.engine.images().await?.contains_key(&image);
    if is_present {
        warn!("{}; the image that is there is run", ending.message);
    }
    Ok(is_present)
}

/// Writes down what the container is made of.
pub(super) async fn record_service(context: Context<'_>, service: &Service) -> Result<()> {
    let images = context.world.engine.images().await?;
    let digest = digest_of(&images, &service.image);
    let reference = familiar(&service.image);
    if let Some(identity) = images.get(&reference) {
        let (store, of) = (context.execution.store, (&*context.job.name, context.execution.run));
        let used = (reference.as_str(), identity.id.as_str());
        if let Err(error) = store.used_image(of, used, (context.world.now)()).await {
            warn!("that this run uses image {reference} could not be recorded: {error:#}");
        }
    }
    let mut command = service.entrypoint.clone().unwrap_or_default();
    command.extend(service.command.iter().flatten().cloned());
    let made_of = |details: &mut Details| {
        details.image = Some(service.image.clone());
        details.digest = digest;
        details.command = command;
        details.environment = service.environment.keys().cloned().collect();
    };
    context.made_of(made_of).await;
    Ok(())
}

/// The digest that an image was pulled by, else its id.
fn digest_of(images: &BTreeMap<String, Identity>, image: &str) -> Option<String> {
    let name = familiar(image);
    let identity = images.get(&name)?;
    let repository = match name.split_once('@') {
        Some((repository, _)) => repository,
        None => name_and_tag(&name).0,
    };
    let by_digest = images.iter().find_map(|(reference, other)| {
        let (of, digest) = reference.split_once('@')?;
        (of == repository && other.id == identity.id).then(|| digest.to_owned())
    });
    Some(by_digest.unwrap_or_else(|| identity.id.clone()))
}

/// Starts a container that is there once more, and leaves it there.
async fn existing(context: Context<'_>, run: &RunContainer, name: &str) -> Answer {
    let engine = &context.world.engine;
    let Some(about) = engine.about(name).await? else {
        let message = format!("there is no container `{name}` to start: create it first");
        return Ok(failed(Reason::NoSuchContainer, message));
    };
    if about.state.lives() {
        if context.job.policy.overlap != Overlap::Replace {
            let message = format!("container `{name}` runs already");
            return Ok(Ending::new(Outcome::Skipped, Reason::Overlap, message));
        }
        let end = end_container(engine, &about.id, &context.job.policy.stop);
        context.journal.step(format!("end container {name}"), end).await?;
    }
    let tee = match Tee::open(&run.redirect) {
        Ok(tee) => tee,
        Err(error) => return Ok(failed(Reason::PrepareFailed, format!("{error:#}"))),
    };
    let now = (context.world.now)();
    let made_of = |details: &mut Details| {
        details.since = Some(now);
        details.image = Some(about.image.clone());
        details.digest = Some(about.image_id.clone());
        details.command.clone_from(&about.command);
        details.container = Some(about.id.clone());
    };
    context.made_of(made_of).await;
    let begun = Instant::now();
    // Its log holds what earlier runs wrote: only what comes now is this one's.
    let source = follow::Source::Live(engine.attach_output(&about.id, false).await?);
    let started = context.journal.step(format!("start container {name}"), engine.start(&about.id));
    if let Err(error) = started.await {
        if is_unreachable(&error) {
            return Err(error);
        }
        return Ok(failed(Reason::NotStarted, format!("{error:#}")));
    }
    info!("container {name} started in {}", seconds(begun));
    Ok(follow::to_the_end(context, (&about, &[]), source, tee, begun).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_registry_where_there_is_one() {
        let identity = |id: &str| Identity { id: id.to_owned(), ..Identity::default() };
        let images: BTreeMap<String, Identity> = [
            ("app:1", "sha256:1"),
            ("app@sha256:d", "sha256:1"),
            ("other@sha256:e", "sha256:1"),
            ("local:latest", "sha256:2"),
            ("h:5/app:2", "sha256:3"),
            ("h:5/app@sha256:f", "sha256:3"),
        ]
        .map(|(name, id)| (name.to_owned(), identity(id)))
        .into();
        for (image, expected) in [
            ("docker.io/library/app:1", Some("sha256:d")),
            ("local", Some("sha256:2")),
            ("h:5/app:2", Some("sha256:f")),
            ("app@sha256:d", Some("sha256:d")),
            ("none", None),
        ] {
            assert_eq!(digest_of(&images, image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn networks_that_are_modes_become_modes_and_none_is_the_bridge() {
        for (mode, networks, expected_mode, expected_networks) in [
            (None, &[][..], Some("bridge"), &[][..]),
            (None, &["host"], Some("host"), &[]),
            (None, &["none"], Some("none"), &[]),
            (None, &["mine"], None, &["mine"]),
            (None, &["bridge", "mine"], None, &["bridge", "mine"]),
            (Some("container:x"), &[], Some("container:x"), &[]),
        ] {
            let service = Service {
                network_mode: mode.map(str::to_owned),
                networks: networks.iter().map(|it| ((*it).to_owned(), None)).collect(),
                restart: Some("always".to_owned()),
                ..Service::default()
            };
            let run = RunContainer {
                volumes_from: vec!["data:ro".to_owned()],
                ..RunContainer::default()
            };
            let found = as_one_off(&service, &run);
            let keys: Vec<&str> = found.networks.keys().map(String::as_str).collect();
            assert_eq!(
                (found.network_mode.as_deref(), &keys[..]),
                (expected_mode, expected_networks)
            );
            assert_eq!(found.restart, None);
            assert_eq!(found.volumes_from, ["container:data:ro"]);
        }
    }
}
