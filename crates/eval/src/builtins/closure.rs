//! `builtins.genericClosure`.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use xbuild_syntax::symbol::Symbol;

use super::sort::stable_sort;
use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[Builtin {
    name: "__genericClosure",
    arity: 1,
    run: generic_closure,
}];

fn generic_closure(ev: &mut Evaluator, args: &[Value], _pos: Pos) -> Result<Value> {
    const IN_ARGUMENT: &str = "in the attrset passed as argument to builtins.genericClosure";
    let argument = ev.force_attrs(
        args[0],
        Pos::NONE,
        "while evaluating the first argument passed to builtins.genericClosure",
    )?;
    let start_set = ev.intern(b"startSet");
    let start = ev.required_attr(argument, start_set, Pos::NONE, IN_ARGUMENT)?;
    let start = ev.force_list(
        start.value,
        Pos::NONE,
        "while evaluating the 'startSet' attribute passed as argument to builtins.genericClosure",
    )?;
    if start.is_empty() {
        return Ok(Value::from(start));
    }
    let operator = ev.intern(b"operator");
    let operator = ev.required_attr(argument, operator, Pos::NONE, IN_ARGUMENT)?;
    let operator = ev.force_function(
        operator.value,
        Pos::NONE,
        "while evaluating the 'operator' attribute passed as argument to builtins.genericClosure",
    )?;
    let key = ev.intern(b"key");

    let mut work: VecDeque<Value> = start.as_slice().iter().copied().collect();
    let mut keys = Keys::Empty;
    let mut result = Vec::new();
    while let Some(element) = work.pop_front() {
        let element_key = match element_key(ev, element, key) {
            Ok(key) => key,
            Err(error) => {
                let shown = ev.show_for_error(element);
                return Err(error.context(Pos::NONE, format!("in genericClosure element {shown}")));
            }
        };
        let element_key = ev.force(element_key, Pos::NONE)?;
        match keys.insert(ev, element_key) {
            Ok(true) => result.push(element),
            Ok(false) => continue,
            Err(error) => return Err(not_compared(ev, error, element, element_key, key, &result)),
        }
        match new_elements(ev, operator, element) {
            Ok(elements) => work.extend(elements),
            Err(error) => {
                let shown = ev.show_for_error(element);
                return Err(error.context(
                    Pos::NONE,
                    format!("while calling operator on genericClosure element {shown}"),
                ));
            }
        }
    }
    Ok(ev.list(&result))
}

fn element_key(ev: &mut Evaluator, element: Value, key: Symbol) -> Result<Value> {
    let attrs = ev.force_attrs(element, Pos::NONE, "")?;
    Ok(ev.required_attr(attrs, key, Pos::NONE, "")?.value)
}

/// The error of a key that cannot be compared with that of one of the elements `before`.
#[cold]
fn not_compared(
    ev: &mut Evaluator,
    error: EvalError,
    element: Value,
    element_key: Value,
    key: Symbol,
    before: &[Value],
) -> EvalError {
    let shown = ev.show_for_error(element);
    // In the order of the keys, which can be compared with each other.
    let mut others = Vec::with_capacity(before.len());
    for &other in before {
        if let Ok(other_key) = self::element_key(ev, other, key) {
            others.push((other_key, other));
        }
    }
    let sorted = stable_sort(&mut others, |&(a, _), &(b, _)| ev.less(a, b, Pos::NONE));
    if let Err(error) = sorted {
        return error;
    }
    for (other_key, other) in others {
        if ev.less(element_key, other_key, Pos::NONE).is_err() {
            let other = ev.show_for_error(other);
            return error
                .around(Pos::NONE, format!("with element {other}"))
                .around(Pos::NONE, format!("while comparing element {shown}"));
        }
    }
    error.around(Pos::NONE, format!("while checking key of element {shown}"))
}

fn new_elements(ev: &mut Evaluator, operator: Value, element: Value) -> Result<Vec<Value>> {
    let what =
        "while evaluating the return value of the `operator` passed to builtins.genericClosure";
    let value = ev.call(operator, &[element], Pos::NONE)?;
    let list = ev.force_list(value, Pos::NONE, what)?;
    list.as_slice()
        .iter()
        .map(|&element| ev.force(element, Pos::NONE))
        .collect()
}

/// The keys so far. Keys are equal if neither is less than the other; for the usual types that is found by hashing.
enum Keys {
    Empty,
    /// Only one, not looked at yet: it may be of a type without order.
    One(Value),
    Ints(FxHashSet<i64>),
    /// With the first one, which another type is compared with.
    Strings(FxHashSet<&'static [u8]>, Value),
    Paths(FxHashSet<&'static [u8]>, Value),
    /// Sorted.
    Other(Vec<Value>),
}

impl Keys {
    /// Whether the key is new.
    fn insert(&mut self, ev: &mut Evaluator, key: Value) -> Result<bool> {
        match (&mut *self, key.kind()) {
            (Self::Empty, _) => {
                *self = Self::One(key);
                return Ok(true);
            }
            (Self::One(first), _) => {
                *self = match first.kind() {
                    ValueKind::Int(int) => Self::Ints(FxHashSet::from_iter([int])),
                    ValueKind::String(text) => {
                        Self::Strings(FxHashSet::from_iter([text.bytes()]), *first)
                    }
                    ValueKind::Path(path) => {
                        Self::Paths(FxHashSet::from_iter([path.as_slice()]), *first)
                    }
                    _ => Self::Other(vec![*first]),
                };
                return self.insert(ev, key);
            }
            (Self::Ints(ints), ValueKind::Int(int)) => return Ok(ints.insert(int)),
            (Self::Strings(texts, _), ValueKind::String(text)) => {
                return Ok(texts.insert(text.bytes()));
            }
            (Self::Paths(paths, _), ValueKind::Path(path)) => {
                return Ok(paths.insert(path.as_slice()));
            }
            // Another type than before: integers and floats go together, anything else is an error of the comparison.
            (Self::Ints(ints), _) => {
                let mut ints: Vec<i64> = ints.iter().copied().collect();
                ints.sort_unstable();
                *self = Self::Other(ints.into_iter().map(|int| ev.int(int)).collect());
            }
            (Self::Strings(_, first) | Self::Paths(_, first), _) => {
                return ev.less(key, *first, Pos::NONE);
            }
            (Self::Other(_), _) => {}
        }
        let Self::Other(sorted) = self else {
            return Ok(true);
        };
        let (mut low, mut high) = (0, sorted.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if ev.less(key, sorted[middle], Pos::NONE)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low > 0 && !ev.less(sorted[low - 1], key, Pos::NONE)? {
            return Ok(false);
        }
        sorted.insert(low, key);
        Ok(true)
    }
}
