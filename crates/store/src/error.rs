//! Errors of the store. Their text is for users: it names the file or store path and says what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Resource;
use xbuild_store_model::store_path::{StorePath, StorePathError};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file failed.
    #[error("cannot {action} '{}': {source}{}", path.display(), io_advice(source))]
    Io {
        /// What was being done, as a verb: "create", "rename".
        action: &'static str,
        /// The file it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// SQLite failed in a way that is not one of the following.
    #[error("store database '{}': {source}{}", path.display(), sqlite_advice(source))]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },

    /// Another process kept the database locked for longer than [`crate::StoreOptions::busy_limit`].
    #[error(
        "store database '{}' was locked by another process for more than {seconds} s; \
         look for a hanging xbuild or Nix process that uses this store, end it, and try again", path.display()
    )]
    Busy {
        /// The database file.
        path: PathBuf,
        /// How long we waited, in seconds.
        seconds: u64,
    },

    /// The system refuses to lock files in the directory of the database.
    #[error(
        "cannot lock store database '{}': {source}; the file system has no locks, or no more of them (NFS without its lock service, for instance): \
         keep the store on a local file system", path.display()
    )]
    NoLocks {
        /// The database file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A row of the database cannot be understood.
    #[error(
        "store database '{}' is damaged: {what}; run `xbuild store verify`, \
         and restore the file from a backup or delete and rebuild the store", path.display()
    )]
    CorruptDatabase {
        /// The database file.
        path: PathBuf,
        /// The table, row and value.
        what: String,
    },

    /// The store was made by a newer Nix.
    #[error(
        "store '{}' has schema version {found}, and this xbuild knows versions up to {supported}: \
         it was written by a newer Nix or xbuild; use a newer xbuild or another store directory (`--store DIR`)", root.display()
    )]
    NewerSchema {
        /// The store's root.
        root: PathBuf,
        /// The version in `nix/var/nix/db/schema`.
        found: u32,
        /// The newest version we know.
        supported: u32,
    },

    /// The store was made by a Nix too old to be upgraded in place.
    #[error(
        "store '{}' has schema version {found}, which is older than the oldest that xbuild reads ({supported}): \
         open it once with Nix 2.x (`nix-store --verify`), which upgrades it, or use another store directory (`--store DIR`)", root.display()
    )]
    OlderSchema {
        /// The store's root.
        root: PathBuf,
        /// The version in `nix/var/nix/db/schema`.
        found: u32,
        /// The oldest version we read.
        supported: u32,
    },

    /// The file with the schema version does not hold a number.
    #[error(
        "'{}' does not hold a schema version but '{content}': the file is damaged; \
         if the store was written by Nix 2.x, write '10' into it", path.display()
    )]
    CorruptSchemaFile {
        /// The file.
        path: PathBuf,
        /// Its beginning.
        content: String,
    },

    /// There is no store at the directory, and it was opened for reading only.
    #[error("there is no store at '{}': no '{}'", root.display(), missing.display())]
    NoStore {
        /// The directory.
        root: PathBuf,
        /// The file that is missing.
        missing: PathBuf,
    },

    /// A writing operation on a store opened with [`crate::StoreOptions::read_only`].
    #[error("cannot {action}: store '{}' is opened read-only{}", root.display(), because.as_ref().map(|because| format!(", because {because}")).unwrap_or_default())]
    ReadOnly {
        /// What was asked for.
        action: &'static str,
        /// The store's root.
        root: PathBuf,
        /// [`crate::StoreOptions::read_only_because`].
        because: Option<Arc<Self>>,
    },

    /// A path that must be valid (registered) is not.
    #[error("path '{0}' is not valid in this store")]
    NotValid(StorePath),

    /// Something refers to a path which is not valid.
    #[error(
        "cannot register '{path}': it refers to '{reference}', which is not valid in this store"
    )]
    InvalidReference {
        /// The path being registered.
        path: StorePath,
        /// What it refers to.
        reference: StorePath,
    },

    /// References among paths registered together form a cycle.
    #[error("cannot register '{path}': cycle in the references {}", cycle.iter().map(|p| format!("'{p}'")).collect::<Vec<_>>().join(" → "))]
    ReferenceCycle {
        /// One path of the cycle.
        path: StorePath,
        /// The cycle; its first and last elements are the same.
        cycle: Vec<StorePath>,
    },

    /// A socket, device or FIFO where only files, directories and symlinks may be.
    #[error(
        "file '{}' has an unsupported type\nhint: it is a {kind}; only regular files, directories and symlinks can be in the store",
        path.display()
    )]
    UnsupportedFileType {
        /// The file.
        path: PathBuf,
        /// "socket", "FIFO", "character device" …
        kind: &'static str,
    },

    /// The hash of one file was asked for of something that is not a regular file.
    #[error("'{}' is a {kind}, but a flat or text hash is for one regular file; use the recursive (NAR) method", path.display())]
    NotARegularFile {
        /// The file.
        path: PathBuf,
        /// "directory", "symlink".
        kind: &'static str,
    },

    /// Something that is to be printed is no file.
    #[error("'{}' is a {kind}, not a regular file", path.display())]
    NotAFile {
        /// Where it is.
        path: PathBuf,
        /// "directory", "symlink".
        kind: &'static str,
    },

    /// A file that changes while it is read.
    #[error("'{}' changed while it was copied to the store ({before} bytes, then {after}); wait until nothing writes to it, and try again", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// Size before reading, in bytes.
        before: u64,
        /// Bytes read; at least.
        after: u64,
    },

    /// File names with the hash of an output, in an order that depends on what the hash is.
    #[error(
        "'{}' has files with its own hash in their names, which would come in another order once the hash is known (at '{name}'): \
         leave the hash out of file names", path.display()
    )]
    NamesReordered {
        /// The tree.
        path: PathBuf,
        /// The name that would come too late.
        name: String,
    },

    /// Directories nested too deeply.
    #[error("'{}' is nested too deeply: a store path has at most {limit} levels", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },

    /// A file is owned by somebody else, and we may not change that.
    #[error("'{}' belongs to user {owner}, not to user {us} who runs this; it cannot be put in the store as it is", path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective user.
        us: u32,
    },

    /// Contents do not have the hash that was asked for.
    #[error("hash mismatch for '{name}':\n  specified: {expected}\n  got:       {found}")]
    HashMismatch {
        /// The name of the thing.
        name: String,
        /// The hash specified, SRI.
        expected: String,
        /// The hash found, SRI.
        found: String,
    },

    /// A path cannot be deleted since a root reaches it.
    #[error("cannot delete '{path}': it is alive, because '{root}' → '{target}'{}; remove that root first", if path == target { "" } else { " needs it" })]
    Alive {
        /// The path to be deleted.
        path: StorePath,
        /// The root: a file below gcroots or profiles, the link an indirect root stands for, or `{temp:PID}` of a running process.
        root: String,
        /// What the root points to.
        target: StorePath,
    },

    /// A path cannot be deleted since other paths refer to it.
    #[error("cannot delete '{path}': '{referrer}' refers to it; delete that one too")]
    Referenced {
        /// The path to be deleted.
        path: StorePath,
        /// One that refers to it.
        referrer: StorePath,
    },

    /// An out-link's place is taken by something that is not a link into the store.
    #[error("'{}' exists and is not a symlink to a store; it is not replaced. Move it away or use another name (`--out-link NAME`)", .0.display())]
    NotAnOutLink(PathBuf),

    /// The store or a directory above it is a symlink.
    #[error("'{}' is a symlink; the store and the directories above it inside its root must not be symlinks", .0.display())]
    SymlinkedStore(PathBuf),

    /// A path's contents are not those that were registered.
    #[error(
        "path '{path}' was changed on disk:\n  registered: {registered}\n  found:      {found}\nrun `xbuild store repair {path}`"
    )]
    Changed {
        /// The path.
        path: StorePath,
        /// The NAR hash registered, SRI.
        registered: String,
        /// The NAR hash found, SRI.
        found: String,
    },

    /// What is imported is no export, or a damaged one.
    #[error("cannot import: at byte {offset}: {what}")]
    BadExport {
        /// How many bytes came before, or where the damaged part begins.
        offset: u64,
        /// What is wrong there.
        what: String,
    },

    /// A path cannot be deleted since another user owns it.
    #[error(
        "cannot delete '{path}': it belongs to user {owner}, who alone (or root) can delete it"
    )]
    OwnedByOther {
        /// The path.
        path: StorePath,
        /// The user who made it.
        owner: u32,
    },

    /// The name of a profile is taken by something that is no link.
    #[error("'{}' exists and is not a link to a generation; it is not replaced. Move it away or use another name", .0.display())]
    NotAProfile(PathBuf),

    /// Cancelled by [`crate::StoreOptions::cancelled`].
    #[error("interrupted")]
    Interrupted,

    /// The filter given to [`crate::Store::add_path`] failed.
    #[error(transparent)]
    Filter(Box<dyn std::error::Error + Send + Sync>),

    /// Nothing in the store can be called that.
    #[error(transparent)]
    Name(StorePathError),

    /// A store path, hash, NAR or derivation is malformed.
    #[error("{context}: {source}")]
    Format {
        /// Which file or row.
        context: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// The same for `rustix`.
    pub(crate) fn sys(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }

    /// An [`Error::Format`], for `map_err`.
    pub(crate) fn format<E>(context: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let context = context.into();
        move |source| Self::Format {
            context,
            source: Box::new(source),
        }
    }
}

