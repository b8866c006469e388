//! `refresh`: requests that keep the cache of a web server warm.

use std::time::Duration;

use super::{Connection, Step};

/// Requests that keep the cache of a web server warm. One that fails does not stop the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    /// Made first; its cookies go with all others.
    pub login: Option<Step>,
    /// The requests.
    pub requests: Vec<Step>,
    /// How many go on at once.
    pub parallel: usize,
    /// How many begin in a second at most, further tries included; `None` is as many as can.
    pub per_second: Option<u32>,
    /// From this age on an entry of the cache is stale, and made anew when somebody asks for it.
    pub soft_ttl: Option<Duration>,
    /// At this age it is gone.
    pub hard_ttl: Option<Duration>,
    /// How the server is reached.
    pub connection: Connection,
    /// Says what it would ask for, and asks for nothing.
    pub dry_run: bool,
}

impl Refresh {
    /// The longest time between two runs after which nothing is stale for long: half of the soft TTL, as a
    /// run may fail once. `None` where nothing is said, or the hard TTL is at least twice the soft one and so
    /// forgives what is late.
    pub fn longest_gap(&self) -> Option<Duration> {
        let soft = self.soft_ttl?;
        let is_forgiving = self.hard_ttl.is_some_and(|hard| hard >= soft * 2);
        (!is_forgiving).then_some(soft / 2)
    }
}
