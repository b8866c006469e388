//! Moving a checkout to another commit: work tree first, then the branch, with a note before both.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use git2::build::CheckoutBuilder;
use git2::{ErrorCode, Oid, Repository};

use super::checkout::{self, Head};
use super::{journal, ownership};
use crate::source::{Commit, Origin, Source};

/// Moves a checkout forward. Doing it again, also after a crash, changes nothing more.
pub(super) fn fast_forward(source: &Source, to: &Commit) -> Result<()> {
    let Opened { repository, target, head } = open(source, to)?;
    if head == Some(target) {
        return Ok(());
    }
    if let (Origin::InPlace, Some(head)) = (&source.origin, head)
        && !repository.graph_descendant_of(target, head)?
    {
        bail!(
            "`{to}` is no descendant of HEAD (`{}`): this is no fast-forward",
            checkout::commit(head)
        );
    }
    go(&repository, source, target, "roadstead: fast-forward")
}

/// Moves a checkout back from `from` to `to`, if it is at `from` and nothing was edited.
pub(super) fn restore(source: &Source, from: &Commit, to: &Commit) -> Result<()> {
    let Opened { repository, target, head } = open(source, to)?;
    if head == Some(target) {
        return Ok(());
    }
    if head != Some(checkout::id(from)?) {
        bail!("HEAD is no longer `{from}`: someone moved it, so it stays where it is");
    }
    let dirty = checkout::dirty(&repository)?;
    if let Some(first) = dirty.first.first() {
        bail!(
            "the work tree was edited (`{first}`), so it stays at `{from}`: commit or stash, then try again"
        );
    }
    go(&repository, source, target, "roadstead: roll back")
}

/// A checkout in one piece, and where in it a move begins and ends.
struct Opened {
    repository: Repository,
    target: Oid,
    head: Option<Oid>,
}

fn open(source: &Source, to: &Commit) -> Result<Opened> {
    let repository = checkout::open(source)?;
    journal::recover(&repository).context("repair an update that was cut short")?;
    let target = known(&repository, to)?;
    let head = checkout::head_commit(&repository)?;
    Ok(Opened { repository, target, head })
}

fn known(repository: &Repository, commit: &Commit) -> Result<Oid> {
    let id = checkout::id(commit)?;
    repository
        .find_commit(id)
        .with_context(|| format!("find commit `{commit}`, which was not fetched"))?;
    Ok(id)
}

fn go(repository: &Repository, source: &Source, target: Oid, why: &str) -> Result<()> {
    let head = checkout::head(repository)?;
    let from = checkout::head_commit(repository)?;
    if matches!((&source.origin, &head), (Origin::InPlace, Head::Detached(_))) {
        bail!("HEAD is detached, so there is no branch to move");
    }
    let to_tree = repository.find_commit(target)?.tree()?;
    let from_tree = from.map(|from| repository.find_commit(from)?.tree()).transpose()?;
    let paths = journal::changed_paths(repository, from_tree.as_ref(), &to_tree)?;
    let moving = journal::begin(repository, from, target)?;
    if let Err(error) = check_out(repository, target) {
        let conflict = error.code() == ErrorCode::Conflict;
        // A conflict is found before the first write, so what is there now is not ours to undo. What
        // cannot be cleared is repaired by the next look; the first error is the one to tell.
        drop(moving);
        let _ = if conflict { journal::end(repository) } else { journal::recover(repository) };
        ownership::give_back(repository, &paths);
        return Err(error).context(if conflict {
            "local changes would be overwritten: commit or stash them"
        } else {
            "update the work tree"
        });
    }
    move_head(repository, &source.origin, &head, target, why)?;
    journal::end(repository)?;
    ownership::give_back(repository, &paths);
    Ok(())
}

fn check_out(repository: &Repository, target: Oid) -> Result<(), git2::Error> {
    let commit = repository.find_commit(target)?;
    let mut options = CheckoutBuilder::new();
    // An ignored file may be the only copy of someone's settings.
    options.safe().overwrite_ignored(false);
    repository.checkout_tree(commit.as_object(), Some(&mut options))
}

fn move_head(
    repository: &Repository,
    origin: &Origin,
    head: &Head,
    target: Oid,
    why: &str,
) -> Result<()> {
    match (origin, head) {
        (Origin::Managed { .. }, _) | (_, Head::Detached(_)) => {
            repository.set_head_detached(target).context("move HEAD")
        }
        (Origin::InPlace, Head::Branch { name, commit }) => {
            let full = format!("refs/heads/{name}");
            let moved = match commit {
                // Fails when a person moved the branch meanwhile.
                Some(current) => repository.reference_matching(&full, target, true, *current, why),
                None => repository.reference(&full, target, false, why),
            };
            moved.map(drop).with_context(|| format!("move branch `{name}`"))
        }
    }
}

/// What lies between two commits, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Commits between both; `None` when there was no commit before, or it is gone.
    pub commits: Option<usize>,
    /// First line of the newest commit's message.
    pub subject: String,
    /// Who wrote the newest commit.
    pub author: String,
    /// Changed files, the first [`Changes::NAMED`] of them; empty without a commit before.
    pub files: Vec<PathBuf>,
    /// How many files changed.
    pub file_count: usize,
}

impl Changes {
    /// How many files are named.
    pub const NAMED: usize = 1000;
}

/// Reads what lies between two commits.
pub(super) fn changes(source: &Source, from: Option<&Commit>, to: &Commit) -> Result<Changes> {
    let repository = checkout::open(source)?;
    let newest = repository.find_commit(known(&repository, to)?)?;
    let mut changes = Changes {
        subject: String::from_utf8_lossy(newest.summary_bytes().unwrap_or_default()).into_owned(),
        author: String::from_utf8_lossy(newest.author().name_bytes()).into_owned(),
        ..Changes::default()
    };
    let older = from.map(checkout::id).transpose()?.and_then(|id| repository.find_commit(id).ok());
    if let Some(older) = older {
        let (behind, _) = repository.graph_ahead_behind(newest.id(), older.id())?;
        changes.commits = Some(behind);
        let paths = journal::changed_paths(&repository, Some(&older.tree()?), &newest.tree()?)?;
        changes.file_count = paths.len();
        changes.files = paths.into_iter().take(Changes::NAMED).collect();
    }
    Ok(changes)
}
