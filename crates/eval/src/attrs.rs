//! Attribute sets: lookup, and making them.

use std::cell::Cell;

use xbuild_syntax::symbol::Symbol;

use crate::heap::Heap;
use crate::position::Pos;
use crate::value::{Attr, Value};

pub use crate::heap::Attrs;

impl Attrs {
    /// The attributes, in the order of their symbols.
    #[inline]
    pub fn iter(self) -> std::iter::Copied<std::slice::Iter<'static, Attr>> {
        self.as_slice().iter().copied()
    }

    /// The attribute of a name.
    #[inline]
    #[must_use]
    pub fn get(self, name: Symbol) -> Option<Attr> {
        if let Some(layers) = self.layers() {
            let below = || find(layers.base.as_slice(), name);
            return find(layers.top.as_slice(), name).or_else(below);
        }
        find(self.as_slice(), name)
    }

    /// The attribute of a name. `hint` is of the place in the program that asks: the index where it found the name last
    /// time, or found that it is missing, which is right for the same set and for sets made at the same place.
    #[inline]
    #[must_use]
    pub fn get_hinted(self, name: Symbol, hint: &Cell<u32>) -> Option<Attr> {
        if self.layers().is_some() {
            return self.get(name);
        }
        let attrs = self.as_slice();
        let index = hint.get() as usize;
        match attrs.get(index) {
            Some(attr) if attr.name == name => return Some(*attr),
            Some(attr) if attr.name < name => {}
            _ if index > attrs.len() => {}
            _ if index == 0 || attrs[index - 1].name < name => return None,
            _ => {}
        }
        let index = attrs.partition_point(|attr| attr.name < name);
        hint.set(index as u32);
        attrs.get(index).filter(|attr| attr.name == name).copied()
    }

    /// The value of a name.
    #[inline]
    #[must_use]
    pub fn value(self, name: Symbol) -> Option<Value> {
        self.get(name).map(|attr| attr.value)
    }
}

#[inline]
fn position(attrs: &[Attr], name: Symbol) -> Option<usize> {
    if attrs.len() <= 8 {
        return attrs.iter().position(|attr| attr.name == name);
    }
    attrs.binary_search_by_key(&name, |attr| attr.name).ok()
}

#[inline]
fn find(attrs: &[Attr], name: Symbol) -> Option<Attr> {
    position(attrs, name).map(|index| attrs[index])
}

/// Puts an attribute set together, in any order.
#[derive(Default)]
pub struct AttrsBuilder {
    attrs: Vec<Attr>,
}

impl AttrsBuilder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            attrs: Vec::with_capacity(capacity),
        }
    }

    /// Adds an attribute. Of several with one name, the first counts (as for `builtins.listToAttrs`).
    pub fn insert(&mut self, name: Symbol, value: Value, pos: Pos) {
        self.attrs.push(Attr { name, pos, value });
    }

    /// Adds an attribute.
    pub fn push(&mut self, attr: Attr) {
        self.attrs.push(attr);
    }

    /// The set.
    #[must_use]
    pub fn finish(mut self, heap: Heap) -> Attrs {
        if !self.attrs.is_sorted_by(|a, b| a.name < b.name) {
            self.attrs.sort_by_key(|attr| attr.name);
            self.attrs.dedup_by_key(|attr| attr.name);
        }
        heap.attrs(&self.attrs)
    }

    /// The set as a value.
    #[must_use]
    pub fn finish_value(self, heap: Heap) -> Value {
        self.finish(heap).into()
    }
}
