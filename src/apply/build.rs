//! Building the images of services, with the credentials and proxies of Docker's own client.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tracing::{debug, info};

use super::Materials;
use crate::compose::model::{Project, Service};
use crate::docker::{Engine, ImageBuild, Progress};
use crate::image::Credentials;
use crate::plan::order;

/// Lines of a failed build that are told.
const TOLD_LINES: usize = 20;

/// What the builds of a project have in common.
pub struct Builder<'a> {
    engine: &'a Engine,
    project: &'a Project,
    /// Of the project: what secrets of a build may be taken from.
    environment: &'a BTreeMap<String, String>,
    /// From the client's configuration: those of the files win over them.
    proxies: BTreeMap<String, String>,
    credentials: BTreeMap<String, Credentials>,
    /// Arguments that win over those of the files.
    pub arguments: BTreeMap<String, String>,
    /// Builds every step anew.
    pub no_cache: bool,
    /// Looks for newer versions of the images to build on.
    pub pull: bool,
}

impl<'a> Builder<'a> {
    /// A builder that may pull what the client may pull.
    pub async fn new(engine: &'a Engine, project: &'a Project, materials: &'a Materials) -> Self {
        Self {
            engine,
            project,
            environment: &materials.environment,
            proxies: materials.client.proxy_variables(engine.host()),
            credentials: materials.client.all_credentials().await,
            arguments: BTreeMap::new(),
            no_cache: false,
            pull: false,
        }
    }

    /// What of these services cannot be built on this Engine: each a sentence with what to do.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached.
    pub async fn unbuildable(&self, services: &[&Service]) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        for service in services {
            refused.extend(self.engine.unbuildable(service, self.environment).await?);
        }
        Ok(refused)
    }

    /// Builds the image of a service that has a `build`; its context is read from where we are.
    ///
    /// # Errors
    ///
    /// When the context cannot be read, or a step fails, with the step.
    pub async fn build(
        &self,
        service: &Service,
        sink: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<()> {
        let build = service.build.clone();
        let mut build =
            build.with_context(|| format!("service `{}` has no `build`", service.name))?;
        build.no_cache |= self.no_cache;
        build.pull |= self.pull;
        for (name, value) in &self.proxies {
            build.args.entry(name.clone()).or_insert_with(|| Some(value.clone()));
        }
        let wanted = ImageBuild {
            service: &service.name,
            build: &build,
            project: self.project,
            image: &service.image,
            platform: service.platform.as_deref(),
            arguments: &self.arguments,
            environment: self.environment,
            credentials: &self.credentials,
        };
        self.engine.build(&wanted, sink).await.map(drop)
    }

    /// Builds an image; the log hears of its steps, and of the last lines where one fails.
    ///
    /// # Errors
    ///
    /// As [`Self::build`].
    pub async fn build_told(&self, service: &Service) -> Result<()> {
        let mut output = Output::default();
        let built = self.build(service, &mut |said| output.hear(said)).await;
        if built.is_err() {
            for line in output.last() {
                info!("  {line}");
            }
        }
        built
    }
}

/// What a build wrote: the log gets its headlines, and all of it at the level of details.
#[derive(Debug, Default)]
struct Output {
    open: String,
    lines: Vec<String>,
}

impl Output {
    fn hear(&mut self, said: Progress) {
        let Progress::Output(text) = said else { return };
        self.open.push_str(&text);
        while let Some((line, rest)) = self.open.split_once('\n') {
            let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
            self.open = rest;
            self.end(line);
        }
    }

    fn end(&mut self, line: String) {
        if line.is_empty() {
            return;
        }
        if line.starts_with("Step ") || (line.starts_with('#') && line.contains(" [")) {
            info!("{line}");
        } else {
            debug!("{line}");
        }
        if self.lines.len() == TOLD_LINES {
            self.lines.remove(0);
        }
        self.lines.push(line);
    }

    fn last(&self) -> impl Iterator<Item = &str> {
        let open = Some(self.open.trim_end()).filter(|it| !it.is_empty());
        self.lines.iter().map(String::as_str).chain(open)
    }
}

/// Services with a `build`, dependencies first: one may build on the image of another.
pub fn buildable(project: &Project, is_wanted: impl Fn(&Service) -> bool) -> Vec<&Service> {
    let ordered = order::dependencies_first(project).into_iter();
    let services = ordered.filter_map(|name| project.services.get(name));
    services.filter(|it| it.build.is_some() && is_wanted(it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_line_by_line_and_only_the_last() {
        let mut output = Output::default();
        for number in 0..30 {
            output.hear(Progress::Output(format!("line {number}\r\n\nha")));
            output.hear(Progress::Output("lf\n".to_owned()));
        }
        output.hear(Progress::Output("open".to_owned()));
        let last: Vec<_> = output.last().collect();
        assert_eq!(last.len(), TOLD_LINES + 1);
        assert_eq!(last[TOLD_LINES - 2..], ["line 29", "half", "open"]);
    }
}
