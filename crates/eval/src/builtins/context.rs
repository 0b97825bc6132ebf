//! Builtins on string contexts.

use std::collections::BTreeMap;

use xbuild_store_model::store_path::StorePath;

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::eval::{Coercion, Text};
use crate::host::Requisite;
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Builtin, Value};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__addDrvOutputDependencies",
        arity: 1,
        run: add_drv_output_dependencies,
    },
    Builtin {
        name: "__appendContext",
        arity: 2,
        run: append_context,
    },
    Builtin {
        name: "__getContext",
        arity: 1,
        run: get_context,
    },
    Builtin {
        name: "__hasContext",
        arity: 1,
        run: has_context,
    },
    Builtin {
        name: "__unsafeDiscardOutputDependency",
        arity: 1,
        run: unsafe_discard_output_dependency,
    },
    Builtin {
        name: "__unsafeDiscardStringContext",
        arity: 1,
        run: unsafe_discard_string_context,
    },
];

fn coerced(
    ev: &mut Evaluator,
    value: Value,
    pos: Pos,
    builtin: &str,
) -> Result<(Text, ContextSet)> {
    let mut context = ContextSet::new();
    let what = format!("while evaluating the argument passed to builtins.{builtin}");
    let text = ev.coerce_to_string(value, pos, &mut context, Coercion::INTERPOLATE, &what)?;
    Ok((text, context))
}

fn unsafe_discard_string_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (text, _) = coerced(ev, args[0], pos, "unsafeDiscardStringContext")?;
    Ok(ev.string(text.bytes()))
}

fn has_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let text = ev.force_string(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.hasContext",
    )?;
    Ok(Value::bool(text.context().is_some()))
}

fn unsafe_discard_output_dependency(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (text, context) = coerced(ev, args[0], pos, "unsafeDiscardOutputDependency")?;
    let mut result = ContextSet::new();
    for elem in context.elements() {
        result.insert(match elem {
            ContextElem::DrvDeep(drv) => ContextElem::Opaque(drv),
            other => other,
        });
    }
    Ok(ev.string_with(text.bytes(), &result))
}

fn add_drv_output_dependencies(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let (text, context) = coerced(ev, args[0], pos, "addDrvOutputDependencies")?;
    let elements = context.elements();
    let [elem] = elements.as_slice() else {
        let (shown, count) = (text.to_str_lossy(), elements.len());
        let message =
            format!("context of string '{shown}' must have exactly one element, but has {count}");
        return Err(EvalError::new(pos, message));
    };
    let drv = match *elem {
        ContextElem::DrvDeep(drv) => drv,
        ContextElem::Opaque(path) if is_derivation(ev.symbols.name(path)) => path,
        ContextElem::Opaque(path) => {
            return Err(EvalError::new(
                pos,
                format!("path '{}' is not a derivation", ev.name(path)),
            ));
        }
        ContextElem::Built { output, .. } => {
            let message = format!(
                "`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '{}'",
                ev.name(output)
            );
            return Err(EvalError::new(pos, message));
        }
    };
    let mut result = ContextSet::new();
    result.insert(ContextElem::DrvDeep(drv));
    Ok(ev.string_with(text.bytes(), &result))
}

fn is_derivation(path: &[u8]) -> bool {
    path.ends_with(b".drv")
}

/// How a string depends on one store path.
#[derive(Default)]
struct Dependency {
    path: bool,
    all_outputs: bool,
    outputs: Vec<&'static [u8]>,
}

