//! What can go wrong with a download.

use std::io;
use std::path::PathBuf;

use xbuild_store_model::Hash;

use crate::mirror::MirrorError;

/// A download that did not succeed. Nothing is left at the destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL is `mirror://` and stands for no place.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// Not a URL, or of a kind that cannot be fetched from.
    #[error("cannot fetch '{url}': {reason}")]
    BadUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server answered, but not with the file.
    #[error("unable to download '{url}': HTTP error {status}{meaning}", meaning = status_meaning(*.status))]
    Status {
        /// The URL, after redirects.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// Connections failed or broke, as often as was to be tried, or in a way that does not get better.
    #[error("unable to download '{url}': {reason}{}", tried(*.attempts))]
    Transfer {
        /// The URL.
        url: String,
        /// How many connections were tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The content is not what was asked for.
    #[error("hash mismatch in file downloaded from '{url}':\n  specified: {expected}\n  got:       {got}", expected = .expected.to_sri(), got = .got.to_sri())]
    HashMismatch {
        /// The URL.
        url: String,
        /// The hash that was asked for.
        expected: Box<Hash>,
        /// The hash of the content.
        got: Box<Hash>,
    },
    /// A file of this machine, named by a URL, cannot be opened. The first line is that of the library that stock Nix uses.
    #[error("unable to download '{url}': Could not read a file:// file (37) Could not open file {path}\nhint: {source}", path = .path.display())]
    Local {
        /// The URL.
        url: String,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} '{path}': {source}", path = .path.display())]
    Io {
        /// What was to be done with it: "read", "create", …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("the download of '{url}' was cancelled")]
    Cancelled {
        /// The URL.
        url: String,
    },
}

fn tried(attempts: u32) -> String {
    if attempts == 1 {
        String::new()
    } else {
        format!("\nit was tried {attempts} times")
    }
}

fn status_meaning(status: u16) -> &'static str {
    match status {
        401 => "\nhint: the server wants a login",
        403 => "\nhint: the server refuses access",
        404 => "\nhint: the server has no such file",
        407 => "\nhint: the proxy wants a login",
        410 => "\nhint: the file is gone",
        429 => "\nhint: the server had too many requests",
        500..=599 => "\nhint: the server has a problem of its own",
        _ => "",
    }
}
