//! The pure formats of a Nix store: hashes, base-32, store paths, content
//! addresses, NAR archives and the search for references.
//!
//! # What it is
//!
//! Everything in here is a function of bytes: the same input gives the same
//! hash, path or archive that stock Nix 2.34 gives, bit for bit. Each module
//! names the section of the Nix manual that specifies its format.
//!
//! # What it is not
//!
//! It knows no database, no locks, no validity: that is `xbuild-store`. It
//! touches the file system in two places only, [`nar::write_path`] (reads a
//! tree) and [`nar::restore`] (creates one).
//!
//! # Invariants
//!
//! * A [`StorePath`] always satisfies Nix's rules for hash part and name.
//! * A [`Hash`] always holds exactly as many bytes as its algorithm gives.
//! * Readers of foreign bytes never panic, never allocate more than a limit
//!   that they state, and name the byte offset at which they gave up.
//! * No function follows a symbolic link that it found inside a tree.

pub mod base32;
pub mod content_address;
pub mod hash;
pub mod nar;
pub mod references;
pub mod store_path;

pub use content_address::{ContentAddress, ContentAddressMethod, FileIngestionMethod};
pub use hash::{Hash, HashAlgo, HashError, HashWriter, Hasher, HashingReader};
pub use references::RefScanner;
pub use store_path::{StorePath, StorePathError};

/// The logical store directory. Physical stores live anywhere; every path
/// that is hashed, printed or seen by a builder is below this one.
pub const STORE_DIR: &str = "/nix/store";
