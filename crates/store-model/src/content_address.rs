//! Content addresses: how the hash of a store object's contents names it, as
//! in the `ca` column of the database and the `CA:` line of a narinfo.
//!
//! Format: Nix manual, "Content-addressing store objects".

use std::fmt;
use std::str::FromStr;

use crate::hash::{Hash, HashAlgo, HashError};

/// What of a file system object is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileIngestionMethod {
    /// The bytes of one file (`outputHashMode = "flat"`).
    Flat,
    /// The NAR of the whole tree (`"recursive"` or `"nar"`).
    NixArchive,
}

impl FileIngestionMethod {
    /// What stands before the algorithm: nothing, or `r:`.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            FileIngestionMethod::Flat => "",
            FileIngestionMethod::NixArchive => "r:",
        }
    }
}

/// How an output is content-addressed: like a text file, or by a
/// [`FileIngestionMethod`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAddressMethod {
    /// As a text file, with references allowed (`outputHashMode = "text"`).
    Text,
    /// As a file or tree.
    Fixed(FileIngestionMethod),
}

impl ContentAddressMethod {
    /// A single file's bytes.
    pub const FLAT: ContentAddressMethod = ContentAddressMethod::Fixed(FileIngestionMethod::Flat);
    /// A tree's NAR.
    pub const NIX_ARCHIVE: ContentAddressMethod =
        ContentAddressMethod::Fixed(FileIngestionMethod::NixArchive);

    /// What stands before the algorithm in a derivation's output: `text:`,
    /// nothing, or `r:`.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            ContentAddressMethod::Text => "text:",
            ContentAddressMethod::Fixed(method) => method.prefix(),
        }
    }

    /// Splits `[text:|r:]<rest>`.
    ///
    /// # Errors
    /// When the prefix is `git:`, which is experimental in Nix and not
    /// supported.
    pub fn parse_prefix(text: &str) -> Result<(ContentAddressMethod, &str), ContentAddressError> {
        if let Some(rest) = text.strip_prefix("r:") {
            Ok((ContentAddressMethod::NIX_ARCHIVE, rest))
        } else if let Some(rest) = text.strip_prefix("text:") {
            Ok((ContentAddressMethod::Text, rest))
        } else if text.starts_with("git:") {
            Err(ContentAddressError::GitHashing {
                text: text.to_owned(),
            })
        } else {
            Ok((ContentAddressMethod::FLAT, text))
        }
    }
}

impl From<FileIngestionMethod> for ContentAddressMethod {
    fn from(method: FileIngestionMethod) -> ContentAddressMethod {
        ContentAddressMethod::Fixed(method)
    }
}

/// A method together with the hash it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAddress {
    /// `text:sha256:<base-32>`; the hash is of the file's bytes.
    Text(Hash),
    /// `fixed:[r:]<algo>:<base-32>`.
    Fixed(FileIngestionMethod, Hash),
}

impl ContentAddress {
    /// From its two halves.
    #[must_use]
    pub fn new(method: ContentAddressMethod, hash: Hash) -> ContentAddress {
        match method {
            ContentAddressMethod::Text => ContentAddress::Text(hash),
            ContentAddressMethod::Fixed(method) => ContentAddress::Fixed(method, hash),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> ContentAddressMethod {
        match self {
            ContentAddress::Text(_) => ContentAddressMethod::Text,
            ContentAddress::Fixed(method, _) => ContentAddressMethod::Fixed(*method),
        }
    }

    /// The hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        match self {
            ContentAddress::Text(hash) | ContentAddress::Fixed(_, hash) => *hash,
        }
    }
}

