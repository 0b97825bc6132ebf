//! Lines of build logs for a terminal: programs print what they like, and what they print must not move the cursor, clear the
//! screen, or set the window's title.

/// Whether colours stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// `ESC [ … m` (ECMA-48, "Select Graphic Rendition") stays.
    Keep,
    /// All escape sequences go.
    Drop,
}

/// `line` without escape sequences and control characters; tabs stay. After kept colours comes a reset, so that nothing else is
/// coloured.
#[must_use]
pub fn printable(line: &[u8], colours: Colours) -> Vec<u8> {
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    let mut coloured = false;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == 0x1b {
            let length = escape_length(rest);
            let (sequence, after) = rest.split_at(length);
            if colours == Colours::Keep && is_colour(sequence) {
                text.extend_from_slice(sequence);
                coloured = !matches!(sequence, b"\x1b[m" | b"\x1b[0m");
            }
            rest = after;
            continue;
        }
        if byte == b'\t' || !(byte < 0x20 || byte == 0x7f) {
            text.push(byte);
        }
        rest = after;
    }
    if coloured {
        text.extend_from_slice(b"\x1b[0m");
    }
    text
}

fn is_colour(sequence: &[u8]) -> bool {
    sequence
        .strip_prefix(b"\x1b[")
        .and_then(|rest| rest.strip_suffix(b"m"))
        .is_some_and(|codes| {
            codes
                .iter()
                .all(|b| b.is_ascii_digit() || matches!(b, b';' | b':'))
        })
}

/// The bytes of the escape sequence that `text` begins with (ECMA-48, 5.3 to 5.6).
fn escape_length(text: &[u8]) -> usize {
    match text.get(1) {
        // A control sequence: parameters, intermediate bytes, a final byte.
        Some(b'[') => {
            let body = text[2..]
                .iter()
                .take_while(|b| (0x20..0x40).contains(*b))
                .count();
            let ends = text.get(2 + body).is_some_and(|b| (0x40..0x7f).contains(b));
            2 + body + usize::from(ends)
        }
        // A control string, which ends with BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let body = text[2..]
                .iter()
                .take_while(|b| !matches!(b, 0x07 | 0x1b))
                .count();
            let end = match text[2 + body..] {
                [0x07, ..] => 1,
                [0x1b, b'\\', ..] => 2,
                _ => 0,
            };
            2 + body + end
        }
        // Intermediate bytes and a final byte.
        Some(_) => {
            let between = text[1..]
                .iter()
                .take_while(|b| (0x20..0x30).contains(*b))
                .count();
            let ends = text
                .get(1 + between)
                .is_some_and(|b| (0x30..0x7f).contains(b));
            1 + between + usize::from(ends)
        }
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_may_stay() {
        let both = |line: &str| {
            [Colours::Keep, Colours::Drop].map(|colours| {
                String::from_utf8(printable(line.as_bytes(), colours))
                    .unwrap()
                    .replace('\x1b', "^")
            })
        };
        let same = |text: &str| [text.to_owned(), text.to_owned()];
        assert_eq!(both("plain\ttext é"), same("plain\ttext é"));
        assert_eq!(both("\x1b[31mred\x1b[0m."), ["^[31mred^[0m.", "red."]);
        assert_eq!(both("\x1b[1;31mred"), ["^[1;31mred^[0m", "red"]);
        assert_eq!(both("a\x1b[2J\x1b[10;5Hb\x07\x08\x7fc"), same("abc"));
        assert_eq!(both("\x1b]0;title\x07x\x1b]8;;http://h\x1b\\y"), same("xy"));
        assert_eq!(both("\x1bPq\x1b\\x\x1b(By\x1b7z\x1b"), same("xyz"));
        assert_eq!(both("\x1b[31"), same(""));
        assert_eq!(both("\x1b[?25lx"), same("x"));
        assert_eq!(both("\x1b]never ends"), same(""));
    }
}
