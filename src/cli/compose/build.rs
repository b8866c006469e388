//! `compose build`, and building before `up`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::progress::Standing;
use super::push::push_all;
use super::registries::client_config;
use super::up::{Found, known_services};
use super::{Session, default_platform, load_project};
use crate::apply::{self, Builder};
use crate::cli::Usage;
use crate::compose::Request;
use crate::compose::model::{PullPolicy, Service, SshKey};
use crate::compose::units;
use crate::docker::{self, BuildSurroundings};
use crate::plan::order;
use crate::plan::pull::builds_due;

// Arguments of `build`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Build {
    /// Argument of the build, over those of the files; without a value, the environment's
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    args: Vec<String>,
    /// Builds every step anew
    #[arg(long)]
    no_cache: bool,
    /// Looks for newer versions of the images it builds on
    #[arg(long)]
    pull: bool,
    /// Does not show what the steps write
    #[arg(short, long)]
    quiet: bool,
    /// What the services depend on, too
    #[arg(long)]
    with_dependencies: bool,
    /// Pushes each image once all are built
    #[arg(long)]
    push: bool,
    /// Lets builds use an SSH agent or key, `default` or ID=PATH, as `ssh` of the files does
    #[arg(long, value_name = "ID[=PATH]")]
    ssh: Vec<String>,
    /// Most memory of a step, e.g. 512m; of the classic builder, since
    /// `BuildKit` has no such limit
    #[arg(short, long, value_name = "BYTES", value_parser = units::bytes)]
    memory: Option<i64>,
    /// The builder; there is only the Engine's own, `default`
    #[arg(long, value_name = "NAME", value_parser = builder)]
    builder: Option<String>,
    /// Attestation of where it comes from, which the Engine's own store does not keep
    #[arg(long, value_name = "VALUE")]
    provenance: Option<String>,
    /// Attestation of what it holds, which the Engine's own store does not keep
    #[arg(long, value_name = "VALUE")]
    sbom: Option<String>,
    /// Accepted for old scripts: say it before `build`, as `--progress` of `compose`
    #[arg(long, hide = true, value_name = "FORM")]
    progress: Option<String>,
    /// Accepted for old scripts: there is no such choice any more
    #[arg(long, hide = true)]
    parallel: bool,
    /// Accepted for old scripts: contexts are always sent as they are
    #[arg(long, hide = true)]
    compress: bool,
    /// Accepted for old scripts: containers of steps always go
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Accepted for old scripts: containers of steps always go
    #[arg(long, hide = true)]
    no_rm: bool,
    /// Not supported: a linter of docker buildx
    #[arg(long, hide = true)]
    check: bool,
    /// Not supported: a file for docker buildx bake
    #[arg(long, hide = true)]
    print: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Build {
    /// Says what cannot be done as asked.
    fn look_over(&self) -> Result<()> {
        for (flag, is_given, instead) in [
            ("--check", self.check, "run `docker build --check` with docker buildx"),
            ("--print", self.print, "`roadstead compose config` shows what would be built"),
        ] {
            if is_given {
                bail!(Usage(format!("`build {flag}` is a matter of docker buildx: {instead}")));
            }
        }
        for (flag, value) in [("--provenance", &self.provenance), ("--sbom", &self.sbom)] {
            if value.as_deref().is_some_and(|it| it != "false") {
                tracing::warn!("`{flag}` is left out: the Engine's own store keeps no attestation");
            }
        }
        Ok(())
    }

    /// A service with what the command line says of its build.
    fn applied_to(&self, service: &Service) -> Service {
        let mut service = service.clone();
        if let Some(build) = &mut service.build {
            for text in &self.ssh {
                let (id, path) =
                    text.split_once('=').map_or((text.as_str(), None), |(id, path)| {
                        (id, Some(path.to_owned()).filter(|path| !path.is_empty()))
                    });
                build.ssh.retain(|key| key.id != id);
                build.ssh.push(SshKey { id: id.to_owned(), path });
            }
        }
        service
    }
}

fn builder(text: &str) -> Result<String, String> {
    match text {
        "" | "default" => Ok(text.to_owned()),
        _ => Err("the Engine's own builder is the only one: `default`".to_owned()),
    }
}

/// Builds the images of services.
pub(super) async fn build(session: &Session, how: &Build) -> Result<u8> {
    how.look_over()?;
    let enabled_services = how.services.clone();
    let project = load_project(&Request { enabled_services, ..session.request_for_names() })?;
    let asked: BTreeSet<String> = how.services.iter().cloned().collect();
    known_services(&project, &how.services)?;
    let chosen = order::selected(&project, &asked, true);
    let is_wanted = |service: &Service| {
        let is_named = asked.is_empty() || asked.contains(&service.name) || how.with_dependencies;
        chosen.contains(service.name.as_str()) && is_named
    };
    let wanted = apply::buildable(&project, is_wanted);
    if wanted.is_empty() {
        tracing::warn!("no service to build: none of them has `build`");
    }
    let surroundings = BuildSurroundings::of(&project, &session.request.variables);
    let wanted: Vec<Service> = wanted.into_iter().map(|it| how.applied_to(it)).collect();
    let wanted: Vec<&Service> = wanted.iter().collect();
    build_all(session, &surroundings, &wanted, how).await?;
    let pushed: &[&Service] = if how.push { &wanted } else { &[] };
    match push_all(session, session.progress, pushed).await?.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(0),
    }
}

