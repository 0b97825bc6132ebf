//! Builtins on lists.

use super::sort::stable_sort;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, List, Value, ValueKind};
use crate::{Evaluator, ResultExt};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__all",
        arity: 2,
        run: |ev, args, pos| any_or_all(ev, args, pos, false),
    },
    Builtin {
        name: "__any",
        arity: 2,
        run: |ev, args, pos| any_or_all(ev, args, pos, true),
    },
    Builtin {
        name: "__concatLists",
        arity: 1,
        run: concat_lists,
    },
    Builtin {
        name: "__concatMap",
        arity: 2,
        run: concat_map,
    },
    Builtin {
        name: "__elem",
        arity: 2,
        run: elem,
    },
    Builtin {
        name: "__elemAt",
        arity: 2,
        run: elem_at,
    },
    Builtin {
        name: "__filter",
        arity: 2,
        run: filter,
    },
    Builtin {
        name: "__foldl'",
        arity: 3,
        run: fold,
    },
    Builtin {
        name: "__genList",
        arity: 2,
        run: gen_list,
    },
    Builtin {
        name: "__groupBy",
        arity: 2,
        run: group_by,
    },
    Builtin {
        name: "__head",
        arity: 1,
        run: head,
    },
    Builtin {
        name: "__length",
        arity: 1,
        run: length,
    },
    Builtin {
        name: "map",
        arity: 2,
        run: map,
    },
    Builtin {
        name: "__partition",
        arity: 2,
        run: partition,
    },
    Builtin {
        name: "__sort",
        arity: 2,
        run: sort,
    },
    Builtin {
        name: "__tail",
        arity: 1,
        run: tail,
    },
];

fn any_or_all(ev: &mut Evaluator, args: &[Value], pos: Pos, any: bool) -> Result<Value> {
    let (first, second, result) = if any {
        (
            "while evaluating the first argument passed to builtins.any",
            "while evaluating the second argument passed to builtins.any",
            "while evaluating the return value of the function passed to builtins.any",
        )
    } else {
        (
            "while evaluating the first argument passed to builtins.all",
            "while evaluating the second argument passed to builtins.all",
            "while evaluating the return value of the function passed to builtins.all",
        )
    };
    let predicate = ev.force_function(args[0], pos, first)?;
    let list = ev.force_list(args[1], pos, second)?;
    for &element in list.as_slice() {
        let value = ev.call(predicate, &[element], pos)?;
        if ev.force_bool(value, pos, result)? == any {
            return Ok(Value::bool(any));
        }
    }
    Ok(Value::bool(!any))
}

/// The concatenation of lists, without a copy if all but one are empty.
fn concatenated(ev: &Evaluator, lists: &[List]) -> Result<Value> {
    let mut filled = lists.iter().filter(|list| !list.is_empty());
    match (filled.next(), filled.next(), filled.next()) {
        (None, ..) => Ok(ev.list(&[])),
        (Some(only), None, _) => Ok(Value::from(*only)),
        (Some(left), Some(right), None) => ev.list_of_both(*left, *right),
        _ => {
            let len = lists.iter().map(|list| list.len()).sum();
            let longest = lists.iter().enumerate().max_by_key(|(_, list)| list.len());
            let all = |lists: &[List]| -> Vec<Value> {
                let elements = lists.iter().flat_map(|list| list.as_slice());
                elements.copied().collect()
            };
            match longest {
                // Perhaps one that grows: there may be room beside its elements.
                Some((at, &longest)) if longest.len() > len / 2 => {
                    let (before, after) = (all(&lists[..at]), all(&lists[at + 1..]));
                    ev.list_around(&before, longest, &after)
                }
                _ => {
                    let elements = lists.iter().flat_map(|list| list.as_slice()).copied();
                    ev.long_list(len, elements)
                }
            }
        }
    }
}

fn concat_lists(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let outer = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.concatLists",
    )?;
    let mut lists = Vec::with_capacity(outer.len());
    for &element in outer.as_slice() {
        lists.push(ev.force_list(
            element,
            pos,
            "while evaluating a value of the list passed to builtins.concatLists",
        )?);
    }
    concatenated(ev, &lists)
}

fn concat_map(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.concatMap",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.concatMap",
    )?;
    let place = ev.function_place(fun).unwrap_or(pos);
    let mut lists = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        let value = ev.call(fun, &[element], pos)?;
        lists.push(ev.force_list(
            value,
            place,
            "while evaluating the return value of the function passed to builtins.concatMap",
        )?);
    }
    concatenated(ev, &lists)
}

fn elem(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.elem",
    )?;
    for &element in list.as_slice() {
        let found = ev.equal_elements(args[0], element, pos)?;
        if found {
            return Ok(Value::TRUE);
        }
    }
    Ok(Value::FALSE)
}

