//! The operators, and interpolation, which is the operator `+` on strings.

use super::Evaluator;
use super::coerce::{Coercion, Text, canonical_path};
use super::interpret::NOT;
use crate::code::{BinaryCode, CodeRef, Operator};
use crate::error::{EvalError, Result};
use crate::heap::Env;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Value, ValueKind};

/// Whether a forced value is an integer or a float.
#[inline]
fn is_number(value: Value) -> bool {
    value.as_int().is_some() || matches!(value.kind(), ValueKind::Float(_))
}

/// The result of an operator on integers that are immediate in their words, if it is immediate too.
#[inline]
pub(super) fn small_integers(op: Operator, left: Value, right: Value) -> Option<Value> {
    let (a, b) = (left.as_small_int()?, right.as_small_int()?);
    match op {
        // These cannot overflow 64 bits.
        Operator::Add => Value::small_int(a + b),
        Operator::Sub => Value::small_int(a - b),
        Operator::Eq => Some(Value::bool(a == b)),
        Operator::NotEq => Some(Value::bool(a != b)),
        Operator::Less => Some(Value::bool(a < b)),
        Operator::LessEq => Some(Value::bool(a <= b)),
        Operator::Greater => Some(Value::bool(a > b)),
        Operator::GreaterEq => Some(Value::bool(a >= b)),
        _ => None,
    }
}

/// The builtin that an operator of arithmetic is.
fn builtin_of(op: Operator) -> &'static str {
    match op {
        Operator::Sub => "sub",
        Operator::Mul => "mul",
        Operator::Div => "div",
        _ => "add",
    }
}

/// What the trace says of the operands, in stock Nix's words.
fn operand_frames(op: Operator, floats: bool) -> (&'static str, &'static str) {
    match op {
        Operator::Sub => (
            "while evaluating the first argument of the subtraction",
            "while evaluating the second argument of the subtraction",
        ),
        Operator::Mul if floats => (
            "while evaluating the first of the multiplication",
            "while evaluating the second argument of the multiplication",
        ),
        Operator::Mul => (
            "while evaluating the first argument of the multiplication",
            "while evaluating the second argument of the multiplication",
        ),
        Operator::Div => (
            "while evaluating the first operand of the division",
            "while evaluating the second operand of the division",
        ),
        _ => (
            "while evaluating the first argument of the addition",
            "while evaluating the second argument of the addition",
        ),
    }
}

/// The error of an operator or of its operands: arithmetic and comparisons are builtins, which evaluate their arguments.
#[cold]
#[inline(never)]
fn in_operator(error: EvalError, code: &BinaryCode) -> EvalError {
    let pos = code.pos;
    match code.op {
        Operator::Sub | Operator::Mul | Operator::Div => error.in_builtin(pos, builtin_of(code.op)),
        Operator::Less | Operator::Greater => error.in_builtin(pos, "lessThan"),
        Operator::LessEq | Operator::GreaterEq => {
            error.in_builtin(pos, "lessThan").around(pos, NOT)
        }
        _ => error,
    }
}

/// What the trace says of an operand or part that is to become a string.
const SEGMENT: &str = "while evaluating a path segment";

impl Evaluator {
    #[inline(never)]
    pub(super) fn binary_operator(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        let pos = code.pos;
        match code.op {
            Operator::And => {
                let left = self.eval_bool(
                    code.left,
                    env,
                    pos,
                    "in the left operand of the AND (&&) operator",
                )?;
                if !left {
                    return Ok(Value::FALSE);
                }
                self.eval_bool(
                    code.right,
                    env,
                    pos,
                    "in the right operand of the AND (&&) operator",
                )
                .map(Value::bool)
            }
            Operator::Or => {
                let left = self.eval_bool(
                    code.left,
                    env,
                    pos,
                    "in the left operand of the OR (||) operator",
                )?;
                if left {
                    return Ok(Value::TRUE);
                }
                self.eval_bool(
                    code.right,
                    env,
                    pos,
                    "in the right operand of the OR (||) operator",
                )
                .map(Value::bool)
            }
            Operator::Implies => {
                let left = self.eval_bool(
                    code.left,
                    env,
                    pos,
                    "in the left operand of the IMPL (->) operator",
                )?;
                if !left {
                    return Ok(Value::TRUE);
                }
                self.eval_bool(
                    code.right,
                    env,
                    pos,
                    "in the right operand of the IMPL (->) operator",
                )
                .map(Value::bool)
            }
            Operator::Update => self.update(code, env),
            Operator::Concat => self.concat_lists(code, env),
            _ => match self.with_operands(code, env) {
                Ok(value) => Ok(value),
                Err(error) => Err(in_operator(error, code)),
            },
        }
    }

