//! Running code.

use std::cell::Cell;

use xbuild_syntax::symbol::Symbol;

use super::Evaluator;
use super::operators::small_integers;
use crate::attrs::{Attrs, AttrsBuilder};
use crate::code::{AssertCode, AttrsCode, Code, CodeRef, IfCode, NameCode, SelectCode, WithScope};
use crate::error::{EvalError, Result};
use crate::heap::{Env, Handle as _};
use crate::position::Pos;
use crate::stack;
use crate::value::{Attr, Value, ValueKind};

impl Evaluator {
    /// Evaluates code to weak head normal form.
    pub(crate) fn eval(&mut self, code: CodeRef, env: Env) -> Result<Value> {
        let mut code = code;
        let mut env = env;
        // Tail positions loop instead of recursing.
        loop {
            match code {
                Code::Const(value) => return Ok(*value),
                Code::Local { slot, pos } => return self.variable(env, *slot, *pos),
                Code::Outer { depth, slot, pos } => {
                    return self.variable(outer_frame(env, *depth), *slot, *pos);
                }
                Code::Select {
                    subject,
                    name,
                    pos,
                    hint,
                } => {
                    return self.select(subject, *name, *pos, hint, env);
                }
                Code::Call { fun, args, pos } => return self.eval_call(fun, args, *pos, env),
                Code::If(if_code) => code = self.branch(if_code, env)?,
                Code::Frame { size, body } => {
                    env = self.heap.env(Some(env), *size as usize);
                    code = body;
                }
                Code::Let { bindings, body } => {
                    for (slot, value) in *bindings {
                        let value = self.delay(value, env);
                        env.set(*slot, value);
                    }
                    code = body;
                }
                Code::Binary(binary) => return self.binary_operator(binary, env),
                Code::Attrs(attrs) => return self.eval_attrs(attrs, env),
                Code::Lambda(lambda) => {
                    return Ok(Value::from(self.heap.closure(lambda, env)));
                }
                Code::List(elements) => return Ok(self.eval_list(elements, env)),
                Code::Assert(assert) => {
                    self.check_assertion(assert, env)?;
                    code = assert.body;
                }
                Code::Not { operand, pos } => return self.not(operand, *pos, env),
                Code::SelectPath(select) => match self.eval_select_path(select, env)? {
                    Selected::Found(value) => return Ok(value),
                    Selected::Default(default) => code = default,
                },
                Code::HasAttr { subject, path } => return self.has_attr(subject, path, env),
                Code::With { name, scopes, pos } => {
                    return self.lookup_with(*name, scopes, *pos, env);
                }
                Code::Interpolation { parts } => return self.interpolate(parts, env),
                Code::PathInterpolation { parts, pos } => {
                    return self.interpolate_path(parts, *pos, env);
                }
                Code::SearchPath { name, pos } => return self.search_path_value(name, *pos),
                Code::CurPos(pos) => return Ok(self.position_value(*pos)),
                Code::Deep { body, pos } => {
                    if stack::is_exhausted(self.stack_limit) {
                        return Err(self.stack_overflow(*pos));
                    }
                    code = body;
                }
                Code::Failed => return Err(self.take_failed()),
            }
        }
    }

    /// As [`Evaluator::eval`], without the call where the value is known: a constant, or a variable that was evaluated.
    #[inline(always)]
    pub(super) fn eval_operand(&mut self, code: CodeRef, env: Env) -> Result<Value> {
        match code {
            Code::Const(value) => Ok(*value),
            Code::Local { slot, pos } => self.variable(env, *slot, *pos),
            Code::Outer { depth, slot, pos } => {
                self.variable(outer_frame(env, *depth), *slot, *pos)
            }
            _ => self.eval(code, env),
        }
    }

    #[inline]
    fn variable(&mut self, frame: Env, slot: u32, pos: Pos) -> Result<Value> {
        match frame.get(slot) {
            Some(value) if !value.is_thunk() => Ok(value),
            found => self.delayed_variable(found, frame, slot, pos),
        }
    }

