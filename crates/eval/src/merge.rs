//! What `//` makes of sets: of two, and of a whole chain at once.

use std::mem;

use crate::heap::{Attrs, Heap};
use crate::value::Attr;

/// A set of at least this many attributes is not copied by `//` for the sake of a few others.
const LARGE: usize = 32;

/// Whether a set of `base` attributes stays where it is, and gets `top` others in a layer.
fn is_layered(base: usize, top: usize) -> bool {
    base >= LARGE && top <= base / 4
}

impl Attrs {
    /// `self // other`.
    #[must_use]
    pub fn update(self, heap: Heap, other: Self) -> Self {
        if other.is_empty() {
            return self;
        }
        if self.is_empty() {
            return other;
        }
        if is_layered(self.len(), other.len()) {
            let new = other.iter().filter(|attr| self.get(attr.name).is_none());
            let len = self.len() + new.count();
            let Some(layers) = self.layers() else {
                return heap.layered_attrs(self.flat(), other.flat(), len);
            };
            // The top may grow to about the square root of the base: then neither the copies of the top nor those of
            // the base are more than some √n attributes for each that is added.
            let size = layers.top.len() + other.len();
            if size.saturating_mul(size) <= 4 * layers.base.len() {
                let top = heap.merged_attrs(layers.top.as_slice(), other.as_slice());
                return heap.layered_attrs(layers.base, top, len);
            }
        } else if is_layered(other.len(), self.len()) && other.layers().is_none() {
            let missing = self.iter().filter(|attr| other.get(attr.name).is_none());
            let top = heap.attrs_from_iter(self.len(), missing);
            return heap.layered_attrs(other.flat(), top, other.len() + top.len());
        }
        heap.merged_attrs(self.as_slice(), other.as_slice())
    }
}

/// Merges the operands of chains of `//` without a set in the heap for each step between.
#[derive(Default)]
pub struct Merger {
    /// What the last operands give.
    merged: Vec<Attr>,
    /// Room for the next step.
    next: Vec<Attr>,
}

/// The operands of a chain that are behind the one that comes next.
#[derive(Clone, Copy)]
enum Behind {
    /// One set.
    Set(Attrs),
    /// Several, in [`Merger::merged`].
    Merged,
}

impl Merger {
    /// The set `a // b // c` of the operands `[c, b, a]`.
    pub fn merge(&mut self, heap: Heap, operands: &[Attrs]) -> Attrs {
        let mut operands = operands.iter().copied().filter(|set| !set.is_empty());
        let Some(last) = operands.next() else {
            return heap.attrs(&[]);
        };
        let mut behind = Behind::Set(last);
        let mut operands = operands.peekable();
        while let Some(left) = operands.next() {
            let count = match behind {
                Behind::Set(set) => set.len(),
                Behind::Merged => self.merged.len(),
            };
            if is_layered(left.len(), count) || is_layered(count, left.len()) {
                let right = self.set(heap, behind);
                behind = Behind::Set(left.update(heap, right));
                continue;
            }
            let right = match behind {
                Behind::Set(set) => set.as_slice(),
                Behind::Merged => &self.merged,
            };
            if operands.peek().is_none() {
                return heap.merged_attrs(left.as_slice(), right);
            }
            merge_into(&mut self.next, left.as_slice(), right);
            mem::swap(&mut self.merged, &mut self.next);
            behind = Behind::Merged;
        }
        self.set(heap, behind)
    }

    fn set(&self, heap: Heap, behind: Behind) -> Attrs {
        match behind {
            Behind::Set(set) => set,
            Behind::Merged => heap.attrs(&self.merged),
        }
    }
}

/// Puts into `merged` the attributes of both slices, which are sorted by symbol; where both have a name, the right one counts.
fn merge_into(merged: &mut Vec<Attr>, left: &[Attr], right: &[Attr]) {
    merged.clear();
    merged.reserve(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        merged.push(if a.name < b.name { *a } else { *b });
        i += usize::from(a.name <= b.name);
        j += usize::from(b.name <= a.name);
    }
    merged.extend_from_slice(&left[i..]);
    merged.extend_from_slice(&right[j..]);
}
