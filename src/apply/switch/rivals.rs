//! Rivals: containers that stop before another one starts, because it needs what they have.

use anyhow::Result;
use tracing::{error, info};

use super::{Stage, Switch};
use crate::plan::rivals::Rival;
use crate::plan::{Action, Change};

impl Switch<'_, '_> {
    /// Stops what has the ports and addresses that a change needs.
    pub(super) async fn stop_rivals(&self, change: &Change) -> Result<()> {
        for rival in &change.rivals {
            let replacing = self.changes.iter().position(|it| replaces(it, &rival.id));
            if let Some(index) = replacing {
                // Going back starts it again.
                self.reach(index, Stage::Touched);
                self.put_policy_aside(&rival.id).await;
            } else {
                let mut stopped = self.stopped.lock().expect("no holder of this lock panics");
                stopped.push(rival.clone());
            }
            let service = replacing.and_then(|index| self.service(&self.changes[index]).ok());
            let grace = service.and_then(|it| it.stop_grace_period);
            let work = self.context.engine.stop(&rival.id, grace);
            let name = format!("stop container {}", rival.name);
            self.context.journal.step(name, work).await?;
        }
        Ok(())
    }

    /// Starts again those rivals that no other change starts again; false where one does not start.
    pub(super) async fn restart_rivals(&self) -> bool {
        let mut stopped =
            std::mem::take(&mut *self.stopped.lock().expect("no holder of this lock panics"));
        stopped.dedup();
        let mut all_run = true;
        for Rival { id, name } in &stopped {
            let work = self.context.engine.start(id);
            match self.context.journal.step(format!("start old container {name}"), work).await {
                Ok(()) => info!("old container {name} runs again"),
                Err(failure) => {
                    error!("old container {name} does not start again: {failure:#}");
                    all_run = false;
                }
            }
        }
        all_run
    }
}

fn replaces(change: &Change, container: &str) -> bool {
    matches!(&change.action, Action::Replace { old } if old.id == container)
}
