//! What the Engine has in stock, with ages, and removals that never take what is in use.

use anyhow::{Context, Result};
use bollard::query_parameters::{
    ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions, RemoveImageOptions,
};
use chrono::{DateTime, Utc};

use super::containers::short;
use super::images::identity;
use super::{Engine, is_not_found, status_of};
use crate::plan::housekeeping::prune::{Aged, Image};
use crate::plan::observed::familiar;

/// What became of something that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It went.
    Done,
    /// Somebody uses it by now.
    InUse,
    /// It was gone, or is another one by now.
    Vanished,
}

impl Engine {
    /// All images but those that are only a part of others.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn all_images(&self) -> Result<Vec<Image>> {
        let names = |names: &[String]| -> Vec<String> {
            let is_name = |it: &&String| !it.starts_with("<none>");
            names.iter().filter(is_name).map(|it| familiar(it)).collect()
        };
        let image = |it: &bollard::models::ImageSummary| Image {
            tags: names(&it.repo_tags),
            digests: names(&it.repo_digests),
            since: DateTime::from_timestamp(it.created, 0).unwrap_or_default(),
            size: u64::try_from(it.size).unwrap_or_default(),
            identity: identity(it),
        };
        Ok(self.image_summaries().await?.iter().map(image).collect())
    }

    /// When an image last got a name here; `None` where it is not there, or never had one.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn named_at(&self, id: &str) -> Result<Option<DateTime<Utc>>> {
        match self.image_facts(id).await {
            // The Engine's word for "never" is the year 1.
            Ok(facts) => Ok(facts.tagged.as_deref().and_then(time).filter(|it| it.timestamp() > 0)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When a container ended; when it was made, where it never started. `None` where it is gone.
    ///
    /// # Errors
    ///
    /// When the Engine does not answer.
    pub async fn ended_at(&self, id: &str) -> Result<Option<DateTime<Utc>>> {
        let inspected = self.docker()?.inspect_container(id, None).await;
        let container =
            match inspected.with_context(|| format!("inspect container `{}`", short(id))) {
                Ok(container) => container,
                Err(error) if is_not_found(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
        let ended = container.state.and_then(|it| it.finished_at);
        let ended = ended.as_deref().and_then(time).filter(|it| it.timestamp() > 0);
        Ok(ended.or(container.created.as_deref().and_then(time)))
    }

    /// All networks.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn all_networks(&self) -> Result<Vec<Aged>> {
        let listed = self.docker()?.list_networks(None::<ListNetworksOptions>).await;
        let aged = |it: bollard::models::Network| Aged {
            id: it.id.unwrap_or_default(),
            name: it.name.unwrap_or_default(),
            labels: it.labels.unwrap_or_default().into_iter().collect(),
            made: it.created.as_deref().and_then(time),
        };
        Ok(listed.context("list networks")?.into_iter().map(aged).collect())
    }

    /// All volumes.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn all_volumes(&self) -> Result<Vec<Aged>> {
        let listed = self.docker()?.list_volumes(None::<ListVolumesOptions>).await;
        let aged = |it: bollard::models::Volume| Aged {
            id: it.name.clone(),
            name: it.name,
            labels: it.labels.into_iter().collect(),
            made: it.created_at.as_deref().and_then(time),
        };
        let volumes = listed.context("list volumes")?.volumes.unwrap_or_default();
        Ok(volumes.into_iter().map(aged).collect())
    }

    /// Removes an image by all its names, as far as they still mean it, or by its id where it has none.
    /// What only this image was made of goes, too, unless `spare_parents`.
    ///
    /// # Errors
    ///
    /// When the Engine fails; not where the image is in use.
    pub async fn drop_image(
        &self,
        id: &str,
        names: &[String],
        spare_parents: bool,
    ) -> Result<Removed> {
        let by: Vec<&str> = match names {
            [] => vec![id],
            names => names.iter().map(String::as_str).collect(),
        };
        let mut found = Removed::Vanished;
        for name in by {
            if self.id_of_image(name).await?.is_none_or(|it| it != id) {
                continue;
            }
            let options = RemoveImageOptions { noprune: spare_parents, ..Default::default() };
            let removed = self.docker()?.remove_image(name, Some(options), None).await;
            found = outcome(removed.map(drop).with_context(|| format!("remove image `{name}`")))?;
            if found == Removed::InUse {
                return Ok(found);
            }
        }
        // Somebody may have given it another name meanwhile.
        if found == Removed::Done && self.id_of_image(id).await?.is_some() {
            return Ok(Removed::InUse);
        }
        Ok(found)
    }

    async fn id_of_image(&self, name: &str) -> Result<Option<String>> {
        match self.image_facts(name).await {
            Ok(facts) => Ok(Some(facts.id)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a container that has ended, with its anonymous volumes.
    ///
    /// # Errors
    ///
    /// When the Engine fails; not where it runs.
    pub async fn drop_container(&self, id: &str) -> Result<Removed> {
        let options = RemoveContainerOptions { v: true, ..Default::default() };
        let removed = self.docker()?.remove_container(id, Some(options)).await;
        outcome(removed.with_context(|| format!("remove container `{}`", short(id))))
    }

    /// Removes a network that no container is attached to.
    ///
    /// # Errors
    ///
    /// When the Engine fails; not where it is in use.
    pub async fn drop_network(&self, id: &str) -> Result<Removed> {
        outcome(self.remove_network(id).await)
    }

    /// Removes a volume that no container mounts, and its data.
    ///
    /// # Errors
    ///
    /// When the Engine fails; not where it is in use.
    pub async fn drop_volume(&self, name: &str) -> Result<Removed> {
        outcome(self.remove_volume(name).await)
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|it| it.to_utc())
}

fn outcome(removed: Result<()>) -> Result<Removed> {
    match removed {
        Ok(()) => Ok(Removed::Done),
        Err(error) => match status_of(&error) {
            Some(404) => Ok(Removed::Vanished),
            // 403: a network that has endpoints.
            Some(403 | 409) => Ok(Removed::InUse),
            _ => Err(error),
        },
    }
}
