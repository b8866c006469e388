//! The store: runs, their steps, applied revisions and quarantines, in one `SQLite` file.
//!
//! One connection behind a lock, used under `spawn_blocking` by readers as well. Only the daemon opens
//! it for writing; everyone else uses [`Store::open_read_only`]. It holds no clock and decides nothing.

mod commit;
mod images;
mod ledger;
mod pauses;
mod rotations;
mod rows;
mod schema;
mod syncs;

pub use self::images::UsedImage;
pub use self::ledger::Change;
pub use self::pauses::{Pause, Pauses};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use self::commit::Pending;
use crate::run::{Details, Outcome, Reason, Run, RunId, StepRecord, Trigger};
use crate::source::Revision;
pub use crate::store::schema::FILE;

/// The store; clones share one connection.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    pending: Pending,
    path: Arc<PathBuf>,
    first_step: usize,
}

/// What is known of a run when it starts.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Name of the job.
    pub job: String,
    /// Kind of its work.
    pub kind: &'static str,
    /// What said "look now".
    pub trigger: Trigger,
    /// The scheduled time it stands for; one run for each.
    pub slot: Option<DateTime<Utc>>,
    /// When it starts; when it was entered, as long as it waits.
    pub started: DateTime<Utc>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this job; `None` is all jobs.
    pub job: Option<String>,
    /// With one of these outcomes; empty is all.
    pub outcomes: Vec<Outcome>,
    /// With one of these triggers; empty is all.
    pub triggers: Vec<Trigger>,
    /// Of jobs of one of these kinds; empty is all.
    pub kinds: Vec<String>,
    /// Started at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Started before this time.
    pub until: Option<DateTime<Utc>>,
    /// At most so many.
    pub limit: usize,
}

