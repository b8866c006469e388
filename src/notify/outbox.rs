//! The outbox: messages on their way, in an `SQLite` file of its own, `outbox.db`.
//!
//! It holds addresses and headers, which may be secret, so only its owner may read it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tracing::warn;

use super::message::{Kind, Message};
use crate::run::Outcome;

/// Name of the file in the state directory.
const FILE: &str = "outbox.db";

/// Pings that wait for one check; a check is about the present, so older ones go. Failures go last.
const PINGS_A_CHECK: i64 = 12;

/// Messages that wait for one webhook.
const MESSAGES_A_WEBHOOK: i64 = 500;

/// Bytes of bodies that wait; with more, the oldest messages go.
const BYTES: i64 = 64 * 1024 * 1024;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        target TEXT NOT NULL,
        kind TEXT NOT NULL,
        job TEXT NOT NULL,
        created INTEGER NOT NULL,
        due INTEGER NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        dear INTEGER NOT NULL,
        size INTEGER NOT NULL,
        url TEXT NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS messages_of_target ON messages (target, id);
    CREATE TABLE IF NOT EXISTS states (job TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;
";

/// Messages on their way; clones share one connection.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    connection: Arc<Mutex<Connection>>,
}

/// The first message to a receiver: the others wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: i64,
    pub(super) target: String,
    pub(super) kind: Kind,
    pub(super) due: DateTime<Utc>,
}

