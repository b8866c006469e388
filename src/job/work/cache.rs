//! `cache_sync`: pools of QGIS servers whose caches are to be equal.

use std::path::PathBuf;
use std::time::Duration;

use crate::compose::model::Hidden;

/// Makes the caches of pools of QGIS servers (qjazz) equal, and proves it.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheSync {
    /// Address of the admin service or of the map server, without `/v1`.
    pub url: Hidden,
    /// Which pools.
    pub pools: Pools,
    /// How it is spoken to.
    pub dialect: CacheDialect,
    /// What it is told who we are with. Without one no header is sent: a server that expects none refuses
    /// every one.
    pub token: Option<Token>,
    /// Whether it first looks again which backends there are.
    pub rescan_backends: bool,
    /// Whether a backend that does not answer is a failure.
    pub require_all_backends: bool,
    /// Projects that every backend is to have, whether one has them already or not.
    pub pull: Vec<String>,
    /// Longest time of one call.
    pub timeout: Duration,
    /// File of certificate authorities to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Says what is out of sync, and does nothing.
    pub dry_run: bool,
}

/// Which pools of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pools {
    /// Those that it has.
    All,
    /// These: labels, or routes of channels of the map server.
    Named(Vec<String>),
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheDialect {
    /// As it answers at `/`.
    #[default]
    Auto,
    /// The admin service of qjazz until 0.6 (`/v1/pools/...`).
    V1,
    /// The map server of qjazz from 0.7 on (`ROUTE/admin/projects`).
    Map,
}

/// A token, or where it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// The token.
    Value(Hidden),
    /// A file with nothing else in it.
    File(PathBuf),
}

impl CacheSync {
    /// Host and path of the server, without what may be secret in its address: jobs that share it never
    /// run together.
    pub fn server(&self) -> String {
        let url = self.url.expose();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        format!("{host}/{path}").trim_end_matches('/').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_without_secrets() {
        for (url, expected) in
            [("http://Admin:9871", "admin:9871"), ("https://ada:pw@h:8443/x/?token=1", "h:8443/x")]
        {
            let sync = CacheSync {
                url: Hidden::new(url.to_owned()),
                pools: Pools::All,
                dialect: CacheDialect::Auto,
                token: None,
                rescan_backends: true,
                require_all_backends: true,
                pull: Vec::new(),
                timeout: Duration::from_mins(1),
                ca_file: None,
                dry_run: false,
            };
            assert_eq!(sync.server(), expected, "{url}");
        }
    }
}
