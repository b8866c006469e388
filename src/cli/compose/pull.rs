//! `compose pull`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::Args;
use futures_util::stream::{self, StreamExt};

use super::progress::Standing;
use super::{Session, load_project};
use crate::compose::model::{Project, PullPolicy};
use crate::plan::observed::familiar;
use crate::plan::order;

/// Arguments of `pull`.
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
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Pulls each image once.
pub(super) async fn pull(session: &Session, arguments: &Pull) -> Result<u8> {
    session.target(&arguments.services)?;
    // A name alone says nothing of images: the files are needed here.
    let project = load_project(&session.request)?;
    let progress = if arguments.quiet { session.progress.quiet() } else { session.progress };
    let present = session.engine.images().await?;
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    let selected = selected(&project, arguments);
    for name in &selected {
        let service = &project.services[name];
        let image = service.image.as_str();
        let policy = match arguments.policy.as_deref() {
            Some("missing") => PullPolicy::Missing,
            Some(_) => PullPolicy::Always,
            None => service.pull_policy.clone(),
        };
        let is_missing_only = arguments.policy.is_some() && policy == PullPolicy::Missing;
        let skipped = if service.pull_policy == PullPolicy::Never {
            Some("Skipped".to_owned())
        } else if is_missing_only && present.contains_key(&familiar(image)) {
            Some("Skipped - Image is already present locally".to_owned())
        } else {
            let by = wanted.get(image);
            by.map(|by| format!("Skipped - Image is already being pulled by {by}"))
        };
        match skipped {
            Some(why) => progress.tell(name, Standing::Done, &why, ""),
            None => drop(wanted.insert(image, name)),
        }
    }
    let failures = pull_all(session, progress, &wanted).await;
    match failures.into_iter().next() {
        Some(error) if !arguments.ignore_pull_failures => Err(error),
        _ => Ok(0),
    }
}

fn selected(project: &Project, arguments: &Pull) -> Vec<String> {
    let asked: BTreeSet<String> = arguments.services.iter().cloned().collect();
    let selected = order::selected(project, &asked, arguments.include_deps);
    selected.into_iter().map(str::to_owned).collect()
}

async fn pull_all(
    session: &Session,
    progress: super::progress::Progress,
    wanted: &BTreeMap<&str, &str>,
) -> Vec<anyhow::Error> {
    let at_once = session.parallel.min(wanted.len()).max(1);
    let one = |(image, service): (&&str, &&str)| {
        let (image, service) = ((*image).to_owned(), (*service).to_owned());
        async move {
            progress.tell(&service, Standing::Working, "Pulling", "");
            if session.dry_run {
                progress.tell(&service, Standing::Done, "Pulled", "");
                return None;
            }
            match session.engine.pull(&image).await {
                Ok(()) => {
                    progress.tell(&service, Standing::Done, "Pulled", "");
                    None
                }
                Err(error) => {
                    progress.tell(&service, Standing::Failed, "Error", &format!("{error:#}"));
                    Some(error)
                }
            }
        }
    };
    let ended: Vec<Option<anyhow::Error>> =
        stream::iter(wanted).map(one).buffer_unordered(at_once).collect().await;
    ended.into_iter().flatten().collect()
}
