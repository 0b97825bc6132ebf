//! Builtins that ask what a value is.

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value, ValueKind};

/// A builtin that is true for values of certain kinds.
macro_rules! is {
    ($name:literal, $kind:pat) => {
        Builtin {
            name: $name,
            arity: 1,
            run: |ev, args, pos| Ok(Value::bool(matches!(ev.force(args[0], pos)?.kind(), $kind))),
        }
    };
}

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__functionArgs",
        arity: 1,
        run: function_args,
    },
    is!("__isAttrs", ValueKind::Attrs(_)),
    is!("__isBool", ValueKind::Bool(_)),
    is!("__isFloat", ValueKind::Float(_)),
    is!(
        "__isFunction",
        ValueKind::Lambda(_) | ValueKind::Builtin(_) | ValueKind::Partial(_)
    ),
    is!("__isInt", ValueKind::Int(_)),
    is!("__isList", ValueKind::List(_)),
    is!("isNull", ValueKind::Null),
    is!("__isPath", ValueKind::Path(_)),
    is!("__isString", ValueKind::String(_)),
    Builtin {
        name: "__typeOf",
        arity: 1,
        run: type_of,
    },
];

fn type_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let value = ev.force(args[0], pos)?;
    Ok(ev.string(value.kind().type_of().as_bytes()))
}

fn function_args(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut attrs = AttrsBuilder::new();
    match ev.force(args[0], pos)?.kind() {
        ValueKind::Builtin(_) | ValueKind::Partial(_) => {}
        ValueKind::Lambda(closure) => {
            for formal in closure
                .code
                .formals
                .iter()
                .flat_map(|formals| formals.formals)
            {
                attrs.insert(
                    formal.name,
                    Value::bool(formal.default.is_some()),
                    formal.pos,
                );
            }
        }
        _ => return Err(EvalError::new(pos, "'functionArgs' requires a function")),
    }
    Ok(ev.attrs(attrs))
}
