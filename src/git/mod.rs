//! Git: looks at sources, moves checkouts, reads files at commits.
//!
//! No policy: what a state means is decided in `source`. No hooks, filters or submodules are run.

mod address;
mod advance;
mod blob;
mod checkout;
mod credentials;
mod journal;
mod known_hosts;
mod look;
mod managed;
mod mirror;
mod ownership;
mod process;
mod remote;
mod sha1;
mod view;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use git2::Oid;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use self::advance::Changes;
pub use self::blob::BlobId;
pub use self::checkout::{revision_of, toplevel};
pub use self::mirror::{LARGEST_BLOB, Listing, Mirror, Obtained, Reading};
pub use self::view::{LARGEST_FILE_BYTES, View};
use crate::settings::GitSettings;
use crate::source::{
    CheckoutFacts, CheckoutState, Commit, RemoteFact, RemoteFault, Source, classify,
};

/// Network conversations at once; more would only compete for the same line.
const MOST_CONVERSATIONS: usize = 16;

/// Everything that is done to sources. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    settings: Arc<GitSettings>,
    conversations: Arc<Semaphore>,
    /// One at a time works in a checkout; who gave up waiting for a remote may still be in there.
    checkouts: Arc<Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>>,
}

/// What one look at a source found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The state, which decides what a run may do.
    pub state: CheckoutState,
    /// Commit of HEAD.
    pub head: Option<Commit>,
    /// Commit of the followed ref at the remote.
    pub target: Option<Commit>,
    /// The followed branch or tag, for people.
    pub reference: String,
    /// One line for people.
    pub message: String,
    /// How long the look took.
    pub took: Duration,
}

/// What a look saw, on its way from the blocking thread.
struct Seen {
    facts: CheckoutFacts,
    head: Option<Oid>,
    target: Option<Oid>,
    reference: String,
    warning: Option<String>,
}

impl Seen {
    fn new() -> Self {
        Self {
            facts: look::no_facts(),
            head: None,
            target: None,
            reference: "HEAD".to_owned(),
            warning: None,
        }
    }

    fn unreachable(detail: String) -> Self {
        let mut seen = Self::new();
        seen.facts.remote = RemoteFact::Failed(RemoteFault::Unreachable(detail));
        seen
    }
}

