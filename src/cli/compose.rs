//! `compose`: works on one project as docker compose does, with our plan and our way back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::arguments::{Compose, ComposeCommand};
use super::output::{Output, print};
use super::setup::{log_to_console, now};
use super::table::{Cell, Table};
use super::{FAILED, Usage};
use crate::apply::{self, Journal, Waiting};
use crate::compose::model::Project;
use crate::compose::{Request, canonical, load};
use crate::config;
use crate::docker::Engine;
use crate::git::View;
use crate::plan::observed::{Container, Health, State};
use crate::plan::teardown::Extent;
use crate::plan::{self, Desired, Hashes, Options, Preparation, teardown};

/// `compose`.
pub(super) async fn run(env_file: Option<&Path>, output: Output, arguments: Compose) -> Result<u8> {
    log_to_console(tracing::Level::INFO);
    let variables = variables();
    let request = request(&arguments, env_file, &variables)?;
    let engine = Engine::new(variables.get("DOCKER_HOST").map(String::as_str))?;
    match &arguments.command {
        ComposeCommand::Config { .. } => config_command(&request, &arguments.command, output),
        ComposeCommand::Up { .. } => up(&engine, &request, &arguments.command, output).await,
        ComposeCommand::Ps { all, quiet, format } => {
            let json = output.json || format == "json";
            ps(&engine, &request, *all, *quiet, Output { json, ..output }).await
        }
        ComposeCommand::Down { volumes, remove_orphans } => {
            down(&engine, &request, *volumes, *remove_orphans, output).await
        }
    }
}

