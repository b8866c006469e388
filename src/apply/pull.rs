//! Pulling images: with the credentials of Docker's own client, told while it goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;
use tracing::info;

use crate::compose::model::Project;
use crate::docker::{Engine, Layers, PullOptions};
use crate::image::Reference;
use crate::plan::observed::{Observed, familiar};
use crate::plan::pull::pull_due;
use crate::registry::ClientConfig;

/// How often a long pull says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Pulls an image.
///
/// # Errors
///
/// When the registry does not have it, does not let us in, or falls silent.
pub async fn pull(
    engine: &Engine,
    client: &ClientConfig,
    image: &str,
    platform: Option<&str>,
) -> Result<()> {
    let credentials = client.credentials(&Reference::parse(image)?).await?;
    let options = PullOptions { platform: platform.map(str::to_owned), credentials };
    let (mut layers, mut told) = (Layers::default(), Instant::now());
    let mut sink = |said| {
        layers.see(&said);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (current, total) = layers.bytes();
            let (done, all) = (layers.done(), layers.all());
            info!("pull image {image}: {done} of {all} layers, {current} of {total} bytes");
        }
    };
    engine.pull_image(image, &options, &mut sink).await
}

/// The platform that a project wants an image for.
pub fn platform_of<'a>(project: &'a Project, image: &str) -> Option<&'a str> {
    let mut services = project.services.values().filter(|it| it.image == image);
    services.find_map(|it| it.platform.as_deref())
}

/// Images that are there and old enough for their services' `pull_policy` to be pulled again; `now` is
/// in seconds since the Unix epoch. Asks the Engine only about services with such a policy.
///
/// # Errors
///
/// When the Engine does not answer.
pub async fn due_by_age(
    engine: &Engine,
    project: &Project,
    observed: &Observed,
    now: i64,
) -> Result<BTreeSet<String>> {
    let mut due = BTreeSet::new();
    for service in project.services.values().filter(|it| it.pull_policy.interval().is_some()) {
        if !observed.images.contains_key(&familiar(&service.image)) {
            continue;
        }
        let tagged = engine.last_tagged(&service.image).await?;
        if pull_due(&service.pull_policy, true, tagged, now) {
            due.insert(service.image.clone());
        }
    }
    Ok(due)
}
