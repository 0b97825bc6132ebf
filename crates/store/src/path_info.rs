//! What the database knows of a path, and what is needed to register one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use xbuild_store_model::content_address::ContentAddress;
use xbuild_store_model::hash::Hash;
use xbuild_store_model::store_path::StorePath;

/// A valid path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path itself.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Hash,
    /// Size of its NAR in bytes; 0 if not known (very old stores).
    pub nar_size: u64,
    /// The paths it refers to; possibly itself.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it, if it was built.
    pub deriver: Option<StorePath>,
    /// How its path follows from its contents, if it does.
    pub ca: Option<ContentAddress>,
    /// When it was registered, in seconds after the epoch.
    pub registration_time: i64,
    /// Built here, so trusted without a signature.
    pub ultimate: bool,
    /// Signatures, each `name:base64`.
    pub sigs: Vec<String>,
}

/// A path to be registered with [`crate::Store::register`].
#[derive(Debug, Clone)]
pub struct NewPath {
    /// The path.
    pub path: StorePath,
    /// A finished tree with canonical metadata on the store's file system, to be renamed to its place; or that place itself.
    pub physical: PathBuf,
    /// SHA-256 of the NAR of the tree.
    pub nar_hash: Hash,
    /// Size of that NAR in bytes.
    pub nar_size: u64,
    /// The paths it refers to; each must be valid, or registered in the same call, or be `path` itself.
    pub references: BTreeSet<StorePath>,
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// Its content address. The caller vouches for it.
    pub ca: Option<ContentAddress>,
    /// Built here.
    pub ultimate: bool,
    /// Signatures, each `name:base64`.
    pub sigs: Vec<String>,
}