    #[inline(never)]
    fn delayed_variable(
        &mut self,
        found: Option<Value>,
        frame: Env,
        slot: u32,
        pos: Pos,
    ) -> Result<Value> {
        let Some(value) = found else {
            return Err(EvalError::new(pos, "infinite recursion encountered"));
        };
        let forced = self.force(value, pos)?;
        // The next use finds the value without the way through the thunk. Functions are left alone, since their
        // identity shows in comparisons.
        if forced.as_lambda().is_none() {
            frame.set(slot, forced);
        }
        Ok(forced)
    }

    /// The value of an expression that may be needed later or never.
    #[inline]
    pub(crate) fn delay(&mut self, code: CodeRef, env: Env) -> Value {
        match self.ready(code, env) {
            Some(value) => value,
            None => Value::from(self.heap.thunk(code, env)),
        }
    }

    /// What [`Evaluator::delay`] needs no thunk for.
    #[inline]
    pub(super) fn ready(&mut self, code: CodeRef, env: Env) -> Option<Value> {
        match code {
            Code::Lambda(lambda) => Some(Value::from(self.heap.closure(lambda, env))),
            _ => at_hand(code, env),
        }
    }

    /// As [`Evaluator::delay`], for an element or attribute: where its value is printed, it shows that a sum
    /// or an attribute of something is not known yet.
    #[inline]
    fn delay_shown(&mut self, code: CodeRef, env: Env) -> Value {
        match code {
            Code::Binary(_) | Code::Select { .. } => Value::from(self.heap.thunk(code, env)),
            _ => self.delay(code, env),
        }
    }

    /// As [`Evaluator::delay`], for the default of a formal.
    #[inline]
    pub(crate) fn delay_thunk(&mut self, code: CodeRef, env: Env) -> Value {
        match code {
            Code::Const(value) => *value,
            Code::Lambda(lambda) => Value::from(self.heap.closure(lambda, env)),
            // A variable may be a formal that is not set yet; else it is what it stands for.
            Code::Local { .. } | Code::Outer { .. } => self.delay(code, env),
            _ => Value::from(self.heap.thunk(code, env)),
        }
    }

    #[inline]
    pub(crate) fn eval_bool(
        &mut self,
        code: CodeRef,
        env: Env,
        pos: Pos,
        what: &str,
    ) -> Result<bool> {
        match self.eval_operand(code, env) {
            Ok(Value::TRUE) => Ok(true),
            Ok(Value::FALSE) => Ok(false),
            other => Err(self.no_bool(other, pos, what)),
        }
    }

    /// The error of what is neither true nor false.
    #[cold]
    #[inline(never)]
    fn no_bool(&mut self, result: Result<Value>, pos: Pos, what: &str) -> EvalError {
        match result {
            // As Nix tells it, with the place twice.
            Ok(value) => {
                let error = self.type_error("a Boolean", value, Pos::NONE);
                error.context(pos, what).at(pos)
            }
            Err(error) => error.around(pos, what),
        }
    }

    #[inline]
    fn branch(&mut self, code: &'static IfCode, env: Env) -> Result<CodeRef> {
        let cond = self.eval_bool(
            code.cond,
            env,
            code.pos,
            "while evaluating a branch condition",
        )?;
        Ok(if cond { code.then } else { code.otherwise })
    }

    #[inline(never)]
    fn check_assertion(&mut self, assert: &'static AssertCode, env: Env) -> Result<()> {
        let holds = self.eval_bool(
            assert.cond,
            env,
            assert.pos,
            "in the condition of the assert statement",
        )?;
        if holds {
            Ok(())
        } else {
            Err(self.assertion_failed(assert, env))
        }
    }

    #[inline(never)]
    fn not(&mut self, operand: CodeRef, pos: Pos, env: Env) -> Result<Value> {
        let operand = self.eval_bool(operand, env, pos, NOT)?;
        Ok(Value::bool(!operand))
    }

