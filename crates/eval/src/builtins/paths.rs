//! Builtins on paths as text.

use super::path_text;
use crate::Evaluator;
use crate::error::Result;
use crate::eval::Coercion;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "baseNameOf",
        arity: 1,
        run: base_name_of,
    },
    Builtin {
        name: "dirOf",
        arity: 1,
        run: dir_of,
    },
    Builtin {
        name: "__toPath",
        arity: 1,
        run: to_path,
    },
];

fn base_name_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = ContextSet::new();
    let what = "while evaluating the first argument passed to builtins.baseNameOf";
    let path = ev.coerce_to_string(args[0], pos, &mut context, Coercion::PLAIN, what)?;
    Ok(ev.string_with(path_text::base_name(path.bytes()), &context))
}

fn dir_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let argument = ev.force(args[0], pos)?;
    if let ValueKind::Path(path) = argument.kind() {
        return Ok(ev.path(path_text::dir_name(path.as_slice())));
    }
    let mut context = ContextSet::new();
    let what = "while evaluating the first argument passed to 'builtins.dirOf'";
    let path = ev.coerce_to_string(argument, pos, &mut context, Coercion::PLAIN, what)?;
    Ok(ev.string_with(path_text::dir_name(path.bytes()), &context))
}

fn to_path(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = ContextSet::new();
    let what = "while evaluating the first argument passed to builtins.toPath";
    let path = ev.coerce_to_path(args[0], pos, &mut context, what)?;
    Ok(ev.string_with(&path, &context))
}
