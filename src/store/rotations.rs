//! When files were rotated: of those that somebody else writes, nothing else tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rusqlite::params;

use super::{Store, rows};
use crate::plan::housekeeping::rotate::Rotation;

impl Store {
    /// What is known of the files that a job rotates, by their paths.
    pub async fn rotations(&self, job: &str) -> Result<BTreeMap<PathBuf, Rotation>> {
        const SQL: &str = "SELECT path, rotated, is_open FROM rotations WHERE job = ?1";
        let job = job.to_owned();
        self.with(move |connection| {
            let row = |row: &rusqlite::Row<'_>| {
                let path = PathBuf::from(OsString::from_vec(row.get(0)?));
                Ok((path, Rotation { rotated: rows::time(row, 1)?, is_open: row.get(2)? }))
            };
            connection.prepare_cached(SQL)?.query_map([job], row)?.collect()
        })
        .await
    }

    /// Records what is known of files that a job rotates.
    pub async fn set_rotations(&self, job: &str, files: Vec<(PathBuf, Rotation)>) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO rotations (job, path, rotated, is_open) \
                           VALUES (?1, ?2, ?3, ?4)";
        let job = job.to_owned();
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            files.iter().try_for_each(|(path, it)| {
                let path = path.as_os_str().as_bytes();
                let values = params![job, path, it.rotated.timestamp_millis(), it.is_open];
                statement.execute(values).map(drop)
            })
        })
        .await
    }

    /// Forgets files that are no longer there.
    pub async fn forget_rotations(&self, job: &str, files: Vec<PathBuf>) -> Result<()> {
        let job = job.to_owned();
        self.write(move |connection| {
            let sql = "DELETE FROM rotations WHERE job = ?1 AND path = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            files
                .iter()
                .map(|path| path.as_os_str().as_bytes())
                .try_for_each(|path| statement.execute(params![job, path]).map(drop))
        })
        .await
    }

    /// Names of the jobs that have runs: each has a log of its own.
    pub async fn jobs_with_runs(&self) -> Result<BTreeSet<String>> {
        self.with(|connection| {
            let sql = "SELECT DISTINCT job FROM runs";
            connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }

    /// The directory that the store lies in.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}
