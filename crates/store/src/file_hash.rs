//! The hash by which the store knows a single file: the SHA-256 of the NAR of that file alone. It is the name in `nix/store/.links`
//! (Nix manual, `nix-store --optimise`), and the executable bit is part of it.

use std::ffi::CStr;

use xbuild_store_model::hash::{Hash, HashAlgo, Hasher};

use crate::error::Result;
use crate::tree::{ByteSink, NarEncoder, TreeSink};

/// Hashes one file, whose bytes come in pieces.
pub(crate) struct FileHasher(NarEncoder<Sha>);

struct Sha(Hasher);

impl ByteSink for Sha {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl FileHasher {
    /// For a file of `size` bytes.
    pub(crate) fn new(executable: bool, size: u64) -> Result<Self> {
        let mut encoder = NarEncoder::new(Sha(Hasher::new(HashAlgo::Sha256)));
        encoder.file(c"", executable, size)?;
        Ok(Self(encoder))
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.data(bytes)
    }

    /// The hash, and the size of the NAR in bytes.
    pub(crate) fn finish(mut self) -> Result<(Hash, u64)> {
        self.0.end_file()?;
        let Sha(hasher) = self.0.finish();
        let size = hasher.count();
        Ok((hasher.finish(), size))
    }
}

/// The same of a file that is in memory.
pub(crate) fn of_bytes(contents: &[u8], executable: bool) -> Result<(Hash, u64)> {
    let mut hasher = FileHasher::new(executable, contents.len() as u64)?;
    hasher.data(contents)?;
    hasher.finish()
}

/// The same of a symlink.
pub(crate) fn of_symlink(target: &CStr) -> Result<Hash> {
    let mut encoder = NarEncoder::new(Sha(Hasher::new(HashAlgo::Sha256)));
    encoder.symlink(c"", target)?;
    let Sha(hasher) = encoder.finish();
    Ok(hasher.finish())
}
