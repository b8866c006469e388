//! Lifecycle hooks: commands at turns of a container's life.
//!
//! `post_start` and `pre_stop` run inside the container. `pre_start` runs in a container of its own
//! with the volumes of the one that is about to start, once no replica of the service runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt;
use tracing::info;

use crate::compose::model::{Hook, Project, Service};
use crate::docker::{Engine, ExecCommand, NewContainer, OutputLine, Surroundings};
use crate::plan::labels;

/// Longest time that one hook may take.
const LONGEST_HOOK: Duration = Duration::from_hours(1);

/// Runs hooks in a running container, one after the other.
///
/// # Errors
///
/// When one does not end with exit code 0; those after it do not run.
pub async fn inside(
    engine: &Engine,
    (id, name): (&str, &str),
    hooks: &[Hook],
    kind: &str,
) -> Result<()> {
    for hook in hooks {
        let what = describe(kind, hook);
        let work = exec(engine, id, name, hook);
        let code = tokio::time::timeout(LONGEST_HOOK, work).await;
        let code = code.with_context(|| format!("{what} in {name}: not done after an hour"))?;
        ended(&what, name, code.with_context(|| format!("{what} in {name}"))?)?;
    }
    Ok(())
}

fn describe(kind: &str, hook: &Hook) -> String {
    let command = hook.command.as_deref().unwrap_or_default().join(" ");
    format!("{kind} hook `{command}`")
}

fn ended(what: &str, name: &str, code: i64) -> Result<()> {
    if code != 0 {
        bail!("{what} in {name} exited with {code}");
    }
    info!("{what} in {name}: done");
    Ok(())
}

async fn exec(engine: &Engine, id: &str, name: &str, hook: &Hook) -> Result<i64> {
    let command = ExecCommand {
        command: hook.command.clone().unwrap_or_default(),
        environment: environment(&hook.environment),
        user: hook.user.clone().unwrap_or_default(),
        working_dir: hook.working_dir.clone().unwrap_or_default(),
        privileged: hook.privileged,
        attached: true,
        ..ExecCommand::default()
    };
    let exec = engine.create_exec(id, &command).await?;
    let mut attached = engine.start_exec(&exec, false).await?;
    let mut text = Vec::new();
    while let Some(chunk) = attached.output.next().await {
        text.extend(chunk?.bytes);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            info!("{name} | {}", String::from_utf8_lossy(&line).trim_end());
        }
    }
    if !text.is_empty() {
        info!("{name} | {}", String::from_utf8_lossy(&text).trim_end());
    }
    engine.exec_exit_code(&exec).await?.context("it still runs")
}

fn environment(variables: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let entry = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    variables.iter().map(entry).collect()
}

/// What containers of their own are made from.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    pub(super) project: &'a Project,
    pub(super) surroundings: &'a Surroundings,
}

/// Runs `pre_start` hooks for a container that is made but not started.
pub(super) async fn before_start(
    engine: &Engine,
    maker: &Maker<'_>,
    service: &Service,
    (id, name): (&str, &str),
) -> Result<()> {
    for (index, hook) in service.pre_start.iter().enumerate() {
        let what = describe("pre_start", hook);
        let helper = format!("{name}-pre-start-{}", index + 1);
        let service = helper_service(service, hook, id);
        let code = own_container(engine, maker, &service, &helper);
        let code = tokio::time::timeout(LONGEST_HOOK, code).await;
        let code = code.with_context(|| format!("{what} for {name}: not done after an hour"))?;
        ended(&what, name, code.with_context(|| format!("{what} for {name}"))?)?;
    }
    Ok(())
}

/// As `before_start`, for a container that is no part of a plan.
///
/// # Errors
///
/// When one does not end with exit code 0; those after it do not run.
pub async fn before(
    engine: &Engine,
    (project, surroundings): (&Project, &Surroundings),
    service: &Service,
    container: (&str, &str),
) -> Result<()> {
    before_start(engine, &Maker { project, surroundings }, service, container).await
}

/// The service as it is for one of its hooks: same networks, volumes of the container itself.
fn helper_service(service: &Service, hook: &Hook, id: &str) -> Service {
    let mut environment = service.environment.clone();
    environment.extend(hook.environment.clone());
    Service {
        name: service.name.clone(),
        image: hook.image.clone().unwrap_or_else(|| service.image.clone()),
        // The command is all there is to run: no entry point of the image around it.
        entrypoint: Some(Vec::new()),
        command: hook.command.clone(),
        environment,
        user: hook.user.clone().or_else(|| service.user.clone()),
        working_dir: hook.working_dir.clone().or_else(|| service.working_dir.clone()),
        privileged: hook.privileged,
        networks: service.networks.keys().map(|key| (key.clone(), None)).collect(),
        network_mode: service.network_mode.clone(),
        extra_hosts: service.extra_hosts.clone(),
        volumes_from: vec![format!("container:{id}")],
        ..Service::default()
    }
}

async fn own_container(
    engine: &Engine,
    maker: &Maker<'_>,
    service: &Service,
    name: &str,
) -> Result<i64> {
    let Maker { project, surroundings } = *maker;
    let none = BTreeMap::new();
    let new = NewContainer {
        project,
        service,
        name,
        final_name: name,
        labels: &labels::of_hook(project, service, "pre_start"),
        anonymous_volumes: &none,
        surroundings,
    };
    // One that a crash left behind is in the way of its name.
    engine.remove(name).await?;
    let id = Box::pin(engine.create_service(&new)).await?;
    let work = async {
        engine.start(&id).await?;
        let mut tell = |line: OutputLine| info!("{name} | {}", line.text);
        engine.follow_output(&id, &mut tell).await?;
        engine.wait(&id).await
    };
    let code = work.await;
    let removed = engine.remove(&id).await;
    let code = code?;
    removed?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_of_its_own_has_the_volumes_and_networks_but_no_ports_of_its_service() {
        let variable = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let service = Service {
            name: "web".to_owned(),
            image: "app".to_owned(),
            container_name: Some("site".to_owned()),
            environment: [variable("A", "1"), variable("B", "1")].into(),
            networks: [("back".to_owned(), None)].into(),
            user: Some("1000".to_owned()),
            restart: Some("always".to_owned()),
            ..Service::default()
        };
        let hook = Hook {
            command: Some(vec!["migrate".to_owned()]),
            environment: [variable("B", "2")].into(),
            ..Hook::default()
        };
        let helper = helper_service(&service, &hook, "id1");
        let expected = Service {
            entrypoint: Some(Vec::new()),
            command: hook.command.clone(),
            container_name: None,
            environment: [variable("A", "1"), variable("B", "2")].into(),
            restart: None,
            volumes_from: vec!["container:id1".to_owned()],
            ..service
        };
        assert_eq!(helper, expected);
        assert_eq!(describe("pre_start", &hook), "pre_start hook `migrate`");
    }
}
