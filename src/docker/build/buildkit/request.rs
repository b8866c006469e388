//! A build as `BuildKit` is asked for it.

use std::collections::BTreeMap;

use anyhow::Result;

use super::messages::{CacheEntry, CacheOptions, SolveRequest};
use super::named;
use super::offers::Offers;
use crate::docker::build::{ImageBuild, arguments, is_address};
use crate::plan::labels;

/// The reader of Dockerfiles that is part of the Engine.
const FRONTEND: &str = "dockerfile.v0";
/// What puts the image among those of the Engine.
const EXPORTER: &str = "moby";
/// What a reader of Dockerfiles has to know where there are named contexts; one that is named in the
/// Dockerfile may know it where the Engine's does not.
const CAPABILITIES: &str = "moby.buildkit.frontend.contexts+forward";
/// The argument that asks for the cache inside the image.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// The request, of this session, under this reference.
///
/// # Errors
///
/// When the build names a service that is not there.
pub(super) fn request(
    wanted: &ImageBuild<'_>,
    offers: &Offers,
    session: &str,
    reference: &str,
) -> Result<SolveRequest> {
    let names: Vec<_> =
        wanted.build.tags.iter().map(String::as_str).chain([wanted.image]).collect();
    Ok(SolveRequest {
        reference: reference.to_owned(),
        exporter: EXPORTER.to_owned(),
        exporter_attributes: [("name".to_owned(), names.join(","))].into(),
        session: session.to_owned(),
        frontend: FRONTEND.to_owned(),
        attributes: attributes(wanted, offers)?,
        cache: Some(cache(wanted)),
        entitlements: entitlements(wanted),
    })
}

fn attributes(wanted: &ImageBuild<'_>, offers: &Offers) -> Result<BTreeMap<String, String>> {
    let build = wanted.build;
    let is_remote = is_address(&build.context);
    let some = |is_said: bool, value: &str| is_said.then(|| value.to_owned());
    let list = |values: Vec<String>| Some(values.join(",")).filter(|it| !it.is_empty());
    let hosts = build.extra_hosts.iter().flat_map(|(host, addresses)| {
        addresses.iter().map(move |address| format!("{host}={address}"))
    });
    let limits = build.ulimits.iter();
    let limits = limits.map(|(name, limit)| format!("{name}={}:{}", limit.soft, limit.hard));
    let network = build.network.as_deref().filter(|it| !matches!(*it, "" | "default"));
    let platform = wanted.platform.or(build.platforms.first().map(String::as_str));
    let single = [
        // A build with a context of ours asks the session for it.
        ("context", some(is_remote, &build.context)),
        ("filename", offers.dockerfile.clone().or_else(|| build.dockerfile.clone())),
        (
            "dockerfilekey",
            some(is_remote && offers.dockerfile.is_some(), super::DOCKERFILE_DIRECTORY),
        ),
        ("target", build.target.clone()),
        ("no-cache", some(build.no_cache, "")),
        ("image-resolve-mode", Some(if build.pull { "pull" } else { "local" }.to_owned())),
        ("platform", platform.map(str::to_owned)),
        ("force-network-mode", network.map(str::to_owned)),
        ("add-hosts", list(hosts.collect())),
        ("shm-size", build.shm_size.map(|it| it.to_string())),
        ("ulimit", list(limits.collect())),
        ("frontend.caps", some(!build.additional_contexts.is_empty(), CAPABILITIES)),
    ];
    let single = single.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let arguments = arguments(wanted).into_iter();
    let arguments = arguments.map(|(name, value)| (format!("build-arg:{name}"), value));
    let written = build.labels.iter();
    let written = written.map(|(name, value)| (format!("label:{name}"), value.clone()));
    let contexts = build.additional_contexts.iter();
    let contexts = contexts.map(|(name, value)| named::attribute(name, value, wanted.surroundings));
    let contexts = contexts.collect::<Result<Vec<_>>>()?;
    // Those of docker compose, by which an image of a project is found; they win over written ones.
    let own = [
        (labels::PROJECT, wanted.surroundings.project.as_str()),
        (labels::SERVICE, wanted.service),
        (labels::VERSION, env!("CARGO_PKG_VERSION")),
    ];
    let own = own.map(|(name, value)| (format!("label:{name}"), value.to_owned()));
    Ok(single.chain(arguments).chain(written).chain(contexts).chain(own).collect())
}

fn cache(wanted: &ImageBuild<'_>) -> CacheOptions {
    let entries = |texts: &[String]| texts.iter().map(|text| cache_entry(text)).collect();
    let mut exports: Vec<_> = entries(&wanted.build.cache_to);
    let inline = arguments(wanted).get(INLINE_CACHE).map(String::as_str) == Some("1");
    if inline && !exports.iter().any(|it| it.kind == "inline") {
        exports.push(cache_entry("type=inline"));
    }
    CacheOptions { exports, imports: entries(&wanted.build.cache_from) }
}

