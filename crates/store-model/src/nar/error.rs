//! What can go wrong with an archive.

use std::io;
use std::path::PathBuf;

/// The result of this module's functions.
pub type NarResult<T> = Result<T, NarError>;

/// What can go wrong with an archive. `offset` is in bytes from its start.
#[derive(Debug, thiserror::Error)]
pub enum NarError {
    /// A string that is not the one the format demands there.
    #[error("NAR is not valid at byte {offset}: expected {expected}, found {found}")]
    Expected {
        /// Where the string begins.
        offset: u64,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A string longer than anything that could stand there.
    #[error(
        "NAR is not valid at byte {offset}: {what} of {found} bytes, at most {limit} are allowed"
    )]
    TooLong {
        /// Where the length is.
        offset: u64,
        /// What kind of string.
        what: &'static str,
        /// Its length.
        found: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// Bytes behind a string that should be zero.
    #[error(
        "NAR is not valid at byte {offset}: expected {expected} zero bytes of padding, found other bytes"
    )]
    Padding {
        /// Where the padding begins.
        offset: u64,
        /// How many zero bytes there should be.
        expected: usize,
    },
    /// The archive ends too early.
    #[error("NAR is cut short at byte {offset}: expected {expected}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What should follow.
        expected: &'static str,
    },
    /// There is something behind the archive.
    #[error("NAR is not valid at byte {offset}: expected the end, found more data")]
    TrailingData {
        /// Where the archive ended.
        offset: u64,
    },
    /// A name that could not be a file's.
    #[error("NAR is not valid at byte {offset}: file name '{name}' {rule}")]
    FileName {
        /// Where the name begins.
        offset: u64,
        /// The name.
        name: String,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// An entry that does not come after its predecessor.
    #[error(
        "NAR is not valid at byte {offset}: file name '{name}' {relation} '{previous}' (names must be sorted and distinct)"
    )]
    Order {
        /// Where the name begins.
        offset: u64,
        /// The name.
        name: String,
        /// `repeats` or `must come before`.
        relation: &'static str,
        /// The name before it.
        previous: String,
    },
    /// The target of a symbolic link is empty or holds a zero byte.
    #[error("NAR is not valid at byte {offset}: symbolic link target '{target}' {rule}")]
    LinkTarget {
        /// Where the target begins.
        offset: u64,
        /// The target.
        target: String,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// Directories nested too deeply.
    #[error("NAR is not valid at byte {offset}: directories are nested more than {limit} deep")]
    TooDeep {
        /// Where the deepest object begins.
        offset: u64,
        /// The deepest nesting allowed.
        limit: usize,
    },
    /// More than the caller takes.
    #[error("NAR is too large at byte {offset}: {what} exceeds the limit of {limit}")]
    LimitExceeded {
        /// Where it was noticed.
        offset: u64,
        /// What is too much.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The source of the archive failed.
    #[error("cannot read NAR at byte {offset}: {error}")]
    Read {
        /// How far it was read.
        offset: u64,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The receiver of the tree failed.
    #[error("cannot unpack NAR at byte {offset}: {error}")]
    Sink {
        /// How far it was read.
        offset: u64,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The receiver of the archive failed.
    #[error("cannot write NAR: {error}")]
    Write {
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file to be archived cannot be read.
    #[error("cannot {action} '{}': {error}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file to be archived is neither file, directory nor link.
    #[error("'{}' is {kind}, which a NAR cannot hold: only regular files, directories and symbolic links", .path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file's size is no longer what it was at first.
    #[error("'{}' changed while it was read: expected {expected} bytes, found {found}", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its size when it was opened, in bytes.
        expected: u64,
        /// How many there were.
        found: u64,
    },
    /// A tree nested too deeply for an archive.
    #[error("'{}' is nested more than {limit} directories deep, which a NAR cannot hold", .path.display())]
    PathTooDeep {
        /// The object that is too deep.
        path: PathBuf,
        /// The deepest nesting allowed.
        limit: usize,
    },
    /// The filter failed. Whatever error it gave is inside.
    #[error("{0}")]
    Filter(Box<dyn std::error::Error + Send + Sync>),
}
