//! The store on disk: SQLite, locks, registration, garbage collection, verification.
//!
//! A store is a directory with `nix/store` (the objects) and `nix/var/nix` (the database, roots and locks), laid out exactly as stock
//! Nix does with `local?root=DIR`. The logical store is always `/nix/store`; where it is on the machine does not show in any
//! hash. xbuild and Nix may use one store at the same time, in any number of processes.
//!
//! What this crate is not: it knows nothing of building, fetching or trust, and has no formats of its own (those are in
//! `xbuild-store-model` and `xbuild-derivation`).
//!
//! Invariants:
//!
//! - A path is valid only if its whole tree is in place with canonical metadata, its hash is that of the database, and all its
//!   references are valid. A process may be killed at any moment without breaking this.
//! - Trees come to their place by one rename, under the path's lock, and become valid by one transaction after that. So what is there and
//!   not valid belongs to whoever has the lock, or to the collector.
//! - Nothing that a root reaches is deleted, nor what a running process has made a temporary root.
//! - No symlink is followed where a builder could have put one.
//!
//! Modules, lowest first: [`error`], `fault`, [`layout`], `files`, [`removal`], [`canonical`], [`options`], `locks`, `temp_roots`, `scratch`, `tree`,
//! `file_hash`, `links`, `offload`, `scan`, `staging`, `busy`, `schema`, `database`, [`path_info`], `queries`, [`builds`], [`store`]; and on top of it
//! [`realisations`], `register`, `add`, [`rewrite`], `export`, `optimise`, [`roots`], `runtime_roots`, `generations`, `gc_server`, [`gc`], `leftovers`, `delete`, [`auto_gc`], [`verify`];
//! and what only looks: [`listing`], `usage`, [`closure_diff`], [`why_depends`].

mod add;
pub mod auto_gc;
pub mod builds;
mod busy;
pub mod canonical;
pub mod closure_diff;
mod database;
mod delete;
pub mod error;
mod export;
mod fault;
mod file_hash;
mod files;
pub mod gc;
mod gc_server;
mod generations;
pub mod layout;
mod leftovers;
mod links;
pub mod listing;
mod locks;
mod offload;
mod optimise;
pub mod options;
pub mod path_info;
mod queries;
pub mod realisations;
mod register;
pub mod removal;
pub mod rewrite;
pub mod roots;
mod runtime_roots;
mod scan;
mod schema;
mod scratch;
mod staging;
pub mod store;
mod temp_roots;
mod tree;
mod usage;
pub mod verify;
pub mod why_depends;

pub use add::{NewText, path_of};
pub use auto_gc::AutoGc;
pub use builds::{Builds, Download, History, Usage};
pub use closure_diff::PackageChange;
pub use error::{Error, Result};
pub use files::{create_dirs, read_no_follow};
pub use gc::{GcOptions, GcReport};
pub use layout::Layout;
pub use listing::{Depth, Node};
pub use locks::PathLocks;
pub use optimise::{OptimiseReport, Sharing};
pub use options::{Cancelled, Notify, StoreOptions};
pub use path_info::{NewPath, PathInfo};
pub use realisations::{DrvOutput, Realisation};
pub use removal::remove_tree;
pub use rewrite::{Rewrites, Rewritten};
pub use roots::Root;
pub use scan::{FileHashes, Scanned};
pub use schema::SCHEMA_VERSION;
pub use scratch::Scratch;
pub use store::Store;
pub use tree::{FileType, Filter};
pub use usage::DiskUsage;
pub use verify::{Finding, VerifyReport};
pub use why_depends::{Dependency, Occurrence};