/// `type=registry,ref=r,mode=max`, or the name of an image.
fn cache_entry(text: &str) -> CacheEntry {
    if !text.contains('=') {
        let attributes = [("ref".to_owned(), text.to_owned())].into();
        return CacheEntry { kind: "registry".to_owned(), attributes };
    }
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let mut attributes: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).collect();
    let kind = attributes.remove("type").unwrap_or_else(|| "registry".to_owned());
    CacheEntry { kind, attributes }
}

/// What the Engine's administrator may have allowed to builds.
fn entitlements(wanted: &ImageBuild<'_>) -> Vec<String> {
    let build = wanted.build;
    let mut entitlements = build.entitlements.clone();
    let implied = [
        ("security.insecure", build.privileged),
        ("network.host", build.network.as_deref() == Some("host")),
    ];
    for (name, is_implied) in implied {
        if is_implied && !entitlements.iter().any(|it| it == name) {
            entitlements.push(name.to_owned());
        }
    }
    entitlements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Build, Ulimit};
    use crate::docker::BuildSurroundings;

    #[test]
    fn every_key_of_a_build_is_an_attribute() {
        let text = |value: &str| Some(value.to_owned());
        let args = [("A", text("1")), ("B", text("2")), ("N", None)];
        let build = Build {
            context: "/srv".to_owned(),
            args: args.map(|(name, value)| (name.to_owned(), value)).into(),
            labels: [("l".to_owned(), "m".to_owned())].into(),
            cache_from: vec!["c:1".to_owned(), "type=local,src=/s".to_owned()],
            cache_to: vec!["type=registry,ref=r,mode=max".to_owned()],
            additional_contexts: [("n".to_owned(), "/n".to_owned())].into(),
            extra_hosts: [("h".to_owned(), vec!["1.2.3.4".to_owned(), "::1".to_owned()])].into(),
            network: text("host"),
            no_cache: true,
            privileged: true,
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
            surroundings: &BuildSurroundings::default(),
            image: "p-web",
            platform: None,
            arguments: &[("A".to_owned(), "over".to_owned())].into(),
            credentials: &BTreeMap::new(),
            memory: None,
        };
        let offers = Offers { dockerfile: text("Dockerfile"), ..Offers::default() };
        let found = request(&wanted, &offers, "s", "r").unwrap();
        let expected = [
            ("add-hosts", "h=1.2.3.4,h=::1"),
            ("build-arg:A", "over"),
            ("build-arg:B", "2"),
            ("context:n", "local:named-n"),
            ("filename", "Dockerfile"),
            ("force-network-mode", "host"),
            ("frontend.caps", CAPABILITIES),
            ("image-resolve-mode", "pull"),
            ("label:com.docker.compose.project", ""),
            ("label:com.docker.compose.service", "web"),
            ("label:com.docker.compose.version", env!("CARGO_PKG_VERSION")),
            ("label:l", "m"),
            ("no-cache", ""),
            ("platform", "linux/arm64"),
            ("shm-size", "64"),
            ("target", "stage"),
            ("ulimit", "nofile=1:2"),
        ];
        let attributes: Vec<_> =
            found.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(attributes, expected);
        assert_eq!(found.exporter_attributes["name"], "t:1,p-web");
        assert_eq!(found.entitlements, ["security.insecure", "network.host"]);
        let cache = found.cache.unwrap();
        let shown = |it: &CacheEntry| format!("{} {:?}", it.kind, it.attributes);
        assert_eq!(
            cache.imports.iter().chain(&cache.exports).map(shown).collect::<Vec<_>>(),
            [
                r#"registry {"ref": "c:1"}"#,
                r#"local {"src": "/s"}"#,
                r#"registry {"mode": "max", "ref": "r"}"#
            ]
        );
    }

    #[test]
    fn a_remote_context_is_fetched_by_the_engine() {
        let build = Build {
            context: "https://h/r.git".to_owned(),
            dockerfile: Some("sub/df".to_owned()),
            ..Build::default()
        };
        let wanted = ImageBuild {
            service: "web",
            build: &build,
            surroundings: &BuildSurroundings::default(),
            image: "p-web",
            platform: Some("linux/amd64"),
            arguments: &[(INLINE_CACHE.to_owned(), "1".to_owned())].into(),
            credentials: &BTreeMap::new(),
            memory: None,
        };
        let inline = Offers { dockerfile: Some("Dockerfile".to_owned()), ..Offers::default() };
        for (offers, filename, key) in
            [(Offers::default(), "sub/df", None), (inline, "Dockerfile", Some("dockerfile"))]
        {
            let found = request(&wanted, &offers, "s", "r").unwrap();
            assert_eq!(found.attributes["context"], "https://h/r.git");
            assert_eq!(found.attributes["filename"], filename);
            assert_eq!(found.attributes.get("dockerfilekey").map(String::as_str), key);
            assert_eq!(found.cache.unwrap().exports[0].kind, "inline");
        }
    }
}
