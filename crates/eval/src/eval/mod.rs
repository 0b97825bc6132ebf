//! The interpreter: runs [`crate::code`] on [`crate::value`]s.

mod access;
mod arguments;
mod assertion;
mod call;
mod coerce;
mod compare;
mod force;
mod interpret;
mod joining;
mod links;
mod operators;
mod paths;
mod search_path;
mod update;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use xbuild_derivation::DrvHash;
use xbuild_store_model::StorePath;
use xbuild_syntax::Sources;
use xbuild_syntax::symbol::{Symbol, Symbols};

use crate::attrs::AttrsBuilder;
use crate::builtins;
use crate::error::Result;
use crate::flakes::FlakeLoader;
use crate::globals;
use crate::heap::Heap;
use crate::host::Host;
use crate::known::Known;
use crate::merge::Merger;
use crate::origin::Origin;
use crate::parse_ahead::ParseAhead;
use crate::position::{Pos, Positions};
use crate::settings::Settings;
use crate::stack;
use crate::string::{Context, ContextElem, ContextSet};
use crate::value::Value;

pub use coerce::{Coercion, Text, canonical_path};
pub(crate) use links::{FileError, Links, MAX_LINKS, directory_contents};
pub use paths::as_path;
pub use search_path::{channel_url, is_pseudo_url, strip_search_prefix};

/// An evaluation: its heap, names, sources, caches.
pub struct Evaluator {
    /// Where values live.
    pub heap: Heap,
    /// Interned names.
    pub symbols: Symbols,
    /// Names with a meaning.
    pub known: Known,
    /// The world outside.
    pub host: Rc<dyn Host>,
    /// What the user configured.
    pub settings: Settings,
    /// Where the texts are among all positions.
    pub positions: Positions,
    /// The texts.
    pub sources: Sources,
    /// What builtins keep between calls.
    pub builtin_state: builtins::State,
    /// Who does `builtins.getFlake`.
    pub flakes: Option<Rc<dyn FlakeLoader>>,
    /// The variables of the global scope.
    pub(crate) globals: FxHashMap<Symbol, Value>,
    /// The set `builtins`.
    pub(crate) builtins: Value,
    /// The values of the files that were imported, by path.
    pub(crate) imports: FxHashMap<PathBuf, Value>,
    /// The store paths of the files that were copied.
    pub(crate) copied: FxHashMap<Vec<u8>, Symbol>,
    /// What `<…>` found.
    pub(crate) search_cache: FxHashMap<Vec<u8>, Value>,
    /// What search path entries were resolved to.
    pub(crate) search_entries: FxHashMap<String, Option<PathBuf>>,
    /// What may be read, where that is limited.
    pub(crate) allowed: access::Allowed,
    /// Whether the search path is in `allowed`.
    pub(crate) search_path_allowed: bool,
    /// The trees that were fetched by a pure evaluation, as store paths.
    pub(crate) origins: Vec<(String, Origin)>,
    /// The store paths that contexts name.
    pub(crate) store_paths: RefCell<FxHashMap<Symbol, StorePath>>,
    /// The hashes modulo of the derivations that were made or read, by path.
    pub(crate) drv_hashes: FxHashMap<StorePath, DrvHash>,
    /// When the evaluation first asked for the time.
    pub(crate) start_time: Option<i64>,
    /// Who parses files that will probably be imported, once there was one.
    pub(crate) parse_ahead: Option<ParseAhead>,
    /// The begins of the strings that are being put together, one after the other.
    pub(crate) text: Vec<u8>,
    /// What merges the operands of chains of `//`.
    pub(crate) merger: Merger,
    /// Why an argument that was evaluated ahead has no value, until the function asks for it.
    pub(crate) failed: Option<crate::error::EvalError>,
    /// How many function calls are active.
    pub(crate) depth: u32,
    /// How far the stack may grow.
    pub(crate) stack_limit: &'static stack::Limit,
}

