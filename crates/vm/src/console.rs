//! What a console prints, as lines of text.
//!
//! Firmware and boot loaders paint with escape sequences (ECMA-48); kernels and shells print lines. Both become plain lines:
//! sequences are dropped, and what moves the cursor to another place ends the line.

/// The longest line; a longer one is cut in several.
const MAX_LINE: usize = 4096;

/// Bytes in, lines out.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    state: State,
}

/// Where in an escape sequence the next byte is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// In none.
    #[default]
    Text,
    /// After ESC, or in a sequence of two or three characters.
    Escape,
    /// In a control sequence: up to a byte from `@` to `~`.
    Control,
    /// In a string (the terminal's title …): up to BEL or ESC `\`.
    String,
    /// After a carriage return.
    Return,
}

impl Lines {
    /// Takes what was printed and gives the lines that are complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.state = match self.state {
                State::Escape => match byte {
                    b'[' => State::Control,
                    b']' | b'P' | b'X' | b'^' | b'_' => State::String,
                    b' '..=b'/' => State::Escape,
                    _ => State::Text,
                },
                State::Control => match byte {
                    // Cursor position; erase in display.
                    b'H' | b'f' | b'J' => {
                        self.end(&mut lines, false);
                        State::Text
                    }
                    0x40..=0x7e => State::Text,
                    0x1b => State::Escape,
                    _ => State::Control,
                },
                State::String => match byte {
                    0x07 => State::Text,
                    0x1b => State::Escape,
                    _ => State::String,
                },
                State::Return if byte == b'\r' => State::Return,
                State::Return if byte != b'\n' => {
                    self.end(&mut lines, false);
                    self.text(byte, &mut lines)
                }
                State::Return | State::Text => self.text(byte, &mut lines),
            };
        }
        lines
    }

    /// What stands in the line that is not complete: a prompt.
    #[must_use]
    pub fn partial(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    fn text(&mut self, byte: u8, lines: &mut Vec<String>) -> State {
        match byte {
            b'\n' => self.end(lines, true),
            b'\r' => return State::Return,
            0x1b => return State::Escape,
            0x08 => {
                self.line.pop();
            }
            b'\t' => self.line.push(b' '),
            0..=0x1f | 0x7f => {}
            _ => self.line.push(byte),
        }
        if self.line.len() >= MAX_LINE {
            self.end(lines, false);
        }
        State::Text
    }

    /// Ends the line; an empty one only counts if a line feed ended it.
    fn end(&mut self, lines: &mut Vec<String>, empty: bool) {
        if empty || !self.line.is_empty() {
            lines.push(self.partial());
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8]) -> (Vec<String>, String) {
        let mut lines = Lines::default();
        let complete = lines.feed(bytes);
        (complete, lines.partial())
    }

    #[test]
    fn lines_and_prompts() {
        assert_eq!(
            lines(b"one\r\ntwo\n\nthree\rfour\r\r\n~ # "),
            (
                ["one", "two", "", "three", "four"]
                    .map(str::to_owned)
                    .to_vec(),
                "~ # ".to_owned()
            )
        );
    }

    #[test]
    fn sequences_are_dropped() {
        let (complete, partial) = lines(b"\x1b[0m\x1b[35m\x1b[2J\x1b[01;01HBoot in 3 s.\x1b[02;01H\x1b]0;title\x07x\x08y\x1b(Bz\x1b[6n");
        assert_eq!(complete, ["Boot in 3 s."]);
        assert_eq!(partial, "yz");
    }

    #[test]
    fn long_lines_are_cut() {
        let (complete, partial) = lines(&[b'x'; 2 * MAX_LINE + 1]);
        assert_eq!((complete.len(), partial.as_str()), (2, "x"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_cut_gives_the_same_lines(bytes in prop::collection::vec(prop_oneof![Just(0x1bu8), Just(b'['), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200), at in any::<prop::sample::Index>()) {
            let (whole, partial) = lines(&bytes);
            let mut parts = Lines::default();
            let at = at.index(bytes.len() + 1);
            let mut cut = parts.feed(&bytes[..at]);
            cut.extend(parts.feed(&bytes[at..]));
            prop_assert_eq!(whole, cut);
            prop_assert_eq!(partial, parts.partial());
        }
    }
}
