//! What can go wrong when an input is fetched.

use std::path::PathBuf;

use xbuild_flake_ref::RefError;

/// The result of fetching.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An input that was not fetched. Nothing of it is registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with it; the text says what, and what to do.
    #[error("{0}")]
    Refused(String),
    /// Its reference is malformed.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// It is not what its hash says. Stock Nix ends with the code 102.
    #[error("NAR hash mismatch in input '{input}', expected '{expected}' but got '{got}'")]
    HashMismatch {
        /// The input, as a URL.
        input: String,
        /// One hash.
        expected: String,
        /// The other.
        got: String,
    },
    /// The store refused it.
    #[error(transparent)]
    Store(#[from] xbuild_store::Error),
    /// The download failed.
    #[error(transparent)]
    Download(#[from] xbuild_fetch::FetchError),
    /// The archive is damaged, or hostile.
    #[error(transparent)]
    Unpack(#[from] xbuild_fetch::UnpackError),
    /// A file could not be read or written.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// "read", "create" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no `git`.
    #[error(
        "cannot run 'git', which is needed for '{repository}': {source}\n\
         hint: install Git and have it in PATH, or use an archive of the commit instead (`tarball+https://…`, `github:…`)"
    )]
    NoGit {
        /// The repository.
        repository: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no `hg`.
    #[error(
        "cannot run 'hg', which is needed for '{repository}': {source}\n\
         hint: install Mercurial and have it in PATH, or use an archive of the changeset instead (`tarball+https://…`)"
    )]
    NoMercurial {
        /// The repository.
        repository: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `git` failed.
    #[error("{what}{}", said(message))]
    Git {
        /// What was to be done, as stock Nix says it.
        what: String,
        /// What `git` printed.
        message: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!("\ngit says: {message}")
    }
}

impl Error {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
