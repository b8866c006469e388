//! The source of a sync: what it holds now, or why that cannot be known.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::{failed, stopped};
use super::archive;
use crate::git::{Mirror, Reading};
use crate::http::{self, Client, Download};
use crate::job::work::{Connection, SyncArchive, SyncFrom, SyncSource};
use crate::plan::sync::Changed;
use crate::plan::sync::tree::{Tree, Wrong};
use crate::reconcile::World;
use crate::run::{Ending, Reason};
use crate::source::{Commit, Verdict};

/// The most entries of a commit.
const MOST_ENTRIES: usize = 2_000_000;
/// Redirects followed to an archive.
const REDIRECTS: usize = 10;
/// Submodules that are named.
const NAMED: usize = 5;

/// What a source holds now.
pub(super) struct Got {
    /// The commit, or the checksum of the archive: told to hooks and kept.
    pub(super) revision: String,
    /// For people: `main@1a2b3c4`.
    pub(super) shown: String,
    pub(super) tree: Tree,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// The archive, in our own file.
    pub(super) file: Option<PathBuf>,
    mirror: Option<PathBuf>,
}

/// What hooks are told of a repository, by the names that birdhouse has for it.
pub(super) struct Commits {
    /// Lines of `git diff --name-status`; `None` where there are too many, or nothing was before.
    pub(super) name_status: Option<String>,
}

impl Got {
    /// What changed in the repository since a commit; `None` for an archive.
    pub(super) fn commits(&self, previous: Option<&str>) -> Option<Commits> {
        let mirror = self.mirror.as_ref()?;
        let lines = || {
            let (from, to) = (Commit(previous?.to_owned()), Commit(self.revision.clone()));
            let reading = Reading::open(mirror).ok()?;
            let lines = reading.name_status(&from, &to, Changed::MOST).ok()??.join("\n");
            (lines.len() <= Changed::MOST_BYTES).then_some(lines)
        };
        Some(Commits { name_status: lines() })
    }
}

/// Gets a source.
pub(super) async fn get(
    world: &World,
    source: &SyncSource,
    cancel: &CancellationToken,
) -> Result<Got, Ending> {
    match &source.from {
        SyncFrom::Git { url, reference, identity } => {
            let mirror = Mirror {
                directory: source.directory.clone(),
                url: url.clone(),
                reference: reference.clone(),
                identity: identity.clone(),
            };
            repository(world, &mirror, cancel).await
        }
        SyncFrom::Archive(options) => archive(&source.directory, options, cancel).await,
    }
}

async fn repository(
    world: &World,
    mirror: &Mirror,
    cancel: &CancellationToken,
) -> Result<Got, Ending> {
    let obtained = tokio::select! {
        obtained = world.git.obtain(mirror) => obtained,
        () = cancel.cancelled() => return Err(stopped("stopped while the source was fetched")),
    };
    let obtained = obtained.map_err(|state| {
        let reason = match state.verdict() {
            Verdict::Stuck(reason) => reason,
            Verdict::Current | Verdict::Advance => Reason::Internal,
        };
        let reference = mirror.reference.as_deref().unwrap_or("HEAD");
        let message = state.message(Path::new(&mirror.url), reference);
        failed(reason, format!("{message}; nothing was changed"))
    })?;
    let (directory, commit) = (mirror.directory.clone(), obtained.commit.clone());
    let list = move || Reading::open(&directory)?.list(&commit, MOST_ENTRIES);
    let listed = tokio::task::spawn_blocking(list).await.map_err(anyhow::Error::from);
    let listing = listed.and_then(|it| it).map_err(|error| {
        let shown = mirror.directory.display();
        let hint = format!("where that does not pass, remove `{shown}`: it is fetched anew");
        let message = format!("the commit cannot be read: {error:#}; nothing was changed; {hint}");
        failed(Reason::PrepareFailed, message)
    })?;
    refuse(&listing.wrong)?;
    let notes = submodules_told(&listing.submodules);
    let commit = obtained.commit;
    Ok(Got {
        shown: if obtained.reference == commit.short() {
            commit.to_string()
        } else {
            format!("{}@{commit}", obtained.reference)
        },
        revision: commit.0,
        tree: listing.tree,
        notes: notes.into_iter().collect(),
        file: None,
        mirror: Some(mirror.directory.clone()),
    })
}