impl Outbox {
    /// Opens the outbox; where that fails, says so and makes one in memory.
    pub(super) async fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let opened = tokio::task::spawn_blocking(move || match open(&path) {
            Ok(connection) => Ok(connection),
            Err(error) => {
                warn!(
                    "messages are kept in memory only: {error:#}; if `{}` is damaged, remove it",
                    path.display()
                );
                prepared(Connection::open_in_memory()?)
            }
        });
        let connection = opened.await.map_err(anyhow::Error::from).flatten();
        let connection = connection.expect("SQLite opens in memory");
        Self { connection: Arc::new(Mutex::new(connection)) }
    }

    /// Takes messages; returns how many had to go because there were too many.
    pub(super) async fn put(&self, messages: Vec<Message>) -> Result<usize> {
        self.with(move |transaction| insert(transaction, &messages)).await
    }

    /// Decides with the outcome that a job's state was last changed by: what it is now, and what is
    /// told. Both are on the disk, or none.
    pub(super) async fn change_state(
        &self,
        job: String,
        decide: impl FnOnce(Option<Outcome>) -> (Option<Outcome>, Option<Vec<Message>>) + Send + 'static,
    ) -> Result<usize> {
        self.with(move |transaction| {
            const SELECT: &str = "SELECT outcome FROM states WHERE job = ?1";
            const REPLACE: &str = "INSERT OR REPLACE INTO states (job, outcome) VALUES (?1, ?2)";
            let word: Option<String> =
                transaction.query_row(SELECT, [&job], |row| row.get(0)).optional()?;
            let (state, messages) = decide(word.and_then(|word| Outcome::parse(&word)));
            if let Some(outcome) = state {
                transaction.execute(REPLACE, params![job, outcome.as_str()])?;
            }
            insert(transaction, &messages.unwrap_or_default())
        })
        .await
    }

    /// The first message to each receiver.
    pub(super) async fn heads(&self) -> Result<Vec<Head>> {
        const SQL: &str = "SELECT id, target, kind, due FROM messages \
                           WHERE id IN (SELECT MIN(id) FROM messages GROUP BY target) ORDER BY due";
        self.with(|transaction| {
            let mut statement = transaction.prepare_cached(SQL)?;
            let heads = statement.query_map([], |row| {
                Ok(Head {
                    id: row.get(0)?,
                    target: row.get(1)?,
                    kind: Kind::parse(&row.get::<_, String>(2)?).unwrap_or(Kind::Webhook),
                    due: time(row.get(3)?),
                })
            })?;
            Ok(heads.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// One message; `None` when it is gone.
    pub(super) async fn message(&self, id: i64) -> Result<Option<Message>> {
        const SQL: &str = "SELECT target, kind, job, url, headers, body, created, tries, dear \
                           FROM messages WHERE id = ?1";
        self.with(move |transaction| {
            let row = transaction.prepare_cached(SQL)?.query_row([id], |row| {
                let headers: String = row.get(4)?;
                Ok(Message {
                    id,
                    target: row.get(0)?,
                    kind: Kind::parse(&row.get::<_, String>(1)?).unwrap_or(Kind::Webhook),
                    job: row.get(2)?,
                    url: row.get(3)?,
                    headers: serde_json::from_str(&headers).unwrap_or_default(),
                    body: row.get(5)?,
                    created: time(row.get(6)?),
                    tries: row.get(7)?,
                    is_dear: row.get(8)?,
                })
            });
            Ok(row.optional()?)
        })
        .await
    }

    /// Takes a message off.
    pub(super) async fn remove(&self, id: i64) -> Result<()> {
        self.with(move |transaction| {
            transaction.execute("DELETE FROM messages WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }

    /// Puts off a message until `due`, after one more try.
    pub(super) async fn put_off(&self, id: i64, due: DateTime<Utc>) -> Result<()> {
        const SQL: &str = "UPDATE messages SET due = ?2, tries = tries + 1 WHERE id = ?1";
        self.with(move |transaction| {
            transaction.execute(SQL, params![id, due.timestamp_millis()])?;
            Ok(())
        })
        .await
    }

    /// How many messages wait for each receiver.
    #[cfg(test)]
    pub(super) async fn count(&self) -> Result<std::collections::BTreeMap<String, i64>> {
        self.with(|transaction| {
            let sql = "SELECT target, COUNT(*) FROM messages GROUP BY target";
            let mut statement = transaction.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        let work = move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let result = work(&transaction)?;
            transaction.commit()?;
            anyhow::Ok(result)
        };
        tokio::task::spawn_blocking(work).await?.context("use `outbox.db`")
    }
}

fn open(path: &Path) -> Result<Connection> {
    let what = || format!("open `{}`", path.display());
    // Ours before SQLite's: it would make the file readable for others.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).with_context(what)?;
    Connection::open(path).map_err(anyhow::Error::from).and_then(prepared).with_context(what)
}

fn prepared(connection: Connection) -> Result<Connection> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // On file systems without shared memory it stays as it is, which works as well.
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn insert(transaction: &Transaction<'_>, messages: &[Message]) -> Result<usize> {
    const SQL: &str = "INSERT INTO messages \
                       (target, kind, job, created, due, dear, size, url, headers, body) \
                       VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut dropped = 0;
    for message in messages {
        let Message { target, kind, job, url, body, .. } = message;
        let created = message.created.timestamp_millis();
        let size = i64::try_from(body.len() + url.len())?;
        let headers = serde_json::to_string(&message.headers)?;
        let (kind_word, dear) = (kind.as_str(), message.is_dear);
        transaction
            .prepare_cached(SQL)?
            .execute(params![target, kind_word, job, created, dear, size, url, headers, body])?;
        let limit = match kind {
            Kind::Ping => PINGS_A_CHECK,
            Kind::Webhook => MESSAGES_A_WEBHOOK,
        };
        dropped += drop_excess(transaction, target, limit)?;
    }
    Ok(dropped)
}

fn drop_excess(transaction: &Transaction<'_>, target: &str, limit: i64) -> Result<usize> {
    const COUNT: &str = "SELECT COUNT(*) FROM messages WHERE target = ?1";
    // Which one is just being sent does not matter: at worst it is sent and gone.
    const OF_TARGET: &str = "DELETE FROM messages WHERE id IN (SELECT id FROM messages \
                             WHERE target = ?1 ORDER BY dear, id LIMIT ?2)";
    const OLDEST: &str = "DELETE FROM messages WHERE id = (SELECT MIN(id) FROM messages)";
    let count: i64 = transaction.prepare_cached(COUNT)?.query_row([target], |row| row.get(0))?;
    let excess = (count - limit).max(0);
    let mut dropped = transaction.prepare_cached(OF_TARGET)?.execute(params![target, excess])?;
    let size = "SELECT COALESCE(SUM(size), 0) FROM messages";
    while transaction.prepare_cached(size)?.query_row([], |row| row.get::<_, i64>(0))? > BYTES {
        dropped += transaction.execute(OLDEST, [])?;
    }
    Ok(dropped)
}

fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}
