//! The arguments of a call: which are delayed, and which are evaluated before it.

use super::Evaluator;
use crate::code::{Code, CodeRef};
use crate::error::{EvalError, Result};
use crate::heap::Env;
use crate::position::Pos;
use crate::stack;
use crate::value::Value;

/// Calls of at most so many arguments need no memory for them.
const FEW_ARGUMENTS: usize = 6;

impl Evaluator {
    #[inline(never)]
    pub(super) fn eval_call(
        &mut self,
        fun: CodeRef,
        args: &'static [CodeRef],
        pos: Pos,
        env: Env,
    ) -> Result<Value> {
        let fun = self.eval_operand(fun, env)?;
        match args {
            [arg] => {
                if let Some(closure) = fun.as_lambda()
                    && closure.code.formals.is_some()
                {
                    return self.call_with_set(closure, arg, env, pos);
                }
                let arg = self.argument(arg, env, || demands(fun, 1, 0));
                self.call_function(fun, &[arg], pos)
            }
            [a, b] => {
                let a = self.argument(a, env, || demands(fun, 2, 0));
                let b = self.argument(b, env, || demands(fun, 2, 1));
                self.call_function(fun, &[a, b], pos)
            }
            [a, b, c] => {
                let a = self.argument(a, env, || demands(fun, 3, 0));
                let b = self.argument(b, env, || demands(fun, 3, 1));
                let c = self.argument(c, env, || demands(fun, 3, 2));
                self.call_function(fun, &[a, b, c], pos)
            }
            _ => {
                let mut few = [Value::NULL; FEW_ARGUMENTS];
                let mut many;
                let values = if args.len() <= FEW_ARGUMENTS {
                    &mut few[..args.len()]
                } else {
                    many = vec![Value::NULL; args.len()];
                    &mut many[..]
                };
                for (index, (value, arg)) in values.iter_mut().zip(args).enumerate() {
                    *value = self.argument(arg, env, || demands(fun, args.len(), index));
                }
                self.call_function(fun, values, pos)
            }
        }
    }

    /// An argument of a call: delayed, or evaluated where the function would do that first of all.
    #[inline]
    fn argument(&mut self, code: CodeRef, env: Env, demanded: impl FnOnce() -> bool) -> Value {
        match self.ready(code, env) {
            Some(value) => value,
            None if demanded() => self.argument_ahead(code, env),
            None => Value::from(self.heap.thunk(code, env)),
        }
    }

    #[inline(never)]
    fn argument_ahead(&mut self, code: CodeRef, env: Env) -> Value {
        // The call that will be made counts.
        if self.depth >= self.settings.max_call_depth || stack::is_exhausted(self.stack_limit) {
            return Value::from(self.heap.thunk(code, env));
        }
        self.depth += 1;
        let result = self.eval(code, env);
        self.depth -= 1;
        match result {
            // The identity of a function shows in comparisons: see `delayed_variable`.
            Ok(value) if value.as_lambda().is_some() => {
                let thunk = self.heap.thunk(code, env);
                thunk.finish(value);
                Value::from(thunk)
            }
            Ok(value) => value,
            Err(error) => {
                self.failed = Some(error);
                Value::from(self.heap.thunk(&Code::Failed, env))
            }
        }
    }

    /// The error of the argument that the function called last asks for.
    #[cold]
    pub(super) fn take_failed(&mut self) -> EvalError {
        self.failed
            .take()
            .unwrap_or_else(|| EvalError::new(Pos::NONE, "infinite recursion encountered"))
    }
}

/// Whether a call of `fun` with `count` arguments evaluates this one first of all.
#[inline(always)]
fn demands(fun: Value, count: usize, index: usize) -> bool {
    fun.as_lambda()
        .is_some_and(|closure| closure.code.demanded_of(count) == Some(index))
}