fn get_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let text = ev.force_string(
        args[0],
        pos,
        "while evaluating the argument passed to builtins.getContext",
    )?;
    let mut dependencies: BTreeMap<_, Dependency> = BTreeMap::new();
    for elem in text.context().unwrap_or_default() {
        match *elem {
            ContextElem::Opaque(path) => dependencies.entry(path).or_default().path = true,
            ContextElem::DrvDeep(drv) => dependencies.entry(drv).or_default().all_outputs = true,
            ContextElem::Built { drv, output } => {
                if let Some((output, drv)) = super::output_of::deriving_path(&ev.name(drv)) {
                    return Err(EvalError::new(
                        pos,
                        format!(
                            "cannot operate on output '{output}' of the unbuilt derivation '{drv}'"
                        ),
                    ));
                }
                let output = ev.symbols.name(output);
                dependencies.entry(drv).or_default().outputs.push(output);
            }
        }
    }
    let mut attrs = AttrsBuilder::with_capacity(dependencies.len());
    for (path, mut dependency) in dependencies {
        let mut info = AttrsBuilder::new();
        if dependency.path {
            info.insert(ev.known.path, Value::TRUE, Pos::NONE);
        }
        if dependency.all_outputs {
            info.insert(ev.intern(b"allOutputs"), Value::TRUE, Pos::NONE);
        }
        if !dependency.outputs.is_empty() {
            dependency.outputs.sort_unstable();
            let outputs: Vec<Value> = dependency
                .outputs
                .iter()
                .map(|output| ev.string(output))
                .collect();
            info.insert(ev.known.outputs, ev.list(&outputs), Pos::NONE);
        }
        let info = ev.attrs(info);
        attrs.insert(path, info, Pos::NONE);
    }
    Ok(ev.attrs(attrs))
}

fn append_context(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let text = ev.force_string(
        args[0],
        Pos::NONE,
        "while evaluating the first argument passed to builtins.appendContext",
    )?;
    let mut context = ContextSet::new();
    context.add(text.context());
    let attrs = ev.force_attrs(
        args[1],
        pos,
        "while evaluating the second argument passed to builtins.appendContext",
    )?;
    for attr in attrs.iter() {
        let name = ev.name(attr.name);
        let store_path = StorePath::parse(&name).map_err(|_| {
            EvalError::new(
                attr.pos,
                format!(
                    "context key '{}' is not a store path",
                    ev.shown_symbol(attr.name)
                ),
            )
        })?;
        if ev.settings.needs_store_paths() {
            ev.host
                .realise(&[Requisite::Path(store_path.clone())])
                .map_err(|error| EvalError::host(attr.pos, &error))?;
        }
        let info = ev.force_attrs(
            attr.value,
            attr.pos,
            "while evaluating the value of a string context",
        )?;
        if let Some(path) = info.get(ev.known.path) {
            let what = "while evaluating the `path` attribute of a string context";
            if ev.force_bool(path.value, path.pos, what)? {
                context.insert(ContextElem::Opaque(attr.name));
            }
        }
        if let Some(all_outputs) = info.get(ev.intern(b"allOutputs")) {
            let what = "while evaluating the `allOutputs` attribute of a string context";
            if ev.force_bool(all_outputs.value, all_outputs.pos, what)? {
                if !store_path.is_derivation() {
                    let message = format!(
                        "tried to add all-outputs context of {}, which is not a derivation, to a string",
                        ev.shown_symbol(attr.name)
                    );
                    return Err(EvalError::new(attr.pos, message));
                }
                context.insert(ContextElem::DrvDeep(attr.name));
            }
        }
        if let Some(outputs) = info.get(ev.known.outputs) {
            let what = "while evaluating the `outputs` attribute of a string context";
            let list = ev.force_list(outputs.value, outputs.pos, what)?;
            if !list.is_empty() && !store_path.is_derivation() {
                let message = format!(
                    "tried to add derivation output context of {}, which is not a derivation, to a string",
                    ev.shown_symbol(attr.name)
                );
                return Err(EvalError::new(attr.pos, message));
            }
            for &output in list.as_slice() {
                let what = "while evaluating an output name within a string context";
                let output = ev.force_string_no_context(output, outputs.pos, what)?;
                let output = ev.intern(output.bytes());
                context.insert(ContextElem::Built {
                    drv: attr.name,
                    output,
                });
            }
        }
    }
    Ok(ev.string_with(text.bytes(), &context))
}
