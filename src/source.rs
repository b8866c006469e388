//! Sources: the git checkouts a job follows, and what a look at one of them found.
//!
//! Values only. Who talks to git is `git`; what follows from a state is decided here and in `reconcile`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::run::Reason;

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

/// What the git adapter saw at one checkout, before any judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutFacts {
    /// The directory, and whether git can work in it.
    pub directory: DirectoryFact,
    /// What HEAD points at.
    pub head: HeadFact,
    /// The checkout is our own clone: it has no commits of its own, so it follows rewritten history.
    pub managed: bool,
    /// What the remote said about the followed ref.
    pub remote: RemoteFact,
    /// Changes that no commit holds.
    pub dirty: DirtyPaths,
    /// How HEAD and the remote commit relate.
    pub distance: Distance,
}

/// What is at the directory of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryFact {
    /// Nothing, or not a directory.
    Missing,
    /// A directory that git cannot work in, and why.
    NotARepository(String),
    /// A repository with a work tree.
    Repository,
}

/// What HEAD points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFact {
    /// A branch that follows a ref of a remote; our own clones count as this.
    Following,
    /// A branch that follows nothing.
    NoUpstream,
    /// A commit, put there by a person.
    Detached,
}

/// What the remote said about the followed ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteFact {
    /// It was not asked: a fact about the checkout made that needless.
    NotAsked,
    /// The ref is there.
    Found,
    /// The remote has refs, but not this one.
    RefMissing,
    /// The remote could not be read.
    Failed(RemoteFault),
}

/// Why a remote could not be read; the text says what to do where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteFault {
    /// No answer, no such repository, no refs, or an answer that is no git.
    Unreachable(String),
    /// The ssh server's key is unknown, or another than the known one.
    HostKeyRejected(String),
    /// There is no key or token for the remote, or it rejected ours.
    AuthenticationFailed(String),
}

/// Changed and untracked paths of a work tree; only the first few are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirtyPaths {
    /// How many there are.
    pub count: usize,
    /// The first of them, at most [`DirtyPaths::NAMED`].
    pub first: Vec<String>,
}

impl DirtyPaths {
    /// How many paths are named.
    pub const NAMED: usize = 5;
}

/// How HEAD and the remote commit relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// The remote commit has not been fetched, or HEAD has no commit yet.
    Unknown,
    /// Both are here and were counted.
    Counted {
        /// Commits only HEAD has.
        ahead: usize,
        /// Commits only the remote has.
        behind: usize,
        /// Both are the same commit.
        same: bool,
    },
}

/// The state of one checkout: the closed list that decides what a run may do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutState {
    /// HEAD is the remote commit.
    Level,
    /// The remote has commits that HEAD lacks, and HEAD has none of its own.
    Behind {
        /// How many; `None` when they cannot be counted.
        by: Option<usize>,
    },
    /// HEAD has commits that the remote lacks, and lacks none.
    Ahead {
        /// How many.
        by: usize,
    },
    /// Both have commits the other lacks.
    Diverged {
        /// Commits only HEAD has.
        ahead: usize,
        /// Commits only the remote has.
        behind: usize,
    },
    /// The work tree holds changes that no commit holds.
    Dirty {
        /// The remote has commits that HEAD lacks.
        behind: bool,
        /// Which paths.
        paths: DirtyPaths,
    },
    /// HEAD is a commit, not a branch.
    Detached,
    /// The branch follows nothing.
    NoUpstream,
    /// The followed ref was deleted at the remote.
    UpstreamGone,
    /// The directory is missing.
    DirectoryMissing,
    /// Git cannot work in the directory.
    NotARepository {
        /// Why.
        detail: String,
    },
    /// The remote could not be read.
    Unreachable {
        /// Why.
        detail: String,
    },
    /// The ssh server's key is unknown, or another than the known one.
    HostKeyRejected {
        /// Which key, and what to do.
        detail: String,
    },
    /// There is no key or token for the remote, or it rejected ours.
    AuthenticationFailed {
        /// Which key or token, and what to do.
        detail: String,
    },
}

/// What a run does with a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to fetch: deploy HEAD.
    Current,
    /// Fast-forward to the remote commit and deploy that.
    Advance,
    /// A person must act, or the remote must come back.
    Stuck(Reason),
}