/// Why a text is not a content address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentAddressError {
    /// Neither `text:` nor `fixed:`.
    #[error("'{text}' is not a content address: it must start with 'text:' or 'fixed:'")]
    Prefix {
        /// The whole text.
        text: String,
    },
    /// No `:` behind the algorithm.
    #[error("content address '{text}' must have the form '{form}'")]
    Form {
        /// The whole text.
        text: String,
        /// The form expected.
        form: &'static str,
    },
    /// `text:` with another algorithm than SHA-256.
    #[error("content address '{text}' must use sha256: text files are hashed with nothing else")]
    TextAlgorithm {
        /// The whole text.
        text: String,
    },
    /// `git:`.
    #[error(
        "content address '{text}' uses Git hashing, which is not supported; use 'nar' or 'flat'"
    )]
    GitHashing {
        /// The whole text.
        text: String,
    },
    /// The hash itself.
    #[error("content address '{text}': {error}")]
    Hash {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        error: HashError,
    },
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentAddress::Text(hash) => write!(f, "text:{}", hash.to_prefixed_base32()),
            ContentAddress::Fixed(method, hash) => {
                write!(f, "fixed:{}{}", method.prefix(), hash.to_prefixed_base32())
            }
        }
    }
}

impl FromStr for ContentAddress {
    type Err = ContentAddressError;

    fn from_str(text: &str) -> Result<Self, ContentAddressError> {
        let hash = |rest: &str, form| {
            let (algo, digest) = rest
                .split_once(':')
                .ok_or_else(|| ContentAddressError::Form {
                    text: text.to_owned(),
                    form,
                })?;
            algo.parse::<HashAlgo>()
                .and_then(|algo| Hash::parse_bare(digest, algo))
                .map_err(|error| ContentAddressError::Hash {
                    text: text.to_owned(),
                    error,
                })
        };
        if let Some(rest) = text.strip_prefix("text:") {
            let hash = hash(rest, "text:sha256:<hash>")?;
            if hash.algo() != HashAlgo::Sha256 {
                return Err(ContentAddressError::TextAlgorithm {
                    text: text.to_owned(),
                });
            }
            Ok(ContentAddress::Text(hash))
        } else if let Some(rest) = text.strip_prefix("fixed:") {
            let (method, rest) = match rest.strip_prefix("r:") {
                Some(rest) => (FileIngestionMethod::NixArchive, rest),
                None if rest.starts_with("git:") => {
                    return Err(ContentAddressError::GitHashing {
                        text: text.to_owned(),
                    });
                }
                None => (FileIngestionMethod::Flat, rest),
            };
            Ok(ContentAddress::Fixed(
                method,
                hash(rest, "fixed:[r:]<algorithm>:<hash>")?,
            ))
        } else {
            Err(ContentAddressError::Prefix {
                text: text.to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_wrong() {
        let show = |text: &str| {
            text.parse::<ContentAddress>()
                .expect_err("must fail")
                .to_string()
        };
        insta::assert_snapshot!(show("r:sha256:x"), @"'r:sha256:x' is not a content address: it must start with 'text:' or 'fixed:'");
        insta::assert_snapshot!(show("fixed:r:sha256"), @"content address 'fixed:r:sha256' must have the form 'fixed:[r:]<algorithm>:<hash>'");
        insta::assert_snapshot!(show("fixed:git:sha1:x"), @"content address 'fixed:git:sha1:x' uses Git hashing, which is not supported; use 'nar' or 'flat'");
        insta::assert_snapshot!(show("fixed:sha256:x"), @"
content address 'fixed:sha256:x': hash 'x' has wrong length for hash algorithm 'sha256'
hint: it has 1 characters, and should have 64 (base-16), 52 (base-32) or 44 (base-64)
");
        insta::assert_snapshot!(show("text:sha1:0000000000000000000000000000000000000000"), @"content address 'text:sha1:0000000000000000000000000000000000000000' must use sha256: text files are hashed with nothing else");
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(data: Vec<u8>, algo in 0usize..5, kind in 0..3) {
            let algo = HashAlgo::ALL[algo];
            let address = match kind {
                0 => ContentAddress::Text(Hash::of(HashAlgo::Sha256, &data)),
                1 => ContentAddress::Fixed(FileIngestionMethod::Flat, Hash::of(algo, &data)),
                _ => ContentAddress::Fixed(FileIngestionMethod::NixArchive, Hash::of(algo, &data)),
            };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn never_panics(text in "(text:|fixed:)?(r:|git:)?.{0,60}") {
            let _ = text.parse::<ContentAddress>();
        }
    }
}
