//! Keyword expressions, operators, application, selection and simple expressions.

use super::{Parser, Result};
use crate::ast::{AttrName, BinaryOp, Expr, ExprKind};
use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::lexer::Tok;
use crate::span::Span;

/// How tight the operators bind, as in the manual (there counted the other way round).
mod level {
    pub(super) const IMPLIES: u8 = 1;
    pub(super) const OR: u8 = 2;
    pub(super) const AND: u8 = 3;
    pub(super) const EQUAL: u8 = 4;
    pub(super) const COMPARE: u8 = 5;
    pub(super) const UPDATE: u8 = 6;
    pub(super) const NOT: u8 = 7;
    pub(super) const ADD: u8 = 8;
    pub(super) const MULTIPLY: u8 = 9;
    pub(super) const CONCAT: u8 = 10;
    pub(super) const HAS_ATTR: u8 = 11;
    pub(super) const NEGATE: u8 = 12;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assoc {
    Left,
    Right,
    None,
}

fn binary_op(kind: Tok) -> Option<(BinaryOp, u8, Assoc)> {
    use Assoc::{Left, Right};
    Some(match kind {
        Tok::Implies => (BinaryOp::Implies, level::IMPLIES, Right),
        Tok::Or => (BinaryOp::Or, level::OR, Left),
        Tok::And => (BinaryOp::And, level::AND, Left),
        Tok::Eq => (BinaryOp::Eq, level::EQUAL, Assoc::None),
        Tok::NotEq => (BinaryOp::NotEq, level::EQUAL, Assoc::None),
        Tok::Less => (BinaryOp::Less, level::COMPARE, Assoc::None),
        Tok::LessEq => (BinaryOp::LessEq, level::COMPARE, Assoc::None),
        Tok::Greater => (BinaryOp::Greater, level::COMPARE, Assoc::None),
        Tok::GreaterEq => (BinaryOp::GreaterEq, level::COMPARE, Assoc::None),
        Tok::Update => (BinaryOp::Update, level::UPDATE, Right),
        Tok::Plus => (BinaryOp::Add, level::ADD, Left),
        Tok::Minus => (BinaryOp::Sub, level::ADD, Left),
        Tok::Star => (BinaryOp::Mul, level::MULTIPLY, Left),
        Tok::Slash => (BinaryOp::Div, level::MULTIPLY, Left),
        Tok::Concat => (BinaryOp::Concat, level::CONCAT, Right),
        _ => return None,
    })
}

fn operator_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Eq => "==",
        BinaryOp::NotEq => "!=",
        BinaryOp::Less => "<",
        BinaryOp::LessEq => "<=",
        BinaryOp::Greater => ">",
        _ => ">=",
    }
}

