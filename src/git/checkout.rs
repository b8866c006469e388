//! Local questions about one checkout: where it is, what it follows, what was edited.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use git2::{Oid, Repository, RepositoryOpenFlags, Status, StatusOptions};

use super::process::process;
use crate::source::{Commit, DirtyPaths, Distance, Origin, Source};

/// The directory at or above this one that holds `.git`; `None` where there is none.
pub fn toplevel(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|one| one.join(".git").exists()).map(Path::to_owned)
}

/// The commit that is checked out around a file, with a `+` where the file is not as it is there. `None`
/// where the file lies in no checkout, or git cannot tell.
pub fn revision_of(file: &Path) -> Option<String> {
    let directory = toplevel(file.parent()?)?;
    let path = file.strip_prefix(&directory).ok()?.to_owned();
    let source = Source { name: String::new(), directory, origin: Origin::InPlace };
    let repository = open(&source).ok()?;
    let head = head_commit(&repository).ok()??;
    let is_as_committed = repository.status_file(&path).is_ok_and(|it| it == Status::CURRENT);
    Some(format!("{head}{}", if is_as_committed { "" } else { "+" }))
}

/// What a checkout's HEAD is.
pub(super) enum Head {
    /// On a branch, which may have no commit yet.
    Branch { name: String, commit: Option<Oid> },
    /// On a commit.
    Detached(Oid),
}

/// The ref that a branch follows.
pub(super) struct Upstream {
    /// Name of the remote; `.` is the repository itself.
    pub(super) remote: String,
    /// Full name of the ref at the remote.
    pub(super) reference: String,
    /// Full name of the ref it is kept under here.
    pub(super) tracking: String,
}

/// The top of the work tree of a source.
pub(super) fn root(source: &Source) -> PathBuf {
    match source.origin {
        Origin::InPlace => toplevel(&source.directory).unwrap_or_else(|| source.directory.clone()),
        Origin::Managed { .. } => source.directory.clone(),
    }
}

/// Opens the checkout of a source, whoever owns it.
///
/// # Errors
///
/// Says why git cannot work there.
pub(super) fn open(source: &Source) -> Result<Repository> {
    let root = root(source);
    let about = fs::metadata(&root).with_context(|| format!("look at `{}`", root.display()))?;
    if !root.join(".git").exists() {
        bail!("there is no `.git` in `{}` or above it", source.directory.display());
    }
    // The directory was named by whoever runs us, so it is trusted as git's `safe.directory` would.
    if about.uid() != rustix::process::geteuid().as_raw() {
        process().trust(&root).with_context(|| format!("trust `{}`", root.display()))?;
    }
    let flags = RepositoryOpenFlags::NO_SEARCH;
    let none: [&Path; 0] = [];
    let opened = match Repository::open_ext(&root, flags, none) {
        // The root is ours, but its `.git` is not.
        Err(error) if error.code() == git2::ErrorCode::Owner => {
            process().trust(&root).with_context(|| format!("trust `{}`", root.display()))?;
            Repository::open_ext(&root, flags, none)
        }
        opened => opened,
    };
    let repository = opened.map_err(|error| anyhow!("{}", error.message()))?;
    if repository.workdir().is_none() {
        bail!("it is bare, there is no work tree");
    }
    Ok(repository)
}

/// Reads HEAD.
pub(super) fn head(repository: &Repository) -> Result<Head> {
    if repository.head_detached()? {
        return Ok(Head::Detached(repository.head()?.peel_to_commit()?.id()));
    }
    let head = repository.find_reference("HEAD")?;
    let target = head.symbolic_target()?.context("`HEAD` is no symbolic ref")?.to_owned();
    let name = target.strip_prefix("refs/heads/").unwrap_or(&target).to_owned();
    let commit = match repository.find_reference(&target) {
        Ok(branch) => Some(branch.peel_to_commit()?.id()),
        Err(error) if error.code() == git2::ErrorCode::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Head::Branch { name, commit })
}