    #[inline(never)]
    fn eval_list(&mut self, elements: &'static [CodeRef], env: Env) -> Value {
        let heap = self.heap;
        Value::from(heap.list_from_iter(
            elements.len(),
            elements.iter().map(|code| self.delay_shown(code, env)),
        ))
    }

    #[inline(never)]
    fn select(
        &mut self,
        subject: CodeRef,
        name: Symbol,
        pos: Pos,
        hint: &Cell<u32>,
        env: Env,
    ) -> Result<Value> {
        let subject = self.eval_operand(subject, env)?;
        let Some(attrs) = subject.as_attrs() else {
            let error = self.type_error("a set", subject, pos);
            return Err(error.context(pos, "while selecting an attribute"));
        };
        match attrs.get_hinted(name, hint) {
            Some(attr) => match self.force(attr.value, pos) {
                Ok(value) => Ok(value),
                Err(error) => Err(self.while_evaluating_attr(error, attr)),
            },
            None => Err(self.missing_attr(attrs, name, pos)),
        }
    }

    #[cold]
    fn while_evaluating_attr(&self, error: EvalError, attr: Attr) -> EvalError {
        let name = self.shown_symbol(attr.name);
        self.while_evaluating(error, attr.pos, &name)
    }

    /// The error of what `path` selects; `pos` is that of the attribute that was found last.
    fn while_evaluating(&self, error: EvalError, pos: Pos, path: &str) -> EvalError {
        let place = self.position(pos);
        if place.is_some_and(|place| place.file != DERIVATION_FILE) {
            error.around(pos, format!("while evaluating the attribute '{path}'"))
        } else {
            error
        }
    }

    /// The error of an attribute that is not in a set.
    #[cold]
    pub(crate) fn missing_attr(&self, attrs: Attrs, name: Symbol, pos: Pos) -> EvalError {
        let candidates = attrs.iter().map(|attr| self.symbols.name(attr.name));
        EvalError::new(
            pos,
            format!("attribute '{}' missing", self.shown_symbol(name)),
        )
        .suggest(crate::suggest::best_matches(
            self.symbols.name(name),
            candidates,
        ))
    }

    #[inline(never)]
    fn eval_select_path(&mut self, select: &'static SelectCode, env: Env) -> Result<Selected> {
        let mut found = None;
        self.follow_path(select, env, &mut found)
            .map_err(|error| match found {
                Some(pos) => self.in_path_of(select, env, error, pos),
                None => error,
            })
    }

    /// `found` becomes the position of the attribute that was found last.
    fn follow_path(
        &mut self,
        select: &'static SelectCode,
        env: Env,
        found: &mut Option<Pos>,
    ) -> Result<Selected> {
        let mut value = self.eval_operand(select.subject, env)?;
        let mut place = select.pos;
        for code in select.path {
            let (name, pos) = self.attr_name(code, env)?;
            place = pos;
            value = self.force(value, pos)?;
            let Some(attrs) = value.as_attrs() else {
                if let Some(default) = select.default {
                    return Ok(Selected::Default(default));
                }
                let error = self.type_error("a set", value, pos);
                return Err(error.context(pos, "while selecting an attribute"));
            };
            let Some(attr) = attr_of(attrs, name, code) else {
                return match select.default {
                    Some(default) => Ok(Selected::Default(default)),
                    None => Err(self.missing_attr(attrs, name, pos)),
                };
            };
            *found = Some(attr.pos);
            value = attr.value;
        }
        Ok(Selected::Found(self.force(value, place)?))
    }

    #[cold]
    fn in_path_of(
        &mut self,
        select: &'static SelectCode,
        env: Env,
        error: EvalError,
        pos: Pos,
    ) -> EvalError {
        let mut path = String::new();
        for code in select.path {
            if !path.is_empty() {
                path.push('.');
            }
            match self.attr_name(code, env) {
                Ok((name, _)) => path += &self.shown_symbol(name),
                Err(_) => path += "\"${…}\"",
            }
        }
        self.while_evaluating(error, pos, &path)
    }

