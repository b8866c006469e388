//! When an image is pulled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `pull_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Nothing was written: pull when absent, or build where there is a `build`.
    #[default]
    Unset,
    /// Pull when absent.
    Missing,
    /// `if_not_present`, which a normalised file calls `missing`.
    IfNotPresent,
    /// Pull each time.
    Always,
    /// Never pull.
    Never,
    /// Build each time.
    Build,
    /// `refresh`: `docker compose` 2.40 treats it as `missing`.
    Refresh,
    /// Pull when the last pull is a day old.
    Daily,
    /// Pull when the last pull is a week old.
    Weekly,
    /// `every_<duration>`: pull when the last pull is that old.
    Every {
        /// The duration as written, e.g. `12h`.
        written: String,
        /// The duration.
        interval: Duration,
    },
}

impl PullPolicy {
    /// The age at which an image is pulled again; `None` where age does not matter.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Daily => Some(Duration::from_hours(24)),
            Self::Weekly => Some(Duration::from_hours(7 * 24)),
            Self::Every { interval, .. } => Some(*interval),
            Self::Unset
            | Self::Missing
            | Self::IfNotPresent
            | Self::Always
            | Self::Never
            | Self::Build
            | Self::Refresh => None,
        }
    }

    /// The word in Compose files; `None` where nothing was written.
    pub fn text(&self) -> Option<String> {
        let word = match self {
            Self::Unset => return None,
            Self::Missing => "missing",
            Self::IfNotPresent => "if_not_present",
            Self::Always => "always",
            Self::Never => "never",
            Self::Build => "build",
            Self::Refresh => "refresh",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Every { written, .. } => return Some(format!("every_{written}")),
        };
        Some(word.to_owned())
    }
}
