//! `compose config --resolve-image-digests` and `--lock-image-digests`: images as their registries have
//! them now.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;

use super::Session;
use super::registries::client_config;
use crate::compose::model::{Project, Service};
use crate::compose::yaml::{Node, Value};
use crate::image::Reference;
use crate::registry::Registries;

/// Names of images, each with the name that its digest is in.
pub(super) struct Pinned(BTreeMap<String, String>);

/// Asks the registries for the digests that the tags of images stand for.
///
/// # Errors
///
/// When a name is malformed, or its registry does not tell the digest.
pub(super) async fn look_up(session: &Session, images: BTreeSet<String>) -> Result<Pinned> {
    let registries = Registries::new(client_config(session)?)?;
    let pinned = try_join_all(images.iter().map(|image| pinned(&registries, image))).await?;
    Ok(Pinned(images.into_iter().zip(pinned).collect()))
}

/// The whole name of an image with its digest; the tag stays where it decided.
async fn pinned(registries: &Registries, image: &str) -> Result<String> {
    let Reference { registry, repository, tag, digest } = Reference::parse(image)?;
    if let Some(digest) = digest {
        return Ok(format!("{registry}/{repository}@{digest}"));
    }
    let digest = registries.digest(image).await?;
    let digest = digest.with_context(|| format!("`{registry}` tells no digest of `{image}`"))?;
    let tag = tag.unwrap_or_else(|| "latest".to_owned());
    Ok(format!("{registry}/{repository}:{tag}@{digest}"))
}

/// The images of a project; what is only built has no name to ask for.
pub(super) fn of_project(project: &Project) -> BTreeSet<String> {
    let named = project.services.values().filter(|it| !it.image_is_implied);
    named.map(|it| it.image.clone()).filter(|image| !image.is_empty()).collect()
}

/// The images of a project that was only merged.
pub(super) fn of_tree(tree: &Node) -> BTreeSet<String> {
    let services = tree.get("services").and_then(Node::as_mapping).unwrap_or_default();
    let images = services.iter().filter_map(|(_, service)| service.get("image")?.as_str());
    images.filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

impl Pinned {
    /// Pins the images of a project; `alone` leaves nothing but them, to be laid over its own files.
    pub(super) fn pin(&self, project: &mut Project, alone: bool) {
        for service in project.services.values_mut() {
            if let Some(name) = self.0.get(&service.image).filter(|_| !service.image_is_implied) {
                service.image.clone_from(name);
            }
            if alone {
                let Service { name, image, image_is_implied, .. } = std::mem::take(service);
                *service = Service { name, image, image_is_implied, ..Service::default() };
            }
        }
        if alone {
            let services = std::mem::take(&mut project.services);
            *project = Project { services, ..Project::default() };
        }
    }

    /// Does the same with a project that was only merged.
    pub(super) fn pin_tree(&self, tree: &mut Node, alone: bool) {
        let Some(Value::Mapping(services)) = tree.get_mut("services").map(|it| &mut it.value)
        else {
            return;
        };
        for (_, service) in services {
            if let Some(image) = service.get_mut("image")
                && let Some(name) = image.as_str().and_then(|it| self.0.get(it))
            {
                image.value = Value::String(name.clone());
            }
            if alone && let Value::Mapping(entries) = &mut service.value {
                entries.retain(|(key, _)| key.name == "image");
            }
        }
        if alone && let Value::Mapping(entries) = &mut tree.value {
            entries.retain(|(key, _)| key.name == "services");
        }
    }
}
