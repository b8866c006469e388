//! Building an image in the Engine: with `BuildKit` where it is offered, else with the classic builder.
//!
//! [`choice`] decides which. The classic builder needs nothing but the Engine itself; what only
//! `BuildKit` can do is refused before anything is sent ([`Engine::unbuildable`]).

mod archive;
mod buildkit;
mod choice;
mod classic;
mod context;
mod ignore;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::choice::Builder;
use super::{Engine, Progress};
use crate::compose::model::{Build, FileObject, Project, Service};
use crate::image::Credentials;

/// Longest silence of a build: a step that compiles says little.
const SILENCE: Duration = Duration::from_hours(1);
/// The variable with which docker's client chooses the builder.
const SWITCH: &str = "DOCKER_BUILDKIT";
/// The variable with the socket of the user's SSH agent.
const AGENT: &str = "SSH_AUTH_SOCK";
/// An image to build.
#[derive(Clone, Copy, Debug)]
pub struct ImageBuild<'a> {
    /// The service it is for, for messages.
    pub service: &'a str,
    /// What to build from, as we see it.
    pub build: &'a Build,
    /// What else the project and the environment have for it.
    pub surroundings: &'a BuildSurroundings,
    /// The name it gets.
    pub image: &'a str,
    /// The platform it is for, where the service names one.
    pub platform: Option<&'a str>,
    /// Arguments that win over those of the project.
    pub arguments: &'a BTreeMap<String, String>,
    /// What opens each registry that the build may pull from.
    pub credentials: &'a BTreeMap<String, Credentials>,
    /// Most memory of a step in bytes; `BuildKit` knows no such limit.
    pub memory: Option<i64>,
}

/// What builds of a project have besides their own keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildSurroundings {
    /// The project's secrets, with paths as we see them.
    secrets: BTreeMap<String, FileObject>,
    /// Its name.
    project: String,
    /// The images of its services.
    images: BTreeMap<String, String>,
    /// The environment's `DOCKER_BUILDKIT`.
    switch: Option<String>,
    /// The environment's `SSH_AUTH_SOCK`.
    agent: Option<String>,
}

impl BuildSurroundings {
    /// What this project, with paths as we see them, has in this environment.
    pub fn of(project: &Project, environment: &BTreeMap<String, String>) -> Self {
        let image = |it: &Service| (it.name.clone(), it.image.clone());
        Self {
            secrets: project.secrets.clone(),
            project: project.name.clone(),
            images: project.services.values().map(image).collect(),
            switch: environment.get(SWITCH).cloned(),
            agent: environment.get(AGENT).filter(|it| !it.is_empty()).cloned(),
        }
    }
}

impl Engine {
    /// Builds an image, tags it, and returns its id. Output goes to `sink` as it comes.
    ///
    /// # Errors
    ///
    /// When the context cannot be read, a step fails (with the step), or it needs `BuildKit` and there
    /// is none.
    pub async fn build(
        &self,
        wanted: &ImageBuild<'_>,
        sink: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<String> {
        let built = async {
            let builder = self.builder(wanted.surroundings).await?;
            let refused = choice::refused(wanted.service, wanted.build, &builder);
            if !refused.is_empty() {
                bail!(refused.join("\n"));
            }
            match builder {
                Builder::Classic(_) => self.build_classic(wanted, sink).await,
                // Two connections make a large future.
                Builder::BuildKit(control) => {
                    Box::pin(self.build_with_buildkit(control, wanted, sink)).await
                }
            }
        };
        built.await.with_context(|| {
            format!("build image `{}` of service `{}`", wanted.image, wanted.service)
        })
    }
}

/// A context that the Engine fetches: a git repository or an archive.
fn is_address(context: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|scheme| context.starts_with(scheme))
}

/// The arguments that have a value.
fn arguments(wanted: &ImageBuild<'_>) -> BTreeMap<String, String> {
    let mut arguments = wanted.arguments.clone();
    for (name, value) in &wanted.build.args {
        if let Some(value) = value {
            arguments.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_directories_or_addresses() {
        for (context, expected) in [
            ("/srv/app", false),
            ("https://example.org/app.git#main:sub", true),
            ("git@example.org:app.git", true),
            ("/https://", false),
        ] {
            assert_eq!(is_address(context), expected, "{context}");
        }
    }
}
