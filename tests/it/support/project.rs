//! A followed repository: a bare remote, a checkout of it, and a push from somewhere else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::output;
use super::{unique, write_files};

/// A bare remote with a checkout that follows `main`. The checkout's name is unique, so that the
/// Compose project named after it is too.
#[derive(Debug)]
pub(crate) struct TempProject {
    directory: TempDir,
    name: String,
}

impl TempProject {
    /// Makes a remote with one commit of `files`, and a clone of it.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap(), name: unique("rs") };
        let root = project.directory.path();
        git(root, &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"]);
        git(root, &["clone", "--quiet", "remote.git", "author"]);
        git(&project.author(), &["checkout", "--quiet", "-B", "main"]);
        project.push(files);
        git(root, &["clone", "--quiet", "remote.git", &project.name]);
        project
    }

    /// Name of the checkout's directory, hence of its Compose project.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The checkout that Roadstead follows.
    pub(crate) fn checkout(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    /// The bare remote.
    pub(crate) fn remote(&self) -> PathBuf {
        self.directory.path().join("remote.git")
    }

    /// The other working copy, from which [`Self::push`] pushes.
    pub(crate) fn author(&self) -> PathBuf {
        self.directory.path().join("author")
    }

    /// Commits these files and pushes them; returns the commit.
    pub(crate) fn push(&self, files: &[(&str, &str)]) -> String {
        let author = self.author();
        write_files(&author, files);
        git(&author, &["add", "--all"]);
        let names: Vec<_> = files.iter().map(|(path, _)| *path).collect();
        let subject = format!("Change {}", names.join(", "));
        git(&author, &["commit", "--quiet", "--allow-empty", "--message", &subject]);
        git(&author, &["push", "--quiet", "origin", "main"]);
        git(&author, &["rev-parse", "HEAD"])
    }

    /// Returns the commit that the checkout is at.
    pub(crate) fn checked_out(&self) -> String {
        git(&self.checkout(), &["rev-parse", "HEAD"])
    }
}

/// Runs git away from the developer's own configuration; returns its output, panics if it fails.
#[track_caller]
pub(crate) fn git<A: AsRef<OsStr>>(directory: &Path, arguments: &[A]) -> String {
    output(
        Command::new("git")
            .args(arguments)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.org")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.org"),
    )
    .ok()
}
