//! A process of an OGC API Processes server (OGC 18-062r2), run as a job.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::http::Step;
use crate::compose::model::Hidden;

/// A process of an OGC API Processes server.
#[derive(Clone, Debug, PartialEq)]
pub struct OgcProcess {
    /// Base address of the server, without `/processes`.
    pub url: Hidden,
    /// Id of the process.
    pub process: String,
    /// Id of the provider the process belongs to (Weaver).
    pub provider: Option<String>,
    /// The execution request's `inputs`.
    pub inputs: serde_json::Value,
    /// The execution request's `outputs`.
    pub outputs: Option<serde_json::Value>,
    /// How it is executed.
    pub mode: OgcMode,
    /// Made first; its cookies go with all later calls.
    pub login: Option<Step>,
    /// Headers of all calls.
    pub headers: IndexMap<String, Hidden>,
    /// Shortest and longest pause between two looks at the status.
    pub poll: (Duration, Duration),
    /// What becomes of the remote job when our time is over.
    pub on_timeout: OnTimeout,
    /// File of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// How a process is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OgcMode {
    /// `Prefer: respond-async`.
    #[default]
    Async,
    /// The answer is waited for.
    Sync,
    /// As the server likes.
    Auto,
}

/// What becomes of a remote job when our time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// It is dismissed.
    #[default]
    Dismiss,
    /// It goes on.
    Leave,
}
