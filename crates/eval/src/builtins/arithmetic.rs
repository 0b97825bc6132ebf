//! Builtins on numbers.

use crate::Evaluator;
use crate::code::Operator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value};

use super::float_text;

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__add",
        arity: 2,
        run: |ev, args, pos| arithmetic(ev, args, pos, Operator::Add),
    },
    Builtin {
        name: "__bitAnd",
        arity: 2,
        run: |ev, args, pos| bits(ev, args, pos, "bitAnd", |a, b| a & b),
    },
    Builtin {
        name: "__bitOr",
        arity: 2,
        run: |ev, args, pos| bits(ev, args, pos, "bitOr", |a, b| a | b),
    },
    Builtin {
        name: "__bitXor",
        arity: 2,
        run: |ev, args, pos| bits(ev, args, pos, "bitXor", |a, b| a ^ b),
    },
    Builtin {
        name: "__ceil",
        arity: 1,
        run: |ev, args, pos| round(ev, args, pos, "ceil", f64::ceil),
    },
    Builtin {
        name: "__div",
        arity: 2,
        run: |ev, args, pos| arithmetic(ev, args, pos, Operator::Div),
    },
    Builtin {
        name: "__floor",
        arity: 1,
        run: |ev, args, pos| round(ev, args, pos, "floor", f64::floor),
    },
    Builtin {
        name: "__lessThan",
        arity: 2,
        run: |ev, args, pos| ev.less(args[0], args[1], pos).map(Value::bool),
    },
    Builtin {
        name: "__mul",
        arity: 2,
        run: |ev, args, pos| arithmetic(ev, args, pos, Operator::Mul),
    },
    Builtin {
        name: "__sub",
        arity: 2,
        run: |ev, args, pos| arithmetic(ev, args, pos, Operator::Sub),
    },
];

/// What the operator does, which evaluates its operands in another place.
fn arithmetic(ev: &mut Evaluator, args: &[Value], pos: Pos, op: Operator) -> Result<Value> {
    let left = ev.force(args[0], pos)?;
    let right = ev.force(args[1], pos)?;
    ev.arithmetic(op, left, right, pos)
}

fn bits(
    ev: &mut Evaluator,
    args: &[Value],
    pos: Pos,
    name: &str,
    operation: fn(i64, i64) -> i64,
) -> Result<Value> {
    let a = ev.force_int(
        args[0],
        pos,
        &format!("while evaluating the first argument passed to builtins.{name}"),
    )?;
    let b = ev.force_int(
        args[1],
        pos,
        &format!("while evaluating the second argument passed to builtins.{name}"),
    )?;
    Ok(ev.int(operation(a, b)))
}

/// `ceil` and `floor`. Nix takes integers through a float and refuses those that this would change.
fn round(
    ev: &mut Evaluator,
    args: &[Value],
    pos: Pos,
    name: &str,
    operation: fn(f64) -> f64,
) -> Result<Value> {
    const BUG: &str = "Due to a bug (see https://github.com/NixOS/nix/issues/12899)";
    const FUTURE: &str = "\n\tFuture Nix versions might implement the correct behavior.";
    /// -2^63, which a float represents exactly.
    const MIN: f64 = i64::MIN as f64;
    let what = format!("while evaluating the first argument passed to builtins.{name}");
    let number = ev.force_float(args[0], pos, &what)?;
    let rounded = operation(number);
    let result = (MIN..-MIN).contains(&rounded).then_some(rounded as i64);
    let argument = ev.force(args[0], pos)?.as_int();
    match (argument, result) {
        (None, Some(result)) => Ok(ev.int(result)),
        (None, None) => {
            let shown = float_text::general(number);
            Err(EvalError::new(
                pos,
                format!("NixFloat argument {shown} is not in the range of NixInt"),
            ))
        }
        (Some(int), Some(result)) if int == result => Ok(ev.int(int)),
        (Some(int), Some(result)) => Err(EvalError::new(
            pos,
            format!(
                "{BUG} a loss of precision occurred in previous Nix versions because the NixInt argument {int} was rounded to {result}.{FUTURE}"
            ),
        )),
        (Some(int), None) => Err(EvalError::new(
            pos,
            format!(
                "{BUG} the NixInt argument {int} caused undefined behavior in previous Nix versions.{FUTURE}"
            ),
        )),
    }
}
