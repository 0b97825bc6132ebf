//! Prints trees as `nix-instantiate --parse` does: operators in parentheses, names in order, paths resolved.
//!
//! The result is meant for comparing. It is not always an expression of the language again: floating-point numbers
//! are rounded to six digits, and an interpolated path is shown as a sum.

use crate::ast::{AttrName, Attrs, BinaryOp, BindingKind, Expr, ExprKind, Formals};
use crate::lexer::is_identifier;
use crate::parser::with_stack;
use crate::symbol::{Symbol, Symbols};

/// The text of `expr`.
#[must_use]
pub fn show(expr: &Expr<'_>, symbols: &Symbols) -> Vec<u8> {
    let mut printer = Printer {
        symbols,
        out: Vec::new(),
    };
    printer.expr(expr);
    printer.out
}

/// The text of an attribute path: `a."b c"."${d}"`.
#[must_use]
pub fn attr_path(path: &[AttrName<'_>], symbols: &Symbols) -> Vec<u8> {
    let mut printer = Printer {
        symbols,
        out: Vec::new(),
    };
    printer.attr_path(path);
    printer.out
}

/// Appends `text` as a string literal, with the escapes that Nix prints.
pub fn string_literal(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (i, &c) in text.iter().enumerate() {
        match c {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', c]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'$' if text.get(i + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            c => out.push(c),
        }
    }
    out.push(b'"');
}

/// Appends a name, in quotes if it would not read as one. `or` goes without, as in Nix.
pub fn identifier(name: &[u8], out: &mut Vec<u8>) {
    const KEYWORDS: [&[u8]; 9] = [
        b"if", b"then", b"else", b"assert", b"with", b"let", b"in", b"rec", b"inherit",
    ];
    if is_identifier(name) && !KEYWORDS.contains(&name) {
        out.extend_from_slice(name);
    } else {
        string_literal(name, out);
    }
}

/// Appends a number as C++ streams print it: `%g`, six significant digits.
pub fn float(value: f64, out: &mut Vec<u8>) {
    const DIGITS: i32 = 6;
    if !value.is_finite() {
        let text = if value.is_nan() { "nan" } else { "inf" };
        if value.is_sign_negative() {
            out.push(b'-');
        }
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> String {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    let text = if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        trim(&format!("{value:.decimals$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    };
    out.extend_from_slice(text.as_bytes());
}

struct Printer<'s> {
    symbols: &'s Symbols,
    out: Vec<u8>,
}

impl Printer<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, name: Symbol) {
        identifier(self.symbols.name(name), &mut self.out);
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        with_stack(|| self.expr_inner(expr));
    }

    fn expr_inner(&mut self, expr: &Expr<'_>) {
        match expr.kind {
            ExprKind::Int(value) => self.text(&value.to_string()),
            ExprKind::Float(value) => float(value, &mut self.out),
            ExprKind::Str(text) => string_literal(text, &mut self.out),
            ExprKind::Path(path) => self.out.extend_from_slice(path),
            ExprKind::Var(name) => self.name(name),
            ExprKind::CurPos => self.text("__curPos"),
            ExprKind::Interpolation(parts) | ExprKind::PathInterpolation(parts) => {
                self.text("(");
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        self.text(" + ");
                    }
                    self.expr(part);
                }
                self.text(")");
            }
            ExprKind::Select {
                subject,
                path,
                default,
            } => {
                self.text("(");
                self.expr(subject);
                self.text(").");
                self.attr_path(path);
                if let Some(default) = default {
                    self.text(" or (");
                    self.expr(default);
                    self.text(")");
                }
            }
            ExprKind::HasAttr { subject, path } => {
                self.text("((");
                self.expr(subject);
                self.text(") ? ");
                self.attr_path(path);
                self.text(")");
            }
            ExprKind::Attrs(attrs) => {
                if attrs.recursive {
                    self.text("rec ");
                }
                self.text("{ ");
                self.bindings(attrs);
                self.text("}");
            }
            ExprKind::List(elements) => {
                self.text("[ ");
                for element in elements {
                    self.text("(");
                    self.expr(element);
                    self.text(") ");
                }
                self.text("]");
            }
            ExprKind::Lambda(lambda) => {
                self.text("(");
                if let Some(formals) = &lambda.formals {
                    self.formals(formals);
                    if lambda.arg.is_some() {
                        self.text(" @ ");
                    }
                }
                if let Some(arg) = lambda.arg {
                    self.name(arg);
                }
                self.text(": ");
                self.expr(lambda.body);
                self.text(")");
            }
            ExprKind::Call { .. } | ExprKind::SearchPath(_) | ExprKind::Negate(_) => {
                self.call(expr);
            }
            ExprKind::Let { attrs, body } => {
                self.text("(let ");
                self.bindings(attrs);
                self.text("in ");
                self.expr(body);
                self.text(")");
            }
            ExprKind::With { scope, body } => {
                self.text("(with ");
                self.expr(scope);
                self.text("; ");
                self.expr(body);
                self.text(")");
            }
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => {
                self.text("(if ");
                self.expr(cond);
                self.text(" then ");
                self.expr(then);
                self.text(" else ");
                self.expr(otherwise);
                self.text(")");
            }
            ExprKind::Assert { cond, body } => {
                self.text("assert ");
                self.expr(cond);
                self.text("; ");
                self.expr(body);
            }
            ExprKind::Not(operand) => {
                self.text("(! ");
                self.expr(operand);
                self.text(")");
            }
            ExprKind::Binary { op, left, right } => {
                let text = match op {
                    BinaryOp::Add => "+",
                    BinaryOp::Eq => "==",
                    BinaryOp::NotEq => "!=",
                    BinaryOp::And => "&&",
                    BinaryOp::Or => "||",
                    BinaryOp::Implies => "->",
                    BinaryOp::Update => "//",
                    BinaryOp::Concat => "++",
                    BinaryOp::LessEq | BinaryOp::GreaterEq => {
                        self.text("(! ");
                        self.call(expr);
                        return self.text(")");
                    }
                    _ => return self.call(expr),
                };
                self.text("(");
                self.expr(left);
                self.text(" ");
                self.text(text);
                self.text(" ");
                self.expr(right);
                self.text(")");
            }
        }
    }

    /// A call, or an operator that Nix makes a call of. Nix adds the arguments of `(f a) b` to those of `f a`.
    fn call(&mut self, expr: &Expr<'_>) {
        let mut applied = Vec::new();
        let mut head = expr;
        while let ExprKind::Call { fun, args } = head.kind {
            applied.push(args);
            head = fun;
            // The argument `or` of `f or` starts a call of its own.
            if !joins(args, fun, self.symbols) {
                break;
            }
        }
        self.text("(");
        match head.kind {
            _ if applied
                .last()
                .is_some_and(|args| !joins(args, head, self.symbols)) =>
            {
                self.expr(head);
            }
            ExprKind::SearchPath(path) => {
                self.text("__findFile __nixPath ");
                string_literal(path, &mut self.out);
            }
            ExprKind::Negate(operand) => {
                self.text("__sub 0 ");
                self.expr(operand);
            }
            ExprKind::Binary { op, left, right } => {
                if let Some(function) = op.resolves_through_scope() {
                    self.text(function);
                }
                let swapped = matches!(op, BinaryOp::Greater | BinaryOp::LessEq);
                let (first, second) = if swapped {
                    (right, left)
                } else {
                    (left, right)
                };
                self.text(" ");
                self.expr(first);
                self.text(" ");
                self.expr(second);
            }
            _ => self.expr(head),
        }
        for args in applied.iter().rev() {
            for arg in *args {
                self.text(" ");
                self.expr(arg);
            }
        }
        self.text(")");
    }

    fn attr_path(&mut self, path: &[AttrName<'_>]) {
        for (i, name) in path.iter().enumerate() {
            if i > 0 {
                self.text(".");
            }
            match name {
                AttrName::Static(name, _) => self.name(*name),
                AttrName::Dynamic(name) => {
                    self.text("\"${");
                    self.expr(name);
                    self.text("}\"");
                }
            }
        }
    }

    fn bindings(&mut self, attrs: &Attrs<'_>) {
        let mut sorted: Vec<_> = attrs.bindings.iter().collect();
        sorted.sort_unstable_by_key(|binding| self.symbols.name(binding.name));
        let mut inherited = sorted
            .iter()
            .filter(|binding| matches!(binding.kind, BindingKind::Inherit(_)))
            .peekable();
        if inherited.peek().is_some() {
            self.text("inherit");
            for binding in inherited {
                self.text(" ");
                self.name(binding.name);
            }
            self.text("; ");
        }
        let mut from: Vec<_> = sorted
            .iter()
            .filter_map(|binding| match binding.kind {
                BindingKind::InheritFrom(source) => Some((source, binding.name)),
                _ => None,
            })
            .collect();
        from.sort_by_key(|&(source, _)| source);
        for group in from.chunk_by(|a, b| a.0 == b.0) {
            self.text("inherit (");
            self.expr(&attrs.inherit_sources[group[0].0 as usize]);
            self.text(")");
            for &(_, name) in group {
                self.text(" ");
                self.name(name);
            }
            self.text("; ");
        }
        for binding in sorted {
            if let BindingKind::Plain(value) = binding.kind {
                self.name(binding.name);
                self.text(" = ");
                self.expr(value);
                self.text("; ");
            }
        }
        for binding in attrs.dynamic {
            self.text("\"${");
            self.expr(binding.name);
            self.text("}\" = ");
            self.expr(binding.value);
            self.text("; ");
        }
    }

    fn formals(&mut self, formals: &Formals<'_>) {
        self.text("{ ");
        let mut sorted: Vec<_> = formals.formals.iter().collect();
        sorted.sort_unstable_by_key(|formal| self.symbols.name(formal.name));
        for (i, formal) in sorted.iter().enumerate() {
            if i > 0 {
                self.text(", ");
            }
            self.name(formal.name);
            if let Some(default) = formal.default {
                self.text(" ? ");
                self.expr(default);
            }
        }
        if formals.ellipsis {
            if !sorted.is_empty() {
                self.text(", ");
            }
            self.text("...");
        }
        self.text(" }");
    }
}

/// Whether Nix adds `args` to the call `fun` instead of making a new one: where `fun` is a call, unless it is applied
/// to the legacy variable `or`.
fn joins(args: &[Expr<'_>], fun: &Expr<'_>, symbols: &Symbols) -> bool {
    let legacy_or = matches!(args, [Expr { kind: ExprKind::Var(name), .. }, ..] if symbols.name(*name) == b"or");
    let is_call = match fun.kind {
        ExprKind::Call { .. } | ExprKind::SearchPath(_) | ExprKind::Negate(_) => true,
        ExprKind::Binary { op, .. } => {
            op.resolves_through_scope().is_some()
                && !matches!(op, BinaryOp::LessEq | BinaryOp::GreaterEq)
        }
        _ => false,
    };
    is_call && !legacy_or
}

#[cfg(test)]
mod tests {
    fn float(value: f64) -> String {
        let mut out = Vec::new();
        super::float(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn floats_have_six_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.5, "1e+06"),
            (0.0001, "0.0001"),
            (0.000_012_345_678, "1.23457e-05"),
            (1.5e300, "1.5e+300"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
