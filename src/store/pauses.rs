//! Pauses of jobs, and of all jobs: kept here, so that a restart does not forget them.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Store, rows};

/// Since when a job, or all of them, get no new runs by themselves, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, in the words of the person who paused it; may be empty.
    pub reason: String,
}

/// What is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// All jobs, also those that come later.
    pub of_all: Option<Pause>,
    /// Single jobs, by name, whatever holds for all of them.
    pub of_jobs: BTreeMap<String, Pause>,
}

impl Pauses {
    /// The pause that holds for a job: its own before that of all.
    pub fn of(&self, job: &str) -> Option<&Pause> {
        self.of_jobs.get(job).or(self.of_all.as_ref())
    }

    /// The jobs to resume when `jobs` are asked for; none is all that are paused.
    ///
    /// # Errors
    ///
    /// For a job that only the pause of all holds: that is not lifted for one of them.
    pub fn to_resume(&self, jobs: &[String]) -> Result<Vec<String>, String> {
        if jobs.is_empty() {
            return Ok(self.of_jobs.keys().cloned().collect());
        }
        let own: Vec<String> =
            jobs.iter().filter(|job| self.of_jobs.contains_key(*job)).cloned().collect();
        if own.is_empty() && self.of_all.is_some() {
            return Err("all jobs are paused: `roadstead resume --all` ends that".to_owned());
        }
        Ok(own)
    }

    /// What is said after these jobs were paused; none is all.
    pub fn said_of(paused: &[String]) -> String {
        match paused {
            [] => "paused: all jobs, also those that come later".to_owned(),
            jobs => format!("paused: {}", jobs.join(", ")),
        }
    }

    /// What is said after these jobs were resumed; `was_all` where the pause of all ended, too.
    pub fn said(resumed: &[String], was_all: bool) -> String {
        let names = resumed.join(", ");
        match (was_all, resumed) {
            (true, []) => "resumed: all jobs".to_owned(),
            (true, _) => format!("resumed: all jobs, of which these were paused by name: {names}"),
            (false, []) => "nothing was paused".to_owned(),
            (false, _) => format!("resumed: {names}"),
        }
    }
}

impl Store {
    /// Pauses jobs, or all that there are and will be where none is named. What is paused already keeps its
    /// time and its reason.
    pub async fn pause(&self, jobs: &[String], pause: &Pause) -> Result<()> {
        const ALL: &str = "INSERT INTO pause_of_all (one, since, reason) VALUES (1, ?1, ?2) \
                           ON CONFLICT (one) DO NOTHING";
        const ONE: &str = "INSERT INTO pauses (job, since, reason) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (job) DO NOTHING";
        let (jobs, pause) = (jobs.to_vec(), pause.clone());
        self.write(move |connection| {
            let since = pause.since.timestamp_millis();
            if jobs.is_empty() {
                connection.prepare_cached(ALL)?.execute(params![since, pause.reason])?;
            }
            let mut statement = connection.prepare_cached(ONE)?;
            jobs.iter()
                .try_for_each(|job| statement.execute(params![job, since, pause.reason]).map(drop))
        })
        .await
    }

    /// Ends the pauses of jobs; with `all` also that of all jobs.
    pub async fn resume(&self, jobs: &[String], all: bool) -> Result<()> {
        let jobs = jobs.to_vec();
        self.write(move |connection| {
            if all {
                connection.prepare_cached("DELETE FROM pause_of_all")?.execute([])?;
            }
            let mut statement = connection.prepare_cached("DELETE FROM pauses WHERE job = ?1")?;
            jobs.iter().try_for_each(|job| statement.execute([job]).map(drop))
        })
        .await
    }

    /// What is paused.
    pub async fn pauses(&self) -> Result<Pauses> {
        self.with(|connection| {
            let of_all = connection
                .prepare_cached("SELECT since, reason FROM pause_of_all")?
                .query_row([], |row| pause(row, 0))
                .optional()?;
            Ok(Pauses { of_all, of_jobs: of_jobs(connection)? })
        })
        .await
    }
}

fn of_jobs(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Pause>> {
    let sql = "SELECT job, since, reason FROM pauses";
    let of_job = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, pause(row, 1)?));
    connection.prepare_cached(sql)?.query_map([], of_job)?.collect()
}

fn pause(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Pause> {
    Ok(Pause { since: rows::time(row, first)?, reason: row.get(first + 1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_is_resumed_where_it_was_paused_by_name() {
        let since = DateTime::from_timestamp(0, 0).unwrap();
        let pause = Pause { since, reason: String::new() };
        let of_jobs = BTreeMap::from([("web".to_owned(), pause.clone())]);
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        // (all are paused, what is asked for, what is resumed)
        for (all, asked, resumed) in [
            (false, &["web"][..], Some(&["web"][..])),
            (false, &["new"], Some(&[])),
            (true, &["web"], Some(&["web"])),
            (true, &["new"], None),
            (true, &["web", "new"], Some(&["web"])),
            (true, &[], Some(&["web"])),
        ] {
            let of_all = all.then(|| pause.clone());
            let pauses = Pauses { of_all, of_jobs: of_jobs.clone() };
            let found = pauses.to_resume(&names(asked));
            assert_eq!(found.as_ref().ok(), resumed.map(names).as_ref(), "{asked:?}");
            assert!(found.err().is_none_or(|said| said.contains("resume --all")));
        }
    }
}
