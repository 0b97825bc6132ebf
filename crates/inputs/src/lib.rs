//! Fetching inputs (`builtins.fetchTree`, the inputs of flakes) into the store.
//!
//! [`Inputs::fetch`] takes an [`Input`](xbuild_flake_ref::Input) and gives a valid store path, with everything that was found out
//! about it: the commit, the time of the last change, the NAR hash. [`Inputs::resolve`] asks the registries.
//!
//! It is not an evaluator and knows no flakes. It runs two programs, `git` and `hg`, where an input is a
//! repository of theirs.
//!
//! # Invariants
//!
//! - Trees, NAR hashes and attributes are those of stock Nix 2.34: files of a commit are its blobs, with no filter of
//!   Git applied; of a work tree, the files that Git tracks, as they are.
//! - An input that has a NAR hash is used without being fetched where the store has it, and never becomes anything else.
//! - The cache may be deleted at any time, and any number of processes may use it. What is in it is believed only as far
//!   as the store has the path.

mod cache;
mod error;
mod file;
mod forge;
mod git;
mod inputs;
mod mercurial;
mod path;
mod registry;
mod tarball;

pub use error::{Error, Result};
pub use inputs::{Called, Fetched, InputOptions, Inputs};
pub use registry::{RegistryFiles, Which, is_known};
