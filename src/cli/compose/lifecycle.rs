//! `compose stop`, `start`, `restart`, `pause`, `unpause` and `kill`.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;
use tracing::warn;

use super::Session;
use super::progress::Standing;
use super::target::{Edge, Edges, Target, is_running, waves};
use crate::apply::{self, Gate, Watch};
use crate::cli::setup::now;
use crate::compose::model::{Condition, Project};
use crate::docker::{self, Engine};
use crate::plan::labels;
use crate::plan::observed::{Container, State};

/// Longest wait for what a service waits for, where no other time was given.
const PATIENCE: Duration = Duration::from_hours(24);

// Arguments of `stop`.
#[derive(Debug, Args)]
pub(super) struct Stop {
    /// Seconds until a container is killed; -1 waits for ever [default: its own grace]
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(super) timeout: Option<i32>,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
}

// Arguments of `start`.
#[derive(Debug, Args)]
pub(super) struct Start {
    /// Waits until containers run, and are healthy where they have a health check
    #[arg(long)]
    wait: bool,
    /// Longest time to wait, in seconds
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Only these services and what they depend on
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

// Arguments of `restart`.
#[derive(Debug, Args)]
pub(super) struct Restart {
    /// Leaves services alone that are to be restarted with these
    #[arg(long)]
    no_deps: bool,
    /// Seconds until a container is killed; -1 waits for ever [default: its own grace]
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i32>,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

// Arguments of `pause` and `unpause`.
#[derive(Debug, Args)]
pub(super) struct Services {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

// Arguments of `kill`.
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
    /// Containers of services that the files do not have, too
    #[arg(long)]
    remove_orphans: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Stops containers, dependents before what they depend on.
pub(super) async fn stop(session: &Session, arguments: &Stop) -> Result<u8> {
    let target = session.target(&arguments.services)?;
    stop_services(session, &target, arguments).await?;
    Ok(0)
}

/// Stops containers of a project; also the first half of `rm --stop`.
pub(super) async fn stop_services(
    session: &Session,
    target: &Target,
    arguments: &Stop,
) -> Result<()> {
    let containers = session.containers(target, &arguments.services, false).await?;
    let edges = target.edges(&containers);
    for wave in waves(&services_of(&containers), &edges).iter().rev() {
        let wave = in_wave(&containers, wave);
        each(session, &wave, ["Stopping", "Stopped"], |it| {
            stop_container(&session.engine, target.project.as_ref(), it, arguments.timeout)
        })
        .await?;
    }
    Ok(())
}

/// Stops a container once its `pre_stop` hooks have run; they are known where there are files.
pub(super) async fn stop_container(
    engine: &Engine,
    project: Option<&Project>,
    container: &Container,
    timeout: Option<i32>,
) -> Result<()> {
    run_hooks(engine, project, container, Turn::BeforeStop).await?;
    engine.stop_within(&container.id, timeout).await
}

/// Starts a container and runs its `post_start` hooks; one that never ran gets its secrets and configs.
async fn start_container(
    engine: &Engine,
    project: Option<&Project>,
    container: &Container,
) -> Result<()> {
    upload(engine, project, container).await?;
    engine.start(&container.id).await?;
    run_hooks(engine, project, container, Turn::AfterStart).await
}

async fn restart_container(
    engine: &Engine,
    project: Option<&Project>,
    container: &Container,
    timeout: Option<i32>,
) -> Result<()> {
    run_hooks(engine, project, container, Turn::BeforeStop).await?;
    upload(engine, project, container).await?;
    engine.restart(&container.id, timeout).await?;
    run_hooks(engine, project, container, Turn::AfterStart).await
}

/// A turn of a container's life that hooks belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    BeforeStop,
    AfterStart,
}

async fn run_hooks(
    engine: &Engine,
    project: Option<&Project>,
    container: &Container,
    turn: Turn,
) -> Result<()> {
    let service = project.and_then(|it| it.services.get(container.service()));
    let Some(service) = service.filter(|_| !container.is_oneoff()) else { return Ok(()) };
    let (hooks, kind) = match turn {
        // Nobody can be told in a container that does not run.
        Turn::BeforeStop if container.state != State::Running => return Ok(()),
        Turn::BeforeStop => (&service.pre_stop, "pre_stop"),
        Turn::AfterStart => (&service.post_start, "post_start"),
    };
    apply::run_hooks(engine, (&container.id, &container.name), hooks, kind).await
}

/// Writes secrets and configs into a container that `create` made.
async fn upload(engine: &Engine, project: Option<&Project>, container: &Container) -> Result<()> {
    let service = project.and_then(|it| Some((it, it.services.get(container.service())?)));
    let Some((project, service)) = service.filter(|_| container.state == State::Created) else {
        return Ok(());
    };
    let uploads = docker::uploads(project, service, &|path| std::fs::read(path))?;
    engine.upload_secrets(&container.id, &uploads).await
}

/// Starts containers that are there, each service after what it waits for.
pub(super) async fn start(session: &Session, arguments: &Start) -> Result<u8> {
    let target = session.target(&arguments.services)?;
    let containers = session.containers(&target, &[], false).await?;
    let edges = target.edges(&containers);
    let services = selected(&target, &containers, &edges, &arguments.services);
    let is_expected = services.iter().any(|it| wants_some(&target, it));
    if containers.is_empty() && (target.project.is_none() || is_expected) {
        bail!("no container found for project \"{}\": create some with `compose up`", target.name);
    }
    let watch = Watch::new(&session.engine);
    let label = format!("{}={}", labels::PROJECT, target.name);
    let within = arguments.wait_timeout.map_or(PATIENCE, Duration::from_secs);
    let work = async {
        for wave in waves(&services, &edges) {
            for service in &wave {
                let needs = edges.get(service).map_or(&[][..], Vec::as_slice);
                wait_for(session, &watch, needs, &containers).await?;
                tell_empty(&target, service, &containers);
            }
            let mut idle = in_wave(&containers, &wave);
            idle.retain(|it| it.state != State::Running);
            each(session, &idle, ["Starting", "Started"], |it| {
                start_container(&session.engine, target.project.as_ref(), it)
            })
            .await?;
        }
        if arguments.wait {
            wait_until_well(session, &watch, &in_wave(&containers, &services), within).await?;
        }
        Ok(0)
    };
    tokio::select! {
        ended = work => ended,
        () = watch.listen(&label, now()) => unreachable!("listens until dropped"),
    }
}

/// Restarts containers; those of services that are to restart with them come along.
pub(super) async fn restart(session: &Session, arguments: &Restart) -> Result<u8> {
    let target = session.target_alone(&arguments.services)?;
    let containers = session.containers(&target, &[], false).await?;
    let mut edges = target.edges(&containers);
    // Other dependencies do not care for a restart.
    for needs in edges.values_mut() {
        needs.retain(|it| it.restart);
    }
    let asked = &arguments.services;
    let mut services: BTreeSet<String> = services_of(&containers);
    if !asked.is_empty() {
        services
            .retain(|it| asked.contains(it) || !arguments.no_deps && follows(it, asked, &edges));
    }
    for wave in waves(&services, &edges) {
        each(session, &in_wave(&containers, &wave), ["Restarting", "Started"], |it| {
            restart_container(&session.engine, target.project.as_ref(), it, arguments.timeout)
        })
        .await?;
    }
    Ok(0)
}

/// Freezes running containers.
pub(super) async fn pause(session: &Session, arguments: &Services) -> Result<u8> {
    let containers = running(session, arguments).await?;
    each(session, &containers, ["", "Paused"], |it| session.engine.pause(&it.id)).await?;
    Ok(0)
}

/// Lets frozen containers go on.
pub(super) async fn unpause(session: &Session, arguments: &Services) -> Result<u8> {
    let containers = running(session, arguments).await?;
    each(session, &containers, ["", "Unpaused"], |it| session.engine.unpause(&it.id)).await?;
    Ok(0)
}

async fn running(session: &Session, arguments: &Services) -> Result<Vec<Container>> {
    let target = session.target(&arguments.services)?;
    let mut containers = session.containers(&target, &arguments.services, false).await?;
    containers.retain(is_running);
    Ok(containers)
}

/// Sends a signal to running containers, those of `run` included; dependents get it first.
pub(super) async fn kill(session: &Session, arguments: &Kill) -> Result<u8> {
    let Kill { signal, remove_orphans, services } = arguments;
    let target = session.target(services)?;
    let listed = session.listed(&target, true).await?;
    let mut containers: Vec<_> = listed.into_iter().map(|it| it.container).collect();
    containers.retain(|it| {
        let is_meant = target.wants(services, it) || services.is_empty() && *remove_orphans;
        is_meant && is_running(it)
    });
    if containers.is_empty() {
        writeln!(std::io::stderr(), "no container to kill")?;
        return Ok(0);
    }
    let edges = target.edges(&containers);
    for wave in waves(&services_of(&containers), &edges).iter().rev() {
        each(session, &in_wave(&containers, wave), ["Killing", "Killed"], |it| {
            session.engine.kill(&it.id, signal)
        })
        .await?;
    }
    Ok(0)
}

/// Does one thing to each container, many at once, and tells it; the first error once all are done.
pub(super) async fn each<'a, F, T>(
    session: &'a Session,
    containers: &'a [Container],
    [doing, done]: [&'a str; 2],
    work: T,
) -> Result<()>
where
    F: Future<Output = Result<()>> + 'a,
    T: Fn(&'a Container) -> F + 'a,
{
    let progress = session.progress;
    let one = |container: &'a Container| {
        if !doing.is_empty() {
            progress.container(&container.name, Standing::Working, doing);
        }
        let work = (!session.dry_run).then(|| work(container));
        async move {
            let result = match work {
                Some(work) => work.await,
                None => Ok(()),
            };
            let (standing, what) = match &result {
                Ok(()) => (Standing::Done, done.to_owned()),
                Err(_) if doing.is_empty() => (Standing::Failed, "Error".to_owned()),
                Err(_) => (Standing::Failed, format!("Error while {doing}")),
            };
            progress.container(&container.name, standing, &what);
            result.with_context(|| format!("container {}", container.name))
        }
    };
    let at_once = session.parallel.min(containers.len()).max(1);
    let results: Vec<Result<()>> =
        stream::iter(containers).map(one).buffer_unordered(at_once).collect().await;
    results.into_iter().collect()
}

fn services_of(containers: &[Container]) -> BTreeSet<String> {
    containers.iter().map(|it| it.service().to_owned()).collect()
}

fn in_wave(containers: &[Container], wave: &BTreeSet<String>) -> Vec<Container> {
    containers.iter().filter(|it| wave.contains(it.service())).cloned().collect()
}

/// Whether a restart of one of `asked` comes to a service along its edges.
fn follows(service: &str, asked: &[String], edges: &Edges) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![service];
    while let Some(name) = open.pop() {
        if asked.iter().any(|it| it == name) {
            return true;
        }
        if seen.insert(name) {
            open.extend(edges.get(name).into_iter().flatten().map(|edge| edge.service.as_str()));
        }
    }
    false
}

/// The services asked for and all that they wait for; all there are where none was asked for.
fn selected(
    target: &Target,
    containers: &[Container],
    edges: &Edges,
    asked: &[String],
) -> BTreeSet<String> {
    if asked.is_empty() {
        let project = target.project.as_ref();
        return project
            .map_or_else(|| services_of(containers), |it| it.services.keys().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    let mut open = asked.to_vec();
    while let Some(name) = open.pop() {
        if selected.insert(name.clone()) {
            open.extend(edges.get(&name).into_iter().flatten().map(|it| it.service.clone()));
        }
    }
    selected
}

/// Whether the files have containers for a service.
fn wants_some(target: &Target, service: &str) -> bool {
    let wanted = target.project.as_ref().and_then(|it| it.services.get(service));
    wanted.is_some_and(|it| it.replicas() > 0)
}

/// Tells of a service that has no container: the others are started all the same.
fn tell_empty(target: &Target, service: &str, containers: &[Container]) {
    let is_there = containers.iter().any(|it| it.service() == service);
    if !is_there && wants_some(target, service) {
        warn!("service `{service}` has no container to start: create one with `compose up`");
    }
}

/// Waits until what a service depends on has come so far.
pub(super) async fn wait_for(
    session: &Session,
    watch: &Watch,
    needs: &[Edge],
    containers: &[Container],
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for edge in needs.iter().filter(|it| it.condition != Condition::Started && !session.dry_run) {
        for container in containers.iter().filter(|it| it.service() == edge.service) {
            let (id, name) = (&container.id, &container.name);
            match watch.reach(id, name, edge.condition, deadline).await {
                Err(error) if !edge.required => warn!("{error:#}; it is not required"),
                other => other?,
            }
        }
    }
    Ok(())
}

async fn wait_until_well(
    session: &Session,
    watch: &Watch,
    containers: &[Container],
    within: Duration,
) -> Result<()> {
    if session.dry_run {
        return Ok(());
    }
    let gate = Gate { within, stable_for: Duration::ZERO, healthy: true, restarts: false };
    for container in containers {
        session.progress.container(&container.name, Standing::Working, "Waiting");
        let word = watch.well(&container.id, &container.name, &gate).await?;
        let word = if word == "healthy" { "Healthy" } else { "Running" };
        session.progress.container(&container.name, Standing::Done, word);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_spreads_along_the_edges_that_say_so() {
        let edge = |name: &str| Edge {
            service: name.to_owned(),
            condition: Condition::Started,
            restart: true,
            required: true,
        };
        let edges: Edges = [
            ("web".to_owned(), vec![edge("app")]),
            ("app".to_owned(), vec![edge("db")]),
            ("db".to_owned(), vec![]),
            ("loop".to_owned(), vec![edge("loop")]),
        ]
        .into();
        for (service, asked, expected) in [
            ("web", "db", true),
            ("app", "db", true),
            ("db", "db", true),
            ("db", "web", false),
            ("loop", "db", false),
        ] {
            assert_eq!(
                follows(service, &[asked.to_owned()], &edges),
                expected,
                "{service} {asked}"
            );
        }
    }
}
