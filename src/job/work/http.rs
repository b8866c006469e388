//! Work over HTTP: one call or several, with a login before and expectations after.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use crate::compose::model::Hidden;

/// Calls over HTTP, sharing one cookie jar.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// What must answer before anything is called.
    pub wait_for: Vec<WaitFor>,
    /// Made first; its cookies go with all later calls.
    pub login: Option<Step>,
    /// The calls, in order, up to the first failure.
    pub steps: Vec<Step>,
    /// How many steps go on at once; 1 keeps the order.
    pub parallel: usize,
    /// How the servers are reached.
    pub connection: Connection,
}

/// How servers are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// File of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
    /// File of our certificate and key for servers that ask for one.
    pub client_certificate: Option<PathBuf>,
    /// Accepts every certificate.
    pub insecure: bool,
    /// How many redirects are followed; 0 takes a redirect as the answer.
    pub redirects: usize,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it is, for the log; `None` is method and address.
    pub name: Option<String>,
    /// Method, e.g. `GET`.
    pub method: String,
    /// Address.
    pub url: Hidden,
    /// Headers, by name.
    pub headers: IndexMap<String, Hidden>,
    /// Body.
    pub body: Option<Hidden>,
    /// Longest time of one try.
    pub timeout: Duration,
    /// What must be true of the answer.
    pub expect: Expect,
    /// Further tries of this call alone, and the pause before the second; doubled each time.
    pub retries: u32,
    /// Pause before the second try.
    pub backoff: Duration,
}

/// What must be true of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// Accepted statuses, both ends included; empty is 200 to 299.
    pub status: Vec<(u16, u16)>,
    /// A regular expression that must match somewhere in the body.
    pub body: Option<String>,
    /// JSON pointers (RFC 6901) and the values that must be there.
    pub json: IndexMap<String, serde_json::Value>,
}

/// What must answer before work begins.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    /// Address.
    pub url: Hidden,
    /// What must be true of the answer.
    pub expect: Expect,
    /// Longest wait.
    pub timeout: Duration,
    /// Pause between tries.
    pub every: Duration,
}
