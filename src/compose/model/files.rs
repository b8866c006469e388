//! Secrets and configs: files that a project hands to its containers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A top-level secret or config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileObject {
    /// `name`.
    pub name: String,
    /// Where its content comes from.
    pub source: FileSource,
    /// `external`: kept by somebody else.
    pub external: bool,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `driver`, of secrets only.
    pub driver: Option<String>,
    /// `driver_opts`, of secrets only.
    pub driver_opts: BTreeMap<String, String>,
    /// `template_driver`.
    pub template_driver: Option<String>,
}

/// Where the content of a secret or config comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileSource {
    /// An external store or a driver.
    #[default]
    Elsewhere,
    /// `file`: a path, absolute.
    File(String),
    /// `environment`.
    Environment {
        /// The variable.
        variable: String,
        /// Its value; `None` where it is not set.
        value: Option<Hidden>,
    },
    /// `content`, of configs only.
    Content(String),
}

/// A value that no `Debug` shows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A service's use of a secret or config: an entry of its `secrets`, `configs` or `build.secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReference {
    /// `source`: the key.
    pub source: String,
    /// `target`: always set for secrets of a service, `/SOURCE` is meant where a config has none.
    pub target: Option<String>,
    /// `uid`.
    pub uid: Option<String>,
    /// `gid`.
    pub gid: Option<String>,
    /// `mode`.
    pub mode: Option<u32>,
}

/// `credential_spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// `config`.
    pub config: Option<String>,
    /// `file`.
    pub file: Option<String>,
    /// `registry`.
    pub registry: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_secret() {
        let value = Some(Hidden::new("hunter2".to_owned()));
        let source = FileSource::Environment { variable: "PASSWORD".to_owned(), value };
        assert!(!format!("{source:?}").contains("hunter2"));
    }
}
