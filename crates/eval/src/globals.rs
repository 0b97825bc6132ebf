//! The global scope: `builtins`, constants, and the table of builtin functions.

use rustc_hash::FxHashMap;
use xbuild_syntax::symbol::{Symbol, Symbols};

use crate::attrs::AttrsBuilder;
use crate::builtins;
use crate::error::Result;
use crate::heap::Heap;
use crate::known::Known;
use crate::position::Pos;
use crate::settings::Settings;
use crate::value::{Builtin, Value};
use crate::{Evaluator, derivation, import};

/// The version of Nix whose language this is, as `builtins.nixVersion` tells.
pub const NIX_VERSION: &str = "2.34.8";
/// `builtins.langVersion`
const LANG_VERSION: i64 = 6;

/// Constants that depend on the settings or the host, evaluated when they are used.
static COMPUTED: &[Builtin] = &[
    Builtin {
        name: "__currentTime",
        arity: 0,
        run: current_time,
    },
    Builtin {
        name: "__nixPath",
        arity: 0,
        run: nix_path,
    },
    Builtin {
        name: "derivation",
        arity: 0,
        run: derivation::derivation_function,
    },
];

/// What [`define`] makes.
pub(crate) struct Globals {
    /// The variables of the global scope.
    pub(crate) names: FxHashMap<Symbol, Value>,
    /// The set `builtins`.
    pub(crate) builtins: Value,
}

/// Puts the global scope together.
pub(crate) fn define(
    heap: Heap,
    symbols: &mut Symbols,
    known: &Known,
    settings: &Settings,
) -> Globals {
    let mut names = FxHashMap::default();
    let mut set = AttrsBuilder::new();
    let mut add = |name: &str, value: Value| {
        names.insert(symbols.intern(name.as_bytes()), value);
        let plain = name.strip_prefix("__").unwrap_or(name);
        set.insert(symbols.intern(plain.as_bytes()), value, Pos::NONE);
    };
    add("true", Value::TRUE);
    add("false", Value::FALSE);
    add("null", Value::NULL);
    add("__langVersion", Value::int(heap, LANG_VERSION));
    add("__nixVersion", Value::string(heap, NIX_VERSION.as_bytes()));
    add(
        "__storeDir",
        Value::string(heap, xbuild_store_model::STORE_DIR.as_bytes()),
    );
    if !settings.pure {
        add(
            "__currentSystem",
            Value::string(heap, settings.system.as_bytes()),
        );
    }
    let tables = builtins::TABLES
        .iter()
        .copied()
        .chain([import::TABLE, derivation::TABLE]);
    for builtin in tables.flatten() {
        if builtin.name == "fetchTree" && !settings.has_fetch_tree() {
            continue;
        }
        add(builtin.name, Value::from(builtin));
    }
    for (feature, table) in builtins::EXPERIMENTAL {
        if settings.has_feature(feature) {
            for builtin in *table {
                add(builtin.name, Value::from(builtin));
            }
        }
    }
    for constant in COMPUTED {
        if settings.pure && constant.name == "__currentTime" {
            continue;
        }
        let thunk = heap.thunk_apply(Value::from(constant), &[]);
        add(constant.name, Value::from(thunk));
    }
    // The set contains itself; the thunk becomes the set once that exists.
    let itself = heap.thunk_apply(Value::NULL, &[]);
    set.insert(known.builtins, Value::from(itself), Pos::NONE);
    let set = set.finish_value(heap);
    itself.finish(set);
    names.insert(known.builtins, set);
    Globals {
        names,
        builtins: set,
    }
}

fn current_time(ev: &mut Evaluator, _: &[Value], _: Pos) -> Result<Value> {
    // One evaluation has one time.
    let time = match ev.start_time {
        Some(time) => time,
        None => ev.host.current_time(),
    };
    ev.start_time = Some(time);
    Ok(ev.int(time))
}

fn nix_path(ev: &mut Evaluator, _: &[Value], _: Pos) -> Result<Value> {
    let entries = ev.settings.search_path.clone();
    let (path, prefix) = (ev.known.path, ev.known.prefix);
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut attrs = AttrsBuilder::new();
            attrs.insert(path, ev.string(entry.path.as_bytes()), Pos::NONE);
            attrs.insert(prefix, ev.string(entry.prefix.as_bytes()), Pos::NONE);
            ev.attrs(attrs)
        })
        .collect();
    Ok(ev.list(&entries))
}
