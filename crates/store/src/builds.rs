//! How long earlier builds took and how much memory they needed, for the scheduler.
//!
//! In a database of its own, `nix/var/xbuild/builds.sqlite`: Nix's has no place for it. Losing it costs nothing but guesses, so it
//! is never synced, and a damaged one is made anew.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::error::{Error, Result};

/// Raised when the tables change; a file with another version is made anew.
const VERSION: i64 = 1;

/// What is expected of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// How long it takes.
    pub duration: Duration,
    /// The most memory it uses at a time, in bytes; 0 if not known.
    pub peak_memory: u64,
}

/// The record of earlier builds.
#[derive(Debug)]
pub struct Builds {
    path: PathBuf,
    connection: Mutex<Connection>,
    pending: Mutex<Pending>,
}

/// Records that are not written yet. A transaction costs as much as a small build's other book-keeping together.
#[derive(Debug, Default)]
struct Pending {
    records: Vec<Record>,
    /// When records were last written.
    written: Option<Instant>,
}

#[derive(Debug)]
struct Record {
    name: String,
    system: String,
    /// Microseconds.
    duration: i64,
    /// Bytes.
    peak_memory: i64,
}

/// Records that come faster than this share a transaction.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

impl Builds {
    /// Opens the record, making it if there is none.
    pub(crate) fn open(path: &Path, read_only: bool) -> Result<Self> {
        let connection = if read_only {
            // An empty one in memory, if there is nothing to read.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
            let opened = Connection::open_with_flags(path, flags)
                .and_then(|c| if is_current(&c)? { Ok(c) } else { memory() });
            opened.or_else(|_| memory())
        } else {
            if let Some(dir) = path.parent() {
                crate::files::create_dirs(dir)?;
            }
            crate::files::prepare_database(path)?;
            match open_writable(path) {
                Err(error)
                    if matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                    ) =>
                {
                    for suffix in ["", "-wal", "-shm"] {
                        let mut file = path.as_os_str().to_owned();
                        file.push(suffix);
                        let _ = std::fs::remove_file(file);
                    }
                    open_writable(path)
                }
                other => other,
            }
        };
        let connection = connection.map_err(|source| Error::Database {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            pending: Mutex::default(),
        })
    }

    /// Records a successful build. `name` is the derivation's name, without hash, so that a later version profits. Records that
    /// come in quick succession are written together, the last of them when this is dropped.
    pub fn record_build(
        &self,
        name: &str,
        system: &str,
        duration: Duration,
        peak_memory: u64,
    ) -> Result<()> {
        let record = Record {
            name: name.to_owned(),
            system: system.to_owned(),
            duration: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
            peak_memory: i64::try_from(peak_memory).unwrap_or(i64::MAX),
        };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.records.push(record);
        if pending
            .written
            .is_some_and(|at| at.elapsed() < WRITE_INTERVAL)
        {
            return Ok(());
        }
        self.write(&mut pending)
    }

    fn write(&self, pending: &mut Pending) -> Result<()> {
        pending.written = Some(Instant::now());
        let records = std::mem::take(&mut pending.records);
        if records.is_empty() {
            return Ok(());
        }
        self.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            // The mean of the new value and the earlier mean: recent builds count most.
            let mut statement = transaction.prepare_cached(
                "insert into Builds (name, system, duration, peakMemory) values (?1, ?2, ?3, ?4) \
                 on conflict (name, system) do update set duration = (duration + ?3) / 2, peakMemory = max(peakMemory / 2, ?4)",
            )?;
            for record in &records {
                statement.execute(params![record.name, record.system, record.duration, record.peak_memory])?;
            }
            drop(statement);
            transaction.commit()
        })
    }

    /// What to expect of a build with this name on this system, or on any; then of other versions of the same package, which are
    /// those with the same name up to the first dash before a digit.
    pub fn expected(&self, name: &str, system: &str) -> Result<Option<Expected>> {
        self.write(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))?;
        let stem = package_name(name);
        self.with(|connection| {
            let read = |row: &rusqlite::Row<'_>| {
                let micros: i64 = row.get(0)?;
                let memory: i64 = row.get(1)?;
                Ok(Expected {
                    duration: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
                    peak_memory: u64::try_from(memory).unwrap_or(0),
                })
            };
            let mut exact = connection.prepare_cached(
                "select duration, peakMemory from Builds where name = ?1 order by system = ?2 desc limit 1",
            )?;
            if let Some(expected) = exact.query_row(params![name, system], read).optional()? {
                return Ok(Some(expected));
            }
            // ':' follows '9': names that begin with `stem-` and a digit.
            let mut similar = connection.prepare_cached(
                "select duration, peakMemory from Builds where name >= ?1 || '-0' and name < ?1 || '-:' \
                 order by system = ?2 desc, name desc limit 1",
            )?;
            similar.query_row(params![stem, system], read).optional()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|source| Error::Database {
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for Builds {
    fn drop(&mut self) {
        // Only guesses are lost.
        let pending = std::mem::take(
            self.pending
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let _ = self.write(&mut { pending });
    }
}

/// The part of a derivation's name before its version, as `builtins.parseDrvName` splits it but only at digits.
fn package_name(name: &str) -> &str {
    let bytes = name.as_bytes();
    let dash = (0..bytes.len())
        .find(|&i| bytes[i] == b'-' && bytes.get(i + 1).is_some_and(u8::is_ascii_digit));
    dash.map_or(name, |dash| &name[..dash])
}

fn open_writable(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    if !is_current(&connection)? {
        create(&connection)?;
    }
    Ok(connection)
}

fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    create(&connection)?;
    Ok(connection)
}

fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == VERSION)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "begin immediate;
         drop table if exists Builds;
         create table Builds (
             name text not null,
             system text not null,
             duration integer not null, -- microseconds
             peakMemory integer not null, -- bytes
             primary key (name, system)
         ) without rowid;
         pragma user_version = {VERSION};
         commit;"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_guesses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x/builds.sqlite");
        let builds = Builds::open(&path, false).unwrap();
        assert_eq!(builds.expected("hello-2.10", "x86_64-linux").unwrap(), None);
        builds
            .record_build("hello-2.10", "x86_64-linux", Duration::from_secs(10), 100)
            .unwrap();
        builds
            .record_build("hello-2.10", "x86_64-linux", Duration::from_secs(20), 50)
            .unwrap();
        let expected = Some(Expected {
            duration: Duration::from_secs(15),
            peak_memory: 50,
        });
        assert_eq!(
            builds.expected("hello-2.10", "x86_64-linux").unwrap(),
            expected
        );
        assert_eq!(
            builds.expected("hello-2.10", "aarch64-linux").unwrap(),
            expected
        );
        assert_eq!(
            builds.expected("hello-2.12", "x86_64-linux").unwrap(),
            expected
        );
        assert_eq!(
            builds.expected("hello-world-1", "x86_64-linux").unwrap(),
            None
        );
        assert_eq!(builds.expected("hell-1", "x86_64-linux").unwrap(), None);
        drop(builds);
        assert_eq!(
            Builds::open(&path, true)
                .unwrap()
                .expected("hello-2.10", "")
                .unwrap(),
            expected
        );
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("builds.sqlite");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let builds = Builds::open(&path, false).unwrap();
        builds
            .record_build("a", "b", Duration::from_secs(1), 0)
            .unwrap();
    }
}
