//! The parser: recursive descent, with precedence climbing for operators.
//!
//! - `mod.rs`: the state, tokens, errors and the depth limit
//! - `expr.rs`: keyword expressions, operators, application, selection, simple expressions
//! - `function.rs`: functions and their formals
//! - `attrs.rs`: bindings
//! - `set.rs`: merging of bindings into sets
//! - `text.rs`: strings, paths, numbers

mod attrs;
mod expr;
mod function;
mod lint;
mod set;
mod text;

use std::borrow::Cow;
use std::path::Path;

use bumpalo::Bump;

use crate::ast::{AttrName, Binding, Expr};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::lexer::{Lexer, Tok, Token};
use crate::lint::Lints;
use crate::span::{SourceId, Span};
use crate::symbol::{Symbol, Symbols};

/// How deep expressions may be nested, and how high a tree may be: parentheses count, and so does each operator of a
/// chain. Nix has no such limit in its parser; what is not much higher ends at its evaluator's stack.
pub const MAX_DEPTH: u32 = 100_000;

/// How much stack must be left for one more level, and how much is taken when less is left.
const STACK_RED_ZONE: usize = 96 * 1024;
const STACK_CHUNK: usize = 2 * 1024 * 1024;

/// Runs `f`, on a new piece of stack if little is left.
pub(crate) fn with_stack<T>(f: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_RED_ZONE, STACK_CHUNK, f)
}

/// What the language depends on beside the text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Features<'h> {
    /// `pipe-operators`: `|>` and `<|`.
    pub pipe_operators: bool,
    /// The home directory, for `~/…`; without one (pure mode) such paths are an error.
    pub home: Option<&'h Path>,
    /// What is discouraged; without, nothing is told.
    pub lints: Option<&'h Lints>,
    /// The text is not an expression but the bindings of a set without its braces, at least one, as they are given to a repl: the
    /// last may lack its `;`.
    pub bare_bindings: bool,
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// Parses `source` as one expression. Relative paths are taken from `base_dir`, which is absolute.
///
/// Takes stack as it needs it (on the heap), whatever thread it is called on.
///
/// # Errors
/// When the text is not an expression of the language, is nested beyond [`MAX_DEPTH`], or has 4 GiB or more.
pub fn parse<'a>(
    arena: &'a Bump,
    symbols: &mut Symbols,
    source: &'a [u8],
    origin: SourceId,
    base_dir: &Path,
    features: Features<'_>,
) -> Result<&'a Expr<'a>> {
    if u32::try_from(source.len()).is_err() {
        let span = Span {
            source: origin,
            start: 0,
            end: 0,
        };
        return Err(SyntaxError::new(
            SyntaxErrorKind::TooLarge(source.len()),
            span,
        ));
    }
    let names = Names {
        or: symbols.intern(b"or"),
        body: symbols.intern(b"body"),
    };
    let mut parser = Parser {
        arena,
        symbols,
        src: source,
        lexer: Lexer::new(source),
        origin,
        base_dir,
        features,
        names,
        tok: Token {
            kind: Tok::Eof,
            start: 0,
            end: 0,
        },
        prev_end: 0,
        depth: 0,
        height: 0,
        exprs: Vec::new(),
        path: Vec::new(),
        buffer: Vec::new(),
        frozen: Vec::new(),
        free_sets: Vec::new(),
        bare_bindings: features.bare_bindings,
    };
    parser.bump();
    let expr = if features.bare_bindings {
        parser.bare_set()?
    } else {
        parser.expr()?
    };
    if parser.tok.kind != Tok::Eof {
        return Err(parser.unexpected("end of file", "end of file"));
    }
    Ok(arena.alloc(expr))
}

/// Symbols that the parser compares with.
#[derive(Debug, Clone, Copy)]
struct Names {
    or: Symbol,
    body: Symbol,
}

struct Parser<'a, 'p> {
    arena: &'a Bump,
    symbols: &'p mut Symbols,
    src: &'a [u8],
    lexer: Lexer<'a>,
    origin: SourceId,
    base_dir: &'p Path,
    features: Features<'p>,
    names: Names,
    /// The token that comes next.
    tok: Token,
    /// Where the token before it ended.
    prev_end: u32,
    /// How deep the parser is in the text.
    depth: u32,
    /// The height of the tree that was parsed last.
    height: u32,
    /// Elements of the lists and calls that are being read; each owns the top of the stack.
    exprs: Vec<Expr<'a>>,
    /// The same for attribute paths.
    path: Vec<AttrName<'a>>,
    /// Scratch space for unescaping.
    buffer: Vec<u8>,
    /// Bindings of the sets that are being finished.
    frozen: Vec<Binding<'a>>,
    /// Empty sets whose memory can be used again; boxed, as they are handed out.
    #[allow(clippy::vec_box)]
    free_sets: Vec<Box<set::SetBuilder<'a>>>,
    /// The end of the text ends a binding as a `;` does.
    bare_bindings: bool,
}

