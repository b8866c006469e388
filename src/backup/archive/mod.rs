//! Repositories of archives: one compressed tar file a snapshot.

use std::sync::Arc;

use super::frames::Told;
use super::protocol::{Access, Failure, Operation, Summary};
use super::talk::{Failed, Outcome, Talk};

/// Does what is asked.
///
/// # Errors
///
/// When it could not be done.
pub(super) fn carry_out(
    access: &Access,
    operation: Operation,
    (_, _): (&Arc<Talk>, Told),
) -> Outcome<Summary> {
    let what = format!("{} of {} is not built", operation.word(), access.location.name());
    Err(Failed::new(Failure::Other, what))
}
