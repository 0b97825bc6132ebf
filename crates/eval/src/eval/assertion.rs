//! What a failed `assert` says.

use super::Evaluator;
use crate::code::{AssertCode, Code, Operator};
use crate::error::{ErrorKind, EvalError};
use crate::heap::Env;
use crate::position::Pos;
use crate::value::{Value, ValueKind};

impl Evaluator {
    #[cold]
    pub(super) fn assertion_failed(&mut self, assert: &AssertCode, env: Env) -> EvalError {
        let text = String::from_utf8_lossy(assert.text);
        if let Code::Binary(binary) = assert.cond
            && binary.op == Operator::Eq
        {
            let sides = self
                .eval(binary.left, env)
                .and_then(|left| Ok((left, self.eval(binary.right, env)?)));
            if let Ok((left, right)) = sides
                && let Some(difference) = self.difference(left, right)
            {
                return EvalError::with_kind(ErrorKind::Assertion, Pos::NONE, difference).context(
                    assert.pos,
                    format!("while evaluating the condition of the assertion '{text}'"),
                );
            }
        }
        EvalError::with_kind(
            ErrorKind::Assertion,
            assert.pos,
            format!("assertion '{text}' failed"),
        )
    }

    /// In what two values differ that are not equal.
    fn difference(&mut self, a: Value, b: Value) -> Option<String> {
        let (shown_a, shown_b) = (self.show_for_error(a), self.show_for_error(b));
        let (type_a, type_b) = (a.kind().type_name(), b.kind().type_name());
        Some(match (a.kind(), b.kind()) {
            (ValueKind::Int(_) | ValueKind::Float(_), ValueKind::Int(_) | ValueKind::Float(_)) => {
                format!("{type_a} with value '{shown_a}' is not equal to {type_b} with value '{shown_b}'")
            }
            (ValueKind::Bool(_), ValueKind::Bool(_)) => {
                format!("boolean '{shown_a}' is not equal to boolean '{shown_b}'")
            }
            (ValueKind::String(_), ValueKind::String(_)) => {
                format!("string '{shown_a}' is not equal to string '{shown_b}'")
            }
            (ValueKind::Path(_), ValueKind::Path(_)) => format!("path '{shown_a}' is not equal to path '{shown_b}'"),
            (ValueKind::List(x), ValueKind::List(y)) if x.len() != y.len() => format!(
                "list of size '{}' is not equal to list of size '{}', left hand side is '{shown_a}', right hand side is '{shown_b}'",
                x.len(),
                y.len()
            ),
            (ValueKind::Attrs(x), ValueKind::Attrs(y)) if x.len() != y.len() => {
                format!("attribute names of attribute set '{shown_a}' differs from attribute set '{shown_b}'")
            }
            (ValueKind::List(_), ValueKind::List(_)) | (ValueKind::Attrs(_), ValueKind::Attrs(_)) => return None,
            _ if a.kind().type_of() != b.kind().type_of() => {
                format!("{type_a} of value '{shown_a}' is not equal to {type_b} of value '{shown_b}'")
            }
            _ => "distinct functions and immediate comparisons of identical functions compare as unequal".to_owned(),
        })
    }
}
