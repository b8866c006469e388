//! What containers are made from besides their project: contents of secrets and configs, profiles,
//! proxies. Read before anything is touched, from the revision that is to be applied.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result, bail};

use crate::compose::model::Project;
use crate::docker::{self, BuildSurroundings, Surroundings, Upload};
use crate::registry::ClientConfig;

/// Everything that was read for one project.
#[derive(Clone, Debug, Default)]
pub struct Materials {
    /// Files to write into containers before they start, by service; only of those that have some.
    pub uploads: BTreeMap<String, Vec<Upload>>,
    /// What images are built with.
    pub builds: BuildSurroundings,
    /// What opens registries.
    pub client: ClientConfig,
    /// The variables that the project was loaded with.
    pub environment: BTreeMap<String, String>,
    /// The rest; peers are filled in when there are containers.
    pub surroundings: Surroundings,
}

impl Materials {
    /// Reads what a project names, with paths as we see them, in this environment, with what the
    /// client of the host knows. `read` reads a file by its path.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or a variable behind a secret is not set: all of them, at once.
    pub fn gather(
        project: &Project,
        (variables, client): (&BTreeMap<String, String>, ClientConfig),
        engine_host: &str,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Self> {
        let builds = BuildSurroundings::of(project, variables);
        let mut materials = Self { builds, ..Self::default() };
        let mut problems = Vec::new();
        for (name, service) in &project.services {
            match docker::uploads(project, service, read) {
                Ok(uploads) if uploads.is_empty() => {}
                Ok(uploads) => drop(materials.uploads.insert(name.clone(), uploads)),
                Err(error) => problems.push(format!("{error:#}")),
            }
            for path in docker::profiles(service) {
                let absolute = project.working_dir.join(path).display().to_string();
                let text = read(&absolute)
                    .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                    .with_context(|| format!("service `{name}`: read profile `{path}`"));
                match text {
                    Ok(text) => {
                        materials.surroundings.profiles.insert(path.to_owned(), text);
                    }
                    Err(error) => problems.push(format!("{error:#}")),
                }
            }
        }
        if !problems.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        materials.surroundings.proxies = client.proxy_variables(engine_host);
        materials.client = client;
        Ok(materials)
    }

    /// A digest of what is written into the containers of each service.
    pub fn contents(&self) -> BTreeMap<String, String> {
        let digests = self.uploads.iter();
        digests.map(|(name, uploads)| (name.clone(), docker::digest(uploads))).collect()
    }
}
