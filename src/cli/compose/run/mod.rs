//! `compose run`.

mod arguments;
mod oneoff;

pub(super) use self::arguments::Run;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures_util::FutureExt;

use self::oneoff::one_off;
use super::Session;
use super::attach::with_signals;
use super::build::build_missing;
use super::lifecycle::{each, wait_for};
use super::target::Target;
use super::terminal::{Manner, Resize, converse, wants_terminal};
use super::up::{self, Found, INTERRUPTED};
use crate::apply::Watch;
use crate::cli::Usage;
use crate::cli::output::print;
use crate::cli::setup::now;
use crate::compose::Request;
use crate::compose::model::PullPolicy;
use crate::docker::OneOff;
use crate::plan::{Options, labels};

/// Runs a command in a new container of a service; its exit code is ours.
pub(super) async fn run(session: &Session, arguments: &Run) -> Result<u8> {
    let Some((service, command)) = arguments.words.split_first() else {
        bail!(Usage("name a service".to_owned()));
    };
    let attached = !arguments.detach;
    let stdin = arguments.interactive && attached;
    let tty = wants_terminal(arguments.tty, arguments.no_tty || arguments.detach, stdin)?;
    let mut found = look(session, service).await?;
    if let Some(policy) = arguments.pull_policy() {
        let wanted = found.project.services.get_mut(service);
        wanted.context("the service was looked up")?.pull_policy = policy;
    }
    if arguments.build {
        let wanted = found.project.services.get_mut(service);
        wanted.context("the service was looked up")?.pull_policy = PullPolicy::Build;
    }
    if !session.dry_run {
        let asked = BTreeSet::from([service.to_owned()]);
        let due = up::due(session, &found).await?;
        if build_missing(session, &found, (&asked, &due), arguments.quiet_build).await? {
            found.observed.images = session.engine.images().await?;
        }
        pull_images(session, arguments, service, &mut found).await?;
    }
    if arguments.remove_orphans {
        remove_orphans(session, &found).await?;
    }
    let is_ready = bring_up(session, arguments, service, &found).await?;
    if !is_ready {
        return Ok(INTERRUPTED);
    }
    if session.dry_run {
        bail!("interactive run is not supported in dry-run mode");
    }
    let new = one_off(session, arguments, (service, command), &found, tty).await?;
    let manner = OneOff {
        stdin: arguments.interactive,
        // Attached we remove it ourselves: the Engine would before we have asked how it ended.
        auto_remove: arguments.rm && arguments.detach,
        aliases: arguments.use_aliases,
    };
    let id = session.engine.create_one_off(&new.as_new(), manner).await?;
    let uploads = found.materials.uploads.get(service).map_or(&[][..], Vec::as_slice);
    session.engine.upload_secrets(&id, uploads).await?;
    if arguments.detach {
        session.engine.start(&id).await?;
        print(|to| writeln!(to, "{id}"))?;
        return Ok(0);
    }
    let ended = talk(session, &id, Manner { tty, stdin, ends: true }).await;
    if arguments.rm
        && let Err(error) = session.engine.discard(&id, true).await
    {
        tracing::warn!("{error:#}");
    }
    Ok(u8::try_from(ended?).unwrap_or(u8::MAX))
}

/// The project with this service, whatever its profiles, and what it depends on.
async fn look(session: &Session, service: &str) -> Result<Found> {
    let request = Request { services: vec![service.to_owned()], ..session.request.clone() };
    up::look(&session.engine, &request).await
}

/// Pulls what a new container of the service is made from, and what it depends on.
async fn pull_images(
    session: &Session,
    arguments: &Run,
    service: &str,
    found: &mut Found,
) -> Result<()> {
    let mut alone = found.clone();
    alone.observed.containers.clear();
    let own = alone.project.services.get_mut(service).context("the service was looked up")?;
    own.scale = Some(1);
    let options = Options {
        services: BTreeSet::from([service.to_owned()]),
        no_deps: arguments.no_deps,
        due: up::due(session, &alone).await?,
        ..Options::default()
    };
    let plan = alone.plan(&options)?;
    if plan.pulls().next().is_some() {
        up::pull(session, &alone, &plan, arguments.quiet_pull).await?;
        found.observed.images = session.engine.images().await?;
    }
    Ok(())
}