impl Error {
    /// Whether it failed since no space was left on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Database { source, .. } => has_no_space(source),
            Self::ReadOnly { because, .. } => {
                because.as_ref().is_some_and(|error| error.is_disk_full())
            }
            _ => false,
        }
    }
}

/// SQLite says of the file that it maps into memory only that this failed.
fn has_no_space(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == rusqlite::ErrorCode::DiskFull
            || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

fn io_advice(error: &io::Error) -> &'static str {
    if is_file_limit(error) {
        return FILE_LIMIT_ADVICE;
    }
    match error.kind() {
        io::ErrorKind::StorageFull => {
            "; free some space, for instance with `xbuild store gc`, and try again"
        }
        io::ErrorKind::QuotaExceeded => {
            "; your disk quota is used up: free some space, for instance with `xbuild store gc`"
        }
        io::ErrorKind::FileTooLarge => {
            "; a limit of this process (`ulimit -f`), or the file system, allows no file as large"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is mounted read-only: remount it, or use another store (`--store DIR`)"
        }
        io::ErrorKind::PermissionDenied => {
            "; check who owns it: a store must belong to the user who runs xbuild (`--store DIR` names another), and its sources must be readable"
        }
        _ => "",
    }
}

fn sqlite_advice(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    if matches!(
        error.sqlite_error_code(),
        Some(Code::DiskFull | Code::SystemIoFailure)
    ) && limit(Resource::Fsize).is_some()
    {
        return FILE_SIZE_ADVICE;
    }
    advice_on_database(error, || {
        // Those that were open when it failed may be closed by now.
        limit(Resource::Nofile).is_some_and(|limit| limit < FEW_FILES)
            || out_of_descriptors(|| std::fs::File::open("/dev/null"))
    })
}

