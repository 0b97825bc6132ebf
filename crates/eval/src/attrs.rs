//! Attribute sets: arrays sorted by interned symbol.

use xbuild_syntax::symbol::Symbol;

use crate::heap::{Array, Heap};
use crate::position::Pos;
use crate::value::{Attr, Value};

/// An attribute set in the heap. The elements are sorted by symbol (not by name), each name once.
pub type Attrs = Array<(), Attr>;

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
        let attrs = self.as_slice();
        if attrs.len() <= 8 {
            return attrs.iter().find(|attr| attr.name == name).copied();
        }
        attrs
            .binary_search_by_key(&name, |attr| attr.name)
            .ok()
            .map(|index| attrs[index])
    }

    /// The value of a name.
    #[inline]
    #[must_use]
    pub fn value(self, name: Symbol) -> Option<Value> {
        self.get(name).map(|attr| attr.value)
    }

    /// `self // other`.
    #[must_use]
    pub fn update(self, heap: Heap, other: Self) -> Self {
        if other.is_empty() {
            return self;
        }
        if self.is_empty() {
            return other;
        }
        let left = self.as_slice();
        let right = other.as_slice();
        let common = count_common(left, right);
        heap.array_from_iter((), left.len() + right.len() - common, Merge { left, right })
    }
}

/// How many names both have.
fn count_common(left: &[Attr], right: &[Attr]) -> usize {
    // Where one is much smaller, looking each of its names up is cheaper than a pass over both.
    let (small, large) = if left.len() < right.len() {
        (left, right)
    } else {
        (right, left)
    };
    if small.len() * 16 < large.len() {
        return small
            .iter()
            .filter(|attr| {
                large
                    .binary_search_by_key(&attr.name, |other| other.name)
                    .is_ok()
            })
            .count();
    }
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < left.len() && j < right.len() {
        let (a, b) = (left[i].name, right[j].name);
        common += usize::from(a == b);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    common
}

/// Both sets in order; where both have a name, the right one wins.
struct Merge<'a> {
    left: &'a [Attr],
    right: &'a [Attr],
}

impl Iterator for Merge<'_> {
    type Item = Attr;

    #[inline]
    fn next(&mut self) -> Option<Attr> {
        match (self.left, self.right) {
            ([a, left @ ..], [b, right @ ..]) => {
                if a.name < b.name {
                    self.left = left;
                    return Some(*a);
                }
                if a.name == b.name {
                    self.left = left;
                }
                self.right = right;
                Some(*b)
            }
            ([a, left @ ..], []) => {
                self.left = left;
                Some(*a)
            }
            ([], [b, right @ ..]) => {
                self.right = right;
                Some(*b)
            }
            ([], []) => None,
        }
    }
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
        heap.array((), &self.attrs)
    }

    /// The set as a value.
    #[must_use]
    pub fn finish_value(self, heap: Heap) -> Value {
        self.finish(heap).into()
    }
}
