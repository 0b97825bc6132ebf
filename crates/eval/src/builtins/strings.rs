//! Builtins on strings.

use super::string_ops;
use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::eval::{Coercion, Text};
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__concatStringsSep",
        arity: 2,
        run: concat_strings_sep,
    },
    Builtin {
        name: "__replaceStrings",
        arity: 3,
        run: replace_strings,
    },
    Builtin {
        name: "__stringLength",
        arity: 1,
        run: string_length,
    },
    Builtin {
        name: "__substring",
        arity: 3,
        run: substring,
    },
    Builtin {
        name: "toString",
        arity: 1,
        run: to_string,
    },
];

fn concat_strings_sep(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let separator = ev.force_string(
        args[0],
        pos,
        "while evaluating the first argument (the separator string) passed to builtins.concatStringsSep",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument (the list of strings to concat) passed to builtins.concatStringsSep",
    )?;
    let what = "while evaluating one element of the list of strings to concat passed to builtins.concatStringsSep";
    ev.join(|ev, joining, context| {
        context.add(separator.context());
        let separator = Text::Heap(separator);
        for (index, &element) in list.as_slice().iter().enumerate() {
            if index > 0 {
                ev.add_piece(joining, &separator);
            }
            let piece = ev.coerce_to_string(element, pos, context, Coercion::INTERPOLATE, what)?;
            ev.add_piece(joining, &piece);
        }
        Ok(())
    })
}

fn replace_strings(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let from = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.replaceStrings",
    )?;
    let to = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.replaceStrings",
    )?;
    if from.len() != to.len() {
        let message =
            "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths";
        return Err(EvalError::new(pos, message));
    }
    let mut patterns = Vec::with_capacity(from.len());
    for &element in from.as_slice() {
        let what =
            "while evaluating one of the strings to replace passed to builtins.replaceStrings";
        patterns.push(ev.force_string(element, pos, what)?.bytes());
    }
    let text = ev.force_string(
        args[2],
        pos,
        "while evaluating the third argument passed to builtins.replaceStrings",
    )?;
    let mut context = ContextSet::new();
    context.add(text.context());
    // Only the replacements that are used are evaluated, and only these add their context.
    let mut replacements = vec![None; patterns.len()];
    let limit = ev.stack_limit;
    let stop = || limit.is_interrupted();
    let replaced = string_ops::replace(text.bytes(), &patterns, &stop, |index, out| {
        let replacement: &[u8] = match replacements[index] {
            Some(replacement) => replacement,
            None => {
                let what = "while evaluating one of the replacement strings passed to builtins.replaceStrings";
                let replacement = ev.force_string(to.as_slice()[index], pos, what)?;
                context.add(replacement.context());
                replacements[index] = Some(replacement.bytes());
                replacement.bytes()
            }
        };
        out.extend_from_slice(replacement);
        Ok::<_, EvalError>(())
    })?;
    ev.check_interrupted()?;
    Ok(ev.string_with(&replaced, &context))
}

fn string_length(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.stringLength";
    let text = ev.coerce_to_string(
        args[0],
        pos,
        &mut ContextSet::new(),
        Coercion::INTERPOLATE,
        what,
    )?;
    Ok(ev.int(i64::try_from(text.bytes().len()).unwrap_or(i64::MAX)))
}

fn substring(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let start = ev.force_int(
        args[0],
        pos,
        "while evaluating the first argument (the start offset) passed to builtins.substring",
    )?;
    if start < 0 {
        return Err(EvalError::new(
            pos,
            "negative start position in 'substring'",
        ));
    }
    let len = ev.force_int(
        args[1],
        pos,
        "while evaluating the second argument (the substring length) passed to builtins.substring",
    )?;
    let mut context = ContextSet::new();
    let what = "while evaluating the third argument (the string) passed to builtins.substring";
    let text = ev.coerce_to_string(args[2], pos, &mut context, Coercion::INTERPOLATE, what)?;
    Ok(ev.string_with(string_ops::substring(text.bytes(), start, len), &context))
}

fn to_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let mut context = ContextSet::new();
    let what = "while evaluating the first argument passed to builtins.toString";
    let text = ev.coerce_to_string(args[0], pos, &mut context, Coercion::TO_STRING, what)?;
    Ok(ev.string_with(text.bytes(), &context))
}
