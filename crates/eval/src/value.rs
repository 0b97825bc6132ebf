//! Values: one machine word each.

use std::borrow::Cow;

use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::attrs::Attrs;
use crate::code::LambdaCode;
use crate::error::Result;
use crate::heap::{Application, Array, Env, Heap, Thunk, Word};
use crate::position::Pos;
use crate::string::Str;

/// A value of the language, or a [`Thunk`] that will become one. Eight bytes, freely copied.
///
/// [`Value::kind`] looks at what it is; the evaluator's `force` makes sure that it is not a thunk.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Value(Word, std::marker::PhantomData<*const ()>);

pub use crate::heap::List;

/// The bytes of a path value: absolute and canonical.
pub type PathBytes = Array<(), u8>;

/// What a [`Value`] is.
#[derive(Clone, Copy)]
pub enum ValueKind {
    /// `42`
    Int(i64),
    /// `4.2`
    Float(f64),
    /// `true`
    Bool(bool),
    /// `null`
    Null,
    /// `"text"`
    String(Str),
    /// `/some/where`
    Path(PathBytes),
    /// `{ … }`
    Attrs(Attrs),
    /// `[ … ]`
    List(List),
    /// `x: …`
    Lambda(&'static Closure),
    /// `builtins.head`
    Builtin(&'static Builtin),
    /// `builtins.map f`: the header is the builtin.
    Partial(Application),
    /// Not evaluated yet, or evaluated in place.
    Thunk(&'static Thunk),
}

/// A function value: code with its environment.
#[derive(Clone, Copy)]
pub struct Closure {
    /// The code.
    pub code: &'static LambdaCode,
    /// Where its free variables are.
    pub env: Env,
}

/// How a builtin is implemented: it gets exactly `arity` arguments, unevaluated, and the place of the call.
pub type BuiltinFn = fn(&mut Evaluator, &[Value], Pos) -> Result<Value>;

/// A builtin function.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// The name. One that begins with `__` is found in `builtins` without these; any other name is also in the global
    /// scope (as in Nix: `__add` is `builtins.add`, `map` is both `map` and `builtins.map`).
    pub name: &'static str,
    /// How many arguments it takes. A builtin of no arguments is a constant, evaluated when it is used.
    pub arity: u8,
    /// The implementation.
    pub run: BuiltinFn,
}

impl Builtin {
    /// The name without the leading `__`, as in messages.
    #[must_use]
    pub fn plain_name(&self) -> &'static str {
        self.name.strip_prefix("__").unwrap_or(self.name)
    }
}

/// One attribute of a set.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Attr {
    /// Its name.
    pub name: Symbol,
    /// Where it was defined.
    pub pos: Pos,
    /// Its value, possibly a thunk.
    pub value: Value,
}

impl Value {
    const INT: u8 = 1;
    const BOOL: u8 = 2;
    const NULL_TAG: u8 = 3;

    /// `null`
    pub const NULL: Self = Self::wrap(Word::immediate(Self::NULL_TAG, 0));
    /// `true`
    pub const TRUE: Self = Self::wrap(Word::immediate(Self::BOOL, 1));
    /// `false`
    pub const FALSE: Self = Self::wrap(Word::immediate(Self::BOOL, 0));

    #[inline]
    const fn wrap(word: Word) -> Self {
        Self(word, std::marker::PhantomData)
    }

    #[inline]
    pub(crate) const fn from_word(word: Word) -> Self {
        Self::wrap(word)
    }

    #[inline]
    pub(crate) const fn word(self) -> Word {
        self.0
    }

    /// A truth value.
    #[inline]
    #[must_use]
    pub const fn bool(value: bool) -> Self {
        if value { Self::TRUE } else { Self::FALSE }
    }

    /// An integer.
    #[inline]
    #[must_use]
    pub fn int(heap: Heap, value: i64) -> Self {
        match Self::small_int(value) {
            Some(word) => word,
            None => Self::wrap(Word::from_wide_int(heap.alloc(value))),
        }
    }

    /// An integer of at most 56 bits, which needs no memory.
    #[inline]
    #[must_use]
    pub fn small_int(value: i64) -> Option<Self> {
        let word = Word::immediate(Self::INT, value as u64);
        (word.signed() == value).then_some(Self::wrap(word))
    }

    /// A float.
    #[inline]
    #[must_use]
    pub fn float(heap: Heap, value: f64) -> Self {
        Self::wrap(Word::from_float(heap.alloc(value)))
    }

    /// A string without context.
    #[inline]
    #[must_use]
    pub fn string(heap: Heap, bytes: &[u8]) -> Self {
        Self::from(heap.array(None, bytes))
    }

    /// A path; `bytes` must be absolute and canonical.
    #[inline]
    #[must_use]
    pub fn path(heap: Heap, bytes: &[u8]) -> Self {
        Self::wrap(Word::from_path(heap.array((), bytes)))
    }

    /// A list.
    #[inline]
    #[must_use]
    pub fn list(heap: Heap, elements: &[Self]) -> Self {
        Self::from(heap.list(elements))
    }

