//! Bare clones of ours that data is read from: nothing of them is ever checked out.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow};
use git2::{Delta, DiffOptions, ObjectType, Oid, Repository, RepositoryOpenFlags};

use super::address::repository_name;
use super::look::{find_and_fetch, unreachable};
use super::managed::followed;
use super::remote::Session;
use super::{checkout, process};
use crate::plan::sync::tree::{Checksum, FileItem, Item, Tree, Wrong, joined};
use crate::settings::GitSettings;
use crate::source::{CheckoutState, Commit, RemoteFault};

/// The largest file that is read from a repository: it is in memory as a whole.
pub const LARGEST_BLOB: u64 = 1 << 30;

/// The longest text of a link, as Linux has it.
const LONGEST_TARGET: u64 = 4096;

/// What Git has as kinds of entries, in a tree's own bits.
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const KIND: i32 = 0o170_000;

/// A repository that is followed, and where we keep it.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Our bare clone.
    pub directory: PathBuf,
    /// URL without credentials, or a directory.
    pub url: String,
    /// Branch, tag or commit; `None` is the remote's default branch.
    pub reference: Option<String>,
    /// A private key in place of the deploy key that the repository's name leads to.
    pub identity: Option<PathBuf>,
}

/// The commit that a mirror follows, which is here now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// The commit.
    pub commit: Commit,
    /// The branch, tag or commit, for people.
    pub reference: String,
}

/// All that a commit holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its files and links.
    pub tree: Tree,
    /// Entries that nobody may write anywhere.
    pub wrong: Wrong,
    /// Submodules, whose content is not here.
    pub submodules: Vec<PathBuf>,
}

/// A mirror that is open for reading.
pub struct Reading(Repository);

/// Fetches what a mirror follows.
pub(super) fn obtain(
    settings: &GitSettings,
    mirror: &Mirror,
    cancelled: &AtomicBool,
) -> Result<Obtained, CheckoutState> {
    let local =
        |error: anyhow::Error| CheckoutState::NotARepository { detail: format!("{error:#}") };
    let repository = open_or_make(&mirror.directory).map_err(local)?;
    let reference = mirror.reference.as_deref();
    let digits = reference.filter(|it| is_commit(it));
    let obtained =
        |id: Oid, reference: String| Obtained { commit: checkout::commit(id), reference };
    // A whole id means one commit for ever: once it is here, nobody need be asked.
    if let Some(id) = digits.filter(|it| it.len() == 40).and_then(|it| Oid::from_str(it).ok())
        && repository.find_commit(id).is_ok()
    {
        return Ok(obtained(id, short_of(id)));
    }
    let fault = |fault: RemoteFault| fault.state();
    let name = repository_name(&mirror.url);
    let session = Session::new(settings, name, &mirror.url, cancelled).map_err(fault)?;
    let session = session.with_identity(mirror.identity.clone());
    let mut remote =
        repository.remote_anonymous(&mirror.url).map_err(|error| fault(unreachable(&error)))?;
    let followed = followed(reference);
    let found = find_and_fetch(&repository, &session, &mut remote, &followed).map_err(fault)?;
    if let Some((found, _)) = found {
        let reference = match reference {
            Some(_) => followed.reference,
            None => super::look::short(&found.name).to_owned(),
        };
        return Ok(obtained(found.id, reference));
    }
    let digits = digits.ok_or(CheckoutState::UpstreamGone)?;
    for refspec in ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"] {
        session.fetch(&mut remote, refspec).map_err(fault)?;
    }
    if let Some(id) = commit_of(&repository, digits) {
        return Ok(obtained(id, short_of(id)));
    }
    // Some servers give a commit that is on no branch to who knows its id.
    if digits.len() == 40 && session.fetch(&mut remote, digits).is_ok() {
        let id = commit_of(&repository, digits);
        return id.map(|id| obtained(id, short_of(id))).ok_or(CheckoutState::UpstreamGone);
    }
    Err(CheckoutState::UpstreamGone)
}

/// Whether a ref may be a commit's id, or the beginning of one.
fn is_commit(reference: &str) -> bool {
    (7..=40).contains(&reference.len()) && reference.bytes().all(|it| it.is_ascii_hexdigit())
}

fn commit_of(repository: &Repository, digits: &str) -> Option<Oid> {
    Some(repository.find_commit_by_prefix(digits).ok()?.id())
}

fn short_of(id: Oid) -> String {
    checkout::commit(id).short().to_owned()
}

/// Opens a mirror; one that is not there, or cannot be used, is made anew, as nothing is lost with it.
fn open_or_make(directory: &Path) -> Result<Repository> {
    if let Ok(repository) = open(directory) {
        return Ok(repository);
    }
    let place = || format!("make the clone `{}`", directory.display());
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(place);
        }
        _ => {}
    }
    fs::create_dir_all(directory).with_context(place)?;
    Repository::init_bare(directory).with_context(place)
}

