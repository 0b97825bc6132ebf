//! What can be wrong with a text, and how it is told.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::source::Sources;
use crate::span::Span;

/// A text that is not an expression of the language.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.kind)]
pub struct SyntaxError(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    kind: SyntaxErrorKind,
    span: Span,
    notes: Vec<Note>,
    hint: Option<Cow<'static, str>>,
}

/// Another place that explains an error.
#[derive(Debug, Clone)]
pub struct Note {
    /// The place.
    pub span: Span,
    /// What is there.
    pub text: Cow<'static, str>,
}

/// The kinds of syntax errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxErrorKind {
    /// A token that cannot stand where it stands.
    #[error("syntax error, unexpected {found}{}", Expecting(.expecting))]
    Unexpected {
        /// The token, as Nix's parser names it.
        found: &'static str,
        /// The tokens that Nix's parser says it expected; empty where it says nothing, since they are many.
        expecting: &'static str,
        /// What could have stood there, in words.
        expected: Cow<'static, str>,
    },
    /// A string or comment that is not closed.
    #[error("syntax error, unexpected {found}{}", Expecting(.expecting))]
    Unclosed {
        /// What it is.
        what: &'static str,
        /// The token at which Nix's parser sees that something is wrong.
        found: &'static str,
        /// The tokens that it says it expected, or nothing.
        expecting: &'static str,
    },
    /// Two comparisons in a row.
    #[error("syntax error, unexpected '{0}'")]
    NotAssociative(&'static str),
    /// An attribute that was defined before.
    #[error("attribute '{0}' already defined")]
    DuplicateAttribute(String),
    /// A formal that was named before.
    #[error("duplicate formal function argument '{0}'")]
    DuplicateFormal(String),
    /// `inherit ${…};`
    #[error("dynamic attributes not allowed in inherit")]
    DynamicInherit,
    /// `let ${…} = …; in …`
    #[error("dynamic attributes not allowed in let")]
    DynamicLet,
    /// An integer that does not fit into 64 bits.
    #[error("invalid integer '{0}'")]
    InvalidInteger(String),
    /// A floating-point number outside the range of doubles.
    #[error("invalid float '{0}'")]
    InvalidFloat(String),
    /// `./a/`
    #[error("path has a trailing slash")]
    TrailingSlash,
    /// `./a//b`
    #[error("path has an empty component")]
    EmptyPathComponent,
    /// `~/a` where there is no home directory: Nix calls it pure mode.
    #[error("the path '{0}' can not be resolved in pure mode")]
    NoHome(String),
    /// A null byte in a string, with the string's text.
    #[error(
        "input string '{0}' cannot be represented as Nix string because it contains null bytes"
    )]
    NullByte(String),
    /// Syntax of a feature that is not enabled.
    #[error(
        "experimental Nix feature '{0}' is disabled; add '--extra-experimental-features {0}' to enable it"
    )]
    FeatureDisabled(&'static str),
    /// A discouraged literal, with the setting that has it looked for.
    #[error("{message} ({setting})")]
    Discouraged {
        /// What it is, and what to write in its place.
        message: String,
        /// The name of the setting.
        setting: &'static str,
    },
    /// A call with the variable `or` where a plain identifier would mean something else; its text.
    #[error(
        "This expression uses `or` as an identifier in a way that will change in a future Nix release.\n\
         Wrap this entire expression in parentheses to preserve its current meaning:\n    ({0})"
    )]
    LegacyOr(String),
    /// Beyond [`crate::MAX_DEPTH`].
    #[error("the expression is nested too deeply: more than {0} levels")]
    TooDeep(u32),
    /// Beyond 4 GiB.
    #[error("the text is too large: {0} bytes, 4 GiB is the limit")]
    TooLarge(usize),
}

/// The end of a message about a token: what was expected in its place.
struct Expecting<'a>(&'a str);

impl std::fmt::Display for Expecting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ", expecting {}", self.0)
        }
    }
}

impl SyntaxError {
    pub(crate) fn new(kind: SyntaxErrorKind, span: Span) -> Self {
        Self(Box::new(Details {
            kind,
            span,
            notes: Vec::new(),
            hint: None,
        }))
    }

