//! Which variable an expression evaluates before it does anything else.
//!
//! Where that is a parameter, a call evaluates its argument at once instead of making a thunk that the function would force
//! first of all: nobody can tell the difference.

use crate::code::{BinaryCode, Code, CodeRef, Operator};

/// The slot of the innermost frame that evaluating `code` reads and forces first, before anything that can fail or last.
pub(super) fn first_demanded(code: CodeRef) -> Option<u32> {
    match code {
        Code::Local { slot, .. } => Some(*slot),
        // What is bound is only delayed.
        Code::Let { body, .. } | Code::Deep { body, .. } => first_demanded(body),
        Code::If(branch) => first_demanded(branch.cond),
        Code::Assert(assert) => first_demanded(assert.cond),
        Code::Not { operand, .. } => first_demanded(operand),
        Code::Call { fun, .. } => first_demanded(fun),
        Code::Select { subject, .. } | Code::HasAttr { subject, .. } => first_demanded(subject),
        Code::SelectPath(select) => first_demanded(select.subject),
        Code::Binary(binary) => first_operand(binary),
        Code::Interpolation { parts } => {
            let mut parts = parts.iter().map(|(part, _)| *part);
            first_demanded(parts.find(|part| !matches!(part, Code::Const(_)))?)
        }
        _ => None,
    }
}

fn first_operand(binary: &BinaryCode) -> Option<u32> {
    let (first, second) = match binary.op {
        Operator::Greater | Operator::LessEq | Operator::Update => (binary.right, binary.left),
        _ => (binary.left, binary.right),
    };
    let is_number = |code: CodeRef| matches!(code, Code::Const(value) if value.as_int().is_some());
    match binary.op {
        Operator::And | Operator::Or | Operator::Implies | Operator::Update | Operator::Concat => {
            first_demanded(first)
        }
        _ if is_number(first) => first_demanded(second),
        _ => first_demanded(first),
    }
}
