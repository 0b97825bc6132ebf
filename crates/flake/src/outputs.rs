//! Finding what a user names in the outputs of a flake.

use xbuild_eval::entry::parse_attr_path;
use xbuild_eval::string::{ContextElem, ContextSet};
use xbuild_eval::value::{Attr, Value, ValueKind};
use xbuild_eval::{EvalError, Evaluator, Pos, Result};
use xbuild_store_model::StorePath;

use crate::flake_nix::error;

/// Where an output may be: in `packages.SYSTEM`, in `legacyPackages.SYSTEM`, or just there. No name means the default package; one
/// that begins with a dot is exactly that.
#[must_use]
pub fn attr_paths(name: &str, system: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![
            format!("packages.{system}.default"),
            format!("defaultPackage.{system}"),
        ];
    }
    if let Some(exact) = name.strip_prefix('.') {
        return vec![exact.to_owned()];
    }
    vec![
        format!("packages.{system}.{name}"),
        format!("legacyPackages.{system}.{name}"),
        name.to_owned(),
    ]
}

/// The set of outputs of a flake.
///
/// # Errors
/// If the flake cannot be evaluated.
pub fn of_flake(ev: &mut Evaluator, flake: Value) -> Result<Value> {
    let set = ev.force_attrs(
        flake,
        Pos::NONE,
        "while evaluating a flake to get its outputs",
    )?;
    let name = ev.intern(b"outputs");
    match set.get(name) {
        Some(attr) => ev.force(attr.value, attr.pos),
        None => Err(error("the flake has no outputs")),
    }
}

/// The first of the paths that is there, and its value. `shown` is the flake.
///
/// # Errors
/// If none is, with the names that may have been meant; or the evaluation fails.
pub fn select(
    ev: &mut Evaluator,
    outputs: Value,
    shown: &str,
    paths: &[String],
) -> Result<(Value, String)> {
    let mut suggestions: Vec<String> = Vec::new();
    for path in paths {
        match find(ev, outputs, path)? {
            Ok(value) => return Ok((value, path.clone())),
            Err(more) => suggestions.extend(more),
        }
    }
    let mut names = String::new();
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            names += if index + 1 == paths.len() {
                " or "
            } else {
                ", "
            };
        }
        names += &format!("'{path}'");
    }
    suggestions.dedup();
    Err(error(format!(
        "flake '{shown}' does not provide attribute {names}"
    ))
    .suggest(suggestions))
}

/// The value at a path, or what may have been meant.
fn find(ev: &mut Evaluator, from: Value, path: &str) -> Result<Result<Value, Vec<String>>> {
    let mut value = ev.force(from, Pos::NONE)?;
    let mut so_far = String::new();
    for name in parse_attr_path(path)? {
        let Some(set) = value.as_attrs() else {
            return Err(error(format!("'{so_far}' is not an attribute set")));
        };
        let symbol = ev.intern(name.as_bytes());
        let Some(attr) = set.get(symbol) else {
            let names = set.iter().map(|attr| ev.symbols.name(attr.name));
            return Ok(Err(xbuild_eval::suggest::best_matches(
                name.as_bytes(),
                names,
            )));
        };
        value = ev.force(attr.value, attr.pos)?;
        if !so_far.is_empty() {
            so_far.push('.');
        }
        so_far += &name;
    }
    Ok(Ok(value))
}

/// What an output is to be realised as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Outputs of a derivation.
    Outputs(StorePath, Vec<String>),
    /// A store path.
    Path(StorePath),
}

