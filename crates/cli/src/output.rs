//! Printing: results to stdout, everything else to stderr. A reader that goes away (`xbuild … | head`) ends the program quietly.

use std::io::{self, Write as _};

use xbuild_report::Level;

use crate::failure::Failure;
use crate::progress;

/// Prints `bytes` as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure {
            message: String::new(),
            code: 141,
        }),
        Err(error) => Err(Failure::text(format!("cannot write to stdout: {error}"))),
    }
}

/// Prints a line.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    bytes(&[text.as_ref(), b"\n"].concat())
}

/// Prints a message to stderr, in the form that was chosen. What begins with `error:` or `warning:` is one. Whether anybody reads it must
/// not change what the program does.
pub(crate) fn note(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let level = if text.starts_with(b"error:") {
        Level::Error
    } else if text.starts_with(b"warning:") {
        Level::Warning
    } else {
        Level::Notice
    };
    progress::say(level, text);
}
