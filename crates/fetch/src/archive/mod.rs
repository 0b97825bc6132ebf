//! What unpacking has in common: decompression, reading tar, and writing trees that no archive can break out of.

mod compression;
mod path;
mod tar;
mod tree;
mod zip;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use compression::Compression;
pub use compression::decompressed;
pub use path::EntryPath;
pub(crate) use tar::{Entry, Kind, for_each_entry};
pub use tree::{OnExisting, Tree};
pub(crate) use zip::{for_each_zip_entry, is_zip};

/// An archive that could not be unpacked. Nothing is left at the destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It ends early, its checksums are wrong, or its file cannot be read.
    #[error("cannot read the archive '{archive}': {source}", archive = .archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its first bytes are those of no archive.
    #[error("Failed to open archive (Unrecognized archive format)")]
    Unrecognized,
    /// It is not an archive of the expected kind, or does not keep to the format.
    #[error("'{archive}' is not a usable archive: {reason}", archive = .archive.display())]
    Malformed {
        /// The archive.
        archive: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry that no honest archive has, or that cannot be represented.
    #[error("the entry '{entry}' of the archive '{archive}' is refused: {reason}", archive = .archive.display())]
    Refused {
        /// The archive.
        archive: PathBuf,
        /// The entry, with characters that are not printable escaped.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two archives do not fit together.
    #[error("'{path}' is in both '{first}' and '{second}', but not the same in both", first = .first.display(), second = .second.display())]
    Conflict {
        /// The path in the result.
        path: String,
        /// The archive that was unpacked first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// The result could not be written.
    #[error("cannot {action} '{path}': {source}", path = .path.display())]
    Write {
        /// What was to be done with it.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl UnpackError {
    /// The same of an archive that the user knows by another name than its file's: by its URL.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        if let Self::Read { archive, .. }
        | Self::Malformed { archive, .. }
        | Self::Refused { archive, .. } = &mut self
        {
            *archive = PathBuf::from(name);
        }
        self
    }

    pub(crate) fn read(archive: &Path, source: io::Error) -> Self {
        Self::Read {
            archive: archive.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(archive: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            archive: archive.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn refused(archive: &Path, entry: &[u8], reason: impl Into<String>) -> Self {
        Self::Refused {
            archive: archive.to_owned(),
            entry: entry.escape_ascii().to_string(),
            reason: reason.into(),
        }
    }

    pub(crate) fn write(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Write {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
