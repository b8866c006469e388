//! The ledger: every run from its entry to its end, each change of state with its time.
//!
//! What happens at one instant is written in one transaction: a crash finds all of it or nothing.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::{NewRun, RunFilter, Store, rows};
use crate::clock::Skipped;
use crate::job::Keep;
use crate::run::{Ending, Outcome, Run, RunId, Transition};

/// One entry of the ledger.
#[derive(Clone, Debug)]
pub enum Change {
    /// A run is entered: it waits for its turn, or has ended before it could begin.
    Entered {
        /// The run.
        run: NewRun,
        /// Its end, for a slot that is skipped or missed.
        ending: Option<Ending>,
    },
    /// A run waits again, because nothing of it had begun when we died.
    Requeued(RunId),
    /// A run that was skipped before it could begin waits for its turn after all.
    Revived(RunId),
    /// A run's turn has come.
    Starting(RunId),
    /// A run does what it does.
    Running(RunId),
    /// A run has ended; its first end counts.
    Ended(RunId, Ending),
    /// Somebody is to be told how a run ended, and nobody was yet.
    Untold(RunId),
}

/// Condition of runs that have not ended.
const OPEN: &str = "outcome IN ('queued', 'starting', 'running')";

impl Store {
    /// Makes changes in one transaction, in order. Returns for each the run it changed: `None` for a run
    /// whose slot has one already, and for a change that its run's state does not allow.
    pub async fn record(
        &self,
        at: DateTime<Utc>,
        changes: Vec<Change>,
    ) -> Result<Vec<Option<RunId>>> {
        self.write(move |connection| {
            changes.iter().map(|one| change(connection, at, one)).collect()
        })
        .await
    }

    /// Records that a run starts, outside of any queue; `None` when this slot of the job was already
    /// run.
    pub async fn start_run(&self, run: NewRun) -> Result<Option<RunId>> {
        let at = run.started;
        self.write(move |connection| {
            let Some(run) = enter(connection, at, &run, None)? else { return Ok(None) };
            change(connection, at, &Change::Running(run))
        })
        .await
    }

    /// Records how a run ended; the first ending counts.
    pub async fn finish_run(&self, run: RunId, at: DateTime<Utc>, ending: &Ending) -> Result<()> {
        let changed = self.record(at, vec![Change::Ended(run, ending.clone())]).await?;
        match changed.first() {
            Some(Some(_)) => Ok(()),
            _ => bail!("there is no run {run} in the store, still running, to change"),
        }
    }

    /// Runs that have not ended, oldest first.
    pub async fn open_runs(&self) -> Result<Vec<Run>> {
        self.with(|connection| {
            let sql = format!("SELECT {} FROM runs WHERE {OPEN} ORDER BY id", rows::RUN);
            connection.prepare_cached(&sql)?.query_map([], rows::run)?.collect()
        })
        .await
    }

    /// Ended runs of which nobody was told yet, oldest first.
    pub async fn untold(&self) -> Result<Vec<Run>> {
        self.with(|connection| {
            let columns = rows::RUN;
            let sql = format!(
                "SELECT {columns} FROM runs WHERE id IN (SELECT run FROM untold) ORDER BY id"
            );
            connection.prepare_cached(&sql)?.query_map([], rows::run)?.collect()
        })
        .await
    }

    /// Records that those who are to be told of a run's end were.
    pub async fn told(&self, run: RunId) -> Result<()> {
        self.write(move |connection| {
            let sql = "DELETE FROM untold WHERE run = ?1";
            connection.prepare_cached(sql)?.execute([run]).map(drop)
        })
        .await
    }

