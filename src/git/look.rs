//! One look at one source: facts about the checkout and its remote, and the state they make.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use git2::{Oid, Remote, Repository};

use super::address::repository_name;
use super::checkout::{self, Head};
use super::remote::{RemoteRef, Session};
use super::{Seen, journal, managed, ownership};
use crate::settings::GitSettings;
use crate::source::{
    CheckoutFacts, DirectoryFact, DirtyPaths, Distance, HeadFact, Origin, RemoteFact, RemoteFault,
    Source,
};

/// What a source follows, found out from its checkout or its settings.
pub(super) struct Followed {
    /// For people.
    pub(super) reference: String,
    /// Full names that the remote may have it under, the first one that exists wins; empty for the
    /// remote's default branch.
    pub(super) candidates: Vec<String>,
    /// Where it is kept here; `None` where that follows from the name found.
    pub(super) tracking: Option<String>,
}

/// The followed ref as the remote has it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) id: Oid,
}

/// Looks at a source. Every fault becomes a fact.
pub(super) fn look(settings: &GitSettings, source: &Source, cancelled: &AtomicBool) -> Seen {
    let mut seen = Seen::new();
    if let Origin::Managed { url, reference } = &source.origin
        && !source.directory.exists()
    {
        let made = managed::clone(settings, source, url, reference.as_deref(), cancelled);
        if let Err(fault) = made {
            seen.reference = reference.clone().unwrap_or_else(|| "HEAD".to_owned());
            fault.tell(&mut seen.facts);
            return seen;
        }
    }
    if !source.directory.is_dir() {
        seen.facts.directory = DirectoryFact::Missing;
        return seen;
    }
    if let Err(error) = inspect(settings, source, cancelled, &mut seen) {
        seen.facts.directory = DirectoryFact::NotARepository(format!("{error:#}"));
    }
    seen
}

fn inspect(
    settings: &GitSettings,
    source: &Source,
    cancelled: &AtomicBool,
    seen: &mut Seen,
) -> Result<()> {
    let repository = checkout::open(source)?;
    journal::recover(&repository).context("repair an update that was cut short")?;
    let head = checkout::head(&repository)?;
    let (followed, remote_name) = match &source.origin {
        Origin::Managed { reference, .. } => {
            seen.head = checkout::head_commit(&repository)?;
            (managed::followed(reference.as_deref()), None)
        }
        Origin::InPlace => match head {
            Head::Detached(commit) => {
                seen.head = Some(commit);
                "HEAD".clone_into(&mut seen.reference);
                seen.facts.head = HeadFact::Detached;
                return Ok(());
            }
            Head::Branch { name, commit } => {
                seen.head = commit;
                seen.reference.clone_from(&name);
                let Some(upstream) = checkout::upstream(&repository, &name)? else {
                    seen.facts.head = HeadFact::NoUpstream;
                    return Ok(());
                };
                let followed = Followed {
                    reference: name,
                    candidates: vec![upstream.reference],
                    tracking: Some(upstream.tracking),
                };
                (followed, Some(upstream.remote))
            }
        },
    };
    seen.facts.managed = remote_name.is_none();
    seen.reference.clone_from(&followed.reference);
    let asked = Asked { settings, source, cancelled, repository: &repository };
    match asked.ask(remote_name.as_deref(), &followed, seen) {
        Ok(Some(found)) => {
            seen.facts.remote = RemoteFact::Found;
            seen.target = Some(found.id);
            if followed.candidates.is_empty() {
                short(&found.name).clone_into(&mut seen.reference);
            }
            seen.facts.dirty = checkout::dirty(&repository)?;
            seen.facts.distance = checkout::distance(&repository, seen.head, found.id)?;
        }
        Ok(None) => seen.facts.remote = RemoteFact::RefMissing,
        Err(fault) => seen.facts.remote = RemoteFact::Failed(fault),
    }
    Ok(())
}

/// What asking a remote needs.
struct Asked<'a> {
    settings: &'a GitSettings,
    source: &'a Source,
    cancelled: &'a AtomicBool,
    repository: &'a Repository,
}

