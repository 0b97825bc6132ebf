//! From thunks to values, and the checks of what type they are.

use super::Evaluator;
use crate::attrs::Attrs;
use crate::error::{ErrorKind, EvalError, Result};
use crate::heap::{Handle as _, Pending, Thunk, ThunkState};
use crate::position::Pos;
use crate::stack;
use crate::string::{ContextElem, Str};
use crate::value::{List, Value, ValueKind};

impl Evaluator {
    /// The value in weak head normal form: never a thunk, but what is inside of it may be.
    ///
    /// # Errors
    ///
    /// If the evaluation fails. `pos` is told where it is an infinite recursion.
    #[inline]
    pub fn force(&mut self, value: Value, pos: Pos) -> Result<Value> {
        match value.as_thunk() {
            None => Ok(value),
            Some(thunk) => match thunk.value() {
                Some(value) => Ok(value),
                None => self.run_thunk(thunk, pos),
            },
        }
    }

    #[inline(never)]
    fn run_thunk(&mut self, thunk: &'static Thunk, pos: Pos) -> Result<Value> {
        let pending = match thunk.start() {
            ThunkState::Done(value) => return Ok(value),
            ThunkState::Blackhole => {
                return Err(EvalError::new(pos, "infinite recursion encountered"));
            }
            ThunkState::Start(pending) => pending,
        };
        if stack::is_exhausted(self.stack_limit) {
            thunk.restore(pending);
            return Err(self.stack_overflow(pos));
        }
        let result = match pending {
            Pending::Code(code, env) => self.eval(code, env),
            Pending::Apply(application) => {
                self.call_function(application.head(), application.as_slice(), pos)
            }
            Pending::ApplyOne(fun, arg) => self.call_function(fun, &[arg], pos),
        };
        match result {
            Ok(value) => {
                debug_assert!(!value.is_thunk());
                thunk.finish(value);
                Ok(value)
            }
            Err(error) => {
                thunk.restore(pending);
                Err(error)
            }
        }
    }

    /// The error of too deep a recursion, or of an interruption.
    #[cold]
    pub(crate) fn stack_overflow(&self, pos: Pos) -> EvalError {
        if self.stack_limit.is_interrupted() {
            return EvalError::with_kind(
                ErrorKind::Interrupted,
                Pos::NONE,
                "interrupted by the user",
            );
        }
        let why = if self.depth >= self.settings.max_call_depth {
            "stack overflow; max-call-depth exceeded"
        } else {
            "stack overflow (possible infinite recursion)"
        };
        EvalError::with_kind(ErrorKind::StackOverflow, pos, why)
    }

    /// Fails if the user wants the evaluation to end. What works for long without a call asks now and then.
    ///
    /// # Errors
    ///
    /// If so.
    #[inline]
    pub(crate) fn check_interrupted(&self) -> Result<()> {
        if self.stack_limit.is_interrupted() {
            return Err(self.stack_overflow(Pos::NONE));
        }
        Ok(())
    }

    /// A list of at most `capacity` elements; making it can be interrupted.
    ///
    /// # Errors
    ///
    /// If it was.
    pub(crate) fn long_list(
        &self,
        capacity: usize,
        elements: impl Iterator<Item = Value>,
    ) -> Result<Value> {
        let limit = self.stack_limit;
        let elements = elements.take_while(|_| !limit.is_interrupted());
        let list = self.heap.list_from_iter(capacity, elements);
        self.check_interrupted()?;
        Ok(Value::from(list))
    }

    /// One list after the other; making it can be interrupted.
    ///
    /// # Errors
    ///
    /// If it was.
    pub(crate) fn list_of_both(&self, left: List, right: List) -> Result<Value> {
        let all = self.heap.list_of_both(left, right);
        self.check_interrupted()?;
        Ok(Value::from(all))
    }

    /// A list with elements before and after it; making it can be interrupted.
    ///
    /// # Errors
    ///
    /// If it was.
    pub(crate) fn list_around(
        &self,
        before: &[Value],
        middle: List,
        after: &[Value],
    ) -> Result<Value> {
        let all = self.heap.list_around(before, middle, after);
        self.check_interrupted()?;
        Ok(Value::from(all))
    }