fn submodules_told(submodules: &[PathBuf]) -> Option<String> {
    let named: Vec<String> =
        submodules.iter().take(NAMED).map(|it| format!("`{}`", it.display())).collect();
    let more = match submodules.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let is = if submodules.len() == 1 { "is a submodule" } else { "are submodules" };
    let told = format!("{}{more} {is}: what is in there is not synced", named.join(", "));
    (!submodules.is_empty()).then_some(told)
}

fn refuse(wrong: &Wrong) -> Result<(), Ending> {
    wrong.message().map_or(Ok(()), |message| Err(refusal(&message)))
}

/// The ending of a source that nothing may be taken from.
pub(super) fn refusal(why: &str) -> Ending {
    let message = format!("the source is refused: {why}; nothing was changed");
    failed(Reason::PrepareFailed, message)
}

async fn archive(
    directory: &Path,
    options: &SyncArchive,
    cancel: &CancellationToken,
) -> Result<Got, Ending> {
    let broken = |error: anyhow::Error| {
        failed(Reason::PrepareFailed, format!("{error:#}; nothing was changed"))
    };
    let file = directory.join("archive");
    let made = fs::create_dir_all(directory);
    made.map_err(|error| broken(anyhow::anyhow!("make `{}`: {error}", directory.display())))?;
    let (place, wanted) = (file.clone(), options.sha256.clone());
    // What its checksum names is got once.
    let there = tokio::task::spawn_blocking(move || {
        sha256_of(&place).filter(|it| wanted.is_some_and(|wanted| wanted == *it))
    });
    let sha256 = match there.await.ok().flatten() {
        Some(sha256) => sha256,
        None => fetched(&file, options, cancel).await?,
    };
    let (place, limits, stop) = (file.clone(), options.clone(), cancel.clone());
    let read = move || archive::contents(&place, &limits, &stop);
    let contents = tokio::task::spawn_blocking(read).await.map_err(anyhow::Error::from);
    let contents = contents.and_then(|it| it).map_err(|error| {
        if cancel.is_cancelled() { stopped(format!("{error:#}")) } else { broken(error) }
    })?;
    refuse(&contents.wrong)?;
    Ok(Got {
        shown: format!("sha256:{}", &sha256[..12.min(sha256.len())]),
        revision: sha256,
        tree: contents.tree,
        notes: Vec::new(),
        file: Some(file),
        mirror: None,
    })
}

/// Gets an archive in place of the one that is there; its checksum.
async fn fetched(
    file: &Path,
    options: &SyncArchive,
    cancel: &CancellationToken,
) -> Result<String, Ending> {
    let url = options.url.expose();
    let shown = http::shown(url);
    let refused = |message: String| format!("`{shown}`: {message}; nothing was changed");
    let part = file.with_extension(format!("part-{}", std::process::id()));
    let connection = Connection { redirects: REDIRECTS, ..Connection::default() };
    let client = Client::new(&connection)
        .map_err(|error| failed(Reason::HttpFailed, refused(format!("{error:#}"))))?;
    let download = Download { url, to: &part, most: options.max_size };
    let got = tokio::select! {
        got = client.download(&download) => Some(got),
        () = cancel.cancelled() => None,
    };
    let end = |ending: Ending| {
        // Nobody reads a part.
        let _ = fs::remove_file(&part);
        ending
    };
    let Some(got) = got else { return Err(end(stopped("stopped while the archive was fetched"))) };
    let got =
        got.map_err(|failure| end(failed(Reason::HttpFailed, refused(failure.to_string()))))?;
    if got.status != 200 {
        let message = refused(format!("the server answered with status {}", got.status));
        return Err(end(failed(Reason::ExpectationFailed, message)));
    }
    if let Some(wanted) = options.sha256.as_ref().filter(|wanted| **wanted != got.sha256) {
        let message = format!(
            "its checksum is {}, and `sha256` says {wanted}: somebody changed the archive, or the \
             checksum must be written anew",
            got.sha256
        );
        return Err(end(failed(Reason::ExpectationFailed, refused(message))));
    }
    fs::rename(&part, file).map_err(|error| {
        end(failed(Reason::PrepareFailed, refused(format!("rename `{}`: {error}", part.display()))))
    })?;
    Ok(got.sha256)
}

/// What a file hashes to; `None` where it cannot be read.
fn sha256_of(file: &Path) -> Option<String> {
    let (mut file, mut hash) = (File::open(file).ok()?, Sha256::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(format!("{:x}", hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}
