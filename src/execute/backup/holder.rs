//! By what the lock of a worker is known: a worker that was killed leaves its lock, and whoever comes next
//! on the same Engine can tell that nobody holds it any more.

use anyhow::Result;

use super::session::{Desk, WORKER};
use crate::backup::protocol::Holder;

/// Of the worker that is about to be made; `None` where the Engine is not on our host, whose clock says
/// what was before and what after.
///
/// # Errors
///
/// When the Engine does not answer.
pub(super) async fn of(desk: &Desk<'_>) -> Result<Option<Holder>> {
    let (world, container) = (desk.world, desk.name.clone());
    let Some(engine) = world.engine.local_id().await? else { return Ok(None) };
    // Before the question: a lock that is older is of a worker that was there then, or is gone.
    let asked = (world.now)().timestamp_millis();
    let all = world.engine.all_containers().await?;
    let workers = all.into_iter().filter(|it| it.labels.contains_key(WORKER) && it.state.lives());
    let others = workers.map(|it| it.name).filter(|name| *name != container).collect();
    Ok(Some(Holder { engine, container, others, asked }))
}
