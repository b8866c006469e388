//! The Engine's classic builder: an archive is sent, and a stream of JSON comes back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use bollard::models::{BuildInfo, ImageId};
use bollard::query_parameters::BuildImageOptions;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::archive::Context;
use super::{ImageBuild, SILENCE, arguments, is_address};
use crate::compose::model::Ulimit;
use crate::docker::auth::{self, REGISTRY_CONFIG};
use crate::docker::raw::{self, Change};
use crate::docker::{Engine, Progress};

/// Says who built an image, as docker compose labels its own.
const BUILDER_LABEL: &str = "com.docker.compose.image.builder";

impl Engine {
    /// Builds with the classic builder, and returns the image's id.
    pub(super) async fn build_classic(
        &self,
        wanted: &ImageBuild<'_>,
        sink: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<String> {
        let build = wanted.build;
        let mut pairs = pairs(wanted);
        let body = if is_address(&build.context) {
            if build.dockerfile_inline.is_some() {
                bail!("`dockerfile_inline` needs a context that is a directory");
            }
            // The Engine fetches it itself.
            pairs.push(("remote", build.context.clone()));
            pairs.extend(build.dockerfile.clone().map(|it| ("dockerfile", it)));
            bollard::body_full(Vec::new().into())
        } else {
            let build = build.clone();
            let opened = tokio::task::spawn_blocking(move || Context::open(&build)).await;
            let context = opened.context("read the context")??;
            pairs.push(("dockerfile", context.dockerfile.clone()));
            bollard::body_try_stream(context.stream().map(|chunk| chunk.map(Into::into)))
        };
        let change = Change {
            query: Some(raw::query(&pairs)),
            header: Some((REGISTRY_CONFIG, auth::for_all(wanted.credentials))),
            ..Change::default()
        };
        let docker = raw::changed(self.docker()?, change).with_timeout(SILENCE);
        let mut stream =
            Box::pin(docker.build_image(BuildImageOptions::default(), None, Some(body)));
        let mut seen = Seen::default();
        loop {
            let Ok(next) = tokio::time::timeout(SILENCE, stream.next()).await else {
                bail!("{}: silent for {} min", seen.place(), SILENCE.as_secs() / 60);
            };
            let Some(info) = next else { break };
            let info = info.with_context(|| seen.place())?;
            if let Some(progress) = seen.take(info) {
                sink(progress);
            }
        }
        seen.id.clone().with_context(|| format!("{}: the Engine named no image", seen.place()))
    }
}

/// What the stream of a build has said.
#[derive(Debug, Default)]
struct Seen {
    /// The step it is at, e.g. `Step 3/5 : RUN make`.
    step: Option<String>,
    id: Option<String>,
}

impl Seen {
    fn place(&self) -> String {
        self.step.clone().unwrap_or_else(|| "send the context".to_owned())
    }

