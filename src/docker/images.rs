//! Images: pulling, what they are identical with, tags.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::models::{
    ContainerConfig, ImageManifestSummary, ImageManifestSummaryKindEnum, ImageSummary, OciPlatform,
};
use bollard::query_parameters::{
    CommitContainerOptions, CreateImageOptions, ListImagesOptions, PushImageOptions,
    RemoveImageOptions, TagImageOptions,
};
use futures_util::StreamExt;

use super::auth::{self, REGISTRY_AUTH};
use super::containers::short;
use super::raw::{self, Change};
use super::{Engine, is_not_found};
use crate::image::{Credentials, Identity, Platform, Reference, name_and_tag};
use crate::plan::labels;
use crate::plan::observed::familiar;
use crate::plan::teardown::Built;

/// Longest silence in the middle of a pull before it counts as dead.
const PULL_SILENCE: Duration = Duration::from_mins(2);

/// What a pull or a build says while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A piece of a build's output, with its line ends.
    Output(String),
    /// How far a layer is.
    Layer {
        /// The layer, or the tag that is looked up.
        id: String,
        /// The Engine's words.
        status: String,
        /// Bytes so far.
        current: Option<i64>,
        /// All its bytes.
        total: Option<i64>,
    },
}

/// An image to be made of a container.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its name, `REPOSITORY[:TAG]`; empty for none.
    pub image: String,
    /// Who made it.
    pub author: String,
    /// What was done.
    pub message: String,
    /// Instructions of a Dockerfile that it gets as well.
    pub changes: Vec<String>,
    /// Whether the container stands still meanwhile.
    pub pause: bool,
}

/// How an image is pulled.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// `os/architecture`, where not the Engine's own.
    pub platform: Option<String>,
    /// What opens the registry.
    pub credentials: Option<Credentials>,
}

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

    /// Pulls an image without credentials. A reference without a tag means `latest`.
    ///
    /// # Errors
    ///
    /// When the registry does not have it, does not let us in, or falls silent.
    pub async fn pull(&self, reference: &str) -> Result<()> {
        self.pull_image(reference, &PullOptions::default(), &mut |_| ()).await
    }

    /// Pulls an image; `sink` hears how far it is.
    ///
    /// # Errors
    ///
    /// When the registry does not have it, does not let us in, or falls silent.
    pub async fn pull_image(
        &self,
        reference: &str,
        options: &PullOptions,
        sink: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<()> {
        let header = match &options.credentials {
            Some(credentials) => {
                let parsed = Reference::parse(reference)?;
                Some((REGISTRY_AUTH, auth::for_one(parsed.credentials_key(), credentials)))
            }
            None => None,
        };
        let docker = raw::changed(self.docker()?, Change { header, ..Change::default() });
        let request = CreateImageOptions {
            from_image: Some(familiar(reference)),
            platform: options.platform.clone().unwrap_or_default(),
            ..Default::default()
        };
        let mut stream = Box::pin(docker.create_image(Some(request), None, None));
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
            let detail = progress.progress_detail.unwrap_or_default();
            sink(Progress::Layer {
                id: progress.id.unwrap_or_default(),
                status: progress.status.unwrap_or_default(),
                current: detail.current,
                total: detail.total,
            });
        }
    }

    /// Pushes an image. A reference without a tag means `latest`.
    ///
    /// # Errors
    ///
    /// When the image is not there, or the registry does not take it, does not let us in, or falls
    /// silent.
    pub async fn push_image(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
    ) -> Result<()> {
        let parsed = Reference::parse(reference)?;
        let header =
            credentials.map(|it| (REGISTRY_AUTH, auth::for_one(parsed.credentials_key(), it)));
        let docker = raw::changed(self.docker()?, Change { header, ..Change::default() });
        let (name, tag) = name_and_tag(reference);
        let tag = tag.unwrap_or("latest");
        let options = PushImageOptions { tag: Some(tag.to_owned()), ..Default::default() };
        let mut stream = Box::pin(docker.push_image(name, Some(options), None));
        loop {
            let Ok(next) = tokio::time::timeout(PULL_SILENCE, stream.next()).await else {
                bail!("push image `{reference}`: the registry fell silent");
            };
            let Some(said) = next else { return Ok(()) };
            said.with_context(|| format!("push image `{reference}`"))?;
        }
    }

    /// What each image is identical with, by every reference that names it, in familiar form.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn images(&self) -> Result<BTreeMap<String, Identity>> {
        Ok(by_reference(&self.image_summaries().await?))
    }

    /// The images that were built for a project and have a name.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn built_for(&self, project: &str) -> Result<Vec<Built>> {
        let label = format!("{}={project}", labels::PROJECT);
        let filters = [("label", label), ("dangling", "false".to_owned())];
        let filters = filters.map(|(name, value)| (name.to_owned(), vec![value])).into();
        let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
        let listed = self.docker()?.list_images(Some(options)).await.context("list images")?;
        let built = |image: ImageSummary| Built {
            service: image.labels.get(labels::SERVICE).cloned().unwrap_or_default(),
            names: image.repo_tags.iter().map(|it| familiar(it)).collect(),
        };
        Ok(listed.into_iter().map(built).collect())
    }

    /// All images but those that are only a part of others, as the Engine lists them.
    pub(super) async fn image_summaries(&self) -> Result<Vec<ImageSummary>> {
        // From API 1.48 on. Older Engines pass over it, so that nobody has to ask for the version first.
        let options = ListImagesOptions { manifests: true, ..Default::default() };
        self.docker()?.list_images(Some(options)).await.context("list images")
    }

    /// When an image was last given a tag, in seconds since the Unix epoch: what `pull_policy: daily`
    /// counts from. `None` where the image is not there, or never had a tag.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn last_tagged(&self, reference: &str) -> Result<Option<i64>> {
        Ok(self.named_at(&familiar(reference)).await?.map(|it| it.timestamp()))
    }

    /// Makes an image without any file; one of this name that exists is left alone.
    ///
    /// # Errors
    ///
    /// When the Engine refuses.
    pub async fn have_empty_image(&self, name: &str) -> Result<()> {
        let context = || format!("make the empty image `{name}`");
        match self.docker()?.inspect_image(name).await.with_context(context) {
            Ok(_) => return Ok(()),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        let (repository, tag) = name_and_tag(name);
        let request = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repository.to_owned()),
            tag: tag.map(str::to_owned),
            ..Default::default()
        };
        // The end of an archive that has nothing before it.
        let body = bollard::body_full(vec![0_u8; 1024].into());
        let mut stream = Box::pin(self.docker()?.create_image(Some(request), Some(body), None));
        while let Some(progress) = stream.next().await {
            progress.with_context(context)?;
        }
        Ok(())
    }

    /// Makes an image of what a container has become; gives back its id.
    ///
    /// # Errors
    ///
    /// When the container is gone, or an instruction is none that can be added.
    pub async fn commit(&self, container: &str, request: &Commit) -> Result<String> {
        let (repository, tag) = name_and_tag(&request.image);
        let some = |text: &str| Some(text.to_owned()).filter(|it| !it.is_empty());
        let options = CommitContainerOptions {
            container: Some(container.to_owned()),
            repo: some(repository),
            tag: tag.map(str::to_owned),
            comment: some(&request.message),
            author: some(&request.author),
            pause: request.pause,
            changes: some(&request.changes.join("\n")),
        };
        let made = self.docker()?.commit_container(options, ContainerConfig::default()).await;
        Ok(made.with_context(|| format!("commit container `{}`", short(container)))?.id)
    }

    /// Gives an image another name.
    ///
    /// # Errors
    ///
    /// When there is no such image.
    pub async fn tag(&self, image: &str, name: &str) -> Result<()> {
        let (repository, tag) = name_and_tag(name);
        let tag = tag.unwrap_or("latest");
        let options =
            TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        let tagged = self.docker()?.tag_image(image, Some(options)).await;
        tagged.with_context(|| format!("tag image `{image}` as `{name}`"))
    }
}

