//! A run: one execution of one job, why it started and how it ended.

use std::fmt;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::source::Revision;

/// Row number of a run in the store; 0 before it is stored.
pub type RunId = i64;

/// What said "look now". Nothing is decided from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A slot of the job's schedule.
    Schedule,
    /// The daemon started.
    Startup,
    /// A person asked; also lifts a quarantine.
    Manual,
    /// A person wants a backup of the job back: the run restores, and is none of the job's own work.
    Restore,
    /// The run before asked for another try.
    Retry,
    /// A slot that passed while nobody could run it.
    CatchUp,
    /// Another job's run ended.
    After,
    /// A deploy ended.
    Deploy,
    /// Something happened to a container.
    Container,
    /// A webhook was called.
    Webhook,
    /// A file was changed.
    File,
}

impl Trigger {
    /// The word in logs, in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Startup => "startup",
            Self::Manual => "manual",
            Self::Restore => "restore",
            Self::Retry => "retry",
            Self::CatchUp => "catch_up",
            Self::After => "after",
            Self::Deploy => "deploy",
            Self::Container => "container",
            Self::Webhook => "webhook",
            Self::File => "file",
        }
    }

    /// The trigger written as `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }

    /// Whether a person asked, and waits for it.
    pub fn is_of_a_person(self) -> bool {
        matches!(self, Self::Manual | Self::Restore)
    }

    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Schedule,
        Self::Startup,
        Self::Manual,
        Self::Restore,
        Self::Retry,
        Self::CatchUp,
        Self::After,
        Self::Deploy,
        Self::Container,
        Self::Webhook,
        Self::File,
    ];
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a person wants back in place of what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The snapshot: its id or the beginning of one; without it the newest that has the path.
    pub snapshot: Option<String>,
    /// What of it; without it all volumes.
    pub path: Option<String>,
    /// Stops the containers that have the volumes, and starts them again.
    pub stop: bool,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, e.g. `backup`.
    pub what: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 where that is not known yet.
    pub all: u64,
}

/// Where a run says how far it is, for whoever looks.
pub type Live = Arc<Mutex<Option<Progress>>>;

/// How a run stands or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Entered; waits for its turn.
    Queued,
    /// Its turn has come; nothing that it does is known to go on yet.
    Starting,
    /// Still going on.
    Running,
    /// Did what was asked: converged and healthy, or the container ended with 0.
    Succeeded,
    /// Did what was asked as far as it could be done, and its job says that this is enough: see the reason.
    Degraded,
    /// Looked, and there was nothing to do.
    Unchanged,
    /// Did not look: see the reason.
    Skipped,
    /// Its time passed before it could start: see the reason.
    Missed,
    /// A person must act before another try makes sense; nothing was touched.
    Blocked,
    /// Tried and failed. Where something had been touched, it is as before.
    Failed,
    /// Its time ran out, and it was ended.
    TimedOut,
    /// Stopped by a person or by shutdown at a step boundary.
    Cancelled,
    /// We died in the middle; the next run of the job repairs.
    Lost,
}

