//! Which builder builds, and what it cannot do.

use anyhow::{Result, bail};

use super::buildkit::{self, Connection};
use super::{BuildSurroundings, SWITCH};
use crate::compose::model::{Build, Service};
use crate::docker::{ApiVersion, Engine, raw};

/// The first API version that has `BuildKit`'s own interface.
const FIRST: ApiVersion = ApiVersion(1, 39);
/// Header of a ping, and its value where the administrator keeps to the classic builder.
const BUILDER_VERSION: (&str, &str) = ("builder-version", "1");

/// Who builds.
pub(super) enum Builder {
    Classic(WhyClassic),
    /// With the way to it.
    BuildKit(Connection),
}

/// Why `BuildKit` does not build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhyClassic {
    SwitchedOff,
    NotOffered,
}

impl Engine {
    /// What of the builds of services this Engine cannot do: each a sentence with what to do. The
    /// environment may switch `BuildKit` off, as with docker's client.
    ///
    /// # Errors
    ///
    /// When the Engine cannot be reached, or the environment's word is none that docker knows.
    pub async fn unbuildable(
        &self,
        services: &[&Service],
        surroundings: &BuildSurroundings,
    ) -> Result<Vec<String>> {
        let builds = services.iter().filter_map(|it| Some((&it.name, it.build.as_ref()?)));
        let special: Vec<_> =
            builds.filter(|(_, build)| beyond_classic(build).next().is_some()).collect();
        // Most builds ask for nothing special, and then nobody is asked.
        if special.is_empty() {
            return Ok(Vec::new());
        }
        let builder = self.builder(surroundings).await?;
        Ok(special.into_iter().flat_map(|(name, build)| refused(name, build, &builder)).collect())
    }

    pub(super) async fn builder(&self, surroundings: &BuildSurroundings) -> Result<Builder> {
        if !is_wanted(surroundings.switch.as_deref())? {
            return Ok(Builder::Classic(WhyClassic::SwitchedOff));
        }
        let (header, classic) = BUILDER_VERSION;
        let is_old = self.api_version().await? < FIRST;
        if is_old || raw::ping(self.host(), header).await?.as_deref() == Some(classic) {
            return Ok(Builder::Classic(WhyClassic::NotOffered));
        }
        let control = buildkit::connect(self.host()).await?;
        Ok(control.map_or(Builder::Classic(WhyClassic::NotOffered), Builder::BuildKit))
    }
}

/// Go's `strconv.ParseBool`, which docker reads the variable with.
fn is_wanted(value: Option<&str>) -> Result<bool> {
    Ok(match value {
        None | Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(other) => bail!("`{SWITCH}={other}`: expected 0 or 1"),
    })
}

/// The keys that only `BuildKit` understands.
fn beyond_classic(build: &Build) -> impl Iterator<Item = &'static str> {
    let keys = [
        ("secrets", !build.secrets.is_empty()),
        ("ssh", !build.ssh.is_empty()),
        ("additional_contexts", !build.additional_contexts.is_empty()),
        ("cache_to", !build.cache_to.is_empty()),
        ("entitlements", !build.entitlements.is_empty()),
        ("privileged", build.privileged),
        ("platforms", build.platforms.len() > 1),
    ];
    keys.into_iter().filter(|(_, is_used)| *is_used).map(|(key, _)| key)
}

/// What of a build this builder cannot do.
pub(super) fn refused(service: &str, build: &Build, builder: &Builder) -> Vec<String> {
    let place = |key: &str| format!("service `{service}`: `build.{key}`");
    match builder {
        Builder::Classic(why) => {
            let why = match why {
                WhyClassic::SwitchedOff => "which `DOCKER_BUILDKIT` switches off: unset it",
                WhyClassic::NotOffered => {
                    "which this Engine does not offer: use a newer Engine, take the key out"
                }
            };
            let sentence = |key| {
                format!(
                    "{} needs BuildKit, {why}, or build the image elsewhere and name it with `image`",
                    place(key)
                )
            };
            beyond_classic(build).map(sentence).collect()
        }
        Builder::BuildKit(_) if build.platforms.len() > 1 => vec![format!(
            "{} names {} platforms, and the Engine keeps an image for one: name one, or build the \
             image elsewhere and name it with `image`",
            place("platforms"),
            build.platforms.len()
        )],
        Builder::BuildKit(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::SshKey;

    type Row = (fn(&mut Build), usize);

    #[test]
    fn what_needs_buildkit_is_refused() {
        let rows: [Row; 4] = [
            (|_| {}, 0),
            (|it| it.ssh = vec![SshKey::default()], 1),
            (|it| it.platforms = vec!["linux/amd64".to_owned()], 0),
            (
                |it| {
                    it.platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
                    it.privileged = true;
                },
                2,
            ),
        ];
        for (change, expected) in rows {
            let mut build = Build::default();
            change(&mut build);
            for (why, advice) in [
                (WhyClassic::SwitchedOff, "unset it"),
                (WhyClassic::NotOffered, "use a newer Engine"),
            ] {
                let found = refused("web", &build, &Builder::Classic(why));
                assert_eq!(found.len(), expected, "{build:?}");
                assert!(found.iter().all(|it| it.contains(advice)), "{found:?}");
            }
        }
    }

    #[test]
    fn the_variable_is_read_as_docker_reads_it() {
        for (value, expected) in [
            (None, Some(true)),
            (Some(""), Some(true)),
            (Some("1"), Some(true)),
            (Some("0"), Some(false)),
            (Some("False"), Some(false)),
            (Some("no"), None),
        ] {
            assert_eq!(is_wanted(value).ok(), expected, "{value:?}");
        }
    }
}
