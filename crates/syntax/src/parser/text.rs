//! Strings, paths and numbers.

use std::os::unix::ffi::OsStrExt as _;

use super::{Parser, Result};
use crate::ast::{Expr, ExprKind};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::indented::{Piece, Stripper, shared_indentation};
use crate::lexer::Tok;
use crate::span::Span;

/// What stands between quotes.
pub(super) enum Text<'a> {
    /// No interpolation.
    Plain(&'a [u8]),
    /// Strings and interpolations.
    Parts(&'a [Expr<'a>]),
}

impl<'a> Parser<'a, '_> {
    pub(super) fn integer(&mut self) -> Result<ExprKind<'a>> {
        let text = self.text(self.tok);
        let mut value: i64 = 0;
        for &digit in text {
            let next = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(i64::from(digit - b'0')));
            let Some(next) = next else {
                let text = String::from_utf8_lossy(text).into_owned();
                return Err(SyntaxError::new(
                    SyntaxErrorKind::InvalidInteger(text),
                    self.tok_span(),
                )
                .hint("integers have 64 bits, with a sign: the largest is 9223372036854775807"));
            };
            value = next;
        }
        self.bump();
        Ok(ExprKind::Int(value))
    }

    pub(super) fn float(&mut self) -> Result<ExprKind<'a>> {
        let text = String::from_utf8_lossy(self.text(self.tok));
        let mantissa_is_zero = !text
            .bytes()
            .take_while(|c| !matches!(c, b'e' | b'E'))
            .any(|c| matches!(c, b'1'..=b'9'));
        match text.parse::<f64>() {
            // C's `strtod` reports numbers too small to be normal as out of range, and so does Nix.
            Ok(value) if value.is_normal() || mantissa_is_zero => {
                self.bump();
                Ok(ExprKind::Float(value))
            }
            _ => Err(SyntaxError::new(
                SyntaxErrorKind::InvalidFloat(text.into_owned()),
                self.tok_span(),
            )
            .hint("it is outside the range of double-precision numbers")),
        }
    }

    pub(super) fn string(&mut self) -> Result<ExprKind<'a>> {
        Ok(match self.quoted()? {
            Text::Plain(text) => ExprKind::Str(text),
            Text::Parts(parts) => ExprKind::Interpolation(parts),
        })
    }

    /// The string whose opening quote comes next.
    pub(super) fn quoted(&mut self) -> Result<Text<'a>> {
        let open = self.tok_span();
        let mark = self.exprs.len();
        let mut pos = self.tok.end as usize;
        let mut height = 0;
        loop {
            let (text, end) = self.quoted_piece(pos, open)?;
            let at_quote = self.lexer.byte(end) == b'"';
            if at_quote && self.exprs.len() == mark {
                self.resume(end + 1);
                return Ok(Text::Plain(text));
            }
            if end > pos {
                self.push_str(text, pos, end);
            }
            if at_quote {
                self.resume(end + 1);
                break;
            }
            pos = self.interpolation(end, open, "the string")?;
            height = height.max(self.height);
        }
        let parts = self.take_exprs(mark);
        self.set_height(height + 1, open)?;
        Ok(Text::Parts(parts))
    }

    fn push_str(&mut self, text: &'a [u8], start: usize, end: usize) {
        let expr = Expr {
            span: self.place(start, end),
            kind: ExprKind::Str(text),
        };
        self.exprs.push(expr);
    }

    // The text is below 4 GiB.
    #[allow(clippy::cast_possible_truncation)]
    fn place(&self, start: usize, end: usize) -> Span {
        self.span(start as u32, end as u32)
    }

    /// Parses the interpolation whose `${` is at `pos`, pushes it, and returns where the text goes on.
    fn interpolation(&mut self, pos: usize, open: Span, what: &'static str) -> Result<usize> {
        let dollar = self.place(pos, pos + 2);
        self.resume(pos + 2);
        let expr = self.expr()?;
        if self.tok.kind != Tok::RBrace {
            return Err(self
                .unclosed_or(
                    "'}'",
                    "'}' after the interpolated expression",
                    dollar,
                    "the interpolation",
                )
                .note(open, format!("{what} around it begins here")));
        }
        self.exprs.push(expr);
        Ok(self.tok.end as usize)
    }

    /// The error of a string that ends with the file.
    fn unclosed(&self, open: Span, what: &'static str, expecting: &'static str) -> SyntaxError {
        let kind = SyntaxErrorKind::Unclosed {
            what,
            found: "end of file",
            expecting,
        };
        // Texts are below 4 GiB.
        let end = u32::try_from(self.src.len()).unwrap_or(u32::MAX);
        let end = self.span(end, end);
        SyntaxError::new(kind, end).note(open, "it is opened here")
    }

    /// The text from `pos` up to the closing quote or the next `${`, and where that is.
    fn quoted_piece(&mut self, start: usize, open: Span) -> Result<(&'a [u8], usize)> {
        let src = self.src;
        let mut pos = start;
        let mut copied = start;
        let mut escaped = false;
        let mut null = None;
        let end = loop {
            let Some(&c) = src.get(pos) else {
                return Err(self
                    .unclosed(open, "the string", "'\"'")
                    .hint("close it with '\"'"));
            };
            match c {
                b'"' => break pos,
                b'$' => match src.get(pos + 1) {
                    Some(b'{') => break pos,
                    // `$` takes the next character with it, so that `$${` is no interpolation.
                    Some(b'"' | b'\\' | b'\r' | 0) | None => pos += 1,
                    Some(_) => pos += 2,
                },
                b'\\' | b'\r' => {
                    if !escaped {
                        escaped = true;
                        self.buffer.clear();
                    }
                    self.buffer.extend_from_slice(&src[copied..pos]);
                    let next = src.get(pos + 1);
                    pos += 2;
                    if c == b'\r' {
                        // Line ends are normalised.
                        self.buffer.push(b'\n');
                        if next != Some(&b'\n') {
                            pos -= 1;
                        }
                    } else {
                        let Some(&next) = next else {
                            return Err(self
                                .unclosed(open, "the string", "'\"'")
                                .hint("close it with '\"'"));
                        };
                        // An escaped null byte is accepted: Nix does not look behind the backslash.
                        self.buffer.push(unescape(next));
                    }
                    copied = pos;
                }
                0 => {
                    null.get_or_insert(pos);
                    pos += 1;
                }
                _ => pos += 1,
            }
        };
        let text = if escaped {
            self.buffer.extend_from_slice(&src[copied..end]);
            self.arena.alloc_slice_copy(&self.buffer)
        } else {
            &src[start..end]
        };
        match null {
            None => Ok((text, end)),
            Some(pos) => Err(self.null_byte(pos, text)),
        }
    }

    /// The error of the null byte at `pos`, in a string with the text `text`.
    fn null_byte(&self, pos: usize, text: &[u8]) -> SyntaxError {
        let text = String::from_utf8_lossy(text).replace('\0', "␀");
        SyntaxError::new(SyntaxErrorKind::NullByte(text), self.place(pos, pos + 1))
    }

    pub(super) fn indented_string(&mut self) -> Result<ExprKind<'a>> {
        let open = self.tok_span();
        let open = self.span(open.start, open.start + 2);
        let mut pieces: Vec<(Piece<'a, Expr<'a>>, Span)> = Vec::new();
        let mut pos = self.tok.end as usize;
        let mut height = 0;
        loop {
            let start = pos;
            let piece = match self.indented_piece(pos, open)? {
                Indented::Close => break,
                Indented::Interpolation => {
                    let end = self.interpolation(pos, open, "the string")?;
                    height = height.max(self.height);
                    pos = end;
                    match self.exprs.pop() {
                        Some(expr) => Piece::Interpolation(expr),
                        None => continue,
                    }
                }
                Indented::Text(end) => {
                    pos = end;
                    Piece::Text(&self.src[start..end])
                }
                Indented::Escaped(text, end) => {
                    pos = end;
                    Piece::Escaped(text)
                }
            };
            pieces.push((piece, self.place(start, pos)));
        }
        self.resume(pos + 2);
        self.strip(&pieces, height, open)
    }

    fn strip(
        &mut self,
        pieces: &[(Piece<'a, Expr<'a>>, Span)],
        height: u32,
        open: Span,
    ) -> Result<ExprKind<'a>> {
        let only: Vec<Piece<'a, ()>> = pieces
            .iter()
            .map(|(piece, _)| match *piece {
                Piece::Text(text) => Piece::Text(text),
                Piece::Escaped(text) => Piece::Escaped(text),
                Piece::Interpolation(_) => Piece::Interpolation(()),
            })
            .collect();
        let mut stripper = Stripper::new(shared_indentation(&only));
        let mark = self.exprs.len();
        for (i, (piece, span)) in pieces.iter().enumerate() {
            match *piece {
                Piece::Interpolation(expr) => {
                    stripper.interpolation();
                    self.exprs.push(expr);
                }
                Piece::Text(text) | Piece::Escaped(text) => {
                    self.buffer.clear();
                    stripper.text(text, i + 1 == pieces.len(), &mut self.buffer);
                    if !self.buffer.is_empty() {
                        let kind = ExprKind::Str(self.arena.alloc_slice_copy(&self.buffer));
                        self.exprs.push(Expr { span: *span, kind });
                    }
                }
            }
        }
        let kind = match self.exprs[mark..] {
            [] => ExprKind::Str(b""),
            [
                Expr {
                    kind: ExprKind::Str(text),
                    ..
                },
            ] => ExprKind::Str(text),
            _ => {
                let parts = self.take_exprs(mark);
                self.set_height(height + 1, open)?;
                return Ok(ExprKind::Interpolation(parts));
            }
        };
        self.exprs.truncate(mark);
        self.height = 0;
        Ok(kind)
    }

    /// What comes next in an indented string.
    fn indented_piece(&mut self, start: usize, open: Span) -> Result<Indented<'a>> {
        let src = self.src;
        let at = |pos: usize| src.get(pos).copied();
        // Special sequences, which are pieces of their own.
        match (at(start), at(start + 1)) {
            (Some(b'$'), Some(b'{')) => return Ok(Indented::Interpolation),
            // A `$` before a quote stands alone: the quote may be the end.
            (Some(b'$'), Some(b'\'')) => return Ok(Indented::Escaped(b"$", start + 1)),
            (Some(b'\''), Some(b'$')) => return Ok(Indented::Escaped(b"'", start + 1)),
            (Some(b'\''), Some(b'\'')) => {
                return match at(start + 2) {
                    Some(b'$') => Ok(Indented::Escaped(b"$", start + 3)),
                    Some(b'\'') => Ok(Indented::Escaped(b"''", start + 3)),
                    Some(b'\\') => match src.get(start + 3) {
                        // Nothing is escaped: it is the end, and a backslash behind it.
                        None => Ok(Indented::Close),
                        Some(&c) => Ok(Indented::Escaped(
                            self.arena.alloc_slice_copy(&[unescape(c)]),
                            start + 4,
                        )),
                    },
                    _ => Ok(Indented::Close),
                };
            }
            _ => {}
        }
        let mut pos = start;
        loop {
            match memchr::memchr3(b'$', b'\'', 0, src.get(pos..).unwrap_or_default()) {
                None => {
                    return Err(self
                        .unclosed(
                            open,
                            "the indented string",
                            "indented string or '${' or end of an indented string",
                        )
                        .hint("close it with \"''\""));
                }
                Some(n) => pos += n,
            }
            match (src[pos], at(pos + 1)) {
                (0, _) => return Err(self.null_in_indented(start, pos)),
                (_, Some(0)) => return Err(self.null_in_indented(start, pos + 1)),
                (b'$', Some(b'{' | b'\'')) | (b'\'', Some(b'\'' | b'$')) => {
                    return Ok(Indented::Text(pos));
                }
                // Otherwise they take the next character with them: `$${` is no interpolation.
                _ => pos += 2,
            }
        }
    }

    /// The error of the null byte at `pos`, in a piece that begins at `start`.
    fn null_in_indented(&self, start: usize, pos: usize) -> SyntaxError {
        let rest = &self.src[pos..];
        let end = rest
            .windows(2)
            .position(|two| matches!(two, b"''" | b"${"))
            .unwrap_or(rest.len());
        self.null_byte(pos, &self.src[start..pos + end])
    }

    /// A path: the tokens are taken by the parser, since its parts are not separated by anything.
    pub(super) fn path_literal(&mut self) -> Result<ExprKind<'a>> {
        let token = self.tok;
        let literal = self.text(token);
        self.lint_path(token.kind, literal)?;
        let base: &'a [u8] = match token.kind {
            Tok::HomePath => self.home_path(literal)?,
            _ => self.absolute(literal),
        };
        let first = Expr {
            span: self.tok_span(),
            kind: ExprKind::Path(base),
        };
        let mark = self.exprs.len();
        self.exprs.push(first);
        let mut pos = token.end as usize;
        let mut slash = literal.ends_with(b"/");
        let mut interpolated = false;
        // A piece between the first one and the first `${`: Nix accepts one.
        let mut early_piece = None;
        let mut height = 0;
        loop {
            if self.lexer.byte(pos) == b'$' && self.lexer.byte(pos + 1) == b'{' {
                interpolated = true;
                slash = false;
                pos = self.interpolation(pos, first.span, "the path")?;
                height = height.max(self.height);
            } else if let Some(end) = self.lexer.path_piece(pos) {
                if !interpolated && early_piece.replace(pos).is_some() {
                    break;
                }
                self.push_str(&self.src[pos..end], pos, end);
                slash = self.src[end - 1] == b'/';
                pos = end;
            } else {
                break;
            }
        }
        if let (Some(piece), false) = (early_piece, interpolated) {
            let span = self.place(piece - 1, piece + 1);
            return Err(SyntaxError::new(SyntaxErrorKind::EmptyPathComponent, span)
                .hint("a path has single slashes; the operator '//' needs a blank before it"));
        }
        if slash {
            let span = self.place(pos, pos);
            return Err(SyntaxError::new(SyntaxErrorKind::TrailingSlash, span)
                .hint("remove the '/' at its end"));
        }
        self.resume(pos);
        if !interpolated {
            self.exprs.truncate(mark);
            self.height = 0;
            return Ok(ExprKind::Path(base));
        }
        let parts = self.take_exprs(mark);
        self.set_height(height + 1, first.span)?;
        Ok(ExprKind::PathInterpolation(parts))
    }

    /// `literal` as an absolute path, without `.`, `..` and doubled slashes. A slash at its end is kept, since an
    /// interpolation follows it.
    fn absolute(&mut self, literal: &[u8]) -> &'a [u8] {
        let buffer = &mut self.buffer;
        buffer.clear();
        if literal[0] != b'/' {
            push_canonical(buffer, self.base_dir.as_os_str().as_bytes());
        }
        push_canonical(buffer, literal);
        if buffer.is_empty() {
            buffer.push(b'/');
        }
        if literal.len() > 1 && literal.ends_with(b"/") {
            buffer.push(b'/');
        }
        self.arena.alloc_slice_copy(buffer)
    }

    /// `~/…` is the one kind of path that Nix does not bring into canonical form.
    fn home_path(&mut self, literal: &[u8]) -> Result<&'a [u8]> {
        let Some(home) = self.features.home else {
            let text = String::from_utf8_lossy(literal).into_owned();
            return Err(SyntaxError::new(
                SyntaxErrorKind::NoHome(text),
                self.tok_span(),
            ));
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(home.as_os_str().as_bytes());
        self.buffer.extend_from_slice(&literal[1..]);
        Ok(self.arena.alloc_slice_copy(&self.buffer))
    }
}

/// What comes next in an indented string.
enum Indented<'a> {
    Close,
    Interpolation,
    /// Text as it is written, up to here.
    Text(usize),
    /// What an escape stands for, and where it ends.
    Escaped(&'a [u8], usize),
}

fn unescape(c: u8) -> u8 {
    match c {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        c => c,
    }
}

/// Appends the components of `path` to a canonical `buffer` without a slash at its end.
fn push_canonical(buffer: &mut Vec<u8>, path: &[u8]) {
    for component in path.split(|&c| c == b'/') {
        match component {
            b"" | b"." => {}
            b".." => buffer.truncate(memchr::memrchr(b'/', buffer).unwrap_or(0)),
            _ => {
                buffer.push(b'/');
                buffer.extend_from_slice(component);
            }
        }
    }
}