/// What this process may have of `resource`; none if there is no limit.
fn limit(resource: Resource) -> Option<u64> {
    rustix::process::getrlimit(resource).current
}

const FILE_SIZE_ADVICE: &str =
    "; a limit of this process (`ulimit -f`) may be in the way, or the disk is full or failing";

/// With a lower limit, files that cannot be opened are most likely too many.
const FEW_FILES: u64 = 64;

/// Whether this process can open fewer files than a connection to the database needs: SQLite does not tell why it could not.
fn out_of_descriptors<T>(open: impl FnMut() -> io::Result<T>) -> bool {
    std::iter::repeat_with(open)
        .take(FILES_OF_A_CONNECTION)
        .collect::<io::Result<Vec<T>>>()
        .is_err_and(|error| is_file_limit(&error))
}

/// The database, its log, the log's index, and a directory while it is synced.
const FILES_OF_A_CONNECTION: usize = 4;

fn is_file_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

const FILE_LIMIT_ADVICE: &str =
    "; the limit of open files is reached: raise it (`ulimit -n 1024`) and try again";

fn advice_on_database(
    error: &rusqlite::Error,
    out_of_descriptors: impl Fn() -> bool,
) -> &'static str {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        _ if has_no_space(error) => {
            "; free some space, for instance with `xbuild store gc`, and try again"
        }
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            "; the file is damaged: run `xbuild store verify`, and restore it from a backup or delete and rebuild the store"
        }
        Some(Code::CannotOpen | Code::SystemIoFailure) if out_of_descriptors() => FILE_LIMIT_ADVICE,
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => {
            "; check that the directory exists and that the user who runs xbuild may write to it, or use another store (`--store DIR`)"
        }
        Some(Code::SystemIoFailure) => "; check that the disk is neither full nor failing",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_opened_for_lack_of_descriptors_names_their_limit() {
        let error = rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            None,
        );
        assert!(advice_on_database(&error, || true).contains("limit of open files"));
        assert!(advice_on_database(&error, || false).contains("may write to it"));
    }

    #[test]
    fn descriptors_are_out_when_a_connection_needs_more_than_can_be_opened() {
        let opening = |mut left: usize, errno: rustix::io::Errno| {
            out_of_descriptors(move || {
                left = left.checked_sub(1).ok_or(errno)?;
                Ok(())
            })
        };
        assert!(opening(0, rustix::io::Errno::MFILE));
        assert!(opening(FILES_OF_A_CONNECTION - 1, rustix::io::Errno::NFILE));
        assert!(!opening(FILES_OF_A_CONNECTION, rustix::io::Errno::MFILE));
        assert!(!opening(0, rustix::io::Errno::ACCESS));
    }
}
