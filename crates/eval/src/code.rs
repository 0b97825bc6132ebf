//! Compiled expressions: variables are slots, known builtins are constants.
//!
//! Code is made once per file by [`crate::compile`], lives as long as the process, and is run by the interpreter. A
//! *frame* is the [`crate::heap::Env`] of one function call: the arguments and all the `let`s, recursive sets and
//! `with`s that are evaluated as part of the call itself have slots in it. A delayed expression that needs slots makes a
//! frame of its own ([`Code::Frame`]).

use std::cell::Cell;

use xbuild_syntax::symbol::Symbol;

use crate::position::Pos;
use crate::value::Value;

/// A reference to code.
pub type CodeRef = &'static Code;

/// An expression.
pub enum Code {
    /// A value known at compile time; never a thunk.
    Const(Value),
    /// A slot of the innermost frame.
    Local {
        /// The slot.
        slot: u32,
        /// Where the variable is used.
        pos: Pos,
    },
    /// A slot of the frame `depth` levels out (at least 1).
    Outer {
        /// How many frames out.
        depth: u32,
        /// The slot.
        slot: u32,
        /// Where the variable is used.
        pos: Pos,
    },
    /// A name that is only found in the sets of the surrounding `with`s, innermost first.
    With {
        /// The name.
        name: Symbol,
        /// The sets.
        scopes: &'static [WithScope],
        /// Where the variable is used.
        pos: Pos,
    },
    /// A fresh frame of so many slots, and the expression in it.
    Frame {
        /// The slots.
        size: u32,
        /// The expression.
        body: CodeRef,
    },
    /// Sets slots of the innermost frame to delayed values, in order, then goes on.
    Let {
        /// The slots and their values.
        bindings: &'static [(u32, CodeRef)],
        /// The rest.
        body: CodeRef,
    },
    /// `subject.name`
    Select {
        /// The set.
        subject: CodeRef,
        /// The name.
        name: Symbol,
        /// Where the name is.
        pos: Pos,
        /// Where it was found last, for [`crate::attrs::Attrs::get_hinted`].
        hint: Cell<u32>,
    },
    /// `subject.path` with several or computed names, or with a default.
    SelectPath(&'static SelectCode),
    /// `subject ? path`
    HasAttr {
        /// The set.
        subject: CodeRef,
        /// The names.
        path: &'static [NameCode],
    },
    /// `{ … }`
    Attrs(&'static AttrsCode),
    /// `[ … ]`, not empty
    List(&'static [CodeRef]),
    /// A function.
    Lambda(&'static LambdaCode),
    /// `fun args…`
    Call {
        /// The function.
        fun: CodeRef,
        /// Its arguments, at least one.
        args: &'static [CodeRef],
        /// Where the call is.
        pos: Pos,
    },
    /// `if`
    If(&'static IfCode),
    /// `assert`
    Assert(&'static AssertCode),
    /// `!`
    Not {
        /// The operand.
        operand: CodeRef,
        /// Where the operator is.
        pos: Pos,
    },
    /// A binary operator.
    Binary(&'static BinaryCode),
    /// `"…${…}…"`
    Interpolation {
        /// The parts, at least one, and where each is.
        parts: &'static [(CodeRef, Pos)],
    },
    /// `./…${…}…`: the first part is a path constant.
    PathInterpolation {
        /// The parts.
        parts: &'static [(CodeRef, Pos)],
        /// Where the path is.
        pos: Pos,
    },
    /// `<name>`
    SearchPath {
        /// The text between the angle brackets.
        name: &'static [u8],
        /// Where it is.
        pos: Pos,
    },
    /// `__curPos`
    CurPos(Pos),
    /// An expression so deep in a tree that there is a look at the stack before it.
    Deep {
        /// The expression.
        body: CodeRef,
        /// Where it is.
        pos: Pos,
    },
    /// An argument whose evaluation failed already; the error is [`crate::eval::Evaluator`]'s `failed`.
    Failed,
}

/// The set of a `with`, as one use of a name sees it.
pub struct WithScope {
    /// Frames out.
    pub depth: u32,
    /// The slot.
    pub slot: u32,
    /// Where the `with` is.
    pub pos: Pos,
    /// Where the name was found last, for [`crate::attrs::Attrs::get_hinted`].
    pub hint: Cell<u32>,
    /// The address of the set in which the name was missing last.
    pub missing_in: Cell<usize>,
}

/// `subject.path or default`
pub struct SelectCode {
    /// The set.
    pub subject: CodeRef,
    /// The names.
    pub path: &'static [NameCode],
    /// What to take where a name is missing.
    pub default: Option<CodeRef>,
    /// Where the expression is.
    pub pos: Pos,
}

/// One name of an attribute path.
pub enum NameCode {
    /// Known: the name, where it is, and where it was found last, for [`crate::attrs::Attrs::get_hinted`].
    Static(Symbol, Pos, Cell<u32>),
    /// To be computed: by code, where that is, and where the path is.
    Dynamic(CodeRef, Pos, Pos),
}

/// `{ … }`
pub struct AttrsCode {
    /// The static attributes, sorted by symbol.
    pub attrs: &'static [AttrCode],
    /// Slots to be set first (the sources of `inherit (…)`), in order.
    pub slots: &'static [(u32, CodeRef)],
    /// The attributes whose names are computed.
    pub dynamic: &'static [DynamicAttrCode],
    /// `rec { __overrides = …; }`: attributes of that set replace the others.
    pub overrides: bool,
    /// Where the set is.
    pub pos: Pos,
}

/// `name = value;`
pub struct AttrCode {
    /// The name.
    pub name: Symbol,
    /// Where it is.
    pub pos: Pos,
    /// The slot that the value is to be put into as well (of a recursive set).
    pub slot: Option<u32>,
    /// The value.
    pub value: CodeRef,
}

/// `${name} = value;`
pub struct DynamicAttrCode {
    /// The name.
    pub name: CodeRef,
    /// Where it is.
    pub pos: Pos,
    /// The value.
    pub value: CodeRef,
}

/// A function.
pub struct LambdaCode {
    /// The name of the attribute or variable it was bound to, for messages.
    pub name: Option<Symbol>,
    /// Where it is.
    pub pos: Pos,
    /// How many slots a call needs; of a function whose body is a function, how many the frame of that has.
    pub frame_size: u32,
    /// How many functions of one parameter are directly around this one (in `a: b: c: …` it is 2 for the last). They share
    /// a frame: their parameters are in the slots before that of this one, and the environment of the closure is a
    /// frame of just those.
    pub outer_params: u32,
    /// The parameter. It is in slot `outer_params`, as is the `args` of `{ … } @ args`.
    pub arg: Option<Symbol>,
    /// The parameter that the body evaluates first of all, if there is one.
    pub demanded: Option<Demanded>,
    /// The formals.
    pub formals: Option<FormalsCode>,
    /// The body.
    pub body: Body,
}

impl LambdaCode {
    /// If this is the outer one of two functions (`a: b: …`): the inner one, and its body.
    #[inline]
    #[must_use]
    pub fn two(&self) -> Option<(&'static Self, CodeRef)> {
        match self.body {
            Body::Lambda(inner) if self.outer_params == 0 => match inner.body {
                Body::Code(body) => Some((inner, body)),
                Body::Lambda(_) => None,
            },
            _ => None,
        }
    }

    /// Which of `count` arguments a call evaluates before it does anything else.
    #[inline]
    #[must_use]
    pub fn demanded_of(&self, count: usize) -> Option<usize> {
        let Demanded { slot, params } = self.demanded?;
        let missing = params - self.outer_params;
        let index = slot.checked_sub(self.outer_params)?;
        (count >= missing as usize).then_some(index as usize)
    }
}

/// A parameter that a call evaluates first of all, of this function or of one that it shares the frame with.
#[derive(Clone, Copy)]
pub struct Demanded {
    /// Its slot.
    pub slot: u32,
    /// How many parameters the frame has, which all must be there for a call.
    pub params: u32,
}

/// What a function does with its argument.
#[derive(Clone, Copy)]
pub enum Body {
    /// Evaluates an expression.
    Code(CodeRef),
    /// Becomes another function, which shares the frame.
    Lambda(&'static LambdaCode),
}

/// The formals of a function.
pub struct FormalsCode {
    /// Sorted by symbol; their slots are consecutive, from [`FormalsCode::first_slot`].
    pub formals: &'static [FormalCode],
    /// The slot of the first.
    pub first_slot: u32,
    /// Whether others are allowed.
    pub ellipsis: bool,
}

/// One formal.
pub struct FormalCode {
    /// The name.
    pub name: Symbol,
    /// Where it is.
    pub pos: Pos,
    /// Its default.
    pub default: Option<CodeRef>,
}

/// `if cond then … else …`
pub struct IfCode {
    /// The condition.
    pub cond: CodeRef,
    /// Where the `if` is.
    pub pos: Pos,
    /// If true.
    pub then: CodeRef,
    /// If false.
    pub otherwise: CodeRef,
}

/// `assert cond; body`
pub struct AssertCode {
    /// The condition.
    pub cond: CodeRef,
    /// Where the `assert` is.
    pub pos: Pos,
    /// The condition's text, for the message.
    pub text: &'static [u8],
    /// The rest.
    pub body: CodeRef,
}

/// `left op right`
pub struct BinaryCode {
    /// The operator; those that a program can shadow are calls where it does.
    pub op: Operator,
    /// The left operand.
    pub left: CodeRef,
    /// The right operand.
    pub right: CodeRef,
    /// Where the operator is.
    pub pos: Pos,
    /// Where the operands are.
    pub operands: [Pos; 2],
}

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
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
