//! Printing: results to stdout, everything else to stderr. A reader that goes away (`xbuild … | head`) ends the program quietly.

use std::io::{self, IsTerminal as _, Write as _};

use xbuild_realise::terminal::{Colours, printable};

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

/// Prints a line to stderr, without the colours that it may have where that is no terminal (as Nix does). Whether anybody reads it
/// must not change what the program does.
pub(crate) fn note(text: impl AsRef<[u8]>) {
    let mut stderr = io::stderr().lock();
    let colours = if stderr.is_terminal() {
        Colours::Keep
    } else {
        Colours::Drop
    };
    let mut printed = Vec::new();
    for line in text.as_ref().split(|&byte| byte == b'\n') {
        if line.contains(&0x1b) {
            printed.extend(printable(line, colours));
        } else {
            printed.extend_from_slice(line);
        }
        printed.push(b'\n');
    }
    let _ = stderr.write_all(&printed);
}
