//! What jobs that sync data have brought where: the next run tells its hooks what changed since.

use anyhow::Result;
use rusqlite::{OptionalExtension, params};

use super::Store;
use crate::plan::sync::{Changed, Known};

impl Store {
    /// What is known of a source of a job.
    pub async fn synced(&self, job: &str, source: &str) -> Result<Known> {
        const SQL: &str = "SELECT revision, untold FROM syncs WHERE job = ?1 AND source = ?2";
        let key = [job.to_owned(), source.to_owned()];
        self.with(move |connection| {
            let row = |row: &rusqlite::Row<'_>| {
                let untold: Option<String> = row.get(1)?;
                // What cannot be read is told as if nothing were known of it.
                let untold = untold.map(|text| serde_json::from_str(&text).unwrap_or_default());
                Ok(Known { revision: row.get(0)?, untold })
            };
            let known = connection.prepare_cached(SQL)?.query_row(key, row).optional()?;
            Ok(known.unwrap_or_default())
        })
        .await
    }

    /// Records what is known of a source of a job.
    pub async fn set_synced(&self, job: &str, source: &str, known: &Known) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO syncs (job, source, revision, untold) \
                           VALUES (?1, ?2, ?3, ?4)";
        let key = (job.to_owned(), source.to_owned());
        let revision = known.revision.clone();
        let text = |it: &Changed| serde_json::to_string(it);
        let untold = known.untold.as_ref().map(text).transpose()?;
        self.write(move |connection| {
            let values = params![key.0, key.1, revision, untold];
            connection.prepare_cached(SQL)?.execute(values).map(drop)
        })
        .await
    }
}
