//! Files that lie elsewhere: docker compose would fetch them, we refuse them.

use crate::compose::yaml::Node;
use crate::problem::Problem;

/// What kind of remote resource a path names, if it names one.
pub(super) fn kind(path: &str) -> Option<&'static str> {
    let starts = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    if starts(&["oci://"]) {
        return Some("an OCI artifact");
    }
    let is_git = starts(&["git://", "ssh://", "git@", "github.com/"]);
    if is_git || (starts(&["https://", "http://"])) {
        return Some("a git repository");
    }
    None
}

/// Why it is not fetched.
pub(super) fn refusal(place: &Node, key: &str, path: &str, kind: &str) -> Problem {
    let message = format!("`{key}` names {kind}, `{path}`: only local files are read");
    place.problem(message).with_hint(
        "what runs must not change without a commit: put a copy, or a git submodule, beside this file",
    )
}
