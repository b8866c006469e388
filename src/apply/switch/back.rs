//! The way back: new containers stop, old ones run again, and only then the new ones go.

use anyhow::Result;
use futures_util::future::join_all;
use tracing::{error, info, warn};

use super::{Stage, Switch, networks};
use crate::apply::Left;
use crate::plan::{Action, Change, Kept};

impl Switch<'_, '_> {
    /// Removes the containers of [`Switch::create_all`]; nothing else was touched.
    pub(in crate::apply) async fn discard_created(&self) {
        for index in 0..self.changes.len() {
            if let Err(error) = self.discard(index, Stage::Waiting).await {
                warn!("{error:#}; the next look removes it");
            }
        }
    }

    async fn discard(&self, index: usize, stage: Stage) -> Result<()> {
        let change = &self.changes[index];
        match self.new_id(index, stage) {
            Some(id) => {
                let name = format!("discard new container for {}", change.name);
                // Those that it was given have names, and stay.
                let anonymous_volumes = true;
                let removed = self.context.engine.discard(&id, anonymous_volumes);
                self.context.journal.step(name, removed).await
            }
            None => Ok(()),
        }
    }

    /// The container that goes when a change that came this far is given up.
    fn new_id(&self, index: usize, stage: Stage) -> Option<String> {
        let is_new = match self.changes[index].action {
            Action::Create => !self.context.keep_new || stage < Stage::Touched,
            Action::Replace { .. } => true,
            Action::Finish { .. } => goes_back(stage),
            Action::Start { .. } | Action::Restart { .. } | Action::Rename { .. } => false,
        };
        self.id(index).filter(|_| is_new)
    }

    /// Stops a new container with its own grace: it may be a database on a shared volume.
    async fn stop_new(&self, index: usize, stage: Stage) -> Result<()> {
        let restarted = match &self.changes[index].action {
            // It has come to know a container that goes.
            Action::Restart { id } => Some(id.clone()),
            _ => None,
        };
        match self.new_id(index, stage).or(restarted).filter(|_| stage >= Stage::Touched) {
            Some(id) => {
                if self.changes[index].action.old().is_some() {
                    self.give_up_policy(&id).await;
                }
                let name = format!("stop container {}", self.changes[index].name);
                self.context.journal.step(name, self.context.engine.stop(&id, None)).await
            }
            None => Ok(()),
        }
    }

    /// Puts back networks, and what the caller changed; false where that failed.
    pub(in crate::apply) async fn undo(&self) -> bool {
        let moved = std::mem::take(&mut *self.moved.lock().expect("no holder of this lock panics"));
        let mut all_back = true;
        for network in &moved {
            all_back &= networks::put_back(self.context, network).await;
        }
        let Some(undo) = self.context.undo else { return all_back };
        let undone = undo().await;
        undone.inspect_err(|failure| error!("{failure:#}")).is_ok() && all_back
    }

    /// Puts everything back: new containers stop, old ones run again, and only then the new ones go.
    /// As long as both exist, a crash in here is seen and repaired by the next start.
    pub(in crate::apply) async fn roll_back(&self) -> Left {
        let stages = self.stages();
        let touched = stages.iter().any(|stage| *stage >= Stage::Touched);
        let mut left = match touched {
            true if self.context.keep_new => Left::Standing,
            true => Left::RolledBack,
            false => Left::Untouched,
        };
        let stops = stages.iter().enumerate().map(|(index, stage)| self.stop_new(index, *stage));
        let stopped = join_all(stops).await.into_iter().collect::<Result<()>>();
        if let Err(failure) = stopped {
            error!("{failure:#}");
            left = Left::Incomplete;
        }
        if !self.undo().await {
            left = Left::Incomplete;
        }
        if !self.restart_old(&stages).await {
            // The new containers stay, stopped: they tell the next start what to put back.
            return Left::Incomplete;
        }
        for (index, stage) in stages.iter().enumerate().rev() {
            if let Err(failure) = self.discard(index, *stage).await {
                error!("{failure:#}");
                left = Left::Incomplete;
            }
        }
        left
    }

