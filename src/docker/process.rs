//! The processes of containers: stop, restart, signal, freeze, list, wait.

use std::time::Duration;

use anyhow::{Context, Result};
use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, RestartContainerOptions, StopContainerOptions,
    TopOptions, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::containers::short;
use super::{CALL_DEADLINE, Engine, is_not_found, status_of};

/// What the Engine may take beyond a grace to answer.
const SLACK: Duration = Duration::from_mins(1);
/// Longest wait where a container brings its own grace, which may be anything.
const LONGEST: Duration = Duration::from_hours(24);

/// The processes of one container, as `ps` on the host shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Names of the columns.
    pub titles: Vec<String>,
    /// One row a process.
    pub rows: Vec<Vec<String>>,
}

impl Engine {
    /// Stops a container; after `grace` seconds it is killed. `None` is the container's own grace, a
    /// negative number waits for ever.
    ///
    /// # Errors
    ///
    /// When the Engine cannot stop it.
    pub async fn stop_within(&self, id: &str, grace: Option<i32>) -> Result<()> {
        let docker = self.docker()?.clone().with_timeout(patience(grace));
        let options = StopContainerOptions { t: grace, ..Default::default() };
        let stopped = docker.stop_container(id, Some(options)).await;
        stopped.with_context(|| format!("stop container `{}`", short(id)))
    }

    /// Stops and starts a container; for `grace` see [`Self::stop_within`].
    ///
    /// # Errors
    ///
    /// When the Engine cannot stop or start it.
    pub async fn restart(&self, id: &str, grace: Option<i32>) -> Result<()> {
        let docker = self.docker()?.clone().with_timeout(patience(grace));
        let options = RestartContainerOptions { t: grace, ..Default::default() };
        let restarted = docker.restart_container(id, Some(options)).await;
        restarted.with_context(|| format!("restart container `{}`", short(id)))
    }

    /// Sends a signal, by name or number.
    ///
    /// # Errors
    ///
    /// When the container does not run or there is no such signal.
    pub async fn kill(&self, id: &str, signal: &str) -> Result<()> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let killed = self.docker()?.kill_container(id, Some(options)).await;
        killed.with_context(|| format!("send {signal} to container `{}`", short(id)))
    }

    /// Freezes a container's processes.
    ///
    /// # Errors
    ///
    /// When it does not run or is frozen already.
    pub async fn pause(&self, id: &str) -> Result<()> {
        let paused = self.docker()?.pause_container(id).await;
        paused.with_context(|| format!("pause container `{}`", short(id)))
    }

    /// Lets a frozen container's processes run again.
    ///
    /// # Errors
    ///
    /// When it is not frozen.
    pub async fn unpause(&self, id: &str) -> Result<()> {
        let unpaused = self.docker()?.unpause_container(id).await;
        unpaused.with_context(|| format!("unpause container `{}`", short(id)))
    }

    /// Removes a container that is to go, with its anonymous volumes if `volumes`.
    ///
    /// # Errors
    ///
    /// When the Engine cannot remove it.
    pub async fn discard(&self, id: &str, volumes: bool) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: volumes, ..Default::default() };
        let removed = self.docker()?.remove_container(id, Some(options)).await;
        let removed = removed.with_context(|| format!("remove container `{}`", short(id)));
        match removed {
            Err(error) if status_of(&error) == Some(409) => self.wait_until_gone(id).await,
            removed => super::containers::ignore(removed, is_not_found),
        }
    }

    /// Waits for another removal to end, as that of `docker run --rm`: what the container used is free
    /// only then.
    async fn wait_until_gone(&self, id: &str) -> Result<()> {
        let condition = WaitContainerOptions { condition: "removed".to_owned() };
        let mut gone = Box::pin(self.docker()?.wait_container(id, Some(condition)));
        // It answers with the exit code, or that there is no such container.
        let waited = tokio::time::timeout(CALL_DEADLINE, gone.next()).await;
        waited.map(|_| ()).with_context(|| format!("wait for the removal of `{}`", short(id)))
    }

    /// The processes of a running container.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn processes(&self, id: &str) -> Result<Processes> {
        let listed = self.docker()?.top_processes(id, None::<TopOptions>).await;
        let listed = listed.with_context(|| format!("list processes of `{}`", short(id)))?;
        Ok(Processes {
            titles: listed.titles.unwrap_or_default(),
            rows: listed.processes.unwrap_or_default(),
        })
    }
}

fn patience(grace: Option<i32>) -> Duration {
    match grace.and_then(|it| u64::try_from(it).ok()) {
        Some(seconds) => (Duration::from_secs(seconds) + SLACK).max(super::CALL_DEADLINE),
        None => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_gets_more_time_than_the_container() {
        for (grace, at_least) in [
            (Some(0), Duration::from_mins(2)),
            (Some(600), Duration::from_mins(11)),
            (Some(-1), LONGEST),
            (None, LONGEST),
        ] {
            assert_eq!(patience(grace), at_least, "{grace:?}");
        }
    }
}
