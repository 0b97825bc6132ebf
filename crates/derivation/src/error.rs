//! What can be wrong with a derivation.

use xbuild_store_model::content_address::ContentAddressError;
use xbuild_store_model::{HashError, StorePath, StorePathError};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a derivation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no derivation.
    #[error("derivation '{name}' is not valid: {error}")]
    Aterm {
        /// The derivation's name, without `.drv`.
        name: String,
        /// What was found where.
        error: AtermError,
    },
    /// A path that should end in `.drv` and does not.
    #[error("'{path}' is not a derivation: its name does not end in '.drv'")]
    NotADerivation {
        /// The path.
        path: StorePath,
    },
    /// A name or path breaks the rules of store paths.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
    /// No output at all.
    #[error("derivation '{name}' has no outputs: it must have at least one")]
    NoOutputs {
        /// The derivation's name.
        name: String,
    },
    /// Outputs of several kinds.
    #[error(
        "derivation '{name}' mixes kinds of outputs: '{first}' is {first_kind}, '{second}' is {second_kind}"
    )]
    MixedOutputs {
        /// The derivation's name.
        name: String,
        /// One output.
        first: String,
        /// Its kind.
        first_kind: &'static str,
        /// Another output.
        second: String,
        /// Its kind.
        second_kind: &'static str,
    },
    /// A fixed output that is not the only one, named `out`.
    #[error(
        "derivation '{name}' has the fixed output '{output}': a fixed-output derivation must have a single output named 'out'"
    )]
    FixedOutputName {
        /// The derivation's name.
        name: String,
        /// The output at fault.
        output: String,
    },
    /// Floating outputs that disagree on the algorithm.
    #[error("derivation '{name}': all floating outputs must use the same hash algorithm")]
    MixedAlgorithms {
        /// The derivation's name.
        name: String,
    },
    /// An input names an output that its derivation has not.
    #[error("derivation '{name}' needs output '{output}' of '{input}', which has no such output")]
    NoSuchOutput {
        /// The derivation's name.
        name: String,
        /// The input derivation.
        input: StorePath,
        /// The output it lacks.
        output: String,
    },
    /// An output path that is not what the derivation's hash gives.
    #[error(
        "derivation '{name}' has incorrect output '{output}': it is '{found}', should be '{expected}'"
    )]
    WrongOutputPath {
        /// The derivation's name.
        name: String,
        /// The output.
        output: String,
        /// The path it states.
        found: StorePath,
        /// The path it must have.
        expected: StorePath,
    },
    /// An output path where there can be none yet.
    #[error(
        "derivation '{name}' states the path '{found}' for output '{output}', but it depends on an output whose path is only known after its build"
    )]
    MustBeDeferred {
        /// The derivation's name.
        name: String,
        /// The output.
        output: String,
        /// The path it states.
        found: StorePath,
    },
    /// JSON can only carry UTF-8.
    #[error(
        "derivation '{name}' cannot be shown as JSON: {what} is not valid UTF-8 (byte offset {offset})"
    )]
    NotUtf8 {
        /// The derivation's name.
        name: String,
        /// Which string.
        what: String,
        /// Where in it.
        offset: usize,
    },
    /// `__json` holds something else.
    #[error(
        "derivation '{name}': environment variable '__json' must hold a JSON object: {message}"
    )]
    StructuredAttrs {
        /// The derivation's name.
        name: String,
        /// What the JSON reader says.
        message: String,
    },
}

/// What is wrong with the bytes of a `.drv`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtermError {
    /// Something else than the format demands.
    #[error("at byte {offset}: expected {expected}, found {found}")]
    Expected {
        /// Where, in bytes from the start.
        offset: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The second of two entries of one name.
    #[error("at byte {offset}: {what} '{key}' occurs twice")]
    Duplicate {
        /// Where the second one is.
        offset: usize,
        /// What kind of entry.
        what: &'static str,
        /// Its name.
        key: String,
    },
    /// A string that should be a store path.
    #[error("at byte {offset}: {error}")]
    StorePath {
        /// Where the string begins.
        offset: usize,
        /// Which rule is broken.
        error: StorePathError,
    },
    /// A string that should be a hash or its algorithm.
    #[error("at byte {offset}: {error}")]
    Hash {
        /// Where the string begins.
        offset: usize,
        /// What is wrong.
        error: HashError,
    },
    /// A string that should name a way of hashing.
    #[error("at byte {offset}: {error}")]
    ContentAddress {
        /// Where the string begins.
        offset: usize,
        /// What is wrong.
        error: ContentAddressError,
    },
    /// A fixed output whose path is not that of its hash.
    #[error(
        "at byte {offset}: output '{output}' has path '{found}', but its hash demands '{expected}'"
    )]
    FixedPath {
        /// Where the output begins.
        offset: usize,
        /// The output.
        output: String,
        /// The path stated.
        found: String,
        /// The path demanded.
        expected: String,
    },
    /// A format version that is not known.
    #[error(
        "at byte {offset}: derivation format version '{version}' is not supported: dynamic derivations (a derivation that is the output of another one) cannot be built; only the form 'Derive(…)' is"
    )]
    Version {
        /// Where the version is.
        offset: usize,
        /// The version.
        version: String,
    },
}
