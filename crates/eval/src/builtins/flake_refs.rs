//! Builtins about flakes and their references.

use xbuild_flake_ref::{AttrValue, Attrs as InputAttrs, FlakeRef, ParseOptions, RefError};

use crate::Evaluator;
use crate::attrs::AttrsBuilder;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::value::{Builtin, Value, ValueKind};

pub(super) static TABLE: &[Builtin] = &[
    Builtin {
        name: "__flakeRefToString",
        arity: 1,
        run: flake_ref_to_string,
    },
    Builtin {
        name: "__getFlake",
        arity: 1,
        run: get_flake,
    },
    Builtin {
        name: "__parseFlakeRef",
        arity: 1,
        run: parse_flake_ref,
    },
];

/// The error of a reference; it has no place, as in Nix.
pub(super) fn ref_error(error: &RefError) -> EvalError {
    EvalError::new(Pos::NONE, error.to_string())
}

fn get_flake(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.getFlake";
    let text = ev.force_string_no_context(args[0], pos, what)?;
    let text = String::from_utf8_lossy(text.bytes()).into_owned();
    let Some(flakes) = ev.flakes.clone() else {
        return Err(EvalError::new(
            pos,
            format!("cannot get the flake '{text}': this evaluation has no flakes"),
        ));
    };
    flakes.get_flake(ev, &text, pos)
}

fn parse_flake_ref(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.parseFlakeRef";
    let text = ev.force_string_no_context(args[0], pos, what)?;
    let text = String::from_utf8_lossy(text.bytes()).into_owned();
    let options = ParseOptions {
        allow_missing: true,
        ..ParseOptions::default()
    };
    let (parsed, fragment) = FlakeRef::parse_with_fragment(&text, options, &mut |_| {})
        .map_err(|error| ref_error(&error))?;
    parsed
        .input
        .require_features(ev.settings.has_feature("flakes"))
        .map_err(|error| ref_error(&error))?;
    if !fragment.is_empty() {
        return Err(EvalError::new(
            Pos::NONE,
            format!("unexpected fragment '{fragment}' in flake reference '{text}'"),
        ));
    }
    let mut attrs = AttrsBuilder::new();
    for (name, value) in parsed.to_attrs() {
        let value = match value {
            AttrValue::Str(text) => ev.string(text.as_bytes()),
            AttrValue::Int(number) => ev.int(i64::try_from(number).unwrap_or(i64::MAX)),
            AttrValue::Bool(value) => Value::bool(value),
        };
        attrs.insert(ev.intern(name.as_bytes()), value, Pos::NONE);
    }
    Ok(ev.attrs(attrs))
}

fn flake_ref_to_string(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the argument passed to builtins.flakeRefToString";
    let given = ev.force_attrs(args[0], Pos::NONE, what)?;
    let mut attrs = InputAttrs::new();
    for attr in given.iter() {
        let name = ev.name(attr.name).into_owned();
        let value = ev.force(attr.value, attr.pos)?;
        let value = match value.kind() {
            ValueKind::Int(number) => AttrValue::Int(u64::try_from(number).map_err(|_| {
                EvalError::new(
                    pos,
                    format!("negative value given for flake ref attr {name}: {number}"),
                )
            })?),
            ValueKind::Bool(value) => AttrValue::Bool(value),
            ValueKind::String(text) => {
                AttrValue::Str(String::from_utf8_lossy(text.bytes()).into_owned())
            }
            other => {
                return Err(EvalError::new(
                    Pos::NONE,
                    format!(
                        "flake reference attribute sets may only contain integers, Booleans, and strings, but attribute '{name}' is {}",
                        other.type_name()
                    ),
                ));
            }
        };
        attrs.insert(name, value);
    }
    let text = FlakeRef::from_attrs(attrs)
        .and_then(|flake_ref| {
            flake_ref
                .input
                .require_features(ev.settings.has_feature("flakes"))?;
            flake_ref.to_url_text()
        })
        .map_err(|error| ref_error(&error))?;
    Ok(ev.string(text.as_bytes()))
}
