//! Equality and order.

use std::cmp::Ordering;

use super::Evaluator;
use crate::attrs::Attrs;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::stack;
use crate::value::{Value, ValueKind};

impl Evaluator {
    /// `a == b`.
    ///
    /// Functions are never equal; but the elements of two lists or sets are equal where they are the same object, so
    /// that `[f] == [f]` is true, as in Nix.
    ///
    /// # Errors
    ///
    /// If an evaluation fails.
    pub fn equal(&mut self, a: Value, b: Value, pos: Pos) -> Result<bool> {
        let a = self.force(a, pos)?;
        let b = self.force(b, pos)?;
        self.equal_forced(a, b, pos)
    }

    /// Equality of list elements or attributes.
    pub fn equal_elements(&mut self, a: Value, b: Value, pos: Pos) -> Result<bool> {
        if a.same(b) {
            // The same object is equal to itself, but it must not fail.
            self.force(a, pos)?;
            return Ok(true);
        }
        self.equal(a, b, pos)
    }

    fn equal_forced(&mut self, a: Value, b: Value, pos: Pos) -> Result<bool> {
        match (a.kind(), b.kind()) {
            (ValueKind::Int(a), ValueKind::Int(b)) => Ok(a == b),
            (ValueKind::Int(a), ValueKind::Float(b)) => Ok(a as f64 == b),
            (ValueKind::Float(a), ValueKind::Int(b)) => Ok(a == b as f64),
            (ValueKind::Float(a), ValueKind::Float(b)) => Ok(a == b),
            (ValueKind::Bool(a), ValueKind::Bool(b)) => Ok(a == b),
            (ValueKind::Null, ValueKind::Null) => Ok(true),
            (ValueKind::String(a), ValueKind::String(b)) => Ok(a.bytes() == b.bytes()),
            (ValueKind::Path(a), ValueKind::Path(b)) => Ok(a.as_slice() == b.as_slice()),
            (ValueKind::List(a), ValueKind::List(b)) => {
                let (a, b) = (a.as_slice(), b.as_slice());
                if a.len() != b.len() {
                    return Ok(false);
                }
                self.descend(pos, |ev| {
                    for (a, b) in a.iter().zip(b) {
                        if !ev.equal_elements(*a, *b, pos)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                })
            }
            (ValueKind::Attrs(a), ValueKind::Attrs(b)) => {
                self.descend(pos, |ev| ev.equal_attrs(a, b, pos))
            }
            _ => Ok(false),
        }
    }

    pub(super) fn check_recursion(&self, pos: Pos) -> Result<()> {
        if stack::is_exhausted(self.stack_limit) {
            Err(self.stack_overflow(pos))
        } else {
            Ok(())
        }
    }

    fn equal_attrs(&mut self, a: Attrs, b: Attrs, pos: Pos) -> Result<bool> {
        if self.is_derivation(a, pos)? && self.is_derivation(b, pos)? {
            let out_path = self.known.out_path;
            if let (Some(a), Some(b)) = (a.value(out_path), b.value(out_path)) {
                return self.equal_elements(a, b, pos);
            }
        }
        let (a, b) = (a.as_slice(), b.as_slice());
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if a.name != b.name || !self.equal_elements(a.value, b.value, pos)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a set is a derivation: it has `type = "derivation"`.
    ///
    /// # Errors
    ///
    /// If evaluating `type` fails.
    pub fn is_derivation(&mut self, attrs: Attrs, pos: Pos) -> Result<bool> {
        let Some(kind) = attrs.get(self.known.kind) else {
            return Ok(false);
        };
        let kind = self.force(kind.value, pos)?;
        Ok(kind
            .as_string()
            .is_some_and(|kind| kind.bytes() == b"derivation"))
    }

    /// `a < b`, as `<` and `builtins.sort` have it.
    ///
    /// # Errors
    ///
    /// If an evaluation fails or the types have no order.
    pub fn less(&mut self, a: Value, b: Value, pos: Pos) -> Result<bool> {
        let a = self.force(a, pos)?;
        let b = self.force(b, pos)?;
        match (a.kind(), b.kind()) {
            (ValueKind::Int(a), ValueKind::Int(b)) => Ok(a < b),
            (ValueKind::Int(a), ValueKind::Float(b)) => Ok((a as f64) < b),
            (ValueKind::Float(a), ValueKind::Int(b)) => Ok(a < b as f64),
            (ValueKind::Float(a), ValueKind::Float(b)) => Ok(a < b),
            (ValueKind::String(a), ValueKind::String(b)) => {
                Ok(a.bytes().cmp(b.bytes()) == Ordering::Less)
            }
            (ValueKind::Path(a), ValueKind::Path(b)) => {
                Ok(a.as_slice().cmp(b.as_slice()) == Ordering::Less)
            }
            (ValueKind::List(a), ValueKind::List(b)) => {
                self.check_recursion(pos)?;
                let (a, b) = (a.as_slice(), b.as_slice());
                for (x, y) in a.iter().zip(b) {
                    if !self.equal_elements(*x, *y, pos)? {
                        return self.less(*x, *y, pos).map_err(|error| {
                            error.context(Pos::NONE, "while comparing two list elements")
                        });
                    }
                }
                Ok(a.len() < b.len())
            }
            _ => Err(self.incomparable(a, b, pos)),
        }
    }

    #[cold]
    fn incomparable(&mut self, a: Value, b: Value, pos: Pos) -> EvalError {
        let (shown_a, shown_b) = (self.show_for_error(a), self.show_for_error(b));
        let (type_a, type_b) = (a.kind().type_name(), b.kind().type_name());
        let values = if a.kind().type_of() == b.kind().type_of() {
            format!("values of that type are incomparable (values are {shown_a} and {shown_b})")
        } else {
            format!("values are {shown_a} and {shown_b}")
        };
        EvalError::new(
            pos,
            format!("cannot compare {type_a} with {type_b}; {values}"),
        )
    }
}
