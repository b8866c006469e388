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
    /// Blocks of options that belong to other kinds: printed and hashed, and not told to the Engine,
    /// except for `selinux` and `propagation` of a volume.
    pub other_blocks: Vec<MountKind>,
}

impl Mount {
    /// `selinux` and `propagation`: those of a bind, or those that a volume has of one.
    pub fn sharing(&self) -> (Option<&str>, Option<&str>) {
        let mut kinds = std::iter::once(&self.kind).chain(&self.other_blocks);
        let found = kinds.find_map(|kind| match kind {
            MountKind::Bind { selinux, propagation, .. } => Some((selinux, propagation)),
            MountKind::Volume { .. }
            | MountKind::Tmpfs { .. }
            | MountKind::Image { .. }
            | MountKind::NamedPipe
            | MountKind::Cluster => None,
        });
        found.map_or((None, None), |(selinux, propagation)| {
            (selinux.as_deref(), propagation.as_deref())
        })
    }
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

impl MountKind {
    /// A kind by its name, without options; what has no name here is memory.
    pub fn named(name: &str) -> Self {
        match name {
            "bind" => Self::Bind {
                selinux: None,
                propagation: None,
                create_host_path: None,
                recursive: None,
            },
            "volume" => Self::Volume { nocopy: false, subpath: None, labels: BTreeMap::new() },
            "image" => Self::Image { subpath: None },
            "npipe" => Self::NamedPipe,
            "cluster" => Self::Cluster,
            _ => Self::Tmpfs { size: None, mode: None },
        }
    }

    /// Its name: also that of its block of options, where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Volume { .. } => "volume",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Image { .. } => "image",
            Self::NamedPipe => "npipe",
            Self::Cluster => "cluster",
        }
    }
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
