//! `compose scale`.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::target::did_you_mean;
use super::up::Manner;
use super::{Session, up};
use crate::cli::output::print;
use crate::compose::Request;
use crate::plan::Options;

// Arguments of `scale`.
#[derive(Debug, Args)]
pub(super) struct Scale {
    /// Leaves services alone that these depend on
    #[arg(long)]
    no_deps: bool,
    /// How many containers a service is to have
    #[arg(required = true, value_name = "SERVICE=N", value_parser = wanted)]
    services: Vec<(String, u32)>,
}

fn wanted(text: &str) -> Result<(String, u32), String> {
    let expected = || format!("`{text}`: expected `SERVICE=N`, e.g. `web=3`");
    let (service, count) = text.split_once('=').ok_or_else(expected)?;
    Ok((service.to_owned(), count.parse().map_err(|_| expected())?))
}

/// Creates and removes containers until services have as many as they should.
pub(super) async fn scale(session: &Session, arguments: &Scale) -> Result<u8> {
    let named = arguments.services.iter().map(|it| it.0.clone()).collect();
    let request = Request { services: named, ..session.request.clone() };
    let mut found = up::look(&session.engine, &request).await?;
    for (name, count) in &arguments.services {
        let project = &mut found.project;
        let Some(service) = project.services.get_mut(name) else {
            let near = did_you_mean(name, project.services.keys().map(String::as_str));
            bail!("no such service: {name}{near}");
        };
        if *count > 1
            && let Some(container) = &service.container_name
        {
            bail!(
                "service `{name}` cannot have {count} containers: its `container_name` is \
                 `{container}`, and names are unique"
            );
        }
        service.scale = Some(*count);
    }
    let services = arguments.services.iter().map(|it| it.0.clone()).collect();
    let options = Options { services, no_deps: arguments.no_deps, ..Options::default() };
    let mut plan = found.plan(&options)?;
    if plan.pulls().next().is_some() && !session.dry_run {
        up::pull(session, &found, &plan, false).await?;
        found.observed.images = session.engine.images().await?;
        plan = found.plan(&options)?.without_pulls();
    }
    if session.dry_run {
        print(|to| plan.lines().iter().try_for_each(|line| writeln!(to, "{line}")))?;
        return Ok(0);
    }
    let applied =
        up::apply(&session.engine, Manner::starting(session.progress), &found, &plan).await;
    match applied.context("scale")? {
        Ok(()) => Ok(0),
        Err(failure) => up::report(session.progress, &failure),
    }
}
