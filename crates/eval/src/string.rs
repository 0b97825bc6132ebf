//! Strings: bytes with an optional context, the store paths the text depends on.

use xbuild_syntax::symbol::Symbol;

use crate::heap::{Array, Heap};
use crate::value::Value;

/// A string in the heap: its bytes, and in the header the [`Context`].
pub type Str = Array<Option<Context>, u8>;

impl Str {
    /// The text.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        self.as_slice()
    }

    /// What the text depends on.
    #[inline]
    #[must_use]
    pub fn context(self) -> Option<Context> {
        self.head()
    }
}

/// One thing a string depends on. Store paths are interned whole (`/nix/store/…`), so that elements are small and
/// compare fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContextElem {
    /// A store path, as it is.
    Opaque(Symbol),
    /// An output of a derivation, which must be built (`!out!/nix/store/….drv`).
    Built {
        /// The path of the `.drv` file.
        drv: Symbol,
        /// The name of the output.
        output: Symbol,
    },
    /// A `.drv` file with its whole closure and the outputs of all derivations in it (`=/nix/store/….drv`).
    DrvDeep(Symbol),
}

/// A set of [`ContextElem`], sorted and without duplicates; never empty.
pub type Context = &'static [ContextElem];

/// Collects the contexts of the strings that go into another.
#[derive(Debug, Default, Clone)]
pub struct ContextSet {
    /// A context that is to be used unchanged as long as nothing else comes.
    first: Option<Context>,
    more: Vec<ContextElem>,
    /// How many elements of `more` are sorted and without duplicates.
    sorted: usize,
}

impl ContextSet {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all elements of a context.
    #[inline]
    pub fn add(&mut self, context: Option<Context>) {
        if let Some(context) = context {
            self.add_all(context);
        }
    }

    fn add_all(&mut self, context: Context) {
        match self.first {
            None if self.more.is_empty() => self.first = Some(context),
            Some(first) if std::ptr::eq(first, context) || is_subset(context, first) => {}
            _ => self.more.extend_from_slice(context),
        }
        // Never before there are twice as many as the last time, or most of the time would go into sorting.
        if self.more.len() > 4096 + 2 * self.sorted {
            self.compact();
        }
    }

    /// Adds one element.
    pub fn insert(&mut self, elem: ContextElem) {
        self.more.push(elem);
    }

    fn compact(&mut self) {
        self.more.sort_unstable();
        self.more.dedup();
        self.sorted = self.more.len();
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    /// All elements, sorted, each once.
    #[must_use]
    pub fn elements(&self) -> Vec<ContextElem> {
        let mut all = self.more.clone();
        all.extend_from_slice(self.first.unwrap_or_default());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The context of the resulting string.
    #[must_use]
    pub fn finish(&self, heap: Heap) -> Option<Context> {
        if self.more.is_empty() {
            return self.first;
        }
        let all = self.elements();
        if let Some(first) = self.first
            && first.len() == all.len()
        {
            return Some(first);
        }
        Some(heap.alloc_slice(&all))
    }
}

/// Whether all of the sorted `small` are in the sorted `large`.
fn is_subset(small: &[ContextElem], large: &[ContextElem]) -> bool {
    small.len() <= large.len() && small.iter().all(|elem| large.binary_search(elem).is_ok())
}

impl Value {
    /// A string with context.
    #[must_use]
    pub fn string_with_context(heap: Heap, bytes: &[u8], context: &ContextSet) -> Self {
        Self::from(heap.array(context.finish(heap), bytes))
    }
}
