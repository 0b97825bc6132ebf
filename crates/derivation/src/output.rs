//! One output of a derivation: what decides its path.

use xbuild_store_model::store_path::{make_content_addressed_path, output_path_name};
use xbuild_store_model::{
    ContentAddress, ContentAddressMethod, Hash, HashAlgo, StorePath, StorePathError,
};

/// What decides an output's path. Format: Nix manual, "Derivation output".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The path follows from the derivation itself.
    InputAddressed(StorePath),
    /// The contents are known in advance, and with them the path.
    Fixed {
        /// The path that `method` and `hash` give.
        path: StorePath,
        /// How the contents are hashed.
        method: ContentAddressMethod,
        /// The hash the output must have.
        hash: Hash,
    },
    /// The path will follow from the contents, whatever they turn out to be
    /// (Nix's experimental `ca-derivations`).
    Floating {
        /// How the contents are hashed.
        method: ContentAddressMethod,
        /// With what.
        algo: HashAlgo,
    },
    /// Input-addressed, but the path is not computed yet: either nobody did
    /// ([`crate::fill_outputs`] will), or it cannot be before an input with a
    /// floating output is built.
    Deferred,
    /// Floating, and built anew each time (`impure-derivations`).
    Impure {
        /// How the contents are hashed.
        method: ContentAddressMethod,
        /// With what.
        algo: HashAlgo,
    },
}

impl Output {
    /// The fixed output `output_name` of the derivation named `drv_name`, with
    /// its path.
    ///
    /// # Errors
    /// When the name breaks the rules of store path names, or a text output
    /// is not hashed with SHA-256.
    pub fn fixed(
        drv_name: &str,
        output_name: &str,
        method: ContentAddressMethod,
        hash: Hash,
    ) -> Result<Output, StorePathError> {
        let path = make_content_addressed_path(
            &output_path_name(drv_name, output_name),
            &ContentAddress::new(method, hash),
            &Default::default(),
            false,
        )?;
        Ok(Output::Fixed { path, method, hash })
    }

    /// The path, if it is known.
    #[must_use]
    pub fn path(&self) -> Option<&StorePath> {
        match self {
            Output::InputAddressed(path) | Output::Fixed { path, .. } => Some(path),
            Output::Floating { .. } | Output::Deferred | Output::Impure { .. } => None,
        }
    }

    /// The kind, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Output::InputAddressed(_) => "input-addressed",
            Output::Fixed { .. } => "fixed",
            Output::Floating { .. } => "floating content-addressed",
            Output::Deferred => "deferred",
            Output::Impure { .. } => "impure",
        }
    }
}
