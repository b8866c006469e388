//! What the daemon and a worker say to each other.
//!
//! To the worker: frames of one byte of kind, four bytes of length (big-endian) and so many bytes. The
//! first is a [`Request`] as JSON. From the worker: one [`Event`] as JSON a line; the last one is
//! [`Event::Done`] or [`Event::Failed`], and the worker ends with 0 or 1. The end of its input before
//! that ends it: who asked is gone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::work::{Keep, Location};

/// What a frame to a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Frame {
    /// The request.
    Request = 0,
    /// A piece of a dump.
    Piece = 1,
    /// The dump is whole.
    Whole = 2,
    /// The dump is cut: nothing of it becomes a snapshot.
    Cut = 3,
    /// Writers are still: read now.
    Go = 4,
    /// Stop at once, and leave nothing locked.
    Stop = 5,
}

/// What a worker is to do. Holds secrets: it is never printed, and travels by pipe only.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// The repository.
    pub repository: Access,
    /// What to do with it.
    pub operation: Operation,
    /// By what its lock is known.
    #[serde(default)]
    pub holder: Option<Holder>,
}

/// By what the lock of a worker is known, and which of the others are held by nobody: those of workers of
/// the same Engine that were not there any more when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The Engine.
    pub engine: String,
    /// The worker's container.
    pub container: String,
    /// The containers of other workers that were there.
    pub others: Vec<String>,
    /// When that was asked, in milliseconds since 1970 by the clock of the Engine's host.
    pub asked: i64,
}

impl Holder {
    /// The user that a lock names.
    pub fn user(&self, container: &str) -> String {
        format!("roadstead/{}/{container}", self.engine)
    }

    /// Whether a lock of this user, written at this time, is of a worker that is gone.
    pub fn is_gone(&self, user: &str, written: i64) -> bool {
        let ours = user.strip_prefix(&self.user(""));
        written < self.asked
            && ours.is_some_and(|name| !self.others.iter().any(|other| other == name))
    }
}

/// How a repository is opened.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// Who reads and writes it.
    pub tool: Tool,
    /// Where it is, as the worker sees it.
    pub location: Location,
    /// Its password; empty where there is none.
    pub password: String,
    /// Makes it where there is none.
    pub init: bool,
    /// As [`crate::job::work::Repository::credentials`].
    pub credentials: Vec<(String, String)>,
    /// Certificate authorities to trust besides the usual ones (PEM).
    pub certificates: Option<String>,
}

/// As [`crate::job::work::Tool`], as a worker needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Ourselves, in restic's format.
    #[default]
    Rustic,
    /// The program `restic` of the worker's container.
    Restic,
    /// Ourselves, in archives.
    Tar {
        /// Public keys.
        recipients: Vec<String>,
        /// The content of the file of secret keys.
        identities: Option<String>,
    },
}

/// One operation. A snapshot is named by its id, the beginning of one, or `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// One snapshot of directories and files. With [`Event::Ready`] it waits for [`Frame::Go`].
    Backup {
        /// What is read, as the worker sees it; snapshots hold these paths.
        paths: Vec<PathBuf>,
        /// Globs of what is left out.
        exclude: Vec<String>,
        /// Leaves out directories that a `CACHEDIR.TAG` marks.
        exclude_caches: bool,
        /// What the snapshot says of itself.
        label: Label,
        /// Reads, and writes nothing.
        dry_run: bool,
    },
    /// One snapshot of one file, whose content comes in frames after [`Event::Ready`].
    Dump {
        /// Name of the file.
        name: String,
        /// What the snapshot says of itself.
        label: Label,
    },
    /// Lists snapshots with all of these tags: an [`Event::Snapshot`] each, oldest first.
    Snapshots {
        /// The tags.
        tags: Vec<String>,
    },
    /// Lists what a snapshot holds: an [`Event::Entry`] each.
    Files {
        /// Which snapshot.
        snapshot: String,
        /// With all of these tags, where it is `latest`.
        tags: Vec<String>,
        /// Below this path.
        path: Option<String>,
    },
    /// Says in what two snapshots differ: an [`Event::Difference`] each.
    Diff {
        /// The older one.
        from: String,
        /// The newer one.
        to: String,
    },
    /// Writes what a snapshot holds below `path` into a directory.
    Restore {
        /// Which snapshot.
        snapshot: String,
        /// With all of these tags, where it is `latest`.
        tags: Vec<String>,
        /// What of it; a directory's content goes right into `to`.
        path: Option<String>,
        /// The directory, as the worker sees it.
        to: PathBuf,
        /// Removes what is there and not in the snapshot.
        delete: bool,
        /// Says what it would write, and writes nothing.
        dry_run: bool,
    },
    /// Forgets snapshots with all of these tags that no rule wants.
    Forget {
        /// The tags; snapshots of different hosts, paths or `job:` tags are counted by themselves.
        tags: Vec<String>,
        /// The rules.
        keep: Keep,
        /// Says which, and forgets none.
        dry_run: bool,
    },
    /// Removes data that no snapshot needs.
    Prune {
        /// Says how much, and removes nothing.
        dry_run: bool,
    },
    /// Looks whether everything is there, and reads part `number` (from 0) of `of` of the data; 0 reads none.
    Check {
        /// Which part.
        number: u32,
        /// Of how many.
        of: u32,
    },
    /// Removes locks that nobody holds any more, or all of them.
    Unlock {
        /// Also those that may be held.
        all: bool,
    },
}

