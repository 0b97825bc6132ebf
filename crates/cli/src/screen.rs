//! Stderr, which has lines that stay and, on a terminal, below them a display that changes. Everything that this program says goes
//! through here, so that neither gets into the other's way.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use unicode_width::UnicodeWidthChar as _;

/// What is on the terminal below the lines that stay.
#[derive(Debug, Default)]
struct Screen {
    /// The display's lines, as they were drawn.
    shown: Vec<String>,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { shown: Vec::new() });

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A closed stderr is no reason to stop a build.
fn write(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Prints lines that stay; `text` ends with a line end.
pub(crate) fn print(text: &[u8]) {
    let screen = screen();
    if screen.shown.is_empty() {
        return write(text);
    }
    let mut bytes = screen.erase();
    bytes.extend_from_slice(text);
    bytes.extend(screen.display());
    write(&bytes);
}

/// Shows `lines` in place of what was shown. Without lines, nothing is left of the display.
pub(crate) fn show(lines: Vec<String>) {
    let mut screen = screen();
    if lines == screen.shown {
        return;
    }
    let mut bytes = if lines.is_empty() {
        screen.erase()
    } else {
        screen.to_top()
    };
    screen.shown = lines;
    bytes.extend(screen.display());
    write(&bytes);
}

/// Columns and rows of the terminal.
pub(crate) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0)
        .then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

impl Screen {
    /// The rows that the display takes. A terminal that became narrower has broken its lines.
    fn rows(&self) -> usize {
        let columns = size().map_or(usize::MAX, |(columns, _)| columns);
        let rows = |line: &String| width(line).div_ceil(columns).max(1);
        self.shown.iter().map(rows).sum()
    }

    /// Moves the cursor to the display's first column and row.
    fn to_top(&self) -> Vec<u8> {
        match self.rows() {
            0 => Vec::new(),
            1 => b"\r".to_vec(),
            rows => format!("\r\x1b[{}A", rows - 1).into_bytes(),
        }
    }

    /// Erases the display, row by row: where all of the screen is erased at once, some terminals keep what was there.
    fn erase(&self) -> Vec<u8> {
        let rows = self.rows();
        let mut bytes = self.to_top();
        for row in 0..rows {
            let erase: &[u8] = if row + 1 < rows {
                b"\x1b[2K\x1b[B"
            } else {
                b"\x1b[2K"
            };
            bytes.extend_from_slice(erase);
        }
        if rows > 1 {
            bytes.extend(format!("\x1b[{}A", rows - 1).into_bytes());
        }
        bytes
    }

    /// The display, drawn over what is there. The cursor stays at its end.
    fn display(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, line) in self.shown.iter().enumerate() {
            if index > 0 {
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(line.as_bytes());
            // The rest of the line, and after the last one the rest of the screen.
            let erase: &[u8] = if index + 1 == self.shown.len() {
                b"\x1b[J"
            } else {
                b"\x1b[K"
            };
            bytes.extend_from_slice(erase);
        }
        bytes
    }
}

/// The columns of a line of ours, in which there are no control sequences but colours.
fn width(line: &str) -> usize {
    let mut columns = 0;
    let mut in_colour = false;
    for c in line.chars() {
        match c {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            c if !in_colour => columns += c.width().unwrap_or(0),
            _ => {}
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_no_width() {
        assert_eq!(width("\x1b[1mlinux\x1b[0m  \x1b[2m日本\x1b[0m"), 11);
    }

    #[test]
    fn a_display_is_drawn_over_itself() {
        let screen = Screen {
            shown: vec!["one".to_owned(), "two".to_owned()],
        };
        assert_eq!(screen.display(), b"one\x1b[K\ntwo\x1b[J");
        assert_eq!(Screen::default().to_top(), b"");
        assert_eq!(Screen::default().erase(), b"");
    }
}
