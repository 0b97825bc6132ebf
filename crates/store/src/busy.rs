//! Database work, and waiting for a database that others keep locked.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

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
    let mut probed = false;
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
        if !std::mem::replace(&mut probed, true) {
            can_lock(path)?;
        }
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

/// Whether files beside the database at `path` can be locked at all. SQLite calls a database locked, too, when the system refuses to lock it.
///
/// The file with the schema version is asked, or in a new store another file that nobody locks: to close the database itself would drop
/// this process's locks on it.
fn can_lock(path: &Path) -> Result<()> {
    let schema = path.with_file_name("schema");
    let answer = if let Ok(file) = File::open(&schema) {
        fcntl_lock(&file, FlockOperation::NonBlockingLockShared)
    } else if let Some(file) = path
        .parent()
        .and_then(|directory| tempfile::NamedTempFile::new_in(directory).ok())
    {
        fcntl_lock(file.as_file(), FlockOperation::NonBlockingLockShared)
    } else {
        // Where nothing may be made, there are better errors than this one.
        return Ok(());
    };
    lockable(path, answer)
}

fn lockable(path: &Path, answer: rustix::io::Result<()>) -> Result<()> {
    match answer {
        // Somebody has locked it, so it can be locked.
        Ok(()) | Err(Errno::ACCESS | Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::NoLocks {
            path: path.to_owned(),
            source: errno.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;

    #[test]
    fn a_file_system_without_locks_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("db.sqlite");
        assert!(can_lock(&database).is_ok());
        std::fs::write(directory.path().join("schema"), "10").unwrap();
        assert!(can_lock(&database).is_ok());
        assert!(lockable(&database, Err(Errno::AGAIN)).is_ok());
        let error = lockable(&database, Err(Errno::NOLCK))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot lock store database") && error.contains("NFS"),
            "{error}"
        );
        assert!(error.contains("db.sqlite"), "{error}");
    }
}
