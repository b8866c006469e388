//! Building the images of services, with the credentials and proxies of Docker's own client.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use tracing::{debug, info};

use crate::compose::model::{Project, Service};
use crate::docker::{BuildSurroundings, Engine, ImageBuild, Progress};
use crate::image::Credentials;
use crate::plan::order;
use crate::registry::ClientConfig;

/// Lines of a failed build that are told.
const TOLD_LINES: usize = 20;

/// What the builds of a project have in common.
pub struct Builder<'a> {
    engine: &'a Engine,
    surroundings: &'a BuildSurroundings,
    /// From the client's configuration: those of the files win over them.
    proxies: BTreeMap<String, String>,
    credentials: BTreeMap<String, Credentials>,
    /// Arguments that win over those of the files.
    pub arguments: BTreeMap<String, String>,
    /// Builds every step anew.
    pub no_cache: bool,
    /// Looks for newer versions of the images to build on.
    pub pull: bool,
    /// Most memory of a step in bytes, where the classic builder builds.
    pub memory: Option<i64>,
    /// The platform of images whose service names none; else it is the Engine's.
    pub platform: Option<String>,
}

impl<'a> Builder<'a> {
    /// A builder that may pull what the client may pull.
    pub async fn new(
        engine: &'a Engine,
        client: &ClientConfig,
        surroundings: &'a BuildSurroundings,
    ) -> Self {
        Self {
            engine,
            surroundings,
            proxies: client.proxy_variables(engine.host()),
            credentials: client.all_credentials().await,
            arguments: BTreeMap::new(),
            no_cache: false,
            pull: false,
            memory: None,
            platform: None,
        }
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
            surroundings: self.surroundings,
            image: &service.image,
            platform: service.platform.as_deref().or(self.platform.as_deref()),
            arguments: &self.arguments,
            credentials: &self.credentials,
            memory: self.memory,
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
        let is_of_buildkit =
            line.starts_with('#') && line.contains(" [") && !line.contains("[internal]");
        if line.starts_with("Step ") || is_of_buildkit {
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

/// Services with a `build`, dependencies first: one may build on the image of another. What one names
/// as a context is wanted with it.
pub fn buildable(project: &Project, is_wanted: impl Fn(&Service) -> bool) -> Vec<&Service> {
    let ordered = order::images_first(project).into_iter();
    let services = ordered.filter_map(|name| project.services.get(name));
    let mut services: Vec<_> = services.filter(|it| it.build.is_some()).collect();
    let mut wanted = BTreeSet::new();
    // From the last on: what one is built on comes before it.
    for service in services.iter().rev() {
        if is_wanted(service) || wanted.contains(service.name.as_str()) {
            wanted.insert(service.name.as_str());
            wanted.extend(order::built_upon(project, &service.name));
        }
    }
    services.retain(|it| wanted.contains(it.name.as_str()));
    services
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