    pub(crate) fn note(mut self, span: Span, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.notes.push(Note {
            span,
            text: text.into(),
        });
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn has_hint(&self) -> bool {
        self.0.hint.is_some()
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &SyntaxErrorKind {
        &self.0.kind
    }

    /// Where.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// Other places that belong to it.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.0.notes
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The error as a warning, in plain text: the message, and the place with its source line.
    #[must_use]
    pub fn render_warning(&self, sources: &Sources) -> String {
        if let SyntaxErrorKind::LegacyOr(_) = self.0.kind {
            let place = sources.position(self.0.span);
            return format!("warning: at {place}: {}\n", self.0.kind);
        }
        let mut out = format!("warning: {}\n", self.0.kind);
        let place = Span {
            end: self.0.span.start,
            ..self.0.span
        };
        for line in render_place(sources, place).lines() {
            // Stock Nix indents by the width of the word before the message.
            let _ = writeln!(out, "  {line}");
        }
        out
    }

    /// The message. Of a name that is defined twice, it also tells where the first one is, as Nix's does.
    #[must_use]
    pub fn message(&self, sources: &Sources) -> String {
        match (&self.0.kind, self.0.notes.first()) {
            (SyntaxErrorKind::DuplicateAttribute(_), Some(first)) => {
                format!("{} at {}", self.0.kind, sources.position(first.span))
            }
            (kind, _) => kind.to_string(),
        }
    }

    /// The error as plain text: the message, the place with its source line, what the message means, the notes with
    /// their places, the hint.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let mut out = format!("error: {}\n", self.message(sources));
        out.push_str(&render_place(sources, self.0.span));
        match &self.0.kind {
            SyntaxErrorKind::Unexpected {
                expecting,
                expected,
                ..
            } if expected != expecting => {
                let _ = writeln!(out, "note: expected {expected}");
            }
            SyntaxErrorKind::Unclosed { what, .. } => {
                let _ = writeln!(out, "note: {what} is not closed");
            }
            SyntaxErrorKind::NotAssociative(_) => {
                out.push_str("note: comparison operators cannot be chained\n");
            }
            _ => {}
        }
        for note in &self.0.notes {
            let _ = writeln!(out, "note: {}", note.text);
            out.push_str(&render_snippet(sources, note.span));
        }
        if let Some(hint) = &self.0.hint {
            let _ = writeln!(out, "hint: {hint}");
        }
        out
    }
}

/// How much of a line a snippet shows, in characters.
const SNIPPET_WIDTH: usize = 120;
/// How much of a long line a snippet shows before the place.
const SNIPPET_BEFORE: usize = 60;

/// The beginning of `span` as stock Nix shows a place: its line with a caret, the line before and the line after it.
#[must_use]
pub fn render_place(sources: &Sources, span: Span) -> String {
    let place = Span {
        end: span.start,
        ..span
    };
    let number = sources.position(place).line;
    let neighbour = |number: u32| {
        let line = sources.line(span.source, number)?;
        let mut text = shown(line);
        shorten(&mut text, 0);
        Some(numbered(number, &text))
    };
    let snippet = render_snippet(sources, place);
    let (header, lines) = snippet.split_once('\n').unwrap_or((&snippet, ""));
    let before = neighbour(number - 1).unwrap_or_default();
    let after = neighbour(number + 1).unwrap_or_default();
    format!("{header}\n{before}{lines}{after}")
}

/// Line `number` of a text, as snippets have it.
fn numbered(number: u32, text: &[char]) -> String {
    let text: String = text.iter().collect();
    let line = format!("{number:>13}| {text}");
    format!("{}\n", line.trim_end())
}

/// Bytes as characters; what controls a terminal is a blank.
fn shown(bytes: &[u8]) -> Vec<char> {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Cuts what is too long behind its first `before` characters.
fn shorten(text: &mut Vec<char>, before: usize) {
    let room = SNIPPET_WIDTH.saturating_sub(before).max(1);
    if text.len() > before + room {
        text.truncate(before + room);
        text.push('…');
    }
}

/// A place with its source line, `span` marked in it. Of long lines only a part is shown, and control characters are
/// shown as blanks.
#[must_use]
pub fn render_snippet(sources: &Sources, span: Span) -> String {
    let position = sources.position(span);
    let mut out = format!("       at {position}:\n");
    let Some(line) = sources.line(span.source, position.line) else {
        return out;
    };
    let inside_character = |at: usize| line.get(at).is_some_and(|&c| c & 0xc0 == 0x80);
    let mut column = (position.column as usize - 1).min(line.len());
    let mut end = column + (span.end.saturating_sub(span.start) as usize).min(line.len() - column);
    while column > 0 && inside_character(column) {
        column -= 1;
    }
    while inside_character(end) {
        end += 1;
    }
    // Work in characters, so that the caret stands right after text beyond ASCII.
    let mut before = shown(&line[..column]);
    let marked = shown(&line[column..end]);
    let after = shown(&line[end..]);
    if before.len() + marked.len() + after.len() > SNIPPET_WIDTH && before.len() > SNIPPET_BEFORE {
        before.drain(..before.len() - SNIPPET_BEFORE);
        before.insert(0, '…');
    }
    let room = SNIPPET_WIDTH.saturating_sub(before.len()).max(1);
    let mut text = [before.as_slice(), &marked, &after].concat();
    shorten(&mut text, before.len());
    out.push_str(&numbered(position.line, &text));
    let carets = "^".repeat(marked.len().clamp(1, room));
    let _ = writeln!(out, "{:13}| {:2$}{carets}", "", "", before.len());
    out
}
