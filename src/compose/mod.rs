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
pub mod render;
pub mod scalar;
pub mod shortforms;
pub mod units;
pub mod words;
pub mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use self::hash::Dialect;

/// Where the loader gets text from: a disk, a git revision, a table in a test. Two threads may ask at once.
pub trait Files: Sync {
    /// The bytes of the file at this absolute path; [`io::ErrorKind::NotFound`] where there is none.
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The text of that file, in UTF-8, or in UTF-16 with a byte order mark (YAML 1.2.2, 5.2), as
    /// PowerShell writes it; [`io::ErrorKind::InvalidData`] where it is neither.
    fn read(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read_bytes(path)?;
        let wrong = |message: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("`{}` {message}", path.display()))
        };
        let (pairs, unit): (_, fn([u8; 2]) -> u16) = match bytes.as_slice() {
            [0xff, 0xfe, pairs @ ..] => (pairs, u16::from_le_bytes),
            [0xfe, 0xff, pairs @ ..] => (pairs, u16::from_be_bytes),
            _ => {
                return String::from_utf8(bytes).map_err(|error| {
                    let offset = error.utf8_error().valid_up_to();
                    wrong(format!("is not UTF-8 text (byte {offset})"))
                });
            }
        };
        let (pairs, rest) = pairs.as_chunks();
        let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        text.ok_or_else(|| wrong("is not UTF-16 text, as its byte order mark says".to_owned()))
    }
}

/// What to load.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Request {
    /// Project directory, absolute.
    pub directory: PathBuf,
    /// Where no file is named, it is looked for in the parents of the directory, too, and the lists in
    /// variables are relative to `PWD`.
    pub upwards: bool,
    /// The project directory is that of the first file, where files are found by name or variable.
    pub follow_files: bool,
    /// `-f` files, absolute or relative to `directory`, `-` for `stdin`; empty means found by name.
    pub files: Vec<PathBuf>,
    /// Text of the file `-`.
    pub stdin: Option<String>,
    /// `--env-file` files; empty means `.env` of the directory, if it exists.
    pub env_files: Vec<PathBuf>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// `-p`: wins over every other rule for the name.
    pub project_name: Option<String>,
    /// Variables for interpolation; win over `env_files`.
    pub variables: BTreeMap<String, String>,
    /// Services named on the command line, which activates their profiles: only they and what they
    /// depend on stay enabled. Empty means all.
    pub services: Vec<String>,
    /// Services whose profiles are active, without leaving others out; unknown ones are passed over.
    pub enabled_services: Vec<String>,
    /// Of `services`, what they depend on is left out.
    pub without_dependencies: bool,
    /// Networks, volumes, secrets and configs stay, whether a service uses them or not.
    pub all_resources: bool,
    /// `--compatibility`: names with `_`; `COMPOSE_COMPATIBILITY` says the same.
    pub underscores: bool,
    /// What happens to a resource that an included file has, too.
    pub conflicts: Conflicts,
    /// Steps to leave out.
    pub skip: Skip,
}

/// What happens to a resource of a file that a file it includes has, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflicts {
    /// The including file is laid over the included one, as from docker compose 5.0 on.
    #[default]
    Merge,
    /// Both must say the same, as in docker compose up to 2.40.
    Refuse,
}

impl Conflicts {
    /// The rule of a release of docker compose.
    pub fn of(release: Dialect) -> Self {
        match release {
            Dialect::V5 => Self::Merge,
            Dialect::V2_40 => Self::Refuse,
        }
    }
}

/// Steps of loading to leave out, to see what a project was made of.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of `config`")]
pub struct Skip {
    /// Variables stay as written.
    pub interpolation: bool,
    /// No default network, names or implied dependencies.
    pub normalisation: bool,
    /// Paths stay relative.
    pub path_resolution: bool,
    /// References are not checked.
    pub consistency: bool,
    /// Two services may have one `container_name`, which matters only to who makes their containers.
    pub unique_names: bool,
    /// `env_file`s are not read.
    pub environment: bool,
}
