//! Images: pulling.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::query_parameters::{CreateImageOptions, RemoveImageOptions};
use futures_util::StreamExt;

use super::Engine;

/// Longest silence in the middle of a pull before it counts as dead.
const PULL_SILENCE: Duration = Duration::from_mins(2);

impl Engine {
    /// Removes an image by its reference; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// When a container uses it.
    pub async fn remove_image(&self, reference: &str) -> Result<()> {
        let removed =
            self.docker()?.remove_image(reference, None::<RemoveImageOptions>, None).await;
        let removed = removed.map(drop).with_context(|| format!("remove image `{reference}`"));
        super::containers::ignore(removed, super::is_not_found)
    }

    /// Targets at which an image asks for volumes.
    ///
    /// # Errors
    ///
    /// When there is no such image.
    pub async fn image_volumes(&self, reference: &str) -> Result<BTreeSet<String>> {
        let inspected = self.docker()?.inspect_image(reference).await;
        let inspected = inspected.with_context(|| format!("inspect image `{reference}`"))?;
        let volumes = inspected.config.and_then(|config| config.volumes);
        Ok(volumes.unwrap_or_default().into_iter().collect())
    }

    /// Pulls an image. A reference without a tag means `latest`.
    ///
    /// # Errors
    ///
    /// When the registry does not have it, does not let us in, or falls silent.
    pub async fn pull(&self, reference: &str) -> Result<()> {
        let tagged = crate::plan::observed::familiar(reference);
        let options = CreateImageOptions { from_image: Some(tagged), ..Default::default() };
        let mut stream = Box::pin(self.docker()?.create_image(Some(options), None, None));
        loop {
            let next = tokio::time::timeout(PULL_SILENCE, stream.next());
            // Not as the cause: a silent registry is no silent Engine.
            let Ok(next) = next.await else {
                bail!("pull image `{reference}`: the registry fell silent");
            };
            let Some(progress) = next else { return Ok(()) };
            let progress = progress.with_context(|| format!("pull image `{reference}`"))?;
            // Failures come inside a stream that began with 200 OK.
            if let Some(error) = progress.error_detail.and_then(|detail| detail.message) {
                bail!("pull image `{reference}`: {error}");
            }
        }
    }
}
