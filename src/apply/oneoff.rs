//! The container of one `compose run`: a service once more, beside its lasting containers.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context, Result, bail};

use super::Materials;
use crate::compose::model::{Project, Service};
use crate::docker::{Engine, NewContainer, Peer, Surroundings};
use crate::image::Identity;
use crate::plan::Hashes;
use crate::plan::labels::{self, Provenance};
use crate::plan::observed::{Container, familiar};

/// docker compose's label of the random part of a one-off's name.
const SLUG: &str = "com.docker.compose.slug";
/// How much of it is in the name.
const SLUG_IN_NAME: usize = 12;

/// The project that a one-off container is of.
#[derive(Clone, Copy, Debug)]
pub struct OneOffModel<'a> {
    /// The project as the host sees it.
    pub project: &'a Project,
    /// Its hashes.
    pub hashes: &'a Hashes,
    /// What was read for it.
    pub materials: &'a Materials,
    /// What each image is identical with, by every name.
    pub images: &'a BTreeMap<String, Identity>,
}

/// Everything a one-off container is made from.
#[derive(Clone, Debug)]
pub struct OneOffContainer {
    project: Project,
    service: Service,
    name: String,
    labels: BTreeMap<String, String>,
    anonymous_volumes: BTreeMap<String, String>,
    surroundings: Surroundings,
}

impl OneOffContainer {
    /// Puts it together from a service as it is to be; changes nothing. Without a name it has docker
    /// compose's.
    ///
    /// # Errors
    ///
    /// When its image is not there, or the Engine does not answer.
    pub async fn new(
        engine: &Engine,
        model: &OneOffModel<'_>,
        service: Service,
        name: Option<String>,
    ) -> Result<Self> {
        let project = model.project.clone();
        let slug = slug()?;
        let short = slug.get(..SLUG_IN_NAME).unwrap_or(&slug);
        let usual = || {
            let between = project.separator();
            [project.name.as_str(), &service.name, "run", short].join(&between.to_string())
        };
        let name = name.unwrap_or_else(usual);
        let Some(image) = model.images.get(&familiar(&service.image)) else {
            bail!("image `{}` is not there: pull or build it", service.image);
        };
        let hash = model.hashes.services.get(&service.name).and_then(|it| it.first());
        let provenance = Provenance {
            hash: hash.map_or("", String::as_str),
            content: None,
            number: 0,
            image_id: &image.id,
            replaces: None,
            replaces_restart: None,
            revision: "",
            run: 0,
        };
        let mut labels = labels::of_container(&project, &service, &provenance);
        labels.remove(labels::CONTAINER_NUMBER);
        labels.insert(labels::ONEOFF.to_owned(), "True".to_owned());
        labels.insert(SLUG.to_owned(), slug);
        let surroundings = surroundings(engine, model).await?;
        let anonymous_volumes = BTreeMap::new();
        Ok(Self { project, service, name, labels, anonymous_volumes, surroundings })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a label.
    pub fn label(&mut self, name: &str, value: String) {
        self.labels.insert(name.to_owned(), value);
    }

    /// As the Engine creates it.
    pub fn as_new(&self) -> NewContainer<'_> {
        NewContainer {
            project: &self.project,
            service: &self.service,
            name: &self.name,
            final_name: &self.name,
            labels: &self.labels,
            anonymous_volumes: &self.anonymous_volumes,
            surroundings: &self.surroundings,
        }
    }
}

/// Containers whose namespaces and volumes it may share, and what was read for the project.
async fn surroundings(engine: &Engine, model: &OneOffModel<'_>) -> Result<Surroundings> {
    let mut containers = engine.containers_of(&model.project.name).await?;
    containers.retain(|it| !it.is_oneoff());
    containers.sort_by_key(Container::number);
    let mut peers: BTreeMap<String, Vec<Peer>> = BTreeMap::new();
    for it in containers {
        let peer = Peer { id: it.id.clone(), name: it.name.clone(), number: it.number() };
        peers.entry(it.service().to_owned()).or_default().push(peer);
    }
    Ok(Surroundings { peers, ..model.materials.surroundings.clone() })
}

/// 64 random hexadecimal digits.
fn slug() -> Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    source.read_exact(&mut bytes).context("read /dev/urandom")?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
