//! From the syntax tree to [`crate::code`]: every variable becomes a slot, a constant, or a lookup in `with` sets.
//!
//! Recursion here follows the syntax tree, whose height the parser bounds.

mod attrs;
mod demand;
mod lambda;
mod places;
mod scope;

use std::cell::Cell;

use xbuild_syntax::ast::{AttrName, BinaryOp, Expr, ExprKind};
use xbuild_syntax::span::Span;
use xbuild_syntax::symbol::{Symbol, Symbols};

use crate::Evaluator;
use crate::code::{
    AssertCode, BinaryCode, Code, CodeRef, IfCode, NameCode, Operator, SelectCode, WithScope,
};
use crate::error::{EvalError, Result};
use crate::heap::Heap;
use crate::parse_ahead::Named;
use crate::position::{Base, Pos};
use crate::value::{Value, ValueKind};
use scope::{Place, Scope};

/// Compiles a whole text. `names` are variables around it (of `scopedImport`), which [`Program::instantiate`] sets.
/// The symbols of `expr` are those of `own`, if it was parsed with a table of its own.
///
/// # Errors
///
/// If a variable is nowhere, even one that would never be used.
pub(crate) fn compile(
    ev: &mut Evaluator,
    expr: &Expr<'_>,
    base: Base,
    names: &[Symbol],
    own: Option<&Symbols>,
) -> Result<Program> {
    let own = own.map(|symbols| {
        // In the order in which a parser would have met them.
        let known = symbols.names().iter().map(|name| ev.symbols.intern(name));
        (symbols, known.collect())
    });
    let mut compiler = Compiler {
        ev,
        base,
        own,
        scope: Scope::default(),
        undefined: None,
        named: Named::default(),
        functions: 0,
        nesting: 0,
    };
    let owned = compiler.scope.enter_frame();
    for &name in names {
        let place = compiler.scope.new_slot();
        compiler.scope.bind(name, place);
    }
    let code = compiler.strict(expr);
    let frame_size = compiler.scope.leave_frame(owned);
    if let Some((name, pos)) = compiler.undefined {
        return Err(EvalError::new(
            pos,
            format!("undefined variable '{}'", compiler.ev.shown_symbol(name)),
        ));
    }
    let code = compiler.place_code(code);
    let named = compiler.named;
    ev.parse_ahead(named);
    Ok(Program { code, frame_size })
}

/// A compiled text.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    /// Runs in a frame without an outer one.
    pub(crate) code: CodeRef,
    /// How many slots that frame needs; the first are those of the given names.
    pub(crate) frame_size: u32,
}

/// How many levels of a tree are between two looks at the stack.
const LEVELS: u32 = 32;
/// How much stack that many levels take at most, and how much is taken when less is left.
const STACK_RED_ZONE: usize = 256 << 10;
const STACK_CHUNK: usize = 2 << 20;

struct Compiler<'e> {
    ev: &'e mut Evaluator,
    base: Base,
    /// The table of the symbols in the tree, if it is not the evaluator's, and the evaluator's symbol for each of them.
    own: Option<(&'e Symbols, Vec<Symbol>)>,
    scope: Scope,
    /// The first variable that is nowhere.
    undefined: Option<(Symbol, Pos)>,
    /// The files that are named so far.
    named: Named,
    /// How many functions are around. In them, code runs more than once, and makes a list or set of its own each time: whether
    /// two are one shows where they are printed.
    functions: u32,
    /// How deep in the tree the expression is that is being compiled.
    nesting: u32,
}