/// Judges what was seen: facts about the directory first, then HEAD, then the remote, then the work tree.
pub fn classify(facts: &CheckoutFacts) -> CheckoutState {
    match &facts.directory {
        DirectoryFact::Missing => return CheckoutState::DirectoryMissing,
        DirectoryFact::NotARepository(detail) => {
            return CheckoutState::NotARepository { detail: detail.clone() };
        }
        DirectoryFact::Repository => {}
    }
    match facts.head {
        HeadFact::Detached => return CheckoutState::Detached,
        HeadFact::NoUpstream => return CheckoutState::NoUpstream,
        HeadFact::Following => {}
    }
    match &facts.remote {
        RemoteFact::Failed(fault) => fault.state(),
        RemoteFact::RefMissing => CheckoutState::UpstreamGone,
        RemoteFact::NotAsked => {
            CheckoutState::Unreachable { detail: "it was not asked".to_owned() }
        }
        RemoteFact::Found => compare(facts),
    }
}

fn compare(facts: &CheckoutFacts) -> CheckoutState {
    let clean = facts.dirty.count == 0;
    let dirty = |behind| CheckoutState::Dirty { behind, paths: facts.dirty.clone() };
    match facts.distance {
        Distance::Counted { same: true, .. } if clean => CheckoutState::Level,
        Distance::Counted { same: true, .. } => dirty(false),
        Distance::Unknown if clean => CheckoutState::Behind { by: None },
        Distance::Counted { behind, .. } if facts.managed && clean => {
            CheckoutState::Behind { by: Some(behind).filter(|count| *count > 0) }
        }
        Distance::Counted { ahead, behind, .. } if ahead > 0 && behind > 0 && !facts.managed => {
            CheckoutState::Diverged { ahead, behind }
        }
        Distance::Counted { ahead, behind: 0, .. } if !facts.managed => {
            if clean {
                CheckoutState::Ahead { by: ahead }
            } else {
                dirty(false)
            }
        }
        Distance::Counted { behind, .. } if clean => CheckoutState::Behind { by: Some(behind) },
        Distance::Counted { .. } | Distance::Unknown => dirty(true),
    }
}

impl RemoteFault {
    /// The state of a checkout with such a remote.
    pub fn state(&self) -> CheckoutState {
        match self.clone() {
            Self::Unreachable(detail) => CheckoutState::Unreachable { detail },
            Self::HostKeyRejected(detail) => CheckoutState::HostKeyRejected { detail },
            Self::AuthenticationFailed(detail) => CheckoutState::AuthenticationFailed { detail },
        }
    }
}

impl CheckoutState {
    /// What a run does with a checkout in this state.
    pub fn verdict(&self) -> Verdict {
        match self {
            // Commits and edits of a person that nothing at the remote contradicts are what runs here,
            // and so is a commit that a person pinned.
            Self::Level
            | Self::Ahead { .. }
            | Self::Detached
            | Self::Dirty { behind: false, .. } => Verdict::Current,
            Self::Behind { .. } => Verdict::Advance,
            Self::Diverged { .. } => Verdict::Stuck(Reason::Diverged),
            Self::Dirty { behind: true, .. } => Verdict::Stuck(Reason::Dirty),
            Self::NoUpstream => Verdict::Stuck(Reason::NoUpstream),
            Self::UpstreamGone => Verdict::Stuck(Reason::UpstreamGone),
            Self::DirectoryMissing => Verdict::Stuck(Reason::DirectoryMissing),
            Self::NotARepository { .. } => Verdict::Stuck(Reason::NotARepository),
            Self::Unreachable { .. } => Verdict::Stuck(Reason::RemoteUnreachable),
            Self::HostKeyRejected { .. } => Verdict::Stuck(Reason::HostKeyRejected),
            Self::AuthenticationFailed { .. } => Verdict::Stuck(Reason::AuthenticationFailed),
        }
    }