fn open(directory: &Path) -> Result<Repository> {
    process::process();
    let none: [&Path; 0] = [];
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE;
    Repository::open_ext(directory, flags, none).map_err(|error| anyhow!("{}", error.message()))
}

impl Reading {
    /// Opens a mirror.
    ///
    /// # Errors
    ///
    /// When it is no repository.
    pub fn open(directory: &Path) -> Result<Self> {
        let repository = open(directory);
        Ok(Self(repository.with_context(|| format!("open the clone `{}`", directory.display()))?))
    }

    /// Reads all that a commit holds, at most so many entries; a tree may name the same tree a million
    /// times.
    ///
    /// # Errors
    ///
    /// When objects are missing, or there are more entries.
    pub fn list(&self, commit: &Commit, most: usize) -> Result<Listing> {
        let commit = self.0.find_commit(checkout::id(commit)?)?;
        let database = self.0.odb()?;
        let mut listing = Listing::default();
        let mut open = vec![(PathBuf::new(), commit.tree_id())];
        let mut count = 0;
        while let Some((directory, id)) = open.pop() {
            let tree = self.0.find_tree(id).context("read a directory of the commit")?;
            for entry in &tree {
                count += 1;
                anyhow::ensure!(count <= most, "it has more than {most} entries");
                let Some(path) = joined(&directory, entry.name_bytes(), &mut listing.wrong) else {
                    continue;
                };
                let mode = entry.filemode_raw();
                let item = match (mode & KIND, entry.kind()) {
                    (SUBMODULE, _) | (_, Some(ObjectType::Commit)) => {
                        listing.submodules.push(path);
                        continue;
                    }
                    (_, Some(ObjectType::Tree)) => {
                        open.push((path, entry.id()));
                        continue;
                    }
                    (kind, _) => {
                        let (size, object) = database
                            .read_header(entry.id())
                            .with_context(|| format!("read `{}`", path.display()))?;
                        let size = size as u64;
                        let limit = if kind == LINK { LONGEST_TARGET } else { LARGEST_BLOB };
                        if object != ObjectType::Blob || size > limit {
                            let why = format!("is no file or link of at most {limit} bytes");
                            listing.wrong.add(&path, &why);
                            continue;
                        }
                        if kind == LINK {
                            let blob = self.0.find_blob(entry.id())?;
                            Item::Link(blob.content().to_vec())
                        } else {
                            Item::File(FileItem {
                                size,
                                checksum: checksum(entry.id()),
                                is_executable: mode & 0o100 != 0,
                                place: 0,
                            })
                        }
                    }
                };
                if listing.tree.insert(path.clone(), item).is_some() {
                    listing.wrong.add(&path, "is there twice");
                }
            }
        }
        listing.tree.check(&mut listing.wrong);
        Ok(listing)
    }

    /// Writes the content that this checksum is of.
    ///
    /// # Errors
    ///
    /// When it is not here, or cannot be written.
    pub fn write(&self, content: &Checksum, to: &mut impl Write) -> Result<()> {
        let blob = self.0.find_blob(Oid::from_bytes(content)?)?;
        Ok(to.write_all(blob.content())?)
    }

    /// What changed between two commits, as `git diff --name-status` tells it, at most so many lines.
    ///
    /// `None` where the first one is not here, or there are more.
    ///
    /// # Errors
    ///
    /// When objects are missing.
    pub fn name_status(
        &self,
        from: &Commit,
        to: &Commit,
        most: usize,
    ) -> Result<Option<Vec<String>>> {
        let Some(from) = checkout::id(from).ok().and_then(|id| self.0.find_commit(id).ok()) else {
            return Ok(None);
        };
        let to = self.0.find_commit(checkout::id(to)?)?;
        let mut options = DiffOptions::new();
        options.ignore_submodules(true);
        let (from, to) = (from.tree()?, to.tree()?);
        let diff = self.0.diff_tree_to_tree(Some(&from), Some(&to), Some(&mut options))?;
        if diff.deltas().len() > most {
            return Ok(None);
        }
        let line = |delta: git2::DiffDelta<'_>| {
            let letter = match delta.status() {
                Delta::Added => 'A',
                Delta::Deleted => 'D',
                Delta::Typechange => 'T',
                _ => 'M',
            };
            let path = delta.new_file().path_bytes().or(delta.old_file().path_bytes());
            format!("{letter}\t{}", String::from_utf8_lossy(path.unwrap_or_default()))
        };
        Ok(Some(diff.deltas().map(line).collect()))
    }
}

fn checksum(id: Oid) -> Checksum {
    let mut checksum = [0; 20];
    checksum.copy_from_slice(id.as_bytes());
    checksum
}