impl<'a> Parser<'a, '_> {
    /// Any expression.
    pub(super) fn expr(&mut self) -> Result<Expr<'a>> {
        self.nested(Self::expr_function)
    }

    fn expr_function(&mut self) -> Result<Expr<'a>> {
        match self.tok.kind {
            Tok::Id => match self.peek_byte() {
                b':' => self.simple_lambda(),
                b'@' => self.named_formals_lambda(),
                _ => self.pipes(),
            },
            Tok::LBrace => {
                if self.at_formals() {
                    self.formals_lambda(None)
                } else {
                    self.pipes()
                }
            }
            Tok::If => self.if_else(),
            Tok::Assert | Tok::With => self.assert_or_with(),
            Tok::Let if self.peek_byte() != b'{' => self.let_in(),
            _ => self.pipes(),
        }
    }

    fn if_else(&mut self) -> Result<Expr<'a>> {
        let keyword = self.tok_span();
        self.bump();
        let cond = self.expr()?;
        let mut height = self.height;
        if self.tok.kind != Tok::Then {
            let error = self
                .unexpected("'then'", "'then'")
                .note(keyword, "the 'if' is here");
            return Err(if self.tok.kind == Tok::Assign {
                error.hint("equality is '=='")
            } else {
                error
            });
        }
        self.bump();
        let then = self.expr()?;
        height = height.max(self.height);
        if self.tok.kind != Tok::Else {
            return Err(self
                .unexpected("'else'", "'else'")
                .note(keyword, "the 'if' is here")
                .hint("every 'if' needs an 'else': it is an expression and must have a value"));
        }
        self.bump();
        let otherwise = self.expr()?;
        height = height.max(self.height);
        let span = self.span_from(keyword.start);
        self.set_height(height + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::If {
                cond: self.alloc(cond),
                then: self.alloc(then),
                otherwise: self.alloc(otherwise),
            },
        })
    }

    fn assert_or_with(&mut self) -> Result<Expr<'a>> {
        let keyword = self.tok_span();
        let is_with = self.tok.kind == Tok::With;
        self.bump();
        let first = self.expr()?;
        let height = self.height;
        if self.tok.kind != Tok::Semicolon {
            let (expected, note) = if is_with {
                ("';' after the scope of 'with'", "the 'with' is here")
            } else {
                (
                    "';' after the condition of 'assert'",
                    "the 'assert' is here",
                )
            };
            return Err(self.unexpected("';'", expected).note(keyword, note));
        }
        self.bump();
        let body = self.expr()?;
        let span = self.span_from(keyword.start);
        self.set_height(height.max(self.height) + 1, span)?;
        let (first, body) = (self.alloc(first), self.alloc(body));
        let kind = if is_with {
            ExprKind::With { scope: first, body }
        } else {
            ExprKind::Assert { cond: first, body }
        };
        Ok(Expr { span, kind })
    }

    fn let_in(&mut self) -> Result<Expr<'a>> {
        let keyword = self.tok_span();
        self.bump();
        let mut set = self.new_set(true);
        self.bindings(&mut set, Tok::In, keyword)?;
        let attrs_height = self.height;
        let dynamic = set.first_dynamic();
        let attrs = self.freeze(set, self.span(keyword.start, self.tok.end));
        self.bump();
        let body = self.expr()?;
        // Whatever is wrong in the body is told first.
        if let Some(span) = dynamic {
            return Err(SyntaxError::new(SyntaxErrorKind::DynamicLet, keyword)
                .note(span, "this name is computed")
                .hint("bind a set instead, and select from it: 'let s = { ${name} = …; }; in s.${name}'"));
        }
        let span = self.span_from(keyword.start);
        self.set_height(attrs_height.max(self.height) + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::Let {
                attrs,
                body: self.alloc(body),
            },
        })
    }

    /// Operators, and the pipes, which bind least.
    fn pipes(&mut self) -> Result<Expr<'a>> {
        let start = self.tok.start;
        let mut left = self.operators(0)?;
        match self.tok.kind {
            Tok::PipeInto if self.features.pipe_operators => {
                while self.tok.kind == Tok::PipeInto {
                    let height = self.height;
                    self.bump();
                    let fun = self.nested(|p| p.operators(0))?;
                    left = self.call(start, fun, left, height)?;
                }
                // What is mixed with the other pipe is left to the caller, to whom it is no part of an expression.
                Ok(left)
            }
            Tok::PipeFrom if self.features.pipe_operators => {
                let mut chain = vec![(start, left, self.height)];
                while self.tok.kind == Tok::PipeFrom {
                    self.bump();
                    let start = self.tok.start;
                    let next = self.nested(|p| p.operators(0))?;
                    chain.push((start, next, self.height));
                }
                let mut value = None;
                while let Some((start, fun, height)) = chain.pop() {
                    value = Some(match value {
                        None => {
                            self.height = height;
                            fun
                        }
                        Some(arg) => self.call(start, fun, arg, height)?,
                    });
                }
                value.ok_or_else(|| self.unexpected("", "an expression"))
            }
            _ => Ok(left),
        }
    }

    /// `fun arg`, where one was parsed last and the other has the height `other`.
    fn call(&mut self, start: u32, fun: Expr<'a>, arg: Expr<'a>, other: u32) -> Result<Expr<'a>> {
        let span = self.span_from(start);
        self.set_height(self.height.max(other) + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::Call {
                fun: self.alloc(fun),
                args: self.arena.alloc_slice_copy(&[arg]),
            },
        })
    }

    /// Operators that bind at least as tight as `min`.
    fn operators(&mut self, min: u8) -> Result<Expr<'a>> {
        let start = self.tok.start;
        let mut left = match self.tok.kind {
            Tok::Not => {
                self.bump();
                // `!` binds less than `+` but may be its right operand: then it takes the rest of the sum.
                let operand = self.nested(|p| p.operators(level::NOT + 1))?;
                let span = self.span_from(start);
                self.set_height(self.height + 1, span)?;
                Expr {
                    span,
                    kind: ExprKind::Not(self.alloc(operand)),
                }
            }
            Tok::Minus => {
                self.bump();
                let operand = self.nested(|p| p.operators(level::NEGATE + 1))?;
                let span = self.span_from(start);
                self.set_height(self.height + 1, span)?;
                Expr {
                    span,
                    kind: ExprKind::Negate(self.alloc(operand)),
                }
            }
            _ => self.application()?,
        };
        let mut comparison = 0;
        loop {
            if self.tok.kind == Tok::Question {
                if level::HAS_ATTR < min {
                    return Ok(left);
                }
                left = self.has_attr(start, left)?;
                continue;
            }
            let Some((op, level, assoc)) = binary_op(self.tok.kind) else {
                return Ok(left);
            };
            if level < min {
                return Ok(left);
            }
            if assoc == Assoc::None {
                if comparison == level {
                    return Err(self.chained_comparison(op));
                }
                comparison = level;
            }
            let span = self.tok_span();
            self.bump();
            let left_height = self.height;
            let right_min = if assoc == Assoc::Right {
                level
            } else {
                level + 1
            };
            let right = self.nested(|p| p.operators(right_min))?;
            self.set_height(left_height.max(self.height) + 1, span)?;
            left = Expr {
                span,
                kind: ExprKind::Binary {
                    op,
                    left: self.alloc(left),
                    right: self.alloc(right),
                },
            };
        }
    }

    fn chained_comparison(&self, op: BinaryOp) -> SyntaxError {
        let text = operator_text(op);
        SyntaxError::new(SyntaxErrorKind::NotAssociative(text), self.tok_span())
            .hint("use parentheses, or '&&' between two comparisons")
    }

    fn has_attr(&mut self, start: u32, subject: Expr<'a>) -> Result<Expr<'a>> {
        let mut height = self.height;
        self.bump();
        let mark = self.path.len();
        self.height = 0;
        self.attr_path()?;
        height = height.max(self.height);
        let path = self.take_path(mark);
        let span = self.span_from(start);
        self.set_height(height + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::HasAttr {
                subject: self.alloc(subject),
                path,
            },
        })
    }

    pub(super) fn take_path(&mut self, mark: usize) -> &'a [AttrName<'a>] {
        let path = self.arena.alloc_slice_copy(&self.path[mark..]);
        self.path.truncate(mark);
        path
    }

    /// Whether the next token begins a simple expression.
    fn at_simple(&self) -> bool {
        matches!(
            self.tok.kind,
            Tok::Id
                | Tok::Int
                | Tok::Float
                | Tok::Path
                | Tok::HomePath
                | Tok::SearchPath
                | Tok::Uri
                | Tok::Quote
                | Tok::IndentedQuote
                | Tok::LParen
                | Tok::LBrace
                | Tok::LBracket
                | Tok::Rec
                | Tok::Let
        )
    }

    /// `fun a b c`
    fn application(&mut self) -> Result<Expr<'a>> {
        let start = self.tok.start;
        let fun = self.selection()?;
        if !self.at_simple() {
            return Ok(fun);
        }
        let mut height = self.height;
        let mark = self.exprs.len();
        while self.at_simple() {
            let arg = self.selection()?;
            self.warn_of_or(&arg);
            height = height.max(self.height);
            self.exprs.push(arg);
        }
        let args = self.take_exprs(mark);
        let span = self.span_from(start);
        self.set_height(height + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::Call {
                fun: self.alloc(fun),
                args,
            },
        })
    }

    pub(super) fn take_exprs(&mut self, mark: usize) -> &'a [Expr<'a>] {
        let exprs = self.arena.alloc_slice_copy(&self.exprs[mark..]);
        self.exprs.truncate(mark);
        exprs
    }

    /// `a`, `a.b.c`, `a.b or c`, and `a or`: a call with the variable `or`, which nixpkgs once had as a function.
    fn selection(&mut self) -> Result<Expr<'a>> {
        let start = self.tok.start;
        let subject = self.simple()?;
        match self.tok.kind {
            Tok::Dot => {}
            Tok::OrKw => {
                let or = Expr {
                    // Where the call is, as Nix has it.
                    span: self.span(start, self.tok.end),
                    kind: ExprKind::Var(self.names.or),
                };
                self.bump();
                return self.call(start, subject, or, 0);
            }
            _ => return Ok(subject),
        }
        let mut height = self.height;
        self.bump();
        let mark = self.path.len();
        self.height = 0;
        self.attr_path()?;
        height = height.max(self.height);
        let path = self.take_path(mark);
        let default = if self.tok.kind == Tok::OrKw {
            self.bump();
            let default = self.nested(Self::selection)?;
            self.warn_of_or(&default);
            height = height.max(self.height);
            Some(self.alloc(default))
        } else {
            None
        };
        let span = self.span_from(start);
        self.set_height(height + 1, span)?;
        Ok(Expr {
            span,
            kind: ExprKind::Select {
                subject: self.alloc(subject),
                path,
                default,
            },
        })
    }

    fn simple(&mut self) -> Result<Expr<'a>> {
        self.height = 0;
        let token = self.tok;
        let open = self.tok_span();
        let kind = match token.kind {
            Tok::Id => {
                let text = self.text(token);
                self.bump();
                if text == b"__curPos" {
                    ExprKind::CurPos
                } else {
                    ExprKind::Var(self.symbols.intern(text))
                }
            }
            Tok::Int => self.integer()?,
            Tok::Float => self.float()?,
            Tok::Quote => self.string()?,
            Tok::IndentedQuote => self.indented_string()?,
            Tok::Path | Tok::HomePath => self.path_literal()?,
            Tok::SearchPath => {
                let text = self.text(token);
                self.bump();
                ExprKind::SearchPath(&text[1..text.len() - 1])
            }
            Tok::Uri => {
                let text = self.text(token);
                self.lint_url(text)?;
                self.bump();
                ExprKind::Str(text)
            }
            Tok::LParen => {
                self.bump();
                let expr = self.expr()?;
                self.expect_close(Tok::RParen, "')'", open, "the parenthesis")?;
                return Ok(expr);
            }
            Tok::LBracket => {
                self.bump();
                self.list(open)?
            }
            Tok::LBrace => {
                self.bump();
                self.set(false, token.start, open)?
            }
            Tok::Rec => {
                self.bump();
                let open = self.tok_span();
                self.expect(Tok::LBrace, "'{'", "'{' after 'rec'")?;
                self.set(true, token.start, open)?
            }
            Tok::Let if self.peek_byte() == b'{' => {
                // `let { …; body = …; }` is `(rec { …; body = …; }).body`.
                self.bump();
                let open = self.tok_span();
                self.bump();
                let kind = self.set(true, token.start, open)?;
                let span = self.span_from(token.start);
                self.set_height(self.height + 1, span)?;
                ExprKind::Select {
                    subject: self.alloc(Expr { span, kind }),
                    path: self
                        .arena
                        .alloc_slice_copy(&[AttrName::Static(self.names.body, span)]),
                    default: None,
                }
            }
            Tok::Let => {
                // As an operand, `let` can only be the old form.
                self.bump();
                return Err(self
                    .unexpected("'{'", "'{' after a 'let' that is an operand or argument")
                    .note(open, "the 'let' is here")
                    .hint("an operand or argument that begins with 'let' needs parentheses: '(let …)'"));
            }
            _ => return Err(self.unexpected("", "an expression")),
        };
        Ok(Expr {
            span: self.span_from(token.start),
            kind,
        })
    }

    /// The elements after `[`, with the `]`.
    fn list(&mut self, open: Span) -> Result<ExprKind<'a>> {
        let mark = self.exprs.len();
        let mut height = 0;
        while self.tok.kind != Tok::RBracket {
            if !self.at_simple() {
                let error = self.unclosed_or("", "an element of the list or ']'", open, "the list");
                return Err(match self.tok.kind {
                    Tok::Comma => {
                        error.hint("the elements of a list are separated by blanks, not by commas")
                    }
                    _ if !error.has_hint()
                        && (binary_op(self.tok.kind).is_some() || self.tok.kind == Tok::Not) =>
                    {
                        error.hint(
                            "an element that is an operation needs parentheses: '[ (a + b) ]'",
                        )
                    }
                    _ => error,
                });
            }
            let element = self.nested(Self::selection)?;
            self.warn_of_or(&element);
            height = height.max(self.height);
            self.exprs.push(element);
        }
        self.bump();
        let elements = self.take_exprs(mark);
        self.set_height(height + 1, open)?;
        Ok(ExprKind::List(elements))
    }
}
