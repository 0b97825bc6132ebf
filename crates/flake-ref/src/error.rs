//! What can be wrong with a reference.

/// The result of reading a reference.
pub type Result<T, E = RefError> = std::result::Result<T, E>;

/// A reference that cannot be used. The text is that of stock Nix, where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefError {
    /// A text is no URL of the form that was expected; it may be something else, such as a path.
    #[error("{0}")]
    BadUrl(String),
    /// It was understood, and is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The scheme belongs to an experimental feature that is off.
    #[error(
        "experimental Nix feature '{0}' is disabled; add '--extra-experimental-features {0}' to enable it"
    )]
    Feature(&'static str),
}

impl RefError {
    pub(crate) fn bad_url(text: impl Into<String>) -> Self {
        Self::BadUrl(text.into())
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}