    fn attr_name(&mut self, name: &'static NameCode, env: Env) -> Result<(Symbol, Pos)> {
        match name {
            NameCode::Static(name, pos, _) => Ok((*name, *pos)),
            NameCode::Dynamic(code, pos, around) => {
                let value = self.eval(code, env)?;
                let name = self.force_string_no_context(
                    value,
                    *pos,
                    "while evaluating an attribute name",
                )?;
                Ok((self.symbols.intern(name.bytes()), *around))
            }
        }
    }

    #[inline(never)]
    fn has_attr(&mut self, subject: CodeRef, path: &'static [NameCode], env: Env) -> Result<Value> {
        let mut value = self.eval_operand(subject, env)?;
        let (last, init) = path.split_last().expect("an attribute path has a name");
        for code in init {
            let (name, pos) = self.attr_name(code, env)?;
            let found = value.as_attrs();
            let Some(attr) = found.and_then(|attrs| attr_of(attrs, name, code)) else {
                return Ok(Value::FALSE);
            };
            value = self.force(attr.value, pos)?;
        }
        let (name, _) = self.attr_name(last, env)?;
        Ok(Value::bool(
            value
                .as_attrs()
                .is_some_and(|attrs| attr_of(attrs, name, last).is_some()),
        ))
    }

    #[inline(never)]
    fn lookup_with(
        &mut self,
        name: Symbol,
        scopes: &'static [WithScope],
        pos: Pos,
        env: Env,
    ) -> Result<Value> {
        for with in scopes {
            let mut frame = env;
            for _ in 0..with.depth {
                frame = frame.up();
            }
            let scope = self.variable(frame, with.slot, pos)?;
            let Some(attrs) = scope.as_attrs() else {
                return Err(self.type_error("a set", scope, with.pos).context(
                    with.pos,
                    "while evaluating the first subexpression of a with expression",
                ));
            };
            if with.missing_in.get() == attrs.address() {
                continue;
            }
            if let Some(attr) = attrs.get_hinted(name, &with.hint) {
                return self.force(attr.value, pos);
            }
            with.missing_in.set(attrs.address());
        }
        Err(self.undefined(name, pos))
    }

    #[cold]
    fn undefined(&self, name: Symbol, pos: Pos) -> EvalError {
        EvalError::new(
            pos,
            format!("undefined variable '{}'", self.shown_symbol(name)),
        )
    }

    #[inline(never)]
    fn eval_attrs(&mut self, code: &'static AttrsCode, env: Env) -> Result<Value> {
        for (slot, value) in code.slots {
            let value = self.delay(value, env);
            env.set(*slot, value);
        }
        if code.dynamic.is_empty() && !code.overrides {
            let heap = self.heap;
            let attrs = code.attrs.iter().map(|attr| {
                let value = self.delay_shown(attr.value, env);
                if let Some(slot) = attr.slot {
                    env.set(slot, value);
                }
                Attr {
                    name: attr.name,
                    pos: attr.pos,
                    value,
                }
            });
            return Ok(Value::from(heap.attrs_from_iter(code.attrs.len(), attrs)));
        }
        self.eval_dynamic_attrs(code, env)
    }

