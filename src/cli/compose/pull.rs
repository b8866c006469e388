//! `compose pull`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::Args;
use futures_util::stream::{self, StreamExt};

use super::progress::Standing;
use super::registries::{self, Wanted, client_config};
use super::{Session, default_platform};
use crate::compose::model::{Project, PullPolicy, Service};
use crate::plan::observed::familiar;
use crate::plan::order;
use crate::registry::ClientConfig;

// Arguments of `pull`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
pub(super) struct Pull {
    /// Exits with 0 though some images could not be pulled
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Images of what the services depend on, too
    #[arg(long)]
    include_deps: bool,
    /// Passes over images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Which images: those that are missing, or all [default: as each service says]
    #[arg(long, value_name = "POLICY", value_parser = ["missing", "always"])]
    policy: Option<String>,
    /// Tells nothing
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for old scripts: `--parallel` of `compose` says how many at once
    #[arg(long, hide = true, alias = "no-parallel")]
    parallel: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Pulls each image once.
pub(super) async fn pull(session: &Session, arguments: &Pull) -> Result<u8> {
    let project = session.project_of_images(&arguments.services)?;
    let progress = if arguments.quiet { session.progress.quiet() } else { session.progress };
    let present = session.engine.images().await?;
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    let selected = selected(&project, arguments);
    for name in &selected {
        let service = &project.services[name];
        let image = service.image.as_str();
        let is_there = present.contains_key(&familiar(image));
        match skipped(&project, service, is_there, arguments).or_else(|| {
            let by = wanted.get(image);
            by.map(|by| format!("Skipped - Image is already being pulled by {by}"))
        }) {
            Some(why) => progress.tell(name, Standing::Done, &why, ""),
            None => drop(wanted.insert(image, name)),
        }
    }
    let config = client_config(session)?;
    let failures = pull_all(session, (&project, &config), progress, &wanted).await;
    let to_build: Vec<&str> = failures
        .iter()
        .map(|it| it.0.as_str())
        .filter(|name| project.services[*name].build.is_some())
        .collect();
    if !to_build.is_empty() {
        let services = to_build.join(" ");
        tracing::warn!("no image to pull, but one to build: `roadstead compose build {services}`");
    }
    match failures.into_iter().next() {
        Some((_, error)) if !arguments.ignore_pull_failures => Err(error),
        _ => Ok(0),
    }
}

/// Why the image of a service is not pulled; `None` where it is.
fn skipped(
    project: &Project,
    service: &Service,
    is_there: bool,
    arguments: &Pull,
) -> Option<String> {
    let is_built = service.build.is_some();
    if is_built && service.image == project.implied_image(&service.name) {
        return Some("Skipped - No image to be pulled".to_owned());
    }
    let policy = match arguments.policy.as_deref() {
        Some("missing") => &PullPolicy::Missing,
        Some(_) => &PullPolicy::Always,
        None => &service.pull_policy,
    };
    match policy {
        PullPolicy::Never | PullPolicy::Build => Some("Skipped".to_owned()),
        PullPolicy::Missing if is_there => {
            Some("Skipped - Image is already present locally".to_owned())
        }
        _ if is_built && arguments.ignore_buildable => {
            Some("Skipped - Image can be built".to_owned())
        }
        _ => None,
    }
}

fn selected(project: &Project, arguments: &Pull) -> Vec<String> {
    let asked: BTreeSet<String> = arguments.services.iter().cloned().collect();
    let selected = order::selected(project, &asked, arguments.include_deps);
    selected.into_iter().map(str::to_owned).collect()
}

fn platform(project: &Project, service: &str) -> Option<String> {
    project.services.get(service)?.platform.clone()
}

async fn pull_all(
    session: &Session,
    (project, config): (&Project, &ClientConfig),
    progress: super::progress::Progress,
    wanted: &BTreeMap<&str, &str>,
) -> Vec<(String, anyhow::Error)> {
    let at_once = session.parallel.min(wanted.len()).max(1);
    let one = |(image, service): (&&str, &&str)| {
        let (image, service) = ((*image).to_owned(), (*service).to_owned());
        async move {
            progress.tell(&service, Standing::Working, "Pulling", "");
            if session.dry_run {
                progress.tell(&service, Standing::Done, "Pulled", "");
                return None;
            }
            let platform =
                platform(project, &service).or_else(|| default_platform(&session.request));
            let wanted = Wanted { service: &service, image: &image, platform };
            match registries::pull(session, config, wanted, progress).await {
                Ok(()) => {
                    progress.tell(&service, Standing::Done, "Pulled", "");
                    None
                }
                Err(error) => {
                    progress.tell(&service, Standing::Failed, "Error", &format!("{error:#}"));
                    Some((service, error))
                }
            }
        }
    };
    let ended: Vec<Option<(String, anyhow::Error)>> =
        stream::iter(wanted).map(one).buffer_unordered(at_once).collect().await;
    ended.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_are_not_to_be_pulled_are_passed_over() {
        let project = Project { name: "p".to_owned(), ..Project::default() };
        let here = Some("Skipped - Image is already present locally");
        for (image, is_built, policy, asked, ignore_buildable, expected) in [
            ("app", false, PullPolicy::Unset, None, false, None),
            ("app", false, PullPolicy::Never, None, false, Some("Skipped")),
            ("app", true, PullPolicy::Build, None, false, Some("Skipped")),
            ("app", false, PullPolicy::Missing, None, false, here),
            ("app", false, PullPolicy::Never, Some("always"), false, None),
            ("app", false, PullPolicy::Always, Some("missing"), false, here),
            ("app", true, PullPolicy::Unset, None, false, None),
            ("app", true, PullPolicy::Unset, None, true, Some("Skipped - Image can be built")),
            (
                "p-web",
                true,
                PullPolicy::Unset,
                None,
                false,
                Some("Skipped - No image to be pulled"),
            ),
        ] {
            let service = Service {
                name: "web".to_owned(),
                image: image.to_owned(),
                pull_policy: policy.clone(),
                build: is_built.then(Box::default),
                ..Service::default()
            };
            let arguments = Pull {
                ignore_pull_failures: false,
                include_deps: false,
                ignore_buildable,
                policy: asked.map(str::to_owned),
                quiet: false,
                parallel: false,
                services: Vec::new(),
            };
            let found = skipped(&project, &service, true, &arguments);
            assert_eq!(found.as_deref(), expected, "{image} {policy:?} {asked:?}");
        }
    }
}
