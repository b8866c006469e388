//! Commands at turns of a container's life, and what `docker compose watch` reacts to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An entry of `pre_start`, `post_start` or `pre_stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `command`.
    pub command: Option<Vec<String>>,
    /// `image`, of `pre_start` only: `None` is the service's.
    pub image: Option<String>,
    /// `user`.
    pub user: Option<String>,
    /// `privileged`.
    pub privileged: bool,
    /// `working_dir`.
    pub working_dir: Option<String>,
    /// `environment`; `None` is a bare `KEY`.
    pub environment: BTreeMap<String, Option<String>>,
    /// `per_replica`, of `pre_start` only: once a container instead of once a service.
    pub per_replica: bool,
}

/// `develop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Develop {
    /// `watch`.
    pub watch: Vec<Watch>,
}

/// An entry of `develop.watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// `path`, absolute.
    pub path: String,
    /// `action`: `rebuild`, `sync`, `restart`, `sync+restart` or `sync+exec`.
    pub action: String,
    /// `target`.
    pub target: Option<String>,
    /// `exec`.
    pub exec: Hook,
    /// `include`.
    pub include: Vec<String>,
    /// `ignore`.
    pub ignore: Vec<String>,
    /// `initial_sync`.
    pub initial_sync: bool,
}