/// Identities by every name.
fn by_reference(images: &[ImageSummary]) -> BTreeMap<String, Identity> {
    let mut found = BTreeMap::new();
    for image in images {
        let identity = identity(image);
        for reference in image.repo_tags.iter().chain(&image.repo_digests) {
            found.insert(familiar(reference), identity.clone());
        }
        found.insert(image.id.clone(), identity);
    }
    found
}

/// What an image is identical with. The one place that knows the two stores: in the classic one the id
/// is that of the configuration; in containerd's it is that of an index, which is new with every
/// attested build, while the manifest of the platform stays.
pub(super) fn identity(image: &ImageSummary) -> Identity {
    let manifests = image.manifests.iter().flatten();
    let here =
        manifests.filter(|it| it.available && it.kind == Some(ImageManifestSummaryKindEnum::IMAGE));
    let platform = |it: &ImageManifestSummary| {
        let OciPlatform { os, architecture, variant, .. } = &it.image_data.as_ref()?.platform;
        let words = [os, architecture, variant].map(|it| it.as_deref().unwrap_or_default());
        Some(Platform::parse(words.join("/").trim_end_matches('/')))
    };
    Identity {
        id: image.id.clone(),
        manifests: here.clone().map(|it| it.id.clone()).collect(),
        platforms: here.filter_map(platform).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identities_hold_in_both_stores() {
        let image = |manifests: serde_json::Value| -> ImageSummary {
            serde_json::from_value(json!({
                "Id": "sha256:id", "ParentId": "", "RepoTags": ["a:1", "docker.io/library/b:2"],
                "RepoDigests": ["a@sha256:d"], "Created": 1, "Size": 1, "SharedSize": 1,
                "Labels": {}, "Containers": 0, "Manifests": manifests,
            }))
            .unwrap()
        };
        let manifest = |id: &str, kind: &str, available: bool| {
            json!({
                "ID": id, "Kind": kind, "Available": available,
                "Descriptor": {"mediaType": "m", "digest": id, "size": 1},
                "Size": {"Content": 1, "Total": 1},
                "ImageData": {
                    "Platform": {"os": "linux", "architecture": id.split(':').nth(1), "variant": ""},
                    "Containers": [], "Size": {"Unpacked": 1},
                },
            })
        };
        let several = json!([
            manifest("sha256:s390x", "image", true),
            manifest("sha256:far", "image", false),
            manifest("sha256:proof", "attestation", true),
        ]);
        for (manifests, expected) in [(json!(null), vec![]), (several, vec!["sha256:s390x"])] {
            let found = by_reference(&[image(manifests)]);
            let names: Vec<_> = found.keys().map(String::as_str).collect();
            assert_eq!(names, ["a:1", "a@sha256:d", "b:2", "sha256:id"]);
            assert_eq!(found["a:1"].id, "sha256:id");
            assert_eq!(found["a:1"].manifests, expected);
            let platforms = expected.iter().map(|_| Platform::parse("linux/s390x"));
            assert_eq!(found["a:1"].platforms, platforms.collect::<Vec<_>>());
        }
    }
}