impl Outcome {
    /// The word in logs, in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Degraded => "degraded",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 13] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Succeeded,
        Self::Degraded,
        Self::Unchanged,
        Self::Skipped,
        Self::Missed,
        Self::Blocked,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Lost,
    ];

    /// The outcome written as `word`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// True until the run has ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Starting | Self::Running)
    }

    /// Exit code of a command that waited for the run: 0 done or nothing to do, 1 otherwise.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Queued
            | Self::Starting
            | Self::Running
            | Self::Succeeded
            | Self::Degraded
            | Self::Unchanged
            | Self::Skipped => 0,
            Self::Missed
            | Self::Blocked
            | Self::Failed
            | Self::TimedOut
            | Self::Cancelled
            | Self::Lost => 1,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a run ended as it did: the closed list that people grep for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Converged before we looked.
    Converged,
    /// The plan was carried out.
    Applied,
    /// A container ended with exit code 0.
    ExitedZero,
    /// A container ended with another exit code.
    ExitedNonZero,
    /// The source's directory is missing.
    DirectoryMissing,
    /// The source's directory is no git repository.
    NotARepository,
    /// Local and remote both have commits the other lacks.
    Diverged,
    /// Uncommitted changes stand in the way of a fast-forward.
    Dirty,
    /// HEAD is not on a branch.
    Detached,
    /// The branch follows no upstream.
    NoUpstream,
    /// The upstream branch was deleted at the remote.
    UpstreamGone,
    /// The remote did not answer, refused, or did not let us in.
    RemoteUnreachable,
    /// The ssh server's key is not in `known_hosts`, or differs from it.
    HostKeyRejected,
    /// The remote rejected our key or token.
    AuthenticationFailed,
    /// The checkout could not be moved to the new commit.
    FastForwardFailed,
    /// `env.local` could not be read.
    ConfigurationInvalid,
    /// A Compose file could not be loaded.
    ComposeInvalid,
    /// The plan asks for something only a person may decide.
    NeedsPerson,
    /// This revision failed before and no newer one has come.
    Quarantined,
    /// The Docker Engine did not answer.
    EngineUnreachable,
    /// An image could neither be found nor pulled.
    ImageUnavailable,
    /// An image could not be built.
    BuildFailed,
    /// Preparing failed: nothing that ran was touched.
    PrepareFailed,
    /// A new container did not start, stay up or become healthy; the old ones run again.
    RolledBack,
    /// As [`Reason::RolledBack`], but not everything could be put back.
    RollbackIncomplete,
    /// Nothing to change, but what runs is not well.
    Unhealthy,
    /// The time allowed for the run ran out.
    TimedOut,
    /// A run of this job was still going on.
    Overlap,
    /// The job, or all jobs, were paused.
    Paused,
    /// It could not start before its start deadline.
    Deadline,
    /// Roadstead was not there when its time came.
    NotServing,
    /// The clock jumped over it, or the machine slept.
    ClockJump,
    /// A person asked for its end.
    Requested,
    /// A newer run of the job took its place.
    Replaced,
    /// The job is no longer there.
    JobGone,
    /// Roadstead was stopped.
    Shutdown,
    /// Roadstead died while the run was going on.
    Crashed,
    /// A container that the job names is not there, or does not run.
    NoSuchContainer,
    /// The run's container was removed by somebody else.
    ContainerGone,
    /// Another container has the name that this run's is to have.
    NameTaken,
    /// The program could not be started.
    NotStarted,
    /// `AUTODEPLOY_ALLOW_COMMANDS` does not let jobs run programs in our own container.
    CommandsDisabled,
    /// A server could not be reached, or did not answer.
    HttpFailed,
    /// A server answered something else than the job expects.
    ExpectationFailed,
    /// A remote process failed.
    RemoteFailed,
    /// A remote process was dismissed there.
    Dismissed,
    /// A server did not let us in.
    Unauthorized,
    /// A server has no pool of this name.
    UnknownPool,
    /// No backend of a pool answers.
    NoBackends,
    /// Not every backend of a pool has in its cache what the others have.
    OutOfSync,
    /// A job of a group failed.
    MemberFailed,
    /// Part of the work could not be done; the rest was.
    Incomplete,
    /// Did what was asked.
    Done,
    /// None of the above: a fault of ours or of the machine; the message tells.
    Internal,
}

impl Reason {
    /// The word in logs, in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Applied => "applied",
            Self::ExitedZero => "exited_zero",
            Self::ExitedNonZero => "exited_non_zero",
            Self::DirectoryMissing => "directory_missing",
            Self::NotARepository => "not_a_repository",
            Self::Diverged => "diverged",
            Self::Dirty => "dirty",
            Self::Detached => "detached",
            Self::NoUpstream => "no_upstream",
            Self::UpstreamGone => "upstream_gone",
            Self::RemoteUnreachable => "remote_unreachable",
            Self::HostKeyRejected => "host_key_rejected",
            Self::AuthenticationFailed => "authentication_failed",
            Self::FastForwardFailed => "fast_forward_failed",
            Self::ConfigurationInvalid => "configuration_invalid",
            Self::ComposeInvalid => "compose_invalid",
            Self::NeedsPerson => "needs_person",
            Self::Quarantined => "quarantined",
            Self::EngineUnreachable => "engine_unreachable",
            Self::ImageUnavailable => "image_unavailable",
            Self::BuildFailed => "build_failed",
            Self::PrepareFailed => "prepare_failed",
            Self::RolledBack => "rolled_back",
            Self::RollbackIncomplete => "rollback_incomplete",
            Self::Unhealthy => "unhealthy",
            Self::TimedOut => "timed_out",
            Self::Overlap => "overlap",
            Self::Paused => "paused",
            Self::Deadline => "deadline",
            Self::NotServing => "not_serving",
            Self::ClockJump => "clock_jump",
            Self::Requested => "requested",
            Self::Replaced => "replaced",
            Self::JobGone => "job_gone",
            Self::Shutdown => "shutdown",
            Self::Crashed => "crashed",
            Self::NoSuchContainer => "no_such_container",
            Self::ContainerGone => "container_gone",
            Self::NameTaken => "name_taken",
            Self::NotStarted => "not_started",
            Self::CommandsDisabled => "commands_disabled",
            Self::HttpFailed => "http_failed",
            Self::ExpectationFailed => "expectation_failed",
            Self::RemoteFailed => "remote_failed",
            Self::Dismissed => "dismissed",
            Self::Unauthorized => "unauthorized",
            Self::UnknownPool => "unknown_pool",
            Self::NoBackends => "no_backends",
            Self::OutOfSync => "out_of_sync",
            Self::MemberFailed => "member_failed",
            Self::Incomplete => "incomplete",
            Self::Done => "done",
            Self::Internal => "internal",
        }
    }

    /// Whether no further try follows: the time is over, or a person must do something first.
    pub fn is_final(self) -> bool {
        matches!(self, Self::TimedOut | Self::Unauthorized | Self::UnknownPool)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a run ended: outcome, reason, and one sentence for people that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason from the closed list.
    pub reason: Reason,
    /// One sentence: what happened, where, what to do.
    pub message: String,
    /// Exit code of the container of a `run:` job.
    pub exit_code: Option<i64>,
}

