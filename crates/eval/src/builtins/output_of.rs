//! `builtins.outputOf`: what stands for the output of a derivation, which may itself be the output of another
//! (`dynamic-derivations`).
//!
//! A context element whose derivation is not in the store yet is [`ContextElem::Built`] with the deriving path in place
//! of the `.drv` file's: `!OUTPUT!PATH`, as Nix encodes it in contexts. Placeholders: Nix manual, "Input placeholder".

use xbuild_store_model::hash::compress_hash;
use xbuild_store_model::store_path::downstream_placeholder;
use xbuild_store_model::{Hash, HashAlgo, StorePath};
use xbuild_syntax::symbol::Symbol;

use crate::Evaluator;
use crate::error::{EvalError, Result};
use crate::position::Pos;
use crate::string::{ContextElem, ContextSet};
use crate::value::{Builtin, Value};

/// Only with `dynamic-derivations`.
pub(crate) static TABLE: &[Builtin] = &[Builtin {
    name: "__outputOf",
    arity: 2,
    run: output_of,
}];

fn output_of(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
    let what = "while evaluating the first argument to builtins.outputOf";
    let text = ev.force_string(args[0], pos, what)?;
    let shown = String::from_utf8_lossy(text.bytes()).into_owned();
    let [elem] = text.context().unwrap_or_default() else {
        let count = text.context().map_or(0, <[_]>::len);
        return Err(EvalError::new(
            pos,
            format!(
                "string '{shown}' has {count} entries in its context. It should only have exactly one entry"
            ),
        ));
    };
    let drv = match *elem {
        ContextElem::Opaque(path) => {
            let expected = ev.name(path);
            if expected != shown {
                return Err(EvalError::new(
                    pos,
                    format!(
                        "path string '{shown}' has context with the different path '{expected}'"
                    ),
                ));
            }
            path
        }
        ContextElem::DrvDeep(_) => {
            return Err(EvalError::new(
                pos,
                format!(
                    "string '{shown}' has a context which refers to a complete source and binary closure. This is not supported at this time"
                ),
            ));
        }
        ContextElem::Built { drv, output } => {
            let expected = ev.output_text(drv, output)?;
            if expected != shown {
                return Err(EvalError::new(
                    pos,
                    format!(
                        "string '{shown}' has context with the output '{}' from derivation '{}', but the string is not the right placeholder for this derivation output. It should be '{expected}'",
                        ev.name(output),
                        ev.name(drv),
                    ),
                ));
            }
            let deriving = format!("!{}!{}", ev.name(output), ev.name(drv));
            ev.intern(deriving.as_bytes())
        }
    };
    let what = "while evaluating the second argument to builtins.outputOf";
    let output = ev.force_string_no_context(args[1], pos, what)?;
    let output = ev.intern(output.bytes());
    let text = ev.output_text(drv, output)?;
    let mut context = ContextSet::new();
    context.insert(ContextElem::Built { drv, output });
    Ok(ev.string_with(text.as_bytes(), &context))
}

/// The parts of a deriving path that is an output: the output's name, and what it is an output of.
pub(crate) fn deriving_path(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('!')?.split_once('!')
}

impl Evaluator {
    /// The store path of an output, or the placeholder that stands for it where it is not known before the build.
    fn output_text(&mut self, drv: Symbol, output: Symbol) -> Result<String> {
        let fail = |message: String| Err(EvalError::new(Pos::NONE, message));
        let (drv, output) = (self.name(drv).into_owned(), self.name(output).into_owned());
        if deriving_path(&drv).is_some() {
            return Ok(placeholder_text(&placeholder(&drv, &output)));
        }
        let path =
            StorePath::parse(&drv).map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
        if !path.is_derivation() {
            return fail(format!(
                "error parsing derivation '{drv}': store path '{}' is not a valid derivation path",
                drv.rsplit('/').next().unwrap_or_default()
            ));
        }
        let derivation = self
            .host
            .read_derivation(&path)
            .map_err(|error| EvalError::new(Pos::NONE, error.to_string()))?;
        match derivation.outputs.get(&output) {
            Some(known) => Ok(match known.path() {
                Some(path) => path.to_string(),
                None => downstream_placeholder(&path, &output),
            }),
            None => fail(format!(
                "derivation '{drv}' does not have output '{output}'"
            )),
        }
    }
}

/// The hash behind the placeholder of an output of `drv`, a store path or deriving path.
fn placeholder(drv: &str, output: &str) -> Hash {
    match deriving_path(drv) {
        Some((inner_output, inner)) => {
            let inner = placeholder(inner, inner_output);
            let compressed = compress_hash(inner.digest(), 20);
            let clear = format!(
                "nix-computed-output:{}:{output}",
                xbuild_store_model::base32::encode(&compressed)
            );
            Hash::of(HashAlgo::Sha256, clear.as_bytes())
        }
        None => {
            let text = StorePath::parse(drv)
                .map(|path| downstream_placeholder(&path, output))
                .unwrap_or_default();
            Hash::parse_any(text.trim_start_matches('/'), Some(HashAlgo::Sha256))
                .unwrap_or_else(|_| Hash::zero(HashAlgo::Sha256))
        }
    }
}

fn placeholder_text(hash: &Hash) -> String {
    format!("/{}", hash.to_base32())
}