fn variables() -> BTreeMap<String, String> {
    let pairs = config::environment().0.into_iter();
    pairs
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn request(
    arguments: &Compose,
    env_file: Option<&Path>,
    variables: &BTreeMap<String, String>,
) -> Result<Request> {
    let current = std::env::current_dir().context("find the current directory")?;
    let first = arguments.file.first().and_then(|file| file.parent());
    let directory = match (&arguments.project_directory, first) {
        (Some(directory), _) => current.join(directory),
        (None, Some(parent)) => current.join(parent),
        (None, None) => current.clone(),
    };
    let directory = std::fs::canonicalize(&directory)
        .with_context(|| format!("find project directory `{}`", directory.display()))?;
    let files: Vec<PathBuf> = arguments.file.iter().map(|file| current.join(file)).collect();
    Ok(Request {
        directory,
        files,
        env_files: env_file.map(|file| current.join(file)).into_iter().collect(),
        profiles: arguments.profile.clone(),
        project_name: arguments.project_name.clone(),
        variables: variables.clone(),
    })
}

fn load_project(request: &Request) -> Result<Project> {
    let disk = View::open(&[]).context("read the disk")?;
    let project = load::load(request, &disk)?;
    for warning in &project.warnings {
        tracing::warn!("{warning}");
    }
    Ok(project)
}

/// The name without loading the files, where it was given.
fn project_name(request: &Request) -> Result<String> {
    match &request.project_name {
        Some(name) => Ok(name.clone()),
        None => Ok(load_project(request)?.name),
    }
}

fn config_command(request: &Request, command: &ComposeCommand, output: Output) -> Result<u8> {
    let ComposeCommand::Config { format, quiet, services, volumes, images } = command else {
        bail!("not `config`");
    };
    let project = load_project(request)?;
    let json = output.json || format == "json";
    print(|to| {
        if *quiet {
            return Ok(());
        }
        let names: Option<Vec<String>> = if *services {
            Some(project.services.keys().cloned().collect())
        } else if *volumes {
            Some(project.volumes.keys().cloned().collect())
        } else if *images {
            Some(project.services.values().map(|service| service.image.clone()).collect())
        } else {
            None
        };
        match names {
            Some(names) => names.iter().try_for_each(|name| writeln!(to, "{name}")),
            None if json => writeln!(to, "{:#}", canonical::config_json(&project)),
            None => write!(to, "{}", canonical::config_yaml(&project)),
        }
    })?;
    Ok(0)
}

async fn up(
    engine: &Engine,
    request: &Request,
    command: &ComposeCommand,
    output: Output,
) -> Result<u8> {
    let ComposeCommand::Up {
        detach,
        wait,
        wait_timeout,
        force_recreate,
        remove_orphans,
        dry_run,
        services,
    } = command
    else {
        bail!("not `up`");
    };
    if !detach && !wait && !dry_run {
        bail!(Usage("`up` without `-d` is not supported yet: add `-d` (or `--wait`)".to_owned()));
    }
    let project = load_project(request)?;
    if let Some(unknown) = services.iter().find(|name| !project.services.contains_key(*name)) {
        let known = project.services.keys().map(String::as_str);
        let hint = crate::problem::nearest(unknown, known)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        bail!(Usage(format!("there is no service `{unknown}`{hint}")));
    }
    let project = engine.host_paths().await?.translate(project);
    let hashes = Hashes::of(&project);
    let options = Options {
        remove_orphans: *remove_orphans,
        force_recreate: *force_recreate,
        services: services.iter().cloned().collect::<BTreeSet<_>>(),
    };
    let mut observed = engine.observe(&project.name).await?;
    let desired = Desired { project: &project, hashes: &hashes, options: &options };
    let mut plan = plan::plan(&desired, &observed)?;
    for note in &plan.notes {
        tracing::warn!("{note}");
    }
    if *dry_run {
        print(|to| {
            if output.json {
                return writeln!(to, "{:#}", json!(plan));
            }
            writeln!(to, "{}: {}", plan.project, plan.summary())?;
            plan.lines().iter().try_for_each(|line| writeln!(to, "  {line}"))
        })?;
        return Ok(0);
    }
    if plan.pulls().next().is_some() {
        for step in plan.pulls() {
            let Preparation::PullImage { image } = step else { continue };
            tracing::info!("{step}");
            engine.pull(image).await?;
        }
        observed.images = engine.images().await?;
        plan = plan::plan(&desired, &observed)?.without_pulls();
    }
    let tell = |plan: &plan::Plan| {
        if output.json { print(|to| writeln!(to, "{:#}", json!(plan))) } else { Ok(()) }
    };
    if plan.is_empty() {
        tracing::info!("{}: nothing to do, {}", plan.project, plan.summary());
        tell(&plan)?;
        return Ok(0);
    }
    let cancel = CancellationToken::new();
    let journal = Journal::none(now);
    let context = apply::Context {
        engine,
        project: &project,
        hashes: &hashes,
        observed: &observed,
        revision: "",
        journal: &journal,
        wait: Waiting {
            within: Duration::from_secs(*wait_timeout),
            stable_for: Duration::ZERO,
            healthy: *wait,
        },
        cancel: &cancel,
        undo: None,
    };
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut work = std::pin::pin!(apply::apply(&context, &plan));
    let applied = tokio::select! {
        applied = &mut work => applied,
        _ = interrupt.recv() => { cancel.cancel(); work.await }
        _ = terminate.recv() => { cancel.cancel(); work.await }
    };
    if let Err(failure) = applied {
        let after = match failure.left {
            apply::Left::Untouched => "nothing that ran was touched",
            apply::Left::RolledBack => "rolled back, what ran before runs again",
            apply::Left::Incomplete => "not everything could be put back, see above",
        };
        writeln!(std::io::stderr(), "roadstead: {:#}; {after}", failure.error)?;
        return Ok(FAILED);
    }
    tell(&plan)?;
    Ok(0)
}

/// Down works by labels; the files only give the name.
async fn down(
    engine: &Engine,
    request: &Request,
    volumes: bool,
    orphans: bool,
    output: Output,
) -> Result<u8> {
    // With a name and no files there are only labels to go by.
    let loaded = match (load_project(request), &request.project_name) {
        (Ok(project), _) => Some(engine.host_paths().await?.translate(project)),
        (Err(_), Some(_)) if request.files.is_empty() => None,
        (Err(error), _) => return Err(error),
    };
    let name = loaded.as_ref().map(|project| project.name.clone());
    let project = &name.or_else(|| request.project_name.clone()).unwrap_or_default();
    let observed = engine.observe(project).await?;
    let extent = Extent { project: loaded.as_ref(), orphans, volumes };
    let planned = teardown::teardown(project, &observed, &extent);
    let containers: Vec<&str> =
        planned.waves.iter().flatten().map(|container| container.name.as_str()).collect();
    if containers.is_empty() && planned.networks.is_empty() && planned.volumes.is_empty() {
        tracing::info!("{project}: nothing to remove");
    }
    apply::tear_down(engine, &planned).await?;
    if output.json {
        let removed = json!({ "project": project, "containers": containers,
                              "networks": planned.networks, "volumes": planned.volumes });
        print(|to| writeln!(to, "{removed:#}"))?;
    }
    Ok(0)
}

async fn ps(
    engine: &Engine,
    request: &Request,
    all: bool,
    quiet: bool,
    output: Output,
) -> Result<u8> {
    let mut containers = engine.containers_of(&project_name(request)?).await?;
    containers.retain(|it| all || it.state == State::Running || it.state == State::Paused);
    containers.sort_by(|a, b| (a.service(), a.number()).cmp(&(b.service(), b.number())));
    print(|to| {
        if quiet {
            return containers.iter().try_for_each(|it| writeln!(to, "{}", it.id));
        }
        if output.json {
            let rows: Vec<_> = containers.iter().map(ps_json).collect();
            return writeln!(to, "{:#}", json!(rows));
        }
        let mut table = Table::new(&["NAME", "SERVICE", "STATE", "STATUS", "PORTS"]);
        for container in &containers {
            let cells = [
                container.name.clone(),
                container.service().to_owned(),
                container.state.as_str().to_owned(),
                container.status.clone(),
                container.ports.join(", "),
            ];
            table.row(cells.map(Cell::from));
        }
        table.write(to, output, "no containers")
    })?;
    Ok(0)
}

fn ps_json(container: &Container) -> serde_json::Value {
    json!({
        "id": container.id,
        "name": container.name,
        "service": container.service(),
        "number": container.number(),
        "state": container.state.as_str(),
        "health": container.health.map(Health::as_str),
        "status": container.status,
        "exit_code": container.exit_code,
        "ports": container.ports,
    })
}
