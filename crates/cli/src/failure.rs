//! How a command fails: the message and the exit code.

use xbuild_realise::Error;

/// A message for the user, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Failure {
    /// An ordinary error: exit code 1.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: error.exit_code(),
            message: error.to_string(),
        }
    }
}

impl From<xbuild_store::Error> for Failure {
    fn from(error: xbuild_store::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<xbuild_vm::Error> for Failure {
    fn from(error: xbuild_vm::Error) -> Self {
        Self {
            code: if matches!(error, xbuild_vm::Error::Interrupted) {
                130
            } else {
                1
            },
            message: error.to_string(),
        }
    }
}
