//! The database's schema and the files around it: Nix's schema version 10, as Nix 2.34 creates it.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::busy;
use crate::error::{Error, Result};
use crate::files::{create_dirs, prepare_database};
use crate::layout::Layout;
use crate::locks;
use crate::options::{Hooks, StoreOptions};

/// The schema version in `nix/var/nix/db/schema`.
pub const SCHEMA_VERSION: u32 = 10;

/// Size of the file that sets space aside for collecting garbage on a full disk, in bytes.
const RESERVED_SIZE: u64 = 8 << 20;
/// On a disk with little space, the file is at most this part of what is free.
const RESERVED_PART: u64 = 8;

/// SQLite keeps the text of these statements, so their white space and comments are part of the schema.
const SCHEMA: &str = "\
CREATE TABLE if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null, -- base16 representation
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies \"false\"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo
);
CREATE TABLE if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
CREATE INDEX if not exists IndexReferrer on Refs(referrer);
CREATE INDEX if not exists IndexReference on Refs(reference);
CREATE TRIGGER if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
CREATE TABLE if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually \"out\"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
CREATE INDEX if not exists IndexDerivationOutputs on DerivationOutputs(path);
CREATE TABLE if not exists SchemaMigrations (migration text primary key not null);
";

/// The migration of stock Nix that adds the tables of realisations, once its feature `ca-derivations` is on.
const REALISATIONS_MIGRATION: &str = "20220326-ca-derivations";

/// The tables of realisations. The schema version stays the same. `RealisationsRefs` is empty since Nix 2.33.
const REALISATIONS_SCHEMA: &str = "\
create table if not exists SchemaMigrations (migration text primary key not null);
create table if not exists Realisations (
    id integer primary key autoincrement not null,
    drvPath text not null,
    outputName text not null, -- symbolic output id, usually \"out\"
    outputPath integer not null,
    signatures text, -- space-separated list
    foreign key (outputPath) references ValidPaths(id) on delete cascade
);
create index if not exists IndexRealisations on Realisations(drvPath, outputName);
create trigger if not exists DeleteSelfRefsViaRealisations before delete on ValidPaths
  begin
    delete from RealisationsRefs where realisationReference in (
      select id from Realisations where outputPath = old.id
    );
  end;
create table if not exists RealisationsRefs (
    referrer integer not null,
    realisationReference integer,
    foreign key (referrer) references Realisations(id) on delete cascade,
    foreign key (realisationReference) references Realisations(id) on delete restrict
);
create index if not exists IndexRealisationsRefsRealisationReference on RealisationsRefs(realisationReference);
create index if not exists IndexRealisationsRefs on RealisationsRefs(referrer);
create index if not exists IndexRealisationsRefsOnOutputPath on Realisations(outputPath);
";

/// Makes the tables of realisations where they are missing, within the caller's transaction.
pub(crate) fn create_realisations(connection: &Connection) -> rusqlite::Result<()> {
    if has_realisations(connection)? {
        return Ok(());
    }
    connection.execute_batch(REALISATIONS_SCHEMA)?;
    connection.execute(
        "insert or ignore into SchemaMigrations values (?)",
        [REALISATIONS_MIGRATION],
    )?;
    Ok(())
}

/// Whether the store has the tables of realisations.
pub(crate) fn has_realisations(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "select 1 from sqlite_master where type = 'table' and name = 'Realisations'",
        )?
        .exists([])
}

/// Makes the directories of a store where they are missing, as stock Nix does.
pub(crate) fn create_directories(layout: &Layout) -> Result<()> {
    for dir in [
        layout.links_dir(),
        layout.profiles_dir().join("per-user"),
        layout.gc_roots_dir().join("per-user"),
        layout.temp_roots_dir(),
        layout.db_dir(),
    ] {
        create_dirs(&dir)?;
    }
    Ok(())
}

/// Opens the database, creating it where there is none. The file returned is the shared "big lock": as long as it is open,
/// nobody upgrades the schema.
pub(crate) fn open(
    layout: &Layout,
    options: &StoreOptions,
    hooks: &Hooks,
) -> Result<(Connection, Option<File>)> {
    if options.read_only {
        let version = read_version(layout)?;
        if version.is_none() {
            return Err(Error::NoStore {
                root: layout.root().to_owned(),
                missing: layout.schema_file(),
            });
        }
        check_version(layout, version)?;
        return Ok((connect(layout, options, hooks)?, None));
    }

    if !options.use_reserve {
        reserve_space(&layout.reserved_file(), 0);
    }
    let lock_path = layout.big_lock();
    let big_lock = locks::open_lock_file(&lock_path)?;
    let what = || {
        format!(
            "another process that upgrades the store '{}'",
            layout.root().display()
        )
    };
    locks::lock(&big_lock, locks::Mode::Shared, &lock_path, hooks, &what)?;

    let version = read_version(layout)?;
    check_version(layout, version)?;
    let connection = connect(layout, options, hooks).or_else(|error| {
        if options.use_reserve && std::fs::remove_file(layout.reserved_file()).is_ok() {
            connect(layout, options, hooks)
        } else {
            Err(error)
        }
    })?;
    if version.is_none() {
        // Two processes may create the store at the same time: all of this is idempotent, and SQLite serialises it.
        busy::retry(&layout.database(), options, hooks, || {
            Ok(create(&connection)?)
        })?;
        write_version(layout)?;
    }
    Ok((connection, Some(big_lock)))
}