/// Networks, volumes, and what the service depends on, unless that is not wanted; false where
/// somebody interrupted it.
async fn bring_up(
    session: &Session,
    arguments: &Run,
    service: &str,
    found: &Found,
) -> Result<bool> {
    // Its own lasting containers are not what this is about.
    let mut others = found.project.clone();
    let own = others.services.get_mut(service).context("the service was looked up")?;
    own.scale = Some(0);
    let mut observed = found.observed.clone();
    observed.containers.retain(|it| it.service() != service);
    let others = Found { project: others, observed, ..found.clone() };
    let options = Options { services: BTreeSet::from([service.to_owned()]), ..Options::default() };
    let mut plan = others.plan(&options)?;
    if !session.dry_run {
        plan = plan.without_pulls();
    }
    if arguments.no_deps {
        plan.changes.clear();
        plan.removals.clear();
    }
    if session.dry_run {
        print(|to| plan.lines().iter().try_for_each(|line| writeln!(to, "{line}")))?;
        return Ok(true);
    }
    if !plan.is_empty() {
        let starting = up::Manner::starting(session.progress);
        if let Err(failure) = up::apply(&session.engine, starting, &others, &plan).await? {
            if failure.cancelled {
                return Ok(false);
            }
            return Err(failure.error.context(format!("start what `{service}` depends on")));
        }
    }
    if arguments.no_deps {
        return Ok(true);
    }
    tokio::select! {
        ready = wait_for_dependencies(session, service, found) => ready.map(|()| true),
        asked = up::interrupted() => asked.map(|()| false),
    }
}

async fn wait_for_dependencies(session: &Session, service: &str, found: &Found) -> Result<()> {
    let name = found.project.name.clone();
    let target = Target { name, project: Some(found.project.clone()) };
    let edges = target.edges(&[]).remove(service).unwrap_or_default();
    if edges.is_empty() {
        return Ok(());
    }
    let containers = session.engine.containers_of(&target.name).await?;
    let lasting: Vec<_> = containers.into_iter().filter(|it| !it.is_oneoff()).collect();
    let watch = Watch::new(&session.engine);
    let label = format!("{}={}", labels::PROJECT, target.name);
    tokio::select! {
        ended = wait_for(session, &watch, &edges, &lasting) => ended,
        () = watch.listen(&label, now()) => unreachable!("listens until dropped"),
    }
}

/// Starts a container that we are connected to before, and stays with it until it ends.
async fn talk(session: &Session, id: &str, manner: Manner) -> Result<i64> {
    let engine = &session.engine;
    let connected = engine.attach(id, manner.stdin, None).await?;
    let work = async {
        engine.start(id).await?;
        let resize = |size| engine.resize_container(id, size).boxed();
        let resize: &Resize<'_> = &resize;
        converse(connected, manner, Some(resize)).await?;
        engine.wait(id).await
    };
    if manner.tty { work.await } else { with_signals(engine, id, work).await }
}

async fn remove_orphans(session: &Session, found: &Found) -> Result<()> {
    let project = &found.project;
    let mut orphans = found.observed.containers.clone();
    orphans.retain(|it| {
        let service = it.service();
        !project.services.contains_key(service)
            && !project.disabled_services.iter().any(|name| name == service)
            && !it.is_oneoff()
            && !it.is_ourselves
    });
    each(session, &orphans, ["Removing", "Removed"], |it| async {
        session.engine.stop_within(&it.id, None).await?;
        session.engine.discard(&it.id, false).await
    })
    .await
}

impl Run {
    fn pull_policy(&self) -> Option<PullPolicy> {
        match self.pull.as_deref() {
            Some("always") => Some(PullPolicy::Always),
            Some("missing") => Some(PullPolicy::Missing),
            Some("never") => Some(PullPolicy::Never),
            _ => None,
        }
    }
}
