//! Interned names.

use rustc_hash::{FxHashMap, FxHashSet};

/// A name that was interned by a [`Symbols`] table: equal names have equal symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub u32);

/// The table of names. Names are bytes, since `"…" = 1` may name an attribute with any bytes.
#[derive(Debug, Default)]
pub struct Symbols {
    by_name: FxHashMap<&'static [u8], Symbol>,
    names: Vec<&'static [u8]>,
    /// Names without a symbol in this table, which live already.
    kept: FxHashSet<&'static [u8]>,
}

impl Symbols {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The symbol of `name`.
    pub fn intern(&mut self, name: &[u8]) -> Symbol {
        if let Some(&symbol) = self.by_name.get(name) {
            return symbol;
        }
        // Names live as long as the process: an evaluation never forgets one, and a leaked
        // name needs neither a count nor a borrow of the table.
        let name: &'static [u8] = match self.kept.get(name) {
            Some(name) => name,
            None => Box::leak(name.into()),
        };
        let symbol = Symbol(u32::try_from(self.names.len()).expect("fewer than 2^32 names"));
        self.names.push(name);
        self.by_name.insert(name, symbol);
        symbol
    }

    /// The symbol of `name`, if it was interned before.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Symbol> {
        self.by_name.get(name).copied()
    }

    /// The name of `symbol`.
    #[must_use]
    pub fn name(&self, symbol: Symbol) -> &'static [u8] {
        self.names[symbol.0 as usize]
    }

    /// A table of names that live already, the symbols of which are their indices. It only tells names.
    #[must_use]
    pub fn with_names(names: Vec<&'static [u8]>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// All names, in the order in which they were interned first; the table is empty then, and gives the same symbols
    /// anew. The memory of names is used again.
    pub fn take_names(&mut self) -> Vec<&'static [u8]> {
        self.by_name.clear();
        self.kept.extend(&self.names);
        std::mem::take(&mut self.names)
    }

    /// All names, by the numbers of their symbols.
    #[must_use]
    pub fn names(&self) -> &[&'static [u8]] {
        &self.names
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
