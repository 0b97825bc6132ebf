//! `builtins.match` and `builtins.split`.

use std::rc::Rc;

use super::ere::{Captures, Ere, EreError};
use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__match",
        arity: 2,
        run: full_match,
    },
    Builtin {
        name: "__split",
        arity: 2,
        run: split,
    },
];

impl Evaluator {
    /// The compiled pattern, each compiled once.
    fn pattern(&mut self, pattern: &'static [u8], pos: Pos) -> Result<Rc<Ere>> {
        if let Some(ere) = self.builtin_state.patterns.get(pattern) {
            return Ok(Rc::clone(ere));
        }
        let ere = Ere::new(pattern).map(Rc::new).map_err(|error| {
            let shown = String::from_utf8_lossy(pattern);
            EvalError::new(
                pos,
                match error {
                    EreError::Invalid => format!("invalid regular expression '{shown}'"),
                    EreError::TooLarge => {
                        format!("memory limit exceeded by regular expression '{shown}'")
                    }
                },
            )
        })?;
        self.builtin_state.patterns.insert(pattern, Rc::clone(&ere));
        Ok(ere)
    }

    /// What the groups captured, `null` for one that took no part.
    fn groups(&self, captures: &Captures, text: &[u8]) -> Value {
        let groups = captures.groups().map(|group| match group {
            Some((from, to)) => self.string(&text[from..to]),
            None => Value::NULL,
        });
        Value::from(self.heap.list_from_iter(groups.len(), groups))
    }
}

fn full_match(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let pattern = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.match",
    )?;
    let ere = ev.pattern(pattern.bytes(), pos)?;
    let text = ev.force_string(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.match",
    )?;
    let limit = ev.stack_limit;
    let found = ere.full_match(text.bytes(), &|| limit.is_interrupted());
    ev.check_interrupted()?;
    // The captures are strings without context.
    Ok(match found {
        Some(captures) => ev.groups(&captures, text.bytes()),
        None => Value::NULL,
    })
}

fn split(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let pattern = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.split",
    )?;
    let ere = ev.pattern(pattern.bytes(), pos)?;
    let text = ev.force_string(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.split",
    )?;
    let bytes = text.bytes();
    let mut parts = Vec::new();
    let mut end = 0;
    let limit = ev.stack_limit;
    let stop = || limit.is_interrupted();
    for captures in ere.matches(bytes, &stop) {
        ev.check_interrupted()?;
        let (from, to) = captures.whole();
        parts.push(ev.string(&bytes[end..from]));
        parts.push(ev.groups(&captures, bytes));
        end = to;
    }
    ev.check_interrupted()?;
    // Only a string that was not split keeps its context.
    parts.push(if parts.is_empty() {
        Value::from(text)
    } else {
        ev.string(&bytes[end..])
    });
    Ok(ev.list(&parts))
}
