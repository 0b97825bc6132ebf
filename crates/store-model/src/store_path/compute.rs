//! Computing store paths from what they hold or from what makes them.
//!
//! Format: Nix manual, "Store path specification". A path's hash part is the
//! SHA-256 of the fingerprint `<type>:<inner hash>:<store dir>:<name>`, folded
//! to 160 bits.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{StorePath, StorePathError, check_name};
use crate::content_address::{ContentAddress, FileIngestionMethod};
use crate::hash::{Hash, HashAlgo, compress_hash};
use crate::{STORE_DIR, base32};

const STORE_PATH_HASH_SIZE: usize = 20;

/// The path for a fingerprint of this type and inner hash.
fn make_store_path(kind: &str, inner: &Hash, name: &str) -> Result<StorePath, StorePathError> {
    let fingerprint = format!("{kind}:{}:{STORE_DIR}:{name}", inner.to_prefixed_base16());
    let digest = Hash::of(HashAlgo::Sha256, fingerprint.as_bytes());
    let folded = compress_hash(digest.digest(), STORE_PATH_HASH_SIZE);
    let base_name = format!("{}-{name}", base32::encode(&folded));
    if let Err(error) = check_name(name) {
        return Err(StorePathError::Name { base_name, error });
    }
    Ok(StorePath {
        base_name: base_name.into(),
    })
}

/// `kind`, followed by the references: they are part of the type.
fn kind_with_references(kind: &str, references: &BTreeSet<StorePath>, self_ref: bool) -> String {
    let mut kind = kind.to_owned();
    for reference in references {
        // Writing to a string cannot fail.
        let _ = write!(kind, ":{reference}");
    }
    if self_ref {
        kind.push_str(":self");
    }
    kind
}

/// The path of a text file, such as a `.drv` or the result of
/// `builtins.toFile`: `contents_hash` is the SHA-256 of its bytes.
///
/// # Errors
/// When the name is not valid or the hash is not SHA-256.
pub fn make_text_path(
    name: &str,
    contents_hash: &Hash,
    references: &BTreeSet<StorePath>,
) -> Result<StorePath, StorePathError> {
    if contents_hash.algo() != HashAlgo::Sha256 {
        return Err(StorePathError::TextHash {
            name: name.to_owned(),
            algo: contents_hash.algo(),
        });
    }
    make_store_path(
        &kind_with_references("text", references, false),
        contents_hash,
        name,
    )
}

/// The path of a file system object that is addressed by its own hash: a
/// source that was added, or the output of a fixed-output derivation.
///
/// # Errors
/// When the name is not valid, or there are references (`self_ref`: to
/// itself) and the hash is not the SHA-256 of a NAR.
pub fn make_fixed_output_path(
    method: FileIngestionMethod,
    hash: &Hash,
    name: &str,
    references: &BTreeSet<StorePath>,
    self_ref: bool,
) -> Result<StorePath, StorePathError> {
    if method == FileIngestionMethod::NixArchive && hash.algo() == HashAlgo::Sha256 {
        return make_store_path(
            &kind_with_references("source", references, self_ref),
            hash,
            name,
        );
    }
    if self_ref || !references.is_empty() {
        return Err(StorePathError::ReferencesNotAllowed {
            name: name.to_owned(),
        });
    }
    let inner = format!(
        "fixed:out:{}{}:",
        method.prefix(),
        hash.to_prefixed_base16()
    );
    make_store_path(
        "output:out",
        &Hash::of(HashAlgo::Sha256, inner.as_bytes()),
        name,
    )
}

/// The path for a content address, of either kind.
///
/// # Errors
/// As [`make_text_path`] and [`make_fixed_output_path`].
pub fn make_content_addressed_path(
    name: &str,
    address: &ContentAddress,
    references: &BTreeSet<StorePath>,
    self_ref: bool,
) -> Result<StorePath, StorePathError> {
    match address {
        ContentAddress::Text(_) if self_ref => Err(StorePathError::ReferencesNotAllowed {
            name: name.to_owned(),
        }),
        ContentAddress::Text(hash) => make_text_path(name, hash, references),
        ContentAddress::Fixed(method, hash) => {
            make_fixed_output_path(*method, hash, name, references, self_ref)
        }
    }
}

/// The path of an input-addressed output: `drv_hash` is the derivation's hash
/// modulo fixed-output derivations.
///
/// # Errors
/// When the resulting name is not valid.
pub fn make_output_path(
    drv_hash: &Hash,
    output_name: &str,
    drv_name: &str,
) -> Result<StorePath, StorePathError> {
    let name = output_path_name(drv_name, output_name);
    make_store_path(&format!("output:{output_name}"), drv_hash, &name)
}

/// The name of an output's path: the derivation's name, with `-<output>`
/// unless the output is `out`.
#[must_use]
pub fn output_path_name(drv_name: &str, output_name: &str) -> String {
    if output_name == "out" {
        drv_name.to_owned()
    } else {
        format!("{drv_name}-{output_name}")
    }
}

/// Where a builder finds an output whose path will follow from its contents:
/// of the same length as the path it will have, and the same for stock Nix, so
/// that what a builder makes of it is the same. Nothing is ever there.
///
/// # Errors
/// When the resulting name is not valid.
pub fn make_scratch_path(
    drv_path: &StorePath,
    output_name: &str,
) -> Result<StorePath, StorePathError> {
    let drv_name = drv_path
        .derivation_name()
        .unwrap_or_else(|| drv_path.name());
    make_store_path(
        &format!("rewrite:{}:name:{output_name}", drv_path.base_name()),
        &Hash::zero(HashAlgo::Sha256),
        &output_path_name(drv_name, output_name),
    )
}

/// What stands for the path of an output in its own derivation as long as the
/// path is not known (`builtins.placeholder`): `/` and 52 base-32 digits.
#[must_use]
pub fn hash_placeholder(output_name: &str) -> String {
    let hash = Hash::of(
        HashAlgo::Sha256,
        format!("nix-output:{output_name}").as_bytes(),
    );
    format!("/{}", hash.to_base32())
}

/// What stands for the not yet known path of another derivation's output, in
/// the derivations that use it.
#[must_use]
pub fn downstream_placeholder(drv_path: &StorePath, output_name: &str) -> String {
    let drv_name = drv_path
        .derivation_name()
        .unwrap_or_else(|| drv_path.name());
    let clear = format!(
        "nix-upstream-output:{}:{}",
        drv_path.hash_part(),
        output_path_name(drv_name, output_name)
    );
    format!(
        "/{}",
        Hash::of(HashAlgo::Sha256, clear.as_bytes()).to_base32()
    )
}
