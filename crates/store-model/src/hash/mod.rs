//! Cryptographic hashes: the algorithms that Nix knows, their text forms, and
//! hashing while data streams past.
//!
//! Text forms: Nix manual, "Content-addressing store objects" and
//! `nix hash convert`; SRI is the W3C's "Subresource Integrity".

mod parse;
mod stream;

pub use parse::HashError;
pub use stream::{HashWriter, Hasher, HashingReader};

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};

use crate::base32;

/// The longest digest of any algorithm, in bytes (SHA-512).
pub const MAX_HASH_SIZE: usize = 64;

/// A hash algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgo {
    /// MD5, 16 bytes; broken, kept for old fixed-output derivations.
    Md5,
    /// SHA-1, 20 bytes; broken, kept for old fixed-output derivations.
    Sha1,
    /// SHA-256, 32 bytes: the algorithm of store paths.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// BLAKE3, 32 bytes; experimental in Nix (`blake3-hashes`).
    Blake3,
}

impl HashAlgo {
    /// All of them.
    pub const ALL: [HashAlgo; 5] = [
        HashAlgo::Md5,
        HashAlgo::Sha1,
        HashAlgo::Sha256,
        HashAlgo::Sha512,
        HashAlgo::Blake3,
    ];

    /// The name, as in `outputHashAlgo`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HashAlgo::Md5 => "md5",
            HashAlgo::Sha1 => "sha1",
            HashAlgo::Sha256 => "sha256",
            HashAlgo::Sha512 => "sha512",
            HashAlgo::Blake3 => "blake3",
        }
    }

    /// The digest's size in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            HashAlgo::Md5 => 16,
            HashAlgo::Sha1 => 20,
            HashAlgo::Sha256 | HashAlgo::Blake3 => 32,
            HashAlgo::Sha512 => 64,
        }
    }

    /// The length of the digest's base-16 text.
    #[must_use]
    pub const fn base16_len(self) -> usize {
        self.size() * 2
    }

    /// The length of the digest's base-32 text.
    #[must_use]
    pub const fn base32_len(self) -> usize {
        base32::encoded_len(self.size())
    }

    /// The length of the digest's base-64 text, padding included.
    #[must_use]
    pub const fn base64_len(self) -> usize {
        self.size().div_ceil(3) * 4
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgo {
    type Err = HashError;

    fn from_str(name: &str) -> Result<Self, HashError> {
        HashAlgo::ALL
            .into_iter()
            .find(|algo| algo.name() == name)
            .ok_or_else(|| HashError::UnknownAlgorithm {
                name: name.to_owned(),
            })
    }
}

/// A digest together with the algorithm that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algo: HashAlgo,
    // Zero beyond `algo.size()`, so that the derived comparisons are right.
    bytes: [u8; MAX_HASH_SIZE],
}

impl Hash {
    /// The hash of `data`.
    #[must_use]
    pub fn of(algo: HashAlgo, data: &[u8]) -> Hash {
        let mut hasher = Hasher::new(algo);
        hasher.update(data);
        hasher.finish()
    }

    /// The hash whose digest is already known; `None` if `digest` has not the
    /// size that `algo` gives.
    #[must_use]
    pub fn from_digest(algo: HashAlgo, digest: &[u8]) -> Option<Hash> {
        if digest.len() != algo.size() {
            return None;
        }
        let mut bytes = [0; MAX_HASH_SIZE];
        bytes[..digest.len()].copy_from_slice(digest);
        Some(Hash { algo, bytes })
    }

    /// The all-zero hash: what Nix assumes for an empty `outputHash`, so that
    /// the build tells the real one.
    #[must_use]
    pub fn zero(algo: HashAlgo) -> Hash {
        Hash {
            algo,
            bytes: [0; MAX_HASH_SIZE],
        }
    }

    /// The algorithm.
    #[must_use]
    pub fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The digest, [`HashAlgo::size`] bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.bytes[..self.algo.size()]
    }

    /// Lower-case hexadecimal, without the algorithm.
    #[must_use]
    pub fn to_base16(&self) -> String {
        HEXLOWER.encode(self.digest())
    }

    /// Nix's base-32, without the algorithm.
    #[must_use]
    pub fn to_base32(&self) -> String {
        base32::encode(self.digest())
    }

    /// Padded base-64, without the algorithm.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.digest())
    }

    /// `sha256-<base-64>`.
    #[must_use]
    pub fn to_sri(&self) -> String {
        format!("{}-{}", self.algo, self.to_base64())
    }

    /// `sha256:<base-32>`.
    #[must_use]
    pub fn to_prefixed_base32(&self) -> String {
        format!("{}:{}", self.algo, self.to_base32())
    }

    /// `sha256:<base-16>`.
    #[must_use]
    pub fn to_prefixed_base16(&self) -> String {
        format!("{}:{}", self.algo, self.to_base16())
    }
}

/// Prints the SRI form, the one form that every Nix tool takes.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_sri())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Folds a digest into `size` bytes: byte `i` is XORed onto byte `i % size`.
/// Store paths use 20 bytes.
///
/// Format: Nix manual, "Store path specification", the step from `fingerprint`
/// to `digest`.
#[must_use]
pub fn compress_hash(digest: &[u8], size: usize) -> Vec<u8> {
    let mut folded = vec![0u8; size];
    for (i, byte) in digest.iter().enumerate() {
        folded[i % size] ^= byte;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        // FIPS 180-4 and RFC 1321 test vectors for "abc".
        let hex = |algo| Hash::of(algo, b"abc").to_base16();
        assert_eq!(hex(HashAlgo::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex(HashAlgo::Sha1),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(HashAlgo::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(HashAlgo::Sha512),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        assert_eq!(
            hex(HashAlgo::Blake3),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn lengths_of_the_text_forms() {
        for algo in HashAlgo::ALL {
            let hash = Hash::of(algo, b"x");
            assert_eq!(hash.to_base16().len(), algo.base16_len());
            assert_eq!(hash.to_base32().len(), algo.base32_len());
            assert_eq!(hash.to_base64().len(), algo.base64_len());
        }
    }

    #[test]
    fn names_the_algorithms_it_knows() {
        let error = "sha3".parse::<HashAlgo>().expect_err("must fail");
        insta::assert_snapshot!(error, @"unknown hash algorithm 'sha3', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'");
    }
}
