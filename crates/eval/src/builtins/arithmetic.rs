//! Builtins on numbers.

use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value, ValueKind};

use super::float_text;

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__add",
        arity: 2,
        run: add,
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
        run: div,
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
        run: mul,
    },
    Builtin {
        name: "__sub",
        arity: 2,
        run: sub,
    },
];

/// How an operation is described.
struct Operation {
    /// Frames of the trace.
    first: &'static str,
    first_float: &'static str,
    second: &'static str,
    /// "adding", and the sign between the operands.
    verb: &'static str,
    sign: char,
}

/// Integers give an integer or an error; if either is a float, the result is one.
fn arithmetic(
    ev: &mut Evaluator,
    args: &[Value],
    pos: Pos,
    operation: &Operation,
    integers: fn(i64, i64) -> Option<i64>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value> {
    let a = ev.force(args[0], pos)?;
    let b = ev.force(args[1], pos)?;
    if matches!(a.kind(), ValueKind::Float(_)) || matches!(b.kind(), ValueKind::Float(_)) {
        let a = ev.force_float(a, pos, operation.first_float)?;
        let b = ev.force_float(b, pos, operation.second)?;
        return Ok(ev.float(floats(a, b)));
    }
    let a = ev.force_int(a, pos, operation.first)?;
    let b = ev.force_int(b, pos, operation.second)?;
    integers(a, b).map(|value| ev.int(value)).ok_or_else(|| {
        EvalError::new(
            pos,
            format!(
                "integer overflow in {} {a} {} {b}",
                operation.verb, operation.sign
            ),
        )
    })
}

fn add(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let operation = Operation {
        first: "while evaluating the first argument of the addition",
        first_float: "while evaluating the first argument of the addition",
        second: "while evaluating the second argument of the addition",
        verb: "adding",
        sign: '+',
    };
    arithmetic(ev, args, pos, &operation, i64::checked_add, |a, b| a + b)
}

fn sub(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let operation = Operation {
        first: "while evaluating the first argument of the subtraction",
        first_float: "while evaluating the first argument of the subtraction",
        second: "while evaluating the second argument of the subtraction",
        verb: "subtracting",
        sign: '-',
    };
    arithmetic(ev, args, pos, &operation, i64::checked_sub, |a, b| a - b)
}

fn mul(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let operation = Operation {
        first: "while evaluating the first argument of the multiplication",
        first_float: "while evaluating the first of the multiplication",
        second: "while evaluating the second argument of the multiplication",
        verb: "multiplying",
        sign: '*',
    };
    arithmetic(ev, args, pos, &operation, i64::checked_mul, |a, b| a * b)
}

fn div(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let operation = Operation {
        first: "while evaluating the first operand of the division",
        first_float: "while evaluating the first operand of the division",
        second: "while evaluating the second operand of the division",
        verb: "dividing",
        sign: '/',
    };
    ev.force(args[0], pos)?;
    ev.force(args[1], pos)?;
    if ev.force_float(args[1], pos, operation.second)? == 0.0 {
        return Err(EvalError::new(pos, "division by zero"));
    }
    arithmetic(ev, args, pos, &operation, i64::checked_div, |a, b| a / b)
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