    /// Of each job, the slots from an instant on that were skipped before their run could begin, because
    /// another was in the way or the job was paused, newest first; none that is older than a slot that had
    /// its run or is to have it.
    pub async fn skipped(
        &self,
        jobs: Vec<(String, DateTime<Utc>)>,
    ) -> Result<Vec<(String, Vec<Skipped>)>> {
        const SQL: &str = "SELECT id, slot, reason FROM runs AS it \
             WHERE job = ?1 AND slot >= ?2 AND outcome = 'skipped' \
             AND reason IN ('overlap', 'paused') \
             AND NOT EXISTS (SELECT 1 FROM transitions WHERE run = it.id \
                             AND state IN ('starting', 'running')) \
             AND slot > coalesce((SELECT max(slot) FROM runs WHERE job = ?1 AND slot >= ?2 \
                                  AND outcome NOT IN ('skipped', 'missed')), ?2 - 1) \
             ORDER BY slot DESC";
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let skipped = |row: &rusqlite::Row<'_>| {
                let (slot, reason) = (rows::time(row, 1)?, rows::word(row, 2)?);
                Ok(Skipped { run: row.get(0)?, slot, reason })
            };
            jobs.into_iter()
                .map(|(job, oldest)| {
                    let values = params![job, oldest.timestamp_millis()];
                    let found =
                        statement.query_map(values, skipped)?.collect::<rusqlite::Result<_>>()?;
                    Ok((job, found))
                })
                .collect()
        })
        .await
    }

    /// When a run came into its states, in order.
    pub async fn transitions(&self, run: RunId) -> Result<Vec<Transition>> {
        self.with(move |connection| {
            let sql = "SELECT state, at FROM transitions WHERE run = ?1 ORDER BY id";
            let transition = |row: &rusqlite::Row<'_>| {
                Ok(Transition { state: rows::word(row, 0)?, at: rows::time(row, 1)? })
            };
            connection.prepare_cached(sql)?.query_map([run], transition)?.collect()
        })
        .await
    }

    /// The newest slot of each job that has one.
    pub async fn last_slots(&self) -> Result<BTreeMap<String, DateTime<Utc>>> {
        self.with(|connection| {
            let sql = "SELECT job, max(slot) FROM runs WHERE slot IS NOT NULL GROUP BY job";
            let last = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, rows::time(row, 1)?));
            connection.prepare_cached(sql)?.query_map([], last)?.collect()
        })
        .await
    }

    /// The newest run of each job.
    pub async fn last_runs(&self) -> Result<BTreeMap<String, Run>> {
        self.with(|connection| {
            let sql = format!(
                "SELECT {} FROM runs WHERE id IN (SELECT max(id) FROM runs GROUP BY job)",
                rows::RUN
            );
            let by_job = |row: &rusqlite::Row<'_>| rows::run(row).map(|run| (run.job.clone(), run));
            connection.prepare_cached(&sql)?.query_map([], by_job)?.collect()
        })
        .await
    }

    /// Deletes all but the newest runs of each job, with their steps.
    ///
    /// Kept besides: open runs, the run of a job's newest slot, and runs named by an applied or a
    /// quarantined revision, because decisions still rest on them.
    pub async fn prune_runs(&self, keep_per_job: usize) -> Result<()> {
        self.write(move |connection| {
            let keep = i64::try_from(keep_per_job).unwrap_or(i64::MAX);
            let sql = format!(
                "DELETE FROM runs WHERE id IN (
                    SELECT id FROM (
                        SELECT id, row_number() OVER (PARTITION BY job ORDER BY id DESC) AS age FROM runs
                    ) WHERE age > ?1
                ) AND {DISPENSABLE}"
            );
            connection.execute(&sql, [keep]).map(drop)
        })
        .await
    }

    /// Deletes runs of these jobs beyond what each keeps, by number and by age at `now`; what
    /// [`Self::prune_runs`] keeps besides is kept here, too.
    pub async fn prune_jobs(&self, now: DateTime<Utc>, jobs: Vec<(String, Keep)>) -> Result<()> {
        self.write(move |connection| {
            let sql = format!(
                "DELETE FROM runs WHERE job = ?1 AND {DISPENSABLE} AND (ended < ?3 OR id <= (
                    SELECT id FROM runs WHERE job = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
                ))"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            jobs.iter().try_for_each(|(job, keep)| {
                let count = i64::try_from(keep.runs).unwrap_or(i64::MAX);
                let age = keep.age.and_then(|age| chrono::TimeDelta::from_std(age).ok());
                let oldest = age.and_then(|age| now.checked_sub_signed(age));
                let oldest = oldest.map_or(i64::MIN, |oldest| oldest.timestamp_millis());
                statement.execute(params![job, count, oldest]).map(drop)
            })
        })
        .await
    }
}

/// Runs that no decision rests on.
const DISPENSABLE: &str = "outcome NOT IN ('queued', 'starting', 'running')
    AND id NOT IN (SELECT run FROM applied)
    AND id NOT IN (SELECT run FROM quarantines)
    AND (slot IS NULL OR slot < (SELECT max(slot) FROM runs newer WHERE newer.job = runs.job))";