/// Tells the callbacks of an abandoned conversation to end it.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Git {
    /// An adapter with these settings. Also sets libgit2's process-wide time limits.
    pub fn new(settings: &GitSettings) -> Self {
        process::process().limit_waiting(settings.timeout);
        Self {
            settings: Arc::new(settings.clone()),
            conversations: Arc::new(Semaphore::new(MOST_CONVERSATIONS)),
            checkouts: Arc::default(),
        }
    }

    /// Looks at a source: every fault is a state. From its turn on, none takes longer than the deadline.
    ///
    /// Fetches only a commit that is not here. A managed source is cloned where it is missing.
    ///
    /// # Cancel safety
    ///
    /// A dropped look ends by itself; the next one at the same checkout waits for it.
    pub async fn look(&self, source: &Source) -> Look {
        let started = Instant::now();
        let seen = self.see(source).await;
        let state = classify(&seen.facts);
        let mut message = state.message(&source.directory, &seen.reference);
        if let Some(warning) = seen.warning {
            message = format!("{message}; {warning}");
        }
        Look {
            state,
            head: seen.head.map(checkout::commit),
            target: seen.target.map(checkout::commit),
            reference: seen.reference,
            message,
            took: started.elapsed(),
        }
    }

    /// Brings the commit that a mirror follows into our own bare clone, which is made where it is missing.
    ///
    /// It may take as long as its bytes flow: no server may be silent for longer than the deadline.
    ///
    /// # Errors
    ///
    /// The state that says why there is none.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends by itself; the next one at the same clone waits for it.
    pub async fn obtain(&self, mirror: &Mirror) -> Result<Obtained, CheckoutState> {
        let limit = self.settings.timeout;
        let unreachable = |detail: String| CheckoutState::Unreachable { detail };
        let one = self.checkout(&mirror.directory);
        let Ok(guard) = timeout(limit, one.lock_owned()).await else {
            return Err(unreachable(format!("an earlier fetch has not ended within {limit:?}")));
        };
        let permit = Arc::clone(&self.conversations).acquire_owned();
        let Ok(permit) = timeout(limit.saturating_mul(3), permit).await else {
            let message = "other remotes do not answer and hold all";
            return Err(unreachable(format!("{message} {MOST_CONVERSATIONS} connections")));
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = CancelOnDrop(Arc::clone(&cancelled));
        let (settings, mirror) = (Arc::clone(&self.settings), mirror.clone());
        let blocking = spawn_blocking(move || {
            let _held = (guard, permit);
            mirror::obtain(&settings, &mirror, &cancelled)
        });
        let obtained = blocking.await;
        drop(cancel);
        obtained.map_err(|error| unreachable(format!("the fetch ended unexpectedly: {error}")))?
    }

    /// Moves the work tree and branch of a source forward to a commit that a look fetched.
    ///
    /// # Errors
    ///
    /// Refuses what is no fast-forward, and what would overwrite local changes.
    pub async fn fast_forward(&self, source: &Source, to: &Commit) -> Result<()> {
        let to = to.clone();
        let what = format!("fast-forward `{}` to `{to}`", source.directory.display());
        self.locally(source, move |source| advance::fast_forward(source, &to)).await.context(what)
    }

    /// Moves the work tree and branch of a source back after a failed deploy.
    ///
    /// # Errors
    ///
    /// Refuses when HEAD is not `from`, or the work tree was edited.
    pub async fn restore(&self, source: &Source, from: &Commit, to: &Commit) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let what = format!("roll back `{}` to `{to}`", source.directory.display());
        self.locally(source, move |source| advance::restore(source, &from, &to)).await.context(what)
    }

    /// Reads what lies between two commits of a source.
    ///
    /// # Errors
    ///
    /// Fails when `to` is not here.
    pub async fn changes(
        &self,
        source: &Source,
        from: Option<&Commit>,
        to: &Commit,
    ) -> Result<Changes> {
        let (from, to) = (from.cloned(), to.clone());
        let what = format!("read the changes of `{}`", source.directory.display());
        let read = move |source: &Source| advance::changes(source, from.as_ref(), &to);
        self.locally(source, read).await.context(what)
    }

    async fn see(&self, source: &Source) -> Seen {
        let limit = self.settings.timeout;
        let Ok(guard) = timeout(limit, self.enter(source)).await else {
            return Seen::unreachable(format!("an earlier look has not ended within {limit:?}"));
        };
        // Longer than a conversation with a silent server holds its place, so that a crowd of those
        // does not make an answering one look dead.
        let permit = Arc::clone(&self.conversations).acquire_owned();
        let Ok(permit) = timeout(limit.saturating_mul(3), permit).await else {
            let message = "other remotes do not answer and hold all";
            return Seen::unreachable(format!("{message} {MOST_CONVERSATIONS} connections"));
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = CancelOnDrop(Arc::clone(&cancelled));
        let (settings, source) = (Arc::clone(&self.settings), source.clone());
        let blocking = spawn_blocking(move || {
            let _held = (guard, permit);
            look::look(&settings, &source, &cancelled)
        });
        let seen = match timeout(limit, blocking).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => Seen::unreachable(format!("the look ended unexpectedly: {error}")),
            Err(_) => Seen::unreachable(format!("no answer within {limit:?}")),
        };
        drop(cancel);
        seen
    }

    /// Runs a step that needs no network.
    async fn locally<T: Send + 'static>(
        &self,
        source: &Source,
        step: impl FnOnce(&Source) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let limit = self.settings.timeout;
        let Ok(guard) = timeout(limit, self.enter(source)).await else {
            bail!("an earlier look has not ended within {limit:?}");
        };
        let source = source.clone();
        let blocking = spawn_blocking(move || {
            let _held = guard;
            step(&source)
        });
        blocking.await.context("the step ended unexpectedly")?
    }

    async fn enter(&self, source: &Source) -> OwnedMutexGuard<()> {
        let one = self.checkout(&checkout::root(source));
        one.lock_owned().await
    }

    fn checkout(&self, root: &Path) -> Arc<AsyncMutex<()>> {
        let mut checkouts = self.checkouts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(checkouts.entry(root.to_owned()).or_default())
    }
}
