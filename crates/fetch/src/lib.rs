//! Getting files from elsewhere: downloads whose hash is checked while the bytes arrive, and unpacking what was downloaded.
//!
//! - [`Fetcher`] downloads one file at a time; share it between threads. [`Mirrors`] turns `mirror://` URLs into real ones.
//! - [`tarball::unpack`] unpacks an archive as `fetchTarball` does.
//! - [`Tree`] writes a tree entry by entry, and none leads out of it.
//! - [`deb::unpack`] merges Debian packages into one tree: the builder `builtin:unpack-debs`.
//!
//! It is not a store: it writes where it is told to, and knows nothing of store paths, validity or derivations. It
//! runs no program, and needs none on the host.
//!
//! # Invariants
//!
//! - A destination exists only when all of it is there and its hash is the expected one. What is unfinished has a temporary name beside it
//!   and is removed on every error.
//! - What a server or an archive says is never trusted: no length from it decides an allocation, no path or link in
//!   it leads out of the destination, and an archive's set-id bits, devices and owners do not survive.
//! - The result of unpacking depends on the archive's bytes alone: not on the user, the umask, the locale or the clock.
//! - It works in a static binary: names are resolved without the C library.

mod apt;
mod archive;
pub mod deb;
mod dns;
mod error;
mod fetcher;
mod http;
mod mirror;
pub mod tarball;

pub use archive::{EntryPath, OnExisting, Tree, UnpackError, decompressed};
pub use dns::DnsError;
pub use error::FetchError;
pub use fetcher::{Answer, FetchOptions, Fetched, Fetcher, Progress, Request};
pub use mirror::{MIRROR_SCHEME, MirrorError, Mirrors};
