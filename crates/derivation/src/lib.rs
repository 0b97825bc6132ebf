//! Store derivations: what is to be built, from what, and where it will be.
//!
//! # What it is
//!
//! The [`Derivation`] record, its ATerm form (the bytes of a `.drv` file), its
//! JSON form (`nix derivation show`), and the computation of output paths
//! from the *hash modulo* ([`modulo`]).
//!
//! # What it is not
//!
//! It reads and writes no files: whoever needs an input derivation hands in a
//! function that finds it. It builds nothing.
//!
//! # Invariants
//!
//! * `Derivation::parse(name, &drv.to_aterm())` gives `drv` again, and
//!   `to_aterm` of what stock Nix wrote gives the same bytes.
//! * The path of an [`Output::Fixed`] is always the one its content address
//!   demands; the reader refuses any other.
//! * Strings are bytes: Nix strings need not be UTF-8.

mod aterm;
mod error;
mod json;
pub mod modulo;
mod output;
mod parse;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use xbuild_store_model::store_path::{DRV_EXTENSION, make_text_path};
use xbuild_store_model::{ContentAddressMethod, Hash, HashAlgo, StorePath};

pub use error::{AtermError, Error, Result};
pub use modulo::{DrvHash, Filled, fill_outputs, hash_modulo, output_hashes};
pub use output::Output;
pub use resolve::replace_all;

/// A string of the Nix language: any bytes.
pub type BStr = Vec<u8>;

/// The environment variable that carries structured attributes as JSON.
pub const STRUCTURED_ATTRS_VARIABLE: &[u8] = b"__json";

/// A store derivation. Format: Nix manual, "Store derivation".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The name, without `.drv`. It is not in the ATerm, but in the path.
    pub name: String,
    /// The outputs, by name.
    pub outputs: BTreeMap<String, Output>,
    /// Which outputs of which other derivations are needed.
    pub input_drvs: BTreeMap<StorePath, BTreeSet<String>>,
    /// Store paths that are needed as they are.
    pub input_srcs: BTreeSet<StorePath>,
    /// The system that can run the builder, such as `x86_64-linux`.
    pub system: BStr,
    /// The program, or `builtin:…`.
    pub builder: BStr,
    /// Its arguments, without the program itself.
    pub args: Vec<BStr>,
    /// Its environment variables.
    pub env: BTreeMap<BStr, BStr>,
}

impl Derivation {
    /// Reads the ATerm of the derivation named `name` (without `.drv`).
    ///
    /// # Errors
    /// When the bytes are not exactly one derivation; says at which byte
    /// offset, and what was expected there.
    pub fn parse(name: &str, aterm: &[u8]) -> Result<Derivation> {
        parse::derivation(name, aterm)
    }

    /// Reads the ATerm of the derivation at `path`, which gives its name.
    ///
    /// # Errors
    /// As [`Derivation::parse`]; also when `path` does not end in `.drv`.
    pub fn parse_at(path: &StorePath, aterm: &[u8]) -> Result<Derivation> {
        let name = path
            .derivation_name()
            .ok_or_else(|| Error::NotADerivation { path: path.clone() })?;
        parse::derivation(name, aterm)
    }

    /// The bytes of the `.drv` file.
    #[must_use]
    pub fn to_aterm(&self) -> Vec<u8> {
        aterm::write(self, false).bytes
    }

    /// What `nix derivation show` prints for this derivation, without the
    /// object around it that names its path.
    ///
    /// # Errors
    /// When a string is not UTF-8 or the structured attributes are not JSON.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        json::derivation(self)
    }

    /// The store path of the `.drv` file.
    ///
    /// # Errors
    /// When the name breaks the rules of store path names.
    pub fn drv_path(&self) -> Result<StorePath> {
        self.drv_path_of(&self.to_aterm())
    }

    /// As [`Derivation::drv_path`], for a caller that has the ATerm already.
    ///
    /// # Errors
    /// When the name breaks the rules of store path names.
    pub fn drv_path_of(&self, aterm: &[u8]) -> Result<StorePath> {
        let hash = Hash::of(HashAlgo::Sha256, aterm);
        Ok(make_text_path(
            &format!("{}{DRV_EXTENSION}", self.name),
            &hash,
            &self.references(),
        )?)
    }

    /// The references of the `.drv` file: its input sources and derivations.
    #[must_use]
    pub fn references(&self) -> BTreeSet<StorePath> {
        self.input_srcs
            .iter()
            .chain(self.input_drvs.keys())
            .cloned()
            .collect()
    }

    /// If this is a fixed-output derivation: its output's name (`out`), how
    /// the output is hashed, and the hash it must have.
    #[must_use]
    pub fn fixed_output(&self) -> Option<(&str, ContentAddressMethod, Hash)> {
        let mut outputs = self.outputs.iter();
        match (outputs.next(), outputs.next()) {
            (Some((name, Output::Fixed { method, hash, .. })), None) if name == "out" => {
                Some((name, *method, *hash))
            }
            _ => None,
        }
    }

    /// Whether the outputs are made anew each time, and may differ
    /// (`impure-derivations`).
    #[must_use]
    pub fn is_impure(&self) -> bool {
        self.outputs
            .values()
            .any(|output| matches!(output, Output::Impure { .. }))
    }

    /// Whether the paths of all outputs are known before the build.
    #[must_use]
    pub fn has_known_paths(&self) -> bool {
        self.outputs.values().all(|output| output.path().is_some())
    }

    /// The outputs' paths, `None` where the path is not known before the
    /// build.
    pub fn output_paths(&self) -> impl Iterator<Item = (&str, Option<&StorePath>)> {
        self.outputs
            .iter()
            .map(|(name, output)| (name.as_str(), output.path()))
    }

    /// Whether the builder is one of those built into the program.
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        self.builder.starts_with(b"builtin:")
    }
}
