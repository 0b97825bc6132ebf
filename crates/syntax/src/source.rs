//! The texts that spans point into.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::span::{SourceId, Span};

/// The table of source texts: gives a span its file, line and column.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: String,
    text: Arc<[u8]>,
    line_starts: OnceLock<Vec<u32>>,
}

/// A place as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    /// The name of the text, as it was added.
    pub file: &'a str,
    /// Counted from 1. A line ends with `\n`, `\r\n` or a lone `\r`, as Nix counts.
    pub line: u32,
    /// The byte in the line, counted from 1.
    pub column: u32,
}

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Sources {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text. `name` is what messages call it: the path of a file, or something like `«string»`.
    ///
    /// # Panics
    /// After 2³² texts.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<[u8]>>) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).expect("fewer than 2^32 texts"));
        self.sources.push(Source {
            name: name.into(),
            text: text.into(),
            line_starts: OnceLock::new(),
        });
        id
    }

    fn get(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// The name of a text.
    #[must_use]
    pub fn name(&self, id: SourceId) -> &str {
        &self.get(id).name
    }

    /// A text.
    #[must_use]
    pub fn text(&self, id: SourceId) -> &Arc<[u8]> {
        &self.get(id).text
    }

    /// Where `span` begins.
    #[must_use]
    pub fn position(&self, span: Span) -> Position<'_> {
        let source = self.get(span.source);
        let starts = source.line_starts();
        let line = starts.partition_point(|&start| start <= span.start) - 1;
        Position {
            file: &source.name,
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: span.start - starts[line] + 1,
        }
    }

    /// Line `line` of a text, counted from 1, without its line end; `None` beyond the last one.
    #[must_use]
    pub fn line(&self, id: SourceId, line: u32) -> Option<&[u8]> {
        let source = self.get(id);
        let starts = source.line_starts();
        let index = (line as usize).checked_sub(1)?;
        let start = *starts.get(index)? as usize;
        let end = starts
            .get(index + 1)
            .map_or(source.text.len(), |&next| next as usize);
        let mut text = &source.text[start..end];
        while let [rest @ .., b'\n' | b'\r'] = text {
            text = rest;
        }
        Some(text)
    }
}

impl Source {
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let mut starts = vec![0];
            for at in memchr::memchr2_iter(b'\n', b'\r', &self.text) {
                if self.text[at] == b'\r' && self.text.get(at + 1) == Some(&b'\n') {
                    continue;
                }
                starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
            }
            starts
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Sources;
    use crate::span::Span;

    #[test]
    fn lines_end_as_in_nix() {
        let mut sources = Sources::new();
        let id = sources.add("x", b"a\nb\r\ncc\rd\n".as_slice());
        let place = |start| {
            let position = sources.position(Span {
                source: id,
                start,
                end: start,
            });
            (position.line, position.column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(1), (1, 2));
        assert_eq!(place(2), (2, 1));
        assert_eq!(place(3), (2, 2));
        assert_eq!(place(5), (3, 1));
        assert_eq!(place(6), (3, 2));
        assert_eq!(place(8), (4, 1));
        assert_eq!(sources.line(id, 2), Some(b"b".as_slice()));
        assert_eq!(sources.line(id, 4), Some(b"d".as_slice()));
        assert_eq!(place(10), (5, 1));
        assert_eq!(sources.line(id, 5), Some(b"".as_slice()));
        assert_eq!(sources.line(id, 6), None);
        assert_eq!(sources.line(id, 0), None);
    }

    #[test]
    fn an_empty_text_has_one_line() {
        let mut sources = Sources::new();
        let id = sources.add("x", b"".as_slice());
        let span = Span {
            source: id,
            start: 0,
            end: 0,
        };
        assert_eq!(sources.position(span).to_string(), "x:1:1");
        assert_eq!(sources.line(id, 1), Some(b"".as_slice()));
    }
}
