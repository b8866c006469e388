//! The one-off container: the service with what the command line changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use super::arguments::Run;
use crate::apply::{OneOffContainer, OneOffModel};
use crate::cli::compose::Session;
use crate::cli::compose::exec::environment;
use crate::cli::compose::up::Found;
use crate::compose::decode::service::clean_path;
use crate::compose::model::{Mount, MountKind, Service};
use crate::compose::{dotenv, shortforms};

/// Puts the one-off container together; changes nothing.
pub(super) async fn one_off(
    session: &Session,
    arguments: &Run,
    (service, command): (&str, &[String]),
    found: &Found,
    tty: bool,
) -> Result<OneOffContainer> {
    let mut service =
        found.project.services.get(service).cloned().context("the service was looked up")?;
    change(&mut service, arguments, command)?;
    service.tty = tty;
    service.environment.extend(variables(session, arguments)?);
    let host = session.engine.host_paths().await?;
    for text in &arguments.volume {
        let mut mount = mount(session, text)?;
        if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
            *source = host.on_host(Path::new(source)).display().to_string();
        }
        service.volumes.retain(|it| it.target != mount.target);
        service.volumes.push(mount);
    }
    let model = OneOffModel {
        project: &found.project,
        hashes: &found.hashes,
        materials: &found.materials,
        images: &found.observed.images,
    };
    OneOffContainer::new(&session.engine, &model, service, arguments.name.clone()).await
}

/// What flags change in the service.
fn change(service: &mut Service, arguments: &Run, command: &[String]) -> Result<()> {
    // A one-off does not come back, and there is one of it.
    service.restart_never();
    service.stdin_open = arguments.interactive;
    service.container_name.clone_from(&arguments.name);
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = shell_words::split(entrypoint)
            .with_context(|| format!("read the entrypoint `{entrypoint}`"))?;
        service.entrypoint = Some(words);
        service.command = Some(Vec::new());
    }
    if !command.is_empty() {
        service.command = Some(command.to_vec());
    }
    if let Some(user) = &arguments.user {
        service.user = Some(user.clone());
    }
    if let Some(directory) = &arguments.workdir {
        service.working_dir = Some(directory.clone());
    }
    let mut added = capabilities(service.cap_add.iter().chain(&arguments.cap_add));
    let mut dropped = capabilities(service.cap_drop.iter().chain(&arguments.cap_drop));
    for names in [&mut added, &mut dropped] {
        if names.contains("ALL") {
            names.retain(|it| it == "ALL");
        }
    }
    dropped.retain(|it| !added.contains(it));
    service.cap_add = added.into_iter().collect();
    service.cap_drop = dropped.into_iter().collect();
    if arguments.no_deps {
        service.depends_on.clear();
    }
    service.labels.extend(arguments.label.iter().cloned());
    if !arguments.service_ports {
        service.ports.clear();
    }
    for text in &arguments.publish {
        let ports = shortforms::ports(text).map_err(|what| anyhow::anyhow!("-p {text}: {what}"));
        service.ports.extend(ports?);
    }
    Ok(())
}

/// The full names of capabilities, each once.
fn capabilities<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let full = |name: &String| {
        let name = name.trim().to_uppercase();
        if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    names.map(full).collect()
}

/// Variables of `--env-from-file`, then those of `-e`.
fn variables(session: &Session, arguments: &Run) -> Result<BTreeMap<String, Option<String>>> {
    let ours = &session.request.variables;
    let mut variables = BTreeMap::new();
    for path in &arguments.env_from_file {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read variables of `{file}`"))?;
        let lookup = |name: &str| ours.get(name).cloned();
        let read = dotenv::parse(&text, &file, &lookup, &BTreeMap::new(), &mut BTreeSet::new())?;
        variables.extend(read.into_iter().map(|(name, value)| (name, Some(value))));
    }
    for entry in environment(session, &arguments.env) {
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        variables.insert(name.to_owned(), Some(value.to_owned()));
    }
    Ok(variables)
}

/// Reads `-v`; paths begin where we stand.
fn mount(session: &Session, text: &str) -> Result<Mount> {
    let mut mount = shortforms::mount(text).map_err(|what| anyhow::anyhow!("-v {text}: {what}"))?;
    if let (MountKind::Bind { .. }, Some(source)) = (&mount.kind, &mut mount.source) {
        let home = session.request.variables.get("HOME");
        let path = if let (Some(rest), Some(home)) = (source.strip_prefix('~'), home) {
            format!("{home}{rest}")
        } else {
            let here = std::env::current_dir().context("find the current directory")?;
            here.join(&source).display().to_string()
        };
        *source = clean_path(&path);
    }
    Ok(mount)
}
