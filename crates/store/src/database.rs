//! The connections to `db.sqlite`: one that writes, and as many as needed that read.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::busy::{self, Work};
use crate::error::{Error, Result};
use crate::fault;
use crate::layout::Layout;
use crate::options::{Hooks, StoreOptions};
use crate::schema;

/// An open database.
pub(crate) struct Database {
    layout: Layout,
    options: StoreOptions,
    hooks: Hooks,
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    _big_lock: Option<File>,
}

impl Database {
    pub(crate) fn open(layout: &Layout, options: &StoreOptions, hooks: &Hooks) -> Result<Self> {
        let (connection, big_lock) = schema::open(layout, options, hooks)?;
        Ok(Self {
            layout: layout.clone(),
            options: options.clone(),
            hooks: hooks.clone(),
            path: layout.database(),
            writer: Mutex::new(connection),
            readers: Mutex::default(),
            _big_lock: big_lock,
        })
    }

    /// Reads in one transaction, so from one state of the database.
    pub(crate) fn read<T>(&self, mut work: impl FnMut(&Connection) -> Work<T>) -> Result<T> {
        let reader = lock(&self.readers).pop();
        let connection = match reader {
            Some(connection) => connection,
            None => schema::connect(&self.layout, &self.options, &self.hooks)?,
        };
        let result = self.retry(|| {
            // Prepared once for each connection: parsing these takes longer than most of the queries between them.
            connection.prepare_cached("begin")?.execute([])?;
            let value = work(&connection).and_then(|value| {
                connection.prepare_cached("commit")?.execute([])?;
                Ok(value)
            });
            if value.is_err() && !connection.is_autocommit() {
                // What went wrong before is what counts.
                let _ = connection.execute_batch("rollback");
            }
            value
        });
        // One that could not end its transaction is not used again, nor is one whose reader panicked.
        if connection.is_autocommit() {
            lock(&self.readers).push(connection);
        }
        result
    }

    /// Writes in one transaction: all of it happens, or, when `work` fails, nothing. May be called again when the database is
    /// busy.
    pub(crate) fn write<T>(&self, mut work: impl FnMut(&Transaction<'_>) -> Work<T>) -> Result<T> {
        fault::point("write", &self.path)?;
        let mut connection = lock(&self.writer);
        self.retry(|| {
            // "Immediate": a transaction that starts reading and writes later fails at once, and cannot be waited for, if
            // somebody else wrote in between.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    fn retry<T>(&self, attempt: impl FnMut() -> Work<T>) -> Result<T> {
        busy::retry(&self.path, &self.options, &self.hooks, attempt)
    }

    /// An error about a damaged row.
    pub(crate) fn corrupt(&self, what: String) -> Error {
        Error::CorruptDatabase {
            path: self.path.clone(),
            what,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A connection is sound after a panic: its transaction was rolled back while unwinding.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
