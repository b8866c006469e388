//! Names: what a container is called while another one has its name, and who gets which in the end.

use anyhow::{Result, bail};
use futures_util::future::join_all;
use tracing::warn;

use super::Switch;
use crate::plan::{Action, Change, Kept, rivals};

impl Switch<'_, '_> {
    /// The name a new container is made under.
    pub(super) fn first_name(&self, change: &Change) -> String {
        rivals::first_name(change, self.context.observed, self.plan)
    }

    /// Finds names that somebody else has before anything is touched: the Engine would only tell at
    /// the very end.
    pub(super) async fn expect_free_names(&self) -> Result<()> {
        for change in self.changes {
            let Action::Replace { old } = &change.action else { continue };
            let holder = rivals::holder(change, self.context.observed, self.plan);
            if old.name == change.name || holder.is_some() {
                continue;
            }
            if let Some(id) = self.context.engine.id_of(&change.name).await? {
                let id = id.get(..12).unwrap_or(&id);
                bail!(
                    "the name of container `{}` is taken by container `{id}`: remove that one, or \
                     give it another name",
                    change.name
                );
            }
        }
        Ok(())
    }

    /// Lets the old containers go. The new ones are well, so a failure here is told but not fatal: the
    /// next look finishes it.
    pub(in crate::apply) async fn let_old_go(&self) {
        let old = self.changes.iter().filter_map(|change| change.action.old());
        join_all(old.map(|old| self.remove_old(old))).await;
    }

    async fn remove_old(&self, old: &Kept) {
        let _permit = self.calls.acquire().await;
        let name = format!("remove old container {}", old.name);
        let removed = self.context.journal.step(name, self.context.engine.remove(&old.id)).await;
        if let Err(error) = removed {
            warn!("{error:#}; the next look finishes it");
        }
    }

    /// Gives the new containers their names, once all that had them are gone.
    pub(in crate::apply) async fn give_names(&self) {
        let indexes = 0..self.changes.len();
        join_all(indexes.map(|index| self.give_name(index))).await;
    }

    async fn give_name(&self, index: usize) {
        let change = &self.changes[index];
        let is_misnamed = matches!(change.action, Action::Rename { .. })
            || self.first_name(change) != change.name;
        let Some(id) = self.id(index).filter(|_| is_misnamed) else { return };
        let _permit = self.calls.acquire().await;
        let name = format!("rename container to {}", change.name);
        let work = self.context.engine.rename(&id, &change.name);
        if let Err(error) = self.context.journal.step(name, work).await {
            warn!("{error:#}; the next look finishes it");
        }
    }
}