    /// Starts the old containers that are to run and do not; false where one does not start.
    pub(in crate::apply) async fn restart_old(&self, stages: &[Stage]) -> bool {
        let mut all_run = self.restart_rivals().await;
        for (change, stage) in self.changes.iter().zip(stages) {
            if let Some(old) = old_again(change, *stage)
                && let Err(failure) = self.give_policy_back(&old.id).await
            {
                error!("{failure:#}");
                all_run = false;
            }
            let Some((id, old)) = to_restart(change, *stage) else { continue };
            let work = self.context.engine.start(id);
            let name = format!("start old container {old}");
            match self.context.journal.step(name, work).await {
                Ok(()) => info!("old container {old} runs again"),
                Err(failure) => {
                    error!("old container {old} does not start again: {failure:#}");
                    all_run = false;
                }
            }
        }
        all_run
    }
}

/// Whether a resumed switch goes back to its old container: its new one turned out not to be well, or
/// there was no time to find out.
fn goes_back(stage: Stage) -> bool {
    matches!(stage, Stage::Touched | Stage::Started)
}

/// The old container that is to stand as before when a change that came this far is given up.
fn old_again(change: &Change, stage: Stage) -> Option<&Kept> {
    let goes_back = !matches!(change.action, Action::Finish { .. }) || goes_back(stage);
    change.action.old().filter(|_| goes_back)
}

/// Id and name of the container that must run again when a change that came this far is given up.
fn to_restart(change: &Change, stage: Stage) -> Option<(&str, &str)> {
    let (old, is_down) = match &change.action {
        // One that an interrupted run stopped is down although this run did not touch it.
        Action::Replace { old } => (old, stage >= Stage::Touched || !old.running),
        Action::Finish { old, .. } => (old, goes_back(stage)),
        Action::Restart { id } => {
            return (stage >= Stage::Touched).then_some((id, &change.name));
        }
        Action::Create | Action::Start { .. } | Action::Rename { .. } => return None,
    };
    (is_down && old.restart).then_some((&old.id, &old.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn giving_up_restarts_exactly_the_old_ones_that_are_down() {
        let old = |restart, running| Kept {
            id: "old".to_owned(),
            name: "p-web-1".to_owned(),
            restart,
            running,
            anonymous_volumes: BTreeMap::new(),
            restart_policy: None,
        };
        let replace = |restart, running| Action::Replace { old: old(restart, running) };
        let finish = |restart| Action::Finish { old: old(restart, false), id: "new".to_owned() };
        let start = Action::Start { id: "it".to_owned() };
        let restart = || Action::Restart { id: "it".to_owned() };
        for (action, stage, expected) in [
            (replace(true, true), Stage::Waiting, None),
            (replace(true, true), Stage::Touched, Some("old")),
            (replace(true, true), Stage::Well, Some("old")),
            // An interrupted run had stopped it.
            (replace(true, false), Stage::Waiting, Some("old")),
            // It did not run before.
            (replace(false, false), Stage::Waiting, None),
            (replace(false, false), Stage::Well, None),
            // The new one still runs, or turned out to be well.
            (finish(true), Stage::Waiting, None),
            (finish(true), Stage::Well, None),
            (finish(true), Stage::Started, Some("old")),
            (finish(false), Stage::Started, None),
            // It has come to know a container that goes.
            (restart(), Stage::Waiting, None),
            (restart(), Stage::Touched, Some("it")),
            (restart(), Stage::Well, Some("it")),
            (Action::Create, Stage::Well, None),
            (start, Stage::Well, None),
        ] {
            let change = Change {
                service: "web".to_owned(),
                number: 1,
                name: "p-web-1".to_owned(),
                action,
                why: String::new(),
                after: Vec::new(),
                rivals: Vec::new(),
            };
            let restarted = to_restart(&change, stage).map(|(id, _)| id);
            assert_eq!(restarted, expected, "{:?} {stage:?}", change.action);
        }
    }
}