    /// One line for people: what is so, where, and what to do. `reference` is the followed branch or tag.
    pub fn message(&self, directory: &Path, reference: &str) -> String {
        let at = directory.display();
        match self {
            Self::Level => format!("`{at}` is level with `{reference}`"),
            Self::Behind { by: Some(by) } => {
                format!("`{at}` is {} behind `{reference}`", counted(*by, "commit"))
            }
            Self::Behind { by: None } => format!("`{at}` is behind `{reference}`"),
            Self::Ahead { by } => format!(
                "`{at}` is {} ahead of `{reference}`; its own HEAD is used, push when it is ready",
                counted(*by, "commit"),
            ),
            Self::Diverged { ahead, behind } => format!(
                "`{at}` and `{reference}` have diverged ({ahead} ahead, {behind} behind): rebase or \
                 reset the checkout by hand, e.g. `git -C {at} reset --keep @{{upstream}}`",
            ),
            Self::Dirty { behind: false, paths } => format!(
                "`{at}` has uncommitted changes ({}); nothing new at `{reference}`, its HEAD is used",
                listed(paths),
            ),
            Self::Dirty { behind: true, paths } => {
                format!(
                    "commit or stash the changes in `{at}` ({}): `{reference}` has new commits and \
                     nothing is updated until then",
                    listed(paths),
                )
            }
            Self::Detached => format!(
                "`{at}` is pinned: HEAD is detached, its commit is used; `git -C {at} switch BRANCH` \
                 follows a branch again",
            ),
            Self::NoUpstream => format!(
                "branch `{reference}` of `{at}` follows no upstream: run `git -C {at} branch \
                 --set-upstream-to=origin/{reference}`",
            ),
            Self::UpstreamGone => format!(
                "`{reference}`, which `{at}` follows, is gone from the remote: push it again or follow \
                 another one",
            ),
            Self::DirectoryMissing => {
                format!(
                    "directory `{at}` is missing: clone it there, mount it, or drop it from the list"
                )
            }
            Self::NotARepository { detail } => {
                format!(
                    "`{at}` is not a usable git checkout: {detail}; clone it anew, or drop it from \
                     the list"
                )
            }
            Self::Unreachable { detail } => {
                format!("the remote of `{at}` cannot be read: {detail}")
            }
            Self::HostKeyRejected { detail } => {
                format!("the ssh host of `{at}` is not trusted: {detail}")
            }
            Self::AuthenticationFailed { detail } => {
                format!("the remote of `{at}` does not let us in: {detail}")
            }
        }
    }
}

