//! NAR, the archive format whose hash names a file system object.
//!
//! Format: Nix manual, "Nix Archive (NAR) Format". Everything is a string: a
//! 64-bit little-endian length, the bytes, zero bytes up to a multiple of
//! eight. A tree has exactly one archive: entries are sorted by their names'
//! bytes, and of the metadata there is only the executable bit.

mod error;
mod read;
mod restore;
mod write;

pub use error::{NarError, NarResult};
pub use read::{Limits, NarSink, read, read_embedded};
pub use restore::{restore, restore_embedded};
pub use write::{FileType, Filter, hash_path, write_contents, write_path, write_path_filtered};

/// The string that every archive begins with.
pub(crate) const MAGIC: &[u8] = b"nix-archive-1";

/// The deepest nesting of directories, as in Nix: it bounds the stack.
pub const MAX_DEPTH: usize = 64;

/// The longest file name, in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// The longest target of a symbolic link, in bytes.
pub const MAX_TARGET_LEN: usize = 4095;

/// How many zero bytes follow a string of this length.
pub(crate) const fn padding(len: u64) -> usize {
    (len.wrapping_neg() & 7) as usize
}