/// Writes the file with the schema version. It is there with all of its contents or not at all, since stock Nix calls an
/// empty one corrupt.
fn write_version(layout: &Layout) -> Result<()> {
    let path = layout.schema_file();
    let failed = || Error::io("write", &path);
    let mut file = tempfile::Builder::new()
        .prefix(".schema-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(layout.db_dir())
        .map_err(failed())?;
    file.write_all(SCHEMA_VERSION.to_string().as_bytes())
        .map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(&path).map_err(|error| failed()(error.error))?;
    Ok(())
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("begin immediate; {SCHEMA} commit;"))
}

/// Another connection to a database that [`open`] has opened before.
pub(crate) fn connect(
    layout: &Layout,
    options: &StoreOptions,
    hooks: &Hooks,
) -> Result<Connection> {
    let path = layout.database();
    if !options.read_only {
        prepare_database(&path)?;
    }
    busy::retry(&path, options, hooks, || Ok(try_connect(&path, options)?))
}

fn try_connect(path: &Path, options: &StoreOptions) -> rusqlite::Result<Connection> {
    let connection = if options.read_only {
        open_read_only(path)?
    } else {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags)?
    };
    // Longer waits are made of several of these (see `busy`), so that they can be announced and cancelled.
    connection.busy_timeout(std::time::Duration::from_secs(1))?;
    connection.pragma_update(None, "foreign_keys", 1)?;
    if !options.read_only {
        configure_writable(&connection, options)?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Nix's settings: WAL, which needs no sync for a commit; checkpoints every 40,000 pages; the log file kept when it is empty.
fn configure_writable(connection: &Connection, options: &StoreOptions) -> rusqlite::Result<()> {
    let synchronous = if options.fsync_metadata {
        "normal"
    } else {
        "off"
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let mode: String =
        connection.pragma_query_value(Some("main"), "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        connection.pragma_update_and_check(Some("main"), "journal_mode", "wal", |_| Ok(()))?;
    }
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 40_000, |_| Ok(()))
}

/// A database in WAL mode needs its `-shm` file even for reading; where that can neither be opened nor made, the database is
/// read as a file that does not change.
fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probe = |connection: Connection| -> rusqlite::Result<Connection> {
        connection.query_row("select count(*) from sqlite_master", [], |_| Ok(()))?;
        Ok(connection)
    };
    let plain = Connection::open_with_flags(path, flags).and_then(probe);
    if plain.is_ok() {
        return plain;
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|meta| meta.len() > 0) {
        return plain; // there are changes that an immutable view would not show
    }
    let mut uri = String::from("file:");
    for &byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        .and_then(probe)
        .or(plain)
}

fn read_version(layout: &Layout) -> Result<Option<u32>> {
    let path = layout.schema_file();
    let content = match std::fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let text = String::from_utf8_lossy(&content);
    match text.trim().parse() {
        Ok(version) => Ok(Some(version)),
        // Somebody creates the store at this moment, or the machine crashed while doing so.
        Err(_) if text.is_empty() => Ok(None),
        Err(_) => Err(Error::CorruptSchemaFile {
            path,
            content: text.trim().chars().take(20).collect(),
        }),
    }
}

fn check_version(layout: &Layout, version: Option<u32>) -> Result<()> {
    let root = layout.root().to_owned();
    match version {
        Some(found) if found > SCHEMA_VERSION => Err(Error::NewerSchema {
            root,
            found,
            supported: SCHEMA_VERSION,
        }),
        Some(found) if found < SCHEMA_VERSION => Err(Error::OlderSchema {
            root,
            found,
            supported: SCHEMA_VERSION,
        }),
        _ => Ok(()),
    }
}

/// Sets space aside: `RESERVED_SIZE`, or on a disk with little space a part of that, but `earlier` bytes if there were so many and
/// they still fit. That it fails on a full disk does not matter.
pub(crate) fn reserve_space(path: &Path, earlier: u64) {
    use std::os::unix::fs::OpenOptionsExt;
    let there = std::fs::symlink_metadata(path).map_or(0, |meta| meta.len());
    if there == RESERVED_SIZE {
        return;
    }
    let Some(free) = path.parent().and_then(|dir| rustix::fs::statvfs(dir).ok()) else {
        return;
    };
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    let size = if free / RESERVED_PART >= RESERVED_SIZE {
        RESERVED_SIZE
    } else {
        // Whole pages, of which SQLite needs some.
        (free / RESERVED_PART) & !4095
    };
    if let Ok(file) = locks::of_others()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
    {
        for size in [earlier.max(size), size] {
            if size <= there
                || rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)
                    .is_ok()
            {
                return;
            }
        }
    }
}
