//! Compose: text in, a typed [`model::Project`] out.
//!
//! Untyped tree with spans (`yaml`) → interpolate → merge → typed model → normalised. Nothing here opens
//! a file: the loader asks its [`Files`] for text.

pub mod canonical;
pub mod check;
pub mod decode;
pub mod dotenv;
pub mod emit;
pub mod hash;
pub mod interpolate;
pub mod load;
pub mod merge;
pub mod model;
mod resolve;
pub mod scalar;
pub mod shortforms;
pub mod units;
pub mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where the loader gets text from: a disk, a git revision, a table in a test.
pub trait Files {
    /// The text of the file at this absolute path; [`io::ErrorKind::NotFound`] where there is none.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Project directory, absolute.
    pub directory: PathBuf,
    /// `-f` files, absolute or relative to `directory`; empty means found by name.
    pub files: Vec<PathBuf>,
    /// `--env-file` files; empty means `.env` of the directory, if it exists.
    pub env_files: Vec<PathBuf>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// `-p`: wins over every other rule for the name.
    pub project_name: Option<String>,
    /// Variables for interpolation; win over `env_files`.
    pub variables: BTreeMap<String, String>,
}
