//! Functions and their formals.

use super::{Parser, Result};
use crate::ast::{Expr, ExprKind, Formal, Formals, Lambda};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::lexer::{Tok, Token};
use crate::span::Span;
use crate::symbol::Symbol;

/// Formals as they were read.
struct Parsed<'a> {
    formals: Formals<'a>,
    /// The height of the highest default.
    height: u32,
    /// The error of the first name that stands twice.
    duplicate: Option<SyntaxError>,
}

// The symbols of what a function binds are made when Nix makes them, since attributes are evaluated in the order of their symbols
// where nothing else decides: that of a name for the argument after the body, that of a formal after its default.
impl<'a> Parser<'a, '_> {
    pub(super) fn simple_lambda(&mut self) -> Result<Expr<'a>> {
        let arg = self.tok;
        self.bump();
        self.bump();
        self.lambda_body(arg.start, Some(arg), None)
    }

    /// `name @ { … }: body`
    pub(super) fn named_formals_lambda(&mut self) -> Result<Expr<'a>> {
        let name = self.tok;
        self.bump();
        self.bump();
        if self.tok.kind != Tok::LBrace {
            return Err(self.unexpected("'{'", "'{' and the formals of the function"));
        }
        self.formals_lambda(Some(name))
    }

    /// Whether the `{` that comes next opens the formals of a function.
    pub(super) fn at_formals(&mut self) -> bool {
        let first = self.lexer.lex(self.tok.end as usize);
        match first.kind {
            Tok::Ellipsis => true,
            Tok::Id => {
                let second = self.lexer.skip_trivia(first.end as usize);
                matches!(self.lexer.byte(second), b',' | b'?' | b'}')
            }
            Tok::RBrace => {
                let second = self.lexer.skip_trivia(first.end as usize);
                matches!(self.lexer.byte(second), b':' | b'@')
            }
            _ => false,
        }
    }

    pub(super) fn formals_lambda(&mut self, name: Option<Token>) -> Result<Expr<'a>> {
        let open = self.tok_span();
        let start = name.map_or(open.start, |name| name.start);
        self.bump();
        let formals = self.formals(open)?;
        let mut arg = name;
        if self.tok.kind == Tok::At && arg.is_none() {
            self.bump();
            if self.tok.kind != Tok::Id {
                return Err(self.unexpected("identifier", "a name for the whole argument"));
            }
            arg = Some(self.tok);
            self.bump();
        }
        if self.tok.kind != Tok::Colon {
            return Err(if arg.is_some() {
                self.unexpected("':'", "':' and the body of the function")
            } else {
                self.unexpected("':' or '@'", "':' or '@' after the formals of a function")
            }
            .note(open, "the formals are opened here"));
        }
        self.bump();
        self.lambda_body(start, arg, Some(formals))
    }

    fn lambda_body(
        &mut self,
        start: u32,
        arg: Option<Token>,
        formals: Option<Parsed<'a>>,
    ) -> Result<Expr<'a>> {
        let body = self.expr()?;
        let span = self.span_from(start);
        let mut height = self.height;
        let arg = arg.map(|token| {
            let name = self.symbols.intern(self.text(token));
            (name, self.span(token.start, token.end))
        });
        let formals = match formals {
            None => None,
            Some(parsed) => {
                // As Nix does, names are compared when the function is complete.
                if let Some(error) = parsed.duplicate {
                    return Err(error);
                }
                if let Some((name, span)) = arg
                    && let Some(formal) = parsed.formals.formals.iter().find(|f| f.name == name)
                {
                    return Err(self.duplicate_formal(name, span, formal.span));
                }
                height = height.max(parsed.height);
                Some(parsed.formals)
            }
        };
        self.set_height(height + 1, span)?;
        let body = self.alloc(body);
        let arg = arg.map(|(name, _)| name);
        let lambda = self.arena.alloc(Lambda { arg, formals, body });
        Ok(Expr {
            span,
            kind: ExprKind::Lambda(lambda),
        })
    }

    /// The formals after `{`, with the `}`.
    fn formals(&mut self, open: Span) -> Result<Parsed<'a>> {
        let mut formals: Vec<Formal<'a>> = Vec::new();
        let mut seen = rustc_hash::FxHashMap::default();
        let mut ellipsis = false;
        let mut height = 0;
        let mut duplicate = None;
        loop {
            match self.tok.kind {
                Tok::Id => {}
                Tok::Ellipsis => {
                    self.bump();
                    ellipsis = true;
                    if self.tok.kind != Tok::RBrace {
                        let error = self.unclosed_or("'}'", "'}'", open, "the list of formals");
                        return Err(if self.tok.kind == Tok::Comma {
                            error.hint("'...' must be the last formal")
                        } else {
                            error
                        });
                    }
                    break;
                }
                Tok::RBrace => break,
                _ => {
                    return Err(self.unclosed_or(
                        "identifier or '...' or '}'",
                        "the name of a formal, '...' or '}'",
                        open,
                        "the list of formals",
                    ));
                }
            }
            let span = self.tok_span();
            let text = self.text(self.tok);
            self.bump();
            let default = if self.tok.kind == Tok::Question {
                self.bump();
                let default = self.expr()?;
                height = height.max(self.height);
                Some(self.alloc(default))
            } else {
                None
            };
            let name = self.symbols.intern(text);
            if let Some(first) = seen.insert(name, span)
                && duplicate.is_none()
            {
                duplicate = Some(self.duplicate_formal(name, span, first));
            }
            formals.push(Formal {
                name,
                span,
                default,
            });
            match self.tok.kind {
                Tok::Comma => self.bump(),
                Tok::RBrace => break,
                Tok::Assign => {
                    return Err(self
                        .unclosed_or("'}' or ','", "',' or '}'", open, "the list of formals")
                        .hint("a default is written with '?': '{ name ? value }'"));
                }
                Tok::Id => {
                    return Err(self
                        .unclosed_or("'}' or ','", "',' or '}'", open, "the list of formals")
                        .hint("formals are separated by commas"));
                }
                _ => {
                    return Err(self.unclosed_or(
                        "'}' or ','",
                        "',' or '}'",
                        open,
                        "the list of formals",
                    ));
                }
            }
        }
        self.bump();
        let formals = Formals {
            formals: self.arena.alloc_slice_copy(&formals),
            ellipsis,
        };
        Ok(Parsed {
            formals,
            height,
            duplicate,
        })
    }

    fn duplicate_formal(&self, name: Symbol, span: Span, first: Span) -> SyntaxError {
        let name = String::from_utf8_lossy(self.symbols.name(name)).into_owned();
        SyntaxError::new(SyntaxErrorKind::DuplicateFormal(name), span)
            .note(first, "the first one is here")
    }
}