impl Ending {
    /// An ending without a container's exit code.
    pub fn new(outcome: Outcome, reason: Reason, message: impl Into<String>) -> Self {
        Self { outcome, reason, message: message.into(), exit_code: None }
    }
}

/// One execution of one job, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Row number.
    pub id: RunId,
    /// Name of the job.
    pub job: String,
    /// What said "look now".
    pub trigger: Trigger,
    /// The scheduled time this run stands for; unique with `job`.
    pub slot: Option<DateTime<Utc>>,
    /// When it started; when it was entered, as long as it waits.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// The revision it was made from, once known.
    pub revision: Option<Revision>,
    /// How it stands or ended.
    pub outcome: Outcome,
    /// Why; `None` while running.
    pub reason: Option<Reason>,
    /// One sentence for people; empty while running.
    pub message: String,
    /// Exit code of the container of a `run:` job.
    pub exit_code: Option<i64>,
}

impl Run {
    /// How it ended, if it has.
    pub fn ending(&self) -> Option<Ending> {
        let (message, exit_code) = (self.message.clone(), self.exit_code);
        let ending = Ending::new(self.outcome, self.reason?, message);
        Some(Ending { exit_code, ..ending })
    }
}

/// What a run was made of, for those who ask later what exactly ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The image reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest of the image as its registry knows it, else its id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Program and arguments, secrets masked; method and address for calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Names, never values, of the environment that the job gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Commit of the job file, where it lies in a checkout; with a `+` where the file was edited since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_revision: Option<String>,
    /// Results to keep, e.g. of a remote process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<serde_json::Value>,
    /// When `container` was made: what the run wrote since then is that container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Which of the works that follow the job's own goes on, from 1; 0 is its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub then: usize,
    /// The job at a server that the run follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// How the work that goes on, a try of it, or a job of a group ended, where that is known before the
    /// run has ended: a crash in between forgets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Ids of containers that it stopped and is to start again, whatever becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
    /// Ids of containers that it paused and is to let go on, whatever becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<String>,
    /// Commands that it is to run in containers, whatever becomes of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
    /// A volume that it made and is to remove, whatever becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
    /// Tries before the one that goes on, of a job of a group; those of a run are steps of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries_before: u32,
}

impl Details {
    /// Whether something is to be put back, whatever became of the run.
    pub fn owes(&self) -> bool {
        !(self.stopped.is_empty() && self.paused.is_empty() && self.owed.is_empty())
            || self.scratch.is_some()
    }
}

/// A command that is to run in a container, to undo what one before it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Id of the container.
    pub container: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A job at a server, as it is found again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Path and query of its status, at the server that the job names.
    pub status: String,
    /// Lines of its log that are in ours.
    pub log_lines: usize,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// One step of a run's plan, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Position in the run, from 0.
    pub index: usize,
    /// What the step makes true, e.g. `start container web-web-1`.
    pub name: String,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended; `None` if we died in it.
    pub ended: Option<DateTime<Utc>>,
    /// The error it ended with.
    pub error: Option<String>,
}

/// When a run came into a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The state, by the word of its outcome.
    pub state: Outcome,
    /// When.
    pub at: DateTime<Utc>,
}