impl Evaluator {
    /// An evaluation that has not read anything yet. Use it on the thread that made it.
    #[must_use]
    pub fn new(host: Box<dyn Host>, settings: Settings) -> Self {
        let mut symbols = Symbols::new();
        let known = Known::new(&mut symbols);
        let heap = Heap::new();
        let globals = globals::define(heap, &mut symbols, &known, &settings);
        Self {
            heap,
            symbols,
            known,
            host: Rc::from(host),
            settings,
            positions: Positions::default(),
            sources: Sources::new(),
            builtin_state: builtins::State::default(),
            flakes: None,
            globals: globals.names,
            builtins: globals.builtins,
            imports: FxHashMap::default(),
            copied: FxHashMap::default(),
            search_cache: FxHashMap::default(),
            search_entries: FxHashMap::default(),
            allowed: access::Allowed::new(),
            search_path_allowed: false,
            origins: Vec::new(),
            store_paths: RefCell::default(),
            drv_hashes: FxHashMap::default(),
            start_time: None,
            parse_ahead: None,
            text: Vec::new(),
            merger: Merger::default(),
            failed: None,
            depth: 0,
            stack_limit: stack::limit(),
        }
    }

    /// The symbol of a name.
    pub fn intern(&mut self, name: &[u8]) -> Symbol {
        self.symbols.intern(name)
    }

    /// The name of a symbol, for messages.
    #[must_use]
    pub fn name(&self, symbol: Symbol) -> std::borrow::Cow<'static, str> {
        String::from_utf8_lossy(self.symbols.name(symbol))
    }

    /// An integer value.
    #[inline]
    #[must_use]
    pub fn int(&self, value: i64) -> Value {
        Value::int(self.heap, value)
    }

    /// A float value.
    #[must_use]
    pub fn float(&self, value: f64) -> Value {
        Value::float(self.heap, value)
    }

    /// A string value without context.
    #[must_use]
    pub fn string(&self, bytes: &[u8]) -> Value {
        Value::string(self.heap, bytes)
    }

    /// A string value with a context that exists already (as of [`crate::string::Str::context`]).
    #[must_use]
    pub fn string_in(&self, bytes: &[u8], context: Option<Context>) -> Value {
        Value::from(self.heap.array(context, bytes))
    }

    /// A string value with a collected context.
    #[must_use]
    pub fn string_with(&self, bytes: &[u8], context: &ContextSet) -> Value {
        Value::string_with_context(self.heap, bytes, context)
    }

    /// A path value; `bytes` must be absolute and canonical.
    #[must_use]
    pub fn path(&self, bytes: &[u8]) -> Value {
        Value::path(self.heap, bytes)
    }

    /// A list value.
    #[must_use]
    pub fn list(&self, elements: &[Value]) -> Value {
        Value::list(self.heap, elements)
    }

    /// A set value.
    #[must_use]
    pub fn attrs(&self, builder: AttrsBuilder) -> Value {
        builder.finish_value(self.heap)
    }

    /// A thunk that applies a function to arguments when forced (as the elements of `map f list` are).
    #[inline]
    #[must_use]
    pub fn apply_later(&self, fun: Value, args: &[Value]) -> Value {
        Value::from(self.heap.thunk_apply(fun, args))
    }

    /// The context element of a store path (`/nix/store/…`).
    pub fn opaque(&mut self, store_path: &str) -> ContextElem {
        ContextElem::Opaque(self.symbols.intern(store_path.as_bytes()))
    }

    /// A call of a function value with all arguments it takes now.
    ///
    /// # Errors
    ///
    /// If `fun` is no function, or what it does fails.
    pub fn call(&mut self, fun: Value, args: &[Value], pos: Pos) -> Result<Value> {
        self.call_function(fun, args, pos)
    }

    /// The symbol of a builtin's name in the set `builtins`, from that in the global scope (`__add` is `add` there).
    pub(crate) fn plain_builtin_name(&mut self, name: Symbol) -> Symbol {
        match self.symbols.name(name).strip_prefix(b"__") {
            Some(plain) => self.symbols.intern(plain),
            None => name,
        }
    }
}