/// What a snapshot says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Name of the host.
    pub host: String,
    /// Tags, with `job:NAME` among them.
    pub tags: Vec<String>,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The repository is open, locked and its index is known; it waits for frames.
    Ready,
    /// How far it is; 0 in all is not known yet.
    Progress {
        /// What is being done, e.g. `backup`.
        what: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        all: u64,
    },
    /// All data was read: writers may go on. The snapshot is not written yet.
    Read,
    /// Something could not be read, or was not as it should be; the work goes on.
    Trouble {
        /// Where.
        path: String,
        /// What happened.
        what: String,
        /// It was gone before it could be read.
        vanished: bool,
    },
    /// One snapshot.
    Snapshot(Snapshot),
    /// One entry of a snapshot.
    Entry {
        /// Its path.
        path: String,
        /// `file`, `dir`, `symlink`, or restic's word for another.
        kind: String,
        /// Bytes.
        size: u64,
        /// Mode bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// When it was modified (RFC 3339).
        modified: Option<String>,
    },
    /// In what two snapshots differ.
    Difference {
        /// Where.
        path: String,
        /// `added`, `removed`, `changed` (content) or `metadata`.
        how: String,
    },
    /// It is done.
    Done(Summary),
    /// It is not; nothing that was there before is lost.
    Failed {
        /// Of which class.
        class: Failure,
        /// What happened and what to do.
        message: String,
    },
}

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// When it was made (RFC 3339).
    pub time: String,
    /// Name of the host.
    pub host: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Paths that it was made of.
    pub paths: Vec<String>,
    /// Files, where it says so.
    pub files: Option<u64>,
    /// Bytes in all, where it says so.
    pub bytes: Option<u64>,
    /// Bytes that were added to the repository (after compression), where it says so.
    pub added: Option<u64>,
}

/// What was done. Each operation fills what it knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The snapshot that was made or read.
    pub snapshot: Option<Snapshot>,
    /// Files that are new or changed; files restored.
    pub files_changed: u64,
    /// Files looked at.
    pub files: u64,
    /// Bytes looked at, restored or read by a check.
    pub bytes: u64,
    /// Bytes added to, or freed in, the repository.
    pub stored: u64,
    /// How many could not be read.
    pub troubles: u64,
    /// Snapshots kept and forgotten.
    pub kept: u64,
    /// Ids of the snapshots forgotten.
    pub forgotten: Vec<String>,
    /// Locks removed.
    pub unlocked: u64,
    /// The repository was made by this.
    pub made: bool,
}

/// What kind of failure it is: decides what is said and whether trying again helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// There is none, and `init` does not say to make one.
    NoRepository,
    /// The password does not open it.
    WrongPassword,
    /// Somebody else has it locked.
    Locked,
    /// It cannot be reached, or refuses us.
    Unreachable,
    /// There is no room left.
    Full,
    /// There is no such snapshot or path.
    NotFound,
    /// A dump was cut.
    Cut,
    /// It was told to stop.
    Stopped,
    /// The repository is damaged.
    Damaged,
    /// Anything else.
    Other,
}
