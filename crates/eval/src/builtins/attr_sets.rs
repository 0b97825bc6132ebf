//! Builtins on attribute sets.

use rustc_hash::FxHashMap;
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::attrs::{Attrs, AttrsBuilder};
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Attr, Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__attrNames",
        arity: 1,
        run: attr_names,
    },
    Builtin {
        name: "__attrValues",
        arity: 1,
        run: attr_values,
    },
    Builtin {
        name: "__catAttrs",
        arity: 2,
        run: cat_attrs,
    },
    Builtin {
        name: "__getAttr",
        arity: 2,
        run: get_attr,
    },
    Builtin {
        name: "__hasAttr",
        arity: 2,
        run: has_attr,
    },
    Builtin {
        name: "__intersectAttrs",
        arity: 2,
        run: intersect_attrs,
    },
    Builtin {
        name: "__listToAttrs",
        arity: 1,
        run: list_to_attrs,
    },
    Builtin {
        name: "__mapAttrs",
        arity: 2,
        run: map_attrs,
    },
    Builtin {
        name: "removeAttrs",
        arity: 2,
        run: remove_attrs,
    },
    Builtin {
        name: "__unsafeGetAttrPos",
        arity: 2,
        run: unsafe_get_attr_pos,
    },
    Builtin {
        name: "__zipAttrsWith",
        arity: 2,
        run: zip_attrs_with,
    },
];

impl Evaluator {
    /// The attributes in the order of their names (a set itself is in the order of symbols).
    #[must_use]
    pub fn sorted_by_name(&self, attrs: Attrs) -> Vec<Attr> {
        let mut sorted = attrs.as_slice().to_vec();
        sorted.sort_unstable_by_key(|attr| self.symbols.name(attr.name));
        sorted
    }

    /// The string value of an attribute's name, the same one each time.
    pub(crate) fn name_value(&mut self, name: Symbol) -> Value {
        let index = name.0 as usize;
        if let Some(Some(value)) = self.builtin_state.names.get(index) {
            return *value;
        }
        let value = self.string(self.symbols.name(name));
        let names = &mut self.builtin_state.names;
        if names.len() <= index {
            names.resize(index + 1, None);
        }
        names[index] = Some(value);
        value
    }

    /// An attribute that must be there; `what` says where it is missing ("in the attrset passed as …").
    pub(crate) fn required_attr(
        &mut self,
        attrs: Attrs,
        name: Symbol,
        pos: Pos,
        what: &str,
    ) -> Result<Attr> {
        attrs.get(name).ok_or_else(|| {
            let candidates = attrs.iter().map(|attr| self.symbols.name(attr.name));
            let suggestions = crate::suggest::best_matches(self.symbols.name(name), candidates);
            let shown = self.shown_symbol(name);
            let error =
                EvalError::new(pos, format!("attribute '{shown}' missing")).suggest(suggestions);
            if what.is_empty() {
                error
            } else {
                error.context(Pos::NONE, what)
            }
        })
    }
}

fn attr_names(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.attrNames",
    )?;
    let sorted = ev.sorted_by_name(attrs);
    let names = sorted
        .iter()
        .map(|attr| ev.name_value(attr.name))
        .collect::<Vec<_>>();
    Ok(ev.list(&names))
}

fn attr_values(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.attrValues",
    )?;
    let sorted = ev.sorted_by_name(attrs);
    let values = sorted.iter().map(|attr| attr.value);
    Ok(Value::from(ev.heap.list_from_iter(sorted.len(), values)))
}

fn cat_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let name = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.catAttrs",
    )?;
    let name = ev.intern(name.bytes());
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.catAttrs",
    )?;
    let mut found = Vec::new();
    for &element in list.as_slice() {
        let attrs = ev.force_attrs(
            element,
            pos,
            "while evaluating an element in the list passed as second argument to builtins.catAttrs",
        )?;
        found.extend(attrs.value(name));
    }
    Ok(ev.list(&found))
}

fn get_attr(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let name = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.getAttr",
    )?;
    let attrs = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.getAttr",
    )?;
    let name = ev.intern(name.bytes());
    ev.required_attr(attrs, name, pos, "in the attribute set under consideration")
        .map(|attr| attr.value)
}

fn has_attr(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let name = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.hasAttr",
    )?;
    let attrs = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.hasAttr",
    )?;
    // A name that was never interned is in no set.
    let name = ev.symbols.get(name.bytes());
    Ok(Value::bool(
        name.is_some_and(|name| attrs.get(name).is_some()),
    ))
}

