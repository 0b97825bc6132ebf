//! Function calls.

use xbuild_syntax::symbol::Symbol;

use super::Evaluator;
use crate::attrs::Attrs;
use crate::code::{Body, CodeRef, FormalsCode, LambdaCode};
use crate::error::{CALL_SITE, EvalError, Result};
use crate::heap::{Application, Env};
use crate::position::Pos;
use crate::stack;
use crate::value::{Attr, Builtin, Closure, Value, ValueKind};

/// How many arguments a builtin takes at most.
const MAX_ARITY: usize = 3;

/// The error of a call at `pos` before the function is entered. Those of builtins have no place.
#[cold]
#[inline(never)]
fn at_call_site(error: EvalError, pos: Pos) -> EvalError {
    if pos.is_some() {
        error.around(pos, CALL_SITE)
    } else {
        error
    }
}

impl Evaluator {
    /// Runs a step of a recursion through a value, which counts as a call.
    ///
    /// # Errors
    ///
    /// If the recursion is too deep, or `step` fails.
    pub(crate) fn descend<T>(
        &mut self,
        pos: Pos,
        step: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.depth >= self.settings.max_call_depth || stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(pos));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    pub(crate) fn call_function(&mut self, fun: Value, args: &[Value], pos: Pos) -> Result<Value> {
        if self.depth >= self.settings.max_call_depth || stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(pos));
        }
        self.depth += 1;
        let result = match (fun.as_lambda(), args) {
            (Some(closure), [arg]) => self.call_lambda(closure, *arg, pos),
            (Some(closure), [first, second]) => match closure.code.two() {
                Some((inner, body)) => {
                    let env = self.heap.env(Some(closure.env), inner.frame_size as usize);
                    env.set(0, *first);
                    self.call_closure(inner, body, env, *second, pos)
                }
                None => self.apply(fun, args, pos),
            },
            _ => match fun.kind() {
                ValueKind::Builtin(builtin) if usize::from(builtin.arity) == args.len() => {
                    self.call_builtin(builtin, args, pos)
                }
                _ => self.apply(fun, args, pos),
            },
        };
        self.depth -= 1;
        result
    }

    /// Calls a function of the language with one argument.
    #[inline(always)]
    fn call_lambda(&mut self, closure: &'static Closure, arg: Value, pos: Pos) -> Result<Value> {
        match &closure.code.body {
            Body::Code(body) => {
                let env = self.frame(closure);
                self.call_closure(closure.code, body, env, arg, pos)
            }
            Body::Lambda(inner) => Ok(self.call_curried(closure, inner, &[arg], pos)?.0),
        }
    }

    /// A call of a function that takes its argument apart (`{ … }: …`), which is evaluated at once.
    pub(super) fn call_with_set(
        &mut self,
        closure: &'static Closure,
        arg: CodeRef,
        env: Env,
        pos: Pos,
    ) -> Result<Value> {
        if self.depth >= self.settings.max_call_depth || stack::is_exhausted(self.stack_limit) {
            return Err(self.stack_overflow(pos));
        }
        self.depth += 1;
        let result = match self.eval_operand(arg, env) {
            Ok(arg) => self.call_lambda(closure, arg, pos),
            Err(error) => Err(at_call_site(error, pos)),
        };
        self.depth -= 1;
        result
    }

    fn apply(&mut self, fun: Value, mut args: &[Value], pos: Pos) -> Result<Value> {
        let mut fun = self.force(fun, pos)?;
        if args.is_empty()
            && let ValueKind::Builtin(constant) = fun.kind()
            && constant.arity == 0
        {
            return self.call_builtin(constant, args, pos);
        }
        while let [arg, rest @ ..] = args {
            match fun.kind() {
                ValueKind::Lambda(closure) => match &closure.code.body {
                    Body::Code(body) => {
                        let env = self.frame(closure);
                        fun = self.call_closure(closure.code, body, env, *arg, pos)?;
                        args = rest;
                    }
                    Body::Lambda(inner) => {
                        (fun, args) = self.call_curried(closure, inner, args, pos)?;
                    }
                },
                ValueKind::Builtin(builtin) => {
                    let arity = usize::from(builtin.arity);
                    if args.len() < arity {
                        return Ok(Value::partial(self.heap.array(fun, args)));
                    }
                    fun = self.call_builtin(builtin, &args[..arity], pos)?;
                    args = &args[arity..];
                }
                ValueKind::Partial(partial) => {
                    let (result, taken) = self.call_partial(partial, args, pos)?;
                    fun = result;
                    args = &args[taken..];
                }
                ValueKind::Attrs(attrs) => match attrs.get(self.known.functor) {
                    Some(functor) => {
                        // The set itself is the first argument.
                        fun = match self.call(functor.value, &[fun, *arg], functor.pos) {
                            Ok(value) => value,
                            Err(error) => {
                                return Err(error.around(pos, "while calling a functor (an attribute set with a '__functor' attribute)"));
                            }
                        };
                        args = rest;
                    }
                    None => return Err(self.not_a_function(fun, pos)),
                },
                _ => return Err(self.not_a_function(fun, pos)),
            }
        }
        Ok(fun)
    }

    #[cold]
    fn not_a_function(&mut self, found: Value, pos: Pos) -> EvalError {
        let shown = self.show_for_error(found);
        EvalError::new(
            pos,
            format!(
                "attempt to call something which is not a function but {}: {shown}",
                found.kind().type_name()
            ),
        )
    }

    /// Applies a builtin that has some arguments already; tells how many of `args` it took.
    fn call_partial(
        &mut self,
        partial: Application,
        args: &[Value],
        pos: Pos,
    ) -> Result<(Value, usize)> {
        let ValueKind::Builtin(builtin) = partial.head().kind() else {
            return Err(self.not_a_function(partial.head(), pos));
        };
        let have = partial.as_slice();
        let missing = usize::from(builtin.arity).saturating_sub(have.len());
        let taken = missing.min(args.len());
        let all = have.iter().chain(&args[..taken]).copied();
        if taken < missing {
            let all = self
                .heap
                .array_from_iter(partial.head(), have.len() + taken, all);
            return Ok((Value::partial(all), taken));
        }
        let mut given = [Value::NULL; MAX_ARITY];
        for (place, arg) in given.iter_mut().zip(all) {
            *place = arg;
        }
        let given = &given[..usize::from(builtin.arity)];
        Ok((self.call_builtin(builtin, given, pos)?, taken))
    }

    #[inline]
    pub(crate) fn call_builtin(
        &mut self,
        builtin: &'static Builtin,
        args: &[Value],
        pos: Pos,
    ) -> Result<Value> {
        // What happens in a builtin has no place but that of its call.
        let result = match (builtin.run)(self, args, Pos::NONE) {
            // It may hand on an argument or an element as it is.
            Ok(value) => self.force(value, Pos::NONE),
            Err(error) => Err(error),
        };
        result.map_err(|error| error.in_builtin(pos, builtin.plain_name()))
    }

    /// The frame of a call: what it shares with the functions around is there already.
    #[inline]
    fn frame(&self, closure: &Closure) -> Env {
        let code = closure.code;
        match code.outer_params {
            0 => self.heap.env(Some(closure.env), code.frame_size as usize),
            _ => self.extended_frame(closure.env, code.outer_params, code.frame_size),
        }
    }

    /// A frame of `size` slots, the first `params` of which are those of the frame `of`.
    fn extended_frame(&self, of: Env, params: u32, size: u32) -> Env {
        let env = self.heap.env(Some(of.up()), size as usize);
        for slot in 0..params {
            if let Some(value) = of.get(slot) {
                env.set(slot, value);
            }
        }
        env
    }

    /// Runs the body of a function in a fresh frame.
    #[inline]
    fn call_closure(
        &mut self,
        lambda: &'static LambdaCode,
        body: CodeRef,
        env: Env,
        arg: Value,
        pos: Pos,
    ) -> Result<Value> {
        match &lambda.formals {
            None => env.set(lambda.outer_params, arg),
            Some(formals) => self.bind_formals(lambda, formals, env, arg, pos)?,
        }
        match self.eval_operand(body, env) {
            Ok(value) => {
                self.heap.release(env);
                Ok(value)
            }
            Err(error) => Err(self.while_calling(error, lambda, pos)),
        }
    }

    /// Calls a function that returns functions with as many of `args` as these take before one of them has a body to
    /// evaluate; tells which arguments are left.
    #[inline]
    fn call_curried<'a>(
        &mut self,
        closure: &'static Closure,
        inner: &'static LambdaCode,
        args: &'a [Value],
        pos: Pos,
    ) -> Result<(Value, &'a [Value])> {
        let first = closure.code.outer_params;
        let mut lambda = inner;
        let mut plain = 1;
        while let Body::Lambda(next) = lambda.body
            && plain < args.len()
        {
            lambda = next;
            plain += 1;
        }
        // All that `args` has for the functions before `lambda`; with one more, `lambda` itself is called.
        let (taken, rest) = args.split_at(plain);
        let body = match (lambda.body, rest) {
            (Body::Code(body), [_, ..]) => Some(body),
            _ => None,
        };
        let size = match body {
            Some(_) => lambda.frame_size,
            None => lambda.outer_params,
        };
        let env = match first {
            0 => self.heap.env(Some(closure.env), size as usize),
            _ => self.extended_frame(closure.env, first, size),
        };
        for (slot, arg) in (first..).zip(taken) {
            env.set(slot, *arg);
        }
        match (body, rest) {
            (Some(body), [arg, rest @ ..]) => {
                Ok((self.call_closure(lambda, body, env, *arg, pos)?, rest))
            }
            _ => Ok((Value::from(self.heap.closure(lambda, env)), rest)),
        }
    }

    #[cold]
    fn while_calling(&self, error: EvalError, lambda: &LambdaCode, pos: Pos) -> EvalError {
        let name = match lambda.name {
            Some(name) => format!("'{}'", self.name(name)),
            None => "anonymous lambda".to_owned(),
        };
        let error = error.context_call(lambda.pos, format!("while calling {name}"));
        if pos.is_some() {
            error.context_call(pos, CALL_SITE)
        } else {
            error
        }
    }

    /// Puts the attributes of `arg` into the slots of the formals.
    fn bind_formals(
        &mut self,
        lambda: &LambdaCode,
        formals: &FormalsCode,
        env: Env,
        arg: Value,
        pos: Pos,
    ) -> Result<()> {
        let found = match self.force(arg, pos) {
            Ok(found) => found,
            Err(error) => return Err(at_call_site(error, pos)),
        };
        let Some(attrs) = found.as_attrs() else {
            let error = self.type_error("a set", found, lambda.pos);
            let what = "while evaluating the value passed for the lambda argument";
            return Err(at_call_site(error.context(lambda.pos, what), pos));
        };
        if lambda.arg.is_some() {
            env.set(lambda.outer_params, found);
        }
        let given = attrs.as_slice();
        let mut used = 0;
        let mut at = 0;
        for (index, formal) in formals.formals.iter().enumerate() {
            let slot = formals.first_slot + index as u32;
            // Both are sorted; but where the set is much larger, searching beats walking through it.
            let value = if given.len() > 8 * formals.formals.len() {
                attrs.value(formal.name)
            } else {
                while at < given.len() && given[at].name < formal.name {
                    at += 1;
                }
                match given.get(at) {
                    Some(attr) if attr.name == formal.name => Some(attr.value),
                    _ => None,
                }
            };
            match (value, formal.default) {
                (Some(value), _) => {
                    used += 1;
                    env.set(slot, value);
                }
                (None, Some(default)) => {
                    let value = self.delay_thunk(default, env);
                    env.set(slot, value);
                }
                (None, None) => return Err(self.missing_argument(lambda, formal.name, pos)),
            }
        }
        if !formals.ellipsis && used != given.len() {
            return Err(self.unexpected_argument(lambda, formals, attrs, pos));
        }
        Ok(())
    }

    fn lambda_name(&self, lambda: &LambdaCode) -> String {
        lambda.name.map_or_else(
            || "anonymous lambda".to_owned(),
            |name| self.name(name).into_owned(),
        )
    }

    #[cold]
    fn missing_argument(&self, lambda: &LambdaCode, name: Symbol, pos: Pos) -> EvalError {
        EvalError::new(
            lambda.pos,
            format!(
                "function '{}' called without required argument '{}'",
                self.lambda_name(lambda),
                self.name(name)
            ),
        )
        .context(pos, CALL_SITE)
    }

    #[cold]
    fn unexpected_argument(
        &self,
        lambda: &LambdaCode,
        formals: &FormalsCode,
        attrs: Attrs,
        pos: Pos,
    ) -> EvalError {
        let is_formal = |attr: &Attr| {
            formals
                .formals
                .binary_search_by_key(&attr.name, |formal| formal.name)
                .is_ok()
        };
        let name = attrs
            .iter()
            .find(|attr| !is_formal(attr))
            .map_or_else(String::new, |attr| self.shown_symbol(attr.name));
        let candidates = formals
            .formals
            .iter()
            .map(|formal| self.symbols.name(formal.name));
        EvalError::new(
            lambda.pos,
            format!(
                "function '{}' called with unexpected argument '{name}'",
                self.lambda_name(lambda)
            ),
        )
        .suggest(crate::suggest::best_matches(name.as_bytes(), candidates))
        .context(pos, CALL_SITE)
    }
}
