//! Values that are written down and need no computation, as those of `flake.nix` must be.

use std::path::Path;

use crate::Evaluator;
use crate::attrs::Attrs;
use crate::code::Code;
use crate::error::{EvalError, Result};
use crate::heap::{Pending, ThunkState};
use crate::position::Pos;
use crate::value::Value;

impl Evaluator {
    /// The set that a file consists of, whose values are not evaluated.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or parsed, or is anything but a set.
    pub fn literal_set_of_file(&mut self, file: &Path) -> Result<Attrs> {
        let program = self.load(file, &[], Pos::NONE)?;
        if is_literal(program.code) == Some(Literal::Set) {
            let value = self.run_program(program, &[])?;
            if let Some(attrs) = value.as_attrs() {
                return Ok(attrs);
            }
        }
        Err(EvalError::new(
            Pos::NONE,
            format!("file '{}' must be an attribute set", self.shown_file(file)),
        ))
    }

    /// Evaluates a value if it is a set, a list or a function that is written down; anything that would have to be
    /// computed stays a thunk.
    ///
    /// # Errors
    ///
    /// None are known; a set or list by itself does not fail.
    pub fn force_literal(&mut self, value: Value) -> Result<Value> {
        let Some(thunk) = value.as_thunk() else {
            return Ok(value);
        };
        match thunk.start() {
            ThunkState::Done(value) => Ok(value),
            ThunkState::Blackhole => Ok(value),
            ThunkState::Start(pending) => {
                thunk.restore(pending);
                match pending {
                    Pending::Code(code, _) if is_literal(code).is_some() => {
                        self.force(value, Pos::NONE)
                    }
                    _ => Ok(value),
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Set,
    Other,
}

fn is_literal(code: &Code) -> Option<Literal> {
    match code {
        Code::Frame { body, .. } => is_literal(body),
        Code::Attrs(attrs) if attrs.dynamic.is_empty() => Some(Literal::Set),
        Code::Const(value) => Some(if value.as_attrs().is_some() {
            Literal::Set
        } else {
            Literal::Other
        }),
        Code::List(_) | Code::Lambda(_) => Some(Literal::Other),
        _ => None,
    }
}
