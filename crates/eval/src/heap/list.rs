//! Lists as they lie in memory.

use std::ptr::NonNull;

use super::{Array, Handle, Heap};
use crate::value::Value;

/// A list in the heap: its elements may be thunks.
#[derive(Clone, Copy)]
pub struct List {
    elements: Array<(), Value>,
}

impl Heap {
    /// A list of at most `capacity` elements.
    #[inline]
    pub fn list_from_iter(self, capacity: usize, values: impl IntoIterator<Item = Value>) -> List {
        List {
            elements: self.array_from_iter((), capacity, values),
        }
    }

    /// A list of these elements.
    #[inline]
    pub fn list(self, values: &[Value]) -> List {
        self.list_from_iter(values.len(), values.iter().copied())
    }

    /// The elements of `list` from index `from` on, not copied if they are many.
    pub fn list_tail(self, list: List, from: usize) -> List {
        let rest = &list.as_slice()[from..];
        if rest.len() < 2 {
            return self.list(rest);
        }
        List {
            elements: self.tail(list.elements, from),
        }
    }

    /// One list after the other.
    pub fn list_of_both(self, left: List, right: List) -> List {
        List {
            elements: self.joined((), left.elements.into(), right.elements.into()),
        }
    }

    /// A list with elements before and after it.
    pub fn list_around(self, before: &[Value], middle: List, after: &[Value]) -> List {
        List {
            elements: self.enclosed((), before, middle.elements.into(), after),
        }
    }
}

impl List {
    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements.
    #[inline]
    #[must_use]
    pub fn as_slice(self) -> &'static [Value] {
        self.elements.as_slice()
    }
}

/// Whether they are the same list.
impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.start() == other.start()
    }
}

impl Eq for List {}

impl Handle for List {
    #[inline]
    fn start(self) -> NonNull<u64> {
        self.elements.start()
    }

    #[inline]
    unsafe fn from_start(start: NonNull<u64>) -> Self {
        Self {
            // SAFETY: the caller's promise.
            elements: unsafe { Array::from_start(start) },
        }
    }
}
