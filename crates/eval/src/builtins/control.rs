//! Builtins that steer an evaluation: strictness, errors, messages.

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::eval::Coercion;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "abort",
        arity: 1,
        run: abort,
    },
    Builtin {
        name: "__addErrorContext",
        arity: 2,
        run: add_error_context,
    },
    // There is no debugger to break into.
    Builtin {
        name: "break",
        arity: 1,
        run: |_, args, _| Ok(args[0]),
    },
    Builtin {
        name: "__deepSeq",
        arity: 2,
        run: deep_seq,
    },
    Builtin {
        name: "__seq",
        arity: 2,
        run: seq,
    },
    Builtin {
        name: "throw",
        arity: 1,
        run: throw,
    },
    Builtin {
        name: "__trace",
        arity: 2,
        run: trace,
    },
    Builtin {
        name: "__traceVerbose",
        arity: 2,
        run: trace_verbose,
    },
    Builtin {
        name: "__tryEval",
        arity: 1,
        run: try_eval,
    },
    Builtin {
        name: "__warn",
        arity: 2,
        run: warn,
    },
];

fn abort(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the error message passed to builtins.abort";
    let text = ev.coerce_to_string(
        args[0],
        pos,
        &mut ContextSet::new(),
        Coercion::INTERPOLATE,
        what,
    )?;
    let text = text.to_str_lossy();
    Err(EvalError::abort(
        Pos::NONE,
        format!("evaluation aborted with the following error message: '{text}'"),
    ))
}

fn throw(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the error message passed to builtin.throw";
    let text = ev.coerce_to_string(
        args[0],
        pos,
        &mut ContextSet::new(),
        Coercion::INTERPOLATE,
        what,
    )?;
    Err(EvalError::throw(Pos::NONE, text.to_str_lossy()))
}

fn add_error_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    match ev.force(args[1], pos) {
        Ok(value) => Ok(value),
        Err(error) => {
            let what = "while evaluating the error message passed to builtins.addErrorContext";
            let text =
                ev.coerce_to_string(args[0], pos, &mut ContextSet::new(), Coercion::PLAIN, what)?;
            Err(error.context_always(Pos::NONE, text.to_str_lossy()))
        }
    }
}

fn seq(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force(args[0], pos)?;
    ev.force(args[1], pos)
}

fn deep_seq(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    ev.force_deep(args[0], pos)?;
    ev.force(args[1], pos)
}

fn trace(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let value = ev.force(args[0], pos)?;
    let mut line = b"trace: ".to_vec();
    match value.kind() {
        ValueKind::String(text) => line.extend_from_slice(text.bytes()),
        _ => line.extend_from_slice(ev.show_whole(value).as_bytes()),
    }
    ev.host.message(&line);
    ev.force(args[1], pos)
}

fn trace_verbose(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    if ev.settings.trace_verbose {
        trace(ev, args, pos)
    } else {
        ev.force(args[1], pos)
    }
}

/// What a warning begins with; its other lines are indented by as much.
const WARNING: &[u8] = b"evaluation warning: ";

fn warn(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument; the message passed to builtins.warn";
    let text = ev.force_string(args[0], pos, what)?;
    let text = text.bytes().trim_ascii_end();
    let mut line = Vec::new();
    for part in text.split(|&byte| byte == b'\n') {
        line.extend_from_slice(match line.is_empty() {
            _ if text.is_empty() => b"",
            true => WARNING,
            false => b"\n                    ",
        });
        line.extend_from_slice(part);
    }
    ev.host.message(&line);
    if ev.settings.abort_on_warn {
        let message = "aborting to reveal stack trace of warning, as abort-on-warn is set";
        return Err(EvalError::abort(pos, message));
    }
    ev.force(args[1], pos)
}

fn try_eval(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (success, value) = match ev.force(args[0], pos) {
        Ok(value) => (true, value),
        Err(error) if error.is_catchable() => (false, Value::FALSE),
        Err(error) => return Err(error),
    };
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(ev.intern(b"success"), Value::bool(success), Pos::NONE);
    attrs.insert(ev.known.value, value, Pos::NONE);
    Ok(ev.attrs(attrs))
}
