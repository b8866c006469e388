//! Pulling images: with the credentials of Docker's own client, told while it goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::compose::model::{Project, PullPolicy};
use crate::docker::{Engine, Layers, PullOptions};
use crate::image::{Platform, Reference};
use crate::plan::observed::{Observed, familiar};
use crate::plan::pull::pull_due;
use crate::registry::{ClientConfig, Registries};

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

/// Images of `pull_policy: always` that are what their registry has today, asked without pulling. One
/// that does not say, or is silent, has another: the pull will tell.
pub async fn as_in_registry(
    client: &ClientConfig,
    project: &Project,
    observed: &Observed,
) -> BTreeSet<String> {
    let asked: BTreeSet<&str> = project
        .services
        .values()
        // A digest stands for all platforms; which of them is here, it does not tell.
        .filter(|it| it.pull_policy == PullPolicy::Always && it.platform.is_none())
        .map(|it| it.image.as_str())
        .filter(|image| observed.images.contains_key(&familiar(image)))
        .collect();
    if asked.is_empty() {
        return BTreeSet::new();
    }
    let registries = match Registries::new(client.clone()) {
        Ok(registries) => registries,
        Err(error) => {
            warn!("registries cannot be asked, images are pulled instead: {error:#}");
            return BTreeSet::new();
        }
    };
    let answers =
        join_all(asked.into_iter().map(async |image| (image, registries.digest(image).await)));
    let is_here = |(image, answer): (&str, Result<Option<String>>)| match answer {
        Ok(digest) => observed.has_digest(image, &digest?).then(|| image.to_owned()),
        Err(error) => {
            debug!("{error:#}");
            None
        }
    };
    answers.await.into_iter().filter_map(is_here).collect()
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

/// Images that are there, but of another platform than a service asks for; `default` is that of services
/// that name none. Asks the Engine only about services with a platform, and only where its list of
/// images does not tell.
///
/// # Errors
///
/// When the Engine does not answer.
pub async fn due_by_platform(
    engine: &Engine,
    project: &Project,
    default: Option<&str>,
    observed: &Observed,
) -> Result<BTreeSet<String>> {
    let mut due = BTreeSet::new();
    for service in project.services.values() {
        let Some(wanted) = service.platform.as_deref().or(default) else { continue };
        let Some(image) = observed.images.get(&familiar(&service.image)) else { continue };
        let platform = Platform::parse(wanted);
        let is_here = if image.platforms.is_empty() {
            Platform::parse(&engine.image_facts(&service.image).await?.platform) == platform
        } else {
            // One name can have several.
            image.platforms.contains(&platform)
        };
        if !is_here {
            debug!("image {} is not there for {wanted}", service.image);
            due.insert(service.image.clone());
        }
    }
    Ok(due)
}