    fn take(&mut self, info: BuildInfo) -> Option<Progress> {
        if let Some(ImageId { id: Some(id) }) = info.aux {
            self.id = Some(id);
        }
        if let Some(text) = info.stream {
            if text.starts_with("Step ") {
                self.step = Some(text.trim_end().to_owned());
            }
            return Some(Progress::Output(text));
        }
        let detail = info.progress_detail.unwrap_or_default();
        Some(Progress::Layer {
            id: info.id.unwrap_or_default(),
            status: info.status?,
            current: detail.current,
            total: detail.total,
        })
    }
}

/// The query: the builder's options.
fn pairs(wanted: &ImageBuild<'_>) -> Vec<(&'static str, String)> {
    let build = wanted.build;
    let mut labels = build.labels.clone();
    labels.insert(BUILDER_LABEL.to_owned(), "classic".to_owned());
    let arguments = arguments(wanted);
    let flag = |is_set: bool| is_set.then(|| "1".to_owned());
    let json = |is_said: bool, value: Value| is_said.then(|| value.to_string());
    let platform = wanted.platform.or(build.platforms.first().map(String::as_str));
    let single = [
        ("version", flag(true)),
        ("rm", flag(true)),
        ("nocache", flag(build.no_cache)),
        ("pull", flag(build.pull)),
        ("labels", json(true, json!(labels))),
        ("buildargs", json(!arguments.is_empty(), json!(arguments))),
        ("cachefrom", json(!build.cache_from.is_empty(), json!(build.cache_from))),
        ("ulimits", json(!build.ulimits.is_empty(), ulimits(&build.ulimits))),
        ("networkmode", build.network.clone()),
        ("shmsize", build.shm_size.map(|it| it.to_string())),
        ("isolation", build.isolation.clone()),
        ("platform", platform.map(str::to_owned)),
        ("target", build.target.clone()),
        ("memory", wanted.memory.map(|it| it.to_string())),
    ];
    let single = single.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let hosts = build.extra_hosts.iter().flat_map(|(host, addresses)| {
        addresses.iter().map(move |address| ("extrahosts", format!("{host}:{address}")))
    });
    let names = build.tags.iter().map(String::as_str).chain([wanted.image]);
    let names = names.map(|name| ("t", name.to_owned()));
    single.chain(hosts).chain(names).collect()
}

fn ulimits(limits: &BTreeMap<String, Ulimit>) -> Value {
    let entry = |(name, limit): (&String, &Ulimit)| json!({"Name": name, "Soft": limit.soft, "Hard": limit.hard});
    limits.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Build;
    use crate::docker::BuildSurroundings;

    #[test]
    fn every_key_of_a_build_is_an_option() {
        let text = |value: &str| Some(value.to_owned());
        let args = [("A", text("1")), ("B", text("2")), ("N", None)];
        let build = Build {
            args: args.map(|(name, value)| (name.to_owned(), value)).into(),
            labels: [("l".to_owned(), "m".to_owned())].into(),
            cache_from: vec!["c:1".to_owned()],
            extra_hosts: [("h".to_owned(), vec!["1.2.3.4".to_owned(), "::1".to_owned()])].into(),
            network: text("none"),
            no_cache: true,
            pull: true,
            shm_size: Some(64),
            tags: vec!["t:1".to_owned()],
            target: text("stage"),
            ulimits: [("nofile".to_owned(), Ulimit { single: false, soft: 1, hard: 2 })].into(),
            platforms: vec!["linux/arm64".to_owned()],
            ..Build::default()
        };
        let wanted = ImageBuild {
            service: "web",
            build: &build,
            image: "p-web",
            platform: None,
            surroundings: &BuildSurroundings::default(),
            arguments: &[("A".to_owned(), "over".to_owned())].into(),
            credentials: &BTreeMap::new(),
            memory: Some(1 << 20),
        };
        let builder = r#""com.docker.compose.image.builder":"classic""#;
        let labels = format!("{{{builder},\"l\":\"m\"}}");
        let expected = [
            ("version", "1"),
            ("rm", "1"),
            ("nocache", "1"),
            ("pull", "1"),
            ("labels", &labels),
            ("buildargs", r#"{"A":"over","B":"2"}"#),
            ("cachefrom", r#"["c:1"]"#),
            ("ulimits", r#"[{"Name":"nofile","Soft":1,"Hard":2}]"#),
            ("networkmode", "none"),
            ("shmsize", "64"),
            ("platform", "linux/arm64"),
            ("target", "stage"),
            ("memory", "1048576"),
            ("extrahosts", "h:1.2.3.4"),
            ("extrahosts", "h:::1"),
            ("t", "t:1"),
            ("t", "p-web"),
        ];
        let found = pairs(&wanted);
        let found: Vec<_> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_step_and_the_image_are_read_from_the_stream() {
        let mut seen = Seen::default();
        let say = |text: &str| BuildInfo { stream: Some(text.to_owned()), ..BuildInfo::default() };
        seen.take(say("Step 1/2 : FROM a\n"));
        seen.take(say("Step 2/2 : RUN b\n"));
        seen.take(say(" ---> Running in 1\n"));
        let aux = Some(ImageId { id: Some("sha256:1".to_owned()) });
        assert!(seen.take(BuildInfo { aux, ..BuildInfo::default() }).is_none());
        assert_eq!(seen.place(), "Step 2/2 : RUN b");
        assert_eq!(seen.id.as_deref(), Some("sha256:1"));
    }
}
