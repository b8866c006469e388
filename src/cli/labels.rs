//! Jobs in labels of containers: the daemon follows them, and a command asks it.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::setup::configuration;
use crate::control::{Call, Reply, Request};
use crate::git;
use crate::job::Configuration;
use crate::job::native::write::Written;
use crate::job::native::{Context, NoFiles};
use crate::job::ofelia::{LabelledContainer, jobs_of_labels, without_taken};
use crate::settings::Settings;

/// Longest wait for the daemon, which may have its hands full.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration with the jobs of labels in it. Where they cannot be known a note says so.
pub(super) async fn configuration_with_labels(env_file: Option<&Path>) -> Result<Configuration> {
    let mut configuration = configuration(env_file)?;
    let of_labels = written(&configuration.settings).await;
    let of_labels = without_taken(of_labels, &configuration.jobs);
    configuration.jobs.extend(of_labels.into_iter().map(|it| it.job));
    Ok(configuration)
}

/// The jobs of labels, if they are followed. Where they cannot be known a note says so.
pub(super) async fn written(settings: &Settings) -> Vec<Written> {
    if !settings.schedulers.ofelia_labels {
        return Vec::new();
    }
    let why = match tokio::time::timeout(PATIENCE, containers(settings)).await {
        Ok(Ok(Some(containers))) => {
            let variables = &settings.variables;
            let context =
                Context { settings, variables, toplevel: &git::toplevel, files: &NoFiles };
            // What is wrong with them the daemon has told in its log.
            return jobs_of_labels(&containers, &context).0;
        }
        Ok(Ok(None)) => {
            format!("no `roadstead serve` is at work in `{}`", settings.state_dir.display())
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("roadstead did not answer within {} s", PATIENCE.as_secs()),
    };
    let _ = writeln!(
        io::stderr(),
        "roadstead: jobs in labels of containers (AUTODEPLOY_OFELIA_LABELS) are not known: {why}"
    );
    Vec::new()
}

/// What the daemon has seen; `None` where none serves.
async fn containers(settings: &Settings) -> Result<Option<Vec<LabelledContainer>>> {
    let Some(mut call) = Call::place(&settings.state_dir, &Request::Labels).await? else {
        return Ok(None);
    };
    match call.next().await? {
        Reply::Labels { containers } => Ok(Some(containers)),
        Reply::Refused { message } => bail!(message),
        _ => bail!("roadstead answered something else: is it of another release?"),
    }
}
