//! Printing: results to stdout, everything else to stderr. A reader that goes away (`xbuild … | head`) ends the program quietly.

use std::io::{self, Write as _};

use crate::failure::Failure;

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

/// `1 file`, `2 files`: a number with its noun.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Prints a line to stderr. Whether anybody reads it must not change what the program does.
pub(crate) fn note(text: impl AsRef<[u8]>) {
    let _ = io::stderr()
        .lock()
        .write_all(&[text.as_ref(), b"\n"].concat());
}
