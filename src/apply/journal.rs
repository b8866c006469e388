//! The journal of one run: every step is written down before it is done.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use chrono::{DateTime, Utc};
use tracing::{debug, warn};

use super::{Deed, Onlooker, Turn};
use crate::run::RunId;
use crate::store::Store;

/// Numbers the steps of one run and keeps them in the store, if there is one.
pub struct Journal {
    kept: Option<(Store, RunId)>,
    next: AtomicUsize,
    now: fn() -> DateTime<Utc>,
    onlooker: Option<Box<Onlooker>>,
}

impl Journal {
    /// The journal of a run in the store.
    pub fn of_run(store: Store, run: RunId, now: fn() -> DateTime<Utc>) -> Self {
        Self { kept: Some((store, run)), next: AtomicUsize::new(0), now, onlooker: None }
    }

    /// A journal that keeps nothing, for commands outside of a run.
    pub fn none(now: fn() -> DateTime<Utc>) -> Self {
        Self { kept: None, next: AtomicUsize::new(0), now, onlooker: None }
    }

    /// The same, and somebody is told of each deed.
    #[must_use]
    pub fn with_onlooker(self, onlooker: Option<Box<Onlooker>>) -> Self {
        Self { onlooker, ..self }
    }

    /// Number of the run; 0 outside of a run.
    pub fn run(&self) -> RunId {
        self.kept.as_ref().map_or(0, |(_, run)| *run)
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.now)()
    }

    /// Does one step that whoever looks on is told of.
    ///
    /// # Errors
    ///
    /// The step's own.
    pub async fn deed<T>(
        &self,
        deed: Deed<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.watched(deed, self.step(deed, work)).await
    }

    /// As [`Self::deed`], for what is no step of its own.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub async fn watched<T>(
        &self,
        deed: Deed<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(onlooker) = &self.onlooker else { return work.await };
        onlooker(&deed, Turn::Begins);
        let result = work.await;
        onlooker(&deed, result.as_ref().map_or_else(Turn::Fails, |_| Turn::Ends));
        result
    }

    /// Does one step, written down before and after. A store that fails costs the record, not the step.
    ///
    /// # Errors
    ///
    /// The step's own.
    pub async fn step<T>(
        &self,
        name: impl Display,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let name = name.to_string();
        debug!(step = index, "{name}");
        if let Some((store, run)) = &self.kept
            && let Err(error) = store.begin_step(*run, index, &name, self.now()).await
        {
            warn!("the journal could not be written: {error:#}");
        }
        let result = work.await;
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Some((store, run)) = &self.kept
            && let Err(error) = store.end_step(*run, index, self.now(), failure.as_deref()).await
        {
            warn!("the journal could not be written: {error:#}");
        }
        result
    }
}
