//! Text to hash, with the same texts accepted as by Nix.
//!
//! Nix is lenient in base-64: newlines are skipped, everything from the first
//! `=` on is ignored, and padding may be missing where the length does not
//! decide the encoding (SRI). Expressions in the wild rely on it.

use super::{Hash, HashAlgo};
use crate::base32::{self, Base32Error};

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// A name that is no algorithm's.
    #[error(
        "unknown hash algorithm '{name}', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'"
    )]
    UnknownAlgorithm {
        /// The name.
        name: String,
    },
    /// No algorithm in the text and none known from context.
    #[error(
        "hash '{text}' does not include a type, nor is the type otherwise known from context\n\
         hint: write it as 'sha256-…' or 'sha256:…'"
    )]
    MissingAlgorithm {
        /// The whole text.
        text: String,
    },
    /// The text says one algorithm, the context another.
    #[error("hash '{text}' should have type '{expected}'")]
    WrongAlgorithm {
        /// The whole text.
        text: String,
        /// What the context demands.
        expected: HashAlgo,
    },
    /// The text has not the form `algo-base64`.
    #[error("hash '{text}' is not in SRI form ('sha256-' and so on, then base-64)")]
    NotSri {
        /// The whole text.
        text: String,
    },
    /// The number of characters fits none of the encodings.
    #[error(
        "hash '{text}' has wrong length for hash algorithm '{algo}'\nhint: it has {found} characters, and should have {} (base-16), {} (base-32) or {} (base-64)",
        .algo.base16_len(), .algo.base32_len(), .algo.base64_len()
    )]
    WrongLength {
        /// The text behind the algorithm's name.
        text: String,
        /// Its length in bytes.
        found: usize,
        /// The algorithm.
        algo: HashAlgo,
    },
    /// The digest decoded from base-64 has not the algorithm's size.
    #[error("invalid {encoding} hash '{text}', length {found} != expected length {}", .algo.size())]
    WrongSize {
        /// `Base64` or `SRI`.
        encoding: &'static str,
        /// The text behind the algorithm's name.
        text: String,
        /// Bytes decoded.
        found: usize,
        /// The algorithm.
        algo: HashAlgo,
    },
    /// A character that the encoding does not have.
    #[error(
        "invalid {encoding} hash '{text}', length 0 != expected length {}\nhint: '{}' at offset {offset} is no digit of it", .algo.size(),
        .found.escape_ascii()
    )]
    InvalidCharacter {
        /// The text behind the algorithm's name.
        text: String,
        /// Where in it, in bytes.
        offset: usize,
        /// The byte found there.
        found: u8,
        /// `base16`, `nix32`, `Base64` or `SRI`.
        encoding: &'static str,
        /// The algorithm.
        algo: HashAlgo,
    },
    /// Base-32 text whose first digit does not fit.
    #[error(
        "invalid nix32 hash '{text}', length {} != expected length {1}\nhint: its number does not fit into {1} bytes",
        .algo.size() + 1, .algo.size()
    )]
    Overflow {
        /// The text behind the algorithm's name.
        text: String,
        /// The algorithm.
        algo: HashAlgo,
    },
}

impl Hash {
    /// Reads a hash in any form: SRI (`sha256-…`), prefixed (`sha256:…`) or,
    /// when `algo` is given, bare; the encoding is told by the length. When
    /// both text and `algo` name an algorithm they must agree.
    ///
    /// # Errors
    /// On every text that Nix refuses.
    pub fn parse_any(text: &str, algo: Option<HashAlgo>) -> Result<Hash, HashError> {
        let (prefix, rest, sri) = match text.split_once(':') {
            Some((prefix, rest)) => (Some(prefix), rest, false),
            None => match text.split_once('-') {
                Some((prefix, rest)) => (Some(prefix), rest, true),
                None => (None, text, false),
            },
        };
        let stated = prefix.map(str::parse::<HashAlgo>).transpose()?;
        let algo = match (stated, algo) {
            (Some(stated), Some(expected)) if stated != expected => {
                return Err(HashError::WrongAlgorithm {
                    text: text.to_owned(),
                    expected,
                });
            }
            (Some(algo), _) | (None, Some(algo)) => algo,
            (None, None) => {
                return Err(HashError::MissingAlgorithm {
                    text: text.to_owned(),
                });
            }
        };
        if sri {
            from_base64(rest, algo, "SRI")
        } else {
            Hash::parse_bare(rest, algo)
        }
    }

