//! Which images runs used: what of the Engine's images is ours, and what a deploy may go back to.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension, params};

use super::{Store, rows};
use crate::run::RunId;
use crate::source::Revision;

/// Revisions of one deploy whose images are remembered; `prune` keeps far fewer.
const REMEMBERED: i64 = 100;
/// An image that is used again and again is written down once in this time.
const ONCE_IN: TimeDelta = TimeDelta::hours(12);

/// An image that runs of a job used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedImage {
    /// Name of the job.
    pub job: String,
    /// The revision of a deploy as JSON; empty for other kinds.
    pub revision: String,
    /// The name it was asked for by.
    pub reference: String,
    /// Its id.
    pub image: String,
    /// The last run that used it.
    pub run: RunId,
}

impl Store {
    /// Whether it is known which images a revision of a deploy has.
    pub async fn knows_images(&self, job: &str, revision: &Revision) -> Result<bool> {
        const SQL: &str = "SELECT 1 FROM used_images WHERE job = ?1 AND revision = ?2";
        let (job, revision) = (job.to_owned(), revision.clone());
        self.with(move |connection| {
            let values = params![job, rows::revision_text(&revision)?];
            connection.prepare_cached(SQL)?.query_row(values, |_| Ok(())).optional()
        })
        .await
        .map(|found| found.is_some())
    }

    /// Records the images that a revision of a deploy runs, each by its name and its id.
    pub async fn set_images(
        &self,
        (job, run): (&str, RunId),
        revision: &Revision,
        images: BTreeSet<(String, String)>,
        at: DateTime<Utc>,
    ) -> Result<()> {
        const FORGET: &str = "DELETE FROM used_images WHERE job = ?1 AND revision != '' \
            AND run NOT IN (SELECT DISTINCT run FROM used_images WHERE job = ?1 \
                            ORDER BY run DESC LIMIT ?2)";
        let (job, revision) = (job.to_owned(), revision.clone());
        self.write(move |connection| {
            let revision = rows::revision_text(&revision)?;
            let sql = "DELETE FROM used_images WHERE job = ?1 AND revision = ?2";
            connection.prepare_cached(sql)?.execute(params![job, revision])?;
            let mut statement = connection.prepare_cached(INSERT)?;
            for (reference, image) in &images {
                let at = at.timestamp_millis();
                statement.execute(params![job, revision, reference, image, run, at])?;
            }
            connection.prepare_cached(FORGET)?.execute(params![job, REMEMBERED]).map(drop)
        })
        .await
    }

    /// Records that a run of another kind used an image.
    pub async fn used_image(
        &self,
        (job, run): (&str, RunId),
        (reference, image): (&str, &str),
        at: DateTime<Utc>,
    ) -> Result<()> {
        const KNOWN: &str = "SELECT 1 FROM used_images \
            WHERE job = ?1 AND revision = '' AND reference = ?2 AND image = ?3 AND at > ?4";
        let (job, reference, image) = (job.to_owned(), reference.to_owned(), image.to_owned());
        let values = (job.clone(), reference.clone(), image.clone());
        let recent = (at - ONCE_IN).timestamp_millis();
        let known = self.with(move |connection| {
            let (job, reference, image) = values;
            let values = params![job, reference, image, recent];
            connection.prepare_cached(KNOWN)?.query_row(values, |_| Ok(())).optional()
        });
        if known.await?.is_some() {
            return Ok(());
        }
        self.write(move |connection| {
            let values = params![job, "", reference, image, run, at.timestamp_millis()];
            connection.prepare_cached(INSERT)?.execute(values).map(drop)
        })
        .await
    }

    /// All images that runs used, of each job the latest first.
    pub async fn used_images(&self) -> Result<Vec<UsedImage>> {
        const SQL: &str = "SELECT job, revision, reference, image, run FROM used_images \
                           ORDER BY job, run DESC, reference";
        self.with(move |connection| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok(UsedImage {
                    job: row.get(0)?,
                    revision: row.get(1)?,
                    reference: row.get(2)?,
                    image: row.get(3)?,
                    run: row.get(4)?,
                })
            };
            connection.prepare_cached(SQL)?.query_map([], row)?.collect()
        })
        .await
    }

    /// Names of all projects that were deployed, also by jobs that are gone.
    pub async fn deployed_projects(&self) -> Result<BTreeSet<String>> {
        self.with(|connection| {
            let sql = "SELECT DISTINCT project FROM applied";
            connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }
}

const INSERT: &str = "INSERT OR REPLACE INTO used_images \
                      (job, revision, reference, image, run, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
