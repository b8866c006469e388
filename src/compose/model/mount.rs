//! Mounts of a service and the named volumes of a project.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One entry of a service's `volumes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Kind of mount, with the options only that kind has.
    pub kind: MountKind,
    /// `source`: host path for a bind (absolute, as we see it), key for a volume; `None` is anonymous.
    pub source: Option<String>,
    /// `target`: cleaned absolute path in the container.
    pub target: String,
    /// `read_only`.
    pub read_only: bool,
    /// `consistency`.
    pub consistency: Option<String>,
    /// The block of options that belongs to its kind was written, maybe empty; the configuration hash
    /// tells the difference. A short form counts as written.
    pub options_given: bool,
}

/// Kind of a mount, with the options only that kind has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// `selinux`: `z` or `Z`.
        selinux: Option<String>,
        /// `propagation`.
        propagation: Option<String>,
        /// `create_host_path`: `None` where no `bind` block said anything.
        create_host_path: Option<bool>,
        /// `recursive`.
        recursive: Option<String>,
    },
    /// A named or anonymous volume.
    Volume {
        /// `selinux`: `z` or `Z`, from a short form.
        selinux: Option<String>,
        /// `propagation`, from a short form.
        propagation: Option<String>,
        /// `nocopy`.
        nocopy: bool,
        /// `subpath`.
        subpath: Option<String>,
        /// `labels`.
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        /// `size`, bytes.
        size: Option<i64>,
        /// `mode`.
        mode: Option<u32>,
    },
    /// The files of an image.
    Image {
        /// `subpath`.
        subpath: Option<String>,
    },
    /// A named pipe of Windows.
    NamedPipe,
    /// A cluster volume of Swarm.
    Cluster,
}

/// A top-level named volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    /// `name`: as the Engine knows it.
    pub name: String,
    /// `driver`.
    pub driver: Option<String>,
    /// `driver_opts`.
    pub driver_opts: BTreeMap<String, String>,
    /// `external`: made by somebody else, must exist.
    pub external: bool,
    /// `labels`.
    pub labels: BTreeMap<String, String>,
}
