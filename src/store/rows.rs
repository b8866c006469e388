//! Rows of the store to values and back.

use chrono::{DateTime, Utc};
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::run::{Run, StepRecord};
use crate::source::Revision;
use crate::store::{Applied, Quarantine};

/// Columns of [`run`], in its order.
pub(super) const RUN: &str = "id, job, trigger, slot, started, ended, revision, outcome, reason, \
                              message, exit_code";

pub(super) fn run(row: &Row<'_>) -> Result<Run> {
    Ok(Run {
        id: row.get(0)?,
        job: row.get(1)?,
        trigger: word(row, 2)?,
        slot: optional_time(row, 3)?,
        started: time(row, 4)?,
        ended: optional_time(row, 5)?,
        revision: optional_revision(row, 6)?,
        outcome: word(row, 7)?,
        reason: optional_word(row, 8)?,
        message: row.get(9)?,
        exit_code: row.get(10)?,
    })
}

/// Columns of [`step`], in its order.
pub(super) const STEP: &str = "position, name, started, ended, error";

pub(super) fn step(row: &Row<'_>) -> Result<StepRecord> {
    Ok(StepRecord {
        index: index(row, 0)?,
        name: row.get(1)?,
        started: time(row, 2)?,
        ended: optional_time(row, 3)?,
        error: row.get(4)?,
    })
}

fn index(row: &Row<'_>, column: usize) -> Result<usize> {
    let number: i64 = row.get(column)?;
    usize::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(column, number))
}

/// Columns of [`applied`], in its order.
pub(super) const APPLIED: &str = "project, revision, run, at";

pub(super) fn applied(row: &Row<'_>) -> Result<Applied> {
    Ok(Applied {
        project: row.get(0)?,
        revision: revision(row, 1)?,
        run: row.get(2)?,
        at: time(row, 3)?,
    })
}

/// Columns of [`quarantine`], in its order.
pub(super) const QUARANTINE: &str = "revision, run, reason, message, since";

pub(super) fn quarantine(row: &Row<'_>) -> Result<Quarantine> {
    Ok(Quarantine {
        revision: revision(row, 0)?,
        run: row.get(1)?,
        reason: word(row, 2)?,
        message: row.get(3)?,
        since: time(row, 4)?,
    })
}

pub(super) fn revision_text(revision: &Revision) -> Result<String> {
    serde_json::to_string(revision).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<DateTime<Utc>> {
    let milliseconds: i64 = row.get(column)?;
    DateTime::from_timestamp_millis(milliseconds)
        .ok_or(Error::IntegralValueOutOfRange(column, milliseconds))
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<DateTime<Utc>>> {
    let present = row.get::<_, Option<i64>>(column)?.is_some();
    present.then(|| time(row, column)).transpose()
}

fn revision(row: &Row<'_>, column: usize) -> Result<Revision> {
    serde_json::from_str(&row.get::<_, String>(column)?)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn optional_revision(row: &Row<'_>, column: usize) -> Result<Option<Revision>> {
    let present = row.get::<_, Option<String>>(column)?.is_some();
    present.then(|| revision(row, column)).transpose()
}

/// A value of one of our closed lists, by the word it is stored as.
pub(super) fn word<T: for<'de> Deserialize<'de>>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    let word: StrDeserializer<'_, WordError> = text.as_str().into_deserializer();
    T::deserialize(word)
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn optional_word<T: for<'de> Deserialize<'de>>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    let present = row.get::<_, Option<String>>(column)?.is_some();
    present.then(|| word(row, column)).transpose()
}
