//! The operators, and interpolation, which is the operator `+` on strings.

use super::Evaluator;
use super::coerce::{Coercion, Text, canonical_path};
use crate::code::{BinaryCode, CodeRef, Operator};
use crate::error::{EvalError, Result};
use crate::heap::Env;
use crate::position::Pos;
use crate::string::ContextSet;
use crate::value::{Value, ValueKind};

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
            _ => {
                let left = self.eval(code.left, env)?;
                let right = self.eval(code.right, env)?;
                match small_integers(code.op, left, right) {
                    Some(value) => Ok(value),
                    None if code.op == Operator::Add => self.add(left, right, code.operands),
                    None => self.strict_operator(code.op, left, right, pos),
                }
            }
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
            Operator::Add | Operator::Sub | Operator::Mul | Operator::Div => self
                .arithmetic(op, left, right, pos)
                .map_err(|error| error.in_builtin(pos, builtin_of(op))),
            Operator::Eq => self.equal(left, right, pos).map(Value::bool),
            Operator::NotEq => self
                .equal(left, right, pos)
                .map(|equal| Value::bool(!equal)),
            _ => {
                let (one, other) = match op {
                    Operator::Less | Operator::GreaterEq => (left, right),
                    _ => (right, left),
                };
                let less = self
                    .less(one, other, pos)
                    .map_err(|error| error.in_builtin(pos, "lessThan"))?;
                Ok(Value::bool(
                    less == matches!(op, Operator::Less | Operator::Greater),
                ))
            }
        }
    }

    /// `a - b`, `a * b`, `a / b` of forced values.
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
        let name = match op {
            Operator::Sub => "subtraction",
            Operator::Mul => "multiplication",
            Operator::Add => "addition",
            _ => "division",
        };
        // Nix looks at the divisor first, and takes it for a float.
        if op == Operator::Div {
            let what = "while evaluating the second operand of the division";
            if self.force_float(right, pos, what)? == 0.0 {
                return Err(EvalError::new(pos, "division by zero"));
            }
        }
        let is_float = |value: Value| matches!(value.kind(), ValueKind::Float(_));
        if !is_float(left) && !is_float(right) {
            self.force_int(
                left,
                pos,
                &format!("while evaluating the first argument of the {name}"),
            )?;
            self.force_int(
                right,
                pos,
                &format!("while evaluating the second argument of the {name}"),
            )?;
        }
        let a = self.force_float(
            left,
            pos,
            &format!("while evaluating the first argument of the {name}"),
        )?;
        let b = self.force_float(
            right,
            pos,
            &format!("while evaluating the second argument of the {name}"),
        )?;
        let result = match op {
            Operator::Sub => a - b,
            Operator::Mul => a * b,
            Operator::Add => a + b,
            _ if b == 0.0 => return Err(EvalError::new(pos, "division by zero")),
            _ => a / b,
        };
        Ok(self.float(result))
    }

    /// The operator `+` of forced values.
    fn add(&mut self, left: Value, right: Value, operands: [Pos; 2]) -> Result<Value> {
        // What cannot be added is told at the right operand.
        let [left_pos, pos] = operands;
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
            (ValueKind::Float(a), ValueKind::Float(b)) => Ok(self.float(a + b)),
            (ValueKind::Int(_), other) => Err(EvalError::new(
                pos,
                format!("cannot add {} to an integer", other.type_name()),
            )),
            (ValueKind::Float(_), other) => Err(EvalError::new(
                pos,
                format!("cannot add {} to a float", other.type_name()),
            )),
            (ValueKind::String(a), ValueKind::String(b)) => {
                let mut context = ContextSet::new();
                context.add(a.context());
                context.add(b.context());
                let context = context.finish(self.heap);
                Ok(Value::from(
                    self.heap.concat(context, &[a.bytes(), b.bytes()]),
                ))
            }
            _ => self.concat_texts(&[(left, left_pos), (right, pos)], false, pos),
        }
    }

    /// Concatenates as `+` does; a string is the result if `force_string` or unless the first is a path.
    fn concat_texts(
        &mut self,
        parts: &[(Value, Pos)],
        force_string: bool,
        pos: Pos,
    ) -> Result<Value> {
        let is_path = !force_string && matches!(parts[0].0.kind(), ValueKind::Path(_));
        let mut context = ContextSet::new();
        let how = Coercion {
            more: false,
            copy_to_store: !is_path,
        };
        let mut texts: Vec<Text> = Vec::with_capacity(parts.len());
        for (value, part_pos) in parts {
            let text = self.coerce_to_string(
                *value,
                *part_pos,
                &mut context,
                how,
                "while evaluating a path segment",
            )?;
            texts.push(text);
        }
        if is_path {
            return self.finish_path(&texts, &context, pos);
        }
        let slices: Vec<&[u8]> = texts.iter().map(Text::bytes).collect();
        Ok(Value::from(
            self.heap.concat(context.finish(self.heap), &slices),
        ))
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
        pos: Pos,
        env: Env,
    ) -> Result<Value> {
        let mut values = Vec::with_capacity(parts.len());
        for (part, part_pos) in parts {
            values.push((self.eval(part, env)?, *part_pos));
        }
        self.concat_texts(&values, true, pos)
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
                "while evaluating a path segment",
            )?);
        }
        self.finish_path(&texts, &context, pos)
    }

    #[inline(never)]
    fn update(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        let right = self.eval(code.right, env)?;
        let right = self.force_attrs(
            right,
            Pos::NONE,
            "in the right operand of the update (//) operator",
        )?;
        let left = self.eval(code.left, env)?;
        let left = self.force_attrs(
            left,
            Pos::NONE,
            "in the left operand of the update (//) operator",
        )?;
        Ok(Value::from(left.update(self.heap, right)))
    }

    #[inline(never)]
    fn concat_lists(&mut self, code: &'static BinaryCode, env: Env) -> Result<Value> {
        let left = self.eval(code.left, env)?;
        let left = self.force_list(
            left,
            code.pos,
            "while evaluating one of the elements to concatenate",
        )?;
        let right = self.eval(code.right, env)?;
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
        let (left, right) = (left.as_slice(), right.as_slice());
        let all = left.iter().chain(right).copied();
        self.long_list(left.len() + right.len(), all)
    }
}