impl Asked<'_> {
    /// The followed ref at the remote, its commit fetched; `None` where the remote lacks the ref.
    fn ask(
        &self,
        remote_name: Option<&str>,
        followed: &Followed,
        seen: &mut Seen,
    ) -> Result<Option<Found>, RemoteFault> {
        if remote_name == Some(".") {
            return Ok(self.local(followed));
        }
        let mut remote = self.remote(remote_name)?;
        let url = remote.url().map_err(|error| unreachable(&error))?.to_owned();
        let name = self.key_name();
        let session = Session::new(self.settings, &name, &url, self.cancelled)?;
        let found = find_and_fetch(self.repository, &session, &mut remote, followed);
        seen.warning = session.warning();
        if let Ok(Some((_, true))) = &found {
            // What we fetched as root must stay writable to whom the checkout belongs.
            ownership::give_back(self.repository, &[]);
        }
        Ok(found?.map(|(found, _)| found))
    }

    fn local(&self, followed: &Followed) -> Option<Found> {
        let name = followed.candidates.first()?;
        let id = self.repository.find_reference(name).ok()?.peel_to_commit().ok()?.id();
        Some(Found { name: name.clone(), id })
    }

    fn remote(&self, name: Option<&str>) -> Result<Remote<'_>, RemoteFault> {
        let found = match (&self.source.origin, name) {
            (Origin::Managed { url, .. }, _) => self.repository.remote_anonymous(url),
            (Origin::InPlace, Some(name)) => self.repository.find_remote(name),
            (Origin::InPlace, None) => self.repository.find_remote("origin"),
        };
        found.map_err(|error| unreachable(&error))
    }

    /// The name that the deploy key and the token of the repository are found by.
    fn key_name(&self) -> String {
        match &self.source.origin {
            Origin::Managed { url, .. } => repository_name(url).to_owned(),
            Origin::InPlace => {
                let root = checkout::root(self.source);
                root.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        }
    }
}

/// Finds the followed ref at the remote and fetches it when its commit is not here; true if that wrote
/// anything.
pub(super) fn find_and_fetch(
    repository: &Repository,
    session: &Session<'_>,
    remote: &mut Remote<'_>,
    followed: &Followed,
) -> Result<Option<(Found, bool)>, RemoteFault> {
    let mut connection = session.connect(remote)?;
    let refs = session.list(&connection)?;
    let Some(found) = find(&refs, followed) else { return Ok(None) };
    let tracking = followed.tracking.clone().unwrap_or_else(|| tracking_of(&found.name));
    if repository.find_commit(found.id).is_ok() {
        let wrote = point(repository, &tracking, &found);
        return Ok(Some((found, wrote)));
    }
    session.fetch(connection.remote(), &format!("+{}:{tracking}", found.name))?;
    if repository.find_commit(found.id).is_err() {
        let message = format!("`{}` moved while it was fetched; the next look sees it", found.name);
        return Err(RemoteFault::Unreachable(message));
    }
    Ok(Some((found, true)))
}

fn find(refs: &[RemoteRef], followed: &Followed) -> Option<Found> {
    let named = |name: &str| refs.iter().find(|one| one.name == name);
    if followed.candidates.is_empty() {
        let head = named("HEAD")?;
        // Servers older than the symref capability do not say which branch HEAD is.
        let same = |one: &&RemoteRef| one.name.starts_with("refs/heads/") && one.id == head.id;
        let name =
            head.points_at.clone().or_else(|| refs.iter().find(same).map(|one| one.name.clone()));
        return Some(Found { name: name?, id: head.id });
    }
    followed.candidates.iter().find_map(|name| {
        let advertised = named(name)?;
        // An annotated tag is followed by what it stands for.
        let peeled = named(&format!("{name}^{{}}")).unwrap_or(advertised);
        Some(Found { name: name.clone(), id: peeled.id })
    })
}

fn tracking_of(name: &str) -> String {
    match name.strip_prefix("refs/heads/") {
        Some(branch) => format!("refs/remotes/origin/{branch}"),
        None => name.to_owned(),
    }
}

/// Moves the remote-tracking ref to a commit that was here already, as a fetch would; true if it moved.
fn point(repository: &Repository, tracking: &str, found: &Found) -> bool {
    let at = repository.find_reference(tracking).ok().and_then(|one| one.peel_to_commit().ok());
    let stale = at.is_none_or(|commit| commit.id() != found.id);
    // For people's eyes only: nothing is decided from it.
    stale
        && tracking.starts_with("refs/remotes/")
        && repository.reference(tracking, found.id, true, "roadstead: look").is_ok()
}

/// A branch or tag as people call it.
pub(super) fn short(name: &str) -> &str {
    let branch = name.strip_prefix("refs/heads/");
    branch.or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name)
}

pub(super) fn unreachable(error: &git2::Error) -> RemoteFault {
    RemoteFault::Unreachable(super::address::redact(error.message()))
}

/// Facts as they are before anything was seen.
pub(super) fn no_facts() -> CheckoutFacts {
    CheckoutFacts {
        directory: DirectoryFact::Repository,
        head: HeadFact::Following,
        managed: false,
        remote: RemoteFact::NotAsked,
        dirty: DirtyPaths::default(),
        distance: Distance::Unknown,
    }
}

/// The directory a partial clone is made in.
pub(super) fn beside(directory: &Path) -> std::path::PathBuf {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!(".{name}.partial"))
}
