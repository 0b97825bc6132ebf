//! The operator `//`.

use super::Evaluator;
use crate::attrs::Attrs;
use crate::code::{BinaryCode, Code, CodeRef, Operator};
use crate::error::Result;
use crate::heap::Env;
use crate::position::Pos;
use crate::value::Value;

const LEFT: &str = "in the left operand of the update (//) operator";
const RIGHT: &str = "in the right operand of the update (//) operator";

/// The operator `//` that an operand is.
fn as_update(code: CodeRef) -> Option<&'static BinaryCode> {
    match code {
        Code::Binary(inner) if inner.op == Operator::Update => Some(inner),
        _ => None,
    }
}

impl Evaluator {
    #[inline(never)]
    pub(super) fn update(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        if let Some(inner) = as_update(code.right) {
            return self.update_chain(code, inner, env);
        }
        let right = self.updated(code.right, env, code.operands[1], RIGHT)?;
        let left = self.updated(code.left, env, code.operands[0], LEFT)?;
        Ok(Value::from(left.update(self.heap, right)))
    }

    /// `a // (b // …)`: the operands are evaluated from the last to the first, as they would be one operator after the other.
    #[inline(never)]
    fn update_chain(
        &mut self,
        code: &'static BinaryCode,
        inner: &'static BinaryCode,
        env: Env,
    ) -> Result<Value> {
        let mut operators = vec![code, inner];
        let mut last = inner;
        while let Some(next) = as_update(last.right) {
            operators.push(next);
            last = next;
        }
        let mut operands = Vec::with_capacity(operators.len() + 1);
        operands.push(self.updated(last.right, env, last.operands[1], RIGHT)?);
        for operator in operators.into_iter().rev() {
            operands.push(self.updated(operator.left, env, operator.operands[0], LEFT)?);
        }
        Ok(Value::from(self.merger.merge(self.heap, &operands)))
    }

    /// An operand of `//`. If it is one itself, its own operands tell enough.
    fn updated(
        &mut self,
        operand: CodeRef,
        env: Env,
        pos: Pos,
        what: &'static str,
    ) -> Result<Attrs> {
        let found = self.eval(operand, env);
        if let Ok(value) = found
            && let Some(attrs) = value.as_attrs()
        {
            return Ok(attrs);
        }
        let error = match found {
            Ok(value) => self.type_error("a set", value, Pos::NONE),
            Err(error) => error,
        };
        Err(match as_update(operand) {
            Some(_) => error,
            None => error.around(pos, what),
        })
    }
}
