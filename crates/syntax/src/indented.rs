//! The whitespace rule of indented strings (`''…''`): the indentation that all lines share is removed.
//!
//! Only blanks count, not tabs. Lines of nothing but blanks do not take part in finding the shared indentation, but
//! lose it. Escapes and interpolations end the indentation of their line.

/// A piece of an indented string, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'t, E> {
    /// Text as written.
    Text(&'t [u8]),
    /// Text that an escape stands for.
    Escaped(&'t [u8]),
    /// An interpolation.
    Interpolation(E),
}

/// The number of blanks that all lines share. Without any line that counts it is as good as infinite.
pub(crate) fn shared_indentation<E>(pieces: &[Piece<'_, E>]) -> usize {
    let mut shared = usize::MAX;
    let mut current = 0;
    let mut at_line_start = true;
    for piece in pieces {
        let Piece::Text(text) = piece else {
            if at_line_start {
                at_line_start = false;
                shared = shared.min(current);
            }
            continue;
        };
        for &c in *text {
            match c {
                b'\n' => {
                    at_line_start = true;
                    current = 0;
                }
                b' ' if at_line_start => current += 1,
                _ if at_line_start => {
                    at_line_start = false;
                    shared = shared.min(current);
                }
                _ => {}
            }
        }
    }
    shared
}

/// Removes the shared indentation from the pieces, one after the other.
#[derive(Debug)]
pub(crate) struct Stripper {
    shared: usize,
    at_line_start: bool,
    dropped: usize,
}

impl Stripper {
    pub(crate) fn new(shared: usize) -> Self {
        Self {
            shared,
            at_line_start: true,
            dropped: 0,
        }
    }

    pub(crate) fn interpolation(&mut self) {
        self.at_line_start = false;
        self.dropped = 0;
    }

    /// Appends what remains of `text` to `out`; `last` when no piece follows.
    pub(crate) fn text(&mut self, text: &[u8], last: bool, out: &mut Vec<u8>) {
        let begin = out.len();
        let mut rest = text;
        while !rest.is_empty() {
            if self.at_line_start {
                let c = rest[0];
                rest = &rest[1..];
                if c == b' ' {
                    self.dropped += 1;
                    if self.dropped <= self.shared {
                        continue;
                    }
                } else {
                    self.dropped = 0;
                    self.at_line_start = c == b'\n';
                }
                out.push(c);
            } else {
                // The remainder of a line is copied whole.
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
                self.at_line_start = rest[end - 1] == b'\n';
                out.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        if last {
            // A last line of nothing but blanks before the closing quote goes.
            let kept = &out[begin..];
            if let Some(newline) = memchr::memrchr(b'\n', kept)
                && kept[newline + 1..].iter().all(|&c| c == b' ')
            {
                out.truncate(begin + newline + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Stripper, shared_indentation};

    fn strip(pieces: &[Piece<'_, ()>]) -> Vec<String> {
        let mut stripper = Stripper::new(shared_indentation(pieces));
        let mut texts = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Interpolation(()) => stripper.interpolation(),
                Piece::Text(text) | Piece::Escaped(text) => {
                    let mut out = Vec::new();
                    stripper.text(text, i + 1 == pieces.len(), &mut out);
                    texts.push(String::from_utf8_lossy(&out).into_owned());
                }
            }
        }
        texts
    }

    #[test]
    fn the_shared_indentation_goes() {
        assert_eq!(
            strip(&[Piece::Text(b"  a\n    b\n\n  c\n  ")]),
            ["a\n  b\n\nc\n"]
        );
        // Blank lines do not count, and tabs are text.
        assert_eq!(strip(&[Piece::Text(b"  a\n \n  b")]), ["a\n\nb"]);
        assert_eq!(strip(&[Piece::Text(b"\ta\n  b")]), ["\ta\n  b"]);
    }

    #[test]
    fn interpolations_and_escapes_end_an_indentation() {
        assert_eq!(
            strip(&[
                Piece::Text(b"  "),
                Piece::Interpolation(()),
                Piece::Text(b"\n    b\n")
            ]),
            ["", "\n  b\n"]
        );
        // A line end from an escape begins no line when indentations are compared, but does when they are removed.
        assert_eq!(
            strip(&[
                Piece::Text(b"  a"),
                Piece::Escaped(b"\n"),
                Piece::Text(b"   b")
            ]),
            ["a", "\n", " b"]
        );
    }
}
