//! Database work, and waiting for a database that others keep locked.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use crate::error::{Error, Result};
use crate::options::{Hooks, StoreOptions};

/// Why a piece of database work failed: SQLite, or what the work found.
#[derive(Debug)]
pub(crate) enum WorkError {
    Sqlite(rusqlite::Error),
    Store(Error),
}

impl From<rusqlite::Error> for WorkError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for WorkError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// What a piece of database work gives.
pub(crate) type Work<T> = Result<T, WorkError>;

/// How long to wait before another attempt.
const PAUSE: Duration = Duration::from_millis(10);

/// Does `attempt` again as long as another process keeps the database at `path` locked, up to the limit of `options`.
///
/// SQLite's own waiting (`busy_timeout`) is not enough: some of its steps, such as opening a database while another process
/// closes it and so removes the log, fail at once.
pub(crate) fn retry<T>(
    path: &Path,
    options: &StoreOptions,
    hooks: &Hooks,
    mut attempt: impl FnMut() -> Work<T>,
) -> Result<T> {
    let start = Instant::now();
    // What is over at once is not worth a line.
    let mut announced = Duration::from_secs(1);
    loop {
        let error = match attempt() {
            Ok(value) => return Ok(value),
            Err(WorkError::Store(error)) => return Err(error),
            Err(WorkError::Sqlite(error)) => error,
        };
        if !matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed
            )
        ) {
            return Err(Error::Database {
                path: path.to_owned(),
                source: error,
            });
        }
        hooks.check_cancelled()?;
        let waited = start.elapsed();
        if waited > options.busy_limit {
            return Err(Error::Busy {
                path: path.to_owned(),
                seconds: waited.as_secs(),
            });
        }
        if waited > announced {
            hooks.notice(&format!(
                "store database '{}' is locked by another process; waiting",
                path.display()
            ));
            announced = waited + Duration::from_secs(10);
        }
        std::thread::sleep(PAUSE);
    }
}