    /// What it is.
    #[inline]
    #[must_use]
    pub fn kind(self) -> ValueKind {
        let word = self.0;
        match word.tag() {
            Self::INT => ValueKind::Int(word.signed()),
            Self::BOOL => ValueKind::Bool(word.signed() != 0),
            Self::NULL_TAG => ValueKind::Null,
            Word::WIDE_INT => ValueKind::Int(*word.as_wide_int()),
            Word::FLOAT => ValueKind::Float(*word.as_float()),
            Word::STRING => ValueKind::String(word.as_string()),
            Word::PATH => ValueKind::Path(word.as_path()),
            Word::ATTRS => ValueKind::Attrs(word.as_attrs()),
            Word::LIST => ValueKind::List(word.as_list()),
            Word::LAMBDA => ValueKind::Lambda(word.as_lambda()),
            Word::BUILTIN => ValueKind::Builtin(word.as_builtin()),
            Word::PARTIAL => ValueKind::Partial(word.as_partial()),
            _ => ValueKind::Thunk(word.as_thunk()),
        }
    }

    /// Whether it is a thunk, evaluated or not.
    #[inline]
    #[must_use]
    pub fn is_thunk(self) -> bool {
        self.0.tag() == Word::THUNK
    }

    /// The value behind a thunk if it is known already; a value that is not a thunk is itself.
    #[inline]
    #[must_use]
    pub fn known(self) -> Option<Self> {
        if self.is_thunk() {
            self.0.as_thunk().value()
        } else {
            Some(self)
        }
    }

    /// The thunk, if it is one.
    #[inline]
    #[must_use]
    pub fn as_thunk(self) -> Option<&'static Thunk> {
        if self.is_thunk() {
            Some(self.0.as_thunk())
        } else {
            None
        }
    }

    /// The integer, if it is one (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        match self.0.tag() {
            Self::INT => Some(self.0.signed()),
            Word::WIDE_INT => Some(*self.0.as_wide_int()),
            _ => None,
        }
    }

    /// The integer, if it is one of at most 56 bits (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_small_int(self) -> Option<i64> {
        (self.0.tag() == Self::INT).then(|| self.0.signed())
    }

    /// The set, if it is one (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_attrs(self) -> Option<Attrs> {
        if self.0.tag() == Word::ATTRS {
            Some(self.0.as_attrs())
        } else {
            None
        }
    }

    /// The list, if it is one (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_list(self) -> Option<List> {
        if self.0.tag() == Word::LIST {
            Some(self.0.as_list())
        } else {
            None
        }
    }

    /// The string, if it is one (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_string(self) -> Option<Str> {
        if self.0.tag() == Word::STRING {
            Some(self.0.as_string())
        } else {
            None
        }
    }

    /// The closure, if it is one (not a thunk of one).
    #[inline]
    #[must_use]
    pub fn as_lambda(self) -> Option<&'static Closure> {
        if self.0.tag() == Word::LAMBDA {
            Some(self.0.as_lambda())
        } else {
            None
        }
    }

    /// Whether both words are the same: the same immediate or the same heap object.
    #[inline]
    #[must_use]
    pub fn same(self, other: Self) -> bool {
        self.0 == other.0
    }
}

macro_rules! from_handle {
    ($($handle:ty => $make:ident;)*) => {
        $(impl From<$handle> for Value {
            #[inline]
            fn from(handle: $handle) -> Self {
                Self::wrap(Word::$make(handle))
            }
        })*
    };
}

from_handle! {
    Str => from_string;
    Attrs => from_attrs;
    List => from_list;
    &'static Closure => from_lambda;
    &'static Builtin => from_builtin;
    &'static Thunk => from_thunk;
}

impl Value {
    /// A builtin with fewer arguments than it takes.
    #[inline]
    #[must_use]
    pub fn partial(application: Application) -> Self {
        Self::wrap(Word::from_partial(application))
    }

    /// A path, from its bytes in the heap.
    #[inline]
    #[must_use]
    pub fn from_path_bytes(bytes: PathBytes) -> Self {
        Self::wrap(Word::from_path(bytes))
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            ValueKind::Int(value) => write!(f, "Int({value})"),
            ValueKind::Float(value) => write!(f, "Float({value})"),
            ValueKind::Bool(value) => write!(f, "Bool({value})"),
            ValueKind::String(value) => {
                write!(f, "String({:?})", String::from_utf8_lossy(value.bytes()))
            }
            ValueKind::Path(value) => {
                write!(f, "Path({:?})", String::from_utf8_lossy(value.as_slice()))
            }
            ValueKind::List(value) => f.debug_list().entries(value.as_slice()).finish(),
            other => f.write_str(&other.type_name()),
        }
    }
}

impl ValueKind {
    /// The name of the type with an article, as error messages have it ("a list").
    #[must_use]
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a Boolean",
            Self::Null => "null",
            Self::String(text) if text.context().is_some() => "a string with context",
            Self::String(_) => "a string",
            Self::Path(_) => "a path",
            Self::Attrs(_) => "a set",
            Self::List(_) => "a list",
            Self::Lambda(_) => "a function",
            Self::Builtin(builtin) => {
                return format!("the built-in function '{}'", builtin.plain_name()).into();
            }
            Self::Partial(partial) => match partial.head().kind() {
                Self::Builtin(builtin) => {
                    return format!(
                        "the partially applied built-in function '{}'",
                        builtin.plain_name()
                    )
                    .into();
                }
                _ => "a partially applied built-in function",
            },
            Self::Thunk(_) => "a thunk",
        })
    }

    /// The name that `builtins.typeOf` tells; a thunk has none.
    #[must_use]
    pub fn type_of(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Bool(_) => "bool",
            Self::Null => "null",
            Self::String(_) => "string",
            Self::Path(_) => "path",
            Self::Attrs(_) => "set",
            Self::List(_) => "list",
            Self::Lambda(_) | Self::Builtin(_) | Self::Partial(_) => "lambda",
            Self::Thunk(_) => "thunk",
        }
    }
}