pub(super) fn change(
    connection: &Connection,
    at: DateTime<Utc>,
    change: &Change,
) -> rusqlite::Result<Option<RunId>> {
    let (run, state, changed) = match change {
        Change::Entered { run, ending } => return enter(connection, at, run, ending.as_ref()),
        Change::Untold(run) => {
            let sql = "INSERT OR IGNORE INTO untold (run) VALUES (?1)";
            let changed = connection.prepare_cached(sql)?.execute([run])?;
            return Ok((changed > 0).then_some(*run));
        }
        Change::Requeued(run) => {
            let sql = "UPDATE runs SET outcome = 'queued' \
                       WHERE id = ?1 AND outcome IN ('starting', 'running')";
            (*run, Outcome::Queued, connection.prepare_cached(sql)?.execute([run])?)
        }
        Change::Revived(run) => {
            let sql = "UPDATE runs SET outcome = 'queued', trigger = 'catch_up', ended = NULL, \
                       reason = NULL, message = '' WHERE id = ?1 AND outcome = 'skipped'";
            (*run, Outcome::Queued, connection.prepare_cached(sql)?.execute([run])?)
        }
        Change::Starting(run) => {
            let sql = "UPDATE runs SET outcome = 'starting', started = ?2 \
                       WHERE id = ?1 AND outcome = 'queued'";
            let values = params![run, at.timestamp_millis()];
            (*run, Outcome::Starting, connection.prepare_cached(sql)?.execute(values)?)
        }
        Change::Running(run) => {
            let sql = "UPDATE runs SET outcome = 'running' \
                       WHERE id = ?1 AND outcome IN ('queued', 'starting')";
            (*run, Outcome::Running, connection.prepare_cached(sql)?.execute([run])?)
        }
        Change::Ended(run, ending) => {
            let sql = format!(
                "UPDATE runs SET ended = ?2, outcome = ?3, reason = ?4, message = ?5, \
                 exit_code = ?6 WHERE id = ?1 AND {OPEN}"
            );
            let (outcome, reason) = (ending.outcome.as_str(), ending.reason.as_str());
            let at = at.timestamp_millis();
            let values = params![run, at, outcome, reason, ending.message, ending.exit_code];
            (*run, ending.outcome, connection.prepare_cached(&sql)?.execute(values)?)
        }
    };
    if changed == 0 {
        return Ok(None);
    }
    passed_into(connection, run, state, at)?;
    Ok(Some(run))
}

fn enter(
    connection: &Connection,
    at: DateTime<Utc>,
    run: &NewRun,
    ending: Option<&Ending>,
) -> rusqlite::Result<Option<RunId>> {
    const SQL: &str = "INSERT INTO runs \
                       (job, kind, trigger, slot, started, ended, outcome, reason, message) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                       ON CONFLICT (job, slot) DO NOTHING RETURNING id";
    let outcome = ending.map_or(Outcome::Queued, |ending| ending.outcome);
    let values = params![
        run.job,
        run.kind,
        run.trigger.as_str(),
        run.slot.map(|slot| slot.timestamp_millis()),
        run.started.timestamp_millis(),
        ending.map(|_| at.timestamp_millis()),
        outcome.as_str(),
        ending.map(|ending| ending.reason.as_str()),
        ending.map_or("", |ending| ending.message.as_str()),
    ];
    let mut statement = connection.prepare_cached(SQL)?;
    let id: Option<RunId> = statement.query_row(values, |row| row.get(0)).optional()?;
    if let Some(id) = id {
        passed_into(connection, id, outcome, at)?;
    }
    Ok(id)
}

fn passed_into(
    connection: &Connection,
    run: RunId,
    state: Outcome,
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO transitions (run, state, at) VALUES (?1, ?2, ?3)";
    let values = params![run, state.as_str(), at.timestamp_millis()];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

pub(super) fn select_runs(
    connection: &Connection,
    filter: &RunFilter,
) -> rusqlite::Result<Vec<Run>> {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    let mut one_of = |column: &str, words: Vec<String>| {
        if !words.is_empty() {
            let marks = vec!["?"; words.len()].join(", ");
            conditions.push(format!("{column} IN ({marks})"));
            values.extend(words.into_iter().map(Value::Text));
        }
    };
    one_of("job", filter.job.iter().cloned().collect());
    one_of("kind", filter.kinds.clone());
    one_of("outcome", filter.outcomes.iter().map(ToString::to_string).collect());
    one_of("trigger", filter.triggers.iter().map(ToString::to_string).collect());
    for (comparison, time) in [("started >= ?", filter.since), ("started < ?", filter.until)] {
        if let Some(time) = time {
            conditions.push(comparison.to_owned());
            values.push(Value::Integer(time.timestamp_millis()));
        }
    }
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let (columns, condition) = (rows::RUN, conditions.join(" AND "));
    let sql =
        format!("SELECT {columns} FROM runs WHERE {condition} ORDER BY id DESC LIMIT {limit}");
    connection.prepare(&sql)?.query_map(params_from_iter(values), rows::run)?.collect()
}