/// The revision of a job that is known to run: what "behind" is measured from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Name of the Compose project.
    pub project: String,
    /// The revision.
    pub revision: Revision,
    /// The run that applied it.
    pub run: RunId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A revision of a job that failed and is not tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantine {
    /// The revision.
    pub revision: Revision,
    /// The run that failed.
    pub run: RunId,
    /// Why it failed.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Store {
    /// Opens the store of `state_dir` for writing; makes what is missing.
    pub async fn open(state_dir: &Path) -> Result<Self> {
        let directory = state_dir.to_path_buf();
        let connection = blocking(move || schema::open(&directory)).await?;
        Ok(Self::new(connection, state_dir))
    }

    /// Opens the store of `state_dir` for reading; `None` when there is none yet.
    pub async fn open_read_only(state_dir: &Path) -> Result<Option<Self>> {
        let directory = state_dir.to_path_buf();
        let connection = blocking(move || schema::open_read_only(&directory)).await?;
        Ok(connection.map(|connection| Self::new(connection, state_dir)))
    }

    /// Records the revision a run is made from.
    pub async fn set_revision(&self, run: RunId, revision: &Revision) -> Result<()> {
        const SQL: &str = "UPDATE runs SET revision = ?2 WHERE id = ?1";
        let revision = revision.clone();
        self.change_one(format!("run {run} in the store"), move |connection| {
            connection.prepare_cached(SQL)?.execute(params![run, rows::revision_text(&revision)?])
        })
        .await
    }

    /// Records that a step starts, before it is taken.
    pub async fn begin_step(
        &self,
        run: RunId,
        index: usize,
        name: &str,
        at: DateTime<Utc>,
    ) -> Result<()> {
        let (name, index) = (name.to_owned(), self.position(index));
        self.write(move |connection| insert_step(connection, (run, index), &name, at)).await
    }

    /// Records that a try of a run starts, as a step, and with it that nothing of it was made yet: what
    /// was known is of a try before.
    pub async fn begin_try(
        &self,
        run: RunId,
        index: usize,
        name: &str,
        at: DateTime<Utc>,
    ) -> Result<()> {
        let (name, index) = (name.to_owned(), self.position(index));
        self.write(move |connection| {
            let sql = "UPDATE runs SET details = NULL WHERE id = ?1";
            connection.prepare_cached(sql)?.execute([run])?;
            insert_step(connection, (run, index), &name, at)
        })
        .await
    }

    /// Records that a step ended.
    pub async fn end_step(
        &self,
        run: RunId,
        index: usize,
        at: DateTime<Utc>,
        error: Option<&str>,
    ) -> Result<()> {
        const SQL: &str =
            "UPDATE steps SET ended = ?3, error = ?4 WHERE run = ?1 AND position = ?2";
        let error = error.map(str::to_owned);
        let index = self.position(index);
        self.change_one(format!("step {index} of run {run} in the store"), move |connection| {
            let values = params![run, index, at.timestamp_millis(), error];
            connection.prepare_cached(SQL)?.execute(values)
        })
        .await
    }

    /// Records what a run was made of. One whose container is there is running from now on.
    pub async fn set_details(&self, run: RunId, details: &Details) -> Result<()> {
        let text = serde_json::to_string(details).context("write details of a run")?;
        let is_there = details.container.is_some();
        self.change_one(format!("run {run} in the store"), move |connection| {
            let sql = "UPDATE runs SET details = ?2 WHERE id = ?1";
            let changed = connection.prepare_cached(sql)?.execute(params![run, text])?;
            if is_there {
                // The caller has no clock at hand; SQLite's is the same one.
                let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
                let at = connection.prepare_cached(sql)?.query_row([], |row| rows::time(row, 0))?;
                ledger::change(connection, at, &Change::Running(run))?;
            }
            Ok(changed)
        })
        .await
    }

    /// What a run was made of, if that was recorded.
    pub async fn details(&self, run: RunId) -> Result<Option<Details>> {
        let text: Option<Option<String>> = self
            .with(move |connection| {
                let sql = "SELECT details FROM runs WHERE id = ?1";
                connection.prepare_cached(sql)?.query_row([run], |row| row.get(0)).optional()
            })
            .await?;
        text.flatten().map(|text| serde_json::from_str(&text).context("read details")).transpose()
    }

    /// One run.
    pub async fn run(&self, run: RunId) -> Result<Option<Run>> {
        self.with(move |connection| {
            let sql = format!("SELECT {} FROM runs WHERE id = ?1", rows::RUN);
            connection.prepare_cached(&sql)?.query_row([run], rows::run).optional()
        })
        .await
    }

    /// Runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let filter = filter.clone();
        self.with(move |connection| ledger::select_runs(connection, &filter)).await
    }

    /// The steps of a run, in order.
    pub async fn steps(&self, run: RunId) -> Result<Vec<StepRecord>> {
        self.with(move |connection| {
            let columns = rows::STEP;
            let sql = format!("SELECT {columns} FROM steps WHERE run = ?1 ORDER BY position");
            connection.prepare_cached(&sql)?.query_map([run], rows::step)?.collect()
        })
        .await
    }

    /// The newest run of a job.
    pub async fn last_run(&self, job: &str) -> Result<Option<Run>> {
        let filter = RunFilter { job: Some(job.to_owned()), limit: 1, ..RunFilter::default() };
        Ok(self.runs(&filter).await?.pop())
    }

    /// The newest slot of a job that has a run.
    pub async fn last_slot(&self, job: &str) -> Result<Option<DateTime<Utc>>> {
        let job = job.to_owned();
        self.with(move |connection| {
            connection
                .prepare_cached("SELECT max(slot) FROM runs WHERE job = ?1")?
                .query_row([job], |row| rows::optional_time(row, 0))
        })
        .await
    }

    /// Records what a job's project is known to run.
    pub async fn set_applied(&self, job: &str, applied: &Applied) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO applied (job, project, revision, run, at) \
                           VALUES (?1, ?2, ?3, ?4, ?5)";
        let (job, applied) = (job.to_owned(), applied.clone());
        self.write(move |connection| {
            let revision = rows::revision_text(&applied.revision)?;
            let at = applied.at.timestamp_millis();
            let values = params![job, applied.project, revision, applied.run, at];
            connection.prepare_cached(SQL)?.execute(values).map(drop)
        })
        .await
    }

    /// What a job's project is known to run.
    pub async fn applied(&self, job: &str) -> Result<Option<Applied>> {
        let job = job.to_owned();
        self.with(move |connection| {
            let sql = format!("SELECT {} FROM applied WHERE job = ?1", rows::APPLIED);
            connection.prepare_cached(&sql)?.query_row([job], rows::applied).optional()
        })
        .await
    }

    /// Records that a revision of a job is not to be tried again by itself.
    pub async fn quarantine(&self, job: &str, quarantine: &Quarantine) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO quarantines \
                           (job, revision, run, reason, message, since) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (job, quarantine) = (job.to_owned(), quarantine.clone());
        self.write(move |connection| {
            let revision = rows::revision_text(&quarantine.revision)?;
            let since = quarantine.since.timestamp_millis();
            let reason = quarantine.reason.as_str();
            let values = params![job, revision, quarantine.run, reason, quarantine.message, since];
            connection.prepare_cached(SQL)?.execute(values).map(drop)
        })
        .await
    }

    /// The quarantined revision of a job.
    pub async fn quarantined(&self, job: &str) -> Result<Option<Quarantine>> {
        let job = job.to_owned();
        self.with(move |connection| {
            let sql = format!("SELECT {} FROM quarantines WHERE job = ?1", rows::QUARANTINE);
            connection.prepare_cached(&sql)?.query_row([job], rows::quarantine).optional()
        })
        .await
    }

    /// Forgets the quarantined revision of a job.
    pub async fn lift_quarantine(&self, job: &str) -> Result<()> {
        let job = job.to_owned();
        self.write(move |connection| {
            let sql = "DELETE FROM quarantines WHERE job = ?1";
            connection.prepare_cached(sql)?.execute([job]).map(drop)
        })
        .await
    }

    /// The same store for a part of a run whose steps come after so many others.
    #[must_use]
    pub fn with_steps_from(&self, first: usize) -> Self {
        Self { first_step: first, ..self.clone() }
    }

    fn new(connection: Connection, state_dir: &Path) -> Self {
        let path = Arc::new(state_dir.join(FILE));
        let pending = Pending::default();
        Self { connection: Arc::new(Mutex::new(connection)), pending, path, first_step: 0 }
    }

    fn position(&self, index: usize) -> i64 {
        i64::try_from(self.first_step + index).unwrap_or(i64::MAX)
    }

    /// Works with the connection on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        blocking(move || {
            // A panic in here cannot leave a transaction open: dropping it rolls back.
            let mut connection = store.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(|error| schema::explain(error, &store.path))
        })
        .await
    }

    /// As [`Self::write`], for a statement that must find its row.
    async fn change_one(
        &self,
        row: String,
        work: impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<()> {
        match self.write(work).await? {
            0 => bail!("there is no {row} to change"),
            _ => Ok(()),
        }
    }
}

fn insert_step(
    connection: &Connection,
    (run, index): (RunId, i64),
    name: &str,
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO steps (run, position, name, started) VALUES (?1, ?2, ?3, ?4) \
                       ON CONFLICT (run, position) DO UPDATE SET name = excluded.name, \
                       started = excluded.started, ended = NULL, error = NULL";
    let values = params![run, index, name, at.timestamp_millis()];
    connection.prepare_cached(SQL)?.execute(values).map(drop)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("use the store")?
}

#[cfg(test)]
mod tests;
