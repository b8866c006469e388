//! Networks made anew: everything attached moves along, or back.
//!
//! docker compose reconnects containers without their aliases and addresses, so that names stop
//! resolving; here each attachment is made again as it was asked for.

use std::collections::BTreeSet;

use anyhow::Result;
use tracing::{error, info, warn};

use super::{Context, create_network, seconds};
use crate::docker::{Endpoint, NetworkDefinition};
use crate::plan::{Action, NetworkChange, Plan};

/// A network that was made anew, and how to go back.
pub(super) struct Moved {
    name: String,
    definition: NetworkDefinition,
    attached: Vec<Endpoint>,
}

/// Makes one network anew; on failure it is as it was before. `None` where it was gone already.
pub(super) async fn make_anew(
    context: &Context<'_>,
    plan: &Plan,
    change: &NetworkChange,
) -> Result<Option<Moved>> {
    let started = tokio::time::Instant::now();
    let engine = context.engine;
    let Some(definition) = engine.network_definition(&change.name).await? else {
        create_network(context, &change.key).await?;
        return Ok(None);
    };
    let attached = engine.endpoints(&change.name).await?;
    let moved = Moved { name: change.name.clone(), definition, attached };
    let work = async {
        clear(context, &moved.name, &moved.attached).await?;
        create_network(context, &change.key).await?;
        attach_all(context, plan, &moved).await
    };
    if let Err(error) = context.journal.step(change, work).await {
        put_back(context, &moved).await;
        return Err(error);
    }
    let count = moved.attached.len();
    info!("{change}: {count} containers moved along in {}", seconds(started));
    Ok(Some(moved))
}

async fn clear(context: &Context<'_>, name: &str, attached: &[Endpoint]) -> Result<()> {
    for it in attached {
        context.engine.disconnect(name, &it.container).await?;
    }
    context.engine.remove_network(name).await
}

async fn attach_all(context: &Context<'_>, plan: &Plan, moved: &Moved) -> Result<()> {
    let removed = plan.removals.iter().map(|it| it.id.as_str());
    let replaced = plan.changes.iter().filter_map(|it| old_of(&it.action));
    let goes: BTreeSet<&str> = replaced.chain(removed).collect();
    for it in &moved.attached {
        let connected = context.engine.reconnect(&moved.name, it).await;
        match connected {
            // It may hold an address that the new network does not have, and is about to go.
            Err(error) if goes.contains(it.container.as_str()) => {
                warn!("{error:#}; it is about to go");
            }
            other => other?,
        }
    }
    Ok(())
}

fn old_of(action: &Action) -> Option<&str> {
    match action {
        Action::Replace { old } | Action::Finish { old, .. } => Some(&old.id),
        Action::Create | Action::Start { .. } | Action::Restart { .. } | Action::Rename { .. } => {
            None
        }
    }
}

/// Makes a network as it was, with what was attached to it; false where that failed.
pub(super) async fn put_back(context: &Context<'_>, moved: &Moved) -> bool {
    let engine = context.engine;
    let work = async {
        let attached = engine.endpoints(&moved.name).await?;
        clear(context, &moved.name, &attached).await?;
        engine.restore_network(&moved.definition).await?;
        for it in &moved.attached {
            engine.reconnect(&moved.name, it).await?;
        }
        anyhow::Ok(())
    };
    let what = format!("put network {} back", moved.name);
    match context.journal.step(&what, work).await {
        Ok(()) => {
            info!("network {} is as it was", moved.name);
            true
        }
        Err(failure) => {
            error!("{what}: {failure:#}");
            false
        }
    }
}