    /// An operator that needs both operands.
    #[inline(always)]
    fn with_operands(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        // `a > b` is `b < a`, and evaluated in that order.
        let (left, right) = if matches!(code.op, Operator::Greater | Operator::LessEq) {
            let right = self.eval_operand(code.right, env)?;
            (self.eval_operand(code.left, env)?, right)
        } else {
            let left = self.eval_operand(code.left, env)?;
            if code.op == Operator::Add && !is_number(left) {
                return self.append(left, code, env);
            }
            (left, self.eval_operand(code.right, env)?)
        };
        match small_integers(code.op, left, right) {
            Some(value) => Ok(value),
            None if code.op == Operator::Add => self.add(left, right, code.operands[1]),
            None => self.strict_operator(code.op, left, right, code.pos),
        }
    }

    #[inline]
    fn strict_operator(
        &mut self,
        op: Operator,
        left: Value,
        right: Value,
        pos: Pos,
    ) -> Result<Value> {
        match op {
            Operator::Add | Operator::Sub | Operator::Mul | Operator::Div => {
                self.arithmetic(op, left, right, Pos::NONE)
            }
            Operator::Eq => self.equal(left, right, pos).map(Value::bool),
            Operator::NotEq => self
                .equal(left, right, pos)
                .map(|equal| Value::bool(!equal)),
            _ => {
                let (one, other) = match op {
                    Operator::Less | Operator::GreaterEq => (left, right),
                    _ => (right, left),
                };
                let less = self.less(one, other, Pos::NONE)?;
                Ok(Value::bool(
                    less == matches!(op, Operator::Less | Operator::Greater),
                ))
            }
        }
    }

