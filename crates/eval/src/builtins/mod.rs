//! The builtin functions, in one file for each concept.
//!
//! A file has its functions, of type [`crate::value::BuiltinFn`], and a table of them:
//!
//! ```ignore
//! pub(super) static TABLE: &[Builtin] = &[Builtin { name: "__length", arity: 1, run: length }];
//!
//! fn length(ev: &mut Evaluator, args: &[Value], pos: Pos) -> Result<Value> {
//!     let list = ev.force_list(args[0], pos, "while evaluating the first argument passed to builtins.length")?;
//!     Ok(ev.int(list.len() as i64))
//! }
//! ```
//!
//! - Arguments come unevaluated; `ev.force…` evaluates and checks. The result may be a thunk (an element of a list, say).
//! - [`Value`](crate::value::Value)s are `Copy` and are never freed: keep and share them as you like.
//! - `ev.apply_later(f, &[x])` is the lazy application that `map` needs; `ev.call(f, &[x, y], pos)` calls now.
//! - Sets are made with [`AttrsBuilder`](crate::attrs::AttrsBuilder) and read with `attrs.get(symbol)`, `attrs.iter()`
//!   (ordered by symbol; order by name where the language says so).
//! - Strings: `ev.string(bytes)`, `ev.string_with(bytes, &context_set)`; `ev.coerce_to_string(…)`.
//! - The names a builtin looks for are in [`Known`](crate::known::Known) (those that Nix knows from the start) or come from `ev.intern(b"…")`.
//! - Constants (`true`, `builtins.nixVersion` …), `import`, `scopedImport`, `derivation` and `derivationStrict` are in
//!   the evaluator's core.

mod arithmetic;
mod attr_sets;
mod closure;
mod context;
mod control;
pub mod documentation;
mod ere;
mod fetch;
pub mod fetch_tree;
mod files;
mod flake_refs;
pub(crate) mod float_text;
mod hashes;
mod json;
mod json_reader;
pub(crate) mod json_writer;
mod lists;
pub(crate) mod output_of;
mod path_text;
mod paths;
mod regex;
mod shortest;
mod sort;
mod store_objects;
mod string_ops;
mod strings;
mod toml;
mod toml_version;
mod types;
mod versions;
pub mod xml;
mod xml_writer;

use std::path::PathBuf;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::host::DirState;
use crate::value::{Builtin, Value};

/// What builtins keep between calls.
#[derive(Default)]
pub struct State {
    /// The string value of each name that was asked for, by symbol.
    names: Vec<Option<Value>>,
    /// Compiled regular expressions, by pattern.
    patterns: FxHashMap<&'static [u8], Rc<ere::Ere>>,
    /// What directories had in them, and in which state that was: package sets read theirs once for each stage.
    directories: FxHashMap<PathBuf, (DirState, Value)>,
}

/// Builtins that are there only with an experimental feature.
pub(crate) static EXPERIMENTAL: &[(&str, &[Builtin])] =
    &[("dynamic-derivations", output_of::TABLE)];

/// The tables of all files.
pub static TABLES: &[&[Builtin]] = &[
    arithmetic::TABLE,
    attr_sets::TABLE,
    closure::TABLE,
    context::TABLE,
    control::TABLE,
    fetch::TABLE,
    fetch_tree::TABLE,
    files::TABLE,
    flake_refs::TABLE,
    hashes::TABLE,
    json::TABLE,
    lists::TABLE,
    paths::TABLE,
    regex::TABLE,
    store_objects::TABLE,
    strings::TABLE,
    toml::TABLE,
    types::TABLE,
    versions::TABLE,
    xml::TABLE,
];
