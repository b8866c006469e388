//! What is to be done to keep a host tidy: pure decisions over files and what the Engine has.
//!
//! The same plan is printed by a dry run and carried out by a run.

pub mod certificate;
pub mod clean;
pub mod prune;
pub mod rotate;

use std::ffi::OsString;

use chrono::{DateTime, Utc};

/// One name in a directory, and what it stands for; a link is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// When its content was changed.
    pub modified: DateTime<Utc>,
    /// When it was read.
    pub accessed: DateTime<Utc>,
    /// When content or metadata were changed.
    pub changed: DateTime<Utc>,
    /// How many names the file has (hard links).
    pub names: u64,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// A directory of another file system, mounted here.
    Mount,
    /// A symbolic link.
    Link,
    /// A socket, a pipe, a device.
    Other,
}

/// A number of bytes for people: `12.3 MiB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // One decimal place, without the rounding of a float.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1024, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (20 << 20, "20.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }
}