    /// `a + b` of numbers, `a - b`, `a * b`, `a / b`, of forced values.
    ///
    /// # Errors
    ///
    /// Operands that are no numbers, overflow, division by zero.
    pub fn arithmetic(
        &mut self,
        op: Operator,
        left: Value,
        right: Value,
        pos: Pos,
    ) -> Result<Value> {
        if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
            let (result, doing, sign) = match op {
                Operator::Sub => (a.checked_sub(b), "subtracting", '-'),
                Operator::Mul => (a.checked_mul(b), "multiplying", '*'),
                Operator::Add => (a.checked_add(b), "adding", '+'),
                _ if b == 0 => return Err(EvalError::new(pos, "division by zero")),
                _ => (a.checked_div(b), "dividing", '/'),
            };
            return match result {
                Some(int) => Ok(self.int(int)),
                None => Err(EvalError::new(
                    pos,
                    format!("integer overflow in {doing} {a} {sign} {b}"),
                )),
            };
        }
        // Nix looks at the divisor first, and takes it for a float.
        if op == Operator::Div {
            let what = "while evaluating the second operand of the division";
            if self.force_float(right, pos, what)? == 0.0 {
                return Err(EvalError::new(pos, "division by zero"));
            }
        }
        let is_float = |value: Value| matches!(value.kind(), ValueKind::Float(_));
        let floats = is_float(left) || is_float(right);
        let (first, second) = operand_frames(op, floats);
        if !floats {
            self.force_int(left, pos, first)?;
            self.force_int(right, pos, second)?;
        }
        let a = self.force_float(left, pos, first)?;
        let b = self.force_float(right, pos, second)?;
        let result = match op {
            Operator::Sub => a - b,
            Operator::Mul => a * b,
            Operator::Add => a + b,
            _ if b == 0.0 => return Err(EvalError::new(pos, "division by zero")),
            _ => a / b,
        };
        Ok(self.float(result))
    }

    /// The operator `+` of forced values, the left of which is a number. What cannot be added is told at the right one.
    fn add(&mut self, left: Value, right: Value, pos: Pos) -> Result<Value> {
        match (left.kind(), right.kind()) {
            (ValueKind::Int(a), ValueKind::Int(b)) => match a.checked_add(b) {
                Some(sum) => Ok(self.int(sum)),
                None => Err(EvalError::new(
                    pos,
                    format!("integer overflow in adding {a} + {b}"),
                )),
            },
            (ValueKind::Int(a), ValueKind::Float(b)) => Ok(self.float(a as f64 + b)),
            (ValueKind::Float(a), ValueKind::Int(b)) => Ok(self.float(a + b as f64)),
            // From zero, as in Nix: two negative zeros make a positive one.
            (ValueKind::Float(a), ValueKind::Float(b)) => Ok(self.float(0.0 + a + b)),
            (number, other) => {
                let sort = match number {
                    ValueKind::Int(_) => "an integer",
                    _ => "a float",
                };
                Err(EvalError::new(
                    pos,
                    format!("cannot add {} to {sort}", other.type_name()),
                ))
            }
        }
    }

    /// The operator `+` where the left operand is no number: it is coerced before the right one is evaluated. The result is
    /// a path if that is one, otherwise a string; paths are copied to the store only if it is a string.
    #[inline(never)]
    fn append(&mut self, left: Value, code: &'static BinaryCode, env: Env) -> Result<Value> {
        let [left_pos, right_pos] = code.operands;
        let is_path = matches!(left.kind(), ValueKind::Path(_));
        let how = Coercion {
            more: false,
            copy_to_store: left.as_string().is_some(),
        };
        let mut context = ContextSet::new();
        let left = self.coerce_to_string(left, left_pos, &mut context, how, SEGMENT)?;
        let right = self.eval_operand(code.right, env)?;
        let right = self.coerce_to_string(right, right_pos, &mut context, how, SEGMENT)?;
        if is_path {
            return self.finish_path(&[left, right], &context, code.pos);
        }
        let context = context.finish(self.heap);
        let text = self.heap.joined(context, left.part(), right.part());
        Ok(Value::from(text))
    }

    fn finish_path(&mut self, texts: &[Text], context: &ContextSet, pos: Pos) -> Result<Value> {
        if !context.is_empty() {
            return Err(EvalError::new(
                pos,
                "a string that refers to a store path cannot be appended to a path",
            ));
        }
        let joined: Vec<u8> = texts.iter().flat_map(Text::bytes).copied().collect();
        if joined.contains(&0) {
            let text = String::from_utf8_lossy(&joined).replace('\0', "␀");
            return Err(EvalError::new(
                pos,
                format!("the path '{text}' contains a null byte, which no file name can have"),
            ));
        }
        Ok(self.path(&canonical_path(&joined)))
    }

    #[inline(never)]
    pub(super) fn interpolate(
        &mut self,
        parts: &'static [(CodeRef, Pos)],
        env: Env,
    ) -> Result<Value> {
        self.join(|ev, joining, context| {
            for (part, pos) in parts {
                let value = ev.eval_operand(part, env)?;
                let text =
                    ev.coerce_to_string(value, *pos, context, Coercion::INTERPOLATE, SEGMENT)?;
                ev.add_piece(joining, &text);
            }
            Ok(())
        })
    }

    #[inline(never)]
    pub(super) fn interpolate_path(
        &mut self,
        parts: &'static [(CodeRef, Pos)],
        pos: Pos,
        env: Env,
    ) -> Result<Value> {
        let mut context = ContextSet::new();
        let mut texts = Vec::with_capacity(parts.len());
        for (part, part_pos) in parts {
            let value = self.eval(part, env)?;
            texts.push(self.coerce_to_string(
                value,
                *part_pos,
                &mut context,
                Coercion::PLAIN,
                SEGMENT,
            )?);
        }
        self.finish_path(&texts, &context, pos)
    }

    #[inline(never)]
    fn concat_lists(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        let left = self.eval(code.left, env)?;
        let right = self.eval(code.right, env)?;
        let left = self.force_list(
            left,
            code.pos,
            "while evaluating one of the elements to concatenate",
        )?;
        let right = self.force_list(
            right,
            code.pos,
            "while evaluating one of the elements to concatenate",
        )?;
        if left.is_empty() {
            return Ok(Value::from(right));
        }
        if right.is_empty() {
            return Ok(Value::from(left));
        }
        self.list_of_both(left, right)
    }
}
