//! Bindings: `a.b = 1; inherit c; inherit (d) e;`, and attribute paths.

use super::set::SetBuilder;
use super::text::Text;
use super::{Parser, Result};
use crate::ast::{AttrName, BindingKind, Expr, ExprKind};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::lexer::{Tok, is_identifier_char};
use crate::print;
use crate::span::Span;
use crate::symbol::Symbol;

/// The tokens that a name of an attribute begins with, as Nix's parser tells them.
const ATTR_NAME: &str = "identifier or 'or' or '${' or '\"'";

impl<'a> Parser<'a, '_> {
    /// The bindings after `{`, with the `}`. The expression begins at `start`.
    pub(super) fn set(&mut self, recursive: bool, start: u32, open: Span) -> Result<ExprKind<'a>> {
        let mut set = self.new_set(recursive);
        self.bindings(&mut set, Tok::RBrace, open)?;
        self.set_height(self.height + 1, open)?;
        let span = self.span(start, self.tok.end);
        let attrs = self.freeze(set, span);
        self.bump();
        Ok(ExprKind::Attrs(attrs))
    }

    /// The bindings that the whole text is, as a set.
    pub(super) fn bare_set(&mut self) -> Result<Expr<'a>> {
        if self.tok.kind == Tok::Eof {
            return Err(self.unexpected("identifier", "a binding"));
        }
        let start = self.tok.start;
        let mut set = self.new_set(false);
        let open = self.span(start, start);
        self.bindings(&mut set, Tok::Eof, open)?;
        let span = self.span(start, self.tok.end);
        Ok(Expr {
            kind: ExprKind::Attrs(self.freeze(set, span)),
            span,
        })
    }

    /// Bindings up to `close`, which is not taken. The height is that of the highest value.
    pub(super) fn bindings(
        &mut self,
        set: &mut SetBuilder<'a>,
        close: Tok,
        open: Span,
    ) -> Result<()> {
        let mut height = 0;
        loop {
            self.height = 0;
            match self.tok.kind {
                kind if kind == close => break,
                Tok::Inherit => self.inherit(set)?,
                Tok::Id | Tok::OrKw | Tok::Quote | Tok::DollarCurly => self.binding(set)?,
                _ => return Err(self.not_a_binding(set.is_recursive(), close, open)),
            }
            height = height.max(self.height);
        }
        self.height = height;
        Ok(())
    }

    fn not_a_binding(&self, recursive: bool, close: Tok, open: Span) -> SyntaxError {
        let error = if close == Tok::In {
            self.unclosed_or(
                "'in' or 'inherit'",
                "the name of a variable or 'in'",
                open,
                "the 'let'",
            )
        } else {
            let expecting = if recursive {
                "'inherit' or '}'"
            } else {
                "'inherit'"
            };
            self.unclosed_or(
                expecting,
                "the name of an attribute or '}'",
                open,
                "the set",
            )
        };
        match self.tok.kind {
            Tok::Semicolon => error.hint("there is one ';' too many"),
            Tok::Comma => error.hint("bindings end with ';', not with ','"),
            Tok::If
            | Tok::Then
            | Tok::Else
            | Tok::Assert
            | Tok::With
            | Tok::Let
            | Tok::In
            | Tok::Rec => {
                let word = String::from_utf8_lossy(self.text(self.tok)).into_owned();
                error.hint(format!(
                    "a keyword as a name needs quotes: '\"{word}\" = …;'"
                ))
            }
            _ => error,
        }
    }

    fn binding(&mut self, set: &mut SetBuilder<'a>) -> Result<()> {
        let start = self.tok.start;
        let mark = self.path.len();
        self.attr_path()?;
        let mut height = self.height;
        let span = self.span_from(start);
        if self.tok.kind != Tok::Assign {
            let error = self.unexpected("'.' or '='", "'=' or '.' after the name of an attribute");
            return Err(match self.tok.kind {
                Tok::Eq => error.hint("a binding has one '='; '==' compares"),
                Tok::Colon => error.hint("a binding is written 'name = value;'"),
                _ => error,
            });
        }
        self.bump();
        let value = self.expr()?;
        height = height.max(self.height);
        if self.tok.kind == Tok::Semicolon {
            self.bump();
        } else if !(self.bare_bindings && self.tok.kind == Tok::Eof) {
            return Err(self.missing_semicolon(mark));
        }
        // The path is taken off the stack of paths while it is added, which may build sets.
        let path = self.path.split_off(mark);
        // Each component but the first makes a set around the value.
        let sets = u32::try_from(path.len() - 1).unwrap_or(u32::MAX);
        self.set_height(height.saturating_add(sets), span)?;
        let height = self.height;
        self.add_binding(set, &path, span, value)?;
        self.height = height;
        Ok(())
    }

    fn missing_semicolon(&self, mark: usize) -> SyntaxError {
        let path = print::attr_path(&self.path[mark..], self.symbols);
        let name = String::from_utf8_lossy(&path);
        let error = self.unexpected("';'", format!("';' after the value of '{name}'"));
        let error = match self.tok.kind {
            Tok::Assign => {
                // The name in front of the `=` was taken for an argument: `a = 1 b = 2;`.
                let text = &self.src[..self.prev_end as usize];
                let name = text
                    .iter()
                    .rev()
                    .take_while(|&&c| c == b'.' || is_identifier_char(c))
                    .count();
                let start = self.prev_end - u32::try_from(name).unwrap_or(0);
                let next = String::from_utf8_lossy(&text[start as usize..]).into_owned();
                return error
                    .note(
                        self.span(start, self.prev_end),
                        format!("the ';' is missing before '{next}'"),
                    )
                    .hint("each binding ends with ';' (and equality is '==')");
            }
            Tok::RBrace if matches!(self.peek_byte(), b':' | b'@') => {
                error.hint("the default of a formal is written with '?': '{ name ? value }: …'")
            }
            _ => error,
        };
        error.note(
            self.span(self.prev_end.saturating_sub(1), self.prev_end),
            format!("the value of '{name}' ends here"),
        )
    }

    fn inherit(&mut self, set: &mut SetBuilder<'a>) -> Result<()> {
        let keyword = self.tok_span();
        self.bump();
        let mut source = None;
        let mut height = 0;
        if self.tok.kind == Tok::LParen {
            let open = self.tok_span();
            self.bump();
            let expr = self.expr()?;
            height = self.height;
            self.expect_close(Tok::RParen, "')'", open, "the parenthesis")?;
            source = Some(set.add_source(expr));
        }
        let mut names = Vec::new();
        loop {
            let span = self.tok_span();
            let (name, span) = match self.tok.kind {
                Tok::Semicolon => break,
                Tok::Eof if self.bare_bindings => break,
                Tok::Id | Tok::OrKw => {
                    let name = self.symbols.intern(self.text(self.tok));
                    self.bump();
                    (name, span)
                }
                Tok::Quote | Tok::DollarCurly => match self.attr_name()? {
                    AttrName::Static(name, span) => (name, span),
                    AttrName::Dynamic(_) => {
                        let span = self.span_from(span.start);
                        return Err(SyntaxError::new(SyntaxErrorKind::DynamicInherit, span)
                            .hint("write a binding: '${name} = set.${name};'"));
                    }
                },
                _ => {
                    let error = self.unexpected("", "a name or ';' after 'inherit'");
                    return Err(match self.tok.kind {
                        Tok::Comma => {
                            error.hint("inherited names are separated by blanks, not by commas")
                        }
                        Tok::Dot => error.hint(
                            "to inherit from a set, put it in parentheses: 'inherit (set) name;'",
                        ),
                        _ => error.note(keyword, "the 'inherit' is here"),
                    });
                }
            };
            names.push((name, span));
        }
        for (name, span) in names {
            self.add_inherit(set, name, span, source)?;
        }
        self.bump();
        self.height = height;
        Ok(())
    }

    fn add_inherit(
        &mut self,
        set: &mut SetBuilder<'a>,
        name: Symbol,
        span: Span,
        source: Option<u32>,
    ) -> Result<()> {
        let kind = match source {
            Some(source) => BindingKind::InheritFrom(source),
            None => BindingKind::Inherit(self.alloc(Expr {
                span,
                kind: ExprKind::Var(name),
            })),
        };
        self.add_inherited(set, name, span, kind)
    }

    /// Reads `a."b".${c}` onto the stack of paths. The height becomes that of the highest computed name, if that is
    /// more than it was.
    pub(super) fn attr_path(&mut self) -> Result<()> {
        loop {
            let name = self.attr_name()?;
            self.path.push(name);
            if self.tok.kind != Tok::Dot {
                return Ok(());
            }
            self.bump();
        }
    }

    fn attr_name(&mut self) -> Result<AttrName<'a>> {
        let span = self.tok_span();
        let before = self.height;
        let expr = match self.tok.kind {
            Tok::Id | Tok::OrKw => {
                let name = self.symbols.intern(self.text(self.tok));
                self.bump();
                return Ok(AttrName::Static(name, span));
            }
            Tok::Quote => {
                self.height = 0;
                match self.quoted()? {
                    Text::Plain(name) => {
                        let name = self.symbols.intern(name);
                        return Ok(self.static_name(name, span, before));
                    }
                    Text::Parts(parts) => Expr {
                        span: self.span_from(span.start),
                        kind: ExprKind::Interpolation(parts),
                    },
                }
            }
            Tok::DollarCurly => {
                self.bump();
                let expr = self.expr()?;
                self.expect_close(Tok::RBrace, "'}'", span, "the interpolation")?;
                // Nix takes a string constant for a static name, however it is written.
                if let ExprKind::Str(name) = expr.kind {
                    let name = self.symbols.intern(name);
                    return Ok(self.static_name(name, span, before));
                }
                expr
            }
            Tok::If
            | Tok::Then
            | Tok::Else
            | Tok::Assert
            | Tok::With
            | Tok::Let
            | Tok::In
            | Tok::Rec
            | Tok::Inherit => {
                let word = String::from_utf8_lossy(self.text(self.tok)).into_owned();
                return Err(self
                    .unexpected(ATTR_NAME, "the name of an attribute")
                    .hint(format!("a keyword as a name needs quotes: '\"{word}\"'")));
            }
            _ => return Err(self.unexpected(ATTR_NAME, "the name of an attribute")),
        };
        self.height = before.max(self.height);
        Ok(AttrName::Dynamic(self.alloc(expr)))
    }

    fn static_name(&mut self, name: Symbol, span: Span, height: u32) -> AttrName<'a> {
        self.height = height;
        AttrName::Static(name, self.span_from(span.start))
    }
}