    /// Forces everything inside as well.
    ///
    /// # Errors
    ///
    /// If any part fails.
    pub fn force_deep(&mut self, value: Value, pos: Pos) -> Result<Value> {
        let mut seen = rustc_hash::FxHashSet::default();
        self.force_deep_unseen(value, pos, &mut seen)
    }

    fn force_deep_unseen(
        &mut self,
        value: Value,
        pos: Pos,
        seen: &mut rustc_hash::FxHashSet<usize>,
    ) -> Result<Value> {
        self.descend(pos, |ev| ev.force_deep_here(value, pos, seen))
    }

    fn force_deep_here(
        &mut self,
        value: Value,
        pos: Pos,
        seen: &mut rustc_hash::FxHashSet<usize>,
    ) -> Result<Value> {
        let value = match value.as_thunk() {
            Some(thunk) if thunk.is_application() => self.force_called(value, thunk, pos)?,
            _ => self.force(value, pos)?,
        };
        match value.kind() {
            ValueKind::Attrs(attrs) if seen.insert(attrs.address()) => {
                for attr in attrs.iter() {
                    if let Err(error) = self.force_deep_unseen(attr.value, Pos::NONE, seen) {
                        let name = self.shown_symbol(attr.name);
                        return Err(error
                            .around(attr.pos, format!("while evaluating the attribute '{name}'")));
                    }
                }
            }
            ValueKind::List(list) if seen.insert(list.address()) => {
                for (index, element) in list.as_slice().iter().enumerate() {
                    if let Err(error) = self.force_deep_unseen(*element, Pos::NONE, seen) {
                        return Err(error.context(
                            Pos::NONE,
                            format!("while evaluating list element at index {index}"),
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(value)
    }

    /// Forces the application of a function, whose own place is that of the call.
    fn force_called(&mut self, value: Value, thunk: &Thunk, pos: Pos) -> Result<Value> {
        let mut pos = pos;
        if let ThunkState::Start(pending) = thunk.start() {
            thunk.restore(pending);
            let fun = match pending {
                Pending::Apply(application) => application.head(),
                Pending::ApplyOne(fun, _) => fun,
                Pending::Code(..) => Value::NULL,
            };
            if let Some(ValueKind::Lambda(closure)) = fun.known().map(Value::kind) {
                pos = closure.code.pos;
            }
        }
        self.force(value, pos)
    }

    /// The error of a value that is not of the `expected` type ("an integer").
    #[cold]
    pub fn type_error(&mut self, expected: &str, found: Value, pos: Pos) -> EvalError {
        let shown = self.show_for_error(found);
        EvalError::new(
            pos,
            format!(
                "expected {expected} but found {}: {shown}",
                found.kind().type_name()
            ),
        )
    }

    /// Forces an integer. `what` says what was going on ("while evaluating the first argument passed to builtins.add").
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    #[inline]
    pub fn force_int(&mut self, value: Value, pos: Pos, what: &str) -> Result<i64> {
        let found = self.force_with(value, pos, what)?;
        match found.as_int() {
            Some(int) => Ok(int),
            None => Err(self.type_error("an integer", found, pos).around(pos, what)),
        }
    }

    #[inline]
    fn force_with(&mut self, value: Value, pos: Pos, what: &str) -> Result<Value> {
        match self.force(value, pos) {
            Ok(value) => Ok(value),
            Err(error) => Err(if what.is_empty() {
                error
            } else {
                error.around(pos, what)
            }),
        }
    }

    /// Forces a float; an integer is converted.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    pub fn force_float(&mut self, value: Value, pos: Pos, what: &str) -> Result<f64> {
        let found = self.force_with(value, pos, what)?;
        match found.kind() {
            ValueKind::Float(float) => Ok(float),
            ValueKind::Int(int) => Ok(int as f64),
            _ => Err(self.type_error("a float", found, pos).around(pos, what)),
        }
    }

    /// Forces a Boolean.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    #[inline]
    pub fn force_bool(&mut self, value: Value, pos: Pos, what: &str) -> Result<bool> {
        let found = self.force_with(value, pos, what)?;
        match found.kind() {
            ValueKind::Bool(bool) => Ok(bool),
            _ => Err(self.type_error("a Boolean", found, pos).around(pos, what)),
        }
    }

    /// Forces a set.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    #[inline]
    pub fn force_attrs(&mut self, value: Value, pos: Pos, what: &str) -> Result<Attrs> {
        let found = self.force(value, pos)?;
        match found.as_attrs() {
            Some(attrs) => Ok(attrs),
            None => Err(self.type_error("a set", found, pos).context(pos, what)),
        }
    }

    /// Forces a list.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    #[inline]
    pub fn force_list(&mut self, value: Value, pos: Pos, what: &str) -> Result<List> {
        let found = self.force(value, pos)?;
        match found.as_list() {
            Some(list) => Ok(list),
            None => Err(self.type_error("a list", found, pos).context(pos, what)),
        }
    }

    /// Forces a string, which may have context. No coercion.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    #[inline]
    pub fn force_string(&mut self, value: Value, pos: Pos, what: &str) -> Result<Str> {
        let found = self.force_with(value, pos, what)?;
        match found.as_string() {
            Some(string) => Ok(string),
            None => Err(self.type_error("a string", found, pos).around(pos, what)),
        }
    }

    /// Forces a string that must not have context (an attribute name, say).
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    pub fn force_string_no_context(&mut self, value: Value, pos: Pos, what: &str) -> Result<Str> {
        let string = self.force_string(value, pos, what)?;
        if let Some(elem) = string
            .context()
            .and_then(|context| self.first_shown(context))
        {
            let text = String::from_utf8_lossy(string.bytes());
            let path = match elem {
                ContextElem::Opaque(path) => self.name(path).into_owned(),
                ContextElem::Built { drv, output } => {
                    format!("{}^{}", self.name(drv), self.name(output))
                }
                ContextElem::DrvDeep(drv) => format!("{} (deep)", self.name(drv)),
            };
            return Err(EvalError::new(
                pos,
                format!(
                    "the string '{text}' is not allowed to refer to a store path (such as '{path}')"
                ),
            )
            .context(pos, what));
        }
        Ok(string)
    }

    /// Forces something that can be called: a function, or a set with `__functor`.
    ///
    /// # Errors
    ///
    /// If the evaluation fails or gives something else.
    pub fn force_function(&mut self, value: Value, pos: Pos, what: &str) -> Result<Value> {
        let found = self.force_with(value, pos, what)?;
        match found.kind() {
            ValueKind::Lambda(_) | ValueKind::Builtin(_) | ValueKind::Partial(_) => Ok(found),
            ValueKind::Attrs(attrs) if attrs.get(self.known.functor).is_some() => Ok(found),
            _ => Err(self.type_error("a function", found, pos).around(pos, what)),
        }
    }

    /// The element of a context that messages are about: the first in the order of stock Nix, which is that of the texts.
    pub(crate) fn first_shown(&self, context: &[ContextElem]) -> Option<ContextElem> {
        let order = |elem: &ContextElem| match *elem {
            ContextElem::Opaque(path) => (0, self.name(path), "".into()),
            ContextElem::DrvDeep(drv) => (1, self.name(drv), "".into()),
            ContextElem::Built { drv, output } => (2, self.name(drv), self.name(output)),
        };
        context.iter().copied().min_by_key(order)
    }

    /// A context element in the form that `builtins.unsafeDiscardStringContext` documents: `/nix/store/…`,
    /// `!out!/nix/store/….drv`, `=/nix/store/….drv`.
    #[must_use]
    pub fn show_context_elem(&self, elem: ContextElem) -> String {
        match elem {
            ContextElem::Opaque(path) => self.name(path).into_owned(),
            ContextElem::Built { drv, output } => {
                format!("!{}!{}", self.name(output), self.name(drv))
            }
            ContextElem::DrvDeep(drv) => format!("={}", self.name(drv)),
        }
    }
}
