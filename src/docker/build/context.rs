//! The directories of a build: what is in them, and what their `.dockerignore` leaves.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::ignore::{Ignore, Matched};

/// The file that says what is left out.
pub(super) const IGNORE_FILE: &str = ".dockerignore";
/// The name of a Dockerfile where nothing was written.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// A directory, without what its `.dockerignore` leaves out.
#[derive(Debug)]
pub(super) struct Directory {
    /// Absolute, without links.
    pub(super) path: PathBuf,
    /// Its `.dockerignore`, if it has one.
    pub(super) ignore_text: Option<String>,
    ignore: Ignore,
}

/// Something in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the directory.
    pub(super) path: PathBuf,
    /// Absolute.
    pub(super) full: PathBuf,
    /// Of itself, not of what it leads to.
    pub(super) metadata: Metadata,
}

impl Directory {
    /// Looks at a directory. `ignore_file` stands in the place of its `.dockerignore`.
    ///
    /// # Errors
    ///
    /// When there is none, or its `.dockerignore` is malformed.
    pub(super) fn open(path: &str, ignore_file: Option<&Path>) -> Result<Self> {
        let path = fs::canonicalize(path)
            .ok()
            .filter(|it| it.is_dir())
            .with_context(|| format!("there is no directory `{path}` to build from"))?;
        let ignore_file = ignore_file.map_or_else(|| path.join(IGNORE_FILE), Path::to_path_buf);
        let ignore_text = match fs::read_to_string(&ignore_file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("read `{}`", ignore_file.display()));
            }
        };
        let ignore = Ignore::parse(ignore_text.as_deref().unwrap_or_default())?;
        Ok(Self { path, ignore_text, ignore })
    }

    /// Keeps this file whatever the patterns say.
    pub(super) fn keep(&mut self, path: &str) {
        self.ignore.keep(path);
    }

    /// Shows everything that is not left out, a directory before what is in it, otherwise by name. A
    /// directory that is left out itself may hold something that is not.
    ///
    /// # Errors
    ///
    /// When something cannot be read, or `visit` fails; with the path.
    pub(super) fn walk(&self, visit: &mut dyn FnMut(&Entry) -> io::Result<()>) -> io::Result<()> {
        self.walk_in(Path::new(""), None, visit)
    }

    fn walk_in(
        &self,
        relative: &Path,
        matched: Option<&Matched>,
        visit: &mut dyn FnMut(&Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        let directory = self.path.join(relative);
        let mut entries = fs::read_dir(&directory)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|error| named(&error, &directory))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = relative.join(entry.file_name());
            let text = path.to_string_lossy().into_owned();
            let (is_out, holds) = self.ignore.matches(&text, matched);
            let full = entry.path();
            let metadata = fs::symlink_metadata(&full).map_err(|error| named(&error, &full))?;
            let enters = metadata.is_dir() && (!is_out || self.ignore.may_take_back_in(&text));
            let entry = Entry { path, full, metadata };
            if !is_out {
                visit(&entry).map_err(|error| named(&error, &entry.full))?;
            }
            if enters {
                self.walk_in(&entry.path, Some(&holds), visit)?;
            }
        }
        Ok(())
    }
}

/// The Dockerfile itself, where a path leads to one.
///
/// # Errors
///
/// When it does not, with what to do.
pub(super) fn found(path: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(path).with_context(|| {
        format!("there is no `{}`: write it, or name another with `dockerfile`", path.display())
    })?;
    if !real.is_file() {
        bail!("`{}` is no file: name the Dockerfile itself", path.display());
    }
    Ok(real)
}

pub(super) fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
