//! `rotate`: log files that somebody else writes.

use std::time::Duration;

use super::{FilesBelow, Target};

/// Rotates log files that somebody else writes, as logrotate does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// Which files; new ones are covered by themselves.
    pub files: Vec<FilesBelow>,
    /// Of these, none of these.
    pub exclude: Vec<FilesBelow>,
    /// Rotated as soon as it has so many bytes; `None` is any size.
    pub size: Option<u64>,
    /// Rotated when the last rotation is so long ago, whatever its size.
    pub every: Option<Duration>,
    /// Never rotated with fewer bytes than this; an empty file is never rotated.
    pub min_size: u64,
    /// Rotated files kept of each, at least 1.
    pub keep: usize,
    /// Rotated files older than this go.
    pub max_age: Option<Duration>,
    /// How rotated files are packed.
    pub compress: Option<Compression>,
    /// How the writer is parted from what it wrote.
    pub method: RotateMethod,
    /// With `rename`: the new file; `None` leaves it to the writer.
    pub create: Option<Create>,
    /// With `rename`: who is told to open its file anew.
    pub signal: Option<SignalTo>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

/// How rotated files are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip, level 6.
    Gzip,
    /// Zstandard, level 3.
    Zstd,
}

impl Compression {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// The end of a packed file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// How the writer is parted from what it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RotateMethod {
    /// The file gets another name; the writer goes on in it until it opens the name anew. Loses nothing.
    #[default]
    Rename,
    /// The file is copied and then cut to nothing; what is written between the two is lost.
    CopyTruncate,
}

/// The file that takes the place of a renamed one; what is not said is as it was with the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// Its permissions.
    pub mode: Option<u32>,
    /// User and group, by their numbers.
    pub owner: Option<(u32, u32)>,
}

/// A signal to containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalTo {
    /// Which containers; all of them that run.
    pub target: Target,
    /// The signal by name, e.g. `SIGUSR1`.
    pub signal: String,
}
