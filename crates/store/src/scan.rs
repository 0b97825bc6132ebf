//! The NAR hash, NAR size and references of a tree, from one reading of it.

use std::collections::BTreeSet;
use std::path::Path;

use xbuild_store_model::hash::{Hash, HashAlgo, Hasher};
use xbuild_store_model::references::RefScanner;
use xbuild_store_model::store_path::StorePath;

use crate::error::Result;
use crate::offload::Offload;
use crate::tree::{self, ByteSink, NarEncoder};

/// What [`crate::Store::scan_and_hash`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// SHA-256 of the NAR.
    pub nar_hash: Hash,
    /// Size of the NAR in bytes.
    pub nar_size: u64,
    /// Those candidates whose hash part occurs.
    pub references: BTreeSet<StorePath>,
}

struct Tee {
    hasher: Hasher,
    scanner: Option<RefScanner>,
}

impl ByteSink for Tee {
    fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some(scanner) = &mut self.scanner {
            scanner.update(bytes);
        }
    }
}

/// Reads the tree at `physical`, looking for the hash parts of `candidates`.
pub(crate) fn scan_and_hash<'a>(
    physical: &Path,
    candidates: impl IntoIterator<Item = &'a StorePath>,
) -> Result<Scanned> {
    let mut candidates = candidates.into_iter().peekable();
    let scanner = candidates
        .peek()
        .is_some()
        .then(|| RefScanner::new(candidates));
    let mut encoder = NarEncoder::new(Offload::new(Tee {
        hasher: Hasher::new(HashAlgo::Sha256),
        scanner,
    }));
    tree::read(physical, None, &mut encoder)?;
    let Tee { hasher, scanner } = encoder.finish().finish();
    let nar_size = hasher.count();
    Ok(Scanned {
        nar_hash: hasher.finish(),
        nar_size,
        references: scanner.map(RefScanner::found).unwrap_or_default(),
    })
}
