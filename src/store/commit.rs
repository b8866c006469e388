//! Group commit: what several runs write at one time becomes durable together, with one wait for the disk.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::{Store, blocking, schema};

/// What waits to be written; whoever holds the connection next writes all of it.
#[derive(Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Vec<Work>>>);

impl std::fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pending")
    }
}

/// Writes, unless there is no transaction, and returns what tells the one who asked how it went, once all
/// of it is durable.
type Work = Box<dyn FnOnce(Option<&Connection>) -> Tell + Send>;
/// Takes why the transaction failed, if it did.
type Tell = Box<dyn FnOnce(Option<&str>) + Send>;

impl Store {
    /// Writes in a transaction that others may share: an error takes back what this one wrote and
    /// nothing else.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let work = move |connection: Option<&Connection>| -> Tell {
            let done = connection.map(|connection| {
                in_savepoint(connection, work).map_err(|error| schema::explain(error, &path))
            });
            Box::new(move |failure| {
                let failed = || Err(anyhow!("{}", failure.unwrap_or("nothing was written")));
                let answer = done.filter(|_| failure.is_none()).unwrap_or_else(failed);
                // Whoever asked may have been cancelled.
                let _ = sender.send(answer);
            })
        };
        self.pending.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(work));
        let store = self.clone();
        blocking(move || {
            store.write_pending();
            Ok(())
        })
        .await?;
        answer.await.context("write to the store")?
    }

    fn write_pending(&self) {
        // A panic in here cannot leave a transaction open: dropping it rolls back.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let works =
            std::mem::take(&mut *self.pending.0.lock().unwrap_or_else(PoisonError::into_inner));
        if works.is_empty() {
            return;
        }
        let mut tells = Vec::with_capacity(works.len());
        let behaviour = TransactionBehavior::Immediate;
        let written = match connection.transaction_with_behavior(behaviour) {
            Ok(transaction) => {
                tells.extend(works.into_iter().map(|work| work(Some(&transaction))));
                transaction.commit()
            }
            Err(error) => {
                tells.extend(works.into_iter().map(|work| work(None)));
                Err(error)
            }
        };
        let failure =
            written.err().map(|error| format!("{:#}", schema::explain(error, &self.path)));
        for tell in tells {
            tell(failure.as_deref());
        }
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT one")?;
    let done = work(connection);
    let end = if done.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
    // Where the disk is full, SQLite has rolled back the whole transaction already.
    let ended = connection.execute_batch(end);
    done.and_then(|value| ended.map(|()| value))
}
