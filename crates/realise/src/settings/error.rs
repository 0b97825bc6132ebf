//! What is wrong with a setting.

use std::path::PathBuf;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// No such key.
    #[error("there is no setting `{key}`{}", suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// As given.
        key: String,
        /// A known key that looks like it.
        suggestion: Option<&'static str>,
    },
    /// A value of the wrong form.
    #[error("setting `{key}`: `{value}` is not {expected}")]
    Value {
        /// The key.
        key: String,
        /// As given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A line of a file that is not `key = value`.
    #[error("{}:{line}: expected `key = value`, found `{text}`", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A setting in a file is wrong.
    #[error("{}:{line}: {source}", file.display())]
    InFile {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        source: Box<SettingError>,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
