//! What can go wrong on this side of the machine.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a machine could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be used.
    #[error("cannot {what} {}: {error}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no place for the disk.
    #[error(
        "cannot write the disk in {}: {error}\nhint: it takes up to {needed} MiB there; name another directory with TMPDIR",
        path.display()
    )]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// MiB written so far and still to come, at the least.
        needed: u64,
        /// What the system says.
        error: io::Error,
    },
    /// The file that is to be the disk is something else.
    #[error(
        "{} is there already and is no disk: it has no table of partitions\nhint: name a file that is not there yet; the disk is made",
        path.display()
    )]
    NoDisk {
        /// The file.
        path: PathBuf,
    },
    /// Another machine has the disk.
    #[error(
        "{} is the disk of a machine that runs\nhint: end that machine, or name another file",
        path.display()
    )]
    InUse {
        /// The disk.
        path: PathBuf,
    },
    /// The description of the machine makes no sense.
    #[error("{}: {problem}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The image is no gzip file, or damaged.
    #[error("the image {} cannot be unpacked: {error}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What the decoder says.
        error: io::Error,
    },
    /// QEMU could not be started.
    #[error("cannot start {}: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// QEMU failed.
    #[error("QEMU failed ({status}):\n{message}")]
    Qemu {
        /// How it ended.
        status: String,
        /// What it printed on stderr.
        message: String,
    },
    /// A system call failed that has no reason to.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The user or a signal ended the run.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: an error with a file.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { what, path, error }
    }

    /// For `map_err`: an error without a file.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System {
            what,
            error: error.into(),
        }
    }
}
