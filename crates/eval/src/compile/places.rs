//! The places that errors and traces tell of expressions, where stock Nix has others than that where the expression begins.

use xbuild_syntax::ast::{Expr, ExprKind};
use xbuild_syntax::span::Span;

use super::Compiler;
use crate::position::Pos;

/// How many levels down a place is looked for: each of many nested expressions asks.
const FARTHEST: usize = 32;

impl Compiler<'_> {
    /// Where a call is: one of what a call gives is where that is.
    pub(super) fn call_pos(&self, expr: &Expr<'_>) -> Pos {
        let mut innermost = expr;
        for _ in 0..FARTHEST {
            match innermost.kind {
                ExprKind::Call { fun, .. } if matches!(fun.kind, ExprKind::Call { .. }) => {
                    innermost = fun;
                }
                _ => break,
            }
        }
        self.pos(innermost.span)
    }

    /// The place that stock Nix knows of an expression: literals have none.
    pub(super) fn own_pos(&self, expr: &Expr<'_>) -> Pos {
        let mut expr = expr;
        for _ in 0..FARTHEST {
            expr = match &expr.kind {
                ExprKind::List([first, ..]) => first,
                ExprKind::HasAttr { subject, .. } => subject,
                ExprKind::Not(operand) => operand,
                _ => break,
            };
        }
        match &expr.kind {
            ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Path(_)
            | ExprKind::CurPos
            | ExprKind::List([])
            | ExprKind::Let { .. } => Pos::NONE,
            ExprKind::Interpolation(_) => {
                // Behind the quote, unless it is that of an indented string.
                let pos = self.pos(expr.span);
                let found = self.ev.positions.resolve(pos);
                let quote = found.and_then(|(source, start)| {
                    self.ev.sources.text(source).get(start as usize).copied()
                });
                self.pos(Span {
                    start: expr.span.start + u32::from(quote == Some(b'"')),
                    ..expr.span
                })
            }
            ExprKind::Call { .. } => self.call_pos(expr),
            // `let { body = …; }`
            ExprKind::Select { subject, .. }
                if matches!(subject.kind, ExprKind::Attrs(_))
                    && subject.span.start == expr.span.start
                    && subject.span.end == expr.span.end =>
            {
                Pos::NONE
            }
            _ => self.pos(expr.span),
        }
    }

    /// Where the operands of a sum are, with the brackets around them.
    pub(super) fn operands_pos(&self, left: &Expr<'_>, right: &Expr<'_>, pos: Pos) -> [Pos; 2] {
        let inner = [self.pos(left.span), self.pos(right.span)];
        let Some((source, operator)) = self.ev.positions.resolve(pos) else {
            return inner;
        };
        let Some((_, first)) = self.ev.positions.resolve(inner[0]) else {
            return inner;
        };
        let text = self.ev.sources.text(source);
        let (first, operator) = (first as usize, operator as usize);
        let after = operator + 1;
        let right_start = after + blanks(text.get(after..).unwrap_or_default());
        let mut left_start = first;
        if text
            .get(..first)
            .unwrap_or_default()
            .trim_ascii_end()
            .last()
            == Some(&b'(')
        {
            let end = first + (left.span.end - left.span.start) as usize;
            let mut rest = text.get(end..operator).unwrap_or_default();
            while let [byte, after @ ..] = rest {
                if *byte == b')' {
                    let before = text[..left_start].trim_ascii_end();
                    if before.last() == Some(&b'(') {
                        left_start = before.len() - 1;
                    }
                }
                rest = match blanks(rest) {
                    0 => after,
                    blanks => &rest[blanks..],
                };
            }
        }
        let at = |start: usize| {
            let back = left.span.start as i64 - first as i64;
            self.pos(Span {
                start: (start as i64 + back) as u32,
                ..left.span
            })
        };
        [at(left_start), at(right_start)]
    }
}

/// How long the blanks and comments are that a text begins with.
fn blanks(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let end = match rest {
            [b'#', ..] => memchr::memchr(b'\n', rest),
            [b'/', b'*', ..] => memchr::memmem::find(&rest[2..], b"*/").map(|at| at + 4),
            _ => None,
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return text.len() - rest.len(),
        }
    }
}
