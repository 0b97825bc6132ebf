//! What a failed `assert` says.

use super::Evaluator;
use crate::attrs::Attrs;
use crate::code::{AssertCode, Code, Operator};
use crate::error::{ErrorKind, EvalError, Result, ResultExt as _};
use crate::heap::Env;
use crate::position::Pos;
use crate::value::{Value, ValueKind};

fn differ(how: String) -> EvalError {
    EvalError::with_kind(ErrorKind::Assertion, Pos::NONE, how)
}

impl Evaluator {
    #[cold]
    pub(super) fn assertion_failed(&mut self, assert: &AssertCode, env: Env) -> EvalError {
        let text = String::from_utf8_lossy(assert.text);
        if let Code::Binary(binary) = assert.cond
            && binary.op == Operator::Eq
        {
            let difference = self
                .eval(binary.left, env)
                .and_then(|left| Ok((left, self.eval(binary.right, env)?)))
                .and_then(|(left, right)| self.find_difference(left, right, binary.pos));
            let error = match difference {
                Err(error) => error,
                Ok(()) => return self.plain_failure(assert),
            };
            return error.context(
                assert.pos,
                format!("while evaluating the condition of the assertion '{text}'"),
            );
        }
        self.plain_failure(assert)
    }

    fn plain_failure(&self, assert: &AssertCode) -> EvalError {
        let text = String::from_utf8_lossy(assert.text);
        EvalError::with_kind(
            ErrorKind::Assertion,
            assert.pos,
            format!("assertion '{text}' failed"),
        )
    }

    /// Fails with what two values differ in, found in the order in which `==` compares.
    fn find_difference(&mut self, a: Value, b: Value, pos: Pos) -> Result<()> {
        let (a, b) = (self.force(a, pos)?, self.force(b, pos)?);
        match (a.kind(), b.kind()) {
            (ValueKind::List(x), ValueKind::List(y)) if x.len() == y.len() => {
                self.check_recursion(pos)?;
                let pairs = x.as_slice().iter().zip(y.as_slice());
                for (index, (&x, &y)) in pairs.enumerate() {
                    if !self.equal_elements(x, y, pos)? {
                        return self.find_difference(x, y, pos).context(Pos::NONE, || {
                            format!("while comparing list element {index}")
                        });
                    }
                }
                Ok(())
            }
            (ValueKind::Attrs(x), ValueKind::Attrs(y)) => {
                if self.is_derivation(x, pos)? && self.is_derivation(y, pos)? {
                    let out_path = self.known.out_path;
                    if let (Some(x), Some(y)) = (x.value(out_path), y.value(out_path)) {
                        return self.find_difference(x, y, pos).context(Pos::NONE, || {
                            "while comparing a derivation by its 'outPath' attribute".to_owned()
                        });
                    }
                }
                if x.len() == y.len() {
                    return self.find_difference_in_sets([a, b], x, y, pos);
                }
                let (a, b) = (self.show_for_error(a), self.show_for_error(b));
                Err(differ(format!(
                    "attribute names of attribute set '{a}' differs from attribute set '{b}'"
                )))
            }
            _ if self.equal(a, b, pos)? => Ok(()),
            _ => Err(differ(self.plain_difference(a, b))),
        }
    }

    fn find_difference_in_sets(
        &mut self,
        [a, b]: [Value; 2],
        x: Attrs,
        y: Attrs,
        pos: Pos,
    ) -> Result<()> {
        self.check_recursion(pos)?;
        for (left, right) in x.iter().zip(y.iter()) {
            if left.name != right.name {
                let (shown_a, shown_b) = (self.show_for_error(a), self.show_for_error(b));
                return Err(differ(if y.get(left.name).is_none() {
                    let name = self.shown_symbol(left.name);
                    format!(
                        "attribute name '{name}' is contained in '{shown_a}', but not in '{shown_b}'"
                    )
                } else {
                    let name = self.shown_symbol(right.name);
                    format!(
                        "attribute name '{name}' is missing in '{shown_a}', but is contained in '{shown_b}'"
                    )
                }));
            }
            if !self.equal_elements(left.value, right.value, pos)? {
                let Err(mut error) = self.find_difference(left.value, right.value, pos) else {
                    continue;
                };
                for (side, place) in [("right", right.pos), ("left", left.pos)] {
                    if place != Pos::NONE {
                        error = error.context(place, format!("where {side} hand side is"));
                    }
                }
                let name = self.shown_symbol(left.name);
                return Err(error.context(Pos::NONE, format!("while comparing attribute '{name}'")));
            }
        }
        Ok(())
    }

    /// What is said of two forced values that differ and whose members are not to be looked into.
    fn plain_difference(&self, a: Value, b: Value) -> String {
        let (shown_a, shown_b) = (self.show_for_error(a), self.show_for_error(b));
        let (type_a, type_b) = (a.kind().type_name(), b.kind().type_name());
        match (a.kind(), b.kind()) {
            (ValueKind::Int(_) | ValueKind::Float(_), ValueKind::Int(_) | ValueKind::Float(_)) => {
                format!("{type_a} with value '{shown_a}' is not equal to {type_b} with value '{shown_b}'")
            }
            (ValueKind::Bool(_), ValueKind::Bool(_)) => {
                format!("boolean '{shown_a}' is not equal to boolean '{shown_b}'")
            }
            (ValueKind::String(_), ValueKind::String(_)) => {
                format!("string '{shown_a}' is not equal to string '{shown_b}'")
            }
            (ValueKind::Path(_), ValueKind::Path(_)) => {
                format!("path '{shown_a}' is not equal to path '{shown_b}'")
            }
            (ValueKind::List(x), ValueKind::List(y)) => format!(
                "list of size '{}' is not equal to list of size '{}', left hand side is '{shown_a}', right hand side is '{shown_b}'",
                x.len(),
                y.len()
            ),
            _ if a.kind().type_of() != b.kind().type_of() => {
                format!("{type_a} of value '{shown_a}' is not equal to {type_b} of value '{shown_b}'")
            }
            _ => "distinct functions and immediate comparisons of identical functions compare as unequal".to_owned(),
        }
    }
}