impl<'a> Parser<'a, '_> {
    fn bump(&mut self) {
        self.prev_end = self.tok.end;
        self.tok = self.lexer.lex(self.tok.end as usize);
    }

    /// Goes on reading tokens at `pos`, after something that is not made of tokens.
    #[allow(clippy::cast_possible_truncation)]
    fn resume(&mut self, pos: usize) {
        self.tok.end = pos as u32;
        self.bump();
    }

    /// The first byte of the token after the next one.
    fn peek_byte(&self) -> u8 {
        self.lexer
            .byte(self.lexer.skip_trivia(self.tok.end as usize))
    }

    fn text(&self, token: Token) -> &'a [u8] {
        &self.src[token.start as usize..(token.end as usize).min(self.src.len())]
    }

    fn span(&self, start: u32, end: u32) -> Span {
        Span {
            source: self.origin,
            start,
            end: end.max(start),
        }
    }

    /// From `start` to the end of the last token.
    fn span_from(&self, start: u32) -> Span {
        self.span(start, self.prev_end)
    }

    fn tok_span(&self) -> Span {
        self.span(self.tok.start, self.tok.end)
    }

    fn alloc(&self, expr: Expr<'a>) -> &'a Expr<'a> {
        self.arena.alloc(expr)
    }

    /// Runs `f` one level deeper.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep(self.tok_span()));
        }
        self.depth += 1;
        let result = with_stack(|| f(self));
        self.depth -= 1;
        result
    }

    /// Notes that a tree of this height was made.
    fn set_height(&mut self, height: u32, span: Span) -> Result<()> {
        if height > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.height = height;
        Ok(())
    }

    fn too_deep(&self, span: Span) -> SyntaxError {
        SyntaxError::new(SyntaxErrorKind::TooDeep(MAX_DEPTH), span)
            .hint("break the expression up with 'let', or compute it from a list")
    }

    /// Takes the next token, which must be of `kind`.
    fn expect(&mut self, kind: Tok, expecting: &'static str, expected: &'static str) -> Result<()> {
        if self.tok.kind == kind {
            self.bump();
            Ok(())
        } else {
            Err(self.unexpected(expecting, expected))
        }
    }

    /// Like [`Self::expect`], for the end of something that was opened at `open`.
    fn expect_close(
        &mut self,
        kind: Tok,
        expected: &'static str,
        open: Span,
        what: &'static str,
    ) -> Result<()> {
        if self.tok.kind == kind {
            self.bump();
            return Ok(());
        }
        Err(self.unclosed_or(expected, expected, open, what))
    }

    /// The error when something opened at `open` is not closed by the next token.
    fn unclosed_or(
        &self,
        expecting: &'static str,
        expected: impl Into<Cow<'static, str>>,
        open: Span,
        what: &'static str,
    ) -> SyntaxError {
        self.unexpected(expecting, expected)
            .note(open, format!("{what} is opened here"))
    }

    /// The error that the next token cannot stand where it stands: with what Nix's parser says it expected, and the same
    /// in words.
    fn unexpected(
        &self,
        expecting: &'static str,
        expected: impl Into<Cow<'static, str>>,
    ) -> SyntaxError {
        let span = self.tok_span();
        match self.tok.kind {
            Tok::PipeFrom | Tok::PipeInto if !self.features.pipe_operators => {
                return SyntaxError::new(SyntaxErrorKind::FeatureDisabled("pipe-operators"), span);
            }
            Tok::OpenComment => {
                // Nix reads a division, and then a multiplication.
                let operand = matches!(
                    expecting,
                    "end of file" | "';'" | "')'" | "'}'" | "'then'" | "'else'"
                );
                return SyntaxError::new(
                    SyntaxErrorKind::Unclosed {
                        what: "the comment",
                        found: if operand { "'*'" } else { "'/'" },
                        expecting: if operand { "" } else { expecting },
                    },
                    span,
                )
                .hint("close it with '*/'");
            }
            _ => {}
        }
        let error = SyntaxError::new(
            SyntaxErrorKind::Unexpected {
                found: self.tok.kind.name(),
                expecting,
                expected: expected.into(),
            },
            span,
        );
        match self.tok.kind {
            Tok::If | Tok::Assert | Tok::With | Tok::Let => {
                let word = String::from_utf8_lossy(self.text(self.tok));
                error.hint(format!("an operand or argument that begins with '{word}' needs parentheses: '({word} …)'"))
            }
            Tok::Colon => {
                error.hint("a function that is an operand or argument needs parentheses: '(x: …)'")
            }
            Tok::Assign => error.hint("bindings stand in '{ … }' or 'let … in'; equality is '=='"),
            Tok::PipeFrom | Tok::PipeInto => {
                error.hint("'|>' and '<|' cannot be mixed without parentheses")
            }
            Tok::Else => error.hint("each 'else' belongs to one 'if … then …'"),
            Tok::Unknown => match self.text(self.tok) {
                b"&" => error.hint("the logical 'and' is '&&'"),
                b"|" => error.hint("the logical 'or' is '||'"),
                b"'" => error.hint("strings are written \"…\" or ''…''"),
                b"%" => error.hint("there is no remainder operator; 'a - b * (a / b)' computes it"),
                b"^" => error.hint("there is no power operator"),
                _ => error.hint(self.unknown()),
            },
            _ => error,
        }
    }

    /// What the next character is, which begins no token.
    fn unknown(&self) -> String {
        let start = self.tok.start as usize;
        match self.src[start] {
            c if c.is_ascii_control() => format!("a control character, 0x{c:02x}, begins no token"),
            c if c.is_ascii() => format!("'{}' begins no token", char::from(c)),
            c => {
                let bytes = &self.src[start..self.src.len().min(start + 4)];
                let text = String::from_utf8_lossy(bytes);
                let what = match text.chars().next() {
                    Some(char) if char != char::REPLACEMENT_CHARACTER => format!("'{char}'"),
                    _ => format!("the byte 0x{c:02x}"),
                };
                format!("{what}: beyond ASCII, characters may stand only in strings and comments")
            }
        }
    }
}
