//! Sources: the git checkouts a job follows, and what a look at one of them found.
//!
//! Values only. Who talks to git is `git`; what follows from a state is decided here and in `reconcile`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A git checkout that follows a ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Short name for logs and revisions: the last component of the directory or URL, unique in a job.
    pub name: String,
    /// Where the work tree lives, as we see it.
    pub directory: PathBuf,
    /// Who made the work tree, and so who may be surprised by what we do to it.
    pub origin: Origin,
}

/// Who a checkout belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A person's checkout: follows the upstream of its current branch, is only ever fast-forwarded.
    InPlace,
    /// Our own clone under the state directory, made when missing.
    Managed {
        /// Remote URL without credentials.
        url: String,
        /// Branch or tag to follow; `None` is the remote's default branch.
        reference: Option<String>,
    },
}

/// A commit's full hexadecimal object name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commit(pub String);

impl Commit {
    /// The first seven digits, as git prints them.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.short())
    }
}

/// One source at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRevision {
    /// [`Source::name`].
    pub source: String,
    /// The followed branch or tag, for people.
    pub reference: String,
    /// The commit.
    pub commit: Commit,
}

/// The commits of all sources a run was made from, in the order of the job's sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub Vec<SourceRevision>);

impl Revision {
    /// True when both name the same commits; the names of branches do not count.
    pub fn same_commits(&self, other: &Self) -> bool {
        let commits = |revision: &Self| {
            let pair = |one: &SourceRevision| (one.source.clone(), one.commit.clone());
            revision.0.iter().map(pair).collect::<Vec<_>>()
        };
        commits(self) == commits(other)
    }

    /// The commit of one source.
    pub fn commit_of(&self, source: &str) -> Option<&Commit> {
        self.0.iter().find(|one| one.source == source).map(|one| &one.commit)
    }
}

/// One source prints as `main@1a2b3c4`, several as `stack:main@1a2b3c4 conf:prod@9f8e7d6`.
impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [single] = self.0.as_slice() else {
            for (index, one) in self.0.iter().enumerate() {
                let space = if index == 0 { "" } else { " " };
                write!(formatter, "{space}{}:{}@{}", one.source, one.reference, one.commit)?;
            }
            return Ok(());
        };
        write!(formatter, "{}@{}", single.reference, single.commit)
    }
}