/// `1 file`, `2 files`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn listed(paths: &DirtyPaths) -> String {
    let first = paths.first.first().map(|path| format!(", first `{path}`")).unwrap_or_default();
    format!("{}{first}", counted(paths.count, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> CheckoutFacts {
        CheckoutFacts {
            directory: DirectoryFact::Repository,
            head: HeadFact::Following,
            managed: false,
            remote: RemoteFact::Found,
            dirty: DirtyPaths::default(),
            distance: Distance::Counted { ahead: 0, behind: 0, same: true },
        }
    }

    fn counts(ahead: usize, behind: usize) -> Distance {
        Distance::Counted { ahead, behind, same: ahead == 0 && behind == 0 }
    }

    fn edits() -> DirtyPaths {
        DirtyPaths { count: 3, first: vec!["a.txt".to_owned()] }
    }

    #[track_caller]
    fn check(facts: &CheckoutFacts, verdict: Verdict, message: &str) {
        let state = classify(facts);
        assert_eq!(state.verdict(), verdict, "{state:?}");
        let actual = state.message(Path::new("/srv/stack"), "main");
        assert!(actual.contains(message), "{actual}\n  lacks: {message}");
        assert!(actual.contains("/srv/stack") && !actual.contains('\n'), "{actual}");
    }

    #[test]
    fn compares_head_with_the_remote_commit() {
        let row = |distance, dirty| CheckoutFacts { dirty, distance, ..facts() };
        let none = DirtyPaths::default;
        check(&row(counts(0, 0), none()), Verdict::Current, "level with `main`");
        check(&row(counts(0, 1), none()), Verdict::Advance, "1 commit behind");
        check(&row(counts(0, 12), none()), Verdict::Advance, "12 commits behind `main`");
        check(&row(Distance::Unknown, none()), Verdict::Advance, "is behind `main`");
        check(&row(counts(2, 0), none()), Verdict::Current, "2 commits ahead");
        check(&row(counts(2, 1), none()), Verdict::Stuck(Reason::Diverged), "(2 ahead, 1 behind)");
        check(&row(counts(0, 0), edits()), Verdict::Current, "3 files, first `a.txt`");
        check(&row(counts(2, 0), edits()), Verdict::Current, "uncommitted changes");
        check(&row(counts(2, 1), edits()), Verdict::Stuck(Reason::Diverged), "diverged");
        let blocked = "commit or stash the changes in `/srv/stack` (3 files, first `a.txt`)";
        check(&row(counts(0, 1), edits()), Verdict::Stuck(Reason::Dirty), blocked);
        check(&row(Distance::Unknown, edits()), Verdict::Stuck(Reason::Dirty), blocked);
    }

    #[test]
    fn our_own_clones_follow_rewritten_history() {
        let row = |distance, dirty| CheckoutFacts { managed: true, dirty, distance, ..facts() };
        let none = DirtyPaths::default;
        check(&row(counts(0, 0), none()), Verdict::Current, "level");
        check(&row(counts(0, 2), none()), Verdict::Advance, "2 commits behind");
        check(&row(counts(3, 2), none()), Verdict::Advance, "2 commits behind");
        check(&row(counts(3, 0), none()), Verdict::Advance, "is behind `main`");
        check(&row(counts(3, 2), edits()), Verdict::Stuck(Reason::Dirty), "commit or stash");
    }

    #[test]
    fn facts_about_the_checkout_come_before_the_remote() {
        let failed = RemoteFact::Failed(RemoteFault::Unreachable("no route".to_owned()));
        let row = |directory, head, remote| CheckoutFacts {
            directory,
            head,
            remote,
            dirty: edits(),
            ..facts()
        };
        let rows = [
            (
                DirectoryFact::Missing,
                HeadFact::Following,
                Verdict::Stuck(Reason::DirectoryMissing),
                "is missing",
            ),
            (
                DirectoryFact::NotARepository("it is bare".to_owned()),
                HeadFact::Following,
                Verdict::Stuck(Reason::NotARepository),
                "it is bare",
            ),
            (DirectoryFact::Repository, HeadFact::Detached, Verdict::Current, "is pinned"),
            (
                DirectoryFact::Repository,
                HeadFact::NoUpstream,
                Verdict::Stuck(Reason::NoUpstream),
                "--set-upstream-to=origin/main",
            ),
        ];
        for (directory, head, verdict, message) in rows {
            check(&row(directory, head, failed.clone()), verdict, message);
        }
    }

    #[test]
    fn each_fault_of_the_remote_has_its_own_reason() {
        let row = |remote| CheckoutFacts { remote, dirty: edits(), ..facts() };
        let text = || "what to do".to_owned();
        let rows = [
            (RemoteFact::RefMissing, Reason::UpstreamGone, "gone from the remote"),
            (RemoteFact::NotAsked, Reason::RemoteUnreachable, "not asked"),
            (
                RemoteFact::Failed(RemoteFault::Unreachable(text())),
                Reason::RemoteUnreachable,
                "cannot be read: what to do",
            ),
            (
                RemoteFact::Failed(RemoteFault::HostKeyRejected(text())),
                Reason::HostKeyRejected,
                "not trusted: what to do",
            ),
            (
                RemoteFact::Failed(RemoteFault::AuthenticationFailed(text())),
                Reason::AuthenticationFailed,
                "does not let us in: what to do",
            ),
        ];
        for (remote, reason, message) in rows {
            check(&row(remote), Verdict::Stuck(reason), message);
        }
    }

    #[test]
    fn a_revision_names_its_source_only_when_there_are_several() {
        let one = |source: &str, reference: &str, commit: &str| SourceRevision {
            source: source.to_owned(),
            reference: reference.to_owned(),
            commit: Commit(commit.repeat(8)),
        };
        let stack = one("stack", "main", "1a2b3");
        let conf = one("conf", "prod", "9f8e7");
        assert_eq!(Revision(vec![stack.clone()]).to_string(), "main@1a2b31a");
        let both = Revision(vec![stack, conf]);
        assert_eq!(both.to_string(), "stack:main@1a2b31a conf:prod@9f8e79f");
    }
}