/// The commit HEAD is at; `None` where it has none yet.
pub(super) fn head_commit(repository: &Repository) -> Result<Option<Oid>> {
    Ok(match head(repository)? {
        Head::Branch { commit, .. } => commit,
        Head::Detached(commit) => Some(commit),
    })
}

/// What a branch follows; `None` where it follows nothing.
pub(super) fn upstream(repository: &Repository, branch: &str) -> Result<Option<Upstream>> {
    let config = repository.config()?.snapshot()?;
    let setting = |name: &str| config.get_string(&format!("branch.{branch}.{name}")).ok();
    let (Some(remote), Some(reference)) = (setting("remote"), setting("merge")) else {
        return Ok(None);
    };
    let known = repository.branch_upstream_name(&format!("refs/heads/{branch}"));
    let tracking = if let Ok(name) = known {
        name.as_str()?.to_owned()
    } else {
        // No refspec covers it, as in a clone of a single branch: use the ordinary place.
        let short = reference.strip_prefix("refs/heads/").unwrap_or(&reference);
        format!("refs/remotes/{remote}/{short}")
    };
    Ok(Some(Upstream { remote, reference, tracking }))
}

/// Changed and untracked paths, without those that are ignored. Writes nothing.
pub(super) fn dirty(repository: &Repository) -> Result<DirtyPaths> {
    let mut options = StatusOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(false).exclude_submodules(true);
    options.include_ignored(false).update_index(false);
    let statuses = repository.statuses(Some(&mut options)).context("compare the work tree")?;
    let changed = statuses.iter().filter(|entry| entry.status() != Status::CURRENT);
    let mut dirty = DirtyPaths::default();
    for entry in changed {
        if dirty.first.len() < DirtyPaths::NAMED {
            dirty
                .first
                .push(String::from_utf8_lossy(entry.path_bytes()).escape_debug().to_string());
        }
        dirty.count += 1;
    }
    Ok(dirty)
}

/// Counts the commits between HEAD and the remote commit.
pub(super) fn distance(
    repository: &Repository,
    head: Option<Oid>,
    target: Oid,
) -> Result<Distance> {
    let Some(head) = head else { return Ok(Distance::Unknown) };
    if head == target {
        return Ok(Distance::Counted { ahead: 0, behind: 0, same: true });
    }
    let (ahead, behind) = repository.graph_ahead_behind(head, target)?;
    Ok(Distance::Counted { ahead, behind, same: false })
}

/// The full name of an object.
pub(super) fn commit(id: Oid) -> Commit {
    Commit(id.to_string())
}

/// The object with this full name.
pub(super) fn id(commit: &Commit) -> Result<Oid> {
    Oid::from_str(&commit.0).with_context(|| format!("`{}` is no commit", commit.0))
}

#[cfg(test)]
mod tests {
    use git2::Signature;

    use super::*;

    #[test]
    fn a_file_is_of_the_commit_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("stack/jobs")).unwrap();
        let repository = Repository::init(at("stack")).unwrap();
        for name in ["stack/jobs/a.yml", "stack/jobs/new.yml", "alone.yml"] {
            fs::write(at(name), "name: a\n").unwrap();
        }
        assert_eq!(revision_of(&at("stack/jobs/a.yml")), None, "there is no commit yet");
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("jobs/a.yml")).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author = Signature::now("a", "a@example.org").unwrap();
        let head = repository.commit(Some("HEAD"), &author, &author, "m", &tree, &[]).unwrap();
        let edited = Some(format!("{head}+"));
        for (name, expected) in [
            ("stack/jobs/a.yml", Some(head.to_string())),
            ("stack/jobs/new.yml", edited.clone()),
            ("stack/jobs/none.yml", edited.clone()),
            ("alone.yml", None),
        ] {
            assert_eq!(revision_of(&at(name)), expected, "{name}");
        }
        fs::write(at("stack/jobs/a.yml"), "name: b\n").unwrap();
        assert_eq!(revision_of(&at("stack/jobs/a.yml")), edited);
    }
}
