//! Positions and errors as people see them.

use std::fmt::Write as _;

use rustc_hash::FxHashSet;
use xbuild_syntax::span::Span;

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::code::Code;
use crate::error::{EvalError, Shown, TraceFrame};
use crate::position::Pos;
use crate::value::Value;

/// How many frames of a trace are shown without `--show-trace`.
const SHORT_TRACE: usize = 4;
/// How many repeated frames in a row are shown.
const REPEATED: usize = 5;

/// File, line and column.
type Place = (String, u32, u32);

impl Evaluator {
    /// The file that a program is told of: that of a path, or one that comes with the language.
    pub(crate) fn file_of(&self, position: &xbuild_syntax::Position<'_>) -> Option<String> {
        let internal = position.file.strip_prefix("«nix-internal»");
        let file = self.file_shown_as(internal.unwrap_or(position.file));
        file.starts_with('/').then(|| file.into_owned())
    }

    /// The one-byte span of a position.
    fn span(&self, pos: Pos) -> Option<Span> {
        let (source, start) = self.positions.resolve(pos)?;
        Some(Span {
            source,
            start,
            end: start,
        })
    }

    /// File, line and column of a place.
    #[must_use]
    pub fn position(&self, pos: Pos) -> Option<xbuild_syntax::Position<'_>> {
        let position = self.sources.position(self.span(pos)?);
        Some(position)
    }

    /// A position as messages have it: `/file:line:column`.
    #[must_use]
    pub fn show_position(&self, pos: Pos) -> String {
        match self.span(pos) {
            Some(span) => self.sources.position(span).to_string(),
            None => "«none»:0".to_owned(),
        }
    }

    /// A position as the language has it: `{ file, line, column }`, or null for what is not in a file.
    #[must_use]
    pub fn position_value(&self, pos: Pos) -> Value {
        let Some(span) = self.span(pos) else {
            return Value::NULL;
        };
        let position = self.sources.position(span);
        let Some(file) = self.file_of(&position) else {
            return Value::NULL;
        };
        let mut attrs = AttrsBuilder::new();
        attrs.insert(
            self.known.cur_pos_file,
            self.string(file.as_bytes()),
            Pos::NONE,
        );
        // That these two are found only when they are asked for shows where the set is printed.
        for (name, number) in [
            (self.known.cur_pos_line, position.line),
            (self.known.cur_pos_column, position.column),
        ] {
            let number = self.int(i64::from(number));
            let code = self.heap.alloc_code(Code::Const(number));
            let thunk = self.heap.thunk(code, self.heap.env(None, 0));
            attrs.insert(name, Value::from(thunk), Pos::NONE);
        }
        self.attrs(attrs)
    }

    /// The error as text for a terminal: the trace, outermost first, with source lines; the message; suggestions.
    ///
    /// Without `full_trace` only the outermost frames are shown, and those that are meant to be always.
    #[must_use]
    pub fn render(&self, error: &EvalError, full_trace: bool) -> String {
        let data = error.data();
        let mut out = String::from("error:");
        // As stock Nix does it: a frame with a place counts twice, and of repeated frames only a few are shown.
        let mut shown = 0;
        let mut truncated = false;
        let mut seen: FxHashSet<(&str, Option<Place>)> = FxHashSet::default();
        let mut repeated: Vec<&TraceFrame> = Vec::new();
        for frame in data.trace.iter().rev() {
            if frame.text.is_empty() || (!full_trace && frame.shown == Shown::Full) {
                continue;
            }
            if !full_trace && shown >= SHORT_TRACE {
                truncated = true;
                if frame.shown != Shown::Always {
                    continue;
                }
            }
            let place = self.position(frame.pos);
            let place = place.map(|place| (place.file.to_owned(), place.line, place.column));
            if !seen.insert((&frame.text, place)) {
                repeated.push(frame);
                continue;
            }
            shown += self.render_repeated(&mut out, &mut repeated);
            shown += self.render_frame(&mut out, frame);
        }
        shown += self.render_repeated(&mut out, &mut repeated);
        if truncated {
            out.push_str("\n       (stack trace truncated; use '--show-trace' to show the full, detailed trace)\n");
        }
        if shown == 0 {
            let _ = writeln!(out, " {}", indent(&data.message));
        } else {
            let _ = writeln!(out, "\n       error: {}", indent(&data.message));
        }
        match &data.syntax {
            Some(syntax) => {
                // The parser's own text, without its first line, which is the message.
                let rendered = syntax.render(&self.sources);
                out.push_str(rendered.split_once('\n').map_or("", |(_, rest)| rest));
            }
            None => self.render_place(&mut out, data.pos, 0),
        }
        match data.suggestions.as_slice() {
            [] => {}
            [one] => {
                let _ = writeln!(out, "       Did you mean {one}?");
            }
            [init @ .., last] => {
                let _ = writeln!(
                    out,
                    "       Did you mean one of {} or {last}?",
                    init.join(", ")
                );
            }
        }
        out
    }

    /// Gives by how much the trace has grown.
    fn render_frame(&self, out: &mut String, frame: &TraceFrame) -> usize {
        let _ = write!(out, "\n       … {}\n", indent(&frame.text));
        self.render_place(out, frame.pos, 2);
        1 + usize::from(frame.pos.is_some())
    }

    fn render_repeated(&self, out: &mut String, repeated: &mut Vec<&TraceFrame>) -> usize {
        let frames = std::mem::take(repeated);
        if frames.len() > REPEATED {
            let _ = writeln!(out, "\n       ({} duplicate frames omitted)", frames.len());
            return 0;
        }
        let grown = frames.iter().map(|frame| self.render_frame(out, frame));
        grown.sum()
    }

    fn render_place(&self, out: &mut String, pos: Pos, extra: usize) {
        let Some(span) = self.span(pos) else {
            return;
        };
        // In a trace the place is indented more than the message's, and its lines are not.
        let _ = write!(
            out,
            "{:extra$}{}",
            "",
            xbuild_syntax::render_place(&self.sources, span)
        );
    }
}

/// Indents all lines but the first by as much as stock Nix does, whether a trace stands before the message or not.
fn indent(text: &str) -> String {
    text.replace('\n', "\n       ")
        .replace("\n       \n", "\n\n")
}
