//! How long earlier builds took, and how much memory and how many processors they used, for the scheduler; and how large earlier
//! downloads were.
//!
//! In a database of its own, `nix/var/xbuild/builds.sqlite`: Nix's has no place for it. Losing it costs nothing but guesses, so it
//! is never synced, and a damaged one is made anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use xbuild_store_model::store_path::StorePath;

use crate::error::{Error, Result};

/// Raised when the tables change; a file with another version is made anew.
const VERSION: i64 = 2;

/// What a build used, and so what is expected of the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How long it takes.
    pub duration: Duration,
    /// The most memory it uses at a time, in bytes; 0 if not known.
    pub peak_memory: u64,
    /// How many processors it keeps busy on average, in thousandths: processor time by wall time.
    pub processors: u64,
}

/// What a download was, and so what is expected of the same one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Download {
    /// Its size, in bytes.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// What is known of all builds, as it was when it was [read](Builds::history).
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By name, then by system.
    builds: BTreeMap<String, BTreeMap<String, Usage>>,
    /// By the store path that was made of them, without its directory.
    downloads: BTreeMap<String, Download>,
}

impl History {
    /// What to expect of a build with this name on this system, or on any; then of other versions of the same package, which are
    /// those with the same name up to the first dash before a digit. Of several versions, the one with the greatest name.
    #[must_use]
    pub fn expected(&self, name: &str, system: &str) -> Option<Usage> {
        let of = |systems: &BTreeMap<String, Usage>| {
            let found = systems.get(system).or_else(|| systems.values().next());
            found.copied()
        };
        if let Some(systems) = self.builds.get(name) {
            return of(systems);
        }
        let stem = package_name(name);
        // ':' follows '9': names that begin with `stem-` and a digit.
        let versions = self
            .builds
            .range(format!("{stem}-0")..format!("{stem}-:"))
            .map(|(_, systems)| systems)
            .chain(self.builds.get(stem));
        let mut found = None;
        for systems in versions {
            if found.is_none() || systems.contains_key(system) {
                found = of(systems);
            }
        }
        found
    }

    /// What was downloaded for this store path, which need not be there any more.
    #[must_use]
    pub fn download(&self, path: &StorePath) -> Option<Download> {
        self.downloads.get(path.base_name()).copied()
    }

    /// Whether nothing is known of builds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty()
    }
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
    downloads: Vec<(String, Download)>,
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
    /// Thousandths.
    processors: i64,
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
    pub fn record_build(&self, name: &str, system: &str, usage: Usage) -> Result<()> {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let record = Record {
            name: name.to_owned(),
            system: system.to_owned(),
            duration: i64::try_from(usage.duration.as_micros()).unwrap_or(i64::MAX),
            peak_memory: whole(usage.peak_memory),
            processors: whole(usage.processors),
        };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.records.push(record);
        self.write_now_and_then(&mut pending)
    }

    /// Records what was downloaded for a store path, as [`record_build`](Self::record_build) does a build.
    pub fn record_download(&self, path: &StorePath, download: Download) -> Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let name = path.base_name().to_owned();
        pending.downloads.push((name, download));
        self.write_now_and_then(&mut pending)
    }

    fn write_now_and_then(&self, pending: &mut Pending) -> Result<()> {
        if pending
            .written
            .is_some_and(|at| at.elapsed() < WRITE_INTERVAL)
        {
            return Ok(());
        }
        self.write(pending)
    }

    fn write(&self, pending: &mut Pending) -> Result<()> {
        pending.written = Some(Instant::now());
        let records = std::mem::take(&mut pending.records);
        let downloads = std::mem::take(&mut pending.downloads);
        if records.is_empty() && downloads.is_empty() {
            return Ok(());
        }
        self.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            // The mean of the new value and the earlier mean: recent builds count most. Of processors the most that were ever seen: a
            // build that shares the machine gets fewer than it would use.
            let mut statement = transaction.prepare_cached(
                "insert into Builds (name, system, duration, peakMemory, processors) values (?1, ?2, ?3, ?4, ?5) \
                 on conflict (name, system) do update set duration = (duration + ?3) / 2, \
                 peakMemory = max(peakMemory / 2, ?4), processors = max(processors, ?5)",
            )?;
            for record in &records {
                statement.execute(params![
                    record.name,
                    record.system,
                    record.duration,
                    record.peak_memory,
                    record.processors
                ])?;
            }
            drop(statement);
            let mut statement = transaction.prepare_cached(
                "insert or replace into Downloads (path, bytes, duration) values (?, ?, ?)",
            )?;
            for (path, download) in &downloads {
                let duration = i64::try_from(download.duration.as_micros()).unwrap_or(i64::MAX);
                let bytes = i64::try_from(download.bytes).unwrap_or(i64::MAX);
                statement.execute(params![path, bytes, duration])?;
            }
            drop(statement);
            transaction.commit()
        })
    }

    /// Reads all that is known.
    pub fn history(&self) -> Result<History> {
        self.write(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))?;
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "select name, system, duration, peakMemory, processors from Builds",
            )?;
            let mut rows = statement.query([])?;
            let mut history = History::default();
            let whole = |n: i64| u64::try_from(n).unwrap_or(0);
            while let Some(row) = rows.next()? {
                let usage = Usage {
                    duration: Duration::from_micros(whole(row.get(2)?)),
                    peak_memory: whole(row.get(3)?),
                    processors: whole(row.get(4)?),
                };
                let systems = history.builds.entry(row.get(0)?).or_default();
                systems.insert(row.get(1)?, usage);
            }
            // One that was made before downloads were recorded, and is only read.
            if connection.table_exists(None, "Downloads")? {
                let mut statement =
                    connection.prepare_cached("select path, bytes, duration from Downloads")?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let download = Download {
                        bytes: whole(row.get(1)?),
                        duration: Duration::from_micros(whole(row.get(2)?)),
                    };
                    history.downloads.insert(row.get(0)?, download);
                }
            }
            Ok(history)
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
    create_downloads(&connection)?;
    Ok(connection)
}

fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    create(&connection)?;
    create_downloads(&connection)?;
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
             processors integer not null, -- thousandths
             primary key (name, system)
         ) without rowid;
         pragma user_version = {VERSION};
         commit;"
    ))
}

/// Came later than the other table, and without a new version: what is known of builds is kept.
fn create_downloads(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "create table if not exists Downloads (
             path text primary key not null, -- what was made of it, without the store's directory
             bytes integer not null,
             duration integer not null -- microseconds
         ) without rowid;",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(seconds: u64, peak_memory: u64, processors: u64) -> Usage {
        Usage {
            duration: Duration::from_secs(seconds),
            peak_memory,
            processors,
        }
    }

    #[test]
    fn records_and_guesses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x/builds.sqlite");
        let builds = Builds::open(&path, false).unwrap();
        assert!(builds.history().unwrap().is_empty());
        for used in [usage(10, 100, 1900), usage(20, 50, 1000)] {
            builds
                .record_build("hello-2.10", "x86_64-linux", used)
                .unwrap();
        }
        let expected = Some(usage(15, 50, 1900));
        let history = builds.history().unwrap();
        assert_eq!(history.expected("hello-2.10", "x86_64-linux"), expected);
        assert_eq!(history.expected("hello-2.10", "aarch64-linux"), expected);
        assert_eq!(history.expected("hello-2.12", "x86_64-linux"), expected);
        assert_eq!(history.expected("hello", "x86_64-linux"), expected);
        assert_eq!(history.expected("hello-world-1", "x86_64-linux"), None);
        assert_eq!(history.expected("hell-1", "x86_64-linux"), None);
        drop(builds);
        let again = Builds::open(&path, true).unwrap().history().unwrap();
        assert_eq!(again.expected("hello-2.10", ""), expected);
    }

    /// Also beside what an xbuild that did not record downloads has left.
    #[test]
    fn downloads_are_known_by_their_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("builds.sqlite");
        let [path, other] = ["a", "b"].map(|name| {
            StorePath::from_base_name(&format!("00000000000000000000000000000000-{name}")).unwrap()
        });
        let builds = Builds::open(&file, false).unwrap();
        builds.record_build("a", "b", usage(1, 0, 0)).unwrap();
        let drop_table = |connection: &Connection| connection.execute_batch("drop table Downloads");
        builds.with(drop_table).unwrap();
        drop(builds);
        let old = Builds::open(&file, true).unwrap().history().unwrap();
        assert_eq!(old.download(&path), None);
        let builds = Builds::open(&file, false).unwrap();
        for bytes in [5, 1000] {
            let duration = Duration::from_millis(bytes);
            let download = Download { bytes, duration };
            builds.record_download(&path, download).unwrap();
        }
        drop(builds);
        let history = Builds::open(&file, true).unwrap().history().unwrap();
        let download = Download {
            bytes: 1000,
            duration: Duration::from_secs(1),
        };
        assert_eq!(history.download(&path), Some(download));
        assert_eq!(history.download(&other), None);
        assert_eq!(history.expected("a", "b"), Some(usage(1, 0, 0)));
    }

    #[test]
    fn of_other_versions_the_greatest_of_the_same_system_counts() {
        let dir = tempfile::tempdir().unwrap();
        let builds = Builds::open(&dir.path().join("b"), false).unwrap();
        for (name, system, seconds) in [
            ("a-1", "x", 1),
            ("a-2", "x", 2),
            ("a-3", "y", 3),
            ("b", "x", 4),
        ] {
            builds
                .record_build(name, system, usage(seconds, 0, 0))
                .unwrap();
        }
        let history = builds.history().unwrap();
        let seconds = |name, system| {
            let usage: Option<Usage> = history.expected(name, system);
            usage.map(|usage| usage.duration.as_secs())
        };
        assert_eq!(seconds("a-9", "x"), Some(2));
        assert_eq!(seconds("a-9", "y"), Some(3));
        assert_eq!(seconds("b-1", "x"), Some(4));
        assert_eq!(seconds("c-1", "x"), None);
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("builds.sqlite");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let builds = Builds::open(&path, false).unwrap();
        builds.record_build("a", "b", usage(1, 0, 0)).unwrap();
    }
}