    fn eval_dynamic_attrs(&mut self, code: &'static AttrsCode, env: Env) -> Result<Value> {
        let mut attrs: Vec<Attr> = Vec::with_capacity(code.attrs.len() + code.dynamic.len());
        for attr in code.attrs {
            // With overrides a later binding may see another value, so every one is delayed.
            let value = match attr.value {
                Code::Const(value) => *value,
                value if code.overrides => Value::from(self.heap.thunk(value, env)),
                value => self.delay_shown(value, env),
            };
            if let Some(slot) = attr.slot {
                env.set(slot, value);
            }
            attrs.push(Attr {
                name: attr.name,
                pos: attr.pos,
                value,
            });
        }
        if code.overrides
            && let Some(overrides) = attrs.iter().find(|attr| attr.name == self.known.overrides)
        {
            let overrides = self.force_attrs(
                overrides.value,
                Pos::NONE,
                "while evaluating the `__overrides` attribute",
            )?;
            for given in overrides.iter() {
                match attrs.iter_mut().find(|attr| attr.name == given.name) {
                    Some(attr) => attr.value = given.value,
                    None => attrs.push(given),
                }
                if let Some(slot) = code
                    .attrs
                    .iter()
                    .find(|attr| attr.name == given.name)
                    .and_then(|attr| attr.slot)
                {
                    env.set(slot, given.value);
                }
            }
        }
        for dynamic in code.dynamic {
            let name = self.eval(dynamic.name, env)?;
            if matches!(name.kind(), ValueKind::Null) {
                continue;
            }
            let name = self.force_string_no_context(
                name,
                dynamic.pos,
                "while evaluating the name of a dynamic attribute",
            )?;
            let name = self.symbols.intern(name.bytes());
            if let Some(earlier) = attrs.iter().find(|attr| attr.name == name) {
                let (earlier, line) = (earlier.pos, self.show_position(earlier.pos));
                let _ = earlier;
                return Err(EvalError::new(
                    dynamic.pos,
                    format!(
                        "dynamic attribute '{}' already defined at {line}",
                        self.name(name)
                    ),
                ));
            }
            let value = self.delay_shown(dynamic.value, env);
            attrs.push(Attr {
                name,
                pos: dynamic.pos,
                value,
            });
        }
        let mut builder = AttrsBuilder::with_capacity(attrs.len());
        for attr in attrs {
            builder.push(attr);
        }
        Ok(builder.finish_value(self.heap))
    }
}

/// The attribute of the name that `code` gave.
#[inline]
fn attr_of(attrs: Attrs, name: Symbol, code: &NameCode) -> Option<Attr> {
    match code {
        NameCode::Static(_, _, hint) => attrs.get_hinted(name, hint),
        NameCode::Dynamic(..) => attrs.get(name),
    }
}

/// The file of `derivation`, the attributes in which are no news.
const DERIVATION_FILE: &str = "«nix-internal»/derivation-internal.nix";

/// What the trace says of the operand of `!`.
pub(super) const NOT: &str = "in the argument of the not operator";

/// What an expression is without any evaluation that could fail or last: the value of a variable (which may be a thunk),
/// arithmetic with integers, an attribute that was evaluated already.
#[inline]
fn at_hand(code: CodeRef, env: Env) -> Option<Value> {
    match code {
        Code::Const(value) => Some(*value),
        Code::Local { slot, .. } => env.get(*slot),
        Code::Outer { depth, slot, .. } => outer_frame(env, *depth).get(*slot),
        Code::Binary(binary) => {
            let left = operand_at_hand(binary.left, env)?;
            let right = operand_at_hand(binary.right, env)?;
            small_integers(binary.op, left, right)
        }
        Code::Select {
            subject,
            name,
            hint,
            ..
        } => {
            let subject = operand_at_hand(subject, env)?.as_attrs()?;
            let value = subject.get_hinted(*name, hint)?.value.known()?;
            // A function or a float that is selected twice is not the same in comparisons of lists.
            match value.kind() {
                ValueKind::Lambda(_)
                | ValueKind::Builtin(_)
                | ValueKind::Partial(_)
                | ValueKind::Float(_) => None,
                _ => Some(value),
            }
        }
        _ => None,
    }
}

/// The value of a constant or variable, if it was evaluated already.
#[inline(always)]
fn operand_at_hand(code: CodeRef, env: Env) -> Option<Value> {
    match code {
        Code::Const(value) => Some(*value),
        Code::Local { slot, .. } => env.get(*slot)?.known(),
        Code::Outer { depth, slot, .. } => outer_frame(env, *depth).get(*slot)?.known(),
        _ => None,
    }
}

/// The frame `depth` levels out, at least one.
#[inline(always)]
fn outer_frame(env: Env, depth: u32) -> Env {
    let mut frame = env.up();
    for _ in 1..depth {
        frame = frame.up();
    }
    frame
}

enum Selected {
    Found(Value),
    Default(CodeRef),
}
