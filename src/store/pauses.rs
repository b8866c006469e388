//! Paused jobs: kept here, so that a restart does not forget them.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use rusqlite::params;
use serde::Serialize;

use super::{Store, rows};

/// A job that gets no new runs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, in the words of the person who paused it; may be empty.
    pub reason: String,
}

impl Store {
    /// Pauses jobs. One that is paused already keeps its time and its reason.
    pub async fn pause(&self, jobs: &[String], pause: &Pause) -> Result<()> {
        const SQL: &str = "INSERT INTO pauses (job, since, reason) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (job) DO NOTHING";
        let (jobs, pause) = (jobs.to_vec(), pause.clone());
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            jobs.iter().try_for_each(|job| {
                let values = params![job, pause.since.timestamp_millis(), pause.reason];
                statement.execute(values).map(drop)
            })
        })
        .await
    }

    /// Ends the pauses of jobs.
    pub async fn resume(&self, jobs: &[String]) -> Result<()> {
        let jobs = jobs.to_vec();
        self.write(move |connection| {
            let mut statement = connection.prepare_cached("DELETE FROM pauses WHERE job = ?1")?;
            jobs.iter().try_for_each(|job| statement.execute([job]).map(drop))
        })
        .await
    }

    /// All paused jobs, by name.
    pub async fn pauses(&self) -> Result<BTreeMap<String, Pause>> {
        self.with(|connection| {
            let pause = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, Pause { since: rows::time(row, 1)?, reason: row.get(2)? }))
            };
            let sql = "SELECT job, since, reason FROM pauses";
            connection.prepare_cached(sql)?.query_map([], pause)?.collect()
        })
        .await
    }
}
