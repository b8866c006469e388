//! Our own clones: made beside their place and renamed into it, so that none is ever half there.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use git2::Repository;
use git2::build::CheckoutBuilder;

use super::address::{redact, repository_name};
use super::look::{Followed, beside, find_and_fetch, unreachable};
use super::remote::Session;
use crate::settings::GitSettings;
use crate::source::{CheckoutFacts, DirectoryFact, RemoteFact, RemoteFault, Source};

/// Why a clone could not be made.
pub(super) enum CloneFault {
    /// The remote is to blame.
    Remote(RemoteFault),
    /// The remote has no such ref.
    RefMissing,
    /// The disk is to blame.
    Local(anyhow::Error),
}

impl CloneFault {
    /// Writes the fault down as a fact.
    pub(super) fn tell(self, facts: &mut CheckoutFacts) {
        match self {
            Self::Remote(fault) => facts.remote = RemoteFact::Failed(fault),
            Self::RefMissing => facts.remote = RemoteFact::RefMissing,
            Self::Local(error) => {
                facts.directory = DirectoryFact::NotARepository(format!("{error:#}"));
            }
        }
    }
}

/// What a managed clone follows: a branch or a tag of this name, or the default branch.
pub(super) fn followed(reference: Option<&str>) -> Followed {
    let Some(name) = reference else {
        return Followed { reference: "HEAD".to_owned(), candidates: Vec::new(), tracking: None };
    };
    let candidates = if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
    };
    Followed { reference: super::look::short(name).to_owned(), candidates, tracking: None }
}

/// Clones a source to its directory.
pub(super) fn clone(
    settings: &GitSettings,
    source: &Source,
    url: &str,
    reference: Option<&str>,
    cancelled: &AtomicBool,
) -> Result<(), CloneFault> {
    let session = Session::new(settings, repository_name(url), url, cancelled);
    let session = session.map_err(CloneFault::Remote)?;
    let partial = beside(&source.directory);
    let repository = empty(&partial, url).map_err(CloneFault::Local)?;
    let mut remote = repository
        .remote_anonymous(url)
        .map_err(|error| CloneFault::Remote(unreachable(&error)))?;
    let found = find_and_fetch(&repository, &session, &mut remote, &followed(reference));
    let result = match found {
        Ok(Some((found, _))) => {
            let placed = place(&repository, found.id, &partial, &source.directory);
            placed.map_err(CloneFault::Local)
        }
        Ok(None) => Err(CloneFault::RefMissing),
        Err(fault) => Err(CloneFault::Remote(fault)),
    };
    if result.is_err() {
        // The next try begins by removing it as well.
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

fn empty(partial: &Path, url: &str) -> Result<Repository> {
    if partial.exists() {
        fs::remove_dir_all(partial)
            .with_context(|| format!("remove the unfinished clone `{}`", partial.display()))?;
    }
    let repository =
        Repository::init(partial).with_context(|| format!("create `{}`", partial.display()))?;
    // For people who run git there. We name the URL each time, so no secret of it need be stored.
    repository.remote("origin", &redact(url)).context("set the remote `origin`")?;
    Ok(repository)
}

fn place(repository: &Repository, id: git2::Oid, partial: &Path, directory: &Path) -> Result<()> {
    let commit = repository.find_commit(id)?;
    repository
        .checkout_tree(commit.as_object(), Some(CheckoutBuilder::new().force()))
        .with_context(|| format!("check out `{id}`"))?;
    repository.set_head_detached(id)?;
    fs::rename(partial, directory).with_context(|| format!("rename to `{}`", directory.display()))
}
