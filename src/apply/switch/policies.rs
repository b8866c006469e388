//! Restart policies of old containers. One that is always to run would come back when the Engine
//! starts anew, beside its replacement and on the same volumes; so it rests without one until it is
//! removed, or runs again.

use anyhow::{Context as _, Result};
use tracing::warn;

use super::Switch;
use crate::plan::Kept;

/// No restart policy, as the Engine knows it.
const NONE: &str = "no";

/// The restart policy of an old container.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// As a Compose file writes it.
    text: String,
    /// Whether the container is without it now.
    is_aside: bool,
}

impl Policy {
    /// That of a container which an interrupted run took it from.
    pub(super) fn aside(text: &str) -> Self {
        Self { text: text.to_owned(), is_aside: true }
    }
}

impl Switch<'_, '_> {
    /// Looks up the restart policy that has to be put aside, before anything is touched.
    pub(super) async fn learn_policy(&self, old: &Kept) -> Result<Option<String>> {
        let policy = self.context.engine.reviving_policy(&old.id).await?;
        if let Some(text) = policy.clone() {
            let mut policies = self.policies.lock().expect("no holder of this lock panics");
            policies.insert(old.id.clone(), Policy { text, is_aside: false });
        }
        Ok(policy)
    }

    /// Takes the restart policy from an old container that is about to stop.
    pub(super) async fn put_policy_aside(&self, id: &str) {
        let is_learned = {
            let mut policies = self.policies.lock().expect("no holder of this lock panics");
            policies
                .get_mut(id)
                .is_some_and(|policy| !std::mem::replace(&mut policy.is_aside, true))
        };
        if is_learned && let Err(error) = self.context.engine.set_restart_policy(id, NONE).await {
            warn!("{error:#}; if the Engine starts anew now, the old container comes back as well");
        }
    }

    /// Gives an old container its restart policy back, where it is without.
    pub(super) async fn give_policy_back(&self, id: &str) -> Result<()> {
        let policies = self.policies.lock().expect("no holder of this lock panics").clone();
        let Some(policy) = policies.get(id).filter(|policy| policy.is_aside) else { return Ok(()) };
        let given = self.context.engine.set_restart_policy(id, &policy.text).await;
        given.with_context(|| format!("its `restart: {}` is not back", policy.text))
    }

    /// Takes it from a new container that is given up, for the old one runs again before it goes.
    pub(super) async fn give_up_policy(&self, id: &str) {
        if let Err(error) = self.context.engine.set_restart_policy(id, NONE).await {
            tracing::debug!("{error:#}; it goes anyway");
        }
    }
}