fn elem_at(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let index = ev.force_int(
        args[1],
        pos,
        "while evaluating the second argument passed to 'builtins.elemAt'",
    )?;
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to 'builtins.elemAt'",
    )?;
    let element = usize::try_from(index)
        .ok()
        .and_then(|index| list.as_slice().get(index));
    element.copied().ok_or_else(|| {
        let size = list.len();
        EvalError::new(
            pos,
            format!("'builtins.elemAt' called with index {index} on a list of size {size}"),
        )
    })
}

fn filter(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.filter",
    )?;
    if list.is_empty() {
        return Ok(Value::from(list));
    }
    let predicate = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.filter",
    )?;
    let mut kept = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        let value = ev.call(predicate, &[element], pos)?;
        let keep = ev.force_bool(
            value,
            pos,
            "while evaluating the return value of the filtering function passed to builtins.filter",
        )?;
        if keep {
            kept.push(element);
        }
    }
    Ok(if kept.len() == list.len() {
        Value::from(list)
    } else {
        ev.list(&kept)
    })
}

fn fold(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.foldlStrict",
    )?;
    let list = ev.force_list(
        args[2],
        pos,
        "while evaluating the third argument passed to builtins.foldlStrict",
    )?;
    // The initial value is not forced: the function may ignore it.
    let mut current = args[1];
    for &element in list.as_slice() {
        current = ev.call(fun, &[current, element], pos)?;
    }
    Ok(current)
}

fn gen_list(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let len = ev.force_int(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.genList",
    )?;
    // Beyond this the list alone would exceed any memory; the original fails there, too, with less grace.
    const LIMIT: usize = 1 << 32;
    let count = usize::try_from(len).ok().filter(|&count| count <= LIMIT);
    let count =
        count.ok_or_else(|| EvalError::new(pos, format!("cannot create list of size {len}")))?;
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.genList",
    )?;
    let elements = (0..len).map(|index| ev.apply_later(fun, &[ev.int(index)]));
    ev.long_list(count, elements)
}

fn group_by(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.groupBy",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.groupBy",
    )?;
    let mut groups: std::collections::BTreeMap<_, Vec<Value>> = std::collections::BTreeMap::new();
    for &element in list.as_slice() {
        let value = ev.call(fun, &[element], pos)?;
        let name = ev.force_string_no_context(
            value,
            pos,
            "while evaluating the return value of the grouping function passed to builtins.groupBy",
        )?;
        groups
            .entry(ev.intern(name.bytes()))
            .or_default()
            .push(element);
    }
    let mut attrs = AttrsBuilder::with_capacity(groups.len());
    for (name, elements) in groups {
        attrs.insert(name, ev.list(&elements), Pos::NONE);
    }
    Ok(ev.attrs(attrs))
}

fn head(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to 'builtins.head'",
    )?;
    list.as_slice()
        .first()
        .copied()
        .ok_or_else(|| EvalError::new(pos, "'builtins.head' called on an empty list"))
}

fn tail(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to 'builtins.tail'",
    )?;
    match list.as_slice() {
        [_, ..] => Ok(Value::from(ev.heap.list_tail(list, 1))),
        [] => Err(EvalError::new(
            pos,
            "'builtins.tail' called on an empty list",
        )),
    }
}

fn length(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.length",
    )?;
    Ok(ev.int(i64::try_from(list.len()).unwrap_or(i64::MAX)))
}

fn map(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.map",
    )?;
    if list.is_empty() {
        return Ok(Value::from(list));
    }
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.map",
    )?;
    let elements = list
        .as_slice()
        .iter()
        .map(|&element| ev.apply_later(fun, &[element]));
    ev.long_list(list.len(), elements)
}

fn partition(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.partition",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.partition",
    )?;
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for &element in list.as_slice() {
        let element = ev.force(element, pos)?;
        let value = ev.call(fun, &[element], pos)?;
        let yes = ev.force_bool(
            value,
            pos,
            "while evaluating the return value of the partition function passed to builtins.partition",
        )?;
        if yes { &mut right } else { &mut wrong }.push(element);
    }
    let mut attrs = AttrsBuilder::with_capacity(2);
    attrs.insert(ev.known.right, ev.list(&right), Pos::NONE);
    attrs.insert(ev.known.wrong, ev.list(&wrong), Pos::NONE);
    Ok(ev.attrs(attrs))
}

fn sort(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.sort",
    )?;
    if list.is_empty() {
        return Ok(Value::from(list));
    }
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.sort",
    )?;
    let mut elements = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        elements.push(ev.force(element, pos)?);
    }
    let less_than =
        matches!(fun.kind(), ValueKind::Builtin(builtin) if builtin.name == "__lessThan");
    stable_sort(&mut elements, |&a, &b| {
        ev.check_interrupted()?;
        if less_than {
            return ev.less(a, b, Pos::NONE).context(Pos::NONE, || {
                "while evaluating the ordering function passed to builtins.sort".to_owned()
            });
        }
        let value = ev.call(fun, &[a, b], pos)?;
        ev.force_bool(
            value,
            pos,
            "while evaluating the return value of the sorting function passed to builtins.sort",
        )
    })?;
    Ok(ev.list(&elements))
}
