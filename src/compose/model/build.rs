//! How the image of a service is built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Ulimit;
use super::files::FileReference;

/// `build`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// `context`: an absolute path, or an address as written.
    pub context: String,
    /// `dockerfile`: `Dockerfile` where nothing was written, unset beside `dockerfile_inline`.
    pub dockerfile: Option<String>,
    /// `dockerfile_inline`.
    pub dockerfile_inline: Option<String>,
    /// `entitlements`.
    pub entitlements: Vec<String>,
    /// `args`: `None` where neither the file nor the environment has a value.
    pub args: BTreeMap<String, Option<String>>,
    /// `provenance`.
    pub provenance: Option<String>,
    /// `sbom`.
    pub sbom: Option<String>,
    /// `ssh`.
    pub ssh: Vec<SshKey>,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
    /// `cache_from`.
    pub cache_from: Vec<String>,
    /// `cache_to`.
    pub cache_to: Vec<String>,
    /// `no_cache`.
    pub no_cache: bool,
    /// `additional_contexts`: absolute paths, addresses, or `service:NAME`.
    pub additional_contexts: BTreeMap<String, String>,
    /// `pull`.
    pub pull: bool,
    /// `extra_hosts`: host to addresses.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// `isolation`.
    pub isolation: Option<String>,
    /// `network`.
    pub network: Option<String>,
    /// `target`: a stage of the Dockerfile.
    pub target: Option<String>,
    /// `secrets`.
    pub secrets: Vec<FileReference>,
    /// `shm_size`, bytes.
    pub shm_size: Option<i64>,
    /// `tags`.
    pub tags: Vec<String>,
    /// `ulimits`, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `platforms`.
    pub platforms: Vec<String>,
    /// `privileged`.
    pub privileged: bool,
}

/// An entry of `build.ssh`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Its id, e.g. `default`.
    pub id: String,
    /// Path of a socket or key; `None` is the agent of the environment.
    pub path: Option<String>,
}