fn intersect_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let left = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.intersectAttrs",
    )?;
    let right = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.intersectAttrs",
    )?;
    // Values come from the right. Looking up the smaller side's names is what `callPackage` needs to be fast.
    let common: Vec<Attr> = if left.len() < right.len() {
        left.iter()
            .filter_map(|attr| right.get(attr.name))
            .collect()
    } else {
        right
            .iter()
            .filter(|attr| left.get(attr.name).is_some())
            .collect()
    };
    Ok(Value::from(ev.heap.attrs(&common)))
}

fn list_to_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    const PAIR: &str = "in a {name=...; value=...;} pair";
    let list = ev.force_list(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.listToAttrs",
    )?;
    let mut pairs = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        let pair = ev.force_attrs(
            element,
            pos,
            "while evaluating an element of the list passed to builtins.listToAttrs",
        )?;
        let name = ev.required_attr(pair, ev.known.name, pos, PAIR)?;
        let text = ev.force_string_no_context(
            name.value,
            name.pos,
            "while evaluating the `name` attribute of an element of the list passed to builtins.listToAttrs",
        )?;
        pairs.push((ev.intern(text.bytes()), pair));
    }
    // Of equal names the first counts; the others need no value.
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by_key(|pair| pair.0);
    let mut attrs = AttrsBuilder::with_capacity(pairs.len());
    for (name, pair) in pairs {
        let value = ev.required_attr(pair, ev.known.value, pos, PAIR)?;
        attrs.insert(name, value.value, value.pos);
    }
    Ok(ev.attrs(attrs))
}

fn map_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.mapAttrs",
    )?;
    let heap = ev.heap;
    let mapped = attrs.iter().map(|attr| {
        let name = ev.name_value(attr.name);
        Attr {
            name: attr.name,
            pos: Pos::NONE,
            value: ev.apply_later(args[0], &[name, attr.value]),
        }
    });
    Ok(Value::from(heap.attrs_from_iter(attrs.len(), mapped)))
}

fn remove_attrs(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let attrs = ev.force_attrs(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.removeAttrs",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.removeAttrs",
    )?;
    let mut removed = Vec::with_capacity(list.len());
    for &element in list.as_slice() {
        let name = ev.force_string_no_context(
            element,
            pos,
            "while evaluating the values of the second argument passed to builtins.removeAttrs",
        )?;
        removed.extend(
            ev.symbols
                .get(name.bytes())
                .filter(|name| attrs.get(*name).is_some()),
        );
    }
    if removed.is_empty() {
        return Ok(Value::from(attrs));
    }
    removed.sort_unstable();
    let kept = attrs
        .iter()
        .filter(|attr| removed.binary_search(&attr.name).is_err());
    Ok(Value::from(ev.heap.attrs_from_iter(attrs.len(), kept)))
}

fn unsafe_get_attr_pos(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let name = ev.force_string_no_context(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.unsafeGetAttrPos",
    )?;
    let attrs = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.unsafeGetAttrPos",
    )?;
    let attr = ev
        .symbols
        .get(name.bytes())
        .and_then(|name| attrs.get(name));
    Ok(attr.map_or(Value::NULL, |attr| ev.position_value(attr.pos)))
}

fn zip_attrs_with(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let fun = ev.force_function(
        args[0],
        pos,
        "while evaluating the first argument passed to builtins.zipAttrsWith",
    )?;
    let list = ev.force_list(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.zipAttrsWith",
    )?;
    let mut index: FxHashMap<Symbol, usize> = FxHashMap::default();
    let mut columns: Vec<(Symbol, Vec<Value>)> = Vec::new();
    for &element in list.as_slice() {
        let attrs = ev.force_attrs(
            element,
            Pos::NONE,
            "while evaluating a value of the list passed as second argument to builtins.zipAttrsWith",
        )?;
        for attr in attrs.iter() {
            let at = *index.entry(attr.name).or_insert_with(|| {
                columns.push((attr.name, Vec::new()));
                columns.len() - 1
            });
            columns[at].1.push(attr.value);
        }
    }
    let mut attrs = AttrsBuilder::with_capacity(columns.len());
    for (name, values) in columns {
        let name_value = ev.name_value(name);
        let values = ev.list(&values);
        attrs.insert(name, ev.apply_later(fun, &[name_value, values]), Pos::NONE);
    }
    Ok(ev.attrs(attrs))
}
