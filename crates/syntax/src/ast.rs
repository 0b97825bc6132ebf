//! The syntax tree of the Nix language, as the parser leaves it.
//!
//! The tree lives in a [`bumpalo::Bump`] and is thrown away once the evaluator has compiled it. The parser has
//! already merged attribute paths (`a.b = 1; a.c = 2;`), rejected duplicates, resolved the whitespace rule of indented
//! strings and ordered formals; it has *not* resolved variables.

use crate::span::Span;
use crate::symbol::Symbol;

/// An expression with the place it came from.
#[derive(Debug, Clone, Copy)]
pub struct Expr<'a> {
    /// Where an error about this expression points.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind<'a>,
}

/// The forms of an expression.
#[derive(Debug, Clone, Copy)]
pub enum ExprKind<'a> {
    /// `42`
    Int(i64),
    /// `4.2`
    Float(f64),
    /// A string without interpolation; Nix strings are bytes. URIs are strings too.
    Str(&'a [u8]),
    /// A path without interpolation: absolute and canonical (relative and home paths are resolved by the parser).
    Path(&'a [u8]),
    /// `<nixpkgs/lib>`: the text between the angle brackets.
    SearchPath(&'a [u8]),
    /// `"a${b}c"`, also indented: the parts are [`ExprKind::Str`] or arbitrary expressions.
    Interpolation(&'a [Expr<'a>]),
    /// `./a/${b}`: the first part is [`ExprKind::Path`].
    PathInterpolation(&'a [Expr<'a>]),
    /// A variable.
    Var(Symbol),
    /// `__curPos`
    CurPos,
    /// `subject.path` or `subject.path or default`.
    Select {
        /// Where the attribute is looked for.
        subject: &'a Expr<'a>,
        /// The attribute path, never empty.
        path: &'a [AttrName<'a>],
        /// What follows `or`.
        default: Option<&'a Expr<'a>>,
    },
    /// `subject ? path`
    HasAttr {
        /// Where the attribute is looked for.
        subject: &'a Expr<'a>,
        /// The attribute path, never empty.
        path: &'a [AttrName<'a>],
    },
    /// `{ … }` or `rec { … }`
    Attrs(&'a Attrs<'a>),
    /// `[ … ]`
    List(&'a [Expr<'a>]),
    /// `x: body`, `{ a, b ? c, ... } @ x: body`
    Lambda(&'a Lambda<'a>),
    /// `fun a b c`
    Call {
        /// What is called.
        fun: &'a Expr<'a>,
        /// The arguments, at least one.
        args: &'a [Expr<'a>],
    },
    /// `let … in body`; the attributes are never dynamic.
    Let {
        /// The bindings.
        attrs: &'a Attrs<'a>,
        /// What the value is.
        body: &'a Expr<'a>,
    },
    /// `with scope; body`
    With {
        /// The set that names are looked up in.
        scope: &'a Expr<'a>,
        /// What the value is.
        body: &'a Expr<'a>,
    },
    /// `if … then … else …`
    If {
        /// The condition.
        cond: &'a Expr<'a>,
        /// The value when it is true.
        then: &'a Expr<'a>,
        /// The value when it is false.
        otherwise: &'a Expr<'a>,
    },
    /// `assert cond; body`
    Assert {
        /// The condition.
        cond: &'a Expr<'a>,
        /// What the value is.
        body: &'a Expr<'a>,
    },
    /// `!x`
    Not(&'a Expr<'a>),
    /// `-x`: `__sub 0 x`; see [`BinaryOp::resolves_through_scope`].
    Negate(&'a Expr<'a>),
    /// A binary operator. The span of the expression is that of the operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The operand before it.
        left: &'a Expr<'a>,
        /// The operand after it.
        right: &'a Expr<'a>,
    },
}

/// Binary operators. Pipes (`|>`, `<|`) are already calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `==`
    Eq,
    /// `!=`
    NotEq,
    /// `<`
    Less,
    /// `<=`
    LessEq,
    /// `>`
    Greater,
    /// `>=`
    GreaterEq,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `->`
    Implies,
    /// `//`
    Update,
    /// `++`
    Concat,
}

impl BinaryOp {
    /// The variable that Nix looks up for this operator (`a - b` is `__sub a b`, and a program may shadow `__sub`),
    /// or `None` where the operator is built into the language.
    #[must_use]
    pub fn resolves_through_scope(self) -> Option<&'static str> {
        match self {
            Self::Sub => Some("__sub"),
            Self::Mul => Some("__mul"),
            Self::Div => Some("__div"),
            Self::Less | Self::LessEq | Self::Greater | Self::GreaterEq => Some("__lessThan"),
            _ => None,
        }
    }
}

/// One component of an attribute path.
#[derive(Debug, Clone, Copy)]
pub enum AttrName<'a> {
    /// `a`, `"a"`
    Static(Symbol, Span),
    /// `${a}`, `"a${b}"`
    Dynamic(&'a Expr<'a>),
}

/// The bindings of an attribute set or a `let`.
#[derive(Debug, Clone, Copy)]
pub struct Attrs<'a> {
    /// `rec { … }` (always true for `let`).
    pub recursive: bool,
    /// Static bindings, each name once, in the order of first appearance.
    pub bindings: &'a [Binding<'a>],
    /// The sources of `inherit (source) …`; [`BindingKind::InheritFrom`] points into them.
    pub inherit_sources: &'a [Expr<'a>],
    /// Bindings whose name is computed.
    pub dynamic: &'a [DynamicBinding<'a>],
    /// The whole set.
    pub span: Span,
}

/// `name = value;` or an inherited name.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The name.
    pub name: Symbol,
    /// The place of the name, which `unsafeGetAttrPos` tells.
    pub span: Span,
    /// Where the value comes from.
    pub kind: BindingKind<'a>,
}

/// Where the value of a binding comes from.
#[derive(Debug, Clone, Copy)]
pub enum BindingKind<'a> {
    /// `name = value;`
    Plain(&'a Expr<'a>),
    /// `inherit name;`: looked up in the scope around the set. The expression is the variable.
    Inherit(&'a Expr<'a>),
    /// `inherit (source) name;`: the index into [`Attrs::inherit_sources`], which are evaluated once per set.
    InheritFrom(u32),
}

/// `${name} = value;`
#[derive(Debug, Clone, Copy)]
pub struct DynamicBinding<'a> {
    /// The name: must evaluate to a string, or to null, which leaves the binding out.
    pub name: &'a Expr<'a>,
    /// The value.
    pub value: &'a Expr<'a>,
    /// The place of the name.
    pub span: Span,
}

/// A function.
#[derive(Debug, Clone, Copy)]
pub struct Lambda<'a> {
    /// The parameter's name: `x: …`, or that of `{ … } @ x: …`.
    pub arg: Option<Symbol>,
    /// The formals of `{ a, b ? c }: …`.
    pub formals: Option<Formals<'a>>,
    /// The body.
    pub body: &'a Expr<'a>,
}

/// The formals of a function.
#[derive(Debug, Clone, Copy)]
pub struct Formals<'a> {
    /// In the order they are written; each name once.
    pub formals: &'a [Formal<'a>],
    /// Whether `...` allows others.
    pub ellipsis: bool,
}

/// One formal.
#[derive(Debug, Clone, Copy)]
pub struct Formal<'a> {
    /// Its name.
    pub name: Symbol,
    /// The place of the name.
    pub span: Span,
    /// The value it has when the caller gives none.
    pub default: Option<&'a Expr<'a>>,
}
