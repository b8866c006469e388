//! `compose push`, and pushing after `build --push`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use clap::Args;
use futures_util::stream::{self, StreamExt};

use super::Session;
use super::progress::{Progress, Standing};
use super::registries::client_config;
use crate::compose::model::Service;
use crate::image::Reference;
use crate::plan::order;
use crate::registry::ClientConfig;

// Arguments of `push`.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Exits with 0 though some images could not be pushed
    #[arg(long)]
    ignore_push_failures: bool,
    /// Images of what the services depend on, too
    #[arg(long)]
    include_deps: bool,
    /// Tells nothing
    #[arg(short, long)]
    quiet: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Pushes what is built, under all its names.
pub(super) async fn push(session: &Session, arguments: &Push) -> Result<u8> {
    let project = session.project_of_images(&arguments.services)?;
    let asked: BTreeSet<String> = arguments.services.iter().cloned().collect();
    let progress = if arguments.quiet { session.progress.quiet() } else { session.progress };
    let mut wanted = Vec::new();
    for name in order::selected(&project, &asked, arguments.include_deps) {
        let service = &project.services[name];
        // The name that an image has for want of another one is known to no registry.
        let is_named = service.image != project.implied_image(name);
        if service.build.is_some() && is_named {
            wanted.push(service);
        } else {
            progress.tell(name, Standing::Done, "Skipped", "");
        }
    }
    let failed = push_all(session, progress, &wanted).await?;
    match failed.into_iter().next() {
        Some(error) if !arguments.ignore_push_failures => Err(error),
        _ => Ok(0),
    }
}

/// Pushes the images of services, under all their names, and gives back what failed.
///
/// # Errors
///
/// When the configuration of Docker's client cannot be read.
pub(super) async fn push_all(
    session: &Session,
    progress: Progress,
    services: &[&Service],
) -> Result<Vec<anyhow::Error>> {
    let config = &client_config(session)?;
    let repositories = repositories(services);
    let at_once = session.parallel.min(repositories.len()).max(1);
    let in_turn = |names: Names<'_>| {
        let owned = |(name, service): (&str, &str)| (name.to_owned(), service.to_owned());
        let names: Vec<(String, String)> = names.into_iter().map(owned).collect();
        async move {
            let mut failed = Vec::new();
            for (name, service) in names {
                progress.tell(&service, Standing::Working, "Pushing", &name);
                let pushed =
                    if session.dry_run { Ok(()) } else { push_one(session, config, &name).await };
                match pushed.with_context(|| format!("service `{service}`")) {
                    Ok(()) => progress.tell(&service, Standing::Done, "Pushed", &name),
                    Err(error) => {
                        let why = format!("{error:#}");
                        progress.tell(&service, Standing::Failed, "Error", &why);
                        failed.push(error);
                    }
                }
            }
            failed
        }
    };
    let ended: Vec<Vec<anyhow::Error>> = stream::iter(repositories.into_values())
        .map(in_turn)
        .buffer_unordered(at_once)
        .collect()
        .await;
    Ok(ended.into_iter().flatten().collect())
}

async fn push_one(session: &Session, config: &ClientConfig, name: &str) -> Result<()> {
    let reference = Reference::parse(name)?;
    let credentials = config.credentials(&reference).await?;
    let Err(error) = session.engine.push_image(name, credentials.as_ref()).await else {
        return Ok(());
    };
    let said = format!("{error:#}").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|it| said.contains(it));
    Err(if says(&["does not exist locally", "tag does not exist", "no such image"]) {
        error.context("the image is not there yet: run `roadstead compose build`")
    } else if says(&["no basic auth", "unauthorized", "authentication required", "denied"]) {
        let host = reference.credentials_key();
        error.context(format!("the registry does not let us in: run `docker login {host}`"))
    } else {
        error
    })
}

/// Names of images, and the first service that has each.
type Names<'a> = BTreeMap<&'a str, &'a str>;

/// Every name once, by its repository. Where two names of one repository are pushed together, the
/// registry of the distribution project answers now and then with 500 or "blob unknown" (7 of 200 times
/// by version 2.8 on a file system, none of 200 in turn or to two repositories): it reads the link to a
/// layer that the other push has not written to its end.
fn repositories<'a>(services: &[&'a Service]) -> BTreeMap<String, Names<'a>> {
    let mut repositories: BTreeMap<String, Names<'a>> = BTreeMap::new();
    for service in services {
        let tags = service.build.iter().flat_map(|build| &build.tags);
        for name in tags.chain([&service.image]) {
            let repository = match Reference::parse(name) {
                Ok(it) => format!("{}/{}", it.registry, it.repository),
                Err(_) => name.clone(),
            };
            let names = repositories.entry(repository).or_default();
            names.entry(name.as_str()).or_insert(service.name.as_str());
        }
    }
    repositories
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Build;

    #[test]
    fn each_name_is_pushed_once_and_those_of_a_repository_in_turn() {
        let service = |name: &str, image: &str, tags: &[&str]| Service {
            name: name.to_owned(),
            image: image.to_owned(),
            build: Some(Box::new(Build {
                tags: tags.iter().map(|it| (*it).to_owned()).collect(),
                ..Build::default()
            })),
            ..Service::default()
        };
        let services = [
            service("a", "r/x:1", &["r/x:2", "docker.io/r/x:3"]),
            service("b", "r/x:2", &["r/y:1", "localhost:5000/r/x:1", "No Name"]),
        ];
        let found = repositories(&services.iter().collect::<Vec<_>>());
        let expected = [
            (
                "docker.io/r/x",
                Names::from([("r/x:1", "a"), ("r/x:2", "a"), ("docker.io/r/x:3", "a")]),
            ),
            ("docker.io/r/y", Names::from([("r/y:1", "b")])),
            ("localhost:5000/r/x", Names::from([("localhost:5000/r/x:1", "b")])),
            ("No Name", Names::from([("No Name", "b")])),
        ];
        assert_eq!(found, expected.map(|(it, names)| (it.to_owned(), names)).into());
    }
}