    /// Reads the SRI form only.
    ///
    /// # Errors
    /// When `text` is not `algo-base64`.
    pub fn parse_sri(text: &str) -> Result<Hash, HashError> {
        let (algo, rest) = text.split_once('-').ok_or_else(|| HashError::NotSri {
            text: text.to_owned(),
        })?;
        from_base64(rest, algo.parse()?, "SRI")
    }

    /// Reads a digest without its algorithm, in base-16, base-32 or base-64,
    /// told apart by the length.
    ///
    /// # Errors
    /// When the length fits none of them, or a character is not of the
    /// encoding.
    pub fn parse_bare(text: &str, algo: HashAlgo) -> Result<Hash, HashError> {
        let found = text.len();
        if found == algo.base16_len() {
            from_base16(text, algo)
        } else if found == algo.base32_len() {
            from_base32(text, algo)
        } else if found == algo.base64_len() {
            from_base64(text, algo, "Base64")
        } else {
            Err(HashError::WrongLength {
                text: text.to_owned(),
                found,
                algo,
            })
        }
    }
}

fn sized(
    algo: HashAlgo,
    digest: &[u8],
    text: &str,
    encoding: &'static str,
) -> Result<Hash, HashError> {
    Hash::from_digest(algo, digest).ok_or_else(|| HashError::WrongSize {
        encoding,
        text: text.to_owned(),
        found: digest.len(),
        algo,
    })
}

fn from_base16(text: &str, algo: HashAlgo) -> Result<Hash, HashError> {
    let mut digest = Vec::with_capacity(algo.size());
    for (i, pair) in text.as_bytes().chunks(2).enumerate() {
        let mut byte = 0;
        for (j, &found) in pair.iter().enumerate() {
            let digit =
                char::from(found)
                    .to_digit(16)
                    .ok_or_else(|| HashError::InvalidCharacter {
                        text: text.to_owned(),
                        offset: 2 * i + j,
                        found,
                        encoding: "base16",
                        algo,
                    })?;
            byte = byte << 4 | digit as u8;
        }
        digest.push(byte);
    }
    sized(algo, &digest, text, "base16")
}

fn from_base32(text: &str, algo: HashAlgo) -> Result<Hash, HashError> {
    let digest = base32::decode(text, algo.size()).map_err(|error| match error {
        Base32Error::Digit { offset, found } => HashError::InvalidCharacter {
            text: text.to_owned(),
            offset,
            found,
            encoding: "nix32",
            algo,
        },
        Base32Error::Length { found, .. } => HashError::WrongLength {
            text: text.to_owned(),
            found,
            algo,
        },
        Base32Error::Overflow { .. } => HashError::Overflow {
            text: text.to_owned(),
            algo,
        },
    })?;
    sized(algo, &digest, text, "nix32")
}

fn from_base64(text: &str, algo: HashAlgo, encoding: &'static str) -> Result<Hash, HashError> {
    let mut digest = Vec::with_capacity(algo.size());
    let (mut value, mut bits) = (0u32, 0u32);
    for (offset, &found) in text.as_bytes().iter().enumerate() {
        let digit = match found {
            b'=' => break,
            b'\n' => continue,
            b'A'..=b'Z' => found - b'A',
            b'a'..=b'z' => found - b'a' + 26,
            b'0'..=b'9' => found - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => {
                return Err(HashError::InvalidCharacter {
                    text: text.to_owned(),
                    offset,
                    found,
                    encoding,
                    algo,
                });
            }
        };
        value = (value << 6 | u32::from(digit)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            digest.push((value >> bits) as u8);
        }
    }
    sized(algo, &digest, text, encoding)
}
