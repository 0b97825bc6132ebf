//! Flakes: reading `flake.nix`, locking the inputs, calling the outputs, and what commands tell of them (manual, "nix flake").
//!
//! - [`Flakes`] is the entry: [`Flakes::lock`] makes a [`LockedFlake`], [`Flakes::call`] its value.
//! - [`LockFile`] is `flake.lock`.
//! - [`show`], [`metadata`], [`check`] and [`template`] are what the commands of these names print and do.
//!
//! It is not a fetcher (`xbuild-inputs` is, reached through the evaluator's host), and builds nothing.
//!
//! # Invariants
//!
//! - A lock file is written with the bytes that stock Nix 2.34 writes, and only if it changes and all of its inputs are locked.
//! - The value of a flake has its inputs fetched only as far as they are used.

mod archive;
pub mod call;
pub mod check;
mod clone;
mod config;
mod flake_nix;
mod flakes;
mod lock;
mod lock_file;
mod locking;
pub mod metadata;
pub mod outputs;
mod place;
pub mod show;
pub mod template;

pub use archive::Prefetched;
pub use config::{ConfigValue, apply_config};
pub use flake_nix::{Flake, FlakeInput};
pub use flakes::{FlakeOptions, Flakes};
pub use lock::{LockFlags, LockedFlake};
pub use lock_file::{InputPath, LockFile, LockedNode, NodeId, parse_input_path, show_input_path};