/// What an output stands for; `path` is where it was found.
///
/// # Errors
/// If it is neither a derivation nor a path.
pub fn target(ev: &mut Evaluator, value: Value, path: &str) -> Result<Target> {
    let value = ev.force(value, Pos::NONE)?;
    let store_path = |text: &str| {
        StorePath::parse(text).map_err(|failed| EvalError::new(Pos::NONE, failed.to_string()))
    };
    match value.kind() {
        ValueKind::Attrs(set) if ev.is_derivation(set, Pos::NONE)? => {
            let mut found = ev.derivations(value, &[])?;
            let Some(found) = found.pop() else {
                return Err(error(format!("'{path}' is not a derivation")));
            };
            let outputs = wanted_outputs(ev, value)?;
            Ok(Target::Outputs(found.drv_path, outputs))
        }
        ValueKind::Path(bytes) => {
            let copied = ev.copy_path_to_store(bytes.as_slice(), Pos::NONE)?;
            Ok(Target::Path(store_path(&ev.name(copied))?))
        }
        ValueKind::String(text) => {
            let mut context = ContextSet::new();
            context.add(text.context());
            match context.elements().as_slice() {
                [ContextElem::Opaque(symbol) | ContextElem::DrvDeep(symbol)] => {
                    Ok(Target::Path(store_path(&ev.name(*symbol))?))
                }
                [ContextElem::Built { drv, output }] => Ok(Target::Outputs(
                    store_path(&ev.name(*drv))?,
                    vec![ev.name(*output).into_owned()],
                )),
                elements => Err(error(format!(
                    "string '{}' has {} entries in its context. It should only have exactly one entry",
                    String::from_utf8_lossy(text.bytes()),
                    elements.len()
                ))
                .context(
                    Pos::NONE,
                    format!("while evaluating the flake output attribute '{path}'"),
                )),
            }
        }
        other => {
            let shown = ev.show_for_error(value);
            Err(error(format!(
                "expected flake output attribute '{path}' to be a derivation or path but found {}: {shown}",
                other.type_name()
            )))
        }
    }
}

/// The outputs that are built if none is named: the one that was selected, `meta.outputsToInstall`, or `out`.
fn wanted_outputs(ev: &mut Evaluator, value: Value) -> Result<Vec<String>> {
    let get = |ev: &mut Evaluator, value: Value, name: &str| -> Result<Option<Value>> {
        let Some(set) = value.as_attrs() else {
            return Ok(None);
        };
        let name = ev.intern(name.as_bytes());
        match set.get(name) {
            Some(attr) => ev.force(attr.value, attr.pos).map(Some),
            None => Ok(None),
        }
    };
    let text = |value: Value| {
        value
            .as_string()
            .map(|text| String::from_utf8_lossy(text.bytes()).into_owned())
    };
    let mut outputs = Vec::new();
    if let Some(specified) = get(ev, value, "outputSpecified")? {
        if matches!(specified.kind(), ValueKind::Bool(true)) {
            outputs.extend(get(ev, value, "outputName")?.and_then(text));
        }
    } else if let Some(meta) = get(ev, value, "meta")?
        && let Some(list) = get(ev, meta, "outputsToInstall")?
        && let Some(list) = list.as_list()
    {
        for element in list.as_slice() {
            outputs.extend(text(ev.force(*element, Pos::NONE)?));
        }
    }
    if outputs.is_empty() {
        outputs.push("out".to_owned());
    }
    Ok(outputs)
}

/// The attributes of a set with their names, in the order of these.
pub(crate) fn members(ev: &mut Evaluator, value: Value) -> Result<Vec<(String, Attr)>> {
    let set = ev.force_attrs(value, Pos::NONE, "")?;
    let named = |attr: Attr| (ev.name(attr.name).into_owned(), attr);
    Ok(ev.sorted_by_name(set).into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::attr_paths;

    #[test]
    fn places_of_outputs() {
        assert_eq!(
            attr_paths("", "s"),
            ["packages.s.default", "defaultPackage.s"]
        );
        assert_eq!(attr_paths(".x.y", "s"), ["x.y"]);
        assert_eq!(
            attr_paths("x", "s"),
            ["packages.s.x", "legacyPackages.s.x", "x"]
        );
    }
}