impl Compiler<'_> {
    fn pos(&self, span: Span) -> Pos {
        self.base.pos(span)
    }

    /// The evaluator's symbol for one in the tree.
    #[inline]
    fn symbol(&self, symbol: Symbol) -> Symbol {
        match &self.own {
            None => symbol,
            Some((_, known)) => known[symbol.0 as usize],
        }
    }

    fn place_code(&self, code: Code) -> CodeRef {
        self.ev.heap.alloc_code(code)
    }

    /// Code that runs as part of the code around it.
    fn strict(&mut self, expr: &Expr<'_>) -> Code {
        self.expr(expr, None)
    }

    fn strict_ref(&mut self, expr: &Expr<'_>) -> CodeRef {
        let code = self.strict(expr);
        self.place_code(code)
    }

    /// Code that is delayed. `name` is what the value is bound to, if anything.
    fn delayed(&mut self, expr: &Expr<'_>, name: Option<Symbol>) -> CodeRef {
        let owned = self.scope.set_owns_frame(false);
        let code = self.expr(expr, name);
        self.scope.set_owns_frame(owned);
        self.place_code(code)
    }

    /// As [`Compiler::delayed`], for what is only delayed and never run in place: elements and attributes.
    fn member(&mut self, expr: &Expr<'_>, name: Option<Symbol>) -> CodeRef {
        let owned = self.scope.set_owns_frame(false);
        let code = self.expr(expr, name);
        self.scope.set_owns_frame(owned);
        self.place_code(self.unevaluated(expr, code))
    }

    /// A constant that the language leaves unevaluated until it is used, as messages show, in place of its value. Of the
    /// others (numbers, plain strings, variables) the value is known at once.
    fn unevaluated(&self, expr: &Expr<'_>, code: Code) -> Code {
        let heap = self.ev.heap;
        match (&expr.kind, &code) {
            (ExprKind::List([]), _) => code,
            (
                ExprKind::Int(_)
                | ExprKind::Float(_)
                | ExprKind::Str(_)
                | ExprKind::Path(_)
                | ExprKind::Var(_),
                _,
            ) => code,
            (_, Code::Const(_)) => {
                let thunk = heap.thunk(self.place_code(code), heap.env(None, 0));
                Code::Const(Value::from(thunk))
            }
            _ => code,
        }
    }

    /// Compiles what needs slots: in the innermost frame if the code owns it, otherwise in a new one.
    fn in_frame(&mut self, compile: impl FnOnce(&mut Self) -> Code) -> Code {
        if self.scope.owns_frame() {
            return compile(self);
        }
        let owned = self.scope.enter_frame();
        let body = compile(self);
        let size = self.scope.leave_frame(owned);
        Code::Frame {
            size,
            body: self.place_code(body),
        }
    }

    /// An expression. Trees are high where programs wrote them, so now and then there is a look at the stack, here and when the code runs.
    fn expr(&mut self, expr: &Expr<'_>, name: Option<Symbol>) -> Code {
        self.nesting += 1;
        let code = if self.nesting.is_multiple_of(LEVELS) {
            let code =
                stacker::maybe_grow(STACK_RED_ZONE, STACK_CHUNK, || self.expr_here(expr, name));
            match code {
                Code::Const(_) | Code::Local { .. } | Code::Outer { .. } | Code::Lambda(_) => code,
                code => Code::Deep {
                    body: self.place_code(code),
                    pos: self.pos(expr.span),
                },
            }
        } else {
            self.expr_here(expr, name)
        };
        self.nesting -= 1;
        code
    }

    fn expr_here(&mut self, expr: &Expr<'_>, name: Option<Symbol>) -> Code {
        let heap = self.ev.heap;
        let pos = self.pos(expr.span);
        match &expr.kind {
            ExprKind::Int(int) => Code::Const(Value::int(heap, *int)),
            ExprKind::Float(float) => Code::Const(Value::float(heap, *float)),
            ExprKind::Str(bytes) => Code::Const(Value::string(heap, bytes)),
            ExprKind::Path(bytes) => Code::Const(Value::path(heap, bytes)),
            ExprKind::SearchPath(name) => self.search_path(name, pos),
            ExprKind::Interpolation(parts) => Code::Interpolation {
                parts: self.parts(parts),
            },
            ExprKind::PathInterpolation(parts) => Code::PathInterpolation {
                parts: self.parts(parts),
                pos,
            },
            ExprKind::Var(name) => self.variable(self.symbol(*name), pos),
            ExprKind::CurPos => Code::CurPos(pos),
            ExprKind::Select {
                subject,
                path,
                default,
            } => self.select(subject, path, *default, pos),
            ExprKind::HasAttr { subject, path } => {
                let subject = self.strict_ref(subject);
                Code::HasAttr {
                    subject,
                    path: self.attr_path(path, pos),
                }
            }
            ExprKind::Attrs(attrs) => self.attrs(attrs),
            ExprKind::List(elements) => self.list(elements),
            ExprKind::Lambda(lambda) => Code::Lambda(self.lambda(lambda, name, pos)),
            ExprKind::Call { fun, args } => {
                let fun = self.strict_ref(fun);
                for arg in *args {
                    if let ExprKind::Path(path) = arg.kind {
                        self.named.argument(path);
                    }
                }
                let args: Vec<CodeRef> = args.iter().map(|arg| self.delayed(arg, None)).collect();
                Code::Call {
                    fun,
                    args: heap.alloc_slice(&args),
                    pos: self.call_pos(expr),
                }
            }
            ExprKind::Let { attrs, body } => self.in_frame(|this| this.let_in(attrs, body)),
            ExprKind::With { scope, body } => self.in_frame(|this| {
                let scope = this.delayed(scope, None);
                let place = this.scope.new_slot();
                this.scope.push_with(place, this.pos(expr.span));
                let body = this.strict_ref(body);
                this.scope.pop_with();
                Code::Let {
                    bindings: heap.alloc_slice(&[(place.slot, scope)]),
                    body,
                }
            }),
            ExprKind::If {
                cond,
                then,
                otherwise,
            } => {
                let cond = self.strict_ref(cond);
                let then = self.strict_ref(then);
                let otherwise = self.strict_ref(otherwise);
                Code::If(heap.alloc_code(IfCode {
                    cond,
                    pos,
                    then,
                    otherwise,
                }))
            }
            ExprKind::Assert { cond, body } => {
                let symbols = self.own.as_ref().map_or(&self.ev.symbols, |(own, _)| own);
                let text = xbuild_syntax::print::show(cond, symbols);
                let code = AssertCode {
                    cond: self.strict_ref(cond),
                    pos,
                    text: heap.alloc_slice(&text),
                    body: self.strict_ref(body),
                };
                Code::Assert(heap.alloc_code(code))
            }
            ExprKind::Not(operand) => {
                let pos = self.own_pos(operand);
                Code::Not {
                    operand: self.strict_ref(operand),
                    pos,
                }
            }
            ExprKind::Negate(operand) => self.negate(operand, pos),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, pos),
        }
    }

    /// `<name>` is `__findFile __nixPath "name"`, and a program may have variables of these names.
    fn search_path(&mut self, name: &[u8], pos: Pos) -> Code {
        let heap = self.ev.heap;
        if self.is_shadowed("__findFile").is_none() && self.is_shadowed("__nixPath").is_none() {
            return Code::SearchPath {
                name: heap.alloc_slice(name),
                pos,
            };
        }
        let find_file = self.ev.symbols.intern(b"__findFile");
        let nix_path = self.ev.symbols.intern(b"__nixPath");
        let fun = self.variable(find_file, pos);
        let path = self.variable(nix_path, pos);
        let args = [
            self.place_code(path),
            self.place_code(Code::Const(Value::string(heap, name))),
        ];
        Code::Call {
            fun: self.place_code(fun),
            args: heap.alloc_slice(&args),
            pos,
        }
    }

    fn parts(&mut self, parts: &[Expr<'_>]) -> &'static [(CodeRef, Pos)] {
        let parts: Vec<(CodeRef, Pos)> = parts
            .iter()
            .map(|part| (self.strict_ref(part), self.part_pos(part)))
            .collect();
        self.ev.heap.alloc_slice(&parts)
    }

    /// Where a part of a string is: an interpolation begins at its `${`, which is a little before the expression.
    fn part_pos(&self, part: &Expr<'_>) -> Pos {
        const NEAR: usize = 32;
        let pos = self.pos(part.span);
        if matches!(part.kind, ExprKind::Str(_)) {
            return pos;
        }
        let Some((source, start)) = self.ev.positions.resolve(pos) else {
            return pos;
        };
        let start = start as usize;
        let text = self.ev.sources.text(source);
        let before = text.get(start.saturating_sub(NEAR)..start);
        let pairs = before.unwrap_or_default().windows(2).rev();
        match pairs.zip(2..).find(|(pair, _)| *pair == b"${") {
            Some((_, back)) => self.pos(Span {
                start: part.span.start - back,
                ..part.span
            }),
            None => pos,
        }
    }

    fn slot_code(&self, place: Place, pos: Pos) -> Code {
        match self.scope.depth(place) {
            0 => Code::Local {
                slot: place.slot,
                pos,
            },
            depth => Code::Outer {
                depth,
                slot: place.slot,
                pos,
            },
        }
    }

    fn variable(&mut self, name: Symbol, pos: Pos) -> Code {
        if let Some(place) = self.scope.lookup(name) {
            return self.slot_code(place, pos);
        }
        if let Some(&value) = self.ev.globals.get(&name) {
            // A constant that is computed on demand stays a thunk, in a set, and is selected from it.
            return match value.known() {
                Some(value) => Code::Const(value),
                None => {
                    let builtins = self.place_code(Code::Const(self.ev.builtins));
                    let name = self.ev.plain_builtin_name(name);
                    Code::Select {
                        subject: builtins,
                        name,
                        pos,
                        hint: Cell::new(0),
                    }
                }
            };
        }
        let scopes: Vec<WithScope> = self
            .scope
            .withs()
            .map(|(depth, slot, pos)| WithScope {
                depth,
                slot,
                pos,
                hint: Cell::new(0),
                missing_in: Cell::new(0),
            })
            .collect();
        if scopes.is_empty() {
            self.undefined.get_or_insert((name, pos));
            return Code::Const(Value::NULL);
        }
        Code::With {
            name,
            scopes: self.ev.heap.alloc_vec(scopes),
            pos,
        }
    }

    fn list(&mut self, elements: &[Expr<'_>]) -> Code {
        for element in elements {
            if let ExprKind::Path(path) = element.kind {
                self.named.element(path);
            }
        }
        let codes: Vec<CodeRef> = elements
            .iter()
            .map(|element| self.member(element, None))
            .collect();
        let constants: Option<Vec<Value>> = codes.iter().map(|code| constant(code)).collect();
        match constants {
            Some(values) if values.is_empty() || self.functions == 0 => {
                Code::Const(self.ev.list(&values))
            }
            _ => Code::List(self.ev.heap.alloc_slice(&codes)),
        }
    }

    fn attr_path(&mut self, path: &[AttrName<'_>], pos: Pos) -> &'static [NameCode] {
        let names = path
            .iter()
            .map(|name| match name {
                AttrName::Static(name, _) => {
                    NameCode::Static(self.symbol(*name), pos, Cell::new(0))
                }
                AttrName::Dynamic(expr) => {
                    let own = self.own_pos(expr);
                    match self.strict(expr) {
                        Code::Const(value)
                            if value
                                .as_string()
                                .is_some_and(|name| name.context().is_none()) =>
                        {
                            let name = value
                                .as_string()
                                .map(crate::string::Str::bytes)
                                .unwrap_or_default();
                            NameCode::Static(self.ev.symbols.intern(name), pos, Cell::new(0))
                        }
                        code => NameCode::Dynamic(self.place_code(code), own, pos),
                    }
                }
            })
            .collect();
        self.ev.heap.alloc_vec(names)
    }

    fn select(
        &mut self,
        subject: &Expr<'_>,
        path: &[AttrName<'_>],
        default: Option<&Expr<'_>>,
        pos: Pos,
    ) -> Code {
        let subject = self.strict(subject);
        if let [AttrName::Static(name, _)] = path {
            let name = self.symbol(*name);
            if let Some(value) = known_attr(self.ev.heap, &subject, name) {
                return Code::Const(value);
            }
            if default.is_none() {
                return Code::Select {
                    subject: self.place_code(subject),
                    name,
                    pos,
                    hint: Cell::new(0),
                };
            }
        }
        // Of undefined variables, one in the default is told first.
        let default = default.map(|default| self.strict_ref(default));
        let code = SelectCode {
            subject: self.place_code(subject),
            path: self.attr_path(path, pos),
            default,
            pos,
        };
        Code::SelectPath(self.ev.heap.alloc_code(code))
    }

    /// Whether a program has a variable of its own where an operator would look one up.
    fn is_shadowed(&mut self, name: &str) -> Option<Symbol> {
        let name = self.ev.symbols.get(name.as_bytes())?;
        self.scope.lookup(name).map(|_| name)
    }

    fn negate(&mut self, operand: &Expr<'_>, pos: Pos) -> Code {
        let zero = Value::int(self.ev.heap, 0);
        if let Some(name) = self.is_shadowed("__sub") {
            let fun = self.variable(name, pos);
            let args = [
                self.place_code(Code::Const(zero)),
                self.delayed(operand, None),
            ];
            return Code::Call {
                fun: self.place_code(fun),
                args: self.ev.heap.alloc_slice(&args),
                pos,
            };
        }
        let operand = self.strict(operand);
        if let Code::Const(value) = operand
            && let Some(negated) = value.as_int().and_then(i64::checked_neg)
        {
            return Code::Const(Value::int(self.ev.heap, negated));
        }
        let left = self.place_code(Code::Const(zero));
        let right = self.place_code(operand);
        Code::Binary(self.ev.heap.alloc_code(BinaryCode {
            op: Operator::Sub,
            left,
            right,
            pos,
            operands: [pos, pos],
        }))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr<'_>, right: &Expr<'_>, pos: Pos) -> Code {
        if let Some(name) = op
            .resolves_through_scope()
            .and_then(|name| self.is_shadowed(name))
        {
            let fun = self.variable(name, pos);
            let args = match op {
                BinaryOp::Greater | BinaryOp::LessEq => {
                    [self.delayed(right, None), self.delayed(left, None)]
                }
                _ => [self.delayed(left, None), self.delayed(right, None)],
            };
            let call = Code::Call {
                fun: self.place_code(fun),
                args: self.ev.heap.alloc_slice(&args),
                pos,
            };
            return if matches!(op, BinaryOp::LessEq | BinaryOp::GreaterEq) {
                Code::Not {
                    operand: self.place_code(call),
                    pos,
                }
            } else {
                call
            };
        }
        let op = match op {
            BinaryOp::Add => Operator::Add,
            BinaryOp::Sub => Operator::Sub,
            BinaryOp::Mul => Operator::Mul,
            BinaryOp::Div => Operator::Div,
            BinaryOp::Eq => Operator::Eq,
            BinaryOp::NotEq => Operator::NotEq,
            BinaryOp::Less => Operator::Less,
            BinaryOp::LessEq => Operator::LessEq,
            BinaryOp::Greater => Operator::Greater,
            BinaryOp::GreaterEq => Operator::GreaterEq,
            BinaryOp::And => Operator::And,
            BinaryOp::Or => Operator::Or,
            BinaryOp::Implies => Operator::Implies,
            BinaryOp::Update => Operator::Update,
            BinaryOp::Concat => Operator::Concat,
        };
        let operands = match op {
            Operator::Add => self.operands_pos(left, right, pos),
            _ => [self.own_pos(left), self.own_pos(right)],
        };
        // `a > b` is `b < a`, also where names are looked up: the first that is nowhere is told.
        let (left, right) = if matches!(op, Operator::Greater | Operator::LessEq) {
            let right = self.strict_ref(right);
            (self.strict_ref(left), right)
        } else {
            (self.strict_ref(left), self.strict_ref(right))
        };
        Code::Binary(self.ev.heap.alloc_code(BinaryCode {
            op,
            left,
            right,
            pos,
            operands,
        }))
    }
}

/// The value of code that is one.
fn constant(code: &Code) -> Option<Value> {
    match code {
        Code::Const(value) => Some(*value),
        _ => None,
    }
}

/// The attribute of a constant set, if its value is known (`builtins.map`).
fn known_attr(heap: Heap, subject: &Code, name: Symbol) -> Option<Value> {
    let value = constant(subject)?.as_attrs()?.value(name)?.known()?;
    Some(match value.kind() {
        // Each place that selects a function has one of its own, as the identity shows in comparisons of lists.
        ValueKind::Builtin(builtin) => Value::from(heap.alloc(*builtin)),
        _ => value,
    })
}