/// Builds the images of these services and of what they depend on (of all where none is named), where
/// they are missing, there only for another platform (among those that are `due`), or to be built each
/// time. Tells whether there was one. Contexts are read here.
pub(super) async fn build_missing(
    session: &Session,
    found: &Found,
    (asked, due): (&BTreeSet<String>, &BTreeSet<String>),
    quiet: bool,
) -> Result<bool> {
    let project = &found.project;
    let chosen = order::selected(project, asked, true);
    let due = builds_due(project, &found.observed.images, due, false, false);
    let is_wanted = |service: &Service| {
        let is_due = service.pull_policy == PullPolicy::Build || due.contains(&service.name);
        is_due && chosen.contains(service.name.as_str())
    };
    let wanted = apply::buildable(project, is_wanted);
    let how = Build { quiet, ..Build::default() };
    build_all(session, &found.materials.builds, &wanted, &how).await?;
    Ok(!wanted.is_empty())
}

/// Builds the image of one service.
pub(super) async fn build_one(session: &Session, found: &Found, service: &Service) -> Result<()> {
    build_all(session, &found.materials.builds, &[service], &Build::default()).await
}

async fn build_all(
    session: &Session,
    surroundings: &BuildSurroundings,
    services: &[&Service],
    how: &Build,
) -> Result<()> {
    if services.is_empty() {
        return Ok(());
    }
    let refused = session.engine.unbuildable(services, surroundings).await?;
    if !refused.is_empty() {
        bail!(Usage(refused.join("\n")));
    }
    let mut builder = Builder::new(&session.engine, &client_config(session)?, surroundings).await;
    builder.arguments = arguments(&how.args, &session.request.variables);
    (builder.no_cache, builder.pull, builder.memory) = (how.no_cache, how.pull, how.memory);
    builder.platform = default_platform(&session.request);
    let progress = session.progress;
    for service in services {
        progress.tell(&service.name, Standing::Working, "", "Building");
        if !session.dry_run {
            let mut sink = |said: docker::Progress| {
                if !how.quiet {
                    show(&said);
                }
            };
            if let Err(error) = builder.build(service, &mut sink).await {
                progress.tell(&service.name, Standing::Failed, "", "Error");
                return Err(error);
            }
        }
        progress.tell(&service.name, Standing::Done, "", "Built");
    }
    Ok(())
}

/// Output is what somebody may want to keep: it goes to stdout, as docker compose's does.
fn show(said: &docker::Progress) {
    let mut stdout = std::io::stdout().lock();
    // Nobody to tell is no reason to stop.
    let _ = match said {
        docker::Progress::Output(text) => stdout.write_all(text.as_bytes()),
        docker::Progress::Layer { id, status, current: None, .. } => {
            writeln!(stdout, "{id}: {status}")
        }
        docker::Progress::Layer { .. } => Ok(()),
    };
    let _ = stdout.flush();
}

/// `NAME=VALUE`, or the environment's value of `NAME`; one that has none is left out.
fn arguments(given: &[String], variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), variables.get(text)?.clone())),
    };
    given.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model;

    #[test]
    fn arguments_may_come_from_the_environment() {
        let variables = [("FROM_ENV".to_owned(), "e".to_owned())].into();
        let given = ["A=1=2", "FROM_ENV", "UNSET", "EMPTY="].map(str::to_owned);
        let expected = [("A", "1=2"), ("EMPTY", ""), ("FROM_ENV", "e")];
        let found = arguments(&given, &variables);
        let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_of_the_command_line_win_over_those_of_the_files() {
        let key = |id: &str, path: Option<&str>| SshKey {
            id: id.to_owned(),
            path: path.map(str::to_owned),
        };
        let from_files = vec![key("default", Some("/k")), key("other", None)];
        for (given, expected) in [
            (&[][..], from_files.clone()),
            (&["default"][..], vec![key("other", None), key("default", None)]),
            (
                &["other=/o", "new="][..],
                vec![key("default", Some("/k")), key("other", Some("/o")), key("new", None)],
            ),
        ] {
            let build = model::Build { ssh: from_files.clone(), ..model::Build::default() };
            let service = Service { build: Some(build.into()), ..Service::default() };
            let how = Build {
                ssh: given.iter().map(|text| (*text).to_owned()).collect(),
                ..Build::default()
            };
            let found = how.applied_to(&service).build.expect("it is built");
            assert_eq!(found.ssh, expected, "{given:?}");
        }
    }
}
